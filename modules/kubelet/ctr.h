/* ctr.h - what container.c, ctrprep.c and ctrend.c share. */
#ifndef KUBELET_CTR_H
#define KUBELET_CTR_H

#include "kubelet.h"

/* The step is over, one way or the other: not busy any more, the pod is looked at again. */
void ctr_step_end(struct ctr *c);
/* It has failed: event, reason, back-off. */
void ctr_step_fail(struct ctr *c, const char *reason, const char *message);
/* The pod is being ended (or we are): the step is over and the caller returns. */
bool ctr_interrupted(struct ctr *c);
/* Everything is prepared: create and start it. All borrowed. */
void ctr_create(struct ctr *c, const struct ojson *env, const struct config_mount *mounts, uint32_t n_mounts);
/* The host's file behind terminationMessagePath. Caller frees. */
char *ctr_term_path(const struct ctr *c, uint32_t attempt);

/* ---- hook.c ------------------------------------------------------------------------------------ */

/* @why NULL: it has done its work. */
typedef void (*hook_fn)(struct ctr *c, const char *why);
/* "postStart", "preStop". @timeout_s 0: as long as it likes. NULL: there is none, or no memory. */
struct hook *hook_start(struct ctr *c, const char *which, int64_t timeout_s, hook_fn fn);
/* Nobody is told; a command that runs in the container goes on. Accepts NULL. */
void hook_cancel(struct hook *h);

/* ---- ctrstop.c --------------------------------------------------------------------------------- */

void ctr_stop_forget(struct ctr *c);

#endif
