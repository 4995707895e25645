/*
 * omap - hash map from bytes to pointer that remembers the order of insertion
 *
 * Iteration follows insertion, never the hash: the same run repeats step by step, as the simulation
 * needs, although the hash is seeded per map. Open addressing over 32-bit slots into a dense array
 * of entries. Keys are copied. Deleting while iterating is allowed, inserting is not.
 */
#ifndef OLIB_BASE_OMAP_H
#define OLIB_BASE_OMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct omap_entry {
	char		*key;		/* NUL-terminated copy; NULL: deleted */
	size_t		key_len;
	uint64_t	hash;
	void		*value;
};

struct omap {
	struct omap_entry	*entries;	/* in order of insertion, holes where deleted */
	uint32_t		*slots;		/* 0 empty, 1 deleted, else entry index + 2 */
	uint32_t		n_slots;	/* a power of two, or 0 */
	uint32_t		n_entries;	/* used part of entries[], with holes */
	uint32_t		cap_entries;
	uint32_t		count;		/* live entries */
	uint32_t		n_deleted;	/* slots holding 1 */
};

#define OMAP_INIT { NULL, NULL, 0, 0, 0, 0, 0 }

void omap_init(struct omap *m);

/* Frees keys and tables; the values are the caller's (free_fn, if given, sees each). */
void omap_done(struct omap *m);
void omap_done_with(struct omap *m, void (*free_fn)(void *value));

static inline uint32_t omap_count(const struct omap *m)
{
	return m->count;
}

/* NULL if absent (a stored NULL looks the same: use omap_has) */
void *omap_get(const struct omap *m, const void *key, size_t len);
void *omap_get_cstr(const struct omap *m, const char *key);
bool omap_has(const struct omap *m, const void *key, size_t len);
struct omap_entry *omap_find(const struct omap *m, const void *key, size_t len);

/* Inserts or replaces. @ret_old (may be NULL) gets the replaced value or NULL. 0 or -ENOMEM. */
int omap_put(struct omap *m, const void *key, size_t len, void *value, void **ret_old);
int omap_put_cstr(struct omap *m, const char *key, void *value);

/* Inserts only; -EEXIST if the key is there. */
int omap_add(struct omap *m, const void *key, size_t len, void *value);

/* Removes; returns the value, NULL if it was absent. */
void *omap_del(struct omap *m, const void *key, size_t len);

void omap_clear(struct omap *m);

/* Next live entry at or after index *@at, NULL at the end; start with *@at = 0. */
struct omap_entry *omap_next(const struct omap *m, uint32_t *at);

#define OMAP_FOREACH(m, e) \
	for (uint32_t omap_at_##e = 0, omap_once_##e = 1; omap_once_##e; omap_once_##e = 0) \
		for (struct omap_entry *e; (e = omap_next((m), &omap_at_##e)) != NULL;)

#endif
