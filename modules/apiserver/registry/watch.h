/*
 * watch.h - one watch, shared by what pulls (watch.c) and what makes the events' bytes (event.c).
 */
#ifndef REG_WATCH_H
#define REG_WATCH_H

#include "op.h"
#include "select.h"

struct reg_queue;

struct reg_watch {
	struct olist	link;		/* in the resource's list */
	struct olist	all;		/* in the shard's list */
	struct reg_shard *sh;
	const struct reg_kind *k;
	struct reg_select sel;
	char		*names;		/* copies of namespace and name */
	enum reg_form	form;
	enum reg_include include;
	bool		proto;		/* frames of protobuf */
	uint64_t	cursor;
	uint64_t	end_at;		/* monotonic */
	uint64_t	bookmark_at;	/* 0: none wanted */
	uint64_t	told;		/* resourceVersion of the last event or bookmark */
	orlop_cb	wake;
	void		*wake_arg;
	bool		armed;
	bool		ending;		/* time is up, or drain */
	bool		ended;
	bool		initial;	/* snapshot is being sent */
	bool		initial_mark;	/* then a bookmark that says so */
	bool		bookmarks;
	bool		columns_sent;
	struct orlop_snapshot *snap;
	struct orlop_iter *iter;
	struct orlop_change *batch;
	uint32_t	batch_cap;
	int32_t		batch_n;
	int32_t		batch_i;
	struct reg_op	*op;		/* while starting */
	struct reg_queue *queue;	/* events that are being converted, or NULL */
};

/* Something came that it was waiting for. */
void reg_watch_again(struct reg_watch *w);

/* Each fills @ev and returns 1, or -ENOMEM. */

/* @type ORLOP_CHANGE_*: the object as it is. 0: it is in the queue. */
int reg_event_object(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev);
/* The object left the selection: its state before, with the revision of the change. */
int reg_event_left(struct reg_watch *w, const struct orlop_change *c, struct reg_event *ev);
/* Its bytes: @json, from "metadata": on, with another revision. -ENOENT: it has not the one it had. */
int reg_event_left_json(struct orlop_bytes json, uint64_t was_rev, uint64_t rev, struct obuf *b);
int reg_event_bookmark(struct reg_watch *w, uint64_t rev, bool initial_end, struct reg_event *ev);
/* ERROR with a 410: the watch cannot go on. */
int reg_event_expired(struct reg_watch *w, struct reg_event *ev);
/* ERROR with a 500; the watch ends. */
int reg_event_error(struct reg_watch *w, const char *why, struct reg_event *ev);
/* Bytes that no object has; @obj is who they are of. */
int reg_event_json(struct reg_watch *w, uint32_t type, const void *obj, struct orlop_bytes json, uint64_t rev,
		   struct reg_event *ev);

/*
 * watch-queue.c: what a webhook converts (convert.h). _put: stored bytes, copied; 0 or -errno. _next: 1 and the next
 * event, 0: not yet, -ENODATA: none is there. An event is put only when none is waiting that was asked for.
 * _ask: a change that may be none to this watch: @was and @is say whether the states before and after it are selected, as
 * reg_select_match() has it.
 */
int reg_queue_ask(struct reg_watch *w, const struct orlop_change *c, int was, int is);
int reg_queue_put(struct reg_watch *w, uint32_t type, struct orlop_object *obj, struct orlop_bytes json, struct orlop_bytes version,
		  uint64_t rev);
bool reg_queue_full(const struct reg_watch *w);
int reg_queue_next(struct reg_watch *w, struct reg_event *ev);
void reg_queue_done(struct reg_watch *w);

#endif
