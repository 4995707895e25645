/*
 * Fuzz target of the cache's parser of stored records: any bytes give an object that lies within
 * itself, and whose delete does too, or a refusal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(const struct core_object *o)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < o->pub.n_index; i++) {
		const struct orlop_index_entry *e = &o->pub.index[i];

		for (size_t k = 0; k < e->key.len; k++)
			n += (unsigned char)e->key.p[k];
		for (size_t k = 0; k < e->value.len; k++)
			n += (unsigned char)e->value.p[k];
		if (core_object_of_entry(e) != o)
			abort();
	}
	for (size_t k = 0; k < o->pub.json.len; k++)
		n += (unsigned char)o->pub.json.p[k];
	return n;
}

/* As a record again, for another process: the same object comes of it, or one of its metadata. */
static void again(const struct core_object *o, bool metadata)
{
	struct orlop_bytes key = { "default/web", 11 };
	struct obuf b = OBUF_INIT;
	struct core_object *same;

	core_object_record(o, metadata, &b);
	if (!obuf_err(&b)) {
		if (core_object_parse(key, 7, (struct orlop_bytes){ b.data, b.len }, o->pub.rev, &same))
			abort();
		if (same->pub.json.len > o->pub.json.len || memcmp(same->pub.json.p, o->pub.json.p, same->pub.json.len) != 0)
			abort();
		if (!metadata && (same->pub.json.len != o->pub.json.len || sum(same) != sum(o)))
			abort();
		core_object_put(same);
	}
	obuf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orlop_bytes record = { (const char *)data, size };
	struct orlop_bytes key = { "default/web", 11 };
	struct core_object *o, *gone;
	int r;

	r = core_object_parse(key, 7, record, 1234567, &o);
	if (r)
		return 0;
	if (core_object_restamp(o, 7, &gone) == 0) {
		/* six digits less, 7 for 1…7 */
		if (gone->pub.json.len != o->pub.json.len - 6 || gone->pub.n_index != o->pub.n_index)
			abort();
		if (sum(o) - sum(gone) != '1' + '2' + '3' + '4' + '5' + '6')
			abort();
		core_object_put(gone);
	}
	again(o, false);
	again(o, true);
	core_object_put(o);
	return 0;
}
