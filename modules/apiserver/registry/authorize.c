/* authorize.c - may who asks do this? What is asked of the authorizer, and its no in upstream's words. */
#include "registry.h"
#include "op.h"
#include "options.h"

#include "selector/ofield.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void reg_query_narrow(struct oarena *mem, struct orlop_bytes query, struct reg_attrs *a)
{
	cleanup_ofield struct ofield_selector *s = NULL;
	struct orlop_bytes name;

	a->field_selector = reg_query_fields(mem, query);
	if (a->field_selector.len && !a->name.len && !ofield_parse(a->field_selector.p, a->field_selector.len, &s, NULL) &&
	    ofield_requires(s, "metadata.name", &name) && !rb_is(name, ".") && !rb_is(name, "..") &&
	    !(name.len && (memchr(name.p, '/', name.len) || memchr(name.p, '%', name.len))))
		a->name = (struct orlop_bytes){ rb_dup(mem, name), name.len };
}

/* 403 in upstream's words. */
static int refuse(struct reg_shard *sh, const struct reg_req *rq, const struct reg_kind *k, const struct reg_attrs *a,
		  struct orlop_error *err)
{
	char reason[400] = "";
	char what[300];

	/* why is asked only when it is needed: a yes costs no words */
	if (sh->rg->cfg.hooks.authorize(sh->rg->cfg.hooks.arg, sh->h, rq->who, a, reason, sizeof(reason)) > 0)
		return 0;
	if (a->ns.len)
		snprintf(what, sizeof(what), "in the namespace \"%.*s\"", OB(a->ns));
	else
		snprintf(what, sizeof(what), "at the cluster scope");
	if (a->name.len)
		return orlop_fail(err, EACCES, 403, "Forbidden",
				  "%s \"%.*s\" is forbidden: User \"%.*s\" cannot %s resource \"%s%s%.*s\" in API group \"%s\" %s%s%s",
				  k->name, OB(a->name), OB(rq->who->user), reg_verb_name(rq->verb), k->plural,
				  rq->sub.len ? "/" : "", OB(rq->sub), k->group, what,
				  reason[0] ? ": " : "", reason);
	return orlop_fail(err, EACCES, 403, "Forbidden",
			  "%s is forbidden: User \"%.*s\" cannot %s resource \"%s%s%.*s\" in API group \"%s\" %s%s%s",
			  k->name, OB(rq->who->user), reg_verb_name(rq->verb), k->plural,
			  rq->sub.len ? "/" : "", OB(rq->sub), k->group, what,
			  reason[0] ? ": " : "", reason);
}

bool reg_user_is_part(struct orlop_bytes user)
{
	return rb_is(user, "orlop:core") || rb_is(user, "system:apiserver") ||
	       (user.len && ostr_starts(user.p, user.len, "orlop:apiserver"));
}

bool reg_user_is_kubelet(struct orlop_bytes user)
{
	return user.len && ostr_starts(user.p, user.len, "orlop:kubelet");
}

int reg_authorize(struct reg_shard *sh, const struct reg_req *rq, struct orlop_error *err)
{
	const struct reg_kind *k = rq->kind ? rq->kind : reg_kind_of(sh->rg, rq->res);
	struct reg_attrs a = {
		.verb = RB(reg_verb_name(rq->verb)), .group = RB(k->group), .version = RB(k->version),
		.resource = RB(k->plural), .sub = rq->sub, .ns = rq->ns, .name = rq->name,
	};
	struct oarena mem;
	int r = 0;

	if (!sh->rg->cfg.hooks.authorize)
		return 0;
	oarena_init(&mem, 0);
	if ((rq->verb == REG_LIST || rq->verb == REG_WATCH) && rq->query.len)
		reg_query_narrow(&mem, rq->query, &a);
	if (k == sh->rg->namespaces)
		a.ns = rq->name.len ? rq->name : rq->ns;	/* a namespace is in itself */
	if (sh->rg->cfg.hooks.authorize(sh->rg->cfg.hooks.arg, sh->h, rq->who, &a, NULL, 0) <= 0)
		r = refuse(sh, rq, k, &a, err);
	oarena_done(&mem);
	return r;
}
