/*
 * wants.h - what modules read, as their modinfo's reads= says it (orlop/module.h): for whoever feeds.
 */
#ifndef CORE_WANTS_H
#define CORE_WANTS_H

#include <stdbool.h>

#include <orlop/cache.h>
#include <orlop/types.h>

/* Value of a parameter as text, NULL: there is none. */
typedef const char *(*core_want_param_fn)(void *arg, const char *name);

/* One want and all its texts in one allocation. */
struct core_want {
	struct core_want *next;
	struct orlop_feed_want pub;
};

/* A list in which none contains another; NULL is empty. */
struct core_wants {
	struct core_want *first;
};

/*
 * core_want_parse - "RESOURCE[;opt…]"
 *
 * @param puts in the values of $names (NULL: as they stand there). 0, -EINVAL, -ENOMEM with a line that
 * quotes the option. The caller frees with omem_free().
 */
int core_want_parse(const char *text, core_want_param_fn param, void *arg, struct core_want **ret,
		    struct orlop_error *err);

/* A copy of its own. 0 or -ENOMEM. */
int core_want_copy(const struct orlop_feed_want *w, struct core_want **ret);

/* Is everything that @b asks for in @a? */
bool core_want_contains(const struct orlop_feed_want *a, const struct orlop_feed_want *b);

/* Takes @take_w: adds it unless it is contained, drops what it contains. */
void core_wants_add(struct core_wants *l, struct core_want *take_w);
bool core_wants_equal(const struct core_wants *a, const struct core_wants *b);
void core_wants_done(struct core_wants *l);

#endif
