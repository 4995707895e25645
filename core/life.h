/*
 * life.h - the steps of an instance's life, for whoever knows how to do them.
 *
 * Loading, unloading and replacing (loader.c, unload.c, replace.c) decide in which order; a struct
 * core_life does the steps: core_life_local for an instance in this process, another for one that lives
 * in a process of its own. Each step that may take time ends with the event of its name, now or later.
 * All on the main loop.
 */
#ifndef CORE_LIFE_H
#define CORE_LIFE_H

#include "core.h"

struct core_life {
	/*
	 * What it needs is there: link, init, shard_init, start. Ends with core_loader_ready(), or
	 * core_life_failed(); after a failure close() follows.
	 */
	void		(*start)(struct core_instance *inst);
	/*
	 * No request arrives any more: finish what is under way, begin nothing new. Ends with
	 * core_life_stopped(). @forced: it may not refuse.
	 */
	void		(*stop)(struct core_instance *inst, bool forced);
	/*
	 * Something it serves outlives stop(), like the streams of kubectl exec: how many of them there
	 * are. Asked now and then while its successor serves already. NULL: none ever.
	 */
	uint32_t	(*draining)(struct core_instance *inst);
	/* Things under way that a successor must not find half done (ORLOP_MOD_HANDOVER). NULL: calls count. */
	uint32_t	(*changing)(struct core_instance *inst);
	/* After stop(), and nobody takes over: requests from outside that are still to be answered. NULL: none. */
	uint32_t	(*finishing)(struct core_instance *inst);
	/* How far its data has got (struct orlop_module.revision), 0: says nothing. NULL: none ever. */
	uint64_t	(*revision)(struct core_instance *inst);
	/*
	 * Drain and end it, from wherever it stands, also half started. Ends with core_life_gone(), or
	 * core_life_stuck() if it does not end.
	 */
	void		(*close)(struct core_instance *inst);
	/* Its new connections wait (or not) in the backlog. NULL: nothing to do beyond core_net_hold(). */
	void		(*hold)(struct core_instance *inst, bool on);
};

extern const struct core_life core_life_local;
void core_life_local_start(struct core_instance *inst);
void core_life_local_stop(struct core_instance *inst, bool forced);
void core_life_local_close(struct core_instance *inst);

/* @err is copied and its causes are taken; may be NULL. */
void core_life_failed(struct core_instance *inst, int r, struct orlop_error *err);
/* 0, or -errno with @err: it refuses (or, if forced, has had trouble). */
void core_life_stopped(struct core_instance *inst, int r, struct orlop_error *err);
/* Nothing of it runs any more; @inst is freed by this call unless its threads have been left behind. */
void core_life_gone(struct core_instance *inst);
/* It does not end; @why is said to people. It stays, as CORE_FAILED. */
void core_life_stuck(struct core_instance *inst, const char *why);

#endif
