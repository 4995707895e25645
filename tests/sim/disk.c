/*
 * disk.c - files of simulated machines: real files in memory, and what of them the power can take.
 *
 * What lies below a machine's disk/, and every database (*.mdb*), is on a disk: of every sector written since the last sync the content at
 * that sync is kept, so that a power cut can bring it back, for all, none or some of them. A write to
 * a descriptor with O_DSYNC is durable when it returns and says nothing about others. After a sync that failed
 * some sectors may never reach the disk although later syncs succeed, as with real kernels; until they are
 * written anew. Names (create, rename, unlink) are durable at once, and so is all that is not below disk/.
 */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/omap.h"
#include "base/omem.h"

#define SECTOR	512u

/* A sector that was written and not synced. */
struct dirty {
	uint64_t	n;
	uint64_t	gen;		/* of the last write to it */
	bool		lost;		/* a sync failed: later ones do not help */
	bool		beyond;		/* behind the end of the file as it was synced */
	unsigned char	was[SECTOR];
};

struct file {
	struct olist	node;
	struct sim_proc	*proc;
	dev_t		dev;
	ino_t		ino;
	int		fd;		/* our own */
	uint64_t	synced_size;
	uint64_t	gen;
	struct omap	by_n;		/* number → index + 1 */
	struct dirty	**dirty;	/* in order of the first write, so that chance is drawn in order */
	uint32_t	n_dirty;
	uint32_t	cap;
};

/* What a process has open. */
struct opened {
	struct sim_proc	*proc;		/* NULL: not of a simulated process */
	dev_t		dev;
	ino_t		ino;
	struct file	*file;		/* on a disk */
	bool		dsync;
};

#define OPENED_MAX	SIM_FD_FIRST

static struct opened opened[OPENED_MAX];
static struct olist files = OLIST_HEAD_INIT(files);

/* ---- sectors -------------------------------------------------------------------------------------------- */

static struct dirty *dirty_get(struct file *f, uint64_t n)
{
	uintptr_t i = (uintptr_t)omap_get(&f->by_n, &n, sizeof(n));

	return i ? f->dirty[i - 1] : NULL;
}

static void dirty_add(struct file *f, uint64_t n)
{
	struct dirty *d = OMEM_NEW(struct dirty);

	if (f->n_dirty == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->dirty = omem_realloc_array(f->dirty, f->cap, sizeof(struct dirty *));
	}
	if (!d || !f->dirty || omap_put(&f->by_n, &n, sizeof(n), (void *)(uintptr_t)(f->n_dirty + 1), NULL))
		sim_die("out of memory");
	d->n = n;
	d->gen = f->gen;
	d->beyond = n * SECTOR >= f->synced_size;
	(void)!syscall(SYS_pread64, f->fd, d->was, SECTOR, (off_t)(n * SECTOR));
	f->dirty[f->n_dirty++] = d;
}

/* Before the bytes change. */
static void file_writes(struct file *f, uint64_t off, uint64_t len)
{
	f->gen++;
	for (uint64_t n = off / SECTOR; n <= (off + len - 1) / SECTOR && len; n++) {
		struct dirty *d = dirty_get(f, n);

		if (d) {
			d->gen = f->gen;
			d->lost = false;
		} else {
			dirty_add(f, n);
		}
	}
}

/* After a durable write: that is what a power cut leaves of these sectors from now on. */
static void file_dsynced(struct file *f, uint64_t off, uint64_t len)
{
	for (uint64_t n = off / SECTOR; n <= (off + len - 1) / SECTOR && len; n++) {
		struct dirty *d = dirty_get(f, n);

		if (d) {
			(void)!syscall(SYS_pread64, f->fd, d->was, SECTOR, (off_t)(n * SECTOR));
			d->beyond = false;
		}
	}
	if (f->synced_size < off + len)
		f->synced_size = off + len;
}

/* Keeps those that @keep says stay dirty. */
static void file_clean(struct file *f, uint64_t gen, bool all)
{
	uint32_t n = 0;

	omap_done(&f->by_n);
	omap_init(&f->by_n);
	for (uint32_t i = 0; i < f->n_dirty; i++) {
		struct dirty *d = f->dirty[i];

		if (all || (d->gen <= gen && !d->lost)) {
			omem_free(d);
			continue;
		}
		f->dirty[n++] = d;
		(void)omap_put(&f->by_n, &d->n, sizeof(d->n), (void *)(uintptr_t)n, NULL);
	}
	f->n_dirty = n;
}

static uint64_t file_size(const struct file *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void file_power(struct file *f)
{
	uint64_t mode = sim_host_below(4);	/* 0: all is lost, 1: nothing, else each by itself */
	uint32_t back = 0;
	bool shorter = false;

	for (uint32_t i = 0; i < f->n_dirty; i++) {
		struct dirty *d = f->dirty[i];

		if (!d->lost && (mode == 1 || (mode > 1 && sim_host_below(2))))
			continue;
		back++;
		shorter |= d->beyond;
		(void)!syscall(SYS_pwrite64, f->fd, d->was, SECTOR, (off_t)(d->n * SECTOR));
	}
	if (mode == 0 && shorter)
		(void)!syscall(SYS_ftruncate, f->fd, f->synced_size);
	if (f->n_dirty)
		sim_say(f->proc, "power: %u of %u sectors lost", back, f->n_dirty);
	file_clean(f, 0, true);
	f->synced_size = file_size(f);
}

void sim_disk_power(struct sim_proc *p)
{
	OLIST_FOREACH(n, &files)
		if (OLIST_ENTRY(n, struct file, node)->proc == p)
			file_power(OLIST_ENTRY(n, struct file, node));
}

void sim_disk_free(struct sim_proc *p)
{
	OLIST_FOREACH_SAFE(n, tmp, &files) {
		struct file *f = OLIST_ENTRY(n, struct file, node);

		if (f->proc != p)
			continue;
		file_clean(f, 0, true);
		omap_done(&f->by_n);
		omem_free(f->dirty);
		(void)syscall(SYS_close, f->fd);
		olist_del(&f->node);
		omem_free(f);
	}
}

struct sim_disk *sim_disk(struct sim_proc *p)
{
	return &p->disk;
}

/* ---- opening, closing ------------------------------------------------------------------------------------------ */

static struct file *file_of(struct sim_proc *p, int fd, const struct stat *st)
{
	struct file *f;
	char path[40];

	OLIST_FOREACH(n, &files) {
		f = OLIST_ENTRY(n, struct file, node);
		if (f->ino == st->st_ino && f->dev == st->st_dev)
			return f;
	}
	f = OMEM_NEW(struct file);
	if (!f)
		sim_die("out of memory");
	f->proc = p;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->synced_size = (uint64_t)st->st_size;
	omap_init(&f->by_n);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f->fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0)
		sim_die("cannot open a file of %s twice", p->name);
	olist_append(&files, &f->node);
	return f;
}

/* The lock beside a database is shared memory, not content. */
static bool on_disk_by_name(const char *rest)
{
	size_t n = strlen(rest);

	return strncmp(rest, "/disk/", 6) == 0 ||
		(strstr(rest, ".mdb") && !(n > 5 && strcmp(rest + n - 5, "-lock") == 0) && !strstr(rest, ".owner"));
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
	struct sim_proc *p = sim_proc_here();
	struct opened *o;
	struct stat st;
	size_t n;
	int fd;

	if (!p)
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	fd = sim_machine_open(p, path);
	if (fd == -1)
		fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd < 0)
		return -1;
	if (fd >= OPENED_MAX)
		sim_die("too many files");
	o = &opened[fd];
	memset(o, 0, sizeof(*o));
	if (fstat(fd, &st) < 0)
		return fd;
	o->proc = p;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	o->dsync = (flags & O_DSYNC) != 0;
	n = strlen(p->dir);
	if (S_ISREG(st.st_mode) && strncmp(path, p->dir, n) == 0 && on_disk_by_name(path + n))
		o->file = file_of(p, fd, &st);
	return fd;
}

#define MODE(flags, last) __extension__({					\
	mode_t mode_ = 0;							\
	if ((flags) & (O_CREAT | O_TMPFILE)) {					\
		va_list ap_;							\
		va_start(ap_, last);						\
		mode_ = (mode_t)va_arg(ap_, int);				\
		va_end(ap_);							\
	}									\
	mode_;									\
})

/*
 * Some exist under two names; which one the headers mean depends on the size of off_t, so they are named
 * in assembly.
 */
SIM_OURS int our_open(const char *path, int flags, ...) __asm__("open");
SIM_OURS int our_open64(const char *path, int flags, ...) __asm__("open64");
SIM_OURS int our_openat(int dir, const char *path, int flags, ...) __asm__("openat");
SIM_OURS int our_openat64(int dir, const char *path, int flags, ...) __asm__("openat64");
SIM_OURS ssize_t our_pwrite(int fd, const void *p, size_t len, off64_t off) __asm__("pwrite");
SIM_OURS ssize_t our_pwrite64(int fd, const void *p, size_t len, off64_t off) __asm__("pwrite64");
SIM_OURS ssize_t our_pwritev(int fd, const struct iovec *v, int n, off64_t off) __asm__("pwritev");
SIM_OURS ssize_t our_pwritev64(int fd, const struct iovec *v, int n, off64_t off) __asm__("pwritev64");
SIM_OURS int our_ftruncate(int fd, off64_t size) __asm__("ftruncate");
SIM_OURS int our_ftruncate64(int fd, off64_t size) __asm__("ftruncate64");

int our_open(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags, MODE(flags, flags));
}

int our_open64(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags, MODE(flags, flags));
}

int our_openat(int dir, const char *path, int flags, ...)
{
	return open_at(dir, path, flags, MODE(flags, flags));
}

int our_openat64(int dir, const char *path, int flags, ...)
{
	return open_at(dir, path, flags, MODE(flags, flags));
}

SIM_OURS int close(int fd)
{
	struct sim_fd *f = sim_fd_get(fd);

	if (f) {
		sim_fd_free(f);
		return 0;
	}
	if (fd >= 0 && fd < OPENED_MAX)
		opened[fd].proc = NULL;
	return (int)syscall(SYS_close, fd);
}

/* Only what is still the same file: descriptors may have been closed behind our back (fclose, closedir). */
void sim_disk_dead(struct sim_proc *p)
{
	for (int fd = 0; fd < OPENED_MAX; fd++) {
		struct stat st;

		if (opened[fd].proc != p)
			continue;
		if (fstat(fd, &st) == 0 && st.st_dev == opened[fd].dev && st.st_ino == opened[fd].ino)
			(void)syscall(SYS_close, fd);
		opened[fd].proc = NULL;
	}
}

/* ---- writing, syncing ------------------------------------------------------------------------------------------- */

static struct opened *on_disk(int fd)
{
	struct opened *o = fd >= 0 && fd < OPENED_MAX ? &opened[fd] : NULL;

	return o && o->proc && o->file && o->proc == sim_proc_here() ? o : NULL;
}

/* 0: write it. */
static int write_fault(struct opened *o, uint64_t off, uint64_t len)
{
	const struct sim_disk *d = &o->proc->disk;

	if (d->full && off + len > file_size(o->file)) {
		sim_say(o->proc, "disk: no space");
		return ENOSPC;
	}
	if (d->write_fail && sim_host_chance(d->write_fail)) {
		sim_say(o->proc, "disk: a write fails");
		return EIO;
	}
	return 0;
}

static ssize_t disk_write(int fd, const struct iovec *v, int n, off64_t off)
{
	struct opened *o = on_disk(fd);
	uint64_t len = 0;
	ssize_t r;
	int e;

	for (int i = 0; i < n; i++)
		len += v[i].iov_len;
	if (o) {
		sim_maybe_yield();
		e = write_fault(o, (uint64_t)off, len);
		if (e) {
			errno = e;
			return -1;
		}
		file_writes(o->file, (uint64_t)off, len);
	}
	r = syscall(SYS_pwritev, fd, v, n, (long)off, 0L);
	if (o && o->dsync && r > 0 && !o->proc->disk.lies)
		file_dsynced(o->file, (uint64_t)off, (uint64_t)r);
	return r;
}

ssize_t our_pwrite(int fd, const void *p, size_t len, off64_t off)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	return disk_write(fd, &v, 1, off);
}

ssize_t our_pwrite64(int fd, const void *p, size_t len, off64_t off)
{
	return our_pwrite(fd, p, len, off);
}

ssize_t our_pwritev(int fd, const struct iovec *v, int n, off64_t off)
{
	return disk_write(fd, v, n, off);
}

ssize_t our_pwritev64(int fd, const struct iovec *v, int n, off64_t off)
{
	return disk_write(fd, v, n, off);
}

/* stdout and stderr of a simulated process are the trace. */
static void said(struct sim_proc *p, const struct iovec *v, int n)
{
	for (int i = 0; i < n; i++) {
		const char *s = v[i].iov_base;
		size_t len = v[i].iov_len;

		while (len && s[len - 1] == '\n')
			len--;
		/* The log's own time is the wall clock's; ours stands before the line already. */
		if (len > 5 && memcmp(s, "time=", 5) == 0) {
			const char *sp = memchr(s, ' ', len);

			if (sp) {
				len -= (size_t)(sp + 1 - s);
				s = sp + 1;
			}
		}
		if (len)
			sim_say(p, "log %.*s", (int)(len > 800 ? 800 : len), s);
	}
}

SIM_OURS ssize_t writev(int fd, const struct iovec *v, int n)
{
	struct sim_proc *p = sim_proc_here();
	struct sim_fd *f = sim_fd_get(fd);
	struct opened *o = on_disk(fd);
	ssize_t len = 0;

	for (int i = 0; i < n; i++)
		len += (ssize_t)v[i].iov_len;
	if (f) {
		if (f->kind != SIM_FD_EVENT || len != 8) {
			errno = EPIPE;
			return -1;
		}
		f->count += *(const uint64_t *)v[0].iov_base;
		sim_fd_ready(f, 1);
		return 8;
	}
	if (p && (fd == 1 || fd == 2)) {
		said(p, v, n);
		return len;
	}
	if (o)
		file_writes(o->file, (uint64_t)lseek(fd, 0, SEEK_CUR), (uint64_t)len);
	return syscall(SYS_writev, fd, v, n);
}

SIM_OURS ssize_t write(int fd, const void *p, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	return writev(fd, &v, 1);
}

int our_ftruncate(int fd, off64_t size)
{
	return (int)syscall(SYS_ftruncate, fd, size);
}

int our_ftruncate64(int fd, off64_t size)
{
	return our_ftruncate(fd, size);
}

static int file_sync(struct opened *o)
{
	struct sim_proc *p = o->proc;
	struct file *f = o->file;
	const struct sim_disk *d = &p->disk;
	uint64_t gen = f->gen;
	uint64_t us = d->sync_us_min;

	if (d->sync_us_max > d->sync_us_min)
		us += sim_host_below(d->sync_us_max - d->sync_us_min + 1);
	(void)sim_block(NULL, sim_w->now + us * 1000);
	if (d->sync_fail && sim_host_chance(d->sync_fail)) {
		sim_say(p, "disk: a sync fails");
		for (uint32_t i = 0; i < f->n_dirty; i++)
			if (f->dirty[i]->gen <= gen && sim_host_below(2))
				f->dirty[i]->lost = true;
		errno = EIO;
		return -1;
	}
	if (!d->lies) {
		f->synced_size = file_size(f);
		file_clean(f, gen, false);
	}
	return 0;
}

SIM_OURS int fdatasync(int fd)
{
	struct opened *o = on_disk(fd);

	if (o)
		return file_sync(o);
	return 0;	/* files in memory: nothing to gain */
}

SIM_OURS int fsync(int fd)
{
	return fdatasync(fd);
}
