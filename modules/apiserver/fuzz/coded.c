/*
 * Fuzz target of compressed pages on their way through a proxy: whatever comes, no more goes out than was in it; what is a page comes
 * out as the page that it was would have.
 *
 * Input: a byte, how the pieces are cut and which encoding; the rest is the answer as it comes, and once more a page to be compressed.
 */
#include "http/coded.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define OUT_MAX	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct links *some_links(void)
{
	struct links *l = links_new((struct orlop_bytes){ "/P", 2 }, "b:80", (struct orlop_bytes){ "h", 1 });

	if (!l)
		abort();
	return l;
}

static int through(const char *p, size_t len, size_t piece, const char *encoding, struct obuf *out)
{
	struct orlop_bytes e = { encoding, strlen(encoding) };
	struct coded *c = coded_new(e);
	struct links *l = some_links();
	int r = 0;

	if (!c)
		abort();
	for (size_t at = 0; r == 0 && at < len; at += piece)
		r = coded_feed(c, l, p + at, len - at < piece ? len - at : piece, out);
	if (r == 0)
		r = coded_end(c, l, out);
	coded_free(c);
	links_free(l);
	return r;
}

/* @bits as zlib has them. */
static size_t pack(const char *p, size_t len, int bits, char *out, size_t max)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)max };

	if (deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return z.total_out;
}

static size_t unpack(const char *p, size_t len, int bits, char *out, size_t max)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)max };

	if (inflateInit2(&z, bits) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END || z.avail_in)
		abort();
	inflateEnd(&z);
	return z.total_out;
}

static void round_trip(const char *p, size_t len, size_t piece, int bits, const char *encoding)
{
	struct obuf out = OBUF_INIT, want = OBUF_INIT;
	struct links *l = some_links();
	char *packed = malloc(OUT_MAX), *plain = malloc(OUT_MAX);
	size_t n;

	if (!packed || !plain)
		abort();
	links_feed(l, p, len, &want);
	links_end(l, &want);
	links_free(l);
	n = pack(p, len, bits, packed, OUT_MAX);
	if (through(packed, n, piece, encoding, &out))
		abort();
	n = unpack(out.data, out.len, bits, plain, OUT_MAX);
	if (n != want.len || memcmp(plain, obuf_cstr(&want), n))
		abort();
	free(packed);
	free(plain);
	obuf_done(&out);
	obuf_done(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct obuf out = OBUF_INIT;
	size_t piece;

	if (size < 2 || size > 65536)
		return 0;
	piece = data[0] % 61 + 1;
	(void)through(p, size - 1, piece, data[0] & 0x80 ? "gzip" : "deflate", &out);
	obuf_done(&out);
	round_trip(p, size - 1, piece, 15 + 16, "gzip");
	round_trip(p, size - 1, piece, 15, "deflate");
	return 0;
}
