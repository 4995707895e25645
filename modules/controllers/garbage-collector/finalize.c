/*
 * finalize.c - owners that wait for their dependents: foreground deletion, where these go first, and
 * orphaning, where they forget their owner first. Then our finalizer goes, and the object with it.
 */
#include "gc.h"

#include <errno.h>
#include <string.h>

#include "base/otime.h"

#define LOOK_AGAIN	(5 * OTIME_SECOND)	/* a reference that stopped blocking tells nobody */
#define CIRCLE_LOOKS	256

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

int gc_patch_meta(struct octl_task *t, const struct watched *w, const struct ojson *obj,
		  struct ojson *take_meta)
{
	struct ojson *patch = ojson_new_object();
	struct okube_req req = { .verb = "patch", .resource = w->name, .body = patch,
				 .ns = text(okube_meta(obj, "namespace")), .name = text(okube_meta(obj, "name")),
				 .content_type = OKUBE_MERGE_PATCH };
	int e = ojson_set_cstr(take_meta, "uid", okube_meta(obj, "uid"));

	if (!e)
		e = ojson_set_cstr(take_meta, "resourceVersion", okube_meta(obj, "resourceVersion"));
	if (!e && !patch)
		e = -ENOMEM;
	if (!e)
		e = ojson_set(patch, "metadata", ojson_ref(take_meta));
	if (!e)
		octl_send(t, &req);
	ojson_unref(take_meta);
	ojson_unref(patch);
	return e;
}

struct ojson *gc_refs_without(const struct ojson *obj, bool (*drop)(const struct ojson *ref, const void *arg),
			      const void *arg)
{
	struct ojson *out = ojson_new_array();
	int e = out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, ref, OJSON_AT(obj, "metadata", "ownerReferences")) {
		if (!e && !drop(ref, arg))
			e = ojson_append(out, ojson_ref(ref));
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

static int finalizer_drop(struct octl_task *t, const struct watched *w, const struct ojson *obj,
			  const char *name)
{
	struct ojson *meta = ojson_new_object();
	struct ojson *list = ojson_new_array();
	int e = meta && list ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, f, OJSON_AT(obj, "metadata", "finalizers")) {
		if (!e && !ojson_string_is(f, name))
			e = ojson_append(list, ojson_ref(f));
	}
	if (!e)
		e = ojson_set(meta, "finalizers", ojson_ref(list));
	ojson_unref(list);
	if (e) {
		ojson_unref(meta);
		return e;
	}
	return gc_patch_meta(t, w, obj, meta);
}

/* ---- dependents -------------------------------------------------------------------------------------------- */

struct walk {
	struct octl_task *t;
	const struct ojson *obj;	/* the owner */
	const char	*uid;		/* its uid */
	uint32_t	blocking;
	int		e;
};

static bool is_ref_to(const struct ojson *ref, const void *uid)
{
	return ojson_string_is(ojson_get(ref, "uid"), uid);
}

/*
 * A dependent that is itself waiting for its dependents might wait for its owner, in a circle: none
 * of its references block any more.
 */
static int unblock(struct octl_task *t, const struct watched *w, const struct ojson *dep)
{
	struct ojson *meta = ojson_new_object();
	struct ojson *refs = NULL;
	bool any = false;
	int e = ojson_copy(OJSON_AT(dep, "metadata", "ownerReferences"), &refs);

	OJSON_FOREACH_ELEM(i, ref, refs) {
		if (ojson_get_bool(ref, "blockOwnerDeletion", false)) {
			any = true;
			if (!e)
				e = ojson_set_bool(ref, "blockOwnerDeletion", false);
		}
	}
	if (!e && any)
		e = ojson_set(meta, "ownerReferences", ojson_ref(refs));
	ojson_unref(refs);
	if (e || !any) {
		ojson_unref(meta);
		return e;
	}
	return gc_patch_meta(t, w, dep, meta);
}

/*
 * Does @obj, through owners that wait for it, hold up the object @dep_uid? Owners are few and their
 * chains short; where they are not, the answer is yes after @budget looks: rather one that goes before
 * its dependents than one that never goes.
 */
static bool holds_up(struct gc *gc, const struct ojson *obj, const char *dep_uid, uint32_t *budget)
{
	const struct orlop_host *h = gc->c.h;
	bool found = false;

	OJSON_FOREACH_ELEM(i, ref, OJSON_AT(obj, "metadata", "ownerReferences")) {
		struct watched *w = gc_watched_of(gc, ref);
		struct orlop_bytes ns = { NULL, 0 };
		struct ojson *owner = NULL;

		if (found || !w || !ojson_get_bool(ref, "blockOwnerDeletion", false))
			continue;
		if (is_ref_to(ref, dep_uid) || !*budget) {
			found = true;
			continue;
		}
		--*budget;
		if (w->namespaced)
			ns = text(okube_meta(obj, "namespace"));
		if (okube_find(h, w->res, ns, ojson_get_bytes(ref, "name"), &owner))
			continue;	/* gone: it waits for nobody */
		if (is_ref_to(ref, okube_meta(owner, "uid")) && okube_deleting(owner) &&
		    gc_has_finalizer(owner, FOREGROUND))
			found = holds_up(gc, owner, dep_uid, budget);
		ojson_unref(owner);
	}
	return found;
}

static void foreground_one(void *arg, struct watched *w, struct orlop_object *o)
{
	struct walk *k = arg;
	struct ojson *dep = okube_parse(o);
	uint32_t budget = CIRCLE_LOOKS;

	if (!dep)
		k->e = -ENOMEM;
	OJSON_FOREACH_ELEM(i, ref, OJSON_AT(dep, "metadata", "ownerReferences")) {
		if (is_ref_to(ref, k->uid) && ojson_get_bool(ref, "blockOwnerDeletion", false))
			k->blocking++;
	}
	if (dep && !okube_deleting(dep))
		gc_queue(w, o);		/* it will find us waiting, and go */
	else if (dep && gc_has_finalizer(dep, FOREGROUND) && !k->e &&
		 holds_up(w->gc, k->obj, okube_meta(dep, "uid"), &budget))
		k->e = unblock(k->t, w, dep);
	ojson_unref(dep);
}

int gc_foreground(struct gc *gc, struct octl_task *t, struct watched *w, const struct ojson *obj)
{
	struct walk k = { .t = t, .obj = obj, .uid = okube_meta(obj, "uid") };
	int n = gc_dependents(gc, w->namespaced, text(okube_meta(obj, "namespace")), text(k.uid),
			      foreground_one, &k);

	if (n < 0 || k.e)
		return n < 0 ? n : k.e;
	if (!k.blocking)
		return finalizer_drop(t, w, obj, FOREGROUND);
	octl_again(t, LOOK_AGAIN);
	return 0;
}

static void orphan_one(void *arg, struct watched *w, struct orlop_object *o)
{
	struct walk *k = arg;
	struct ojson *dep = okube_parse(o);
	struct ojson *meta = ojson_new_object();
	struct ojson *refs = gc_refs_without(dep, is_ref_to, k->uid);

	if (!k->e)
		k->e = dep && meta && refs ? ojson_set(meta, "ownerReferences", ojson_ref(refs)) : -ENOMEM;
	ojson_unref(refs);
	if (!k->e)
		k->e = gc_patch_meta(k->t, w, dep, meta);
	else
		ojson_unref(meta);
	ojson_unref(dep);
}

int gc_orphan(struct gc *gc, struct octl_task *t, struct watched *w, const struct ojson *obj)
{
	struct walk k = { .t = t, .obj = obj, .uid = okube_meta(obj, "uid") };
	int n = gc_dependents(gc, w->namespaced, text(okube_meta(obj, "namespace")), text(k.uid), orphan_one,
			      &k);

	if (n < 0 || k.e)
		return n < 0 ? n : k.e;
	if (!n)
		return finalizer_drop(t, w, obj, ORPHAN);
	octl_again(t, 0);	/* once they have forgotten it */
	return 0;
}
