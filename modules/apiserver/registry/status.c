/* status.c - errors as metav1.Status: reasons, details and wording as upstream has them. */
#include "op.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A small body can be wrong in very many places; more than anybody reads are not kept. */
#define CAUSES_MAX	500u

static const char *keep(struct reg_op *op, struct orlop_bytes b)
{
	return b.len ? rb_dup(&op->arena, b) : "";
}

/* The long form of a message; err.msg keeps what fits. */
__attribute__((format(printf, 5, 0)))
static int fail_v(struct reg_op *op, int errnum, int http, const char *reason, const char *fmt,
		  va_list ap)
{
	va_list ap2;
	int n;

	va_copy(ap2, ap);
	op->err.size = sizeof(op->err);
	op->err.err = errnum;
	op->err.http = (uint16_t)http;
	snprintf(op->err.reason, sizeof(op->err.reason), "%s", reason);
	n = vsnprintf(op->err.msg, sizeof(op->err.msg), fmt, ap);
	op->err_text = NULL;
	if (n >= (int)sizeof(op->err.msg)) {
		char *text = oarena_alloc(&op->arena, (size_t)n + 1);

		if (text) {
			vsnprintf(text, (size_t)n + 1, fmt, ap2);
			op->err_text = text;
		}
	}
	va_end(ap2);
	return -errnum;
}

__attribute__((format(printf, 5, 6)))
static int fail(struct reg_op *op, int errnum, int http, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_v(op, errnum, http, reason, fmt, ap);
	va_end(ap);
	return -errnum;
}

static const char *text(const struct reg_op *op)
{
	return op->err_text ? op->err_text : op->err.msg;
}

/* "deployments.apps" of the request's resource; details as upstream's NewNotFound & co. have them */
static const char *about(struct reg_op *op, struct orlop_bytes name)
{
	op->det_name = keep(op, name);
	op->det_group = op->k->group;
	op->det_kind = op->k->plural;
	return op->k->name;
}

int reg_not_found(struct reg_op *op, struct orlop_bytes name)
{
	const char *res = about(op, name);

	return fail(op, ENOENT, 404, "NotFound", "%s \"%.*s\" not found", res, OB(name));
}

int reg_not_found_part(struct reg_op *op, const char *part, const char *group, struct orlop_bytes name)
{
	op->det_name = keep(op, name);
	op->det_group = group;
	op->det_kind = oarena_printf(&op->arena, "%s/%s", op->k->plural, part);
	return fail(op, ENOENT, 404, "NotFound", "%s/%s.%s \"%.*s\" not found", op->k->plural, part, group, OB(name));
}

int reg_exists(struct reg_op *op, struct orlop_bytes name)
{
	const char *res = about(op, name);

	return fail(op, EEXIST, 409, "AlreadyExists", "%s \"%.*s\" already exists", res, OB(name));
}

__attribute__((format(printf, 4, 0)))
static int conflict_on(struct reg_op *op, const char *res, struct orlop_bytes name, const char *fmt, va_list ap)
{
	char why[512];

	vsnprintf(why, sizeof(why), fmt, ap);
	return fail(op, EAGAIN, 409, "Conflict", "Operation cannot be fulfilled on %s \"%.*s\": %s", res,
		    OB(name), why);
}

int reg_conflict(struct reg_op *op, struct orlop_bytes name, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = conflict_on(op, about(op, name), name, fmt, ap);
	va_end(ap);
	return r;
}

int reg_conflict_sub(struct reg_op *op, const char *sub, struct orlop_bytes name, const char *fmt, ...)
{
	va_list ap;
	int r;

	(void)about(op, name);
	op->det_kind = sub;
	va_start(ap, fmt);
	r = conflict_on(op, sub, name, fmt, ap);
	va_end(ap);
	return r;
}

int reg_forbidden(struct reg_op *op, struct orlop_bytes name, const char *fmt, ...)
{
	const char *res = about(op, name);
	char brief[256], *why = brief;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(brief, sizeof(brief), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(brief)) {
		char *all = oarena_alloc(&op->arena, (size_t)n + 1);

		if (all) {
			va_start(ap, fmt);
			vsnprintf(all, (size_t)n + 1, fmt, ap);
			va_end(ap);
			why = all;
		}
	}
	if (name.len == 0)
		return fail(op, EACCES, 403, "Forbidden", "%s is forbidden: %s", res, why);
	return fail(op, EACCES, 403, "Forbidden", "%s \"%.*s\" is forbidden: %s", res, OB(name), why);
}

int reg_bad_request(struct reg_op *op, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_v(op, EINVAL, 400, "BadRequest", fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int reg_fail(struct reg_op *op, int errnum, int http, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_v(op, errnum, http, reason, fmt, ap);
	va_end(ap);
	return -errnum;
}

int reg_internal(struct reg_op *op, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	reg_cause(op, "", "", "%s", why);
	return fail(op, EIO, 500, "InternalError", "Internal error occurred: %s", why);
}

int reg_method(struct reg_op *op)
{
	op->det_kind = op->k->plural;
	op->det_group = op->k->group;
	return fail(op, ENOSYS, 405, "MethodNotAllowed",
		    "the server does not allow this method on the requested resource");
}

int reg_too_large_rv(struct reg_op *op, uint64_t asked, uint64_t current)
{
	op->ans.retry_after_s = 1;
	reg_cause(op, "ResourceVersionTooLarge", "", "Too large resource version");
	return fail(op, ETIMEDOUT, 504, "Timeout",
		    "Timeout: Too large resource version: %llu, current: %llu",
		    (unsigned long long)asked, (unsigned long long)current);
}

int reg_expired(struct reg_op *op, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_v(op, ESTALE, 410, "Expired", fmt, ap);
	va_end(ap);
	return -ESTALE;
}

void reg_cause(struct reg_op *op, const char *reason, const char *field, const char *fmt, ...)
{
	struct reg_cause *c = op->n_causes < CAUSES_MAX ? oarena_zalloc(&op->arena, sizeof(*c)) : NULL;
	struct obuf b = OBUF_INIT;
	va_list ap;

	if (!c)
		return;
	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	c->reason = oarena_strdup(&op->arena, reason);
	c->field = oarena_strdup(&op->arena, field);
	c->message = oarena_strdup(&op->arena, obuf_cstr(&b));
	obuf_done(&b);
	if (!c->reason || !c->field || !c->message)
		return;
	*op->causes_tail = c;
	op->causes_tail = &c->next;
	op->n_causes++;
}

/* Is the same said by an earlier cause? A message says everything once, the causes do not. */
static bool said(const struct reg_op *op, const struct reg_cause *c)
{
	for (const struct reg_cause *o = op->causes; o != c; o = o->next)
		if (!strcmp(o->field, c->field) && !strcmp(o->message, c->message))
			return true;
	return false;
}

int reg_invalid_as(struct reg_op *op, const char *gk, struct orlop_bytes name)
{
	const char *dot = strchr(gk, '.');
	struct obuf b = OBUF_INIT;
	unsigned int n = 0;

	if (op->n_causes == 0)
		return 0;
	for (const struct reg_cause *c = op->causes; c; c = c->next)
		n += !said(op, c);
	obuf_puts(&b, n > 1 ? "[" : "");
	for (const struct reg_cause *c = op->causes; c; c = c->next) {
		if (said(op, c))
			continue;
		if (c != op->causes)
			obuf_puts(&b, ", ");
		obuf_puts(&b, c->field);
		if (c->field[0])
			obuf_puts(&b, ": ");
		obuf_puts(&b, c->message);
	}
	obuf_puts(&b, n > 1 ? "]" : "");
	op->det_name = keep(op, name);
	op->det_group = dot ? dot + 1 : "";
	op->det_kind = rb_dup(&op->arena, (struct orlop_bytes){ gk, dot ? (size_t)(dot - gk) : strlen(gk) });
	fail(op, EINVAL, 422, "Invalid", "%s \"%.*s\" is invalid: %s", gk, OB(name), obuf_cstr(&b));
	obuf_done(&b);
	return -EINVAL;
}

int reg_invalid(struct reg_op *op, struct orlop_bytes name)
{
	return reg_invalid_as(op, op->k->gk, name);
}

static char *text_of(struct reg_op *op, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* NULL without memory. */
static char *text_of(struct reg_op *op, const char *fmt, va_list ap)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	text = n >= 0 ? oarena_alloc(&op->arena, (size_t)n + 1) : NULL;
	if (text)
		vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

void reg_note(struct reg_op *op, const char *key, const char *fmt, ...)
{
	struct reg_note *n = op->notes;
	const char *text;
	va_list ap;

	if (!op->sh->rg->cfg.hooks.note)
		return;
	va_start(ap, fmt);
	text = text_of(op, fmt, ap);
	va_end(ap);
	while (n && strcmp(n->key, key))
		n = n->next;
	if (!n && (n = oarena_zalloc(&op->arena, sizeof(*n)))) {
		n->key = oarena_strdup(&op->arena, key);
		n->next = op->notes;
		if (n->key)
			op->notes = n;
	}
	if (n && text)
		n->value = text;
}

/* Each has a character at least: of more than that nobody would ever hear (http/warnings.c). */
#define WARNINGS_KEPT	4097u

void reg_warn(struct reg_op *op, const char *fmt, ...)
{
	/* each is compared with all before: those that were said already count as well */
	struct reg_warning *w = op->n_warned++ < WARNINGS_KEPT ? oarena_zalloc(&op->arena, sizeof(*w)) : NULL;
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (w)
		text = text_of(op, fmt, ap);
	va_end(ap);
	if (!text)
		return;
	w->text = text;
	for (const struct reg_warning *o = op->warnings; o; o = o->next)
		if (!strcmp(o->text, w->text))
			return;
	*op->warnings_tail = w;
	op->warnings_tail = &w->next;
	op->ans.n_warnings++;
}

int reg_failed(struct reg_op *op, int r, const struct orlop_error *err)
{
	const char *why = err && err->msg[0] ? err->msg : "";

	switch (-r) {
	case EINPROGRESS:	/* no failure: webhooks are asked first */
		return r;
	case ENOMEM:
		return fail(op, ENOMEM, 500, "InternalError", "Internal error occurred: out of memory");
	case ENOSPC:
		return fail(op, ENOSPC, 507, "", "the store is full: %s; free some disk space", why);
	case E2BIG:
	case EFBIG:
	case EMSGSIZE:
		return fail(op, E2BIG, 413, "RequestEntityTooLarge", "Request entity too large: %s",
			    why[0] ? why : "limit is 3145728");
	case ETIMEDOUT:
		op->ans.retry_after_s = 1;
		return fail(op, ETIMEDOUT, 504, "Timeout", "Timeout: request did not complete within the allotted timeout");
	case ECONNRESET:
		return fail(op, ECONNRESET, 500, "ServerTimeout",
			    "the outcome of the write is unknown, read the object again");
	case ECANCELED:
	case EHOSTUNREACH:
		op->ans.retry_after_s = 1;
		return fail(op, -r, 503, "ServiceUnavailable", "the store is not available: %s", why);
	default:
		return reg_internal(op, "%s (%d)", why[0] ? why : "storage", -r);
	}
}

static int code_of(const struct orlop_error *e)
{
	if (e->http)
		return e->http;
	switch (e->err) {
	case ENOENT:
		return 404;
	case EEXIST:
	case EAGAIN:
		return 409;
	case EACCES:
	case EPERM:
		return 403;
	case EINVAL:
		return 400;
	case ESTALE:
		return 410;
	case ETIMEDOUT:
		return 504;
	default:
		return 500;
	}
}

static void put_field(struct obuf *b, const char *key, const char *value, bool *first)
{
	if (!value || !value[0])
		return;
	obuf_puts(b, *first ? "\"" : ",\"");
	obuf_puts(b, key);
	obuf_puts(b, "\":");
	obuf_put_json_cstr(b, value);
	*first = false;
}

static void put_causes(const struct reg_op *op, struct obuf *b, bool *first)
{
	const char *sep = "";

	if (!op->n_causes)
		return;
	obuf_puts(b, *first ? "\"causes\":[" : ",\"causes\":[");
	for (const struct reg_cause *c = op->causes; c; c = c->next) {
		bool f = true;

		obuf_puts(b, sep);
		obuf_putc(b, '{');
		put_field(b, "reason", c->reason, &f);
		put_field(b, "message", c->message, &f);
		put_field(b, "field", c->field, &f);
		obuf_putc(b, '}');
		sep = ",";
	}
	obuf_putc(b, ']');
	*first = false;
}

void reg_status_put(struct reg_op *op, struct obuf *b)
{
	static const char inside[] = "Internal error occurred: ";
	bool details;

	if (!op->n_causes && !strcmp(op->err.reason, "InternalError") && !strncmp(text(op), inside, sizeof(inside) - 1))
		reg_cause(op, "", "", "%s", text(op) + sizeof(inside) - 1);
	details = op->det_name || op->det_kind || op->n_causes || op->ans.retry_after_s ||
		       op->err.http == 403 || op->err.http == 404 || op->err.http == 405;	/* as upstream, empty for mere paths */

	obuf_puts(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
	if (op->list_continue) {
		obuf_puts(b, "\"continue\":");
		obuf_put_json_cstr(b, op->list_continue);
	}
	obuf_puts(b, "},\"status\":\"Failure\",\"message\":");
	obuf_put_json_cstr(b, text(op));
	if (op->err.reason[0]) {
		obuf_puts(b, ",\"reason\":");
		obuf_put_json_cstr(b, op->err.reason);
	}
	if (details) {
		bool first = true;

		obuf_puts(b, ",\"details\":{");
		put_field(b, "name", op->det_name, &first);
		put_field(b, "group", op->det_group, &first);
		put_field(b, "kind", op->det_kind, &first);
		put_field(b, "uid", op->det_uid, &first);
		put_causes(op, b, &first);
		if (op->ans.retry_after_s) {
			obuf_puts(b, first ? "\"retryAfterSeconds\":" : ",\"retryAfterSeconds\":");
			obuf_put_u64(b, op->ans.retry_after_s);
		}
		obuf_putc(b, '}');
	}
	op->ans.code = (uint32_t)code_of(&op->err);
	snprintf(op->ans.reason, sizeof(op->ans.reason), "%s", op->err.reason);
	obuf_puts(b, ",\"code\":");
	obuf_put_u64(b, op->ans.code);
	obuf_putc(b, '}');
}
