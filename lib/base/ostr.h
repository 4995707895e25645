/* ostr - small comparisons on (pointer, length) text. */
#ifndef OLIB_BASE_OSTR_H
#define OLIB_BASE_OSTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool ostr_eq(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static inline bool ostr_is(const char *p, size_t len, const char *cstr)
{
	return ostr_eq(p, len, cstr, strlen(cstr));
}

static inline bool ostr_starts(const char *p, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(p, prefix, n) == 0;
}

static inline bool ostr_ends(const char *p, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len >= n && memcmp(p + len - n, suffix, n) == 0;
}

/* Byte order, shorter first: how Go sorts strings. */
int ostr_cmp(const char *a, size_t a_len, const char *b, size_t b_len);

/*
 * Whole text as a decimal number, as Go's ParseInt/ParseUint base 10 take it (a sign only for the
 * signed form, no spaces). 0, -EINVAL, -ERANGE.
 */
int ostr_to_i64(const char *p, size_t len, int64_t *ret);
int ostr_to_u64(const char *p, size_t len, uint64_t *ret);

#endif
