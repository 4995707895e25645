/*
 * module.h - the scheduler as a module: what it follows, what it is about to write.
 *
 * default.c runs the queue; follow.c takes in pods, nodes and namespaces; owners.c finds default spread
 * constraints; claims.c what volumes allow; preempting.c carries preemption out; plugin.c asks plugins that are modules; profiles.c reads
 * the parameter; explain.c answers; write.c carries bindings, conditions and Events to the API in batches;
 * report.c says why a pod waits.
 */
#ifndef SCHEDULER_DEFAULT_MODULE_H
#define SCHEDULER_DEFAULT_MODULE_H

#include <orlop/host.h>

#include "kube/okube.h"
#include "preempt.h"
#include "profile.h"
#include "sched.h"
#include "topology.h"

enum sd_kind {
	SD_W_BIND,
	SD_W_LOOKUP,		/* did a binding of unknown outcome happen? */
	SD_W_CONDITION,
	SD_W_DELETE,
	SD_W_CLAIM,
	SD_W_VOLUME,
	SD_W_EVENT,
	SD_W_EVENT_COUNT,
};

/* One request to be. All text in one allocation. */
struct sd_write {
	struct olist	list;
	enum sd_kind	kind;
	struct orlop_bytes ns;		/* of the pod */
	struct orlop_bytes name;
	struct orlop_bytes uid;
	struct orlop_bytes node;	/* SD_W_BIND, SD_W_LOOKUP */
	struct orlop_bytes object;	/* name of what is written: the pod's, the Event's */
	struct orlop_bytes body;
};

struct sd;

/* @n answers of one batch, in order. */
struct sd_batch {
	struct olist	list;
	struct sd	*s;
	struct orlop_request *req;
	uint32_t	n;
	struct sd_write	*v[];
};

enum { SD_V_CLAIMS, SD_V_VOLUMES, SD_V_CLASSES, SD_VOLUME_RESOURCES };
enum { SD_OWNER_SERVICE, SD_OWNERS = 4 };
enum { SD_SCHEDULED, SD_UNSCHEDULABLE_RESULT, SD_ERROR, SD_RESULTS };
enum { SD_EV_POD_ADD, SD_EV_ATTEMPT_FAILURE, SD_EV_BACKOFF, SD_EV_HINT, SD_EVENTS };

struct sd_metrics {
	struct orlop_metric *attempts[SD_RESULTS];
	struct orlop_metric *duration[SD_RESULTS];
	struct orlop_metric *algorithm;
	struct orlop_metric *pending[4];
	struct orlop_metric *tries;		/* attempts of a pod that was scheduled */
	struct orlop_metric *sli;		/* from its first queueing to its binding */
	struct orlop_metric *preemptions;
	struct orlop_metric *victims;
	struct orlop_metric *cache[3];		/* nodes, pods, assumed_pods */
	struct orlop_metric *refused[SD_N_PLUGINS];
};

/* A module of class scheduler-plugin. */
struct sd_other {
	struct orlop_bytes name;	/* of the address scheduler-plugin/NAME */
	char		*address;
	int64_t		weight;
	bool		seen;
};

struct sd {
	const struct orlop_host *h;
	const char	*name;		/* spec.schedulerName that is ours */
	char		*lead_name;
	struct sd_cluster cluster;
	struct sd_queue	queue;
	struct omap	pods;		/* ns/name → sd_pod, all that are not over */
	struct sd_profile *profiles;
	uint32_t	n_profiles;
	struct okube_informer *in_pods;
	struct okube_informer *in_nodes;
	struct okube_informer *in_namespaces;
	struct okube_informer *in_csinodes;
	struct orlop_resource *owners[SD_OWNERS];
	struct orlop_resource *budgets;
	struct orlop_resource *volumes[SD_VOLUME_RESOURCES];
	struct orlop_lead *lead;
	struct orlop_timer *timer;
	bool		leading;
	bool		stopping;
	bool		posted;
	uint64_t	relist_ns;	/* read everything again then; 0: no need */
	uint64_t	seen_add;	/* queue additions counted in the metrics */

	/* preempting.c */
	struct oarena	budget_mem;
	struct sd_budget *budget_v;
	uint32_t	n_budgets;
	uint64_t	budgets_rev;

	/* plugin.c */
	struct sd_other	*others;
	uint32_t	n_others_loaded;
	struct olist	asks;
	uint32_t	n_asks;
	bool		plugins_changed;

	/* write.c */
	struct olist	urgent;		/* bindings, conditions, victims */
	struct olist	others_wait;	/* Events */
	struct olist	batches;	/* under way */
	uint32_t	n_urgent;
	uint32_t	n_others;
	uint32_t	n_batches;

	uint64_t	n_scheduled;
	uint64_t	n_unschedulable;
	uint64_t	n_errors;
	struct sd_metrics m;
};

/* default.c */
/* There may be something to do. */
void sd_kick(struct sd *s);
/* The binding did not happen: what was assumed is given back, the pod tried again later. */
void sd_give_back(struct sd *s, struct sd_pod *p);
/* A node was chosen for a pod that waits. */
void sd_place_on(struct sd *s, struct sd_pod *p, struct orlop_bytes node, uint64_t now);
/* None was; preempts if that helps, and says why. */
void sd_no_node(struct sd *s, struct sd_pod *p, struct sd_diag *d, uint64_t now);

/* follow.c */
struct sd_pod *sd_pod_find(struct sd *s, struct orlop_bytes ns, struct orlop_bytes name);
void sd_pod_free(struct sd *s, struct sd_pod *p);
void sd_on_pod(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev);
void sd_on_pods_listed(void *arg);
void sd_on_node(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev);
void sd_on_nodes_listed(void *arg);
void sd_on_namespace(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev);
void sd_on_namespaces_listed(void *arg);

/* owners.c */
int sd_owners_open(struct sd *s, struct orlop_error *err);
void sd_owners_close(struct sd *s);
/* The spread constraints of a pod; *ret NULL: none. 0 or -ENOMEM. */
int sd_spreads_of(struct sd *s, const struct sd_pod *p, struct orlop_bytes spec, const struct orlop_object *o,
		  struct sd_spreads **ret);

/* claims.c */
int sd_claims_open(struct sd *s, struct orlop_error *err);
void sd_claims_close(struct sd *s);
bool sd_claims_synced(const struct sd *s);	/* limits of nodes are known */
/* What the pod's claims are bound to; false: it cannot run anywhere yet, and @why. */
bool sd_claims_look(struct sd *s, struct sd_pod *p, char *why, size_t size);
/* True: volumes have to be bound first; the pod waits for that and keeps room on the node. */
bool sd_claims_bind(struct sd *s, struct sd_pod *p, struct sd_node *n, uint64_t now);

/* preempting.c */
void sd_preempting(struct sd *s, struct sd_pod *p, struct sd_diag *d, struct sd_diag *dry);
void sd_preempting_done(struct sd *s);

/* profiles.c */
int sd_profiles_read(struct sd *s, struct orlop_error *err);
int sd_profiles_check(const char *text, struct orlop_bytes *ret, struct orlop_error *err);
void sd_profiles_done(struct sd *s);
const struct sd_profile *sd_profile_for(const struct sd *s, struct orlop_bytes name);	/* NULL: not ours */

/* plugin.c */
void sd_plugins_find(struct sd *s);
void sd_plugins_done(struct sd *s);
/* The candidates in s->cluster.cand are put to the plugins; false: there are none, or no memory. */
bool sd_plugins_ask(struct sd *s, struct sd_pod *p, uint32_t n, const struct sd_diag *d, bool all);
/* The pod is not what was asked about any more. */
void sd_plugins_forget(struct sd_pod *p);
bool sd_plugins_room(const struct sd *s);

/* metrics.c */
void sd_metrics_make(struct sd *s);
void sd_metrics_result(struct sd *s, int result, uint64_t took_ns);
void sd_metrics_bound(struct sd *s, const struct sd_pod *p);
void sd_metrics_gauges(struct sd *s);

/* write.c */
void sd_write_init(struct sd *s);
void sd_write_done(struct sd *s);
/* 0 or -ENOMEM: then nothing will be written. */
int sd_write_bind(struct sd *s, const struct sd_pod *p, struct orlop_bytes node);
int sd_write_other(struct sd *s, enum sd_kind kind, const struct sd_pod *p,
		   struct orlop_bytes object, struct orlop_bytes body);
/* Send what waits, as far as requests may be under way. */
void sd_write_flush(struct sd *s);
/* Stopping: send what waits; when all is answered somebody else may lead. */
void sd_write_finish(struct sd *s);
bool sd_write_room(const struct sd *s);

/* report.c */
void sd_report_scheduled(struct sd *s, struct sd_pod *p, struct orlop_bytes node);
/* @reason of the condition: Unschedulable, SchedulerError. Condition and Event, if they are new. */
void sd_report_failed(struct sd *s, struct sd_pod *p, const char *reason,
		      struct orlop_bytes message);
void sd_report_gated(struct sd *s, struct sd_pod *p);
void sd_report_preempted(struct sd *s, struct sd_pod *victim, const struct sd_pod *by,
			 struct orlop_bytes message);
/* nominatedNodeName alone. */
void sd_report_nominated(struct sd *s, struct sd_pod *p);

/* explain.c */
int sd_op_explain(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err);

#endif
