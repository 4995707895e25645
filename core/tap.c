/*
 * tap.c - rings of messages between the switch's thread and who looks at them.
 */
#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/call.h>

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "bus/wire.h"

#define RING		2048u
#define TAP_NAME	64u
#define BODY_MAX	512u
#define DEPTH_MAX	6

struct record {
	struct core_bus_head h;
	char		src[TAP_NAME];
	char		dst[TAP_NAME];
	char		resource[TAP_NAME];	/* of a note of the cache, instead of h.name */
	uint64_t	rev;
	uint32_t	body_len;	/* of what follows */
	char		body[];		/* BODY_MAX if bodies are shown */
};

struct core_taps {
	pthread_mutex_t	lock;		/* guards the list and what is in the rings; the switch only tries it */
	struct olist	list;
	uint32_t	n;
	_Atomic uint64_t missed;	/* by all, while the lock was taken */
};

struct core_tap {
	struct olist	node;
	struct core	*core;
	struct core_tap_spec spec;
	orlop_cb	wake;
	void		*arg;
	struct core_post post;
	bool		closed;
	bool		told;		/* woken, and has not found the ring empty since */
	uint64_t	missed;
	uint64_t	missed_all;	/* of core_taps.missed when last told */
	uint32_t	first;
	uint32_t	n;
	size_t		stride;
	char		*ring;
};

/* ---- filling: the switch's thread ---------------------------------------------------------------- */

static bool link_is(const char *link, const char *want)
{
	size_t n = strlen(want);

	return strncmp(link, want, n) == 0 && (link[n] == '\0' || link[n] == '#');
}

static bool wanted(const struct core_tap *t, const struct core_bus_head *h, const char *src,
		   const char *dst)
{
	const struct core_tap_spec *s = &t->spec;

	if (s->trace && s->trace != h->trace)
		return false;
	if (s->op >= 0 && (uint64_t)s->op != h->op)
		return false;
	if (s->link[0] && !link_is(src, s->link) && !link_is(dst, s->link))
		return false;
	return !s->address[0] || strcmp(core_bus_name(t->core->bus, h->name), s->address) == 0;
}

static void name_copy(char *to, const char *from)
{
	size_t n = strnlen(from, TAP_NAME - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

static void tap_wake(void *arg)
{
	struct core_tap *t = arg;

	if (!t->closed) {
		t->wake(t->arg);
		return;
	}
	omem_free(t->ring);
	omem_free(t);
}

static struct record *tap_add(struct core_tap *t, const struct core_bus_head *h, const char *src,
			      const char *dst, struct orlop_bytes body)
{
	struct record *r;

	if (t->n == RING) {
		t->missed++;
		return NULL;
	}
	r = (struct record *)(void *)(t->ring + (t->first + t->n++) % RING * t->stride);
	r->h = *h;
	name_copy(r->src, src);
	name_copy(r->dst, dst);
	r->resource[0] = '\0';
	r->body_len = 0;
	if (t->spec.bodies && body.p) {
		r->body_len = body.len < BODY_MAX ? (uint32_t)body.len : BODY_MAX;
		memcpy(r->body, body.p, r->body_len);
	}
	if (!t->told) {
		t->told = true;
		(void)core_loop_post_node(t->core->main, &t->post, tap_wake, t);
	}
	return r;
}

static void tapped(void *arg, const struct core_bus_head *h, const char *src, const char *dst,
		   struct orlop_bytes body)
{
	struct core_taps *taps = arg;

	/* Whoever reads a ring has the lock for some microseconds: the bus does not wait for that. */
	if (pthread_mutex_trylock(&taps->lock)) {
		atomic_fetch_add_explicit(&taps->missed, 1, memory_order_relaxed);
		return;
	}
	OLIST_FOREACH(n, &taps->list) {
		struct core_tap *t = OLIST_ENTRY(n, struct core_tap, node);

		if (wanted(t, h, src, dst))
			(void)tap_add(t, h, src, dst, body);
	}
	pthread_mutex_unlock(&taps->lock);
}

static bool note_wanted(const struct core_tap *t, const char *inst, const char *resource)
{
	const struct core_tap_spec *s = &t->spec;

	return s->link[0] && link_is(inst, s->link) && !s->trace && s->op < 0 &&
	       (!s->address[0] || strcmp(resource, s->address) == 0);
}

/* The bus is not concerned: this one may wait for who reads. */
static void note_put(struct core_taps *taps, const char *inst, const char *resource, uint64_t rev)
{
	const struct core_bus_head h = { .kind = CORE_W_NOTE, .at_ns = core_now_mono() };
	const struct orlop_bytes none = { NULL, 0 };

	pthread_mutex_lock(&taps->lock);
	OLIST_FOREACH(n, &taps->list) {
		struct core_tap *t = OLIST_ENTRY(n, struct core_tap, node);
		struct record *r = note_wanted(t, inst, resource) ? tap_add(t, &h, "cache", inst, none) : NULL;

		if (!r)
			continue;
		name_copy(r->resource, resource);
		r->rev = rev;
	}
	pthread_mutex_unlock(&taps->lock);
}

void core_tap_note(struct core *c, const char *inst, const char *resource, uint64_t rev)
{
	if (!atomic_load_explicit(&c->tapped, memory_order_relaxed))
		return;
	pthread_mutex_lock(&c->lock);
	if (c->taps)
		note_put(c->taps, inst, resource, rev);
	pthread_mutex_unlock(&c->lock);
}

/* ---- reading: the main loop ------------------------------------------------------------------------ */

static void put_bytes(struct obuf *b, const char *p, size_t len, bool cut)
{
	obuf_putc(b, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)p[i];

		if (ch == '"' || ch == '\\')
			obuf_printf(b, "\\%c", ch);
		else if (ch < 0x20 || ch >= 0x7f)
			obuf_printf(b, "\\x%02x", ch);
		else
			obuf_putc(b, (char)ch);
	}
	obuf_puts(b, cut ? "\"..." : "\"");
}

/* The fields of a message as text, as far as there are bytes of it. */
static void put_fields(struct obuf *b, const char *p, size_t len, int depth)
{
	const char *sep = "";

	while (len >= 8) {
		uint32_t head[2];
		uint32_t type;
		size_t have;
		uint64_t v;

		memcpy(head, p, 8);
		p += 8;
		len -= 8;
		type = head[0] >> 16;
		have = head[1] < len ? head[1] : len;
		obuf_printf(b, "%s%u=", sep, head[0] & 0xffff);
		sep = " ";
		if ((type == ORLOP_T_U64 || type == ORLOP_T_BLOB) && have == 8) {
			memcpy(&v, p, 8);
			obuf_printf(b, type == ORLOP_T_BLOB ? "blob:%llu" : "%llu", (unsigned long long)v);
		} else if (type == ORLOP_T_MSG && depth < DEPTH_MAX) {
			obuf_putc(b, '{');
			put_fields(b, p, have, depth + 1);
			obuf_puts(b, have < head[1] ? "..." : "}");
		} else {
			put_bytes(b, p, have, have < head[1]);
		}
		have = (have + 7) & ~(size_t)7;
		if (have > len)
			return;
		p += have;
		len -= have;
	}
}

static void put_record(struct obuf *out, struct core *c, const struct record *r)
{
	uint64_t wall = core_now_wall() - (core_now_mono() - r->h.at_ns);

	obuf_printf(out, "{\"at\":%llu,\"kind\":\"%s\",\"from\":", (unsigned long long)wall,
		    core_bus_kind_name(r->h.kind));
	obuf_put_json_cstr(out, r->src);
	obuf_puts(out, ",\"to\":");
	obuf_put_json_cstr(out, r->dst);
	obuf_puts(out, ",\"address\":");
	if (r->resource[0]) {
		obuf_put_json_cstr(out, r->resource);
		obuf_printf(out, ",\"revision\":%llu}\n", (unsigned long long)r->rev);
		return;
	}
	obuf_put_json_cstr(out, core_bus_name(c->bus, r->h.name));
	obuf_printf(out, ",\"op\":%u,\"status\":%d,\"bytes\":%u,\"latencyNs\":%llu,\"trace\":\"%016llx\","
		    "\"corr\":%llu", r->h.op, r->h.status, r->h.len_bytes,
		    (unsigned long long)r->h.latency_ns, (unsigned long long)r->h.trace,
		    (unsigned long long)r->h.corr);
	if (r->body_len) {
		struct obuf text = OBUF_INIT;

		put_fields(&text, r->body, r->body_len, 0);
		obuf_puts(out, ",\"body\":");
		obuf_put_json_string(out, obuf_cstr(&text), text.len);
		obuf_done(&text);
	}
	obuf_puts(out, "}\n");
}

uint32_t core_tap_read(struct core_tap *t, uint32_t max, struct obuf *out)
{
	struct core_taps *taps = t->core->taps;
	uint64_t all = atomic_load_explicit(&taps->missed, memory_order_relaxed);
	uint64_t missed = all - t->missed_all;
	char *copy = omem_alloc(max * t->stride);
	uint32_t n = 0;

	if (!copy)
		return 0;
	/* Copied out under the lock, written down after it: the switch finds it taken only for a moment. */
	pthread_mutex_lock(&taps->lock);
	for (; n < max && t->n > 0; n++) {
		memcpy(copy + n * t->stride, t->ring + t->first * t->stride, t->stride);
		t->first = (t->first + 1) % RING;
		t->n--;
	}
	missed += t->missed;
	t->missed = 0;
	t->missed_all = all;
	if (t->n == 0)
		t->told = false;
	pthread_mutex_unlock(&taps->lock);
	for (uint32_t i = 0; i < n; i++)
		put_record(out, t->core, (struct record *)(void *)(copy + i * t->stride));
	omem_free(copy);
	if (missed)
		obuf_printf(out, "{\"missed\":%llu}\n", (unsigned long long)missed);
	return n + (missed > 0);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static int taps_get(struct core *c)
{
	struct core_taps *taps = c->taps ? c->taps : OMEM_NEW(struct core_taps);

	if (!taps)
		return -ENOMEM;
	if (!c->taps) {
		(void)pthread_mutex_init(&taps->lock, NULL);
		olist_init(&taps->list);
		pthread_mutex_lock(&c->lock);
		c->taps = taps;
		atomic_store_explicit(&c->tapped, true, memory_order_relaxed);
		pthread_mutex_unlock(&c->lock);
	}
	return taps->n >= CORE_TAPS_MAX ? -EBUSY : 0;
}

int core_tap_open(struct core *c, const struct core_tap_spec *spec, orlop_cb wake, void *arg,
		  struct core_tap **ret)
{
	struct core_tap *t;
	int r = taps_get(c);

	if (r)
		return r;
	t = OMEM_NEW(struct core_tap);
	if (!t)
		return -ENOMEM;
	t->stride = sizeof(struct record) + (spec->bodies ? BODY_MAX : 0);
	t->stride = (t->stride + 15) & ~(size_t)15;
	t->ring = omem_alloc_array(RING, t->stride);
	if (!t->ring) {
		omem_free(t);
		return -ENOMEM;
	}
	t->core = c;
	t->spec = *spec;
	t->wake = wake;
	t->arg = arg;
	t->missed_all = atomic_load(&c->taps->missed);
	pthread_mutex_lock(&c->taps->lock);
	olist_append(&c->taps->list, &t->node);
	pthread_mutex_unlock(&c->taps->lock);
	if (c->taps->n++ == 0)
		core_bus_tap(c->bus, tapped, c->taps);
	*ret = t;
	return 0;
}

void core_tap_close(struct core_tap *t)
{
	struct core_taps *taps;

	if (!t)
		return;
	taps = t->core->taps;
	pthread_mutex_lock(&taps->lock);
	olist_del(&t->node);
	pthread_mutex_unlock(&taps->lock);
	t->closed = true;
	if (--taps->n == 0) {
		core_bus_tap(t->core->bus, NULL, NULL);
		pthread_mutex_lock(&t->core->lock);
		t->core->taps = NULL;
		atomic_store_explicit(&t->core->tapped, false, memory_order_relaxed);
		pthread_mutex_unlock(&t->core->lock);
		pthread_mutex_destroy(&taps->lock);
		omem_free(taps);
	}
	/* A wake may be on its way with a pointer to it: the last one frees. */
	if (core_loop_post_node(t->core->main, &t->post, tap_wake, t))
		tap_wake(t);
}
