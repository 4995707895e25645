/* record.c - building stored records from objects, and taking them apart. */
#include "record.h"

#include "json/ojson.h"
#include "schema/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct orlop_bytes reg_key(struct oarena *a, const struct reg_kind *k, struct orlop_bytes ns,
			   struct orlop_bytes name)
{
	struct orlop_bytes key = { NULL, strlen(k->name) + ns.len + name.len + 2 };
	char *p = oarena_alloc(a, key.len + 1);

	if (!p)
		return key;
	key.p = p;
	p = stpcpy(p, k->name);
	*p++ = '/';
	if (ns.len)
		memcpy(p, ns.p, ns.len);
	p += ns.len;
	*p++ = '/';
	if (name.len)
		memcpy(p, name.p, name.len);
	p[name.len] = '\0';
	return key;
}

static void put_entry(struct obuf *b, uint16_t index, struct orlop_bytes key, struct orlop_bytes val)
{
	uint16_t h[2] = { index, (uint16_t)key.len };
	uint32_t len = (uint32_t)val.len;

	obuf_append(b, h, sizeof(h));
	obuf_append(b, &len, sizeof(len));
	obuf_append(b, key.p, key.len);
	obuf_append(b, val.p, val.len);
}

struct pair {
	struct orlop_bytes key;
	struct orlop_bytes value;
};

static int pair_cmp(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = ostr_cmp(x->key.p, x->key.len, y->key.p, y->key.len);

	return c ? c : ostr_cmp(x->value.p, x->value.len, y->value.p, y->value.len);
}

static int put_sorted(struct obuf *b, uint16_t index, struct pair *v, size_t n)
{
	qsort(v, n, sizeof(*v), pair_cmp);
	for (size_t i = 0; i < n; i++)
		put_entry(b, index, v[i].key, v[i].value);
	return (int)n;
}

static int put_index(const struct reg_shard *sh, const struct reg_kind *k, struct ojson *obj,
		     struct obuf *b)
{
	const struct oschema *s = sh->rg->schema;
	const struct ojson *meta = ojson_get(obj, "metadata");
	const struct ojson *labels = ojson_get(meta, "labels");
	const struct ojson *owners = ojson_get(meta, "ownerReferences");
	size_t max = ojson_count(labels) > ojson_count(owners) ? ojson_count(labels) : ojson_count(owners);
	struct pair small[16], *v = small;
	uint16_t field = ORLOP_INDEX_FIRST_FIELD;
	size_t n = 0;
	int total;

	if (max > 16 && !(v = omem_alloc_array(max, sizeof(*v))))
		return -ENOMEM;
	OJSON_FOREACH(it, labels) {
		v[n].key = (struct orlop_bytes){ it.key, it.key_len };
		v[n++].value = ojson_bytes(it.value);
	}
	total = put_sorted(b, ORLOP_INDEX_LABELS, v, n);
	n = 0;
	OJSON_FOREACH_ELEM(i, o, owners) {
		v[n].key = RB0;
		v[n++].value = ojson_get_bytes(o, "uid");
	}
	total += put_sorted(b, ORLOP_INDEX_OWNER, v, n);
	if (v != small)
		omem_free(v);
	put_entry(b, ORLOP_INDEX_UID, RB0, ojson_get_bytes(meta, "uid"));
	total++;
	for (unsigned int i = 0; i < k->res->n_selects; i++) {
		const struct oschema_select *sel = &s->selects[k->res->selects + i];
		char num[32];

		if (!strncmp(oschema_str(s, sel->path), "metadata.", 9))
			continue;
		put_entry(b, field++, RB0,
			  oschema_select_value(s, k->res, i, obj, num));
		total++;
	}
	return total;
}

/*
 * Where resourceVersion goes: before the first member of metadata that stands behind it in
 * ObjectMeta. There always is one, creationTimestamp. @ret_end: offset of metadata's closing brace.
 */
static int find_rv(const char *p, size_t len, uint32_t *ret_rv, size_t *ret_end)
{
	struct orlop_bytes whole = ((struct orlop_bytes){ p, len }), meta;
	struct oscan_iter it;

	if (!oscan_get(whole, "metadata", &meta) || oscan_type(meta) != OSCAN_OBJECT)
		return -EINVAL;
	*ret_end = (size_t)(meta.p - p) + meta.len - 1;
	for (oscan_begin(&it, meta); oscan_next(&it) > 0;) {
		struct orlop_bytes k = it.key;

		if (oscan_string_is_cstr(k, "name") || oscan_string_is_cstr(k, "generateName") ||
		    oscan_string_is_cstr(k, "namespace") || oscan_string_is_cstr(k, "selfLink") ||
		    oscan_string_is_cstr(k, "uid"))
			continue;
		*ret_rv = (uint32_t)(k.p - p);
		return 0;
	}
	return -EINVAL;
}

int reg_record_put(const struct reg_shard *sh, const struct reg_kind *k, struct ojson *obj,
		   struct orlop_bytes json, struct orlop_bytes mf, struct obuf *b,
		   size_t *ret_json, uint32_t *ret_rv_off)
{
	static const char mf_key[] = ",\"managedFields\":";
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC,
		.header_len = sizeof(rec),
		.format = 1,
		.schema_gen = sh->rg->schema->generation,
		.version = 1,
	};
	size_t head = b->len, end;
	uint32_t rv_off;
	int n;

	if (json.len < 2 || json.p[0] != '{' || find_rv(json.p, json.len, &rv_off, &end))
		return -EINVAL;
	obuf_append(b, &rec, sizeof(rec));
	n = put_index(sh, k, obj, b);
	if (n < 0)
		return n;
	rec.n_index = (uint16_t)n;
	rec.index_len = (uint32_t)(b->len - head - sizeof(rec));
	rec.rv_off = rv_off - 1;
	*ret_json = b->len;
	/* without the outer braces: offsets move by one */
	obuf_append(b, json.p + 1, end - 1);
	if (mf.len) {
		obuf_append(b, mf_key, sizeof(mf_key) - 1);
		rec.mf_off = (uint32_t)(b->len - *ret_json);
		rec.mf_len = (uint32_t)mf.len;
		obuf_append(b, mf.p, mf.len);
	}
	obuf_append(b, json.p + end, json.len - end - 1);
	rec.json_len = (uint32_t)(b->len - *ret_json);
	*ret_rv_off = rec.rv_off;
	if (obuf_err(b))
		return obuf_err(b);
	memcpy(b->data + head, &rec, sizeof(rec));
	return 0;
}

int reg_record_parse(struct orlop_bytes value, uint64_t rev, struct reg_stored *ret)
{
	struct orlop_record rec;

	if (value.len < sizeof(rec))
		return -EINVAL;
	memcpy(&rec, value.p, sizeof(rec));
	if (rec.magic != ORLOP_RECORD_MAGIC || rec.format != 1 || rec.wrap != 0 ||
	    rec.header_len < sizeof(rec) ||
	    (uint64_t)rec.header_len + rec.index_len + rec.json_len > value.len ||
	    rec.rv_off > rec.json_len)
		return -EINVAL;
	ret->rev = rev;
	ret->index = (struct orlop_bytes){ value.p + rec.header_len, rec.index_len };
	ret->n_index = rec.n_index;
	ret->json = (struct orlop_bytes){ value.p + rec.header_len + rec.index_len, rec.json_len };
	ret->rv_off = rec.rv_off;
	return 0;
}

void reg_stored_put(const struct reg_stored *s, struct obuf *b)
{
	obuf_append(b, s->json.p, s->rv_off);
	obuf_puts(b, "\"resourceVersion\":\"");
	obuf_put_u64(b, s->rev);
	obuf_puts(b, "\",");
	obuf_append(b, s->json.p + s->rv_off, s->json.len - s->rv_off);
}
