/*
 * parcel.h - what a frame refers to: body, identity, error, blobs, descriptors, counted as one.
 *
 * Everyone who may still have to deliver or repeat a message holds a reference: the sender until it
 * is acknowledged, the switch, the receiver. So a lost frame leaks nothing and a repeated one frees
 * nothing twice. Descriptors belong to the parcel; only the final receiver touches fds[] (sets to -1
 * what it took), and the last reference closes what is left: each moves or is closed exactly once.
 */
#ifndef CORE_BUS_PARCEL_H
#define CORE_BUS_PARCEL_H

#include <orlop/call.h>
#include <orlop/types.h>

#include "base/oref.h"

struct core_parcel {
	struct oref	ref;
	uint32_t	n_blobs;
	uint32_t	n_fds;
	struct orlop_bytes body;
	struct orlop_blob **blobs;
	int32_t		*fds;
	struct orlop_identity who;	/* size 0: none */
	struct orlop_error *err;	/* or NULL */
};

/*
 * core_parcel_new - copies @msg, @who and @err (each may be NULL)
 *
 * Takes the descriptors of @msg: on failure they are closed, and in any case fds[] of the caller
 * is left alone. -ENOMEM, -E2BIG (limits of call.h), 0. All empty: *ret is NULL.
 */
int core_parcel_new(const struct orlop_msg *msg, const struct orlop_identity *who,
		    const struct orlop_error *err, struct core_parcel **ret);

struct core_parcel *core_parcel_ref(struct core_parcel *p);	/* accepts NULL */
void core_parcel_unref(struct core_parcel *p);			/* accepts NULL */

/* The message as receivers see it; @p may be NULL (empty). Borrowed from @p. */
struct orlop_msg core_parcel_msg(struct core_parcel *p);

/* By the final receiver only: closes the descriptors that nobody took. */
void core_parcel_close_fds(struct core_parcel *p);

/* Closes the descriptors of a message that is not sent. @msg may be NULL. */
void core_msg_close_fds(const struct orlop_msg *msg);

#endif
