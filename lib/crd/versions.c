/*
 * versions.c - are the versions of a definition valid: names, schemas, subresources, columns?
 *
 * Upstream keeps a schema, subresources and columns that all versions have alike (as every definition of one version
 * does) once, beside the versions, and its findings speak of them there: spec.validation, spec.subresources.
 */
#include "crd/define.h"

#include "base/ocleanup.h"
#include "schema/seen.h"
#include "schema/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX	8u	/* upstream's MaxSelectableFields */

struct versions {
	const struct ojson *list;
	bool		same_schema, same_sub, same_columns, same_fields;
	bool		any_status;
	ocrd_report_fn	fn;
	void		(*warn)(void *arg, const char *text);
	void		*arg;
};

static void say(const struct versions *d, const char *reason, const char *path, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void say(const struct versions *d, const char *reason, const char *path, const char *field, const char *fmt, ...)
{
	cleanup_obuf struct obuf b = OBUF_INIT, at = OBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	obuf_printf(&at, "%s%s%s", path, field[0] ? "." : "", field);
	d->fn(d->arg, reason, obuf_cstr(&at), obuf_cstr(&b));
}

static void required(const struct versions *d, const char *path, const char *field, const char *why)
{
	say(d, "FieldValueRequired", path, field, "Required value%s%s", why[0] ? ": " : "", why);
}

static void invalid(const struct versions *d, const char *path, const char *field, const char *v, const char *why)
{
	say(d, "FieldValueInvalid", path, field, "Invalid value: \"%s\": %s", v, why);
}

/* ---- parts ---- */

static void scale_path(const struct versions *d, const char *path, const char *key, const char *v, const char *const *tops,
		       const char *why)
{
	char field[64];

	snprintf(field, sizeof(field), "subresources.scale.%s", key);
	if (v[0] != '.')
		invalid(d, path, field, v, "must be a simple json path starting with .");
	else if (strncmp(v, tops[0], strlen(tops[0])) && strncmp(v, tops[1], strlen(tops[1])))
		invalid(d, path, field, v, why);
}

static void check_scale(const struct versions *d, const struct ojson *scale, const char *path)
{
	static const char *const tops[][2] = { { ".spec.", ".spec." }, { ".status.", ".status." }, { ".spec.", ".status." } };
	const char *spec = ojson_get_cstr(scale, "specReplicasPath", "");
	const char *status = ojson_get_cstr(scale, "statusReplicasPath", "");
	const char *sel = ojson_get_cstr(scale, "labelSelectorPath", "");

	if (!scale)
		return;
	if (spec[0])
		scale_path(d, path, "specReplicasPath", spec, tops[0], "should be a json path under .spec");
	else
		required(d, path, "subresources.scale.specReplicasPath", "");
	if (status[0])
		scale_path(d, path, "statusReplicasPath", status, tops[1], "should be a json path under .status");
	else
		required(d, path, "subresources.scale.statusReplicasPath", "");
	if (sel[0])
		scale_path(d, path, "labelSelectorPath", sel, tops[2], "should be a json path under either .spec or .status");
}

static bool one_of(const char *v, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(v, *list))
			return true;
	return false;
}

static void check_columns(const struct versions *d, const struct ojson *list, const char *path)
{
	static const char *const types[] = { "boolean", "date", "integer", "number", "string", NULL };
	static const char *const formats[] = { "byte", "date", "date-time", "double", "float", "int32", "int64", "password", NULL };

	OJSON_FOREACH_ELEM(i, c, list) {
		const char *type = ojson_get_cstr(c, "type", ""), *format = ojson_get_cstr(c, "format", "");
		const char *expr = ojson_get_cstr(c, "jsonPath", "");
		char at[160];

		snprintf(at, sizeof(at), "%s.additionalPrinterColumns[%zu]", path, (size_t)i);
		if (!ojson_get_cstr(c, "name", "")[0])
			required(d, at, "name", "");
		if (!type[0])
			required(d, at, "type", "must be one of boolean,date,integer,number,string");
		else if (!one_of(type, types))
			invalid(d, at, "type", type, "must be one of boolean,date,integer,number,string");
		if (format[0] && !one_of(format, formats))
			invalid(d, at, "format", format, "must be one of byte,date,date-time,double,float,int32,int64,password");
		if (!expr[0])
			required(d, at, "JSONPath", "");
		else if (expr[0] != '.')
			invalid(d, at, "JSONPath", expr, "must be a simple json path starting with .");
	}
}

/*
 * Where a selectable field's jsonPath ends in @schema, and in @at how upstream writes the way there; NULL: nowhere, and in @why
 * why. Upstream reads it as it does fieldPath of CEL rules, without brackets.
 */
static const struct ojson *field_at(const struct ojson *schema, const char *path, struct obuf *at, struct obuf *why)
{
	while (*path) {
		const struct ojson *props = ojson_get_object(schema, "properties"), *next;
		size_t n = strcspn(path + 1, ".[]");

		if (*path == '[') {
			obuf_puts(why, "array notation is not allowed");
			return NULL;
		}
		if (*path != '.') {
			obuf_printf(why, "expected [ or . but got: %.*s", *path == ']' ? 1 : (int)strcspn(path, ".[]"), path);
			return NULL;
		}
		if (!*++path) {
			obuf_puts(why, "unexpected end of JSON path");
			return NULL;
		}
		n += n == 0;
		next = props ? ojson_get_n(props, path, n) : ojson_get(schema, "additionalProperties");
		if (!next) {
			obuf_puts(why, "does not refer to a valid field");
			return NULL;
		}
		obuf_printf(at, props ? at->len ? ".%.*s" : "%.*s" : "[%.*s]", (int)n, path);
		schema = next;
		path += n;
	}
	return schema;
}

/* One that is new comes into @seen. */
static bool check_field(const struct versions *d, const char *v, const struct ojson *schema, const char *path, struct oseen *seen)
{
	static const char *const types[] = { "string", "boolean", "integer", NULL };
	cleanup_obuf struct obuf at = OBUF_INIT, why = OBUF_INIT;
	cleanup_ojson struct ojson *key = NULL;
	const struct ojson *field;
	bool again;

	if (!v[0]) {
		required(d, path, "jsonPath", "");
		return false;
	}
	field = field_at(schema, v, &at, &why);
	if (!field) {
		say(d, "FieldValueInvalid", path, "jsonPath", "Invalid value: \"%s\": is an invalid path: %s", v, obuf_cstr(&why));
		return false;
	}
	if (strcspn(obuf_cstr(&at), ".[") == 8 && !strncmp(obuf_cstr(&at), "metadata", 8))
		invalid(d, path, "jsonPath", v, "must not point to fields in metadata");
	if (!one_of(ojson_get_cstr(field, "type", ""), types))
		invalid(d, path, "jsonPath", v, "must point to a field of type string, boolean or integer. Enum string fields and strings "
			"with formats are allowed.");
	key = ojson_new_cstr(obuf_cstr(&at));
	again = oseen(seen, key, NULL);
	if (again)
		say(d, "FieldValueDuplicate", path, "jsonPath", "Duplicate value: \"%s\"", v);
	return !again;
}

static void check_fields(const struct versions *d, const struct ojson *version, const char *path)
{
	const struct ojson *schema = OJSON_AT(version, "schema", "openAPIV3Schema");
	cleanup_oseen struct oseen seen;
	unsigned int n = 0;
	bool lost = false;
	char at[160];

	oseen_init(&seen, &lost);
	if (!schema)
		return;		/* which is said */
	OJSON_FOREACH_ELEM(i, f, ojson_get_array(version, "selectableFields")) {
		snprintf(at, sizeof(at), "%s.selectableFields[%zu]", path, (size_t)i);
		n += check_field(d, ojson_get_cstr(f, "jsonPath", ""), schema, at, &seen);
	}
	if (n > FIELDS_MAX)
		say(d, "FieldValueTooMany", path, "selectableFields", "Too many: %u: must have at most %u items", n, FIELDS_MAX);
}

/* The text that clients of a deprecated version are told. */
static void check_warning(const struct versions *d, const struct ojson *v, const char *path)
{
	const struct ojson *text = ojson_get(v, "deprecationWarning");
	struct orlop_bytes b = ojson_bytes(text);

	if (!text)
		return;
	if (!ojson_get_bool(v, "deprecated", false)) {
		invalid(d, path, "deprecationWarning", ojson_cstr(text, ""), "can only be set for deprecated versions");
		return;
	}
	if (b.len > 256)
		invalid(d, path, "deprecationWarning", ojson_cstr(text, ""), "must be <= 256 characters long");
	if (b.len == 0)
		invalid(d, path, "deprecationWarning", "", "must not be an empty string");
	for (size_t i = 0; i < b.len; i++) {
		unsigned char c = (unsigned char)b.p[i];
		cleanup_obuf struct obuf shown = OBUF_INIT;

		if (c >= 0x20 && c != 0x7f)
			continue;
		obuf_put_json_string(&shown, b.p, b.len);
		say(d, "FieldValueInvalid", path, "deprecationWarning",
		    "Invalid value: %s: must only contain printable UTF-8 characters; non-printable character found at index %zu",
		    obuf_cstr(&shown), i);
		break;
	}
}

static void check_schema(const struct versions *d, const struct ojson *schema, const char *path, bool status)
{
	char at[128];

	snprintf(at, sizeof(at), "%s.openAPIV3Schema", path);
	if (ojson_get(schema, "openAPIV3Schema"))
		ocrd_structural(ojson_get(schema, "openAPIV3Schema"), at, status, d->fn, d->warn, d->arg);
}

/* ---- all of them ---- */

static bool alike(const struct ojson *list, const char *key)
{
	const struct ojson *first = ojson_get(ojson_index(list, 0), key);

	OJSON_FOREACH_ELEM(i, v, list) {
		const struct ojson *x = ojson_get(v, key);

		/* nothing and an empty list are the same */
		if (x != first && !ojson_equal(x, first) && !(ojson_count(x) == 0 && ojson_count(first) == 0 &&
		    !ojson_is(x, OJSON_OBJECT) && !ojson_is(first, OJSON_OBJECT)))
			return false;
	}
	return ojson_count(list) != 0;
}

static bool has_status(const struct ojson *version)
{
	return ojson_is(OJSON_AT(version, "subresources", "status"), OJSON_OBJECT);
}

static struct versions versions_of(const struct ojson *spec, ocrd_report_fn fn, void (*warn)(void *arg, const char *text), void *arg)
{
	struct versions d = { .list = ojson_get_array(spec, "versions"), .fn = fn, .warn = warn, .arg = arg };

	d.same_schema = alike(d.list, "schema");
	d.same_sub = alike(d.list, "subresources");
	d.same_columns = alike(d.list, "additionalPrinterColumns");
	/* upstream keeps them beside versions of other schemas too, where it then misses the schema */
	d.same_fields = d.same_schema && alike(d.list, "selectableFields");
	OJSON_FOREACH_ELEM(i, v, d.list)
		d.any_status = d.any_status || has_status(v);
	return d;
}

static bool has_default(const struct ojson *s)
{
	static const char *const lists[] = { "allOf", "anyOf", "oneOf", "items" }, *const maps[] = { "properties", "definitions" };
	bool has = ojson_get(s, "default") != NULL;

	if (!ojson_is(s, OJSON_OBJECT))
		return false;
	for (size_t k = 0; k < 4; k++)
		OJSON_FOREACH_ELEM(i, e, ojson_get_array(s, lists[k]))
			has = has || has_default(e);
	for (size_t k = 0; k < 2; k++)
		OJSON_FOREACH(it, ojson_get_object(s, maps[k]))
			has = has || has_default(it.value);
	return has || has_default(ojson_get(s, "not")) || has_default(ojson_get(s, "items")) ||
	       has_default(ojson_get(s, "additionalProperties"));
}

/* A finding about the versions as a whole. */
static void versions_are(const struct versions *d, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (d->list)
		(void)ojson_write(d->list, 0, &b);
	say(d, "FieldValueInvalid", "spec", "versions", "Invalid value: %s: %s", d->list ? obuf_cstr(&b) : "null", why);
}

void define_versions(const struct ojson *spec, ocrd_report_fn fn, void (*warn)(void *arg, const char *text), void *arg)
{
	struct versions d = versions_of(spec, fn, warn, arg);
	bool twice = false, lost = false, defaults = false;
	cleanup_oseen struct oseen names;
	unsigned int stored = 0;
	char path[64], at[96];
	const char *bad, *first = ojson_get_cstr(ojson_index(d.list, 0), "name", "");

	oseen_init(&names, &lost);
	OJSON_FOREACH_ELEM(i, v, d.list) {
		snprintf(path, sizeof(path), "spec.versions[%zu]", (size_t)i);
		if (!OJSON_AT(v, "schema", "openAPIV3Schema"))
			required(&d, path, "schema.openAPIV3Schema", "schemas are required");
		defaults = defaults || has_default(OJSON_AT(v, "schema", "openAPIV3Schema"));
	}
	if (defaults && ojson_get_bool(spec, "preserveUnknownFields", false))
		say(&d, "FieldValueInvalid", "spec", "preserveUnknownFields",
		    "Invalid value: true: must be false in order to use defaults in the schema");
	OJSON_FOREACH_ELEM(i, v, d.list) {
		const char *name = ojson_get_cstr(v, "name", "");

		snprintf(path, sizeof(path), "spec.versions[%zu]", (size_t)i);
		bad = oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, name, strlen(name));
		if (bad)
			invalid(&d, path, "name", name, bad);
		twice = oseen(&names, ojson_get(v, "name"), NULL) || twice;
		stored += ojson_get_bool(v, "storage", false);
		check_warning(&d, v, path);
		snprintf(at, sizeof(at), "%s.schema", path);
		if (!d.same_schema)
			check_schema(&d, ojson_get(v, "schema"), at, has_status(v));
		if (!d.same_sub)
			check_scale(&d, OJSON_AT(v, "subresources", "scale"), path);
		if (!d.same_columns)
			check_columns(&d, ojson_get_array(v, "additionalPrinterColumns"), path);
		if (!d.same_fields)
			check_fields(&d, v, path);
	}
	if (twice || lost)
		versions_are(&d, "must contain unique version names");
	if (stored != 1)
		versions_are(&d, "must have exactly one version marked as storage version");
	/* the name of the first version stood alone once, and still does inside */
	bad = first[0] ? oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, first, strlen(first)) : NULL;
	if (bad)
		invalid(&d, "spec", "version", first, bad);
}

void define_shared(const struct ojson *spec, ocrd_report_fn fn, void (*warn)(void *arg, const char *text), void *arg)
{
	struct versions d = versions_of(spec, fn, warn, arg);
	const struct ojson *first = ojson_index(d.list, 0);

	if (d.same_schema)
		check_schema(&d, ojson_get(first, "schema"), "spec.validation", d.any_status);
	if (d.same_sub)
		check_scale(&d, OJSON_AT(first, "subresources", "scale"), "spec");
	if (d.same_columns)
		check_columns(&d, ojson_get_array(first, "additionalPrinterColumns"), "spec");
	if (d.same_fields)
		check_fields(&d, first, "spec");
}
