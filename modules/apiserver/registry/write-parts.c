/* write-parts.c - what a `make` is made of: decoding, canonical order, generation, checks and admission. */
#include "custom.h"
#include "write.h"
#include "../admission/admission.h"

#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/validate.h"

#include <errno.h>
#include <string.h>

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

/* A tree, sorted, as Go prints one (%+v): that is how upstream shows a strategic merge patch. */
static void go_print(struct obuf *b, const struct ojson *v)
{
	const char *sep = "";

	switch (ojson_type(v)) {
	case OJSON_NULL:
		obuf_puts(b, "<nil>");
		break;
	case OJSON_STRING:
		obuf_append(b, ojson_bytes(v).p, ojson_bytes(v).len);
		break;
	case OJSON_OBJECT:
		obuf_puts(b, "map[");
		OJSON_FOREACH(it, v) {
			obuf_printf(b, "%s%.*s:", sep, (int)it.key_len, it.key);
			go_print(b, it.value);
			sep = " ";
		}
		obuf_putc(b, ']');
		break;
	case OJSON_ARRAY:
		obuf_putc(b, '[');
		OJSON_FOREACH_ELEM(i, e, v) {
			obuf_puts(b, sep);
			go_print(b, e);
			sep = " ";
		}
		obuf_putc(b, ']');
		break;
	default:
		(void)ojson_write(v, 0, b);
	}
}

int write_patch_is_bad(struct reg_op *op, const struct ojson *in, const char *why)
{
	cleanup_obuf struct obuf text = OBUF_INIT, sorted = OBUF_INIT, quoted = OBUF_INIT;
	cleanup_ojson struct ojson *patch = NULL, *again = NULL;

	if (op->rq.patch != REG_PATCH_STRATEGIC)
		(void)ojson_write(in, 0, &text);
	else if (ojson_parse(op->rq.body.p, op->rq.body.len, &patch, NULL) == 0 && ojson_write(patch, OJSON_SORTED, &sorted) == 0 &&
		 ojson_parse(sorted.data, sorted.len, &again, NULL) == 0)
		go_print(&text, again);
	obuf_put_quoted(&quoted, obuf_cstr(&text), text.len);
	reg_cause(op, "FieldValueInvalid", "patch", "Invalid value: %s: %s", obuf_cstr(&quoted), why ? why : "");
	return reg_invalid_as(op, "", RB0);
}

bool write_is_patched(const struct reg_op *op)
{
	return op->rq.verb == REG_PATCH && op->rq.patch != REG_PATCH_APPLY;
}

/* "yaml: unmarshal errors:\n  line 3: …" is one warning, without what stands before it. */
static void warn_strict(struct reg_op *op, const char *text)
{
	static const char yaml[] = "yaml: unmarshal errors:\n";
	const char *line = strstr(text, yaml);

	if (line)
		text = line + strlen(yaml) + strspn(line + strlen(yaml), " ");
	reg_warn(op, "%s", text);
}

int reg_take_strict(struct reg_op *op, const struct reg_kind *k, const struct ojson *in)
{
	const struct oschema_texts *t = &op->strict;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = 0;

	if (op->opt.strictness == REG_VALIDATE_STRICT && t->n) {
		obuf_puts(&b, "strict decoding error: ");
		for (uint32_t i = 0; i < t->n; i++)
			obuf_printf(&b, "%s%s", i ? ", " : "", t->v[i]);
		if (write_is_patched(op))
			r = write_patch_is_bad(op, in, obuf_cstr(&b));
		else
			r = reg_bad_request(op, "%s in version \"%s\" cannot be handled as a %s: %s", k->kind, k->version, k->kind,
					    obuf_cstr(&b));
	}
	for (uint32_t i = 0; op->opt.strictness == REG_VALIDATE_WARN && i < t->n; i++)
		warn_strict(op, t->v[i]);
	oschema_texts_done(&op->strict);
	return r;
}

/* The same owner twice is one owner. */
static int dedup_owners(struct reg_op *op, struct ojson *obj)
{
	const struct ojson *refs = ojson_get_array(ojson_get(obj, "metadata"), "ownerReferences");
	cleanup_ojson struct ojson *kept = NULL;
	cleanup_obuf struct obuf uids = OBUF_INIT;
	struct omap seen;
	int r = 0;

	if (ojson_count(refs) < 2)
		return 0;
	kept = ojson_new_array();
	if (!kept)
		return -ENOMEM;
	omap_init(&seen);
	OJSON_FOREACH_ELEM(i, e, refs) {
		struct obuf text = OBUF_INIT;

		if (r == 0)
			r = ojson_write(e, OJSON_SORTED, &text);
		if (r == 0)
			r = omap_add(&seen, text.data, text.len, NULL);
		obuf_done(&text);
		if (r == -EEXIST) {
			r = 0;
			obuf_printf(&uids, "%s%s", uids.len ? ", " : "", ojson_get_cstr(e, "uid", ""));
		} else if (r == 0) {
			r = ojson_append(kept, ojson_ref(e));
		}
	}
	omap_done(&seen);
	if (r || !uids.len)
		return r;
	reg_warn(op, ".metadata.ownerReferences contains duplicate entries%s; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %s",
		 op->rq.verb == REG_PATCH ? " after mutating admission happens" : "", obuf_cstr(&uids));
	return ojson_set(ojson_get(obj, "metadata"), "ownerReferences", TAKE(kept));
}

int write_decode(struct reg_op *op, struct ojson *take_in)
{
	const struct oschema *s = op->k->schema;
	cleanup_ojson struct ojson *in = take_in;
	const struct reg_kind *k = op->k->stored == op->w->k ? op->k : op->w->k;
	struct oschema_texts *unknown = op->opt.strictness == REG_VALIDATE_IGNORE ? NULL : &op->strict;
	struct write *w = op->w;
	int r;

	ojson_unref(w->obj);
	w->obj = NULL;
	if (k->set)
		r = custom_decode(k, in, OSCHEMA_DECODE_DEFAULTS, unknown, &w->obj, &op->err);
	else
		r = oschema_decode(s, oschema_type_at(s, k->res->type), in, OSCHEMA_DECODE_DEFAULTS, unknown, &w->obj, &op->err);
	if (r == -EINVAL && !k->set && write_is_patched(op))
		r = write_patch_is_bad(op, in, oarena_strdup(&op->arena, op->err.msg));
	else if (r == -EINVAL)
		r = oschema_decode_wrap(s, k->res, r, &op->err);
	if (r == 0)
		r = reg_take_strict(op, op->k, in);
	if (r == 0)
		r = dedup_owners(op, w->obj);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
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
