/*
 * proc.c - running a program to its end with its output captured.
 *
 * By the host, on our loop, which sleeps meanwhile from fork to exec. Where many are started at once, which is when
 * containers are made and started, by a worker that waits for the end: then nobody else does.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"

#define OUTPUT_MAX	(1u << 20)
#define PROC_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct proc {
	struct olist	node;		/* oci's procs */
	struct oci	*o;
	struct orlop_child *child;
	struct orlop_fdwatch *watch;
	int		fd;
	struct obuf	out;
	proc_fn		fn;
	void		*arg;
};

/* Read what is there; what is beyond the bound is read and dropped. */
static bool proc_drain(struct proc *p)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(p->fd, buf, sizeof(buf))) > 0)
		if (p->out.len < OUTPUT_MAX)
			obuf_append(&p->out, buf, (size_t)n);
	return n < 0 && errno == EAGAIN;
}

static void proc_readable(void *arg, int32_t fd, uint32_t events)
{
	struct proc *p = arg;

	(void)fd;
	(void)events;
	if (!proc_drain(p)) {
		p->o->h->fd_unwatch(p->watch);
		p->watch = NULL;
	}
}

static void proc_exited(void *arg, int32_t code, int32_t sig)
{
	struct proc *p = arg;

	olist_del(&p->node);
	(void)proc_drain(p);
	p->o->h->fd_unwatch(p->watch);
	close(p->fd);
	p->o->h->child_free(p->child);
	p->fn(p->arg, code, sig, &p->out);
	obuf_done(&p->out);
	omem_free(p);
}

int proc_run(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg,
	     struct orlop_error *err)
{
	return proc_start(o, argv, flags, fn, arg, NULL, err);
}

void proc_kill(struct proc *p)
{
	(void)p->o->h->child_kill(p->child, SIGKILL);
}

void procs_forget(struct oci *o)
{
	while (!olist_empty(&o->procs)) {
		struct proc *p = OLIST_ENTRY(olist_first(&o->procs), struct proc, node);

		olist_del(&p->node);
		o->h->fd_unwatch(p->watch);
		close(p->fd);
		o->h->child_free(p->child);
		obuf_done(&p->out);
		omem_free(p);
	}
}

/*
 * A process of its own hides them before it becomes the other program: done between fork and exec it
 * would stop who starts it, as that sleeps until exec; of 30 containers at once each waited for all.
 */
static const char *const *hidden_argv(const struct oci *o, const char *const *argv, const char *buf[RUNTIME_ARGS])
{
	size_t n = 2;

	buf[0] = o->pause;
	buf[1] = "hide";
	for (; *argv && n + 1 < RUNTIME_ARGS; argv++)
		buf[n++] = *argv;
	buf[n] = NULL;
	return buf;
}

const char *const *runtime_argv(const struct oci *o, const struct handler *rt, const char *const *argv, const char *buf[RUNTIME_ARGS])
{
	return handler_flags(o, rt) ? hidden_argv(o, argv, buf) : argv;
}

int proc_start(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg, struct proc **ret,
	       struct orlop_error *err)
{
	struct proc *p = OMEM_NEW(struct proc);
	struct orlop_spawn s = { .size = sizeof(s) };
	const char *started[RUNTIME_ARGS];
	int32_t fds[3];
	int pipefd[2];
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (pipe2(pipefd, O_CLOEXEC | O_NONBLOCK)) {
		e = errno;
		omem_free(p);
		return orlop_fail(err, e, 0, "", "pipe for %s", argv[0]);
	}
	(void)fcntl(pipefd[1], F_SETFL, 0);	/* programs expect to block */
	p->o = o;
	p->fd = pipefd[0];
	p->fn = fn;
	p->arg = arg;
	obuf_init(&p->out);
	fds[0] = -1;
	fds[1] = pipefd[1];
	fds[2] = pipefd[1];
	s.argv = flags & PROC_HIDES ? hidden_argv(o, argv, started) : argv;
	s.fds = fds;
	s.n_fds = 3;
	s.flags = flags & ~PROC_HIDES;
	e = o->h->spawn(o->h, &s, proc_exited, p, &p->child, err);
	close(pipefd[1]);
	if (!e && (e = o->h->fd_watch(o->h, p->fd, ORLOP_FD_READ, proc_readable, p, &p->watch)))
		p->watch = NULL;	/* the output is read at the end: enough for what we run */
	if (p->child) {
		olist_append(&o->procs, &p->node);
		if (ret)
			*ret = p;
		return 0;
	}
	close(p->fd);
	omem_free(p);
	return e;
}

void proc_first_line(const struct obuf *out, char *buf, size_t size)
{
	size_t n = 0;
	const char *p = out->data;

	while (p && n < out->len && n + 1 < size && p[n] != '\n') {
		buf[n] = p[n] >= ' ' || p[n] < 0 ? p[n] : ' ';
		n++;
	}
	buf[n] = '\0';
}

/* ---- on a worker -------------------------------------------------------------------------------- */

#define HERE_MS		60000

static int spawn_here(const char *const *argv, const char *dir, const char *const *env, const int *fds, uint32_t n_fds, int out, pid_t *ret)
{
	static const char *const path_only[] = { "PATH=" PROC_PATH, NULL };
	posix_spawn_file_actions_t a;
	posix_spawnattr_t attr;
	sigset_t set;
	uint32_t i;
	int e;

	if (posix_spawn_file_actions_init(&a))
		return -ENOMEM;
	if (posix_spawnattr_init(&attr)) {
		(void)posix_spawn_file_actions_destroy(&a);
		return -ENOMEM;
	}
	sigemptyset(&set);
	(void)posix_spawnattr_setsigmask(&attr, &set);
	sigfillset(&set);
	(void)posix_spawnattr_setsigdefault(&attr, &set);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	e = posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDWR, 0);
	for (i = 1; i < 3 && !e; i++)
		e = out >= 0 ? posix_spawn_file_actions_adddup2(&a, out, (int)i) : posix_spawn_file_actions_adddup2(&a, 0, (int)i);
	if (!e && dir)
		e = posix_spawn_file_actions_addchdir_np(&a, dir);
	/* @fds are above 2 + n_fds: the caller's duplicates */
	for (i = 0; i < n_fds && !e; i++)
		e = posix_spawn_file_actions_adddup2(&a, fds[i], (int)(3 + i));
	if (!e)
		e = posix_spawnp(ret, argv[0], &a, &attr, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)(env ? env : path_only));
	(void)posix_spawn_file_actions_destroy(&a);
	(void)posix_spawnattr_destroy(&attr);
	return -e;
}

static uint64_t mono_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Until it has ended, or its time is over. What it left behind may hold the pipe: the end of the process counts. */
static int wait_here(pid_t pid, int from, struct obuf *out)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = from, .events = POLLIN } };
	uint64_t end = mono_ns() + HERE_MS * 1000000ull;
	char buf[4096];
	ssize_t n;
	int status = 0;

	while (pidfd >= 0) {
		uint64_t now = mono_ns();
		int r = now < end ? poll(p, 2, (int)((end - now) / 1000000) + 1) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			(void)kill(pid, SIGKILL);
		if (r <= 0 || p[0].revents)
			break;
		n = read(from, buf, sizeof(buf));
		if (n > 0 && out->len < OUTPUT_MAX)
			obuf_append(out, buf, (size_t)n);
		if (n == 0)
			p[1].fd = -1;
	}
	while (from >= 0 && (n = read(from, buf, sizeof(buf))) > 0)
		if (out->len < OUTPUT_MAX)
			obuf_append(out, buf, (size_t)n);
	if (pidfd >= 0)
		close(pidfd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int proc_here(const struct oci *o, const struct handler *rt, int shelter, const char *dir, const char *const *argv, const char *const *env, const int *fds, uint32_t n_fds, struct obuf *out,
	      struct orlop_error *err)
{
	const char *started[RUNTIME_ARGS];
	char line[300];
	int pipefd[2] = { -1, -1 };
	pid_t pid = -1;
	int home;
	int status;
	int e = 0;

	if (out && pipe2(pipefd, O_CLOEXEC))
		return orlop_fail(err, errno, 0, "", "pipe for %s: %s", argv[0], strerrordesc_np(errno));
	if (out)
		(void)fcntl(pipefd[0], F_SETFL, O_NONBLOCK);
	if (shelter >= 0 && !shelter_enter(shelter, &home)) {
		e = spawn_here(argv, dir, env, fds, n_fds, pipefd[1], &pid);
		if (shelter_leave(home))
			OLOG(o->h, ERR, "thread_lost", "text=\"a worker cannot leave a mount namespace\"");
	} else {
		e = spawn_here(runtime_argv(o, rt, argv, started), dir, env, fds, n_fds, pipefd[1], &pid);
	}
	if (out)
		close(pipefd[1]);
	if (e) {
		e = orlop_fail(err, -e, 0, "", "cannot start %s: %s", argv[0], strerrordesc_np(-e));
	} else {
		status = wait_here(pid, pipefd[0], out);
		if (out)
			proc_first_line(out, line, sizeof(line));
		if (status)
			e = orlop_fail(err, EIO, 0, "", "%s", out ? line : "it failed");
	}
	if (out)
		close(pipefd[0]);
	return e;
}
