/*
 * bus.c - requests between four modules on a bus that loses, doubles and reorders: each request is
 * handled once and answered once, with the answer that belongs to it.
 */
#include "buskit.h"

#include "base/otap.h"

#define MODULES 4
#define OPEN 200

struct module {
	struct core_loop *loop;
	struct core_link *link;
	int		n;
	uint64_t	each;		/* requests to send */
	uint8_t		*handled;	/* [sender * each + i]: how often */
	uint64_t	last[MODULES];	/* highest number from each sender */
	uint64_t	disorder;
	uint64_t	sent;
	uint64_t	answered;
	uint64_t	wrong;
	struct kit_event done;
	struct module	*all;
	struct orlop_call *late;	/* answered one request later, to mix the order of answers */
	uint64_t	late_value;
};

struct body {
	uint64_t	from;
	uint64_t	i;
	uint64_t	pad[3];
};

static void answer(struct orlop_call *call, uint64_t v)
{
	uint64_t value = v * 3 + 1;
	struct orlop_msg m = kit_msg(&value, sizeof(value));

	core_call_done(call, 0, &m, NULL);
}

static int serve(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct module *me = ctx;
	struct body b;
	uint64_t v;

	(void)err;
	memcpy(&b, req->msg.body.p, sizeof(b));
	me->handled[b.from * me->each + b.i]++;
	if (b.i + 1 <= me->last[b.from])
		me->disorder++;
	me->last[b.from] = b.i + 1;
	if (req->who->user.len != 2 || req->who->user.p[1] != (char)('0' + b.from) || req->key != 0 ||
	    !req->trace)
		me->wrong++;
	v = b.from << 32 | b.i;
	if (me->late) {
		answer(me->late, me->late_value);
		me->late = NULL;
	}
	if (b.i % 5 == 0 && b.i + OPEN < me->each) {
		me->late = call;
		me->late_value = v;
		return 0;
	}
	if (b.i % 7 == 0)
		return -ESRCH;
	answer(call, v);
	return 0;
}

static void fill(struct module *me);

struct pending {
	struct module	*me;
	uint64_t	i;
	int		calls;
};

static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct pending *p = arg;
	struct module *me = p->me;
	uint64_t want = ((uint64_t)me->n << 32 | p->i) * 3 + 1;
	uint64_t got = 0;
	bool late = p->i % 5 == 0 && p->i + OPEN < me->each;

	(void)err;
	if (status == 0 && msg->body.len == sizeof(got))
		memcpy(&got, msg->body.p, sizeof(got));
	if (p->calls++ || flags || (p->i % 7 == 0 && !late ? status != -ESRCH : got != want))
		me->wrong++;
	if (++me->answered < me->each)
		fill(me);
	kit_signal(&me->done);
}

static struct pending *pendings[MODULES];

static void fill(struct module *me)
{
	static const char *const names[MODULES] = { "m0", "m1", "m2", "m3" };

	while (me->sent < me->each && me->sent - me->answered < OPEN) {
		struct body b = { .from = (uint64_t)me->n, .i = me->sent };
		struct orlop_send s = kit_send(names[(me->n + 1 + me->sent % (MODULES - 1)) % MODULES], 1,
					       &b, sizeof(b));

		pendings[me->n][me->sent] = (struct pending){ .me = me, .i = me->sent };
		kit_must(core_link_request(me->link, &s, replied, &pendings[me->n][me->sent], NULL),
			 "request");
		me->sent++;
	}
}

static void start(void *arg)
{
	fill(arg);
}

static uint64_t repeats;

static void stats(void *arg, const struct core_link_stats *s)
{
	(void)arg;
	repeats += s->retransmitted;
}

static void test_storm(const struct core_bus_config *cfg, uint64_t each, int n_loops)
{
	static const struct kit_ops ops = { .size = sizeof(ops), .op = { [1] = serve } };
	static const char *const names[MODULES] = { "m0", "m1", "m2", "m3" };
	struct core_loop *loops[MODULES];
	struct module m[MODULES];
	uint64_t handled = 0, twice = 0, disorder = 0, wrong = 0;
	struct core_bus *bus;
	uint64_t t;

	kit_must(core_bus_new(cfg, &bus), "bus");
	for (int i = 0; i < n_loops; i++)
		loops[i] = kit_loop((uint32_t)i);
	memset(m, 0, sizeof(m));
	for (int i = 0; i < MODULES; i++) {
		m[i] = (struct module){ .n = i, .each = each, .all = m, .done = KIT_EVENT_INIT,
					.loop = loops[i % n_loops] };
		m[i].handled = calloc(MODULES * each, 1);
		pendings[i] = calloc(each, sizeof(struct pending));
		m[i].link = kit_link(bus, m[i].loop, names[i], (const struct orlop_ops *)(const void *)&ops,
				     &m[i]);
		kit_must(core_bus_address_set(bus, names[i], m[i].link), "address");
	}
	t = core_now_mono();
	for (int i = 0; i < MODULES; i++)
		kit_must(core_loop_post(m[i].loop, start, &m[i]), "post");
	for (int i = 0; i < MODULES; i++)
		ok(kit_wait(&m[i].done, each), "module %d has all its answers", i);
	t = core_now_mono() - t;
	repeats = 0;
	core_bus_stats(bus, stats, NULL);
	for (int i = 0; i < MODULES; i++) {
		kit_close(m[i].loop, m[i].link);
		for (uint64_t k = 0; k < MODULES * each; k++) {
			handled += m[i].handled[k];
			twice += m[i].handled[k] > 1;
		}
		wrong += m[i].wrong;
		disorder += m[i].disorder;
	}
	for (int i = 0; i < n_loops; i++)
		core_loop_free(loops[i]);
	core_bus_free(bus);
	is_int(handled, MODULES * each, "each request was handled");
	is_int(twice, 0, "none twice");
	is_int(disorder, 0, "in the order sent");
	is_int(wrong, 0, "each got its own answer, once");
	diag("%u %% loss, %d loops: %.0f requests/s, %llu repeats", cfg->loss_percent, n_loops,
	     (double)(MODULES * each) * 1e9 / (double)t, (unsigned long long)repeats);
	for (int i = 0; i < MODULES; i++) {
		free(m[i].handled);
		free(pendings[i]);
	}
}

int main(void)
{
	const char *scale = getenv("ORLOP_BUS_REQUESTS");
	uint64_t each = scale ? strtoull(scale, NULL, 10) : 20000;
	struct core_bus_config clean = { .seed = 1 };
	struct core_bus_config bad = { .loss_percent = 20, .dup_percent = 20, .reorder_percent = 20, .seed = 7 };
	struct core_bus_config worse = { .loss_percent = 40, .dup_percent = 10, .reorder_percent = 30, .seed = 9 };

	test_storm(&clean, each, 2);
	test_storm(&clean, each, 1);
	test_storm(&bad, each, 2);
	test_storm(&worse, each / 40, 4);
	return done_testing();
}
