/*
 * loss.h - losing, doubling and reordering on purpose, with a seed: what the bus must survive.
 */
#ifndef CORE_BUS_LOSS_H
#define CORE_BUS_LOSS_H

#include <stdint.h>
#include <stddef.h>

/* One direction of one link. All percentages 0: core_loss_pass() only calls through. */
struct core_loss {
	uint32_t	loss_percent;
	uint32_t	dup_percent;
	uint32_t	reorder_percent;
	uint64_t	random;		/* state */
	void		*held;		/* a packet that others overtake, or NULL */
	size_t		held_len;
	uint32_t	held_for;	/* packets still to overtake it */
	uint64_t	injected;
};

typedef void (*core_loss_fn)(void *arg, const void *packet, size_t len);

/* Calls @fn for what comes out: not at all, once, twice, or with an older packet after it. */
void core_loss_pass(struct core_loss *l, const void *packet, size_t len, core_loss_fn fn, void *arg);

void core_loss_done(struct core_loss *l);

#endif
