/*
 * octl - the frame of a controller: queue, informers, leadership, and one task per key in hand.
 *
 * A controller embeds struct octl as its first member, follows resources and gives a sync function.
 * sync reads the cache, compares, and sends what is missing; every request it sends belongs to the
 * task (octl_answer as callback). When all of them are answered the key is done: forgotten if all
 * went well, tried again later if one failed. Because the API answers only when this process's
 * cache has the write, the next sync of the key sees what the last one did: no expectations.
 */
#ifndef OLIB_CTL_OCTL_H
#define OLIB_CTL_OCTL_H

#include <orlop/controller.h>
#include <orlop/host.h>

#include "base/olist.h"
#include "kube/okube.h"
#include "workq/oworkq.h"

struct octl;
struct octl_task;

/* Reconcile one key. Returns 0, or -errno to try again later. */
typedef int (*octl_sync_fn)(struct octl *c, struct octl_task *t, struct orlop_bytes ns,
			    struct orlop_bytes name);

#define OCTL_FOLLOW_MAX	16

struct octl {
	const struct orlop_host *h;
	const char	*name;
	octl_sync_fn	sync;
	bool		(*synced)(struct octl *c);	/* beyond the followed resources; NULL: nothing more */
	void		(*relist)(struct octl *c);	/* the same */
	struct orlop_timer *missed;
	struct oworkq	*q;
	struct okube_recorder *events;
	struct orlop_lead *lead;
	uint32_t	n_followed;
	struct okube_informer *followed[OCTL_FOLLOW_MAX];
	bool		leading;
	bool		stopping;
	bool		open;		/* synced and leading: keys are processed */
	uint32_t	n_tasks;
	struct olist	idle;		/* calls of resync that wait for an empty queue */
};

/* @component of Events, NULL: "NAME-controller". 0 or -errno; octl_done() undoes it. */
int octl_init(struct octl *c, const struct orlop_host *h, const char *name, const char *component,
	      octl_sync_fn sync, uint32_t workers, struct orlop_error *err);
void octl_done(struct octl *c);
/* Follow a resource; processing begins when all followed ones are synced. */
int octl_follow(struct octl *c, const char *resource, okube_change_fn fn, struct orlop_resource **ret,
		struct orlop_error *err);
/* A wake-up was lost for want of memory: everything is looked at once more, a second from now. */
void octl_missed(struct octl *c);
/* What synced() says may have changed. Matches orlop_cb. */
void octl_gate(void *arg);
/* module->start: ask for leadership, be ready. */
int octl_start(void *ctx, struct orlop_error *err);
/*
 * module->stop: no new keys; -EBUSY never. The leadership goes when the tasks in hand have ended: their
 * writes are seen by whoever leads next.
 */
int octl_stop(void *ctx, struct orlop_error *err);
/* module->fini of a controller that owns nothing but its struct, from OMEM_NEW(). */
void octl_fini(void *ctx);
void octl_health(void *ctx, struct orlop_health *health);
int octl_resync(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		struct orlop_error *err);
/* Answers @call when the queue has been empty once. 0, or -ENOMEM: not answered. */
int octl_when_idle(struct octl *c, struct orlop_call *call);

/* Queue "ns/name". */
void octl_add(struct octl *c, struct orlop_bytes ns, struct orlop_bytes name);
void octl_add_after(struct octl *c, struct orlop_bytes ns, struct orlop_bytes name, uint64_t delay_ns);
/* Queue the object that is the controller of @o, if its kind is @kind. */
void octl_add_controller_of(struct octl *c, const struct orlop_object *o, const char *kind);

/* One request more belongs to the task; its callback must end with octl_release(). */
void octl_hold(struct octl_task *t);
void octl_release(struct octl_task *t, bool failed);
/*
 * An okube_fn whose @arg is a held task: 2xx, and 404 of a delete, are good; everything else makes
 * the key come again.
 */
void octl_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev);
/* Sends with octl_answer, holding the task; a request that cannot be sent fails the task. */
void octl_send(struct octl_task *t, const struct okube_req *req);
/* A follow-up once this sync has ended well. */
void octl_again(struct octl_task *t, uint64_t delay_ns);
struct octl *octl_of(struct octl_task *t);

/* All objects that name @uid as an owner, as trees in a new array (NULL without memory). */
struct ojson *octl_owned(struct octl *c, struct orlop_resource *r, struct orlop_bytes ns,
			 const char *uid);

/* What octl_claim() looks for; all borrowed. */
struct octl_claim {
	struct orlop_resource *res;
	const char	*resource;	/* its name: "pods" */
	const char	*api_version;	/* of the owner: "apps/v1" */
	const char	*kind;
	const struct ojson *owner;
	const struct ojson *selector;	/* a LabelSelector; NULL: the owner's spec.selector */
	bool		(*may)(const struct ojson *obj);	/* may this orphan be adopted? NULL: any */
};

/*
 * octl_claim - the objects that @q->owner controls
 *
 * Objects without a controller that match the selector are adopted, those of ours that do not are
 * released; neither while one of the two is being deleted. *ret: a new array of trees, ours and
 * matching. Returns how many requests were sent (their answers belong to the task, and what they
 * change is not in *ret: sync again), or -ENOMEM.
 */
int octl_claim(struct octl_task *t, const struct octl_claim *q, struct ojson **ret);

bool octl_finalizer_has(const struct ojson *obj, const char *name);
/* An update of core/v1 @obj (a tree of the cache, changed here) with the finalizer or without; its answer is the task's. */
int octl_finalizer_set(struct octl_task *t, const char *resource, const char *kind, struct ojson *obj, const char *name, bool on);

/* A pod that is to be deleted when the API has answered something else about it; copies. */
struct octl_removal {
	struct octl_task *t;
	char		*uid;
	char		*ns;
	char		*name;
};

/* NULL without memory. */
struct octl_removal *octl_removal_new(struct octl_task *t, const struct ojson *pod);
/* Accepts NULL. */
void octl_removal_free(struct octl_removal *r);
/*
 * A merge patch of this state of the pod's status with the condition DisruptionTarget; @message NULL: without it. NULL
 * without memory.
 */
struct ojson *octl_removal_patch(const struct octl *c, const struct ojson *pod, const char *reason, const char *message);

extern const struct orlop_controller_ops octl_ops;

#endif
