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

int read_only_fail(const struct lmdb *s, struct orlop_error *err)
{
	return orlop_fail(err, EROFS, 0, "", "%s is open for reading only", s->path);
}

static int op_txn(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct write_job *j;
	int e;

	if (s->read_only)
		return read_only_fail(s, err);
	j = OMEM_NEW(struct write_job);
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

void numbers_answer(struct lmdb *s, struct orlop_call *call, struct orlop_msgw *w, uint64_t rev)
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

	if (s->read_only)
		return read_only_fail(s, err);
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

int open_all(struct lmdb *s, struct orlop_error *err)
{
	int e = s->read_only ? db_open_reading(&s->db, s->path, s->map_bytes, err) :
		db_open(&s->db, s->path, s->map_bytes, err);

	if (e)
		return e;
	e = s->read_only ? reader_start(s, err) : writer_start(s, err);
	if (e)
		db_close(&s->db);
	return e;
}

void close_all(struct lmdb *s)
{
	writer_stop(s);
	if (s->reader)
		mdb_txn_abort(s->reader);
	s->reader = NULL;
	db_close(&s->db);
}

void database_reopen(void *arg)
{
	struct lmdb *s = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (s->copies) {
		s->reopen = true;
		return;
	}
	s->reopen = false;
	writer_stop(s);		/* what it has not answered yet it answers with the truth: unknown, or not done */
	close_all(s);
	atomic_store(&s->broken, false);
	if (open_all(s, &err)) {
		atomic_store(&s->broken, true);
		s->h->fail(s->h, err.msg);
		return;
	}
	OLOG(s->h, WARN, "database_reopened", "path=%s rev=%llu", s->path,
	     (unsigned long long)atomic_load(&s->durable));
	/* What nobody could be told of may be there: whoever waits for changes looks. */
	if (s->waiters)
		ostore_waiters_wake(s->waiters, UINT64_MAX);
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
	/* Who waits for news is told that there are none, and asks whoever comes next. */
	if (s->waiters)
		ostore_waiters_wake(s->waiters, UINT64_MAX);
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
		return orlop_fail(err, errno, 0, "", "open %s: %s", name, strerrordesc_np(errno));
	if (flock(s->owner_fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return orlop_fail(err, errno, 0, "", "lock %s: %s", name, strerrordesc_np(errno));
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
	return e ? orlop_fail(err, -e, 0, "", "cannot make the directory of %s: %s", s->path, strerrordesc_np(-e)) : 0;
}

static int history_check(int64_t history_s, struct orlop_error *err)
{
	if (history_s < 1 || history_s > 10 * 365 * 86400ll)
		return orlop_fail(err, EINVAL, 0, "",
				  "history_s %lld: must be at least 1 and at most 10 years",
				  (long long)history_s);
	return 0;
}

static int lmdb_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	(void)ctx;
	return strcmp(name, "history_s") == 0 ? history_check(strtoll(value, NULL, 10), err) : 0;
}

static void lmdb_apply(void *ctx, const char *name, const char *value)
{
	struct lmdb *s = ctx;

	(void)value;
	if (strcmp(name, "history_s") == 0)
		atomic_store(&s->history_ns, (uint64_t)s->h->param_int(s->h, name) * 1000000000ull);
}

/* Everything that was acknowledged is in it. */
static uint64_t lmdb_revision(void *ctx)
{
	struct lmdb *s = ctx;

	return atomic_load(&s->durable);
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
	s->read_only = s->h->param_bool(s->h, "read_only");
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
	if (!e && !s->read_only)
		e = make_dir(s, err);
	if (!e && !s->read_only)
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

	health->ok = (s->thread != NULL || s->read_only) && !atomic_load(&s->broken);
	snprintf(health->text, sizeof(health->text), "revision %llu%s",
		 (unsigned long long)atomic_load(&s->durable),
		 atomic_load(&s->broken) ? ", database broken"
		 : atomic_load(&s->full) ? ", full: writes are refused" : "");
}

static const struct orlop_param lmdb_params[] = {
	{ "path", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "database file" },
	{ "map_mb", ORLOP_PARAM_INT, 0, "16384", "largest size of the database, MiB (address space only)" },
	{ "history_s", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "3600", "how long old revisions stay readable, seconds" },
	{ "read_only", ORLOP_PARAM_BOOL, 0, "false",
	  "change nothing, also beside a process that has it open: to look at a database" },
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
	.check = op_check,
};

ORLOP_MODULE("lmdb", "storage", "0.1", "files=$path/..:rw",
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
	.health = lmdb_health,
	.param_validate = lmdb_validate,
	.param_apply = lmdb_apply,
	.revision = lmdb_revision);
