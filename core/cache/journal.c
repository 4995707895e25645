/*
 * journal.c - recent changes of one resource: a ring bounded by bytes and age, read by cursors.
 *
 * Bytes counted are those that only the journal keeps alive: states that were replaced, what a
 * delete left, the entries. The memory grows on demand and goes back when entries age; age is
 * looked at when something is written somewhere, so that an idle process need not wake for it.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

#define RING_MIN 16u

static struct journal_entry *entry_at(const struct journal *j, uint32_t i)
{
	return &j->ring[(j->head + i) & (j->cap - 1)];
}

static uint64_t entry_rev(const struct journal_entry *e)
{
	return e->rev;
}

static uint64_t entry_bytes(const struct journal_entry *e)
{
	uint64_t n = sizeof(*e);

	if (e->prev)
		n += core_object_size(e->prev);
	if (e->type == ORLOP_CHANGE_DELETED)
		n += core_object_size(e->object);
	return n;
}

int core_journal_reserve(struct journal *j, uint32_t more)
{
	struct journal_entry *v;
	uint32_t cap;

	if (j->n_pend + more <= j->cap_pend)
		return 0;
	cap = j->cap_pend ? j->cap_pend * 2 : 8;
	while (cap < j->n_pend + more)
		cap *= 2;
	v = omem_realloc_array(j->pend, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	j->pend = v;
	j->cap_pend = cap;
	return 0;
}

void core_journal_append(struct journal *j, uint32_t type, struct core_object *take_object,
			 struct core_object *take_prev, uint32_t time_s)
{
	j->pend[j->n_pend++] = (struct journal_entry){ take_object, take_prev, take_object->pub.rev, type,
						       time_s };
}

/* A stable merge of neighbouring runs of @width: changes of one object stay in order. */
static void runs_merge(const struct journal_entry *from, struct journal_entry *to, uint32_t n,
		       uint32_t width)
{
	for (uint32_t at = 0; at < n; at += 2 * width) {
		uint32_t mid = n - at > width ? at + width : n;
		uint32_t end = n - at > 2 * width ? at + 2 * width : n;
		uint32_t a = at, b = mid;

		for (uint32_t i = at; i < end; i++)
			to[i] = b == end || (a < mid && from[a].rev <= from[b].rev) ? from[a++] : from[b++];
	}
}

int core_journal_order(struct journal *j, uint64_t base, uint64_t rev, uint64_t *ret_rev)
{
	struct journal_entry *other;
	bool sorted = true;

	*ret_rev = rev;
	for (uint32_t i = 0; i < j->n_pend; i++) {
		struct journal_entry *e = &j->pend[i];

		if (e->rev <= base)
			e->rev = rev;
		if (e->rev > *ret_rev)
			*ret_rev = e->rev;
		sorted = sorted && (i == 0 || e[-1].rev <= e->rev);
	}
	if (sorted)
		return 0;
	other = omem_alloc_array(j->cap_pend, sizeof(*other));
	if (!other)
		return -ENOMEM;
	for (uint32_t width = 1; width < j->n_pend; width *= 2) {
		struct journal_entry *from = j->pend;

		runs_merge(from, other, j->n_pend, width);
		j->pend = other;
		other = from;
	}
	omem_free(other);
	return 0;
}

/* A ring of @cap entries in place of the present one, which is returned. Under R. */
static struct journal_entry *ring_replace(struct journal *j, struct journal_entry *ring,
					  uint32_t cap)
{
	struct journal_entry *old = j->ring;

	for (uint32_t i = 0; i < j->n; i++)
		ring[i] = *entry_at(j, i);
	j->ring = ring;
	j->cap = cap;
	j->head = 0;
	return old;
}

int core_journal_prepare(struct journal *j, pthread_mutex_t *lock)
{
	struct journal_entry *ring;
	uint32_t cap;

	/* Only writers change cap and n, so reading them here needs no lock. */
	if (j->n + j->n_pend <= j->cap)
		return 0;
	cap = j->cap ? j->cap : RING_MIN;
	while (cap < j->n + j->n_pend)
		cap *= 2;
	ring = omem_alloc_array(cap, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	(void)pthread_mutex_lock(lock);
	ring = ring_replace(j, ring, cap);
	(void)pthread_mutex_unlock(lock);
	omem_free(ring);
	return 0;
}

void core_journal_publish(struct journal *j)
{
	for (uint32_t i = 0; i < j->n_pend; i++) {
		j->bytes += entry_bytes(&j->pend[i]);
		*entry_at(j, j->n++) = j->pend[i];
	}
	j->total += j->n_pend;
	j->n_pend = 0;
}

void core_journal_unref(struct journal_entry *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		core_object_put(e[i].object);
		core_object_put(e[i].prev);
	}
}

void core_journal_forget(struct journal *j)
{
	core_journal_unref(j->pend, j->n_pend);
	j->n_pend = 0;
}

uint32_t core_journal_trim(struct journal *j, uint64_t now_ns, struct journal_entry *ret,
			   uint32_t max)
{
	uint32_t n = 0;

	while (j->n && n < max) {
		struct journal_entry *e = entry_at(j, 0);
		uint64_t age_ns = now_ns - (uint64_t)e->time_s * 1000000000;

		/* A revision that has lost an entry goes altogether. */
		if (entry_rev(e) > j->oldest && j->bytes <= j->max_bytes && age_ns <= j->max_ns)
			break;
		j->oldest = entry_rev(e);
		j->past = false;
		j->bytes -= entry_bytes(e);
		ret[n++] = *e;
		j->head = (j->head + 1) & (j->cap - 1);
		j->n--;
	}
	return n;
}

/* Gives memory back when a quarter would do. */
static void ring_shrink(struct journal *j, pthread_mutex_t *lock)
{
	struct journal_entry *ring = NULL;
	uint32_t cap = j->cap / 2;

	if (j->cap <= RING_MIN || j->n > j->cap / 4)
		return;
	ring = omem_alloc_array(cap, sizeof(*ring));
	if (!ring)
		return;
	(void)pthread_mutex_lock(lock);
	ring = ring_replace(j, ring, cap);
	(void)pthread_mutex_unlock(lock);
	omem_free(ring);
}

bool core_journal_slice(struct core_res *res, uint64_t now_ns)
{
	struct journal_entry old[128];
	struct journal *j = &res->journal;
	uint32_t n;

	if (j->n == 0)
		return false;
	(void)pthread_mutex_lock(&res->lock);
	n = core_journal_trim(j, now_ns, old, 128);
	(void)pthread_mutex_unlock(&res->lock);
	core_journal_unref(old, n);
	if (n)
		ring_shrink(j, &res->lock);
	return n == 128;
}

struct journal_entry *core_journal_clear(struct journal *j, uint64_t oldest, uint32_t *ret_head,
					 uint32_t *ret_n, uint32_t *ret_cap)
{
	struct journal_entry *ring = j->ring;

	*ret_head = j->head;
	*ret_n = j->n;
	*ret_cap = j->cap;
	j->ring = NULL;
	j->cap = 0;
	j->head = 0;
	j->n = 0;
	j->bytes = 0;
	j->oldest = oldest;
	j->past = false;
	j->past_lost = j->past_want = j->past_sent = 0;
	return ring;
}

bool core_journal_past(struct journal *j, uint64_t cursor)
{
	if (!j->past || cursor >= j->oldest || cursor <= j->past_lost)
		return false;
	if (!j->past_want || cursor < j->past_want)
		j->past_want = cursor;
	return true;
}

int core_journal_prepend(struct journal *j, pthread_mutex_t *lock, const struct journal_entry *v, uint32_t n,
			 uint64_t from, uint64_t upto)
{
	struct journal_entry *ring, *old;
	uint32_t cap = j->cap ? j->cap : RING_MIN;

	if (n > (UINT32_C(1) << 30) - j->n)
		return -ENOMEM;
	while (cap < j->n + n)
		cap *= 2;
	ring = omem_alloc_array(cap, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ring[i] = v[i];
	(void)pthread_mutex_lock(lock);
	if (!j->past || j->oldest != upto) {
		(void)pthread_mutex_unlock(lock);
		omem_free(ring);
		return -ESTALE;
	}
	old = ring_replace(j, ring + n, cap);
	j->ring = ring;
	for (uint32_t i = 0; i < n; i++)
		j->bytes += entry_bytes(&v[i]);
	j->n += n;
	j->total += n;
	j->oldest = from;
	(void)pthread_mutex_unlock(lock);
	omem_free(old);
	return 0;
}

void core_journal_done(struct journal *j)
{
	core_journal_forget(j);
	for (uint32_t i = 0; i < j->n; i++)
		core_journal_unref(entry_at(j, i), 1);
	omem_free(j->ring);
	omem_free(j->pend);
	memset(j, 0, sizeof(*j));
}

int32_t core_journal_copy(const struct journal *j, uint64_t now, uint64_t high, uint64_t *cursor,
			  struct orlop_change *ret, uint32_t max)
{
	uint32_t lo = 0, hi = j->n, n, left;

	if (*cursor < j->oldest)
		return -ESTALE;
	if (*cursor >= now)	/* from a time that was taken back: the storage lost revisions */
		return *cursor > now && *cursor <= high ? -ESTALE : 0;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (entry_rev(entry_at(j, mid)) > *cursor)
			hi = mid;
		else
			lo = mid + 1;
	}
	left = j->n - lo;
	n = left < max ? left : max;
	while (n && n < left && entry_rev(entry_at(j, lo + n - 1)) == entry_rev(entry_at(j, lo + n)))
		n--;
	if (n == 0 && left)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < n; i++) {
		const struct journal_entry *e = entry_at(j, lo + i);

		ret[i] = (struct orlop_change){
			.type = e->type,
			.rev = entry_rev(e),
			.object = &core_object_get(e->object)->pub,
			.prev = e->prev ? &core_object_get(e->prev)->pub : NULL,
		};
	}
	*cursor = n == left ? now : ret[n - 1].rev;
	return (int32_t)n;
}
