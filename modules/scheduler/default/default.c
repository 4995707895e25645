/*
 * default.c - the module scheduler/default: follows pods and nodes, and gives pending pods a node.
 *
 * One loop, no lock. A pass (run) takes pods from the queue while there is room for their writes,
 * decides each on the table of nodes as it is at that moment, and counts it there (assumed) before
 * its binding is sent; so later pods see it, and no node is given away twice. A binding that fails
 * gives back what was assumed. Nothing here needs to survive: a new instance finds pods and nodes in
 * the cache.
 */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/scheduler.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"

#define PASS_PODS 128u	/* then the loop gets its turn */
#define RELIST_NS UINT64_C(1000000000)

static void run(void *arg);

static bool can_run(const struct sd *s)
{
	return s->leading && !s->stopping && okube_informer_synced(s->in_pods) &&
	       okube_informer_synced(s->in_nodes);
}

void sd_kick(struct sd *s)
{
	if (!s->posted && !s->stopping && s->h->post(s->h, run, s) == 0)
		s->posted = true;
}

static void on_timer(void *arg)
{
	sd_kick(arg);
}

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

static void pod_free(struct sd *s, struct sd_pod *p)
{
	sd_queue_remove(&s->queue, p);
	sd_pod_unplace(&s->cluster, p);
	sd_spec_free(p->spec);
	omem_free(p->load);
	omem_free(p->uid);
	omem_free(p);
}

static void pod_drop(struct sd *s, struct sd_pod *p)
{
	struct key k;

	if (key_of(&k, p->ns, p->name))
		omap_del(&s->pods, k.text, k.len);
	pod_free(s, p);
}

static struct sd_pod *pod_new(struct sd *s, const struct orlop_object *o, struct orlop_bytes uid)
{
	struct sd_pod *p = OMEM_NEW(struct sd_pod);
	struct omap_entry *e;
	struct key k;

	if (!p)
		return NULL;
	olist_init(&p->on_node);
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

/* What of a pod decides what is done with it. All borrowed from its JSON. */
struct view {
	struct orlop_bytes spec;
	struct orlop_bytes node;
	struct orlop_bytes scheduler;
	int32_t priority;
	bool deleting;
	bool over;
};

static void view_get(struct orlop_bytes members, struct view *v)
{
	struct oscan_iter it, jt;
	struct orlop_bytes x;

	memset(v, 0, sizeof(*v));
	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "metadata")) {
			v->deleting = oscan_get(it.value, "deletionTimestamp", &x) &&
				      oscan_type(x) == OSCAN_STRING;
		} else if (oscan_string_is_cstr(it.key, "spec")) {
			v->spec = it.value;
			for (oscan_begin(&jt, it.value); oscan_next(&jt) > 0;) {
				if (oscan_string_is_cstr(jt.key, "nodeName"))
					(void)oscan_plain(jt.value, &v->node);
				else if (oscan_string_is_cstr(jt.key, "schedulerName"))
					(void)oscan_plain(jt.value, &v->scheduler);
				else if (oscan_string_is_cstr(jt.key, "priority"))
					v->priority = (int32_t)oscan_i64(jt.value, 0);
			}
		} else if (oscan_string_is_cstr(it.key, "status")) {
			v->over = oscan_get(it.value, "phase", &x) &&
				  (oscan_string_is_cstr(x, "Succeeded") ||
				   oscan_string_is_cstr(x, "Failed"));
		}
	}
}

static bool same_spec(const struct orlop_object *a, struct orlop_bytes spec)
{
	struct orlop_bytes v;

	return a && OSCAN_FIND_MEMBERS(a->json, &v, "spec") &&
	       ostr_eq(v.p, v.len, spec.p, spec.len);
}

/* A pod with a node: counted there. */
static int pod_bound(struct sd *s, struct sd_pod *p, const struct view *v,
		     const struct orlop_object *prev)
{
	bool there = p->node && ostr_eq(p->node->name.p, p->node->name.len, v->node.p, v->node.len);
	struct sd_load *l;
	int r;

	if (there && p->state == SD_BOUND && same_spec(prev, v->spec))
		return 0;
	sd_queue_remove(&s->queue, p);
	if (!(there && p->state == SD_ASSUMED)) {
		r = sd_load_new(v->spec, &l);
		if (r)
			return r;
		sd_pod_unplace(&s->cluster, p);
		omem_free(p->load);
		p->load = l;
		r = sd_pod_place(&s->cluster, p, v->node);
		if (r)
			return r;
	}
	p->state = SD_BOUND;
	p->priority = v->priority;
	sd_spec_free(p->spec);
	p->spec = NULL;
	return 0;
}

/* A pod that is ours to place. */
static int pod_pending(struct sd *s, struct sd_pod *p, const struct view *v,
		       const struct orlop_object *prev)
{
	struct sd_spec *spec;
	struct sd_load *l;
	int r;

	if (p->state == SD_ASSUMED || (p->state == SD_PENDING && same_spec(prev, v->spec)))
		return 0;
	r = sd_spec_new(v->spec, &spec);
	if (r)
		return r;
	r = sd_load_new(v->spec, &l);
	if (r) {
		sd_spec_free(spec);
		return r;
	}
	sd_queue_remove(&s->queue, p);
	sd_pod_unplace(&s->cluster, p);
	sd_spec_free(p->spec);
	omem_free(p->load);
	p->spec = spec;
	p->load = l;
	p->state = SD_PENDING;
	p->priority = v->priority;
	(void)sd_queue_add(&s->queue, p, s->h->now_mono(s->h));
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
		s->relist_ns = s->h->now_mono(s->h) + RELIST_NS;
}

static void on_pod(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct orlop_bytes uid = okube_uid(o);
	struct sd *s = arg;
	struct sd_pod *p = sd_pod_find(s, o->ns, o->name);
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
	if (v.over ||
	    (!v.node.len && (v.deleting || !ostr_is(v.scheduler.p, v.scheduler.len, s->name)))) {
		if (p)
			pod_drop(s, p);
		return;
	}
	if (!p)
		p = pod_new(s, o, uid);
	r = !p ? -ENOMEM : v.node.len ? pod_bound(s, p, &v, prev) : pod_pending(s, p, &v, prev);
	if (r)
		relist_later(s, "pod", o);
}

/* After a pass over all pods: those that vanished meanwhile are forgotten. */
static void on_pods_listed(void *arg)
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

static void on_node(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
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

static void on_nodes_listed(void *arg)
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

/* ---- scheduling ------------------------------------------------------------------------------ */

void sd_give_back(struct sd *s, struct sd_pod *p)
{
	sd_pod_unplace(&s->cluster, p);
	p->state = SD_PENDING;
	(void)sd_queue_retry(&s->queue, p, s->h->now_mono(s->h));
}

static void no_node(struct sd *s, struct sd_pod *p, const struct sd_diag *d, uint64_t now)
{
	struct obuf text = OBUF_INIT;

	s->n_unschedulable++;
	s->h->metric_add(s->m_unschedulable, 1);
	sd_queue_unschedulable(&s->queue, p, now);
	sd_diag_write(d, p, &text);
	if (!obuf_err(&text))
		sd_report_failed(s, p, "Unschedulable",
				 (struct orlop_bytes){ text.data, text.len });
	obuf_done(&text);
}

static void schedule_one(struct sd *s, struct sd_pod *p, uint64_t now)
{
	struct sd_diag d;
	struct sd_node *n = sd_decide(&s->cluster, p, &d);
	struct orlop_bytes node;

	if (!n) {
		no_node(s, p, &d, now);
		return;
	}
	node = n->name;
	if (sd_pod_place(&s->cluster, p, node)) {
		(void)sd_queue_retry(&s->queue, p, now);
		return;
	}
	p->state = SD_ASSUMED;
	if (sd_write_bind(s, p, node))
		sd_give_back(s, p);
}

static void gauges(struct sd *s)
{
	s->h->metric_set(s->m_pending[0], s->queue.active.n);
	s->h->metric_set(s->m_pending[1], s->queue.backoff.n);
	s->h->metric_set(s->m_pending[2], s->queue.n_unschedulable);
	s->h->metric_set(s->m_pending[3], s->queue.n_gated);
}

static void run(void *arg)
{
	struct sd *s = arg;
	struct sd_pod *p;
	uint64_t now, next;

	s->posted = false;
	if (!can_run(s))
		return;
	now = s->h->now_mono(s->h);
	if (s->relist_ns && now >= s->relist_ns) {
		s->relist_ns = 0;
		okube_informer_relist(s->in_nodes);
		okube_informer_relist(s->in_pods);
	}
	sd_queue_wake_for(&s->queue, &s->cluster, now);
	next = sd_queue_tick(&s->queue, now);
	for (uint32_t i = 0; i < PASS_PODS && sd_write_room(s) && (p = sd_queue_pop(&s->queue));
	     i++)
		schedule_one(s, p, now);
	sd_write_flush(s);
	gauges(s);
	if (s->queue.active.n && sd_write_room(s))
		sd_kick(s);
	if (s->queue.backoff.n && (!next || s->queue.backoff.v[0]->backoff_ns < next))
		next = s->queue.backoff.v[0]->backoff_ns;
	if (s->queue.n_unschedulable && !next)
		next = now + SD_UNSCHEDULABLE_MAX_NS;
	if (s->relist_ns && (!next || s->relist_ns < next))
		next = s->relist_ns;
	if (next)
		s->h->timer_set(s->timer, next > now ? next - now : 1, 0);
	else
		s->h->timer_clear(s->timer);
}

static void on_lead(void *arg, int32_t gained, uint64_t token)
{
	struct sd *s = arg;

	(void)token;
	s->leading = gained;
	OLOG(s->h, INFO, gained ? "leading" : "not_leading", "name=%s", s->name);
	if (!gained)
		return;
	OLIST_FOREACH(at, &s->queue.gated)
	sd_report_gated(s, OLIST_ENTRY(at, struct sd_pod, waiting));
	sd_kick(s);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void sd_free(struct sd *s)
{
	if (s->lead)
		s->h->lead_drop(s->lead);
	okube_informer_free(s->in_pods);
	okube_informer_free(s->in_nodes);
	s->h->timer_free(s->timer);
	sd_write_done(s);
	OMAP_FOREACH(&s->pods, e)
	pod_free(s, e->value);
	omap_done(&s->pods);
	sd_queue_done(&s->queue);
	sd_cluster_done(&s->cluster);
	omem_free(s->lead_name);
	omem_free(s);
}

static void metrics_make(struct sd *s)
{
	static const char *const queues[4] = { "queue=\"active\"", "queue=\"backoff\"",
					       "queue=\"unschedulable\"", "queue=\"gated\"" };
	static const char attempts[] = "scheduler_schedule_attempts_total";
	static const char help[] = "Attempts to schedule pods, by result.";
	const struct orlop_host *h = s->h;

	(void)h->metric_new(h, ORLOP_METRIC_COUNTER, attempts, "result=\"scheduled\"", help, NULL,
			    0, &s->m_scheduled);
	(void)h->metric_new(h, ORLOP_METRIC_COUNTER, attempts, "result=\"unschedulable\"", help,
			    NULL, 0, &s->m_unschedulable);
	(void)h->metric_new(h, ORLOP_METRIC_COUNTER, attempts, "result=\"error\"", help, NULL, 0,
			    &s->m_error);
	for (int i = 0; i < 4; i++)
		(void)h->metric_new(h, ORLOP_METRIC_GAUGE, "scheduler_pending_pods", queues[i],
				    "Pods that wait, by queue.", NULL, 0, &s->m_pending[i]);
}

static int sd_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct sd *s = OMEM_NEW(struct sd);
	uint64_t seed;
	int r;

	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->h = h;
	s->name = h->param(h, "name");
	h->random(h, &seed, sizeof(seed));
	sd_cluster_init(&s->cluster, seed);
	sd_queue_init(&s->queue);
	sd_write_init(s);
	omap_init(&s->pods);
	s->cluster.percent = (uint32_t)h->param_int(h, "percentage_of_nodes");
	s->lead_name = omem_printf("scheduler/%s", s->name);
	r = s->lead_name ? h->timer_new(h, on_timer, s, &s->timer) : -ENOMEM;
	if (r) {
		sd_free(s);
		return orlop_fail(err, -r, 0, "", "no memory");
	}
	metrics_make(s);
	*ret_ctx = s;
	return 0;
}

static int sd_start(void *ctx, struct orlop_error *err)
{
	struct sd *s = ctx;
	int r = okube_informer_new(s->h, "nodes", on_node, on_nodes_listed, s, &s->in_nodes, err);

	if (!r)
		r = okube_informer_new(s->h, "pods", on_pod, on_pods_listed, s, &s->in_pods, err);
	if (r)
		return r;
	r = s->h->lead(s->h, s->lead_name, on_lead, s, &s->lead);
	if (r)
		return orlop_fail(err, -r, 0, "", "leadership %s", s->lead_name);
	s->h->ready(s->h);
	return 0;
}

/*
 * Nothing more is decided. Bindings under way are finished before somebody else may lead: who does not
 * see them yet would give their room away once more.
 */
static int sd_stop(void *ctx, struct orlop_error *err)
{
	struct sd *s = ctx;

	(void)err;
	s->stopping = true;
	s->h->timer_clear(s->timer);
	sd_write_finish(s);
	okube_informer_free(s->in_pods);
	okube_informer_free(s->in_nodes);
	s->in_pods = s->in_nodes = NULL;
	return 0;
}

static void sd_fini(void *ctx)
{
	sd_free(ctx);
}

static void sd_health(void *ctx, struct orlop_health *health)
{
	const struct sd *s = ctx;

	health->ok = s->in_pods && okube_informer_synced(s->in_pods) &&
		     okube_informer_synced(s->in_nodes);
	snprintf(health->text, sizeof(health->text), "%s, %u nodes, %u pods waiting",
		 s->leading ? "leading" : "standing by", s->cluster.n,
		 s->queue.active.n + s->queue.backoff.n + s->queue.n_unschedulable);
}

static int sd_stats(void *ctx, char *buf, size_t size)
{
	const struct sd *s = ctx;

	return snprintf(
		buf, size,
		"{\"nodes\":%u,\"pods\":%u,\"active\":%u,\"backoff\":%u,\"unschedulable\":%u,"
		"\"gated\":%u,\"writes\":%u,\"scheduled\":%llu,\"failed\":%llu,\"errors\":%llu}",
		s->cluster.n, omap_count(&s->pods), s->queue.active.n, s->queue.backoff.n,
		s->queue.n_unschedulable, s->queue.n_gated, s->n_urgent + s->n_others,
		(unsigned long long)s->n_scheduled, (unsigned long long)s->n_unschedulable,
		(unsigned long long)s->n_errors);
}

static int sd_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	int64_t n = 0;

	(void)ctx;
	if (strcmp(name, "percentage_of_nodes") == 0 &&
	    (ostr_to_i64(value, strlen(value), &n) || n < 0 || n > 100))
		return orlop_fail(err, ERANGE, 0, "", "%.40s: want 0 to 100", value);
	return 0;
}

static void sd_apply(void *ctx, const char *name, const char *value)
{
	struct sd *s = ctx;

	(void)value;
	if (strcmp(name, "percentage_of_nodes") == 0)
		s->cluster.percent = (uint32_t)s->h->param_int(s->h, name);
}

static const struct orlop_scheduler_ops ops = {
	.size = sizeof(ops),
	.explain = sd_op_explain,
};

static const struct orlop_param params[] = {
	{ "name", ORLOP_PARAM_STRING, 0, "default-scheduler",
	  "pods with this spec.schedulerName are ours" },
	{ "percentage_of_nodes", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "0",
	  "of nodes to find feasible before the best is taken, 1 ... 100; 0: by their number" },
};

ORLOP_MODULE("default", "scheduler", "0.1",
	     "license=Apache-2.0\0needs=api\0reads=pods,nodes\0user=system:kube-scheduler",
	     .license = "Apache-2.0", .summary = "gives pending pods a node",
	     .flags = ORLOP_MOD_UNLOADABLE, .n_params = sizeof(params) / sizeof(params[0]),
	     .params = params, .ops = &ops, .init = sd_init, .start = sd_start, .stop = sd_stop,
	     .fini = sd_fini, .health = sd_health, .stats = sd_stats, .param_validate = sd_validate,
	     .param_apply = sd_apply, );
