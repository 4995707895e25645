/*
 * look.h - an instance of a module seen from outside, as members of a JSON object.
 */
#ifndef CORE_LOOK_H
#define CORE_LOOK_H

#include "core.h"

struct obuf;

/* All on the main loop; each appends `"name":value` members, with a comma before if need be. */

/* The time that its callbacks took, on all loops. */
uint64_t core_look_busy_ns(struct core_instance *inst);
/* What it holds: "held". */
void core_look_held(struct obuf *b, struct core_instance *inst);
/* Counters: held, time by shard and loop, its links, what it says itself. */
void core_look_stats(struct obuf *b, struct core_instance *inst);
/* The last messages from and to it, oldest first. */
void core_look_messages(struct obuf *b, struct core_instance *inst);

#endif
