/*
 * objects.c - what must be true of objects of any kind: finalizers hold, namespaces go last, owners keep.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLD	"sim/hold"

/* Names whose finalizer may go. */
static struct omap *released(struct cluster *c)
{
	return &c->released;
}

void objects_release(struct cluster *c, const char *ns, const char *name)
{
	char key[200];

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	(void)omap_put_cstr(released(c), key, c);
}

static bool is_held(const struct version *v)
{
	OJSON_FOREACH_ELEM(i, f, OJSON_AT(v->obj, "metadata", "finalizers")) {
		if (ojson_string_is(f, HOLD))
			return true;
	}
	return false;
}

static void finalizers(struct cluster *c, const struct version *v)
{
	char key[200];

	snprintf(key, sizeof(key), "%s/%s", v->ns, v->name);
	if (!v->obj && is_held(v->prev) && !omap_get_cstr(released(c), key))
		sim_fail(c->w, "finalizer-ignored", "%s went at %llu with its finalizer", v->key, (unsigned long long)v->rev);
}

/* Does anything live in the namespace that has just gone? Events may. */
static void namespace_gone(struct cluster *c, const struct version *v)
{
	uint32_t i;

	for (i = 0; i < truth_count(c); i++) {
		const struct version *o = truth_at(c, i);

		if (o->obj && !strcmp(o->ns, v->name) && strncmp(o->resource, "events", 6) &&
		    truth_get(c, o->resource, o->ns, o->name) == o) {
			sim_fail(c->w, "namespace-not-empty", "%s went at %llu, %s is still there", v->name,
				 (unsigned long long)v->rev, o->key);
			return;
		}
	}
}

/* An owner that is there and not on its way out with its dependents. */
static const struct version *owner_alive(struct cluster *c, const struct version *v)
{
	OJSON_FOREACH_ELEM(i, o, OJSON_AT(v->obj, "metadata", "ownerReferences")) {
		const struct version *owner = truth_uid(c, ojson_get_cstr(o, "uid", ""));

		if (owner && version_alive(owner))
			return owner;
	}
	return NULL;
}

/* ConfigMaps with owners are deleted by nobody but the garbage collector (names "dep-…"). */
static void owners(struct cluster *c, const struct version *v)
{
	const struct version *had = v->prev;
	const struct version *owner;
	const struct version *ns;

	if (strcmp(v->resource, "configmaps") || strncmp(v->name, "dep-", 4) || !had || !version_alive(had))
		return;
	if (v->obj && version_alive(v))
		return;
	ns = truth_get(c, "namespaces", "", v->ns);
	owner = owner_alive(c, had);
	if (owner && ns && ns->obj && version_alive(ns))
		sim_fail(c->w, "owned-but-collected", "%s went at %llu, its owner %s is there", v->key,
			 (unsigned long long)v->rev, owner->key);
}

void objects_version(struct cluster *c, const struct version *v)
{
	if (v->prev)
		finalizers(c, v);
	owners(c, v);
	if (!v->obj && !strcmp(v->resource, "namespaces"))
		namespace_gone(c, v);
}

/* Whoever has owners has one that is there. */
void objects_end(struct cluster *c)
{
	uint32_t i;

	for (i = 0; i < truth_count(c); i++) {
		const struct version *v = truth_at(c, i);
		uint32_t n = 0;
		uint32_t there = 0;

		if (!v->obj || truth_get(c, v->resource, v->ns, v->name) != v)
			continue;
		OJSON_FOREACH_ELEM(k, o, OJSON_AT(v->obj, "metadata", "ownerReferences")) {
			n++;
			there += truth_uid(c, ojson_get_cstr(o, "uid", "")) != NULL;
		}
		if (n && !there)
			snprintf(c->unsettled, sizeof(c->unsettled), "%s is an orphan: none of its %u owners is there", v->key, n);
	}
}
