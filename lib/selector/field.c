/* Field selectors; see ofield.h. */
#include "selector/ofield.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "selector/internal.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 70

void ofield_free(struct ofield_selector *s)
{
	if (s == NULL)
		return;
	omem_free(s->terms);
	oarena_done(&s->mem);
	omem_free(s);
}

/* The terms of the text, at commas without a backslash before them; sorted. */
static int split(const char *p, size_t len, struct orlop_bytes **ret, size_t *ret_n)
{
	struct orlop_bytes *parts;
	size_t n = 1;
	size_t start = 0;
	bool escaped = false;

	for (size_t i = 0; i < len; i++)
		n += p[i] == ',';
	parts = omem_alloc_array(n, sizeof(*parts));
	if (parts == NULL)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < len; i++) {
		if (p[i] == ',' && !escaped) {
			parts[n++] = (struct orlop_bytes){ p + start, i - start };
			start = i + 1;
		}
		escaped = p[i] == '\\' && !escaped;
	}
	parts[n++] = (struct orlop_bytes){ p + start, len - start };
	qsort(parts, n, sizeof(*parts), oselector_by_bytes);
	*ret = parts;
	*ret_n = n;
	return 0;
}

static int unescape(struct ofield_selector *s, struct orlop_bytes v, struct orlop_bytes *ret,
		    struct orlop_error *err)
{
	char *out = oarena_alloc(&s->mem, v.len + 1);
	size_t n = 0;

	if (out == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == ',' || c == '=')
			return orlop_fail(err, EINVAL, 400, "BadRequest",
					  "invalid field selector: unescaped character in value: %d", c);
		if (c == '\\') {
			c = i + 1 < v.len ? v.p[++i] : '\0';
			if (c == '\0')
				return orlop_fail(err, EINVAL, 400, "BadRequest",
						  "invalid field selector: invalid escape sequence: \\");
			if (c != '\\' && c != ',' && c != '=')
				return orlop_fail(err, EINVAL, 400, "BadRequest",
						  "invalid field selector: invalid escape sequence: \\%c", c);
		}
		out[n++] = c;
	}
	out[n] = '\0';
	*ret = (struct orlop_bytes){ out, n };
	return 0;
}

/* The operator in @part: its offset and length; false if there is none. */
static bool find_operator(struct orlop_bytes part, size_t *ret_at, size_t *ret_len)
{
	for (size_t i = 0; i < part.len; i++) {
		bool next_equal = i + 1 < part.len && part.p[i + 1] == '=';

		if (part.p[i] != '=' && !(part.p[i] == '!' && next_equal))
			continue;
		*ret_at = i;
		*ret_len = next_equal ? 2 : 1;
		return true;
	}
	return false;
}

static int add_term(struct ofield_selector *s, struct orlop_bytes part, struct orlop_bytes whole,
		    struct orlop_error *err)
{
	struct ofield_term *t = &s->terms[s->n_terms];
	struct orlop_bytes value;
	size_t op_len;
	size_t at;
	int r;

	if (part.len == 0)
		return 0;
	if (!find_operator(part, &at, &op_len))
		return orlop_fail(err, EINVAL, 400, "BadRequest",
				  "invalid selector: '%.*s'; can't understand '%.*s'",
				  (int)(whole.len < SHOWN_MAX ? whole.len : SHOWN_MAX), whole.p,
				  (int)(part.len < SHOWN_MAX ? part.len : SHOWN_MAX), part.p);
	value = (struct orlop_bytes){ part.p + at + op_len, part.len - at - op_len };
	r = unescape(s, value, &t->value, err);
	if (r < 0)
		return r;
	t->not = part.p[at] == '!';
	t->field.len = at;
	t->field.p = oarena_strndup(&s->mem, part.p, at);
	if (t->field.p == NULL)
		return -ENOMEM;
	s->n_terms++;
	return 0;
}

int ofield_parse(const char *p, size_t len, struct ofield_selector **ret, struct orlop_error *err)
{
	cleanup_ofield struct ofield_selector *s = OMEM_NEW(struct ofield_selector);
	cleanup_free struct orlop_bytes *parts = NULL;
	struct orlop_bytes whole = { p, len };
	size_t n;
	int r;

	if (s == NULL)
		return -ENOMEM;
	oarena_init(&s->mem, OSELECTOR_MEM_MAX);
	r = split(p, len, &parts, &n);
	if (r < 0)
		return r;
	s->terms = omem_zalloc_array(n, sizeof(*s->terms));
	if (s->terms == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r = add_term(s, parts[i], whole, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE(s);
	return 0;
}

bool ofield_match(const struct ofield_selector *s, ofield_lookup_fn lookup, const void *arg)
{
	for (size_t i = 0; i < s->n_terms; i++) {
		const struct ofield_term *t = &s->terms[i];
		struct orlop_bytes v = lookup(arg, t->field);

		if (ostr_eq(v.p, v.len, t->value.p, t->value.len) == t->not)
			return false;
	}
	return true;
}

bool ofield_requires(const struct ofield_selector *s, const char *field, struct orlop_bytes *ret)
{
	for (size_t i = 0; i < s->n_terms; i++) {
		const struct ofield_term *t = &s->terms[i];

		if (t->not || !ostr_is(t->field.p, t->field.len, field))
			continue;
		*ret = t->value;
		return true;
	}
	return false;
}

void ofield_write(const struct ofield_selector *s, struct obuf *b)
{
	for (size_t i = 0; i < s->n_terms; i++) {
		const struct ofield_term *t = &s->terms[i];

		if (i > 0)
			obuf_putc(b, ',');
		obuf_append(b, t->field.p, t->field.len);
		obuf_puts(b, t->not ? "!=" : "=");
		for (size_t k = 0; k < t->value.len; k++) {
			if (strchr("\\,=", t->value.p[k]) != NULL && t->value.p[k] != '\0')
				obuf_putc(b, '\\');
			obuf_putc(b, t->value.p[k]);
		}
	}
}
