/*
 * grpc.c - one call of grpc.health.v1.Health/Check over HTTP/2 without TLS.
 *
 * One connection a call, as upstream's probe. nghttp2 frames; the two messages are so small that their protobuf is
 * written by hand: request {1: service}, response {1: status}.
 * Source: pkg/probe/grpc/grpc.go (sentences), grpc/doc/health-checking.md, grpc/doc/PROTOCOL-HTTP2.md.
 */
#include "ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "http/ostream.h"

#define SERVICE_MAX	256u
#define REPLY_MAX	4096u

enum { GRPC_OK = 0, GRPC_DEADLINE = 4, GRPC_UNIMPLEMENTED = 12 };
enum { SERVING_UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN };

struct grpc_ask {
	const struct orlop_host *h;
	char		*addr;
	grpc_answer_fn	fn;
	void		*arg;
	int64_t		timeout_s;
	struct orlop_timer *timer;
	struct ohttp_stream *stream;
	nghttp2_session	*session;
	char		request[5 + 4 + SERVICE_MAX];
	size_t		request_len;
	size_t		request_sent;
	char		reply[REPLY_MAX];
	size_t		reply_len;
	int		http_status;
	int		grpc_status;	/* -1: none told */
	char		message[300];
	bool		connecting;	/* the host calls back once more */
	bool		canceled;
	bool		done;
	bool		posted;
	char		why[700];
};

static void ask_free(struct grpc_ask *a)
{
	if (a->connecting || a->posted)
		return;
	a->h->timer_free(a->timer);
	ohttp_stream_abort(a->stream);
	nghttp2_session_del(a->session);
	omem_free(a->addr);
	omem_free(a);
}

void grpc_ask_cancel(struct grpc_ask *a)
{
	if (!a)
		return;
	a->canceled = true;
	a->h->timer_clear(a->timer);
	ask_free(a);
}

static void told(void *arg)
{
	struct grpc_ask *a = arg;

	a->posted = false;
	if (!a->canceled) {
		a->canceled = true;
		a->fn(a->arg, *a->why ? a->why : NULL);
	}
	ask_free(a);
}

/* Not from inside nghttp2 or the stream: told() frees. */
static void tell(struct grpc_ask *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct grpc_ask *a, const char *fmt, ...)
{
	va_list ap;

	if (a->done || a->canceled)
		return;
	a->done = true;
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof(a->why), fmt, ap);
	va_end(ap);
	a->h->timer_clear(a->timer);
	a->posted = true;
	if (a->h->post(a->h, told, a))
		a->posted = false;
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

/* Field 1 of HealthCheckResponse behind its five bytes of frame; -1: not a response. */
static int serving_status(const struct grpc_ask *a)
{
	const unsigned char *p = (const unsigned char *)a->reply;
	size_t len = a->reply_len;
	uint32_t n;
	size_t i = 5;
	int status = SERVING_UNKNOWN;

	if (len < 5 || p[0])
		return -1;
	n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	if (n > len - 5)
		return -1;
	while (i < 5 + n) {
		uint64_t tag = 0;
		uint64_t v = 0;
		int shift;

		for (shift = 0; i < 5 + n && shift < 64; shift += 7) {
			tag |= (uint64_t)(p[i] & 0x7f) << shift;
			if (!(p[i++] & 0x80))
				break;
		}
		if ((tag & 7) != 0)
			break;		/* nothing else is known */
		for (shift = 0; i < 5 + n && shift < 64; shift += 7) {
			v |= (uint64_t)(p[i] & 0x7f) << shift;
			if (!(p[i++] & 0x80))
				break;
		}
		if (tag >> 3 == 1)
			status = v > 3 ? SERVING_UNKNOWN : (int)v;
	}
	return status;
}

static void judge(struct grpc_ask *a)
{
	static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" };
	int status;

	if (a->grpc_status == GRPC_UNIMPLEMENTED) {
		tell(a, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", a->message);
	} else if (a->grpc_status == GRPC_DEADLINE) {
		tell(a, "timeout: health rpc did not complete within %llds", (long long)a->timeout_s);
	} else if (a->grpc_status != GRPC_OK) {
		tell(a, "error: health rpc probe failed: rpc error: code = %d desc = %s", a->grpc_status < 0 ? 2 : a->grpc_status,
		     *a->message ? a->message : a->http_status && a->http_status != 200 ? "unexpected HTTP status code received from server"
		     : "the connection closed before the answer was complete");
	} else {
		status = serving_status(a);
		if (status == SERVING)
			tell(a, "%s", "");
		else
			tell(a, "service unhealthy (responded with \"%s\")", names[status < 0 ? 0 : status]);
	}
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t n, const uint8_t *value,
		     size_t len, uint8_t flags, void *arg)
{
	struct grpc_ask *a = arg;
	char text[20];

	(void)s;
	(void)frame;
	(void)flags;
	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)value);
	if (n == 7 && !memcmp(name, ":status", 7))
		a->http_status = atoi(text);
	else if (n == 11 && !memcmp(name, "grpc-status", 11))
		a->grpc_status = atoi(text);
	else if (n == 12 && !memcmp(name, "grpc-message", 12))
		snprintf(a->message, sizeof(a->message), "%.*s", (int)len, (const char *)value);
	return 0;
}

static int on_chunk(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
	struct grpc_ask *a = arg;
	size_t room = REPLY_MAX - a->reply_len;

	(void)s;
	(void)flags;
	(void)id;
	if (len > room)
		len = room;
	memcpy(a->reply + a->reply_len, p, len);
	a->reply_len += len;
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	(void)s;
	(void)id;
	(void)code;
	judge(arg);
	return 0;
}

/* ---- the question -------------------------------------------------------------------------------------------- */

static ssize_t body_read(nghttp2_session *s, int32_t id, uint8_t *buf, size_t size, uint32_t *flags,
			 nghttp2_data_source *src, void *arg)
{
	struct grpc_ask *a = arg;
	size_t n = a->request_len - a->request_sent;

	(void)s;
	(void)id;
	(void)src;
	if (n > size)
		n = size;
	memcpy(buf, a->request + a->request_sent, n);
	a->request_sent += n;
	if (a->request_sent == a->request_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void request_make(struct grpc_ask *a, const char *service)
{
	size_t n = strnlen(service, SERVICE_MAX);
	char *p = a->request;
	size_t len = 0;

	if (n) {
		p[5 + len++] = 0x0a;
		if (n >= 128)
			p[5 + len++] = (char)(0x80 | (n & 0x7f));
		p[5 + len++] = (char)(n >= 128 ? n >> 7 : n);
		memcpy(p + 5 + len, service, n);
		len += n;
	}
	p[0] = p[1] = p[2] = 0;
	p[3] = (char)(len >> 8);
	p[4] = (char)len;
	a->request_len = 5 + len;
}

static nghttp2_nv header(const char *name, const char *value)
{
	nghttp2_nv v = { (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
			 NGHTTP2_NV_FLAG_NONE };

	return v;
}

static void push(struct grpc_ask *a)
{
	const uint8_t *p;
	ssize_t n;

	while (a->stream && (n = nghttp2_session_mem_send(a->session, &p)) > 0)
		if (ohttp_stream_write(a->stream, p, (size_t)n))
			break;
}

static void on_data(void *arg, const char *p, size_t len)
{
	struct grpc_ask *a = arg;

	if (a->done || a->canceled)
		return;
	if (nghttp2_session_mem_recv(a->session, (const uint8_t *)p, len) < 0) {
		tell(a, "error: health rpc probe failed: rpc error: code = Unavailable desc = the server does not speak HTTP/2");
		return;
	}
	push(a);
}

static void on_closed(void *arg, int err)
{
	struct grpc_ask *a = arg;

	(void)err;
	a->stream = NULL;
	judge(a);
}

static const struct ohttp_stream_ops stream_ops = { .data = on_data, .closed = on_closed };

static int begin(struct grpc_ask *a, int take_fd)
{
	nghttp2_data_provider body = { .read_callback = body_read };
	nghttp2_nv nv[8];
	nghttp2_session_callbacks *cb;
	int e = ohttp_stream_new(a->h, take_fd, NULL, NULL, &stream_ops, a, &a->stream);

	if (e) {
		a->stream = NULL;
		return e;
	}
	if (nghttp2_session_callbacks_new(&cb))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	e = nghttp2_session_client_new(&a->session, cb, a);
	nghttp2_session_callbacks_del(cb);
	if (e)
		return -ENOMEM;
	nv[0] = header(":method", "POST");
	nv[1] = header(":scheme", "http");
	nv[2] = header(":path", "/grpc.health.v1.Health/Check");
	nv[3] = header(":authority", a->addr);
	nv[4] = header("content-type", "application/grpc");
	nv[5] = header("te", "trailers");
	nv[6] = header("user-agent", "kube-probe/1.36");
	if (nghttp2_submit_settings(a->session, NGHTTP2_FLAG_NONE, NULL, 0) ||
	    nghttp2_submit_request(a->session, NULL, nv, 7, &body, NULL) < 0)
		return -ENOMEM;
	push(a);
	return 0;
}

static void on_connect(void *arg, int32_t fd)
{
	struct grpc_ask *a = arg;
	int e;

	a->connecting = false;
	if (a->canceled || a->done) {
		if (fd >= 0)
			close(fd);
		if (a->canceled)
			ask_free(a);
		return;
	}
	e = fd < 0 ? fd : begin(a, fd);
	if (fd < 0 && e == -ETIMEDOUT)
		tell(a, "timeout: failed to connect service \"%s\" within %llds: context deadline exceeded", a->addr,
		     (long long)a->timeout_s);
	else if (fd < 0)
		tell(a, "error: failed to connect service at \"%s\": connection error: desc = \"transport: error while dialing: "
		     "dial tcp %s: connect: %s\"", a->addr, a->addr, e == -ECONNREFUSED ? "connection refused" : strerrordesc_np(-e));
	else if (e)
		tell(a, "error: health rpc probe failed: out of memory");
}

static void on_timer(void *arg)
{
	struct grpc_ask *a = arg;

	if (a->connecting)
		tell(a, "timeout: failed to connect service \"%s\" within %llds: context deadline exceeded", a->addr,
		     (long long)a->timeout_s);
	else
		tell(a, "timeout: health rpc did not complete within %llds", (long long)a->timeout_s);
}

struct grpc_ask *grpc_ask(const struct orlop_host *h, const char *addr, const char *service, int64_t timeout_s,
			  grpc_answer_fn fn, void *arg)
{
	struct grpc_ask *a = OMEM_NEW(struct grpc_ask);

	if (!a)
		return NULL;
	a->h = h;
	a->fn = fn;
	a->arg = arg;
	a->timeout_s = timeout_s;
	a->grpc_status = -1;
	a->addr = omem_strdup(addr);
	request_make(a, service);
	if (!a->addr || h->timer_new(h, on_timer, a, &a->timer)) {
		ask_free(a);
		return NULL;
	}
	a->connecting = true;
	if (h->connect(h, addr, (uint64_t)timeout_s * NS_PER_S, on_connect, a)) {
		a->connecting = false;
		ask_free(a);
		return NULL;
	}
	h->timer_set(a->timer, (uint64_t)timeout_s * NS_PER_S, 0);
	return a;
}
