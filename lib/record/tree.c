/* tree.c - records from typed trees, as the registry has them after validation. */
#include "internal.h"

#include "base/omem.h"
#include "base/ostr.h"
#include "json/ojson.h"
#include "schema/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE	((struct orlop_bytes){ NULL, 0 })

void orecord_key(struct obuf *b, const char *resource, struct orlop_bytes ns, struct orlop_bytes name)
{
	obuf_puts(b, resource);
	obuf_putc(b, '/');
	obuf_append(b, ns.p, ns.len);
	obuf_putc(b, '/');
	obuf_append(b, name.p, name.len);
}

void orecord_put_entry(struct obuf *b, uint16_t index, struct orlop_bytes key, struct orlop_bytes val)
{
	uint16_t h[2] = { index, (uint16_t)key.len };
	uint32_t len = (uint32_t)val.len;

	obuf_append(b, h, sizeof(h));
	obuf_append(b, &len, sizeof(len));
	obuf_append(b, key.p, key.len);
	obuf_append(b, val.p, val.len);
}

static int pair_cmp(const void *a, const void *b)
{
	const struct orecord_pair *x = a, *y = b;
	int c = ostr_cmp(x->key.p, x->key.len, y->key.p, y->key.len);

	return c ? c : ostr_cmp(x->value.p, x->value.len, y->value.p, y->value.len);
}

int orecord_put_sorted(struct obuf *b, uint16_t index, struct orecord_pair *v, size_t n)
{
	qsort(v, n, sizeof(*v), pair_cmp);
	for (size_t i = 0; i < n; i++)
		orecord_put_entry(b, index, v[i].key, v[i].value);
	return (int)n;
}

bool orecord_is_field(const struct oschema *s, const struct oschema_select *sel)
{
	return strncmp(oschema_str(s, sel->path), "metadata.", 9) != 0;
}

bool orecord_before_rv(struct orlop_bytes key)
{
	return oscan_string_is_cstr(key, "name") || oscan_string_is_cstr(key, "generateName") ||
	       oscan_string_is_cstr(key, "namespace") || oscan_string_is_cstr(key, "selfLink") ||
	       oscan_string_is_cstr(key, "uid");
}

static int put_index(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
		     struct obuf *b)
{
	const struct ojson *meta = ojson_get(obj, "metadata");
	const struct ojson *labels = ojson_get(meta, "labels");
	const struct ojson *owners = ojson_get(meta, "ownerReferences");
	size_t max = ojson_count(labels) > ojson_count(owners) ? ojson_count(labels) : ojson_count(owners);
	struct orecord_pair small[16], *v = small;
	uint16_t field = ORLOP_INDEX_FIRST_FIELD;
	size_t n = 0;
	int total;

	if (max > 16 && !(v = omem_alloc_array(max, sizeof(*v))))
		return -ENOMEM;
	OJSON_FOREACH(it, labels) {
		v[n].key = (struct orlop_bytes){ it.key, it.key_len };
		v[n++].value = ojson_bytes(it.value);
	}
	total = orecord_put_sorted(b, ORLOP_INDEX_LABELS, v, n);
	n = 0;
	OJSON_FOREACH_ELEM(i, o, owners) {
		v[n].key = NONE;
		v[n++].value = ojson_get_bytes(o, "uid");
	}
	total += orecord_put_sorted(b, ORLOP_INDEX_OWNER, v, n);
	if (v != small)
		omem_free(v);
	orecord_put_entry(b, ORLOP_INDEX_UID, NONE, ojson_get_bytes(meta, "uid"));
	total++;
	for (unsigned int i = 0; i < r->n_selects; i++) {
		char num[32];

		if (!orecord_is_field(s, &s->selects[r->selects + i]))
			continue;
		orecord_put_entry(b, field++, NONE, oschema_select_value(s, r, i, obj, num));
		total++;
	}
	if (r->flags & OSCHEMA_S_VERSIONED) {
		const char *version = oschema_str(s, r->version);

		orecord_put_entry(b, ORECORD_VERSION, NONE, (struct orlop_bytes){ version, strlen(version) });
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
		if (orecord_before_rv(it.key))
			continue;
		*ret_rv = (uint32_t)(it.key.p - p);
		return 0;
	}
	return -EINVAL;
}

int orecord_put(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
		struct orlop_bytes json, struct orlop_bytes mf, struct obuf *b, size_t *ret_json,
		uint32_t *ret_rv_off)
{
	static const char mf_key[] = ",\"managedFields\":";
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC,
		.header_len = sizeof(rec),
		.format = 1,
		.schema_gen = s->generation,
		.version = 1,
	};
	size_t head = b->len, end;
	uint32_t rv_off;
	int n;

	if (json.len < 2 || json.p[0] != '{' || find_rv(json.p, json.len, &rv_off, &end))
		return -EINVAL;
	obuf_append(b, &rec, sizeof(rec));
	n = put_index(s, r, obj, b);
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
