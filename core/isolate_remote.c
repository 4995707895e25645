/*
 * isolate_remote.c - the bus of an isolated module, in its process: requests of the module go to the
 * parent, requests to it come from there.
 *
 * The process has a bus of its own, for links, limits and order of what is asked of the module; only the
 * core's link asks there, for the parent. What the module itself asks never touches it.
 */
#include "isolate_up.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "host.h"
#include "isolate.h"
#include "isolate_mail.h"
#include "log.h"

/* A request of the module. */
struct up_request {
	struct olist	node;		/* up->requests; up->lock */
	struct core_up	*up;
	struct core_loop *loop;
	struct core_shard *shard;	/* NULL: the core's own */
	uint64_t	id;
	orlop_reply_fn	cb;
	void		*arg;
	bool		cancelled;	/* its end is on the way; on its loop */
	struct core_iso_credit credit;
};

/* An answer on its way to the loop of who asked. */
struct up_answer {
	struct up_request *q;
	struct core_iso_got *got;	/* NULL: cancelled */
};

/* A request to the module. */
struct up_call {
	struct olist	node;		/* up->calls; main loop */
	struct core_up	*up;
	uint64_t	id;
	struct orlop_request *req;
	bool		over;		/* the parent has been told its end */
};

/* ---- requests of the module -------------------------------------------------------------------------------- */

static struct up_request *request_take(struct core_up *up, uint64_t id, bool last)
{
	struct up_request *q;

	pthread_mutex_lock(&up->lock);
	q = last ? omap_del(&up->request_ids, &id, sizeof(id)) : omap_get(&up->request_ids, &id, sizeof(id));
	if (q && last)
		olist_del(&q->node);
	pthread_mutex_unlock(&up->lock);
	return q;
}

static void answered(void *arg)
{
	struct up_answer *a = arg;
	struct up_request *q = a->q;
	struct core_iso_got *g = a->got;
	bool last = !g || !(g->mail.flags & ORLOP_REPLY_MORE);

	if (!g)
		q->cb(q->arg, -ECANCELED, NULL, NULL, 0);
	else if (!q->cancelled || last)
		q->cb(q->arg, g->mail.status, g->mail.msg, g->mail.err, g->mail.flags);
	if (!last && !q->cancelled)
		core_iso_consumed(q->up->chan, q->id, &q->credit, g->mail.msg);
	core_iso_got_free(g);
	if (last) {
		if (q->shard)
			atomic_fetch_sub(&q->shard->up_requests, 1);
		omem_free(q);
	}
	omem_free(a);
}

/* To the loop of who asked; in order. */
static void answer_post(struct up_request *q, struct core_iso_got *take_got)
{
	struct up_answer *a = OMEM_NEW(struct up_answer);

	/* Without memory for this the process cannot go on: the parent tells everybody and starts another. */
	if (!a)
		_exit(1);
	a->q = q;
	a->got = take_got;
	if (core_loop_here(q->loop))
		answered(a);
	else if (core_loop_post(q->loop, answered, a))
		_exit(1);
}

int core_up_request(struct core_up *up, struct core_loop *loop, struct core_shard *s, const struct orlop_send *send,
		    orlop_reply_fn cb, void *arg, struct orlop_request **ret)
{
	struct core_iso_mail m = { .op = send->op, .to = send->to, .key = send->key, .trace = send->trace,
				   .who = send->who, .msg = &send->msg };
	struct up_request *q = NULL;
	uint64_t timeout = send->timeout_ns ? send->timeout_ns : UINT64_C(60000000000);
	int r = -ENOMEM;

	if (!up->chan || send->msg.body.len > ORLOP_MSG_MAX)
		r = up->chan ? -E2BIG : -ECANCELED;
	else
		q = OMEM_NEW(struct up_request);
	if (!q) {
		for (uint32_t i = 0; i < send->msg.n_fds; i++)
			if (send->msg.fds[i] >= 0)
				(void)close(send->msg.fds[i]);
		return r;
	}
	q->up = up;
	q->loop = loop;
	q->shard = s;
	q->cb = cb;
	q->arg = arg;
	if (timeout != UINT64_MAX)
		m.deadline_ns = core_now_mono() + timeout;
	pthread_mutex_lock(&up->lock);
	q->id = ++up->last_request;
	r = omap_put(&up->request_ids, &q->id, sizeof(q->id), q, NULL);
	if (r == 0)
		olist_append(&up->requests, &q->node);
	pthread_mutex_unlock(&up->lock);
	if (r) {
		omem_free(q);
		for (uint32_t i = 0; i < send->msg.n_fds; i++)
			if (send->msg.fds[i] >= 0)
				(void)close(send->msg.fds[i]);
		return r;
	}
	if (s)
		atomic_fetch_add(&s->up_requests, 1);
	/* The handle first: the answer may come on another loop before this returns. */
	if (ret)
		*ret = (struct orlop_request *)(void *)q;
	r = core_iso_mail_send(up->chan, CORE_ISO_REQUEST, q->id, &m);
	if (r) {
		(void)request_take(up, q->id, true);
		if (s)
			atomic_fetch_sub(&s->up_requests, 1);
		omem_free(q);
	}
	return r;
}

void core_up_request_cancel(struct orlop_request *req)
{
	struct up_request *q = (struct up_request *)(void *)req;

	q->cancelled = true;
	if (q->up->chan)
		(void)core_iso_send(q->up->chan, CORE_ISO_CANCEL, q->id, NULL, 0);
}

void core_up_stop(struct core_up *up, struct core_shard *s)
{
	struct olist mine;
	struct olist *n;

	olist_init(&mine);
	pthread_mutex_lock(&up->lock);
	OLIST_FOREACH_SAFE(k, tmp, &up->requests) {
		struct up_request *q = OLIST_ENTRY(k, struct up_request, node);

		if (q->shard != s)
			continue;
		(void)omap_del(&up->request_ids, &q->id, sizeof(q->id));
		olist_del(&q->node);
		olist_append(&mine, &q->node);
	}
	pthread_mutex_unlock(&up->lock);
	while ((n = olist_shift(&mine))) {
		struct up_request *q = OLIST_ENTRY(n, struct up_request, node);

		(void)core_iso_send(up->chan, CORE_ISO_CANCEL, q->id, NULL, 0);
		answer_post(q, NULL);
	}
}

static int host_request(const struct orlop_host *h, const struct orlop_send *send, orlop_reply_fn cb, void *arg,
			struct orlop_request **ret)
{
	struct core_shard *s = core_shard_of(h);

	if (atomic_load(&s->closing)) {
		for (uint32_t i = 0; i < send->msg.n_fds; i++)
			if (send->msg.fds[i] >= 0)
				(void)close(send->msg.fds[i]);
		return -ECANCELED;
	}
	return core_up_request(s->inst->core->up, s->loop, s, send, cb, arg, ret);
}

void core_up_fill_bus(struct orlop_host *h)
{
	h->request = host_request;
	h->request_cancel = core_up_request_cancel;
	core_up_fill_topics(h);
}

/* ---- requests to the module ---------------------------------------------------------------------------------- */

static void call_answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			  uint32_t flags)
{
	struct up_call *k = arg;
	struct core_iso_mail m = { .status = status, .flags = flags, .err = err, .msg = msg };
	struct core_iso_mail end = { .status = 0 };

	if (!k->over) {
		/* What one that feeds answers is read by others, who have it from us. */
		core_up_feed_go(k->up);
		end.status = core_iso_mail_send(k->up->chan, CORE_ISO_ANSWER, k->id, &m);
		for (uint32_t i = 0; msg && i < msg->n_fds; i++)
			msg->fds[i] = -1;	/* sent, and closed here */
		if (end.status && end.status != -EPIPE) {
			/* This one does not get through; who asked must not wait for ever. */
			k->over = true;
			if (core_iso_mail_send(k->up->chan, CORE_ISO_ANSWER, k->id, &end) == -ENOMEM)
				_exit(1);
			if (flags & ORLOP_REPLY_MORE)
				core_request_cancel(k->req);
		}
	}
	if (flags & ORLOP_REPLY_MORE)
		return;
	(void)omap_del(&k->up->call_ids, &k->id, sizeof(k->id));
	omem_free(k);
}

static void on_request(struct core_up *up, struct core_iso_got *g)
{
	struct core *c = up->core;
	struct orlop_send send = { .size = sizeof(send), .op = g->mail.op, .key = g->mail.key, .trace = g->mail.trace,
				   .who = g->mail.who, .timeout_ns = UINT64_MAX };
	struct core_iso_mail refusal = { .status = -ECONNRESET };
	struct up_call *k = up->inst ? OMEM_NEW(struct up_call) : NULL;
	int r = -ENOMEM;

	if (k) {
		k->up = up;
		k->id = g->id;
		send.to = up->inst->name;
		if (g->mail.msg)
			send.msg = g->msg;
		send.msg.size = sizeof(send.msg);
		if (g->mail.deadline_ns) {
			uint64_t now = core_now_mono();

			/* Whoever asked has the deadline; ours comes behind it. */
			send.timeout_ns = (g->mail.deadline_ns > now ? g->mail.deadline_ns - now : 0) +
				UINT64_C(1000000000);
		}
		r = omap_put(&up->call_ids, &k->id, sizeof(k->id), k, NULL);
		if (r == 0) {
			r = core_link_request(c->self->shards[0].link, &send, call_answered, k, &k->req);
			g->msg.n_fds = 0;	/* taken */
			if (r == 0)
				core_request_relay(k->req);
		}
		if (r)
			(void)omap_del(&up->call_ids, &k->id, sizeof(k->id));
	}
	if (r) {
		refusal.status = r == -ENOMEM && up->inst ? r : -ECONNRESET;
		if (core_iso_mail_send(up->chan, CORE_ISO_ANSWER, g->id, &refusal) == -ENOMEM)
			core_up_no_memory(up);
		omem_free(k);
	}
}

void core_up_mail(struct core_up *up, struct core_iso_in *in)
{
	struct core_iso_got *g;
	struct up_request *q;
	struct up_call *k;
	int r;

	if (in->type == CORE_ISO_CANCEL || in->type == CORE_ISO_CREDIT) {
		k = omap_get(&up->call_ids, &in->id, sizeof(in->id));
		if (k && in->type == CORE_ISO_CANCEL)
			core_request_cancel(k->req);
		else if (k)
			core_request_consumed(k->req, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0),
					      orlop_msg_u64(&in->msg, CORE_ISO_T_REV, 0));
		return;
	}
	r = core_iso_mail_get(in, NULL, &g);
	if (r == -ENOMEM)
		core_up_no_memory(up);
	if (r) {
		core_logf(up->core->log, "core", ORLOP_LOG_ERR, "mail_lost", "errno=%d", -r);
		_exit(1);
	}
	if (in->type == CORE_ISO_REQUEST || in->type == CORE_ISO_PUBLISH) {
		if (in->type == CORE_ISO_REQUEST)
			on_request(up, g);
		else
			core_up_heard(up, g);
		core_iso_got_free(g);
		return;
	}
	q = request_take(up, g->id, !(g->mail.flags & ORLOP_REPLY_MORE));
	if (q)
		answer_post(q, g);
	else
		core_iso_got_free(g);
}
