/*
 * feed_out_in.h - the inside of feed_out.h: feed_out.c (rounds), feed_send.c (changes and lists as frames),
 * feed_past.c (what happened before a list), feed_slice.c (what of a resource is wanted).
 */
#ifndef CORE_FEED_OUT_IN_H
#define CORE_FEED_OUT_IN_H

#include "base/obuf.h"
#include "base/omap.h"
#include "feed_out.h"
#include "feed_wire.h"

enum slice { SLICE_NONE, SLICE_METADATA, SLICE_WHOLE };

/* A want of one resource, with what its fields are here. */
struct out_want {
	const struct orlop_feed_want *pub;
	int32_t		*index;		/* of each of its fields; < 0: not known */
};

struct out_res {
	struct orlop_resource *handle;
	const struct orlop_resource_info *info;	/* that the numbers of fields are of */
	struct out_want	*wants;
	uint32_t	n_wants;
	bool		repick;		/* memory was short: wants are not complete */
	bool		fields;		/* some of them are about fields */
	bool		opened;		/* the other side knows it, as */
	uint16_t	num;
	bool		listed;		/* and has it */
	bool		list;		/* is to be listed */
	bool		joint;
	int32_t		err;		/* as told */
	uint64_t	cursor;
	uint64_t	told;		/* revision of the last COMMIT or END */
	uint64_t	past_from;	/* what happened after it up to past_upto is asked for; past_upto 0: nothing */
	uint64_t	past_upto;
	char		name[];
};

/* Changes to be sent. */
struct out_run {
	struct orlop_change *v;
	uint32_t	cap;
	uint32_t	n;
	uint32_t	at;
	uint64_t	rev;		/* that they lead to */
	bool		late;		/* some of this revision were found by a list only */
};

struct core_feed_out {
	struct core_cache *c;
	void		*loop;
	struct core_feed_out_io io;
	struct core_wants wants;
	bool		dead;		/* there is nobody on the other side */
	bool		again;		/* another round */
	struct out_res	**v;
	uint32_t	n;
	uint32_t	cap;
	struct omap	names;
	uint32_t	n_names;	/* there were, when all were asked for */
	uint32_t	at;		/* next in this round; n: the round is over */
	bool		stay;		/* there is more of it that this round is about */
	uint32_t	n_opened;
	uint64_t	applied;	/* when it began */
	uint64_t	progress;	/* told */

	uint32_t	n_past;		/* resources whose past is asked for, at most */
	struct out_res	*busy;		/* that run or list are about */
	struct out_run	run;
	struct orlop_snapshot *snap;	/* being listed */
	struct orlop_iter *iter;
	uint64_t	snap_rev;
	bool		past;		/* the run is what happened before a list, from */
	struct omap	before;		/* these states on: key → object or NULL, borrowed from the run */
	uint32_t	before_at;

	struct obuf	out;
	size_t		out_at;		/* sent up to */
	uint64_t	under_way;	/* and not acknowledged */
	char		owner[];
};

/* feed_slice.c */
enum slice feed_slice(const struct out_res *x, const struct orlop_object *o);
void feed_wants_clear(struct out_res *x);
int feed_wants_pick(struct core_feed_out *f, struct out_res *x);
bool feed_fields_number(struct out_res *x);

/* feed_send.c */
int feed_frame(struct core_feed_out *f, uint8_t type, uint8_t flags, const struct out_res *x, uint64_t rev);
int feed_frame_open(struct core_feed_out *f, const struct out_res *x);
int feed_frame_object(struct core_feed_out *f, uint8_t type, const struct out_res *x, const struct orlop_object *o,
		      uint64_t rev, bool metadata, const uint64_t *past);
int feed_change(struct core_feed_out *f, struct out_res *x, const struct orlop_change *e);
void feed_run_clear(struct out_run *r);
int32_t feed_run_read(struct out_run *r, struct orlop_resource *handle, uint64_t *cursor);
int feed_run_send(struct core_feed_out *f);
void feed_list_clear(struct core_feed_out *f);
int feed_list_begin(struct core_feed_out *f, struct out_res *x);
int feed_list_send(struct core_feed_out *f);

/* feed_past.c */
int feed_past_begin(struct core_feed_out *f, struct out_res *x);
int feed_past_send(struct core_feed_out *f);

#endif
