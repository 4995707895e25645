/*
 * follow.c - pods, nodes and namespaces as they come: each is taken apart when something that decides
 * has changed, and never again.
 */
#include "module.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ohash.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "base/otime.h"
#include "json/oscan.h"
#include "volume.h"

#define RELIST_NS UINT64_C(1000000000)

/* ---- the table of pods ----------------------------------------------------------------------- */

/* Names are at most 253 bytes and namespaces 63: what is longer is no pod. */
struct key {
	size_t		len;
	char		text[400];
};

static bool key_of(struct key *k, struct orlop_bytes ns, struct orlop_bytes name)
{
	k->len = ns.len + 1 + name.len;
	if (k->len > sizeof(k->text))
		return false;
	if (ns.len)
		memcpy(k->text, ns.p, ns.len);
	k->text[ns.len] = '/';
	if (name.len)
		memcpy(k->text + ns.len + 1, name.p, name.len);
	return true;
}

struct sd_pod *sd_pod_find(struct sd *s, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct key k;

	return key_of(&k, ns, name) ? omap_get(&s->pods, k.text, k.len) : NULL;
}

static uint64_t now_of(const struct sd *s)
{
	return s->h->now_mono(s->h);
}

/* Not on its node any more; whom that may help is woken. */
static void pod_leaves(struct sd *s, struct sd_pod *p)
{
	if (p->node && s->queue.n_topology)
		sd_queue_pod_moved(&s->queue, &s->cluster, p, false, now_of(s));
	sd_pod_unplace(&s->cluster, p);
}

/* What is only known of a pod that has no node yet. */
static void wishes_free(struct sd *s, struct sd_pod *p)
{
	sd_spec_free(p->spec);
	sd_spreads_free(&s->cluster, p->spreads);
	sd_claims_free(p->claims);
	p->spec = NULL;
	p->spreads = NULL;
	p->claims = NULL;
	p->profile = NULL;
}

void sd_pod_free(struct sd *s, struct sd_pod *p)
{
	sd_plugins_forget(p);
	sd_queue_remove(&s->queue, p);
	pod_leaves(s, p);
	sd_pod_nominate(&s->cluster, p, (struct orlop_bytes){ NULL, 0 });
	wishes_free(s, p);
	sd_terms_free(&s->cluster, p->terms);
	omem_free(p->labels);
	omem_free(p->load);
	omem_free(p->uid);
	omem_free(p);
}

static void pod_drop(struct sd *s, struct sd_pod *p)
{
	struct key k;
	bool known = key_of(&k, p->ns, p->name);

	sd_pod_free(s, p); /* its namespace and name stand in the table's key */
	if (known)
		omap_del(&s->pods, k.text, k.len);
}

static struct sd_pod *pod_new(struct sd *s, const struct orlop_object *o, struct orlop_bytes uid)
{
	struct sd_pod *p = OMEM_NEW(struct sd_pod);
	struct omap_entry *e;
	struct key k;

	if (!p)
		return NULL;
	olist_init(&p->on_node);
	olist_init(&p->on_nominated);
	olist_init(&p->waiting);
	p->uid = omem_strndup(uid.p ? uid.p : "", uid.len);
	if (!p->uid || !key_of(&k, o->ns, o->name) || omap_put(&s->pods, k.text, k.len, p, NULL)) {
		omem_free(p->uid);
		omem_free(p);
		return NULL;
	}
	e = omap_find(&s->pods, k.text, k.len);
	p->ns = (struct orlop_bytes){ e->key, o->ns.len };
	p->name = (struct orlop_bytes){ e->key + o->ns.len + 1, o->name.len };
	return p;
}

/* ---- what of a pod decides ------------------------------------------------------------------- */

/* All borrowed from its JSON. */
struct view {
	struct orlop_bytes spec;
	struct orlop_bytes labels;
	struct orlop_bytes node;
	struct orlop_bytes scheduler;
	struct orlop_bytes nominated;
	struct orlop_bytes start;
	uint64_t	labels_hash;
	int32_t		priority;
	bool		deleting;
	bool		over;
};

static void view_spec(struct orlop_bytes spec, struct view *v)
{
	struct oscan_iter it;

	v->spec = spec;
	for (oscan_begin(&it, spec); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "nodeName"))
			(void)oscan_plain(it.value, &v->node);
		else if (oscan_string_is_cstr(it.key, "schedulerName"))
			(void)oscan_plain(it.value, &v->scheduler);
		else if (oscan_string_is_cstr(it.key, "priority"))
			v->priority = (int32_t)oscan_i64(it.value, 0);
	}
}

static void view_get(struct orlop_bytes members, struct view *v)
{
	struct oscan_iter it;
	struct orlop_bytes x;

	memset(v, 0, sizeof(*v));
	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "metadata")) {
			v->deleting = oscan_get(it.value, "deletionTimestamp", &x) &&
				      oscan_type(x) == OSCAN_STRING;
			(void)oscan_get(it.value, "labels", &v->labels);
		} else if (oscan_string_is_cstr(it.key, "spec")) {
			view_spec(it.value, v);
		} else if (oscan_string_is_cstr(it.key, "status")) {
			v->over = oscan_get(it.value, "phase", &x) &&
				  (oscan_string_is_cstr(x, "Succeeded") ||
				   oscan_string_is_cstr(x, "Failed"));
			if (oscan_get(it.value, "nominatedNodeName", &x))
				(void)oscan_plain(x, &v->nominated);
			if (oscan_get(it.value, "startTime", &x))
				(void)oscan_plain(x, &v->start);
		}
	}
	v->labels_hash = ohash_fnv1a64(OHASH_FNV64_INIT, v->labels.p ? v->labels.p : "", v->labels.len);
}

static bool same_spec(const struct orlop_object *a, struct orlop_bytes spec)
{
	struct orlop_bytes v;

	return a && OSCAN_FIND_MEMBERS(a->json, &v, "spec") &&
	       ostr_eq(v.p, v.len, spec.p, spec.len);
}

/* What counts wherever the pod is, taken apart. */
struct parts {
	struct sd_load	*load;
	struct sd_labels *labels;
	struct sd_terms	*terms;
};

static int parts_new(struct sd *s, struct sd_pod *p, const struct view *v, struct parts *ret)
{
	struct sd_pod as = { .ns = p->ns, .name = p->name };
	int r = sd_labels_new(v->labels, &ret->labels);

	ret->load = NULL;
	ret->terms = NULL;
	as.labels = ret->labels;
	if (!r)
		r = sd_terms_new(&s->cluster, &as, v->spec, &ret->terms);
	if (!r)
		r = sd_load_new(v->spec, p->name, &ret->load);
	if (r) {
		sd_terms_free(&s->cluster, ret->terms);
		omem_free(ret->labels);
	}
	return r;
}

/* They take the place of what is known; the pod is not counted anywhere at that time. */
static void parts_take(struct sd *s, struct sd_pod *p, const struct view *v, struct parts *take)
{
	sd_terms_free(&s->cluster, p->terms);
	omem_free(p->labels);
	omem_free(p->load);
	p->load = take->load;
	p->labels = take->labels;
	p->terms = take->terms;
	p->labels_hash = v->labels_hash;
	p->deleting = v->deleting;
	p->priority = v->priority;
}

static void start_read(struct sd_pod *p, const struct view *v)
{
	int64_t t;

	if (!p->start_ns && v->start.len && otime_parse(v->start.p, v->start.len, &t) == 0)
		p->start_ns = (uint64_t)t;
}

/* A pod with a node: counted there. */
static int pod_bound(struct sd *s, struct sd_pod *p, const struct view *v,
		     const struct orlop_object *prev)
{
	bool there = p->node && ostr_eq(p->node->name.p, p->node->name.len, v->node.p, v->node.len);
	bool same = there && p->labels_hash == v->labels_hash && p->deleting == v->deleting;
	struct parts parts;
	int r;

	start_read(p, v);
	if (same && p->state == SD_BOUND && same_spec(prev, v->spec))
		return 0;
	sd_plugins_forget(p);
	sd_queue_remove(&s->queue, p);
	sd_pod_nominate(&s->cluster, p, (struct orlop_bytes){ NULL, 0 });
	if (!(same && p->state == SD_ASSUMED)) {
		r = parts_new(s, p, v, &parts);
		if (r)
			return r;
		pod_leaves(s, p);
		parts_take(s, p, v, &parts);
		r = sd_pod_place(&s->cluster, p, v->node);
		if (r)
			return r;
		if (s->queue.n_topology)
			sd_queue_pod_moved(&s->queue, &s->cluster, p, true, now_of(s));
	}
	p->state = SD_BOUND;
	wishes_free(s, p);
	return 0;
}

/* A pod that is ours to place. */
static int pod_pending(struct sd *s, struct sd_pod *p, const struct view *v,
		       const struct sd_profile *profile, const struct orlop_object *o,
		       const struct orlop_object *prev)
{
	struct sd_spreads *spreads;
	struct sd_spec *spec;
	struct parts parts;
	int r;

	if (v->nominated.len && p->state != SD_ASSUMED)
		sd_pod_nominate(&s->cluster, p, v->nominated);
	if (p->state == SD_ASSUMED || (p->state == SD_PENDING && p->labels_hash == v->labels_hash &&
				       same_spec(prev, v->spec)))
		return 0;
	r = sd_spec_new(v->spec, &spec);
	if (r)
		return r;
	r = parts_new(s, p, v, &parts);
	if (r) {
		sd_spec_free(spec);
		return r;
	}
	sd_plugins_forget(p);
	sd_queue_remove(&s->queue, p);
	pod_leaves(s, p);
	wishes_free(s, p);
	parts_take(s, p, v, &parts);
	p->spec = spec;
	p->state = SD_PENDING;
	p->profile = profile;
	r = sd_spreads_of(s, p, v->spec, o, &spreads);
	if (r) {
		p->state = SD_IGNORED; /* read again, it is new again */
		return r;
	}
	p->spreads = spreads;
	if (!p->first_ns)
		p->first_ns = now_of(s);
	(void)sd_queue_add(&s->queue, p, now_of(s));
	if (p->queued == SD_GATED && s->leading)
		sd_report_gated(s, p);
	return 0;
}

/* What was not taken in for want of memory is read again soon, with everything else. */
static void relist_later(struct sd *s, const char *what, const struct orlop_object *o)
{
	OLOG(s->h, ERR, "no_memory", "%s=%.*s, reading all again in a second", what, (int)o->name.len,
	     o->name.p);
	if (!s->relist_ns)
		s->relist_ns = now_of(s) + RELIST_NS;
}

void sd_on_pod(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct orlop_bytes uid = okube_uid(o);
	struct sd *s = arg;
	struct sd_pod *p = sd_pod_find(s, o->ns, o->name);
	const struct sd_profile *profile;
	struct view v;
	int r;

	sd_kick(s);
	if (p && (type == ORLOP_CHANGE_DELETED || !ostr_is(uid.p, uid.len, p->uid))) {
		pod_drop(s, p);
		p = NULL;
	}
	if (type == ORLOP_CHANGE_DELETED)
		return;
	view_get(o->json, &v);
	profile = sd_profile_for(s, v.scheduler);
	if (v.over || (!v.node.len && (v.deleting || !profile))) {
		if (p)
			pod_drop(s, p);
		return;
	}
	if (!p)
		p = pod_new(s, o, uid);
	r = !p		 ? -ENOMEM
	    : v.node.len ? pod_bound(s, p, &v, prev)
			 : pod_pending(s, p, &v, profile, o, prev);
	if (r)
		relist_later(s, "pod", o);
}

/* After a pass over all pods: those that vanished meanwhile are forgotten. */
void sd_on_pods_listed(void *arg)
{
	struct sd *s = arg;
	struct orlop_snapshot *snap;
	struct omap_entry *e;
	uint32_t at = 0;

	sd_kick(s);
	if (s->h->snapshot_open(okube_informer_resource(s->in_pods), &snap))
		return;
	while ((e = omap_next(&s->pods, &at))) {
		struct sd_pod *p = e->value;

		if (!s->h->snapshot_get(snap, p->ns, p->name))
			pod_drop(s, p);
	}
	s->h->snapshot_close(snap);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

void sd_on_node(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct sd *s = arg;

	sd_kick(s);
	if (type == ORLOP_CHANGE_DELETED) {
		sd_node_gone(&s->cluster, o->name);
		return;
	}
	if (prev && sd_node_get(&s->cluster, o->name) && !sd_node_differs(prev->json, o->json))
		return;
	if (sd_node_set(&s->cluster, o->name, o->json))
		relist_later(s, "node", o);
}

void sd_on_nodes_listed(void *arg)
{
	struct sd *s = arg;
	struct orlop_snapshot *snap;
	struct orlop_bytes none = { "", 0 };
	uint32_t i = 0;

	sd_kick(s);
	if (s->h->snapshot_open(okube_informer_resource(s->in_nodes), &snap))
		return;
	while (i < s->cluster.n) {
		if (s->h->snapshot_get(snap, none, s->cluster.v[i]->name))
			i++;
		else
			sd_node_gone(&s->cluster, s->cluster.v[i]->name);
	}
	s->h->snapshot_close(snap);
}

/* ---- namespaces ------------------------------------------------------------------------------ */

void sd_on_namespace(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct orlop_bytes labels = { "{}", 2 };
	struct sd *s = arg;

	(void)prev;
	(void)OSCAN_FIND_MEMBERS(o->json, &labels, "metadata", "labels");
	if (sd_namespace_set(&s->cluster, o->name, labels, type == ORLOP_CHANGE_DELETED))
		relist_later(s, "namespace", o);
	if (s->cluster.topology_moved)
		sd_kick(s);
}

/* One that vanished unseen keeps its labels: nobody has pods there. */
void sd_on_namespaces_listed(void *arg)
{
	(void)arg;
}
