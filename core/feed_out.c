/*
 * feed_out.c - this process's cache as frames for another: what, in which order, and how much; see feed_out.h.
 *
 * Round after round every resource is looked at: what its journal has behind our cursor goes out, cut to
 * what is wanted. One at a time is listed (a snapshot is held meanwhile): the present, so that the other side
 * is soon of use. What its journal knows more than that goes out when somebody there asks for it.
 */
#include "feed_out.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "feed_out_in.h"

/* ---- resources -------------------------------------------------------------------------------------- */

static void res_free(struct out_res *x)
{
	core_cache_close(x->handle);
	feed_wants_clear(x);
	omem_free(x);
}

static int res_add(struct core_feed_out *f, const char *name)
{
	size_t len = strlen(name);
	struct out_res *x;
	int r;

	if (f->n == CORE_FEED_RES_MAX || omap_has(&f->names, name, len))
		return 0;
	if (f->n == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 16;
		struct out_res **v = omem_realloc_array(f->v, cap, sizeof(struct out_res *));

		if (!v)
			return -ENOMEM;
		f->v = v;
		f->cap = cap;
	}
	x = omem_zalloc(sizeof(*x) + len + 1);
	if (!x)
		return -ENOMEM;
	memcpy(x->name, name, len + 1);
	x->list = true;
	r = core_cache_open(f->c, name, f->loop, f->owner, &x->handle, NULL) ? -ENOMEM : feed_wants_pick(f, x);
	if (r == 0) {
		core_cache_set_raw(x->handle);
		r = omap_add(&f->names, name, len, x);
	}
	if (r) {
		res_free(x);
		return r;
	}
	f->v[f->n++] = x;
	return 0;
}

struct discover {
	struct core_feed_out *f;
	int		r;
};

static bool seen(void *arg, const char *name)
{
	struct discover *d = arg;

	d->r = res_add(d->f, name);
	return d->r == 0;
}

/* Resources that are wanted and not known yet. 0 or -ENOMEM. */
static int discover(struct core_feed_out *f)
{
	struct discover d = { .f = f };
	uint32_t n = core_cache_n_names(f->c);
	bool all = false;

	for (const struct core_want *w = f->wants.first; w; w = w->next) {
		int r = 0;

		if (strcmp(w->pub.resource, "*") == 0)
			all = true;
		else
			r = res_add(f, w->pub.resource);
		if (r)
			return r;
	}
	if (all && n != f->n_names) {
		core_cache_names(f->c, seen, &d);
		f->n_names = d.r ? 0 : n;
	}
	return d.r;
}

/* ---- round by round ------------------------------------------------------------------------------------ */

/* Readers of the resource get an error here, or no longer. */
static int err_tell(struct core_feed_out *f, struct out_res *x, int32_t err)
{
	int r;

	if (err == x->err)
		return 0;
	r = feed_frame(f, CORE_FEED_FAIL, 0, x, (uint64_t)err);
	if (r == 0)
		x->err = err;
	return r;
}

/* What is new of @x. 0 or -ENOMEM. */
static int res_look(struct core_feed_out *f, struct out_res *x)
{
	int32_t synced = 0;
	uint64_t cursor = x->cursor;
	int32_t n;
	int r = x->repick ? feed_wants_pick(f, x) : 0;

	if (r || (!x->n_wants && !x->opened) || (x->fields && !core_cache_info(x->handle)))
		return r;
	if (feed_fields_number(x) || (x->listed && core_cache_joint(x->handle) != x->joint))
		x->list = true;
	n = feed_run_read(&f->run, x->handle, &cursor);
	if (n == -ENOMEM)
		return n;
	if (n == 0)
		(void)core_cache_rev(x->handle, &synced);
	if (n == 0 && !x->opened && !synced)
		return 0;		/* it has not been fed yet */
	if (!x->opened) {
		x->num = (uint16_t)f->n_opened;
		r = feed_frame_open(f, x);
		if (r) {
			feed_run_clear(&f->run);
			return r;
		}
		x->opened = true;
		f->n_opened++;
	}
	if (n < 0 && n != -ESTALE)
		return err_tell(f, x, -n);
	r = err_tell(f, x, 0);
	if (r || n == -ESTALE || x->list) {
		feed_run_clear(&f->run);
		x->list = true;
		(void)core_cache_rev(x->handle, &synced);
		return r || !synced ? r : feed_list_begin(f, x);
	}
	x->cursor = cursor;
	if (n > 0) {
		f->busy = x;
		f->run.rev = cursor;
		f->stay = x->joint && cursor < f->applied;
		f->again = f->again || (uint32_t)n == f->run.cap;
	} else if (!x->joint && cursor != x->told) {
		r = feed_frame(f, CORE_FEED_COMMIT, 0, x, cursor);
		if (r == 0)
			x->told = cursor;
	}
	return r;
}

/* The next whose past is asked for. */
static struct out_res *past_next(struct core_feed_out *f)
{
	for (uint32_t i = 0; f->n_past && i < f->n; i++)
		if (f->v[i]->past_upto)
			return f->v[i];
	f->n_past = 0;
	return NULL;
}

/* 1: something was done; 0: there is nothing more; -ENOMEM. */
static int step(struct core_feed_out *f)
{
	struct out_res *x;
	int r;

	if (f->busy) {
		r = f->snap ? feed_list_send(f) : f->past ? feed_past_send(f) : feed_run_send(f);
		return r ? r : 1;
	}
	x = past_next(f);
	if (x) {
		r = feed_past_begin(f, x);
		return r ? r : 1;
	}
	if (f->at < f->n) {
		f->stay = false;
		r = res_look(f, f->v[f->at]);
		if (r)
			return r;
		if (!f->stay)
			f->at++;
		if (f->at < f->n || f->busy)
			return 1;
	}
	/* The round is over: what is not mentioned is as new as everything was when it began. */
	if (f->applied != f->progress) {
		r = f->applied > f->progress ? feed_frame(f, CORE_FEED_PROGRESS, 0, NULL, f->applied) : 0;
		if (r)
			return r;
		f->progress = f->applied;
	}
	if (!f->again)
		return 0;
	f->again = false;
	f->applied = core_cache_fed(f->c) ? core_cache_applied(f->c) : 0;
	r = discover(f);
	f->at = 0;
	if (r)
		f->again = true;
	return r ? r : 1;
}

/* Sends what there is, as far as there is room. 0 or -ENOMEM. */
static int flush(struct core_feed_out *f)
{
	while (f->out_at < f->out.len && f->under_way < CORE_FEED_WINDOW) {
		size_t n = f->out.len - f->out_at;
		int r;

		if (n > CORE_FEED_PACKET)
			n = CORE_FEED_PACKET;
		r = f->io.send(f->io.ctx, f->out.data + f->out_at, n);
		if (r == -ENOMEM)
			return r;
		if (r) {
			f->dead = true;
			return 0;
		}
		f->out_at += n;
		f->under_way += n;
	}
	if (f->out_at == f->out.len) {
		if (f->out.cap > 4 * CORE_FEED_PACKET)
			obuf_done(&f->out);
		obuf_reset(&f->out);
		f->out_at = 0;
	} else if (f->out_at >= f->out.len - f->out_at) {
		obuf_splice(&f->out, 0, f->out_at, NULL, 0);
		f->out_at = 0;
	}
	return 0;
}

static void turn(struct core_feed_out *f)
{
	int r = 1;

	while (r > 0 && !f->dead) {
		if (f->out.len - f->out_at >= CORE_FEED_PACKET) {
			r = flush(f);
			if (r || f->out.len - f->out_at >= CORE_FEED_PACKET)
				break;		/* the window is full */
		}
		r = step(f);
	}
	if (r >= 0 && !f->dead)
		r = flush(f);
	if (r < 0)
		f->io.retry(f->io.ctx);
}

void core_feed_out_go(struct core_feed_out *f)
{
	f->again = true;
	turn(f);
}

void core_feed_out_acked(struct core_feed_out *f, uint64_t bytes)
{
	f->under_way -= bytes < f->under_way ? bytes : f->under_way;
	turn(f);
}

void core_feed_out_past(struct core_feed_out *f, uint32_t res, uint64_t from, uint64_t upto)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct out_res *x = f->v[i];

		/* One that is about to be listed anew has no past: the list says so. */
		if (!x->opened || x->num != res || x->past_upto || x->list || !upto)
			continue;
		x->past_from = from;
		x->past_upto = upto;
		f->n_past++;
		turn(f);
		return;
	}
}

/* ---- life --------------------------------------------------------------------------------------------- */

int core_feed_out_new(struct core_cache *c, void *loop, const char *owner, const struct core_feed_out_io *io,
		      struct core_feed_out **ret)
{
	size_t len = strlen(owner) + 1;
	struct core_feed_out *f = omem_zalloc(sizeof(*f) + len);

	if (!f)
		return -ENOMEM;
	f->c = c;
	f->loop = loop;
	f->io = *io;
	omap_init(&f->names);
	omap_init(&f->before);
	obuf_init(&f->out);
	memcpy(f->owner, owner, len);
	*ret = f;
	return 0;
}

void core_feed_out_free(struct core_feed_out *f)
{
	if (!f)
		return;
	feed_list_clear(f);
	for (uint32_t i = 0; i < f->n; i++)
		res_free(f->v[i]);
	omem_free(f->v);
	omem_free(f->run.v);
	omap_done(&f->names);
	omap_done(&f->before);
	obuf_done(&f->out);
	core_wants_done(&f->wants);
	omem_free(f);
}

void core_feed_out_want(struct core_feed_out *f, struct core_wants *take_wants)
{
	struct core_wants old = f->wants;

	f->wants = *take_wants;
	take_wants->first = NULL;
	if (core_wants_equal(&old, &f->wants)) {
		core_wants_done(&f->wants);
		f->wants = old;
		return;
	}
	/* One that was under way: the other side waits for its end, and gets a list instead. */
	if (f->busy)
		f->busy->list = true;
	feed_list_clear(f);
	for (uint32_t i = 0; i < f->n; i++) {
		f->v[i]->list = true;
		f->v[i]->past_upto = 0;		/* its answer is the list */
		feed_wants_clear(f->v[i]);
		f->v[i]->repick = true;
	}
	core_wants_done(&old);
	f->n_names = 0;
	/* The round that was under way says nothing any more. */
	f->at = f->n;
	f->stay = false;
	f->applied = f->progress;
	f->again = true;
}
