/* shutdown.h - the machine goes down (shutdown.c). */
#ifndef KUBELET_SHUTDOWN_H
#define KUBELET_SHUTDOWN_H

#include <orlop/kubelet.h>

#include "kubelet.h"

void shutdown_begin(struct kubelet *k, bool on);
/* Known anew: what had been decided about it still is. */
void pod_disrupted(struct pod *p);
/* A container has ended: is it the critical ones' turn? */
void shutdown_step(struct kubelet *k);
/* Who waits for their end is answered, if that was the last. */
void shutdown_look(struct kubelet *k);
/* The module stops: nobody can be told any more. */
void shutdown_stop(struct kubelet *k);
extern const struct orlop_kubelet_ops kubelet_ops;
/* Pods of which something runs. */
uint32_t shutdown_left(const struct kubelet *k);

#endif
