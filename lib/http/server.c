/* The server: connections, what they may cost, how long they may take. */
#include "ohttp.h"
#include "internal.h"

#include "base/omem.h"
#include "base/otime.h"
#include "tls/otls.h"

#include <orlop/inline/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND		UINT64_C(1000000000)
#define SWEEP_NS	(10 * SECOND)		/* at least this often while connections are open */
#define EOF_GRACE_NS	SECOND
#define SWEEP_MIN_NS	(SECOND / 4)
/*
 * Draining: who has just sent a request on a connection that seemed idle must not find it closed. So it
 * stays for a while, and an answer says Connection: close; HTTP/2 is told first and refused later.
 */
#define DRAIN_IDLE_NS	(3 * SECOND)
#define DRAIN_NOTICE_NS	SECOND
/*
 * They go one by one: each who goes comes back with a TLS handshake, and a hundred of those at once would
 * keep everybody waiting.
 */
#define DRAIN_STEP_NS	(SECOND / 100)
#define DRAIN_ALL_NS	(2 * SECOND)

static void sweep(void *arg);

static uint64_t now(const struct ohttp_server *s)
{
	return s->cfg.h->now_mono(s->cfg.h);
}

uint64_t oconn_now(const struct oconn *c)
{
	return now(c->srv);
}

const char *oserver_date(struct ohttp_server *s)
{
	uint64_t wall = s->cfg.h->now_wall(s->cfg.h);

	if (s->date_s != wall / SECOND + 1) {
		s->date_s = wall / SECOND + 1;
		otime_format_http((int64_t)wall, s->date);
	}
	return s->date;
}

static void arm(struct ohttp_server *s, uint64_t at)
{
	uint64_t t;

	if (s->armed && s->armed <= at)
		return;
	t = now(s);
	s->armed = at;
	s->cfg.h->timer_set(s->timer, at > t ? at - t : 1, 0);
}

void oconn_deadline(struct oconn *c, uint64_t at)
{
	c->deadline = at;
	if (at)
		arm(c->srv, at);
}

/* ---- life of a connection --------------------------------------------------------------------- */

void oconn_enter(struct oconn *c)
{
	c->busy++;
	c->srv->busy++;
}

static void conn_free(struct oconn *c)
{
	struct ohttp_server *s = c->srv;
	struct olist *l;

	c->busy++;		/* handlers may still touch their other requests of this connection */
	while ((l = olist_first(&c->reqs)) != NULL)
		oreq_lost(OLIST_ENTRY(l, struct ohttp_req, link));
	oh2_free(c);
	obuf_done(&c->in);
	olist_del(&c->link);
	if (c->is_due)
		olist_del(&c->due);
	s->stats.open--;
	omem_free(c);
	if (s->draining && s->drained && olist_empty(&s->conns))
		arm(s, now(s));		/* told from the loop */
}

void oconn_leave(struct oconn *c)
{
	struct ohttp_server *s = c->srv;

	if (--c->busy == 0 && c->dead)
		conn_free(c);
	s->busy--;
}

void oconn_kill(struct oconn *c, bool gently)
{
	struct ohttp_stream *st = c->stream;

	if (c->dead)
		return;
	/* Parts of bodies may wait in the stream, which lives on for a moment. */
	OLIST_FOREACH(l, &c->reqs)
		if (st)
			outq_retire(ohttp_stream_outq(st), &OLIST_ENTRY(l, struct ohttp_req, link)->out);
	c->dead = true;
	c->closing = true;
	c->stream = NULL;
	if (gently)
		ohttp_stream_close(st);
	else
		ohttp_stream_abort(st);
	if (c->busy == 0)
		conn_free(c);
}

void oconn_idle(struct oconn *c)
{
	uint64_t idle_ns = c->srv->cfg.idle_timeout_ns;

	uint64_t from = oconn_now(c);

	if (c->srv->draining && c->drain_at > from)
		from = c->drain_at;
	if (c->srv->draining && idle_ns > DRAIN_IDLE_NS)
		idle_ns = DRAIN_IDLE_NS;
	if (c->closing || c->saw_eof || c->srv->ending)
		oconn_kill(c, true);
	else
		oconn_deadline(c, from + idle_ns);
}

static void on_data(void *arg, const char *p, size_t len)
{
	struct oconn *c = arg;

	oconn_enter(c);
	if (c->h2)
		oh2_data(c, p, len);
	else
		oh1_data(c, p, len);
	oconn_leave(c);
}

static void on_eof(void *arg)
{
	struct oconn *c = arg;
	struct olist *l = olist_first(&c->reqs);
	struct ohttp_req *r = l ? OLIST_ENTRY(l, struct ohttp_req, link) : NULL;

	oconn_enter(c);
	c->saw_eof = true;
	/*
	 * A client may half-close and wait for its one answer, or be gone altogether: the two look
	 * alike, so it gets a moment. A stream without reader is over.
	 */
	if (c->h2 || !r || !r->remote_done || (r->started && !r->answered))
		oconn_kill(c, true);
	else
		oconn_deadline(c, oconn_now(c) + EOF_GRACE_NS);
	oconn_leave(c);
}

static void on_drained(void *arg)
{
	struct oconn *c = arg;

	oconn_enter(c);
	if (c->h2) {
		oh2_flush(c);
	} else {
		struct olist *l = olist_first(&c->reqs);

		if (l)
			oreq_writable(OLIST_ENTRY(l, struct ohttp_req, link));
		if (!c->dead && c->stream)
			oh1_kick(c);
	}
	oconn_leave(c);
}

static void drain_h2(struct oconn *c)
{
	if (c->goaway_at || c->closing)
		return;
	if (c->srv->ending) {
		oh2_goaway(c);
		return;
	}
	c->goaway_at = oconn_now(c) + DRAIN_NOTICE_NS;
	arm(c->srv, c->goaway_at);
	oh2_notice(c);
}

static void drain_conn(struct oconn *c, void *arg)
{
	(void)arg;
	if (c->tls_wait)
		return;		/* on_ready() comes back to it */
	if (c->h2 && !c->closing) {
		if (c->drain_at <= oconn_now(c))
			drain_h2(c);
		else
			arm(c->srv, c->drain_at);
	} else if (!c->h2 && c->n_reqs == 0 && !c->in_head) {
		oconn_idle(c);
	}
}

static void on_ready(void *arg)
{
	struct oconn *c = arg;

	oconn_enter(c);
	c->tls_wait = false;
	if (strcmp(ohttp_stream_alpn(c->stream), "h2") == 0 && oh2_start(c) < 0)
		oconn_kill(c, false);
	else if (c->srv->draining)
		drain_conn(c, NULL);
	oconn_leave(c);
}

static void on_closed(void *arg, int err)
{
	struct oconn *c = arg;

	(void)err;
	if (c->tls_wait)
		c->srv->stats.tls_failed++;
	c->stream = NULL;
	c->dead = true;
	c->closing = true;
	if (c->busy == 0)
		conn_free(c);
}

static const struct ohttp_stream_ops conn_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.ready = on_ready,
	.closed = on_closed,
};

/* Makes room by closing the connection that has been idle longest. */
static bool evict(struct ohttp_server *s)
{
	OLIST_FOREACH(l, &s->conns) {
		struct oconn *c = OLIST_ENTRY(l, struct oconn, link);

		if (c->n_reqs == 0 && !c->tls_wait && !c->busy && c->in.len == 0 && c->stream) {
			oconn_kill(c, false);
			return true;
		}
	}
	return false;
}

int ohttp_server_accept(struct ohttp_server *s, int take_fd, const char *peer)
{
	struct oconn *c;
	int r;

	if (s->draining || (s->stats.open >= s->cfg.max_connections && !evict(s))) {
		s->stats.refused++;
		close(take_fd);
		return -EMFILE;
	}
	c = OMEM_NEW(struct oconn);
	if (!c) {
		close(take_fd);
		return -ENOMEM;
	}
	c->srv = s;
	olist_init(&c->reqs);
	obuf_init(&c->in);
	snprintf(c->peer, sizeof(c->peer), "%s", peer ? peer : "");
	c->tls_wait = s->cfg.tls != NULL;
	r = ohttp_stream_new(s->cfg.h, take_fd, s->cfg.tls, NULL, &conn_ops, c, &c->stream);
	if (r < 0) {
		omem_free(c);
		return r;
	}
	ohttp_stream_join(c->stream, &s->streams);
	olist_append(&s->conns, &c->link);
	s->stats.connections++;
	s->stats.open++;
	oconn_deadline(c, now(s) + s->cfg.head_timeout_ns);
	arm(s, now(s) + SWEEP_NS);
	return 0;
}

static void on_accept(void *arg, int32_t fd, const char *peer)
{
	(void)ohttp_server_accept(arg, fd, peer);
}

/* Calls @fn for each; it may end any connection. */
static void each_conn(struct ohttp_server *s, void (*fn)(struct oconn *c, void *arg), void *arg)
{
	struct olist *l = s->conns.next;

	if (l != &s->conns)
		oconn_enter(OLIST_ENTRY(l, struct oconn, link));
	while (l != &s->conns) {
		struct oconn *c = OLIST_ENTRY(l, struct oconn, link);
		struct olist *next;

		if (!c->dead)
			fn(c, arg);
		next = l->next;		/* a connection that is entered stays in the list */
		if (next != &s->conns)
			oconn_enter(OLIST_ENTRY(next, struct oconn, link));
		oconn_leave(c);
		l = next;
	}
}

/* ---- time --------------------------------------------------------------------------------------- */

/* True: the connection's time is up. */
static bool check_conn(struct oconn *c, uint64_t t, uint64_t *next)
{
	const struct ohttp_server_config *cfg = &c->srv->cfg;
	bool late = false;

	if (!c->stream)
		return false;
	if (c->srv->draining && c->h2 && !c->goaway_at && !c->closing) {
		if (c->drain_at <= t)
			drain_h2(c);
		else if (c->drain_at < *next)
			*next = c->drain_at;
		if (c->dead || !c->stream)
			return false;
	}
	if (c->goaway_at && c->goaway_at <= t) {
		if (!c->closing)
			oh2_goaway(c);	/* and, if nothing is open, the end */
		if (c->dead || !c->stream)
			return false;
	} else if (c->goaway_at && c->goaway_at < *next) {
		*next = c->goaway_at;
	}
	if (ohttp_stream_queued(c->stream)) {
		uint64_t sent = ohttp_stream_sent(c->stream);

		if (sent != c->progress || c->progress_ns == 0) {
			c->progress = sent;
			c->progress_ns = t;
		} else if (t - c->progress_ns >= cfg->write_timeout_ns) {
			return true;
		}
		if (c->progress_ns + cfg->write_timeout_ns < *next)
			*next = c->progress_ns + cfg->write_timeout_ns;
	} else {
		c->progress_ns = 0;
	}
	OLIST_FOREACH(l, &c->reqs) {
		struct ohttp_req *r = OLIST_ENTRY(l, struct ohttp_req, link);

		if (!r->deadline)
			continue;
		if (r->deadline <= t && c->h2) {
			/* The other streams of this connection are not to blame. */
			r->deadline = 0;
			c->srv->stats.timeouts++;
			oh2_abort(r);
			late = true;
			continue;
		}
		if (r->deadline <= t)
			return true;
		if (r->deadline < *next)
			*next = r->deadline;
	}
	if (late)
		oh2_flush(c);
	if (c->deadline && c->deadline <= t)
		return true;
	if (c->deadline && c->deadline < *next)
		*next = c->deadline;
	return false;
}

struct sweep {
	uint64_t	t;
	uint64_t	next;
};

static void sweep_conn(struct oconn *c, void *arg)
{
	struct sweep *sw = arg;

	if (!check_conn(c, sw->t, &sw->next))
		return;
	if (c->n_reqs || c->in_head || c->tls_wait)
		c->srv->stats.timeouts++;
	if (c->h2 && c->n_reqs == 0)
		oh2_goaway(c);
	oconn_kill(c, c->n_reqs == 0 && !c->in_head);
}

static void sweep(void *arg)
{
	struct ohttp_server *s = arg;
	struct sweep sw = { .t = now(s) };

	sw.next = sw.t + SWEEP_NS;
	s->armed = 0;
	each_conn(s, sweep_conn, &sw);
	if (!olist_empty(&s->conns)) {
		uint64_t least = sw.t + (s->draining ? DRAIN_STEP_NS : SWEEP_MIN_NS);

		arm(s, sw.next > least ? sw.next : least);
	} else if (s->draining && s->drained) {
		orlop_cb cb = s->drained;

		s->drained = NULL;
		cb(s->drained_arg);	/* may free the server */
	}
}

/* ---- many streams at once ------------------------------------------------------------------------- */

void ohttp_server_hold(struct ohttp_server *s)
{
	s->held++;
}

void ohttp_server_release(struct ohttp_server *s)
{
	struct olist *l;

	if (!s->held || --s->held)
		return;
	while ((l = olist_shift(&s->due)) != NULL) {
		struct oconn *c = OLIST_ENTRY(l, struct oconn, due);

		c->is_due = false;
		oh2_flush(c);
	}
}

/* ---- life of the server --------------------------------------------------------------------------- */

int ohttp_server_new(const struct ohttp_server_config *cfg, struct ohttp_server **ret, struct orlop_error *err)
{
	struct ohttp_server *s = OMEM_NEW(struct ohttp_server);
	int r;

	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory for an HTTP server");
	s->cfg = *cfg;
	olist_init(&s->conns);
	olist_init(&s->due);
	olist_init(&s->streams);
#define DEFAULT(member, value) (s->cfg.member = s->cfg.member ? s->cfg.member : (value))
	DEFAULT(max_connections, 10000);
	DEFAULT(max_streams, 250);
	DEFAULT(max_head_bytes, 65536);
	DEFAULT(max_headers, 256);
	DEFAULT(max_target_bytes, 16384);
	DEFAULT(head_timeout_ns, 10 * SECOND);
	DEFAULT(body_timeout_ns, 30 * SECOND);
	DEFAULT(idle_timeout_ns, 180 * SECOND);
	DEFAULT(write_timeout_ns, 60 * SECOND);
#undef DEFAULT
	if (s->cfg.max_headers > 256)
		s->cfg.max_headers = 256;
	r = cfg->h->timer_new(cfg->h, sweep, s, &s->timer);
	if (r < 0) {
		omem_free(s);
		return orlop_fail(err, -r, 0, "", "no memory for a timer");
	}
	if (cfg->listen) {
		r = cfg->h->listen(cfg->h, cfg->listen, on_accept, s, &s->listener, err);
		if (r < 0) {
			ohttp_server_free(s);
			return r;
		}
	}
	*ret = s;
	return 0;
}

void ohttp_server_addr(struct ohttp_server *s, char *buf, size_t size)
{
	if (s->listener)
		s->cfg.h->listener_addr(s->listener, buf, size);
	else if (size)
		buf[0] = '\0';
}

void ohttp_server_stats(const struct ohttp_server *s, struct ohttp_server_stats *ret)
{
	*ret = s->stats;
}

void ohttp_server_drain(struct ohttp_server *s, orlop_cb done, void *arg)
{
	uint64_t at = now(s);
	uint64_t step;
	uint64_t n = 0;

	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	if (s->listener) {
		s->cfg.h->listener_close(s->listener);
		s->listener = NULL;
	}
	OLIST_FOREACH(l, &s->conns)
		n++;
	step = DRAIN_ALL_NS / (n ? n : 1);
	if (step > DRAIN_STEP_NS)
		step = DRAIN_STEP_NS;
	OLIST_FOREACH(l, &s->conns) {
		OLIST_ENTRY(l, struct oconn, link)->drain_at = at;
		at += step;
	}
	each_conn(s, drain_conn, NULL);
	s->armed = 0;
	arm(s, now(s));
}

void ohttp_server_end(struct ohttp_server *s)
{
	s->ending = true;
	ohttp_server_drain(s, NULL, NULL);
	OLIST_FOREACH(l, &s->conns)
		OLIST_ENTRY(l, struct oconn, link)->drain_at = 0;
	each_conn(s, drain_conn, NULL);
}

uint32_t ohttp_server_unsent(struct ohttp_server *s)
{
	uint32_t n = 0;

	OLIST_FOREACH(l, &s->conns) {
		struct oconn *c = OLIST_ENTRY(l, struct oconn, link);
		bool any = false;

		OLIST_FOREACH(k, &c->reqs)
			any = any || OLIST_ENTRY(k, struct ohttp_req, link)->answered;
		n += any && !c->dead;
	}
	return n + ohttp_streams_unsent(&s->streams);
}

void ohttp_server_free(struct ohttp_server *s)
{
	struct olist *l;

	if (!s)
		return;
	s->drained = NULL;
	if (s->listener)
		s->cfg.h->listener_close(s->listener);
	while ((l = olist_first(&s->conns)) != NULL) {
		struct oconn *c = OLIST_ENTRY(l, struct oconn, link);

		if (c->dead)
			conn_free(c);
		else
			oconn_kill(c, false);
	}
	ohttp_streams_leave(&s->streams);
	s->cfg.h->timer_free(s->timer);
	omem_free(s);
}
