/* structural.c - is a schema structural, and does it hold together? Upstream's findings, for one version. */
#include "crd/ocrd.h"

#include "base/obuf.h"
#include "base/ocleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 100

struct look {
	ocrd_report_fn	fn;
	void		(*warn)(void *arg, const char *text);
	void		*arg;
	int		depth;
};

static void say(const struct look *l, const char *reason, const char *path, const char *field, const char *msg)
{
	char at[1024];

	snprintf(at, sizeof(at), "%s%s%s", path, field[0] ? "." : "", field);
	l->fn(l->arg, reason, at, msg);
}

static void forbidden(const struct look *l, const char *path, const char *field, const char *why)
{
	char msg[300];

	snprintf(msg, sizeof(msg), "Forbidden: %s", why);
	say(l, "FieldValueForbidden", path, field, msg);
}

static void required(const struct look *l, const char *path, const char *field, const char *why)
{
	char msg[300];

	snprintf(msg, sizeof(msg), "Required value: %s", why);
	say(l, "FieldValueRequired", path, field, msg);
}

static void invalid(const struct look *l, const char *path, const char *field, const struct ojson *v, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	obuf_puts(&b, "Invalid value: ");
	(void)ojson_write(v, 0, &b);
	obuf_printf(&b, ": %s", why);
	say(l, "FieldValueInvalid", path, field, obuf_cstr(&b));
}

static void not_supported(const struct look *l, const char *path, const char *field, const char *v, const char *values)
{
	char msg[400];

	snprintf(msg, sizeof(msg), "Unsupported value: \"%s\": supported values: %s", v, values);
	say(l, "FieldValueNotSupported", path, field, msg);
}

static void check_never(const struct look *l, const struct ojson *s, const char *path)
{
	static const char *const never[] = { "definitions", "dependencies", "patternProperties", "additionalItems",
					     "$ref", "id", "$schema" };
	char why[80];

	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		if (!ojson_get(s, never[i]))
			continue;
		snprintf(why, sizeof(why), "%s is not supported", never[i]);
		forbidden(l, path, never[i], why);
	}
	if (ojson_get_bool(s, "uniqueItems", false))
		forbidden(l, path, "uniqueItems",
			  "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
	if (ojson_is(ojson_get(s, "additionalProperties"), OJSON_BOOL) &&
	    !ojson_get_bool(s, "additionalProperties", true))
		forbidden(l, path, "additionalProperties", "additionalProperties cannot be set to false");
	if (ojson_get(s, "additionalProperties") && ojson_count(ojson_get(s, "properties")))
		forbidden(l, path, "additionalProperties", "additionalProperties and properties are mutual exclusive");
	if (ojson_is(ojson_get(s, "items"), OJSON_ARRAY))
		forbidden(l, path, "items", "items must be a schema object and not an array");
	if (ojson_get(s, "x-kubernetes-preserve-unknown-fields") &&
	    !ojson_get_bool(s, "x-kubernetes-preserve-unknown-fields", true))
		invalid(l, path, "x-kubernetes-preserve-unknown-fields", ojson_get(s, "x-kubernetes-preserve-unknown-fields"),
			"must be true or undefined");
}

static void check_pattern(const struct look *l, const struct ojson *s, const char *path)
{
	const char *pattern = ojson_get_cstr(s, "pattern", "");
	const struct ocrd_re *re;
	struct oarena a;

	if (!pattern[0])
		return;
	oarena_init(&a, 0);
	switch (ocrd_re_compile(&a, pattern, &re)) {
	case -EINVAL:
	case -E2BIG:
		invalid(l, path, "pattern", ojson_get(s, "pattern"), "must be a valid regular expression, but isn't");
		break;
	default:
		break;
	}
	oarena_done(&a);
}

static void check_lists(const struct look *l, const struct ojson *s, const char *path)
{
	const char *type = ojson_get_cstr(s, "type", ""), *list = ojson_get_cstr(s, "x-kubernetes-list-type", "");
	const char *map = ojson_get_cstr(s, "x-kubernetes-map-type", "");
	const struct ojson *keys = ojson_get_array(s, "x-kubernetes-list-map-keys"), *items = ojson_get(s, "items");

	if (list[0] && strcmp(type, "array") != 0)
		invalid(l, path, "type", ojson_get(s, "type"), "must be array if x-kubernetes-list-type is specified");
	if (list[0] && strcmp(list, "atomic") && strcmp(list, "set") && strcmp(list, "map"))
		not_supported(l, path, "x-kubernetes-list-type", list, "\"atomic\", \"map\", \"set\"");
	if (map[0] && strcmp(map, "atomic") && strcmp(map, "granular"))
		not_supported(l, path, "x-kubernetes-map-type", map, "\"atomic\", \"granular\"");
	if (map[0] && strcmp(type, "object") != 0)
		invalid(l, path, "type", ojson_get(s, "type"), "must be object if x-kubernetes-map-type is specified");
	if (!strcmp(list, "map") && !ojson_count(keys))
		required(l, path, "x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map");
	if (strcmp(list, "map") && ojson_count(keys))
		required(l, path, "x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty");
	OJSON_FOREACH_ELEM(i, k, keys) {
		const struct ojson *p = ojson_get(ojson_get(items, "properties"), ojson_cstr(k, ""));
		const char *t = ojson_get_cstr(p, "type", "");
		char at[80];

		snprintf(at, sizeof(at), "x-kubernetes-list-map-keys[%zu]", (size_t)i);
		if (!p)
			invalid(l, path, at, k, "must have an associated property in items.properties");
		else if (!strcmp(t, "object") || !strcmp(t, "array"))
			invalid(l, path, at, k, "the type of the key must be a scalar");
	}
}

static void check_default(const struct look *l, const struct ojson *s, const char *path);
static void look_at(struct look *l, const struct ojson *s, const char *path, bool root, bool nested, const char *what);

static void into(struct look *l, const struct ojson *s, const char *path, bool nested, const char *what, const char *fmt,
		 ...) __attribute__((format(printf, 6, 7)));

static void into(struct look *l, const struct ojson *s, const char *path, bool nested, const char *what, const char *fmt,
		 ...)
{
	char at[1024];
	va_list ap;
	int n = snprintf(at, sizeof(at), "%s.", path);

	if (n < 0 || (size_t)n >= sizeof(at))
		return;
	va_start(ap, fmt);
	vsnprintf(at + n, sizeof(at) - (size_t)n, fmt, ap);
	va_end(ap);
	look_at(l, s, at, false, nested, what);
}

static void check_type(const struct look *l, const struct ojson *s, const char *path, bool root, const char *what)
{
	static const char types[] = "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"";
	const char *type = ojson_get_cstr(s, "type", "");
	bool any = ojson_get_bool(s, "x-kubernetes-preserve-unknown-fields", false);
	bool int_or = ojson_get_bool(s, "x-kubernetes-int-or-string", false);
	char msg[120], quoted[100];

	snprintf(quoted, sizeof(quoted), "\"%.90s\"", type);
	if (root && !type[0]) {
		required(l, path, "type", "must not be empty at the root");
	} else if (root && strcmp(type, "object")) {
		invalid(l, path, "type", ojson_get(s, "type"), "must be object at the root");
	} else if (!type[0] && !any && !int_or) {
		snprintf(msg, sizeof(msg), "must not be empty for specified %s", what);
		required(l, path, "type", msg);
	} else if (!strcmp(type, "null")) {
		forbidden(l, path, "type", "type cannot be set to null, use nullable as an alternative");
	} else if (type[0] && !strstr(types, quoted)) {
		not_supported(l, path, "type", type, types);
	}
	if (int_or && type[0])
		forbidden(l, path, "type", "must be empty if x-kubernetes-int-or-string is true");
	if (ojson_get_bool(s, "x-kubernetes-embedded-resource", false) && strcmp(type, "object"))
		invalid(l, path, "type", ojson_get(s, "type"), "must be object if x-kubernetes-embedded-resource is true");
}

static void check_nested(const struct look *l, const struct ojson *s, const char *path)
{
	static const char *const empty[] = { "type", "default", "title", "description", "nullable", "additionalProperties",
		"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-list-type",
		"x-kubernetes-list-map-keys", "x-kubernetes-map-type" };

	for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++) {
		if (!ojson_get(s, empty[i]))
			continue;
		/* int-or-string is written as anyOf of the two types */
		if (i == 0 && (!strcmp(ojson_get_cstr(s, "type", ""), "integer") ||
			       !strcmp(ojson_get_cstr(s, "type", ""), "string")) && strstr(path, ".anyOf["))
			continue;
		forbidden(l, path, empty[i], "must be empty to be structural");
	}
}

static void look_at(struct look *l, const struct ojson *s, const char *path, bool root, bool nested, const char *what)
{
	static const char *const many[] = { "allOf", "anyOf", "oneOf" };
	const struct ojson *extra = ojson_get_object(s, "additionalProperties");

	if (++l->depth > MAX_DEPTH) {
		if (l->depth == MAX_DEPTH + 1)
			forbidden(l, path, "", "the schema is nested too deeply");
		l->depth--;
		return;
	}
	if (nested)
		check_nested(l, s, path);
	else
		check_type(l, s, path, root, what);
	check_never(l, s, path);
	check_pattern(l, s, path);
	if (!nested)
		check_lists(l, s, path);
	OJSON_FOREACH_ELEM(k, rule, ojson_get_array(s, "x-kubernetes-validations")) {
		char text[700];

		snprintf(text, sizeof(text), "%s.x-kubernetes-validations[%zu]: the rule \"%.400s\" is kept but not evaluated", path,
			 (size_t)k, ojson_get_cstr(rule, "rule", ""));
		if (l->warn)
			l->warn(l->arg, text);
	}
	OJSON_FOREACH(it, ojson_get_object(s, "properties")) {
		if (root && (!strcmp(it.key, "apiVersion") || !strcmp(it.key, "kind")))
			continue;
		if (root && !strcmp(it.key, "metadata")) {
			bool more = false;

			OJSON_FOREACH(m, ojson_get_object(it.value, "properties"))
				more = more || (strcmp(m.key, "name") && strcmp(m.key, "generateName"));
			if (more)
				forbidden(l, path, "properties[metadata]",
					  "must not specify anything other than name and generateName, but metadata is implicitly specified");
			continue;
		}
		into(l, it.value, path, nested, "object fields", "properties[%s]", it.key);
	}
	if (ojson_get_object(s, "items"))
		into(l, ojson_get_object(s, "items"), path, nested, "array items", "items");
	if (extra && !nested)
		into(l, extra, path, nested, "object fields", "additionalProperties");
	for (size_t i = 0; i < 3; i++)
		OJSON_FOREACH_ELEM(k, e, ojson_get_array(s, many[i]))
			into(l, e, path, true, "", "%s[%zu]", many[i], (size_t)k);
	if (ojson_get_object(s, "not"))
		into(l, ojson_get_object(s, "not"), path, true, "", "not");
	if (!nested && ojson_get(s, "default"))
		check_default(l, s, path);
	l->depth--;
}

struct nth {
	const struct look *l;
	const char	*path;
};

static void on_default(void *arg, const char *reason, const char *field, const char *message)
{
	const struct nth *n = arg;
	char at[1024];

	snprintf(at, sizeof(at), "%s.default%s%s", n->path, strcmp(field, "<nil>") ? "." : "",
		 strcmp(field, "<nil>") ? field : "");
	n->l->fn(n->l->arg, reason, at, message);
}

/* A default must be what its own schema allows. */
static void check_default(const struct look *l, const struct ojson *s, const char *path)
{
	cleanup_ojson struct ojson *v = NULL;
	struct oschema_texts unknown = { 0 };
	const struct ocrd_node *n;
	struct nth nth = { l, path };
	struct oarena a;

	oarena_init(&a, 0);
	if (ocrd_compile(&a, s, &n) == 0 && ocrd_take(n, ojson_get(s, "default"), false, "", &unknown, &v) == 0) {
		if (unknown.n)
			invalid(l, path, "default", ojson_get(s, "default"), "must not have unknown fields");
		(void)ocrd_check(n, v, NULL, on_default, &nth);
	}
	oschema_texts_done(&unknown);
	oarena_done(&a);
}

void ocrd_structural(const struct ojson *schema, const char *path, bool root, ocrd_report_fn fn,
		     void (*warn)(void *arg, const char *text), void *arg)
{
	struct look l = { .fn = fn, .warn = warn, .arg = arg };

	look_at(&l, schema, path, root, false, "object fields");
}
