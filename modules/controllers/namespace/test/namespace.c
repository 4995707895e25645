/* namespace.c - ending namespaces: pods first, everything, finalizers, failures, other namespaces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

static const char *condition(struct fakekube *k, const char *type)
{
	static char out[300];
	struct ojson *ns = fakekube_get(k, "namespaces", "", "team");

	out[0] = '\0';
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(ns, "status", "conditions"))
		if (ojson_string_is(ojson_get(c, "type"), type))
			snprintf(out, sizeof(out), "%s %s %s", ojson_get_cstr(c, "status", ""),
				 ojson_get_cstr(c, "reason", ""), ojson_get_cstr(c, "message", ""));
	ojson_unref(ns);
	return out;
}

static int refuse(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	(void)ret_reason;
	return *(int *)arg && !strcmp(req->verb, "deletecollection") && !strcmp(req->resource, "secrets") ? 403 : 0;
}

static struct fakehost *begin(struct fakekube **ret)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct fakehost *fh = fakehost_new();

	fakehost_resource(fh, "namespaces", 0, NULL);
	fakehost_resource(fh, "nodes", 0, NULL);
	fakehost_resource(fh, "pods", 1, NULL);
	fakehost_resource(fh, "secrets", 1, NULL);
	fakehost_resource(fh, "replicasets.apps", 1, NULL);
	*ret = fakekube_new(fh);
	if (fakehost_load(fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	(void)fakekube_do(*ret, "create", "namespaces", "", "team", "{\"spec\":{\"finalizers\":[\"kubernetes\"]}}");
	(void)fakekube_do(*ret, "create", "namespaces", "", "other", "{\"spec\":{\"finalizers\":[\"kubernetes\"]}}");
	fakehost_advance(fh, FAKEHOST_S);
	return fh;
}

int main(void)
{
	struct fakekube *k;
	struct fakehost *fh = begin(&k);
	int broken = 1;

	/* Nothing in it. */
	(void)fakekube_do(k, "delete", "namespaces", "", "team", NULL);
	fakehost_advance(fh, FAKEHOST_S);
	ok(!fakehost_get(fh, "namespaces", "", "team"), "an empty namespace goes at once");
	ok(fakehost_get(fh, "namespaces", "", "other") != NULL, "others stay");
	is_int(fakekube_count(k, "deletecollection"), 0, "nothing had to be deleted");

	/* Pods in grace, a finalizer, a failing resource. */
	(void)fakekube_do(k, "create", "namespaces", "", "team", "{\"spec\":{\"finalizers\":[\"kubernetes\"]}}");
	(void)fakekube_do(k, "create", "pods", "team", "p", "{\"spec\":{\"nodeName\":\"n\"}}");
	(void)fakekube_do(k, "create", "secrets", "team", "s", "{\"metadata\":{\"finalizers\":[\"x.com/keep\"]}}");
	(void)fakekube_do(k, "create", "replicasets.apps", "team", "r", "{}");
	(void)fakekube_do(k, "create", "secrets", "other", "s", "{}");
	fakehost_advance(fh, FAKEHOST_S);
	fakekube_hook(k, refuse, &broken);
	(void)fakekube_do(k, "delete", "namespaces", "", "team", NULL);
	fakehost_advance(fh, FAKEHOST_S);
	is_int(fakekube_count(k, "deletecollection"), 1, "pods first, once");
	ok(fakehost_get(fh, "secrets", "team", "s") != NULL, "what they use stays");
	is_str(condition(k, "NamespaceContentRemaining"), "True SomeResourcesRemain Some resources are remaining: "
	       "pods. has 1 resource instances, replicasets.apps has 1 resource instances, "
	       "secrets. has 1 resource instances", "what remains is said");
	(void)fakekube_do(k, "delete", "pods", "team", "p", "{\"gracePeriodSeconds\":0}");
	fakehost_advance(fh, 3 * FAKEHOST_S);
	ok(!fakehost_get(fh, "replicasets.apps", "team", "r"), "then everything else");
	is_str(condition(k, "NamespaceDeletionContentFailure"), "True ContentDeletionFailed secrets \"\": Forbidden",
	       "what cannot be deleted is said");
	broken = 0;
	fakehost_advance(fh, 60 * FAKEHOST_S);
	ok(*fakekube_at(k, "secrets", "team", "s", "metadata.deletionTimestamp"), "and tried again");
	is_str(condition(k, "NamespaceDeletionContentFailure"), "False ContentDeleted All content successfully "
	       "deleted, may be waiting on finalization", "no failure any more");
	is_str(condition(k, "NamespaceFinalizersRemaining"), "True SomeFinalizersRemain Some content in the namespace "
	       "has finalizers remaining: x.com/keep in 1 resource instances", "a finalizer is said");
	fakekube_forget(k);
	fakehost_advance(fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(k, ""), 0, "waiting for a finalizer writes nothing");
	(void)fakekube_do(k, "patch", "secrets", "team", "s", "{\"metadata\":{\"finalizers\":null}}");
	fakehost_advance(fh, 5 * FAKEHOST_S);
	ok(!fakehost_get(fh, "namespaces", "", "team"), "then it goes");
	ok(fakehost_get(fh, "secrets", "other", "s") != NULL, "other namespaces were not touched");
	is_int(fakekube_count(k, "namespaces/finalize"), 1, "by the finalize subresource");

	/* Somebody else's finalizer on the namespace itself. */
	(void)fakekube_do(k, "create", "namespaces", "", "team",
			  "{\"metadata\":{\"finalizers\":[\"a/b\"]},\"spec\":{\"finalizers\":[\"kubernetes\"]}}");
	(void)fakekube_do(k, "delete", "namespaces", "", "team", NULL);
	fakehost_advance(fh, 5 * FAKEHOST_S);
	is_str(condition(k, "NamespaceContentRemaining"), "False ContentRemoved All content successfully removed",
	       "it is empty");
	is_str(fakekube_at(k, "namespaces", "", "team", "spec.finalizers"), "[]", "and finalized by us");
	(void)fakekube_do(k, "patch", "namespaces", "", "team", "{\"metadata\":{\"finalizers\":null}}");
	ok(!fakehost_get(fh, "namespaces", "", "team"), "others let it go later");
	fakekube_free(k);
	fakehost_free(fh);
	return done_testing();
}
