/*
 * db.h - the database file: three tables, and what one transaction does to them.
 *
 *   log    (rev, sub) → flags, create_rev, key, value    every version, appended
 *   keys   key → (rev, sub, flags, create_rev) …         versions of a key, oldest first (DUPSORT)
 *   meta   name → number                                 format, rev, ceiling, oldest
 * Format 2 has checksums in the log; format 1 has none, and becomes 2 when it is opened for writing.
 *
 * Numbers in keys are big endian, so that they sort. `ceiling` is a revision that no answer has
 * ever reached before the next commit: after an unclean end numbering goes on above it, so that a
 * number given out lazily and lost is not given out again.
 */
#ifndef STORAGE_LMDB_DB_H
#define STORAGE_LMDB_DB_H

#include <lmdb.h>
#include <pthread.h>

#include <orlop/host.h>

#include "store/ostore.h"

#define DB_VERSION_SIZE		24u	/* of an entry of `keys` */
#define DB_LOG_HEAD		16u	/* u64 create_rev, u32 flags, u32 key_len */
/*
 * Revisions that an unclean end skips, and lazy answers that one commit may leave open. Few: who watches comes back with a
 * revision from before, and only the last 10,000 are replayed to him. Not one: each sync would be for one of them.
 */
#define DB_CEILING_STEP		256u

#define DB_DELETED		1u
/*
 * Of an entry of `log`: bits 8 … 31 of its flags are a checksum of the entry, 0: none (format 1). In
 * struct db_version and in `keys` they are 0.
 */
#define DB_FLAGS_MASK		0xffu

/* Of the map nobody's puts may use: deletes and compaction must work when it is full. */
#define DB_RESERVE(map)		((4u << 20) + (map) / 16)

struct db {
	MDB_env		*env;
	MDB_dbi		log;
	MDB_dbi		keys;
	MDB_dbi		meta;
	size_t		page;
	bool		any_order;
	char		path[4096];
};

/* One version of a key, as `keys` has it. */
struct db_version {
	uint64_t	rev;
	uint32_t	sub;
	uint32_t	flags;
	uint64_t	create_rev;
};

/* What meta says. */
struct db_state {
	uint64_t	rev;
	uint64_t	ceiling;
	uint64_t	oldest;		/* reading below this is refused */
	uint64_t	compacted;	/* history up to here is dropped; ≤ oldest */
	uint64_t	clean;		/* closed in order: go on at rev */
};

/*
 * Open, or make: under another name first, so that an unclean end leaves a whole database or none.
 * Refusals are said in @err.
 */
int db_open(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err);
/* Open what must be there, as a database of ours. */
int db_open_existing(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err);
/* The same for reading only, also while another process writes. */
int db_open_reading(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err);
/* A new one, in @path itself: to be filled and moved to its place. */
int db_create(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err);
void db_close(struct db *db);
/* Make names in the directory of @path durable. */
int db_sync_dir(const char *path);

/* Bytes of the map in use after the last commit; free pages are taken off only if @exact. */
size_t db_used(struct db *db, bool exact);

/* Negative errno of an LMDB return code; 0 stays 0. */
int db_errno(int rc);
int db_fail(struct orlop_error *err, int rc, const char *what);

int db_state_get(struct db *db, MDB_txn *txn, struct db_state *ret_s);
int db_state_put(struct db *db, MDB_txn *txn, const struct db_state *s);

/* Newest version of @key not above @rev (DELETED ones too). 0 or -ENOENT or another -errno. */
int db_version_at(struct db *db, MDB_cursor *keys, struct orlop_bytes key, uint64_t rev,
		  struct db_version *ret_v);

/* Key and value of a log entry, pointers into the map. */
int db_log_get(struct db *db, MDB_txn *txn, const struct db_version *v, struct orlop_bytes *ret_key,
	       struct orlop_bytes *ret_value);
int db_log_parse(const MDB_val *val, struct db_version *v, struct orlop_bytes *ret_key,
		 struct orlop_bytes *ret_value);

/* The checksum that an entry should have, in its bits; never 0. */
uint32_t db_log_sum(const struct db_version *v, struct orlop_bytes key, struct orlop_bytes value);

/* Write one version to log and keys; in the order of revisions, unless db->any_order. */
int db_version_put(struct db *db, MDB_txn *txn, const struct db_version *v, struct orlop_bytes key,
		   struct orlop_bytes value);
/* Remove one version from both. */
int db_version_del(struct db *db, MDB_txn *txn, MDB_cursor *keys, const struct db_version *v,
		   struct orlop_bytes key);

void db_u64_put(void *p, uint64_t v);
void db_u32_put(void *p, uint32_t v);
uint64_t db_u64_get(const void *p);
uint32_t db_u32_get(const void *p);
void db_version_pack(const struct db_version *v, unsigned char out[DB_VERSION_SIZE]);
void db_version_unpack(const unsigned char *in, struct db_version *v);

#endif
