/* ephemeral.c - claims that pods have in their specs: made, made again, somebody else's, not of a pod that goes. */
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define CLAIMS	"persistentvolumeclaims"

static struct fakehost *fh;
static struct fakekube *k;

static void settle(void)
{
	fakehost_advance(fh, 200 * FAKEHOST_MS);
}

static bool there(const char *name)
{
	struct ojson *o = fakekube_get(k, CLAIMS, "default", name);
	bool is = o != NULL;

	ojson_unref(o);
	return is;
}

static void pod(const char *name, const char *meta, const char *volumes)
{
	fakehost_putf(fh, "pods", "default", name, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s\",\"uid\":\"u-%s\"%s},\"spec\":{"
		      "\"volumes\":[%s]}}", name, name, meta, volumes);
	settle();
}

#define VOLUME "{\"name\":\"v\",\"ephemeral\":{\"volumeClaimTemplate\":{\"metadata\":{\"labels\":{\"a\":\"b\"},\"annotations\":{\"c\":\"d\"}}," \
	       "\"spec\":{\"storageClassName\":\"fast\",\"accessModes\":[\"ReadWriteOnce\"]}}}}"

static int refuse(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	(void)arg;
	*ret_reason = "Forbidden";
	return !strcmp(req->verb, "create") && !strcmp(req->resource, CLAIMS) ? 403 : 0;
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	fakehost_resource(fh, CLAIMS, 1, NULL);
	fakehost_resource(fh, "pods", 1, NULL);
	k = fakekube_new(fh);
	if (fakehost_load(fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	pod("p", "", VOLUME ",{\"name\":\"e\",\"emptyDir\":{}}");
	ok(there("p-v"), "the claim of a pod");
	is_str(fakekube_at(k, CLAIMS, "default", "p-v", "metadata.labels.a"), "b", "with the template's labels");
	is_str(fakekube_at(k, CLAIMS, "default", "p-v", "metadata.annotations.c"), "d", "annotations");
	is_str(fakekube_at(k, CLAIMS, "default", "p-v", "spec.storageClassName"), "fast", "and spec");
	is_str(fakekube_at(k, CLAIMS, "default", "p-v", "metadata.ownerReferences.0.uid"), "u-p", "belongs to it");
	is_str(fakekube_at(k, CLAIMS, "default", "p-v", "metadata.ownerReferences.0.controller"), "true", "and to nobody else");
	ok(!there("p-e"), "other volumes have none");
	fakekube_do(k, "delete", CLAIMS, "default", "p-v", NULL);
	settle();
	ok(there("p-v"), "one that somebody deleted is made again");
	fakekube_do(k, "create", CLAIMS, "default", "q-v", "{\"metadata\":{\"name\":\"q-v\"},\"spec\":{\"storageClassName\":\"mine\"}}");
	settle();
	pod("q", "", VOLUME);
	is_str(fakekube_at(k, CLAIMS, "default", "q-v", "spec.storageClassName"), "mine", "one of that name stays as it is");
	fakekube_do(k, "delete", CLAIMS, "default", "q-v", NULL);
	fakehost_advance(fh, 300000 * FAKEHOST_MS);
	is_str(fakekube_at(k, CLAIMS, "default", "q-v", "spec.storageClassName"), "fast", "until it has gone");
	pod("r", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", VOLUME);
	ok(!there("r-v"), "a pod that is being deleted gets none");
	fakekube_hook(k, refuse, NULL);
	pod("s", "", VOLUME);
	fakehost_advance(fh, 2000 * FAKEHOST_MS);
	ok(!there("s-v"), "a claim that is refused");
	ok(fakekube_count(k, "\"reason\":\"FailedBinding\"") && fakekube_count(k, "ephemeral volume v: create PVC s-v: "), "is an event of its pod, with the reason");
	fakekube_hook(k, NULL, NULL);
	fakehost_advance(fh, 300000 * FAKEHOST_MS);
	ok(there("s-v"), "and is tried again");
	fakekube_free(k);
	fakehost_free(fh);
	return done_testing();
}
