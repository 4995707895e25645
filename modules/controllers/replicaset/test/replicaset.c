/* replicaset.c - as many pods as asked for: making, ranking, adopting, releasing, failing, ending. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#define OTAP_FAULTS
#include "base/omem.h"
#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define SET	"replicasets.apps"
#define OWNER	"\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\"," \
		"\"uid\":\"uid-web\",\"controller\":true}]"
#define READY	"\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"," \
		"\"lastTransitionTime\":\"%s\"}]"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
	int		code;		/* of creates and deletes of pods, 0: none fails */
	const char	*reason;
};

static int hook(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	struct world *w = arg;

	*ret_reason = w->reason;
	return !strcmp(req->resource, "pods") && (!strcmp(req->verb, "create") || !strcmp(req->verb, "delete")) ?
		       w->code : 0;
}

static void world_init(struct world *w)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	memset(w, 0, sizeof(*w));
	w->reason = "Forbidden";
	w->fh = fakehost_new();
	fakehost_resource(w->fh, SET, 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	fakekube_hook(w->k, hook, w);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void settle(struct world *w)
{
	fakehost_advance(w->fh, 100 * FAKEHOST_MS);
}

static void make(struct world *w, int replicas, int min_ready)
{
	char *t = omem_printf("{\"metadata\":{\"uid\":\"uid-web\"},\"spec\":{\"replicas\":%d,\"minReadySeconds\":%d,"
			      "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":"
			      "{\"app\":\"web\",\"x\":\"y\"},\"annotations\":{\"n\":\"1\"}},\"spec\":{\"containers\":["
			      "{\"name\":\"c\",\"image\":\"i\"}]}}}}", replicas, min_ready);

	if (fakekube_do(w->k, "create", SET, "default", "web", t) != 201)
		otap_bail_out("no set");
	omem_free(t);
}

static void scale(struct world *w, int n)
{
	char t[64];

	snprintf(t, sizeof(t), "{\"spec\":{\"replicas\":%d}}", n);
	(void)fakekube_do(w->k, "patch", SET, "default", "web", t);
	settle(w);
}

static const char *at(struct world *w, const char *path)
{
	return fakekube_at(w->k, SET, "default", "web", path);
}

static void test_count(void)
{
	struct world w;
	struct ojson *pod;

	world_init(&w);
	make(&w, 3, 0);
	settle(&w);
	is_int(fakehost_count(w.fh, "pods"), 3, "three pods");
	is_int(fakekube_count(w.k, "create pods"), 3, "by three requests");
	is_int(fakekube_count(w.k, "Created pod: web-"), 3, "each told as an Event");
	pod = fakekube_get(w.k, "pods", "default", "web-00001");
	is_str(ojson_cstr(OJSON_AT(pod, "metadata", "labels", "x"), ""), "y", "labels of the template");
	is_str(ojson_cstr(OJSON_AT(pod, "metadata", "annotations", "n"), ""), "1", "and annotations");
	is_str(ojson_cstr(ojson_at_dotted(pod, "metadata.ownerReferences.0.uid"), ""), "uid-web", "owned by the set");
	ok(ojson_bool(ojson_at_dotted(pod, "metadata.ownerReferences.0.blockOwnerDeletion"), false), "which waits for it");
	is_str(ojson_cstr(ojson_at_dotted(pod, "spec.containers.0.image"), ""), "i", "its spec");
	ojson_unref(pod);
	is_str(at(&w, "status.replicas"), "3", "status.replicas");
	is_str(at(&w, "status.fullyLabeledReplicas"), "3", "fullyLabeledReplicas");
	is_str(at(&w, "status.readyReplicas"), "", "none ready");
	is_str(at(&w, "status.observedGeneration"), "1", "observedGeneration");
	(void)fakekube_do(w.k, "delete", "pods", "default", "web-00002", NULL);
	settle(&w);
	is_int(fakehost_count(w.fh, "pods"), 3, "a deleted one is replaced");
	(void)fakekube_do(w.k, "patch", "pods", "default", "web-00001", "{\"status\":{\"phase\":\"Failed\"}}");
	fakehost_putf(w.fh, "pods", "default", "web-00001", "{\"metadata\":{\"labels\":{\"app\":\"web\"}," OWNER "},"
		      "\"status\":{\"phase\":\"Failed\"}}");
	settle(&w);
	is_int(fakehost_count(w.fh, "pods"), 4, "a failed one too");
	scale(&w, 0);
	is_int(fakehost_count(w.fh, "pods"), 1, "down to the failed one");
	is_str(at(&w, "status.replicas"), "0", "none counted");
	scale(&w, 600);
	fakehost_advance(w.fh, FAKEHOST_S);
	is_int(fakehost_count(w.fh, "pods"), 601, "more than one burst");
	fakekube_forget(w.k);
	fakehost_relist(w.fh);
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	world_done(&w);
}

static void pod(struct world *w, const char *name, const char *node, const char *since)
{
	char status[300] = "\"phase\":\"Pending\"";

	if (since)
		snprintf(status, sizeof(status), READY, since);
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{\"labels\":{\"app\":\"web\",\"x\":\"y\"}," OWNER "},"
		      "\"spec\":{%s%s%s},\"status\":{%s}}", node ? "\"nodeName\":\"" : "", node ? node : "",
		      node ? "\"" : "", status);
}

static void test_rank(void)
{
	struct world w;

	world_init(&w);
	pod(&w, "old", "n", "2025-12-31T22:00:00Z");
	pod(&w, "young", "n", "2025-12-31T23:59:55Z");
	pod(&w, "unready", "n", NULL);
	pod(&w, "unbound", NULL, NULL);
	make(&w, 4, 30);
	settle(&w);
	is_str(at(&w, "status.readyReplicas"), "2", "two ready");
	is_str(at(&w, "status.availableReplicas"), "1", "one for long enough");
	fakehost_advance(w.fh, 40 * FAKEHOST_S);
	is_str(at(&w, "status.availableReplicas"), "2", "then both, by the clock");
	scale(&w, 3);
	ok(!fakehost_get(w.fh, "pods", "default", "unbound"), "the one without node goes first");
	scale(&w, 2);
	ok(*fakekube_at(w.k, "pods", "default", "unready", "metadata.deletionTimestamp"), "then the one not ready");
	is_str(at(&w, "status.terminatingReplicas"), "1", "which is counted as ending");
	scale(&w, 1);
	ok(*fakekube_at(w.k, "pods", "default", "young", "metadata.deletionTimestamp"), "then the younger");
	ok(!*fakekube_at(w.k, "pods", "default", "old", "metadata.deletionTimestamp"), "the oldest stays");
	world_done(&w);
}

static void test_spread(void)
{
	struct world w;

	world_init(&w);
	pod(&w, "a1", "a", "2025-12-31T22:00:00Z");
	pod(&w, "a2", "a", "2025-12-31T22:30:00Z");
	pod(&w, "b1", "b", "2025-12-31T23:00:00Z");
	make(&w, 3, 0);
	settle(&w);
	scale(&w, 2);
	ok(*fakekube_at(w.k, "pods", "default", "a2", "metadata.deletionTimestamp"),
	   "of two on one node the younger goes, though a third is younger still");
	world_done(&w);
}

static void test_claim(void)
{
	struct world w;

	world_init(&w);
	(void)fakekube_do(w.k, "create", "pods", "default", "orphan", "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
	(void)fakekube_do(w.k, "create", "pods", "default", "stranger", "{\"metadata\":{\"labels\":{\"app\":\"db\"}}}");
	(void)fakekube_do(w.k, "create", "pods", "default", "theirs", "{\"metadata\":{\"labels\":{\"app\":\"web\"},"
			  "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"o\",\"uid\":\"o\","
			  "\"controller\":true}]}}");
	make(&w, 2, 0);
	settle(&w);
	is_str(fakekube_at(w.k, "pods", "default", "orphan", "metadata.ownerReferences.0.uid"), "uid-web", "adopted");
	is_str(fakekube_at(w.k, "pods", "default", "stranger", "metadata.ownerReferences"), "", "not what is not selected");
	is_str(fakekube_at(w.k, "pods", "default", "theirs", "metadata.ownerReferences.0.uid"), "o", "nor another's");
	is_int(fakehost_count(w.fh, "pods"), 4, "one more was missing");
	(void)fakekube_do(w.k, "patch", "pods", "default", "orphan", "{\"metadata\":{\"labels\":{\"app\":\"debug\"}}}");
	settle(&w);
	is_str(fakekube_at(w.k, "pods", "default", "orphan", "metadata.ownerReferences"), "[]", "released");
	is_int(fakehost_count(w.fh, "pods"), 5, "and replaced");
	(void)fakekube_do(w.k, "create", "pods", "default", "extra", "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
	settle(&w);
	is_int(fakehost_count(w.fh, "pods"), 5, "one too many after adoption goes");
	world_done(&w);
}

static void test_trouble(void)
{
	struct world w;

	world_init(&w);
	w.code = 403;
	make(&w, 50, 0);
	settle(&w);
	ok(fakekube_count(w.k, "create pods") < 60, "after a failure one tries for all");
	is_str(at(&w, "status.conditions.0.reason"), "FailedCreate", "ReplicaFailure says why");
	ok(fakekube_count(w.k, "Error creating: ") >= 1, "and an Event");
	w.code = 0;
	fakehost_advance(w.fh, 100 * FAKEHOST_S);
	is_int(fakehost_count(w.fh, "pods"), 50, "all are made once they can be");
	is_str(at(&w, "status.conditions"), "", "and the condition has gone");

	w.code = 403;
	w.reason = "NamespaceTerminating";
	fakekube_forget(w.k);
	scale(&w, 60);
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	/* The answer may be that of a server that is behind: it is asked again, ever more rarely. */
	ok(fakekube_count(w.k, "create pods") <= 14 * 10, "an ending namespace is asked ever more rarely");
	is_int(fakekube_count(w.k, "FailedCreate"), 0, "without complaint");
	world_done(&w);
}

/* The n-th allocation fails; the count is right in the end. */
static void test_faults(void)
{
	int wrong = 0;
	int hit = 0;
	long n;

	for (n = 1; n < 600; n += n < 200 ? 1 : 13) {
		struct world w;

		world_init(&w);
		fakekube_shelter(w.k, otap_fault_shelter);
		(void)fakekube_do(w.k, "create", "pods", "default", "orphan",
				  "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
		otap_fail_nth(n);
		otap_fault_shelter(1);
		make(&w, 3, 0);
		otap_fault_shelter(0);
		fakehost_advance(w.fh, 5 * FAKEHOST_MS);
		otap_fail_nth(0);
		hit += otap_faulted();
		fakehost_advance(w.fh, 20 * FAKEHOST_S);
		wrong += fakehost_count(w.fh, "pods") != 3;
		scale(&w, 1);
		fakehost_advance(w.fh, 20 * FAKEHOST_S);
		wrong += fakehost_count(w.fh, "pods") != 1 || strcmp(at(&w, "status.replicas"), "1");
		world_done(&w);
	}
	ok(hit > 20, "memory was refused (%d times)", hit);
	is_int(wrong, 0, "and the count was right in the end");
}

int main(void)
{
	test_faults();
	test_count();
	test_rank();
	test_spread();
	test_claim();
	test_trouble();
	return done_testing();
}
