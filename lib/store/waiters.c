/* waiters.c - `changes` calls that wait for something to happen, with their time limits. */
#include "store/ostore.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

struct waiter {
	struct orlop_call *call;
	uint64_t	rev;
	uint64_t	limit;
	uint64_t	until;		/* monotonic, UINT64_MAX: for ever */
	bool		gone;		/* the caller gave up */
	struct ostore_waiters *w;
	struct waiter	*next;
};

struct ostore_waiters {
	const struct orlop_host *h;
	ostore_wake_fn	wake;
	void		*arg;
	struct orlop_timer *timer;
	struct waiter	*first;
};

static void timer_arm(struct ostore_waiters *w)
{
	uint64_t first = UINT64_MAX;
	uint64_t now;
	struct waiter *p;

	for (p = w->first; p; p = p->next)
		if (p->until < first)
			first = p->until;
	if (first == UINT64_MAX) {
		w->h->timer_clear(w->timer);
		return;
	}
	now = w->h->now_mono(w->h);
	w->h->timer_set(w->timer, first > now ? first - now : 0, 0);
}

/* Take out those that are due, or wait for less than @rev, and answer them. */
static void wake(struct ostore_waiters *w, uint64_t rev)
{
	uint64_t now = w->h->now_mono(w->h);
	struct waiter *due = NULL;
	struct waiter **pp = &w->first;
	struct waiter *p;

	while ((p = *pp)) {
		if (p->rev >= rev && !p->gone && p->until > now) {
			pp = &p->next;
			continue;
		}
		*pp = p->next;
		p->next = due;
		due = p;
	}
	while ((p = due)) {
		due = p->next;
		w->h->call_on_cancel(p->call, NULL, NULL);
		if (p->gone)
			w->h->call_done(p->call, -ECANCELED, NULL, NULL);
		else
			w->wake(w->arg, p->call, p->rev, p->limit);
		omem_free(p);
	}
	timer_arm(w);
}

static void timer_fired(void *arg)
{
	wake(arg, 0);
}

static void waiter_cancelled(void *arg)
{
	struct waiter *p = arg;

	p->gone = true;
	wake(p->w, 0);
}

int ostore_waiters_new(const struct orlop_host *h, ostore_wake_fn wake_fn, void *arg,
		       struct ostore_waiters **ret_w)
{
	struct ostore_waiters *w = OMEM_NEW(struct ostore_waiters);

	if (!w)
		return -ENOMEM;
	w->h = h;
	w->wake = wake_fn;
	w->arg = arg;
	if (h->timer_new(h, timer_fired, w, &w->timer)) {
		omem_free(w);
		return -ENOMEM;
	}
	*ret_w = w;
	return 0;
}

void ostore_waiters_free(struct ostore_waiters *w)
{
	struct waiter *p;

	if (!w)
		return;
	for (p = w->first; p; p = p->next)
		p->gone = true;
	wake(w, 0);
	w->h->timer_free(w->timer);
	omem_free(w);
}

int ostore_waiters_add(struct ostore_waiters *w, struct orlop_call *call, uint64_t rev,
		       uint64_t limit, uint64_t wait_ns)
{
	struct waiter *p = OMEM_NEW(struct waiter);
	uint64_t now = w->h->now_mono(w->h);

	if (!p)
		return -ENOMEM;
	p->call = call;
	p->rev = rev;
	p->limit = limit;
	p->until = wait_ns > UINT64_MAX - now ? UINT64_MAX : now + wait_ns;
	p->w = w;
	p->next = w->first;
	w->first = p;
	w->h->call_on_cancel(call, waiter_cancelled, p);
	timer_arm(w);
	return 0;
}

void ostore_waiters_wake(struct ostore_waiters *w, uint64_t rev)
{
	if (w->first)
		wake(w, rev);
}
