/*
 * aggregate.c - cluster roles with an aggregationRule get the rules of the cluster roles that it selects.
 *
 * Shard 0 looks whenever a cluster role has changed. A role that is aggregated into another one brings its
 * own rules along with the next look, so a chain (view, edit, admin) settles after as many.
 * Source: upstream's clusterroleaggregation controller.
 */
#include "kinds.h"
#include "verbs.h"

#include "json/ojson.h"
#include "selector/oselector.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define RETRY_NS (UINT64_C(1000) * 1000000)
#define CLUSTER_ROLES "clusterroles.rbac.authorization.k8s.io"

struct reg_aggregate {
	struct reg_shard *sh;
	struct orlop_resource *res;
	struct orlop_timer *timer;
	uint32_t	flying;		/* writes under way */
	reg_boot_fn	settled;	/* who waits for the first time that nothing is to be done, or NULL */
	void		*arg;
};

struct update {
	struct reg_aggregate *a;
	char	*body;
	char	*name;
};

static bool has_rule(const struct ojson *rules, const struct ojson *rule)
{
	OJSON_FOREACH_ELEM(i, e, rules)
		if (ojson_equal(e, rule))
			return true;
	return false;
}

/* 0, or -ENOMEM: @rules are not all then. */
static int gather_one(struct reg_aggregate *a, struct orlop_snapshot *snap, const struct ojson *selector,
		      struct orlop_bytes self, struct ojson *rules)
{
	struct orlop_query q = { .size = sizeof(q) };
	struct oselector *s = NULL;
	struct orlop_object *o;
	struct orlop_iter *it;
	int r = oselector_from_json(selector, &s, NULL);

	if (r)
		return r == -ENOMEM ? r : 0;
	r = a->sh->h->iter_open(snap, &q, &it);
	if (r) {
		oselector_free(s);
		return r;
	}
	while (r == 0 && (o = a->sh->h->iter_next(it)) != NULL) {
		struct ojson *role = NULL;

		if (rb_eq(o->name, self) || !oselector_match_object(s, o))
			continue;
		r = ojson_parse_members(o->json, &role, NULL) == -ENOMEM ? -ENOMEM : 0;
		OJSON_FOREACH_ELEM(i, rule, ojson_get_array(role, "rules"))
			if (r == 0 && !has_rule(rules, rule))
				r = ojson_append(rules, ojson_ref(rule));
		ojson_unref(role);
	}
	a->sh->h->iter_close(it);
	oselector_free(s);
	return r;
}

static void tell(struct reg_aggregate *a)
{
	reg_boot_fn settled = a->settled;

	a->settled = NULL;
	if (settled)
		settled(a->arg, 0, "");
}

static void on_written(void *arg, struct reg_answer *ans)
{
	struct update *u = arg;
	struct reg_aggregate *a = u->a;

	a->flying--;
	/* a conflict has changed the role, and a change is looked at; whatever else was in the way may go */
	if (!ans || (ans->code >= 400 && ans->code != 409 && ans->code != 404)) {
		OLOG(a->sh->h, WARN, "aggregated_role", "name=%s code=%u", u->name ? u->name : "", ans ? ans->code : 500);
		a->sh->h->timer_set(a->timer, RETRY_NS, 0);
		tell(a);	/* the rest need not wait for it */
	} else if (a->settled && !a->flying) {
		a->sh->h->timer_set(a->timer, 0, 0);
	}
	reg_answer_free(ans);
	omem_free(u->body);
	omem_free(u->name);
	omem_free(u);
}

static void write_rules(struct reg_aggregate *a, struct ojson *role, struct orlop_bytes name)
{
	struct reg_req rq = { .verb = REG_UPDATE, .manager = RB("clusterrole-aggregation-controller") };
	struct update *u = OMEM_NEW(struct update);

	if (!u) {
		a->sh->h->timer_set(a->timer, RETRY_NS, 0);
		return;
	}
	a->flying++;
	u->a = a;
	u->body = ojson_text(role, 0, NULL);
	u->name = omem_strndup(name.p, name.len);
	if (!u->body || !u->name) {
		on_written(u, NULL);
		return;
	}
	rq.res = reg_kind_named(a->sh->rg, CLUSTER_ROLES)->res;
	rq.name = RB(u->name);
	rq.body = RB(u->body);
	reg_internal_call(a->sh, &rq, on_written, u);
}

static int look_at(struct reg_aggregate *a, struct orlop_snapshot *snap, struct orlop_object *o)
{
	cleanup_ojson struct ojson *role = NULL, *rules = ojson_new_array();
	const struct ojson *was;
	int r = rules ? ojson_parse_members(o->json, &role, NULL) : -ENOMEM;

	if (r || !ojson_has(role, "aggregationRule"))
		return r == -ENOMEM ? r : 0;
	OJSON_FOREACH_ELEM(i, s, ojson_get_array(ojson_get(role, "aggregationRule"), "clusterRoleSelectors"))
		if (r == 0)
			r = gather_one(a, snap, s, o->name, rules);
	was = ojson_get_array(role, "rules");
	if (r || !(ojson_count(rules) ? !ojson_equal(was, rules) : ojson_count(was) > 0))
		return r;
	r = ojson_set(role, "rules", ojson_ref(rules));
	if (r == 0)
		write_rules(a, role, o->name);
	return r;
}

static void look(void *arg)
{
	static const char word[] = "\"aggregationRule\":{";
	struct reg_aggregate *a = arg;
	struct orlop_object *o;
	struct owalk w;
	int r = owalk_open(&w, a->sh->h, a->res, NULL);

	if (r == 0) {
		while (r == 0 && (o = owalk_next(&w)) != NULL)
			if (memmem(o->json.p, o->json.len, word, sizeof(word) - 1))
				r = look_at(a, w.snap, o);
		owalk_close(&w);
	}
	if (r)
		a->sh->h->timer_set(a->timer, RETRY_NS, 0);
	if (!a->flying)
		tell(a);
}

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_aggregate *a = arg;

	(void)res;
	(void)rev;
	a->sh->h->timer_set(a->timer, UINT64_C(1000000), 0);
}

int reg_aggregate_start(struct reg_shard *sh)
{
	struct reg_aggregate *a;

	if (sh->aggregate || !reg_kind_named(sh->rg, CLUSTER_ROLES))
		return 0;
	a = OMEM_NEW(struct reg_aggregate);
	if (!a)
		return -1;
	a->sh = sh;
	if (sh->h->timer_new(sh->h, look, a, &a->timer) || sh->h->resource_open(sh->h, CLUSTER_ROLES, &a->res, NULL)) {
		reg_aggregate_free(a);
		return -1;
	}
	sh->aggregate = a;
	sh->h->resource_watch(a->res, on_note, a);
	return 0;
}

void reg_aggregate_wait(struct reg_shard *sh, reg_boot_fn settled, void *arg)
{
	struct reg_aggregate *a = sh->aggregate;

	if (!a) {
		settled(arg, 0, "");
		return;
	}
	a->settled = settled;
	a->arg = arg;
	sh->h->timer_set(a->timer, 0, 0);
}

void reg_aggregate_free(struct reg_aggregate *a)
{
	if (!a)
		return;
	a->sh->h->timer_free(a->timer);
	if (a->res)
		a->sh->h->resource_close(a->res);
	omem_free(a);
}
