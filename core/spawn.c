/*
 * spawn.c - starting processes from a threaded daemon, and learning of their end.
 *
 * fork() would copy page tables and run in a copy of a threaded process; posix_spawn() can neither
 * unshare a mount namespace nor tell which step failed. So: clone(CLONE_VM|CLONE_VFORK), as
 * posix_spawn() does inside, with a child that makes only system calls, on a stack of its own while
 * the calling thread sleeps. Memory is shared, so a failure is a plain store that the parent reads.
 * The end of a child is told by its pidfd: no SIGCHLD, no waitpid(-1), no pid reuse.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"

#define SPAWN_STACK_BYTES	(64u << 10)
#define SPAWN_FDS_MAX		64u
#define SPAWN_PATH		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD		0x00001000
#endif
#ifndef P_PIDFD
#define P_PIDFD			3
#endif

struct orlop_child {
	struct olist	node;		/* loop->children */
	struct olist	held;		/* owner's list */
	struct core_loop *loop;
	struct core_owner *owner;
	int		pidfd;		/* -1: it has ended */
	pid_t		pid;
	bool		detached;
	bool		kept;		/* somebody has a pointer to it: lives until core_child_free() */
	struct orlop_fdwatch *watch;
	orlop_exit_fn	fn;		/* NULL: forgotten */
	void		*arg;
};

/* What the child is told, and what it tells: it shares our memory. */
struct plan {
	const char	*path;
	char		*const *argv;
	char		*const *env;
	const char	*cwd;
	uint32_t	flags;
	uint32_t	umask;
	uint32_t	n_fds;		/* ≥ 3 */
	int		fds[SPAWN_FDS_MAX];
	const char	*failed;	/* step, NULL: none */
	int		err;
};

/* The kernel's struct sigaction, for resetting what the library's wrapper refuses to touch. */
struct kernel_sigaction {
	void		*handler;
	unsigned long	flags;
	void		*restorer;
	unsigned long	mask;
};

#define PLAIN_CODE __attribute__((no_sanitize("address", "thread", "undefined"), noinline))

PLAIN_CODE
static int child_failed(struct plan *p, const char *step)
{
	p->err = errno;
	p->failed = step;
	syscall(SYS_exit_group, 127);
	return 127;
}

/* Runs in the child: system calls only. */
PLAIN_CODE
static int child_main(void *arg)
{
	struct plan *p = arg;
	struct kernel_sigaction dfl = { .handler = NULL };
	unsigned long none = 0;
	long null_fd = -1;
	uint32_t i;

	for (i = 1; i < 65; i++)
		syscall(SYS_rt_sigaction, i, &dfl, NULL, 8);
	if (p->flags & ORLOP_SPAWN_SETSID && syscall(SYS_setsid) < 0)
		return child_failed(p, "setsid");
	/* Sources out of the way of the targets first. */
	for (i = 0; i < p->n_fds; i++) {
		long fd = p->fds[i];

		if (fd < 0) {
			if (null_fd < 0) {
				null_fd = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
				if (null_fd < 0)
					return child_failed(p, "open /dev/null");
			}
			fd = null_fd;
		}
		fd = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
		if (fd < 0)
			return child_failed(p, "duplicate a descriptor");
		p->fds[i] = (int)fd;
	}
	for (i = 0; i < p->n_fds; i++)
		if (syscall(SYS_dup3, p->fds[i], i, 0) < 0)
			return child_failed(p, "place a descriptor");
	/* All of ours are close-on-exec; a library's may not be. */
	syscall(SYS_close_range, p->n_fds, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	syscall(SYS_umask, p->umask);
	if (p->flags & (ORLOP_SPAWN_NEWNS | ORLOP_SPAWN_HIDE_UNIFIED)) {
		if (syscall(SYS_unshare, CLONE_NEWNS) < 0)
			return child_failed(p, "unshare the mount namespace");
		if (syscall(SYS_mount, "none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
			return child_failed(p, "make mounts slaves");
	}
	if (p->flags & ORLOP_SPAWN_HIDE_UNIFIED) {
		/* Not there: nothing to hide. */
		if (syscall(SYS_umount2, "/sys/fs/cgroup/unified", MNT_DETACH) < 0 &&
		    errno != EINVAL && errno != ENOENT)
			return child_failed(p, "unmount /sys/fs/cgroup/unified");
	}
	if (syscall(SYS_chdir, p->cwd) < 0)
		return child_failed(p, "chdir");
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
	syscall(SYS_execve, p->path, p->argv, p->env);
	return child_failed(p, "exec");
}

/* The program's path: as given, or found in SPAWN_PATH. */
static int find_program(const char *name, char *buf, size_t size)
{
	const char *p = SPAWN_PATH;

	if (strchr(name, '/'))
		return snprintf(buf, size, "%s", name) < (int)size ? 0 : -ENAMETOOLONG;
	while (*p) {
		size_t n = strcspn(p, ":");

		if (snprintf(buf, size, "%.*s/%s", (int)n, p, name) < (int)size &&
		    access(buf, X_OK) == 0)
			return 0;
		p += n + (p[n] == ':');
	}
	return -ENOENT;
}

/* It has ended or is forgotten for good; the memory stays while somebody has a pointer to it. */
static void child_gone(struct orlop_child *c)
{
	core_fd_unwatch(c->watch);
	c->watch = NULL;
	(void)close(c->pidfd);
	c->pidfd = -1;
	olist_del(&c->node);
	if (!c->kept)
		core_child_free(c);
}

static void child_event(void *arg, int32_t fd, uint32_t events)
{
	struct orlop_child *c = arg;
	orlop_exit_fn fn = c->fn;
	void *fn_arg = c->arg;
	siginfo_t si;
	int r;

	(void)events;
	memset(&si, 0, sizeof(si));
	do {
		r = waitid((idtype_t)P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
	} while (r < 0 && errno == EINTR);
	if (r == 0 && si.si_pid == 0)
		return;		/* not yet */
	c->fn = NULL;
	child_gone(c);
	if (!fn)
		return;
	if (r < 0)
		fn(fn_arg, -1, 0);	/* reaped by somebody else: we cannot know */
	else if (si.si_code == CLD_EXITED)
		fn(fn_arg, si.si_status, 0);
	else
		fn(fn_arg, 0, si.si_status);
}

int core_spawn(struct core_loop *l, struct core_owner *o, const struct orlop_spawn *s,
	       orlop_exit_fn exit_fn, void *arg, struct orlop_child **ret, struct orlop_error *err)
{
	static const char *const default_env[] = { "PATH=" SPAWN_PATH, NULL };
	struct orlop_child *c;
	struct plan p = { .failed = NULL };
	char path[PATH_MAX];
	sigset_t all;
	sigset_t old;
	char *stack;
	pid_t pid;
	int r;

	if (!s->argv || !s->argv[0])
		return orlop_fail(err, EINVAL, 0, "", "spawn: no program given");
	if (s->n_fds > SPAWN_FDS_MAX)
		return orlop_fail(err, E2BIG, 0, "", "spawn %s: %u descriptors, at most %u", s->argv[0],
				  s->n_fds, SPAWN_FDS_MAX);
	r = find_program(s->argv[0], path, sizeof(path));
	if (r)
		return orlop_fail(err, -r, 0, "", "spawn %s: program not found", s->argv[0]);
	p.path = path;
	/* execve's prototype predates const; it changes nothing. */
	p.argv = (char *const *)(uintptr_t)s->argv;
	p.env = (char *const *)(uintptr_t)(s->env ? s->env : default_env);
	p.cwd = s->cwd ? s->cwd : "/";
	p.flags = s->flags;
	p.umask = s->umask ? s->umask : 022;
	p.n_fds = s->n_fds > 3 ? s->n_fds : 3;
	for (uint32_t i = 0; i < p.n_fds; i++)
		p.fds[i] = i < s->n_fds ? s->fds[i] : -1;

	c = OMEM_NEW(struct orlop_child);
	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "spawn %s: out of memory", path);
	stack = mmap(NULL, SPAWN_STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED) {
		omem_free(c);
		return orlop_fail(err, ENOMEM, 0, "", "spawn %s: out of memory", path);
	}
	/* No handler may run in the child while it shares our memory. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + SPAWN_STACK_BYTES,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &p, &c->pidfd);
	r = pid < 0 ? -errno : 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)munmap(stack, SPAWN_STACK_BYTES);
	if (r) {
		omem_free(c);
		return orlop_fail(err, -r, 0, "", "spawn %s: cannot start a process", path);
	}
	if (p.failed) {
		siginfo_t si;

		(void)waitid((idtype_t)P_PIDFD, (id_t)c->pidfd, &si, WEXITED);
		(void)close(c->pidfd);
		omem_free(c);
		return orlop_fail(err, p.err, 0, "", "spawn %s: %s: %s", path, p.failed,
				  strerrordesc_np(p.err));
	}
	c->loop = l;
	c->pid = pid;
	c->detached = s->flags & ORLOP_SPAWN_DETACH;
	c->fn = exit_fn;
	c->arg = arg;
	r = core_fd_watch(l, NULL, c->pidfd, ORLOP_FD_READ, child_event, c, &c->watch);
	if (r) {
		siginfo_t si;

		(void)kill(pid, SIGKILL);
		(void)waitid((idtype_t)P_PIDFD, (id_t)c->pidfd, &si, WEXITED);
		(void)close(c->pidfd);
		omem_free(c);
		return orlop_fail(err, -r, 0, "", "spawn %s: cannot watch the process", path);
	}
	c->kept = ret != NULL;
	c->owner = o;
	olist_append(&l->children, &c->node);
	olist_init(&c->held);
	if (o)
		olist_append(&o->list[CORE_HELD_CHILD], &c->held);
	core_owner_inc(o, CORE_HELD_CHILD);
	if (ret)
		*ret = c;
	return 0;
}

int32_t core_child_pid(struct orlop_child *c)
{
	return c->pid;
}

int core_child_kill(struct orlop_child *c, int32_t sig)
{
	if (c->pidfd < 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

void core_child_free(struct orlop_child *c)
{
	if (!c)
		return;
	c->fn = NULL;
	c->kept = false;
	olist_del(&c->held);
	core_owner_dec(c->owner, CORE_HELD_CHILD);
	c->owner = NULL;
	if (c->pidfd < 0)
		omem_free(c);
}

uint32_t core_spawn_reclaim(struct core_owner *o)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&o->list[CORE_HELD_CHILD]))) {
		struct orlop_child *c = OLIST_ENTRY(n, struct orlop_child, held);

		if (!c->detached)
			(void)core_child_kill(c, SIGKILL);
		core_child_free(c);
		count++;
	}
	return count;
}

void core_spawn_forget(struct core_loop *l)
{
	struct olist *n;

	while ((n = olist_first(&l->children)))
		child_gone(OLIST_ENTRY(n, struct orlop_child, node));
}
