/*
 * eviction.c - pods that do not tolerate a NoExecute taint of their node go.
 *
 * A pod's time ends tolerationSeconds after the taint was put there (its timeAdded; taints without
 * one count from when we saw them first) or after the pod came to the node, whichever is later. It is
 * worked out anew at each look: a controller that was replaced meanwhile gives nobody more time, a
 * taint that goes leaves nothing to call off.
 * Source: upstream's pkg/controller/tainteviction, behaviour only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omap.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"
#include "tolerate.h"
#include "walk/owalk.h"

struct eviction {
	struct octl	c;
	struct orlop_resource *nodes;
	struct orlop_resource *pods;
	struct omap	first;		/* "node\nkey=value" → wall time a taint without timeAdded was seen first */
	struct omap	marked;		/* "ns/name" of pods whose time is running, for the Event when it stops */
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static int64_t wall(const struct eviction *v)
{
	return (int64_t)v->c.h->now_wall(v->c.h);
}

static int64_t time_of(const struct ojson *j)
{
	struct orlop_bytes b = ojson_bytes(j);
	int64_t ns = 0;

	return b.p && !otime_parse(b.p, b.len, &ns) ? ns : 0;
}

static bool is_hard(const struct ojson *taint)
{
	return ojson_string_is(ojson_get(taint, "effect"), "NoExecute");
}

/* ---- when a pod's time ends ---------------------------------------------------------------------------- */

static int first_key(const struct ojson *node, const struct ojson *taint, char *out, size_t size)
{
	return snprintf(out, size, "%.260s\n%.330s=%.64s", okube_meta(node, "name"), ojson_get_cstr(taint, "key", ""),
			ojson_get_cstr(taint, "value", ""));
}

/* Since when the node has it; 0: no memory to remember it. */
static int64_t taint_since(struct eviction *v, const struct ojson *node, const struct ojson *taint)
{
	int64_t t = time_of(ojson_get(taint, "timeAdded"));
	char key[700];
	int64_t *at;

	if (t)
		return t;
	(void)first_key(node, taint, key, sizeof(key));
	at = omap_get_cstr(&v->first, key);
	if (at)
		return *at;
	at = OMEM_NEW(int64_t);
	if (!at || omap_put_cstr(&v->first, key, at)) {
		omem_free(at);
		return 0;
	}
	*at = wall(v);
	return *at;
}

/* Taints that a node has lost are not remembered. @node NULL: it has gone. */
static void first_forget(struct eviction *v, struct orlop_bytes name, const struct ojson *node)
{
	OMAP_FOREACH(&v->first, e) {
		bool there = false;
		char key[700];

		if (e->key_len <= name.len || e->key[name.len] != '\n' || memcmp(e->key, name.p, name.len))
			continue;
		OJSON_FOREACH_ELEM(i, t, OJSON_AT(node, "spec", "taints")) {
			if (!is_hard(t))
				continue;
			(void)first_key(node, t, key, sizeof(key));
			there |= !strcmp(key, e->key);
		}
		if (!there)
			omem_free(omap_del(&v->first, e->key, e->key_len));
	}
}

/* Since when the pod is on its node. */
static int64_t pod_since(const struct ojson *pod)
{
	int64_t t = time_of(ojson_get(okube_condition(pod, "PodScheduled"), "lastTransitionTime"));

	return t ? t : time_of(OJSON_AT(pod, "metadata", "creationTimestamp"));
}

/* STAY_FOREVER: it may stay. 0 or -ENOMEM. */
static int pod_end(struct eviction *v, const struct ojson *node, const struct ojson *pod, int64_t *ret_ns)
{
	const struct ojson *list = OJSON_AT(pod, "spec", "tolerations");
	int64_t end = STAY_FOREVER;

	OJSON_FOREACH_ELEM(i, t, OJSON_AT(node, "spec", "taints")) {
		int64_t since;
		int64_t s;

		if (!is_hard(t))
			continue;
		if (!tolerated(list, t, &s)) {
			*ret_ns = 0;
			return 0;
		}
		if (s == STAY_FOREVER)
			continue;
		since = taint_since(v, node, t);
		if (!since)
			return -ENOMEM;
		if (pod_since(pod) > since)
			since = pod_since(pod);
		if (s > (STAY_FOREVER - since) / OTIME_SECOND)
			continue;
		if (since + s * OTIME_SECOND < end)
			end = since + s * OTIME_SECOND;
	}
	*ret_ns = end;
	return 0;
}

/* ---- evicting ----------------------------------------------------------------------------------------------- */

/* The pod says why it goes; now it may. */
static void told(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct octl_removal *s = arg;
	struct octl_task *t = s->t;
	struct octl *c = octl_of(t);

	(void)rev;
	if (status < 0 || (code >= 300 && code != 404)) {
		octl_answer(t, status, code, body, 0);
	} else if (code == 404 || okube_delete(c->h, "pods", text(s->ns), text(s->name), text(s->uid), NULL, -1,
					       octl_answer, t)) {
		octl_release(t, code != 404);
	}
	octl_removal_free(s);
}

static int pod_evict(struct eviction *v, struct octl_task *t, const struct ojson *pod)
{
	struct octl_removal *s = octl_removal_new(t, pod);
	struct ojson *patch = octl_removal_patch(&v->c, pod, "DeletionByTaintManager",
						 "Taint manager: deleting due to NoExecute taint");
	int e = s && patch ? 0 : -ENOMEM;

	if (!e) {
		okube_event(v->c.events, "v1", "Pod", pod, NULL, "Normal", "TaintManagerEviction",
			    "Marking for deletion Pod %s/%s", s->ns, s->name);
		octl_hold(t);
		e = okube_patch(v->c.h, "pods", text(s->ns), text(s->name), "status", OKUBE_MERGE_PATCH, patch, told,
				s);
		if (e)
			octl_release(t, true);
	}
	ojson_unref(patch);
	if (e)
		octl_removal_free(s);
	return e;
}

/* ---- one look ------------------------------------------------------------------------------------------------ */

static size_t mark_key(const struct ojson *pod, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%.300s/%.300s", okube_meta(pod, "namespace"), okube_meta(pod, "name"));
}

static void mark(struct eviction *v, const struct ojson *pod, bool on)
{
	char key[620];
	size_t n = mark_key(pod, key, sizeof(key));

	if (on) {
		(void)omap_put(&v->marked, key, n, v, NULL);
	} else if (omap_del(&v->marked, key, n)) {
		okube_event(v->c.events, "v1", "Pod", pod, NULL, "Normal", "TaintManagerEviction",
			    "Cancelling deletion of Pod %s/%s", okube_meta(pod, "namespace"), okube_meta(pod, "name"));
	}
}

static int pod_look(struct eviction *v, struct octl_task *t, const struct ojson *pod)
{
	const char *name = ojson_get_cstr(ojson_get(pod, "spec"), "nodeName", "");
	struct ojson *node = NULL;
	int64_t end;
	int e;

	if (!*name || okube_deleting(pod))
		return 0;
	e = okube_find(v->c.h, v->nodes, (struct orlop_bytes){ "", 0 }, text(name), &node);
	if (e)
		return e == -ENOENT ? 0 : e;
	e = pod_end(v, node, pod, &end);
	ojson_unref(node);
	if (e)
		return e;
	if (end == STAY_FOREVER) {
		mark(v, pod, false);
		return 0;
	}
	if (end <= wall(v))
		return pod_evict(v, t, pod);
	mark(v, pod, true);
	octl_again(t, (uint64_t)(end - wall(v)));
	return 0;
}

static int eviction_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct eviction *v = (struct eviction *)(void *)c;
	struct ojson *pod = NULL;
	int e = okube_find(c->h, v->pods, ns, name, &pod);

	if (e)
		return e == -ENOENT ? 0 : e;
	e = pod_look(v, t, pod);
	ojson_unref(pod);
	return e;
}

/* ---- what may change that -------------------------------------------------------------------------------------- */

static int pods_look(struct eviction *v, struct orlop_bytes node)
{
	const struct orlop_host *h = v->c.h;
	struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index_value = node };
	int32_t index = h->resource_index(v->pods, "spec.nodeName");
	struct orlop_object *o;
	struct owalk w;
	int e;

	if (index < 0)
		return 0;	/* no pod has been listed yet: each will be looked at then */
	q.index = (uint32_t)index;
	e = owalk_open(&w, h, v->pods, &q);
	if (e)
		return e;
	while ((o = owalk_next(&w)))
		octl_add(&v->c, o->ns, o->name);
	owalk_close(&w);
	return 0;
}

static bool hard_equal(const struct ojson *a, const struct ojson *b)
{
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(a, "spec", "taints")) {
		bool found = !is_hard(t);

		OJSON_FOREACH_ELEM(k, u, OJSON_AT(b, "spec", "taints"))
			found |= ojson_equal(t, u);
		if (!found)
			return false;
	}
	return true;
}

static void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct eviction *v = arg;
	struct ojson *now = type == ORLOP_CHANGE_DELETED ? NULL : okube_parse(o);
	struct ojson *was = okube_parse(prev);

	if (type == ORLOP_CHANGE_DELETED) {
		first_forget(v, o->name, NULL);
	} else if (!now || (prev && !was)) {
		octl_missed(&v->c);
	} else if (!was || !hard_equal(now, was) || !hard_equal(was, now)) {
		first_forget(v, o->name, now);
		if (pods_look(v, o->name))
			octl_missed(&v->c);
	}
	ojson_unref(now);
	ojson_unref(was);
}

/* Most nodes evict nobody; that shows without parsing one for each change of its pods. When one begins to, all are looked at. */
static bool may_evict(const struct eviction *v, struct orlop_bytes name)
{
	static const char effect[] = "\"NoExecute\"";
	const struct orlop_host *h = v->c.h;
	struct orlop_snapshot *s;
	struct orlop_object *node;
	bool may;

	if (h->snapshot_open(v->nodes, &s))
		return true;
	node = h->snapshot_get(s, text(""), name);
	may = node && memmem(node->json.p, node->json.len, effect, sizeof(effect) - 1);
	h->snapshot_close(s);
	return may;
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct eviction *v = arg;
	int32_t index = v->c.h->resource_index(v->pods, "spec.nodeName");
	struct orlop_bytes now = index < 0 ? (struct orlop_bytes){ NULL, 0 } : okube_index(o, index);
	char key[620];
	size_t n = (size_t)snprintf(key, sizeof(key), "%.*s/%.*s", OB(o->ns), OB(o->name));

	if (type == ORLOP_CHANGE_DELETED) {
		(void)omap_del(&v->marked, key, n);
		return;
	}
	/* a pod's tolerations may grow while it runs, its status changes all the time: looked at both ways */
	(void)prev;
	if (now.len && (omap_get(&v->marked, key, n) || may_evict(v, now)))
		octl_add(&v->c, o->ns, o->name);
}

static void eviction_fini(void *ctx)
{
	struct eviction *v = ctx;

	octl_done(&v->c);
	omap_done_with(&v->first, omem_free);
	omap_done(&v->marked);
	omem_free(v);
}

static int eviction_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct eviction *v = OMEM_NEW(struct eviction);
	int e;

	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	omap_init(&v->first);
	omap_init(&v->marked);
	e = octl_init(&v->c, h, "taint-eviction", NULL, eviction_sync, 16, err);
	if (!e)
		e = octl_follow(&v->c, "nodes", node_changed, &v->nodes, err);
	if (!e)
		e = octl_follow(&v->c, "pods", pod_changed, &v->pods, err);
	if (e) {
		eviction_fini(v);
		return e;
	}
	*ret_ctx = v;
	return 0;
}

ORLOP_MODULE("taint-eviction", "controllers", "0.1",
	"needs=api\0reads=nodes,pods\0"
	"asks=pods;delete,pods/status;patch,events;create;patch\0"
	"user=system:serviceaccount:kube-system:node-controller",
	.license = "Apache-2.0",
	.summary = "takes pods off nodes with a NoExecute taint that they do not tolerate",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = eviction_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = eviction_fini,
	.health = octl_health);
