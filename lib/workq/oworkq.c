/* The queue of a controller; see oworkq.h. */
#include "workq/oworkq.h"

#include "base/olist.h"
#include "base/omap.h"
#include "base/omem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NOT_WAITING UINT32_MAX

/* A key somebody cares about: ready, in hand, waiting, or with failures to remember. */
struct item {
	struct olist		ready;		/* in oworkq.ready */
	struct orlop_bytes	key;		/* bytes behind the struct */
	uint64_t		at_ns;		/* when it becomes ready, if waiting */
	uint64_t		seq;		/* order among equal times */
	uint64_t		since_ns;	/* when it became ready or was taken in hand: metrics */
	uint32_t		heap_at;	/* place in oworkq.heap */
	uint32_t		failures;
	bool			dirty;		/* to be processed (again) */
	bool			in_hand;
};

struct oworkq {
	const struct orlop_host	*h;
	struct oworkq_config	c;
	struct omap		items;		/* key → struct item */
	struct olist		ready;
	struct item		**heap;		/* waiting items, earliest first */
	uint32_t		n_heap;
	uint32_t		cap_heap;
	uint32_t		n_ready;
	uint32_t		n_in_hand;
	uint64_t		seq;
	struct orlop_timer	*pump;		/* fires at once: unlike a post it can be taken back */
	struct orlop_timer	*wake;		/* for heap[0] */
	bool			pump_set;
	struct orlop_metric	*m_depth;
	struct orlop_metric	*m_adds;
	struct orlop_metric	*m_retries;
	struct orlop_metric	*m_queued;
	struct orlop_metric	*m_worked;
};

static uint64_t now(const struct oworkq *q)
{
	return q->h->now_mono(q->h);
}

/* ---- metrics, named as upstream's ---------------------------------------------------------------- */

static struct orlop_metric *metric(struct oworkq *q, uint32_t type, const char *name, const char *help)
{
	static const double seconds[] = { 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10 };
	bool histogram = type == ORLOP_METRIC_HISTOGRAM;
	struct orlop_metric *m = NULL;
	char labels[96];

	if (q->c.name == NULL || !ORLOP_HOST_HAS(q->h, metric_new))
		return NULL;
	(void)snprintf(labels, sizeof(labels), "name=\"%.60s\"", q->c.name);
	if (q->h->metric_new(q->h, type, name, labels, help, histogram ? seconds : NULL,
			     histogram ? sizeof(seconds) / sizeof(seconds[0]) : 0, &m) < 0)
		return NULL;
	return m;
}

static void count(struct oworkq *q, struct orlop_metric *m)
{
	if (m != NULL)
		q->h->metric_add(m, 1);
}

static void show_depth(struct oworkq *q)
{
	if (q->m_depth != NULL)
		q->h->metric_set(q->m_depth, q->n_ready);
}

static void observe(struct oworkq *q, struct orlop_metric *m, uint64_t since_ns)
{
	if (m != NULL)
		q->h->metric_observe(m, (double)(now(q) - since_ns) / 1e9);
}

/* ---- items ------------------------------------------------------------------------------------------ */

static struct item *item_find(const struct oworkq *q, struct orlop_bytes key)
{
	return omap_get(&q->items, key.p, key.len);
}

static struct item *item_get(struct oworkq *q, struct orlop_bytes key)
{
	struct item *i = item_find(q, key);
	char *bytes;

	if (i != NULL)
		return i;
	i = omem_zalloc(sizeof(*i) + key.len + 1);
	if (i == NULL)
		return NULL;
	bytes = (char *)(i + 1);
	if (key.len > 0)
		memcpy(bytes, key.p, key.len);
	i->key = (struct orlop_bytes){ bytes, key.len };
	i->heap_at = NOT_WAITING;
	olist_init(&i->ready);
	if (omap_put(&q->items, key.p, key.len, i, NULL) < 0) {
		omem_free(i);
		return NULL;
	}
	return i;
}

/* Frees an item that nobody needs to remember. */
static void item_release(struct oworkq *q, struct item *i)
{
	if (i->dirty || i->in_hand || i->failures > 0 || i->heap_at != NOT_WAITING)
		return;
	(void)omap_del(&q->items, i->key.p, i->key.len);
	omem_free(i);
}

/* ---- waiting: a binary heap by time ------------------------------------------------------------------- */

static bool earlier(const struct item *a, const struct item *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void heap_put(struct oworkq *q, uint32_t at, struct item *i)
{
	q->heap[at] = i;
	i->heap_at = at;
}

static void heap_up(struct oworkq *q, uint32_t at)
{
	struct item *i = q->heap[at];

	while (at > 0 && earlier(i, q->heap[(at - 1) / 2])) {
		heap_put(q, at, q->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(q, at, i);
}

static void heap_down(struct oworkq *q, uint32_t at)
{
	struct item *i = q->heap[at];

	for (;;) {
		uint32_t kid = 2 * at + 1;

		if (kid >= q->n_heap)
			break;
		if (kid + 1 < q->n_heap && earlier(q->heap[kid + 1], q->heap[kid]))
			kid++;
		if (!earlier(q->heap[kid], i))
			break;
		heap_put(q, at, q->heap[kid]);
		at = kid;
	}
	heap_put(q, at, i);
}

static void heap_remove(struct oworkq *q, struct item *i)
{
	uint32_t at = i->heap_at;
	struct item *last = q->heap[--q->n_heap];

	i->heap_at = NOT_WAITING;
	if (last == i)
		return;
	heap_put(q, at, last);
	heap_up(q, at);
	heap_down(q, last->heap_at);
}

static int heap_reserve(struct oworkq *q)
{
	uint32_t cap = q->cap_heap == 0 ? 16 : q->cap_heap * 2;
	struct item **heap;

	if (q->n_heap < q->cap_heap)
		return 0;
	heap = omem_realloc_array(q->heap, cap, sizeof(struct item *));
	if (heap == NULL)
		return -ENOMEM;
	q->heap = heap;
	q->cap_heap = cap;
	return 0;
}

static void set_wake(struct oworkq *q)
{
	uint64_t t;

	if (q->n_heap == 0) {
		q->h->timer_clear(q->wake);
		return;
	}
	t = now(q);
	q->h->timer_set(q->wake, q->heap[0]->at_ns > t ? q->heap[0]->at_ns - t : 0, 0);
}

/* ---- ready ---------------------------------------------------------------------------------------------- */

static void set_pump(struct oworkq *q)
{
	if (q->pump_set || q->c.paused || q->n_ready == 0 || q->n_in_hand >= q->c.workers)
		return;
	q->pump_set = true;
	q->h->timer_set(q->pump, 0, 0);
}

static void make_ready(struct oworkq *q, struct item *i)
{
	olist_append(&q->ready, &i->ready);
	q->n_ready++;
	i->since_ns = now(q);
	show_depth(q);
	set_pump(q);
}

static void make_dirty(struct oworkq *q, struct item *i)
{
	if (i->dirty)
		return;
	i->dirty = true;
	count(q, q->m_adds);
	/* in hand: oworkq_done() makes it ready again */
	if (!i->in_hand)
		make_ready(q, i);
}

static void on_pump(void *arg)
{
	struct oworkq *q = arg;

	q->pump_set = false;
	for (uint32_t n = 0; n < q->c.batch; n++) {
		struct item *i;

		if (q->c.paused || q->n_in_hand >= q->c.workers || q->n_ready == 0)
			break;
		i = OLIST_ENTRY(olist_shift(&q->ready), struct item, ready);
		q->n_ready--;
		i->dirty = false;
		i->in_hand = true;
		q->n_in_hand++;
		observe(q, q->m_queued, i->since_ns);
		i->since_ns = now(q);
		show_depth(q);
		q->c.fn(q->c.arg, i->key);
	}
	set_pump(q);
}

static void on_wake(void *arg)
{
	struct oworkq *q = arg;
	uint64_t t = now(q);

	while (q->n_heap > 0 && q->heap[0]->at_ns <= t) {
		struct item *i = q->heap[0];

		heap_remove(q, i);
		make_dirty(q, i);
	}
	set_wake(q);
}

/* ---- what users call -------------------------------------------------------------------------------------- */

int oworkq_new(const struct orlop_host *h, const struct oworkq_config *c, struct oworkq **ret)
{
	struct oworkq *q = OMEM_NEW(struct oworkq);

	if (q == NULL)
		return -ENOMEM;
	q->h = h;
	q->c = *c;
	q->c.workers = c->workers != 0 ? c->workers : 1;
	q->c.batch = c->batch != 0 ? c->batch : 16;
	q->c.base_ns = c->base_ns != 0 ? c->base_ns : 5000000ull;
	q->c.max_ns = c->max_ns != 0 ? c->max_ns : 1000000000000ull;
	olist_init(&q->ready);
	omap_init(&q->items);
	if (h->timer_new(h, on_pump, q, &q->pump) < 0 || h->timer_new(h, on_wake, q, &q->wake) < 0) {
		oworkq_free(q);
		return -ENOMEM;
	}
	q->m_depth = metric(q, ORLOP_METRIC_GAUGE, "workqueue_depth", "Keys that are ready and wait for a worker");
	q->m_adds = metric(q, ORLOP_METRIC_COUNTER, "workqueue_adds_total", "Keys added");
	q->m_retries = metric(q, ORLOP_METRIC_COUNTER, "workqueue_retries_total", "Keys added after a failure");
	q->m_queued = metric(q, ORLOP_METRIC_HISTOGRAM, "workqueue_queue_duration_seconds",
			     "Time a key waited for a worker");
	q->m_worked = metric(q, ORLOP_METRIC_HISTOGRAM, "workqueue_work_duration_seconds",
			     "Time a key was in hand");
	/* the strings of the configuration need not outlive this call */
	q->c.name = NULL;
	*ret = q;
	return 0;
}

static void free_item(void *p)
{
	omem_free(p);
}

void oworkq_free(struct oworkq *q)
{
	if (q == NULL)
		return;
	q->n_ready = 0;
	show_depth(q);
	q->h->timer_free(q->pump);
	q->h->timer_free(q->wake);
	omap_done_with(&q->items, free_item);
	omem_free(q->heap);
	omem_free(q);
}

int oworkq_add(struct oworkq *q, struct orlop_bytes key)
{
	struct item *i = item_get(q, key);

	if (i == NULL)
		return -ENOMEM;
	make_dirty(q, i);
	return 0;
}

int oworkq_add_after(struct oworkq *q, struct orlop_bytes key, uint64_t delay_ns)
{
	struct item *i;
	uint64_t at;

	if (delay_ns == 0)
		return oworkq_add(q, key);
	if (heap_reserve(q) < 0)
		return -ENOMEM;
	i = item_get(q, key);
	if (i == NULL)
		return -ENOMEM;
	at = now(q);
	at = at + delay_ns < at ? UINT64_MAX : at + delay_ns;
	if (i->heap_at != NOT_WAITING) {
		if (at >= i->at_ns)
			return 0;
		i->at_ns = at;
		heap_up(q, i->heap_at);
	} else {
		i->at_ns = at;
		i->seq = q->seq++;
		q->heap[q->n_heap] = i;
		heap_up(q, q->n_heap++);
	}
	if (q->heap[0] == i)
		set_wake(q);
	return 0;
}

int oworkq_add_rate_limited(struct oworkq *q, struct orlop_bytes key)
{
	struct item *i = item_get(q, key);
	uint64_t delay;
	int r;

	if (i == NULL)
		return -ENOMEM;
	delay = i->failures < 64 && q->c.base_ns <= q->c.max_ns >> i->failures ? q->c.base_ns << i->failures :
										 q->c.max_ns;
	r = oworkq_add_after(q, key, delay);
	if (r < 0) {
		item_release(q, i);
		return r;
	}
	i->failures += i->failures < UINT32_MAX;
	count(q, q->m_retries);
	return 0;
}

void oworkq_forget(struct oworkq *q, struct orlop_bytes key)
{
	struct item *i = item_find(q, key);

	if (i == NULL)
		return;
	i->failures = 0;
	item_release(q, i);
}

uint32_t oworkq_failures(const struct oworkq *q, struct orlop_bytes key)
{
	const struct item *i = item_find(q, key);

	return i != NULL ? i->failures : 0;
}

void oworkq_done(struct oworkq *q, struct orlop_bytes key)
{
	struct item *i = item_find(q, key);

	if (i == NULL || !i->in_hand)
		return;
	i->in_hand = false;
	q->n_in_hand--;
	observe(q, q->m_worked, i->since_ns);
	if (i->dirty)
		make_ready(q, i);
	else
		item_release(q, i);
	set_pump(q);
}

void oworkq_pause(struct oworkq *q, bool paused)
{
	q->c.paused = paused;
	set_pump(q);
}

uint32_t oworkq_depth(const struct oworkq *q)
{
	return q->n_ready;
}

uint32_t oworkq_in_hand(const struct oworkq *q)
{
	return q->n_in_hand;
}

uint32_t oworkq_waiting(const struct oworkq *q)
{
	return q->n_heap;
}
