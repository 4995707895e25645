/* The server side of kubectl port-forward. */
#include "oforward.h"
#include "ospdy.h"
#include "ows.h"

#include "base/obuf.h"
#include "base/oenc.h"
#include "base/olist.h"
#include "base/omem.h"
#include "base/ostr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TUNNEL		"SPDY/3.1+portforward.k8s.io"
#define HIGH_WATER	(256u * 1024)
#define MAX_CONNS	256u
#define MAX_PORTS	64u		/* of a WebSocket with channels */

struct oforward_conn {
	struct oforward		*f;
	struct olist		link;
	char			*id;		/* requestID */
	uint16_t		port;
	struct ospdy_stream	*error;		/* NULL: not there yet, or finished */
	struct ospdy_stream	*data;
	unsigned int		channel;	/* without SPDY: of its data; that of its error is the next */
	struct ohttp_stream	*pod;
	struct obuf		early;		/* from the client, before the pod is connected */
	bool			early_end;
	bool			dialling;
	bool			paused;		/* the pod's output, because the client is slow */
	bool			over;
};

struct oforward {
	const struct orlop_host		*h;
	const struct oforward_ops	*ops;
	void				*arg;
	struct ospdy			*spdy;		/* NULL: a WebSocket with two channels for each port, data and error */
	bool				base64;		/* then: text messages for old browsers */
	struct ohttp_stream		*conn;
	struct ows			*ws;
	struct olist			conns;
	uint32_t			n_conns;
	unsigned int			busy;
	bool				held;		/* the client's input, because a pod is slow */
	bool				over;
};

static size_t client_queued(const struct oforward *f)
{
	return f->ws ? ows_queued(f->ws) : f->conn ? ohttp_stream_queued(f->conn) : 0;
}

static void client_hold(struct oforward *f, bool hold)
{
	f->held = hold;
	if (f->ws)
		(hold ? ows_pause : ows_resume)(f->ws);
	else if (f->conn)
		(hold ? ohttp_stream_pause : ohttp_stream_resume)(f->conn);
}

/* What the client still sends on its streams is ignored then. */
static void conn_free(struct oforward_conn *c, bool tell)
{
	struct oforward *f = c->f;

	if (c->over)
		return;
	c->over = true;
	olist_del(&c->link);
	f->n_conns--;
	ohttp_stream_close(c->pod);
	if (c->dialling && tell)
		f->ops->forget(f->arg, c);
	if (c->error)
		ospdy_done(c->error);
	if (c->data)
		ospdy_done(c->data);
	obuf_done(&c->early);
	omem_free(c->id);
	omem_free(c);
}

static void forward_free(struct oforward *f)
{
	if (f->busy)
		return;
	ospdy_free(f->spdy);
	omem_free(f);
}

/* The client has gone. */
static void gone(struct oforward *f)
{
	struct olist *l;

	if (f->over)
		return;
	f->over = true;
	while ((l = olist_first(&f->conns)) != NULL)
		conn_free(OLIST_ENTRY(l, struct oforward_conn, link), true);
	f->ops->closed(f->arg);
}

/* ---- the pod's side ------------------------------------------------------------------------------------- */

/* Without SPDY: to the client on the data (0) or error (1) channel. */
static void channel_write(const struct oforward_conn *c, unsigned int which, const char *p, size_t len)
{
	const struct oforward *f = c->f;
	char head = (char)(c->channel + which + (f->base64 ? '0' : 0));
	char *text = f->base64 ? omem_alloc(OBASE64_ENCODED(len) + 1) : NULL;
	struct orlop_bytes v[2] = { { &head, 1 }, { p, len } };

	if (!f->ws || (f->base64 && !text)) {
		omem_free(text);
		return;
	}
	if (f->base64)
		v[1] = (struct orlop_bytes){ text, obase64_encode(OBASE64_STD, p, len, text) };
	(void)ows_send(f->ws, f->base64 ? OWS_TEXT : OWS_BINARY, v, 2);
	omem_free(text);
}

/* Without SPDY no connection can follow the last one. @f may be gone then. */
static void maybe_last(struct oforward *f)
{
	if (f->spdy || f->n_conns || f->over)
		return;
	ows_close(f->ws, 1000, "");
	f->ws = NULL;
	gone(f);
	forward_free(f);
}

/* Our end of both streams is finished; what the client still sends is ignored. */
static void finish(struct oforward_conn *c, const char *why)
{
	if (!c->f->spdy && *why)
		channel_write(c, 1, why, strlen(why));
	if (c->error)
		(void)ospdy_write(c->error, why, strlen(why), true);
	if (c->data)
		(void)ospdy_write(c->data, "", 0, true);
}

static void pod_data(void *arg, const char *p, size_t len)
{
	struct oforward_conn *c = arg;

	if (!c->f->spdy)
		channel_write(c, 0, p, len);
	else if (c->data)
		(void)ospdy_write(c->data, p, len, false);
	if (client_queued(c->f) > HIGH_WATER) {
		c->paused = true;
		ohttp_stream_pause(c->pod);
	}
}

static void pod_eof(void *arg)
{
	struct oforward_conn *c = arg;

	finish(c, "");
	ohttp_stream_shutdown(c->pod);
}

static void pod_drained(void *arg)
{
	struct oforward_conn *c = arg;

	if (c->f->held)
		client_hold(c->f, false);
}

static void pod_closed(void *arg, int err)
{
	struct oforward_conn *c = arg;
	struct oforward *f = c->f;
	char why[160] = "";

	if (err)
		snprintf(why, sizeof(why), "error forwarding port %u: %s", c->port, ohttp_stream_error(c->pod));
	c->pod = NULL;
	finish(c, why);
	if (f->held)
		client_hold(f, false);
	conn_free(c, false);
	maybe_last(f);
}

static const struct ohttp_stream_ops pod_ops = {
	.data = pod_data,
	.eof = pod_eof,
	.drained = pod_drained,
	.closed = pod_closed,
};

static void to_pod(struct oforward_conn *c, const char *p, size_t len, bool end)
{
	if (!c->pod) {
		obuf_append(&c->early, p, len);
		c->early_end |= end;
	} else {
		if (len)
			(void)ohttp_stream_write(c->pod, p, len);
		if (end)
			ohttp_stream_shutdown(c->pod);
	}
	/* Other connections of this client wait too: there is no window in the protocol. */
	if (!c->f->held && (c->pod ? ohttp_stream_queued(c->pod) : c->early.len) > HIGH_WATER)
		client_hold(c->f, true);
}

void oforward_connected(struct oforward_conn *c, int take_fd)
{
	struct oforward *f = c->f;

	c->dialling = false;
	if (ohttp_stream_new(f->h, take_fd, NULL, NULL, &pod_ops, c, &c->pod) < 0) {
		c->pod = NULL;
		oforward_failed(c, "out of memory");
		return;
	}
	if (f->held)
		client_hold(f, false);
	if (c->early.len || c->early_end) {
		struct obuf early = c->early;

		obuf_init(&c->early);
		to_pod(c, early.data ? early.data : "", early.len, c->early_end);
		obuf_done(&early);
	}
}

void oforward_failed(struct oforward_conn *c, const char *why)
{
	struct oforward *f = c->f;

	c->dialling = false;
	finish(c, why);
	if (f->held)
		client_hold(f, false);
	conn_free(c, false);
	maybe_last(f);
}

/* ---- the client's side ----------------------------------------------------------------------------------- */

static int spdy_send(void *arg, const char *p, size_t len)
{
	struct oforward *f = arg;
	struct orlop_bytes v = { p, len };

	if (f->ws)
		return ows_send(f->ws, OWS_BINARY, &v, 1);
	return f->conn ? ohttp_stream_write(f->conn, p, len) : -EPIPE;
}

static struct oforward_conn *conn_of(struct oforward *f, struct orlop_bytes id)
{
	struct oforward_conn *c;

	OLIST_FOREACH(l, &f->conns)
		if (ostr_is(id.p, id.len, OLIST_ENTRY(l, struct oforward_conn, link)->id))
			return OLIST_ENTRY(l, struct oforward_conn, link);
	if (f->n_conns == MAX_CONNS || (c = OMEM_NEW(struct oforward_conn)) == NULL)
		return NULL;
	c->id = omem_strndup(id.p, id.len);
	if (!c->id) {
		omem_free(c);
		return NULL;
	}
	c->f = f;
	olist_append(&f->conns, &c->link);
	f->n_conns++;
	return c;
}

static int spdy_open(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n)
{
	struct oforward *f = arg;
	struct orlop_bytes type = ospdy_stream_header(st, "streamtype");
	struct orlop_bytes id = ospdy_stream_header(st, "requestid");
	struct orlop_bytes port = ospdy_stream_header(st, "port");
	struct ospdy_stream **slot;
	struct oforward_conn *c;
	uint64_t v;

	(void)hdr;
	(void)n;
	if (!type.p || !port.p || ostr_to_u64(port.p, port.len, &v) < 0 || v == 0 || v > 65535)
		return -EINVAL;
	if (!id.p)
		id = port;	/* clients before requestID: one connection of a port at a time */
	c = conn_of(f, id);
	if (!c)
		return -ENOMEM;
	slot = ostr_is(type.p, type.len, "error") ? &c->error : ostr_is(type.p, type.len, "data") ? &c->data : NULL;
	if (!slot || *slot || (c->port && c->port != v)) {
		if (!c->error && !c->data)
			conn_free(c, false);
		return -EINVAL;
	}
	*slot = st;
	c->port = (uint16_t)v;
	ospdy_stream_set_user(st, c);
	return 0;
}

static void dial_complete(struct oforward *f)
{
	OLIST_FOREACH_SAFE(l, tmp, &f->conns) {
		struct oforward_conn *c = OLIST_ENTRY(l, struct oforward_conn, link);

		if (c->error && c->data && !c->dialling && !c->pod) {
			c->dialling = true;
			f->ops->dial(f->arg, c, c->port);
			return;		/* it may have changed the list; feed() comes back */
		}
	}
}

static void spdy_data(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin)
{
	struct oforward_conn *c = ospdy_stream_user(st);

	(void)arg;
	if (c && st == c->data)
		to_pod(c, p, len, fin);
}

static void spdy_reset(void *arg, struct ospdy_stream *st)
{
	struct oforward_conn *c = ospdy_stream_user(st);

	(void)arg;
	if (!c)
		return;
	if (st == c->error) {
		c->error = NULL;
		return;
	}
	c->data = NULL;
	conn_free(c, true);
}

static void spdy_ended(void *arg, int err)
{
	struct oforward *f = arg;

	(void)err;
	ohttp_stream_close(f->conn);
	f->conn = NULL;
	ows_close(f->ws, 1002, "");
	f->ws = NULL;
	gone(f);
}

static const struct ospdy_ops spdy_ops = { spdy_send, spdy_open, spdy_data, spdy_reset, spdy_ended };

static bool wants_dial(const struct oforward *f)
{
	OLIST_FOREACH(l, &f->conns) {
		const struct oforward_conn *c = OLIST_ENTRY(l, struct oforward_conn, link);

		if (c->error && c->data && !c->dialling && !c->pod)
			return true;
	}
	return false;
}

static void feed(struct oforward *f, const char *p, size_t len)
{
	f->busy++;
	(void)ospdy_feed(f->spdy, p, len);
	while (!f->over && wants_dial(f))
		dial_complete(f);
	f->busy--;
	if (f->over)
		forward_free(f);
}

static void conn_data(void *arg, const char *p, size_t len)
{
	feed(arg, p, len);
}

static void ws_message(void *arg, int type, const char *p, size_t len)
{
	(void)type;
	feed(arg, p, len);
}

/* Without SPDY: a channel's number, then what is for it. */
static void channel_message(void *arg, int type, const char *p, size_t len)
{
	struct oforward *f = arg;
	unsigned int channel = len ? (unsigned char)(p[0] - (f->base64 ? '0' : 0)) : 1;
	char *raw = f->base64 && len ? omem_alloc(OBASE64_DECODED(len) + 1) : NULL;
	long n = raw ? obase64_decode(OBASE64_STD, p + 1, len - 1, raw, NULL) : -1;

	(void)type;
	if (!f->base64)
		n = (long)len - 1;
	OLIST_FOREACH(l, &f->conns) {
		struct oforward_conn *c = OLIST_ENTRY(l, struct oforward_conn, link);

		if (c->channel == channel && n > 0) {
			to_pod(c, f->base64 ? raw : p + 1, (size_t)n, false);
			break;
		}
	}
	omem_free(raw);
}

static void on_drained(void *arg)
{
	struct oforward *f = arg;

	OLIST_FOREACH(l, &f->conns) {
		struct oforward_conn *c = OLIST_ENTRY(l, struct oforward_conn, link);

		if (c->paused && c->pod) {
			c->paused = false;
			ohttp_stream_resume(c->pod);
		}
	}
}

static void client_closed(struct oforward *f)
{
	f->conn = NULL;
	f->ws = NULL;
	f->busy++;
	gone(f);
	f->busy--;
	forward_free(f);
}

static void conn_closed(void *arg, int err)
{
	(void)err;
	client_closed(arg);
}

static const struct ohttp_stream_ops conn_ops = { .data = conn_data, .drained = on_drained, .closed = conn_closed };
static const struct ows_ops ws_ops = { .message = ws_message, .drained = on_drained, .closed = conn_closed };
static const struct ows_ops channel_ops = { .message = channel_message, .drained = on_drained, .closed = conn_closed };

/* The ports of "port=80,81&port=82". How many; -EINVAL. */
static int ports_of(struct orlop_bytes q, uint16_t *ret)
{
	unsigned int n = 0;

	for (size_t at = 0; at < q.len;) {
		const char *amp = memchr(q.p + at, '&', q.len - at);
		size_t end = amp ? (size_t)(amp - q.p) : q.len;

		for (size_t p = at + 5; ostr_starts(q.p + at, end - at, "port=") && p <= end;) {
			const char *comma = memchr(q.p + p, ',', end - p);
			size_t to = comma ? (size_t)(comma - q.p) : end;
			uint64_t v;

			if (n == MAX_PORTS || ostr_to_u64(q.p + p, to - p, &v) < 0 || v == 0 || v > 65535)
				return -EINVAL;
			ret[n++] = (uint16_t)v;
			p = to + 1;
		}
		at = end + 1;
	}
	return n ? (int)n : -EINVAL;
}

/*
 * As browsers and the clients of other languages have it: each port is connected once, at once; the number of the port is
 * the first that both of its channels say. Source: k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go.
 */
static int accept_channels(const struct orlop_host *h, struct ohttp_req *r, const char *protocol, const struct oforward_ops *ops,
			   void *arg, struct oforward **ret)
{
	uint16_t ports[MAX_PORTS];
	int n = ports_of(ohttp_query(r), ports);
	struct oforward *f;
	int e;

	if (n < 0) {
		static const char why[] = "query parameter \"port\" is required, with numbers between 1 and 65535";

		ohttp_reply_text(r, 400, "text/plain", why, sizeof(why) - 1);
		return -EPROTO;
	}
	f = OMEM_NEW(struct oforward);
	if (!f)
		return -ENOMEM;
	f->h = h;
	f->ops = ops;
	f->arg = arg;
	f->base64 = protocol && strstr(protocol, "base64") != NULL;
	olist_init(&f->conns);
	for (int i = 0; i < n; i++) {
		struct oforward_conn *c = OMEM_NEW(struct oforward_conn);

		if (!c) {
			oforward_abort(f);
			return -ENOMEM;
		}
		c->f = f;
		c->port = ports[i];
		c->channel = 2 * (unsigned int)i;
		olist_append(&f->conns, &c->link);
		f->n_conns++;
	}
	e = ows_accept(r, protocol, 0, &channel_ops, f, &f->ws);
	if (e < 0) {
		oforward_abort(f);
		return e;
	}
	*ret = f;
	f->busy++;
	for (int i = 0; i < n && !f->over; i++) {
		OLIST_FOREACH(l, &f->conns) {
			struct oforward_conn *c = OLIST_ENTRY(l, struct oforward_conn, link);
			char le[2] = { (char)(ports[i] & 0xff), (char)(ports[i] >> 8) };

			if (c->channel != 2 * (unsigned int)i)
				continue;
			channel_write(c, 0, le, 2);
			channel_write(c, 1, le, 2);
			c->dialling = true;
			ops->dial(arg, c, c->port);
			break;		/* it may have failed at once */
		}
	}
	f->busy--;
	if (f->over)
		forward_free(f);
	return 0;
}

int oforward_accept(const struct orlop_host *h, struct ohttp_req *r, const struct oforward_ops *ops, void *arg,
		    struct oforward **ret)
{
	static const char *const known[] = { TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", NULL };
	struct ohttp_header proto = OHTTP_HEADER("X-Stream-Protocol-Version", "portforward.k8s.io");
	struct orlop_bytes asked = ohttp_header(r, "x-stream-protocol-version");
	bool ws = ows_wanted(r);
	const char *protocol = ws ? ows_protocol(r, known) : NULL;
	struct oforward *f;
	int e;

	if (!ws && !ohttp_wants_upgrade(r, "SPDY/3.1")) {
		ohttp_reply_text(r, 400, "text/plain", "Upgrade request required", 24);
		return -EPROTO;
	}
	if (ws && (protocol ? strcmp(protocol, TUNNEL) != 0 : ohttp_header(r, "sec-websocket-protocol").p == NULL))
		return accept_channels(h, r, protocol, ops, arg, ret);
	if (ws ? protocol == NULL : asked.p && !ohttp_has_token(asked, "portforward.k8s.io")) {
		ohttp_reply_text(r, 403, "text/plain", "no protocol in common", 21);
		return -EPROTO;
	}
	f = OMEM_NEW(struct oforward);
	if (!f)
		return -ENOMEM;
	f->h = h;
	f->ops = ops;
	f->arg = arg;
	olist_init(&f->conns);
	e = ospdy_new(&spdy_ops, f, &f->spdy);
	if (e == 0 && ws)
		e = ows_accept(r, TUNNEL, 0, &ws_ops, f, &f->ws);
	else if (e == 0)
		e = ohttp_upgrade(r, "SPDY/3.1", &proto, 1, &conn_ops, f, &f->conn);
	if (e < 0) {
		forward_free(f);
		return e;
	}
	if (f->conn)
		ohttp_stream_mind_peer(f->conn);
	*ret = f;
	return 0;
}

void oforward_abort(struct oforward *f)
{
	struct olist *l;

	if (!f)
		return;
	f->over = true;
	while ((l = olist_first(&f->conns)) != NULL)
		conn_free(OLIST_ENTRY(l, struct oforward_conn, link), false);
	ohttp_stream_close(f->conn);
	ows_close(f->ws, 1001, "");
	f->conn = NULL;
	f->ws = NULL;
	forward_free(f);
}
