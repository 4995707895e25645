/*
 * watch-queue.c - events of a watch whose objects a webhook converts: gathered, asked for together (and once for all watches),
 * sent in order.
 */
#include "convert.h"
#include "watch.h"

#include <errno.h>
#include <string.h>

#define QUEUE_MAX 100u

struct reg_queue {
	struct {
		struct convert_item *item;
		struct orlop_object *obj;	/* who it is, for the events' cache */
		uint32_t	type;
		uint64_t	rev;
	}		v[QUEUE_MAX];
	struct convert_round *round;	/* what of them has to be asked for; NULL: nothing, or it is */
	unsigned int	n, at;
};

static void queue_free(struct reg_watch *w)
{
	struct reg_queue *q = w->queue;

	w->queue = NULL;
	if (!q)
		return;
	convert_round_drop(q->round);
	for (unsigned int i = q->at; i < q->n; i++)
		convert_item_unref(q->v[i].item);
	omem_free(q);
}

void reg_queue_done(struct reg_watch *w)
{
	queue_free(w);
}

int reg_queue_put(struct reg_watch *w, uint32_t type, struct orlop_object *obj, struct orlop_bytes json, struct orlop_bytes version,
		  uint64_t rev)
{
	struct reg_queue *q = w->queue ? w->queue : OMEM_NEW(struct reg_queue);
	int r;

	if (!q)
		return -ENOMEM;
	w->queue = q;
	r = convert_share(w->sh, w->k, obj, json, version, rev, &q->round, &q->v[q->n].item);
	if (r)
		return r;
	q->v[q->n].type = type;
	q->v[q->n].obj = obj;
	q->v[q->n++].rev = rev;
	return 0;
}

bool reg_queue_full(const struct reg_watch *w)
{
	return w->queue && w->queue->n == QUEUE_MAX;
}

int reg_queue_next(struct reg_watch *w, struct reg_event *ev)
{
	struct reg_queue *q = w->queue;
	struct convert_round *round;
	struct orlop_bytes json;
	const char *why;
	int r;

	if (!q)
		return -ENODATA;
	round = q->round;
	q->round = NULL;
	convert_round_start(round);
	if (!convert_item_ready(q->v[q->at].item, &why, &json))
		return 0;
	if (why) {
		r = reg_event_error(w, why, ev);
		queue_free(w);
		return r;
	}
	r = reg_event_json(w, q->v[q->at].type, q->v[q->at].obj, json, q->v[q->at].rev, ev);
	w->told = q->v[q->at].rev;
	convert_item_unref(q->v[q->at++].item);
	if (q->at == q->n || r < 0)
		queue_free(w);
	return r;
}
