/*
 * test/feed_pipe.h - a cache out of another one: both, what is under way between them, and a look at either.
 */
#ifndef CORE_TEST_FEED_PIPE_H
#define CORE_TEST_FEED_PIPE_H

#include "cache/test/support.h"

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/otap.h"
#include "cache/feed.h"
#include "feed_in.h"
#include "feed_out.h"
#include "feed_wire.h"

/* ---- a pipe between two caches ------------------------------------------------------------------- */

struct packet {
	struct packet	*next;
	size_t		len;
	char		p[];
};

struct ask {
	uint32_t	res;
	uint64_t	from, upto;
};

static struct pipe {
	struct t_loop	la, lb;
	struct core_cache *a, *b;
	struct core_feed_out *out;
	struct core_feed_in *in;
	struct packet	*first, **tail;
	size_t		queued;		/* bytes */
	uint64_t	acks;		/* withheld */
	bool		no_acks;
	bool		mute;		/* no memory to say anything there */
	struct ask	asks[16];	/* on their way back */
	int		n_asks;
	int		retry_out, retry_in;
	int		broken;
} P;

static inline int p_send(void *ctx, const char *p, size_t len)
{
	struct packet *k = malloc(sizeof(*k) + len);

	(void)ctx;
	k->next = NULL;
	k->len = len;
	memcpy(k->p, p, len);
	*P.tail = k;
	P.tail = &k->next;
	P.queued += len;
	return 0;
}

static inline void p_retry_out(void *ctx)
{
	(void)ctx;
	P.retry_out++;
}

static inline void p_retry_in(void *ctx)
{
	(void)ctx;
	P.retry_in++;
}

static inline int p_ack(void *ctx, uint64_t bytes)
{
	(void)ctx;
	if (P.mute)
		return -ENOMEM;
	P.acks += bytes;
	return 0;
}

static inline int p_ask(void *ctx, uint32_t res, uint64_t from, uint64_t upto)
{
	(void)ctx;
	if (P.mute)
		return -ENOMEM;
	if (P.n_asks == 16)
		otap_bail_out("it asks without end");
	P.asks[P.n_asks++] = (struct ask){ res, from, upto };
	return 0;
}

/* What readers there asked for arrives. */
static inline bool asked(void)
{
	int n;

	if (P.lb.past) {
		P.lb.past = 0;
		core_feed_in_past(P.in);
	}
	n = P.n_asks;
	P.n_asks = 0;
	for (int i = 0; i < n; i++)
		core_feed_out_past(P.out, P.asks[i].res, P.asks[i].from, P.asks[i].upto);
	return n > 0;
}

/* Delivers @n packets, or all; false: there was none. */
static inline bool deliver(int n)
{
	bool any = false;

	while (P.first && n--) {
		struct packet *k = P.first;

		P.first = k->next;
		if (!P.first)
			P.tail = &P.first;
		P.queued -= k->len;
		if (core_feed_in_data(P.in, k->p, k->len))
			P.broken++;
		free(k);
		any = true;
	}
	return any;
}

static inline bool acked(void)
{
	uint64_t n = P.acks;

	if (!n || P.no_acks)
		return false;
	P.acks = 0;
	core_feed_out_acked(P.out, n);
	return true;
}

/* Until nothing moves any more. */
static inline void settle(void)
{
	bool more = true;

	core_feed_out_go(P.out);
	while (more) {
		more = deliver(-1);
		more = acked() || more;
		more = asked() || more;
		if (P.retry_out) {
			P.retry_out = 0;
			core_feed_out_go(P.out);
			more = true;
		}
		if (P.retry_in) {
			P.retry_in = 0;
			P.broken += core_feed_in_go(P.in) != 0;
			more = true;
		}
	}
	(void)t_run(&P.lb);
	(void)t_run(&P.la);
}

static inline struct core_wants wants(const char *text)
{
	struct core_wants l = { NULL };
	char copy[512];
	char *at = copy;
	char *one;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((one = strsep(&at, ","))) {
		struct core_want *w;

		if (core_want_parse(one, NULL, NULL, &w, NULL))
			otap_bail_out("no such want");
		core_wants_add(&l, w);
	}
	return l;
}

static inline void out_begin(const char *text)
{
	const struct core_feed_out_io io = { .past = true, .send = p_send, .retry = p_retry_out };
	struct core_wants w = wants(text);

	if (core_feed_out_new(P.a, &P.la, "test", &io, &P.out))
		otap_bail_out("no memory");
	core_feed_out_want(P.out, &w);
}

static inline void in_begin(void)
{
	const struct core_feed_in_io io = { .ack = p_ack, .retry = p_retry_in, .ask = p_ask };

	if (core_feed_in_new(P.b, "test", &io, &P.in))
		otap_bail_out("no memory");
}

static inline void pipe_end(void)
{
	core_feed_out_free(P.out);
	core_feed_in_free(P.in);
	P.out = NULL;
	P.in = NULL;
	while (P.first) {
		struct packet *k = P.first;

		P.first = k->next;
		free(k);
	}
	P.tail = &P.first;
	P.queued = 0;
	P.acks = 0;
	P.n_asks = 0;
	P.retry_in = P.retry_out = 0;
}

static const char *const fields[] = { "spec.nodeName", NULL };

static inline void begin(const char *text)
{
	memset(&P, 0, sizeof(P));
	P.tail = &P.first;
	P.a = t_cache(&P.la, 0);
	P.b = t_cache(&P.lb, 0);
	t_register(P.a, "pods", fields, NULL);
	t_register(P.a, "nodes", NULL, NULL);
	t_register(P.b, "pods", fields, NULL);
	t_register(P.b, "nodes", NULL, NULL);
	out_begin(text);
	in_begin();
}

static inline void end(void)
{
	pipe_end();
	(void)t_run(&P.la);
	(void)t_run(&P.lb);
	core_cache_free(P.a);
	core_cache_free(P.b);
}

/* ---- looking -------------------------------------------------------------------------------------- */

/* The changes after *@cursor, fetched if they must be: "+a@5 =b@6 -c@7"; or the error. */
static inline const char *changes(struct orlop_resource *r, uint64_t *cursor)
{
	static char text[2][4096];
	static int turn;
	char *to = text[turn ^= 1];
	struct orlop_change v[128];
	int32_t n = core_cache_journal_read(r, cursor, v, 128);
	size_t at = 0;

	if (n == -EAGAIN) {
		settle();
		n = core_cache_journal_read(r, cursor, v, 128);
	}
	to[0] = '\0';
	if (n < 0)
		snprintf(to, sizeof(text[0]), "%s", strerrorname_np(-n));
	for (int32_t i = 0; i < n; i++) {
		at += (size_t)snprintf(to + at, sizeof(text[0]) - at, "%s%c%.*s@%llu", i ? " " : "", " +=-"[v[i].type],
				       (int)v[i].object->name.len, v[i].object->name.p, (unsigned long long)v[i].rev);
		core_cache_object_unref(v[i].object);
		core_cache_object_unref(v[i].prev);
	}
	return to;
}

/* "name=JSON" of each, without spaces; and the revision. */
static inline const char *content(struct orlop_resource *r, bool json)
{
	static char text[2][65536];
	static int turn;
	char *to = text[turn ^= 1];
	struct orlop_snapshot *s;
	struct orlop_iter *it;
	struct orlop_object *o;
	size_t at = 0;
	int e = core_cache_snapshot_open(r, &s);

	to[0] = '\0';
	if (e) {
		snprintf(to, sizeof(text[0]), "%s", strerrorname_np(-e));
		return to;
	}
	if (json)
		at += (size_t)snprintf(to, sizeof(text[0]), "@%llu", (unsigned long long)core_cache_snapshot_rev(s));
	if (core_cache_iter_open(s, NULL, &it) == 0) {
		while ((o = core_cache_iter_next(it)))
			at += (size_t)snprintf(to + at, sizeof(text[0]) - at, "%s%.*s%s%.*s", at ? " " : "",
					       (int)o->name.len, o->name.p, json ? "=" : "",
					       json ? (int)o->json.len : 0, o->json.p);
		core_cache_iter_close(it);
	}
	core_cache_snapshot_close(s);
	return to;
}

static inline uint64_t rev_of(struct orlop_resource *r)
{
	int32_t synced;
	uint64_t rev = core_cache_rev(r, &synced);

	return synced ? rev : 0;
}

static inline int pod(const char *key, int v, uint64_t rev, const char *app, const char *node)
{
	struct t_entry e[] = { { 0, "app", app }, { ORLOP_INDEX_FIRST_FIELD, "", node } };
	int r;

	core_cache_begin(P.a);
	r = t_put_entries(P.a, key, v, rev, app ? e : e + 1, app ? 2 : 1);
	if (r) {
		core_cache_pause(P.a);
		return r;
	}
	return core_cache_commit(P.a, rev);
}

#endif
