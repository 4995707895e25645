/*
 * arq.h - automatic repeat request: in order and exactly once over a channel that loses.
 *
 * Each end of a link has one. It numbers frames, keeps up to a window of them until they are
 * acknowledged, repeats what is missing, and hands over what comes in order. It is pure: bytes go in
 * by core_arq_input(), out by the out hook, time is a parameter.
 *
 * - Window: 64 frames; what is beyond waits in a queue (bounded by who fills it).
 * - Acknowledgement: cumulative, plus a bitmap of what came behind a hole. It rides on whatever goes
 *   the other way; alone at once after a hole or a repeat, after 16 frames, or after 1 ms.
 * - Repeat: at once when frames sent after it are acknowledged; otherwise the oldest unacknowledged
 *   frame after 3 ms, doubling to 200 ms. That probe is the heartbeat: it exists only while
 *   something is unacknowledged, so an idle link has no timer.
 */
#ifndef CORE_BUS_ARQ_H
#define CORE_BUS_ARQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/olist.h"
#include "parcel.h"
#include "wire.h"

#define CORE_ARQ_WINDOW		64u
#define CORE_ARQ_ACK_EVERY	16u
#define CORE_ARQ_ACK_NS		UINT64_C(1000000)
#define CORE_ARQ_RTO_NS		UINT64_C(3000000)
#define CORE_ARQ_RTO_MAX_NS	UINT64_C(200000000)

/* A frame in memory: on heap, in one list at most. */
struct core_frame {
	struct olist	node;
	struct core_wire_head h;
	struct core_parcel *parcel;	/* a reference of its own, or NULL */
	struct core_frame **back;	/* if not NULL: *back = NULL when it leaves the queue */
	uint64_t	order;		/* of its last transmission */
};

struct core_arq_stats {
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	packets_in;
	uint64_t	packets_out;
	uint64_t	retransmitted;
	uint64_t	duplicates;
	uint64_t	rejected;
};

struct core_arq {
	uint64_t	epoch;
	void		*arg;
	/* Takes @f. May call core_arq_send(), and core_arq_stop(). */
	void		(*deliver)(void *arg, struct core_frame *f);
	void		(*out)(void *arg, const void *packet, size_t len);
	uint32_t	batch_max;	/* frames in one packet */
	bool		stopped;

	/* sending */
	struct olist	queue;		/* not numbered yet */
	uint32_t	n_queue;
	uint32_t	queue_peak;
	uint32_t	n_window;	/* unacknowledged */
	uint64_t	snd_una;	/* oldest unacknowledged */
	uint64_t	snd_next;	/* next number to give */
	struct core_frame *window[CORE_ARQ_WINDOW];	/* by number; NULL: acknowledged */
	uint64_t	lost;		/* slots to repeat now */
	uint64_t	order;		/* transmissions so far */
	uint64_t	order_seen;	/* newest transmission that is known to have come */
	uint32_t	backoff;
	uint64_t	rto_due;	/* 0: nothing is unacknowledged */

	/* receiving */
	uint64_t	rcv_next;
	uint64_t	sack;
	struct core_frame *ahead[CORE_ARQ_WINDOW];	/* came behind a hole, by number */
	uint32_t	unacked;	/* frames since our last acknowledgement */
	bool		ack_now;
	uint64_t	ack_due;	/* 0: none */

	struct core_arq_stats stats;
};

void core_arq_init(struct core_arq *a, uint64_t epoch);

/* Frees every frame; nothing goes in or out any more. Twice is harmless. */
void core_arq_stop(struct core_arq *a);

/* Queue a frame; takes it (frees it if stopped). It goes out with the next core_arq_flush(). */
void core_arq_send(struct core_arq *a, struct core_frame *take_f);

/* Takes a frame back out of the queue that has not been numbered yet. */
void core_arq_unqueue(struct core_arq *a, struct core_frame *f);

/* Frames of @kind that are not acknowledged yet. */
uint32_t core_arq_pending(const struct core_arq *a, uint32_t kind);

/* A packet came in. */
void core_arq_input(struct core_arq *a, const void *packet, size_t len);

/* The next time at which core_arq_flush() has something to do; 0: never. */
uint64_t core_arq_due(const struct core_arq *a);

/* Sends what can be sent, repeats what must be. Call after sending, after input, and when due. */
void core_arq_flush(struct core_arq *a, uint64_t now_ns);

/* A zeroed frame of @kind, or NULL. Freeing drops its parcel; accepts NULL. */
struct core_frame *core_frame_new(uint32_t kind);
void core_frame_free(struct core_frame *f);

#endif
