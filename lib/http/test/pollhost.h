/*
 * pollhost - a host of poll(2) for tests of lib/http: real sockets, real time, one loop.
 *
 * Only what lib/http takes from the table; the loop runs until a condition holds or time is up.
 */
#ifndef OLIB_HTTP_TEST_POLLHOST_H
#define OLIB_HTTP_TEST_POLLHOST_H

#include <orlop/host.h>
#include <orlop/inline/error.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct orlop_fdwatch {
	struct orlop_fdwatch	*next;
	int			fd;
	uint32_t		events;
	orlop_fd_fn		cb;
	void			*arg;
	bool			gone;
};

struct orlop_timer {
	struct orlop_timer	*next;
	uint64_t		at;
	uint64_t		repeat;
	orlop_cb		cb;
	void			*arg;
	bool			gone;
};

struct orlop_listener {
	int			fd;
	orlop_accept_fn		cb;
	void			*arg;
	struct orlop_fdwatch	*w;
	char			addr[64];
};

static struct {
	struct orlop_fdwatch	*watches;
	struct orlop_timer	*timers;
	uint64_t		skew;		/* added to the clock: time passes when a test says so */
} ph;

static uint64_t ph_mono(const struct orlop_host *h)
{
	struct timespec ts;

	(void)h;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec + ph.skew;
}

static uint64_t ph_wall(const struct orlop_host *h)
{
	struct timespec ts;

	(void)h;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int ph_timer_new(const struct orlop_host *h, orlop_cb cb, void *arg, struct orlop_timer **ret)
{
	struct orlop_timer *t = calloc(1, sizeof(*t));

	(void)h;
	t->cb = cb;
	t->arg = arg;
	t->next = ph.timers;
	ph.timers = t;
	*ret = t;
	return 0;
}

static void ph_timer_set(struct orlop_timer *t, uint64_t delay, uint64_t repeat)
{
	t->at = ph_mono(NULL) + delay;
	t->repeat = repeat;
}

static void ph_timer_clear(struct orlop_timer *t)
{
	t->at = 0;
}

static void ph_timer_free(struct orlop_timer *t)
{
	if (t) {
		t->at = 0;
		t->gone = true;
	}
}

static int ph_fd_watch(const struct orlop_host *h, int32_t fd, uint32_t events, orlop_fd_fn cb, void *arg,
		       struct orlop_fdwatch **ret)
{
	struct orlop_fdwatch *w = calloc(1, sizeof(*w));

	(void)h;
	w->fd = fd;
	w->events = events;
	w->cb = cb;
	w->arg = arg;
	w->next = ph.watches;
	ph.watches = w;
	*ret = w;
	return 0;
}

static void ph_fd_update(struct orlop_fdwatch *w, uint32_t events)
{
	w->events = events;
}

static void ph_fd_unwatch(struct orlop_fdwatch *w)
{
	if (w)
		w->gone = true;
}

static void ph_on_listen(void *arg, int32_t fd, uint32_t events)
{
	struct orlop_listener *l = arg;
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	char peer[64];
	int c;

	(void)events;
	while ((c = accept4(fd, (struct sockaddr *)&sin, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		int one = 1;

		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		snprintf(peer, sizeof(peer), "127.0.0.1:%d", ntohs(sin.sin_port));
		l->cb(l->arg, c, peer);
	}
}

static int ph_listen(const struct orlop_host *h, const char *addr, orlop_accept_fn cb, void *arg,
		     struct orlop_listener **ret, struct orlop_error *err)
{
	struct orlop_listener *l = calloc(1, sizeof(*l));
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	(void)addr;
	(void)err;
	l->cb = cb;
	l->arg = arg;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(l->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(l->fd, 4096) < 0)
		return -errno;
	getsockname(l->fd, (struct sockaddr *)&sin, &len);
	snprintf(l->addr, sizeof(l->addr), "127.0.0.1:%d", ntohs(sin.sin_port));
	*ret = l;
	return ph_fd_watch(h, l->fd, ORLOP_FD_READ, ph_on_listen, l, &l->w);
}

static void ph_listener_addr(struct orlop_listener *l, char *buf, size_t size)
{
	snprintf(buf, size, "%s", l->addr);
}

static void ph_listener_close(struct orlop_listener *l)
{
	ph_fd_unwatch(l->w);
	close(l->fd);
	free(l);
}

static int ph_dial(const char *addr)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)atoi(strrchr(addr, ':') + 1));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

struct ph_connecting {
	orlop_connect_fn	cb;
	void			*arg;
	int			fd;
	struct orlop_timer	*t;
};

static void ph_connected(void *arg)
{
	struct ph_connecting *p = arg;
	orlop_connect_fn cb = p->cb;
	void *cb_arg = p->arg;
	int fd = p->fd;

	ph_timer_free(p->t);
	free(p);
	cb(cb_arg, fd);
}

static int ph_connect(const struct orlop_host *h, const char *addr, uint64_t timeout, orlop_connect_fn cb,
		      void *arg)
{
	struct ph_connecting *p = calloc(1, sizeof(*p));

	(void)timeout;
	p->cb = cb;
	p->arg = arg;
	p->fd = ph_dial(addr);
	if (p->fd >= 0)
		fcntl(p->fd, F_SETFL, O_NONBLOCK);
	ph_timer_new(h, ph_connected, p, &p->t);
	ph_timer_set(p->t, 0, 0);
	return 0;
}

static const struct orlop_host ph_host = {
	.size = sizeof(struct orlop_host),
	.instance = "test",
	.n_shards = 1,
	.now_mono = ph_mono,
	.now_boot = ph_mono,
	.now_wall = ph_wall,
	.timer_new = ph_timer_new,
	.timer_set = ph_timer_set,
	.timer_clear = ph_timer_clear,
	.timer_free = ph_timer_free,
	.fd_watch = ph_fd_watch,
	.fd_update = ph_fd_update,
	.fd_unwatch = ph_fd_unwatch,
	.listen = ph_listen,
	.listener_addr = ph_listener_addr,
	.listener_close = ph_listener_close,
	.connect = ph_connect,
};

static void ph_reap(void)
{
	for (struct orlop_fdwatch **p = &ph.watches; *p;) {
		struct orlop_fdwatch *w = *p;

		if (w->gone) {
			*p = w->next;
			free(w);
		} else {
			p = &w->next;
		}
	}
	for (struct orlop_timer **p = &ph.timers; *p;) {
		struct orlop_timer *t = *p;

		if (t->gone) {
			*p = t->next;
			free(t);
		} else {
			p = &t->next;
		}
	}
}

/* One round: waits at most @ms. */
static void ph_turn(int ms)
{
	static struct pollfd fds[8192];
	static struct orlop_fdwatch *ws[8192];
	uint64_t now = ph_mono(NULL);
	size_t n = 0;

	ph_reap();
	for (struct orlop_fdwatch *w = ph.watches; w && n < 8192; w = w->next) {
		fds[n].fd = w->fd;
		fds[n].events = (short)((w->events & ORLOP_FD_READ ? POLLIN : 0) |
					(w->events & ORLOP_FD_WRITE ? POLLOUT : 0));
		if (!w->events)
			fds[n].fd = -1;
		ws[n++] = w;
	}
	for (struct orlop_timer *t = ph.timers; t; t = t->next)
		if (t->at && (t->at <= now || (t->at - now) / 1000000 < (uint64_t)ms))
			ms = t->at <= now ? 0 : (int)((t->at - now) / 1000000) + 1;
	(void)poll(fds, n, ms);
	for (size_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && fds[i].revents && !ws[i]->gone)
			ws[i]->cb(ws[i]->arg, ws[i]->fd,
				  (fds[i].revents & POLLIN ? ORLOP_FD_READ : 0u) |
				  (fds[i].revents & POLLOUT ? ORLOP_FD_WRITE : 0u) |
				  (fds[i].revents & (POLLHUP | POLLERR) ? ORLOP_FD_HUP : 0u));
	now = ph_mono(NULL);
	for (struct orlop_timer *t = ph.timers; t; t = t->next)
		if (!t->gone && t->at && t->at <= now) {
			t->at = t->repeat ? now + t->repeat : 0;
			t->cb(t->arg);
		}
}

/* Runs until @cond() or 40 s, less than the runner gives a test. */
static bool ph_until(bool (*cond)(void *arg), void *arg)
{
	uint64_t end = ph_mono(NULL) + UINT64_C(40000000000);

	while (!cond(arg)) {
		if (ph_mono(NULL) > end)
			return false;
		ph_turn(2);	/* the test's own sockets are not watched */
	}
	return true;
}

#endif
