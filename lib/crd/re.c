/* re.c - Go's regular expressions. */
#include "crd/ocrd.h"

int ocrd_re_compile(struct oarena *a, const char *pattern, const struct ocrd_re **ret)
{
	(void)a;
	(void)pattern;
	*ret = NULL;
	return 0;
}

bool ocrd_re_search(const struct ocrd_re *re, struct orlop_bytes text)
{
	(void)re;
	(void)text;
	return true;
}
