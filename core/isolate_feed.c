/*
 * isolate_feed.c - caches across processes: what an isolated module reads comes out of its parent's cache; what
 * one that feeds (uplink) feeds its own cache with goes on into its parent's. Both over the control channel,
 * so an answer never overtakes what it speaks of. The stream itself: feed_out.h, feed_in.h.
 */
#include "isolate_proxy.h"
#include "isolate_up.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/omem.h"
#include "cache/cache.h"
#include "feed_in.h"
#include "feed_out.h"
#include "host_cache.h"
#include "log.h"

#define RETRY_NS	UINT64_C(20000000)

static bool says(char *const *words, const char *word)
{
	for (; words && *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static int packet(struct core_iso_chan *chan, const char *p, size_t len)
{
	struct core_iso_raw raw = { .n = 1, .part = { { p, len } } };
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	r = chan ? core_iso_send_raw(chan, CORE_ISO_FEED, 0, &w, &raw) : -EPIPE;
	orlop_msgw_done(&w);
	return r;
}

/* ---- the parent ------------------------------------------------------------------------------------- */

static int iso_send(void *ctx, const char *p, size_t len)
{
	return packet(((struct core_isolate *)ctx)->chan, p, len);
}

static void iso_retry(void *ctx)
{
	core_timer_set(((struct core_isolate *)ctx)->feed_timer, RETRY_NS, 0);
}

static int say_fed(struct core_iso_chan *chan, uint64_t bytes)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, bytes);
	r = chan ? core_iso_send(chan, CORE_ISO_FED, 0, &w, 0) : 0;
	orlop_msgw_done(&w);
	return r;
}

static int iso_ack(void *ctx, uint64_t bytes)
{
	return say_fed(((struct core_isolate *)ctx)->chan, bytes);
}

static void iso_log(void *ctx, int32_t level, const char *event, const char *text)
{
	struct core_isolate *iso = ctx;

	core_log_write(iso->core->log, iso->inst->name, level, event, text);
}

void iso_feed_go(struct core_isolate *iso)
{
	uint64_t moves = atomic_load(&iso->core->hc->moves);

	if (!iso->feed_out || iso->feed_moves == moves)
		return;
	iso->feed_moves = moves;
	core_feed_out_go(iso->feed_out);
}

static void in_go(struct core_isolate *iso)
{
	if (iso->feed_in && core_feed_in_go(iso->feed_in))
		iso_lost(iso, "it broke the rules of its feed");
}

static void timer_due(void *arg)
{
	struct core_isolate *iso = arg;

	if (iso->feed_unsure)
		iso_feed_wants(iso);
	if (iso->feed_out)
		core_feed_out_go(iso->feed_out);
	in_go(iso);
}

int iso_feed_new(struct core_isolate *iso)
{
	return core_timer_new(iso->core->main, NULL, timer_due, iso, &iso->feed_timer);
}

void iso_feed_wants(struct core_isolate *iso)
{
	struct core_wants w = { NULL };

	if (!iso->feed_out)
		return;
	iso->feed_unsure = core_host_wants_of(iso->inst, &w) != 0;
	if (iso->feed_unsure) {
		iso_retry(iso);
		return;
	}
	core_feed_out_want(iso->feed_out, &w);
	core_feed_out_go(iso->feed_out);
}

/* What all others read, for one that feeds. */
void iso_feed_wants_tell(struct core_isolate *iso)
{
	struct core_wants l = { NULL };
	struct core_want *all;
	struct orlop_msgw w;

	if (!iso->chan || iso->state < ISO_STARTING || !says(iso->inst->provides, "feed"))
		return;
	if (core_host_wants_others(iso->core, iso->inst->number, &l)) {
		core_host_wants_kick(iso->core);
		return;
	}
	orlop_msgw_init(&w, NULL);
	core_iso_put_wants(&w, &l);
	if (w.err && core_want_parse("*", NULL, NULL, &all, NULL) == 0) {
		/* More words than a message has room for: then everything. */
		core_wants_add(&l, all);
		orlop_msgw_done(&w);
		orlop_msgw_init(&w, NULL);
		core_iso_put_wants(&w, &l);
	}
	iso_say(iso, CORE_ISO_WANTS, &w);
	orlop_msgw_done(&w);
	core_wants_done(&l);
}

void iso_feed_start(struct core_isolate *iso)
{
	const struct core_feed_out_io io = { .ctx = iso, .past = true, .send = iso_send, .retry = iso_retry };
	struct core_instance *inst = iso->inst;

	if (says(inst->provides, "feed")) {
		iso_feed_wants_tell(iso);
		return;
	}
	if (!inst->reads || !inst->reads[0])
		return;
	if (core_feed_out_new(iso->core->cache, iso->core->main, inst->name, &io, &iso->feed_out)) {
		iso_lost(iso, "no memory to feed it");
		return;
	}
	atomic_fetch_add(&iso->core->hc->feeding, 1);
	iso_feed_wants(iso);
}

void iso_feed_stop(struct core_isolate *iso)
{
	if (iso->feed_timer)
		core_timer_clear(iso->feed_timer);
	if (iso->feed_out)
		atomic_fetch_sub(&iso->core->hc->feeding, 1);
	core_feed_out_free(iso->feed_out);
	iso->feed_out = NULL;
	core_feed_in_free(iso->feed_in);
	iso->feed_in = NULL;
}

static void on_feed(struct core_isolate *iso, struct core_iso_in *in)
{
	const struct core_feed_in_io io = { .ctx = iso, .ack = iso_ack, .retry = iso_retry, .log = iso_log };
	int r = 0;

	if (!says(iso->inst->provides, "feed")) {
		iso_lost(iso, "it feeds the cache, and its modinfo does not say provides=feed");
		return;
	}
	if (!iso->feed_in)
		r = core_feed_in_new(iso->core->cache, iso->inst->name, &io, &iso->feed_in);
	if (r == 0)
		r = core_feed_in_data(iso->feed_in, in->raw.p, in->raw.len);
	if (r)
		iso_lost(iso, r == -ENOMEM ? "no memory for what it feeds" : "it broke the rules of its feed");
}

void iso_feed_mail(struct core_isolate *iso, struct core_iso_in *in)
{
	if (in->type == CORE_ISO_FEED)
		on_feed(iso, in);
	else if (iso->feed_out && in->type == CORE_ISO_PAST)
		core_feed_out_past(iso->feed_out, (uint32_t)orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, UINT32_MAX),
				   orlop_msg_u64(&in->msg, CORE_ISO_T_REV, 0), orlop_msg_u64(&in->msg, CORE_ISO_T_UPTO, 0));
	else if (iso->feed_out)
		core_feed_out_acked(iso->feed_out, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0));
}

/* ---- the child ---------------------------------------------------------------------------------------- */

static int up_send(void *ctx, const char *p, size_t len)
{
	return packet(((struct core_up *)ctx)->chan, p, len);
}

static void up_retry(void *ctx)
{
	core_timer_set(((struct core_up *)ctx)->feed_timer, RETRY_NS, 0);
}

static int up_ack(void *ctx, uint64_t bytes)
{
	return say_fed(((struct core_up *)ctx)->chan, bytes);
}

static int up_ask(void *ctx, uint32_t res, uint64_t from, uint64_t upto)
{
	struct core_up *up = ctx;
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, res);
	orlop_msgw_u64(&w, CORE_ISO_T_REV, from);
	orlop_msgw_u64(&w, CORE_ISO_T_UPTO, upto);
	r = core_iso_send(up->chan, CORE_ISO_PAST, 0, &w, 0);
	orlop_msgw_done(&w);
	return r;
}

/* A reader of the cache wants to know what happened before it was fed. Main loop. */
void core_up_feed_past(struct core_up *up)
{
	if (up->feed_in)
		core_feed_in_past(up->feed_in);
}

static void up_log(void *ctx, int32_t level, const char *event, const char *text)
{
	core_log_write(((struct core_up *)ctx)->core->log, "core/cache", level, event, text);
}

/* It cannot go on without what it reads: the parent starts another. */
static void up_broken(struct core_up *up, int r)
{
	core_logf(up->core->log, "core", ORLOP_LOG_ERR, "feed_broken", "errno=%d", -r);
	core_log_flush(up->core->log);
	_exit(1);
}

void core_up_feed_go(struct core_up *up)
{
	uint64_t moves = atomic_load(&up->core->hc->moves);

	if (!up->feed_out || up->feed_moves == moves)
		return;
	up->feed_moves = moves;
	core_feed_out_go(up->feed_out);
}

static void up_timer_due(void *arg)
{
	struct core_up *up = arg;
	int r = up->feed_in ? core_feed_in_go(up->feed_in) : 0;

	if (r)
		up_broken(up, r);
	if (up->feed_out)
		core_feed_out_go(up->feed_out);
}

static int timer_make(struct core_up *up)
{
	return up->feed_timer ? 0 : core_timer_new(up->core->main, NULL, up_timer_due, up, &up->feed_timer);
}

int core_up_feed_start(struct core_up *up)
{
	const struct core_feed_out_io io = { .ctx = up, .send = up_send, .retry = up_retry };
	struct core_wants all = { NULL };
	struct core_want *w;
	int r;

	if (!says(up->info.provides, "feed"))
		return 0;
	r = timer_make(up);
	if (r == 0)
		r = core_want_parse("*", NULL, NULL, &w, NULL);
	if (r)
		return r;
	core_wants_add(&all, w);
	r = core_feed_out_new(up->core->cache, up->core->main, "core", &io, &up->feed_out);
	if (r == 0) {
		core_feed_out_want(up->feed_out, &all);
		atomic_fetch_add(&up->core->hc->feeding, 1);
	}
	core_wants_done(&all);
	return r;
}

static void up_on_feed(struct core_up *up, struct core_iso_in *in)
{
	const struct core_feed_in_io io = { .ctx = up, .ack = up_ack, .retry = up_retry, .ask = up_ask, .log = up_log };
	int r = timer_make(up);

	if (r == 0 && !up->feed_in)
		r = core_feed_in_new(up->core->cache, "core", &io, &up->feed_in);
	if (r == 0)
		r = core_feed_in_data(up->feed_in, in->raw.p, in->raw.len);
	if (r)
		up_broken(up, r);
}

void core_up_feed_mail(struct core_up *up, struct core_iso_in *in)
{
	struct core_wants w = { NULL };
	int r;

	switch (in->type) {
	case CORE_ISO_FEED:
		up_on_feed(up, in);
		break;
	case CORE_ISO_FED:
		if (up->feed_out)
			core_feed_out_acked(up->feed_out, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0));
		break;
	default:
		r = core_iso_get_wants(&in->msg, &w);
		if (r)
			up_broken(up, r);
		core_host_wants_told(up->core, &w);
	}
}

/* ---- when a cache has moved ----------------------------------------------------------------------------- */

/* Main loop. */
void core_isolate_moved(struct core *c)
{
	if (c->up)
		core_up_feed_go(c->up);
	if (!c->isolates)
		return;
	OLIST_FOREACH(n, &c->isolates->list)
		iso_feed_go(OLIST_ENTRY(n, struct core_isolate, node));
}

void core_isolate_wants(struct core *c)
{
	if (!c->isolates)
		return;
	OLIST_FOREACH(n, &c->isolates->list)
		iso_feed_wants_tell(OLIST_ENTRY(n, struct core_isolate, node));
}
