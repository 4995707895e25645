/*
 * object.h - one object as the cache holds it: one allocation, immutable, reference-counted.
 *
 *   struct core_object | index entries | "ns/name" | keys and values of the entries | JSON
 *
 * An index entry carries its own position in reserved0: so a pointer to an entry is enough for a
 * secondary index, the object is found from it.
 */
#ifndef CORE_CACHE_OBJECT_H
#define CORE_CACHE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orlop/cache.h>

#include "base/obuf.h"
#include "base/oref.h"

struct core_object {
	struct oref	ref;
	uint32_t	rv_off;		/* where `"resourceVersion":"N",` begins in the JSON */
	uint32_t	birth;		/* generation that brought it: writers only */
	uint32_t	mark;		/* of the last list that found it: writers only */
	struct core_object *dead_next;	/* writers only, once no newer generation has it */
	struct orlop_object pub;
};

static inline struct core_object *core_object_of(const struct orlop_object *o)
{
	return (struct core_object *)(void *)((char *)(uintptr_t)o - offsetof(struct core_object, pub));
}

static inline struct core_object *core_object_of_entry(const struct orlop_index_entry *e)
{
	return (struct core_object *)(void *)((char *)(uintptr_t)(e - e->reserved0) -
					      sizeof(struct core_object));
}

/* The storage key without the resource: "ns/name". */
static inline struct orlop_bytes core_object_key(const struct core_object *o)
{
	return (struct orlop_bytes){ o->pub.ns.p, o->pub.ns.len + 1 + o->pub.name.len };
}

/* Bytes of the allocation. */
static inline size_t core_object_size(const struct core_object *o)
{
	return (size_t)(o->pub.json.p + o->pub.json.len - (const char *)o);
}

/*
 * core_object_parse - an object from a stored record (record.h), which is not trusted
 *
 * @key  "ns/name", @ns_len bytes of namespace. 0, -EINVAL (damaged or of an unknown format), -ENOMEM.
 * The reference is the caller's.
 */
int core_object_parse(struct orlop_bytes key, size_t ns_len, struct orlop_bytes record, uint64_t rev,
		      struct core_object **ret);

/* Is it the object of this record and revision? */
bool core_object_is(const struct core_object *o, struct orlop_bytes record, uint64_t rev);

/* The same object with another revision: what a delete leaves. 0 or -ENOMEM. */
int core_object_restamp(const struct core_object *o, uint64_t rev, struct core_object **ret);

/*
 * The record that it was made from, without what only the API server needs of it (schema, offset of
 * managedFields); @metadata: of its metadata alone, without fields as indexes. Appended to @b, whose
 * error sticks.
 */
void core_object_record(const struct core_object *o, bool metadata, struct obuf *b);

static inline struct core_object *core_object_get(struct core_object *o)
{
	oref_get(&o->ref);
	return o;
}

void core_object_put(struct core_object *o);	/* accepts NULL */

#endif
