/* An HTTP/1.1 client with a small pool of kept connections. */
#include "oclient.h"
#include "oh1.h"

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omem.h"
#include "tls/otls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND		UINT64_C(1000000000)
#define KEEP_MAX	4u
#define KEEP_NS		(30 * SECOND)
#define HEAD_MAX	(64u * 1024)
#define HEADERS_MAX	256u

struct cconn {
	struct ohttp_client	*client;	/* NULL: the client is gone */
	struct olist		link;
	struct ohttp_stream	*stream;
	struct ohttp_creq	*req;		/* NULL: idle */
	struct orlop_timer	*timer;
	char			*addr;
	char			*name;
	struct obuf		in;
	size_t			scan;
	struct oh1_body		body;
	unsigned int		busy;
	bool			reused;
	bool			got;		/* anything of the answer */
	bool			in_body;
	bool			keep;
	bool			connecting;
	bool			up;		/* what is written may reach the peer: TLS is up */
	bool			dead;
};

struct ohttp_creq {
	struct ohttp_client		*client;
	struct cconn			*conn;
	const struct ohttp_client_ops	*ops;
	void				*arg;
	struct obuf			text;	/* the request as it goes out */
	char				*method;
	char				*addr;
	char				*name;
	uint64_t			timeout_ns;
	uint64_t			connect_ns;
	bool				upgrade;
	bool				retried;
	bool				sent;
	bool				paused;
};

struct ohttp_client {
	const struct orlop_host	*h;
	struct otls_ctx		*tls;
	struct olist		conns;
	uint32_t		keep_max;
	uint64_t		keep_ns;
};

static int conn_open(struct ohttp_client *c, struct ohttp_creq *r);

static void req_free(struct ohttp_creq *r)
{
	obuf_done(&r->text);
	omem_free(r->method);
	omem_free(r->addr);
	omem_free(r->name);
	omem_free(r);
}

static void conn_free(struct cconn *c, const struct orlop_host *h)
{
	olist_del(&c->link);
	h->timer_free(c->timer);
	ohttp_stream_abort(c->stream);	/* nothing of ours waits to be sent: lingering would serve nobody */
	obuf_done(&c->in);
	omem_free(c->addr);
	omem_free(c->name);
	omem_free(c);
}

/* Ends the connection; freed when nobody is inside and no connect() is under way. */
static void conn_kill(struct cconn *c)
{
	const struct orlop_host *h = c->client ? c->client->h : NULL;

	c->dead = true;
	if (c->req) {
		c->req->conn = NULL;
		c->req = NULL;
	}
	if (c->busy || c->connecting || !h)
		return;
	conn_free(c, h);
}

static void conn_leave(struct cconn *c)
{
	if (--c->busy == 0 && c->dead && !c->connecting && c->client)
		conn_free(c, c->client->h);
}

/* The request is over. */
static void req_end(struct ohttp_creq *r, int err, const char *why)
{
	struct cconn *c = r->conn;

	r->conn = NULL;
	if (c) {
		c->req = NULL;
		conn_kill(c);
	}
	r->ops->end(r->arg, r, err, why ? why : "");
	req_free(r);
}

static void conn_broken(struct cconn *c, int err, const char *why)
{
	struct ohttp_creq *r = c->req;
	char text[160];

	if (!r) {
		conn_kill(c);
		return;
	}
	/* A kept connection may have died of age just now: ask once more on a new one, if asking is all it is. */
	if (c->reused && !c->got && !r->retried &&
	    (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)) {
		struct ohttp_client *client = r->client;

		r->retried = true;
		r->conn = NULL;
		c->req = NULL;
		conn_kill(c);
		err = conn_open(client, r);
		if (err == 0)
			return;
		why = strerrordesc_np(-err);
	}
	snprintf(text, sizeof(text), "%s: %s", r->addr, why);
	req_end(r, err, text);
}

/* The answer is complete: keep the connection or not, then tell. */
static void complete(struct cconn *c)
{
	struct ohttp_creq *r = c->req;
	struct ohttp_client *client = c->client;
	unsigned int idle = 0;

	OLIST_FOREACH(l, &client->conns)
		idle += OLIST_ENTRY(l, struct cconn, link)->req == NULL;
	if (c->keep && c->in.len == 0 && idle < client->keep_max) {
		r->conn = NULL;
		c->req = NULL;
		c->reused = true;
		c->got = false;
		c->in_body = false;
		c->scan = 0;
		ohttp_stream_resume(c->stream);
		client->h->timer_set(c->timer, client->keep_ns, 0);
	}
	req_end(r, 0, "");
}

/* Uses a head at the front of c->in. False: more bytes are needed, or it is over. */
static bool take_head(struct cconn *c)
{
	struct ohttp_header headers[HEADERS_MAX];
	struct oh1_head h = { .headers = headers, .max_headers = HEADERS_MAX };
	struct ohttp_response res;
	struct ohttp_creq *r = c->req;
	size_t n = oh1_head_len(c->in.data, c->in.len, &c->scan);

	if (!n && c->in.len <= HEAD_MAX)
		return false;
	if (!n || oh1_parse_response(c->in.data, n, &h) < 0) {
		conn_broken(c, -EPROTO, "answers with something that is not HTTP/1.1");
		return false;
	}
	c->scan = 0;
	if (h.status < 200 && h.status != 101) {
		obuf_splice(&c->in, 0, n, NULL, 0);
		return c->in.len > 0;
	}
	c->client->h->timer_clear(c->timer);
	c->in_body = true;
	c->keep = h.keep_alive;
	oh1_body_init(&c->body, &h, r->method);
	if (h.status != 101 && !h.chunked && h.content_length < 0 && !c->body.done)
		c->keep = false;
	res.status = h.status;
	res.headers = headers;
	res.n_headers = h.n_headers;
	r->ops->head(r->arg, r, &res);
	if (c->dead || c->req != r)
		return false;
	obuf_splice(&c->in, 0, n, NULL, 0);
	if (h.status == 101) {
		struct ohttp_stream *s = c->stream;

		if (!r->upgrade || !r->ops->upgraded) {
			conn_broken(c, -EPROTO, "changes protocol without being asked");
			return false;
		}
		c->stream = NULL;
		c->req = NULL;
		r->conn = NULL;
		/* Until its owner says otherwise nothing is delivered and nothing is lost. */
		ohttp_stream_pause(s);
		if (c->in.len && ohttp_stream_unread(s, c->in.data, c->in.len) < 0)
			ohttp_stream_shutdown(s);
		r->ops->upgraded(r->arg, r, s);
		req_free(r);
		conn_kill(c);
		return false;
	}
	if (c->body.done) {
		complete(c);
		return false;
	}
	return c->in.len > 0;
}

/* Uses body bytes; returns how many. */
static size_t take_body(struct cconn *c, const char *p, size_t len)
{
	struct ohttp_creq *r = c->req;
	size_t at = 0;

	while (at < len && c->req == r && !c->dead && !c->body.done) {
		struct orlop_bytes data;
		ssize_t n = oh1_body_next(&c->body, p + at, len - at, &data);

		if (n < 0) {
			conn_broken(c, -EPROTO, "breaks off in a malformed body");
			return len;
		}
		at += (size_t)n;
		if (data.len)
			r->ops->data(r->arg, r, data.p, data.len);
	}
	return at;
}

static void on_data(void *arg, const char *p, size_t len)
{
	struct cconn *c = arg;

	if (!c->req) {
		conn_kill(c);		/* bytes without a question */
		return;
	}
	c->busy++;
	c->got = true;
	if (!c->in_body) {
		obuf_append(&c->in, p, len);
		if (obuf_err(&c->in))
			conn_broken(c, -ENOMEM, "out of memory");
		while (!c->dead && c->req && !c->in_body && take_head(c))
			;
		if (!c->dead && c->req && c->in_body && c->in.len) {
			struct obuf rest = c->in;
			size_t used;

			obuf_init(&c->in);
			used = take_body(c, rest.data, rest.len);
			if (!c->dead && used < rest.len)
				obuf_append(&c->in, rest.data + used, rest.len - used);
			obuf_done(&rest);
		}
	} else {
		size_t used = take_body(c, p, len);

		if (!c->dead && c->req && used < len)
			c->keep = false;
	}
	if (!c->dead && c->req && c->in_body && c->body.done)
		complete(c);
	conn_leave(c);
}

static void on_eof(void *arg)
{
	struct cconn *c = arg;

	c->busy++;
	/* Only a body without length ends this way; all other states mean that something is missing. */
	if (c->req && c->in_body && !c->body.done && c->body.state == 1) {
		c->keep = false;
		complete(c);
	} else {
		conn_broken(c, -ECONNRESET, "closed the connection before the answer was complete");
	}
	conn_leave(c);
}

static void on_closed(void *arg, int err)
{
	struct cconn *c = arg;
	char why[96];

	snprintf(why, sizeof(why), "%s", err && ohttp_stream_error(c->stream)[0] ?
		 ohttp_stream_error(c->stream) : "connection lost");
	c->stream = NULL;
	c->busy++;
	conn_broken(c, err ? err : -ECONNRESET, why);
	conn_leave(c);
}

static void on_ready(void *arg)
{
	struct cconn *c = arg;

	c->up = true;
	if (!c->req)
		return;
	c->req->sent = true;
	if (c->req->connect_ns != c->req->timeout_ns && !c->in_body)
		c->client->h->timer_set(c->timer, c->req->timeout_ns, 0);
}

static const struct ohttp_stream_ops conn_ops = {
	.data = on_data,
	.eof = on_eof,
	.ready = on_ready,
	.closed = on_closed,
};

static void on_timer(void *arg)
{
	struct cconn *c = arg;

	c->busy++;
	if (c->req) {
		c->got = true;		/* no repeat */
		conn_broken(c, -ETIMEDOUT, "no answer in time");
	} else {
		conn_kill(c);
	}
	conn_leave(c);
}

static void send_request(struct cconn *c, struct ohttp_creq *r)
{
	c->req = r;
	r->conn = c;
	r->sent = c->up;
	c->client->h->timer_set(c->timer, c->up ? r->timeout_ns : r->connect_ns, 0);
	(void)ohttp_stream_write(c->stream, r->text.data, r->text.len);
	if (r->paused)
		ohttp_stream_pause(c->stream);
}

/* A peer that vanished without a word is found within half a minute, in a quiet watch too. */
static void find_dead_peers(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 15 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ 5 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 3 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned int){ 30000 }, sizeof(unsigned int));
}

static void on_connect(void *arg, int32_t fd)
{
	struct cconn *c = arg;
	int r;

	c->connecting = false;
	if (!c->client) {
		if (fd >= 0)
			close(fd);
		obuf_done(&c->in);
		omem_free(c->addr);
		omem_free(c->name);
		omem_free(c);
		return;
	}
	c->busy++;
	if (c->dead) {
		if (fd >= 0)
			close(fd);
	} else if (fd < 0) {
		c->got = true;
		conn_broken(c, fd, strerrordesc_np(-fd));
	} else {
		c->up = !c->client->tls;
		r = ohttp_stream_new(c->client->h, fd, c->client->tls, c->name, &conn_ops, c, &c->stream);
		if (r < 0) {
			conn_broken(c, r, "cannot begin TLS");
		} else {
			find_dead_peers(fd);
			send_request(c, c->req);
		}
	}
	conn_leave(c);
}

/* On failure @r is untouched. */
static int conn_open(struct ohttp_client *client, struct ohttp_creq *r)
{
	struct cconn *c = OMEM_NEW(struct cconn);
	int e = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->client = client;
	olist_append(&client->conns, &c->link);
	c->addr = omem_strdup(r->addr);
	c->name = omem_strdup(r->name);
	if (!c->addr || !c->name || client->h->timer_new(client->h, on_timer, c, &c->timer) < 0)
		goto fail;
	client->h->timer_set(c->timer, r->connect_ns, 0);
	c->connecting = true;
	c->req = r;
	r->conn = c;
	e = client->h->connect(client->h, r->addr, r->connect_ns, on_connect, c);
	if (e == 0)
		return 0;
	c->connecting = false;
	c->req = NULL;
	r->conn = NULL;
fail:
	conn_kill(c);
	return e;
}

/* ---- outside ---------------------------------------------------------------------------------------- */

int ohttp_client_new(const struct orlop_host *h, struct otls_ctx *tls, struct ohttp_client **ret)
{
	struct ohttp_client *c = OMEM_NEW(struct ohttp_client);

	if (!c)
		return -ENOMEM;
	c->h = h;
	c->tls = tls;
	c->keep_max = KEEP_MAX;
	c->keep_ns = KEEP_NS;
	olist_init(&c->conns);
	*ret = c;
	return 0;
}

void ohttp_client_keep(struct ohttp_client *c, uint32_t max, uint64_t idle_ns)
{
	c->keep_max = max;
	c->keep_ns = idle_ns;
}

bool ohttp_creq_sent(const struct ohttp_creq *r)
{
	return r->sent;
}

void ohttp_client_free(struct ohttp_client *c)
{
	struct olist *l;

	if (!c)
		return;
	while ((l = olist_first(&c->conns)) != NULL) {
		struct cconn *x = OLIST_ENTRY(l, struct cconn, link);
		struct ohttp_creq *r = x->req;

		x->req = NULL;
		if (r) {
			r->conn = NULL;
			r->ops->end(r->arg, r, -ECANCELED, "stopping");
			req_free(r);
		}
		if (x->connecting) {
			/* The host calls back once more: on_connect() cleans up. */
			olist_del(&x->link);
			c->h->timer_free(x->timer);
			x->timer = NULL;
			x->client = NULL;
		} else {
			ohttp_stream_abort(x->stream);
			x->stream = NULL;
			conn_free(x, c->h);
		}
	}
	omem_free(c);
}

static char *host_of(const char *addr)
{
	const char *colon = strrchr(addr, ':');

	if (addr[0] == '[') {
		const char *end = strchr(addr, ']');

		return end ? omem_strndup(addr + 1, (size_t)(end - addr - 1)) : omem_strdup(addr);
	}
	return colon ? omem_strndup(addr, (size_t)(colon - addr)) : omem_strdup(addr);
}

static bool clean(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] == '\r' || p[i] == '\n' || p[i] == '\0')
			return false;
	return true;
}

int ohttp_client_send(struct ohttp_client *c, const struct ohttp_client_request *q,
		      const struct ohttp_client_ops *ops, void *arg, struct ohttp_creq **ret)
{
	struct ohttp_creq *r;
	const char *host = q->host ? q->host : q->addr;
	int e;

	if (!clean(q->target, strlen(q->target)) || strchr(q->target, ' ') || !clean(host, strlen(host)))
		return -EINVAL;
	for (size_t i = 0; i < q->n_headers; i++)
		if (!clean(q->headers[i].name.p, q->headers[i].name.len) ||
		    !clean(q->headers[i].value.p, q->headers[i].value.len))
			return -EINVAL;
	r = OMEM_NEW(struct ohttp_creq);
	if (!r)
		return -ENOMEM;
	r->client = c;
	r->ops = ops;
	r->arg = arg;
	r->method = omem_strdup(q->method);
	r->addr = omem_strdup(q->addr);
	r->name = q->tls_name ? omem_strdup(q->tls_name) : host_of(q->addr);
	r->timeout_ns = q->timeout_ns ? q->timeout_ns : 30 * SECOND;
	r->connect_ns = q->connect_ns && q->connect_ns < r->timeout_ns ? q->connect_ns : r->timeout_ns;
	r->upgrade = q->upgrade;
	obuf_printf(&r->text, "%s %s HTTP/1.1\r\nHost: %s\r\n", q->method, q->target,
		    strncmp(host, "unix:", 5) == 0 ? "localhost" : host);
	for (size_t i = 0; i < q->n_headers; i++) {
		obuf_append(&r->text, q->headers[i].name.p, q->headers[i].name.len);
		obuf_append(&r->text, ": ", 2);
		obuf_append(&r->text, q->headers[i].value.p, q->headers[i].value.len);
		obuf_append(&r->text, "\r\n", 2);
	}
	if (q->body.len || q->has_body)
		obuf_printf(&r->text, "Content-Length: %zu\r\n", q->body.len);
	obuf_append(&r->text, "\r\n", 2);
	if (q->body.len)
		obuf_append(&r->text, q->body.p, q->body.len);
	if (!r->method || !r->addr || !r->name || obuf_err(&r->text)) {
		req_free(r);
		return -ENOMEM;
	}
	*ret = r;
	OLIST_FOREACH(l, &c->conns) {
		struct cconn *x = OLIST_ENTRY(l, struct cconn, link);

		if (!x->req && !x->dead && x->stream && !q->upgrade && strcmp(x->addr, r->addr) == 0 &&
		    strcmp(x->name, r->name) == 0) {
			send_request(x, r);
			return 0;
		}
	}
	e = conn_open(c, r);
	if (e < 0)
		req_free(r);
	return e;
}

void ohttp_creq_cancel(struct ohttp_creq *r)
{
	if (!r)
		return;
	if (r->conn) {
		struct cconn *c = r->conn;

		r->conn = NULL;
		c->req = NULL;
		conn_kill(c);
	}
	req_free(r);
}

void ohttp_creq_pause(struct ohttp_creq *r)
{
	r->paused = true;
	if (r->conn && r->conn->stream)
		ohttp_stream_pause(r->conn->stream);
}

void ohttp_creq_resume(struct ohttp_creq *r)
{
	r->paused = false;
	if (r->conn && r->conn->stream)
		ohttp_stream_resume(r->conn->stream);
}

struct orlop_bytes ohttp_response_header(const struct ohttp_response *res, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < res->n_headers; i++)
		if (res->headers[i].name.len == len &&
		    strncasecmp(res->headers[i].name.p, name, len) == 0)
			return res->headers[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}
