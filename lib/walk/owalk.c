/* owalk.c - a snapshot and an iterator over it; see owalk.h. */
#include "walk/owalk.h"

int owalk_open(struct owalk *w, const struct orlop_host *h, struct orlop_resource *r, const struct orlop_query *q)
{
	static const struct orlop_query all = { .size = sizeof(all) };
	int e = h->snapshot_open(r, &w->snap);

	if (e)
		return e;
	w->h = h;
	e = h->iter_open(w->snap, q ? q : &all, &w->it);
	if (e)
		h->snapshot_close(w->snap);
	return e;
}

struct orlop_object *owalk_next(struct owalk *w)
{
	return w->h->iter_next(w->it);
}

void owalk_close(struct owalk *w)
{
	w->h->iter_close(w->it);
	w->h->snapshot_close(w->snap);
}
