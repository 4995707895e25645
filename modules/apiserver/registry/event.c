/*
 * event.c - the bytes of watch events: from the cached object's own, or made once a shard and shared.
 */
#include "convert.h"
#include "watch.h"
#include "proto.h"
#include "render.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define EVCACHE_N	64u

/* Bytes shared by the events of one shard. */
struct reg_bytes {
	uint32_t	refs;
	size_t		len;
	char		p[];
};

/* The last events that had to be made, direct-mapped. */
struct reg_evcache {
	struct {
		const struct reg_kind *k;
		uint64_t	rev;
		uint32_t	type;
		uint32_t	form;
		const void	*obj;
		struct reg_bytes *bytes;
	}		slot[EVCACHE_N];
};

static const char *const type_names[] = { "", "ADDED", "MODIFIED", "DELETED" };

/* ---- shared bytes ---- */

static struct reg_bytes *bytes_new(struct obuf *b)
{
	struct reg_bytes *s = obuf_err(b) ? NULL : omem_alloc(sizeof(*s) + b->len);

	if (s) {
		s->refs = 1;
		s->len = b->len;
		memcpy(s->p, b->data, b->len);
	}
	return s;
}

/* A line of JSON in the form that @w wants. */
static struct reg_bytes *line_bytes(const struct reg_watch *w, struct obuf *b)
{
	struct obuf frame = OBUF_INIT;
	struct reg_bytes *s;

	if (!w->proto)
		return bytes_new(b);
	s = obuf_err(b) || reg_proto_event(w->sh->rg->schema, (struct orlop_bytes){ b->data, b->len }, &frame) ? NULL :
	    bytes_new(&frame);
	obuf_done(&frame);
	return s;
}

static void bytes_unref(struct reg_bytes *s)
{
	if (s && --s->refs == 0)
		omem_free(s);
}

void reg_evcache_free(struct reg_evcache *c)
{
	for (uint32_t i = 0; c && i < EVCACHE_N; i++)
		bytes_unref(c->slot[i].bytes);
	omem_free(c);
}

static int event_shared(struct reg_event *ev, struct reg_bytes *take_b)
{
	if (!take_b)
		return -ENOMEM;
	ev->shared = take_b;
	ev->pieces[0] = (struct orlop_bytes){ take_b->p, take_b->len };
	ev->n_pieces = 1;
	ev->len = take_b->len;
	return 1;
}

void reg_event_done(struct reg_watch *w, struct reg_event *ev)
{
	if (ev->obj)
		w->sh->h->object_unref(ev->obj);
	bytes_unref(ev->shared);
	memset(ev, 0, sizeof(*ev));
}

/* ---- events ---- */

static void add_piece(struct reg_event *ev, const char *p, size_t len)
{
	ev->pieces[ev->n_pieces++] = (struct orlop_bytes){ p, len };
	ev->len += len;
}

/* {"type":"ADDED","object":{…}} from the object's bytes; takes a reference of it. */
static int event_plain(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev)
{
	static const char *const heads[] = {
		"", "{\"type\":\"ADDED\",\"object\":", "{\"type\":\"MODIFIED\",\"object\":",
		"{\"type\":\"DELETED\",\"object\":",
	};

	ev->obj = w->sh->h->object_ref(o);
	add_piece(ev, heads[type], strlen(heads[type]));
	add_piece(ev, w->k->prefix.p, w->k->prefix.len);
	add_piece(ev, o->json.p, o->json.len);
	add_piece(ev, "}}\n", 3);
	return 1;
}

/* Another form, or bytes that no object has (@json): made, and kept for the next watcher. */
int reg_event_json(struct reg_watch *w, uint32_t type, const void *obj, struct orlop_bytes json, uint64_t rev,
		   struct reg_event *ev)
{
	struct reg_shard *sh = w->sh;
	uint32_t form = (uint32_t)w->form * 4 + (uint32_t)w->include + w->proto * 64u;
	bool columns = w->form == REG_FORM_TABLE && !w->columns_sent;
	uint32_t at = (uint32_t)(rev * 31 + type * 7 + form + w->k->id) % EVCACHE_N;
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;
	int r;

	w->columns_sent = true;
	if (!sh->evcache)
		sh->evcache = OMEM_NEW(struct reg_evcache);
	if (sh->evcache && !columns && sh->evcache->slot[at].bytes && sh->evcache->slot[at].k == w->k &&
	    sh->evcache->slot[at].rev == rev && sh->evcache->slot[at].type == type &&
	    sh->evcache->slot[at].form == form && sh->evcache->slot[at].obj == obj) {
		sh->evcache->slot[at].bytes->refs++;
		return event_shared(ev, sh->evcache->slot[at].bytes);
	}
	obuf_printf(&b, "{\"type\":\"%s\",\"object\":", type_names[type]);
	r = render_one(sh, w->k, w->form, w->include, json, rev, columns, &b);
	obuf_puts(&b, "}\n");
	s = r ? NULL : line_bytes(w, &b);
	obuf_done(&b);
	if (s && sh->evcache && !columns) {
		bytes_unref(sh->evcache->slot[at].bytes);
		s->refs++;
		sh->evcache->slot[at].k = w->k;
		sh->evcache->slot[at].rev = rev;
		sh->evcache->slot[at].type = type;
		sh->evcache->slot[at].form = form;
		sh->evcache->slot[at].obj = obj;
		sh->evcache->slot[at].bytes = s;
	}
	return event_shared(ev, s);
}

int reg_event_object(struct reg_watch *w, uint32_t type, struct orlop_object *o, struct reg_event *ev)
{
	if (convert_hooked(w->k) && (w->queue || !convert_plain(w->k, convert_version(o))))
		return reg_queue_put(w, type, o, o->json, convert_version(o), o->rev);
	if (render_plain(w->k, w->form) && !w->proto)
		return event_plain(w, type, o, ev);
	return reg_event_json(w, type, o, o->json, o->rev, ev);
}

int reg_event_left_json(struct orlop_bytes json, uint64_t was_rev, uint64_t rev, struct obuf *b)
{
	char was[48], is[48];
	int n = snprintf(was, sizeof(was), "\"resourceVersion\":\"%llu\"", (unsigned long long)was_rev);
	const char *at = memmem(json.p, json.len, was, (size_t)n);

	if (!at)
		return -ENOENT;
	snprintf(is, sizeof(is), "\"resourceVersion\":\"%llu\"", (unsigned long long)rev);
	obuf_append(b, json.p, (size_t)(at - json.p));
	obuf_puts(b, is);
	obuf_append(b, at + n, (size_t)(json.p + json.len - at - n));
	return obuf_err(b);
}

int reg_event_left(struct reg_watch *w, const struct orlop_change *c, struct reg_event *ev)
{
	struct obuf b = OBUF_INIT;
	int r = reg_event_left_json(c->prev->json, c->prev->rev, c->rev, &b);

	if (r == -ENOENT)
		return reg_event_object(w, ORLOP_CHANGE_DELETED, c->prev, ev);
	if (r == 0 && convert_hooked(w->k))
		r = reg_queue_put(w, ORLOP_CHANGE_DELETED, c->prev, (struct orlop_bytes){ b.data, b.len },
				  convert_version(c->prev), c->rev);
	else if (r == 0)
		r = reg_event_json(w, ORLOP_CHANGE_DELETED, c->prev, (struct orlop_bytes){ b.data, b.len },
			       c->rev, ev);
	obuf_done(&b);
	return r;
}

int reg_event_bookmark(struct reg_watch *w, uint64_t rev, bool initial_end, struct reg_event *ev)
{
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;

	obuf_puts(&b, "{\"type\":\"BOOKMARK\",\"object\":");
	if (w->form == REG_FORM_TABLE)
		obuf_puts(&b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
	else if (w->form == REG_FORM_META)
		obuf_puts(&b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",");
	else
		obuf_append(&b, w->k->prefix.p, w->k->prefix.len);
	obuf_printf(&b, "\"metadata\":{\"resourceVersion\":\"%llu\"", (unsigned long long)rev);
	if (initial_end)
		obuf_puts(&b, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
	obuf_puts(&b, w->form == REG_FORM_TABLE ? "},\"columnDefinitions\":[],\"rows\":[]}}\n" : "}}}\n");
	s = line_bytes(w, &b);
	obuf_done(&b);
	w->told = rev;
	return event_shared(ev, s);
}

int reg_event_expired(struct reg_watch *w, struct reg_event *ev)
{
	struct orlop_resource *res = reg_open(w->sh, w->k);
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;

	obuf_printf(&b, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"too old resource version: %llu (%llu)\",\"reason\":\"Expired\",\"code\":410}}\n",
		    (unsigned long long)w->cursor, (unsigned long long)w->sh->h->journal_oldest(res));
	s = line_bytes(w, &b);
	obuf_done(&b);
	return event_shared(ev, s);
}

int reg_event_error(struct reg_watch *w, const char *why, struct reg_event *ev)
{
	struct obuf b = OBUF_INIT;
	struct reg_bytes *s;

	w->ended = true;
	obuf_puts(&b, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
	obuf_put_json_cstr(&b, why);
	obuf_puts(&b, ",\"reason\":\"InternalError\",\"code\":500}}\n");
	s = bytes_new(&b);
	obuf_done(&b);
	return event_shared(ev, s);
}
