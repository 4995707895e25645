/*
 * replicaset.c - keeps as many pods as each ReplicaSet asks for.
 *
 * Pods belong to a ReplicaSet by owner reference; one that matches the selector and has no
 * controller is adopted, one that stopped matching is released. Which pods go first is upstream's
 * ranking (okube_pod_rank). Source: upstream's pkg/controller/replicaset, behaviour only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"

#define BURST		500	/* most creates or deletes of one sync */

struct replicaset {
	struct octl	c;
	struct orlop_resource *sets;
	struct orlop_resource *pods;
};

/* A create under way: the task, and what an Event needs. */
struct create {
	struct octl_task *t;
	struct ojson	*rs;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static void created(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct create *cr = arg;
	struct octl *c = octl_of(cr->t);

	if (status >= 0 && code < 300)
		okube_event(c->events, "apps/v1", "ReplicaSet", cr->rs, NULL, "Normal", "SuccessfulCreate",
			    "Created pod: %s", okube_meta(body, "name"));
	else if (status >= 0)
		okube_event(c->events, "apps/v1", "ReplicaSet", cr->rs, NULL, "Warning", "FailedCreate",
			    "Error creating: %s", ojson_get_cstr(body, "message", "unknown"));
	(void)rev;
	octl_release(cr->t, status < 0 || code >= 300);
	ojson_unref(cr->rs);
	omem_free(cr);
}

static struct ojson *pod_of(const struct ojson *rs)
{
	const struct ojson *tmpl = OJSON_AT(rs, "spec", "template");
	static const char *const kept[] = { "labels", "annotations", "finalizers" };
	struct ojson *pod = ojson_new_object();
	struct ojson *meta;
	struct ojson *spec = NULL;
	char name[300];
	size_t i;

	if (!pod)
		return NULL;
	(void)ojson_set_cstr(pod, "kind", "Pod");
	(void)ojson_set_cstr(pod, "apiVersion", "v1");
	meta = ojson_ensure_object(pod, "metadata");
	snprintf(name, sizeof(name), "%.250s-", okube_meta(rs, "name"));
	(void)ojson_set_cstr(meta, "generateName", name);
	(void)ojson_set_cstr(meta, "namespace", okube_meta(rs, "namespace"));
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		struct ojson *v = OJSON_AT(tmpl, "metadata", kept[i]);

		if (v)
			(void)ojson_set(meta, kept[i], ojson_ref(v));
	}
	(void)ojson_copy(ojson_get(tmpl, "spec"), &spec);
	(void)ojson_set(pod, "spec", spec);
	if (okube_owner_add(pod, "apps/v1", "ReplicaSet", rs)) {
		ojson_unref(pod);
		return NULL;
	}
	return pod;
}

static int pods_create(struct octl_task *t, const struct ojson *rs, int64_t n)
{
	struct octl *c = octl_of(t);
	struct ojson *pod = pod_of(rs);
	int e = pod ? 0 : -ENOMEM;

	for (; n > 0 && !e; n--) {
		struct create *cr = OMEM_NEW(struct create);

		if (!cr) {
			e = -ENOMEM;
			break;
		}
		cr->t = t;
		cr->rs = ojson_ref((struct ojson *)(uintptr_t)rs);
		octl_hold(t);
		e = okube_create(c->h, "pods", text(okube_meta(rs, "namespace")), pod, created, cr);
		if (e) {
			octl_release(t, true);
			ojson_unref(cr->rs);
			omem_free(cr);
		}
	}
	ojson_unref(pod);
	return e;
}

static int by_rank(const void *a, const void *b)
{
	return okube_pod_rank(*(const struct ojson *const *)a, *(const struct ojson *const *)b);
}

static int pods_delete(struct octl_task *t, const struct ojson *rs, struct ojson **pods, size_t n_pods,
		       int64_t n)
{
	struct octl *c = octl_of(t);
	size_t i;
	int e = 0;

	qsort(pods, n_pods, sizeof(*pods), by_rank);
	for (i = 0; i < n_pods && (int64_t)i < n && !e; i++) {
		const char *name = okube_meta(pods[i], "name");

		octl_hold(t);
		e = okube_delete(c->h, "pods", text(okube_meta(rs, "namespace")), text(name),
				 text(okube_meta(pods[i], "uid")), "Background", -1, octl_answer, t);
		if (e)
			octl_release(t, true);
		else
			okube_event(c->events, "apps/v1", "ReplicaSet", rs, NULL, "Normal",
				    "SuccessfulDelete", "Deleted pod: %s", name);
	}
	return e;
}

/* Pods without a controller that match become ours; the next sync counts them. */
static uint32_t orphans_adopt(struct replicaset *r, struct octl_task *t, const struct ojson *rs)
{
	const struct orlop_host *h = r->c.h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1,
				 .ns = text(okube_meta(rs, "namespace")) };
	const struct ojson *selector = OJSON_AT(rs, "spec", "selector");
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	uint32_t n = 0;

	if (h->snapshot_open(r->pods, &s))
		return 0;
	if (h->iter_open(s, &q, &it)) {
		h->snapshot_close(s);
		return 0;
	}
	while ((o = h->iter_next(it))) {
		struct ojson *pod;
		struct ojson *patch;

		if (!okube_object_matches(o, selector))
			continue;
		pod = okube_parse(o);
		if (okube_controller_of(pod)) {
			ojson_unref(pod);
			continue;
		}
		patch = ojson_new_object();
		if (pod && patch && okube_pod_active(pod) && !okube_owner_add(patch, "apps/v1", "ReplicaSet", rs)) {
			struct okube_req req = { .verb = "patch", .resource = "pods", .ns = o->ns,
						 .name = o->name, .body = patch,
						 .content_type = OKUBE_STRATEGIC_PATCH };

			(void)ojson_set_cstr(ojson_ensure_object(patch, "metadata"), "uid",
					     okube_meta(pod, "uid"));
			octl_send(t, &req);
			n++;
		}
		ojson_unref(patch);
		ojson_unref(pod);
	}
	h->iter_close(it);
	h->snapshot_close(s);
	return n;
}

/* No longer selected: our reference goes, the pod stays. */
static void pod_release(struct octl_task *t, const struct ojson *rs, const struct ojson *pod)
{
	struct ojson *patch = ojson_new_object();
	struct ojson *item = ojson_new_object();
	struct ojson *meta = patch ? ojson_ensure_object(patch, "metadata") : NULL;
	struct okube_req req = { .verb = "patch", .resource = "pods",
				 .ns = text(okube_meta(pod, "namespace")),
				 .name = text(okube_meta(pod, "name")), .body = patch,
				 .content_type = OKUBE_STRATEGIC_PATCH };

	if (meta && item) {
		(void)ojson_set_cstr(meta, "uid", okube_meta(pod, "uid"));
		(void)ojson_set_cstr(item, "$patch", "delete");
		(void)ojson_set_cstr(item, "uid", okube_meta(rs, "uid"));
		(void)ojson_append(ojson_ensure_array(meta, "ownerReferences"), item);
		octl_send(t, &req);
	} else {
		ojson_unref(item);
	}
	ojson_unref(patch);
}

struct counts {
	int64_t		replicas;
	int64_t		labeled;
	int64_t		ready;
	int64_t		available;
	int64_t		wait_ns;	/* until the next becomes available, 0: none */
};

static struct counts pods_count(struct octl *c, const struct ojson *rs, struct ojson *const *pods, size_t n)
{
	const struct ojson *labels = OJSON_AT(rs, "spec", "template", "metadata", "labels");
	int64_t min_ready = ojson_get_i64(ojson_get(rs, "spec"), "minReadySeconds", 0);
	int64_t now = (int64_t)c->h->now_wall(c->h);
	struct counts k = { .replicas = (int64_t)n };
	size_t i;

	for (i = 0; i < n; i++) {
		const struct ojson *have = OJSON_AT(pods[i], "metadata", "labels");
		bool all = true;
		int64_t wait;

		OJSON_FOREACH(it, labels) {
			const struct ojson *v = ojson_get_n(have, it.key, it.key_len);

			all &= v && ojson_equal(v, it.value);
		}
		k.labeled += all;
		if (!okube_pod_ready(pods[i], NULL))
			continue;
		k.ready++;
		k.available += okube_pod_available(pods[i], min_ready, now, &wait);
		if (wait && (!k.wait_ns || wait < k.wait_ns))
			k.wait_ns = wait;
	}
	return k;
}

static void status_update(struct octl_task *t, const struct ojson *rs, const struct counts *k)
{
	const struct ojson *old = ojson_get(rs, "status");
	int64_t generation = ojson_get_i64(ojson_get(rs, "metadata"), "generation", 0);
	struct ojson *obj = NULL;
	struct ojson *st;
	struct okube_req req = { .verb = "update", .resource = "replicasets.apps", .sub = "status" };

	if (ojson_get_i64(old, "replicas", -1) == k->replicas &&
	    ojson_get_i64(old, "fullyLabeledReplicas", 0) == k->labeled &&
	    ojson_get_i64(old, "readyReplicas", 0) == k->ready &&
	    ojson_get_i64(old, "availableReplicas", 0) == k->available &&
	    ojson_get_i64(old, "observedGeneration", 0) == generation)
		return;
	if (ojson_copy(rs, &obj))
		return;
	(void)ojson_set_cstr(obj, "kind", "ReplicaSet");
	(void)ojson_set_cstr(obj, "apiVersion", "apps/v1");
	st = ojson_ensure_object(obj, "status");
	(void)ojson_set_i64(st, "replicas", k->replicas);
	(void)ojson_set_i64(st, "fullyLabeledReplicas", k->labeled);
	(void)ojson_set_i64(st, "readyReplicas", k->ready);
	(void)ojson_set_i64(st, "availableReplicas", k->available);
	(void)ojson_set_i64(st, "observedGeneration", generation);
	req.ns = text(okube_meta(rs, "namespace"));
	req.name = text(okube_meta(rs, "name"));
	req.body = obj;
	octl_send(t, &req);
	ojson_unref(obj);
}

/* Ours, active and selected, into @out; others that are ours but not selected are released. */
static size_t pods_claim(struct octl_task *t, const struct ojson *rs, const struct ojson *owned,
			 struct ojson **out)
{
	const struct ojson *selector = OJSON_AT(rs, "spec", "selector");
	const char *uid = okube_meta(rs, "uid");
	size_t n = 0;

	OJSON_FOREACH_ELEM(i, pod, owned) {
		const struct ojson *owner = okube_controller_of(pod);

		if (!owner || strcmp(ojson_get_cstr(owner, "uid", ""), uid))
			continue;
		if (!okube_labels_match(selector, OJSON_AT(pod, "metadata", "labels"))) {
			if (!okube_deleting(pod) && !okube_deleting(rs))
				pod_release(t, rs, pod);
			continue;
		}
		if (okube_pod_active(pod))
			out[n++] = pod;
	}
	return n;
}

static int replicaset_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns,
			   struct orlop_bytes name)
{
	struct replicaset *r = (struct replicaset *)(void *)c;
	struct ojson *rs = okube_get(c->h, r->sets, ns, name);
	struct ojson *owned = NULL;
	struct ojson **pods = NULL;
	struct counts k;
	int64_t want;
	size_t n;
	int e = 0;

	if (!rs)
		return 0;
	if (!okube_deleting(rs) && orphans_adopt(r, t, rs)) {
		octl_again(t, 0);
		ojson_unref(rs);
		return 0;
	}
	owned = octl_owned(c, r->pods, ns, okube_meta(rs, "uid"));
	pods = omem_zalloc_array(ojson_count(owned) + 1, sizeof(*pods));
	if (!owned || !pods) {
		e = -ENOMEM;
		goto out;
	}
	n = pods_claim(t, rs, owned, pods);
	want = ojson_get_i64(ojson_get(rs, "spec"), "replicas", 1);
	k = pods_count(c, rs, pods, n);
	status_update(t, rs, &k);
	if (k.wait_ns)
		octl_again(t, (uint64_t)k.wait_ns);
	if (!okube_deleting(rs) && (int64_t)n < want) {
		int64_t missing = want - (int64_t)n;

		e = pods_create(t, rs, missing > BURST ? BURST : missing);
		octl_again(t, 0);
	} else if (!okube_deleting(rs) && (int64_t)n > want) {
		int64_t extra = (int64_t)n - want;

		e = pods_delete(t, rs, pods, n, extra > BURST ? BURST : extra);
		octl_again(t, 0);
	}
out:
	omem_free(pods);
	ojson_unref(owned);
	ojson_unref(rs);
	return e;
}

static void set_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	octl_add(arg, o->ns, o->name);
}

/* An orphan that some set might want: those of its namespace whose selector matches. */
static void orphan_offer(struct replicaset *r, const struct orlop_object *pod)
{
	const struct orlop_host *h = r->c.h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = pod->ns };
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;

	if (h->snapshot_open(r->sets, &s))
		return;
	if (!h->iter_open(s, &q, &it)) {
		while ((o = h->iter_next(it))) {
			struct ojson *rs = okube_parse(o);

			if (rs && okube_object_matches(pod, OJSON_AT(rs, "spec", "selector")))
				octl_add(&r->c, o->ns, o->name);
			ojson_unref(rs);
		}
		h->iter_close(it);
	}
	h->snapshot_close(s);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct octl *c = arg;

	octl_add_controller_of(c, o, "ReplicaSet");
	if (prev)
		octl_add_controller_of(c, prev, "ReplicaSet");
	if (type != ORLOP_CHANGE_DELETED && !okube_index(o, ORLOP_INDEX_OWNER).p)
		orphan_offer(arg, o);
}

static void replicaset_fini(void *ctx)
{
	octl_done(ctx);
	omem_free(ctx);
}

static int replicaset_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct replicaset *r = OMEM_NEW(struct replicaset);
	int e;

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&r->c, h, "replicaset", NULL, replicaset_sync, 16, err);
	if (!e)
		e = octl_follow(&r->c, "replicasets.apps", set_changed, &r->sets, err);
	if (!e)
		e = octl_follow(&r->c, "pods", pod_changed, &r->pods, err);
	if (e) {
		replicaset_fini(r);
		return e;
	}
	*ret_ctx = r;
	return 0;
}

ORLOP_MODULE("replicaset", "controllers", "0.1",
	"needs=api\0reads=replicasets.apps,pods\0user=system:serviceaccount:kube-system:replicaset-controller",
	.license = "Apache-2.0",
	.summary = "as many pods as a ReplicaSet asks for",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = replicaset_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = replicaset_fini,
	.health = octl_health);
