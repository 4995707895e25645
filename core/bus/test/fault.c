/*
 * fault.c - the n-th allocation of the loop's thread fails, for every n: opening a link, asking,
 * answering, listening either work or say -ENOMEM, and every request is answered all the same.
 */
#include "buskit.h"

#include <stdatomic.h>

#include "base/omem.h"
#include "base/otap.h"

static _Thread_local long fault_at;
static _Thread_local bool fault_hit;

bool omem_fault(size_t size)
{
	(void)size;
	if (fault_at == 0 || --fault_at != 0)
		return false;
	fault_hit = true;
	return true;
}

struct rig {
	struct core_bus	*bus;
	struct core_loop *loop;
	long		n;
	bool		hit;
	struct core_link *link;
	int		r;
	struct kit_event replied;
	_Atomic int32_t	status;
	uint64_t	parts;
};

static int serve(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct rig *g = ctx;
	bool faulty = req->op == 2;

	(void)err;
	if (faulty) {
		fault_at = g->n;
		fault_hit = false;
		(void)core_call_emit(call, &req->msg);
	}
	core_call_done(call, 0, &req->msg, NULL);
	if (faulty) {
		g->hit = fault_hit;
		fault_at = 0;
	}
	return 0;
}

static const struct kit_ops ops = { .size = sizeof(ops), .op = { [1] = serve, [2] = serve } };

static void open_run(void *arg)
{
	struct rig *g = arg;
	struct core_link_spec spec = {
		.name = "victim", .loop = g->loop, .ops = (const struct orlop_ops *)(const void *)&ops, .ctx = g,
	};

	g->link = NULL;
	fault_at = g->n;
	fault_hit = false;
	g->r = core_link_open(g->bus, &spec, &g->link);
	g->hit = fault_hit;
	fault_at = 0;
}

static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct rig *g = arg;

	(void)msg;
	(void)err;
	if (flags & ORLOP_REPLY_MORE) {
		g->parts++;
		return;
	}
	g->status = status;
	kit_signal(&g->replied);
}

static void ask(struct rig *g, uint32_t op, bool faulty)
{
	struct orlop_send s = kit_send("victim", op, "hello", 5);
	struct orlop_request *r = NULL;

	s.timeout_ns = UINT64_C(30000000000);
	if (faulty) {
		fault_at = g->n;
		fault_hit = false;
	}
	g->r = core_link_request(g->link, &s, replied, g, &r);
	if (faulty) {
		if (g->r == 0 && g->n % 2)
			core_request_cancel(r);
		g->hit = fault_hit;
		fault_at = 0;
	}
}

static void ask_run(void *arg)
{
	ask(arg, 1, true);
}

static void ask_served_run(void *arg)
{
	ask(arg, 2, false);
}

static void noted(void *arg, uint64_t value)
{
	(void)arg;
	(void)value;
}

static void listen_run(void *arg)
{
	struct rig *g = arg;
	struct core_note_sub *sub = NULL;

	fault_at = g->n;
	fault_hit = false;
	g->r = core_link_note_subscribe(g->link, core_bus_topic(g->bus, "t"), noted, g, &sub);
	core_note_unsubscribe(sub);
	g->hit = fault_hit;
	fault_at = 0;
}

int main(void)
{
	struct rig g = { .replied = KIT_EVENT_INIT };
	struct core_link *link;
	uint64_t expected = 0;
	bool good = true;

	kit_must(core_bus_new(NULL, &g.bus), "bus");
	g.loop = kit_loop(0);
	for (g.n = 1, g.hit = true; g.hit; g.n++) {
		kit_on(g.loop, open_run, &g);
		good &= g.r == (g.hit ? -ENOMEM : 0);
		if (g.r == 0 && g.hit)
			kit_close(g.loop, g.link);
	}
	ok(good && g.n > 8, "opening a link fails cleanly at each of %ld allocations", g.n - 2);
	link = g.link;
	kit_must(core_bus_address_set(g.bus, "victim", link), "address");
	for (g.n = 1, good = true, g.hit = true; g.hit; g.n++) {
		kit_on(g.loop, ask_run, &g);
		good &= g.r == 0 || g.r == -ENOMEM;
		expected += g.r == 0;
		good &= kit_wait(&g.replied, expected);
	}
	ok(good && expected > 0, "asking and cancelling too, and what was accepted is answered");
	for (g.n = 1, good = true, g.hit = true; g.hit; g.n++) {
		kit_on(g.loop, ask_served_run, &g);
		good &= g.r == 0 && kit_wait(&g.replied, ++expected);
		good &= g.status == 0 || g.status == -ENOMEM;
	}
	ok(good && g.n > 3, "an answer without memory is -ENOMEM, not silence");
	for (g.n = 1, good = true, g.hit = true; g.hit; g.n++) {
		kit_on(g.loop, listen_run, &g);
		good &= g.r == 0 || g.r == -ENOMEM;
	}
	ok(good, "listening fails cleanly");
	kit_close(g.loop, link);
	core_loop_free(g.loop);
	core_bus_free(g.bus);
	return done_testing();
}
