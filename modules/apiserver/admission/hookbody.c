/*
 * hookbody.c - webhooks about what is no object of its own: a Binding, an Eviction, a TokenRequest, a review, a Scale,
 * the options of a CONNECT.
 *
 * They are asked about the request's body before anything is done with it, and the body that they leave is the request's
 * from then on. Whoever does the request asks nobody again.
 */
#include "hook.h"

#include "schema/decode.h"

#include <errno.h>
#include <string.h>

static void go(struct reg_op *op, int r)
{
	const struct hook_body *b = op->w->hook_body;
	struct write *under = b->under;
	struct ojson *body = ojson_ref(op->w->obj);

	write_free(op);		/* it was there for the questions alone */
	if (under) {
		op->w = under;
		ojson_unref(under->hook_obj);
		under->hook_obj = ojson_ref(body);
		under->hook_rev = under->base_rev;
		under->hooked = true;
	}
	ojson_unref(body);
	if (r)
		reg_finish(op, r);
	else
		b->go(op);
}

static void judge(struct reg_op *op)
{
	int r = admission_hooks_validate(op);

	if (r == -EINPROGRESS)
		admission_hooks_run(op, go);
	else
		go(op, r);
}

/* The mutating ones have answered: what they made of the body is the body. */
static void mutated(struct reg_op *op, int r)
{
	struct write *w = op->w;
	struct obuf text = OBUF_INIT;

	if (r == 0 && !ojson_equal(w->hook_obj, w->obj)) {
		r = ojson_write(w->hook_obj, 0, &text);
		op->rq.body = (struct orlop_bytes){ r ? NULL : oarena_dup(&op->arena, text.data, text.len), text.len };
		if (!op->rq.body.p)
			r = reg_failed(op, -ENOMEM, NULL);
		ojson_unref(w->obj);
		w->obj = ojson_ref(w->hook_obj);
	}
	obuf_done(&text);
	if (r)
		go(op, r);
	else
		judge(op);
}

static int body_parse(struct reg_op *op, const struct hook_body *b, struct ojson **ret)
{
	struct reg_kind as = { .schema = op->k->schema, .group = b->group, .version = b->version, .kind = b->kind, .api_version = b->api_version };

	return write_body_as(op, &as, b->type, ret);
}

static struct hook_body *body_new(struct reg_op *op, void (*fn)(struct reg_op *op))
{
	const struct oschema *s = op->k->schema;
	struct hook_body *b = oarena_zalloc(&op->arena, sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct hook_body){ .k = op->k, .group = op->k->group, .version = op->k->version, .kind = op->k->kind,
				 .api_version = op->k->api_version, .go = fn };
	b->type = oschema_type_at(s, op->sub ? op->sub->type : op->k->res->type);
	if (op->sub) {
		b->group = oschema_str(s, op->sub->group);
		b->version = oschema_str(s, op->sub->version);
		b->kind = oschema_str(s, op->sub->kind);
		b->api_version = b->group[0] ? oarena_printf(&op->arena, "%s/%s", b->group, b->version) : b->version;
	}
	if (op->sub && op->sub->flags & OSCHEMA_SUB_CONNECT) {
		b->operation = "CONNECT";
		b->bare = true;
	}
	return b->api_version ? b : NULL;
}

/* The first question about op->w->obj. */
static void begin(struct reg_op *op)
{
	int r = admission_hooks_mutated(op);

	if (r == -EINPROGRESS)
		admission_hooks_run(op, mutated);
	else if (r)
		go(op, r);
	else
		judge(op);
}

bool admission_hooks_any(struct reg_shard *sh)
{
	return hooks_any(sh, true) || hooks_any(sh, false);
}

void admission_hooks_body(struct reg_op *op, void (*fn)(struct reg_op *op))
{
	struct hook_body *b;
	int r;

	if (!admission_hooks_any(op->sh)) {
		fn(op);
		return;
	}
	b = body_new(op, fn);
	r = b ? write_new(op, op->k, op->rq.ns, op->rq.name, NULL) : reg_failed(op, -ENOMEM, NULL);
	if (r) {
		reg_finish(op, r);
		return;
	}
	op->w->hook_body = b;
	r = body_parse(op, b, &op->w->obj);
	if (r) {
		go(op, r);
		return;
	}
	if (!op->w->name.len)
		op->w->name = RB(rb_dup(&op->arena, ojson_get_bytes(ojson_get(op->w->obj, "metadata"), "name")));
	begin(op);
}

void admission_hooks_scale(struct reg_op *op, struct ojson *take_obj, struct ojson *take_old, void (*fn)(struct reg_op *op))
{
	struct write *under = op->w;
	struct hook_body *b = body_new(op, fn);
	int r = b ? write_new(op, op->k, under->ns, under->name, NULL) : reg_failed(op, -ENOMEM, NULL);

	if (r) {
		ojson_unref(take_obj);
		ojson_unref(take_old);
		reg_finish(op, r);
		return;
	}
	b->under = under;
	op->w->hook_body = b;
	op->w->obj = take_obj;
	op->w->old = take_old;
	begin(op);
}
