/* How values of typed objects are owned, and what their elements are called; see place.h. */
#include "patch/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum place_shape place_shape(struct place p)
{
	if (p.type == NULL)
		return PLACE_LEAF;
	switch (p.type->kind) {
	case OSCHEMA_STRUCT:
		if ((p.type->flags & OSCHEMA_T_ATOMIC) != 0 || (p.field != NULL && p.field->struct_atomic))
			return PLACE_LEAF;
		return PLACE_MAP;
	case OSCHEMA_MAP:
		return p.field != NULL && p.field->map_atomic ? PLACE_LEAF : PLACE_MAP;
	case OSCHEMA_LIST:
		if (p.field == NULL || p.field->list == OSCHEMA_LIST_ATOMIC)
			return PLACE_LEAF;
		return p.field->list == OSCHEMA_LIST_SET ? PLACE_LIST_SET : PLACE_LIST_MAP;
	default:
		return PLACE_LEAF;
	}
}

struct place place_member(const struct walk *w, struct place parent, const char *key, size_t len)
{
	struct place p = { NULL, NULL };

	if (parent.type->kind == OSCHEMA_MAP) {
		p.type = oschema_type_at(w->schema, parent.type->elem);
		return p;
	}
	p.field = oschema_field_find(w->schema, parent.type, key, len);
	if (p.field != NULL)
		p.type = oschema_field_type(w->schema, p.field);
	return p;
}

struct place place_element(const struct walk *w, struct place list)
{
	return (struct place){ oschema_type_at(w->schema, list.type->elem), NULL };
}

static int keep(const struct walk *w, struct obuf *b, struct orlop_bytes *ret)
{
	int r = obuf_err(b);

	ret->len = b->len;
	ret->p = r == 0 ? oarena_strndup(w->mem, b->data, b->len) : NULL;
	obuf_done(b);
	return ret->p != NULL ? 0 : -ENOMEM;
}

int place_member_pe(const struct walk *w, const char *key, size_t len, struct orlop_bytes *ret)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "f:");
	obuf_append(&b, key, len);
	return keep(w, &b, ret);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Fields that Go always writes have their type's zero as default in upstream's schema. */
static const char *zero_default(const struct walk *w, const struct oschema_field *f)
{
	if ((f->flags & (OSCHEMA_F_PTR | OSCHEMA_F_OMITEMPTY)) != 0)
		return NULL;
	switch (oschema_field_type(w->schema, f)->kind) {
	case OSCHEMA_STRING:
		return "\"\"";
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
	case OSCHEMA_DOUBLE:
		return "0";
	case OSCHEMA_BOOL:
		return "false";
	default:
		return NULL;
	}
}

const char *place_key_default(const struct walk *w, struct place list, const char *key)
{
	struct place e = place_element(w, list);
	const struct oschema_field *f = oschema_field_find(w->schema, e.type, key, strlen(key));

	if (f == NULL)
		return NULL;
	return (f->flags & OSCHEMA_F_HAS_DEFAULT) != 0 ? oschema_str(w->schema, f->def) : zero_default(w, f);
}

/* `k:{…}` or `v:…` of a list element. -EINVAL: it has no place in such a list. */
int place_element_pe(const struct walk *w, struct place list, const struct ojson *e,
		     struct orlop_bytes *ret)
{
	const struct oschema_field *f = list.field;
	struct obuf b = OBUF_INIT;
	const char *keys[8];
	bool any = false;

	if (f->list == OSCHEMA_LIST_SET) {
		if (ojson_is(e, OJSON_OBJECT) || ojson_is(e, OJSON_ARRAY))
			return -EINVAL;
		obuf_puts(&b, "v:");
		(void)ojson_write(e, 0, &b);
		return keep(w, &b, ret);
	}
	if (!ojson_is(e, OJSON_OBJECT) || f->n_keys > sizeof(keys) / sizeof(keys[0]))
		return -EINVAL;
	for (unsigned int i = 0; i < f->n_keys; i++)
		keys[i] = oschema_strs(w->schema, f->keys, i);
	qsort(keys, f->n_keys, sizeof(keys[0]), by_name);
	obuf_puts(&b, "k:{");
	for (unsigned int i = 0; i < f->n_keys; i++) {
		const struct ojson *v = ojson_get(e, keys[i]);
		const char *def = v == NULL ? place_key_default(w, list, keys[i]) : NULL;

		if (v == NULL && def == NULL)
			continue;
		if (any)
			obuf_putc(&b, ',');
		any = true;
		obuf_put_json_cstr(&b, keys[i]);
		obuf_putc(&b, ':');
		if (v != NULL)
			(void)ojson_write(v, OJSON_SORTED, &b);
		else
			obuf_puts(&b, def);
	}
	obuf_putc(&b, '}');
	if (!any) {
		obuf_done(&b);
		return -EINVAL;
	}
	return keep(w, &b, ret);
}
