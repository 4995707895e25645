/*
 * Fuzz: a session of exec or port-forward, from the upgrade on, over a real connection. The first byte chooses which
 * and over what; the rest is what the client sends after its request. Whatever it is, the session ends with it.
 */
#include "http/oforward.h"
#include "http/oremote.h"

#include "../test/pollhost.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SPDY "POST /%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\nX-Stream-Protocol-Version: %s\r\n\r\n"
#define WS "GET /%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
	   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n"

static const struct {
	bool		ws;
	const char	*path;
	const char	*protocol;
} ways[] = {
	{ false, "exec", "v4.channel.k8s.io" },
	{ false, "exec", "channel.k8s.io" },
	{ true, "exec", "v4.channel.k8s.io" },
	{ true, "exec", "v5.channel.k8s.io" },
	{ false, "pf", "portforward.k8s.io" },
	{ true, "pf", "SPDY/3.1+portforward.k8s.io" },
};

static char addr[64];
static struct oremote *m;
static struct oforward *fwd;
static int n_open, n_closed;

static void on_start(void *arg)
{
	(void)arg;
	(void)oremote_write(m, OREMOTE_STDOUT, "out", 3);
	(void)oremote_write(m, OREMOTE_STDERR, "err", 3);
}

static void on_input(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)oremote_write(m, OREMOTE_STDOUT, p, len);
}

static void on_input_end(void *arg)
{
	(void)arg;
	oremote_exit(m, 0, NULL);
	m = NULL;
	n_closed++;
}

static void on_resize(void *arg, unsigned int w, unsigned int h)
{
	(void)arg;
	(void)w;
	(void)h;
}

static void on_closed(void *arg)
{
	(void)arg;
	m = NULL;
	n_closed++;
}

static const struct oremote_ops ops = { .start = on_start, .input = on_input, .input_end = on_input_end,
	.resize = on_resize, .closed = on_closed };

static void on_dial(void *arg, struct oforward_conn *c, uint16_t port)
{
	(void)arg;
	(void)port;
	oforward_failed(c, "connection refused");
}

static void on_forget(void *arg, struct oforward_conn *c)
{
	(void)arg;
	(void)c;
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
	int e;

	(void)arg;
	if (ohttp_path(r).len == 3) {
		if (oforward_accept(&ph_host, r, &fwd_ops, NULL, &fwd) == 0)
			n_open++;
		return;
	}
	e = oremote_accept(r, OREMOTE_STDIN | OREMOTE_STDOUT | OREMOTE_STDERR, &ops, NULL, &m);
	if (e >= 0)
		n_open++;
	if (e == 1)
		on_start(NULL);
}

static bool drained(void *arg)
{
	const int *fd = arg;
	char buf[4096];
	ssize_t n;

	while ((n = recv(*fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		;
	return (n == 0 || errno != EAGAIN) && n_closed == n_open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char head[512];
	int fd, n;

	if (size < 2 || size > 16384)
		return 0;
	if (!addr[0]) {
		struct ohttp_server_config cfg = { .h = &ph_host, .listen = "127.0.0.1:0", .on_request = on_request };
		struct orlop_error err = ORLOP_ERROR_INIT;
		static struct ohttp_server *srv;

		signal(SIGPIPE, SIG_IGN);
		if (ohttp_server_new(&cfg, &srv, &err) < 0)
			abort();
		ohttp_server_addr(srv, addr, sizeof(addr));
	}
	n_open = n_closed = 0;
	n = data[0] % (int)(sizeof(ways) / sizeof(ways[0]));
	n = ways[n].ws ? snprintf(head, sizeof(head), WS, ways[n].path, ways[n].protocol)
		       : snprintf(head, sizeof(head), SPDY, ways[n].path, ways[n].protocol);
	fd = ph_dial(addr);
	if (fd < 0)
		return 0;
	(void)!send(fd, head, (size_t)n, 0);
	(void)!send(fd, data + 1, size - 1, 0);
	shutdown(fd, SHUT_WR);
	if (!ph_until(drained, &fd))
		abort();
	close(fd);
	return 0;
}
