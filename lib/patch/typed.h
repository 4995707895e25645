/*
 * typed.h - objects changed by the rules of their lists and maps (inside lib/patch)
 *
 * Merge, removal and validation of structured-merge-diff's typed values, on which apply stands. What
 * is returned shares subtrees with what was given: neither may be changed in place below the top
 * while the other is needed.
 */
#ifndef OLIB_PATCH_TYPED_H
#define OLIB_PATCH_TYPED_H

#include "patch/ofields.h"
#include "patch/place.h"

/*
 * typed_merge - @config over @live, both objects of @type
 *
 * Lists keep @live's order as far as @config's does not say otherwise. Elements of @live that have
 * no key stay where they are. 0 or -ENOMEM.
 */
int typed_merge(const struct walk *w, const struct oschema_type *type, const struct ojson *live,
		const struct ojson *config, struct ojson **ret);

/* @object without what @set names; what becomes empty by it is null. 0 or -ENOMEM. */
int typed_remove(const struct walk *w, const struct oschema_type *type, const struct ojson *object,
		 const struct ofields *set, struct ojson **ret);

/* @set with each struct field that has something below it as a member, too. 0 or -ENOMEM. */
int typed_named(const struct walk *w, const struct oschema_type *type, const struct ofields *set,
		const struct ofields **ret);

/*
 * typed_check - is @object one of @type: known fields, values of the right types, lists with keys
 *
 * Appends "\n  .spec.foo: field not declared in schema" per finding and counts them; at most 100 are
 * named. 0 or -ENOMEM.
 */
int typed_check(const struct walk *w, const struct oschema_type *type, const struct ojson *object,
		struct obuf *lines, size_t *ret_n);

#endif
