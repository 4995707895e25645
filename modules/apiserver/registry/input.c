/*
 * input.c - what a client sent becomes the object that shall be: bodies of create, update and patch.
 *
 * Each `make` composes one input tree (the client's members, with those of the system put in from
 * the stored object), has it decoded, and lets write_check() do the rest.
 */
#include "write.h"
#include "render.h"
#include "verbs.h"
#include "../admission/admission.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/ojson.h"
#include "patch/opatch.h"
#include "schema/decode.h"

#include <errno.h>
#include <string.h>

/* metadata of an input tree, made if it is missing; NULL: it is of a wrong type, decoding will say so */
static struct ojson *meta_of(struct ojson *in)
{
	struct ojson *m = ojson_get(in, "metadata");

	if (m)
		return ojson_is(m, OJSON_OBJECT) ? m : NULL;
	return ojson_ensure_object(in, "metadata");
}

static int check_namespace(struct reg_op *op, struct ojson *meta)
{
	struct orlop_bytes ns = ojson_get_bytes(meta, "namespace");

	if (!(op->w->k->res->flags & OSCHEMA_S_NAMESPACED))
		return 0;
	if (ns.len == 0)
		return ojson_set_string(meta, "namespace", op->w->ns.p, op->w->ns.len);
	if (!rb_eq(ns, op->w->ns))
		return reg_bad_request(op, "the namespace of the provided object does not match the namespace sent on the request");
	return 0;
}

/* ---- create ---- */

static const char *new_uid(struct reg_op *op)
{
	char *text = oarena_alloc(&op->arena, OUUID_BUF);
	unsigned char u[16];

	op->sh->h->random(op->sh->h, u, sizeof(u));
	if (text)
		ouuid_make(u, text);
	return text;
}

static int generate_name(struct reg_op *op, struct ojson *meta)
{
	struct orlop_bytes base = ojson_get_bytes(meta, "generateName");
	uint64_t rnd;
	char suffix[8];
	char *name;

	op->sh->h->random(op->sh->h, &rnd, sizeof(rnd));
	osafe_suffix(rnd, 5, suffix);
	name = oarena_printf(&op->arena, "%.*s%s", (int)(base.len > 58 ? 58 : base.len), base.p, suffix);
	op->w->generated = true;
	return name ? ojson_set_cstr(meta, "name", name) : -ENOMEM;
}

/*
 * Members of metadata that are never the client's must be what they should be nevertheless, as they are decoded before they are put
 * aside. The rest is decoded as it stands.
 */
static int check_aside(struct reg_op *op, const struct ojson *meta)
{
	static const struct {
		const char	*name;
		char		type;
	} aside[] = { { "resourceVersion", 's' }, { "selfLink", 's' }, { "uid", 's' }, { "generation", 'i' }, { "creationTimestamp", 't' },
		      { "deletionTimestamp", 't' }, { "deletionGracePeriodSeconds", 'i' } };
	cleanup_ojson struct ojson *some = NULL, *out = NULL;
	int r = 0;

	for (size_t i = 0; i < sizeof(aside) / sizeof(aside[0]); i++) {
		struct ojson *v = ojson_get(meta, aside[i].name);
		struct orlop_bytes t = ojson_bytes(v);
		int64_t ns;

		if (!v || (aside[i].type == 'i' ? ojson_is(v, OJSON_INT) : ojson_is(v, OJSON_STRING) && (aside[i].type == 's' ||
		    otime_parse(t.p, t.len, &ns) == 0)))
			continue;
		if (!some && !(some = ojson_new_object()))
			return -ENOMEM;
		r = ojson_set(ojson_ensure_object(some, "metadata"), aside[i].name, ojson_ref(v));
		if (r)
			return r;
	}
	if (!some || op->k->set)
		return 0;
	r = oschema_decode(op->k->schema, oschema_type_at(op->k->schema, op->k->res->type), some, 0, NULL, &out, &op->err);
	if (r == -EINVAL && write_is_patched(op))
		return write_patch_is_bad(op, some, oarena_strdup(&op->arena, op->err.msg));
	return r == -EINVAL ? oschema_decode_wrap(op->k->schema, op->k->res, r, &op->err) : r;
}

static int system_fields(struct reg_op *op, struct ojson *in, struct ojson *meta)
{
	const struct oschema_resource *res = op->w->k->res;
	const char *uid = new_uid(op);
	static const char *const drop[] = {
		"resourceVersion", "selfLink", "managedFields", "deletionTimestamp",
		"deletionGracePeriodSeconds", "generation",
	};
	int r;

	r = check_aside(op, meta);
	if (r)
		return r;
	if (ojson_get_array(meta, "managedFields")) {
		ojson_unref(op->w->mf_requested);
		op->w->mf_requested = ojson_ref(ojson_get_array(meta, "managedFields"));
	}
	for (size_t i = 0; i < sizeof(drop) / sizeof(*drop); i++)
		ojson_del(meta, drop[i]);
	r = uid ? ojson_set_cstr(meta, "uid", uid) : -ENOMEM;
	if (r == 0)
		r = ojson_set_cstr(meta, "creationTimestamp", reg_now(op));
	if (r == 0 && (res->flags & OSCHEMA_S_GENERATION))
		r = ojson_set_i64(meta, "generation", 1);
	if ((res->flags & (OSCHEMA_S_STATUS | OSCHEMA_S_STATUS_AT_BIRTH)) == OSCHEMA_S_STATUS)
		ojson_del(in, "status");
	return r;
}

/* From here both create and an update that creates go on. */
int write_make_new(struct reg_op *op, struct ojson *take_in)
{
	struct ojson *in = take_in, *meta = meta_of(in);
	struct write *w = op->w;
	struct orlop_bytes rv;
	int r = 0;

	if (meta) {
		rv = ojson_get_bytes(meta, "resourceVersion");
		if (rv.len && !rb_is(rv, "0")) {
			ojson_unref(in);
			return orlop_fail(&op->err, EINVAL, 500, "",
					  "resourceVersion should not be set on objects to be created");
		}
		r = check_namespace(op, meta);
		if (r == 0 && ojson_get_bytes(meta, "name").len == 0 &&
		    ojson_get_bytes(meta, "generateName").len)
			r = generate_name(op, meta);
		if (r == 0)
			r = system_fields(op, in, meta);
	}
	if (r == 0)
		r = write_decode(op, TAKE(in));
	ojson_unref(in);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	meta = ojson_get(w->obj, "metadata");
	w->name = ojson_get_bytes(meta, "name");
	w->name.p = rb_dup(&op->arena, w->name);
	r = admission_namespace(op, w->k, w->ns, w->name);
	return r ? r : write_check(op);
}

int write_make_create(struct reg_op *op)
{
	struct ojson *in = NULL;
	int r = write_parse_body(op, op->k, &in);

	return r ? r : write_make_new(op, in);
}

/* ---- update ---- */

static int put_ref(struct ojson *to, const char *key, const struct ojson *from)
{
	struct ojson *v = ojson_get(from, key);

	if (!v) {
		ojson_del(to, key);
		return 0;
	}
	return ojson_set(to, key, ojson_ref(v));
}

static int put_copy(struct ojson *to, const char *key, const struct ojson *from)
{
	struct ojson *v = ojson_get(from, key), *own;
	int r = v ? ojson_copy(v, &own) : 0;

	if (!v)
		ojson_del(to, key);
	return v && r == 0 ? ojson_set(to, key, own) : r;
}

/* Members of metadata that the client left out and may; those that are never the client's. */
static int fill_meta(struct ojson *meta, const struct ojson *old)
{
	static const char *const fill[] = { "uid", "creationTimestamp", "name", "namespace" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(fill) / sizeof(*fill); i++)
		if (!ojson_get(meta, fill[i]))
			r = put_ref(meta, fill[i], old);
	if (r == 0)
		r = put_ref(meta, "generation", old);
	/* a deletion that has begun is never taken back */
	if (r == 0)
		r = put_ref(meta, "deletionTimestamp", old);
	if (r == 0)
		r = put_ref(meta, "deletionGracePeriodSeconds", old);
	if (r == 0)
		r = put_ref(meta, "resourceVersion", old);
	ojson_del(meta, "selfLink");
	ojson_del(meta, "managedFields");
	return r;
}

static int check_preconditions(struct reg_op *op, const struct ojson *meta, bool patch)
{
	struct write *w = op->w;
	const struct ojson *old = ojson_get(w->old, "metadata");
	struct orlop_bytes name = ojson_get_bytes(meta, "name");
	struct orlop_bytes uid = ojson_get_bytes(meta, "uid");
	struct orlop_bytes rv = ojson_get_bytes(meta, "resourceVersion");
	char now[24];

	if (name.len == 0 && !patch)
		return reg_bad_request(op, "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
				       OB(w->name));
	if (name.len && !rb_eq(name, w->name))
		return reg_bad_request(op, "the name of the object (%.*s) does not match the name on the URL (%.*s)",
				       OB(name), OB(w->name));
	if (uid.len && patch && !rb_eq(uid, ojson_get_bytes(old, "uid"))) {
		/* once for every object, once more by the kind's own rules */
		for (int i = 0; i < 2; i++)
			reg_cause(op, "FieldValueInvalid", "metadata.uid",
				  "Invalid value: \"%.*s\": field is immutable", OB(uid));
		return reg_invalid(op, w->name);
	}
	if (uid.len && !rb_eq(uid, ojson_get_bytes(old, "uid")))
		return reg_conflict(op, w->name, "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
				    OB(uid), OB(ojson_get_bytes(old, "uid")));
	snprintf(now, sizeof(now), "%llu", (unsigned long long)w->base_rev);
	if (rv.len && !rb_is(rv, "0")) {
		uint64_t n;

		if (ostr_to_u64(rv.p, rv.len, &n)) {
			reg_cause(op, "FieldValueInvalid", "metadata.resourceVersion",
				  "Invalid value: \"%.*s\": strconv.ParseUint: parsing \"%.*s\": invalid syntax",
				  OB(rv), OB(rv));
			return reg_invalid(op, w->name);
		}
		if (!rb_is(rv, now))
			return reg_conflict(op, w->name, "the object has been modified; please apply your changes to the latest version and try again");
	} else if (!patch && !(w->k->res->flags & OSCHEMA_S_UNCONDITIONAL)) {
		reg_cause(op, "FieldValueInvalid", "metadata.resourceVersion",
			  "Invalid value: 0x0: must be specified for an update");
		return reg_invalid_as(op, w->k->name, w->name);
	}
	return 0;
}

/* Kinds whose status updates may change labels and annotations, as upstream's strategies let them. */
static bool status_takes_meta(const struct write *w)
{
	static const char *const names[] = { "pods", "nodes", "services", "replicasets.apps",
					     "certificatesigningrequests.certificates.k8s.io" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(w->k->name, names[i]))
			return true;
	return false;
}

int write_only_part(struct reg_op *op, struct ojson **in, const struct ojson *was)
{
	struct ojson *fresh = NULL;
	struct orlop_bytes sub = op->rq.sub;
	int r = ojson_copy(was, &fresh);

	if (r)
		return r;
	if (rb_is(sub, "approval")) {
		struct ojson *status = ojson_ensure_object(fresh, "status");
		const struct ojson *m = ojson_get(*in, "metadata");

		r = status ? put_ref(status, "conditions", ojson_get(*in, "status")) : -ENOMEM;
		if (r == 0)
			r = put_ref(ojson_get(fresh, "metadata"), "labels", m);
		if (r == 0)
			r = put_ref(ojson_get(fresh, "metadata"), "annotations", m);
	} else if (rb_is(sub, "status")) {
		r = put_ref(fresh, "status", *in);
		/* a deployment's controller writes its revision with the status; its labels stay */
		if (r == 0 && (status_takes_meta(op->w) || !strcmp(op->w->k->name, "deployments.apps"))) {
			const struct ojson *m = ojson_get(*in, "metadata");

			if (status_takes_meta(op->w))
				r = put_ref(ojson_get(fresh, "metadata"), "labels", m);
			if (r == 0)
				r = put_ref(ojson_get(fresh, "metadata"), "annotations", m);
		}
	} else if (rb_is(sub, "finalize")) {
		struct ojson *spec = ojson_ensure_object(fresh, "spec");

		r = spec ? put_ref(spec, "finalizers", ojson_get(*in, "spec")) : -ENOMEM;
		if (r == 0)
			r = put_ref(fresh, "status", *in);
	} else if (rb_is(sub, "ephemeralcontainers")) {
		r = put_ref(ojson_get(fresh, "spec"), "ephemeralContainers", ojson_get(*in, "spec"));
	} else if (rb_is(sub, "resize")) {
		/* containers in the stored order; only their resources and resizePolicy are taken */
		const struct ojson *want = ojson_get_array(ojson_get(*in, "spec"), "containers");
		struct ojson *have = ojson_get_array(ojson_get(fresh, "spec"), "containers");

		for (size_t i = 0; r == 0 && i < ojson_count(have); i++) {
			const struct ojson *c = ojson_index(want, i);

			if (!rb_eq(ojson_get_bytes(c, "name"), ojson_get_bytes(ojson_index(have, i), "name")))
				continue;
			r = put_ref(ojson_index(have, i), "resources", c);
			if (r == 0)
				r = put_ref(ojson_index(have, i), "resizePolicy", c);
		}
	}
	ojson_unref(*in);
	*in = fresh;
	return r;
}

int write_current(struct reg_op *op, struct ojson **ret)
{
	const struct oschema *s = op->k->schema;
	struct write *w = op->w;
	struct ojson *tree = NULL;
	int r = ojson_copy(w->old, &tree);

	if (r == 0 && op->k != w->k) {
		r = oschema_convert(s, w->k->res, op->k->res, tree);
		if (r == 0)
			r = ojson_set_cstr(tree, "apiVersion", op->k->api_version);
	}
	if (r) {
		ojson_unref(tree);
		return reg_failed(op, r, NULL);
	}
	*ret = tree;
	return 0;
}

/* An object marked for deletion whose last finalizer this write takes away goes. */
static bool goes_now(const struct write *w)
{
	const struct ojson *meta = ojson_get(w->obj, "metadata");
	const struct ojson *grace = ojson_get(meta, "deletionGracePeriodSeconds");

	if (!ojson_get(meta, "deletionTimestamp") || ojson_count(ojson_get_array(meta, "finalizers")))
		return false;
	if (!strcmp(w->k->name, "namespaces"))
		return ojson_count(ojson_get_array(ojson_get(w->obj, "spec"), "finalizers")) == 0;
	return !grace || ojson_i64(grace, 0) == 0;
}

/* @in is the whole object as the client wants it. */
int write_make_changed(struct reg_op *op, struct ojson *take_in, bool patch)
{
	struct ojson *in = take_in, *meta;
	struct ojson *was = NULL;
	struct write *w = op->w;
	int r;

	meta = meta_of(in);
	if (!meta) {
		char why[200];

		snprintf(why, sizeof(why), "json: cannot unmarshal %s into Go struct field %s.metadata of type v1.ObjectMeta",
			 ojson_type_name(ojson_get(in, "metadata")), op->k->kind);
		r = write_is_patched(op) && !op->k->set ? write_patch_is_bad(op, in, why) :
		    reg_bad_request(op, "%s in version \"%s\" cannot be handled as a %s: %s", op->k->kind, op->k->version, op->k->kind, why);
		ojson_unref(in);
		return r;
	}
	r = check_aside(op, meta);
	if (r == 0)
		r = check_preconditions(op, meta, patch);
	if (r == 0 && op->w->k->res->flags & OSCHEMA_S_NAMESPACED)
		r = check_namespace(op, meta);
	if (r == 0 && ojson_get_array(meta, "managedFields")) {
		ojson_unref(w->mf_requested);
		w->mf_requested = ojson_ref(ojson_get_array(meta, "managedFields"));
	}
	if (r == 0 && op->k != w->k)
		r = write_current(op, &was);
	if (r == 0 && op->rq.sub.len)
		r = write_only_part(op, &in, was ? was : w->old);
	meta = meta_of(in);
	if (r == 0)
		r = fill_meta(meta, ojson_get(w->old, "metadata"));
	if (r == 0 && op->rq.sub.len == 0 && (w->k->res->flags & OSCHEMA_S_STATUS))
		r = put_ref(in, "status", was ? was : w->old);
	ojson_unref(was);
	if (r == 0)
		r = write_decode(op, TAKE(in));
	ojson_unref(in);
	/* another version may not have all of it, and what it has in annotations came through the client's hands */
	if (r == 0 && op->k != w->k && op->rq.sub.len == 0 && (w->k->res->flags & OSCHEMA_S_STATUS))
		r = put_copy(w->obj, "status", w->old);
	if (r == 0)
		r = write_check(op);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	if (goes_now(w))
		w->action = WRITE_REMOVE;
	return 0;
}

int write_may_create(struct reg_op *op, struct ojson *in)
{
	struct ojson *meta = meta_of(in);
	int r = 0;

	if (op->sh->rg->cfg.hooks.authorize) {
		struct reg_req as = op->rq;

		as.verb = REG_CREATE;
		r = reg_authorize(op->sh, &as, &op->err);
	}
	if (r == 0 && meta) {
		struct orlop_bytes name = ojson_get_bytes(meta, "name");

		if (name.len && !rb_eq(name, op->rq.name))
			r = reg_bad_request(op, "the name of the object (%.*s) does not match the name on the URL (%.*s)",
					    OB(name), OB(op->rq.name));
		else if (ojson_get_bytes(meta, "uid").len)
			r = reg_conflict(op, op->rq.name, "Precondition failed: UID in precondition: %.*s, UID in object meta: ",
					 OB(ojson_get_bytes(meta, "uid")));
		else if (ojson_get_bytes(meta, "resourceVersion").len)
			r = reg_not_found(op, op->rq.name);
		else
			r = ojson_set_string(meta, "name", op->rq.name.p, op->rq.name.len);
	}
	return r;
}

int write_make_update(struct reg_op *op)
{
	struct ojson *in = NULL;
	int r = write_parse_body(op, op->k, &in);

	if (r)
		return r;
	op->w->code = 200;
	if (op->w->old)
		return write_make_changed(op, in, false);

	/* PUT creates: the name is the path's */
	op->w->code = 201;
	r = write_may_create(op, in);
	if (r) {
		ojson_unref(in);
		return op->err.err ? r : reg_failed(op, r, NULL);
	}
	return write_make_new(op, in);
}

/* ---- patch ---- */

/* What the members of the operations of a JSON patch are, apart from "value", whatever that is. */
static void strict_operations(struct reg_op *op, const struct ojson *patch)
{
	static const char *const names[] = { "op", "path", "from", "value" };

	OJSON_FOREACH_ELEM(i, e, patch) {
		if (!ojson_is(e, OJSON_OBJECT))
			continue;
		OJSON_FOREACH(it, e) {
			bool known = false;

			for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
				known = known || !strcmp(it.key, names[n]);
			if (!known)
				(void)oschema_texts_add(&op->strict, "json patch unknown field \"[%zu].%.*s\"", (size_t)i,
							(int)it.key_len, it.key);
		}
	}
}

static void on_doubled_operation(void *arg, const char *path, size_t len)
{
	struct reg_op *op = arg;

	if (op->opt.strictness != REG_VALIDATE_IGNORE)
		(void)oschema_texts_add(&op->strict, "json patch duplicate field \"%.*s\"", (int)len, path);
}

int write_make_patch(struct reg_op *op)
{
	const struct oschema *s = op->k->schema;
	struct ojson *doc = NULL, *patch = NULL;
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct oscan_error se = { 0 };
	int r;

	oschema_texts_done(&op->strict);
	r = ojson_parse_duplicates(op->rq.body.p, op->rq.body.len,
				   op->rq.patch == REG_PATCH_JSON ? on_doubled_operation : write_note_duplicate, op, &patch, &se);
	if (r)
		return r == -ENOMEM ? reg_failed(op, r, NULL) :
		       reg_bad_request(op, "error decoding patch: %s", se.msg[0] ? se.msg : "unexpected end of JSON input");
	if (op->rq.patch != REG_PATCH_JSON && !ojson_is(patch, OJSON_OBJECT)) {
		r = reg_bad_request(op, "error decoding patch: json: cannot unmarshal %s into Go value of type map[string]interface {}",
				    ojson_type_name(patch));
		ojson_unref(patch);
		return r;
	}
	if (op->rq.patch == REG_PATCH_JSON && op->opt.strictness != REG_VALIDATE_IGNORE)
		strict_operations(op, patch);
	r = write_current(op, &doc);
	if (r == 0) {
		switch (op->rq.patch) {
		case REG_PATCH_JSON:
			r = opatch_json(&doc, patch, &e);
			break;
		case REG_PATCH_MERGE:
			r = opatch_merge(&doc, patch, &e);
			break;
		default:
			r = opatch_strategic(&doc, patch, s, oschema_type_at(s, op->k->res->type), &e);
			break;
		}
		if (r)
			r = reg_take_whole(op, r, &e);
	}
	ojson_unref(patch);
	orlop_error_done(&e);
	if (r == 0 && !ojson_is(doc, OJSON_OBJECT))
		r = reg_bad_request(op, "the patch does not leave an object");
	if (r == 0 && (!ojson_string_is(ojson_get(doc, "kind"), op->k->kind) ||
		       !ojson_string_is(ojson_get(doc, "apiVersion"), op->k->api_version)))
		r = reg_bad_request(op, "the API version in the data (%s,%s) does not match the expected API version (%s,%s)",
				    ojson_get_cstr(doc, "apiVersion", ""), ojson_get_cstr(doc, "kind", ""),
				    op->k->api_version, op->k->kind);
	if (r) {
		ojson_unref(doc);
		return op->err.err ? r : reg_failed(op, r, NULL);
	}
	return write_make_changed(op, doc, true);
}
