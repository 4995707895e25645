/*
 * rollout.c - Deployments from creation to the last old pod, over an API and a ReplicaSet controller
 * of a few lines. At every step: never more pods than allowed, never fewer available.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/controller.h>
#include <orlop/inline/error.h>

#define OTAP_FAULTS
#include "base/omem.h"
#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define DEP	"deployments.apps"
#define SET	"replicasets.apps"

struct world {
	struct fakehost	*fh;
	struct fakekube	*k;
	uint32_t	seed;
	int64_t		most;		/* bounds that the steps are held to */
	int64_t		least;
	int		broken;
	bool		stuck;		/* new pods never become available */
};

static uint32_t chance(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 16) % n;
}

static void world_init(struct world *w, uint32_t seed)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->most = 1 << 20;
	w->fh = fakehost_new();
	fakehost_resource(w->fh, DEP, 1, NULL);
	fakehost_resource(w->fh, SET, 1, NULL);
	fakehost_resource(w->fh, "pods", 1, NULL);
	fakehost_resource(w->fh, "events", 1, NULL);
	w->k = fakekube_new(w->fh);
	if (fakehost_load(w->fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	fakehost_run(w->fh);
}

static void world_done(struct world *w)
{
	fakekube_free(w->k);
	fakehost_free(w->fh);
}

/* Calls @fn for each ReplicaSet. */
static void sets_each(struct world *w, void (*fn)(struct world *w, struct ojson *rs, void *arg), void *arg)
{
	const struct orlop_host *h = fakehost_host(w->fh);
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_resource *res = NULL;
	struct orlop_snapshot *s = NULL;
	struct orlop_object *o;
	struct orlop_iter *it = NULL;
	struct ojson *all = ojson_new_array();

	if (h->resource_open(h, SET, &res, NULL) || h->snapshot_open(res, &s) || h->iter_open(s, &q, &it))
		otap_bail_out("no snapshot");
	while ((o = h->iter_next(it))) {
		struct ojson *j = NULL;

		(void)ojson_parse_members(o->json, &j, NULL);
		(void)ojson_append(all, j);
	}
	h->iter_close(it);
	h->snapshot_close(s);
	h->resource_close(res);
	OJSON_FOREACH_ELEM(i, rs, all)
		fn(w, rs, arg);
	ojson_unref(all);
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void set_sum(struct world *w, struct ojson *rs, void *arg)
{
	int64_t *sum = arg;
	int64_t want = ojson_get_i64(ojson_get(rs, "spec"), "replicas", 0);

	(void)w;
	sum[0] += want;
	sum[1] += min64(want, ojson_get_i64(ojson_get(rs, "status"), "availableReplicas", 0));
	sum[2]++;
}

/* One step of a ReplicaSet: its pods follow its size, the unready ones leave first, one gets ready. */
static void set_step(struct world *w, struct ojson *rs, void *arg)
{
	int64_t want = ojson_get_i64(ojson_get(rs, "spec"), "replicas", 0);
	int64_t have = ojson_get_i64(ojson_get(rs, "status"), "replicas", 0);
	int64_t good = ojson_get_i64(ojson_get(rs, "status"), "availableReplicas", 0);
	struct ojson *st = ojson_new_object();
	char *text;

	(void)arg;
	if (chance(w, 4) == 0)
		goto out;	/* late */
	have = want;
	good = min64(good, have);
	if (good < have && !w->stuck && chance(w, 2))
		good++;
	(void)ojson_set_i64(st, "replicas", have);
	(void)ojson_set_i64(st, "readyReplicas", good);
	(void)ojson_set_i64(st, "availableReplicas", good);
	(void)ojson_set_i64(st, "observedGeneration", ojson_get_i64(ojson_get(rs, "metadata"), "generation", 0));
	if (ojson_equal(st, ojson_get(rs, "status")))
		goto out;
	(void)ojson_set(rs, "status", ojson_ref(st));
	text = ojson_text(rs, 0, NULL);
	(void)fakekube_do(w->k, "update", SET "/status", "default",
			  ojson_get_cstr(ojson_get(rs, "metadata"), "name", ""), text);
	omem_free(text);
out:
	ojson_unref(st);
}

static void check_bounds(struct world *w)
{
	int64_t sum[3] = { 0, 0, 0 };

	sets_each(w, set_sum, sum);
	if (sum[0] > w->most || sum[1] < w->least) {
		diag("%lld pods (at most %lld), %lld available (at least %lld)", (long long)sum[0],
		     (long long)w->most, (long long)sum[1], (long long)w->least);
		w->broken++;
	}
}

/* The controller and the sets take turns, @n times. */
static void turns(struct world *w, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		fakehost_advance(w->fh, 20 * FAKEHOST_MS);
		check_bounds(w);
		sets_each(w, set_step, NULL);
		check_bounds(w);
	}
	fakehost_advance(w->fh, 20 * FAKEHOST_MS);
}

static uint64_t set_count(struct world *w)
{
	return fakehost_count(w->fh, SET);
}

static const char *dep(struct world *w, const char *path)
{
	return fakekube_at(w->k, DEP, "default", "web", path);
}

static int64_t dep_i64(struct world *w, const char *path)
{
	return strtoll(dep(w, path), NULL, 10);
}

/* "Progressing=True/NewReplicaSetAvailable", "" if there is no such condition. */
static const char *condition(struct world *w, const char *type)
{
	static char out[128];
	struct ojson *d = fakekube_get(w->k, DEP, "default", "web");

	out[0] = '\0';
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(d, "status", "conditions"))
		if (ojson_string_is(ojson_get(c, "type"), type))
			snprintf(out, sizeof(out), "%s/%s", ojson_get_cstr(c, "status", ""),
				 ojson_get_cstr(c, "reason", ""));
	ojson_unref(d);
	return out;
}

static void deployment_make(struct world *w, int replicas, const char *surge, const char *unavailable)
{
	char *text = omem_printf("{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"annotations\":{"
				 "\"kubernetes.io/change-cause\":\"first\","
				 "\"kubectl.kubernetes.io/last-applied-configuration\":\"{}\"}},"
				 "\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
				 "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":["
				 "{\"name\":\"c\",\"image\":\"one\"}]}},\"strategy\":{\"type\":\"RollingUpdate\","
				 "\"rollingUpdate\":{\"maxSurge\":%s,\"maxUnavailable\":%s}},"
				 "\"progressDeadlineSeconds\":600,\"revisionHistoryLimit\":10}}",
				 replicas, surge, unavailable);

	if (fakekube_do(w->k, "create", DEP, "default", "web", text) != 201)
		otap_bail_out("no deployment");
	omem_free(text);
}

static void deployment_patch(struct world *w, const char *value)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"spec\":{%s}}", value);
	if (fakekube_do(w->k, "patch", DEP, "default", "web", text) != 200)
		otap_bail_out("no patch");
	fakehost_advance(w->fh, FAKEHOST_S);
}

static void image(struct world *w, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text), "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}",
		 name);
	deployment_patch(w, text);
}

struct find {
	const char	*image;
	char		name[128];
	int64_t		replicas;
	char		revision[16];
	char		history[64];
};

static void set_find(struct world *w, struct ojson *rs, void *arg)
{
	struct find *f = arg;
	struct ojson *c = ojson_index(OJSON_AT(rs, "spec", "template", "spec", "containers"), 0);

	(void)w;
	if (!ojson_string_is(ojson_get(c, "image"), f->image))
		return;
	snprintf(f->name, sizeof(f->name), "%s", ojson_get_cstr(ojson_get(rs, "metadata"), "name", ""));
	f->replicas = ojson_get_i64(ojson_get(rs, "spec"), "replicas", -1);
	snprintf(f->revision, sizeof(f->revision), "%s",
		 ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "deployment.kubernetes.io/revision"), ""));
	snprintf(f->history, sizeof(f->history), "%s",
		 ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "deployment.kubernetes.io/revision-history"), ""));
}

static struct find set_of(struct world *w, const char *img)
{
	struct find f = { .image = img, .replicas = -1 };

	sets_each(w, set_find, &f);
	return f;
}

static bool is_done(struct world *w, int64_t replicas)
{
	return dep_i64(w, "status.updatedReplicas") == replicas && dep_i64(w, "status.replicas") == replicas &&
	       dep_i64(w, "status.availableReplicas") == replicas && dep_i64(w, "status.unavailableReplicas") == 0 &&
	       dep_i64(w, "status.observedGeneration") == dep_i64(w, "metadata.generation");
}

static void test_create_and_undo(void)
{
	struct world w;
	struct find one;
	struct find two;
	struct ojson *rs;
	char text[256];

	world_init(&w, 7);
	deployment_make(&w, 3, "\"25%\"", "\"25%\"");
	fakehost_run(w.fh);
	one = set_of(&w, "one");
	is_int(set_count(&w), 1, "a set is made");
	is_int(one.replicas, 3, "with all pods at once");
	is_str(one.revision, "1", "revision 1");
	rs = fakekube_get(w.k, SET, "default", one.name);
	snprintf(text, sizeof(text), "web-%s",
		 ojson_cstr(OJSON_AT(rs, "spec", "selector", "matchLabels", "pod-template-hash"), "?"));
	is_str(one.name, text, "named by the hash in its selector");
	ok(ojson_equal(OJSON_AT(rs, "metadata", "labels"), OJSON_AT(rs, "spec", "template", "metadata", "labels")),
	   "its labels are the template's");
	is_str(ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "kubernetes.io/change-cause"), ""), "first",
	       "annotations are copied");
	ok(!OJSON_AT(rs, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"),
	   "but not kubectl's");
	is_str(ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "deployment.kubernetes.io/desired-replicas"), ""),
	       "3", "desired-replicas");
	is_str(ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "deployment.kubernetes.io/max-replicas"), ""),
	       "4", "max-replicas");
	ojson_unref(rs);
	rs = fakekube_get(w.k, DEP, "default", "web");
	is_str(ojson_cstr(OJSON_AT(rs, "metadata", "annotations", "deployment.kubernetes.io/revision"), ""), "1",
	       "the deployment has the revision too");
	ojson_unref(rs);
	is_str(condition(&w, "Progressing"), "True/NewReplicaSetCreated", "progressing");
	is_str(condition(&w, "Available"), "False/MinimumReplicasUnavailable", "not available yet");
	snprintf(text, sizeof(text), "Scaled up replica set %s from 0 to 3", one.name);
	is_int(fakekube_count(w.k, text), 1, "an Event tells");
	turns(&w, 40);
	ok(is_done(&w, 3), "all pods are there");
	is_str(condition(&w, "Progressing"), "True/NewReplicaSetAvailable", "complete");
	is_str(condition(&w, "Available"), "True/MinimumReplicasAvailable", "available");
	fakekube_forget(w.k);
	fakehost_advance(w.fh, 1000 * FAKEHOST_S);
	fakehost_relist(w.fh);
	fakehost_advance(w.fh, FAKEHOST_S);
	is_int(fakekube_count(w.k, ""), 0, "then nothing is written any more");

	image(&w, "two");
	w.most = 4;
	w.least = 3;
	turns(&w, 80);
	is_int(w.broken, 0, "the rollout keeps 3 to 4 pods");
	two = set_of(&w, "two");
	one = set_of(&w, "one");
	is_int(two.replicas, 3, "new pods only");
	is_int(one.replicas, 0, "old set empty");
	is_str(two.revision, "2", "revision 2");
	ok(is_done(&w, 3), "done");

	image(&w, "one");	/* what kubectl rollout undo does */
	turns(&w, 80);
	is_int(set_count(&w), 2, "undo makes no new set");
	one = set_of(&w, "one");
	is_str(one.revision, "3", "the old set is revision 3");
	is_str(one.history, "1", "and was 1");
	is_int(one.replicas, 3, "with all pods");
	is_int(w.broken, 0, "within the bounds");
	ok(is_done(&w, 3), "done");
	world_done(&w);
}

/* Many rollouts with all kinds of limits. */
static void test_bounds(void)
{
	static const struct {
		const char	*surge;
		const char	*unavailable;
		int		replicas;
		int		most;
		int		least;
	} t[] = {
		{ "1", "0", 1, 2, 1 },		{ "\"25%\"", "\"25%\"", 10, 13, 8 },
		{ "0", "1", 4, 4, 3 },		{ "\"100%\"", "0", 5, 10, 5 },
		{ "0", "\"50%\"", 7, 7, 4 },	{ "2", "2", 20, 22, 18 },
		{ "0", "0", 3, 3, 2 },		{ "\"1%\"", "\"1%\"", 3, 4, 3 },
	};
	size_t i;
	uint32_t seed;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int broken = 0;
		int done = 0;

		for (seed = 1; seed <= 4; seed++) {
			struct world w;

			world_init(&w, seed * 77);
			deployment_make(&w, t[i].replicas, t[i].surge, t[i].unavailable);
			turns(&w, 150);
			w.most = t[i].most;
			w.least = t[i].least;
			image(&w, "two");
			turns(&w, (int)chance(&w, 30));
			image(&w, "three");	/* another before the first is through */
			turns(&w, 300);
			done += is_done(&w, t[i].replicas) && set_of(&w, "three").replicas == t[i].replicas;
			broken += w.broken;
			world_done(&w);
		}
		is_int(broken, 0, "surge %s, unavailable %s of %d: bounds kept", t[i].surge, t[i].unavailable,
		       t[i].replicas);
		is_int(done, 4, "and all rollouts end");
	}
}

static void test_pause(void)
{
	struct world w;

	world_init(&w, 3);
	deployment_make(&w, 2, "1", "0");
	turns(&w, 40);
	deployment_patch(&w, "\"paused\":true");
	is_str(condition(&w, "Progressing"), "Unknown/DeploymentPaused", "paused");
	image(&w, "two");
	turns(&w, 10);
	is_int(set_count(&w), 1, "nothing is rolled out");
	deployment_patch(&w, "\"replicas\":4");
	turns(&w, 20);
	is_int(set_of(&w, "one").replicas, 4, "but scaled");
	deployment_patch(&w, "\"paused\":false");
	turns(&w, 100);
	is_int(set_of(&w, "two").replicas, 4, "resumed: rolled out");
	ok(is_done(&w, 4), "done");
	is_str(condition(&w, "Progressing"), "True/NewReplicaSetAvailable", "complete");
	world_done(&w);
}

static void test_proportional(void)
{
	struct world w;
	int64_t a;
	int64_t b;

	world_init(&w, 5);
	deployment_make(&w, 10, "3", "2");
	turns(&w, 80);
	w.stuck = true;
	image(&w, "two");
	turns(&w, 20);
	a = set_of(&w, "one").replicas;
	b = set_of(&w, "two").replicas;
	is_int(a, 8, "stuck with 8 old");
	is_int(b, 5, "and 5 new ones");
	deployment_patch(&w, "\"replicas\":15");
	turns(&w, 5);
	is_int(set_of(&w, "one").replicas, 11, "scaled: 11 old");
	is_int(set_of(&w, "two").replicas, 7, "and 7 new ones");
	deployment_patch(&w, "\"replicas\":5");
	turns(&w, 5);
	is_int(set_of(&w, "one").replicas + set_of(&w, "two").replicas, 8, "down to 8 with the surge");
	w.stuck = false;
	turns(&w, 200);
	ok(is_done(&w, 5), "and it ends");
	deployment_patch(&w, "\"replicas\":0");
	turns(&w, 20);
	ok(is_done(&w, 0), "nothing wanted, nothing there");
	world_done(&w);
}

static void test_deadline(void)
{
	struct world w;

	world_init(&w, 5);
	deployment_make(&w, 2, "1", "1");
	w.stuck = true;
	turns(&w, 30);
	fakehost_advance(w.fh, 590 * FAKEHOST_S);
	is_str(condition(&w, "Progressing"), "True/ReplicaSetUpdated", "patient");
	fakehost_advance(w.fh, 20 * FAKEHOST_S);
	is_str(condition(&w, "Progressing"), "False/ProgressDeadlineExceeded", "the deadline has passed");
	w.stuck = false;
	turns(&w, 60);
	is_str(condition(&w, "Progressing"), "True/NewReplicaSetAvailable", "late, but complete");
	world_done(&w);
}

static void test_history(void)
{
	static const char *const images[] = { "two", "three", "four", "five" };
	struct world w;
	size_t i;

	world_init(&w, 11);
	deployment_make(&w, 1, "1", "0");
	deployment_patch(&w, "\"revisionHistoryLimit\":2");
	for (i = 0; i < 4; i++) {
		turns(&w, 40);
		image(&w, images[i]);
	}
	turns(&w, 60);
	is_int(set_count(&w), 3, "two old sets stay");
	is_int(set_of(&w, "one").replicas, -1, "the first has gone");
	is_str(set_of(&w, "five").revision, "5", "revision 5");
	world_done(&w);
}

static void test_recreate(void)
{
	struct world w;
	struct find one;
	struct ojson *rs;

	world_init(&w, 2);
	deployment_make(&w, 2, "1", "0");
	deployment_patch(&w, "\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":null}");
	turns(&w, 40);
	ok(is_done(&w, 2), "two pods");
	one = set_of(&w, "one");
	rs = fakekube_get(w.k, SET, "default", one.name);
	fakehost_putf(w.fh, "pods", "default", "p", "{\"metadata\":{\"labels\":{\"app\":\"web\"},\"ownerReferences\":["
		      "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"%s\",\"uid\":\"%s\","
		      "\"controller\":true}]},\"status\":{\"phase\":\"Running\"}}", one.name,
		      ojson_cstr(OJSON_AT(rs, "metadata", "uid"), ""));
	ojson_unref(rs);
	image(&w, "two");
	turns(&w, 20);
	is_int(set_of(&w, "one").replicas, 0, "the old ones go first");
	is_int(set_of(&w, "two").replicas, -1, "no new set while an old pod runs");
	fakehost_delete(w.fh, "pods", "default", "p");
	turns(&w, 40);
	is_int(set_of(&w, "two").replicas, 2, "then the new ones");
	ok(is_done(&w, 2), "done");
	world_done(&w);
}

static int refuse_sets(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	(void)ret_reason;
	return *(int *)arg && !strcmp(req->verb, "create") && !strcmp(req->resource, SET) ? 403 : 0;
}

static void test_trouble(void)
{
	struct world w;
	struct find one;
	int refuse = 1;
	char *text;

	world_init(&w, 9);
	fakekube_hook(w.k, refuse_sets, &refuse);
	deployment_make(&w, 1, "1", "0");
	fakehost_run(w.fh);
	is_str(condition(&w, "Progressing"), "False/ReplicaSetCreateError", "a set that cannot be made shows");
	refuse = 0;
	turns(&w, 60);
	ok(is_done(&w, 1), "and is made once it can be");
	one = set_of(&w, "one");

	/* The name that the next template would give is taken by a stranger. */
	image(&w, "two");
	turns(&w, 40);
	one = set_of(&w, "two");
	world_done(&w);
	world_init(&w, 9);
	text = omem_printf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":0,\"selector\":{\"matchLabels\":"
			   "{\"app\":\"other\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"other\"}}}}}", one.name);
	(void)fakekube_do(w.k, "create", SET, "default", one.name, text);
	omem_free(text);
	deployment_make(&w, 1, "1", "0");
	turns(&w, 40);
	image(&w, "two");
	turns(&w, 60);
	is_str(dep(&w, "status.collisionCount"), "1", "a taken name counts as collision");
	ok(is_done(&w, 1) && strcmp(set_of(&w, "two").name, one.name), "and another is found");

	/* A set of ours with the labels of others goes; an orphan with ours comes. */
	one = set_of(&w, "one");
	(void)fakekube_do(w.k, "patch", SET, "default", one.name, "{\"metadata\":{\"labels\":{\"app\":\"x\"}}}");
	turns(&w, 5);
	is_str(fakekube_at(w.k, SET, "default", one.name, "metadata.ownerReferences"), "[]", "released");
	(void)fakekube_do(w.k, "patch", SET, "default", one.name, "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
	turns(&w, 5);
	is_str(fakekube_at(w.k, SET, "default", one.name, "metadata.ownerReferences.0.name"), "web", "adopted");
	is_int(fakehost_failed(w.fh, NULL) != NULL, 0, "the module is well");
	world_done(&w);
}

/* The n-th allocation fails in the middle of a rollout; it ends all the same. */
static void test_faults(void)
{
	int done = 0;
	int hit = 0;
	long n;

	for (n = 1; n < 2000; n += n < 300 ? 3 : 37) {
		struct world w;

		world_init(&w, (uint32_t)n);
		fakekube_shelter(w.k, otap_fault_shelter);
		deployment_make(&w, 2, "1", "0");
		otap_fail_nth(n);
		fakehost_advance(w.fh, 5 * FAKEHOST_MS);
		otap_fault_shelter(1);
		image(&w, "two");
		otap_fault_shelter(0);
		fakehost_advance(w.fh, 5 * FAKEHOST_MS);
		otap_fail_nth(0);
		hit += otap_faulted();
		turns(&w, 60);
		done += !is_done(&w, 2) || set_of(&w, "two").replicas != 2;
		world_done(&w);
	}
	ok(hit > 20, "memory was refused (%d times)", hit);
	is_int(done, 0, "and every rollout ended");
}

/* resync is answered when all that it found has been done. */
static void test_resync(void)
{
	struct world w;
	struct fakehost_reply r;

	world_init(&w, 13);
	deployment_make(&w, 3, "1", "1");
	r = fakehost_call(w.fh, "controllers/deployment", ORLOP_CONTROLLER_RESYNC, NULL);
	is_int(r.status, 0, "resync is answered");
	is_int(set_count(&w), 1, "when the set is there");
	fakehost_reply_done(&r);
	r = fakehost_call(w.fh, "controllers/deployment", ORLOP_CONTROLLER_RESYNC, NULL);
	is_int(r.status, 0, "and again when there is nothing to do");
	fakehost_reply_done(&r);
	world_done(&w);
}

int main(void)
{
	test_faults();
	test_create_and_undo();
	test_bounds();
	test_pause();
	test_proportional();
	test_deadline();
	test_history();
	test_recreate();
	test_trouble();
	test_resync();
	return done_testing();
}
