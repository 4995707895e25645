/* basic.c - the engine's verbs on small objects: what each answers, and what is stored. */
#include "base/otap.h"
#include "rig.h"

static void test_bootstrap(struct rig *r)
{
	is_int(rig_boot(r), 0, "bootstrap");
	is_int(rig_do(r, "get namespaces - kube-node-lease", "", ""), 200, "kube-node-lease is there");
	is_str(rig_at_path(r, "status.phase"), "Active", "and active");
	is_str(rig_at_path(r, "spec.finalizers.0"), "kubernetes", "with its finalizer");
	is_int(rig_do(r, "get services default kubernetes", "", ""), 200, "default/kubernetes");
	is_str(rig_at_path(r, "spec.clusterIP"), "10.96.0.1", "has the first address");
	is_int(rig_do(r, "get endpoints default kubernetes", "", ""), 200, "its endpoints");
	is_str(rig_at_path(r, "subsets.0.addresses.0.ip"), "192.0.2.1", "point here");
	is_int(rig_do(r, "get endpointslices.discovery.k8s.io default kubernetes", "", ""), 200, "its slice");
	is_int(rig_boot(r), 0, "bootstrap again");
}

static void test_configmap(struct rig *r)
{
	char body[1024], rv[32];
	uint64_t rev;

	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\",\"labels\":{\"app\":\"x\"}},\"data\":{\"k\":\"v\"}}"),
	       201, "create");
	is_str(rig_at_path(r, "kind"), "ConfigMap", "kind");
	ok(rig_at_path(r, "metadata.uid") && strlen(rig_at_path(r, "metadata.uid")) == 36, "uid");
	is_str(rig_at_path(r, "metadata.creationTimestamp"), "2026-01-01T00:00:00Z", "creationTimestamp");
	is_str(rig_at_path(r, "metadata.managedFields.0.manager"), "kubectl", "manager from the user agent");
	is_str(rig_at_path(r, "metadata.managedFields.0.fieldsV1"),
	       "{\"f:data\":{\".\":{},\"f:k\":{}},\"f:metadata\":{\"f:labels\":{\".\":{},\"f:app\":{}}}}", "fields");
	ok(r->rev > 0, "revision is told");
	rev = r->rev;
	snprintf(rv, sizeof(rv), "%llu", (unsigned long long)rev);
	is_str(rig_at_path(r, "metadata.resourceVersion"), rv, "and in the object");
	is_int(rig_do(r, "get configmaps default a", "", ""), 200, "get");
	is_str(rig_at_path(r, "metadata.resourceVersion"), rv, "same revision");
	ok(strncmp(r->body, "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"namespace\":\"default\",\"uid\":\"", 89) == 0,
	   "bytes as upstream orders them");
	ok(r->body[strlen(r->body) - 1] == '\n', "newline at the end");

	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\"}}"), 409, "create again");
	is_str(r->body, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"configmaps \\\"a\\\" already exists\",\"reason\":\"AlreadyExists\",\"details\":{\"name\":\"a\",\"kind\":\"configmaps\"},\"code\":409}\n",
	       "AlreadyExists to the letter");
	is_int(rig_do(r, "get configmaps default b", "", ""), 404, "get what is not there");
	is_str(rig_at_path(r, "message"), "configmaps \"b\" not found", "NotFound");

	is_int(rig_do(r, "update configmaps default a", "", "{\"metadata\":{\"name\":\"a\",\"labels\":{\"app\":\"x\"}},\"data\":{\"k\":\"v\"}}"),
	       200, "update without a change");
	is_str(rig_at_path(r, "metadata.resourceVersion"), rv, "keeps the revision");
	is_int(rig_do(r, "update configmaps default a", "", "{\"metadata\":{\"name\":\"a\",\"labels\":{\"app\":\"x\"}},\"data\":{\"k\":\"w\"}}"),
	       200, "update");
	ok(r->rev > rev, "new revision");
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"%s\"},\"data\":{}}", rv);
	is_int(rig_do(r, "update configmaps default a", "", body), 409, "update of an old revision");
	is_str(rig_at_path(r, "message"),
	       "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
	       "Conflict");
	is_int(rig_do(r, "update configmaps default a", "", "{\"metadata\":{\"name\":\"b\"}}"), 400, "another name");
	is_int(rig_do(r, "update configmaps default zz", "", "{\"metadata\":{\"name\":\"zz\"}}"), 404, "PUT does not create ConfigMaps");

	is_int(rig_do(r, "merge-patch configmaps default a", "fieldManager=me", "{\"data\":{\"n\":\"1\",\"k\":null}}"), 200, "merge patch");
	is_str(rig_at_path(r, "data"), "{\"n\":\"1\"}", "applied");
	ok(strstr(r->body, "\"manager\":\"me\"") != NULL, "manager of the query");
	is_int(rig_do(r, "json-patch configmaps default a", "", "[{\"op\":\"test\",\"path\":\"/data/n\",\"value\":\"2\"}]"), 422, "failed test");
	is_int(rig_do(r, "strategic-patch configmaps default a", "", "{\"metadata\":{\"labels\":{\"b\":\"y\"}}}"), 200, "strategic patch");
	is_str(rig_at_path(r, "metadata.labels"), "{\"app\":\"x\",\"b\":\"y\"}", "labels merge");

	is_int(rig_do(r, "delete configmaps default a", "", "{\"preconditions\":{\"uid\":\"no\"}}"), 409, "wrong uid");
	is_int(rig_do(r, "delete configmaps default a", "dryRun=All", ""), 200, "dry run of a delete");
	is_int(rig_do(r, "get configmaps default a", "", ""), 200, "deletes nothing");
	is_int(rig_do(r, "delete configmaps default a", "", ""), 200, "delete");
	is_str(rig_at_path(r, "status"), "Success", "Status Success");
	is_str(rig_at_path(r, "details.kind"), "configmaps", "about configmaps");
	is_int(rig_do(r, "get configmaps default a", "", ""), 404, "gone");
}

static void test_bad(struct rig *r)
{
	is_int(rig_do(r, "create configmaps nowhere", "", "{\"metadata\":{\"name\":\"a\"}}"), 404, "no such namespace");
	is_str(rig_at_path(r, "message"), "namespaces \"nowhere\" not found", "says so");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"A_\"}}"), 422, "bad name");
	is_str(rig_at_path(r, "details.causes.0.field"), "metadata.name", "cause");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{}}"), 422, "no name");
	is_int(rig_do(r, "create configmaps default", "", "{"), 400, "half a body");
	is_int(rig_do(r, "create configmaps default", "", ""), 400, "no body");
	is_int(rig_do(r, "create configmaps default", "", "[]"), 400, "a list");
	is_int(rig_do(r, "create configmaps default", "", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}"), 400, "another kind");
	is_int(rig_do(r, "create configmaps default", "", "{\"apiVersion\":\"apps/v1\"}"), 400, "another version");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":\"x\"}"), 400, "metadata of a wrong type");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}"), 400, "another namespace");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"3\"}}"), 500, "resourceVersion on create");
	is_int(rig_do(r, "create configmaps default", "fieldValidation=Strict", "{\"metadata\":{\"name\":\"a\"},\"dta\":1,\"data\":{\"x\":\"1\",\"x\":\"2\"}}"),
	       400, "strict");
	ok(strstr(r->body, "strict decoding error") != NULL, "strict decoding error");
	is_int(rig_do(r, "create configmaps default", "dryRun=All", "{\"metadata\":{\"name\":\"a\"},\"dta\":1}"), 201, "warn");
	is_str(r->warnings, "unknown field \"dta\"\n", "warning");
	is_str(rig_at_path(r, "metadata.resourceVersion"), NULL, "dry run has no resourceVersion");
	is_int(rig_do(r, "get configmaps default a", "", ""), 404, "and leaves nothing");
	is_int(rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"dry\"}}"), 201, "an account");
	is_int(rig_do(r, "create serviceaccounts default", "dryRun=All", "{\"metadata\":{\"name\":\"dry\"}}"), 409, "dry run of a taken name");
	is_int(rig_do(r, "create configmaps default", "dryRun=Some", "{\"metadata\":{\"name\":\"a\"}}"), 422, "dryRun=Some");
	is_int(rig_do(r, "create configmaps", "", "{\"metadata\":{\"name\":\"a\"}}"), 405, "no namespace in the path");
	is_int(rig_do(r, "update configmaps default a status", "", "{}"), 404, "no such subresource");
	is_int(rig_do(r, "list configmaps default", "labelSelector=a%3D%3D%3Db", ""), 400, "bad label selector");
	is_int(rig_do(r, "list configmaps default", "fieldSelector=spec.x%3Da", ""), 400, "unknown field");
	is_int(rig_do(r, "list configmaps default", "resourceVersionMatch=Exact", ""), 422, "match without version");
	is_int(rig_do(r, "list configmaps default", "continue=AAAA", ""), 400, "bad token");
	is_int(rig_do(r, "list configmaps default", "resourceVersion=999999", ""), 504, "from the future");
	is_str(rig_at_path(r, "details.causes.0.reason"), "ResourceVersionTooLarge", "too large");
	r->fail_txn = ENOSPC;
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\"}}"), 507, "full disk");
}

static void test_generate(struct rig *r)
{
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"generateName\":\"web-\"}}"), 201, "generateName");
	ok(rig_at_path(r, "metadata.name") && strlen(rig_at_path(r, "metadata.name")) == 9, "five characters");
	is_int(rig_do(r, "deletecollection configmaps default", "", ""), 200, "deletecollection");
	is_str(rig_at_path(r, "kind"), "ConfigMapList", "answers the list");
	is_int(rig_do(r, "list configmaps default", "", ""), 200, "list");
	is_str(rig_at_path(r, "items"), "[]", "empty");
}

static void touch_race(struct rig *r)
{
	struct rig_version *v = NULL;

	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->v[i].key, "configmaps/default/race"))
			v = &r->v[i];
	if (v) {
		struct orlop_bytes key = { v->key, v->key_len }, val = { v->value, v->value_len };
		uint64_t rev = fakehost_put_record(r->fh, key, val);

		rig_keep(r, key, val, rev);
	}
}

static void test_race(struct rig *r)
{
	char body[256];

	rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"race\"},\"data\":{\"a\":\"1\"}}");
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"race\",\"resourceVersion\":\"%llu\"},\"data\":{\"a\":\"2\"}}", (unsigned long long)r->rev);
	r->race = touch_race;
	is_int(rig_do(r, "update configmaps default race", "", body), 409, "somebody was faster: conflict");
	r->race = touch_race;
	is_int(rig_do(r, "merge-patch configmaps default race", "", "{\"data\":{\"b\":\"3\"}}"), 200, "a patch tries again");
	is_str(rig_at_path(r, "data"), "{\"a\":\"1\",\"b\":\"3\"}", "on the newer object");
	r->race = touch_race;
	is_int(rig_do(r, "delete configmaps default race", "", ""), 200, "so does a delete");
}

int main(void)
{
	struct rig *r = rig_new();

	test_bootstrap(r);
	test_configmap(r);
	test_bad(r);
	test_generate(r);
	test_race(r);
	is_int(reg_shard_busy(r->sh), 0, "nothing is left in flight");
	rig_free(r);
	return done_testing();
}
