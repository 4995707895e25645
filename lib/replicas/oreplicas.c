/*
 * oreplicas.c - keeps as many pods as each ReplicaSet or ReplicationController asks for.
 *
 * Pods belong to a set by owner reference; one that matches the selector and has no controller is
 * adopted, one that stopped matching is released. Which pods go first is upstream's ranking
 * (okube_pod_rank). Source: upstream's pkg/controller/replicaset, behaviour only.
 */
#include "replicas/oreplicas.h"

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

#define BURST		500	/* most creates or deletes of one sync */

struct replicaset {
	struct octl	c;
	const struct oreplicas_kind *kind;
	struct orlop_resource *sets;
	struct orlop_resource *pods;
	struct omap	failing;	/* "ns/name" → why its last create or delete failed (struct failure) */
};

struct failure {
	const char	*reason;	/* FailedCreate, FailedDelete */
	char		message[512];
};

/* A create or delete under way: the task, and what an Event needs. */
struct sent {
	struct octl_task *t;
	struct ojson	*rs;		/* shared */
	char		*pod;		/* deletes: its name */
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static const struct oreplicas_kind *kind_of(const struct octl *c)
{
	return ((const struct replicaset *)(const void *)c)->kind;
}

/* A LabelSelector, shared or new: an equality selector is its matchLabels. NULL without memory. */
static struct ojson *selector_of(const struct replicaset *r, const struct ojson *rs)
{
	struct ojson *have = OJSON_AT(rs, "spec", "selector");
	struct ojson *out;

	if (!r->kind->equality && have)
		return ojson_ref(have);
	out = ojson_new_object();
	if (out && have && ojson_set(out, "matchLabels", ojson_ref(have))) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

static struct sent *sent_new(struct octl_task *t, const struct ojson *rs, const char *pod)
{
	struct sent *s = OMEM_NEW(struct sent);

	if (!s)
		return NULL;
	s->t = t;
	s->rs = ojson_ref((struct ojson *)(uintptr_t)rs);
	s->pod = omem_strdup(pod);
	octl_hold(t);
	return s;
}

static void sent_free(struct sent *s, bool failed)
{
	octl_release(s->t, failed);
	ojson_unref(s->rs);
	omem_free(s->pod);
	omem_free(s);
}

/* ---- failures ----------------------------------------------------------------------------------- */

static size_t failure_key(const struct ojson *rs, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s/%s", okube_meta(rs, "namespace"), okube_meta(rs, "name"));
}

static const struct failure *failure_of(const struct replicaset *r, const struct ojson *rs)
{
	char key[600];

	return omap_get(&r->failing, key, failure_key(rs, key, sizeof(key)));
}

static void failure_forget(struct replicaset *r, const struct ojson *rs)
{
	char key[600];

	omem_free(omap_del(&r->failing, key, failure_key(rs, key, sizeof(key))));
}

static void failure_note(struct replicaset *r, const struct ojson *rs, const char *reason,
			 const struct ojson *status)
{
	struct failure *f = OMEM_NEW(struct failure);
	void *old = NULL;
	char key[600];

	if (!f)
		return;
	f->reason = reason;
	snprintf(f->message, sizeof(f->message), "%s", ojson_get_cstr(status, "message", "unknown"));
	if (omap_put(&r->failing, key, failure_key(rs, key, sizeof(key)), f, &old))
		old = f;
	omem_free(old);
}

/*
 * Nothing can be made in a namespace that ends: nothing to tell of. It is tried again: the server may be
 * behind, and it may be another namespace by now.
 */
static bool is_ending(const struct ojson *status)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(status, "details", "causes")) {
		if (ojson_string_is(ojson_get(c, "reason"), "NamespaceTerminating"))
			return true;
	}
	return false;
}

/* ---- pods ------------------------------------------------------------------------------------------ */

static void created(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct sent *s = arg;
	struct octl *c = octl_of(s->t);
	const struct oreplicas_kind *kind = kind_of(c);
	bool failed = status < 0 || code >= 300;

	(void)rev;
	if (!failed) {
		okube_event(c->events, kind->api_version, kind->kind, s->rs, NULL, "Normal", "SuccessfulCreate",
			    "Created pod: %s", okube_meta(body, "name"));
	} else if (status >= 0 && is_ending(body)) {
		/* the set goes with its namespace, and then its key is done */
	} else if (status >= 0) {
		okube_event(c->events, kind->api_version, kind->kind, s->rs, NULL, "Warning", "FailedCreate",
			    "Error creating: %s", ojson_get_cstr(body, "message", "unknown"));
		failure_note((struct replicaset *)(void *)c, s->rs, "FailedCreate", body);
	}
	sent_free(s, failed);
}

static void deleted(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct sent *s = arg;
	struct octl *c = octl_of(s->t);
	const struct oreplicas_kind *kind = kind_of(c);
	bool failed = status < 0 || (code >= 300 && code != 404);

	(void)rev;
	if (!failed && code < 300) {
		okube_event(c->events, kind->api_version, kind->kind, s->rs, NULL, "Normal", "SuccessfulDelete",
			    "Deleted pod: %s", s->pod);
	} else if (failed && status >= 0) {
		okube_event(c->events, kind->api_version, kind->kind, s->rs, NULL, "Warning", "FailedDelete",
			    "Error deleting: %s", ojson_get_cstr(body, "message", "unknown"));
		failure_note((struct replicaset *)(void *)c, s->rs, "FailedDelete", body);
	}
	sent_free(s, failed);
}

static struct ojson *pod_of(const struct oreplicas_kind *kind, const struct ojson *rs)
{
	const struct ojson *tmpl = OJSON_AT(rs, "spec", "template");
	static const char *const kept[] = { "labels", "annotations", "finalizers" };
	struct ojson *pod = ojson_new_object();
	struct ojson *meta = pod ? ojson_ensure_object(pod, "metadata") : NULL;
	struct ojson *spec = NULL;
	char name[300];
	size_t i;
	int e = ojson_copy(ojson_get(tmpl, "spec"), &spec);

	snprintf(name, sizeof(name), "%.250s-", okube_meta(rs, "name"));
	if (!e)
		e = ojson_put(pod, "spec", spec);
	if (!e)
		e = ojson_set_cstr(pod, "kind", "Pod");
	if (!e)
		e = ojson_set_cstr(pod, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(meta, "generateName", name);
	if (!e)
		e = ojson_set_cstr(meta, "namespace", okube_meta(rs, "namespace"));
	for (i = 0; !e && i < sizeof(kept) / sizeof(kept[0]); i++) {
		struct ojson *v = OJSON_AT(tmpl, "metadata", kept[i]);

		if (v)
			e = ojson_set(meta, kept[i], ojson_ref(v));
	}
	if (!e)
		e = okube_owner_add(pod, kind->api_version, kind->kind, rs);
	if (e) {
		ojson_unref(pod);
		return NULL;
	}
	return pod;
}

static int pods_create(struct octl_task *t, const struct ojson *rs, int64_t n)
{
	struct octl *c = octl_of(t);
	struct ojson *pod = pod_of(kind_of(c), rs);
	int e = pod ? 0 : -ENOMEM;

	for (; n > 0 && !e; n--) {
		struct sent *s = sent_new(t, rs, NULL);

		if (!s) {
			e = -ENOMEM;
			break;
		}
		e = okube_create(c->h, "pods", text(okube_meta(rs, "namespace")), pod, created, s);
		if (e)
			sent_free(s, true);
	}
	ojson_unref(pod);
	return e;
}

/* A pod that might go, and how many of our others share its node. */
struct victim {
	const struct ojson *pod;
	int64_t		near;
};

static int by_rank(const void *a, const void *b)
{
	const struct victim *x = a;
	const struct victim *y = b;

	return okube_pod_rank(x->pod, x->near, y->pod, y->near);
}

static struct victim *victims_rank(struct ojson *const *pods, size_t n)
{
	struct victim *v = omem_zalloc_array(n + 1, sizeof(*v));
	struct omap near = OMAP_INIT;
	size_t i;
	int e = v ? 0 : -ENOMEM;

	for (i = 0; i < n && !e; i++) {
		struct orlop_bytes node = ojson_get_bytes(ojson_get(pods[i], "spec"), "nodeName");

		v[i].pod = pods[i];
		if (node.len)
			e = omap_put(&near, node.p, node.len,
				     (void *)((uintptr_t)omap_get(&near, node.p, node.len) + 1), NULL);
	}
	for (i = 0; i < n && !e; i++) {
		struct orlop_bytes node = ojson_get_bytes(ojson_get(pods[i], "spec"), "nodeName");

		if (node.len)
			v[i].near = (int64_t)(uintptr_t)omap_get(&near, node.p, node.len);
	}
	omap_done(&near);
	if (e) {
		omem_free(v);
		return NULL;
	}
	qsort(v, n, sizeof(*v), by_rank);
	return v;
}

static int pods_delete(struct octl_task *t, const struct ojson *rs, struct ojson *const *pods, size_t n_pods,
		       int64_t n)
{
	struct octl *c = octl_of(t);
	struct victim *v = victims_rank(pods, n_pods);
	size_t i;
	int e = v ? 0 : -ENOMEM;

	for (i = 0; i < n_pods && (int64_t)i < n && !e; i++) {
		const char *name = okube_meta(v[i].pod, "name");
		struct sent *s = sent_new(t, rs, name);

		if (!s) {
			e = -ENOMEM;
			break;
		}
		e = okube_delete(c->h, "pods", text(okube_meta(rs, "namespace")), text(name),
				 text(okube_meta(v[i].pod, "uid")), "Background", -1, deleted, s);
		if (e)
			sent_free(s, true);
	}
	omem_free(v);
	return e;
}

struct counts {
	int64_t		replicas;
	int64_t		labeled;
	int64_t		ready;
	int64_t		available;
	int64_t		terminating;
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

/* The condition ReplicaFailure comes and goes with what failed last. */
static void failure_show(struct octl *c, struct ojson *rs, const struct failure *f)
{
	struct ojson *st = ojson_ensure_object(rs, "status");
	struct ojson *list = ojson_get_array(st, "conditions");
	const struct ojson *have = okube_condition(rs, "ReplicaFailure");
	size_t i;

	if (f && !have) {
		(void)okube_condition_set(ojson_ensure_array(st, "conditions"), "ReplicaFailure", "True", f->reason,
					  f->message, (int64_t)c->h->now_wall(c->h), false);
		return;
	}
	for (i = 0; !f && have && i < ojson_count(list); i++)
		if (ojson_index(list, i) == have) {
			(void)ojson_remove(list, i);
			break;
		}
	if (list && !ojson_count(list))
		ojson_del(st, "conditions");
}

/* Zero is absent. */
static int count_set(struct ojson *st, const char *key, int64_t v)
{
	if (v)
		return ojson_set_i64(st, key, v);
	ojson_del(st, key);
	return 0;
}

static int status_update(struct octl_task *t, const struct ojson *rs, const struct counts *k)
{
	struct octl *c = octl_of(t);
	struct ojson *obj = NULL;
	struct ojson *st;
	struct okube_req req = { .verb = "update", .resource = kind_of(c)->resource, .sub = "status",
				 .ns = text(okube_meta(rs, "namespace")), .name = text(okube_meta(rs, "name")) };
	int e = ojson_copy(rs, &obj);

	st = obj ? ojson_ensure_object(obj, "status") : NULL;
	if (!e)
		e = ojson_set_i64(st, "replicas", k->replicas);
	if (!e)
		e = count_set(st, "fullyLabeledReplicas", k->labeled);
	if (!e)
		e = count_set(st, "readyReplicas", k->ready);
	if (!e)
		e = count_set(st, "availableReplicas", k->available);
	if (!e && kind_of(c)->counts_terminating)
		e = ojson_set_i64(st, "terminatingReplicas", k->terminating);
	if (!e)
		e = count_set(st, "observedGeneration",
			      ojson_get_i64(ojson_get(rs, "metadata"), "generation", 0));
	if (!e)
		failure_show(c, obj, failure_of((struct replicaset *)(void *)c, rs));
	if (!e && !ojson_equal(st, ojson_get(rs, "status"))) {
		ojson_del(ojson_get(obj, "metadata"), "managedFields");
		e = ojson_set_cstr(obj, "kind", kind_of(c)->kind);
		if (!e)
			e = ojson_set_cstr(obj, "apiVersion", kind_of(c)->api_version);
		req.body = obj;
		if (!e)
			octl_send(t, &req);
	}
	ojson_unref(obj);
	return e;
}

static bool is_terminating(const struct ojson *pod)
{
	const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

	return okube_deleting(pod) && strcmp(phase, "Succeeded") && strcmp(phase, "Failed");
}

/* One step: as many creates or deletes as are missing; the next sync sees what became of them. */
static int pods_adjust(struct replicaset *r, struct octl_task *t, const struct ojson *rs,
		       struct ojson **pods, size_t n)
{
	int64_t diff = ojson_get_i64(ojson_get(rs, "spec"), "replicas", 1) - (int64_t)n;
	int64_t most = failure_of(r, rs) ? 1 : BURST;	/* after a failure one tries for all */

	failure_forget(r, rs);
	if (!diff)
		return 0;
	if (diff > 0)
		return pods_create(t, rs, diff > most ? most : diff);
	return pods_delete(t, rs, pods, n, -diff > most ? most : -diff);
}

static int replicaset_step(struct replicaset *r, struct octl_task *t, const struct ojson *rs,
			   const struct ojson *mine)
{
	struct ojson **pods = omem_zalloc_array(ojson_count(mine) + 1, sizeof(*pods));
	int64_t terminating = 0;
	struct counts k;
	size_t n = 0;
	int e = 0;

	if (!pods)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, pod, mine) {
		if (okube_pod_active(pod))
			pods[n++] = pod;
		terminating += is_terminating(pod);
	}
	k = pods_count(&r->c, rs, pods, n);
	k.terminating = terminating;
	e = status_update(t, rs, &k);
	if (k.wait_ns)
		octl_again(t, (uint64_t)k.wait_ns);
	if (!e && !okube_deleting(rs))
		e = pods_adjust(r, t, rs, pods, n);
	omem_free(pods);
	return e;
}

static int replicaset_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns,
			   struct orlop_bytes name)
{
	struct replicaset *r = (struct replicaset *)(void *)c;
	struct octl_claim claim = { .res = r->pods, .resource = "pods", .api_version = r->kind->api_version,
				    .kind = r->kind->kind, .may = okube_pod_active };
	struct ojson *mine = NULL;
	struct ojson *rs = NULL;
	struct ojson *selector;
	int e = okube_find(c->h, r->sets, ns, name, &rs);

	if (e)
		return e == -ENOENT ? 0 : e;
	selector = selector_of(r, rs);
	claim.owner = rs;
	claim.selector = selector;
	e = selector ? octl_claim(t, &claim, &mine) : -ENOMEM;
	if (e > 0) {
		octl_again(t, 0);
		e = 0;
	} else if (!e) {
		e = replicaset_step(r, t, rs, mine);
	}
	ojson_unref(mine);
	ojson_unref(selector);
	ojson_unref(rs);
	return e;
}

static void set_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct replicaset *r = arg;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED) {
		char key[600];
		size_t n = (size_t)snprintf(key, sizeof(key), "%.*s/%.*s", OB(o->ns), OB(o->name));

		omem_free(omap_del(&r->failing, key, n));
	}
	octl_add(arg, o->ns, o->name);
}

/* An orphan that some set might want: those of its namespace whose selector matches. */
static void orphan_offer(struct replicaset *r, const struct orlop_object *pod)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = pod->ns };
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, r->c.h, r->sets, &q)) {
		octl_missed(&r->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		struct ojson *rs = okube_parse(o);
		struct ojson *selector = rs ? selector_of(r, rs) : NULL;

		if (!selector)
			octl_missed(&r->c);
		else if (okube_object_matches(pod, selector))
			octl_add(&r->c, o->ns, o->name);
		ojson_unref(selector);
		ojson_unref(rs);
	}
	owalk_close(&w);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct octl *c = arg;

	octl_add_controller_of(c, o, kind_of(c)->kind);
	if (prev)
		octl_add_controller_of(c, prev, kind_of(c)->kind);
	if (type != ORLOP_CHANGE_DELETED && !okube_index(o, ORLOP_INDEX_OWNER).p)
		orphan_offer(arg, o);
}

void oreplicas_fini(void *ctx)
{
	struct replicaset *r = ctx;

	octl_done(&r->c);
	omap_done_with(&r->failing, omem_free);
	omem_free(ctx);
}

int oreplicas_init(const struct oreplicas_kind *kind, const struct orlop_host *h, void **ret_ctx,
		   struct orlop_error *err)
{
	struct replicaset *r = OMEM_NEW(struct replicaset);
	int e;

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	r->kind = kind;
	omap_init(&r->failing);
	e = octl_init(&r->c, h, kind->name, kind->component, replicaset_sync, 16, err);
	if (!e)
		e = octl_follow(&r->c, kind->resource, set_changed, &r->sets, err);
	if (!e)
		e = octl_follow(&r->c, "pods", pod_changed, &r->pods, err);
	if (e) {
		oreplicas_fini(r);
		return e;
	}
	*ret_ctx = r;
	return 0;
}
