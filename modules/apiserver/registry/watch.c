/*
 * watch.c - WATCH: a cursor into the cache's journal.
 *
 * The front pulls: reg_watch_next() until it says 0, then waits for the wake-up.
 * One timer a shard serves all bookmarks (on a common grid of a minute) and timeouts.
 */
#include "custom.h"
#include "watch.h"
#include "render.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define SECOND		UINT64_C(1000000000)
#define BOOKMARK_NS	(60 * SECOND)
#define FRESH_WAIT_NS	(3 * SECOND)
#define BATCH_MIN	16u
#define BATCH_MAX	65536u

/* ---- timers ---- */

static void wake_one(struct reg_watch *w)
{
	if (w->armed && w->wake) {
		w->armed = false;
		w->wake(w->wake_arg);
	}
}

/* Wake all of @head. A woken watch may free itself and others, so they move over one by one. */
static void wake_all(struct reg_shard *sh, struct olist *head, bool second_link)
{
	struct olist todo, *n;

	olist_init(&todo);
	olist_splice(&todo, head);
	if (sh->burst)
		sh->burst(sh->burst_arg, true);
	while ((n = olist_shift(&todo)) != NULL) {
		olist_append(head, n);
		wake_one(second_link ? OLIST_ENTRY(n, struct reg_watch, all) :
			 OLIST_ENTRY(n, struct reg_watch, link));
	}
	if (sh->burst)
		sh->burst(sh->burst_arg, false);
}

void reg_watch_again(struct reg_watch *w)
{
	wake_one(w);
}

void reg_watch_note(struct reg_shard *sh, uint16_t kind_id)
{
	wake_all(sh, &sh->open[kind_id].watches, false);
}

void reg_open_note(struct reg_shard *sh, struct reg_open *o)
{
	wake_all(sh, &o->watches, false);
}

static uint64_t due(const struct reg_watch *w)
{
	return w->bookmark_at && w->bookmark_at < w->end_at ? w->bookmark_at : w->end_at;
}

static void on_timer(void *arg);

static void timer_until(struct reg_shard *sh, uint64_t at)
{
	uint64_t now = sh->h->now_mono(sh->h);

	if (sh->watch_timer_at && sh->watch_timer_at <= at)
		return;
	if (!sh->watch_timer && sh->h->timer_new(sh->h, on_timer, sh, &sh->watch_timer))
		return;
	sh->watch_timer_at = at;
	sh->h->timer_set(sh->watch_timer, at > now ? at - now : 1, 0);
}

static void on_timer(void *arg)
{
	struct reg_shard *sh = arg;
	uint64_t next = 0;

	sh->watch_timer_at = 0;
	wake_all(sh, &sh->watches, true);	/* those that are not due find nothing and arm again */
	OLIST_FOREACH(n, &sh->watches) {
		uint64_t at = due(OLIST_ENTRY(n, struct reg_watch, all));

		if (!next || at < next)
			next = at;
	}
	if (next) {
		uint64_t soon = sh->h->now_mono(sh->h) + SECOND;

		/* one that is due but cannot send now must not make us spin */
		timer_until(sh, next < soon ? soon : next);
	}
}

/* The next minute of the common grid. */
static uint64_t next_bookmark(uint64_t now)
{
	return (now / BOOKMARK_NS + 1) * BOOKMARK_NS;
}

/* ---- pulling ---- */

static void initial_done(struct reg_watch *w)
{
	if (w->iter)
		w->sh->h->iter_close(w->iter);
	w->sh->h->snapshot_close(w->snap);
	w->iter = NULL;
	w->snap = NULL;
	w->initial = false;
}

/* What one change is to this watch; 0: nothing, or w->queue has it. */
static int next_change(struct reg_watch *w, struct orlop_change *c, struct reg_event *ev)
{
	struct orlop_object *before = c->type == ORLOP_CHANGE_DELETED && !c->prev ? c->object : c->prev;
	int was = before && c->type != ORLOP_CHANGE_ADDED ? reg_select_match(&w->sel, before) : 0;
	int is = was >= 0 && c->type != ORLOP_CHANGE_DELETED ? reg_select_match(&w->sel, c->object) : 0;

	if (was < 0 || is < 0)
		return was < 0 ? was : is;
	if (was == REG_SELECT_CONVERTED || is == REG_SELECT_CONVERTED)
		return reg_queue_ask(w, c, was, is);
	if (c->type == ORLOP_CHANGE_DELETED)
		return was ? reg_event_object(w, ORLOP_CHANGE_DELETED, c->object, ev) : 0;
	if (is)
		return reg_event_object(w, was ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED, c->object, ev);
	return was ? reg_event_left(w, c, ev) : 0;
}

/* 0: none is left, or w->queue has them. */
static int next_initial(struct reg_watch *w, struct reg_event *ev)
{
	struct orlop_object *o;

	while (w->iter && !reg_queue_full(w) && (o = w->sh->h->iter_next(w->iter)) != NULL) {
		struct orlop_change c = { .type = ORLOP_CHANGE_ADDED, .object = o, .rev = o->rev };
		int r = next_change(w, &c, ev);

		if (r)
			return r;
	}
	if (w->queue)
		return 0;
	initial_done(w);
	if (w->initial_mark) {
		w->initial_mark = false;
		return reg_event_bookmark(w, w->cursor, true, ev);
	}
	return 0;
}

static void drop_change(struct reg_watch *w, struct orlop_change *c)
{
	w->sh->h->object_unref(c->object);
	w->sh->h->object_unref(c->prev);
	c->object = c->prev = NULL;
}

/* One for all watches of a shard lies ready: they are told one after the other. */
static struct orlop_change *batch_new(struct reg_watch *w)
{
	struct orlop_change *b = w->sh->spare;

	if (!b || w->batch_cap != BATCH_MIN)
		return omem_alloc_array(w->batch_cap, sizeof(*b));
	w->sh->spare = NULL;
	return b;
}

static void batch_free(struct reg_watch *w)
{
	if (w->batch && w->batch_cap == BATCH_MIN && !w->sh->spare)
		w->sh->spare = w->batch;
	else
		omem_free(w->batch);
	w->batch = NULL;
}

/* Read the next changes. > 0, 0 nothing new, -EAGAIN not yet (a note comes), -ESTALE, -ENOMEM. */
static int32_t refill(struct reg_watch *w)
{
	struct orlop_resource *res = reg_open(w->sh, w->k);
	uint64_t rev = w->sh->h->resource_rev(res, NULL);
	int32_t n;

	for (;;) {
		if (!w->batch) {
			w->batch = batch_new(w);
			if (!w->batch)
				return -ENOMEM;
		}
		n = w->sh->h->journal_read(res, &w->cursor, w->batch, w->batch_cap);
		if (n != -EMSGSIZE)
			break;
		if (w->batch_cap >= BATCH_MAX)
			return -ENOMEM;
		batch_free(w);
		w->batch_cap *= 2;
	}
	w->batch_i = 0;
	w->batch_n = n > 0 ? n : 0;
	if (n == 0 && rev > w->cursor)
		w->cursor = rev;
	if (n <= 0) {
		batch_free(w);		/* an idle watch keeps nothing */
		w->batch_cap = BATCH_MIN;
	}
	return n;
}

/* Those that are converted; 0: not yet, and it is waited for; -ENODATA: none of them is an event here. */
static int next_queued(struct reg_watch *w, struct reg_event *ev)
{
	int r = reg_queue_next(w, ev);

	if (r == 0)
		w->armed = true;
	return r;
}

int reg_watch_next(struct reg_watch *w, struct reg_event *ev)
{
	uint64_t now;
	int32_t n;
	int r;

	memset(ev, 0, sizeof(*ev));
	if (w->ended)
		return -ENODATA;
	for (;;) {
		if (w->queue) {
			r = next_queued(w, ev);
			if (r != -ENODATA)
				return r;
		}
		if (w->initial || w->initial_mark) {
			r = next_initial(w, ev);
			if (r)
				return r;
			if (w->queue)
				continue;
		}
		while (w->batch_i < w->batch_n && !reg_queue_full(w)) {
			struct orlop_change *c = &w->batch[w->batch_i++];

			r = next_change(w, c, ev);
			if (r > 0)
				w->told = c->rev;	/* what is passed over is what bookmarks are for */
			drop_change(w, c);
			if (r)
				return r;
		}
		if (w->queue)
			continue;
		n = refill(w);
		if (n == -ESTALE) {
			w->ended = true;
			return reg_event_expired(w, ev);
		}
		if (n == 0 || n == -EAGAIN)
			break;
		if (n < 0)
			return n;
	}
	now = w->sh->h->now_mono(w->sh->h);
	if (w->ending || now >= w->end_at) {
		/* upstream sends it two seconds before the end; whoever goes on from it misses nothing */
		w->ended = true;
		return w->bookmarks ? reg_event_bookmark(w, w->cursor, false, ev) : -ENODATA;
	}
	if (w->bookmark_at && now >= w->bookmark_at) {
		w->bookmark_at = next_bookmark(now);
		if (w->told < w->cursor)
			return reg_event_bookmark(w, w->cursor, false, ev);
	}
	w->armed = true;
	return 0;
}

void reg_watch_burst(struct reg_shard *sh, void (*burst)(void *arg, bool begins), void *arg)
{
	sh->burst = burst;
	sh->burst_arg = arg;
}

void reg_watch_wake(struct reg_watch *w, orlop_cb wake, void *arg)
{
	w->wake = wake;
	w->wake_arg = arg;
}

void reg_watch_drain(struct reg_watch *w)
{
	w->ending = true;
	wake_one(w);
}

void reg_watch_free(struct reg_watch *w)
{
	if (!w)
		return;
	olist_del(&w->link);
	olist_del(&w->all);
	w->sh->n_watches--;
	reg_queue_done(w);
	initial_done(w);
	while (w->batch_i < w->batch_n)
		drop_change(w, &w->batch[w->batch_i++]);
	batch_free(w);
	reg_select_done(&w->sel);
	omem_free(w->names);
	reg_kind_release(w->k);
	omem_free(w);
}

/* ---- starting ---- */

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_shard *sh = arg;

	(void)rev;
	for (uint16_t i = 0; i < sh->rg->schema->n_resources; i++)
		if (sh->open[i].res == res) {
			reg_watch_note(sh, i);
			if (sh->expiry && &sh->rg->kinds[i] == sh->rg->events)
				reg_expiry_note(sh);
			if (&sh->rg->kinds[i] == sh->rg->crds)
				custom_ended(sh);
			return;
		}
	(void)custom_note(sh, res);
}

/* Ask for notes of @k once a shard. */
void reg_notes_on(struct reg_shard *sh, const struct reg_kind *k)
{
	struct reg_open *o = reg_open_of(sh, k);

	if (o->noted)
		return;
	o->noted = true;
	sh->h->resource_watch(o->res, on_note, sh);
}

static void start(struct reg_watch *w)
{
	struct reg_op *op = w->op;
	const struct orlop_host *h = w->sh->h;
	struct orlop_resource *res = reg_open(w->sh, w->k);
	bool state = op->opt.has_initial ? op->opt.initial : (!op->opt.has_rv || op->opt.rv_n == 0);
	uint64_t now = h->now_mono(h), life;
	int r = 0;

	w->op = NULL;
	if (state || !op->opt.has_rv || op->opt.rv_n == 0) {
		r = h->snapshot_open(res, &w->snap);
		if (r == 0)
			w->cursor = h->snapshot_rev(w->snap);
		if (r == 0 && state) {
			struct orlop_query q = { .size = sizeof(q) };

			reg_select_query(&w->sel, w->sh, &q);
			w->initial = true;
			w->initial_mark = op->opt.has_initial && w->bookmarks;
			if (!w->sel.never)
				r = h->iter_open(w->snap, &q, &w->iter);
		} else if (r == 0) {
			initial_done(w);
		}
	} else {
		w->cursor = op->opt.rv_n;
	}
	if (r) {
		reg_watch_free(w);
		reg_finish(op, r);
		return;
	}
	w->told = w->cursor;
	life = op->opt.timeout_s;
	if (!life) {
		uint32_t rnd;

		h->random(h, &rnd, sizeof(rnd));
		life = 1800 + rnd % 1800;
	}
	w->end_at = life < UINT64_C(31536000) ? now + life * SECOND : UINT64_MAX;
	if (w->bookmarks)
		w->bookmark_at = next_bookmark(now);
	timer_until(w->sh, due(w));
	reg_notes_on(w->sh, w->k);
	if (w->k->set && reg_open(w->sh, w->sh->rg->crds))
		reg_notes_on(w->sh, w->sh->rg->crds);
	op->ans.watch = w;
	op->ans.code = 200;
	reg_deliver(op);
}

static void on_fresh(void *arg, int32_t status)
{
	struct reg_watch *w = arg;
	struct reg_op *op = w->op;

	if (status < 0 && op->opt.has_rv) {
		struct orlop_resource *res = reg_open(w->sh, w->k);

		reg_watch_free(w);
		reg_finish(op, reg_too_large_rv(op, op->opt.rv_n, op->sh->h->resource_rev(res, NULL)));
		return;
	}
	start(w);
}

/* The selector outlives the request: namespace and name are copied. */
static int keep_names(struct reg_watch *w)
{
	struct orlop_bytes ns = w->sel.ns, name = w->sel.name;

	w->names = omem_alloc(ns.len + name.len + 1);
	if (!w->names)
		return -ENOMEM;
	if (ns.len)
		memcpy(w->names, ns.p, ns.len);
	if (name.len)
		memcpy(w->names + ns.len, name.p, name.len);
	w->sel.ns = (struct orlop_bytes){ w->names, ns.len };
	w->sel.name = (struct orlop_bytes){ w->names + ns.len, name.len };
	return 0;
}

void reg_do_watch(struct reg_op *op)
{
	struct orlop_resource *res = reg_open(op->sh, op->k);
	struct reg_watch *w = res ? OMEM_NEW(struct reg_watch) : NULL;
	int r;

	if (!w) {
		reg_finish(op, -ENOMEM);
		return;
	}
	w->sh = op->sh;
	w->k = op->k;
	reg_kind_hold(w->k);
	w->op = op;
	w->form = op->rq.form;
	w->include = op->opt.include;
	w->proto = op->rq.proto && w->form != REG_FORM_TABLE;
	w->bookmarks = op->opt.bookmarks;
	w->batch_cap = BATCH_MIN;
	olist_append(&reg_open_of(op->sh, op->k)->watches, &w->link);
	olist_append(&op->sh->watches, &w->all);
	op->sh->n_watches++;
	r = reg_select_init(op, &w->sel);
	if (r == 0)
		r = keep_names(w);
	if (r == 0 && reg_read_after(op) > op->sh->h->resource_rev(res, NULL)) {
		r = op->sh->h->cache_wait(res, reg_read_after(op), FRESH_WAIT_NS, on_fresh, w);
		if (r == 0)
			return;
	}
	if (r) {
		reg_watch_free(w);
		reg_finish(op, r);
		return;
	}
	start(w);
}
