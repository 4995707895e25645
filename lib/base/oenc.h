/* oenc - hex, base64 (standard and URL alphabets) and the safe alphabet of generated names. */
#ifndef OLIB_BASE_OENC_H
#define OLIB_BASE_OENC_H

#include "base/obuf.h"

#include <stddef.h>
#include <stdint.h>

/* 2 * @n characters and a NUL go to @out. */
void ohex_encode(const void *p, size_t n, char *out);

/* What a digit stands for, -1: it is none. */
static inline int ohex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#define OUUID_BUF 37

/* Of 16 random bytes a UUID of version 4: those that say so are set in @r, the text goes to @out. */
void ouuid_make(unsigned char r[16], char out[OUUID_BUF]);

/* Returns the bytes written (≤ @max), -EINVAL (odd length, other characters), -ENOSPC. */
long ohex_decode(const char *p, size_t n, void *out, size_t max);

enum obase64 {
	OBASE64_STD	= 0,	/* + / with padding: []byte in JSON */
	OBASE64_URL	= 1,	/* - _ with padding */
	OBASE64_RAWURL	= 2,	/* - _ without padding: JWT, continue tokens */
	OBASE64_RAWSTD	= 3,
};

/* Room that @n bytes need, with NUL / most bytes that @n characters give. */
#define OBASE64_ENCODED(n) (((n) + 2) / 3 * 4 + 1)
#define OBASE64_DECODED(n) (((n) + 3) / 4 * 3)

/* Returns the length written to @out (OBASE64_ENCODED(n) bytes), NUL-terminated. */
size_t obase64_encode(enum obase64 kind, const void *p, size_t n, char *out);
void obase64_append(struct obuf *b, enum obase64 kind, const void *p, size_t n);

/*
 * obase64_decode - as Go's encoding/base64: CR and LF are skipped, padding is exact
 *
 * @out holds OBASE64_DECODED(n) bytes, may be NULL to validate only.
 * Returns the number of bytes, or -EINVAL with the offset of the first bad character in @ret_at
 * (may be NULL).
 */
long obase64_decode(enum obase64 kind, const char *p, size_t n, void *out, size_t *ret_at);

#define OSAFE_ALPHABET "bcdfghjklmnpqrstvwxz2456789"

/* SafeEncodeString of apimachinery: each byte modulo 27 in the alphabet. @out gets @n and a NUL. */
void osafe_encode(const char *p, size_t n, char *out);

/* @n (≤ 13) characters of the alphabet from 64 random bits, as generateName appends; and a NUL. */
void osafe_suffix(uint64_t random, size_t n, char *out);

#endif
