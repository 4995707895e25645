/*
 * collector.c - the garbage collector: deletes what has lost its owners, and helps owners to go
 * before, after or without their dependents.
 *
 * Every registered resource is followed, as they come and go. Whenever changes may have been missed
 * (start, a journal that has wrapped) everything that has an owner is looked at once.
 * Source: upstream's pkg/controller/garbagecollector, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"
#include "gc.h"
#include "walk/owalk.h"

/* Nobody owns by them nor is owned; and there are many. As upstream's ignored resources. */
static bool is_ignored(const char *name)
{
	return !strcmp(name, "events") || !strcmp(name, "events.events.k8s.io");
}

/* ---- changes ---------------------------------------------------------------------------------------------- */

static bool has_owner(const struct orlop_object *o)
{
	return okube_index(o, ORLOP_INDEX_OWNER).p != NULL;
}

/* Do both have the same owners? */
static bool same_owners(const struct orlop_object *a, const struct orlop_object *b)
{
	uint32_t i = 0;
	uint32_t j = 0;

	for (;;) {
		while (i < a->n_index && a->index[i].index != ORLOP_INDEX_OWNER)
			i++;
		while (j < b->n_index && b->index[j].index != ORLOP_INDEX_OWNER)
			j++;
		if (i == a->n_index || j == b->n_index)
			return i == a->n_index && j == b->n_index;
		if (a->index[i].value.len != b->index[j].value.len ||
		    memcmp(a->index[i].value.p, b->index[j].value.p, a->index[i].value.len))
			return false;
		i++;
		j++;
	}
}

static void queue_one(void *arg, struct watched *w, struct orlop_object *o)
{
	(void)arg;
	gc_queue(w, o);
}

/* Owners of @o that wait for their dependents might have waited for this one. */
static void owners_wake(struct gc *gc, const struct orlop_object *o)
{
	const struct orlop_host *h = gc->c.h;
	struct ojson *obj = okube_parse(o);

	if (!obj)
		octl_missed(&gc->c);
	OJSON_FOREACH_ELEM(i, ref, OJSON_AT(obj, "metadata", "ownerReferences")) {
		struct watched *w = gc_watched_of(gc, ref);
		struct orlop_bytes ns = o->ns;
		struct orlop_snapshot *s;
		struct orlop_object *owner;

		if (!w)
			continue;
		if (h->snapshot_open(w->res, &s)) {
			octl_missed(&gc->c);
			continue;
		}
		if (!w->namespaced)
			ns.len = 0;
		owner = h->snapshot_get(s, ns, ojson_get_bytes(ref, "name"));
		if (owner && gc_is_ending(owner))
			gc_queue(w, owner);
		h->snapshot_close(s);
	}
	ojson_unref(obj);
}

static void object_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct watched *w = arg;
	bool owned = has_owner(o);

	w->has_owned |= owned;
	if (!w->gc->scanned)
		return;		/* everything is looked at when all are known */
	if (type == ORLOP_CHANGE_DELETED) {
		struct orlop_bytes uid = okube_uid(o);

		if (uid.len && gc_dependents(w->gc, w->namespaced, o->ns, uid, queue_one, NULL) < 0)
			octl_missed(&w->gc->c);
		if (owned)
			owners_wake(w->gc, o);
		return;
	}
	if ((owned && (!prev || !same_owners(o, prev))) || gc_is_ending(o))
		gc_queue(w, o);
	if (prev && has_owner(prev) && !same_owners(o, prev))
		owners_wake(w->gc, prev);
}

/* Everything that has an owner or waits: whatever we missed shows here. */
static void scan(struct gc *gc)
{
	OLIST_FOREACH(pos, &gc->watched) {
		struct watched *w = OLIST_ENTRY(pos, struct watched, node);
		struct orlop_object *o;
		struct owalk walk;

		if (owalk_open(&walk, gc->c.h, w->res, NULL)) {
			octl_missed(&gc->c);
			continue;
		}
		while ((o = owalk_next(&walk)))
			if (has_owner(o) || gc_is_ending(o))
				gc_queue(w, o);
		owalk_close(&walk);
	}
}

static bool all_listed(struct octl *c)
{
	const struct gc *gc = (const struct gc *)(void *)c;

	if (!gc->resources || !okube_informer_synced(gc->resources) || olist_empty(&gc->watched))
		return false;
	OLIST_FOREACH(pos, &gc->watched) {
		const struct watched *w = OLIST_ENTRY(pos, struct watched, node);

		/* one that is gone before it was listed has nothing to list */
		if (!w->listed && c->h->resource_info(w->res))
			return false;
	}
	return true;
}

static void settle(struct gc *gc)
{
	if (!gc->scanned && all_listed(&gc->c)) {
		gc->scanned = true;
		gc->unknown = false;
		scan(gc);
	}
	octl_gate(&gc->c);
}

/* A pass over a whole resource has ended: the first one, or changes were missed. */
static void object_resync(void *arg)
{
	struct watched *w = arg;
	struct gc *gc = w->gc;

	/* something may have vanished unseen; or its kind owns what was looked at before it was known */
	if (w->listed || gc->unknown)
		gc->scanned = false;
	w->listed = true;
	settle(gc);
}

/* ---- resources --------------------------------------------------------------------------------------------- */

static void watched_free(struct watched *w)
{
	olist_del(&w->node);
	okube_informer_free(w->in);
	omem_free(w->name);
	omem_free(w->group);
	omem_free(w->kind);
	omem_free(w);
}

/* One that was retired may come again as another kind. */
static bool watched_describe(struct watched *w, const struct orlop_resource_info *info)
{
	char *group, *kind;

	if (w->namespaced == (info->namespaced != 0) && !strcmp(w->group, info->group) && !strcmp(w->kind, info->kind))
		return true;
	group = omem_strdup(info->group);
	kind = omem_strdup(info->kind);
	if (!group || !kind) {
		omem_free(group);
		omem_free(kind);
		return false;
	}
	omem_free(w->group);
	omem_free(w->kind);
	w->group = group;
	w->kind = kind;
	w->namespaced = info->namespaced != 0;
	if (w->gc->unknown)
		w->gc->scanned = false;
	return true;
}

static void watched_add(void *arg, const struct orlop_resource_info *info)
{
	struct gc *gc = arg;
	struct watched *w;

	if (is_ignored(info->name) || !strcmp(info->name, "resources"))
		return;
	w = gc_watched(gc, (struct orlop_bytes){ info->name, strlen(info->name) });
	if (w) {
		if (!watched_describe(w, info))
			octl_missed(&gc->c);
		return;
	}
	w = OMEM_NEW(struct watched);
	if (!w) {
		octl_missed(&gc->c);
		return;
	}
	w->gc = gc;
	w->namespaced = info->namespaced != 0;
	w->name = omem_strdup(info->name);
	w->group = omem_strdup(info->group);
	w->kind = omem_strdup(info->kind);
	olist_append(&gc->watched, &w->node);
	if (!w->name || !w->group || !w->kind ||
	    okube_informer_new(gc->c.h, info->name, object_changed, object_resync, w, &w->in, NULL)) {
		OLOG(gc->c.h, WARN, "not_followed", "resource=%s text=\"its objects are not collected, trying again\"", info->name);
		watched_free(w);
		octl_missed(&gc->c);
		return;
	}
	w->res = okube_informer_resource(w->in);
}

static void resource_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct gc *gc = arg;

	(void)o;
	(void)prev;
	/* One that is retired stays with us, empty; it may come again. */
	if (type != ORLOP_CHANGE_DELETED)
		gc->c.h->resource_list(gc->c.h, watched_add, gc);
	settle(gc);
}

static void resources_resync(void *arg)
{
	struct gc *gc = arg;

	gc->c.h->resource_list(gc->c.h, watched_add, gc);
	settle(gc);
}

/* ---- one object --------------------------------------------------------------------------------------------- */

static int gc_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct gc *gc = (struct gc *)(void *)c;
	const char *bar = memchr(ns.p, '|', ns.len);
	struct orlop_bytes resource = { ns.p, bar ? (size_t)(bar - ns.p) : 0 };
	struct watched *w = gc_watched(gc, resource);
	struct ojson *obj = NULL;
	int e;

	if (!w)
		return 0;
	ns.p = bar + 1;
	ns.len -= resource.len + 1;
	e = okube_find(c->h, w->res, ns, name, &obj);
	if (e)
		return e == -ENOENT ? 0 : e;
	if (!okube_deleting(obj))
		e = gc_check(gc, t, w, obj);
	else if (gc_has_finalizer(obj, ORPHAN))
		e = gc_orphan(gc, t, w, obj);
	else if (gc_has_finalizer(obj, FOREGROUND))
		e = gc_foreground(gc, t, w, obj);
	ojson_unref(obj);
	return e;
}

static void look_again(struct octl *c)
{
	struct gc *gc = (struct gc *)(void *)c;

	gc->c.h->resource_list(gc->c.h, watched_add, gc);
	if (gc->scanned)
		scan(gc);
	settle(gc);
}

static int gc_resync(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct gc *gc = ctx;

	(void)req;
	look_again(&gc->c);
	if (octl_when_idle(&gc->c, call))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return 0;
}

static const struct orlop_controller_ops gc_ops = {
	.size = sizeof(gc_ops),
	.resync = gc_resync,
};

static void gc_fini(void *ctx)
{
	struct gc *gc = ctx;

	octl_done(&gc->c);
	okube_informer_free(gc->resources);
	while (!olist_empty(&gc->watched))
		watched_free(OLIST_ENTRY(olist_first(&gc->watched), struct watched, node));
	omem_free(gc);
}

static int gc_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct gc *gc = OMEM_NEW(struct gc);
	int e;

	if (!gc)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	olist_init(&gc->watched);
	e = octl_init(&gc->c, h, "garbage-collector", NULL, gc_sync, 20, err);
	gc->c.synced = all_listed;
	gc->c.relist = look_again;
	if (!e)
		e = okube_informer_new(h, "resources", resource_changed, resources_resync, gc, &gc->resources, err);
	if (e) {
		gc_fini(gc);
		return e;
	}
	*ret_ctx = gc;
	return 0;
}

ORLOP_MODULE("garbage-collector", "controllers", "0.1",
	"needs=api\0reads=*;metadata\0"
	"asks=*;get;patch;delete\0"
	"user=system:serviceaccount:kube-system:generic-garbage-collector",
	.license = "Apache-2.0",
	.summary = "deletes what has lost its owners",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &gc_ops,
	.init = gc_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = gc_fini,
	.health = octl_health);
