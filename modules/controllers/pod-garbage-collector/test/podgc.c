/* podgc.c - pods of nodes that are gone, out of service, or nowhere; those that have ended. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
	struct fakehost_module *m;
};

static void world_init(struct world *w)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	memset(w, 0, sizeof(*w));
	w->fh = fakehost_new();
	fakehost_resource(w->fh, "nodes", 0, NULL);
	fakehost_resource(w->fh, "pods", 1, "spec.nodeName", "status.phase", NULL);
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
	fakehost_advance(w->fh, s * FAKEHOST_S + 200 * FAKEHOST_MS);
}

static void pod(struct world *w, const char *name, const char *node, const char *meta, const char *phase)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{\"uid\":\"u-%s\"%s},\"spec\":{%s%s%s},\"status\":{"
		      "\"phase\":\"%s\"}}", name, meta, node ? "\"nodeName\":\"" : "", node ? node : "", node ? "\"" : "",
		      phase);
}

static bool there(struct world *w, const char *name)
{
	return fakehost_get(w->fh, "pods", "default", name) != NULL;
}

static int hidden;
static int hook(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	struct world *w = arg;

	(void)w;
	*ret_reason = "Timeout";
	return hidden && !strcmp(req->verb, "get") ? 504 : 0;
}

static void test_orphans(void)
{
	struct world w;

	world_init(&w);
	fakekube_hook(w.k, hook, &w);
	fakehost_put(w.fh, "nodes", "", "n1", "{}");
	fakehost_put(w.fh, "nodes", "", "n2", "{}");
	pod(&w, "stays", "n1", "", "Running");
	pod(&w, "goes", "n2", "", "Running");
	pod(&w, "ended", "n2", "", "Succeeded");
	pod(&w, "pending", NULL, "", "Pending");
	pod(&w, "held", "n2", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":0,"
	    "\"finalizers\":[\"x/y\"]", "Running");
	wait_s(&w, 100);
	is_int(fakekube_count(w.k, ""), 0, "pods of nodes that are there are left alone");
	fakehost_delete(w.fh, "nodes", "", "n2");
	wait_s(&w, 38);
	ok(there(&w, "goes"), "a node goes: wait");
	hidden = 1;
	wait_s(&w, 5);
	ok(there(&w, "goes"), "it is not known for sure");
	hidden = 0;
	wait_s(&w, 10);
	ok(!there(&w, "goes"), "it is: its pod goes");
	ok(!there(&w, "ended"), "also one that has ended");
	is_int(fakekube_count(w.k, "PodGC: node no longer exists"), 1, "the first says why it failed");
	ok(fakekube_count(w.k, "\"gracePeriodSeconds\":0") == 2, "without grace");
	ok(there(&w, "held"), "one that a finalizer holds is not asked for again");
	ok(there(&w, "stays") && there(&w, "pending"), "the others stay");
	pod(&w, "lost", "n9", "", "Running");
	wait_s(&w, 41);
	ok(!there(&w, "lost"), "one on a node that never was goes too");
	pod(&w, "early", "n3", "", "Running");
	wait_s(&w, 20);
	fakehost_put(w.fh, "nodes", "", "n3", "{}");
	wait_s(&w, 60);
	ok(there(&w, "early"), "one whose node comes in time does not");
	world_done(&w);
}

static void test_ending(void)
{
	struct world w;

	world_init(&w);
	fakehost_put(w.fh, "nodes", "", "n1", "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"}]}}");
	pod(&w, "slow", "n1", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":30", "Running");
	pod(&w, "alive", "n1", "", "Running");
	pod(&w, "nowhere", NULL, ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":30",
	    "Pending");
	wait_s(&w, 1);
	ok(!there(&w, "nowhere"), "who is to end and was nowhere goes");
	ok(there(&w, "slow"), "who is to end somewhere is left to its node");
	fakehost_put(w.fh, "nodes", "", "n1", "{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/out-of-service\","
		     "\"effect\":\"NoExecute\"}]},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"}]}}");
	wait_s(&w, 1);
	ok(!there(&w, "slow"), "unless that is out of service");
	ok(there(&w, "alive"), "who is not to end stays");
	world_done(&w);
}

static void test_ended(void)
{
	struct world w;
	struct orlop_error err = ORLOP_ERROR_INIT;
	char name[16];
	char meta[64];
	int i;

	world_init(&w);
	fakehost_put(w.fh, "nodes", "", "n1", "{}");
	ok(fakehost_param_change(w.fh, w.m, "terminated_pod_threshold", "-1", &err) < 0, "less than none is refused");
	is_int(fakehost_param_change(w.fh, w.m, "terminated_pod_threshold", "3", &err), 0, "three may stay");
	for (i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(meta, sizeof(meta), ",\"creationTimestamp\":\"2026-01-01T00:00:0%dZ\"", 9 - i);
		pod(&w, name, "n1", meta, i & 1 ? "Failed" : "Succeeded");
	}
	pod(&w, "running", "n1", "", "Running");
	wait_s(&w, 25);
	is_int(fakehost_count(w.fh, "pods"), 4, "three stay, and the one that runs");
	ok(there(&w, "p0") && there(&w, "p1") && there(&w, "p2"), "the youngest");
	is_int(fakehost_param_change(w.fh, w.m, "terminated_pod_threshold", "1", &err), 0, "one may stay");
	wait_s(&w, 1);
	is_int(fakehost_count(w.fh, "pods"), 2, "at once");
	is_int(fakehost_param_change(w.fh, w.m, "terminated_pod_threshold", "0", &err), 0, "all may");
	pod(&w, "p7", "n1", "", "Failed");
	wait_s(&w, 60);
	is_int(fakehost_count(w.fh, "pods"), 3, "and do");
	world_done(&w);
}

int main(void)
{
	test_orphans();
	test_ending();
	test_ended();
	return done_testing();
}
