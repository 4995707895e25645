/*
 * Strategic merge patch: maps. Lists are in strategic-list.c.
 *
 * Follows apimachinery's strategicpatch, which is the definition: the same rules in the same order,
 * but for the order of members, which Go's maps leave to chance. The patch is copied once and then
 * taken apart while merging.
 */
#include "patch/opatch.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "patch/strategic.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_PREFIX "$setElementOrder/"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"

int ostrat_fail(struct ostrat *s, int http, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (http == 400)
		return orlop_fail(s->err, EINVAL, 400, "BadRequest", "%s", text);
	return orlop_fail(s->err, EINVAL, 422, "Invalid", "%s", text);
}

/* What messages show of a value is what Go prints of it; of a large one only the beginning. */
#define SHOWN_MAX 200

struct shown {
	const char	*key;
	struct ojson	*value;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct shown *)a)->key, ((const struct shown *)b)->key);
}

static void show_map(const struct ojson *j, struct obuf *out)
{
	size_t n = ojson_count(j), i = 0;
	cleanup_free struct shown *v = omem_alloc_array(n, sizeof(*v));

	obuf_puts(out, "map[");
	OJSON_FOREACH(it, j)
		if (v != NULL && i < n)
			v[i++] = (struct shown){ it.key, it.value };
	if (i > 0)
		qsort(v, i, sizeof(*v), by_key);
	for (size_t k = 0; k < i && out->len < SHOWN_MAX; k++) {
		obuf_printf(out, "%s%s:", k > 0 ? " " : "", v[k].key);
		ostrat_show(v[k].value, out);
	}
	obuf_putc(out, ']');
}

void ostrat_show(const struct ojson *j, struct obuf *out)
{
	struct orlop_bytes text = ojson_bytes(j);

	if (ojson_is(j, OJSON_OBJECT)) {
		show_map(j, out);
	} else if (ojson_is(j, OJSON_ARRAY)) {
		obuf_putc(out, '[');
		OJSON_FOREACH_ELEM(i, e, j) {
			if (out->len >= SHOWN_MAX)
				break;
			obuf_puts(out, i > 0 ? " " : "");
			ostrat_show(e, out);
		}
		obuf_putc(out, ']');
	} else if (ojson_is(j, OJSON_STRING)) {
		obuf_append(out, text.p, text.len < SHOWN_MAX ? text.len : SHOWN_MAX);
	} else if (j == NULL) {
		obuf_puts(out, "<nil>");
	} else {
		(void)ojson_write(j, 0, out);
	}
}

int ostrat_unknown(struct ostrat *s, const struct ojson *directive, const struct ojson *map)
{
	cleanup_obuf struct obuf what = OBUF_INIT, in = OBUF_INIT;

	ostrat_show(directive, &what);
	ostrat_show(map, &in);
	return ostrat_fail(s, 422, "unknown patch type: %s in map: %s", obuf_cstr(&what), obuf_cstr(&in));
}

struct ostrat_meta ostrat_child(const struct ostrat *s, const struct oschema_type *type,
				const char *key)
{
	struct ostrat_meta m = { NULL, 0, NULL };
	const struct oschema_field *f;

	if (type == NULL)
		return m;
	if (type->kind == OSCHEMA_MAP) {
		m.type = oschema_type_at(s->schema, type->elem);
		return m;
	}
	f = oschema_field_find(s->schema, type, key, strlen(key));
	if (f == NULL)
		return m;
	m.type = oschema_field_type(s->schema, f);
	m.strategy = f->patch;
	if (f->patch_key != 0)
		m.merge_key = oschema_str(s->schema, f->patch_key);
	return m;
}

/*
 * A value that is new to the object: directives mean nothing there and go, with elements that only
 * exist to delete. False: the value itself goes.
 */
static bool drop_directives(struct ojson *j)
{
	OJSON_FOREACH(it, j) {
		if (strcmp(it.key, "$patch") == 0) {
			if (ojson_string_is(it.value, "delete"))
				return false;
			ojson_del(j, it.key);
		} else if (strcmp(it.key, "$retainKeys") == 0 ||
			   strncmp(it.key, ORDER_PREFIX, strlen(ORDER_PREFIX)) == 0 ||
			   strncmp(it.key, DELETE_PREFIX, strlen(DELETE_PREFIX)) == 0 ||
			   it.value == NULL || !drop_directives(it.value)) {
			/* a null here deletes what is not there */
			ojson_del(j, it.key);
		}
	}
	if (!ojson_is(j, OJSON_ARRAY))
		return true;
	for (size_t i = ojson_count(j); i-- > 0;) {
		struct ojson *e = ojson_index(j, i);
		bool directive = ojson_has(e, "$patch") && !ojson_string_is(ojson_get(e, "$patch"), "merge");

		if (directive || !drop_directives(e))
			(void)ojson_remove(j, i);
	}
	return true;
}

int ostrat_adopt(struct ojson **take_patch, struct ojson **ret)
{
	bool keep = drop_directives(*take_patch);

	*ret = TAKE(*take_patch);
	if (keep)
		return 1;
	ojson_unref(*ret);
	*ret = NULL;
	return 0;
}

/* $retainKeys: members of @original that are not in the list go. */
static int retain_keys(struct ostrat *s, struct ojson *original, struct ojson *patch)
{
	cleanup_ojson struct ojson *list = NULL;
	cleanup_omap struct omap keep = OMAP_INIT;

	if (!ojson_has(patch, "$retainKeys"))
		return 0;
	list = ojson_take(patch, "$retainKeys");
	if (!ojson_is(list, OJSON_ARRAY))
		return ostrat_fail(s, 400, "invalid patch format of retainKeys");
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes k = ojson_bytes(e);

		if (k.p != NULL && omap_put(&keep, k.p, k.len, &keep, NULL) < 0)
			return -ENOMEM;
	}
	OJSON_FOREACH(it, patch)
		if (it.value != NULL && strncmp(it.key, ORDER_PREFIX, strlen(ORDER_PREFIX)) != 0 &&
		    strncmp(it.key, DELETE_PREFIX, strlen(DELETE_PREFIX)) != 0 &&
		    !omap_has(&keep, it.key, it.key_len))
			return ostrat_fail(s, 400, "invalid patch format of retainKeys");
	OJSON_FOREACH(it, original)
		if (!omap_has(&keep, it.key, it.key_len))
			ojson_del(original, it.key);
	return 0;
}

/* One $setElementOrder/FIELD with the list it goes with; both leave the patch. */
static int apply_order(struct ostrat *s, struct ojson *original, struct ojson *patch,
		       const char *field, const struct ojson *order, const struct oschema_type *type)
{
	cleanup_ojson struct ojson *change = NULL;
	cleanup_ojson struct ojson *merged = NULL;
	struct ostrat_meta m = ostrat_child(s, type, field);
	struct ojson *old = ojson_get(original, field);
	bool found_patch = ojson_has(patch, field);
	int r;

	if (!ojson_is(order, OJSON_ARRAY))
		return ostrat_fail(s, 400, "invalid patch format of setElementOrder list");
	if (found_patch && ojson_get(patch, field) == NULL)
		return 0;	/* null: the field is deleted anyway */
	change = ojson_take(patch, field);
	if (found_patch && !ojson_is(change, OJSON_ARRAY))
		return ostrat_fail(s, 400, "expected a list at %.63s, but got %s", field,
				   ojson_type_name(change));
	if (old != NULL && !ojson_is(old, OJSON_ARRAY))
		old = NULL;
	if (old == NULL && !found_patch)
		return 0;
	r = ostrat_check_order(s, change, order, m.merge_key);
	if (r < 0)
		return r;
	if (old == NULL) {
		(void)ostrat_adopt(&change, &merged);
	} else if (!found_patch || (m.strategy & OSCHEMA_PATCH_MERGE) == 0) {
		merged = ojson_ref(found_patch ? change : old);
	} else {
		r = ostrat_merge_list(s, old, change, &m, false, &merged);
		if (r < 0)
			return r;
	}
	r = ostrat_sort(s, &merged, order, old, m.merge_key);
	return r < 0 ? r : ojson_set(original, field, TAKE(merged));
}

static int apply_orders(struct ostrat *s, struct ojson *original, struct ojson *patch,
			const struct oschema_type *type)
{
	cleanup_ojson struct ojson *orders = NULL;
	int r = 0;

	/* first out of the patch, since lists leave it while we go */
	OJSON_FOREACH(it, patch) {
		if (strncmp(it.key, ORDER_PREFIX, strlen(ORDER_PREFIX)) != 0)
			continue;
		if (orders == NULL)
			orders = ojson_new_object();
		r = orders != NULL ? ojson_put(orders, it.key + strlen(ORDER_PREFIX), ojson_ref(it.value)) :
				     -ENOMEM;
		if (r < 0)
			return r;
		ojson_del(patch, it.key);
	}
	OJSON_FOREACH(it, orders) {
		r = apply_order(s, original, patch, it.key, it.value, type);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A member that both have with the same type of value. */
static int merge_both(struct ostrat *s, struct ojson *original, const char *key, struct ojson *old,
		      struct ojson **change, const struct oschema_type *type, bool delete_list)
{
	struct ostrat_meta m = ostrat_child(s, type, key);
	cleanup_ojson struct ojson *merged = NULL;
	int r;

	if (ojson_is(old, OJSON_OBJECT) && (m.strategy & OSCHEMA_PATCH_REPLACE) == 0) {
		merged = ojson_ref(old);
		r = ostrat_merge_map(s, &merged, *change, m.type);
		if (r < 0)
			return r;
		return merged != old ? ojson_set(original, key, TAKE(merged)) : 0;
	}
	if (ojson_is(old, OJSON_ARRAY) && (delete_list || (m.strategy & OSCHEMA_PATCH_MERGE) != 0)) {
		r = ostrat_merge_list(s, old, *change, &m, delete_list, &merged);
		return r < 0 ? r : ojson_set(original, key, TAKE(merged));
	}
	if (ostrat_adopt(change, &merged) == 0) {
		ojson_del(original, key);
		return 0;
	}
	return ojson_put(original, key, TAKE(merged));
}

static int merge_member(struct ostrat *s, struct ojson *original, const char *key,
			struct ojson *change_borrowed, const struct oschema_type *type)
{
	cleanup_ojson struct ojson *change = ojson_ref(change_borrowed);
	bool delete_list = strncmp(key, DELETE_PREFIX, strlen(DELETE_PREFIX)) == 0;
	struct ojson *v = NULL;
	struct ojson *old;

	if (delete_list) {
		key += strlen(DELETE_PREFIX);
		if (change != NULL && !ojson_is(change, OJSON_ARRAY))
			return ostrat_fail(s, 400, "invalid patch format of primitive list");
		if (change == NULL)
			return 0;
	}
	if (change == NULL) {
		ojson_del(original, key);
		return 0;
	}
	if (ojson_lookup(original, key, &old) && ojson_type(old) == ojson_type(change))
		return merge_both(s, original, key, old, &change, type, delete_list);
	if (delete_list || ostrat_adopt(&change, &v) == 0)
		return 0;
	return ojson_put(original, key, v);
}

int ostrat_merge_map(struct ostrat *s, struct ojson **original, struct ojson *patch,
		     const struct oschema_type *type)
{
	struct ojson *directive;
	int r;

	if (ojson_lookup(patch, "$patch", &directive)) {
		cleanup_ojson struct ojson *change = NULL;
		bool replace = ojson_string_is(directive, "replace");

		if (!replace && !ojson_string_is(directive, "delete"))
			return ostrat_unknown(s, directive, patch);
		ojson_del(patch, "$patch");
		change = replace ? ojson_ref(patch) : ojson_new_object();
		ojson_unref(*original);
		*original = TAKE(change);
		return *original != NULL ? 0 : -ENOMEM;
	}
	r = retain_keys(s, *original, patch);
	if (r == 0)
		r = apply_orders(s, *original, patch, type);
	if (r < 0)
		return r;
	OJSON_FOREACH(it, patch) {
		r = merge_member(s, *original, it.key, it.value, type);
		if (r < 0)
			return r;
	}
	return 0;
}

int opatch_strategic(struct ojson **doc, const struct ojson *patch, const struct oschema *schema,
		     const struct oschema_type *type, struct orlop_error *err)
{
	struct ostrat s = { .schema = schema, .err = err };
	cleanup_ojson struct ojson *change = NULL;
	int r;

	if (!ojson_is(patch, OJSON_OBJECT))
		return orlop_fail(err, EINVAL, 400, "BadRequest",
				  "error decoding patch: json: cannot unmarshal %s into Go value of type "
				  "map[string]interface {}", ojson_type_name(patch));
	if (!ojson_is(*doc, OJSON_OBJECT)) {
		ojson_unref(*doc);
		*doc = ojson_new_object();
	}
	r = *doc != NULL ? ojson_copy(patch, &change) : -ENOMEM;
	if (r == 0)
		r = ostrat_merge_map(&s, doc, change, type);
	if (r == -ENOMEM)
		return orlop_fail(err, ENOMEM, 500, "InternalError", "applying the patch: out of memory");
	return r;
}
