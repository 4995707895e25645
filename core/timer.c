/*
 * timer.c - timers of a loop.
 *
 * The library's timers count milliseconds from its cached time; these take nanoseconds and are never
 * early. Moving a timer further away (what an idle time-out does at each request) only notes the new
 * time: when the old one comes the rest is waited for.
 */
#include "loop.h"

#include <errno.h>

#include "base/omem.h"

struct orlop_timer {
	uv_timer_t	uv;
	struct olist	node;		/* in the owner's list, or alone */
	struct core_loop *loop;
	struct core_owner *owner;
	orlop_cb	cb;
	void		*arg;
	uint64_t	due_ns;		/* mono */
	uint64_t	repeat_ns;
	uint64_t	uv_due_ms;	/* what the library's timer waits for, if active */
};

static void timer_fired(uv_timer_t *uv);

static uint64_t ms_up(uint64_t ns)
{
	return ns / 1000000 + (ns % 1000000 != 0);
}

static void timer_arm(struct orlop_timer *t)
{
	uint64_t due_ms = ms_up(t->due_ns);
	uint64_t now_ms = uv_now(&t->loop->uv);

	if (uv_is_active((uv_handle_t *)&t->uv) && t->uv_due_ms <= due_ms)
		return;
	t->uv_due_ms = due_ms;
	(void)uv_timer_start(&t->uv, timer_fired, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void timer_fired(uv_timer_t *uv)
{
	struct orlop_timer *t = uv->data;
	struct core_owner *o = t->owner;
	uint64_t now = core_now_mono();

	if (now < t->due_ns) {
		timer_arm(t);
		return;
	}
	if (t->repeat_ns) {
		t->due_ns += t->repeat_ns;
		if (t->due_ns <= now)	/* late by more than a period: skip, do not catch up */
			t->due_ns = now + t->repeat_ns;
		timer_arm(t);
	}
	atomic_fetch_add_explicit(&t->loop->n_fired, 1, memory_order_relaxed);
	if (o)
		atomic_store_explicit(&o->in_ns, now, memory_order_relaxed);
	t->cb(t->arg);		/* may free t */
	core_owner_leave(o, now);
}

int core_timer_new(struct core_loop *l, struct core_owner *o, orlop_cb cb, void *arg,
		   struct orlop_timer **ret)
{
	struct orlop_timer *t = OMEM_NEW(struct orlop_timer);

	if (!t)
		return -ENOMEM;
	(void)uv_timer_init(&l->uv, &t->uv);
	t->uv.data = t;
	t->loop = l;
	t->owner = o;
	t->cb = cb;
	t->arg = arg;
	olist_init(&t->node);
	if (o)
		olist_append(&o->list[CORE_HELD_TIMER], &t->node);
	core_owner_inc(o, CORE_HELD_TIMER);
	*ret = t;
	return 0;
}

void core_timer_set(struct orlop_timer *t, uint64_t delay_ns, uint64_t repeat_ns)
{
	uint64_t now = core_now_mono();
	/* A century is for ever, and keeps the sums below from overflowing. */
	const uint64_t ever = UINT64_C(3155760000000000000);

	t->due_ns = now + (delay_ns < ever ? delay_ns : ever);
	t->repeat_ns = repeat_ns < ever ? repeat_ns : ever;
	timer_arm(t);
}

void core_timer_clear(struct orlop_timer *t)
{
	(void)uv_timer_stop(&t->uv);
}

static void timer_closed(uv_handle_t *h)
{
	omem_free(h->data);
}

void core_timer_free(struct orlop_timer *t)
{
	if (!t)
		return;
	olist_del(&t->node);
	core_owner_dec(t->owner, CORE_HELD_TIMER);
	t->owner = NULL;
	uv_close((uv_handle_t *)&t->uv, timer_closed);
}

static uint32_t timer_reclaim(struct core_owner *o)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&o->list[CORE_HELD_TIMER]))) {
		core_timer_free(OLIST_ENTRY(n, struct orlop_timer, node));
		count++;
	}
	return count;
}

uint32_t core_loop_reclaim(struct core_owner *o)
{
	return timer_reclaim(o) + core_fd_reclaim(o);
}
