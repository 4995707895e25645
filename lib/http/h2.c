/*
 * HTTP/2 on a connection, by nghttp2.
 *
 * Frames are made only while little waits on the socket (ORESP_HIGH), and bodies travel by reference
 * from the request's queue into the connection's. A client that resets, pings or sets faster than any
 * honest one is told to calm down and dropped (CVE-2023-44487 and its relatives).
 */
#include "internal.h"

#include "base/omem.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#define RESET_BURST	1000
#define RESET_RATE	200	/* a second */
#define PING_BURST	200
#define PING_RATE	20
#define CONN_WINDOW	(4 * 1024 * 1024)
#define DISCARD_MAX	(8u * 1024 * 1024)
#define STREAM_WINDOW	(256 * 1024)
#define COPY_MAX	2048	/* a short frame, such as an event of a watch: copied it needs no memory of its own */

/*
 * Newer libraries count resets, too, and end the connection for an internal error. We refill faster,
 * so after a pause in a flood they would be first: they get twice our measure.
 */
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *opt, uint64_t burst,
						       uint64_t rate) __attribute__((weak));

/* Takes one token; false: flood, the session is being terminated. */
static bool allow(struct oconn *c, int32_t *tokens)
{
	uint64_t t = oconn_now(c);
	uint64_t ms = (t - c->bucket_ns) / 1000000;

	if (ms >= 100) {
		int64_t r = c->reset_tokens + (int64_t)(ms > 60000 ? 60000 : ms) * RESET_RATE / 1000;
		int64_t p = c->ping_tokens + (int64_t)(ms > 60000 ? 60000 : ms) * PING_RATE / 1000;

		c->bucket_ns = t;
		c->reset_tokens = r > RESET_BURST ? RESET_BURST : (int32_t)r;
		c->ping_tokens = p > PING_BURST ? PING_BURST : (int32_t)p;
	}
	if ((*tokens)-- > 0)
		return true;
	if (!c->closing) {
		c->closing = true;
		c->srv->stats.calmed++;
		(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	return false;
}

static struct ohttp_req *req_of(struct oconn *c, int32_t id)
{
	return nghttp2_session_get_stream_user_data(c->h2, id);
}

/* ---- what the client sends ----------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct oconn *c = arg;
	struct ohttp_req *r;

	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	if (c->closing)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	r = oreq_new(c);
	if (!r)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	r->version = 20;
	r->stream_id = f->hd.stream_id;
	r->deadline = oconn_now(c) + c->srv->cfg.head_timeout_ns;
	oconn_deadline(c, 0);
	obuf_init(&r->hdr_text);
	(void)nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, r);
	return 0;
}

/* Text goes into one buffer; offsets become pointers when the head is complete. */
static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct oconn *c = arg;
	struct ohttp_req *r = req_of(c, f->hd.stream_id);
	uint32_t lens[2] = { (uint32_t)name_len, (uint32_t)value_len };

	(void)ng;
	(void)flags;
	if (!r || r->head_done)
		return 0;		/* trailers are ignored */
	r->head_bytes += name_len + value_len + 32;
	if (r->head_bytes > c->srv->cfg.max_head_bytes || r->n_headers == c->srv->cfg.max_headers + 4) {
		r->too_big = true;
		return 0;
	}
	obuf_append(&r->hdr_text, lens, sizeof(lens));
	obuf_append(&r->hdr_text, name, name_len);
	obuf_append(&r->hdr_text, value, value_len);
	r->n_headers++;
	return 0;
}

static bool is(struct orlop_bytes b, const char *s)
{
	return b.len == strlen(s) && memcmp(b.p, s, b.len) == 0;
}

/* False without memory. */
static bool index_headers(struct ohttp_req *r)
{
	const char *at = r->hdr_text.data;
	size_t n = 0;

	if (obuf_err(&r->hdr_text))
		return false;
	r->headers = omem_alloc_array(r->n_headers ? r->n_headers : 1, sizeof(*r->headers));
	if (!r->headers)
		return false;
	for (size_t i = 0; i < r->n_headers; i++) {
		struct ohttp_header h;
		uint32_t lens[2];

		memcpy(lens, at, sizeof(lens));
		at += sizeof(lens);
		h.name = (struct orlop_bytes){ at, lens[0] };
		at += lens[0];
		h.value = (struct orlop_bytes){ at, lens[1] };
		at += lens[1];
		if (h.name.len == 0 || h.name.p[0] != ':')
			r->headers[n++] = h;
		else if (is(h.name, ":method"))
			r->method = h.value;
		else if (is(h.name, ":path"))
			r->path = h.value;
		else if (is(h.name, ":authority"))
			r->authority = h.value;
	}
	r->n_headers = n;
	if (!r->authority.p)
		r->authority = ohttp_header(r, "host");
	return true;
}

static void head_complete(struct oconn *c, struct ohttp_req *r, bool end)
{
	const struct ohttp_server_config *cfg = &c->srv->cfg;
	const char *q;
	int status = 0;

	r->head_done = true;
	r->deadline = end ? 0 : oconn_now(c) + cfg->body_timeout_ns;
	r->remote_done = end;
	if (!index_headers(r)) {
		ohttp_abort(r);
		return;
	}
	if (r->too_big)
		status = 431;
	else if (r->path.len > cfg->max_target_bytes)
		status = 414;
	else if (r->path.len == 0 || (r->path.p[0] != '/' && !is(r->path, "*")) ||
		 memchr(r->path.p, '#', r->path.len))
		status = 400;
	if (status) {
		c->srv->stats.bad++;
		ohttp_reply_text(r, status, "text/plain; charset=utf-8", ohttp_status_text(status),
				 strlen(ohttp_status_text(status)));
		return;
	}
	q = memchr(r->path.p, '?', r->path.len);
	if (q) {
		r->query = (struct orlop_bytes){ q + 1, (size_t)(r->path.p + r->path.len - q - 1) };
		r->path.len = (size_t)(q - r->path.p);
	} else {
		r->query = (struct orlop_bytes){ "", 0 };
	}
	r->is_head = is(r->method, "HEAD");
	c->srv->stats.requests++;
	cfg->on_request(cfg->arg, r);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct oconn *c = arg;
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct ohttp_req *r;

	(void)ng;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		r = req_of(c, f->hd.stream_id);
		if (!r)
			break;
		if (!r->head_done)
			head_complete(c, r, end);
		else if (end && !r->remote_done)
			oreq_body_end(r);
		if (f->hd.type == NGHTTP2_DATA && f->hd.length == 0 && !end)
			(void)allow(c, &c->ping_tokens);
		break;
	case NGHTTP2_RST_STREAM:
		(void)allow(c, &c->reset_tokens);
		break;
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS:
		if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
			(void)allow(c, &c->ping_tokens);
		break;
	case NGHTTP2_PRIORITY:
		(void)allow(c, &c->reset_tokens);
		break;
	case NGHTTP2_GOAWAY:
		if (c->n_reqs == 0)
			c->closing = true;
		break;
	default:
		break;
	}
	return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int code, void *arg)
{
	struct oconn *c = arg;

	(void)ng;
	(void)f;
	(void)code;
	c->srv->stats.bad++;
	(void)allow(c, &c->reset_tokens);	/* making us reset counts like resetting */
	return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
	struct oconn *c = arg;
	struct ohttp_req *r = req_of(c, id);

	(void)flags;
	if (!r) {
		(void)nghttp2_session_consume(ng, id, len);
		return 0;
	}
	r->deadline = oconn_now(c) + c->srv->cfg.body_timeout_ns;
	if (r->body_state == OBODY_WAIT && !r->answered) {
		r->unconsumed += len;
		oreq_body_data(r, (const char *)p, len);
		return 0;
	}
	(void)nghttp2_session_consume(ng, id, len);
	if (!r->answered) {
		oreq_body_data(r, (const char *)p, len);
		return 0;
	}
	/*
	 * Nobody wants the rest. It is read for a while nevertheless: curl 7.88 and others lose an
	 * answer that a reset follows at once.
	 */
	r->discarded += len;
	if (r->discarded > DISCARD_MAX)
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	return 0;
}

void oh2_body_wanted(struct ohttp_req *r)
{
	struct oconn *c = r->conn;

	if (r->unconsumed) {
		(void)nghttp2_session_consume(c->h2, r->stream_id, r->unconsumed);
		r->unconsumed = 0;
	}
	if (r->remote_done)
		oreq_body_end(r);
	else
		oh2_flush(c);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct oconn *c = arg;
	struct ohttp_req *r = req_of(c, id);

	(void)code;
	if (!r)
		return 0;
	if (r->unconsumed)
		(void)nghttp2_session_consume_connection(ng, r->unconsumed);
	(void)nghttp2_session_set_stream_user_data(ng, id, NULL);
	oreq_lost(r);
	return 0;
}

/* ---- what we send ------------------------------------------------------------------------------------ */

static ssize_t on_send(nghttp2_session *ng, const uint8_t *p, size_t len, int flags, void *arg)
{
	struct oconn *c = arg;

	(void)ng;
	(void)flags;
	if (!c->stream)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (ohttp_stream_queued(c->stream) > ORESP_HIGH) {
		c->blocked = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	if (outq_copy(ohttp_stream_outq(c->stream), p, len) < 0)
		return NGHTTP2_ERR_NOMEM;
	return (ssize_t)len;
}

/* Says how much there is; the bytes themselves go in on_send_data(). */
static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
			 nghttp2_data_source *src, void *arg)
{
	struct ohttp_req *r = src->ptr;

	(void)ng;
	(void)id;
	(void)buf;
	(void)arg;
	if (r->out.bytes == 0 && !r->answered) {
		r->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (r->out.bytes <= len && r->answered)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (r->out.bytes == 0)
		return 0;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)(r->out.bytes < len ? r->out.bytes : len);
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *hd, size_t len,
			nghttp2_data_source *src, void *arg)
{
	struct ohttp_req *r = src->ptr;
	struct oconn *c = arg;
	struct outq *q;
	bool copy;

	(void)ng;
	(void)f;
	if (!c->stream)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (ohttp_stream_queued(c->stream) > ORESP_HIGH) {
		c->blocked = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	q = ohttp_stream_outq(c->stream);
	copy = len <= COPY_MAX && !r->lent;
	if (outq_copy(q, hd, 9) < 0 || (copy ? outq_move_copy : outq_move)(q, &r->out, len) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	r->lent = !copy && r->out.head;
	if (r->high)
		c->writable_due = true;
	return 0;
}

/* What our own make; proxied ones may have more. */
#define FEW		36u
#define OWN		4u		/* :status, server, date, content-length */
#define FEW_NAMES	1024u

static nghttp2_nv name_value(const char *name, size_t name_len, const char *value, size_t len)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, .namelen = name_len, .value = (uint8_t *)(uintptr_t)value,
			     .valuelen = len, .flags = NGHTTP2_NV_FLAG_NONE };
}

void oh2_head(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n, int64_t length)
{
	struct oconn *c = r->conn;
	nghttp2_nv few[FEW + OWN], *nv = few;
	char few_names[FEW_NAMES], *lower = few_names;
	char code[8];
	char len_text[24];
	size_t names = 0, low = 0, k = 0;
	nghttp2_data_provider src = { .source = { .ptr = r }, .read_callback = read_body };
	bool body = !r->no_body && length != 0;

	if (!c->h2)
		return;
	for (size_t i = 0; i < n; i++)
		names += hdr[i].name.len;
	if (n > FEW)
		nv = omem_alloc_array(n + OWN, sizeof(*nv));
	if (names > FEW_NAMES)
		lower = omem_alloc(names);
	if (!nv || !lower) {
		(void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
		goto out;
	}
	nv[k++] = name_value(":status", 7, code, (size_t)snprintf(code, sizeof(code), "%d", status));
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < hdr[i].name.len; j++) {
			char ch = hdr[i].name.p[j];

			lower[low + j] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
		}
		nv[k++] = name_value(lower + low, hdr[i].name.len, hdr[i].value.p, hdr[i].value.len);
		low += hdr[i].name.len;
	}
	if (c->srv->cfg.server_header)
		nv[k++] = name_value("server", 6, c->srv->cfg.server_header, strlen(c->srv->cfg.server_header));
	nv[k++] = name_value("date", 4, oserver_date(c->srv), strlen(oserver_date(c->srv)));
	if (length >= 0 && status != 204 && status != 304)
		nv[k++] = name_value("content-length", 14, len_text,
				     (size_t)snprintf(len_text, sizeof(len_text), "%lld", (long long)length));
	if (nghttp2_submit_response(c->h2, r->stream_id, nv, k, body ? &src : NULL) < 0)
		(void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
out:
	if (nv != few)
		omem_free(nv);
	if (lower != few_names)
		omem_free(lower);
}

static void written(struct ohttp_req *r, int err)
{
	struct oconn *c = r->conn;

	if (err && c->h2)
		(void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
	if (r->deferred && c->h2) {
		r->deferred = false;
		(void)nghttp2_session_resume_data(c->h2, r->stream_id);
	}
}

void oh2_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		int e = outq_ref(&r->out, &v[i]);

		err = err ? err : e;
	}
	written(r, err);
}

void oh2_write_spans(struct ohttp_req *r, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg)
{
	written(r, outq_spans(&r->out, v, n, release, arg));
}

void oh2_end(struct ohttp_req *r)
{
	if (r->deferred && r->conn->h2) {
		r->deferred = false;
		(void)nghttp2_session_resume_data(r->conn->h2, r->stream_id);
	}
}

void oh2_abort(struct ohttp_req *r)
{
	if (r->conn->h2)
		(void)nghttp2_submit_rst_stream(r->conn->h2, NGHTTP2_FLAG_NONE, r->stream_id,
						NGHTTP2_INTERNAL_ERROR);
}

static void tell_writable(struct oconn *c)
{
	struct olist *l;

	c->writable_due = false;
	/* A callback may end requests, but those stay in the list until nghttp2 closes their streams. */
	for (l = c->reqs.next; l != &c->reqs && !c->dead; l = l->next)
		oreq_writable(OLIST_ENTRY(l, struct ohttp_req, link));
}

void oh2_flush(struct oconn *c)
{
	bool more;

	if (c->in_flush || c->dead || !c->h2 || !c->stream)
		return;
	oconn_enter(c);
	c->in_flush = true;
	do {
		int r;

		c->blocked = false;
		r = nghttp2_session_send(c->h2);
		if (r != 0) {
			oconn_kill(c, false);
			break;
		}
		/* Told to wait for more: the frames are made, the socket comes later. */
		if (c->srv->held && !c->blocked) {
			if (!c->is_due)
				olist_append(&c->srv->due, &c->due);
			c->is_due = true;
			break;
		}
		ohttp_stream_push(c->stream);
		if (c->blocked && ohttp_stream_queued(c->stream) <= ORESP_HIGH)
			more = true;	/* the kernel took it all */
		else
			more = c->writable_due;
		if (c->writable_due)
			tell_writable(c);
	} while (more && !c->dead);
	c->in_flush = false;
	if (!c->dead && !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2)) {
		oconn_kill(c, true);
	} else if (!c->dead && c->n_reqs == 0 && c->closing) {
		oconn_kill(c, true);
	} else if (!c->dead && c->n_reqs == 0 && c->deadline == 0) {
		oconn_deadline(c, oconn_now(c) + c->srv->cfg.idle_timeout_ns);
	}
	oconn_leave(c);
}

void oh2_data(struct oconn *c, const char *p, size_t len)
{
	ssize_t n;

	/* Answers given inside the callbacks are queued; one flush sends them together. */
	c->in_flush = true;
	n = nghttp2_session_mem_recv(c->h2, (const uint8_t *)p, len);
	c->in_flush = false;
	if (c->dead)
		return;
	if (n < 0) {
		c->srv->stats.bad++;
		(void)nghttp2_session_send(c->h2);	/* a GOAWAY that says why */
		oconn_kill(c, true);
		return;
	}
	if (c->deadline && c->n_reqs)
		c->deadline = 0;
	oh2_flush(c);
}

void oh2_notice(struct oconn *c)
{
	(void)nghttp2_submit_shutdown_notice(c->h2);
	oh2_flush(c);
}

void oh2_goaway(struct oconn *c)
{
	c->closing = true;
	(void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2),
				    NGHTTP2_NO_ERROR, NULL, 0);
	oh2_flush(c);
}

int oh2_start(struct oconn *c)
{
	nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->srv->cfg.max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->srv->cfg.max_head_bytes },
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	int r = -ENOMEM;

	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
		goto out;
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_max_outbound_ack(opt, 200);
	nghttp2_option_set_max_send_header_block_length(opt, 65536);
	nghttp2_option_set_no_closed_streams(opt, 1);
	if (nghttp2_option_set_stream_reset_rate_limit)
		nghttp2_option_set_stream_reset_rate_limit(opt, 2 * RESET_BURST, 2 * RESET_RATE);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	if (nghttp2_session_server_new2(&c->h2, cb, c, opt))
		goto out;
	c->reset_tokens = RESET_BURST;
	c->ping_tokens = PING_BURST;
	c->bucket_ns = oconn_now(c);
	if (nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, iv, 3) ||
	    nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW))
		goto out;
	r = 0;
	oh2_flush(c);
out:
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	return r;
}

void oh2_free(struct oconn *c)
{
	nghttp2_session *ng = c->h2;

	c->h2 = NULL;
	nghttp2_session_del(ng);
}
