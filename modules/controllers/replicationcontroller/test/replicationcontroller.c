/* replicationcontroller.c - pods by an equality selector: making, adopting, releasing, status, ending. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define RC	"replicationcontrollers"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
};

static void world_init(struct world *w)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	w->fh = fakehost_new();
	fakehost_resource(w->fh, RC, 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	if (fakekube_do(w->k, "create", RC, "default", "web", "{\"metadata\":{\"uid\":\"uid-web\"},\"spec\":{\"replicas\":2,"
			"\"selector\":{\"app\":\"web\"},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\",\"x\":\"y\"}},"
			"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}") != 201)
		otap_bail_out("no controller");
	fakehost_advance(w->fh, 100 * FAKEHOST_MS);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void change(struct world *w, const char *patch)
{
	(void)fakekube_do(w->k, "patch", RC, "default", "web", patch);
	fakehost_advance(w->fh, 100 * FAKEHOST_MS);
}

static void test_count(void)
{
	struct world w;
	struct ojson *pod;

	world_init(&w);
	is_int(fakehost_count(w.fh, "pods"), 2, "two pods");
	is_int(fakekube_count(w.k, "Created pod: web-"), 2, "each told as an Event");
	pod = fakekube_get(w.k, "pods", "default", "web-00001");
	is_str(ojson_cstr(ojson_at_dotted(pod, "metadata.ownerReferences.0.kind"), ""), "ReplicationController",
	       "owned by the ReplicationController");
	is_str(ojson_cstr(ojson_at_dotted(pod, "metadata.ownerReferences.0.apiVersion"), ""), "v1", "of v1");
	ojson_unref(pod);
	is_str(fakekube_at(w.k, RC, "default", "web", "status.replicas"), "2", "status.replicas");
	is_str(fakekube_at(w.k, RC, "default", "web", "status.terminatingReplicas"), "", "no terminatingReplicas");
	change(&w, "{\"spec\":{\"replicas\":4}}");
	is_int(fakehost_count(w.fh, "pods"), 4, "up");
	change(&w, "{\"spec\":{\"replicas\":1}}");
	is_int(fakehost_count(w.fh, "pods"), 1, "down");
	fakekube_forget(w.k);
	fakehost_relist(w.fh);
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");
	world_done(&w);
}

static void test_claim(void)
{
	struct world w;

	world_init(&w);
	change(&w, "{\"spec\":{\"replicas\":3}}");
	(void)fakekube_do(w.k, "patch", "pods", "default", "web-00001", "{\"metadata\":{\"labels\":{\"app\":\"other\"}}}");
	fakehost_advance(w.fh, 100 * FAKEHOST_MS);
	is_str(fakekube_at(w.k, "pods", "default", "web-00001", "metadata.ownerReferences.0.name"), "",
	       "a pod that stops matching is released");
	is_int(fakehost_count(w.fh, "pods"), 4, "and replaced");
	(void)fakekube_do(w.k, "patch", "pods", "default", "web-00001", "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
	fakehost_advance(w.fh, 100 * FAKEHOST_MS);
	is_int(fakehost_count(w.fh, "pods"), 3, "one that matches again is adopted, and one too many goes");
	world_done(&w);
}

int main(void)
{
	test_count();
	test_claim();
	return done_testing();
}
