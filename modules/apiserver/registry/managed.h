/* managed.h - who writes, as which version, and what he never owns: what updates and applies share. */
#ifndef REG_MANAGED_H
#define REG_MANAGED_H

#include "op.h"

struct oschema_type;

/* The kind in whose version the request speaks of the stored object. */
const struct reg_kind *managed_kind(const struct reg_op *op);
const char *const *managed_reset(const struct reg_op *op);
struct orlop_bytes managed_subresource(const struct reg_op *op);
struct orlop_bytes managed_writer(const struct reg_op *op);

/* omanaged_convert_fn of the object that @arg, an op, writes. */
int managed_convert(void *arg, const struct ojson *object, const char *to, struct ojson **ret,
		    const struct oschema_type **ret_type);

/* These entries (NULL: none) are what the object will be stored with. */
int managed_set(struct reg_op *op, const struct ojson *entries);

#endif
