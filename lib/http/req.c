/* Requests: what handlers see of them, and their answers above the two protocols. */
#include "ohttp.h"
#include "internal.h"

#include "base/omem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

struct ohttp_req *oreq_new(struct oconn *c)
{
	struct ohttp_req *r = OMEM_NEW(struct ohttp_req);

	if (!r)
		return NULL;
	r->conn = c;
	olist_append(&c->reqs, &r->link);
	c->n_reqs++;
	c->srv->stats.active++;
	return r;
}

void oreq_free(struct ohttp_req *r)
{
	olist_del(&r->link);
	r->conn->n_reqs--;
	r->conn->srv->stats.active--;
	if (r->conn->stream)
		outq_retire(ohttp_stream_outq(r->conn->stream), &r->out);
	outq_done(&r->out);
	obuf_done(&r->body);
	obuf_done(&r->hdr_text);
	omem_free(r->headers);
	omem_free(r->block);
	omem_free(r);
}

void oreq_lost(struct ohttp_req *r)
{
	ohttp_body_fn body_cb = r->body_cb;

	if (!r->answered && r->head_done) {
		r->answered = true;
		r->body_cb = NULL;
		if (r->close_cb)
			r->close_cb(r->close_arg, r);
		else if (body_cb && r->body_state == OBODY_COLLECT)
			body_cb(r->body_arg, r, -ECONNRESET, (struct orlop_bytes){ NULL, 0 });
	}
	oreq_free(r);
}

/* ---- body ---------------------------------------------------------------------------------------- */

static void too_large(struct ohttp_req *r)
{
	static const char text[] = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
		"\"message\":\"Request entity too large: limit is %zu\",\"reason\":\"RequestEntityTooLarge\",\"code\":413}\n";
	ohttp_body_fn cb = r->body_cb;
	char buf[sizeof(text) + 24];
	int n = snprintf(buf, sizeof(buf), text, r->body_max);

	r->body_cb = NULL;
	r->body_state = OBODY_DISCARD;
	obuf_done(&r->body);
	if (cb)
		cb(r->body_arg, r, -EMSGSIZE, (struct orlop_bytes){ NULL, 0 });
	ohttp_reply_text(r, 413, "application/json", buf, (size_t)n);
}

void oreq_body_data(struct ohttp_req *r, const char *p, size_t len)
{
	switch (r->body_state) {
	case OBODY_WAIT:		/* HTTP/2 only: held by the window */
		obuf_append(&r->body, p, len);
		break;
	case OBODY_COLLECT:
		if (r->body.len + len > r->body_max) {
			too_large(r);
			return;
		}
		obuf_append(&r->body, p, len);
		break;
	case OBODY_STREAM:
		r->chunk_cb(r->body_arg, r, p, len, false);
		break;
	default:
		break;
	}
}

static void give_body(struct ohttp_req *r)
{
	ohttp_body_fn cb = r->body_cb;

	if (r->body_state == OBODY_COLLECT) {
		r->body_state = OBODY_DONE;
		r->body_cb = NULL;
		if (obuf_err(&r->body)) {
			cb(r->body_arg, r, -ENOMEM, (struct orlop_bytes){ NULL, 0 });
			ohttp_abort(r);
			return;
		}
		cb(r->body_arg, r, 0, (struct orlop_bytes){ obuf_cstr(&r->body), r->body.len });
	} else if (r->body_state == OBODY_STREAM) {
		r->body_state = OBODY_DONE;
		r->chunk_cb(r->body_arg, r, "", 0, true);
	}
}

void oreq_body_end(struct ohttp_req *r)
{
	r->remote_done = true;
	r->deadline = 0;
	if (!r->answered)
		give_body(r);
}

static void body_wanted(struct ohttp_req *r)
{
	struct oconn *c = r->conn;

	oconn_enter(c);
	if (r->version == 20) {
		oh2_body_wanted(r);
	} else if (r->remote_done) {
		give_body(r);
	} else {
		if (r->expect_continue)
			oh1_continue(r);
		oh1_kick(c);
	}
	oconn_leave(c);
}

void ohttp_body_read(struct ohttp_req *r, size_t max_bytes, ohttp_body_fn cb, void *arg)
{
	r->body_state = OBODY_COLLECT;
	r->body_max = max_bytes;
	r->body_cb = cb;
	r->body_arg = arg;
	/*
	 * Announced as too long: said before "100 Continue" invites it. Whoever sends it meets a closed
	 * connection, and its reset may overtake the answer.
	 */
	if (r->body.len > max_bytes ||
	    (r->version != 20 && !r->remote_done && r->conn->h1body.left > max_bytes)) {
		too_large(r);
		return;
	}
	body_wanted(r);
}

void ohttp_body_take(struct ohttp_req *r, struct obuf *ret)
{
	*ret = r->body;
	obuf_init(&r->body);
}

void ohttp_body_stream(struct ohttp_req *r, ohttp_chunk_fn cb, void *arg)
{
	struct obuf held = r->body;
	struct oconn *c = r->conn;

	r->body_state = OBODY_STREAM;
	r->chunk_cb = cb;
	r->body_arg = arg;
	obuf_init(&r->body);
	oconn_enter(c);
	if (held.len)
		cb(arg, r, held.data, held.len, false);
	obuf_done(&held);
	if (!r->answered)
		body_wanted(r);
	oconn_leave(c);
}

/* ---- what was asked --------------------------------------------------------------------------------- */

struct orlop_bytes ohttp_method(const struct ohttp_req *r) { return r->method; }
struct orlop_bytes ohttp_path(const struct ohttp_req *r) { return r->path; }
struct orlop_bytes ohttp_query(const struct ohttp_req *r) { return r->query; }
struct orlop_bytes ohttp_authority(const struct ohttp_req *r) { return r->authority; }
int ohttp_version(const struct ohttp_req *r) { return r->version; }
const char *ohttp_peer_addr(const struct ohttp_req *r) { return r->conn->peer; }
void ohttp_set_user(struct ohttp_req *r, void *user) { r->user = user; }
void *ohttp_user(const struct ohttp_req *r) { return r->user; }

const struct otls_peer *ohttp_peer(const struct ohttp_req *r)
{
	return r->conn->stream ? ohttp_stream_peer(r->conn->stream) : NULL;
}

struct orlop_bytes ohttp_header(const struct ohttp_req *r, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < r->n_headers; i++)
		if (r->headers[i].name.len == len && strncasecmp(r->headers[i].name.p, name, len) == 0)
			return r->headers[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

size_t ohttp_headers(const struct ohttp_req *r, const struct ohttp_header **ret)
{
	*ret = r->headers;
	return r->n_headers;
}

bool ohttp_accepts_gzip(const struct ohttp_req *r)
{
	return ohttp_has_token(ohttp_header(r, "accept-encoding"), "gzip");
}

void ohttp_on_close(struct ohttp_req *r, void (*cb)(void *arg, struct ohttp_req *r), void *arg)
{
	r->close_cb = cb;
	r->close_arg = arg;
}

bool ohttp_wants_upgrade(const struct ohttp_req *r, const char *protocol)
{
	if (!r->wants_upgrade)
		return false;
	return !protocol[0] || ohttp_has_token(ohttp_header(r, "upgrade"), protocol);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void head(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n, int64_t length)
{
	r->started = true;
	r->no_body = r->is_head || status == 204 || status == 304 || status < 200;
	if (r->version == 20)
		oh2_head(r, status, hdr, n, length);
	else
		oh1_head(r, status, hdr, n, length);
}

static void release_all(const struct ohttp_piece *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].release)
			v[i].release(v[i].arg);
}

static void put(struct ohttp_req *r, const struct ohttp_piece *v, size_t n)
{
	if (r->no_body || r->conn->dead)
		release_all(v, n);
	else if (r->version == 20)
		oh2_write(r, v, n);
	else
		oh1_write(r, v, n);
}

static void flush(struct oconn *c)
{
	if (c->dead || !c->stream)
		return;
	if (c->h2)
		oh2_flush(c);
	else
		ohttp_stream_push(c->stream);
}

/* The user has let go of @r. */
static void finish(struct ohttp_req *r)
{
	struct oconn *c = r->conn;

	r->answered = true;
	r->close_cb = NULL;
	r->writable_cb = NULL;
	if (r->version == 20)
		oh2_end(r);
	else
		oh1_end(r);
	flush(c);
	if (!c->h2 && !c->dead && !c->upgraded)
		oh1_kick(c);
}

void ohttp_reply(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		 const struct ohttp_piece *v, size_t n)
{
	struct oconn *c = r->conn;
	size_t len = 0;

	oconn_enter(c);
	for (size_t i = 0; i < n; i++)
		len += v[i].len;
	head(r, status, hdr, n_hdr, (int64_t)len);
	put(r, v, n);
	finish(r);
	oconn_leave(c);
}

void ohttp_reply_text(struct ohttp_req *r, int status, const char *type, const void *p, size_t len)
{
	struct ohttp_header hdr = { { "Content-Type", 12 }, { type, strlen(type) } };
	struct ohttp_piece piece = { .len = len };
	char *copy = omem_dup(p, len);

	if (!copy) {
		ohttp_abort(r);
		return;
	}
	piece.p = copy;
	piece.release = omem_free;
	piece.arg = copy;
	ohttp_reply(r, status, &hdr, 1, &piece, 1);
}

/* Level 1: what the network saves must not cost the loop more. NULL without memory. */
static char *deflate_all(const struct ohttp_piece *v, const struct orlop_bytes *spans, size_t n, size_t total,
			 size_t *ret_len)
{
	z_stream z;
	uLong bound;
	char *out;
	int r = Z_OK;

	memset(&z, 0, sizeof(z));
	if (total > UINT_MAX / 2 || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	bound = deflateBound(&z, (uLong)total);
	out = omem_alloc(bound);
	if (out) {
		z.next_out = (Bytef *)out;
		z.avail_out = (uInt)bound;
		for (size_t i = 0; i < n && r == Z_OK; i++) {
			z.next_in = (Bytef *)(uintptr_t)(spans ? spans[i].p : v[i].p);
			z.avail_in = (uInt)(spans ? spans[i].len : v[i].len);
			if (z.avail_in)
				r = deflate(&z, Z_NO_FLUSH);
		}
		if (r != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END) {
			omem_free(out);
			out = NULL;
		}
		*ret_len = z.total_out;
	}
	deflateEnd(&z);
	return out;
}

static void reply_deflated(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr, char *out, size_t len)
{
	struct ohttp_piece piece = { .release = omem_free };
	struct ohttp_header more[32];

	memcpy(more, hdr, n_hdr * sizeof(*hdr));
	more[n_hdr++] = ohttp_header_cstr("Content-Encoding", "gzip");
	more[n_hdr++] = ohttp_header_cstr("Vary", "Accept-Encoding");
	piece.p = out;
	piece.len = len;
	piece.arg = out;
	ohttp_reply(r, status, more, n_hdr, &piece, 1);
}

void ohttp_reply_gzip(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		      const struct ohttp_piece *v, size_t n, size_t min_bytes)
{
	size_t total = 0;
	size_t len = 0;
	char *out;

	for (size_t i = 0; i < n; i++)
		total += v[i].len;
	out = total >= min_bytes && n_hdr < 30 && ohttp_accepts_gzip(r) ? deflate_all(v, NULL, n, total, &len) : NULL;
	if (!out) {
		ohttp_reply(r, status, hdr, n_hdr, v, n);
		return;
	}
	release_all(v, n);
	reply_deflated(r, status, hdr, n_hdr, out, len);
}

void ohttp_reply_spans(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		       const struct orlop_bytes *v, size_t n, size_t min_bytes, void (*release)(void *arg), void *arg)
{
	struct oconn *c = r->conn;
	size_t total = 0;
	size_t len = 0;
	char *out;

	for (size_t i = 0; i < n; i++)
		total += v[i].len;
	out = total >= min_bytes && n_hdr < 30 && ohttp_accepts_gzip(r) ? deflate_all(NULL, v, n, total, &len) : NULL;
	if (out) {
		release(arg);
		reply_deflated(r, status, hdr, n_hdr, out, len);
		return;
	}
	oconn_enter(c);
	head(r, status, hdr, n_hdr, (int64_t)total);
	if (r->no_body || c->dead)
		release(arg);
	else if (r->version == 20)
		oh2_write_spans(r, v, n, release, arg);
	else
		oh1_write_spans(r, v, n, release, arg);
	finish(r);
	oconn_leave(c);
}

void ohttp_reply_start(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr)
{
	struct oconn *c = r->conn;

	oconn_enter(c);
	head(r, status, hdr, n_hdr, -1);
	flush(c);
	if (c->saw_eof && !c->h2)
		oconn_kill(c, true);	/* nobody is there to read a stream */
	oconn_leave(c);
}

int ohttp_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n)
{
	struct oconn *c = r->conn;

	oconn_enter(c);
	put(r, v, n);
	if (ohttp_queued(r) > r->writable_low)
		r->high = true;
	flush(c);
	oconn_leave(c);
	return 0;
}

int ohttp_write_copy(struct ohttp_req *r, const void *p, size_t len)
{
	struct ohttp_piece piece = { .len = len, .release = omem_free };
	char *copy = omem_dup(p, len);

	if (!copy) {
		/* An answer with a hole must not end as if it were whole. */
		if (r->version == 20)
			oh2_abort(r);
		else if (r->conn->stream)
			ohttp_stream_fail(r->conn->stream, -ENOMEM);
		return -ENOMEM;
	}
	piece.p = copy;
	piece.arg = copy;
	return ohttp_write(r, &piece, 1);
}

size_t ohttp_queued(const struct ohttp_req *r)
{
	if (r->version == 20)
		return r->out.bytes;
	return r->conn->stream ? ohttp_stream_queued(r->conn->stream) : 0;
}

void ohttp_on_writable(struct ohttp_req *r, size_t low, void (*cb)(void *arg, struct ohttp_req *r), void *arg)
{
	r->writable_cb = cb;
	r->writable_arg = arg;
	r->writable_low = low;
	r->high = ohttp_queued(r) > low;
	if (r->version != 20 && r->conn->stream)
		ohttp_stream_low_water(r->conn->stream, low);
}

void oreq_writable(struct ohttp_req *r)
{
	if (!r->high || r->answered || !r->writable_cb || ohttp_queued(r) > r->writable_low)
		return;
	r->high = false;
	r->writable_cb(r->writable_arg, r);
}

void ohttp_end(struct ohttp_req *r)
{
	struct oconn *c = r->conn;

	oconn_enter(c);
	finish(r);
	oconn_leave(c);
}

void ohttp_abort(struct ohttp_req *r)
{
	struct oconn *c = r->conn;

	oconn_enter(c);
	r->answered = true;
	r->close_cb = NULL;
	r->writable_cb = NULL;
	if (r->version == 20) {
		oh2_abort(r);
		flush(c);
	} else {
		oconn_kill(c, false);
	}
	oconn_leave(c);
}

int ohttp_upgrade(struct ohttp_req *r, const char *protocol, const struct ohttp_header *hdr, size_t n_hdr,
		  const struct ohttp_stream_ops *ops, void *arg, struct ohttp_stream **ret)
{
	struct oconn *c = r->conn;
	struct ohttp_stream *s = c->stream;
	struct ohttp_header *more;

	if (r->version == 20 || !r->wants_upgrade || !s || r->started)
		return -EPROTO;
	more = omem_alloc_array(n_hdr + 2, sizeof(*more));
	if (!more)
		return -ENOMEM;
	oconn_enter(c);
	more[0] = ohttp_header_cstr("Connection", "Upgrade");
	more[1] = ohttp_header_cstr("Upgrade", protocol);
	if (n_hdr)
		memcpy(more + 2, hdr, n_hdr * sizeof(*hdr));
	head(r, 101, more, n_hdr + 2, -1);
	omem_free(more);
	r->answered = true;
	r->close_cb = NULL;
	c->upgraded = true;
	ohttp_stream_low_water(s, OHTTP_STREAM_LOW_WATER);
	ohttp_stream_set(s, ops, arg);
	ohttp_stream_resume(s);
	*ret = s;
	ohttp_stream_push(s);
	oh1_kick(c);		/* hands over what came behind the request, now or when the reader returns */
	oconn_leave(c);
	return 0;
}
