/*
 * warnings.c - warnings of an answer as its headers.
 *
 * Source: upstream's apiserver, pkg/endpoints/filters/warning.go, behaviour only; test: tests/api/strict.py
 */
#include "front.h"

#include <string.h>

/*
 * Characters of all warnings; of more than that, no more of each one: upstream's. So there may be thousands, all short. The last is
 * ours: HTTP/2 has no room for more headers than that.
 */
#define WARNINGS_MAX	4096u
#define WARNING_MAX	256u
#define WARNINGS_MOST	2500u

static bool begins_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t chars(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += begins_char(*text);
	return n;
}

/* "warning text" with its quotes escaped, at most @max characters of it, in the arena. */
static const char *warning(struct front *f, const char *text, size_t max)
{
	struct obuf b = OBUF_INIT;
	char *out;

	obuf_puts(&b, "299 - \"");
	for (; *text; text++) {
		if (begins_char(*text) && max-- == 0)
			break;
		if (*text == '"' || *text == '\\')
			obuf_putc(&b, '\\');
		obuf_putc(&b, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
		if ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0)
			obuf_putc(&b, (char)(*++text | 0x20));	/* a control character of the upper half becomes a letter */
	}
	obuf_putc(&b, '"');
	out = oarena_strndup(&f->arena, obuf_cstr(&b), b.len);
	obuf_done(&b);
	return out ? out : "299 - \"\"";
}

const struct ohttp_header *front_warnings(struct front *f, const struct reg_answer *a, const struct ohttp_header *own, size_t *n)
{
	size_t all = 0, said = 0, room = a->n_warnings < WARNINGS_MOST ? a->n_warnings : WARNINGS_MOST;
	struct ohttp_header *hdr = room ? oarena_alloc(&f->arena, (*n + room) * sizeof(*hdr)) : NULL;
	uint32_t i = 0;

	if (!hdr)
		return own;
	memcpy(hdr, own, *n * sizeof(*hdr));
	while (i < a->n_warnings && all <= WARNINGS_MAX)
		all += chars(a->warnings[i++]);
	/* up to the one with which it is too much all are said, each of them short; then as many as there is room for */
	for (uint32_t k = 0; k < room && (said < WARNINGS_MAX || k < i); k++) {
		size_t len = chars(a->warnings[k]);

		if (all > WARNINGS_MAX && len > WARNING_MAX)
			len = WARNING_MAX;
		said += len;
		hdr[(*n)++] = ohttp_header_cstr("Warning", warning(f, a->warnings[k], len));
	}
	return hdr;
}
