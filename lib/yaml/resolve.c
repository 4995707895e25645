/*
 * Implicit types of YAML 1.1 as go-yaml v2 resolves them (y and n stay strings, as there), but
 * without dates, which have no JSON type and stay text.
 */
#include "yaml/resolve.h"

#include "base/ocleanup.h"
#include "base/ostr.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool one_of(const char *p, size_t len, const char *words)
{
	/* words are separated by blanks; a scalar with a blank inside is never one of them */
	const char *w = words;

	if (len == 0 || memchr(p, ' ', len) != NULL)
		return false;
	while (*w != '\0') {
		size_t n = strcspn(w, " ");

		if (ostr_eq(p, len, w, n))
			return true;
		w += n + (w[n] == ' ');
	}
	return false;
}

/* Digits of @base with underscores between, as strconv.ParseInt takes them after go-yaml drops "_". */
static bool digits(const char *p, size_t len, unsigned int base, uint64_t *ret)
{
	uint64_t v = 0;
	bool any = false;

	for (size_t i = 0; i < len; i++) {
		unsigned int d;

		if (p[i] == '_')
			continue;
		if (p[i] >= '0' && p[i] <= '9')
			d = (unsigned int)(p[i] - '0');
		else if (p[i] >= 'a' && p[i] <= 'f')
			d = (unsigned int)(p[i] - 'a') + 10;
		else if (p[i] >= 'A' && p[i] <= 'F')
			d = (unsigned int)(p[i] - 'A') + 10;
		else
			return false;
		if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return false;
		any = true;
	}
	*ret = v;
	return any;
}

static bool integer(const char *p, size_t len, int64_t *ret)
{
	bool neg = len > 0 && p[0] == '-';
	unsigned int base = 10;
	uint64_t v;

	if (len > 0 && (p[0] == '-' || p[0] == '+')) {
		p++;
		len--;
	}
	if (len == 0 || p[0] == '_')
		return false;
	if (len > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		base = 16;
	else if (len > 2 && p[0] == '0' && (p[1] == 'b' || p[1] == 'B'))
		base = 2;
	else if (len > 2 && p[0] == '0' && (p[1] == 'o' || p[1] == 'O'))
		base = 8;
	if (base != 10) {
		p += 2;
		len -= 2;
	} else if (len > 1 && p[0] == '0') {
		base = 8;
	}
	if (!digits(p, len, base, &v) || v > (uint64_t)INT64_MAX + neg)
		return false;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ (\.[0-9]*)? ) ([eE][-+]?[0-9]+)? */
static bool floating(const char *p, size_t len, double *ret)
{
	cleanup_free char *text = NULL;
	size_t i = 0;
	size_t n = 0;
	size_t whole = 0;
	size_t frac = 0;

	if (len == 0 || memchr("+-.0123456789", p[0], 13) == NULL)
		return false;
	text = omem_alloc(len + 1);
	if (text == NULL)
		return false;
	for (size_t k = 0; k < len; k++)
		if (p[k] != '_')
			text[n++] = p[k];
	text[n] = '\0';
	if (text[i] == '-' || text[i] == '+')
		i++;
	for (; text[i] >= '0' && text[i] <= '9'; i++)
		whole++;
	if (text[i] == '.')
		for (i++; text[i] >= '0' && text[i] <= '9'; i++)
			frac++;
	if (whole + frac == 0)
		return false;
	if (text[i] == 'e' || text[i] == 'E') {
		i++;
		if (text[i] == '-' || text[i] == '+')
			i++;
		if (text[i] < '0' || text[i] > '9')
			return false;
		while (text[i] >= '0' && text[i] <= '9')
			i++;
	}
	if (i != n)
		return false;
	*ret = strtod(text, NULL);
	return true;
}

struct oyaml_scalar oyaml_resolve(const char *p, size_t len)
{
	struct oyaml_scalar s = { .kind = OYAML_STRING };

	if (len == 0 || one_of(p, len, "~ null Null NULL")) {
		s.kind = OYAML_NULL;
	} else if (one_of(p, len, "true True TRUE yes Yes YES on On ON")) {
		s.kind = OYAML_BOOL;
		s.truth = true;
	} else if (one_of(p, len, "false False FALSE no No NO off Off OFF")) {
		s.kind = OYAML_BOOL;
	} else if (one_of(p, len, ".inf .Inf .INF +.inf +.Inf +.INF -.inf -.Inf -.INF .nan .NaN .NAN")) {
		s.kind = OYAML_NO_JSON;
	} else if (integer(p, len, &s.i)) {
		s.kind = OYAML_INT;
	} else if (floating(p, len, &s.d)) {
		s.kind = isfinite(s.d) ? OYAML_FLOAT : OYAML_NO_JSON;
	}
	return s;
}
