/* endpointslice.c - conditions, zones, a hundred endpoints a slice and few slices touched, manual Services. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define SLICES	"endpointslices.discovery.k8s.io"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
};

static void settle(struct world *w)
{
	fakehost_advance(w->fh, 200 * FAKEHOST_MS);
}

static void world_init(struct world *w, const char *spec)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char t[1024];

	w->fh = fakehost_new();
	fakehost_resource(w->fh, "services", 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "nodes", 0, NULL);
	fakehost_resource(w->fh, SLICES, 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	fakehost_putf(w->fh, "nodes", "", "n", "{\"metadata\":{\"labels\":{\"topology.kubernetes.io/zone\":\"z\"}}}");
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	(void)snprintf(t, sizeof(t), "{\"metadata\":{\"uid\":\"uid-web\",\"labels\":{\"l\":\"v\"}},\"spec\":{%s}}", spec);
	if (fakekube_do(w->k, "create", "services", "default", "web", t) != 201)
		otap_bail_out("no service");
	settle(w);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void pod(struct world *w, int n, bool ready, const char *meta)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "p%03d", n);
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{%s\"uid\":\"uid-%s\",\"namespace\":\"default\",\"name\":\"%s\","
		      "\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":\"n\",\"hostname\":\"h%d\",\"subdomain\":\"web\","
		      "\"containers\":[{\"name\":\"c\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080}]}]},"
		      "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.%d.%d\",\"conditions\":[{\"type\":\"Ready\","
		      "\"status\":\"%s\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}",
		      meta, name, name, n, n / 250, 1 + n % 250, ready ? "True" : "False");
}

static const char *at(struct world *w, const char *path)
{
	return fakekube_at(w->k, SLICES, "default", "web-00001", path);
}

#define NAMED	"\"clusterIP\":\"10.0.0.1\",\"selector\":{\"app\":\"web\"}," \
		"\"ports\":[{\"name\":\"w\",\"port\":80,\"targetPort\":\"http\",\"protocol\":\"TCP\"}]"

static void test_one(void)
{
	struct world w;

	world_init(&w, NAMED);
	is_int(fakehost_count(w.fh, SLICES), 1, "one slice at once, an empty one");
	is_str(at(&w, "endpoints.0.addresses.0"), "", "it is empty");
	pod(&w, 1, true, "");
	settle(&w);
	is_int(fakehost_count(w.fh, SLICES), 1, "which is used");
	is_str(at(&w, "endpoints.0.addresses.0"), "10.1.0.2", "for the address");
	is_str(at(&w, "endpoints.0.conditions.ready"), "true", "ready");
	is_str(at(&w, "endpoints.0.conditions.serving"), "true", "serving");
	is_str(at(&w, "endpoints.0.conditions.terminating"), "false", "not terminating");
	is_str(at(&w, "endpoints.0.hostname"), "h1", "hostname");
	is_str(at(&w, "endpoints.0.nodeName"), "n", "nodeName");
	is_str(at(&w, "endpoints.0.zone"), "z", "zone");
	is_str(at(&w, "endpoints.0.targetRef.name"), "p001", "targetRef");
	is_str(at(&w, "ports.0.port"), "8080", "the named port");
	is_str(at(&w, "metadata.labels.l"), "v", "the Service's labels");
	ok(fakekube_count(w.k, "\"endpointslice.kubernetes.io/managed-by\":\"endpointslice-controller.k8s.io\"") > 0 &&
	   fakekube_count(w.k, "\"kubernetes.io/service-name\":\"web\"") > 0, "and its own");
	ok(fakekube_count(w.k, "\"endpoints.kubernetes.io/last-change-trigger-time\":\"2026-01-01T00:00:00Z\"") > 0,
	   "what made it change");
	pod(&w, 1, true, "\"deletionTimestamp\":\"2026-01-01T00:01:00Z\",");
	settle(&w);
	is_str(at(&w, "endpoints.0.conditions.ready"), "false", "ending: not ready");
	is_str(at(&w, "endpoints.0.conditions.serving"), "true", "but serving");
	is_str(at(&w, "endpoints.0.conditions.terminating"), "true", "and terminating");
	fakekube_forget(w.k);
	fakehost_relist(w.fh);
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	world_done(&w);
}

static void test_many(void)
{
	struct world w;

	world_init(&w, NAMED);
	for (int i = 0; i < 250; i++)
		pod(&w, i, true, "");
	fakehost_advance(w.fh, 2 * FAKEHOST_S);
	is_int(fakehost_count(w.fh, SLICES), 3, "250 pods in three slices");
	fakekube_forget(w.k);
	pod(&w, 120, false, "");
	settle(&w);
	is_int(fakekube_count(w.k, "update " SLICES), 1, "one changes: one slice is written");
	is_int(fakekube_count(w.k, ""), 1, "and nothing else");
	fakekube_forget(w.k);
	for (int i = 250; i < 300; i++)
		pod(&w, i, true, "");
	fakehost_advance(w.fh, 2 * FAKEHOST_S);
	is_int(fakehost_count(w.fh, SLICES), 3, "fifty more fill the last");
	pod(&w, 300, true, "");
	settle(&w);
	is_int(fakehost_count(w.fh, SLICES), 4, "another one needs another slice");
	world_done(&w);
}

static void test_manual(void)
{
	struct world w;

	world_init(&w, "\"clusterIP\":\"10.0.0.1\",\"ports\":[{\"port\":80}]");
	pod(&w, 1, true, "");
	settle(&w);
	is_int(fakehost_count(w.fh, SLICES), 0, "without a selector nothing is made");
	world_done(&w);
}

int main(void)
{
	test_one();
	test_many();
	test_manual();
	return done_testing();
}
