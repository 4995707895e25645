/*
 * memory.c - the class storage without a disk: for tests and for what may be lost.
 *
 * All history is a list of versions per key (newest first) and one log in revision order; both go
 * away with compact(). "Durable" means nothing here, so a transaction is answered at once, and
 * lazy is like any other. Keys are a sorted array: a lookup is a binary search, an insert moves
 * pointers, which is cheaper than a tree up to about a hundred thousand keys.
 */
#include "memory.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"

static struct orlop_bytes key_bytes(const struct key *k)
{
	return (struct orlop_bytes){ .p = k->text, .len = k->len };
}

/* Index of the first key ≥ @want. */
static size_t key_lower(const struct memory *m, struct orlop_bytes want)
{
	size_t lo = 0;
	size_t hi = m->n_keys;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ostore_key_cmp(key_bytes(m->keys[mid]), want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct key *key_find(const struct memory *m, struct orlop_bytes want)
{
	size_t i = key_lower(m, want);

	if (i < m->n_keys && !ostore_key_cmp(key_bytes(m->keys[i]), want))
		return m->keys[i];
	return NULL;
}

static int array_grow(void *pp, size_t *cap, size_t n)
{
	void **p = pp;
	void *q;
	size_t want = *cap ? *cap * 2 : 64;

	if (n < *cap)
		return 0;
	q = omem_realloc_array(*p, want, sizeof(void *));
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = want;
	return 0;
}

/* Find or insert; NULL without memory. */
struct key *memory_key_get(struct memory *m, struct orlop_bytes want)
{
	size_t i = key_lower(m, want);
	struct key *k;

	if (i < m->n_keys && !ostore_key_cmp(key_bytes(m->keys[i]), want))
		return m->keys[i];
	if (array_grow(&m->keys, &m->cap_keys, m->n_keys))
		return NULL;
	k = omem_zalloc(sizeof(*k) + want.len);
	if (!k)
		return NULL;
	k->len = (uint32_t)want.len;
	memcpy(k->text, want.p, want.len);
	memmove(&m->keys[i + 1], &m->keys[i], (m->n_keys - i) * sizeof(*m->keys));
	m->keys[i] = k;
	m->n_keys++;
	return k;
}

const struct version *memory_at(const struct key *k, uint64_t rev)
{
	const struct version *v = k->newest;

	while (v && v->rev > rev)
		v = v->older;
	return v && v->create_rev ? v : NULL;
}

static int op_range(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct memory *m = ctx;
	struct ostore_range r;
	struct ostore_items it;
	bool more = false;
	uint64_t rev;
	size_t i;
	int e = ostore_range_parse(m->h, req, &r, err);

	if (e)
		return e;
	rev = r.rev ? r.rev : m->rev;
	if (rev > m->rev)
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future, now %llu",
				  (unsigned long long)rev, (unsigned long long)m->rev);
	if (rev < m->oldest)
		return orlop_fail(err, ESTALE, 410, "Expired", "revision %llu is compacted",
				  (unsigned long long)rev);
	ostore_items_init(&it);
	for (i = key_lower(m, r.start); i < m->n_keys; i++) {
		struct orlop_bytes k = key_bytes(m->keys[i]);
		const struct version *v = memory_at(m->keys[i], rev);
		struct orlop_bytes value = { NULL, 0 };

		if (!ostore_range_before_end(&r, k))
			break;
		if (!v)
			continue;
		if ((r.limit && it.n == r.limit) || it.len > OSTORE_RANGE_BYTES) {
			more = true;
			break;
		}
		if (!r.keys_only)
			value = (struct orlop_bytes){ v->value, v->len };
		if (ostore_items_add(&it, v->rev, v->create_rev, 0, k, value))
			break;
	}
	ostore_items_put(&it, m->h, call, rev, m->oldest, more);
	return 0;
}

static void changes_answer(struct memory *m, struct orlop_call *call, uint64_t after, uint64_t limit)
{
	struct ostore_items it;
	uint64_t rev = m->rev;
	size_t lo = 0;
	size_t hi = m->n_log;

	if (after < m->oldest) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		int e = orlop_fail(&err, ESTALE, 410, "Expired", "revision %llu is compacted",
				   (unsigned long long)after);

		m->h->call_done(call, e, NULL, &err);
		return;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->log[mid]->rev <= after)
			lo = mid + 1;
		else
			hi = mid;
	}
	ostore_items_init(&it);
	for (; lo < m->n_log; lo++) {
		const struct version *v = m->log[lo];

		if (it.len >= limit && v->rev != m->log[lo - 1]->rev) {
			rev = m->log[lo - 1]->rev;
			break;
		}
		if (ostore_items_add(&it, v->rev, v->create_rev,
				     v->create_rev ? 0 : ORLOP_ITEM_DELETED, key_bytes(v->key),
				     (struct orlop_bytes){ v->value, v->len }))
			break;
	}
	ostore_items_put(&it, m->h, call, rev, m->oldest, false);
}

static void changes_wake(void *arg, struct orlop_call *call, uint64_t rev, uint64_t limit)
{
	changes_answer(arg, call, rev, limit);
}

static int op_changes(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct memory *m = ctx;
	struct ostore_range r;
	uint64_t limit;
	int e = ostore_range_parse(m->h, req, &r, err);

	if (e)
		return e;
	limit = r.limit ? r.limit : OSTORE_CHANGES_BYTES;
	if (r.rev > m->rev)
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future, now %llu",
				  (unsigned long long)r.rev, (unsigned long long)m->rev);
	if (!m->waiters && r.rev == m->rev)
		return orlop_fail(err, ECANCELED, 0, "", "storage/memory is closing");
	if (r.rev == m->rev && r.wait_ns)
		return ostore_waiters_add(m->waiters, call, r.rev, limit, r.wait_ns);
	changes_answer(m, call, r.rev, limit);
	return 0;
}

/* First compare that does not hold, or n_compares. */
static uint32_t compares_hold(const struct memory *m, const struct ostore_txn *t)
{
	uint32_t i;

	for (i = 0; i < t->n_compares; i++) {
		const struct key *k = key_find(m, t->compares[i].key);
		const struct version *v = k ? memory_at(k, m->rev) : NULL;

		if ((v ? v->rev : 0) != t->compares[i].mod_rev)
			break;
	}
	return i;
}

/* Make the version of one op; NULL in *ret_v: a delete of nothing. */
static int version_new(struct memory *m, const struct ostore_op *op, uint64_t rev,
		       struct version **ret_v)
{
	struct key *k = op->value.p ? memory_key_get(m, op->key) : key_find(m, op->key);
	const struct version *old = k ? memory_at(k, m->rev) : NULL;
	struct version *v;

	*ret_v = NULL;
	if (!op->value.p && !old)
		return 0;
	if (!k)
		return -ENOMEM;
	v = omem_alloc(sizeof(*v) + op->value.len);
	if (!v)
		return -ENOMEM;
	v->rev = rev;
	v->create_rev = !op->value.p ? 0 : old ? old->create_rev : rev;
	v->key = k;
	v->older = k->newest;
	v->len = op->value.len;
	if (v->len)
		memcpy(v->value, op->value.p, v->len);
	*ret_v = v;
	return 0;
}

static int op_txn(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct memory *m = ctx;
	struct version *made[OSTORE_TXN_MAX];
	struct ostore_txn *t;
	uint32_t failed;
	uint32_t n = 0;
	uint32_t i;
	int e = ostore_txn_parse(m->h, req, &t, err);

	if (e)
		return e;
	failed = compares_hold(m, t);
	if (failed < t->n_compares) {
		const struct key *k = key_find(m, t->compares[failed].key);
		const struct version *v = k ? memory_at(k, m->rev) : NULL;
		struct orlop_storage_item item = { .mod_rev = v ? v->rev : 0,
						   .create_rev = v ? v->create_rev : 0 };

		ostore_txn_failed(m->h, call, m->rev, failed, v ? &item : NULL,
				  t->compares[failed].key,
				  (struct orlop_bytes){ v ? v->value : NULL, v ? v->len : 0 });
		omem_free(t);
		return 0;
	}
	for (i = 0; i < t->n_ops && !e; i++) {
		e = version_new(m, &t->ops[i], m->rev + 1, &made[n]);
		if (!e && made[n])
			n++;
	}
	while (!e && m->cap_log < m->n_log + n)
		e = array_grow(&m->log, &m->cap_log, m->cap_log);
	omem_free(t);
	if (e) {
		while (n)
			omem_free(made[--n]);
		return orlop_fail(err, ENOMEM, 0, "", "no memory to store %u keys", i);
	}
	for (i = 0; i < n; i++) {
		made[i]->key->newest = made[i];
		m->log[m->n_log++] = made[i];
		m->bytes += made[i]->len;
	}
	if (n) {
		m->rev++;
		m->writes++;
	}
	ostore_txn_ok(m->h, call, m->rev);
	if (n && m->waiters)
		ostore_waiters_wake(m->waiters, m->rev);
	return 0;
}

static void number_answer(struct memory *m, struct orlop_call *call, bool status)
{
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, m->h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, m->rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_OLDEST, m->oldest);
	if (status) {
		uint64_t live = 0;
		size_t i;

		for (i = 0; i < m->n_keys; i++)
			live += memory_at(m->keys[i], m->rev) != NULL;
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_SIZE, m->bytes);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_KEYS, live);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_COMMITS, m->writes);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_WRITES, m->writes);
	}
	msg = orlop_msgw_msg(&w);
	m->h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
}

static int op_revision(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		       struct orlop_error *err)
{
	(void)req;
	(void)err;
	number_answer(ctx, call, false);
	return 0;
}

static int op_status(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	(void)req;
	(void)err;
	number_answer(ctx, call, true);
	return 0;
}

static void versions_free(struct memory *m, struct version *v)
{
	while (v) {
		struct version *older = v->older;

		m->bytes -= v->len;
		omem_free(v);
		v = older;
	}
}

static int op_compact(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct memory *m = ctx;
	uint64_t rev = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	size_t from = 0;
	size_t to = 0;

	if (rev > m->rev)
		return orlop_fail(err, EOVERFLOW, 0, "", "revision %llu is in the future",
				  (unsigned long long)rev);
	if (rev > m->oldest)
		m->oldest = rev;
	while (from < m->n_log && m->log[from]->rev <= m->oldest)
		from++;
	memmove(m->log, m->log + from, (m->n_log - from) * sizeof(*m->log));
	m->n_log -= from;
	for (from = 0; from < m->n_keys; from++) {
		struct key *k = m->keys[from];
		struct version **pp = &k->newest;

		while (*pp && (*pp)->rev > m->oldest)
			pp = &(*pp)->older;
		if (*pp && (*pp)->create_rev)
			pp = &(*pp)->older;	/* the one that is seen at `oldest` stays */
		versions_free(m, *pp);
		*pp = NULL;
		if (k->newest)
			m->keys[to++] = k;
		else
			omem_free(k);
	}
	m->n_keys = to;
	number_answer(m, call, false);
	return 0;
}

void memory_keys_free(struct memory *m)
{
	for (size_t i = 0; i < m->n_keys; i++) {
		versions_free(m, m->keys[i]->newest);
		omem_free(m->keys[i]);
	}
	omem_free(m->keys);
	m->keys = NULL;
	m->n_keys = 0;
	m->cap_keys = 0;
}

void memory_numbers(struct memory *m, struct orlop_call *call)
{
	number_answer(m, call, false);
}

static void memory_fini(void *ctx)
{
	struct memory *m = ctx;

	ostore_waiters_free(m->waiters);
	memory_keys_free(m);
	omem_free(m->log);
	omem_free(m);
}

static int memory_stop(void *ctx, struct orlop_error *err)
{
	struct memory *m = ctx;

	(void)err;
	ostore_waiters_free(m->waiters);
	m->waiters = NULL;
	return 0;
}

static int memory_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct memory *m = OMEM_NEW(struct memory);

	if (!m || ostore_waiters_new(h, changes_wake, m, &m->waiters)) {
		omem_free(m);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	m->h = h;
	m->rev = 1;
	m->oldest = 1;
	*ret_ctx = m;
	return 0;
}

static int memory_start(void *ctx, struct orlop_error *err)
{
	struct memory *m = ctx;

	(void)err;
	m->h->ready(m->h);
	return 0;
}

/* A new one begins at the beginning: it may not take the place of one that has been written to. */
static uint64_t memory_revision(void *ctx)
{
	const struct memory *m = ctx;

	return m->rev;
}

static const struct orlop_storage_ops memory_ops = {
	.size = sizeof(memory_ops),
	.range = op_range,
	.txn = op_txn,
	.changes = op_changes,
	.revision = op_revision,
	.compact = op_compact,
	.snapshot = memory_snapshot,
	.restore = memory_restore,
	.status = op_status,
};

ORLOP_MODULE("memory", "storage", "0.1", "",
	.license = "Apache-2.0",
	.summary = "keys and values in memory, lost at the end",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &memory_ops,
	.init = memory_init,
	.start = memory_start,
	.stop = memory_stop,
	.fini = memory_fini,
	.revision = memory_revision);
