/*
 * A watch on a connection: events go out by reference as long as the client keeps up.
 *
 * Bytes of events live in cached objects; each batch holds the watch until its last byte is with the
 * kernel, so a client that has gone may leave a watch behind for a moment.
 */
#include "front.h"

#include <errno.h>
#include <string.h>

#define QUEUE_HIGH	(256u * 1024)	/* bytes waiting for one client */
#define QUEUE_LOW	(32u * 1024)
#define BATCH		16		/* events in one write */

struct fwatch {
	struct front		*f;		/* NULL: the response has ended */
	struct ashard		*sh;
	struct olist		link;		/* sh->watches */
	struct reg_watch	*w;
	struct orlop_metric	*events;
	struct orlop_metric	*sizes;
	uint32_t		n_batches;	/* not yet released */
	bool			pumping;
};

struct batch {
	struct fwatch		*fw;
	uint32_t		n;
	struct reg_event	ev[];
};

static void fwatch_free_if_idle(struct fwatch *fw)
{
	if (fw->f || fw->n_batches || fw->pumping)
		return;
	olist_del(&fw->link);
	reg_watch_free(fw->w);
	omem_free(fw);
}

static void release_batch(void *arg)
{
	struct batch *b = arg;
	struct fwatch *fw = b->fw;

	for (uint32_t i = 0; i < b->n; i++)
		reg_event_done(fw->w, &b->ev[i]);
	omem_free(b);
	fw->n_batches--;
	fwatch_free_if_idle(fw);
}

/* Takes up to BATCH events and sends them. What ended it: 1 more may come, 0 nothing now, -errno. */
static int send_batch(struct fwatch *fw)
{
	struct reg_event got[BATCH];
	struct ohttp_piece v[BATCH * 4];
	struct batch *b;
	uint32_t n_got = 0;
	size_t n = 0;
	int r = 1;

	while (n_got < BATCH) {
		struct reg_event *ev = &got[n_got];

		r = reg_watch_next(fw->w, ev);
		if (r != 1)
			break;
		n_got++;
		if (fw->sizes)
			fw->sh->h->metric_observe(fw->sizes, (double)ev->len);
		for (uint32_t i = 0; i < ev->n_pieces; i++)
			v[n++] = (struct ohttp_piece){ ev->pieces[i].p, ev->pieces[i].len, NULL, NULL };
	}
	if (n_got == 0)
		return r;
	b = omem_alloc(sizeof(*b) + n_got * sizeof(b->ev[0]));
	if (!b) {
		for (uint32_t i = 0; i < n_got; i++)
			reg_event_done(fw->w, &got[i]);
		return -ENOMEM;
	}
	b->fw = fw;
	b->n = n_got;
	memcpy(b->ev, got, n_got * sizeof(b->ev[0]));
	fw->n_batches++;
	if (fw->events)
		fw->sh->h->metric_add(fw->events, b->n);
	v[n - 1].release = release_batch;
	v[n - 1].arg = b;
	(void)ohttp_write(fw->f->req, v, n);
	return r;
}

static void end_response(struct fwatch *fw, bool in_order)
{
	struct front *f = fw->f;
	struct ohttp_req *req = f->req;

	fw->f = NULL;
	f->req = NULL;
	if (in_order)
		ohttp_end(req);
	else
		ohttp_abort(req);
	front_done(f, 200);
}

static void pump(struct fwatch *fw)
{
	int r = 1;

	if (fw->pumping || !fw->f)
		return;
	fw->pumping = true;
	while (fw->f && r == 1 && ohttp_queued(fw->f->req) < QUEUE_HIGH)
		r = send_batch(fw);
	if (fw->f && r < 0)
		end_response(fw, r == -ENODATA);
	fw->pumping = false;
	fwatch_free_if_idle(fw);
}

static void on_wake(void *arg)
{
	pump(arg);
}

static void on_writable(void *arg, struct ohttp_req *req)
{
	(void)req;
	pump(arg);
}

static void on_close(void *arg, struct ohttp_req *req)
{
	struct fwatch *fw = arg;
	struct front *f = fw->f;

	(void)req;
	fw->f = NULL;
	front_done(f, 200);
	fwatch_free_if_idle(fw);
}

void watch_begin(struct front *f, struct reg_watch *take_w)
{
	struct fwatch *fw = OMEM_NEW(struct fwatch);
	struct ohttp_header hdr[12];
	size_t n;

	if (!fw) {
		reg_watch_free(take_w);
		ohttp_abort(f->req);
		front_done(f, 500);
		return;
	}
	fw->f = f;
	fw->sh = f->sh;
	fw->w = take_w;
	metrics_longrunning(f);
	metrics_watch(f, &fw->events, &fw->sizes);
	fw->pumping = true;	/* it stays, whatever the first write does */
	olist_append(&f->sh->watches, &fw->link);
	ohttp_on_close(f->req, on_close, fw);
	reg_watch_wake(take_w, on_wake, fw);
	n = front_headers(f, hdr, f->rq.proto ? REG_PROTO_WATCH_TYPE : "application/json");
	ohttp_on_writable(f->req, QUEUE_LOW, on_writable, fw);
	ohttp_reply_start(f->req, 200, hdr, n);
	/* Our successor serves already: it is asked again there, from the bookmark that ends this one. */
	if (fw->f && fw->sh->draining)
		reg_watch_drain(take_w);
	fw->pumping = false;
	if (fw->f)
		pump(fw);
	else
		fwatch_free_if_idle(fw);
}

/* A watch that ends at once frees itself, so they move over one by one. */
void watch_drain(struct ashard *sh)
{
	struct olist todo, *l;

	olist_init(&todo);
	olist_splice(&todo, &sh->watches);
	while ((l = olist_shift(&todo)) != NULL) {
		olist_append(&sh->watches, l);
		reg_watch_drain(OLIST_ENTRY(l, struct fwatch, link)->w);
	}
}

/* What is said to many watches of one HTTP/2 connection leaves together. */
void watch_burst(void *arg, bool begins)
{
	struct ashard *sh = arg;

	if (!sh->srv)
		return;
	if (begins)
		ohttp_server_hold(sh->srv);
	else
		ohttp_server_release(sh->srv);
}
