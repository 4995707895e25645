/* Every allocation of a conversation fails once: the client may lose it, the server goes on. */
#define OTAP_FAULTS
#include "http/ohttp.h"
#include "http/ows.h"

#include "base/obuf.h"
#include "base/omem.h"
#include "base/otap.h"
#include "pollhost.h"

static char addr[64];
static struct ohttp_server *srv;
static struct ows *ws;

static void echo(void *arg, struct ohttp_req *r, int status, struct orlop_bytes body)
{
	struct obuf mine;

	(void)arg;
	if (status)
		return;
	ohttp_body_take(r, &mine);
	ohttp_reply_text(r, 200, "text/plain", body.p ? body.p : "", body.len);
	obuf_done(&mine);
}

static void on_close(void *arg, struct ohttp_req *r)
{
	(void)arg;
	(void)r;
}

static void on_message(void *arg, int type, const char *p, size_t len)
{
	struct orlop_bytes v = { p, len };

	(void)arg;
	if (ows_send(ws, type, &v, 1) < 0)
		ows_close(ws, 1011, "");
}

static void on_closed(void *arg, int code)
{
	(void)arg;
	(void)code;
	ws = NULL;
}

static const struct ows_ops ws_ops = { .message = on_message, .closed = on_closed };

static void on_request(void *arg, struct ohttp_req *r)
{
	static const char *const offers[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", NULL };
	struct ohttp_header h = OHTTP_HEADER("Content-Type", "text/plain");
	struct orlop_bytes p = ohttp_path(r);

	(void)arg;
	ohttp_on_close(r, on_close, NULL);
	if (p.len == 5 && memcmp(p.p, "/echo", 5) == 0) {
		ohttp_body_read(r, 1000, echo, NULL);
	} else if (p.len == 3 && memcmp(p.p, "/ws", 3) == 0) {
		if (ows_accept(r, ows_protocol(r, offers), 0, &ws_ops, NULL, &ws) < 0)
			ohttp_abort(r);
	} else {
		ohttp_reply_start(r, 200, &h, 1);
		(void)ohttp_write_copy(r, "one", 3);
		(void)ohttp_write_copy(r, "two", 3);
		ohttp_end(r);
	}
}

struct raw {
	int		fd;
	char		in[4096];
	size_t		len;
	const char	*want;
	bool		eof;
};

static bool arrived(void *arg)
{
	struct raw *w = arg;
	ssize_t n = recv(w->fd, w->in + w->len, sizeof(w->in) - 1 - w->len, MSG_DONTWAIT);

	if (n > 0)
		w->len += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		w->eof = true;
	w->in[w->len] = '\0';
	return w->eof || memmem(w->in, w->len, w->want, strlen(w->want)) != NULL;
}

static bool talk(const char *text, size_t len, const char *want)
{
	struct raw w = { .fd = ph_dial(addr), .want = want };

	(void)!send(w.fd, text, len, MSG_NOSIGNAL);
	(void)ph_until(arrived, &w);
	close(w.fd);
	for (int i = 0; i < 3; i++)
		ph_turn(0);
	return memmem(w.in, w.len, want, strlen(want)) != NULL;
}

static void all(const char *name, const char *text, size_t len, const char *want)
{
	bool served = true;
	long n = 1;

	if (!ok(talk(text, len, want), "%s", name))
		return;
	for (; n < 500; n++) {
		bool hit;

		otap_fail_nth(n);
		(void)talk(text, len, want);
		hit = otap_faulted();
		otap_fail_nth(0);
		if (!hit)
			break;
		served = served && talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "two");
	}
	ok(served && n > 3 && n < 500, "… whichever of %ld allocations fails", n - 1);
}

#define TEXT(s) s, sizeof(s) - 1

int main(void)
{
	struct ohttp_server_config cfg = { .h = &ph_host, .listen = "127.0.0.1:0", .on_request = on_request };
	struct orlop_error err = ORLOP_ERROR_INIT;

	signal(SIGPIPE, SIG_IGN);
	if (ohttp_server_new(&cfg, &srv, &err) < 0)
		otap_bail_out(err.msg);
	ohttp_server_addr(srv, addr, sizeof(addr));
	all("a stream", TEXT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "two");
	all("a body in two pipelined requests", TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"), "xyz");
	/* The key and its answer are those of RFC 6455, 1.3; then a masked "hi" and its echo. */
	all("a WebSocket handshake", TEXT("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Protocol: v4.channel.k8s.io, v5.channel.k8s.io\r\n\r\n"),
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
	all("a WebSocket message", TEXT("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	    "\x82\x82\x01\x02\x03\x04\x69\x6b"), "\x82\x02hi");
	ohttp_server_free(srv);
	ph_reap();
	return done_testing();
}
