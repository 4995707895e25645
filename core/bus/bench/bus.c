/*
 * bus.c - how fast is the bus: a request and its answer between two links on two loops.
 *
 * Prints one JSON line. "idle": one request at a time; "pipelined": 512 open.
 */
#include "../test/buskit.h"

#define WARM	2000u
#define IDLE	20000u
#define PIPED	500000u
#define OPEN	512u

struct bench {
	struct core_link *link;
	uint64_t	n;
	uint64_t	sent;
	uint64_t	got;
	uint64_t	open;
	uint64_t	at;
	uint32_t	*ns;
	struct kit_event done;
	bool		failed;
};

static int echo(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)err;
	core_call_done(call, 0, &req->msg, NULL);
	return 0;
}

static void fill(struct bench *b);

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		     uint32_t flags)
{
	struct bench *b = arg;
	uint64_t now;

	(void)msg;
	(void)err;
	(void)flags;
	b->failed |= status != 0;
	if (b->ns) {
		now = core_now_mono();
		b->ns[b->got] = (uint32_t)(now - b->at);
	}
	if (++b->got == b->n)
		kit_signal(&b->done);
	else
		fill(b);
}

static void fill(struct bench *b)
{
	static const char body[256];
	struct orlop_send s = kit_send("echo", 1, body, sizeof(body));

	while (b->sent < b->n && b->sent - b->got < b->open) {
		b->sent++;
		if (b->ns)
			b->at = core_now_mono();
		kit_must(core_link_request(b->link, &s, answered, b, NULL), "request");
	}
}

static void start(void *arg)
{
	fill(arg);
}

static uint64_t run(struct core_loop *loop, struct core_link *link, uint64_t n, uint64_t open, uint32_t *ns)
{
	struct bench b = { .link = link, .n = n, .open = open, .ns = ns, .done = KIT_EVENT_INIT };
	uint64_t t = core_now_mono();

	kit_on(loop, start, &b);
	if (!kit_wait(&b.done, 1) || b.failed)
		kit_must(-EIO, "requests failed");
	return core_now_mono() - t;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t retransmitted;

static void stats(void *arg, const struct core_link_stats *s)
{
	(void)arg;
	retransmitted += s->retransmitted;
}

int main(void)
{
	static const struct kit_ops ops = { .size = sizeof(ops), .op = { [1] = echo } };
	struct core_loop *l1 = kit_loop(1);
	struct core_loop *l2 = kit_loop(2);
	uint32_t *ns = calloc(IDLE, sizeof(*ns));
	struct core_bus *bus = NULL;
	struct core_link *caller;
	struct core_link *answerer;
	uint64_t piped;

	kit_must(ns ? core_bus_new(NULL, &bus) : -ENOMEM, "core_bus_new");
	answerer = kit_link(bus, l2, "answerer", (const struct orlop_ops *)(const void *)&ops, NULL);
	caller = kit_link(bus, l1, "caller", NULL, NULL);
	kit_must(core_bus_address_set(bus, "echo", answerer), "address");
	(void)run(l1, caller, WARM, 1, NULL);
	(void)run(l1, caller, IDLE, 1, ns);
	qsort(ns, IDLE, sizeof(*ns), by_value);
	piped = run(l1, caller, PIPED, OPEN, NULL);
	core_bus_stats(bus, stats, NULL);
	printf("{\"bench\":\"bus\",\"command\":\"core/bus/bench/bus\",\"body_bytes\":256,"
	       "\"idle_p50_us\":%.1f,\"idle_p99_us\":%.1f,\"pipelined_per_s\":%.0f,\"open\":%u,"
	       "\"retransmitted\":%llu}\n",
	       ns[IDLE / 2] / 1e3, ns[IDLE / 100 * 99] / 1e3, PIPED * 1e9 / (double)piped, OPEN,
	       (unsigned long long)retransmitted);
	kit_close(l1, caller);
	kit_close(l2, answerer);
	core_bus_free(bus);
	core_loop_free(l1);
	core_loop_free(l2);
	free(ns);
	return 0;
}
