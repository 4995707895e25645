/*
 * queue.c - the pods that wait: to be tried (active), for their back-off, or for something to change.
 *
 * A pod that no node will take sleeps until an event that can help it (sd_queue_wake_for), at most
 * five minutes. Its back-off doubles from one second to ten; it counts from the last attempt.
 * Times are monotonic and come from the caller.
 */
#include "cycle.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

typedef bool (*before_fn)(const struct sd_pod *a, const struct sd_pod *b);

static bool active_before(const struct sd_pod *a, const struct sd_pod *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->queued_ns != b->queued_ns)
		return a->queued_ns < b->queued_ns;
	return a->seq < b->seq;
}

static bool backoff_before(const struct sd_pod *a, const struct sd_pod *b)
{
	return a->backoff_ns != b->backoff_ns ? a->backoff_ns < b->backoff_ns : a->seq < b->seq;
}

static void heap_put(struct sd_heap *h, uint32_t at, struct sd_pod *p)
{
	h->v[at] = p;
	p->heap_at = at;
}

static void heap_up(struct sd_heap *h, uint32_t at, before_fn before)
{
	struct sd_pod *p = h->v[at];

	for (; at && before(p, h->v[(at - 1) / 2]); at = (at - 1) / 2)
		heap_put(h, at, h->v[(at - 1) / 2]);
	heap_put(h, at, p);
}

static void heap_down(struct sd_heap *h, uint32_t at, before_fn before)
{
	struct sd_pod *p = h->v[at];

	for (;;) {
		uint32_t kid = at * 2 + 1;

		if (kid >= h->n)
			break;
		if (kid + 1 < h->n && before(h->v[kid + 1], h->v[kid]))
			kid++;
		if (!before(h->v[kid], p))
			break;
		heap_put(h, at, h->v[kid]);
		at = kid;
	}
	heap_put(h, at, p);
}

static int heap_push(struct sd_heap *h, struct sd_pod *p, before_fn before)
{
	if (h->n == h->cap) {
		uint32_t cap = h->cap ? h->cap * 2 : 64;
		struct sd_pod **v = omem_realloc_array(h->v, cap, sizeof(struct sd_pod *));

		if (!v)
			return -ENOMEM;
		h->v = v;
		h->cap = cap;
	}
	heap_put(h, h->n++, p);
	heap_up(h, h->n - 1, before);
	return 0;
}

static void heap_remove(struct sd_heap *h, struct sd_pod *p, before_fn before)
{
	struct sd_pod *last = h->v[--h->n];
	uint32_t at = p->heap_at;

	if (last == p)
		return;
	heap_put(h, at, last);
	heap_up(h, at, before);
	heap_down(h, last->heap_at, before);
}

void sd_queue_init(struct sd_queue *q)
{
	memset(q, 0, sizeof(*q));
	olist_init(&q->unschedulable);
	olist_init(&q->gated);
}

void sd_queue_done(struct sd_queue *q)
{
	omem_free(q->active.v);
	omem_free(q->backoff.v);
	memset(q, 0, sizeof(*q));
}

void sd_queue_remove(struct sd_queue *q, struct sd_pod *p)
{
	switch (p->queued) {
	case SD_ACTIVE:
		heap_remove(&q->active, p, active_before);
		break;
	case SD_BACKOFF:
		heap_remove(&q->backoff, p, backoff_before);
		break;
	case SD_UNSCHEDULABLE:
		olist_del(&p->waiting);
		q->n_unschedulable--;
		q->n_topology -= (p->rejected & SD_WAKE_TOPOLOGY) != 0;
		break;
	case SD_GATED:
		olist_del(&p->waiting);
		q->n_gated--;
		break;
	case SD_NOWHERE:
		break;
	}
	p->queued = SD_NOWHERE;
}

static void wait_unschedulable(struct sd_queue *q, struct sd_pod *p)
{
	olist_append(&q->unschedulable, &p->waiting);
	q->n_unschedulable++;
	q->n_topology += (p->rejected & SD_WAKE_TOPOLOGY) != 0;
	p->queued = SD_UNSCHEDULABLE;
}

static int to_active(struct sd_queue *q, struct sd_pod *p)
{
	if (heap_push(&q->active, p, active_before)) {
		wait_unschedulable(q, p);
		return -ENOMEM;
	}
	p->queued = SD_ACTIVE;
	return 0;
}

static int to_backoff(struct sd_queue *q, struct sd_pod *p)
{
	if (heap_push(&q->backoff, p, backoff_before)) {
		wait_unschedulable(q, p);
		return -ENOMEM;
	}
	p->queued = SD_BACKOFF;
	return 0;
}

int sd_queue_add(struct sd_queue *q, struct sd_pod *p, uint64_t now)
{
	sd_queue_remove(q, p);
	p->queued_ns = now;
	p->seq = ++q->seq;
	if (p->spec->n_gates) {
		olist_append(&q->gated, &p->waiting);
		q->n_gated++;
		p->queued = SD_GATED;
		return 0;
	}
	return to_active(q, p);
}

struct sd_pod *sd_queue_pop(struct sd_queue *q)
{
	struct sd_pod *p = q->active.n ? q->active.v[0] : NULL;

	if (!p)
		return NULL;
	sd_queue_remove(q, p);
	p->attempts++;
	return p;
}

static void attempt_failed(struct sd_queue *q, struct sd_pod *p, uint64_t now)
{
	uint64_t wait = SD_BACKOFF_FIRST_NS;

	for (uint32_t i = 1; i < p->attempts && wait < SD_BACKOFF_MAX_NS; i++)
		wait *= 2;
	p->backoff_ns = now + (wait < SD_BACKOFF_MAX_NS ? wait : SD_BACKOFF_MAX_NS);
	p->queued_ns = now;
	p->seq = ++q->seq;
}

void sd_queue_unschedulable(struct sd_queue *q, struct sd_pod *p, uint64_t now)
{
	sd_queue_remove(q, p);
	attempt_failed(q, p, now);
	wait_unschedulable(q, p);
}

int sd_queue_retry(struct sd_queue *q, struct sd_pod *p, uint64_t now)
{
	sd_queue_remove(q, p);
	attempt_failed(q, p, now);
	return to_backoff(q, p);
}

void sd_queue_wake(struct sd_queue *q, struct sd_pod *p, uint64_t now)
{
	if (p->queued != SD_UNSCHEDULABLE)
		return;
	sd_queue_remove(q, p);
	(void)(now < p->backoff_ns ? to_backoff(q, p) : to_active(q, p));
}

void sd_queue_wake_all(struct sd_queue *q, uint64_t now)
{
	OLIST_FOREACH_SAFE(at, next, &q->unschedulable)
	{
		struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, waiting);

		sd_queue_wake(q, p, now);
		if (p->queued == SD_UNSCHEDULABLE) /* no memory: it is last now */
			return;
	}
}

uint64_t sd_queue_tick(struct sd_queue *q, uint64_t now)
{
	uint64_t next = 0;

	while (q->backoff.n && q->backoff.v[0]->backoff_ns <= now) {
		struct sd_pod *p = q->backoff.v[0];

		sd_queue_remove(q, p);
		if (to_active(q, p))
			break;
	}
	while (!olist_empty(&q->unschedulable)) {
		struct sd_pod *p = OLIST_ENTRY(olist_first(&q->unschedulable), struct sd_pod,
					       waiting);

		if (now < p->queued_ns + SD_UNSCHEDULABLE_MAX_NS) {
			next = p->queued_ns + SD_UNSCHEDULABLE_MAX_NS;
			break;
		}
		sd_queue_wake(q, p, now);
		if (p->queued == SD_UNSCHEDULABLE) /* no memory */
			break;
	}
	if (q->backoff.n && (!next || q->backoff.v[0]->backoff_ns < next))
		next = q->backoff.v[0]->backoff_ns;
	return next;
}

/* ---- what could help whom -------------------------------------------------------------------- */

void sd_queue_wake_rejected(struct sd_queue *q, uint64_t plugins, uint64_t now)
{
	OLIST_FOREACH_SAFE(at, next, &q->unschedulable)
	{
		struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, waiting);
		bool last = q->unschedulable.prev == at;

		if (p->rejected & plugins)
			sd_queue_wake(q, p, now);
		if (last)
			return; /* what follows was put back for want of memory */
	}
}

/* Pod @q came to a node, or left it: may that help @p? */
static bool may_help(struct sd_cluster *c, const struct sd_pod *p, const struct sd_pod *q, bool came)
{
	for (uint32_t i = 0; p->spreads && i < p->spreads->n; i++)
		if (p->spreads->v[i].hard && sd_match_has(c, p->spreads->v[i].match, q))
			return true;
	if (came)
		return p->terms && p->terms->all && sd_match_has(c, p->terms->all, q);
	for (uint32_t i = 0; p->terms && i < p->terms->n; i++)
		if (p->terms->v[i].kind == SD_AVOID && sd_match_has(c, p->terms->v[i].match, q))
			return true;
	for (uint32_t i = 0; q->terms && i < q->terms->n; i++)
		if (q->terms->v[i].kind == SD_AVOID && sd_match_has(c, q->terms->v[i].match, p))
			return true;
	return false;
}

/* Beyond so many comparisons a pass waking everybody is cheaper than choosing. */
#define WAKE_COMPARE_MAX UINT64_C(2000000)
#define MOVED_MAX	 UINT64_C(200000)

void sd_queue_pod_moved(struct sd_queue *q, struct sd_cluster *c, const struct sd_pod *moved, bool came,
			uint64_t now)
{
	if (!q->n_topology || c->topology_moved)
		return;
	q->compared += q->n_unschedulable;
	if (q->compared > MOVED_MAX) {
		c->topology_moved = true;
		return;
	}
	OLIST_FOREACH_SAFE(at, next, &q->unschedulable)
	{
		struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, waiting);
		bool last = q->unschedulable.prev == at;

		if ((p->rejected & SD_WAKE_TOPOLOGY) && may_help(c, p, moved, came))
			sd_queue_wake(q, p, now);
		if (last)
			return;
	}
}

static bool dirty_helps(struct sd_cluster *c, struct sd_pod *p)
{
	struct sd_cycle *cy;

	if (p->rejected & SD_BIT(SD_P_OTHER))
		return true;
	cy = sd_cycle_begin(c, p);
	if (!cy)
		return true;
	OLIST_FOREACH(d, &c->dirty)
	if (sd_cycle_filter(cy, OLIST_ENTRY(d, struct sd_node, dirty), NULL) == SD_FEASIBLE)
		return true;
	return false;
}

void sd_queue_wake_for(struct sd_queue *q, struct sd_cluster *c, uint64_t now)
{
	q->compared = 0;
	if (c->topology_moved) {
		c->topology_moved = false;
		sd_queue_wake_rejected(q, SD_WAKE_TOPOLOGY, now);
	}
	if (c->claim_freed) {
		c->claim_freed = false;
		sd_queue_wake_rejected(q, SD_BIT(SD_P_RESTRICTIONS), now);
	}
	if (!c->n_dirty)
		return;
	if ((uint64_t)q->n_unschedulable * c->n_dirty > WAKE_COMPARE_MAX) {
		sd_queue_wake_all(q, now);
		sd_clean(c);
		return;
	}
	OLIST_FOREACH_SAFE(at, next, &q->unschedulable)
	{
		struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, waiting);
		bool last = q->unschedulable.prev == at;

		if (dirty_helps(c, p))
			sd_queue_wake(q, p, now);
		if (last)
			break;
	}
	sd_clean(c);
}
