/*
 * asks.c - asks= taken apart, and requests held against it; see asks.h.
 *
 * A request is read here as lib/apimsg reads it for whoever answers, but for one thing: a field that
 * stands in it twice, or outside of it in a blob, is refused. Nobody writes it so, and whoever did could
 * show us another request than the one that is served.
 */
#include "asks.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/error.h>

#include "base/omem.h"

struct ask {
	struct orlop_bytes what;	/* "deployments.apps/status" */
	struct orlop_bytes verb;
	_Atomic uint64_t n;
};

struct core_asks {
	uint32_t	n;
	char		*text;
	struct ask	a[];
};

/* ---- what it says ----------------------------------------------------------------------------------------- */

static bool word_ok(struct orlop_bytes w, const char *more)
{
	for (size_t i = 0; i < w.len; i++)
		if (!(w.p[i] >= 'a' && w.p[i] <= 'z') && !(w.p[i] >= '0' && w.p[i] <= '9') &&
		    (!w.p[i] || !strchr(more, w.p[i])))
			return false;
	return w.len > 0;
}

/* "pods", "pods/status", "leases.coordination.k8s.io", "*", "*" "/scale" */
static bool what_ok(struct orlop_bytes w)
{
	const char *slash = memchr(w.p, '/', w.len);
	struct orlop_bytes res = { w.p, slash ? (size_t)(slash - w.p) : w.len };
	struct orlop_bytes sub = { w.p + res.len + 1, slash ? w.len - res.len - 1 : 0 };

	return (word_ok(res, ".-") || (res.len == 1 && res.p[0] == '*')) && (!slash || word_ok(sub, "-"));
}

int core_asks_parse(char *const *list, struct core_asks **ret, struct orlop_error *err)
{
	struct core_asks *a;
	size_t len = 0;
	size_t n = 0;
	char *at;

	for (char *const *p = list; *p; p++) {
		len += strlen(*p) + 1;
		for (const char *c = *p; *c; c++)
			n += *c == ';';
	}
	a = omem_zalloc(sizeof(*a) + n * sizeof(a->a[0]));
	if (a)
		a->text = omem_alloc(len + 1);
	if (!a || !a->text) {
		core_asks_free(a);
		return orlop_fail(err, ENOMEM, 0, "", "asks=: out of memory");
	}
	at = a->text;
	for (char *const *p = list; *p; p++) {
		size_t size = strlen(*p) + 1;
		char *verb = strchr(memcpy(at, *p, size), ';');
		struct orlop_bytes what = { at, verb ? (size_t)(verb - at) : size - 1 };
		bool good = verb && what_ok(what);

		while (good && verb) {
			struct ask *k = &a->a[a->n++];
			char *end = strchr(++verb, ';');

			k->what = what;
			k->verb = (struct orlop_bytes){ verb, end ? (size_t)(end - verb) : strlen(verb) };
			good = word_ok(k->verb, "");
			verb = end;
		}
		if (!good) {
			core_asks_free(a);
			return orlop_fail(err, EINVAL, 0, "", "asks=%.100s: not RESOURCE[/SUBRESOURCE];VERB[;VERB…]", *p);
		}
		at += size;
	}
	*ret = a;
	return 0;
}

void core_asks_free(struct core_asks *a)
{
	if (!a)
		return;
	omem_free(a->text);
	omem_free(a);
}

void core_asks_put(const struct core_asks *a, struct obuf *b)
{
	obuf_putc(b, '{');
	for (uint32_t i = 0; a && i < a->n; i++) {
		const struct ask *k = &a->a[i];

		obuf_printf(b, "%s\"%.*s;%.*s\":%llu", i ? "," : "", (int)k->what.len, k->what.p, (int)k->verb.len,
			    k->verb.p, (unsigned long long)atomic_load_explicit(&k->n, memory_order_relaxed));
	}
	obuf_putc(b, '}');
}

/* ---- what is asked ---------------------------------------------------------------------------------------- */

struct field {
	uint32_t	tag;
	uint32_t	type;
	struct orlop_bytes v;
};

/* The next field at @p; blobs are not looked into. */
static bool field_next(const char **p, const char *end, struct field *ret)
{
	uint32_t h[2];
	size_t pad;

	if (!*p || (size_t)(end - *p) < 8)
		return false;
	memcpy(h, *p, 8);
	pad = ((size_t)h[1] + 7) & ~(size_t)7;
	if ((size_t)(end - *p) - 8 < pad)
		return false;
	*ret = (struct field){ h[0] & 0xffff, h[0] >> 16, { *p + 8, h[1] } };
	*p += 8 + pad;
	return true;
}

static bool same(struct orlop_bytes a, struct orlop_bytes b)
{
	return a.len == b.len && (!a.len || memcmp(a.p, b.p, a.len) == 0);
}

/* Is @what "RESOURCE" or "RESOURCE/SUB", RESOURCE perhaps "*"? */
static bool is_what(struct orlop_bytes what, struct orlop_bytes resource, struct orlop_bytes sub)
{
	const char *slash = memchr(what.p, '/', what.len);
	struct orlop_bytes r = { what.p, slash ? (size_t)(slash - what.p) : what.len };
	struct orlop_bytes s = { what.p + r.len + 1, slash ? what.len - r.len - 1 : 0 };

	return same(s, sub) && (same(r, resource) || (r.len == 1 && r.p[0] == '*'));
}

static int may_one(struct core_asks *a, const char *module, struct orlop_bytes body, struct orlop_error *err)
{
	struct orlop_bytes verb = { NULL, 0 };
	struct orlop_bytes resource = { NULL, 0 };
	struct orlop_bytes sub = { NULL, 0 };
	const char *p = body.p;
	const char *end = body.p + body.len;
	struct field f;

	while (body.p && field_next(&p, end, &f)) {
		struct orlop_bytes *to = f.tag == ORLOP_API_T_VERB ? &verb : f.tag == ORLOP_API_T_RESOURCE ? &resource :
			f.tag == ORLOP_API_T_SUBRESOURCE ? &sub : NULL;

		if (!to)
			continue;
		if (to->p || f.type != ORLOP_T_BYTES)
			return orlop_fail(err, EACCES, 403, "Forbidden", "module %s: a request that names verb or "
					  "resource twice, or in a blob", module);
		*to = f.v;
	}
	for (uint32_t i = 0; i < a->n; i++)
		if (same(a->a[i].verb, verb) && is_what(a->a[i].what, resource, sub)) {
			atomic_fetch_add_explicit(&a->a[i].n, 1, memory_order_relaxed);
			return 0;
		}
	return orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not %.*s %.*s%s%.*s: its modinfo does not say "
			  "asks=%.*s%s%.*s;%.*s", module, (int)verb.len, verb.p, (int)resource.len, resource.p,
			  sub.len ? "/" : "", (int)sub.len, sub.p, (int)resource.len, resource.p, sub.len ? "/" : "",
			  (int)sub.len, sub.p, (int)verb.len, verb.p);
}

int core_asks_may(struct core_asks *a, const char *module, uint32_t op, const struct orlop_msg *msg,
		  struct orlop_error *err)
{
	const char *p = msg->body.p;
	const char *end = p ? p + msg->body.len : NULL;
	struct field f;
	int r = 0;

	if (op == ORLOP_API_REQUEST)
		return may_one(a, module, msg->body, err);
	if (op != ORLOP_API_BATCH)
		return 0;
	while (r == 0 && field_next(&p, end, &f))
		if (f.tag == ORLOP_API_T_REQUEST && f.type == ORLOP_T_MSG)
			r = may_one(a, module, f.v, err);
	return r;
}
