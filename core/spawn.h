/*
 * spawn.h - child processes.
 */
#ifndef CORE_SPAWN_H
#define CORE_SPAWN_H

#include "loop.h"

int core_spawn(struct core_loop *l, struct core_owner *o, const struct orlop_spawn *s,
	       orlop_exit_fn exit_fn, void *arg, struct orlop_child **ret, struct orlop_error *err);
int32_t core_child_pid(struct orlop_child *c);
/* 0, -ESRCH (it has ended), -errno. */
int core_child_kill(struct orlop_child *c, int32_t sig);
/*
 * No callback any more; it is still reaped. Accepts NULL. Who asked for the pointer (@ret) frees it,
 * also after it has ended: until then it stays valid.
 */
void core_child_free(struct orlop_child *c);

/* Kills what the owner left and was not started detached; returns how many it held. On the loop. */
uint32_t core_spawn_reclaim(struct core_owner *o);
/* Forgets all children of a loop that ends. */
void core_spawn_forget(struct core_loop *l);

#endif
