/*
 * emit.c - writes the linked form as constant C arrays.
 */
#include "schemac.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts of the output, each once; offset 0 is the empty one. */
struct pool {
	struct sc_vec	texts;		/* const char * */
	struct sc_vec	offsets;	/* uint32_t */
	uint32_t	len;
	uint32_t	hash[8192];	/* index + 1 into texts; open addressing */
};

struct emitter {
	struct sc	*sc;
	FILE		*out;
	struct pool	pool;
	struct sc_vec	strs;		/* uint32_t */
	struct sc_vec	rules;		/* struct oschema_rule */
};

static uint32_t pool_add(struct pool *p, const char *s)
{
	uint32_t h = 2166136261u;

	if (s == NULL)
		s = "";
	for (const char *c = s; *c != '\0'; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	for (h %= 8192; p->hash[h] != 0; h = (h + 1) % 8192)
		if (strcmp(*SC_AT(p->texts, const char *, p->hash[h] - 1), s) == 0)
			return *SC_AT(p->offsets, uint32_t, p->hash[h] - 1);
	if (p->texts.n >= 8000)
		sc_die((struct sc_where){ NULL, 0 }, "too many texts");
	*(const char **)sc_push(&p->texts, sizeof(char *)) = s;
	*(uint32_t *)sc_push(&p->offsets, sizeof(uint32_t)) = p->len;
	p->hash[h] = (uint32_t)p->texts.n;
	p->len += (uint32_t)strlen(s) + 1;
	return p->len - (uint32_t)strlen(s) - 1;
}

static void pool_emit(struct emitter *e)
{
	fputs("static const char pool[] =\n", e->out);
	for (size_t i = 0; i < e->pool.texts.n; i++) {
		fputs("\t\"", e->out);
		for (const char *c = *SC_AT(e->pool.texts, const char *, i); *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				fputc('\\', e->out);
			if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
				fprintf(e->out, "\\%03o", (unsigned char)*c);
			else
				fputc(*c, e->out);
		}
		fputs("\\0\"\n", e->out);
	}
	fputs("\t;\n\n", e->out);
}

/* @vec of texts into strs; returns the first index. */
static unsigned int strs_add(struct emitter *e, const struct sc_vec *vec)
{
	unsigned int first = (unsigned int)e->strs.n;

	for (size_t i = 0; i < vec->n; i++)
		*(uint32_t *)sc_push(&e->strs, sizeof(uint32_t)) =
			pool_add(&e->pool, *SC_AT(*vec, const char *, i));
	return first;
}

static unsigned int rules_add(struct emitter *e, const struct sc_vec *rules, const struct sc_vec *args)
{
	unsigned int first = (unsigned int)e->rules.n;

	for (size_t i = 0; i < rules->n; i++) {
		struct oschema_rule *r = sc_push(&e->rules, sizeof(*r));

		*r = *SC_AT(*rules, struct oschema_rule, i);
		r->arg = pool_add(&e->pool, *SC_AT(*args, const char *, i));
	}
	return first;
}

static unsigned int emit_struct_fields(struct emitter *e, const struct sc_struct *s)
{
	for (size_t k = 0; k < s->flat.n; k++) {
		const struct sc_field *f = SC_AT(s->flat, struct sc_field, k);
		const struct sc_struct *t = NULL;
		const char *alias = f->alias != NULL ? sc_cat(strchr(s->package, '/') + 1, ".", f->alias) : "";

		if (f->type_index >= OSCHEMA_N_SCALARS &&
		    f->type_index < OSCHEMA_N_SCALARS + e->sc->structs.n)
			t = SC_AT(e->sc->structs, struct sc_struct, f->type_index - OSCHEMA_N_SCALARS);
		fprintf(e->out, "\t{ .name = %u, .type = %u, .flags = %u, .name_len = %zu",
			pool_add(&e->pool, f->name), f->type_index, f->flags, strlen(f->name));
		if (f->patch != 0)
			fprintf(e->out, ", .patch = %d", f->patch);
		if (f->list != 0)
			fprintf(e->out, ", .list = %d", f->list);
		if (f->atomic)
			fprintf(e->out, ", .%s = 1", t != NULL ? "struct_atomic" : "map_atomic");
		if (f->pb != 0)
			fprintf(e->out, ", .pb = %d", f->pb);
		if (f->pb_in != 0)
			fprintf(e->out, ", .pb_in = %d", f->pb_in);
		if (f->keys.n != 0)
			fprintf(e->out, ", .n_keys = %zu, .keys = %u", f->keys.n, strs_add(e, &f->keys));
		if (f->enums.n != 0)
			fprintf(e->out, ", .n_enums = %zu, .enums = %u", f->enums.n, strs_add(e, &f->enums));
		if (f->rules.n != 0)
			fprintf(e->out, ", .n_rules = %zu, .rules = %u", f->rules.n,
				rules_add(e, &f->rules, &f->rule_args));
		if (f->patch_key != NULL)
			fprintf(e->out, ", .patch_key = %u", pool_add(&e->pool, f->patch_key));
		if (f->def != NULL)
			fprintf(e->out, ", .def = %u", pool_add(&e->pool, f->def));
		if (*alias != '\0')
			fprintf(e->out, ", .alias = %u", pool_add(&e->pool, alias));
		if (f->doc != NULL)
			fprintf(e->out, ", .doc = %u", pool_add(&e->pool, f->doc));
		if (f->stored != NULL)
			fprintf(e->out, ", .stored = %u", pool_add(&e->pool, f->stored));
		fprintf(e->out, " },\t/* %s.%s */\n", s->name, f->name);
	}
	return (unsigned int)s->flat.n;
}

static const struct sc_struct *sort_struct;	/* qsort has no context; this program has one thread */

static int name_order(const void *a, const void *b)
{
	uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;

	return strcmp(SC_AT(sort_struct->flat, struct sc_field, x)->name,
		      SC_AT(sort_struct->flat, struct sc_field, y)->name);
}

static void emit_fields(struct emitter *e)
{
	unsigned int first = 0;

	fputs("static const struct oschema_field fields[] = {\n", e->out);
	for (size_t i = 0; i < e->sc->structs.n; i++)
		emit_struct_fields(e, SC_AT(e->sc->structs, struct sc_struct, i));
	fputs("};\n\nstatic const uint16_t by_name[] = {\n", e->out);
	for (size_t i = 0; i < e->sc->structs.n; i++) {
		const struct sc_struct *s = SC_AT(e->sc->structs, struct sc_struct, i);
		uint16_t *order = calloc(s->flat.n + 1, sizeof(*order));

		if (order == NULL)
			sc_die((struct sc_where){ NULL, 0 }, "out of memory");
		for (size_t k = 0; k < s->flat.n; k++)
			order[k] = (uint16_t)k;
		sort_struct = s;
		qsort(order, s->flat.n, sizeof(*order), name_order);
		fputc('\t', e->out);
		for (size_t k = 0; k < s->flat.n; k++)
			fprintf(e->out, "%u,", first + order[k]);
		fprintf(e->out, "\t/* %s */\n", s->name);
		first += (unsigned int)s->flat.n;
		free(order);
	}
	fputs("};\n\n", e->out);
	if (first > UINT16_MAX)
		sc_die((struct sc_where){ NULL, 0 }, "too many fields");
}

static void emit_types(struct emitter *e)
{
	unsigned int first = 0;

	fputs("static const struct oschema_type types[] = {\n", e->out);
	for (int i = 0; i < OSCHEMA_N_SCALARS; i++)
		fprintf(e->out, "\t{ .kind = %d, .name = %u },\n", i, pool_add(&e->pool, sc_scalar_go(i)));
	for (size_t i = 0; i < e->sc->structs.n; i++) {
		const struct sc_struct *s = SC_AT(e->sc->structs, struct sc_struct, i);

		fprintf(e->out, "\t{ .kind = %d, .flags = %u, .name = %u, .fields = %u, .n_fields = %zu, "
			".rules = %u, .n_rules = %zu, .defaulter = %u, .doc = %u },\t/* %s */\n",
			OSCHEMA_STRUCT, s->flags, pool_add(&e->pool, s->name), first, s->flat.n,
			rules_add(e, &s->rules, &s->rule_args), s->rules.n, s->defaulter,
			pool_add(&e->pool, s->doc), s->name);
		first += (unsigned int)s->flat.n;
	}
	for (size_t i = 0; i < e->sc->compounds.n; i++) {
		const struct sc_compound *c = SC_AT(e->sc->compounds, struct sc_compound, i);

		fprintf(e->out, "\t{ .kind = %u, .elem = %u, .name = %u },\n", c->kind, c->elem,
			pool_add(&e->pool, c->go));
	}
	fputs("};\n\n", e->out);
}

static struct sc *sort_sc;	/* as sort_struct */

static int struct_order(const void *a, const void *b)
{
	uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;

	return strcmp(SC_AT(sort_sc->structs, struct sc_struct, x)->name,
		      SC_AT(sort_sc->structs, struct sc_struct, y)->name);
}

static int kind_order(const void *a, const void *b)
{
	const struct sc_resource *x = SC_AT(sort_sc->resources, struct sc_resource, *(const uint16_t *)a);
	const struct sc_resource *y = SC_AT(sort_sc->resources, struct sc_resource, *(const uint16_t *)b);
	int d = strcmp(x->group.name, y->group.name);

	if (d == 0)
		d = strcmp(x->group.version, y->group.version);
	return d != 0 ? d : strcmp(x->kind, y->kind);
}

/* A uint16_t array 0 … n-1 in the order of @cmp, each plus @add. */
static void emit_order(struct emitter *e, const char *name, size_t n, unsigned int add,
		       int (*cmp)(const void *, const void *))
{
	uint16_t *order = calloc(n + 1, sizeof(*order));

	if (order == NULL)
		sc_die((struct sc_where){ NULL, 0 }, "out of memory");
	for (size_t i = 0; i < n; i++)
		order[i] = (uint16_t)i;
	sort_sc = e->sc;
	qsort(order, n, sizeof(*order), cmp);
	fprintf(e->out, "static const uint16_t %s[] = {\n\t", name);
	for (size_t i = 0; i < n; i++)
		fprintf(e->out, "%u,%s", order[i] + add, i % 16 == 15 ? "\n\t" : "");
	fputs("\n};\n\n", e->out);
	free(order);
}

static void emit_resource_parts(struct emitter *e)
{
	struct sc *sc = e->sc;

	fputs("static const struct oschema_sub subs[] = {\n", e->out);
	for (size_t i = 0; i < sc->resources.n; i++) {
		const struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);

		for (size_t k = 0; k < r->subs.n; k++) {
			const struct sc_sub *s = SC_AT(r->subs, struct sc_sub, k);

			fprintf(e->out, "\t{ .name = %u, .type = %u, .verbs = %u, .flags = %u, .group = %u, "
				".version = %u, .kind = %u, .replicas = %u, .current = %u, .selector = %u }, "
				"/* %s/%s */\n",
				pool_add(&e->pool, s->name), s->type_index, s->verbs, s->flags,
				pool_add(&e->pool, s->group->name), pool_add(&e->pool, s->group->version),
				pool_add(&e->pool, s->kind), pool_add(&e->pool, s->replicas),
				pool_add(&e->pool, s->current), pool_add(&e->pool, s->selector), r->plural,
				s->name);
		}
	}
	fputs("};\n\nstatic const struct oschema_select selects[] = {\n", e->out);
	for (size_t i = 0; i < sc->resources.n; i++) {
		const struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);

		for (size_t k = 0; k < r->selects.n; k++) {
			const struct sc_select *s = SC_AT(r->selects, struct sc_select, k);

			fprintf(e->out, "\t{ %u, %u },\n", pool_add(&e->pool, s->name),
				pool_add(&e->pool, s->path));
		}
	}
	fputs("};\n\nstatic const struct oschema_column columns[] = {\n", e->out);
	for (size_t i = 0; i < sc->resources.n; i++) {
		const struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);

		for (size_t k = 0; k < r->columns.n; k++) {
			const struct sc_column *c = SC_AT(r->columns, struct sc_column, k);

			fprintf(e->out, "\t{ .name = %u, .expr = %u, .doc = %u, .hook = %d, .type = %d, "
				".format = %d, .priority = %d },\n",
				pool_add(&e->pool, c->name), pool_add(&e->pool, c->expr),
				pool_add(&e->pool, c->doc), c->hook, c->type, c->format, c->priority);
		}
	}
	fputs("};\n\n", e->out);
}

static void emit_resources(struct emitter *e)
{
	struct sc *sc = e->sc;
	size_t subs = 0, selects = 0, columns = 0;

	emit_resource_parts(e);
	fputs("static const struct oschema_resource resources[] = {\n", e->out);
	for (size_t i = 0; i < sc->resources.n; i++) {
		const struct sc_resource *r = SC_AT(sc->resources, struct sc_resource, i);

		fprintf(e->out, "\t{ .group = %u, .version = %u, .kind = %u, .list_kind = %u, .plural = %u, "
			".singular = %u, .type = %u, .stored = %u, .flags = %u, .verbs = %u, .name_rule = %d,\n"
			"\t  .n_short = %zu, .shorts = %u, .n_categories = %zu, .categories = %u, .subs = %zu, "
			".n_subs = %zu, .selects = %zu, .n_selects = %zu, .columns = %zu, .n_columns = %zu,\n"
			"\t  .grace_s = %d, .hash = \"%s\" },\t/* %s/%s */\n",
			pool_add(&e->pool, r->group.name), pool_add(&e->pool, r->group.version),
			pool_add(&e->pool, r->kind), pool_add(&e->pool, r->list_kind),
			pool_add(&e->pool, r->plural), pool_add(&e->pool, r->singular), r->type_index,
			r->stored_index, r->flags, r->verbs, r->name_rule, r->shorts.n,
			strs_add(e, &r->shorts), r->categories.n, strs_add(e, &r->categories), subs,
			r->subs.n, selects, r->selects.n, columns, r->columns.n, r->grace_s,
			(r->verbs & OSCHEMA_V_LIST) != 0 ? r->hash : "", r->group.name, r->plural);
		subs += r->subs.n;
		selects += r->selects.n;
		columns += r->columns.n;
	}
	fputs("};\n\n", e->out);
	fputs("static const struct oschema_group groups[] = {\n", e->out);
	for (size_t i = 0; i < sc->groups.n; i++) {
		const struct sc_group *g = SC_AT(sc->groups, struct sc_group, i);

		fprintf(e->out, "\t{ .name = %u, .version = %u, .package = %u, .openapi = %u, .priority = %ld, "
			".version_priority = %ld, .served = %d },\t/* %s */\n", pool_add(&e->pool, g->name),
			pool_add(&e->pool, g->version), pool_add(&e->pool, g->package),
			pool_add(&e->pool, g->openapi), g->priority, g->version_priority, g->served,
			g->package);
	}
	fputs("};\n\n", e->out);
}

void sc_emit(struct sc *sc, const char *path, const char *include, const char *symbol)
{
	struct emitter *e = calloc(1, sizeof(*e));
	size_t n_types = OSCHEMA_N_SCALARS + sc->structs.n + sc->compounds.n;
	size_t n_fields = 0;

	if (e == NULL)
		sc_die((struct sc_where){ NULL, 0 }, "out of memory");
	e->sc = sc;
	e->out = fopen(path, "w");
	if (e->out == NULL)
		sc_die((struct sc_where){ NULL, 0 }, "%s: %m", path);
	fprintf(e->out, "/*\n * Made by schemac from the schema files; edits are lost.\n */\n"
		"#include \"%s\"\n\n", include);
	pool_add(&e->pool, "");
	emit_fields(e);
	emit_types(e);
	emit_order(e, "type_names", sc->structs.n, OSCHEMA_N_SCALARS, struct_order);
	emit_resources(e);
	emit_order(e, "kinds", sc->resources.n, 0, kind_order);
	if (n_types > UINT16_MAX || e->strs.n > UINT16_MAX || e->rules.n > UINT16_MAX)
		sc_die((struct sc_where){ NULL, 0 }, "too many types, texts or rules");
	for (size_t i = 0; i < sc->structs.n; i++)
		n_fields += SC_AT(sc->structs, struct sc_struct, i)->flat.n;
	fputs("static const struct oschema_rule rules[] = {\n", e->out);
	for (size_t i = 0; i < e->rules.n; i++) {
		const struct oschema_rule *r = SC_AT(e->rules, struct oschema_rule, i);

		fprintf(e->out, "\t{ .op = %u, .arg = %u, .lo = %lld, .hi = %lld },\n", r->op, r->arg,
			(long long)r->lo, (long long)r->hi);
	}
	fputs("};\n\nstatic const uint32_t strs[] = {\n\t", e->out);
	for (size_t i = 0; i < e->strs.n; i++)
		fprintf(e->out, "%u,%s", *SC_AT(e->strs, uint32_t, i), i % 16 == 15 ? "\n\t" : "");
	fputs("0\n};\n\n", e->out);
	pool_emit(e);
	fprintf(e->out, "const struct oschema %s = {\n"
		"\t.pool = pool, .types = types, .fields = fields, .by_name = by_name,\n"
		"\t.type_names = type_names, .rules = rules, .strs = strs, .resources = resources,\n"
		"\t.kinds = kinds, .subs = subs, .selects = selects, .columns = columns, .groups = groups,\n"
		"\t.pool_len = sizeof(pool) - 1, .n_types = %zu, .n_fields = %zu, .n_type_names = %zu,\n"
		"\t.n_rules = %zu, .n_resources = %zu, .n_groups = %zu, .generation = 0x%08x,\n};\n",
		symbol, n_types, n_fields, sc->structs.n, e->rules.n, sc->resources.n, sc->groups.n,
		sc->generation);
	if (fflush(e->out) != 0 || ferror(e->out) != 0 || fclose(e->out) != 0)
		sc_die((struct sc_where){ NULL, 0 }, "%s: cannot write", path);
	free(e);
}
