/* strategic.h - between the two files of strategic merge patch; private to lib/patch. */
#ifndef OLIB_PATCH_STRATEGIC_H
#define OLIB_PATCH_STRATEGIC_H

#include "patch/opatch.h"

#include <stdbool.h>

struct ostrat {
	const struct oschema	*schema;
	struct orlop_error	*err;
};

/* What the schema says about a member. Unknown members merge as maps and replace as lists. */
struct ostrat_meta {
	const struct oschema_type *type;	/* NULL: unknown */
	uint8_t			strategy;	/* OSCHEMA_PATCH_* */
	const char		*merge_key;	/* NULL: none */
};

int ostrat_fail(struct ostrat *s, int http, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Fails because @directive of @map is none that is known. */
int ostrat_unknown(struct ostrat *s, const struct ojson *directive, const struct ojson *map);

/* @j as Go's %v prints it, for messages. */
void ostrat_show(const struct ojson *j, struct obuf *out);

struct ostrat_meta ostrat_child(const struct ostrat *s, const struct oschema_type *type,
				const char *key);

/* Merges @patch (which it takes apart) into *@original, an object. */
int ostrat_merge_map(struct ostrat *s, struct ojson **original, struct ojson *patch,
		     const struct oschema_type *type);

/*
 * Cleans a value of directives and nulls for use as it is. Returns 1 and the value in @ret, or 0 if
 * it only said "delete" (*ret NULL). *take_patch becomes NULL.
 */
int ostrat_adopt(struct ojson **take_patch, struct ojson **ret);

/*
 * Merges two lists into a fresh one. @m->merge_key NULL: sets of scalars; @deleting: the scalars of
 * @patch go from @original.
 */
int ostrat_merge_list(struct ostrat *s, struct ojson *original, struct ojson *patch,
		      const struct ostrat_meta *m, bool deleting, struct ojson **ret);

/*
 * Orders *list: elements named in @order by it, the others by @old (may be NULL); an element that
 * only the server has stays before those that followed it in @old.
 */
int ostrat_sort(struct ostrat *s, struct ojson **list, const struct ojson *order,
		const struct ojson *old, const char *merge_key);

/* Are the elements of @patch (NULL: none) in the order that @order gives them? */
int ostrat_check_order(struct ostrat *s, const struct ojson *patch, const struct ojson *order,
		       const char *merge_key);

#endif
