/*
 * link.h - the inside of a link: what its loop's thread knows. Only core/bus includes it.
 */
#ifndef CORE_BUS_LINK_H
#define CORE_BUS_LINK_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#include "arq.h"
#include "base/olist.h"
#include "base/omap.h"
#include "bus.h"
#include "idtab.h"
#include "loop.h"
#include "sock.h"

#define CORE_LINK_MAGIC		0x6b6e696cu	/* "link" */
#define CORE_LINK_REQUESTS_MAX	65536u		/* open at once; more answer -EBUSY */

struct core_link {
	uint32_t	magic;
	uint32_t	id;
	struct core_bus	*bus;
	struct core_loop *loop;
	struct core_owner *owner;
	struct core_owner *timed;
	pthread_t	thread;
	char		*name;
	struct core_port *port;		/* the other end; opaque here */
	struct core_sock sock;
	struct core_arq	arq;
	bool		dirty;		/* something to flush at the end of this turn */
	bool		stopped;	/* no new requests from here */
	bool		closed;
	uv_poll_t	poll;
	uv_timer_t	timer;
	uv_prepare_t	prepare;
	uint64_t	timer_ns;	/* when @timer fires; 0: unarmed */
	uint32_t	refs;		/* handles, and calls on workers */
	struct core_post free_post;
	struct core_parcel *who;	/* its identity, or NULL */

	/* request.c: what we asked */
	struct core_idtab requests;
	uint64_t	corr;		/* last number given */
	uint64_t	trace;		/* state of the generator of trace ids */
	struct orlop_request **heap;	/* by deadline; a binary heap */
	uint32_t	n_heap;
	uint32_t	cap_heap;
	struct omap	addresses;	/* name → number, so that asking takes no lock */
	struct olist	failed;		/* answered by ourselves at the next post */
	struct core_post failed_post;

	/* call.c: what we were asked */
	const struct orlop_ops *ops;
	void		*ctx;
	uint32_t	flags;
	uint32_t	concurrency;
	int		(*work)(void *work_arg, orlop_cb fn, void *arg);
	void		*work_arg;
	struct core_idtab calls;	/* by corr */
	uint32_t	n_calls;	/* with those that are done, but not returned yet */
	uint32_t	n_running;	/* on workers */
	struct olist	ready;		/* wait for a worker */
	bool		starting;	/* ready_run() is at it */
	struct core_idtab keys;		/* of the calls that run or wait */
	pthread_mutex_t	lock;		/* guards inbox and what orlop_call says */
	struct olist	inbox;		/* calls that other threads have done something to */
	struct core_post inbox_post;

	/* topic.c */
	struct core_idtab topics;

	/* quiesce */
	orlop_cb	quiet;
	void		*quiet_arg;
	bool		quiesced;	/* the switch has nothing open at us; we may have */
	struct core_post quiet_post;
};

/* link.c */
bool core_link_here(const struct core_link *link);
void core_link_send(struct core_link *link, struct core_frame *take_f);
void core_link_flush(struct core_link *link);
void core_link_unref(struct core_link *link);

/* request.c */
int core_requests_init(struct core_link *link);
void core_requests_done(struct core_link *link);	/* frees without calling back */
void core_request_input(struct core_link *link, struct core_frame *take_f);
uint64_t core_requests_due(const struct core_link *link);	/* 0: none */
void core_requests_tick(struct core_link *link, uint64_t now_ns);

/* call.c, callrun.c */
int core_calls_init(struct core_link *link);
void core_calls_done(struct core_link *link);
void core_call_input(struct core_link *link, struct core_frame *take_f);
void core_call_cancel_input(struct core_link *link, const struct core_frame *f);
void core_call_credit_input(struct core_link *link, const struct core_frame *f);

/* topic.c */
int core_topics_init(struct core_link *link);
void core_topics_done(struct core_link *link);
void core_topic_input(struct core_link *link, struct core_frame *f);

#endif
