/*
 * host_cache.h - what the core keeps for its cache: timers, the feeder, who holds which handle.
 */
#ifndef CORE_HOST_CACHE_H
#define CORE_HOST_CACHE_H

#include <stdatomic.h>

#include "base/omap.h"
#include "core.h"
#include "wants.h"

/* One request of the feeder; at most one has a callback. */
struct core_feed_call {
	struct core_host_cache *hc;
	struct orlop_request *req;
	orlop_reply_fn	cb;		/* NULL: cancelled */
	void		*arg;
};

struct core_host_cache {
	struct core_feeder *feeder;
	struct core_feed_call *call;
	struct orlop_timer *feed;	/* the feeder's */
	struct orlop_timer *tick;	/* the cache's housekeeping */
	uint64_t	tick_at;	/* mono; 0: not armed */
	_Atomic uint64_t kick_at;	/* asked for by any thread; UINT64_MAX: not */
	struct core_post kick;
	struct core_post moved;
	struct core_post past;
	_Atomic uint32_t feeding;	/* feeds of other processes out of this cache */
	_Atomic uint64_t moves;		/* of the cache, while there are some */
	struct omap	held;		/* handle → struct held; core->lock */
	/* host_feed.c */
	struct core_post wants_kick;
	struct olist	feed_wants;	/* of each module; core->lock */
	struct olist	feed_watches;	/* who is told of changes; core->lock */
	struct core_wants told;		/* in a child: what its parent's modules want; main loop */
};

/* host_feed.c */
void core_host_fill_feed(struct orlop_host *h);
uint32_t core_host_feed_reclaim(struct core_shard *s);
void core_host_feed_done(struct core_host_cache *hc);
/* A module came or went: what is wanted may have changed. Main loop. */
void core_host_wants_kick(struct core *c);
/* What @inst reads; what all others do. Main loop. 0 or -ENOMEM. */
int core_host_wants_of(struct core_instance *inst, struct core_wants *ret);
int core_host_wants_others(struct core *c, uint32_t instance, struct core_wants *ret);
/* In a child: what its parent's modules want. Main loop. */
void core_host_wants_told(struct core *c, struct core_wants *take_wants);

#endif
