/*
 * faults.c - memory and disk run out inside the process: each request is answered with the truth, and
 * afterwards everything goes on.
 *
 * The n-th allocation of the module fails, for every n; the file may not grow (RLIMIT_FSIZE); the disk
 * is full (a small tmpfs, with root).
 */
#define OTAP_FAULTS
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "contract/storage_ask.h"
#include "../lmdb.h"

extern const struct orlop_module orlop_module;

static bool subject_open(struct subject *s, const char *path, struct orlop_error *err)
{
	s->mod = &orlop_module;
	s->fh = fakehost_new();
	fakehost_real_clock(s->fh);
	fakehost_param(s->fh, "path", path);
	return fakehost_load_as(s->fh, s->mod, NULL, &s->m, err) == 0;
}

static struct wait put_lazy(struct subject *s, const char *key, const char *value, bool lazy)
{
	struct orlop_msgw mw;

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	op_put(&mw, key, value);
	if (lazy)
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_FLAGS, ORLOP_TXN_LAZY);
	return ask(s, ORLOP_STORAGE_TXN, &mw);
}

static bool has(struct subject *s, const char *key, uint64_t rev)
{
	struct orlop_storage_item it = { 0 };
	struct wait w = range(s, key, NULL, 0, 0);

	if (w.len >= sizeof(it))
		memcpy(&it, w.items, sizeof(it));
	free(w.items);
	return w.status == 0 && it.mod_rev == rev;
}

/* A failed compare, a range, changes: each with memory failing. */
static struct wait others(struct subject *s, int what, uint64_t rev)
{
	struct orlop_msgw mw;

	switch (what) {
	case 0:
		orlop_msgw_init(&mw, fakehost_host(s->fh));
		compare_put(&mw, "k", 1);
		op_put(&mw, "k", "lost");
		return ask(s, ORLOP_STORAGE_TXN, &mw);
	case 1:
		return range(s, "k", "l", 0, 0);
	case 2:
		return changes(s, rev - 1, 0, 0);
	default:
		return changes(s, rev, 0, FAKEHOST_MS);
	}
}

static void test_memory(struct subject *s)
{
	bool told = true;
	bool kept = true;
	int failed = 0;
	int what;
	int n;

	for (n = 1;; n++) {
		struct wait w;

		otap_fail_nth(n);
		w = put_lazy(s, "k", "value", n & 1);
		otap_fail_nth(0);
		if (!w.status) {
			/* lazy ones are seen after the commit */
			uint64_t rev = w.rev;

			put(s, "flush", "1");
			kept &= has(s, "k", rev);
		} else {
			told &= w.status == -ENOMEM;
			failed++;
		}
		if (!otap_faulted())
			break;
	}
	ok(told, "without memory a write says so (%d of %d)", failed, n);
	ok(kept, "and those that were answered are there");
	ok(failed > 0, "it was seen");
	for (what = 0; what < 4; what++) {
		bool good = true;

		for (n = 1;; n++) {
			uint64_t rev = put(s, "k", "value").rev;
			struct wait w;

			otap_fail_nth(n);
			w = others(s, what, rev);
			otap_fail_nth(0);
			good &= w.status == 0 || w.status == -ENOMEM;
			free(w.items);
			if (!otap_faulted())
				break;
		}
		ok(good, "request %d too (%d)", what, n);
	}
}

static void test_open(const char *dir)
{
	bool good = true;
	char path[256];
	int n;

	snprintf(path, sizeof(path), "%s/open/db", dir);
	for (n = 1;; n++) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct subject s = { 0 };
		bool open;

		s.fh = fakehost_new();
		fakehost_real_clock(s.fh);
		fakehost_param(s.fh, "path", path);
		otap_fail_nth(n);
		open = fakehost_load_as(s.fh, &orlop_module, NULL, &s.m, &err) == 0;
		otap_fail_nth(0);
		good &= open || (err.err == ENOMEM && err.msg[0]);
		if (open)
			good &= put(&s, "k", "v").status == 0;
		fakehost_free(s.fh);
		if (!otap_faulted())
			break;
	}
	ok(good, "opening without memory fails in words and leaves nothing behind (%d)", n);
}

/* Writes until refused; then what was told must be there, small things go on, and after more room all. */
static void fill(struct subject *s, const char *name, void (*more_room)(void *), void *arg)
{
	char value[40001];
	char key[64];
	struct wait w = { 0 };
	uint64_t revs[1000];
	uint64_t rev;
	bool there = true;
	int n;
	int i;

	memset(value, 'f', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (n = 0; n < 1000; n++) {
		snprintf(key, sizeof(key), "f/%d", n);
		w = put_lazy(s, key, value, n % 5 == 4);
		if (w.status)
			break;
		revs[n] = w.rev;
		if (n % 5 == 4) {	/* it is told before it is written: see whether it was */
			struct wait c = changes(s, w.rev - 1, 0, FAKEHOST_S);

			free(c.items);
			if (c.rev < w.rev && !has(s, key, w.rev))
				revs[n] = 0;
		}
	}
	is_int(w.status, -ENOSPC, "%s: a write is refused after %d (%s)", name, n, w.why);
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "f/%d", i);
		there &= !revs[i] || has(s, key, revs[i]);
	}
	ok(there, "%s: all that was told is there", name);
	rev = 0;
	for (i = 0; i < n; i++)
		if (revs[i] > rev)
			rev = revs[i];
	is_int(put(s, "f/0", value).status < 0, 1, "%s: and again refused", name);
	more_room(arg);
	w = put(s, "f/0", value);
	is_int(w.status, 0, "%s: with room it goes on (%s)", name, w.why);
	ok(w.rev > rev, "%s: with a new number", name);
}

static void limit_off(void *arg)
{
	const struct rlimit *old = arg;

	(void)setrlimit(RLIMIT_FSIZE, old);
}

static void test_limit(const char *dir)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { 0 };
	struct rlimit old;
	struct rlimit now;
	char path[256];

	snprintf(path, sizeof(path), "%s/limit/db", dir);
	ok(subject_open(&s, path, &err), "opens (%s)", err.msg);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)getrlimit(RLIMIT_FSIZE, &old);
	now = old;
	now.rlim_cur = 2 << 20;
	(void)setrlimit(RLIMIT_FSIZE, &now);
	fill(&s, "file limit", limit_off, &old);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	ok(!fakehost_failed(s.fh, s.m), "the module did not give up");
	is_int(fakehost_unload(s.fh, s.m, &err), 0, "closes");
	fakehost_free(s.fh);
}

static void put_start(struct subject *s, struct wait *w, const char *key, const char *value, bool absent, const char *more)
{
	struct orlop_msgw mw;

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	if (absent)
		compare_put(&mw, key, 0);
	op_put(&mw, key, value);
	if (more)
		op_put(&mw, more, value);
	if (!absent && !more)
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_FLAGS, ORLOP_TXN_LAZY);
	ask_start(s, w, ORLOP_STORAGE_TXN, &mw);
}

static int three_wait(void *arg)
{
	struct lmdb *l = arg;
	int n = 0;

	pthread_mutex_lock(&l->lock);
	for (struct write_job *j = l->head; j; j = j->next)
		n++;
	pthread_mutex_unlock(&l->lock);
	return n == 3;
}

/* Of one group: the first does not fit, two hold without it, and one behind them was told its number already. */
static void test_numbers(const char *dir)
{
	static char big[600001];
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { 0 };
	struct wait w[4];
	struct lmdb *l;
	struct rlimit old;
	struct rlimit now;
	struct stat st;
	char path[256];
	uint64_t rev;
	MDB_txn *txn;

	snprintf(path, sizeof(path), "%s/numbers/db", dir);
	ok(subject_open(&s, path, &err), "opens (%s)", err.msg);
	l = fakehost_ctx(s.m);
	memset(big, 'b', sizeof(big) - 1);
	rev = put(&s, "k", "1").rev;
	(void)getrlimit(RLIMIT_FSIZE, &old);
	now = old;
	if (stat(path, &st))
		abort();
	now.rlim_cur = (rlim_t)st.st_size + (256 << 10);
	(void)setrlimit(RLIMIT_FSIZE, &now);
	/* While we have the database the writer waits with the first of them, and takes the others to it. */
	if (mdb_txn_begin(l->db.env, NULL, 0, &txn))
		abort();
	put_start(&s, &w[0], "a", big, false, "b");
	put_start(&s, &w[1], "a", "1", true, NULL);
	put_start(&s, &w[2], "b", "1", true, NULL);
	put_start(&s, &w[3], "c", "1", false, NULL);
	ok(fakehost_run_until(s.fh, three_wait, l, 20 * FAKEHOST_S), "four writes are one group");
	mdb_txn_abort(txn);
	for (int i = 0; i < 4; i++)
		ask_end(&s, &w[i]);
	is_int(w[0].status, -ENOSPC, "the first does not fit");
	is_int(w[3].rev, rev + 2, "the last was told its number before");
	is_int(w[1].rev, rev + 1, "what holds without the first has its number");
	ok(w[2].status < 0, "one that would have the other's is refused: %s", w[2].why);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	ok(put(&s, "k", "2").rev > rev + 2, "the next has one of its own");
	ok(has(&s, "a", rev + 1) && has(&s, "b", 0) && has(&s, "c", rev + 2), "each is there under the number it was told");
	is_int(fakehost_unload(s.fh, s.m, &err), 0, "closes");
	fakehost_free(s.fh);
}

static void ballast_drop(void *arg)
{
	(void)unlink(arg);
}

static void test_disk(const char *dir)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { 0 };
	char where[256];
	char path[300];
	char ballast[300];
	int fd;

	snprintf(where, sizeof(where), "%s/small", dir);
	snprintf(path, sizeof(path), "%s/db", where);
	snprintf(ballast, sizeof(ballast), "%s/ballast", where);
	if (geteuid() || ofile_mkdir_p(where, 0700) || unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", where, "tmpfs", 0, "size=3m")) {
		otap_skip("cannot mount a small tmpfs", 1);
		return;
	}
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, 1 << 20))
		abort();
	(void)close(fd);
	ok(subject_open(&s, path, &err), "opens (%s)", err.msg);
	fill(&s, "full disk", ballast_drop, ballast);
	ok(!fakehost_failed(s.fh, s.m), "the module did not give up");
	is_int(fakehost_unload(s.fh, s.m, &err), 0, "closes");
	fakehost_free(s.fh);
	(void)umount2(where, MNT_DETACH);
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { 0 };
	char dir[] = "/tmp/orlop-faults-XXXXXX";
	char path[256];

	if (!mkdtemp(dir))
		return 2;
	snprintf(path, sizeof(path), "%s/memory/db", dir);
	ok(subject_open(&s, path, &err), "opens (%s)", err.msg);
	test_memory(&s);
	fakehost_free(s.fh);
	test_open(dir);
	test_limit(dir);
	test_numbers(dir);
	test_disk(dir);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
