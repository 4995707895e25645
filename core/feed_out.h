/*
 * feed_out.h - what another process wants of this one's cache, as a stream of frames (feed_wire.h).
 *
 * A consumer of the cache like any other: a cursor a resource, a snapshot where a cursor does not do. What
 * the other side has not taken yet is bounded by a window; who is slower than that meets journals that have
 * wrapped, and lists. All functions on one loop.
 */
#ifndef CORE_FEED_OUT_H
#define CORE_FEED_OUT_H

#include "cache/cache.h"
#include "wants.h"

struct core_feed_out;

struct core_feed_out_io {
	void		*ctx;
	bool		past;		/* the other side may ask for what happened before: core_feed_out_past() */
	/* One packet, of at most CORE_FEED_PACKET bytes. 0, -ENOMEM (later, with retry), else: there is nobody. */
	int		(*send)(void *ctx, const char *p, size_t len);
	/* Call core_feed_out_go() in a moment. */
	void		(*retry)(void *ctx);
};

/* @loop as in core_cache_open(); @io is copied. Nothing is wanted at first. 0 or -ENOMEM. */
int core_feed_out_new(struct core_cache *c, void *loop, const char *owner, const struct core_feed_out_io *io,
		      struct core_feed_out **ret);
void core_feed_out_free(struct core_feed_out *f);	/* accepts NULL */

/* Takes the list. If it is another one than before, all is listed anew. */
void core_feed_out_want(struct core_feed_out *f, struct core_wants *take_wants);

/* The cache has moved: send what may be sent. */
void core_feed_out_go(struct core_feed_out *f);
/* The other side asks for what happened to resource number @res after @from, up to @upto. */
void core_feed_out_past(struct core_feed_out *f, uint32_t res, uint64_t from, uint64_t upto);
/* The other side has taken so many bytes more. */
void core_feed_out_acked(struct core_feed_out *f, uint64_t bytes);

#endif
