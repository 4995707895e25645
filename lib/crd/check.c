/*
 * check.c - is an object what its schema says? Findings as upstream's validator words them.
 *
 * A part that an update leaves as it was is not looked at again: objects that were stored before a
 * schema became stricter can still be changed elsewhere.
 */
#include "crd/ocrd.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/omap.h"
#include "base/ostr.h"
#include "schema/validate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_FINDINGS 200
/*
 * What one object may cost: comparisons, states of patterns, values looked at. Schema and object both come from outside,
 * and their sizes multiply: 3 MB of strings against a pattern of 20,000 states would keep a loop busy for minutes.
 */
#define MAX_STEPS UINT64_C(100000000)

struct check {
	ocrd_report_fn	fn;
	void		*arg;
	unsigned int	found;		/* also those of branches, which are not reported */
	unsigned int	quiet;
	uint64_t	steps;		/* that are left; 0: nothing more is looked at */
};

static bool spend(struct check *c, uint64_t n)
{
	c->steps -= n < c->steps ? n : c->steps;
	return c->steps != 0;
}

static const char *const type_names[] = { "", "object", "array", "string", "integer", "number", "boolean" };

static void say(struct check *c, const char *reason, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct check *c, const char *reason, const char *path, const char *fmt, ...)
{
	struct obuf b = OBUF_INIT;
	va_list ap;

	c->found++;
	/* what was cut short has found nothing */
	if (c->quiet || c->steps == 0 || c->found > MAX_FINDINGS)
		return;
	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	c->fn(c->arg, reason, path[0] ? path : "<nil>", obuf_cstr(&b));
	obuf_done(&b);
}

/* A value as messages show it. */
static void show(struct obuf *b, const struct ojson *v)
{
	if (!v)
		obuf_puts(b, "null");
	else
		(void)ojson_write(v, 0, b);
}

static void invalid(struct check *c, const char *path, const struct ojson *v, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void invalid(struct check *c, const char *path, const struct ojson *v, const char *fmt, ...)
{
	cleanup_obuf struct obuf b = OBUF_INIT, value = OBUF_INIT;
	va_list ap;

	if (c->quiet) {
		c->found++;
		return;
	}
	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	show(&value, v);
	say(c, "FieldValueInvalid", path, "Invalid value: %s: %s", obuf_cstr(&value), obuf_cstr(&b));
}

static const char *is_called(const struct ojson *v)
{
	switch (ojson_type(v)) {
	case OJSON_NULL:
		return "null";
	case OJSON_BOOL:
		return "boolean";
	case OJSON_INT:
		return "integer";
	case OJSON_DOUBLE:
		return "number";
	case OJSON_STRING:
		return "string";
	case OJSON_ARRAY:
		return "array";
	default:
		return "object";
	}
}

static bool has_type(const struct ocrd_node *n, const struct ojson *v)
{
	double d;

	if (!v)
		return n->flags & OCRD_NULLABLE || n->type == OCRD_ANY;
	if (n->flags & OCRD_INT_OR_STRING)
		return ojson_is(v, OJSON_INT) || ojson_is(v, OJSON_STRING);
	switch (n->type) {
	case OCRD_OBJECT:
		return ojson_is(v, OJSON_OBJECT);
	case OCRD_ARRAY:
		return ojson_is(v, OJSON_ARRAY);
	case OCRD_STRING:
		return ojson_is(v, OJSON_STRING);
	case OCRD_BOOLEAN:
		return ojson_is(v, OJSON_BOOL);
	case OCRD_NUMBER:
		return ojson_is(v, OJSON_INT) || ojson_is(v, OJSON_DOUBLE);
	case OCRD_INTEGER:
		d = ojson_double(v, 0.5);
		return ojson_is(v, OJSON_INT) || (ojson_is(v, OJSON_DOUBLE) && d == floor(d));
	default:
		return true;
	}
}

static void node(struct check *c, const struct ocrd_node *n, const struct ojson *v, const struct ojson *old, bool was,
		 const char *path);

/* Does @v fulfil @n, whatever it says? */
static bool holds(struct check *c, const struct ocrd_node *n, const struct ojson *v, const char *path)
{
	unsigned int before = c->found;
	bool good;

	c->quiet++;
	node(c, n, v, NULL, false, path);
	c->quiet--;
	good = c->found == before;
	c->found = before;
	return good;
}

static void branches(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < u->n_all; i++)
		node(c, u->all_of[i], v, NULL, false, path);
	for (unsigned int i = 0; i < u->n_any; i++)
		n += holds(c, u->any_of[i], v, path);
	if (u->n_any && n == 0)
		say(c, "FieldValueInvalid", path, "Invalid value: \"\": \"%s\" must validate at least one schema (anyOf)", path);
	n = 0;
	for (unsigned int i = 0; i < u->n_one; i++)
		n += holds(c, u->one_of[i], v, path);
	if (u->n_one && n == 0)
		say(c, "FieldValueInvalid", path,
		    "Invalid value: \"\": \"%s\" must validate one and only one schema (oneOf). Found none valid", path);
	else if (u->n_one && n > 1)
		say(c, "FieldValueInvalid", path,
		    "Invalid value: \"\": \"%s\" must validate one and only one schema (oneOf). Found %u valid alternatives",
		    path, n);
	if (u->not_of && holds(c, u->not_of, v, path))
		say(c, "FieldValueInvalid", path, "Invalid value: \"\": \"%s\" must not validate the schema (not)", path);
}

static void check_enum(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	cleanup_obuf struct obuf b = OBUF_INIT, list = OBUF_INIT;

	show(&b, v);
	for (uint32_t i = 0; i < u->n_enums; i++)
		if (!spend(c, 1) || !strcmp(u->enums[i], obuf_cstr(&b)))
			return;
	for (uint32_t i = 0; i < u->n_enums && !c->quiet; i++) {
		obuf_puts(&list, i ? ", " : "");
		if (u->enums[i][0] == '"')
			obuf_puts(&list, u->enums[i]);
		else
			obuf_put_json_cstr(&list, u->enums[i]);
	}
	say(c, "FieldValueNotSupported", path, "Unsupported value: %s: supported values: %s", obuf_cstr(&b), obuf_cstr(&list));
}

static void check_number(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	double d = ojson_double(v, 0);

	if (!isnan(u->max) && (u->excl_max ? d >= u->max : d > u->max))
		invalid(c, path, v, "%s in body should be less than %s%g", path, u->excl_max ? "" : "or equal to ", u->max);
	if (!isnan(u->min) && (u->excl_min ? d <= u->min : d < u->min))
		invalid(c, path, v, "%s in body should be greater than %s%g", path, u->excl_min ? "" : "or equal to ", u->min);
	if (!isnan(u->multiple) && u->multiple > 0 && fabs(remainder(d, u->multiple)) > 1e-9 * u->multiple)
		invalid(c, path, v, "%s in body should be a multiple of %g", path, u->multiple);
	if (u->format && !ocrd_format_number(u->format, v))
		invalid(c, path, v, "%s in body must be of type %s: %s", path, u->format, "\"integer\"");
}

static int64_t runes(struct orlop_bytes s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void check_string(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	struct orlop_bytes s = ojson_bytes(v);
	int64_t n = runes(s);

	if (u->max_len != OCRD_NO_COUNT && n > u->max_len)
		say(c, "FieldValueTooLong", path, "Too long: may not be more than %lld bytes", (long long)u->max_len);
	if (u->min_len != OCRD_NO_COUNT && n < u->min_len)
		invalid(c, path, v, "%s in body should be at least %lld chars long", path, (long long)u->min_len);
	if (u->re && ocrd_re_match(u->re, s, &c->steps) == 0)
		invalid(c, path, v, "%s in body should match '%s'", path, u->pattern);
	if (u->format && !ocrd_format(u->format, s))
		invalid(c, path, v, "%s in body must be of type %s: \"%.*s\"", path, u->format, (int)s.len, s.p);
}

static void check_array(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	int64_t n = (int64_t)ojson_count(v);

	if (u->max_items != OCRD_NO_COUNT && n > u->max_items)
		say(c, "FieldValueTooMany", path, "Too many: %lld: must have at most %lld items", (long long)n,
		    (long long)u->max_items);
	if (u->min_items != OCRD_NO_COUNT && n < u->min_items)
		invalid(c, path, v, "%s in body should have at least %lld items", path, (long long)u->min_items);
}

static void check_object(struct check *c, const struct ocrd_rules *u, const struct ojson *v, const char *path)
{
	int64_t n = (int64_t)ojson_count(v);
	char at[1024];

	if (u->max_props != OCRD_NO_COUNT && n > u->max_props)
		say(c, "FieldValueTooMany", path, "Too many: %lld: must have at most %lld items", (long long)n,
		    (long long)u->max_props);
	if (u->min_props != OCRD_NO_COUNT && n < u->min_props)
		invalid(c, path, v, "%s in body should have at least %lld properties", path, (long long)u->min_props);
	for (uint32_t i = 0; i < u->n_required; i++) {
		if (ojson_has(v, u->required[i]))
			continue;
		snprintf(at, sizeof(at), "%s%s%s", path, path[0] ? "." : "", u->required[i]);
		say(c, "FieldValueRequired", at, "Required value");
	}
}

/* The text by which an element of a set or map is known. */
static void element_key(const struct ocrd_node *n, const struct ojson *e, struct obuf *b)
{
	if (n->flags & OCRD_LIST_SET) {
		show(b, e);
		return;
	}
	obuf_puts(b, "map[string]interface {}{");
	for (unsigned int i = 0; i < n->n_keys; i++) {
		const struct ocrd_node *k = n->items ? ocrd_prop(n->items, n->keys[i], strlen(n->keys[i])) : NULL;
		const struct ojson *v = ojson_get(e, n->keys[i]);

		if (!v && !(k && k->def))
			continue;
		obuf_printf(b, "%s\"%s\":", i ? ", " : "", n->keys[i]);
		if (v)
			show(b, v);
		else
			obuf_puts(b, k->def);
	}
	obuf_putc(b, '}');
}

/* Elements by their keys, so that a long list costs its length and not its square. The first of a key counts. */
static void by_key(const struct ocrd_node *n, const struct ojson *list, struct omap *m)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, e, list) {
		obuf_truncate(&b, 0);
		element_key(n, e, &b);
		(void)omap_add(m, b.data, b.len, (void *)(uintptr_t)(i + 1));
	}
}

static void elements(struct check *c, const struct ocrd_node *n, const struct ojson *v, const struct ojson *old,
		     const char *path)
{
	bool keyed = n->flags & (OCRD_LIST_SET | OCRD_LIST_MAP);
	cleanup_obuf struct obuf at = OBUF_INIT, key = OBUF_INIT;
	struct omap before, seen;

	omap_init(&before);
	omap_init(&seen);
	if (n->flags & OCRD_LIST_MAP)
		by_key(n, old, &before);
	OJSON_FOREACH_ELEM(i, e, v) {
		const struct ojson *prev = NULL;

		obuf_truncate(&at, 0);
		obuf_printf(&at, "%s[%zu]", path, (size_t)i);
		obuf_truncate(&key, 0);
		if (keyed) {
			uintptr_t k;

			element_key(n, e, &key);
			k = (uintptr_t)omap_get(&before, key.data, key.len);
			prev = k ? ojson_index(old, k - 1) : NULL;
			if (!c->quiet && omap_add(&seen, key.data, key.len, NULL) == -EEXIST)
				say(c, "FieldValueDuplicate", obuf_cstr(&at), "Duplicate value: %s", obuf_cstr(&key));
		}
		if (n->items)
			node(c, n->items, e, prev, prev != NULL, obuf_cstr(&at));
	}
	omap_done(&before);
	omap_done(&seen);
}

static void members(struct check *c, const struct ocrd_node *n, const struct ojson *v, const struct ojson *old,
		    const char *path)
{
	cleanup_obuf struct obuf at = OBUF_INIT;

	OJSON_FOREACH(it, v) {
		const struct ocrd_node *m = ocrd_prop(n, it.key, it.key_len);
		struct ojson *prev = NULL;
		bool was;

		if (!m)
			m = n->extra;
		if (!m)
			continue;
		was = ojson_lookup_n(old, it.key, it.key_len, &prev);
		obuf_truncate(&at, 0);
		obuf_printf(&at, "%s%s%.*s", path, path[0] ? "." : "", (int)it.key_len, it.key);
		node(c, m, it.value, prev, was, obuf_cstr(&at));
	}
}

/* ---- x-kubernetes-embedded-resource: an object of some kind, whose metadata are such ---- */

static void embedded_text(struct check *c, const struct ojson *v, const char *key, const char *path)
{
	struct orlop_bytes text = ojson_bytes(ojson_get(v, key));
	char at[512], low[64];
	const char *bad;

	snprintf(at, sizeof(at), "%s%s%s", path, path[0] ? "." : "", key);
	if (!ojson_has(v, key)) {
		say(c, "FieldValueRequired", at, "Required value: must not be empty");
	} else if (!ojson_is(ojson_get(v, key), OJSON_STRING)) {
		invalid(c, at, ojson_get(v, key), "must be a string");
	} else if (!text.len) {
		invalid(c, at, ojson_get(v, key), "must not be empty");
	} else if (!strcmp(key, "kind")) {
		for (size_t i = 0; i < text.len && i < sizeof(low); i++)
			low[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] + 32) : text.p[i];
		bad = text.len < sizeof(low) ? oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, low, text.len) :
					       "must be no more than 63 characters";
		if (bad)
			invalid(c, at, ojson_get(v, key), "may have mixed case, but should otherwise match: %s", bad);
	} else {
		const char *slash = memchr(text.p, '/', text.len);

		if (slash && memchr(slash + 1, '/', text.len - (size_t)(slash + 1 - text.p)))
			invalid(c, at, ojson_get(v, key), "unexpected GroupVersion string: %.*s", (int)text.len, text.p);
	}
}

static void embedded_meta(struct check *c, const struct ojson *meta, const char *path)
{
	static const char *const maps[] = { "labels", "annotations" };
	static const char *const texts[] = { "name", "namespace", "generateName" };
	char at[512];

	snprintf(at, sizeof(at), "%s%smetadata", path, path[0] ? "." : "");
	if (!ojson_is(meta, OJSON_OBJECT)) {
		invalid(c, at, meta, "json: cannot unmarshal %s into Go value of type v1.ObjectMeta", is_called(meta));
		return;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct ojson *v = ojson_get(meta, texts[i]);
		struct orlop_bytes text = ojson_bytes(v);

		if (v && !ojson_is(v, OJSON_STRING)) {
			invalid(c, at, meta, "json: cannot unmarshal %s into Go struct field ObjectMeta.%s of type string", is_called(v), texts[i]);
		} else if (text.len && (memchr(text.p, '/', text.len) || memchr(text.p, '%', text.len))) {
			char field[600];

			snprintf(field, sizeof(field), "%s.%s", at, texts[i]);
			invalid(c, field, v, "may not contain '%c'", memchr(text.p, '/', text.len) ? '/' : '%');
		}
	}
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		const struct ojson *m = ojson_get(meta, maps[i]);

		if (m && !ojson_is(m, OJSON_OBJECT))
			invalid(c, at, meta, "json: cannot unmarshal %s into Go struct field ObjectMeta.%s of type map[string]string", is_called(m), maps[i]);
		OJSON_FOREACH(it, ojson_is(m, OJSON_OBJECT) ? m : NULL) {
			if (it.value && !ojson_is(it.value, OJSON_STRING)) {
				invalid(c, at, meta, "json: cannot unmarshal %s into Go struct field ObjectMeta.%s of type string",
					is_called(it.value), maps[i]);
				break;
			}
		}
	}
}

static void embedded(struct check *c, const struct ojson *v, const char *path)
{
	embedded_text(c, v, "apiVersion", path);
	embedded_text(c, v, "kind", path);
	if (ojson_get(v, "metadata"))
		embedded_meta(c, ojson_get(v, "metadata"), path);
}

static void node(struct check *c, const struct ocrd_node *n, const struct ojson *v, const struct ojson *old, bool was,
		 const char *path)
{
	const struct ocrd_rules *u = n->rules;

	if (c->found > MAX_FINDINGS || !spend(c, 4) || (was && ojson_equal(v, old)))
		return;
	if (!has_type(n, v)) {
		say(c, "FieldValueTypeInvalid", path, "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"",
		    is_called(v), path, n->flags & OCRD_INT_OR_STRING ? "integer,string" : type_names[n->type], is_called(v));
		if (v && u && u->n_enums)
			check_enum(c, u, v, path);
		return;
	}
	if (u && u->n_enums && (v || !(n->flags & OCRD_NULLABLE)))
		check_enum(c, u, v, path);
	switch (ojson_type(v)) {
	case OJSON_INT:
	case OJSON_DOUBLE:
		if (u)
			check_number(c, u, v, path);
		break;
	case OJSON_STRING:
		if (u)
			check_string(c, u, v, path);
		break;
	case OJSON_ARRAY:
		if (u)
			check_array(c, u, v, path);
		elements(c, n, v, old, path);
		break;
	case OJSON_OBJECT:
		if (u)
			check_object(c, u, v, path);
		if (n->flags & OCRD_EMBEDDED)
			embedded(c, v, path);
		members(c, n, v, old, path);
		break;
	default:
		break;
	}
	if (u && v)
		branches(c, u, v, path);
}

int ocrd_check(const struct ocrd_node *n, const struct ojson *v, const struct ojson *old, ocrd_report_fn fn, void *arg)
{
	struct check c = { .fn = fn, .arg = arg, .steps = MAX_STEPS };

	node(&c, n, v, old, old != NULL, "");
	if (c.steps == 0) {
		c.found = 0;
		c.steps = 1;
		say(&c, "FieldValueInvalid", "", "Invalid value: \"object\": validating it against the schema takes too long");
	}
	return c.found ? -EINVAL : 0;
}
