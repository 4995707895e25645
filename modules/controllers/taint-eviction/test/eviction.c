/* eviction.c - pods go from tainted nodes at once, in time, or not; called off; over a replacement. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define TAINT(key, more) "{\"spec\":{\"taints\":[{\"key\":\"" key "\",\"effect\":\"NoExecute\"" more "}]}}"
#define STAY(key, more) "{\"key\":\"" key "\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"" more "}"

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
	fakehost_advance(w->fh, s * FAKEHOST_S + 200 * FAKEHOST_MS);
}

static void node(struct world *w, const char *json)
{
	fakehost_put(w->fh, "nodes", "", "n1", json);
	wait_s(w, 0);
}

static void pod(struct world *w, const char *name, const char *tolerations)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"spec\":{\"nodeName\":\"n1\",\"tolerations\":[%s]}}", tolerations);
	wait_s(w, 0);
}

static bool going(struct world *w, const char *name)
{
	return *fakekube_at(w->k, "pods", "default", name, "metadata.deletionTimestamp");
}

static void test_tolerations(void)
{
	struct world w;

	world_init(&w);
	node(&w, "{}");
	pod(&w, "frail", "");
	pod(&w, "other", STAY("b", ""));
	pod(&w, "hardy", STAY("a", ""));
	pod(&w, "any", "{\"operator\":\"Exists\"}");
	pod(&w, "equal", "{\"key\":\"a\",\"value\":\"x\"}");
	pod(&w, "unequal", "{\"key\":\"a\",\"value\":\"y\"}");
	pod(&w, "patient", STAY("a", ",\"tolerationSeconds\":60"));
	pod(&w, "impatient", STAY("a", ",\"tolerationSeconds\":-5"));
	pod(&w, "first", STAY("a", ",\"tolerationSeconds\":90") "," STAY("a", ",\"tolerationSeconds\":10"));
	fakehost_put(w.fh, "pods", "default", "elsewhere", "{\"spec\":{\"nodeName\":\"n2\"}}");
	wait_s(&w, 0);
	is_int(fakekube_count(w.k, ""), 0, "no taint, nobody goes");
	node(&w, "{\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]}}");
	is_int(fakekube_count(w.k, ""), 0, "nor for one that only keeps pods away");
	node(&w, TAINT("a", ",\"value\":\"x\""));
	ok(going(&w, "frail"), "who tolerates nothing goes at once");
	ok(going(&w, "other"), "or something else");
	ok(going(&w, "unequal"), "or another value");
	ok(going(&w, "impatient"), "or for less than no time");
	ok(!going(&w, "hardy") && !going(&w, "any") && !going(&w, "equal"), "who tolerates it stays");
	ok(!going(&w, "patient"), "who tolerates it for a time stays so long");
	ok(!going(&w, "elsewhere"), "pods of other nodes are not concerned");
	is_str(fakekube_at(w.k, "pods", "default", "frail", "status.conditions.0.reason"), "DeletionByTaintManager",
	       "the pod says why");
	is_int(fakekube_count(w.k, "Marking for deletion Pod default/frail"), 1, "so does an Event");
	wait_s(&w, 58);
	ok(!going(&w, "patient"), "not yet");
	wait_s(&w, 2);
	ok(going(&w, "patient"), "after its time it goes");
	ok(!going(&w, "first"), "of several tolerations the first counts");
	wait_s(&w, 31);
	ok(going(&w, "first"), "for its time");
	/* 91 s and some after the beginning of the world */
	fakehost_put(w.fh, "pods", "default", "late", "{\"spec\":{\"nodeName\":\"n1\",\"tolerations\":["
		     STAY("a", ",\"tolerationSeconds\":20") "]},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\","
		     "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:01:34Z\"}]}}");
	wait_s(&w, 10);
	ok(!going(&w, "late"), "a pod that came after the taint");
	wait_s(&w, 11);
	ok(going(&w, "late"), "has its time from then on");
	world_done(&w);
}

static void test_cancel(void)
{
	struct world w;
	struct orlop_error err = ORLOP_ERROR_INIT;

	world_init(&w);
	node(&w, "{}");
	pod(&w, "web", STAY("a", ",\"tolerationSeconds\":60"));
	node(&w, TAINT("a", ",\"timeAdded\":\"2026-01-01T00:00:00Z\""));
	wait_s(&w, 30);
	node(&w, "{}");
	wait_s(&w, 120);
	ok(!going(&w, "web"), "the taint goes, the pod stays");
	is_int(fakekube_count(w.k, "Cancelling deletion of Pod default/web"), 1, "and an Event says so");
	node(&w, TAINT("a", ""));
	wait_s(&w, 50);
	ok(!going(&w, "web"), "the next one counts anew");
	wait_s(&w, 12);
	ok(going(&w, "web"), "and in full");
	world_done(&w);

	world_init(&w);
	node(&w, TAINT("a", ",\"timeAdded\":\"2026-01-01T00:00:00Z\""));
	pod(&w, "web", STAY("a", ",\"tolerationSeconds\":60"));
	wait_s(&w, 50);
	is_int(fakehost_unload(w.fh, w.m, &err), 0, "replaced before the time is over");
	is_int(fakehost_load_as(w.fh, &orlop_module, NULL, &w.m, &err), 0, "by another");
	wait_s(&w, 5);
	ok(!going(&w, "web"), "which goes on with it");
	wait_s(&w, 6);
	ok(going(&w, "web"), "and does not begin anew");
	world_done(&w);
}

static int refuse;
static int hook(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	(void)arg;
	*ret_reason = "InternalError";
	return refuse && !strcmp(req->verb, "delete") ? 500 : 0;
}

static void test_again(void)
{
	struct world w;

	world_init(&w);
	fakekube_hook(w.k, hook, NULL);
	refuse = 1;
	node(&w, TAINT("a", ""));
	pod(&w, "web", "");
	ok(!going(&w, "web"), "the API refuses");
	refuse = 0;
	wait_s(&w, 3);
	ok(going(&w, "web"), "later it does not");
	fakekube_forget(w.k);
	fakehost_relist(w.fh);
	wait_s(&w, 60);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	world_done(&w);
}

int main(void)
{
	test_tolerations();
	test_cancel();
	test_again();
	return done_testing();
}
