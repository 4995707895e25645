/*
 * wait.c - answers to writes wait until this process sees them: read your own writes.
 *
 * A write is waited for by its revision, a deletion until the object is not there any more. What is not
 * in the slice that is followed can never be seen and is not waited for.
 */
#include "slice.h"

#include "json/oscan.h"
#include "selector/oselector.h"

#include <string.h>

#define WAIT_NS		(5 * UP_NS_PER_S)

struct up_wait {
	struct olist	node;		/* slice->waits */
	struct up_slice	*s;
	struct orlop_timer *timer;
	uint64_t	rev;		/* 0: until it looks so: */
	bool		bound;		/* a pod has a node; else: it is gone */
	char		*text;		/* of a deletion: what these point to */
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes uid;
	up_seen_fn	fn;
	void		*arg;
};

static void wait_end(struct up_wait *w, uint64_t rev)
{
	up_seen_fn fn = w->fn;
	void *arg = w->arg;

	olist_del(&w->node);
	w->s->u->h->timer_free(w->timer);
	omem_free(w->text);
	omem_free(w);
	fn(arg, rev);
}

static void on_timer(void *arg)
{
	struct up_wait *w = arg;

	OLOG(w->s->u->h, DEBUG, "wait_late", "resource=%s rev=%llu has=%llu", w->s->resource,
	     (unsigned long long)w->rev, (unsigned long long)w->s->rev);
	wait_end(w, w->rev);
}

/* ---- is it there? --------------------------------------------------------------------------------------- */


static bool fields_match(const char *selector, struct orlop_bytes object)
{
	while (*selector) {
		const char *eq = strchr(selector, '=');
		size_t n = eq ? strcspn(eq + 1, ",") : 0;
		struct orlop_bytes v = { "\"\"", 2 };

		if (!eq)
			return true;
		(void)oscan_find_dotted(object, selector, (size_t)(eq - selector), &v);
		if (memchr(eq + 1, '\\', n))
			return false;	/* an odd value: better not wait */
		if (oscan_type(v) == OSCAN_STRING ? !oscan_string_is(v, eq + 1, n) : !ostr_eq(v.p, v.len, eq + 1, n))
			return false;
		selector = eq + 1 + n;
		selector += *selector == ',';
	}
	return true;
}

static bool in_slice(const struct up_slice *s, struct orlop_bytes ns, struct orlop_bytes object)
{
	struct orlop_bytes labels = { "{}", 2 };

	if (s->ns && !ostr_is(ns.p, ns.len, s->ns))
		return false;
	if (!s->fields && !s->label_sel)
		return true;
	if (oscan_type(object) != OSCAN_OBJECT)
		return false;
	(void)OSCAN_FIND(object, &labels, "metadata", "labels");
	if (s->label_sel && !oselector_match_bytes(s->label_sel, labels))
		return false;
	return !s->fields || fields_match(s->fields, object);
}

static struct orlop_bytes index_value(const struct orlop_object *o, int32_t index)
{
	for (uint32_t i = 0; i < o->n_index; i++)
		if ((int32_t)o->index[i].index == index)
			return o->index[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

/* Do readers see no such object (any more), or, @bound, that it has a node? */
static bool looks_so(struct up_slice *s, struct orlop_bytes ns, struct orlop_bytes name, struct orlop_bytes uid,
		     bool bound)
{
	const struct orlop_host *h = s->u->h;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	bool so = true;

	if (!s->res && h->resource_open(h, s->resource, &s->res, &err)) {
		orlop_error_done(&err);
		return true;
	}
	if (h->snapshot_open(s->res, &snap))
		return true;
	o = h->snapshot_get(snap, ns, name);
	if (o && bound) {
		so = index_value(o, h->resource_index(s->res, "spec.nodeName")).len > 0;
	} else if (o) {
		struct orlop_bytes has = index_value(o, ORLOP_INDEX_UID);

		so = uid.len && !ostr_eq(has.p, has.len, uid.p, uid.len);
	}
	h->snapshot_close(snap);
	return so;
}

/* ---- outside -------------------------------------------------------------------------------------------- */

static struct orlop_bytes keep(char *to, struct orlop_bytes from)
{
	if (from.len)
		memcpy(to, from.p, from.len);
	return (struct orlop_bytes){ to, from.len };
}

void up_await(struct up *u, const struct up_await *a, up_seen_fn fn, void *arg)
{
	struct up_slice *s = up_slice_find(u, a->resource);
	struct up_wait *w;

	if (!s || !s->kind || !s->synced ||
	    (a->rev ? s->rev >= a->rev || !in_slice(s, a->ns, a->object) :
		      looks_so(s, a->ns, a->name, a->uid, a->bound) || (a->bound && s->fields))) {
		fn(arg, a->rev ? a->rev : s ? s->rev : 0);
		return;
	}
	w = OMEM_NEW(struct up_wait);
	if (w)
		w->text = omem_alloc(a->ns.len + a->name.len + a->uid.len);
	if (!w || !w->text || u->h->timer_new(u->h, on_timer, w, &w->timer)) {
		if (w)
			omem_free(w->text);
		omem_free(w);
		fn(arg, a->rev);
		return;
	}
	w->ns = keep(w->text, a->ns);
	w->name = keep(w->text + a->ns.len, a->name);
	w->uid = keep(w->text + a->ns.len + a->name.len, a->uid);
	w->s = s;
	w->rev = a->rev;
	w->bound = a->bound;
	w->fn = fn;
	w->arg = arg;
	olist_append(&s->waits, &w->node);
	u->h->timer_set(w->timer, WAIT_NS, 0);
}

/* Readers have this slice up to s->rev. Whoever is told may wait for something new: begin anew each time. */
void up_wait_commit(struct up_slice *s)
{
	struct up_wait *w;

	do {
		w = NULL;
		OLIST_FOREACH(l, &s->waits) {
			struct up_wait *x = OLIST_ENTRY(l, struct up_wait, node);

			if (x->rev ? x->rev <= s->rev : looks_so(s, x->ns, x->name, x->uid, x->bound)) {
				w = x;
				break;
			}
		}
		if (w)
			wait_end(w, w->rev ? w->rev : s->rev);
	} while (w);
}

void up_wait_end(struct up_slice *s)
{
	struct olist *l;

	while ((l = olist_first(&s->waits)) != NULL) {
		struct up_wait *w = OLIST_ENTRY(l, struct up_wait, node);

		wait_end(w, w->rev);
	}
	if (s->res)
		s->u->h->resource_close(s->res);
	s->res = NULL;
}
