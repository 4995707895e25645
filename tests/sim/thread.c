/*
 * thread.c - threads, locks and conditions of simulated processes: coroutines of one real thread.
 *
 * A thread gives up its turn where it would block, and nowhere else but at places where another thread coming
 * between is worth trying (sim_maybe_yield(): a lock let go, a condition signalled, a packet sent), and only
 * while it holds no lock: so a driver, which cannot wait, finds every lock free.
 */
#include "inside.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/omem.h"

#define STACK_BYTES	(512u << 10)
#define SELF_BASE	UINT64_C(0x510000000)

static struct sim_thread *here;
static ucontext_t driver;

struct sim_thread *sim_thread_here(void)
{
	return here;
}

struct sim_proc *sim_proc_here(void)
{
	return here ? here->proc : NULL;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void thread_main(unsigned lo, unsigned hi)
{
	struct sim_thread *t = (struct sim_thread *)((uintptr_t)lo | (uintptr_t)hi << 32);

	t->ret = t->fn(t->arg);
	t->state = SIM_THREAD_DONE;
	sim_wake(t->proc, t, true);
	(void)swapcontext(&t->uc, &driver);
	abort();
}

/* On the list of those that can run: the world's, or while its process pauses that one's. */
static void thread_queue(struct sim_thread *t)
{
	struct sim *w = t->proc->w;

	t->state = SIM_THREAD_READY;
	if (t->proc->paused_until > w->now) {
		olist_append(&t->proc->held, &t->ready);
	} else {
		olist_append(&w->ready, &t->ready);
		w->n_ready++;
	}
}

struct sim_thread *sim_thread_new(struct sim_proc *p, const char *name, void *(*fn)(void *), void *arg)
{
	struct sim_thread *t = OMEM_NEW(struct sim_thread);
	uintptr_t u = (uintptr_t)t;

	if (!t)
		return NULL;
	t->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->stack == MAP_FAILED) {
		omem_free(t);
		return NULL;
	}
	t->proc = p;
	t->id = ++p->w->next_thread;
	t->fn = fn;
	t->arg = arg;
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	(void)getcontext(&t->uc);
	t->uc.uc_stack.ss_sp = t->stack;
	t->uc.uc_stack.ss_size = STACK_BYTES;
	makecontext(&t->uc, (void (*)(void))thread_main, 2, (unsigned)u, (unsigned)(u >> 32));
	olist_init(&t->ready);
	olist_append(&p->threads, &t->node);
	thread_queue(t);
	return t;
}

static void thread_free(struct sim_thread *t)
{
	if (!olist_empty(&t->ready) && t->proc->paused_until <= t->proc->w->now)
		t->proc->w->n_ready--;
	olist_del(&t->ready);
	olist_del(&t->node);
	(void)munmap(t->stack, STACK_BYTES);
	omem_free(t);
}

void sim_threads_drop(struct sim_proc *p)
{
	while (!olist_empty(&p->threads)) {
		struct sim_thread *t = OLIST_ENTRY(olist_first(&p->threads), struct sim_thread, node);

		if (t == here)
			sim_die("a thread of %s ends its own process", p->name);
		thread_free(t);
	}
}

void sim_thread_run(struct sim_thread *t)
{
	olist_del(&t->ready);
	here = t;
	errno = t->saved_errno;
	(void)swapcontext(&driver, &t->uc);
	here = NULL;
}

static void switch_away(struct sim_thread *t)
{
	t->saved_errno = errno;
	(void)swapcontext(&t->uc, &driver);
	errno = t->saved_errno;
}

void sim_yield(void)
{
	struct sim_thread *t = here;

	if (!t)
		sim_die("the driver cannot yield");
	thread_queue(t);
	switch_away(t);
}

void sim_maybe_yield(void)
{
	if (here && !here->locks && sim_w->preempt && sim_host_chance(sim_w->preempt))
		sim_yield();
}

bool sim_block(const void *on, uint64_t until_ns)
{
	struct sim_thread *t = here;

	if (!t)
		sim_die("the driver cannot wait");
	t->state = SIM_THREAD_BLOCKED;
	t->wait_on = on;
	t->wait_seq++;
	t->timed_out = false;
	if (until_ns != SIM_NEVER)
		sim_at_thread(t->proc->w, until_ns, t);
	switch_away(t);
	return !t->timed_out;
}

void sim_thread_wake(struct sim_thread *t, bool timed_out)
{
	if (t->state != SIM_THREAD_BLOCKED)
		return;
	t->timed_out = timed_out;
	t->wait_on = NULL;
	thread_queue(t);
}

void sim_wake(struct sim_proc *p, const void *on, bool all)
{
	OLIST_FOREACH_SAFE(n, tmp, &p->threads) {
		struct sim_thread *t = OLIST_ENTRY(n, struct sim_thread, node);

		if (t->state == SIM_THREAD_BLOCKED && t->wait_on == on) {
			sim_thread_wake(t, false);
			/* The longest waiting is the first next time: keep turns fair. */
			if (!all)
				return;
		}
	}
}

/* ---- in place of the C library ---------------------------------------------------------------------- */

SIM_OURS int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	struct sim_thread *t;

	(void)attr;
	if (!here)
		sim_die("the driver cannot start threads");
	t = sim_thread_new(here->proc, "thread", fn, arg);
	if (!t)
		return EAGAIN;
	*ret = (pthread_t)(SELF_BASE + t->id);
	return 0;
}

static struct sim_thread *thread_find(pthread_t id)
{
	OLIST_FOREACH(n, &here->proc->threads) {
		struct sim_thread *t = OLIST_ENTRY(n, struct sim_thread, node);

		if (SELF_BASE + t->id == (uint64_t)id)
			return t;
	}
	sim_die("no such thread in %s", here->proc->name);
}

SIM_OURS int pthread_join(pthread_t id, void **ret)
{
	struct sim_thread *t = thread_find(id);

	while (t->state != SIM_THREAD_DONE)
		(void)sim_block(t, SIM_NEVER);
	if (ret)
		*ret = t->ret;
	thread_free(t);
	return 0;
}

SIM_OURS pthread_t pthread_self(void)
{
	return (pthread_t)(here ? SELF_BASE + here->id : 1);
}

SIM_OURS int pthread_setname_np(pthread_t id, const char *name)
{
	if (here)
		(void)snprintf(thread_find(id)->name, sizeof(here->name), "%s", name);
	return 0;
}

SIM_OURS int pthread_getcpuclockid(pthread_t id, clockid_t *ret)
{
	(void)id;
	*ret = CLOCK_MONOTONIC;
	return 0;
}

SIM_OURS int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	if (old)
		(void)sigemptyset(old);
	return 0;
}

static int real_unlock(pthread_mutex_t *m)
{
	static int (*fn)(pthread_mutex_t *m);

	if (!fn)
		*(void **)&fn = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	return fn(m);
}

SIM_OURS int pthread_mutex_lock(pthread_mutex_t *m)
{
	int r;

	while ((r = pthread_mutex_trylock(m)) == EBUSY) {
		if (!here)
			sim_die("a lock is held between two steps");
		(void)sim_block(m, SIM_NEVER);
	}
	if (here && r == 0)
		here->locks++;
	return r;
}

SIM_OURS int pthread_mutex_unlock(pthread_mutex_t *m)
{
	int r = real_unlock(m);

	if (here) {
		if (here->locks)	/* one taken by trylock is not counted */
			here->locks--;
		sim_wake(here->proc, m, true);
		sim_maybe_yield();
	}
	return r;
}

static uint64_t wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until)
{
	uint32_t locks = here->locks;
	bool woken;

	(void)real_unlock(m);
	sim_wake(here->proc, m, true);
	here->locks = 0;
	woken = sim_block(c, until);
	(void)pthread_mutex_lock(m);
	here->locks = locks;
	return woken;
}

SIM_OURS int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	if (!here)
		sim_die("the driver cannot wait for a condition");
	(void)wait_until(c, m, SIM_NEVER);
	return 0;
}

/* All of ours count monotonic time; a process' own clock begins when its machine was switched on. */
SIM_OURS int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts)
{
	uint64_t at = (uint64_t)ts->tv_sec * SIM_S + (uint64_t)ts->tv_nsec;
	struct timespec now;
	uint64_t now_ns;

	if (!here)
		sim_die("the driver cannot wait for a condition");
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * SIM_S + (uint64_t)now.tv_nsec;
	if (at <= now_ns)
		at = now_ns + 1;
	return wait_until(c, m, sim_w->now + (at - now_ns)) ? 0 : ETIMEDOUT;
}

SIM_OURS int pthread_cond_signal(pthread_cond_t *c)
{
	if (here)
		sim_wake(here->proc, c, false);
	return 0;
}

SIM_OURS int pthread_cond_broadcast(pthread_cond_t *c)
{
	if (here)
		sim_wake(here->proc, c, true);
	return 0;
}

/* Never with a real one of ours: nothing to tear down, and the real one would wait for waiters. */
SIM_OURS int pthread_cond_destroy(pthread_cond_t *c)
{
	(void)c;
	return 0;
}

SIM_OURS int usleep(useconds_t us)
{
	if (here)
		(void)sim_block(NULL, sim_w->now + (uint64_t)us * 1000);
	return 0;
}

SIM_OURS int nanosleep(const struct timespec *ts, struct timespec *rest)
{
	(void)rest;
	if (here)
		(void)sim_block(NULL, sim_w->now + (uint64_t)ts->tv_sec * SIM_S + (uint64_t)ts->tv_nsec);
	return 0;
}

#ifdef __SANITIZE_ADDRESS__
/* A crash leaves memory by design, and coroutines' stacks are not where the sanitizer looks for them. */
const char *__asan_default_options(void);
SIM_OURS const char *__asan_default_options(void)
{
	return "detect_leaks=0:detect_stack_use_after_return=0";
}
#endif
