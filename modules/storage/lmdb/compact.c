/*
 * compact.c - dropping history, in slices between commits.
 *
 * Every version in the log between `compacted` and the new oldest revision makes the version before it
 * unreadable: that one goes. A deletion goes itself. So each version is looked at once in its life.
 * How far it came is kept with the rest of the state: after an unclean end it goes on there.
 */
#include "lmdb.h"

#include <errno.h>
#include <string.h>

#define SLICE		512u

/* Versions of @key before @v; the last of them goes (there can be only one after earlier slices). */
static int drop_before(struct lmdb *s, MDB_txn *txn, MDB_cursor *keys, const struct db_version *v,
		       struct orlop_bytes key)
{
	unsigned char vbuf[DB_VERSION_SIZE];
	MDB_val k = { .mv_size = key.len, .mv_data = (void *)(uintptr_t)key.p };
	MDB_val val = { .mv_size = sizeof(vbuf), .mv_data = vbuf };
	struct db_version old;
	int rc;

	db_version_pack(v, vbuf);
	rc = mdb_cursor_get(keys, &k, &val, MDB_GET_BOTH);
	if (rc)
		return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
	rc = mdb_cursor_get(keys, &k, &val, MDB_PREV_DUP);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	db_version_unpack(val.mv_data, &old);
	return db_version_del(&s->db, txn, keys, &old, key);
}

int compact_slice(struct lmdb *s, MDB_txn *txn)
{
	unsigned char kbuf[12] = { 0 };
	MDB_val k = { .mv_size = sizeof(kbuf), .mv_data = kbuf };
	MDB_val val;
	MDB_cursor *log = NULL;
	MDB_cursor *keys = NULL;
	uint32_t n = 0;
	int rc = mdb_cursor_open(txn, s->db.log, &log);

	if (!rc)
		rc = mdb_cursor_open(txn, s->db.keys, &keys);
	/* what is compacted must not be read any more, from the first slice on */
	if (s->state.oldest < s->compact_goal)
		s->state.oldest = s->compact_goal;
	while (!rc && n < SLICE) {
		struct db_version v = { 0 };
		struct orlop_bytes key;
		struct orlop_bytes value;
		char copy[ORLOP_STORAGE_KEY_MAX];

		db_u64_put(kbuf, s->state.compacted + 1);
		memset(kbuf + 8, 0, 4);
		k.mv_data = kbuf;
		k.mv_size = sizeof(kbuf);
		rc = mdb_cursor_get(log, &k, &val, MDB_SET_RANGE);
		if (rc == MDB_NOTFOUND || (!rc && db_u64_get(k.mv_data) > s->compact_goal)) {
			mdb_cursor_close(log);
			mdb_cursor_close(keys);
			s->state.compacted = s->compact_goal;
			return 0;
		}
		if (rc)
			break;
		/* one whole revision at a time */
		v.rev = db_u64_get(k.mv_data);
		for (;;) {
			v.sub = db_u32_get((const char *)k.mv_data + 8);
			if (db_log_parse(&val, &v, &key, &value) || key.len > sizeof(copy)) {
				rc = MDB_CORRUPTED;
				break;
			}
			memcpy(copy, key.p, key.len);
			key.p = copy;
			rc = drop_before(s, txn, keys, &v, key);
			if (!rc && (v.flags & DB_DELETED))
				rc = db_version_del(&s->db, txn, keys, &v, key);
			n++;
			if (rc)
				break;
			db_u64_put(kbuf, v.rev);
			db_u32_put(kbuf + 8, v.sub + 1);
			k.mv_data = kbuf;
			k.mv_size = sizeof(kbuf);
			rc = mdb_cursor_get(log, &k, &val, MDB_SET_RANGE);
			if (rc == MDB_NOTFOUND) {
				rc = 0;
				break;
			}
			if (rc || db_u64_get(k.mv_data) != v.rev)
				break;
		}
		if (!rc)
			s->state.compacted = v.rev;
	}
	mdb_cursor_close(log);
	if (keys)
		mdb_cursor_close(keys);
	return rc ? rc : 1;
}

void moment_note(struct lmdb *s)
{
	uint64_t now = s->h->now_mono(s->h);
	uint64_t step = s->history_ns / (MOMENTS / 2) + 1;

	if (s->n_moments && now - s->moments[s->n_moments - 1].at < step)
		return;
	if (s->n_moments == MOMENTS) {
		memmove(s->moments, s->moments + 1, (MOMENTS - 1) * sizeof(*s->moments));
		s->n_moments--;
	}
	s->moments[s->n_moments].at = now;
	s->moments[s->n_moments++].rev = s->state.rev;
}

bool compact_due(struct lmdb *s)
{
	uint64_t now = s->h->now_mono(s->h);
	uint64_t goal = 0;
	uint32_t i;
	uint32_t old = 0;

	pthread_mutex_lock(&s->lock);
	goal = s->compact_to;
	s->compact_to = 0;
	pthread_mutex_unlock(&s->lock);
	for (i = 0; i < s->n_moments; i++) {
		if (now - s->moments[i].at < s->history_ns)
			break;
		if (s->moments[i].rev > goal)
			goal = s->moments[i].rev;
		old = i + 1;
	}
	if (old) {
		s->n_moments -= old;
		memmove(s->moments, s->moments + old, s->n_moments * sizeof(*s->moments));
	}
	if (goal > s->state.rev)
		goal = s->state.rev;
	if (goal < s->state.oldest)
		goal = s->state.oldest;
	s->compact_goal = goal > s->state.compacted ? goal : 0;
	return s->compact_goal != 0;
}
