/*
 * oref - atomic reference counter for objects shared between threads
 *
 * Taking a reference needs no ordering (the caller already holds one); dropping one releases, and
 * who drops the last acquires, so that the destructor sees every earlier write.
 */
#ifndef OLIB_BASE_OREF_H
#define OLIB_BASE_OREF_H

#include <stdbool.h>
#include <stdint.h>

struct oref {
	uint32_t	n;
};

static inline void oref_init(struct oref *r)
{
	__atomic_store_n(&r->n, 1, __ATOMIC_RELAXED);
}

static inline void oref_get(struct oref *r)
{
	(void)__atomic_add_fetch(&r->n, 1, __ATOMIC_RELAXED);
}

/* True: that was the last one, destroy now. */
static inline bool oref_put(struct oref *r)
{
	if (__atomic_sub_fetch(&r->n, 1, __ATOMIC_RELEASE) != 0)
		return false;
	/* An acquiring load instead of a fence, because thread sanitizers do not model fences. */
	(void)__atomic_load_n(&r->n, __ATOMIC_ACQUIRE);
	return true;
}

static inline uint32_t oref_count(const struct oref *r)
{
	return __atomic_load_n(&r->n, __ATOMIC_RELAXED);
}

#endif
