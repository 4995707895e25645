/* look.c - where a walk through a schema is, and what it says. */
#include "crd/look.h"

#include "base/ocleanup.h"

#include <stdarg.h>

size_t look_into(struct look *l, const char *fmt, ...)
{
	size_t at = l->path.len;
	va_list ap;

	va_start(ap, fmt);
	obuf_vprintf(&l->path, fmt, ap);
	va_end(ap);
	l->depth++;
	return at;
}

void look_back(struct look *l, size_t at)
{
	obuf_truncate(&l->path, at);
	l->depth--;
}

bool look_deep(struct look *l)
{
	if (l->depth == LOOK_DEPTH)
		look_forbidden(l, "", "the schema is nested too deeply");
	return l->depth >= LOOK_DEPTH;
}

/* One more; nobody reads thousands, and what they show may be long. */
static bool enough(struct look *l)
{
	return ++l->found > LOOK_MAX;
}

static void say(struct look *l, const char *reason, const char *field, struct obuf *message)
{
	size_t at = l->path.len;

	obuf_printf(&l->path, "%s%s", field[0] ? "." : "", field);
	if (obuf_err(&l->path) == 0 && obuf_err(message) == 0)
		l->fn(l->arg, reason, obuf_cstr(&l->path), obuf_cstr(message));
	obuf_truncate(&l->path, at);
}

void look_forbidden(struct look *l, const char *field, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (enough(l))
		return;
	obuf_printf(&b, "Forbidden: %s", why);
	say(l, "FieldValueForbidden", field, &b);
}

void look_required(struct look *l, const char *field, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (enough(l))
		return;
	obuf_printf(&b, "Required value: %s", why);
	say(l, "FieldValueRequired", field, &b);
}

void look_invalid(struct look *l, const char *field, const struct ojson *v, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (enough(l))
		return;
	obuf_puts(&b, "Invalid value: ");
	if (v)
		(void)ojson_write(v, 0, &b);
	else
		obuf_puts(&b, "null");
	obuf_printf(&b, ": %s", why);
	say(l, "FieldValueInvalid", field, &b);
}

void look_invalid_text(struct look *l, const char *field, const char *v, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (enough(l))
		return;
	obuf_printf(&b, "Invalid value: \"%s\": %s", v, why);
	say(l, "FieldValueInvalid", field, &b);
}

void look_not_supported(struct look *l, const char *field, const char *v, const char *values)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (enough(l))
		return;
	obuf_printf(&b, "Unsupported value: \"%s\": supported values: %s", v, values);
	say(l, "FieldValueNotSupported", field, &b);
}
