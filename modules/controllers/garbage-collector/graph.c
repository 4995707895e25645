/* graph.c - who owns whom, by the cache's indexes. */
#include "gc.h"

#include <errno.h>
#include <string.h>

#include "base/obuf.h"
#include "json/oscan.h"
#include "walk/owalk.h"

static bool is(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && !memcmp(b.p, cstr, b.len);
}

struct watched *gc_watched(const struct gc *gc, struct orlop_bytes resource)
{
	OLIST_FOREACH(pos, &gc->watched) {
		struct watched *w = OLIST_ENTRY(pos, struct watched, node);

		if (is(resource, w->name))
			return w;
	}
	return NULL;
}

struct watched *gc_watched_of(const struct gc *gc, const struct ojson *ref)
{
	struct orlop_bytes version = ojson_get_bytes(ref, "apiVersion");
	const char *kind = ojson_get_cstr(ref, "kind", "");
	const char *slash = version.p ? memchr(version.p, '/', version.len) : NULL;
	struct orlop_bytes group = { version.p, slash ? (size_t)(slash - version.p) : 0 };

	OLIST_FOREACH(pos, &gc->watched) {
		struct watched *w = OLIST_ENTRY(pos, struct watched, node);

		if (is(group, w->group) && !strcmp(kind, w->kind) && gc->c.h->resource_info(w->res))
			return w;
	}
	return NULL;
}

void gc_queue(struct watched *w, const struct orlop_object *o)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "%s|", w->name);
	obuf_append(&b, o->ns.p ? o->ns.p : "", o->ns.len);
	if (obuf_err(&b))
		octl_missed(&w->gc->c);
	else
		octl_add(&w->gc->c, (struct orlop_bytes){ b.data, b.len }, o->name);
	obuf_done(&b);
}

int gc_dependents(struct gc *gc, bool namespaced, struct orlop_bytes ns, struct orlop_bytes uid,
		       gc_dependent_fn fn, void *arg)
{
	struct orlop_query q = { .size = sizeof(q), .has_index = 1, .index = ORLOP_INDEX_OWNER,
				 .index_value = uid, .has_ns = namespaced, .ns = ns };
	int n = 0;

	OLIST_FOREACH(pos, &gc->watched) {
		struct watched *w = OLIST_ENTRY(pos, struct watched, node);
		struct orlop_object *o;
		struct owalk walk;

		if (!w->has_owned || (namespaced && !w->namespaced))
			continue;
		if (owalk_open(&walk, gc->c.h, w->res, &q))
			return -ENOMEM;
		for (; (o = owalk_next(&walk)); n++)
			fn(arg, w, o);
		owalk_close(&walk);
	}
	return n;
}

bool gc_has_finalizer(const struct ojson *obj, const char *name)
{
	OJSON_FOREACH_ELEM(i, f, OJSON_AT(obj, "metadata", "finalizers")) {
		if (ojson_string_is(f, name))
			return true;
	}
	return false;
}

bool gc_is_ending(const struct orlop_object *o)
{
	struct orlop_bytes meta;
	struct orlop_bytes v;
	struct oscan_iter it;

	if (!OSCAN_FIND_MEMBERS(o->json, &meta, "metadata") || !oscan_get(meta, "deletionTimestamp", &v) ||
	    !oscan_get(meta, "finalizers", &v))
		return false;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;)
		if (oscan_string_is_cstr(it.value, FOREGROUND) || oscan_string_is_cstr(it.value, ORPHAN))
			return true;
	return false;
}
