/* Objects of the cache: made from stored records, which may be damaged; see object.h. */
#include "object.h"

#include <errno.h>
#include <string.h>

#include <orlop/record.h>

#include "base/omem.h"
#include "cache.h"

#define RV_HEAD "\"resourceVersion\":\""
#define RV_TAIL "\","
#define RV_MAX (sizeof(RV_HEAD) - 1 + 20 + sizeof(RV_TAIL) - 1)

#define ENTRY_HEAD 8u		/* u16 index, u16 key_len, u32 value_len */

/* `"resourceVersion":"N",` into @buf of RV_MAX bytes; returns its length. */
static size_t rv_format(char *buf, uint64_t rev)
{
	char digits[20];
	size_t n = 0;
	char *p = buf;

	do {
		digits[n++] = (char)('0' + rev % 10);
		rev /= 10;
	} while (rev);
	memcpy(p, RV_HEAD, sizeof(RV_HEAD) - 1);
	p += sizeof(RV_HEAD) - 1;
	while (n)
		*p++ = digits[--n];
	memcpy(p, RV_TAIL, sizeof(RV_TAIL) - 1);
	return (size_t)(p + sizeof(RV_TAIL) - 1 - buf);
}

static int bytes_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static int entry_cmp(const struct orlop_index_entry *a, const struct orlop_index_entry *b)
{
	int r;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	r = bytes_cmp(a->key, b->key);
	return r ? r : bytes_cmp(a->value, b->value);
}

/* Reads the packed entry at *@p; moves *@p behind it. 0 or -EINVAL. */
static int entry_read(const char **p, const char *end, struct orlop_index_entry *ret)
{
	uint16_t index, key_len;
	uint32_t value_len;

	if (end - *p < (ptrdiff_t)ENTRY_HEAD)
		return -EINVAL;
	memcpy(&index, *p, 2);
	memcpy(&key_len, *p + 2, 2);
	memcpy(&value_len, *p + 4, 4);
	*p += ENTRY_HEAD;
	if ((size_t)(end - *p) < (size_t)key_len + value_len)
		return -EINVAL;
	ret->index = index;
	ret->key.p = *p;
	ret->key.len = key_len;
	ret->value.p = *p + key_len;
	ret->value.len = value_len;
	*p += (size_t)key_len + value_len;
	return 0;
}

/*
 * The entries of a record, checked: sorted and within bounds. An entry said twice counts once,
 * because secondary indexes hold sets. Into @v if it is not NULL; @ret_n how many.
 */
static int entries_read(const char *p, size_t len, uint32_t n, struct orlop_index_entry *v,
			uint32_t *ret_n)
{
	const char *end = p + len;
	struct orlop_index_entry last = { .index = 0 };
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct orlop_index_entry e = { .index = 0 };
		int order;

		if (entry_read(&p, end, &e))
			return -EINVAL;
		order = i ? entry_cmp(&last, &e) : -1;
		if (order > 0)
			return -EINVAL;
		last = e;
		if (order == 0)
			continue;
		if (v) {
			e.reserved0 = kept;
			v[kept] = e;
		}
		kept++;
	}
	if (p != end)
		return -EINVAL;
	*ret_n = kept;
	return 0;
}

/* Checks the header against the bytes there are. The JSON itself is trusted to be JSON. */
static int record_check(struct orlop_bytes record, struct orlop_record *ret)
{
	if (record.len < sizeof(*ret))
		return -EINVAL;
	memcpy(ret, record.p, sizeof(*ret));
	if (ret->magic != ORLOP_RECORD_MAGIC || ret->format != 1 || ret->wrap != 0)
		return -EINVAL;
	if (ret->header_len < sizeof(*ret) ||
	    (uint64_t)ret->header_len + ret->index_len + ret->json_len != record.len)
		return -EINVAL;
	if (ret->rv_off == 0 || ret->rv_off > ret->json_len)
		return -EINVAL;
	if ((uint64_t)ret->n_index * ENTRY_HEAD > ret->index_len)
		return -EINVAL;
	return 0;
}

/* An object with room for everything, head filled; entries, key and texts are the caller's to fill. */
static struct core_object *object_alloc(uint32_t n_index, size_t key_len, size_t ns_len,
					size_t text_len, size_t json_len, uint64_t rev)
{
	struct core_object *o;
	char *p;

	o = omem_alloc(sizeof(*o) + n_index * sizeof(struct orlop_index_entry) + key_len + text_len +
		       json_len);
	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	oref_init(&o->ref);
	o->pub.size = sizeof(o->pub);
	o->pub.n_index = n_index;
	o->pub.rev = rev;
	o->pub.index = (struct orlop_index_entry *)(void *)(o + 1);
	p = (char *)(o + 1) + n_index * sizeof(struct orlop_index_entry);
	o->pub.ns = (struct orlop_bytes){ p, ns_len };
	o->pub.name = (struct orlop_bytes){ p + ns_len + 1, key_len - ns_len - 1 };
	o->pub.json = (struct orlop_bytes){ p + key_len + text_len, json_len };
	return o;
}

int core_object_parse(struct orlop_bytes key, size_t ns_len, struct orlop_bytes record, uint64_t rev,
		      struct core_object **ret)
{
	struct orlop_record rec;
	struct orlop_index_entry *v;
	struct core_object *o;
	const char *json, *index;
	char rv[RV_MAX];
	size_t rv_len, text_len;
	uint32_t n;
	char *p;

	if (record_check(record, &rec))
		return -EINVAL;
	index = record.p + rec.header_len;
	json = index + rec.index_len;
	if (entries_read(index, rec.index_len, rec.n_index, NULL, &n))
		return -EINVAL;
	/* Repeated entries leave a few bytes unused. */
	text_len = rec.index_len - (size_t)rec.n_index * ENTRY_HEAD;
	rv_len = rv_format(rv, rev);
	o = object_alloc(n, key.len, ns_len, text_len, rec.json_len + rv_len, rev);
	if (!o)
		return -ENOMEM;
	o->rv_off = rec.rv_off;
	v = (struct orlop_index_entry *)(void *)(o + 1);
	(void)entries_read(index, rec.index_len, rec.n_index, v, &n);
	p = (char *)(v + n);
	memcpy(p, key.p, key.len);
	p += key.len;
	for (uint32_t i = 0; i < n; i++) {
		size_t len = v[i].key.len + v[i].value.len;

		if (len)
			memcpy(p, v[i].key.p, len);	/* key and value are neighbours */
		v[i].key.p = p;
		v[i].value.p = p + v[i].key.len;
		p += len;
	}
	p = (char *)(v + n) + key.len + text_len;
	memcpy(p, json, rec.rv_off);
	memcpy(p + rec.rv_off, rv, rv_len);
	memcpy(p + rec.rv_off + rv_len, json + rec.rv_off, rec.json_len - rec.rv_off);
	*ret = o;
	return 0;
}

bool core_object_is(const struct core_object *o, struct orlop_bytes record, uint64_t rev)
{
	char rv[RV_MAX];
	size_t rv_len = rv_format(rv, rev);
	struct orlop_record rec;
	const char *json;

	if (o->pub.rev != rev || record_check(record, &rec) || rec.rv_off != o->rv_off ||
	    rec.json_len + rv_len != o->pub.json.len)
		return false;
	json = record.p + rec.header_len + rec.index_len;
	return memcmp(o->pub.json.p, json, rec.rv_off) == 0 &&
	       memcmp(o->pub.json.p + rec.rv_off + rv_len, json + rec.rv_off, rec.json_len - rec.rv_off) == 0;
}

int core_object_restamp(const struct core_object *from, uint64_t rev, struct core_object **ret)
{
	size_t key_len = core_object_key(from).len;
	const char *texts = from->pub.ns.p;
	size_t text_len = (size_t)(from->pub.json.p - texts) - key_len;
	char rv[RV_MAX], old[RV_MAX];
	size_t rv_len = rv_format(rv, rev);
	size_t old_len = rv_format(old, from->pub.rev);
	size_t tail = from->pub.json.len - from->rv_off - old_len;
	struct orlop_index_entry *v;
	struct core_object *o;
	char *p;

	o = object_alloc(from->pub.n_index, key_len, from->pub.ns.len, text_len,
			 from->rv_off + rv_len + tail, rev);
	if (!o)
		return -ENOMEM;
	o->rv_off = from->rv_off;
	p = (char *)(uintptr_t)o->pub.ns.p;
	memcpy(p, texts, key_len + text_len);
	v = (struct orlop_index_entry *)(void *)(o + 1);
	for (uint32_t i = 0; i < o->pub.n_index; i++) {
		v[i] = from->pub.index[i];
		v[i].key.p = p + (v[i].key.p - texts);
		v[i].value.p = p + (v[i].value.p - texts);
	}
	p += key_len + text_len;
	memcpy(p, from->pub.json.p, from->rv_off);
	memcpy(p + from->rv_off, rv, rv_len);
	memcpy(p + from->rv_off + rv_len, from->pub.json.p + from->rv_off + old_len, tail);
	*ret = o;
	return 0;
}

/* Where the value of `"metadata":` ends; all of it if that is not what stands there. */
static size_t metadata_end(struct orlop_bytes json)
{
	static const char head[] = "\"metadata\":{";
	uint32_t depth = 1;
	bool text = false;

	if (json.len < sizeof(head) - 1 || memcmp(json.p, head, sizeof(head) - 1) != 0)
		return json.len;
	for (size_t i = sizeof(head) - 1; i < json.len; i++) {
		char c = json.p[i];

		if (text) {
			if (c == '\\')
				i++;
			else if (c == '"')
				text = false;
		} else if (c == '"') {
			text = true;
		} else if (c == '{') {
			depth++;
		} else if (c == '}' && --depth == 0) {
			return i + 1;
		}
	}
	return json.len;
}

void core_object_record(const struct core_object *o, bool metadata, struct obuf *b)
{
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1,
				    .rv_off = o->rv_off };
	char rv[RV_MAX];
	size_t rv_end = o->rv_off + rv_format(rv, o->pub.rev);
	size_t end = metadata ? metadata_end(o->pub.json) : o->pub.json.len;
	uint32_t n = 0;

	if (end < rv_end)
		end = o->pub.json.len;
	for (; n < o->pub.n_index; n++) {
		const struct orlop_index_entry *e = &o->pub.index[n];

		if (metadata && e->index >= ORLOP_INDEX_FIRST_FIELD)
			break;		/* sorted: nothing but fields from here on */
		rec.index_len += (uint32_t)(ENTRY_HEAD + e->key.len + e->value.len);
	}
	rec.n_index = (uint16_t)n;
	rec.json_len = (uint32_t)(end - (rv_end - o->rv_off));
	obuf_append(b, &rec, sizeof(rec));
	for (uint32_t i = 0; i < n; i++) {
		const struct orlop_index_entry *e = &o->pub.index[i];
		uint16_t head[4] = { (uint16_t)e->index, (uint16_t)e->key.len };
		uint32_t value_len = (uint32_t)e->value.len;

		memcpy(&head[2], &value_len, sizeof(value_len));
		obuf_append(b, head, ENTRY_HEAD);
		obuf_append(b, e->key.p, e->key.len);
		obuf_append(b, e->value.p, e->value.len);
	}
	obuf_append(b, o->pub.json.p, o->rv_off);
	obuf_append(b, o->pub.json.p + rv_end, end - rv_end);
}

void core_object_put(struct core_object *o)
{
	if (o && oref_put(&o->ref))
		omem_free(o);
}

struct orlop_object *core_cache_object_ref(struct orlop_object *o)
{
	oref_get(&core_object_of(o)->ref);
	return o;
}

void core_cache_object_unref(struct orlop_object *o)
{
	if (o)
		core_object_put(core_object_of(o));
}
