/*
 * powercut.c - the power fails anywhere: what was acknowledged is there afterwards.
 *
 * The program stands between liblmdb and the kernel and records what is written to the database
 * file and when it is synced. Then the file is made anew as it may look when the power fails at
 * some moment: everything that a completed sync covered, and of the rest any part, in sectors. A
 * child opens it with the module and compares it with what had been acknowledged by then. That the
 * test can fail is shown by the same replay as if the disk had ignored the syncs.
 *
 * A write to a descriptor with O_DSYNC is durable when it returns, but says nothing about others.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "contract/storage_ask.h"

extern const struct orlop_module orlop_module;

#define SECTOR		512u
#define BURST		16
#define KEEP		40	/* keys that are written again and again */
#define EXPECT_MAX	4000

/* ---- the recorder ------------------------------------------------------------------------------ */

enum { EV_WRITE, EV_SYNC, EV_SIZE };

struct event {
	int	kind;
	bool	dsync;
	size_t	off;		/* EV_SIZE: the new size */
	size_t	len;
	char	*data;
};

static struct {
	pthread_mutex_t	lock;
	ino_t		ino;	/* of the file, 0: not recording */
	dev_t		dev;
	struct event	*ev;
	size_t		n;
	size_t		cap;
} rec = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool recorded(int fd)
{
	struct stat st;

	return rec.ino && !fstat(fd, &st) && st.st_ino == rec.ino && st.st_dev == rec.dev;
}

static void event_add(int kind, int fd, size_t off, const struct iovec *iov, int n)
{
	struct event *e;
	int i;

	(void)pthread_mutex_lock(&rec.lock);
	if (rec.n == rec.cap) {
		rec.cap = rec.cap ? rec.cap * 2 : 1024;
		rec.ev = realloc(rec.ev, rec.cap * sizeof(*rec.ev));
	}
	e = &rec.ev[rec.n];
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->off = off;
	e->dsync = kind == EV_WRITE && (fcntl(fd, F_GETFL) & O_DSYNC);
	for (i = 0; i < n; i++)
		e->len += iov[i].iov_len;
	e->data = malloc(e->len + 1);
	for (i = 0, e->len = 0; i < n; i++) {
		memcpy(e->data + e->len, iov[i].iov_base, iov[i].iov_len);
		e->len += iov[i].iov_len;
	}
	rec.n++;
	(void)pthread_mutex_unlock(&rec.lock);
}

#define OURS __attribute__((visibility("default")))

/*
 * Those with an offset exist under two names; which one the headers mean depends on the size of
 * off_t, so they are named in assembly.
 */
OURS ssize_t our_pwrite(int fd, const void *p, size_t len, off64_t off) __asm__("pwrite");
OURS ssize_t our_pwrite64(int fd, const void *p, size_t len, off64_t off) __asm__("pwrite64");
OURS ssize_t our_pwritev(int fd, const struct iovec *iov, int n, off64_t off) __asm__("pwritev");
OURS ssize_t our_pwritev64(int fd, const struct iovec *iov, int n, off64_t off) __asm__("pwritev64");
OURS int our_ftruncate(int fd, off64_t size) __asm__("ftruncate");
OURS int our_ftruncate64(int fd, off64_t size) __asm__("ftruncate64");

ssize_t our_pwrite(int fd, const void *p, size_t len, off64_t off)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	if (recorded(fd))
		event_add(EV_WRITE, fd, (size_t)off, &v, 1);
	return syscall(SYS_pwrite64, fd, p, len, off);
}

ssize_t our_pwrite64(int fd, const void *p, size_t len, off64_t off)
{
	return our_pwrite(fd, p, len, off);
}

OURS ssize_t write(int fd, const void *p, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	if (recorded(fd))
		event_add(EV_WRITE, fd, (size_t)lseek(fd, 0, SEEK_CUR), &v, 1);
	return syscall(SYS_write, fd, p, len);
}

OURS ssize_t writev(int fd, const struct iovec *iov, int n)
{
	if (recorded(fd))
		event_add(EV_WRITE, fd, (size_t)lseek(fd, 0, SEEK_CUR), iov, n);
	return syscall(SYS_writev, fd, iov, n);
}

ssize_t our_pwritev(int fd, const struct iovec *iov, int n, off64_t off)
{
	if (recorded(fd))
		event_add(EV_WRITE, fd, (size_t)off, iov, n);
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

ssize_t our_pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
{
	return our_pwritev(fd, iov, n, off);
}

OURS int fdatasync(int fd)
{
	int r = (int)syscall(SYS_fdatasync, fd);

	if (!r && recorded(fd))
		event_add(EV_SYNC, fd, 0, NULL, 0);
	return r;
}

OURS int fsync(int fd)
{
	int r = (int)syscall(SYS_fsync, fd);

	if (!r && recorded(fd))
		event_add(EV_SYNC, fd, 0, NULL, 0);
	return r;
}

int our_ftruncate(int fd, off64_t size)
{
	if (recorded(fd))
		event_add(EV_SIZE, fd, (size_t)size, NULL, 0);
	return (int)syscall(SYS_ftruncate, fd, size);
}

int our_ftruncate64(int fd, off64_t size)
{
	return our_ftruncate(fd, size);
}

/* The file is written by write(), never through the map. */
OURS int msync(void *p, size_t len, int flags)
{
	if (rec.ino)
		abort();
	return (int)syscall(SYS_msync, p, len, flags);
}

/* ---- the work, and what it was told ---------------------------------------------------------------- */

/* One acknowledged write: known once `at` events had happened. */
struct expect {
	size_t		at;
	uint64_t	rev;
	int		key;
	int		value;		/* -1: deleted */
	bool		lazy;
};

static struct expect expected[EXPECT_MAX];
static size_t n_expected;

struct client {
	struct wait	w;
	int		key;
	int		value;
	bool		lazy;
};

static void client_start(struct subject *s, struct client *c, int key, int value, bool lazy)
{
	struct orlop_msgw mw;
	char name[32];
	char text[600];

	c->key = key;
	c->value = value;
	c->lazy = lazy;
	snprintf(name, sizeof(name), "k/%05d", key);
	snprintf(text, sizeof(text), "%d %0*d", value, key % 7 * 35 + 1, 0);
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	op_put(&mw, name, value < 0 ? NULL : text);
	/* a second key of the same revision: one is never seen without the other */
	snprintf(text, sizeof(text), "%d %d", key, value);
	op_put(&mw, "k/last", text);
	if (lazy)
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_FLAGS, ORLOP_TXN_LAZY);
	ask_start(s, &c->w, ORLOP_STORAGE_TXN, &mw);
}

static void client_end(struct subject *s, struct client *c)
{
	struct expect *e = &expected[n_expected++];

	ask_end(s, &c->w);
	if (c->w.status || c->w.ok != 1 || n_expected == EXPECT_MAX)
		abort();
	e->rev = c->w.rev;
	e->key = c->key;
	e->value = c->value;
	e->lazy = c->lazy;
	(void)pthread_mutex_lock(&rec.lock);
	e->at = rec.n;
	(void)pthread_mutex_unlock(&rec.lock);
}

static void compact(struct subject *s)
{
	struct orlop_msgw mw;

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	orlop_msgw_u64(&mw, ORLOP_STORAGE_T_REV, expected[n_expected - 1].rev - 5);
	free(ask(s, ORLOP_STORAGE_COMPACT, &mw).items);
}

static void work(struct subject *s)
{
	struct client c[BURST];
	unsigned int seed = 7;
	int next = 0;
	int round;
	int i;

	for (round = 0; round < 30; round++) {
		/* one after the other: the answer is known to the event */
		for (i = 0; i < 4; i++, next++) {
			client_start(s, c, rand_r(&seed) % KEEP, rand_r(&seed) % 4 ? next : -1,
				     rand_r(&seed) % 3 == 0);
			client_end(s, c);
		}
		/* many at once */
		for (i = 0; i < BURST; i++, next++)
			client_start(s, &c[i], i == 0 ? KEEP + next : i, next,
				     rand_r(&seed) % 4 == 0);
		for (i = 0; i < BURST; i++)
			client_end(s, &c[i]);
		if (round % 7 == 6)
			compact(s);
	}
	/* lazy ones that no durable one takes along */
	for (i = 0; i < 3; i++, next++) {
		client_start(s, c, i, next, true);
		client_end(s, c);
		free(changes(s, c->w.rev - 1, 0, FAKEHOST_S).items);
	}
}

/* ---- the disk after the cut ---------------------------------------------------------------------------- */

struct image {
	char	*p;
	size_t	len;
	size_t	cap;
};

static void image_write(struct image *im, size_t off, const char *data, size_t len)
{
	if (off + len > im->cap) {
		size_t cap = (off + len) * 2;

		im->p = realloc(im->p, cap);
		memset(im->p + im->cap, 0, cap - im->cap);
		im->cap = cap;
	}
	memcpy(im->p + off, data, len);
	if (off + len > im->len)
		im->len = off + len;
}

/* Any part of a write: none of it, all, or some of its sectors. */
static void image_tear(struct image *im, const struct event *e, unsigned int *seed)
{
	int how = rand_r(seed) % 4;
	size_t off;

	if (e->kind == EV_SIZE || how == 0)
		return;
	for (off = 0; off < e->len;) {
		size_t n = SECTOR - (e->off + off) % SECTOR;

		if (n > e->len - off)
			n = e->len - off;
		if (how == 1 || rand_r(seed) % 2)
			image_write(im, e->off + off, e->data + off, n);
		off += n;
	}
}

/*
 * The file when @cut events are complete and the next is under way. @deaf: syncs do nothing, but the
 * disk happens to write what was asked for with O_DSYNC.
 */
static struct image image_make(const struct image *base, size_t cut, bool deaf, unsigned int *seed)
{
	struct image im = { malloc(base->len + 1), base->len, base->len };
	size_t *pending = malloc((cut + 1) * sizeof(*pending));
	size_t n = 0;
	size_t i;
	size_t j;

	memcpy(im.p, base->p, base->len);
	for (i = 0; i < cut; i++) {
		const struct event *e = &rec.ev[i];

		if (e->kind == EV_SYNC) {
			for (j = 0; j < n && !deaf; j++)
				image_write(&im, rec.ev[pending[j]].off, rec.ev[pending[j]].data,
					    rec.ev[pending[j]].len);
			n = deaf ? n : 0;
		} else if (e->dsync) {
			image_write(&im, e->off, e->data, e->len);
		} else {
			pending[n++] = i;
		}
	}
	if (cut < rec.n)
		pending[n++] = cut;
	for (j = 0; j < n; j++)
		image_tear(&im, &rec.ev[pending[j]], seed);
	free(pending);
	return im;
}

/* What key @k must show, of what was acknowledged durably by @cut; and may show, told later. */
static bool key_good(int k, size_t cut, uint64_t mod_rev, int value)
{
	const struct expect *must = NULL;
	size_t i;

	for (i = 0; i < n_expected; i++) {
		const struct expect *e = &expected[i];

		if (e->key != k)
			continue;
		if (e->at <= cut && !e->lazy && (!must || e->rev > must->rev))
			must = e;
	}
	if (!mod_rev)	/* not there: nothing durable is missing, or a later delete came through */
		for (i = 0; i < n_expected && must && must->value >= 0; i++)
			if (expected[i].key == k && expected[i].value < 0 && expected[i].rev > must->rev)
				return true;
	if (!mod_rev)
		return !must || must->value < 0;
	if (must && mod_rev < must->rev)
		return false;
	for (i = 0; i < n_expected; i++)
		if (expected[i].key == k && expected[i].rev == mod_rev)
			return expected[i].value == value;
	return false;
}

/* In a child: 0 good, else which promise is broken. */
static int check(const char *path, size_t cut)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { .mod = &orlop_module };
	struct orlop_storage_item it;
	struct wait w;
	struct walk k;
	char key[600];
	char value[256];
	bool seen[8000] = { false };
	uint64_t last_rev = 0;
	uint64_t told = 0;
	uint64_t at_last = 0;
	size_t i;
	int n;

	s.fh = fakehost_new();
	fakehost_real_clock(s.fh);
	fakehost_param(s.fh, "path", path);
	if (fakehost_load_as(s.fh, s.mod, NULL, &s.m, &err))
		return 1;
	w = range(&s, "k/", "k0", 0, 0);
	if (w.status || w.more)
		return 2;
	k.p = w.items;
	k.end = w.items + w.len;
	while (item_next(&k, &it, key, value)) {
		if (!strcmp(key, "k/last")) {
			last_rev = it.mod_rev;
			continue;
		}
		n = atoi(key + 2);
		seen[n] = true;
		if (it.mod_rev > at_last)
			at_last = it.mod_rev;
		if (!key_good(n, cut, it.mod_rev, atoi(value)))
			return 3;
	}
	for (n = 0; n < 8000; n++)
		if (!seen[n] && !key_good(n, cut, 0, 0))
			return 4;
	if (last_rev < at_last)
		return 5;
	for (i = 0; i < n_expected; i++)
		if (expected[i].at <= cut && expected[i].rev > told)
			told = expected[i].rev;
	if (w.rev < told)
		return 6;
	if (put(&s, "k/new", "1").rev <= told)
		return 7;
	/* the whole history that is promised, to the end */
	for (last_rev = w.oldest; last_rev < w.rev;) {
		struct wait c = changes(&s, last_rev, 4096, 0);

		if (c.status || c.rev <= last_rev)
			return 8;
		last_rev = c.rev;
	}
	return fakehost_unload(s.fh, s.m, &err) ? 9 : 0;
}

static int replay(const char *dir, const struct image *base, size_t cut, bool deaf, unsigned int seed)
{
	struct image im = image_make(base, cut, deaf, &seed);
	char path[256];
	int status = 0;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/cut", dir);
	if (ofile_write(AT_FDCWD, path, im.p, im.len, 0600))
		abort();
	free(im.p);
	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		int fd = open("/dev/null", O_WRONLY);

		(void)dup2(fd, 2);	/* what LMDB says when it gives up is expected in the proof */
		(void)alarm(40);
		_exit(check(path, cut));
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int replays(const char *dir, const struct image *base, int n, bool deaf)
{
	unsigned int seed = 11;
	int broken = 0;
	int i;

	for (i = 0; i < n; i++) {
		/* everywhere in turn, the last event too */
		size_t cut = (size_t)((double)(rec.n + 1) * i / n);
		int what = replay(dir, base, cut, deaf, (unsigned int)rand_r(&seed));

		broken += what != 0;
		if (what && !deaf)
			diag("cut after event %zu of %zu: promise %d is broken", cut, rec.n, what);
	}
	return broken;
}

int main(void)
{
	struct subject s = { .mod = &orlop_module };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char dir[64] = "/dev/shm/orlop-cut-XXXXXX";
	const char *many = getenv("POWERCUT_N");
	int n = many ? atoi(many) : 250;
	struct image base = { 0 };
	struct stat st;
	char path[128];
	size_t syncs = 0;
	size_t dsyncs = 0;
	size_t i;
	int fd;

	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/orlop-cut-XXXXXX");
		if (!mkdtemp(dir))
			return 2;
	}
	snprintf(path, sizeof(path), "%s/db", dir);
	s.fh = fakehost_new();
	fakehost_real_clock(s.fh);
	fakehost_param(s.fh, "path", path);
	is_int(fakehost_load_as(s.fh, s.mod, NULL, &s.m, &err), 0, "opens (%s)", err.msg);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return 2;
	base.len = base.cap = (size_t)st.st_size;
	base.p = malloc(base.len);
	if (pread(fd, base.p, base.len, 0) != st.st_size)
		return 2;
	(void)close(fd);
	rec.dev = st.st_dev;
	rec.ino = st.st_ino;
	work(&s);
	is_int(fakehost_unload(s.fh, s.m, &err), 0, "closes");
	rec.ino = 0;
	fakehost_free(s.fh);
	for (i = 0; i < rec.n; i++) {
		syncs += rec.ev[i].kind == EV_SYNC;
		dsyncs += rec.ev[i].dsync;
	}
	ok(syncs > 50 && dsyncs > 50, "%zu writes acknowledged, %zu events: %zu syncs, %zu synchronous",
	   n_expected, rec.n, syncs, dsyncs);
	is_int(replays(dir, &base, n, false), 0, "%d cuts: every promise holds", n);
	ok(replays(dir, &base, 40, true) > 5, "on a disk that ignores syncs they do not: it would show");
	for (i = 0; i < rec.n; i++)
		free(rec.ev[i].data);
	free(rec.ev);
	free(base.p);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
