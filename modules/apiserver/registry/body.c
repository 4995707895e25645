/*
 * body.c - the body of a write as a tree, and what is said of one that is none, or is of something else.
 *
 * Source: upstream's apiserver, endpoints/handlers (transformDecodeError) and the schemes' decoding, behaviour only; test: tests/api/bodies.py
 */
#include "write.h"
#include "render.h"

#include "base/ocleanup.h"
#include "json/ojson.h"
#include "schema/decode.h"

#include <errno.h>
#include <string.h>

void write_note_duplicate(void *arg, const char *path, size_t len)
{
	struct reg_op *op = arg;

	if (op->opt.strictness != REG_VALIDATE_IGNORE)
		(void)oschema_texts_add(&op->strict, "duplicate field \"%.*s\"", (int)len, path);
}

/* The first 30 bytes of a body that is no object, as upstream shows them. */
static const char *summary(struct reg_op *op)
{
	struct orlop_bytes body = op->rq.raw.len ? op->rq.raw : op->rq.body;
	size_t n = body.len < 30 ? body.len : 30;
	const char *more = body.len > n ? " ..." : "";
	char hex[2 * 30 + 1];

	if (!n)
		return "<empty>";
	if (body.p[0] == '{')
		return oarena_printf(&op->arena, "%.*s%s", (int)n, body.p, more);
	for (size_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)body.p[i]);
	return oarena_printf(&op->arena, "%s%s", hex, more);
}

int write_body_broken(struct reg_op *op)
{
	const char *kind = op->sub ? oschema_str(op->k->schema, op->sub->kind) : "";

	if (op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION)
		return reg_bad_request(op, "%s", op->rq.broken);
	return reg_bad_request(op, "the object provided is unrecognized (must be of type %s): %s (%s)", *kind ? kind : op->k->kind, op->rq.broken,
			       summary(op));
}

static int parse(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes body,
		 struct ojson **ret)
{
	struct oscan_error e = { 0 };
	int r;

	oschema_texts_done(&op->strict);
	if (op->rq.twice && op->opt.strictness != REG_VALIDATE_IGNORE)
		(void)oschema_texts_add(&op->strict, "yaml: unmarshal errors:\n  %s", op->rq.twice);
	r = ojson_parse_duplicates(body.p, body.len, write_note_duplicate, op, ret, &e);
	if (r == -ENOMEM)
		reg_failed(op, r, NULL);
	else if (r)
		r = reg_bad_request(op, "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: %s (%s)",
				    k->kind, e.msg[0] ? e.msg : "unexpected end of JSON input", summary(op));
	return r;
}

/* Is there such a kind? Of versions that are no more, or not yet, nobody knows here which kinds they had. */
static bool is_registered(const struct reg_kind *k, struct orlop_bytes api_version, struct orlop_bytes kind)
{
	const char *slash = api_version.len ? memchr(api_version.p, '/', api_version.len) : NULL;
	struct orlop_bytes group = { api_version.p, slash ? (size_t)(slash - api_version.p) : 0 };
	struct orlop_bytes version = { slash ? slash + 1 : api_version.p, api_version.len - group.len - (slash ? 1 : 0) };
	const struct oschema *s = k->schema;
	const struct oschema_group *g = oschema_group_version_find(s, group, version);
	char name[400];

	if (!g)
		return oschema_group_find(s, group) && (memmem(version.p, version.len, "alpha", 5) || memmem(version.p, version.len, "beta", 4));
	if (rb_is(kind, "List"))
		return !group.len;
	if (kind.len > 4 && !memcmp(kind.p + kind.len - 4, "List", 4))
		kind.len -= 4;
	snprintf(name, sizeof(name), "%s.%.*s", oschema_str(s, g->package), OB(kind));
	if (oschema_type_find(s, name))
		return true;
	snprintf(name, sizeof(name), "meta/v1.%.*s", OB(kind));		/* DeleteOptions and the like are in each of them */
	return oschema_type_find(s, name);
}

/* kind and apiVersion as they were sent, of a body of built-in @k; empty: not at all. */
static int check_kind(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes kind, struct orlop_bytes version)
{
	const char *slash = version.len ? memrchr(version.p, '/', version.len) : NULL;

	if (slash && memchr(version.p, '/', (size_t)(slash - version.p)))
		return reg_bad_request(op, "the object provided is unrecognized (must be of type %s): unexpected GroupVersion string: %.*s (%s)",
				       k->kind, OB(version), summary(op));
	version = version.len ? version : RB(k->api_version);
	kind = kind.len ? kind : RB(k->kind);
	slash = memchr(version.p, '/', version.len);
	/* an Eviction may be of either version, whichever are served */
	if (!strcmp(k->kind, "Eviction") && rb_is(kind, k->kind) && rb_is(version, "policy/v1beta1"))
		return 0;
	if (!is_registered(k, version, kind))
		return reg_bad_request(op, "%.*s in version \"%.*s\" cannot be handled as a %s: no kind \"%.*s\" is registered for version \"%.*s\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
				       OB(kind), slash ? (int)(version.p + version.len - slash - 1) : (int)version.len,
				       slash ? slash + 1 : version.p, k->kind, OB(kind), OB(version));
	if (!rb_is(kind, k->kind))
		return reg_bad_request(op, "%.*s in version \"%s\" cannot be handled as a %s: converting (%s.%.*s) to (%s.%s): unknown conversion",
				       OB(kind), k->version, k->kind, k->version, OB(kind), k->group[0] ? k->group : "core", k->kind);
	if (!rb_is(version, k->api_version))
		return reg_bad_request(op, "the API version in the data (%.*s) does not match the expected API version (%s)",
				       OB(version), k->api_version);
	return 0;
}

/* The same of a custom resource: nothing is known of its kind but what it says. */
static int check_custom_kind(struct reg_op *op, const struct reg_kind *k, const struct ojson *in, struct orlop_bytes kind,
			     struct orlop_bytes version)
{
	if (version.len && !rb_is(version, k->api_version))
		return reg_bad_request(op, "the API version in the data (%.*s) does not match the expected API version (%s)",
				       OB(version), k->api_version);
	if (!kind.len)
		return reg_bad_request(op, "%s in version \"%s\" cannot be handled as a %s: Object 'Kind' is missing in '%s'", k->kind,
				       k->version, k->kind, summary(op));
	if (rb_is(kind, k->kind))
		return 0;
	reg_cause(op, "FieldValueInvalid", "kind", "Invalid value: \"%.*s\": must be %s", OB(kind), k->kind);
	return reg_invalid_as(op, oarena_printf(&op->arena, "%.*s.%s", OB(kind), k->group), ojson_get_bytes(ojson_get(in, "metadata"), "name"));
}

/* Who it says that it is. */
static int check_type(struct reg_op *op, const struct reg_kind *k, const struct ojson *in)
{
	struct orlop_bytes kind = ojson_get_bytes(in, "kind"), version = ojson_get_bytes(in, "apiVersion");

	OJSON_FOREACH(it, in)
		if ((!strcmp(it.key, "kind") || !strcmp(it.key, "apiVersion")) && it.value && !ojson_is(it.value, OJSON_STRING))
			return reg_bad_request(op, "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go struct field .%s of type string (%s)",
					       k->kind, ojson_type_name(it.value), it.key, summary(op));
	return k->set ? check_custom_kind(op, k, in, kind, version) : check_kind(op, k, kind, version);
}

int write_parse_body(struct reg_op *op, const struct reg_kind *k, struct ojson **ret)
{
	cleanup_ojson struct ojson *in = NULL;
	int r;

	if (op->rq.body.len == 0)
		return reg_bad_request(op, "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
				       k->kind);
	r = parse(op, k, op->rq.body, &in);
	if (r)
		return r;
	if (!in)		/* null says nothing, as no member would */
		in = ojson_new_object();
	if (!in)
		return reg_failed(op, -ENOMEM, NULL);
	if (!ojson_is(in, OJSON_OBJECT))
		return reg_bad_request(op, "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (%s)",
				       k->kind, ojson_type_name(in), summary(op));
	r = check_type(op, k, in);
	if (r)
		return r;
	if (ojson_set_cstr(in, "kind", k->kind) || ojson_set_cstr(in, "apiVersion", k->api_version))
		return reg_failed(op, -ENOMEM, NULL);
	*ret = TAKE(in);
	return 0;
}

int write_body_as(struct reg_op *op, const struct reg_kind *as, const struct oschema_type *t, struct ojson **ret)
{
	struct oschema_texts *unknown = op->opt.strictness == REG_VALIDATE_IGNORE ? NULL : &op->strict;
	cleanup_ojson struct ojson *in = NULL, *out = NULL;
	int r = write_parse_body(op, as, &in);

	if (r)
		return r;
	r = oschema_decode(op->k->schema, t, in, OSCHEMA_DECODE_DEFAULTS, unknown, &out, &op->err);
	if (r == -EINVAL)
		r = orlop_wrap(&op->err, r, "%s in version \"%s\" cannot be handled as a %s", as->kind, as->version, as->kind);
	if (r == 0)
		r = reg_take_strict(op, as, in);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	*ret = TAKE(out);
	return 0;
}

int write_body_sub(struct reg_op *op, struct ojson **ret)
{
	const struct oschema *s = op->k->schema;
	struct reg_kind as = {
		.schema = op->sh->rg->schema, .group = oschema_str(s, op->sub->group), .version = oschema_str(s, op->sub->version),
		.kind = oschema_str(s, op->sub->kind),
	};

	as.api_version = as.group[0] ? oarena_printf(&op->arena, "%s/%s", as.group, as.version) : as.version;
	return as.api_version ? write_body_as(op, &as, oschema_type_at(s, op->sub->type), ret) : reg_failed(op, -ENOMEM, NULL);
}
