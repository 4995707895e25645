/*
 * call.h - requests and replies as both ends see them; messages; blobs.
 *
 * An op is a number of a class. A request carries one op, a message (tagged fields, see
 * inline/msg.h), and optionally blobs and descriptors. The receiving glue makes requests
 * at-most-once: a repeat (lost reply, lost request) never reaches the handler twice and gets the
 * same reply. Nothing here depends on whether the two ends share a process.
 *
 * Message encoding (format 1, little endian, 8-byte aligned fields):
 *   u16 tag, u16 type, u32 len, then len bytes, padded with zeros to 8.
 *   types: 1 u64 (len 8), 2 bytes, 3 nested message, 4 blob index (len 8).
 * Unknown tags are ignored; a missing field is its zero value. Limit: 64 KB inline; larger bytes
 * travel as blobs, which orlop_msg_put_bytes() of inline/msg.h does by itself when given room.
 */
#ifndef ORLOP_CALL_H
#define ORLOP_CALL_H

#include <orlop/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORLOP_MSG_MAX		65536u		/* bytes of a message, blobs not counted */
#define ORLOP_MSG_MAX_BLOBS	64u
#define ORLOP_MSG_MAX_FDS	16u

enum {
	ORLOP_T_U64	= 1,
	ORLOP_T_BYTES	= 2,
	ORLOP_T_MSG	= 3,
	ORLOP_T_BLOB	= 4,
};

/*
 * Blobs (struct orlop_blob) are immutable, reference-counted bytes, made by host->blob_new(); ref
 * and unref from any thread. Between processes they travel as sealed memory files; in one process
 * as references.
 *
 * A message with what travels beside it. As a parameter: all borrowed for the call; the callee
 * copies @body and takes its own references of @blobs. Descriptors in @fds are taken: the callee
 * closes them even on failure. As received: borrowed until the callback returns, except the
 * descriptors, which the receiver owns (set those you took to -1; the glue closes the others).
 */
struct orlop_msg {
	uint32_t	size;		/* of this struct */
	uint32_t	n_blobs;
	struct orlop_bytes body;
	struct orlop_blob *const *blobs;
	int32_t		*fds;
	uint32_t	n_fds;
	uint32_t	reserved0;
};

/* A received request. Borrowed: valid until call_done() of its call. */
struct orlop_req {
	uint32_t	size;
	uint32_t	op;		/* number within the class */
	uint64_t	trace;		/* trace id, passed on to what is requested because of this */
	uint64_t	deadline_ns;	/* monotonic; 0: none */
	uint64_t	key;		/* order key: requests with equal key ≠ 0 run in order */
	const struct orlop_identity *who;	/* on whose behalf; never NULL */
	struct orlop_msg msg;
};

/*
 * An op of a class: returns 0 and completes by host->call_done(call, …), now or later, from any
 * thread; or returns -errno, which answers the call with that error (from @err if it is set).
 */
typedef int (*orlop_op_fn)(void *ctx, const struct orlop_req *req, struct orlop_call *call,
			struct orlop_error *err);

/*
 * The head of every class's ops table: ops[i] serves op number i (op 0 is never used).
 * Class headers declare the same layout with names. NULL members answer ENOTSUP.
 */
struct orlop_ops {
	uint32_t	size;		/* of the whole table in bytes */
	uint32_t	reserved0;
	orlop_op_fn	op[];
};

/*
 * The answer to a request we sent, on our loop. @status 0 or -errno:
 *   -ECONNRESET  outcome unknown (the answerer was replaced or died in flight): re-read, decide
 *   -ETIMEDOUT   the deadline passed; the answerer was told to cancel
 *   -ECANCELED   we cancelled, or are stopping
 *   -EHOSTUNREACH nobody answers at this address (after waiting for it until the deadline)
 * @err is the answerer's error if @status < 0 (may be NULL), @msg its reply if @status ≥ 0.
 * @flags has ORLOP_REPLY_MORE for an emitted part; the last call has it clear.
 */
#define ORLOP_REPLY_MORE	0x0001u
typedef void (*orlop_reply_fn)(void *arg, int32_t status, const struct orlop_msg *msg,
			const struct orlop_error *err, uint32_t flags);

/* What to send. Zero it, set size; all borrowed. */
struct orlop_send {
	uint32_t	size;
	uint32_t	op;
	const char	*to;		/* address: "storage", "api", "runtime/oci" … */
	struct orlop_msg msg;
	uint64_t	timeout_ns;	/* from now; 0: 60 s; UINT64_MAX: none */
	uint64_t	key;		/* order key, 0: none */
	uint64_t	trace;		/* 0: a new one */
	const struct orlop_identity *who;	/* NULL: the module's own user */
};

#ifdef __cplusplus
}
#endif
#endif
