/*
 * correlate.c - see correlate.h. What is remembered is hashes: two that meet cost an Event its own line, no more.
 * Source: client-go's tools/record/events_cache.go, behaviour only.
 */
#include "kube/correlate.h"

#include <string.h>

#include "base/ohash.h"
#include "base/omem.h"
#include "base/otime.h"

#define SIMILAR		10u			/* different messages */
#define SIMILAR_FOR	(10 * OTIME_MINUTE)
#define BURST		25
#define ONE_MORE	(5 * OTIME_MINUTE)
#define REMEMBERED	256u

struct group {
	struct olist	node;
	uint64_t	key;
	int64_t		last;
	uint32_t	n;
	uint64_t	messages[SIMILAR];
};

struct object {
	struct olist	node;
	uint64_t	key;
	int64_t		left;		/* in parts of ONE_MORE */
	int64_t		last;
};

void ocorrelate_init(struct ocorrelate *c)
{
	olist_init(&c->groups);
	olist_init(&c->objects);
	c->n_groups = c->n_objects = 0;
}

void ocorrelate_done(struct ocorrelate *c)
{
	while (!olist_empty(&c->groups))
		omem_free(OLIST_ENTRY(olist_shift(&c->groups), struct group, node));
	while (!olist_empty(&c->objects))
		omem_free(OLIST_ENTRY(olist_shift(&c->objects), struct object, node));
	c->n_groups = c->n_objects = 0;
}

static uint64_t hash(uint64_t h, const char *cstr)
{
	return ohash_fnv1a64(h, cstr, strlen(cstr) + 1);
}

static struct group *group_of(struct ocorrelate *c, uint64_t key)
{
	struct group *g;

	OLIST_FOREACH(l, &c->groups) {
		g = OLIST_ENTRY(l, struct group, node);
		if (g->key == key) {
			olist_del(&g->node);
			olist_push(&c->groups, &g->node);
			return g;
		}
	}
	if (c->n_groups == REMEMBERED) {
		g = OLIST_ENTRY(olist_last(&c->groups), struct group, node);
		olist_del(&g->node);
		memset(g, 0, sizeof(*g));
	} else {
		g = OMEM_NEW(struct group);
		if (!g)
			return NULL;
		c->n_groups++;
	}
	g->key = key;
	olist_push(&c->groups, &g->node);
	return g;
}

bool ocorrelate_combined(struct ocorrelate *c, const char *object, const char *type, const char *reason, const char *message,
			 int64_t now_ns)
{
	uint64_t m = hash(OHASH_FNV64_INIT, message);
	struct group *g = group_of(c, hash(hash(hash(OHASH_FNV64_INIT, object), type), reason));
	bool known = false;

	if (!g)
		return false;
	if (now_ns - g->last > SIMILAR_FOR)
		g->n = 0;
	g->last = now_ns;
	for (uint32_t i = 0; i < g->n; i++)
		known |= g->messages[i] == m;
	if (!known && g->n < SIMILAR)
		g->messages[g->n++] = m;
	return g->n >= SIMILAR;
}

static struct object *object_of(struct ocorrelate *c, uint64_t key, int64_t now_ns)
{
	struct object *o;

	OLIST_FOREACH(l, &c->objects) {
		o = OLIST_ENTRY(l, struct object, node);
		if (o->key == key) {
			olist_del(&o->node);
			olist_push(&c->objects, &o->node);
			return o;
		}
	}
	if (c->n_objects == REMEMBERED) {
		o = OLIST_ENTRY(olist_last(&c->objects), struct object, node);
		olist_del(&o->node);
	} else {
		o = OMEM_NEW(struct object);
		if (!o)
			return NULL;
		c->n_objects++;
	}
	*o = (struct object){ .key = key, .left = BURST * ONE_MORE, .last = now_ns };
	olist_push(&c->objects, &o->node);
	return o;
}

bool ocorrelate_allowed(struct ocorrelate *c, const char *object, int64_t now_ns)
{
	struct object *o = object_of(c, hash(OHASH_FNV64_INIT, object), now_ns);

	if (!o)
		return false;
	if (now_ns > o->last)
		o->left += now_ns - o->last;
	if (o->left > BURST * ONE_MORE)
		o->left = BURST * ONE_MORE;
	o->last = now_ns;
	if (o->left < ONE_MORE)
		return false;
	o->left -= ONE_MORE;
	return true;
}
