/*
 * feed_slice.c - which objects of a resource another process wants, and how much of each; see feed_out_in.h.
 */
#include "feed_out_in.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"

static bool text_is(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && (b.len == 0 || memcmp(b.p, cstr, b.len) == 0);
}

static bool entry_has(const struct orlop_object *o, const struct orlop_feed_match *m, int32_t index)
{
	bool any = false;

	for (uint32_t i = 0; i < o->n_index; i++) {
		const struct orlop_index_entry *e = &o->index[i];

		if ((int32_t)e->index != index || (m->label && !text_is(e->key, m->name)))
			continue;
		any = true;
		if (text_is(e->value, m->value))
			return true;
	}
	return !any && !m->label && !m->value[0];	/* a field that is not there is empty */
}

static bool matches(const struct out_want *w, const struct orlop_object *o)
{
	if (w->pub->ns && !text_is(o->ns, w->pub->ns))
		return false;
	for (uint32_t i = 0; i < w->pub->n_matches; i++) {
		const struct orlop_feed_match *m = &w->pub->matches[i];

		if (m->label) {
			if (!entry_has(o, m, ORLOP_INDEX_LABELS))
				return false;
		} else if (strcmp(m->name, "metadata.name") == 0) {
			if (!text_is(o->name, m->value))
				return false;
		} else if (strcmp(m->name, "metadata.namespace") == 0) {
			if (!text_is(o->ns, m->value))
				return false;
		} else if (w->index[i] >= 0 && !entry_has(o, m, w->index[i])) {
			return false;	/* what cannot be asked is no condition: more than is wanted may come */
		}
	}
	return true;
}

enum slice feed_slice(const struct out_res *x, const struct orlop_object *o)
{
	enum slice best = SLICE_NONE;

	for (uint32_t i = 0; o && i < x->n_wants && best != SLICE_WHOLE; i++)
		if (matches(&x->wants[i], o))
			best = x->wants[i].pub->flags & ORLOP_WANT_METADATA ? SLICE_METADATA : SLICE_WHOLE;
	return best;
}

static bool wanted(const struct orlop_feed_want *w, const char *name)
{
	return strcmp(w->resource, "*") == 0 || strcmp(w->resource, name) == 0;
}

void feed_wants_clear(struct out_res *x)
{
	for (uint32_t i = 0; i < x->n_wants; i++)
		omem_free(x->wants[i].index);
	omem_free(x->wants);
	x->wants = NULL;
	x->n_wants = 0;
	x->fields = false;
}

/* Which of the wants are about @x. 0 or -ENOMEM. */
int feed_wants_pick(struct core_feed_out *f, struct out_res *x)
{
	uint32_t n = 0;

	feed_wants_clear(x);
	for (const struct core_want *w = f->wants.first; w; w = w->next)
		n += wanted(&w->pub, x->name);
	x->repick = n > 0;
	if (n == 0)
		return 0;
	x->wants = omem_zalloc_array(n, sizeof(*x->wants));
	if (!x->wants)
		return -ENOMEM;
	for (const struct core_want *w = f->wants.first; w; w = w->next) {
		struct out_want *o = &x->wants[x->n_wants];

		if (!wanted(&w->pub, x->name))
			continue;
		o->pub = &w->pub;
		if (w->pub.n_matches) {
			o->index = omem_alloc_array(w->pub.n_matches, sizeof(*o->index));
			if (!o->index)
				return -ENOMEM;
		}
		x->n_wants++;
		for (uint32_t i = 0; i < w->pub.n_matches; i++) {
			const struct orlop_feed_match *m = &w->pub.matches[i];

			o->index[i] = -ENOENT;
			x->fields = x->fields || (!m->label && strncmp(m->name, "metadata.", 9) != 0);
		}
	}
	x->info = NULL;
	x->repick = false;
	return 0;
}

/* The numbers of its fields, which its registration gives. True: they have changed. */
bool feed_fields_number(struct out_res *x)
{
	const struct orlop_resource_info *info;
	bool changed = false;

	if (!x->fields)
		return false;
	info = core_cache_info(x->handle);
	if (!info || info == x->info)
		return false;
	for (uint32_t i = 0; i < x->n_wants; i++)
		for (uint32_t k = 0; k < x->wants[i].pub->n_matches; k++) {
			const struct orlop_feed_match *m = &x->wants[i].pub->matches[k];
			int32_t index = m->label ? (int32_t)ORLOP_INDEX_LABELS : core_cache_index(x->handle, m->name);

			changed = changed || index != x->wants[i].index[k];
			x->wants[i].index[k] = index;
		}
	x->info = info;
	return changed;
}
