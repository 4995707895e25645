/*
 * ofuzz - runs a fuzz target without a fuzzer: seeds, and random damage to them, from a fixed seed
 *
 * A target is a file with LLVMFuzzerTestOneInput(), linked with libFuzzer where the compiler has it.
 * A unit test includes that file and calls ofuzz_run(): every build then tries the same few
 * thousand inputs, and sanitizers judge. Test programs only.
 */
#ifndef OLIB_BASE_OFUZZ_H
#define OLIB_BASE_OFUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* splitmix64 */
static inline uint64_t ofuzz_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Damages buf[0 … len) of @cap bytes once; returns the new length. */
static inline size_t ofuzz_damage(uint64_t *state, uint8_t *buf, size_t len, size_t cap,
				  const char *const *seeds, size_t n_seeds)
{
	static const char tokens[] = "{}[]\",:\\/~.-+0123456789eEnutf$ =!()<>\n\xff\xc3";
	uint64_t r = ofuzz_random(state);
	size_t at = len > 0 ? (size_t)(r >> 32) % len : 0;
	size_t n;

	switch (r % 6) {
	case 0:			/* another byte */
		if (len > 0)
			buf[at] = (uint8_t)tokens[(r >> 8) % (sizeof(tokens) - 1)];
		return len;
	case 1:			/* one bit */
		if (len > 0)
			buf[at] ^= (uint8_t)(1u << (r >> 8 & 7));
		return len;
	case 2:			/* cut out */
		n = len > 0 ? 1 + (size_t)(r >> 8 & 15) : 0;
		if (n > len - at)
			n = len - at;
		memmove(buf + at, buf + at + n, len - at - n);
		return len - n;
	case 3:			/* put in */
		if (len == cap)
			return len;
		memmove(buf + at + 1, buf + at, len - at);
		buf[at] = (uint8_t)tokens[(r >> 8) % (sizeof(tokens) - 1)];
		return len + 1;
	case 4:			/* repeat a piece */
		n = (size_t)(r >> 8 & 31);
		if (n > len - at)
			n = len - at;
		if (len + n > cap)
			return len;
		memmove(buf + at + n, buf + at, len - at);
		return len + n;
	default: {		/* a piece of another seed */
		const char *s = seeds[(r >> 8) % n_seeds];
		size_t s_len = strlen(s);
		size_t from = s_len > 0 ? (size_t)(r >> 16) % s_len : 0;

		n = s_len - from;
		if (n > 40)
			n = 40;
		if (len + n > cap)
			return len;
		memmove(buf + at + n, buf + at, len - at);
		memcpy(buf + at, s + from, n);
		return len + n;
	}
	}
}

/* Every seed as it is, then @rounds damaged ones. The input is malloc'ed at its exact size each time. */
static inline void ofuzz_run(const char *const *seeds, size_t n_seeds, unsigned int rounds)
{
	uint8_t buf[4096];
	uint64_t state = 20250101;

	for (size_t i = 0; i < n_seeds + rounds; i++) {
		const char *seed = seeds[i < n_seeds ? i : ofuzz_random(&state) % n_seeds];
		size_t len = strlen(seed) < sizeof(buf) / 2 ? strlen(seed) : sizeof(buf) / 2;
		uint8_t *input;

		memcpy(buf, seed, len);
		for (uint64_t k = i < n_seeds ? 0 : 1 + ofuzz_random(&state) % 6; k > 0; k--)
			len = ofuzz_damage(&state, buf, len, sizeof(buf), seeds, n_seeds);
		input = malloc(len > 0 ? len : 1);
		if (input == NULL)
			return;
		memcpy(input, buf, len);
		(void)LLVMFuzzerTestOneInput(input, len);
		free(input);
	}
}

#endif
