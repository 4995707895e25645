/*
 * net.c - the network between simulated machines, at the level of requests.
 *
 * A request is copied out of one process, travels, is made again on the bus of another by its core, and
 * the answer takes the same way back. What is sent while a cut lasts is sent again and again, as TCP does, and
 * arrives after it: perhaps when nobody waits for it any more. A connection that has been silent for long is
 * given up: then the outcome of what was open on it is unknown.
 */
#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "core.h"
#include "far.h"

#define SILENCE_NS	(15 * SIM_S)
#define DEFAULT_NS	(30 * SIM_S)
#define SEEN_NS		(5 * SIM_S)
#define GROUPS_MAX	8u

struct cut {
	struct olist	node;
	struct sim_proc	*a;
	struct sim_proc	*b;		/* NULL: everybody, and the clients */
	uint64_t	since;
};

/* A message outside of any process. */
struct parcel {
	struct orlop_bytes body;
	uint32_t	n_blobs;
	struct orlop_bytes blobs[ORLOP_MSG_MAX_BLOBS];
};

struct call {
	struct olist	node;		/* w->calls */
	struct sim	*w;
	uint64_t	id;
	struct sim_proc	*from;		/* NULL: a client */
	uint32_t	from_life;
	struct sim_proc	*to;
	uint32_t	to_life;	/* that it was delivered to; 0: not yet */
	char		*address;
	uint32_t	op;
	struct parcel	msg;
	struct orlop_bytes user;
	struct orlop_bytes groups[GROUPS_MAX];
	uint32_t	n_groups;
	uint64_t	timeout_at;
	struct orlop_request *req;	/* under way there */
	bool		told;		/* the caller has its answer, or is gone */
	bool		over;		/* there */
	int32_t		status;		/* the answer on its way */
	uint64_t	back_at;	/* it has arrived; 0: not yet */
	struct parcel	reply;
	struct orlop_error err;
	sim_reply_fn	fn;
	void		*arg;
};

/* ---- copies -------------------------------------------------------------------------------------------- */

static struct orlop_bytes copy(struct orlop_bytes b)
{
	struct orlop_bytes r = { omem_dup(b.len ? b.p : "", b.len ? b.len : 1), b.len };

	if (!r.p)
		sim_die("out of memory");
	return r;
}

static void parcel_fill(struct parcel *p, const struct orlop_msg *m)
{
	memset(p, 0, sizeof(*p));
	if (!m)
		return;
	p->body = copy(m->body);
	p->n_blobs = m->n_blobs;
	for (uint32_t i = 0; i < m->n_blobs; i++)
		p->blobs[i] = copy(core_blob_bytes(m->blobs[i]));
}

static void parcel_done(struct parcel *p)
{
	omem_free((char *)(uintptr_t)p->body.p);
	for (uint32_t i = 0; i < p->n_blobs; i++)
		omem_free((char *)(uintptr_t)p->blobs[i].p);
	memset(p, 0, sizeof(*p));
}

/* Ends with unpack_done(). */
static void unpack(const struct parcel *p, struct orlop_msg *m, struct orlop_blob **blobs)
{
	memset(m, 0, sizeof(*m));
	m->size = sizeof(*m);
	m->body = p->body;
	m->n_blobs = p->n_blobs;
	m->blobs = blobs;
	for (uint32_t i = 0; i < p->n_blobs; i++)
		if (core_blob_new(p->blobs[i].p, p->blobs[i].len, &blobs[i]))
			sim_die("out of memory");
}

static void unpack_done(const struct parcel *p, struct orlop_blob **blobs)
{
	for (uint32_t i = 0; i < p->n_blobs; i++)
		core_blob_unref(blobs[i]);
}

/* ---- cuts ---------------------------------------------------------------------------------------------------- */

static struct cut *cut_find(struct sim *w, const struct sim_proc *a, const struct sim_proc *b)
{
	OLIST_FOREACH(n, &w->cuts) {
		struct cut *c = OLIST_ENTRY(n, struct cut, node);

		if (c->b ? (c->a == a && c->b == b) || (c->a == b && c->b == a) : c->a == a || c->a == b)
			return c;
	}
	return NULL;
}

bool sim_is_cut(struct sim *w, struct sim_proc *a, struct sim_proc *b)
{
	return cut_find(w, a, b) != NULL;
}

static void silence(void *arg);

void sim_cut(struct sim *w, struct sim_proc *a, struct sim_proc *b, bool cut)
{
	struct cut *c;

	OLIST_FOREACH_SAFE(n, tmp, &w->cuts) {
		c = OLIST_ENTRY(n, struct cut, node);
		if ((c->a == a && c->b == b) || (b && c->a == b && c->b == a)) {
			if (cut)
				return;
			olist_del(n);
			omem_free(c);
		}
	}
	sim_trace(w, "net: %s and %s %s", a->name, b ? b->name : "all others", cut ? "cut" : "joined");
	if (!cut)
		return;
	c = OMEM_NEW(struct cut);
	if (!c)
		sim_die("out of memory");
	c->a = a;
	c->b = b;
	c->since = w->now;
	olist_append(&w->cuts, &c->node);
	sim_at(w, w->now + SILENCE_NS, silence, w);
}

/* ---- the way of a call ------------------------------------------------------------------------------------------ */

static struct call *call_find(void *arg)
{
	OLIST_FOREACH(n, &sim_w->calls)
		if (OLIST_ENTRY(n, struct call, node)->id == (uintptr_t)arg)
			return OLIST_ENTRY(n, struct call, node);
	return NULL;
}

static void *call_id(const struct call *c)
{
	return (void *)(uintptr_t)c->id;
}

static void call_free(struct call *c)
{
	olist_del(&c->node);
	parcel_done(&c->msg);
	parcel_done(&c->reply);
	orlop_error_done(&c->err);
	omem_free((char *)(uintptr_t)c->user.p);
	for (uint32_t i = 0; i < c->n_groups; i++)
		omem_free((char *)(uintptr_t)c->groups[i].p);
	omem_free(c->address);
	omem_free(c);
}

/* The caller hears it. By the driver. */
static void call_tell(struct call *c, int32_t status)
{
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	struct orlop_msg m;
	bool gone = c->from && (!c->from->running || c->from->life != c->from_life);

	if (c->told)
		return;
	c->told = true;
	sim_trace(c->w, "net: %llu answered %d", (unsigned long long)c->id, status);
	if (gone)
		return;
	unpack(&c->reply, &m, blobs);
	c->fn(c->arg, status, status >= 0 ? &m : NULL, c->err.err ? &c->err : NULL);
	unpack_done(&c->reply, blobs);
}

/* A failure of the network; what goes on at the other end goes on. */
static void call_fail(struct call *c, int32_t status)
{
	parcel_done(&c->reply);
	orlop_error_done(&c->err);
	memset(&c->err, 0, sizeof(c->err));
	call_tell(c, status);
	/* Delivered and running: its end frees it. */
	if (c->over || !c->to_life)
		call_free(c);
}

static uint64_t delay(struct sim *w)
{
	return w->net.delay_min_ns + sim_host_below(w->net.delay_max_ns - w->net.delay_min_ns + 1);
}

/* The newest revision that an answer of the API, or one of a batch, names. */
static uint64_t written(const struct orlop_host *h, const struct orlop_msg *m, struct orlop_bytes body)
{
	struct orlop_msgr r;
	uint64_t rev = 0;

	orlop_msgr_init(&r, h, m, body);
	while (orlop_msgr_next(&r)) {
		uint64_t x = r.tag == ORLOP_API_T_REV ? r.u64 : r.tag == ORLOP_API_T_ANSWER ? written(h, m, r.bytes) : 0;

		rev = x > rev ? x : rev;
	}
	return rev;
}

/* Has it not been fed yet what it wrote? Like uplink, far.c answers then, or after SEEN_NS. */
static bool unseen(const struct call *c)
{
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	struct orlop_msg m;
	bool is;

	if (!c->from || !c->from->running || !c->from->core || c->from->life != c->from_life || c->status < 0 ||
	    strcmp(c->address, "api") || c->w->now >= c->back_at + SEEN_NS)
		return false;
	unpack(&c->reply, &m, blobs);
	is = written(&c->from->core->self->shards[0].host, &m, m.body) > core_cache_applied(c->from->core->cache);
	unpack_done(&c->reply, blobs);
	return is;
}

static void call_back(void *arg)
{
	struct call *c = call_find(arg);

	if (!c)
		return;
	if (c->told) {
		call_free(c);
		return;
	}
	if (cut_find(c->w, c->from, c->to)) {
		sim_at(c->w, c->w->now + 200 * SIM_MS + sim_host_below(300 * SIM_MS), call_back, arg);
		return;
	}
	if (!c->back_at)
		c->back_at = c->w->now;
	if (unseen(c)) {
		sim_at(c->w, c->w->now + SIM_MS, call_back, arg);
		return;
	}
	call_tell(c, c->status);
	call_free(c);
}

/* In the process that was asked. */
static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct call *c = call_find(arg);

	if (!c || (flags & ORLOP_REPLY_MORE))
		return;
	c->req = NULL;
	c->over = true;
	c->status = status;
	parcel_fill(&c->reply, status >= 0 ? msg : NULL);
	if (status < 0 && err) {
		c->err = *err;
		c->err.causes = NULL;
	}
	if (c->w->net.reset && sim_host_chance(c->w->net.reset)) {
		parcel_done(&c->reply);
		c->status = -ECONNRESET;
		memset(&c->err, 0, sizeof(c->err));
	}
	sim_at(c->w, c->w->now + delay(c->w), call_back, arg);
}

static void call_start(void *arg)
{
	struct call *c = call_find(arg);
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	struct orlop_identity who = { .size = sizeof(who) };
	struct orlop_send send = { .size = sizeof(send) };
	int r;

	if (!c)
		return;
	who.user = c->user;
	who.groups = c->groups;
	who.n_groups = c->n_groups;
	send.op = c->op;
	send.to = c->address;
	send.who = &who;
	send.timeout_ns = c->timeout_at > c->w->now ? c->timeout_at - c->w->now : SIM_MS;
	unpack(&c->msg, &send.msg, blobs);
	sim_say(c->to, "net: %llu arrives: %s op %u of %.*s", (unsigned long long)c->id, c->address, c->op,
		(int)c->user.len, c->user.p);
	r = core_link_request(c->to->core->self->shards[0].link, &send, replied, arg, &c->req);
	unpack_done(&c->msg, blobs);
	if (r) {
		c->req = NULL;
		replied(arg, r, NULL, NULL, 0);
	}
}

static void call_deliver(void *arg)
{
	struct call *c = call_find(arg);
	struct sim *w = sim_w;

	if (!c)
		return;
	if (cut_find(w, c->from, c->to)) {
		/* The sender's kernel tries again, for a while also when nobody waits any more. */
		if (c->told && sim_host_below(4) == 0)
			call_free(c);
		else
			sim_at(w, w->now + 200 * SIM_MS + sim_host_below(300 * SIM_MS), call_deliver, arg);
		return;
	}
	if (c->told && sim_host_below(2)) {
		call_free(c);
		return;
	}
	if (!c->to->running || !c->to->core || !c->to->loaded) {
		c->over = true;
		c->status = -EHOSTUNREACH;
		sim_at(w, w->now + delay(w), call_back, arg);
		return;
	}
	if (w->net.reset && sim_host_chance(w->net.reset)) {
		c->over = true;
		c->status = -ECONNRESET;
		sim_at(w, w->now + delay(w), call_back, arg);
		return;
	}
	c->to_life = c->to->life;
	if (core_loop_post(c->to->core->main, call_start, arg)) {
		c->over = true;
		c->status = -ECONNRESET;
		sim_at(w, w->now + delay(w), call_back, arg);
	}
}

static void call_late(void *arg)
{
	struct call *c = call_find(arg);

	if (c && !c->told) {
		call_tell(c, -ETIMEDOUT);
		if (c->over && !c->to_life)
			call_free(c);
	}
}

static struct call *call_new(struct sim *w, struct sim_proc *from, struct sim_proc *to, const char *address,
			     uint32_t op, const struct orlop_msg *msg, const struct orlop_identity *who,
			     uint64_t timeout_ns, sim_reply_fn fn, void *arg)
{
	struct call *c = OMEM_NEW(struct call);

	if (!c)
		sim_die("out of memory");
	c->w = w;
	c->id = ++w->next_call;
	c->from = from;
	c->from_life = from ? from->life : 0;
	c->to = to;
	c->address = omem_strdup(address);
	c->op = op;
	parcel_fill(&c->msg, msg);
	c->user = copy(who->user);
	for (uint32_t i = 0; i < who->n_groups && i < GROUPS_MAX; i++)
		c->groups[c->n_groups++] = copy(who->groups[i]);
	c->fn = fn;
	c->arg = arg;
	c->timeout_at = w->now + (timeout_ns ? timeout_ns : DEFAULT_NS);
	olist_append(&w->calls, &c->node);
	sim_trace(w, "net: %llu %s -> %s %s op %u, %zu bytes", (unsigned long long)c->id, from ? from->name : "client",
		  to->name, address, op, c->msg.body.len);
	sim_at(w, w->now + delay(w), call_deliver, call_id(c));
	sim_at(w, c->timeout_at, call_late, call_id(c));
	return c;
}

/* ---- what breaks connections ---------------------------------------------------------------------------------------- */

static void call_reset(void *arg)
{
	struct call *c = call_find(arg);

	if (c && !c->told)
		call_fail(c, -ECONNRESET);
	else if (c)
		call_free(c);
}

static void silence(void *arg)
{
	struct sim *w = arg;

	OLIST_FOREACH_SAFE(n, tmp, &w->calls) {
		struct call *c = OLIST_ENTRY(n, struct call, node);
		const struct cut *k = cut_find(w, c->from, c->to);

		if (k && !c->told && w->now - k->since >= SILENCE_NS)
			call_fail(c, -ECONNRESET);
	}
}

void sim_net_dead(struct sim_proc *p, bool power)
{
	struct sim *w = p->w;

	OLIST_FOREACH_SAFE(n, tmp, &w->calls) {
		struct call *c = OLIST_ENTRY(n, struct call, node);

		if (c->from == p && !c->told) {
			c->told = true;		/* nobody is there any more; the other end may go on */
			if (c->over)
				continue;	/* call_back() frees it */
		}
		if (c->to == p && c->to_life && !c->over) {
			c->over = true;
			c->req = NULL;
			/* A process that dies resets its connections; one without power says nothing. */
			sim_at(w, w->now + (power ? SILENCE_NS : delay(w)), call_reset, call_id(c));
		}
	}
}

void sim_net_free(struct sim *w)
{
	while (!olist_empty(&w->calls))
		call_free(OLIST_ENTRY(olist_first(&w->calls), struct call, node));
	while (!olist_empty(&w->cuts)) {
		struct cut *c = OLIST_ENTRY(olist_first(&w->cuts), struct cut, node);

		olist_del(&c->node);
		omem_free(c);
	}
}

/* ---- from another process (modules/far.c) ------------------------------------------------------------------------------ */

struct far {
	const struct orlop_host *h;
	struct orlop_call *call;	/* NULL: answered already */
	uint64_t	id;
};

static void far_replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	struct far *f = arg;

	if (f->call)
		f->h->call_done(f->call, status, msg, err);
	omem_free(f);
}

static void cancel_arrives(void *arg)
{
	struct call *c = call_find(arg);

	if (c && c->req && c->to->running && c->to->life == c->to_life)
		core_request_cancel(c->req);
}

/* The other end is told, if it can be. */
static void cancel_sent(void *arg)
{
	struct call *c = call_find(arg);

	if (c && c->req && !cut_find(c->w, c->from, c->to) && c->to->running && c->to->core &&
	    c->to->life == c->to_life)
		(void)core_loop_post(c->to->core->main, cancel_arrives, arg);
}

static void far_cancelled(void *arg)
{
	struct far *f = arg;
	struct orlop_call *call = f->call;

	if (!call)
		return;
	f->call = NULL;
	f->h->call_done(call, -ECANCELED, NULL, NULL);
	sim_at(sim_w, sim_w->now + delay(sim_w), cancel_sent, (void *)(uintptr_t)f->id);
}

SIM_OURS int sim_far_call(const struct orlop_host *h, const char *address, const struct orlop_req *req,
			  struct orlop_call *call)
{
	struct sim_proc *p = sim_proc_here();
	const char *at = strcmp(address, "storage") == 0 ? p->storage_at : p->api_at;
	struct sim_proc *to = sim_proc_find(p->w, at);
	uint64_t now = h->now_mono(h);
	uint64_t timeout = req->deadline_ns > now ? req->deadline_ns - now : req->deadline_ns ? 1 : 3600 * SIM_S;
	struct far *f;

	if (!to || req->msg.n_fds)
		return to ? -ENOTSUP : -EHOSTUNREACH;
	f = OMEM_NEW(struct far);
	if (!f)
		return -ENOMEM;
	f->h = h;
	f->call = call;
	h->call_on_cancel(call, far_cancelled, f);
	f->id = call_new(p->w, p, to, address, req->op, &req->msg, req->who, timeout, far_replied, f)->id;
	return 0;
}

/* What the API of the other process serves. False: it is not there yet. */
SIM_OURS bool sim_far_resources(void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg)
{
	struct sim_proc *p = sim_proc_here();
	struct sim_proc *to = sim_proc_find(p->w, p->api_at);

	if (!to || !sim_ready(to) || cut_find(p->w, p, to))
		return false;
	to->core->self->shards[0].host.resource_list(&to->core->self->shards[0].host, fn, arg);
	return true;
}

/* ---- clients -------------------------------------------------------------------------------------------------------------- */

static struct orlop_bytes bytes(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

void sim_call(struct sim *w, struct sim_proc *from, struct sim_proc *p, const char *to, uint32_t op,
	      const struct orlop_msg *msg, const char *user, uint64_t timeout_ns, sim_reply_fn fn, void *arg)
{
	struct orlop_bytes groups[2] = { bytes("system:authenticated"), bytes("system:masters") };
	struct orlop_identity who = { .size = sizeof(who), .user = bytes(user ? user : "system:admin"),
				      .groups = groups, .n_groups = user ? 1 : 2 };

	(void)call_new(w, from, p, to, op, msg, &who, timeout_ns, fn, arg);
}

static int blob_new(const struct orlop_host *h, const void *p, size_t len, struct orlop_blob **ret)
{
	(void)h;
	return core_blob_new(p, len, ret);
}

/* Enough of a host to read and write messages. */
static const struct orlop_host desk = {
	.size = sizeof(desk),
	.blob_new = blob_new,
	.blob_ref = core_blob_ref,
	.blob_unref = core_blob_unref,
	.blob_bytes = core_blob_bytes,
};

struct asked {
	sim_answer_fn	fn;
	void		*arg;
};

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	struct asked *a = arg;
	struct orlop_bytes body = { NULL, 0 };

	(void)err;
	if (status >= 0)
		a->fn(a->arg, 0, (uint32_t)orlop_msg_u64(msg, ORLOP_API_T_CODE, 0),
		      orlop_msg_bytes(&desk, msg, ORLOP_API_T_BODY), orlop_msg_u64(msg, ORLOP_API_T_REV, 0));
	else
		a->fn(a->arg, status, 0, body, 0);
	omem_free(a);
}

static void put(struct orlop_msgw *w, uint32_t tag, const char *s)
{
	if (s)
		orlop_msgw_bytes(w, tag, s, strlen(s));
}

void sim_api(struct sim *w, struct sim_proc *p, const struct sim_request *r, sim_answer_fn fn, void *arg)
{
	struct asked *a = OMEM_NEW(struct asked);
	struct orlop_msgw m;
	struct orlop_msg msg;

	if (!a)
		sim_die("out of memory");
	a->fn = fn;
	a->arg = arg;
	orlop_msgw_init(&m, &desk);
	put(&m, ORLOP_API_T_VERB, r->verb);
	put(&m, ORLOP_API_T_RESOURCE, r->resource);
	put(&m, ORLOP_API_T_NAMESPACE, r->ns);
	put(&m, ORLOP_API_T_NAME, r->name);
	put(&m, ORLOP_API_T_SUBRESOURCE, r->subresource);
	put(&m, ORLOP_API_T_BODY, r->body);
	put(&m, ORLOP_API_T_CONTENT_TYPE, r->content_type);
	put(&m, ORLOP_API_T_QUERY, r->query);
	msg = orlop_msgw_msg(&m);
	sim_trace(w, "client: %s %s %s/%s%s%s", r->verb, r->resource, r->ns ? r->ns : "", r->name ? r->name : "",
		  r->subresource ? "/" : "", r->subresource ? r->subresource : "");
	sim_call(w, NULL, p, "api", ORLOP_API_REQUEST, &msg, r->user, r->timeout_ns, answered, a);
	orlop_msgw_done(&m);
}
