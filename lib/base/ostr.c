/* Comparison and numbers in (pointer, length) text; see ostr.h. */
#include "base/ostr.h"

#include <errno.h>

int ostr_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = a_len < b_len ? a_len : b_len;
	int r = n > 0 ? memcmp(a, b, n) : 0;

	if (r != 0)
		return r;
	return a_len < b_len ? -1 : a_len > b_len;
}

int ostr_to_u64(const char *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (p[i] < '0' || p[i] > '9')
			return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return -ERANGE;
	*ret = v;
	return 0;
}

int ostr_to_i64(const char *p, size_t len, int64_t *ret)
{
	bool neg = len > 0 && p[0] == '-';
	size_t skip = len > 0 && (p[0] == '-' || p[0] == '+');
	uint64_t v;
	int r = ostr_to_u64(p + skip, len - skip, &v);

	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}
