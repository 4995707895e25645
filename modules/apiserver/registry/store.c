/* store.c - transactions and reads at the address "storage". */
#include "store.h"

#include <orlop/inline/msg.h>

#include <errno.h>
#include <string.h>

void reg_txn_compare(struct reg_txn *t, struct orlop_bytes key, uint64_t rev)
{
	if (t->n_cmp == REG_TXN_MAX || !key.p) {
		t->err = key.p ? -E2BIG : -ENOMEM;
		return;
	}
	t->cmp[t->n_cmp].key = key;
	t->cmp[t->n_cmp++].rev = rev;
}

void reg_txn_put(struct reg_txn *t, struct orlop_bytes key, struct orlop_bytes value)
{
	if (t->n_put == REG_TXN_MAX || !key.p) {
		t->err = key.p ? -E2BIG : -ENOMEM;
		return;
	}
	t->put[t->n_put].key = key;
	t->put[t->n_put++].value = value;
}

void reg_txn_delete(struct reg_txn *t, struct orlop_bytes key)
{
	reg_txn_put(t, key, RB0);
}

int store_next(struct orlop_bytes *items, struct store_item *ret)
{
	size_t need;

	if (items->len < sizeof(ret->head))
		return 0;
	memcpy(&ret->head, items->p, sizeof(ret->head));
	need = sizeof(ret->head) + (size_t)ret->head.key_len + ret->head.value_len;
	if (need > items->len)
		return 0;
	ret->key = (struct orlop_bytes){ items->p + sizeof(ret->head), ret->head.key_len };
	ret->value = (struct orlop_bytes){ ret->key.p + ret->key.len, ret->head.value_len };
	need = (need + 7) & ~(size_t)7;
	if (need > items->len)
		need = items->len;
	items->p += need;
	items->len -= need;
	return 1;
}

/* A request on its way; the op cannot hold it since deletecollection has several at once. */
struct flight {
	struct reg_op	*op;
	store_done_fn	done;
	store_range_fn	range;
	const char	*what;		/* for who counts */
	uint64_t	began;
};

/* What a transaction does to the object of the request. */
static const char *word_of(const struct reg_op *op, uint32_t what, bool range)
{
	if (what != ORLOP_STORAGE_TXN)
		return range ? "list" : "get";
	return op->rq.verb == REG_CREATE ? "create" : op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION ? "delete" : "update";
}

static void timed(const struct flight *f, int32_t status)
{
	store_timed(f->op, f->what, f->began, status < 0);
}

static int send(struct reg_op *op, uint32_t what, struct orlop_msgw *w, store_done_fn done,
		store_range_fn range, orlop_reply_fn cb)
{
	struct orlop_send s = { .size = sizeof(s), .op = what, .to = "storage", .trace = op->rq.trace };
	struct flight *f;
	int r;

	if (w->err)
		return w->err;
	f = oarena_zalloc(&op->arena, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->op = op;
	f->done = done;
	f->range = range;
	f->what = word_of(op, what, range != NULL);
	f->began = op->sh->h->now_mono(op->sh->h);
	s.msg = orlop_msgw_msg(w);
	r = op->sh->h->request(op->sh->h, &s, cb, f, NULL);
	return r;
}

static void on_txn(void *arg, int32_t status, const struct orlop_msg *msg,
		   const struct orlop_error *err, uint32_t flags)
{
	struct flight *f = arg;
	struct reg_txn_result res = { .ok = false };
	struct store_item it;

	if (flags & ORLOP_REPLY_MORE)
		return;
	timed(f, status);
	if (status < 0) {
		f->done(f->op, reg_failed(f->op, status, err), NULL);
		return;
	}
	res.ok = orlop_msg_u64(msg, ORLOP_STORAGE_T_OK, 0) != 0;
	res.rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	if (!res.ok) {
		struct orlop_bytes items = orlop_msg_bytes(f->op->sh->h, msg, ORLOP_STORAGE_T_ITEMS);

		res.failed = (uint32_t)orlop_msg_u64(msg, ORLOP_STORAGE_T_FAILED, 0);
		if (store_next(&items, &it) && !(it.head.flags & ORLOP_ITEM_DELETED)) {
			res.item_rev = it.head.mod_rev;
			res.item = it.value;
		}
	}
	f->done(f->op, 0, &res);
}

void store_commit(struct reg_op *op, const struct reg_txn *t, store_done_fn done)
{
	struct orlop_msgw w;
	int r = t->err;

	orlop_msgw_init(&w, op->sh->h);
	for (uint32_t i = 0; i < t->n_cmp; i++) {
		uint32_t m = orlop_msgw_begin(&w, ORLOP_STORAGE_T_COMPARE);

		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_KEY, t->cmp[i].key.p, t->cmp[i].key.len);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_MOD_REV, t->cmp[i].rev);
		orlop_msgw_end(&w, m);
	}
	for (uint32_t i = 0; i < t->n_put; i++) {
		uint32_t m = orlop_msgw_begin(&w, ORLOP_STORAGE_T_OP);

		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_KEY, t->put[i].key.p, t->put[i].key.len);
		if (t->put[i].value.p)
			orlop_msgw_bytes(&w, ORLOP_STORAGE_T_VALUE, t->put[i].value.p,
					 t->put[i].value.len);
		orlop_msgw_end(&w, m);
	}
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_FLAGS, t->flags);
	if (r == 0)
		r = send(op, ORLOP_STORAGE_TXN, &w, done, NULL, on_txn);
	orlop_msgw_done(&w);
	if (r)
		done(op, reg_failed(op, r, NULL), NULL);
}

static void on_get(void *arg, int32_t status, const struct orlop_msg *msg,
		   const struct orlop_error *err, uint32_t flags)
{
	struct flight *f = arg;
	struct reg_txn_result res = { .ok = true };
	struct orlop_bytes items;
	struct store_item it;

	if (flags & ORLOP_REPLY_MORE)
		return;
	timed(f, status);
	if (status < 0) {
		f->done(f->op, reg_failed(f->op, status, err), NULL);
		return;
	}
	res.rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	items = orlop_msg_bytes(f->op->sh->h, msg, ORLOP_STORAGE_T_ITEMS);
	if (store_next(&items, &it)) {
		res.item_rev = it.head.mod_rev;
		res.item = it.value;
	}
	f->done(f->op, 0, &res);
}

void store_get(struct reg_op *op, struct orlop_bytes key, store_done_fn done)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, op->sh->h);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_START, key.p, key.len);
	r = send(op, ORLOP_STORAGE_RANGE, &w, done, NULL, on_get);
	orlop_msgw_done(&w);
	if (r)
		done(op, reg_failed(op, r, NULL), NULL);
}

void store_revision(struct reg_op *op, store_done_fn done)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, op->sh->h);
	r = send(op, ORLOP_STORAGE_REVISION, &w, done, NULL, on_get);
	orlop_msgw_done(&w);
	if (r)
		done(op, reg_failed(op, r, NULL), NULL);
}

static void on_range(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct flight *f = arg;

	if (flags & ORLOP_REPLY_MORE)
		return;
	timed(f, status);
	if (status < 0) {
		if (status != -ESTALE && status != -EOVERFLOW)
			reg_failed(f->op, status, err);
		f->range(f->op, status, NULL);
		return;
	}
	f->range(f->op, 0, msg);
}

void store_range(struct reg_op *op, struct orlop_bytes start, struct orlop_bytes end, uint64_t rev,
		 uint64_t limit, store_range_fn done)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, op->sh->h);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_START, start.p, start.len);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_END, end.p, end.len);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_LIMIT, limit);
	r = send(op, ORLOP_STORAGE_RANGE, &w, NULL, done, on_range);
	orlop_msgw_done(&w);
	if (r)
		done(op, reg_failed(op, r, NULL), NULL);
}
