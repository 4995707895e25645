/* node.c - a schema compiled into nodes: what decides about objects, without texts for people. */
#include "crd/ocrd.h"

#include "base/obuf.h"
#include "base/ostr.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 100

static int compile(struct oarena *a, const struct ojson *s, int depth, const struct ocrd_node **ret);

static const char *text_of(struct oarena *a, const struct ojson *v)
{
	struct obuf b = OBUF_INIT;
	const char *p = ojson_write(v, 0, &b) == 0 ? oarena_strndup(a, b.data, b.len) : NULL;

	obuf_done(&b);
	return p;
}

static int strings(struct oarena *a, const struct ojson *arr, const char *const **ret, uint32_t *ret_n)
{
	size_t n = ojson_count(arr);
	const char **v = oarena_zalloc(a, (n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i] = oarena_strdup(a, ojson_cstr(ojson_index(arr, i), ""));
		if (!v[i])
			return -ENOMEM;
	}
	*ret = v;
	*ret_n = (uint32_t)n;
	return 0;
}

static int nodes(struct oarena *a, const struct ojson *arr, int depth, const struct ocrd_node *const **ret,
		 uint16_t *ret_n)
{
	size_t n = ojson_count(arr);
	const struct ocrd_node **v;

	if (n == 0)
		return 0;
	if (n > 1000)
		return -E2BIG;
	v = oarena_zalloc(a, n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = compile(a, ojson_index(arr, i), depth + 1, &v[i]);

		if (r)
			return r;
	}
	*ret = v;
	*ret_n = (uint16_t)n;
	return 0;
}

static int64_t count_of(const struct ojson *s, const char *key)
{
	return ojson_get_i64(s, key, OCRD_NO_COUNT);
}

static double number_of(const struct ojson *s, const char *key)
{
	return ojson_has(s, key) ? ojson_double(ojson_get(s, key), NAN) : (double)NAN;
}

static bool has_rules(const struct ojson *s)
{
	static const char *const keys[] = {
		"minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
		"maxProperties", "pattern", "format", "enum", "required", "allOf", "anyOf", "oneOf", "not",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (ojson_get(s, keys[i]))
			return true;
	return false;
}

static int rules(struct oarena *a, const struct ojson *s, int depth, const struct ocrd_rules **ret)
{
	struct ocrd_rules *u;
	const struct ojson *e = ojson_get_array(s, "enum");
	const char *text;
	int r;

	if (!has_rules(s))
		return 0;
	u = oarena_zalloc(a, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->min = number_of(s, "minimum");
	u->max = number_of(s, "maximum");
	u->multiple = number_of(s, "multipleOf");
	u->excl_min = ojson_get_bool(s, "exclusiveMinimum", false);
	u->excl_max = ojson_get_bool(s, "exclusiveMaximum", false);
	u->min_len = count_of(s, "minLength");
	u->max_len = count_of(s, "maxLength");
	u->min_items = count_of(s, "minItems");
	u->max_items = count_of(s, "maxItems");
	u->min_props = count_of(s, "minProperties");
	u->max_props = count_of(s, "maxProperties");
	text = ojson_get_cstr(s, "pattern", "");
	if (text[0]) {
		u->pattern = oarena_strdup(a, text);
		if (!u->pattern)
			return -ENOMEM;
		r = ocrd_re_compile(a, text, &u->re);
		if (r == -ENOMEM)
			return r;
	}
	text = ojson_get_cstr(s, "format", "");
	if (text[0] && !(u->format = oarena_strdup(a, text)))
		return -ENOMEM;
	if (ojson_count(e)) {
		const char **v = oarena_zalloc(a, ojson_count(e) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		u->n_enums = (uint32_t)ojson_count(e);
		for (uint32_t i = 0; i < u->n_enums; i++)
			if (!(v[i] = text_of(a, ojson_index(e, i))))
				return -ENOMEM;
		u->enums = v;
	}
	r = strings(a, ojson_get_array(s, "required"), &u->required, &u->n_required);
	if (r == 0)
		r = nodes(a, ojson_get_array(s, "allOf"), depth, &u->all_of, &u->n_all);
	if (r == 0)
		r = nodes(a, ojson_get_array(s, "anyOf"), depth, &u->any_of, &u->n_any);
	if (r == 0)
		r = nodes(a, ojson_get_array(s, "oneOf"), depth, &u->one_of, &u->n_one);
	if (r == 0 && ojson_get_object(s, "not"))
		r = compile(a, ojson_get_object(s, "not"), depth + 1, &u->not_of);
	*ret = u;
	return r;
}

static int prop_cmp(const void *a, const void *b)
{
	return strcmp(((const struct ocrd_prop *)a)->name, ((const struct ocrd_prop *)b)->name);
}

static int props(struct oarena *a, const struct ojson *s, int depth, struct ocrd_node *n)
{
	const struct ojson *list = ojson_get_object(s, "properties");
	struct ocrd_prop *v;
	size_t i = 0;

	if (ojson_count(list) == 0)
		return 0;
	v = oarena_zalloc(a, ojson_count(list) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	OJSON_FOREACH(it, list) {
		int r = compile(a, it.value, depth + 1, &v[i].node);

		v[i].name = oarena_strndup(a, it.key, it.key_len);
		if (r || !v[i].name)
			return r ? r : -ENOMEM;
		n->flags |= v[i].node->flags & (OCRD_HAS_DEFAULTS | OCRD_HAS_RULES);
		i++;
	}
	qsort(v, i, sizeof(*v), prop_cmp);
	n->props = v;
	n->n_props = (uint32_t)i;
	return 0;
}

static uint8_t type_of(const struct ojson *s)
{
	static const char *const names[] = { "", "object", "array", "string", "integer", "number", "boolean" };
	const char *t = ojson_get_cstr(s, "type", "");

	for (uint8_t i = 1; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(t, names[i]))
			return i;
	return OCRD_ANY;
}

static uint16_t flags_of(const struct ojson *s)
{
	static const struct {
		const char	*key;
		uint16_t	flag;
	} bools[] = {
		{ "nullable", OCRD_NULLABLE },
		{ "x-kubernetes-preserve-unknown-fields", OCRD_PRESERVE },
		{ "x-kubernetes-embedded-resource", OCRD_EMBEDDED },
		{ "x-kubernetes-int-or-string", OCRD_INT_OR_STRING },
	};
	const char *list = ojson_get_cstr(s, "x-kubernetes-list-type", "");
	uint16_t f = 0;

	for (size_t i = 0; i < sizeof(bools) / sizeof(*bools); i++)
		if (ojson_get_bool(s, bools[i].key, false))
			f |= bools[i].flag;
	if (!strcmp(list, "set"))
		f |= OCRD_LIST_SET;
	else if (!strcmp(list, "map"))
		f |= OCRD_LIST_MAP;
	if (!strcmp(ojson_get_cstr(s, "x-kubernetes-map-type", ""), "atomic"))
		f |= OCRD_MAP_ATOMIC;
	if (ojson_count(ojson_get_array(s, "x-kubernetes-validations")))
		f |= OCRD_HAS_RULES;
	return f;
}

static int compile(struct oarena *a, const struct ojson *s, int depth, const struct ocrd_node **ret)
{
	const struct ojson *items = ojson_get_object(s, "items");
	const struct ojson *extra = ojson_get(s, "additionalProperties");
	struct ocrd_node *n;
	uint32_t n_keys = 0;
	int r;

	if (depth > MAX_DEPTH)
		return -E2BIG;
	n = oarena_zalloc(a, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->type = type_of(s);
	n->flags = flags_of(s);
	r = props(a, s, depth, n);
	if (r == 0 && items)
		r = compile(a, items, depth + 1, &n->items);
	if (r == 0 && ojson_is(extra, OJSON_OBJECT))
		r = compile(a, extra, depth + 1, &n->extra);
	else if (ojson_bool(extra, false))
		n->flags |= OCRD_ANY_EXTRA;
	if (r == 0 && n->flags & OCRD_LIST_MAP)
		r = strings(a, ojson_get_array(s, "x-kubernetes-list-map-keys"), &n->keys, &n_keys);
	n->n_keys = (uint8_t)(n_keys > 200 ? 200 : n_keys);
	if (r == 0 && ojson_get(s, "default")) {
		n->def = text_of(a, ojson_get(s, "default"));
		n->flags |= OCRD_HAS_DEFAULTS;
		r = n->def ? 0 : -ENOMEM;
	}
	if (n->items)
		n->flags |= n->items->flags & (OCRD_HAS_DEFAULTS | OCRD_HAS_RULES);
	if (n->extra)
		n->flags |= n->extra->flags & (OCRD_HAS_DEFAULTS | OCRD_HAS_RULES);
	if (r == 0)
		r = rules(a, s, depth, &n->rules);
	*ret = n;
	return r;
}

int ocrd_compile(struct oarena *a, const struct ojson *schema, const struct ocrd_node **ret)
{
	return compile(a, schema, 0, ret);
}

const struct ocrd_node *ocrd_prop(const struct ocrd_node *n, const char *name, size_t len)
{
	uint32_t lo = 0, hi = n->n_props;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int d = strncmp(n->props[mid].name, name, len);

		if (d == 0)
			d = n->props[mid].name[len] != '\0';
		if (d == 0)
			return n->props[mid].node;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
