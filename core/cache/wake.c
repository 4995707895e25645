/*
 * wake.c - hints to watchers, and who waits for a revision.
 *
 * A hint says only "handle H has news"; it may be lost. So a handle is pending from the moment a
 * hint is due until core_cache_note() runs on its loop, and a pending handle is hinted again, at
 * growing intervals, for as long as it takes. News that come meanwhile need no hint of their own.
 */
#include "internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/omem.h"

/* Of a post that has no memory. */
#define POST_TRIES	50
#define POST_PAUSE_US	1000

/* One who waits. Freed on the handle's loop, but by core_cache_close() only if no post is under way. */
struct waiter {
	struct olist	node;		/* T: c->waits, alone when done */
	struct olist	of_handle;	/* T: r->waiters */
	struct orlop_resource *handle;	/* T: NULL once closed */
	struct core_cache *c;
	uint64_t	rev;
	uint64_t	deadline_ns;	/* UINT64_MAX: none */
	orlop_wait_fn	cb;
	void		*arg;
	int32_t		status;
	bool		posted;		/* T: waiter_run is under way */
};

struct posted_note {
	struct core_cache *c;
	uint64_t	id;
};

/* ---- watchers ----------------------------------------------------------------------------------- */

void core_wake_later(struct core_res *res)
{
	struct core_cache *c = res->c;

	(void)pthread_mutex_lock(&c->lock);
	if (!res->wake) {
		res->wake = true;
		res->next_wake = c->wake;
		c->wake = res;
	}
	(void)pthread_mutex_unlock(&c->lock);
}

static void note_run(void *arg)
{
	struct posted_note *n = arg;
	struct core_cache *c = n->c;
	uint64_t id = n->id;

	omem_free(n);
	core_cache_note(c, id);
}

/* Sends one hint. False: it will have to be repeated. */
static bool note_send(struct core_cache *c, void *loop, uint64_t id)
{
	struct posted_note *n;

	if (c->hooks.note) {
		c->hooks.note(c->hooks.ctx, loop, id);
		return false;	/* as far as we know */
	}
	n = OMEM_NEW(struct posted_note);
	if (!n)
		return false;
	n->c = c;
	n->id = id;
	if (c->hooks.post(c->hooks.ctx, loop, note_run, n) == 0)
		return true;
	omem_free(n);
	return false;
}

/* A few of the handles that are due a hint; under R. Returns how many, fewer than @max: all. */
static uint32_t notes_collect(struct core_res *res, uint64_t now_ns, void **loops, uint64_t *ids,
			      uint32_t max)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &res->handles) {
		struct orlop_resource *r = OLIST_ENTRY(at, struct orlop_resource, node);

		if (!r->unsent)
			continue;
		if (n == max)
			break;
		r->unsent = false;
		r->noted_ns = now_ns;
		loops[n] = r->loop;
		ids[n++] = r->id;
	}
	return n;
}

static void res_notify(struct core_res *res, bool fresh)
{
	struct core_cache *c = res->c;
	uint64_t now_ns = core_cache_now(c);
	bool again = false;
	void *loops[16];
	uint64_t ids[16];
	uint32_t n;

	do {
		(void)pthread_mutex_lock(&res->lock);
		OLIST_FOREACH(at, &res->handles) {
			struct orlop_resource *r = OLIST_ENTRY(at, struct orlop_resource, node);

			if (!fresh || !r->cb || r->pending)
				continue;
			r->pending = true;
			r->unsent = true;
			r->renote_ns = RENOTE_NS;
		}
		fresh = false;
		n = notes_collect(res, now_ns, loops, ids, 16);
		(void)pthread_mutex_unlock(&res->lock);
		for (uint32_t i = 0; i < n; i++)
			again |= !note_send(c, loops[i], ids[i]);
	} while (n == 16);
	if (again)
		c->hooks.kick(c->hooks.ctx, RENOTE_NS);
}

void core_wake_watchers(struct core_cache *c)
{
	for (;;) {
		struct core_res *res;

		(void)pthread_mutex_lock(&c->lock);
		res = c->wake;
		if (res) {
			c->wake = res->next_wake;
			res->wake = false;
		}
		(void)pthread_mutex_unlock(&c->lock);
		if (!res)
			break;
		res_notify(res, true);
	}
	if (c->hooks.moved)
		c->hooks.moved(c->hooks.ctx);
}

void core_cache_watch(struct orlop_resource *r, orlop_note_fn cb, void *arg)
{
	struct core_res *res = r->res;

	(void)pthread_mutex_lock(&res->lock);
	r->cb = cb;
	r->arg = arg;
	r->pending = cb != NULL;
	r->unsent = cb != NULL;
	r->renote_ns = RENOTE_NS;
	(void)pthread_mutex_unlock(&res->lock);
	if (cb)
		res_notify(res, false);
}

void core_cache_note(struct core_cache *c, uint64_t id)
{
	struct orlop_resource *r = NULL;
	uint32_t slot = (uint32_t)id;
	orlop_note_fn cb = NULL;
	void *arg = NULL;

	(void)pthread_mutex_lock(&c->lock);
	if (slot < c->n_slots && c->slots[slot].seq == (uint32_t)(id >> 32))
		r = c->slots[slot].handle;
	(void)pthread_mutex_unlock(&c->lock);
	if (!r)
		return;
	/* It cannot go away: it is closed on this loop. */
	(void)pthread_mutex_lock(&r->res->lock);
	if (r->pending) {
		r->pending = false;
		r->unsent = false;
		cb = r->cb;
		arg = r->arg;
	}
	(void)pthread_mutex_unlock(&r->res->lock);
	if (cb)
		cb(arg, r, core_cache_rev(r, NULL));
}

/* ---- waiters -------------------------------------------------------------------------------------- */

static void waiter_run(void *arg)
{
	struct waiter *w = arg;
	struct core_cache *c = w->c;
	bool open;

	(void)pthread_mutex_lock(&c->wait_lock);
	open = w->handle != NULL;
	if (open)
		olist_del(&w->of_handle);
	(void)pthread_mutex_unlock(&c->wait_lock);
	if (open)
		w->cb(w->arg, w->status);
	omem_free(w);
}

static void waiter_insert(struct core_cache *c, struct waiter *w);

/* @w is off c->waits and posted is set. No lock held. False: there is no memory for it now. */
static bool waiter_post(struct core_cache *c, struct waiter *w, void *loop)
{
	bool closed;
	int r = c->hooks.post(c->hooks.ctx, loop, waiter_run, w);

	/* Nobody else would tell it: without memory it is tried again, for a moment. */
	for (int i = 0; r == -ENOMEM && i < POST_TRIES; i++) {
		(void)usleep(POST_PAUSE_US);
		r = c->hooks.post(c->hooks.ctx, loop, waiter_run, w);
	}
	if (r == 0)
		return true;
	(void)pthread_mutex_lock(&c->wait_lock);
	closed = w->handle == NULL;
	w->posted = false;
	/* Then the next commit does it, or its time limit. */
	if (!closed && r == -ENOMEM)
		waiter_insert(c, w);
	(void)pthread_mutex_unlock(&c->wait_lock);
	/* Else the loop is ending: core_cache_close() calls back, if it has not been there already. */
	if (closed)
		omem_free(w);
	return r != -ENOMEM;
}

/*
 * Takes a waiter that is done off the list, or NULL: those of @failed, those that are too late
 * (@now_ns), or those that have their revision.
 */
static struct waiter *waiter_take(struct core_cache *c, uint64_t now_ns, struct core_res *failed,
				  void **ret_loop)
{
	uint64_t applied = atomic_load_explicit(&c->applied, memory_order_acquire);
	uint64_t limit = atomic_load_explicit(&c->high, memory_order_acquire);

	OLIST_FOREACH(at, &c->waits) {
		struct waiter *w = OLIST_ENTRY(at, struct waiter, node);

		if (failed) {
			if (w->handle->res != failed)
				continue;
			w->status = -atomic_load_explicit(&failed->err, memory_order_acquire);
		} else if (now_ns) {
			if (w->deadline_ns > now_ns)
				continue;
			w->status = -ETIMEDOUT;
		} else {
			if (w->rev > limit)
				return NULL;
			if (core_res_rev(w->handle->res, applied) < w->rev)
				continue;
			w->status = 0;
		}
		olist_del(&w->node);
		w->posted = true;
		*ret_loop = w->handle->loop;
		return w;
	}
	return NULL;
}

static void waiters_post(struct core_cache *c, uint64_t now_ns, struct core_res *failed)
{
	for (;;) {
		struct waiter *w;
		void *loop;

		(void)pthread_mutex_lock(&c->wait_lock);
		w = waiter_take(c, now_ns, failed, &loop);
		(void)pthread_mutex_unlock(&c->wait_lock);
		if (!w)
			return;
		if (!waiter_post(c, w, loop))
			return;
	}
}

void core_wake_waiters(struct core_cache *c)
{
	waiters_post(c, 0, NULL);
}

void core_wake_failed(struct core_res *res)
{
	waiters_post(res->c, 0, res);
}

/* Behind those who wait for as much or less: revisions mostly come in order. Under T. */
static void waiter_insert(struct core_cache *c, struct waiter *w)
{
	struct olist *at = c->waits.prev;

	while (at != &c->waits && OLIST_ENTRY(at, struct waiter, node)->rev > w->rev)
		at = at->prev;
	olist_insert(&w->node, at, at->next);
}

int core_cache_wait(struct orlop_resource *r, uint64_t rev, uint64_t timeout_ns, orlop_wait_fn cb,
		    void *arg)
{
	struct core_cache *c = r->c;
	struct waiter *w = OMEM_NEW(struct waiter);
	uint64_t now_ns = core_cache_now(c);
	uint64_t deadline_ns = timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;

	if (!w)
		return -ENOMEM;
	w->c = c;
	w->handle = r;
	w->rev = rev;
	w->deadline_ns = deadline_ns;
	w->cb = cb;
	w->arg = arg;
	(void)pthread_mutex_lock(&c->wait_lock);
	olist_append(&r->waiters, &w->of_handle);
	waiter_insert(c, w);
	(void)pthread_mutex_unlock(&c->wait_lock);
	/* A commit may have come between: from here on either it or we see the other. */
	waiters_post(c, 0, NULL);
	if (atomic_load_explicit(&r->res->err, memory_order_acquire))
		waiters_post(c, 0, r->res);
	else if (core_res_rev(r->res, core_cache_applied(c)) < rev && deadline_ns != UINT64_MAX)
		c->hooks.kick(c->hooks.ctx, timeout_ns);
	return 0;
}

void core_wake_close(struct orlop_resource *r)
{
	struct core_cache *c = r->c;

	for (;;) {
		struct waiter *w = NULL;
		struct olist *at;
		orlop_wait_fn cb;
		void *arg;

		(void)pthread_mutex_lock(&c->wait_lock);
		at = olist_shift(&r->waiters);
		if (at) {
			w = OLIST_ENTRY(at, struct waiter, of_handle);
			cb = w->cb;
			arg = w->arg;
			w->handle = NULL;
			if (w->posted) {
				w = NULL;	/* waiter_run frees it */
			} else {
				olist_del(&w->node);
			}
		}
		(void)pthread_mutex_unlock(&c->wait_lock);
		if (!at)
			return;
		omem_free(w);
		cb(arg, -ECANCELED);
	}
}

void core_wake_forget(struct orlop_resource *r)
{
	struct olist *at;

	while ((at = olist_shift(&r->waiters))) {
		struct waiter *w = OLIST_ENTRY(at, struct waiter, of_handle);

		olist_del(&w->node);
		omem_free(w);
	}
}

/* ---- the clock -------------------------------------------------------------------------------------- */

static uint64_t res_renote(struct core_res *res, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;
	bool due = false;

	(void)pthread_mutex_lock(&res->lock);
	OLIST_FOREACH(at, &res->handles) {
		struct orlop_resource *r = OLIST_ENTRY(at, struct orlop_resource, node);

		if (!r->pending)
			continue;
		if (r->noted_ns + r->renote_ns <= now_ns) {
			r->unsent = true;
			r->renote_ns = r->renote_ns * 2 < RENOTE_MAX_NS ? r->renote_ns * 2 : RENOTE_MAX_NS;
			due = true;
			if (now_ns + r->renote_ns < next)
				next = now_ns + r->renote_ns;
		} else if (r->noted_ns + r->renote_ns < next) {
			next = r->noted_ns + r->renote_ns;
		}
	}
	(void)pthread_mutex_unlock(&res->lock);
	if (due)
		res_notify(res, false);
	return next;
}

uint64_t core_wake_tick(struct core_cache *c, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;
	for (struct core_res *res = core_res_first(c); res; res = res->next) {
		uint64_t at = res_renote(res, now_ns);

		if (at < next)
			next = at;
	}
	waiters_post(c, now_ns, NULL);
	(void)pthread_mutex_lock(&c->wait_lock);
	OLIST_FOREACH(at, &c->waits) {
		struct waiter *w = OLIST_ENTRY(at, struct waiter, node);

		if (w->deadline_ns < next)
			next = w->deadline_ns;
	}
	(void)pthread_mutex_unlock(&c->wait_lock);
	return next;
}
