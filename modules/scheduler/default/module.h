/*
 * module.h - the scheduler as a module: what it follows, what it is about to write.
 *
 * default.c follows pods and nodes and runs the queue; explain.c answers; write.c carries bindings, conditions and
 * Events to the API in batches; report.c says why a pod waits.
 */
#ifndef SCHEDULER_DEFAULT_MODULE_H
#define SCHEDULER_DEFAULT_MODULE_H

#include <orlop/host.h>

#include "kube/okube.h"
#include "sched.h"

enum sd_kind {
	SD_W_BIND,
	SD_W_LOOKUP,		/* did a binding of unknown outcome happen? */
	SD_W_CONDITION,
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

struct sd {
	const struct orlop_host *h;
	const char	*name;		/* spec.schedulerName that is ours */
	char		*lead_name;
	struct sd_cluster cluster;
	struct sd_queue	queue;
	struct omap	pods;		/* ns/name → sd_pod, all that are not over */
	struct okube_informer *in_pods;
	struct okube_informer *in_nodes;
	struct orlop_lead *lead;
	struct orlop_timer *timer;
	bool		leading;
	bool		stopping;
	bool		posted;
	uint64_t	relist_ns;	/* read everything again then; 0: no need */

	/* write.c */
	struct olist	urgent;		/* bindings */
	struct olist	others;
	struct olist	batches;	/* under way */
	uint32_t	n_urgent;
	uint32_t	n_others;
	uint32_t	n_batches;

	uint64_t	n_scheduled;
	uint64_t	n_unschedulable;
	uint64_t	n_errors;
	struct orlop_metric *m_scheduled;
	struct orlop_metric *m_unschedulable;
	struct orlop_metric *m_error;
	struct orlop_metric *m_pending[4];
};

/* default.c */
struct sd_pod *sd_pod_find(struct sd *s, struct orlop_bytes ns, struct orlop_bytes name);
/* There may be something to do. */
void sd_kick(struct sd *s);
/* The binding did not happen: what was assumed is given back, the pod tried again later. */
void sd_give_back(struct sd *s, struct sd_pod *p);

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

/* explain.c */
int sd_op_explain(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err);

#endif
