/*
 * feed_in.c - frames of another process's cache into this one's; see feed_in.h.
 */
#include "feed_in.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/module.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "cache/feed.h"
#include "feed_wire.h"

#define NAME_LEN	253u

struct core_feed_in {
	struct core_cache *c;
	struct core_feed_in_io io;
	struct obuf	buf;		/* frames, the last one perhaps in part */
	size_t		at;		/* the next frame in it */
	bool		stalled;
	bool		said;		/* why it is stalled */
	bool		unasked;	/* what a reader wants to know could not be asked for */
	uint64_t	untold;		/* bytes taken and not acknowledged */
	uint64_t	damaged;
	struct core_feed **feeds;	/* by number */
	struct core_feed **joint;	/* those among them that PROGRESS is about; else NULL */
	uint32_t	n;
	uint32_t	cap;
	char		owner[];
};

int core_feed_in_new(struct core_cache *c, const char *owner, const struct core_feed_in_io *io,
		     struct core_feed_in **ret)
{
	size_t len = strlen(owner) + 1;
	struct core_feed_in *f = omem_zalloc(sizeof(*f) + len);

	if (!f)
		return -ENOMEM;
	f->c = c;
	f->io = *io;
	obuf_init(&f->buf);
	memcpy(f->owner, owner, len);
	*ret = f;
	return 0;
}

void core_feed_in_free(struct core_feed_in *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->n; i++)
		core_feed_close(f->feeds[i]);
	omem_free(f->feeds);
	omem_free(f->joint);
	obuf_done(&f->buf);
	omem_free(f);
}

static void in_log(struct core_feed_in *f, int32_t level, const char *event, const char *text)
{
	if (f->io.log)
		f->io.log(f->io.ctx, level, event, text);
}

/* ---- frames --------------------------------------------------------------------------------------- */

static int feeds_room(struct core_feed_in *f)
{
	uint32_t cap = f->cap ? f->cap * 2 : 16;
	struct core_feed **v;

	if (f->n < f->cap)
		return 0;
	v = omem_realloc_array(f->feeds, cap, sizeof(struct core_feed *));
	if (!v)
		return -ENOMEM;
	f->feeds = v;
	v = omem_realloc_array(f->joint, cap, sizeof(struct core_feed *));
	if (!v)
		return -ENOMEM;
	f->joint = v;
	f->cap = cap;
	return 0;
}

static int on_open(struct core_feed_in *f, const struct core_feed_frame *h, struct orlop_bytes body)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char name[NAME_LEN + 1];
	int r;

	if (h->res != f->n || f->n == CORE_FEED_RES_MAX || body.len == 0 || body.len > NAME_LEN ||
	    memchr(body.p, 0, body.len))
		return -EPROTO;
	memcpy(name, body.p, body.len);
	name[body.len] = '\0';
	if (feeds_room(f))
		return -ENOMEM;
	r = core_cache_fed(f->c) ? orlop_fail(&err, EBUSY, 0, "", "%s is fed from the storage of this process", name) :
		core_feed_open(f->c, name, f->owner, &f->feeds[f->n], &err);
	if (r == 0) {
		f->joint[f->n] = NULL;
		f->n++;
	} else if (r == -EBUSY && !f->said) {
		in_log(f, ORLOP_LOG_INFO, "feed_waits", err.msg);
		f->said = true;
	}
	orlop_error_done(&err);
	return r;
}

static int on_object(struct core_feed_in *f, const struct core_feed_frame *h, struct orlop_bytes body)
{
	struct core_feed *feed = f->feeds[h->res];
	bool past = h->flags & CORE_FEED_F_PAST;
	struct orlop_bytes ns, name, record;
	struct core_feed_key k;
	char text[200];
	uint64_t at = 0;
	size_t head = sizeof(k) + (past ? sizeof(at) : 0);
	int r;

	if (body.len < head)
		return -EPROTO;
	memcpy(&k, body.p, sizeof(k));
	if (past)
		memcpy(&at, body.p + sizeof(k), sizeof(at));
	if (body.len - head < (size_t)k.ns_len + k.name_len || k.name_len == 0 || h->rev == 0 ||
	    (past && !core_feed_past_begun(feed, at)))
		return -EPROTO;
	ns = (struct orlop_bytes){ body.p + head, k.ns_len };
	name = (struct orlop_bytes){ ns.p + k.ns_len, k.name_len };
	if (h->type == CORE_FEED_DEL) {
		r = past ? core_feed_past_del(feed, ns, name, at) : core_feed_del(feed, ns, name, h->rev);
		return r == -EINVAL ? -EPROTO : r;
	}
	record.p = name.p + k.name_len;
	record.len = (size_t)(body.p + body.len - record.p);
	r = past ? core_feed_past_put(feed, ns, name, record, h->rev, at) : core_feed_set(feed, ns, name, record, h->rev);
	if (r != -EINVAL)
		return r;
	if (f->damaged++ == 0) {
		(void)snprintf(text, sizeof(text), "namespace=%.*s name=%.*s: ignoring", (int)(ns.len < 60 ? ns.len : 60),
			       ns.p, (int)(name.len < 60 ? name.len : 60), name.p);
		in_log(f, ORLOP_LOG_ERR, "record_damaged", text);
	}
	return 0;
}

static int on_list(struct core_feed_in *f, const struct core_feed_frame *h)
{
	uint32_t flags = (h->flags & CORE_FEED_F_LOST ? ORLOP_FEED_LOST : 0) |
		(h->flags & CORE_FEED_F_ASK && f->io.ask ? CORE_FEED_ASK : 0);

	f->joint[h->res] = h->flags & CORE_FEED_F_JOINT ? f->feeds[h->res] : NULL;
	return core_feed_list_begin(f->feeds[h->res], flags);
}

/* 0; -ENOMEM, -EBUSY: nothing has happened; -EPROTO. */
static int frame_do(struct core_feed_in *f, const struct core_feed_frame *h, struct orlop_bytes body)
{
	int r;

	if (h->type == CORE_FEED_OPEN) {
		r = on_open(f, h, body);
		return r == 0 || r == -ENOMEM || r == -EBUSY ? r : -EPROTO;
	}
	if (h->type == CORE_FEED_PROGRESS) {
		core_feed_progress(f->c, f->joint, f->n, h->rev);
		return 0;
	}
	if (h->res >= f->n)
		return -EPROTO;
	switch (h->type) {
	case CORE_FEED_LIST:
		r = on_list(f, h);
		break;
	case CORE_FEED_PUT:
	case CORE_FEED_DEL:
		r = on_object(f, h, body);
		break;
	case CORE_FEED_END:
		r = core_feed_list_end(f->feeds[h->res], h->rev);
		break;
	case CORE_FEED_COMMIT:
		r = core_feed_commit(f->feeds[h->res], h->rev);
		break;
	case CORE_FEED_FAIL:
		if (h->rev == ENOMEM || h->rev == ESTALE || h->rev == EMSGSIZE || h->rev > 4095)
			return -EPROTO;
		core_feed_fail(f->feeds[h->res], (int32_t)h->rev);
		r = 0;
		break;
	case CORE_FEED_PAST:
		r = core_feed_past_begin(f->feeds[h->res], h->rev);
		break;
	case CORE_FEED_PAST_END:
		r = core_feed_past_end(f->feeds[h->res]);
		break;
	default:
		return -EPROTO;
	}
	return r == 0 || r == -ENOMEM ? r : -EPROTO;
}

void core_feed_in_past(struct core_feed_in *f)
{
	uint64_t from, upto;

	f->unasked = false;
	for (uint32_t i = 0; f->io.ask && i < f->n; i++)
		if (core_feed_past_wanted(f->feeds[i], &from, &upto) &&
		    f->io.ask(f->io.ctx, i, from, upto) == -ENOMEM) {
			core_feed_past_unsaid(f->feeds[i]);
			f->unasked = true;
		}
	if (f->unasked)
		f->io.retry(f->io.ctx);
}

/* ---- the stream ----------------------------------------------------------------------------------- */

static void tell(struct core_feed_in *f)
{
	if (f->stalled || f->untold < CORE_FEED_WINDOW / 4)
		return;
	if (f->io.ack(f->io.ctx, f->untold) == -ENOMEM)
		f->io.retry(f->io.ctx);
	else
		f->untold = 0;
}

int core_feed_in_go(struct core_feed_in *f)
{
	struct core_feed_frame h;
	int r = 0;

	f->stalled = false;
	while (f->buf.len - f->at >= sizeof(h)) {
		memcpy(&h, f->buf.data + f->at, sizeof(h));
		if (h.len < sizeof(h) || h.len > CORE_FEED_FRAME_MAX)
			return -EPROTO;
		if (f->buf.len - f->at < h.len)
			break;
		r = frame_do(f, &h, (struct orlop_bytes){ f->buf.data + f->at + sizeof(h), h.len - sizeof(h) });
		if (r == -EPROTO)
			return r;
		if (r) {
			f->stalled = true;
			f->io.retry(f->io.ctx);
			break;
		}
		f->said = false;
		f->at += h.len;
	}
	/* What is left is the beginning of a frame, or what cannot be done now. */
	if (f->at == f->buf.len) {
		if (f->buf.cap > 2 * CORE_FEED_WINDOW)
			obuf_done(&f->buf);
		obuf_reset(&f->buf);
		f->at = 0;
	} else if (f->at > f->buf.len - f->at) {
		obuf_splice(&f->buf, 0, f->at, NULL, 0);
		f->at = 0;
	}
	tell(f);
	if (f->unasked)
		core_feed_in_past(f);
	return 0;
}

int core_feed_in_data(struct core_feed_in *f, const char *p, size_t len)
{
	/* Who keeps to the window has no more under way than that. */
	if (f->untold + len > 2 * CORE_FEED_WINDOW)
		return -EPROTO;
	obuf_append(&f->buf, p, len);
	if (obuf_err(&f->buf))
		return -ENOMEM;
	f->untold += len;
	return f->stalled ? 0 : core_feed_in_go(f);
}
