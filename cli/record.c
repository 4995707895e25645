/*
 * record.c - one stored object: its frame, its index entries, its JSON, and whether the key is its own.
 */
#include "record.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <orlop/record.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "json/ojson.h"
#include "known.h"

struct look {
	struct orlop_bytes key;
	record_found_fn	fn;
	void		*arg;
};

__attribute__((format(printf, 2, 3)))
static void found(const struct look *k, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->fn(k->arg, k->key, text);
}

static bool bytes_are(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && !memcmp(b.p, cstr, b.len);
}

/* RESOURCE '/' NAMESPACE '/' NAME */
static bool key_split(struct orlop_bytes key, struct orlop_bytes *res, struct orlop_bytes *ns, struct orlop_bytes *name)
{
	const char *end = key.p + key.len;
	const char *a = memchr(key.p, '/', key.len);
	const char *b = a ? memchr(a + 1, '/', (size_t)(end - a - 1)) : NULL;

	if (!b || a == key.p || b + 1 == end)
		return false;
	*res = (struct orlop_bytes){ key.p, (size_t)(a - key.p) };
	*ns = (struct orlop_bytes){ a + 1, (size_t)(b - a - 1) };
	*name = (struct orlop_bytes){ b + 1, (size_t)(end - b - 1) };
	return true;
}

static bool kind_is_known(struct orlop_bytes res)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (bytes_are(res, kinds[i]))
			return true;
	return false;
}

/* u16 index, u16 key_len, u32 value_len, key, value; sorted. */
static void look_index(const struct look *k, const char *p, size_t len, unsigned int n)
{
	uint16_t before_index = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct orlop_bytes now;
		uint16_t index;
		uint16_t key_len;
		uint32_t value_len;

		if (len < 8)
			break;
		memcpy(&index, p, 2);
		memcpy(&key_len, p + 2, 2);
		memcpy(&value_len, p + 4, 4);
		if (len - 8 < (size_t)key_len + value_len) {
			found(k, "index entry %u is longer than the index", i);
			return;
		}
		now = (struct orlop_bytes){ p + 8, (size_t)key_len + value_len };
		if (i && index < before_index)
			found(k, "index entry %u is out of order", i);
		before_index = index;
		p = now.p + now.len;
		len -= 8 + now.len;
	}
	if (len)
		found(k, "%zu bytes too many in the index of %u entries", len, n);
}

static void look_object(const struct look *k, struct orlop_bytes json, struct orlop_bytes ns, struct orlop_bytes name,
			struct record_uid *ret)
{
	cleanup_ojson struct ojson *j = NULL;
	const struct ojson *meta;
	struct orlop_bytes uid;

	if (ojson_parse_members(json, &j, NULL)) {
		found(k, "its JSON cannot be read");
		return;
	}
	meta = ojson_get(j, "metadata");
	if (!meta) {
		found(k, "it has no metadata");
		return;
	}
	if (!bytes_are(name, ojson_get_cstr(meta, "name", "")))
		found(k, "its name is \"%.100s\"", ojson_get_cstr(meta, "name", ""));
	if (!bytes_are(ns, ojson_get_cstr(meta, "namespace", "")))
		found(k, "its namespace is \"%.100s\"", ojson_get_cstr(meta, "namespace", ""));
	if (ojson_get(meta, "resourceVersion"))
		found(k, "it has a resourceVersion of its own");
	if (!*ojson_get_cstr(meta, "creationTimestamp", ""))
		found(k, "it has no creationTimestamp");
	uid = ojson_get_bytes(meta, "uid");
	if (!uid.len || uid.len >= sizeof(ret->text)) {
		found(k, uid.len ? "its uid is too long" : "it has no uid");
		return;
	}
	memcpy(ret->text, uid.p, uid.len);
	ret->text[uid.len] = '\0';
	ret->len = uid.len;
}

void record_check(struct orlop_bytes key, struct orlop_bytes value, struct record_uid *ret, record_found_fn fn,
		  void *arg)
{
	const struct look k = { key, fn, arg };
	struct orlop_record r;
	struct orlop_bytes res;
	struct orlop_bytes ns;
	struct orlop_bytes name;

	ret->len = 0;
	if (!key_split(key, &res, &ns, &name)) {
		found(&k, "not a key of an object: want RESOURCE/NAMESPACE/NAME");
		return;
	}
	if (!kind_is_known(res))
		found(&k, "no such resource: %.*s", (int)res.len, res.p);
	if (value.len < sizeof(r)) {
		found(&k, "%zu bytes are no record", value.len);
		return;
	}
	memcpy(&r, value.p, sizeof(r));
	if (r.magic != ORLOP_RECORD_MAGIC || r.header_len < sizeof(r)) {
		found(&k, "not a record");
		return;
	}
	if (r.format != 1) {
		found(&k, "record format %u", r.format);
		return;
	}
	if ((uint64_t)r.header_len + r.index_len + r.json_len != value.len) {
		found(&k, "its parts have %llu bytes, it has %zu",
		      (unsigned long long)r.header_len + r.index_len + r.json_len, value.len);
		return;
	}
	if (r.rv_off > r.json_len || r.mf_off > r.json_len || r.mf_len > r.json_len - r.mf_off)
		found(&k, "a place in its JSON is behind its end");
	look_index(&k, value.p + r.header_len, r.index_len, r.n_index);
	if (r.wrap)
		return;		/* encrypted: that is all that can be said */
	look_object(&k, (struct orlop_bytes){ value.p + r.header_len + r.index_len, r.json_len }, ns, name, ret);
}
