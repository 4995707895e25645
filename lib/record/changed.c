/* changed.c - records from a cached object's, without looking for what did not change. */
#include "internal.h"

#include "base/ostr.h"

#include <errno.h>
#include <string.h>

/* The entries of @c->was with the field's replaced; how many, or -EINVAL. */
static int put_index(const struct oschema *s, const struct oschema_resource *r, const struct orecord_change *c,
		     struct obuf *b)
{
	const struct orlop_index_entry *e = c->was->index;
	uint16_t field = ORLOP_INDEX_FIRST_FIELD;
	bool found = false;
	uint32_t at = 0;

	for (; at < c->was->n_index && e[at].index < ORLOP_INDEX_FIRST_FIELD; at++)
		orecord_put_entry(b, (uint16_t)e[at].index, e[at].key, e[at].value);
	for (unsigned int i = 0; i < r->n_selects; i++) {
		const struct oschema_select *sel = &s->selects[r->selects + i];
		bool mine = !strcmp(oschema_str(s, sel->path), c->path);

		if (!orecord_is_field(s, sel))
			continue;
		if (at == c->was->n_index || e[at].index != field)
			return -EINVAL;
		orecord_put_entry(b, field++, e[at].key, mine ? c->value : e[at].value);
		found |= mine;
		at++;
	}
	return at == c->was->n_index && found && at <= UINT16_MAX ? (int)at : -EINVAL;
}

int orecord_put_changed(const struct oschema *s, const struct oschema_resource *r,
			const struct orecord_change *c, struct obuf *b)
{
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC,
		.header_len = sizeof(rec),
		.format = 1,
		.schema_gen = s->generation,
		.json_len = (uint32_t)c->json.len,
		.rv_off = c->rv_off,
		.mf_off = c->mf_off,
		.mf_len = c->mf_len,
		.version = 1,
	};
	size_t head = b->len;
	int n;

	if (c->rv_off == 0 || c->rv_off > c->json.len || (uint64_t)c->mf_off + c->mf_len > c->json.len)
		return -EINVAL;
	obuf_append(b, &rec, sizeof(rec));
	n = put_index(s, r, c, b);
	if (n < 0)
		return n;
	rec.n_index = (uint16_t)n;
	rec.index_len = (uint32_t)(b->len - head - sizeof(rec));
	obuf_append(b, c->json.p, c->json.len);
	if (obuf_err(b))
		return obuf_err(b);
	memcpy(b->data + head, &rec, sizeof(rec));
	return 0;
}
