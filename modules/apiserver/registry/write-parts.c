/* write-parts.c - what a `make` is made of: decoding, canonical order, generation, checks and admission. */
#include "custom.h"
#include "write.h"
#include "../admission/admission.h"

#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/validate.h"

#include <errno.h>

int write_canonical(struct reg_op *op)
{
	struct write *w = op->w;
	struct ojson *fresh = NULL;
	int r;

	if (w->k->set)
		r = custom_decode(w->k, w->obj, 0, NULL, &fresh, &op->err);
	else
		r = oschema_decode(w->k->schema, oschema_type_at(w->k->schema, w->k->res->type),
				   w->obj, 0, NULL, &fresh, &op->err);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	ojson_unref(w->obj);
	w->obj = fresh;
	w->dirty = false;
	return 0;
}

static void take_texts(struct reg_op *op, struct oschema_texts *t, int *ret)
{
	struct obuf b = OBUF_INIT;

	*ret = 0;
	if (t->n == 0)
		return;
	if (op->opt.strictness == REG_VALIDATE_STRICT) {
		for (uint32_t i = 0; i < t->n; i++) {
			obuf_puts(&b, i ? ", " : "");
			obuf_puts(&b, t->v[i]);
		}
		*ret = reg_bad_request(op, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
				       op->k->kind, op->k->version, op->k->kind, obuf_cstr(&b));
	} else {
		for (uint32_t i = 0; i < t->n; i++)
			reg_warn(op, "%s", t->v[i]);
	}
	obuf_done(&b);
}

/* What a patch leaves is no such object: upstream's finding about the patch, not about a kind. */
static int not_typed(struct reg_op *op, const struct ojson *in)
{
	const char *why = oarena_strdup(&op->arena, op->err.msg);
	struct obuf text = OBUF_INIT, quoted = OBUF_INIT;

	(void)ojson_write(in, 0, &text);
	obuf_put_quoted(&quoted, obuf_cstr(&text), text.len);
	reg_cause(op, "FieldValueInvalid", "patch", "Invalid value: %s: %s", obuf_cstr(&quoted), why ? why : "");
	obuf_done(&text);
	obuf_done(&quoted);
	return reg_invalid_as(op, "", RB0);
}

int write_decode(struct reg_op *op, struct ojson *take_in)
{
	const struct oschema *s = op->k->schema;
	cleanup_ojson struct ojson *in = take_in;
	const struct reg_kind *k = op->k->stored == op->w->k ? op->k : op->w->k;
	struct write *w = op->w;
	struct oschema_texts unknown = { 0 };
	int r, r2;

	ojson_unref(w->obj);
	w->obj = NULL;
	if (k->set)
		r = custom_decode(k, in, OSCHEMA_DECODE_DEFAULTS,
				  op->opt.strictness == REG_VALIDATE_IGNORE ? NULL : &unknown, &w->obj, &op->err);
	else
		r = oschema_decode(s, oschema_type_at(s, k->res->type), in, OSCHEMA_DECODE_DEFAULTS,
				   op->opt.strictness == REG_VALIDATE_IGNORE ? NULL : &unknown, &w->obj, &op->err);
	if (r == -EINVAL && !k->set && op->rq.verb == REG_PATCH && op->rq.patch != REG_PATCH_APPLY)
		r = not_typed(op, in);
	else if (r == -EINVAL)
		r = oschema_decode_wrap(s, k->res, r, &op->err);
	take_texts(op, &unknown, &r2);
	oschema_texts_done(&unknown);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	if (r2)
		return r2;
	if (k != w->k && k->set) {
		r = ojson_set_cstr(w->obj, "apiVersion", w->k->api_version);
		if (r)
			return reg_failed(op, r, NULL);
	} else if (k != w->k) {
		struct ojson *fresh = NULL;

		r = oschema_convert(s, k->res, w->k->res, w->obj);
		if (r == 0)
			r = ojson_set_cstr(w->obj, "apiVersion", w->k->api_version);
		if (r == 0)
			r = oschema_decode(s, oschema_type_at(s, w->k->res->type), w->obj,
					   OSCHEMA_DECODE_DEFAULTS, NULL, &fresh, &op->err);
		if (r)
			return op->err.err ? r : reg_failed(op, r, NULL);
		ojson_unref(w->obj);
		w->obj = fresh;
	}
	return 0;
}

static int bump_generation(struct reg_op *op)
{
	struct write *w = op->w;
	struct ojson *meta = ojson_get(w->obj, "metadata");
	int64_t gen;

	bool own_status = w->k->set && !(w->k->res->flags & OSCHEMA_S_STATUS);

	if (!w->old || rb_is(op->rq.sub, "status"))
		return 0;
	if (!oschema_spec_changed(op->k->schema, w->k->res, w->old, w->obj) &&
	    (!own_status || ojson_equal(ojson_get(w->old, "status"), ojson_get(w->obj, "status"))))
		return 0;
	gen = ojson_get_i64(ojson_get(w->old, "metadata"), "generation", 0);
	if (!ojson_has(meta, "generation"))
		w->dirty = true;
	return ojson_set_i64(meta, "generation", gen + 1);
}

/* 422 of lib/schema: its causes become ours, so that the Status has them all in full. */
int reg_take_error(struct reg_op *op, int r, struct orlop_error *e)
{
	if (e->causes && e->causes->n && e->http == 422) {
		for (uint32_t i = 0; i < e->causes->n; i++)
			reg_cause(op, e->causes->v[i].reason, e->causes->v[i].field, "%s",
				  e->causes->v[i].message);
		orlop_error_done(e);
		return 0;
	}
	if (e->err) {
		orlop_error_done(&op->err);
		op->err = *e;
		return r;
	}
	return reg_failed(op, r, NULL);
}

int reg_take_whole(struct reg_op *op, int r, struct orlop_error *e)
{
	if (!e->err)
		return reg_failed(op, r, NULL);
	for (uint32_t i = 0; e->causes && i < e->causes->n; i++)
		reg_cause(op, e->causes->v[i].reason, e->causes->v[i].field, "%s", e->causes->v[i].message);
	op->err = *e;
	op->err.causes = NULL;
	return r;
}

int write_check(struct reg_op *op)
{
	const struct oschema *s = op->k->schema;
	const struct reg_behaviour *bh = op->w->k->behaviour;
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct write *w = op->w;
	struct oschema_write ow;
	int r;

	if (!w->managed_done) {
		r = managed_update(op);
		if (r)
			return r;
	}
	if (bh && bh->prepare) {
		r = bh->prepare(op, w->obj, w->old);
		if (r)
			return r;
	}
	r = admission_mutate(op, w->obj, w->old);
	if (r == 0 && w->dirty)
		r = write_canonical(op);
	if (r == 0)
		r = admission_hooks_mutated(op);
	if (r == -EINPROGRESS)
		return r;
	if (r == 0 && w->dirty)
		r = write_canonical(op);
	if (r == 0)
		r = bump_generation(op);
	if (r == 0 && w->dirty)
		r = write_canonical(op);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	ow = (struct oschema_write){ .obj = w->obj, .old = w->old, .sub = op->rq.sub,
				     .group = op->k == w->k ? NULL : op->k->group };
	r = oschema_validate(s, w->k->res, &ow, &e);
	if (r) {
		r = reg_take_error(op, r, &e);
		if (r)
			return r;
	}
	if (w->k->set)
		custom_check(op, w->obj, w->old);
	if (bh && bh->validate) {
		r = bh->validate(op, w->obj, w->old);
		if (r)
			return r;
	}
	r = reg_invalid_as(op, w->k->gk, ojson_get_bytes(ojson_get(w->obj, "metadata"), "name"));
	if (r)
		return r;
	return admission_validate(op, w->obj, w->old);
}
