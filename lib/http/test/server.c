/*
 * The server on real sockets: both protocols, bodies, streams, upgrades, and clients that misbehave.
 */
#ifdef __has_feature	/* clang; gcc has macros of its own */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#include "http/ohttp.h"
#include "http/oclient.h"
#include "http/ows.h"

#include "base/obuf.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "base/otap.h"
#include "pki/opki.h"
#include "pollhost.h"
#include "tls/otls.h"

#include <sys/resource.h>

static char dir[] = "/tmp/orlop-http-XXXXXX";
static char addr[64];
static struct ohttp_server *srv;
static int n_closed;
static int n_streams;
static struct ohttp_req *stream_req;

/* ---- the handler --------------------------------------------------------------------------------- */

static bool is(struct orlop_bytes b, const char *s)
{
	return b.len == strlen(s) && memcmp(b.p, s, b.len) == 0;
}

static void text(struct ohttp_req *r, int status, const char *s)
{
	ohttp_reply_text(r, status, "text/plain", s, strlen(s));
}

static void echo_body(void *arg, struct ohttp_req *r, int status, struct orlop_bytes body)
{
	(void)arg;
	if (status == 0)
		ohttp_reply_text(r, 200, "application/octet-stream", body.p, body.len);
}

static void on_close(void *arg, struct ohttp_req *r)
{
	(void)arg;
	if (stream_req == r)
		stream_req = NULL;
	n_closed++;
}

static void more(void *arg, struct ohttp_req *r);

/* 3 MB in pieces, never more than 64 KB waiting. */
static void pour(struct ohttp_req *r)
{
	static char block[8192];
	size_t left = (size_t)(uintptr_t)ohttp_user(r);

	memset(block, 'x', sizeof(block));
	while (left && ohttp_queued(r) < 65536) {
		(void)ohttp_write_copy(r, block, sizeof(block));
		left -= sizeof(block);
	}
	ohttp_set_user(r, (void *)(uintptr_t)left);
	if (left)
		ohttp_on_writable(r, 16384, more, NULL);
	else
		ohttp_end(r);
}

static void more(void *arg, struct ohttp_req *r)
{
	(void)arg;
	pour(r);
}

static struct ohttp_stream *up;

static void up_data(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)ohttp_stream_write(up, p, len);
}

static void up_eof(void *arg)
{
	(void)arg;
	ohttp_stream_shutdown(up);
}

static void up_closed(void *arg, int err)
{
	(void)arg;
	(void)err;
	up = NULL;
}

static const struct ohttp_stream_ops up_ops = { .data = up_data, .eof = up_eof, .closed = up_closed };

static int released;

static void release(void *arg)
{
	(void)arg;
	released++;
}

static void on_request(void *arg, struct ohttp_req *r)
{
	static char big[300000];
	struct orlop_bytes path = ohttp_path(r);
	struct ohttp_header type = OHTTP_HEADER("Content-Type", "text/plain");

	(void)arg;
	ohttp_on_close(r, on_close, NULL);
	if (is(path, "/who")) {
		const struct otls_peer *p = ohttp_peer(r);
		char buf[256];

		snprintf(buf, sizeof(buf), "%.*s %.*s %d %s", p ? (int)p->cn.len : 0, p ? p->cn.p : "",
			 p && p->n_orgs ? (int)p->orgs[0].len : 0, p && p->n_orgs ? p->orgs[0].p : "",
			 p ? p->verified : -1, p ? p->error : "");
		text(r, 200, buf);
	} else if (is(path, "/echo")) {
		ohttp_body_read(r, 100000, echo_body, NULL);
	} else if (is(path, "/big")) {
		struct ohttp_piece piece = { big, sizeof(big), release, NULL };

		memset(big, 'a', sizeof(big));
		ohttp_reply_gzip(r, 200, &type, 1, &piece, 1, 128 * 1024);
	} else if (is(path, "/pour")) {
		ohttp_set_user(r, (void *)(uintptr_t)(3 * 1024 * 1024));
		ohttp_reply_start(r, 200, &type, 1);
		pour(r);
	} else if (is(path, "/watch")) {
		n_streams++;
		stream_req = r;
		ohttp_reply_start(r, 200, &type, 1);
		(void)ohttp_write_copy(r, "first\n", 6);
	} else if (is(path, "/up")) {
		if (ohttp_upgrade(r, "echo", NULL, 0, &up_ops, NULL, &up) < 0)
			text(r, 400, "no upgrade");
	} else if (is(path, "/hang")) {
		/* answered never */
	} else {
		text(r, 200, "hello\n");
	}
}

/* ---- helpers --------------------------------------------------------------------------------------- */

struct child {
	pid_t		pid;
	int		fd;
	struct obuf	out;
	bool		eof;
};

static bool child_done(void *arg)
{
	struct child *c = arg;
	char buf[65536];
	ssize_t n;

	while ((n = read(c->fd, buf, sizeof(buf))) > 0)
		obuf_append(&c->out, buf, (size_t)n);
	if (n == 0)
		c->eof = true;
	return c->eof;
}

/* Runs a command while the loop goes on; its output is in @c->out. Returns the exit code. */
__attribute__((format(printf, 2, 3)))
static int run(struct child *c, const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	int p[2];
	int st = 0;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	memset(c, 0, sizeof(*c));
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	c->pid = fork();
	if (c->pid == 0) {
		dup2(p[1], 1);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	c->fd = p[0];
	(void)ph_until(child_done, c);
	close(c->fd);
	waitpid(c->pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

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

static void start(struct otls_ctx *tls, struct ohttp_server_config *cfg)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	cfg->h = &ph_host;
	cfg->listen = "127.0.0.1:0";
	cfg->tls = tls;
	cfg->on_request = on_request;
	if (ohttp_server_new(cfg, &srv, &err) < 0)
		otap_bail_out(err.msg);
	ohttp_server_addr(srv, addr, sizeof(addr));
}

static void stop(void)
{
	ohttp_server_free(srv);
	srv = NULL;
	ph_reap();
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

static bool no_conns(void *arg)
{
	struct ohttp_server_stats st;

	(void)arg;
	ohttp_server_stats(srv, &st);
	return st.open == 0;
}

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
	for (int i = 0; i < 200; i++)
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

static bool refused(void *arg)
{
	struct ohttp_server_stats st;

	(void)arg;
	ohttp_server_stats(srv, &st);
	return st.connections + st.refused >= 3;
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
	struct ohttp_server_config cfg = { .max_connections = 2, .write_timeout_ns = 300000000,
		.idle_timeout_ns = 300000000, .head_timeout_ns = 300000000 };
	struct ohttp_server_stats st;
	struct raw a, b, c;

	start(NULL, &cfg);
	raw_open(&a);
	(void)!send(a.fd, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", 31, 0);
	raw_open(&b);
	(void)!send(b.fd, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", 31, 0);
	for (int i = 0; i < 5; i++)
		ph_turn(10);
	raw_open(&c);
	c.want = "never";
	ok(ph_until(raw_poll, &c) && c.eof, "one too many is refused");
	(void)refused;
	ohttp_server_stats(srv, &st);
	ok(st.refused >= 1, "and counted");
	raw_close(&a);
	raw_close(&b);
	raw_close(&c);
	(void)ph_until(no_conns, NULL);
	raw_ask(&a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "hello");
	ok(!a.eof, "kept alive: %s", obuf_cstr(&a.in));
	a.want = "never";
	ok(ph_until(raw_poll, &a) && a.eof, "until idle for long enough");
	raw_close(&a);
	stop();
}

/* Thousands who connect and say nothing, or ask once and stay: cheap, and gone after their time. */
static void test_idle(void)
{
	enum { N = 2000 };
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
	for (int i = 0; i < 50; i++)
		ph_turn(1);
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

static struct otls_ctx *make_tls(void)
{
	struct opki_cert_spec ca_spec = { .cn = "ca", .use = OPKI_CERT_CA, .now = time(NULL) };
	const char *const sans[] = { "localhost", "127.0.0.1", NULL };
	const char *const orgs[] = { "system:masters", NULL };
	struct opki_cert_spec srv_spec = { .cn = "server", .sans = sans, .use = OPKI_CERT_SERVER, .now = time(NULL) };
	struct opki_cert_spec cl_spec = { .cn = "admin", .orgs = orgs, .use = OPKI_CERT_CLIENT, .now = time(NULL) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct opki_key *ca_key = NULL, *bad_key = NULL;
	struct opki_cert *ca = NULL, *bad_ca = NULL;
	struct obuf b = OBUF_INIT;
	struct otls_ctx *tls = NULL;
	char crt[128], key[128], cap[128];

	if (opki_key_new(&ca_key) || opki_cert_new(&ca_spec, ca_key, NULL, NULL, &ca) ||
	    opki_key_new(&bad_key) || opki_cert_new(&ca_spec, bad_key, NULL, NULL, &bad_ca) ||
	    opki_issue_files(dir, "srv", &srv_spec, ca, ca_key, &err) ||
	    opki_issue_files(dir, "admin", &cl_spec, ca, ca_key, &err) ||
	    opki_issue_files(dir, "bad", &cl_spec, bad_ca, bad_key, &err))
		otap_bail_out(err.msg);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	opki_cert_pem(ca, &b);
	ofile_write(AT_FDCWD, cap, b.data, b.len, 0644);
	obuf_done(&b);
	snprintf(crt, sizeof(crt), "%s/srv.crt", dir);
	snprintf(key, sizeof(key), "%s/srv.key", dir);
	if (otls_server_new(&(struct otls_config){ .cert_path = crt, .key_path = key, .ca_path = cap, .h2 = 1 },
			    &tls, &err) < 0)
		otap_bail_out(err.msg);
	ok(otls_server_new(&(struct otls_config){ .cert_path = "/none", .key_path = key }, &(struct otls_ctx *){ NULL },
			   &err) < 0 && strstr(err.msg, "/none"), "a missing certificate is named: %s", err.msg);
	is_int(otls_reload_if_changed(tls, &err), 0, "nothing to reload");
	(void)opki_issue_files(dir, "srv", &srv_spec, ca, ca_key, &err);
	is_int(otls_reload_if_changed(tls, &err), 1, "a new certificate is taken up");
	opki_key_free(ca_key);
	opki_key_free(bad_key);
	opki_cert_free(ca);
	opki_cert_free(bad_ca);
	return tls;
}

/* ---- the client -------------------------------------------------------------------------------------- */

struct answer {
	struct obuf	body;
	int		status;
	int		err;
	bool		over;
	char		why[200];
	struct ohttp_stream *s;
};

static void cl_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	(void)r;
	((struct answer *)arg)->status = res->status;
}

static void cl_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	(void)r;
	obuf_append(&((struct answer *)arg)->body, p, len);
}

static void cl_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct answer *a = arg;

	(void)r;
	a->err = err;
	a->over = true;
	snprintf(a->why, sizeof(a->why), "%s", why);
}

static void cs_data(void *arg, const char *p, size_t len)
{
	obuf_append(&((struct answer *)arg)->body, p, len);
}

static void cs_closed(void *arg, int err)
{
	struct answer *a = arg;

	(void)err;
	a->s = NULL;
	a->over = true;
}

static const struct ohttp_stream_ops cs_ops = { .data = cs_data, .closed = cs_closed };

static void cl_up(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct answer *a = arg;

	(void)r;
	a->s = take_s;
	ohttp_stream_set(take_s, &cs_ops, a);
	ohttp_stream_resume(take_s);
	(void)ohttp_stream_write(take_s, "ping", 4);
}

static const struct ohttp_client_ops cl_ops = { cl_head, cl_data, cl_up, cl_end };

static bool over(void *arg)
{
	return ((struct answer *)arg)->over;
}

static bool has_ping(void *arg)
{
	struct answer *a = arg;

	return a->over || strstr(obuf_cstr(&a->body), "ping");
}

static void ask(struct ohttp_client *c, struct answer *a, struct ohttp_client_request *q)
{
	struct ohttp_creq *r;

	obuf_done(&a->body);
	memset(a, 0, sizeof(*a));
	q->addr = addr;
	is_int(ohttp_client_send(c, q, &cl_ops, a, &r), 0, "client asks %s %s", q->method, q->target);
	(void)ph_until(q->upgrade ? has_ping : over, a);
}

static void test_client(struct otls_ctx *server_tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ohttp_server_stats st;
	struct otls_ctx *tls = NULL;
	struct ohttp_client *c = NULL;
	struct answer a = { 0 };
	char crt[128], key[128], cap[128];

	start(server_tls, &cfg);
	snprintf(crt, sizeof(crt), "%s/admin.crt", dir);
	snprintf(key, sizeof(key), "%s/admin.key", dir);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	is_int(otls_client_new(&(struct otls_config){ .cert_path = crt, .key_path = key, .ca_path = cap }, &tls, &err),
	       0, "client context");
	is_int(ohttp_client_new(&ph_host, tls, &c), 0, "client");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/who" });
	is_str(obuf_cstr(&a.body), "admin system:masters 1 ", "identity over the client");
	ask(c, &a, &(struct ohttp_client_request){ .method = "POST", .target = "/echo", .body = { "abc", 3 } });
	is_str(obuf_cstr(&a.body), "abc", "posted");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/pour" });
	is_int(a.body.len, 3 * 1024 * 1024, "a chunked stream");
	ohttp_server_stats(srv, &st);
	is_int(st.connections, 1, "all on one connection");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/up", .upgrade = true,
		.headers = (struct ohttp_header[]){ OHTTP_HEADER("Connection", "Upgrade"), OHTTP_HEADER("Upgrade", "echo") },
		.n_headers = 2 });
	is_int(a.status, 101, "upgraded");
	is_str(obuf_cstr(&a.body), "ping", "bytes through the upgraded stream");
	ohttp_stream_close(a.s);
	a.s = NULL;
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/who", .tls_name = "wrong.example" });
	ok(a.err < 0 && strstr(a.why, "ertificate"), "wrong name is refused: %s", a.why);
	ohttp_client_free(c);
	otls_ctx_free(tls);
	obuf_done(&a.body);
	for (int i = 0; i < 20; i++)
		ph_turn(10);
	stop();
}

static void test_tls(struct otls_ctx *tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct ohttp_server_stats st;
	char curl[512];
	struct child c;

	start(tls, &cfg);
	snprintf(curl, sizeof(curl), "curl -sS --max-time 20 --cacert %s/ca.crt", dir);
	for (int h2 = 0; h2 < 2; h2++) {
		const char *v = h2 ? "--http2" : "--http1.1";

		run(&c, "%s %s --cert %s/admin.crt --key %s/admin.key https://%s/who 2>&1", curl, v, dir, dir, addr);
		is_str(obuf_cstr(&c.out), "admin system:masters 1 ", "client certificate, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s https://%s/who 2>&1", curl, v, addr);
		is_str(obuf_cstr(&c.out), "  -1 ", "none, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s --cert %s/bad.crt --key %s/bad.key https://%s/who 2>&1", curl, v, dir, dir, addr);
		ok(strncmp(obuf_cstr(&c.out), "admin system:masters 0 ", 23) == 0 && c.out.len > 30,
		   "a foreign one is seen as such: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
		run(&c, "head -c 90000 /dev/zero | %s %s --data-binary @- https://%s/echo | wc -c", curl, v, addr);
		is_int(atoi(obuf_cstr(&c.out)), 90000, "body there and back, %s", v);
		obuf_done(&c.out);
		run(&c, "head -c 3000000 /dev/zero | %s %s -o /dev/null -w '%%{http_code}' --data-binary @- https://%s/echo 2>/dev/null",
		    curl, v, addr);
		is_str(obuf_cstr(&c.out), "413", "body too large, %s", v);
		obuf_done(&c.out);
		released = 0;
		run(&c, "%s %s https://%s/big | wc -c; %s %s -H 'Accept-Encoding: gzip' https://%s/big | gzip -d | wc -c; "
		    "%s %s --compressed -so /dev/null -w '%%{size_download}' https://%s/big",
		    curl, v, addr, curl, v, addr, curl, v, addr);
		ok(strncmp(obuf_cstr(&c.out), "300000\n300000\n", 14) == 0 && atoi(obuf_cstr(&c.out) + 14) < 5000,
		   "gzip, %s: %s", v, obuf_cstr(&c.out));
		is_int(released, 3, "each piece released once");
		obuf_done(&c.out);
		run(&c, "%s %s https://%s/pour | wc -c", curl, v, addr);
		is_int(atoi(obuf_cstr(&c.out)), 3 * 1024 * 1024, "stream with back-pressure, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s -I https://%s/big | grep -i content-length | tr -d '\\r'", curl, v, addr);
		ok(strcasecmp(obuf_cstr(&c.out), "content-length: 300000\n") == 0, "HEAD, %s", v);
		obuf_done(&c.out);
		n_closed = 0;
		run(&c, "%s %s --max-time 0.5 -N https://%s/watch 2>/dev/null", curl, v, addr);
		is_str(obuf_cstr(&c.out), "first\n", "watch, %s", v);
		obuf_done(&c.out);
		(void)ph_until(no_conns, NULL);
		is_int(n_closed, 1, "its end is told, %s", v);
	}
	run(&c, "%s --tls-max 1.2 https://%s/ 2>/dev/null || echo refused", curl, addr);
	is_str(obuf_cstr(&c.out), "refused\n", "TLS 1.2 is refused");
	obuf_done(&c.out);
	if (system("command -v h2load >/dev/null") == 0) {
		run(&c, "h2load -n 5000 -c 4 -m 100 https://%s/ 2>/dev/null | grep 'status codes'", addr);
		ok(strstr(obuf_cstr(&c.out), "5000 2xx") != NULL, "h2load: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
		run(&c, "h2load -n 200 -c 2 -m 20 https://%s/big 2>/dev/null | grep 'status codes'", addr);
		ok(strstr(obuf_cstr(&c.out), "200 2xx") != NULL, "h2load big: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
	} else {
		otap_skip("no h2load", 2);
	}
	(void)ph_until(no_conns, NULL);
	ohttp_server_stats(srv, &st);
	is_int(st.active, 0, "no request is left");
	ok(st.tls_failed >= 1, "failed handshakes are counted");
	stop();
}

/* ---- a flood of resets --------------------------------------------------------------------------------- */

struct flood {
	struct ohttp_stream	*s;
	uint32_t		id;
	uint32_t		left;
	bool			over;
	bool			ready;
	struct obuf		in;
};

static void frame(struct obuf *b, uint32_t len, int type, int flags, uint32_t id)
{
	const char h[9] = { (char)(len >> 16), (char)(len >> 8), (char)len, (char)type, (char)flags,
		(char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id };

	obuf_append(b, h, 9);
}

static void flood_more(void *arg)
{
	struct flood *f = arg;
	struct obuf b = OBUF_INIT;

	for (int i = 0; i < 200 && f->left; i++, f->left--, f->id += 2) {
		/* GET / with :authority a, and away with it */
		frame(&b, 6, 1, 0x5, f->id);
		obuf_append(&b, "\x82\x84\x87\x41\x01" "a", 6);
		frame(&b, 4, 3, 0, f->id);
		obuf_append(&b, "\0\0\0\x08", 4);
	}
	if (f->s)
		(void)ohttp_stream_write(f->s, b.data ? b.data : "", b.len);
	obuf_done(&b);
}

static void flood_ready(void *arg)
{
	struct flood *f = arg;
	struct obuf b = OBUF_INIT;

	obuf_append(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	frame(&b, 0, 4, 0, 0);
	(void)ohttp_stream_write(f->s, b.data, b.len);
	obuf_done(&b);
	f->ready = true;
	flood_more(f);
}

static void flood_data(void *arg, const char *p, size_t len)
{
	struct flood *f = arg;

	obuf_append(&f->in, p, len);
}

static void flood_closed(void *arg, int err)
{
	struct flood *f = arg;

	(void)err;
	f->over = true;
	f->s = NULL;
}

static const struct ohttp_stream_ops flood_ops = { .data = flood_data, .ready = flood_ready, .closed = flood_closed };

static bool flood_over(void *arg)
{
	struct flood *f = arg;

	if (f->ready && !f->over && f->left)
		flood_more(f);
	return f->over;
}

static void test_flood(struct otls_ctx *server_tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct flood f = { .id = 1, .left = 20000 };
	struct ohttp_server_stats st;
	struct otls_ctx *tls = NULL;
	struct child c;
	char cap[128];
	int fd;

	start(server_tls, &cfg);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	is_int(otls_client_new(&(struct otls_config){ .ca_path = cap, .h2 = 1 }, &tls, &err), 0, "h2 client context");
	fd = ph_dial(addr);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	is_int(ohttp_stream_new(&ph_host, fd, tls, "localhost", &flood_ops, &f, &f.s), 0, "h2 client");
	ok(ph_until(flood_over, &f), "a client that resets as fast as it can is sent away");
	ohttp_server_stats(srv, &st);
	ok(st.calmed == 1 && st.requests < 3000, "after %llu requests", (unsigned long long)st.requests);
	/* GOAWAY carries ENHANCE_YOUR_CALM */
	ok(f.in.len >= 17 && memmem(f.in.data, f.in.len, "\0\0\0\x0b", 4) != NULL, "told to calm down");
	run(&c, "curl -sS --cacert %s/ca.crt --http2 https://%s/ 2>&1", dir, addr);
	is_str(obuf_cstr(&c.out), "hello\n", "others are served");
	obuf_done(&c.out);
	obuf_done(&f.in);
	ohttp_stream_abort(f.s);
	otls_ctx_free(tls);
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
	struct otls_ctx *tls;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		otap_bail_out("mkdtemp");
	test_h1();
	test_limits();
	test_idle();
	tls = make_tls();
	test_tls(tls);
	test_client(tls);
	test_flood(tls);
	test_drain();
	otls_ctx_free(tls);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	for (int i = 0; i < 3; i++)
		ph_turn(0);
	ph_reap();
	return done_testing();
}
