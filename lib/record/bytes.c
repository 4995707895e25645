/* bytes.c - records from the JSON of another server, without a tree. */
#include "internal.h"

#include "base/oarena.h"
#include "base/ocleanup.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "schema/decode.h"

#include <errno.h>
#include <string.h>

#define NONE	((struct orlop_bytes){ NULL, 0 })

/* The members of metadata that decide something; with their quotes. */
struct meta {
	struct orlop_bytes whole;
	struct orlop_bytes labels;
	struct orlop_bytes owners;
};

static int plain(struct orlop_bytes v, struct orlop_bytes *ret)
{
	return oscan_type(v) == OSCAN_STRING && oscan_plain(v, ret) ? 0 : -EINVAL;
}

static int read_meta(struct orlop_bytes object, struct meta *m, struct orecord_head *h)
{
	struct orlop_bytes rv = NONE;
	struct oscan_iter it;
	int r = 0;

	memset(h, 0, sizeof(*h));
	memset(m, 0, sizeof(*m));
	if (oscan_type(object) != OSCAN_OBJECT || !oscan_get(object, "metadata", &m->whole) ||
	    oscan_type(m->whole) != OSCAN_OBJECT)
		return -EINVAL;
	for (oscan_begin(&it, m->whole); r == 0 && (r = oscan_next(&it)) > 0;) {
		r = 0;
		if (oscan_string_is_cstr(it.key, "name"))
			r = plain(it.value, &h->name);
		else if (oscan_string_is_cstr(it.key, "namespace"))
			r = plain(it.value, &h->ns);
		else if (oscan_string_is_cstr(it.key, "uid"))
			r = plain(it.value, &h->uid);
		else if (oscan_string_is_cstr(it.key, "resourceVersion"))
			r = plain(it.value, &rv);
		else if (oscan_string_is_cstr(it.key, "labels"))
			m->labels = it.value;
		else if (oscan_string_is_cstr(it.key, "ownerReferences"))
			m->owners = it.value;
		else if (oscan_string_is_cstr(it.key, "deletionTimestamp"))
			h->deleting = oscan_type(it.value) == OSCAN_STRING;
	}
	if (r < 0 || h->name.len == 0 || memchr(h->name.p, '/', h->name.len) ||
	    (h->ns.len && memchr(h->ns.p, '/', h->ns.len)) || ostr_to_u64(rv.p, rv.len, &h->rev) || h->rev == 0)
		return -EINVAL;
	return 0;
}

int orecord_head(struct orlop_bytes object, struct orecord_head *ret)
{
	struct meta m;

	return read_meta(object, &m, ret);
}

/* Content of a JSON string; in the arena if it must be unescaped. */
static int content(struct oarena *a, struct orlop_bytes v, struct orlop_bytes *ret)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r;

	if (oscan_type(v) != OSCAN_STRING)
		return -EINVAL;
	if (oscan_plain(v, ret))
		return 0;
	r = oscan_unquote(v, &b);
	if (r)
		return r;
	ret->p = oarena_strndup(a, obuf_cstr(&b), b.len);
	ret->len = b.len;
	return ret->p ? 0 : -ENOMEM;
}

/* Labels by key and value; owners by uid. */
static int put_pairs(struct oarena *a, uint16_t index, struct orlop_bytes list, struct obuf *b)
{
	size_t max = oscan_count(list), n = 0;
	struct orecord_pair small[16], *v = small;
	struct oscan_iter it;
	int r = 0;

	if (max == 0 || max > UINT16_MAX)
		return max ? -EINVAL : 0;
	if (max > 16 && !(v = oarena_alloc(a, max * sizeof(*v))))
		return -ENOMEM;
	for (oscan_begin(&it, list); r == 0 && n < max && oscan_next(&it) > 0; n++) {
		struct orlop_bytes uid = NONE;

		v[n].key = v[n].value = NONE;
		if (index == ORLOP_INDEX_LABELS) {
			r = content(a, it.key, &v[n].key);
			if (r == 0)
				r = content(a, it.value, &v[n].value);
			if (r == 0 && v[n].key.len > UINT16_MAX)
				r = -EINVAL;
		} else if (oscan_get(it.value, "uid", &uid)) {
			r = content(a, uid, &v[n].value);
		}
	}
	return r ? r : orecord_put_sorted(b, index, v, n);
}

static int put_index(const struct oschema *s, const struct oschema_resource *r, struct orlop_bytes object,
		     const struct meta *m, const struct orecord_head *h, struct obuf *b)
{
	cleanup_oarena struct oarena a = { 0 };
	uint16_t field = ORLOP_INDEX_FIRST_FIELD;
	int labels, owners, total;

	oarena_init(&a, 0);
	labels = put_pairs(&a, ORLOP_INDEX_LABELS, m->labels, b);
	if (labels < 0)
		return labels;
	owners = put_pairs(&a, ORLOP_INDEX_OWNER, m->owners, b);
	if (owners < 0)
		return owners;
	total = labels + owners + 1;
	orecord_put_entry(b, ORLOP_INDEX_UID, NONE, h->uid);
	for (unsigned int i = 0; r && i < r->n_selects; i++) {
		struct orlop_bytes raw = oschema_select_bytes(s, r, i, object), text = raw;

		if (!orecord_is_field(s, &s->selects[r->selects + i]))
			continue;
		if (oscan_type(raw) == OSCAN_STRING && content(&a, raw, &text))
			return -ENOMEM;
		orecord_put_entry(b, field++, NONE, text);
		total++;
	}
	return total > UINT16_MAX ? -EINVAL : total;
}

static void put_member(struct obuf *b, const struct oscan_iter *it, bool first)
{
	if (!first)
		obuf_putc(b, ',');
	obuf_append(b, it->key.p, it->key.len);
	obuf_putc(b, ':');
	obuf_append(b, it->value.p, it->value.len);
}

/* metadata without resourceVersion; notes where that goes back and where managedFields are. */
static void put_meta(struct obuf *b, struct orlop_bytes meta, unsigned int flags, size_t json,
		     struct orlop_record *rec)
{
	bool first = true, placed = false;
	struct oscan_iter it;

	obuf_puts(b, "\"metadata\":{");
	rec->rv_off = (uint32_t)(b->len - json);
	for (oscan_begin(&it, meta); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "resourceVersion"))
			continue;
		if (oscan_string_is_cstr(it.key, "managedFields")) {
			if (flags & ORECORD_DROP_MANAGED)
				continue;
			rec->mf_off = (uint32_t)(b->len - json + !first + it.key.len + 1);
			rec->mf_len = (uint32_t)it.value.len;
		}
		if (!placed && !orecord_before_rv(it.key)) {
			placed = true;
			rec->rv_off = (uint32_t)(b->len - json + !first);
		}
		put_member(b, &it, first);
		first = false;
	}
	obuf_putc(b, '}');
}

int orecord_put_bytes(const struct oschema *s, const struct oschema_resource *r,
		      struct orlop_bytes object, unsigned int flags, struct obuf *b,
		      struct orecord_head *ret)
{
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC,
		.header_len = sizeof(rec),
		.format = 1,
		.schema_gen = s ? s->generation : 0,
		.version = 1,
	};
	size_t head = b->len, json;
	struct oscan_iter it;
	struct meta m;
	int n = read_meta(object, &m, ret);

	if (n < 0)
		return n;
	obuf_append(b, &rec, sizeof(rec));
	n = put_index(s, r, object, &m, ret, b);
	if (n < 0)
		return n;
	rec.n_index = (uint16_t)n;
	rec.index_len = (uint32_t)(b->len - head - sizeof(rec));
	json = b->len;
	put_meta(b, m.whole, flags, json, &rec);
	for (oscan_begin(&it, object); oscan_next(&it) > 0;)
		if (!oscan_string_is_cstr(it.key, "kind") && !oscan_string_is_cstr(it.key, "apiVersion") &&
		    !oscan_string_is_cstr(it.key, "metadata"))
			put_member(b, &it, false);
	rec.json_len = (uint32_t)(b->len - json);
	if (obuf_err(b))
		return obuf_err(b);
	memcpy(b->data + head, &rec, sizeof(rec));
	return 0;
}
