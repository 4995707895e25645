/*
 * badinit.c - fails where its parameter says: init, shard, start, or fails after start; or is never
 * ready, refuses to stop, or leaves a timer and a descriptor behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/module.h>

struct bad {
	const struct orlop_host *h;
	int		refuse;		/* so many more times */
};

static int at(struct bad *b, const char *where)
{
	return strcmp(b->h->param(b->h, "at"), where) == 0;
}

static void never(void *arg)
{
	(void)arg;
	abort();
}

static void fails(void *arg)
{
	struct bad *b = arg;

	b->h->fail(b->h, "the disk is gone");
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct bad *b = calloc(1, sizeof(*b));
	struct orlop_timer *t;

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	b->h = h;
	b->refuse = 1;
	if (at(b, "init")) {
		free(b);
		return orlop_fail(err, EACCES, 0, "", "cannot open the thing");
	}
	if (at(b, "leak")) {
		struct orlop_fdwatch *w;
		int fd = dup(0);

		/* Far in the future; the descriptor is closed while it is watched, as leaks go. */
		if (h->timer_new(h, never, b, &t) == 0)
			h->timer_set(t, UINT64_C(3600000000000), 0);
		(void)h->fd_watch(h, fd, 0, NULL, NULL, &w);
		close(fd);
	}
	*ret_ctx = b;
	return 0;
}

static int bad_shard_init(void *ctx, uint32_t shard, const struct orlop_host *h, void **ret_shard,
			  struct orlop_error *err)
{
	(void)h;
	(void)ret_shard;
	if (at(ctx, "shard") && shard == 1)
		return orlop_fail(err, EIO, 0, "", "shard 1 fails on purpose");
	return 0;
}

static int bad_start(void *ctx, struct orlop_error *err)
{
	struct bad *b = ctx;

	if (at(b, "start"))
		return orlop_fail(err, EIO, 0, "", "start fails on purpose");
	if (at(b, "fail"))
		return b->h->post(b->h, fails, b);
	if (!at(b, "ready"))
		b->h->ready(b->h);
	return 0;
}

static int bad_stop(void *ctx, struct orlop_error *err)
{
	struct bad *b = ctx;

	if (at(b, "stop") && b->refuse-- > 0)
		return orlop_fail(err, EBUSY, 0, "", "three pods are running");
	return 0;
}

static void bad_fini(void *ctx)
{
	free(ctx);
}

static const struct orlop_param bad_params[] = {
	{ "at", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "where to fail" },
};

ORLOP_MODULE("badinit", "test", "1.0", "",
	.flags = ORLOP_MOD_UNLOADABLE,
	.shards = 2,
	.n_params = 1,
	.params = bad_params,
	.init = bad_init,
	.shard_init = bad_shard_init,
	.start = bad_start,
	.stop = bad_stop,
	.fini = bad_fini);
