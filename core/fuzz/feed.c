/*
 * Fuzz target of what another process feeds into a cache (feed_wire.h): any bytes, cut into packets anywhere, are
 * put in or refused, and leave a cache that can be read, and fed again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/omem.h"
#include "cache/cache.h"
#include "feed_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t now(void *ctx)
{
	(void)ctx;
	return 1000000000;
}

static int post(void *ctx, void *loop, void (*fn)(void *arg), void *arg)
{
	(void)ctx;
	(void)loop;
	(void)fn;
	(void)arg;
	return -ECANCELED;
}

static void kick(void *ctx, uint64_t delay_ns)
{
	(void)ctx;
	(void)delay_ns;
}

static int ack(void *ctx, uint64_t bytes)
{
	*(uint64_t *)ctx += bytes;
	return 0;
}

static void retry(void *ctx)
{
	(void)ctx;
}

static int ask(void *ctx, uint32_t res, uint64_t from, uint64_t upto)
{
	(void)ctx;
	(void)res;
	if (!from || from >= upto)
		abort();
	return 0;
}

static bool look(void *arg, const char *name)
{
	struct core_cache *c = arg;
	struct orlop_resource *r;
	struct orlop_snapshot *s;
	struct orlop_change v[8];
	struct orlop_iter *it;
	uint64_t cursor = 0;
	int32_t n;

	if (core_cache_open(c, name, NULL, "fuzz", &r, NULL))
		return true;
	core_cache_set_raw(r);
	if (core_cache_snapshot_open(r, &s) == 0) {
		uint64_t count = core_cache_snapshot_count(s);

		if (core_cache_iter_open(s, NULL, &it) == 0) {
			while (core_cache_iter_next(it))
				count--;
			core_cache_iter_close(it);
			if (count)
				abort();
		}
		core_cache_snapshot_close(s);
	}
	cursor = core_cache_journal_oldest(r);
	while ((n = core_cache_journal_read(r, &cursor, v, 8)) > 0)
		while (n--) {
			core_cache_object_unref(v[n].object);
			core_cache_object_unref(v[n].prev);
		}
	cursor = 1;	/* may be asked for */
	if (core_cache_journal_read(r, &cursor, v, 0) > 0)
		abort();
	core_cache_close(r);
	return true;
}

/* The first byte says how long packets are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_cache_hooks hooks = { .now = now, .post = post, .kick = kick };
	uint64_t acked = 0;
	struct core_feed_in_io io = { .ctx = &acked, .ack = ack, .retry = retry, .ask = ask };
	size_t step = size ? data[0] % 64 * 3 + 1 : 1;
	struct core_feed_in *f;
	struct core_cache *c;
	int r = 0;

	if (core_cache_new(&hooks, &c))
		return 0;
	for (int turn = 0; turn < 2; turn++) {
		if (core_feed_in_new(c, "fuzz", &io, &f))
			break;
		for (size_t at = 1; at < size && r == 0; at += step) {
			r = core_feed_in_data(f, (const char *)data + at, size - at < step ? size - at : step);
			if (size % 2) {
				core_cache_names(c, look, c);
				core_feed_in_past(f);
			}
		}
		core_feed_in_free(f);
		core_cache_names(c, look, c);
		r = 0;
	}
	core_cache_free(c);
	return 0;
}
