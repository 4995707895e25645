/* survey.h - what is left in a namespace, by the cache. */
#ifndef CONTROLLER_NAMESPACE_SURVEY_H
#define CONTROLLER_NAMESPACE_SURVEY_H

#include <orlop/host.h>

#include "base/omap.h"
#include "json/ojson.h"

/* The namespaced resources that are registered now, opened as they appear. */
struct content {
	const struct orlop_host *h;
	struct omap	open;		/* name → struct orlop_resource */
};

void content_init(struct content *c, const struct orlop_host *h);
void content_done(struct content *c);
/* Have all resources been fed since they were registered? */
bool content_synced(struct content *c);

/* One resource with something left in it. */
struct leftover {
	const char	*resource;	/* as okube wants it; borrowed from the content */
	uint64_t	n;
	uint64_t	alive;		/* of them not marked for deletion yet */
};

struct survey {
	struct leftover	*v;		/* by name */
	size_t		n;
	uint64_t	total;
	bool		pods;		/* some are pods */
	struct omap	finalizers;	/* name → how many objects have it, as uintptr_t */
};

/* Looks at everything in @ns. 0 or -ENOMEM; survey_done() in both cases. */
int survey_make(struct content *c, struct orlop_bytes ns, struct survey *ret);
void survey_done(struct survey *s);

#endif
