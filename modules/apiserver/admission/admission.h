/*
 * admission.h - what is changed or refused between decoding and validation, for reasons that lie in
 * other objects. Source: the default-on admission plugins of kube-apiserver that this server has.
 */
#ifndef REG_ADMISSION_H
#define REG_ADMISSION_H

#include "../registry/op.h"

struct ojson;
struct reg_txn_result;

/* NamespaceLifecycle: may something be created in @ns? 0 or -errno with op->err (404, 403). */
int admission_namespace(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
			struct orlop_bytes name);

/* Change @obj (typed tree; what is added marks the write dirty). @old NULL: create. */
int admission_mutate(struct reg_op *op, struct ojson *obj, struct ojson *old);

/* After validation. */
int admission_validate(struct reg_op *op, struct ojson *obj, struct ojson *old);

/* serviceaccount.c, priority.c, pod.c, node.c */
int admission_service_account(struct reg_op *op, struct ojson *pod);
/* What the account of @pod does not list it may not name, if the account says so: new pods (@old NULL), ephemeral containers. */
int admission_mountable_secrets(struct reg_op *op, struct ojson *pod, struct ojson *old);
int admission_pod_priority(struct reg_op *op, struct ojson *pod);
/* On an update: what the class has given stays where the new object does not name it. */
int admission_priority_stays(struct reg_op *op, struct ojson *pod, const struct ojson *old);
int admission_priority_class(struct reg_op *op, struct ojson *class);
int admission_pod_tolerations(struct reg_op *op, struct ojson *pod);
/* limits.c: LimitRanger, before and after validation */
int admission_limits_give(struct reg_op *op, struct ojson *pod);
int admission_limits_judge(struct reg_op *op, struct ojson *pod);
/* podsecurity.c: pods, what makes pods, and namespaces that ask for more of them */
int admission_pod_security(struct reg_op *op, const struct ojson *obj, const struct ojson *old);
/* class.c */
int admission_runtime_class(struct reg_op *op, struct ojson *pod);
int admission_default_class(struct reg_op *op, struct ojson *obj);
/* StorageObjectInUseProtection */
int admission_storage_protection(struct reg_op *op, struct ojson *obj);
int admission_external_ips(struct reg_op *op, const struct ojson *service, const struct ojson *old);
int admission_claim_resize(struct reg_op *op, const struct ojson *claim, const struct ojson *old);
int admission_node_taints(struct reg_op *op, struct ojson *node, const struct ojson *old);

/*
 * quota.c: ResourceQuota. _waits: must the write stand in line behind others of its namespace? write_commit() is called
 * when it is its turn. _charge: compares and puts of quotas into the transaction, or a refusal. _done: the transaction is
 * over (@res NULL: it failed), true if a quota was not as we thought: try again. _next: whoever waits goes on.
 */
bool admission_quota_waits(struct reg_op *op);
int admission_quota_charge(struct reg_op *op, struct reg_txn *t);
bool admission_quota_done(struct reg_op *op, const struct reg_txn_result *res);
void admission_quota_next(struct reg_shard *sh, struct orlop_bytes ns);

/*
 * hooks.c: webhooks. Both give 0 (nothing to ask, or it has been asked), -EINPROGRESS (admission_hooks_run() asks, and
 * calls @done later or at once), or another -errno with op->err. _mutated: w->obj is what they made of it.
 */
int admission_hooks_mutated(struct reg_op *op);
int admission_hooks_validate(struct reg_op *op);
void admission_hooks_run(struct reg_op *op, void (*done)(struct reg_op *op, int r));
/* hookbody.c: webhooks about the body of a request to a subresource; then @fn does it, or it is refused. */
void admission_hooks_body(struct reg_op *op, void (*fn)(struct reg_op *op));
/* The same about the Scale @take_obj that was @take_old, in the middle of op's write: op->w->hook_obj is what they made of it. */
void admission_hooks_scale(struct reg_op *op, struct ojson *take_obj, struct ojson *take_old, void (*fn)(struct reg_op *op));
bool admission_hooks_any(struct reg_shard *sh);
/* What of a configuration is not done here. */
void admission_hooks_warn(struct reg_op *op, const struct ojson *config);
void hook_clients_free(struct reg_shard *sh);
/* noderestriction.c: of writes by nodes, before all others; of a token whose @pod (NULL: none) it shall die with */
int admission_node_restriction(struct reg_op *op, struct ojson *obj, struct ojson *old);
int admission_node_token(struct reg_op *op, const struct ojson *pod, const struct ojson *audiences);

/* Parse a cached object by kind; *ret NULL if there is none. */
int admission_lookup(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
		     struct orlop_bytes name, struct ojson **ret);

#endif
