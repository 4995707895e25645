/* txn.c - decoding transactions and answering them. */
#include "store/ostore.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"

static int key_check(struct orlop_bytes key, struct orlop_error *err)
{
	if (!key.len)
		return orlop_fail(err, EINVAL, 0, "", "empty key");
	if (key.len > ORLOP_STORAGE_KEY_MAX)
		return orlop_fail(err, EINVAL, 0, "", "key of %zu bytes, at most %u", key.len,
				  ORLOP_STORAGE_KEY_MAX);
	return 0;
}

static void part_parse(const struct orlop_host *h, const struct orlop_msgr *outer,
		      struct orlop_bytes *ret_key, struct orlop_bytes *ret_value, uint64_t *ret_rev)
{
	struct orlop_msgr r;

	*ret_key = (struct orlop_bytes){ NULL, 0 };
	*ret_value = (struct orlop_bytes){ NULL, 0 };
	*ret_rev = 0;
	orlop_msgr_init(&r, h, outer->m, outer->bytes);
	while (orlop_msgr_next(&r)) {
		if (r.tag == ORLOP_STORAGE_T_KEY && r.type == ORLOP_T_BYTES)
			*ret_key = r.bytes;
		else if (r.tag == ORLOP_STORAGE_T_VALUE && r.type == ORLOP_T_BYTES)
			/* an empty blob has no pointer, but is a value and not a delete */
			*ret_value = r.bytes.p ? r.bytes : (struct orlop_bytes){ "", 0 };
		else if (r.tag == ORLOP_STORAGE_T_MOD_REV && r.type == ORLOP_T_U64)
			*ret_rev = r.u64;
	}
}

static int txn_check(const struct ostore_txn *t, struct orlop_error *err)
{
	uint32_t i;
	uint32_t j;
	int r;

	for (i = 0; i < t->n_compares; i++)
		if ((r = key_check(t->compares[i].key, err)))
			return r;
	for (i = 0; i < t->n_ops; i++) {
		if ((r = key_check(t->ops[i].key, err)))
			return r;
		if (t->ops[i].value.len > ORLOP_STORAGE_VALUE_MAX)
			return orlop_fail(err, E2BIG, 0, "RequestEntityTooLarge",
					  "value of %zu bytes, at most %u", t->ops[i].value.len,
					  ORLOP_STORAGE_VALUE_MAX);
		for (j = 0; j < i; j++)
			if (!ostore_key_cmp(t->ops[i].key, t->ops[j].key))
				return orlop_fail(err, EINVAL, 0, "", "key \"%.*s\" twice",
						  (int)t->ops[i].key.len, t->ops[i].key.p);
	}
	return 0;
}

int ostore_txn_parse(const struct orlop_host *h, const struct orlop_req *req,
		     struct ostore_txn **ret_t, struct orlop_error *err)
{
	struct ostore_txn *t;
	struct orlop_msgr r;
	uint32_t n_compares = 0;
	uint32_t n_ops = 0;
	uint64_t rev;
	struct orlop_bytes value;
	int e;

	orlop_msgr_init(&r, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r)) {
		n_compares += r.tag == ORLOP_STORAGE_T_COMPARE && r.type == ORLOP_T_MSG;
		n_ops += r.tag == ORLOP_STORAGE_T_OP && r.type == ORLOP_T_MSG;
	}
	if (n_compares > OSTORE_TXN_MAX || n_ops > OSTORE_TXN_MAX)
		return orlop_fail(err, EINVAL, 0, "", "more than %u parts in a transaction",
				  OSTORE_TXN_MAX);
	t = omem_zalloc(sizeof(*t) + n_compares * sizeof(*t->compares) + n_ops * sizeof(*t->ops));
	if (!t)
		return orlop_fail(err, ENOMEM, 0, "", "no memory for a transaction");
	t->compares = (struct ostore_compare *)(t + 1);
	t->ops = (struct ostore_op *)(t->compares + n_compares);
	t->flags = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_FLAGS, 0);
	orlop_msgr_init(&r, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r)) {
		if (r.type != ORLOP_T_MSG)
			continue;
		if (r.tag == ORLOP_STORAGE_T_COMPARE) {
			struct ostore_compare *c = &t->compares[t->n_compares++];

			part_parse(h, &r, &c->key, &value, &c->mod_rev);
		} else if (r.tag == ORLOP_STORAGE_T_OP) {
			struct ostore_op *o = &t->ops[t->n_ops++];

			part_parse(h, &r, &o->key, &o->value, &rev);
		}
	}
	e = txn_check(t, err);
	if (e) {
		omem_free(t);
		return e;
	}
	*ret_t = t;
	return 0;
}

size_t ostore_txn_bytes(const struct ostore_txn *t)
{
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < t->n_ops; i++)
		n += t->ops[i].key.len + t->ops[i].value.len;
	return n;
}

struct ostore_txn *ostore_txn_copy(const struct ostore_txn *t)
{
	size_t head = sizeof(*t) + t->n_ops * sizeof(*t->ops);
	struct ostore_txn *n = omem_zalloc(head + ostore_txn_bytes(t));
	uint32_t i;
	char *p;

	if (!n)
		return NULL;
	n->flags = t->flags;
	n->n_ops = t->n_ops;
	n->compares = NULL;
	n->ops = (struct ostore_op *)(n + 1);
	p = (char *)n + head;
	for (i = 0; i < t->n_ops; i++) {
		const struct ostore_op *o = &t->ops[i];

		memcpy(p, o->key.p, o->key.len);
		n->ops[i].key = (struct orlop_bytes){ p, o->key.len };
		p += o->key.len;
		if (!o->value.p)
			continue;
		memcpy(p, o->value.p, o->value.len);
		n->ops[i].value = (struct orlop_bytes){ o->value.len ? p : "", o->value.len };
		p += o->value.len;
	}
	return n;
}

void ostore_txn_ok(const struct orlop_host *h, struct orlop_call *call, uint64_t rev)
{
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_OK, 1);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	msg = orlop_msgw_msg(&w);
	/* two numbers fit into the message itself: no memory is needed to say that it is written */
	h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
}

void ostore_txn_failed(const struct orlop_host *h, struct orlop_call *call, uint64_t rev,
		       uint32_t failed, const struct orlop_storage_item *item, struct orlop_bytes key,
		       struct orlop_bytes value)
{
	struct ostore_items it;
	struct orlop_msgw w;
	struct orlop_msg msg;

	ostore_items_init(&it);
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_OK, 0);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_FAILED, failed);
	if (item && !w.err)
		w.err = ostore_items_add(&it, item->mod_rev, item->create_rev, item->flags, key, value);
	if (item && !w.err)
		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_ITEMS, it.p, it.len);
	msg = orlop_msgw_msg(&w);
	h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
	ostore_items_done(&it);
}
