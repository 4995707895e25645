/*
 * lifecycle.c - nodes that fall silent: told of, tainted, their pods marked.
 *
 * A node is alive while its Lease is renewed or its status posted; what counts is when we saw that,
 * by our clock. After the grace period its conditions become Unknown, taints say so to the scheduler
 * (NoSchedule) and, one node each so often, to those who evict (NoExecute). One sync does the next
 * missing step; the write it makes leads to the one after it.
 * Source: upstream's pkg/controller/nodelifecycle, behaviour only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omap.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"
#include "nodelife.h"
#include "walk/owalk.h"

#define LEASE_NS	"kube-node-lease"

/* What we saw of one node. */
struct seen {
	uint64_t	alive_ns;	/* mono: last sign of life */
	char		heartbeat[OTIME_BUF];	/* of its status */
	char		renewed[OTIME_BUF];	/* of its Lease */
	bool		ready;
	bool		counted;	/* in the zone's numbers */
	bool		told;		/* that it is there */
};

struct lifecycle {
	struct octl	c;
	struct orlop_resource *nodes;
	struct orlop_resource *pods;
	struct orlop_resource *leases;
	struct omap	seen;		/* by node name */
	struct nl_zone	zone;
	enum nl_zone_state state;
	uint64_t	grace_ns;
	uint64_t	startup_grace_ns;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static uint64_t now_of(const struct lifecycle *l)
{
	return l->c.h->now_mono(l->c.h);
}

/* ---- signs of life --------------------------------------------------------------------------------- */

static struct seen *seen_of(struct lifecycle *l, struct orlop_bytes name)
{
	struct seen *s = omap_get(&l->seen, name.p, name.len);

	if (s)
		return s;
	s = OMEM_NEW(struct seen);
	if (!s || omap_add(&l->seen, name.p, name.len, s)) {
		omem_free(s);
		return NULL;
	}
	s->alive_ns = now_of(l);	/* known only now: it has all its time before it */
	return s;
}

static void sign_of_life(struct lifecycle *l, struct seen *s, char *have, const struct ojson *time)
{
	const char *t = ojson_cstr(time, "");

	if (!*t || strlen(t) >= OTIME_BUF || !strcmp(have, t))
		return;
	strcpy(have, t);
	s->alive_ns = now_of(l);
}

static void all_look(struct lifecycle *l)
{
	struct orlop_bytes none = { "", 0 };

	OMAP_FOREACH(&l->seen, e)
		octl_add(&l->c, none, (struct orlop_bytes){ e->key, e->key_len });
}

/* The numbers of the zone have changed. */
static void zone_look(struct lifecycle *l)
{
	enum nl_zone_state state = nl_zone_state(&l->zone);

	if (state == l->state)
		return;
	OLOG(l->c.h, INFO, "zone", "ready=%u silent=%u evictions=%s", l->zone.n_ready, l->zone.n_silent,
	     state == NL_ZONE_NORMAL ? "normal" : state == NL_ZONE_PARTIAL ? "slow" : "stopped");
	/* it was we who heard nothing: everybody begins anew */
	if (l->state == NL_ZONE_FULL)
		OMAP_FOREACH(&l->seen, e)
			((struct seen *)e->value)->alive_ns = now_of(l);
	l->state = state;
	all_look(l);
}

static void zone_count(struct lifecycle *l, struct seen *s, bool counted, bool ready)
{
	if (s->counted)
		*(s->ready ? &l->zone.n_ready : &l->zone.n_silent) -= 1;
	s->counted = counted;
	s->ready = ready;
	if (counted)
		*(ready ? &l->zone.n_ready : &l->zone.n_silent) += 1;
	zone_look(l);
}

static bool is_ready(const struct ojson *node)
{
	return ojson_string_is(ojson_get(okube_condition(node, "Ready"), "status"), "True");
}

/* @what has the node's name in it. */
static void tell(struct lifecycle *l, const struct ojson *node, const char *reason, const char *what)
{
	const char *name = okube_meta(node, "name");
	const char *at = strstr(what, "%s");

	okube_event(l->c.events, "v1", "Node", node, NULL, "Normal", reason, "Node %s event: %.*s%s%s", name, (int)(at - what),
		    what, name, at + 2);
}

static void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct lifecycle *l = arg;
	struct seen *s;
	struct ojson *node;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED) {
		s = omap_del(&l->seen, o->name.p, o->name.len);
		if (s)
			zone_count(l, s, false, false);
		node = s && s->told && l->c.open ? okube_parse(o) : NULL;
		if (node)
			tell(l, node, "RemovingNode", "Removing Node %s from Controller");
		ojson_unref(node);
		omem_free(s);
		return;
	}
	s = seen_of(l, o->name);
	node = okube_parse(o);
	if (s && node) {
		sign_of_life(l, s, s->heartbeat, ojson_get(okube_condition(node, "Ready"), "lastHeartbeatTime"));
		zone_count(l, s, true, is_ready(node));
		octl_add(&l->c, o->ns, o->name);
	} else {
		octl_missed(&l->c);
	}
	ojson_unref(node);
}

/* Renewals come all the time: nothing is queued for them. The look that is due finds a later time. */
static void lease_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct lifecycle *l = arg;
	struct seen *s;
	struct ojson *lease;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED || o->ns.len != strlen(LEASE_NS) || memcmp(o->ns.p, LEASE_NS, o->ns.len))
		return;
	s = omap_get(&l->seen, o->name.p, o->name.len);
	if (!s)
		return;
	lease = okube_parse(o);
	if (!lease)
		octl_missed(&l->c);
	sign_of_life(l, s, s->renewed, OJSON_AT(lease, "spec", "renewTime"));
	ojson_unref(lease);
}

/* A pod that says Ready on a node that is not. */
static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct lifecycle *l = arg;
	int32_t index = l->c.h->resource_index(l->pods, "spec.nodeName");
	struct orlop_bytes node;
	struct seen *s;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED || index < 0)
		return;
	node = okube_index(o, index);
	s = node.len ? omap_get(&l->seen, node.p, node.len) : NULL;
	if (s && s->counted && !s->ready)
		octl_add(&l->c, (struct orlop_bytes){ "", 0 }, node);
}

/* After a list: nodes may have gone unseen. */
static void nodes_compare(struct lifecycle *l)
{
	struct orlop_snapshot *s;

	if (l->c.h->snapshot_open(l->nodes, &s))
		return;
	OMAP_FOREACH(&l->seen, e) {
		struct seen *had = e->value;

		if (l->c.h->snapshot_get(s, (struct orlop_bytes){ "", 0 },
					 (struct orlop_bytes){ e->key, e->key_len }))
			continue;
		(void)omap_del(&l->seen, e->key, e->key_len);
		zone_count(l, had, false, false);
		omem_free(had);
	}
	l->c.h->snapshot_close(s);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

/* @key of @part becomes @take_value, if the object is still the one we looked at. */
static int change(struct octl_task *t, const char *resource, const char *sub, const struct ojson *obj,
		  const char *part, const char *key, struct ojson *take_value)
{
	struct ojson *patch = ojson_new_object();
	struct ojson *meta = ojson_ensure_object(patch, "metadata");
	struct okube_req req = { .verb = "patch", .resource = resource, .sub = sub,
				 .ns = text(okube_meta(obj, "namespace")), .name = text(okube_meta(obj, "name")),
				 .content_type = OKUBE_MERGE_PATCH, .body = patch };
	int e = meta ? ojson_set_cstr(meta, "resourceVersion", okube_meta(obj, "resourceVersion")) : -ENOMEM;

	if (!e)
		e = ojson_set_cstr(meta, "uid", okube_meta(obj, "uid"));
	if (e)
		ojson_unref(take_value);
	else
		e = ojson_put(ojson_ensure_object(patch, part), key, take_value);
	if (!e)
		octl_send(t, &req);
	ojson_unref(patch);
	return e;
}

/* Everything that the node said about itself becomes Unknown. */
static int silence_tell(struct lifecycle *l, struct octl_task *t, const struct ojson *node)
{
	static const char *const types[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure" };
	int64_t now = (int64_t)l->c.h->now_wall(l->c.h);
	struct ojson *list = NULL;
	size_t i;
	int e = ojson_copy(OJSON_AT(node, "status", "conditions"), &list);

	if (!e && !list)
		list = ojson_new_array();
	if (!list)
		return -ENOMEM;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct ojson *had = okube_condition(node, types[i]);

		if (!had)
			okube_condition_set(list, types[i], "Unknown", "NodeStatusNeverUpdated",
					    "Kubelet never posted node status.", now, false);
		else if (!ojson_string_is(ojson_get(had, "status"), "Unknown"))
			okube_condition_set(list, types[i], "Unknown", "NodeStatusUnknown",
					    "Kubelet stopped posting node status.", now, false);
	}
	OJSON_FOREACH_ELEM(k, c, list) {
		if (!ojson_get(c, "lastHeartbeatTime"))
			(void)ojson_set(c, "lastHeartbeatTime",
					ojson_ref(OJSON_AT(node, "metadata", "creationTimestamp")));
	}
	if (is_ready(node))
		okube_event(l->c.events, "v1", "Node", node, NULL, "Normal", "NodeNotReady",
			    "Node %s status is now: NodeNotReady", okube_meta(node, "name"));
	return change(t, "nodes", "status", node, "status", "conditions", list);
}

static int pod_mark(struct lifecycle *l, struct octl_task *t, const struct ojson *pod)
{
	struct ojson *list = NULL;
	struct ojson *ready;
	char now[OTIME_BUF];
	int e = ojson_copy(OJSON_AT(pod, "status", "conditions"), &list);

	otime_format((int64_t)l->c.h->now_wall(l->c.h), now);
	OJSON_FOREACH_ELEM(i, c, list) {
		ready = c;
		if (!ojson_string_is(ojson_get(ready, "type"), "Ready"))
			continue;
		e = ojson_set_cstr(ready, "status", "False");
		if (!e)
			e = ojson_set_cstr(ready, "lastTransitionTime", now);
	}
	if (e) {
		ojson_unref(list);
		return e;
	}
	okube_event(l->c.events, "v1", "Pod", pod, NULL, "Warning", "NodeNotReady", "Node is not ready");
	return change(t, "pods", "status", pod, "status", "conditions", list);
}

/* Nobody may be sent to pods of a node that is not ready. */
static int pods_mark(struct lifecycle *l, struct octl_task *t, struct orlop_bytes node)
{
	const struct orlop_host *h = l->c.h;
	struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index_value = node };
	int32_t index = h->resource_index(l->pods, "spec.nodeName");
	struct orlop_object *o;
	struct owalk w;
	int e;

	if (index < 0)
		return 0;
	q.index = (uint32_t)index;
	e = owalk_open(&w, h, l->pods, &q);
	if (e)
		return e;
	while (!e && (o = owalk_next(&w))) {
		struct ojson *pod = okube_parse(o);

		if (!pod)
			e = -ENOMEM;
		else if (okube_pod_ready(pod, NULL))
			e = pod_mark(l, t, pod);
		ojson_unref(pod);
	}
	owalk_close(&w);
	return e;
}

/* ---- one look ------------------------------------------------------------------------------------------ */

/* Which NoExecute taint the node should have now; NULL: none. What has to wait comes again. */
static const char *eviction(struct lifecycle *l, struct octl_task *t, const struct ojson *node)
{
	const char *want = nl_ready_taint(ojson_get_cstr(okube_condition(node, "Ready"), "status", ""));
	const char *other = want && !strcmp(want, nl_ready_taint("False")) ? nl_ready_taint("Unknown")
									  : nl_ready_taint("False");
	uint64_t wait;

	if (!want || nl_zone_state(&l->zone) == NL_ZONE_FULL)
		return NULL;
	if (nl_evicts(node, want) || nl_evicts(node, other))
		return want;
	wait = nl_zone_admit(&l->zone, now_of(l));
	if (!wait)
		return want;
	octl_again(t, wait);
	return NULL;
}

static int node_look(struct lifecycle *l, struct octl_task *t, const struct ojson *node, struct seen *s)
{
	const struct ojson *ready = okube_condition(node, "Ready");
	uint64_t grace = ready ? l->grace_ns : l->startup_grace_ns;
	uint64_t silent = now_of(l) - s->alive_ns;
	struct ojson *taints = NULL;
	int e;

	if (silent >= grace && !ojson_string_is(ojson_get(ready, "status"), "Unknown"))
		return silence_tell(l, t, node);	/* its change brings us back */
	if (silent < grace)
		octl_again(t, grace - silent);
	e = nl_taints_make(node, eviction(l, t, node), (int64_t)l->c.h->now_wall(l->c.h), &taints);
	if (!e && taints)
		e = change(t, "nodes", NULL, node, "spec", "taints", taints);
	if (!e && ready && !is_ready(node))
		e = pods_mark(l, t, text(okube_meta(node, "name")));
	return e;
}

static int lifecycle_sync(struct octl *c, struct octl_task *t, struct orlop_bytes none, struct orlop_bytes name)
{
	struct lifecycle *l = (struct lifecycle *)(void *)c;
	struct ojson *node = NULL;
	struct seen *s;
	int e = okube_find(c->h, l->nodes, none, name, &node);

	if (e)
		return e == -ENOENT ? 0 : e;
	s = seen_of(l, name);
	if (s && !s->told) {
		s->told = true;
		tell(l, node, "RegisteredNode", "Registered Node %s in Controller");
	}
	e = s ? node_look(l, t, node, s) : -ENOMEM;
	ojson_unref(node);
	return e;
}

/* ---- parameters and life ---------------------------------------------------------------------------------- */

static const struct number {
	const char	*name;
	int64_t		least;
	int64_t		most;
} numbers[] = {
	{ "node_monitor_grace_s", 1, 86400 },
	{ "node_startup_grace_s", 1, 86400 },
	{ "eviction_interval_ms", 0, 86400000 },
	{ "slow_eviction_interval_ms", 0, 86400000 },
	{ "large_zone", 0, 1000000 },
	{ "unhealthy_percent", 1, 100 },
};

static int lifecycle_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	int64_t v = strtoll(value, NULL, 10);
	size_t i;

	(void)ctx;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(name, numbers[i].name) && (v < numbers[i].least || v > numbers[i].most))
			return orlop_fail(err, EINVAL, 0, "", "%s must be from %lld to %lld, not %s", name,
					  (long long)numbers[i].least, (long long)numbers[i].most, value);
	return 0;
}

static void set(struct lifecycle *l, const char *name, int64_t v)
{
	uint64_t n = v > 0 ? (uint64_t)v : 0;

	if (!strcmp(name, "node_monitor_grace_s"))
		l->grace_ns = n * (uint64_t)OTIME_SECOND;
	else if (!strcmp(name, "node_startup_grace_s"))
		l->startup_grace_ns = n * (uint64_t)OTIME_SECOND;
	else if (!strcmp(name, "eviction_interval_ms"))
		l->zone.interval_ns = n * (uint64_t)OTIME_MS;
	else if (!strcmp(name, "slow_eviction_interval_ms"))
		l->zone.slow_interval_ns = n * (uint64_t)OTIME_MS;
	else if (!strcmp(name, "large_zone"))
		l->zone.large = (uint32_t)n;
	else if (!strcmp(name, "unhealthy_percent"))
		l->zone.unhealthy_percent = (uint32_t)n;
}

static void lifecycle_apply(void *ctx, const char *name, const char *value)
{
	struct lifecycle *l = ctx;

	set(l, name, strtoll(value, NULL, 10));
	l->zone.next_ns = 0;
	zone_look(l);
	all_look(l);
}

/* Asked whenever something has been listed. */
static bool synced(struct octl *c)
{
	nodes_compare((struct lifecycle *)(void *)c);
	return true;
}

static void lifecycle_fini(void *ctx)
{
	struct lifecycle *l = ctx;

	octl_done(&l->c);
	omap_done_with(&l->seen, omem_free);
	omem_free(l);
}

static int lifecycle_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct lifecycle *l = OMEM_NEW(struct lifecycle);
	size_t i;
	int e = 0;

	if (!l)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	omap_init(&l->seen);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !e; i++) {
		e = lifecycle_validate(l, numbers[i].name, h->param(h, numbers[i].name), err);
		set(l, numbers[i].name, h->param_int(h, numbers[i].name));
	}
	if (!e)
		e = octl_init(&l->c, h, "node-lifecycle", "node-controller", lifecycle_sync, 16, err);
	l->c.synced = synced;
	if (!e)
		e = octl_follow(&l->c, "nodes", node_changed, &l->nodes, err);
	if (!e)
		e = octl_follow(&l->c, "leases.coordination.k8s.io", lease_changed, &l->leases, err);
	if (!e)
		e = octl_follow(&l->c, "pods", pod_changed, &l->pods, err);
	if (e) {
		lifecycle_fini(l);
		return e;
	}
	*ret_ctx = l;
	return 0;
}

static const struct orlop_param params[] = {
	{ .name = "node_monitor_grace_s", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "50",
	  .help = "a node that has been silent for so long (s) becomes Unknown" },
	{ .name = "node_startup_grace_s", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "60",
	  .help = "the same for one that has never spoken (s)" },
	{ .name = "eviction_interval_ms", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "10000",
	  .help = "at most one node in this time (ms) begins to lose its pods" },
	{ .name = "slow_eviction_interval_ms", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "100000",
	  .help = "the same while many nodes are silent (ms), in a large cluster; in a small one none does" },
	{ .name = "large_zone", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "50",
	  .help = "clusters of more nodes than this are large" },
	{ .name = "unhealthy_percent", .type = ORLOP_PARAM_INT, .flags = ORLOP_PARAM_LIVE, .def = "55",
	  .help = "so many of a hundred nodes silent (and at least 3) are many" },
};

ORLOP_MODULE("node-lifecycle", "controllers", "0.1",
	"needs=api\0reads=nodes,leases.coordination.k8s.io,pods\0"
	"asks=nodes;patch,nodes/status;patch,pods/status;patch,events;create;patch\0"
	"user=system:serviceaccount:kube-system:node-controller",
	.license = "Apache-2.0",
	.summary = "tells and taints nodes that fall silent, marks their pods",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &octl_ops,
	.init = lifecycle_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = lifecycle_fini,
	.param_validate = lifecycle_validate,
	.param_apply = lifecycle_apply,
	.health = octl_health);
