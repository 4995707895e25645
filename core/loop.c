/*
 * loop.c - event loops on libuv: running, ending, posts; threads; clocks.
 */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/omem.h"
#include "crash.h"
#include "spawn.h"

/* ---- clocks, chance --------------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

uint64_t core_now_mono(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t core_now_boot(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t core_now_wall(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void core_random(void *buf, size_t len)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len > 256 ? 256 : len, 0);

		if (n < 0 && errno != EINTR)
			abort();	/* no kernel that runs containers lacks it: keys must not be guessable */
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

/* ---- owners ------------------------------------------------------------------------------------ */

void core_owner_init(struct core_owner *o)
{
	for (int i = 0; i < CORE_HELD_MAX; i++) {
		atomic_init(&o->n[i], 0);
		olist_init(&o->list[i]);
	}
	o->listen_held = false;
}

const char *core_held_name(enum core_held kind)
{
	static const char *const names[CORE_HELD_MAX] = {
		"timers", "watches", "children", "listeners", "connects", "posts", "jobs", "threads",
		"leads", "requests", "calls", "resources", "feeds",
	};

	return names[kind];
}

/* ---- posts ------------------------------------------------------------------------------------- */

static int post_queue(struct core_loop *l, struct core_post *p)
{
	bool first;

	p->next = NULL;
	pthread_mutex_lock(&l->post_lock);
	if (l->closed) {
		pthread_mutex_unlock(&l->post_lock);
		return -ECANCELED;
	}
	first = !l->post_first;
	*l->post_tail = p;
	l->post_tail = &p->next;
	/* Inside the lock: once it is released the loop may run the post, end, and close the handle. */
	if (first)
		(void)uv_async_send(&l->async);
	pthread_mutex_unlock(&l->post_lock);
	return 0;
}

int core_loop_post_owned(struct core_loop *l, struct core_owner *o, orlop_cb fn, void *arg)
{
	struct core_post *p = OMEM_NEW(struct core_post);
	int r;

	if (!p)
		return -ENOMEM;
	p->fn = fn;
	p->arg = arg;
	p->owner = o;
	p->heap = true;
	core_owner_inc(o, CORE_HELD_POST);
	r = post_queue(l, p);
	if (r) {
		core_owner_dec(o, CORE_HELD_POST);
		omem_free(p);
	}
	return r;
}

int core_loop_post(struct core_loop *l, orlop_cb fn, void *arg)
{
	return core_loop_post_owned(l, NULL, fn, arg);
}

int core_loop_post_node(struct core_loop *l, struct core_post *p, orlop_cb fn, void *arg)
{
	int r;

	if (atomic_exchange_explicit(&p->queued, true, memory_order_acq_rel))
		return 0;
	p->fn = fn;
	p->arg = arg;
	r = post_queue(l, p);
	if (r)
		atomic_store_explicit(&p->queued, false, memory_order_release);
	return r;
}

/* Runs what is queued now; what these post waits for the next turn, so descriptors get theirs. */
static bool posts_run(struct core_loop *l)
{
	struct core_post *p;
	struct core_post *next;
	bool any;

	pthread_mutex_lock(&l->post_lock);
	p = l->post_first;
	l->post_first = NULL;
	l->post_tail = &l->post_first;
	pthread_mutex_unlock(&l->post_lock);
	any = p != NULL;
	for (; p; p = next) {
		orlop_cb fn = p->fn;
		void *arg = p->arg;
		struct core_owner *o = p->owner;
		bool heap = p->heap;
		uint64_t t0;

		next = p->next;
		if (heap)
			omem_free(p);
		else
			atomic_store_explicit(&p->queued, false, memory_order_release);
		atomic_fetch_add_explicit(&l->n_ran, 1, memory_order_relaxed);
		t0 = core_owner_enter(o);
		fn(arg);
		core_owner_leave(o, t0);
		core_owner_dec(o, CORE_HELD_POST);
	}
	return any;
}

/* One writer: plain loads and stores of atomics are enough. */
void core_owner_leave(struct core_owner *o, uint64_t entered)
{
	uint64_t ns;

	if (!o)
		return;
	atomic_store_explicit(&o->in_ns, 0, memory_order_relaxed);
	ns = core_now_mono() - entered;
	atomic_store_explicit(&o->busy_ns, atomic_load_explicit(&o->busy_ns, memory_order_relaxed) + ns,
			      memory_order_relaxed);
	atomic_store_explicit(&o->n_busy, atomic_load_explicit(&o->n_busy, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (ns > atomic_load_explicit(&o->busy_max_ns, memory_order_relaxed))
		atomic_store_explicit(&o->busy_max_ns, ns, memory_order_relaxed);
}

uint64_t core_loop_cpu_ns(struct core_loop *l)
{
	pthread_t self = (pthread_t)atomic_load(&l->self);
	struct timespec ts;
	clockid_t clock;

	if (!self || pthread_getcpuclockid(self, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void loop_async(uv_async_t *a)
{
	posts_run(a->data);
}

static void loop_prepare(uv_prepare_t *p)
{
	struct core_loop *l = p->data;

	atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
	if (atomic_load_explicit(&l->stop, memory_order_acquire))
		uv_stop(&l->uv);
}

/* ---- life -------------------------------------------------------------------------------------- */

int core_loop_new(uint32_t n, const char *name, struct core_loop **ret)
{
	struct core_loop *l = OMEM_NEW(struct core_loop);
	int r;

	if (!l)
		return -ENOMEM;
	r = uv_loop_init(&l->uv);
	if (r) {
		omem_free(l);
		return r;
	}
	l->n = n;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	(void)pthread_mutex_init(&l->post_lock, NULL);
	l->post_tail = &l->post_first;
	olist_init(&l->children);
	r = uv_async_init(&l->uv, &l->async, loop_async);
	if (r) {
		(void)uv_loop_close(&l->uv);
		omem_free(l);
		return r;
	}
	l->async.data = l;
	(void)uv_prepare_init(&l->uv, &l->prepare);
	l->prepare.data = l;
	(void)uv_prepare_start(&l->prepare, loop_prepare);
	uv_unref((uv_handle_t *)&l->prepare);
	*ret = l;
	return 0;
}

static void loop_enter(struct core_loop *l)
{
	atomic_store_explicit(&l->self, (uintptr_t)pthread_self(), memory_order_release);
}

void core_loop_run(struct core_loop *l)
{
	loop_enter(l);
	while (!atomic_load_explicit(&l->stop, memory_order_acquire))
		(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	atomic_store_explicit(&l->stop, false, memory_order_release);
}

void core_loop_turn(struct core_loop *l, bool wait)
{
	loop_enter(l);
	(void)uv_run(&l->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

static void loop_thread(void *arg)
{
	core_loop_run(arg);
}

int core_loop_start(struct core_loop *l)
{
	int r = core_thread_start(l->name, 0, loop_thread, l, &l->thread);

	l->joinable = r == 0;
	return r;
}

void core_loop_stop(struct core_loop *l)
{
	atomic_store_explicit(&l->stop, true, memory_order_release);
	(void)uv_async_send(&l->async);
}

static void close_walk(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void core_loop_free(struct core_loop *l)
{
	if (!l)
		return;
	if (l->joinable) {
		core_loop_stop(l);
		pthread_join(l->thread, NULL);
		l->joinable = false;
	}
	loop_enter(l);
	while (posts_run(l))
		;
	pthread_mutex_lock(&l->post_lock);
	l->closed = true;
	pthread_mutex_unlock(&l->post_lock);
	while (posts_run(l))
		;
	core_spawn_forget(l);
	/* Whatever is still open is somebody's bug; its memory is reported by the leak checker. */
	uv_walk(&l->uv, close_walk, NULL);
	while (uv_run(&l->uv, UV_RUN_DEFAULT) || uv_loop_close(&l->uv) == UV_EBUSY)
		;
	pthread_mutex_destroy(&l->post_lock);
	omem_free(l->fds);
	omem_free(l);
}

bool core_loop_here(const struct core_loop *l)
{
	return atomic_load_explicit(&l->self, memory_order_acquire) == (uintptr_t)pthread_self();
}

/* ---- threads ----------------------------------------------------------------------------------- */

struct thread_start {
	void		(*fn)(void *arg);
	void		*arg;
	char		name[16];
};

static void *thread_main(void *arg)
{
	struct thread_start s = *(struct thread_start *)arg;
	int stack = core_crash_thread_begin();

	omem_free(arg);
	(void)pthread_setname_np(pthread_self(), s.name);
	s.fn(s.arg);
	core_crash_thread_end(stack);
	return NULL;
}

int core_thread_start(const char *name, size_t stack_bytes, void (*fn)(void *), void *arg,
		      pthread_t *ret)
{
	struct thread_start *s = OMEM_NEW(struct thread_start);
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;
	int r;

	if (!s)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	(void)pthread_attr_init(&attr);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	stack_bytes *= 8;	/* instrumented frames are that much larger */
#endif
	if (stack_bytes)
		(void)pthread_attr_setstacksize(&attr, stack_bytes);
	/* Not those that a fault raises: blocked they would kill without a word. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(ret, &attr, thread_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	if (r)
		omem_free(s);
	return r;
}
