/* disruption.c - what a budget allows: by number, by share, of what scales the pods. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define BUDGETS	"poddisruptionbudgets.policy"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
};

static void settle(struct world *w)
{
	fakehost_advance(w->fh, 200 * FAKEHOST_MS);
}

static void pod(struct world *w, const char *name, bool ready)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s\",\"uid\":\"u-%s\","
		      "\"labels\":{\"app\":\"web\"},\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\","
		      "\"name\":\"web-1\",\"uid\":\"uid-rs\",\"controller\":true}]},\"status\":{\"phase\":\"Running\","
		      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}", name, name, ready ? "True" : "False");
	settle(w);
}

static void world_init(struct world *w, const char *spec)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char t[400];

	w->fh = fakehost_new();
	fakehost_resource(w->fh, BUDGETS, 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "replicasets.apps", 1, NULL);
	fakehost_resource(w->fh, "replicationcontrollers", 1, NULL);
	fakehost_resource(w->fh, "deployments.apps", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	fakehost_putf(w->fh, "deployments.apps", "default", "web", "{\"metadata\":{\"uid\":\"uid-d\"},\"spec\":{\"replicas\":4}}");
	fakehost_putf(w->fh, "replicasets.apps", "default", "web-1", "{\"metadata\":{\"uid\":\"uid-rs\",\"ownerReferences\":["
		      "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\",\"uid\":\"uid-d\","
		      "\"controller\":true}]},\"spec\":{\"replicas\":3}}");
	(void)snprintf(t, sizeof(t), "{\"metadata\":{\"uid\":\"uid-b\"},\"spec\":{%s,\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}", spec);
	if (fakekube_do(w->k, "create", BUDGETS, "default", "b", t) != 201)
		otap_bail_out("no budget");
	for (int i = 0; i < 4; i++) {
		char name[2] = { (char)('a' + i), '\0' };

		pod(w, name, true);
	}
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static const char *at(struct world *w, const char *path)
{
	return fakekube_at(w->k, BUDGETS, "default", "b", path);
}

static void expect(const char *spec, const char *desired, const char *allowed)
{
	struct world w;

	world_init(&w, spec);
	is_str(at(&w, "status.expectedPods"), "4", "%s: expected", spec);
	is_str(at(&w, "status.desiredHealthy"), desired, "%s: desired", spec);
	is_str(at(&w, "status.currentHealthy"), "4", "%s: healthy", spec);
	is_str(at(&w, "status.disruptionsAllowed"), allowed, "%s: allowed", spec);
	world_done(&w);
}

static void test_unready(void)
{
	struct world w;

	world_init(&w, "\"minAvailable\":3");
	is_str(at(&w, "status.disruptionsAllowed"), "1", "one may go");
	is_str(at(&w, "status.conditions.0.status"), "True", "as the condition says");
	pod(&w, "d", false);
	is_str(at(&w, "status.disruptionsAllowed"), "0", "none while one is not ready");
	is_str(at(&w, "status.conditions.0.reason"), "InsufficientPods", "as the condition says");
	pod(&w, "d", true);
	is_str(at(&w, "status.disruptionsAllowed"), "1", "again when it is");
	world_done(&w);
}

int main(void)
{
	expect("\"minAvailable\":3", "3", "1");
	expect("\"minAvailable\":\"50%\"", "2", "2");
	expect("\"maxUnavailable\":1", "3", "1");
	expect("\"maxUnavailable\":\"30%\"", "2", "2");
	expect("\"maxUnavailable\":0", "4", "0");
	test_unready();
	return done_testing();
}
