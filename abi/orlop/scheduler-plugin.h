/*
 * scheduler-plugin.h - the class "scheduler-plugin": one more opinion about where a pod may and should go.
 *
 * A scheduler that takes plugins (scheduler/default does) asks every module of this class, at the address
 * scheduler-plugin/NAME, about each pod for which it has found nodes: which of them the plugin refuses, and how good
 * the others are. The plugin's scores are added to the scheduler's own with a weight that the scheduler's parameter
 * gives; a node that one plugin refuses is out. Plugins are loaded, replaced and unloaded while the scheduler runs: pods
 * that are tried afterwards are asked about accordingly. A plugin that does not answer within five seconds, or answers
 * with an error, leaves the pod waiting with that as its reason; unloading it ends that.
 *
 * The plugin sees the pod and the nodes' names. What else it wants to know (nodes, other pods, objects of its own) it
 * reads from the cache by its own reads=; it keeps what it reads, since it is asked often. It needs no thread:
 * requests come on its own loop, several may be under way, each is answered when it pleases. inline/scheduler-plugin.h
 * turns a function of pod and node into the op.                                             Since ABI 1.1.
 */
#ifndef ORLOP_SCHEDULER_PLUGIN_H
#define ORLOP_SCHEDULER_PLUGIN_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * judge: POD, NAMESPACE, NAME, PROFILE, NODES → VERDICTS, REASON (repeated), NEVER; changes nothing.
 *
 * POD       JSON of the pod from "metadata": on, without the outermost braces, as the cache has it
 * PROFILE   the pod's spec.schedulerName
 * NODES     names of nodes that take the pod as far as the scheduler knows, each ended by a NUL byte
 * VERDICTS  one int32 (little endian) a node, in that order: 0 … 100 how good it is, -1 - i: refused for the i-th
 *           REASON. Missing ones are 0. Scores are compared between nodes of one request only
 * REASON    "node(s) are not on the same rack": what users read after the number of nodes, at most 200 bytes, 16 of them
 * NEVER     bit i: evicting pods would not help against the i-th REASON
 */
struct orlop_scheduler_plugin_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	judge;		/* 1 */
};

enum {
	ORLOP_SCHEDULER_PLUGIN_JUDGE	= 1,
};

#define ORLOP_SCHEDULER_PLUGIN_SCORE_MAX	100
#define ORLOP_SCHEDULER_PLUGIN_REASONS		16u

#define ORLOP_SCHEDULER_PLUGIN_T_POD		1	/* bytes: JSON */
#define ORLOP_SCHEDULER_PLUGIN_T_NAMESPACE	2	/* bytes */
#define ORLOP_SCHEDULER_PLUGIN_T_NAME		3	/* bytes */
#define ORLOP_SCHEDULER_PLUGIN_T_PROFILE	4	/* bytes */
#define ORLOP_SCHEDULER_PLUGIN_T_NODES		5	/* bytes */
#define ORLOP_SCHEDULER_PLUGIN_T_VERDICTS	6	/* bytes */
#define ORLOP_SCHEDULER_PLUGIN_T_REASON		7	/* bytes, repeated */
#define ORLOP_SCHEDULER_PLUGIN_T_NEVER		8

#ifdef __cplusplus
}
#endif
#endif
