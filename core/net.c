/*
 * net.c - listening sockets.
 *
 * A socket belongs to the core and is known by its address text; it outlives the module that asked,
 * so that its successor finds the same one with the backlog in it. The main loop accepts and deals
 * connections in turn to all listeners of the socket, each on the loop it listens from. Those that are
 * held get none: while a module is replaced, connections wait in the backlog for whoever serves next.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "net-types.h"

#define ACCEPT_BUDGET	64		/* connections per turn of the main loop */
#define ACCEPT_PAUSE_NS	100000000u	/* after EMFILE and the like */

/* One listening socket. Under net->lock except where said. */
struct core_socket {
	struct olist	node;		/* net->sockets */
	struct core_net	*net;
	char		*addr;		/* as asked */
	char		*who;		/* who asked first */
	int		fd;
	uint32_t	n_listeners;
	uint32_t	n_held;		/* of them */
	uint32_t	n_delivered;	/* connections on their way to a listener: keep it alive */
	struct olist	waiting;	/* accepted when nobody took any; main loop only */
	struct olist	listeners;	/* turn: the first is next */
	struct core_post sync;		/* to the main loop: watch as many as listen */
	struct orlop_fdwatch *watch;	/* main loop only */
	struct orlop_timer *pause;	/* main loop only */
	bool		paused;		/* main loop only */
	bool		released;	/* to be freed by the main loop */
	uint32_t	lent;		/* to so many processes that accept from it, or will again */
	bool		borrowed;	/* it belongs to another process */
};

struct orlop_listener {
	struct olist	node;		/* socket->listeners; net->lock */
	struct olist	held;		/* owner's list */
	struct core_net	*net;
	struct core_socket *sock;	/* may be gone once closed */
	struct core_loop *loop;
	struct core_owner *owner;
	orlop_accept_fn	cb;
	void		*arg;
	uint32_t	refs;		/* itself and deliveries under way; net->lock */
	bool		on_hold;	/* gets no connections; net->lock */
	bool		closed;		/* its loop only */
};

struct delivery {
	struct core_post post;		/* back to the main loop, without memory */
	struct olist	node;		/* socket->waiting */
	struct orlop_listener *l;
	struct core_socket *sock;
	int		fd;
	char		peer[128];
};

/* ---- sockets: the main loop's side --------------------------------------------------------------- */

static void socket_sync(void *arg);

static void listener_unref_locked(struct orlop_listener *l)
{
	if (--l->refs == 0)
		omem_free(l);
}

static void socket_deal(struct core_socket *s, struct delivery *d);

static void delivery_free(struct delivery *d)
{
	struct core_socket *s = d->sock;

	pthread_mutex_lock(&s->net->lock);
	if (--s->n_delivered == 0 && s->released)
		(void)core_loop_post_node(s->net->main, &s->sync, socket_sync, s);
	pthread_mutex_unlock(&s->net->lock);
	omem_free(d);
}

static void deal_again(void *arg)
{
	struct delivery *d = arg;

	socket_deal(d->sock, d);
}

static void deliver(void *arg)
{
	struct delivery *d = arg;
	struct core_net *n = d->l->net;
	bool closed = d->l->closed;

	if (!closed)
		d->l->cb(d->l->arg, d->fd, d->peer);
	pthread_mutex_lock(&n->lock);
	listener_unref_locked(d->l);
	pthread_mutex_unlock(&n->lock);
	if (closed)	/* while it was on its way: to another */
		(void)core_loop_post_node(n->main, &d->post, deal_again, d);
	else
		delivery_free(d);
}

/* The next listener that takes connections; it is referenced. */
static struct orlop_listener *listener_next(struct core_socket *s)
{
	struct orlop_listener *l = NULL;

	pthread_mutex_lock(&s->net->lock);
	for (uint32_t i = 0; i < s->n_listeners && !l; i++) {
		struct olist *node = olist_shift(&s->listeners);

		olist_append(&s->listeners, node);
		l = OLIST_ENTRY(node, struct orlop_listener, node);
		if (l->on_hold)
			l = NULL;
	}
	if (l)
		l->refs++;
	pthread_mutex_unlock(&s->net->lock);
	return l;
}

/* Hands @d to the next listener, or keeps it until there is one. */
static void socket_deal(struct core_socket *s, struct delivery *d)
{
	d->l = listener_next(s);
	if (!d->l) {
		olist_append(&s->waiting, &d->node);
		return;
	}
	if (d->l->loop == s->net->main)
		deliver(d);
	else
		(void)core_loop_post_node(d->l->loop, &d->post, deliver, d);
}

/* A connection that was accepted. */
static void socket_accepted(struct core_socket *s, int fd)
{
	struct delivery *d = OMEM_NEW(struct delivery);

	if (!d) {
		(void)close(fd);
		return;
	}
	olist_init(&d->node);
	d->sock = s;
	d->fd = fd;
	core_net_name(fd, true, d->peer, sizeof(d->peer));
	if (!d->peer[0])
		(void)snprintf(d->peer, sizeof(d->peer), "unix:");
	pthread_mutex_lock(&s->net->lock);
	s->n_delivered++;
	pthread_mutex_unlock(&s->net->lock);
	socket_deal(s, d);
}

static void socket_unpause(void *arg)
{
	struct core_socket *s = arg;

	s->paused = false;
	if (s->watch)
		core_fd_update(s->watch, ORLOP_FD_READ);
	else
		socket_sync(s);
}

static void socket_event(void *arg, int32_t fd, uint32_t events)
{
	struct core_socket *s = arg;

	(void)events;
	for (int i = 0; i < ACCEPT_BUDGET && s->watch; i++) {
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (c >= 0) {
			socket_accepted(s, c);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			break;
		/* No descriptor or memory left: the connection stays in the backlog; look again soon. */
		if (s->pause && !s->paused) {
			s->paused = true;
			core_fd_update(s->watch, 0);
			core_timer_set(s->pause, ACCEPT_PAUSE_NS, 0);
		}
		break;
	}
}

static void waiting_close(struct core_socket *s)
{
	struct olist *n;

	while ((n = olist_shift(&s->waiting))) {
		struct delivery *d = OLIST_ENTRY(n, struct delivery, node);

		(void)close(d->fd);
		s->n_delivered--;
		omem_free(d);
	}
}

static void socket_free(struct core_socket *s)
{
	waiting_close(s);
	core_fd_unwatch(s->watch);
	core_timer_free(s->pause);
	if (s->borrowed)
		s->net->give_back(s->net->borrow_arg, s->addr);
	else if (strncmp(s->addr, "unix:", 5) == 0)
		(void)unlink(s->addr + 5);
	(void)close(s->fd);
	olist_del(&s->node);
	omem_free(s->addr);
	omem_free(s->who);
	omem_free(s);
}

/* Posted to the main loop: watch if somebody listens; free what was released. */
static void socket_sync(void *arg)
{
	struct core_socket *s = arg;
	struct core_net *n = s->net;
	struct olist again;
	struct olist *node;
	bool want;
	bool released;

	pthread_mutex_lock(&n->lock);
	want = s->n_listeners > s->n_held;
	if (s->released && s->n_listeners == 0)
		waiting_close(s);
	released = s->released && s->n_listeners == 0 && s->n_delivered == 0;
	if (released)
		socket_free(s);
	pthread_mutex_unlock(&n->lock);
	if (released)
		return;
	if (want && !s->watch) {
		/* Who listens has been told so: without memory it is tried again until there is some. */
		if (!s->pause && core_timer_new(s->net->main, NULL, socket_unpause, s, &s->pause))
			(void)core_loop_post_node(s->net->main, &s->sync, socket_sync, s);
		else if (core_fd_watch(s->net->main, NULL, s->fd, ORLOP_FD_READ, socket_event, s, &s->watch))
			core_timer_set(s->pause, ACCEPT_PAUSE_NS, 0);
	} else if (!want && s->watch) {
		core_fd_unwatch(s->watch);
		s->watch = NULL;
	}
	olist_init(&again);
	if (want)
		olist_splice(&again, &s->waiting);
	while ((node = olist_shift(&again)) != NULL)
		socket_deal(s, OLIST_ENTRY(node, struct delivery, node));
}

/* ---- listeners ------------------------------------------------------------------------------------- */

/* The socket of @addr that @who may have, or NULL. Lock held. */
static struct core_socket *socket_find(struct core_net *n, const char *addr, const char *who)
{
	size_t len = strlen(addr);
	bool any_port = len > 2 && strcmp(addr + len - 2, ":0") == 0;

	OLIST_FOREACH(node, &n->sockets) {
		struct core_socket *s = OLIST_ENTRY(node, struct core_socket, node);

		if (strcmp(s->addr, addr) == 0 && !s->released &&
		    (strcmp(s->who, who) == 0 || (!any_port && s->n_listeners == 0 && !s->lent)))
			return s;
	}
	return NULL;
}

static int socket_new(struct core_net *n, const char *addr, const char *who,
		      struct core_socket **ret, struct orlop_error *err)
{
	struct core_socket *s = OMEM_NEW(struct core_socket);
	int r = -ENOMEM;

	if (s) {
		s->net = n;
		s->fd = -1;
		s->addr = omem_strdup(addr);
		s->who = omem_strdup(who);
		olist_init(&s->listeners);
		olist_init(&s->waiting);
		s->borrowed = n->borrow != NULL;
		if (s->addr && s->who)
			r = n->borrow ? n->borrow(n->borrow_arg, addr, &s->fd, err) :
				core_net_bind(addr, &s->fd, err);
		else
			r = core_net_bind_fail(addr, ENOMEM, err);
	}
	if (r) {
		if (s) {
			omem_free(s->addr);
			omem_free(s->who);
			omem_free(s);
		}
		return r;
	}
	olist_append(&n->sockets, &s->node);
	*ret = s;
	return 0;
}

int core_net_listen(struct core_net *n, struct core_loop *l, struct core_owner *o, const char *who,
		    const char *addr, orlop_accept_fn cb, void *arg, struct orlop_listener **ret,
		    struct orlop_error *err)
{
	struct orlop_listener *ln = OMEM_NEW(struct orlop_listener);
	struct core_socket *s;
	int r = 0;

	if (!ln)
		return core_net_bind_fail(addr, ENOMEM, err);
	ln->net = n;
	ln->loop = l;
	ln->owner = o;
	ln->cb = cb;
	ln->arg = arg;
	ln->refs = 1;
	pthread_mutex_lock(&n->lock);
	s = socket_find(n, addr, who);
	if (!s)
		r = socket_new(n, addr, who, &s, err);
	if (r == 0) {
		ln->sock = s;
		olist_append(&s->listeners, &ln->node);
		s->n_listeners++;
		ln->on_hold = o && o->listen_held;
		s->n_held += ln->on_hold;
	}
	pthread_mutex_unlock(&n->lock);
	if (r) {
		omem_free(ln);
		return r;
	}
	olist_init(&ln->held);
	if (o)
		olist_append(&o->list[CORE_HELD_LISTENER], &ln->held);
	core_owner_inc(o, CORE_HELD_LISTENER);
	(void)core_loop_post_node(n->main, &s->sync, socket_sync, s);
	*ret = ln;
	return 0;
}

void core_net_listener_addr(struct orlop_listener *l, char *buf, size_t size)
{
	if (size)
		core_net_name(l->sock->fd, false, buf, size);
}

void core_net_listener_close(struct orlop_listener *l)
{
	struct core_socket *s;

	if (!l)
		return;
	s = l->sock;
	l->closed = true;
	olist_del(&l->held);
	core_owner_dec(l->owner, CORE_HELD_LISTENER);
	pthread_mutex_lock(&s->net->lock);
	olist_del(&l->node);
	s->n_listeners--;
	s->n_held -= l->on_hold;
	listener_unref_locked(l);
	(void)core_loop_post_node(s->net->main, &s->sync, socket_sync, s);
	pthread_mutex_unlock(&s->net->lock);
}

int core_net_lend(struct core_net *n, const char *who, const char *addr, int *ret_fd,
		  struct orlop_error *err)
{
	struct core_socket *s;
	int r = 0;

	pthread_mutex_lock(&n->lock);
	s = socket_find(n, addr, who);
	if (!s)
		r = socket_new(n, addr, who, &s, err);
	if (r == 0) {
		*ret_fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
		if (*ret_fd < 0)
			r = core_net_bind_fail(addr, errno, err);
		else
			s->lent++;
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

void core_net_lent_back(struct core_net *n, const char *who, const char *addr)
{
	pthread_mutex_lock(&n->lock);
	OLIST_FOREACH(node, &n->sockets) {
		struct core_socket *s = OLIST_ENTRY(node, struct core_socket, node);

		if (s->lent && strcmp(s->addr, addr) == 0 && strcmp(s->who, who) == 0)
			s->lent--;
	}
	pthread_mutex_unlock(&n->lock);
}

void core_net_borrow(struct core_net *n, int (*fn)(void *arg, const char *addr, int *ret_fd,
		     struct orlop_error *err), void (*back)(void *arg, const char *addr), void *arg)
{
	n->borrow = fn;
	n->give_back = back;
	n->borrow_arg = arg;
}

void core_net_release(struct core_net *n, const char *who)
{
	pthread_mutex_lock(&n->lock);
	OLIST_FOREACH(node, &n->sockets) {
		struct core_socket *s = OLIST_ENTRY(node, struct core_socket, node);

		if (s->n_listeners == 0 && s->lent == 0 && strcmp(s->who, who) == 0) {
			s->released = true;
			(void)core_loop_post_node(n->main, &s->sync, socket_sync, s);
		}
	}
	pthread_mutex_unlock(&n->lock);
}

void core_net_hold(struct core_net *n, struct core_owner *o, bool on)
{
	pthread_mutex_lock(&n->lock);
	o->listen_held = on;
	OLIST_FOREACH(node, &n->sockets) {
		struct core_socket *s = OLIST_ENTRY(node, struct core_socket, node);
		bool changed = false;

		OLIST_FOREACH(k, &s->listeners) {
			struct orlop_listener *l = OLIST_ENTRY(k, struct orlop_listener, node);

			if (l->owner != o || l->on_hold == on)
				continue;
			l->on_hold = on;
			s->n_held += on ? 1u : -1u;
			changed = true;
		}
		if (changed)
			(void)core_loop_post_node(n->main, &s->sync, socket_sync, s);
	}
	pthread_mutex_unlock(&n->lock);
}

uint32_t core_net_reclaim(struct core_owner *o)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&o->list[CORE_HELD_LISTENER]))) {
		core_net_listener_close(OLIST_ENTRY(n, struct orlop_listener, held));
		count++;
	}
	return count;
}

/* ---- life ------------------------------------------------------------------------------------------- */

int core_net_new(struct core_loop *main, struct core_workers *w, struct core_net **ret)
{
	struct core_net *n = OMEM_NEW(struct core_net);

	if (!n)
		return -ENOMEM;
	n->main = main;
	olist_init(&n->sockets);
	(void)pthread_mutex_init(&n->lock, NULL);
	if (core_workq_new(w, 8, &n->lookups)) {
		pthread_mutex_destroy(&n->lock);
		omem_free(n);
		return -ENOMEM;
	}
	*ret = n;
	return 0;
}

void core_net_free(struct core_net *n)
{
	struct olist *node;

	if (!n)
		return;
	/* A sync may still be posted for each socket: let it run before they go. */
	core_loop_turn(n->main, false);
	while ((node = olist_first(&n->sockets)))
		socket_free(OLIST_ENTRY(node, struct core_socket, node));
	core_workq_free(n->lookups);
	pthread_mutex_destroy(&n->lock);
	omem_free(n);
}
