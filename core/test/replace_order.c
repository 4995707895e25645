/* test/replace_order.c - every way that a replacement can go: each step ends in each way it can. */
#include "kit.h"
#include "replace.h"

#define STEPS_MAX	24

enum ask { NOTHING, AWAIT, START, STOP, SETTLE, CLOSE, UNDO, REOPEN };

/* One run: the choices are the digits of a number, the first step takes the lowest. */
struct run {
	struct core_replace m;
	uint32_t	choices;
	uint32_t	n_steps;
	enum ask	ask;		/* what waits for its event */
	bool		old;		/* it is there */
	bool		old_stopped;
	bool		old_held;
	bool		old_retired;
	bool		new;		/* it is there (or the reopened one) */
	bool		reopened;
	bool		serves_new;
	int		ended;
	int		status;
	bool		lost;
	const char	*wrong;
};

static bool exclusive;		/* of this run: two of them are never there at once */

static uint32_t choose(struct run *r, uint32_t n)
{
	uint32_t c = r->choices % n;

	r->choices /= n;
	r->n_steps++;
	return c;
}

static void check(struct run *r, bool good, const char *what)
{
	if (!good && !r->wrong)
		r->wrong = what;
}

static void asks(struct run *r, enum ask ask)
{
	check(r, r->ask == NOTHING, "two steps at once");
	check(r, !r->ended, "a step after the end");
	r->ask = ask;
}

static void do_await(void *arg)
{
	asks(arg, AWAIT);
}

static void do_start(void *arg)
{
	struct run *r = arg;

	asks(r, START);
	check(r, !r->new, "two new ones");
	check(r, !exclusive || !r->old, "two at once, and they are exclusive");
	r->new = true;
}

static int do_fit(void *arg, struct orlop_error *err)
{
	return choose(arg, 2) ? orlop_fail(err, ESTALE, 0, "", "behind") : 0;
}

static void do_hold(void *arg, bool on)
{
	struct run *r = arg;

	check(r, r->old && r->old_held != on, "hold of nothing, or twice");
	r->old_held = on;
}

static void do_stop(void *arg)
{
	struct run *r = arg;

	asks(r, STOP);
	check(r, r->old_held && !r->old_stopped, "stop of one that is asked");
}

static void do_settle(void *arg)
{
	asks(arg, SETTLE);
}

static void do_close(void *arg)
{
	struct run *r = arg;

	asks(r, CLOSE);
	check(r, r->old && r->old_stopped, "close of one that has not stopped");
}

static void do_undo(void *arg)
{
	struct run *r = arg;

	asks(r, UNDO);
	check(r, r->new, "undo of nothing");
}

static void do_reopen(void *arg)
{
	struct run *r = arg;

	asks(r, REOPEN);
	check(r, !r->old && !r->new, "reopened beside another");
	r->new = true;
	r->reopened = true;
}

static void do_move(void *arg, bool back)
{
	struct run *r = arg;

	check(r, r->new && !r->serves_new && back == r->reopened, "move to nothing, or twice");
	check(r, !r->old || r->old_stopped, "move from one that has not stopped");
	r->serves_new = true;
}

static void do_retire(void *arg)
{
	struct run *r = arg;

	check(r, r->old && r->serves_new, "retired before its time");
	r->old_retired = true;
}

static void do_end(void *arg, int status, bool lost, struct orlop_error *err)
{
	struct run *r = arg;

	r->ended++;
	r->status = status;
	r->lost = lost;
	check(r, (status != 0) == (err->err != 0), "a failure without words");
}

static const struct core_replace_ops ops = {
	.await = do_await, .start = do_start, .fit = do_fit, .hold = do_hold, .stop = do_stop, .settle = do_settle,
	.close = do_close, .undo = do_undo, .reopen = do_reopen, .move = do_move, .retire = do_retire, .end = do_end,
};

static void tell(struct run *r, enum core_replace_event ev)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int status = 0;

	if (ev == CORE_REPLACE_FAILED || ev == CORE_REPLACE_REFUSED)
		status = orlop_fail(&err, EIO, 0, "", "on purpose");
	core_replace_event(&r->m, ev, status, &err);
}

/* One step ends. */
static void step(struct run *r)
{
	enum ask ask = r->ask;

	r->ask = NOTHING;
	switch (ask) {
	case AWAIT:
		tell(r, CORE_REPLACE_IDLE);
		break;
	case START:
	case REOPEN:
		if (choose(r, 2) == 0) {
			tell(r, CORE_REPLACE_READY);
			break;
		}
		r->new = false;
		tell(r, CORE_REPLACE_FAILED);
		break;
	case UNDO:
		r->new = false;
		tell(r, CORE_REPLACE_FAILED);
		break;
	case STOP:
		if (choose(r, 2) == 0) {
			r->old_stopped = true;
			tell(r, CORE_REPLACE_STOPPED);
		} else {
			tell(r, CORE_REPLACE_REFUSED);
		}
		break;
	case SETTLE:
		/* The new one, if it is there, may fail meanwhile. */
		if (choose(r, 2) == 0 || !r->new) {
			tell(r, CORE_REPLACE_QUIET);
			break;
		}
		r->new = false;
		tell(r, CORE_REPLACE_FAILED);
		break;
	case CLOSE:
		if (choose(r, 2) == 0) {
			r->old = false;
			tell(r, CORE_REPLACE_GONE);
		} else {
			tell(r, CORE_REPLACE_FAILED);
		}
		break;
	case NOTHING:
		check(r, false, "nothing is asked, and it has not ended");
		break;
	}
}

static void run(struct run *r, uint32_t choices, bool excl, bool handover)
{
	memset(r, 0, sizeof(*r));
	exclusive = excl;
	r->choices = choices;
	r->old = true;
	r->m.ops = &ops;
	r->m.arg = r;
	r->m.exclusive = excl;
	r->m.handover = handover;
	r->m.err.size = sizeof(r->m.err);
	core_replace_begin(&r->m);
	while (!r->ended && !r->wrong && r->n_steps < STEPS_MAX)
		step(r);
	check(r, r->ended == 1, "it does not end, or twice");
	check(r, r->ask == NOTHING, "something is still asked");
	check(r, r->status || (r->serves_new && !r->reopened), "success, and the new one does not serve");
	check(r, !r->status || !r->serves_new || r->reopened, "failure, and the new one serves");
	/* Whoever is left serves. */
	check(r, r->lost || r->serves_new || (r->old && !r->old_held && !r->old_stopped), "nobody serves, and it is not said");
	check(r, !r->lost || !r->serves_new, "somebody serves, and it is called lost");
	check(r, !r->serves_new || !r->old || r->old_retired, "the old one is forgotten");
}

static void test_all(const char *what, bool excl, bool handover)
{
	static const uint32_t all = 1u << 10;
	uint32_t good = 0;
	uint32_t kept = 0;
	uint32_t lost = 0;
	struct run r;

	for (uint32_t i = 0; i < all; i++) {
		run(&r, i, excl, handover);
		if (r.wrong) {
			fail("%s, choices 0x%x: %s", what, i, r.wrong);
			return;
		}
		good += r.status == 0;
		kept += r.status && !r.lost;
		lost += r.lost;
	}
	pass("%s: every way ends as it should", what);
	ok(good > 0 && kept > 0 && lost > 0, "in all three ways (%u, %u, %u)", good, kept, lost);
}

int main(void)
{
	test_all("plain", false, false);
	test_all("handover", false, true);
	test_all("exclusive", true, false);
	test_all("exclusive and handover", true, true);
	return done_testing();
}
