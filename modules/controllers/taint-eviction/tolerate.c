/*
 * tolerate.c - how long a pod may stay on a node with taints. Pure.
 *
 * Of several tolerations that match the first counts, as upstream.
 * Source: k8s.io/api/core/v1 Toleration.ToleratesTaint, component-helpers GetMatchingTolerations.
 */
#include "tolerate.h"

#include <string.h>

static bool same(const struct ojson *a, const struct ojson *b, const char *key)
{
	return !strcmp(ojson_get_cstr(a, key, ""), ojson_get_cstr(b, key, ""));
}

static bool matches(const struct ojson *tol, const struct ojson *taint)
{
	const char *op = ojson_get_cstr(tol, "operator", "");

	if (*ojson_get_cstr(tol, "effect", "") && !same(tol, taint, "effect"))
		return false;
	if (*ojson_get_cstr(tol, "key", "") && !same(tol, taint, "key"))
		return false;
	if (!strcmp(op, "Exists"))
		return true;
	return (!*op || !strcmp(op, "Equal")) && same(tol, taint, "value");
}

bool tolerated(const struct ojson *list, const struct ojson *taint, int64_t *ret_s)
{
	OJSON_FOREACH_ELEM(i, tol, list) {
		if (!matches(tol, taint))
			continue;
		*ret_s = ojson_get_i64(tol, "tolerationSeconds", STAY_FOREVER);
		if (*ret_s < 0)
			*ret_s = 0;
		return true;
	}
	return false;
}
