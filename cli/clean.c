/*
 * clean.c - text from elsewhere, made safe for a terminal.
 */
#include "clean.h"

#include <string.h>

#include "base/outf8.h"

void clean_put(struct obuf *b, const char *p, size_t len)
{
	while (len > 0) {
		uint32_t rune;
		size_t n = outf8_decode(p, len, &rune);
		bool broken = rune == OUTF8_INVALID && n == 1;

		if (broken || rune < 0x20 || (rune >= 0x7f && rune < 0xa0))
			obuf_printf(b, "\\x%02x", broken ? (unsigned char)*p : (unsigned int)rune);
		else
			obuf_append(b, p, n);
		p += n;
		len -= n;
	}
}

const char *clean_text(const char *cstr, char *buf, size_t size)
{
	struct obuf b = OBUF_INIT;
	size_t n;

	clean_put(&b, cstr, strlen(cstr));
	n = b.len < size - 1 ? b.len : size - 1;
	if (n)
		memcpy(buf, b.data, n);
	buf[n] = '\0';
	obuf_done(&b);
	return buf;
}
