/*
 * life.c - how requests end and links come and go: deadlines, cancellation, waiting for an address,
 * replacing under load, quiescing, closing, overload, workers with order, parts with back-pressure,
 * topics and notes. Each on a clean bus and on one that loses a fifth.
 */
#include "buskit.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/otap.h"

static struct core_bus_config config;

struct rig {
	struct core_bus	*bus;
	struct core_loop *l[2];
	struct core_link *caller;
	struct core_link *answerer;

	/* caller */
	struct kit_event replies;
	_Atomic int32_t	last;		/* status */
	uint64_t	count[3];	/* replies: 0, -ECONNRESET, others */
	uint64_t	sent;
	uint64_t	to_send;
	uint64_t	parts;
	uint64_t	part_next;
	uint64_t	wrong;
	struct orlop_request *req;
	struct orlop_error error;

	/* answerer */
	struct core_link_open_counts open;
	struct kit_event arrived;
	struct kit_event cancelled;
	struct kit_event quiet;
	struct orlop_call *held[64];
	uint32_t	n_held;
	uint64_t	emitted;
	uint64_t	emit_max;
	uint64_t	refused;
	struct orlop_call *stream;
	_Atomic uint32_t running;
	_Atomic uint32_t running_peak;
	_Atomic uint64_t order[4];
};

/* ---- the answerer's ops -------------------------------------------------------------------------------- */

static int op_echo(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)err;
	core_call_done(call, 0, &req->msg, NULL);
	return 0;
}

static void on_cancel(void *arg)
{
	struct rig *g = arg;

	kit_signal(&g->cancelled);
}

static int op_hold(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct rig *g = ctx;

	(void)req;
	(void)err;
	core_call_on_cancel(call, on_cancel, g);
	g->held[g->n_held++] = call;
	kit_signal(&g->arrived);
	return 0;
}

static void stream_run(void *arg)
{
	struct rig *g = arg;

	while (g->stream && g->emitted < g->emit_max) {
		struct orlop_msg m = kit_msg(&g->emitted, sizeof(g->emitted));
		int r = core_call_emit(g->stream, &m);

		if (r == -EAGAIN) {
			g->refused++;
			return;
		}
		if (r) {
			core_call_done(g->stream, r, NULL, NULL);
			g->stream = NULL;
			return;
		}
		g->emitted++;
	}
	if (g->stream)
		core_call_done(g->stream, 0, NULL, NULL);
	g->stream = NULL;
}

static int op_stream(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct rig *g = ctx;

	(void)req;
	(void)err;
	g->stream = call;
	core_call_on_writable(call, stream_run, g);
	stream_run(g);
	return 0;
}

static int op_fail(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	err->err = EEXIST;
	err->http = 409;
	(void)snprintf(err->reason, sizeof(err->reason), "AlreadyExists");
	(void)snprintf(err->msg, sizeof(err->msg), "pods \"a\" already exists");
	return -EEXIST;
}

/* On a worker: checks that calls of a key do not overlap and stay in order. */
static int op_work(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct rig *g = ctx;
	uint32_t n = ++g->running;
	uint64_t i;

	(void)err;
	for (uint32_t peak = g->running_peak; n > peak;)
		if (atomic_compare_exchange_weak(&g->running_peak, &peak, n))
			break;
	memcpy(&i, req->msg.body.p, sizeof(i));
	if (req->key) {
		if (g->order[req->key] != i)
			return -EBADMSG;
		(void)usleep(100);	/* not to wait for anything: to be in the way */
		g->order[req->key] = i + 1;
	}
	--g->running;
	if (i % 2)
		return -EDOM;
	core_call_done(call, 0, NULL, NULL);
	return 0;
}

static const struct kit_ops rig_ops = {
	.size = sizeof(rig_ops),
	.op = { [1] = op_echo, [2] = op_hold, [3] = op_stream, [4] = op_fail, [5] = op_work },
};
#define OPS ((const struct orlop_ops *)(const void *)&rig_ops)

/* ---- the rig ---------------------------------------------------------------------------------------------- */

static void rig_init(struct rig *g)
{
	static const struct kit_event none = KIT_EVENT_INIT;

	memset(g, 0, sizeof(*g));
	g->replies = g->arrived = g->cancelled = g->quiet = none;
	kit_must(core_bus_new(&config, &g->bus), "bus");
	g->l[0] = kit_loop(0);
	g->l[1] = kit_loop(1);
	g->caller = kit_link(g->bus, g->l[0], "caller", NULL, NULL);
	g->answerer = kit_link(g->bus, g->l[1], "answerer", OPS, g);
}

static void rig_done(struct rig *g)
{
	kit_close(g->l[0], g->caller);
	if (g->answerer)
		kit_close(g->l[1], g->answerer);
	core_loop_free(g->l[0]);
	core_loop_free(g->l[1]);
	core_bus_free(g->bus);
}

static void replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	struct rig *g = arg;

	(void)msg;
	if (flags & ORLOP_REPLY_MORE) {
		uint64_t v = UINT64_MAX;

		if (msg->body.len == sizeof(v))
			memcpy(&v, msg->body.p, sizeof(v));
		g->wrong += v != g->part_next++;
		g->parts++;
		return;
	}
	if (err)
		g->error = *err;
	g->last = status;
	g->count[status == 0 ? 0 : status == -ECONNRESET ? 1 : 2]++;
	kit_signal(&g->replies);
}

struct ask {
	struct rig	*g;
	const char	*to;
	uint32_t	op;
	uint32_t	n;
	uint64_t	timeout_ns;
	uint64_t	keys;		/* 0: no key; else i % keys + 1 */
	uint64_t	at[4];
};

static void ask_run(void *arg)
{
	struct ask *a = arg;

	for (uint64_t i = 0; i < a->n; i++) {
		uint64_t key = a->keys ? i % a->keys + 1 : 0;
		uint64_t v = a->keys ? a->at[key]++ : i;
		struct orlop_send s = kit_send(a->to, a->op, &v, sizeof(v));

		s.timeout_ns = a->timeout_ns;
		s.key = key;
		kit_must(core_link_request(a->g->caller, &s, replied, a->g, &a->g->req), "request");
	}
}

static void ask(struct rig *g, const char *to, uint32_t op, uint32_t n, uint64_t timeout_ns)
{
	struct ask a = { .g = g, .to = to, .op = op, .n = n, .timeout_ns = timeout_ns };

	kit_on(g->l[0], ask_run, &a);
}

static void cancel_run(void *arg)
{
	core_request_cancel(((struct rig *)arg)->req);
}

static void release_run(void *arg)
{
	struct rig *g = arg;

	while (g->n_held > 0)
		core_call_done(g->held[--g->n_held], 0, NULL, NULL);
}

static void quiet_cb(void *arg)
{
	kit_signal(&((struct rig *)arg)->quiet);
}

static void quiesce_run(void *arg)
{
	struct rig *g = arg;

	kit_must(core_link_quiesce(g->answerer, quiet_cb, g), "quiesce");
}

static void resume_run(void *arg)
{
	core_link_resume(((struct rig *)arg)->answerer);
}

struct found {
	const char	*name;
	struct core_link_stats s;
};

static void find(void *arg, const struct core_link_stats *s)
{
	struct found *f = arg;

	if (strcmp(s->name, f->name) == 0)
		f->s = *s;
}

static struct core_link_stats stats_of(struct rig *g, const char *name)
{
	struct found f = { .name = name };

	core_bus_stats(g->bus, find, &f);
	return f.s;
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void test_ends(void)
{
	struct rig g;
	uint64_t n = 4;
	bool late = true;

	rig_init(&g);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ask(&g, "svc", 1, 1, 0);
	ok(kit_wait(&g.replies, 1) && g.last == 0, "a request is answered");
	ask(&g, "svc", 4, 1, 0);
	ok(kit_wait(&g.replies, 2) && g.last == -EEXIST, "an error is an answer");
	is_str(g.error.msg, "pods \"a\" already exists", "with its text");
	is_int(g.error.http, 409, "and its code");
	ask(&g, "svc", 7, 1, 0);
	ok(kit_wait(&g.replies, 3) && g.last == -ENOTSUP, "an op that is missing answers so");
	ask(&g, "svc", 99, 1, 0);
	ok(kit_wait(&g.replies, 4) && g.last == -ENOTSUP, "one outside of the table too");

	/* One that is still on its way then never comes to the answerer: on a busy or losing bus it is asked again. */
	for (uint64_t timeout = 20000000; late && kit_count(&g.arrived) == 0; timeout *= 2) {
		ask(&g, "svc", 2, 1, timeout);
		late = kit_wait(&g.replies, ++n) && g.last == -ETIMEDOUT;
		ask(&g, "svc", 1, 1, 0);	/* behind it, so what was to arrive has arrived */
		late = kit_wait(&g.replies, ++n) && late;
	}
	ok(late, "a deadline passes");
	ok(kit_wait(&g.cancelled, 1), "and the answerer hears of it");
	ask(&g, "svc", 2, 1, 0);
	ok(kit_wait(&g.arrived, 2), "a request is with the answerer");
	kit_on(g.l[0], cancel_run, &g);
	ok(kit_wait(&g.replies, ++n) && g.last == -ECANCELED, "and is cancelled");
	ok(kit_wait(&g.cancelled, 2), "there too");
	kit_on(g.l[1], release_run, &g);	/* late answers go nowhere */
	ask(&g, "nobody", 1, 1, 20000000);
	ok(kit_wait(&g.replies, ++n) && g.last == -EHOSTUNREACH, "nobody comes to an address until the deadline");
	ask(&g, "nobody", 1, 1, UINT64_MAX);
	kit_on(g.l[0], cancel_run, &g);
	ok(kit_wait(&g.replies, ++n) && g.last == -ECANCELED, "waiting can be cancelled");
	ask(&g, "svc", 1, 1, 0);
	ok(kit_wait(&g.replies, ++n) && g.last == 0 && kit_count(&g.replies) == n, "each answered once");
	is_int(stats_of(&g, "answerer").open, 0, "nothing is open");
	rig_done(&g);
}

static void counts_run(void *arg)
{
	struct rig *g = arg;

	core_link_counts(g->answerer, &g->open);
}

static void test_address(void)
{
	struct rig g;
	struct core_link *old;

	rig_init(&g);
	ok(!core_bus_address_ready(g.bus, "svc"), "an address without a link is not ready");
	ask(&g, "svc", 1, 50, 0);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ok(core_bus_address_ready(g.bus, "svc"), "with one it is");
	ok(kit_wait(&g.replies, 50) && g.count[0] == 50, "what waited is answered");

	/* Quiesce with requests open: they finish, others wait. */
	ask(&g, "svc", 2, 3, 0);
	ok(kit_wait(&g.arrived, 3), "three are open");
	kit_on(g.l[1], quiesce_run, &g);
	ask(&g, "svc", 1, 5, 0);
	ok(!core_bus_address_ready(g.bus, "svc"), "a quiescing link takes nothing new");
	is_int(kit_count(&g.quiet), 0, "not quiet while requests are open");
	kit_on(g.l[1], counts_run, &g);
	is_int(g.open.calls, 3, "they are counted");
	kit_on(g.l[1], release_run, &g);
	ok(kit_wait(&g.quiet, 1), "quiet when they are done");
	ok(kit_wait(&g.replies, 53) && g.count[0] == 53, "they were answered");
	is_int(kit_count(&g.replies), 53, "the new ones wait");
	kit_on(g.l[1], resume_run, &g);
	ok(kit_wait(&g.replies, 58) && g.count[0] == 58, "until it resumes");

	/* Replace under load: nothing is lost, nobody gets an error. */
	for (int i = 0; i < 20; i++) {
		ask(&g, "svc", 1, 500, 0);
		kit_must(core_bus_address_set(g.bus, "svc", NULL), "address");
		kit_on(g.l[1], quiesce_run, &g);
		ask(&g, "svc", 1, 100, 0);
		ok(kit_wait(&g.quiet, 2 + (uint64_t)i), "replace %d: the old one is quiet", i);
		old = g.answerer;
		g.answerer = kit_link(g.bus, g.l[1], "answerer", OPS, &g);
		kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
		kit_close(g.l[1], old);
	}
	ok(kit_wait(&g.replies, 58 + 20 * 600), "all answered");
	is_int(g.count[0], 58 + 20 * 600, "without an error");
	rig_done(&g);
}

static void test_reset(void)
{
	struct rig g;

	rig_init(&g);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ask(&g, "svc", 2, 10, 0);
	ok(kit_wait(&g.arrived, 10), "ten are open");
	kit_close(g.l[1], g.answerer);
	ok(kit_wait(&g.replies, 10), "the answerer goes away: answered");
	is_int(g.count[1], 10, "with: outcome unknown");
	g.n_held = 0;
	ask(&g, "svc", 1, 10, 0);
	g.answerer = kit_link(g.bus, g.l[1], "answerer", OPS, &g);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ok(kit_wait(&g.replies, 20) && g.count[0] == 10, "it comes back and answers what came since");

	/* The caller goes away. */
	ask(&g, "svc", 2, 1, 0);
	ok(kit_wait(&g.arrived, 11), "one is open");
	kit_close(g.l[0], g.caller);
	ok(kit_wait(&g.cancelled, 1), "its caller vanishes: the answerer hears");
	kit_on(g.l[1], release_run, &g);
	g.caller = kit_link(g.bus, g.l[0], "caller", NULL, NULL);
	rig_done(&g);
}

static void stop_run(void *arg)
{
	struct rig *g = arg;

	core_link_stop(g->caller);
}

static void test_overload(void)
{
	struct core_bus_config saved = config;
	struct core_link_stats s;
	struct rig g;

	config.open_max = 20;
	config.park_max = 30;
	rig_init(&g);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ask(&g, "svc", 2, 50, 0);
	ok(kit_wait(&g.replies, 30) && kit_wait(&g.arrived, 20), "what is too much is answered at once");
	ok(g.count[2] == 30 && g.last == -EBUSY, "with: busy");
	s = stats_of(&g, "answerer");
	is_int(s.refused, 30, "and counted");
	is_int(s.open_peak, 20, "the rest is open");
	ask(&g, "nobody", 1, 40, UINT64_MAX);
	ok(kit_wait(&g.replies, 40) && g.last == -EBUSY, "waiting for an address is bounded too");
	kit_on(g.l[0], stop_run, &g);
	ok(kit_wait(&g.replies, 90) && g.last == -ECANCELED, "a link that stops gets all its answers");
	ok(kit_wait(&g.cancelled, 20), "and its answerers hear of it");
	kit_on(g.l[1], release_run, &g);
	rig_done(&g);
	config = saved;
}

static void test_stream(void)
{
	struct rig g;

	rig_init(&g);
	g.emit_max = 2000;
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	ask(&g, "svc", 3, 1, 0);
	ok(kit_wait(&g.replies, 1) && g.last == 0, "a stream ends");
	is_int(g.parts, 2000, "all its parts came");
	is_int(g.wrong, 0, "in order");
	ok(g.refused > 0, "with back-pressure");
	g.emit_max = UINT64_MAX;
	g.emitted = g.part_next = 0;
	ask(&g, "svc", 3, 1, 50000000);
	ok(kit_wait(&g.replies, 2) && g.last == -ETIMEDOUT, "an endless one ends at its deadline");
	ask(&g, "svc", 1, 1, 0);
	ok(kit_wait(&g.replies, 3) && g.last == 0, "and disturbs nobody");
	kit_on(g.l[1], quiesce_run, &g);
	ok(kit_wait(&g.quiet, 1), "its call was done");
	rig_done(&g);
}

/* The relay: takes parts and passes them on when the test says so. */
static struct orlop_request *relayed;

static void relay_ask(void *arg)
{
	struct rig *g = arg;
	struct orlop_send s = kit_send("svc", 3, "", 0);

	kit_must(core_link_request(g->caller, &s, replied, g, &relayed), "request");
	core_request_relay(relayed);
}

static void relay_take(void *arg)
{
	(void)arg;
	/* More than there is, at the end: not believed. */
	core_request_consumed(relayed, 16, UINT64_MAX);
}

static void relay_look(void *arg)
{
	struct rig *g = arg;

	g->sent = g->parts;
}

static uint64_t relay_parts(struct rig *g)
{
	kit_on(g->l[0], relay_look, g);
	return g->sent;
}

static void test_relay(void)
{
	struct rig g;
	uint64_t n = 32;

	rig_init(&g);
	g.emit_max = 100;
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	kit_on(g.l[0], relay_ask, &g);
	while (relay_parts(&g) < n)
		;
	ask(&g, "svc", 1, 1, 0);
	ok(kit_wait(&g.replies, 1), "what comes behind the parts");
	is_int((long)relay_parts(&g), 32, "parts that are only passed on make no room");
	for (; n < 100; n = n + 16 < 100 ? n + 16 : 100) {
		kit_on(g.l[0], relay_take, &g);
		while (relay_parts(&g) < (n + 16 < 100 ? n + 16 : 100))
			;
	}
	ok(kit_wait(&g.replies, 2) && g.last == 0 && g.wrong == 0, "all come when they are consumed");
	rig_done(&g);
}

/* ---- workers ---------------------------------------------------------------------------------------------- */

struct job {
	pthread_t	thread;
	orlop_cb	fn;
	void		*arg;
	struct job	*next;
};

static _Atomic(struct job *) jobs;

static void *job_main(void *arg)
{
	struct job *j = arg;

	j->fn(j->arg);
	return NULL;
}

static int work(void *arg, orlop_cb fn, void *fn_arg)
{
	struct job *j = calloc(1, sizeof(*j));

	(void)arg;
	j->fn = fn;
	j->arg = fn_arg;
	j->next = jobs;
	jobs = j;		/* only the loop's thread comes here */
	return -pthread_create(&j->thread, NULL, job_main, j);
}

static void test_workers(void)
{
	struct kit_open o;
	struct job *j;
	struct rig g;

	rig_init(&g);
	kit_close(g.l[1], g.answerer);
	o = (struct kit_open){ .bus = g.bus, .spec = {
		.name = "answerer", .loop = g.l[1], .flags = CORE_LINK_BLOCKING, .concurrency = 4,
		.ops = OPS, .ctx = &g, .work = work,
	} };
	kit_on(g.l[1], kit_open_run, &o);
	kit_must(o.r, "open");
	g.answerer = o.link;
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	kit_on(g.l[0], ask_run, &(struct ask){ .g = &g, .to = "svc", .op = 5, .n = 300, .keys = 3 });
	ok(kit_wait(&g.replies, 300), "calls on workers are answered");
	is_int(g.order[1] + g.order[2] + g.order[3], 300, "in order per key, one at a time");
	is_int(g.count[0] + g.count[2], 300, "once each");
	is_int(g.count[0], 150, "half well, half with an error from the worker");
	ok(g.running_peak <= 3, "no more at once than keys");
	g.running_peak = 0;
	kit_on(g.l[0], ask_run, &(struct ask){ .g = &g, .to = "svc", .op = 5, .n = 300 });
	ok(kit_wait(&g.replies, 600), "without keys too");
	ok(g.running_peak <= 4, "no more at once than the limit");
	kit_on(g.l[1], quiesce_run, &g);
	ok(kit_wait(&g.quiet, 1), "quiet when every worker is back");
	while ((j = jobs) != NULL) {
		(void)pthread_join(j->thread, NULL);
		jobs = j->next;
		free(j);
	}
	rig_done(&g);
}

/* ---- topics ---------------------------------------------------------------------------------------------- */

struct listener {
	struct rig	*g;
	struct core_note_sub *sub;
	int32_t		topic;
	_Atomic uint64_t value;
	_Atomic uint64_t calls;
	struct kit_event reached;
	struct kit_event messages;
	uint64_t	want;
};

static void noted(void *arg, uint64_t value)
{
	struct listener *l = arg;

	l->calls++;
	l->value = value;
	if (value == l->want)
		kit_signal(&l->reached);
}

static void heard(void *arg, const struct orlop_msg *msg)
{
	struct listener *l = arg;

	if (msg->body.len == 2 && memcmp(msg->body.p, "hi", 2) == 0)
		kit_signal(&l->messages);
}

static void listen_run(void *arg)
{
	struct listener *l = arg;

	kit_must(core_link_note_subscribe(l->g->answerer, l->topic, noted, l, &l->sub), "subscribe");
	kit_must(core_link_subscribe(l->g->answerer, "greetings", heard, l), "subscribe");
}

static void unlisten_run(void *arg)
{
	core_note_unsubscribe(((struct listener *)arg)->sub);
}

static void greet_run(void *arg)
{
	struct rig *g = arg;
	struct orlop_msg m = kit_msg("hi", 2);

	kit_must(core_link_publish(g->caller, "greetings", &m), "publish");
}

static void test_topics(void)
{
	struct rig g;
	struct listener l = { .g = &g, .reached = KIT_EVENT_INIT, .messages = KIT_EVENT_INIT };
	struct listener k = { .g = &g, .reached = KIT_EVENT_INIT, .messages = KIT_EVENT_INIT };
	uint64_t calls;

	rig_init(&g);
	l.topic = k.topic = core_bus_topic(g.bus, "resource/pods");
	is_int(core_bus_topic(g.bus, "resource/pods"), l.topic, "a name has one number");
	core_bus_note(g.bus, l.topic, 5);
	l.want = 5;
	kit_on(g.l[1], listen_run, &l);
	ok(kit_wait(&l.reached, 1), "a new subscriber hears the present value");
	/* Behind both subscriptions: whoever publishes from now on is heard. */
	kit_on(g.l[1], quiesce_run, &g);
	ok(kit_wait(&g.quiet, 1), "and is known to all");
	kit_on(g.l[1], resume_run, &g);
	l.want = 100000;
	calls = l.calls;
	for (uint64_t i = 6; i <= 100000; i++)
		core_bus_note(g.bus, l.topic, i);
	ok(kit_wait(&l.reached, 2), "the newest note always comes");
	diag("%llu notes for 100000", (unsigned long long)(l.calls - calls));
	core_bus_note(g.bus, l.topic, 7);
	k.want = 100000;
	kit_on(g.l[1], listen_run, &k);
	ok(kit_wait(&k.reached, 1), "a second listener of the same link hears it too");
	is_int(l.value, 100000, "values only grow");
	kit_on(g.l[1], unlisten_run, &l);
	calls = l.calls;
	k.want = 100001;
	core_bus_note(g.bus, l.topic, 100001);
	ok(kit_wait(&k.reached, 2) && l.calls == calls, "who has unsubscribed hears nothing");
	kit_on(g.l[1], unlisten_run, &k);
	core_bus_note(g.bus, l.topic, 100002);
	kit_on(g.l[0], greet_run, &g);
	ok(kit_wait(&l.messages, 1) && kit_wait(&k.messages, 1), "a message reaches who listens");
	rig_done(&g);
}

static void tapped(void *arg, const struct core_bus_head *h, const char *src, const char *dst,
		   struct orlop_bytes body)
{
	uint64_t *n = arg;

	if (h->kind && *src && *dst && body.len == 8)
		(*n)++;
}

static void test_look(void)
{
	uint64_t n = 0;
	char buf[4096];
	ssize_t len;
	int p[2];
	struct rig g;

	rig_init(&g);
	kit_must(core_bus_address_set(g.bus, "svc", g.answerer), "address");
	core_bus_tap(g.bus, tapped, &n);
	ask(&g, "svc", 1, 10, 0);
	ok(kit_wait(&g.replies, 10), "ten requests");
	core_bus_tap(g.bus, NULL, NULL);
	is_int(n, 20, "the tap saw them and their answers");
	kit_must(pipe(p), "pipe");
	core_bus_dump(g.bus, p[1]);
	len = read(p[0], buf, sizeof(buf) - 1);
	buf[len > 0 ? len : 0] = '\0';
	ok(strstr(buf, "bus caller request src=") != NULL, "the last messages can be shown");
	(void)close(p[0]);
	(void)close(p[1]);
	ok(stats_of(&g, "answerer").p99_ns > 0 && stats_of(&g, "caller").requests_out == 10, "and counters");
	rig_done(&g);
}

int main(void)
{
	for (int i = 0; i < 2; i++) {
		diag("%u %% loss", config.loss_percent);
		test_ends();
		test_address();
		test_reset();
		test_overload();
		test_stream();
		test_relay();
		test_workers();
		test_topics();
		test_look();
		config = (struct core_bus_config){
			.loss_percent = 20, .dup_percent = 20, .reorder_percent = 20, .seed = 11,
		};
	}
	return done_testing();
}
