/*
 * Fuzz target of regular expressions: "PATTERN \0 TEXT". Nothing is read beyond either, and a text that one place of the
 * pattern matches is matched by the pattern or whatever else.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/oarena.h"
#include "crd/ocrd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(struct oarena *a, const struct ocrd_re *re, char *pattern, const char *text, size_t len)
{
	const struct ocrd_re *either;
	bool found = ocrd_re_search(re, (struct orlop_bytes){ text, len });
	char *p = malloc(strlen(pattern) + 16);

	if (!p)
		return;
	strcpy(p, "(?:");
	strcat(p, pattern);
	strcat(p, ")|\\z.");	/* what never matches */
	if (ocrd_re_compile(a, p, &either) == 0 && ocrd_re_search(either, (struct orlop_bytes){ text, len }) != found)
		abort();
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = memchr(data, 0, size);
	size_t n = zero ? (size_t)(zero - data) : size, len = zero ? size - n - 1 : 0;
	const struct ocrd_re *re;
	/* both exactly as long as they are: what looks further is seen */
	char *pattern = malloc(n + 1), *text = malloc(len ? len : 1);
	struct oarena a;

	oarena_init(&a, 0);
	if (pattern && text && n < 2000 && len < 4000) {
		if (n)
			memcpy(pattern, data, n);
		pattern[n] = '\0';
		if (len)
			memcpy(text, zero + 1, len);
		if (ocrd_re_compile(&a, pattern, &re) == 0)
			search(&a, re, pattern, text, len);
	}
	oarena_done(&a);
	free(pattern);
	free(text);
	return 0;
}
