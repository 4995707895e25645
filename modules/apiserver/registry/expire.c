/*
 * expire.c - Events live an hour after they were last written.
 *
 * One timer on shard 0, armed only while there are events: it fires when the oldest may be due,
 * looks at all of them, deletes what is due, and is armed for the next. A note of the resource arms
 * it when the first event appears. Nothing is remembered: a restart reads the objects' own times.
 */
#include "op.h"
#include "render.h"
#include "verbs.h"

#include "base/otime.h"
#include "json/oscan.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define MINUTE	UINT64_C(60000000000)
#define AT_ONCE	200u		/* deletes of one round; the rest has its turn a moment later */

struct reg_expiry {
	struct reg_shard *sh;
	struct orlop_timer *timer;
	bool		armed;
};

static int64_t time_of(struct orlop_bytes obj, const char *path, int64_t have)
{
	struct orlop_bytes v, t;
	int64_t ns;

	if (oscan_find_dotted(obj, path, strlen(path), &v) && oscan_plain(v, &t) &&
	    otime_parse(t.p, t.len, &ns) == 0 && ns > have)
		return ns;
	return have;
}

/* When the event was last written, as far as it says so itself. */
static int64_t last_write(struct reg_shard *sh, const struct orlop_object *o)
{
	static const char *const paths[] = {
		"metadata.creationTimestamp", "lastTimestamp", "series.lastObservedTime", "eventTime",
	};
	struct obuf b = OBUF_INIT;
	int64_t ns = 0;

	obuf_putc(&b, '{');
	obuf_append(&b, o->json.p, o->json.len);
	obuf_putc(&b, '}');
	for (size_t i = 0; obuf_err(&b) == 0 && i < sizeof(paths) / sizeof(*paths); i++)
		ns = time_of((struct orlop_bytes){ b.data, b.len }, paths[i], ns);
	obuf_done(&b);
	/* a clock that ran ahead once must not keep an event for ever */
	if (ns > (int64_t)sh->h->now_wall(sh->h))
		ns = (int64_t)sh->h->now_wall(sh->h);
	return ns;
}

static void on_deleted(void *arg, struct reg_answer *a)
{
	(void)arg;
	reg_answer_free(a);
}

static void remove_event(struct reg_shard *sh, const struct orlop_object *o)
{
	char body[128];
	struct reg_req rq = { .verb = REG_DELETE, .res = sh->rg->events->res, .ns = o->ns, .name = o->name };
	int n = snprintf(body, sizeof(body), "{\"preconditions\":{\"resourceVersion\":\"%llu\"}}",
			 (unsigned long long)o->rev);

	rq.body = (struct orlop_bytes){ body, (size_t)n };
	reg_internal_call(sh, &rq, on_deleted, NULL);
}

static void arm(struct reg_expiry *x, uint64_t delay)
{
	x->armed = true;
	x->sh->h->timer_set(x->timer, delay, 0);
}

static void sweep(void *arg)
{
	struct reg_expiry *x = arg;
	struct reg_shard *sh = x->sh;
	const struct orlop_host *h = sh->h;
	int64_t ttl = (int64_t)sh->rg->cfg.event_ttl_ns, now = (int64_t)h->now_wall(h), next = INT64_MAX;
	struct orlop_object *due[AT_ONCE], *o;
	struct owalk w;
	uint32_t n = 0;

	x->armed = false;
	if (owalk_open(&w, h, reg_open(sh, sh->rg->events), NULL))
		return;
	while ((o = owalk_next(&w)) != NULL) {
		int64_t end = last_write(sh, o) + ttl;

		if (end <= now && n < AT_ONCE)
			due[n++] = h->object_ref(o);
		else if (end < next)
			next = end;
	}
	owalk_close(&w);
	if (n == AT_ONCE)
		arm(x, MINUTE / 60);
	else if (next != INT64_MAX)
		arm(x, next > now + (int64_t)MINUTE ? (uint64_t)(next - now) : MINUTE);
	for (uint32_t i = 0; i < n; i++) {
		remove_event(sh, due[i]);
		h->object_unref(due[i]);
	}
}

void reg_expiry_note(struct reg_shard *sh)
{
	struct reg_expiry *x = sh->expiry;

	/* the timer runs: whatever came is younger than what it waits for */
	if (x && !x->armed)
		arm(x, MINUTE / 60);
}

int reg_expiry_start(struct reg_shard *sh)
{
	struct reg_expiry *x;
	int r;

	if (sh->expiry || !sh->rg->events || !reg_open(sh, sh->rg->events))
		return 0;
	x = OMEM_NEW(struct reg_expiry);
	if (!x)
		return -ENOMEM;
	x->sh = sh;
	r = sh->h->timer_new(sh->h, sweep, x, &x->timer);
	if (r) {
		omem_free(x);
		return r;
	}
	sh->expiry = x;
	reg_notes_on(sh, sh->rg->events);
	return 0;
}

void reg_expiry_free(struct reg_expiry *x)
{
	if (!x)
		return;
	x->sh->h->timer_free(x->timer);
	omem_free(x);
}
