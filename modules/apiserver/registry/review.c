/*
 * review.c - virtual resources: questions about who one is and what one may, answered and forgotten.
 */
#include "verbs.h"
#include "write.h"

#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/validate.h"

#include <errno.h>
#include <string.h>

#define GROUPS_MAX 64u

/* {"username","uid","groups"} of an identity */
static struct ojson *user_info(const struct orlop_identity *who)
{
	struct ojson *u = ojson_new_object(), *g;
	int r = u ? ojson_set_string(u, "username", who->user.p, who->user.len) : -ENOMEM;

	if (r == 0 && who->uid.len)
		r = ojson_set_string(u, "uid", who->uid.p, who->uid.len);
	if (r == 0 && who->n_groups) {
		g = ojson_ensure_array(u, "groups");
		for (uint32_t i = 0; g && r == 0 && i < who->n_groups; i++)
			r = ojson_append(g, ojson_new_string(who->groups[i].p, who->groups[i].len));
		if (!g)
			r = -ENOMEM;
	}
	if (r == 0)
		return u;
	ojson_unref(u);
	return NULL;
}

/* The fields that a list would be narrowed by, as text; what is no "=" narrows nothing here. */
static struct orlop_bytes narrowed_by(struct reg_op *op, const struct ojson *selector)
{
	struct orlop_bytes raw = ojson_get_bytes(selector, "rawSelector");
	struct obuf b = OBUF_INIT;

	if (raw.len)
		return raw;
	OJSON_FOREACH_ELEM(i, q, ojson_get_array(selector, "requirements")) {
		const struct ojson *values = ojson_get_array(q, "values");

		if (ojson_string_is(ojson_get(q, "operator"), "In") && ojson_count(values) == 1)
			obuf_printf(&b, "%s%s=%s", b.len ? "," : "", ojson_get_cstr(q, "key", ""), ojson_cstr(ojson_index(values, 0), ""));
	}
	raw.p = b.len ? oarena_strndup(&op->arena, obuf_cstr(&b), b.len) : NULL;
	raw.len = raw.p ? b.len : 0;
	obuf_done(&b);
	return raw;
}

/* A review has no name and no labels; @ns_too: nor a namespace. */
static void metadata_check(struct reg_op *op, const struct ojson *obj, bool ns_too)
{
	struct ojson *meta = NULL;
	char *text;

	if (ojson_copy(ojson_get_object(obj, "metadata"), &meta) || !meta)
		return;
	ojson_del(meta, "managedFields");
	ojson_del(meta, "creationTimestamp");
	if (!ns_too)
		ojson_del(meta, "namespace");
	text = ojson_count(meta) ? ojson_text(meta, 0, NULL) : NULL;
	if (text)
		reg_cause(op, "FieldValueInvalid", "metadata", "Invalid value: %.300s: must be empty%s", text, ns_too ? "" : " except for namespace");
	omem_free(text);
	ojson_unref(meta);
}

static void selector_check(struct reg_op *op, const struct ojson *ra, const char *key)
{
	const struct ojson *s = ojson_get(ra, key);
	char field[80];

	if (!s)
		return;
	snprintf(field, sizeof(field), "spec.resourceAttributes.%s.rawSelector", key);
	if (ojson_get_bytes(s, "rawSelector").len && ojson_count(ojson_get_array(s, "requirements")))
		reg_cause(op, "FieldValueInvalid", field, "Invalid value: \"%.200s\": may not specified at the same time as requirements",
			  ojson_get_cstr(s, "rawSelector", ""));
	else if (!ojson_get_bytes(s, "rawSelector").len && !ojson_count(ojson_get_array(s, "requirements"))) {
		snprintf(field, sizeof(field), "spec.resourceAttributes.%s.requirements", key);
		reg_cause(op, "FieldValueRequired", field, "Required value: when spec.resourceAttributes.%s is specified, requirements or rawSelector is required", key);
	}
}

static void access_status(struct reg_op *op, const struct ojson *spec, const struct orlop_identity *who,
			  struct ojson *status)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	const struct ojson *ra = ojson_get(spec, "resourceAttributes");
	const struct ojson *na = ojson_get(spec, "nonResourceAttributes");
	struct reg_attrs a = {
		.verb = ojson_get_bytes(ra ? ra : na, "verb"),
		.group = ojson_get_bytes(ra, "group"), .version = ojson_get_bytes(ra, "version"),
		.resource = ojson_get_bytes(ra, "resource"), .sub = ojson_get_bytes(ra, "subresource"),
		.ns = ojson_get_bytes(ra, "namespace"), .name = ojson_get_bytes(ra, "name"),
		.path = ojson_get_bytes(na, "path"),
		.field_selector = narrowed_by(op, ojson_get(ra, "fieldSelector")),
	};
	char reason[400] = "";
	int ok;

	if (who != op->rq.who && (reg_user_is_part(who->user) || reg_user_is_kubelet(who->user)))
		ok = 0;		/* somebody who is called as a part of ours is none */
	else
		ok = hooks->authorize ? hooks->authorize(hooks->arg, op->sh->h, who, &a, reason, sizeof(reason)) : 1;

	(void)ojson_set_bool(status, "allowed", ok > 0);
	if (reason[0])
		(void)ojson_set_cstr(status, "reason", reason);
}

static int access_review(struct reg_op *op, struct ojson *obj, struct ojson *status)
{
	const struct ojson *spec = ojson_get(obj, "spec");
	struct orlop_bytes groups[GROUPS_MAX];
	struct orlop_identity who = { .size = sizeof(who), .groups = groups };

	metadata_check(op, obj, strncmp(op->k->kind, "Local", 5) != 0);
	selector_check(op, ojson_get(spec, "resourceAttributes"), "fieldSelector");
	selector_check(op, ojson_get(spec, "resourceAttributes"), "labelSelector");
	if (strncmp(op->k->kind, "Local", 5) && op->n_causes)
		return reg_invalid_as(op, ".authorization.k8s.io", RB0);
	if (!strncmp(op->k->kind, "Self", 4)) {
		access_status(op, spec, op->rq.who, status);
		return 0;
	}
	if (!strncmp(op->k->kind, "Local", 5)) {
		struct orlop_bytes ns = ojson_get_bytes(ojson_get(spec, "resourceAttributes"), "namespace");

		if (ojson_get(spec, "resourceAttributes") && !rb_eq(ns, op->rq.ns))
			reg_cause(op, "FieldValueInvalid", "spec.resourceAttributes.namespace",
				  "Invalid value: \"%.*s\": must match metadata.namespace", OB(ns));
		if (ojson_get(spec, "nonResourceAttributes")) {
			char *text = ojson_text(ojson_get(spec, "nonResourceAttributes"), 0, NULL);

			reg_cause(op, "FieldValueInvalid", "spec.nonResourceAttributes", "Invalid value: %.300s: disallowed on this kind of request",
				  text ? text : "");
			omem_free(text);
		}
		if (op->n_causes)
			return reg_invalid_as(op, ".authorization.k8s.io", RB0);
	}
	who.user = ojson_get_bytes(spec, "user");
	who.uid = ojson_get_bytes(spec, "uid");
	OJSON_FOREACH_ELEM(i, g, ojson_get_array(spec, "groups"))
		if (who.n_groups < GROUPS_MAX)
			groups[who.n_groups++] = ojson_bytes(g);
	access_status(op, spec, &who, status);
	return 0;
}

static bool is_node(const struct orlop_identity *who)
{
	bool node = false;

	for (uint32_t i = 0; i < who->n_groups; i++)
		node |= rb_is(who->groups[i], "system:nodes");
	return node && who->user.len > 12 && ostr_starts(who->user.p, who->user.len, "system:node:");
}

struct rules {
	struct ojson	*lists[2];
};

static void on_rule(void *arg, int path, const char *json)
{
	struct rules *r = arg;
	struct ojson *rule = NULL;

	if (r->lists[path != 0] && ojson_parse(json, strlen(json), &rule, NULL) == 0)
		(void)ojson_append(r->lists[path != 0], rule);
}

static int rules_review(struct reg_op *op, struct ojson *obj, struct ojson *status)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	struct orlop_bytes ns = ojson_get_bytes(ojson_get(obj, "spec"), "namespace");
	struct rules rules = { { ojson_ensure_array(status, "resourceRules"),
				 ojson_ensure_array(status, "nonResourceRules") } };

	if (ns.len == 0)
		return reg_bad_request(op, "no namespace on request");
	if (hooks->rules)
		hooks->rules(hooks->arg, op->sh->h, op->rq.who, ns, on_rule, &rules);
	if (is_node(op->rq.who)) {	/* what the graph lets it do is in no rules */
		if (ojson_set_cstr(status, "evaluationError", "node authorizer does not support user rule resolution"))
			return -ENOMEM;
		return ojson_set_bool(status, "incomplete", true);
	}
	return ojson_set_bool(status, "incomplete", hooks->rules == NULL);
}

static int token_review(struct reg_op *op, struct ojson *obj, struct ojson *status)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	const struct ojson *spec = ojson_get(obj, "spec");
	struct orlop_bytes token = ojson_get_bytes(spec, "token"), aud[16];
	char *user = NULL, *audiences = NULL;
	struct ojson *tree = NULL;
	uint32_t n = 0;
	char why[160] = "";
	int r = -EACCES;

	OJSON_FOREACH_ELEM(i, a, ojson_get_array(spec, "audiences"))
		if (n < 16)
			aud[n++] = ojson_bytes(a);
	if (token.len == 0)
		return reg_bad_request(op, "token is required for TokenReview in authentication");
	if (hooks->authenticate)
		r = hooks->authenticate(hooks->arg, op->sh->h, token, aud, n, &user, &audiences, why, sizeof(why));
	(void)ojson_set_bool(status, "authenticated", r == 0);
	if (r == 0 && user && ojson_parse(user, strlen(user), &tree, NULL) == 0)
		(void)ojson_put(status, "user", tree);
	if (r == 0 && audiences && ojson_parse(audiences, strlen(audiences), &tree, NULL) == 0)
		(void)ojson_put(status, "audiences", tree);
	if (r && why[0])		/* a token that is good, but not for them, is not told of */
		(void)ojson_set_cstr(status, "error", why);
	omem_free(user);
	omem_free(audiences);
	return 0;
}

static int answer(struct reg_op *op, struct ojson *obj)
{
	struct ojson *status = ojson_new_object(), *u, *extra = NULL;
	int r = status ? 0 : -ENOMEM;

	if (r == 0 && !strcmp(op->k->kind, "SelfSubjectReview")) {
		u = user_info(op->rq.who);
		if (u && op->rq.extra && ojson_parse(op->rq.extra, strlen(op->rq.extra), &extra, NULL) == 0)
			(void)ojson_put(u, "extra", extra);
		r = u ? ojson_set(status, "userInfo", u) : -ENOMEM;
	} else if (r == 0 && !strcmp(op->k->kind, "SelfSubjectRulesReview")) {
		r = rules_review(op, obj, status);
	} else if (r == 0 && !strcmp(op->k->kind, "TokenReview")) {
		r = token_review(op, obj, status);
	} else if (r == 0) {
		r = access_review(op, obj, status);
	}
	if (r) {
		ojson_unref(status);
		return r;
	}
	return ojson_put(obj, "status", status);
}

void reg_do_review(struct reg_op *op)
{
	const struct oschema *s = op->k->schema;
	const struct oschema_type *t = oschema_type_at(s, op->k->res->type);
	struct ojson *obj = NULL, *out = NULL;
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct oschema_write ow;
	int r;

	r = write_body_as(op, op->k, t, &obj);
	if (r == 0 && op->rq.ns.len) {
		struct orlop_bytes ns = ojson_get_bytes(ojson_get(obj, "metadata"), "namespace");

		if (ns.len && !rb_eq(ns, op->rq.ns))
			r = reg_bad_request(op, "the namespace of the provided object does not match the namespace sent on the request");
	}
	ow = (struct oschema_write){ .obj = obj };
	if (r == 0 && oschema_validate(s, op->k->res, &ow, &e) == -EINVAL) {
		/* reviews have no name: only what is said about spec counts */
		for (uint32_t i = 0; e.causes && i < e.causes->n; i++)
			if (strncmp(e.causes->v[i].field, "metadata", 8))
				reg_cause(op, e.causes->v[i].reason, e.causes->v[i].field, "%s",
					  e.causes->v[i].message);
		r = strcmp(op->k->group, "authorization.k8s.io") ? reg_invalid(op, RB0) : reg_invalid_as(op, ".authorization.k8s.io", RB0);
	}
	orlop_error_done(&e);
	if (r == 0)
		r = answer(op, obj);
	if (r == 0)
		r = oschema_decode(s, t, obj, 0, NULL, &out, &op->err);
	if (r == 0)
		r = ojson_write(out, 0, &op->out);
	ojson_unref(obj);
	ojson_unref(out);
	if (r)
		reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
	else
		reg_finish_text(op, 201);
}
