/* lifecycle.c - nodes that fall silent and come back; taints, pods, all silent at once, parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/otap.h"
#include "base/otime.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define LEASES	"leases.coordination.k8s.io"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
	struct fakehost_module *m;
	uint32_t	beat;
};

static void world_init(struct world *w)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	memset(w, 0, sizeof(*w));
	w->fh = fakehost_new();
	fakehost_resource(w->fh, "nodes", 0, NULL);
	fakehost_resource(w->fh, LEASES, 1, NULL);
	fakehost_resource(w->fh, "pods", 1, "spec.nodeName", NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load_as(w->fh, &orlop_module, NULL, &w->m, &err))
		otap_bail_out(err.msg);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void wait_s(struct world *w, uint32_t s)
{
	fakehost_advance(w->fh, s * FAKEHOST_S);
}

static void settle(struct world *w)
{
	fakehost_advance(w->fh, 100 * FAKEHOST_MS);
}

/* The node posts its status. */
static void post(struct world *w, const char *name, const char *ready)
{
	char spec[512];

	snprintf(spec, sizeof(spec), "%s", fakekube_at(w->k, "nodes", "", name, "spec"));
	fakehost_putf(w->fh, "nodes", "", name, "{\"spec\":%s,\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
		      "\"%s\",\"lastHeartbeatTime\":\"beat-%u\"},{\"type\":\"MemoryPressure\",\"status\":\"False\"}]}}",
		      *spec ? spec : "{}", ready, ++w->beat);
	settle(w);
}

static void renew(struct world *w, const char *name)
{
	fakehost_putf(w->fh, LEASES, "kube-node-lease", name, "{\"spec\":{\"renewTime\":\"beat-%u\"}}", ++w->beat);
	settle(w);
}

static void pod(struct world *w, const char *name, const char *node)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"spec\":{\"nodeName\":\"%s\"},\"status\":{\"phase\":\"Running\","
		      "\"conditions\":[{\"type\":\"Initialized\",\"status\":\"True\"},{\"type\":\"Ready\",\"status\":\"True\"}]}}",
		      node);
}

static const char *node_at(struct world *w, const char *name, const char *path)
{
	return fakekube_at(w->k, "nodes", "", name, path);
}

static bool tainted(struct world *w, const char *name, const char *key, const char *effect)
{
	char want[200];

	snprintf(want, sizeof(want), "{\"key\":\"node.kubernetes.io/%s\",\"effect\":\"%s\"", key, effect);
	return strstr(node_at(w, name, "spec.taints"), want) != NULL;
}

static void test_silence(void)
{
	struct world w;
	int i;

	world_init(&w);
	post(&w, "a", "True");
	post(&w, "b", "True");
	pod(&w, "web", "a");
	settle(&w);
	is_int(fakekube_count(w.k, "patch"), 0, "nodes that are well are left alone");
	for (i = 0; i < 12; i++) {
		wait_s(&w, 10);
		renew(&w, "a");
		renew(&w, "b");
	}
	is_int(fakekube_count(w.k, "patch"), 0, "also while only their Leases are renewed");
	for (i = 0; i < 4; i++) {
		wait_s(&w, 10);
		renew(&w, "b");
	}
	is_str(node_at(&w, "a", "status.conditions.0.status"), "True", "silent for a while: nothing yet");
	wait_s(&w, 12);
	is_str(node_at(&w, "a", "status.conditions.0.status"), "Unknown", "silent for longer: Unknown");
	is_str(node_at(&w, "a", "status.conditions.0.reason"), "NodeStatusUnknown", "with upstream's reason");
	is_str(node_at(&w, "a", "status.conditions.0.message"), "Kubelet stopped posting node status.", "and words");
	is_str(node_at(&w, "a", "status.conditions.1.status"), "Unknown", "so is the pressure of its memory");
	is_str(node_at(&w, "a", "status.conditions.2.reason"), "NodeStatusNeverUpdated", "what it never said is said so");
	ok(tainted(&w, "a", "unreachable", "NoSchedule"), "nothing more is placed there");
	ok(tainted(&w, "a", "unreachable", "NoExecute"), "what is there may be evicted");
	ok(*node_at(&w, "a", "spec.taints.1.timeAdded"), "since a known time");
	is_str(fakekube_at(w.k, "pods", "default", "web", "status.conditions.1.status"), "False", "its pod is not ready");
	is_str(fakekube_at(w.k, "pods", "default", "web", "status.conditions.0.status"), "True", "but initialized");
	is_int(fakekube_count(w.k, "\"reason\":\"NodeNotReady\""), 2, "Events for node and pod");
	ok(fakekube_count(w.k, "event: Registered Node ") >= 1, "and that it came to be known");
	is_str(node_at(&w, "b", "spec.taints"), "", "the other node is as it was");
	pod(&w, "late", "a");
	settle(&w);
	is_str(fakekube_at(w.k, "pods", "default", "late", "status.conditions.1.status"), "False",
	       "a pod that says Ready there later is marked too");
	post(&w, "a", "False");
	ok(tainted(&w, "a", "not-ready", "NoSchedule") && tainted(&w, "a", "not-ready", "NoExecute"),
	   "back, but not ready: the taints say that");
	ok(!tainted(&w, "a", "unreachable", "NoSchedule") && !tainted(&w, "a", "unreachable", "NoExecute"),
	   "and no longer the other");
	post(&w, "a", "True");
	is_str(node_at(&w, "a", "spec.taints"), "[]", "ready: no taint is left");
	fakekube_forget(w.k);
	renew(&w, "a");
	settle(&w);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	world_done(&w);
}

static void test_conditions(void)
{
	struct world w;

	world_init(&w);
	(void)fakekube_do(w.k, "create", "nodes", "", "a", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"unschedulable\":true,"
			  "\"taints\":[{\"key\":\"mine\",\"effect\":\"NoSchedule\"},"
			  "{\"key\":\"node.kubernetes.io/disk-pressure\",\"effect\":\"NoSchedule\"}]},\"status\":{"
			  "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},"
			  "{\"type\":\"MemoryPressure\",\"status\":\"True\"},{\"type\":\"PIDPressure\",\"status\":\"True\"},"
			  "{\"type\":\"DiskPressure\",\"status\":\"False\"},"
			  "{\"type\":\"NetworkUnavailable\",\"status\":\"True\"}]}}");
	settle(&w);
	ok(tainted(&w, "a", "memory-pressure", "NoSchedule"), "memory");
	ok(tainted(&w, "a", "pid-pressure", "NoSchedule"), "processes");
	ok(tainted(&w, "a", "network-unavailable", "NoSchedule"), "network");
	ok(tainted(&w, "a", "unschedulable", "NoSchedule"), "cordoned");
	ok(!tainted(&w, "a", "disk-pressure", "NoSchedule"), "a pressure that has gone");
	is_str(node_at(&w, "a", "spec.taints.0.key"), "mine", "others' taints stay");
	(void)fakekube_do(w.k, "patch", "nodes", "", "a", "{\"spec\":{\"unschedulable\":null}}");
	settle(&w);
	ok(!tainted(&w, "a", "unschedulable", "NoSchedule"), "uncordoned");
	(void)fakekube_do(w.k, "create", "nodes", "", "mute", "{\"metadata\":{\"name\":\"mute\"}}");
	settle(&w);
	wait_s(&w, 55);
	is_str(node_at(&w, "mute", "status.conditions"), "", "a new node has longer to speak");
	wait_s(&w, 6);
	is_str(node_at(&w, "mute", "status.conditions.0.reason"), "NodeStatusNeverUpdated", "not for ever");
	world_done(&w);
}

static int evicting(struct world *w, int n)
{
	char name[16];
	int k = 0;
	int i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		k += tainted(w, name, "unreachable", "NoExecute");
	}
	return k;
}

static void beats(struct world *w, int from, int to, uint32_t s)
{
	char name[16];
	uint32_t t;
	int i;

	for (t = 0; t < s; t += 5) {
		for (i = from; i < to; i++) {
			snprintf(name, sizeof(name), "n%d", i);
			renew(w, name);
		}
		fakehost_advance(w->fh, 5 * FAKEHOST_S - (uint64_t)(to - from) * 100 * FAKEHOST_MS);
	}
}

static void nodes(struct world *w, int n)
{
	char name[16];
	int i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		post(w, name, "True");
	}
}

static void test_rate(void)
{
	struct world w;

	world_init(&w);
	nodes(&w, 8);
	beats(&w, 3, 8, 54);
	is_int(evicting(&w, 8), 1, "of three silent nodes one is evicted at once");
	beats(&w, 3, 8, 10);
	is_int(evicting(&w, 8), 2, "the next ten seconds later");
	beats(&w, 3, 8, 10);
	is_int(evicting(&w, 8), 3, "and the third");
	beats(&w, 5, 8, 100);
	is_int(evicting(&w, 8), 4, "one more may go, but when too many are silent, in a small cluster none does");
	beats(&w, 8, 8, 60);
	is_str(node_at(&w, "n7", "status.conditions.0.status"), "Unknown", "all silent");
	is_int(evicting(&w, 8), 0, "then it is we who are cut off: nobody is");
	ok(tainted(&w, "n7", "unreachable", "NoSchedule"), "though nothing is placed there");
	post(&w, "n0", "True");
	nodes(&w, 7);
	wait_s(&w, 11);
	is_int(evicting(&w, 8), 1, "when they are back, the one that is not is evicted");
	world_done(&w);
}

static void test_restart(void)
{
	struct world w;
	struct orlop_error err = ORLOP_ERROR_INIT;

	world_init(&w);
	post(&w, "a", "True");
	post(&w, "b", "True");
	beats(&w, 0, 0, 40);
	is_int(fakehost_unload(w.fh, w.m, &err), 0, "replaced meanwhile");
	is_int(fakehost_load_as(w.fh, &orlop_module, NULL, &w.m, &err), 0, "by another");
	wait_s(&w, 40);
	is_str(node_at(&w, "a", "status.conditions.0.status"), "True", "which gives everybody the whole time");
	ok(fakehost_param_change(w.fh, w.m, "node_monitor_grace_s", "0", &err) < 0, "no time at all is refused");
	is_int(fakehost_param_change(w.fh, w.m, "node_monitor_grace_s", "30", &err), 0, "a shorter time applies");
	settle(&w);
	is_str(node_at(&w, "a", "status.conditions.0.status"), "Unknown", "at once");
	(void)fakekube_do(w.k, "delete", "nodes", "", "a", NULL);
	fakehost_relist(w.fh);
	settle(&w);
	post(&w, "b", "True");
	wait_s(&w, 10);
	is_int(fakekube_count(w.k, "nodes/status /a"), 1, "a node that has gone is forgotten");
	world_done(&w);
}

int main(void)
{
	test_silence();
	test_conditions();
	test_rate();
	test_restart();
	return done_testing();
}
