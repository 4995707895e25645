/* A configuration merged into an object by the rules of its lists and maps; see typed.h. */
#include "patch/typed.h"

#include "base/ocleanup.h"
#include "base/omap.h"
#include "base/ostr.h"

#include <errno.h>

/* A value that is there, maybe as null, or is not. */
struct side {
	bool			there;
	const struct ojson	*v;
};

static struct ojson *share(const struct ojson *v)
{
	return ojson_ref((struct ojson *)(uintptr_t)v);
}

static int merge(const struct walk *w, struct place p, struct side live, struct side config,
		 bool *there, struct ojson **ret);

static int merge_member(const struct walk *w, struct place p, struct ojson_iter *it, struct side live,
			struct side config, struct ojson *out)
{
	struct ojson *v = NULL;
	bool there = false;
	int r = merge(w, place_member(w, p, it->key, it->key_len), live, config, &there, &v);

	if (r < 0 || !there)
		return r;
	return ojson_put_n(out, it->key, it->key_len, v);
}

static int merge_map(const struct walk *w, struct place p, const struct ojson *live,
		     const struct ojson *config, bool *there, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = ojson_new_object();
	int r = out != NULL ? 0 : -ENOMEM;

	OJSON_FOREACH(it, live) {
		struct ojson *other = NULL;
		bool has = ojson_lookup_n(config, it.key, it.key_len, &other);

		if (r == 0)
			r = merge_member(w, p, &it, (struct side){ true, it.value },
					 (struct side){ has, other }, out);
	}
	OJSON_FOREACH(it, config)
		if (r == 0 && !ojson_lookup_n(live, it.key, it.key_len, NULL))
			r = merge_member(w, p, &it, (struct side){ false, NULL },
					 (struct side){ true, it.value }, out);
	if (r < 0)
		return r;
	*there = ojson_count(out) > 0;
	*ret = *there ? TAKE(out) : NULL;
	return 0;
}

/* ---- lists ---------------------------------------------------------------------------------------- */

/* The elements of one side with their names; @at finds the first of a name. */
struct elements {
	size_t			n;
	struct orlop_bytes	*pe;		/* empty: an element without a key */
	const struct ojson	**v;
	bool			*twice;
	struct omap		at;		/* index + 1 */
};

static size_t find(const struct elements *e, struct orlop_bytes pe)
{
	return pe.len > 0 ? (size_t)(uintptr_t)omap_get(&e->at, pe.p, pe.len) : 0;
}

/* The element called @pe, absent too if there are several of that name: those are not merged. */
static struct side element(const struct elements *e, struct orlop_bytes pe)
{
	size_t i = find(e, pe);

	return i > 0 && !e->twice[i - 1] ? (struct side){ true, e->v[i - 1] } :
					   (struct side){ false, NULL };
}

static int elements_of(const struct walk *w, struct place p, const struct ojson *list,
		       struct elements *e)
{
	size_t n = ojson_count(list);

	e->pe = oarena_zalloc(w->mem, (n + 1) * sizeof(*e->pe));
	e->v = oarena_zalloc(w->mem, (n + 1) * sizeof(*e->v));
	e->twice = oarena_zalloc(w->mem, (n + 1) * sizeof(*e->twice));
	if (e->pe == NULL || e->v == NULL || e->twice == NULL)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, v, list) {
		size_t k = e->n++;
		size_t before;
		int r = place_element_pe(w, p, v, &e->pe[k]);

		e->v[k] = v;
		if (r == -EINVAL) {
			e->pe[k] = (struct orlop_bytes){ NULL, 0 };
			continue;
		}
		if (r < 0)
			return r;
		before = find(e, e->pe[k]);
		if (before > 0)
			e->twice[before - 1] = true;
		else if (omap_put(&e->at, e->pe[k].p, e->pe[k].len, (void *)(uintptr_t)(k + 1), NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* State of weaving two lists into one. */
struct weave {
	const struct walk	*w;
	struct place		place;
	struct elements		live;
	struct elements		config;
	struct omap		merged;		/* names that are in the result */
	size_t			shared;		/* next element of config that live has too; config.n: none */
	struct ojson		*out;
};

static int put(struct weave *s, struct side live, struct side config)
{
	struct ojson *v = NULL;
	bool there = false;
	int r = merge(s->w, place_element(s->w, s->place), live, config, &there, &v);

	if (r < 0 || !there)
		return r;
	return v != NULL ? ojson_append(s->out, v) : ojson_append_null(s->out);
}

static void next_shared(struct weave *s, size_t from)
{
	s->shared = from;
	while (s->shared < s->config.n && find(&s->live, s->config.pe[s->shared]) == 0)
		s->shared++;
}

/* The @c-th element of config, with its partner in live if it has one. */
static int put_config(struct weave *s, size_t c)
{
	struct orlop_bytes pe = s->config.pe[c];
	int r = 0;

	if (pe.len > 0)
		r = omap_put(&s->merged, pe.p, pe.len, s, NULL) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = put(s, element(&s->live, pe), (struct side){ true, s->config.v[c] });
	if (s->shared == c)
		next_shared(s, c + 1);
	return r;
}

static bool same(struct orlop_bytes a, struct orlop_bytes b)
{
	return a.len > 0 && ostr_eq(a.p, a.len, b.p, b.len);
}

/*
 * Elements of live in their order, those of config in theirs; where the two orders contradict each
 * other, config's holds. An element of both appears once.
 */
static int weave(struct weave *s)
{
	size_t l = 0;
	size_t c = 0;
	int r = 0;

	next_shared(s, 0);
	while (r == 0 && (l < s->live.n || c < s->config.n)) {
		struct orlop_bytes pe = l < s->live.n ? s->live.pe[l] : (struct orlop_bytes){ NULL, 0 };

		if (l < s->live.n && c < s->config.n) {
			if (same(pe, s->config.pe[c])) {
				r = put_config(s, c++);
				l++;
				continue;
			}
			/* of both, but not the one whose turn it is */
			if (find(&s->config, pe) > 0 && s->shared < s->config.n &&
			    !same(s->config.pe[s->shared], pe)) {
				l++;
				continue;
			}
		}
		if (l < s->live.n) {
			if (find(&s->config, pe) == 0) {
				r = put(s, (struct side){ true, s->live.v[l++] }, (struct side){ false, NULL });
				continue;
			}
			if (omap_get(&s->merged, pe.p, pe.len) != NULL)
				l++;
		}
		if (c < s->config.n)
			r = put_config(s, c++);
	}
	return r;
}

static int merge_list(const struct walk *w, struct place p, const struct ojson *live,
		      const struct ojson *config, bool *there, struct ojson **ret)
{
	struct weave s = { .w = w, .place = p, .live = { .at = OMAP_INIT }, .config = { .at = OMAP_INIT },
			   .merged = OMAP_INIT, .out = ojson_new_array() };
	int r = s.out != NULL ? elements_of(w, p, live, &s.live) : -ENOMEM;

	if (r == 0)
		r = elements_of(w, p, config, &s.config);
	if (r == 0)
		r = weave(&s);
	omap_done(&s.live.at);
	omap_done(&s.config.at);
	omap_done(&s.merged);
	*there = r == 0 && ojson_count(s.out) > 0;
	if (*there)
		*ret = s.out;
	else
		ojson_unref(s.out);
	return r;
}

static bool fits(enum place_shape shape, struct side s)
{
	return !s.there || s.v == NULL || ojson_is(s.v, shape == PLACE_MAP ? OJSON_OBJECT : OJSON_ARRAY);
}

static int merge(const struct walk *w, struct place p, struct side live, struct side config,
		 bool *there, struct ojson **ret)
{
	enum place_shape shape = place_shape(p);

	/* two empty ones are a leaf, so that null and empty can differ */
	if (shape == PLACE_LEAF || !fits(shape, live) || !fits(shape, config) ||
	    (ojson_count(live.v) == 0 && ojson_count(config.v) == 0)) {
		*there = true;
		*ret = share(config.there ? config.v : live.v);
		return 0;
	}
	if (!config.there || !live.there) {
		*there = true;
		*ret = share(config.there ? config.v : live.v);
		return 0;
	}
	return shape == PLACE_MAP ? merge_map(w, p, live.v, config.v, there, ret) :
				    merge_list(w, p, live.v, config.v, there, ret);
}

int typed_merge(const struct walk *w, const struct oschema_type *type, const struct ojson *live,
		const struct ojson *config, struct ojson **ret)
{
	bool there = false;
	struct ojson *out = NULL;
	int r = merge(w, (struct place){ type, NULL }, (struct side){ true, live },
		      (struct side){ true, config }, &there, &out);

	if (r < 0)
		return r;
	*ret = out != NULL ? out : ojson_new_object();
	return *ret != NULL ? 0 : -ENOMEM;
}
