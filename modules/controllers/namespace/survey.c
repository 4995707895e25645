/* survey.c - what is left in a namespace. See survey.h. */
#include "survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "json/oscan.h"
#include "walk/owalk.h"

void content_init(struct content *c, const struct orlop_host *h)
{
	c->h = h;
	omap_init(&c->open);
}

void content_done(struct content *c)
{
	OMAP_FOREACH(&c->open, e)
		c->h->resource_close(e->value);
	omap_done(&c->open);
}

static void open_one(void *arg, const struct orlop_resource_info *info)
{
	struct content *c = arg;
	struct orlop_resource *r;

	if (!info->namespaced || omap_get_cstr(&c->open, info->name) ||
	    c->h->resource_open(c->h, info->name, &r, NULL))
		return;
	if (omap_put_cstr(&c->open, info->name, r))
		c->h->resource_close(r);
}

bool content_synced(struct content *c)
{
	c->h->resource_list(c->h, open_one, c);
	OMAP_FOREACH(&c->open, e) {
		int32_t synced = 0;

		(void)c->h->resource_rev(e->value, &synced);
		if (!synced && c->h->resource_info(e->value))
			return false;
	}
	return omap_count(&c->open) > 0;
}

static int finalizer_count(struct survey *s, struct orlop_bytes quoted)
{
	uintptr_t n;

	if (quoted.len < 2)
		return 0;
	n = (uintptr_t)omap_get(&s->finalizers, quoted.p + 1, quoted.len - 2) + 1;
	return omap_put(&s->finalizers, quoted.p + 1, quoted.len - 2, (void *)n, NULL);
}

static int object_count(struct survey *s, struct leftover *l, const struct orlop_object *o)
{
	struct orlop_bytes meta = { NULL, 0 };
	struct orlop_bytes v;
	struct oscan_iter it;

	(void)OSCAN_FIND_MEMBERS(o->json, &meta, "metadata");
	l->n++;
	s->total++;
	if (!oscan_get(meta, "deletionTimestamp", &v))
		l->alive++;
	if (!oscan_get(meta, "finalizers", &v))
		return 0;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;)
		if (finalizer_count(s, it.value))
			return -ENOMEM;
	return 0;
}

static int resource_count(struct content *c, struct survey *s, const char *name, struct orlop_resource *r,
			  struct orlop_bytes ns)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	struct leftover *l = &s->v[s->n];
	struct orlop_object *o;
	struct owalk w;
	int e = owalk_open(&w, c->h, r, &q);

	if (e)
		return e;
	l->resource = name;
	while (!e && (o = owalk_next(&w)))
		e = object_count(s, l, o);
	owalk_close(&w);
	if (l->n) {
		s->pods |= !strcmp(name, "pods");
		s->n++;
	}
	return e;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct leftover *)a)->resource, ((const struct leftover *)b)->resource);
}

int survey_make(struct content *c, struct orlop_bytes ns, struct survey *ret)
{
	int e = 0;

	memset(ret, 0, sizeof(*ret));
	omap_init(&ret->finalizers);
	c->h->resource_list(c->h, open_one, c);
	ret->v = omem_zalloc_array(omap_count(&c->open) + 1u, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	OMAP_FOREACH(&c->open, at) {
		if (!e && c->h->resource_info(at->value))	/* retired ones hold nothing */
			e = resource_count(c, ret, at->key, at->value, ns);
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return e;
}

void survey_done(struct survey *s)
{
	omem_free(s->v);
	omap_done(&s->finalizers);
}
