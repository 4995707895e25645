/*
 * fakenet.c - the fake host's descriptors, sockets and processes. These are real: poll(2) runs in
 * the turns of the fake loop. Children can be scripted instead (fakehost_spawn_hook).
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <unistd.h>

#include <orlop/inline/error.h>

/* ---- descriptors ----------------------------------------------------------------------------------- */

struct orlop_fdwatch {
	struct olist	node;
	struct fakehost	*fh;
	struct fakehost_module *m;	/* NULL: ours */
	int32_t		fd;
	uint32_t	events;
	orlop_fd_fn	cb;
	void		*arg;
	uint64_t	id;
};

static struct orlop_fdwatch *watch_new(struct fakehost *fh, struct fakehost_module *m, int32_t fd,
				       uint32_t events, orlop_fd_fn cb, void *arg)
{
	struct orlop_fdwatch *w = fake_alloc(sizeof(*w));

	w->fh = fh;
	w->m = m;
	w->fd = fd;
	w->events = events;
	w->cb = cb;
	w->arg = arg;
	w->id = ++fh->seq;
	olist_append(&fh->watches, &w->node);
	return w;
}

static int h_fd_watch(const struct orlop_host *h, int32_t fd, uint32_t events, orlop_fd_fn cb,
		      void *arg, struct orlop_fdwatch **ret)
{
	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	*ret = watch_new(fake_priv(h)->fh, fake_priv(h)->m, fd, events, cb, arg);
	return 0;
}

static void h_fd_update(struct orlop_fdwatch *w, uint32_t events)
{
	w->events = events;
}

static void h_fd_unwatch(struct orlop_fdwatch *w)
{
	if (!w)
		return;
	olist_del(&w->node);
	free(w);
}

bool fake_net_busy(struct fakehost *fh)
{
	return !olist_empty(&fh->watches);
}

static struct orlop_fdwatch *watch_find(struct fakehost *fh, uint64_t id)
{
	OLIST_FOREACH(at, &fh->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(at, struct orlop_fdwatch, node);

		if (w->id == id)
			return w;
	}
	return NULL;
}

uint32_t fake_net_poll(struct fakehost *fh, int timeout_ms)
{
	uint32_t n = 1, i = 1, ran = 0;
	struct pollfd *v;
	uint64_t *ids, count;

	OLIST_FOREACH(at, &fh->watches)
		n++;
	v = fake_alloc(n * sizeof(*v));
	ids = fake_alloc(n * sizeof(*ids));
	v[0] = (struct pollfd){ .fd = fh->wake_fd, .events = POLLIN };
	OLIST_FOREACH(at, &fh->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(at, struct orlop_fdwatch, node);

		v[i].fd = w->fd;
		v[i].events = (short)((w->events & ORLOP_FD_READ ? POLLIN : 0) |
				      (w->events & ORLOP_FD_WRITE ? POLLOUT : 0));
		if (!w->events)
			v[i].fd = -1;
		ids[i++] = w->id;
	}
	if (poll(v, n, timeout_ms) > 0) {
		if (v[0].revents && read(fh->wake_fd, &count, sizeof(count)) > 0)
			ran++;
		for (i = 1; i < n; i++) {
			struct orlop_fdwatch *w = v[i].revents ? watch_find(fh, ids[i]) : NULL;
			uint32_t ev = 0;

			if (!w)
				continue;
			if (v[i].revents & (POLLIN | POLLHUP | POLLERR) && w->events & ORLOP_FD_READ)
				ev |= ORLOP_FD_READ;
			if (v[i].revents & (POLLOUT | POLLERR) && w->events & ORLOP_FD_WRITE)
				ev |= ORLOP_FD_WRITE;
			if (v[i].revents & (POLLHUP | POLLERR))
				ev |= ORLOP_FD_HUP;
			if (!ev)
				continue;
			w->cb(w->arg, w->fd, ev);
			ran++;
		}
	}
	free(v);
	free(ids);
	return ran;
}

/* ---- sockets ------------------------------------------------------------------------------------------ */

union any_addr {
	struct sockaddr		sa;
	struct sockaddr_storage	storage;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
	struct sockaddr_un	un;
};

/* "HOST:PORT", "[ADDRESS]:PORT", "unix:PATH". 0 or -EINVAL. */
static int addr_parse(const char *text, union any_addr *ret, socklen_t *ret_len)
{
	char host[256];
	const char *colon = strrchr(text, ':');
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "unix:", 5) == 0) {
		ret->un.sun_family = AF_UNIX;
		if (strlen(text + 5) >= sizeof(ret->un.sun_path))
			return -EINVAL;
		memcpy(ret->un.sun_path, text + 5, strlen(text + 5));
		*ret_len = sizeof(ret->un);
		return 0;
	}
	if (!colon)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (n && text[0] == '[') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &ai))
		return -EINVAL;
	memcpy(ret, ai->ai_addr, ai->ai_addrlen);
	*ret_len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

static void addr_print(const union any_addr *a, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET)
		snprintf(buf, size, "%s:%u", inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof(text)),
			 ntohs(a->in.sin_port));
	else if (a->sa.sa_family == AF_INET6)
		snprintf(buf, size, "[%s]:%u", inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text)),
			 ntohs(a->in6.sin6_port));
	else
		snprintf(buf, size, "unix:%s", a->un.sun_path);
}

static void socket_tune(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

struct orlop_listener {
	struct olist	node;
	struct fakehost_module *m;
	struct orlop_fdwatch *w;
	int		fd;
	bool		shared;		/* another shard's socket, dup'ed */
	char		*asked;
	char		addr[128];
	orlop_accept_fn	cb;
	void		*arg;
};

static void listener_ready(void *arg, int32_t fd, uint32_t events)
{
	struct orlop_listener *l = arg;
	union any_addr a;
	socklen_t len = sizeof(a);
	char peer[128];
	int c;

	(void)events;
	memset(&a, 0, sizeof(a));
	c = accept4(fd, &a.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c < 0)
		return;
	socket_tune(c);
	addr_print(&a, peer, sizeof(peer));
	l->cb(l->arg, c, peer);
}

static int listen_open(const char *addr, struct orlop_error *err)
{
	union any_addr a;
	socklen_t len;
	int fd, one = 1, r;

	if (addr_parse(addr, &a, &len))
		return orlop_fail(err, EINVAL, 0, "", "listen on \"%s\": not an address", addr);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "listen on \"%s\"", addr);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.sa.sa_family == AF_UNIX)
		(void)unlink(a.un.sun_path);
	if (bind(fd, &a.sa, len) || listen(fd, 128)) {
		r = errno;
		(void)close(fd);
		return orlop_fail(err, r, 0, "", "listen on \"%s\"", addr);
	}
	return fd;
}

static int h_listen(const struct orlop_host *h, const char *addr, orlop_accept_fn cb, void *arg,
		    struct orlop_listener **ret, struct orlop_error *err)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct orlop_listener *l;
	union any_addr a;
	socklen_t len = sizeof(a);
	int fd = -1;

	OLIST_FOREACH(at, &fh->listeners) {
		struct orlop_listener *x = OLIST_ENTRY(at, struct orlop_listener, node);

		if (x->m == fake_priv(h)->m && strcmp(x->asked, addr) == 0)
			fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 3);
	}
	if (fd < 0)
		fd = listen_open(addr, err);
	if (fd < 0)
		return fd;
	l = fake_alloc(sizeof(*l));
	l->m = fake_priv(h)->m;
	l->fd = fd;
	l->cb = cb;
	l->arg = arg;
	l->asked = fake_strdup(addr);
	memset(&a, 0, sizeof(a));
	(void)getsockname(fd, &a.sa, &len);
	addr_print(&a, l->addr, sizeof(l->addr));
	l->w = watch_new(fh, NULL, fd, ORLOP_FD_READ, listener_ready, l);
	olist_append(&fh->listeners, &l->node);
	*ret = l;
	return 0;
}

static void h_listener_addr(struct orlop_listener *l, char *buf, size_t size)
{
	snprintf(buf, size, "%s", l->addr);
}

static void h_listener_close(struct orlop_listener *l)
{
	if (!l)
		return;
	olist_del(&l->node);
	h_fd_unwatch(l->w);
	(void)close(l->fd);
	free(l->asked);
	free(l);
}

struct fake_connect {
	struct fakehost_module *m;
	const struct orlop_host *h;
	struct orlop_fdwatch *w;
	struct orlop_timer *t;
	int		fd;
	int		status;
	orlop_connect_fn cb;
	void		*arg;
};

static void connect_end(void *arg)
{
	struct fake_connect *c = arg;
	orlop_connect_fn cb = c->cb;
	void *cb_arg = c->arg;
	int fd = c->fd;

	h_fd_unwatch(c->w);
	c->h->timer_free(c->t);
	if (c->status) {
		if (fd >= 0)
			(void)close(fd);
		fd = c->status;
	}
	free(c);
	cb(cb_arg, fd);
}

static void connect_ready(void *arg, int32_t fd, uint32_t events)
{
	struct fake_connect *c = arg;
	socklen_t len = sizeof(c->status);
	int e = 0;

	(void)events;
	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	c->status = -e;
	connect_end(c);
}

static void connect_late(void *arg)
{
	((struct fake_connect *)arg)->status = -ETIMEDOUT;
	connect_end(arg);
}

static int h_connect(const struct orlop_host *h, const char *addr, uint64_t timeout_ns,
		     orlop_connect_fn cb, void *arg)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct fake_connect *c = fake_alloc(sizeof(*c));
	union any_addr a;
	socklen_t len;

	c->h = h;
	c->m = fake_priv(h)->m;
	c->cb = cb;
	c->arg = arg;
	c->fd = -1;
	c->status = addr_parse(addr, &a, &len);
	if (c->status == 0) {
		c->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		socket_tune(c->fd);
		if (connect(c->fd, &a.sa, len) < 0)
			c->status = -errno;
		if (c->status == -EINPROGRESS) {
			c->status = 0;
			c->w = watch_new(fh, NULL, c->fd, ORLOP_FD_WRITE, connect_ready, c);
			c->t = fake_timer(fh, NULL, connect_late, c);
			if (timeout_ns)
				h->timer_set(c->t, timeout_ns, 0);
			return 0;
		}
	}
	fake_post(fh, NULL, connect_end, c);
	return 0;
}

/* ---- processes -------------------------------------------------------------------------------------------- */

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
	h_fd_unwatch(c->w);
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
	h_fd_unwatch(c->w);
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
	c->w = watch_new(c->fh, NULL, c->pidfd, ORLOP_FD_READ, child_ready, c);
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

uint32_t fake_net_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->watches)
		n += OLIST_ENTRY(at, struct orlop_fdwatch, node)->m == m;
	OLIST_FOREACH(at, &fh->children)
		n += OLIST_ENTRY(at, struct orlop_child, node)->m == m;
	OLIST_FOREACH(at, &fh->listeners)
		n += OLIST_ENTRY(at, struct orlop_listener, node)->m == m;
	return n;
}

uint32_t fake_net_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = fake_net_held(fh, m);

	OLIST_FOREACH_SAFE(at, next, &fh->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(at, struct orlop_fdwatch, node);

		if (w->m == m)
			h_fd_unwatch(w);
	}
	OLIST_FOREACH_SAFE(at, next, &fh->listeners) {
		struct orlop_listener *l = OLIST_ENTRY(at, struct orlop_listener, node);

		if (l->m == m)
			h_listener_close(l);
	}
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

void fake_net_fill(struct orlop_host *h)
{
	h->fd_watch = h_fd_watch;
	h->fd_update = h_fd_update;
	h->fd_unwatch = h_fd_unwatch;
	h->listen = h_listen;
	h->listener_addr = h_listener_addr;
	h->listener_close = h_listener_close;
	h->connect = h_connect;
	h->spawn = h_spawn;
	h->child_pid = h_child_pid;
	h->child_kill = h_child_kill;
	h->child_free = h_child_free;
}
