/* bind.h - bindings read and made in bytes; kind-pod.c has the general way, by trees. */
#ifndef REG_BIND_H
#define REG_BIND_H

#include "op.h"

/* What a Binding says; borrowed from the body. */
struct bind_body {
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes uid;
	struct orlop_bytes node;
};

/*
 * bind_scan - a body as schedulers send it
 *
 * False: it is no such Binding, says more than that (annotations, a resourceVersion), or twice, or in
 * escapes: decode it.
 */
bool bind_scan(struct orlop_bytes body, struct bind_body *ret);

/*
 * bind_text - op->w's record from the bytes of the cached pod, for write_run()
 *
 * Byte for byte what the general way makes. False: something is not as in a pod that waits for its
 * node, so that the general way shall look at it (and refuse it perhaps); nothing has been changed.
 */
bool bind_text(struct reg_op *op);

#endif
