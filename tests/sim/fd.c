/*
 * fd.c - descriptors that no kernel knows: eventfd, epoll, sockets; who watches them.
 *
 * Their numbers are above all real ones. Sockets can be bound and listen; nothing ever arrives on them and
 * nobody can be reached: the network between machines is net.c's, at the level of requests.
 */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/omem.h"

static struct sim_fd *table[SIM_FD_MAX];
static int last = SIM_FD_FIRST;

struct sim_fd *sim_fd_get(int fd)
{
	return fd >= SIM_FD_FIRST && fd < SIM_FD_MAX ? table[fd] : NULL;
}

struct sim_fd *sim_fd_new(enum sim_fd_kind kind)
{
	struct sim_proc *p = sim_proc_here();
	struct sim_fd *f;
	int fd = last;

	if (!p)
		sim_die("a descriptor of the driver");
	do {
		if (++fd == SIM_FD_MAX)
			fd = SIM_FD_FIRST;
		if (fd == last)
			sim_die("out of descriptors");
	} while (table[fd]);
	f = OMEM_NEW(struct sim_fd);
	if (!f)
		sim_die("out of memory");
	last = fd;
	f->fd = fd;
	f->proc = p;
	f->kind = kind;
	olist_init(&f->watches);
	olist_init(&f->entries);
	olist_init(&f->queue);
	olist_append(&p->fds, &f->node);
	table[fd] = f;
	return f;
}

/* ---- watching ---------------------------------------------------------------------------------------- */

static void watch_pend(struct sim_watch *w)
{
	w->ready |= w->fd->ready & w->events;
	if (olist_empty(&w->pending))
		olist_append(w->queue, &w->pending);
	sim_wake(w->fd->proc, w->waiter, true);
}

void sim_fd_ready(struct sim_fd *f, uint32_t ready)
{
	f->ready = ready;
	OLIST_FOREACH(n, &f->watches) {
		struct sim_watch *w = OLIST_ENTRY(n, struct sim_watch, of_fd);

		if (w->events & ready)
			watch_pend(w);
	}
}

void sim_watch_add(struct sim_watch *w, struct sim_fd *f, uint32_t events, struct olist *queue,
		   const void *waiter)
{
	w->fd = f;
	w->events = events;
	w->ready = 0;
	w->queue = queue;
	w->waiter = waiter;
	olist_init(&w->pending);
	olist_append(&f->watches, &w->of_fd);
	if (f->ready & events)
		watch_pend(w);
}

void sim_watch_del(struct sim_watch *w)
{
	olist_del(&w->of_fd);
	olist_del(&w->pending);
	w->fd = NULL;
}

void sim_watch_again(struct sim_watch *w)
{
	if (w->fd && (w->fd->ready & w->events))
		watch_pend(w);
}

/* ---- epoll --------------------------------------------------------------------------------------------- */

struct entry {
	struct olist	node;		/* epoll's entries */
	struct sim_watch watch;
	epoll_data_t	data;
};

static void entry_free(struct entry *e)
{
	olist_del(&e->node);
	sim_watch_del(&e->watch);
	omem_free(e);
}

void sim_fd_free(struct sim_fd *f)
{
	while (!olist_empty(&f->entries))
		entry_free(OLIST_ENTRY(olist_first(&f->entries), struct entry, node));
	while (!olist_empty(&f->watches))
		sim_watch_del(OLIST_ENTRY(olist_first(&f->watches), struct sim_watch, of_fd));
	if (f->kind == SIM_FD_QUEUE)
		sim_queue_free(f);
	olist_del(&f->node);
	table[f->fd] = NULL;
	omem_free(f);
}

static struct entry *entry_find(struct sim_fd *ep, const struct sim_fd *f)
{
	OLIST_FOREACH(n, &ep->entries)
		if (OLIST_ENTRY(n, struct entry, node)->watch.fd == f)
			return OLIST_ENTRY(n, struct entry, node);
	return NULL;
}

static struct sim_fd *fd_of(int fd, enum sim_fd_kind kind)
{
	struct sim_fd *f = sim_fd_get(fd);

	if (!f || f->kind != kind)
		sim_die("descriptor %d is not what it is used for", fd);
	return f;
}

SIM_OURS int epoll_create1(int flags)
{
	(void)flags;
	return sim_fd_new(SIM_FD_EPOLL)->fd;
}

static uint32_t events_of(uint32_t epoll)
{
	return (epoll & EPOLLIN ? 1 : 0) | (epoll & EPOLLOUT ? 2 : 0);
}

SIM_OURS int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct sim_fd *ep = fd_of(epfd, SIM_FD_EPOLL);
	struct sim_fd *f = sim_fd_get(fd);
	struct entry *e = f ? entry_find(ep, f) : NULL;

	if (!f) {
		errno = EBADF;
		return -1;
	}
	if ((op == EPOLL_CTL_ADD) == (e != NULL)) {
		errno = e ? EEXIST : ENOENT;
		return -1;
	}
	if (op == EPOLL_CTL_DEL) {
		entry_free(e);
		return 0;
	}
	if (op == EPOLL_CTL_ADD) {
		e = OMEM_NEW(struct entry);
		if (!e)
			sim_die("out of memory");
		olist_append(&ep->entries, &e->node);
	} else {
		sim_watch_del(&e->watch);
	}
	e->data = ev->data;
	e->watch.arg = e;
	sim_watch_add(&e->watch, f, events_of(ev->events), &ep->queue, ep);
	return 0;
}

SIM_OURS int epoll_wait(int epfd, struct epoll_event *ev, int max, int timeout_ms)
{
	struct sim_fd *ep = fd_of(epfd, SIM_FD_EPOLL);
	struct olist again;
	struct olist *n;
	int i = 0;

	if (!olist_empty(&ep->queue) || timeout_ms == 0)
		sim_yield();
	else
		(void)sim_block(ep, timeout_ms < 0 ? SIM_NEVER : sim_w->now + (uint64_t)timeout_ms * SIM_MS);
	olist_init(&again);
	olist_splice(&again, &ep->queue);
	while (i < max && (n = olist_shift(&again)) != NULL) {
		struct sim_watch *w = OLIST_ENTRY(n, struct sim_watch, pending);
		struct entry *e = w->arg;
		uint32_t got = w->fd->ready & w->events;

		w->ready = 0;
		if (!got)
			continue;
		ev[i].events = (got & 1 ? EPOLLIN : 0) | (got & 2 ? EPOLLOUT : 0);
		ev[i++].data = e->data;
		sim_watch_again(w);
	}
	olist_splice(&ep->queue, &again);
	return i;
}

/* ---- eventfd, and those that are never ready --------------------------------------------------------------- */

SIM_OURS int eventfd(unsigned count, int flags)
{
	struct sim_fd *f = sim_fd_new(SIM_FD_EVENT);

	(void)flags;
	f->count = count;
	f->ready = count ? 1 : 0;
	return f->fd;
}

SIM_OURS int inotify_init1(int flags)
{
	(void)flags;
	return sim_fd_new(SIM_FD_OTHER)->fd;
}

SIM_OURS int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	(void)fd;
	(void)path;
	(void)mask;
	return 1;
}

/* ---- sockets --------------------------------------------------------------------------------------------------- */

SIM_OURS int socket(int domain, int type, int protocol)
{
	if (!sim_proc_here())
		return (int)syscall(SYS_socket, domain, type, protocol);
	return sim_fd_new(SIM_FD_SOCKET)->fd;
}

SIM_OURS int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sim_fd *f = sim_fd_get(fd);

	if (!f)
		return (int)syscall(SYS_bind, fd, sa, len);
	f->addr_len = len < sizeof(f->addr) ? len : sizeof(f->addr);
	memcpy(f->addr, sa, f->addr_len);
	return 0;
}

SIM_OURS int listen(int fd, int backlog)
{
	return sim_fd_get(fd) ? 0 : (int)syscall(SYS_listen, fd, backlog);
}

SIM_OURS int getsockname(int fd, struct sockaddr *restrict sa, socklen_t *restrict len)
{
	struct sim_fd *f = sim_fd_get(fd);

	if (!f)
		return (int)syscall(SYS_getsockname, fd, sa, len);
	memcpy(sa, f->addr, *len < f->addr_len ? *len : f->addr_len);
	*len = f->addr_len;
	return 0;
}

SIM_OURS int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	return sim_fd_get(fd) ? 0 : (int)syscall(SYS_setsockopt, fd, level, name, val, len);
}

SIM_OURS int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (!sim_fd_get(fd))
		return (int)syscall(SYS_connect, fd, sa, len);
	errno = ECONNREFUSED;
	return -1;
}

SIM_OURS int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
	if (!sim_fd_get(fd))
		return (int)syscall(SYS_accept4, fd, sa, len, flags);
	errno = EAGAIN;
	return -1;
}

/* ---- read: only eventfd has something; the others of this kind are in disk.c ------------------------------------- */

SIM_OURS ssize_t read(int fd, void *buf, size_t len)
{
	struct sim_fd *f = sim_fd_get(fd);

	if (!f)
		return syscall(SYS_read, fd, buf, len);
	if (f->kind == SIM_FD_EVENT && f->count && len >= 8) {
		memcpy(buf, &f->count, 8);
		f->count = 0;
		sim_fd_ready(f, 0);
		return 8;
	}
	errno = EAGAIN;
	return -1;
}
