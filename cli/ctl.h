/*
 * ctl.h - the control socket of a running orlopd: abi/orlop/admin.h, from the asking side.
 *
 * Blocking. One request at a time on a connection; who wants several at once opens several.
 */
#ifndef CLI_CTL_H
#define CLI_CTL_H

#include <orlop/admin.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/obuf.h"
#include "json/ojson.h"

struct ctl {
	int		fd;
	const char	*path;
};

/* -ENOENT, -ECONNREFUSED: no daemon there; @err says what to do. */
int ctl_open(const char *path, struct ctl *ret, struct orlop_error *err);
void ctl_close(struct ctl *c);

/* @w: the message, borrowed; NULL: an empty one. */
int ctl_send(struct ctl *c, uint32_t op, struct orlop_msgw *w, struct orlop_error *err);
/* Until an answer is there, at most so long: 1, 0 if it is not. */
int ctl_wait(struct ctl *c, int timeout_ms);
/* The answer's fields into @ret. Negative: as the daemon answered, its reason in @err. */
int ctl_recv(struct ctl *c, struct obuf *ret, struct orlop_error *err);
/* The same for a frame of a stream: 1 if others follow, 0 if it was the last. */
int ctl_next(struct ctl *c, struct obuf *ret, struct orlop_error *err);
int ctl_call(struct ctl *c, uint32_t op, struct orlop_msgw *w, struct obuf *ret, struct orlop_error *err);

/* A request to any address of the bus. */
int ctl_forward_send(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, struct orlop_error *err);
/* The same with a descriptor that goes along (borrowed), and time for it; 0: two minutes. */
int ctl_forward_fd(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, int fd, uint64_t timeout_ns,
		   struct obuf *ret, struct orlop_error *err);
int ctl_forward_recv(struct ctl *c, struct obuf *ret, struct orlop_error *err);
int ctl_forward(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, struct obuf *ret,
		struct orlop_error *err);

/* A bytes field of an answer; p is NULL if there is none. */
struct orlop_bytes ctl_field(const struct obuf *answer, uint32_t tag);

/* An op with at most a name whose answer is JSON. */
int ctl_json(struct ctl *c, uint32_t op, const char *name, struct ojson **ret, struct orlop_error *err);
/* A CRI call: @take_req may be NULL. */
int ctl_runtime(struct ctl *c, uint32_t op, struct ojson *take_req, struct ojson **ret, struct orlop_error *err);

#endif
