/* admin_in.h - what admin.c and admin_change.c share. Main loop. */
#ifndef CORE_ADMIN_IN_H
#define CORE_ADMIN_IN_H

#include "base/obuf.h"
#include "core.h"

/* A request that is answered later: its call, and the core to answer from. */
struct pending {
	struct core	*core;
	struct orlop_call *call;
	char		name[256];	/* of the module that was asked about */
};

/* Answers with one bytes field; takes what is in @b. */
void admin_answer(struct core *c, struct orlop_call *call, uint32_t tag, struct obuf *b);
/* A bytes field as C string. 0, -EINVAL (missing, too long, holds a NUL). */
int admin_get_text(struct core *c, const struct orlop_req *req, uint32_t tag, const char *what, char *buf, size_t size,
		   struct orlop_error *err);
int admin_get_instance(struct core *c, const struct orlop_req *req, struct core_instance **ret, struct orlop_error *err);
/* NULL: no memory. */
struct pending *admin_pending_new(struct core *c, struct orlop_call *call);
void admin_put_module_head(struct obuf *b, struct core_instance *inst);

/* admin_change.c */
int admin_op_load(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int admin_op_replace(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int admin_op_set(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int admin_op_reload(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int admin_op_unload(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);

#endif
