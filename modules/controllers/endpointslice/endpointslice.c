/*
 * endpointslice.c - keeps the EndpointSlices of every Service with a selector, at most 100 endpoints each.
 *
 * What the slices should hold is made here, what changes for it in plan.c. Slices that other managers made are not
 * looked at. Source: upstream's pkg/controller/endpointslice, behaviour only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "backends/obackends.h"
#include "base/omem.h"
#include "plan.h"
#include "walk/owalk.h"

#define SLICES		"endpointslices.discovery.k8s.io"
#define MANAGER		"endpointslice-controller.k8s.io"
#define SERVICE		"kubernetes.io/service-name"
#define MANAGED		"endpointslice.kubernetes.io/managed-by"

struct endpointslice {
	struct obackends b;
	struct orlop_resource *nodes;
	struct orlop_resource *slices;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* ---- what should be ------------------------------------------------------------------------------------- */

static struct ojson *endpoint_of(const struct ojson *svc, const struct ojson *pod, const char *ip, const char *zone)
{
	const char *node = ojson_get_cstr(ojson_get(pod, "spec"), "nodeName", "");
	bool all = ojson_get_bool(ojson_get(svc, "spec"), "publishNotReadyAddresses", false);
	bool serving = okube_pod_ready(pod, NULL), terminating = okube_deleting(pod);
	struct ojson *ep = ojson_new_object(), *cond = NULL;
	int e = ojson_append_cstr(ojson_ensure_array(ep, "addresses"), ip);

	if (!e) {
		cond = ojson_ensure_object(ep, "conditions");
		e = ojson_set_bool(cond, "ready", all || (serving && !terminating));
	}
	if (!e)
		e = ojson_set_bool(cond, "serving", serving);
	if (!e)
		e = ojson_set_bool(cond, "terminating", terminating);
	if (!e && obackends_has_hostname(svc, pod))
		e = ojson_set_cstr(ep, "hostname", ojson_get_cstr(ojson_get(pod, "spec"), "hostname", ""));
	if (!e)
		e = ojson_set(ep, "targetRef", obackends_target(pod));
	if (!e && *node)
		e = ojson_set_cstr(ep, "nodeName", node);
	if (!e && *zone)
		e = ojson_set_cstr(ep, "zone", zone);
	if (e) {
		ojson_unref(ep);
		return NULL;
	}
	return ep;
}

/* The group with these ports, made if there is none. */
static struct ojson *group_for(struct ojson *groups, struct ojson *ports)
{
	struct ojson *g;

	OJSON_FOREACH_ELEM(i, have, groups) {
		if (ojson_equal(ojson_get(have, "ports"), ports))
			return have;
	}
	g = ojson_new_object();
	if (!g || ojson_set(g, "ports", ojson_ref(ports)) || ojson_append(groups, ojson_ref(g))) {
		ojson_unref(g);
		return NULL;
	}
	ojson_unref(g);
	return g;
}

/* An endpoint whose node nobody knows waits for it, unless everything is published. */
static int pod_place(struct endpointslice *p, const struct ojson *svc, const struct ojson *pod, const char *ip,
		     struct ojson *groups)
{
	const char *name = ojson_get_cstr(ojson_get(pod, "spec"), "nodeName", "");
	bool all = ojson_get_bool(ojson_get(svc, "spec"), "publishNotReadyAddresses", false);
	struct ojson *node = NULL, *ports, *g = NULL, *ep = NULL;
	int e = *name ? okube_find(p->b.c.h, p->nodes, text(""), text(name), &node) : -ENOENT;

	if (e == -ENOENT && *name && !all)
		return 0;
	if (e && e != -ENOENT)
		return e;
	ports = obackends_ports(svc, pod, true);
	if (ports)
		g = group_for(groups, ports);
	if (g)
		ep = endpoint_of(svc, pod, ip, ojson_get_cstr(OJSON_AT(node, "metadata", "labels"),
							      "topology.kubernetes.io/zone", ""));
	e = ep ? ojson_append(ojson_ensure_array(g, "endpoints"), ep) : -ENOMEM;
	ojson_unref(ports);
	ojson_unref(node);
	return e;
}

static struct ojson *groups_make(struct endpointslice *p, const struct ojson *svc, const struct ojson *pods, bool v6)
{
	struct ojson *groups = ojson_new_array();
	int e = groups ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, pod, pods) {
		const char *ip = obackends_ip(pod, v6);

		if (!e && ip && obackends_pod_counts(pod, true))
			e = pod_place(p, svc, pod, ip, groups);
	}
	if (e) {
		ojson_unref(groups);
		return NULL;
	}
	return groups;
}

static struct ojson *labels_make(const struct ojson *svc)
{
	struct ojson *l = obackends_labels(svc);
	int e = l ? ojson_set_cstr(l, SERVICE, okube_meta(svc, "name")) : -ENOMEM;

	if (!e)
		e = ojson_set_cstr(l, MANAGED, MANAGER);
	if (e) {
		ojson_unref(l);
		return NULL;
	}
	return l;
}

/* ---- what is -------------------------------------------------------------------------------------------- */

/* Our slices of a Service; NULL without memory. */
static struct ojson *slices_of(struct endpointslice *p, const struct ojson *svc)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = text(okube_meta(svc, "namespace")),
				 .has_index = 1, .index = ORLOP_INDEX_LABELS, .index_key = text(SERVICE),
				 .index_value = text(okube_meta(svc, "name")) };
	struct ojson *out = ojson_new_array();
	struct orlop_object *o;
	struct owalk w;
	int e = out ? owalk_open(&w, p->b.c.h, p->slices, &q) : -ENOMEM;

	if (!e) {
		while (!e && (o = owalk_next(&w))) {
			struct ojson *slice = okube_parse(o);

			if (!slice)
				e = -ENOMEM;
			else if (!okube_deleting(slice) &&
				 !strcmp(ojson_get_cstr(OJSON_AT(slice, "metadata", "labels"), MANAGED, ""), MANAGER))
				e = ojson_append(out, ojson_ref(slice));
			ojson_unref(slice);
		}
		owalk_close(&w);
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

/* Those of one family, or (@type NULL) those that are of none of @types. */
static struct ojson *slices_typed(const struct ojson *slices, const char *type, bool v4, bool v6)
{
	struct ojson *out = ojson_new_array();
	int e = out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, s, slices) {
		const char *is = ojson_get_cstr(s, "addressType", "");
		bool known = (v4 && !strcmp(is, "IPv4")) || (v6 && !strcmp(is, "IPv6"));

		if (!e && (type ? !strcmp(is, type) : !known))
			e = ojson_append(out, ojson_ref(s));
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static int slice_remove(struct octl_task *t, const struct ojson *slice)
{
	struct okube_req req = { .verb = "delete", .resource = SLICES, .ns = text(okube_meta(slice, "namespace")),
				 .name = text(okube_meta(slice, "name")) };

	octl_send(t, &req);
	return 0;
}

static int slice_base(const struct ojson *svc, const struct plan_slice *s, const char *type, struct ojson **ret)
{
	struct ojson *meta;
	char name[300];
	int e;

	if (s->have)
		return ojson_copy(s->have, ret);
	*ret = ojson_new_object();
	meta = *ret ? ojson_ensure_object(*ret, "metadata") : NULL;
	if (!meta)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "%.250s-", okube_meta(svc, "name"));
	e = ojson_set_cstr(meta, "generateName", name);
	if (!e)
		e = ojson_set_cstr(meta, "namespace", okube_meta(svc, "namespace"));
	if (!e)
		e = okube_owner_add(*ret, "v1", "Service", svc);
	return e ? e : ojson_set_cstr(*ret, "addressType", type);
}

static int slice_write(struct octl_task *t, const struct ojson *svc, const struct plan_slice *s, const char *type,
		       struct ojson *labels, int64_t trigger)
{
	struct okube_req req = { .verb = s->have ? "update" : "create", .resource = SLICES,
				 .ns = text(okube_meta(svc, "namespace")) };
	struct ojson *obj = NULL;
	int e = slice_base(svc, s, type, &obj);

	if (!e)
		e = ojson_set_cstr(obj, "kind", "EndpointSlice");
	if (!e)
		e = ojson_set_cstr(obj, "apiVersion", "discovery.k8s.io/v1");
	if (!e)
		e = ojson_set(ojson_get(obj, "metadata"), "labels", ojson_ref(labels));
	if (!e)
		e = ojson_set(obj, "endpoints", ojson_ref(s->endpoints));
	if (!e)
		e = ojson_set(obj, "ports", ojson_ref(s->ports));
	if (!e && trigger)
		e = obackends_trigger_set(obj, trigger);
	if (!e) {
		ojson_del(ojson_get(obj, "metadata"), "managedFields");
		if (s->have)
			req.name = text(okube_meta(s->have, "name"));
		req.body = obj;
		octl_send(t, &req);
	}
	ojson_unref(obj);
	return e;
}

static int family_sync(struct endpointslice *p, struct octl_task *t, const struct ojson *svc, const struct ojson *pods,
		       const struct ojson *slices, bool v6)
{
	const char *type = v6 ? "IPv6" : "IPv4";
	struct ojson *have = slices_typed(slices, type, false, false);
	struct ojson *want = groups_make(p, svc, pods, v6);
	struct ojson *labels = labels_make(svc);
	struct plan *plan = OMEM_NEW(struct plan);
	int64_t last = 0, trigger;
	int e = have && want && labels && plan ? plan_make(plan, have, want) : -ENOMEM;

	OJSON_FOREACH_ELEM(i, s, have) {
		int64_t at = obackends_trigger_of(s);

		last = at > last ? at : last;
	}
	trigger = obackends_trigger(svc, pods, last);
	for (size_t i = 0; !e && i < plan->n; i++) {
		struct plan_slice *s = &plan->slice[i];

		if (s->gone)
			e = s->have ? slice_remove(t, s->have) : 0;
		else if (s->changed || !s->have || !ojson_equal(OJSON_AT(s->have, "metadata", "labels"), labels))
			e = slice_write(t, svc, s, type, labels, trigger);
	}
	if (plan)
		plan_done(plan);
	omem_free(plan);
	ojson_unref(labels);
	ojson_unref(want);
	ojson_unref(have);
	return e;
}

static void families(const struct ojson *svc, bool *v4, bool *v6)
{
	const char *ip = ojson_get_cstr(ojson_get(svc, "spec"), "clusterIP", "");

	*v4 = *v6 = false;
	OJSON_FOREACH_ELEM(i, f, OJSON_AT(svc, "spec", "ipFamilies")) {
		*v4 |= ojson_string_is(f, "IPv4");
		*v6 |= ojson_string_is(f, "IPv6");
	}
	if (!*v4 && !*v6)
		*(strchr(ip, ':') ? v6 : v4) = true;
}

static int service_sync(struct endpointslice *p, struct octl_task *t, const struct ojson *svc)
{
	struct ojson *pods = obackends_pods(&p->b, svc);
	struct ojson *slices = slices_of(p, svc);
	struct ojson *others = NULL;
	bool v4, v6;
	int e = pods && slices ? 0 : -ENOMEM;

	families(svc, &v4, &v6);
	if (!e && v4)
		e = family_sync(p, t, svc, pods, slices, false);
	if (!e && v6)
		e = family_sync(p, t, svc, pods, slices, true);
	if (!e) {
		others = slices_typed(slices, NULL, v4, v6);
		e = others ? 0 : -ENOMEM;
	}
	OJSON_FOREACH_ELEM(i, s, others) {
		if (!e)
			e = slice_remove(t, s);
	}
	ojson_unref(others);
	ojson_unref(slices);
	ojson_unref(pods);
	return e;
}

/* A Service that is gone takes its slices along by its being their owner. */
static int endpointslice_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct endpointslice *p = (struct endpointslice *)(void *)c;
	struct ojson *svc = NULL;
	int e = okube_find(c->h, p->b.services, ns, name, &svc);

	if (e)
		return e == -ENOENT ? 0 : e;
	if (obackends_is_ours(svc) && !okube_deleting(svc))
		e = service_sync(p, t, svc);
	ojson_unref(svc);
	return e;
}

static void slice_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	for (uint32_t i = 0; i < o->n_index; i++)
		if (o->index[i].index == ORLOP_INDEX_LABELS && o->index[i].key.len == strlen(SERVICE) &&
		    !memcmp(o->index[i].key.p, SERVICE, strlen(SERVICE)))
			octl_add(arg, o->ns, o->index[i].value);
}

static struct orlop_bytes zone_of(const struct orlop_object *o)
{
	static const char key[] = "topology.kubernetes.io/zone";

	for (uint32_t i = 0; o && i < o->n_index; i++)
		if (o->index[i].index == ORLOP_INDEX_LABELS && o->index[i].key.len == strlen(key) &&
		    !memcmp(o->index[i].key.p, key, strlen(key)))
			return o->index[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

/* Nodes come, go and move between zones seldom: then every Service is looked at. */
static void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct endpointslice *p = arg;
	struct orlop_bytes is = zone_of(o), was = zone_of(prev);

	if (type == ORLOP_CHANGE_DELETED || (prev && is.len == was.len && (!is.len || !memcmp(is.p, was.p, is.len))))
		return;
	okube_informer_relist(p->b.c.followed[0]);
}

static int endpointslice_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct endpointslice *p = OMEM_NEW(struct endpointslice);
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&p->b.c, h, "endpointslice", "endpoint-slice-controller", endpointslice_sync, 16, err);
	if (!e)
		e = obackends_follow(&p->b, err);
	if (!e)
		e = octl_follow(&p->b.c, "nodes", node_changed, &p->nodes, err);
	if (!e)
		e = octl_follow(&p->b.c, SLICES, slice_changed, &p->slices, err);
	if (e) {
		octl_fini(p);
		return e;
	}
	*ret_ctx = p;
	return 0;
}

ORLOP_MODULE("endpointslice", "controllers", "0.1",
	"needs=api\0reads=services,pods,nodes,endpointslices.discovery.k8s.io\0"
	"asks=endpointslices.discovery.k8s.io;create;update;delete\0"
	"user=system:serviceaccount:kube-system:endpointslice-controller",
	.license = "Apache-2.0",
	.summary = "the endpoints behind each Service, in slices",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = endpointslice_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);
