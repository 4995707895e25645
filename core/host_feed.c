/*
 * host_feed.c - the feed members of the host table: who may feed, what there is to feed.
 *
 * What the modules of this process want is worked out on the main loop whenever one comes or goes, and
 * kept under core->lock for feeders on other loops.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "cache/cache.h"
#include "cache/feed.h"
#include "host_cache.h"
#include "isolate.h"
#include "log.h"

struct orlop_feed {
	struct olist	node;		/* shard->held.list[CORE_HELD_FEED] */
	struct core_owner *owner;
	struct core_feed *feed;
};

/* A shard that is told when wants change. */
struct core_feed_watch {
	struct olist	node;		/* hc->feed_watches; core->lock */
	struct core_shard *shard;
	orlop_cb	changed;
	void		*arg;
	bool		fresh;		/* has not been told yet */
};

/* What each module wants, to leave out one's own. */
struct feed_want {
	struct olist	node;		/* hc->feed_wants; core->lock */
	uint32_t	instance;
	struct core_want *want;
};

/* ---- what is wanted: main loop ---------------------------------------------------------------------- */

static const char *param_text(void *arg, const char *name)
{
	const struct core_instance *inst = arg;

	for (uint32_t i = 0; inst->params && i < inst->mod.n_params; i++)
		if (strcmp(inst->params[i].def->name, name) == 0)
			return inst->params[i].value;
	return NULL;
}

static void wants_free(struct olist *l)
{
	struct olist *at;

	while ((at = olist_shift(l))) {
		struct feed_want *w = OLIST_ENTRY(at, struct feed_want, node);

		omem_free(w->want);
		omem_free(w);
	}
}

static int want_told(const struct orlop_feed_want *pub, struct olist *ret)
{
	struct feed_want *w = OMEM_NEW(struct feed_want);

	if (!w)
		return -ENOMEM;
	if (core_want_copy(pub, &w->want)) {
		omem_free(w);
		return -ENOMEM;
	}
	w->instance = UINT32_MAX;
	olist_append(ret, &w->node);
	return 0;
}

static int wants_collect(struct core *c, struct olist *ret)
{
	for (const struct core_want *w = c->hc->told.first; w; w = w->next)
		if (want_told(&w->pub, ret))
			return -ENOMEM;
	OLIST_FOREACH(at, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(at, struct core_instance, node);

		for (char **p = inst->reads; p && *p; p++) {
			struct feed_want *w = OMEM_NEW(struct feed_want);

			if (!w)
				return -ENOMEM;
			if (core_want_parse(*p, param_text, inst, &w->want, NULL)) {
				omem_free(w);	/* modinfo.c has refused what is no want */
				continue;
			}
			w->instance = inst->number;
			olist_append(ret, &w->node);
		}
	}
	return 0;
}

/* The wants of all but @instance, each once. */
static int wants_union(const struct olist *l, uint32_t instance, struct core_wants *ret)
{
	OLIST_FOREACH(at, l) {
		struct feed_want *w = OLIST_ENTRY(at, struct feed_want, node);
		const struct orlop_feed_want *pub = &w->want->pub;
		struct core_want *copy;

		if (w->instance == instance)
			continue;
		if (core_want_copy(pub, &copy)) {
			core_wants_done(ret);
			return -ENOMEM;
		}
		core_wants_add(ret, copy);
	}
	return 0;
}

static void watch_run(void *arg)
{
	struct core_shard *s = arg;
	struct core_host_cache *hc = s->inst->core->hc;
	orlop_cb changed = NULL;
	void *changed_arg = NULL;

	pthread_mutex_lock(&s->inst->core->lock);
	OLIST_FOREACH(at, &hc->feed_watches) {
		struct core_feed_watch *w = OLIST_ENTRY(at, struct core_feed_watch, node);

		if (w->shard == s) {
			changed = w->changed;
			changed_arg = w->arg;
		}
	}
	pthread_mutex_unlock(&s->inst->core->lock);
	if (changed)
		changed(changed_arg);
}

/* Main loop: modules came or went, or somebody wants to know. */
static void wants_renew(void *arg)
{
	struct core *c = arg;
	struct core_host_cache *hc = c->hc;
	struct core_wants before = { NULL }, after = { NULL };
	struct olist now;
	bool changed;

	if (!hc)
		return;
	core_isolate_wants(c);
	if (olist_empty(&hc->feed_watches))
		return;
	olist_init(&now);
	if (wants_collect(c, &now)) {
		wants_free(&now);
		(void)core_loop_post_node(c->main, &hc->wants_kick, wants_renew, c);
		return;
	}
	pthread_mutex_lock(&c->lock);
	changed = wants_union(&hc->feed_wants, 0, &before) != 0;
	{
		struct olist old;

		olist_init(&old);
		olist_splice(&old, &hc->feed_wants);
		olist_splice(&hc->feed_wants, &now);
		olist_splice(&now, &old);
	}
	changed = wants_union(&hc->feed_wants, 0, &after) != 0 || changed || !core_wants_equal(&before, &after);
	OLIST_FOREACH(at, &hc->feed_watches) {
		struct core_feed_watch *w = OLIST_ENTRY(at, struct core_feed_watch, node);

		if (!changed && !w->fresh)
			continue;
		w->fresh = core_loop_post_owned(w->shard->loop, &w->shard->held, watch_run, w->shard) != 0;
	}
	pthread_mutex_unlock(&c->lock);
	core_wants_done(&before);
	core_wants_done(&after);
	wants_free(&now);
}

void core_host_wants_kick(struct core *c)
{
	if (c->hc)
		(void)core_loop_post_node(c->main, &c->hc->wants_kick, wants_renew, c);
}

int core_host_wants_of(struct core_instance *inst, struct core_wants *ret)
{
	for (char **p = inst->reads; p && *p; p++) {
		struct core_want *w;
		int r = core_want_parse(*p, param_text, inst, &w, NULL);

		if (r == 0)
			core_wants_add(ret, w);
		if (r == -ENOMEM) {
			core_wants_done(ret);
			return r;
		}
	}
	return 0;
}

int core_host_wants_others(struct core *c, uint32_t instance, struct core_wants *ret)
{
	struct olist now;
	int r;

	olist_init(&now);
	r = wants_collect(c, &now);
	if (r == 0)
		r = wants_union(&now, instance, ret);
	wants_free(&now);
	return r;
}

void core_host_wants_told(struct core *c, struct core_wants *take_wants)
{
	core_wants_done(&c->hc->told);
	c->hc->told = *take_wants;
	take_wants->first = NULL;
	core_host_wants_kick(c);
}

void core_host_feed_done(struct core_host_cache *hc)
{
	struct olist *at;

	core_wants_done(&hc->told);
	wants_free(&hc->feed_wants);
	while ((at = olist_shift(&hc->feed_watches)))
		omem_free(OLIST_ENTRY(at, struct core_feed_watch, node));
}

/* ---- the table --------------------------------------------------------------------------------------- */

static bool may_feed(const struct core_instance *inst)
{
	for (char **p = inst->provides; p && *p; p++)
		if (strcmp(*p, "feed") == 0)
			return true;
	return false;
}

static int host_feed_open(const struct orlop_host *h, const char *resource, struct orlop_feed **ret,
			  struct orlop_error *err)
{
	struct core_shard *s = core_shard_of(h);
	struct orlop_feed *f;
	int r;

	if (!may_feed(s->inst))
		return orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not feed %s: its modinfo "
				  "does not say provides=feed", s->inst->name, resource);
	if (core_cache_fed(s->inst->core->cache))
		return orlop_fail(err, EBUSY, 0, "", "%s is fed from the storage of this process", resource);
	f = OMEM_NEW(struct orlop_feed);
	if (!f)
		return orlop_fail(err, ENOMEM, 0, "", "feed of %s: out of memory", resource);
	r = core_feed_open(s->inst->core->cache, resource, s->inst->name, &f->feed, err);
	if (r) {
		omem_free(f);
		return r;
	}
	f->owner = &s->held;
	olist_append(&s->held.list[CORE_HELD_FEED], &f->node);
	core_owner_inc(&s->held, CORE_HELD_FEED);
	*ret = f;
	return 0;
}

static void host_feed_close(struct orlop_feed *f)
{
	if (!f)
		return;
	core_feed_close(f->feed);
	olist_del(&f->node);
	core_owner_dec(f->owner, CORE_HELD_FEED);
	omem_free(f);
}

static uint64_t host_feed_rev(const struct orlop_feed *f)
{
	return core_feed_rev(f->feed);
}

static int host_feed_put(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
			 struct orlop_bytes record, uint64_t rev)
{
	return core_feed_put(f->feed, ns, name, record, rev);
}

static int host_feed_del(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
			 uint64_t rev)
{
	return core_feed_del(f->feed, ns, name, rev);
}

static int host_feed_commit(struct orlop_feed *f, uint64_t rev)
{
	return core_feed_commit(f->feed, rev);
}

static int host_feed_list_begin(struct orlop_feed *f, uint32_t flags)
{
	return core_feed_list_begin(f->feed, flags & ORLOP_FEED_LOST);
}

static int host_feed_list_end(struct orlop_feed *f, uint64_t rev)
{
	return core_feed_list_end(f->feed, rev);
}

static void host_feed_fail(struct orlop_feed *f, int32_t err)
{
	core_feed_fail(f->feed, err);
}

static struct core_feed_watch *watch_take(struct core_shard *s)
{
	OLIST_FOREACH(at, &s->inst->core->hc->feed_watches) {
		struct core_feed_watch *w = OLIST_ENTRY(at, struct core_feed_watch, node);

		if (w->shard == s) {
			olist_del(&w->node);
			return w;
		}
	}
	return NULL;
}

static int host_feed_wants(const struct orlop_host *h, orlop_cb changed, void *arg)
{
	struct core_shard *s = core_shard_of(h);
	struct core *c = s->inst->core;
	struct core_feed_watch *w = changed ? OMEM_NEW(struct core_feed_watch) : NULL;
	struct core_feed_watch *old;

	if (changed && !w)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	old = watch_take(s);
	if (w) {
		w->shard = s;
		w->changed = changed;
		w->arg = arg;
		w->fresh = true;
		olist_append(&c->hc->feed_watches, &w->node);
	}
	pthread_mutex_unlock(&c->lock);
	omem_free(old);
	core_host_wants_kick(c);
	return 0;
}

static void host_feed_want_list(const struct orlop_host *h,
				void (*fn)(void *arg, const struct orlop_feed_want *want), void *arg)
{
	struct core_instance *inst = core_shard_of(h)->inst;
	struct core_wants l = { NULL };
	int r;

	pthread_mutex_lock(&inst->core->lock);
	r = wants_union(&inst->core->hc->feed_wants, inst->number, &l);
	pthread_mutex_unlock(&inst->core->lock);
	if (r)
		core_host_wants_kick(inst->core);
	for (struct core_want *w = l.first; w; w = w->next)
		fn(arg, &w->pub);
	core_wants_done(&l);
}

uint32_t core_host_feed_reclaim(struct core_shard *s)
{
	struct core *c = s->inst->core;
	struct core_feed_watch *w;
	struct olist *n;
	uint32_t count = 0;

	pthread_mutex_lock(&c->lock);
	w = watch_take(s);
	pthread_mutex_unlock(&c->lock);
	omem_free(w);
	core_host_wants_kick(c);
	while ((n = olist_first(&s->held.list[CORE_HELD_FEED]))) {
		host_feed_close(OLIST_ENTRY(n, struct orlop_feed, node));
		count++;
	}
	return count;
}

void core_host_fill_feed(struct orlop_host *h)
{
	h->feed_open = host_feed_open;
	h->feed_close = host_feed_close;
	h->feed_rev = host_feed_rev;
	h->feed_put = host_feed_put;
	h->feed_del = host_feed_del;
	h->feed_commit = host_feed_commit;
	h->feed_list_begin = host_feed_list_begin;
	h->feed_list_end = host_feed_list_end;
	h->feed_fail = host_feed_fail;
	h->feed_wants = host_feed_wants;
	h->feed_want_list = host_feed_want_list;
	/* A table is filled when a module comes, just before it is listed. */
	core_host_wants_kick(core_shard_of(h)->inst->core);
}
