/* collect.c - owners and dependents: chains, foreground, orphans, partly lost owners, late starts. */
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

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
	struct fakehost_module *m;
};

static void resource(struct world *w, const char *name, const char *group, const char *kind, int namespaced)
{
	char plural[64];
	struct orlop_resource_info info = { .size = sizeof(info), .namespaced = (uint32_t)namespaced, .name = name,
					    .group = group, .version = "v1", .kind = kind, .plural = plural };
	static const char *const indexed[] = { "owner", "uid", "labels", NULL };

	snprintf(plural, sizeof(plural), "%.*s", (int)strcspn(name, "."), name);
	info.indexed = indexed;
	fakehost_resource_info(w->fh, &info);
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->fh = fakehost_new();
	resource(w, "deployments.apps", "apps", "Deployment", 1);
	resource(w, "replicasets.apps", "apps", "ReplicaSet", 1);
	resource(w, "pods", "", "Pod", 1);
	resource(w, "configmaps", "", "ConfigMap", 1);
	resource(w, "nodes", "", "Node", 0);
	resource(w, "events", "", "Event", 1);
	w->k = fakekube_new(w->fh);
}

static void load(struct world *w)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (fakehost_load_as(w->fh, &orlop_module, NULL, &w->m, &err))
		otap_bail_out(err.msg);
	fakehost_advance(w->fh, FAKEHOST_S);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

static void settle(struct world *w)
{
	fakehost_advance(w->fh, 10 * FAKEHOST_S);
}

/* An object owned by @n_owners of "apiVersion kind name uid" (four strings each); uid is uid-NAME. */
static void make(struct world *w, const char *res, const char *name, const char *more, const char *const *owners)
{
	char refs[1024] = "";
	char text[2048];
	size_t i;

	for (i = 0; owners && owners[i]; i += 4)
		snprintf(refs + strlen(refs), sizeof(refs) - strlen(refs),
			 "%s{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",\"uid\":\"%s\",\"controller\":%s,"
			 "\"blockOwnerDeletion\":true}", i ? "," : "", owners[i], owners[i + 1], owners[i + 2],
			 owners[i + 3], i ? "false" : "true");
	snprintf(text, sizeof(text), "{\"metadata\":{\"name\":\"%s\",\"uid\":\"uid-%s\",\"ownerReferences\":[%s]%s}}",
		 name, name, refs, more);
	if (fakekube_do(w->k, "create", res, "default", name, text) != 201)
		otap_bail_out("cannot make an object");
}

#define OWNERS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define DEP_WEB "apps/v1", "Deployment", "web", "uid-web"
#define SET_ONE "apps/v1", "ReplicaSet", "one", "uid-one"

static void chain(struct world *w)
{
	make(w, "deployments.apps", "web", "", NULL);
	make(w, "replicasets.apps", "one", "", OWNERS(DEP_WEB));
	make(w, "pods", "p1", "", OWNERS(SET_ONE));
	make(w, "pods", "p2", "", OWNERS(SET_ONE));
	make(w, "pods", "alone", "", NULL);
}

static int there(struct world *w, const char *res, const char *name)
{
	return fakehost_get(w->fh, res, "default", name) != NULL;
}

static void test_background(void)
{
	struct world w;

	world_init(&w);
	load(&w);
	chain(&w);
	settle(&w);
	is_int(fakekube_count(w.k, "delete "), 0, "what has owners stays");
	is_int(fakekube_count(w.k, "get "), 0, "and no owner was asked for");
	(void)fakekube_do(w.k, "delete", "deployments.apps", "default", "web",
			  "{\"propagationPolicy\":\"Background\"}");
	settle(&w);
	ok(!there(&w, "replicasets.apps", "one"), "the set goes after its deployment");
	ok(!there(&w, "pods", "p1") && !there(&w, "pods", "p2"), "and its pods after it");
	ok(there(&w, "pods", "alone"), "others stay");
	ok(fakekube_count(w.k, "get deployments.apps default/web") >= 1, "the owner was asked for before");
	ok(fakekube_count(w.k, "\"uid\":\"uid-one\"") >= 1, "deletes name the uid");
	world_done(&w);
}

static void test_foreground(void)
{
	struct world w;

	world_init(&w);
	load(&w);
	chain(&w);
	make(&w, "pods", "slow", ",\"finalizers\":[\"x/y\"]", OWNERS(SET_ONE));
	settle(&w);
	(void)fakekube_do(w.k, "delete", "deployments.apps", "default", "web",
			  "{\"propagationPolicy\":\"Foreground\"}");
	settle(&w);
	ok(!there(&w, "pods", "p1"), "dependents go first");
	ok(there(&w, "replicasets.apps", "one") && there(&w, "deployments.apps", "web"),
	   "owners wait for the last one");
	ok(*fakekube_at(w.k, "replicasets.apps", "default", "one", "metadata.deletionTimestamp"),
	   "the set is on its way");
	(void)fakekube_do(w.k, "patch", "pods", "default", "slow", "{\"metadata\":{\"finalizers\":null}}");
	settle(&w);
	ok(!there(&w, "pods", "slow"), "it goes");
	ok(!there(&w, "replicasets.apps", "one"), "then the set");
	ok(!there(&w, "deployments.apps", "web"), "then the deployment");
	world_done(&w);
}

static void test_orphan(void)
{
	struct world w;

	world_init(&w);
	load(&w);
	chain(&w);
	settle(&w);
	(void)fakekube_do(w.k, "delete", "replicasets.apps", "default", "one",
			  "{\"propagationPolicy\":\"Orphan\"}");
	settle(&w);
	ok(!there(&w, "replicasets.apps", "one"), "the owner goes");
	ok(there(&w, "pods", "p1") && there(&w, "pods", "p2"), "its pods stay");
	is_str(fakekube_at(w.k, "pods", "default", "p1", "metadata.ownerReferences"), "[]", "and have forgotten it");
	world_done(&w);
}

static void test_partly(void)
{
	struct world w;

	world_init(&w);
	load(&w);
	make(&w, "deployments.apps", "web", "", NULL);
	make(&w, "configmaps", "cm", "", NULL);
	make(&w, "pods", "both", "", OWNERS(DEP_WEB, "v1", "ConfigMap", "cm", "uid-cm"));
	make(&w, "pods", "other", "", OWNERS("apps/v1", "Deployment", "web", "uid-of-an-older-one"));
	make(&w, "pods", "unknown", "", OWNERS("example.com/v1", "Thing", "t", "uid-t"));
	make(&w, "pods", "node", "", OWNERS("v1", "Node", "n1", "uid-n1"));
	settle(&w);
	ok(!there(&w, "pods", "other"), "an owner of the same name is not the same owner");
	ok(there(&w, "pods", "unknown"), "a kind that nobody serves is no reason to delete");
	ok(!there(&w, "pods", "node"), "a cluster-wide owner that is not there is one");
	(void)fakekube_do(w.k, "delete", "configmaps", "default", "cm", NULL);
	settle(&w);
	ok(there(&w, "pods", "both"), "one owner left keeps it");
	is_str(fakekube_at(w.k, "pods", "default", "both", "metadata.ownerReferences.0.name"), "web",
	       "with the reference to that");
	is_str(fakekube_at(w.k, "pods", "default", "both", "metadata.ownerReferences.1"), "", "only");
	(void)fakekube_do(w.k, "delete", "deployments.apps", "default", "web", NULL);
	settle(&w);
	ok(!there(&w, "pods", "both"), "the last one takes it along");
	world_done(&w);
}

static void test_start(void)
{
	struct world w;

	world_init(&w);
	make(&w, "replicasets.apps", "one", "", OWNERS(DEP_WEB));
	make(&w, "pods", "p1", "", OWNERS(SET_ONE));
	load(&w);
	settle(&w);
	ok(!there(&w, "replicasets.apps", "one") && !there(&w, "pods", "p1"),
	   "owners lost before the start are noticed");

	/* Deleted while the journal is lost. */
	chain(&w);
	settle(&w);
	fakehost_batch_begin(w.fh);
	fakehost_delete(w.fh, "replicasets.apps", "default", "one");
	fakehost_batch_end(w.fh);
	fakehost_relist(w.fh);
	settle(&w);
	ok(!there(&w, "pods", "p1") && !there(&w, "pods", "p2"), "a lost journal hides no deletion");

	/* A kind that comes later. */
	make(&w, "deployments.apps", "late", "", NULL);
	resource(&w, "things.example.com", "example.com", "Thing", 1);
	make(&w, "things.example.com", "t", "",
	     OWNERS("apps/v1", "Deployment", "late", "uid-late"));
	make(&w, "pods", "of-thing", "", OWNERS("example.com/v1", "Thing", "t", "uid-t"));
	settle(&w);
	ok(there(&w, "pods", "of-thing"), "a new kind can own");
	(void)fakekube_do(w.k, "delete", "deployments.apps", "default", "late", NULL);
	settle(&w);
	ok(!there(&w, "things.example.com", "t"), "and be owned");
	ok(!there(&w, "pods", "of-thing"), "chains go through it");
	world_done(&w);
}

struct opening {
	struct fakehost	*fh;
	uint32_t	held;
};

static int has_opened(void *arg)
{
	const struct opening *o = arg;

	return fakehost_held(o->fh) > o->held;
}

/* Definitions that come and go. */
static void test_kinds(void)
{
	struct opening before;
	struct world w;

	world_init(&w);
	load(&w);
	chain(&w);
	settle(&w);
	resource(&w, "things.example.com", "example.com", "Thing", 1);
	before = (struct opening){ w.fh, fakehost_held(w.fh) };
	is_int(fakehost_run_until(w.fh, has_opened, &before, FAKEHOST_S), 1, "a kind is followed, and not listed yet");
	fakehost_resource_retire(w.fh, "things.example.com");
	(void)fakekube_do(w.k, "delete", "deployments.apps", "default", "web", "{\"propagationPolicy\":\"Background\"}");
	settle(&w);
	ok(!there(&w, "pods", "p1"), "a kind that was there for a moment holds nothing up");

	/* An owner of a kind that nobody serves, and that is gone when somebody does. */
	make(&w, "configmaps", "of-thing", "", OWNERS("example.com/v1", "Other", "t", "uid-t"));
	make(&w, "configmaps", "of-nobody", "", OWNERS("example.com/v1", "Nothing", "t", "uid-t"));
	settle(&w);
	ok(there(&w, "configmaps", "of-thing"), "what an unknown kind owns stays");
	resource(&w, "others.example.com", "example.com", "Other", 1);
	settle(&w);
	ok(!there(&w, "configmaps", "of-thing"), "until it is known, and is not there");
	ok(there(&w, "configmaps", "of-nobody"), "another unknown one's stays");

	/* The same name as another kind of another scope. */
	make(&w, "configmaps", "of-set", "", OWNERS("example.com/v1", "Set", "s", "uid-s"));
	settle(&w);
	fakehost_resource_retire(w.fh, "others.example.com");
	settle(&w);
	resource(&w, "others.example.com", "example.com", "Set", 0);
	settle(&w);
	ok(!there(&w, "configmaps", "of-set"), "a resource that comes again is what it is now");
	is_int(fakehost_unload(w.fh, w.m, NULL), 0, "it stops");
	is_int(fakehost_held(w.fh), 0, "and holds nothing");
	world_done(&w);
}

static int say_nothing(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	*ret_reason = "InternalError";
	return *(int *)arg && !strcmp(req->verb, "get") ? 500 : 0;
}

static void test_doubt(void)
{
	struct world w;
	int broken = 1;

	world_init(&w);
	load(&w);
	fakekube_hook(w.k, say_nothing, &broken);
	make(&w, "pods", "p1", "", OWNERS(SET_ONE));
	settle(&w);
	ok(there(&w, "pods", "p1"), "no answer is no reason to delete");
	broken = 0;
	fakehost_advance(w.fh, 100 * FAKEHOST_S);
	ok(!there(&w, "pods", "p1"), "a clear one is");

	/* Three that own each other, deleted in the foreground. */
	make(&w, "configmaps", "a", "", NULL);
	make(&w, "configmaps", "b", "", OWNERS("v1", "ConfigMap", "a", "uid-a"));
	make(&w, "configmaps", "c", "", OWNERS("v1", "ConfigMap", "b", "uid-b"));
	(void)fakekube_do(w.k, "patch", "configmaps", "default", "a",
			  "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"c\","
			  "\"uid\":\"uid-c\",\"blockOwnerDeletion\":true}]}}");
	settle(&w);
	ok(there(&w, "configmaps", "a") && there(&w, "configmaps", "b") && there(&w, "configmaps", "c"),
	   "a circle holds");
	(void)fakekube_do(w.k, "delete", "configmaps", "default", "a", "{\"propagationPolicy\":\"Foreground\"}");
	fakehost_advance(w.fh, 60 * FAKEHOST_S);
	ok(!there(&w, "configmaps", "a") && !there(&w, "configmaps", "b") && !there(&w, "configmaps", "c"),
	   "and opens");
	is_int(fakehost_unload(w.fh, w.m, NULL), 0, "it stops");
	is_int(fakehost_held(w.fh), 0, "and holds nothing");
	world_done(&w);
}

/* The n-th allocation fails while a chain goes; all of it goes, and nothing else. */
static void test_faults(void)
{
	static const char *const policies[] = { "Background", "Foreground", "Orphan" };
	int wrong = 0;
	int hit = 0;
	long n;

	for (n = 1; n < 400; n += n < 200 ? 1 : 7) {
		struct world w;
		const char *policy = policies[n % 3];
		char options[64];

		world_init(&w);
		load(&w);
		chain(&w);
		settle(&w);
		fakekube_shelter(w.k, otap_fault_shelter);
		snprintf(options, sizeof(options), "{\"propagationPolicy\":\"%s\"}", policy);
		(void)fakekube_do(w.k, "delete", "replicasets.apps", "default", "one", options);
		otap_fail_nth(n);
		fakehost_advance(w.fh, 4 * FAKEHOST_MS);
		otap_fail_nth(0);
		hit += otap_faulted();
		fakehost_advance(w.fh, 20 * FAKEHOST_S);
		wrong += there(&w, "replicasets.apps", "one") || !there(&w, "pods", "alone") ||
			 !there(&w, "deployments.apps", "web") || there(&w, "pods", "p1") != (n % 3 == 2);
		world_done(&w);
	}
	ok(hit > 20, "memory was refused (%d times)", hit);
	is_int(wrong, 0, "and what had to go went");
}

int main(void)
{
	test_faults();
	test_background();
	test_foreground();
	test_orphan();
	test_partly();
	test_start();
	test_kinds();
	test_doubt();
	return done_testing();
}
