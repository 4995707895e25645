/*
 * The cache as readers meet it: journal and cursors, registrations that come and go, notes that get
 * lost, waiters, lists anew, and memory that runs out at every step.
 */
#define OTAP_FAULTS
#include <errno.h>

#include "base/otap.h"
#include "support.h"

/* ---- journal ------------------------------------------------------------------------------------- */

static void drop(struct core_cache *c, struct orlop_change *v, int32_t n)
{
	(void)c;
	for (int32_t i = 0; i < n; i++) {
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
}

static int32_t rd(struct orlop_resource *r, uint64_t *cursor, struct orlop_change *v, uint32_t max)
{
	return core_cache_journal_read(r, cursor, v, max);
}

static void test_journal(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods"), *other;
	struct orlop_change v[16];
	uint64_t cursor = 10;

	is_int(t_register(c, "pods", NULL, NULL), 0, "registered");
	t_fed(c, 10);
	is_int(rd(r, &cursor, v, 16), 0, "nothing yet");
	(void)t_change(c, "pods/a/x", 1, 11);
	(void)t_change(c, "pods/a/x", 2, 12);
	(void)t_change(c, "pods/a/x", -1, 13);
	(void)t_change(c, "pods/a/x", -1, 14);	/* there is none: no entry */
	is_int(rd(r, &cursor, v, 16), 3, "three changes");
	ok(v[0].type == ORLOP_CHANGE_ADDED && !v[0].prev && v[0].rev == 11, "added");
	ok(v[1].type == ORLOP_CHANGE_MODIFIED && v[1].prev == v[0].object && v[1].rev == 12, "modified");
	ok(v[2].type == ORLOP_CHANGE_DELETED && v[2].prev == v[1].object && v[2].rev == 13 &&
	   v[2].object->rev == 13, "deleted, with its revision");
	is_int(cursor, 14, "the cursor is as far as the cache");
	drop(c, v, 3);
	core_cache_begin(c);
	(void)t_put(c, "pods/a/1", 1, 20);
	(void)t_put(c, "pods/a/2", 1, 21);
	(void)t_put(c, "pods/a/3", 1, 21);
	(void)t_put(c, "pods/a/4", 1, 21);
	(void)t_put(c, "pods/a/5", 1, 22);
	is_int(rd(r, &cursor, v, 16), 0, "a batch is not seen before its commit");
	(void)core_cache_commit(c, 22);
	is_int(rd(r, &cursor, v, 2), 1, "a revision is not split");
	is_int(cursor, 20, "the cursor stands before it");
	drop(c, v, 1);
	is_int(rd(r, &cursor, v, 2), -EMSGSIZE, "nor given in part");
	is_int(rd(r, &cursor, v, 4), 4, "with room it comes whole");
	drop(c, v, 4);
	cursor = 9;
	is_int(rd(r, &cursor, v, 16), -ESTALE, "from before the list");
	other = t_open(c, &l, "nodes");
	is_int(t_register(c, "nodes", NULL, NULL), 0, "another");
	cursor = 22;
	(void)t_change(c, "nodes//n", 1, 30);
	is_int(rd(r, &cursor, v, 16), 0, "nothing of ours");
	is_int(cursor, 30, "but the cursor goes along");
	is_int(core_cache_rev(r, NULL), 30, "so does the revision");
	cursor = 31;
	is_int(rd(r, &cursor, v, 16), 0, "a cursor from the future");
	t_fed(c, 40);
	is_int(rd(r, &cursor, v, 16), -ESTALE, "a list anew");
	cursor = 40;
	is_int(rd(r, &cursor, v, 16), 0, "go on from there");
	t_fed(c, 35);
	is_int(rd(r, &cursor, v, 16), -ESTALE, "a storage that forgot: cursors from what was");
	core_cache_close(r);
	core_cache_close(other);
	core_cache_free(c);
}

static uint64_t journal_n, journal_bytes;

static void journal_look(void *arg, const struct core_cache_stat *s)
{
	if (strcmp(s->name, arg) == 0) {
		journal_n = s->journal_entries;
		journal_bytes = s->journal_bytes;
	}
}

static void test_journal_bounds(void)
{
	struct orlop_resource_info info = {
		.size = sizeof(info), .name = "pods", .journal_bytes = 100000,
		.journal_ns = UINT64_C(60000000000),
	};
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods");
	struct orlop_change *v = calloc(4096, sizeof(*v));
	uint64_t cursor = 10, rev = 10, first = 0;
	int split = 0;
	int32_t n;

	(void)core_cache_register(c, &info, NULL);
	t_fed(c, 10);
	for (int i = 0; i < 3000; i++) {
		core_cache_begin(c);
		rev++;
		for (int k = 0; k < 3; k++) {
			char key[32];

			snprintf(key, sizeof(key), "pods/a/%d", k);
			(void)t_put(c, key, i, rev);
		}
		(void)core_cache_commit(c, rev);
		if (i % 10 == 0) {
			uint64_t from = core_cache_journal_oldest(r);

			core_cache_stats(c, journal_look, (void *)(uintptr_t)"pods");
			n = rd(r, &from, v, 4096);
			split += n % 3 != 0 || (uint64_t)n != journal_n;
			drop(c, v, n);
		}
	}
	is_int(split, 0, "no revision ever loses a part");
	is_int(rd(r, &cursor, v, 4096), -ESTALE, "the journal has wrapped");
	core_cache_stats(c, journal_look, (void *)(uintptr_t)"pods");
	ok(journal_bytes <= 100000 && journal_bytes > 90000, "it holds what it may: %lu", (unsigned long)journal_bytes);
	cursor = core_cache_journal_oldest(r);
	first = cursor + 1;
	n = rd(r, &cursor, v, 4096);
	ok(n > 100 && n % 3 == 0 && (uint64_t)n == journal_n, "whole revisions: %d", n);
	ok(v[0].rev == first && v[2].rev == first && v[3].rev == first + 1, "from the oldest on");
	ok(v[n - 1].rev == rev && cursor == rev, "to the newest");
	drop(c, v, n);
	/* Time passes; another resource's commits age this one's journal. */
	(void)t_register(c, "nodes", NULL, NULL);
	__atomic_store_n(&l.now, l.now + UINT64_C(70000000000), __ATOMIC_RELAXED);
	for (int i = 0; i < 20; i++)
		(void)t_change(c, "nodes//n", i, ++rev);
	t_advance(&l, l.now + 1);
	core_cache_stats(c, journal_look, (void *)(uintptr_t)"pods");
	is_int(journal_n, 0, "entries age although nothing changes");
	is_int(journal_bytes, 0, "and are accounted for");
	free(v);
	core_cache_close(r);
	core_cache_free(c);
}

/* ---- registry ---------------------------------------------------------------------------------------- */

static int list_n;
static void count_info(void *arg, const struct orlop_resource_info *info)
{
	(void)arg;
	list_n += strcmp(info->name, "resources") != 0;
}

static void test_registry(void)
{
	static const char *const fields[] = { "spec.nodeName", "status.phase", NULL };
	static const char *const bad[] = { "spec.other", NULL };
	struct orlop_error err = { .size = sizeof(err) };
	struct orlop_resource_info info = { .size = sizeof(info), .name = "pods" };
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods"), *res = t_open(c, &l, "resources");
	struct orlop_snapshot *s = NULL, *s2 = NULL;
	const struct orlop_resource_info *before;
	struct orlop_change v[8];
	uint64_t cursor = 0, rcursor;
	int32_t synced = 9, n;

	(void)core_cache_rev(res, &synced);
	is_int(synced, 1, "\"resources\" is always there");
	rcursor = core_cache_rev(res, NULL);
	core_cache_begin(c);
	core_cache_list_begin(c);
	(void)t_put(c, "pods/a/x", 1, 5);
	(void)core_cache_list_end(c);
	(void)core_cache_commit(c, 10);
	is_int(core_cache_rev(r, &synced), 0, "not registered: no revision");
	is_int(synced, 0, "not synced");
	ok(core_cache_info(r) == NULL && core_cache_index(r, "labels") == -ENOENT, "not described");
	(void)core_cache_snapshot_open(r, &s);
	is_int(core_cache_snapshot_count(s), 0, "and empty");
	core_cache_snapshot_close(s);
	is_int(rd(r, &cursor, v, 8), 0, "a cursor of nothing has nothing new");
	info.indexed = bad;
	is_int(core_cache_register(c, &info, &err), -EINVAL, "an index that is no field: %s", err.msg);
	info.size = 8;
	is_int(core_cache_register(c, &info, &err), -EINVAL, "a short description");
	is_int(t_register(c, "pods", fields, fields), 0, "registered");
	is_int(core_cache_rev(r, &synced), 10, "its revision is the cache's");
	is_int(synced, 1, "synced");
	is_int(core_cache_index(r, "status.phase"), 4, "fields have numbers");
	is_int(core_cache_index(r, "owner"), 1, "so have the usual ones");
	is_int(rd(r, &cursor, v, 8), -ESTALE, "who had nothing must list");
	(void)core_cache_snapshot_open(r, &s);
	is_int(core_cache_snapshot_count(s), 1, "what was stored before is there");
	before = core_cache_info(r);
	is_int(t_register(c, "pods", fields + 1, NULL), 0, "registered again");
	is_int(core_cache_index(r, "status.phase"), 3, "with other numbers");
	ok(before->n_fields == 2 && strcmp(before->fields[0], "spec.nodeName") == 0, "the old description is valid");
	list_n = 0;
	core_cache_list(c, count_info, NULL);
	is_int(list_n, 1, "one in the list");
	n = rd(res, &rcursor, v, 8);
	ok(n == 2 && v[0].type == ORLOP_CHANGE_ADDED && v[1].type == ORLOP_CHANGE_MODIFIED, "\"resources\" has it too");
	ok(memmem(v[1].object->json.p, v[1].object->json.len, "\"fields\":[\"status.phase\"]", 25) != NULL, "%.*s",
	   (int)v[1].object->json.len, v[1].object->json.p);
	drop(c, v, n);
	is_int(core_cache_retire(c, "pods"), 0, "retired");
	is_int(core_cache_retire(c, "pods"), -ENOENT, "once");
	(void)core_cache_snapshot_open(r, &s2);
	is_int(core_cache_snapshot_count(s2), 0, "empty again");
	is_int(core_cache_snapshot_count(s), 1, "a held snapshot is what it was");
	cursor = 10;
	is_int(rd(r, &cursor, v, 8), -ESTALE, "cursors are stale");
	n = rd(res, &rcursor, v, 8);
	ok(n == 1 && v[0].type == ORLOP_CHANGE_DELETED, "\"resources\" knows");
	drop(c, v, n);
	core_cache_snapshot_close(s2);
	core_cache_close(r);
	core_cache_snapshot_close(s);
	core_cache_close(res);
	core_cache_free(c);
}

/* ---- notes -------------------------------------------------------------------------------------------- */

static int noted;
static uint64_t noted_rev;

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	(void)arg;
	(void)res;
	noted++;
	noted_rev = rev;
}

static void test_notes(int lossy)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, lossy);
	struct orlop_resource *r = t_open(c, &l, "pods");
	struct orlop_resource *many[40];

	(void)t_register(c, "pods", NULL, NULL);
	t_fed(c, 10);
	noted = 0;
	core_cache_watch(r, on_note, NULL);
	is_int(noted, 0, "not from inside");
	(void)t_run(&l);
	is_int(noted, 1, "once soon after the call");
	for (int i = 0; i < 5; i++)
		(void)t_change(c, "pods/a/x", i, 11 + (uint64_t)i);
	(void)t_run(&l);
	ok(noted == 2 && noted_rev == 15, "several changes, one note");
	if (lossy) {
		l.lose_notes = 3;
		(void)t_change(c, "pods/a/x", 1, 20);
		(void)t_run(&l);
		is_int(noted, 2, "a note gets lost");
		t_advance(&l, l.now + 500000000);
		is_int(noted, 3, "and is repeated until it arrives");
		(void)t_change(c, "pods/a/x", 1, 21);
		l.noted[l.n_noted++] = l.noted[0];
		(void)t_run(&l);
		is_int(noted, 4, "one that arrives twice counts once");
		t_advance(&l, l.now + 5000000000);
		is_int(noted, 4, "and then it is quiet");
		ok(l.kick_at == UINT64_MAX, "nothing wakes an idle cache");
	}
	for (int i = 0; i < 40; i++) {
		many[i] = t_open(c, &l, "pods");
		core_cache_watch(many[i], on_note, NULL);
	}
	(void)t_run(&l);
	noted = 0;
	(void)t_change(c, "pods/a/x", 1, 30);
	for (int i = 0; i < 10; i++)
		core_cache_close(many[i]);	/* with notes under way */
	(void)t_run(&l);
	is_int(noted, 31, "all who are still there");
	(void)t_change(c, "pods/a/x", 1, 31);
	core_cache_watch(r, NULL, NULL);
	noted = 0;
	(void)t_run(&l);
	is_int(noted, 30, "but who does not watch any more");
	for (int i = 10; i < 40; i++)
		core_cache_close(many[i]);
	core_cache_close(r);
	core_cache_free(c);
}

/* ---- waiters -------------------------------------------------------------------------------------------- */

static int order[16], n_order;
static int32_t results[16];

static void on_wait(void *arg, int32_t status)
{
	results[(intptr_t)arg] = status;
	order[n_order++] = (int)(intptr_t)arg;
}

static void waiting(struct orlop_resource *r, uint64_t rev, uint64_t timeout_ns, intptr_t who)
{
	results[who] = 77;
	(void)core_cache_wait(r, rev, timeout_ns, on_wait, (void *)who);
}

static void test_waiters(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods"), *res = t_open(c, &l, "resources");

	(void)t_register(c, "pods", NULL, NULL);
	t_fed(c, 10);
	n_order = 0;
	waiting(r, 10, 1000, 0);
	is_int(results[0], 77, "not from inside");
	(void)t_run(&l);
	is_int(results[0], 0, "there already");
	waiting(r, 13, UINT64_MAX, 1);
	waiting(r, 11, 1000000000, 2);
	waiting(r, 12, 1000000000, 3);
	n_order = 0;
	(void)t_change(c, "nodes//n", 1, 12);
	(void)t_run(&l);
	ok(n_order == 2 && order[0] == 2 && order[1] == 3, "in order of revisions, whatever moved");
	t_advance(&l, l.now + 2000000000);
	is_int(results[1], 77, "without a deadline");
	waiting(r, 99, 500000000, 4);
	t_advance(&l, l.now + 400000000);
	is_int(results[4], 77, "not yet");
	t_advance(&l, l.now + 200000000);
	is_int(results[4], -ETIMEDOUT, "timed out");
	waiting(res, core_cache_rev(res, NULL) + 1, UINT64_MAX, 5);
	(void)t_change(c, "nodes//n", 2, 13);
	(void)t_run(&l);
	ok(results[1] == 0 && results[5] == 77, "\"resources\" counts for itself");
	(void)t_register(c, "nodes", NULL, NULL);
	(void)t_run(&l);
	is_int(results[5], 0, "and moves with registrations");
	waiting(r, 99, UINT64_MAX, 6);
	waiting(r, 14, UINT64_MAX, 7);
	(void)t_change(c, "nodes//n", 3, 14);	/* 7 is posted */
	core_cache_close(r);
	ok(results[6] == -ECANCELED && results[7] == -ECANCELED, "closing cancels");
	n_order = 0;
	(void)t_run(&l);
	is_int(n_order, 0, "and nothing comes later");
	r = t_open(c, &l, "pods");
	waiting(r, 15, UINT64_MAX, 8);
	l.refuse = 1;
	(void)t_change(c, "nodes//n", 4, 15);
	is_int(results[8], 77, "a loop that is ending");
	core_cache_close(r);
	is_int(results[8], -ECANCELED, "is told at the close");
	core_cache_close(res);
	core_cache_free(c);
}

/* ---- lists ------------------------------------------------------------------------------------------------ */

static int has(struct orlop_resource *r, const char *name)
{
	struct orlop_snapshot *s;
	struct orlop_object *o;
	int v = -1;

	(void)core_cache_snapshot_open(r, &s);
	o = core_cache_snapshot_get(s, t_bytes("a"), t_bytes(name));
	if (o)
		v = (int)o->rev;
	core_cache_snapshot_close(s);
	return v;
}

static void test_lists(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods");
	struct orlop_snapshot *s;
	struct orlop_object *o, *same;
	int32_t synced;

	(void)t_register(c, "pods", NULL, NULL);
	core_cache_begin(c);
	core_cache_list_begin(c);
	(void)t_put(c, "pods/a/x", 1, 5);
	core_cache_pause(c);
	(void)core_cache_rev(r, &synced);
	is_int(synced, 0, "half a list");
	is_int(has(r, "x"), -1, "shows nothing");
	core_cache_begin(c);
	(void)t_put(c, "pods/a/y", 1, 6);
	(void)t_put(c, "pods/a/z", 1, 7);
	(void)core_cache_list_end(c);
	(void)core_cache_commit(c, 10);
	ok(has(r, "x") == 5 && has(r, "z") == 7, "the rest of it shows all");
	(void)core_cache_snapshot_open(r, &s);
	o = core_cache_snapshot_get(s, t_bytes("a"), t_bytes("x"));
	core_cache_begin(c);
	core_cache_list_begin(c);
	(void)t_put(c, "pods/a/nonsense", 1, 19);
	core_cache_list_begin(c);	/* begun again: that one is not in it any more */
	(void)t_put(c, "pods/a/x", 1, 5);
	(void)t_put(c, "pods/a/z", 2, 20);
	core_cache_pause(c);
	ok(has(r, "y") == 6 && has(r, "z") == 7, "unseen before its end");
	(void)t_register(c, "pods", NULL, (const char *const[]){ "labels", NULL });
	ok(has(r, "y") == 6 && has(r, "z") == 7, "also when somebody registers meanwhile");
	core_cache_begin(c);
	(void)core_cache_list_end(c);
	(void)core_cache_commit(c, 21);
	ok(has(r, "y") == -1 && has(r, "z") == 20 && has(r, "nonsense") == -1, "what is not in it is gone");
	core_cache_snapshot_close(s);
	(void)core_cache_snapshot_open(r, &s);
	same = core_cache_snapshot_get(s, t_bytes("a"), t_bytes("x"));
	ok(o == same, "what did not change is the same object");
	core_cache_snapshot_close(s);
	is_int(t_change(c, "!private/a/x", 1, 22), 0, "private keys are left alone");
	is_int(t_change(c, "nothing/x", 1, 23), 0, "so is what is no key of an object");
	is_int(t_change(c, "pods/a/", -1, 24), 0, "or of none");
	core_cache_close(r);
	core_cache_free(c);
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

/* One batch with indexes, tried until it succeeds, each time with another allocation failing. */
static void test_memory(void)
{
	static const char *const labels[] = { "labels", NULL };
	static const struct t_entry e1[] = { { 0, "app", "a" }, { 0, "tier", "1" } };
	static const struct t_entry e2[] = { { 0, "app", "b" } };
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *r = t_open(c, &l, "pods");
	uint64_t rev = 10, cursor = 10;
	struct orlop_change v[256];
	int failures = 0, wrong = 0, changes = 0;
	int32_t n;

	(void)t_register(c, "pods", NULL, labels);
	t_fed(c, rev);
	for (int round = 0; round < 60; round++) {
		uint64_t base = rev;
		int done = 0;

		for (long nth = 1 + round % 3; !done; nth += 2) {
			int bad = 0;

			otap_fail_nth(nth);
			core_cache_begin(c);
			for (int i = 0; i < 3 && !bad; i++) {
				char key[32];

				snprintf(key, sizeof(key), "pods/a/%d", (round * 3 + i) % 40);
				bad = t_put_entries(c, key, round, base + 1 + (uint64_t)i, i % 2 ? e1 : e2, i % 2 ? 2 : 1);
			}
			if (!bad)
				bad = core_cache_del(c, t_bytes("pods/a/7"), base + 4);
			if (bad)
				core_cache_pause(c);
			else
				bad = core_cache_commit(c, base + 4);
			otap_fail_nth(0);
			failures += bad != 0;
			done = bad == 0;
		}
		rev = base + 4;
		n = core_cache_journal_read(r, &cursor, v, 256);
		wrong += n < 3 || cursor != rev;
		for (int32_t i = 1; i < n; i++)
			wrong += v[i].rev <= v[i - 1].rev;
		changes += n;
		drop(c, v, n);
		for (int i = 0; i < 2; i++) {	/* the index agrees with the objects */
			struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index_key = t_bytes("app") };
			struct orlop_snapshot *s;
			struct orlop_object *o;
			struct orlop_iter *it;
			int by_index = 0, by_hand = 0;

			q.index_value = t_bytes(i ? "a" : "b");
			(void)core_cache_snapshot_open(r, &s);
			(void)core_cache_iter_open(s, &q, &it);
			while (core_cache_iter_next(it))
				by_index++;
			core_cache_iter_close(it);
			(void)core_cache_iter_open(s, NULL, &it);
			while ((o = core_cache_iter_next(it)))
				by_hand += o->index[0].value.p[0] == (i ? 'a' : 'b');
			core_cache_iter_close(it);
			core_cache_snapshot_close(s);
			wrong += by_index != by_hand;
		}
	}
	ok(failures > 60, "%d allocations failed", failures);
	is_int(wrong, 0, "what was tried again came out right");
	ok(changes >= 180, "%d changes", changes);
	core_cache_close(r);
	core_cache_free(c);
}

int main(void)
{
	test_journal();
	test_journal_bounds();
	test_registry();
	test_notes(0);
	test_notes(1);
	test_waiters();
	test_lists();
	test_memory();
	return done_testing();
}
