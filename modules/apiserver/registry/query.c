/* query.c - the pairs of a query string, as Go reads them. */
#include "options.h"
#include "op.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct orlop_bytes reg_url_decode(struct oarena *a, struct orlop_bytes s)
{
	struct orlop_bytes out = { NULL, 0 };
	char *p = oarena_alloc(a, s.len + 1);
	size_t n = 0;

	if (!p)
		return out;
	for (size_t i = 0; i < s.len; i++) {
		int hi, lo;

		if (s.p[i] == '+') {
			p[n++] = ' ';
		} else if (s.p[i] == '%' && i + 2 < s.len && (hi = hex_digit(s.p[i + 1])) >= 0 &&
			   (lo = hex_digit(s.p[i + 2])) >= 0) {
			p[n++] = (char)(hi << 4 | lo);
			i += 2;
		} else {
			p[n++] = s.p[i];
		}
	}
	p[n] = '\0';
	out.p = p;
	out.len = n;
	return out;
}

/* Go, and with it other servers of the API, does not see a pair with a semicolon or a broken escape in it. */
static bool is_seen(struct orlop_bytes pair)
{
	for (size_t i = 0; i < pair.len; i++)
		if (pair.p[i] == ';' ||
		    (pair.p[i] == '%' && (i + 2 >= pair.len || hex_digit(pair.p[i + 1]) < 0 || hex_digit(pair.p[i + 2]) < 0)))
			return false;
	return true;
}

int reg_query_next(struct oarena *a, struct orlop_bytes *rest, struct orlop_bytes *k, struct orlop_bytes *v)
{
	while (rest->len) {
		const char *amp = memchr(rest->p, '&', rest->len);
		struct orlop_bytes pair = { rest->p, amp ? (size_t)(amp - rest->p) : rest->len };
		const char *eq = pair.len ? memchr(pair.p, '=', pair.len) : NULL;
		size_t at = eq ? (size_t)(eq - pair.p) : pair.len;

		rest->p += pair.len + (amp != NULL);
		rest->len -= pair.len + (amp != NULL);
		if (!is_seen(pair))
			continue;
		*k = reg_url_decode(a, (struct orlop_bytes){ pair.p, at });
		*v = (struct orlop_bytes){ "", 0 };
		if (eq)
			*v = reg_url_decode(a, (struct orlop_bytes){ eq + 1, pair.len - at - 1 });
		return k->p && v->p ? 1 : -ENOMEM;
	}
	return 0;
}

struct orlop_bytes reg_query_fields(struct oarena *a, struct orlop_bytes query)
{
	struct orlop_bytes k, v;

	while (reg_query_next(a, &query, &k, &v) > 0)
		if (rb_is(k, "fieldSelector"))
			return v;
	return RB0;
}
