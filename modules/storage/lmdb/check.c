/*
 * check.c - is what is stored whole? A part of it with each call, in the order: state, the versions of
 * each key, the log.
 *
 * Damage that LMDB itself stumbles over kills the process: who fears that (orlop storage check does)
 * asks a process that was started for this alone, read_only.
 */
#include "lmdb.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#define PART		2000u		/* entries looked at in one call */
#define FOUND_MAX	64u		/* told in one call */
#define PART_BYTES	(8u << 20)

struct look {
	struct lmdb	*s;
	MDB_txn		*txn;
	struct db_state	st;
	struct orlop_msgw w;
	uint64_t	seen;
	uint32_t	found;
	size_t		bytes;
	/* where the next call goes on; phase 0: nowhere */
	char		phase;
	size_t		at_len;
	unsigned char	at[ORLOP_STORAGE_KEY_MAX];
};

__attribute__((format(printf, 3, 4)))
static void found(struct look *l, struct orlop_bytes key, const char *fmt, ...)
{
	char text[200];
	uint32_t mark;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	mark = orlop_msgw_begin(&l->w, ORLOP_STORAGE_T_FOUND);
	orlop_msgw_bytes(&l->w, ORLOP_STORAGE_T_KEY, key.p ? key.p : "", key.len);
	orlop_msgw_str(&l->w, ORLOP_STORAGE_T_TEXT, text);
	orlop_msgw_end(&l->w, mark);
	l->found++;
}

static bool enough(const struct look *l)
{
	return l->seen >= PART || l->found >= FOUND_MAX || l->bytes >= PART_BYTES;
}

static void go_on(struct look *l, char phase, const void *at, size_t len)
{
	l->phase = phase;
	l->at_len = len < sizeof(l->at) ? len : sizeof(l->at);
	if (l->at_len)
		memcpy(l->at, at, l->at_len);
}

static void look_state(struct look *l)
{
	const struct orlop_bytes none = { NULL, 0 };
	const struct db_state *st = &l->st;
	MDB_stat keys;
	MDB_stat log;

	if (st->rev == 0 || st->rev > st->ceiling || st->oldest > st->rev || st->compacted > st->oldest)
		found(l, none, "state cannot be: revision %llu, ceiling %llu, oldest %llu, compacted %llu",
		      (unsigned long long)st->rev, (unsigned long long)st->ceiling,
		      (unsigned long long)st->oldest, (unsigned long long)st->compacted);
	if (!mdb_stat(l->txn, l->s->db.keys, &keys) && !mdb_stat(l->txn, l->s->db.log, &log) &&
	    keys.ms_entries != log.ms_entries)
		found(l, none, "%llu versions are known by key, %llu in the log", (unsigned long long)keys.ms_entries,
		      (unsigned long long)log.ms_entries);
}

/* A version as `keys` has it, against the one before it (rev 0: none) and the log. */
static void look_version(struct look *l, struct orlop_bytes key, const struct db_version *v,
			 const struct db_version *before)
{
	const unsigned long long rev = v->rev;
	unsigned char kbuf[12];
	MDB_val k = { .mv_size = sizeof(kbuf), .mv_data = kbuf };
	MDB_val val;
	struct db_version same = { .rev = v->rev, .sub = v->sub };
	struct orlop_bytes log_key;
	struct orlop_bytes value;
	bool live = before->rev && !(before->flags & DB_DELETED);
	int rc;

	if (v->rev == 0 || v->rev > l->st.rev)
		found(l, key, "version of revision %llu, the newest is %llu", rev, (unsigned long long)l->st.rev);
	if (before->rev && before->rev >= v->rev)
		found(l, key, "revision %llu after %llu", rev, (unsigned long long)before->rev);
	if (v->flags & ~DB_DELETED)
		found(l, key, "revision %llu has unknown flags 0x%x", rev, v->flags);
	if (v->create_rev > v->rev || (!(v->flags & DB_DELETED) && !v->create_rev))
		found(l, key, "revision %llu was created at %llu", rev, (unsigned long long)v->create_rev);
	else if (!(v->flags & DB_DELETED) && live && v->create_rev != before->create_rev)
		found(l, key, "revision %llu was created at %llu, the one before at %llu", rev,
		      (unsigned long long)v->create_rev, (unsigned long long)before->create_rev);
	else if (!(v->flags & DB_DELETED) && before->rev && !live && v->create_rev != v->rev)
		found(l, key, "revision %llu follows a deletion but was created at %llu", rev,
		      (unsigned long long)v->create_rev);
	db_u64_put(kbuf, v->rev);
	db_u32_put(kbuf + 8, v->sub);
	rc = mdb_get(l->txn, l->s->db.log, &k, &val);
	if (rc)
		found(l, key, "revision %llu is not in the log: %s", rev, mdb_strerror(rc));
	else if (db_log_parse(&val, &same, &log_key, &value))
		found(l, key, "revision %llu cannot be read in the log", rev);
	else if (log_key.len != key.len || memcmp(log_key.p, key.p, key.len))
		found(l, key, "revision %llu belongs to another key in the log", rev);
	else if (same.flags != v->flags || same.create_rev != v->create_rev)
		found(l, key, "revision %llu is another version in the log", rev);
}

/* Keys from @l->at on. */
static int look_keys(struct look *l)
{
	MDB_val k = { .mv_size = l->at_len, .mv_data = l->at };
	MDB_val v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(l->txn, l->s->db.keys, &c);

	if (rc)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, l->at_len ? MDB_SET_RANGE : MDB_FIRST);
	while (!rc && !enough(l)) {
		struct orlop_bytes key = { k.mv_data, k.mv_size };
		struct db_version before = { .rev = 0 };

		/* of one key all versions, however many: they are compared with each other */
		do {
			struct db_version ver;

			if (v.mv_size != DB_VERSION_SIZE) {
				found(l, key, "an entry of %zu bytes", v.mv_size);
				break;
			}
			db_version_unpack(v.mv_data, &ver);
			look_version(l, key, &ver, &before);
			before = ver;
			l->seen++;
		} while (!(rc = mdb_cursor_get(c, &k, &v, MDB_NEXT_DUP)));
		if (!rc || rc == MDB_NOTFOUND)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT_NODUP);
	}
	if (!rc)
		go_on(l, 'k', k.mv_data, k.mv_size);
	else if (rc == MDB_NOTFOUND)
		go_on(l, 'l', NULL, 0);
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static void look_entry(struct look *l, const MDB_val *k, const MDB_val *v)
{
	struct db_version ver = { .rev = 0 };
	struct orlop_bytes value;
	struct orlop_bytes key = { NULL, 0 };
	uint32_t sum;

	if (k->mv_size != 12) {
		found(l, key, "a log entry whose number has %zu bytes", k->mv_size);
		return;
	}
	ver.rev = db_u64_get(k->mv_data);
	ver.sub = db_u32_get((const char *)k->mv_data + 8);
	if (db_log_parse(v, &ver, &key, &value) || key.len == 0 || key.len > ORLOP_STORAGE_KEY_MAX ||
	    value.len > ORLOP_STORAGE_VALUE_MAX) {
		found(l, (struct orlop_bytes){ NULL, 0 }, "log entry %llu.%u cannot be read",
		      (unsigned long long)ver.rev, ver.sub);
		return;
	}
	l->bytes += value.len;
	sum = db_u32_get((const char *)v->mv_data + 8) & ~DB_FLAGS_MASK;
	if (sum && sum != db_log_sum(&ver, key, value))
		found(l, key, "revision %llu is damaged: its checksum is another", (unsigned long long)ver.rev);
	if (ver.rev > l->st.rev)
		found(l, key, "log entry of revision %llu, the newest is %llu", (unsigned long long)ver.rev,
		      (unsigned long long)l->st.rev);
}

/* The log from @l->at on. */
static int look_log(struct look *l)
{
	MDB_val k = { .mv_size = l->at_len, .mv_data = l->at };
	MDB_val v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(l->txn, l->s->db.log, &c);

	if (rc)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, l->at_len ? MDB_SET_RANGE : MDB_FIRST);
	for (; !rc && !enough(l); rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		look_entry(l, &k, &v);
		l->seen++;
	}
	if (!rc)
		go_on(l, 'l', k.mv_data, k.mv_size);
	else if (rc == MDB_NOTFOUND)
		go_on(l, 0, NULL, 0);
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int look(struct look *l, struct orlop_bytes cursor)
{
	int rc = db_state_get(&l->s->db, l->txn, &l->st);

	if (rc) {
		found(l, (struct orlop_bytes){ NULL, 0 }, "the state cannot be read: %s", mdb_strerror(rc));
		return 0;
	}
	go_on(l, 'k', NULL, 0);
	if (cursor.len)
		go_on(l, cursor.p[0], cursor.p + 1, cursor.len - 1);
	else
		look_state(l);
	rc = l->phase == 'k' ? look_keys(l) : look_log(l);
	if (rc) {
		found(l, (struct orlop_bytes){ (const char *)l->at, l->at_len }, "%s cannot be read from here on: %s",
		      l->phase == 'k' ? "the keys" : "the log", mdb_strerror(rc));
		go_on(l, l->phase == 'k' ? 'l' : 0, NULL, 0);
	}
	return 0;
}

int op_check(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct lmdb *s = ctx;
	struct look l = { .s = s };
	struct orlop_bytes cursor = orlop_msg_bytes(s->h, &req->msg, ORLOP_STORAGE_T_CURSOR);
	char next[1 + ORLOP_STORAGE_KEY_MAX];
	int e;

	if (cursor.p && (cursor.len == 0 || cursor.len > sizeof(next) || !strchr("kl", cursor.p[0]) || !cursor.p[0]))
		return orlop_fail(err, EINVAL, 0, "", "check: not a cursor of storage/lmdb");
	e = read_begin(s, &l.txn, err);
	if (e)
		return e;
	orlop_msgw_init(&l.w, s->h);
	e = look(&l, cursor);
	read_end(s);
	orlop_msgw_u64(&l.w, ORLOP_STORAGE_T_KEYS, l.seen);
	if (l.phase) {
		next[0] = l.phase;
		memcpy(next + 1, l.at, l.at_len);
		orlop_msgw_bytes(&l.w, ORLOP_STORAGE_T_CURSOR, next, 1 + l.at_len);
	}
	numbers_answer(s, call, &l.w, l.st.rev);
	return e;
}
