/*
 * re.h - the program that a regular expression becomes, between re.c, which makes it, and re-match.c, which runs it.
 *
 * All places in it that a prefix of the text may have reached are kept at once, so a match takes time linear in the
 * text. Groups capture nothing here: only whether the text matches is asked.
 */
#ifndef OLIB_CRD_RE_H
#define OLIB_CRD_RE_H

#include "crd/ocrd.h"

enum re_op { RE_SET, RE_ANY, RE_ANY_NL, RE_SPLIT, RE_JMP, RE_BEGIN, RE_END, RE_BEGIN_LINE, RE_END_LINE, RE_WORD,
	  RE_NOT_WORD, RE_MATCH };

struct re_range {
	uint32_t	lo, hi;
};

struct re_inst {
	uint8_t		op;
	bool		negated;
	uint32_t	x, y;		/* SPLIT: both ways; JMP: x; SET: first range and how many */
};

struct ocrd_re {
	const struct re_inst *prog;
	const struct re_range *ranges;
	uint32_t	n;
};

/* The next character of UTF-8 text; what is none counts as one byte. */
static inline uint32_t re_rune(const char **p, const char *end)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t left = (size_t)(end - *p);
	unsigned int n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1;
	uint32_t r = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	if (n > left)
		n = 1;
	for (unsigned int i = 1; i < n; i++)
		r = r << 6 | (s[i] & 0x3f);
	*p += n;
	return r;
}

#endif
