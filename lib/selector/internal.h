/* internal.h - how the files of lib/selector build a selector together. */
#ifndef OLIB_SELECTOR_INTERNAL_H
#define OLIB_SELECTOR_INTERNAL_H

#include "base/ostr.h"
#include "selector/oselector.h"

/* A selector comes from outside: it may not take more than this. */
#define OSELECTOR_MEM_MAX (4u << 20)

/* For qsort() of struct orlop_bytes. */
static inline int oselector_by_bytes(const void *a, const void *b)
{
	const struct orlop_bytes *x = a;
	const struct orlop_bytes *y = b;

	return ostr_cmp(x->p, x->len, y->p, y->len);
}

struct oselector *oselector_new(void);

/* Adds a requirement; @check: keys, values and their number must be valid. 0, -EINVAL, -ENOMEM. */
int oselector_add(struct oselector *s, struct orlop_bytes key, enum oselector_op op,
		  const struct orlop_bytes *values, size_t n, bool check, struct orlop_error *err);
void oselector_sort(struct oselector *s);
int oselector_check_key(struct orlop_bytes key, const char *field, struct orlop_error *err);

#endif
