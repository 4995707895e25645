/*
 * oworkq - the queue of a controller: keys to reconcile, each at most once in it and in hand
 *
 * The promises are those of client-go's work queue: a key added while it waits is one key; a key
 * added while it is being processed is processed again afterwards, never twice at once; failures
 * back off per key, 5 ms, 10 ms, … 1000 s, until oworkq_forget(). Everything runs on the loop of the
 * host it was made with, by its timers; there is no lock.
 *
 *	static void sync(void *arg, struct orlop_bytes key)
 *	{
 *		... start the work; when it has ended, now or later:
 *		if (failed)
 *			oworkq_add_rate_limited(q, key);
 *		else
 *			oworkq_forget(q, key);
 *		oworkq_done(q, key);
 *	}
 */
#ifndef OLIB_WORKQ_OWORKQ_H
#define OLIB_WORKQ_OWORKQ_H

#include <orlop/host.h>
#include <orlop/types.h>
#include <stdbool.h>
#include <stdint.h>

struct oworkq;

/*
 * Process one key; borrowed, valid until oworkq_done() for it. Called from the loop, never from
 * inside another oworkq function.
 */
typedef void (*oworkq_fn)(void *arg, struct orlop_bytes key);

/* Zero means the default. */
struct oworkq_config {
	const char	*name;		/* label of the metrics; NULL: no metrics */
	oworkq_fn	fn;
	void		*arg;
	uint32_t	workers;	/* keys in hand at once (1) */
	uint32_t	batch;		/* keys begun before the loop gets its turn (16) */
	uint64_t	base_ns;	/* first delay after a failure (5 ms) */
	uint64_t	max_ns;		/* longest (1000 s) */
	bool		paused;		/* begins paused */
};

/* 0 or -ENOMEM */
int oworkq_new(const struct orlop_host *h, const struct oworkq_config *c, struct oworkq **ret);

/* Forgets all keys, also those in hand; oworkq_done() for them must not come any more. Accepts NULL. */
void oworkq_free(struct oworkq *q);

/* All may be called from fn. 0 or -ENOMEM: then nothing changed. */
int oworkq_add(struct oworkq *q, struct orlop_bytes key);
/* Later; if the key waits for an earlier time already, that stays. 0: now. */
int oworkq_add_after(struct oworkq *q, struct orlop_bytes key, uint64_t delay_ns);
/* One failure more, and later by what that many failures cost. */
int oworkq_add_rate_limited(struct oworkq *q, struct orlop_bytes key);

/* The key has succeeded: its next failure is its first. */
void oworkq_forget(struct oworkq *q, struct orlop_bytes key);
uint32_t oworkq_failures(const struct oworkq *q, struct orlop_bytes key);

/* The key is no longer in hand. Exactly once for each call of fn. */
void oworkq_done(struct oworkq *q, struct orlop_bytes key);

/* While paused keys are collected and nothing is begun: until caches are filled, or leadership is won. */
void oworkq_pause(struct oworkq *q, bool paused);

uint32_t oworkq_depth(const struct oworkq *q);		/* ready, not in hand */
uint32_t oworkq_in_hand(const struct oworkq *q);
uint32_t oworkq_waiting(const struct oworkq *q);	/* for their time */

#endif
