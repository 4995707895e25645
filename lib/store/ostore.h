/*
 * ostore - what every implementation of the class storage needs: requests decoded, items packed,
 * waiting `changes` calls. The contract itself is abi/orlop/storage.h.
 */
#ifndef OLIB_STORE_OSTORE_H
#define OLIB_STORE_OSTORE_H

#include <orlop/host.h>
#include <orlop/storage.h>

#define OSTORE_TXN_MAX		128u		/* compares, and ops, of one transaction */
#define OSTORE_RANGE_BYTES	(4u << 20)	/* a range answer stops about here */
#define OSTORE_CHANGES_BYTES	(1u << 20)	/* default of LIMIT of changes */

struct ostore_compare {
	struct orlop_bytes key;
	uint64_t	mod_rev;
};

struct ostore_op {
	struct orlop_bytes key;
	struct orlop_bytes value;	/* p NULL: delete */
};

/* A decoded transaction; keys and values borrowed from the request, valid until its call is done. */
struct ostore_txn {
	uint32_t	n_compares;
	uint32_t	n_ops;
	uint64_t	flags;
	struct ostore_compare *compares;
	struct ostore_op *ops;		/* one allocation with the struct */
};

/*
 * ostore_txn_parse - decode and check a txn request
 *
 * @ret_t  freed with omem_free()
 *
 * Returns 0, -ENOMEM, -EINVAL (empty or too long key, key twice, too many parts; said in @err),
 * -E2BIG (value too long).
 */
int ostore_txn_parse(const struct orlop_host *h, const struct orlop_req *req,
		     struct ostore_txn **ret_t, struct orlop_error *err);

/* A copy of the ops alone (no compares), with keys and values of its own; NULL without memory. */
struct ostore_txn *ostore_txn_copy(const struct ostore_txn *t);
/* Roughly what the ops add to a store. */
size_t ostore_txn_bytes(const struct ostore_txn *t);

/* Answer to a txn: applied at @rev. */
void ostore_txn_ok(const struct orlop_host *h, struct orlop_call *call, uint64_t rev);
/* Answer: compare @failed did not hold; @item (may be NULL) is that key as it is now. */
void ostore_txn_failed(const struct orlop_host *h, struct orlop_call *call, uint64_t rev,
		       uint32_t failed, const struct orlop_storage_item *item, struct orlop_bytes key,
		       struct orlop_bytes value);

/* Packed items (storage.h), growing. */
struct ostore_items {
	char		*p;
	size_t		len;
	size_t		cap;
	uint32_t	n;
	int		err;
};

void ostore_items_init(struct ostore_items *it);
void ostore_items_done(struct ostore_items *it);
/* 0 or -ENOMEM (also kept in it->err). */
int ostore_items_add(struct ostore_items *it, uint64_t mod_rev, uint64_t create_rev, uint64_t flags,
		     struct orlop_bytes key, struct orlop_bytes value);
/* Put the items into @w as tag ITEMS, as a blob when they are big; @it is empty afterwards. */
void ostore_items_put(struct ostore_items *it, const struct orlop_host *h, struct orlop_call *call,
		      uint64_t rev, uint64_t oldest, bool more);

/* One parsed range or changes request. */
struct ostore_range {
	struct orlop_bytes start;
	struct orlop_bytes end;		/* valid if has_end; empty: to the last key */
	bool		has_end;
	bool		keys_only;
	uint64_t	rev;
	uint64_t	limit;		/* 0: none */
	uint64_t	wait_ns;
};

int ostore_range_parse(const struct orlop_host *h, const struct orlop_req *req,
		       struct ostore_range *ret_r, struct orlop_error *err);

/* Is @key inside [start, end)? Only the upper bound is tested. */
bool ostore_range_before_end(const struct ostore_range *r, struct orlop_bytes key);

/* unsigned bytewise order, as the contract demands */
int ostore_key_cmp(struct orlop_bytes a, struct orlop_bytes b);

/* Calls of `changes` that found nothing and wait; lives on the module's loop. */
struct ostore_waiters;
/* Answers one waiting call: there is something after @rev, or (timed out) nothing. */
typedef void (*ostore_wake_fn)(void *arg, struct orlop_call *call, uint64_t rev, uint64_t limit);

int ostore_waiters_new(const struct orlop_host *h, ostore_wake_fn wake, void *arg,
		       struct ostore_waiters **ret_w);
/* Waiting calls are answered -ECANCELED. */
void ostore_waiters_free(struct ostore_waiters *w);
int ostore_waiters_add(struct ostore_waiters *w, struct orlop_call *call, uint64_t rev,
		       uint64_t limit, uint64_t wait_ns);
/* Everything up to @rev is visible: wake those that wait for less. */
void ostore_waiters_wake(struct ostore_waiters *w, uint64_t rev);

#endif
