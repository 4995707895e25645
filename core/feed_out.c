/*
 * feed_out.c - this process's cache as frames for another: what, in which order, and how much; see feed_out.h.
 *
 * Round after round every resource is looked at: what its journal has behind our cursor goes out, cut to
 * what is wanted. One at a time is listed (a snapshot is held meanwhile). The first list goes back as
 * far as the journal does, so that the other side's journal knows as much as ours: the objects as they were
 * then, and what happened since.
 */
#include "feed_out.h"

#include <errno.h>
#include <string.h>

#include "base/obuf.h"
#include "base/omap.h"
#include "base/omem.h"
#include "cache/object.h"
#include "feed_wire.h"

#define CHANGES		256u		/* read from a journal at once */
#define CHANGES_MAX	(1u << 22)	/* of one journal */
#define HIST_TRIES	3

enum slice { SLICE_NONE, SLICE_METADATA, SLICE_WHOLE };

/* A want of one resource, with what its fields are here. */
struct out_want {
	const struct orlop_feed_want *pub;
	int32_t		*index;		/* of each of its fields; < 0: not known */
};

struct out_res {
	struct orlop_resource *handle;
	const struct orlop_resource_info *info;	/* that the numbers of fields are of */
	struct out_want	*wants;
	uint32_t	n_wants;
	bool		repick;		/* memory was short: wants are not complete */
	bool		fields;		/* some of them are about fields */
	bool		opened;		/* the other side knows it, as */
	uint16_t	num;
	bool		listed;		/* and has it */
	bool		list;		/* is to be listed */
	bool		joint;
	int32_t		err;		/* as told */
	uint64_t	cursor;
	uint64_t	told;		/* revision of the last COMMIT or END */
	char		name[];
};

/* Changes to be sent. */
struct out_run {
	struct orlop_change *v;
	uint32_t	cap;
	uint32_t	n;
	uint32_t	at;
	uint64_t	rev;		/* that they lead to */
	bool		live;		/* they are a replay */
	bool		late;		/* some of this revision were found by a list only */
};

struct core_feed_out {
	struct core_cache *c;
	void		*loop;
	struct core_feed_out_io io;
	struct core_wants wants;
	bool		dead;		/* there is nobody on the other side */
	bool		again;		/* another round */
	struct out_res	**v;
	uint32_t	n;
	uint32_t	cap;
	struct omap	names;
	uint32_t	n_names;	/* there were, when all were asked for */
	uint32_t	at;		/* next in this round; n: the round is over */
	bool		stay;		/* there is more of it that this round is about */
	uint32_t	n_opened;
	uint64_t	applied;	/* when it began */
	uint64_t	progress;	/* told */

	struct out_res	*busy;		/* that run or list are about */
	struct out_run	run;
	struct orlop_snapshot *snap;	/* being listed */
	struct orlop_iter *iter;
	uint64_t	snap_rev;
	uint64_t	list_rev;	/* of the list: before snap_rev if there is a replay */
	struct omap	before;		/* keys that the replay is about */
	uint32_t	before_at;

	struct obuf	out;
	size_t		out_at;		/* sent up to */
	uint64_t	under_way;	/* and not acknowledged */
	char		owner[];
};

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

static int frame(struct core_feed_out *f, uint8_t type, uint8_t flags, const struct out_res *x, uint64_t rev)
{
	return frame_end(f, frame_begin(f, type, flags, x ? x->num : 0, rev));
}

static int frame_open(struct core_feed_out *f, const struct out_res *x)
{
	size_t at = frame_begin(f, CORE_FEED_OPEN, 0, x->num, 0);

	obuf_puts(&f->out, x->name);
	return frame_end(f, at);
}

static int frame_object(struct core_feed_out *f, uint8_t type, const struct out_res *x,
			const struct orlop_object *o, uint64_t rev, bool metadata)
{
	struct core_feed_key k = { .ns_len = (uint16_t)o->ns.len, .name_len = (uint16_t)o->name.len };
	size_t at;

	/* It does not travel, as no record of its size is read anywhere. */
	if (type == CORE_FEED_PUT && o->json.len > CORE_FEED_FRAME_MAX - (UINT32_C(4) << 20))
		return 0;
	at = frame_begin(f, type, 0, x->num, rev);
	obuf_append(&f->out, &k, sizeof(k));
	obuf_append(&f->out, o->ns.p, o->ns.len);
	obuf_append(&f->out, o->name.p, o->name.len);
	if (type == CORE_FEED_PUT)
		core_object_record(core_object_of(o), metadata, &f->out);
	return frame_end(f, at);
}

/* ---- what is wanted -------------------------------------------------------------------------------- */

static bool text_is(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && (b.len == 0 || memcmp(b.p, cstr, b.len) == 0);
}

static bool entry_has(const struct orlop_object *o, const struct orlop_feed_match *m, int32_t index)
{
	bool any = false;

	for (uint32_t i = 0; i < o->n_index; i++) {
		const struct orlop_index_entry *e = &o->index[i];

		if ((int32_t)e->index != index || (m->label && !text_is(e->key, m->name)))
			continue;
		any = true;
		if (text_is(e->value, m->value))
			return true;
	}
	return !any && !m->label && !m->value[0];	/* a field that is not there is empty */
}

static bool matches(const struct out_want *w, const struct orlop_object *o)
{
	if (w->pub->ns && !text_is(o->ns, w->pub->ns))
		return false;
	for (uint32_t i = 0; i < w->pub->n_matches; i++) {
		const struct orlop_feed_match *m = &w->pub->matches[i];

		if (m->label) {
			if (!entry_has(o, m, ORLOP_INDEX_LABELS))
				return false;
		} else if (strcmp(m->name, "metadata.name") == 0) {
			if (!text_is(o->name, m->value))
				return false;
		} else if (strcmp(m->name, "metadata.namespace") == 0) {
			if (!text_is(o->ns, m->value))
				return false;
		} else if (w->index[i] >= 0 && !entry_has(o, m, w->index[i])) {
			return false;	/* what cannot be asked is no condition: more than is wanted may come */
		}
	}
	return true;
}

static enum slice slice_of(const struct out_res *x, const struct orlop_object *o)
{
	enum slice best = SLICE_NONE;

	for (uint32_t i = 0; o && i < x->n_wants && best != SLICE_WHOLE; i++)
		if (matches(&x->wants[i], o))
			best = x->wants[i].pub->flags & ORLOP_WANT_METADATA ? SLICE_METADATA : SLICE_WHOLE;
	return best;
}

static bool wanted(const struct orlop_feed_want *w, const char *name)
{
	return strcmp(w->resource, "*") == 0 || strcmp(w->resource, name) == 0;
}

static void wants_clear(struct out_res *x)
{
	for (uint32_t i = 0; i < x->n_wants; i++)
		omem_free(x->wants[i].index);
	omem_free(x->wants);
	x->wants = NULL;
	x->n_wants = 0;
	x->fields = false;
}

/* Which of the wants are about @x. 0 or -ENOMEM. */
static int wants_pick(struct core_feed_out *f, struct out_res *x)
{
	uint32_t n = 0;

	wants_clear(x);
	for (const struct core_want *w = f->wants.first; w; w = w->next)
		n += wanted(&w->pub, x->name);
	x->repick = n > 0;
	if (n == 0)
		return 0;
	x->wants = omem_zalloc_array(n, sizeof(*x->wants));
	if (!x->wants)
		return -ENOMEM;
	for (const struct core_want *w = f->wants.first; w; w = w->next) {
		struct out_want *o = &x->wants[x->n_wants];

		if (!wanted(&w->pub, x->name))
			continue;
		o->pub = &w->pub;
		if (w->pub.n_matches) {
			o->index = omem_alloc_array(w->pub.n_matches, sizeof(*o->index));
			if (!o->index)
				return -ENOMEM;
		}
		x->n_wants++;
		for (uint32_t i = 0; i < w->pub.n_matches; i++) {
			const struct orlop_feed_match *m = &w->pub.matches[i];

			o->index[i] = -ENOENT;
			x->fields = x->fields || (!m->label && strncmp(m->name, "metadata.", 9) != 0);
		}
	}
	x->info = NULL;
	x->repick = false;
	return 0;
}

/* The numbers of its fields, which its registration gives. True: they have changed. */
static bool fields_number(struct out_res *x)
{
	const struct orlop_resource_info *info;
	bool changed = false;

	if (!x->fields)
		return false;
	info = core_cache_info(x->handle);
	if (!info || info == x->info)
		return false;
	for (uint32_t i = 0; i < x->n_wants; i++)
		for (uint32_t k = 0; k < x->wants[i].pub->n_matches; k++) {
			const struct orlop_feed_match *m = &x->wants[i].pub->matches[k];
			int32_t index = m->label ? (int32_t)ORLOP_INDEX_LABELS : core_cache_index(x->handle, m->name);

			changed = changed || index != x->wants[i].index[k];
			x->wants[i].index[k] = index;
		}
	x->info = info;
	return changed;
}

/* ---- resources -------------------------------------------------------------------------------------- */

static void res_free(struct out_res *x)
{
	core_cache_close(x->handle);
	wants_clear(x);
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
	r = core_cache_open(f->c, name, f->loop, f->owner, &x->handle, NULL) ? -ENOMEM : wants_pick(f, x);
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

/* ---- changes ----------------------------------------------------------------------------------------- */

static void run_clear(struct out_run *r)
{
	for (; r->at < r->n; r->at++) {
		core_cache_object_unref(r->v[r->at].object);
		core_cache_object_unref(r->v[r->at].prev);
	}
	r->n = r->at = 0;
	r->live = r->late = false;
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
static int32_t run_read(struct out_run *r, struct orlop_resource *handle, uint64_t *cursor)
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

static int change_send(struct core_feed_out *f, struct out_res *x, const struct orlop_change *e)
{
	enum slice is = e->type == ORLOP_CHANGE_DELETED ? SLICE_NONE : slice_of(x, e->object);

	if (is != SLICE_NONE)
		return frame_object(f, CORE_FEED_PUT, x, e->object, e->object->rev, is == SLICE_METADATA);
	/* It has left the slice, or is gone. */
	return slice_of(x, e->prev) ? frame_object(f, CORE_FEED_DEL, x, e->object, e->rev, false) : 0;
}

/* Some of what is to be sent; 0 or -ENOMEM. */
static int run_send(struct core_feed_out *f)
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
		e = change_send(f, x, c);
		/* What a list found late is of the list's revision, and before what came after it. */
		if (e == 0 && late && last && r->at + 1 < r->n)
			e = frame(f, CORE_FEED_COMMIT, 0, x, c->rev);
		if (e) {
			obuf_truncate(&f->out, len);
			return e;
		}
		r->late = late && !last;
		core_cache_object_unref(c->object);
		core_cache_object_unref(c->prev);
		r->at++;
	}
	e = frame(f, CORE_FEED_COMMIT, r->live ? CORE_FEED_F_LIVE : 0, x, r->rev);
	if (e)
		return e;
	x->told = r->rev;
	run_clear(r);
	f->busy = NULL;
	return 0;
}

/* ---- lists ------------------------------------------------------------------------------------------- */

static void list_clear(struct core_feed_out *f)
{
	core_cache_iter_close(f->iter);
	core_cache_snapshot_close(f->snap);
	omap_done(&f->before);
	omap_init(&f->before);
	f->iter = NULL;
	f->snap = NULL;
	f->before_at = 0;
	run_clear(&f->run);
	f->busy = NULL;
}

/* What happened before the snapshot, as far as it is known. 0: f->list_rev says since when; -ENOMEM. */
static int history(struct core_feed_out *f, struct out_res *x)
{
	struct out_run *r = &f->run;

	for (int i = 0; i < HIST_TRIES; i++) {
		uint64_t oldest = core_cache_journal_oldest(x->handle);
		uint64_t cursor = oldest;
		int32_t n = 0;

		f->list_rev = f->snap_rev;
		if (oldest == 0 || oldest >= f->snap_rev)
			return 0;
		while (cursor < f->snap_rev && (n = run_read(r, x->handle, &cursor)) > 0)
			;
		if (n == -ENOMEM)
			return n;
		if (n >= 0) {
			/* What the snapshot does not have yet comes later. */
			while (r->n && r->v[r->n - 1].rev > f->snap_rev) {
				core_cache_object_unref(r->v[--r->n].object);
				core_cache_object_unref(r->v[r->n].prev);
			}
			f->list_rev = oldest;
			return 0;
		}
		run_clear(r);	/* it moved on meanwhile */
	}
	return 0;
}

static struct orlop_bytes key_of(const struct orlop_object *o)
{
	return core_object_key(core_object_of(o));
}

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
static int list_begin(struct core_feed_out *f, struct out_res *x)
{
	uint8_t flags;
	int r;

	if (core_cache_snapshot_open(x->handle, &f->snap))
		return -ENOMEM;
	f->snap_rev = f->list_rev = core_cache_snapshot_rev(f->snap);
	x->joint = core_cache_joint(x->handle);
	r = f->snap_rev ? 0 : -ENOMEM;	/* it is gone again */
	if (r == 0 && !x->listed)
		r = history(f, x);
	if (r == 0)
		r = before_note(f);
	if (r == 0)
		r = core_cache_iter_open(f->snap, NULL, &f->iter);
	flags = (uint8_t)((x->listed ? CORE_FEED_F_LOST : 0) | (x->joint ? CORE_FEED_F_JOINT : 0) |
			  (f->list_rev < f->snap_rev ? CORE_FEED_F_REPLAY : 0));
	if (r == 0)
		r = frame(f, CORE_FEED_LIST, flags, x, 0);
	if (r) {
		list_clear(f);
		return r;
	}
	f->busy = x;
	x->list = false;
	return 0;
}

static int list_put(struct core_feed_out *f, const struct orlop_object *o)
{
	enum slice is = slice_of(f->busy, o);

	return is == SLICE_NONE ? 0 :
		frame_object(f, CORE_FEED_PUT, f->busy, o, o->rev, is == SLICE_METADATA);
}

/* Some of the list; -ENOMEM: it begins anew. */
static int list_send(struct core_feed_out *f)
{
	struct out_res *x = f->busy;
	struct omap_entry *e;
	int r = 0;

	while (r == 0 && f->out.len - f->out_at < CORE_FEED_PACKET) {
		struct orlop_object *o = f->iter ? core_cache_iter_next(f->iter) : NULL;

		if (o) {
			struct orlop_bytes key = key_of(o);

			if (!omap_has(&f->before, key.p, key.len))
				r = list_put(f, o);
			continue;
		}
		core_cache_iter_close(f->iter);
		f->iter = NULL;
		e = omap_next(&f->before, &f->before_at);
		if (e) {
			/* As it was before what is known of it. */
			if (e->value)
				r = list_put(f, e->value);
			continue;
		}
		r = frame(f, CORE_FEED_END, 0, x, f->list_rev);
		if (r)
			break;
		core_cache_snapshot_close(f->snap);
		f->snap = NULL;
		omap_done(&f->before);
		omap_init(&f->before);
		f->before_at = 0;
		x->listed = true;
		x->cursor = f->snap_rev;
		x->told = f->list_rev;
		if (f->list_rev < f->snap_rev) {
			f->run.rev = f->snap_rev;
			f->run.live = true;
		} else {
			run_clear(&f->run);
			f->busy = NULL;
		}
		return 0;
	}
	if (r) {
		x->list = true;
		list_clear(f);
	}
	return r;
}

/* ---- round by round ------------------------------------------------------------------------------------ */

/* Readers of the resource get an error here, or no longer. */
static int err_tell(struct core_feed_out *f, struct out_res *x, int32_t err)
{
	int r;

	if (err == x->err)
		return 0;
	r = frame(f, CORE_FEED_FAIL, 0, x, (uint64_t)err);
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
	int r = x->repick ? wants_pick(f, x) : 0;

	if (r || (!x->n_wants && !x->opened) || (x->fields && !core_cache_info(x->handle)))
		return r;
	if (fields_number(x) || (x->listed && core_cache_joint(x->handle) != x->joint))
		x->list = true;
	n = run_read(&f->run, x->handle, &cursor);
	if (n == -ENOMEM)
		return n;
	if (n == 0)
		(void)core_cache_rev(x->handle, &synced);
	if (n == 0 && !x->opened && !synced)
		return 0;		/* it has not been fed yet */
	if (!x->opened) {
		x->num = (uint16_t)f->n_opened;
		r = frame_open(f, x);
		if (r) {
			run_clear(&f->run);
			return r;
		}
		x->opened = true;
		f->n_opened++;
	}
	if (n < 0 && n != -ESTALE)
		return err_tell(f, x, -n);
	r = err_tell(f, x, 0);
	if (r || n == -ESTALE || x->list) {
		run_clear(&f->run);
		x->list = true;
		(void)core_cache_rev(x->handle, &synced);
		return r || !synced ? r : list_begin(f, x);
	}
	x->cursor = cursor;
	if (n > 0) {
		f->busy = x;
		f->run.rev = cursor;
		f->stay = x->joint && cursor < f->applied;
		f->again = f->again || (uint32_t)n == f->run.cap;
	} else if (!x->joint && cursor != x->told) {
		r = frame(f, CORE_FEED_COMMIT, 0, x, cursor);
		if (r == 0)
			x->told = cursor;
	}
	return r;
}

/* 1: something was done; 0: there is nothing more; -ENOMEM. */
static int step(struct core_feed_out *f)
{
	int r;

	if (f->busy) {
		r = f->snap ? list_send(f) : run_send(f);
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
		r = f->applied > f->progress ? frame(f, CORE_FEED_PROGRESS, 0, NULL, f->applied) : 0;
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
	list_clear(f);
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
	list_clear(f);
	for (uint32_t i = 0; i < f->n; i++) {
		f->v[i]->list = true;
		wants_clear(f->v[i]);
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
