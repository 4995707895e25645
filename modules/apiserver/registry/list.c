/*
 * list.c - LIST: from the cache at one revision, or from the storage at an older one.
 *
 * The bytes of plain lists are not copied: the answer's pieces point into the cached objects, and
 * the snapshot is held until the answer has been sent.
 */
#include "convert.h"
#include "op.h"
#include "proto.h"
#include "record.h"
#include "render.h"
#include "select.h"
#include "store.h"
#include "verbs.h"

#include <orlop/inline/msg.h>

#include "base/oenc.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_WAIT_NS	(UINT64_C(3) * 1000000000)

/* One list on its way. */
struct list {
	struct reg_op	*op;
	struct reg_select sel;
	uint64_t	rev;		/* of the list, 0: now */
	struct orlop_bytes start;	/* "ns/name" of the last item seen, empty: from the beginning */
	uint64_t	limit;
	bool		exact;		/* at rev and no other */
	bool		consistent;	/* continue token with a revision */
	/* result */
	uint64_t	n;
	uint64_t	remaining;
	bool		has_remaining;
	bool		more;
	struct orlop_bytes last_ns;
	struct orlop_bytes last_name;
	/* from the storage: rows or items are made at once */
	struct obuf	items;
	struct reg_convert *convert;	/* or when they are converted: this one and all after it */
	size_t		n_convert;
	struct orlop_bytes range_from;
	struct orlop_bytes range_end;
	const char	*token;
	char		*mark;
	const struct oschema_type *partial;	/* protobuf: of metadata alone */
};

/* ---- continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\u0000"} ---- */

static const char *token_make(struct reg_op *op, int64_t rev, struct orlop_bytes ns,
			      struct orlop_bytes name)
{
	struct obuf b = OBUF_INIT;
	char *start = oarena_printf(&op->arena, "%.*s/%.*s", OB(ns), OB(name));
	char *out = NULL;

	obuf_printf(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)rev);
	obuf_put_json_cstr(&b, start ? start : "");
	obuf_putc(&b, '}');
	if (start && obuf_err(&b) == 0) {
		out = oarena_alloc(&op->arena, OBASE64_ENCODED(b.len));
		if (out)
			obase64_encode(OBASE64_RAWURL, b.data, b.len, out);
	}
	obuf_done(&b);
	return out;
}

static int token_parse(struct list *l)
{
	struct reg_op *op = l->op;
	struct orlop_bytes tok = op->opt.cont, v, part;
	char *raw = oarena_alloc(&op->arena, OBASE64_DECODED(tok.len) + 1);
	struct oscan_error why = { 0 };
	size_t at = 0;
	long n = -1;
	int64_t rv;

	if (raw)
		n = obase64_decode(OBASE64_RAWURL, tok.p, tok.len, raw, &at);
	if (n < 0)
		return reg_bad_request(op, "invalid continue token: continue key is not valid: illegal base64 data at input byte %zu", at);
	if (oscan_check(raw, (size_t)n, 8, &v, &why))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: %s", why.msg);
	if (!oscan_get(v, "v", &part) || !oscan_string_is_cstr(part, "meta.k8s.io/v1"))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: server does not recognize this encoded version");
	if (!oscan_get(v, "rv", &part))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
	rv = oscan_i64(part, 0);
	if (rv == 0)
		return reg_bad_request(op, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
	if (!oscan_get(v, "start", &part) || !oscan_plain(part, &l->start) ||
	    !memchr(l->start.p, '/', l->start.len))
		return reg_bad_request(op, "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
	if (rv > 0) {
		l->rev = (uint64_t)rv;
		l->consistent = l->exact = true;
	}
	return 0;
}

static void split_start(const struct list *l, struct orlop_bytes *ns, struct orlop_bytes *name)
{
	const char *slash = l->start.len ? memchr(l->start.p, '/', l->start.len) : NULL;

	*ns = *name = RB0;
	if (!slash)
		return;
	*ns = (struct orlop_bytes){ l->start.p, (size_t)(slash - l->start.p) };
	*name = (struct orlop_bytes){ slash + 1, l->start.len - ns->len - 1 };
}

/* ---- finishing ---- */

static void list_free(struct list *l)
{
	reg_select_done(&l->sel);
	obuf_done(&l->items);
	convert_free(l->convert);
}

/* The rest of ListMeta behind resourceVersion's value, and how items begin. */
static void put_meta_rest(const struct list *l, struct obuf *b)
{
	obuf_putc(b, '"');
	if (l->token) {
		obuf_puts(b, ",\"continue\":");
		obuf_put_json_cstr(b, l->token);
		if (l->has_remaining && l->remaining) {
			obuf_puts(b, ",\"remainingItemCount\":");
			obuf_put_u64(b, l->remaining);
		}
	}
}

static void put_head(struct list *l, struct obuf *b)
{
	struct reg_op *op = l->op;
	const struct reg_kind *k = op->k;

	if (op->rq.form == REG_FORM_TABLE) {
		struct obuf m = OBUF_INIT;

		obuf_printf(&m, "\"resourceVersion\":\"%llu", (unsigned long long)l->rev);
		put_meta_rest(l, &m);
		render_table_head(op->k->schema, k, obuf_cstr(&m), true, b);
		obuf_done(&m);
		return;
	}
	if (op->rq.form == REG_FORM_META)
		obuf_puts(b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"");
	else
		obuf_append(b, k->list_head.p, k->list_head.len);
	obuf_put_u64(b, l->rev);
	put_meta_rest(l, b);
	obuf_puts(b, "},\"items\":[");
}

/* An item as field 2 of the list's message. */
static int put_proto_item(struct list *l, struct orlop_bytes json, struct obuf *b)
{
	const struct reg_kind *k = l->op->k;
	const struct oschema *s = k->schema;
	struct obuf made = OBUF_INIT;
	int r;

	if (l->op->rq.form == REG_FORM_META) {
		size_t n = render_metadata(json).len;

		/* "metadata":{…} is the first member of the object */
		r = reg_proto_members(l->op->sh->rg->schema, l->partial, (struct orlop_bytes){ json.p, n + 11 }, 2, b);
		return n ? r : -EINVAL;
	}
	if (render_plain(k, REG_FORM_OBJECT))
		return reg_proto_members(s, oschema_type_at(s, k->res->type), json, 2, b);
	r = render_object(s, k, json, true, &made);
	if (r == 0 && made.len >= 2)
		r = reg_proto_members(s, oschema_type_at(s, k->res->type),
				      (struct orlop_bytes){ made.data + 1, made.len - 2 }, 2, b);
	obuf_done(&made);
	return r;
}

/* One item in a form that is made and not only sent. */
static int put_item(struct list *l, struct orlop_bytes json, struct obuf *b)
{
	struct reg_op *op = l->op;
	int r = 0;

	if (op->rq.proto)
		return put_proto_item(l, json, b);
	if (b->len)
		obuf_putc(b, ',');
	switch (op->rq.form) {
	case REG_FORM_TABLE:
		r = render_row(op->k->schema, op->k, json, op->opt.include,
			       (int64_t)op->sh->h->now_wall(op->sh->h), b);
		break;
	case REG_FORM_META:
		render_partial(json, b);
		break;
	default:
		r = render_object(op->k->schema, op->k, json, true, b);
		break;
	}
	return r ? r : obuf_err(b);
}

/* An item of stored bytes in @version. */
static int put_stored(struct list *l, struct orlop_bytes json, struct orlop_bytes version)
{
	const struct reg_kind *k = l->op->k;

	if (!convert_hooked(k) || (!l->convert && convert_plain(k, version)))
		return put_item(l, json, &l->items);
	if (!l->convert)
		l->convert = convert_new(k);
	l->n_convert++;
	return l->convert ? convert_add(l->convert, json, version) : -ENOMEM;
}

static void fail(struct list *l, int r)
{
	struct reg_op *op = l->op;

	if (op->pieces == l)
		op->pieces = NULL;
	list_free(l);
	reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
}

/* Envelope and ListMeta as one piece, the items as the other. */
static void finish_proto(struct list *l)
{
	static const char tail[] = REG_PROTO_TAIL;
	struct reg_op *op = l->op;
	struct orlop_bytes *p = oarena_alloc(&op->arena, 3 * sizeof(*p));
	bool meta = op->rq.form == REG_FORM_META;
	struct obuf m = OBUF_INIT, raw = OBUF_INIT;
	char rv[24];
	int n = snprintf(rv, sizeof(rv), "%llu", (unsigned long long)l->rev);

	reg_proto_bytes(&m, 2, rv, (size_t)n);
	if (l->token) {
		reg_proto_bytes(&m, 3, l->token, strlen(l->token));
		if (l->has_remaining && l->remaining)
			reg_proto_varint(&m, 4, l->remaining);
	}
	reg_proto_bytes(&raw, 1, m.data, m.len);
	reg_proto_head(meta ? "meta.k8s.io/v1" : op->k->api_version,
		       meta ? "PartialObjectMetadataList" : oschema_str(op->k->schema, op->k->res->list_kind),
		       raw.len + l->items.len, &op->out);
	obuf_append(&op->out, raw.data, raw.len);
	obuf_done(&raw);
	n = obuf_err(&m) || obuf_err(&op->out) || obuf_err(&l->items) || !p;
	obuf_done(&m);
	if (n) {
		fail(l, -ENOMEM);
		return;
	}
	p[0] = (struct orlop_bytes){ op->out.data, op->out.len };
	p[1].p = op->pieces = obuf_steal(&l->items, &p[1].len);
	p[2] = (struct orlop_bytes){ tail, REG_PROTO_TAIL_LEN };
	if (!p[1].p)
		p[1] = p[2];
	op->ans.pieces = p;
	op->ans.n_pieces = p[1].p == tail ? 2 : 3;
	op->ans.code = 200;
	op->ans.proto = true;
	list_free(l);
	reg_deliver(op);
}

static void finish_items(struct list *l)
{
	struct reg_op *op = l->op;

	if (op->rq.proto) {
		finish_proto(l);
		return;
	}
	put_head(l, &op->out);
	obuf_append(&op->out, l->items.data, l->items.len);
	obuf_puts(&op->out, "]}");
	list_free(l);
	reg_finish_text(op, 200);
}

static void on_converted(void *arg, const char *why)
{
	struct list *l = arg;
	int r = why ? convert_failed(l->op, why) : 0;

	for (size_t i = 0; r == 0 && i < l->n_convert; i++) {
		struct obuf b = OBUF_INIT;

		r = convert_put(l->convert, i, &b);
		if (r == 0)
			r = put_item(l, (struct orlop_bytes){ b.data, b.len }, &l->items);
		obuf_done(&b);
	}
	if (r)
		fail(l, r);
	else
		finish_items(l);
}

static void finish_made(struct list *l)
{
	if (l->convert)
		convert_start(l->convert, on_converted, l);
	else
		finish_items(l);
}

/* ---- from the cache ---- */

struct gather {
	struct orlop_bytes *v;
	size_t		n;
	size_t		cap;
};

static int gather_add(struct gather *g, const char *p, size_t len)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 32;
		struct orlop_bytes *v = omem_realloc_array(g->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		g->v = v;
		g->cap = cap;
	}
	g->v[g->n].p = p;
	g->v[g->n++].len = len;
	return 0;
}

/* Count what is left without looking at it: only without selectors, as upstream. */
static void count_rest(struct list *l, struct orlop_iter *it)
{
	const struct orlop_host *h = l->op->sh->h;

	if (!reg_select_all(&l->sel))
		return;
	l->remaining = 1;
	while (h->iter_next(it))
		l->remaining++;
	l->has_remaining = true;
}

static void list_cached(struct list *l)
{
	struct reg_op *op = l->op;
	const struct orlop_host *h = op->sh->h;
	struct orlop_query q = { .size = sizeof(q) };
	struct gather g = { NULL, 0, 0 };
	struct orlop_iter *it;
	struct orlop_object *o;
	bool plain = render_plain(op->k, op->rq.form) && !op->opt.pretty && !op->k->set && !op->rq.proto;
	int r = 0;

	reg_select_query(&l->sel, op->sh, &q);
	split_start(l, &q.after_ns, &q.after_name);
	if (l->sel.never || (l->sel.name.len && (l->sel.ns.len || !(op->k->res->flags & OSCHEMA_S_NAMESPACED)))) {
		/* one object at most */
		o = l->sel.never ? NULL : h->snapshot_get(op->snap, l->sel.ns, l->sel.name);
		it = NULL;
	} else {
		r = h->iter_open(op->snap, &q, &it);
		if (r) {
			fail(l, r);
			return;
		}
		o = h->iter_next(it);
	}
	if (plain)
		r = gather_add(&g, NULL, 0);	/* the head comes here */
	for (; r == 0 && o; o = it ? h->iter_next(it) : NULL) {
		if (!reg_select_match(&l->sel, o))
			continue;
		if (l->limit && l->n == l->limit) {
			l->more = true;
			count_rest(l, it);
			break;
		}
		if (plain) {
			r = gather_add(&g, l->n ? "},{" : "{", l->n ? 3 : 1);
			if (r == 0)
				r = gather_add(&g, o->json.p, o->json.len);
		} else {
			r = put_stored(l, o->json, convert_version(o));
		}
		l->n++;
		l->last_ns = o->ns;
		l->last_name = o->name;
	}
	if (it)
		h->iter_close(it);
	if (r == 0 && l->more)
		l->token = token_make(op, (int64_t)l->rev, l->last_ns, l->last_name);
	if (r) {
		omem_free(g.v);
		fail(l, r);
		return;
	}
	if (!plain) {
		finish_made(l);
		return;
	}
	put_head(l, &op->out);
	r = obuf_err(&op->out);
	if (r == 0)
		r = l->n ? gather_add(&g, "}]}\n", 4) : gather_add(&g, "]}\n", 3);
	if (r) {
		omem_free(g.v);
		fail(l, r);
		return;
	}
	g.v[0] = (struct orlop_bytes){ op->out.data, op->out.len };
	op->pieces = g.v;
	op->ans.pieces = g.v;
	op->ans.n_pieces = (uint32_t)g.n;
	op->ans.code = 200;
	list_free(l);
	reg_deliver(op);
}

/* ---- from the storage, at an older revision ---- */

static void range_more(struct list *l);

/* "resource/ns/name" → ns, name */
static bool key_split(const struct reg_kind *k, struct orlop_bytes key, struct orlop_bytes *ns,
		      struct orlop_bytes *name)
{
	size_t n = strlen(k->stored->name) + 1;
	const char *slash = key.len > n ? memchr(key.p + n, '/', key.len - n) : NULL;

	if (!slash)
		return false;
	*ns = (struct orlop_bytes){ key.p + n, (size_t)(slash - key.p) - n };
	*name = (struct orlop_bytes){ slash + 1, key.len - n - ns->len - 1 };
	return true;
}

static void too_old(struct list *l)
{
	struct reg_op *op = l->op;
	struct orlop_bytes ns, name;

	if (!l->consistent) {
		fail(l, reg_expired(op, "The resourceVersion for the provided list is too old."));
		return;
	}
	split_start(l, &ns, &name);
	op->list_continue = token_make(op, -1, ns, name);
	fail(l, reg_expired(op, "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."));
}

static void on_range(struct reg_op *op, int r, const struct orlop_msg *msg)
{
	struct list *l = op->pieces;
	struct orlop_bytes items, ns, name, last = RB0;
	struct store_item it;
	bool more;

	if (r == -ESTALE) {
		too_old(l);
		return;
	}
	if (r == -EOVERFLOW) {
		fail(l, reg_too_large_rv(op, l->rev, op->sh->h->resource_rev(reg_open(op->sh, op->k), NULL)));
		return;
	}
	if (r) {
		fail(l, r);
		return;
	}
	items = orlop_msg_bytes(op->sh->h, msg, ORLOP_STORAGE_T_ITEMS);
	more = orlop_msg_u64(msg, ORLOP_STORAGE_T_MORE, 0) != 0;
	while (r == 0 && store_next(&items, &it)) {
		struct reg_stored st;
		struct obuf json = OBUF_INIT;
		bool match = false;

		last = it.key;
		if (!key_split(op->k, it.key, &ns, &name) ||
		    reg_record_parse(it.value, it.head.mod_rev, &st))
			continue;
		r = reg_select_stored(&l->sel, ns, name, &st, &match);
		if (r || !match)
			continue;
		if (l->limit && l->n == l->limit) {
			l->more = true;
			break;
		}
		reg_stored_put(&st, &json);
		r = obuf_err(&json);
		if (r == 0)
			r = put_stored(l, (struct orlop_bytes){ json.data, json.len }, convert_version_stored(&st));
		obuf_done(&json);
		l->n++;
		l->last_ns = (struct orlop_bytes){ oarena_dup(&op->arena, ns.len ? ns.p : "", ns.len), ns.len };
		l->last_name = (struct orlop_bytes){ oarena_dup(&op->arena, name.p, name.len), name.len };
		if (!l->last_ns.p || !l->last_name.p)
			r = -ENOMEM;
	}
	if (r) {
		fail(l, r);
		return;
	}
	if (more && !l->more && last.len) {
		/* go on behind the last key: its successor is the key and a NUL */
		char *from = oarena_alloc(&op->arena, last.len + 1);

		if (!from) {
			fail(l, -ENOMEM);
			return;
		}
		memcpy(from, last.p, last.len);
		from[last.len] = '\0';
		l->range_from = (struct orlop_bytes){ from, last.len + 1 };
		range_more(l);
		return;
	}
	if (l->more)
		l->token = token_make(op, (int64_t)l->rev, l->last_ns, l->last_name);
	op->pieces = NULL;
	finish_made(l);
}

static void range_more(struct list *l)
{
	uint64_t limit = l->limit && reg_select_all(&l->sel) ? l->limit - l->n + 1 : 0;

	store_range(l->op, l->range_from, l->range_end, l->rev, limit, on_range);
}

static void list_stored(struct list *l)
{
	struct reg_op *op = l->op;
	const char *res = op->k->stored->name;
	struct orlop_bytes ns, name;
	char *from, *end;

	split_start(l, &ns, &name);
	end = l->sel.ns.len ? oarena_printf(&op->arena, "%s/%.*s0", res, OB(l->sel.ns)) :
	      oarena_printf(&op->arena, "%s0", res);		/* '0' follows '/' */
	if (l->start.len) {
		from = oarena_printf(&op->arena, "%s/%.*s/%.*s", res, OB(ns), OB(name));
		l->range_from = from ? (struct orlop_bytes){ from, strlen(from) + 1 } : RB0;
	} else {
		from = l->sel.ns.len ? oarena_printf(&op->arena, "%s/%.*s/", res, OB(l->sel.ns)) :
		       oarena_printf(&op->arena, "%s/", res);
		l->range_from = from ? RB(from) : RB0;
	}
	if (!from || !end) {
		fail(l, -ENOMEM);
		return;
	}
	l->range_end = RB(end);
	op->pieces = l;		/* found again in on_range; in the arena, not to be freed */
	range_more(l);
}

/* ---- which of the two ---- */

static void list_go(struct list *l)
{
	struct reg_op *op = l->op;
	const struct orlop_host *h = op->sh->h;
	struct orlop_resource *res = reg_open(op->sh, op->k);
	uint64_t now;

	if (!res || h->snapshot_open(res, &op->snap)) {
		fail(l, -ENOMEM);
		return;
	}
	now = h->snapshot_rev(op->snap);
	if (l->exact && l->rev != now) {
		uint64_t cursor = l->rev;
		struct orlop_change c;
		int32_t n = l->rev < now ? h->journal_read(res, &cursor, &c, 1) : -ESTALE;

		/* unchanged since: the cache is that state too */
		if (n > 0) {
			h->object_unref(c.object);
			h->object_unref(c.prev);
		}
		if (n != 0) {
			h->snapshot_close(op->snap);
			op->snap = NULL;
			list_stored(l);
			return;
		}
	} else {
		l->rev = now;
	}
	list_cached(l);
}

void reg_list_snapshot(struct reg_op *op)
{
	struct list *l = oarena_zalloc(&op->arena, sizeof(*l));
	int r;

	if (!l) {
		reg_finish(op, -ENOMEM);
		return;
	}
	l->op = op;
	l->limit = op->opt.limit;
	l->partial = op->rq.proto ? oschema_type_find(op->sh->rg->schema, "meta/v1.PartialObjectMetadata") : NULL;
	l->rev = op->sh->h->snapshot_rev(op->snap);
	r = reg_select_init(op, &l->sel);
	if (r)
		fail(l, r);
	else
		list_cached(l);
}

static void on_fresh(void *arg, int32_t status)
{
	struct list *l = arg;
	struct reg_op *op = l->op;

	if (status < 0 && op->opt.has_rv)
		fail(l, reg_too_large_rv(op, op->opt.rv_n,
					 op->sh->h->resource_rev(reg_open(op->sh, op->k), NULL)));
	else
		list_go(l);
}

void reg_do_list(struct reg_op *op)
{
	struct list *l = oarena_zalloc(&op->arena, sizeof(*l));
	struct orlop_resource *res = reg_open(op->sh, op->k);
	int r;

	if (!l || !res) {
		reg_finish(op, -ENOMEM);
		return;
	}
	l->op = op;
	l->limit = op->opt.limit;
	l->partial = op->rq.proto ? oschema_type_find(op->sh->rg->schema, "meta/v1.PartialObjectMetadata") : NULL;
	r = reg_select_init(op, &l->sel);
	if (r == 0 && op->opt.cont.len) {
		if (op->opt.has_rv && op->opt.rv_n != 0)
			r = reg_bad_request(op, "specifying resource version is not allowed when using continue");
		else
			r = token_parse(l);
	} else if (r == 0 && op->opt.has_rv) {
		/* limit with an exact revision means that revision; "0" takes what is there, unlimited */
		if (op->opt.match == REG_MATCH_EXACT ||
		    (op->opt.match == REG_MATCH_NONE && l->limit && op->opt.rv_n)) {
			l->exact = true;
			l->rev = op->opt.rv_n;
		}
		if (op->opt.rv_n == 0)
			l->limit = 0;
	}
	if (r) {
		fail(l, r);
		return;
	}
	if (reg_read_after(op) > op->sh->h->resource_rev(res, NULL)) {
		r = op->sh->h->cache_wait(res, reg_read_after(op), FRESH_WAIT_NS, on_fresh, l);
		if (r)
			fail(l, r);
		return;
	}
	list_go(l);
}
