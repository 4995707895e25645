/*
 * writer.c - batches and lists: how changes get in. One writer at a time (c->write).
 *
 * A key's resource need not be registered: its objects are kept all the same and readers see them
 * when it is. Only journal and secondary indexes wait for the registration.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/omem.h"

#define RECLAIM_COMMIT	1024u	/* dead things freed by the way in each commit */
#define SPARE_KEEP	4u	/* nodes of each kind kept for the next batch */

/* "pods/default/web" → resource "pods", key "default/web". False: not an object's key. */
static bool key_split(struct orlop_bytes key, struct orlop_bytes *ret_res,
		      struct orlop_bytes *ret_key, size_t *ret_ns_len)
{
	const char *end = key.p + key.len;
	const char *a, *b;

	if (key.len == 0 || key.p[0] == '!' || key.p[0] == '\0')
		return false;
	a = memchr(key.p, '/', key.len);
	if (!a || a == key.p)
		return false;
	b = memchr(a + 1, '/', (size_t)(end - a - 1));
	if (!b || b + 1 == end)
		return false;
	*ret_res = (struct orlop_bytes){ key.p, (size_t)(a - key.p) };
	*ret_key = (struct orlop_bytes){ a + 1, (size_t)(end - a - 1) };
	*ret_ns_len = (size_t)(b - a - 1);
	return true;
}

static struct core_res *res_of(struct core_cache *c, struct orlop_bytes name)
{
	struct core_res *res = c->last;

	if (res && strlen(res->name) == name.len && memcmp(res->name, name.p, name.len) == 0)
		return res;
	res = core_res_get(c, name);
	if (res && !res->local)
		c->last = res;
	return res;
}

static uint32_t now_s(struct core_cache *c)
{
	return (uint32_t)(core_cache_now(c) / 1000000000);
}

/*
 * Are single changes of it kept? Of what storage feeds also before it is registered: who watched it
 * before a restart comes back as soon as it is.
 */
static bool journals(struct core_res *res)
{
	struct core_cache *c = res->c;

	if (atomic_load_explicit(&res->own, memory_order_relaxed))
		return !(res->own_listing && res->own_lost) && res->own_fed;
	return !c->listing && (c->replaying || atomic_load_explicit(&c->fed, memory_order_relaxed));
}

void core_res_high(struct core_cache *c, uint64_t rev)
{
	uint64_t high = atomic_load_explicit(&c->high, memory_order_relaxed);

	while (rev > high && !atomic_compare_exchange_weak(&c->high, &high, rev))
		;
}

void core_cache_begin(struct core_cache *c)
{
	(void)pthread_mutex_lock(&c->write);
}

void core_cache_pause(struct core_cache *c)
{
	(void)pthread_mutex_unlock(&c->write);
}

int core_cache_put(struct core_cache *c, struct orlop_bytes key, struct orlop_bytes value,
		   uint64_t rev)
{
	struct tree_probe p = { .index = 0 };
	struct core_object *obj, *old;
	struct orlop_bytes name;
	struct core_res *res;
	size_t ns_len;
	int r;

	if (!key_split(key, &name, &p.name, &ns_len))
		return 0;
	res = res_of(c, name);
	if (!res)
		return -ENOMEM;
	if (res->local || atomic_load_explicit(&res->own, memory_order_relaxed))
		return 0;
	if (c->listing) {
		old = core_tree_get(res->root, &p, false);
		if (old && old->pub.rev == rev) {
			old->mark = c->mark;
			return 0;
		}
	} else if (rev <= res->touched_rev) {
		/* Told twice: after a failure a batch is put again. */
		old = rev == res->touched_rev ? core_tree_get(res->root, &p, false) : NULL;
		if (rev < res->touched_rev || (old && old->pub.rev == rev))
			return 0;
	}
	r = core_object_parse(p.name, ns_len, value, rev, &obj);
	if (r)
		return r;
	r = core_res_put(res, obj);
	if (r)
		core_object_put(obj);
	return r;
}

int core_res_put(struct core_res *res, struct core_object *take_obj)
{
	struct core_object *old;

	if (core_journal_reserve(&res->journal, 1) || core_gen_put(res, take_obj, &old))
		return -ENOMEM;
	if (journals(res))
		core_journal_append(&res->journal, old ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED,
				    core_object_get(take_obj), old ? core_object_get(old) : NULL,
				    now_s(res->c));
	return 0;
}

/* @key without the resource. */
int core_res_del(struct core_res *res, struct orlop_bytes key, uint64_t rev)
{
	struct tree_probe p = { .name = key };
	struct core_object *old = core_tree_get(res->root, &p, false);
	struct core_object *gone = NULL;
	int r = 0;

	if (!old)
		return 0;
	if (journals(res)) {
		r = core_object_restamp(old, rev, &gone);
		if (r == 0)
			r = core_journal_reserve(&res->journal, 1);
	}
	if (r == 0)
		r = core_gen_del(res, key, &old);
	if (r) {
		core_object_put(gone);
		return r;
	}
	res->touched_rev = rev;
	if (gone)
		core_journal_append(&res->journal, ORLOP_CHANGE_DELETED, gone, core_object_get(old),
				    now_s(res->c));
	return 0;
}

int core_cache_del(struct core_cache *c, struct orlop_bytes key, uint64_t rev)
{
	struct orlop_bytes name, rest;
	struct core_res *res;
	size_t ns_len;

	if (!key_split(key, &name, &rest, &ns_len))
		return 0;
	res = res_of(c, name);
	if (!res)
		return -ENOMEM;
	if (res->local || atomic_load_explicit(&res->own, memory_order_relaxed) ||
	    (!c->listing && rev < res->touched_rev))
		return 0;
	return core_res_del(res, rest, rev);
}

/* ---- lists ------------------------------------------------------------------------------------------ */

/* Resources whose own feed is gone: storage has them again. */
static void own_end(struct core_res *res)
{
	if (!atomic_load_explicit(&res->own, memory_order_relaxed) || res->feed)
		return;
	core_journal_forget(&res->journal);
	atomic_store_explicit(&res->own, false, memory_order_relaxed);
	atomic_store_explicit(&res->err, 0, memory_order_release);
	if (res->dirty) {
		res->dirty = false;
		core_gen_touch(res);
	}
}

void core_cache_replay_begin(struct core_cache *c)
{
	c->replaying = true;
}

void core_cache_replay_end(struct core_cache *c)
{
	c->replayed = c->replaying;
	c->replaying = false;
}

void core_cache_list_begin(struct core_cache *c)
{
	c->listing = true;
	c->replaying = false;
	c->replayed = false;
	c->mark = ++c->last_mark;
	for (struct core_res *res = core_res_first(c); res; res = res->next)
		own_end(res);
}

int core_res_sweep(struct core_res *res, uint64_t rev)
{
	bool own = atomic_load_explicit(&res->own, memory_order_relaxed);
	uint32_t mark = own ? res->mark : res->c->mark;
	struct tree_cursor at;
	struct core_object *gone[64];
	struct core_object *o;
	uint32_t n;

	do {
		n = 0;
		core_tree_seek(&at, res->root, NULL, false, false);
		while (n < 64 && (o = core_tree_next(&at)))
			if (o->mark != mark)
				gone[n++] = o;
		for (uint32_t i = 0; i < n; i++) {
			int r = core_res_del(res, core_object_key(gone[i]), rev ? rev : gone[i]->pub.rev);

			if (r)
				return r;
		}
	} while (n == 64);
	return 0;
}

int core_cache_list_end(struct core_cache *c)
{
	for (struct core_res *res = core_res_first(c); res; res = res->next) {
		int r;

		if (res->local || atomic_load_explicit(&res->own, memory_order_relaxed))
			continue;
		r = core_res_sweep(res, 0);
		if (r)
			return r;
	}
	return 0;
}

/* ---- commit ----------------------------------------------------------------------------------------- */

/* A look at journals that were not written to: entries age although their resource rests. */
static bool trim_passing(struct core_cache *c, uint64_t now_ns)
{
	bool more = false;

	for (int i = 0; i < 4; i++) {
		if (!c->trim_at)
			c->trim_at = core_res_first(c);
		if (!c->trim_at)
			break;
		more |= core_journal_slice(c->trim_at, now_ns);
		c->trim_at = c->trim_at->next;
	}
	return more;
}

void core_res_live_update(struct core_res *res)
{
	bool live;

	(void)pthread_mutex_lock(&res->lock);
	live = res->info && core_res_there(res);
	atomic_store_explicit(&res->live, live, memory_order_release);
	(void)pthread_mutex_unlock(&res->lock);
}

bool core_res_unfinished(const struct core_res *res)
{
	if (!atomic_load_explicit(&res->own, memory_order_relaxed))
		return res->c->listing;
	return res->own_listing || res->own_torn || res->dirty;
}

int core_res_publish(struct core_res *res, uint64_t rev, bool reset)
{
	struct core_cache *c = res->c;
	struct core_res **at = &c->dirty;
	int r;

	r = core_gen_prepare(res);
	if (r)
		return r;
	while (*at && *at != res)	/* one with a feed of its own is not in the list */
		at = &(*at)->next_dirty;
	if (*at)
		*at = res->next_dirty;
	res->dirty = false;
	core_gen_publish(res, rev, reset);
	core_res_high(c, rev);
	core_wake_later(res);
	return 0;
}

int core_cache_commit(struct core_cache *c, uint64_t rev)
{
	uint64_t now_ns = core_cache_now(c);
	struct core_res *res;
	bool reset = c->listing;
	bool fed = c->replayed || (reset && !c->replaying);
	bool more = false;
	int r = 0;

	if (reset)
		for (res = core_res_first(c); res; res = res->next)
			if (!res->local && !atomic_load_explicit(&res->own, memory_order_relaxed))
				core_gen_touch(res);
	for (res = c->dirty; res && r == 0; res = res->next_dirty)
		r = core_gen_prepare(res);
	if (r) {
		core_cache_pause(c);
		return r;
	}
	while ((res = c->dirty)) {
		c->dirty = res->next_dirty;
		res->dirty = false;
		core_gen_publish(res, rev, reset);
		if (reset)
			res->touched_rev = rev;
		core_wake_later(res);
		while (core_journal_slice(res, now_ns))
			if (!c->replaying) {
				more = true;
				break;
			}
	}
	if (reset)
		atomic_store_explicit(&c->since, rev, memory_order_release);
	atomic_store_explicit(&c->applied, rev, memory_order_release);
	core_res_high(c, rev);
	c->listing = false;
	if (fed) {
		c->replayed = false;
		atomic_store_explicit(&c->fed, true, memory_order_release);
		for (res = core_res_first(c); res; res = res->next)
			core_res_live_update(res);
		for (res = core_res_first(c); res && !reset; res = res->next)
			core_wake_later(res);
	}
	more |= trim_passing(c, now_ns);
	more |= core_gen_reclaim(c, RECLAIM_COMMIT);
	core_tree_trim(&c->edit, SPARE_KEEP);
	core_cache_pause(c);

	core_wake_watchers(c);
	core_wake_waiters(c);
	if (more)
		c->hooks.kick(c->hooks.ctx, 0);
	return 0;
}
