/*
 * tap.h - looking at the messages of the bus while they pass.
 *
 * A tap is a ring of message heads that the switch fills and the main loop empties. It never waits:
 * what does not fit, or comes while the ring is being read, is counted as missed.
 */
#ifndef CORE_TAP_H
#define CORE_TAP_H

#include <orlop/types.h>

#include "core.h"

struct obuf;
struct core_tap;

/* What to show; zero and "" mean all. */
struct core_tap_spec {
	char		link[100];	/* sender or receiver: an instance, or "instance#shard" */
	char		address[100];
	uint64_t	trace;
	int64_t		op;		/* -1: all */
	bool		bodies;		/* with the first bytes of bodies: may show secrets */
};

#define CORE_TAPS_MAX	8u

/* All on the main loop. -EBUSY: there are too many; -ENOMEM. @wake: there is something to read. */
int core_tap_open(struct core *c, const struct core_tap_spec *spec, orlop_cb wake, void *arg,
		  struct core_tap **ret);
/* Appends lines of JSON, at most @max messages; how many lines. */
uint32_t core_tap_read(struct core_tap *t, uint32_t max, struct obuf *out);
void core_tap_close(struct core_tap *t);	/* accepts NULL; no wake after it */

/*
 * core_tap_note - the cache told @inst that @resource has moved, to @rev
 *
 * No message, but what most modules live by: shown to who looks at that one link. Any thread.
 */
void core_tap_note(struct core *c, const char *inst, const char *resource, uint64_t rev);

#endif
