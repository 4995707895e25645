/* idtab - hash table of numbers to nodes embedded in what they number; no allocation but the buckets. */
#ifndef CORE_BUS_IDTAB_H
#define CORE_BUS_IDTAB_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/omem.h"

struct core_idnode {
	struct core_idnode *next;
	uint64_t	id;
};

struct core_idtab {
	struct core_idnode **buckets;
	uint32_t	n_buckets;	/* a power of two */
	uint32_t	count;
};

static inline int core_idtab_init(struct core_idtab *t)
{
	t->n_buckets = 64;
	t->count = 0;
	t->buckets = omem_zalloc_array(t->n_buckets, sizeof(struct core_idnode *));
	return t->buckets ? 0 : -ENOMEM;
}

/* The nodes are the caller's. */
static inline void core_idtab_done(struct core_idtab *t)
{
	omem_free(t->buckets);
	t->buckets = NULL;
	t->count = 0;
}

static inline struct core_idnode **core_idtab_slot(const struct core_idtab *t, uint64_t id)
{
	return &t->buckets[((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->n_buckets - 1)];
}

static inline struct core_idnode *core_idtab_get(const struct core_idtab *t, uint64_t id)
{
	struct core_idnode *n = *core_idtab_slot(t, id);

	while (n && n->id != id)
		n = n->next;
	return n;
}

/* Without memory for more buckets it goes on with what it has: longer chains, never a failure. */
static inline void core_idtab_grow(struct core_idtab *t)
{
	struct core_idtab old = *t;
	struct core_idnode *n;

	t->buckets = omem_zalloc_array((size_t)old.n_buckets * 2, sizeof(struct core_idnode *));
	if (!t->buckets) {
		*t = old;
		return;
	}
	t->n_buckets = old.n_buckets * 2;
	for (uint32_t i = 0; i < old.n_buckets; i++)
		while ((n = old.buckets[i]) != NULL) {
			struct core_idnode **slot = core_idtab_slot(t, n->id);

			old.buckets[i] = n->next;
			n->next = *slot;
			*slot = n;
		}
	omem_free(old.buckets);
}

/* @id is not in the table yet. */
static inline void core_idtab_add(struct core_idtab *t, struct core_idnode *n, uint64_t id)
{
	struct core_idnode **slot;

	if (t->count >= t->n_buckets)
		core_idtab_grow(t);
	slot = core_idtab_slot(t, id);
	n->id = id;
	n->next = *slot;
	*slot = n;
	t->count++;
}

static inline void core_idtab_del(struct core_idtab *t, struct core_idnode *n)
{
	struct core_idnode **at = core_idtab_slot(t, n->id);

	while (*at && *at != n)
		at = &(*at)->next;
	if (*at) {
		*at = n->next;
		t->count--;
	}
}

#endif
