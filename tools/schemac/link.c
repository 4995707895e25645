/*
 * link.c - turns names into indexes and checks that the whole is sound: types and keys exist,
 * numbers and names are unique, merge keys are fields of their elements, defaults fit.
 */
#include "schemac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char	*name;
	const char	*go;
} scalars[OSCHEMA_N_SCALARS] = {
	[OSCHEMA_STRING] = { "string", "string" },
	[OSCHEMA_INT32] = { "int32", "int32" },
	[OSCHEMA_INT64] = { "int64", "int64" },
	[OSCHEMA_BOOL] = { "bool", "bool" },
	[OSCHEMA_DOUBLE] = { "double", "float64" },
	[OSCHEMA_BYTES] = { "bytes", "[]uint8" },
	[OSCHEMA_QUANTITY] = { "quantity", "resource.Quantity" },
	[OSCHEMA_INT_OR_STRING] = { "intstr", "intstr.IntOrString" },
	[OSCHEMA_TIME] = { "time", "v1.Time" },
	[OSCHEMA_MICROTIME] = { "microtime", "v1.MicroTime" },
	[OSCHEMA_DURATION] = { "duration", "v1.Duration" },
	[OSCHEMA_RAW] = { "raw", "runtime.RawExtension" },
	[OSCHEMA_FIELDS] = { "fields", "v1.FieldsV1" },
	[OSCHEMA_JSON] = { "json", "interface {}" },
};

static struct sc_struct *struct_find(struct sc *sc, const char *name)
{
	for (size_t i = 0; i < sc->structs.n; i++) {
		struct sc_struct *s = SC_AT(sc->structs, struct sc_struct, i);

		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

const struct sc_group *sc_group_of_package(const struct sc *sc, const char *package)
{
	for (size_t i = 0; i < sc->groups.n; i++) {
		struct sc_group *g = SC_AT(sc->groups, struct sc_group, i);

		if (strcmp(g->package, package) == 0)
			return g;
	}
	return NULL;
}

const char *sc_scalar_go(int kind)
{
	return scalars[kind].go;
}

/* "v1.PodSpec" of "core/v1.PodSpec" */
static const char *go_short(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

static const char *type_go(const struct sc *sc, uint16_t t)
{
	if (t < OSCHEMA_N_SCALARS)
		return scalars[t].go;
	t = (uint16_t)(t - OSCHEMA_N_SCALARS);
	if (t < sc->structs.n)
		return go_short(SC_AT(sc->structs, struct sc_struct, t)->name);
	return SC_AT(sc->compounds, struct sc_compound, t - sc->structs.n)->go;
}

static uint16_t compound(struct sc *sc, int kind, uint16_t elem)
{
	struct sc_compound *c;
	size_t base = OSCHEMA_N_SCALARS + sc->structs.n;

	for (size_t i = 0; i < sc->compounds.n; i++) {
		c = SC_AT(sc->compounds, struct sc_compound, i);
		if (c->kind == kind && c->elem == elem)
			return (uint16_t)(base + i);
	}
	c = sc_push(&sc->compounds, sizeof(*c));
	c->kind = (uint8_t)kind;
	c->elem = elem;
	c->go = sc_cat(kind == OSCHEMA_LIST ? "[]" : "map[string]", type_go(sc, elem), "");
	return (uint16_t)(base + sc->compounds.n - 1);
}

/* Index of the type that @text spells, seen from @package. */
static uint16_t resolve(struct sc *sc, struct sc_where at, const char *package, const char *text)
{
	struct sc_struct *s;

	if (strncmp(text, "[]", 2) == 0)
		return compound(sc, OSCHEMA_LIST, resolve(sc, at, package, text + 2));
	if (strncmp(text, "map[string]", 11) == 0)
		return compound(sc, OSCHEMA_MAP, resolve(sc, at, package, text + 11));
	for (int i = 0; i < OSCHEMA_N_SCALARS; i++)
		if (strcmp(scalars[i].name, text) == 0)
			return (uint16_t)i;
	s = struct_find(sc, strchr(text, '/') != NULL ? text : sc_cat(package, ".", text));
	if (s == NULL)
		sc_die(at, "no type is called \"%s\"", text);
	return (uint16_t)(OSCHEMA_N_SCALARS + s->index);
}

static struct sc_struct *struct_at(struct sc *sc, uint16_t t)
{
	t = (uint16_t)(t - OSCHEMA_N_SCALARS);
	return t < sc->structs.n ? SC_AT(sc->structs, struct sc_struct, t) : NULL;
}

/* Splices embedded structs into s->flat, once. Embedded fields remember the embedding's number; of one inside another, both. */
static void flatten(struct sc *sc, struct sc_struct *s)
{
	if (s->flat.n != 0 || s->fields.n == 0)
		return;
	if (s->flattening)
		sc_die(s->at, "%s embeds itself", s->name);
	s->flattening = true;
	for (size_t i = 0; i < s->fields.n; i++) {
		struct sc_field f = *SC_AT(s->fields, struct sc_field, i);
		struct sc_struct *in;

		f.type_index = resolve(sc, f.at, s->package, f.type);
		if (!f.embeds) {
			*(struct sc_field *)sc_push(&s->flat, sizeof(f)) = f;
			continue;
		}
		in = f.type_index < OSCHEMA_N_SCALARS ? NULL : struct_at(sc, f.type_index);
		if (in == NULL)
			sc_die(f.at, "only a struct can be embedded");
		flatten(sc, in);
		for (size_t k = 0; k < in->flat.n; k++) {
			struct sc_field *nf = sc_push(&s->flat, sizeof(*nf));

			*nf = *SC_AT(in->flat, struct sc_field, k);
			if (nf->pb_in > 15 || f.pb > 15)
				sc_die(f.at, "an embedded struct has a number up to 15, and embeds one level more at most");
			nf->pb_in = f.pb | nf->pb_in << 4;
		}
		/* what is checked and defaulted on the embedded struct holds for its host as well */
		for (size_t k = 0; k < in->rules.n; k++) {
			*(struct oschema_rule *)sc_push(&s->rules, sizeof(struct oschema_rule)) =
				*SC_AT(in->rules, struct oschema_rule, k);
			*(const char **)sc_push(&s->rule_args, sizeof(char *)) =
				*SC_AT(in->rule_args, const char *, k);
		}
		if (s->defaulter == 0)
			s->defaulter = in->defaulter;
	}
	s->flattening = false;
}

static const struct sc_field *flat_find(const struct sc_struct *s, const char *name)
{
	for (size_t i = 0; i < s->flat.n; i++) {
		const struct sc_field *f = SC_AT(s->flat, struct sc_field, i);

		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

/* The type of a list field, or NULL. */
static struct sc_compound *list_of(struct sc *sc, const struct sc_field *f)
{
	size_t i = (size_t)f->type_index - OSCHEMA_N_SCALARS - sc->structs.n;

	if (f->type_index < OSCHEMA_N_SCALARS + sc->structs.n)
		return NULL;
	struct sc_compound *c = SC_AT(sc->compounds, struct sc_compound, i);

	return c->kind == OSCHEMA_LIST ? c : NULL;
}

/* The struct that a list field holds, or NULL. */
static struct sc_struct *list_elem(struct sc *sc, const struct sc_field *f)
{
	struct sc_compound *c = list_of(sc, f);

	return c != NULL && c->elem >= OSCHEMA_N_SCALARS ? struct_at(sc, c->elem) : NULL;
}

static void field_check(struct sc *sc, const struct sc_field *f)
{
	struct sc_struct *elem = list_elem(sc, f);

	if (f->pb < 0 || f->pb > 255 || f->pb_in > 255)
		sc_die(f->at, "protobuf number %d is out of range", f->pb);
	if (strlen(f->name) > 255)
		sc_die(f->at, "the name is too long");
	if ((f->flags & OSCHEMA_F_NOTNULL) != 0 && ((f->flags & OSCHEMA_F_OMITEMPTY) != 0 || list_of(sc, f) == NULL))
		sc_die(f->at, "notnull is for lists that are always written ([]TYPE!)");
	if (f->patch_key != NULL && (elem == NULL || flat_find(elem, f->patch_key) == NULL))
		sc_die(f->at, "merge key \"%s\" is no field of the list's elements", f->patch_key);
	for (size_t i = 0; i < f->keys.n; i++) {
		const char *k = *SC_AT(f->keys, const char *, i);

		if (elem == NULL || flat_find(elem, k) == NULL)
			sc_die(f->at, "map key \"%s\" is no field of the list's elements", k);
	}
	for (size_t i = 0; i < f->rules.n; i++) {
		const struct oschema_rule *r = SC_AT(f->rules, struct oschema_rule, i);
		const char *arg = *SC_AT(f->rule_args, const char *, i);

		if (r->op == OSCHEMA_R_UNIQUE && *arg != '\0' && (elem == NULL || flat_find(elem, arg) == NULL))
			sc_die(f->at, "unique=%s: no field of the list's elements", arg);
	}
	if (f->def != NULL && f->type_index == OSCHEMA_STRING && f->def[0] != '"')
		sc_die(f->at, "the default of a string is written in quotes");
}

/* Adds the list kind of each resource that can be listed: metadata and items. */
static void add_lists(struct sc *sc)
{
	for (size_t i = 0; i < sc->resources.n; i++) {
		struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);
		struct sc_struct *s;
		struct sc_field *f;
		const char *name;

		if ((r->verbs & OSCHEMA_V_LIST) == 0)
			continue;
		r->list_kind = sc_cat(r->kind, "List", "");
		name = sc_cat(r->group.package, ".", r->list_kind);
		if (struct_find(sc, name) != NULL)
			continue;
		s = sc_push(&sc->structs, sizeof(*s));
		s->at = r->at;
		s->package = r->group.package;
		s->name = name;
		s->doc = sc_cat(r->kind, "List is a list of ", r->plural);
		s->flags = OSCHEMA_T_OBJECT | OSCHEMA_T_LIST;
		f = sc_push(&s->fields, sizeof(*f));
		f->at = r->at;
		f->name = "metadata";
		f->type = "meta/v1.ListMeta";
		f->flags = OSCHEMA_F_OMITEMPTY;
		f->pb = 1;
		f = sc_push(&s->fields, sizeof(*f));
		f->at = r->at;
		f->name = "items";
		f->type = sc_cat("[]", r->type, "");
		f->flags = OSCHEMA_F_REQUIRED;
		f->pb = 2;
	}
}

static void hash_version(struct sc *sc, struct sc_resource *r)
{
	static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct sc_resource *st = SC_AT(sc->resources, struct sc_resource, r->stored_index);
	char *text = sc_cat(st->group.name, "/", sc_cat(st->group.version, "/", st->kind));
	uint8_t d[32];

	sc_sha256(text, strlen(text), d);
	for (int i = 0; i < 8; i += 3) {
		uint32_t w = (uint32_t)d[i] << 16 | (uint32_t)d[i + 1] << 8 | (i + 2 < 8 ? d[i + 2] : 0);

		for (int k = 0; k < 4; k++)
			r->hash[i / 3 * 4 + k] = b64[w >> (18 - 6 * k) & 63];
	}
	r->hash[11] = '=';
	r->hash[12] = '\0';
}

static int resource_order(const void *a, const void *b)
{
	const struct sc_resource *x = a, *y = b;
	int d = strcmp(x->group.name, y->group.name);

	if (d == 0)
		d = strcmp(x->group.version, y->group.version);
	return d != 0 ? d : strcmp(x->plural, y->plural);
}

static int group_order(const void *a, const void *b)
{
	const struct sc_group *x = a, *y = b;
	int d;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	d = strcmp(x->name, y->name);
	if (d == 0 && x->version_priority != y->version_priority)
		return x->version_priority > y->version_priority ? -1 : 1;
	return d != 0 ? d : strcmp(x->version, y->version);
}

static void resource_link(struct sc *sc, struct sc_resource *r, size_t index)
{
	struct sc_struct *t;

	r->type_index = resolve(sc, r->at, r->group.package, r->type);
	t = r->type_index >= OSCHEMA_N_SCALARS ? struct_at(sc, r->type_index) : NULL;
	if (t == NULL || (t->flags & OSCHEMA_T_OBJECT) == 0)
		sc_die(r->at, "%s is no object type", r->type);
	if (r->singular == NULL)
		sc_die(r->at, "the resource has no name line");
	if (r->verbs & OSCHEMA_V_LIST && r->selects.n == 0)
		sc_die(r->at, "the resource has no select line");
	r->stored_index = (uint16_t)index;
	if (r->stored != NULL) {
		bool found = false;

		for (size_t i = 0; i < sc->resources.n && !found; i++) {
			struct sc_resource *o = SC_AT(sc->resources, struct sc_resource, i);

			found = o->stored == NULL && strcmp(o->type, r->stored) == 0;
			if (found)
				r->stored_index = (uint16_t)i;
		}
		if (!found)
			sc_die(r->at, "stored=%s is no type of a resource", r->stored);
	}
	for (size_t i = 0; i < r->subs.n; i++) {
		struct sc_sub *s = SC_AT(r->subs, struct sc_sub, i);
		struct sc_struct *st;

		s->type_index = s->type == NULL ? r->type_index :
				resolve(sc, s->at, r->group.package, s->type);
		st = struct_at(sc, s->type_index);
		if (st == NULL || (st->flags & OSCHEMA_T_OBJECT) == 0)
			sc_die(s->at, "%s is no object type", s->type);
		s->group = sc_group_of_package(sc, st->package);
		s->kind = strchr(st->name, '.') + 1;
	}
	hash_version(sc, r);
}

void sc_link(struct sc *sc)
{
	add_lists(sc);
	for (size_t i = 0; i < sc->structs.n; i++) {
		struct sc_struct *s = SC_AT(sc->structs, struct sc_struct, i);
		struct sc_struct *first = struct_find(sc, s->name);

		s->index = (uint16_t)i;
		if (first != s)
			sc_die(s->at, "%s is already described at %s:%d", s->name, first->at.file,
			       first->at.line);
	}
	for (size_t i = 0; i < sc->structs.n; i++)
		flatten(sc, SC_AT(sc->structs, struct sc_struct, i));
	for (size_t i = 0; i < sc->structs.n; i++) {
		struct sc_struct *s = SC_AT(sc->structs, struct sc_struct, i);

		for (size_t k = 0; k < s->flat.n; k++) {
			const struct sc_field *f = SC_AT(s->flat, struct sc_field, k);

			field_check(sc, f);
			if (flat_find(s, f->name) != f)
				sc_die(f->at, "field \"%s\" appears twice in %s", f->name, s->name);
			for (size_t j = 0; j < k; j++) {
				const struct sc_field *o = SC_AT(s->flat, struct sc_field, j);

				if (o->pb != 0 && o->pb == f->pb && o->pb_in == f->pb_in)
					sc_die(f->at, "protobuf number %d is already \"%s\"", f->pb, o->name);
			}
		}
	}
	qsort(sc->groups.v, sc->groups.n, sizeof(struct sc_group), group_order);
	qsort(sc->resources.v, sc->resources.n, sizeof(struct sc_resource), resource_order);
	for (size_t i = 0; i < sc->resources.n; i++) {
		struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);

		resource_link(sc, r, i);
		for (size_t k = 0; k < sc->groups.n; k++) {
			struct sc_group *g = SC_AT(sc->groups, struct sc_group, k);

			if (strcmp(g->name, r->group.name) == 0 && strcmp(g->version, r->group.version) == 0)
				g->served = true;
			/* clients look for the group of a subresource's body, too: policy for evictions */
			for (size_t m = 0; m < r->subs.n; m++)
				if (SC_AT(r->subs, struct sc_sub, m)->group == g)
					g->served = true;
		}
		if (i > 0 && resource_order(r, r - 1) == 0)
			sc_die(r->at, "resource %s appears twice", r->plural);
	}
}
