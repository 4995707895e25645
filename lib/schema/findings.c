/*
 * findings.c - what a check reports, in the words of apimachinery's field errors.
 *
 * Source: k8s.io/apimachinery/pkg/util/validation/field/errors.go; test: lib/apischema/test/validate.c
 */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/oenc.h"
#include "quantity/oquantity.h"
#include "schema/check.h"

/* A small body can be wrong in very many places; nobody reads more, and each is told twice in an answer. */
#define FINDINGS_MAX 250
/* Some show a whole list, once for each of its elements: then there are fewer. */
#define SAID_MAX (1024 * 1024)

static bool full(const struct ocheck *c)
{
	return c->found >= FINDINGS_MAX || c->said > SAID_MAX;
}

static void report(struct ocheck *c, const struct opath *at, const char *reason, struct obuf *message)
{
	struct obuf field = OBUF_INIT;

	if (full(c)) {
		obuf_done(message);
		return;
	}
	c->found++;
	c->said += message->len;
	opath_put(at, &field);
	orlop_error_cause(c->err, reason, obuf_cstr(message), obuf_cstr(&field));
	obuf_done(&field);
	obuf_done(message);
}

/* "Invalid value: "x": detail" */
static void put_value(struct obuf *b, const char *what, const struct ojson *v)
{
	struct orlop_bytes t = otext(v);

	obuf_puts(b, what);
	obuf_puts(b, ": ");
	if (ojson_is(v, OJSON_STRING))
		obuf_put_quoted(b, t.p, t.len);
	else
		(void)ojson_write(v, 0, b);
}

static void put_detail(struct obuf *b, const char *detail)
{
	if (*detail != '\0') {
		obuf_puts(b, ": ");
		obuf_puts(b, detail);
	}
}

void ocheck_required(struct ocheck *c, const struct opath *at, const char *detail)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "Required value");
	put_detail(&b, detail);
	report(c, at, "FieldValueRequired", &b);
}

void ocheck_forbidden(struct ocheck *c, const struct opath *at, const char *detail)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "Forbidden");
	put_detail(&b, detail);
	report(c, at, "FieldValueForbidden", &b);
}

void ocheck_invalid(struct ocheck *c, const struct opath *at, const struct ojson *v, const char *detail)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	put_value(&b, "Invalid value", v);
	put_detail(&b, detail);
	report(c, at, "FieldValueInvalid", &b);
}

void ocheck_invalid_text(struct ocheck *c, const struct opath *at, struct orlop_bytes v, const char *detail)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	obuf_puts(&b, "Invalid value: ");
	obuf_put_quoted(&b, v.p, v.len);
	put_detail(&b, detail);
	report(c, at, "FieldValueInvalid", &b);
}

void ocheck_invalid_bare(struct ocheck *c, const struct opath *at, const char *detail)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "Invalid value");
	put_detail(&b, detail);
	report(c, at, "FieldValueInvalid", &b);
}

void ocheck_duplicate(struct ocheck *c, const struct opath *at, const struct ojson *v)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	put_value(&b, "Duplicate value", v);
	report(c, at, "FieldValueDuplicate", &b);
}

void ocheck_duplicate_why(struct ocheck *c, const struct opath *at, const struct ojson *v, const char *detail)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	put_value(&b, "Duplicate value", v);
	put_detail(&b, detail);
	report(c, at, "FieldValueDuplicate", &b);
}

void ocheck_duplicate_text(struct ocheck *c, const struct opath *at, const char *text)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "Duplicate value: ");
	obuf_put_quoted(&b, text, strlen(text));
	report(c, at, "FieldValueDuplicate", &b);
}

void ocheck_not_found(struct ocheck *c, const struct opath *at, const struct ojson *v)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	put_value(&b, "Not found", v);
	report(c, at, "FieldValueNotFound", &b);
}

void ocheck_not_supported(struct ocheck *c, const struct opath *at, const struct ojson *v,
			  const char *const *values, size_t n)
{
	struct obuf b = OBUF_INIT;

	if (full(c))
		return;
	put_value(&b, "Unsupported value", v);
	obuf_puts(&b, ": supported values: ");
	for (size_t i = 0; i < n; i++) {
		obuf_puts(&b, i > 0 ? ", " : "");
		obuf_put_quoted(&b, values[i], strlen(values[i]));
	}
	report(c, at, "FieldValueNotSupported", &b);
}

void ocheck_too_long(struct ocheck *c, const struct opath *at, int64_t max)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "Too long: may not be more than %lld bytes", (long long)max);
	report(c, at, "FieldValueTooLong", &b);
}

void ocheck_too_many(struct ocheck *c, const struct opath *at, size_t n, int64_t max)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "Too many: %zu: must have at most %lld items", n, (long long)max);
	report(c, at, "FieldValueTooMany", &b);
}

void ocheck_required_at(struct ocheck *c, const struct opath *at, const char *key, const char *detail)
{
	struct opath p = opath_child(at, key);

	ocheck_required(c, &p, detail);
}

void ocheck_forbidden_at(struct ocheck *c, const struct opath *at, const char *key, const char *detail)
{
	struct opath p = opath_child(at, key);

	ocheck_forbidden(c, &p, detail);
}

void ocheck_invalid_at(struct ocheck *c, const struct opath *at, struct ojson *obj, const char *key,
		       const char *detail)
{
	struct opath p = opath_child(at, key);

	ocheck_invalid(c, &p, ojson_get(obj, key), detail);
}

void ocheck_format(struct ocheck *c, const struct opath *at, const struct ojson *v, unsigned int fmt)
{
	if (ojson_is(v, OJSON_STRING))
		ocheck_format_text(c, at, otext(v), fmt);
}

void ocheck_format_text(struct ocheck *c, const struct opath *at, struct orlop_bytes v, unsigned int fmt)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];
	size_t n = oschema_format_whys(fmt, v.p, v.len, whys);

	for (size_t i = 0; i < n; i++)
		ocheck_invalid_text(c, at, v, whys[i]);
}

bool ocheck_equal_but(const struct ojson *a, const struct ojson *b, const char *const *skip)
{
	const struct ojson *sides[2] = { a, b };

	for (int side = 0; side < 2; side++) {
		OJSON_FOREACH(it, sides[side]) {
			bool skipped = false;

			for (size_t i = 0; skip[i] != NULL && !skipped; i++)
				skipped = ostr_is(it.key, it.key_len, skip[i]);
			if (!skipped && !ojson_equal(it.value, ojson_get_n(sides[1 - side], it.key, it.key_len)))
				return false;
		}
	}
	return true;
}

bool ocheck_quantity(const struct ojson *v, struct oquantity *ret)
{
	struct orlop_bytes t = otext(v);

	return ojson_is(v, OJSON_STRING) && oquantity_parse(t.p, t.len, ret, NULL) == 0;
}

size_t ocheck_raw_len(const struct ojson *v)
{
	struct orlop_bytes t = otext(v);
	long n = obase64_decode(OBASE64_STD, t.p, t.len, NULL, NULL);

	return n > 0 ? (size_t)n : 0;
}

void oschema_not_evaluated(char *buf, size_t size, const char *path, const char *what, const char *text)
{
	size_t n = strnlen(text, 400);

	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	(void)snprintf(buf, size, "%s: the %s \"%.*s\" is kept but not evaluated", path, what, (int)n, text);
}
