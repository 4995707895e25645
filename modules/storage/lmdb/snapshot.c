/*
 * snapshot.c - copies of the whole store: made on a worker while writes go on, and taken in again.
 */
#include "lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"
#include "store/osnap.h"

#define RESTORE_BYTES	(32u << 20)	/* of one transaction while restoring */

/* ---- making one ----------------------------------------------------------------------------------- */

struct copy_job {
	struct lmdb	*s;
	struct orlop_call *call;
	uint64_t	rev;
	uint64_t	bytes;
	int		fd;
	int		e;
};

/* Every key at the newest revision that @txn sees. */
static int copy_keys(struct lmdb *s, MDB_txn *txn, MDB_cursor *keys, struct osnap_writer *w)
{
	MDB_val k;
	MDB_val v;
	int rc;

	for (rc = mdb_cursor_get(keys, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(keys, &k, &v, MDB_NEXT_NODUP)) {
		struct orlop_bytes key = { k.mv_data, k.mv_size };
		struct orlop_bytes value;
		struct orlop_bytes same;
		struct db_version ver;
		int e;

		rc = mdb_cursor_get(keys, &k, &v, MDB_LAST_DUP);
		if (rc)
			break;
		if (v.mv_size != DB_VERSION_SIZE)
			return -EIO;
		db_version_unpack(v.mv_data, &ver);
		if (ver.flags & DB_DELETED)
			continue;
		e = db_log_get(&s->db, txn, &ver, &same, &value);
		if (e)
			return e;
		osnap_add(w, ver.rev, ver.create_rev, key, value);
		if (w->err)
			return w->err;
	}
	return rc == MDB_NOTFOUND ? 0 : db_errno(rc);
}

static void snapshot_work(void *arg)
{
	struct copy_job *j = arg;
	struct lmdb *s = j->s;
	struct db_state st = { 0 };
	struct osnap_writer w;
	MDB_cursor *keys = NULL;
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &txn);

	j->e = db_errno(rc);
	if (rc)
		return;
	rc = db_state_get(&s->db, txn, &st);
	if (!rc)
		rc = mdb_cursor_open(txn, s->db.keys, &keys);
	j->rev = st.rev;
	osnap_writer_init(&w, j->fd, st.rev, s->h->now_wall(s->h), "storage/lmdb 0.1");
	j->e = rc ? db_errno(rc) : copy_keys(s, txn, keys, &w);
	if (!j->e)
		j->e = osnap_end(&w);
	j->bytes = w.bytes;
	osnap_writer_done(&w);
	if (keys)
		mdb_cursor_close(keys);
	mdb_txn_abort(txn);
}

static void snapshot_done(void *arg)
{
	struct copy_job *j = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;

	if (j->e) {
		(void)orlop_fail(&err, -j->e, 0, "", "snapshot: %s", strerrordesc_np(-j->e));
		j->s->h->call_done(j->call, j->e, NULL, &err);
	} else {
		orlop_msgw_init(&w, j->s->h);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, j->bytes);
		numbers_answer(j->s, j->call, &w, j->rev);
	}
	j->s->copies--;
	if (j->s->reopen && !j->s->copies)
		database_reopen(j->s);
	close(j->fd);
	omem_free(j);
}

int op_snapshot(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct copy_job *j;
	int e;

	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "snapshot needs a descriptor to write to");
	j = OMEM_NEW(struct copy_job);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	j->s = s;
	j->call = call;
	j->fd = fcntl(req->msg.fds[0], F_DUPFD_CLOEXEC, 3);
	e = j->fd < 0 ? -errno : s->h->work(s->h, 1, snapshot_work, snapshot_done, j);
	if (e) {
		if (j->fd >= 0)
			close(j->fd);
		omem_free(j);
		return orlop_fail(err, -e, 0, "", "snapshot could not start");
	}
	s->copies++;
	return 0;
}

/* ---- taking one in ---------------------------------------------------------------------------------- */

/* One key, among others of its revision. 0 or an LMDB code. */
static int put_item(struct db *db, MDB_txn *txn, const struct orlop_storage_item *item, struct orlop_bytes key,
		    struct orlop_bytes value)
{
	struct db_version v = { .rev = item->mod_rev, .create_rev = item->create_rev };
	int rc;

	do
		rc = db_version_put(db, txn, &v, key, value);
	while (rc == MDB_KEYEXIST && ++v.sub < OSTORE_TXN_MAX * 8);
	return rc;
}

/* All items of @r. 0 or -errno in words. */
static int fill_items(struct db *db, struct osnap_reader *r, struct orlop_error *err)
{
	struct orlop_storage_item item;
	struct orlop_bytes value;
	struct orlop_bytes key;
	MDB_txn *txn = NULL;
	size_t bytes = 0;
	int rc = 0;
	int e;

	while ((e = osnap_next(r, &item, &key, &value, err)) > 0 && !rc) {
		if (!txn)
			rc = mdb_txn_begin(db->env, NULL, 0, &txn);
		if (!rc)
			rc = put_item(db, txn, &item, key, value);
		bytes += key.len + value.len + 256;
		if (!rc && bytes > RESTORE_BYTES) {
			rc = mdb_txn_commit(txn);
			txn = NULL;
			bytes = 0;
		}
	}
	if (txn && (e || rc))
		mdb_txn_abort(txn);
	else if (txn)
		rc = mdb_txn_commit(txn);
	return rc ? db_fail(err, rc, db->path) : e < 0 ? e : 0;
}

static int fill_state(struct db *db, uint64_t rev, struct orlop_error *err)
{
	const struct db_state st = { .rev = rev, .ceiling = rev, .oldest = rev, .compacted = rev, .clean = 1 };
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (!rc) {
		rc = db_state_put(db, txn, &st);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
	}
	if (!rc)
		rc = mdb_env_sync(db->env, 1);
	return rc ? db_fail(err, rc, db->path) : 0;
}

/* Replace the file by what fd holds; the old one stays if that is no whole snapshot. */
static int restore_file(struct lmdb *s, int fd, uint64_t *ret_rev, struct orlop_error *err)
{
	struct osnap_reader r;
	char tmp[4200];
	char lock[4300];
	struct db db;
	int e = osnap_reader_init(&r, fd, err);

	snprintf(tmp, sizeof(tmp), "%s.restore", s->path);
	snprintf(lock, sizeof(lock), "%s-lock", tmp);
	(void)unlink(tmp);
	if (!e)
		e = db_create(&db, tmp, s->map_bytes, err);
	if (!e) {
		db.any_order = true;
		(void)mdb_env_set_flags(db.env, MDB_NOSYNC, 1);
		e = fill_items(&db, &r, err);
		if (!e)
			e = fill_state(&db, r.head.rev, err);
		db_close(&db);
		*ret_rev = r.head.rev;
		if (!e && rename(tmp, s->path))
			e = orlop_fail(err, errno, 0, "", "rename %s: %s", tmp, strerrordesc_np(errno));
		else if (!e && (e = db_sync_dir(s->path)))
			e = orlop_fail(err, -e, 0, "", "sync the directory of %s", s->path);
	}
	osnap_reader_done(&r);
	(void)unlink(tmp);
	(void)unlink(lock);
	return e;
}

int op_restore(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct orlop_error again = ORLOP_ERROR_INIT;
	uint64_t above = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	uint64_t rev = 0;
	struct orlop_msgw w;
	MDB_stat st;
	MDB_txn *txn;
	int e;

	if (s->read_only)
		return read_only_fail(s, err);
	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "restore needs a descriptor to read from");
	if (s->copies)
		return orlop_fail(err, EBUSY, 0, "", "%s: a snapshot is being made", s->path);
	/* an administrator's act on an empty store: the loop may wait for the copy */
	writer_stop(s);		/* what was accepted before counts too */
	e = read_begin(s, &txn, err);
	if (!e) {
		if (mdb_stat(txn, s->db.log, &st) || st.ms_entries)
			e = orlop_fail(err, ENOTEMPTY, 0, "",
				       "%s is not empty; restore into a new one", s->path);
		read_end(s);
	}
	above = above > s->state.rev ? above : s->state.rev;
	close_all(s);
	if (!e) {
		e = restore_file(s, req->msg.fds[0], &rev, err);
		s->rev_floor = e ? 0 : above > rev ? above : rev;
	}
	if (open_all(s, &again)) {
		s->h->fail(s->h, again.msg);
		return e ? e : orlop_fail(err, EIO, 0, "", "%s", again.msg);
	}
	if (e)
		return e;
	if (s->waiters)
		ostore_waiters_wake(s->waiters, UINT64_MAX);
	orlop_msgw_init(&w, s->h);
	numbers_answer(s, call, &w, atomic_load(&s->durable));
	return 0;
}
