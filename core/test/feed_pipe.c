/*
 * test/feed_pipe.c - a cache out of another one: the same objects, revisions and journal, cut to what is wanted;
 * who is slow, who begins anew, what goes back, what makes no sense.
 */
#define OTAP_FAULTS
#include "feed_pipe.h"

/* ---- fed from storage ------------------------------------------------------------------------------- */

static void test_first(void)
{
	struct orlop_resource *ra, *rb, *nb;
	uint64_t ca = 10, cb = 10, old = 9;
	struct t_waited w = { .n = 0 };

	begin("pods,nodes");
	ra = t_open(P.a, &P.la, "pods");
	rb = t_open(P.b, &P.lb, "pods");
	nb = t_open(P.b, &P.lb, "nodes");
	settle();
	is_int((int)rev_of(rb), 0, "nothing is fed: nothing is read");
	core_cache_begin(P.a);
	core_cache_list_begin(P.a);
	(void)t_put(P.a, "pods/d/a", 1, 3);
	(void)t_put(P.a, "pods/d/b", 1, 4);
	(void)t_put(P.a, "pods/d/c", 1, 5);
	(void)core_cache_list_end(P.a);
	(void)core_cache_commit(P.a, 10);
	(void)t_change(P.a, "pods/d/a", 2, 11);
	(void)t_change(P.a, "pods/d/b", -1, 12);
	(void)t_change(P.a, "pods/d/d", 1, 13);
	(void)t_change(P.a, "pods/d/a", 3, 14);
	settle();
	is_str(content(rb, true), content(ra, true), "the same objects at the same revision");
	is_str(changes(rb, &cb), changes(ra, &ca), "and what happened before");
	is_str(changes(rb, &old), "ESTALE", "what was before that is not known there either");
	is_int((int)rev_of(nb), 14, "a resource without objects");
	is_int(core_cache_wait(nb, 16, UINT64_MAX, t_on_wait, &w), 0, "one waits for it");
	(void)t_change(P.a, "pods/d/e", 1, 15);
	(void)t_change(P.a, "others/d/e", 1, 16);
	settle();
	is_str(changes(rb, &cb), "+e@15", "a change");
	is_int((int)rev_of(rb), 16, "revisions go on with what somebody else changed");
	ok(w.n == 1 && w.status == 0, "who waits for it is told");
	is_str(content(rb, true), content(ra, true), "still the same");
	(void)t_change(P.a, "pods/d/e", -1, 17);
	(void)t_change(P.a, "pods/d/e", 1, 18);
	settle();
	is_str(changes(rb, &cb), "-e@17 +e@18", "gone and back: both");
	core_cache_close(ra);
	core_cache_close(rb);
	core_cache_close(nb);
	end();
}

/* A new process gets all of it again: its readers come back with what they had. */
static void test_restart(void)
{
	struct orlop_resource *rb;
	uint64_t cb = 11;
	int32_t synced;

	begin("pods");
	t_fed(P.a, 10);
	for (uint64_t rev = 11; rev <= 20; rev++)
		(void)t_change(P.a, "pods/d/a", (int)rev, rev);
	core_feed_out_go(P.out);
	(void)deliver(1);
	pipe_end();
	core_cache_free(P.b);
	P.b = t_cache(&P.lb, 0);
	out_begin("pods");
	in_begin();
	rb = t_open(P.b, &P.lb, "pods");
	settle();
	is_int((int)core_cache_rev(rb, &synced) + synced, 0, "not registered there yet");
	t_register(P.b, "pods", fields, NULL);
	is_str(changes(rb, &cb), "=a@12 =a@13 =a@14 =a@15 =a@16 =a@17 =a@18 =a@19 =a@20",
	       "who was there before goes on as soon as it is");
	is_int((int)rev_of(rb), 20, "at the revision there is");
	core_cache_close(rb);
	end();
}

static int past(struct orlop_resource *r, uint64_t cursor)
{
	struct orlop_change v[8];
	uint64_t at = cursor;
	int32_t n = core_cache_journal_read(r, &at, v, 8);

	for (int32_t i = 0; i < n; i++) {
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
	return n < 0 && at != cursor ? -EINVAL : n;
}

static int n_notes;

static void on_note(void *arg, struct orlop_resource *r, uint64_t rev)
{
	(void)arg;
	(void)r;
	(void)rev;
	n_notes++;
}

/* What happened before the first list comes when somebody asks, as far as it is needed. */
/* Fed up to 10, and six changes since. */
static void begin_with_past(void)
{
	begin("pods");
	t_fed(P.a, 10);
	for (uint64_t rev = 11; rev <= 16; rev++)
		(void)t_change(P.a, rev % 2 ? "pods/d/a" : "pods/d/b", rev == 14 ? -1 : (int)rev, rev);
	settle();
}

static void test_past(void)
{
	struct orlop_resource *rb;
	uint64_t cb;

	begin_with_past();
	rb = t_open(P.b, &P.lb, "pods");
	core_cache_watch(rb, on_note, NULL);
	(void)t_run(&P.lb);
	n_notes = 0;
	is_int((int)core_cache_journal_oldest(rb), 16, "the journal begins with the present");
	is_int(past(rb, 14), -EAGAIN, "who comes with less waits");
	is_int(past(rb, 14), -EAGAIN, "and still does");
	(void)asked();
	core_feed_out_go(P.out);
	is_int(past(rb, 15), -EAGAIN, "so does who comes meanwhile");
	(void)t_change(P.a, "pods/d/c", 1, 17);
	settle();
	ok(n_notes > 0, "both are told");
	is_int((int)core_cache_journal_oldest(rb), 14, "there is no more than was asked for");
	is_int(past(rb, 14), 3, "all of it");
	is_int(past(rb, 15), 2, "for both");
	cb = 11;
	is_str(changes(rb, &cb), "+b@12 =a@13 -b@14 =a@15 +b@16 +c@17", "and what was before that");
	is_int((int)core_cache_journal_oldest(rb), 11, "as far");
	is_int(past(rb, 9), -EAGAIN, "what nobody knows is asked for as well");
	settle();
	is_int(past(rb, 9), -ESTALE, "once");
	is_int(P.lb.past, 0, "and no more");
	is_int(past(rb, 8), -ESTALE, "nor what is older");
	is_int(past(rb, 10), -EAGAIN, "but what is younger");
	settle();
	is_int(past(rb, 10), 7, "is known");
	is_int(past(rb, 0), -ESTALE, "from nothing there is no way");
	{
		struct core_wants w = wants("pods;label=app=x");

		core_feed_out_want(P.out, &w);
	}
	settle();
	is_int(past(rb, 12), -ESTALE, "a list anew has no past");
	is_int(P.broken, 0, "all by the rules");
	core_cache_close(rb);
	end();
}

/* One that feeds comes again, to a cache that is read: its list is compared. */
static void test_successor(void)
{
	struct orlop_resource *rb;
	uint64_t cb = 0;

	begin("pods");
	t_fed(P.a, 10);
	(void)t_change(P.a, "pods/d/a", 1, 11);
	(void)t_change(P.a, "pods/d/b", 1, 12);
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	cb = 12;
	pipe_end();
	core_cache_free(P.a);
	P.a = t_cache(&P.la, 0);
	core_cache_begin(P.a);
	core_cache_list_begin(P.a);
	(void)t_put(P.a, "pods/d/b", 1, 12);
	(void)t_put(P.a, "pods/d/c", 1, 14);
	(void)core_cache_list_end(P.a);
	(void)core_cache_commit(P.a, 15);
	out_begin("pods");
	in_begin();
	core_feed_out_go(P.out);
	is_str(content(rb, false), "a b", "what was fed stays until then");
	settle();
	is_str(changes(rb, &cb), "+c@14 -a@15", "readers meet the differences");
	is_str(content(rb, false), "b c", "and that is what there is");
	core_cache_close(rb);
	end();
}

static void test_whole_revisions(void)
{
	struct orlop_resource *rb;
	uint64_t cb = 10;
	struct orlop_change *v = calloc(2000, sizeof(*v));
	char key[64];
	int32_t n;

	begin("pods");
	t_fed(P.a, 10);
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	core_cache_begin(P.a);
	for (int i = 0; i < 1500; i++) {
		snprintf(key, sizeof(key), "pods/d/p%04d", i);
		(void)t_put(P.a, key, 1, 11);
	}
	(void)core_cache_commit(P.a, 11);
	core_feed_out_go(P.out);
	while (P.first || P.acks) {
		(void)deliver(1);
		n = core_cache_journal_read(rb, &cb, v, 2000);
		if (n)
			break;
		(void)acked();
	}
	is_int(n, 1500, "a revision of 1,500 objects is seen at once");
	for (int32_t i = 0; i < n; i++) {
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
	free(v);
	core_cache_close(rb);
	end();
}

/* ---- what is wanted ---------------------------------------------------------------------------------- */

static void test_slices(void)
{
	struct orlop_resource *rb;
	uint64_t cb = 10;

	begin("pods;field=spec.nodeName=n1");
	t_fed(P.a, 10);
	(void)pod("pods/d/a", 1, 11, "x", "");
	(void)pod("pods/d/b", 1, 12, "x", "n1");
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	is_str(content(rb, false), "b", "a field: what is on the node");
	is_str(changes(rb, &cb), "+b@12", "as it happened");
	(void)pod("pods/d/a", 2, 13, "x", "n1");
	(void)pod("pods/d/b", 2, 14, "x", "n1");
	(void)pod("pods/d/b", 3, 15, "x", "n2");
	(void)pod("pods/d/b", 4, 16, "x", "n2");
	(void)t_change(P.a, "pods/d/b", -1, 17);
	(void)t_change(P.a, "pods/d/a", -1, 18);
	settle();
	is_str(changes(rb, &cb), "+a@13 =b@14 -b@15 -a@18", "it comes into the slice, leaves it, and goes");
	is_int((int)rev_of(rb), 18, "the revision is everybody's");
	core_cache_close(rb);
	end();

	begin("pods;namespace=e,pods;label=app=y");
	t_fed(P.a, 10);
	(void)pod("pods/d/a", 1, 11, "x", "");
	(void)pod("pods/d/b", 1, 12, "y", "");
	(void)pod("pods/e/c", 1, 13, NULL, "");
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	is_str(content(rb, false), "b c", "a namespace or a label");
	{
		struct core_wants w = wants("pods;label=app=x");

		cb = 13;
		core_feed_out_want(P.out, &w);
	}
	settle();
	is_str(changes(rb, &cb), "ESTALE", "something else is wanted: cursors of before are stale");
	is_str(content(rb, false), "a", "it is there");
	core_cache_close(rb);
	end();

	begin("*;metadata,nodes");
	t_fed(P.a, 10);
	(void)pod("pods/d/a", 7, 11, "x", "n1");
	(void)t_change(P.a, "nodes//n1", 5, 12);
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	is_str(content(rb, true), "@12 a=\"metadata\":{\"resourceVersion\":\"11\",\"name\":\"a\"}", "metadata alone");
	core_cache_close(rb);
	rb = t_open(P.b, &P.lb, "nodes");
	is_str(content(rb, true), "@12 n1=\"metadata\":{\"resourceVersion\":\"12\",\"name\":\"n1\"},\"v\":5", "the other whole");
	core_cache_close(rb);
	end();
}

/* ---- who is slow ------------------------------------------------------------------------------------- */

static void test_window(void)
{
	struct orlop_resource_info info = { .size = sizeof(info), .name = "pods", .plural = "pods", .version = "v1",
					    .kind = "Pod", .journal_bytes = 100000 };
	struct orlop_resource *ra, *rb;
	uint64_t cb = 10;
	size_t most = 0;
	char key[64];

	begin("pods");
	(void)core_cache_register(P.a, &info, NULL);
	ra = t_open(P.a, &P.la, "pods");
	rb = t_open(P.b, &P.lb, "pods");
	t_fed(P.a, 10);
	settle();
	P.no_acks = true;
	for (uint64_t rev = 11; rev < 12000; rev++) {
		snprintf(key, sizeof(key), "pods/d/p%llu", (unsigned long long)rev % 100);
		(void)t_change(P.a, key, (int)rev, rev);
		core_feed_out_go(P.out);
		if (P.queued > most)
			most = P.queued;
	}
	ok(most <= CORE_FEED_WINDOW + CORE_FEED_PACKET, "%zu bytes under way at most", most);
	(void)deliver(-1);
	ok(rev_of(rb) < 11000, "it is behind");
	P.no_acks = false;
	settle();
	is_str(content(rb, true), content(ra, true), "when it reads on it has all");
	is_str(changes(rb, &cb), "ESTALE", "but not what happened meanwhile");
	core_cache_close(ra);
	core_cache_close(rb);
	end();
}

static void test_large(void)
{
	struct orlop_resource *ra, *rb;
	size_t len = 3u << 20;
	char *buf = malloc(sizeof(struct orlop_record) + len);
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1, .rv_off = 12,
				    .json_len = (uint32_t)len };
	struct orlop_snapshot *s;
	struct orlop_object *o;

	memset(buf + sizeof(rec), 'x', len);
	memcpy(buf + sizeof(rec), "\"metadata\":{\"name\":\"a\"},\"v\":\"", 30);
	memcpy(buf, &rec, sizeof(rec));
	begin("pods");
	t_fed(P.a, 10);
	core_cache_begin(P.a);
	(void)core_cache_put(P.a, t_bytes("pods/d/a"), (struct orlop_bytes){ buf, sizeof(rec) + len }, 11);
	(void)core_cache_commit(P.a, 11);
	settle();
	ra = t_open(P.a, &P.la, "pods");
	rb = t_open(P.b, &P.lb, "pods");
	(void)core_cache_snapshot_open(rb, &s);
	o = core_cache_snapshot_get(s, t_bytes("d"), t_bytes("a"));
	ok(o && o->json.len == len + strlen("\"resourceVersion\":\"11\","), "an object of more than the window");
	core_cache_snapshot_close(s);
	core_cache_close(ra);
	core_cache_close(rb);
	free(buf);
	end();
}

/* ---- what goes back ------------------------------------------------------------------------------------ */

static void test_back(void)
{
	struct orlop_resource *ra, *rb;
	uint64_t cb;

	begin("pods,nodes");
	ra = t_open(P.a, &P.la, "pods");
	rb = t_open(P.b, &P.lb, "pods");
	t_fed(P.a, 10);
	(void)t_change(P.a, "pods/d/a", 1, 11);
	(void)t_change(P.a, "pods/d/b", 1, 12);
	settle();
	cb = 12;
	core_cache_begin(P.a);
	core_cache_list_begin(P.a);
	(void)t_put(P.a, "pods/d/a", 1, 11);
	(void)core_cache_list_end(P.a);
	(void)core_cache_commit(P.a, 11);
	(void)t_change(P.a, "nodes//n", 1, 13);
	settle();
	is_str(content(rb, true), content(ra, true), "the storage has lost a revision, and gone on");
	is_str(changes(rb, &cb), "ESTALE", "which readers are told");
	core_cache_close(ra);
	core_cache_close(rb);
	end();
}

/* ---- resources with a feed of their own ------------------------------------------------------------------ */

static int fput(struct core_feed *f, const char *name, int v, uint64_t rev)
{
	struct orlop_bytes rec = t_record(name, v, NULL, 0);
	int r = core_feed_put(f, t_bytes("d"), t_bytes(name), rec, rev);

	free((void *)(uintptr_t)rec.p);
	return r;
}

static void test_own(void)
{
	struct orlop_resource *ra, *rb;
	struct core_feed *f;
	uint64_t cb;

	begin("*");
	ra = t_open(P.a, &P.la, "pods");
	rb = t_open(P.b, &P.lb, "pods");
	(void)core_feed_open(P.a, "pods", "up", &f, NULL);
	(void)core_feed_list_begin(f, 0);
	(void)fput(f, "a", 1, 5);
	(void)core_feed_list_end(f, 20);
	(void)fput(f, "b", 1, 22);
	(void)core_feed_commit(f, 22);
	settle();
	cb = 20;
	is_str(content(rb, true), content(ra, true), "what a module feeds");
	is_str(changes(rb, &cb), "+b@22", "with what happened since its list");
	(void)core_feed_commit(f, 30);
	settle();
	is_int((int)rev_of(rb), 30, "a revision without changes");
	core_feed_fail(f, EACCES);
	settle();
	is_str(content(rb, true), "EACCES", "it may not be read any more");
	(void)core_feed_list_begin(f, 0);
	(void)fput(f, "b", 1, 22);
	(void)fput(f, "c", 1, 29);
	(void)core_feed_list_end(f, 35);
	settle();
	is_str(content(rb, true), content(ra, true), "and may again");
	is_str(changes(rb, &cb), "+c@35 -a@35", "a list compared: what it found late is of its revision");
	(void)core_feed_list_begin(f, 0);
	(void)fput(f, "c", 2, 28);
	(void)fput(f, "b", 1, 22);
	(void)core_feed_list_end(f, 40);
	(void)fput(f, "c", 3, 41);
	(void)core_feed_commit(f, 41);
	settle();
	is_str(changes(rb, &cb), "=c@40 =c@41", "one object twice, in order");
	core_feed_close(f);
	core_cache_close(ra);
	core_cache_close(rb);
	end();
}

/* ---- what makes no sense ---------------------------------------------------------------------------------- */

static int give(const void *head, size_t len)
{
	int r;

	in_begin();
	r = core_feed_in_data(P.in, head, len);
	core_feed_in_free(P.in);
	P.in = NULL;
	return r;
}

static void test_rubbish(void)
{
	struct core_feed_frame h = { .len = sizeof(h), .type = CORE_FEED_COMMIT };
	char big[sizeof(h) + 300];
	struct core_feed *f;

	begin("pods");
	core_feed_in_free(P.in);
	is_int(give("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 32), -EPROTO, "no frame");
	is_int(give(&h, sizeof(h)), -EPROTO, "a resource that was not opened");
	h.len = 3;
	is_int(give(&h, sizeof(h)), -EPROTO, "shorter than its head");
	h.len = CORE_FEED_FRAME_MAX + 1;
	is_int(give(&h, sizeof(h)), -EPROTO, "longer than any");
	memset(big, 'x', sizeof(big));
	h = (struct core_feed_frame){ .len = sizeof(big), .type = CORE_FEED_OPEN };
	memcpy(big, &h, sizeof(h));
	is_int(give(big, sizeof(big)), -EPROTO, "a name that is too long");
	h = (struct core_feed_frame){ .len = sizeof(h) + 9, .type = CORE_FEED_OPEN };
	memcpy(big, &h, sizeof(h));
	memcpy(big + sizeof(h), "resources", 9);
	is_int(give(big, h.len), -EPROTO, "one that belongs to the core");
	memcpy(big + sizeof(h), "pods", 4);
	h.len = sizeof(h) + 4;
	memcpy(big, &h, sizeof(h));
	(void)core_feed_open(P.b, "pods", "other", &f, NULL);
	in_begin();
	is_int(core_feed_in_data(P.in, big, h.len), 0, "one that another feeds");
	ok(P.retry_in, "waits for that");
	core_feed_close(f);
	is_int(core_feed_in_go(P.in), 0, "it is gone");
	h = (struct core_feed_frame){ .len = sizeof(h), .type = CORE_FEED_END, .rev = 5 };
	is_int(core_feed_in_data(P.in, (char *)&h, sizeof(h)), -EPROTO, "the end of no list");
	core_feed_in_free(P.in);
	P.in = NULL;
	end();
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

static void test_memory(void)
{
	bool all = true;
	long n = 0;

	do {
		struct orlop_resource *ra, *rb;
		uint64_t cb = 10;

		begin("pods;label=app=x,*;metadata");
		ra = t_open(P.a, &P.la, "pods");
		rb = t_open(P.b, &P.lb, "pods");
		t_fed(P.a, 10);
		(void)pod("pods/d/a", 1, 11, "x", "n1");
		otap_fail_nth(++n);
		settle();
		otap_fail_nth(0);
		(void)pod("pods/d/b", 1, 12, "x", "n1");
		(void)t_change(P.a, "pods/d/a", -1, 13);
		settle();
		all = all && (P.broken || strcmp(content(rb, false), "b") == 0);
		all = all && (P.broken || strcmp(changes(rb, &cb), "+a@11 +b@12 -a@13") == 0);
		core_cache_close(ra);
		core_cache_close(rb);
		end();
	} while (otap_faulted() && n < 2000);
	ok(all, "each of %ld allocations fails: it goes on, or says so", n - 1);
}

/* What cannot be said to the other side for want of memory is said later: nobody waits for ever. */
static void test_mute(void)
{
	struct orlop_resource *rb;
	char key[32];

	begin("pods");
	t_fed(P.a, 10);
	for (uint64_t rev = 11; rev <= 16; rev++)
		(void)t_change(P.a, "pods/d/a", (int)rev, rev);
	settle();
	rb = t_open(P.b, &P.lb, "pods");
	P.mute = true;
	is_int(past(rb, 12), -EAGAIN, "who comes with a cursor from before waits");
	(void)t_run(&P.lb);
	(void)asked();
	ok(P.n_asks == 0 && P.retry_in > 0, "what he wants cannot be asked for");
	is_int(past(rb, 14), -EAGAIN, "another comes");
	P.retry_in = 0;
	P.broken += core_feed_in_go(P.in) != 0;
	ok(P.retry_in > 0, "nor now");
	P.mute = false;
	settle();
	is_int(past(rb, 12), 4, "then it is");
	is_int(past(rb, 14), 2, "for both");
	P.mute = true;
	for (uint64_t rev = 17; rev < 17 + 6000; rev++) {
		snprintf(key, sizeof(key), "pods/d/p%llu", (unsigned long long)rev);
		(void)t_change(P.a, key, 1, rev);
		core_feed_out_go(P.out);
		(void)deliver(-1);
	}
	P.mute = false;
	settle();
	is_int((int)rev_of(rb), 6016, "bytes taken are acknowledged as well: the stream goes on");
	is_int(P.broken, 0, "all by the rules");
	core_cache_close(rb);
	end();
}

/* Each allocation of asking for the past, telling it and taking it in fails once. */
static void test_past_memory(void)
{
	bool all = true;
	long n = 0;

	do {
		struct orlop_resource *rb;
		uint64_t cb = 11;

		begin_with_past();
		rb = t_open(P.b, &P.lb, "pods");
		otap_fail_nth(++n);
		(void)past(rb, 11);
		settle();
		otap_fail_nth(0);
		settle();
		if (past(rb, 11) == -EAGAIN)
			settle();
		all = all && (P.broken || strcmp(changes(rb, &cb), "+b@12 =a@13 -b@14 =a@15 +b@16") == 0);
		core_cache_close(rb);
		end();
	} while (otap_faulted() && n < 2000);
	ok(all, "each of %ld allocations of the past fails: it is told all the same", n - 1);
}

int main(void)
{
	test_first();
	test_restart();
	test_past();
	test_successor();
	test_whole_revisions();
	test_slices();
	test_window();
	test_large();
	test_back();
	test_own();
	test_rubbish();
	test_memory();
	test_mute();
	test_past_memory();
	return done_testing();
}
