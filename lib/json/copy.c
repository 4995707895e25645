/* Trees as wholes: equal ones, and copies; see ojson.h. */
#include "json/ojson.h"

#include "base/ostr.h"
#include "json/tree.h"

#include <errno.h>

static bool numbers_equal(const struct ojson *a, const struct ojson *b)
{
	if (ojson_is(a, OJSON_INT) && ojson_is(b, OJSON_INT))
		return ojson_i64(a, 0) == ojson_i64(b, 0);
	return ojson_double(a, 0) == ojson_double(b, 0);
}

bool ojson_equal(const struct ojson *a, const struct ojson *b)
{
	enum ojson_type t = ojson_type(a);
	size_t n = ojson_count(a);
	struct ojson *other;

	if (a == b)
		return true;
	if (t == OJSON_INT || t == OJSON_DOUBLE)
		return (ojson_is(b, OJSON_INT) || ojson_is(b, OJSON_DOUBLE)) && numbers_equal(a, b);
	if (t != ojson_type(b) || n != ojson_count(b))
		return false;
	switch (t) {
	case OJSON_BOOL:
		return ojson_bool(a, false) == ojson_bool(b, false);
	case OJSON_STRING: {
		struct orlop_bytes sa = ojson_bytes(a);
		struct orlop_bytes sb = ojson_bytes(b);

		return ostr_eq(sa.p, sa.len, sb.p, sb.len);
	}
	case OJSON_ARRAY:
		for (size_t i = 0; i < n; i++)
			if (!ojson_equal(ojson_index(a, i), ojson_index(b, i)))
				return false;
		return true;
	case OJSON_OBJECT:
		OJSON_FOREACH(it, a)
			if (!ojson_lookup(b, it.key, &other) || !ojson_equal(it.value, other))
				return false;
		return true;
	default:
		return true;
	}
}

static int copy_members(const struct ojson *j, struct ojson *to)
{
	struct ojson *v;
	int r;

	OJSON_FOREACH(it, j) {
		r = ojson_copy(it.value, &v);
		if (r == 0)
			r = ojson_put(to, it.key, v);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; ojson_is(j, OJSON_ARRAY) && i < ojson_count(j); i++) {
		r = ojson_copy(ojson_index(j, i), &v);
		if (r == 0)
			r = v ? ojson_append(to, v) : ojson_append_null(to);
		if (r < 0)
			return r;
	}
	return 0;
}

int ojson_copy(const struct ojson *j, struct ojson **ret)
{
	struct orlop_bytes s;
	struct ojson *to = NULL;
	int r = 0;

	switch (ojson_type(j)) {
	case OJSON_NULL:
		*ret = NULL;
		return 0;
	case OJSON_BOOL:
		to = ojson_new_bool(ojson_bool(j, false));
		break;
	case OJSON_INT:
		to = ojson_new_i64(ojson_i64(j, 0));
		break;
	case OJSON_DOUBLE:
		to = ojson_new_double_text(ojson_double(j, 0), ojson_double_text(j));
		break;
	case OJSON_STRING:
		s = ojson_bytes(j);
		to = ojson_new_string(s.p, s.len);
		break;
	case OJSON_ARRAY:
		to = ojson_new_array();
		break;
	case OJSON_OBJECT:
		to = ojson_new_object();
		break;
	}
	if (to == NULL)
		return -ENOMEM;
	r = copy_members(j, to);
	if (r < 0) {
		ojson_unref(to);
		return r;
	}
	*ret = to;
	return 0;
}
