/*
 * feeder.h - what keeps the cache up to date: a client of the address "storage".
 *
 * Lists every key at one revision, then follows with `changes` long polls. All functions and
 * callbacks on one loop. It knows the bus only through struct core_feeder_io.
 */
#ifndef CORE_CACHE_FEEDER_H
#define CORE_CACHE_FEEDER_H

#include <orlop/call.h>
#include <orlop/types.h>

struct core_cache;
struct core_feeder;

struct core_feeder_io {
	void		*ctx;
	/*
	 * Send op @op (storage.h) to the address "storage"; all borrowed. @cb once, later, on this
	 * loop. At most one request is outstanding. 0 or -errno (then no callback).
	 */
	int		(*request)(void *ctx, uint32_t op, const struct orlop_msg *msg,
				uint64_t timeout_ns, orlop_reply_fn cb, void *arg);
	/* Cancel what is outstanding: the callback comes before this returns, or never. */
	void		(*cancel)(void *ctx);
	/* Call core_feeder_timer() once in @delay_ns; replaces the one before; UINT64_MAX: none. */
	void		(*timer)(void *ctx, uint64_t delay_ns);
	struct orlop_bytes (*blob_bytes)(const struct orlop_blob *b);
	/* Optional. @level ORLOP_LOG_*. */
	void		(*log)(void *ctx, int32_t level, const char *event, const char *text);
};

/* @io is copied. 0 or -ENOMEM. */
int core_feeder_new(struct core_cache *c, const struct core_feeder_io *io, struct core_feeder **ret);
void core_feeder_start(struct core_feeder *f);
void core_feeder_timer(struct core_feeder *f);
/* Accepts NULL. Cancels what is outstanding. */
void core_feeder_free(struct core_feeder *f);

struct core_feeder_stat {
	uint64_t	rev;		/* fed up to */
	uint64_t	lists;		/* complete lists: 1 after the start, more after ESTALE */
	uint64_t	batches;
	uint64_t	changes;
	uint64_t	damaged;	/* records that were refused */
	uint64_t	retries;
};

void core_feeder_stats(const struct core_feeder *f, struct core_feeder_stat *ret);

#endif
