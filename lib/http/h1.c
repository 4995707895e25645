/*
 * HTTP/1.1 on a connection: one request at a time, pipelined ones wait.
 *
 * run() is the only place that advances; it stops where something is missing (bytes, a handler that
 * wants the body, an answer, room to send) and is called again when that has changed.
 */
#include "internal.h"

#include "base/omem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PIPELINE_MAX	(64u * 1024)	/* bytes read ahead of the current answer */
#define DISCARD_MAX	(8u * 1024 * 1024)	/* of an unread body, so that its sender sees the answer */
#define HEAD_USUAL	512u			/* bytes of an answer's head: room made at once */

static struct ohttp_req *current(struct oconn *c)
{
	struct olist *l = olist_first(&c->reqs);

	return l ? OLIST_ENTRY(l, struct ohttp_req, link) : NULL;
}

static void put_text(struct oconn *c, const char *p, size_t len)
{
	if (c->stream && outq_copy(ohttp_stream_outq(c->stream), p, len) < 0)
		ohttp_stream_fail(c->stream, -ENOMEM);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void bad_request(struct oconn *c, int status)
{
	char buf[320];
	int n = snprintf(buf, sizeof(buf),
			 "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n%d %s\n",
			 status, ohttp_status_text(status), oserver_date(c->srv),
			 strlen(ohttp_status_text(status)) + 5, status, ohttp_status_text(status));

	c->srv->stats.bad++;
	if (c->stream)
		(void)ohttp_stream_write(c->stream, buf, (size_t)n);
	oconn_kill(c, true);
}

void oh1_continue(struct ohttp_req *r)
{
	r->expect_continue = false;
	if (r->conn->stream && !r->started)
		(void)ohttp_stream_write(r->conn->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

/* Is what is left of the body cheap enough to read and forget? */
static bool rest_is_small(const struct oconn *c, const struct ohttp_req *r)
{
	return !r->expect_continue && !c->h1body.line && c->h1body.left <= DISCARD_MAX &&
	       c->h1body.left > 0 && c->h1body.state == 0;
}

static void put_field(struct obuf *b, const char *name, const char *value)
{
	obuf_puts(b, name);
	obuf_puts(b, value);
	obuf_append(b, "\r\n", 2);
}

/* What would end the line becomes a blank: no value makes a header of its own. */
static void put_value(struct obuf *b, struct orlop_bytes v)
{
	size_t at = b->len;

	obuf_append(b, v.p, v.len);
	if (obuf_err(b))
		return;
	for (char *p = b->data + at; p < b->data + b->len; p++)
		if (*p == '\r' || *p == '\n' || *p == '\0')
			*p = ' ';
}

void oh1_head(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n, int64_t length)
{
	struct oconn *c = r->conn;
	struct obuf b = OBUF_INIT;

	if (!c->stream)
		return;
	if (!r->remote_done && status >= 200 && !rest_is_small(c, r))
		c->closing = true;
	if (c->srv->draining && oconn_now(c) >= c->drain_at)
		c->closing = true;
	r->chunked = length < 0 && r->version >= 11 && !r->no_body;
	if (length < 0 && r->version < 11)
		c->closing = true;
	obuf_reserve(&b, HEAD_USUAL);
	obuf_puts(&b, "HTTP/1.1 ");
	obuf_put_u64(&b, (uint64_t)status);
	put_field(&b, " ", ohttp_status_text(status));
	for (size_t i = 0; i < n; i++) {
		obuf_append(&b, hdr[i].name.p, hdr[i].name.len);
		obuf_append(&b, ": ", 2);
		put_value(&b, hdr[i].value);
		obuf_append(&b, "\r\n", 2);
	}
	if (c->srv->cfg.server_header)
		put_field(&b, "Server: ", c->srv->cfg.server_header);
	put_field(&b, "Date: ", oserver_date(c->srv));
	if (length >= 0 && status != 204 && status != 304 && status >= 200) {
		obuf_puts(&b, "Content-Length: ");
		obuf_put_u64(&b, (uint64_t)length);
		obuf_append(&b, "\r\n", 2);
	} else if (r->chunked) {
		obuf_puts(&b, "Transfer-Encoding: chunked\r\n");
	}
	if (status >= 200 && c->closing)
		obuf_puts(&b, "Connection: close\r\n");
	else if (status >= 200 && c->keep_10)
		obuf_puts(&b, "Connection: keep-alive\r\n");
	obuf_append(&b, "\r\n", 2);
	if (obuf_err(&b))
		ohttp_stream_fail(c->stream, obuf_err(&b));
	else
		put_text(c, b.data, b.len);
	obuf_done(&b);
}

void oh1_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n)
{
	struct outq *q = ohttp_stream_outq(r->conn->stream);
	size_t total = 0;
	int err = 0;

	for (size_t i = 0; i < n; i++)
		total += v[i].len;
	if (r->chunked && total) {
		char line[24];

		err = outq_copy(q, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", total));
	}
	for (size_t i = 0; i < n; i++) {
		int e = outq_ref(q, &v[i]);

		err = err ? err : e;
	}
	if (r->chunked && total && !err)
		err = outq_copy(q, "\r\n", 2);
	if (err)
		ohttp_stream_fail(r->conn->stream, err);
}

/* Of an answer whose length is known. */
void oh1_write_spans(struct ohttp_req *r, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg)
{
	int err = outq_spans(ohttp_stream_outq(r->conn->stream), v, n, release, arg);

	if (err)
		ohttp_stream_fail(r->conn->stream, err);
}

void oh1_end(struct ohttp_req *r)
{
	if (r->chunked)
		put_text(r->conn, "0\r\n\r\n", 5);
	if (r->conn->stream && r->writable_low)
		ohttp_stream_low_water(r->conn->stream, OHTTP_STREAM_LOW_WATER);
	if (!r->remote_done)
		r->body_state = OBODY_DISCARD;
}

/* ---- requests ------------------------------------------------------------------------------------ */

static const char *rebase(const char *p, const char *from, const char *to)
{
	return p ? to + (p - from) : NULL;
}

#define REBASE(b) ((b).p = rebase((b).p, text, r->block))

/* A head of @len bytes at @text becomes a request. */
static void begin(struct oconn *c, const char *text, size_t len)
{
	const struct ohttp_server_config *cfg = &c->srv->cfg;
	struct ohttp_header headers[256];
	struct oh1_head h = {
		.headers = headers,
		.max_headers = cfg->max_headers,
		.max_target = cfg->max_target_bytes,
	};
	struct ohttp_req *r;
	int status = oh1_parse_request(text, len, &h);

	if (status == 0 && h.method.len == 7 && memcmp(h.method.p, "CONNECT", 7) == 0)
		status = 405;
	if (status) {
		bad_request(c, status);
		return;
	}
	r = oreq_new(c);
	if (!r) {
		oconn_kill(c, false);
		return;
	}
	r->block = omem_strndup(text, len);
	r->headers = omem_dup(headers, h.n_headers * sizeof(*headers));
	if (!r->block || !r->headers) {
		oreq_free(r);
		oconn_kill(c, false);
		return;
	}
	r->n_headers = h.n_headers;
	for (size_t i = 0; i < r->n_headers; i++) {
		REBASE(r->headers[i].name);
		REBASE(r->headers[i].value);
	}
	r->method = h.method;
	r->path = h.path;
	r->query = h.query;
	r->authority = h.authority;
	REBASE(r->method);
	REBASE(r->path);
	REBASE(r->query);
	REBASE(r->authority);
	r->version = h.version;
	r->is_head = h.method.len == 4 && memcmp(r->method.p, "HEAD", 4) == 0;
	r->wants_upgrade = h.upgrade && h.version >= 11;
	r->head_done = true;
	oh1_body_init(&c->h1body, &h, NULL);
	r->remote_done = c->h1body.done;
	r->expect_continue = h.expect_continue && !r->remote_done && h.version >= 11;
	if (!h.keep_alive)
		c->closing = true;
	c->keep_10 = h.keep_alive && h.version < 11;
	c->scan = 0;
	c->in_head = false;
	c->deadline = 0;
	c->srv->stats.requests++;
	cfg->on_request(cfg->arg, r);
}

static void head_is_partial(struct oconn *c, size_t have)
{
	if (have == 0 || c->in_head)
		return;
	c->in_head = true;
	oconn_deadline(c, oconn_now(c) + c->srv->cfg.head_timeout_ns);
}

/* One step of a body. False: no bytes could be used. */
static bool body_step(struct oconn *c, struct ohttp_req *r, const char *p, size_t len, size_t *at)
{
	struct orlop_bytes data;
	ssize_t n;

	if (r->body_state == OBODY_WAIT)
		return false;
	if (!r->deadline || len > *at) {
		r->deadline = oconn_now(c) + c->srv->cfg.body_timeout_ns;
		oconn_deadline(c, 0);
	}
	if (len == *at)
		return false;
	n = oh1_body_next(&c->h1body, p + *at, len - *at, &data);
	if (n < 0) {
		if (r->started)
			oconn_kill(c, false);
		else
			bad_request(c, 400);
		return false;
	}
	*at += (size_t)n;
	r->remote_done = c->h1body.done;
	/* The callback may answer; @r lives until run() lets it go. */
	if (data.len)
		oreq_body_data(r, data.p, data.len);
	if (c->h1body.done && !c->dead)
		oreq_body_end(r);
	return true;
}

/* Uses what it can of @p; returns how much. */
static size_t run(struct oconn *c, const char *p, size_t len)
{
	size_t at = 0;

	while (!c->dead && !c->upgraded) {
		struct ohttp_req *r = current(c);

		if (!r) {
			size_t n;

			if (c->closing || ohttp_stream_queued(c->stream) > ORESP_HIGH)
				break;
			if (c->scan == 0 && len - at >= 2 && memcmp(p + at, "\r\n", 2) == 0)
				at += 2;	/* RFC 9112 2.2: an empty line before a request */
			n = oh1_head_len(p + at, len - at, &c->scan);
			if (n > c->srv->cfg.max_head_bytes ||
			    (!n && len - at > c->srv->cfg.max_head_bytes)) {
				bad_request(c, 431);
				break;
			}
			if (!n) {
				head_is_partial(c, len - at);
				break;
			}
			begin(c, p + at, n);
			at += n;
		} else if (!r->remote_done) {
			if (r->answered && c->closing)
				break;
			if (!body_step(c, r, p, len, &at))
				break;
		} else if (!r->answered) {
			break;
		} else {
			oreq_free(r);
			if (c->closing || at == len) {
				oconn_idle(c);
				if (c->dead)
					break;
			}
		}
	}
	return at;
}

/* Reading stops while nobody could use what would come. */
static void steer(struct oconn *c)
{
	struct ohttp_req *r = current(c);
	bool read = true;

	if (r && !r->remote_done)
		read = r->body_state != OBODY_WAIT;
	else if (r)
		read = c->in.len < PIPELINE_MAX;
	else
		read = ohttp_stream_queued(c->stream) <= ORESP_HIGH;
	if (read)
		ohttp_stream_resume(c->stream);
	else
		ohttp_stream_pause(c->stream);
}

/* The connection is the user's now: what was read too far goes back, the rest of us goes away. */
static void leave_upgraded(struct oconn *c, const char *p, size_t len)
{
	struct ohttp_req *r = current(c);

	if (len && ohttp_stream_unread(c->stream, p, len) < 0)
		ohttp_stream_shutdown(c->stream);
	if (r)
		oreq_free(r);
	c->stream = NULL;
	c->dead = true;
}

static void advance(struct oconn *c, const char *p, size_t len, bool is_in)
{
	size_t used;

	c->running = true;
	used = run(c, p, len);
	c->running = false;
	if (c->dead)
		return;
	if (c->upgraded) {
		leave_upgraded(c, p + used, len - used);
		return;
	}
	if (is_in && used == len)
		obuf_done(&c->in);
	else if (is_in)
		obuf_splice(&c->in, 0, used, NULL, 0);
	else
		obuf_append(&c->in, p + used, len - used);
	if (obuf_err(&c->in)) {
		oconn_kill(c, false);
		return;
	}
	if (current(c) && current(c)->answered && !current(c)->remote_done && c->closing) {
		oreq_free(current(c));
		oconn_kill(c, true);
		return;
	}
	ohttp_stream_push(c->stream);
	steer(c);
}

void oh1_data(struct oconn *c, const char *p, size_t len)
{
	if (c->in.len) {
		obuf_append(&c->in, p, len);
		if (obuf_err(&c->in)) {
			oconn_kill(c, false);
			return;
		}
		advance(c, c->in.data, c->in.len, true);
	} else {
		advance(c, p, len, false);
	}
}

void oh1_kick(struct oconn *c)
{
	if (c->running || c->dead)
		return;
	advance(c, c->in.data ? c->in.data : "", c->in.len, true);
}
