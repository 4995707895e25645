/* test/loop.c - posts, timers, descriptors, workers. */
#include <fcntl.h>
#include <sys/socket.h>

#include "kit.h"
#include "work.h"

static void count(void *arg)
{
	(*(int *)arg)++;
}

/* ---- posts ----------------------------------------------------------------------------------------- */

struct order {
	struct core_loop *l;
	int		next;
	int		bad;
	int		ran;
};

struct one {
	struct order	*o;
	int		n;
};

static void in_order(void *arg)
{
	struct one *x = arg;

	if (x->o->next++ != x->n)
		x->o->bad++;
	x->o->ran++;
	free(x);
}

static void post_many(void *arg)
{
	struct order *o = arg;

	for (int i = 0; i < 10000; i++) {
		struct one *x = malloc(sizeof(*x));

		x->o = o;
		x->n = i;
		if (core_loop_post(o->l, in_order, x))
			abort();
	}
}

static void test_posts(struct core_loop *l)
{
	struct order o = { .l = l };
	struct core_post node = { .next = NULL };
	struct core_loop *other;
	pthread_t t;
	int n = 0;
	int m = 0;

	ok(core_thread_start("poster", 0, post_many, &o, &t) == 0, "a thread starts");
	ok(kit_until(l, o.ran == 10000), "10000 posts of another thread arrive");
	is_int(o.bad, 0, "in order");
	pthread_join(t, NULL);

	for (int i = 0; i < 5; i++)
		(void)core_loop_post_node(l, &node, count, &n);
	(void)core_loop_post(l, count, &m);
	ok(kit_until(l, m == 1), "a post behind a node arrives");
	is_int(n, 1, "a node that is queued is not queued again");
	(void)core_loop_post_node(l, &node, count, &n);
	ok(kit_until(l, n == 2), "and can be queued again after it ran");

	ok(core_loop_new(1, "other", &other) == 0 && core_loop_start(other) == 0, "a second loop runs");
	ok(!core_loop_here(other) && core_loop_here(l), "each loop knows its thread");
	n = 0;
	for (int i = 0; i < 1000; i++)
		(void)core_loop_post(other, count, &n);
	core_loop_free(other);
	is_int(n, 1000, "what was posted before the end of a loop has run");
}

/* ---- timers ------------------------------------------------------------------------------------------- */

struct alarm {
	struct orlop_timer *t;
	uint64_t	due;
	int		fired;
	bool		early;
	bool		free;
};

static void ring(void *arg)
{
	struct alarm *a = arg;

	a->early = a->early || core_now_mono() < a->due;
	a->fired++;
	if (a->free)
		core_timer_free(a->t);
}

static void alarm_set(struct alarm *a, uint64_t delay, uint64_t repeat)
{
	a->due = core_now_mono() + delay;
	core_timer_set(a->t, delay, repeat);
}

static void test_timers(struct core_loop *l)
{
	struct core_owner o;
	struct alarm a[20];
	struct alarm r = { .t = NULL };
	struct alarm never = { .t = NULL };
	bool early = false;
	int fired = 0;

	core_owner_init(&o);
	memset(a, 0, sizeof(a));
	for (int i = 0; i < 20; i++) {
		(void)core_timer_new(l, &o, ring, &a[i], &a[i].t);
		a[i].free = i % 2;
		alarm_set(&a[i], (uint64_t)i * 300000 + 1, 0);
	}
	is_int(core_owner_count(&o, CORE_HELD_TIMER), 20, "20 timers are counted");
	(void)core_timer_new(l, &o, ring, &never, &never.t);
	alarm_set(&never, 1000000, 0);
	core_timer_clear(never.t);
	/* Moved away and back: the time that was set last counts. */
	alarm_set(&a[0], 50 * 1000000, 0);
	alarm_set(&a[2], 1000 * KIT_SECOND, 0);
	alarm_set(&a[2], 1000000, 0);
	ok(kit_until(l, a[0].fired && a[2].fired), "a timer that was moved away fires");
	for (int i = 0; i < 20; i++) {
		early = early || a[i].early;
		fired += a[i].fired;
	}
	ok(!early, "no timer is early");
	is_int(fired, 20, "each fires once");
	is_int(never.fired, 0, "a cleared one does not");
	is_int(core_owner_count(&o, CORE_HELD_TIMER), 11, "those freed in their callback are gone");
	(void)core_timer_new(l, &o, ring, &r, &r.t);
	alarm_set(&r, 1000000, 2000000);
	ok(kit_until(l, r.fired >= 5), "a repeating timer repeats");
	ok(core_now_mono() >= r.due + 4 * 2000000, "and keeps its period");
	is_int(core_loop_reclaim(&o), 12, "what is left is freed by its owner's list");
	core_loop_turn(l, false);
	core_timer_free(NULL);
}

/* ---- descriptors ---------------------------------------------------------------------------------------- */

struct watched {
	struct core_loop *l;
	struct orlop_fdwatch *w;
	int		fd;
	int		got;
	uint32_t	events;
	bool		replace;
};

static void event(void *arg, int32_t fd, uint32_t events)
{
	struct watched *w = arg;
	char c;

	w->got++;
	w->events |= events;
	if (events & ORLOP_FD_READ)
		(void)!read(fd, &c, 1);
	if (w->replace) {
		/* Unwatch and close in the callback, then watch another file of the same number. */
		int fds[2];

		w->replace = false;
		core_fd_unwatch(w->w);
		close(w->fd);
		if (pipe(fds) || fds[0] != w->fd || write(fds[1], "x", 1) != 1 ||
		    core_fd_watch(w->l, NULL, fds[0], ORLOP_FD_READ, event, w, &w->w))
			abort();
		close(fds[1]);
	}
}

static void hung_up(void *arg, int32_t fd, uint32_t events)
{
	struct watched *w = arg;

	(void)fd;
	w->events |= events;
	if (++w->got == 3)
		core_fd_update(w->w, 0);
}

static void test_fds(struct core_loop *l)
{
	struct core_owner o;
	struct watched r = { .l = l };
	struct watched w = { .l = l };
	struct watched p = { .l = l };
	int sv[2];
	int fds[2];
	int file;

	core_owner_init(&o);
	(void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv);
	is_int(core_fd_watch(l, &o, sv[0], ORLOP_FD_READ, event, &r, &r.w), 0, "watch for reading");
	is_int(core_fd_watch(l, &o, sv[0], ORLOP_FD_WRITE, event, &w, &w.w), 0,
	       "watch the same descriptor for writing");
	ok(kit_until(l, w.got > 2), "writable, again and again");
	is_int(r.got, 0, "not readable");
	core_fd_update(w.w, 0);
	w.got = 0;
	(void)!write(sv[1], "ab", 2);
	ok(kit_until(l, r.got == 2), "readable while there is something");
	is_int(w.got, 0, "a watch without events is not called");
	is_int(core_owner_count(&o, CORE_HELD_FD), 2, "two watches are counted");
	core_fd_unwatch(r.w);
	core_fd_unwatch(w.w);
	is_int(core_owner_count(&o, CORE_HELD_FD), 0, "none");
	core_fd_unwatch(NULL);

	p.fd = sv[0];
	p.replace = true;
	p.got = 0;
	(void)!write(sv[1], "c", 1);
	(void)core_fd_watch(l, NULL, sv[0], ORLOP_FD_READ, event, &p, &p.w);
	ok(kit_until(l, p.got >= 2), "a descriptor closed and reused inside its callback");
	core_fd_unwatch(p.w);
	close(p.fd);
	close(sv[1]);

	/* The reading end of a pipe goes: POLLERR for the writer, told again until it reacts. */
	(void)!pipe2(fds, O_NONBLOCK | O_CLOEXEC);
	close(fds[0]);
	memset(&w, 0, sizeof(w));
	(void)core_fd_watch(l, &o, fds[1], ORLOP_FD_WRITE, hung_up, &w, &w.w);
	ok(kit_until(l, w.got == 3), "an error is level-triggered too");
	ok(w.events & ORLOP_FD_HUP, "and says HUP");
	core_loop_turn(l, false);
	is_int(w.got, 3, "until the watch asks for nothing");
	is_int(core_fd_reclaim(&o), 1, "a forgotten watch is reclaimed");
	close(fds[1]);

	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	is_int(core_fd_watch(l, NULL, file, ORLOP_FD_READ, event, &r, &r.w), -EPERM, "files cannot be polled");
	close(file);
	is_int(core_fd_watch(l, NULL, -1, ORLOP_FD_READ, event, &r, &r.w), -EBADF, "-1 is no descriptor");
}

/* ---- workers ---------------------------------------------------------------------------------------------- */

struct jobs {
	pthread_mutex_t	lock;
	int		running[4];
	int		most;		/* at once, all keys */
	int		now;
	int		overlap;	/* two of one key at once */
	int		disorder;
	int		last[4];
	int		done;
	int		wrong_thread;
	pthread_t	main;
};

struct job1 {
	struct jobs	*j;
	int		key;
	int		n;
};

static void job_run(void *arg)
{
	struct job1 *x = arg;
	struct jobs *j = x->j;

	pthread_mutex_lock(&j->lock);
	if (x->key && j->running[x->key]++)
		j->overlap++;
	if (x->key && j->last[x->key] != x->n - 1)
		j->disorder++;
	j->last[x->key] = x->n;
	if (++j->now > j->most)
		j->most = j->now;
	pthread_mutex_unlock(&j->lock);
	for (int i = 0; i < 4; i++)
		(void)sched_yield();
	pthread_mutex_lock(&j->lock);
	j->now--;
	j->running[x->key]--;
	pthread_mutex_unlock(&j->lock);
}

static void job_done(void *arg)
{
	struct job1 *x = arg;

	if (!pthread_equal(pthread_self(), x->j->main))
		x->j->wrong_thread++;
	x->j->done++;
	free(x);
}

static void test_work(struct core_loop *l)
{
	struct jobs j = { .lock = PTHREAD_MUTEX_INITIALIZER, .main = pthread_self() };
	struct core_workers *w;
	struct core_workq *q;
	struct core_owner o;
	int threads = kit_threads();

	core_owner_init(&o);
	ok(core_workers_new(8, &w) == 0 && core_workq_new(w, 3, &q) == 0, "workers");
	is_int(core_workers_threads(w), 0, "no thread before the first job");
	for (int n = 1; n <= 200; n++)
		for (int key = 0; key < 4; key++) {
			struct job1 *x = malloc(sizeof(*x));

			x->j = &j;
			x->key = key;
			x->n = n;
			if (core_work(q, l, &o, (uint64_t)key, job_run, job_done, x))
				abort();
		}
	ok(kit_until(l, j.done == 800), "800 jobs are done");
	is_int(j.overlap, 0, "jobs of one key never overlap");
	is_int(j.disorder, 0, "and keep their order");
	ok(j.most <= 3, "never more than the limit at once (%d)", j.most);
	is_int(j.wrong_thread, 0, "done runs on the loop");
	ok(core_workers_threads(w) <= 8, "%u threads", core_workers_threads(w));
	ok(kit_until(l, core_owner_count(&o, CORE_HELD_WORK) == 0), "nothing is counted any more");
	is_int(core_workq_pending(q), 0, "nothing is pending");
	core_workq_free(q);
	core_workers_free(w);
	ok(kit_threads_end(threads), "all threads are joined");
}

int main(void)
{
	struct core_loop *l;
	int fds;

	kit_settle();
	fds = kit_fds();
	if (core_loop_new(0, "main", &l))
		otap_bail_out("no loop");
	core_loop_turn(l, false);
	test_posts(l);
	test_timers(l);
	test_fds(l);
	test_work(l);
	core_loop_free(l);
	is_int(kit_fds(), fds, "no descriptor is left");
	return done_testing();
}
