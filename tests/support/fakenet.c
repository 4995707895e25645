/*
 * fakenet.c - the fake host's descriptors and sockets. These are real: poll(2) runs in the turns of the
 * fake loop.
 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

struct orlop_fdwatch *fake_net_watch(struct fakehost *fh, struct fakehost_module *m, int32_t fd,
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
	*ret = fake_net_watch(fake_priv(h)->fh, fake_priv(h)->m, fd, events, cb, arg);
	return 0;
}

static void h_fd_update(struct orlop_fdwatch *w, uint32_t events)
{
	w->events = events;
}

void fake_net_unwatch(struct orlop_fdwatch *w)
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
	l->w = fake_net_watch(fh, NULL, fd, ORLOP_FD_READ, listener_ready, l);
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
	fake_net_unwatch(l->w);
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

	fake_net_unwatch(c->w);
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
			c->w = fake_net_watch(fh, NULL, c->fd, ORLOP_FD_WRITE, connect_ready, c);
			c->t = fake_timer(fh, NULL, connect_late, c);
			if (timeout_ns)
				h->timer_set(c->t, timeout_ns, 0);
			return 0;
		}
	}
	fake_post(fh, NULL, connect_end, c);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

uint32_t fake_net_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->watches)
		n += OLIST_ENTRY(at, struct orlop_fdwatch, node)->m == m;
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
			fake_net_unwatch(w);
	}
	OLIST_FOREACH_SAFE(at, next, &fh->listeners) {
		struct orlop_listener *l = OLIST_ENTRY(at, struct orlop_listener, node);

		if (l->m == m)
			h_listener_close(l);
	}
	return n;
}

void fake_net_fill(struct orlop_host *h)
{
	h->fd_watch = h_fd_watch;
	h->fd_update = h_fd_update;
	h->fd_unwatch = fake_net_unwatch;
	h->listen = h_listen;
	h->listener_addr = h_listener_addr;
	h->listener_close = h_listener_close;
	h->connect = h_connect;
}
