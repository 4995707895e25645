/*
 * decide.c - has an object lost its owners?
 *
 * An owner that the cache has with the right uid exists. One that it has not is asked for at the API
 * before anything is deleted for want of it: the cache of a worker may be behind.
 * Source: upstream's pkg/controller/garbagecollector attemptToDeleteItem, behaviour only.
 */
#include "gc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/omem.h"

enum owner_state {
	OWNER_UNKNOWN,
	OWNER_SOLID,		/* is there and stays */
	OWNER_WAITING,		/* is there, to be deleted once we are gone */
	OWNER_GONE,
};

struct check;

struct asked {
	struct check	*check;
	uint32_t	i;
};

struct check {
	struct gc	*gc;
	struct octl_task *t;
	struct watched	*w;
	struct ojson	*obj;
	uint32_t	n;
	uint32_t	left;		/* answers, and ourselves */
	bool		failed;
	struct asked	*asked;
	enum owner_state state[];
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static const struct ojson *ref_of(const struct check *k, uint32_t i)
{
	return ojson_index(OJSON_AT(k->obj, "metadata", "ownerReferences"), i);
}

static enum owner_state state_of(const struct ojson *owner, const char *uid)
{
	if (!owner || strcmp(okube_meta(owner, "uid"), uid))
		return OWNER_GONE;
	return okube_deleting(owner) && gc_has_finalizer(owner, FOREGROUND) ? OWNER_WAITING : OWNER_SOLID;
}

/* ---- verdict ------------------------------------------------------------------------------------------- */

static bool is_lost(const struct ojson *ref, const void *arg)
{
	const struct check *k = arg;
	uint32_t i;

	for (i = 0; i < k->n; i++)
		if (ref_of(k, i) == ref)
			return k->state[i] != OWNER_SOLID;
	return false;
}

static int refs_drop(struct check *k)
{
	struct ojson *meta = ojson_new_object();
	struct ojson *refs = gc_refs_without(k->obj, is_lost, k);

	if (!meta || !refs || ojson_set(meta, "ownerReferences", ojson_ref(refs))) {
		ojson_unref(meta);
		ojson_unref(refs);
		return -ENOMEM;
	}
	ojson_unref(refs);
	return gc_patch_meta(k->t, k->w, k->obj, meta);
}

static void dependent_seen(void *arg, struct watched *w, struct orlop_object *o)
{
	(void)arg;
	(void)w;
	(void)o;
}

/* Of this object at this revision only: a new owner it has got meanwhile saves it. */
static int object_delete(struct check *k, const char *policy)
{
	struct ojson *options = ojson_new_object();
	struct ojson *pre = options ? ojson_ensure_object(options, "preconditions") : NULL;
	struct okube_req req = { .verb = "delete", .resource = k->w->name,
				 .ns = text(okube_meta(k->obj, "namespace")),
				 .name = text(okube_meta(k->obj, "name")), .body = options };
	int e = ojson_set_cstr(pre, "uid", okube_meta(k->obj, "uid"));

	if (!e)
		e = ojson_set_cstr(pre, "resourceVersion", okube_meta(k->obj, "resourceVersion"));
	if (!e)
		e = ojson_set_cstr(options, "kind", "DeleteOptions");
	if (!e)
		e = ojson_set_cstr(options, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(options, "propagationPolicy", policy);
	if (!e) {
		OLOG(k->gc->c.h, DEBUG, "collect", "resource=%s ns=%s name=%s policy=%s", k->w->name,
		     okube_meta(k->obj, "namespace"), okube_meta(k->obj, "name"), policy);
		octl_send(k->t, &req);
	}
	ojson_unref(options);
	return e;
}

static int decide(struct check *k)
{
	uint32_t count[4] = { 0 };
	int dependents;
	uint32_t i;

	for (i = 0; i < k->n; i++)
		count[k->state[i]]++;
	if (count[OWNER_SOLID])
		return count[OWNER_WAITING] + count[OWNER_GONE] ? refs_drop(k) : 0;
	if (count[OWNER_WAITING]) {
		dependents = gc_dependents(k->gc, k->w->namespaced, text(okube_meta(k->obj, "namespace")),
					   text(okube_meta(k->obj, "uid")), dependent_seen, NULL);
		if (dependents)
			return dependents < 0 ? dependents : object_delete(k, "Foreground");
	}
	return object_delete(k, gc_has_finalizer(k->obj, ORPHAN) ? "Orphan" :
			     gc_has_finalizer(k->obj, FOREGROUND) ? "Foreground" : "Background");
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

/* One answer less; the last one decides. */
static int check_put(struct check *k)
{
	int e = 0;

	if (--k->left)
		return 0;
	if (!k->failed)
		e = decide(k);
	ojson_unref(k->obj);
	omem_free(k->asked);
	omem_free(k);
	return e;
}

static void owner_answered(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct asked *a = arg;
	struct check *k = a->check;
	struct octl_task *t = k->t;
	bool failed = status < 0 || (code != 200 && code != 404) || !body;

	(void)rev;
	if (failed)
		k->failed = true;
	else
		k->state[a->i] = state_of(code == 200 ? body : NULL,
					  ojson_get_cstr(ref_of(k, a->i), "uid", ""));
	if (check_put(k))
		failed = true;
	octl_release(t, failed);
}

/* From the cache, or a request whose answer tells later. */
static int owner_look(struct check *k, uint32_t i)
{
	const struct ojson *ref = ref_of(k, i);
	const char *uid = ojson_get_cstr(ref, "uid", "");
	struct watched *ow = gc_watched_of(k->gc, ref);
	struct orlop_bytes ns = text(okube_meta(k->obj, "namespace"));
	struct orlop_bytes name = ojson_get_bytes(ref, "name");
	struct okube_req req = { .verb = "get", .name = name };
	struct ojson *owner;
	int e;

	/* Unknown kinds, and owners that a cluster-wide object cannot have: no ground for deleting. */
	if (!ow || (ow->namespaced && !k->w->namespaced)) {
		k->gc->unknown |= !ow;
		k->state[i] = OWNER_SOLID;
		return 0;
	}
	if (!ow->namespaced)
		ns.len = 0;
	owner = okube_get(k->gc->c.h, ow->res, ns, name);
	k->state[i] = state_of(owner, uid);
	ojson_unref(owner);
	if (k->state[i] != OWNER_GONE)
		return 0;
	req.resource = ow->name;
	req.ns = ns;
	k->asked[i] = (struct asked){ k, i };
	k->left++;
	octl_hold(k->t);
	e = okube_call(k->gc->c.h, &req, owner_answered, &k->asked[i]);
	if (e) {
		k->left--;
		octl_release(k->t, true);
	}
	return e;
}

int gc_check(struct gc *gc, struct octl_task *t, struct watched *w, struct ojson *obj)
{
	uint32_t n = (uint32_t)ojson_count(OJSON_AT(obj, "metadata", "ownerReferences"));
	struct check *k;
	uint32_t i;
	int e = 0;
	int r;

	if (!n)
		return 0;
	k = omem_zalloc(sizeof(*k) + n * sizeof(k->state[0]));
	if (!k)
		return -ENOMEM;
	k->asked = omem_zalloc_array(n, sizeof(*k->asked));
	if (!k->asked) {
		omem_free(k);
		return -ENOMEM;
	}
	k->gc = gc;
	k->t = t;
	k->w = w;
	k->obj = ojson_ref(obj);
	k->n = n;
	k->left = 1;
	for (i = 0; i < n && !e; i++)
		e = owner_look(k, i);
	if (e)
		k->failed = true;
	r = check_put(k);
	return e ? e : r;
}
