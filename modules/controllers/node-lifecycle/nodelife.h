/* nodelife.h - what the files of this controller share. */
#ifndef NODELIFE_H
#define NODELIFE_H

#include "json/ojson.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- taints.c: the taints that follow from a node's conditions ------------------------------------- */

/* Upstream's name of the taint for a Ready condition of this status, NULL: none. */
const char *nl_ready_taint(const char *ready);

/*
 * spec.taints as they should be: our own kinds with NoSchedule after the conditions; the NoExecute
 * ones as @evict says ("node.kubernetes.io/unreachable", …, NULL: none); all others as they are.
 * *ret: a new array, or NULL if nothing differs. 0 or -ENOMEM.
 */
int nl_taints_make(const struct ojson *node, const char *evict, int64_t now_ns, struct ojson **ret);

/* Has the node this NoExecute taint? */
bool nl_evicts(const struct ojson *node, const char *key);

/* ---- zone.c: how fast nodes may lose their pods ----------------------------------------------------- */

enum nl_zone_state {
	NL_ZONE_NORMAL,
	NL_ZONE_PARTIAL,	/* so many are silent that the fault may be ours */
	NL_ZONE_FULL,		/* all of them: then it is */
};

struct nl_zone {
	uint32_t	n_ready;
	uint32_t	n_silent;	/* Ready is not True */
	uint64_t	next_ns;	/* mono: the next node may be emptied then */
	/* parameters */
	uint64_t	interval_ns;
	uint64_t	slow_interval_ns;
	uint32_t	large;		/* zones of more nodes go on slowly when partly disrupted */
	uint32_t	unhealthy_percent;
};

enum nl_zone_state nl_zone_state(const struct nl_zone *z);

/* May one node more be emptied now? 0: yes (and it counts); else ns until asking makes sense again. */
uint64_t nl_zone_admit(struct nl_zone *z, uint64_t now_ns);

#endif
