/*
 * generation.c - making, publishing and reclaiming the states of one resource.
 *
 * Generations of a resource form a chain by age. Every node and object knows the generation it was
 * born in; what a generation loses to its successor is on its list of dead. When nobody holds a
 * generation any more, each of its dead is freed, or, if it was born early enough for the next
 * older generation to have it, moves to that one's list. So exactly what nobody can reach is
 * freed, and neither readers nor nodes count references. All of it is the writers' work, in slices.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

/* Born at or before generation @num? Numbers wrap; held generations never lie 2^31 apart. */
static bool born_by(uint32_t birth, uint32_t num)
{
	return (int32_t)(num - birth) >= 0;
}

void core_gen_touch(struct core_res *res)
{
	struct core_cache *c = res->c;

	c->edit.birth = res->num;
	if (res->dirty)
		return;
	res->dirty = true;
	if (atomic_load_explicit(&res->own, memory_order_relaxed))
		return;		/* published by its own feed */
	res->next_dirty = c->dirty;
	c->dirty = res;
}

/* Nodes that the last edit replaced are dead as of the newest generation. */
static void take_dead(struct core_res *res)
{
	struct tree_edit *ed = &res->c->edit;
	struct tree_node *n;

	while ((n = ed->dead)) {
		ed->dead = n->next;
		n->next = res->dead_nodes;
		res->dead_nodes = n;
	}
	ed->n_dead = 0;
}

/* The tree's reference of an object that was replaced. Readers of older generations may have it. */
static void object_drop(struct core_res *res, struct core_object *o)
{
	res->count--;
	res->bytes -= core_object_size(o);
	o->dead_next = res->dead_objects;
	res->dead_objects = o;
}

/* ---- secondary indexes --------------------------------------------------------------------------- */

static bool is_kept(const struct core_res *res, const struct orlop_index_entry *e)
{
	return e->index < INDEX_MAX && (res->kept >> e->index & 1);
}

static int sec_put(struct core_res *res, const struct orlop_index_entry *e)
{
	struct tree_edit *ed = &res->c->edit;

	if (core_tree_reserve(ed, res->sec))
		return -ENOMEM;
	(void)core_tree_put(ed, &res->sec, (void *)(uintptr_t)e, true);
	return 0;
}

static int sec_del(struct core_res *res, const struct orlop_index_entry *e)
{
	struct tree_edit *ed = &res->c->edit;
	struct tree_probe p = core_tree_probe_of(e, true);

	if (core_tree_reserve(ed, res->sec))
		return -ENOMEM;
	(void)core_tree_del(ed, &res->sec, &p, true);
	return 0;
}

static bool has_entry(const struct core_object *o, const struct orlop_index_entry *e)
{
	for (uint32_t i = 0; i < o->pub.n_index; i++) {
		const struct orlop_index_entry *x = &o->pub.index[i];

		if (x->index == e->index && x->key.len == e->key.len && x->value.len == e->value.len &&
		    memcmp(x->key.p, e->key.p, e->key.len + e->value.len) == 0)
			return true;
	}
	return false;
}

/* From @old to @new, either may be NULL. A put replaces the entry of the old object by itself. */
static int sec_change(struct core_res *res, const struct core_object *old,
		      const struct core_object *new)
{
	for (uint32_t i = 0; old && i < old->pub.n_index; i++) {
		const struct orlop_index_entry *e = &old->pub.index[i];

		if (is_kept(res, e) && !(new && has_entry(new, e)) && sec_del(res, e))
			return -ENOMEM;
	}
	for (uint32_t i = 0; new && i < new->pub.n_index; i++) {
		const struct orlop_index_entry *e = &new->pub.index[i];

		if (is_kept(res, e) && sec_put(res, e))
			return -ENOMEM;
	}
	return 0;
}

/* Anew from the primary tree. On failure it stays stale. */
static int sec_rebuild(struct core_res *res)
{
	struct tree_cursor at;
	struct core_object *o;

	core_tree_drop(&res->c->edit, res->sec);
	res->sec = NULL;
	core_tree_seek(&at, res->root, NULL, false, false);
	while (res->kept && (o = core_tree_next(&at)))
		if (sec_change(res, NULL, o))
			return -ENOMEM;
	res->sec_stale = false;
	return 0;
}

void core_gen_keep(struct core_res *res, uint64_t kept)
{
	if (res->kept == kept && !res->sec_stale)
		return;
	core_gen_touch(res);
	res->kept = kept;
	res->sec_stale = true;
}

/* ---- changes ---------------------------------------------------------------------------------------- */

/* The primary tree has changed; if an index cannot follow it is made anew before publishing. */
static void sec_follow(struct core_res *res, const struct core_object *old,
		       const struct core_object *new)
{
	if (res->kept && !res->sec_stale && sec_change(res, old, new))
		res->sec_stale = true;
	take_dead(res);
}

int core_gen_put(struct core_res *res, struct core_object *take_obj, struct core_object **ret_old)
{
	struct tree_edit *ed = &res->c->edit;
	struct core_object *old;

	core_gen_touch(res);
	if (core_tree_reserve(ed, res->root))
		return -ENOMEM;
	take_obj->birth = res->num;
	take_obj->mark = atomic_load_explicit(&res->own, memory_order_relaxed) ? res->mark : res->c->mark;
	old = core_tree_put(ed, &res->root, take_obj, false);
	res->count++;
	res->bytes += core_object_size(take_obj);
	res->touched_rev = take_obj->pub.rev;
	sec_follow(res, old, take_obj);
	if (old)
		object_drop(res, old);
	*ret_old = old;
	return 0;
}

int core_gen_del(struct core_res *res, struct orlop_bytes key, struct core_object **ret_old)
{
	struct tree_probe p = { .name = key };
	struct tree_edit *ed = &res->c->edit;
	struct core_object *old;

	core_gen_touch(res);
	if (core_tree_reserve(ed, res->root))
		return -ENOMEM;
	old = core_tree_del(ed, &res->root, &p, false);
	if (old) {
		sec_follow(res, old, NULL);
		object_drop(res, old);
	}
	*ret_old = old;
	return 0;
}

/* ---- publishing --------------------------------------------------------------------------------------- */

int core_gen_prepare(struct core_res *res)
{
	int r = 0;

	core_gen_touch(res);
	if (res->sec_stale)
		r = sec_rebuild(res);
	take_dead(res);
	if (r)
		return r;
	if (!res->next_gen)
		res->next_gen = omem_alloc(sizeof(*res->next_gen));
	if (!res->next_gen)
		return -ENOMEM;
	return core_journal_prepare(&res->journal, &res->lock);
}

static void zombie_push(struct core_res *res, struct core_gen *g)
{
	g->next = res->zombies;
	res->zombies = g;
}

/* Entries of a ring that was taken away. */
static void ring_free(struct journal_entry *ring, uint32_t head, uint32_t n, uint32_t cap)
{
	for (uint32_t i = 0; i < n; i++)
		core_journal_unref(&ring[(head + i) & (cap - 1)], 1);
	omem_free(ring);
}

void core_gen_publish(struct core_res *res, uint64_t rev, bool reset)
{
	struct core_gen *g = res->next_gen;
	struct core_gen *old = res->gen;
	struct journal_entry *ring = NULL;
	uint32_t head = 0, n = 0, cap = 0;

	oref_init(&g->ref);
	g->num = res->num;
	g->rev = rev;
	g->count = res->count;
	g->kept = res->kept;
	g->root = res->root;
	g->sec = res->sec;
	g->older = old;
	g->newer = NULL;
	g->next = NULL;
	g->dead_nodes = NULL;
	g->dead_objects = NULL;
	if (old) {
		old->newer = g;
		old->dead_nodes = res->dead_nodes;
		old->dead_objects = res->dead_objects;
	} else {
		res->oldest = g;
	}
	res->dead_nodes = NULL;
	if (!old) {	/* the first: what came and went while it was made */
		struct core_object *o;

		while ((o = res->dead_objects)) {
			res->dead_objects = o->dead_next;
			core_object_put(o);
		}
	}
	res->dead_objects = NULL;
	res->next_gen = NULL;
	res->n_gens++;
	res->num++;

	(void)pthread_mutex_lock(&res->lock);
	res->gen = g;
	atomic_store_explicit(&res->rev, rev, memory_order_release);
	/* A cursor of the same number may be from before: whoever holds one lists first. */
	if (reset && rev <= res->rev_high && core_res_there(res))
		OLIST_FOREACH(at, &res->handles)
			OLIST_ENTRY(at, struct orlop_resource, node)->relist = true;
	if (rev > res->rev_high)
		res->rev_high = rev;
	if (reset)
		ring = core_journal_clear(&res->journal, rev, &head, &n, &cap);
	else
		core_journal_publish(&res->journal);
	if (old && oref_put(&old->ref)) {
		zombie_push(res, old);
		old = NULL;
	} else {
		old = g;	/* nothing to reclaim */
	}
	(void)pthread_mutex_unlock(&res->lock);
	ring_free(ring, head, n, cap);
	if (reset)
		core_journal_forget(&res->journal);
	if (!old) {
		struct core_cache *c = res->c;

		(void)pthread_mutex_lock(&c->lock);
		if (!res->has_garbage) {
			res->has_garbage = true;
			res->next_garbage = c->garbage;
			c->garbage = res;
		}
		(void)pthread_mutex_unlock(&c->lock);
	}
}

/* ---- reclaiming ----------------------------------------------------------------------------------------- */

void core_gen_unref(struct core_res *res, struct core_gen *g)
{
	struct core_cache *c = res->c;
	bool kick = false;
	bool last;

	(void)pthread_mutex_lock(&res->lock);
	last = oref_put(&g->ref);
	if (last)
		zombie_push(res, g);
	(void)pthread_mutex_unlock(&res->lock);
	if (!last)
		return;
	(void)pthread_mutex_lock(&c->lock);
	if (!res->has_garbage) {
		kick = !c->garbage;
		res->has_garbage = true;
		res->next_garbage = c->garbage;
		c->garbage = res;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (kick)
		c->hooks.kick(c->hooks.ctx, 0);
}

/* One dead thing of @g; false: there is none. */
static bool reclaim_one(struct core_gen *g)
{
	struct core_gen *older = g->older;
	struct core_object *o = g->dead_objects;
	struct tree_node *n = g->dead_nodes;

	if (n) {
		g->dead_nodes = n->next;
		if (older && born_by(n->birth, older->num)) {
			n->next = older->dead_nodes;
			older->dead_nodes = n;
		} else {
			omem_free(n);
		}
		return true;
	}
	if (o) {
		g->dead_objects = o->dead_next;
		if (older && born_by(o->birth, older->num)) {
			o->dead_next = older->dead_objects;
			older->dead_objects = o;
		} else {
			core_object_put(o);
		}
		return true;
	}
	return false;
}

static void gen_unlink(struct core_res *res, struct core_gen *g)
{
	if (g->older)
		g->older->newer = g->newer;
	else
		res->oldest = g->newer;
	if (g->newer)
		g->newer->older = g->older;
	res->n_gens--;
	omem_free(g);
}

/* Returns what is left of the budget; 0: there may be more. */
static uint32_t res_reclaim(struct core_res *res, uint32_t budget)
{
	while (budget) {
		struct core_gen *g = res->reclaiming;

		if (!g) {
			(void)pthread_mutex_lock(&res->lock);
			g = res->zombies;
			res->zombies = NULL;
			(void)pthread_mutex_unlock(&res->lock);
			res->reclaiming = g;
			if (!g)
				return budget;
		}
		while (budget && reclaim_one(g))
			budget--;
		if (budget == 0)
			return 0;
		res->reclaiming = g->next;
		gen_unlink(res, g);
		budget--;
	}
	return 0;
}

bool core_gen_reclaim(struct core_cache *c, uint32_t budget)
{
	for (;;) {
		struct core_res *res;

		(void)pthread_mutex_lock(&c->lock);
		res = c->garbage;
		if (res && budget) {
			c->garbage = res->next_garbage;
			res->has_garbage = false;
		}
		(void)pthread_mutex_unlock(&c->lock);
		if (!res)
			return false;
		if (budget)
			budget = res_reclaim(res, budget);
		if (budget)
			continue;
		(void)pthread_mutex_lock(&c->lock);
		if (!res->has_garbage) {
			res->has_garbage = true;
			res->next_garbage = c->garbage;
			c->garbage = res;
		}
		(void)pthread_mutex_unlock(&c->lock);
		return true;
	}
}

static void dead_free(struct tree_node *n, struct core_object *o)
{
	while (n) {
		struct tree_node *next = n->next;

		omem_free(n);
		n = next;
	}
	while (o) {
		struct core_object *next = o->dead_next;

		core_object_put(o);
		o = next;
	}
}

void core_gen_done(struct core_res *res)
{
	struct core_gen *g = res->oldest;
	struct tree_cursor at;
	struct core_object *o;

	while (g) {
		struct core_gen *newer = g->newer;

		dead_free(g->dead_nodes, g->dead_objects);
		omem_free(g);
		g = newer;
	}
	/*
	 * The trees being made hold what is left: nodes of the newest generation that they replaced
	 * are on the list of dead, so are objects.
	 */
	dead_free(res->dead_nodes, res->dead_objects);
	core_tree_seek(&at, res->root, NULL, false, false);
	while ((o = core_tree_next(&at)))
		core_object_put(o);
	core_tree_free(res->root);
	core_tree_free(res->sec);
	omem_free(res->next_gen);
}
