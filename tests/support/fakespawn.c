/*
 * fakespawn.c - the fake host's processes. These are real, or scripted (fakehost_spawn_hook).
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>
struct orlop_child {
	struct olist	node;
	struct fakehost	*fh;
	struct fakehost_module *m;	/* NULL: forgotten */
	int32_t		pid;
	int		pidfd;		/* -1: scripted */
	struct orlop_fdwatch *w;
	orlop_exit_fn	exit;
	void		*arg;
	int32_t		code;
	int32_t		sig;
	int32_t		last_signal;
	bool		ended;
	bool		posted;
	bool		freed;		/* by the module, while an exit is under way */
};

static void child_drop(struct orlop_child *c)
{
	olist_del(&c->node);
	fake_net_unwatch(c->w);
	if (c->pidfd >= 0)
		(void)close(c->pidfd);
	free(c);
}

static void child_ended(void *arg)
{
	struct orlop_child *c = arg;

	c->posted = false;
	if (c->freed) {
		child_drop(c);
		return;
	}
	if (c->exit)
		c->exit(c->arg, c->code, c->sig);
}

static void child_end(struct orlop_child *c, int32_t code, int32_t sig)
{
	if (c->ended)
		return;
	c->ended = true;
	c->code = code;
	c->sig = sig;
	c->posted = true;
	fake_post(c->fh, NULL, child_ended, c);
}

static void child_ready(void *arg, int32_t fd, uint32_t events)
{
	struct orlop_child *c = arg;
	int status;

	(void)fd;
	(void)events;
	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	fake_net_unwatch(c->w);
	c->w = NULL;
	child_end(c, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
		  WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* In the child, after fork: the test is single-threaded enough. */
__attribute__((noreturn))
static void child_exec(const struct orlop_spawn *s, int report)
{
	static const char *const plain[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
	};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint32_t n = s->n_fds < 3 ? 3 : s->n_fds;
	int fds[64];
	int e;

	for (uint32_t i = 0; i < n && i < 64; i++) {
		int fd = i < s->n_fds && s->fds[i] >= 0 ? s->fds[i] : null_fd;

		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	}
	for (uint32_t i = 0; i < n && i < 64; i++)
		if (dup2(fds[i], (int)i) < 0)
			goto failed;
	if (s->flags & ORLOP_SPAWN_SETSID)
		(void)setsid();
	if (s->flags & (ORLOP_SPAWN_NEWNS | ORLOP_SPAWN_HIDE_UNIFIED)) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			goto failed;
	}
	if (s->flags & ORLOP_SPAWN_HIDE_UNIFIED)
		(void)umount2("/sys/fs/cgroup/unified", MNT_DETACH);
	(void)umask(s->umask ? s->umask : 022);
	if (chdir(s->cwd ? s->cwd : "/"))
		goto failed;
	(void)execve(s->argv[0], (char *const *)(uintptr_t)s->argv,
		     (char *const *)(uintptr_t)(s->env ? s->env : plain));
failed:
	e = errno;
	if (write(report, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

static int spawn_real(const struct orlop_spawn *s, struct orlop_child *c, struct orlop_error *err)
{
	int p[2], e = 0;

	if (pipe2(p, O_CLOEXEC))
		return -errno;
	if (p[1] < 100) {	/* out of the way of what the child places */
		int high = fcntl(p[1], F_DUPFD_CLOEXEC, 200);

		(void)close(p[1]);
		p[1] = high;
	}
	(void)fflush(stdout);
	c->pid = fork();
	if (c->pid == 0)
		child_exec(s, p[1]);
	(void)close(p[1]);
	if (c->pid < 0) {
		(void)close(p[0]);
		return -errno;
	}
	if (read(p[0], &e, sizeof(e)) != sizeof(e))
		e = 0;
	(void)close(p[0]);
	if (e) {
		(void)waitpid(c->pid, NULL, 0);
		return orlop_fail(err, e, 0, "", "start %s", s->argv[0]);
	}
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0)
		fake_die("pidfd_open: errno %d", errno);
	(void)fcntl(c->pidfd, F_SETFD, FD_CLOEXEC);
	c->w = fake_net_watch(c->fh, NULL, c->pidfd, ORLOP_FD_READ, child_ready, c);
	return 0;
}

static int h_spawn(const struct orlop_host *h, const struct orlop_spawn *s, orlop_exit_fn exit_fn,
		   void *arg, struct orlop_child **ret, struct orlop_error *err)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct orlop_child *c = fake_alloc(sizeof(*c));
	int32_t code = 0, sig = 0;
	int r;

	c->fh = fh;
	c->m = fake_priv(h)->m;
	c->pidfd = -1;
	c->exit = exit_fn;
	c->arg = arg;
	olist_append(&fh->children, &c->node);
	if (fh->spawn_fn) {
		c->pid = fh->next_pid++;
		r = fh->spawn_fn(fh->spawn_arg, s, c->pid, &code, &sig);
		if (r == 0)
			child_end(c, code, sig);
		if (r < 0)
			(void)orlop_fail(err, -r, 0, "", "start %s", s->argv[0]);
	} else {
		r = spawn_real(s, c, err);
	}
	if (r < 0) {
		child_drop(c);
		return r;
	}
	*ret = c;
	return 0;
}

static int32_t h_child_pid(struct orlop_child *c)
{
	return c->pid;
}

static int h_child_kill(struct orlop_child *c, int32_t sig)
{
	if (c->ended)
		return -ESRCH;
	c->last_signal = sig;
	if (c->pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
	if (sig == SIGKILL)
		child_end(c, 0, SIGKILL);
	return 0;
}

/* A real child that is forgotten is still reaped when it ends. */
static void h_child_free(struct orlop_child *c)
{
	if (!c)
		return;
	c->exit = NULL;
	c->m = NULL;
	c->freed = true;
	if (c->posted || (c->pidfd >= 0 && !c->ended))
		return;
	child_drop(c);
}

void fakehost_spawn_hook(struct fakehost *fh, fakehost_spawn_fn fn, void *arg)
{
	fh->spawn_fn = fn;
	fh->spawn_arg = arg;
}

static struct orlop_child *child_find(struct fakehost *fh, int32_t pid)
{
	OLIST_FOREACH(at, &fh->children) {
		struct orlop_child *c = OLIST_ENTRY(at, struct orlop_child, node);

		if (c->pid == pid)
			return c;
	}
	return NULL;
}

void fakehost_child_exit(struct fakehost *fh, int32_t pid, int32_t code, int32_t sig)
{
	struct orlop_child *c = child_find(fh, pid);

	if (c)
		child_end(c, code, sig);
}

int32_t fakehost_child_signal(struct fakehost *fh, int32_t pid)
{
	struct orlop_child *c = child_find(fh, pid);

	return c ? c->last_signal : 0;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

uint32_t fake_spawn_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->children)
		n += OLIST_ENTRY(at, struct orlop_child, node)->m == m;
	return n;
}

uint32_t fake_spawn_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = fake_spawn_held(fh, m);

	OLIST_FOREACH_SAFE(at, next, &fh->children) {
		struct orlop_child *c = OLIST_ENTRY(at, struct orlop_child, node);
		bool ours = c->m == m || (m == fh->test && !c->m);

		if (!ours)
			continue;
		if (c->pidfd >= 0 && !c->ended) {
			(void)h_child_kill(c, SIGKILL);
			(void)waitpid(c->pid, NULL, 0);
			c->ended = true;
		}
		if (c->posted)
			h_child_free(c);
		else
			child_drop(c);
	}
	return n;
}

void fake_spawn_fill(struct orlop_host *h)
{
	h->spawn = h_spawn;
	h->child_pid = h_child_pid;
	h->child_kill = h_child_kill;
	h->child_free = h_child_free;
}
