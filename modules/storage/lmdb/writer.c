/*
 * writer.c - the one thread that writes: group commit.
 *
 * It takes all waiting jobs into one LMDB transaction, commits with one sync, then answers them
 * (group.c). Jobs that came in during the sync are the next group, so the group grows with the load
 * by itself. A lazy job is answered when it is applied; the transaction stays open until a durable
 * job comes or LAZY_NS have passed.
 */
#include "lmdb.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"

/* A slice of compaction at least every so many groups, however busy we are. */
#define COMPACT_EVERY	8u

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
		if (g.n >= GROUP_MAX || g.bytes >= GROUP_BYTES || (until && clock_now() >= until))
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
	struct db_state before = s->state;
	struct group g;
	int more = 1;
	int gone;
	int rc;

	/* A reader of another process that died (orlop storage check) would keep old pages for ever. */
	(void)mdb_reader_check(s->db.env, &gone);
	rc = group_begin(s, &g);

	if (!rc) {
		g.compaction = true;
		more = compact_slice(s, g.txn);
		rc = more > 1 || more < 0 ? more : group_commit(s, &g);
	}
	if (rc) {
		group_abort(s, &g);
		s->state = before;
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
	uint32_t groups = 0;
	bool stop = false;

	while (!stop) {
		struct write_job *j = job_take(s, s->compact_goal ? 0 : UINT64_MAX, &stop);

		if (j) {
			group_run(s, j, &stop);
			if (!s->compact_goal)
				compact_due(s);
			if (!s->compact_goal || ++groups < COMPACT_EVERY)
				continue;
		}
		if (stop)
			break;
		groups = 0;
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
	MDB_txn *txn;
	int rc;

	memset(&s->state, 0, sizeof(s->state));
	rc = mdb_txn_begin(s->db.env, NULL, 0, &txn);
	if (!rc) {
		rc = db_state_get(&s->db, txn, &s->state);
		if (!rc && !s->state.clean) {
			/* numbers up to the ceiling may have been given out */
			s->state.rev = s->state.ceiling;
		}
		if (s->rev_floor) {
			/* another history than before: no cursor into the old one may go on */
			if (s->state.rev < s->rev_floor)
				s->state.rev = s->rev_floor;
			s->state.oldest = ++s->state.rev;
			s->rev_floor = 0;
		}
		s->state.clean = 0;
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
	s->ceiling_disk = s->state.ceiling;
	s->told = 0;
	s->compact_goal = 0;
	s->n_moments = 0;
	s->head = NULL;
	s->tail = &s->head;
	s->stopping = false;
	rc = s->h->thread_start(s->h, "lmdb-writer", writer_run, s, &s->thread);
	if (rc)
		return orlop_fail(err, -rc, 0, "", "writer thread");
	return 0;
}

int reader_start(struct lmdb *s, struct orlop_error *err)
{
	struct db_state st = { 0 };
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &txn);

	if (!rc) {
		rc = db_state_get(&s->db, txn, &st);
		mdb_txn_abort(txn);
	}
	if (rc)
		return db_fail(err, rc, s->path);
	atomic_store(&s->durable, st.rev);
	atomic_store(&s->oldest, st.oldest);
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
}
