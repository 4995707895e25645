/* merge.c - what is served altogether: built-in resources and those of definitions, for discovery. */
#include "crd/tables.h"

#include "base/omap.h"
#include "base/oenc.h"
#include "base/omem.h"
#include "base/osha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N(b, type) otables_count(&t->b, sizeof(type))
#define VERBS_PART (OSCHEMA_V_GET | OSCHEMA_V_PATCH | OSCHEMA_V_UPDATE)

struct ocrd_merge {
	struct otables	t;
	struct oschema	s;
	struct omap	groups;		/* "group/version" → itself, of definitions */
	uint16_t	*kinds;
};

static unsigned int max_of(unsigned int a, unsigned int b)
{
	return a > b ? a : b;
}

struct ocrd_merge *ocrd_merge_new(const struct oschema *builtin)
{
	struct ocrd_merge *m = OMEM_NEW(struct ocrd_merge);
	unsigned int strs = 0, subs = 0;

	if (!m)
		return NULL;
	omap_init(&m->groups);
	m->t.from = builtin;
	for (unsigned int i = 0; i < builtin->n_fields; i++) {
		strs = max_of(strs, builtin->fields[i].keys + builtin->fields[i].n_keys);
		strs = max_of(strs, builtin->fields[i].enums + builtin->fields[i].n_enums);
	}
	for (unsigned int i = 0; i < builtin->n_resources; i++) {
		const struct oschema_resource *r = &builtin->resources[i];

		strs = max_of(strs, max_of(r->shorts + r->n_short, r->categories + r->n_categories));
		subs = max_of(subs, r->subs + r->n_subs);
	}
	obuf_append(&m->t.pool, builtin->pool, builtin->pool_len);
	obuf_append(&m->t.strs, builtin->strs, strs * sizeof(*builtin->strs));
	obuf_append(&m->t.subs, builtin->subs, subs * sizeof(*builtin->subs));
	obuf_append(&m->t.resources, builtin->resources, builtin->n_resources * sizeof(*builtin->resources));
	obuf_append(&m->t.groups, builtin->groups, builtin->n_groups * sizeof(*builtin->groups));
	return m;
}

static uint16_t list_of(struct otables *t, const struct ojson *arr, uint8_t *ret_n)
{
	unsigned int at = N(strs, uint32_t);

	*ret_n = 0;
	OJSON_FOREACH_ELEM(i, e, arr) {
		uint32_t off = otables_text(t, ojson_cstr(e, ""));

		if (*ret_n == 200)
			break;
		obuf_append(&t->strs, &off, sizeof(off));
		(*ret_n)++;
	}
	return (uint16_t)at;
}

/* storageVersionHash: of group, version and kind in which objects are stored. */
static void hash_of(const struct ojson *spec, const struct ojson *names, char ret[16])
{
	unsigned char sum[OSHA256_LEN];
	const char *stored = "";
	struct osha256 h;
	char text[800];
	int n;

	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "versions"))
		if (ojson_get_bool(v, "storage", false))
			stored = ojson_get_cstr(v, "name", "");
	n = snprintf(text, sizeof(text), "%s/%s/%s", ojson_get_cstr(spec, "group", ""), stored, ojson_get_cstr(names, "kind", ""));
	if (n <= 0 || (size_t)n >= sizeof(text))
		return;
	osha256_init(&h);
	osha256_add(&h, text, (size_t)n);
	osha256_end(&h, sum);
	ret[obase64_encode(OBASE64_STD, sum, 8, ret)] = '\0';
}

static void add_version(struct ocrd_merge *m, const struct ojson *spec, const struct ojson *names, const struct ojson *v)
{
	const struct ojson *sub = ojson_get(v, "subresources");
	struct oschema_resource res = { .verbs = 0xff, .grace_s = -1 };
	struct oschema_group g = { .priority = 1000, .version_priority = 100, .served = 1 };
	struct otables *t = &m->t;
	char gv[600];

	g.name = res.group = otables_text(t, ojson_get_cstr(spec, "group", ""));
	g.version = res.version = otables_text(t, ojson_get_cstr(v, "name", ""));
	res.kind = otables_text(t, ojson_get_cstr(names, "kind", ""));
	res.list_kind = otables_text(t, ojson_get_cstr(names, "listKind", ""));
	res.plural = otables_text(t, ojson_get_cstr(names, "plural", ""));
	res.singular = otables_text(t, ojson_get_cstr(names, "singular", ""));
	res.shorts = list_of(t, ojson_get_array(names, "shortNames"), &res.n_short);
	res.categories = list_of(t, ojson_get_array(names, "categories"), &res.n_categories);
	if (strcmp(ojson_get_cstr(spec, "scope", ""), "Cluster") != 0)
		res.flags |= OSCHEMA_S_NAMESPACED;
	hash_of(spec, names, res.hash);
	res.subs = (uint16_t)N(subs, struct oschema_sub);
	if (ojson_get(sub, "status")) {
		struct oschema_sub s = { .name = otables_text(t, "status"), .verbs = VERBS_PART, .group = res.group,
					 .version = res.version, .kind = res.kind };

		obuf_append(&t->subs, &s, sizeof(s));
		res.n_subs++;
	}
	if (ojson_get(sub, "scale")) {
		struct oschema_sub s = { .name = otables_text(t, "scale"), .verbs = VERBS_PART };

		s.group = otables_text(t, "autoscaling");
		s.version = otables_text(t, "v1");
		s.kind = otables_text(t, "Scale");
		obuf_append(&t->subs, &s, sizeof(s));
		res.n_subs++;
	}
	obuf_append(&t->resources, &res, sizeof(res));
	snprintf(gv, sizeof(gv), "%s/%s", ojson_get_cstr(spec, "group", ""), ojson_get_cstr(v, "name", ""));
	if (omap_get_cstr(&m->groups, gv) || omap_put_cstr(&m->groups, gv, m) < 0)
		return;
	obuf_append(&t->groups, &g, sizeof(g));
}

void ocrd_merge_add(struct ocrd_merge *m, const struct ojson *crd)
{
	const struct ojson *spec = ojson_get(crd, "spec");
	const struct ojson *names = OJSON_AT(crd, "status", "acceptedNames");

	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "versions"))
		if (ojson_get_bool(v, "served", false) && m->t.resources.len / sizeof(struct oschema_resource) < 60000)
			add_version(m, spec, names, v);
}

/* ---- what other servers have ---- */

/* It goes into documents as it is: nothing that would need an escape. */
static bool is_clean(const char *s)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-._:/", *s)))
			return false;
	return true;
}

static bool is_clean_entry(const struct ojson *e)
{
	static const char *const keys[] = { "name", "kind", "singularName", "group", "version" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!is_clean(ojson_get_cstr(e, keys[i], "")))
			return false;
	return true;
}

static uint8_t verbs_of(const struct ojson *list)
{
	static const char *const names[] = { "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch" };
	unsigned int verbs = 0;

	OJSON_FOREACH_ELEM(i, e, list)
		for (unsigned int v = 0; v < 8; v++)
			if (ojson_string_is(e, names[v]))
				verbs |= 1u << v;
	return (uint8_t)verbs;
}

static void add_subs(struct otables *t, const struct oschema_group *g, const struct ojson *all, struct oschema_resource *res)
{
	struct orlop_bytes plural = { (const char *)t->pool.data + res->plural, strlen((const char *)t->pool.data + res->plural) };

	res->subs = (uint16_t)N(subs, struct oschema_sub);
	OJSON_FOREACH_ELEM(i, e, all) {
		const char *name = ojson_get_cstr(e, "name", ""), *slash = strchr(name, '/');
		struct oschema_sub s = { .group = g->name, .version = g->version };

		/* the pool moves when texts are added */
		plural.p = (const char *)t->pool.data + res->plural;
		if (!slash || (size_t)(slash - name) != plural.len || memcmp(name, plural.p, plural.len) || res->n_subs == 100 ||
		    !is_clean_entry(e))
			continue;
		s.name = otables_text(t, slash + 1);
		s.kind = otables_text(t, ojson_get_cstr(e, "kind", ""));
		if (ojson_get_cstr(e, "version", "")[0]) {
			s.group = otables_text(t, ojson_get_cstr(e, "group", ""));
			s.version = otables_text(t, ojson_get_cstr(e, "version", ""));
		}
		s.verbs = verbs_of(ojson_get_array(e, "verbs"));
		obuf_append(&t->subs, &s, sizeof(s));
		res->n_subs++;
	}
}

void ocrd_merge_list(struct ocrd_merge *m, const char *group, const char *version, uint16_t group_priority,
		     uint16_t version_priority, const struct ojson *list, bool fresh)
{
	struct oschema_group g = { .priority = group_priority, .version_priority = version_priority, .served = fresh ? 1 : OSCHEMA_SERVED_STALE };
	const struct ojson *all = ojson_get_array(list, "resources");
	struct otables *t = &m->t;

	g.name = otables_text(t, group);
	g.version = otables_text(t, version);
	OJSON_FOREACH_ELEM(i, e, all) {
		struct oschema_resource res = { .grace_s = -1, .group = g.name, .version = g.version };
		const char *name = ojson_get_cstr(e, "name", "");

		if (!*name || strchr(name, '/') || !is_clean_entry(e) || N(resources, struct oschema_resource) >= 60000)
			continue;
		res.plural = otables_text(t, name);
		res.kind = otables_text(t, ojson_get_cstr(e, "kind", ""));
		res.singular = otables_text(t, ojson_get_cstr(e, "singularName", ""));
		res.verbs = verbs_of(ojson_get_array(e, "verbs"));
		res.shorts = list_of(t, ojson_get_array(e, "shortNames"), &res.n_short);
		res.categories = list_of(t, ojson_get_array(e, "categories"), &res.n_categories);
		if (ojson_get_bool(e, "namespaced", false))
			res.flags |= OSCHEMA_S_NAMESPACED;
		add_subs(t, &g, all, &res);
		obuf_append(&t->resources, &res, sizeof(res));
	}
	obuf_append(&t->groups, &g, sizeof(g));
}

static int resource_cmp(const void *a, const void *b, void *arg)
{
	const struct oschema_resource *x = a, *y = b;
	const char *pool = arg;
	int d = strcmp(pool + x->group, pool + y->group);

	if (d == 0)
		d = strcmp(pool + x->version, pool + y->version);
	return d ? d : strcmp(pool + x->plural, pool + y->plural);
}

/* A version's rank: v10 > v2 > v1 > v11beta2 > v10beta3 > v3alpha1 > foo. Higher is first. */
static uint64_t rank(const char *v)
{
	uint64_t major = 0, minor = 0, stage = 3;

	if (*v != 'v' || v[1] < '1' || v[1] > '9')
		return 0;
	for (v++; *v >= '0' && *v <= '9'; v++)
		major = major * 10 + (uint64_t)(*v - '0');
	if (!strncmp(v, "beta", 4))
		stage = 2;
	else if (!strncmp(v, "alpha", 5))
		stage = 1;
	else if (*v)
		return 0;
	v += stage == 2 ? 4 : stage == 1 ? 5 : 0;
	if (stage < 3 && (*v < '1' || *v > '9'))
		return 0;
	for (; *v >= '0' && *v <= '9'; v++)
		minor = minor * 10 + (uint64_t)(*v - '0');
	return *v ? 0 : stage << 60 | (major & 0xffffff) << 24 | (minor & 0xffffff);
}

static int group_cmp(const void *a, const void *b, void *arg)
{
	const struct oschema_group *x = a, *y = b;
	const char *pool = arg;
	uint64_t rx, ry;
	int d;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	d = strcmp(pool + x->name, pool + y->name);
	if (d)
		return d;
	if (x->version_priority != y->version_priority)
		return x->version_priority > y->version_priority ? -1 : 1;
	rx = rank(pool + x->version);
	ry = rank(pool + y->version);
	return rx != ry ? (rx > ry ? -1 : 1) : strcmp(pool + x->version, pool + y->version);
}

const struct oschema *ocrd_merge_end(struct ocrd_merge *m)
{
	struct otables *t = &m->t;
	struct oschema_resource *res;
	struct oschema_group *g;
	unsigned int n = N(resources, struct oschema_resource);

	if (obuf_err(&t->pool) || obuf_err(&t->strs) || obuf_err(&t->subs) || obuf_err(&t->resources) ||
	    obuf_err(&t->groups))
		return NULL;
	res = (struct oschema_resource *)(void *)t->resources.data;
	qsort_r(res, n, sizeof(*res), resource_cmp, t->pool.data);
	m->kinds = omem_zalloc_array(n + 1, sizeof(*m->kinds));
	if (!m->kinds)
		return NULL;
	for (unsigned int i = 0; i < n; i++)
		m->kinds[i] = res[i].stored = (uint16_t)i;
	g = (struct oschema_group *)(void *)t->groups.data;
	qsort_r(g + t->from->n_groups, N(groups, struct oschema_group) - t->from->n_groups, sizeof(*g), group_cmp,
		t->pool.data);
	m->s = *t->from;
	m->s.pool = t->pool.data;
	m->s.pool_len = (uint32_t)t->pool.len;
	m->s.strs = (const uint32_t *)(const void *)t->strs.data;
	m->s.subs = (const struct oschema_sub *)(const void *)t->subs.data;
	m->s.resources = res;
	m->s.kinds = m->kinds;
	m->s.groups = g;
	m->s.n_resources = (uint16_t)n;
	m->s.n_groups = (uint16_t)N(groups, struct oschema_group);
	return &m->s;
}

void ocrd_merge_free(struct ocrd_merge *m)
{
	struct obuf *all[] = { &m->t.pool, &m->t.strs, &m->t.subs, &m->t.resources, &m->t.groups };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		obuf_done(all[i]);
	omap_done(&m->groups);
	omem_free(m->kinds);
	omem_free(m);
}
