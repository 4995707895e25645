/*
 * resource.c - resources as data: the registry, and the handles by which modules hold resources.
 *
 * A resource exists from the first mention of its name, by a key, a handle or a registration, and
 * for as long as the cache. The registered ones are also objects of a resource of their own,
 * "resources", with revisions that count registrations.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/record.h>

#include "base/obuf.h"
#include "base/omem.h"

#define SLOTS_MIN	32u

/* ---- names -------------------------------------------------------------------------------------- */

static struct core_res *res_new(struct core_cache *c, struct orlop_bytes name)
{
	struct core_res *res = OMEM_NEW(struct core_res);

	if (!res)
		return NULL;
	res->name = omem_strndup(name.p, name.len);
	if (!res->name) {
		omem_free(res);
		return NULL;
	}
	res->c = c;
	res->num = 1;
	res->journal.max_bytes = JOURNAL_BYTES;
	res->journal.max_ns = JOURNAL_NS;
	res->journal.oldest = atomic_load_explicit(&c->since, memory_order_acquire);
	olist_init(&res->handles);
	olist_init(&res->snapshots);
	(void)pthread_mutex_init(&res->lock, NULL);
	return res;
}

struct core_res *core_res_get(struct core_cache *c, struct orlop_bytes name)
{
	struct core_res *res;

	(void)pthread_mutex_lock(&c->lock);
	res = omap_get(&c->names, name.p, name.len);
	if (!res) {
		res = res_new(c, name);
		if (res && omap_add(&c->names, name.p, name.len, res)) {
			core_res_free(res);
			res = NULL;
		}
		if (res) {
			res->next = c->all;
			c->all = res;
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	return res;
}

struct core_res *core_res_first(struct core_cache *c)
{
	struct core_res *res;

	(void)pthread_mutex_lock(&c->lock);
	res = c->all;
	(void)pthread_mutex_unlock(&c->lock);
	return res;
}

void core_res_free(struct core_res *res)
{
	core_past_done(res);
	core_journal_done(&res->journal);
	core_gen_done(res);
	core_infos_put(res->old_infos);
	core_info_put(res->info);
	(void)pthread_mutex_destroy(&res->lock);
	omem_free(res->name);
	omem_free(res);
}

/* ---- the resource "resources" ------------------------------------------------------------------------ */

/* Under W. A failure leaves "resources" behind, and the registration done. */
static int local_change(struct core_cache *c, const char *name, const struct obuf *record)
{
	struct core_res *local = c->local;
	uint64_t rev = local->rev_high + 1;
	struct core_object *obj = NULL, *gone = NULL, *old = NULL;
	char key[256];
	struct orlop_bytes k = { key, 0 };
	struct orlop_change change = { .type = ORLOP_CHANGE_DELETED };
	int n = snprintf(key, sizeof(key), "/%s", name);
	uint32_t now_s = (uint32_t)(core_cache_now(c) / 1000000000);
	int r;

	if (n < 0 || (size_t)n >= sizeof(key))
		return -E2BIG;
	k.len = (size_t)n;
	r = core_journal_reserve(&local->journal, 1);
	if (r)
		return r;
	if (record) {
		r = core_object_parse(k, 0, (struct orlop_bytes){ record->data, record->len }, rev, &obj);
		if (r == 0)
			r = core_gen_put(local, obj, &old);
		if (r) {
			core_object_put(obj);
			return r;
		}
		change.type = old ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED;
		core_journal_append(&local->journal, change.type, core_object_get(obj),
				    old ? core_object_get(old) : NULL, now_s);
	} else {
		struct tree_probe p = { .name = k };

		old = core_tree_get(local->root, &p, false);
		if (!old)
			return 0;
		r = core_object_restamp(old, rev, &gone);
		if (r == 0)
			r = core_gen_del(local, k, &old);
		if (r) {
			core_object_put(gone);
			return r;
		}
		core_journal_append(&local->journal, change.type, gone, core_object_get(old), now_s);
	}
	return core_res_publish(local, rev, false);
}

/* ---- registering --------------------------------------------------------------------------------------- */

/* Under W. @info is taken; NULL retires. */
static void res_describe(struct core_res *res, struct resource_info *take_info)
{
	(void)pthread_mutex_lock(&res->lock);
	if (res->info) {
		res->info->next = res->old_infos;
		res->old_infos = res->info;
	}
	if (olist_empty(&res->handles)) {
		core_infos_put(res->old_infos);
		res->old_infos = NULL;
	}
	res->info = take_info;
	if (take_info) {
		res->journal.max_bytes = take_info->pub.journal_bytes ?
			take_info->pub.journal_bytes : JOURNAL_BYTES;
		res->journal.max_ns = take_info->pub.journal_ns ? take_info->pub.journal_ns : JOURNAL_NS;
	}
	(void)pthread_mutex_unlock(&res->lock);
}

/* Where a resource stands that is published apart from a commit. Under W. */
static uint64_t res_rev_now(struct core_res *res)
{
	return core_res_rev(res, core_cache_applied(res->c));
}

static int res_register(struct core_res *res, struct resource_info *take_info)
{
	/* Its journal goes on over the registration. */
	bool known = atomic_load_explicit(&res->own, memory_order_relaxed) ?
		     atomic_load_explicit(&res->own_fed, memory_order_relaxed) :
		     res->c->replaying || atomic_load_explicit(&res->c->fed, memory_order_relaxed);
	bool unfinished = core_res_unfinished(res);
	uint64_t kept = res->kept;
	int r;

	core_gen_keep(res, take_info->kept);
	core_gen_touch(res);
	r = core_gen_prepare(res);
	if (r) {
		core_gen_keep(res, kept);
		core_info_put(take_info);
		return r;
	}
	res_describe(res, take_info);
	/* In the midst of a list the state being made is not one to be seen; its commit shows it. */
	if (unfinished)
		return 0;
	r = core_res_publish(res, res_rev_now(res), !known);
	core_res_live_update(res);
	return r;
}

/*
 * Under W: as it is already, with its object. An API server that comes back says all of its resources again, and
 * each change of the registry is told to every process: what says nothing new must not be one.
 */
static bool is_registered(struct core_res *res, const struct resource_info *info)
{
	char key[256];
	int n = snprintf(key, sizeof(key), "/%s", info->pub.name);
	struct tree_probe p = { .name = { key, n > 0 && (size_t)n < sizeof(key) ? (size_t)n : 0 } };

	return res->info && core_info_same(res->info, info) && core_tree_get(res->c->local->root, &p, false);
}

static void woken(struct core_cache *c)
{
	core_wake_watchers(c);
	core_wake_waiters(c);
}

int core_cache_register(struct core_cache *c, const struct orlop_resource_info *in,
			struct orlop_error *err)
{
	struct obuf record = OBUF_INIT;
	struct resource_info *info;
	struct core_res *res = NULL;
	uint64_t kept;
	int r;

	r = core_info_check(in, &kept, err);
	if (r)
		return r;
	info = core_info_copy(in, kept);
	if (info)
		res = core_res_get(c, (struct orlop_bytes){ in->name, strlen(in->name) });
	if (res)
		core_info_record(&info->pub, &record);
	if (!res || obuf_err(&record)) {
		core_info_put(info);
		obuf_done(&record);
		return orlop_fail(err, ENOMEM, 0, "", "resource \"%s\": out of memory", in->name);
	}
	core_cache_begin(c);
	if (is_registered(res, info)) {
		core_cache_pause(c);
		obuf_done(&record);
		core_info_put(info);
		return 0;
	}
	r = res_register(res, info);
	if (r == 0)
		r = local_change(c, in->name, &record);
	core_cache_pause(c);
	obuf_done(&record);
	woken(c);
	if (r)
		return orlop_fail(err, -r, 0, "", "resource \"%s\": cannot be registered", in->name);
	return 0;
}

bool core_cache_is_registered(struct core_cache *c, const struct orlop_resource_info *in)
{
	struct resource_info *info;
	struct core_res *res;
	uint64_t kept;
	bool is = false;

	if (core_info_check(in, &kept, NULL))
		return false;
	info = core_info_copy(in, kept);
	(void)pthread_mutex_lock(&c->lock);
	res = omap_get(&c->names, in->name, strlen(in->name));
	(void)pthread_mutex_unlock(&c->lock);
	if (info && res) {
		core_cache_begin(c);
		is = is_registered(res, info);
		core_cache_pause(c);
	}
	core_info_put(info);
	return is;
}

int core_cache_retire(struct core_cache *c, const char *name)
{
	struct core_res *res;
	bool unfinished;
	int r = 0;

	(void)pthread_mutex_lock(&c->lock);
	res = omap_get(&c->names, name, strlen(name));
	(void)pthread_mutex_unlock(&c->lock);
	if (!res || res->local)
		return -ENOENT;
	core_cache_begin(c);
	if (!res->info) {
		core_cache_pause(c);
		return -ENOENT;
	}
	unfinished = core_res_unfinished(res);
	res_describe(res, NULL);
	core_res_live_update(res);
	core_gen_keep(res, 0);
	core_gen_touch(res);
	if (!unfinished)
		(void)core_res_publish(res, res_rev_now(res), true);
	core_wake_later(res);
	r = local_change(c, name, NULL);
	core_cache_pause(c);
	woken(c);
	return r;
}

void core_cache_list(struct core_cache *c,
		     void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg)
{
	for (struct core_res *res = core_res_first(c); res; res = res->next) {
		struct resource_info *info;

		(void)pthread_mutex_lock(&res->lock);
		info = res->local ? NULL : res->info;
		if (info)
			oref_get(&info->ref);
		(void)pthread_mutex_unlock(&res->lock);
		if (info)
			fn(arg, &info->pub);
		core_info_put(info);
	}
}

int core_registry_init(struct core_cache *c)
{
	static const struct orlop_resource_info self = {
		.size = sizeof(self), .name = "resources", .kind = "Resource", .plural = "resources",
	};
	struct core_res *res = core_res_get(c, (struct orlop_bytes){ "resources", 9 });
	struct resource_info *info = core_info_copy(&self, 0);
	int r;

	if (!res || !info) {
		core_info_put(info);
		return -ENOMEM;
	}
	c->local = res;
	res->local = true;
	core_cache_begin(c);
	core_gen_touch(res);
	res_describe(res, info);
	r = core_res_publish(res, 1, true);
	core_res_live_update(res);
	core_cache_pause(c);
	return r;
}

/* ---- handles ------------------------------------------------------------------------------------------- */

/* A place in the table of handles; its number is the lower half of the id. Under C. */
static int slot_take(struct core_cache *c, struct orlop_resource *r)
{
	struct handle_slot *v;
	uint32_t i;

	if (!c->free_slot) {
		uint32_t n = c->n_slots ? c->n_slots * 2 : SLOTS_MIN;

		v = omem_realloc_array(c->slots, n, sizeof(*v));
		if (!v)
			return -ENOMEM;
		for (i = c->n_slots; i < n; i++)
			v[i] = (struct handle_slot){ NULL, 0, i + 1 < n ? i + 2 : 0 };
		c->free_slot = c->n_slots + 1;
		c->slots = v;
		c->n_slots = n;
	}
	i = c->free_slot - 1;
	c->free_slot = c->slots[i].next_free;
	c->slots[i].handle = r;
	c->slots[i].seq++;
	r->id = (uint64_t)c->slots[i].seq << 32 | i;
	return 0;
}

static void slot_give(struct core_cache *c, struct orlop_resource *r)
{
	uint32_t i = (uint32_t)r->id;

	c->slots[i].handle = NULL;
	c->slots[i].next_free = c->free_slot;
	c->free_slot = i + 1;
}

int core_cache_open(struct core_cache *c, const char *name, void *loop, const char *owner,
		    struct orlop_resource **ret, struct orlop_error *err)
{
	struct orlop_resource *r;
	struct core_res *res;
	size_t owner_size = strlen(owner) + 1;
	int n;

	if (!*name || strlen(name) > 253 || strchr(name, '/'))
		return orlop_fail(err, EINVAL, 0, "", "resource \"%s\": not a resource's name", name);
	res = core_res_get(c, (struct orlop_bytes){ name, strlen(name) });
	r = omem_zalloc(sizeof(*r) + owner_size);
	if (!res || !r)
		goto no_memory;
	oref_init(&r->ref);
	r->c = c;
	r->res = res;
	r->loop = loop;
	olist_init(&r->waiters);
	memcpy(r->owner, owner, owner_size);
	(void)pthread_mutex_lock(&c->lock);
	n = slot_take(c, r);
	(void)pthread_mutex_unlock(&c->lock);
	if (n)
		goto no_memory;
	(void)pthread_mutex_lock(&res->lock);
	olist_append(&res->handles, &r->node);
	(void)pthread_mutex_unlock(&res->lock);
	*ret = r;
	return 0;

no_memory:
	omem_free(r);
	return orlop_fail(err, ENOMEM, 0, "", "resource \"%s\": out of memory", name);
}

void core_cache_close(struct orlop_resource *r)
{
	struct resource_info *infos = NULL;
	struct core_cache *c;

	if (!r)
		return;
	c = r->c;
	(void)pthread_mutex_lock(&c->lock);
	slot_give(c, r);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_mutex_lock(&r->res->lock);
	olist_del(&r->node);
	r->cb = NULL;
	if (olist_empty(&r->res->handles)) {
		infos = r->res->old_infos;
		r->res->old_infos = NULL;
	}
	(void)pthread_mutex_unlock(&r->res->lock);
	core_infos_put(infos);
	core_wake_close(r);
	if (oref_put(&r->ref))
		omem_free(r);
}

int32_t core_cache_index(struct orlop_resource *r, const char *field)
{
	int32_t n = -ENOENT;

	(void)pthread_mutex_lock(&r->res->lock);
	if (r->res->info)
		n = core_info_index(&r->res->info->pub, field);
	(void)pthread_mutex_unlock(&r->res->lock);
	return n;
}

const struct orlop_resource_info *core_cache_info(struct orlop_resource *r)
{
	const struct orlop_resource_info *info = NULL;

	(void)pthread_mutex_lock(&r->res->lock);
	if (r->res->info)
		info = &r->res->info->pub;
	(void)pthread_mutex_unlock(&r->res->lock);
	return info;
}
