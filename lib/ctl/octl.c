/* octl.c - the frame of a controller. See octl.h. */
#include "ctl/octl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "walk/owalk.h"

struct octl_task {
	struct octl	*c;
	uint32_t	held;
	bool		failed;
	uint64_t	again_ns;	/* UINT64_MAX: no */
	uint32_t	ns_len;
	uint32_t	len;
	char		key[];
};

const struct orlop_controller_ops octl_ops = {
	.size = sizeof(octl_ops),
	.resync = octl_resync,
};

/* A resync that is not answered. */
struct waiter {
	struct olist	node;
	struct octl	*c;
	struct orlop_call *call;
};

static void idle_answer(struct octl *c, int32_t status)
{
	struct olist *n;

	while ((n = olist_shift(&c->idle))) {
		struct waiter *w = OLIST_ENTRY(n, struct waiter, node);

		c->h->call_done(w->call, status, NULL, NULL);
		omem_free(w);
	}
}

static bool is_idle(const struct octl *c)
{
	return c->open && c->n_tasks == 0 && oworkq_depth(c->q) == 0;
}

static void idle_look(struct octl *c)
{
	if (!olist_empty(&c->idle) && is_idle(c))
		idle_answer(c, 0);
}

static void idle_cancelled(void *arg)
{
	struct waiter *w = arg;

	olist_del(&w->node);
	w->c->h->call_done(w->call, -ECANCELED, NULL, NULL);
	omem_free(w);
}

int octl_when_idle(struct octl *c, struct orlop_call *call)
{
	struct waiter *w;

	if (is_idle(c)) {
		c->h->call_done(call, 0, NULL, NULL);
		return 0;
	}
	w = OMEM_NEW(struct waiter);
	if (!w)
		return -ENOMEM;
	w->c = c;
	w->call = call;
	olist_append(&c->idle, &w->node);
	c->h->call_on_cancel(call, idle_cancelled, w);
	return 0;
}

/* Stopped, and the last task has ended: what we wrote is in the cache. */
static void lead_pass(struct octl *c)
{
	if (!c->stopping || c->n_tasks || !c->lead)
		return;
	c->h->lead_drop(c->lead);
	c->lead = NULL;
	c->leading = false;
}

static bool all_synced(struct octl *c)
{
	uint32_t i;

	for (i = 0; i < c->n_followed; i++)
		if (!okube_informer_synced(c->followed[i]))
			return false;
	return !c->synced || c->synced(c);
}

void octl_gate(void *arg)
{
	struct octl *c = arg;
	bool open = c->leading && !c->stopping && all_synced(c);

	if (open == c->open)
		return;
	c->open = open;
	oworkq_pause(c->q, !open);
	idle_look(c);
}

static void relist(void *arg)
{
	struct octl *c = arg;
	uint32_t i;

	for (i = 0; i < c->n_followed; i++)
		okube_informer_relist(c->followed[i]);
	if (c->relist)
		c->relist(c);
}

void octl_missed(struct octl *c)
{
	c->h->timer_set(c->missed, UINT64_C(1000000000), 0);
}

void octl_hold(struct octl_task *t)
{
	t->held++;
}

void octl_release(struct octl_task *t, bool failed)
{
	struct octl *c = t->c;
	struct orlop_bytes key = { t->key, t->len };

	t->failed |= failed;
	if (--t->held)
		return;
	c->n_tasks--;
	if (!c->stopping) {
		int e = 0;

		if (t->failed) {
			e = oworkq_add_rate_limited(c->q, key);
		} else {
			oworkq_forget(c->q, key);
			if (t->again_ns != UINT64_MAX)
				e = oworkq_add_after(c->q, key, t->again_ns);
		}
		if (e)
			octl_missed(c);
		oworkq_done(c->q, key);
	}
	omem_free(t);
	lead_pass(c);
	idle_look(c);
}

struct octl *octl_of(struct octl_task *t)
{
	return t->c;
}

void octl_again(struct octl_task *t, uint64_t delay_ns)
{
	if (delay_ns < t->again_ns)
		t->again_ns = delay_ns;
}

void octl_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct octl_task *t = arg;
	bool bad = status < 0 || code >= 400;

	(void)rev;
	if (code == 404 && !strcmp(ojson_get_cstr(body, "kind", ""), "Status"))
		bad = false;	/* gone: the informer tells, and the next sync sees it */
	if (bad)
		OLOG(t->c->h, DEBUG, "write_failed", "key=%s code=%u reason=%s message=\"%s\"", t->key, code,
		     okube_reason(body), ojson_get_cstr(body, "message", ""));
	octl_release(t, bad);
}

void octl_send(struct octl_task *t, const struct okube_req *req)
{
	octl_hold(t);
	if (okube_call(t->c->h, req, octl_answer, t))
		octl_release(t, true);
}

/* From the queue: one key in hand. */
static void process(void *arg, struct orlop_bytes key)
{
	struct octl *c = arg;
	struct octl_task *t = omem_zalloc(sizeof(*t) + key.len + 1);
	const char *slash = memchr(key.p, '/', key.len);
	int e;

	if (!t) {
		if (oworkq_add_rate_limited(c->q, key))
			octl_missed(c);
		oworkq_done(c->q, key);
		return;
	}
	t->c = c;
	t->held = 1;
	t->again_ns = UINT64_MAX;
	t->len = (uint32_t)key.len;
	t->ns_len = slash ? (uint32_t)(slash - key.p) : 0;
	memcpy(t->key, key.p, key.len);
	c->n_tasks++;
	e = c->sync(c, t, (struct orlop_bytes){ t->key, t->ns_len },
		    (struct orlop_bytes){ t->key + t->ns_len + 1, t->len - t->ns_len - 1 });
	octl_release(t, e != 0);
}

int octl_init(struct octl *c, const struct orlop_host *h, const char *name, const char *component,
	      octl_sync_fn sync, uint32_t workers, struct orlop_error *err)
{
	struct oworkq_config config = { .name = name, .fn = process, .arg = c, .workers = workers,
					.paused = true };
	char own[64];

	c->h = h;
	c->name = name;
	c->sync = sync;
	olist_init(&c->idle);
	snprintf(own, sizeof(own), "%s-controller", name);
	if (h->timer_new(h, relist, c, &c->missed) || oworkq_new(h, &config, &c->q) ||
	    okube_recorder_new(h, component ? component : own, NULL, &c->events))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return 0;
}

void octl_done(struct octl *c)
{
	struct olist *n;
	uint32_t i;

	for (i = 0; i < c->n_followed; i++)
		okube_informer_free(c->followed[i]);
	c->n_followed = 0;
	if (c->missed)
		c->h->timer_free(c->missed);
	c->missed = NULL;
	if (c->lead)
		c->h->lead_drop(c->lead);
	c->lead = NULL;
	while (c->idle.next && (n = olist_shift(&c->idle)))
		omem_free(OLIST_ENTRY(n, struct waiter, node));
	oworkq_free(c->q);
	c->q = NULL;
	okube_recorder_free(c->events);
	c->events = NULL;
}

int octl_follow(struct octl *c, const char *resource, okube_change_fn fn, struct orlop_resource **ret,
		struct orlop_error *err)
{
	int e;

	if (c->n_followed == OCTL_FOLLOW_MAX)
		return orlop_fail(err, E2BIG, 0, "", "too many resources followed");
	e = okube_informer_new(c->h, resource, fn, octl_gate, c, &c->followed[c->n_followed], err);
	if (e)
		return e;
	if (ret)
		*ret = okube_informer_resource(c->followed[c->n_followed]);
	c->n_followed++;
	return 0;
}

static void lead_changed(void *arg, int32_t gained, uint64_t token)
{
	struct octl *c = arg;

	(void)token;
	c->leading = gained != 0;
	octl_gate(c);
}

int octl_start(void *ctx, struct orlop_error *err)
{
	struct octl *c = ctx;
	char name[80];
	int e;

	snprintf(name, sizeof(name), "controllers/%s", c->name);
	e = c->h->lead(c->h, name, lead_changed, c, &c->lead);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot compete for %s", name);
	c->h->ready(c->h);
	return 0;
}

int octl_stop(void *ctx, struct orlop_error *err)
{
	struct octl *c = ctx;

	(void)err;
	c->stopping = true;
	octl_gate(c);
	idle_answer(c, -ECANCELED);
	lead_pass(c);
	return 0;
}

void octl_fini(void *ctx)
{
	octl_done(ctx);
	omem_free(ctx);
}

void octl_health(void *ctx, struct orlop_health *health)
{
	struct octl *c = ctx;

	health->ok = c->open || !c->leading;
	snprintf(health->text, sizeof(health->text), "%s, %u queued", c->leading ? "leading" : "waiting",
		 oworkq_depth(c->q));
}

int octl_resync(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		struct orlop_error *err)
{
	struct octl *c = ctx;

	(void)req;
	relist(c);
	if (octl_when_idle(c, call))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return 0;
}

static int key_make(struct orlop_bytes ns, struct orlop_bytes name, struct obuf *b)
{
	obuf_append(b, ns.p ? ns.p : "", ns.len);
	obuf_putc(b, '/');
	obuf_append(b, name.p, name.len);
	return obuf_err(b);
}

void octl_add_after(struct octl *c, struct orlop_bytes ns, struct orlop_bytes name, uint64_t delay_ns)
{
	struct obuf b = OBUF_INIT;

	if (c->stopping)
		return;		/* a successor sees it; and the depth of its queue is told, not of ours */
	if (key_make(ns, name, &b) || oworkq_add_after(c->q, (struct orlop_bytes){ b.data, b.len }, delay_ns))
		octl_missed(c);
	obuf_done(&b);
}

void octl_add(struct octl *c, struct orlop_bytes ns, struct orlop_bytes name)
{
	octl_add_after(c, ns, name, 0);
}

void octl_add_controller_of(struct octl *c, const struct orlop_object *o, const char *kind)
{
	struct ojson *obj;
	const struct ojson *owner;
	uint32_t i;

	for (i = 0; i < o->n_index && o->index[i].index != ORLOP_INDEX_OWNER; i++)
		;
	if (i == o->n_index)
		return;		/* no owner at all: not parsed */
	obj = okube_parse(o);
	if (!obj)
		octl_missed(c);
	owner = okube_controller_of(obj);
	if (owner && !strcmp(ojson_get_cstr(owner, "kind", ""), kind))
		octl_add(c, o->ns, ojson_get_bytes(owner, "name"));
	ojson_unref(obj);
}

struct ojson *octl_owned(struct octl *c, struct orlop_resource *r, struct orlop_bytes ns,
			 const char *uid)
{
	struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index = ORLOP_INDEX_OWNER,
				 .has_ns = 1, .ns = ns,
				 .index_value = { uid, strlen(uid) } };
	struct ojson *out = ojson_new_array();
	struct orlop_object *o;
	struct owalk w;
	int e = out ? owalk_open(&w, c->h, r, &q) : -ENOMEM;

	if (!e) {
		while (!e && (o = owalk_next(&w)))
			e = ojson_append(out, okube_parse(o));
		owalk_close(&w);
	}
	if (e) {	/* a part would be taken for all of them */
		ojson_unref(out);
		return NULL;
	}
	return out;
}
