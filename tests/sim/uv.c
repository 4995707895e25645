/*
 * uv.c - the part of libuv that the core uses, on simulated time.
 *
 * One turn of a loop is as the library's: timers, prepare, wait, what waited, closed handles. Waiting is
 * the point where the thread gives up its turn, also if something is there already: one turn is one step.
 */
#include "inside.h"

#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "base/omem.h"

/* What a handle needs beyond its own fields; u.reserved[0] of the handle. */
struct handle {
	struct olist	all;		/* loop->handles */
	struct olist	queue;		/* prepares, asyncs (pending) or closing */
	uv_handle_t	*h;
	bool		active;
	bool		unref;
	bool		closing;
	uint32_t	heap_at;	/* timers: index + 1 */
	uint64_t	due_ms;
	uint64_t	start_id;
	uint64_t	repeat_ms;
	struct sim_watch watch;		/* poll */
};

/* internal_fields of the loop. */
struct loop {
	struct sim_proc	*proc;
	struct olist	handles;
	struct olist	prepares;
	struct olist	asyncs;		/* sent */
	struct olist	polls;		/* ready */
	struct olist	closing;
	struct handle	**heap;
	uint32_t	n_heap;
	uint32_t	cap_heap;
	uint64_t	now_ms;
	uint64_t	start_id;
	bool		stop;
};

static struct handle *of(const void *h)
{
	return ((const uv_handle_t *)h)->u.reserved[0];
}

static struct loop *loop_of(const uv_loop_t *l)
{
	return l->internal_fields;
}

static struct loop *of_loop(const void *h)
{
	return loop_of(((const uv_handle_t *)h)->loop);
}

static uint64_t mono_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void handle_init(uv_loop_t *l, void *at, uv_handle_type type)
{
	uv_handle_t *h = at;
	struct handle *k = OMEM_NEW(struct handle);

	if (!k)
		sim_die("out of memory");
	h->loop = l;
	h->type = type;
	h->close_cb = NULL;
	h->u.reserved[0] = k;
	k->h = h;
	olist_init(&k->queue);
	olist_init(&k->watch.of_fd);
	olist_init(&k->watch.pending);
	olist_append(&loop_of(l)->handles, &k->all);
}

/* ---- loops ---------------------------------------------------------------------------------------- */

SIM_OURS int uv_loop_init(uv_loop_t *l)
{
	struct loop *k = OMEM_NEW(struct loop);

	if (!k)
		return UV_ENOMEM;
	k->proc = sim_proc_here();
	if (!k->proc)
		sim_die("a loop of the driver");
	olist_init(&k->handles);
	olist_init(&k->prepares);
	olist_init(&k->asyncs);
	olist_init(&k->polls);
	olist_init(&k->closing);
	k->now_ms = mono_ms();
	l->internal_fields = k;
	return 0;
}

SIM_OURS int uv_loop_close(uv_loop_t *l)
{
	struct loop *k = loop_of(l);

	if (!olist_empty(&k->handles))
		return UV_EBUSY;
	omem_free(k->heap);
	omem_free(k);
	l->internal_fields = NULL;
	return 0;
}

SIM_OURS uint64_t uv_now(const uv_loop_t *l)
{
	return loop_of(l)->now_ms;
}

SIM_OURS void uv_update_time(uv_loop_t *l)
{
	loop_of(l)->now_ms = mono_ms();
}

SIM_OURS void uv_stop(uv_loop_t *l)
{
	loop_of(l)->stop = true;
}

SIM_OURS void uv_walk(uv_loop_t *l, uv_walk_cb cb, void *arg)
{
	OLIST_FOREACH_SAFE(n, tmp, &loop_of(l)->handles)
		cb(OLIST_ENTRY(n, struct handle, all)->h, arg);
}

/* ---- timers ----------------------------------------------------------------------------------------- */

static bool sooner(const struct handle *a, const struct handle *b)
{
	return a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a->start_id < b->start_id);
}

static void heap_set(struct loop *l, uint32_t i, struct handle *k)
{
	l->heap[i] = k;
	k->heap_at = i + 1;
}

static void heap_up(struct loop *l, uint32_t i)
{
	struct handle *k = l->heap[i];

	for (; i && sooner(k, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_set(l, i, l->heap[(i - 1) / 2]);
	heap_set(l, i, k);
}

static void heap_down(struct loop *l, uint32_t i)
{
	struct handle *k = l->heap[i];

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < l->n_heap && sooner(l->heap[c + 1], l->heap[c]))
			c++;
		if (c >= l->n_heap || !sooner(l->heap[c], k))
			break;
		heap_set(l, i, l->heap[c]);
		i = c;
	}
	heap_set(l, i, k);
}

static void heap_del(struct loop *l, struct handle *k)
{
	uint32_t i = k->heap_at - 1;
	struct handle *last;

	if (!k->heap_at)
		return;
	k->heap_at = 0;
	last = l->heap[--l->n_heap];
	if (last == k)
		return;
	heap_set(l, i, last);
	heap_up(l, i);
	heap_down(l, last->heap_at - 1);
}

SIM_OURS int uv_timer_init(uv_loop_t *l, uv_timer_t *t)
{
	handle_init(l, t, UV_TIMER);
	return 0;
}

SIM_OURS int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
	struct handle *k = of(t);
	struct loop *l = of_loop(t);

	if (k->closing)
		return UV_EINVAL;
	heap_del(l, k);
	t->timer_cb = cb;
	k->due_ms = l->now_ms + timeout;
	k->repeat_ms = repeat;
	k->start_id = l->start_id++;
	k->active = true;
	if (l->n_heap == l->cap_heap) {
		l->cap_heap = l->cap_heap ? l->cap_heap * 2 : 32;
		l->heap = omem_realloc_array(l->heap, l->cap_heap, sizeof(struct handle *));
		if (!l->heap)
			sim_die("out of memory");
	}
	heap_set(l, l->n_heap++, k);
	heap_up(l, l->n_heap - 1);
	return 0;
}

SIM_OURS int uv_timer_stop(uv_timer_t *t)
{
	heap_del(of_loop(t), of(t));
	of(t)->active = false;
	return 0;
}

static void timers_run(struct loop *l)
{
	while (l->n_heap && l->heap[0]->due_ms <= l->now_ms) {
		uv_timer_t *t = (uv_timer_t *)(void *)l->heap[0]->h;
		uint64_t repeat = l->heap[0]->repeat_ms;

		(void)uv_timer_stop(t);
		if (repeat)
			(void)uv_timer_start(t, t->timer_cb, repeat, repeat);
		t->timer_cb(t);
	}
}

/* ---- the others ----------------------------------------------------------------------------------------- */

SIM_OURS int uv_prepare_init(uv_loop_t *l, uv_prepare_t *p)
{
	handle_init(l, p, UV_PREPARE);
	return 0;
}

SIM_OURS int uv_prepare_start(uv_prepare_t *p, uv_prepare_cb cb)
{
	struct handle *k = of(p);

	p->prepare_cb = cb;
	if (!k->active)
		olist_push(&of_loop(p)->prepares, &k->queue);	/* the newest first, as the library */
	k->active = true;
	return 0;
}

SIM_OURS int uv_prepare_stop(uv_prepare_t *p)
{
	olist_del(&of(p)->queue);
	of(p)->active = false;
	return 0;
}

SIM_OURS int uv_async_init(uv_loop_t *l, uv_async_t *a, uv_async_cb cb)
{
	handle_init(l, a, UV_ASYNC);
	a->async_cb = cb;
	of(a)->active = true;
	return 0;
}

SIM_OURS int uv_async_send(uv_async_t *a)
{
	struct handle *k = of(a);

	if (!k->closing && olist_empty(&k->queue))
		olist_append(&of_loop(a)->asyncs, &k->queue);
	sim_wake(of_loop(a)->proc, of_loop(a), true);
	return 0;
}

SIM_OURS int uv_poll_init(uv_loop_t *l, uv_poll_t *p, int fd)
{
	handle_init(l, p, UV_POLL);
	p->io_watcher.fd = fd;
	return 0;
}

SIM_OURS int uv_poll_start(uv_poll_t *p, int events, uv_poll_cb cb)
{
	struct handle *k = of(p);
	struct loop *l = of_loop(p);
	struct sim_fd *f = sim_fd_get(p->io_watcher.fd);

	sim_watch_del(&k->watch);
	p->poll_cb = cb;
	k->active = events != 0;
	k->watch.arg = k;
	if (f && events)
		sim_watch_add(&k->watch, f, (events & UV_READABLE ? 1 : 0) | (events & UV_WRITABLE ? 2 : 0),
			      &l->polls, l);
	return 0;
}

SIM_OURS int uv_poll_stop(uv_poll_t *p)
{
	sim_watch_del(&of(p)->watch);
	of(p)->active = false;
	return 0;
}

SIM_OURS int uv_is_active(const uv_handle_t *h)
{
	return of(h)->active;
}

SIM_OURS int uv_is_closing(const uv_handle_t *h)
{
	return of(h)->closing;
}

SIM_OURS void uv_ref(uv_handle_t *h)
{
	of(h)->unref = false;
}

SIM_OURS void uv_unref(uv_handle_t *h)
{
	of(h)->unref = true;
}

SIM_OURS void uv_close(uv_handle_t *h, uv_close_cb cb)
{
	struct handle *k = of(h);
	struct loop *l = of_loop(h);

	if (k->closing)
		sim_die("a handle is closed twice");
	heap_del(l, k);
	sim_watch_del(&k->watch);
	olist_del(&k->queue);
	k->active = false;
	k->closing = true;
	h->close_cb = cb;
	olist_append(&l->closing, &k->queue);
}

/* ---- a turn -------------------------------------------------------------------------------------------------- */

static void prepares_run(struct loop *l)
{
	struct olist list;
	struct olist *n;

	/* Each is back in the loop's list before it is called: it may stop or close itself or another. */
	olist_init(&list);
	olist_splice(&list, &l->prepares);
	while ((n = olist_shift(&list)) != NULL) {
		uv_prepare_t *p = (uv_prepare_t *)(void *)OLIST_ENTRY(n, struct handle, queue)->h;

		olist_append(&l->prepares, n);
		p->prepare_cb(p);
	}
}

static void closing_run(struct loop *l)
{
	struct olist list;
	struct olist *n;

	olist_init(&list);
	olist_splice(&list, &l->closing);
	while ((n = olist_shift(&list)) != NULL) {
		struct handle *k = OLIST_ENTRY(n, struct handle, queue);
		uv_handle_t *h = k->h;

		olist_del(&k->all);
		omem_free(k);
		h->u.reserved[0] = NULL;
		if (h->close_cb)
			h->close_cb(h);
	}
}

static bool alive(const struct loop *l)
{
	OLIST_FOREACH(n, &l->handles) {
		const struct handle *k = OLIST_ENTRY(n, struct handle, all);

		if (k->closing || (k->active && !k->unref))
			return true;
	}
	return false;
}

static void io_run(struct loop *l)
{
	struct olist list;
	struct olist *n;

	olist_init(&list);
	olist_splice(&list, &l->asyncs);
	while ((n = olist_shift(&list)) != NULL) {
		uv_async_t *a = (uv_async_t *)(void *)OLIST_ENTRY(n, struct handle, queue)->h;

		a->async_cb(a);
	}
	olist_splice(&list, &l->polls);
	while ((n = olist_shift(&list)) != NULL) {
		struct sim_watch *w = OLIST_ENTRY(n, struct sim_watch, pending);
		struct handle *k = w->arg;
		uv_poll_t *p = (uv_poll_t *)(void *)k->h;
		uint32_t got = w->ready & w->events;

		w->ready = 0;
		if (!got)
			continue;
		/* Before the callback, which may close it. */
		sim_watch_again(w);
		p->poll_cb(p, 0, (got & 1 ? UV_READABLE : 0) | (got & 2 ? UV_WRITABLE : 0));
	}
}

/* When the first timer is due, by the world's time; sometimes late, as on a busy machine. */
static uint64_t due_at(const struct loop *l)
{
	uint64_t at;

	if (!l->n_heap)
		return SIM_NEVER;
	if (l->heap[0]->due_ms <= l->now_ms)
		return sim_w->now;
	/* To the next full millisecond of the process' clock. */
	at = sim_w->now + (l->heap[0]->due_ms - l->now_ms) * SIM_MS;
	if (sim_w->jitter && sim_host_chance(sim_w->jitter))
		at += sim_host_below(20 * SIM_MS);
	return at;
}

static void turn(struct loop *l, uv_run_mode mode)
{
	l->now_ms = mono_ms();
	timers_run(l);
	prepares_run(l);
	if (mode != UV_RUN_NOWAIT && !l->stop && olist_empty(&l->asyncs) && olist_empty(&l->polls) &&
	    olist_empty(&l->closing)) {
		uint64_t at = due_at(l);

		if (at <= sim_w->now)
			sim_yield();
		else
			(void)sim_block(l, at);
	} else {
		sim_yield();
	}
	l->now_ms = mono_ms();
	io_run(l);
	closing_run(l);
	if (mode == UV_RUN_ONCE)
		timers_run(l);
}

SIM_OURS int uv_run(uv_loop_t *uv, uv_run_mode mode)
{
	struct loop *l = loop_of(uv);
	bool more = alive(l);

	while (more && !l->stop) {
		turn(l, mode);
		more = alive(l);
		if (mode != UV_RUN_DEFAULT)
			break;
	}
	l->stop = false;
	return more;
}
