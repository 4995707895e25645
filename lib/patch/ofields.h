/*
 * ofields - sets of field paths: who owns what in managedFields
 *
 * A set is a trie of path elements in the spelling of FieldsV1: `f:spec`, `k:{"name":"web"}`,
 * `v:"x"`, `i:0`. A node may itself be a member (`.`) besides having children. Nodes are immutable
 * once a function has returned them and live in the arena of the request; sets made in one arena
 * share subtrees. NULL is the empty set.
 *
 * The algebra is that of structured-merge-diff, on which upstream's field manager stands.
 */
#ifndef OLIB_PATCH_OFIELDS_H
#define OLIB_PATCH_OFIELDS_H

#include "base/oarena.h"
#include "base/obuf.h"
#include "json/ojson.h"
#include "schema/oschema.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stdint.h>

struct ofields {
	struct orlop_bytes	pe;		/* path element; empty at the root */
	bool			member;		/* the path that ends here belongs to the set */
	uint32_t		n;
	uint32_t		cap;		/* of child, while it is being built */
	struct ofields		**child;	/* in order of ofields_pe_cmp() */
};

/* Order of path elements: fields, keys, values, indexes; inside each by what they name. */
int ofields_pe_cmp(struct orlop_bytes a, struct orlop_bytes b);

bool ofields_is_empty(const struct ofields *s);
bool ofields_equal(const struct ofields *a, const struct ofields *b);

/*
 * Is this path in the set? @path: path elements up to an empty one.
 * ofields_has_child: the node below @s, or NULL.
 */
const struct ofields *ofields_child(const struct ofields *s, struct orlop_bytes pe);

/* Each returns 0 and the set in @ret (NULL if empty), or -ENOMEM. */
int ofields_union(struct oarena *a, const struct ofields *x, const struct ofields *y,
		  const struct ofields **ret);
int ofields_intersection(struct oarena *a, const struct ofields *x, const struct ofields *y,
			 const struct ofields **ret);
/* Members of x that are not members of y; children are compared one by one. */
int ofields_difference(struct oarena *a, const struct ofields *x, const struct ofields *y,
		       const struct ofields **ret);
/* Like it, but a member of y takes everything below it away as well. */
int ofields_difference_recursive(struct oarena *a, const struct ofields *x, const struct ofields *y,
				 const struct ofields **ret);
/* The set without what has members below: what a set names itself. */
int ofields_leaves(struct oarena *a, const struct ofields *x, const struct ofields **ret);

/* Appends FieldsV1 JSON, `{}` for the empty set. */
void ofields_write(const struct ofields *s, struct obuf *b);

/* From FieldsV1, normalized. 0, -EINVAL (not FieldsV1), -ENOMEM. */
int ofields_parse(struct oarena *a, const struct ojson *fields_v1, const struct ofields **ret);

/* A set of dotted paths of plain fields, "metadata.name" (NULL-terminated array; NULL is empty). */
int ofields_from_paths(struct oarena *a, const char *const *paths, const struct ofields **ret);

/* Everything that @object sets, by the list and map types of its schema (ToFieldSet). */
int ofields_from_object(struct oarena *a, const struct oschema *schema,
			const struct oschema_type *type, const struct ojson *object,
			const struct ofields **ret);

/* What differs between two objects of one type. Unset is NULL. */
struct ofields_diff {
	const struct ofields *added;
	const struct ofields *removed;
	const struct ofields *modified;
};

int ofields_compare(struct oarena *a, const struct oschema *schema, const struct oschema_type *type,
		    const struct ojson *old, const struct ojson *new, struct ofields_diff *ret);

/*
 * ofields_zero - the object that Go would write for an empty struct of @type
 *
 * Upstream compares a created object with that, so that `spec: {}` is not itself an owned field.
 */
int ofields_zero(const struct oschema *schema, const struct oschema_type *type, struct ojson **ret);

/* Field path as conflicts print it: `.spec.containers[name="web"].image`; for each member of @s. */
typedef int (*ofields_each_fn)(void *arg, const char *path, size_t len);
int ofields_each(const struct ofields *s, ofields_each_fn fn, void *arg);

/* The same of one path element. */
void ofields_print_pe(struct orlop_bytes pe, struct obuf *b);

/* ---- building: a set that grows path by path, in one depth-first walk ----------------------------- */

struct ofields *ofields_new(struct oarena *a);
/* The child of @parent called @pe, made if it is not its last one; @pe is borrowed for the arena's life. */
struct ofields *ofields_enter(struct oarena *a, struct ofields *parent, struct orlop_bytes pe);
/* Sorts what was built, merges doubles, drops empty nodes. NULL if nothing is left. */
const struct ofields *ofields_finish(struct ofields *s);

#endif
