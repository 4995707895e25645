/* The HTTP/1.1 parser: every way of cutting the input gives the same; responses; rubbish. */
#include "http/oh1.h"

#include "base/obuf.h"
#include "base/otap.h"

#include <errno.h>

static int decode(const char *p, size_t len, size_t cut, struct obuf *out)
{
	struct oh1_head h = { .chunked = true, .content_length = -1 };
	struct oh1_body b;
	size_t at = 0;

	oh1_body_init(&b, &h, NULL);
	while (at < len && !b.done) {
		size_t end = at < cut ? cut : len;
		struct orlop_bytes d;
		ssize_t n = oh1_body_next(&b, p + at, end - at, &d);

		if (n < 0)
			return -1;
		if (d.len)
			obuf_append(out, d.p, d.len);
		at += (size_t)n;
	}
	return b.done ? (int)at : 0;
}

static void test_chunks(void)
{
	static const char good[] = "5\r\nhello\r\n6; a=b\r\n world\r\n0\r\nX: y\r\nZ: w\r\n\r\nnext";
	static const char *const bad[] = { "5\nhello", "g\r\n", "5\r\nhelloX\r\n", "\r\n", "-1\r\n", "5 5\rx",
		"11111111111111111\r\n", "0\r\n X\r\n\r\n", "0\r\n\n", "5 \r\nhello\r\n", "5\t;a=b\r\n" };
	bool same = true;

	for (size_t cut = 0; cut < sizeof(good) - 1; cut++) {
		struct obuf out = OBUF_INIT;
		int n = decode(good, sizeof(good) - 1, cut, &out);

		same = same && n == (int)(sizeof(good) - 5) && strcmp(obuf_cstr(&out), "hello world") == 0;
		obuf_done(&out);
	}
	ok(same, "chunks decode alike wherever they are cut");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct obuf out = OBUF_INIT;

		is_int(decode(bad[i], strlen(bad[i]), 0, &out), -1, "bad chunks %zu", i);
		obuf_done(&out);
	}
}

static void test_head_len(void)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
	bool good = true;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		size_t scan = 0;
		size_t n = oh1_head_len(text, cut, &scan);

		if (!n)
			n = oh1_head_len(text, sizeof(text) - 1, &scan);
		good = good && n == 27;
	}
	ok(good, "the end of a head is found however it comes");
}

static void test_response(void)
{
	struct ohttp_header hdr[8];
	struct oh1_head h = { .headers = hdr, .max_headers = 8 };
	static const char *const bad[] = { "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
		"ICY 200 OK\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n" };
	static const char good[] = "HTTP/1.1 200\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";

	is_int(oh1_parse_response(good, sizeof(good) - 1, &h), 0, "a response without reason");
	ok(h.status == 200 && h.content_length == 5 && !h.keep_alive, "read");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(oh1_parse_response(bad[i], strlen(bad[i]), &h), -EPROTO, "bad response %zu", i);
}

static void test_words(void)
{
	char out[32];
	long n;

	ok(ohttp_has_token((struct orlop_bytes){ "a, Upgrade ,b", 13 }, "upgrade"), "a token among others");
	ok(!ohttp_has_token((struct orlop_bytes){ "upgraded", 8 }, "upgrade"), "not a part of one");
	ok(!ohttp_has_token((struct orlop_bytes){ "gzip;q=0", 8 }, "gzip"), "q=0 says no");
	ok(ohttp_has_token((struct orlop_bytes){ "gzip;q=0.5", 10 }, "gzip"), "q=0.5 does not");
	n = ohttp_unescape((struct orlop_bytes){ "a%20b+c%2F", 10 }, true, out);
	ok(n == 6 && memcmp(out, "a b c/", 6) == 0, "escapes");
	is_int(ohttp_unescape((struct orlop_bytes){ "%2", 2 }, true, out), -EINVAL, "half an escape");
	is_int(ohttp_unescape((struct orlop_bytes){ "%zz", 3 }, true, out), -EINVAL, "no escape");
}

int main(void)
{
	test_chunks();
	test_head_len();
	test_response();
	test_words();
	return done_testing();
}
