/*
 * kind-rbac.c - nobody gives away rights that they do not have themselves.
 *
 * Who writes a role must hold each of its rules, or have the verb escalate on it; who writes a binding
 * must hold the rules of its role, or have the verb bind on that. Source: upstream's policybased storage.
 */
#include "kinds.h"

#include "json/ojson.h"

#include <errno.h>
#include <string.h>

#define GROUP "rbac.authorization.k8s.io"

static bool free_hand(const struct reg_op *op)
{
	const struct orlop_identity *who = op->rq.who;

	if (!op->sh->rg->cfg.hooks.covers)
		return true;
	for (uint32_t i = 0; i < who->n_groups; i++)
		if (rb_is(who->groups[i], "system:masters"))
			return true;
	return false;
}

static bool has_verb(struct reg_op *op, const char *verb, const char *resource, struct orlop_bytes name)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	struct reg_attrs at = {
		.verb = RB(verb), .group = RB(GROUP), .version = RB("v1"), .resource = RB(resource), .name = name,
		.ns = op->rq.ns,
	};

	return !hooks->authorize || hooks->authorize(hooks->arg, op->sh->h, op->rq.who, &at, NULL, 0) > 0;
}

static struct orlop_bytes name_of(const struct ojson *obj)
{
	return ojson_get_bytes(ojson_get(obj, "metadata"), "name");
}

static int covered(struct reg_op *op, struct orlop_bytes name, const struct ojson *rules, const char *instead)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	const struct orlop_identity *who = op->rq.who;
	struct obuf missing = OBUF_INIT, groups = OBUF_INIT, user = OBUF_INIT;
	int r = hooks->covers(hooks->arg, op->sh->h, who, op->rq.ns, rules, &missing);

	if (r == 0 && instead) {
		r = reg_forbidden(op, name, "%s", instead);
	} else if (r == 0) {
		obuf_put_quoted(&user, who->user.p, who->user.len);
		for (uint32_t i = 0; i < who->n_groups; i++) {
			obuf_puts(&groups, i ? " " : "");
			obuf_put_quoted(&groups, who->groups[i].p, who->groups[i].len);
		}
		r = reg_forbidden(op, name, "user %s (groups=[%s]) is attempting to grant RBAC permissions not currently held:\n%s",
				  obuf_cstr(&user), obuf_cstr(&groups), obuf_cstr(&missing));
	} else {
		r = r < 0 ? reg_failed(op, r, NULL) : 0;
	}
	obuf_done(&missing);
	obuf_done(&groups);
	obuf_done(&user);
	return r;
}

/* An aggregation can gather anything: who makes one must have everything. */
static int whole_authority(struct reg_op *op, struct orlop_bytes name)
{
	static const char all[] = "[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]},"
				  "{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]";
	struct ojson *rules = NULL;
	int r = ojson_parse(all, sizeof(all) - 1, &rules, NULL);

	if (r == 0)
		r = covered(op, name, rules, "must have cluster-admin privileges to use an aggregationRule");
	ojson_unref(rules);
	return r;
}

static bool same_list(const struct ojson *a, const struct ojson *b)
{
	return ojson_count(a) == 0 ? ojson_count(b) == 0 : ojson_equal(a, b);
}

static int role_validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	const struct ojson *rules = ojson_get_array(obj, "rules"), *from = ojson_get(obj, "aggregationRule");
	bool rules_same = old && same_list(rules, ojson_get_array(old, "rules"));
	bool from_same = !from || (old && ojson_equal(from, ojson_get(old, "aggregationRule")));
	struct orlop_bytes name = name_of(obj);
	int r = 0;

	if ((rules_same && from_same) || free_hand(op) || has_verb(op, "escalate", op->k->plural, name))
		return 0;
	if (!rules_same)
		r = covered(op, name, rules, NULL);
	return r == 0 && !from_same ? whole_authority(op, name) : r;
}

/* The rules of the role that @ref means. */
static int referred(struct reg_op *op, const struct ojson *ref, struct ojson **ret)
{
	bool wide = rb_is(ojson_get_bytes(ref, "kind"), "ClusterRole");
	const struct reg_kind *k = reg_kind_named(op->sh->rg, wide ? "clusterroles." GROUP : "roles." GROUP);
	struct orlop_bytes name = ojson_get_bytes(ref, "name");
	struct orlop_object *o = NULL;
	int r = reg_find(op->sh, k, wide ? RB0 : op->rq.ns, name, &o);

	if (r)
		return reg_failed(op, r, NULL);
	if (!o) {
		op->det_name = rb_dup(&op->arena, name);
		op->det_group = GROUP;
		op->det_kind = wide ? "clusterrole" : "role";
		return orlop_fail(&op->err, ENOENT, 404, "NotFound", "%s." GROUP " \"%.*s\" not found",
				  wide ? "clusterrole" : "role", OB(name));
	}
	r = ojson_parse_members(o->json, ret, NULL);
	op->sh->h->object_unref(o);
	return r ? reg_failed(op, r, NULL) : 0;
}

static int binding_validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	const struct ojson *ref = ojson_get(obj, "roleRef");
	struct orlop_bytes kind = ojson_get_bytes(ref, "kind"), name = ojson_get_bytes(ref, "name");
	bool wide = rb_is(kind, "ClusterRole");
	struct ojson *role = NULL;
	int r;

	/* what cannot be a role is for validation, and so is another role than before */
	if (free_hand(op) || !name.len || (!wide && !rb_is(kind, "Role")) ||
	    (old && !ojson_equal(ref, ojson_get(old, "roleRef"))))
		return 0;
	if (has_verb(op, "bind", wide ? "clusterroles" : "roles", name))
		return 0;
	r = referred(op, ref, &role);
	if (r == 0)
		r = covered(op, name_of(obj), ojson_get_array(role, "rules"), NULL);
	ojson_unref(role);
	return r;
}

const struct reg_behaviour kind_role = { .resource = "roles." GROUP, .validate = role_validate };
const struct reg_behaviour kind_cluster_role = { .resource = "clusterroles." GROUP, .validate = role_validate };
const struct reg_behaviour kind_role_binding = { .resource = "rolebindings." GROUP, .validate = binding_validate };
const struct reg_behaviour kind_cluster_role_binding = {
	.resource = "clusterrolebindings." GROUP, .validate = binding_validate,
};
