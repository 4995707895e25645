/* oworkq on the fake host: one key once, again afterwards, back-off, delays, workers, pausing. */
#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "fakehost.h"
#include "workq/oworkq.h"

#define MS FAKEHOST_MS

struct fixture {
	struct fakehost	*fh;
	struct oworkq	*q;
	struct obuf	seen;		/* keys in the order they were begun */
	int		fail;		/* so many more times */
	bool		hold;		/* done is called by the test */
	bool		add_self;	/* add the key while it is in hand, once */
	uint64_t	last_ns;	/* when fn was called last */
};

static struct orlop_bytes k(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static void process(void *arg, struct orlop_bytes key)
{
	struct fixture *f = arg;

	obuf_append(&f->seen, key.p, key.len);
	obuf_putc(&f->seen, ' ');
	f->last_ns = fakehost_now(f->fh);
	if (f->add_self) {
		f->add_self = false;
		(void)oworkq_add(f->q, key);
	}
	if (f->hold)
		return;
	if (f->fail > 0) {
		f->fail--;
		(void)oworkq_add_rate_limited(f->q, key);
	} else {
		oworkq_forget(f->q, key);
	}
	oworkq_done(f->q, key);
}

static void begin(struct fixture *f, struct oworkq_config c)
{
	*f = (struct fixture){ .fh = fakehost_new() };
	c.fn = process;
	c.arg = f;
	c.name = "test";
	if (oworkq_new(fakehost_host(f->fh), &c, &f->q) < 0)
		otap_bail_out("oworkq_new");
}

static void end(struct fixture *f)
{
	oworkq_free(f->q);
	obuf_done(&f->seen);
	fakehost_free(f->fh);
}

static void saw(struct fixture *f, const char *want, const char *name)
{
	is_str(obuf_cstr(&f->seen), want, "%s", name);
	obuf_reset(&f->seen);
}

static void test_once(void)
{
	struct fixture f;

	begin(&f, (struct oworkq_config){ 0 });
	(void)oworkq_add(f.q, k("a"));
	(void)oworkq_add(f.q, k("b"));
	(void)oworkq_add(f.q, k("a"));
	is_int(oworkq_depth(f.q), 2, "a key is in the queue once");
	saw(&f, "", "nothing happens inside add");
	fakehost_run_until_idle(f.fh);
	saw(&f, "a b ", "in order");
	is_int(oworkq_depth(f.q), 0, "then it is empty");
	f.add_self = true;
	(void)oworkq_add(f.q, k("c"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "c c ", "added while in hand: processed again");
	f.hold = true;
	(void)oworkq_add(f.q, k("a"));
	(void)oworkq_add(f.q, k("b"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "a ", "one worker: one key in hand");
	(void)oworkq_add(f.q, k("a"));
	(void)oworkq_add(f.q, k("a"));
	is_int(oworkq_depth(f.q), 1, "a key in hand is not ready");
	oworkq_done(f.q, k("a"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "b ", "the next");
	oworkq_done(f.q, k("b"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "a ", "then the one again, once");
	oworkq_done(f.q, k("a"));
	oworkq_done(f.q, k("a"));
	oworkq_done(f.q, k("never"));
	is_int(oworkq_in_hand(f.q), 0, "done twice is harmless");
	end(&f);
}

static void test_backoff(void)
{
	struct fixture f;
	uint64_t start;
	uint64_t want = 5 * MS;
	bool good = true;

	begin(&f, (struct oworkq_config){ 0 });
	f.fail = 30;
	(void)oworkq_add(f.q, k("a"));
	(void)fakehost_run(f.fh);
	for (int i = 0; i < 30; i++) {
		start = f.last_ns;
		is_int(oworkq_failures(f.q, k("a")), i + 1, "failures are counted");
		fakehost_advance(f.fh, want);
		good = good && f.last_ns - start == want;
		want = want * 2 > 1000 * FAKEHOST_S ? 1000 * FAKEHOST_S : want * 2;
	}
	ok(good, "5 ms, 10 ms, … 1000 s");
	is_int(oworkq_failures(f.q, k("a")), 0, "success forgets");
	obuf_reset(&f.seen);
	f.fail = 1;
	(void)oworkq_add(f.q, k("a"));
	(void)oworkq_add(f.q, k("b"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "a b a ", "one key's back-off does not hold another");
	end(&f);
}

static void test_delay(void)
{
	struct fixture f;

	begin(&f, (struct oworkq_config){ 0 });
	(void)oworkq_add_after(f.q, k("late"), 50 * MS);
	(void)oworkq_add_after(f.q, k("soon"), 10 * MS);
	(void)oworkq_add_after(f.q, k("mid"), 20 * MS);
	(void)oworkq_add_after(f.q, k("late"), 5 * MS);
	(void)oworkq_add_after(f.q, k("soon"), 90 * MS);
	is_int(oworkq_waiting(f.q), 3, "three wait");
	fakehost_advance(f.fh, 4 * MS);
	saw(&f, "", "not yet");
	fakehost_advance(f.fh, 1 * MS);
	saw(&f, "late ", "the earlier time counts");
	fakehost_advance(f.fh, 100 * MS);
	saw(&f, "soon mid ", "the others in order of time");
	is_int(oworkq_waiting(f.q), 0, "none waits");
	(void)oworkq_add_after(f.q, k("x"), 10 * MS);
	(void)oworkq_add(f.q, k("x"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "x x ", "now and later are two");
	(void)oworkq_add_after(f.q, k("y"), 0);
	(void)fakehost_run(f.fh);
	saw(&f, "y ", "no delay is now");
	(void)oworkq_add_after(f.q, k("z"), UINT64_MAX);
	fakehost_advance(f.fh, 1000 * FAKEHOST_S);
	saw(&f, "", "never is never");
	end(&f);
}

static void test_workers(void)
{
	struct fixture f;

	begin(&f, (struct oworkq_config){ .workers = 2, .paused = true });
	f.hold = true;
	(void)oworkq_add(f.q, k("a"));
	(void)oworkq_add(f.q, k("b"));
	(void)oworkq_add(f.q, k("c"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "", "paused");
	oworkq_pause(f.q, false);
	fakehost_run_until_idle(f.fh);
	saw(&f, "a b ", "two at once");
	is_int(oworkq_in_hand(f.q), 2, "in hand");
	oworkq_pause(f.q, true);
	oworkq_done(f.q, k("b"));
	fakehost_run_until_idle(f.fh);
	saw(&f, "", "paused again");
	oworkq_pause(f.q, false);
	fakehost_run_until_idle(f.fh);
	saw(&f, "c ", "the third");
	(void)oworkq_add(f.q, k("d"));
	(void)oworkq_add_after(f.q, k("e"), MS);
	end(&f);
	pass("freed with keys in every state");
}

/* Thousands of keys with random delays come out in order of time. */
static void test_many(void)
{
	struct fixture f;
	uint64_t seed = 1;
	size_t keys = 0;
	bool good = true;

	begin(&f, (struct oworkq_config){ 0 });
	for (int i = 0; i < 3000; i++) {
		char key[16];

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		/* the key is its own time */
		(void)snprintf(key, sizeof(key), "%05u", 1 + (unsigned)(seed >> 40) % 20000);
		(void)oworkq_add_after(f.q, k(key), strtoull(key, NULL, 10) * MS);
	}
	keys = oworkq_waiting(f.q);
	fakehost_advance(f.fh, 21 * FAKEHOST_S);
	is_int(f.seen.len, keys * 6, "all of them");
	for (size_t i = 6; i < f.seen.len; i += 6)
		good = good && memcmp(f.seen.data + i - 6, f.seen.data + i, 5) < 0;
	ok(good, "in order");
	end(&f);
}

int main(void)
{
	test_once();
	test_backoff();
	test_delay();
	test_workers();
	test_many();
	return done_testing();
}
