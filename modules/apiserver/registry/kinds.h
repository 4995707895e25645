/* kinds.h - the behaviours of single kinds, one file each. */
#ifndef REG_KINDS_H
#define REG_KINDS_H

#include "op.h"
#include "store.h"

extern const struct reg_behaviour kind_namespace;
extern const struct reg_behaviour kind_pod;
extern const struct reg_behaviour kind_service;
extern const struct reg_behaviour kind_job;
extern const struct reg_behaviour kind_daemon_set;
extern const struct reg_behaviour kind_csr;
extern const struct reg_behaviour kind_priority;
extern const struct reg_behaviour kind_role;
extern const struct reg_behaviour kind_cluster_role;
extern const struct reg_behaviour kind_role_binding;
extern const struct reg_behaviour kind_cluster_role_binding;
extern const struct reg_behaviour kind_claim;
extern const struct reg_behaviour kind_crd;
extern const struct reg_behaviour kind_api_service;
extern const struct reg_behaviour kind_validating_policy;
extern const struct reg_behaviour kind_validating_policy_binding;
extern const struct reg_behaviour kind_mutating_policy;
extern const struct reg_behaviour kind_mutating_policy_binding;
extern const struct reg_behaviour kind_resource_claim;
extern const struct reg_behaviour kind_resource_claim_template;
extern const struct reg_behaviour kind_resource_slice;

/* "BestEffort", "Burstable", "Guaranteed" */
const char *pod_qos_class(const struct ojson *pod);

/* Address of default/kubernetes: the first of the service range, "10.96.0.1". */
void service_first_ip(const struct registry *rg, char buf[16]);

#endif
