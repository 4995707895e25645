/*
 * connect.c - connecting without blocking: look-up on a worker, then each address in turn.
 */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/omem.h"
#include "net-types.h"

struct attempt {
	struct olist	held;		/* owner's list */
	struct core_loop *loop;
	struct core_owner *owner;
	orlop_connect_fn cb;
	void		*arg;
	struct orlop_timer *timer;
	struct orlop_fdwatch *watch;
	int		fd;		/* -1: none */
	int		result;		/* last error, -errno */
	bool		looking;	/* the worker has it */
	bool		answered;
	char		host[256];
	char		port[8];
	int		gai;		/* of getaddrinfo */
	struct addrinfo	*list;		/* all, NULL: unix */
	struct addrinfo	*next;		/* to be tried */
	struct sockaddr_un un;
	socklen_t	un_len;
};

static void attempt_next(struct attempt *a);

static void attempt_drop(struct attempt *a)
{
	core_fd_unwatch(a->watch);
	a->watch = NULL;
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
}

/* Answers once; frees unless the worker still has it. */
static void attempt_end(struct attempt *a, int result)
{
	int fd = -1;

	core_fd_unwatch(a->watch);
	a->watch = NULL;
	if (result >= 0) {
		fd = a->fd;
		a->fd = -1;
	}
	attempt_drop(a);
	core_timer_free(a->timer);
	a->timer = NULL;
	if (!a->answered) {
		a->answered = true;
		olist_del(&a->held);
		core_owner_dec(a->owner, CORE_HELD_CONNECT);
		a->cb(a->arg, result >= 0 ? fd : result);
	}
	if (a->looking)
		return;
	if (a->list)
		freeaddrinfo(a->list);
	omem_free(a);
}

static void attempt_event(void *arg, int32_t fd, uint32_t events)
{
	struct attempt *a = arg;
	socklen_t len = sizeof(int);
	int e = 0;

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e == 0) {
		attempt_end(a, 0);
		return;
	}
	a->result = -e;
	attempt_drop(a);
	attempt_next(a);
}

/* 1: under way or answered, 0: failed with a->result. */
static int attempt_one(struct attempt *a, const struct sockaddr *sa, socklen_t len)
{
	int on = 1;
	int r;

	a->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0) {
		a->result = -errno;
		return 0;
	}
	if (sa->sa_family != AF_UNIX)
		(void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(a->fd, sa, len) == 0 || errno == EINPROGRESS) {
		/* Even if it is connected: the answer comes from the loop. */
		r = core_fd_watch(a->loop, NULL, a->fd, ORLOP_FD_WRITE, attempt_event, a, &a->watch);
		if (r == 0)
			return 1;
		a->result = r;
	} else {
		a->result = -errno;
	}
	attempt_drop(a);
	return 0;
}

static void attempt_next(struct attempt *a)
{
	while (a->next) {
		struct addrinfo *ai = a->next;

		a->next = ai->ai_next;
		if (attempt_one(a, ai->ai_addr, ai->ai_addrlen))
			return;
	}
	attempt_end(a, a->result);
}

/* On a worker. */
static void look_up(void *arg)
{
	struct attempt *a = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };

	a->gai = getaddrinfo(a->host, a->port, &hints, &a->list);
	if (a->gai)
		a->list = NULL;
}

static void looked_up(void *arg)
{
	struct attempt *a = arg;

	a->looking = false;
	if (a->answered) {
		attempt_end(a, -ECANCELED);
		return;
	}
	if (a->gai) {
		attempt_end(a, a->gai == EAI_MEMORY ? -ENOMEM : a->gai == EAI_AGAIN ? -EAGAIN : -ENOENT);
		return;
	}
	a->next = a->list;
	attempt_next(a);
}

static void attempt_late(void *arg)
{
	attempt_end(arg, -ETIMEDOUT);
}

static void attempt_start(void *arg)
{
	struct attempt *a = arg;

	if (a->answered) {
		a->looking = false;
		attempt_end(a, -ECANCELED);
		return;
	}
	a->looking = false;
	if (a->un_len) {
		if (!attempt_one(a, (struct sockaddr *)&a->un, a->un_len))
			attempt_end(a, a->result);
	} else {
		attempt_next(a);
	}
}

int core_net_connect(struct core_net *n, struct core_loop *l, struct core_owner *o, const char *addr,
		     uint64_t timeout_ns, orlop_connect_fn cb, void *arg)
{
	struct attempt *a = OMEM_NEW(struct attempt);
	int r;

	if (!a)
		return -ENOMEM;
	a->loop = l;
	a->owner = o;
	a->cb = cb;
	a->arg = arg;
	a->fd = -1;
	a->result = -EADDRNOTAVAIL;
	olist_init(&a->held);
	r = core_timer_new(l, NULL, attempt_late, a, &a->timer);
	if (r)
		goto fail;
	if (strncmp(addr, "unix:", 5) == 0)
		r = core_net_unix_addr(addr + 5, &a->un, &a->un_len);
	else
		r = core_net_split(addr, a->host, sizeof(a->host), a->port, sizeof(a->port));
	if (r)
		goto fail;
	if (!a->un_len) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };

		/* A numeric address needs no worker. */
		if (getaddrinfo(a->host, a->port, &hints, &a->list))
			a->list = NULL;
		a->next = a->list;
	}
	/* From here on "looking" says that somebody will come back with the attempt. */
	a->looking = true;
	if (a->un_len || a->list)
		r = core_loop_post(l, attempt_start, a);
	else
		r = core_work(n->lookups, l, NULL, 0, look_up, looked_up, a);
	if (r)
		goto fail;
	if (o)
		olist_append(&o->list[CORE_HELD_CONNECT], &a->held);
	core_owner_inc(o, CORE_HELD_CONNECT);
	if (timeout_ns && timeout_ns != UINT64_MAX)
		core_timer_set(a->timer, timeout_ns, 0);
	return 0;
fail:
	core_timer_free(a->timer);
	if (a->list)
		freeaddrinfo(a->list);
	omem_free(a);
	return r;
}

uint32_t core_net_cancel_connects(struct core_owner *o)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&o->list[CORE_HELD_CONNECT]))) {
		attempt_end(OLIST_ENTRY(n, struct attempt, held), -ECANCELED);
		count++;
	}
	return count;
}
