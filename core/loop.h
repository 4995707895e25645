/*
 * loop.h - event loops: posts, timers, descriptors. One thread each, the first is the main thread.
 *
 * What is made here belongs to a loop and, if given, to an owner (a shard of a module): it is counted
 * and listed there, so that the loader can wait for it and free what was left. The core's own things
 * have owner NULL. Unless a function says "any thread" it is called on the loop's own thread.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#include <orlop/host.h>

#include "base/olist.h"

/* What an owner can hold; the names are in loop.c. */
enum core_held {
	CORE_HELD_TIMER,
	CORE_HELD_FD,
	CORE_HELD_CHILD,
	CORE_HELD_LISTENER,
	CORE_HELD_CONNECT,
	CORE_HELD_POST,
	CORE_HELD_WORK,
	CORE_HELD_THREAD,
	CORE_HELD_LEAD,
	CORE_HELD_REQUEST,	/* sent and not yet answered: kept by the bus */
	CORE_HELD_CALL,		/* received and not yet done: kept by the bus */
	CORE_HELD_RESOURCE,	/* kept by the cache */
	CORE_HELD_FEED,		/* so is this: host_feed.c */
	CORE_HELD_MAX,
};

/* What one shard of one instance holds. Counters: any thread. Lists: on the shard's loop only. */
struct core_owner {
	_Atomic uint32_t n[CORE_HELD_MAX];
	struct olist	list[CORE_HELD_MAX];
	/* Time of its callbacks on its loop: written there only. */
	_Atomic uint64_t busy_ns;
	_Atomic uint64_t busy_max_ns;	/* the longest one */
	_Atomic uint64_t n_busy;
	_Atomic uint64_t in_ns;		/* since when it is in a callback (mono); 0: it is in none */
	bool		listen_held;	/* its listeners get no connections: net.c; net->lock */
};

void core_owner_init(struct core_owner *o);
const char *core_held_name(enum core_held kind);

/* Both accept NULL. */
static inline void core_owner_inc(struct core_owner *o, enum core_held kind)
{
	if (o)
		atomic_fetch_add_explicit(&o->n[kind], 1, memory_order_relaxed);
}

static inline void core_owner_dec(struct core_owner *o, enum core_held kind)
{
	if (o)
		atomic_fetch_sub_explicit(&o->n[kind], 1, memory_order_release);
}

static inline uint32_t core_owner_count(struct core_owner *o, enum core_held kind)
{
	return atomic_load_explicit(&o->n[kind], memory_order_acquire);
}

uint64_t core_now_mono(void);	/* ns */

/* Around a callback of an owner (NULL: the core's own, not measured), which may free what it is about. */
static inline uint64_t core_owner_enter(struct core_owner *o)
{
	uint64_t now = o ? core_now_mono() : 0;

	if (o)
		atomic_store_explicit(&o->in_ns, now, memory_order_relaxed);
	return now;
}

void core_owner_leave(struct core_owner *o, uint64_t entered);

/*
 * A post without allocation: zero it once, embed it in what it is about. While it is queued posting
 * it again does nothing, so it also serves as "wake me, once".
 */
struct core_post {
	struct core_post *next;
	orlop_cb	fn;
	void		*arg;
	struct core_owner *owner;
	atomic_bool	queued;
	bool		heap;		/* made by core_loop_post: freed after the call */
};

struct core_fdent;

struct core_loop {
	uv_loop_t	uv;
	uint32_t	n;		/* 0: the main loop */
	char		name[16];
	pthread_t	thread;		/* valid if joinable */
	bool		joinable;	/* the thread was started by core_loop_start */
	_Atomic uintptr_t self;		/* pthread_self() of who runs it now */
	atomic_bool	stop;

	pthread_mutex_t	post_lock;	/* guards the three below */
	struct core_post *post_first;
	struct core_post **post_tail;
	bool		closed;		/* nothing can be posted any more */
	uv_async_t	async;

	struct core_fdent **fds;	/* by descriptor: who watches it */
	uint32_t	n_fds;

	/* counters for the state dump, which reads them from another thread */
	_Atomic uint64_t n_ran;		/* posts */
	_Atomic uint64_t n_fired;	/* timers */
	_Atomic uint64_t n_events;	/* of descriptors */
	_Atomic uint64_t turns;		/* of the loop: a loop that hangs does not count */
	uv_prepare_t	prepare;
	struct olist	children;	/* processes started here and not yet gone */
};

/*
 * core_loop_new - a loop that does not run yet; the main loop (n = 0) is run by core_loop_run(),
 * others by core_loop_start(), which gives each a thread named @name with all signals blocked.
 */
int core_loop_new(uint32_t n, const char *name, struct core_loop **ret);
int core_loop_start(struct core_loop *l);
void core_loop_run(struct core_loop *l);		/* until core_loop_stop() */
void core_loop_turn(struct core_loop *l, bool wait);	/* one turn: for tests and orderly ends */
void core_loop_stop(struct core_loop *l);		/* any thread; ends run, joins nothing */
/* Stops and joins the thread if there is one, runs what was posted, closes all handles. NULL is fine. */
void core_loop_free(struct core_loop *l);

/* Is this the loop's own thread? Any thread. */
bool core_loop_here(const struct core_loop *l);
/* Processor time of the loop's thread, ns; 0: it does not run. Any thread. */
uint64_t core_loop_cpu_ns(struct core_loop *l);

/* Run @fn(@arg) on the loop, in order of posting. Any thread. 0, -ENOMEM, -ECANCELED (closed). */
int core_loop_post(struct core_loop *l, orlop_cb fn, void *arg);
int core_loop_post_owned(struct core_loop *l, struct core_owner *o, orlop_cb fn, void *arg);
/* The same without allocation; 0 also if @p was queued already. Any thread. */
int core_loop_post_node(struct core_loop *l, struct core_post *p, orlop_cb fn, void *arg);

/* ---- clocks, chance: any thread --------------------------------------------------------------- */

uint64_t core_now_boot(void);
uint64_t core_now_wall(void);
void core_random(void *buf, size_t len);

/* ---- timers ------------------------------------------------------------------------------------ */

/* An unarmed timer. Times are rounded up to milliseconds; never early. */
int core_timer_new(struct core_loop *l, struct core_owner *o, orlop_cb cb, void *arg,
		   struct orlop_timer **ret);
void core_timer_set(struct orlop_timer *t, uint64_t delay_ns, uint64_t repeat_ns);
void core_timer_clear(struct orlop_timer *t);
void core_timer_free(struct orlop_timer *t);		/* accepts NULL */

/* ---- descriptors ------------------------------------------------------------------------------- */

/* Several watches of one descriptor are fine. 0, -ENOMEM, -EPERM (cannot be polled), -EBADF. */
int core_fd_watch(struct core_loop *l, struct core_owner *o, int32_t fd, uint32_t events,
		  orlop_fd_fn cb, void *arg, struct orlop_fdwatch **ret);
void core_fd_update(struct orlop_fdwatch *w, uint32_t events);
void core_fd_unwatch(struct orlop_fdwatch *w);		/* accepts NULL */
/* @fn is told then, on the loop. */
void core_fd_on_unwatch(struct orlop_fdwatch *w, void (*fn)(void *arg, int32_t fd), void *arg);

/* Frees what an owner left behind on this loop (timers, watches); returns how many. */
uint32_t core_loop_reclaim(struct core_owner *o);
uint32_t core_fd_reclaim(struct core_owner *o);		/* its part for watches */

/* ---- threads ----------------------------------------------------------------------------------- */

/* A joinable thread with all signals blocked. @stack_bytes 0: the default. */
int core_thread_start(const char *name, size_t stack_bytes, void (*fn)(void *), void *arg,
		      pthread_t *ret);

#endif
