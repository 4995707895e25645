/*
 * Roles and bindings as numbers: any history of changes decides as reading all the objects would, and leaves nothing.
 */
#include "auth/rbac.h"

#include "base/omem.h"
#include "base/ostr.h"
#include "base/otap.h"
#include "json/ojson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OBJECTS 24

static struct rbac *x;
static struct ojson *world[RBAC_N_RESOURCES][N_OBJECTS];	/* NULL: not there */
static uint32_t seed = 12345;

static const char *const spaces[] = { "a", "b", "c" };
static const char *const verbs[] = { "get", "list", "create", "*", "odd" };
static const char *const kinds[] = { "pods", "pods/log", "*", "*/log", "secrets" };
static const char *const api_groups[] = { "", "apps", "*" };
static const char *const object_names[] = { "one", "two" };
static const char *const urls[] = { "/metrics", "/logs/*", "*" };
static const char *const people[] = { "ann", "bob", "system:serviceaccount:a:bot", "orlop:controllers/gc" };
static const char *const teams[] = { "dev", "ops", "orlop:controllers" };

#define PICK(list) list[rnd((uint32_t)(sizeof(list) / sizeof(list[0])))]

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void words(struct ojson *rule, const char *key, const char *const *from, uint32_t n, uint32_t many)
{
	struct ojson *l = many ? ojson_ensure_array(rule, key) : NULL;

	for (uint32_t i = 0; i < many; i++)
		(void)ojson_append_cstr(l, from[rnd(n)]);
}

static struct ojson *make_role(bool wide)
{
	struct ojson *o = ojson_new_object(), *rules = ojson_ensure_array(o, "rules");

	for (uint32_t i = rnd(3); i > 0; i--) {
		struct ojson *rule = ojson_new_object();

		words(rule, "verbs", verbs, 5, 1 + rnd(2));
		if (wide && rnd(3) == 0) {
			words(rule, "nonResourceURLs", urls, 3, 1);
		} else {
			words(rule, "apiGroups", api_groups, 3, 1);
			words(rule, "resources", kinds, 5, 1 + rnd(2));
			words(rule, "resourceNames", object_names, 2, rnd(4) == 0);
		}
		(void)ojson_append(rules, rule);
	}
	return o;
}

static struct ojson *make_binding(bool wide)
{
	struct ojson *o = ojson_new_object(), *ref = ojson_ensure_object(o, "roleRef");
	struct ojson *subjects = ojson_ensure_array(o, "subjects");
	char name[16];

	snprintf(name, sizeof(name), "n%u", rnd(N_OBJECTS));
	(void)ojson_set_cstr(ref, "kind", wide || rnd(2) ? "ClusterRole" : "Role");
	(void)ojson_set_cstr(ref, "name", name);
	for (uint32_t i = rnd(3); i > 0; i--) {
		struct ojson *s = ojson_new_object();
		uint32_t k = rnd(3);

		(void)ojson_set_cstr(s, "kind", k == 0 ? "User" : k == 1 ? "Group" : "ServiceAccount");
		(void)ojson_set_cstr(s, "name", k == 0 ? PICK(people) : k == 1 ? PICK(teams) : "bot");
		if (k == 2 && (wide || rnd(2)))
			(void)ojson_set_cstr(s, "namespace", "a");
		(void)ojson_append(subjects, s);
	}
	return o;
}

static bool is_wide(unsigned int r)
{
	return r == RBAC_CLUSTER_ROLES || r == RBAC_CLUSTER_BINDINGS;
}

static const char *space_of(unsigned int r, uint32_t i)
{
	return is_wide(r) ? "" : spaces[i % 3];
}

static void put(unsigned int r, uint32_t i, struct ojson *take_o)
{
	struct orlop_bytes json = { NULL, 0 };
	char name[16], *t = take_o ? ojson_text(take_o, 0, NULL) : NULL;

	snprintf(name, sizeof(name), "n%u", i);
	if (t)
		json = (struct orlop_bytes){ t + 1, strlen(t) - 2 };	/* members, as the cache keeps them */
	if (rbac_put(x, r, text(space_of(r, i)), text(name), json) < 0)
		abort();
	omem_free(t);
	ojson_unref(world[r][i]);
	world[r][i] = take_o;
}

/* ---- the same, slowly ---- */

static bool has(const struct ojson *l, const char *s)
{
	OJSON_FOREACH_ELEM(i, e, l)
		if (ojson_string_is(e, "*") || ojson_string_is(e, s))
			return true;
	return false;
}

static bool rule_allows(const struct ojson *rule, const struct reg_attrs *at)
{
	const struct ojson *l = ojson_get(rule, "resourceNames");
	char whole[64], sub[64];
	bool name = ojson_count(l) == 0;

	if (!has(ojson_get(rule, "verbs"), at->verb.p))
		return false;
	if (!at->resource.len) {
		OJSON_FOREACH_ELEM(i, e, ojson_get(rule, "nonResourceURLs")) {
			const char *u = ojson_cstr(e, "");
			size_t n = strlen(u);

			if (!strcmp(u, at->path.p) || (u[n - 1] == '*' && !strncmp(u, at->path.p, n - 1)))
				return true;
		}
		return false;
	}
	snprintf(whole, sizeof(whole), "%s%s%s", at->resource.p, at->sub.len ? "/" : "", at->sub.len ? at->sub.p : "");
	snprintf(sub, sizeof(sub), "*/%s", at->sub.len ? at->sub.p : "!");
	OJSON_FOREACH_ELEM(i, e, l)
		name |= at->name.len && ojson_string_is(e, at->name.p);
	return name && has(ojson_get(rule, "apiGroups"), at->group.p) &&
	       (has(ojson_get(rule, "resources"), whole) || has(ojson_get(rule, "resources"), sub));
}

static bool is_subject(const struct ojson *s, const char *ns, const struct orlop_identity *who)
{
	const char *kind = ojson_get_cstr(s, "kind", ""), *name = ojson_get_cstr(s, "name", "");
	char account[100];

	snprintf(account, sizeof(account), "system:serviceaccount:%s:%s", ojson_get_cstr(s, "namespace", ns), name);
	if (!strcmp(kind, "User"))
		return !strcmp(name, who->user.p);
	if (!strcmp(kind, "ServiceAccount"))
		return !strcmp(account, who->user.p);
	if (!strcmp(name, "orlop:controllers") && !strncmp(who->user.p, "orlop:controllers/", 18))
		return true;
	return who->n_groups && !strcmp(name, who->groups[0].p);
}

static bool slowly(const struct orlop_identity *who, const struct reg_attrs *at)
{
	for (unsigned int r = RBAC_BINDINGS; r <= RBAC_CLUSTER_BINDINGS; r++) {
		for (uint32_t i = 0; i < N_OBJECTS; i++) {
			const struct ojson *b = world[r][i], *role, *ref = ojson_get(b, "roleRef");
			const char *ns = space_of(r, i);
			bool mine = false, wide = ojson_string_is(ojson_get(ref, "kind"), "ClusterRole");
			uint32_t n;

			if (!b || (!is_wide(r) && (!at->resource.len || strcmp(ns, at->ns.p))))
				continue;
			OJSON_FOREACH_ELEM(k, s, ojson_get(b, "subjects"))
				mine |= is_subject(s, ns, who);
			n = (uint32_t)atoi(ojson_get_cstr(ref, "name", "n0") + 1);
			if (!wide && strcmp(space_of(RBAC_ROLES, n), ns))
				continue;
			role = world[wide ? RBAC_CLUSTER_ROLES : RBAC_ROLES][n];
			OJSON_FOREACH_ELEM(k, rule, ojson_get(role, "rules"))
				if (mine && rule_allows(rule, at))
					return true;
		}
	}
	return false;
}

static void ask(uint32_t *wrong, uint32_t *yes)
{
	struct orlop_bytes team = text(teams[rnd(2)]);
	struct orlop_identity who = { .size = sizeof(who), .user = text(PICK(people)), .groups = &team, .n_groups = rnd(2) };
	struct reg_attrs at = { .verb = text(verbs[rnd(3)]) };
	char why[400];
	bool want;
	int got;

	if (rnd(4) == 0) {
		at.path = text(rnd(2) ? "/metrics" : "/logs/x");
	} else {
		at.group = text(rnd(2) ? "" : "apps");
		at.resource = text(rnd(2) ? "pods" : "secrets");
		at.sub = rnd(2) ? text("log") : (struct orlop_bytes){ NULL, 0 };
		at.name = rnd(2) ? text(PICK(object_names)) : (struct orlop_bytes){ NULL, 0 };
		at.ns = text(rnd(4) ? PICK(spaces) : "");
	}
	want = slowly(&who, &at);
	got = rbac_allows(x, &who, &at, NULL, NULL, NULL);
	rbac_reason(x, &who, &at, got, why, sizeof(why));
	*yes += want;
	*wrong += want != got || (want && !strstr(why, "RBAC: allowed by "));
}

static void on_rule(void *arg, int path, const char *json)
{
	struct ojson *j = NULL;

	(void)path;
	*(uint32_t *)arg += ojson_parse(json, strlen(json), &j, NULL) == 0 && ojson_count(ojson_get(j, "verbs")) > 0;
	ojson_unref(j);
}

int main(void)
{
	uint32_t wrong = 0, yes = 0, rules = 0;

	otap_plan(6);
	ok(rbac_new(NULL, &x) == 0, "an index");
	for (uint32_t step = 0; step < 4000; step++) {
		unsigned int r = rnd(RBAC_N_RESOURCES);
		bool role = r == RBAC_ROLES || r == RBAC_CLUSTER_ROLES;

		put(r, rnd(N_OBJECTS), rnd(4) == 0 ? NULL : role ? make_role(is_wide(r)) : make_binding(is_wide(r)));
		for (int i = 0; i < 10; i++)
			ask(&wrong, &yes);
	}
	ok(wrong == 0, "decides as reading everything does (%u of 40000 wrong)", wrong);
	ok(yes > 1000 && yes < 39000, "yes and no (%u yes)", yes);
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]) * sizeof(spaces) / sizeof(spaces[0]); i++) {
		struct orlop_identity who = { .size = sizeof(who), .user = text(people[i / 3]) };

		rbac_rules(x, &who, text(spaces[i % 3]), on_rule, &rules);
	}
	ok(rules > 0, "rules are JSON (%u)", rules);
	for (unsigned int r = 0; r < RBAC_N_RESOURCES; r++)
		for (uint32_t i = 0; i < N_OBJECTS; i++)
			put(r, i, NULL);
	ok(omap_count(&x->roles) == 0 && omap_count(&x->bindings) == 0, "when all is gone no role is left");
	ok(omap_count(&x->numbers) == 1 && omap_count(&x->who[0]) + omap_count(&x->who[1]) + omap_count(&x->who[2]) == 0,
	   "nor a string (%u)", omap_count(&x->numbers));
	rbac_free(x);
	return done_testing();
}
