/*
 * storage_ask.h - talking to an instance of the class storage through the fake host, for the programs
 * that test its contract.
 */
#ifndef CONTRACT_STORAGE_ASK_H
#define CONTRACT_STORAGE_ASK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/msg.h>
#include <orlop/storage.h>

#include "support/fakehost.h"

struct subject {
	const char	*title;
	const struct orlop_module *mod;
	struct fakehost	*fh;
	struct fakehost_module *m;
	bool		durable;
};

/* ---- talking to it ----------------------------------------------------------------------------- */

struct wait {
	struct fakehost	*fh;
	bool		done;
	int32_t		status;
	uint64_t	rev;
	uint64_t	oldest;
	uint64_t	ok;
	uint64_t	more;
	uint64_t	failed;
	size_t		len;
	char		*items;		/* the asker frees; NULL if there are none */
	char		why[512];	/* of a failure */
};

static inline void answered(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct wait *w = arg;
	const struct orlop_host *h = fakehost_host(w->fh);
	struct orlop_bytes items;

	(void)flags;
	w->done = true;
	w->status = status;
	snprintf(w->why, sizeof(w->why), "%s", err ? err->msg : "");
	if (status < 0)
		return;
	w->rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	w->oldest = orlop_msg_u64(msg, ORLOP_STORAGE_T_OLDEST, 0);
	w->ok = orlop_msg_u64(msg, ORLOP_STORAGE_T_OK, 99);
	w->more = orlop_msg_u64(msg, ORLOP_STORAGE_T_MORE, 0);
	w->failed = orlop_msg_u64(msg, ORLOP_STORAGE_T_FAILED, 99);
	items = orlop_msg_bytes(h, msg, ORLOP_STORAGE_T_ITEMS);
	w->len = items.len;
	if (!items.len)
		return;
	w->items = malloc(items.len);
	memcpy(w->items, items.p, items.len);
}

static inline int is_done(void *arg)
{
	return ((struct wait *)arg)->done;
}

static inline void ask_start(struct subject *s, struct wait *w, uint32_t op, struct orlop_msgw *mw)
{
	struct orlop_send send = { .size = sizeof(send), .to = "storage", .op = op };

	memset(w, 0, sizeof(*w));
	w->fh = s->fh;
	send.msg = orlop_msgw_msg(mw);
	if (fakehost_host(s->fh)->request(fakehost_host(s->fh), &send, answered, w, NULL))
		abort();
	orlop_msgw_done(mw);
}

static inline void ask_end(struct subject *s, struct wait *w)
{
	if (!fakehost_run_until(s->fh, is_done, w, 20 * FAKEHOST_S))
		w->status = -ETIME;
}

static inline struct wait ask(struct subject *s, uint32_t op, struct orlop_msgw *mw)
{
	struct wait w;

	ask_start(s, &w, op, mw);
	ask_end(s, &w);
	return w;
}

static inline void compare_put(struct orlop_msgw *w, const char *key, uint64_t rev)
{
	uint32_t at = orlop_msgw_begin(w, ORLOP_STORAGE_T_COMPARE);

	orlop_msgw_str(w, ORLOP_STORAGE_T_KEY, key);
	orlop_msgw_u64(w, ORLOP_STORAGE_T_MOD_REV, rev);
	orlop_msgw_end(w, at);
}

static inline void op_put(struct orlop_msgw *w, const char *key, const char *value)
{
	uint32_t at = orlop_msgw_begin(w, ORLOP_STORAGE_T_OP);

	orlop_msgw_str(w, ORLOP_STORAGE_T_KEY, key);
	if (value)
		orlop_msgw_str(w, ORLOP_STORAGE_T_VALUE, value);
	orlop_msgw_end(w, at);
}

static inline struct wait put(struct subject *s, const char *key, const char *value)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, fakehost_host(s->fh));
	op_put(&w, key, value);
	return ask(s, ORLOP_STORAGE_TXN, &w);
}

static inline struct wait range(struct subject *s, const char *start, const char *end, uint64_t rev,
			 uint64_t limit)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, fakehost_host(s->fh));
	orlop_msgw_str(&w, ORLOP_STORAGE_T_START, start);
	if (end)
		orlop_msgw_str(&w, ORLOP_STORAGE_T_END, end);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_LIMIT, limit);
	return ask(s, ORLOP_STORAGE_RANGE, &w);
}

static inline struct wait changes(struct subject *s, uint64_t rev, uint64_t limit, uint64_t wait_ns)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, fakehost_host(s->fh));
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_LIMIT, limit);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_WAIT_NS, wait_ns);
	return ask(s, ORLOP_STORAGE_CHANGES, &w);
}

/* Items one after the other. */
struct walk {
	const char	*p;
	const char	*end;
};

static inline bool item_next(struct walk *k, struct orlop_storage_item *it, char *key, char *value)
{
	if (k->p >= k->end)
		return false;
	memcpy(it, k->p, sizeof(*it));
	memcpy(key, k->p + sizeof(*it), it->key_len);
	key[it->key_len] = '\0';
	if (it->value_len < 256)
		memcpy(value, k->p + sizeof(*it) + it->key_len, it->value_len);
	value[it->value_len < 256 ? it->value_len : 0] = '\0';
	k->p += (sizeof(*it) + it->key_len + it->value_len + 7) & ~(size_t)7;
	return true;
}

#endif
