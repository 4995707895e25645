/*
 * buskit.h - what tests and the benchmark of the bus share: loops with threads, calls onto them, waiting.
 */
#ifndef CORE_BUS_TEST_BUSKIT_H
#define CORE_BUS_TEST_BUSKIT_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bus.h"
#include "../../loop.h"

#define KIT_UNUSED __attribute__((unused))

static inline void kit_must(int r, const char *what)
{
	if (r) {
		printf("Bail out! %s: %d\n", what, r);
		(void)fflush(stdout);
		exit(255);
	}
}

/* Something that a test waits for. */
struct kit_event {
	pthread_mutex_t	lock;
	pthread_cond_t	cond;
	uint64_t	n;
};

#define KIT_EVENT_INIT { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline KIT_UNUSED void kit_signal(struct kit_event *e)
{
	pthread_mutex_lock(&e->lock);
	e->n++;
	pthread_cond_broadcast(&e->cond);
	pthread_mutex_unlock(&e->lock);
}

/* True if @n signals came, none of them 40 s after the one before: a test that hangs should say where, one that is slow may be. */
static inline KIT_UNUSED bool kit_wait(struct kit_event *e, uint64_t n)
{
	struct timespec until = { .tv_sec = 0 };
	uint64_t seen = UINT64_MAX;
	bool ok;

	pthread_mutex_lock(&e->lock);
	do {
		if (e->n != seen) {
			seen = e->n;
			(void)clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += 40;
		}
	} while (e->n < n && pthread_cond_timedwait(&e->cond, &e->lock, &until) == 0);
	ok = e->n >= n;
	pthread_mutex_unlock(&e->lock);
	return ok;
}

static inline KIT_UNUSED uint64_t kit_count(struct kit_event *e)
{
	uint64_t n;

	pthread_mutex_lock(&e->lock);
	n = e->n;
	pthread_mutex_unlock(&e->lock);
	return n;
}

struct kit_job {
	void		(*fn)(void *arg);
	void		*arg;
	struct kit_event done;
};

static inline KIT_UNUSED void kit_job_run(void *arg)
{
	struct kit_job *j = arg;

	j->fn(j->arg);
	kit_signal(&j->done);
}

/* Runs @fn on the loop and waits for it. */
static inline KIT_UNUSED void kit_on(struct core_loop *l, void (*fn)(void *arg), void *arg)
{
	struct kit_job j = { .fn = fn, .arg = arg, .done = KIT_EVENT_INIT };

	kit_must(core_loop_post(l, kit_job_run, &j), "post");
	if (!kit_wait(&j.done, 1))
		kit_must(-ETIMEDOUT, "a loop does not answer");
}

static inline KIT_UNUSED struct core_loop *kit_loop(uint32_t n)
{
	struct core_loop *l;
	char name[16];

	(void)snprintf(name, sizeof(name), "loop%u", n);
	kit_must(core_loop_new(n + 1, name, &l), "core_loop_new");
	kit_must(core_loop_start(l), "core_loop_start");
	return l;
}

struct kit_open {
	struct core_bus	*bus;
	struct core_link_spec spec;
	struct core_link *link;
	int		r;
};

static inline KIT_UNUSED void kit_open_run(void *arg)
{
	struct kit_open *o = arg;

	o->r = core_link_open(o->bus, &o->spec, &o->link);
}

static inline KIT_UNUSED struct core_link *kit_link(struct core_bus *bus, struct core_loop *loop,
						    const char *name, const struct orlop_ops *ops, void *ctx)
{
	struct kit_open o = {
		.bus = bus, .spec = { .name = name, .loop = loop, .ops = ops, .ctx = ctx },
	};

	kit_on(loop, kit_open_run, &o);
	kit_must(o.r, "core_link_open");
	return o.link;
}

static inline KIT_UNUSED void kit_close_run(void *arg)
{
	core_link_close(arg);
}

static inline KIT_UNUSED void kit_close(struct core_loop *loop, struct core_link *link)
{
	kit_on(loop, kit_close_run, link);
}

/* An ops table with room for eight operations. */
struct kit_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[8];
};

static inline KIT_UNUSED struct orlop_msg kit_msg(const void *p, size_t len)
{
	struct orlop_msg m;

	memset(&m, 0, sizeof(m));
	m.size = sizeof(m);
	m.body.p = p;
	m.body.len = len;
	return m;
}

static inline KIT_UNUSED struct orlop_send kit_send(const char *to, uint32_t op, const void *p, size_t len)
{
	struct orlop_send s;

	memset(&s, 0, sizeof(s));
	s.size = sizeof(s);
	s.to = to;
	s.op = op;
	s.msg = kit_msg(p, len);
	return s;
}

#endif
