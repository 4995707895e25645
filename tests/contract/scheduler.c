/*
 * scheduler.c - the contract of the class scheduler (abi/orlop/scheduler.h), against every implementation.
 *
 * Without arguments: ours. Otherwise: MODULE.so [scheduler=NAME] [param=value …], for strangers'; NAME is the
 * schedulerName of its pods. Placement is judged by what the API forbids and the pod asks for, never by taste: each
 * waiting pod gets one binding to a node that can take it, and none if there is no such node.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <orlop/api.h>
#include <orlop/scheduler.h>

#include "contract/subject.h"
#include "json/ojson.h"
#include "json/oscan.h"
#include "orlop/inline/msg.h"

static struct subject s;
static const char *scheduler = "default-scheduler";

/* What the API does with bindings. */
enum fault { NONE, CONFLICT, ERROR, LOST_DONE, LOST_NOT_DONE };
static struct {
	enum fault	fault;
	uint32_t	n;		/* bindings it is done to, from now on */
	uint32_t	bindings;	/* asked for */
	uint32_t	hit;
} api;

/* ---- the world ------------------------------------------------------------------------------------- */

static const char *on(const char *pod)
{
	static char text[4][256];
	static int turn;
	const char *json = fakehost_get(s.fh, "pods", "default", pod);
	struct orlop_bytes v = { "", 0 };

	turn = (turn + 1) % 4;
	text[turn][0] = '\0';
	if (json && OSCAN_FIND_MEMBERS(((struct orlop_bytes){ json, strlen(json) }), &v, "spec", "nodeName") && v.len > 2)
		(void)snprintf(text[turn], sizeof(text[turn]), "%.*s", (int)v.len - 2, v.p + 1);
	return text[turn];
}

static bool bound(const char *pod)
{
	return *on(pod) != '\0';
}

static void node(const char *name, const char *spec, const char *labels, const char *cpu)
{
	fakehost_putf(s.fh, "nodes", "", name, "{\"metadata\":{\"labels\":{%s}},\"spec\":{%s},\"status\":{\"allocatable\":{"
		      "\"cpu\":\"%s\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
		      labels, spec, cpu);
}

static void pod(const char *name, const char *spec, const char *cpu)
{
	fakehost_putf(s.fh, "pods", "default", name, "{\"spec\":{\"schedulerName\":\"%s\",%s\"containers\":[{\"name\":\"c\",\"image\":"
		      "\"i\",\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}]},\"status\":{\"phase\":\"Pending\"}}", scheduler, spec, cpu);
}

/* Is @body, of @msg, the request for a binding? */
static bool mentions_binding(const struct orlop_msg *msg, struct orlop_bytes body)
{
	struct orlop_msgr r;

	orlop_msgr_init(&r, fakehost_host(s.fh), msg, body);
	while (orlop_msgr_next(&r))
		if (r.tag == ORLOP_API_T_SUBRESOURCE)
			return r.bytes.len == 7 && !memcmp(r.bytes.p, "binding", 7);
	return false;
}

/* Counts bindings; spoils those that are to be spoilt. A batch is spoilt as a whole. */
static int hook(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct orlop_msgr r;
	uint32_t n = 0;

	(void)arg;
	if (req->op == ORLOP_API_REQUEST) {
		n = mentions_binding(&req->msg, req->msg.body);
	} else if (req->op == ORLOP_API_BATCH) {
		orlop_msgr_init(&r, fakehost_host(s.fh), &req->msg, req->msg.body);
		while (orlop_msgr_next(&r))
			if (r.tag == ORLOP_API_T_REQUEST)
				n += mentions_binding(&req->msg, r.bytes);
	}
	api.bindings += n;
	if (!n || !api.n || api.fault == NONE)
		return 0;
	api.n--;
	api.hit++;
	switch (api.fault) {
	case CONFLICT:
		fakehost_reply_error(call, ECANCELED, 409, "Conflict", "the pod has changed");
		return 1;
	case ERROR:
		fakehost_reply_error(call, EIO, 500, "InternalError", "spoilt");
		return 1;
	case LOST_NOT_DONE:
		fakehost_reply(call, -ECONNRESET, NULL);
		return 1;
	case LOST_DONE:
		/* Done by somebody whose answer got lost: a pod that waits has its node. */
		fakehost_put(s.fh, "pods", "default", "web",
			     "{\"spec\":{\"schedulerName\":\"default-scheduler\",\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\","
			     "\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]},\"status\":{\"phase\":\"Pending\"}}");
		fakehost_reply(call, -ECONNRESET, NULL);
		return 1;
	default:
		return 0;
	}
}

static bool begin(void)
{
	memset(&api, 0, sizeof(api));
	s.fh = fakehost_new();
	subject_params(&s);
	fakehost_resource(s.fh, "pods", 1, "spec.nodeName", "status.phase", "spec.schedulerName", NULL);
	fakehost_resource(s.fh, "nodes", 0, NULL);
	fakehost_resource(s.fh, "events", 1, NULL);
	fakehost_api(s.fh);
	fakehost_api_hook(s.fh, hook, NULL);
	return true;
}

static void settle(uint64_t ns)
{
	fakehost_advance(s.fh, ns);
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
	s.m = NULL;
}

/* ---- the promises ------------------------------------------------------------------------------------- */

static void test_binds(void)
{
	begin();
	node("n1", "", "", "4");
	pod("web", "", "1");
	fakehost_put(s.fh, "pods", "default", "other", "{\"spec\":{\"schedulerName\":\"someone-else\",\"containers\":[{\"name\":\"c\"}]}}");
	fakehost_putf(s.fh, "pods", "default", "done", "{\"spec\":{\"schedulerName\":\"%s\",\"containers\":[{\"name\":\"c\"}]},\"status\":{"
		      "\"phase\":\"Succeeded\"}}", scheduler);
	if (!subject_load(&s)) {
		end("plain");
		return;
	}
	settle(FAKEHOST_S);
	ok(fakehost_is_ready(s.fh, s.m), "%s: is ready", s.title);
	is_str(on("web"), "n1", "%s: a pod that waits gets its node", s.title);
	is_str(on("other"), "", "%s: another scheduler's does not", s.title);
	is_str(on("done"), "", "%s: nor one that has ended", s.title);
	pod("late", "", "1");
	settle(FAKEHOST_S);
	is_str(on("late"), "n1", "%s: one that comes later does", s.title);
	settle(600 * FAKEHOST_S);
	is_int(api.bindings, 2, "%s: by one binding each", s.title);
	end("plain");
}

static void test_fits(void)
{
	int placed = 0;
	char name[32];

	begin();
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		node(name, "", "", "2");
	}
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "p%d", i);
		pod(name, "", "500m");
	}
	if (subject_load(&s)) {
		int used[4] = { 0 };

		settle(30 * FAKEHOST_S);
		for (int i = 0; i < 20; i++) {
			(void)snprintf(name, sizeof(name), "p%d", i);
			if (bound(name)) {
				placed++;
				used[on(name)[1] - '0']++;
			}
		}
		is_int(placed, 12, "%s: as many as fit are placed", s.title);
		ok(used[1] == 4 && used[2] == 4 && used[3] == 4, "%s: no node has more than it can take", s.title);
		fakehost_delete(s.fh, "pods", "default", "p0");
		fakehost_delete(s.fh, "pods", "default", "p1");
		settle(60 * FAKEHOST_S);
		placed = 0;
		for (int i = 2; i < 20; i++) {
			(void)snprintf(name, sizeof(name), "p%d", i);
			placed += bound(name);
		}
		ok(placed <= 12 && placed > 10 - 1, "%s: room that comes free is used, and no more than that", s.title);
		node("n4", "", "", "8");
		settle(60 * FAKEHOST_S);
		placed = 0;
		for (int i = 2; i < 20; i++) {
			(void)snprintf(name, sizeof(name), "p%d", i);
			placed += bound(name);
		}
		is_int(placed, 18, "%s: a new node takes the rest", s.title);
	}
	end("room");
}

static void test_where(void)
{
	begin();
	node("tainted", "\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]", "\"disk\":\"ssd\"", "4");
	node("closed", "\"unschedulable\":true", "\"disk\":\"ssd\"", "4");
	node("small", "", "\"disk\":\"ssd\"", "100m");
	node("other", "", "\"disk\":\"hdd\"", "4");
	pod("ssd", "\"nodeSelector\":{\"disk\":\"ssd\"},", "1");
	pod("tolerant", "\"nodeSelector\":{\"disk\":\"ssd\"},\"tolerations\":[{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"v\",\"effect\":\"NoSchedule\"}],", "1");
	pod("hdd", "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{\"matchExpressions\":"
	    "[{\"key\":\"disk\",\"operator\":\"In\",\"values\":[\"hdd\"]}]}]}}},", "1");
	if (subject_load(&s)) {
		settle(30 * FAKEHOST_S);
		is_str(on("ssd"), "", "%s: no node is right: none is taken", s.title);
		ok(fakehost_api_count(s.fh, "Unschedulable") > 0, "%s: and the pod's condition says so", s.title);
		is_str(on("tolerant"), "tainted", "%s: a toleration opens a tainted node", s.title);
		is_str(on("hdd"), "other", "%s: required node affinity is kept", s.title);
		node("closed", "", "\"disk\":\"ssd\"", "4");
		settle(60 * FAKEHOST_S);
		is_str(on("ssd"), "closed", "%s: once a node is opened it is taken", s.title);
	}
	end("where");
}

static void test_hints(void)
{
	begin();
	node("n1", "", "", "4");
	if (subject_load(&s)) {
		settle(FAKEHOST_S);
		fakehost_lose_notes(s.fh, 10);
		pod("web", "", "1");
		settle(10 * FAKEHOST_S);
		is_str(on("web"), "n1", "%s: notes may get lost", s.title);
		fakehost_relist(s.fh);
		pod("two", "", "1");
		settle(10 * FAKEHOST_S);
		is_str(on("two"), "n1", "%s: all may be listed anew", s.title);
		is_int(api.bindings, 2, "%s: nothing is bound twice for that", s.title);
	}
	end("hints");
}

static void test_fault(enum fault fault, const char *what)
{
	begin();
	node("n1", "", "", "4");
	api.fault = fault;
	api.n = 1;
	pod("web", "", "3");
	if (subject_load(&s)) {
		settle(120 * FAKEHOST_S);
		is_int(api.hit, 1, "%s: %s", s.title, what);
		is_str(on("web"), "n1", "%s: %s: it is placed all the same", s.title, what);
		pod("two", "", "3");
		settle(60 * FAKEHOST_S);
		is_str(on("two"), "", "%s: %s: its room is not given away twice", s.title, what);
		fakehost_delete(s.fh, "pods", "default", "web");
		settle(120 * FAKEHOST_S);
		is_str(on("two"), "n1", "%s: %s: and comes free again", s.title, what);
	}
	end(what);
}

static void test_leads(void)
{
	begin();
	node("n1", "", "", "4");
	fakehost_leading(s.fh, 0);
	pod("web", "", "1");
	if (subject_load(&s)) {
		settle(60 * FAKEHOST_S);
		is_int(api.bindings, 0, "%s: who does not lead binds nothing", s.title);
		fakehost_leading(s.fh, 1);
		settle(10 * FAKEHOST_S);
		is_str(on("web"), "n1", "%s: who leads does", s.title);
		fakehost_leading(s.fh, 0);
		pod("two", "", "1");
		settle(60 * FAKEHOST_S);
		is_str(on("two"), "", "%s: and stops when it does not any more", s.title);
	}
	end("leadership");
}

static void test_crash(void)
{
	begin();
	node("n1", "", "", "4");
	for (int i = 0; i < 6; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "p%d", i);
		pod(name, "", "1");
	}
	if (subject_load(&s)) {
		int placed = 0;

		(void)fakehost_run(s.fh);
		fakehost_crash(s.fh, s.m);
		if (subject_load(&s)) {
			settle(60 * FAKEHOST_S);
			for (int i = 0; i < 6; i++) {
				char name[32];

				(void)snprintf(name, sizeof(name), "p%d", i);
				placed += bound(name);
			}
			is_int(placed, 4, "%s: after a crash it finds again what it needs", s.title);
		}
	}
	end("crash");
}

static void test_gone(void)
{
	begin();
	node("n1", "", "", "1");
	pod("web", "", "2");
	if (subject_load(&s)) {
		settle(FAKEHOST_S);
		fakehost_delete(s.fh, "pods", "default", "web");
		fakehost_delete(s.fh, "nodes", "", "n1");
		node("n2", "", "", "4");
		settle(60 * FAKEHOST_S);
		is_int(api.bindings, 0, "%s: a pod that is gone is forgotten", s.title);
		pod("new", "", "1");
		settle(10 * FAKEHOST_S);
		is_str(on("new"), "n2", "%s: so is a node", s.title);
	}
	end("gone");
}

static void test_explain(void)
{
	struct fakehost_reply reply;
	struct orlop_msgw w;
	struct orlop_msg msg;
	cleanup_ojson struct ojson *j = NULL;

	begin();
	node("n1", "", "", "1");
	node("n2", "", "", "4");
	if (subject_load(&s)) {
		const struct orlop_host *h = fakehost_host(s.fh);

		fakehost_leading(s.fh, 0);
		pod("web", "", "2");
		settle(FAKEHOST_S);
		orlop_msgw_init(&w, h);
		orlop_msgw_str(&w, ORLOP_SCHEDULER_T_POD_NS, "default");
		orlop_msgw_str(&w, ORLOP_SCHEDULER_T_POD_NAME, "web");
		msg = orlop_msgw_msg(&w);
		reply = fakehost_call(s.fh, "scheduler", ORLOP_SCHEDULER_EXPLAIN, &msg);
		if (reply.status == -ENOTSUP) {
			otap_skip("explain is not there", 1);
		} else {
			struct orlop_bytes text = orlop_msg_bytes(h, &reply.msg, ORLOP_SCHEDULER_T_RESULT);

			(void)ojson_parse(text.p, text.len, &j, NULL);
			ok(reply.status == 0 && ojson_count(ojson_get(j, "feasible")) == 1 &&
				   !strcmp(ojson_cstr(ojson_index(ojson_get(j, "feasible"), 0), ""), "n2") &&
				   *ojson_cstr(OJSON_AT(j, "rejected", "n1"), ""),
			   "%s: explains who can take a pod and why others cannot", s.title);
			is_int(api.bindings, 0, "%s: and changes nothing", s.title);
		}
		fakehost_reply_done(&reply);
		orlop_msgw_done(&w);
	}
	end("explain");
}

static void subject_run(const char *so, const char *title, char **params)
{
	memset(&s, 0, sizeof(s));
	s.title = title;
	s.params = params;
	for (int i = 0; params && params[i]; i++)
		if (!strncmp(params[i], "scheduler=", 10))
			scheduler = params[i] + 10;
	if (!subject_open(&s, so, "scheduler"))
		return;
	test_binds();
	test_fits();
	test_where();
	test_hints();
	test_fault(CONFLICT, "a binding meets a conflict");
	test_fault(ERROR, "a binding fails");
	test_fault(LOST_NOT_DONE, "a binding is lost");
	test_fault(LOST_DONE, "the answer to a binding is lost");
	test_leads();
	subject_leaks(true);
	test_crash();
	subject_leaks(false);
	test_gone();
	test_explain();
}

int main(int argc, char **argv)
{
	const char *builddir = getenv("builddir");
	char so[4096];

	if (argc > 1) {
		subject_run(argv[1], argv[1], argv + 2);
		return done_testing();
	}
	(void)snprintf(so, sizeof(so), "%s/modules/scheduler/default.so", builddir ? builddir : ".");
	subject_run(so, "default", NULL);
	return done_testing();
}
