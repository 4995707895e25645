/* resourcequota.c - a quota's use: counted when it is made, when its limits change, when something ends or goes. */
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
	fakehost_advance(w->fh, 500 * FAKEHOST_MS);
}

static void pod(struct world *w, const char *name, const char *phase)
{
	fakehost_putf(w->fh, "pods", "default", name, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s\",\"uid\":\"u-%s\"},"
		      "\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"500m\"}}}]},"
		      "\"status\":{\"phase\":\"%s\"}}", name, name, phase);
	settle(w);
}

static const char *used(struct world *w, const char *name)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "status.used.%s", name);
	return fakekube_at(w->k, "resourcequotas", "default", "q", path);
}

static void world_init(struct world *w, const char *spec)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char t[400];

	w->fh = fakehost_new();
	fakehost_resource(w->fh, "resourcequotas", 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "deployments.apps", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	pod(w, "a", "Running");
	pod(w, "b", "Running");
	pod(w, "c", "Failed");
	(void)snprintf(t, sizeof(t), "{\"metadata\":{\"uid\":\"uid-q\"},\"spec\":{%s}}", spec);
	if (fakekube_do(w->k, "create", "resourcequotas", "default", "q", t) != 201)
		otap_bail_out("no quota");
	settle(w);
	settle(w);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void test_pods(void)
{
	struct world w;

	world_init(&w, "\"hard\":{\"pods\":\"5\",\"count/pods\":\"6\",\"cpu\":\"4\",\"count/deployments.apps\":\"1\"}");
	is_str(used(&w, "pods"), "2", "pods that have not ended");
	is_str(used(&w, "count/pods"), "3", "all of them");
	is_str(used(&w, "cpu"), "1", "what they ask for");
	is_str(fakekube_at(w.k, "resourcequotas", "default", "q", "status.hard.pods"), "5", "the limits in force");
	pod(&w, "b", "Succeeded");
	settle(&w);
	is_str(used(&w, "pods"), "1", "one has ended");
	is_str(used(&w, "cpu"), "500m", "and asks for nothing");
	fakehost_delete(w.fh, "pods", "default", "c");
	settle(&w);
	settle(&w);
	is_str(used(&w, "count/pods"), "2", "one has gone");
	world_done(&w);
}

static void test_scope(void)
{
	struct world w;

	world_init(&w, "\"hard\":{\"pods\":\"5\"},\"scopes\":[\"BestEffort\"]");
	is_str(used(&w, "pods"), "0", "no pod of that scope");
	world_done(&w);
}

int main(void)
{
	test_pods();
	test_scope();
	return done_testing();
}
