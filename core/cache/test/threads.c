/*
 * Many readers, one feeder, registrations: every snapshot is of one moment (pairs of objects always
 * change together), every journal is complete and in order, every waiter is called. For TSan.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/otap.h"
#include "support.h"

#define N_PAIRS		40
#define N_ROUNDS	3000
#define N_READERS	3

static struct core_cache *cache;
static struct t_loop loop;		/* the feeder's */
static atomic_int finished;

struct worker {
	pthread_t	thread;
	struct t_loop	loop;
	struct orlop_resource *r;
	long		bad;
	long		done;
};

static void *feeder(void *arg)
{
	struct worker *w = arg;
	uint64_t rev = 10;

	for (int i = 0; i < N_ROUNDS; i++) {
		core_cache_begin(cache);
		for (int k = 0; k < 3; k++) {
			struct t_entry e[] = { { 0, "v", i % 2 ? "odd" : "even" } };
			char a[32], b[32];
			int p = (i * 7 + k * 13) % N_PAIRS;

			rev++;
			snprintf(a, sizeof(a), "pods/ns/%d-a", p);
			snprintf(b, sizeof(b), "pods/ns/%d-b", p);
			if ((i + k) % 5 == 0) {
				w->bad += core_cache_del(cache, t_bytes(a), rev) != 0;
				w->bad += core_cache_del(cache, t_bytes(b), rev) != 0;
			} else {
				w->bad += t_put_entries(cache, a, i, rev, e, 1) != 0;
				w->bad += t_put_entries(cache, b, i, rev, e, 1) != 0;
			}
		}
		w->bad += core_cache_commit(cache, rev) != 0;
		t_advance(&loop, loop.now + 1000000);
		if (i % 4 == 0)
			sched_yield();
	}
	atomic_store(&finished, 1);
	return NULL;
}

/* Both of a pair or none, with the same revision. */
static void check_snapshot(struct worker *w)
{
	struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index_key = t_bytes("v") };
	struct orlop_object *o, *last = NULL;
	struct orlop_snapshot *s;
	struct orlop_iter *it;
	uint64_t n = 0;

	if (core_cache_snapshot_open(w->r, &s))
		abort();
	(void)core_cache_iter_open(s, NULL, &it);
	while ((o = core_cache_iter_next(it))) {
		if (n % 2)
			w->bad += o->rev != last->rev || o->rev > core_cache_snapshot_rev(s);
		last = o;
		n++;
	}
	core_cache_iter_close(it);
	w->bad += n != core_cache_snapshot_count(s) || n % 2;
	q.index_value = t_bytes("odd");
	(void)core_cache_iter_open(s, &q, &it);
	for (n = 0; (o = core_cache_iter_next(it)); n++)
		w->bad += core_cache_snapshot_get(s, o->ns, o->name) != o;
	core_cache_iter_close(it);
	w->bad += n % 2;
	core_cache_snapshot_close(s);
	w->done++;
}

static void *reader(void *arg)
{
	struct worker *w = arg;
	struct orlop_snapshot *held = NULL;

	while (!atomic_load(&finished)) {
		check_snapshot(w);
		if (w->done % 10 == 0) {
			core_cache_snapshot_close(held);
			(void)core_cache_snapshot_open(w->r, &held);
		}
		(void)t_run(&w->loop);
	}
	core_cache_snapshot_close(held);
	return NULL;
}

static void noted(void *arg, struct orlop_resource *r, uint64_t rev)
{
	(void)r;
	(void)rev;
	*(int *)arg = 1;
}

/* Follows the journal by notes alone: in the end it has seen all. */
static void *follower(void *arg)
{
	struct worker *w = arg;
	struct orlop_change v[64];
	uint64_t cursor = 10, last = 10;
	int news = 0;
	int32_t n;

	core_cache_watch(w->r, noted, &news);
	while (cursor < 10 + 3 * N_ROUNDS) {
		if (t_run(&w->loop) == 0 || !news) {
			sched_yield();
			continue;
		}
		news = 0;
		while ((n = core_cache_journal_read(w->r, &cursor, v, 64)) != 0) {
			if (n < 0)
				abort();
			for (int32_t i = 0; i < n; i++) {
				w->bad += v[i].rev < last || v[i].object->rev != v[i].rev;
				w->bad += (v[i].type == ORLOP_CHANGE_ADDED) != (v[i].prev == NULL);
				last = v[i].rev;
				core_cache_object_unref(v[i].object);
				core_cache_object_unref(v[i].prev);
			}
			w->done += n;
		}
	}
	return NULL;
}

static int waits_open;

static void on_wait(void *arg, int32_t status)
{
	struct worker *w = arg;

	w->bad += status != 0;
	w->done++;
	waits_open--;
}

static void *waiter(void *arg)
{
	struct worker *w = arg;
	uint64_t rev = 10;

	while (rev < 10 + 3 * N_ROUNDS) {
		rev += 5;
		if (rev > 10 + 3 * N_ROUNDS)
			rev = 10 + 3 * N_ROUNDS;
		waits_open++;
		(void)core_cache_wait(w->r, rev, UINT64_MAX, on_wait, w);
		while (waits_open > 3)
			if (t_run(&w->loop) == 0)
				sched_yield();
	}
	while (waits_open)
		if (t_run(&w->loop) == 0)
			sched_yield();
	return NULL;
}

static void count_info(void *arg, const struct orlop_resource_info *info)
{
	((struct worker *)arg)->done += info->name[0] != '\0';
}

static void *registrar(void *arg)
{
	static const char *const labels[] = { "labels", NULL };
	struct worker *w = arg;

	for (int i = 0; !atomic_load(&finished); i++) {
		char name[32];

		w->bad += t_register(cache, "pods", NULL, i % 2 ? labels : NULL) != 0;
		snprintf(name, sizeof(name), "things%d", i % 5);
		if (i % 2)
			(void)core_cache_retire(cache, name);
		else
			w->bad += t_register(cache, name, NULL, NULL) != 0;
		core_cache_list(cache, count_info, w);
		sched_yield();
	}
	return NULL;
}

static void start(struct worker *w, void *(*fn)(void *))
{
	pthread_mutex_init(&w->loop.lock, NULL);
	w->loop.tail = &w->loop.first;
	if (core_cache_open(cache, "pods", &w->loop, "worker", &w->r, NULL) ||
	    pthread_create(&w->thread, NULL, fn, w))
		abort();
}

static void finish(struct worker *w, const char *what)
{
	pthread_join(w->thread, NULL);
	core_cache_close(w->r);
	(void)t_run(&w->loop);
	is_int(w->bad, 0, "%s: %ld", what, w->done);
}

static void look(void *arg, const struct core_cache_stat *s)
{
	*(uint64_t *)arg += s->generations > 1;
}

int main(void)
{
	static struct worker r[N_READERS], f, j, wt, reg;
	static const char *const labels[] = { "labels", NULL };
	uint64_t left = 0;

	cache = t_cache(&loop, 0);
	(void)t_register(cache, "pods", NULL, labels);
	t_fed(cache, 10);
	for (int i = 0; i < N_READERS; i++)
		start(&r[i], reader);
	start(&j, follower);
	start(&wt, waiter);
	start(&reg, registrar);
	start(&f, feeder);
	finish(&f, "feeder");
	for (int i = 0; i < N_READERS; i++)
		finish(&r[i], "reader: snapshots");
	finish(&j, "follower: changes");
	finish(&wt, "waiter: waits");
	finish(&reg, "registrar: descriptions");
	t_advance(&loop, loop.now + 1000000000);
	core_cache_stats(cache, look, &left);
	is_int(left, 0, "old generations are reclaimed");
	core_cache_free(cache);
	return done_testing();
}
