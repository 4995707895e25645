/*
 * watch.c - WATCH: a cursor into the cache's journal, and the bytes of its events.
 *
 * The front pulls: reg_watch_next() until it says 0, then waits for the wake-up. Plain events are
 * sent from the cached object's own bytes; other forms are made once per shard and shared.
 * One timer a shard serves all bookmarks (on a common grid of a minute) and timeouts.
 */
#include "op.h"
#include "render.h"
#include "select.h"
#include "verbs.h"

#include "json/ojson.h"

#include <errno.h>
#include <string.h>

#define SECOND		UINT64_C(1000000000)
#define BOOKMARK_NS	(60 * SECOND)
#define FRESH_WAIT_NS	(3 * SECOND)
#define EVCACHE_N	64u
#define BATCH_MIN	16u
#define BATCH_MAX	65536u

/* Bytes shared by the events of one shard. */
struct reg_bytes {
	uint32_t	refs;
	size_t		len;
	char		p[];
};

/* The last events that had to be made, direct-mapped. */
struct reg_evcache {
	struct {
		const struct reg_kind *k;
		uint64_t	rev;
		uint32_t	type;
		uint32_t	form;
		const void	*obj;
		struct reg_bytes *bytes;
	}		slot[EVCACHE_N];
};

struct reg_watch {
	struct olist	link;		/* in the resource's list */
	struct olist	all;		/* in the shard's list */
	struct reg_shard *sh;
	const struct reg_kind *k;
	struct reg_select sel;
	char		*names;		/* copies of namespace and name */
	enum reg_form	form;
	enum reg_include include;
	uint64_t	cursor;
	uint64_t	end_at;		/* monotonic */
	uint64_t	bookmark_at;	/* 0: none wanted */
	uint64_t	told;		/* resourceVersion of the last event or bookmark */
	orlop_cb	wake;
	void		*wake_arg;
	bool		armed;
	bool		ending;		/* time is up, or drain */
	bool		ended;
	bool		initial;	/* snapshot is being sent */
	bool		initial_mark;	/* then a bookmark that says so */
	bool		bookmarks;
	bool		columns_sent;
	struct orlop_snapshot *snap;
	struct orlop_iter *iter;
	struct orlop_change *batch;
	uint32_t	batch_cap;
	int32_t		batch_n;
	int32_t		batch_i;
	struct reg_op	*op;		/* while starting */
};

static const char *const type_names[] = { "", "ADDED", "MODIFIED", "DELETED" };

/* ---- shared bytes ---- */

static struct reg_bytes *bytes_new(struct obuf *b)
{
	struct reg_bytes *s = obuf_err(b) ? NULL : omem_alloc(sizeof(*s) + b->len);

	if (s) {
		s->refs = 1;
		s->len = b->len;
		memcpy(s->p, b->data, b->len);
	}
	return s;
}

static void bytes_unref(struct reg_bytes *s)
{
	if (s && --s->refs == 0)
		omem_free(s);
}

void reg_evcache_free(struct reg_evcache *c)
{
	for (uint32_t i = 0; c && i < EVCACHE_N; i++)
		bytes_unref(c->slot[i].bytes);
	omem_free(c);
}

static int event_shared(struct reg_event *ev, struct reg_bytes *take_b)
{
	if (!take_b)
		return -ENOMEM;
	ev->shared = take_b;
	ev->pieces[0] = (struct orlop_bytes){ take_b->p, take_b->len };
	ev->n_pieces = 1;
	ev->len = take_b->len;
	return 1;
}

void reg_event_done(struct reg_watch *w, struct reg_event *ev)
{
	if (ev->obj)
		w->sh->h->object_unref(ev->obj);
	bytes_unref(ev->shared);
	memset(ev, 0, sizeof(*ev));
}

/* ---- events ---- */

static void add_piece(struct reg_event *ev, const char *p, size_t len)
{
	ev->pieces[ev->n_pieces++] = (struct orlop_bytes){ p, len };
	ev->len += len;
}

/* {"type":"ADDED","object":{…}} from the object's bytes; takes a reference of it. */
static int event_plain(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev)
{
	static const char *const heads[] = {
		"", "{\"type\":\"ADDED\",\"object\":", "{\"type\":\"MODIFIED\",\"object\":",
		"{\"type\":\"DELETED\",\"object\":",
	};

	ev->obj = w->sh->h->object_ref(o);
	add_piece(ev, heads[type], strlen(heads[type]));
	add_piece(ev, w->k->prefix.p, w->k->prefix.len);
	add_piece(ev, o->json.p, o->json.len);
	add_piece(ev, "}}\n", 3);
	return 1;
}

/* Another form, or bytes that no object has (@json): made, and kept for the next watcher. */
static int event_made(struct reg_watch *w, uint32_t type, const void *obj, struct orlop_bytes json,
		      uint64_t rev, struct reg_event *ev)
{
	struct reg_shard *sh = w->sh;
	uint32_t form = (uint32_t)w->form * 4 + (uint32_t)w->include;
	bool columns = w->form == REG_FORM_TABLE && !w->columns_sent;
	uint32_t at = (uint32_t)(rev * 31 + type * 7 + form + w->k->id) % EVCACHE_N;
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;
	int r;

	w->columns_sent = true;
	if (!sh->evcache)
		sh->evcache = OMEM_NEW(struct reg_evcache);
	if (sh->evcache && !columns && sh->evcache->slot[at].bytes && sh->evcache->slot[at].k == w->k &&
	    sh->evcache->slot[at].rev == rev && sh->evcache->slot[at].type == type &&
	    sh->evcache->slot[at].form == form && sh->evcache->slot[at].obj == obj) {
		sh->evcache->slot[at].bytes->refs++;
		return event_shared(ev, sh->evcache->slot[at].bytes);
	}
	obuf_printf(&b, "{\"type\":\"%s\",\"object\":", type_names[type]);
	r = render_one(sh, w->k, w->form, w->include, json, rev, columns, &b);
	obuf_puts(&b, "}\n");
	s = r ? NULL : bytes_new(&b);
	obuf_done(&b);
	if (s && sh->evcache && !columns) {
		bytes_unref(sh->evcache->slot[at].bytes);
		s->refs++;
		sh->evcache->slot[at].k = w->k;
		sh->evcache->slot[at].rev = rev;
		sh->evcache->slot[at].type = type;
		sh->evcache->slot[at].form = form;
		sh->evcache->slot[at].obj = obj;
		sh->evcache->slot[at].bytes = s;
	}
	return event_shared(ev, s);
}

static int event_object(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev)
{
	if (render_plain(w->k, w->form))
		return event_plain(w, type, o, ev);
	return event_made(w, type, o, o->json, o->rev, ev);
}

/* The object left the selection: its state before, with the revision of the change. */
static int event_left(struct reg_watch *w, const struct orlop_change *c, struct reg_event *ev)
{
	char was[48], is[48];
	int n = snprintf(was, sizeof(was), "\"resourceVersion\":\"%llu\"", (unsigned long long)c->prev->rev);
	struct orlop_bytes j = c->prev->json;
	const char *at = memmem(j.p, j.len, was, (size_t)n);
	struct obuf b = OBUF_INIT;
	int r;

	if (!at)
		return event_object(w, ORLOP_CHANGE_DELETED, c->prev, ev);
	snprintf(is, sizeof(is), "\"resourceVersion\":\"%llu\"", (unsigned long long)c->rev);
	obuf_append(&b, j.p, (size_t)(at - j.p));
	obuf_puts(&b, is);
	obuf_append(&b, at + n, (size_t)(j.p + j.len - at - n));
	r = obuf_err(&b);
	if (r == 0)
		r = event_made(w, ORLOP_CHANGE_DELETED, c->prev, (struct orlop_bytes){ b.data, b.len },
			       c->rev, ev);
	obuf_done(&b);
	return r;
}

static int event_bookmark(struct reg_watch *w, uint64_t rev, bool initial_end, struct reg_event *ev)
{
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;

	obuf_puts(&b, "{\"type\":\"BOOKMARK\",\"object\":");
	if (w->form == REG_FORM_TABLE)
		obuf_puts(&b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
	else if (w->form == REG_FORM_META)
		obuf_puts(&b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",");
	else
		obuf_append(&b, w->k->prefix.p, w->k->prefix.len);
	obuf_printf(&b, "\"metadata\":{\"resourceVersion\":\"%llu\"", (unsigned long long)rev);
	if (initial_end)
		obuf_puts(&b, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
	obuf_puts(&b, w->form == REG_FORM_TABLE ? "},\"columnDefinitions\":[],\"rows\":[]}}\n" : "}}}\n");
	s = bytes_new(&b);
	obuf_done(&b);
	w->told = rev;
	return event_shared(ev, s);
}

/* The last event of a watch that cannot go on. */
static int event_expired(struct reg_watch *w, struct reg_event *ev)
{
	struct orlop_resource *res = reg_open(w->sh, w->k);
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;

	obuf_printf(&b, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"too old resource version: %llu (%llu)\",\"reason\":\"Expired\",\"code\":410}}\n",
		    (unsigned long long)w->cursor, (unsigned long long)w->sh->h->journal_oldest(res));
	s = bytes_new(&b);
	obuf_done(&b);
	w->ended = true;
	return event_shared(ev, s);
}

/* ---- timers ---- */

static void wake_one(struct reg_watch *w)
{
	if (w->armed && w->wake) {
		w->armed = false;
		w->wake(w->wake_arg);
	}
}

/* Wake all of @head. A woken watch may free itself and others, so they move over one by one. */
static void wake_all(struct olist *head, bool second_link)
{
	struct olist todo, *n;

	olist_init(&todo);
	olist_splice(&todo, head);
	while ((n = olist_shift(&todo)) != NULL) {
		olist_append(head, n);
		wake_one(second_link ? OLIST_ENTRY(n, struct reg_watch, all) :
			 OLIST_ENTRY(n, struct reg_watch, link));
	}
}

void reg_watch_note(struct reg_shard *sh, uint16_t kind_id)
{
	wake_all(&sh->open[kind_id].watches, false);
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
	wake_all(&sh->watches, true);	/* those that are not due find nothing and arm again */
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

static int next_initial(struct reg_watch *w, struct reg_event *ev)
{
	struct orlop_object *o;

	while (w->iter && (o = w->sh->h->iter_next(w->iter)) != NULL)
		if (reg_select_match(&w->sel, o))
			return event_object(w, ORLOP_CHANGE_ADDED, o, ev);
	initial_done(w);
	if (w->initial_mark) {
		w->initial_mark = false;
		return event_bookmark(w, w->cursor, true, ev);
	}
	return 0;
}

/* What one change is to this watch; 0: nothing. */
static int next_change(struct reg_watch *w, struct orlop_change *c, struct reg_event *ev)
{
	bool was, is;

	w->told = c->rev;
	switch (c->type) {
	case ORLOP_CHANGE_ADDED:
		return reg_select_match(&w->sel, c->object) ?
		       event_object(w, ORLOP_CHANGE_ADDED, c->object, ev) : 0;
	case ORLOP_CHANGE_DELETED:
		return reg_select_match(&w->sel, c->prev ? c->prev : c->object) ?
		       event_object(w, ORLOP_CHANGE_DELETED, c->object, ev) : 0;
	default:
		was = c->prev && reg_select_match(&w->sel, c->prev);
		is = reg_select_match(&w->sel, c->object);
		if (is)
			return event_object(w, was ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED,
					    c->object, ev);
		return was ? event_left(w, c, ev) : 0;
	}
}

static void drop_change(struct reg_watch *w, struct orlop_change *c)
{
	w->sh->h->object_unref(c->object);
	w->sh->h->object_unref(c->prev);
	c->object = c->prev = NULL;
}

/* Read the next changes. > 0, 0 nothing new, -ESTALE, -ENOMEM. */
static int32_t refill(struct reg_watch *w)
{
	struct orlop_resource *res = reg_open(w->sh, w->k);
	uint64_t rev = w->sh->h->resource_rev(res, NULL);
	int32_t n;

	for (;;) {
		if (!w->batch) {
			w->batch = omem_alloc_array(w->batch_cap, sizeof(*w->batch));
			if (!w->batch)
				return -ENOMEM;
		}
		n = w->sh->h->journal_read(res, &w->cursor, w->batch, w->batch_cap);
		if (n != -EMSGSIZE)
			break;
		if (w->batch_cap >= BATCH_MAX)
			return -ENOMEM;
		omem_free(w->batch);
		w->batch = NULL;
		w->batch_cap *= 2;
	}
	w->batch_i = 0;
	w->batch_n = n > 0 ? n : 0;
	if (n == 0 && rev > w->cursor)
		w->cursor = rev;
	if (n <= 0) {
		omem_free(w->batch);	/* an idle watch keeps nothing */
		w->batch = NULL;
		w->batch_cap = BATCH_MIN;
	}
	return n;
}

int reg_watch_next(struct reg_watch *w, struct reg_event *ev)
{
	uint64_t now;
	int32_t n;
	int r;

	memset(ev, 0, sizeof(*ev));
	if (w->ended)
		return -ENODATA;
	if (w->initial || w->initial_mark) {
		r = next_initial(w, ev);
		if (r)
			return r;
	}
	for (;;) {
		while (w->batch_i < w->batch_n) {
			struct orlop_change *c = &w->batch[w->batch_i++];

			r = next_change(w, c, ev);
			drop_change(w, c);
			if (r)
				return r;
		}
		n = refill(w);
		if (n == -ESTALE)
			return event_expired(w, ev);
		if (n < 0)
			return n;
		if (n == 0)
			break;
	}
	now = w->sh->h->now_mono(w->sh->h);
	if (w->ending || now >= w->end_at) {
		if (w->bookmarks && w->told < w->cursor)
			return event_bookmark(w, w->cursor, false, ev);
		w->ended = true;
		return -ENODATA;
	}
	if (w->bookmark_at && now >= w->bookmark_at) {
		w->bookmark_at = next_bookmark(now);
		if (w->told < w->cursor)
			return event_bookmark(w, w->cursor, false, ev);
	}
	w->armed = true;
	return 0;
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
	initial_done(w);
	while (w->batch_i < w->batch_n)
		drop_change(w, &w->batch[w->batch_i++]);
	omem_free(w->batch);
	reg_select_done(&w->sel);
	omem_free(w->names);
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
			return;
		}
}

/* Ask for notes of @k once a shard. */
void reg_notes_on(struct reg_shard *sh, const struct reg_kind *k)
{
	struct reg_open *o = &sh->open[k->stored->id];

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
	op->ans.watch = w;
	op->ans.code = 200;
	reg_deliver(op);
}

static void on_fresh(void *arg, int32_t status)
{
	struct reg_watch *w = arg;
	struct reg_op *op = w->op;

	if (status < 0) {
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
	w->op = op;
	w->form = op->rq.form;
	w->include = op->opt.include;
	w->bookmarks = op->opt.bookmarks;
	w->batch_cap = BATCH_MIN;
	olist_append(&op->sh->open[op->k->stored->id].watches, &w->link);
	olist_append(&op->sh->watches, &w->all);
	op->sh->n_watches++;
	r = reg_select_init(op, &w->sel);
	if (r == 0)
		r = keep_names(w);
	if (r == 0 && op->opt.has_rv && op->opt.rv_n > op->sh->h->resource_rev(res, NULL)) {
		r = op->sh->h->cache_wait(res, op->opt.rv_n, FRESH_WAIT_NS, on_fresh, w);
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
