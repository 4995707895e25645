/* rules.c - what a definition's schema may say: OpenAPI's types, what is not supported of it, lists and maps. */
#include "crd/look.h"

#include "schema/seen.h"
#include "schema/validate.h"
#include "base/ocleanup.h"

#include <stdio.h>
#include <string.h>

#define TYPES "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""

/* What is passed on from above. */
struct above {
	const char	*no_defaults;	/* why there may be none; NULL: there may */
	bool		meta;		/* inside of apiVersion, kind or metadata of an object */
};

static void walk(struct look *l, const struct ojson *s, const struct above *above, bool root);

static void each(struct look *l, const struct ojson *list, const char *what, const struct above *above)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		size_t at = look_into(l, ".%s[%zu]", what, (size_t)i);

		walk(l, e, above, false);
		look_back(l, at);
	}
}

static void below(struct look *l, const struct ojson *s, const char *what, const struct above *above)
{
	size_t at;

	if (!ojson_is(s, OJSON_OBJECT))
		return;
	at = look_into(l, ".%s", what);
	walk(l, s, above, false);
	look_back(l, at);
}

/* What this one schema says of itself. */
static void check_own(struct look *l, const struct ojson *s, const struct above *above)
{
	static const struct {
		const char	*key, *why;
		bool		empty;		/* an empty one is none */
	} never[] = {
		{ "id", "id is not supported", true }, { "additionalItems", "additionalItems is not supported", false },
		{ "patternProperties", "patternProperties is not supported", true },
		{ "definitions", "definitions is not supported", true }, { "dependencies", "dependencies is not supported", false },
		{ "$ref", "$ref is not supported", false },
	};
	const char *type = ojson_get_cstr(s, "type", "");

	if (type[0] && strcmp(type, "array") && strcmp(type, "boolean") && strcmp(type, "integer") && strcmp(type, "number") &&
	    strcmp(type, "object") && strcmp(type, "string"))
		look_not_supported(l, "type", type, TYPES);
	if (ojson_get(s, "default") && above->no_defaults)
		look_forbidden(l, "default", above->no_defaults);
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		const struct ojson *v = ojson_get(s, never[i].key);

		if (v && !(never[i].empty && (ojson_string_is(v, "") || (!ojson_is(v, OJSON_STRING) && ojson_count(v) == 0))))
			look_forbidden(l, never[i].key, never[i].why);
	}
	if (!strcmp(type, "null"))
		look_forbidden(l, "type", "type cannot be set to null, use nullable as an alternative");
	if (ojson_count(ojson_get_array(s, "items")))
		look_forbidden(l, "items", "items must be a schema object and not an array");
	if (above->meta && ojson_get_bool(s, "x-kubernetes-embedded-resource", false))
		look_forbidden(l, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
	if (ojson_get_bool(s, "uniqueItems", false))
		look_forbidden(l, "uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
}

static void check_members(struct look *l, const struct ojson *s, const struct above *above, bool root)
{
	const struct ojson *extra = ojson_get(s, "additionalProperties"), *props = ojson_get_object(s, "properties");
	char why[64];

	if (extra) {
		struct above inner = *above;

		if (ojson_count(props) && !ojson_bool(extra, false))
			look_forbidden(l, "additionalProperties", "additionalProperties and properties are mutual exclusive");
		if (above->meta)
			inner.no_defaults = "must not be set inside additionalProperties applying to object metadata";
		below(l, extra, "additionalProperties", &inner);
	}
	OJSON_FOREACH(it, props) {
		size_t at = look_into(l, ".properties[%.*s]", (int)it.key_len, it.key);
		struct above inner = *above;

		if ((root || ojson_get_bool(s, "x-kubernetes-embedded-resource", false)) &&
		    (!strcmp(it.key, "metadata") || !strcmp(it.key, "kind") || !strcmp(it.key, "apiVersion"))) {
			inner.meta = true;
			snprintf(why, sizeof(why), "must not be set in top-level %s", it.key);
			if (root)
				inner.no_defaults = why;
		}
		walk(l, it.value, &inner, false);
		look_back(l, at);
	}
}

/* A type that only goes with an extension. */
static void must_be(struct look *l, const struct ojson *s, const char *type, const char *why)
{
	const char *is = ojson_get_cstr(s, "type", "");

	if (!is[0])
		look_required(l, "type", why);
	else if (strcmp(is, type) != 0)
		look_invalid_text(l, "type", is, why);
}

static void check_set(struct look *l, const struct ojson *items)
{
	static const char why[] = "must be atomic as item of a list with x-kubernetes-list-type=set";
	const char *type = ojson_get_cstr(items, "type", "");
	const struct ojson *list = ojson_get(items, "x-kubernetes-list-type");

	if (!strcmp(type, "array") && list && !ojson_string_is(list, "atomic"))
		look_invalid(l, "items.x-kubernetes-list-type", list, why);
	else if (!strcmp(type, "object") && !ojson_string_is(ojson_get(items, "x-kubernetes-map-type"), "atomic"))
		look_invalid(l, "items.x-kubernetes-map-type", list, why);
}

static void check_keys(struct look *l, const struct ojson *items, const struct ojson *keys)
{
	const char *type = ojson_get_cstr(items, "type", "");
	cleanup_oseen struct oseen seen, needed;
	bool lost = false;

	oseen_init(&seen, &lost);
	oseen_init(&needed, &lost);
	OJSON_FOREACH_ELEM(i, r, ojson_get_array(items, "required"))
		(void)oseen(&needed, r, NULL);
	if (strcmp(type, "object") != 0)
		look_invalid_text(l, "items.type", type, "must be object if parent array's x-kubernetes-list-type is map");
	OJSON_FOREACH_ELEM(i, k, strcmp(type, "object") ? NULL : keys) {
		const struct ojson *p = ojson_get(ojson_get(items, "properties"), ojson_cstr(k, ""));
		const char *t = ojson_get_cstr(p, "type", "");

		if (!p) {
			look_invalid(l, "x-kubernetes-list-map-keys", keys, "entries must all be names of item properties");
		} else if (!strcmp(t, "object") || !strcmp(t, "array")) {
			size_t at = look_into(l, ".items.properties[%s]", ojson_cstr(k, ""));

			look_invalid_text(l, "type", type, "must be a scalar type if parent array's x-kubernetes-list-type is map");
			look_back(l, at);
		}
		if (oseen(&seen, k, NULL))
			look_invalid(l, "x-kubernetes-list-map-keys", keys, "must not contain duplicate entries");
	}
	if (ojson_get_bool(items, "nullable", false))
		look_forbidden(l, "items.nullable", "cannot be nullable when x-kubernetes-list-type is map");
	OJSON_FOREACH_ELEM(i, k, keys) {
		const struct ojson *p = ojson_get(ojson_get(items, "properties"), ojson_cstr(k, ""));
		size_t at;

		if (!p)
			continue;
		at = look_into(l, ".items.properties[%s]", ojson_cstr(k, ""));
		if (!oseen_has(&needed, k) && !ojson_get(p, "default"))
			look_required(l, "default", "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
				      "required property");
		if (ojson_get_bool(p, "nullable", false))
			look_forbidden(l, "nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
		look_back(l, at);
	}
}

static void check_lists(struct look *l, const struct ojson *s)
{
	const struct ojson *list = ojson_get(s, "x-kubernetes-list-type"), *map = ojson_get(s, "x-kubernetes-map-type");
	const struct ojson *keys = ojson_get_array(s, "x-kubernetes-list-map-keys"), *items = ojson_get_object(s, "items");
	bool set = ojson_string_is(list, "set");

	if (map)
		must_be(l, s, "object", "must be object if x-kubernetes-map-type is specified");
	if (map && !ojson_string_is(map, "atomic") && !ojson_string_is(map, "granular"))
		look_not_supported(l, "x-kubernetes-map-type", ojson_cstr(map, ""), "\"atomic\", \"granular\"");
	if (list)
		must_be(l, s, "array", "must be array if x-kubernetes-list-type is specified");
	if (set && items && ojson_string_is(ojson_get(s, "type"), "array"))
		check_set(l, items);
	if (list && !set && !ojson_string_is(list, "atomic") && !ojson_string_is(list, "map"))
		look_not_supported(l, "x-kubernetes-list-type", ojson_cstr(list, ""), "\"atomic\", \"set\", \"map\"");
	if (ojson_count(keys) && !list)
		look_required(l, "x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty");
	else if (ojson_count(keys) && !ojson_string_is(list, "map"))
		look_invalid(l, "x-kubernetes-list-type", list, "must be map if x-kubernetes-list-map-keys is non-empty");
	if (set && items && ojson_get_bool(items, "nullable", false))
		look_forbidden(l, "items.nullable", "cannot be nullable when x-kubernetes-list-type is set");
	if (!ojson_string_is(list, "map"))
		return;
	if (ojson_count(keys) == 0)
		look_required(l, "x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map");
	if (!ojson_get(s, "items"))
		look_required(l, "items", "must have a schema if x-kubernetes-list-type is map");
	else if (!items)
		look_invalid(l, "items", ojson_get(s, "items"), "must only have a single schema if x-kubernetes-list-type is map");
	else
		check_keys(l, items, keys);
}

/* Rules in CEL are not evaluated; whoever writes one hears of it. */
static void tell_rules(struct look *l, const struct ojson *s)
{
	OJSON_FOREACH_ELEM(k, rule, ojson_get_array(s, "x-kubernetes-validations")) {
		cleanup_obuf struct obuf at = OBUF_INIT;
		char text[1700];

		obuf_printf(&at, "%s.x-kubernetes-validations[%zu]", obuf_cstr(&l->path), (size_t)k);
		oschema_not_evaluated(text, sizeof(text), obuf_cstr(&at), "rule", ojson_get_cstr(rule, "rule", ""));
		if (l->warn)
			l->warn(l->arg, text);
	}
}

static void walk(struct look *l, const struct ojson *s, const struct above *above, bool root)
{
	if (look_deep(l))
		return;
	check_own(l, s, above);
	check_members(l, s, above, root);
	below(l, ojson_get(s, "not"), "not", above);
	each(l, ojson_get_array(s, "allOf"), "allOf", above);
	each(l, ojson_get_array(s, "oneOf"), "oneOf", above);
	each(l, ojson_get_array(s, "anyOf"), "anyOf", above);
	OJSON_FOREACH(it, ojson_get_object(s, "definitions")) {
		size_t at = look_into(l, ".definitions[%.*s]", (int)it.key_len, it.key);

		walk(l, it.value, above, false);
		look_back(l, at);
	}
	below(l, ojson_get(s, "items"), "items", above);
	each(l, ojson_get_array(s, "items"), "items", above);
	OJSON_FOREACH(it, ojson_get_object(s, "dependencies")) {
		size_t at = look_into(l, ".dependencies[%.*s]", (int)it.key_len, it.key);

		if (ojson_is(it.value, OJSON_OBJECT))
			walk(l, it.value, above, false);
		look_back(l, at);
	}
	if (ojson_get(s, "x-kubernetes-preserve-unknown-fields") && !ojson_get_bool(s, "x-kubernetes-preserve-unknown-fields", true))
		look_invalid(l, "x-kubernetes-preserve-unknown-fields", ojson_get(s, "x-kubernetes-preserve-unknown-fields"),
			     "must be true or undefined");
	check_lists(l, s);
	tell_rules(l, s);
}

void look_rules(struct look *l, const struct ojson *schema)
{
	struct above above = { NULL, false };

	walk(l, schema, &above, true);
}
