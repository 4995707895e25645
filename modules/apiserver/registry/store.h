/*
 * store.h - transactions and reads at the address "storage", for one request at a time.
 */
#ifndef REG_STORE_H
#define REG_STORE_H

#include <orlop/storage.h>

#include "op.h"

#define REG_TXN_MAX 64u

/* A transaction being put together; keys and values are borrowed until store_commit() returns. */
struct reg_txn {
	struct {
		struct orlop_bytes key;
		uint64_t	rev;
	}		cmp[REG_TXN_MAX];
	struct {
		struct orlop_bytes key;
		struct orlop_bytes value;	/* p NULL: delete */
	}		put[REG_TXN_MAX];
	uint32_t	n_cmp;
	uint32_t	n_put;
	uint32_t	flags;		/* ORLOP_TXN_* */
	int		err;		/* -E2BIG: too many parts */
};

/* What the storage answered. */
struct reg_txn_result {
	bool		ok;
	uint64_t	rev;		/* new or current revision */
	uint32_t	failed;		/* index of the compare that failed */
	uint64_t	item_rev;	/* that key as it is now; 0: it does not exist */
	struct orlop_bytes item;	/* its value, borrowed for the callback */
};

void reg_txn_compare(struct reg_txn *t, struct orlop_bytes key, uint64_t rev);
void reg_txn_put(struct reg_txn *t, struct orlop_bytes key, struct orlop_bytes value);
void reg_txn_delete(struct reg_txn *t, struct orlop_bytes key);

/* @r 0: @res tells; < 0: op->err is set. Maybe called before store_commit() returns. */
typedef void (*store_done_fn)(struct reg_op *op, int r, const struct reg_txn_result *res);
void store_commit(struct reg_op *op, const struct reg_txn *t, store_done_fn done);

/* One key, straight from the storage: item_rev 0 if it is not there. */
void store_get(struct reg_op *op, struct orlop_bytes key, store_done_fn done);

/* How far the storage is: rev. */
void store_revision(struct reg_op *op, store_done_fn done);

/*
 * store_range - records in [start, end) at @rev, at most @limit (0: as many as fit)
 *
 * @msg is borrowed for the callback; op->err is set if @r < 0 (-ESTALE: compacted).
 */
typedef void (*store_range_fn)(struct reg_op *op, int r, const struct orlop_msg *msg);
void store_range(struct reg_op *op, struct orlop_bytes start, struct orlop_bytes end, uint64_t rev,
		 uint64_t limit, store_range_fn done);

/* store-time.c: the storage has answered what it was asked for @op at @began (mono). */
void store_timed(struct reg_op *op, const char *operation, uint64_t began, bool failed);

/* Walk over packed items: 1 and the next one, 0 at the end. */
struct store_item {
	struct orlop_storage_item head;
	struct orlop_bytes key;
	struct orlop_bytes value;
};
int store_next(struct orlop_bytes *items, struct store_item *ret);

#endif
