/* coded.h - compressed pages, for the test and the fuzz target of http/coded.c. */
#ifndef APIS_TEST_CODED_H
#define APIS_TEST_CODED_H

#include "http/coded.h"

#include <zlib.h>

/* @bits as zlib has them. How many bytes, 0: they are not to be had. */
static inline size_t pack(const char *p, size_t len, int bits, char *out, size_t max)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)max };
	bool good = deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) == Z_OK && deflate(&z, Z_FINISH) == Z_STREAM_END;

	deflateEnd(&z);
	return good ? z.total_out : 0;
}

/* All of one stream and no more; -1: it is not. */
static inline long unpack(const char *p, size_t len, int bits, char *out, size_t max)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)max };
	bool good = inflateInit2(&z, bits) == Z_OK && inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_in;

	inflateEnd(&z);
	return good ? (long)z.total_out : -1;
}

/* A compressed page in pieces of @piece bytes: coded_new() to coded_end(). */
static inline int through(struct links *take_l, struct orlop_bytes encoding, const char *p, size_t len, size_t piece, struct obuf *out)
{
	struct coded *c = coded_new(encoding);
	int r = c ? 0 : -1;

	for (size_t at = 0; r == 0 && at < len; at += piece)
		r = coded_feed(c, take_l, p + at, len - at < piece ? len - at : piece, out);
	if (r == 0)
		r = coded_end(c, take_l, out);
	coded_free(c);
	links_free(take_l);
	return r;
}

#endif
