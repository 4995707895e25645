/*
 * past.c - what happened to a resource before its feed's first list, fetched when somebody comes with a cursor
 * from then; see feed.h.
 *
 * It is collected apart from what readers see, change by change from the states at its beginning, and put in front of
 * the journal at once, which meanwhile goes on at its other end. A journal that has begun to forget has no past:
 * what it would get it would lose first.
 */
#include "feed.h"

#include <errno.h>

#include "base/omem.h"
#include "internal.h"

struct core_past {
	uint64_t	from;
	struct omap	now;		/* key → its object; borrowed from kept or v. NULL: it is gone */
	struct omap	before;		/* key → its object at the beginning: a reference */
	struct journal_entry *v;	/* so far */
	uint32_t	n;
	uint32_t	cap;
};

static void object_put(void *o)
{
	core_object_put(o);
}

static void past_free(struct core_past *p)
{
	if (!p)
		return;
	core_journal_unref(p->v, p->n);
	omem_free(p->v);
	omap_done(&p->now);
	omap_done_with(&p->before, object_put);
	omem_free(p);
}

/* What was being collected is of no use. Under W. */
static void past_drop(struct core_res *res)
{
	past_free(res->past);
	res->past = NULL;
}

void core_past_done(struct core_res *res)
{
	past_drop(res);
}

void core_past_open(struct core_res *res)
{
	past_drop(res);
	(void)pthread_mutex_lock(&res->lock);
	res->journal.past = true;
	(void)pthread_mutex_unlock(&res->lock);
}

void core_past_lost(struct core_res *res)
{
	past_drop(res);
	(void)pthread_mutex_lock(&res->lock);
	res->journal.past = false;
	(void)pthread_mutex_unlock(&res->lock);
	core_wake_later(res);
}

bool core_feed_past_wanted(struct core_feed *f, uint64_t *ret_from, uint64_t *ret_upto)
{
	struct journal *j = &f->res->journal;
	bool is;

	(void)pthread_mutex_lock(&f->res->lock);
	if (j->past_want >= j->oldest)
		j->past_want = 0;	/* what came for another cursor has it */
	is = j->past && j->past_want && !j->past_sent;
	if (is) {
		*ret_from = j->past_sent = j->past_want;
		*ret_upto = j->oldest;
		j->past_want = 0;
	}
	(void)pthread_mutex_unlock(&f->res->lock);
	return is;
}

void core_feed_past_unsaid(struct core_feed *f)
{
	struct journal *j = &f->res->journal;

	(void)pthread_mutex_lock(&f->res->lock);
	if (!j->past_want || j->past_sent < j->past_want)
		j->past_want = j->past_sent;
	j->past_sent = 0;
	(void)pthread_mutex_unlock(&f->res->lock);
}

/* The answer is here, whatever it says: who waits looks again. Under W. */
static void past_answered(struct core_res *res, bool lost)
{
	struct journal *j = &res->journal;

	past_drop(res);
	(void)pthread_mutex_lock(&res->lock);
	if (lost && j->past_sent > j->past_lost)
		j->past_lost = j->past_sent;
	j->past_sent = 0;
	(void)pthread_mutex_unlock(&res->lock);
	core_wake_later(res);
}

int core_feed_past_begin(struct core_feed *f, uint64_t from)
{
	struct core_past *p = from ? OMEM_NEW(struct core_past) : NULL;

	if (from && !p)
		return -ENOMEM;
	core_cache_begin(f->c);
	if (p) {
		p->from = from;
		omap_init(&p->now);
		omap_init(&p->before);
		past_drop(f->res);
		f->res->past = p;
	} else {
		past_answered(f->res, true);
	}
	core_cache_pause(f->c);
	if (!from)
		core_wake_watchers(f->c);
	return 0;
}

bool core_feed_past_begun(struct core_feed *f, uint64_t at)
{
	bool is;

	core_cache_begin(f->c);
	is = f->res->past && (at == 0 || at > f->res->past->from);
	core_cache_pause(f->c);
	return is;
}

static int past_room(struct core_past *p)
{
	uint32_t cap = p->cap ? p->cap * 2 : 16;
	struct journal_entry *v;

	if (p->n < p->cap)
		return 0;
	v = cap > p->cap ? omem_realloc_array(p->v, cap, sizeof(*v)) : NULL;
	if (!v)
		return -ENOMEM;
	p->v = v;
	p->cap = cap;
	return 0;
}

/* The entry is there, and the key's state is @now's. @take_object is taken if 0. Under W. */
static int past_change(struct core_res *res, struct orlop_bytes key, uint32_t type, struct core_object *take_object,
		       struct core_object *prev, uint64_t at)
{
	struct core_past *p = res->past;
	int r = past_room(p);

	if (r == 0)
		r = omap_put(&p->now, key.p, key.len, type == ORLOP_CHANGE_DELETED ? NULL : take_object, NULL);
	if (r == 0)
		p->v[p->n++] = (struct journal_entry){
			.object = take_object,
			.prev = prev ? core_object_get(prev) : NULL,
			.rev = at,
			.type = type,
			.time_s = (uint32_t)(core_cache_now(res->c) / 1000000000),
		};
	return r;
}

/* Out of the present state if it is the same. Under W. */
static int past_object(struct core_res *res, struct orlop_bytes key, size_t ns_len, struct orlop_bytes record,
		       uint64_t rev, struct core_object **ret)
{
	struct tree_probe probe = { .name = key };
	struct core_object *o = core_tree_get(res->root, &probe, false);

	if (!o || !core_object_is(o, record, rev))
		return core_object_parse(key, ns_len, record, rev, ret);
	*ret = core_object_get(o);
	return 0;
}

int core_feed_past_put(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		       struct orlop_bytes record, uint64_t rev, uint64_t at)
{
	struct core_res *res = f->res;
	struct core_object *o = NULL, *prev;
	char buf[FEED_KEY_MAX];
	struct orlop_bytes key;
	int r = -EINVAL;

	if (rev == 0 || !core_feed_key(buf, ns, name, &key))
		return -EINVAL;
	core_cache_begin(f->c);
	if (res->past && (at == 0 || at > res->past->from))
		r = past_object(res, key, ns.len, record, rev, &o);
	if (r == 0 && at) {
		prev = omap_get(&res->past->now, key.p, key.len);
		r = past_change(res, key, prev ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED, o, prev, at);
	} else if (r == 0) {
		r = omap_add(&res->past->before, key.p, key.len, o);
		if (r == 0) {
			r = omap_put(&res->past->now, key.p, key.len, o, NULL);
			if (r)
				(void)omap_del(&res->past->before, key.p, key.len);
		}
		if (r == -EEXIST)
			r = -EINVAL;
	}
	if (r)
		core_object_put(o);
	core_cache_pause(f->c);
	return r;
}

int core_feed_past_del(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name, uint64_t at)
{
	struct core_res *res = f->res;
	struct core_object *gone, *prev;
	char buf[FEED_KEY_MAX];
	struct orlop_bytes key;
	int r = -EINVAL;

	if (!core_feed_key(buf, ns, name, &key))
		return -EINVAL;
	core_cache_begin(f->c);
	if (res->past && at > res->past->from) {
		prev = omap_get(&res->past->now, key.p, key.len);
		r = prev ? core_object_restamp(prev, at, &gone) : 0;
		if (r == 0 && prev) {
			r = past_change(res, key, ORLOP_CHANGE_DELETED, gone, prev, at);
			if (r)
				core_object_put(gone);
		}
	}
	core_cache_pause(f->c);
	return r;
}

int core_feed_past_end(struct core_feed *f)
{
	struct core_res *res = f->res;
	struct core_past *p;
	uint64_t upto;
	bool asked;
	int r = -EINVAL;

	core_cache_begin(f->c);
	p = res->past;
	if (p) {
		(void)pthread_mutex_lock(&res->lock);
		upto = res->journal.oldest;
		asked = p->from == res->journal.past_sent;
		(void)pthread_mutex_unlock(&res->lock);
		/* What was asked for before the journal began anew is no part of it. */
		for (uint32_t i = 0; asked && i < p->n; i++)
			asked = p->v[i].rev <= upto && (i == 0 || p->v[i - 1].rev <= p->v[i].rev);
		r = asked ? core_journal_prepend(&res->journal, &res->lock, p->v, p->n, p->from, upto) : -ESTALE;
		if (r == 0)
			p->n = 0;
		if (r != -ENOMEM) {
			past_answered(res, r == -ESTALE);
			r = 0;
		}
	}
	core_cache_pause(f->c);
	if (r == 0)
		core_wake_watchers(f->c);
	return r;
}
