/*
 * Watchers over HTTP/2: how long until each has been told. One JSON line.
 *
 *	fanout PKI PORT NAME CONNECTIONS STREAMS COUNT PATH BODY	STREAMS watches of PATH on each connection; COUNT
 *									objects are made one by one on one more: until
 *									each watch has been told
 *	fanout floor NAME CONNECTIONS COUNT BYTES			what the kernel takes: BYTES in the clear from a
 *									thread to as many sockets of another, COUNT times
 *
 * PKI: folder with ca.crt, admin.crt and admin.key. Each %u in BODY becomes the number of the object. An event is a line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "times.h"

#define WINDOW	(16 * 1024 * 1024)

struct conn {
	int		fd;
	SSL		*ssl;
	nghttp2_session	*h2;
	uint8_t		*out;		/* made, not yet taken by the socket */
	size_t		out_len;
	size_t		out_size;
	bool		waits;		/* for room on the socket */
	bool		writer;
};

/* A request. */
struct stream {
	uint32_t	events;
	bool		open;		/* its head was 200 or 201 */
	bool		ended;
};

static struct {
	int		ep;
	int		port;
	SSL_CTX		*tls;
	const char	*path;
	uint64_t	bytes;
	uint32_t	n_open;
	uint32_t	round;		/* events that each is to have */
	uint64_t	round_t0;
	uint32_t	told;
	_Atomic uint32_t arrived;	/* floor: in this round */
	uint64_t	*ns;
	uint32_t	n;
	const char	*body;
	size_t		body_len;
} g;

static void die(const char *what)
{
	fprintf(stderr, "fanout: %s: %s\n", what, errno ? strerror(errno) : "refused");
	exit(1);
}

static void report(const char *name, int connections, int streams, uint32_t count, double seconds)
{
	const char *command = getenv("COMMAND");

	times_sort(g.ns, g.n);
	printf("{\"name\":\"%s\",\"connections\":%d,\"watchers\":%d,\"n\":%u,\"events_per_second\":%.0f,\"bytes\":%.0f,"
	       "\"told_p50_us\":%.0f,\"told_p99_us\":%.0f,\"command\":\"%s\"}\n", name, connections, connections * streams, count,
	       (double)g.n / seconds, (double)g.bytes / g.n, (double)g.ns[g.n / 2] / 1e3,
	       (double)g.ns[g.n * 99ull / 100] / 1e3, command ? command : "tests/bench/fanout");
}

/* ---- HTTP/2 -------------------------------------------------------------------------------------------------------------- */

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
	const struct conn *c = arg;

	if (f->hd.type == NGHTTP2_GOAWAY)
		die("the server goes");
	if (s && (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		if (!c->writer)
			die("the server ends a watch");
		s->ended = true;
	}
	return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

	(void)flags;
	(void)arg;
	if (!s || name_len != 7 || memcmp(name, ":status", 7))
		return 0;
	if (value_len != 3 || value[0] != '2') {
		fprintf(stderr, "fanout: answered %.*s\n", (int)value_len, value);
		exit(1);
	}
	s->open = true;
	g.n_open++;
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(h2, id);
	const struct conn *c = arg;
	const uint8_t *end = p + len;

	(void)flags;
	if (!s || c->writer)
		return 0;
	g.bytes += len;
	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		if (++s->events == g.round) {
			g.told++;
			g.ns[g.n++] = now() - g.round_t0;
		}
	}
	return 0;
}

static ssize_t on_send(nghttp2_session *h2, const uint8_t *p, size_t len, int flags, void *arg)
{
	struct conn *c = arg;

	(void)h2;
	(void)flags;
	if (c->out_len + len > c->out_size) {
		c->out_size = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_size);
		if (!c->out)
			die("memory");
	}
	memcpy(c->out + c->out_len, p, len);
	c->out_len += len;
	return (ssize_t)len;
}

static ssize_t body_read(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t len, uint32_t *flags, nghttp2_data_source *src,
			 void *arg)
{
	(void)h2;
	(void)id;
	(void)src;
	(void)arg;
	if (len < g.body_len)
		die("the body is too long");
	memcpy(buf, g.body, g.body_len);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)g.body_len;
}

static void lost(struct conn *c, int r, const char *what)
{
	r = SSL_get_error(c->ssl, r);
	if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE)
		return;
	ERR_print_errors_fp(stderr);
	die(what);
}

static void conn_send(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	size_t at = 0;

	if (nghttp2_session_send(c->h2))
		die("HTTP/2");
	while (at < c->out_len) {
		int r = SSL_write(c->ssl, c->out + at, (int)(c->out_len - at));

		if (r <= 0) {
			lost(c, r, "connection lost");
			break;
		}
		at += (size_t)r;
	}
	memmove(c->out, c->out + at, c->out_len - at);
	c->out_len -= at;
	if (c->waits == !!c->out_len)
		return;
	c->waits = c->out_len;
	ev.events |= c->waits ? EPOLLOUT : 0;
	if (epoll_ctl(g.ep, EPOLL_CTL_MOD, c->fd, &ev))
		die("epoll");
}

static void conn_run(struct conn *c)
{
	static uint8_t buf[65536];
	int r;

	for (;;) {
		r = SSL_read(c->ssl, buf, sizeof(buf));
		if (r <= 0)
			break;
		if (nghttp2_session_mem_recv(c->h2, buf, (size_t)r) < 0)
			die("HTTP/2");
		if (!SSL_has_pending(c->ssl))
			break;		/* the loop comes again if there is more */
	}
	if (r <= 0)
		lost(c, r, "connection lost");
	if (nghttp2_session_want_write(c->h2) || c->out_len)
		conn_send(c);
}

static void turn(void)
{
	struct epoll_event ev[64];
	int n = epoll_wait(g.ep, ev, 64, 30000);
	int i;

	if (n <= 0)
		die("nothing within 30 s");
	for (i = 0; i < n; i++)
		conn_run(ev[i].data.ptr);
}

static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static struct conn *conn_new(void)
{
	static const uint8_t alpn[] = "\x02h2";
	const nghttp2_settings_entry iv = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW };
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	nghttp2_session_callbacks *cb = NULL;

	if (!c || nghttp2_session_callbacks_new(&cb))
		die("memory");
	c->fd = dial();
	c->ssl = SSL_new(g.tls);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_alpn_protos(c->ssl, alpn, 3);
	if (SSL_connect(c->ssl) != 1) {
		ERR_print_errors_fp(stderr);
		die("TLS");
	}
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	if (nghttp2_session_client_new(&c->h2, cb, c) || nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, &iv, 1) ||
	    nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, WINDOW) ||
	    epoll_ctl(g.ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("connection");
	nghttp2_session_callbacks_del(cb);
	conn_send(c);
	return c;
}

#define NV(name_, value_) { (uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_), strlen(name_), strlen(value_), \
			    NGHTTP2_NV_FLAG_NONE }

static void ask(struct conn *c, const char *method, const char *path, struct stream *s)
{
	const nghttp2_nv nv[] = {
		NV(":method", method), NV(":scheme", "https"), NV(":authority", "localhost"), NV(":path", path),
		NV("content-type", "application/json"),
	};
	nghttp2_data_provider body = { .read_callback = body_read };
	bool post = !strcmp(method, "POST");

	*s = (struct stream){ 0 };
	if (nghttp2_submit_request(c->h2, NULL, nv, post ? 5 : 4, post ? &body : NULL, s) < 0)
		die("request");
	conn_send(c);
}

static void run(const char *name, int connections, int streams, uint32_t count, const char *body)
{
	uint32_t n = (uint32_t)(connections * streams);
	struct stream *s = calloc(n, sizeof(*s));
	struct stream made;
	struct conn *writer;
	char path[1024];
	char text[16384];
	uint64_t t0;
	uint32_t i;

	g.ns = calloc((size_t)count * n, sizeof(*g.ns));
	snprintf(path, sizeof(path), "%s%cwatch=1", g.path, strchr(g.path, '?') ? '&' : '?');
	for (i = 0; i < n; i++) {
		static struct conn *c;

		if (i % (uint32_t)streams == 0)
			c = conn_new();
		ask(c, "GET", path, &s[i]);
		while (!s[i].open)
			turn();
	}
	writer = conn_new();
	writer->writer = true;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(g.path, "?"), g.path);
	t0 = now();
	for (i = 0; i < count; i++) {
		const char *u = strstr(body, "%u");
		int at = u ? (int)(u - body) : (int)strlen(body);

		g.body_len = (size_t)snprintf(text, sizeof(text), "%.*s%u%s", at, body, i, u ? u + 2 : "");
		g.body = text;
		g.told = 0;
		g.round = i + 1;
		g.round_t0 = now();
		ask(writer, "POST", path, &made);
		while (!made.ended || g.told < n)
			turn();
	}
	report(name, connections, streams, count, (double)(now() - t0) / 1e9);
}

/* ---- what the kernel takes ------------------------------------------------------------------------------------------------- */

static void *floor_read(void *arg)
{
	struct epoll_event ev[64];
	char buf[65536];
	int n;

	(void)arg;
	while ((n = epoll_wait(g.ep, ev, 64, -1)) > 0)
		for (int i = 0; i < n; i++) {
			ssize_t r = read(ev[i].data.fd, buf, sizeof(buf));

			if (r <= 0)
				return NULL;
			g.bytes += (uint64_t)r;
			g.ns[g.n++] = now() - g.round_t0;
			g.arrived++;
		}
	return NULL;
}

static void run_floor(const char *name, int connections, uint32_t count, size_t bytes)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int *to = calloc((size_t)connections, sizeof(*to));
	char *buf = calloc(1, bytes);
	pthread_t reader;
	uint64_t t0;
	int on = 1;

	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 16) || getsockname(l, (struct sockaddr *)&a, &len))
		die("listen");
	g.port = ntohs(a.sin_port);
	g.ns = calloc((size_t)count * (size_t)connections, sizeof(*g.ns));
	for (int i = 0; i < connections; i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		ev.data.fd = dial();
		to[i] = accept(l, NULL, NULL);
		if (to[i] < 0 || epoll_ctl(g.ep, EPOLL_CTL_ADD, ev.data.fd, &ev))
			die("accept");
		(void)setsockopt(to[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	if (pthread_create(&reader, NULL, floor_read, NULL))
		die("thread");
	t0 = now();
	for (uint32_t k = 0; k < count; k++) {
		g.arrived = 0;
		g.round_t0 = now();
		for (int i = 0; i < connections; i++)
			if (write(to[i], buf, bytes) != (ssize_t)bytes)
				die("write");
		while (g.arrived < (uint32_t)connections)
			sched_yield();
	}
	report(name, connections, 1, count, (double)(now() - t0) / 1e9);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	char file[512];

	if (argc < 6) {
		/* make bench starts every program here: this one is for peer.sh */
		printf("# fanout PKI PORT NAME CONNECTIONS STREAMS COUNT PATH BODY | floor NAME CONNECTIONS COUNT BYTES\n");
		return 0;
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	if (!strcmp(argv[1], "floor")) {
		run_floor(argv[2], atoi(argv[3]), (uint32_t)atoi(argv[4]), (size_t)atoi(argv[5]));
		return 0;
	}
	if (argc < 9)
		die("arguments");
	g.port = atoi(argv[2]);
	g.path = argv[7];
	g.tls = SSL_CTX_new(TLS_client_method());
	snprintf(file, sizeof(file), "%s/ca.crt", argv[1]);
	if (SSL_CTX_load_verify_locations(g.tls, file, NULL) != 1)
		die(file);
	SSL_CTX_set_verify(g.tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(g.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(g.tls, 1);
	SSL_CTX_set_default_read_buffer_len(g.tls, 65536);
	snprintf(file, sizeof(file), "%s/admin.crt", argv[1]);
	if (SSL_CTX_use_certificate_chain_file(g.tls, file) != 1)
		die(file);
	snprintf(file, sizeof(file), "%s/admin.key", argv[1]);
	if (SSL_CTX_use_PrivateKey_file(g.tls, file, SSL_FILETYPE_PEM) != 1)
		die(file);
	run(argv[3], atoi(argv[4]), atoi(argv[5]), (uint32_t)atoi(argv[6]), argv[8]);
	return 0;
}
