/* Insertion-ordered hash map; see omap.h. */
#include "base/omap.h"

#include "base/ohash.h"
#include "base/omem.h"

#include <errno.h>
#include <string.h>

#define SLOT_EMPTY 0u
#define SLOT_DELETED 1u
#define SLOT_FIRST 2u

void omap_init(struct omap *m)
{
	*m = (struct omap)OMAP_INIT;
}

void omap_done_with(struct omap *m, void (*free_fn)(void *value))
{
	if (m == NULL)
		return;
	for (uint32_t i = 0; i < m->n_entries; i++) {
		struct omap_entry *e = &m->entries[i];

		if (e->key == NULL)
			continue;
		omem_free(e->key);
		if (free_fn != NULL)
			free_fn(e->value);
	}
	omem_free(m->entries);
	omem_free(m->slots);
	omap_init(m);
}

void omap_done(struct omap *m)
{
	omap_done_with(m, NULL);
}

void omap_clear(struct omap *m)
{
	omap_done(m);
}

static uint64_t hash_key(const struct omap *m, const void *key, size_t len)
{
	/* The address differs from run to run and is the same for the life of the map. */
	return ohash_bytes((uint64_t)(uintptr_t)m, key, len);
}

/* Index of the slot that holds @key, or n_slots. */
static uint32_t slot_find(const struct omap *m, const void *key, size_t len, uint64_t hash)
{
	uint32_t mask = m->n_slots - 1;

	if (m->n_slots == 0)
		return 0;
	for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
		const struct omap_entry *e;

		if (m->slots[i] == SLOT_EMPTY)
			return m->n_slots;
		if (m->slots[i] == SLOT_DELETED)
			continue;
		e = &m->entries[m->slots[i] - SLOT_FIRST];
		if (e->hash == hash && e->key_len == len && (len == 0 || memcmp(e->key, key, len) == 0))
			return i;
	}
}

static void slot_insert(struct omap *m, uint64_t hash, uint32_t entry)
{
	uint32_t mask = m->n_slots - 1;
	uint32_t i = (uint32_t)hash & mask;

	while (m->slots[i] >= SLOT_FIRST)
		i = (i + 1) & mask;
	if (m->slots[i] == SLOT_DELETED)
		m->n_deleted--;
	m->slots[i] = entry + SLOT_FIRST;
}

/* Rebuilds both tables without holes, with room for one more entry. */
static int rehash(struct omap *m)
{
	uint32_t n_slots = 8;
	uint32_t cap;
	uint32_t n = 0;
	uint32_t *slots;
	struct omap_entry *entries;

	if (m->count > UINT32_MAX / 8)
		return -ENOMEM;
	while (n_slots / 4 * 3 <= m->count + m->count / 4 + 1)
		n_slots *= 2;
	cap = n_slots / 4 * 3;
	slots = omem_zalloc_array(n_slots, sizeof(*slots));
	entries = omem_alloc_array(cap, sizeof(*entries));
	if (slots == NULL || entries == NULL) {
		omem_free(slots);
		omem_free(entries);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < m->n_entries; i++)
		if (m->entries[i].key != NULL)
			entries[n++] = m->entries[i];
	omem_free(m->slots);
	omem_free(m->entries);
	m->slots = slots;
	m->entries = entries;
	m->n_slots = n_slots;
	m->n_entries = n;
	m->cap_entries = cap;
	m->n_deleted = 0;
	for (uint32_t i = 0; i < n; i++)
		slot_insert(m, entries[i].hash, i);
	return 0;
}

struct omap_entry *omap_find(const struct omap *m, const void *key, size_t len)
{
	uint32_t i = slot_find(m, key, len, hash_key(m, key, len));

	return i < m->n_slots ? &m->entries[m->slots[i] - SLOT_FIRST] : NULL;
}

void *omap_get(const struct omap *m, const void *key, size_t len)
{
	struct omap_entry *e = omap_find(m, key, len);

	return e != NULL ? e->value : NULL;
}

void *omap_get_cstr(const struct omap *m, const char *key)
{
	return omap_get(m, key, strlen(key));
}

bool omap_has(const struct omap *m, const void *key, size_t len)
{
	return omap_find(m, key, len) != NULL;
}

int omap_add(struct omap *m, const void *key, size_t len, void *value)
{
	uint64_t hash = hash_key(m, key, len);
	struct omap_entry *e;
	char *copy;

	if (slot_find(m, key, len, hash) < m->n_slots)
		return -EEXIST;
	copy = omem_strndup(key, len);
	if (copy == NULL)
		return -ENOMEM;
	if (m->n_entries == m->cap_entries || m->count + m->n_deleted >= m->n_slots / 4 * 3) {
		if (rehash(m) < 0) {
			omem_free(copy);
			return -ENOMEM;
		}
	}
	e = &m->entries[m->n_entries];
	*e = (struct omap_entry){ .key = copy, .key_len = len, .hash = hash, .value = value };
	slot_insert(m, hash, m->n_entries++);
	m->count++;
	return 0;
}

int omap_put(struct omap *m, const void *key, size_t len, void *value, void **ret_old)
{
	struct omap_entry *e = omap_find(m, key, len);
	int r;

	if (e != NULL) {
		if (ret_old != NULL)
			*ret_old = e->value;
		e->value = value;
		return 0;
	}
	r = omap_add(m, key, len, value);
	if (r == 0 && ret_old != NULL)
		*ret_old = NULL;
	return r;
}

int omap_put_cstr(struct omap *m, const char *key, void *value)
{
	return omap_put(m, key, strlen(key), value, NULL);
}

void *omap_del(struct omap *m, const void *key, size_t len)
{
	uint32_t i = slot_find(m, key, len, hash_key(m, key, len));
	struct omap_entry *e;

	if (i >= m->n_slots)
		return NULL;
	e = &m->entries[m->slots[i] - SLOT_FIRST];
	m->slots[i] = SLOT_DELETED;
	m->n_deleted++;
	m->count--;
	omem_free(e->key);
	e->key = NULL;
	return e->value;
}

struct omap_entry *omap_next(const struct omap *m, uint32_t *at)
{
	while (*at < m->n_entries) {
		struct omap_entry *e = &m->entries[(*at)++];

		if (e->key != NULL)
			return e;
	}
	return NULL;
}
