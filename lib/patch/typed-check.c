/*
 * Is a configuration an object of its type? The answers are words of structured-merge-diff, which
 * prints Go values as Go sees them.
 */
#include "patch/typed.h"

#include "base/ocleanup.h"
#include "base/omap.h"

#include <errno.h>
#include <string.h>

#define FINDINGS_MAX 100u

struct check {
	const struct walk	*w;
	struct obuf		path;
	struct obuf		*lines;
	size_t			n;
};

__attribute__((format(printf, 2, 3)))
static void find(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->n++ >= FINDINGS_MAX)
		return;
	obuf_puts(c->lines, "\n  ");
	if (c->path.len > 0) {
		obuf_append(c->lines, c->path.data, c->path.len);
		obuf_puts(c->lines, ": ");
	}
	va_start(ap, fmt);
	obuf_vprintf(c->lines, fmt, ap);
	va_end(ap);
}

static int check(struct check *c, struct place p, const struct ojson *v);

/* A value as Go's %v and %#v show the library's wrapper of it. */
static void put_go(const struct ojson *v, bool syntax, struct obuf *b)
{
	obuf_puts(b, syntax ? "&value.valueUnstructured{Value:" : "&{");
	switch (ojson_type(v)) {
	case OJSON_OBJECT:
		obuf_puts(b, syntax ? "map[string]interface {}{" : "map[");
		OJSON_FOREACH(it, v) {
			if (b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
				obuf_puts(b, syntax ? ", " : " ");
			if (syntax)
				obuf_put_json_cstr(b, it.key);
			else
				obuf_puts(b, it.key);
			obuf_putc(b, ':');
			if (syntax)
				(void)ojson_write(it.value, 0, b);
			else if (ojson_is(it.value, OJSON_STRING))
				obuf_puts(b, ojson_cstr(it.value, ""));
			else
				(void)ojson_write(it.value, 0, b);
		}
		obuf_puts(b, syntax ? "}" : "]");
		break;
	case OJSON_ARRAY:
		obuf_puts(b, syntax ? "[]interface {}{" : "[");
		OJSON_FOREACH_ELEM(i, e, v) {
			if (i > 0)
				obuf_puts(b, syntax ? ", " : " ");
			if (!syntax && ojson_is(e, OJSON_STRING))
				obuf_puts(b, ojson_cstr(e, ""));
			else
				(void)ojson_write(e, 0, b);
		}
		obuf_puts(b, syntax ? "}" : "]");
		break;
	case OJSON_STRING:
		if (!syntax) {
			obuf_puts(b, ojson_cstr(v, ""));
			break;
		}
		(void)ojson_write(v, 0, b);
		break;
	default:
		(void)ojson_write(v, 0, b);
		break;
	}
	obuf_putc(b, '}');
}

static void expected(struct check *c, const char *what, const struct ojson *v, bool syntax)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	put_go(v, syntax, &b);
	if (b.len > 200)
		obuf_truncate(&b, 200);
	find(c, "expected %s, got %s", what, obuf_cstr(&b));
}

static const char *go_type(const struct ojson *v)
{
	switch (ojson_type(v)) {
	case OJSON_OBJECT:
		return "map[string]interface {}";
	case OJSON_ARRAY:
		return "[]interface {}";
	case OJSON_BOOL:
		return "bool";
	default:
		return "string";
	}
}

static void check_scalar(struct check *c, const struct oschema_type *t, const struct ojson *v)
{
	enum ojson_type is = ojson_type(v);

	switch (t->kind) {
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
	case OSCHEMA_DOUBLE:
		if (is != OJSON_INT && is != OJSON_DOUBLE)
			find(c, "expected numeric (int or float), got %s", go_type(v));
		break;
	case OSCHEMA_STRING:
	case OSCHEMA_BYTES:
	case OSCHEMA_DURATION:
		if (is != OJSON_STRING)
			expected(c, "string", v, true);
		break;
	case OSCHEMA_BOOL:
		if (is != OJSON_BOOL)
			expected(c, "boolean", v, false);
		break;
	case OSCHEMA_QUANTITY:
	case OSCHEMA_INT_OR_STRING:
	case OSCHEMA_TIME:
	case OSCHEMA_MICROTIME:
		if (is == OJSON_OBJECT || is == OJSON_ARRAY)
			expected(c, "any scalar", v, false);
		break;
	default:
		break;
	}
}

static int check_map(struct check *c, struct place p, const struct ojson *v)
{
	size_t len = c->path.len;

	if (!ojson_is(v, OJSON_OBJECT)) {
		if (p.type->kind == OSCHEMA_MAP && (p.type->flags & OSCHEMA_T_OPEN) != 0)
			return 0;
		expected(c, "map", v, false);
		return 0;
	}
	OJSON_FOREACH(it, v) {
		struct place m = place_member(c->w, p, it.key, it.key_len);
		int r = 0;

		/* apiVersion, kind: of every object, and no fields here */
		if (m.type == NULL && (p.type->flags & OSCHEMA_T_OBJECT) != 0 &&
		    (strcmp(it.key, "apiVersion") == 0 || strcmp(it.key, "kind") == 0))
			continue;
		if (m.type == NULL && (p.type->flags & OSCHEMA_T_OPEN) != 0)
			continue;
		obuf_putc(&c->path, '.');
		obuf_append(&c->path, it.key, it.key_len);
		if (m.type == NULL)
			find(c, "field not declared in schema");
		else
			r = check(c, m, it.value);
		obuf_truncate(&c->path, len);
		if (r < 0)
			return r;
		if (m.type == NULL)
			break;
	}
	return 0;
}

/* Why has this element no place in its list? */
static void bad_element(struct check *c, struct place p, size_t i, const struct ojson *e)
{
	if (p.field->list == OSCHEMA_LIST_SET) {
		find(c, "element %zu: %s", i,
		     ojson_is(e, OJSON_OBJECT) ? "associative list without keys has an element that's a map type" :
		     ojson_is(e, OJSON_ARRAY) ? "not supported: associative list with lists as elements" :
		     "associative list without keys has an element that's an explicit null");
		return;
	}
	if (!ojson_is(e, OJSON_OBJECT)) {
		find(c, "element %zu: associative list with keys may not have %s", i,
		     e == NULL ? "a null element" : "non-map elements");
		return;
	}
	for (unsigned int k = 0; k < p.field->n_keys; k++) {
		const char *key = oschema_strs(c->w->schema, p.field->keys, k);

		if (ojson_has(e, key) || place_key_default(c->w, p, key) != NULL)
			continue;
		find(c, "element %zu: associative list with keys has an element that omits key field \"%s\" (and doesn't have default value)",
		     i, key);
		return;
	}
}

static bool has_keys(struct check *c, struct place p, const struct ojson *e)
{
	for (unsigned int k = 0; p.field->list == OSCHEMA_LIST_MAP && k < p.field->n_keys; k++) {
		const char *key = oschema_strs(c->w->schema, p.field->keys, k);

		if (!ojson_has(e, key) && place_key_default(c->w, p, key) == NULL)
			return false;
	}
	return p.field->list == OSCHEMA_LIST_MAP || e != NULL;
}

static int check_list(struct check *c, struct place p, const struct ojson *v)
{
	bool keyed = p.field != NULL && p.field->list != OSCHEMA_LIST_ATOMIC;
	cleanup_omap struct omap seen = OMAP_INIT;
	size_t len = c->path.len;

	if (!ojson_is(v, OJSON_ARRAY)) {
		expected(c, "list", v, false);
		return 0;
	}
	OJSON_FOREACH_ELEM(i, e, v) {
		struct orlop_bytes pe = { NULL, 0 };
		int r = 0;

		if (keyed) {
			r = place_element_pe(c->w, p, e, &pe);
			if (r == -EINVAL || (r == 0 && !has_keys(c, p, e))) {
				bad_element(c, p, i, e);
				return 0;
			}
			if (r < 0)
				return r;
			ofields_print_pe(pe, &c->path);
			if (omap_get(&seen, pe.p, pe.len) != NULL) {
				size_t now = c->path.len;
				char *name = oarena_strndup(c->w->mem, c->path.data + len, now - len);

				obuf_truncate(&c->path, len);
				find(c, "duplicate entries for key %s", name != NULL ? name : "");
				ofields_print_pe(pe, &c->path);
			} else if (omap_put(&seen, pe.p, pe.len, c, NULL) < 0) {
				return -ENOMEM;
			}
		} else {
			obuf_printf(&c->path, "[%zu]", i);
		}
		r = check(c, place_element(c->w, p), e);
		obuf_truncate(&c->path, len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check(struct check *c, struct place p, const struct ojson *v)
{
	if (v == NULL || c->n >= FINDINGS_MAX)
		return 0;
	switch (p.type->kind) {
	case OSCHEMA_STRUCT:
	case OSCHEMA_MAP:
		return check_map(c, p, v);
	case OSCHEMA_LIST:
		return check_list(c, p, v);
	default:
		check_scalar(c, p.type, v);
		return 0;
	}
}

int typed_check(const struct walk *w, const struct oschema_type *type, const struct ojson *object,
		struct obuf *lines, size_t *ret_n)
{
	struct check c = { .w = w, .path = OBUF_INIT, .lines = lines };
	int r = check(&c, (struct place){ type, NULL }, object);

	if (r == 0)
		r = obuf_err(&c.path) < 0 ? obuf_err(&c.path) : obuf_err(lines);
	obuf_done(&c.path);
	*ret_n = c.n;
	return r;
}
