/*
 * feed_in.h - the other end of feed_out.h: frames into a cache. All functions on one loop.
 *
 * The sender is not trusted: what makes no sense is -EPROTO, and the end of it.
 */
#ifndef CORE_FEED_IN_H
#define CORE_FEED_IN_H

#include "cache/cache.h"

struct core_feed_in;

struct core_feed_in_io {
	void		*ctx;
	/* So many bytes more have been taken. -ENOMEM: it could not be said, and is once more; else 0. */
	int		(*ack)(void *ctx, uint64_t bytes);
	/* Call core_feed_in_go() in a moment: memory is short, or a resource still has another feed. */
	void		(*retry)(void *ctx);
	/* Optional: what happened to resource number @res after @from, up to @upto, is wanted. Returns as ack(). */
	int		(*ask)(void *ctx, uint32_t res, uint64_t from, uint64_t upto);
	/* Optional: one line. */
	void		(*log)(void *ctx, int32_t level, const char *event, const char *text);
};

/* @owner names who feeds. 0 or -ENOMEM. */
int core_feed_in_new(struct core_cache *c, const char *owner, const struct core_feed_in_io *io,
		     struct core_feed_in **ret);
/* What has been fed stays, for who feeds it next. Accepts NULL. */
void core_feed_in_free(struct core_feed_in *f);

/* Bytes of the stream, borrowed. 0, -EPROTO, -ENOMEM: neither goes on. */
int core_feed_in_data(struct core_feed_in *f, const char *p, size_t len);
/* A reader may want to know what happened before: asks. */
void core_feed_in_past(struct core_feed_in *f);
/* 0 or -EPROTO. */
int core_feed_in_go(struct core_feed_in *f);

#endif
