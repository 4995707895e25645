/*
 * watchdog.c - whether the loops of this process turn: each gets a post now and then, and a thread that runs nothing
 * else looks whether it was run. One wake-up of each loop in ten seconds.
 */
#include "watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/omem.h"
#include "config.h"
#include "log.h"

/* Of one loop. */
struct beat {
	struct core_watchdog *w;
	struct core_loop *_Atomic loop;	/* NULL: there is none yet */
	struct core_post post;
	_Atomic uint64_t sent_ns;
	_Atomic uint64_t ran_ns;
	uint64_t	told_ns;	/* the thread's: since when the hang lasts that was told; 0: none */
};

struct core_watchdog {
	struct core	*core;
	pthread_t	thread;
	pthread_mutex_t	lock;		/* guards stop */
	pthread_cond_t	cond;
	bool		stop;
	uint32_t	n;
	struct beat	beats[];	/* by loop */
};

/* On the loop. The main one knows the others, which it has made. */
static void beat_ran(void *arg)
{
	struct beat *b = arg;
	struct core *c = b->w->core;

	atomic_store(&b->ran_ns, core_now_mono());
	if (b != b->w->beats)
		return;
	for (uint32_t i = 1; i < c->n_loops && i < b->w->n; i++)
		atomic_store(&b->w->beats[i].loop, c->loops[i]);
}

/* Whose callback the loop is in: the latest, of those that are in one of another's. */
static void whose(struct core *c, const struct core_loop *l, char *name, size_t size)
{
	uint64_t latest = 0;

	(void)snprintf(name, size, "core");
	pthread_mutex_lock(&c->lock);
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		for (uint32_t i = 0; i < inst->n_shards; i++) {
			uint64_t in = inst->shards[i].loop == l ? atomic_load(&inst->shards[i].held.in_ns) : 0;

			if (in > latest) {
				latest = in;
				(void)snprintf(name, size, "%s", inst->name);
			}
		}
	}
	pthread_mutex_unlock(&c->lock);
}

static void beat_look(struct core_watchdog *w, struct beat *b)
{
	struct core_loop *l = atomic_load(&b->loop);
	uint64_t sent = atomic_load(&b->sent_ns);
	uint64_t ran = atomic_load(&b->ran_ns);
	uint64_t now = core_now_mono();
	char name[256];

	if (!l)
		return;
	if (sent && ran < sent) {
		if (b->told_ns || now - sent < w->core->config->hang_timeout_ns)
			return;
		whose(w->core, l, name, sizeof(name));
		b->told_ns = sent;
		CLOG(w->core, ERR, "loop_hangs", "loop=%s in=%s seconds=%llu text=\"a callback does not return; what runs on this "
		     "loop stands still\"", l->name, name, (unsigned long long)((now - sent) / 1000000000));
		return;
	}
	if (b->told_ns)
		CLOG(w->core, WARN, "loop_turns", "loop=%s seconds=%llu text=\"it has hung for so long\"", l->name,
		     (unsigned long long)((ran - b->told_ns) / 1000000000));
	b->told_ns = 0;
	atomic_store(&b->sent_ns, now);
	(void)core_loop_post_node(l, &b->post, beat_ran, b);
}

static void watch(void *arg)
{
	struct core_watchdog *w = arg;
	uint64_t every = w->core->config->hang_timeout_ns;
	bool stop;

	do {
		struct timespec at;

		for (uint32_t i = 0; i < w->n; i++)
			beat_look(w, &w->beats[i]);
		(void)clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_sec += (time_t)(every / 1000000000);
		at.tv_nsec += (long)(every % 1000000000);
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
		pthread_mutex_lock(&w->lock);
		while (!w->stop && pthread_cond_timedwait(&w->cond, &w->lock, &at) != ETIMEDOUT)
			;
		stop = w->stop;
		pthread_mutex_unlock(&w->lock);
	} while (!stop);
}

int core_watchdog_start(struct core *c, struct core_watchdog **ret)
{
	struct core_watchdog *w = omem_zalloc(sizeof(*w) + c->max_loops * sizeof(w->beats[0]));
	pthread_condattr_t attr;
	int r;

	if (!w)
		return -ENOMEM;
	w->core = c;
	w->n = c->max_loops;
	for (uint32_t i = 0; i < w->n; i++)
		w->beats[i].w = w;
	atomic_store(&w->beats[0].loop, c->main);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	r = core_thread_start("orlop-watch", 128 << 10, watch, w, &w->thread);
	if (r) {
		pthread_cond_destroy(&w->cond);
		pthread_mutex_destroy(&w->lock);
		omem_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void core_watchdog_stop(struct core_watchdog *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
}

void core_watchdog_free(struct core_watchdog *w)
{
	if (!w)
		return;
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	omem_free(w);
}
