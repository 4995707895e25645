/*
 * watch.h - one watch, shared by what pulls (watch.c) and what makes the events' bytes (event.c).
 */
#ifndef REG_WATCH_H
#define REG_WATCH_H

#include "op.h"
#include "select.h"

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
};

/* Each fills @ev and returns 1, or -ENOMEM. */

/* @type ORLOP_CHANGE_*: the object as it is. */
int reg_event_object(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev);
/* The object left the selection: its state before, with the revision of the change. */
int reg_event_left(struct reg_watch *w, const struct orlop_change *c, struct reg_event *ev);
int reg_event_bookmark(struct reg_watch *w, uint64_t rev, bool initial_end, struct reg_event *ev);
/* ERROR with a 410: the watch cannot go on. */
int reg_event_expired(struct reg_watch *w, struct reg_event *ev);

#endif
