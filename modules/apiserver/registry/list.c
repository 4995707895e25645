/*
 * list.c - LIST: from the cache at one revision, or from the storage (list-stored.c) at an older one.
 *
 * The bytes of plain lists are not copied: the answer's pieces point into the cached objects, and
 * the snapshot is held until the answer has been sent.
 */
#include "convert.h"
#include "list.h"
#include "proto.h"
#include "render.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FRESH_WAIT_NS	(UINT64_C(3) * 1000000000)

/* ---- finishing ---- */

static void list_free(struct reg_list *l)
{
	reg_select_done(&l->sel);
	obuf_done(&l->items);
	convert_free(l->convert);
	reg_late_done(l);
}

/* The rest of ListMeta behind resourceVersion's value, and how items begin. */
static void put_meta_rest(const struct reg_list *l, struct obuf *b)
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

static void put_head(struct reg_list *l, struct obuf *b)
{
	struct reg_op *op = l->op;
	const struct reg_kind *k = op->k;

	if (op->rq.form == REG_FORM_TABLE) {
		struct obuf m = OBUF_INIT;

		obuf_printf(&m, "\"resourceVersion\":\"%llu", (unsigned long long)l->rev);
		put_meta_rest(l, &m);
		if (obuf_err(&m))
			b->err = -ENOMEM;
		else
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
static int put_proto_item(struct reg_list *l, struct orlop_bytes json, struct obuf *b)
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
int reg_list_put_item(struct reg_list *l, struct orlop_bytes json)
{
	struct reg_op *op = l->op;
	struct obuf *b = &l->items;
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

int reg_list_put_stored(struct reg_list *l, struct orlop_bytes json, struct orlop_bytes version)
{
	const struct reg_kind *k = l->op->k;

	if (!convert_hooked(k) || (!l->convert && convert_plain(k, version)))
		return reg_list_put_item(l, json);
	if (!l->convert)
		l->convert = convert_new(k);
	l->n_convert++;
	return l->convert ? convert_add(l->convert, json, version) : -ENOMEM;
}

void reg_list_fail(struct reg_list *l, int r)
{
	struct reg_op *op = l->op;

	if (op->pieces == l)
		op->pieces = NULL;
	list_free(l);
	reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
}

/* Envelope and ListMeta as one piece, the items as the other. */
static void finish_proto(struct reg_list *l)
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
	n = obuf_err(&m) || obuf_err(&raw) || obuf_err(&op->out) || obuf_err(&l->items) || !p;
	obuf_done(&raw);
	obuf_done(&m);
	if (n) {
		reg_list_fail(l, -ENOMEM);
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

static void finish_items(struct reg_list *l)
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
	struct reg_list *l = arg;
	int r = why ? convert_failed(l->op, why) : 0;

	for (size_t i = 0; r == 0 && i < l->n_convert; i++) {
		struct obuf b = OBUF_INIT;

		r = convert_put(l->convert, i, &b);
		if (r == 0)
			r = reg_list_put_item(l, (struct orlop_bytes){ b.data, b.len });
		obuf_done(&b);
	}
	if (r)
		reg_list_fail(l, r);
	else
		finish_items(l);
}

void reg_list_finish_made(struct reg_list *l)
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
static void count_rest(struct reg_list *l, struct orlop_iter *it)
{
	const struct orlop_host *h = l->op->sh->h;

	if (!reg_select_all(&l->sel))
		return;
	l->remaining = 1;
	while (h->iter_next(it))
		l->remaining++;
	l->has_remaining = true;
}

static void list_cached(struct reg_list *l)
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
	reg_list_start(l, &q.after_ns, &q.after_name);
	if (l->sel.never || (l->sel.name.len && (l->sel.ns.len || !(op->k->res->flags & OSCHEMA_S_NAMESPACED)))) {
		/* one object at most */
		o = l->sel.never ? NULL : h->snapshot_get(op->snap, l->sel.ns, l->sel.name);
		it = NULL;
	} else {
		r = h->iter_open(op->snap, &q, &it);
		if (r) {
			reg_list_fail(l, r);
			return;
		}
		o = NULL;
	}
	if (reg_late_is(l)) {
		reg_late_cached(l, o, it);
		return;
	}
	if (it)
		o = h->iter_next(it);
	if (plain)
		r = gather_add(&g, NULL, 0);	/* the head comes here */
	for (; r == 0 && o; o = it ? h->iter_next(it) : NULL) {
		r = reg_select_match(&l->sel, o);
		if (r <= 0)
			continue;
		r = 0;
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
			r = reg_list_put_stored(l, o->json, convert_version(o));
		}
		l->n++;
		l->last_ns = o->ns;
		l->last_name = o->name;
	}
	if (it)
		h->iter_close(it);
	if (r == 0 && l->more)
		r = reg_list_token_set(l);
	if (r) {
		omem_free(g.v);
		reg_list_fail(l, r);
		return;
	}
	if (!plain) {
		reg_list_finish_made(l);
		return;
	}
	put_head(l, &op->out);
	r = obuf_err(&op->out);
	if (r == 0)
		r = l->n ? gather_add(&g, "}]}\n", 4) : gather_add(&g, "]}\n", 3);
	if (r) {
		omem_free(g.v);
		reg_list_fail(l, r);
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

/* ---- which of the two ---- */

static void list_go(struct reg_list *l)
{
	struct reg_op *op = l->op;
	const struct orlop_host *h = op->sh->h;
	struct orlop_resource *res = reg_open(op->sh, op->k);
	uint64_t now;

	if (!res || h->snapshot_open(res, &op->snap)) {
		reg_list_fail(l, -ENOMEM);
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
			reg_list_stored(l);
			return;
		}
	} else {
		l->rev = now;
	}
	list_cached(l);
}

void reg_list_snapshot(struct reg_op *op)
{
	struct reg_list *l = oarena_zalloc(&op->arena, sizeof(*l));
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
		reg_list_fail(l, r);
	else
		list_cached(l);
}

static void on_fresh(void *arg, int32_t status)
{
	struct reg_list *l = arg;
	struct reg_op *op = l->op;

	if (status < 0 && op->opt.has_rv)
		reg_list_fail(l, reg_too_large_rv(op, op->opt.rv_n,
					 op->sh->h->resource_rev(reg_open(op->sh, op->k), NULL)));
	else
		list_go(l);
}

void reg_do_list(struct reg_op *op)
{
	struct reg_list *l = oarena_zalloc(&op->arena, sizeof(*l));
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
		r = reg_list_token_parse(l);
		if (r == 0 && op->opt.has_rv && op->opt.rv_n != 0)
			r = reg_bad_request(op, "specifying resource version is not allowed when using continue");
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
		reg_list_fail(l, r);
		return;
	}
	if (reg_read_after(op) > op->sh->h->resource_rev(res, NULL)) {
		r = op->sh->h->cache_wait(res, reg_read_after(op), FRESH_WAIT_NS, on_fresh, l);
		if (r)
			reg_list_fail(l, r);
		return;
	}
	list_go(l);
}
