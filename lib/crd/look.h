/* look.h - what the walks through a definition's schema share: where they are, and how they tell what is wrong. */
#ifndef OLIB_CRD_LOOK_H
#define OLIB_CRD_LOOK_H

#include "crd/ocrd.h"

#define LOOK_DEPTH	100
#define LOOK_MAX	200

struct look {
	ocrd_report_fn	fn;
	void		(*warn)(void *arg, const char *text);
	void		*arg;
	struct obuf	path;
	int		depth;
	unsigned int	found;
};

/* One level down, and back to where it was. */
size_t look_into(struct look *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void look_back(struct look *l, size_t at);
bool look_deep(struct look *l);		/* too deep: says so, once a walk */

/* @field is below the path: "type", "items.type"; "" is the path itself. */
void look_forbidden(struct look *l, const char *field, const char *why);
void look_required(struct look *l, const char *field, const char *why);
void look_invalid(struct look *l, const char *field, const struct ojson *v, const char *why);
void look_invalid_text(struct look *l, const char *field, const char *v, const char *why);
void look_not_supported(struct look *l, const char *field, const char *v, const char *values);

/* The walks: each tells everything that it finds in the schema at l->path. */
void look_rules(struct look *l, const struct ojson *schema);		/* rules.c: what OpenAPI allows, and what we allow of it */
void look_structural(struct look *l, const struct ojson *schema);	/* structural.c: is it structural? */
void look_defaults(struct look *l, const struct ojson *schema);		/* defaults.c: are defaults what the schema allows? */

#endif
