/*
 * internal.h - the structures that the files of the cache share.
 *
 * Locks, always taken in this order, none held across a hook or callback:
 *   c->write      one writer at a time: everything marked W
 *   c->lock       names and handle ids: marked C
 *   res->lock     what readers see of a resource: marked R; held for pointer moves only
 *   c->wait_lock  waiters: marked T
 *
 * A reader loads c->applied first and then takes res->lock: what it then sees holds every change up
 * to that revision, since a commit publishes all resources before it stores applied. A resource with
 * a feed of its own (feed.c) has only res->rev, which is stored under res->lock with what it is about.
 */
#ifndef CORE_CACHE_INTERNAL_H
#define CORE_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <orlop/cache.h>

#include "base/olist.h"
#include "base/omap.h"
#include "base/oref.h"
#include "cache.h"
#include "object.h"
#include "tree.h"

#define INDEX_MAX	64u			/* index numbers that can have a secondary index */
#define JOURNAL_BYTES	(UINT64_C(8) << 20)
#define JOURNAL_NS	(UINT64_C(300) * 1000000000)
#define RENOTE_NS	(UINT64_C(20) * 1000000)	/* a hint not taken up is repeated, ×2 … */
#define RENOTE_MAX_NS	(UINT64_C(1000) * 1000000)

/* ---- generations: generation.c --------------------------------------------------------------- */

/*
 * One consistent state of one resource. Trees of newer generations share its nodes. What the next
 * generation replaced is listed here as dead: it is freed with this generation, unless an older
 * one that is still held has it as well, then it moves to that one's list.
 */
struct core_gen {
	struct oref	ref;		/* snapshots, and one for being the newest */
	uint32_t	num;
	uint64_t	rev;
	uint64_t	count;
	uint64_t	kept;		/* index numbers in the secondary tree, as bits */
	struct tree_node *root;
	struct tree_node *sec;
	struct core_gen	*older;		/* W: neighbours not yet reclaimed */
	struct core_gen	*newer;		/* W */
	struct core_gen	*next;		/* R: in res->zombies */
	struct tree_node *dead_nodes;	/* W, from when a newer one is published */
	struct core_object *dead_objects; /* W */
};

/* ---- journal: journal.c ------------------------------------------------------------------------ */

/* Both references are the journal's. */
struct journal_entry {
	struct core_object *object;
	struct core_object *prev;
	uint64_t	rev;		/* the object's, but for what a list found late */
	uint32_t	type;
	uint32_t	time_s;		/* monotonic, rounded down */
};

struct journal {
	struct journal_entry *ring;	/* R: cap is a power of two or 0 */
	uint32_t	cap;
	uint32_t	head;		/* first entry */
	uint32_t	n;
	uint64_t	oldest;		/* R: least cursor that misses nothing */
	uint64_t	bytes;		/* R: what only the journal keeps alive */
	uint64_t	total;		/* R: entries there have ever been */
	uint64_t	max_bytes;	/* R */
	uint64_t	max_ns;		/* R */
	bool		past;		/* R: what was before oldest can be asked for: past.c */
	uint64_t	past_lost;	/* R: … but not for cursors up to here */
	uint64_t	past_want;	/* R: least cursor that somebody came with; 0: none */
	uint64_t	past_sent;	/* R: … that is asked for; 0: none */
	struct journal_entry *pend;	/* W: of the batch under way */
	uint32_t	n_pend;
	uint32_t	cap_pend;
};

/* Room for @more pending entries / for all pending ones in the ring (then publish cannot fail). */
int core_journal_reserve(struct journal *j, uint32_t more);
int core_journal_prepare(struct journal *j, pthread_mutex_t *lock);
/* Takes both references. After reserve. */
void core_journal_append(struct journal *j, uint32_t type, struct core_object *take_object,
			 struct core_object *take_prev, uint32_t time_s);
/* Pending entries become readable. Under R. */
void core_journal_publish(struct journal *j);
/*
 * Pending entries of a feed, before they are published as of @rev: those that claim to be from before
 * @base are of @rev, and all are in order. *@ret_rev: the highest. 0 or -ENOMEM.
 */
int core_journal_order(struct journal *j, uint64_t base, uint64_t rev, uint64_t *ret_rev);
/* Drops pending entries. */
void core_journal_forget(struct journal *j);
/*
 * Takes up to @max entries that are too old or too many into @ret, for the caller to unref.
 * Under R. Whole revisions: @max must be ≥ 1, the rest of a revision follows in the next call.
 */
uint32_t core_journal_trim(struct journal *j, uint64_t now_ns, struct journal_entry *ret,
			   uint32_t max);
/* The same for all of it; cursors below @oldest are stale from now on. Returns ring and count. */
struct journal_entry *core_journal_clear(struct journal *j, uint64_t oldest, uint32_t *ret_head,
					 uint32_t *ret_n, uint32_t *ret_cap);
void core_journal_unref(struct journal_entry *e, uint32_t n);
/* Is @cursor older than the journal, and can what it misses be asked for? Then it is wanted. Under R. */
bool core_journal_past(struct journal *j, uint64_t cursor);
/*
 * What happened after @from up to the oldest cursor, which must still be @upto: 0, the references are taken;
 * -ENOMEM; -ESTALE, the journal does not reach back any more.
 */
int core_journal_prepend(struct journal *j, pthread_mutex_t *lock, const struct journal_entry *v, uint32_t n,
			 uint64_t from, uint64_t upto);
void core_journal_done(struct journal *j);
/* Under R; @now: revision that the resource has been fed up to. */
int32_t core_journal_copy(const struct journal *j, uint64_t now, uint64_t high, uint64_t *cursor,
			  struct orlop_change *ret, uint32_t max);

/* ---- resources: resource.c ----------------------------------------------------------------------- */

/* A description and all its texts in one allocation. */
struct resource_info {
	struct oref	ref;
	struct resource_info *next;	/* older ones that a handle may still look at */
	uint64_t	kept;		/* bits of the indexes to keep */
	struct orlop_resource_info pub;
};

struct core_res {
	struct core_cache *c;
	struct core_res	*next;		/* C: all, never removed while the cache lives */
	char		*name;
	bool		local;		/* "resources": has revisions of its own */
	atomic_bool	own;		/* so has this: it has, or had, a feed of its own; W to write */
	pthread_mutex_t	lock;
	atomic_bool	live;		/* registered and fed: readers see it */
	_Atomic int32_t	err;		/* readers get this instead: feed.h */
	_Atomic uint64_t rev;		/* of gen */

	/* R */
	struct core_gen	*gen;		/* the newest */
	struct core_gen	*zombies;	/* nobody holds them any more */
	struct journal	journal;
	uint64_t	rev_high;	/* highest that was ever published */
	struct resource_info *info;	/* NULL: not registered */
	struct resource_info *old_infos;
	struct olist	handles;	/* struct orlop_resource.node */
	struct olist	snapshots;	/* struct orlop_snapshot.node */
	uint32_t	n_snapshots;

	/* W: of its own feed */
	struct core_feed *feed;		/* NULL: it was closed */
	atomic_bool	own_fed;	/* its first list is in; W to write */
	bool		own_listing;
	bool		own_past;	/* … and what was before it can be asked for */
	bool		own_lost;	/* … whose end makes cursors stale */
	bool		own_torn;	/* a feed ended midway: the next one lists first */
	uint32_t	mark;		/* of its last list */
	struct core_past *past;		/* what happened before its first list, as far as it has come */

	/* W: the generation being made */
	bool		dirty;
	bool		sec_stale;	/* the secondary tree must be made anew */
	uint32_t	num;		/* of the generation being made */
	uint64_t	count;
	uint64_t	kept;
	uint64_t	bytes;
	uint64_t	touched_rev;	/* of the last change */
	struct tree_node *root;
	struct tree_node *sec;
	struct tree_node *dead_nodes;
	struct core_object *dead_objects;
	struct core_gen	*next_gen;	/* allocated by gen_prepare */
	struct core_gen	*oldest;	/* of all generations */
	struct core_gen	*reclaiming;	/* taken from zombies */
	struct core_res	*next_dirty;
	bool		has_garbage;	/* C: is in the list of those with zombies */
	struct core_res	*next_garbage;	/* C */
	bool		wake;		/* C: is in the list of those whose watchers are due a hint */
	struct core_res	*next_wake;	/* C */
	uint32_t	n_gens;
};

/* An open resource: what modules hold. */
struct orlop_resource {
	struct oref	ref;		/* being open, and each snapshot */
	struct core_cache *c;
	struct core_res	*res;
	void		*loop;
	uint64_t	id;
	struct olist	node;		/* R: res->handles */
	orlop_note_fn	cb;		/* R */
	void		*arg;
	bool		raw;		/* reads what is fed, registered or not */
	bool		relist;		/* R: its cursors are stale, whatever they say */
	bool		pending;	/* R: a hint is under way */
	bool		unsent;		/* R: … or about to be */
	uint64_t	noted_ns;
	uint64_t	renote_ns;
	struct olist	waiters;	/* T */
	char		owner[];
};

struct orlop_snapshot {
	struct core_gen	*gen;		/* NULL: the resource is not there (yet) */
	struct orlop_resource *handle;
	uint64_t	rev;
	uint64_t	opened_ns;
	struct olist	node;		/* R */
};

struct handle_slot {
	struct orlop_resource *handle;
	uint32_t	seq;		/* upper half of the id */
	uint32_t	next_free;
};

struct core_cache {
	struct core_cache_hooks hooks;

	pthread_mutex_t	write;
	struct tree_edit edit;		/* W */
	struct core_res	*dirty;		/* W: resources with a generation being made */
	struct core_res	*last;		/* W: the one of the last put */
	bool		listing;	/* W */
	bool		replaying;	/* W: from an old list to now; readers see nothing yet */
	bool		replayed;	/* W: that is over, with the next commit */
	uint32_t	mark;		/* W: of the list under way */
	uint32_t	last_mark;	/* W: given to any list */
	struct core_res	*trim_at;	/* W: next resource whose journal is looked at in passing */
	struct core_res	*local;		/* the resource "resources" */

	pthread_mutex_t	lock;
	struct omap	names;		/* C: name → struct core_res */
	struct core_res	*all;		/* C: see core_res_first() */
	struct core_res	*garbage;	/* C */
	struct core_res	*wake;		/* C */
	struct handle_slot *slots;	/* C */
	uint32_t	n_slots;
	uint32_t	free_slot;	/* 0: none; else index + 1 */

	pthread_mutex_t	wait_lock;
	struct olist	waits;		/* T: by revision */

	_Atomic uint64_t applied;	/* of all resources that storage feeds */
	_Atomic uint64_t high;		/* highest of any resource, to look no further when waking */
	_Atomic uint64_t since;		/* journals of what storage feeds know all from here on */
	atomic_bool	fed;		/* the first list is in */
};

static inline uint64_t core_cache_now(struct core_cache *c)
{
	return c->hooks.now(c->hooks.ctx);
}

/* Revision that @res has been fed up to; @applied loaded before res->lock or without it. */
static inline uint64_t core_res_rev(const struct core_res *res, uint64_t applied)
{
	uint64_t rev = atomic_load_explicit(&res->rev, memory_order_acquire);

	if (res->local || atomic_load_explicit(&res->own, memory_order_relaxed))
		return rev;
	return rev > applied ? rev : applied;
}

/* Has it been fed? Then there is something to read, for who need not know what it is. */
static inline bool core_res_there(const struct core_res *res)
{
	if (res->local)
		return true;
	return atomic_load_explicit(&res->own, memory_order_acquire) ?
		atomic_load_explicit(&res->own_fed, memory_order_acquire) :
		atomic_load_explicit(&res->c->fed, memory_order_acquire);
}

static inline bool core_res_readable(const struct orlop_resource *r)
{
	return r->raw ? core_res_there(r->res) : atomic_load_explicit(&r->res->live, memory_order_acquire);
}

/* Descriptions: info.c. */
int core_info_check(const struct orlop_resource_info *in, uint64_t *ret_kept, struct orlop_error *err);
struct resource_info *core_info_copy(const struct orlop_resource_info *in, uint64_t kept);	/* NULL: no memory */
bool core_info_same(const struct resource_info *a, const struct resource_info *b);	/* of two copies */
void core_info_put(struct resource_info *info);		/* accepts NULL */
void core_infos_put(struct resource_info *info);	/* it and all ->next */
/* Number of the index of @field, or -ENOENT. */
int32_t core_info_index(const struct orlop_resource_info *info, const char *field);
/* As a stored record. */
struct obuf;
void core_info_record(const struct orlop_resource_info *info, struct obuf *b);

/* Finds or makes. NULL: no memory. Takes C. */
struct core_res *core_res_get(struct core_cache *c, struct orlop_bytes name);
/* The first of all resources; on by ->next, which never changes. Takes C. */
struct core_res *core_res_first(struct core_cache *c);
void core_res_free(struct core_res *res);
int core_registry_init(struct core_cache *c);
/* After the first list, a registration, a retirement: do readers see it? Under W. */
void core_res_live_update(struct core_res *res);
/* Is a state in the making that must not be seen yet? Under W. */
bool core_res_unfinished(const struct core_res *res);
/* One change in the generation being made, and in the journal if somebody may see it. Under W. */
int core_res_put(struct core_res *res, struct core_object *take_obj);	/* taken if 0 */
int core_res_del(struct core_res *res, struct orlop_bytes key, uint64_t rev);
/* Deletes the objects that the list did not name, as of @rev (0: of their own). Under W. */
int core_res_sweep(struct core_res *res, uint64_t rev);
/* Readers may have come to @rev. */
void core_res_high(struct core_cache *c, uint64_t rev);
/* Publish this one alone. Under W. 0 or -ENOMEM. */
int core_res_publish(struct core_res *res, uint64_t rev, bool reset);

/* ---- the generation being made: generation.c. All under W ------------------------------------------ */

/* From here on changes go into a new generation of @res. */
void core_gen_touch(struct core_res *res);
/* 0, -ENOMEM (nothing changed). @obj is taken if 0. @ret_old: borrowed, what was there. */
int core_gen_put(struct core_res *res, struct core_object *take_obj, struct core_object **ret_old);
int core_gen_del(struct core_res *res, struct orlop_bytes key, struct core_object **ret_old);
/* Which indexes to keep from now on. */
void core_gen_keep(struct core_res *res, uint64_t kept);
/* All that publishing needs; -ENOMEM: try again. Then publish cannot fail. */
int core_gen_prepare(struct core_res *res);
/* The new generation is the newest; takes and leaves R. @reset: no journal, cursors below are stale. */
void core_gen_publish(struct core_res *res, uint64_t rev, bool reset);
/* Drop what the journal need not keep: a slice. True: there is more. */
bool core_journal_slice(struct core_res *res, uint64_t now_ns);
/* Drop a reference; the last one leaves it to the writer to reclaim. Any thread, takes R. */
void core_gen_unref(struct core_res *res, struct core_gen *g);
/* Free up to @budget dead things. True: there is more. */
bool core_gen_reclaim(struct core_cache *c, uint32_t budget);
/* Everything, without asking who holds it. */
void core_gen_done(struct core_res *res);

/* ---- feeds: feed.c, past.c ----------------------------------------------------------------------------- */

#define FEED_KEY_MAX	512u		/* "ns/name": as much as a storage key takes */

struct core_feed {
	struct core_cache *c;
	struct core_res	*res;
	char		owner[];
};

/* False: there is no such object. */
bool core_feed_key(char buf[FEED_KEY_MAX], struct orlop_bytes ns, struct orlop_bytes name,
		   struct orlop_bytes *ret);
/* The first list is in: what was before it can be asked for / nobody is there to ask any more. Under W. */
void core_past_open(struct core_res *res);
void core_past_lost(struct core_res *res);
void core_past_done(struct core_res *res);	/* with the resource */

/* ---- waking: wake.c ---------------------------------------------------------------------------------- */

/* Its watchers are due a hint. Under W or nothing. */
void core_wake_later(struct core_res *res);
/* Hints to all watchers that are due one. No lock held. */
void core_wake_watchers(struct core_cache *c);
/* Call back waiters that may go on. No lock held. */
void core_wake_waiters(struct core_cache *c);
/* Nobody waits for a resource that cannot be read. No lock held. */
void core_wake_failed(struct core_res *res);
/* Repeats and timeouts; returns the next time to look, UINT64_MAX: none. */
uint64_t core_wake_tick(struct core_cache *c, uint64_t now_ns);
/* The handle closes: waiters end with -ECANCELED. On its loop. */
void core_wake_close(struct orlop_resource *r);
/* The same without callbacks, when nothing runs any more. */
void core_wake_forget(struct orlop_resource *r);

#endif
