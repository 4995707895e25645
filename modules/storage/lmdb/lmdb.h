/*
 * lmdb.h - the module's parts: the loop side (lmdb.c, read.c), the writer thread (writer.c), and
 * compaction (compact.c), which runs in the writer between commits.
 */
#ifndef STORAGE_LMDB_LMDB_H
#define STORAGE_LMDB_LMDB_H

#include <stdatomic.h>

#include "db.h"

/* A transaction on its way: parsed on the loop, applied and answered by the writer. */
struct write_job {
	struct write_job *next;
	struct orlop_call *call;
	struct ostore_txn *txn;
	uint64_t	rev;		/* result */
	int		result;		/* -errno, 0 applied or nothing to do, 1 a compare failed */
	uint32_t	failed;
	struct db_version found;	/* of the failed compare; rev 0: none */
	bool		answered;
};

/* Wall time to revision, to know what is older than the history to keep. */
struct moment {
	uint64_t	at;		/* monotonic ns */
	uint64_t	rev;
};
#define MOMENTS		128u

struct lmdb {
	const struct orlop_host *h;
	struct db	db;
	char		*path;
	size_t		map_bytes;
	uint64_t	history_ns;

	/* loop */
	struct ostore_waiters *waiters;
	MDB_txn		*reader;	/* reset between uses */

	/* shared: lock */
	pthread_mutex_t	lock;
	pthread_cond_t	cond;
	struct write_job *head;
	struct write_job **tail;
	bool		stopping;
	bool		wake_posted;
	uint64_t	compact_to;	/* asked for, 0: nothing */

	_Atomic uint64_t durable;	/* last revision on disk */
	_Atomic uint64_t oldest;
	_Atomic uint64_t commits;
	_Atomic uint64_t writes;
	_Atomic uint64_t sync_ns;

	/* writer */
	void		*thread;
	struct db_state	state;		/* as it will be with the open transaction */
	struct moment	moments[MOMENTS];
	uint32_t	n_moments;
	uint64_t	compact_at;	/* scanned up to here in this compaction */
	uint64_t	compact_goal;
};

void writer_run(void *arg);
int writer_start(struct lmdb *s, struct orlop_error *err);
void writer_stop(struct lmdb *s);
/* Reading below @rev fails from now on. Any thread. */
void oldest_raise(struct lmdb *s, uint64_t rev);
void writer_add(struct lmdb *s, struct write_job *job);

/* One slice of compaction inside @txn; 1: more to do, 0: done, else an LMDB code. */
int compact_slice(struct lmdb *s, MDB_txn *txn);
/* Set the goal from the age of history; true if there is something to do. */
bool compact_due(struct lmdb *s);
void moment_note(struct lmdb *s);

int read_begin(struct lmdb *s, MDB_txn **ret_txn, struct orlop_error *err);
void read_end(struct lmdb *s);
int op_range(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int op_changes(void *ctx, const struct orlop_req *req, struct orlop_call *call,
	       struct orlop_error *err);
void changes_wake(void *arg, struct orlop_call *call, uint64_t rev, uint64_t limit);

#endif
