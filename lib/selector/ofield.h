/*
 * ofield - field selectors: `metadata.name=a,spec.nodeName!=b`
 *
 * Only =, == and !=, joined by commas; in values a backslash protects \ , and =. Which fields a
 * resource supports is asked of its schema, not here.
 */
#ifndef OLIB_SELECTOR_OFIELD_H
#define OLIB_SELECTOR_OFIELD_H

#include "base/oarena.h"
#include "base/obuf.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stddef.h>

struct ofield_term {
	struct orlop_bytes	field;	/* NUL-terminated */
	struct orlop_bytes	value;	/* unescaped, NUL-terminated */
	bool			not;
};

struct ofield_selector {
	struct ofield_term	*terms;	/* sorted by their text */
	size_t			n_terms;
	struct oarena		mem;
};

/* 0; -EINVAL with upstream's text in @err (may be NULL), code 400; -ENOMEM. Empty: everything. */
int ofield_parse(const char *p, size_t len, struct ofield_selector **ret, struct orlop_error *err);
void ofield_free(struct ofield_selector *s);	/* accepts NULL */
static inline void ofield_cleanup(struct ofield_selector **s)
{
	ofield_free(*s);
}
#define cleanup_ofield __attribute__((cleanup(ofield_cleanup)))

/* The value of a field as text; an absent field is the empty text. */
typedef struct orlop_bytes (*ofield_lookup_fn)(const void *arg, struct orlop_bytes field);

bool ofield_match(const struct ofield_selector *s, ofield_lookup_fn lookup, const void *arg);

/* The value that a term demands of @field by equality: true, and the value in @ret. */
bool ofield_requires(const struct ofield_selector *s, const char *field, struct orlop_bytes *ret);

void ofield_write(const struct ofield_selector *s, struct obuf *b);

#endif
