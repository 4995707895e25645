/*
 * The server on real sockets in the clear: requests, bodies, streams, limits, and clients that misbehave.
 */
#ifdef __has_feature	/* clang; gcc has macros of its own */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#include "serverkit.h"

#include <sys/resource.h>

/* ---- a client by hand ------------------------------------------------------------------------------- */

struct raw {
	int		fd;
	struct obuf	in;
	bool		eof;
	const char	*want;
};

static bool raw_poll(void *arg)
{
	struct raw *w = arg;
	char buf[65536];
	ssize_t n;

	while ((n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		obuf_append(&w->in, buf, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		w->eof = true;
	return w->eof || (w->want && strstr(obuf_cstr(&w->in), w->want));
}

static void raw_open(struct raw *w)
{
	memset(w, 0, sizeof(*w));
	w->fd = ph_dial(addr);
}

static void raw_close(struct raw *w)
{
	close(w->fd);
	obuf_done(&w->in);
}

/* Sends @text on a connection of its own and reads to the end (or until @want is there). */
static void raw_ask(struct raw *w, const char *p, size_t len, const char *want)
{
	raw_open(w);
	(void)!send(w->fd, p, len, MSG_NOSIGNAL);
	w->want = want;
	(void)ph_until(raw_poll, w);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static const struct {
	const char	*name;
	const char	*text;
	const char	*answer;	/* begins with */
} bad[] = {
	{ "bare LF", "GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", "HTTP/1.1 400" },
	{ "no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400" },
	{ "two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400" },
	{ "folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "HTTP/1.1 400" },
	{ "space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400" },
	{ "length and chunks", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400" },
	{ "two lengths", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	  "HTTP/1.1 400" },
	{ "negative length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", "HTTP/1.1 400" },
	{ "huge length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
	  "HTTP/1.1 400" },
	{ "length with plus", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", "HTTP/1.1 400" },
	{ "unknown coding", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501" },
	{ "coding twice", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400" },
	{ "chunks in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400" },
	{ "version 2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505" },
	{ "no version", "GET /\r\n\r\n", "HTTP/1.1 400" },
	{ "control in header", "GET / HTTP/1.1\r\nHost: a\r\nX: \001\r\n\r\n", "HTTP/1.1 400" },
	{ "bare CR", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n", "HTTP/1.1 400" },
	{ "space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400" },
	{ "fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400" },
	{ "CONNECT", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405" },
	{ "bad chunk size", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	  "HTTP/1.1 400" },
	{ "chunk size overflow", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "fffffffffffffffff\r\n", "HTTP/1.1 400" },
	{ "chunk without CRLF", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "3\r\nabcd\r\n", "HTTP/1.1 400" },
	{ "TLS hello", "\x16\x03\x01\x02\x01\r\n\r\n", "HTTP/1.1 400" },
	{ "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505" },
	{ "announced as too large", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n"
	  "Expect: 100-continue\r\n\r\n", "HTTP/1.1 413" },
	{ "good after all", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200" },
	{ "1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200" },
	{ "absolute target", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200" },
	{ "upgrade refused", "GET /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 400" },
};

static void test_h1(void)
{
	struct ohttp_server_config cfg = { 0 };
	struct ohttp_server_stats st;
	struct obuf b = OBUF_INIT;
	struct raw w;
	const char *p;

	start(NULL, &cfg);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		raw_ask(&w, bad[i].text, strlen(bad[i].text), NULL);
		ok(strncmp(obuf_cstr(&w.in), bad[i].answer, strlen(bad[i].answer)) == 0, "h1 %s: %.30s",
		   bad[i].name, obuf_cstr(&w.in));
		raw_close(&w);
	}
	obuf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	for (int i = 0; i < 70000; i++)
		obuf_putc(&b, 'x');
	raw_ask(&w, b.data, b.len, NULL);
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 431", 12) == 0, "header too long");
	raw_close(&w);
	obuf_reset(&b);
	obuf_puts(&b, "GET /");
	for (int i = 0; i < 20000; i++)
		obuf_putc(&b, 'x');
	obuf_puts(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_ask(&w, b.data, b.len, NULL);
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 414", 12) == 0, "target too long");
	raw_close(&w);
	obuf_reset(&b);
	obuf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 300; i++)
		obuf_printf(&b, "X%d: y\r\n", i);
	obuf_puts(&b, "\r\n");
	raw_ask(&w, b.data, b.len, NULL);
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 431", 12) == 0, "too many headers");
	raw_close(&w);

	p = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
	    "GET /pipe HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast"
	    "HEAD /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	raw_ask(&w, p, strlen(p), NULL);
	ok(strstr(obuf_cstr(&w.in), "abcde") && strstr(obuf_cstr(&w.in), "hello") &&
	   strstr(obuf_cstr(&w.in), "last"), "four pipelined requests");
	ok(strstr(obuf_cstr(&w.in), "Content-Length: 300000\r\n") && w.in.len < 2000, "HEAD has the length only");
	raw_close(&w);

	p = "GET /split HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	raw_ask(&w, p, strlen(p), NULL);
	ok(strstr(obuf_cstr(&w.in), "\r\nX: a  Evil: b c\r\n"), "no value makes a header of its own: %s", obuf_cstr(&w.in));
	raw_close(&w);

	p = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
	raw_ask(&w, p, strlen(p), "100 Continue");
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 100", 12) == 0, "100-continue");
	(void)!send(w.fd, "hello", 5, 0);
	w.want = "\r\n\r\nhello";
	(void)ph_until(raw_poll, &w);
	ok(!w.eof && strstr(obuf_cstr(&w.in), "\r\n\r\nhello"), "and the body");
	raw_close(&w);

	p = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
	raw_open(&w);
	(void)!send(w.fd, p, strlen(p), 0);
	obuf_reset(&b);
	for (int i = 0; i < 200000; i++)
		obuf_putc(&b, 'z');
	w.want = "entity too large";
	fcntl(w.fd, F_SETFL, O_NONBLOCK);
	for (size_t at = 0; at < b.len && !raw_poll(&w);) {
		ssize_t n = send(w.fd, b.data + at, b.len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		ph_turn(1);
	}
	(void)ph_until(raw_poll, &w);
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 413", 12) == 0, "body too large: %.20s", obuf_cstr(&w.in));
	raw_close(&w);

	p = "GET /pour HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	raw_ask(&w, p, strlen(p), NULL);
	ok(w.in.len > 3 * 1024 * 1024, "a stream of 3 MB with back-pressure: %zu", w.in.len);
	raw_close(&w);

	p = "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly";
	raw_ask(&w, p, strlen(p), "early");
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 101", 12) == 0 && strstr(obuf_cstr(&w.in), "\r\n\r\nearly"),
	   "upgrade keeps early bytes");
	(void)!send(w.fd, "late", 4, 0);
	w.want = "earlylate";
	ok(ph_until(raw_poll, &w) && !w.eof, "and echoes");
	shutdown(w.fd, SHUT_WR);
	w.want = NULL;
	ok(ph_until(raw_poll, &w) && !up, "half close ends it");
	raw_close(&w);

	n_closed = 0;
	raw_ask(&w, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n", 32, "first");
	ok(stream_req != NULL, "a watch is open");
	raw_close(&w);
	(void)ph_until(no_conns, NULL);
	is_int(n_closed, 1, "its handler learns that the client left");

	raw_open(&w);
	(void)!send(w.fd, "GET / HTTP/1.1\r\nHos", 19, 0);
	for (int i = 0; i < 5; i++)
		ph_turn(10);
	ph.skew += UINT64_C(11000000000);
	w.want = "never";
	(void)ph_until(raw_poll, &w);
	is_int(w.in.len, 0, "a head that never ends is not answered");
	ok(w.eof, "but closed after its time");
	raw_close(&w);
	(void)ph_until(no_conns, NULL);
	ohttp_server_stats(srv, &st);
	ok(st.timeouts >= 1, "and counted");
	is_int(st.active, 0, "no request is left");
	obuf_done(&b);
	stop();
}

static bool two_asked(void *arg)
{
	struct ohttp_server_stats st;

	(void)arg;
	ohttp_server_stats(srv, &st);
	return st.requests == 2;
}

static long rss_kb(void)
{
	char buf[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	const char *at;

	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	at = strstr(buf, "VmRSS:");
	return at ? atol(at + 6) : 0;
}

static void test_limits(void)
{
	struct ohttp_server_config cfg = { .max_connections = 2, .write_timeout_ns = UINT64_C(30000000000),
		.idle_timeout_ns = UINT64_C(30000000000), .head_timeout_ns = UINT64_C(30000000000) };
	struct ohttp_server_stats st;
	struct raw a, b, c;

	start(NULL, &cfg);
	raw_open(&a);
	(void)!send(a.fd, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", 31, 0);
	raw_open(&b);
	(void)!send(b.fd, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", 31, 0);
	ok(ph_until(two_asked, NULL), "two who ask");
	raw_open(&c);
	c.want = "never";
	ok(ph_until(raw_poll, &c) && c.eof, "one too many is refused");
	ohttp_server_stats(srv, &st);
	ok(st.refused >= 1, "and counted");
	raw_close(&a);
	raw_close(&b);
	raw_close(&c);
	(void)ph_until(no_conns, NULL);
	raw_ask(&a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "hello");
	ok(!a.eof, "kept alive: %s", obuf_cstr(&a.in));
	a.want = "never";
	ph.skew += UINT64_C(31000000000);
	ok(ph_until(raw_poll, &a) && a.eof, "until idle for long enough");
	raw_close(&a);
	stop();
}

enum { N = 2000 };

static bool all_open(void *arg)
{
	struct ohttp_server_stats st;

	(void)arg;
	ohttp_server_stats(srv, &st);
	return st.open == N && st.requests == N / 2;
}

/* Thousands who connect and say nothing, or ask once and stay: cheap, and gone after their time. */
static void test_idle(void)
{
	struct ohttp_server_config cfg = { .head_timeout_ns = UINT64_C(30000000000) };
	struct rlimit lim = { 8192, 8192 };
	struct ohttp_server_stats st;
	static int fds[N];
	long before, after;
	struct raw w;
	int n = 0;

	if (setrlimit(RLIMIT_NOFILE, &lim) < 0) {
		otap_skip("not enough descriptors", 5);
		return;
	}
	start(NULL, &cfg);
	before = rss_kb();
	for (; n < N; n++) {
		fds[n] = ph_dial(addr);
		if (fds[n] < 0)
			break;
		if (n & 1)
			(void)!send(fds[n], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, MSG_NOSIGNAL);
		if (n % 50 == 0)
			ph_turn(0);
	}
	(void)ph_until(all_open, NULL);
	after = rss_kb();
	ohttp_server_stats(srv, &st);
	is_int(n, N, "two thousand connections");
	is_int(st.open, N, "are open");
#ifndef SANITIZED
	ok((after - before) * 1024 / N < 2048, "at %ld bytes each", (after - before) * 1024 / N);
#else
	(void)before;
	(void)after;
	pass("their memory is not measured under a sanitizer");
#endif
	raw_ask(&w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "hello");
	ok(strstr(obuf_cstr(&w.in), "hello") != NULL, "one more is served among them");
	raw_close(&w);
	ph.skew += UINT64_C(200000000000);
	ok(ph_until(no_conns, NULL), "all are closed when their time is up");
	while (n > 0)
		close(fds[--n]);
	stop();
}

static bool drained;

static void on_drain(void *arg)
{
	(void)arg;
	drained = true;
}

static bool is_drained(void *arg)
{
	(void)arg;
	return drained;
}

static void test_drain(void)
{
	struct ohttp_server_config cfg = { 0 };
	struct raw idle, busy, late;

	start(NULL, &cfg);
	/* Whose turn comes first. */
	raw_ask(&late, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "hello");
	raw_ask(&idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "hello");
	raw_ask(&busy, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n", 32, "first");
	ohttp_server_drain(srv, on_drain, NULL);
	/* It did not know: its request is answered, and then it knows. */
	(void)!send(late.fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, MSG_NOSIGNAL);
	late.want = NULL;
	ok(ph_until(raw_poll, &late) && late.eof && strstr(obuf_cstr(&late.in), "Connection: close"),
	   "a request on an idle connection is answered, the last one");
	idle.want = NULL;
	ok(ph_until(raw_poll, &idle) && idle.eof, "idle connections close");
	ok(!drained && stream_req, "a stream goes on");
	ohttp_end(stream_req);
	busy.want = NULL;
	ok(ph_until(raw_poll, &busy), "until it ends");
	ok(ph_until(is_drained, NULL), "drained is told");
	raw_close(&idle);
	raw_close(&late);
	raw_close(&busy);
	stop();
}

int main(void)
{
	world_begin();
	test_h1();
	test_limits();
	test_idle();
	test_drain();
	world_end();
	return done_testing();
}
