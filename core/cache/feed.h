/*
 * feed.h - one resource of the cache fed by somebody else than storage, with revisions of its own.
 *
 * Modules get it as host->feed_*(); what comes from another process uses it directly (core/feed_in.c). It is the same
 * cache: what is put goes into the generation being made, and is visible by commit or the end of a
 * list, whole. A resource has at most one feed. Storage leaves a resource that has a feed alone, and
 * takes it back with the first list it makes after the feed was closed.
 *
 * All functions but rev are for one thread at a time; other writers may come between any two.
 */
#ifndef CORE_CACHE_FEED_H
#define CORE_CACHE_FEED_H

#include <orlop/cache.h>
#include <orlop/types.h>

struct core_cache;
struct core_feed;

/* @owner names who feeds, in messages; copied. -EBUSY: it has a feed, or storage is just listing it. */
int core_feed_open(struct core_cache *c, const char *resource, const char *owner,
		   struct core_feed **ret, struct orlop_error *err);
void core_feed_close(struct core_feed *f);		/* accepts NULL */

/* As in struct orlop_host. */
uint64_t core_feed_rev(const struct core_feed *f);
int core_feed_put(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		  struct orlop_bytes record, uint64_t rev);
int core_feed_del(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name, uint64_t rev);
int core_feed_commit(struct core_feed *f, uint64_t rev);
int core_feed_list_begin(struct core_feed *f, uint32_t flags);
/* Of the first list: what happened before it can be asked for; see below. */
#define CORE_FEED_ASK		0x80000000u
int core_feed_list_end(struct core_feed *f, uint64_t rev);
void core_feed_fail(struct core_feed *f, int32_t err);

/* As core_feed_put(), but outside a list it is a change even if its revision has gone back. */
int core_feed_set(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		  struct orlop_bytes record, uint64_t rev);
/* Those of @v that are whole are as new as @rev: they move together, as what storage feeds does. */
void core_feed_progress(struct core_cache *c, struct core_feed *const *v, uint32_t n, uint64_t rev);

/*
 * What happened before the first list, if somebody asks: a reader that comes with a cursor from then gets -EAGAIN,
 * the hook past() runs, and who feeds is told here once what is wanted: all after *@ret_from, up to *@ret_upto,
 * where the journal begins. It then says it oldest first, and readers are woken at the end of it: their cursor is
 * either one of the journal's, or -ESTALE.
 */
bool core_feed_past_wanted(struct core_feed *f, uint64_t *ret_from, uint64_t *ret_upto);
/* It could not be told to whom it concerns: it is wanted as before. */
void core_feed_past_unsaid(struct core_feed *f);
/* @from 0: it is not known any more, and nothing follows. Begins anew if it had begun. */
int core_feed_past_begin(struct core_feed *f, uint64_t from);
/* @at 0: so it was at the beginning; else so it became with revision @at. 0, -EINVAL, -ENOMEM: nothing has happened. */
int core_feed_past_put(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		       struct orlop_bytes record, uint64_t rev, uint64_t at);
int core_feed_past_del(struct core_feed *f, struct orlop_bytes ns, struct orlop_bytes name, uint64_t at);
int core_feed_past_end(struct core_feed *f);
/* Has it begun, and may a change with revision @at be said? */
bool core_feed_past_begun(struct core_feed *f, uint64_t at);

#endif
