/* plan.c - which slices change. See plan.h. */
#include "plan.h"

#include <errno.h>
#include <string.h>

#include "base/omap.h"
#include "base/omem.h"

static int slice_add(struct plan *p, struct ojson *have, const struct ojson *ports)
{
	struct plan_slice *s = &p->slice[p->n];

	if (p->n == SLICES_MAX)
		return -E2BIG;
	memset(s, 0, sizeof(*s));
	p->n++;
	s->endpoints = ojson_new_array();
	s->have = have ? ojson_ref(have) : NULL;
	s->ports = ports ? ojson_ref((struct ojson *)(uintptr_t)ports) : NULL;
	return s->endpoints ? 0 : -ENOMEM;
}

/* Absent and empty are the same. */
static bool ports_equal(const struct ojson *a, const struct ojson *b)
{
	if (!ojson_count(a) || !ojson_count(b))
		return ojson_count(a) == ojson_count(b);
	return ojson_equal(a, b);
}

static struct orlop_bytes uid_of(const struct ojson *endpoint)
{
	return ojson_get_bytes(ojson_get(endpoint, "targetRef"), "uid");
}

/* What stays in a slice, as it should be; what it holds is taken off @left. */
static int slice_keep(struct plan_slice *s, struct omap *left)
{
	int e = 0;

	OJSON_FOREACH_ELEM(i, had, ojson_get(s->have, "endpoints")) {
		struct orlop_bytes uid = uid_of(had);
		struct ojson *want = uid.len ? omap_del(left, uid.p, uid.len) : NULL;

		if (!want || ojson_count(s->endpoints) == SLICE_MAX) {
			s->changed = true;
			if (want && omap_put(left, uid.p, uid.len, want, NULL))
				return -ENOMEM;
			continue;
		}
		s->changed |= !ojson_equal(had, want);
		e = ojson_append(s->endpoints, ojson_ref(want));
		if (e)
			return e;
	}
	return 0;
}

/* The next of @want that has no place yet. */
static struct ojson *next_left(const struct ojson *want, size_t *at, const struct omap *left)
{
	for (; *at < ojson_count(want); ++*at) {
		struct ojson *ep = ojson_index(want, *at);
		struct orlop_bytes uid = uid_of(ep);

		if (omap_get(left, uid.p, uid.len) == ep) {
			++*at;
			return ep;
		}
	}
	return NULL;
}

static int slice_fill(struct plan_slice *s, size_t *n_left, const struct ojson *want, size_t *at, const struct omap *left)
{
	while (*n_left && ojson_count(s->endpoints) < SLICE_MAX) {
		struct ojson *ep = next_left(want, at, left);
		int e;

		if (!ep) {
			*n_left = 0;
			break;
		}
		e = ojson_append(s->endpoints, ojson_ref(ep));
		if (e)
			return e;
		s->changed = true;
		--*n_left;
	}
	return 0;
}

/* The fullest slice with room for all @n, among those from @first that do not change yet. */
static struct plan_slice *slice_fit(struct plan *p, size_t first, size_t n)
{
	struct plan_slice *best = NULL;

	for (size_t i = first; i < p->n; i++) {
		struct plan_slice *s = &p->slice[i];

		if (!s->changed && ojson_count(s->endpoints) + n <= SLICE_MAX &&
		    (!best || ojson_count(s->endpoints) > ojson_count(best->endpoints)))
			best = s;
	}
	return best;
}

/* All slices with the ports of one group. */
static int group_plan(struct plan *p, const struct ojson *have, const struct ojson *group)
{
	const struct ojson *ports = ojson_get(group, "ports"), *want = ojson_get(group, "endpoints");
	struct omap left = OMAP_INIT;
	size_t first = p->n, at = 0, n = 0;
	int e = 0;

	OJSON_FOREACH_ELEM(i, ep, want) {
		struct orlop_bytes uid = uid_of(ep);
		void *twice = NULL;

		if (!e)
			e = omap_put(&left, uid.p, uid.len, ep, &twice);
		n += !twice;
	}
	OJSON_FOREACH_ELEM(i, s, have) {
		if (e || !ports_equal(ojson_get(s, "ports"), ports))
			continue;
		e = slice_add(p, s, ports);
		if (!e)
			e = slice_keep(&p->slice[p->n - 1], &left);
		if (!e)
			n -= ojson_count(p->slice[p->n - 1].endpoints);
	}
	for (size_t i = first; i < p->n && !e; i++)
		if (p->slice[i].changed)
			e = slice_fill(&p->slice[i], &n, want, &at, &left);
	while (n && !e) {
		struct plan_slice *s = n < SLICE_MAX ? slice_fit(p, first, n) : NULL;

		if (!s) {
			e = slice_add(p, NULL, ports);
			s = &p->slice[p->n - 1];
			if (e)
				break;
		}
		e = slice_fill(s, &n, want, &at, &left);
	}
	omap_done(&left);
	for (size_t i = first; i < p->n; i++)
		p->slice[i].gone = !ojson_count(p->slice[i].endpoints);
	return e;
}

static bool is_planned(const struct plan *p, const struct ojson *slice)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->slice[i].have == slice)
			return true;
	return false;
}

/* A slice that would go takes the place of one that would be made. */
static void reuse(struct plan *p)
{
	size_t from = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->slice[i].have || p->slice[i].gone)
			continue;
		while (from < p->n && !(p->slice[from].gone && p->slice[from].have))
			from++;
		if (from == p->n)
			return;
		p->slice[i].have = p->slice[from].have;
		p->slice[from].have = NULL;
	}
}

/* There is always one slice, if only an empty one. */
static int placeholder(struct plan *p)
{
	struct plan_slice *last = NULL;

	for (size_t i = 0; i < p->n; i++) {
		if (!p->slice[i].gone)
			return 0;
		if (!last || !ojson_count(ojson_get(p->slice[i].have, "endpoints")))
			last = &p->slice[i];
	}
	if (!last) {
		int e = slice_add(p, NULL, NULL);

		if (e)
			return e;
		last = &p->slice[p->n - 1];
	}
	last->gone = false;
	ojson_unref(last->ports);
	last->ports = ojson_new_array();
	last->changed = !last->have || ojson_count(ojson_get(last->have, "endpoints")) ||
			ojson_count(ojson_get(last->have, "ports"));
	return last->ports ? 0 : -ENOMEM;
}

int plan_make(struct plan *p, const struct ojson *have, const struct ojson *want)
{
	int e = 0;

	p->n = 0;
	OJSON_FOREACH_ELEM(i, group, want) {
		if (!e)
			e = group_plan(p, have, group);
	}
	OJSON_FOREACH_ELEM(i, s, have) {
		if (e || is_planned(p, s))
			continue;
		e = slice_add(p, s, NULL);
		if (!e)
			p->slice[p->n - 1].gone = true;
	}
	if (e)
		return e;
	reuse(p);
	return placeholder(p);
}

void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		ojson_unref(p->slice[i].have);
		ojson_unref(p->slice[i].endpoints);
		ojson_unref(p->slice[i].ports);
	}
	p->n = 0;
}
