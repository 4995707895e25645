/*
 * structural.c - is a schema structural: does it say of every field what it is, outside of what is only
 * checked? And all walks through the schema of one version, in upstream's order.
 */
#include "crd/look.h"

#include "base/ocleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum level { ROOT, ITEM, FIELD };

static const char *const junctors[] = { "anyOf", "allOf", "oneOf" };

static bool flag(const struct ojson *s, const char *key)
{
	return ojson_get_bool(s, key, false);
}

static void invariants(struct look *l, const struct ojson *s, enum level level);
static void nested(struct look *l, const struct ojson *s, bool skip_any);

/* Nothing but that type; what is for people does not count. */
static bool only_type(const struct ojson *s, const char *type)
{
	size_t n = 1 + (size_t)ojson_has(s, "example") + (size_t)ojson_has(s, "externalDocs");

	return ojson_count(s) == n && ojson_string_is(ojson_get(s, "type"), type);
}

/* anyOf of integer and string: how int-or-string is written, and the one place where a type stands in a junctor. */
static bool int_or_string(const struct ojson *s)
{
	const struct ojson *any = ojson_get_array(s, "anyOf");

	return ojson_count(any) == 2 && only_type(ojson_index(any, 0), "integer") && only_type(ojson_index(any, 1), "string");
}

static void check_pattern(struct look *l, const struct ojson *s)
{
	const char *pattern = ojson_get_cstr(s, "pattern", "");
	const struct ocrd_re *re;
	struct oarena a;
	int r;

	if (!pattern[0])
		return;
	oarena_init(&a, 0);
	r = ocrd_re_compile(&a, pattern, &re);
	if (r == -EINVAL || r == -E2BIG)
		look_invalid(l, "pattern", ojson_get(s, "pattern"), "must be a valid regular expression, but isn't");
	oarena_done(&a);
}

static void values(struct look *l, const struct ojson *s, bool skip_any, bool skip_first)
{
	for (size_t k = 0; k < 3; k++) {
		if (k == 0 && skip_any)
			continue;
		OJSON_FOREACH_ELEM(i, e, ojson_get_array(s, junctors[k])) {
			size_t at = look_into(l, ".%s[%zu]", junctors[k], (size_t)i);

			nested(l, e, k == 1 && i == 0 && skip_first);
			look_back(l, at);
		}
	}
	if (ojson_get_object(s, "not")) {
		size_t at = look_into(l, ".not");

		nested(l, ojson_get_object(s, "not"), false);
		look_back(l, at);
	}
	check_pattern(l, s);
}

static bool is_empty(const struct ojson *v)
{
	return !v || ojson_string_is(v, "") || (ojson_is(v, OJSON_BOOL) && !ojson_bool(v, false)) ||
	       (ojson_is(v, OJSON_ARRAY) && ojson_count(v) == 0);
}

/* Below a junctor there is only what is checked, and nothing that says what a field is. */
static void nested(struct look *l, const struct ojson *s, bool skip_any)
{
	static const struct {
		const char	*key, *why;
		bool		any;		/* even an empty one */
	} never[] = {
		{ "type", "must be empty to be structural", false },
		{ "additionalProperties", "must be undefined to be structural", true },
		{ "default", "must be undefined to be structural", true },
		{ "title", "must be empty to be structural", false },
		{ "description", "must be empty to be structural", false },
		{ "nullable", "must be false to be structural", false },
		{ "x-kubernetes-preserve-unknown-fields", "must be false to be structural", false },
		{ "x-kubernetes-embedded-resource", "must be false to be structural", false },
		{ "x-kubernetes-int-or-string", "must be false to be structural", false },
		{ "x-kubernetes-list-map-keys", "must be empty to be structural", false },
		{ "x-kubernetes-list-type", "must be undefined to be structural", true },
		{ "x-kubernetes-map-type", "must be undefined to be structural", true },
		{ "x-kubernetes-validations", "must be empty to be structural", false },
	};

	if (look_deep(l))
		return;
	values(l, s, skip_any, false);
	if (ojson_get_object(s, "items")) {
		size_t at = look_into(l, ".items");

		nested(l, ojson_get_object(s, "items"), false);
		look_back(l, at);
	}
	OJSON_FOREACH(it, ojson_get_object(s, "properties")) {
		size_t at = look_into(l, ".properties[%.*s]", (int)it.key_len, it.key);

		nested(l, it.value, false);
		look_back(l, at);
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		const struct ojson *v = ojson_get(s, never[i].key);

		if (never[i].any ? v != NULL : !is_empty(v))
			look_forbidden(l, never[i].key, never[i].why);
	}
	if (ojson_has(ojson_get_object(s, "properties"), "metadata"))
		look_forbidden(l, "properties[metadata]", "must not be specified in a nested context");
}

/* apiVersion, kind and metadata of an object: what they are is known. */
static void check_meta(struct look *l, const struct ojson *s, bool root)
{
	static const char *const keys[] = { "kind", "apiVersion", "metadata" };
	static const char *const types[] = { "string", "string", "object" };
	const struct ojson *props = ojson_get_object(s, "properties"), *meta = ojson_get(props, "metadata"), *of = ojson_get(meta, "properties");
	size_t known = (size_t)ojson_has(of, "name") + (size_t)ojson_has(of, "generateName");
	bool more = ojson_count(of) != known;

	for (size_t i = 0; i < 3; i++) {
		const char *type = ojson_get_cstr(ojson_get(props, keys[i]), "type", "");
		size_t at;

		if (!ojson_has(props, keys[i]) || !strcmp(type, types[i]))
			continue;
		at = look_into(l, ".properties[%s]", keys[i]);
		look_invalid_text(l, "type", type, i == 2 ? "must be object" : "must be string");
		look_back(l, at);
	}
	if (!root || !meta)
		return;
	OJSON_FOREACH(it, meta)
		more = more || (strcmp(it.key, "type") && strcmp(it.key, "default") && strcmp(it.key, "properties") &&
				strcmp(it.key, "externalDocs") && strcmp(it.key, "example") && !is_empty(it.value));
	if (more)
		look_forbidden(l, "properties[metadata]",
			       "must not specify anything other than name and generateName, but metadata is implicitly specified");
}

static void check_type(struct look *l, const struct ojson *s, enum level level)
{
	static const char *const empty[] = {
		"must not be empty at the root", "must not be empty for specified array items",
		"must not be empty for specified object fields",
	};
	static const char what[] = "must be object if x-kubernetes-embedded-resource is true";
	const char *type = ojson_get_cstr(s, "type", "");
	bool embedded = flag(s, "x-kubernetes-embedded-resource");

	if (embedded && type[0] && strcmp(type, "object"))
		look_invalid_text(l, "type", type, what);
	else if (embedded && !type[0])
		look_required(l, "type", what);
	else if (!type[0] && !flag(s, "x-kubernetes-int-or-string") && !flag(s, "x-kubernetes-preserve-unknown-fields"))
		look_required(l, "type", empty[level]);
	if (embedded && ojson_get(s, "additionalProperties"))
		look_forbidden(l, "additionalProperties", "must not be used if x-kubernetes-embedded-resource is set");
	if (level == ROOT && type[0] && strcmp(type, "object"))
		look_invalid_text(l, "type", type, "must be object at the root");
}

static void invariants(struct look *l, const struct ojson *s, enum level level)
{
	static const char *const both[] = { "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource" };
	const struct ojson *items = ojson_get_object(s, "items"), *extra = ojson_get(s, "additionalProperties");
	bool embedded = flag(s, both[1]);

	if (look_deep(l))
		return;
	if (ojson_string_is(ojson_get(s, "type"), "array") && !items)
		look_required(l, "items", "must be specified");
	if (items) {
		size_t at = look_into(l, ".items");

		invariants(l, items, ITEM);
		look_back(l, at);
	}
	OJSON_FOREACH(it, ojson_get_object(s, "properties")) {
		size_t at = look_into(l, ".properties[%.*s]", (int)it.key_len, it.key);

		invariants(l, it.value, FIELD);
		look_back(l, at);
	}
	if (extra && level == ROOT)
		look_forbidden(l, "additionalProperties", "must not be used at the root");
	if (ojson_is(extra, OJSON_OBJECT)) {
		size_t at = look_into(l, ".additionalProperties");

		invariants(l, extra, FIELD);
		look_back(l, at);
	}
	for (size_t i = 0; i < 2; i++)
		if (flag(s, "x-kubernetes-int-or-string") && flag(s, both[i]))
			look_invalid(l, both[i], ojson_get(s, both[i]), "must be false if x-kubernetes-int-or-string is true");
	values(l, s, int_or_string(s), int_or_string(ojson_index(ojson_get_array(s, "allOf"), 0)));
	check_type(l, s, level);
	if (level == ROOT || embedded)
		check_meta(l, s, level == ROOT);
	if (embedded && !flag(s, both[0]) && ojson_count(ojson_get_object(s, "properties")) == 0)
		look_required(l, "properties",
			      "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
}

/* ---- what is checked in a junctor of the root must be said outside of it, too ---- */

static void complete(struct look *l, const struct ojson *v, const struct ojson *s, struct obuf *from);

static void complete_one(struct look *l, const struct ojson *v, const struct ojson *s, struct obuf *from)
{
	size_t at = from->len;

	if (!v || look_deep(l))
		return;
	if (!s) {
		cleanup_obuf struct obuf why = OBUF_INIT;

		obuf_printf(&why, "because it is defined in %s", obuf_cstr(from));
		look_required(l, "", obuf_cstr(&why));
		return;
	}
	complete(l, v, s, from);
	if (ojson_get_object(v, "items")) {
		size_t was = look_into(l, ".items");

		obuf_puts(from, ".items");
		complete_one(l, ojson_get_object(v, "items"), ojson_get_object(s, "items"), from);
		obuf_truncate(from, at);
		look_back(l, was);
	}
	OJSON_FOREACH(it, ojson_get_object(v, "properties")) {
		size_t was = look_into(l, ".properties[%.*s]", (int)it.key_len, it.key);

		obuf_printf(from, ".properties[%.*s]", (int)it.key_len, it.key);
		complete_one(l, it.value, ojson_get(ojson_get_object(s, "properties"), it.key), from);
		obuf_truncate(from, at);
		look_back(l, was);
	}
}

static void complete(struct look *l, const struct ojson *v, const struct ojson *s, struct obuf *from)
{
	size_t at = from->len;

	l->depth++;
	if (ojson_get_object(v, "not")) {
		obuf_puts(from, ".not");
		complete_one(l, ojson_get_object(v, "not"), s, from);
		obuf_truncate(from, at);
	}
	for (size_t k = 0; k < 3; k++) {
		OJSON_FOREACH_ELEM(i, e, ojson_get_array(v, junctors[k])) {
			obuf_printf(from, ".%s[%zu]", junctors[k], (size_t)i);
			complete_one(l, e, s, from);
			obuf_truncate(from, at);
		}
	}
	l->depth--;
}

void look_structural(struct look *l, const struct ojson *schema)
{
	cleanup_obuf struct obuf from = OBUF_INIT;

	invariants(l, schema, ROOT);
	obuf_puts(&from, obuf_cstr(&l->path));
	complete(l, schema, schema, &from);
}

/* ---- all walks ---- */

/* Is there something in it that no structural schema can have? Nearly all of that is told by the walk through the rules. */
static bool has_foreign(const struct ojson *s, int depth)
{
	static const char *const keys[] = { "id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions" };
	bool has = depth < LOOK_DEPTH && ((ojson_get(s, "x-kubernetes-preserve-unknown-fields") && !flag(s, "x-kubernetes-preserve-unknown-fields")) ||
		   ojson_count(ojson_get_array(s, "items")));

	if (!s || depth == LOOK_DEPTH)
		return false;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const struct ojson *v = ojson_get(s, keys[i]);

		has = has || (ojson_is(v, OJSON_OBJECT) && i != 5 ? ojson_count(v) != 0 : v && !ojson_string_is(v, ""));
	}
	for (size_t k = 0; k < 3; k++)
		OJSON_FOREACH_ELEM(i, e, ojson_get_array(s, junctors[k]))
			has = has || has_foreign(e, depth + 1);
	OJSON_FOREACH(it, ojson_get_object(s, "properties"))
		has = has || has_foreign(it.value, depth + 1);
	return has || has_foreign(ojson_get_object(s, "not"), depth + 1) || has_foreign(ojson_get_object(s, "items"), depth + 1) ||
	       has_foreign(ojson_get_object(s, "additionalProperties"), depth + 1);
}

/*
 * With a subresource for the status its schema is taken out of the root's properties: nothing at the root may
 * say something about it. The first that does is told, in the order in which upstream keeps them.
 */
static void check_root(struct look *l, const struct ojson *s)
{
	static const struct {
		const char	*key;
		bool		good;
	} keys[] = {
		{ "id", false }, { "$schema", false }, { "$ref", false }, { "description", true }, { "type", true }, { "nullable", false },
		{ "format", true }, { "title", true }, { "default", false }, { "maximum", true }, { "exclusiveMaximum", true },
		{ "minimum", true }, { "exclusiveMinimum", true }, { "maxLength", true }, { "minLength", true }, { "pattern", true },
		{ "maxItems", true }, { "minItems", true }, { "uniqueItems", true }, { "multipleOf", true }, { "enum", false },
		{ "maxProperties", false }, { "minProperties", false }, { "required", true }, { "items", true }, { "allOf", false },
		{ "oneOf", false }, { "anyOf", false }, { "not", false }, { "properties", true }, { "additionalProperties", false },
		{ "patternProperties", false }, { "dependencies", false }, { "additionalItems", false }, { "definitions", false },
		{ "externalDocs", true }, { "example", true }, { "x-kubernetes-preserve-unknown-fields", true },
		{ "x-kubernetes-embedded-resource", false }, { "x-kubernetes-int-or-string", false },
		{ "x-kubernetes-list-map-keys", false }, { "x-kubernetes-list-type", false }, { "x-kubernetes-map-type", false },
		{ "x-kubernetes-validations", true },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const struct ojson *v = ojson_get(s, keys[i].key);
		bool is_type = !strcmp(keys[i].key, "type");

		if (!v || (ojson_string_is(v, "") && strncmp(keys[i].key, "x-", 2)) || (ojson_is(v, OJSON_BOOL) && !ojson_bool(v, false) &&
		    strcmp(keys[i].key, "additionalProperties") && strcmp(keys[i].key, "default") && strcmp(keys[i].key, "additionalItems")))
			continue;
		if (is_type && !ojson_string_is(v, "object")) {
			look_invalid(l, "type", v, "only \"object\" is allowed as the type at the root of the schema if the status "
				     "subresource is enabled");
			return;
		}
		if (keys[i].good)
			continue;
		look_invalid(l, "", s, "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength "
			     "MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
			     "XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource "
			     "is enabled");
		return;
	}
}

struct kept {
	char	*reason, *field, *message, *text;
};

/* Findings that are told in the order of their texts. */
struct keep {
	struct oarena	arena;
	struct kept	v[LOOK_MAX];
	size_t		n;
};

static void keep_one(void *arg, const char *reason, const char *field, const char *message)
{
	struct keep *k = arg;
	struct kept *e = &k->v[k->n];

	if (k->n == LOOK_MAX)
		return;
	e->reason = oarena_strdup(&k->arena, reason);
	e->field = oarena_strdup(&k->arena, field);
	e->message = oarena_strdup(&k->arena, message);
	e->text = oarena_printf(&k->arena, "%s: %s", field, message);
	if (e->reason && e->field && e->message && e->text)
		k->n++;
}

static int kept_cmp(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->text, ((const struct kept *)b)->text);
}

static void structural_sorted(struct look *l, const struct ojson *schema)
{
	struct keep keep = { .n = 0 };
	struct look inner = *l;

	oarena_init(&keep.arena, 0);
	inner.fn = keep_one;
	inner.arg = &keep;
	look_structural(&inner, schema);
	l->path = inner.path;
	l->found = inner.found;
	qsort(keep.v, keep.n, sizeof(*keep.v), kept_cmp);
	for (size_t i = 0; i < keep.n; i++)
		l->fn(l->arg, keep.v[i].reason, keep.v[i].field, keep.v[i].message);
	oarena_done(&keep.arena);
}

void ocrd_structural(const struct ojson *schema, const char *path, bool status, ocrd_report_fn fn,
		     void (*warn)(void *arg, const char *text), void *arg)
{
	struct look l = { .fn = fn, .warn = warn, .arg = arg, .path = OBUF_INIT };
	bool foreign = has_foreign(schema, 0);
	unsigned int before;

	obuf_puts(&l.path, path);
	if (status)
		check_root(&l, schema);
	if (flag(schema, "nullable"))
		look_forbidden(&l, "nullable", "nullable cannot be true at the root");
	before = l.found;
	if (!foreign)
		structural_sorted(&l, schema);
	if (!foreign && l.found == before)
		look_defaults(&l, schema);
	look_rules(&l, schema);
	if (foreign && l.found == 0)
		look_invalid_text(&l, "", "", "OpenAPIV3Schema 'schema' is not supported");
	obuf_done(&l.path);
}
