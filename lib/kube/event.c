/*
 * event.c - recording Events: same object, reason and message within ten minutes are one Event whose
 * count grows, as upstream's recorder does, and of what happens too often less is told (correlate.c); names end in the time in hex.
 * Nobody waits for an event: where much is to be done they are told behind it.
 */
#include "kube/correlate.h"
#include "kube/okube.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omem.h"
#include "base/otime.h"

#define SAME_FOR	(10 * OTIME_MINUTE)
#define REMEMBERED	256u
#define COMBINED	"(combined from similar events): "
#define WAIT_NS		100000000ull
#define WAITS_MAX	5u		/* of them while it is busy */
#define WAITING_MAX	1024u

/* An event, or the count of one, that waits to be told. */
struct waiting {
	struct olist	node;
	struct ojson	*body;
	char		*ns;
	char		*name;		/* of the one that is counted; NULL: a new one */
};

struct seen {
	struct olist	node;
	char		*key;		/* uid, field path, type, reason, message */
	char		*ns;
	char		*name;
	int64_t		last;
	int64_t		count;
};

struct okube_recorder {
	const struct orlop_host *h;
	char		*component;
	char		*host;
	struct olist	seen;		/* newest first */
	uint32_t	n_seen;
	struct ocorrelate often;
	struct olist	waiting;	/* oldest first */
	uint32_t	n_waiting;
	uint32_t	n_waits;
	struct orlop_timer *timer;	/* NULL: nothing waits */
	bool		(*busy)(void *arg);
	void		*busy_arg;
};

static void send_now(struct okube_recorder *r, const char *ns, const char *name, const struct ojson *body)
{
	struct orlop_bytes in = { ns, strlen(ns) };

	if (name)
		(void)okube_patch(r->h, "events", in, (struct orlop_bytes){ name, strlen(name) }, NULL, OKUBE_MERGE_PATCH, body, NULL, NULL);
	else
		(void)okube_create(r->h, "events", in, body, NULL, NULL);
}

static void waiting_free(struct waiting *w)
{
	ojson_unref(w->body);
	omem_free(w->ns);
	omem_free(w->name);
	omem_free(w);
}

static struct waiting *waiting_new(const char *ns, const char *name, struct ojson *body)
{
	struct waiting *w = OMEM_NEW(struct waiting);

	if (!w)
		return NULL;
	w->body = ojson_ref(body);
	w->ns = omem_strdup(ns);
	w->name = name ? omem_strdup(name) : NULL;
	if (w->ns && (w->name || !name))
		return w;
	waiting_free(w);
	return NULL;
}

void okube_recorder_flush(struct okube_recorder *r)
{
	while (!olist_empty(&r->waiting)) {
		struct waiting *w = OLIST_ENTRY(olist_shift(&r->waiting), struct waiting, node);

		send_now(r, w->ns, w->name, w->body);
		waiting_free(w);
	}
	r->n_waiting = 0;
	r->n_waits = 0;
	if (r->timer)
		r->h->timer_clear(r->timer);
}

void okube_recorder_stop(struct okube_recorder *r)
{
	okube_recorder_flush(r);
	r->h->timer_free(r->timer);
	r->timer = NULL;
}

static void waited(void *arg)
{
	struct okube_recorder *r = arg;

	if (++r->n_waits < WAITS_MAX && r->busy(r->busy_arg))
		r->h->timer_set(r->timer, WAIT_NS, 0);
	else
		okube_recorder_flush(r);
}

int okube_recorder_gather(struct okube_recorder *r, bool (*busy)(void *arg), void *arg)
{
	r->busy = busy;
	r->busy_arg = arg;
	return r->h->timer_new(r->h, waited, r, &r->timer);
}

/* @name NULL: a new one. In their order. */
static void tell(struct okube_recorder *r, const char *ns, const char *name, struct ojson *body)
{
	struct waiting *w = r->timer && r->n_waiting < WAITING_MAX ? waiting_new(ns, name, body) : NULL;

	if (!w) {
		okube_recorder_flush(r);
		send_now(r, ns, name, body);
		return;
	}
	if (!r->n_waiting++)
		r->h->timer_set(r->timer, WAIT_NS, 0);
	olist_append(&r->waiting, &w->node);
}

static void seen_free(struct okube_recorder *r, struct seen *s)
{
	olist_del(&s->node);
	r->n_seen--;
	omem_free(s->key);
	omem_free(s->ns);
	omem_free(s->name);
	omem_free(s);
}

int okube_recorder_new(const struct orlop_host *h, const char *component, const char *host,
		       struct okube_recorder **ret)
{
	struct okube_recorder *r = OMEM_NEW(struct okube_recorder);

	if (!r)
		return -ENOMEM;
	r->h = h;
	olist_init(&r->seen);
	olist_init(&r->waiting);
	ocorrelate_init(&r->often);
	r->component = omem_strdup(component);
	r->host = omem_strdup(host ? host : "");
	if (!r->component || !r->host) {
		okube_recorder_free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void okube_recorder_free(struct okube_recorder *r)
{
	if (!r)
		return;
	while (!olist_empty(&r->seen))
		seen_free(r, OLIST_ENTRY(olist_first(&r->seen), struct seen, node));
	while (!olist_empty(&r->waiting))
		waiting_free(OLIST_ENTRY(olist_shift(&r->waiting), struct waiting, node));
	r->h->timer_free(r->timer);
	ocorrelate_done(&r->often);
	omem_free(r->component);
	omem_free(r->host);
	omem_free(r);
}

static struct seen *seen_find(struct okube_recorder *r, const char *key, int64_t now)
{
	OLIST_FOREACH(pos, &r->seen) {
		struct seen *s = OLIST_ENTRY(pos, struct seen, node);

		if (now - s->last < SAME_FOR && !strcmp(s->key, key))
			return s;
	}
	return NULL;
}

static struct seen *seen_new(struct okube_recorder *r, const char *key, const char *ns, const char *obj,
			     int64_t now)
{
	struct seen *s = OMEM_NEW(struct seen);

	if (!s)
		return NULL;
	s->key = omem_strdup(key);
	s->ns = omem_strdup(ns);
	s->name = omem_printf("%s.%llx", obj, (unsigned long long)now);
	olist_push(&r->seen, &s->node);
	r->n_seen++;
	if (!s->key || !s->ns || !s->name) {
		seen_free(r, s);
		return NULL;
	}
	if (r->n_seen > REMEMBERED)
		seen_free(r, OLIST_ENTRY(olist_last(&r->seen), struct seen, node));
	return s;
}

/* @message: the newest of those that are combined, NULL: it is the same. */
static void event_count(struct okube_recorder *r, struct seen *s, const char *time, const char *message)
{
	struct ojson *p = ojson_new_object();

	if (!p)
		return;
	(void)ojson_set_i64(p, "count", s->count);
	(void)ojson_set_cstr(p, "lastTimestamp", time);
	if (message)
		(void)ojson_set_cstr(p, "message", message);
	tell(r, s->ns, s->name, p);
	ojson_unref(p);
}

void okube_event(struct okube_recorder *r, const char *api_version, const char *kind,
		 const struct ojson *obj, const char *field_path, const char *type, const char *reason,
		 const char *fmt, ...)
{
	const char *ns = okube_meta(obj, "namespace");
	int64_t now = (int64_t)r->h->now_wall(r->h);
	char time[OTIME_BUF];
	char said[1024];
	char message[sizeof(said) + sizeof(COMBINED)];
	bool combined;
	struct obuf key = OBUF_INIT;
	struct ojson *ev;
	struct ojson *ref;
	struct seen *s;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
	if (!*ns)
		ns = "default";
	otime_format(now, time);
	obuf_printf(&key, "%s/%s/%s/%s", kind, ns, okube_meta(obj, "name"), okube_meta(obj, "uid"));
	if (obuf_err(&key) || !ocorrelate_allowed(&r->often, key.data, now))
		goto out;
	combined = ocorrelate_combined(&r->often, key.data, type, reason, said, now);
	snprintf(message, sizeof(message), "%s%s", combined ? COMBINED : "", said);
	obuf_printf(&key, "|%s|%s|%s|%s", combined ? "" : field_path ? field_path : "", type, reason,
		    combined ? COMBINED : said);
	if (obuf_err(&key))
		goto out;
	s = seen_find(r, key.data, now);
	if (s) {
		s->count++;
		s->last = now;
		event_count(r, s, time, combined ? message : NULL);
		goto out;
	}
	s = seen_new(r, key.data, ns, okube_meta(obj, "name"), now);
	ev = ojson_new_object();
	if (!s || !ev) {
		ojson_unref(ev);
		goto out;
	}
	s->count = 1;
	s->last = now;
	(void)ojson_set_cstr(ev, "kind", "Event");
	(void)ojson_set_cstr(ev, "apiVersion", "v1");
	ref = ojson_ensure_object(ev, "metadata");
	(void)ojson_set_cstr(ref, "name", s->name);
	(void)ojson_set_cstr(ref, "namespace", ns);
	ref = ojson_ensure_object(ev, "involvedObject");
	(void)ojson_set_cstr(ref, "kind", kind);
	if (*okube_meta(obj, "namespace"))
		(void)ojson_set_cstr(ref, "namespace", ns);
	(void)ojson_set_cstr(ref, "name", okube_meta(obj, "name"));
	(void)ojson_set_cstr(ref, "uid", okube_meta(obj, "uid"));
	(void)ojson_set_cstr(ref, "apiVersion", api_version);
	(void)ojson_set_cstr(ref, "resourceVersion", okube_meta(obj, "resourceVersion"));
	if (field_path)
		(void)ojson_set_cstr(ref, "fieldPath", field_path);
	(void)ojson_set_cstr(ev, "reason", reason);
	(void)ojson_set_cstr(ev, "message", message);
	ref = ojson_ensure_object(ev, "source");
	(void)ojson_set_cstr(ref, "component", r->component);
	if (*r->host)
		(void)ojson_set_cstr(ref, "host", r->host);
	(void)ojson_set_cstr(ev, "firstTimestamp", time);
	(void)ojson_set_cstr(ev, "lastTimestamp", time);
	(void)ojson_set_i64(ev, "count", 1);
	(void)ojson_set_cstr(ev, "type", type);
	(void)ojson_set_cstr(ev, "reportingComponent", r->component);
	(void)ojson_set_cstr(ev, "reportingInstance", r->host);
	tell(r, s->ns, NULL, ev);
	ojson_unref(ev);
out:
	obuf_done(&key);
}
