/* A resource with a feed of its own: its revision, its lists, what becomes of cursors. */
#define OTAP_FAULTS
#include "support.h"

#include "base/otap.h"
#include "cache/feed.h"

static struct orlop_bytes b(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static int put(struct core_feed *f, const char *name, int v, uint64_t rev)
{
	struct orlop_bytes rec = t_record(name, v, NULL, 0);
	int r = core_feed_put(f, b("ns"), b(name), rec, rev);

	free((void *)(uintptr_t)rec.p);
	return r;
}

/* The changes after *@cursor as text: "+a@5 =b@6 -c@7"; or the error. */
static const char *changes(struct orlop_resource *r, uint64_t *cursor)
{
	static char text[512];
	struct orlop_change v[32];
	int32_t n = core_cache_journal_read(r, cursor, v, 32);
	size_t at = 0;

	text[0] = '\0';
	if (n < 0)
		snprintf(text, sizeof(text), "%s", strerrorname_np(-n));
	for (int32_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c%.*s@%llu", i ? " " : "",
				       " +=-"[v[i].type], (int)v[i].object->name.len, v[i].object->name.p,
				       (unsigned long long)v[i].rev);
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
	return text;
}

/* Names in the snapshot, in order; its revision in *@ret_rev. */
static const char *listed(struct orlop_resource *r, uint64_t *ret_rev)
{
	static char text[512];
	struct orlop_snapshot *s;
	struct orlop_iter *it;
	struct orlop_object *o;
	size_t at = 0;
	int e = core_cache_snapshot_open(r, &s);

	text[0] = '\0';
	if (e) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(-e));
		return text;
	}
	*ret_rev = core_cache_snapshot_rev(s);
	if (core_cache_iter_open(s, NULL, &it) == 0) {
		while ((o = core_cache_iter_next(it)))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s", (int)o->name.len, o->name.p);
		core_cache_iter_close(it);
	}
	core_cache_snapshot_close(s);
	return text;
}

static void basics(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *pods = t_open(c, &l, "pods"), *nodes = t_open(c, &l, "nodes");
	struct core_feed *f = NULL, *g = NULL;
	struct t_waited w = { 0, 0 };
	uint64_t cur = 0, rev = 0;
	int32_t synced = 1;

	t_register(c, "pods", NULL, NULL);
	t_register(c, "nodes", NULL, NULL);
	ok(core_feed_open(c, "pods", "up", &f, NULL) == 0, "a feed opens");
	ok(core_feed_open(c, "pods", "other", &g, NULL) == -EBUSY, "a second one does not");
	ok(core_feed_open(c, "resources", "up", &g, NULL) == -EINVAL, "nor one of the core's own");
	ok(core_feed_rev(f) == 0 && core_feed_commit(f, 5) == -EINVAL, "it lists first");
	(void)core_cache_rev(pods, &synced);
	ok(!synced, "until then readers are not in step");
	ok(core_cache_wait(pods, 12, UINT64_MAX, t_on_wait, &w) == 0, "somebody waits");
	ok(core_feed_list_begin(f, 0) == 0 && put(f, "a", 1, 5) == 0 && put(f, "b", 1, 7) == 0, "a list");
	is_str(listed(pods, &rev), "", "is not seen before its end");
	ok(core_feed_list_end(f, 10) == 0, "ends");
	is_str(listed(pods, &rev), "ab", "then it is");
	ok(rev == 10 && core_cache_rev(pods, &synced) == 10 && synced, "at its revision");
	ok(core_cache_rev(nodes, &synced) == 0 && !synced, "which is of this resource only");
	cur = 10;
	ok(put(f, "a", 2, 12) == 0, "a change");
	is_str(changes(pods, &cur), "", "is not seen before its commit");
	ok(core_feed_del(f, b("ns"), b("b"), 13) == 0 && core_feed_commit(f, 13) == 0, "it is committed");
	is_str(changes(pods, &cur), "=a@12 -b@13", "and seen whole");
	(void)t_run(&l);
	ok(w.n == 1 && w.status == 0, "who waited is called");
	ok(core_feed_commit(f, 40) == 0 && core_cache_rev(pods, NULL) == 40, "a bookmark moves the revision");
	is_str(changes(pods, &cur), "", "and is no change");
	ok(cur == 13 || cur == 40, "cursors may follow it");
	ok(put(f, "a", 1, 12) == 0 && core_feed_commit(f, 41) == 0, "what is not newer is ignored");
	is_str(changes(pods, &cur), "", "indeed");
	ok(core_feed_put(f, b("ns"), b("x"), b("rubbish"), 50) == -EINVAL, "what is no record is refused");

	t_fed(c, 3);
	ok(core_cache_rev(pods, NULL) == 41 && core_cache_rev(nodes, NULL) == 3, "storage feeds the others only");
	ok(t_change(c, "pods/ns/evil", 1, 60) == 0, "storage says something about it");
	is_str(listed(pods, &rev), "a", "which nobody hears");
	core_feed_close(f);
	t_fed(c, 70);
	is_str(listed(pods, &rev), "", "once the feed is gone the next list has it");
	core_cache_close(pods);
	core_cache_close(nodes);
	(void)t_run(&l);
	core_cache_free(c);
}

static struct core_feed *fed(struct core_cache *c, struct t_loop *l, struct orlop_resource **ret)
{
	struct core_feed *f = NULL;

	*ret = t_open(c, l, "pods");
	t_register(c, "pods", NULL, NULL);
	(void)core_feed_open(c, "pods", "up", &f, NULL);
	(void)core_feed_list_begin(f, 0);
	(void)put(f, "a", 1, 5);
	(void)put(f, "b", 1, 6);
	(void)put(f, "c", 1, 7);
	(void)core_feed_list_end(f, 10);
	return f;
}

static void lists(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *pods;
	struct core_feed *f = fed(c, &l, &pods);
	struct orlop_snapshot *s;
	struct orlop_object *before, *after;
	uint64_t cur = 10, rev = 0;

	(void)core_cache_snapshot_open(pods, &s);
	before = core_cache_snapshot_get(s, b("ns"), b("a"));
	core_cache_object_ref(before);
	core_cache_snapshot_close(s);

	(void)core_feed_list_begin(f, 0);
	(void)put(f, "a", 1, 5);
	(void)put(f, "z", 1, 30);
	(void)put(f, "c", 2, 20);
	(void)put(f, "old", 1, 4);	/* came into the slice, has not changed */
	ok(core_feed_commit(f, 50) == -EINVAL, "no commit in a list");
	is_str(changes(pods, &cur), "", "a list anew is not seen before its end");
	ok(core_feed_list_end(f, 40) == 0, "it ends");
	is_str(changes(pods, &cur), "=c@20 +z@30 +old@40 -b@40", "cursors go on and meet the differences, in order");
	ok(cur == 40, "up to the list");
	(void)core_cache_snapshot_open(pods, &s);
	after = core_cache_snapshot_get(s, b("ns"), b("a"));
	ok(after == before, "what did not change is the same object");
	core_cache_snapshot_close(s);
	core_cache_object_unref(before);

	(void)core_feed_list_begin(f, 0);
	(void)put(f, "half", 1, 45);
	(void)core_feed_list_begin(f, 0);
	(void)put(f, "a", 1, 5);
	(void)put(f, "c", 2, 20);
	ok(core_feed_list_end(f, 50) == 0, "a list may begin again");
	is_str(listed(pods, &rev), "ac", "what was put before does not count");
	(void)changes(pods, &cur);

	(void)core_feed_list_begin(f, ORLOP_FEED_LOST);
	(void)put(f, "c", 3, 55);
	ok(core_feed_list_end(f, 60) == 0, "a list after a loss");
	is_str(changes(pods, &cur), "ESTALE", "makes cursors stale");
	is_str(listed(pods, &cur), "c", "readers list");
	is_str(changes(pods, &cur), "", "and go on");

	(void)core_feed_list_begin(f, 0);
	(void)put(f, "c", 3, 55);
	(void)put(f, "more", 1, 58);
	ok(core_feed_list_end(f, 60) == 0, "a wider list at the same revision");
	is_str(changes(pods, &cur), "ESTALE", "cannot be met by cursors: they are stale");
	is_str(listed(pods, &cur), "cmore", "readers list");
	is_str(changes(pods, &cur), "", "and go on");

	(void)core_feed_list_begin(f, 0);
	(void)put(f, "c", 1, 12);
	ok(core_feed_list_end(f, 20) == 0 && core_cache_rev(pods, NULL) == 20, "the source was taken back");
	is_str(changes(pods, &cur), "ESTALE", "cursors are stale");
	is_str(listed(pods, &cur), "c", "readers list");
	(void)put(f, "d", 1, 21);
	(void)core_feed_commit(f, 21);
	is_str(changes(pods, &cur), "+d@21", "and go on from there");

	(void)put(f, "e", 1, 22);
	core_feed_close(f);
	is_str(listed(pods, &cur), "cd", "what was not committed is not seen");
	ok(core_feed_open(c, "pods", "next", &f, NULL) == 0 && core_feed_rev(f) == 0, "the next feed must list");
	(void)core_feed_list_begin(f, 0);
	(void)put(f, "c", 1, 12);
	(void)put(f, "d", 1, 21);
	ok(core_feed_list_end(f, 25) == 0, "it does");
	is_str(listed(pods, &rev), "cd", "all is well");
	core_feed_close(f);
	ok(core_feed_open(c, "pods", "third", &f, NULL) == 0 && core_feed_rev(f) == 25, "a clean successor goes on");
	cur = 25;
	(void)put(f, "f", 1, 26);
	ok(core_feed_commit(f, 26) == 0, "without a list");
	is_str(changes(pods, &cur), "+f@26", "readers notice nothing");
	core_feed_close(f);
	core_cache_close(pods);
	(void)t_run(&l);
	core_cache_free(c);
}

static void failing(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *pods;
	struct core_feed *f = fed(c, &l, &pods);
	struct t_waited w = { 0, 0 };
	uint64_t cur = 10;
	int32_t synced = 1;

	(void)core_cache_wait(pods, 99, UINT64_MAX, t_on_wait, &w);
	core_feed_fail(f, EACCES);
	(void)t_run(&l);
	ok(w.n == 1 && w.status == -EACCES, "who waits is told that it was revoked");
	is_str(changes(pods, &cur), "EACCES", "so is who reads the journal");
	is_str(listed(pods, &cur), "EACCES", "and who opens a snapshot");
	(void)core_cache_rev(pods, &synced);
	ok(!synced, "not in step");
	(void)core_cache_wait(pods, 99, UINT64_MAX, t_on_wait, &w);
	(void)t_run(&l);
	ok(w.n == 2 && w.status == -EACCES, "who begins to wait is told at once");
	cur = 10;
	(void)core_feed_list_begin(f, 0);
	(void)put(f, "a", 1, 5);
	(void)core_feed_list_end(f, 11);
	is_str(changes(pods, &cur), "-b@11 -c@11", "a list ends it");
	core_feed_close(f);
	core_cache_close(pods);
	(void)t_run(&l);
	core_cache_free(c);
}

/* Fed before it is registered, and described anew while a batch is open. */
static void registering(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *pods = t_open(c, &l, "pods");
	struct core_feed *f = NULL;
	uint64_t cur = 0, rev = 0;

	(void)core_feed_open(c, "pods", "up", &f, NULL);
	(void)core_feed_list_begin(f, 0);
	(void)put(f, "a", 1, 5);
	(void)core_feed_list_end(f, 10);
	is_str(listed(pods, &rev), "", "nobody has registered it");
	t_register(c, "pods", NULL, NULL);
	is_str(listed(pods, &cur), "a", "now somebody has");
	(void)put(f, "b", 1, 11);
	t_register(c, "pods", NULL, NULL);
	is_str(listed(pods, &cur), "a", "described anew, it shows nothing half");
	(void)core_feed_commit(f, 12);
	is_str(listed(pods, &rev), "ab", "the commit does");
	is_str(changes(pods, &cur), "+b@11", "and cursors meet it");
	(void)core_cache_retire(c, "pods");
	(void)put(f, "d", 1, 13);
	ok(core_feed_commit(f, 13) == 0, "a retired one may be fed");
	is_str(listed(pods, &rev), "", "but is not seen");
	core_feed_close(f);
	core_cache_close(pods);
	(void)t_run(&l);
	core_cache_free(c);
}

/* A model: random batches and lists; a reader that follows by its cursor has what the source has. */
static void model(void)
{
	struct t_loop l;
	struct core_cache *c = t_cache(&l, 0);
	struct orlop_resource *pods;
	struct core_feed *f = fed(c, &l, &pods);
	uint64_t have[32] = { 0 }, src[32] = { 0 }, cur = 0, rev = 100, snap;
	unsigned seed = 7, bad = 0, stale = 0;
	const char *text;

	(void)core_feed_list_begin(f, 0);
	(void)core_feed_list_end(f, rev);
	(void)listed(pods, &cur);
	for (int step = 0; step < 3000; step++) {
		bool list = rand_r(&seed) % 5 == 0;
		int n = rand_r(&seed) % 6;
		struct orlop_change v[64];
		int32_t got;

		for (int i = 0; i < n; i++) {
			int k = rand_r(&seed) % 32;
			char name[16];

			snprintf(name, sizeof(name), "k%d", k);
			rev++;
			src[k] = rand_r(&seed) % 3 ? rev : 0;
			if (list)
				continue;
			if (src[k])
				(void)put(f, name, 1, rev);
			else
				(void)core_feed_del(f, b("ns"), b(name), rev);
		}
		rev++;
		if (list) {
			(void)core_feed_list_begin(f, 0);
			for (int k = 0; k < 32; k++) {
				char name[16];

				snprintf(name, sizeof(name), "k%d", k);
				if (src[k])
					(void)put(f, name, 1, src[k]);
			}
			(void)core_feed_list_end(f, rev);
		} else {
			(void)core_feed_commit(f, rev);
		}
		if (rand_r(&seed) % 3)
			continue;
		while ((got = core_cache_journal_read(pods, &cur, v, 64)) > 0)
			for (int32_t i = 0; i < got; i++) {
				int k = atoi(v[i].object->name.p + 1);

				bad += (v[i].type == ORLOP_CHANGE_ADDED) != (have[k] == 0);
				bad += v[i].prev && v[i].prev->rev != have[k];
				have[k] = v[i].type == ORLOP_CHANGE_DELETED ? 0 : v[i].object->rev;
				core_cache_object_unref(v[i].object);
				core_cache_object_unref(v[i].prev);
			}
		stale += got == -ESTALE;
		if (memcmp(have, src, sizeof(have)) != 0)
			bad++;
	}
	text = listed(pods, &snap);
	ok(bad == 0 && stale == 0 && *text, "3000 batches and lists: a cursor sees them all (%u wrong, %u stale)",
	   bad, stale);
	core_feed_close(f);
	core_cache_close(pods);
	(void)t_run(&l);
	core_cache_free(c);
}

/* Whichever allocation fails: what is tried again leads to the same end, and nothing is seen half. */
static int again(int r, unsigned *failed)
{
	*failed += r == -ENOMEM;
	return r == -ENOMEM;
}

static void memory(void)
{
	unsigned bad = 0, failed = 0, n;

	for (n = 1; n < 400; n++) {
		struct t_loop l;
		struct core_cache *c = t_cache(&l, 0);
		struct orlop_resource *pods;
		struct core_feed *f = fed(c, &l, &pods);
		uint64_t cur = 10, rev = 0;
		unsigned before = failed;

		otap_fail_nth(n);
		while (again(put(f, "d", 1, 11), &failed))
			;
		while (again(core_feed_del(f, b("ns"), b("a"), 12), &failed))
			;
		while (again(core_feed_commit(f, 12), &failed))
			bad += core_cache_rev(pods, NULL) != 10;
		(void)core_feed_list_begin(f, 0);
		while (again(put(f, "e", 1, 19), &failed) || again(put(f, "b", 2, 15), &failed) ||
		       again(put(f, "d", 1, 11), &failed))
			;
		while (again(core_feed_list_end(f, 20), &failed))
			bad += core_cache_rev(pods, NULL) != 12;
		otap_fail_nth(0);
		bad += strcmp(changes(pods, &cur), "+d@11 -a@12 =b@15 +e@19 -c@20") != 0;
		bad += strcmp(listed(pods, &rev), "bde") != 0 || rev != 20;
		core_feed_close(f);
		core_cache_close(pods);
		(void)t_run(&l);
		core_cache_free(c);
		if (failed == before)
			break;
	}
	ok(bad == 0 && n > 5 && n < 400, "whichever of %u allocations fails: the same end (%u wrong)", n - 1, bad);
}

int main(void)
{
	basics();
	lists();
	failing();
	registering();
	model();
	memory();
	return done_testing();
}
