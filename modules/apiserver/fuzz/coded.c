/*
 * Fuzz target of compressed pages on their way through a proxy: whatever comes, no more goes out than was in it; what is a page comes
 * out as the page that it was would have.
 *
 * Input: a byte, how the pieces are cut and which encoding; the rest is the answer as it comes, and once more a page to be compressed.
 */
#include "../test/coded.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct orlop_bytes gzip = { "gzip", 4 }, deflated = { "deflate", 7 };

static struct links *some_links(void)
{
	struct links *l = links_new((struct orlop_bytes){ "/P", 2 }, "b:80", (struct orlop_bytes){ "h", 1 });

	if (!l)
		abort();
	return l;
}

static void round_trip(const char *p, size_t len, size_t piece, int bits, struct orlop_bytes encoding)
{
	struct obuf out = OBUF_INIT, want = OBUF_INIT;
	struct links *l = some_links();
	char *packed = malloc(OUT_MAX), *plain = malloc(OUT_MAX);
	size_t n;
	long got;

	if (!packed || !plain)
		abort();
	links_feed(l, p, len, &want);
	links_end(l, &want);
	links_free(l);
	n = pack(p, len, bits, packed, OUT_MAX);
	if (!n || through(some_links(), encoding, packed, n, piece, &out))
		abort();
	got = unpack(out.data, out.len, bits, plain, OUT_MAX);
	if (got < 0 || (size_t)got != want.len || memcmp(plain, obuf_cstr(&want), want.len))
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
	(void)through(some_links(), data[0] & 0x80 ? gzip : deflated, p, size - 1, piece, &out);
	obuf_done(&out);
	round_trip(p, size - 1, piece, 15 + 16, gzip);
	round_trip(p, size - 1, piece, 15, deflated);
	return 0;
}
