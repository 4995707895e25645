/* place.h - where in a typed object one is, and how what is there is owned (inside lib/patch). */
#ifndef OLIB_PATCH_PLACE_H
#define OLIB_PATCH_PLACE_H

#include "base/oarena.h"
#include "base/obuf.h"
#include "json/ojson.h"
#include "schema/oschema.h"

#include <orlop/types.h>

/* How a value is owned: depends on its type and on the field that holds it. */
enum place_shape {
	PLACE_LEAF,
	PLACE_MAP,		/* struct or map, field by field */
	PLACE_LIST_MAP,
	PLACE_LIST_SET,
};

struct place {
	const struct oschema_type	*type;	/* NULL: unknown, a leaf */
	const struct oschema_field	*field;	/* NULL: element of something */
};

/* What every walk over typed objects carries. */
struct walk {
	struct oarena			*mem;
	const struct oschema		*schema;
};

enum place_shape place_shape(struct place p);
/* The place of a member of a struct or map, of the elements of a list. */
struct place place_member(const struct walk *w, struct place parent, const char *key, size_t len);
struct place place_element(const struct walk *w, struct place list);

/* Path elements, in the arena: `f:NAME`; `k:{…}` or `v:…` of a list element (-EINVAL: it has none). */
int place_member_pe(const struct walk *w, const char *key, size_t len, struct orlop_bytes *ret);
int place_element_pe(const struct walk *w, struct place list, const struct ojson *e,
		     struct orlop_bytes *ret);
/* Default of a key field of list elements, as JSON text; NULL if it has none. */
const char *place_key_default(const struct walk *w, struct place list, const char *key);

#endif
