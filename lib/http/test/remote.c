/* exec and port-forward as kubectl speaks them, over SPDY and over WebSocket. */
#include "http/oforward.h"
#include "http/oremote.h"
#include "spdydict.h"

#include "base/obuf.h"
#include "base/otap.h"
#include "pollhost.h"

#include <zlib.h>

static char addr[64];
static struct oremote *m;
static struct obuf seen;
static int n_closed;

static void on_start(void *arg)
{
	(void)arg;
	obuf_puts(&seen, "start;");
	(void)oremote_write(m, OREMOTE_STDOUT, "out", 3);
	(void)oremote_write(m, OREMOTE_STDERR, "err", 3);
}

static void on_input(void *arg, const char *p, size_t len)
{
	(void)arg;
	obuf_append(&seen, p, len);
}

static void on_input_end(void *arg)
{
	(void)arg;
	obuf_puts(&seen, ";end");
	oremote_exit(m, 3, NULL);
	m = NULL;
}

static void on_resize(void *arg, unsigned int w, unsigned int h)
{
	(void)arg;
	obuf_printf(&seen, "%ux%u;", w, h);
}

static void on_closed(void *arg)
{
	(void)arg;
	n_closed++;
	m = NULL;
}

static const struct oremote_ops ops = { .start = on_start, .input = on_input, .input_end = on_input_end,
	.resize = on_resize, .closed = on_closed };

static struct oforward *fwd;
static int n_forgotten;

static void on_dial(void *arg, struct oforward_conn *c, uint16_t port)
{
	char to[32];
	int fd;

	(void)arg;
	if (port == 1) {
		oforward_failed(c, "connection refused");
		return;
	}
	snprintf(to, sizeof(to), "127.0.0.1:%u", port);
	fd = ph_dial(to);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	oforward_connected(c, fd);
}

static void on_forget(void *arg, struct oforward_conn *c)
{
	(void)arg;
	(void)c;
	n_forgotten++;
}

static void on_fwd_closed(void *arg)
{
	(void)arg;
	fwd = NULL;
	n_closed++;
}

static const struct oforward_ops fwd_ops = { on_dial, on_forget, on_fwd_closed };

static void on_request(void *arg, struct ohttp_req *r)
{
	(void)arg;
	if (ohttp_path(r).len == 3) {
		(void)oforward_accept(&ph_host, r, &fwd_ops, NULL, &fwd);
		return;
	}
	if (oremote_accept(r, OREMOTE_STDIN | OREMOTE_STDOUT | OREMOTE_STDERR, &ops, NULL, &m) == 1)
		on_start(NULL);
}

struct raw {
	int		fd;
	struct obuf	in;
	const char	*want;
	bool		eof;
};

static bool arrived(void *arg)
{
	struct raw *w = arg;
	char buf[4096];
	ssize_t n;

	while ((n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		obuf_append(&w->in, buf, (size_t)n);
	w->eof = n == 0 || (n < 0 && errno != EAGAIN);
	return w->eof || (w->want && memmem(w->in.data ? w->in.data : "", w->in.len, w->want, strlen(w->want)));
}

static void put32(struct obuf *b, uint32_t v)
{
	const char p[4] = { (char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v };

	obuf_append(b, p, 4);
}

/* @pairs: names and values, NULL at the end */
static void syn_stream(z_stream *z, uint32_t id, const char *const *pairs, struct obuf *out)
{
	struct obuf h = OBUF_INIT;
	unsigned char zb[512];
	uint32_t n = 0;

	while (pairs[2 * n])
		n++;
	put32(&h, n);
	for (uint32_t i = 0; i < 2 * n; i++) {
		put32(&h, (uint32_t)strlen(pairs[i]));
		obuf_puts(&h, pairs[i]);
	}
	z->next_in = (Bytef *)h.data;
	z->avail_in = (uInt)h.len;
	z->next_out = zb;
	z->avail_out = sizeof(zb);
	(void)deflate(z, Z_SYNC_FLUSH);
	put32(out, 0x80030001);
	put32(out, (uint32_t)(10 + sizeof(zb) - z->avail_out));
	put32(out, id);
	put32(out, 0);
	obuf_append(out, "\0\0", 2);
	obuf_append(out, zb, sizeof(zb) - z->avail_out);
	obuf_done(&h);
}

#define STATUS "\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}"

static void test_spdy(void)
{
	static const char *const types[] = { "error", "stdin", "stdout", "stderr", "resize" };
	struct raw w = { .fd = ph_dial(addr), .want = "101" };
	struct obuf b = OBUF_INIT;
	z_stream z;

	memset(&z, 0, sizeof(z));
	(void)deflateInit(&z, 9);
	(void)deflateSetDictionary(&z, spdy_dict, SPDY_DICT_LEN);
	obuf_puts(&b, "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
		      "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n");
	(void)!send(w.fd, b.data, b.len, 0);
	ok(ph_until(arrived, &w) && strstr(obuf_cstr(&w.in), "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"), "SPDY v4");
	obuf_reset(&b);
	for (uint32_t i = 0; i < 5; i++)
		syn_stream(&z, 2 * i + 1, (const char *const[]){ "streamtype", types[i], NULL }, &b);
	put32(&b, 9);
	put32(&b, 25);
	obuf_puts(&b, "{\"Width\":120,\"Height\":40}");
	put32(&b, 3);
	put32(&b, 5);
	obuf_puts(&b, "hello");
	put32(&b, 3);
	put32(&b, 0x01000000);
	(void)!send(w.fd, b.data, b.len, 0);
	w.want = NULL;
	ok(ph_until(arrived, &w) && w.eof, "ends");
	is_str(obuf_cstr(&seen), "start;120x40;hello;end", "what the command got");
	ok(memmem(w.in.data, w.in.len, STATUS, strlen(STATUS)) != NULL, "its exit code");
	ok(memmem(w.in.data, w.in.len, "\0\0\0\5\0\0\0\3out", 11) && memmem(w.in.data, w.in.len, "\0\0\0\7\0\0\0\3err", 11),
	   "its output");
	close(w.fd);
	deflateEnd(&z);
	obuf_done(&b);
	obuf_done(&w.in);
	obuf_reset(&seen);
}

static void ws_frame(struct obuf *b, const char *p, size_t len)
{
	obuf_putc(b, (char)0x82);
	obuf_putc(b, (char)(0x80 | len));
	obuf_append(b, "\0\0\0\0", 4);
	obuf_append(b, p, len);
}

static void test_ws(void)
{
	struct raw w = { .fd = ph_dial(addr) };
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		      "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n");
	ws_frame(&b, "\4{\"Width\":80,\"Height\":24}", 25);
	ws_frame(&b, "\0hello", 6);
	ws_frame(&b, "\377\0", 2);
	(void)!send(w.fd, b.data, b.len, 0);
	ok(ph_until(arrived, &w) && w.eof, "WebSocket v5 ends");
	is_str(obuf_cstr(&seen), "start;80x24;hello;end", "what the command got");
	ok(memmem(w.in.data, w.in.len, "\x82\4\1out", 6) && memmem(w.in.data, w.in.len, "\x82\4\2err", 6), "its output");
	ok(memmem(w.in.data, w.in.len, STATUS, strlen(STATUS)) != NULL, "its exit code");
	close(w.fd);
	obuf_done(&b);
	obuf_done(&w.in);
	obuf_reset(&seen);
}

static bool is_closed(void *arg);

/* Of old browsers: text, channels are digits. */
static void test_base64(void)
{
	static const char typed[] = "\x81\x89\0\0\0\0" "0aGVsbG8=", torn[] = "\x81\x84\0\0\0\0" "0%%%";
	struct raw w = { .fd = ph_dial(addr), .want = "101" };
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		      "Sec-WebSocket-Protocol: base64.channel.k8s.io\r\n\r\n");
	obuf_append(&b, typed, sizeof(typed) - 1);
	obuf_append(&b, torn, sizeof(torn) - 1);
	n_closed = 0;
	(void)!send(w.fd, b.data, b.len, 0);
	ok(ph_until(is_closed, NULL), "WebSocket in base64: what cannot be decoded ends it");
	w.want = NULL;
	ok(ph_until(arrived, &w) && memmem(w.in.data, w.in.len, "\x88\2\3\xef", 4), "with 1007");
	is_str(obuf_cstr(&seen), "start;hello", "what the command got");
	close(w.fd);
	obuf_done(&b);
	obuf_done(&w.in);
	obuf_reset(&seen);
	n_closed = 0;
}

static void test_refused(void)
{
	struct raw w = { .fd = ph_dial(addr), .want = "\r\n\r\n" };
	static const char plain[] = "POST /exec HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
	static const char odd[] = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
				  "X-Stream-Protocol-Version: v9.channel.k8s.io\r\n\r\n";

	(void)!send(w.fd, plain, sizeof(plain) - 1, 0);
	ok(ph_until(arrived, &w) && strstr(obuf_cstr(&w.in), "HTTP/1.1 400"), "no upgrade");
	obuf_reset(&w.in);
	(void)!send(w.fd, odd, sizeof(odd) - 1, 0);
	ok(ph_until(arrived, &w) && strstr(obuf_cstr(&w.in), "HTTP/1.1 403"), "no protocol in common");
	close(w.fd);
	obuf_done(&w.in);
}

/* Bytes of a client that forwards to two ports, one of which nobody listens on. */
static void forward_bytes(struct obuf *b)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	const char *port = strrchr(addr, ':') + 1;
	z_stream z;

	memset(&z, 0, sizeof(z));
	(void)deflateInit(&z, 9);
	(void)deflateSetDictionary(&z, spdy_dict, SPDY_DICT_LEN);
	syn_stream(&z, 1, (const char *const[]){ "streamtype", "error", "port", port, "requestid", "0", NULL }, b);
	put32(b, 1);
	put32(b, 0x01000000);
	syn_stream(&z, 3, (const char *const[]){ "streamtype", "data", "port", port, "requestid", "0", NULL }, b);
	put32(b, 3);
	put32(b, sizeof(get) - 1);
	obuf_append(b, get, sizeof(get) - 1);
	syn_stream(&z, 5, (const char *const[]){ "streamtype", "error", "port", "1", "requestid", "1", NULL }, b);
	syn_stream(&z, 7, (const char *const[]){ "streamtype", "data", "port", "1", "requestid", "1", NULL }, b);
	syn_stream(&z, 9, (const char *const[]){ "streamtype", "data", "port", "99999", "requestid", "2", NULL }, b);
	deflateEnd(&z);
}

static void test_forward(bool tunnel)
{
	struct raw w = { .fd = ph_dial(addr), .want = "\r\n\r\n" };
	struct obuf b = OBUF_INIT;
	struct obuf spdy = OBUF_INIT;

	forward_bytes(&spdy);
	if (tunnel) {
		obuf_puts(&b, "GET /pf HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
			      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
			      "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n");
		for (size_t at = 0; at < spdy.len; at += 100)
			ws_frame(&b, spdy.data + at, spdy.len - at < 100 ? spdy.len - at : 100);
	} else {
		obuf_puts(&b, "POST /pf HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
			      "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n");
		obuf_append(&b, spdy.data, spdy.len);
	}
	(void)!send(w.fd, b.data, b.len, 0);
	w.want = "Upgrade request required";
	ok(ph_until(arrived, &w) && !w.eof, "port-forward, %s", tunnel ? "tunnelled" : "SPDY");
	ok(strncmp(obuf_cstr(&w.in), "HTTP/1.1 101", 12) == 0, "101");
	w.want = "connection refused";
	ok(ph_until(arrived, &w) && !w.eof, "a port that nobody listens on says why");
	n_closed = 0;
	close(w.fd);
	ok(ph_until(is_closed, NULL) && !fwd, "and ends with its client");
	obuf_done(&spdy);
	obuf_done(&b);
	obuf_done(&w.in);
}

/* What clients in other languages speak: two channels for each port. */
static void test_channels(bool base64)
{
	static const char get[] = "\0GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	static const char typed[] = "0R0VUIC8gSFRUUC8xLjENCkhvc3Q6IGENCkNvbm5lY3Rpb246IGNsb3NlDQoNCg==";
	struct raw w = { .fd = ph_dial(addr) };
	const char *port = strrchr(addr, ':') + 1;
	unsigned long n = strtoul(port, NULL, 10);
	char head[] = { '\x82', 3, 0, (char)(n & 255), (char)(n >> 8) };
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "GET /pf?x=1&port=%s,1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		    "Sec-WebSocket-Protocol: v5.channel.k8s.io, %schannel.k8s.io\r\n\r\n", port, base64 ? "v4.base64." : "v4.");
	if (base64)
		ws_frame(&b, typed, sizeof(typed) - 1);
	else
		ws_frame(&b, get, sizeof(get) - 1);
	n_closed = 0;
	(void)!send(w.fd, b.data, b.len, 0);
	ok(ph_until(is_closed, NULL) && !fwd, "port-forward in channels%s: ends with the last of its ports", base64 ? ", base64" : "");
	ok(ph_until(arrived, &w) && w.eof, "so does the connection");
	if (base64) {
		ok(memmem(w.in.data, w.in.len, "\x81\5" "2AQA=", 7) && memmem(w.in.data, w.in.len, "\x81\5" "3AQA=", 7), "the number of a port comes first");
		ok(memmem(w.in.data, w.in.len, "3Y29ubmVjdGlvbiByZWZ1c2Vk", 25) != NULL, "one that nobody listens on says why");
		ok(memmem(w.in.data, w.in.len, "0SFRUUC8xLjEg", 13) != NULL, "the other answers");
	} else {
		ok(memmem(w.in.data, w.in.len, head, 5) && memmem(w.in.data, w.in.len, "\x82\3\3\1\0", 5), "the number of a port comes first");
		ok(memmem(w.in.data, w.in.len, "\3connection refused", 19) != NULL, "one that nobody listens on says why");
		ok(memmem(w.in.data, w.in.len, "Upgrade request required", 24) != NULL, "the other answers");
	}
	ok(memmem(w.in.data, w.in.len, "\x88\2\3\xe8", 4) != NULL, "closed in order");
	close(w.fd);
	obuf_done(&b);
	obuf_done(&w.in);
}

/* Which ports there are is told by the query alone. */
static void test_no_port(const char *query)
{
	struct raw w = { .fd = ph_dial(addr), .want = "65535" };
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "GET /pf?%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", query);
	(void)!send(w.fd, b.data, b.len, 0);
	ok(ph_until(arrived, &w) && strncmp(obuf_cstr(&w.in), "HTTP/1.1 400", 12) == 0, "no port: %s", query);
	close(w.fd);
	obuf_done(&b);
	obuf_done(&w.in);
}

static bool is_closed(void *arg)
{
	(void)arg;
	return n_closed > 0;
}

static void test_gone(void)
{
	struct raw w = { .fd = ph_dial(addr), .want = "101" };
	static const char text[] = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n";

	(void)!send(w.fd, text, sizeof(text) - 1, 0);
	(void)ph_until(arrived, &w);
	close(w.fd);
	ok(ph_until(is_closed, NULL), "a client that leaves is noticed");
	obuf_done(&w.in);
}

int main(void)
{
	struct ohttp_server_config cfg = { .h = &ph_host, .listen = "127.0.0.1:0", .on_request = on_request };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ohttp_server *srv;

	signal(SIGPIPE, SIG_IGN);
	if (ohttp_server_new(&cfg, &srv, &err) < 0)
		otap_bail_out(err.msg);
	ohttp_server_addr(srv, addr, sizeof(addr));
	test_spdy();
	test_ws();
	test_base64();
	test_refused();
	test_gone();
	test_forward(false);
	test_forward(true);
	test_channels(false);
	test_channels(true);
	test_no_port("");
	test_no_port("port=0");
	test_no_port("port=80,");
	test_no_port("port=65536");
	ohttp_server_free(srv);
	ph_reap();
	obuf_done(&seen);
	return done_testing();
}
