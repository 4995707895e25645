/* exec as kubectl speaks it: over SPDY and over WebSocket, to the exit code. */
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

static void on_request(void *arg, struct ohttp_req *r)
{
	(void)arg;
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

static void syn_stream(z_stream *z, uint32_t id, const char *type, struct obuf *out)
{
	struct obuf h = OBUF_INIT;
	unsigned char zb[512];

	put32(&h, 1);
	put32(&h, 10);
	obuf_puts(&h, "streamtype");
	put32(&h, (uint32_t)strlen(type));
	obuf_puts(&h, type);
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
		syn_stream(&z, 2 * i + 1, types[i], &b);
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
	test_refused();
	test_gone();
	ohttp_server_free(srv);
	ph_reap();
	obuf_done(&seen);
	return done_testing();
}
