/*
 * reader.c - snapshots, iterators, journal cursors: what modules call most. Any thread.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

#define KEY_MAX 1280	/* "ns/name" longer than a storage key (1024) cannot be there */

uint64_t core_cache_rev(struct orlop_resource *r, int32_t *ret_synced)
{
	uint64_t applied = atomic_load_explicit(&r->c->applied, memory_order_acquire);
	bool live = core_res_readable(r) && !atomic_load_explicit(&r->res->err, memory_order_relaxed);

	if (ret_synced)
		*ret_synced = live;
	return live ? core_res_rev(r->res, applied) : 0;
}

uint64_t core_cache_applied(struct core_cache *c)
{
	return atomic_load_explicit(&c->applied, memory_order_acquire);
}

bool core_cache_fed(struct core_cache *c)
{
	return atomic_load_explicit(&c->fed, memory_order_acquire);
}

void core_cache_set_raw(struct orlop_resource *r)
{
	r->raw = true;
}

bool core_cache_joint(struct orlop_resource *r)
{
	return !r->res->local && !atomic_load_explicit(&r->res->own, memory_order_acquire);
}

void core_cache_names(struct core_cache *c, bool (*fn)(void *arg, const char *name), void *arg)
{
	for (struct core_res *res = core_res_first(c); res; res = res->next)
		if (!res->local && !fn(arg, res->name))
			return;
}

uint32_t core_cache_n_names(struct core_cache *c)
{
	uint32_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = omap_count(&c->names);
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- journal ----------------------------------------------------------------------------------- */

int32_t core_cache_journal_read(struct orlop_resource *r, uint64_t *cursor,
				struct orlop_change *ret, uint32_t max)
{
	uint64_t applied = atomic_load_explicit(&r->c->applied, memory_order_acquire);
	struct core_res *res = r->res;
	bool past = false;
	int32_t n;

	(void)pthread_mutex_lock(&res->lock);
	if (atomic_load_explicit(&res->err, memory_order_relaxed))
		n = -atomic_load_explicit(&res->err, memory_order_relaxed);
	else if (r->relist && *cursor)
		n = -ESTALE;
	else if (core_res_readable(r))
		n = core_journal_copy(&res->journal, core_res_rev(res, applied), res->rev_high, cursor,
				      ret, max);
	else
		n = *cursor ? -ESTALE : 0;
	if (n == -ESTALE && !r->relist && core_res_readable(r))
		past = core_journal_past(&res->journal, *cursor);
	(void)pthread_mutex_unlock(&res->lock);
	if (!past)
		return n;
	if (r->c->hooks.past)
		r->c->hooks.past(r->c->hooks.ctx);
	return -EAGAIN;
}

uint64_t core_cache_journal_oldest(struct orlop_resource *r)
{
	struct core_res *res = r->res;
	uint64_t oldest;

	(void)pthread_mutex_lock(&res->lock);
	oldest = res->journal.oldest;
	(void)pthread_mutex_unlock(&res->lock);
	return oldest;
}

/* ---- snapshots --------------------------------------------------------------------------------- */

int core_cache_snapshot_open(struct orlop_resource *r, struct orlop_snapshot **ret)
{
	struct core_res *res = r->res;
	struct orlop_snapshot *s;
	uint64_t applied;
	int32_t err = atomic_load_explicit(&res->err, memory_order_acquire);

	if (err)
		return -err;
	s = omem_alloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->handle = r;
	s->opened_ns = core_cache_now(r->c);
	s->gen = NULL;
	s->rev = 0;
	oref_get(&r->ref);
	applied = atomic_load_explicit(&r->c->applied, memory_order_acquire);
	(void)pthread_mutex_lock(&res->lock);
	r->relist = false;
	if (core_res_readable(r)) {
		s->gen = res->gen;	/* none: it never had an object */
		if (s->gen)
			oref_get(&s->gen->ref);
		s->rev = core_res_rev(res, applied);
	}
	olist_append(&res->snapshots, &s->node);
	res->n_snapshots++;
	(void)pthread_mutex_unlock(&res->lock);
	*ret = s;
	return 0;
}

void core_cache_snapshot_close(struct orlop_snapshot *s)
{
	struct orlop_resource *r;
	struct core_res *res;

	if (!s)
		return;
	r = s->handle;
	res = r->res;
	(void)pthread_mutex_lock(&res->lock);
	olist_del(&s->node);
	res->n_snapshots--;
	(void)pthread_mutex_unlock(&res->lock);
	if (s->gen)
		core_gen_unref(res, s->gen);
	omem_free(s);
	if (oref_put(&r->ref))
		omem_free(r);
}

uint64_t core_cache_snapshot_rev(const struct orlop_snapshot *s)
{
	return s->rev;
}

uint64_t core_cache_snapshot_count(const struct orlop_snapshot *s)
{
	return s->gen ? s->gen->count : 0;
}

/* "ns/name" into @buf; false: longer than any key. */
static bool key_join(char buf[KEY_MAX], struct orlop_bytes ns, struct orlop_bytes name,
		     struct orlop_bytes *ret)
{
	if (ns.len + name.len + 1 > KEY_MAX)
		return false;
	if (ns.len)
		memcpy(buf, ns.p, ns.len);
	buf[ns.len] = '/';
	if (name.len)
		memcpy(buf + ns.len + 1, name.p, name.len);
	*ret = (struct orlop_bytes){ buf, ns.len + 1 + name.len };
	return true;
}

struct orlop_object *core_cache_snapshot_get(const struct orlop_snapshot *s, struct orlop_bytes ns,
					     struct orlop_bytes name)
{
	struct tree_probe p = { .index = 0 };
	struct core_object *o;
	char buf[KEY_MAX];

	if (!s->gen || !key_join(buf, ns, name, &p.name))
		return NULL;
	o = core_tree_get(s->gen->root, &p, false);
	/* "a/b" with "c" and "a" with "b/c" are the same bytes. */
	return o && o->pub.ns.len == ns.len ? &o->pub : NULL;
}

static int start_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

/* ---- iterators ----------------------------------------------------------------------------------- */

struct orlop_iter {
	struct tree_cursor at;
	bool		secondary;	/* items are index entries; else objects */
	bool		filter_index;	/* each object must be asked */
	bool		filter_ns;
	struct orlop_bytes ns;
	struct tree_probe want;		/* index, key, value */
	char		text[];		/* what the query pointed to */
};

static struct orlop_bytes text_copy(char **p, struct orlop_bytes b)
{
	struct orlop_bytes copy = { *p, b.len };

	if (b.len)
		memcpy(*p, b.p, b.len);
	*p += b.len;
	return copy;
}

int core_cache_iter_open(const struct orlop_snapshot *s, const struct orlop_query *q,
			 struct orlop_iter **ret)
{
	static const struct orlop_query all = { .size = sizeof(all) };
	const struct core_gen *g = s->gen;
	struct orlop_bytes start = { NULL, 0 };
	struct orlop_bytes after;
	struct orlop_iter *it;
	char start_buf[KEY_MAX], after_buf[KEY_MAX];
	bool strictly = false;
	size_t room;
	char *p;

	if (!q)
		q = &all;
	room = q->ns.len + q->index_key.len + q->index_value.len;
	it = omem_alloc(sizeof(*it) + room);
	if (!it)
		return -ENOMEM;
	p = it->text;
	it->filter_ns = q->has_ns;
	it->ns = text_copy(&p, q->ns);
	it->want.index = q->index;
	it->want.key = text_copy(&p, q->index_key);
	it->want.value = text_copy(&p, q->index_value);
	it->secondary = q->has_index && g && q->index < INDEX_MAX && (g->kept >> q->index & 1);
	it->filter_index = q->has_index && !it->secondary;
	it->at.depth = 0;
	*ret = it;
	if (!g)
		return 0;
	/* Where to begin: the namespace's first key, or behind "after" if that is further. */
	if (q->has_ns && !key_join(start_buf, q->ns, (struct orlop_bytes){ NULL, 0 }, &start))
		return 0;
	if (q->after_name.len) {
		if (!key_join(after_buf, q->after_ns, q->after_name, &after))
			return 0;
		if (start.len == 0 || start_cmp(after, start) >= 0) {
			start = after;
			strictly = true;
		}
	}
	it->want.name = start;
	if (it->secondary)
		core_tree_seek(&it->at, g->sec, &it->want, strictly, true);
	else
		core_tree_seek(&it->at, g->root, start.len ? &it->want : NULL, strictly, false);
	it->want.name = (struct orlop_bytes){ NULL, 0 };
	return 0;
}

static bool bytes_eq(struct orlop_bytes a, struct orlop_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static bool entry_is(const struct orlop_index_entry *e, const struct tree_probe *p)
{
	return e->index == p->index && bytes_eq(e->key, p->key) && bytes_eq(e->value, p->value);
}

static bool object_has(const struct orlop_object *o, const struct tree_probe *p)
{
	for (uint32_t i = 0; i < o->n_index; i++)
		if (entry_is(&o->index[i], p))
			return true;
	return false;
}

static struct orlop_object *iter_end(struct orlop_iter *it)
{
	it->at.depth = 0;
	return NULL;
}

struct orlop_object *core_cache_iter_next(struct orlop_iter *it)
{
	for (;;) {
		void *item = core_tree_next(&it->at);
		struct orlop_object *o;

		if (!item)
			return NULL;
		if (it->secondary) {
			if (!entry_is(item, &it->want))
				return iter_end(it);
			o = &core_object_of_entry(item)->pub;
		} else {
			o = &((struct core_object *)item)->pub;
		}
		/* Keys are in order of "ns/name": a namespace is one stretch. */
		if (it->filter_ns && !bytes_eq(o->ns, it->ns))
			return iter_end(it);
		if (!it->filter_index || object_has(o, &it->want))
			return o;
	}
}

void core_cache_iter_close(struct orlop_iter *it)
{
	omem_free(it);
}
