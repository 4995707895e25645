/*
 * correlate.h - how much is told of what happens often, as upstream's event correlator decides it.
 */
#ifndef OLIB_KUBE_CORRELATE_H
#define OLIB_KUBE_CORRELATE_H

#include "base/olist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocorrelate {
	struct olist	groups;		/* of one object, type and reason; newest first */
	struct olist	objects;	/* the same, with what each may still say */
	uint32_t	n_groups;
	uint32_t	n_objects;
};

void ocorrelate_init(struct ocorrelate *c);
void ocorrelate_done(struct ocorrelate *c);

/*
 * More than ten different messages of the same object, type and reason in ten minutes are one. True: @message is to
 * be said as "(combined from similar events): …", without a place.
 */
bool ocorrelate_combined(struct ocorrelate *c, const char *object, const char *type, const char *reason, const char *message,
			 int64_t now_ns);

/* An object may say 25 things at once, and one more every five minutes. False: not this one. */
bool ocorrelate_allowed(struct ocorrelate *c, const char *object, int64_t now_ns);

#endif
