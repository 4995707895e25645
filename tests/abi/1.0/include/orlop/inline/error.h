/*
 * inline/error.h - filling struct orlop_error in one line. Compiled into the module: API, not ABI.
 */
#ifndef ORLOP_INLINE_ERROR_H
#define ORLOP_INLINE_ERROR_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/types.h>

#define ORLOP_ERROR_INIT { .size = sizeof(struct orlop_error) }

/*
 * orlop_fail - say what failed and return -errno
 *
 * @err     where to say it, may be NULL; an earlier content is replaced, causes are kept
 * @errnum  errno, > 0
 * @http    HTTP status, 0: derived from @errnum by the API server
 * @reason  metav1.StatusReason or ""
 * @fmt     names object and field; lower case, no full stop
 */
__attribute__((format(printf, 5, 6), unused))
static inline int orlop_fail(struct orlop_error *err, int errnum, int http, const char *reason,
			     const char *fmt, ...)
{
	if (err) {
		va_list ap;

		err->err = errnum;
		err->http = (uint16_t)http;
		snprintf(err->reason, sizeof(err->reason), "%s", reason ? reason : "");
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	return -errnum;
}

/* orlop_wrap - put context in front of an error's message; returns -err->err (or @r if no err). */
__attribute__((format(printf, 3, 4), unused))
static inline int orlop_wrap(struct orlop_error *err, int r, const char *fmt, ...)
{
	if (err && err->err) {
		char ctx[sizeof(err->msg)];
		char old[sizeof(err->msg)];
		va_list ap;
		size_t n;

		va_start(ap, fmt);
		vsnprintf(ctx, sizeof(ctx), fmt, ap);
		va_end(ap);
		memcpy(old, err->msg, sizeof(old));
		n = strlen(ctx);
		if (n > sizeof(ctx) - 3)
			n = sizeof(ctx) - 3;
		memcpy(err->msg, ctx, n);
		snprintf(err->msg + n, sizeof(err->msg) - n, ": %.*s",
			 (int)(sizeof(err->msg) - n - 3), old);
	}
	return r;
}

/* A copy to be freed with free(), "" for NULL; strdup() is not in C11. */
__attribute__((unused))
static inline char *orlop_cstr_dup_(const char *cstr)
{
	size_t size = cstr ? strlen(cstr) + 1 : 1;
	char *p = (char *)malloc(size);

	if (p)
		memcpy(p, cstr ? cstr : "", size);
	return p;
}

/* orlop_error_cause - add a per-field cause; a failed allocation loses the cause, never the error. */
__attribute__((unused))
static inline void orlop_error_cause(struct orlop_error *err, const char *reason, const char *message,
				     const char *field)
{
	struct orlop_causes *c;
	struct orlop_cause *v;

	if (!err)
		return;
	if (!err->causes && !(err->causes = (struct orlop_causes *)calloc(1, sizeof(*c))))
		return;
	c = err->causes;
	if (c->n == c->cap) {
		v = (struct orlop_cause *)realloc(c->v, sizeof(*v) * (c->cap ? c->cap * 2 : 4));
		if (!v)
			return;
		c->v = v;
		c->cap = c->cap ? c->cap * 2 : 4;
	}
	v = &c->v[c->n];
	v->reason = orlop_cstr_dup_(reason);
	v->message = orlop_cstr_dup_(message);
	v->field = orlop_cstr_dup_(field);
	if (v->reason && v->message && v->field) {
		c->n++;
		return;
	}
	free(v->reason);
	free(v->message);
	free(v->field);
}

/* orlop_error_done - free the causes and become empty. */
__attribute__((unused))
static inline void orlop_error_done(struct orlop_error *err)
{
	uint32_t i;

	if (!err)
		return;
	if (err->causes) {
		for (i = 0; i < err->causes->n; i++) {
			free(err->causes->v[i].reason);
			free(err->causes->v[i].message);
			free(err->causes->v[i].field);
		}
		free(err->causes->v);
		free(err->causes);
	}
	memset(err, 0, sizeof(*err));
	err->size = sizeof(*err);
}

#endif
