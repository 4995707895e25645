/*
 * From objects to sets: what an object sets, what differs between two.
 *
 * The rules are those of structured-merge-diff's typed values (ToFieldSet and Compare): scalars and
 * atomic lists, maps and structs are one leaf; other lists are keyed by their map keys or their
 * values; elements of lists and maps are members themselves besides their fields.
 */
#include "patch/ofields.h"
#include "patch/place.h"

#include "base/ocleanup.h"
#include "base/ostr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what an object sets ----------------------------------------------------------------------- */

static int collect(const struct walk *w, struct place p, const struct ojson *v,
		   struct ofields *node);

static int collect_map(const struct walk *w, struct place p, const struct ojson *v,
		       struct ofields *node)
{
	OJSON_FOREACH(it, v) {
		struct place m = place_member(w, p, it.key, it.key_len);
		struct orlop_bytes pe;
		struct ofields *child;
		int r = place_member_pe(w, it.key, it.key_len, &pe);

		if (r < 0)
			return r;
		child = ofields_enter(w->mem, node, pe);
		if (child == NULL)
			return -ENOMEM;
		r = collect(w, m, it.value, child);
		if (r < 0)
			return r;
		if (m.field == NULL || it.value == NULL ||
		    (ojson_is(it.value, OJSON_OBJECT) && ojson_count(it.value) == 0))
			child->member = true;
	}
	return 0;
}

static int collect_list(const struct walk *w, struct place p, const struct ojson *v,
			struct ofields *node)
{
	OJSON_FOREACH_ELEM(i, e, v) {
		struct orlop_bytes pe;
		struct ofields *child;
		int r = place_element_pe(w, p, e, &pe);

		if (r == -EINVAL)
			continue;
		if (r < 0)
			return r;
		child = ofields_enter(w->mem, node, pe);
		if (child == NULL)
			return -ENOMEM;
		r = collect(w, place_element(w, p), e, child);
		if (r < 0)
			return r;
		child->member = true;
	}
	return 0;
}

static int collect(const struct walk *w, struct place p, const struct ojson *v,
		   struct ofields *node)
{
	enum place_shape s = place_shape(p);

	if (s == PLACE_MAP && (v == NULL || ojson_is(v, OJSON_OBJECT)))
		return collect_map(w, p, v, node);
	if ((s == PLACE_LIST_MAP || s == PLACE_LIST_SET) && (v == NULL || ojson_is(v, OJSON_ARRAY)))
		return collect_list(w, p, v, node);
	node->member = true;
	return 0;
}

int ofields_from_object(struct oarena *a, const struct oschema *schema,
			const struct oschema_type *type, const struct ojson *object,
			const struct ofields **ret)
{
	struct walk w = { a, schema };
	struct ofields *root = ofields_new(a);
	int r = root != NULL ? collect(&w, (struct place){ type, NULL }, object, root) : -ENOMEM;

	if (r < 0)
		return r;
	root->member = false;
	*ret = ofields_finish(root);
	return 0;
}

/* ---- what differs ------------------------------------------------------------------------------ */

/* One value of a pair; a JSON null is there, and NULL in @v. */
struct side {
	bool			there;
	const struct ojson	*v;
};

/* The same path in each of the sets being built. */
struct nodes {
	struct ofields	*added;
	struct ofields	*removed;
	struct ofields	*modified;
};

static int compare(const struct walk *w, struct place p, struct side old, struct side new,
		   struct nodes n);

static int descend(const struct walk *w, struct nodes n, struct orlop_bytes pe, struct nodes *ret)
{
	ret->added = ofields_enter(w->mem, n.added, pe);
	ret->removed = ofields_enter(w->mem, n.removed, pe);
	ret->modified = ofields_enter(w->mem, n.modified, pe);
	return ret->added != NULL && ret->removed != NULL && ret->modified != NULL ? 0 : -ENOMEM;
}

/* Nodes that nothing was put into go again: most fields of an update are equal. */
static void drop_empty(struct ofields *parent)
{
	const struct ofields *last = parent->n > 0 ? parent->child[parent->n - 1] : NULL;

	if (last != NULL && !last->member && last->n == 0)
		parent->n--;
}

static void leave(struct nodes n)
{
	drop_empty(n.added);
	drop_empty(n.removed);
	drop_empty(n.modified);
}

static void compare_leaf(struct side old, struct side new, struct nodes n)
{
	if (!old.there)
		n.added->member = true;
	else if (!new.there)
		n.removed->member = true;
	else if (!ojson_equal(old.v, new.v))
		n.modified->member = true;
}

static int compare_member(const struct walk *w, struct place p, const char *key, size_t len,
			  struct side old, struct side new, struct nodes n)
{
	struct orlop_bytes pe;
	struct nodes child;
	int r;

	/* equal subtrees are the rule: no need to look inside */
	if (old.there && new.there && ojson_equal(old.v, new.v))
		return 0;
	r = place_member_pe(w, key, len, &pe);
	if (r == 0)
		r = descend(w, n, pe, &child);
	if (r == 0)
		r = compare(w, place_member(w, p, key, len), old, new, child);
	leave(n);
	return r;
}

static int compare_map(const struct walk *w, struct place p, struct side old, struct side new,
		       struct nodes n)
{
	int r;

	OJSON_FOREACH(it, old.v) {
		struct ojson *other = NULL;
		bool there = ojson_lookup(new.v, it.key, &other);

		r = compare_member(w, p, it.key, it.key_len, (struct side){ true, it.value },
				   (struct side){ there, other }, n);
		if (r < 0)
			return r;
	}
	OJSON_FOREACH(it, new.v) {
		if (ojson_has(old.v, it.key))
			continue;
		r = compare_member(w, p, it.key, it.key_len, (struct side){ false, NULL },
				   (struct side){ true, it.value }, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Elements of one list that share a path element, in order. */
struct group {
	struct orlop_bytes	pe;
	const struct ojson	*first[2];	/* old, new */
	size_t			count[2];
};

static int group_elements(const struct walk *w, struct place p, const struct ojson *list, int which,
			  struct omap *index, struct group **groups, size_t *n)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes pe;
		struct group *g;
		uintptr_t at;
		int r = place_element_pe(w, p, e, &pe);

		if (r == -EINVAL)
			continue;
		if (r < 0)
			return r;
		at = (uintptr_t)omap_get(index, pe.p, pe.len);
		if (at == 0) {
			g = omem_realloc_array(*groups, *n + 1, sizeof(*g));
			if (g == NULL)
				return -ENOMEM;
			*groups = g;
			g[*n] = (struct group){ .pe = pe };
			at = ++*n;
			if (omap_put(index, pe.p, pe.len, (void *)at, NULL) < 0)
				return -ENOMEM;
		}
		g = &(*groups)[at - 1];
		if (g->count[which]++ == 0)
			g->first[which] = e;
	}
	return 0;
}

/* Are the elements of @g, of which there are several on both sides, the same in the same order? */
static bool doubles_equal(const struct walk *w, struct place p, const struct group *g,
			  const struct ojson *old, const struct ojson *new)
{
	size_t i = 0;

	if (g->count[0] != g->count[1])
		return false;
	OJSON_FOREACH_ELEM(k, e, new) {
		struct orlop_bytes pe;

		if (place_element_pe(w, p, e, &pe) < 0 || !ostr_eq(pe.p, pe.len, g->pe.p, g->pe.len))
			continue;
		for (; i < ojson_count(old); i++) {
			const struct ojson *o = ojson_index(old, i);

			if (place_element_pe(w, p, o, &pe) == 0 && ostr_eq(pe.p, pe.len, g->pe.p, g->pe.len))
				break;
		}
		if (i == ojson_count(old) || !ojson_equal(ojson_index(old, i++), e))
			return false;
	}
	return true;
}

static int compare_group(const struct walk *w, struct place p, const struct group *g,
			 struct side old, struct side new, struct nodes n)
{
	struct side a = { g->count[0] == 1, g->first[0] };
	struct side b = { g->count[1] == 1, g->first[1] };
	struct nodes child;
	int r = descend(w, n, g->pe, &child);

	if (r < 0)
		return r;
	if (g->count[0] >= 2 && g->count[1] >= 2) {
		if (!doubles_equal(w, p, g, old.v, new.v))
			child.modified->member = true;
		return 0;
	}
	/* doubles on one side: a mark there, and the single element of the other on its own */
	if (a.there || b.there)
		r = compare(w, place_element(w, p), a, b, child);
	if (g->count[0] >= 2)
		child.removed->member = true;
	if (g->count[1] >= 2)
		child.added->member = true;
	return r;
}

static int compare_list(const struct walk *w, struct place p, struct side old, struct side new,
			struct nodes n)
{
	cleanup_omap struct omap index = OMAP_INIT;
	cleanup_free struct group *groups = NULL;
	size_t n_groups = 0;
	int r = group_elements(w, p, old.v, 0, &index, &groups, &n_groups);

	if (r == 0)
		r = group_elements(w, p, new.v, 1, &index, &groups, &n_groups);
	for (size_t i = 0; r == 0 && i < n_groups; i++) {
		r = compare_group(w, p, &groups[i], old, new, n);
		leave(n);
	}
	return r;
}

static bool fits(enum place_shape s, struct side side)
{
	if (!side.there || side.v == NULL)
		return true;
	return ojson_is(side.v, s == PLACE_MAP ? OJSON_OBJECT : OJSON_ARRAY);
}

static int compare(const struct walk *w, struct place p, struct side old, struct side new,
		   struct nodes n)
{
	enum place_shape s = place_shape(p);
	int r;

	/* two empty ones are a leaf, so that null and empty can differ */
	if (s == PLACE_LEAF || !fits(s, old) || !fits(s, new) ||
	    (ojson_count(old.v) == 0 && ojson_count(new.v) == 0)) {
		compare_leaf(old, new, n);
		return 0;
	}
	r = s == PLACE_MAP ? compare_map(w, p, old, new, n) : compare_list(w, p, old, new, n);
	if (!old.there)
		n.added->member = true;
	else if (!new.there)
		n.removed->member = true;
	return r;
}

int ofields_compare(struct oarena *a, const struct oschema *schema, const struct oschema_type *type,
		    const struct ojson *old, const struct ojson *new, struct ofields_diff *ret)
{
	struct walk w = { a, schema };
	struct nodes n = { ofields_new(a), ofields_new(a), ofields_new(a) };
	int r;

	if (n.added == NULL || n.removed == NULL || n.modified == NULL)
		return -ENOMEM;
	r = compare(&w, (struct place){ type, NULL }, (struct side){ true, old },
		    (struct side){ true, new }, n);
	if (r < 0)
		return r;
	n.added->member = n.removed->member = n.modified->member = false;
	ret->added = ofields_finish(n.added);
	ret->removed = ofields_finish(n.removed);
	ret->modified = ofields_finish(n.modified);
	return 0;
}

/* ---- the empty struct as Go writes it ------------------------------------------------------------- */

static int zero_member(const struct oschema *schema, const struct oschema_field *f,
		       struct ojson *obj)
{
	const struct oschema_type *t = oschema_field_type(schema, f);
	const char *name = oschema_field_name(schema, f);
	bool ptr = (f->flags & OSCHEMA_F_PTR) != 0;
	struct ojson *v = NULL;
	int r;

	if ((f->flags & OSCHEMA_F_OMITZERO) != 0)
		return 0;
	switch (ptr ? OSCHEMA_RAW : t->kind) {
	case OSCHEMA_STRUCT:
		/* omitempty means nothing to a struct */
		r = ofields_zero(schema, t, &v);
		return r < 0 ? r : ojson_put(obj, name, v);
	case OSCHEMA_TIME:
	case OSCHEMA_MICROTIME:
		return ojson_put(obj, name, NULL);
	default:
		break;
	}
	if ((f->flags & OSCHEMA_F_OMITEMPTY) != 0)
		return 0;
	switch (ptr ? OSCHEMA_RAW : t->kind) {
	case OSCHEMA_STRING:
		return ojson_set_cstr(obj, name, "");
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
	case OSCHEMA_DOUBLE:
	case OSCHEMA_INT_OR_STRING:
		return ojson_set_i64(obj, name, 0);
	case OSCHEMA_BOOL:
		return ojson_set_bool(obj, name, false);
	case OSCHEMA_QUANTITY:
		return ojson_set_cstr(obj, name, "0");
	case OSCHEMA_DURATION:
		return ojson_set_cstr(obj, name, "0s");
	default:
		return ojson_put(obj, name, NULL);
	}
}

int ofields_zero(const struct oschema *schema, const struct oschema_type *type, struct ojson **ret)
{
	cleanup_ojson struct ojson *obj = ojson_new_object();

	if (obj == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; type->kind == OSCHEMA_STRUCT && i < type->n_fields; i++) {
		int r = zero_member(schema, &schema->fields[type->fields + i], obj);

		if (r < 0)
			return r;
	}
	*ret = TAKE(obj);
	return 0;
}
