/*
 * write.c - bindings, conditions and Events on their way to the API, many in one request
 *
 * Events come last: they wait while pods wait. A few batches are under way at once; while they are, what
 * comes next gathers, so that batches grow with the load and a lone pod does not wait.
 */
#include "module.h"

#include <errno.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"
#include "base/ostr.h"

#define BATCH_MAX   64u
#define BATCH_BYTES (40u << 10) /* of the 64 KB that a message may have */
#define BATCHES_MAX 8u
#define WAITING_MAX 1024u /* then no more pods are tried */
#define EVENTS_MAX  8192u /* Events beyond are dropped */

static bool is_event(enum sd_kind kind)
{
	return kind >= SD_W_EVENT;
}

void sd_write_init(struct sd *s)
{
	olist_init(&s->urgent);
	olist_init(&s->others_wait);
	olist_init(&s->batches);
}

static void list_free(struct olist *l)
{
	struct olist *at;

	while ((at = olist_shift(l)))
		omem_free(OLIST_ENTRY(at, struct sd_write, list));
}

static void batch_free(struct sd_batch *b)
{
	olist_del(&b->list);
	b->s->n_batches--;
	for (uint32_t i = 0; i < b->n; i++)
		omem_free(b->v[i]);
	omem_free(b);
}

void sd_write_done(struct sd *s)
{
	list_free(&s->urgent);
	list_free(&s->others_wait);
	while (!olist_empty(&s->batches))
		batch_free(OLIST_ENTRY(olist_first(&s->batches), struct sd_batch, list));
}

bool sd_write_room(const struct sd *s)
{
	return s->n_urgent < WAITING_MAX && s->n_others < EVENTS_MAX;
}

static struct orlop_bytes keep(char **at, struct orlop_bytes b)
{
	struct orlop_bytes r = { *at, b.len };

	if (b.len)
		memcpy(*at, b.p, b.len);
	*at += b.len;
	return r;
}

static struct sd_write *write_new(enum sd_kind kind, struct orlop_bytes ns, struct orlop_bytes name,
				  struct orlop_bytes uid, struct orlop_bytes node,
				  struct orlop_bytes object, struct orlop_bytes body)
{
	struct sd_write *w = omem_alloc(sizeof(*w) + ns.len + name.len + uid.len + node.len +
					object.len + body.len);
	char *at;

	if (!w)
		return NULL;
	at = (char *)(w + 1);
	olist_init(&w->list);
	w->kind = kind;
	w->ns = keep(&at, ns);
	w->name = keep(&at, name);
	w->uid = keep(&at, uid);
	w->node = keep(&at, node);
	w->object = keep(&at, object);
	w->body = keep(&at, body);
	return w;
}

static struct orlop_bytes uid_of(const struct sd_pod *p)
{
	return (struct orlop_bytes){ p->uid, strlen(p->uid) };
}

int sd_write_bind(struct sd *s, const struct sd_pod *p, struct orlop_bytes node)
{
	struct obuf b = OBUF_INIT;
	struct sd_write *w;

	obuf_puts(&b, "{\"kind\":\"Binding\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":");
	obuf_put_json_string(&b, p->name.p, p->name.len);
	obuf_puts(&b, ",\"namespace\":");
	obuf_put_json_string(&b, p->ns.p, p->ns.len);
	if (*p->uid) {
		obuf_puts(&b, ",\"uid\":");
		obuf_put_json_cstr(&b, p->uid);
	}
	obuf_puts(&b, "},\"target\":{\"kind\":\"Node\",\"name\":");
	obuf_put_json_string(&b, node.p, node.len);
	obuf_puts(&b, "}}");
	w = obuf_err(&b) ? NULL
			 : write_new(SD_W_BIND, p->ns, p->name, uid_of(p), node, p->name,
				     (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
	if (!w)
		return -ENOMEM;
	olist_append(&s->urgent, &w->list);
	s->n_urgent++;
	return 0;
}

int sd_write_other(struct sd *s, enum sd_kind kind, const struct sd_pod *p,
		   struct orlop_bytes object, struct orlop_bytes body)
{
	struct orlop_bytes none = { "", 0 };
	struct sd_write *w;

	if (is_event(kind) && s->n_others >= EVENTS_MAX)
		return 0;
	w = write_new(kind, p->ns, p->name, uid_of(p), none, object, body);
	if (!w)
		return -ENOMEM;
	olist_append(is_event(kind) ? &s->others_wait : &s->urgent, &w->list);
	*(is_event(kind) ? &s->n_others : &s->n_urgent) += 1;
	return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The pod that the write was about, if it still is that pod and still assumed. */
static struct sd_pod *assumed(struct sd *s, const struct sd_write *w)
{
	struct sd_pod *p = sd_pod_find(s, w->ns, w->name);

	return p && p->state == SD_ASSUMED && ostr_is(w->uid.p, w->uid.len, p->uid) ? p : NULL;
}

static void bind_answered(struct sd *s, const struct sd_write *w, uint32_t code,
			  struct orlop_bytes reason, struct orlop_bytes body)
{
	struct sd_pod *p = sd_pod_find(s, w->ns, w->name);
	struct orlop_bytes why = { "", 0 };

	if (p && !ostr_is(w->uid.p, w->uid.len, p->uid))
		p = NULL;
	if (code < 300) {
		s->n_scheduled++;
		if (p) {
			sd_metrics_bound(s, p);
			sd_report_scheduled(s, p, w->node);
		}
		return;
	}
	if (!p || p->state != SD_ASSUMED)
		return; /* the cache knows better already */
	OLOG(s->h, WARN, "bind_refused",
	     "pod=%.*s/%.*s node=%.*s code=%u reason=%.*s, trying again", (int)w->ns.len, w->ns.p,
	     (int)w->name.len, w->name.p, (int)w->node.len, w->node.p, code, (int)reason.len,
	     reason.p ? reason.p : "");
	/* 404: the pod is gone, 409: somebody else was faster; neither is worth an Event */
	if (code != 404 && code != 409) {
		struct obuf text = OBUF_INIT;

		obuf_puts(&text, "binding rejected: running Bind plugin \"DefaultBinder\": ");
		if (oscan_get(body, "message", &why))
			(void)oscan_unquote(why, &text);
		sd_report_failed(s, p, "SchedulerError",
				 (struct orlop_bytes){ obuf_cstr(&text), text.len });
		obuf_done(&text);
	}
	s->n_errors++;
	s->h->metric_add(s->m.attempts[SD_ERROR], 1);
	sd_give_back(s, p);
}

/* Nobody knows whether the binding was made: ask. The pod stays assumed until then. */
static void bind_unknown(struct sd *s, const struct sd_write *w)
{
	struct orlop_bytes none = { "", 0 };
	struct sd_pod *p = assumed(s, w);
	struct sd_write *look;

	if (!p)
		return;
	look = write_new(SD_W_LOOKUP, w->ns, w->name, w->uid, w->node, w->name, none);
	if (!look) {
		sd_give_back(s, p);
		return;
	}
	olist_append(&s->urgent, &look->list);
	s->n_urgent++;
}

static void lookup_answered(struct sd *s, const struct sd_write *w, int32_t status, uint32_t code,
			    struct orlop_bytes body)
{
	struct sd_pod *p = assumed(s, w);
	struct orlop_bytes v;

	if (!p)
		return;
	if (status >= 0 && code == 200 && OSCAN_FIND(body, &v, "spec", "nodeName")) {
		/* somebody bound it; the informer corrects the node should it be another */
		sd_report_scheduled(s, p, w->node);
		return;
	}
	sd_give_back(s, p);
}

/* Nobody knows whether the victim was deleted; its uid makes asking twice harmless. */
static void delete_again(struct sd *s, const struct sd_write *w)
{
	struct sd_write *again = write_new(w->kind, w->ns, w->name, w->uid, w->node, w->object, w->body);

	if (!again)
		return;
	olist_append(&s->urgent, &again->list);
	s->n_urgent++;
}

static void write_answered(struct sd *s, const struct sd_write *w, int32_t status, uint32_t code,
			   struct orlop_bytes reason, struct orlop_bytes body)
{
	struct sd_pod *p;

	switch (w->kind) {
	case SD_W_BIND:
		if (status < 0 || !code)
			bind_unknown(s, w);
		else
			bind_answered(s, w, code, reason, body);
		break;
	case SD_W_LOOKUP:
		lookup_answered(s, w, status, code, body);
		break;
	case SD_W_CONDITION:
		p = sd_pod_find(s, w->ns, w->name);
		if (p && (status < 0 || code >= 300))
			p->said = 0; /* say it again next time */
		/* fall through */
	case SD_W_DELETE:
		if (status < 0)
			delete_again(s, w);
		/* fall through */
	case SD_W_CLAIM:
	case SD_W_VOLUME:
	case SD_W_EVENT:
	case SD_W_EVENT_COUNT:
		if (status < 0 || code >= 300)
			OLOG(s->h, DEBUG, "write_refused",
			     "pod=%.*s/%.*s kind=%d status=%d code=%u reason=%.*s", (int)w->ns.len,
			     w->ns.p, (int)w->name.len, w->name.p, (int)w->kind, (int)status, code,
			     (int)reason.len, reason.p ? reason.p : "");
		break;
	}
}

static void on_reply(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct sd_batch *b = arg;
	struct sd *s = b->s;
	struct orlop_msgr r;
	uint32_t i = 0;

	(void)err;
	if (flags & ORLOP_REPLY_MORE)
		return;
	if (status >= 0 && msg) {
		orlop_msgr_init(&r, s->h, msg, msg->body);
		while (i < b->n && orlop_msgr_next(&r)) {
			struct orlop_msg one = *msg;

			if (r.tag != ORLOP_API_T_ANSWER)
				continue;
			one.body = r.bytes;
			write_answered(s, b->v[i++], 0,
				       (uint32_t)orlop_msg_u64(&one, ORLOP_API_T_CODE, 0),
				       orlop_msg_bytes(s->h, &one, ORLOP_API_T_REASON),
				       orlop_msg_bytes(s->h, &one, ORLOP_API_T_BODY));
		}
	} else {
		OLOG(s->h, WARN, "api_lost", "status=%d writes=%u, looking them up", (int)status,
		     b->n);
	}
	for (; i < b->n; i++)
		write_answered(s, b->v[i], status < 0 ? status : -EPROTO, 0,
			       (struct orlop_bytes){ NULL, 0 }, (struct orlop_bytes){ NULL, 0 });
	batch_free(b);
	if (s->stopping)
		sd_write_finish(s);
	else
		sd_kick(s);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void put(struct orlop_msgw *w, uint32_t tag, struct orlop_bytes b)
{
	orlop_msgw_bytes(w, tag, b.p, b.len);
}

static void write_put(struct orlop_msgw *m, const struct sd_write *w)
{
	static const struct {
		const char *verb;
		const char *resource;
		const char *sub;
		const char *type;
	} how[] = {
		[SD_W_BIND] = { "create", "pods", "binding", NULL },
		[SD_W_LOOKUP] = { "get", "pods", NULL, NULL },
		[SD_W_CONDITION] = { "patch", "pods", "status", OKUBE_STRATEGIC_PATCH },
		[SD_W_DELETE] = { "delete", "pods", NULL, NULL },
		[SD_W_CLAIM] = { "patch", "persistentvolumeclaims", NULL, OKUBE_MERGE_PATCH },
		[SD_W_VOLUME] = { "patch", "persistentvolumes", NULL, OKUBE_MERGE_PATCH },
		[SD_W_EVENT] = { "create", "events", NULL, NULL },
		[SD_W_EVENT_COUNT] = { "patch", "events", NULL, OKUBE_MERGE_PATCH },
	};
	uint32_t mark = orlop_msgw_begin(m, ORLOP_API_T_REQUEST);

	orlop_msgw_str(m, ORLOP_API_T_VERB, how[w->kind].verb);
	orlop_msgw_str(m, ORLOP_API_T_RESOURCE, how[w->kind].resource);
	if (w->kind != SD_W_VOLUME)
		put(m, ORLOP_API_T_NAMESPACE, w->ns);
	if (w->kind != SD_W_EVENT)
		put(m, ORLOP_API_T_NAME, w->object);
	if (how[w->kind].sub)
		orlop_msgw_str(m, ORLOP_API_T_SUBRESOURCE, how[w->kind].sub);
	if (how[w->kind].type)
		orlop_msgw_str(m, ORLOP_API_T_CONTENT_TYPE, how[w->kind].type);
	if (w->body.len)
		put(m, ORLOP_API_T_BODY, w->body);
	orlop_msgw_str(m, ORLOP_API_T_FIELD_MANAGER, "kube-scheduler");
	orlop_msgw_end(m, mark);
}

static struct sd_write *write_next(struct sd *s, bool events)
{
	struct olist *at = olist_shift(&s->urgent);

	if (at) {
		s->n_urgent--;
		return OLIST_ENTRY(at, struct sd_write, list);
	}
	at = events ? olist_shift(&s->others_wait) : NULL;
	if (!at)
		return NULL;
	s->n_others--;
	return OLIST_ENTRY(at, struct sd_write, list);
}

static void write_back(struct sd *s, struct sd_write *w)
{
	bool urgent = !is_event(w->kind);

	olist_push(urgent ? &s->urgent : &s->others_wait, &w->list);
	*(urgent ? &s->n_urgent : &s->n_others) += 1;
}

/* One batch; 0, or -errno: what it would have carried waits as before. */
static int batch_send(struct sd *s, bool events)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_BATCH, .to = "api" };
	struct sd_batch *b = omem_alloc(sizeof(*b) + BATCH_MAX * sizeof(b->v[0]));
	struct orlop_msgw m;
	struct sd_write *w;
	int r;

	if (!b)
		return -ENOMEM;
	b->s = s;
	b->n = 0;
	b->req = NULL;
	orlop_msgw_init(&m, NULL);
	while (b->n < BATCH_MAX && m.len < BATCH_BYTES && (w = write_next(s, events))) {
		if (m.len &&
		    m.len + w->body.len + w->ns.len + w->object.len + 256 > ORLOP_MSG_MAX) {
			write_back(s, w);
			break;
		}
		write_put(&m, w);
		b->v[b->n++] = w;
	}
	olist_append(&s->batches, &b->list);
	s->n_batches++;
	r = m.err;
	if (!r) {
		send.msg = orlop_msgw_msg(&m);
		r = s->h->request(s->h, &send, on_reply, b, &b->req);
	}
	orlop_msgw_done(&m);
	if (r) {
		while (b->n)
			write_back(s, b->v[--b->n]);
		batch_free(b);
	}
	return r;
}

void sd_write_flush(struct sd *s)
{
	bool events = !s->queue.active.n || s->stopping || s->n_others > EVENTS_MAX / 2;

	while (s->n_batches < BATCHES_MAX && (s->n_urgent || (events && s->n_others)))
		if (batch_send(s, events))
			break;
}

void sd_write_finish(struct sd *s)
{
	sd_write_flush(s);
	if (s->n_batches || !s->lead)
		return;
	s->h->lead_drop(s->lead);
	s->lead = NULL;
}
