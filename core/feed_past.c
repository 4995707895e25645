/*
 * feed_past.c - what happened to a resource before the other side's first list, as far as our journal still knows it,
 * as frames; see feed_out_in.h.
 */
#include "feed_out_in.h"

#include <errno.h>

#include "cache/object.h"

/* 1: the run is what happened after past_from; 0: nobody knows it any more; -ENOMEM. */
static int past_read(struct core_feed_out *f, struct out_res *x)
{
	struct out_run *r = &f->run;
	uint64_t cursor = x->past_from;
	int32_t n = -ESTALE;

	if (!cursor)
		return 0;
	while (cursor < x->past_upto && (n = feed_run_read(r, x->handle, &cursor)) > 0)
		;
	if (n < 0)
		feed_run_clear(r);
	/* What came later is told later. */
	while (r->n && r->v[r->n - 1].rev > x->past_upto) {
		core_cache_object_unref(r->v[--r->n].object);
		core_cache_object_unref(r->v[r->n].prev);
	}
	return n == -ENOMEM ? n : n >= 0;
}

static struct orlop_bytes key_of(const struct orlop_object *o)
{
	return core_object_key(core_object_of(o));
}

/* The states that the run begins with. */
static int before_note(struct core_feed_out *f)
{
	for (uint32_t i = 0; i < f->run.n; i++) {
		struct orlop_bytes key = key_of(f->run.v[i].object);
		int r = omap_add(&f->before, key.p, key.len, f->run.v[i].prev);

		if (r && r != -EEXIST)
			return r;
	}
	return 0;
}

/* 0; -ENOMEM: nothing has begun. */
int feed_past_begin(struct core_feed_out *f, struct out_res *x)
{
	int known = past_read(f, x);
	int r = known < 0 ? known : before_note(f);

	if (r == 0)
		r = feed_frame(f, CORE_FEED_PAST, 0, x, known ? x->past_from : 0);
	if (r || !known) {
		feed_list_clear(f);
		if (r == 0)
			x->past_upto = 0;
		return r;
	}
	f->busy = x;
	f->past = true;
	return 0;
}

/* One frame or none of what there is to be sent; 1: there is nothing more; -ENOMEM. */
static int past_one(struct core_feed_out *f)
{
	struct out_res *x = f->busy;
	struct out_run *run = &f->run;
	struct omap_entry *e = omap_next(&f->before, &f->before_at);
	const uint64_t at_first = 0;
	int r;

	if (e) {
		struct orlop_object *o = e->value;
		enum slice is = feed_slice(x, o);

		return is == SLICE_NONE ? 0 :
			feed_frame_object(f, CORE_FEED_PUT, x, o, o->rev, is == SLICE_METADATA, &at_first);
	}
	if (run->at == run->n)
		return 1;
	r = feed_change(f, x, &run->v[run->at]);
	if (r == 0) {
		core_cache_object_unref(run->v[run->at].object);
		core_cache_object_unref(run->v[run->at].prev);
		run->at++;
	}
	return r;
}

/* Some of it; -ENOMEM: it begins anew. */
int feed_past_send(struct core_feed_out *f)
{
	struct out_res *x = f->busy;
	int r = 0;

	while (r == 0 && f->out.len - f->out_at < CORE_FEED_PACKET)
		r = past_one(f);
	if (r == 1)
		r = feed_frame(f, CORE_FEED_PAST_END, 0, x, 0);
	else if (r == 0)
		return 0;	/* no room for more now */
	if (r == 0)
		x->past_upto = 0;
	feed_list_clear(f);
	return r;
}
