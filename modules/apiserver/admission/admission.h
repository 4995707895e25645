/*
 * admission.h - what is changed or refused between decoding and validation, for reasons that lie in
 * other objects. Source: the default-on admission plugins of kube-apiserver that this server has.
 */
#ifndef REG_ADMISSION_H
#define REG_ADMISSION_H

#include "../registry/op.h"

struct ojson;

/* NamespaceLifecycle: may something be created in @ns? 0 or -errno with op->err (404, 403). */
int admission_namespace(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
			struct orlop_bytes name);

/* Change @obj (typed tree; what is added marks the write dirty). @old NULL: create. */
int admission_mutate(struct reg_op *op, struct ojson *obj, struct ojson *old);

/* After validation. */
int admission_validate(struct reg_op *op, struct ojson *obj, struct ojson *old);

/* serviceaccount.c, priority.c, pod.c, node.c */
int admission_service_account(struct reg_op *op, struct ojson *pod);
int admission_pod_priority(struct reg_op *op, struct ojson *pod);
int admission_priority_class(struct reg_op *op, struct ojson *class);
int admission_pod_tolerations(struct reg_op *op, struct ojson *pod);
/* limits.c: LimitRanger, before and after validation */
int admission_limits_give(struct reg_op *op, struct ojson *pod);
int admission_limits_judge(struct reg_op *op, struct ojson *pod);
int admission_node_taints(struct reg_op *op, struct ojson *node, const struct ojson *old);

/* noderestriction.c: of writes by nodes, before all others; of a token whose @pod (NULL: none) it shall die with */
int admission_node_restriction(struct reg_op *op, struct ojson *obj, struct ojson *old);
int admission_node_token(struct reg_op *op, const struct ojson *pod);

/* Parse a cached object by kind; *ret NULL if there is none. */
int admission_lookup(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
		     struct orlop_bytes name, struct ojson **ret);

#endif
