/*
 * controller.h - the class "controllers": one reconcile loop each, named by what it reconciles.
 *
 * A controller reads the cache, writes through "api", keeps nothing it cannot find again, and acts
 * only while it holds the leadership "controllers/NAME". A lost or repeated wake-up changes
 * nothing: it compares what is with what should be. It serves no requests but these.
 */
#ifndef ORLOP_CONTROLLER_H
#define ORLOP_CONTROLLER_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/* resync: looks at everything once more; answers when the queue has been empty once since. */
struct orlop_controller_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	resync;		/* 1 */
};

enum {
	ORLOP_CONTROLLER_RESYNC	= 1,
};

#ifdef __cplusplus
}
#endif
#endif
