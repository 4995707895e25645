/*
 * fakebus.c - the fake host's bus: requests, calls, topics, blobs. Everything arrives, in order,
 * once; what a real bus may do besides is said by fakehost_reset() and by who serves.
 */
#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"

/* ---- blobs --------------------------------------------------------------------------------------- */

struct orlop_blob {
	uint32_t	ref;
	size_t		len;
	char		*p;
};

static int h_blob_take(const struct orlop_host *h, void *take_p, size_t len, struct orlop_blob **ret)
{
	struct orlop_blob *b = fake_alloc(sizeof(*b));

	(void)h;
	b->ref = 1;
	b->p = take_p;
	b->len = len;
	*ret = b;
	return 0;
}

static int h_blob_new(const struct orlop_host *h, const void *p, size_t len, struct orlop_blob **ret)
{
	char *copy = fake_alloc(len);

	if (len)
		memcpy(copy, p, len);
	return h_blob_take(h, copy, len, ret);
}

static struct orlop_blob *h_blob_ref(struct orlop_blob *b)
{
	(void)__atomic_add_fetch(&b->ref, 1, __ATOMIC_RELAXED);
	return b;
}

static void h_blob_unref(struct orlop_blob *b)
{
	if (!b || __atomic_sub_fetch(&b->ref, 1, __ATOMIC_ACQ_REL))
		return;
	free(b->p);
	free(b);
}

static struct orlop_bytes h_blob_bytes(const struct orlop_blob *b)
{
	return (struct orlop_bytes){ b->p, b->len };
}

/* ---- messages -------------------------------------------------------------------------------------- */

/* A copy in one piece; takes the descriptors. */
struct held_msg {
	struct orlop_msg msg;
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	int32_t		fds[ORLOP_MSG_MAX_FDS];
	char		body[];
};

static struct held_msg *msg_hold(const struct orlop_msg *m)
{
	static const struct orlop_msg none = { .size = sizeof(none) };
	struct held_msg *k;

	if (!m)
		m = &none;
	if (m->body.len > ORLOP_MSG_MAX || m->n_blobs > ORLOP_MSG_MAX_BLOBS || m->n_fds > ORLOP_MSG_MAX_FDS)
		fake_die("a message of %zu bytes, %u blobs, %u descriptors", m->body.len, m->n_blobs,
			 m->n_fds);
	k = fake_alloc(sizeof(*k) + m->body.len);
	k->msg.size = sizeof(k->msg);
	k->msg.body = (struct orlop_bytes){ k->body, m->body.len };
	if (m->body.len)
		memcpy(k->body, m->body.p, m->body.len);
	k->msg.blobs = k->blobs;
	k->msg.n_blobs = m->n_blobs;
	for (uint32_t i = 0; i < m->n_blobs; i++)
		k->blobs[i] = h_blob_ref(m->blobs[i]);
	k->msg.fds = k->fds;
	k->msg.n_fds = m->n_fds;
	for (uint32_t i = 0; i < m->n_fds; i++)
		k->fds[i] = m->fds[i];
	return k;
}

static void msg_drop(struct held_msg *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; i < k->msg.n_blobs; i++)
		h_blob_unref(k->blobs[i]);
	for (uint32_t i = 0; i < k->msg.n_fds; i++)
		if (k->fds[i] >= 0)
			(void)close(k->fds[i]);
	free(k);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

struct fake_server {
	struct olist	node;
	char		*address;
	fakehost_serve_fn fn;
	void		*arg;
};

struct orlop_request {
	struct olist	node;
	struct fakehost	*fh;
	struct fakehost_module *m;	/* who asks */
	char		*to;
	struct held_msg	*msg;		/* until it is delivered */
	struct orlop_call *call;	/* while it is being answered */
	struct orlop_timer *timer;
	orlop_reply_fn	cb;
	void		*arg;
	struct orlop_req req;
	bool		answered;	/* the last reply is posted */
};

struct orlop_call {
	struct olist	node;
	struct fakehost	*fh;
	struct fakehost_module *m;	/* who answers; NULL: the test */
	struct orlop_request *request;	/* NULL: nobody waits any more */
	struct held_msg	*msg;
	struct orlop_req req;
	struct orlop_identity who;
	char		*user;
	orlop_cb	cancel_cb;
	void		*cancel_arg;
	bool		cancelled;
};

struct fake_reply {
	struct orlop_request *request;
	int32_t		status;
	struct held_msg	*msg;
	struct orlop_error err;
	bool		has_err;
	uint32_t	flags;
};

static void request_free(struct orlop_request *r)
{
	olist_del(&r->node);
	if (r->call)
		r->call->request = NULL;
	if (r->timer)
		fakehost_host(r->fh)->timer_free(r->timer);
	msg_drop(r->msg);
	free(r->to);
	free(r);
}

static void reply_run(void *arg)
{
	struct fake_reply *p = arg;
	struct orlop_request *r = p->request;
	orlop_reply_fn cb = r->cb;
	void *cb_arg = r->arg;

	if (!(p->flags & ORLOP_REPLY_MORE))
		request_free(r);
	if (cb)
		cb(cb_arg, p->status, p->status < 0 ? NULL : &p->msg->msg,
		   p->status < 0 && p->has_err ? &p->err : NULL, p->flags);
	orlop_error_done(&p->err);
	msg_drop(p->msg);
	free(p);
}

/* An answer on its way to who asked. */
static void reply_post(struct orlop_request *r, int32_t status, const struct orlop_msg *msg,
		       const struct orlop_error *err, uint32_t flags)
{
	struct fake_reply *p = fake_alloc(sizeof(*p));

	p->request = r;
	p->status = status;
	p->msg = msg_hold(msg);
	p->err.size = sizeof(p->err);
	p->flags = flags;
	if (err && err->err) {
		p->err = *err;
		p->err.causes = NULL;
		p->has_err = true;
		for (uint32_t i = 0; err->causes && i < err->causes->n; i++)
			orlop_error_cause(&p->err, err->causes->v[i].reason, err->causes->v[i].message,
					  err->causes->v[i].field);
	}
	if (!(flags & ORLOP_REPLY_MORE))
		r->answered = true;
	fake_post(r->fh, NULL, reply_run, p);
}

/* Tells who answers, unless he has finished or stopped to care meanwhile. */
static void cancel_run(void *arg)
{
	struct orlop_call *c = arg;

	if (c->cancel_cb)
		c->cancel_cb(c->cancel_arg);
}

/* Nobody waits for this call any more. */
static void call_abandon(struct orlop_call *c)
{
	if (!c)
		return;
	if (c->request)
		c->request->call = NULL;
	c->request = NULL;
	if (c->cancelled)
		return;
	c->cancelled = true;
	if (c->cancel_cb)
		fake_post(c->fh, c->m, cancel_run, c);
}

static void request_end(struct orlop_request *r, int32_t status)
{
	(void)pthread_mutex_lock(&r->fh->lock);
	if (r->answered) {
		(void)pthread_mutex_unlock(&r->fh->lock);
		return;
	}
	r->answered = true;
	(void)pthread_mutex_unlock(&r->fh->lock);
	call_abandon(r->call);
	reply_post(r, status, NULL, NULL, 0);
}

static void request_late(void *arg)
{
	struct orlop_request *r = arg;

	request_end(r, r->call ? -ETIMEDOUT : -EHOSTUNREACH);
}

static struct fake_server *server_find(struct fakehost *fh, const char *address)
{
	OLIST_FOREACH(at, &fh->servers) {
		struct fake_server *s = OLIST_ENTRY(at, struct fake_server, node);

		if (s->fn && strcmp(s->address, address) == 0)
			return s;
	}
	return NULL;
}

static struct fakehost_module *module_find(struct fakehost *fh, const char *address)
{
	OLIST_FOREACH(at, &fh->modules) {
		struct fakehost_module *m = OLIST_ENTRY(at, struct fakehost_module, node);

		if (m->ops && m->ready && !m->stopping && (strcmp(m->class_name, address) == 0 ||
		    strcmp(m->class_slash, address) == 0 || strcmp(m->name, address) == 0))
			return m;
	}
	return NULL;
}

/* To whoever serves; if nobody does it waits. */
static void request_deliver(struct orlop_request *r)
{
	struct fake_server *s = server_find(r->fh, r->to);
	struct fakehost_module *m = s ? NULL : module_find(r->fh, r->to);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_call *c;
	orlop_op_fn op = NULL;
	int ret;

	if (r->answered || !r->msg || (!s && !m))
		return;
	c = fake_alloc(sizeof(*c));
	c->fh = r->fh;
	c->m = m;
	c->request = r;
	c->msg = TAKE(r->msg);
	c->user = fake_strdup(r->m->user);
	c->who = r->m->who;
	c->who.user.p = c->user;
	c->req = r->req;
	c->req.msg = c->msg->msg;
	c->req.who = &c->who;
	olist_append(&r->fh->calls, &c->node);
	r->call = c;
	if (s) {
		s->fn(s->arg, &c->req, c);
		return;
	}
	if (c->req.op > 0 && c->req.op < m->n_ops)
		op = m->ops->op[c->req.op];
	ret = op ? op(m->ctx, &c->req, c, &err) : -ENOTSUP;
	if (ret < 0)
		fakehost_host(r->fh)->call_done(c, ret, NULL, err.err ? &err : NULL);
	orlop_error_done(&err);
}

static void request_run(void *arg)
{
	request_deliver(arg);
}

static void arrived_run(void *arg)
{
	struct fakehost *fh = arg;

	OLIST_FOREACH_SAFE(at, next, &fh->requests)
		request_deliver(OLIST_ENTRY(at, struct orlop_request, node));
}

void fake_bus_arrived(struct fakehost *fh)
{
	fake_post(fh, NULL, arrived_run, fh);
}

static int h_request(const struct orlop_host *h, const struct orlop_send *send, orlop_reply_fn cb,
		     void *arg, struct orlop_request **ret)
{
	struct orlop_host_priv *p = fake_priv(h);
	uint64_t timeout_ns = send->timeout_ns ? send->timeout_ns : 60 * FAKEHOST_S;
	struct orlop_request *r = fake_alloc(sizeof(*r));

	r->fh = p->fh;
	r->m = p->m;
	r->to = fake_strdup(send->to);
	r->msg = msg_hold(&send->msg);
	r->cb = cb;
	r->arg = arg;
	r->req.size = sizeof(r->req);
	r->req.op = send->op;
	r->req.trace = send->trace ? send->trace : ++p->fh->trace;
	r->req.key = send->key;
	olist_append(&p->fh->requests, &r->node);
	if (timeout_ns != UINT64_MAX) {
		r->timer = fake_timer(p->fh, NULL, request_late, r);
		h->timer_set(r->timer, timeout_ns, 0);
		r->req.deadline_ns = r->timer->due;
	}
	if (ret)
		*ret = r;
	fake_post(p->fh, NULL, request_run, r);
	return 0;
}

static void h_request_cancel(struct orlop_request *r)
{
	request_end(r, -ECANCELED);
}

/* ---- calls ---------------------------------------------------------------------------------------------- */

static void call_free(void *arg)
{
	struct orlop_call *c = arg;

	olist_del(&c->node);
	msg_drop(c->msg);
	free(c->user);
	free(c);
}

static void h_call_done(struct orlop_call *c, int32_t status, const struct orlop_msg *msg,
			const struct orlop_error *err)
{
	struct fakehost *fh = c->fh;
	struct orlop_request *r;

	(void)pthread_mutex_lock(&fh->lock);
	r = c->request;
	c->request = NULL;
	c->cancel_cb = NULL;
	if (r) {
		r->call = NULL;
		if (r->answered)
			r = NULL;
		else
			r->answered = true;
	}
	(void)pthread_mutex_unlock(&fh->lock);
	if (r)
		reply_post(r, status, msg, err, 0);
	else
		msg_drop(msg_hold(msg));	/* closes its descriptors */
	fake_post(fh, NULL, call_free, c);	/* the list is the loop's */
}

static int h_call_emit(struct orlop_call *c, const struct orlop_msg *msg)
{
	if (c->cancelled || !c->request) {
		msg_drop(msg_hold(msg));
		return -ECANCELED;
	}
	reply_post(c->request, 0, msg, NULL, ORLOP_REPLY_MORE);
	return 0;
}

static void h_call_on_cancel(struct orlop_call *c, orlop_cb cb, void *arg)
{
	c->cancel_cb = cb;
	c->cancel_arg = arg;
	if (c->cancelled && cb)
		fake_post(c->fh, c->m, cancel_run, c);
}

static void h_call_on_writable(struct orlop_call *c, orlop_cb cb, void *arg)
{
	if (cb)
		fake_post(c->fh, c->m, cb, arg);
}

/* ---- topics ----------------------------------------------------------------------------------------------- */

struct fake_sub {
	struct olist	node;
	struct fakehost_module *m;
	char		*topic;
	orlop_topic_fn	cb;
	void		*arg;
};

struct fake_hint {
	struct fakehost	*fh;
	char		*topic;
	struct held_msg	*msg;
};

static void hint_run(void *arg)
{
	struct fake_hint *hint = arg;

	OLIST_FOREACH_SAFE(at, next, &hint->fh->subs) {
		struct fake_sub *s = OLIST_ENTRY(at, struct fake_sub, node);

		if (strcmp(s->topic, hint->topic) == 0)
			s->cb(s->arg, &hint->msg->msg);
	}
	msg_drop(hint->msg);
	free(hint->topic);
	free(hint);
}

static int h_publish(const struct orlop_host *h, const char *topic, const struct orlop_msg *msg)
{
	struct fake_hint *hint = fake_alloc(sizeof(*hint));

	hint->fh = fake_priv(h)->fh;
	hint->topic = fake_strdup(topic);
	hint->msg = msg_hold(msg);
	fake_post(hint->fh, NULL, hint_run, hint);
	return 0;
}

static int h_subscribe(const struct orlop_host *h, const char *topic, orlop_topic_fn cb, void *arg)
{
	struct fake_sub *s = fake_alloc(sizeof(*s));

	s->m = fake_priv(h)->m;
	s->topic = fake_strdup(topic);
	s->cb = cb;
	s->arg = arg;
	olist_append(&fake_priv(h)->fh->subs, &s->node);
	return 0;
}

/* ---- the test's side ----------------------------------------------------------------------------------------- */

void fakehost_serve(struct fakehost *fh, const char *address, fakehost_serve_fn fn, void *arg)
{
	OLIST_FOREACH_SAFE(at, next, &fh->servers) {
		struct fake_server *s = OLIST_ENTRY(at, struct fake_server, node);

		if (strcmp(s->address, address) == 0) {
			olist_del(&s->node);
			free(s->address);
			free(s);
		}
	}
	if (fn) {
		struct fake_server *s = fake_alloc(sizeof(*s));

		s->address = fake_strdup(address);
		s->fn = fn;
		s->arg = arg;
		olist_append(&fh->servers, &s->node);
		fake_bus_arrived(fh);
	}
}

void fakehost_reply(struct orlop_call *call, int32_t status, const struct orlop_msg *msg)
{
	h_call_done(call, status, msg, NULL);
}

void fakehost_reply_error(struct orlop_call *call, int err, int http, const char *reason,
			  const char *text)
{
	struct orlop_error e = ORLOP_ERROR_INIT;

	(void)orlop_fail(&e, err, http, reason, "%s", text);
	h_call_done(call, -err, NULL, &e);
}

struct call_wait {
	struct fakehost_reply *reply;
	bool		done;
};

static void call_answered(void *arg, int32_t status, const struct orlop_msg *msg,
			  const struct orlop_error *err, uint32_t flags)
{
	struct call_wait *w = arg;
	struct fakehost_reply *r = w->reply;
	struct held_msg *k;

	if (flags & ORLOP_REPLY_MORE) {
		r->n_parts++;
		return;
	}
	k = msg_hold(msg);
	for (uint32_t i = 0; msg && i < msg->n_fds; i++)
		msg->fds[i] = -1;	/* ours now */
	r->keep = k;
	r->msg = k->msg;
	r->status = status;
	if (err) {
		r->err = *err;
		r->err.causes = NULL;
	}
	w->done = true;
}

static int call_is_done(void *arg)
{
	return ((struct call_wait *)arg)->done;
}

struct fakehost_reply fakehost_call(struct fakehost *fh, const char *address, uint32_t op,
				    const struct orlop_msg *msg)
{
	struct fakehost_reply r = { .err = ORLOP_ERROR_INIT };
	struct call_wait w = { &r, false };
	struct orlop_send send = { .size = sizeof(send), .op = op, .to = address };
	struct orlop_request *request;

	if (msg)
		send.msg = *msg;
	(void)h_request(fakehost_host(fh), &send, call_answered, &w, &request);
	if (!fakehost_run_until(fh, call_is_done, &w, 61 * FAKEHOST_S)) {
		request_end(request, -ETIMEDOUT);
		(void)fakehost_run(fh);
		if (!w.done)
			fake_die("no answer from \"%s\"", address);
	}
	return r;
}

void fakehost_reply_done(struct fakehost_reply *r)
{
	msg_drop(r->keep);
	memset(r, 0, sizeof(*r));
}

void fakehost_reset(struct fakehost *fh, const char *address)
{
	OLIST_FOREACH_SAFE(at, next, &fh->requests) {
		struct orlop_request *r = OLIST_ENTRY(at, struct orlop_request, node);

		if (r->call && strcmp(r->to, address) == 0)
			request_end(r, -ECONNRESET);
	}
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

uint32_t fake_bus_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->requests)
		n += OLIST_ENTRY(at, struct orlop_request, node)->m == m;
	OLIST_FOREACH(at, &fh->calls)
		n += OLIST_ENTRY(at, struct orlop_call, node)->m == m;
	return n;
}

/* Requests of a module that goes end unheard; its calls end in -ECONNRESET for who waits. */
uint32_t fake_bus_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	/* completed ones, only to be freed */
	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->posts) {
		struct fake_post *p = OLIST_ENTRY(at, struct fake_post, node);
		struct orlop_call *c = p->arg;

		if (p->fn == call_free && c->m == m) {
			olist_del(&p->node);
			free(p);
			call_free(c);
		}
	}
	(void)pthread_mutex_unlock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->calls) {
		struct orlop_call *c = OLIST_ENTRY(at, struct orlop_call, node);

		if (c->m != m)
			continue;
		if (c->request) {
			struct orlop_request *r = c->request;

			r->call = NULL;
			c->request = NULL;
			reply_post(r, -ECONNRESET, NULL, NULL, 0);
		}
		call_free(c);
		n++;
	}
	/* Answers on their way still know their request. */
	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->posts) {
		struct fake_post *p = OLIST_ENTRY(at, struct fake_post, node);
		struct fake_reply *reply = p->arg;

		if (p->fn == cancel_run && p->m == m) {
			olist_del(&p->node);
			free(p);
		} else if (p->fn == reply_run && reply->request->m == m) {
			olist_del(&p->node);
			msg_drop(reply->msg);
			orlop_error_done(&reply->err);
			free(reply);
			free(p);
		} else if (p->fn == request_run && ((struct orlop_request *)p->arg)->m == m) {
			olist_del(&p->node);
			free(p);
		}
	}
	(void)pthread_mutex_unlock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->requests) {
		struct orlop_request *r = OLIST_ENTRY(at, struct orlop_request, node);

		if (r->m != m)
			continue;
		call_abandon(r->call);
		request_free(r);
		n++;
	}
	OLIST_FOREACH_SAFE(at, next, &fh->subs) {
		struct fake_sub *s = OLIST_ENTRY(at, struct fake_sub, node);

		if (s->m == m) {
			olist_del(&s->node);
			free(s->topic);
			free(s);
		}
	}
	return n;
}

void fake_bus_done(struct fakehost *fh)
{
	OLIST_FOREACH_SAFE(at, next, &fh->calls) {
		struct orlop_call *c = OLIST_ENTRY(at, struct orlop_call, node);

		call_free(c);	/* the test never answered it */
	}
	OLIST_FOREACH_SAFE(at, next, &fh->servers) {
		struct fake_server *s = OLIST_ENTRY(at, struct fake_server, node);

		free(s->address);
		free(s);
	}
}

void fake_bus_fill(struct orlop_host *h)
{
	h->blob_new = h_blob_new;
	h->blob_take = h_blob_take;
	h->blob_ref = h_blob_ref;
	h->blob_unref = h_blob_unref;
	h->blob_bytes = h_blob_bytes;
	h->request = h_request;
	h->request_cancel = h_request_cancel;
	h->call_done = h_call_done;
	h->call_emit = h_call_emit;
	h->call_on_cancel = h_call_on_cancel;
	h->call_on_writable = h_call_on_writable;
	h->publish = h_publish;
	h->subscribe = h_subscribe;
}
