/* queue.c - order, back-off and waking of waiting pods. */
#include "base/otap.h"

#include "base/omem.h"
#include "../sched.h"

#define S UINT64_C(1000000000)

static struct sd_queue q;
static struct sd_cluster c;

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void pod_init(struct sd_pod *p, const char *spec, int32_t priority)
{
	memset(p, 0, sizeof(*p));
	olist_init(&p->on_node);
	olist_init(&p->on_nominated);
	olist_init(&p->waiting);
	p->priority = priority;
	if (sd_spec_new(text(spec), &p->spec) || sd_load_new(text(spec), text("p"), &p->load))
		otap_bail_out("pod");
}

static void pod_done(struct sd_pod *p)
{
	sd_queue_remove(&q, p);
	sd_pod_unplace(&c, p);
	sd_spec_free(p->spec);
	omem_free(p->load);
}

static void test_order(void)
{
	static const struct { int32_t priority; uint64_t at; } in[] = { { 0, 3 }, { 10, 9 }, { 0, 1 }, { 10, 8 }, { -5, 0 }, { 0, 2 } };
	static const uint32_t want[] = { 3, 1, 2, 5, 0, 4 };
	struct sd_pod p[6];

	for (uint32_t i = 0; i < 6; i++) {
		pod_init(&p[i], "{}", in[i].priority);
		sd_queue_add(&q, &p[i], in[i].at);
	}
	for (uint32_t i = 0; i < 6; i++)
		ok(sd_queue_pop(&q) == &p[want[i]], "%u. by priority, then time", i + 1);
	ok(sd_queue_pop(&q) == NULL, "empty");
	for (uint32_t i = 0; i < 6; i++)
		pod_done(&p[i]);
}

static void test_heap(void)
{
	static struct sd_pod p[1000];
	uint32_t seed = 3, bad = 0;
	const struct sd_pod *last = NULL;
	struct sd_pod *x;

	for (uint32_t i = 0; i < 1000; i++) {
		pod_init(&p[i], "{}", (int32_t)((seed = seed * 1664525 + 1013904223) >> 28));
		sd_queue_add(&q, &p[i], seed >> 16);
	}
	for (uint32_t i = 0; i < 1000; i += 3)
		sd_queue_remove(&q, &p[i]);
	while ((x = sd_queue_pop(&q))) {
		if (last && (last->priority < x->priority || (last->priority == x->priority && last->queued_ns > x->queued_ns)))
			bad++;
		last = x;
	}
	is_int(bad, 0, "order holds after removals");
	for (uint32_t i = 0; i < 1000; i++)
		pod_done(&p[i]);
}

static void test_backoff(void)
{
	static const uint64_t want[] = { 1, 2, 4, 8, 10, 10 };
	struct sd_pod p;
	uint64_t now = 100 * S;

	pod_init(&p, "{}", 0);
	sd_queue_add(&q, &p, now);
	for (uint32_t i = 0; i < 6; i++) {
		ok(sd_queue_pop(&q) == &p, "attempt %u", i + 1);
		sd_queue_retry(&q, &p, now);
		ok(sd_queue_tick(&q, now) == now + want[i] * S, "waits %u s", (uint32_t)want[i]);
		sd_queue_tick(&q, now + want[i] * S - 1);
		ok(sd_queue_pop(&q) == NULL, "not before");
		now += want[i] * S;
		sd_queue_tick(&q, now);
	}
	ok(sd_queue_pop(&q) == &p, "and then");
	pod_done(&p);
}

static void test_unschedulable(void)
{
	struct sd_pod p;
	uint64_t now = 1000 * S;

	pod_init(&p, "{}", 0);
	sd_queue_add(&q, &p, now);
	(void)sd_queue_pop(&q);
	sd_queue_unschedulable(&q, &p, now);
	ok(sd_queue_tick(&q, now + 299 * S) == now + 300 * S && p.queued == SD_UNSCHEDULABLE, "sleeps for up to five minutes");
	sd_queue_tick(&q, now + 300 * S);
	ok(p.queued == SD_ACTIVE, "then it is tried anyway");
	(void)sd_queue_pop(&q);
	sd_queue_unschedulable(&q, &p, now);
	sd_queue_wake(&q, &p, now + S);
	ok(p.queued == SD_BACKOFF, "woken within its back-off it waits for its end");
	sd_queue_remove(&q, &p);
	sd_queue_add(&q, &p, now);
	ok(p.queued == SD_ACTIVE, "a changed pod is tried at once");
	pod_done(&p);
}

static void test_gates(void)
{
	struct sd_pod p;

	pod_init(&p, "{\"schedulingGates\":[{\"name\":\"a\"}]}", 0);
	sd_queue_add(&q, &p, 1);
	ok(p.queued == SD_GATED && sd_queue_pop(&q) == NULL && q.n_gated == 1, "a gated pod is not tried");
	sd_queue_wake_all(&q, 2);
	ok(p.queued == SD_GATED, "nor woken");
	pod_done(&p);
	is_int(q.n_gated, 0, "and leaves");
}

static void node(const char *name, const char *json)
{
	if (sd_node_set(&c, text(name), text(json)))
		otap_bail_out("node");
}

static void test_wake_for(void)
{
	struct sd_pod big, picky, holder;

	sd_cluster_init(&c, 1);
	pod_init(&big, "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]}", 0);
	pod_init(&picky, "{\"nodeSelector\":{\"a\":\"b\"},\"containers\":[{\"name\":\"c\"}]}", 0);
	pod_init(&holder, "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]}", 0);
	sd_queue_unschedulable(&q, &big, 0);
	sd_queue_unschedulable(&q, &picky, 0);
	node("n", "\"status\":{\"allocatable\":{\"cpu\":\"4\",\"pods\":\"9\"}}");
	sd_pod_place(&c, &holder, text("n"));
	sd_queue_wake_for(&q, &c, 60 * S);
	ok(big.queued == SD_UNSCHEDULABLE && picky.queued == SD_UNSCHEDULABLE && !c.n_dirty, "a node that helps nobody wakes nobody");
	sd_pod_unplace(&c, &holder);
	is_int(c.n_dirty, 1, "a pod gone: its node may have room");
	sd_queue_wake_for(&q, &c, 60 * S);
	ok(big.queued == SD_ACTIVE && picky.queued == SD_UNSCHEDULABLE, "it wakes the pod that fits now");
	node("n", "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"pods\":\"9\"}}");
	sd_queue_wake_for(&q, &c, 60 * S);
	ok(picky.queued == SD_ACTIVE, "a label wakes the pod that wants it");
	pod_done(&big);
	pod_done(&picky);
	pod_done(&holder);
	sd_cluster_done(&c);
}

static void test_differs(void)
{
#define NODE(rv, labels, beat) "\"metadata\":{\"name\":\"n\",\"labels\":{" labels "},\"resourceVersion\":\"" rv "\"},\"spec\":{}," \
	"\"status\":{\"allocatable\":{\"cpu\":\"4\"},\"conditions\":[{\"lastHeartbeatTime\":\"" beat "\"}]}"
	ok(!sd_node_differs(text(NODE("1", "\"a\":\"b\"", "x")), text(NODE("2", "\"a\":\"b\"", "y"))), "a heartbeat changes nothing");
	ok(sd_node_differs(text(NODE("1", "\"a\":\"b\"", "x")), text(NODE("2", "\"a\":\"c\"", "x"))), "a label does");
}

int main(void)
{
	sd_queue_init(&q);
	test_order();
	test_heap();
	test_backoff();
	test_unschedulable();
	test_gates();
	test_wake_for();
	test_differs();
	sd_queue_done(&q);
	return done_testing();
}
