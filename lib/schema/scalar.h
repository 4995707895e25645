/* scalar.h - checking and canonical form of single values. Private to lib/schema. */
#ifndef OSCHEMA_SCALAR_H
#define OSCHEMA_SCALAR_H

#include "json/ojson.h"

/*
 * oscalar_decode - @in, not null, as a value of scalar kind @kind (enum oschema_kind)
 *
 * @ret  @in itself with a reference, or a new value in canonical form
 * @why  on -EINVAL: the message, or "" when the JSON type is simply another
 *
 * Returns 0, -EINVAL, -ENOMEM.
 */
int oscalar_decode(unsigned int kind, struct ojson *in, struct ojson **ret, char *why, size_t why_size);

/* The same for a quantity; @milli: rounded up to thousandths, as those of resource lists are. */
int oscalar_quantity(bool milli, struct ojson *in, struct ojson **ret, char *why, size_t why_size);

#endif
