/*
 * deployment.c - the Deployment controller: which ReplicaSets a Deployment has, and one step towards
 * what it asks for at each sync. Every step is sent and answered before the next one is decided.
 * Source: upstream's pkg/controller/deployment, behaviour only.
 */
#include "deploy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "walk/owalk.h"

struct deployment {
	struct octl	c;
	struct orlop_resource *deployments;
	struct orlop_resource *sets;
	struct orlop_resource *pods;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* ---- the picture -------------------------------------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
	const struct ojson *x = ((const struct rset *)a)->obj;
	const struct ojson *y = ((const struct rset *)b)->obj;
	int c = strcmp(okube_meta(x, "creationTimestamp"), okube_meta(y, "creationTimestamp"));

	return c ? c : strcmp(okube_meta(x, "name"), okube_meta(y, "name"));
}

static int rollout_init(struct rollout *r, const struct ojson *was, const struct ojson *sets)
{
	struct ojson *plain = template_plain(was);
	size_t i;

	r->was = was;
	r->v = omem_zalloc_array(ojson_count(sets) + 1, sizeof(*r->v));
	if (!plain || !r->v || ojson_copy(was, &r->d)) {
		ojson_unref(plain);
		return -ENOMEM;
	}
	dspec_read(was, &r->spec);
	for (i = 0; i < ojson_count(sets); i++)
		rset_read(ojson_index(sets, i), &r->v[i]);
	r->n = i;
	qsort(r->v, r->n, sizeof(*r->v), by_age);
	for (i = 0; i < r->n && !r->newest; i++)
		if (template_is(plain, r->v[i].obj))
			r->newest = &r->v[i];
	ojson_unref(plain);
	return 0;
}

static void rollout_done(struct rollout *r)
{
	omem_free(r->v);
	ojson_unref(r->d);
}

/* ---- one step ------------------------------------------------------------------------------------------- */

/* The newest set's revision is the Deployment's; a first look at it starts the clock of progress. */
static void newest_found(struct rollout *r)
{
	const char *revision = ojson_cstr(OJSON_AT(r->newest->obj, "metadata", "annotations", REVISION), NULL);
	char message[400];

	if (revision)
		(void)annotation_set(r->d, REVISION, revision);
	if (r->spec.deadline_s >= NO_LIMIT || okube_condition(r->d, "Progressing"))
		return;
	snprintf(message, sizeof(message), "Found new replica set \"%s\"", okube_meta(r->newest->obj, "name"));
	(void)condition_set(r, "Progressing", "True", "FoundNewReplicaSet", message);
}

static int resize(struct octl_task *t, struct rollout *r)
{
	int e;

	rollout_scale(r);
	e = write_sizes(t, r);
	if (!e && r->spec.paused)
		e = write_history(t, r);
	status_renew(r, false);
	return e ? e : write_status(t, r);
}

static int roll(struct octl_task *t, struct rollout *r)
{
	if (rollout_grow_new(r) || rollout_shrink_old(r))
		return write_sizes(t, r);
	if (rollout_complete(r, ojson_get(r->was, "status")))
		return write_history(t, r);
	return 0;
}

/* Pods of old sets that still run, also those on their way out. */
static bool old_pods_run(struct deployment *dc, const struct rollout *r)
{
	bool any = false;
	size_t i;

	for (i = 0; i < r->n && !any; i++) {
		const struct ojson *rs = r->v[i].obj;
		struct ojson *pods;

		if (&r->v[i] == r->newest)
			continue;
		pods = octl_owned(&dc->c, dc->pods, text(okube_meta(rs, "namespace")), okube_meta(rs, "uid"));
		any = r->v[i].actual > 0 || !pods;
		OJSON_FOREACH_ELEM(j, pod, pods) {
			const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

			any |= strcmp(phase, "Failed") && strcmp(phase, "Succeeded");
		}
		ojson_unref(pods);
	}
	return any;
}

static int recreate(struct deployment *dc, struct octl_task *t, struct rollout *r)
{
	if (rollout_drop_old(r))
		return write_sizes(t, r);
	if (old_pods_run(dc, r))
		return 0;
	if (!r->newest)
		return write_new_set(t, dc->sets, r);
	if (rollout_grow_new(r))
		return write_sizes(t, r);
	if (rollout_complete(r, ojson_get(r->was, "status")))
		return write_history(t, r);
	return 0;
}

static int step(struct deployment *dc, struct octl_task *t, struct rollout *r)
{
	bool created = false;
	uint64_t wait;
	int e;

	if (r->newest) {
		e = write_newest(t, r);
		if (e) {
			octl_again(t, 0);
			return e < 0 ? e : 0;
		}
		newest_found(r);
	}
	if (okube_deleting(r->was)) {
		status_renew(r, false);
		return write_status(t, r);
	}
	status_paused(r);
	if (r->spec.paused || rollout_is_scaling(r))
		return resize(t, r);
	if (r->spec.rolling) {
		created = !r->newest;
		e = created ? write_new_set(t, dc->sets, r) : roll(t, r);
	} else {
		created = !r->newest && !old_pods_run(dc, r) && !rollout_pods(r, true);
		e = recreate(dc, t, r);
	}
	if (e || created)
		return e;	/* the answer brings the status */
	status_renew(r, true);
	wait = status_deadline(r);
	if (wait)
		octl_again(t, wait);
	return write_status(t, r);
}

static bool selects_all(const struct ojson *d)
{
	const struct ojson *s = OJSON_AT(d, "spec", "selector");

	return !ojson_count(ojson_get(s, "matchLabels")) && !ojson_count(ojson_get(s, "matchExpressions"));
}

static int deployment_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns,
			   struct orlop_bytes name)
{
	struct deployment *dc = (struct deployment *)(void *)c;
	struct octl_claim claim = { .res = dc->sets, .resource = "replicasets.apps", .api_version = "apps/v1",
				    .kind = "Deployment" };
	struct rollout r = { .now_ns = (int64_t)c->h->now_wall(c->h) };
	struct ojson *sets = NULL;
	struct ojson *d = NULL;
	int e = okube_find(c->h, dc->deployments, ns, name, &d);

	if (e)
		return e == -ENOENT ? 0 : e;
	claim.owner = d;
	if (selects_all(d)) {
		okube_event(c->events, "apps/v1", "Deployment", d, NULL, "Warning", "SelectingAll",
			    "This deployment is selecting all pods. A non-empty selector is required.");
		ojson_unref(d);
		return 0;
	}
	e = octl_claim(t, &claim, &sets);
	if (e > 0) {
		octl_again(t, 0);
		e = 0;
	} else if (!e) {
		e = rollout_init(&r, d, sets);
		if (!e)
			e = step(dc, t, &r);
		rollout_done(&r);
	}
	ojson_unref(sets);
	ojson_unref(d);
	return e;
}

/* ---- what wakes us ----------------------------------------------------------------------------------------- */

static void deployment_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	octl_add(arg, o->ns, o->name);
}

/* A set without owner: whoever selects it might want it. */
static void orphan_offer(struct deployment *dc, const struct orlop_object *set)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = set->ns };
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, dc->c.h, dc->deployments, &q)) {
		octl_missed(&dc->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		struct ojson *d = okube_parse(o);

		if (!d)
			octl_missed(&dc->c);
		else if (okube_object_matches(set, OJSON_AT(d, "spec", "selector")))
			octl_add(&dc->c, o->ns, o->name);
		ojson_unref(d);
	}
	owalk_close(&w);
}

static void set_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	octl_add_controller_of(arg, o, "Deployment");
	if (prev)
		octl_add_controller_of(arg, prev, "Deployment");
	if (type != ORLOP_CHANGE_DELETED && !okube_index(o, ORLOP_INDEX_OWNER).p)
		orphan_offer(arg, o);
}

/* Recreate waits for the last old pod to be gone; all else the sets' status tells. */
static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct deployment *dc = arg;
	const struct orlop_host *h = dc->c.h;
	struct orlop_snapshot *s;
	struct orlop_object *set;
	const struct ojson *owner;
	struct ojson *pod;

	(void)prev;
	if (type != ORLOP_CHANGE_DELETED || !okube_index(o, ORLOP_INDEX_OWNER).p)
		return;
	pod = okube_parse(o);
	if (!pod)
		octl_missed(&dc->c);
	owner = okube_controller_of(pod);
	if (owner && !h->snapshot_open(dc->sets, &s)) {
		set = h->snapshot_get(s, o->ns, ojson_get_bytes(owner, "name"));
		if (set)
			octl_add_controller_of(&dc->c, set, "Deployment");
		h->snapshot_close(s);
	}
	ojson_unref(pod);
}

static int deployment_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct deployment *dc = OMEM_NEW(struct deployment);
	int e;

	if (!dc)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&dc->c, h, "deployment", NULL, deployment_sync, 8, err);
	if (!e)
		e = octl_follow(&dc->c, "deployments.apps", deployment_changed, &dc->deployments, err);
	if (!e)
		e = octl_follow(&dc->c, "replicasets.apps", set_changed, &dc->sets, err);
	if (!e)
		e = octl_follow(&dc->c, "pods", pod_changed, &dc->pods, err);
	if (e) {
		octl_fini(dc);
		return e;
	}
	*ret_ctx = dc;
	return 0;
}

ORLOP_MODULE("deployment", "controllers", "0.1",
	"needs=api\0reads=deployments.apps,replicasets.apps,pods\0"
	"asks=replicasets.apps;create;update;patch;delete,deployments.apps/status;update,events;create;patch\0"
	"user=system:serviceaccount:kube-system:deployment-controller",
	.license = "Apache-2.0",
	.summary = "rolls out what a Deployment describes, by ReplicaSets",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = deployment_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);
