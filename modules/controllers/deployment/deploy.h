/*
 * deploy.h - one sync of one Deployment: what it says, its ReplicaSets, what shall become of them.
 *
 * The deciding functions change only this picture (rset.want, the working copy of the Deployment);
 * deployment.c then sends what differs. Source: upstream's pkg/controller/deployment, behaviour only.
 */
#ifndef CONTROLLER_DEPLOYMENT_DEPLOY_H
#define CONTROLLER_DEPLOYMENT_DEPLOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/octl.h"
#include "json/ojson.h"

#define HASH_LABEL	"pod-template-hash"
#define REVISION	"deployment.kubernetes.io/revision"
#define REVISIONS	"deployment.kubernetes.io/revision-history"
#define DESIRED		"deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS	"deployment.kubernetes.io/max-replicas"

#define NO_LIMIT	INT64_C(2147483647)	/* also what upstream's clients write for "none" */

/* Numbers of the Deployment's spec. */
struct dspec {
	int64_t		replicas;
	int64_t		surge;		/* most pods beyond replicas */
	int64_t		unavailable;	/* most pods short of replicas */
	int64_t		min_ready_s;
	int64_t		deadline_s;	/* NO_LIMIT: none */
	int64_t		history;	/* old sets kept, NO_LIMIT: all */
	bool		rolling;	/* else Recreate */
	bool		paused;
};

/* One ReplicaSet. */
struct rset {
	const struct ojson *obj;	/* borrowed */
	int64_t		had;		/* spec.replicas as it is */
	int64_t		want;		/* as it shall be */
	int64_t		actual;		/* status.replicas */
	int64_t		ready;
	int64_t		available;
	int64_t		terminating;
	bool		annotate;	/* its replica annotations shall follow too */
};

struct rollout {
	struct ojson	*d;		/* working copy: its status and annotations may change */
	const struct ojson *was;	/* as the cache has it */
	struct dspec	spec;
	struct rset	*v;		/* oldest first */
	size_t		n;
	struct rset	*newest;	/* the set of the present template, or NULL */
	int64_t		now_ns;
};

/* ---- numbers.c: how many pods each set shall have ------------------------------------------------ */

void dspec_read(const struct ojson *d, struct dspec *ret);
void rset_read(const struct ojson *rs, struct rset *ret);
/* Available pods that remain when the set has shrunk to what it shall be: never counts a pod twice. */
int64_t rset_available(const struct rset *s);
/* Pods of the sets; @old_only leaves the newest out. */
int64_t rollout_pods(const struct rollout *r, bool old_only);
/* Replicas of the newest set, which has @have now, with everything else as it is. */
int64_t rollout_new_replicas(const struct rollout *r, int64_t have);
/* Has `kubectl scale` changed the Deployment since the sets were last sized? */
bool rollout_is_scaling(const struct rollout *r);
/* Size all active sets in proportion. */
void rollout_scale(struct rollout *r);
/* A step of the rolling update: 1 if a size changed. */
bool rollout_grow_new(struct rollout *r);
bool rollout_shrink_old(struct rollout *r);
/* Recreate: nothing old remains. */
bool rollout_drop_old(struct rollout *r);
/* All pods are new and available. */
bool rollout_complete(const struct rollout *r, const struct ojson *status);

/* ---- template.c: which set is the one of the present template --------------------------------------- */

/* spec.template without our label and without what says nothing; a new tree, NULL without memory. */
struct ojson *template_plain(const struct ojson *obj);
bool template_is(const struct ojson *plain, const struct ojson *rs);
/* Value of the label: @out holds 11 bytes. 0 or -ENOMEM. */
int template_hash(const struct ojson *plain, const struct ojson *collision_count, char *out);
/* A new ReplicaSet of @d with @replicas pods and revision @revision; NULL without memory. */
struct ojson *replicaset_new(const struct ojson *d, const struct dspec *spec, int64_t replicas,
			     int64_t revision);

/* ---- revision.c: annotations -------------------------------------------------------------------------- */

int64_t revision_of(const struct ojson *obj);
/* One more than that of any old set. */
int64_t revision_next(const struct rollout *r);
/* The newest set's annotations as the Deployment's and @revision ask: true if @rs changed. */
bool annotations_renew(const struct ojson *d, struct ojson *rs, int64_t revision);
bool annotations_size(struct ojson *rs, const struct dspec *spec);
/* @key of the annotations as a number, -1: there is none. */
int64_t annotation_i64(const struct ojson *obj, const char *key);
bool annotation_set(struct ojson *obj, const char *key, const char *value);

/* ---- status.c: status and conditions -------------------------------------------------------------------- */

/* As upstream's SetDeploymentCondition: nothing (false) if status and reason stay. */
bool condition_set(struct rollout *r, const char *type, const char *status, const char *reason,
		   const char *message);
void condition_drop(struct rollout *r, const char *type);
/* Pausing and resuming show in Progressing. */
void status_paused(struct rollout *r);
/* Counts and Available; with @progress also Progressing and ReplicaFailure. */
void status_renew(struct rollout *r, bool progress);
/* Nanoseconds until the rollout may have exceeded its deadline, 0: nothing to wait for. */
uint64_t status_deadline(const struct rollout *r);

/* ---- write.c: what is sent; the answers belong to the task ---------------------------------------------- */

/* Create the set of the present template. 0 or -errno. */
int write_new_set(struct octl_task *t, struct orlop_resource *sets, const struct rollout *r);
/* The newest set's annotations and minReadySeconds: 1 if a request was sent, 0, or -ENOMEM. */
int write_newest(struct octl_task *t, const struct rollout *r);
/* Sets whose size shall change. */
int write_sizes(struct octl_task *t, const struct rollout *r);
/* Old sets beyond the history's limit. */
int write_history(struct octl_task *t, const struct rollout *r);
/* Status and revision, if they changed. */
int write_status(struct octl_task *t, const struct rollout *r);

#endif
