/*
 * writer.c - the one thread that writes: group commit.
 *
 * It takes all waiting jobs into one LMDB transaction, commits with one sync, then answers them.
 * Jobs that came in during the sync are the next group, so the group grows with the load by
 * itself. A lazy job is answered when it is applied; the transaction stays open until a durable
 * job comes or LAZY_NS have passed. Only an I/O error or a full disk loses a lazy answer, as the
 * contract allows.
 *
 * If anything fails inside a group (the map or the disk is full) the transaction is aborted and the
 * jobs are tried one by one, so that only those that do not fit are refused.
 */
#include "lmdb.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"

#define LAZY_NS		100000000ull
#define GROUP_MAX	2048u

struct group {
	MDB_txn		*txn;
	MDB_cursor	*keys;
	struct write_job *first;	/* applied, to be answered after the commit */
	struct write_job **last;
	uint64_t	base_rev;	/* rev at begin */
	uint32_t	n;
	bool		durable;	/* somebody waits for the sync */
	bool		told;		/* a lazy answer has given out a revision */
	bool		compaction;
};

static void job_free(struct write_job *j)
{
	omem_free(j->txn);
	omem_free(j);
}

/* Called without the lock and outside transactions, but for failed compares: see job_answer. */
static void job_fail(struct lmdb *s, struct write_job *j, int e)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!j->answered) {
		if (e == -ENOSPC)
			orlop_fail(&err, ENOSPC, 507, "", "%s: no space left: nothing was written",
				   s->path);
		else
			orlop_fail(&err, -e, 0, "", "%s: write failed: nothing was written", s->path);
		s->h->call_done(j->call, e, NULL, &err);
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
	ostore_txn_failed(s->h, j->call, s->state.rev, j->failed, j->found.rev ? &item : NULL, key,
			  value);
	j->answered = true;
}

/* Evaluate compares; 0 all hold, 1 one does not (j->failed, j->found), else an LMDB code < 0 or errno. */
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

static int group_begin(struct lmdb *s, struct group *g)
{
	int rc;

	memset(g, 0, sizeof(*g));
	g->last = &g->first;
	g->base_rev = s->state.rev;
	rc = mdb_txn_begin(s->db.env, NULL, 0, &g->txn);
	if (rc)
		return rc;
	rc = mdb_cursor_open(g->txn, s->db.keys, &g->keys);
	if (rc) {
		mdb_txn_abort(g->txn);
		g->txn = NULL;
	}
	return rc;
}

static void group_abort(struct lmdb *s, struct group *g)
{
	if (g->keys)
		mdb_cursor_close(g->keys);
	if (g->txn)
		mdb_txn_abort(g->txn);
	g->keys = NULL;
	g->txn = NULL;
	/* numbers that were given out are not given out again */
	if (!g->told)
		s->state.rev = g->base_rev;
}

/* Take one job in. 0, or an LMDB code: the group must be aborted. */
static int group_add(struct lmdb *s, struct group *g, struct write_job *j)
{
	int rc = job_compare(s, g, j);

	if (rc < 0 || rc > 1)
		return rc;
	g->n++;
	j->next = NULL;
	if (rc == 1) {
		j->result = 1;
		/*
		 * What it lost against may still be in this transaction: the answer waits for the
		 * commit like a write, so that nobody sees a state that a crash takes back.
		 */
		g->durable = true;
	} else {
		j->result = 0;
		rc = job_ops(s, g, j);
		if (rc)
			return rc;
		if (j->txn->flags & ORLOP_TXN_LAZY) {
			ostore_txn_ok(s->h, j->call, j->rev);
			j->answered = true;	/* and what it borrowed is gone */
			g->told = true;
		} else {
			g->durable = true;
		}
	}
	*g->last = j;
	g->last = &j->next;
	return 0;
}

static void wake_loop(void *arg)
{
	struct lmdb *s = arg;

	pthread_mutex_lock(&s->lock);
	s->wake_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (s->waiters)
		ostore_waiters_wake(s->waiters);
}

static void wake_post(struct lmdb *s)
{
	bool post;

	pthread_mutex_lock(&s->lock);
	post = !s->wake_posted;
	s->wake_posted = true;
	pthread_mutex_unlock(&s->lock);
	if (post && s->h->post(s->h, wake_loop, s)) {
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
	if (txn)
		mdb_txn_abort(txn);
}

/* Commit and answer. 0 or an LMDB code (nothing of the group is on disk). */
static int group_commit(struct lmdb *s, struct group *g)
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

/* Each job alone: those that fit are written, the others refused. */
static void jobs_singly(struct lmdb *s, struct write_job *j)
{
	struct write_job *next;

	for (; j; j = next) {
		struct group g;
		int rc;

		next = j->next;
		j->next = NULL;
		if (j->answered) {
			OLOG(s->h, WARN, "lazy_write_lost", "path=%s rev=%llu", s->path,
			     (unsigned long long)j->rev);
			job_free(j);
			continue;
		}
		rc = group_begin(s, &g);
		if (!rc)
			rc = group_add(s, &g, j);
		if (!rc)
			rc = group_commit(s, &g);
		if (!rc)
			continue;
		group_abort(s, &g);
		OLOG(s->h, ERR, "write_failed", "path=%s error=\"%s\"", s->path, mdb_strerror(rc));
		job_fail(s, j, db_errno(rc));
		if (rc == MDB_PANIC || rc == MDB_CORRUPTED)
			s->h->fail(s->h, mdb_strerror(rc));
	}
}

/* Next job, or NULL: nothing until @until (0: do not wait, UINT64_MAX: for ever). */
static struct write_job *job_take(struct lmdb *s, uint64_t until, bool *ret_stop)
{
	struct write_job *j = NULL;

	pthread_mutex_lock(&s->lock);
	while (!s->head && !s->stopping && !(s->compact_to && until == UINT64_MAX)) {
		if (!until)
			break;
		if (until == UINT64_MAX) {
			pthread_cond_wait(&s->cond, &s->lock);
		} else {
			struct timespec ts = { .tv_sec = (time_t)(until / 1000000000ull),
					       .tv_nsec = (long)(until % 1000000000ull) };

			if (pthread_cond_timedwait(&s->cond, &s->lock, &ts) == ETIMEDOUT)
				break;
		}
	}
	j = s->head;
	if (j) {
		s->head = j->next;
		if (!s->head)
			s->tail = &s->head;
	}
	*ret_stop = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return j;
}

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void group_failed(struct lmdb *s, struct group *g, struct write_job *extra, int rc)
{
	struct write_job *all;

	group_abort(s, g);
	*g->last = extra;
	if (extra)
		extra->next = NULL;
	all = g->first;
	if (rc != MDB_MAP_FULL && rc != ENOSPC)
		OLOG(s->h, ERR, "commit_failed", "path=%s error=\"%s\" jobs=%u", s->path,
		     mdb_strerror(rc), g->n);
	jobs_singly(s, all);
}

/* One group: from its first job to its commit. */
static void group_run(struct lmdb *s, struct write_job *first, bool *stop)
{
	struct write_job *j = first;
	struct group g;
	uint64_t until = 0;
	int rc = group_begin(s, &g);

	if (rc) {
		group_failed(s, &g, j, rc);
		return;
	}
	while (j) {
		rc = group_add(s, &g, j);
		if (rc) {
			group_failed(s, &g, j, rc);
			return;
		}
		if (!g.durable && !until)
			until = clock_now() + LAZY_NS;
		/* lost revisions must stay below the ceiling that is on disk */
		if (g.n >= GROUP_MAX || s->state.rev + 1 - g.base_rev >= DB_CEILING_STEP)
			break;
		j = job_take(s, g.durable || *stop ? 0 : until, stop);
	}
	rc = group_commit(s, &g);
	if (rc)
		group_failed(s, &g, NULL, rc);
}

void oldest_raise(struct lmdb *s, uint64_t rev)
{
	uint64_t old = atomic_load(&s->oldest);

	while (old < rev && !atomic_compare_exchange_weak(&s->oldest, &old, rev))
		;
}

static void compact_run(struct lmdb *s)
{
	struct group g;
	int more = 1;
	int rc = group_begin(s, &g);

	if (!rc) {
		g.compaction = true;
		more = compact_slice(s, g.txn);
		rc = more > 1 || more < 0 ? more : group_commit(s, &g);
	}
	if (rc) {
		group_abort(s, &g);
		OLOG(s->h, WARN, "compaction_failed", "path=%s error=\"%s\" ignoring=1", s->path,
		     mdb_strerror(rc));
		s->compact_goal = 0;
		return;
	}
	oldest_raise(s, s->state.oldest);
	if (!more)
		s->compact_goal = 0;
}

void writer_run(void *arg)
{
	struct lmdb *s = arg;
	bool stop = false;

	while (!stop) {
		struct write_job *j = job_take(s, s->compact_goal ? 0 : UINT64_MAX, &stop);

		if (j) {
			group_run(s, j, &stop);
			if (!s->compact_goal)
				compact_due(s);
			continue;
		}
		if (stop)
			break;
		if (s->compact_goal || compact_due(s))
			compact_run(s);
	}
}

void writer_add(struct lmdb *s, struct write_job *job)
{
	pthread_mutex_lock(&s->lock);
	job->next = NULL;
	*s->tail = job;
	s->tail = &job->next;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

int writer_start(struct lmdb *s, struct orlop_error *err)
{
	pthread_condattr_t attr;
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(s->db.env, NULL, 0, &txn);
	if (!rc) {
		rc = db_state_get(&s->db, txn, &s->state);
		if (!rc && !s->state.clean) {
			/* numbers up to the ceiling may have been given out */
			s->state.rev = s->state.ceiling;
			s->state.ceiling += DB_CEILING_STEP;
		}
		s->state.clean = 0;
		if (s->state.ceiling < s->state.rev + DB_CEILING_STEP)
			s->state.ceiling = s->state.rev + DB_CEILING_STEP;
		if (!rc)
			rc = db_state_put(&s->db, txn, &s->state);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
	}
	if (rc)
		return db_fail(err, rc, s->path);
	atomic_store(&s->durable, s->state.rev);
	atomic_store(&s->oldest, s->state.oldest);
	s->head = NULL;
	s->tail = &s->head;
	s->stopping = false;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->lock, NULL);
	rc = s->h->thread_start(s->h, "lmdb-writer", writer_run, s, &s->thread);
	if (rc)
		return orlop_fail(err, -rc, 0, "", "writer thread");
	return 0;
}

/* Everything that was accepted is written and answered first. */
void writer_stop(struct lmdb *s)
{
	MDB_txn *txn;

	if (!s->thread)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	s->h->thread_join(s->h, s->thread);
	s->thread = NULL;
	while (s->head) {
		bool stop = true;

		group_run(s, job_take(s, 0, &stop), &stop);
	}
	s->state.clean = 1;
	s->state.ceiling = s->state.rev;
	if (!mdb_txn_begin(s->db.env, NULL, 0, &txn)) {
		if (db_state_put(&s->db, txn, &s->state))
			mdb_txn_abort(txn);
		else
			(void)mdb_txn_commit(txn);	/* not clean then: only numbers are skipped */
	}
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
}
