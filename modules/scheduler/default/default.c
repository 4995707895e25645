/*
 * default.c - the module scheduler/default: gives pending pods a node.
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

#define PLUGINS_NS UINT64_C(1000000000)
#define PASS_PODS 128u	/* then the loop gets its turn */

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

/* ---- scheduling ------------------------------------------------------------------------------ */

void sd_give_back(struct sd *s, struct sd_pod *p)
{
	sd_pod_unplace(&s->cluster, p);
	p->state = SD_PENDING;
	(void)sd_queue_retry(&s->queue, p, s->h->now_mono(s->h));
}

void sd_no_node(struct sd *s, struct sd_pod *p, struct sd_diag *d, uint64_t now)
{
	struct obuf text = OBUF_INIT;
	struct sd_diag dry;

	s->n_unschedulable++;
	p->rejected = d->plugins;
	sd_preempting(s, p, d, &dry);
	sd_queue_unschedulable(&s->queue, p, now);
	sd_diag_write(d, p, &text);
	if (!obuf_err(&text))
		sd_report_failed(s, p, "Unschedulable",
				 (struct orlop_bytes){ text.data, text.len });
	obuf_done(&text);
}

void sd_place_on(struct sd *s, struct sd_pod *p, struct orlop_bytes node, uint64_t now)
{
	struct sd_node *n = sd_node_get(&s->cluster, node);

	if (n && sd_claims_bind(s, p, n, now))
		return;
	if (sd_pod_place(&s->cluster, p, node)) {
		(void)sd_queue_retry(&s->queue, p, now);
		return;
	}
	p->state = SD_ASSUMED;
	if (s->queue.n_topology)
		sd_queue_pod_moved(&s->queue, &s->cluster, p, true, now);
	if (sd_write_bind(s, p, node))
		sd_give_back(s, p);
}

static void schedule_one(struct sd *s, struct sd_pod *p)
{
	uint64_t began = s->h->now_mono(s->h), now;
	struct sd_node *to = NULL;
	struct sd_diag d;
	char why[400];
	uint32_t n;

	if (p->load->n_claims && !sd_claims_synced(s)) {
		(void)sd_queue_retry(&s->queue, p, began);
		return;
	}
	if (s->cluster.n && !sd_claims_look(s, p, why, sizeof(why))) {
		memset(&d, 0, sizeof(d));
		d.n_nodes = s->cluster.n;
		d.plugins = SD_BIT(SD_P_VOLUMES);
		d.pre = why;
		sd_no_node(s, p, &d, began);
		sd_metrics_result(s, SD_UNSCHEDULABLE_RESULT, s->h->now_mono(s->h) - began);
		return;
	}
	n = sd_candidates(&s->cluster, p, &d);
	if (n && sd_plugins_ask(s, p, n, &d, p->ask_all || n < sd_enough_for(&s->cluster, p)))
		return;
	to = sd_choose(&s->cluster, s->cluster.cand, n);
	now = s->h->now_mono(s->h);
	if (to) {
		sd_metrics_result(s, SD_SCHEDULED, now - began);
		sd_place_on(s, p, to->name, now);
	} else if (d.err) {
		(void)sd_queue_retry(&s->queue, p, now);
	} else {
		sd_no_node(s, p, &d, now);
		sd_metrics_result(s, SD_UNSCHEDULABLE_RESULT, s->h->now_mono(s->h) - began);
	}
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
		okube_informer_relist(s->in_namespaces);
		okube_informer_relist(s->in_nodes);
		okube_informer_relist(s->in_pods);
	}
	sd_queue_wake_for(&s->queue, &s->cluster, now);
	next = sd_queue_tick(&s->queue, now);
	if (s->queue.active.n || s->n_others_loaded)
		sd_plugins_find(s);
	for (uint32_t i = 0; i < PASS_PODS && sd_write_room(s) && sd_plugins_room(s) &&
			     (p = sd_queue_pop(&s->queue));
	     i++)
		schedule_one(s, p);
	sd_write_flush(s);
	sd_metrics_gauges(s);
	if (s->queue.active.n && sd_write_room(s) && sd_plugins_room(s))
		sd_kick(s);
	if (s->queue.backoff.n && (!next || s->queue.backoff.v[0]->backoff_ns < next))
		next = s->queue.backoff.v[0]->backoff_ns;
	if (s->queue.n_unschedulable && !next)
		next = now + SD_UNSCHEDULABLE_MAX_NS;
	if (s->relist_ns && (!next || s->relist_ns < next))
		next = s->relist_ns;
	if (s->n_others_loaded && s->queue.n_unschedulable && (!next || now + PLUGINS_NS < next))
		next = now + PLUGINS_NS; /* a plugin that goes tells nobody */
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
	okube_informer_free(s->in_namespaces);
	s->h->timer_free(s->timer);
	sd_write_done(s);
	sd_plugins_done(s);
	OMAP_FOREACH(&s->pods, e)
	sd_pod_free(s, e->value);
	omap_done(&s->pods);
	sd_preempting_done(s);
	sd_profiles_done(s);
	sd_owners_close(s);
	s->h->resource_close(s->budgets);
	sd_claims_close(s);
	sd_queue_done(&s->queue);
	sd_cluster_done(&s->cluster);
	omem_free(s->lead_name);
	omem_free(s);
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
	olist_init(&s->asks);
	s->cluster.percent = (uint32_t)h->param_int(h, "percentage_of_nodes");
	s->lead_name = omem_printf("scheduler/%s", s->name);
	r = s->lead_name ? h->timer_new(h, on_timer, s, &s->timer) : -ENOMEM;
	if (r) {
		sd_free(s);
		return orlop_fail(err, -r, 0, "", "no memory");
	}
	r = sd_profiles_read(s, err);
	if (r) {
		sd_free(s);
		return r;
	}
	sd_metrics_make(s);
	*ret_ctx = s;
	return 0;
}

static int sd_start(void *ctx, struct orlop_error *err)
{
	struct sd *s = ctx;
	int r = sd_owners_open(s, err);

	if (!r)
		r = s->h->resource_open(s->h, "poddisruptionbudgets.policy", &s->budgets, err);
	if (!r)
		r = sd_claims_open(s, err);
	if (!r)
		r = okube_informer_new(s->h, "namespaces", sd_on_namespace, sd_on_namespaces_listed, s,
				       &s->in_namespaces, err);
	if (!r)
		r = okube_informer_new(s->h, "nodes", sd_on_node, sd_on_nodes_listed, s, &s->in_nodes, err);
	if (!r)
		r = okube_informer_new(s->h, "pods", sd_on_pod, sd_on_pods_listed, s, &s->in_pods, err);
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
	okube_informer_free(s->in_namespaces);
	s->in_pods = s->in_nodes = s->in_namespaces = NULL;
	sd_owners_close(s);
	s->h->resource_close(s->budgets);
	sd_claims_close(s);
	s->budgets = NULL;
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
	{ "profiles", ORLOP_PARAM_STRING, 0, "",
	  "JSON array of profiles as KubeSchedulerConfiguration has them, each with its schedulerName" },
	{ "plugins", ORLOP_PARAM_STRING, ORLOP_PARAM_LIVE, "*",
	  "modules of class scheduler-plugin to ask: NAME[:WEIGHT] ..., *: all that are loaded" },
};

ORLOP_MODULE("default", "scheduler", "0.1",
	     "license=Apache-2.0\0needs=api\0reads=pods,nodes,namespaces,services,replicationcontrollers,replicasets.apps,"
	     "statefulsets.apps,poddisruptionbudgets.policy,persistentvolumeclaims,persistentvolumes,"
	     "storageclasses.storage.k8s.io,csinodes.storage.k8s.io\0"
	     "asks=pods;get;delete,pods/binding;create,pods/status;patch,persistentvolumeclaims;patch,"
	     "persistentvolumes;patch,events;create;patch\0"
	     "user=system:kube-scheduler",
	     .license = "Apache-2.0", .summary = "gives pending pods a node",
	     .flags = ORLOP_MOD_UNLOADABLE, .n_params = sizeof(params) / sizeof(params[0]),
	     .params = params, .ops = &ops, .init = sd_init, .start = sd_start, .stop = sd_stop,
	     .fini = sd_fini, .health = sd_health, .stats = sd_stats, .param_validate = sd_validate,
	     .param_apply = sd_apply, );
