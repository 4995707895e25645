/*
 * lmdb.c - the class storage on LMDB: the module, and the ops that are not reads.
 *
 * Requests arrive on the loop. Reads are answered there (read.c); transactions are parsed and
 * queued for the writer thread (writer.c), which answers them after its commit.
 */
#include "lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ofile.h"
#include "base/omem.h"

static int op_txn(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct write_job *j = OMEM_NEW(struct write_job);
	int e;

	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory for a transaction");
	e = ostore_txn_parse(s->h, req, &j->txn, err);
	if (e) {
		omem_free(j);
		return e;
	}
	j->call = call;
	writer_add(s, j);
	return 0;
}

static void numbers_answer(struct lmdb *s, struct orlop_call *call, struct orlop_msgw *w)
{
	struct orlop_msg msg;

	orlop_msgw_u64(w, ORLOP_STORAGE_T_REV, atomic_load(&s->durable));
	orlop_msgw_u64(w, ORLOP_STORAGE_T_OLDEST, atomic_load(&s->oldest));
	msg = orlop_msgw_msg(w);
	s->h->call_done(call, w->err, w->err ? NULL : &msg, NULL);
	orlop_msgw_done(w);
}

static int op_revision(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		       struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct orlop_msgw w;

	(void)req;
	(void)err;
	orlop_msgw_init(&w, s->h);
	numbers_answer(s, call, &w);
	return 0;
}

static int op_compact(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct lmdb *s = ctx;
	uint64_t rev = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	struct orlop_msgw w;

	if (rev > atomic_load(&s->durable))
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future",
				  (unsigned long long)rev);
	oldest_raise(s, rev);
	pthread_mutex_lock(&s->lock);
	if (rev > s->compact_to)
		s->compact_to = rev;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	orlop_msgw_init(&w, s->h);
	numbers_answer(s, call, &w);
	return 0;
}

static uint64_t file_size(const struct lmdb *s)
{
	struct stat st;

	return stat(s->path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static int op_status(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct orlop_msgw w;
	MDB_txn *txn;
	MDB_stat st;
	uint64_t keys = 0;
	int e = read_begin(s, &txn, err);

	(void)req;
	if (e)
		return e;
	if (!mdb_stat(txn, s->db.keys, &st))
		keys = st.ms_entries;	/* versions; equals keys after compaction */
	read_end(s);
	orlop_msgw_init(&w, s->h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, file_size(s));
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_KEYS, keys);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_COMMITS, atomic_load(&s->commits));
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_WRITES, atomic_load(&s->writes));
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_SYNC_NS, atomic_load(&s->sync_ns));
	numbers_answer(s, call, &w);
	return 0;
}

struct copy_job {
	struct lmdb	*s;
	struct orlop_call *call;
	int		fd;
	int		rc;
};

static void snapshot_work(void *arg)
{
	struct copy_job *j = arg;

	j->rc = mdb_env_copyfd2(j->s->db.env, j->fd, MDB_CP_COMPACT);
}

static void snapshot_done(void *arg)
{
	struct copy_job *j = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct stat st;

	if (j->rc) {
		db_fail(&err, j->rc, "snapshot");
		j->s->h->call_done(j->call, db_errno(j->rc), NULL, &err);
	} else {
		orlop_msgw_init(&w, j->s->h);
		if (!fstat(j->fd, &st))
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, (uint64_t)st.st_size);
		numbers_answer(j->s, j->call, &w);
	}
	close(j->fd);
	omem_free(j);
}

static int op_snapshot(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		       struct orlop_error *err)
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
	return 0;
}

static int open_all(struct lmdb *s, struct orlop_error *err)
{
	int e = db_open(&s->db, s->path, s->map_bytes, err);

	if (e)
		return e;
	e = writer_start(s, err);
	if (e)
		db_close(&s->db);
	return e;
}

static void close_all(struct lmdb *s)
{
	writer_stop(s);
	if (s->reader)
		mdb_txn_abort(s->reader);
	s->reader = NULL;
	db_close(&s->db);
}

/* Replace the file by what fd holds; the old one stays if that is no database of ours. */
static int restore_file(struct lmdb *s, int fd, struct orlop_error *err)
{
	char tmp[4200];
	char buf[65536];
	ssize_t n;
	int out;
	int e = 0;

	snprintf(tmp, sizeof(tmp), "%s.restore", s->path);
	out = open(tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (out < 0)
		return orlop_fail(err, errno, 0, "", "open %s", tmp);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n) {
			n = -1;
			break;
		}
	if (n < 0 || fsync(out))
		e = orlop_fail(err, errno ? errno : EIO, 0, "", "copy to %s", tmp);
	close(out);
	if (!e) {
		struct db probe;

		e = db_open(&probe, tmp, s->map_bytes, err);
		if (!e) {
			db_close(&probe);
			if (rename(tmp, s->path))
				e = orlop_fail(err, errno, 0, "", "rename %s", tmp);
		}
	}
	unlink(tmp);
	snprintf(tmp, sizeof(tmp), "%s.restore-lock", s->path);
	unlink(tmp);
	return e;
}

static int op_restore(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct orlop_error again = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	MDB_stat st;
	MDB_txn *txn;
	int e;

	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "restore needs a descriptor to read from");
	e = read_begin(s, &txn, err);
	if (e)
		return e;
	e = mdb_stat(txn, s->db.log, &st);
	read_end(s);
	if (e || st.ms_entries)
		return orlop_fail(err, ENOTEMPTY, 0, "", "%s is not empty; restore into a new one",
				  s->path);
	/* an administrator's act on an empty store: the loop may wait for the copy */
	close_all(s);
	e = restore_file(s, req->msg.fds[0], err);
	if (open_all(s, &again)) {
		s->h->fail(s->h, again.msg);
		return e ? e : orlop_fail(err, EIO, 0, "", "%s", again.msg);
	}
	if (e)
		return e;
	orlop_msgw_init(&w, s->h);
	numbers_answer(s, call, &w);
	return 0;
}

static int lmdb_stop(void *ctx, struct orlop_error *err)
{
	struct lmdb *s = ctx;

	(void)err;
	ostore_waiters_free(s->waiters);
	s->waiters = NULL;
	writer_stop(s);
	return 0;
}

static void lmdb_fini(void *ctx)
{
	struct lmdb *s = ctx;

	ostore_waiters_free(s->waiters);
	close_all(s);
	omem_free(s->path);
	omem_free(s);
}

static int lmdb_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct lmdb *s = OMEM_NEW(struct lmdb);
	const char *path = h->param(h, "path");
	char *slash;
	int e;

	if (!s || !(s->path = omem_strdup(path))) {
		omem_free(s);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	s->h = h;
	s->map_bytes = (size_t)h->param_int(h, "map_mb") << 20;
	s->history_ns = (uint64_t)h->param_int(h, "history_s") * 1000000000ull;
	slash = strrchr(s->path, '/');
	if (slash && slash != s->path) {
		*slash = '\0';
		e = ofile_mkdir_p(s->path, 0700);
		if (e) {
			e = orlop_fail(err, -e, 0, "", "cannot make %s", s->path);
			omem_free(s->path);
			omem_free(s);
			return e;
		}
		*slash = '/';
	}
	e = ostore_waiters_new(h, changes_wake, s, &s->waiters);
	if (!e)
		e = open_all(s, err);
	if (e) {
		ostore_waiters_free(s->waiters);
		omem_free(s->path);
		omem_free(s);
		return e;
	}
	*ret_ctx = s;
	return 0;
}

static int lmdb_start(void *ctx, struct orlop_error *err)
{
	struct lmdb *s = ctx;

	(void)err;
	s->h->ready(s->h);
	return 0;
}

static void lmdb_health(void *ctx, struct orlop_health *health)
{
	struct lmdb *s = ctx;

	health->ok = s->thread != NULL;
	snprintf(health->text, sizeof(health->text), "revision %llu",
		 (unsigned long long)atomic_load(&s->durable));
}

static const struct orlop_param lmdb_params[] = {
	{ "path", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "database file" },
	{ "map_mb", ORLOP_PARAM_INT, 0, "16384", "largest size of the database, MiB (address space only)" },
	{ "history_s", ORLOP_PARAM_INT, 0, "3600", "how long old revisions stay readable, seconds" },
};

static const struct orlop_storage_ops lmdb_ops = {
	.size = sizeof(lmdb_ops),
	.range = op_range,
	.txn = op_txn,
	.changes = op_changes,
	.revision = op_revision,
	.compact = op_compact,
	.snapshot = op_snapshot,
	.restore = op_restore,
	.status = op_status,
};

ORLOP_MODULE("lmdb", "storage", "0.1", "",
	.license = "Apache-2.0",
	.summary = "keys and values in one LMDB file, one writer with group commit",
	.flags = ORLOP_MOD_EXCLUSIVE,
	.n_params = sizeof(lmdb_params) / sizeof(lmdb_params[0]),
	.params = lmdb_params,
	.ops = &lmdb_ops,
	.init = lmdb_init,
	.start = lmdb_start,
	.stop = lmdb_stop,
	.fini = lmdb_fini,
	.health = lmdb_health);
