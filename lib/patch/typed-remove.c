/* Parts taken out of an object, and the sets that say which; see typed.h. */
#include "patch/typed.h"

#include "base/ocleanup.h"

#include <errno.h>

static struct ojson *share(const struct ojson *v)
{
	return ojson_ref((struct ojson *)(uintptr_t)v);
}

static int take_out(const struct walk *w, struct place p, const struct ojson *v,
		    const struct ofields *set, struct ojson **ret);

static int from_map(const struct walk *w, struct place p, const struct ojson *v,
		    const struct ofields *set, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = ojson_new_object();

	if (out == NULL)
		return -ENOMEM;
	OJSON_FOREACH(it, v) {
		struct orlop_bytes pe;
		const struct ofields *below;
		struct ojson *left = NULL;
		int r = place_member_pe(w, it.key, it.key_len, &pe);

		if (r < 0)
			return r;
		below = ofields_child(set, pe);
		if (below != NULL && below->member)
			continue;
		if (below == NULL)
			left = share(it.value);
		else
			r = take_out(w, place_member(w, p, it.key, it.key_len), it.value, below, &left);
		if (r == 0)
			r = ojson_put_n(out, it.key, it.key_len, left);
		if (r < 0)
			return r;
	}
	if (ojson_count(out) > 0)
		*ret = TAKE(out);
	return 0;
}

static int from_list(const struct walk *w, struct place p, const struct ojson *v,
		     const struct ofields *set, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = ojson_new_array();

	if (out == NULL)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, e, v) {
		struct orlop_bytes pe;
		const struct ofields *below = NULL;
		struct ojson *left = NULL;
		int r = place_element_pe(w, p, e, &pe);

		if (r == 0)
			below = ofields_child(set, pe);
		else if (r != -EINVAL)
			return r;
		if (below != NULL && below->member)
			continue;
		r = 0;
		if (below == NULL)
			left = share(e);
		else
			r = take_out(w, place_element(w, p), e, below, &left);
		if (r == 0)
			r = left != NULL ? ojson_append(out, left) : ojson_append_null(out);
		if (r < 0)
			return r;
	}
	if (ojson_count(out) > 0)
		*ret = TAKE(out);
	return 0;
}

/* What is left of @v; null if nothing is, or if it is owned only as a whole. */
static int take_out(const struct walk *w, struct place p, const struct ojson *v,
		    const struct ofields *set, struct ojson **ret)
{
	*ret = NULL;
	switch (place_shape(p)) {
	case PLACE_MAP:
		return ojson_is(v, OJSON_OBJECT) ? from_map(w, p, v, set, ret) : 0;
	case PLACE_LIST_MAP:
	case PLACE_LIST_SET:
		return ojson_is(v, OJSON_ARRAY) ? from_list(w, p, v, set, ret) : 0;
	default:
		if (!ojson_is(v, OJSON_OBJECT) && !ojson_is(v, OJSON_ARRAY))
			*ret = share(v);
		return 0;
	}
}

int typed_remove(const struct walk *w, const struct oschema_type *type, const struct ojson *object,
		 const struct ofields *set, struct ojson **ret)
{
	struct ojson *out = NULL;
	int r = 0;

	if (ofields_is_empty(set))
		out = share(object);
	else
		r = take_out(w, (struct place){ type, NULL }, object, set, &out);
	if (r < 0)
		return r;
	*ret = out != NULL ? out : ojson_new_object();
	return *ret != NULL ? 0 : -ENOMEM;
}

/* ---- members by name --------------------------------------------------------------------------- */

static int named(const struct walk *w, struct place p, const struct ofields *set, bool is_named,
		 const struct ofields **ret)
{
	struct ofields *out;

	*ret = set;
	if (set == NULL || set->n == 0)
		return 0;
	out = ofields_new(w->mem);
	if (out == NULL)
		return -ENOMEM;
	out->pe = set->pe;
	out->member = set->member || is_named;
	out->child = oarena_alloc(w->mem, set->n * sizeof(*out->child));
	if (out->child == NULL)
		return -ENOMEM;
	out->cap = set->n;
	for (uint32_t i = 0; i < set->n; i++) {
		const struct ofields *c = set->child[i];
		struct place below = { NULL, NULL };
		const struct ofields *x = NULL;
		bool field = false;
		int r;

		if (p.type != NULL && c->pe.len >= 2 && c->pe.p[0] == 'f' &&
		    (p.type->kind == OSCHEMA_STRUCT || p.type->kind == OSCHEMA_MAP)) {
			below = place_member(w, p, c->pe.p + 2, c->pe.len - 2);
			field = below.field != NULL;
		} else if (p.type != NULL && c->pe.len >= 2 && c->pe.p[0] == 'k' && p.type->kind == OSCHEMA_LIST) {
			below = place_element(w, p);
		}
		r = named(w, below, c, field, &x);
		if (r < 0)
			return r;
		out->child[out->n++] = (struct ofields *)(uintptr_t)x;
	}
	*ret = out;
	return 0;
}

int typed_named(const struct walk *w, const struct oschema_type *type, const struct ofields *set,
		const struct ofields **ret)
{
	return named(w, (struct place){ type, NULL }, set, false, ret);
}
