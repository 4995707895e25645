/*
 * follow.c - one slice: list, page by page, then watch from there; again and again.
 *
 * A list anew (first start, 410, a watch that does not make sense) is compared by the cache with what is
 * there. Whatever fails pauses, longer each time. A revision is committed when the next one is met or
 * the bytes end with a line: never between two events of one revision.
 */
#include "slice.h"

#include "record/orecord.h"
#include "json/oscan.h"
#include "selector/oselector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LISTS_MAX	8u		/* at once */
#define WATCH_S		300u		/* and up to as much again by chance */
#define SILENT_NS	(150 * UP_NS_PER_S)	/* bookmarks come every minute */
#define LIVED_NS	(10 * UP_NS_PER_S)	/* a watch that lived so long was a good one */
#define FAILS_LISTED	3u		/* what a list that worked leaves of the pauses */
#define PAUSE_DENIED	(30 * UP_NS_PER_S)
#define LIMIT_MIN	10u
#define PUT_MAX		512u		/* events in one commit */

static void list_begin(struct up_slice *s);
static void list_page(struct up_slice *s);
static void watch_begin(struct up_slice *s);

/* ---- pauses --------------------------------------------------------------------------------------------- */

static void slice_pause(struct up_slice *s, uint64_t ns)
{
	s->state = UP_PAUSED;
	s->u->h->timer_set(s->timer, ns, 0);
}

static void stop_call(struct up_slice *s)
{
	struct up_call *c = s->call;

	s->call = NULL;
	up_remote_cancel(c);
	if (s->state == UP_LISTING)
		s->u->listing--;
	s->state = UP_IDLE;
	up_stream_done(&s->stream);
	memset(&s->stream, 0, sizeof(s->stream));
	s->stream.max = s->u->max_object;
	omem_free(s->next);
	s->next = NULL;
	s->list_rev = 0;
	s->u->h->timer_clear(s->timer);
}

/* One line the first time, then only when it is something else. */
static void slice_say(struct up_slice *s, const char *event, const char *why)
{
	if (strncmp(s->told, why, sizeof(s->told) - 1) == 0 && s->told[0])
		return;
	snprintf(s->told, sizeof(s->told), "%s", why);
	OLOG(s->u->h, WARN, event, "resource=%s%s%s why=\"%s\": trying again", s->resource, s->ns ? " ns=" : "",
	     s->ns ? s->ns : "", why);
}

static void slice_good(struct up_slice *s)
{
	if (s->told[0])
		OLOG(s->u->h, INFO, "resource_back", "resource=%s rev=%llu", s->resource, (unsigned long long)s->rev);
	s->told[0] = '\0';
}

/* An answer that is none. The call is over. */
static void slice_failed(struct up_slice *s, const char *event, const struct up_answer *a)
{
	uint64_t ns = up_backoff(s->u->h, s->fails++);
	char text[400];
	int status = a->err ? 0 : a->status;

	if (status || a->status || a->err == -EPROTO || a->err == -EMSGSIZE)
		slice_say(s, event, up_explain(s->u->remote, a, text, sizeof(text)));
	stop_call(s);
	if (status == 401)
		up_remote_reload(s->u->remote);
	if (status == 403 || status == 404) {
		if (s->feed)
			s->u->h->feed_fail(s->feed, status == 403 ? EACCES : ENOENT);
		s->synced = true;	/* nobody is to wait for it */
		s->go_on = false;
		if (status == 404)
			(void)up_discover(s->u);
		if (s->fails > 4)
			ns = PAUSE_DENIED + ns;
	}
	if (a->retry_after_s && ns < a->retry_after_s * UP_NS_PER_S)
		ns = a->retry_after_s * UP_NS_PER_S;
	slice_pause(s, ns);
	up_slices_turn(s->u);
}

/* ---- listing -------------------------------------------------------------------------------------------- */

static void put_selectors(struct up_slice *s, struct obuf *b)
{
	if (s->fields) {
		obuf_puts(b, "&fieldSelector=");
		up_put_escaped(b, s->fields, strlen(s->fields));
	}
	if (s->labels) {
		obuf_puts(b, "&labelSelector=");
		up_put_escaped(b, s->labels, strlen(s->labels));
	}
}

static void slice_path(struct up_slice *s, struct obuf *b)
{
	up_path(b, s->kind, (struct orlop_bytes){ NULL, 0 }, (struct orlop_bytes){ s->ns, s->ns ? strlen(s->ns) : 0 });
}

/* Put one object; 0, or -ENOMEM. What is no object is counted and left out. */
static int put_object(struct up_slice *s, struct orlop_bytes object, struct orecord_head *head)
{
	const struct up *u = s->u;
	const struct oschema_resource *res = s->kind ? s->kind->res : NULL;
	struct obuf *b = &s->u->record;
	int r;

	obuf_reset(b);
	r = orecord_put_bytes(res ? u->schema : NULL, res, object, u->keep_managed ? 0 : ORECORD_DROP_MANAGED, b, head);
	if (r == 0 && s->ns && !ostr_is(head->ns.p, head->ns.len, s->ns))
		r = -EINVAL;
	if (r == 0)
		r = u->h->feed_put(s->feed, head->ns, head->name, (struct orlop_bytes){ b->data, b->len }, head->rev);
	if (b->cap > (1u << 20))
		obuf_done(b);
	if (r == -EINVAL) {
		if (s->n_damaged++ == 0)
			OLOG(u->h, WARN, "object_damaged", "resource=%s object=\"%.*s\" from=%s: ignoring it and others like it",
			     s->resource, OB(head->name), up_remote_addr(u->remote));
		head->rev = 0;
		r = 0;
	}
	return r;
}

static void list_end(struct up_slice *s)
{
	int r = s->u->h->feed_list_end(s->feed, s->list_rev);

	if (r) {
		/* all is there but not visible yet: soon */
		s->u->h->timer_set(s->timer, UP_NS_PER_S / 10, 0);
		return;
	}
	s->rev = s->seen = s->list_rev;
	s->list_rev = 0;
	s->u->listing--;
	s->state = UP_IDLE;
	s->synced = true;
	s->go_on = true;
	s->restarts = 0;
	s->n_lists++;
	if (s->fails > FAILS_LISTED)
		s->fails = FAILS_LISTED;
	slice_good(s);
	OLOG(s->u->h, DEBUG, "listed", "resource=%s objects=%llu rev=%llu", s->resource, (unsigned long long)s->n_objects,
	     (unsigned long long)s->rev);
	up_wait_commit(s);
	watch_begin(s);
	up_slices_turn(s->u);
}

static int take_page(struct up_slice *s, const struct up_page *page)
{
	struct oscan_iter it;
	int r = 0;

	if (!s->list_rev) {
		r = s->u->h->feed_list_begin(s->feed, 0);
		s->n_objects = 0;
	}
	for (oscan_begin(&it, page->items); r == 0 && oscan_next(&it) > 0; s->n_objects++) {
		struct orecord_head head = { .rev = 0 };

		r = put_object(s, it.value, &head);
	}
	if (r)
		return r;
	s->list_rev = page->rev;
	omem_free(s->next);
	s->next = page->next.len ? omem_strndup(page->next.p, page->next.len) : NULL;
	return page->next.len && !s->next ? -ENOMEM : 0;
}

static void on_page(void *arg, const struct up_answer *a)
{
	struct up_slice *s = arg;
	struct up_answer bad = *a;
	const char *why = NULL;
	struct up_page page;
	int r;

	s->call = NULL;
	if (a->err == -EMSGSIZE && s->limit > LIMIT_MIN) {
		s->limit /= 4;		/* objects are large here */
		s->next = (omem_free(s->next), NULL);
		s->list_rev = 0;
		list_page(s);
		return;
	}
	if (!a->err && (a->status == 410 || a->status == 400) && s->next && s->restarts < 3) {
		/* The token has expired: from the start, and at the third time without pages. */
		s->next = (omem_free(s->next), NULL);
		s->list_rev = 0;
		if (++s->restarts == 3)
			s->limit = 0;
		list_page(s);
		return;
	}
	if (a->err || a->status != 200) {
		slice_failed(s, "list_failed", a);
		return;
	}
	r = up_page_parse(a->body, &page, &why);
	if (r == 0)
		r = take_page(s, &page);
	if (r) {
		bad.err = r;
		bad.why = why ? why : "no memory";
		slice_failed(s, "list_failed", &bad);
		return;
	}
	if (s->next)
		list_page(s);
	else
		list_end(s);
}

static void list_page(struct up_slice *s)
{
	struct obuf b = OBUF_INIT;
	struct up_request q = { .method = "GET", .timeout_ns = 120 * UP_NS_PER_S };
	int r;

	slice_path(s, &b);
	obuf_printf(&b, "?limit=%u", s->limit);
	put_selectors(s, &b);
	if (s->next) {
		obuf_puts(&b, "&continue=");
		up_put_escaped(&b, s->next, strlen(s->next));
	}
	q.target = obuf_cstr(&b);
	if (s->metadata)
		q.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
	r = obuf_err(&b);
	if (r == 0)
		r = up_remote_send(s->u->remote, &q, on_page, s, &s->call);
	obuf_done(&b);
	if (r) {
		struct up_answer a = { .err = r, .why = "no memory" };

		slice_failed(s, "list_failed", &a);
	}
}

static void list_begin(struct up_slice *s)
{
	if (s->u->listing >= LISTS_MAX) {
		s->state = UP_QUEUED;
		return;
	}
	s->u->listing++;
	s->state = UP_LISTING;
	s->limit = s->u->page_size;
	s->restarts = 0;
	list_page(s);
}

void up_slices_turn(struct up *u)
{
	OLIST_FOREACH(l, &u->slices) {
		struct up_slice *s = OLIST_ENTRY(l, struct up_slice, node);

		if (u->listing >= LISTS_MAX)
			return;
		if (s->state == UP_QUEUED) {
			list_begin(s);
			return;		/* the rest when that one has ended, or sooner by others */
		}
	}
}

/* ---- watching ------------------------------------------------------------------------------------------- */

/* What has been put becomes visible. 0, or -ENOMEM: not yet. */
static int commit(struct up_slice *s)
{
	int r;

	s->carried = false;
	if (s->seen == s->rev && !s->put)
		return 0;
	r = s->u->h->feed_commit(s->feed, s->seen);
	if (r)
		return r;
	s->rev = s->seen;
	s->put = 0;
	up_wait_commit(s);
	return 0;
}

/* An event that breaks the order: the next list tells what is so. */
static int stale(struct up_slice *s, uint64_t rev)
{
	OLOG(s->u->h, DEBUG, "watch_order", "resource=%s rev=%llu after=%llu", s->resource, (unsigned long long)rev,
	     (unsigned long long)s->seen);
	s->go_on = false;
	s->stream.why = "sends an event out of order";
	return -ESTALE;
}

static int on_error_event(struct up_slice *s, struct orlop_bytes object)
{
	struct up_status st;

	up_status_parse(object, &st);
	if (st.code == 410 || !strcmp(st.reason, "Expired") || !strcmp(st.reason, "Gone")) {
		s->go_on = false;
		return -ESTALE;
	}
	slice_say(s, "watch_failed", st.message[0] ? st.message : "an ERROR event without a Status");
	return -EREMOTEIO;
}

static int on_event(void *arg, const struct up_event *ev)
{
	struct up_slice *s = arg;
	struct orecord_head head = { .rev = 0 };
	uint64_t rev;
	int r = 0;

	if (ev->type == UP_ERROR)
		return on_error_event(s, ev->object);
	rev = up_object_rev(ev->object);
	if (rev == 0) {
		s->stream.why = "sends an event without a numeric resourceVersion";
		return -EPROTO;
	}
	if (rev < s->seen || (rev == s->rev && ev->type != UP_BOOKMARK))
		return stale(s, rev);
	if (rev > s->seen && (s->carried || s->put >= PUT_MAX))
		r = commit(s);
	if (r || ev->type == UP_BOOKMARK) {
		s->seen = r ? s->seen : rev;
		return r;
	}
	if (ev->type == UP_DELETED) {
		r = orecord_head(ev->object, &head);
		if (r == 0)
			r = s->u->h->feed_del(s->feed, head.ns, head.name, rev);
		if (r == -EINVAL)
			r = 0;
	} else {
		r = put_object(s, ev->object, &head);
	}
	if (r)
		return r;
	s->seen = rev;
	s->put++;
	s->n_events++;
	if (s->told[0])
		slice_good(s);
	return 0;
}

static int on_data(void *arg, const char *p, size_t len)
{
	struct up_slice *s = arg;
	int r = up_stream_feed(&s->stream, p, len, on_event, s);

	if (r)
		return r;
	if (up_stream_partial(&s->stream)) {
		s->carried = s->put > 0 || s->seen > s->rev;
		return 0;
	}
	return commit(s);
}

static void on_watch_end(void *arg, const struct up_answer *a)
{
	struct up_slice *s = arg;
	struct up_answer b = *a;

	s->call = NULL;
	/* What came whole is true, however the stream ended; the rest comes again. */
	if (s->put && !up_stream_partial(&s->stream))
		(void)commit(s);
	if (s->u->h->now_mono(s->u->h) - s->watch_at >= LIVED_NS)
		s->fails = 0;
	if (a->err == -ESTALE || (!a->err && a->status == 410)) {
		OLOG(s->u->h, INFO, "watch_expired", "resource=%s rev=%llu: listing anew", s->resource, (unsigned long long)s->rev);
		s->go_on = false;
		stop_call(s);
		slice_pause(s, s->fails++ ? up_backoff(s->u->h, s->fails) : 1);
		return;
	}
	if (a->err == -EREMOTEIO || a->err == -ENOMEM) {	/* said already, or nothing to say */
		stop_call(s);
		slice_pause(s, up_backoff(s->u->h, s->fails++));
		return;
	}
	if (a->err == 0 && a->status == 200) {	/* the usual end: at once, unless it is always at once */
		stop_call(s);
		slice_pause(s, up_backoff(s->u->h, s->fails) / (s->fails ? 1 : 10));
		s->fails++;
		return;
	}
	if (a->err == -EPROTO || a->err == -EMSGSIZE || s->stream.why) {
		b.why = s->stream.why ? s->stream.why : a->why;
		s->go_on = false;
	}
	slice_failed(s, "watch_failed", &b);
}

static void watch_begin(struct up_slice *s)
{
	struct obuf b = OBUF_INIT;
	uint32_t by;
	struct up_request q = { .method = "GET", .data = on_data, .idle_ns = SILENT_NS };
	int r;

	s->u->h->random(s->u->h, &by, sizeof(by));
	by = WATCH_S + by % WATCH_S;
	slice_path(s, &b);
	obuf_printf(&b, "?watch=1&allowWatchBookmarks=true&resourceVersion=%llu&timeoutSeconds=%u",
		    (unsigned long long)s->rev, by);
	put_selectors(s, &b);
	q.target = obuf_cstr(&b);
	q.timeout_ns = (by + 30) * UP_NS_PER_S;
	if (s->metadata)
		q.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
	s->state = UP_WATCHING;
	s->seen = s->rev;
	s->put = 0;
	s->carried = false;
	s->watch_at = s->u->h->now_mono(s->u->h);
	s->n_watches++;
	r = obuf_err(&b);
	if (r == 0)
		r = up_remote_send(s->u->remote, &q, on_watch_end, s, &s->call);
	obuf_done(&b);
	if (r) {
		struct up_answer a = { .err = r, .why = "no memory" };

		slice_failed(s, "watch_failed", &a);
	}
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void go(struct up_slice *s)
{
	if (s->go_on)
		watch_begin(s);
	else
		list_begin(s);
}

static void on_timer(void *arg)
{
	struct up_slice *s = arg;

	if (s->state == UP_LISTING && !s->call)
		list_end(s);
	else if (s->state == UP_PAUSED)
		go(s);
	else if (s->state == UP_IDLE)
		up_slice_start(s);
}

/* The server does not have it: its readers see it empty, and do not wait. */
static void not_served(struct up_slice *s)
{
	const struct orlop_host *h = s->u->h;

	OLOG(h, WARN, "not_served", "resource=%s server=%s: its readers see none", s->resource, up_remote_addr(s->u->remote));
	s->state = UP_PAUSED;	/* until the next discovery says otherwise */
	s->synced = true;
	s->go_on = false;
	if (h->feed_list_begin(s->feed, 0) == 0)
		(void)h->feed_list_end(s->feed, s->rev ? s->rev : 1);
	up_wait_end(s);
}

void up_slice_start(struct up_slice *s)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = 0;

	stop_call(s);
	s->go_on = false;
	if (!s->feed)
		r = s->u->h->feed_open(s->u->h, s->resource, &s->feed, &err);
	if (r == 0)
		r = up_slice_register(s, &err);
	if (r == -EBUSY) {	/* the one that we replace still feeds it */
		s->state = UP_IDLE;
		s->u->h->timer_set(s->timer, UP_NS_PER_S / 20, 0);
	} else if (r) {
		slice_say(s, "feed_refused", err.msg[0] ? err.msg : strerrordesc_np(-r));
		s->state = UP_IDLE;
		s->u->h->timer_set(s->timer, 5 * UP_NS_PER_S, 0);
	} else if (!s->kind) {
		not_served(s);
	} else {
		list_begin(s);
	}
	orlop_error_done(&err);
}

struct up_slice *up_slice_new(struct up *u, const char *resource)
{
	struct up_slice *s = OMEM_NEW(struct up_slice);

	if (!s)
		return NULL;
	s->u = u;
	s->stream.max = u->max_object;
	olist_init(&s->waits);
	olist_append(&u->slices, &s->node);
	s->resource = omem_strdup(resource);
	if (!s->resource || u->h->timer_new(u->h, on_timer, s, &s->timer)) {
		up_slice_free(s);
		return NULL;
	}
	return s;
}

void up_slice_free(struct up_slice *s)
{
	if (s->timer)
		stop_call(s);
	up_wait_end(s);
	s->u->h->feed_close(s->feed);
	s->u->h->timer_free(s->timer);
	olist_del(&s->node);
	up_stream_done(&s->stream);
	oselector_free(s->label_sel);
	omem_free(s->resource);
	omem_free(s->version);
	omem_free(s->ns);
	omem_free(s->fields);
	omem_free(s->labels);
	omem_free(s);
}
