/*
 * cache.h - the cache as the rest of the core sees it: what feeds it, what reads it, what wakes.
 *
 * One cache per process. Writers (the feeder, registrations) take turns; readers on any thread see
 * immutable generations. The readers' half below has the signatures of struct orlop_host, so that
 * the host table points straight at it; only what needs a module's name or rights is wrapped.
 *
 * The cache calls out through struct core_cache_hooks only, and never with a lock held.
 *
 * A thread that is in one of these functions blocks others only for a few pointer moves, except
 * writers among themselves.
 */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include <stdbool.h>

#include <orlop/cache.h>
#include <orlop/types.h>

struct core_cache;

/*
 * What the cache needs from the core. @loop is the pointer given to core_cache_open(), never
 * looked into. All are called from any thread.
 */
struct core_cache_hooks {
	void		*ctx;
	/* monotonic nanoseconds */
	uint64_t	(*now)(void *ctx);
	/* Run fn(arg) on @loop later: reliable. 0, or -errno: then it never runs. */
	int		(*post)(void *ctx, void *loop, void (*fn)(void *arg), void *arg);
	/*
	 * Optional: carry the hint "handle @id has news" to @loop and call core_cache_note(id) there.
	 * May lose, double, delay: the cache repeats while a hint is not taken up (with kick()).
	 * NULL: post() is used.
	 */
	void		(*note)(void *ctx, void *loop, uint64_t id);
	/*
	 * Call core_cache_tick() on one loop (the feeder's) in @delay_ns, 0: soon. Only the earliest
	 * of several outstanding kicks must be kept; each tick asks again if there is more to do.
	 */
	void		(*kick)(void *ctx, uint64_t delay_ns);
	/* Optional: one line. @level ORLOP_LOG_*. */
	void		(*log)(void *ctx, int32_t level, const char *event, const char *text);
	/* Optional: something that can be read has moved, if only a revision. Often; see feed_out.h. */
	void		(*moved)(void *ctx);
	/* Optional: a reader waits for what happened before a feed's first list; see core_feed_past_wanted(). */
	void		(*past)(void *ctx);
};

/* @hooks is copied. 0 or -ENOMEM. */
int core_cache_new(const struct core_cache_hooks *hooks, struct core_cache **ret);

/*
 * Accepts NULL. Loops have stopped; no thread is inside. Handles and snapshots still open die too;
 * waiters are freed uncalled; objects somebody holds a reference of live on until their unref.
 */
void core_cache_free(struct core_cache *c);

/* Housekeeping on the feeder's loop: reclaim a slice, repeat hints, time out waiters. */
void core_cache_tick(struct core_cache *c);

/* A hint arrived on the loop of handle @id. Ids of closed handles and repeats are harmless. */
void core_cache_note(struct core_cache *c, uint64_t id);

/* ---- readers: as in struct orlop_host (contracts there) --------------------------------------- */

/* @owner names who holds what in core_cache_stats(); copied. @loop: where callbacks run. */
int core_cache_open(struct core_cache *c, const char *name, void *loop, const char *owner,
		    struct orlop_resource **ret, struct orlop_error *err);
/*
 * On the handle's loop. Waits of this handle are called back with -ECANCELED from inside; after it
 * neither note nor wait callbacks come. Snapshots of it stay valid.
 */
void core_cache_close(struct orlop_resource *r);
void core_cache_watch(struct orlop_resource *r, orlop_note_fn cb, void *arg);
uint64_t core_cache_rev(struct orlop_resource *r, int32_t *ret_synced);
int32_t core_cache_index(struct orlop_resource *r, const char *field);
const struct orlop_resource_info *core_cache_info(struct orlop_resource *r);

int32_t core_cache_journal_read(struct orlop_resource *r, uint64_t *cursor,
				struct orlop_change *ret, uint32_t max);
uint64_t core_cache_journal_oldest(struct orlop_resource *r);

int core_cache_snapshot_open(struct orlop_resource *r, struct orlop_snapshot **ret);
void core_cache_snapshot_close(struct orlop_snapshot *s);
uint64_t core_cache_snapshot_rev(const struct orlop_snapshot *s);
uint64_t core_cache_snapshot_count(const struct orlop_snapshot *s);
struct orlop_object *core_cache_snapshot_get(const struct orlop_snapshot *s, struct orlop_bytes ns,
					     struct orlop_bytes name);
int core_cache_iter_open(const struct orlop_snapshot *s, const struct orlop_query *q,
			 struct orlop_iter **ret);
struct orlop_object *core_cache_iter_next(struct orlop_iter *it);
void core_cache_iter_close(struct orlop_iter *it);

struct orlop_object *core_cache_object_ref(struct orlop_object *o);
void core_cache_object_unref(struct orlop_object *o);

int core_cache_wait(struct orlop_resource *r, uint64_t rev, uint64_t timeout_ns, orlop_wait_fn cb,
		    void *arg);

/* ---- for who feeds another process: feed_out.h -------------------------------------------------- */

/* The handle reads its resource as it is fed, registered or not. Right after open. */
void core_cache_set_raw(struct orlop_resource *r);
/* Is its revision everything's that storage feeds? Else it has one of its own. */
bool core_cache_joint(struct orlop_resource *r);
/* Names of the resources there are, registered or not; until @fn says false. They only become more. */
void core_cache_names(struct core_cache *c, bool (*fn)(void *arg, const char *name), void *arg);
uint32_t core_cache_n_names(struct core_cache *c);

/* ---- the registry ------------------------------------------------------------------------------ */

/* Register or replace. @info is copied. Any thread; builds the secondary indexes before it returns. */
int core_cache_register(struct core_cache *c, const struct orlop_resource_info *info,
			struct orlop_error *err);
/* Is it registered, and just so? Then registering it again would change nothing. */
bool core_cache_is_registered(struct core_cache *c, const struct orlop_resource_info *info);
/* 0 or -ENOENT. Readers see it empty and not synced from then on. */
int core_cache_retire(struct core_cache *c, const char *name);
void core_cache_list(struct core_cache *c,
		     void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg);

/* One resource in numbers, for `orlop module stats` and metrics. */
struct core_cache_stat {
	const char	*name;
	uint64_t	rev;
	uint64_t	objects;
	uint64_t	object_bytes;		/* of the newest generation, heads and indexes included */
	uint64_t	journal_entries;
	uint64_t	journal_bytes;		/* what only the journal keeps alive */
	uint64_t	journal_total;		/* entries there have ever been */
	uint64_t	journal_cap;		/* entries there is room for */
	uint64_t	handles;
	uint64_t	generations;		/* not yet reclaimed, the newest included */
	uint64_t	snapshots;
	uint64_t	oldest_snapshot_ns;	/* age, 0: none */
	const char	*oldest_snapshot_owner;	/* or NULL; valid during the call */
	uint32_t	registered;
	uint32_t	synced;
};

void core_cache_stats(struct core_cache *c, void (*fn)(void *arg, const struct core_cache_stat *s),
		      void *arg);

/* ---- writers ----------------------------------------------------------------------------------- */

/*
 * A batch: begin, any number of put and del in revision order, commit. Between begin and commit
 * the writer's lock is held by the calling thread: no other host call, no waiting. Nothing is
 * visible before commit; a failed put or del changes nothing.
 *
 * @key is the storage key ("pods/default/web"), @value a stored record (record.h).
 * put: 0, -EINVAL (the record is damaged), -ENOMEM; del: 0 (also if there was none), -ENOMEM.
 * Keys that are not objects (record.h) are ignored.
 */
void core_cache_begin(struct core_cache *c);
int core_cache_put(struct core_cache *c, struct orlop_bytes key, struct orlop_bytes value,
		   uint64_t rev);
int core_cache_del(struct core_cache *c, struct orlop_bytes key, uint64_t rev);
/*
 * Make all of it visible as of revision @rev; every resource has now been fed up to @rev. The
 * writer's lock is released in any case. -ENOMEM: nothing is visible yet, what was put stays; try
 * begin and commit again later.
 */
int core_cache_commit(struct core_cache *c, uint64_t rev);
/* Release the writer's lock without making anything visible. */
void core_cache_pause(struct core_cache *c);

/*
 * A list: everything there is at one revision, in several batches ended by pause, the last by
 * commit. list_begin inside a batch: from here puts of unchanged objects cost nothing; list_end
 * before the commit removes what was not put. Readers' cursors become stale. A list may be begun
 * again before it has ended.
 */
void core_cache_list_begin(struct core_cache *c);
int core_cache_list_end(struct core_cache *c);

/*
 * The first list may be of the past: within its last batch say replay_begin, follow as usual, and within
 * the batch that has come to the present replay_end. Readers see nothing before its commit, and the
 * journals then reach back to the list. A list that is begun meanwhile ends it.
 */
void core_cache_replay_begin(struct core_cache *c);
void core_cache_replay_end(struct core_cache *c);

/* Revision that everything has been fed up to that storage feeds. Any thread. */
uint64_t core_cache_applied(struct core_cache *c);
/* Has storage fed anything? Any thread. */
bool core_cache_fed(struct core_cache *c);

#endif
