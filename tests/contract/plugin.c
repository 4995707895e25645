/*
 * plugin.c - the contract of the class scheduler-plugin (abi/orlop/scheduler-plugin.h), against the one among the examples.
 *
 * With arguments: MODULE.so [param=value …], for strangers'. What a plugin thinks of nodes is its own affair; judged is
 * the form of its verdicts, that they are the same as long as nothing changes, that it answers whatever it is asked, and
 * that it changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/scheduler-plugin.h>

#include "base/obuf.h"
#include "contract/subject.h"
#include "orlop/inline/msg.h"

#define MANY 5000u

static struct subject s;
static char address[100];

static void begin(void)
{
	s.fh = fakehost_new();
	fakehost_resource(s.fh, "pods", 1, "spec.nodeName", "status.phase", NULL);
	fakehost_resource(s.fh, "nodes", 0, NULL);
	fakehost_resource(s.fh, "namespaces", 0, NULL);
	fakehost_api(s.fh);
	for (int i = 1; i <= 3; i++)
		fakehost_putf(s.fh, "nodes", "", i == 1 ? "n1" : i == 2 ? "n2" : "n3", "{\"metadata\":{\"labels\":{\"example.org/reserved-for\":\"%s\"}},"
			      "\"spec\":{},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"}}}",
			      i == 1 ? "default" : i == 2 ? "shop" : "");
	subject_params(&s);
	(void)snprintf(address, sizeof(address), "scheduler-plugin/%s", s.mod->name);
}

static void end(const char *what)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (s.m) {
		is_int(fakehost_unload(s.fh, s.m, &err), 0, "%s: %s: unloads", s.title, what);
		is_int(fakehost_held(s.fh), 0, "%s: %s: and leaves nothing", s.title, what);
	}
	orlop_error_done(&err);
	fakehost_free(s.fh);
	s.fh = NULL;
	s.m = NULL;
}

static struct fakehost_reply ask(const void *nodes, size_t len, bool with_pod)
{
	static const char pod[] = "\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},\"spec\":{\"schedulerName\":\"default-scheduler\","
				  "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Pending\"}";
	struct fakehost_reply reply;
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, fakehost_host(s.fh));
	if (with_pod) {
		orlop_msgw_bytes(&w, ORLOP_SCHEDULER_PLUGIN_T_POD, pod, sizeof(pod) - 1);
		orlop_msgw_str(&w, ORLOP_SCHEDULER_PLUGIN_T_NAMESPACE, "default");
		orlop_msgw_str(&w, ORLOP_SCHEDULER_PLUGIN_T_NAME, "web");
		orlop_msgw_str(&w, ORLOP_SCHEDULER_PLUGIN_T_PROFILE, "default-scheduler");
	}
	if (nodes)
		orlop_msgw_bytes(&w, ORLOP_SCHEDULER_PLUGIN_T_NODES, nodes, len);
	msg = orlop_msgw_msg(&w);
	reply = fakehost_call(s.fh, address, ORLOP_SCHEDULER_PLUGIN_JUDGE, &msg);
	orlop_msgw_done(&w);
	return reply;
}

static int32_t verdict(struct orlop_bytes v, uint32_t i)
{
	const uint8_t *b = (const uint8_t *)v.p + (size_t)i * 4;

	return (int32_t)(b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
}

/* The form of an answer about @n nodes. */
static void judge_form(const struct fakehost_reply *r, uint32_t n, const char *what)
{
	const struct orlop_host *h = fakehost_host(s.fh);
	struct orlop_bytes v = orlop_msg_bytes(h, &r->msg, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS);
	uint64_t never = orlop_msg_u64(&r->msg, ORLOP_SCHEDULER_PLUGIN_T_NEVER, 0);
	uint32_t reasons = 0, long_ones = 0, beyond = 0, unsaid = 0;
	struct orlop_msgr m;

	orlop_msgr_init(&m, h, &r->msg, r->msg.body);
	while (orlop_msgr_next(&m))
		if (m.tag == ORLOP_SCHEDULER_PLUGIN_T_REASON) {
			reasons++;
			long_ones += !m.bytes.len || m.bytes.len > 200;
		}
	for (uint32_t i = 0; i < v.len / 4; i++) {
		int32_t x = verdict(v, i);

		beyond += x > ORLOP_SCHEDULER_PLUGIN_SCORE_MAX;
		unsaid += x < 0 && (uint32_t)(-1 - x) >= reasons;
	}
	ok(v.len % 4 == 0 && v.len <= (size_t)n * 4, "%s: %s: a verdict a node at most", s.title, what);
	is_int(beyond, 0, "%s: %s: scores end at 100", s.title, what);
	is_int(unsaid, 0, "%s: %s: who is refused is told why", s.title, what);
	ok(reasons <= ORLOP_SCHEDULER_PLUGIN_REASONS && !long_ones, "%s: %s: 16 reasons of 200 bytes at most", s.title, what);
	ok(reasons >= 64 || !(never >> reasons), "%s: %s: never is said of reasons that are there", s.title, what);
}

static void test_verdicts(void)
{
	static const char nodes[] = "n1\0n2\0n3";
	struct fakehost_reply a, b;

	begin();
	if (subject_load(&s)) {
		const struct orlop_host *h = fakehost_host(s.fh);
		struct orlop_bytes x, y;

		fakehost_run(s.fh);
		ok(fakehost_is_ready(s.fh, s.m), "%s: is ready", s.title);
		fakehost_api_clear(s.fh);
		a = ask(nodes, sizeof(nodes), true);
		if (is_int(a.status, 0, "%s: answers about a pod and three nodes", s.title)) {
			judge_form(&a, 3, "three nodes");
			b = ask(nodes, sizeof(nodes), true);
			x = orlop_msg_bytes(h, &a.msg, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS);
			y = orlop_msg_bytes(h, &b.msg, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS);
			ok(b.status == 0 && x.len == y.len && (!x.len || !memcmp(x.p, y.p, x.len)),
			   "%s: the same when it is asked once more", s.title);
			fakehost_reply_done(&b);
		}
		fakehost_reply_done(&a);
		is_int(fakehost_api_count(s.fh, ""), 0, "%s: and changes nothing", s.title);
	}
	end("verdicts");
}

/* Whatever it is asked it answers: by verdicts, or by an error. */
static void test_odd(void)
{
	static const struct {
		const char *what, *nodes;
		size_t	len;
		bool	pod;
	} odd[] = {
		{ "no nodes", "", 0, true },
		{ "nodes that nobody knows", "ghost\0n1\0", 9, true },
		{ "a name without its end", "n1\0n2", 5, true },
		{ "an empty name", "\0n1\0", 4, true },
		{ "no pod", "n1\0n2\0", 6, false },
		{ "nothing at all", NULL, 0, false },
	};
	static const uint32_t n[] = { 0, 2, 2, 2, 2, 0 };
	struct obuf many = OBUF_INIT;
	struct fakehost_reply r;

	begin();
	if (subject_load(&s)) {
		fakehost_run(s.fh);
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
			r = ask(odd[i].nodes, odd[i].len, odd[i].pod);
			ok(r.status != -ETIMEDOUT, "%s: answers when asked about %s", s.title, odd[i].what);
			if (r.status == 0)
				judge_form(&r, n[i], odd[i].what);
			fakehost_reply_done(&r);
		}
		for (uint32_t i = 0; i < MANY; i++) {
			obuf_printf(&many, "node-%u", i);
			obuf_append(&many, "", 1);
		}
		r = ask(many.data, many.len, true);
		is_int(r.status, 0, "%s: answers about %u nodes", s.title, MANY);
		if (r.status == 0)
			judge_form(&r, MANY, "many nodes");
		fakehost_reply_done(&r);
		obuf_done(&many);
	}
	end("odd questions");
}

/* It may be asked at any time that it runs: also right after its start, and after nodes went. */
static void test_changes(void)
{
	static const char nodes[] = "n1\0n2\0n3";
	struct fakehost_reply r;

	begin();
	if (subject_load(&s)) {
		r = ask(nodes, sizeof(nodes), true);
		ok(r.status != -ETIMEDOUT, "%s: answers at once", s.title);
		fakehost_reply_done(&r);
		fakehost_delete(s.fh, "nodes", "", "n1");
		fakehost_lose_notes(s.fh, 10);
		fakehost_run(s.fh);
		r = ask(nodes, sizeof(nodes), true);
		is_int(r.status, 0, "%s: and when a node has gone", s.title);
		if (r.status == 0)
			judge_form(&r, 3, "a node that has gone");
		fakehost_reply_done(&r);
		fakehost_relist(s.fh);
		fakehost_run(s.fh);
		r = ask(nodes, sizeof(nodes), true);
		is_int(r.status, 0, "%s: and when all is listed anew", s.title);
		fakehost_reply_done(&r);
	}
	end("changes");
}

static void subject_run(const char *so, const char *title, char **params)
{
	memset(&s, 0, sizeof(s));
	s.title = title;
	s.params = params;
	if (!subject_open(&s, so, "scheduler-plugin"))
		return;
	test_verdicts();
	test_odd();
	test_changes();
}

int main(int argc, char **argv)
{
	const char *builddir = getenv("builddir");
	char so[4096];

	if (argc > 1) {
		subject_run(argv[1], argv[1], argv + 2);
		return done_testing();
	}
	(void)snprintf(so, sizeof(so), "%s/tests/modules/reserve.so", builddir ? builddir : ".");
	subject_run(so, "reserve", NULL);
	return done_testing();
}
