/* Strategic merge patch: lists with a merge key and sets of scalars, and their order. */
#include "patch/strategic.h"

#include "base/ocleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Texts that identify elements: the merge key's value, or the scalar. Each list is indexed once,
 * so that a patch of many elements costs no more than its length.
 */
static int identity(struct ostrat *s, const struct ojson *e, const char *merge_key, struct obuf *b)
{
	struct ojson *v;

	obuf_reset(b);
	if (merge_key == NULL) {
		if (ojson_is(e, OJSON_OBJECT))
			return ostrat_fail(s, 422, "cannot merge lists without merge key");
		if (ojson_is(e, OJSON_ARRAY))
			return ostrat_fail(s, 422, "lists of lists are not supported");
		return ojson_write(e, 0, b);
	}
	if (!ojson_is(e, OJSON_OBJECT))
		return ostrat_fail(s, 422, "list element types are not identical");
	if (!ojson_lookup(e, merge_key, &v)) {
		cleanup_obuf struct obuf shown = OBUF_INIT;

		if (s->err != NULL)
			ostrat_show(e, &shown);
		return ostrat_fail(s, 422, "map: %s does not contain declared merge key: %s", obuf_cstr(&shown), merge_key);
	}
	return ojson_write(v, 0, b);
}

/* Identity → position + 1 of its first element. @strict: every element must have one. */
static int index_list(struct ostrat *s, const struct ojson *list, const char *merge_key, bool strict,
		      struct omap *m)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r;

	OJSON_FOREACH_ELEM(i, e, list) {
		r = identity(s, e, merge_key, &b);
		if (r == -ENOMEM || (r < 0 && strict))
			return r;
		if (r == 0)
			r = omap_add(m, obuf_cstr(&b), b.len, (void *)(uintptr_t)(i + 1));
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* Position in an index, or -1. Elements of stored objects without the key have no place. */
static int64_t position(struct ostrat *s, const struct omap *m, const struct ojson *e,
			const char *merge_key, struct obuf *b)
{
	struct orlop_error *saved = s->err;
	int r;

	s->err = NULL;
	r = identity(s, e, merge_key, b);
	s->err = saved;
	if (r < 0)
		return -1;
	return (int64_t)(uintptr_t)omap_get(m, obuf_cstr(b), b->len) - 1;
}

struct placed {
	int64_t		in_order;	/* position in the order, -1: only the server has it */
	int64_t		in_old;
	size_t		at;		/* where it stood, for stability */
};

static int by_order(const void *a, const void *b)
{
	const struct placed *x = a;
	const struct placed *y = b;

	if (x->in_order != y->in_order)
		return x->in_order < y->in_order ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static int by_old(const void *a, const void *b)
{
	const struct placed *x = a;
	const struct placed *y = b;

	if (x->in_old != y->in_old)
		return x->in_old < y->in_old ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Merges the two sorted halves of @v into a new list; upstream's mergeSortedSlice. */
static int interleave(const struct ojson *list, const struct placed *server, size_t n_server,
		      const struct placed *ordered, size_t n_ordered, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = ojson_new_array();
	size_t i = 0;
	size_t k = 0;

	if (out == NULL)
		return -ENOMEM;
	while (i < n_server || k < n_ordered) {
		bool server_first = k == n_ordered ||
				    (i < n_server && server[i].in_old >= 0 && ordered[k].in_old >= 0 &&
				     server[i].in_old < ordered[k].in_old);
		const struct placed *p = server_first ? &server[i++] : &ordered[k++];
		struct ojson *e = ojson_ref(ojson_index(list, p->at));
		int r = e != NULL ? ojson_append(out, e) : ojson_append_null(out);

		if (r < 0)
			return r;
	}
	*ret = TAKE(out);
	return 0;
}

int ostrat_sort(struct ostrat *s, struct ojson **list, const struct ojson *order,
		const struct ojson *old, const char *merge_key)
{
	cleanup_omap struct omap in_order = OMAP_INIT;
	cleanup_omap struct omap in_old = OMAP_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;
	size_t n = ojson_count(*list);
	cleanup_free struct placed *server = omem_alloc_array(n, sizeof(*server));
	cleanup_free struct placed *ordered = omem_alloc_array(n, sizeof(*ordered));
	struct ojson *out = NULL;
	size_t n_ordered = 0;
	size_t n_server = 0;
	int r;

	if (server == NULL || ordered == NULL)
		return -ENOMEM;
	r = index_list(s, order, merge_key, true, &in_order);
	if (r == 0)
		r = index_list(s, old, merge_key, false, &in_old);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct ojson *e = ojson_index(*list, i);
		struct placed p = { position(s, &in_order, e, merge_key, &b),
				    position(s, &in_old, e, merge_key, &b), i };

		if (p.in_order >= 0)
			ordered[n_ordered++] = p;
		else
			server[n_server++] = p;
	}
	qsort(ordered, n_ordered, sizeof(*ordered), by_order);
	qsort(server, n_server, sizeof(*server), by_old);
	r = interleave(*list, server, n_server, ordered, n_ordered, &out);
	if (r < 0)
		return r;
	ojson_unref(*list);
	*list = out;
	return 0;
}

int ostrat_check_order(struct ostrat *s, const struct ojson *patch, const struct ojson *order,
		       const char *merge_key)
{
	cleanup_omap struct omap index = OMAP_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int64_t last = -1;
	int r;

	if (ojson_count(order) == 0 || ojson_count(patch) == 0)
		return 0;
	r = index_list(s, order, merge_key, true, &index);
	if (r < 0)
		return r;
	OJSON_FOREACH_ELEM(i, e, patch) {
		int64_t at;

		if (ojson_string_is(ojson_get(e, "$patch"), "delete"))
			continue;
		if (ojson_has(e, "$patch"))
			continue;
		r = identity(s, e, merge_key, &b);
		if (r < 0)
			return r;
		at = position(s, &index, e, merge_key, &b);
		if (at <= last)
			return ostrat_fail(s, 422, "The order in patch list doesn't match $setElementOrder list");
		last = at;
	}
	return 0;
}

/* Drops from @list every element whose identity is in @gone. */
static void remove_all(struct ostrat *s, struct ojson *list, const struct omap *gone,
		       const char *merge_key)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	for (size_t i = ojson_count(list); i-- > 0;)
		if (position(s, gone, ojson_index(list, i), merge_key, &b) >= 0)
			(void)ojson_remove(list, i);
}

/* $patch elements leave @patch: deletes are carried out on @list; true in @ret if one says replace. */
static int special_elements(struct ostrat *s, struct ojson *list, struct ojson *patch,
			    const char *merge_key, bool *ret_replace)
{
	cleanup_omap struct omap gone = OMAP_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *rest = ojson_new_array();
	int r = rest != NULL ? 0 : -ENOMEM;

	*ret_replace = false;
	OJSON_FOREACH_ELEM(i, e, patch) {
		struct ojson *d = NULL;

		if (r < 0)
			return r;
		if (!ojson_lookup(e, "$patch", &d)) {
			r = e != NULL ? ojson_append(rest, ojson_ref(e)) : ojson_append_null(rest);
		} else if (ojson_string_is(d, "delete")) {
			r = identity(s, e, merge_key, &b);
			if (r == 0)
				r = omap_put(&gone, obuf_cstr(&b), b.len, (void *)(uintptr_t)1, NULL);
		} else if (ojson_string_is(d, "replace")) {
			*ret_replace = true;
		} else if (ojson_string_is(d, "merge")) {
			r = ostrat_fail(s, 422, "merging lists cannot yet be specified in the patch");
		} else {
			r = ostrat_unknown(s, d, e);
		}
	}
	if (r < 0)
		return r;
	if (omap_count(&gone) > 0)
		remove_all(s, list, &gone, merge_key);
	if (ojson_count(rest) == ojson_count(patch))
		return 0;
	while (ojson_count(patch) > 0)
		(void)ojson_remove(patch, ojson_count(patch) - 1);
	OJSON_FOREACH_ELEM(i, e, rest) {
		r = e != NULL ? ojson_append(patch, ojson_ref(e)) : ojson_append_null(patch);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Each element of @patch into the element of @list with the same key, or to its end. */
static int merge_elements(struct ostrat *s, struct ojson *list, const struct ojson *patch,
			  const struct ostrat_meta *m)
{
	const struct oschema_type *elem = m->type != NULL && m->type->kind == OSCHEMA_LIST ?
		oschema_type_at(s->schema, m->type->elem) : NULL;
	cleanup_omap struct omap index = OMAP_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = index_list(s, list, m->merge_key, false, &index);

	if (r < 0)
		return r;
	OJSON_FOREACH_ELEM(i, e, patch) {
		cleanup_ojson struct ojson *change = ojson_ref(e);
		cleanup_ojson struct ojson *merged = NULL;
		int64_t at;

		r = identity(s, e, m->merge_key, &b);
		if (r < 0)
			return r;
		at = position(s, &index, e, m->merge_key, &b);
		if (at >= 0 && m->merge_key == NULL)
			continue;
		if (at >= 0) {
			merged = ojson_ref(ojson_index(list, (size_t)at));
			r = ostrat_merge_map(s, &merged, change, elem);
			if (r == 0)
				r = ojson_replace(list, (size_t)at, TAKE(merged));
		} else if (m->merge_key == NULL) {
			r = e != NULL ? ojson_append(list, TAKE(change)) : ojson_append_null(list);
		} else {
			(void)ostrat_adopt(&change, &merged);
			r = merged != NULL ? ojson_append(list, TAKE(merged)) : 0;
		}
		if (r == 0 && at < 0)
			r = omap_put(&index, obuf_cstr(&b), b.len, (void *)(uintptr_t)ojson_count(list), NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A list of the same elements: references, not copies. */
static struct ojson *shallow(const struct ojson *list)
{
	cleanup_ojson struct ojson *out = ojson_new_array();

	OJSON_FOREACH_ELEM(i, e, list)
		if (out == NULL ||
		    (e != NULL ? ojson_append(out, ojson_ref(e)) : ojson_append_null(out)) < 0)
			return NULL;
	return TAKE(out);
}

int ostrat_merge_list(struct ostrat *s, struct ojson *original, struct ojson *patch,
		      const struct ostrat_meta *m, bool deleting, struct ojson **ret)
{
	cleanup_ojson struct ojson *list = shallow(original);
	cleanup_ojson struct ojson *old = NULL;
	cleanup_omap struct omap gone = OMAP_INIT;
	bool replace = false;
	int r = 0;

	if (list == NULL)
		return -ENOMEM;
	if (deleting) {
		r = index_list(s, patch, NULL, true, &gone);
		if (r == 0)
			remove_all(s, list, &gone, NULL);
		if (r == 0)
			*ret = TAKE(list);
		return r;
	}
	if (m->merge_key != NULL)
		r = special_elements(s, list, patch, m->merge_key, &replace);
	if (r < 0)
		return r;
	if (replace) {
		cleanup_ojson struct ojson *change = ojson_ref(patch);

		(void)ostrat_adopt(&change, ret);
		return 0;
	}
	old = shallow(list);
	r = old != NULL ? merge_elements(s, list, patch, m) : -ENOMEM;
	if (r == 0)
		r = ostrat_sort(s, &list, patch, old, m->merge_key);
	if (r == 0)
		*ret = TAKE(list);
	return r;
}
