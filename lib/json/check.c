/*
 * The strict grammar: one pass, no recursion, errors in the words of Go's encoding/json.
 *
 * Go's scanner is a state machine whose messages name the state; the order of the tests here gives
 * the same message for the same byte.
 */
#include "json/oscan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int oscan_fail(const char *p, size_t len, size_t at, const char *context, struct oscan_error *err)
{
	unsigned char c;

	if (err == NULL)
		return -EINVAL;
	err->offset = at < len ? at : len;
	if (at >= len) {
		(void)snprintf(err->msg, sizeof(err->msg), "unexpected end of JSON input");
		return -EINVAL;
	}
	c = (unsigned char)p[at];
	/* Go prints the byte as a rune: é of Latin-1 for 0xe9 */
	if (c == '\'' || c == '"')
		(void)snprintf(err->msg, sizeof(err->msg), "invalid character '%s%c' %s",
			       c == '\'' ? "\\" : "", c, context);
	else if (c >= 0x20 && c < 0x7f)
		(void)snprintf(err->msg, sizeof(err->msg), "invalid character '%s%c' %s",
			       c == '\\' ? "\\" : "", c, context);
	else if (c == '\n' || c == '\r' || c == '\t')
		(void)snprintf(err->msg, sizeof(err->msg), "invalid character '\\%c' %s",
			       c == '\n' ? 'n' : c == '\r' ? 'r' : 't', context);
	else if (c < 0xa0 || c == 0xad)
		(void)snprintf(err->msg, sizeof(err->msg), "invalid character '\\x%02x' %s", c,
			       context);
	else
		(void)snprintf(err->msg, sizeof(err->msg), "invalid character '%c%c' %s",
			       0xc0 | c >> 6, 0x80 | (c & 0x3f), context);
	return -EINVAL;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

int oscan_check_string(const char *p, size_t len, size_t *pos, bool *ret_escaped,
		       struct oscan_error *err)
{
	size_t i = *pos + 1;

	*ret_escaped = false;
	for (;;) {
		unsigned char c;

		while (i < len && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			i++;
		if (i >= len)
			return oscan_fail(p, len, i, "", err);
		c = (unsigned char)p[i];
		if (c == '"') {
			*pos = i + 1;
			return 0;
		}
		if (c < 0x20)
			return oscan_fail(p, len, i, "in string literal", err);
		*ret_escaped = true;
		i++;
		if (i >= len || p[i] == '\0' || strchr("\"\\/bfnrtu", p[i]) == NULL)
			return oscan_fail(p, len, i, "in string escape code", err);
		if (p[i++] != 'u')
			continue;
		for (int k = 0; k < 4; k++, i++)
			if (i >= len || !is_hex(p[i]))
				return oscan_fail(p, len, i, "in \\u hexadecimal character escape", err);
	}
}

static bool is_digit(const char *p, size_t len, size_t i)
{
	return i < len && p[i] >= '0' && p[i] <= '9';
}

int oscan_check_number(const char *p, size_t len, size_t *pos, bool *ret_integer,
		       struct oscan_error *err)
{
	size_t i = *pos;

	*ret_integer = true;
	if (i < len && p[i] == '-')
		i++;
	if (!is_digit(p, len, i))
		return oscan_fail(p, len, i, "in numeric literal", err);
	if (p[i] == '0')
		i++;
	else
		while (is_digit(p, len, i))
			i++;
	if (i < len && p[i] == '.') {
		*ret_integer = false;
		i++;
		if (!is_digit(p, len, i))
			return oscan_fail(p, len, i, "after decimal point in numeric literal", err);
		while (is_digit(p, len, i))
			i++;
	}
	if (i < len && (p[i] == 'e' || p[i] == 'E')) {
		*ret_integer = false;
		i++;
		if (i < len && (p[i] == '+' || p[i] == '-'))
			i++;
		if (!is_digit(p, len, i))
			return oscan_fail(p, len, i, "in exponent of numeric literal", err);
		while (is_digit(p, len, i))
			i++;
	}
	*pos = i;
	return 0;
}

int oscan_check_literal(const char *p, size_t len, size_t *pos, struct oscan_error *err)
{
	const char *word = p[*pos] == 't' ? "true" : p[*pos] == 'f' ? "false" : "null";
	char context[40];
	size_t i = *pos;

	for (size_t k = 0; word[k] != '\0'; k++, i++) {
		if (i < len && p[i] == word[k])
			continue;
		(void)snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word, word[k]);
		return oscan_fail(p, len, i, context, err);
	}
	*pos = i;
	return 0;
}

static int too_deep(size_t at, struct oscan_error *err)
{
	if (err != NULL) {
		err->offset = at;
		(void)snprintf(err->msg, sizeof(err->msg), "exceeded max depth");
	}
	return -ELOOP;
}

/* What may come next. */
enum expect {
	VALUE,			/* a value */
	VALUE_OR_END,		/* a value or ] */
	KEY,			/* a key */
	KEY_OR_END,		/* a key or } */
	COMMA_OR_END,		/* after a value inside something */
};

int oscan_check_value(const char *p, size_t len, size_t *pos, unsigned int max_depth,
		      struct orlop_bytes *ret, struct oscan_error *err)
{
	uint8_t in_object[OSCAN_DEPTH_MAX / 8 + 1] = { 0 };	/* one bit a level */
	enum expect expect = VALUE;
	unsigned int depth = 0;
	size_t i = oscan_space(p, len, *pos);
	size_t start = i;
	bool flag;
	int r = 0;

	if (max_depth > OSCAN_DEPTH_MAX)
		max_depth = OSCAN_DEPTH_MAX;
	for (;;) {
		char c;

		i = oscan_space(p, len, i);
		if (i >= len)
			return oscan_fail(p, len, i, "", err);
		c = p[i];
		if (expect == KEY || expect == KEY_OR_END) {
			if (c == '"') {
				r = oscan_check_string(p, len, &i, &flag, err);
				if (r < 0)
					return r;
				i = oscan_space(p, len, i);
				if (i >= len || p[i] != ':')
					return oscan_fail(p, len, i, "after object key", err);
				i++;
				expect = VALUE;
				continue;
			}
			if (c != '}' || expect == KEY)
				return oscan_fail(p, len, i, "looking for beginning of object key string",
						  err);
			i++;
			depth--;
		} else if (expect == COMMA_OR_END) {
			bool obj = (in_object[(depth - 1) / 8] >> ((depth - 1) % 8) & 1) != 0;

			i++;
			if (c == ',') {
				expect = obj ? KEY : VALUE;
				continue;
			}
			if (c != (obj ? '}' : ']'))
				return oscan_fail(p, len, i - 1, obj ? "after object key:value pair" :
								       "after array element", err);
			depth--;
		} else if (c == ']' && expect == VALUE_OR_END) {
			i++;
			depth--;
		} else if (c == '{' || c == '[') {
			if (depth == max_depth)
				return too_deep(i, err);
			in_object[depth / 8] = (uint8_t)((in_object[depth / 8] & ~(1u << depth % 8)) |
							 (c == '{' ? 1u << depth % 8 : 0));
			depth++;
			i++;
			expect = c == '{' ? KEY_OR_END : VALUE_OR_END;
			continue;
		} else if (c == '"') {
			r = oscan_check_string(p, len, &i, &flag, err);
		} else if (c == '-' || (c >= '0' && c <= '9')) {
			r = oscan_check_number(p, len, &i, &flag, err);
		} else if (c == 't' || c == 'f' || c == 'n') {
			r = oscan_check_literal(p, len, &i, err);
		} else {
			return oscan_fail(p, len, i, "looking for beginning of value", err);
		}
		if (r < 0)
			return r;
		if (depth == 0)
			break;
		expect = COMMA_OR_END;
	}
	*pos = i;
	if (ret != NULL)
		*ret = oscan_bytes(p + start, i - start);
	return 0;
}

int oscan_check(const char *p, size_t len, unsigned int max_depth, struct orlop_bytes *ret,
		struct oscan_error *err)
{
	struct orlop_bytes v;
	size_t pos = 0;
	int r = oscan_check_value(p, len, &pos, max_depth, &v, err);

	if (r < 0)
		return r;
	pos = oscan_space(p, len, pos);
	if (pos < len)
		return oscan_fail(p, len, pos, "after top-level value", err);
	if (ret != NULL)
		*ret = v;
	return 0;
}
