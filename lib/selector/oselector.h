/*
 * oselector - label selectors: text, LabelSelector objects, matching
 *
 * Grammar and error texts are those of apimachinery's labels package: `a=b,c in (d,e),!f,g>3`.
 * A selector is immutable after it was made and may be shared between threads.
 */
#ifndef OLIB_SELECTOR_OSELECTOR_H
#define OLIB_SELECTOR_OSELECTOR_H

#include "base/oarena.h"
#include "base/obuf.h"
#include "json/ojson.h"

#include <orlop/cache.h>
#include <orlop/types.h>
#include <stdbool.h>
#include <stddef.h>

enum oselector_op {
	OSELECTOR_EQUALS,		/* = */
	OSELECTOR_DOUBLE_EQUALS,	/* ==, the same in all but spelling */
	OSELECTOR_NOT_EQUALS,
	OSELECTOR_IN,
	OSELECTOR_NOT_IN,
	OSELECTOR_EXISTS,
	OSELECTOR_NOT_EXISTS,
	OSELECTOR_GREATER,
	OSELECTOR_LESS,
};

struct oselector_requirement {
	struct orlop_bytes	key;
	enum oselector_op	op;
	size_t			n_values;
	struct orlop_bytes	*values;	/* sorted, no duplicates; NUL-terminated each */
};

struct oselector {
	struct oselector_requirement	*reqs;		/* sorted by key */
	size_t				n_reqs;
	bool				nothing;	/* matches no object at all */
	struct oarena			mem;
};

/*
 * oselector_parse - the text of ?labelSelector= and `kubectl -l`
 *
 * An empty text selects everything. Returns 0; -EINVAL with the reason in @err, code 400;
 * -ENOMEM. @err may be NULL.
 */
int oselector_parse(const char *p, size_t len, struct oselector **ret, struct orlop_error *err);

/*
 * oselector_from_json - a LabelSelector {matchLabels, matchExpressions}
 *
 * NULL or null selects nothing, an empty object everything, as upstream.
 */
int oselector_from_json(const struct ojson *selector, struct oselector **ret,
			struct orlop_error *err);

/* A plain map as Services and ReplicationControllers have it; values are not validated. */
int oselector_from_map(const struct ojson *map, struct oselector **ret, struct orlop_error *err);

void oselector_free(struct oselector *s);	/* accepts NULL */
static inline void oselector_cleanup(struct oselector **s)
{
	oselector_free(*s);
}
#define cleanup_oselector __attribute__((cleanup(oselector_cleanup)))

bool oselector_is_everything(const struct oselector *s);

/* The canonical text, requirements sorted by key; nothing for "everything". */
void oselector_write(const struct oselector *s, struct obuf *b);

/* The value of a label; false: there is no such label. */
typedef bool (*oselector_lookup_fn)(const void *arg, struct orlop_bytes key,
				    struct orlop_bytes *ret_value);

bool oselector_match(const struct oselector *s, oselector_lookup_fn lookup, const void *arg);

/* The same with the labels at hand: a map as tree, as JSON text, and the index of a cached object. */
bool oselector_match_map(const struct oselector *s, const struct ojson *labels);
bool oselector_match_bytes(const struct oselector *s, struct orlop_bytes labels);
bool oselector_match_object(const struct oselector *s, const struct orlop_object *o);

/*
 * Rules of names, with upstream's sentences appended to @why (may be NULL), several joined by "; ".
 * Key: [prefix/]name; value: at most 63 characters.
 */
bool oselector_key_valid(const char *p, size_t len, struct obuf *why);
bool oselector_value_valid(const char *p, size_t len, struct obuf *why);

#endif
