/*
 * feed_send.c - changes and lists of a resource as frames for another process; see feed_out_in.h.
 */
#include "feed_out_in.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "cache/object.h"

#define CHANGES		256u		/* read from a journal at once */
#define CHANGES_MAX	(1u << 22)	/* of one journal */

/* ---- frames --------------------------------------------------------------------------------------- */

static size_t frame_begin(struct core_feed_out *f, uint8_t type, uint8_t flags, uint16_t res, uint64_t rev)
{
	struct core_feed_frame h = { .type = type, .flags = flags, .res = res, .rev = rev };
	size_t at = f->out.len;

	obuf_append(&f->out, &h, sizeof(h));
	return at;
}

/* 0 or -ENOMEM: it has not been. */
static int frame_end(struct core_feed_out *f, size_t at)
{
	uint32_t len = (uint32_t)(f->out.len - at);

	if (obuf_err(&f->out)) {
		f->out.err = 0;
		obuf_truncate(&f->out, at);
		return -ENOMEM;
	}
	memcpy(f->out.data + at, &len, sizeof(len));
	return 0;
}

int feed_frame(struct core_feed_out *f, uint8_t type, uint8_t flags, const struct out_res *x, uint64_t rev)
{
	return frame_end(f, frame_begin(f, type, flags, x ? x->num : 0, rev));
}

int feed_frame_open(struct core_feed_out *f, const struct out_res *x)
{
	size_t at = frame_begin(f, CORE_FEED_OPEN, 0, x->num, 0);

	obuf_puts(&f->out, x->name);
	return frame_end(f, at);
}

/* @past: of the past, with this revision; NULL: not. 0 or -ENOMEM. */
int feed_frame_object(struct core_feed_out *f, uint8_t type, const struct out_res *x, const struct orlop_object *o,
		      uint64_t rev, bool metadata, const uint64_t *past)
{
	struct core_feed_key k = { .ns_len = (uint16_t)o->ns.len, .name_len = (uint16_t)o->name.len };
	size_t at;

	/* It does not travel: nothing of that size comes out of a storage. */
	if (type == CORE_FEED_PUT && o->json.len > CORE_FEED_FRAME_MAX - (UINT32_C(4) << 20))
		return 0;
	at = frame_begin(f, type, past ? CORE_FEED_F_PAST : 0, x->num, rev);
	obuf_append(&f->out, &k, sizeof(k));
	if (past)
		obuf_append(&f->out, past, sizeof(*past));
	obuf_append(&f->out, o->ns.p, o->ns.len);
	obuf_append(&f->out, o->name.p, o->name.len);
	if (type == CORE_FEED_PUT)
		core_object_record(core_object_of(o), metadata, &f->out);
	return frame_end(f, at);
}

/* ---- changes ----------------------------------------------------------------------------------------- */

void feed_run_clear(struct out_run *r)
{
	for (; r->at < r->n; r->at++) {
		core_cache_object_unref(r->v[r->at].object);
		core_cache_object_unref(r->v[r->at].prev);
	}
	r->n = r->at = 0;
	r->late = false;
	/* A long one is rare. */
	if (r->cap > CHANGES) {
		omem_free(r->v);
		r->v = NULL;
		r->cap = 0;
	}
}

static int run_room(struct out_run *r, uint32_t cap)
{
	struct orlop_change *v;

	if (cap <= r->cap)
		return 0;
	if (cap > CHANGES_MAX)
		return -ENOMEM;
	v = omem_realloc_array(r->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	r->v = v;
	r->cap = cap;
	return 0;
}

/* Reads on, behind what is there. As core_cache_journal_read(), but for -EMSGSIZE; -ENOMEM. */
int32_t feed_run_read(struct out_run *r, struct orlop_resource *handle, uint64_t *cursor)
{
	uint32_t more = CHANGES;

	for (;;) {
		int32_t n;

		if (run_room(r, r->n + more))
			return -ENOMEM;
		n = core_cache_journal_read(handle, cursor, r->v + r->n, r->cap - r->n);
		if (n != -EMSGSIZE) {
			if (n > 0)
				r->n += (uint32_t)n;
			return n;
		}
		more = (r->cap - r->n) * 2;	/* all of one revision */
	}
}

int feed_change(struct core_feed_out *f, struct out_res *x, const struct orlop_change *e)
{
	enum slice is = e->type == ORLOP_CHANGE_DELETED ? SLICE_NONE : feed_slice(x, e->object);
	const uint64_t *past = f->past ? &e->rev : NULL;

	if (is != SLICE_NONE)
		return feed_frame_object(f, CORE_FEED_PUT, x, e->object, e->object->rev, is == SLICE_METADATA, past);
	/* It has left the slice, or is gone. */
	return feed_slice(x, e->prev) ? feed_frame_object(f, CORE_FEED_DEL, x, e->object, e->rev, false, past) : 0;
}

/* Some of what is to be sent; 0 or -ENOMEM. */
int feed_run_send(struct core_feed_out *f)
{
	struct out_res *x = f->busy;
	struct out_run *r = &f->run;
	int e;

	while (r->at < r->n) {
		struct orlop_change *c = &r->v[r->at];
		bool late = r->late || (c->type != ORLOP_CHANGE_DELETED && c->rev != c->object->rev);
		bool last = r->at + 1 == r->n || c[1].rev != c->rev;
		size_t len = f->out.len;

		if (len - f->out_at >= CORE_FEED_PACKET)
			return 0;
		e = feed_change(f, x, c);
		/* What a list found late is of the list's revision, and before what came after it. */
		if (e == 0 && late && last && r->at + 1 < r->n)
			e = feed_frame(f, CORE_FEED_COMMIT, 0, x, c->rev);
		if (e) {
			obuf_truncate(&f->out, len);
			return e;
		}
		r->late = late && !last;
		core_cache_object_unref(c->object);
		core_cache_object_unref(c->prev);
		r->at++;
	}
	e = feed_frame(f, CORE_FEED_COMMIT, 0, x, r->rev);
	if (e)
		return e;
	x->told = r->rev;
	feed_run_clear(r);
	f->busy = NULL;
	return 0;
}

/* ---- lists ------------------------------------------------------------------------------------------- */

void feed_list_clear(struct core_feed_out *f)
{
	core_cache_iter_close(f->iter);
	core_cache_snapshot_close(f->snap);
	omap_done(&f->before);
	omap_init(&f->before);
	f->iter = NULL;
	f->snap = NULL;
	f->before_at = 0;
	f->past = false;
	feed_run_clear(&f->run);
	f->busy = NULL;
}

/* 0; -ENOMEM: nothing has begun. */
int feed_list_begin(struct core_feed_out *f, struct out_res *x)
{
	uint8_t flags;
	int r;

	if (core_cache_snapshot_open(x->handle, &f->snap))
		return -ENOMEM;
	f->snap_rev = core_cache_snapshot_rev(f->snap);
	x->joint = core_cache_joint(x->handle);
	r = f->snap_rev ? 0 : -ENOMEM;	/* it is gone again */
	if (r == 0)
		r = core_cache_iter_open(f->snap, NULL, &f->iter);
	flags = (uint8_t)((x->listed ? CORE_FEED_F_LOST : f->io.past ? CORE_FEED_F_ASK : 0) |
			  (x->joint ? CORE_FEED_F_JOINT : 0));
	if (r == 0)
		r = feed_frame(f, CORE_FEED_LIST, flags, x, 0);
	if (r) {
		feed_list_clear(f);
		return r;
	}
	f->busy = x;
	x->list = false;
	return 0;
}

/* Some of the list; -ENOMEM: it begins anew. */
int feed_list_send(struct core_feed_out *f)
{
	struct out_res *x = f->busy;
	int r = 0;

	while (r == 0 && f->out.len - f->out_at < CORE_FEED_PACKET) {
		struct orlop_object *o = core_cache_iter_next(f->iter);
		enum slice is = o ? feed_slice(x, o) : SLICE_NONE;

		if (is != SLICE_NONE)
			r = feed_frame_object(f, CORE_FEED_PUT, x, o, o->rev, is == SLICE_METADATA, NULL);
		if (o)
			continue;
		r = feed_frame(f, CORE_FEED_END, 0, x, f->snap_rev);
		if (r)
			break;
		x->listed = true;
		x->cursor = x->told = f->snap_rev;
		feed_list_clear(f);
		return 0;
	}
	if (r) {
		x->list = true;
		feed_list_clear(f);
	}
	return r;
}
