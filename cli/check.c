/*
 * check.c - `orlop storage check`: is what is stored whole, and does it say what objects say?
 *
 * Three looks at it: the module's own (its tables against each other, checksums: the op `check`), the
 * store as anybody sees it (revisions, order, history from its oldest revision to now), and what is in
 * it (records, objects, unique identity). A store in a file is read by a process of its own, also while
 * the daemon runs: a damaged file can kill only that.
 */
#include "clean.h"
#include "cli.h"
#include "ctl.h"
#include "offline.h"
#include "record.h"
#include "setup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <orlop/storage.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/omap.h"
#include "base/omem.h"

#define FOUND_MAX	1000u	/* lines; more are counted */

struct check {
	struct ctl	*c;
	uint64_t	found;
	uint64_t	keys;
	uint64_t	changes;
	uint64_t	entries;
	uint64_t	rev;
	uint64_t	oldest;
	uint64_t	after;		/* the history is read up to here */
	uint64_t	last;		/* revision of the last change */
	bool		deep;
	struct omap	now;	/* key → mod revision */
	struct omap	then;	/* the same at `oldest`, then with the changes since */
	struct omap	uids;	/* uid → key */
	char		at[256];	/* the last key looked at, for when the other side dies */
};

__attribute__((format(printf, 3, 4)))
static void found(struct check *k, struct orlop_bytes key, const char *fmt, ...)
{
	struct obuf b = OBUF_INIT;
	char text[512];
	va_list ap;

	if (++k->found > FOUND_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (key.len) {
		clean_put(&b, key.p, key.len);
		obuf_puts(&b, ": ");
	}
	clean_put(&b, text, strlen(text));
	puts(obuf_cstr(&b));
	obuf_done(&b);
}

static void found_in(void *arg, struct orlop_bytes key, const char *text)
{
	found(arg, key, "%s", text);
}

static void at_note(struct check *k, struct orlop_bytes key)
{
	struct obuf b = OBUF_INIT;

	clean_put(&b, key.p, key.len);
	(void)snprintf(k->at, sizeof(k->at), "%s", obuf_cstr(&b));
	obuf_done(&b);
}

static int ask(struct check *k, uint32_t op, struct orlop_msgw *w, struct obuf *answer, struct orlop_msg *ret,
	       struct orlop_error *err)
{
	int r = ctl_forward(k->c, "storage", op, w, answer, err);

	orlop_msgw_done(w);
	*ret = (struct orlop_msg){ .size = sizeof(*ret), .body = { answer->data, answer->len } };
	return r;
}

/* ---- the module's own look ------------------------------------------------------------------------------ */

static int look_deep(struct check *k, struct orlop_error *err)
{
	cleanup_obuf struct obuf cursor = OBUF_INIT;
	cleanup_obuf struct obuf answer = OBUF_INIT;
	int r;

	do {
		struct orlop_bytes next;
		struct orlop_msgw w;
		struct orlop_msgr rd;
		struct orlop_msg m;

		orlop_msgw_init(&w, NULL);
		if (cursor.len)
			orlop_msgw_bytes(&w, ORLOP_STORAGE_T_CURSOR, cursor.data, cursor.len);
		r = ask(k, ORLOP_STORAGE_CHECK, &w, &answer, &m, err);
		if (r == -ENOTSUP && !cursor.len)
			return 0;
		if (r)
			return r;
		k->deep = true;
		k->entries += orlop_msg_u64(&m, ORLOP_STORAGE_T_KEYS, 0);
		orlop_msgr_init(&rd, NULL, NULL, m.body);
		while (orlop_msgr_next(&rd)) {
			struct orlop_msg one = { .size = sizeof(one), .body = rd.bytes };
			struct orlop_bytes text;

			if (rd.tag != ORLOP_STORAGE_T_FOUND)
				continue;
			text = orlop_msg_bytes(NULL, &one, ORLOP_STORAGE_T_TEXT);
			found(k, orlop_msg_bytes(NULL, &one, ORLOP_STORAGE_T_KEY), "%.*s", (int)text.len,
			      text.p ? text.p : "");
		}
		next = orlop_msg_bytes(NULL, &m, ORLOP_STORAGE_T_CURSOR);
		obuf_reset(&cursor);
		obuf_append(&cursor, next.p ? next.p : "", next.len);
		if (next.len > 1 && next.p[0] == 'k')
			at_note(k, (struct orlop_bytes){ next.p + 1, next.len - 1 });
	} while (cursor.len);
	return 0;
}

/* ---- as anybody sees it --------------------------------------------------------------------------------- */

typedef int (*item_fn)(struct check *k, const struct orlop_storage_item *item, struct orlop_bytes key,
		       struct orlop_bytes value);

/* Each item of an answer. Its packing is not trusted. */
static int each_item(struct check *k, struct orlop_bytes items, item_fn fn, struct orlop_error *err)
{
	while (items.len) {
		struct orlop_storage_item item;
		struct orlop_bytes key;
		struct orlop_bytes value;
		size_t len;

		if (items.len < sizeof(item))
			return orlop_fail(err, EBADMSG, 0, "", "the storage's answer cannot be read");
		memcpy(&item, items.p, sizeof(item));
		len = (sizeof(item) + (size_t)item.key_len + item.value_len + 7) & ~(size_t)7;
		if (len > items.len)
			return orlop_fail(err, EBADMSG, 0, "", "the storage's answer cannot be read");
		key = (struct orlop_bytes){ items.p + sizeof(item), item.key_len };
		value = (struct orlop_bytes){ key.p + key.len, item.value_len };
		if (fn(k, &item, key, value))
			return orlop_fail(err, ENOMEM, 0, "", "out of memory");
		items.p += len;
		items.len -= len;
	}
	return 0;
}

/* All keys at @rev. */
static int each_key(struct check *k, uint64_t rev, bool keys_only, item_fn fn, struct orlop_error *err)
{
	cleanup_obuf struct obuf answer = OBUF_INIT;
	cleanup_obuf struct obuf start = OBUF_INIT;
	bool more = true;
	int r = 0;

	obuf_putc(&start, '\0');
	while (r == 0 && more) {
		struct orlop_bytes items;
		struct orlop_msgw w;
		struct orlop_msg m;

		orlop_msgw_init(&w, NULL);
		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_START, start.data, start.len);
		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_END, "", 0);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_LIMIT, 2000);
		if (keys_only)
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_KEYS_ONLY, 1);
		r = ask(k, ORLOP_STORAGE_RANGE, &w, &answer, &m, err);
		if (r)
			break;
		items = orlop_msg_bytes(NULL, &m, ORLOP_STORAGE_T_ITEMS);
		more = orlop_msg_u64(&m, ORLOP_STORAGE_T_MORE, 0) == 1;
		r = each_item(k, items, fn, err);
		if (r == 0 && more && !items.len)
			r = orlop_fail(err, EBADMSG, 0, "", "the storage says there is more and gives nothing");
		/* Go on behind the last one. */
		obuf_reset(&start);
		for (size_t at = 0; items.len - at >= sizeof(struct orlop_storage_item);) {
			struct orlop_storage_item item;

			memcpy(&item, items.p + at, sizeof(item));
			obuf_reset(&start);
			obuf_append(&start, items.p + at + sizeof(item), item.key_len);
			at += (sizeof(item) + (size_t)item.key_len + item.value_len + 7) & ~(size_t)7;
		}
		if (start.len)
			at_note(k, (struct orlop_bytes){ start.data, start.len });
		obuf_putc(&start, '\0');
	}
	return r;
}

static int now_item(struct check *k, const struct orlop_storage_item *item, struct orlop_bytes key,
		    struct orlop_bytes value)
{
	struct record_uid uid = { .len = 0 };

	k->keys++;
	if (omap_add(&k->now, key.p, key.len, (void *)(uintptr_t)item->mod_rev))
		found(k, key, "listed twice");
	if (item->mod_rev > k->rev || item->mod_rev == 0)
		found(k, key, "its revision is %llu, the newest is %llu", (unsigned long long)item->mod_rev,
		      (unsigned long long)k->rev);
	if (item->create_rev > item->mod_rev || item->create_rev == 0)
		found(k, key, "created at revision %llu, changed at %llu", (unsigned long long)item->create_rev,
		      (unsigned long long)item->mod_rev);
	if (key.p[0] == '!' || key.p[0] == '\0')
		return 0;
	record_check(key, value, &uid, found_in, k);
	if (uid.len) {
		char *other = omap_get(&k->uids, uid.text, uid.len);

		if (other)
			found(k, key, "has the uid of %s", other);
		else if (omap_put(&k->uids, uid.text, uid.len, omem_strndup(key.p, key.len), NULL))
			return -ENOMEM;
	}
	return 0;
}

static int then_item(struct check *k, const struct orlop_storage_item *item, struct orlop_bytes key,
		     struct orlop_bytes value)
{
	(void)value;
	return omap_put(&k->then, key.p, key.len, (void *)(uintptr_t)item->mod_rev, NULL);
}

static int change_item(struct check *k, const struct orlop_storage_item *item, struct orlop_bytes key,
		       struct orlop_bytes value)
{
	(void)value;
	if (item->mod_rev < k->last || item->mod_rev <= k->after)
		found(k, key, "a change of revision %llu after one of %llu", (unsigned long long)item->mod_rev,
		      (unsigned long long)(k->last > k->after ? k->last : k->after));
	k->last = item->mod_rev;
	if (item->mod_rev > k->rev)
		return 0;	/* newer than what we compare with */
	k->changes++;
	if (item->flags & ORLOP_ITEM_DELETED) {
		(void)omap_del(&k->then, key.p, key.len);
		return 0;
	}
	return omap_put(&k->then, key.p, key.len, (void *)(uintptr_t)item->mod_rev, NULL);
}

/* What happened after @k->oldest, onto what was then. */
static int each_change(struct check *k, struct orlop_error *err)
{
	cleanup_obuf struct obuf answer = OBUF_INIT;
	int r = 0;

	k->after = k->oldest;
	while (r == 0 && k->after < k->rev) {
		struct orlop_msgw w;
		struct orlop_msg m;
		uint64_t up_to;

		orlop_msgw_init(&w, NULL);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, k->after);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_LIMIT, 4u << 20);
		r = ask(k, ORLOP_STORAGE_CHANGES, &w, &answer, &m, err);
		if (r)
			break;
		r = each_item(k, orlop_msg_bytes(NULL, &m, ORLOP_STORAGE_T_ITEMS), change_item, err);
		up_to = orlop_msg_u64(&m, ORLOP_STORAGE_T_REV, 0);
		if (r == 0 && up_to <= k->after)
			r = orlop_fail(err, EBADMSG, 0, "", "the history ends at revision %llu, the newest is %llu",
				       (unsigned long long)k->after, (unsigned long long)k->rev);
		k->after = up_to;
	}
	return r;
}

static void compare(struct check *k)
{
	OMAP_FOREACH(&k->now, e) {
		uint64_t then = (uintptr_t)omap_get(&k->then, e->key, e->key_len);
		uint64_t now = (uintptr_t)e->value;
		const struct orlop_bytes key = { e->key, e->key_len };

		if (!then)
			found(k, key, "is there at revision %llu, but not by the history", (unsigned long long)now);
		else if (then != now)
			found(k, key, "its revision is %llu, by the history %llu", (unsigned long long)now,
			      (unsigned long long)then);
	}
	OMAP_FOREACH(&k->then, e)
		if (!omap_has(&k->now, e->key, e->key_len))
			found(k, (struct orlop_bytes){ e->key, e->key_len }, "is there by the history, but not now");
}

static int look_numbers(struct check *k, struct orlop_error *err)
{
	cleanup_obuf struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;
	int r;

	orlop_msgw_init(&w, NULL);
	r = ask(k, ORLOP_STORAGE_REVISION, &w, &answer, &m, err);
	if (r)
		return r;
	k->rev = orlop_msg_u64(&m, ORLOP_STORAGE_T_REV, 0);
	k->oldest = orlop_msg_u64(&m, ORLOP_STORAGE_T_OLDEST, 0);
	if (k->rev == 0 || k->oldest > k->rev)
		found(k, (struct orlop_bytes){ NULL, 0 }, "the newest revision is %llu, the oldest %llu",
		      (unsigned long long)k->rev, (unsigned long long)k->oldest);
	return 0;
}

/* Present and history; history is trimmed while we look, if a daemon runs. */
static int look_outside(struct check *k, struct orlop_error *err)
{
	int r = look_numbers(k, err);

	if (r == 0)
		r = each_key(k, k->rev, false, now_item, err);
	for (int tries = 0; r == 0 && tries < 5; tries++) {
		omap_clear(&k->then);
		k->changes = 0;
		k->last = 0;
		r = each_key(k, k->oldest, true, then_item, err);
		if (r == 0)
			r = each_change(k, err);
		if (r == 0) {
			compare(k);
			return 0;
		}
		if (r == -ESTALE) {
			uint64_t rev = k->rev;

			orlop_error_done(err);
			r = look_numbers(k, err);
			k->rev = rev;
			if (r == 0 && k->oldest > rev)
				return 0;	/* what we began with is history itself */
		}
	}
	return r;
}

static int look(struct check *k, struct orlop_error *err)
{
	int r = look_deep(k, err);

	k->at[0] = '\0';
	return r ? r : look_outside(k, err);
}

static int run(const struct setup *s, struct check *k, struct orlop_error *err)
{
	struct store st = { .module = NULL };
	struct offline o = { .dir = NULL };
	struct ctl c = { .fd = -1 };
	int r = store_find(s, &st, err);
	int sig;

	if (r == 0 && st.path)
		r = offline_open(&st, NULL, true, &o, err);
	else if (r == 0)
		r = ctl_open(s->control, &c, err);
	k->c = st.path ? &o.c : &c;
	if (r == 0)
		r = look(k, err);
	sig = offline_close(&o);
	ctl_close(&c);
	if (sig) {
		found(k, (struct orlop_bytes){ NULL, 0 }, "%s: damaged: reading it ended with signal %d (%s)%s%s; restore it "
		      "from a snapshot", st.path, sig, sigabbrev_np(sig) ? sigabbrev_np(sig) : "?",
		      k->at[0] ? ", behind key " : "", k->at);
		r = 0;
	} else if (r && st.path && (r == -EIO || r == -EBADMSG || r == -EINVAL || r == -ETIMEDOUT)) {
		found(k, (struct orlop_bytes){ NULL, 0 }, "%s", err->msg);
		r = 0;
	}
	store_done(&st);
	return r;
}

int cmd_storage_check(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon, which may run or not (default " ORLOP_STATE_DIR ")" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	struct check k = { .found = 0 };
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	omap_init(&k.now);
	omap_init(&k.then);
	omap_init(&k.uids);
	r = setup_open(dir, &s, &err);
	if (r == 0)
		r = run(&s, &k, &err);
	if (r == 0 && k.found > FOUND_MAX)
		printf("... and %llu more\n", (unsigned long long)(k.found - FOUND_MAX));
	if (r == 0 && k.found)
		printf("%llu problem%s found\n", (unsigned long long)k.found, k.found == 1 ? "" : "s");
	else if (r == 0)
		printf("revision %llu: %llu keys, %llu changes since %llu%s: all is well\n", (unsigned long long)k.rev,
		       (unsigned long long)k.keys, (unsigned long long)k.changes, (unsigned long long)k.oldest,
		       k.deep ? ", the module's own tables" : "");
	omap_done(&k.now);
	omap_done(&k.then);
	omap_done_with(&k.uids, omem_free);
	setup_done(&s);
	return r ? cli_fail(&err) : k.found ? CLI_FAILED : CLI_OK;
}
