/*
 * admin.h - the address "core" and the control socket.
 */
#ifndef CORE_ADMIN_H
#define CORE_ADMIN_H

#include "base/obuf.h"
#include "core.h"

/* The ops table of the instance "core"; its ctx is struct core. */
const struct orlop_ops *core_admin_ops(void);

/* A message with all blobs and what is nested written out. */
void core_msg_flatten(const struct orlop_host *h, const struct orlop_msg *m, struct obuf *out);

/*
 * reload.c: reads the configuration again, applies what may change while running, and says in @out (JSON)
 * what has changed and what has not. Nothing is changed if any of it is wrong: -errno with @err. Main loop.
 */
int core_reload(struct core *c, struct obuf *out, struct orlop_error *err);

/* The control socket at config->control. 0 or -errno with a reason. Main loop. */
int core_control_start(struct core *c, struct orlop_error *err);
void core_control_stop(struct core *c);		/* before core_free() */

/* The state of all loops and modules as text, for SIGUSR1: to the log. Main loop. */
void core_state_dump(struct core *c);

#endif
