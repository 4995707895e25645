/* endpoints.c - addresses by readiness, ports by name, headless and manual Services, changes and ends. */
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
	fakehost_resource(w->fh, "endpoints", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	(void)snprintf(t, sizeof(t), "{\"metadata\":{\"uid\":\"uid-web\"},\"spec\":{%s}}", spec);
	if (fakekube_do(w->k, "create", "services", "default", "web", t) != 201)
		otap_bail_out("no service");
	settle(w);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void pod(struct world *w, const char *name, const char *ip, const char *port, bool ready, const char *more)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{\"uid\":\"uid-%s\",\"namespace\":\"default\",\"name\":\"%s\","
		      "\"labels\":{\"app\":\"web\"}},\"spec\":{%s\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"ports\":["
		      "{\"name\":\"http\",\"containerPort\":%s}]}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"%s\","
		      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}",
		      name, name, more, port, ip, ready ? "True" : "False");
	settle(w);
}

static const char *at(struct world *w, const char *path)
{
	return fakekube_at(w->k, "endpoints", "default", "web", path);
}

#define NAMED	"\"clusterIP\":\"10.0.0.1\",\"selector\":{\"app\":\"web\"}," \
		"\"ports\":[{\"name\":\"w\",\"port\":80,\"targetPort\":\"http\"}]"

static void test_ready(void)
{
	struct world w;

	world_init(&w, NAMED);
	is_int(fakehost_count(w.fh, "endpoints"), 1, "there at once");
	is_str(at(&w, "subsets.0.ports.0.port"), "", "with nothing");
	pod(&w, "b", "10.1.0.2", "8080", true, "");
	pod(&w, "a", "10.1.0.1", "8080", true, "");
	is_str(at(&w, "subsets.0.addresses.0.ip"), "10.1.0.1", "in order");
	is_str(at(&w, "subsets.0.addresses.1.ip"), "10.1.0.2", "both");
	is_str(at(&w, "subsets.0.addresses.0.nodeName"), "n", "the node");
	is_str(at(&w, "subsets.0.addresses.0.targetRef.uid"), "uid-a", "the pod");
	is_str(at(&w, "subsets.0.ports.0.port"), "8080", "the named port");
	is_str(at(&w, "subsets.0.ports.0.name"), "w", "under the Service's name");
	pod(&w, "a", "10.1.0.1", "8080", false, "");
	is_str(at(&w, "subsets.0.notReadyAddresses.0.ip"), "10.1.0.1", "no longer ready");
	is_str(at(&w, "subsets.0.addresses.0.ip"), "10.1.0.2", "the other is");
	pod(&w, "c", "10.1.0.3", "9090", true, "");
	is_str(at(&w, "subsets.1.addresses.0.ip"), "10.1.0.3", "another number makes another subset");
	is_str(at(&w, "subsets.1.ports.0.port"), "9090", "with it");
	(void)fakekube_do(w.k, "delete", "pods", "default", "b", NULL);
	settle(&w);
	is_str(at(&w, "subsets.0.addresses.0.ip"), "", "gone with its pod");
	fakekube_forget(w.k);
	fakehost_relist(w.fh);
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	(void)fakekube_do(w.k, "delete", "services", "default", "web", NULL);
	settle(&w);
	is_int(fakehost_count(w.fh, "endpoints"), 0, "gone with the Service");
	world_done(&w);
}

static void test_headless(void)
{
	struct world w;

	world_init(&w, "\"clusterIP\":\"None\",\"selector\":{\"app\":\"web\"},\"publishNotReadyAddresses\":true");
	pod(&w, "a", "10.1.0.1", "80", false, "\"hostname\":\"h\",\"subdomain\":\"web\",");
	is_str(at(&w, "subsets.0.addresses.0.ip"), "10.1.0.1", "published though not ready, without ports");
	is_str(at(&w, "subsets.0.addresses.0.hostname"), "h", "by its hostname");
	is_str(at(&w, "subsets.0.ports"), "", "no ports");
	world_done(&w);
}

static void test_manual(void)
{
	struct world w;

	world_init(&w, "\"clusterIP\":\"10.0.0.1\",\"ports\":[{\"port\":80}]");
	is_int(fakekube_count(w.k, "create endpoints"), 0, "without a selector nothing is made");
	(void)fakekube_do(w.k, "create", "endpoints", "default", "web", "{\"metadata\":{},\"subsets\":[{\"addresses\":[{\"ip\":\"1.2.3.4\"}]}]}");
	(void)fakekube_do(w.k, "delete", "services", "default", "web", NULL);
	settle(&w);
	is_int(fakehost_count(w.fh, "endpoints"), 1, "and nothing that others made is taken away");
	world_done(&w);
}

int main(void)
{
	test_ready();
	test_headless();
	test_manual();
	return done_testing();
}
