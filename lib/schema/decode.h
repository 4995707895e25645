/*
 * decode.h - from a client's JSON to an object of a type: checked, pruned, defaulted, canonical.
 *
 * "Typed tree" below means a ojson tree that oschema_decode() made: members in the order of the
 * type's fields (kind and apiVersion first), map keys sorted, quantities and times in canonical
 * text, empty values left out or written exactly as upstream writes them. Printing it plain
 * gives upstream's bytes, and equal objects give equal bytes.
 *
 * Source of the rules: Go's encoding/json with sigs.k8s.io/json's strictness; api/README.md.
 */
#ifndef OSCHEMA_DECODE_H
#define OSCHEMA_DECODE_H

#include "schema/oschema.h"

struct ojson;

/* A growing list of texts, for findings of strict decoding. Zero it; oschema_texts_done(). */
struct oschema_texts {
	char		**v;
	uint32_t	n;
	uint32_t	cap;
	int		err;		/* -ENOMEM if one was lost */
};

#define OSCHEMA_TEXTS_MAX 100u		/* further findings are not kept, as upstream */

void oschema_texts_done(struct oschema_texts *t);
int oschema_texts_add(struct oschema_texts *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum {
	OSCHEMA_DECODE_DEFAULTS = 1,	/* fill in what api/ *.schema says, and run its hooks */
};

/*
 * oschema_decode - a typed tree of @t from any tree
 *
 * @in       what the client sent or a patch made; borrowed, not changed
 * @unknown  NULL, or gets `unknown field "spec.foo"` for each member that no field has
 * @ret      the new typed tree (ojson_unref() frees it); values may be shared with @in, so
 *           neither may be changed in place afterwards but by replacing members of @ret
 *
 * Unknown members are dropped, null is absent. A tree cannot show duplicate members:
 * ojson_parse_duplicates() tells them while @in is made. Returns 0, -ENOMEM, or
 *   -EINVAL  a value has the wrong type. @err->msg is upstream's text from "json: cannot unmarshal
 *            string into Go struct field DeploymentSpec.spec.replicas of type int32" on; the caller
 *            puts `Deployment in version "v1" cannot be handled as a Deployment: ` before it and
 *            answers 400 BadRequest (oschema_decode_wrap() does).
 *
 * Feeding a typed tree back in gives an equal tree: that is how a changed one is made canonical.
 */
int oschema_decode(const struct oschema *s, const struct oschema_type *t, struct ojson *in,
		   unsigned int flags, struct oschema_texts *unknown, struct ojson **ret,
		   struct orlop_error *err);

/* Makes @err of oschema_decode() the 400 that upstream would send for a @kind of @api_version's version. */
int oschema_decode_wrap(const struct oschema *s, const struct oschema_resource *r, int status,
			struct orlop_error *err);

/*
 * oschema_convert - between two resources that share their stored object (core and events.k8s.io Event)
 *
 * Renames the members of @obj, a tree of @from's type, to @to's names in place; values stay. The
 * result is not in canonical order: decode it as @to. Both resources the same: nothing happens.
 */
int oschema_convert(const struct oschema *s, const struct oschema_resource *from,
		    const struct oschema_resource *to, struct ojson *obj);

/*
 * oschema_select_value - the text that a field selector compares, of field number @i of @r
 *
 * Absent strings are "", absent bools "false", absent integers "0". @buf is used for numbers;
 * returns text valid as long as @obj and @buf.
 */
struct orlop_bytes oschema_select_value(const struct oschema *s, const struct oschema_resource *r,
					unsigned int i, struct ojson *obj, char buf[32]);

/*
 * The same of an object's text: the JSON value as it stands there, a string with its quotes; absent
 * values as above. Numbers must be written plainly, as every API server writes them.
 */
struct orlop_bytes oschema_select_bytes(const struct oschema *s, const struct oschema_resource *r,
					unsigned int i, struct orlop_bytes object);

#endif
