/* Compressed pages through …/proxy/: their links are changed, they stay compressed; what is none, or has no end, is told. */
#include "coded.h"

#include "base/otap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE	"<a href=\"/x\">t</a>"
#define WANT	"<a href=\"/P/x\">t</a>"

static const struct orlop_bytes gzip = { "GZip", 4 }, deflated = { "deflate", 7 };

static const char *prefix = "/P";

static const char *unpacked(const struct obuf *b, int bits, char *out, size_t max)
{
	long n = unpack(b->data, b->len, bits, out, max - 1);

	if (n < 0)
		return "not whole";
	out[n] = '\0';
	return out;
}

static int sent(struct orlop_bytes encoding, const char *p, size_t len, size_t piece, struct obuf *out)
{
	obuf_reset(out);
	return through(links_new((struct orlop_bytes){ prefix, strlen(prefix) }, "b:80", (struct orlop_bytes){ "h", 1 }), encoding, p, len,
		       piece, out);
}

static void pages(void)
{
	static const struct {
		const char *what;
		int bits;
		const struct orlop_bytes *encoding;
	} kinds[] = { { "gzip", 31, &gzip }, { "deflate", 15, &deflated }, { "deflate without a frame", -15, &deflated } };
	char packed[400], plain[400];
	struct obuf out = OBUF_INIT;

	for (size_t i = 0; i < 3; i++) {
		size_t n = pack(PAGE, strlen(PAGE), kinds[i].bits, packed, sizeof(packed));

		for (size_t piece = 1; piece < 1000; piece += 998) {
			is_int(sent(*kinds[i].encoding, packed, n, piece, &out), 0, "%s", kinds[i].what);
			is_str(unpacked(&out, kinds[i].bits, plain, sizeof(plain)), WANT, "its links lead through here");
		}
		is_int(sent(*kinds[i].encoding, packed, n - 1, 1, &out), -EBADMSG, "without its end it is no page");
	}
	is_int(sent(gzip, PAGE, strlen(PAGE), 5, &out), -EBADMSG, "nor is what is not compressed");
	is_int(sent(gzip, "", 0, 1, &out), 0, "nothing");
	is_int((long)out.len, 0, "stays nothing");
	obuf_done(&out);
}

/* One behind the other are one page, by gzip's rules. */
static void members(void)
{
	char packed[400], plain[400];
	struct obuf out = OBUF_INIT;
	size_t n = pack("<a hre", 6, 31, packed, sizeof(packed));

	n += pack("f=\"/x\">t</a>", 13, 31, packed + n, sizeof(packed) - n);
	is_int(sent(gzip, packed, n, 7, &out), 0, "two members");
	is_str(unpacked(&out, 31, plain, sizeof(plain)), WANT, "are one page");
	packed[n] = 'x';
	is_int(sent(gzip, packed, n + 1, n + 1, &out), -EBADMSG, "what follows is another, or an error");
	obuf_done(&out);
}

/* A little that becomes very much ends it. */
static void bomb(void)
{
	size_t size = 80u << 20;
	char *zeros = calloc(1, size), *packed = malloc(1u << 20);
	struct obuf out = OBUF_INIT;
	size_t n;

	if (!zeros || !packed) {
		otap_skip("not enough memory", 1);
	} else {
		n = pack(zeros, size, 31, packed, 1u << 20);
		is_int(sent(gzip, packed, n, 16384, &out), -EFBIG, "80 MiB are no page");
	}
	free(zeros);
	free(packed);
	obuf_done(&out);
}

/* So does a little that its links make much of. */
static void many_links(void)
{
	static const char link[] = "<a href=\"/\">";
	size_t one = sizeof(link) - 1, size = one * 100000;
	char *page = malloc(size), *packed = malloc(1u << 20), far[1001];
	struct obuf out = OBUF_INIT;
	size_t n;

	memset(far, 'p', sizeof(far));
	far[0] = '/';
	far[1000] = '\0';
	if (!page || !packed) {
		otap_skip("not enough memory", 1);
	} else {
		for (size_t i = 0; i < size; i += one)
			memcpy(page + i, link, one);
		n = pack(page, size, 31, packed, 1u << 20);
		is_int(sent(gzip, packed, n, 16384, &out), 0, "many links");
		prefix = far;
		is_int(sent(gzip, packed, n, 16384, &out), -EFBIG, "that become 100 MB are no page");
		prefix = "/P";
	}
	free(page);
	free(packed);
	obuf_done(&out);
}

int main(void)
{
	ok(coded_is(gzip) && coded_is(deflated) && !coded_is((struct orlop_bytes){ "br", 2 }), "which can be read");
	pages();
	members();
	bomb();
	many_links();
	return done_testing();
}
