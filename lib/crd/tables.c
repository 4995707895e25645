/* tables.c - one definition as tables: its versions, subresources, columns, selectable fields. */
#include "crd/tables.h"

#include "base/ocleanup.h"
#include "base/omem.h"
#include "schema/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N(b, type) otables_count(&t->b, sizeof(type))
#define VERBS_ALL 0xff
#define VERBS_PART (OSCHEMA_V_GET | OSCHEMA_V_PATCH | OSCHEMA_V_UPDATE)

unsigned int otables_count(const struct obuf *b, size_t size)
{
	return (unsigned int)(b->len / size);
}

uint32_t otables_text(struct otables *t, const char *cstr)
{
	uint32_t at = (uint32_t)t->pool.len;

	if (!cstr[0])
		return 0;
	obuf_append(&t->pool, cstr, strlen(cstr) + 1);
	return at;
}

uint16_t otables_strs(struct otables *t, const char *const *v, unsigned int n)
{
	unsigned int at = N(strs, uint32_t);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t off = otables_text(t, v[i]);

		obuf_append(&t->strs, &off, sizeof(off));
	}
	return (uint16_t)at;
}

static uint16_t list_strs(struct otables *t, const struct ojson *arr, uint8_t *ret_n)
{
	unsigned int at = N(strs, uint32_t);
	size_t n = ojson_count(arr) > 200 ? 200 : ojson_count(arr);

	for (size_t i = 0; i < n; i++) {
		uint32_t off = otables_text(t, ojson_cstr(ojson_index(arr, i), ""));

		obuf_append(&t->strs, &off, sizeof(off));
	}
	*ret_n = (uint8_t)n;
	return (uint16_t)at;
}

static const char *dotless(const char *path)
{
	return path[0] == '.' ? path + 1 : path;
}

static int subs(struct otables *t, const struct ojson *v, struct oschema_resource *res)
{
	const struct ojson *sub = ojson_get(v, "subresources"), *scale = ojson_get_object(sub, "scale");
	struct oschema_sub s = { .type = res->type, .verbs = VERBS_PART };
	int r = 0;

	res->subs = (uint16_t)N(subs, struct oschema_sub);
	if (ojson_get(sub, "status")) {
		s.name = otables_text(t, "status");
		s.group = res->group;
		s.version = res->version;
		s.kind = res->kind;
		obuf_append(&t->subs, &s, sizeof(s));
		res->n_subs++;
		res->flags |= OSCHEMA_S_STATUS;
	}
	if (scale) {
		r = otypes_lend(t, "autoscaling/v1.Scale", &s.type);
		s.name = otables_text(t, "scale");
		s.group = otables_text(t, "autoscaling");
		s.version = otables_text(t, "v1");
		s.kind = otables_text(t, "Scale");
		s.replicas = otables_text(t, dotless(ojson_get_cstr(scale, "specReplicasPath", "")));
		s.current = otables_text(t, dotless(ojson_get_cstr(scale, "statusReplicasPath", "")));
		s.selector = otables_text(t, dotless(ojson_get_cstr(scale, "labelSelectorPath", "")));
		obuf_append(&t->subs, &s, sizeof(s));
		res->n_subs++;
	}
	return r;
}

static void selects(struct otables *t, const struct ojson *v, bool namespaced, struct oschema_resource *res)
{
	struct oschema_select s;

	res->selects = (uint16_t)N(selects, struct oschema_select);
	for (int i = 0; i < 1 + namespaced; i++) {
		s.name = s.path = otables_text(t, i ? "metadata.namespace" : "metadata.name");
		obuf_append(&t->selects, &s, sizeof(s));
		res->n_selects++;
	}
	OJSON_FOREACH_ELEM(i, f, ojson_get_array(v, "selectableFields")) {
		s.name = s.path = otables_text(t, dotless(ojson_get_cstr(f, "jsonPath", "")));
		if (res->n_selects < 32) {
			obuf_append(&t->selects, &s, sizeof(s));
			res->n_selects++;
		}
	}
}

static void columns(struct otables *t, const struct ojson *v, struct oschema_resource *res)
{
	static const char *const types[] = { "string", "integer", "number", "boolean", "date" };
	const struct ojson *list = ojson_get_array(v, "additionalPrinterColumns");
	struct oschema_column c = { 0 };

	res->columns = (uint16_t)N(columns, struct oschema_column);
	c.name = otables_text(t, "Name");
	c.expr = otables_text(t, "metadata.name");
	c.format = 1;
	obuf_append(&t->columns, &c, sizeof(c));
	res->n_columns = 1;
	if (!ojson_count(list)) {
		memset(&c, 0, sizeof(c));
		c.name = otables_text(t, "Age");
		c.hook = OSCHEMA_L_custom;
		c.expr = otables_text(t, ".metadata.creationTimestamp");
		c.type = 4;
		obuf_append(&t->columns, &c, sizeof(c));
		res->n_columns++;
	}
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *type = ojson_get_cstr(e, "type", "string");

		memset(&c, 0, sizeof(c));
		c.name = otables_text(t, ojson_get_cstr(e, "name", ""));
		c.doc = otables_text(t, ojson_get_cstr(e, "description", ""));
		c.hook = OSCHEMA_L_custom;
		c.expr = otables_text(t, ojson_get_cstr(e, "jsonPath", ""));
		for (uint8_t k = 0; k < 5; k++)
			if (!strcmp(type, types[k]))
				c.type = k;
		c.priority = (uint8_t)ojson_get_i64(e, "priority", 0);
		if (res->n_columns < 200) {
			obuf_append(&t->columns, &c, sizeof(c));
			res->n_columns++;
		}
	}
}

static int object_type(struct otables *t, const struct ojson *spec, const struct ojson *names, const struct ojson *v,
		       const struct ocrd_node *root, uint16_t *ret)
{
	char name[700];
	int r;

	snprintf(name, sizeof(name), "%s/%s.%s", ojson_get_cstr(spec, "group", ""), ojson_get_cstr(v, "name", ""),
		 ojson_get_cstr(names, "kind", ""));
	r = otypes_object(t, root, name, ret);
	snprintf(name, sizeof(name), "%s/%s.%s", ojson_get_cstr(spec, "group", ""), ojson_get_cstr(v, "name", ""),
		 ojson_get_cstr(names, "listKind", ""));
	return r == 0 && t->docs ? otypes_list(t, name, *ret) : r;
}

/* "com.example.v1" of example.com and v1 */
static uint32_t reversed(struct otables *t, const char *group, const char *version)
{
	const char *end = group + strlen(group);
	struct obuf b = OBUF_INIT;
	uint32_t at;

	while (end > group) {
		const char *p = end;

		while (p > group && p[-1] != '.')
			p--;
		obuf_append(&b, p, (size_t)(end - p));
		obuf_putc(&b, '.');
		end = p > group ? p - 1 : group;
	}
	obuf_puts(&b, version);
	at = otables_text(t, obuf_cstr(&b));
	obuf_done(&b);
	return at;
}

static int docs_types(struct otables *t)
{
	static const char *const names[] = { "meta/v1.DeleteOptions", "meta/v1.Status", "meta/v1.WatchEvent" };
	const struct oschema_group *meta = NULL;
	struct oschema_group g = { 0 };
	uint16_t i;
	int r = 0;

	for (size_t k = 0; r == 0 && k < 3; k++)
		r = otypes_lend(t, names[k], &i);
	for (uint16_t k = 0; k < t->from->n_groups; k++)
		if (!strcmp(oschema_str(t->from, t->from->groups[k].package), "meta/v1"))
			meta = &t->from->groups[k];
	if (r || !meta)
		return r;
	g.name = otables_text(t, oschema_str(t->from, meta->name));
	g.version = otables_text(t, oschema_str(t->from, meta->version));
	g.package = otables_text(t, "meta/v1");
	g.openapi = otables_text(t, oschema_str(t->from, meta->openapi));
	obuf_append(&t->groups, &g, sizeof(g));
	g.name = otables_text(t, "autoscaling");
	g.package = otables_text(t, "autoscaling/v1");
	g.openapi = otables_text(t, "io.k8s.api.autoscaling.v1");
	obuf_append(&t->groups, &g, sizeof(g));
	return 0;
}

/* How far a version of the form v1beta2 is: alpha, beta, general; 0 for others. */
static unsigned int maturity(const char *v, unsigned int *ret_major, unsigned int *ret_minor)
{
	int n = 0;

	*ret_minor = 0;
	if (sscanf(v, "v%u%n", ret_major, &n) != 1 || *ret_major == 0)
		return 0;
	if (v[n] == '\0')
		return 3;
	if (sscanf(v + n, "beta%u", ret_minor) == 1)
		return 2;
	return sscanf(v + n, "alpha%u", ret_minor) == 1 ? 1 : 0;
}

static bool is_newer(const char *a, const char *b)
{
	unsigned int am, an, bm, bn, as = maturity(a, &am, &an), bs = maturity(b, &bm, &bn);

	if (!as || !bs)
		return as > bs || (!as && !bs && strcmp(a, b) < 0);
	return as != bs ? as > bs : am != bm ? am > bm : an > bn;
}

/* What is said about a deprecated version whose definition says nothing: the newest one that is to be used instead. */
static const char *deprecation(struct oarena *a, const struct ojson *spec, const struct ojson *names, const char *version)
{
	const char *group = ojson_get_cstr(spec, "group", ""), *kind = ojson_get_cstr(names, "kind", ""), *best = version;

	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "versions")) {
		const char *name = ojson_get_cstr(v, "name", "");

		if (ojson_get_bool(v, "served", false) && !ojson_get_bool(v, "deprecated", false) && is_newer(name, best))
			best = name;
	}
	if (best == version)
		return oarena_printf(a, "%s/%s %s is deprecated", group, version, kind);
	return oarena_printf(a, "%s/%s %s is deprecated; use %s/%s %s", group, version, kind, group, best, kind);
}

static int resource(struct otables *t, const struct ojson *spec, const struct ojson *names, const struct ojson *v,
		    struct ocrd *o, struct ocrd_version *ret)
{
	const struct ojson *schema = OJSON_AT(v, "schema", "openAPIV3Schema");
	const struct ojson *scale = OJSON_AT(v, "subresources", "scale");
	bool namespaced = strcmp(ojson_get_cstr(spec, "scope", ""), "Cluster") != 0;
	struct oschema_resource res = { .verbs = VERBS_ALL, .grace_s = -1, .name_rule = OSCHEMA_FMT_DNS1123_SUBDOMAIN,
					.flags = OSCHEMA_S_GENERATION | OSCHEMA_S_VERSIONED };
	cleanup_ojson struct ojson *empty = schema ? NULL : ojson_new_object();
	const char *text;
	int r = ocrd_compile(&o->arena, schema ? schema : empty, &ret->root);

	ret->name = oarena_strdup(&o->arena, ojson_get_cstr(v, "name", ""));
	ret->served = ojson_get_bool(v, "served", false);
	ret->storage = ojson_get_bool(v, "storage", false);
	ret->status = OJSON_AT(v, "subresources", "status") != NULL;
	if (scale)
		ret->scale_spec = oarena_strdup(&o->arena, ojson_get_cstr(scale, "specReplicasPath", ""));
	if (ojson_get_bool(v, "deprecated", false)) {
		text = ojson_get_cstr(v, "deprecationWarning", "");
		ret->warning = text[0] ? oarena_strdup(&o->arena, text) : deprecation(&o->arena, spec, names, ret->name);
	}
	if (r == 0)
		r = object_type(t, spec, names, v, ret->root, &res.type);
	res.group = otables_text(t, ojson_get_cstr(spec, "group", ""));
	res.version = otables_text(t, ojson_get_cstr(v, "name", ""));
	res.kind = otables_text(t, ojson_get_cstr(names, "kind", ""));
	res.list_kind = otables_text(t, ojson_get_cstr(names, "listKind", ""));
	res.plural = otables_text(t, ojson_get_cstr(names, "plural", ""));
	res.singular = otables_text(t, ojson_get_cstr(names, "singular", ""));
	res.shorts = list_strs(t, ojson_get_array(names, "shortNames"), &res.n_short);
	res.categories = list_strs(t, ojson_get_array(names, "categories"), &res.n_categories);
	if (namespaced)
		res.flags |= OSCHEMA_S_NAMESPACED;
	if (r == 0)
		r = subs(t, v, &res);
	selects(t, v, namespaced, &res);
	columns(t, v, &res);
	obuf_append(&t->resources, &res, sizeof(res));
	return r;
}

static int name_cmp(const void *a, const void *b, void *arg)
{
	const struct oschema *s = arg;

	return strcmp(s->pool + s->types[*(const uint16_t *)a].name, s->pool + s->types[*(const uint16_t *)b].name);
}

/* Struct types that have a name of their own, in order. */
static int sort_names(struct oschema *s, struct ocrd *o)
{
	uint16_t *v = oarena_alloc(&o->arena, (s->n_types + 1u) * sizeof(*v)), n = 0;

	if (!v)
		return -ENOMEM;
	for (uint16_t i = 0; i < s->n_types; i++)
		if (s->types[i].kind == OSCHEMA_STRUCT && strchr(s->pool + s->types[i].name, '/'))
			v[n++] = i;
	qsort_r(v, n, sizeof(*v), name_cmp, s);
	s->type_names = v;
	s->n_type_names = n;
	return 0;
}

/* Everything in one piece of memory for good. */
static int finish(struct otables *t, struct ocrd *o)
{
	struct oschema *s = &o->schema;
	struct {
		struct obuf *b;
		const void **to;
	} v[] = {
		{ &t->pool, (const void **)&s->pool }, { &t->types, (const void **)&s->types },
		{ &t->fields, (const void **)&s->fields }, { &t->by_name, (const void **)&s->by_name },
		{ &t->rules, (const void **)&s->rules }, { &t->strs, (const void **)&s->strs },
		{ &t->resources, (const void **)&s->resources }, { &t->subs, (const void **)&s->subs },
		{ &t->selects, (const void **)&s->selects }, { &t->columns, (const void **)&s->columns },
		{ &t->groups, (const void **)&s->groups },
	};
	uint16_t *kinds;

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		if (obuf_err(v[i].b))
			return -ENOMEM;
		*v[i].to = oarena_dup(&o->arena, v[i].b->len ? v[i].b->data : "", v[i].b->len ? v[i].b->len : 1);
		if (!*v[i].to)
			return -ENOMEM;
	}
	s->pool_len = (uint32_t)t->pool.len;
	s->n_types = (uint16_t)N(types, struct oschema_type);
	s->n_fields = (uint16_t)N(fields, struct oschema_field);
	s->n_rules = (uint16_t)N(rules, struct oschema_rule);
	s->n_resources = (uint16_t)N(resources, struct oschema_resource);
	s->n_groups = (uint16_t)N(groups, struct oschema_group);
	kinds = oarena_alloc(&o->arena, (s->n_resources + 1u) * sizeof(*kinds));
	for (uint16_t i = 0; kinds && i < s->n_resources; i++)
		kinds[i] = i;
	s->kinds = kinds;
	return kinds ? sort_names(s, o) : -ENOMEM;
}

static int version_cmp(const void *a, const void *b)
{
	return strcmp(ojson_get_cstr(*(struct ojson *const *)a, "name", ""),
		      ojson_get_cstr(*(struct ojson *const *)b, "name", ""));
}

static int build(struct otables *t, const struct ojson *crd, struct ocrd *o)
{
	const struct ojson *spec = ojson_get(crd, "spec"), *names = ojson_get(spec, "names");
	const struct ojson *list = ojson_get_array(spec, "versions"), *hook = ojson_get(spec, "conversion");
	size_t n = ojson_count(list), k = 0;
	cleanup_free struct ojson **v = omem_zalloc_array(n + 1, sizeof(*v));
	struct oschema_resource *res;
	char package[600];
	uint16_t stored = 0;
	int r = v && n < 200 ? 0 : -ENOMEM;

	o->versions = oarena_zalloc(&o->arena, (n + 1) * sizeof(*o->versions));
	if (r || !o->versions)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (ojson_get_bool(ojson_index(list, i), "served", false) ||
		    ojson_get_bool(ojson_index(list, i), "storage", false))
			v[k++] = ojson_index(list, i);
	qsort(v, k, sizeof(*v), version_cmp);
	for (size_t i = 0; r == 0 && i < k; i++) {
		struct oschema_group g = { .priority = 1000, .served = 1 };

		r = resource(t, spec, names, v[i], o, &o->versions[i]);
		g.name = otables_text(t, ojson_get_cstr(spec, "group", ""));
		g.version = otables_text(t, ojson_get_cstr(v[i], "name", ""));
		snprintf(package, sizeof(package), "%s/%s", ojson_get_cstr(spec, "group", ""), ojson_get_cstr(v[i], "name", ""));
		g.package = otables_text(t, package);
		g.openapi = reversed(t, ojson_get_cstr(spec, "group", ""), ojson_get_cstr(v[i], "name", ""));
		obuf_append(&t->groups, &g, sizeof(g));
		if (ojson_get_bool(v[i], "storage", false))
			stored = (uint16_t)i;
	}
	res = (struct oschema_resource *)(void *)t->resources.data;
	for (size_t i = 0; r == 0 && !obuf_err(&t->resources) && i < k; i++)
		res[i].stored = stored;
	if (r == 0 && !strcmp(ojson_get_cstr(hook, "strategy", ""), "Webhook")) {
		struct obuf b = OBUF_INIT;

		r = ojson_write(hook, 0, &b);
		o->webhook = r == 0 ? oarena_strdup(&o->arena, obuf_cstr(&b)) : NULL;
		obuf_done(&b);
	}
	if (r == 0 && t->docs)
		r = docs_types(t);
	return r ? r : finish(t, o);
}

static int make(const struct oschema *builtin, const struct ojson *crd, bool docs, size_t room, struct ocrd **ret)
{
	struct ocrd *o = OMEM_NEW(struct ocrd);
	struct otables t = { .from = builtin, .docs = docs };
	struct obuf *all[] = { &t.pool, &t.types, &t.fields, &t.by_name, &t.rules, &t.strs, &t.resources, &t.subs,
			       &t.selects, &t.columns, &t.groups };
	int r;

	if (!o)
		return -ENOMEM;
	oarena_init(&o->arena, 0);
	t.seen = omem_zalloc_array(builtin->n_types + 1u, sizeof(*t.seen));
	obuf_append(&t.pool, "", 1);
	r = room ? oarena_reserve(&o->arena, room) : 0;
	if (r == 0)
		r = t.seen ? otypes_begin(&t) : -ENOMEM;
	if (r == 0)
		r = build(&t, crd, o);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		obuf_done(all[i]);
	omem_free(t.seen);
	if (r) {
		ocrd_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

int ocrd_new(const struct oschema *builtin, const struct ojson *crd, bool docs, struct ocrd **ret)
{
	struct ocrd *fit;
	int r = make(builtin, crd, docs, 0, ret);

	/* Tables stay, and there may be hundreds: made once more they take just what they need, which is half. */
	if (r == 0 && !docs && make(builtin, crd, docs, (*ret)->arena.used_bytes, &fit) == 0) {
		ocrd_free(*ret);
		*ret = fit;
	}
	return r;
}

void ocrd_free(struct ocrd *o)
{
	if (!o)
		return;
	oarena_done(&o->arena);
	omem_free(o);
}
