/*
 * scheduler.h - the class "scheduler": pending pods to bindings.
 *
 * A scheduler reads pods and nodes from the cache (cache.h) and writes Bindings through the address
 * "api" (api.h: verb create, resource pods, subresource binding; many at once with batch). It
 * places only pods whose spec.schedulerName is its own, reports why a pod cannot be placed by
 * condition PodScheduled=False and an Event, and keeps no state that it cannot find again.
 * Exactly one instance of a scheduler name acts: it holds the leadership "scheduler/NAME".
 */
#ifndef ORLOP_SCHEDULER_H
#define ORLOP_SCHEDULER_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/* explain: POD_NS, POD_NAME → RESULT, JSON {"feasible":[node…],"rejected":{node: reason}}; changes nothing. */
struct orlop_scheduler_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	explain;	/* 1 */
};

enum {
	ORLOP_SCHEDULER_EXPLAIN	= 1,
};

#define ORLOP_SCHEDULER_T_POD_NS	1	/* bytes */
#define ORLOP_SCHEDULER_T_POD_NAME	2	/* bytes */
#define ORLOP_SCHEDULER_T_RESULT	3	/* bytes: JSON */

#ifdef __cplusplus
}
#endif
#endif
