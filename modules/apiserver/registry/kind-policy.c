/*
 * kind-policy.c - admission policies and their bindings: who may name which parameters, and that nothing is enforced.
 *
 * Their expressions are CEL, which this server does not evaluate. They are kept, since clients expect to write and read
 * them, but never in silence: each write of one is answered with warnings, and a ValidatingAdmissionPolicy has a condition
 * that says so (who teaches the server CEL must take that condition away).
 * Source: upstream's pkg/registry/admissionregistration, strategies and authz; test: tests/api/policies.py
 */
#include "custom.h"
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"
#include "schema/validate.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define GROUP		"admissionregistration.k8s.io"
#define SUFFIX		".static.k8s.io"
#define MORE		"(docs/differences.md, \"Not there yet\")"
#define NAMED_MAX	20	/* expressions that have a warning of their own */

/* ---- that nothing is enforced ---- */

struct count {
	struct reg_op	*op;
	const struct ojson *spec;
	size_t		n;		/* expressions */
	bool		say;
};

static void expression(struct count *c, const struct ojson *of, const char *key, const char *list, size_t i, const char *member)
{
	const char *text = ojson_get_cstr(of, key, "");
	char path[120], said[600];

	if (!text[0] || c->n++ >= NAMED_MAX || !c->say)
		return;
	snprintf(path, sizeof(path), "spec.%s[%zu].%s%s%s", list, i, member, member[0] ? "." : "", key);
	oschema_not_evaluated(said, sizeof(said), path, "expression", text);
	reg_warn(c->op, "%s", said);
}

static void each(struct count *c, const char *list, const char *key, const char *member)
{
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(c->spec, list))
		expression(c, member[0] ? ojson_get(e, member) : e, key, list, i, member);
}

static void expressions(struct count *c)
{
	c->n = 0;
	each(c, "validations", "expression", "");
	each(c, "validations", "messageExpression", "");
	each(c, "mutations", "expression", "applyConfiguration");
	each(c, "mutations", "expression", "jsonPatch");
	each(c, "auditAnnotations", "valueExpression", "");
	each(c, "matchConditions", "expression", "");
	each(c, "variables", "expression", "");
}

/* The first warning says all that matters, and that in few words: of many only so much is sent of each. */
static void warn(struct reg_op *op, const struct ojson *obj)
{
	const char *name = ojson_get_cstr(ojson_get(obj, "metadata"), "name", "");
	bool mutating = op->w->k->plural[0] == 'm';
	struct count c = { .op = op, .spec = ojson_get(obj, "spec") };
	size_t len = strlen(name);

	expressions(&c);
	if (ojson_has(c.spec, "policyName"))
		reg_warn(op, "not enforced: this server does not evaluate CEL, so this %s makes no policy %s anything " MORE ": \"%s\" binds \"%s\"",
			 op->w->k->kind, mutating ? "change" : "refuse, warn of or note", name, ojson_get_cstr(c.spec, "policyName", ""));
	else
		reg_warn(op, "not enforced: this server does not evaluate CEL, so this %s %s nothing, whatever its failurePolicy says " MORE
			 ": \"%s\", with %zu expression%s", op->w->k->kind, mutating ? "changes" : "refuses, warns of and notes", name, c.n,
			 c.n == 1 ? "" : "s");
	c.say = true;
	expressions(&c);
	if (c.n > NAMED_MAX)
		reg_warn(op, "and %zu more expressions are kept but not evaluated", c.n - NAMED_MAX);
	if (len >= sizeof(SUFFIX) - 1 && !strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX))
		reg_warn(op, "metadata.name: names ending with \"" SUFFIX
			 "\" are reserved for static manifest-based configurations and cannot be managed via the API");
}

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	(void)old;
	if (op->rq.sub.len)
		return 0;
	if (custom_condition(ojson_ensure_object(obj, "status"), "Enforced", false, "NotEvaluated",
			     "this server does not evaluate CEL: the policy refuses, warns of and notes nothing", reg_now(op)) < 0)
		return reg_failed(op, -ENOMEM, NULL);
	reg_dirty(op);
	return 0;
}

/* ---- who may name parameters ---- */

static bool free_hand(const struct reg_op *op)
{
	const struct orlop_identity *who = op->rq.who;

	if (!op->sh->rg->cfg.hooks.authorize)
		return true;
	for (uint32_t i = 0; i < who->n_groups; i++)
		if (rb_is(who->groups[i], "system:masters"))
			return true;
	return false;
}

/* Is the kind @what (a ParamKind) one of the definition's? Its resource, then. */
static const char *defined(struct reg_op *op, const struct ojson *crd, struct orlop_bytes group, struct orlop_bytes version,
			   const struct ojson *what)
{
	const struct ojson *spec = ojson_get(crd, "spec"), *names = OJSON_AT(crd, "status", "acceptedNames");

	if (!custom_established(crd) || !rb_is(group, ojson_get_cstr(spec, "group", "")) ||
	    strcmp(ojson_get_cstr(names, "kind", ""), ojson_get_cstr(what, "kind", "")))
		return NULL;
	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "versions"))
		if (ojson_get_bool(v, "served", false) && rb_is(version, ojson_get_cstr(v, "name", "")))
			return rb_dup(&op->arena, ojson_get_bytes(names, "plural"));
	return NULL;
}

static const char *custom_resource(struct reg_op *op, struct orlop_bytes group, struct orlop_bytes version, const struct ojson *what)
{
	struct orlop_resource *res = reg_open(op->sh, op->sh->rg->crds);
	const char *plural = NULL;
	struct orlop_object *o;
	struct owalk w;

	if (!res || owalk_open(&w, op->sh->h, res, NULL))
		return NULL;
	while (!plural && (o = owalk_next(&w)) != NULL) {
		struct ojson *crd = NULL;

		if (ojson_parse_members(o->json, &crd, NULL) == 0)
			plural = defined(op, crd, group, version, what);
		ojson_unref(crd);
	}
	owalk_close(&w);
	return plural;
}

/* Where objects of the kind are read: what cannot be found is everything. */
static void resource_of(struct reg_op *op, const struct ojson *what, struct reg_attrs *a)
{
	struct orlop_bytes whole = ojson_get_bytes(what, "apiVersion"), kind = ojson_get_bytes(what, "kind");
	const char *slash = whole.len ? memchr(whole.p, '/', whole.len) : NULL;
	const struct oschema_resource *r;
	const char *plural;

	a->group = a->version = a->resource = RB("*");
	if (!whole.len)
		return;
	a->group = slash ? (struct orlop_bytes){ whole.p, (size_t)(slash - whole.p) } : RB0;
	a->version = slash ? (struct orlop_bytes){ slash + 1, whole.len - a->group.len - 1 } : whole;
	r = oschema_kind_find(op->sh->rg->schema, a->group, a->version, kind);
	plural = r ? oschema_str(op->sh->rg->schema, r->plural) : custom_resource(op, a->group, a->version, what);
	if (plural)
		a->resource = RB(plural);
}

static bool may_get(struct reg_op *op, const struct reg_attrs *a)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;

	return hooks->authorize(hooks->arg, op->sh->h, op->rq.who, a, NULL, 0) > 0;
}

/* The user as Go prints the struct. */
static void put_user(struct obuf *b, const struct orlop_identity *who)
{
	obuf_printf(b, "&{%.*s %.*s [", OB(who->user), OB(who->uid));
	for (uint32_t i = 0; i < who->n_groups; i++)
		obuf_printf(b, "%s%.*s", i ? " " : "", OB(who->groups[i]));
	obuf_puts(b, "] map[]}");
}

/* Whose policy has parameters could read them by it: he must be allowed to. */
static void check_kind(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	const struct ojson *what = OJSON_AT(obj, "spec", "paramKind");
	struct reg_attrs a = { .verb = RB("get"), .ns = RB("*"), .name = RB("*") };
	struct obuf user = OBUF_INIT;

	if (!what || (old && ojson_equal(what, OJSON_AT(old, "spec", "paramKind"))))
		return;
	resource_of(op, what, &a);
	if (may_get(op, &a))
		return;
	put_user(&user, op->rq.who);
	reg_cause(op, "FieldValueForbidden", "spec.paramKind",
		  "Forbidden: user %s must have \"get\" permission on all objects of the referenced paramKind (kind=%s, apiVersion=%s)",
		  obuf_cstr(&user), ojson_get_cstr(what, "kind", ""), ojson_get_cstr(what, "apiVersion", ""));
	obuf_done(&user);
}

/* The same of a binding, each time that it is written. */
static int check_ref(struct reg_op *op, const struct ojson *obj, const char *policies)
{
	const struct ojson *spec = ojson_get(obj, "spec"), *ref = ojson_get(spec, "paramRef");
	struct reg_attrs a = { .verb = RB("get"), .ns = ojson_get_bytes(ref, "namespace"), .name = ojson_get_bytes(ref, "name") };
	struct orlop_object *o = NULL;
	struct ojson *policy = NULL;
	struct obuf user = OBUF_INIT;
	int r;

	if (!ref)
		return 0;
	r = reg_find(op->sh, reg_kind_named(op->sh->rg, policies), RB0, ojson_get_bytes(spec, "policyName"), &o);
	if (r == 0 && o)
		r = ojson_parse_members(o->json, &policy, NULL);
	op->sh->h->object_unref(o);
	if (r == 0) {
		resource_of(op, OJSON_AT(policy, "spec", "paramKind"), &a);
		if (!may_get(op, &a)) {
			put_user(&user, op->rq.who);
			reg_cause(op, "FieldValueForbidden", "spec.paramRef",
				  "Forbidden: user %s does not have \"get\" permission on the object referenced by paramRef", obuf_cstr(&user));
			obuf_done(&user);
		}
	}
	ojson_unref(policy);
	return r ? reg_failed(op, r, NULL) : 0;
}

static int validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	bool binding = ojson_has(ojson_get(obj, "spec"), "policyName");
	int r = 0;

	if (op->rq.sub.len || op->causes)
		return 0;
	if (!free_hand(op) && binding)
		r = check_ref(op, obj, op->w->k->plural[0] == 'm' ? "mutatingadmissionpolicies." GROUP : "validatingadmissionpolicies." GROUP);
	else if (!free_hand(op))
		check_kind(op, obj, old);
	if (r == 0 && !op->causes)
		warn(op, obj);
	return r;
}

const struct reg_behaviour kind_validating_policy = {
	.resource = "validatingadmissionpolicies." GROUP, .prepare = prepare, .validate = validate,
};
const struct reg_behaviour kind_validating_policy_binding = {
	.resource = "validatingadmissionpolicybindings." GROUP, .validate = validate,
};
const struct reg_behaviour kind_mutating_policy = { .resource = "mutatingadmissionpolicies." GROUP, .validate = validate };
const struct reg_behaviour kind_mutating_policy_binding = {
	.resource = "mutatingadmissionpolicybindings." GROUP, .validate = validate,
};
