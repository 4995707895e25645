/*
 * storage.h - the class "storage": ordered keys to bytes, with revisions.
 *
 * The contract (executable form: tests/contract/storage.c):
 *  - A successful transaction that changes anything gets the next revision R; all its keys get
 *    mod revision R. Revisions only grow, survive restarts and are never used twice; the first is
 *    above 1. A transaction without effect (compares failed, deletes of nothing) takes none.
 *  - A write is answered after it is durable, except with ORLOP_TXN_LAZY: answered before the sync,
 *    still in revision order with the next commit (≤ 100 ms).
 *  - range reads at one revision; `changes` returns every change in order, never splitting a
 *    revision over two answers.
 *  - History is kept until compact(R): range and changes below it fail with ESTALE (http 410).
 * Keys: 1 … 511 bytes (what LMDB takes), compared as unsigned bytes. Values: 0 … 8 MiB.
 * Fields are message tags (call.h); u64 unless said.
 */
#ifndef ORLOP_STORAGE_H
#define ORLOP_STORAGE_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORLOP_STORAGE_KEY_MAX	511u
#define ORLOP_STORAGE_VALUE_MAX	(8u << 20)

struct orlop_storage_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;	/* op 0 is never used */
	orlop_op_fn	range;		/* 1 */
	orlop_op_fn	txn;		/* 2 */
	orlop_op_fn	changes;	/* 3 */
	orlop_op_fn	revision;	/* 4 */
	orlop_op_fn	compact;	/* 5 */
	orlop_op_fn	snapshot;	/* 6 */
	orlop_op_fn	restore;	/* 7 */
	orlop_op_fn	status;		/* 8 */
	orlop_op_fn	check;		/* 9 */
};

enum {
	ORLOP_STORAGE_RANGE	= 1,
	ORLOP_STORAGE_TXN	= 2,
	ORLOP_STORAGE_CHANGES	= 3,
	ORLOP_STORAGE_REVISION	= 4,
	ORLOP_STORAGE_COMPACT	= 5,
	ORLOP_STORAGE_SNAPSHOT	= 6,
	ORLOP_STORAGE_RESTORE	= 7,
	ORLOP_STORAGE_STATUS	= 8,
	ORLOP_STORAGE_CHECK	= 9,
};

/*
 * range: keys in [START, END) (END absent: just START; END empty: to the last key), at REV (0: now),
 * at most LIMIT (0: as many as fit), KEYS_ONLY=1 without values.
 * Answer: REV, ITEMS, MORE=1 if there are more (then go on behind the last key at the same REV).
 * An answer stops at about 4 MiB. Errors: ESTALE (compacted), EOVERFLOW (REV in the future).
 *
 * ITEMS is bytes (usually a blob) holding packed entries, 8-byte aligned each:
 *   u64 mod_rev, u64 create_rev, u64 flags (ORLOP_ITEM_*), u32 key_len, u32 value_len, key, value,
 *   padding to 8.
 */
#define ORLOP_STORAGE_T_START		1	/* bytes */
#define ORLOP_STORAGE_T_END		2	/* bytes */
#define ORLOP_STORAGE_T_REV		3
#define ORLOP_STORAGE_T_LIMIT		4
#define ORLOP_STORAGE_T_KEYS_ONLY	5
#define ORLOP_STORAGE_T_ITEMS		6	/* bytes */
#define ORLOP_STORAGE_T_MORE		7
#define ORLOP_STORAGE_T_OLDEST		8	/* oldest revision still readable */

struct orlop_storage_item {
	uint64_t	mod_rev;
	uint64_t	create_rev;
	uint64_t	flags;
	uint32_t	key_len;
	uint32_t	value_len;
	/* key, value, padding to 8 */
};
#define ORLOP_ITEM_DELETED	1u	/* in changes: the key is gone; value is empty */

/*
 * txn: if all COMPAREs hold, apply all OPs in order (a key at most once), else nothing.
 * COMPARE (message, repeated): KEY, MOD_REV (exact mod revision; 0: the key must not exist).
 * OP (message, repeated): KEY, VALUE (absent: delete). FLAGS: ORLOP_TXN_*.
 * Answer: OK=1, REV (the new revision, or the current one if nothing changed); or OK=0, REV
 * (current), FAILED (index of the first failed compare) and ITEMS (that key as it is now, if it is).
 * Errors: ENOSPC, EIO: nothing was applied.
 */
#define ORLOP_STORAGE_T_COMPARE		16	/* message */
#define ORLOP_STORAGE_T_OP		17	/* message */
#define ORLOP_STORAGE_T_KEY		18	/* bytes */
#define ORLOP_STORAGE_T_VALUE		19	/* bytes */
#define ORLOP_STORAGE_T_MOD_REV		20
#define ORLOP_STORAGE_T_FLAGS		21
#define ORLOP_STORAGE_T_OK		22
#define ORLOP_STORAGE_T_FAILED		23

#define ORLOP_TXN_LAZY		1u

/*
 * changes: what happened after REV (exclusive), in revision order, at most about LIMIT bytes
 * (0: 1 MiB) but at least one whole revision. If there is nothing it waits up to WAIT_NS (0: do
 * not wait) and then answers empty. Answer: ITEMS, REV = revision up to which the answer is
 * complete (≥ asked; use it as the next REV). Lazy writes are included only once durable.
 * Errors: ESTALE if REV < oldest (then range at the current revision and go on from there).
 * Only one changes call per caller need be outstanding; the answer to the next finds all.
 */
#define ORLOP_STORAGE_T_WAIT_NS		32

/* revision: Answer REV (current durable), OLDEST. compact: REV; answer OLDEST. */

/*
 * snapshot: FD 0 of the message is written with all keys at one revision, while writes go on; answer
 * REV (that revision), SIZE. restore: only on an empty store (-ENOTEMPTY); reads FD 0 (-EINVAL: not a
 * snapshot, -EBADMSG: damaged or cut off; then nothing has changed). Keys keep their mod and create
 * revisions; the store goes on above the snapshot's revision, its own, and REV (0: nothing is known).
 * History is not in a snapshot: oldest is the new revision, so that cursors of before are void.
 *
 * The file (format 1, little endian), the same for every implementation:
 *   struct orlop_snapshot_head (header_len bytes), items as in ITEMS sorted by key, and an item with
 *   ORLOP_ITEM_END: mod_rev = number of items, create_rev = bytes before it, no key, the value is the
 *   SHA-256 of all bytes before the value.
 *
 * check: look whether what is stored is whole, a part at a time: CURSOR (absent: from the beginning;
 * else of the last answer). Changes nothing. Answer: CURSOR if there is more, KEYS (looked at), and
 * FOUND (message, repeated): KEY, TEXT.
 *
 * status: answer REV, OLDEST, SIZE (bytes on disk), KEYS, COMMITS, WRITES, SYNC_NS (sum).
 */
#define ORLOP_SNAPSHOT_MAGIC	"ORLOPSNP"
#define ORLOP_SNAPSHOT_FORMAT	1u
#define ORLOP_ITEM_END		2u	/* flags of the last item of a snapshot */

struct orlop_snapshot_head {
	char		magic[8];
	uint32_t	format;
	uint32_t	header_len;	/* sizeof of the writer */
	uint64_t	rev;
	uint64_t	taken_ns;	/* wall clock */
	char		writer[32];	/* who wrote it, for people */
};

#define ORLOP_STORAGE_T_SIZE		40
#define ORLOP_STORAGE_T_KEYS		41
#define ORLOP_STORAGE_T_COMMITS		42
#define ORLOP_STORAGE_T_WRITES		43
#define ORLOP_STORAGE_T_SYNC_NS		44
#define ORLOP_STORAGE_T_CURSOR		45	/* bytes */
#define ORLOP_STORAGE_T_FOUND		46	/* message */
#define ORLOP_STORAGE_T_TEXT		47	/* bytes */

#ifdef __cplusplus
}
#endif
#endif
