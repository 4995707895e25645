/*
 * disruption.c - says of each PodDisruptionBudget how many of its pods may be evicted now.
 *
 * The API counts down what it allows and notes whom it let go (disruptedPods); here both are made anew from the pods
 * that there are. Source: upstream's pkg/controller/disruption, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omap.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"
#include "walk/owalk.h"

#define BUDGETS		"poddisruptionbudgets.policy"
#define PATIENCE_NS	(INT64_C(120) * 1000000000)	/* an evicted pod that is still there was not deleted */

struct disruption {
	struct octl	c;
	struct orlop_resource *budgets;
	struct orlop_resource *pods;
	struct orlop_resource *replicasets;
	struct orlop_resource *controllers;
	struct orlop_resource *deployments;
};

struct numbers {
	int64_t		expected;
	int64_t		desired;
	int64_t		healthy;
	int64_t		allowed;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* An int or a percentage of @total, rounded up. */
static int64_t int_or_percent(const struct ojson *v, int64_t total)
{
	const char *s = ojson_cstr(v, NULL);
	int64_t n = 0;

	if (!s)
		return ojson_i64(v, 0);
	for (; *s >= '0' && *s <= '9' && n < 1000000; s++)
		n = n * 10 + (*s - '0');
	return (n * total + 99) / 100;
}

/* ---- pods and what made them ---------------------------------------------------------------------------- */

static struct ojson *pods_of(struct disruption *d, const struct ojson *pdb)
{
	const struct ojson *selector = OJSON_AT(pdb, "spec", "selector");
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = text(okube_meta(pdb, "namespace")) };
	struct ojson *out = ojson_new_array();
	struct orlop_object *o;
	struct owalk w;
	int e = out ? 0 : -ENOMEM;

	if (!selector || e)
		return out;
	e = owalk_open(&w, d->c.h, d->pods, &q);
	if (!e) {
		while (!e && (o = owalk_next(&w)))
			if (okube_object_matches(o, selector))
				e = ojson_append(out, okube_parse(o));
		owalk_close(&w);
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

/* The object that is meant by a reference, as far as it is there under its uid. */
static int owner_find(struct disruption *d, struct orlop_resource *r, const struct ojson *ref, const char *ns,
		      struct ojson **ret)
{
	int e = okube_find(d->c.h, r, text(ns), ojson_get_bytes(ref, "name"), ret);

	if (!e && strcmp(okube_meta(*ret, "uid"), ojson_get_cstr(ref, "uid", ""))) {
		ojson_unref(*ret);
		*ret = NULL;
		e = -ENOENT;
	}
	return e;
}

/* What scales this pod: its ReplicationController, or its ReplicaSet or the Deployment of that. -ENOENT: nothing. */
static int scaler_of(struct disruption *d, const struct ojson *pod, struct ojson **ret)
{
	const struct ojson *ref = okube_controller_of(pod), *up;
	const char *kind = ojson_get_cstr(ref, "kind", ""), *ns = okube_meta(pod, "namespace");
	struct ojson *dep = NULL;
	int e;

	*ret = NULL;
	if (!strcmp(kind, "ReplicationController"))
		return owner_find(d, d->controllers, ref, ns, ret);
	if (strcmp(kind, "ReplicaSet"))
		return -ENOENT;
	e = owner_find(d, d->replicasets, ref, ns, ret);
	up = e ? NULL : okube_controller_of(*ret);
	if (!up || strcmp(ojson_get_cstr(up, "kind", ""), "Deployment"))
		return e;
	e = owner_find(d, d->deployments, up, ns, &dep);
	if (e == -ENOENT)
		return 0;
	ojson_unref(*ret);
	*ret = dep;
	return e;
}

/* How many pods those who scale them want, together. */
static int expected_scale(struct disruption *d, const struct ojson *pods, int64_t *ret)
{
	struct omap seen = OMAP_INIT;
	int e = 0;

	*ret = 0;
	OJSON_FOREACH_ELEM(i, pod, pods) {
		struct ojson *owner = NULL;
		struct orlop_bytes uid;

		if (e)
			break;
		e = scaler_of(d, pod, &owner);
		if (e == -ENOENT) {
			e = 0;
			continue;
		}
		uid = ojson_get_bytes(ojson_get(owner, "metadata"), "uid");
		if (!e && uid.len && !omap_get(&seen, uid.p, uid.len)) {
			*ret += ojson_get_i64(ojson_get(owner, "spec"), "replicas", 1);
			e = omap_put(&seen, uid.p, uid.len, &seen, NULL);
		}
		ojson_unref(owner);
	}
	omap_done(&seen);
	return e;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Those that were let go and are still there; *ret_wait: until one of them must be looked at again. */
static struct ojson *disrupted_make(struct disruption *d, const struct ojson *pdb, const struct ojson *pods,
				    int64_t *ret_wait)
{
	const struct ojson *had = OJSON_AT(pdb, "status", "disruptedPods");
	int64_t now = (int64_t)d->c.h->now_wall(d->c.h);
	struct ojson *out = ojson_new_object();
	int e = out ? 0 : -ENOMEM;

	*ret_wait = 0;
	OJSON_FOREACH_ELEM(i, pod, pods) {
		struct ojson *when = ojson_get(had, okube_meta(pod, "name"));
		struct orlop_bytes b = ojson_bytes(when);
		int64_t at, left;

		if (e || !when || okube_deleting(pod) || otime_parse(b.p, b.len, &at))
			continue;
		left = at + PATIENCE_NS - now;
		if (left <= 0) {
			okube_event(d->c.events, "v1", "Pod", pod, NULL, "Warning", "NotDeleted",
				    "Pod was expected by PDB %s/%s to be deleted but it wasn't",
				    okube_meta(pdb, "namespace"), okube_meta(pdb, "name"));
			continue;
		}
		if (!*ret_wait || left < *ret_wait)
			*ret_wait = left;
		e = ojson_set(out, okube_meta(pod, "name"), ojson_ref(when));
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

static int numbers_make(struct disruption *d, const struct ojson *pdb, const struct ojson *pods,
			const struct ojson *disrupted, struct numbers *n)
{
	const struct ojson *most = OJSON_AT(pdb, "spec", "maxUnavailable"), *least = OJSON_AT(pdb, "spec", "minAvailable");
	int e = 0;

	memset(n, 0, sizeof(*n));
	if (most) {
		e = expected_scale(d, pods, &n->expected);
		n->desired = n->expected - int_or_percent(most, n->expected);
		if (n->desired < 0)
			n->desired = 0;
	} else if (least && ojson_is(least, OJSON_STRING)) {
		e = expected_scale(d, pods, &n->expected);
		n->desired = int_or_percent(least, n->expected);
	} else if (least) {
		n->expected = (int64_t)ojson_count(pods);
		n->desired = ojson_i64(least, 0);
	}
	OJSON_FOREACH_ELEM(i, pod, pods) {
		n->healthy += !okube_deleting(pod) && !ojson_has(disrupted, okube_meta(pod, "name")) &&
			      okube_pod_ready(pod, NULL);
	}
	n->allowed = n->healthy - n->desired;
	if (n->expected <= 0 || n->allowed < 0)
		n->allowed = 0;
	return e;
}

static int condition_put(struct disruption *d, struct ojson *pdb, struct ojson *status, bool allowed)
{
	struct ojson *list = ojson_ensure_array(status, "conditions"), *c;
	int64_t generation = ojson_get_i64(ojson_get(pdb, "metadata"), "generation", 0);

	if (!list)
		return -ENOMEM;
	(void)okube_condition_set(list, "DisruptionAllowed", allowed ? "True" : "False",
				  allowed ? "SufficientPods" : "InsufficientPods", "", (int64_t)d->c.h->now_wall(d->c.h), false);
	c = okube_condition(pdb, "DisruptionAllowed");
	if (!c)
		return -ENOMEM;
	if (!ojson_has(c, "message") && ojson_set_cstr(c, "message", ""))
		return -ENOMEM;
	return generation ? ojson_set_i64(c, "observedGeneration", generation) : 0;
}

static int status_write(struct disruption *d, struct octl_task *t, const struct ojson *pdb, struct ojson *disrupted,
			const struct numbers *n)
{
	struct okube_req req = { .verb = "update", .resource = BUDGETS, .sub = "status",
				 .ns = text(okube_meta(pdb, "namespace")), .name = text(okube_meta(pdb, "name")) };
	int64_t generation = ojson_get_i64(ojson_get(pdb, "metadata"), "generation", 0);
	struct ojson *obj = NULL, *st;
	int e = ojson_copy(pdb, &obj);

	st = obj ? ojson_ensure_object(obj, "status") : NULL;
	if (!st)
		e = -ENOMEM;
	if (!e && generation)
		e = ojson_set_i64(st, "observedGeneration", generation);
	if (!e && ojson_count(disrupted))
		e = ojson_set(st, "disruptedPods", ojson_ref(disrupted));
	else if (!e)
		ojson_del(st, "disruptedPods");
	if (!e)
		e = ojson_set_i64(st, "disruptionsAllowed", n->allowed);
	if (!e)
		e = ojson_set_i64(st, "currentHealthy", n->healthy);
	if (!e)
		e = ojson_set_i64(st, "desiredHealthy", n->desired);
	if (!e)
		e = ojson_set_i64(st, "expectedPods", n->expected);
	if (!e)
		e = condition_put(d, obj, st, n->allowed > 0);
	if (!e && !ojson_equal(st, ojson_get(pdb, "status"))) {
		ojson_del(ojson_get(obj, "metadata"), "managedFields");
		e = ojson_set_cstr(obj, "kind", "PodDisruptionBudget");
		if (!e)
			e = ojson_set_cstr(obj, "apiVersion", "policy/v1");
		req.body = obj;
		if (!e)
			octl_send(t, &req);
	}
	ojson_unref(obj);
	return e;
}

static int disruption_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct disruption *d = (struct disruption *)(void *)c;
	struct ojson *pdb = NULL, *pods = NULL, *disrupted = NULL;
	struct numbers n;
	int64_t wait = 0;
	int e = okube_find(c->h, d->budgets, ns, name, &pdb);

	if (e)
		return e == -ENOENT ? 0 : e;
	pods = pods_of(d, pdb);
	disrupted = pods ? disrupted_make(d, pdb, pods, &wait) : NULL;
	e = disrupted ? numbers_make(d, pdb, pods, disrupted, &n) : -ENOMEM;
	if (!e)
		e = status_write(d, t, pdb, disrupted, &n);
	if (wait)
		octl_again(t, (uint64_t)wait);
	ojson_unref(disrupted);
	ojson_unref(pods);
	ojson_unref(pdb);
	return e;
}

/* ---- who must look ------------------------------------------------------------------------------------------- */

static void budget_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	octl_add(arg, o->ns, o->name);
}

/* The budgets of a namespace, or (@pod) those that select this state of a pod. */
static void budgets_queue(struct disruption *d, struct orlop_bytes ns, const struct orlop_object *pod)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, d->c.h, d->budgets, &q)) {
		octl_missed(&d->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		struct ojson *pdb = pod ? okube_parse(o) : NULL;
		const struct ojson *selector = OJSON_AT(pdb, "spec", "selector");

		if (pod && !pdb)
			octl_missed(&d->c);
		else if (!pod || (selector && okube_object_matches(pod, selector)))
			octl_add(&d->c, o->ns, o->name);
		ojson_unref(pdb);
	}
	owalk_close(&w);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	budgets_queue(arg, o->ns, o);
	if (prev)
		budgets_queue(arg, prev->ns, prev);
}

static void scaler_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	budgets_queue(arg, o->ns, NULL);
}

static int disruption_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct disruption *d = OMEM_NEW(struct disruption);
	int e;

	if (!d)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&d->c, h, "disruption", "controllermanager", disruption_sync, 8, err);
	if (!e)
		e = octl_follow(&d->c, BUDGETS, budget_changed, &d->budgets, err);
	if (!e)
		e = octl_follow(&d->c, "pods", pod_changed, &d->pods, err);
	if (!e)
		e = octl_follow(&d->c, "replicasets.apps", scaler_changed, &d->replicasets, err);
	if (!e)
		e = octl_follow(&d->c, "replicationcontrollers", scaler_changed, &d->controllers, err);
	if (!e)
		e = octl_follow(&d->c, "deployments.apps", scaler_changed, &d->deployments, err);
	if (e) {
		octl_fini(d);
		return e;
	}
	*ret_ctx = d;
	return 0;
}

ORLOP_MODULE("disruption", "controllers", "0.1",
	"needs=api\0reads=poddisruptionbudgets.policy,pods,replicasets.apps,replicationcontrollers,deployments.apps\0"
	"asks=poddisruptionbudgets.policy/status;update,events;create;patch\0"
	"user=system:serviceaccount:kube-system:disruption-controller",
	.license = "Apache-2.0",
	.summary = "how many pods of each PodDisruptionBudget may be evicted",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = disruption_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);
