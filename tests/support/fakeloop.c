/*
 * fakeloop.c - the fake host's time: queue, clocks, timers, work and threads; and running all that.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WALL_START	(UINT64_C(1767225600) * FAKEHOST_S)	/* 2026-01-01T00:00:00Z */
#define MONO_START	(UINT64_C(1000) * FAKEHOST_S)
#define QUIET_MS	20	/* of real time without news, then the clock may move on */
#define REAL_MAX_NS	(30 * FAKEHOST_S)

/* ---- clocks ---------------------------------------------------------------------------------------- */

static uint64_t real_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * FAKEHOST_S + (uint64_t)ts.tv_nsec;
}

uint64_t fakehost_now(struct fakehost *fh)
{
	return fh->real ? real_now() : __atomic_load_n(&fh->now, __ATOMIC_RELAXED);
}

static void clock_to(struct fakehost *fh, uint64_t now)
{
	__atomic_store_n(&fh->now, now, __ATOMIC_RELAXED);
}

void fakehost_real_clock(struct fakehost *fh)
{
	uint64_t now = real_now();

	OLIST_FOREACH(at, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		t->due = t->due - fh->now + now;
	}
	fh->wall_off += fh->now - now;
	fh->real = true;
}

void fakehost_set_wall(struct fakehost *fh, uint64_t ns)
{
	fh->wall_off = ns - fakehost_now(fh);
}

static uint64_t h_now_mono(const struct orlop_host *h)
{
	return fakehost_now(fake_priv(h)->fh);
}

static uint64_t h_now_wall(const struct orlop_host *h)
{
	struct fakehost *fh = fake_priv(h)->fh;

	return fakehost_now(fh) + fh->wall_off;
}

void fakehost_seed(struct fakehost *fh, uint64_t seed)
{
	fh->random = seed;
}

/* splitmix64: good enough to look random, the same everywhere. */
static void h_random(const struct orlop_host *h, void *buf, size_t len)
{
	struct fakehost *fh = fake_priv(h)->fh;
	unsigned char *p = buf;

	while (len) {
		uint64_t z = __atomic_add_fetch(&fh->random, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);
		size_t n = len < 8 ? len : 8;

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		memcpy(p, &z, n);
		p += n;
		len -= n;
	}
}

/* ---- posts ------------------------------------------------------------------------------------------- */

void fake_post(struct fakehost *fh, struct fakehost_module *m, void (*fn)(void *), void *arg)
{
	struct fake_post *p = fake_alloc(sizeof(*p));
	uint64_t one = 1;

	p->m = m;
	p->fn = fn;
	p->arg = arg;
	(void)pthread_mutex_lock(&fh->lock);
	olist_append(&fh->posts, &p->node);
	(void)pthread_mutex_unlock(&fh->lock);
	if (!pthread_equal(fh->self, pthread_self()))
		if (write(fh->wake_fd, &one, sizeof(one)) < 0)
			return;	/* full: it is awake */
}

static int h_post(const struct orlop_host *h, orlop_cb fn, void *arg)
{
	fake_post(fake_priv(h)->fh, fake_priv(h)->m, fn, arg);
	return 0;
}

struct fake_work {
	orlop_cb	fn;
	orlop_cb	done;
	void		*arg;
};

static void work_run(void *arg)
{
	struct fake_work w = *(struct fake_work *)arg;

	free(arg);
	w.fn(w.arg);
	if (w.done)
		w.done(w.arg);
}

static int h_work(const struct orlop_host *h, uint64_t key, orlop_cb fn, orlop_cb done, void *arg)
{
	struct fake_work *w = fake_alloc(sizeof(*w));

	(void)key;	/* one after the other in any case */
	*w = (struct fake_work){ fn, done, arg };
	fake_post(fake_priv(h)->fh, fake_priv(h)->m, work_run, w);
	return 0;
}

struct fake_thread {
	pthread_t	id;
	orlop_cb	fn;
	void		*arg;
};

static void *thread_main(void *arg)
{
	struct fake_thread *t = arg;

	t->fn(t->arg);
	return NULL;
}

static int h_thread_start(const struct orlop_host *h, const char *name, orlop_cb fn, void *arg,
			  void **ret_thread)
{
	struct fake_thread *t = fake_alloc(sizeof(*t));
	int r;

	(void)name;
	t->fn = fn;
	t->arg = arg;
	r = pthread_create(&t->id, NULL, thread_main, t);
	if (r) {
		free(t);
		return -r;
	}
	fake_priv(h)->fh->n_threads++;
	*ret_thread = t;
	return 0;
}

static void h_thread_join(const struct orlop_host *h, void *thread)
{
	struct fake_thread *t = thread;

	(void)pthread_join(t->id, NULL);
	fake_priv(h)->fh->n_threads--;
	free(t);
}

static const struct orlop_host *h_shard_host(const struct orlop_host *h, uint32_t shard)
{
	struct fakehost_module *m = fake_priv(h)->m;

	return shard < m->n_shards ? &m->shards[shard].host : NULL;
}

/* ---- timers --------------------------------------------------------------------------------------------- */

struct orlop_timer *fake_timer(struct fakehost *fh, struct orlop_host_priv *priv, orlop_cb cb,
			       void *arg)
{
	struct orlop_timer *t = fake_alloc(sizeof(*t));

	t->fh = fh;
	t->priv = priv;
	t->cb = cb;
	t->arg = arg;
	olist_append(&fh->timers, &t->node);
	return t;
}

static int h_timer_new(const struct orlop_host *h, orlop_cb cb, void *arg, struct orlop_timer **ret)
{
	*ret = fake_timer(fake_priv(h)->fh, fake_priv(h), cb, arg);
	return 0;
}

static void h_timer_set(struct orlop_timer *t, uint64_t delay_ns, uint64_t repeat_ns)
{
	uint64_t now = fakehost_now(t->fh);

	t->armed = true;
	t->due = delay_ns > UINT64_MAX - now ? UINT64_MAX : now + delay_ns;
	t->repeat = repeat_ns;
	t->seq = ++t->fh->seq;
}

static void h_timer_clear(struct orlop_timer *t)
{
	t->armed = false;
}

static void h_timer_free(struct orlop_timer *t)
{
	if (!t)
		return;
	olist_del(&t->node);
	free(t);
}

/* The timer that is due first, of those due by @until; @once: not repeating ones. */
static struct orlop_timer *timer_next(struct fakehost *fh, uint64_t until, bool once)
{
	struct orlop_timer *first = NULL;

	OLIST_FOREACH(at, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		if (!t->armed || t->due > until || (once && t->repeat))
			continue;
		if (!first || t->due < first->due || (t->due == first->due && t->seq < first->seq))
			first = t;
	}
	return first;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

static struct fake_post *post_take(struct fakehost *fh)
{
	struct olist *at;

	(void)pthread_mutex_lock(&fh->lock);
	at = olist_shift(&fh->posts);
	(void)pthread_mutex_unlock(&fh->lock);
	return at ? OLIST_ENTRY(at, struct fake_post, node) : NULL;
}

/* One callback; false: nothing can run without time passing. */
static bool step(struct fakehost *fh)
{
	struct fake_post *p = post_take(fh);
	struct orlop_timer *t;

	if (p) {
		void (*fn)(void *) = p->fn;
		void *arg = p->arg;

		free(p);
		fn(arg);
		return true;
	}
	t = timer_next(fh, fakehost_now(fh), false);
	if (t) {
		t->seq = ++fh->seq;
		if (t->repeat)
			t->due += t->repeat;
		else
			t->armed = false;
		t->cb(t->arg);
		return true;
	}
	return fake_net_busy(fh) && fake_net_poll(fh, 0) > 0;
}

uint32_t fakehost_run(struct fakehost *fh)
{
	uint32_t n = 0;

	while (step(fh))
		if (++n == 10000000)
			fake_die("ten million callbacks without time passing: a loop?");
	return n;
}

static bool outside(struct fakehost *fh)
{
	return fh->n_threads || fake_net_busy(fh);
}

void fakehost_advance(struct fakehost *fh, uint64_t ns)
{
	uint64_t until = fakehost_now(fh) + ns;

	for (;;) {
		struct orlop_timer *t;

		(void)fakehost_run(fh);
		if (fh->real) {
			uint64_t now = real_now();

			if (now >= until)
				return;
			t = timer_next(fh, until, false);
			(void)fake_net_poll(fh, (int)(((t ? t->due : until) - now) / FAKEHOST_MS) + 1);
			continue;
		}
		t = timer_next(fh, until, false);
		if (!t)
			break;
		if (t->due > fh->now)
			clock_to(fh, t->due);
	}
	clock_to(fh, until);
	(void)fakehost_run(fh);
}

/* Waits a little for the outside. True: something may have happened. */
static bool outside_wait(struct fakehost *fh, int ms)
{
	uint64_t t0;
	bool any;

	if (!outside(fh))
		return false;
	do {
		t0 = real_now();
		any = fake_net_poll(fh, ms) > 0;
		(void)pthread_mutex_lock(&fh->lock);
		any |= !olist_empty(&fh->posts);
		(void)pthread_mutex_unlock(&fh->lock);
		/* If the machine stood still, so did the outside. */
	} while (!any && real_now() - t0 > 2 * (uint64_t)ms * FAKEHOST_MS);
	return any;
}

void fakehost_run_until_idle(struct fakehost *fh)
{
	uint64_t until = fakehost_now(fh) + 60 * FAKEHOST_S;
	uint64_t give_up = real_now() + REAL_MAX_NS;

	for (;;) {
		struct orlop_timer *t;

		(void)fakehost_run(fh);
		if (outside_wait(fh, QUIET_MS) && real_now() < give_up)
			continue;
		if (!timer_next(fh, until, true))
			return;
		t = timer_next(fh, until, false);
		if (fh->real)
			fakehost_advance(fh, t->due > real_now() ? t->due - real_now() : 0);
		else if (t->due > fh->now)
			clock_to(fh, t->due);
	}
}

int fakehost_run_until(struct fakehost *fh, int (*cond)(void *arg), void *arg, uint64_t max_ns)
{
	uint64_t now = fakehost_now(fh);
	uint64_t until = max_ns > UINT64_MAX - now ? UINT64_MAX : now + max_ns;
	uint64_t give_up = real_now() + REAL_MAX_NS;

	for (;;) {
		struct orlop_timer *t;

		if (cond(arg))
			return 1;
		if (step(fh))
			continue;
		if (fh->real) {
			now = real_now();
			if (now >= until)
				return 0;
			t = timer_next(fh, until, false);
			if (t)
				now = t->due > now ? t->due - now : 0;
			else
				now = until - now;
			(void)fake_net_poll(fh, now > FAKEHOST_S ? 1000 : (int)(now / FAKEHOST_MS) + 1);
			continue;
		}
		if (outside_wait(fh, QUIET_MS))
			continue;
		t = timer_next(fh, until, false);
		if (t && t->due > fh->now)
			clock_to(fh, t->due);
		if (!t && (!outside(fh) || real_now() > give_up))
			return cond(arg) ? 1 : 0;
	}
}

/* ---- its part of a host ------------------------------------------------------------------------------------- */

void fake_loop_fill(struct orlop_host *h)
{
	h->now_mono = h_now_mono;
	h->now_boot = h_now_mono;
	h->now_wall = h_now_wall;
	h->random = h_random;
	h->timer_new = h_timer_new;
	h->timer_set = h_timer_set;
	h->timer_clear = h_timer_clear;
	h->timer_free = h_timer_free;
	h->post = h_post;
	h->work = h_work;
	h->thread_start = h_thread_start;
	h->thread_join = h_thread_join;
	h->shard_host = h_shard_host;
}

uint32_t fake_timers_drop(struct fakehost *fh, const struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH_SAFE(at, next, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		if (t->priv && t->priv->m == m) {
			h_timer_free(t);
			n++;
		}
	}
	return n;
}

void fake_posts_drop(struct fakehost *fh, const struct fakehost_module *m)
{
	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->posts) {
		struct fake_post *p = OLIST_ENTRY(at, struct fake_post, node);

		if (p->m == m) {
			olist_del(&p->node);
			if (p->fn == work_run)
				free(p->arg);
			free(p);
		}
	}
	(void)pthread_mutex_unlock(&fh->lock);
}

void fake_loop_init(struct fakehost *fh)
{
	(void)pthread_mutex_init(&fh->lock, NULL);
	fh->self = pthread_self();
	fh->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fh->wake_fd < 0)
		fake_die("eventfd: errno %d", errno);
	olist_init(&fh->posts);
	olist_init(&fh->timers);
	fh->now = MONO_START;
	fh->wall_off = WALL_START - MONO_START;
	fh->random = 1;
}

void fake_loop_done(struct fakehost *fh)
{
	struct olist *at;

	while ((at = olist_shift(&fh->posts)))
		free(OLIST_ENTRY(at, struct fake_post, node));
	while ((at = olist_first(&fh->timers)))
		h_timer_free(OLIST_ENTRY(at, struct orlop_timer, node));
	(void)close(fh->wake_fd);
	(void)pthread_mutex_destroy(&fh->lock);
}
