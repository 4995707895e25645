/* items.c - packing keys and values into answers, and comparing keys. */
#include "store/ostore.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"

void ostore_items_init(struct ostore_items *it)
{
	memset(it, 0, sizeof(*it));
}

void ostore_items_done(struct ostore_items *it)
{
	omem_free(it->p);
	ostore_items_init(it);
}

int ostore_items_add(struct ostore_items *it, uint64_t mod_rev, uint64_t create_rev, uint64_t flags,
		     struct orlop_bytes key, struct orlop_bytes value)
{
	size_t need = sizeof(struct orlop_storage_item) + key.len + value.len;
	struct orlop_storage_item head;
	char *p;

	need = (need + 7) & ~(size_t)7;
	if (it->err)
		return it->err;
	if (it->len + need > it->cap) {
		size_t cap = it->cap ? it->cap * 2 : 512;

		while (cap < it->len + need)
			cap *= 2;
		p = omem_realloc(it->p, cap);
		if (!p)
			return it->err = -ENOMEM;
		it->p = p;
		it->cap = cap;
	}
	head.mod_rev = mod_rev;
	head.create_rev = create_rev;
	head.flags = flags;
	head.key_len = (uint32_t)key.len;
	head.value_len = (uint32_t)value.len;
	p = it->p + it->len;
	memset(p + need - 8, 0, 8);
	memcpy(p, &head, sizeof(head));
	memcpy(p + sizeof(head), key.p, key.len);
	if (value.len)
		memcpy(p + sizeof(head) + key.len, value.p, value.len);
	it->len += need;
	it->n++;
	return 0;
}

void ostore_items_put(struct ostore_items *it, const struct orlop_host *h, struct orlop_call *call,
		      uint64_t rev, uint64_t oldest, bool more)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	struct orlop_blob *b = NULL;

	if (it->err) {
		ostore_items_done(it);
		h->call_done(call, -ENOMEM, NULL, NULL);
		return;
	}
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_OLDEST, oldest);
	if (more)
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_MORE, 1);
	if (it->len > ORLOP_MSG_INLINE_MAX) {
		char *p = it->p;

		/* give back what doubling took too much of */
		if (it->cap - it->len > it->len / 4 && (p = omem_realloc(it->p, it->len)))
			it->p = p;
		if (h->blob_take(h, it->p, it->len, &b)) {
			w.err = -ENOMEM;
		} else {
			orlop_msgw_blob(&w, ORLOP_STORAGE_T_ITEMS, b);
			h->blob_unref(b);
		}
		it->p = NULL;	/* taken, even on failure */
	} else if (it->len) {
		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_ITEMS, it->p, it->len);
	}
	msg = orlop_msgw_msg(&w);
	h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
	ostore_items_done(it);
}

int ostore_key_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	if (c)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool ostore_range_before_end(const struct ostore_range *r, struct orlop_bytes key)
{
	if (!r->has_end)
		return key.len == r->start.len && !memcmp(key.p, r->start.p, key.len);
	return !r->end.len || ostore_key_cmp(key, r->end) < 0;
}

int ostore_range_parse(const struct orlop_host *h, const struct orlop_req *req,
		       struct ostore_range *ret_r, struct orlop_error *err)
{
	struct orlop_bytes end = orlop_msg_bytes(h, &req->msg, ORLOP_STORAGE_T_END);

	memset(ret_r, 0, sizeof(*ret_r));
	ret_r->start = orlop_msg_bytes(h, &req->msg, ORLOP_STORAGE_T_START);
	ret_r->has_end = end.p != NULL;
	ret_r->end = end;
	ret_r->rev = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	ret_r->limit = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_LIMIT, 0);
	ret_r->keys_only = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_KEYS_ONLY, 0) != 0;
	ret_r->wait_ns = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_WAIT_NS, 0);
	if (ret_r->start.len > ORLOP_STORAGE_KEY_MAX || end.len > ORLOP_STORAGE_KEY_MAX)
		return orlop_fail(err, EINVAL, 0, "", "key longer than %u bytes",
				  ORLOP_STORAGE_KEY_MAX);
	if (req->op == ORLOP_STORAGE_RANGE && !ret_r->has_end && !ret_r->start.len)
		return orlop_fail(err, EINVAL, 0, "", "range without a key");
	if (!ret_r->start.p)
		ret_r->start.p = "";
	return 0;
}
