/*
 * call.h - a request that we were sent, until it is done. Only call.c and callrun.c include it.
 */
#ifndef CORE_BUS_CALL_H
#define CORE_BUS_CALL_H

#include "link.h"

#define CORE_CALL_MAGIC		0x6c6c6163u	/* "call" */
#define CORE_CALL_EMITS_MAX	32u		/* parts that the caller has not consumed */
#define CORE_CALL_BYTES_MAX	(4u << 20)	/* their bytes, blobs included; one part is always allowed */
#define CORE_CALL_PART_BYTES_MAX (16u << 20)	/* what one part counts at most */

/* Calls with one order key: one is with the handler, the others wait. */
struct core_callkey {
	struct core_idnode id;		/* by key, in link->keys */
	struct olist	waiting;	/* calls */
};

struct orlop_call {
	uint32_t	magic;
	uint32_t	src;
	struct core_link *link;
	struct core_idnode id;		/* by corr, in link->calls */
	struct core_frame *frame;	/* the request; then its answer */
	struct orlop_req req;
	struct core_callkey *key;	/* or NULL */
	struct olist	node;		/* in link->ready or key->waiting */
	bool		queued;		/* has not been given to the handler */
	bool		running;	/* on a worker: the op has not returned */
	bool		over;		/* answered, or the link closed: in no table any more */

	/* guarded by link->lock */
	orlop_cb	on_cancel;
	void		*on_cancel_arg;
	orlop_cb	on_writable;
	void		*on_writable_arg;
	struct olist	inbox;		/* in link->inbox */
	struct olist	parts;		/* frames that other threads have emitted */
	struct core_parcel *answer;	/* with @done */
	int32_t		status;
	bool		done;
	bool		returned;	/* the op came back from its worker */
	bool		cancelled;
	bool		tell_cancel;	/* on_cancel is to be called */
	bool		full;		/* an emit was refused: on_writable is owed */
	uint32_t	n_out;		/* parts, not consumed */
	uint64_t	bytes_out;
};

/* call.c: done, whoever says so; on the loop. Frees @c, or leaves that to the return of its op. */
void core_call_finish(struct orlop_call *c, int32_t status, struct core_parcel *take_answer);
void core_call_fail(struct orlop_call *c, int32_t status, const struct orlop_error *err);
void core_call_free(struct orlop_call *c);
/* Something for the loop to look at; with link->lock held. */
void core_call_tell(struct orlop_call *c);

/* callrun.c: to the handler, when its key and a worker are free. */
void core_call_admit(struct orlop_call *c);
void core_call_unqueue(struct orlop_call *c);
void core_call_key_release(struct orlop_call *c);
void core_call_returned(struct orlop_call *c);

#endif
