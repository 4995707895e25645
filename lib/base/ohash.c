/* Hashes for names and tables; see ohash.h. */
#include "base/ohash.h"

#include <string.h>

uint32_t ohash_fnv1a32(uint32_t h, const void *p, size_t len)
{
	const unsigned char *s = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ s[i]) * 0x01000193u;
	return h;
}

uint32_t ohash_fnv32(uint32_t h, const void *p, size_t len)
{
	const unsigned char *s = p;

	for (size_t i = 0; i < len; i++)
		h = (h * 0x01000193u) ^ s[i];
	return h;
}

uint64_t ohash_fnv1a64(uint64_t h, const void *p, size_t len)
{
	const unsigned char *s = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ s[i]) * 0x100000001b3ull;
	return h;
}

/* 64 × 64 → 128 bits folded; without a 128-bit type two rounds of a finalizer do. */
static uint64_t mix(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ unsigned __int128 r = (unsigned __int128)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
#else
	a ^= b;
	a = (a ^ a >> 33) * 0xff51afd7ed558ccdull;
	a = (a ^ a >> 33) * 0xc4ceb9fe1a85ec53ull;
	return a ^ a >> 33;
#endif
}

static uint64_t load(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

uint64_t ohash_bytes(uint64_t seed, const void *p, size_t len)
{
	const unsigned char *s = p;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15ull;
	size_t left = len;

	while (left > 16) {
		h = mix(load(s, 8) ^ 0xa0761d6478bd642full, load(s + 8, 8) ^ h);
		s += 16;
		left -= 16;
	}
	if (left > 8)
		h = mix(load(s, 8) ^ 0xa0761d6478bd642full, load(s + 8, left - 8) ^ h);
	else if (left > 0)
		h = mix(load(s, left) ^ 0xa0761d6478bd642full, h ^ 0xe7037ed1a0b428dbull);
	return mix(h ^ 0x8ebc6af09c88c6e3ull, len ^ 0x589965cc75374cc3ull);
}

uint64_t ohash_u64(uint64_t seed, uint64_t v)
{
	return mix(v ^ 0xa0761d6478bd642full, seed ^ 0xe7037ed1a0b428dbull);
}
