/*
 * resourcequota.c - says of each ResourceQuota what its namespace uses of it.
 *
 * The API charges what is made, in the same transaction; here all of it is counted anew: when a quota's limits change,
 * and when something that it counts is gone, ended or asks for something else. A count is written only onto the quota
 * that it was made for (resourceVersion), so what is charged meanwhile makes it void and it is made again.
 * Source: upstream's pkg/controller/resourcequota, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/olist.h"
#include "base/omem.h"
#include "ctl/octl.h"
#include "quota/oquota.h"
#include "walk/owalk.h"

#define QUOTAS		"resourcequotas"
#define COUNTED_MAX	128u
#define GATHER_NS	(UINT64_C(100) * 1000000)	/* many that go at once are one count */
#define LOOK_AGAIN_NS	(UINT64_C(50) * 1000000)
#define PATIENCE	100u	/* looks at a resource that is not there yet; then it has none */

struct quota {
	struct octl	c;
	struct orlop_resource *quotas;
	struct olist	counted;
	uint32_t	n_counted;
};

/* A resource that some quota counts. */
struct counted {
	struct olist	link;
	struct quota	*q;
	char		*name;
	struct okube_informer *in;
	struct orlop_resource *res;
	uint32_t	looks;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* ---- what is counted ------------------------------------------------------------------------------------------- */

/* Does this quota count objects of @resource? */
static bool is_concerned(const struct ojson *quota, const char *resource)
{
	OJSON_FOREACH(it, OJSON_AT(quota, "spec", "hard"))
		if (oquota_counts(resource, (struct orlop_bytes){ it.key, it.key_len }))
			return true;
	return false;
}

/* All quotas of a namespace that count @resource. */
static void quotas_queue(struct quota *q, struct orlop_bytes ns, const char *resource)
{
	struct orlop_query query = { .size = sizeof(query), .has_ns = 1, .ns = ns };
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, q->c.h, q->quotas, &query)) {
		octl_missed(&q->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		struct ojson *quota = okube_parse(o);

		if (!quota)
			octl_missed(&q->c);
		else if (is_concerned(quota, resource))
			octl_add_after(&q->c, o->ns, o->name, GATHER_NS);
		ojson_unref(quota);
	}
	owalk_close(&w);
}

/* Most namespaces have no quota: then it does not matter what a change costs. */
static bool has_quotas(struct quota *q, struct orlop_bytes ns)
{
	struct orlop_query query = { .size = sizeof(query), .has_ns = 1, .ns = ns };
	struct owalk w;
	bool has;

	if (owalk_open(&w, q->c.h, q->quotas, &query))
		return true;
	has = owalk_next(&w) != NULL;
	owalk_close(&w);
	return has;
}

/* Does the change set something free? What is made is charged by the API. */
static bool costs_less(struct quota *q, const struct counted *k, struct orlop_object *o, struct orlop_object *prev)
{
	int64_t now = (int64_t)q->c.h->now_wall(q->c.h);
	struct ojson *is, *was, *a = NULL, *b = NULL;
	bool differ;

	if (strcmp(k->name, "pods") && strcmp(k->name, "services") && strcmp(k->name, "persistentvolumeclaims"))
		return false;
	if (!prev)
		return false;
	is = okube_parse(o);
	was = okube_parse(prev);
	if (!is || !was || oquota_usage(k->name, is, now, &a) || oquota_usage(k->name, was, now, &b))
		octl_missed(&q->c);
	differ = !a || !b || !oquota_equal(a, b);
	ojson_unref(is);
	ojson_unref(was);
	ojson_unref(a);
	ojson_unref(b);
	return differ;
}

static void object_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct counted *k = arg;

	if (has_quotas(k->q, o->ns) && (type == ORLOP_CHANGE_DELETED || costs_less(k->q, k, o, prev)))
		quotas_queue(k->q, o->ns, k->name);
}

/* A pass over a whole resource: the first one, or something may have vanished unseen. */
static void object_resync(void *arg)
{
	struct counted *k = arg;

	octl_missed(&k->q->c);
}

static struct counted *counted_of(struct quota *q, const char *name)
{
	struct counted *k;

	OLIST_FOREACH(pos, &q->counted) {
		k = OLIST_ENTRY(pos, struct counted, link);
		if (!strcmp(k->name, name))
			return k;
	}
	k = q->n_counted < COUNTED_MAX ? OMEM_NEW(struct counted) : NULL;
	if (!k)
		return NULL;
	k->q = q;
	k->name = omem_strdup(name);
	if (!k->name || okube_informer_new(q->c.h, name, object_changed, object_resync, k, &k->in, NULL)) {
		omem_free(k->name);
		omem_free(k);
		return NULL;
	}
	k->res = okube_informer_resource(k->in);
	olist_append(&q->counted, &k->link);
	q->n_counted++;
	return k;
}

/* ---- counting ----------------------------------------------------------------------------------------------------- */

/* What of @spec the objects of one resource use, added to @used. -EAGAIN: the cache is not as far as @rev yet. */
static int count(struct quota *q, const struct ojson *spec, struct counted *k, struct orlop_bytes ns, uint64_t rev,
		 struct ojson *used)
{
	const struct orlop_host *h = q->c.h;
	struct orlop_query query = { .size = sizeof(query), .has_ns = 1, .ns = ns };
	int64_t now = (int64_t)h->now_wall(h);
	struct orlop_object *o;
	struct owalk w;
	int32_t synced = 0;
	int e = 0;

	if ((h->resource_rev(k->res, &synced) < rev || !synced) && k->looks++ < PATIENCE)
		return -EAGAIN;
	if (synced)
		k->looks = 0;
	e = owalk_open(&w, h, k->res, &query);
	if (e)
		return e;
	while (!e && (o = owalk_next(&w))) {
		struct ojson *obj = okube_parse(o), *sum = NULL, *part = NULL;

		if (!obj)
			e = -ENOMEM;
		if (!e && oquota_in_scope(spec, k->name, obj)) {
			e = oquota_usage(k->name, obj, now, &sum);
			part = e ? NULL : oquota_mask(sum, used);
			if (!e)
				e = part ? oquota_add(used, part) : -ENOMEM;
		}
		ojson_unref(obj);
		ojson_unref(sum);
		ojson_unref(part);
	}
	owalk_close(&w);
	return e;
}

/* Of every limit that something can count for: 0, then what there is. */
static int used_make(struct quota *q, const struct ojson *quota, struct orlop_bytes ns, uint64_t rev, struct ojson **ret)
{
	const struct ojson *spec = ojson_get(quota, "spec");
	struct ojson *used = ojson_new_object(), *done = ojson_new_object();
	char resource[300];
	int e = used && done ? 0 : -ENOMEM;

	OJSON_FOREACH(it, ojson_get(spec, "hard"))
		if (!e && oquota_resource((struct orlop_bytes){ it.key, it.key_len }, resource, sizeof(resource)))
			e = ojson_set_cstr(used, it.key, "0");
	OJSON_FOREACH(it, ojson_get(spec, "hard")) {
		struct counted *k;

		if (e || !oquota_resource((struct orlop_bytes){ it.key, it.key_len }, resource, sizeof(resource)) ||
		    ojson_has(done, resource))
			continue;
		k = counted_of(q, resource);
		e = k ? ojson_set_bool(done, resource, true) : -ENOMEM;
		if (!e)
			e = count(q, spec, k, ns, rev, used);
	}
	ojson_unref(done);
	if (e)
		ojson_unref(used);
	else
		*ret = used;
	return e;
}

static int status_write(struct octl_task *t, struct ojson *quota, struct ojson *used)
{
	struct okube_req req = { .verb = "update", .resource = QUOTAS, .sub = "status",
				 .ns = text(okube_meta(quota, "namespace")), .name = text(okube_meta(quota, "name")) };
	struct ojson *hard = OJSON_AT(quota, "spec", "hard"), *st;
	bool same = OJSON_AT(quota, "status", "used") && oquota_equal(OJSON_AT(quota, "status", "used"), used) &&
		    oquota_equal(OJSON_AT(quota, "status", "hard"), hard);
	int e;

	if (same)
		return 0;
	st = ojson_ensure_object(quota, "status");
	e = st ? 0 : -ENOMEM;
	if (!e && hard)
		e = ojson_set(st, "hard", ojson_ref(hard));
	if (!e)
		e = ojson_set(st, "used", ojson_ref(used));
	ojson_del(ojson_get(quota, "metadata"), "managedFields");
	if (!e)
		e = ojson_set_cstr(quota, "kind", "ResourceQuota");
	if (!e)
		e = ojson_set_cstr(quota, "apiVersion", "v1");
	req.body = quota;
	if (!e)
		octl_send(t, &req);
	return e;
}

static int quota_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct quota *q = (struct quota *)(void *)c;
	struct ojson *quota = NULL, *used = NULL;
	int e = okube_find(c->h, q->quotas, ns, name, &quota);

	if (e)
		return e == -ENOENT ? 0 : e;
	if (!okube_deleting(quota))
		e = used_make(q, quota, ns, strtoull(okube_meta(quota, "resourceVersion"), NULL, 10), &used);
	if (!e && used)
		e = status_write(t, quota, used);
	if (e == -EAGAIN) {
		octl_again(t, LOOK_AGAIN_NS);
		e = 0;
	}
	ojson_unref(used);
	ojson_unref(quota);
	return e;
}

/* ---- who must look ------------------------------------------------------------------------------------------------ */

/* A new quota, or other limits; what the API charges is none of our business. */
static void quota_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct quota *q = arg;
	struct ojson *is, *was;

	if (type == ORLOP_CHANGE_DELETED)
		return;
	is = prev ? okube_parse(o) : NULL;
	was = prev ? okube_parse(prev) : NULL;
	if (!is || !was || !ojson_equal(ojson_get(is, "spec"), ojson_get(was, "spec")) ||
	    !oquota_equal(OJSON_AT(is, "spec", "hard"), OJSON_AT(is, "status", "hard")))
		octl_add(&q->c, o->ns, o->name);
	ojson_unref(is);
	ojson_unref(was);
}

static void quota_fini(void *ctx)
{
	struct quota *q = ctx;
	struct olist *l;

	while ((l = olist_first(&q->counted)) != NULL) {
		struct counted *k = OLIST_ENTRY(l, struct counted, link);

		olist_del(&k->link);
		okube_informer_free(k->in);
		omem_free(k->name);
		omem_free(k);
	}
	octl_done(&q->c);
	omem_free(q);
}

static int quota_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct quota *q = OMEM_NEW(struct quota);
	int e;

	if (!q)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	olist_init(&q->counted);
	e = octl_init(&q->c, h, "resourcequota", "resourcequota-controller", quota_sync, 4, err);
	if (!e)
		e = octl_follow(&q->c, QUOTAS, quota_changed, &q->quotas, err);
	if (e) {
		quota_fini(q);
		return e;
	}
	*ret_ctx = q;
	return 0;
}

ORLOP_MODULE("resourcequota", "controllers", "0.1",
	"needs=api\0reads=*;metadata,resourcequotas,pods,services,persistentvolumeclaims\0"
	"asks=resourcequotas/status;update\0"
	"user=system:serviceaccount:kube-system:resourcequota-controller",
	.license = "Apache-2.0",
	.summary = "what each namespace uses of its ResourceQuotas",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = quota_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = quota_fini,
	.health = octl_health);
