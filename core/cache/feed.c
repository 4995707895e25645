/*
 * feed.c - feeding one resource; see feed.h.
 *
 * Such a resource has a revision of its own (res->own): what storage commits does not move it. Changes
 * wait in the resource's tree and in its pending journal entries until they are published. A list
 * that ends is a batch like any other: the entries are put in order, those that the list found only now
 * carry its revision. If cursors cannot go on (history is lost, a revision went back, or something
 * changed without one) the journal begins anew.
 */
#include "feed.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "internal.h"

#define RECLAIM_COMMIT	1024u

/* ---- life --------------------------------------------------------------------------------------- */

/* From now on it moves by its feed. Under W. */
static void own_begin(struct core_res *res)
{
	if (atomic_load_explicit(&res->own, memory_order_relaxed))
		return;
	(void)pthread_mutex_lock(&res->lock);
	res->own_fed = res->count > 0 && atomic_load_explicit(&res->c->fed, memory_order_relaxed);
	atomic_store_explicit(&res->rev, res->own_fed ? core_res_rev(res, core_cache_applied(res->c)) : 0,
			      memory_order_release);
	atomic_store_explicit(&res->own, true, memory_order_release);
	(void)pthread_mutex_unlock(&res->lock);
	res->own_listing = false;
	res->own_torn = false;
	core_res_live_update(res);
}

int core_feed_open(struct core_cache *c, const char *resource, const char *owner,
		   struct core_feed **ret, struct orlop_error *err)
{
	struct orlop_bytes name = { resource, strlen(resource) };
	struct core_feed *f;
	struct core_res *res;
	int r = 0;

	if (!name.len || name.len > 253 || strchr(resource, '/') || strcmp(resource, "*") == 0)
		return orlop_fail(err, EINVAL, 0, "", "resource \"%s\": not a resource's name", resource);
	res = core_res_get(c, name);
	f = omem_zalloc(sizeof(*f) + strlen(owner) + 1);
	if (!res || !f) {
		omem_free(f);
		return orlop_fail(err, ENOMEM, 0, "", "feed of %s: out of memory", resource);
	}
	f->c = c;
	f->res = res;
	memcpy(f->owner, owner, strlen(owner) + 1);
	core_cache_begin(c);
	if (res->local)
		r = orlop_fail(err, EINVAL, 0, "", "resource \"%s\" belongs to the core", resource);
	else if (res->feed)
		r = orlop_fail(err, EBUSY, 0, "", "%s is fed by %s", resource, res->feed->owner);
	else if (!atomic_load_explicit(&res->own, memory_order_relaxed) && (c->listing || res->dirty))
		r = orlop_fail(err, EBUSY, 0, "", "%s is just being listed from storage", resource);
	if (r == 0) {
		own_begin(res);
		res->feed = f;
	}
	core_cache_pause(c);
	if (r)
		omem_free(f);
	else
		*ret = f;
	return r;
}

void core_feed_close(struct core_feed *f)
{
	struct core_res *res;

	if (!f)
		return;
	res = f->res;
	core_cache_begin(f->c);
	/* What is not published cannot be taken back piece by piece; the next list makes it right. */
	if (res->dirty || res->own_listing)
		res->own_torn = true;
	res->own_listing = false;
	core_past_lost(res);
	res->feed = NULL;
	core_cache_pause(f->c);
	omem_free(f);
}

uint64_t core_feed_rev(const struct core_feed *f)
{
	struct core_res *res = f->res;
	uint64_t rev;

	core_cache_begin(f->c);
	rev = res->own_fed && !res->own_torn ? atomic_load_explicit(&res->rev, memory_order_acquire) : 0;
	core_cache_pause(f->c);
	return rev;
}

/* ---- changes -------------------------------------------------------------------------------------- */

bool core_feed_key(char buf[FEED_KEY_MAX], struct orlop_bytes ns, struct orlop_bytes name,
		   struct orlop_bytes *ret)
{
	if (name.len == 0 || ns.len + name.len + 1 > FEED_KEY_MAX)
		return false;
	if (ns.len)
		memcpy(buf, ns.p, ns.len);
	buf[ns.len] = '/';
	memcpy(buf + ns.len + 1, name.p, name.len);
	*ret = (struct orlop_bytes){ buf, ns.len + 1 + name.len };
	return true;
}

/* Is the key's present state as new as @rev? In a list it is then marked as found. Under W. */
static bool known(struct core_res *res, struct orlop_bytes key, uint64_t rev)
{
	struct tree_probe p = { .name = key };
	struct core_object *old = core_tree_get(res->root, &p, false);

	if (!old || (res->own_listing ? old->pub.rev != rev : old->pub.rev < rev))
		return false;
	if (res->own_listing)
		old->mark = res->mark;
	return true;
}

static int feed_set(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		    struct orlop_bytes record, uint64_t rev, bool always)
{
	char buf[FEED_KEY_MAX];
	struct core_object *obj;
	struct orlop_bytes key;
	int r = 0;

	if (rev == 0 || !core_feed_key(buf, ns, name, &key))
		return -EINVAL;
	core_cache_begin(f->c);
	if ((always && !f->res->own_listing) || !known(f->res, key, rev)) {
		r = core_object_parse(key, ns.len, record, rev, &obj);
		if (r == 0) {
			r = core_res_put(f->res, obj);
			if (r)
				core_object_put(obj);
		}
	}
	core_cache_pause(f->c);
	return r;
}

int core_feed_put(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		  struct orlop_bytes record, uint64_t rev)
{
	return feed_set(f, ns, name, record, rev, false);
}

int core_feed_set(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		  struct orlop_bytes record, uint64_t rev)
{
	return feed_set(f, ns, name, record, rev, true);
}

int core_feed_del(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name, uint64_t rev)
{
	struct core_res *res = f->res;
	struct tree_probe p = { .index = 0 };
	char buf[FEED_KEY_MAX];
	struct core_object *old;
	int r = 0;

	if (rev == 0 || !core_feed_key(buf, ns, name, &p.name))
		return -EINVAL;
	core_cache_begin(f->c);
	old = core_tree_get(res->root, &p, false);
	if (old && rev >= old->pub.rev)
		r = core_res_del(res, p.name, rev);
	core_cache_pause(f->c);
	return r;
}

/* ---- publishing ------------------------------------------------------------------------------------- */

/* Nothing but the revision has changed. Under W. */
static void revision_move(struct core_res *res, uint64_t rev)
{
	(void)pthread_mutex_lock(&res->lock);
	if (rev > atomic_load_explicit(&res->rev, memory_order_relaxed))
		atomic_store_explicit(&res->rev, rev, memory_order_release);
	if (rev > res->rev_high)
		res->rev_high = rev;
	(void)pthread_mutex_unlock(&res->lock);
	core_res_high(res->c, rev);
}

/* Under W. 0 or -ENOMEM: nothing is visible. */
static int feed_publish(struct core_res *res, uint64_t rev, bool list)
{
	uint64_t base = atomic_load_explicit(&res->rev, memory_order_relaxed);
	bool reset = !res->own_fed || (list && (res->own_lost || rev < base));
	int r;

	if (!list && rev < base)
		rev = base;
	if (!reset && res->journal.n_pend) {
		r = core_journal_order(&res->journal, base, rev, &rev);
		if (r)
			return r;
		reset = rev <= base;	/* changes that no cursor would meet */
	}
	if (!reset && !res->dirty) {
		revision_move(res, rev);
	} else {
		core_gen_touch(res);
		r = core_res_publish(res, rev, reset);
		if (r)
			return r;
		if (reset)
			core_past_done(res);	/* one that was cut off: it has no journal to be put in front of */
	}
	if (list) {
		if (res->own_past && !res->own_fed)
			core_past_open(res);
		res->own_fed = true;
		res->own_listing = false;
		res->own_torn = false;
		atomic_store_explicit(&res->err, 0, memory_order_release);
		core_wake_later(res);
	}
	core_res_live_update(res);
	return 0;
}

/* Leave the lock; tell who is to be told. */
static void feed_published(struct core_res *res, int r)
{
	struct core_cache *c = res->c;
	bool more = false;

	if (r == 0) {
		more = core_journal_slice(res, core_cache_now(c));
		more |= core_gen_reclaim(c, RECLAIM_COMMIT);
		core_tree_trim(&c->edit, 4);
	}
	core_cache_pause(c);
	if (r)
		return;
	core_wake_watchers(c);
	core_wake_waiters(c);
	if (more)
		c->hooks.kick(c->hooks.ctx, 0);
}

int core_feed_commit(struct core_feed *f, uint64_t rev)
{
	struct core_res *res = f->res;
	int r = -EINVAL;

	core_cache_begin(f->c);
	if (res->own_fed && !res->own_listing && !res->own_torn)
		r = feed_publish(res, rev, false);
	feed_published(res, r);
	return r;
}

int core_feed_list_begin(struct core_feed *f, uint32_t flags)
{
	struct core_res *res = f->res;

	core_cache_begin(f->c);
	if (!res->own_listing)
		res->own_lost = false;
	res->own_listing = true;
	res->own_past = (flags & CORE_FEED_ASK) != 0;
	if (flags & ORLOP_FEED_LOST)
		res->own_lost = true;
	res->mark = ++f->c->last_mark;
	core_cache_pause(f->c);
	return 0;
}

int core_feed_list_end(struct core_feed *f, uint64_t rev)
{
	struct core_res *res = f->res;
	int r = -EINVAL;

	core_cache_begin(f->c);
	if (res->own_listing) {
		r = core_res_sweep(res, rev);
		if (r == 0)
			r = feed_publish(res, rev, true);
	}
	feed_published(res, r);
	return r;
}

void core_feed_progress(struct core_cache *c, struct core_feed *const *v, uint32_t n, uint64_t rev)
{
	core_cache_begin(c);
	for (uint32_t i = 0; i < n; i++) {
		struct core_res *res = v[i] ? v[i]->res : NULL;

		if (res && res->own_fed && !res->own_listing && !res->own_torn && !res->dirty)
			revision_move(res, rev);
	}
	core_cache_pause(c);
	core_wake_waiters(c);
}

void core_feed_fail(struct core_feed *f, int32_t err)
{
	struct core_res *res = f->res;

	core_cache_begin(f->c);
	(void)pthread_mutex_lock(&res->lock);
	atomic_store_explicit(&res->err, err, memory_order_release);
	(void)pthread_mutex_unlock(&res->lock);
	core_wake_later(res);
	core_cache_pause(f->c);
	if (err)
		core_wake_failed(res);
	core_wake_watchers(f->c);
}
