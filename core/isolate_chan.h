/*
 * isolate_chan.h - one end of the control channel: packets (isolate_wire.h) in order, with descriptors.
 *
 * Sending is for any thread and never blocks; receiving is on the loop. What does not fit into the
 * socket waits, up to a limit: a peer that does not read is ill, and its channel broken.
 */
#ifndef CORE_ISOLATE_CHAN_H
#define CORE_ISOLATE_CHAN_H

#include "isolate_wire.h"
#include "loop.h"

struct core_iso_chan;

/* On the loop. @in's descriptors not set to -1 are closed after it. */
typedef void (*core_iso_in_fn)(void *arg, struct core_iso_in *in);
/* On the loop, once: the peer has closed (0), spoke rubbish or does not read (-errno). */
typedef void (*core_iso_end_fn)(void *arg, int status);

/* Takes @take_fd, a SOCK_SEQPACKET socket. 0 or -errno. */
int core_iso_chan_new(struct core_loop *l, int take_fd, core_iso_in_fn in, core_iso_end_fn end, void *arg,
		      struct core_iso_chan **ret);
/* On the loop; no callback after it, and nobody else may send any more. Accepts NULL. */
void core_iso_chan_free(struct core_iso_chan *c);

/*
 * core_iso_send - one packet; @w's fields and descriptors (borrowed: they stay open here)
 *
 * @w may be NULL (no fields). 0, -EPIPE (ended), -ENOMEM, -E2BIG; with CORE_ISO_DROP also -EAGAIN, if it
 * would have to wait. Any thread.
 */
#define CORE_ISO_DROP	0x0001u
/* What stands behind the fields. */
#define CORE_ISO_PARTS_MAX	(ORLOP_MSG_MAX_BLOBS + 1)
struct core_iso_raw {
	uint32_t	n;
	struct orlop_bytes part[CORE_ISO_PARTS_MAX];
	uint32_t	n_fds;
	int32_t		fds[CORE_ISO_FDS_MAX];	/* borrowed */
	uint32_t	flags;		/* CORE_ISO_DROP */
};
int core_iso_send_raw(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct orlop_msgw *w,
		      const struct core_iso_raw *raw);
int core_iso_send(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct orlop_msgw *w,
		  uint32_t flags);

/* ---- without a loop ------------------------------------------------------------------------------------ */

/*
 * core_iso_ask - a question from any thread that waits for its answer, at most @timeout_ms
 *
 * The answer is in @in, which points into @buf; its descriptors are the caller's. 0, -ETIMEDOUT, -errno.
 */
int core_iso_ask(struct core_iso_chan *c, uint32_t type, const struct orlop_msgw *w, int timeout_ms,
		 char *buf, size_t size, struct core_iso_in *in);
/* The answer, to descriptor @fd of the question. */
void core_iso_answer(int fd, const struct orlop_msgw *w);
/* Receives one packet from @fd, waiting at most @timeout_ms (-1: for ever). 0, -EPIPE, -ETIMEDOUT, -EPROTO. */
int core_iso_recv(int fd, int timeout_ms, char *buf, size_t size, struct core_iso_in *in);
/* Sends one packet to @fd if there is room. 0 or -errno. */
int core_iso_put(int fd, uint32_t type, uint64_t id, const struct orlop_msgw *w);

#define CORE_ISO_BUF	(sizeof(struct core_iso_head) + CORE_ISO_BODY_MAX)

#endif
