/* Sets of field paths: order, algebra, building; see ofields.h. */
#include "patch/ofields.h"

#include "base/ostr.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int rank(struct orlop_bytes pe)
{
	switch (pe.len > 0 ? pe.p[0] : '\0') {
	case 'f':
		return 0;
	case 'k':
		return 1;
	case 'v':
		return 2;
	default:
		return 3;
	}
}

/* Numbers, then strings, then booleans, then the rest: the order of structured-merge-diff. */
static int value_rank(struct orlop_bytes v)
{
	switch (oscan_type(v)) {
	case OSCAN_NUMBER:
		return 0;
	case OSCAN_STRING:
		return 1;
	case OSCAN_BOOL:
		return 2;
	case OSCAN_ARRAY:
		return 3;
	case OSCAN_OBJECT:
		return 4;
	default:
		return 5;
	}
}

static double number(struct orlop_bytes v)
{
	char text[64];
	size_t n = v.len < sizeof(text) - 1 ? v.len : sizeof(text) - 1;

	memcpy(text, v.p, n);
	text[n] = '\0';
	return strtod(text, NULL);
}

static int value_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	int ra = value_rank(a);
	int rb = value_rank(b);
	double x;
	double y;

	if (ra != rb)
		return ra < rb ? -1 : 1;
	if (ra == 0) {
		x = number(a);
		y = number(b);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return ostr_cmp(a.p, a.len, b.p, b.len);
}

/* Two sets of keys, {"name":value,…} with sorted names: name by name, value by value. */
static int keys_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	struct oscan_iter x;
	struct oscan_iter y;

	oscan_begin(&x, a);
	oscan_begin(&y, b);
	for (;;) {
		bool more_x = oscan_next(&x) > 0;
		bool more_y = oscan_next(&y) > 0;
		int c;

		if (!more_x || !more_y)
			return more_x - more_y;
		c = ostr_cmp(x.key.p, x.key.len, y.key.p, y.key.len);
		if (c == 0)
			c = value_cmp(x.value, y.value);
		if (c != 0)
			return c;
	}
}

int ofields_pe_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	int ra = rank(a);
	int rb = rank(b);
	struct orlop_bytes x = a.len >= 2 ? (struct orlop_bytes){ a.p + 2, a.len - 2 } : a;
	struct orlop_bytes y = b.len >= 2 ? (struct orlop_bytes){ b.p + 2, b.len - 2 } : b;
	int c = 0;

	if (ra != rb)
		return ra < rb ? -1 : 1;
	if (ostr_eq(a.p, a.len, b.p, b.len))
		return 0;
	if (ra == 1)
		c = keys_cmp(x, y);
	else if (ra > 1)
		c = value_cmp(x, y);
	return c != 0 ? c : ostr_cmp(x.p, x.len, y.p, y.len);
}

bool ofields_is_empty(const struct ofields *s)
{
	return s == NULL;
}

bool ofields_equal(const struct ofields *a, const struct ofields *b)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || a->member != b->member || a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct ofields *x = a->child[i];
		const struct ofields *y = b->child[i];

		if (!ostr_eq(x->pe.p, x->pe.len, y->pe.p, y->pe.len) || !ofields_equal(x, y))
			return false;
	}
	return true;
}

const struct ofields *ofields_child(const struct ofields *s, struct orlop_bytes pe)
{
	uint32_t low = 0;
	uint32_t high = s != NULL ? s->n : 0;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = ofields_pe_cmp(s->child[mid]->pe, pe);

		if (c == 0)
			return s->child[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- building ------------------------------------------------------------------------------- */

struct ofields *ofields_new(struct oarena *a)
{
	return oarena_zalloc(a, sizeof(struct ofields));
}

static int append(struct oarena *a, struct ofields *s, struct ofields *child)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
		struct ofields **list = oarena_alloc(a, cap * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		if (s->n > 0)
			memcpy(list, s->child, s->n * sizeof(*list));
		s->child = list;
		s->cap = cap;
	}
	s->child[s->n++] = child;
	return 0;
}

struct ofields *ofields_enter(struct oarena *a, struct ofields *parent, struct orlop_bytes pe)
{
	struct ofields *last = parent->n > 0 ? parent->child[parent->n - 1] : NULL;
	struct ofields *node;

	if (last != NULL && ostr_eq(last->pe.p, last->pe.len, pe.p, pe.len))
		return last;
	node = ofields_new(a);
	if (node == NULL)
		return NULL;
	node->pe = pe;
	return append(a, parent, node) == 0 ? node : NULL;
}

static int by_pe(const void *a, const void *b)
{
	const struct ofields *const *x = a;
	const struct ofields *const *y = b;

	return ofields_pe_cmp((*x)->pe, (*y)->pe);
}

/* Children of @from to those of @to, which then need finishing. */
static void merge_double(struct ofields *to, const struct ofields *from)
{
	/* a double comes from a list with repeated keys: its first element stands for all */
	to->member = to->member || from->member;
	if (to->n == 0) {
		to->n = from->n;
		to->cap = from->n;
		to->child = from->child;
	}
}

const struct ofields *ofields_finish(struct ofields *s)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < s->n; i++) {
		if (ofields_pe_cmp(s->child[i - 1]->pe, s->child[i]->pe) < 0)
			continue;
		qsort(s->child, s->n, sizeof(s->child[0]), by_pe);
		break;
	}
	for (uint32_t i = 0; i < s->n; i++) {
		struct ofields *c = s->child[i];

		if (n > 0 && ofields_pe_cmp(s->child[n - 1]->pe, c->pe) == 0)
			merge_double(s->child[n - 1], c);
		else
			s->child[n++] = c;
	}
	s->n = n;
	n = 0;
	for (uint32_t i = 0; i < s->n; i++)
		if (ofields_finish(s->child[i]) != NULL)
			s->child[n++] = s->child[i];
	s->n = n;
	return s->member || s->n > 0 ? s : NULL;
}

/* ---- algebra -------------------------------------------------------------------------------- */

enum set_op {
	UNION,
	INTERSECTION,
	DIFFERENCE,
	DIFFERENCE_RECURSIVE,
};

static int combine(struct oarena *a, enum set_op op, const struct ofields *x,
		   const struct ofields *y, const struct ofields **ret);

/* Steps through the children of both in order and combines those of equal path element. */
static int combine_children(struct oarena *a, enum set_op op, const struct ofields *x,
			    const struct ofields *y, struct ofields *out)
{
	uint32_t i = 0;
	uint32_t k = 0;
	int r = 0;

	while (r == 0 && (i < x->n || k < y->n)) {
		const struct ofields *node = NULL;
		int c = i == x->n ? 1 : k == y->n ? -1 : ofields_pe_cmp(x->child[i]->pe, y->child[k]->pe);

		if (c == 0)
			r = combine(a, op, x->child[i++], y->child[k++], &node);
		else if (c < 0)
			node = op == INTERSECTION ? (i++, NULL) : x->child[i++];
		else
			node = op == UNION ? y->child[k++] : (k++, NULL);
		if (r == 0 && node != NULL)
			r = append(a, out, (struct ofields *)(uintptr_t)node);
	}
	return r;
}

static int combine(struct oarena *a, enum set_op op, const struct ofields *x,
		   const struct ofields *y, const struct ofields **ret)
{
	struct ofields *out;
	int r;

	*ret = NULL;
	if (x == NULL || y == NULL) {
		if (op == UNION)
			*ret = x != NULL ? x : y;
		else if (op != INTERSECTION)
			*ret = x;
		return 0;
	}
	if (op == DIFFERENCE_RECURSIVE && y->member)
		return 0;
	out = ofields_new(a);
	if (out == NULL)
		return -ENOMEM;
	out->pe = x->pe;
	out->member = op == UNION	 ? x->member || y->member :
		      op == INTERSECTION ? x->member && y->member :
					   x->member && !y->member;
	r = combine_children(a, op, x, y, out);
	if (r == 0 && (out->member || out->n > 0))
		*ret = out;
	return r;
}

int ofields_union(struct oarena *a, const struct ofields *x, const struct ofields *y,
		  const struct ofields **ret)
{
	return combine(a, UNION, x, y, ret);
}

int ofields_intersection(struct oarena *a, const struct ofields *x, const struct ofields *y,
			 const struct ofields **ret)
{
	return combine(a, INTERSECTION, x, y, ret);
}

int ofields_difference(struct oarena *a, const struct ofields *x, const struct ofields *y,
		       const struct ofields **ret)
{
	return combine(a, DIFFERENCE, x, y, ret);
}

int ofields_difference_recursive(struct oarena *a, const struct ofields *x, const struct ofields *y,
				 const struct ofields **ret)
{
	return combine(a, DIFFERENCE_RECURSIVE, x, y, ret);
}

int ofields_leaves(struct oarena *a, const struct ofields *x, const struct ofields **ret)
{
	struct ofields *out;

	*ret = x;
	if (x == NULL || x->n == 0)
		return 0;
	out = ofields_new(a);
	if (out == NULL)
		return -ENOMEM;
	out->pe = x->pe;
	for (uint32_t i = 0; i < x->n; i++) {
		const struct ofields *c;
		int r = ofields_leaves(a, x->child[i], &c);

		if (r == 0)
			r = append(a, out, (struct ofields *)(uintptr_t)c);
		if (r < 0)
			return r;
	}
	*ret = out;
	return 0;
}
