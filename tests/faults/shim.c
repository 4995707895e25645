/*
 * shim.c - preloaded into orlopd: the n-th allocation, write or system call that it makes fails; its wall
 * clock jumps.
 *
 * A file that the test maps too (FAULT_FILE) says what shall fail and counts: so one process is tried
 * with every n while it runs. Counted is what our own code asks for, and the libraries that hand errors
 * on; not what nanomsg, libuv and libconfig do for themselves, because they take an error there for the
 * end of the world, nor the C library's inside. getrandom() is assumed not to fail. Only the first
 * process counts, not its children.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Finding out who asks without a lock needs a C library that can: elsewhere this is empty, and its tests are skipped. */
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)

#define EXPORT __attribute__((visibility("default")))

enum { KIND_NONE, KIND_ALLOC, KIND_WRITE, KIND_CALL };

/* Shared with the test: faults.py has the same. */
struct page {
	_Atomic uint32_t kind;		/* what is counted; 0: nothing */
	_Atomic uint32_t pid;		/* of the process that counts; 0: the next one */
	_Atomic uint64_t countdown;	/* the one that makes it 0 fails; 0: none does */
	_Atomic uint64_t count;		/* so far */
	_Atomic uint32_t hit;		/* it has failed */
	uint32_t	err;
	char		what[64];	/* name of the call */
	char		where[128];	/* object + offset of who asked */
	_Atomic int64_t	wall_ns;	/* added to the wall clock */
};

static struct page *page;

/* The object's name and where it begins, without a lock or memory. */
static const char *object_of(void *pc, uintptr_t *base)
{
	struct dl_find_object o;

	if (_dl_find_object(pc, &o))
		return NULL;
	*base = o.dlfo_link_map->l_addr;
	return o.dlfo_link_map->l_name;
}

static int counts(const char *name)
{
	static const char *const others[] = { "libnanomsg", "libuv", "libconfig", "libc.so", "ld-linux", "libgcc_s", "faultshim" };

	for (size_t i = 0; name && i < sizeof(others) / sizeof(others[0]); i++)
		if (strstr(name, others[i]))
			return 0;
	return name != NULL;
}

static void note(const char *what, const char *name, uintptr_t offset, int err)
{
	char *p = page->where;
	size_t n = strnlen(name, 100);

	strncpy(page->what, what, sizeof(page->what) - 1);
	memcpy(p, *name ? name : "orlopd", *name ? n : 6);
	p += *name ? n : 6;
	*p++ = '+';
	for (int i = 28; i >= 0; i -= 4)
		*p++ = "0123456789abcdef"[offset >> i & 15];
	*p = '\0';
	page->err = (uint32_t)err;
}

/* True: this one fails, and errno says how. */
static int fails(uint32_t kind, const char *what, void *pc, int err)
{
	uint32_t nobody = 0;
	uint32_t now;
	uintptr_t base = 0;
	const char *name;

	if (!page || (now = atomic_load(&page->kind)) == KIND_NONE)
		return 0;
	if (now == KIND_ALLOC ? kind != KIND_ALLOC : now == KIND_WRITE ? kind != KIND_WRITE : kind == KIND_ALLOC)
		return 0;
	if (atomic_load(&page->pid) != (uint32_t)getpid() &&
	    !atomic_compare_exchange_strong(&page->pid, &nobody, (uint32_t)getpid()))
		return 0;
	name = object_of(pc, &base);
	if (!counts(name))
		return 0;
	atomic_fetch_add(&page->count, 1);
	if (atomic_load(&page->countdown) == 0 || atomic_fetch_sub(&page->countdown, 1) != 1)
		return 0;
	note(what, name, (uintptr_t)pc - base, err);
	atomic_store(&page->hit, 1);
	errno = err;
	return 1;
}

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("FAULT_FILE");
	int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)syscall(SYS_close, fd);
	if (p != MAP_FAILED)
		page = p;
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

EXPORT void *malloc(size_t n)
{
	return fails(KIND_ALLOC, "malloc", __builtin_return_address(0), ENOMEM) ? NULL : __libc_malloc(n);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return fails(KIND_ALLOC, "calloc", __builtin_return_address(0), ENOMEM) ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t n)
{
	return fails(KIND_ALLOC, "realloc", __builtin_return_address(0), ENOMEM) ? NULL : __libc_realloc(p, n);
}

/* ---- the wall clock ------------------------------------------------------------------------------------- */

EXPORT int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t id, struct timespec *ts);
	int64_t add = page ? atomic_load_explicit(&page->wall_ns, memory_order_relaxed) : 0;
	int64_t ns;
	int r;

	if (!real)
		real = (__typeof__(real))(uintptr_t)dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, ts);
	if (r || !add || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return r;
	ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec + add;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

EXPORT time_t time(time_t *ret)
{
	struct timespec ts = { .tv_sec = 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts = { .tv_sec = 0 };

	(void)tz;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))
#define WRAP(kind, err, type, name, params, args)							\
	EXPORT type name params										\
	{												\
		return fails(kind, #name, __builtin_return_address(0), err) ? (type)-1 : REAL(name) args;	\
	}

WRAP(KIND_WRITE, ENOSPC, ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(KIND_WRITE, ENOSPC, ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(KIND_WRITE, ENOSPC, ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
WRAP(KIND_WRITE, ENOSPC, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(KIND_WRITE, ENOSPC, ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
WRAP(KIND_WRITE, ECONNRESET, ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(KIND_WRITE, ECONNRESET, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(KIND_WRITE, EIO, int, fsync, (int fd), (fd))
WRAP(KIND_WRITE, EIO, int, fdatasync, (int fd), (fd))
WRAP(KIND_WRITE, EIO, int, msync, (void *p, size_t n, int flags), (p, n, flags))
WRAP(KIND_WRITE, ENOSPC, int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(KIND_WRITE, ENOSPC, int, rename, (const char *a, const char *b), (a, b))
WRAP(KIND_WRITE, ENOSPC, int, renameat, (int da, const char *a, int db, const char *b), (da, a, db, b))
WRAP(KIND_WRITE, ENOSPC, int, mkdir, (const char *p, mode_t mode), (p, mode))
WRAP(KIND_WRITE, ENOSPC, int, mkdirat, (int d, const char *p, mode_t mode), (d, p, mode))
WRAP(KIND_WRITE, EROFS, int, unlink, (const char *p), (p))
WRAP(KIND_WRITE, EROFS, int, unlinkat, (int d, const char *p, int flags), (d, p, flags))
WRAP(KIND_CALL, EIO, ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
WRAP(KIND_CALL, EIO, ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(KIND_CALL, EIO, ssize_t, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at))
WRAP(KIND_CALL, ECONNRESET, ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(KIND_CALL, ECONNRESET, ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(KIND_CALL, EMFILE, int, socket, (int d, int t, int p), (d, t, p))
WRAP(KIND_CALL, EMFILE, int, socketpair, (int d, int t, int p, int v[2]), (d, t, p, v))
WRAP(KIND_CALL, EADDRINUSE, int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(KIND_CALL, EADDRINUSE, int, listen, (int fd, int n), (fd, n))
WRAP(KIND_CALL, ECONNREFUSED, int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(KIND_CALL, EMFILE, int, accept, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAP(KIND_CALL, EMFILE, int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f))
WRAP(KIND_CALL, EINVAL, int, getsockopt, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n))
WRAP(KIND_CALL, EINVAL, int, setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
WRAP(KIND_CALL, EMFILE, int, pipe2, (int v[2], int f), (v, f))
WRAP(KIND_CALL, EMFILE, int, eventfd, (unsigned int n, int f), (n, f))
WRAP(KIND_CALL, EMFILE, int, dup, (int fd), (fd))
WRAP(KIND_CALL, EMFILE, int, epoll_create1, (int f), (f))
WRAP(KIND_CALL, ENOMEM, int, epoll_ctl, (int e, int op, int fd, struct epoll_event *ev), (e, op, fd, ev))
WRAP(KIND_CALL, EIO, int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(KIND_CALL, EACCES, int, stat, (const char *p, struct stat *st), (p, st))
WRAP(KIND_CALL, EACCES, int, lstat, (const char *p, struct stat *st), (p, st))
WRAP(KIND_CALL, EACCES, int, access, (const char *p, int m), (p, m))
WRAP(KIND_CALL, EIO, off_t, lseek, (int fd, off_t at, int w), (fd, at, w))
WRAP(KIND_CALL, EMFILE, int, memfd_create, (const char *n, unsigned int f), (n, f))
WRAP(KIND_CALL, EPERM, int, chmod, (const char *p, mode_t m), (p, m))
WRAP(KIND_CALL, EPERM, int, fchmod, (int fd, mode_t m), (fd, m))
WRAP(KIND_CALL, ENOMEM, int, mprotect, (void *p, size_t n, int prot), (p, n, prot))

EXPORT void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	if (fails(KIND_CALL, "mmap", __builtin_return_address(0), ENOMEM))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}

static int open_at(int dir, const char *path, int flags, va_list ap, void *pc)
{
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;

	if (fails(KIND_CALL, "open", pc, EMFILE))
		return -1;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list ap;
	int r;

	va_start(ap, flags);
	r = open_at(AT_FDCWD, path, flags, ap, __builtin_return_address(0));
	va_end(ap);
	return r;
}

EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	int r;

	va_start(ap, flags);
	r = open_at(dir, path, flags, ap, __builtin_return_address(0));
	va_end(ap);
	return r;
}

EXPORT int fcntl(int fd, int op, ...)
{
	va_list ap;
	long arg;

	va_start(ap, op);
	arg = va_arg(ap, long);
	va_end(ap);
	if (fails(KIND_CALL, "fcntl", __builtin_return_address(0), op == F_DUPFD_CLOEXEC ? EMFILE : EINVAL))
		return -1;
	return (int)syscall(SYS_fcntl, fd, op, arg);
}

EXPORT int fcntl64(int fd, int op, ...) __attribute__((alias("fcntl")));

EXPORT int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	if (fails(KIND_CALL, "pthread_create", __builtin_return_address(0), EAGAIN))
		return EAGAIN;
	return REAL(pthread_create)(t, attr, fn, arg);
}

#endif
