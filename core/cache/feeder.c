/*
 * feeder.c - the one that keeps the cache up to date from the address "storage"; see feeder.h.
 *
 * States: ASKING, at the first start, how far back history goes; LISTING, page after page at one
 * revision, the first time an old one, so that the journals have what happened since and watchers from
 * before a restart go on; FOLLOWING, one `changes` call after the other, without waiting until the present is reached;
 * COMMITTING, when memory was short and what has been put is to be made visible later; WAITING,
 * after a failure, until the timer. Whatever fails is tried again from the revision that was reached:
 * reading has no effect on the storage, so an answer that is lost or unknown (-ECONNRESET) is no
 * special case. Only -ESTALE and a storage that is behind us mean to list again.
 */
#include "feeder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/msg.h>
#include <orlop/storage.h>

#include "base/omem.h"
#include "cache.h"

#define POLL_NS		(UINT64_C(300) * 1000000000)	/* a `changes` call waits so long for news */
#define ANSWER_NS	(UINT64_C(60) * 1000000000)	/* and an answer may take so much longer */
#define RETRY_MIN_NS	(UINT64_C(20) * 1000000)
#define RETRY_MAX_NS	(UINT64_C(2000) * 1000000)
/*
 * So many revisions of history are replayed at the start: what some dozens of unclean ends in a row skip (256 each with
 * lmdb). 10,000 changes of 3 kB are 30 MB to read, about 50 ms.
 */
#define REPLAY_REVS	10000u
#define FIRST_KEY	"\""	/* behind '!': private keys are left out (record.h) */

enum feed_state {
	FEED_IDLE,
	FEED_ASKING,
	FEED_LISTING,
	FEED_FOLLOWING,
};

struct core_feeder {
	struct core_cache *c;
	struct core_feeder_io io;
	struct orlop_host reader;	/* only blob_bytes: what reading messages needs */
	enum feed_state state;
	bool		in_flight;
	bool		commit_due;	/* put but not yet visible: memory was short */
	uint64_t	commit_rev;
	uint64_t	replay_to;	/* the first list is of the past: until this revision; 0: it is not */
	uint64_t	rev;		/* FOLLOWING: seen up to; LISTING: of the list, 0: first page */
	uint64_t	retry_ns;
	char		*next_key;	/* LISTING: where the next page begins, NULL: at the start */
	size_t		next_len;
	struct core_feeder_stat stat;
};

static void feed_go(struct core_feeder *f);

static void feed_log(struct core_feeder *f, int32_t level, const char *event, const char *text)
{
	if (f->io.log)
		f->io.log(f->io.ctx, level, event, text);
}

/* Later, and ever later while it keeps failing. */
static void feed_retry(struct core_feeder *f)
{
	f->stat.retries++;
	f->io.timer(f->io.ctx, f->retry_ns);
	f->retry_ns = f->retry_ns * 2 < RETRY_MAX_NS ? f->retry_ns * 2 : RETRY_MAX_NS;
}

static void list_forget(struct core_feeder *f)
{
	omem_free(f->next_key);
	f->next_key = NULL;
	f->next_len = 0;
	f->rev = 0;
}

/* Where the first list is to be: as far back as there is history, within reason. */
static void asked_answer(struct core_feeder *f, const struct orlop_msg *msg)
{
	uint64_t rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	uint64_t oldest = orlop_msg_u64(msg, ORLOP_STORAGE_T_OLDEST, rev);

	if (oldest == 0 || oldest >= rev)
		return;
	f->rev = rev - oldest > REPLAY_REVS ? rev - REPLAY_REVS : oldest;
	f->replay_to = rev;
}

/* Nobody to tell us (yet) is one thing, one who will not another: then there is no history. */
static bool asked_in_vain(int r)
{
	return r == -ETIMEDOUT || r == -ECONNRESET || r == -ECANCELED || r == -EHOSTUNREACH || r == -ENOMEM;
}

static void list_restart(struct core_feeder *f, const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "reason=%s rev=%" PRIu64, why, core_cache_applied(f->c));
	feed_log(f, ORLOP_LOG_INFO, "feed_list", text);
	list_forget(f);
	f->replay_to = 0;
	f->state = FEED_LISTING;
}

/* ---- items ------------------------------------------------------------------------------------- */

struct feed_items {
	const char	*p;
	const char	*end;
	struct orlop_storage_item head;
	struct orlop_bytes key;
	struct orlop_bytes value;
};

/* 1: an item, 0: the end, -EPROTO: rubbish. */
static int items_next(struct feed_items *it)
{
	size_t left = (size_t)(it->end - it->p);
	size_t len;

	if (left == 0)
		return 0;
	if (left < sizeof(it->head))
		return -EPROTO;
	memcpy(&it->head, it->p, sizeof(it->head));
	len = (size_t)it->head.key_len + it->head.value_len;
	if (len > left - sizeof(it->head))
		return -EPROTO;
	it->key = (struct orlop_bytes){ it->p + sizeof(it->head), it->head.key_len };
	it->value = (struct orlop_bytes){ it->key.p + it->key.len, it->head.value_len };
	len = (sizeof(it->head) + len + 7) & ~(size_t)7;
	it->p += len < left ? len : left;
	return 1;
}

static void item_damaged(struct core_feeder *f, const struct feed_items *it)
{
	char text[200];

	f->stat.damaged++;
	snprintf(text, sizeof(text), "key=%.*s rev=%" PRIu64 " bytes=%zu: ignoring",
		 (int)(it->key.len < 120 ? it->key.len : 120), it->key.p, it->head.mod_rev, it->value.len);
	feed_log(f, ORLOP_LOG_ERR, "record_damaged", text);
}

/* Into the open batch. 0, -ENOMEM (the rest is missing), -EPROTO. */
static int items_put(struct core_feeder *f, struct feed_items *it)
{
	int r;

	while ((r = items_next(it)) > 0) {
		if (it->head.flags & ORLOP_ITEM_DELETED)
			r = core_cache_del(f->c, it->key, it->head.mod_rev);
		else
			r = core_cache_put(f->c, it->key, it->value, it->head.mod_rev);
		if (r == -EINVAL)
			item_damaged(f, it);
		else if (r)
			return r;
		f->stat.changes++;
	}
	return r;
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* The batch is complete; what was put becomes visible, now or, if memory is short, later. */
static int feed_commit(struct core_feeder *f, uint64_t rev)
{
	int r = core_cache_commit(f->c, rev);

	f->commit_due = r != 0;
	f->commit_rev = rev;
	if (r == 0) {
		f->stat.rev = rev;
		f->stat.batches++;
	}
	return r;
}

static int list_page(struct core_feeder *f, const struct orlop_msg *msg)
{
	struct orlop_bytes items = orlop_msg_bytes(&f->reader, msg, ORLOP_STORAGE_T_ITEMS);
	bool more = orlop_msg_u64(msg, ORLOP_STORAGE_T_MORE, 0) != 0;
	struct feed_items it = { .p = items.p, .end = items.p ? items.p + items.len : NULL };
	uint64_t rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	int r;

	if (rev == 0 || (f->rev && rev != f->rev) || (more && items.len == 0))
		return -EPROTO;
	core_cache_begin(f->c);
	if (!f->next_key)
		core_cache_list_begin(f->c);
	r = items_put(f, &it);
	if (r == 0 && !more)
		r = core_cache_list_end(f->c);
	if (r || more)
		core_cache_pause(f->c);
	if (r)
		return r;	/* the page is asked for again; what it put already is known then */
	if (more) {
		char *key = omem_alloc(it.key.len + 1);

		if (!key)
			return -ENOMEM;
		memcpy(key, it.key.p, it.key.len);
		key[it.key.len] = '\0';		/* the least key behind it */
		omem_free(f->next_key);
		f->next_key = key;
		f->next_len = it.key.len + 1;
		f->rev = rev;
		return 0;
	}
	if (f->replay_to)
		core_cache_replay_begin(f->c);
	list_forget(f);
	f->state = FEED_FOLLOWING;
	f->rev = rev;
	f->stat.lists++;
	return feed_commit(f, rev);
}

static int changes_answer(struct core_feeder *f, const struct orlop_msg *msg)
{
	struct orlop_bytes items = orlop_msg_bytes(&f->reader, msg, ORLOP_STORAGE_T_ITEMS);
	struct feed_items it = { .p = items.p, .end = items.p ? items.p + items.len : NULL };
	uint64_t rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	int r;

	if (rev < f->rev)
		return -EOVERFLOW;	/* the storage knows less than we do */
	if (rev == f->rev && !f->replay_to)
		return 0;
	core_cache_begin(f->c);
	r = items_put(f, &it);
	if (r) {
		core_cache_pause(f->c);
		return r;	/* asked for again: what is in already is skipped then */
	}
	if (f->replay_to && (rev == f->rev || rev >= f->replay_to)) {
		core_cache_replay_end(f->c);
		f->replay_to = 0;
	}
	f->rev = rev;
	return feed_commit(f, rev);
}

static void feed_failed(struct core_feeder *f, int r, const struct orlop_error *err)
{
	char text[160];

	if (r == -ESTALE || r == -EOVERFLOW) {
		/* A list in pieces whose revision was compacted away begins anew, at once the first time. */
		list_restart(f, r == -ESTALE ? "compacted" : "storage_is_behind");
		if (f->retry_ns == RETRY_MIN_NS) {
			f->retry_ns *= 2;
			feed_go(f);
			return;
		}
	} else if (r == -ECONNRESET && f->retry_ns == RETRY_MIN_NS) {
		f->retry_ns *= 2;	/* replaced: its successor is there or the request waits for it */
		feed_go(f);
		return;
	} else if (r != -ENOMEM && !(r == -ETIMEDOUT && f->state == FEED_ASKING)) {
		snprintf(text, sizeof(text), "errno=%d rev=%" PRIu64 " retry_ms=%" PRIu64 ": %.80s", -r,
			 f->rev, f->retry_ns / 1000000, err ? err->msg : "");
		feed_log(f, ORLOP_LOG_WARN, "feed_failed", text);
	}
	feed_retry(f);
}

static void feed_answered(void *arg, int32_t status, const struct orlop_msg *msg,
			  const struct orlop_error *err, uint32_t flags)
{
	struct core_feeder *f = arg;
	int r = status;

	if (flags & ORLOP_REPLY_MORE)
		return;
	f->in_flight = false;
	if (f->state == FEED_IDLE)
		return;
	if (f->state == FEED_ASKING) {
		if (r == 0)
			asked_answer(f, msg);
		if (!asked_in_vain(r)) {
			f->state = FEED_LISTING;
			r = 0;
		}
	} else if (r == 0) {
		r = f->state == FEED_LISTING ? list_page(f, msg) : changes_answer(f, msg);
	}
	/* A poll that nobody answered in time is a poll without news; the core's clock may have jumped. */
	if (r == -ETIMEDOUT && f->state == FEED_FOLLOWING)
		r = 0;
	if (r) {
		feed_failed(f, r, err);
		return;
	}
	f->retry_ns = RETRY_MIN_NS;
	feed_go(f);
}

/* ---- requests ------------------------------------------------------------------------------------ */

static void feed_go(struct core_feeder *f)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	uint64_t timeout_ns = ANSWER_NS;
	uint32_t op = ORLOP_STORAGE_RANGE;
	int r;

	if (f->in_flight || f->state == FEED_IDLE)
		return;
	orlop_msgw_init(&w, NULL);
	if (f->state == FEED_ASKING) {
		op = ORLOP_STORAGE_REVISION;
		timeout_ns = POLL_NS;	/* a process without storage has nobody to ask */
	} else if (f->state == FEED_LISTING) {
		if (f->next_key)
			orlop_msgw_bytes(&w, ORLOP_STORAGE_T_START, f->next_key, f->next_len);
		else
			orlop_msgw_str(&w, ORLOP_STORAGE_T_START, FIRST_KEY);
		orlop_msgw_bytes(&w, ORLOP_STORAGE_T_END, "", 0);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, f->rev);
	} else {
		op = ORLOP_STORAGE_CHANGES;
		timeout_ns = POLL_NS + ANSWER_NS;
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, f->rev);
		orlop_msgw_u64(&w, ORLOP_STORAGE_T_WAIT_NS, f->replay_to ? 0 : POLL_NS);
	}
	r = w.err;
	msg = orlop_msgw_msg(&w);
	if (r == 0) {
		f->in_flight = true;
		r = f->io.request(f->io.ctx, op, &msg, timeout_ns, feed_answered, f);
	}
	orlop_msgw_done(&w);
	if (r) {
		f->in_flight = false;
		feed_retry(f);
	}
}

void core_feeder_timer(struct core_feeder *f)
{
	if (f->commit_due) {
		core_cache_begin(f->c);
		if (feed_commit(f, f->commit_rev)) {
			feed_retry(f);
			return;
		}
	}
	feed_go(f);
}

/* ---- life ------------------------------------------------------------------------------------------ */

int core_feeder_new(struct core_cache *c, const struct core_feeder_io *io, struct core_feeder **ret)
{
	struct core_feeder *f = OMEM_NEW(struct core_feeder);

	if (!f)
		return -ENOMEM;
	f->c = c;
	f->io = *io;
	f->reader.size = sizeof(f->reader);
	f->reader.blob_bytes = io->blob_bytes;
	f->retry_ns = RETRY_MIN_NS;
	*ret = f;
	return 0;
}

void core_feeder_start(struct core_feeder *f)
{
	if (f->state != FEED_IDLE)
		return;
	f->state = FEED_ASKING;
	feed_go(f);
}

void core_feeder_free(struct core_feeder *f)
{
	if (!f)
		return;
	f->state = FEED_IDLE;
	if (f->in_flight)
		f->io.cancel(f->io.ctx);
	f->io.timer(f->io.ctx, UINT64_MAX);
	omem_free(f->next_key);
	omem_free(f);
}

void core_feeder_stats(const struct core_feeder *f, struct core_feeder_stat *ret)
{
	*ret = f->stat;
}
