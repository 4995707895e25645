/*
 * verbs.h - what registry.c dispatches to: one function a verb or family. Each finishes op itself.
 */
#ifndef REG_VERBS_H
#define REG_VERBS_H

#include "op.h"

void reg_do_get(struct reg_op *op);		/* get.c; also of subresources */
void reg_do_list(struct reg_op *op);		/* list.c */
void reg_list_snapshot(struct reg_op *op);	/* list.c: what op->snap holds */
void reg_do_watch(struct reg_op *op);		/* watch.c */
void reg_do_write(struct reg_op *op);		/* write.c: create, update, patch */
void reg_do_delete(struct reg_op *op);		/* delete.c */
void reg_do_delete_many(struct reg_op *op);	/* delete-many.c */
void reg_do_review(struct reg_op *op);		/* review.c: virtual resources */
void reg_do_binding(struct reg_op *op);		/* kind-pod.c */
void reg_do_token(struct reg_op *op);		/* token.c */
void reg_do_components(struct reg_op *op);	/* components.c */
void reg_do_eviction(struct reg_op *op);	/* evict.c */

void reg_watch_note(struct reg_shard *sh, uint16_t kind_id);	/* watch.c: a resource moved */

void reg_notes_on(struct reg_shard *sh, const struct reg_kind *k);

const struct reg_behaviour *reg_behaviour_of(const char *cache_name);	/* kinds.c */

void reg_expiry_note(struct reg_shard *sh);	/* expire.c: events moved */
void reg_expiry_free(struct reg_expiry *x);
int reg_expiry_start(struct reg_shard *sh);

struct reg_aggregate;
int reg_aggregate_start(struct reg_shard *sh);	/* aggregate.c; shard 0 */
/* Calls @settled once, when nothing is to be done (or something cannot be done now). One may wait. */
void reg_aggregate_wait(struct reg_shard *sh, reg_boot_fn settled, void *arg);
void reg_aggregate_free(struct reg_aggregate *a);

struct reg_apiservices;
int reg_apiservices_start(struct reg_shard *sh);	/* apiservices.c; shard 0 */
void reg_apiservices_free(struct reg_apiservices *a);

/* boot-rbac.c: the policy's roles and bindings */
void reg_boot_rbac(struct reg_shard *sh, reg_boot_fn done, void *arg);
struct boot_rbac;
void reg_boot_rbac_free(struct boot_rbac *b);	/* what goes on behind done() ends; accepts NULL */

/* flows.c: priority levels and flow schemas, and what is said of them; shard 0 */
void reg_flows_start(struct reg_shard *sh, reg_boot_fn done, void *arg);
struct reg_flows;
void reg_flows_free(struct reg_flows *f);	/* accepts NULL */

void reg_evcache_free(struct reg_evcache *c);

#endif
