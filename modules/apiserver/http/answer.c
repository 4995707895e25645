/*
 * answer.c - what a request is answered with: headers, a Status, and other forms than the registry's.
 */
#include "front.h"

#include "json/ojson.h"
#include "yaml/oyaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

size_t front_headers(struct front *f, struct ohttp_header *hdr, const char *type)
{
	const char *schema, *level;
	size_t n = 0;

	hdr[n++] = ohttp_header_cstr("Audit-Id", f->audit_id);
	hdr[n++] = ohttp_header_cstr("Cache-Control", "no-cache, private");
	if (type)
		hdr[n++] = ohttp_header_cstr("Content-Type", type);
	hdr[n++] = ohttp_header_cstr("Traceparent", f->traceparent);
	if (flow_uids(f, &schema, &level)) {
		hdr[n++] = ohttp_header_cstr("X-Kubernetes-Pf-Flowschema-Uid", schema);
		hdr[n++] = ohttp_header_cstr("X-Kubernetes-Pf-Prioritylevel-Uid", level);
	}
	return n;
}

void front_text(struct front *f, int status, const char *type, const void *p, size_t len)
{
	struct ohttp_header hdr[12];
	struct ohttp_piece piece = { .len = len, .release = omem_free };
	size_t n = front_headers(f, hdr, type);
	char *copy = omem_dup(p, len);

	if (!f->req) {
		omem_free(copy);
		(void)front_free_if_idle(f);
		return;
	}
	if (!copy) {
		ohttp_abort(f->req);
		front_done(f, 500);
		return;
	}
	piece.p = copy;
	piece.arg = copy;
	ohttp_reply_gzip(f->req, status, hdr, n, &piece, 1, APIS_GZIP_MIN);
	front_done(f, status);
}

void front_document(struct front *f, const void *p, size_t len)
{
	struct obuf out = OBUF_INIT;

	if (f->accept.proto &&
	    reg_proto_document(f->sh->a->schema, (struct orlop_bytes){ p, len }, &out) == 0)
		front_text(f, 200, REG_PROTO_TYPE, out.data, out.len);
	else
		front_text(f, 200, "application/json", p, len);
	obuf_done(&out);
}

static void release_answer(void *arg)
{
	reg_answer_free(arg);
}

/* The answer as YAML. 0 or -errno. */
static int to_yaml(const struct reg_answer *a, struct obuf *out)
{
	struct obuf text = OBUF_INIT;
	struct ojson *j = NULL;
	int r;

	for (uint32_t i = 0; i < a->n_pieces; i++)
		obuf_append(&text, a->pieces[i].p, a->pieces[i].len);
	r = obuf_err(&text) ? -ENOMEM : ojson_parse(obuf_cstr(&text), text.len, &j, NULL);
	obuf_done(&text);
	if (r == 0)
		r = oyaml_write(j, out);
	ojson_unref(j);
	return r;
}

/* An answer that must be made anew: indented, or YAML. */
static void reply_rewritten(struct front *f, struct reg_answer *a, const struct ohttp_header *hdr, size_t n_hdr)
{
	struct ohttp_piece piece = { .release = omem_free };
	struct obuf b = OBUF_INIT;
	size_t len;
	char *p;

	if (f->accept.yaml)
		b.err = to_yaml(a, &b);
	else
		json_indent(a->pieces, a->n_pieces, &b);
	p = obuf_steal(&b, &len);
	if (!p) {
		ohttp_abort(f->req);
		return;
	}
	piece.p = p;
	piece.len = len;
	piece.arg = p;
	ohttp_reply_gzip(f->req, (int)a->code, hdr, n_hdr, &piece, 1, APIS_GZIP_MIN);
}

void front_answer(struct front *f, struct reg_answer *a)
{
	struct ohttp_header own[16];
	const struct ohttp_header *hdr;
	char retry[16];
	int status = a ? (int)a->code : 500;
	size_t n;

	if (!f->req) {
		reg_answer_free(a);
		(void)front_free_if_idle(f);
		return;
	}
	if (!a) {
		ohttp_reply_text(f->req, 500, "text/plain", "out of memory\n", 14);
		front_done(f, 500);
		return;
	}
	if (a->watch) {
		struct reg_watch *w = a->watch;

		a->watch = NULL;
		reg_answer_free(a);
		watch_begin(f, w);
		return;
	}
	if ((status >= 400 ? f->accept.status_proto : f->accept.proto) && reg_answer_proto(a) < 0) {
		reg_answer_free(a);
		ohttp_abort(f->req);
		front_done(f, 500);
		return;
	}
	f->sent = a->len;
	n = front_headers(f, own, a->proto ? REG_PROTO_TYPE : f->accept.yaml ? "application/yaml" : "application/json");
	if (a->retry_after_s) {
		snprintf(retry, sizeof(retry), "%u", a->retry_after_s);
		own[n++] = ohttp_header_cstr("Retry-After", retry);
	}
	hdr = front_warnings(f, a, own, &n);
	if ((f->pretty || f->accept.yaml) && !a->proto) {
		reply_rewritten(f, a, hdr, n);
		reg_answer_free(a);
		front_done(f, status);
		return;
	}
	if (a->n_pieces == 0) {
		ohttp_reply(f->req, status, hdr, n, NULL, 0);
		reg_answer_free(a);
	} else {
		ohttp_reply_spans(f->req, status, hdr, n, a->pieces, a->n_pieces, APIS_GZIP_MIN, release_answer, a);
	}
	front_done(f, status);
}

void front_fail(struct front *f, const struct orlop_error *err)
{
	if (err->http == 403)		/* a path has no resource, and empty details */
		front_answer(f, reg_status_about(f->sh->reg, err, f->rt.group, f->rt.resource, f->rt.name));
	else
		front_answer(f, reg_status(f->sh->reg, err));
}

void front_error(struct front *f, int http, const char *reason, const char *fmt, ...)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	err.err = EIO;
	err.http = (uint16_t)http;
	snprintf(err.reason, sizeof(err.reason), "%s", reason);
	front_fail(f, &err);
}

void front_forbidden(struct front *f, const struct reg_attrs *at)
{
	char where[300] = "at the cluster scope", name[300] = "";

	if (at->ns.len)
		snprintf(where, sizeof(where), "in the namespace \"%.*s\"", OB(at->ns));
	if (at->name.len)
		snprintf(name, sizeof(name), " \"%.*s\"", OB(at->name));
	front_error(f, 403, "Forbidden", "%.*s%s%.*s%s is forbidden: User \"%.*s\" cannot %.*s resource \"%.*s%s%.*s\" in API group \"%.*s\" %s",
		    OB(at->resource), at->group.len ? "." : "", OB(at->group), name, OB(f->who.user), OB(at->verb), OB(at->resource),
		    at->sub.len ? "/" : "", OB(at->sub), OB(at->group), where);
}

void front_not_found(struct front *f, struct orlop_bytes name)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	(void)orlop_fail(&err, ENOENT, 404, "NotFound", "%.*s \"%.*s\" not found", OB(f->rt.resource), OB(name));
	front_answer(f, reg_status_about(f->sh->reg, &err, f->rt.group, f->rt.resource, name));
	orlop_error_done(&err);
}

void front_too_many(struct front *f, bool write)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct reg_answer *a;

	metrics_dropped(f, write);
	(void)orlop_fail(&err, EAGAIN, 429, "TooManyRequests", "Too many requests, please try again later.");
	a = reg_status(f->sh->reg, &err);
	if (a)
		a->retry_after_s = 1;
	front_answer(f, a);
}
