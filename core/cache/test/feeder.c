/*
 * The feeder against a scripted storage: pages, changes, compaction, a storage that is replaced, that
 * lies, that fails; memory that runs out. At the end of each the cache must be what the storage is.
 */
#define OTAP_FAULTS
#include <errno.h>

#include <orlop/inline/msg.h>
#include <orlop/storage.h>

#include "base/otap.h"
#include "cache/feeder.h"
#include "support.h"

#define N_KEYS 60

/* What the storage has: current values and all history. */
struct event {
	int		key;
	int		v;		/* -1: deleted */
	uint64_t	rev;
};

struct world {
	struct t_loop	loop;
	struct core_cache *c;
	struct core_feeder *f;
	struct orlop_resource *r;

	struct event	history[4000];
	int		n_history;
	int		v[N_KEYS];
	uint64_t	mod[N_KEYS];
	uint64_t	rev;
	uint64_t	oldest;
	int		page;		/* items in a range answer */

	/* the request under way */
	int		busy;
	uint32_t	op;
	uint64_t	req_rev;
	char		start[64];
	size_t		start_len;
	orlop_reply_fn	cb;
	void		*arg;

	uint64_t	timer;		/* UINT64_MAX: none */
	int		fail;		/* the next answers fail with this, */
	int		fail_n;		/* so many */
	int		no_news;	/* so many polls are told that there is nothing new: it is closing */
	int		damage;		/* records of this key are rubbish; -1: none */
	int		ranges, polls;
	int		compact_at;	/* after so many pages the storage changes and compacts; 0: never */
};

static int io_request(void *ctx, uint32_t op, const struct orlop_msg *msg, uint64_t timeout_ns,
		      orlop_reply_fn cb, void *arg)
{
	struct world *w = ctx;
	struct orlop_bytes start = orlop_msg_bytes(NULL, msg, ORLOP_STORAGE_T_START);

	(void)timeout_ns;
	if (w->busy)
		abort();
	w->busy = 1;
	w->op = op;
	w->req_rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	w->start_len = start.len;
	if (start.len)
		memcpy(w->start, start.p, start.len);
	w->cb = cb;
	w->arg = arg;
	return 0;
}

static void io_cancel(void *ctx)
{
	((struct world *)ctx)->busy = 0;
}

static void io_timer(void *ctx, uint64_t delay_ns)
{
	((struct world *)ctx)->timer = delay_ns;
}

static struct orlop_bytes io_blob(const struct orlop_blob *b)
{
	(void)b;
	abort();
}

static void key_name(int i, char *buf)
{
	if (i == 0)
		strcpy(buf, "!private");
	else
		snprintf(buf, 48, "%s/%s/k%02d", i % 3 ? "pods" : "nodes", i % 3 ? "ns" : "", i);
}

struct items {
	char		buf[60000];
	size_t		len;
};

static void item_add(struct world *w, struct items *it, int key, int v, uint64_t mod)
{
	struct orlop_bytes rec = t_record("x", v, NULL, 0);
	struct orlop_storage_item head = { .mod_rev = mod, .create_rev = mod };
	char name[64];

	key_name(key, name);
	if (v < 0) {
		head.flags = ORLOP_ITEM_DELETED;
		rec.len = 0;
	}
	if (key == w->damage)
		rec.len = 20;
	head.key_len = (uint32_t)strlen(name);
	head.value_len = (uint32_t)rec.len;
	memset(it->buf + it->len, 0, 64);
	memcpy(it->buf + it->len, &head, sizeof(head));
	memcpy(it->buf + it->len + sizeof(head), name, head.key_len);
	memcpy(it->buf + it->len + sizeof(head) + head.key_len, rec.p, rec.len);
	it->len = (it->len + sizeof(head) + head.key_len + rec.len + 7) & ~(size_t)7;
	free((void *)(uintptr_t)rec.p);
}

static int past[N_KEYS];
static uint64_t past_rev[N_KEYS];

/* The state at a revision. */
static void at_rev(struct world *w, uint64_t rev)
{
	for (int i = 0; i < N_KEYS; i++)
		past[i] = -1;
	for (int i = 0; i < w->n_history && w->history[i].rev <= rev; i++) {
		past[w->history[i].key] = w->history[i].v;
		past_rev[w->history[i].key] = w->history[i].rev;
	}
}

static int by_name(const void *a, const void *b)
{
	char x[64], y[64];

	key_name(*(const int *)a, x);
	key_name(*(const int *)b, y);
	return strcmp(x, y);
}

static int answer_range(struct world *w, struct orlop_msgw *m, struct items *it)
{
	uint64_t rev = w->req_rev ? w->req_rev : w->rev;
	int sorted[N_KEYS], n = 0, more = 0;

	w->ranges++;
	if (rev > w->rev)
		return -EOVERFLOW;
	if (rev < w->oldest)
		return -ESTALE;
	at_rev(w, rev);
	for (int i = 0; i < N_KEYS; i++)
		sorted[i] = i;
	qsort(sorted, N_KEYS, sizeof(sorted[0]), by_name);
	for (int i = 0; i < N_KEYS; i++) {
		int k = sorted[i];
		char name[64];
		size_t len;
		int order;

		key_name(k, name);
		len = strlen(name);
		order = memcmp(name, w->start, len < w->start_len ? len : w->start_len);
		if (past[k] < 0 || order < 0 || (order == 0 && len < w->start_len))
			continue;
		if (n == w->page) {
			more = 1;
			break;
		}
		item_add(w, it, k, past[k], past_rev[k]);
		n++;
	}
	orlop_msgw_u64(m, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_bytes(m, ORLOP_STORAGE_T_ITEMS, it->buf, it->len);
	if (more)
		orlop_msgw_u64(m, ORLOP_STORAGE_T_MORE, 1);
	return 0;
}

/* @return 1: nothing to say yet */
static int answer_changes(struct world *w, struct orlop_msgw *m, struct items *it)
{
	uint64_t upto = w->rev;
	int n = 0;

	w->polls++;
	if (w->req_rev > w->rev)
		return -EOVERFLOW;
	if (w->req_rev < w->oldest)
		return -ESTALE;
	if (w->req_rev == w->rev)
		return 1;
	for (int i = 0; i < w->n_history; i++) {
		struct event *e = &w->history[i];

		if (e->rev <= w->req_rev)
			continue;
		if (n >= 20 && e->rev != w->history[i - 1].rev) {
			upto = w->history[i - 1].rev;
			break;
		}
		item_add(w, it, e->key, e->v, e->rev);
		n++;
	}
	orlop_msgw_u64(m, ORLOP_STORAGE_T_REV, upto);
	orlop_msgw_bytes(m, ORLOP_STORAGE_T_ITEMS, it->buf, it->len);
	return 0;
}

static void change(struct world *w, int key, int v, int same_rev)
{
	if (!same_rev)
		w->rev++;
	w->v[key] = v;
	w->mod[key] = w->rev;
	w->history[w->n_history++] = (struct event){ key, v, w->rev };
}

/* Answers what is asked until nothing moves; timers fire. */
static void turn(struct world *w)
{
	static struct items it;

	for (int i = 0; i < 2000; i++) {
		struct orlop_msgw m;
		struct orlop_msg msg;
		int r;

		(void)t_run(&w->loop);
		if (!w->busy) {
			if (w->timer == UINT64_MAX)
				return;
			t_advance(&w->loop, w->loop.now + w->timer);
			w->timer = UINT64_MAX;
			core_feeder_timer(w->f);
			continue;
		}
		it.len = 0;
		orlop_msgw_init(&m, NULL);
		if (w->fail_n) {
			r = w->fail;
			w->fail_n--;
		} else if (w->no_news && w->op == ORLOP_STORAGE_CHANGES) {
			w->no_news--;
			orlop_msgw_u64(&m, ORLOP_STORAGE_T_REV, w->req_rev);
			r = 0;
		} else if (w->op == ORLOP_STORAGE_REVISION) {
			orlop_msgw_u64(&m, ORLOP_STORAGE_T_REV, w->rev);
			orlop_msgw_u64(&m, ORLOP_STORAGE_T_OLDEST, w->oldest);
			r = 0;
		} else if (w->op == ORLOP_STORAGE_RANGE) {
			r = answer_range(w, &m, &it);
		} else {
			r = answer_changes(w, &m, &it);
		}
		if (r == 1)
			return;
		if (w->compact_at && w->ranges == w->compact_at) {
			w->compact_at = 0;
			for (int k = 1; k < N_KEYS; k += 2)
				change(w, k, k % 3 ? -1 : 777, 0);
			w->oldest = w->rev;
		}
		msg = orlop_msgw_msg(&m);
		w->busy = 0;
		w->cb(w->arg, r, r ? NULL : &msg, NULL, 0);
		orlop_msgw_done(&m);
	}
	abort();
}

/* Keys of the two resources in the cache that disagree with the storage. */
static int differences(struct world *w)
{
	int bad = 0;

	for (int i = 1; i < N_KEYS; i++) {
		struct orlop_resource *r = t_open(w->c, &w->loop, i % 3 ? "pods" : "nodes");
		struct orlop_snapshot *s;
		struct orlop_object *o;
		char name[64];

		key_name(i, name);
		(void)core_cache_snapshot_open(r, &s);
		o = core_cache_snapshot_get(s, t_bytes(i % 3 ? "ns" : ""), t_bytes(strrchr(name, '/') + 1));
		bad += (o != NULL) != (w->v[i] >= 0) || (o && o->rev != w->mod[i]);
		bad += core_cache_snapshot_rev(s) != w->rev;
		core_cache_snapshot_close(s);
		core_cache_close(r);
	}
	return bad;
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct core_feeder_io io = {
		.ctx = w, .request = io_request, .cancel = io_cancel, .timer = io_timer, .blob_bytes = io_blob,
	};

	w->c = t_cache(&w->loop, 0);
	w->timer = UINT64_MAX;
	w->damage = -1;
	w->page = 7;
	w->rev = 100;
	for (int i = 0; i < N_KEYS; i++)
		w->v[i] = -1;
	for (int i = 0; i < N_KEYS; i++)
		if (i % 4)
			change(w, i, i, 0);
	(void)t_register(w->c, "pods", NULL, NULL);
	(void)t_register(w->c, "nodes", NULL, NULL);
	w->r = t_open(w->c, &w->loop, "pods");
	if (core_feeder_new(w->c, &io, &w->f))
		abort();
	core_feeder_start(w->f);
	turn(w);
	return w;
}

static void world_free(struct world *w)
{
	core_feeder_free(w->f);
	core_cache_close(w->r);
	core_cache_free(w->c);
	free(w);
}

static int32_t drain(struct world *w, uint64_t *cursor)
{
	struct orlop_change v[100];
	int32_t n = core_cache_journal_read(w->r, cursor, v, 100);

	for (int32_t i = 0; i < n; i++) {
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
	return n;
}

static void test_usual(void)
{
	struct world *w = world_new();
	struct core_feeder_stat st;
	uint64_t cursor = w->rev;

	ok(w->ranges > 5, "a list of %d pages", w->ranges);
	is_int(differences(w), 0, "the cache is what the storage is");
	change(w, 1, 500, 0);
	change(w, 2, -1, 0);
	change(w, 4, 501, 1);
	change(w, 5, 502, 1);
	turn(w);
	is_int(differences(w), 0, "so it is after changes");
	is_int(drain(w, &cursor), 4, "the journal has them");
	for (int i = 0; i < 500; i++)
		change(w, 1 + i * 7 % (N_KEYS - 1), i % 5 ? i : -1, i % 3 == 0);
	turn(w);
	is_int(differences(w), 0, "and after many");
	w->rev += 5;
	turn(w);
	is_int(core_cache_rev(w->r, NULL), w->rev, "revisions without changes are known");
	core_feeder_stats(w->f, &st);
	ok(st.lists == 1 && st.rev == w->rev && st.damaged == 0, "one list");
	world_free(w);
}

/* Between two pages of a list things change, and the list's revision is compacted away. */
static void test_list_interrupted(void)
{
	struct world *w = world_new();
	int before = w->ranges;

	change(w, 1, 7, 0);
	w->oldest = w->rev;
	w->compact_at = before + 4;
	turn(w);
	is_int(differences(w), 0, "a list that was interrupted begins anew");
	ok(w->ranges > before + 8, "%d pages", w->ranges - before);
	world_free(w);
}

static void test_stale(void)
{
	struct world *w = world_new();
	struct core_feeder_stat st;
	uint64_t cursor = w->rev;

	for (int i = 0; i < 30; i++)
		change(w, 1 + i, i % 2 ? -1 : 900 + i, 0);
	w->oldest = w->rev;
	turn(w);
	is_int(differences(w), 0, "what was missed is there, what was deleted is not");
	is_int(drain(w, &cursor), -ESTALE, "cursors are stale");
	core_feeder_stats(w->f, &st);
	is_int(st.lists, 2, "by a second list");
	change(w, 1, 1, 0);
	cursor = core_cache_rev(w->r, NULL);
	turn(w);
	is_int(drain(w, &cursor), 1, "and on it goes");
	world_free(w);
}

static void test_failures(void)
{
	static const int errors[] = { ECONNRESET, EIO, ETIMEDOUT, EHOSTUNREACH, ENOMEM };
	struct world *w = world_new();
	struct core_feeder_stat st;

	for (unsigned int i = 0; i < 5; i++) {
		w->fail = -errors[i];
		w->fail_n = 4;
		change(w, 1, (int)i + 1000, 0);
		turn(w);
		is_int(differences(w), 0, "error %d, four times: goes on", errors[i]);
	}
	core_feeder_stats(w->f, &st);
	ok(st.lists == 1, "without a new list");
	w->damage = 4;
	change(w, 4, 1, 0);
	change(w, 5, 1, 0);
	turn(w);
	core_feeder_stats(w->f, &st);
	is_int(st.damaged, 1, "a damaged record is counted");
	is_int(core_cache_rev(w->r, NULL), w->rev, "and holds nobody up");
	w->damage = -1;
	change(w, 4, 2, 0);
	turn(w);
	is_int(differences(w), 0, "until it is written again");
	world_free(w);
}

/* A storage in memory that was restarted, or restored from a copy. */
static void test_behind(void)
{
	struct world *w = world_new();
	uint64_t cursor;

	for (int i = 0; i < 20; i++)
		change(w, 1 + i, 50, 0);
	turn(w);
	cursor = core_cache_rev(w->r, NULL);
	w->n_history = 30;
	w->rev = w->history[29].rev;
	for (int i = 0; i < N_KEYS; i++)
		w->v[i] = -1;
	for (int i = 0; i < 30; i++) {
		w->v[w->history[i].key] = w->history[i].v;
		w->mod[w->history[i].key] = w->history[i].rev;
	}
	w->fail = -ECONNRESET;
	w->fail_n = 1;
	turn(w);
	is_int(differences(w), 0, "a storage that went back is followed");
	is_int(drain(w, &cursor), -ESTALE, "who was ahead must list");
	world_free(w);
}

/*
 * One that is replaced: it is closing and has no news, commits what it had accepted, polls are lost with it, its
 * successor has more, with numbers that were skipped or not. In any order: each change is read once.
 */
static void test_replaced(void)
{
	int bad = 0;

	for (unsigned int order = 0; order < 4 * 4 * 4 * 4 * 4; order++) {
		struct world *w = world_new();
		uint64_t cursor = w->rev, from = w->rev;
		struct core_feeder_stat st;
		struct orlop_change v[100];
		int32_t n, want = 0;

		for (unsigned int step = order, i = 0; i < 5; i++, step /= 4) {
			switch (step % 4) {
			case 0:
				change(w, 1, (int)(1000 + i), 0);	/* a pod */
				want++;
				break;
			case 1:
				w->no_news = 2;
				break;
			case 2:
				w->fail = -ECONNRESET;
				w->fail_n = 1;
				break;
			default:
				w->rev += 4096;
			}
			if (order % 3 || i == 4)
				turn(w);
		}
		w->no_news = w->fail_n = 0;
		turn(w);
		n = core_cache_journal_read(w->r, &cursor, v, 100);
		for (int32_t i = 0; i < n; i++) {
			bad += v[i].rev <= from || v[i].type != ORLOP_CHANGE_MODIFIED;
			from = v[i].rev;
			core_cache_object_unref(v[i].object);
			core_cache_object_unref(v[i].prev);
		}
		core_feeder_stats(w->f, &st);
		bad += n != want || cursor != w->rev || differences(w) || st.lists != 1;
		world_free(w);
	}
	is_int(bad, 0, "a storage that is replaced: every change once, in order, without a new list");
}

static void test_rubbish(void)
{
	static const char junk[] = "not an item at all, but longer than its head would be";
	struct world *w = world_new();
	struct orlop_msgw m;
	struct orlop_msg msg;

	for (size_t n = 1; n < sizeof(junk); n++) {
		if (!w->busy) {
			w->timer = UINT64_MAX;
			core_feeder_timer(w->f);
		}
		orlop_msgw_init(&m, NULL);
		orlop_msgw_u64(&m, ORLOP_STORAGE_T_REV, w->rev + 1);
		orlop_msgw_bytes(&m, ORLOP_STORAGE_T_ITEMS, junk, n);
		msg = orlop_msgw_msg(&m);
		w->busy = 0;
		w->cb(w->arg, 0, &msg, NULL, 0);
		orlop_msgw_done(&m);
	}
	is_int(core_cache_rev(w->r, NULL), w->rev, "rubbish is no progress");
	if (!w->busy)
		core_feeder_timer(w->f);
	change(w, 1, 3, 0);
	turn(w);
	is_int(differences(w), 0, "and no harm");
	world_free(w);
}

static void test_memory(void)
{
	struct world *w = world_new();
	int bad = 0, faults = 0;
	uint64_t cursor = w->rev, last = 0;

	for (int round = 0; round < 120; round++) {
		struct orlop_change v[100];
		int32_t n;

		for (int i = 0; i < 8; i++)
			change(w, 1 + (round * 5 + i * 11) % (N_KEYS - 1), i % 4 ? round : -1, 0);
		if (round % 10 == 9)
			w->oldest = w->rev;	/* a list, too */
		otap_fail_nth(1 + round % 37);
		turn(w);
		faults += otap_faulted();
		otap_fail_nth(0);
		bad += differences(w) != 0;
		n = core_cache_journal_read(w->r, &cursor, v, 100);
		if (n < 0)
			cursor = core_cache_rev(w->r, NULL);
		for (int32_t i = 0; i < n; i++) {
			bad += v[i].rev <= last;
			last = v[i].rev;
			core_cache_object_unref(v[i].object);
			core_cache_object_unref(v[i].prev);
		}
	}
	ok(faults > 30, "%d times out of memory", faults);
	is_int(bad, 0, "in the end all is there, once and in order");
	world_free(w);
}

static void test_stop(void)
{
	struct world *w = world_new();

	core_feeder_free(w->f);
	is_int(w->busy, 0, "stopping cancels what is under way");
	w->f = NULL;
	core_feeder_free(NULL);
	world_free(w);
}

/*
 * A restart: the journals are filled from the storage's history, so a watcher from before goes on, also one
 * of a resource that is registered later, and over a gap of numbers.
 */
static void test_history(void)
{
	struct core_feeder_io io = { .request = io_request, .cancel = io_cancel, .timer = io_timer,
				     .blob_bytes = io_blob };
	struct world *w = world_new();
	uint64_t cursor, early = 110, changes = 0, seen = 0, last;
	struct core_feeder_stat st;
	int32_t n, synced = 0, wrong = 0;

	for (int i = 0; i < 300; i++)
		change(w, 1 + i * 7 % (N_KEYS - 1), i % 5 ? i : -1, i % 3 == 0);
	turn(w);
	cursor = w->rev;
	core_feeder_free(w->f);
	core_cache_close(w->r);
	core_cache_free(w->c);

	for (int i = 0; i < 90; i++) {
		change(w, 1 + i % 20, 2000 + i, i % 4 == 3);
		changes += (1 + i % 20) % 3 != 0;
	}
	w->rev += 4096;		/* an unclean end */
	w->oldest = 120;
	w->c = t_cache(&w->loop, 0);
	w->timer = UINT64_MAX;
	io.ctx = w;
	(void)t_register(w->c, "nodes", NULL, NULL);
	w->r = t_open(w->c, &w->loop, "pods");
	if (core_feeder_new(w->c, &io, &w->f))
		abort();
	core_feeder_start(w->f);
	turn(w);
	(void)core_cache_rev(w->r, &synced);
	ok(!synced, "nobody has registered it yet");
	(void)t_register(w->c, "pods", NULL, NULL);
	is_int(differences(w), 0, "the cache is what the storage is");
	(void)core_cache_rev(w->r, &synced);
	ok(synced, "readers are in step");
	last = cursor;
	for (;;) {
		struct orlop_change v[16];

		n = core_cache_journal_read(w->r, &cursor, v, 16);
		for (int32_t i = 0; i < n; i++) {
			seen++;
			wrong += v[i].rev < last || v[i].type == ORLOP_CHANGE_DELETED;
			last = v[i].rev;
			core_cache_object_unref(v[i].object);
			core_cache_object_unref(v[i].prev);
		}
		if (n <= 0)
			break;
	}
	ok(n == 0 && !wrong && seen == changes, "a cursor from before the restart goes on: %llu changes",
	   (unsigned long long)seen);
	ok(cursor == w->rev, "over the gap");
	is_int(drain(w, &early), -ESTALE, "one from before the history is stale");
	core_feeder_stats(w->f, &st);
	ok(st.lists == 1, "by one list");
	change(w, 1, 1, 0);
	turn(w);
	is_int(drain(w, &cursor), 1, "and on it goes");
	world_free(w);
}

/* History that is compacted while it is replayed, or whose storage will not tell. */
static void test_history_lost(void)
{
	struct core_feeder_io io = { .request = io_request, .cancel = io_cancel, .timer = io_timer,
				     .blob_bytes = io_blob };

	for (int way = 0; way < 3; way++) {
		struct world *w = world_new();
		int32_t synced = 0;

		core_feeder_free(w->f);
		core_cache_close(w->r);
		core_cache_free(w->c);
		for (int i = 0; i < 90; i++)
			change(w, 1 + i % 20, 2000 + i, 0);
		w->oldest = 120;
		w->c = t_cache(&w->loop, 0);
		w->timer = UINT64_MAX;
		io.ctx = w;
		(void)t_register(w->c, "pods", NULL, NULL);
		(void)t_register(w->c, "nodes", NULL, NULL);
		w->r = t_open(w->c, &w->loop, "pods");
		if (core_feeder_new(w->c, &io, &w->f))
			abort();
		w->ranges = 0;
		if (way == 0)
			w->compact_at = 3;	/* in the list */
		if (way == 1)
			w->compact_at = 7;	/* behind it */
		w->fail = -EACCES;
		w->fail_n = way == 2;
		core_feeder_start(w->f);
		turn(w);
		(void)core_cache_rev(w->r, &synced);
		ok(synced && differences(w) == 0, "%s", way == 0 ? "compacted in the list" : way == 1 ?
		   "compacted while it is replayed" : "nobody tells how far it goes");
		world_free(w);
	}
}

int main(void)
{
	test_history();
	test_history_lost();
	test_usual();
	test_list_interrupted();
	test_stale();
	test_failures();
	test_behind();
	test_replaced();
	test_rubbish();
	test_memory();
	test_stop();
	return done_testing();
}
