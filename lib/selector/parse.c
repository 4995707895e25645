/*
 * The text form of label selectors. Token by token as apimachinery's labels.Parser, because its
 * error texts reach users: what is found and what was expected differ by the place.
 */
#include "selector/oselector.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "selector/internal.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <string.h>

#define FOUND_MAX 60

enum token {
	T_END,
	T_IDENTIFIER,
	T_NOT,			/* ! */
	T_EQUALS,
	T_DOUBLE_EQUALS,
	T_NOT_EQUALS,
	T_GREATER,
	T_LESS,
	T_OPEN,
	T_CLOSE,
	T_COMMA,
	T_IN,
	T_NOTIN,
};

struct parser {
	const char		*p;
	const char		*end;
	enum token		tok;		/* the next token, not yet consumed */
	struct orlop_bytes	lit;
	struct oselector	*s;
	struct orlop_error	*err;
	struct orlop_bytes	*values;	/* of the requirement being read */
	size_t			n_values;
	size_t			cap_values;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
	return c == '=' || c == '!' || c == '(' || c == ')' || c == ',' || c == '>' || c == '<';
}

/* Reads the next token into tok and lit. A NUL ends the text. */
static void scan(struct parser *s)
{
	const char *start;

	while (s->p < s->end && is_space(*s->p))
		s->p++;
	start = s->p;
	s->lit = (struct orlop_bytes){ "", 0 };
	if (s->p == s->end || *s->p == '\0') {
		s->tok = T_END;
		return;
	}
	if (!is_special(*s->p)) {
		while (s->p < s->end && *s->p != '\0' && !is_space(*s->p) && !is_special(*s->p))
			s->p++;
		s->lit = (struct orlop_bytes){ start, (size_t)(s->p - start) };
		s->tok = ostr_is(s->lit.p, s->lit.len, "in")	? T_IN :
			 ostr_is(s->lit.p, s->lit.len, "notin") ? T_NOTIN :
								  T_IDENTIFIER;
		return;
	}
	switch (*s->p++) {
	case '=':
		s->tok = T_EQUALS;
		if (s->p < s->end && *s->p == '=') {
			s->p++;
			s->tok = T_DOUBLE_EQUALS;
		}
		break;
	case '!':
		s->tok = T_NOT;
		if (s->p < s->end && *s->p == '=') {
			s->p++;
			s->tok = T_NOT_EQUALS;
		}
		break;
	case '(':
		s->tok = T_OPEN;
		break;
	case ')':
		s->tok = T_CLOSE;
		break;
	case ',':
		s->tok = T_COMMA;
		break;
	case '>':
		s->tok = T_GREATER;
		break;
	default:
		s->tok = T_LESS;
		break;
	}
	s->lit = (struct orlop_bytes){ start, (size_t)(s->p - start) };
}

/* The next token where a value or key may stand: `in` and `notin` are plain words there. */
static enum token look(const struct parser *s)
{
	return s->tok == T_IN || s->tok == T_NOTIN ? T_IDENTIFIER : s->tok;
}

static enum token consume(struct parser *s, struct orlop_bytes *ret_lit)
{
	enum token t = look(s);

	if (ret_lit != NULL)
		*ret_lit = s->lit;
	scan(s);
	return t;
}

static int unexpected(struct parser *s, struct orlop_bytes lit, const char *sep,
		      const char *expected)
{
	size_t n = lit.len < FOUND_MAX ? lit.len : FOUND_MAX;

	return orlop_fail(s->err, EINVAL, 400, "BadRequest", "found '%.*s'%s expected: %s", (int)n,
			  lit.p, sep, expected);
}

static int value_add(struct parser *s, struct orlop_bytes v)
{
	if (s->n_values == s->cap_values) {
		size_t cap = s->cap_values * 2 + 4;
		struct orlop_bytes *values = omem_realloc_array(s->values, cap, sizeof(*values));

		if (values == NULL)
			return -ENOMEM;
		s->values = values;
		s->cap_values = cap;
	}
	s->values[s->n_values++] = v;
	return 0;
}

/* a, b) with the quirks of upstream: "(,a)" and "(a,)" contain the empty value. */
static int parse_list(struct parser *s)
{
	static const struct orlop_bytes empty = { "", 0 };
	struct orlop_bytes lit;
	int r;

	for (;;) {
		switch (consume(s, &lit)) {
		case T_IDENTIFIER:
			r = value_add(s, lit);
			if (r < 0)
				return r;
			if (look(s) == T_COMMA)
				continue;
			if (look(s) == T_CLOSE)
				return 0;
			return unexpected(s, s->lit, ",", "',' or ')'");
		case T_COMMA:
			r = s->n_values == 0 ? value_add(s, empty) : 0;
			if (r == 0 && look(s) == T_CLOSE)
				return value_add(s, empty);
			if (r == 0 && look(s) == T_COMMA) {
				(void)consume(s, NULL);
				r = value_add(s, empty);
			}
			if (r < 0)
				return r;
			continue;
		default:
			return unexpected(s, lit, ",", "',', or identifier");
		}
	}
}

static int parse_set(struct parser *s)
{
	struct orlop_bytes lit;
	enum token t = consume(s, &lit);
	int r;

	if (t != T_OPEN)
		return unexpected(s, lit, "", "'('");
	lit = s->lit;
	t = look(s);
	if (t == T_CLOSE) {
		(void)consume(s, NULL);
		return 0;
	}
	if (t != T_IDENTIFIER && t != T_COMMA)
		return unexpected(s, lit, ",", "',', ')' or identifier");
	r = parse_list(s);
	if (r < 0)
		return r;
	return consume(s, NULL) == T_CLOSE ? 0 : unexpected(s, lit, ",", "')'");
}

static int parse_exact(struct parser *s)
{
	static const struct orlop_bytes empty = { "", 0 };
	struct orlop_bytes lit;

	if (look(s) == T_END || look(s) == T_COMMA)
		return value_add(s, empty);
	if (consume(s, &lit) != T_IDENTIFIER)
		return unexpected(s, lit, ",", "identifier");
	return value_add(s, lit);
}

static int parse_requirement(struct parser *s)
{
	struct orlop_bytes lit;
	struct orlop_bytes key;
	enum oselector_op op = OSELECTOR_EXISTS;
	bool not = look(s) == T_NOT;
	int r;

	if (not)
		scan(s);
	if (consume(s, &key) != T_IDENTIFIER)
		return unexpected(s, key, ",", "identifier");
	/* the path of the object that the text stands for is not known: upstream prints it as <nil> */
	r = oselector_check_key(key, "<nil>", s->err);
	if (r < 0)
		return r;
	if (not || look(s) == T_END || look(s) == T_COMMA)
		return oselector_add(s->s, key, not ? OSELECTOR_NOT_EXISTS : OSELECTOR_EXISTS, NULL, 0,
				     true, s->err);
	lit = s->lit;
	switch (s->tok) {
	case T_IN:
		op = OSELECTOR_IN;
		break;
	case T_NOTIN:
		op = OSELECTOR_NOT_IN;
		break;
	case T_EQUALS:
		op = OSELECTOR_EQUALS;
		break;
	case T_DOUBLE_EQUALS:
		op = OSELECTOR_DOUBLE_EQUALS;
		break;
	case T_NOT_EQUALS:
		op = OSELECTOR_NOT_EQUALS;
		break;
	case T_GREATER:
		op = OSELECTOR_GREATER;
		break;
	case T_LESS:
		op = OSELECTOR_LESS;
		break;
	default:
		return unexpected(s, lit, ",", "in, notin, =, ==, !=, gt, lt");
	}
	scan(s);
	s->n_values = 0;
	r = op == OSELECTOR_IN || op == OSELECTOR_NOT_IN ? parse_set(s) : parse_exact(s);
	if (r < 0)
		return r;
	return oselector_add(s->s, key, op, s->values, s->n_values, true, s->err);
}

static int parse(struct parser *s)
{
	struct orlop_bytes lit;
	int r;

	scan(s);
	for (;;) {
		if (look(s) == T_END)
			return 0;
		if (look(s) != T_IDENTIFIER && look(s) != T_NOT)
			return unexpected(s, s->lit, ",", "!, identifier, or 'end of string'");
		r = parse_requirement(s);
		if (r == -EINVAL)
			return orlop_wrap(s->err, r, "unable to parse requirement");
		if (r < 0)
			return r;
		switch (consume(s, &lit)) {
		case T_END:
			return 0;
		case T_COMMA:
			if (look(s) != T_IDENTIFIER && look(s) != T_NOT)
				return unexpected(s, s->lit, ",", "identifier after ','");
			break;
		default:
			return unexpected(s, lit, ",", "',' or 'end of string'");
		}
	}
}

int oselector_parse(const char *p, size_t len, struct oselector **ret, struct orlop_error *err)
{
	cleanup_oselector struct oselector *sel = oselector_new();
	struct parser s = { .p = p, .end = p + len, .s = sel, .err = err };
	int r;

	if (sel == NULL)
		return -ENOMEM;
	r = parse(&s);
	omem_free(s.values);
	if (r < 0)
		return r;
	oselector_sort(sel);
	*ret = TAKE(sel);
	return 0;
}
