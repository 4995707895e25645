/*
 * snapshot.c - `orlop snapshot save`, `restore` and `info`: the whole store as one file.
 *
 * The storage module writes and reads the file (abi/orlop/storage.h); here is what makes it safe: a
 * file is whole or not there, one is read and checked before anything is changed, and a store that
 * was there is kept.
 */
#include "clean.h"
#include "cli.h"
#include "ctl.h"
#include "daemon.h"
#include "offline.h"
#include "setup.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omap.h"
#include "base/omem.h"
#include "store/osnap.h"

#define TIMEOUT_NS	UINT64_C(7200000000000)

/* Nobody knows how many revisions came after a snapshot whose store is lost: more than these did not. */
#define BUMP		1000000u
/* A store that was not closed in order may have given out so many above the last that is written. */
#define UNCLEAN		4096u

/* ---- reading one -------------------------------------------------------------------------------------- */

struct info {
	struct orlop_snapshot_head head;
	uint64_t	items;
	uint64_t	bytes;
	char		sum[2 * OSHA256_LEN + 1];
	struct omap	resources;	/* name → how many */
};

static void info_done(struct info *i)
{
	omap_done(&i->resources);
}

/* Reads all of it: 0 only if it is whole. @count: by resource. */
static int look(int fd, const char *path, bool count, struct info *ret, struct orlop_error *err)
{
	struct osnap_reader r;
	struct orlop_storage_item item;
	struct orlop_bytes value;
	struct orlop_bytes key;
	int e = osnap_reader_init(&r, fd, err);

	memset(ret, 0, sizeof(*ret));
	omap_init(&ret->resources);
	while (e == 0 && (e = osnap_next(&r, &item, &key, &value, err)) > 0) {
		const char *slash = memchr(key.p, '/', key.len);
		size_t n = slash ? (size_t)(slash - key.p) : key.len;

		e = 0;
		if (count && omap_put(&ret->resources, key.p, n,
				      (void *)((uintptr_t)omap_get(&ret->resources, key.p, n) + 1), NULL))
			e = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	ret->head = r.head;
	ret->items = r.items;
	ret->bytes = r.bytes + OSHA256_LEN;
	for (size_t i = 0; i < OSHA256_LEN; i++)
		snprintf(ret->sum + 2 * i, 3, "%02x", r.sum[i]);
	osnap_reader_done(&r);
	return e ? orlop_wrap(err, e, "%s", path) : 0;
}

static const char *when_text(uint64_t ns, char buf[32])
{
	time_t at = (time_t)(ns / 1000000000);
	struct tm tm;

	buf[0] = '\0';
	if (gmtime_r(&at, &tm))
		(void)strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

int cmd_snapshot_info(const struct command *cmd, int argc, char **argv)
{
	static const char *const columns[] = { "RESOURCE", "OBJECTS", NULL };
	const struct arg args[] = { { NULL, ARG_FLAG, NULL, NULL, NULL } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_close int fd = -1;
	struct info info;
	struct table t;
	char size[32];
	char when[32];
	int n = args_parse(cmd, args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		cli_say("%s: %s", argv[1], strerrordesc_np(errno));
		return CLI_FAILED;
	}
	if (look(fd, argv[1], true, &info, &err)) {
		info_done(&info);
		return cli_fail(&err);
	}
	printf("revision  %llu\ntaken     %s by %s\nkeys      %llu\nsize      %s\nsha256    %s (it fits)\n",
	       (unsigned long long)info.head.rev, when_text(info.head.taken_ns, when), info.head.writer,
	       (unsigned long long)info.items, size_text(info.bytes, size, sizeof(size)), info.sum);
	if (info.items) {
		putchar('\n');
		table_init(&t, columns);
		OMAP_FOREACH(&info.resources, e) {
			char name[128];

			table_add(&t, "%s", clean_text(e->key, name, sizeof(name)));
			table_add(&t, "%llu", (unsigned long long)(uintptr_t)e->value);
		}
		table_print(&t, stdout);
	}
	info_done(&info);
	return CLI_OK;
}

/* ---- saving ---------------------------------------------------------------------------------------------- */

static int sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? omem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : omem_strdup(".");
	cleanup_close int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}

/* From the running daemon, or from the file of one that does not run. */
static int take(const struct setup *s, int fd, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct offline o = { .dir = NULL };
	struct store st = { .module = NULL };
	struct ctl c = { .fd = -1 };
	struct ctl *from = &c;
	int r = ctl_open(s->control, &c, err);
	int sig;

	if (r == -ENOENT || r == -ECONNREFUSED) {
		r = store_find(s, &st, err);
		if (r == 0 && !st.path)
			r = orlop_fail(err, ENOENT, 0, "", "orlopd does not run, and %s keeps nothing", st.module);
		if (r == 0)
			r = offline_open(&st, NULL, true, &o, err);
		from = &o.c;
	}
	if (r == 0)
		r = ctl_forward_fd(from, "storage", ORLOP_STORAGE_SNAPSHOT, NULL, fd, TIMEOUT_NS, &answer, err);
	sig = offline_close(&o);
	if (r && sig)
		r = orlop_fail(err, EIO, 0, "", "%s is damaged: reading it ended with signal %d; see orlop storage check",
			       st.path, sig);
	ctl_close(&c);
	store_done(&st);
	obuf_done(&answer);
	return r;
}

/* @tmp becomes @path; without @force only if there is none, also now. */
static int publish(const char *tmp, const char *path, bool force, struct orlop_error *err)
{
	int r = 0;

	if (force ? rename(tmp, path) : link(tmp, path))
		r = errno == EEXIST ? orlop_fail(err, EEXIST, 0, "", "%s exists; --force replaces it", path) :
			orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	if (r == 0 && !force)
		(void)unlink(tmp);
	if (r == 0 && sync_dir_of(path))
		r = orlop_fail(err, EIO, 0, "", "the directory of %s cannot be synced", path);
	return r;
}

static int save(const struct setup *s, const char *path, bool force, struct info *ret, struct orlop_error *err)
{
	cleanup_free char *tmp = omem_printf("%s.XXXXXX", path);
	cleanup_close int fd = -1;
	struct stat st;
	int r;

	if (!tmp)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (!force && lstat(path, &st) == 0)
		return orlop_fail(err, EEXIST, 0, "", "%s exists; --force replaces it", path);
	if (force && lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return orlop_fail(err, EEXIST, 0, "", "%s is not a regular file; choose another name", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	r = take(s, fd, err);
	if (r == 0 && (fsync(fd) || lseek(fd, 0, SEEK_SET) < 0))
		r = orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	/* What cannot be read again is no snapshot. */
	if (r == 0)
		r = look(fd, tmp, false, ret, err);
	if (r == 0)
		r = publish(tmp, path, force, err);
	if (r)
		(void)unlink(tmp);
	return r;
}

int cmd_snapshot_save(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool force = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "force", ARG_FLAG, &force, NULL, "replace FILE if it exists" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	struct info info = { .items = 0 };
	char size[32];
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	omap_init(&info.resources);
	r = setup_open(dir, &s, &err);
	if (r == 0)
		r = save(&s, argv[1], force, &info, &err);
	if (r == 0)
		printf("%s: revision %llu, %llu keys, %s, sha256 %s\n", argv[1], (unsigned long long)info.head.rev,
		       (unsigned long long)info.items, size_text(info.bytes, size, sizeof(size)), info.sum);
	info_done(&info);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}

/* ---- restoring ------------------------------------------------------------------------------------------- */

static int restore_by(struct ctl *c, int fd, uint64_t above, uint64_t *ret_rev, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return orlop_fail(err, errno, 0, "", "the snapshot: %s", strerrordesc_np(errno));
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, above);
	r = ctl_forward_fd(c, "storage", ORLOP_STORAGE_RESTORE, &w, fd, TIMEOUT_NS, &answer, err);
	orlop_msgw_done(&w);
	m = (struct orlop_msg){ .size = sizeof(m), .body = { answer.data, answer.len } };
	if (r == 0)
		*ret_rev = orlop_msg_u64(&m, ORLOP_STORAGE_T_REV, 0);
	obuf_done(&answer);
	return r;
}

/* What the store at @st has given out: keys and newest revision. 0, or -errno if it cannot be told. */
static int old_numbers(const struct store *st, uint64_t *ret_rev, uint64_t *ret_keys)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct offline o = { .dir = NULL };
	int r = offline_open(st, NULL, true, &o, &err);

	if (r == 0)
		r = ctl_forward(&o.c, "storage", ORLOP_STORAGE_STATUS, NULL, &answer, &err);
	if (r == 0) {
		struct orlop_msg m = { .size = sizeof(m), .body = { answer.data, answer.len } };

		*ret_rev = orlop_msg_u64(&m, ORLOP_STORAGE_T_REV, 0);
		*ret_keys = orlop_msg_u64(&m, ORLOP_STORAGE_T_KEYS, 0);
	}
	if (offline_close(&o))
		r = -EIO;
	orlop_error_done(&err);
	obuf_done(&answer);
	return r;
}

/* The lock files that belong to a database file that has moved away. */
static void unlink_beside(const char *path)
{
	static const char *const tails[] = { "-lock", ".owner" };

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		cleanup_free char *name = omem_printf("%s%s", path, tails[i]);

		if (name)
			(void)unlink(name);
	}
}

/* @fresh takes the place of @path in one step; what was there is kept as @aside. */
static int exchange(const char *fresh, const char *path, const char *aside, bool old, struct orlop_error *err)
{
	int r = 0;

	if (old && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE))
		r = errno;
	else if (old && rename(fresh, aside))
		r = errno;
	else if (!old && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE))
		r = errno;
	if (r)
		return orlop_fail(err, r, 0, "", "%s: %s", path, strerrordesc_np(r));
	unlink_beside(fresh);
	r = sync_dir_of(path);
	return r ? orlop_fail(err, EIO, 0, "", "the directory of %s cannot be synced", path) : 0;
}

struct restored {
	uint64_t	rev;
	char		*aside;		/* the old store, NULL: there was none */
};

/* Into the files of a daemon that does not run. */
static int restore_offline(const struct setup *s, const struct store *st, int fd, const struct info *info,
			   bool force, struct restored *ret, struct orlop_error *err)
{
	cleanup_free char *fresh = omem_printf("%s.restoring", st->path);
	cleanup_close int lock = -1;
	struct offline o = { .dir = NULL };
	uint64_t rev = 0;
	uint64_t keys = 0;
	struct stat sb;
	bool old = lstat(st->path, &sb) == 0;
	bool known;
	int r = daemon_lock(s, &lock, err);

	if (r || !fresh)
		return r ? r : orlop_fail(err, ENOMEM, 0, "", "out of memory");
	known = old && old_numbers(st, &rev, &keys) == 0;
	if (old && !force && (!known || keys))
		return known ? orlop_fail(err, ENOTEMPTY, 0, "", "%s is not empty (revision %llu); --force puts it aside "
					  "and restores", st->path, (unsigned long long)rev) :
			orlop_fail(err, ENOTEMPTY, 0, "", "%s is there but cannot be read; --force puts it aside and "
				   "restores", st->path);
	rev += UNCLEAN;
	if (!known || rev < info->head.rev)
		rev = info->head.rev + BUMP;
	(void)unlink(fresh);
	unlink_beside(fresh);
	r = offline_open(st, fresh, false, &o, err);
	if (r == 0)
		r = restore_by(&o.c, fd, rev, &ret->rev, err);
	if (offline_close(&o) && r == 0)
		r = orlop_fail(err, EIO, 0, "", "%s: the storage module did not end well", fresh);
	if (r == 0 && old)
		ret->aside = omem_printf("%s.before-restore-%lld", st->path, (long long)time(NULL));
	if (r == 0 && old && !ret->aside)
		r = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (r == 0)
		r = exchange(fresh, st->path, ret->aside, old, err);
	if (r) {
		(void)unlink(fresh);
		unlink_beside(fresh);
	}
	return r;
}

static int restore(const struct setup *s, const char *path, bool force, struct restored *ret, struct info *ret_info,
		   struct orlop_error *err)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct store st = { .module = NULL };
	struct ctl c = { .fd = -1 };
	int r;

	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	r = look(fd, path, false, ret_info, err);
	if (r)
		return r;
	r = ctl_open(s->control, &c, err);
	if (r == 0) {
		/* A daemon that runs takes it only into an empty store: one that keeps nothing, just started. */
		r = restore_by(&c, fd, ret_info->head.rev + BUMP, &ret->rev, err);
		if (r == -ENOTEMPTY)
			(void)orlop_fail(err, ENOTEMPTY, 0, "", "orlopd runs and its store is not empty; end it first: "
					 "orlop down");
		ctl_close(&c);
		return r;
	}
	if (r != -ENOENT && r != -ECONNREFUSED)
		return r;
	r = s->made || s->config ? store_find(s, &st, err) : store_new(s, &st, err);
	if (r == 0 && !st.path)
		r = orlop_fail(err, EINVAL, 0, "", "%s keeps nothing; start orlopd and restore into it", st.module);
	if (r == 0)
		r = restore_offline(s, &st, fd, ret_info, force, ret, err);
	store_done(&st);
	return r;
}

int cmd_snapshot_restore(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool force = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "to restore into (default " ORLOP_STATE_DIR ")" },
		{ "force", ARG_FLAG, &force, NULL, "also if there is a store: it is kept beside the new one" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	struct restored done = { .rev = 0 };
	struct info info = { .items = 0 };
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	omap_init(&info.resources);
	r = setup_open(dir, &s, &err);
	if (r == 0)
		r = restore(&s, argv[1], force, &done, &info, &err);
	if (r == 0) {
		printf("%llu keys of revision %llu are back; revisions go on above %llu\n", (unsigned long long)info.items,
		       (unsigned long long)info.head.rev, (unsigned long long)done.rev);
		if (done.aside)
			printf("the store that was there: %s\n", done.aside);
		if (!s.made && !s.config)
			printf("go on:  orlop up --data-dir %s\n", s.dir);
	}
	omem_free(done.aside);
	info_done(&info);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}
