/* Hex, base64 and name suffixes; see oenc.h. */
#include "base/oenc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void ohex_encode(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[s[i] >> 4];
		out[2 * i + 1] = digits[s[i] & 15];
	}
	out[2 * n] = '\0';
}

void ouuid_make(unsigned char r[16], char out[OUUID_BUF])
{
	static const unsigned char ends[] = { 4, 6, 8, 10, 16 };
	char *p = out;

	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	for (size_t i = 0, at = 0; i < sizeof(ends); at = ends[i++]) {
		ohex_encode(r + at, ends[i] - at, p);
		p += 2 * (ends[i] - at);
		*p++ = '-';
	}
	p[-1] = '\0';
}

long ohex_decode(const char *p, size_t n, void *out, size_t max)
{
	unsigned char *o = out;

	if (n % 2 != 0)
		return -EINVAL;
	if (n / 2 > max)
		return -ENOSPC;
	for (size_t i = 0; i < n / 2; i++) {
		int hi = ohex_digit(p[2 * i]);
		int lo = ohex_digit(p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		o[i] = (unsigned char)(hi << 4 | lo);
	}
	return (long)(n / 2);
}

static const char alphabet_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_url(enum obase64 kind)
{
	return kind == OBASE64_URL || kind == OBASE64_RAWURL;
}

static bool is_padded(enum obase64 kind)
{
	return kind == OBASE64_STD || kind == OBASE64_URL;
}

size_t obase64_encode(enum obase64 kind, const void *p, size_t n, char *out)
{
	const char *abc = is_url(kind) ? alphabet_url : alphabet_std;
	const unsigned char *s = p;
	size_t o = 0;
	size_t i = 0;

	for (; n - i >= 3; i += 3) {
		uint32_t v = (uint32_t)s[i] << 16 | (uint32_t)s[i + 1] << 8 | s[i + 2];

		out[o++] = abc[v >> 18];
		out[o++] = abc[v >> 12 & 63];
		out[o++] = abc[v >> 6 & 63];
		out[o++] = abc[v & 63];
	}
	if (n - i > 0) {
		uint32_t v = (uint32_t)s[i] << 16 | (n - i == 2 ? (uint32_t)s[i + 1] << 8 : 0);

		out[o++] = abc[v >> 18];
		out[o++] = abc[v >> 12 & 63];
		if (n - i == 2)
			out[o++] = abc[v >> 6 & 63];
		else if (is_padded(kind))
			out[o++] = '=';
		if (is_padded(kind))
			out[o++] = '=';
	}
	out[o] = '\0';
	return o;
}

void obase64_append(struct obuf *b, enum obase64 kind, const void *p, size_t n)
{
	char *at = obuf_reserve(b, OBASE64_ENCODED(n) - 1);

	if (at != NULL)
		obuf_advance(b, obase64_encode(kind, p, n, at));
}

static int sextet(bool url, char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

static size_t skip_newlines(const char *p, size_t n, size_t i)
{
	while (i < n && (p[i] == '\r' || p[i] == '\n'))
		i++;
	return i;
}

long obase64_decode(enum obase64 kind, const char *p, size_t n, void *out, size_t *ret_at)
{
	unsigned char *o = out;
	uint32_t v = 0;
	size_t at = 0;
	size_t i = 0;
	long len = 0;
	int have = 0;

	for (;;) {
		int s;

		i = skip_newlines(p, n, i);
		if (i >= n)
			break;
		at = i;
		s = sextet(is_url(kind), p[i]);
		if (s >= 0) {
			v = v << 6 | (uint32_t)s;
			i++;
			if (++have == 4) {
				if (o != NULL) {
					o[len] = (unsigned char)(v >> 16);
					o[len + 1] = (unsigned char)(v >> 8);
					o[len + 2] = (unsigned char)v;
				}
				len += 3;
				have = 0;
				v = 0;
			}
			continue;
		}
		/* anything else can only be the padding of the last group */
		if (p[i] != '=' || !is_padded(kind) || have < 2)
			goto bad;
		i = skip_newlines(p, n, i + 1);
		if (have == 2) {
			at = i;
			if (i >= n || p[i] != '=')
				goto bad;
			i = skip_newlines(p, n, i + 1);
		}
		at = i;
		if (i < n)
			goto bad;
		goto tail;
	}
	at = n - (size_t)have;		/* the group that is not whole */
	if (have == 1 || (have > 1 && is_padded(kind)))
		goto bad;
tail:
	if (have >= 2) {
		if (o != NULL)
			o[len] = (unsigned char)(have == 2 ? v >> 4 : v >> 10);
		len++;
	}
	if (have == 3) {
		if (o != NULL)
			o[len] = (unsigned char)(v >> 2);
		len++;
	}
	return len;
bad:
	if (ret_at != NULL)
		*ret_at = at;
	return -EINVAL;
}

void osafe_encode(const char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = OSAFE_ALPHABET[(unsigned char)p[i] % (sizeof(OSAFE_ALPHABET) - 1)];
	out[n] = '\0';
}

void osafe_suffix(uint64_t random, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = OSAFE_ALPHABET[random % (sizeof(OSAFE_ALPHABET) - 1)];
		random /= sizeof(OSAFE_ALPHABET) - 1;
	}
	out[n] = '\0';
}
