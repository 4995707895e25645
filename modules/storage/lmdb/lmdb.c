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
#include <sys/file.h>
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

static void numbers_answer(struct lmdb *s, struct orlop_call *call, struct orlop_msgw *w, uint64_t rev)
{
	struct orlop_msg msg;

	orlop_msgw_u64(w, ORLOP_STORAGE_T_REV, rev);
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
	numbers_answer(s, call, &w, atomic_load(&s->durable));
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
	numbers_answer(s, call, &w, atomic_load(&s->durable));
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
	numbers_answer(s, call, &w, atomic_load(&s->durable));
	return 0;
}

struct copy_job {
	struct lmdb	*s;
	struct orlop_call *call;
	uint64_t	rev;	/* the copy has at least this */
	int		fd;
	int		rc;
};

static void snapshot_work(void *arg)
{
	struct copy_job *j = arg;
	struct stat st;

	j->rc = mdb_env_copyfd2(j->s->db.env, j->fd, MDB_CP_COMPACT);
	if (!j->rc && !fstat(j->fd, &st) && S_ISREG(st.st_mode) && fsync(j->fd))
		j->rc = errno;
}

static void snapshot_done(void *arg)
{
	struct copy_job *j = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct stat st;

	if (j->rc) {
		int e = db_fail(&err, j->rc, "snapshot");

		j->s->h->call_done(j->call, e, NULL, &err);
	} else {
		orlop_msgw_init(&w, j->s->h);
		if (!fstat(j->fd, &st))
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, (uint64_t)st.st_size);
		numbers_answer(j->s, j->call, &w, j->rev);
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
	j->rev = atomic_load(&s->durable);
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
	struct db probe;
	ssize_t n;
	int out;
	int e = 0;

	snprintf(tmp, sizeof(tmp), "%s.restore", s->path);
	out = open(tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (out < 0)
		return orlop_fail(err, errno, 0, "", "open %s", tmp);
	while (!e && (n = read(fd, buf, sizeof(buf))) != 0) {
		if (n > 0)
			e = ofile_write_all(out, buf, (size_t)n);
		else if (errno != EINTR)
			e = -errno;
	}
	if (!e && fsync(out))
		e = -errno;
	close(out);
	if (e)
		e = orlop_fail(err, -e, 0, "", "copy to %s", tmp);
	else
		e = db_open_existing(&probe, tmp, s->map_bytes, err);
	if (!e) {
		db_close(&probe);
		if (rename(tmp, s->path))
			e = orlop_fail(err, errno, 0, "", "rename %s", tmp);
		else if ((e = db_sync_dir(s->path)))
			e = orlop_fail(err, -e, 0, "", "sync the directory of %s", s->path);
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
	uint64_t floor;
	int e;

	if (!req->msg.n_fds || req->msg.fds[0] < 0)
		return orlop_fail(err, EINVAL, 0, "", "restore needs a descriptor to read from");
	/* an administrator's act on an empty store: the loop may wait for the copy */
	writer_stop(s);		/* what was accepted before counts too */
	e = read_begin(s, &txn, err);
	if (!e) {
		if (mdb_stat(txn, s->db.log, &st) || st.ms_entries)
			e = orlop_fail(err, ENOTEMPTY, 0, "",
				       "%s is not empty; restore into a new one", s->path);
		read_end(s);
	}
	floor = s->state.rev;
	close_all(s);
	if (!e) {
		e = restore_file(s, req->msg.fds[0], err);
		s->rev_floor = e ? 0 : floor;
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

/*
 * What waits is answered; what still arrives is served as ever until fini (its writer ends there), so
 * that every accepted request gets a true answer. Only waiting is over: see op_changes().
 */
static int lmdb_stop(void *ctx, struct orlop_error *err)
{
	struct lmdb *s = ctx;

	(void)err;
	atomic_store(&s->quiet, true);
	ostore_waiters_free(s->waiters);
	s->waiters = NULL;
	return 0;
}

static void lmdb_free(struct lmdb *s)
{
	ostore_waiters_free(s->waiters);
	if (s->owner_fd >= 0)
		close(s->owner_fd);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	omem_free(s->path);
	omem_free(s);
}

static void lmdb_fini(void *ctx)
{
	struct lmdb *s = ctx;

	atomic_store(&s->quiet, true);
	close_all(s);
	lmdb_free(s);
}

/*
 * Only one at a time: LMDB itself would let a second process in, and both would count revisions.
 * The lock goes with the process; the file stays, with the number of who holds it.
 */
static int owner_take(struct lmdb *s, struct orlop_error *err)
{
	char name[4200];
	char pid[32] = "";
	ssize_t n;

	if (snprintf(name, sizeof(name), "%s.owner", s->path) > 4000)
		return orlop_fail(err, ENAMETOOLONG, 0, "", "%.80s: path too long", s->path);
	s->owner_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->owner_fd < 0)
		return orlop_fail(err, errno, 0, "", "open %s", name);
	if (flock(s->owner_fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return orlop_fail(err, errno, 0, "", "lock %s", name);
		n = pread(s->owner_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return orlop_fail(err, EBUSY, 0, "", "%s is in use by process %s", s->path,
				  *pid ? pid : "unknown");
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	/* the number is for people: a full disk must not keep us from opening */
	if (ftruncate(s->owner_fd, 0) || pwrite(s->owner_fd, pid, strlen(pid), 0) < 0)
		OLOG(s->h, WARN, "owner_not_noted", "path=%s ignoring=1", name);
	return 0;
}

static int make_dir(struct lmdb *s, struct orlop_error *err)
{
	char *slash = strrchr(s->path, '/');
	int e;

	if (!slash || slash == s->path)
		return 0;
	*slash = '\0';
	e = ofile_mkdir_p(s->path, 0700);
	*slash = '/';
	return e ? orlop_fail(err, -e, 0, "", "cannot make the directory of %s", s->path) : 0;
}

static int params_read(struct lmdb *s, struct orlop_error *err)
{
	int64_t map_mb = s->h->param_int(s->h, "map_mb");
	int64_t history_s = s->h->param_int(s->h, "history_s");

	if (map_mb < 1 || map_mb > (int64_t)(SIZE_MAX >> 22))
		return orlop_fail(err, EINVAL, 0, "", "map_mb %lld: must be 1 to %zu",
				  (long long)map_mb, SIZE_MAX >> 22);
	if (history_s < 1 || history_s > 10 * 365 * 86400ll)
		return orlop_fail(err, EINVAL, 0, "",
				  "history_s %lld: must be at least 1 and at most 10 years",
				  (long long)history_s);
	s->map_bytes = (size_t)map_mb << 20;
	s->history_ns = (uint64_t)history_s * 1000000000ull;
	return 0;
}

static int lmdb_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct lmdb *s = OMEM_NEW(struct lmdb);
	pthread_condattr_t attr;
	int e;

	if (!s || !(s->path = omem_strdup(h->param(h, "path")))) {
		omem_free(s);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	s->h = h;
	s->owner_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	e = params_read(s, err);
	if (!e)
		e = make_dir(s, err);
	if (!e)
		e = owner_take(s, err);
	if (!e && ostore_waiters_new(h, changes_wake, s, &s->waiters))
		e = orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (!e)
		e = open_all(s, err);
	if (e) {
		lmdb_free(s);
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

	health->ok = s->thread != NULL && !atomic_load(&s->broken);
	snprintf(health->text, sizeof(health->text), "revision %llu%s",
		 (unsigned long long)atomic_load(&s->durable),
		 atomic_load(&s->broken) ? ", database broken"
		 : atomic_load(&s->full) ? ", full: writes are refused" : "");
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
