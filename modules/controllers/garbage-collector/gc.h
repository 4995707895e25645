/*
 * gc.h - what the files of the garbage collector share.
 *
 * There is no graph of our own: the cache's owner index tells dependents, ownerReferences tell
 * owners. What is queued is an object; its key is "RESOURCE|NAMESPACE/NAME".
 */
#ifndef CONTROLLER_GC_GC_H
#define CONTROLLER_GC_GC_H

#include "base/olist.h"
#include "ctl/octl.h"

#define FOREGROUND	"foregroundDeletion"
#define ORPHAN		"orphan"

struct gc;

/* A registered resource that we follow. */
struct watched {
	struct olist	node;
	struct gc	*gc;
	char		*name;		/* "replicasets.apps" */
	char		*group;
	char		*kind;
	bool		namespaced;
	bool		listed;		/* seen through once */
	bool		has_owned;	/* some object has (had) an owner: others need no look-up */
	struct okube_informer *in;
	struct orlop_resource *res;
};

struct gc {
	struct octl	c;
	struct okube_informer *resources;	/* what is registered */
	struct olist	watched;
	bool		scanned;	/* all have been listed and looked at since */
	bool		unknown;	/* since then an owner's kind was none that is served: it may come */
};

/* ---- graph.c --------------------------------------------------------------------------------------- */

struct watched *gc_watched(const struct gc *gc, struct orlop_bytes resource);
/* The resource of an owner reference, or NULL: nobody serves that kind (now). */
struct watched *gc_watched_of(const struct gc *gc, const struct ojson *ref);
void gc_queue(struct watched *w, const struct orlop_object *o);
/*
 * All objects that name @uid as an owner: @fn for each; a namespaced owner has dependents only in
 * its own namespace. Returns how many, or -ENOMEM: then @fn may have seen a part of them.
 */
typedef void (*gc_dependent_fn)(void *arg, struct watched *w, struct orlop_object *o);
int gc_dependents(struct gc *gc, bool namespaced, struct orlop_bytes ns, struct orlop_bytes uid,
		       gc_dependent_fn fn, void *arg);
bool gc_has_finalizer(const struct ojson *obj, const char *name);
/* Is @o marked for deletion, and waits for its dependents? Without parsing all of it. */
bool gc_is_ending(const struct orlop_object *o);

/* ---- decide.c: has the object lost its owners? --------------------------------------------------------- */

int gc_check(struct gc *gc, struct octl_task *t, struct watched *w, struct ojson *obj);

/* ---- finalize.c: owners that wait ------------------------------------------------------------------------ */

/* Foreground: dependents go first. */
int gc_foreground(struct gc *gc, struct octl_task *t, struct watched *w, const struct ojson *obj);
/* Orphan: dependents forget the owner first. */
int gc_orphan(struct gc *gc, struct octl_task *t, struct watched *w, const struct ojson *obj);
/* A merge patch of metadata that holds only for this very revision; takes @take_meta. */
int gc_patch_meta(struct octl_task *t, const struct watched *w, const struct ojson *obj,
		  struct ojson *take_meta);
/* ownerReferences of @obj without those for which @drop says so; NULL without memory. */
struct ojson *gc_refs_without(const struct ojson *obj, bool (*drop)(const struct ojson *ref, const void *arg),
			      const void *arg);

#endif
