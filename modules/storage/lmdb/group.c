/*
 * group.c - what the writer does with jobs: one LMDB transaction for many, and what happens when it
 * cannot be committed.
 *
 * Nothing of a group is answered before its commit but lazy jobs. Of those a copy is kept, so that a
 * group that fails (the disk is full, one job does not fit) can be written again without what does
 * not fit, each told job under the number it was told. Only if a lazy job alone cannot be written
 * its answer is lost, as the contract allows; its number is not given out again.
 */
#include "lmdb.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"

/* What a version costs beside key and value, roughly: two entries and their share of pages. */
#define VERSION_COST	256u

/* Of a post that has no memory. */
#define WAKE_TRIES	1000
#define WAKE_PAUSE_US	1000

/* With less space than this a write cut short is taken for a full disk. */
#define SPACE_LOW	(1u << 20)

static void job_free(struct write_job *j)
{
	omem_free(j->txn);
	omem_free(j);
}

static void job_fail(struct lmdb *s, struct write_job *j, int e)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (j->answered) {
		OLOG(s->h, WARN, "lazy_write_lost", "path=%s rev=%llu", s->path,
		     (unsigned long long)j->rev);
		if (s->state.rev < j->rev)
			s->state.rev = j->rev;
	} else {
		if (e == -ENOSPC && atomic_load(&s->full))
			orlop_fail(&err, ENOSPC, 507, "",
				   "%s: full at %zu MiB (map_mb): nothing was written", s->path,
				   s->map_bytes >> 20);
		else if (e == -ENOSPC || e == -EDQUOT || e == -EFBIG)
			orlop_fail(&err, ENOSPC, 507, "",
				   "%s: no space left on its disk: nothing was written", s->path);
		else if (e == -ECONNRESET)
			orlop_fail(&err, ECONNRESET, 0, "", "%s: write failed: outcome unknown",
				   s->path);
		else
			orlop_fail(&err, -e, 0, "", "%s: write failed: nothing was written", s->path);
		s->h->call_done(j->call, -err.err, NULL, &err);
	}
	job_free(j);
}

static void answer_failed_compare(struct lmdb *s, struct write_job *j, MDB_txn *txn)
{
	struct orlop_storage_item item = { .mod_rev = j->found.rev,
					   .create_rev = j->found.create_rev };
	struct orlop_bytes key = j->txn->compares[j->failed].key;
	struct orlop_bytes value = { NULL, 0 };
	struct orlop_bytes same;

	if (j->found.rev && db_log_get(&s->db, txn, &j->found, &same, &value))
		j->found.rev = 0;
	ostore_txn_failed(s->h, j->call, j->rev, j->failed, j->found.rev ? &item : NULL, key, value);
}

/* Evaluate compares; 0 all hold, 1 one does not (j->failed, j->found), else an LMDB code. */
static int job_compare(struct lmdb *s, struct group *g, struct write_job *j)
{
	uint32_t i;

	for (i = 0; i < j->txn->n_compares; i++) {
		const struct ostore_compare *c = &j->txn->compares[i];
		struct db_version v = { 0 };
		int e = db_version_at(&s->db, g->keys, c->key, UINT64_MAX - 1, &v);

		if (e && e != -ENOENT)
			return MDB_CORRUPTED;
		if (e || (v.flags & DB_DELETED))
			v.rev = 0;
		if (v.rev != c->mod_rev) {
			j->failed = i;
			j->found = v;
			j->rev = s->state.rev;
			return 1;
		}
	}
	return 0;
}

/* Apply the ops as revision state.rev + 1. 0, or an LMDB code. */
static int job_ops(struct lmdb *s, struct group *g, struct write_job *j)
{
	uint64_t rev = s->state.rev + 1;
	uint32_t sub = 0;
	uint32_t i;

	for (i = 0; i < j->txn->n_ops; i++) {
		const struct ostore_op *op = &j->txn->ops[i];
		struct db_version old;
		struct db_version v = { .rev = rev, .sub = sub };
		int e = db_version_at(&s->db, g->keys, op->key, UINT64_MAX - 1, &old);
		bool live = !e && !(old.flags & DB_DELETED);
		int rc;

		if (e && e != -ENOENT)
			return MDB_CORRUPTED;
		if (!op->value.p) {
			if (!live)
				continue;
			v.flags = DB_DELETED;
		} else {
			v.create_rev = live ? old.create_rev : rev;
		}
		if (rev == s->taken && !j->answered)
			return EIO;
		rc = db_version_put(&s->db, g->txn, &v, op->key, op->value);
		if (rc)
			return rc;
		sub++;
	}
	if (sub)
		s->state.rev = rev;
	j->rev = s->state.rev;
	return 0;
}

/* May this job's puts have their space? Deletes always may: they are the way out. */
static bool job_fits(struct lmdb *s, struct group *g, const struct write_job *j)
{
	size_t cost = 0;
	uint32_t i;

	for (i = 0; i < j->txn->n_ops; i++)
		if (j->txn->ops[i].value.p)
			cost += j->txn->ops[i].key.len * 2 + j->txn->ops[i].value.len + VERSION_COST;
	if (!cost)
		return true;
	if (s->used + g->bytes + cost > s->map_bytes && !g->exact) {
		s->used = db_used(&s->db, true);
		g->exact = true;
	}
	if (s->used + g->bytes + cost <= s->map_bytes) {
		g->bytes += cost;
		atomic_store(&s->full, false);
		return true;
	}
	if (!atomic_exchange(&s->full, true))
		OLOG(s->h, ERR, "storage_full", "path=%s map_mb=%zu refusing=puts", s->path,
		     s->map_bytes >> 20);
	/* history is worth less than new writes */
	pthread_mutex_lock(&s->lock);
	if (s->compact_to < atomic_load(&s->durable))
		s->compact_to = atomic_load(&s->durable);
	pthread_mutex_unlock(&s->lock);
	return false;
}

int group_begin(struct lmdb *s, struct group *g)
{
	int rc;

	memset(g, 0, sizeof(*g));
	g->last = &g->first;
	g->base_rev = s->state.rev;
	rc = mdb_txn_begin(s->db.env, NULL, 0, &g->txn);
	if (rc)
		return rc;
	s->used = db_used(&s->db, false);
	rc = mdb_cursor_open(g->txn, s->db.keys, &g->keys);
	if (rc) {
		mdb_txn_abort(g->txn);
		g->txn = NULL;
	}
	return rc;
}

void group_abort(struct lmdb *s, struct group *g)
{
	if (g->keys)
		mdb_cursor_close(g->keys);
	if (g->txn)
		mdb_txn_abort(g->txn);
	g->keys = NULL;
	g->txn = NULL;
	s->state.rev = g->base_rev;
}

static void group_append(struct group *g, struct write_job *j)
{
	j->next = NULL;
	*g->last = j;
	g->last = &j->next;
	g->n++;
}

/* A job that was told its number, once more: under that number, compares held already. */
static int group_add_told(struct lmdb *s, struct group *g, struct write_job *j)
{
	uint64_t rev = j->rev;
	int rc;

	if (s->state.rev < rev)
		s->state.rev = rev - 1;
	rc = job_ops(s, g, j);
	j->rev = rev;
	if (s->state.rev < rev)
		s->state.rev = rev;
	if (!rc)
		group_append(g, j);
	return rc;
}

/* Tell a lazy job its number now, if that is safe; what it borrows is gone then. */
static bool job_tell(struct lmdb *s, struct write_job *j)
{
	struct ostore_txn *copy;

	if (!(j->txn->flags & ORLOP_TXN_LAZY) || j->rev > s->ceiling_disk)
		return false;
	copy = ostore_txn_copy(j->txn);
	if (!copy)
		return false;
	omem_free(j->txn);
	j->txn = copy;
	j->answered = true;
	if (s->told < j->rev)
		s->told = j->rev;
	ostore_txn_ok(s->h, j->call, j->rev);
	return true;
}

int group_add(struct lmdb *s, struct group *g, struct write_job *j)
{
	int rc;

	if (j->answered)
		return group_add_told(s, g, j);
	rc = job_compare(s, g, j);
	if (rc < 0 || rc > 1)
		return rc;
	if (rc == 1) {
		j->result = 1;
		/*
		 * What it lost against may still be in this transaction: the answer waits for the
		 * commit like a write, so that nobody sees a state that a crash takes back.
		 */
		g->durable = true;
		group_append(g, j);
		return 0;
	}
	j->result = 0;
	if (!job_fits(s, g, j)) {
		j->next = NULL;
		job_fail(s, j, -ENOSPC);
		return 0;
	}
	rc = job_ops(s, g, j);
	if (rc)
		return rc;
	group_append(g, j);
	if (!job_tell(s, j))
		g->durable = true;
	return 0;
}

static void wake_loop(void *arg)
{
	struct lmdb *s = arg;

	pthread_mutex_lock(&s->lock);
	s->wake_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (s->waiters)
		ostore_waiters_wake(s->waiters, atomic_load(&s->durable));
}

static void wake_post(struct lmdb *s)
{
	bool post;

	if (atomic_load(&s->quiet))
		return;
	pthread_mutex_lock(&s->lock);
	post = !s->wake_posted;
	s->wake_posted = true;
	pthread_mutex_unlock(&s->lock);
	/* Without memory: whoever waits for this commit would wait for the next one, so it is tried for a while. */
	for (int i = 0; post && i < WAKE_TRIES; i++) {
		int r = s->h->post(s->h, wake_loop, s);

		post = r == -ENOMEM;
		if (r == -ECANCELED)
			break;
		if (post)
			(void)usleep(WAKE_PAUSE_US);
	}
	if (post) {
		pthread_mutex_lock(&s->lock);
		s->wake_posted = false;
		pthread_mutex_unlock(&s->lock);
	}
}

/* The group's jobs are on disk (or had no effect): answer those that wait. */
static void group_answer(struct lmdb *s, struct group *g)
{
	struct write_job *j;
	struct write_job *next;
	MDB_txn *txn = NULL;

	for (j = g->first; j; j = next) {
		next = j->next;
		if (j->answered) {
			job_free(j);
		} else if (!j->result) {
			ostore_txn_ok(s->h, j->call, j->rev);
			job_free(j);
		} else if (txn || !mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &txn)) {
			answer_failed_compare(s, j, txn);
			job_free(j);
		} else {
			job_fail(s, j, -EIO);
		}
	}
	g->first = NULL;
	g->last = &g->first;
	if (txn)
		mdb_txn_abort(txn);
}

int group_commit(struct lmdb *s, struct group *g)
{
	uint64_t t0;
	int rc;

	if (s->state.rev == g->base_rev && !g->compaction) {
		group_abort(s, g);	/* nothing changed: nothing to sync */
		group_answer(s, g);
		return 0;
	}
	s->state.ceiling = s->state.rev + DB_CEILING_STEP;
	s->state.clean = 0;
	rc = db_state_put(&s->db, g->txn, &s->state);
	if (rc)
		return rc;
	mdb_cursor_close(g->keys);
	g->keys = NULL;
	t0 = s->h->now_mono(s->h);
	rc = mdb_txn_commit(g->txn);
	g->txn = NULL;
	if (rc)
		return rc;
	s->ceiling_disk = s->state.ceiling;
	atomic_fetch_add(&s->sync_ns, s->h->now_mono(s->h) - t0);
	atomic_fetch_add(&s->commits, 1);
	atomic_fetch_add(&s->writes, g->n);
	if (s->state.rev != g->base_rev) {
		atomic_store(&s->durable, s->state.rev);
		moment_note(s);
		/* readers of changes first: their feeding is what the writers' callers wait for */
		wake_post(s);
	}
	group_answer(s, g);
	return 0;
}

/*
 * LMDB says EIO when the kernel took only a part of a write, which it does just before it says that
 * there is no space.
 */
static int io_or_full(struct lmdb *s, int rc)
{
	mdb_filehandle_t fd;
	struct statvfs vfs;
	struct rlimit lim;
	struct stat st;

	if (rc != EIO || mdb_env_get_fd(s->db.env, &fd))
		return rc;
	if (!fstatvfs(fd, &vfs) && (uint64_t)vfs.f_bavail * vfs.f_frsize < SPACE_LOW)
		return ENOSPC;
	if (!getrlimit(RLIMIT_FSIZE, &lim) && !fstat(fd, &st) && lim.rlim_cur != RLIM_INFINITY &&
	    (uint64_t)st.st_size + SPACE_LOW > lim.rlim_cur)
		return EFBIG;
	return rc;
}

/* LMDB gave up: whether the last commit is on disk only opening it again can tell. */
static int fail_code(struct lmdb *s, int rc)
{
	rc = io_or_full(s, rc);
	if (rc == MDB_MAP_FULL)
		atomic_store(&s->full, true);
	if (rc != MDB_PANIC && rc != MDB_CORRUPTED && rc != MDB_PAGE_NOTFOUND)
		return db_errno(rc);
	if (!atomic_exchange(&s->broken, true)) {
		OLOG(s->h, ERR, "database_broken", "path=%s error=\"%s\"", s->path, mdb_strerror(rc));
		/* LMDB goes on only after it is opened anew, which writes too: if that fails, nothing helps. */
		if (rc != MDB_PANIC || s->h->post(s->h, database_reopen, s))
			s->h->fail(s->h, mdb_strerror(rc));
	}
	return rc == MDB_PANIC ? -ECONNRESET : -EIO;
}

/*
 * The number of the next job that was told one. Without a job that does not fit, compares of others may hold that did not: they
 * get the numbers below it, or are refused.
 */
static uint64_t told_next(const struct write_job *j)
{
	while (j && !j->answered)
		j = j->next;
	return j ? j->rev : 0;
}

/* Each job alone: those that fit are written, the others refused. */
static void jobs_singly(struct lmdb *s, struct write_job *j)
{
	struct write_job *next;

	for (; j; j = next) {
		struct group g;
		int rc;

		next = j->next;
		j->next = NULL;
		s->taken = told_next(next);
		rc = group_begin(s, &g);
		if (!rc) {
			rc = group_add(s, &g, j);
			if (!rc)
				rc = group_commit(s, &g);
			if (!rc)
				continue;
			group_abort(s, &g);
		}
		job_fail(s, j, fail_code(s, rc));
	}
}

/* The same jobs in one transaction again: they get the same numbers. */
static int jobs_again(struct lmdb *s, struct write_job *list, struct group *g)
{
	struct write_job *next;
	int rc = group_begin(s, g);

	for (; list && !rc; list = next) {
		next = list->next;
		s->taken = told_next(next);
		rc = group_add(s, g, list);
		if (rc) {
			/* not in the group: it and what follows stay behind those that are */
			list->next = next;
			*g->last = list;
		}
	}
	return rc ? rc : group_commit(s, g);
}

void group_failed(struct lmdb *s, struct group *g, struct write_job *extra, int rc)
{
	struct write_job *list = g->first;

	group_abort(s, g);
	OLOG(s->h, WARN, "commit_failed", "path=%s error=\"%s\" jobs=%u retrying=1", s->path,
	     mdb_strerror(rc), g->n);
	if (extra)
		extra->next = NULL;
	/* it was the last one that did not go in: the others can go without it */
	if (extra && list && rc != MDB_PANIC) {
		struct group again;

		rc = jobs_again(s, list, &again);
		if (rc) {
			group_abort(s, &again);
			list = again.first ? again.first : list;
		} else {
			list = NULL;
		}
	}
	jobs_singly(s, list);
	jobs_singly(s, extra);
	s->taken = 0;
	if (s->state.rev < s->told)
		s->state.rev = s->told;
}
