/* record.c - stored records' keys, and taking records apart (lib/record makes them). */
#include "record.h"

#include <errno.h>
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
