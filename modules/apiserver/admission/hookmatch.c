/* hookmatch.c - which webhooks are asked about a write: rules, selectors, and the version they know. */
#include "hook.h"
#include "../registry/custom.h"

#include "../registry/render.h"
#include "selector/oselector.h"

#include <errno.h>
#include <string.h>

static bool lists(const struct ojson *list, const char *what)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, "*") || ojson_string_is(e, what))
			return true;
	return false;
}

/* "pods", "pods/status", "pods/" and "*" of either */
static bool lists_resource(const struct ojson *list, const char *plural, struct orlop_bytes sub)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes r = ojson_bytes(e);
		const char *slash = r.len ? memchr(r.p, '/', r.len) : NULL;
		struct orlop_bytes main = { r.p, slash ? (size_t)(slash - r.p) : r.len };
		struct orlop_bytes part = slash ? (struct orlop_bytes){ slash + 1, r.len - main.len - 1 } : RB0;

		if (!rb_is(main, "*") && !rb_is(main, plural))
			continue;
		if (slash ? rb_is(part, "*") || (sub.len && rb_eq(part, sub)) : sub.len == 0)
			return true;
	}
	return false;
}

static const char *operation(const struct reg_op *op)
{
	if (op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION)
		return "DELETE";
	if (op->w->hook_body && op->w->hook_body->operation)
		return op->w->hook_body->operation;
	return op->w->old ? "UPDATE" : "CREATE";
}

static bool rules_match(const struct reg_op *op, const struct ojson *conf, const struct reg_kind *k)
{
	bool namespaced = (k->res->flags & OSCHEMA_S_NAMESPACED) != 0;

	OJSON_FOREACH_ELEM(i, r, ojson_get(conf, "rules")) {
		const char *scope = ojson_get_cstr(r, "scope", "*");

		if (lists(ojson_get(r, "operations"), operation(op)) && lists(ojson_get(r, "apiGroups"), k->group) &&
		    lists(ojson_get(r, "apiVersions"), k->version) &&
		    lists_resource(ojson_get(r, "resources"), k->plural, op->rq.sub) &&
		    (!strcmp(scope, "*") || !strcmp(scope, namespaced ? "Namespaced" : "Cluster")))
			return true;
	}
	return false;
}

/* The kind that the webhook wants to see: that of the request, or another version of the same objects. */
static const struct reg_kind *seen_as(const struct hook_run *run, const struct ojson *conf)
{
	const struct reg_op *op = run->op;
	const struct reg_kind *k = op->w->k;
	const struct reg_kind *asked = run->body ? run->body->k : op->k->stored == k ? op->k : k;

	if (rules_match(op, conf, asked))
		return asked;
	if (run->body)
		return NULL;
	if (ojson_string_is(ojson_get(conf, "matchPolicy"), "Exact"))
		return NULL;
	for (uint16_t i = 0; i < k->schema->n_resources; i++)
		if ((k->kinds[i].stored == k || (k->set && k->set->webhook)) && hook_served(&k->kinds[i]) && rules_match(op, conf, &k->kinds[i]))
			return &k->kinds[i];
	return NULL;
}

/* @other may be NULL. A selector that cannot be read selects all: rather one question too many. */
static bool selects(const struct ojson *selector, const struct ojson *labels, const struct ojson *other, bool either)
{
	struct oselector *s = NULL;
	bool yes = true;

	if (!selector || ojson_count(selector) == 0)
		return true;
	if (oselector_from_json(selector, &s, NULL) == 0)
		yes = oselector_match_map(s, labels) || (either && oselector_match_map(s, other));
	oselector_free(s);
	return yes;
}

static bool is_selected(struct hook_run *run, const struct ojson *conf, const struct ojson *ns)
{
	const struct write *w = run->op->w;	/* of a body: no old object */
	const struct ojson *is = OJSON_AT(run->obj, "metadata", "labels"), *was = OJSON_AT(w->old, "metadata", "labels");
	const struct ojson *of_ns = ns ? OJSON_AT(ns, "metadata", "labels") : run->obj ? is : was;
	bool cluster = !(w->k->res->flags & OSCHEMA_S_NAMESPACED) && w->k != run->op->sh->rg->namespaces;

	if (!cluster && !selects(ojson_get(conf, "namespaceSelector"), of_ns, NULL, false))
		return false;
	if (run->body && run->body->bare)
		return ojson_count(ojson_get(conf, "objectSelector")) == 0;
	return selects(ojson_get(conf, "objectSelector"), run->obj ? is : was, was, run->obj && w->old);
}

static int match_one(struct hook_run *run, struct ojson *conf, bool mutating, const struct ojson *ns)
{
	const struct reg_kind *as = seen_as(run, conf);
	struct hook *k;

	if (!as || !is_selected(run, conf, ns))
		return 0;
	if (run->n == HOOKS_MAX)
		return reg_internal(run->op, "more than %u admission webhooks are asked about one request", HOOKS_MAX);
	k = &run->v[run->n++];
	*k = (struct hook){ .conf = ojson_ref(conf), .as = as, .mutating = mutating };
	k->name = ojson_get_cstr(conf, "name", "");
	k->again = ojson_string_is(ojson_get(conf, "reinvocationPolicy"), "IfNeeded");
	return 0;
}

bool hooks_any(struct reg_shard *sh, bool mutating)
{
	const struct reg_kind *k = sh->rg->webhooks[mutating];
	struct orlop_resource *res = k ? reg_open(sh, k) : NULL;
	struct orlop_snapshot *snap;
	bool any;

	if (!res || sh->h->snapshot_open(res, &snap))
		return res != NULL;	/* whoever looks closer says what is wrong */
	any = sh->h->snapshot_count(snap) > 0;
	sh->h->snapshot_close(snap);
	return any;
}

int hooks_match(struct hook_run *run, bool mutating)
{
	struct reg_op *op = run->op;
	const struct orlop_host *h = op->sh->h;
	const struct reg_kind *k = op->sh->rg->webhooks[mutating];
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_resource *res = k ? reg_open(op->sh, k) : NULL;
	struct ojson *ns = NULL;
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;
	int r;

	if (!res)
		return 0;
	r = h->snapshot_open(res, &snap);
	if (r)
		return reg_failed(op, r, NULL);
	if (h->snapshot_count(snap)) {
		if (op->w->k->res->flags & OSCHEMA_S_NAMESPACED)
			r = admission_lookup(op, op->sh->rg->namespaces, RB0, op->w->ns, &ns);
		if (r == 0)
			r = h->iter_open(snap, &q, &it);
		if (r == 0) {
			while (r == 0 && (o = h->iter_next(it)) != NULL) {	/* by name, as they are asked */
				struct ojson *config = NULL;

				r = render_parse(k, o->json, &config);
				OJSON_FOREACH_ELEM(i, conf, ojson_get(config, "webhooks"))
					if (r == 0)
						r = match_one(run, conf, mutating, ns);
				ojson_unref(config);
			}
			h->iter_close(it);
		}
	}
	h->snapshot_close(snap);
	ojson_unref(ns);
	return r == 0 || op->err.err ? r : reg_failed(op, r, NULL);
}
