/* types.c - types of a definition's objects: metadata as everywhere, the rest by its schema. */
#include "crd/tables.h"

#include "base/omem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N(b, type) otables_count(&t->b, sizeof(type))

/* Room for one more type; its index. Filled in later: types refer to each other. */
static int type_new(struct otables *t, uint16_t *ret)
{
	struct oschema_type empty = { .kind = OSCHEMA_JSON };
	unsigned int i = N(types, struct oschema_type);

	if (i >= UINT16_MAX - 1)
		return -E2BIG;
	obuf_append(&t->types, &empty, sizeof(empty));
	*ret = (uint16_t)i;
	return obuf_err(&t->types);
}

static struct oschema_type *type_at(struct otables *t, uint16_t i)
{
	return (struct oschema_type *)(void *)t->types.data + i;
}

/* The fields of one struct, with their order by name. */
static int fields_put(struct otables *t, uint16_t type, const struct oschema_field *f, unsigned int n)
{
	unsigned int first = N(fields, struct oschema_field);
	struct oschema_type *ty = type_at(t, type);

	if (first + n >= UINT16_MAX)
		return -E2BIG;
	ty->fields = (uint16_t)first;
	ty->n_fields = (uint16_t)n;
	obuf_append(&t->fields, f, n * sizeof(*f));
	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = (uint16_t)(first + i), *v;
		unsigned int k = first + i;

		obuf_append(&t->by_name, &at, sizeof(at));
		if (obuf_err(&t->by_name) || obuf_err(&t->fields) || obuf_err(&t->pool))
			return -ENOMEM;
		v = (uint16_t *)(void *)t->by_name.data;
		while (k > first && strcmp(t->pool.data + f[v[k - 1] - first].name, t->pool.data + f[i].name) > 0) {
			v[k] = v[k - 1];
			k--;
		}
		v[k] = at;
	}
	return obuf_err(&t->fields);
}

int otypes_begin(struct otables *t)
{
	struct oschema_type *any;
	uint16_t i;

	for (uint16_t k = 0; k < OSCHEMA_N_SCALARS; k++) {
		struct oschema_type ty = { .kind = (uint8_t)k };

		ty.name = otables_text(t, oschema_str(t->from, t->from->types[k].name));
		obuf_append(&t->types, &ty, sizeof(ty));
	}
	if (obuf_err(&t->types) || type_new(t, &i))
		return -ENOMEM;
	any = type_at(t, i);
	any->kind = t->docs ? OSCHEMA_JSON : OSCHEMA_MAP;	/* documents follow types without an end */
	any->elem = i;
	any->flags = OSCHEMA_T_OPEN;
	any->name = otables_text(t, "any");
	t->any = i;
	return 0;
}

/* ---- lent types ---- */

static int lend(struct otables *t, uint16_t i, uint16_t *ret);

static int lend_fields(struct otables *t, const struct oschema_type *o, uint16_t to)
{
	struct oschema_field *v = omem_zalloc_array(o->n_fields + 1u, sizeof(*v));
	int r = v ? 0 : -ENOMEM;

	for (unsigned int i = 0; r == 0 && i < o->n_fields; i++) {
		const struct oschema_field *f = &t->from->fields[o->fields + i];
		const char *keys[16], *s;

		v[i] = *f;
		v[i].name = otables_text(t, oschema_str(t->from, f->name));
		v[i].patch_key = f->patch_key ? otables_text(t, oschema_str(t->from, f->patch_key)) : 0;
		v[i].def = f->def ? otables_text(t, oschema_str(t->from, f->def)) : 0;
		v[i].alias = f->alias ? otables_text(t, oschema_str(t->from, f->alias)) : 0;
		v[i].doc = v[i].stored = 0;
		v[i].n_enums = 0;
		v[i].n_keys = f->n_keys > 16 ? 16 : f->n_keys;
		for (unsigned int k = 0; k < v[i].n_keys; k++)
			keys[k] = oschema_strs(t->from, f->keys, k);
		v[i].keys = otables_strs(t, keys, v[i].n_keys);
		v[i].rules = (uint16_t)N(rules, struct oschema_rule);
		for (unsigned int k = 0; k < f->n_rules; k++) {
			struct oschema_rule rule = t->from->rules[f->rules + k];

			s = oschema_str(t->from, rule.arg);
			rule.arg = s[0] ? otables_text(t, s) : 0;
			obuf_append(&t->rules, &rule, sizeof(rule));
		}
		r = lend(t, f->type, &v[i].type);
	}
	if (r == 0)
		r = fields_put(t, to, v, o->n_fields);
	omem_free(v);
	return r;
}

static int lend(struct otables *t, uint16_t i, uint16_t *ret)
{
	const struct oschema_type *o = &t->from->types[i];
	struct oschema_type *ty;
	uint16_t to, elem = 0;
	int r;

	if (i < OSCHEMA_N_SCALARS || t->seen[i]) {
		*ret = i < OSCHEMA_N_SCALARS ? i : t->seen[i];
		return 0;
	}
	r = type_new(t, &to);
	if (r)
		return r;
	t->seen[i] = to;
	*ret = to;
	ty = type_at(t, to);
	*ty = *o;
	ty->name = otables_text(t, oschema_str(t->from, o->name));
	ty->doc = 0;
	ty->rules = 0;
	ty->n_rules = 0;
	ty->fields = ty->n_fields = 0;
	if (o->kind == OSCHEMA_LIST || o->kind == OSCHEMA_MAP) {
		r = lend(t, o->elem, &elem);
		type_at(t, to)->elem = elem;
	} else if (o->kind == OSCHEMA_STRUCT) {
		r = lend_fields(t, o, to);
	}
	return r;
}

int otypes_lend(struct otables *t, const char *name, uint16_t *ret)
{
	const struct oschema_type *o = oschema_type_find(t->from, name);

	return o ? lend(t, oschema_type_index(t->from, o), ret) : -ENOENT;
}

/* ---- types by schema ---- */

static int by_node(struct otables *t, const struct ocrd_node *n, uint16_t *ret);

static void list_of(struct otables *t, const struct ocrd_node *n, struct oschema_field *f)
{
	if (n->flags & OCRD_LIST_SET)
		f->list = OSCHEMA_LIST_SET;
	if (n->flags & OCRD_LIST_MAP && n->n_keys) {
		f->list = OSCHEMA_LIST_MAP;
		f->n_keys = n->n_keys;
		f->keys = otables_strs(t, n->keys, n->n_keys);
	}
	f->map_atomic = f->struct_atomic = (n->flags & OCRD_MAP_ATOMIC) != 0;
}

static int props(struct otables *t, const struct ocrd_node *n, uint16_t to, bool root, uint16_t meta)
{
	struct oschema_field *v = omem_zalloc_array(n->n_props + 2u, sizeof(*v));
	unsigned int k = 0;
	int r = v ? 0 : -ENOMEM;

	if (r == 0 && root) {
		v[k].name = otables_text(t, "metadata");
		v[k].name_len = 8;
		v[k++].type = meta;
	}
	for (uint32_t i = 0; r == 0 && i < n->n_props; i++) {
		const char *name = n->props[i].name;

		if (strlen(name) > 255 || (root && (!strcmp(name, "apiVersion") || !strcmp(name, "kind") ||
						    !strcmp(name, "metadata"))))
			continue;
		v[k].name = otables_text(t, name);
		v[k].name_len = (uint8_t)strlen(name);
		v[k].flags = OSCHEMA_F_PTR;
		list_of(t, n->props[i].node, &v[k]);
		r = by_node(t, n->props[i].node, &v[k++].type);
	}
	if (r == 0)
		r = fields_put(t, to, v, k);
	omem_free(v);
	return r;
}

static int by_node(struct otables *t, const struct ocrd_node *n, uint16_t *ret)
{
	static const uint8_t scalars[] = {
		[OCRD_STRING] = OSCHEMA_STRING, [OCRD_INTEGER] = OSCHEMA_INT64, [OCRD_NUMBER] = OSCHEMA_DOUBLE,
		[OCRD_BOOLEAN] = OSCHEMA_BOOL,
	};
	uint16_t to, elem = t->any;
	int r;

	if (n->flags & OCRD_INT_OR_STRING) {
		*ret = OSCHEMA_INT_OR_STRING;
		return 0;
	}
	if (n->type >= OCRD_STRING) {
		*ret = scalars[n->type];
		return 0;
	}
	*ret = t->any;
	if (n->type == OCRD_ANY || (n->type == OCRD_OBJECT && !n->n_props && !n->extra))
		return 0;
	if (n->type == OCRD_OBJECT && n->flags & OCRD_PRESERVE && !n->extra)
		return 0;	/* what is not named is granular too: all of it without a schema */
	r = type_new(t, &to);
	if (r)
		return r;
	*ret = to;
	if (n->type == OCRD_OBJECT && n->n_props) {
		type_at(t, to)->kind = OSCHEMA_STRUCT;
		type_at(t, to)->flags = n->flags & OCRD_MAP_ATOMIC ? OSCHEMA_T_ATOMIC : 0;
		type_at(t, to)->name = otables_text(t, "object");
		return props(t, n, to, false, 0);
	}
	if (n->type == OCRD_ARRAY ? n->items : n->extra)
		r = by_node(t, n->type == OCRD_ARRAY ? n->items : n->extra, &elem);
	type_at(t, to)->kind = n->type == OCRD_ARRAY ? OSCHEMA_LIST : OSCHEMA_MAP;
	type_at(t, to)->name = otables_text(t, n->type == OCRD_ARRAY ? "array" : "map");
	type_at(t, to)->elem = elem;
	return r;
}

int otypes_object(struct otables *t, const struct ocrd_node *root, const char *name, uint16_t *ret)
{
	uint16_t meta, to;
	int r = otypes_lend(t, "meta/v1.ObjectMeta", &meta);

	if (r == 0)
		r = type_new(t, &to);
	if (r)
		return r;
	type_at(t, to)->kind = OSCHEMA_STRUCT;
	type_at(t, to)->flags = OSCHEMA_T_OBJECT | (root->flags & OCRD_PRESERVE ? OSCHEMA_T_OPEN : 0);
	type_at(t, to)->name = otables_text(t, name);
	*ret = to;
	return props(t, root, to, true, meta);
}

int otypes_list(struct otables *t, const char *name, uint16_t item)
{
	struct oschema_field f[2] = { { .name = otables_text(t, "items"), .name_len = 5, .flags = OSCHEMA_F_REQUIRED },
				      { .name = otables_text(t, "metadata"), .name_len = 8 } };
	uint16_t to, list;
	int r = otypes_lend(t, "meta/v1.ListMeta", &f[1].type);

	if (r == 0)
		r = type_new(t, &list);
	if (r == 0)
		r = type_new(t, &to);
	if (r)
		return r;
	type_at(t, list)->kind = OSCHEMA_LIST;
	type_at(t, list)->elem = item;
	type_at(t, list)->name = otables_text(t, "list");
	f[0].type = list;
	type_at(t, to)->kind = OSCHEMA_STRUCT;
	type_at(t, to)->flags = OSCHEMA_T_OBJECT | OSCHEMA_T_LIST;
	type_at(t, to)->name = otables_text(t, name);
	return fields_put(t, to, f, 2);
}
