/*
 * util.c - errors with a place, growing arrays, and SHA-256 for the schema compiler.
 */
#include "schemac.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sc_die(struct sc_where at, const char *fmt, ...)
{
	va_list ap;

	if (at.file != NULL)
		fprintf(stderr, "%s:%d: ", at.file, at.line);
	else
		fputs("schemac: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void *sc_push(struct sc_vec *vec, size_t elem_size)
{
	struct sc_where nowhere = { NULL, 0 };
	char *p;

	if (vec->n == vec->cap) {
		size_t cap = vec->cap != 0 ? vec->cap * 2 : 8;
		void *v = realloc(vec->v, cap * elem_size);

		if (v == NULL)
			sc_die(nowhere, "out of memory");
		vec->v = v;
		vec->cap = cap;
	}
	p = (char *)vec->v + vec->n++ * elem_size;
	memset(p, 0, elem_size);
	return p;
}

char *sc_dup(const char *p, size_t n)
{
	struct sc_where nowhere = { NULL, 0 };
	char *s = malloc(n + 1);

	if (s == NULL)
		sc_die(nowhere, "out of memory");
	memcpy(s, p, n);
	s[n] = '\0';
	return s;
}

char *sc_cat(const char *a, const char *b, const char *c)
{
	size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
	char *s = malloc(na + nb + nc + 1);

	if (s == NULL)
		sc_die((struct sc_where){ NULL, 0 }, "out of memory");
	memcpy(s, a, na);
	memcpy(s + na, b, nb);
	memcpy(s + na + nb, c, nc + 1);
	return s;
}

/* SHA-256 as FIPS 180-4 describes it; needed for storageVersionHash and the schema generation. */
static uint32_t ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t h[8], const uint8_t *p)
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
		0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
		0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
		0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
		0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
		0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
		0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
		0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
		0xc67178f2,
	};
	uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], i7 = h[7];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = i7 + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
		uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

		i7 = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	h[5] += f;
	h[6] += g;
	h[7] += i7;
}

void sc_sha256(const void *data, size_t n, uint8_t ret[32])
{
	uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	const uint8_t *p = data;
	uint8_t last[128] = { 0 };
	size_t left = n;

	for (; left >= 64; left -= 64, p += 64)
		sha256_block(h, p);
	memcpy(last, p, left);
	last[left] = 0x80;
	size_t total = left + 9 <= 64 ? 64 : 128;

	for (int i = 0; i < 8; i++)
		last[total - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> (8 * i));
	sha256_block(h, last);
	if (total == 128)
		sha256_block(h, last + 64);
	for (int i = 0; i < 32; i++)
		ret[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}
