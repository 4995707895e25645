/*
 * watch-queue.c - events of a watch whose objects a webhook converts: gathered, asked for together (and once for all watches),
 * sent in order.
 */
#include "convert.h"
#include "watch.h"

#include <errno.h>
#include <string.h>

#define QUEUE_MAX 100u

struct queued {
	struct convert_item *item;
	struct orlop_object *obj;	/* who it is, for the events' cache */
	uint32_t	type;
	uint64_t	rev;
	/* reg_queue_ask(): the state before, NULL where it does not matter */
	struct convert_item *was_item;
	struct orlop_object *was_obj;
	uint64_t	was_rev;
	int		was, is;	/* as reg_select_match() has it */
	bool		asked;		/* otherwise it is an event */
};

struct reg_queue {
	struct queued	v[QUEUE_MAX];
	struct convert_round *round;	/* what of them has to be asked for; NULL: nothing, or it is */
	unsigned int	n, at;
};

static void queued_done(struct queued *e)
{
	convert_item_unref(e->item);
	convert_item_unref(e->was_item);
	e->item = e->was_item = NULL;
}

static void queue_free(struct reg_watch *w)
{
	struct reg_queue *q = w->queue;

	w->queue = NULL;
	if (!q)
		return;
	convert_round_drop(q->round);
	for (unsigned int i = q->at; i < q->n; i++)
		queued_done(&q->v[i]);
	omem_free(q);
}

void reg_queue_done(struct reg_watch *w)
{
	queue_free(w);
}

static struct reg_queue *queue_of(struct reg_watch *w)
{
	if (!w->queue)
		w->queue = OMEM_NEW(struct reg_queue);
	return w->queue;
}

int reg_queue_put(struct reg_watch *w, uint32_t type, struct orlop_object *obj, struct orlop_bytes json, struct orlop_bytes version,
		  uint64_t rev)
{
	struct reg_queue *q = queue_of(w);
	struct queued e = { .obj = obj, .type = type, .rev = rev };
	int r = q ? convert_share(w->sh, w->k, obj, json, version, rev, &q->round, &e.item) : -ENOMEM;

	if (r == 0)
		q->v[q->n++] = e;
	return r;
}

static int ask(struct reg_watch *w, struct orlop_object *obj, struct convert_item **ret)
{
	return convert_share(w->sh, w->k, obj, obj->json, convert_version(obj), obj->rev, &w->queue->round, ret);
}

int reg_queue_ask(struct reg_watch *w, const struct orlop_change *c, int was, int is)
{
	struct reg_queue *q = queue_of(w);
	struct queued e = { .obj = c->object, .type = c->type, .rev = c->rev, .was = was, .is = is, .asked = true };
	int r = q ? 0 : -ENOMEM;

	if (r == 0 && (is || c->type == ORLOP_CHANGE_DELETED))
		r = ask(w, c->object, &e.item);
	if (r == 0 && was && c->prev) {
		e.was_obj = c->prev;
		e.was_rev = c->prev->rev;
		r = ask(w, c->prev, &e.was_item);
	}
	if (r == 0)
		q->v[q->n++] = e;
	else
		queued_done(&e);
	return r;
}

bool reg_queue_full(const struct reg_watch *w)
{
	return w->queue && w->queue->n == QUEUE_MAX;
}

/* What left the selection: as it was before. */
static int left(struct reg_watch *w, const struct queued *e, struct orlop_bytes was, struct reg_event *ev)
{
	struct obuf b = OBUF_INIT;
	int r = reg_event_left_json(was, e->was_rev, e->rev, &b);

	if (r == 0 || r == -ENOENT)
		r = reg_event_json(w, ORLOP_CHANGE_DELETED, e->was_obj, r ? was : (struct orlop_bytes){ b.data, b.len }, e->rev, ev);
	obuf_done(&b);
	return r;
}

static bool selected(const struct reg_watch *w, int match, struct orlop_bytes json)
{
	return match == REG_SELECT_CONVERTED ? reg_select_served(&w->sel, json) : match != 0;
}

/* What it is made of is there. 0: it is nothing to this watch. */
static int tell(struct reg_watch *w, const struct queued *e, struct orlop_bytes json, struct orlop_bytes was_json, struct reg_event *ev)
{
	uint32_t type = e->type;

	if (e->asked) {
		bool is = selected(w, e->is, json), was = selected(w, e->was, e->was_item ? was_json : json);

		if (type == ORLOP_CHANGE_DELETED ? !was : !is)
			return type == ORLOP_CHANGE_MODIFIED && was ? left(w, e, was_json, ev) : 0;
		if (type == ORLOP_CHANGE_MODIFIED && !was)
			type = ORLOP_CHANGE_ADDED;
	}
	return reg_event_json(w, type, e->obj, json, e->rev, ev);
}

int reg_queue_next(struct reg_watch *w, struct reg_event *ev)
{
	struct reg_queue *q = w->queue;
	struct convert_round *round;
	int r = 0;

	if (!q)
		return -ENODATA;
	round = q->round;
	q->round = NULL;
	convert_round_start(round);
	while (r == 0 && q->at < q->n) {
		struct orlop_bytes json = RB0, was_json = RB0;
		const char *why = NULL, *was_why = NULL;
		struct queued *e = &q->v[q->at];

		if ((e->item && !convert_item_ready(e->item, &why, &json)) ||
		    (e->was_item && !convert_item_ready(e->was_item, &was_why, &was_json)))
			return 0;
		if (why || was_why) {
			r = reg_event_error(w, why ? why : was_why, ev);
			queue_free(w);
			return r;
		}
		r = tell(w, e, json, was_json, ev);
		if (r > 0)
			w->told = e->rev;
		queued_done(e);
		q->at++;
	}
	if (q->at == q->n || r < 0)
		queue_free(w);
	return r ? r : -ENODATA;
}
