/*
 * slice.h - one resource as this process follows it: what of it, how far, in which state.
 */
#ifndef UP_SLICE_H
#define UP_SLICE_H

#include "up.h"

struct oselector;

enum up_slice_state {
	UP_IDLE,		/* not begun, or the server does not serve it */
	UP_QUEUED,		/* waits for its turn to list */
	UP_LISTING,
	UP_WATCHING,
	UP_PAUSED,		/* after a failure, until the timer */
};

struct up_slice {
	struct up	*u;
	struct olist	node;		/* u->slices */
	char		*resource;
	char		*version;	/* of kind */
	/* what of it */
	char		*ns;		/* NULL: all */
	char		*fields;	/* selector text, NULL: all */
	char		*labels;
	struct oselector *label_sel;	/* parsed */
	bool		metadata;
	bool		wanted;		/* mark and sweep */

	struct up_kind	*kind;		/* NULL: not served; renewed at each discovery */
	struct orlop_feed *feed;
	enum up_slice_state state;
	struct orlop_timer *timer;
	struct up_call	*call;
	uint64_t	rev;		/* what readers have */
	bool		synced;
	bool		go_on;		/* rev may be watched from; else list */
	unsigned int	fails;
	char		told[160];	/* failure that was logged */

	/* listing */
	uint64_t	list_rev;	/* 0: first page */
	char		*next;		/* continue */
	uint32_t	limit;
	uint32_t	restarts;	/* of this list, by 410 */

	/* watching */
	struct up_stream stream;
	uint64_t	seen;		/* revision of the last event put */
	uint32_t	put;		/* events put and not committed */
	bool		carried;	/* … that were left so by an unfinished line */
	uint64_t	watch_at;	/* when it began */

	struct orlop_resource *res;	/* to look at what readers see; opened when first needed */
	struct olist	waits;		/* of struct up_wait */
	uint64_t	n_lists;
	uint64_t	n_watches;
	uint64_t	n_events;
	uint64_t	n_damaged;
	uint64_t	n_objects;	/* in the last list */
};

/* follow.c */
struct up_slice *up_slice_new(struct up *u, const char *resource);
void up_slice_free(struct up_slice *s);
/* Begin, or begin anew because what is wanted or served has changed. */
void up_slice_start(struct up_slice *s);
/* A list has ended somewhere: whoever waits for a turn. */
void up_slices_turn(struct up *u);

/* slices.c: tell the cache of it; 0 or -errno */
int up_slice_register(struct up_slice *s, struct orlop_error *err);
/* wait.c: somebody may have waited for this */
void up_wait_commit(struct up_slice *s);
void up_wait_end(struct up_slice *s);		/* the slice goes */

#endif
