/*
 * endpoints.c - keeps the Endpoints of every Service with a selector: the addresses of its pods.
 *
 * Those of other Services are somebody else's. Source: upstream's pkg/controller/endpoint, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "backends/obackends.h"
#include "base/omem.h"
#include "subsets.h"

#define MANAGED		"endpoints.kubernetes.io/managed-by"
#define CAPACITY	"endpoints.kubernetes.io/over-capacity"

struct endpoints {
	struct obackends b;
	struct orlop_resource *endpoints;
};

/* Those of a Service that is gone, if they were ours. */
static void leftover(struct octl_task *t, const struct ojson *have, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct okube_req req = { .verb = "delete", .resource = "endpoints", .ns = ns, .name = name };

	if (have && !okube_deleting(have) && ojson_has(OJSON_AT(have, "metadata", "labels"), MANAGED))
		octl_send(t, &req);
}

static bool same(const struct ojson *have, const struct ojson *subsets, const struct ojson *labels, bool cut)
{
	const struct ojson *was = ojson_get(have, "subsets");

	return (ojson_count(was) ? ojson_equal(was, subsets) : !ojson_count(subsets)) &&
	       ojson_equal(OJSON_AT(have, "metadata", "labels"), labels) &&
	       ojson_has(OJSON_AT(have, "metadata", "annotations"), CAPACITY) == cut;
}

static int write(struct octl_task *t, const struct ojson *svc, const struct ojson *have, struct ojson *subsets,
		 struct ojson *labels, bool cut, int64_t trigger)
{
	const char *ns = okube_meta(svc, "namespace"), *name = okube_meta(svc, "name");
	struct okube_req req = { .verb = have ? "update" : "create", .resource = "endpoints", .ns = { ns, strlen(ns) } };
	struct ojson *obj = NULL, *meta;
	int e = 0;

	if (have) {
		e = ojson_copy(have, &obj);
		req.name = (struct orlop_bytes){ name, strlen(name) };
	} else {
		obj = ojson_new_object();
	}
	meta = obj ? ojson_ensure_object(obj, "metadata") : NULL;
	if (!meta)
		e = -ENOMEM;
	if (!e)
		e = ojson_set_cstr(obj, "kind", "Endpoints");
	if (!e)
		e = ojson_set_cstr(obj, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(meta, "name", name);
	if (!e)
		e = ojson_set_cstr(meta, "namespace", ns);
	if (!e)
		e = ojson_set(meta, "labels", ojson_ref(labels));
	if (!e)
		e = ojson_set(obj, "subsets", ojson_ref(subsets));
	if (!e)
		e = obackends_trigger_set(obj, trigger);
	if (!e && cut)
		e = ojson_set_cstr(ojson_ensure_object(meta, "annotations"), CAPACITY, "truncated");
	if (!e) {
		if (!cut)
			ojson_del(ojson_get(meta, "annotations"), CAPACITY);
		ojson_del(meta, "managedFields");
		req.body = obj;
		octl_send(t, &req);
	}
	ojson_unref(obj);
	return e;
}

static int endpoints_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct endpoints *p = (struct endpoints *)(void *)c;
	struct ojson *svc = NULL, *have = NULL, *pods = NULL, *subsets = NULL, *labels = NULL;
	bool cut = false;
	int e = okube_find(c->h, p->endpoints, ns, name, &have);

	if (e == -ENOENT)
		e = 0;
	if (!e)
		e = okube_find(c->h, p->b.services, ns, name, &svc);
	if (e == -ENOENT) {
		leftover(t, have, ns, name);
		e = 0;
	} else if (!e && obackends_is_ours(svc) && !okube_deleting(svc)) {
		pods = obackends_pods(&p->b, svc);
		subsets = pods ? subsets_make(svc, pods, &cut) : NULL;
		labels = obackends_labels(svc);
		e = subsets && labels ? ojson_set_cstr(labels, MANAGED, "endpoint-controller") : -ENOMEM;
		if (!e && (!have || !same(have, subsets, labels, cut)))
			e = write(t, svc, have, subsets, labels, cut,
				  obackends_trigger(svc, pods, obackends_trigger_of(have)));
	}
	ojson_unref(labels);
	ojson_unref(subsets);
	ojson_unref(pods);
	ojson_unref(have);
	ojson_unref(svc);
	return e;
}

static void endpoints_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	octl_add(arg, o->ns, o->name);
}

static int endpoints_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct endpoints *p = OMEM_NEW(struct endpoints);
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&p->b.c, h, "endpoints", "endpoint-controller", endpoints_sync, 16, err);
	if (!e)
		e = obackends_follow(&p->b, err);
	if (!e)
		e = octl_follow(&p->b.c, "endpoints", endpoints_changed, &p->endpoints, err);
	if (e) {
		octl_fini(p);
		return e;
	}
	*ret_ctx = p;
	return 0;
}

ORLOP_MODULE("endpoints", "controllers", "0.1",
	"needs=api\0reads=services,pods,endpoints\0"
	"asks=endpoints;create;update;delete\0"
	"user=system:serviceaccount:kube-system:endpoint-controller",
	.license = "Apache-2.0",
	.summary = "the addresses behind each Service, as Endpoints",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = endpoints_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);
