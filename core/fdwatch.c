/*
 * fdwatch.c - watching descriptors, level-triggered, any number of watches of one descriptor.
 *
 * The library allows one poll handle per descriptor and loop, so the handle belongs to an entry per
 * descriptor and the watches hang on it. A callback may unwatch anything, close the descriptor and
 * watch a new one of the same number: an entry without watches leaves the table at once and its
 * memory follows when the library has closed the handle.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

struct core_fdent {
	uv_poll_t	poll;
	struct core_loop *loop;
	int32_t		fd;
	uint32_t	events;		/* asked of the library: union of the watches */
	uint32_t	n_live;
	bool		busy;		/* in fdent_event: dead watches are swept at its end */
	struct olist	watches;
};

struct orlop_fdwatch {
	struct olist	node;		/* ent->watches */
	struct olist	held;		/* owner's list */
	struct core_fdent *ent;
	struct core_owner *owner;
	uint32_t	events;
	bool		dead;
	orlop_fd_fn	cb;
	void		*arg;
	void		(*gone)(void *arg, int32_t fd);	/* may be NULL */
	void		*gone_arg;
};

static void fdent_event(uv_poll_t *poll, int status, int events);

static void fdent_closed(uv_handle_t *h)
{
	omem_free(h->data);
}

/* Asks the library for the union of what the watches want. */
static void fdent_update(struct core_fdent *e, bool force)
{
	uint32_t events = 0;

	OLIST_FOREACH(n, &e->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(n, struct orlop_fdwatch, node);

		if (!w->dead)
			events |= w->events;
	}
	if (events == e->events && !force)
		return;
	e->events = events;
	if (!events)
		(void)uv_poll_stop(&e->poll);
	else
		(void)uv_poll_start(&e->poll, (events & ORLOP_FD_READ ? UV_READABLE : 0) |
				    (events & ORLOP_FD_WRITE ? UV_WRITABLE : 0), fdent_event);
}

static void fdent_event(uv_poll_t *poll, int status, int events)
{
	struct core_fdent *e = poll->data;
	uint32_t got = 0;

	if (events & UV_READABLE)
		got |= ORLOP_FD_READ;
	if (events & UV_WRITABLE)
		got |= ORLOP_FD_WRITE;
	e->busy = true;
	OLIST_FOREACH(n, &e->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(n, struct orlop_fdwatch, node);
		uint32_t m = got & w->events;
		struct core_owner *o = w->owner;
		uint64_t t0;

		if (status < 0 && w->events)
			m = w->events | ORLOP_FD_HUP;
		if (w->dead || !m)
			continue;
		atomic_fetch_add_explicit(&e->loop->n_events, 1, memory_order_relaxed);
		t0 = core_owner_enter(o);
		w->cb(w->arg, e->fd, m);	/* @w stays until below */
		core_owner_leave(o, t0);
	}
	e->busy = false;
	OLIST_FOREACH_SAFE(n, tmp, &e->watches) {
		struct orlop_fdwatch *w = OLIST_ENTRY(n, struct orlop_fdwatch, node);

		if (w->dead) {
			olist_del(&w->node);
			omem_free(w);
		}
	}
	/* On POLLERR the library has stopped the handle; level-triggered means: go on telling. */
	if (e->n_live && status < 0)
		fdent_update(e, true);
}

static int fdent_get(struct core_loop *l, int32_t fd, struct core_fdent **ret)
{
	struct core_fdent *e;
	int r;

	if (fd < 0)
		return -EBADF;
	if ((uint32_t)fd >= l->n_fds) {
		uint32_t n = l->n_fds ? l->n_fds : 64;
		struct core_fdent **fds;

		while (n <= (uint32_t)fd)
			n *= 2;
		fds = omem_realloc_array(l->fds, n, sizeof(*fds));
		if (!fds)
			return -ENOMEM;
		memset(fds + l->n_fds, 0, (n - l->n_fds) * sizeof(*fds));
		l->fds = fds;
		l->n_fds = n;
	}
	e = l->fds[fd];
	if (!e) {
		e = OMEM_NEW(struct core_fdent);
		if (!e)
			return -ENOMEM;
		r = uv_poll_init(&l->uv, &e->poll, fd);
		if (r) {
			omem_free(e);
			return r;
		}
		e->poll.data = e;
		e->loop = l;
		e->fd = fd;
		olist_init(&e->watches);
		l->fds[fd] = e;
	}
	*ret = e;
	return 0;
}

int core_fd_watch(struct core_loop *l, struct core_owner *o, int32_t fd, uint32_t events,
		  orlop_fd_fn cb, void *arg, struct orlop_fdwatch **ret)
{
	struct orlop_fdwatch *w = OMEM_NEW(struct orlop_fdwatch);
	int r;

	if (!w)
		return -ENOMEM;
	r = fdent_get(l, fd, &w->ent);
	if (r) {
		omem_free(w);
		return r;
	}
	w->owner = o;
	w->events = events & (ORLOP_FD_READ | ORLOP_FD_WRITE);
	w->cb = cb;
	w->arg = arg;
	olist_append(&w->ent->watches, &w->node);
	w->ent->n_live++;
	olist_init(&w->held);
	if (o)
		olist_append(&o->list[CORE_HELD_FD], &w->held);
	core_owner_inc(o, CORE_HELD_FD);
	fdent_update(w->ent, false);
	*ret = w;
	return 0;
}

void core_fd_update(struct orlop_fdwatch *w, uint32_t events)
{
	w->events = events & (ORLOP_FD_READ | ORLOP_FD_WRITE);
	fdent_update(w->ent, false);
}

void core_fd_on_unwatch(struct orlop_fdwatch *w, void (*fn)(void *arg, int32_t fd), void *arg)
{
	w->gone = fn;
	w->gone_arg = arg;
}

void core_fd_unwatch(struct orlop_fdwatch *w)
{
	struct core_fdent *e;

	if (!w)
		return;
	e = w->ent;
	olist_del(&w->held);
	core_owner_dec(w->owner, CORE_HELD_FD);
	w->dead = true;
	if (w->gone)
		w->gone(w->gone_arg, e->fd);
	if (!e->busy) {
		olist_del(&w->node);
		omem_free(w);
	}
	if (--e->n_live) {
		fdent_update(e, false);
		return;
	}
	e->loop->fds[e->fd] = NULL;
	uv_close((uv_handle_t *)&e->poll, fdent_closed);
}

uint32_t core_fd_reclaim(struct core_owner *o)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&o->list[CORE_HELD_FD]))) {
		core_fd_unwatch(OLIST_ENTRY(n, struct orlop_fdwatch, held));
		count++;
	}
	return count;
}
