/* UTF-8 with Go's rules for broken input; see outf8.h. */
#include "base/outf8.h"

static bool cont(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t outf8_decode(const char *p, size_t n, uint32_t *ret_rune)
{
	const unsigned char *s = (const unsigned char *)p;
	uint32_t r;

	*ret_rune = OUTF8_INVALID;
	if (n == 0)
		return 0;
	if (s[0] < 0x80) {
		*ret_rune = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf && n >= 2 && cont(s[1])) {
		*ret_rune = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
		return 2;
	}
	if (s[0] >= 0xe0 && s[0] <= 0xef && n >= 3 && cont(s[1]) && cont(s[2])) {
		r = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
		if (r < 0x800 || (r >= 0xd800 && r <= 0xdfff))
			return 1;
		*ret_rune = r;
		return 3;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4 && n >= 4 && cont(s[1]) && cont(s[2]) && cont(s[3])) {
		r = (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
		    (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
		if (r < 0x10000 || r > 0x10ffff)
			return 1;
		*ret_rune = r;
		return 4;
	}
	return 1;
}

size_t outf8_encode(uint32_t rune, char out[4])
{
	if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
		rune = OUTF8_INVALID;
	if (rune < 0x80) {
		out[0] = (char)rune;
		return 1;
	}
	if (rune < 0x800) {
		out[0] = (char)(0xc0 | rune >> 6);
		out[1] = (char)(0x80 | (rune & 0x3f));
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (char)(0xe0 | rune >> 12);
		out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		out[2] = (char)(0x80 | (rune & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | rune >> 18);
	out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
	out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
	out[3] = (char)(0x80 | (rune & 0x3f));
	return 4;
}

bool outf8_valid(const char *p, size_t n)
{
	while (n > 0) {
		uint32_t r;
		size_t k = outf8_decode(p, n, &r);

		if (k == 1 && r == OUTF8_INVALID)
			return false;
		p += k;
		n -= k;
	}
	return true;
}
