/*
 * lmdb.h - the module's parts: the loop side (lmdb.c, read.c, check.c), the writer thread (writer.c), what
 * it does with jobs (group.c), compaction (compact.c), which runs in the writer between commits, and
 * copies of it all (snapshot.c).
 */
#ifndef STORAGE_LMDB_LMDB_H
#define STORAGE_LMDB_LMDB_H

#include <stdatomic.h>

#include <orlop/inline/msg.h>

#include "db.h"

/* A transaction on its way: parsed on the loop, applied and answered by the writer. */
struct write_job {
	struct write_job *next;
	struct orlop_call *call;
	struct ostore_txn *txn;		/* borrows from the call; a copy once that is answered */
	uint64_t	rev;		/* result; of a failed compare: when it was evaluated */
	int		result;		/* -errno, 0 applied or nothing to do, 1 a compare failed */
	uint32_t	failed;
	struct db_version found;	/* of the failed compare; rev 0: none */
	bool		answered;	/* lazily: told `rev` before the sync */
};

/* Jobs that share one LMDB transaction. */
struct group {
	MDB_txn		*txn;
	MDB_cursor	*keys;
	struct write_job *first;	/* applied, to be answered after the commit */
	struct write_job **last;
	uint64_t	base_rev;	/* rev at begin */
	size_t		bytes;		/* added */
	uint32_t	n;
	bool		durable;	/* somebody waits for the sync */
	bool		exact;		/* free pages are counted */
	bool		compaction;
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
	int		owner_fd;	/* the lock that says this file is ours */
	size_t		map_bytes;	/* for puts; the map has a reserve above it */
	_Atomic uint64_t history_ns;	/* changes live */
	bool		read_only;	/* no writer, no lock: somebody else may have it open */

	/* loop */
	struct ostore_waiters *waiters;
	MDB_txn		*reader;	/* reset between uses */
	uint32_t	copies;		/* snapshots being made: they read the database on workers */
	bool		reopen;		/* wanted, when they are done */

	/* shared: lock */
	pthread_mutex_t	lock;
	pthread_cond_t	cond;
	struct write_job *head;
	struct write_job **tail;
	bool		stopping;
	bool		wake_posted;
	uint64_t	compact_to;	/* asked for, 0: nothing */

	_Atomic bool	full;		/* puts are refused at the moment */
	_Atomic bool	quiet;		/* stopping: nobody waits any more */
	_Atomic bool	broken;		/* LMDB does not go on */
	_Atomic uint64_t durable;	/* last revision on disk */
	_Atomic uint64_t oldest;
	_Atomic uint64_t commits;
	_Atomic uint64_t writes;
	_Atomic uint64_t sync_ns;

	/* writer */
	void		*thread;
	struct db_state	state;		/* as it will be with the open transaction */
	uint64_t	ceiling_disk;	/* no number above it may be told before a commit */
	uint64_t	told;		/* highest number told lazily */
	uint64_t	taken;		/* while jobs are written again: told to one that is to come; 0: none */
	uint64_t	rev_floor;	/* begin above it (restore) */
	size_t		used;		/* of the map, at most, when the group began */
	struct moment	moments[MOMENTS];
	uint32_t	n_moments;
	uint64_t	compact_goal;	/* 0: nothing to do */
};

#define LAZY_NS		100000000ull
#define GROUP_MAX	2048u
#define GROUP_BYTES	(32u << 20)

/* group.c; all in the writer. Those that return an int: 0 or an LMDB code. */
int group_begin(struct lmdb *s, struct group *g);
void group_abort(struct lmdb *s, struct group *g);
/* Take one job in; on failure the group must be given to group_failed() with it. */
int group_add(struct lmdb *s, struct group *g, struct write_job *j);
/* Commit and answer; on failure nothing of the group is on disk. */
int group_commit(struct lmdb *s, struct group *g);
/* Abort; then what can be written is written, the rest refused. @extra: the job that did not go in. */
void group_failed(struct lmdb *s, struct group *g, struct write_job *extra, int rc);

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

/* lmdb.c */
int open_all(struct lmdb *s, struct orlop_error *err);
void close_all(struct lmdb *s);
/* After LMDB gave up: close and open again; fails the module if that does not work. On the loop. */
void database_reopen(void *arg);
int read_only_fail(const struct lmdb *s, struct orlop_error *err);
/* Answers with what is in @w, REV and OLDEST. */
void numbers_answer(struct lmdb *s, struct orlop_call *call, struct orlop_msgw *w, uint64_t rev);

/* snapshot.c, check.c */
int op_snapshot(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int op_restore(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int op_check(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);

/* Numbers from the file, for a reader. */
int reader_start(struct lmdb *s, struct orlop_error *err);
int read_begin(struct lmdb *s, MDB_txn **ret_txn, struct orlop_error *err);
void read_end(struct lmdb *s);
int op_range(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int op_changes(void *ctx, const struct orlop_req *req, struct orlop_call *call,
	       struct orlop_error *err);
void changes_wake(void *arg, struct orlop_call *call, uint64_t rev, uint64_t limit);

#endif
