/*
 * convert-share.c - what a change is in another version, for all watches of a shard: the webhook is asked once, by the watch
 * that needs it first. Those that come while it is asked wait for the same answer, and the last answers are kept a while for
 * those that are slower.
 */
#include "convert.h"

#include <errno.h>
#include <string.h>

#define IDLE_ITEMS	128u		/* answers that nobody waits for */
#define IDLE_BYTES	(512u * 1024)

struct item_key {
	const struct orlop_object *obj;	/* held while the item is known by it */
	const struct reg_kind *to;
	uint64_t	rev;		/* of the change: that of who left a selection is not the object's */
};

struct convert_item {
	struct olist	link;		/* share->idle */
	struct convert_share *share;
	struct orlop_object *obj;
	struct item_key	key;
	uint32_t	refs;
	bool		known;		/* in share->items */
	bool		ready;
	bool		failed;
	char		*why;		/* of that; NULL: no memory for it */
	struct obuf	json;		/* from "metadata": on */
};

/* Items that are asked for together. */
struct convert_round {
	struct olist	link;		/* share->rounds */
	struct convert_share *share;
	struct reg_convert *convert;
	const struct reg_kind *to;	/* held by convert */
	struct convert_item **v;
	size_t		n, cap;
	bool		*over;		/* told where it is being started */
};

struct convert_share {
	struct reg_shard *sh;
	struct omap	items;		/* item_key → convert_item */
	struct olist	idle;		/* oldest first */
	uint32_t	n_idle;
	size_t		idle_bytes;
	struct olist	rounds;
};

/* ---- items -------------------------------------------------------------------------------------------------------- */

static size_t cost(const struct convert_item *it)
{
	return it->json.len + it->obj->json.len;
}

static void item_forget(struct convert_item *it)
{
	if (it->known)
		(void)omap_del(&it->share->items, &it->key, sizeof(it->key));
	it->known = false;
}

static void item_free(struct convert_item *it)
{
	struct convert_share *s = it->share;

	item_forget(it);
	if (!olist_empty(&it->link)) {
		olist_del(&it->link);
		s->n_idle--;
		s->idle_bytes -= cost(it);
	}
	s->sh->h->object_unref(it->obj);
	omem_free(it->why);
	obuf_done(&it->json);
	omem_free(it);
}

void convert_item_unref(struct convert_item *it)
{
	struct convert_share *s;

	if (!it || --it->refs)
		return;
	if (!it->known || !it->ready) {
		item_free(it);
		return;
	}
	s = it->share;
	olist_append(&s->idle, &it->link);
	s->n_idle++;
	s->idle_bytes += cost(it);
	while (s->n_idle > IDLE_ITEMS || s->idle_bytes > IDLE_BYTES)
		item_free(OLIST_ENTRY(olist_first(&s->idle), struct convert_item, link));
}

static struct convert_item *item_ref(struct convert_item *it)
{
	if (it->refs++ == 0) {
		olist_del(&it->link);
		it->share->n_idle--;
		it->share->idle_bytes -= cost(it);
	}
	return it;
}

static struct convert_item *item_new(struct convert_share *s, const struct item_key *key, struct orlop_object *obj)
{
	struct convert_item *it = OMEM_NEW(struct convert_item);

	if (!it || omap_put(&s->items, key, sizeof(*key), it, NULL)) {
		omem_free(it);
		return NULL;
	}
	*it = (struct convert_item){ .share = s, .key = *key, .obj = s->sh->h->object_ref(obj), .refs = 1, .known = true };
	olist_init(&it->link);
	obuf_init(&it->json);
	return it;
}

bool convert_item_ready(const struct convert_item *it, const char **ret_why, struct orlop_bytes *ret)
{
	*ret_why = it->failed ? it->why ? it->why : "out of memory" : NULL;
	*ret = (struct orlop_bytes){ it->json.data, it->json.len };
	return it->ready;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------- */

static struct convert_share *share_of(struct reg_shard *sh)
{
	struct convert_share *s = sh->convert_share;

	if (s)
		return s;
	s = OMEM_NEW(struct convert_share);
	if (!s)
		return NULL;
	s->sh = sh;
	omap_init(&s->items);
	olist_init(&s->idle);
	olist_init(&s->rounds);
	sh->convert_share = s;
	return s;
}

static void round_free(struct convert_round *r)
{
	olist_del(&r->link);
	for (size_t i = 0; i < r->n; i++)
		convert_item_unref(r->v[i]);
	convert_free(r->convert);	/* now: it holds the tables that they are of */
	omem_free(r->v);
	omem_free(r);
}

static struct convert_round *round_new(struct convert_share *s, const struct reg_kind *to)
{
	struct convert_round *r = OMEM_NEW(struct convert_round);

	if (!r)
		return NULL;
	olist_init(&r->link);
	r->share = s;
	r->to = to;
	r->convert = convert_new(to);
	if (!r->convert) {
		omem_free(r);
		return NULL;
	}
	olist_append(&s->rounds, &r->link);
	return r;
}

static int round_add(struct convert_round *r, struct convert_item *it, struct orlop_bytes json, struct orlop_bytes version)
{
	struct convert_item **v = r->v;
	int e;

	if (r->n == r->cap) {
		v = omem_realloc_array(r->v, r->cap ? r->cap * 2 : 4, sizeof(*v));
		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = r->cap ? r->cap * 2 : 4;
	}
	e = convert_add(r->convert, json, version);
	if (e)
		return e;
	it->refs++;
	r->v[r->n++] = it;
	return 0;
}

int convert_share(struct reg_shard *sh, const struct reg_kind *to, struct orlop_object *obj, struct orlop_bytes json,
		  struct orlop_bytes version, uint64_t rev, struct convert_round **round, struct convert_item **ret)
{
	struct convert_share *s = share_of(sh);
	struct convert_item *it;
	struct item_key key;
	int r = -ENOMEM;

	if (!s)
		return -ENOMEM;
	memset(&key, 0, sizeof(key));	/* its bytes are compared */
	key.obj = obj;
	key.to = to;
	key.rev = rev;
	it = omap_get(&s->items, &key, sizeof(key));
	if (it) {
		*ret = item_ref(it);
		return 0;
	}
	if (!*round)
		*round = round_new(s, to);
	it = *round ? item_new(s, &key, obj) : NULL;
	if (it)
		r = round_add(*round, it, json, version);
	if (r) {
		convert_item_unref(it);
		return r;
	}
	*ret = it;
	return 0;
}

static void on_round(void *arg, const char *why)
{
	struct convert_round *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		struct convert_item *it = r->v[i];

		it->ready = true;
		if (why || convert_put(r->convert, i, &it->json)) {
			item_forget(it);	/* who comes later asks again */
			it->failed = true;
			it->why = why ? omem_strdup(why) : NULL;
		}
	}
	/* Watches that wait for it are armed; others find nothing new. */
	if (r->over)
		*r->over = true;
	else
		reg_open_note(r->share->sh, &r->to->set->of->open);
	round_free(r);
}

void convert_round_start(struct convert_round *r)
{
	bool over = false;

	if (!r)
		return;
	r->over = &over;
	convert_start(r->convert, on_round, r);
	if (!over)
		r->over = NULL;
}

void convert_round_drop(struct convert_round *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		item_forget(r->v[i]);
		if (!r->v[i]->ready)	/* who waits for it with us waits in vain */
			r->v[i]->ready = r->v[i]->failed = true;
	}
	round_free(r);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

void convert_share_forget(struct reg_set *set)
{
	struct convert_share *s = set->sh->convert_share;

	if (!s)
		return;
	OLIST_FOREACH_SAFE(l, next, &s->idle)
		if (OLIST_ENTRY(l, struct convert_item, link)->key.to->set == set)
			item_free(OLIST_ENTRY(l, struct convert_item, link));
}

void convert_share_free(struct reg_shard *sh)
{
	struct convert_share *s = sh->convert_share;
	struct olist *l;

	if (!s)
		return;
	while ((l = olist_first(&s->rounds)) != NULL)
		convert_round_drop(OLIST_ENTRY(l, struct convert_round, link));
	while ((l = olist_first(&s->idle)) != NULL)
		item_free(OLIST_ENTRY(l, struct convert_item, link));
	omap_done(&s->items);
	omem_free(s);
	sh->convert_share = NULL;
}
