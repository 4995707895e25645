/*
 * watch-queue.c - events of a watch whose objects a webhook converts: gathered, asked for together, sent in order.
 */
#include "convert.h"
#include "watch.h"

#include <errno.h>
#include <string.h>

#define QUEUE_MAX 100u

struct reg_queue {
	struct {
		uint32_t	type;
		uint64_t	rev;
		const void	*obj;	/* who it is, for the events' cache; not looked into */
	}		v[QUEUE_MAX];
	struct reg_convert *convert;
	unsigned int	n, at;
	bool		started;
	bool		ready;
	char		*why;		/* it cannot be converted */
};

static void queue_free(struct reg_watch *w)
{
	struct reg_queue *q = w->queue;

	w->queue = NULL;
	if (!q)
		return;
	convert_free(q->convert);
	omem_free(q->why);
	omem_free(q);
}

void reg_queue_done(struct reg_watch *w)
{
	queue_free(w);
}

int reg_queue_put(struct reg_watch *w, uint32_t type, const void *obj, struct orlop_bytes json, struct orlop_bytes version,
		  uint64_t rev)
{
	struct reg_queue *q = w->queue ? w->queue : OMEM_NEW(struct reg_queue);
	int r;

	if (!q)
		return -ENOMEM;
	w->queue = q;
	if (!q->convert)
		q->convert = convert_new(w->k);
	r = q->convert ? convert_add(q->convert, json, version) : -ENOMEM;
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

static void on_converted(void *arg, const char *why)
{
	struct reg_watch *w = arg;
	struct reg_queue *q = w->queue;

	q->ready = true;
	if (why)
		q->why = omem_strdup(why);
	reg_watch_again(w);
}

int reg_queue_next(struct reg_watch *w, struct reg_event *ev)
{
	struct reg_queue *q = w->queue;
	struct obuf b = OBUF_INIT;
	int r;

	if (!q)
		return -ENODATA;
	if (!q->started) {
		q->started = true;
		convert_start(q->convert, on_converted, w);
	}
	if (!q->ready)
		return 0;
	if (q->why) {
		r = reg_event_error(w, q->why, ev);
		queue_free(w);
		return r;
	}
	r = convert_put(q->convert, q->at, &b);
	if (r == 0)
		r = reg_event_json(w, q->v[q->at].type, q->v[q->at].obj, (struct orlop_bytes){ b.data, b.len }, q->v[q->at].rev, ev);
	obuf_done(&b);
	w->told = q->v[q->at].rev;
	if (++q->at == q->n || r < 0)
		queue_free(w);
	return r;
}
