/*
 * host_cache.c - the cache members of the host table, and what the cache needs from the core: a loop
 * to be told on, a clock, and its feeder, which is a client of the address "storage".
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "cache/feeder.h"
#include "cache/internal.h"
#include "host_cache.h"
#include "isolate.h"
#include "loader.h"
#include "log.h"
#include "tap.h"

/* An open resource of a module: the cache knows no owners, the core does. */
struct held {
	struct olist	node;		/* shard->held.list[CORE_HELD_RESOURCE] */
	struct orlop_resource *res;
	struct core_owner *owner;
	struct core_instance *inst;
	orlop_note_fn	note;		/* the module's, NULL: it is told nothing */
	void		*note_arg;
};

/* ---- hooks ------------------------------------------------------------------------------------- */

static uint64_t hook_now(void *ctx)
{
	(void)ctx;
	return core_now_mono();
}

static int hook_post(void *ctx, void *loop, void (*fn)(void *arg), void *arg)
{
	(void)ctx;
	return core_loop_post(loop, fn, arg);
}

static void hook_log(void *ctx, int32_t level, const char *event, const char *text)
{
	struct core *c = ctx;

	/* While the daemon ends the storage goes, and that is no news. */
	if (!c->loader->stopping)
		core_log_write(c->log, "core/cache", level, event, text);
}

static void cache_tick(void *arg)
{
	struct core *c = arg;

	c->hc->tick_at = 0;
	core_cache_tick(c->cache);
}

/* On the main loop: arm the timer for the earliest of what was asked. */
static void cache_kicked(void *arg)
{
	struct core *c = arg;
	uint64_t at = c->hc ? atomic_exchange(&c->hc->kick_at, UINT64_MAX) : UINT64_MAX;
	uint64_t now = core_now_mono();

	if (at == UINT64_MAX || (c->hc->tick_at && c->hc->tick_at <= at))
		return;
	c->hc->tick_at = at;
	core_timer_set(c->hc->tick, at > now ? at - now : 0, 0);
}

static void hook_kick(void *ctx, uint64_t delay_ns)
{
	struct core *c = ctx;
	uint64_t at = core_now_mono() + delay_ns;
	uint64_t old = atomic_load(&c->hc->kick_at);

	while (at < old)
		if (atomic_compare_exchange_weak(&c->hc->kick_at, &old, at)) {
			(void)core_loop_post_node(c->main, &c->hc->kick, cache_kicked, c);
			return;
		}
}

static void cache_moved(void *arg)
{
	core_isolate_moved(arg);
}

static void hook_moved(void *ctx)
{
	struct core *c = ctx;

	if (!atomic_load_explicit(&c->hc->feeding, memory_order_relaxed))
		return;
	(void)atomic_fetch_add(&c->hc->moves, 1);
	(void)core_loop_post_node(c->main, &c->hc->moved, cache_moved, c);
}

static void cache_past(void *arg)
{
	struct core *c = arg;

	if (c->up)
		core_up_feed_past(c->up);
}

static void hook_past(void *ctx)
{
	struct core *c = ctx;

	(void)core_loop_post_node(c->main, &c->hc->past, cache_past, c);
}

/* ---- the feeder's world --------------------------------------------------------------------------- */

static void feeder_replied(void *arg, int32_t status, const struct orlop_msg *msg,
			   const struct orlop_error *err, uint32_t flags)
{
	struct core_feed_call *f = arg;
	orlop_reply_fn cb = f->cb;

	if (!(flags & ORLOP_REPLY_MORE)) {
		if (f->hc->call == f)
			f->hc->call = NULL;
		f->cb = NULL;
	}
	if (cb)
		cb(f->arg, status, msg, err, flags);
	if (!(flags & ORLOP_REPLY_MORE))
		omem_free(f);
}

static int feeder_request(void *ctx, uint32_t op, const struct orlop_msg *msg, uint64_t timeout_ns,
			  orlop_reply_fn cb, void *arg)
{
	struct core *c = ctx;
	struct core_feed_call *f = OMEM_NEW(struct core_feed_call);
	struct orlop_send send = { .size = sizeof(send), .op = op, .to = "storage", .msg = *msg,
				   .timeout_ns = timeout_ns };
	int r;

	if (!f)
		return -ENOMEM;
	f->hc = c->hc;
	f->cb = cb;
	f->arg = arg;
	c->hc->call = f;
	r = core_link_request(c->self->shards[0].link, &send, feeder_replied, f, &f->req);
	if (r) {
		c->hc->call = NULL;
		omem_free(f);
	}
	return r;
}

static void feeder_cancel(void *ctx)
{
	struct core *c = ctx;
	struct core_feed_call *f = c->hc->call;

	if (!f)
		return;
	/* The answer still comes; nobody is told. */
	f->cb = NULL;
	c->hc->call = NULL;
	core_request_cancel(f->req);
}

static void feeder_due(void *arg)
{
	core_feeder_timer(((struct core *)arg)->hc->feeder);
}

static void feeder_timer(void *ctx, uint64_t delay_ns)
{
	struct core *c = ctx;

	if (delay_ns == UINT64_MAX)
		core_timer_clear(c->hc->feed);
	else
		core_timer_set(c->hc->feed, delay_ns, 0);
}

static struct orlop_bytes feeder_blob(const struct orlop_blob *b)
{
	return core_blob_bytes(b);
}

/* ---- life ----------------------------------------------------------------------------------------- */

int core_host_cache_new(struct core *c)
{
	struct core_cache_hooks hooks = { .ctx = c, .now = hook_now, .post = hook_post, .kick = hook_kick,
					  .log = hook_log, .moved = hook_moved, .past = hook_past };
	struct core_feeder_io io = { .ctx = c, .request = feeder_request, .cancel = feeder_cancel,
				     .timer = feeder_timer, .blob_bytes = feeder_blob, .log = hook_log };
	int r;

	c->hc = OMEM_NEW(struct core_host_cache);
	if (!c->hc)
		return -ENOMEM;
	atomic_init(&c->hc->kick_at, UINT64_MAX);
	omap_init(&c->hc->held);
	olist_init(&c->hc->feed_wants);
	olist_init(&c->hc->feed_watches);
	r = core_timer_new(c->main, NULL, cache_tick, c, &c->hc->tick);
	if (r == 0)
		r = core_timer_new(c->main, NULL, feeder_due, c, &c->hc->feed);
	if (r == 0)
		r = core_cache_new(&hooks, &c->cache);
	if (r == 0)
		r = core_feeder_new(c->cache, &io, &c->hc->feeder);
	/* In the process of an isolated module its parent does it: isolate_feed.c. */
	if (r == 0 && !c->up)
		core_feeder_start(c->hc->feeder);
	return r;
}

void core_host_cache_stop(struct core *c)
{
	if (!c->hc)
		return;
	core_feeder_free(c->hc->feeder);
	c->hc->feeder = NULL;
}

static void hc_free(void *arg)
{
	omem_free(arg);
}

void core_host_cache_free(struct core *c)
{
	struct core_host_cache *hc = c->hc;

	if (!hc)
		return;
	core_host_cache_stop(c);
	core_timer_free(hc->tick);
	core_timer_free(hc->feed);
	core_cache_free(c->cache);
	core_host_feed_done(hc);
	omap_done(&hc->held);
	c->cache = NULL;
	c->hc = NULL;
	/* Behind its own posts, which may be under way. */
	if (core_loop_post(c->main, hc_free, hc))
		omem_free(hc);
}

/* ---- the table ------------------------------------------------------------------------------------ */

/* "pods" or "pods;metadata" or "*" in the modinfo's reads=. */
static bool may_read(const struct core_instance *inst, const char *name)
{
	size_t n = strlen(name);

	for (char **p = inst->reads; p && *p; p++)
		if (((*p)[0] == '*' && ((*p)[1] == '\0' || (*p)[1] == ';')) ||
		    (strncmp(*p, name, n) == 0 && ((*p)[n] == '\0' || (*p)[n] == ';')))
			return true;
	/* The list of resources is data that everybody may see. */
	return strcmp(name, "resources") == 0;
}

static int host_resource_open(const struct orlop_host *h, const char *name,
			      struct orlop_resource **ret, struct orlop_error *err)
{
	struct core_shard *s = core_shard_of(h);
	struct core *c = s->inst->core;
	struct orlop_resource *res;
	struct held *held;
	int r;

	*ret = NULL;
	if (!may_read(s->inst, name)) {
		CLOG(c, WARN, "module_forbidden", "why=\"module %s may not read %s\"", s->inst->name, name);
		return orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not read %s: its modinfo "
				  "does not say reads=%s", s->inst->name, name, name);
	}
	held = OMEM_NEW(struct held);
	if (!held)
		return orlop_fail(err, ENOMEM, 0, "", "open resource %s: out of memory", name);
	r = core_cache_open(c->cache, name, s->loop, s->inst->name, &res, err);
	if (r) {
		omem_free(held);
		return r;
	}
	held->owner = &s->held;
	held->inst = s->inst;
	held->res = res;
	pthread_mutex_lock(&c->lock);
	r = omap_put(&c->hc->held, &res, sizeof(res), held, NULL);
	pthread_mutex_unlock(&c->lock);
	if (r) {
		core_cache_close(res);
		omem_free(held);
		return orlop_fail(err, ENOMEM, 0, "", "open resource %s: out of memory", name);
	}
	olist_append(&s->held.list[CORE_HELD_RESOURCE], &held->node);
	core_owner_inc(&s->held, CORE_HELD_RESOURCE);
	*ret = res;
	return 0;
}

/* A note is a callback like any other: its time counts, and who traces the module sees it. */
static void noted(void *arg, struct orlop_resource *r, uint64_t rev)
{
	struct held *held = arg;
	struct core_owner *o = held->owner;
	uint64_t t0 = core_owner_enter(o);

	core_tap_note(held->inst->core, held->inst->name, r->res->name, rev);
	held->note(held->note_arg, r, rev);	/* may close it */
	core_owner_leave(o, t0);
}

static void host_resource_watch(struct orlop_resource *r, orlop_note_fn cb, void *arg)
{
	struct core *c = r->c->hooks.ctx;
	struct held *held;

	pthread_mutex_lock(&c->lock);
	held = omap_get(&c->hc->held, &r, sizeof(r));
	pthread_mutex_unlock(&c->lock);
	if (held && cb) {
		held->note = cb;
		held->note_arg = arg;
		cb = noted;
		arg = held;
	}
	core_cache_watch(r, cb, arg);
}

static void host_resource_close(struct orlop_resource *r)
{
	struct core *c;
	struct held *held;

	if (!r)
		return;
	c = r->c->hooks.ctx;
	pthread_mutex_lock(&c->lock);
	held = omap_del(&c->hc->held, &r, sizeof(r));
	pthread_mutex_unlock(&c->lock);
	if (held) {
		olist_del(&held->node);
		core_owner_dec(held->owner, CORE_HELD_RESOURCE);
		omem_free(held);
	}
	core_cache_close(r);
}

uint32_t core_host_cache_reclaim(struct core_shard *s)
{
	struct olist *n;
	uint32_t count = core_host_feed_reclaim(s);

	while ((n = olist_first(&s->held.list[CORE_HELD_RESOURCE]))) {
		host_resource_close(OLIST_ENTRY(n, struct held, node)->res);
		count++;
	}
	return count;
}

/* The resources of the API are described by whoever answers for it. */
static int may_register(const struct core_instance *inst)
{
	for (char **p = inst->provides; p && *p; p++)
		if (strcmp(*p, "api") == 0)
			return 1;
	return 0;
}

static int host_resource_register(const struct orlop_host *h, const struct orlop_resource_info *info,
				  struct orlop_error *err)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	if (!may_register(inst))
		return orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not register resources: "
				  "its modinfo does not say provides=api", inst->name);
	return inst->core->up ? core_up_register(inst->core->up, info, err) :
		core_cache_register(inst->core->cache, info, err);
}

static int host_resource_retire(const struct orlop_host *h, const char *name)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	if (!may_register(inst))
		return -EACCES;
	return inst->core->up ? core_up_retire(inst->core->up, name) : core_cache_retire(inst->core->cache, name);
}

static void host_resource_list(const struct orlop_host *h,
			       void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg)
{
	core_cache_list(core_shard_of(h)->inst->core->cache, fn, arg);
}

void core_host_fill_cache(struct orlop_host *h)
{
	h->resource_open = host_resource_open;
	h->resource_close = host_resource_close;
	h->resource_watch = host_resource_watch;
	h->resource_rev = core_cache_rev;
	h->resource_index = core_cache_index;
	h->resource_info = core_cache_info;
	h->journal_read = core_cache_journal_read;
	h->journal_oldest = core_cache_journal_oldest;
	h->snapshot_open = core_cache_snapshot_open;
	h->snapshot_close = core_cache_snapshot_close;
	h->snapshot_rev = core_cache_snapshot_rev;
	h->snapshot_count = core_cache_snapshot_count;
	h->snapshot_get = core_cache_snapshot_get;
	h->iter_open = core_cache_iter_open;
	h->iter_next = core_cache_iter_next;
	h->iter_close = core_cache_iter_close;
	h->object_ref = core_cache_object_ref;
	h->object_unref = core_cache_object_unref;
	h->cache_wait = core_cache_wait;
	h->resource_register = host_resource_register;
	h->resource_retire = host_resource_retire;
	h->resource_list = host_resource_list;
	core_host_fill_feed(h);
}
