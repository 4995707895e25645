/*
 * read.c - range and changes, on the loop, from the memory map.
 *
 * One read transaction is kept and renewed: it sees the last commit, costs no system call, and is
 * reset at once so that the writer may reuse pages.
 */
#include "lmdb.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

int read_begin(struct lmdb *s, MDB_txn **ret_txn, struct orlop_error *err)
{
	int rc;

	if (s->reader) {
		rc = mdb_txn_renew(s->reader);
	} else {
		rc = mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &s->reader);
		if (rc)
			s->reader = NULL;
	}
	if (rc)
		return db_fail(err, rc, "read transaction");
	*ret_txn = s->reader;
	return 0;
}

void read_end(struct lmdb *s)
{
	mdb_txn_reset(s->reader);
}

static int range_fill(struct lmdb *s, MDB_txn *txn, MDB_cursor *keys, const struct ostore_range *r,
		      uint64_t rev, struct ostore_items *it, bool *ret_more)
{
	MDB_val k = { .mv_size = r->start.len, .mv_data = (void *)(uintptr_t)r->start.p };
	MDB_val v;
	int rc = r->start.len ? mdb_cursor_get(keys, &k, &v, MDB_SET_RANGE)
			      : mdb_cursor_get(keys, &k, &v, MDB_FIRST);

	for (; !rc; rc = mdb_cursor_get(keys, &k, &v, MDB_NEXT_NODUP)) {
		struct orlop_bytes key = { k.mv_data, k.mv_size };
		struct orlop_bytes value = { NULL, 0 };
		struct orlop_bytes same;
		struct db_version ver;
		int e;

		if (!ostore_range_before_end(r, key))
			return 0;
		e = db_version_at(&s->db, keys, key, rev, &ver);
		if (e == -ENOENT) {
			/* the cursor may stand before the key now */
			k.mv_data = (void *)(uintptr_t)key.p;
			k.mv_size = key.len;
			rc = mdb_cursor_get(keys, &k, &v, MDB_SET);
			if (rc)
				break;
			continue;
		}
		if (e)
			return e;
		if (ver.flags & DB_DELETED)
			continue;
		if ((r->limit && it->n == r->limit) || it->len > OSTORE_RANGE_BYTES) {
			*ret_more = true;
			return 0;
		}
		if (!r->keys_only && (e = db_log_get(&s->db, txn, &ver, &same, &value)))
			return e;
		e = ostore_items_add(it, ver.rev, ver.create_rev, 0, key, value);
		if (e)
			return e;
	}
	return rc == MDB_NOTFOUND ? 0 : db_errno(rc);
}

int op_range(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct ostore_range r;
	struct ostore_items it;
	struct db_state st = { 0 };
	MDB_cursor *keys;
	MDB_txn *txn;
	bool more = false;
	uint64_t rev;
	int e = ostore_range_parse(s->h, req, &r, err);

	if (e || (e = read_begin(s, &txn, err)))
		return e;
	e = db_errno(db_state_get(&s->db, txn, &st));
	if (e) {
		read_end(s);
		return orlop_fail(err, -e, 0, "", "%s: state is not readable", s->path);
	}
	if (st.oldest < atomic_load(&s->oldest))
		st.oldest = atomic_load(&s->oldest);
	rev = r.rev ? r.rev : st.rev;
	if (rev > st.rev || rev < st.oldest) {
		read_end(s);
		if (rev < st.oldest)
			return orlop_fail(err, ESTALE, 410, "Expired", "revision %llu is compacted",
					  (unsigned long long)rev);
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future, now %llu",
				  (unsigned long long)rev, (unsigned long long)st.rev);
	}
	ostore_items_init(&it);
	e = db_errno(mdb_cursor_open(txn, s->db.keys, &keys));
	if (!e) {
		e = range_fill(s, txn, keys, &r, rev, &it, &more);
		mdb_cursor_close(keys);
	}
	read_end(s);
	if (e) {
		ostore_items_done(&it);
		return orlop_fail(err, -e, 0, "", "%s: cannot be read", s->path);
	}
	ostore_items_put(&it, s->h, call, rev, st.oldest, more);
	return 0;
}

/* Pack log entries after @after; *ret_rev: complete up to here. */
static int changes_fill(struct lmdb *s, MDB_txn *txn, uint64_t after, uint64_t limit,
			struct ostore_items *it, uint64_t *ret_rev)
{
	unsigned char kbuf[12] = { 0 };
	MDB_val k = { .mv_size = sizeof(kbuf), .mv_data = kbuf };
	MDB_val v;
	MDB_cursor *log;
	uint64_t last = 0;
	int rc;
	int e = 0;

	db_u64_put(kbuf, after + 1);
	rc = mdb_cursor_open(txn, s->db.log, &log);
	if (rc)
		return db_errno(rc);
	for (rc = mdb_cursor_get(log, &k, &v, MDB_SET_RANGE); !rc && !e;
	     rc = mdb_cursor_get(log, &k, &v, MDB_NEXT)) {
		struct db_version ver = { .rev = db_u64_get(k.mv_data) };
		struct orlop_bytes key;
		struct orlop_bytes value;

		if (it->len >= limit && ver.rev != last) {
			*ret_rev = last;
			break;
		}
		last = ver.rev;
		e = db_log_parse(&v, &ver, &key, &value);
		if (!e)
			e = ostore_items_add(it, ver.rev, ver.create_rev,
					     ver.flags & DB_DELETED ? ORLOP_ITEM_DELETED : 0, key,
					     value);
	}
	mdb_cursor_close(log);
	if (!e && rc && rc != MDB_NOTFOUND)
		e = db_errno(rc);
	return e;
}

static int changes_answer(struct lmdb *s, struct orlop_call *call, uint64_t after, uint64_t limit,
			  struct orlop_error *err)
{
	struct ostore_items it;
	struct db_state st = { 0 };
	MDB_txn *txn;
	uint64_t rev;
	int e = read_begin(s, &txn, err);

	if (e)
		return e;
	e = db_errno(db_state_get(&s->db, txn, &st));
	if (st.oldest < atomic_load(&s->oldest))
		st.oldest = atomic_load(&s->oldest);
	if (!e && (after < st.oldest || after > st.rev)) {
		read_end(s);
		if (after < st.oldest)
			return orlop_fail(err, ESTALE, 410, "Expired", "revision %llu is compacted",
					  (unsigned long long)after);
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future, now %llu",
				  (unsigned long long)after, (unsigned long long)st.rev);
	}
	rev = st.rev;
	ostore_items_init(&it);
	if (!e && after < st.rev)
		e = changes_fill(s, txn, after, limit, &it, &rev);
	read_end(s);
	if (e) {
		ostore_items_done(&it);
		return orlop_fail(err, -e, 0, "", "%s: log cannot be read", s->path);
	}
	ostore_items_put(&it, s->h, call, rev > after ? rev : after, st.oldest, false);
	return 0;
}

void changes_wake(void *arg, struct orlop_call *call, uint64_t rev, uint64_t limit)
{
	struct lmdb *s = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	int e = changes_answer(s, call, rev, limit, &err);

	if (e)
		s->h->call_done(call, e, NULL, &err);
}

int op_changes(void *ctx, const struct orlop_req *req, struct orlop_call *call,
	       struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct ostore_range r;
	uint64_t now = atomic_load(&s->durable);
	int e = ostore_range_parse(s->h, req, &r, err);

	if (e)
		return e;
	if (!r.limit)
		r.limit = OSTORE_CHANGES_BYTES;
	/*
	 * Readers see a commit a moment before the writer has counted it: who has it may ask behind it. Whether
	 * that is the future the database says.
	 *
	 * Closing: no news, so that it is asked for again, where the answer will be then.
	 */
	if (r.rev == now && r.wait_ns && s->waiters)
		return ostore_waiters_add(s->waiters, call, r.rev, r.limit, r.wait_ns);
	return changes_answer(s, call, r.rev, r.limit, err);
}
