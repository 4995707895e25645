/* answer.c - finishing a request: the answer's pieces, and everything they hold on to. */
#include "op.h"
#include "convert.h"
#include "proto.h"
#include "render.h"
#include "record.h"
#include "write.h"

#include "json/oscan.h"

#include <errno.h>
#include <string.h>

static const char tail[] = "}\n";

void reg_answer_free(struct reg_answer *a)
{
	struct reg_op *op = (struct reg_op *)(void *)a;
	const struct orlop_host *h;

	if (!a)
		return;
	h = op->sh->h;
	write_free(op);
	if (a->watch)
		reg_watch_free(a->watch);
	obuf_done(&op->out);
	oschema_texts_done(&op->strict);
	h->snapshot_close(op->snap);
	h->object_unref(op->obj);
	h->blob_unref(op->blob);
	omem_free(op->pieces);
	orlop_error_done(&op->err);
	oarena_done(&op->arena);
	reg_kind_release(op->k);
	omem_free(op);
}

int reg_answer_proto(struct reg_answer *a)
{
	struct reg_op *op = (struct reg_op *)(void *)a;
	struct obuf json = OBUF_INIT, out = OBUF_INIT;
	struct orlop_bytes text, *p;
	int r;

	if (a->proto || a->watch || a->n_pieces == 0)
		return 0;
	for (uint32_t i = 0; a->n_pieces > 1 && i < a->n_pieces; i++)
		obuf_append(&json, a->pieces[i].p, a->pieces[i].len);
	text = a->n_pieces > 1 ? (struct orlop_bytes){ json.data, json.len } : a->pieces[0];
	r = obuf_err(&json);
	if (r == 0)
		r = reg_proto_document(op->sh->rg->schema, text, &out);
	obuf_done(&json);
	p = r == 0 ? oarena_alloc(&op->arena, sizeof(*p)) : NULL;
	if (!p) {
		obuf_done(&out);
		return r == 0 || r == -ENOMEM ? -ENOMEM : 0;
	}
	obuf_done(&op->out);
	op->out = out;
	*p = (struct orlop_bytes){ out.data, out.len };
	a->pieces = p;
	a->n_pieces = 1;
	a->len = out.len;
	a->proto = true;
	return 0;
}

static void collect_warnings(struct reg_op *op)
{
	const char **v = oarena_alloc(&op->arena, (op->ans.n_warnings + 1) * sizeof(*v));
	uint32_t n = 0;

	for (const struct reg_warning *w = op->warnings; v && w; w = w->next)
		v[n++] = w->text;
	op->ans.warnings = v;
	op->ans.n_warnings = n;
}

void reg_deliver(struct reg_op *op)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;

	if (op->notes && op->w && !op->rq.name.len)
		op->rq.name = op->w->name;
	for (const struct reg_note *n = op->notes; n; n = n->next)
		if (n->value)
			hooks->note(hooks->arg, op->sh->h, &op->rq, op->k->name, n->key, n->value);
	op->ans.len = 0;
	for (uint32_t i = 0; i < op->ans.n_pieces; i++)
		op->ans.len += op->ans.pieces[i].len;
	collect_warnings(op);
	op->sh->n_ops--;
	op->done(op->done_arg, &op->ans);
}

/* op->out is the body, newline missing; indented if that was asked for. */
static void deliver_out(struct reg_op *op)
{
	if (op->opt.pretty) {
		struct obuf b = OBUF_INIT;

		oscan_indent(((struct orlop_bytes){ op->out.data, op->out.len }), &b);
		obuf_done(&op->out);
		op->out = b;
	}
	obuf_putc(&op->out, '\n');
	op->ans.pieces = oarena_alloc(&op->arena, sizeof(struct orlop_bytes));
	if (op->ans.pieces && obuf_err(&op->out) == 0) {
		struct orlop_bytes *p = (struct orlop_bytes *)(uintptr_t)op->ans.pieces;

		p->p = op->out.data;
		p->len = op->out.len;
		op->ans.n_pieces = 1;
	} else {
		op->ans.code = 500;	/* no memory for a body: the code has to do */
		op->ans.n_pieces = 0;
	}
	reg_deliver(op);
}

void reg_finish_text(struct reg_op *op, uint32_t code)
{
	op->ans.code = code;
	deliver_out(op);
}

void reg_finish(struct reg_op *op, int r)
{
	if (op->err.err == 0)
		(void)reg_failed(op, r < 0 ? r : -EIO, NULL);
	obuf_reset(&op->out);
	reg_status_put(op, &op->out);
	deliver_out(op);
}

void reg_finish_deleted(struct reg_op *op, struct orlop_bytes name, struct orlop_bytes uid)
{
	struct obuf *b = &op->out;

	obuf_puts(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"details\":{\"name\":");
	obuf_put_json_string(b, name.p, name.len);
	if (op->k->group[0]) {
		obuf_puts(b, ",\"group\":");
		obuf_put_json_cstr(b, op->k->group);
	}
	obuf_puts(b, ",\"kind\":");
	obuf_put_json_cstr(b, op->k->plural);
	if (uid.len) {
		obuf_puts(b, ",\"uid\":");
		obuf_put_json_string(b, uid.p, uid.len);
	}
	obuf_puts(b, "}}");
	reg_finish_text(op, 200);
}

void reg_finish_object(struct reg_op *op, uint32_t code, const struct reg_kind *k,
		       struct orlop_bytes json, uint64_t rev)
{
	struct orlop_bytes *p;
	int r;

	if (convert_hooked(k) && !convert_plain(k, op->version)) {
		convert_answer(op, code, k, json, op->version, rev);
		return;
	}
	if (!render_plain(k, op->rq.form) || op->opt.pretty) {
		r = render_one(op->sh, k, op->rq.form, op->opt.include, json, rev, true, &op->out);
		if (r)
			reg_finish(op, reg_internal(op, "cannot render %s at %llu (%d)", k->name,
						    (unsigned long long)rev, -r));
		else
			reg_finish_text(op, code);
		return;
	}
	p = oarena_alloc(&op->arena, 3 * sizeof(*p));
	if (!p) {
		reg_finish(op, -ENOMEM);
		return;
	}
	p[0] = k->prefix;
	p[1] = json;
	p[2] = (struct orlop_bytes){ tail, sizeof(tail) - 1 };
	op->ans.pieces = p;
	op->ans.n_pieces = 3;
	op->ans.code = code;
	reg_deliver(op);
}

void reg_finish_stored(struct reg_op *op, uint32_t code, const struct reg_kind *k,
		       const struct reg_stored *st)
{
	struct orlop_bytes *p;
	char *rv;

	op->ans.rev = st->rev;
	if (!render_plain(k, op->rq.form) || op->opt.pretty || st->rev == 0 ||
	    (convert_hooked(k) && !convert_plain(k, op->version))) {
		struct obuf b = OBUF_INIT;
		int r;

		if (st->rev)
			reg_stored_put(st, &b);
		else		/* dry run of a create: there is no resourceVersion yet */
			obuf_append(&b, st->json.p, st->json.len);
		r = obuf_err(&b);
		if (r == 0 && convert_hooked(k) && !convert_plain(k, op->version)) {
			convert_answer(op, code, k, (struct orlop_bytes){ b.data, b.len }, op->version, st->rev);
			obuf_done(&b);
			return;
		}
		if (r == 0)
			r = render_one(op->sh, k, op->rq.form, op->opt.include,
				       (struct orlop_bytes){ b.data, b.len }, st->rev, true, &op->out);
		obuf_done(&b);
		if (r)
			reg_finish(op, reg_internal(op, "cannot render %s (%d)", k->name, -r));
		else
			reg_finish_text(op, code);
		return;
	}
	p = oarena_alloc(&op->arena, 5 * sizeof(*p));
	rv = oarena_printf(&op->arena, "\"resourceVersion\":\"%llu\",", (unsigned long long)st->rev);
	if (!p || !rv) {
		reg_finish(op, -ENOMEM);
		return;
	}
	p[0] = k->prefix;
	p[1] = (struct orlop_bytes){ st->json.p, st->rv_off };
	p[2] = RB(rv);
	p[3] = (struct orlop_bytes){ st->json.p + st->rv_off, st->json.len - st->rv_off };
	p[4] = (struct orlop_bytes){ tail, sizeof(tail) - 1 };
	op->ans.pieces = p;
	op->ans.n_pieces = 5;
	op->ans.code = code;
	reg_deliver(op);
}

struct reg_answer *reg_status(struct reg_shard *sh, const struct orlop_error *err)
{
	return reg_status_about(sh, err, RB0, RB0, RB0);
}

struct reg_answer *reg_status_about(struct reg_shard *sh, const struct orlop_error *err, struct orlop_bytes group,
				    struct orlop_bytes resource, struct orlop_bytes name)
{
	struct reg_op *op = omem_zalloc(sizeof(*op));
	struct orlop_bytes *p;

	if (!op)
		return NULL;
	op->sh = sh;
	op->causes_tail = &op->causes;
	op->warnings_tail = &op->warnings;
	op->err = *err;
	op->err.causes = NULL;
	for (uint32_t i = 0; err->causes && i < err->causes->n; i++)
		reg_cause(op, err->causes->v[i].reason, err->causes->v[i].field, "%s",
			  err->causes->v[i].message);
	op->det_group = rb_dup(&op->arena, group);
	op->det_kind = resource.len ? rb_dup(&op->arena, resource) : NULL;
	op->det_name = name.len ? rb_dup(&op->arena, name) : NULL;
	reg_status_put(op, &op->out);
	obuf_putc(&op->out, '\n');
	p = oarena_alloc(&op->arena, sizeof(*p));
	if (!p || obuf_err(&op->out)) {
		reg_answer_free(&op->ans);
		return NULL;
	}
	p->p = op->out.data;
	p->len = op->out.len;
	op->ans.pieces = p;
	op->ans.n_pieces = 1;
	op->ans.len = p->len;
	return &op->ans;
}
