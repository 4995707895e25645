/*
 * owalk - the objects of a resource as they are now, one after the other, in key order.
 *
 * A snapshot and an iterator over it, opened and closed together:
 *
 *	if (owalk_open(&w, h, pods, &q) == 0) {
 *		while ((o = owalk_next(&w)))
 *			…
 *		owalk_close(&w);
 *	}
 *
 * What is held cannot be freed: close it soon.
 */
#ifndef OLIB_WALK_OWALK_H
#define OLIB_WALK_OWALK_H

#include <orlop/host.h>

struct owalk {
	const struct orlop_host *h;
	struct orlop_snapshot *snap;
	struct orlop_iter *it;
};

/* @q NULL: all of them. 0, or -errno: nothing is open. */
int owalk_open(struct owalk *w, const struct orlop_host *h, struct orlop_resource *r, const struct orlop_query *q);
/* NULL at the end; borrowed until the walk is closed. */
struct orlop_object *owalk_next(struct owalk *w);
void owalk_close(struct owalk *w);

#endif
