/*
 * opatch - the three ways to change an object by PATCH
 *
 * Each changes the tree *doc in place and replaces *doc itself where the patch does. A patch is
 * untrusted input: what it may cost is bounded. On failure *doc is valid but half changed; the
 * caller throws it away. Errors carry the HTTP code and reason that upstream answers with.
 */
#ifndef OLIB_PATCH_OPATCH_H
#define OLIB_PATCH_OPATCH_H

#include "json/ojson.h"
#include "schema/oschema.h"

#include <orlop/types.h>

/* Upstream's limits. */
#define OPATCH_JSON_OPS_MAX 10000u
#define OPATCH_JSON_COPY_MAX (3u << 20)

/*
 * opatch_json - RFC 6902
 *
 * All six operations. As in the library that upstream uses, negative array indexes count from the
 * end. Malformed patches are 400, operations that do not apply 422, too many of them 413.
 */
int opatch_json(struct ojson **doc, const struct ojson *patch, struct orlop_error *err);

/* opatch_merge - RFC 7386. A patch that is no object is 400. */
int opatch_merge(struct ojson **doc, const struct ojson *patch, struct orlop_error *err);

/*
 * opatch_strategic - strategic merge patch of an object of struct type @type
 *
 * Maps merge; lists follow patch strategy and merge key of the field; the directives are
 * $patch, $retainKeys, $setElementOrder/F and $deleteFromPrimitiveList/F.
 */
int opatch_strategic(struct ojson **doc, const struct ojson *patch, const struct oschema *schema,
		     const struct oschema_type *type, struct orlop_error *err);

#endif
