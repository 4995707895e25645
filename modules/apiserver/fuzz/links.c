/*
 * Fuzz target of links in proxied pages: whatever comes, what stands outside of addresses goes out as it came, whole or in pieces.
 *
 * Input: a byte, the length of the pieces; the rest is the page.
 */
#include "http/links.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX	"/P"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct obuf page(const char *p, size_t len, size_t piece)
{
	struct links *l = links_new((struct orlop_bytes){ PREFIX, strlen(PREFIX) }, "b:80", (struct orlop_bytes){ "h", 1 });
	struct obuf out = OBUF_INIT;

	if (!l)
		abort();
	for (size_t at = 0; at < len; at += piece)
		links_feed(l, p + at, len - at < piece ? len - at : piece, &out);
	links_end(l, &out);
	links_free(l);
	return out;
}

/* @out is @in, in which the prefix does not stand, with prefixes put in. */
static void check(const char *in, size_t n, const char *out, size_t m)
{
	size_t i = 0;

	for (size_t k = 0; k < m;) {
		if (m - k >= 2 && !memcmp(out + k, PREFIX, 2))
			k += 2;
		else if (i < n && in[i] == out[k++])
			i++;
		else
			abort();
	}
	if (i != n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct obuf whole, parts;

	if (size < 2)
		return 0;
	whole = page(p, size - 1, size);
	parts = page(p, size - 1, (size_t)data[0] % 64 + 1);
	if (obuf_err(&whole) || obuf_err(&parts) || whole.len != parts.len || memcmp(obuf_cstr(&whole), obuf_cstr(&parts), whole.len))
		abort();
	/* the backend's name goes, with what stands before it */
	if (!memmem(p, size - 1, ":80", 3) && !memmem(p, size - 1, PREFIX, 2))
		check(p, size - 1, whole.data, whole.len);
	obuf_done(&whole);
	obuf_done(&parts);
	return 0;
}
