/* qos.h - the cgroups above containers (qos.c). */
#ifndef KUBELET_QOS_H
#define KUBELET_QOS_H

#include "cgroup.h"
#include "kubelet.h"

/* What a pod's cgroup has. @pids: -1 no limit. */
void qos_pod_limits(const struct ojson *pod, int64_t pids, struct cg_limits *ret);
/* Is the pod's cgroup there? Else it is being made, and the pod kicked then. */
bool qos_pod_ready(struct pod *p);
/* Pods have come or gone: what the burstable ones have together. */
void qos_changed(struct kubelet *k);

#endif
