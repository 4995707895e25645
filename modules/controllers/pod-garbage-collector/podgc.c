/*
 * podgc.c - removes pods that nobody else will ever remove.
 *
 * Pods of a node that is gone (looked for at the API too, 40 s after we missed it first); pods that
 * are to end on a node that is out of service; pods that are to end and have no node; and of those
 * that have ended, the oldest beyond a number. Keys: "/NODE", "NAMESPACE/POD", and "/" for the last.
 * Source: upstream's pkg/controller/podgc, behaviour only; its rounds of 20 s are events here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omap.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"
#include "walk/owalk.h"

#define OUT_OF_SERVICE	"node.kubernetes.io/out-of-service"
#define QUARANTINE	(40 * (uint64_t)OTIME_SECOND)
#define ENDED_EVERY	(20 * (uint64_t)OTIME_SECOND)

struct podgc {
	struct octl	c;
	struct orlop_resource *nodes;
	struct orlop_resource *pods;
	struct omap	missed;		/* node → mono time we missed it first (uint64_t) */
	int64_t		threshold;	/* of pods that have ended; 0: all may stay */
};

static const struct orlop_bytes none = { "", 0 };

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* ---- removing ------------------------------------------------------------------------------------------ */

/* Without grace: there is nobody who would use it. */
static int force(struct octl_task *t, const char *ns, const char *name, const char *uid)
{
	int e;

	octl_hold(t);
	e = okube_delete(octl_of(t)->h, "pods", text(ns), text(name), text(uid), NULL, 0, octl_answer, t);
	if (e)
		octl_release(t, true);
	return e;
}

static void failed_told(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct octl_removal *s = arg;

	(void)rev;
	if (status >= 0 && code < 300)
		(void)force(s->t, s->ns, s->name, s->uid);
	octl_answer(s->t, status, code, body, 0);
	octl_removal_free(s);
}

static bool has_ended(const struct ojson *pod)
{
	const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

	return !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
}

static struct ojson *failed_patch(const struct octl *c, const struct ojson *pod, const char *why)
{
	struct ojson *patch = octl_removal_patch(c, pod, "DeletionByPodGC", why);

	if (patch && ojson_set_cstr(ojson_ensure_object(patch, "status"), "phase", "Failed")) {
		ojson_unref(patch);
		return NULL;
	}
	return patch;
}

/* It has failed, says so (@why: as the condition of a disruption), and goes. */
static int pod_remove(struct octl_task *t, const struct ojson *pod, const char *why)
{
	struct octl *c = octl_of(t);
	struct ojson *patch;
	struct octl_removal *s;
	int e;

	OLOG(c->h, INFO, "pod_removed", "pod=%s/%s why=\"%s\"", okube_meta(pod, "namespace"), okube_meta(pod, "name"),
	     why ? why : "out of service");
	if (has_ended(pod))
		return force(t, okube_meta(pod, "namespace"), okube_meta(pod, "name"), okube_meta(pod, "uid"));
	patch = failed_patch(c, pod, why);
	s = octl_removal_new(t, pod);
	e = patch && s ? 0 : -ENOMEM;
	if (!e) {
		octl_hold(t);
		e = okube_patch(c->h, "pods", text(s->ns), text(s->name), "status", OKUBE_MERGE_PATCH, patch,
				failed_told, s);
		if (e)
			octl_release(t, true);
	}
	if (e)
		octl_removal_free(s);
	ojson_unref(patch);
	return e;
}

/* ---- pods of nodes that are gone -------------------------------------------------------------------------- */

/* Calls @fn for each pod of @node (NULL: of all) until it fails. */
static int pods_each(struct podgc *g, const struct orlop_bytes *node,
		     int (*fn)(struct podgc *g, struct octl_task *t, struct orlop_object *o), struct octl_task *t)
{
	const struct orlop_host *h = g->c.h;
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_object *o;
	struct owalk w;
	int e;

	if (node) {
		int32_t index = h->resource_index(g->pods, "spec.nodeName");

		if (index < 0)
			return 0;
		q.has_index = 1;
		q.index = (uint32_t)index;
		q.index_value = *node;
	}
	e = owalk_open(&w, h, g->pods, &q);
	if (e)
		return e;
	while (!e && (o = owalk_next(&w)))
		e = fn(g, t, o);
	owalk_close(&w);
	return e;
}

static int orphan_remove(struct podgc *g, struct octl_task *t, struct orlop_object *o)
{
	struct ojson *pod = okube_parse(o);
	int e = pod ? 0 : -ENOMEM;

	(void)g;
	/* marked and without grace already: a finalizer holds it */
	if (!e && !(okube_deleting(pod) &&
		    !ojson_get_i64(ojson_get(pod, "metadata"), "deletionGracePeriodSeconds", 0)))
		e = pod_remove(t, pod, "PodGC: node no longer exists");
	ojson_unref(pod);
	return e;
}

/* A node that the API is asked for. */
struct asked {
	struct octl_task *t;
	char		node[];
};

static void node_asked(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct asked *a = arg;
	struct podgc *g = (struct podgc *)(void *)octl_of(a->t);
	struct orlop_bytes node = text(a->node);

	(void)rev;
	if (status >= 0 && code == 404) {
		int e = pods_each(g, &node, orphan_remove, a->t);

		omem_free(omap_del(&g->missed, node.p, node.len));
		octl_release(a->t, e != 0);
	} else {
		if (status >= 0 && code < 300)
			omem_free(omap_del(&g->missed, node.p, node.len));
		octl_answer(a->t, status, code, body, 0);
	}
	omem_free(a);
}

static int node_ask(struct octl_task *t, struct orlop_bytes node)
{
	struct okube_req req = { .verb = "get", .resource = "nodes", .name = node };
	struct asked *a = omem_zalloc(sizeof(*a) + node.len + 1);
	int e;

	if (!a)
		return -ENOMEM;
	a->t = t;
	memcpy(a->node, node.p, node.len);
	octl_hold(t);
	e = okube_call(octl_of(t)->h, &req, node_asked, a);
	if (e) {
		octl_release(t, true);
		omem_free(a);
	}
	return e;
}

static int node_look(struct podgc *g, struct octl_task *t, struct orlop_bytes node)
{
	const struct orlop_host *h = g->c.h;
	uint64_t now = h->now_mono(h);
	struct orlop_snapshot *s;
	uint64_t *since;
	bool there;

	if (h->snapshot_open(g->nodes, &s))
		return -ENOMEM;
	there = h->snapshot_get(s, none, node) != NULL;
	h->snapshot_close(s);
	if (there) {
		omem_free(omap_del(&g->missed, node.p, node.len));
		return 0;
	}
	since = omap_get(&g->missed, node.p, node.len);
	if (!since) {
		since = OMEM_NEW(uint64_t);
		if (!since || omap_put(&g->missed, node.p, node.len, since, NULL)) {
			omem_free(since);
			return -ENOMEM;
		}
		*since = now;
	}
	if (now - *since >= QUARANTINE)
		return node_ask(t, node);
	octl_again(t, QUARANTINE - (now - *since));
	return 0;
}

/* ---- pods that are to end ------------------------------------------------------------------------------------ */

static bool is_out_of_service(const struct ojson *node)
{
	if (ojson_string_is(ojson_get(okube_condition(node, "Ready"), "status"), "True"))
		return false;
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(node, "spec", "taints")) {
		if (ojson_string_is(ojson_get(t, "key"), OUT_OF_SERVICE))
			return true;
	}
	return false;
}

static int pod_look(struct podgc *g, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct ojson *pod = NULL;
	struct ojson *node = NULL;
	const char *on;
	int e = okube_find(g->c.h, g->pods, ns, name, &pod);

	if (e)
		return e == -ENOENT ? 0 : e;
	on = ojson_get_cstr(ojson_get(pod, "spec"), "nodeName", "");
	if (okube_deleting(pod) && ojson_get_i64(ojson_get(pod, "metadata"), "deletionGracePeriodSeconds", 0)) {
		if (!*on) {
			e = pod_remove(t, pod, NULL);
		} else {
			e = okube_find(g->c.h, g->nodes, none, text(on), &node);
			if (e == -ENOENT)
				e = 0;	/* the node's own key sees to it */
			else if (!e && is_out_of_service(node))
				e = pod_remove(t, pod, NULL);
		}
	}
	ojson_unref(node);
	ojson_unref(pod);
	return e;
}

/* ---- pods that have ended -------------------------------------------------------------------------------------- */

struct ended {
	int64_t		created;
	struct ojson	*pod;
};

static int by_age(const void *a, const void *b)
{
	const struct ended *x = a;
	const struct ended *y = b;

	return x->created < y->created ? -1 : x->created > y->created;
}

static bool says_ended(struct podgc *g, const struct orlop_object *o)
{
	int32_t index = g->c.h->resource_index(g->pods, "status.phase");
	struct orlop_bytes phase = index < 0 ? none : okube_index(o, index);

	return (phase.len == 9 && !memcmp(phase.p, "Succeeded", 9)) || (phase.len == 6 && !memcmp(phase.p, "Failed", 6));
}

static int64_t ended_count(struct podgc *g, struct orlop_snapshot *s)
{
	static const struct orlop_query all = { .size = sizeof(all) };
	const struct orlop_host *h = g->c.h;
	struct orlop_object *o;
	struct orlop_iter *it;
	int64_t n = 0;

	if (h->iter_open(s, &all, &it))
		return -ENOMEM;
	while ((o = h->iter_next(it)))
		n += says_ended(g, o);
	h->iter_close(it);
	return n;
}

static int ended_list(struct podgc *g, struct orlop_snapshot *s, struct ended *v, int64_t *n, int64_t most)
{
	static const struct orlop_query all = { .size = sizeof(all) };
	const struct orlop_host *h = g->c.h;
	struct orlop_object *o;
	struct orlop_iter *it;

	*n = 0;
	if (h->iter_open(s, &all, &it))
		return -ENOMEM;
	while (*n < most && (o = h->iter_next(it))) {
		struct orlop_bytes b;

		if (!says_ended(g, o))
			continue;
		v[*n].pod = okube_parse(o);
		if (!v[*n].pod)
			break;
		b = ojson_bytes(OJSON_AT(v[*n].pod, "metadata", "creationTimestamp"));
		if (b.p)
			(void)otime_parse(b.p, b.len, &v[*n].created);
		++*n;
	}
	h->iter_close(it);
	return *n == most ? 0 : -ENOMEM;
}

static int ended_look(struct podgc *g, struct octl_task *t)
{
	struct orlop_snapshot *s;
	struct ended *v = NULL;
	int64_t all;
	int64_t n = 0;
	int64_t i;
	int e;

	if (g->threshold <= 0)
		return 0;
	if (g->c.h->snapshot_open(g->pods, &s))
		return -ENOMEM;
	all = ended_count(g, s);
	e = all < 0 ? (int)all : 0;
	if (all > g->threshold) {
		v = omem_zalloc_array((size_t)all, sizeof(*v));
		e = v ? ended_list(g, s, v, &n, all) : -ENOMEM;
	}
	g->c.h->snapshot_close(s);
	if (!e && n > 1)
		qsort(v, (size_t)n, sizeof(*v), by_age);
	for (i = 0; !e && i < n - g->threshold; i++)
		e = force(t, okube_meta(v[i].pod, "namespace"), okube_meta(v[i].pod, "name"), okube_meta(v[i].pod, "uid"));
	for (i = 0; i < n; i++)
		ojson_unref(v[i].pod);
	omem_free(v);
	return e;
}

/* ---- what may change that ---------------------------------------------------------------------------------------- */

static int podgc_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct podgc *g = (struct podgc *)(void *)c;

	if (ns.len)
		return pod_look(g, t, ns, name);
	return name.len ? node_look(g, t, name) : ended_look(g, t);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct podgc *g = arg;
	int32_t index = g->c.h->resource_index(g->pods, "spec.nodeName");
	struct orlop_bytes node = index < 0 ? none : okube_index(o, index);
	bool there = true;
	bool out = !node.len;	/* of service, or on none */
	struct orlop_snapshot *s;
	struct orlop_object *on;

	if (type == ORLOP_CHANGE_DELETED)
		return;
	if (node.len && !g->c.h->snapshot_open(g->nodes, &s)) {
		on = g->c.h->snapshot_get(s, none, node);
		there = on != NULL;
		out = on && memmem(on->json.p, on->json.len, OUT_OF_SERVICE, strlen(OUT_OF_SERVICE));
		g->c.h->snapshot_close(s);
	}
	if (out && memmem(o->json.p, o->json.len, "\"deletionTimestamp\"", 19))
		octl_add(&g->c, o->ns, o->name);
	if (g->threshold > 0 && says_ended(g, o) && !(prev && says_ended(g, prev)))
		octl_add_after(&g->c, none, none, ENDED_EVERY);
	if (!there)
		octl_add(&g->c, none, node);
}

static int pod_queue(struct podgc *g, struct octl_task *t, struct orlop_object *o)
{
	(void)t;
	octl_add(&g->c, o->ns, o->name);
	return 0;
}

static void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct podgc *g = arg;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED)
		octl_add(&g->c, none, o->name);
	else if (memmem(o->json.p, o->json.len, OUT_OF_SERVICE, strlen(OUT_OF_SERVICE)) &&
		 pods_each(g, &o->name, pod_queue, NULL))
		octl_missed(&g->c);
}

/* After a list: nodes may have gone unseen, or pods been seen before the nodes. */
static int pod_node_queue(struct podgc *g, struct octl_task *t, struct orlop_object *o)
{
	(void)t;
	pod_changed(g, ORLOP_CHANGE_MODIFIED, o, o);
	return 0;
}

static bool synced(struct octl *c)
{
	if (pods_each((struct podgc *)(void *)c, NULL, pod_node_queue, NULL))
		octl_missed(c);
	return true;
}

static int podgc_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	(void)ctx;
	if (!strcmp(name, "terminated_pod_threshold") && strtoll(value, NULL, 10) < 0)
		return orlop_fail(err, EINVAL, 0, "", "%s must not be negative (0: keep all), not %s", name, value);
	return 0;
}

static void podgc_apply(void *ctx, const char *name, const char *value)
{
	struct podgc *g = ctx;

	if (strcmp(name, "terminated_pod_threshold"))
		return;
	g->threshold = strtoll(value, NULL, 10);
	octl_add(&g->c, none, none);
}

static void podgc_fini(void *ctx)
{
	struct podgc *g = ctx;

	octl_done(&g->c);
	omap_done_with(&g->missed, omem_free);
	omem_free(g);
}

static int podgc_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct podgc *g = OMEM_NEW(struct podgc);
	int e;

	if (!g)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	omap_init(&g->missed);
	g->threshold = h->param_int(h, "terminated_pod_threshold");
	e = podgc_validate(g, "terminated_pod_threshold", h->param(h, "terminated_pod_threshold"), err);
	if (!e)
		e = octl_init(&g->c, h, "pod-garbage-collector", NULL, podgc_sync, 16, err);
	g->c.synced = synced;
	if (!e)
		e = octl_follow(&g->c, "nodes", node_changed, &g->nodes, err);
	if (!e)
		e = octl_follow(&g->c, "pods", pod_changed, &g->pods, err);
	if (e) {
		podgc_fini(g);
		return e;
	}
	*ret_ctx = g;
	return 0;
}

static const struct orlop_param params[] = {
	{ .name = "terminated_pod_threshold", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "12500",
	  .help = "so many pods that have ended are kept, the youngest; 0: all" },
};

ORLOP_MODULE("pod-garbage-collector", "controllers", "0.1",
	"needs=api\0reads=nodes,pods\0"
	"asks=pods;delete,pods/status;patch,nodes;get\0"
	"user=system:serviceaccount:kube-system:pod-garbage-collector",
	.license = "Apache-2.0",
	.summary = "removes pods whose node is gone, and the oldest that have ended",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &octl_ops,
	.init = podgc_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = podgc_fini,
	.param_validate = podgc_validate,
	.param_apply = podgc_apply,
	.health = octl_health);
