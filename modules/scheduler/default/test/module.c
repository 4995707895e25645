/* module.c - the module against a fake host: bindings in batches, waking, giving back, reports. */
#include "base/otap.h"

#include <errno.h>

#include <orlop/api.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/scheduler.h>

#include "fakehost.h"
#include "json/oscan.h"

extern const struct orlop_module orlop_module;

static struct fakehost *fh;
static struct fakehost_module *mod;

static void begin(void)
{
	fh = fakehost_new();
	fakehost_resource(fh, "pods", 1, "spec.nodeName", "status.phase", NULL);
	fakehost_resource(fh, "nodes", 0, NULL);
	fakehost_resource(fh, "events", 1, NULL);
	fakehost_resource(fh, "persistentvolumeclaims", 1, NULL);
	fakehost_resource(fh, "persistentvolumes", 0, NULL);
	fakehost_resource(fh, "storageclasses.storage.k8s.io", 0, NULL);
	fakehost_resource(fh, "csinodes.storage.k8s.io", 0, NULL);
	fakehost_api(fh);
}

static void load(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (fakehost_load_as(fh, &orlop_module, NULL, &mod, &err))
		otap_bail_out(err.msg);
	fakehost_run(fh);
}

static void end(const char *what)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(fakehost_unload(fh, mod, &err), 0, "%s: unloads", what);
	is_int(fakehost_held(fh), 0, "%s: nothing is left", what);
	fakehost_free(fh);
}

static void node(const char *name, const char *more, const char *cpu)
{
	fakehost_putf(fh, "nodes", "", name, "{\"spec\":{%s},\"status\":{\"allocatable\":{\"cpu\":\"%s\",\"memory\":\"8Gi\",\"pods\":\"110\"}}}",
		      more, cpu);
}

static void pod(const char *name, const char *cpu, const char *more)
{
	fakehost_putf(fh, "pods", "default", name, "{\"spec\":{\"schedulerName\":\"default-scheduler\",%s\"containers\":[{\"name\":\"c\","
		      "\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}]},\"status\":{\"phase\":\"Pending\"}}", more, cpu);
}

static const char *at(const char *name, const char *a, const char *b)
{
	static char text[4][512];
	static int turn;
	const char *json = fakehost_get(fh, "pods", "default", name);
	struct orlop_bytes v = { "", 0 };

	turn = (turn + 1) % 4;
	text[turn][0] = '\0';
	if (json && OSCAN_FIND_MEMBERS(((struct orlop_bytes){ json, strlen(json) }), &v, a, b) && v.len > 2)
		snprintf(text[turn], sizeof(text[turn]), "%.*s", (int)v.len - 2, v.p + 1);
	return text[turn];
}

#define on(pod) at(pod, "spec", "nodeName")

static const char *condition(const char *name, const char *key)
{
	static char text[512];
	const char *json = fakehost_get(fh, "pods", "default", name);
	struct orlop_bytes v = { "", 0 };

	text[0] = '\0';
	if (json && OSCAN_FIND_MEMBERS(((struct orlop_bytes){ json, strlen(json) }), &v, "status", "conditions", "0", key) && v.len > 2)
		snprintf(text, sizeof(text), "%.*s", (int)v.len - 2, v.p + 1);
	return text;
}

/* ---- the plain path -------------------------------------------------------------------------- */

static void test_bind(void)
{
	begin();
	node("n1", "", "4");
	pod("web", "1", "");
	fakehost_put(fh, "pods", "default", "other", "{\"spec\":{\"schedulerName\":\"mine\",\"containers\":[]}}");
	load();
	fakehost_run(fh);
	ok(fakehost_is_ready(fh, NULL), "ready");
	is_str(on("web"), "n1", "a pod gets its node");
	is_str(on("other"), "", "a pod of another scheduler does not");
	is_int(fakehost_api_count(fh, "create pods/binding default/web"), 1, "by one binding");
	is_int(fakehost_api_count(fh, "Successfully assigned default/web to n1"), 1, "and an Event says so");
	is_int(fakehost_api_count(fh, "\"reason\":\"Scheduled\""), 1, "Scheduled");
	ok(fakehost_api_count(fh, "\"component\":\"default-scheduler\"") == 1, "from default-scheduler");
	pod("late", "1", "");
	fakehost_run(fh);
	is_str(on("late"), "n1", "a pod that comes later too");
	is_int(fakehost_api_count(fh, "patch"), 0, "nothing else is written");
	is_int((long long)fakehost_metric(fh, "scheduler_schedule_attempts_total", "profile=\"default-scheduler\",result=\"scheduled\""), 2, "both are counted");
	end("plain");
}

static void test_unschedulable(void)
{
	static const char want[] = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
		"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";

	begin();
	node("n1", "", "1");
	node("n2", "\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]", "4");
	load();
	pod("big", "2", "");
	fakehost_run(fh);
	is_str(on("big"), "", "no node will do");
	is_str(condition("big", "reason"), "Unschedulable", "the condition says so");
	is_str(condition("big", "status"), "False", "PodScheduled is False");
	is_str(condition("big", "message"), want, "in upstream's words");
	is_int(fakehost_api_count(fh, "FailedScheduling"), 1, "and an Event");
	fakehost_api_clear(fh);
	fakehost_advance(fh, 20 * FAKEHOST_S);
	node("n1", "\"unschedulable\":false", "1");
	fakehost_run(fh);
	is_str(fakehost_api_log(fh), "", "what cannot help wakes nobody, nothing is said twice");
	fakehost_advance(fh, 301 * FAKEHOST_S);
	is_int(fakehost_api_count(fh, "patch pods"), 0, "tried again after five minutes, the condition is as it was");
	is_int(fakehost_api_count(fh, "\"count\":2"), 1, "the Event is counted");
	fakehost_advance(fh, 20 * FAKEHOST_S);
	node("n2", "", "4");
	fakehost_run(fh);
	is_str(on("big"), "n2", "the taint gone: placed");
	end("unschedulable");
}

static void test_wake_by_delete(void)
{
	begin();
	node("n1", "", "2");
	load();
	pod("a", "2", "");
	fakehost_run(fh);
	pod("b", "2", "");
	fakehost_run(fh);
	is_str(on("b"), "", "the node is full");
	fakehost_advance(fh, 100 * FAKEHOST_MS);
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_run(fh);
	is_str(on("b"), "", "woken, but within its back-off");
	fakehost_advance(fh, 1 * FAKEHOST_S);
	is_str(on("b"), "n1", "placed when it ends");
	pod("c", "2", "");
	fakehost_run(fh);
	fakehost_advance(fh, 5 * FAKEHOST_S);
	fakehost_put(fh, "pods", "default", "b", "{\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"resources\":"
		     "{\"requests\":{\"cpu\":\"2\"}}}]},\"status\":{\"phase\":\"Succeeded\"}}");
	fakehost_run(fh);
	is_str(on("c"), "n1", "a pod that is over takes nothing");
	end("delete");
}

/* ---- other pods ------------------------------------------------------------------------------ */

#define ALONE "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}}]}},"

static void web(const char *name, const char *spec, int priority, const char *cpu)
{
	fakehost_putf(fh, "pods", "default", name, "{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"schedulerName\":\"default-scheduler\",\"priority\":%d,%s"
		      "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}]},\"status\":{\"phase\":\"Pending\"}}", priority, spec, cpu);
}

static void host_node(const char *name)
{
	fakehost_putf(fh, "nodes", "", name, "{\"metadata\":{\"labels\":{\"kubernetes.io/hostname\":\"%s\"}},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"}}}", name);
}

static void test_alone(void)
{
	begin();
	host_node("n1");
	host_node("n2");
	web("a", ALONE, 0, "1");
	load();
	fakehost_run(fh);
	web("b", ALONE, 0, "1");
	fakehost_run(fh);
	web("c", ALONE, 0, "1");
	fakehost_run(fh);
	ok(*on("a") && *on("b") && strcmp(on("a"), on("b")) != 0 && !*on("c"), "one on each node, the third waits");
	fakehost_api_clear(fh);
	fakehost_advance(fh, 20 * FAKEHOST_S);
	fakehost_putf(fh, "pods", "default", "other", "{\"metadata\":{\"labels\":{\"app\":\"db\"}},\"spec\":{\"nodeName\":\"n1\",\"containers\":[]}}");
	fakehost_run(fh);
	is_str(fakehost_api_log(fh), "", "a pod of another kind does not wake it");
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_run(fh);
	ok(*on("c") != '\0', "one of its kind that goes does");
	end("alone");
}

static void test_preempts(void)
{
	begin();
	host_node("n1");
	web("low", "", 0, "3");
	load();
	fakehost_run(fh);
	is_str(on("low"), "n1", "a pod takes the room");
	web("high", "", 100, "3");
	fakehost_api_clear(fh);
	fakehost_run(fh);
	is_int(fakehost_api_count(fh, "delete pods default/low"), 1, "it has to go for a more important one");
	is_int(fakehost_api_count(fh, "PreemptionByScheduler"), 1, "and is told why");
	is_int(fakehost_api_count(fh, "\"reason\":\"Preempted\""), 1, "so are people");
	is_int(fakehost_api_count(fh, "\"nominatedNodeName\":\"n1\""), 1, "the node is nominated");
	fakehost_delete(fh, "pods", "default", "low");
	web("mean", "", 50, "3");
	fakehost_advance(fh, 20 * FAKEHOST_S);
	is_str(on("high"), "n1", "the important one gets it");
	is_str(on("mean"), "", "not one that came between");
	end("preempts");
}

static void test_profiles(void)
{
	begin();
	host_node("n1");
	fakehost_param(fh, "profiles", "[{\"schedulerName\":\"packed\",\"pluginConfig\":[{\"name\":\"NodeResourcesFit\",\"args\":{\"scoringStrategy\":{\"type\":\"MostAllocated\"}}}]}]");
	load();
	fakehost_put(fh, "pods", "default", "p", "{\"spec\":{\"schedulerName\":\"packed\",\"containers\":[{\"name\":\"c\"}]}}");
	pod("q", "1", "");
	fakehost_run(fh);
	ok(*on("p") && *on("q"), "pods of both profiles are placed");
	end("profiles");
}

static void test_update_and_gates(void)
{
	begin();
	node("n1", "", "2");
	load();
	pod("big", "4", "");
	pod("gated", "1", "\"schedulingGates\":[{\"name\":\"x/y\"}],");
	fakehost_run(fh);
	is_str(on("gated"), "", "a gated pod waits");
	is_str(condition("gated", "reason"), "SchedulingGated", "and says why");
	is_int(fakehost_api_count(fh, "FailedScheduling"), 1, "without an Event");
	pod("gated", "1", "");
	fakehost_run(fh);
	is_str(on("gated"), "n1", "the gate is gone");
	pod("big", "1", "");
	fakehost_run(fh);
	is_str(on("big"), "n1", "a pod that changed is tried at once");
	end("gates");
}

/* ---- bindings that fail ---------------------------------------------------------------------- */

struct refusal {
	int		code;		/* HTTP; 0: the API vanishes */
	int		left;
	bool		done;		/* the binding happened all the same */
};

static bool is_bind(const struct orlop_req *req)
{
	return req->op == ORLOP_API_BATCH && memmem(req->msg.body.p, req->msg.body.len, "Binding", 7) != NULL;
}

static int refuse(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct refusal *r = arg;
	struct orlop_msgw w;
	struct orlop_msg m;
	struct orlop_msgr it;

	if (!r->left || !is_bind(req))
		return 0;
	r->left--;
	if (!r->code) {
		fakehost_reply(call, -ECONNRESET, NULL);
		return 1;
	}
	orlop_msgw_init(&w, NULL);
	orlop_msgr_init(&it, NULL, &req->msg, req->msg.body);
	while (orlop_msgr_next(&it)) {
		uint32_t mark = orlop_msgw_begin(&w, ORLOP_API_T_ANSWER);

		orlop_msgw_u64(&w, ORLOP_API_T_CODE, (uint64_t)r->code);
		orlop_msgw_str(&w, ORLOP_API_T_BODY, "{\"message\":\"no luck\"}");
		orlop_msgw_end(&w, mark);
	}
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &m);
	orlop_msgw_done(&w);
	return 1;
}

static void test_refused(int code, uint32_t events, const char *what)
{
	struct refusal r = { .code = code, .left = 1 };

	begin();
	fakehost_api_hook(fh, refuse, &r);
	node("n1", "", "2");
	load();
	pod("a", "2", "");
	fakehost_run(fh);
	is_str(on("a"), "", "%s: not bound", what);
	is_int(fakehost_api_count(fh, "FailedScheduling"), events, "%s: %u Events", what, events);
	pod("b", "1500m", "");
	fakehost_run(fh);
	is_str(on("b"), "n1", "%s: what was assumed is given back", what);
	fakehost_advance(fh, 2 * FAKEHOST_S);
	is_str(on("a"), "", "%s: tried again, now there is no room", what);
	fakehost_delete(fh, "pods", "default", "b");
	fakehost_run(fh);
	fakehost_advance(fh, 5 * FAKEHOST_S);
	is_str(on("a"), "n1", "%s: and placed in the end", what);
	end(what);
}

static void test_reset(void)
{
	struct refusal r = { .code = 0, .left = 1 };

	begin();
	fakehost_api_hook(fh, refuse, &r);
	node("n1", "", "2");
	load();
	pod("a", "2", "");
	fakehost_run(fh);
	is_int(fakehost_api_count(fh, "get pods default/a"), 1, "outcome unknown: the pod is read");
	is_str(on("a"), "", "it was not bound");
	fakehost_advance(fh, 2 * FAKEHOST_S);
	is_str(on("a"), "n1", "so it is tried again");
	end("reset");
}

/* The pod is deleted while its binding is under way. */
static struct orlop_call *held;

static int hold(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	(void)arg;
	if (held || !is_bind(req))
		return 0;
	held = call;
	return 1;
}

static void test_deleted_meanwhile(void)
{
	begin();
	fakehost_api_hook(fh, hold, NULL);
	node("n1", "", "2");
	load();
	pod("a", "2", "");
	fakehost_run(fh);
	ok(held != NULL, "the binding is under way");
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_run(fh);
	pod("b", "2", "");
	fakehost_run(fh);
	is_str(on("b"), "n1", "a deleted pod no longer takes room");
	fakehost_reply(held, -ECONNRESET, NULL);
	fakehost_run(fh);
	is_int(fakehost_api_count(fh, "get pods default/a"), 0, "nobody asks for it");
	held = NULL;
	end("deleted");
}

/* ---- many ------------------------------------------------------------------------------------ */

static uint32_t batches;

static int count_batches(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	(void)arg;
	(void)call;
	batches += is_bind(req);
	return 0;
}

static void test_many(void)
{
	uint32_t used[100] = { 0 }, bound = 0, bad = 0, least = 1000, most = 0;
	char name[32];

	begin();
	fakehost_api_hook(fh, count_batches, NULL);
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		node(name, "", "1");
	}
	fakehost_batch_begin(fh);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		pod(name, "100m", "");
	}
	fakehost_batch_end(fh);
	load();
	fakehost_run_until_idle(fh);
	for (uint32_t i = 0; i < 1000; i++) {
		unsigned int n;

		snprintf(name, sizeof(name), "p%u", i);
		if (sscanf(on(name), "n%u", &n) == 1 && n < 100) {
			bound++;
			used[n]++;
		}
	}
	for (uint32_t i = 0; i < 100; i++) {
		bad += used[i] > 10;
		least = used[i] < least ? used[i] : least;
		most = used[i] > most ? used[i] : most;
	}
	is_int(bound, 1000, "1,000 pods on 100 nodes that just hold them");
	is_int(bad, 0, "none is over-committed (%u … %u a node)", least, most);
	ok(batches >= 16 && batches <= 40, "%u requests carry the bindings", batches);
	pod("one-more", "100m", "");
	fakehost_run(fh);
	is_str(on("one-more"), "", "there is no room for one more");
	end("many");
}

static void test_relist(void)
{
	begin();
	node("n1", "", "2");
	node("n2", "", "2");
	load();
	pod("a", "2", "");
	pod("b", "2", "");
	fakehost_run(fh);
	fakehost_lose_notes(fh, 3);
	fakehost_delete(fh, "pods", "default", "a");
	fakehost_delete(fh, "nodes", "", "n2");
	node("n3", "", "2");
	fakehost_relist(fh);
	pod("c", "2", "");
	pod("d", "2", "");
	fakehost_run(fh);
	fakehost_advance(fh, 5 * FAKEHOST_S);
	ok(*on("c") || *on("d"), "after a relist what vanished is forgotten");
	ok(strcmp(on("c"), "n2") != 0 && strcmp(on("d"), "n2") != 0, "a node that is gone gets no pods");
	end("relist");
}

static void test_not_leading(void)
{
	begin();
	fakehost_leading(fh, 0);
	node("n1", "", "2");
	pod("a", "1", "");
	load();
	fakehost_run(fh);
	is_str(fakehost_api_log(fh), "", "who does not lead writes nothing");
	fakehost_leading(fh, 1);
	fakehost_run(fh);
	is_str(on("a"), "n1", "until it does");
	end("leading");
}

/* ---- volumes --------------------------------------------------------------------------------- */

static void claim(const char *name, const char *mode)
{
	char volume[40];

	snprintf(volume, sizeof(volume), "pv-%s", name);
	fakehost_putf(fh, "persistentvolumes", "", volume, "{\"spec\":{\"csi\":{\"driver\":\"disk.io\",\"volumeHandle\":\"h-%s\"}}}", name);
	fakehost_putf(fh, "persistentvolumeclaims", "default", name,
		      "{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/bind-completed\":\"yes\"}},\"spec\":{\"accessModes\":[\"%s\"],"
		      "\"volumeName\":\"%s\"},\"status\":{\"phase\":\"Bound\"}}", mode, volume);
}

static void claimer(const char *name, const char *claim_name)
{
	char more[160];

	snprintf(more, sizeof(more), "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"%s\"}}],", claim_name);
	pod(name, "100m", more);
}

static void attaches(int count)
{
	fakehost_putf(fh, "csinodes.storage.k8s.io", "", "n1", "{\"spec\":{\"drivers\":[{\"name\":\"disk.io\",\"nodeID\":\"n1\","
		      "\"allocatable\":{\"count\":%d}}]}}", count);
}

static void test_volumes(void)
{
	begin();
	node("n1", "", "4");
	attaches(2);
	claim("alone", "ReadWriteOncePod");
	claim("many", "ReadWriteOnce");
	claim("more", "ReadWriteOnce");
	load();
	claimer("first", "alone");
	fakehost_run(fh);
	is_str(on("first"), "n1", "a claim for one pod");
	claimer("second", "alone");
	fakehost_run(fh);
	is_str(condition("second", "message"), "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and "
	       "ReadWriteOncePod access mode. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.", "is for one");
	claimer("third", "many");
	fakehost_run(fh);
	is_str(on("third"), "n1", "a second volume");
	claimer("fourth", "many");
	fakehost_run(fh);
	is_str(on("fourth"), "n1", "and it again");
	claimer("fifth", "more");
	fakehost_run(fh);
	is_str(condition("fifth", "message"), "0/1 nodes are available: 1 node(s) exceed max volume count. preemption: 0/1 nodes are available: "
	       "1 No preemption victims found for incoming pod.", "a third is too much");
	attaches(3);
	fakehost_advance(fh, UINT64_C(2000000000));
	fakehost_run(fh);
	is_str(on("fifth"), "n1", "until the driver says otherwise");
	fakehost_delete(fh, "pods", "default", "first");
	fakehost_run(fh);
	fakehost_advance(fh, UINT64_C(2000000000));
	fakehost_run(fh);
	is_str(on("second"), "n1", "who waits for a claim gets it");
	end("volumes");
}

/* A claim that a pod asks for itself: "POD-VOLUME", made for it by a controller. */
static void ephemeral(const char *uid)
{
	fakehost_putf(fh, "persistentvolumes", "", "pv", "{\"spec\":{}}");
	fakehost_putf(fh, "persistentvolumeclaims", "default", "web-data",
		      "{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/bind-completed\":\"yes\"},\"ownerReferences\":[{\"kind\":\"Pod\",\"name\":\"web\","
		      "\"uid\":\"%s\",\"controller\":true}]},\"spec\":{\"volumeName\":\"pv\"},\"status\":{\"phase\":\"Bound\"}}", uid);
}

static void test_ephemeral(void)
{
	begin();
	node("n1", "", "4");
	load();
	fakehost_putf(fh, "pods", "default", "web", "{\"metadata\":{\"uid\":\"u-web\"},\"spec\":{\"schedulerName\":\"default-scheduler\","
		      "\"volumes\":[{\"name\":\"data\",\"ephemeral\":{\"volumeClaimTemplate\":{\"spec\":{}}}}],\"containers\":[{\"name\":\"c\"}]},"
		      "\"status\":{\"phase\":\"Pending\"}}");
	fakehost_run(fh);
	is_str(condition("web", "message"), "0/1 nodes are available: waiting for ephemeral volume controller to create the "
	       "persistentvolumeclaim \\\"web-data\\\". preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
	       "a claim that is still to be made");
	ephemeral("u-other");
	fakehost_advance(fh, UINT64_C(2000000000));
	is_str(condition("web", "message"), "0/1 nodes are available: PVC default/web-data was not created for pod default/web (pod is not owner). "
	       "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.", "one of somebody else");
	ephemeral("u-web");
	fakehost_advance(fh, UINT64_C(4000000000));
	fakehost_run(fh);
	is_str(on("web"), "n1", "its own");
	end("ephemeral");
}

static void test_explain(void)
{
	struct orlop_msgw w;
	struct orlop_msg m;
	struct fakehost_reply r;
	struct orlop_bytes text;

	begin();
	node("n1", "", "2");
	node("n2", "\"unschedulable\":true", "2");
	node("n3", "", "1");
	load();
	pod("a", "2", "");
	fakehost_run(fh);
	is_str(on("a"), "n1", "placed");
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_SCHEDULER_T_POD_NS, "default");
	orlop_msgw_str(&w, ORLOP_SCHEDULER_T_POD_NAME, "a");
	m = orlop_msgw_msg(&w);
	r = fakehost_call(fh, "scheduler", ORLOP_SCHEDULER_EXPLAIN, &m);
	orlop_msgw_done(&w);
	is_int(r.status, 0, "explain answers");
	text = orlop_msg_bytes(fakehost_host(fh), &r.msg, ORLOP_SCHEDULER_T_RESULT);
	static const char want[] = "{\"feasible\":[\"n1\"],\"rejected\":{\"n2\":\"node(s) were unschedulable\",\"n3\":\"Insufficient cpu\"}}";
	is_mem(text.p, text.len, want, sizeof(want) - 1, "which nodes would do, and why the others not");
	fakehost_reply_done(&r);
	pod("b", "2", "");
	fakehost_run(fh);
	is_str(on("b"), "", "and the pod still counts where it is");
	end("explain");
}

int main(void)
{
	test_bind();
	test_unschedulable();
	test_wake_by_delete();
	test_update_and_gates();
	test_alone();
	test_preempts();
	test_profiles();
	test_refused(409, 0, "conflict");
	test_refused(404, 0, "not found");
	test_refused(500, 1, "error");
	test_reset();
	test_deleted_meanwhile();
	test_many();
	test_relist();
	test_not_leading();
	test_volumes();
	test_ephemeral();
	test_explain();
	return done_testing();
}
