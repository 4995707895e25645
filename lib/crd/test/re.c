/* Regular expressions as Go reads them. */
#include "base/otap.h"
#include "crd/ocrd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void match(const char *pattern, const char *text, bool want)
{
	struct oarena a;
	const struct ocrd_re *re;
	int r;

	oarena_init(&a, 0);
	r = ocrd_re_compile(&a, pattern, &re);
	ok(r == 0 && re && ocrd_re_search(re, (struct orlop_bytes){ text, strlen(text) }) == want, "/%s/ and \"%s\": %s",
	   pattern, text, want ? "yes" : "no");
	oarena_done(&a);
}

static void wrong(const char *pattern)
{
	struct oarena a;
	const struct ocrd_re *re;

	oarena_init(&a, 0);
	ok(ocrd_re_compile(&a, pattern, &re) < 0, "/%s/ is none", pattern);
	oarena_done(&a);
}

/* What costs more than it may says so, after as many steps and no more. */
static void costs(const char *pattern, size_t len, uint64_t steps, int want)
{
	char *text = malloc(len);
	const struct ocrd_re *re;
	struct oarena a;
	uint64_t left = steps;
	int r;

	if (!text)
		abort();
	memset(text, 'a', len);
	oarena_init(&a, 0);
	r = ocrd_re_compile(&a, pattern, &re);
	ok(r == 0, "/%s/ is one", pattern);
	r = r ? r : ocrd_re_match(re, (struct orlop_bytes){ text, len }, &left);
	ok(r == want, "/%s/ and %zu times a in %llu steps: %d", pattern, len, (unsigned long long)steps, want);
	ok((left == 0) == (want == -E2BIG), "%llu are left", (unsigned long long)left);
	oarena_done(&a);
	free(text);
}

int main(void)
{
	costs("^(((a{1,10}){1,10}){1,10})*b", 100000, 1000000, -E2BIG);
	costs("^(a?){1000}b$", 10, 1000, -E2BIG);
	costs("^[a-z]([-a-z0-9]*[a-z0-9])?$", 63, 1000, 1);
	costs("^[a-z]([-a-z0-9]*[a-z0-9])?b$", 63, 1000, 0);
	match("a", "bab", true);
	match("^a$", "bab", false);
	match("^[a-z]([-a-z0-9]*[a-z0-9])?$", "web-0", true);
	match("^[a-z]([-a-z0-9]*[a-z0-9])?$", "web-", false);
	match("^(\\d+|\\d*\\.\\d+)(ms|s|m|h)$", "1.5h", true);
	match("^(\\d+|\\d*\\.\\d+)(ms|s|m|h)$", "1.5d", false);
	match("^(red|green|)$", "", true);
	match("^(red|green|blue)$", "blue", true);
	match("^(red|green|blue)$", "blues", false);
	match("^a{2,3}$", "aa", true);
	match("^a{2,3}$", "aaaa", false);
	match("^a{2,}$", "aaaaa", true);
	match("^(?i)abc$", "aBC", true);
	match("^(?:ab)+$", "abab", true);
	match("^(?P<x>ab)*?$", "", true);
	match("^.$", "\xc3\xa4", true);
	match("^[\xc3\xa4\xc3\xb6]+$", "\xc3\xb6\xc3\xa4", true);
	match("^[^/]+$", "a/b", false);
	match("^\\S+\\s\\w+$", "a_! b", true);
	match("^[[:alpha:]_]+$", "a_B", true);
	match("\\bfoo\\b", "a foo b", true);
	match("\\bfoo\\b", "afoo", false);
	match("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false);
	match("^(((a{1,10}){1,10}){1,10})$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false);
	match("^\\x41\\x{42}\\.$", "AB.", true);
	match("^a{,2}$", "a{,2}", true);
	wrong("(");
	wrong("a)");
	wrong("[a");
	wrong("([\\");
	wrong("((?i");
	wrong("*a");
	wrong("a**");
	wrong("a{1001}");
	wrong("(?=a)");
	wrong("\\1");
	wrong("((((((a{1000}){1000}){1000}){1000}){1000}){1000})");
	return done_testing();
}
