/*
 * body.c - the body of a request: of which type it is, and as JSON.
 */
#include "front.h"

#include "json/ojson.h"
#include "yaml/oyaml.h"

#include <errno.h>
#include <stdio.h>

bool front_body_type(struct front *f)
{
	struct orlop_bytes t = ohttp_header(f->req, "content-type");
	const char *semi = t.p ? memchr(t.p, ';', t.len) : NULL;

	if (semi)
		t.len = (size_t)(semi - t.p);
	while (t.len && t.p[t.len - 1] == ' ')
		t.len--;
	if (f->rq.verb == REG_PATCH) {
		if (bytes_is(t, "application/json-patch+json"))
			f->rq.patch = REG_PATCH_JSON;
		else if (bytes_is(t, "application/merge-patch+json"))
			f->rq.patch = REG_PATCH_MERGE;
		else if (bytes_is(t, "application/strategic-merge-patch+json") && !f->rt.kind)
			f->rq.patch = REG_PATCH_STRATEGIC;
		else if (bytes_is(t, "application/apply-patch+yaml"))
			f->rq.patch = REG_PATCH_APPLY;
		if (f->rq.patch)
			return true;
		front_error(f, 415, "UnsupportedMediaType",
			    "the body of the request was in an unknown format - accepted media types include: "
			    "application/json-patch+json, application/merge-patch+json, %sapplication/apply-patch+yaml",
			    f->rt.kind ? "" : "application/strategic-merge-patch+json, ");
		return false;
	}
	if (bytes_is(t, "application/vnd.kubernetes.protobuf") && !f->rt.kind) {
		f->body_kind = BODY_PROTO;
		return true;
	}
	if (bytes_is(t, "application/yaml") || bytes_is(t, "application/x-yaml") || bytes_is(t, "text/yaml")) {
		f->body_kind = BODY_YAML;
		return true;
	}
	if (!t.len || bytes_is(t, "application/json") || bytes_is(t, "*/*") ||
	    bytes_is(t, "application/x-www-form-urlencoded"))
		return true;
	front_error(f, 415, "UnsupportedMediaType",
		    "the body of the request was in an unknown format - accepted media types include: "
		    "application/json, application/yaml%s", f->rt.kind ? "" : ", application/vnd.kubernetes.protobuf");
	return false;
}

static int decode_proto(struct front *f, struct obuf *json, char *why, size_t size)
{
	const struct oschema *s = f->rt.schema;
	const struct oschema_type *t = oschema_type_at(s, f->rt.subres ? f->rt.subres->type : f->rt.res->type);
	int r;

	if (f->rq.verb == REG_DELETE || f->rq.verb == REG_DELETECOLLECTION)
		t = oschema_type_find(s, "meta/v1.DeleteOptions");
	r = t ? protobuf_to_json(s, t, (struct orlop_bytes){ f->body.data, f->body.len }, json) : -EINVAL;
	snprintf(why, size, "no valid protobuf object: %s",
		 r == -E2BIG ? "too many values" : r == -ENOMEM ? "out of memory" : "malformed");
	return r;
}

#define RAW_MAX	31u	/* upstream shows 30 bytes of a body, and if there is more */

static int decode_yaml(struct front *f, struct obuf *json, char *why, size_t size)
{
	struct oyaml_error err = { 0 }, twice = { 0 };
	struct ojson *j = NULL;
	int r = oyaml_parse_last(f->body.data, f->body.len, &j, &twice, &err);
	size_t n = f->body.len < RAW_MAX ? f->body.len : RAW_MAX;

	f->rq.raw.p = oarena_strndup(&f->arena, f->body.data, n);
	f->rq.raw.len = f->rq.raw.p ? n : 0;
	if (r == 0)
		r = ojson_write(j, 0, json);
	ojson_unref(j);
	if (twice.msg[0])	/* how much that matters fieldValidation says */
		f->rq.twice = oarena_strdup(&f->arena, twice.msg + strlen("yaml: "));
	snprintf(why, size, "%s", err.msg);
	return r;
}

bool front_body_decode(struct front *f)
{
	struct obuf json = OBUF_INIT;
	char why[200];
	int r = f->body_kind == BODY_PROTO ? decode_proto(f, &json, why, sizeof(why))
					   : decode_yaml(f, &json, why, sizeof(why));

	if (r < 0 && f->body_kind == BODY_PROTO) {
		obuf_done(&json);
		front_error(f, 400, "BadRequest", "the body of the request is %s", why);
		return false;
	}
	if (r < 0) {		/* what it should have been is known there */
		obuf_truncate(&json, 0);
		f->rq.broken = oarena_strdup(&f->arena, why);
		if (!f->rq.broken)	/* without a word about it there would be no body at all, and of a deletion no dryRun */
			f->rq.broken = "out of memory";
	}
	obuf_done(&f->body);
	f->body = json;
	return true;
}
