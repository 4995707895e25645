/* cache.c - the cache as a whole: its making and end, housekeeping, what it tells about itself. */
#include "cache.h"

#include <errno.h>

#include "base/omem.h"
#include "internal.h"

#define RECLAIM_TICK 4096u	/* dead things freed in a slice: under a millisecond */

int core_cache_new(const struct core_cache_hooks *hooks, struct core_cache **ret)
{
	struct core_cache *c = OMEM_NEW(struct core_cache);

	if (!c)
		return -ENOMEM;
	c->hooks = *hooks;
	(void)pthread_mutex_init(&c->write, NULL);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_mutex_init(&c->wait_lock, NULL);
	omap_init(&c->names);
	olist_init(&c->waits);
	if (core_registry_init(c)) {
		core_cache_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

/* Whatever modules left open. */
static void res_leave(struct core_res *res)
{
	struct olist *at;

	while ((at = olist_shift(&res->snapshots))) {
		struct orlop_snapshot *s = OLIST_ENTRY(at, struct orlop_snapshot, node);

		if (oref_put(&s->handle->ref))
			omem_free(s->handle);
		omem_free(s);
	}
	while ((at = olist_shift(&res->handles))) {
		struct orlop_resource *r = OLIST_ENTRY(at, struct orlop_resource, node);

		core_wake_forget(r);
		if (oref_put(&r->ref))
			omem_free(r);
	}
}

void core_cache_free(struct core_cache *c)
{
	struct core_res *res;

	if (!c)
		return;
	while ((res = c->all)) {
		c->all = res->next;
		res_leave(res);
		core_res_free(res);
	}
	core_tree_trim(&c->edit, 0);
	omap_done(&c->names);
	omem_free(c->slots);
	(void)pthread_mutex_destroy(&c->wait_lock);
	(void)pthread_mutex_destroy(&c->lock);
	(void)pthread_mutex_destroy(&c->write);
	omem_free(c);
}

void core_cache_tick(struct core_cache *c)
{
	uint64_t now_ns = core_cache_now(c);
	bool more;
	uint64_t next;

	core_cache_begin(c);
	more = core_gen_reclaim(c, RECLAIM_TICK);
	for (struct core_res *res = core_res_first(c); res; res = res->next)
		more |= core_journal_slice(res, now_ns);
	core_cache_pause(c);
	next = core_wake_tick(c, now_ns);
	if (more)
		c->hooks.kick(c->hooks.ctx, 0);
	else if (next != UINT64_MAX)
		c->hooks.kick(c->hooks.ctx, next > now_ns ? next - now_ns : 0);
}

void core_cache_stats(struct core_cache *c, void (*fn)(void *arg, const struct core_cache_stat *s),
		      void *arg)
{
	uint64_t now_ns = core_cache_now(c);

	for (struct core_res *res = core_res_first(c); res; res = res->next) {
		struct core_cache_stat s = { .name = res->name };
		char owner[64] = "";
		struct olist *at;

		core_cache_begin(c);
		(void)pthread_mutex_lock(&res->lock);
		s.registered = res->info != NULL;
		s.synced = atomic_load_explicit(&res->live, memory_order_relaxed);
		s.journal_entries = res->journal.n;
		s.journal_bytes = res->journal.bytes;
		s.journal_total = res->journal.total;
		s.journal_cap = res->journal.cap;
		s.snapshots = res->n_snapshots;
		OLIST_FOREACH(h, &res->handles)
			s.handles++;
		at = olist_first(&res->snapshots);
		if (at) {
			struct orlop_snapshot *oldest = OLIST_ENTRY(at, struct orlop_snapshot, node);

			for (size_t i = 0; i + 1 < sizeof(owner) && oldest->handle->owner[i]; i++)
				owner[i] = oldest->handle->owner[i];
			s.oldest_snapshot_ns = now_ns - oldest->opened_ns;
			s.oldest_snapshot_owner = owner;
		}
		(void)pthread_mutex_unlock(&res->lock);
		s.rev = core_res_rev(res, core_cache_applied(c));
		s.objects = res->count;
		s.object_bytes = res->bytes;
		s.generations = res->n_gens;
		core_cache_pause(c);
		fn(arg, &s);
	}
}
