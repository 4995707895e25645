/* scale.c - the scale subresource: one number of a workload as an object of its own. */
#include "convert.h"
#include "render.h"
#include "write.h"
#include "../admission/admission.h"

#include "json/ojson.h"
#include "patch/opatch.h"
#include "schema/decode.h"
#include "schema/validate.h"
#include "selector/oselector.h"

#include <errno.h>
#include <string.h>

static int selector_text(const struct ojson *sel, struct obuf *b)
{
	struct oselector *s = NULL;
	int r;

	if (ojson_is(sel, OJSON_STRING)) {	/* a custom resource's, in words */
		obuf_append(b, ojson_bytes(sel).p, ojson_bytes(sel).len);
		return 0;
	}
	/* a plain map (ReplicationController) or a LabelSelector */
	if (ojson_has(sel, "matchLabels") || ojson_has(sel, "matchExpressions"))
		r = oselector_from_json(sel, &s, NULL);
	else
		r = oselector_from_map(sel, &s, NULL);
	if (r == 0)
		oselector_write(s, b);
	oselector_free(s);
	return r;
}

/* The scale of @obj (a tree of the workload) as JSON. */
int scale_get(struct reg_op *op, const struct reg_kind *k, struct ojson *obj, struct obuf *out)
{
	const struct oschema *s = op->k->schema;
	const struct ojson *meta = ojson_get(obj, "metadata");
	static const char *const keep[] = { "name", "namespace", "uid", "resourceVersion", "creationTimestamp" };
	struct obuf sel = OBUF_INIT;
	const char *sep = "";
	int64_t n;

	obuf_puts(out, "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{");
	for (size_t i = 0; i < sizeof(keep) / sizeof(*keep); i++) {
		struct orlop_bytes v = ojson_get_bytes(meta, keep[i]);

		if (!v.len)
			continue;
		obuf_printf(out, "%s\"%s\":", sep, keep[i]);
		obuf_put_json_string(out, v.p, v.len);
		sep = ",";
	}
	obuf_puts(out, "},\"spec\":{");
	if (k->set && op->rq.verb == REG_GET && !ojson_at_dotted(obj, oschema_str(s, op->sub->replicas)))
		return reg_internal(op, "the spec replicas field \".%s\" does not exist", oschema_str(s, op->sub->replicas));
	n = ojson_i64(ojson_at_dotted(obj, oschema_str(s, op->sub->replicas)), 0);
	if (n)
		obuf_printf(out, "\"replicas\":%lld", (long long)n);
	n = ojson_i64(ojson_at_dotted(obj, oschema_str(s, op->sub->current)), 0);
	obuf_printf(out, "},\"status\":{\"replicas\":%lld", (long long)n);
	if (op->sub->selector &&
	    selector_text(ojson_at_dotted(obj, oschema_str(s, op->sub->selector)), &sel) == 0 && sel.len) {
		obuf_puts(out, ",\"selector\":");
		obuf_put_json_string(out, sel.data, sel.len);
	}
	obuf_done(&sel);
	obuf_puts(out, "}}");
	return obuf_err(out);
}

static void finish(struct reg_op *op, struct ojson *obj)
{
	struct write *w = op->w;
	int r = scale_get(op, w->k, obj, &op->out);

	op->ans.rev = w->action == WRITE_NOTHING ? w->base_rev : w->stored.rev;
	if (r)
		reg_finish(op, reg_failed(op, r, NULL));
	else
		reg_finish_text(op, 200);
}

void scale_finish(struct reg_op *op)
{
	struct write *w = op->w;
	bool same = w->action == WRITE_NOTHING;
	struct ojson *obj = NULL;
	struct obuf b = OBUF_INIT;
	int r;

	if (same)
		obuf_append(&b, w->base_json.p, w->base_json.len);
	else
		reg_stored_put(&w->stored, &b);
	r = obuf_err(&b);
	if (r == 0 && convert_hooked(w->k)) {
		convert_one(op, w->k, (struct orlop_bytes){ b.data, b.len },
			    same ? w->base_version : RB((w->out ? w->k->set->storage : w->k)->version), finish);
		obuf_done(&b);
		return;
	}
	if (r == 0)
		r = render_parse(w->k, (struct orlop_bytes){ b.data, b.len }, &obj);
	obuf_done(&b);
	if (r)
		reg_finish(op, reg_failed(op, r, NULL));
	else
		finish(op, obj);
	ojson_unref(obj);
}

/* The Scale that the client wants: its body, or the present one with the patch applied. */
static int wanted(struct reg_op *op, struct ojson **ret)
{
	const struct oschema *s = op->k->schema;
	const struct oschema_type *t = oschema_type_at(s, op->sub->type);
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct ojson *doc = NULL, *patch = NULL;
	struct oscan_error se = { 0 };
	struct obuf b = OBUF_INIT;
	int r;

	if (op->rq.verb == REG_UPDATE)
		return write_body_sub(op, ret);
	r = scale_get(op, op->w->k, op->w->old, &b);
	if (r == 0)
		r = ojson_parse(b.data, b.len, &doc, NULL);
	obuf_done(&b);
	if (r == 0)
		r = ojson_parse(op->rq.body.p, op->rq.body.len, &patch, &se);
	if (r == -EINVAL || r == -ELOOP)
		r = reg_bad_request(op, "the object provided is unrecognized (must be of type Scale): %s", se.msg);
	else if (r == 0 && patch) {
		if (op->rq.patch == REG_PATCH_JSON)
			r = opatch_json(&doc, patch, &e);
		else if (op->rq.patch == REG_PATCH_MERGE)
			r = opatch_merge(&doc, patch, &e);
		else
			r = opatch_strategic(&doc, patch, s, t, &e);
		if (r)
			r = reg_take_whole(op, r, &e);
		orlop_error_done(&e);
	}
	ojson_unref(patch);
	if (r == 0 && !ojson_is(doc, OJSON_OBJECT))
		r = reg_bad_request(op, "the object provided is unrecognized (must be of type Scale)");
	if (r == 0 && ojson_get(doc, "kind") && !ojson_string_is(ojson_get(doc, "kind"), "Scale"))
		r = reg_bad_request(op, "%s in version \"v1\" cannot be handled as a Scale: converting (v1.%s) to (autoscaling.Scale): unknown conversion",
				    ojson_get_cstr(doc, "kind", ""), ojson_get_cstr(doc, "kind", ""));
	if (r == 0) {
		r = oschema_decode(s, t, doc, OSCHEMA_DECODE_DEFAULTS, NULL, ret, &op->err);
		if (r == -EINVAL)
			r = write_patch_is_bad(op, doc, oarena_strdup(&op->arena, op->err.msg));
	}
	ojson_unref(doc);
	return r && !op->err.err ? reg_failed(op, r, NULL) : r;
}

int scale_put(struct ojson *obj, const char *path, struct ojson *take_v)
{
	char name[256];

	for (size_t n = strcspn(path, "."); obj && path[n]; path += n + 1, n = strcspn(path, ".")) {
		if (n >= sizeof(name))
			break;
		memcpy(name, path, n);
		name[n] = '\0';
		obj = ojson_ensure_object(obj, name);
	}
	if (obj && !strchr(path, '.'))
		return ojson_put(obj, path, take_v);
	ojson_unref(take_v);
	return obj ? -EINVAL : -ENOMEM;
}

/* What webhooks made of the Scale, when they have been asked about it over this base. */
const struct ojson *scale_agreed(const struct write *w)
{
	return w->hooked && w->hook_rev == w->base_rev ? w->hook_obj : NULL;
}

bool scale_asks(struct reg_op *op)
{
	return op->sub && rb_is(op->rq.sub, "scale") && !scale_agreed(op->w) && admission_hooks_any(op->sh);
}

static int as_scale(struct reg_op *op, struct ojson *obj, struct ojson **ret)
{
	struct obuf b = OBUF_INIT;
	int r = scale_get(op, op->w->k, obj, &b);

	if (r == 0)
		r = ojson_parse(b.data, b.len, ret, NULL);
	obuf_done(&b);
	return r;
}

void scale_ask(struct reg_op *op, void (*fn)(struct reg_op *op))
{
	struct ojson *obj = NULL, *old = NULL;
	int r = as_scale(op, op->w->obj, &obj);

	if (r == 0)
		r = as_scale(op, op->w->old, &old);
	if (r == 0) {
		admission_hooks_scale(op, obj, old, fn);
		return;
	}
	ojson_unref(obj);
	reg_finish(op, reg_failed(op, r, NULL));
}

int scale_make(struct reg_op *op)
{
	const struct oschema *s = op->k->schema;
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct ojson *sc = NULL, *in = NULL, *n = NULL;
	struct write *w = op->w;
	struct orlop_bytes rv, uid, name;
	char now[24];
	int r = wanted(op, &sc);

	if (r)
		return r;
	name = ojson_get_bytes(ojson_get(sc, "metadata"), "name");
	rv = ojson_get_bytes(ojson_get(sc, "metadata"), "resourceVersion");
	uid = ojson_get_bytes(ojson_get(sc, "metadata"), "uid");
	snprintf(now, sizeof(now), "%llu", (unsigned long long)w->base_rev);
	if (name.len && !rb_eq(name, w->name))
		r = reg_bad_request(op, "the name of the object (%.*s) does not match the name on the URL (%.*s)", OB(name),
				    OB(w->name));
	else if (rv.len && !rb_is(rv, "0") && !rb_is(rv, now))
		r = reg_conflict(op, w->name, "the object has been modified; please apply your changes to the latest version and try again");
	else if (uid.len && !rb_eq(uid, ojson_get_bytes(ojson_get(w->old, "metadata"), "uid")))
		r = reg_conflict(op, w->name, "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
				 OB(uid), OB(ojson_get_bytes(ojson_get(w->old, "metadata"), "uid")));
	if (r == 0 && oschema_validate_body(s, op->sub, sc, &e)) {
		r = reg_take_error(op, -EINVAL, &e);
		if (r == 0)
			r = reg_invalid_as(op, "Scale.autoscaling", w->name);
	}
	if (r == 0)
		r = ojson_copy(w->old, &in);
	if (r == 0)
		n = ojson_new_i64(ojson_get_i64(ojson_get(scale_agreed(w) ? scale_agreed(w) : sc, "spec"), "replicas", 0));
	if (r == 0)
		r = n ? scale_put(in, oschema_str(s, op->sub->replicas), n) : -ENOMEM;
	ojson_unref(sc);
	if (r == 0)
		r = write_decode(op, TAKE(in));
	ojson_unref(in);
	if (r == 0)
		r = write_check(op);
	return r && !op->err.err ? reg_failed(op, r, NULL) : r;
}
