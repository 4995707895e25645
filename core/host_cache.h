/*
 * host_cache.h - what the core keeps for its cache: timers, the feeder, who holds which handle.
 */
#ifndef CORE_HOST_CACHE_H
#define CORE_HOST_CACHE_H

#include <stdatomic.h>

#include "base/omap.h"
#include "core.h"

/* One request of the feeder; at most one has a callback. */
struct core_feed_call {
	struct core_host_cache *hc;
	struct orlop_request *req;
	orlop_reply_fn	cb;		/* NULL: cancelled */
	void		*arg;
};

struct core_host_cache {
	struct core_feeder *feeder;
	bool		up;		/* its requests go to the parent core */
	struct core_feed_call *call;
	struct orlop_timer *feed;	/* the feeder's */
	struct orlop_timer *tick;	/* the cache's housekeeping */
	uint64_t	tick_at;	/* mono; 0: not armed */
	_Atomic uint64_t kick_at;	/* asked for by any thread; UINT64_MAX: not */
	struct core_post kick;
	struct omap	held;		/* handle → struct held; core->lock */
};

#endif
