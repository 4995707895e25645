/*
 * osha256 - SHA-256 (FIPS 180-4), for checksums of files where no library is at hand. Not for secrets:
 * those have OpenSSL.
 */
#ifndef OLIB_BASE_OSHA256_H
#define OLIB_BASE_OSHA256_H

#include <stddef.h>
#include <stdint.h>

#define OSHA256_LEN 32u

struct osha256 {
	uint32_t	h[8];
	uint64_t	len;
	unsigned char	block[64];
};

void osha256_init(struct osha256 *s);
void osha256_add(struct osha256 *s, const void *p, size_t len);
void osha256_end(struct osha256 *s, unsigned char out[OSHA256_LEN]);

#endif
