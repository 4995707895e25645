/* db.c - the database file: tables, versions, state. See db.h for the layout. */
#include "db.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ohash.h"

#define NO_DATABASE	"%s is not a database of orlop; restore a snapshot, or name another path"
#define DB_FORMAT	2u
#define DB_FORMAT_OLDEST 1u	/* that can be read */

/*
 * LMDB may leave out pages at the very end that one transaction both took and gave back, so a good
 * file can be a little shorter than its header says; one cut off is much shorter.
 */
#define DB_SHORT_PAGES	256u

enum how { READ, WRITE, MAKE };

int db_errno(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return -EIO;
	case MDB_READERS_FULL:
	case MDB_TXN_FULL:
		return -EAGAIN;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

int db_fail(struct orlop_error *err, int rc, const char *what)
{
	return orlop_fail(err, -db_errno(rc), 0, "", "%s: %s", what, mdb_strerror(rc));
}

void db_u64_put(void *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

void db_u32_put(void *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

uint64_t db_u64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

uint32_t db_u32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

void db_version_pack(const struct db_version *v, unsigned char out[DB_VERSION_SIZE])
{
	db_u64_put(out, v->rev);
	db_u32_put(out + 8, v->sub);
	db_u32_put(out + 12, v->flags);
	db_u64_put(out + 16, v->create_rev);
}

void db_version_unpack(const unsigned char *in, struct db_version *v)
{
	v->rev = db_u64_get(in);
	v->sub = db_u32_get(in + 8);
	v->flags = db_u32_get(in + 12);
	v->create_rev = db_u64_get(in + 16);
}

static int meta_get(struct db *db, MDB_txn *txn, const char *name, uint64_t *ret)
{
	MDB_val k = { .mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name };
	MDB_val v;
	int rc = mdb_get(txn, db->meta, &k, &v);

	if (rc)
		return rc;
	if (v.mv_size != 8)
		return MDB_CORRUPTED;
	*ret = db_u64_get(v.mv_data);
	return 0;
}

static int meta_put(struct db *db, MDB_txn *txn, const char *name, uint64_t n)
{
	unsigned char buf[8];
	MDB_val k = { .mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name };
	MDB_val v = { .mv_size = sizeof(buf), .mv_data = buf };

	db_u64_put(buf, n);
	return mdb_put(txn, db->meta, &k, &v, 0);
}

int db_state_get(struct db *db, MDB_txn *txn, struct db_state *ret_s)
{
	int rc = meta_get(db, txn, "rev", &ret_s->rev);

	if (!rc)
		rc = meta_get(db, txn, "ceiling", &ret_s->ceiling);
	if (!rc)
		rc = meta_get(db, txn, "oldest", &ret_s->oldest);
	if (!rc)
		rc = meta_get(db, txn, "compacted", &ret_s->compacted);
	if (!rc)
		rc = meta_get(db, txn, "clean", &ret_s->clean);
	return rc;
}

int db_state_put(struct db *db, MDB_txn *txn, const struct db_state *s)
{
	int rc = meta_put(db, txn, "rev", s->rev);

	if (!rc)
		rc = meta_put(db, txn, "ceiling", s->ceiling);
	if (!rc)
		rc = meta_put(db, txn, "oldest", s->oldest);
	if (!rc)
		rc = meta_put(db, txn, "compacted", s->compacted);
	if (!rc)
		rc = meta_put(db, txn, "clean", s->clean);
	return rc;
}

static int db_format_raise(struct db *db)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (rc)
		return rc;
	rc = meta_put(db, txn, "format", DB_FORMAT);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* Make the tables and first state (@how MAKE), or read what is there. */
static int db_tables(struct db *db, enum how how, struct orlop_error *err)
{
	bool make = how == MAKE;
	unsigned int flags = make ? MDB_CREATE : 0;
	MDB_txn *txn;
	uint64_t format = DB_FORMAT;
	int rc = mdb_txn_begin(db->env, NULL, make ? 0 : MDB_RDONLY, &txn);

	if (rc)
		return db_fail(err, rc, db->path);
	rc = mdb_dbi_open(txn, "log", flags, &db->log);
	if (!rc)
		rc = mdb_dbi_open(txn, "keys", flags | MDB_DUPSORT | MDB_DUPFIXED, &db->keys);
	if (!rc)
		rc = mdb_dbi_open(txn, "meta", flags, &db->meta);
	if (!rc && make) {
		const struct db_state s = { .rev = 1, .ceiling = 1, .oldest = 1, .compacted = 1,
					    .clean = 1 };

		rc = meta_put(db, txn, "format", DB_FORMAT);
		if (!rc)
			rc = db_state_put(db, txn, &s);
	} else if (!rc) {
		rc = meta_get(db, txn, "format", &format);
	}
	if (!rc && format >= DB_FORMAT_OLDEST && format <= DB_FORMAT) {
		/* read-only ones too: it keeps the handles of the tables */
		rc = mdb_txn_commit(txn);
		if (!rc && format != DB_FORMAT && how == WRITE)
			rc = db_format_raise(db);
		return rc ? db_fail(err, rc, db->path) : 0;
	}
	mdb_txn_abort(txn);
	if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
		return orlop_fail(err, EINVAL, 0, "", NO_DATABASE, db->path);
	if (rc)
		return db_fail(err, rc, db->path);
	return orlop_fail(err, ENOTSUP, 0, "",
			  "%s: database format %llu, this orlop reads %u; use a newer one",
			  db->path, (unsigned long long)format, DB_FORMAT);
}

/* Refuse what was cut off: reading beyond its end would kill us. */
static int db_check_size(struct db *db, enum how how, struct orlop_error *err)
{
	struct stat st;
	MDB_envinfo info;
	mdb_filehandle_t fd;
	uint64_t want;

	if (mdb_env_info(db->env, &info) || mdb_env_get_fd(db->env, &fd) || fstat(fd, &st))
		return orlop_fail(err, EIO, 0, "", "%s: size cannot be read", db->path);
	want = ((uint64_t)info.me_last_pgno + 1) * db->page;
	if ((uint64_t)st.st_size >= want)
		return 0;
	if ((uint64_t)st.st_size + DB_SHORT_PAGES * db->page < want)
		return orlop_fail(err, EIO, 0, "",
				  "%s is cut off: %llu bytes of %llu; restore it from a snapshot",
				  db->path, (unsigned long long)st.st_size,
				  (unsigned long long)want);
	if (how == READ)
		return 0;	/* a fault there is the reader's: a process for that alone */
	/* unwritten pages read as zeros then, which LMDB takes for damage and not for a page */
	if (ftruncate(fd, (off_t)want))
		return orlop_fail(err, errno, 0, "", "%s: %s", db->path, strerrordesc_np(errno));
	return 0;
}

static int env_open(struct db *db, const char *path, size_t map_bytes, enum how how,
		    struct orlop_error *err)
{
	const unsigned int flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
	MDB_stat st;
	int rc;
	int e;

	memset(db, 0, sizeof(*db));
	rc = mdb_env_create(&db->env);
	if (rc)
		return db_fail(err, rc, "mdb_env_create");
	snprintf(db->path, sizeof(db->path), "%s", path);
	mdb_env_set_maxdbs(db->env, 4);
	mdb_env_set_mapsize(db->env, map_bytes + DB_RESERVE(map_bytes));
	rc = mdb_env_open(db->env, path, flags | (how == READ ? MDB_RDONLY : 0), 0600);
	if (!rc)
		rc = mdb_env_stat(db->env, &st);
	if (rc) {
		e = rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH
			? orlop_fail(err, EINVAL, 0, "", NO_DATABASE, path)
			: db_fail(err, rc, path);
		db_close(db);
		return e;
	}
	db->page = st.ms_psize;
	e = how == MAKE ? 0 : db_check_size(db, how, err);
	if (!e)
		e = db_tables(db, how, err);
	if (e)
		db_close(db);
	return e;
}

int db_sync_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[4096] = ".";
	int e = 0;
	int fd;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		e = -errno;
	close(fd);
	return e;
}

/* A new database as a whole, or nothing. */
static int db_make(const char *path, size_t map_bytes, struct orlop_error *err)
{
	char tmp[4096];
	char lock[4096];
	struct db db;
	int e;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp) - 8)
		return orlop_fail(err, ENAMETOOLONG, 0, "", "%.80s…: path too long", path);
	snprintf(lock, sizeof(lock), "%s.new-lock", path);
	unlink(tmp);
	e = env_open(&db, tmp, map_bytes, MAKE, err);
	if (!e) {
		db_close(&db);
		if (rename(tmp, path))
			e = orlop_fail(err, errno, 0, "", "rename %s: %s", tmp, strerrordesc_np(errno));
		else if ((e = db_sync_dir(path)))
			e = orlop_fail(err, -e, 0, "", "sync the directory of %s", path);
	}
	unlink(lock);
	return e;
}

static int open_existing(struct db *db, const char *path, size_t map_bytes, enum how how,
			 struct orlop_error *err)
{
	struct stat st;

	memset(db, 0, sizeof(*db));
	if (stat(path, &st))
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return orlop_fail(err, EINVAL, 0, "", NO_DATABASE, path);
	return env_open(db, path, map_bytes, how, err);
}

int db_open_existing(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err)
{
	return open_existing(db, path, map_bytes, WRITE, err);
}

int db_open_reading(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err)
{
	return open_existing(db, path, map_bytes, READ, err);
}

int db_create(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err)
{
	return env_open(db, path, map_bytes, MAKE, err);
}

int db_open(struct db *db, const char *path, size_t map_bytes, struct orlop_error *err)
{
	struct stat st;
	int e;

	if (stat(path, &st)) {
		if (errno != ENOENT)
			return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
		e = db_make(path, map_bytes, err);
		if (e)
			return e;
	}
	return db_open_existing(db, path, map_bytes, err);
}

size_t db_used(struct db *db, bool exact)
{
	MDB_envinfo info;
	MDB_txn *txn;
	MDB_cursor *c;
	MDB_val k;
	MDB_val v;
	size_t pages;
	size_t n;

	mdb_env_info(db->env, &info);
	pages = info.me_last_pgno + 1;
	if (!exact || mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn))
		return pages * db->page;
	/* LMDB's own table of free pages is number 0: lists that begin with their length */
	if (!mdb_cursor_open(txn, 0, &c)) {
		while (!mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
			memcpy(&n, v.mv_data, sizeof(n));
			pages -= n < pages ? n : pages;
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	return pages * db->page;
}

void db_close(struct db *db)
{
	if (db->env)
		mdb_env_close(db->env);
	db->env = NULL;
}

int db_version_at(struct db *db, MDB_cursor *keys, struct orlop_bytes key, uint64_t rev,
		  struct db_version *ret_v)
{
	unsigned char probe[DB_VERSION_SIZE] = { 0 };
	MDB_val k = { .mv_size = key.len, .mv_data = (void *)(uintptr_t)key.p };
	MDB_val v;
	int rc;

	(void)db;
	/* the newest is nearly always the one */
	rc = mdb_cursor_get(keys, &k, &v, MDB_SET);
	if (!rc)
		rc = mdb_cursor_get(keys, &k, &v, MDB_LAST_DUP);
	if (rc)
		return db_errno(rc);
	if (v.mv_size != DB_VERSION_SIZE)
		return -EIO;
	db_version_unpack(v.mv_data, ret_v);
	if (ret_v->rev <= rev)
		return 0;
	/* first version above rev, then one back */
	db_u64_put(probe, rev + 1);
	v.mv_data = probe;
	v.mv_size = sizeof(probe);
	k.mv_data = (void *)(uintptr_t)key.p;
	k.mv_size = key.len;
	rc = mdb_cursor_get(keys, &k, &v, MDB_GET_BOTH_RANGE);
	if (!rc)
		rc = mdb_cursor_get(keys, &k, &v, MDB_PREV_DUP);
	if (rc)
		return db_errno(rc);
	if (v.mv_size != DB_VERSION_SIZE)
		return -EIO;
	db_version_unpack(v.mv_data, ret_v);
	return 0;
}

int db_log_parse(const MDB_val *val, struct db_version *v, struct orlop_bytes *ret_key,
		 struct orlop_bytes *ret_value)
{
	const char *p = val->mv_data;
	uint32_t key_len;

	if (val->mv_size < DB_LOG_HEAD)
		return -EIO;
	v->create_rev = db_u64_get(p);
	v->flags = db_u32_get(p + 8) & DB_FLAGS_MASK;
	key_len = db_u32_get(p + 12);
	if (key_len > val->mv_size - DB_LOG_HEAD)
		return -EIO;
	ret_key->p = p + DB_LOG_HEAD;
	ret_key->len = key_len;
	ret_value->p = p + DB_LOG_HEAD + key_len;
	ret_value->len = val->mv_size - DB_LOG_HEAD - key_len;
	return 0;
}

int db_log_get(struct db *db, MDB_txn *txn, const struct db_version *v, struct orlop_bytes *ret_key,
	       struct orlop_bytes *ret_value)
{
	unsigned char kbuf[12];
	struct db_version same;
	MDB_val k = { .mv_size = sizeof(kbuf), .mv_data = kbuf };
	MDB_val val;
	int rc;

	db_u64_put(kbuf, v->rev);
	db_u32_put(kbuf + 8, v->sub);
	rc = mdb_get(txn, db->log, &k, &val);
	if (rc)
		return rc == MDB_NOTFOUND ? -EIO : db_errno(rc);
	return db_log_parse(&val, &same, ret_key, ret_value);
}

uint32_t db_log_sum(const struct db_version *v, struct orlop_bytes key, struct orlop_bytes value)
{
	unsigned char head[DB_VERSION_SIZE];
	uint64_t h;
	uint32_t sum;

	db_version_pack(v, head);
	h = ohash_fnv1a64(OHASH_FNV64_INIT, head, sizeof(head));
	h = ohash_fnv1a64(h, key.p, key.len);
	if (value.len)
		h = ohash_fnv1a64(h, value.p, value.len);
	sum = (uint32_t)(h ^ h >> 32) & ~DB_FLAGS_MASK;
	return sum ? sum : ~DB_FLAGS_MASK;
}

int db_version_put(struct db *db, MDB_txn *txn, const struct db_version *v, struct orlop_bytes key,
		   struct orlop_bytes value)
{
	unsigned char kbuf[12];
	unsigned char vbuf[DB_VERSION_SIZE];
	MDB_val k = { .mv_size = sizeof(kbuf), .mv_data = kbuf };
	MDB_val val = { .mv_size = DB_LOG_HEAD + key.len + value.len };
	char *p;
	int rc;

	db_u64_put(kbuf, v->rev);
	db_u32_put(kbuf + 8, v->sub);
	rc = mdb_put(txn, db->log, &k, &val, MDB_RESERVE | (db->any_order ? MDB_NOOVERWRITE : MDB_APPEND));
	if (rc)
		return rc;
	p = val.mv_data;
	db_u64_put(p, v->create_rev);
	db_u32_put(p + 8, v->flags | db_log_sum(v, key, value));
	db_u32_put(p + 12, (uint32_t)key.len);
	memcpy(p + DB_LOG_HEAD, key.p, key.len);
	if (value.len)
		memcpy(p + DB_LOG_HEAD + key.len, value.p, value.len);
	db_version_pack(v, vbuf);
	k.mv_data = (void *)(uintptr_t)key.p;
	k.mv_size = key.len;
	val.mv_data = vbuf;
	val.mv_size = sizeof(vbuf);
	return mdb_put(txn, db->keys, &k, &val, 0);
}

int db_version_del(struct db *db, MDB_txn *txn, MDB_cursor *keys, const struct db_version *v,
		   struct orlop_bytes key)
{
	unsigned char kbuf[12];
	unsigned char vbuf[DB_VERSION_SIZE];
	MDB_val k = { .mv_size = key.len, .mv_data = (void *)(uintptr_t)key.p };
	MDB_val val = { .mv_size = sizeof(vbuf), .mv_data = vbuf };
	int rc;

	db_version_pack(v, vbuf);
	rc = mdb_cursor_get(keys, &k, &val, MDB_GET_BOTH);
	if (!rc)
		rc = mdb_cursor_del(keys, 0);
	if (rc)
		return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
	db_u64_put(kbuf, v->rev);
	db_u32_put(kbuf + 8, v->sub);
	k.mv_data = kbuf;
	k.mv_size = sizeof(kbuf);
	rc = mdb_del(txn, db->log, &k, NULL);
	return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}
