/*
 * cache.h - reading the objects that this process knows: snapshots, journals, resources as data.
 *
 * Resources are named "plural" or "plural.group" ("pods", "deployments.apps"). An object is
 * immutable; its bytes are the JSON of the object from `"metadata":` on, without the outermost
 * braces, apiVersion and kind; resourceVersion is in place. Consistency is per resource: revisions
 * never go back, a journal never splits a revision.
 */
#ifndef ORLOP_CACHE_H
#define ORLOP_CACHE_H

#include <orlop/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The head of a cached object, read-only. References are counted: object_ref/unref (any thread).
 * Objects from a snapshot are valid while the snapshot is held; from a journal, until unref.
 */
struct orlop_object {
	uint32_t	size;		/* of this head, as the core knows it */
	uint32_t	n_index;	/* index entries */
	uint64_t	rev;		/* revision of the last change: metadata.resourceVersion */
	struct orlop_bytes ns;		/* empty for cluster-scoped resources */
	struct orlop_bytes name;
	struct orlop_bytes json;	/* from "metadata": on */
	const struct orlop_index_entry *index;	/* sorted by (index, key, value) */
};

/*
 * One value of one index, as the record carried it (record.h). Index numbers belong to the
 * resource (resource_index()); number 0 is always labels, with the label's name in @key.
 */
struct orlop_index_entry {
	uint32_t	index;
	uint32_t	reserved0;
	struct orlop_bytes key;		/* labels: name; otherwise empty */
	struct orlop_bytes value;
};

#define ORLOP_INDEX_LABELS	0u
#define ORLOP_INDEX_OWNER	1u	/* uid of each owner reference */
#define ORLOP_INDEX_UID		2u	/* the object's own uid */
#define ORLOP_INDEX_FIRST_FIELD	3u	/* from here on: fields named by the resource */

enum {
	ORLOP_CHANGE_ADDED	= 1,
	ORLOP_CHANGE_MODIFIED	= 2,
	ORLOP_CHANGE_DELETED	= 3,	/* object: last state with the revision of the delete */
};

/* One journal entry. The reader owns one reference of each non-NULL object. */
struct orlop_change {
	uint32_t	type;
	uint32_t	reserved0;
	uint64_t	rev;
	struct orlop_object *object;	/* new state; DELETED: bytes of its own, delete revision */
	struct orlop_object *prev;	/* state before, NULL for ADDED */
};

/* What to iterate over; zero and set size. All conditions must hold. */
struct orlop_query {
	uint32_t	size;
	uint32_t	index;		/* with has_index: index number, key and exact value */
	uint32_t	has_index;
	uint32_t	has_ns;		/* only this namespace (also the empty one) */
	struct orlop_bytes ns;
	struct orlop_bytes index_key;
	struct orlop_bytes index_value;
	struct orlop_bytes after_ns;	/* start behind (after_ns, after_name) if after_name is set */
	struct orlop_bytes after_name;
};

/* A resource's description, as registered by the API server and listed by resource_list(). */
struct orlop_resource_info {
	uint32_t	size;
	uint32_t	namespaced;
	const char	*name;		/* "deployments.apps" */
	const char	*group;		/* "" for core */
	const char	*version;	/* storage version */
	const char	*kind;
	const char	*plural;
	uint32_t	schema_gen;
	uint32_t	n_fields;
	const char	*const *fields;	/* names of field indexes, numbered from ORLOP_INDEX_FIRST_FIELD */
	const char	*const *indexed;/* names among them (or "labels","owner","uid") kept as secondary
					   indexes in each generation; NULL-terminated, may be NULL */
	uint64_t	journal_bytes;	/* 0: 8 MiB */
	uint64_t	journal_ns;	/* 0: 5 min */
	/* json prefix of a served object: `"kind":"Pod","apiVersion":"v1",`; informative */
	const char	*prefix;
};

/* One condition of a want: an exact value of a field ("spec.nodeName") or label ("app"). */
struct orlop_feed_match {
	uint32_t	size;
	uint32_t	label;		/* 1: @name is a label's, 0: a field's */
	const char	*name;
	const char	*value;
};

/*
 * What one or more modules of this process read of a resource: their reads= (module.h) with $names
 * put in. All conditions hold for what is wanted. Several wants of one resource are several slices:
 * what is in any of them is wanted. A want that another one contains is left out.
 */
struct orlop_feed_want {
	uint32_t	size;
	uint32_t	flags;		/* ORLOP_WANT_* */
	const char	*resource;	/* "pods", "deployments.apps"; "*": all there are */
	const char	*ns;		/* only this namespace; NULL: all */
	uint32_t	n_matches;
	uint32_t	match_size;	/* of an element of @matches */
	const struct orlop_feed_match *matches;
};

#define ORLOP_WANT_METADATA	0x0001u	/* metadata is enough */

/* feed_list_begin */
#define ORLOP_FEED_LOST		0x0001u	/* what happened before this list is not known: cursors become stale */

/* Note that a resource has moved; on the opener's loop; coalesced; read journal or snapshot. */
typedef void (*orlop_note_fn)(void *arg, struct orlop_resource *res, uint64_t rev);
/* cache_wait: status 0, -ETIMEDOUT or -ECANCELED. */
typedef void (*orlop_wait_fn)(void *arg, int32_t status);

#ifdef __cplusplus
}
#endif
#endif
