/*
 * plan.h - which slices of a Service change so that they hold the endpoints they should.
 *
 * Few slices are touched: an endpoint stays where it is, new ones go first where something changes anyway, then
 * into the fullest slice that has room for them, and only then into a new one.
 */
#ifndef ENDPOINTSLICE_PLAN_H
#define ENDPOINTSLICE_PLAN_H

#include <stdbool.h>

#include "json/ojson.h"

#define SLICE_MAX	100	/* endpoints of one slice */
#define SLICES_MAX	1024	/* slices of one Service */

struct plan_slice {
	struct ojson	*have;		/* shared; NULL: a new one */
	struct ojson	*endpoints;	/* what it is to hold */
	struct ojson	*ports;
	bool		changed;
	bool		gone;
};

struct plan {
	struct plan_slice slice[SLICES_MAX];
	size_t		n;
};

/*
 * plan_make - for one family: @have the slices there are, @want an array of {"ports":[…],"endpoints":[…]}
 *
 * 0 or -errno; plan_done() in any case.
 */
int plan_make(struct plan *p, const struct ojson *have, const struct ojson *want);
void plan_done(struct plan *p);

#endif
