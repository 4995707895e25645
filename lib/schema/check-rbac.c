/*
 * check-rbac.c - roles and bindings: defaults, what they must satisfy, their cells.
 *
 * Source: the facts of upstream's defaulting, validation and printers of rbac.authorization.k8s.io.
 */
#include <string.h>

#include "base/ocleanup.h"
#include "schema/cells.h"
#include "schema/check.h"
#include "schema/defaults-kinds.h"

#define GROUP "rbac.authorization.k8s.io"

/* ---- defaults ---- */

int defaults_role_binding(const struct oschema *s, struct ojson *o)
{
	struct ojson *ref = ojson_get(o, "roleRef");
	int changed = 0, r = 0;

	(void)s;
	if (ref != NULL && oget_empty(ref, "apiGroup")) {
		r = ojson_set_cstr(ref, "apiGroup", GROUP);
		changed = 1;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(o, "subjects")) {
		bool person = oget_is(e, "kind", "User") || oget_is(e, "kind", "Group");

		if (r != 0 || !person || !oget_empty(e, "apiGroup"))
			continue;
		r = ojson_set_cstr(e, "apiGroup", GROUP);
		changed = 1;
	}
	return r != 0 ? r : changed;
}

/* ---- roles ---- */

static void check_rules(struct ocheck *c, const struct opath *at, struct ojson *rules, bool namespaced)
{
	struct opath rp = opath_child(at, "rules");

	OJSON_FOREACH_ELEM(i, rule, rules) {
		struct opath p = opath_index(&rp, i), up = opath_child(&p, "nonResourceURLs");
		struct ojson *urls = ojson_get(rule, "nonResourceURLs");

		if (oget_len(rule, "verbs") == 0)
			ocheck_required_at(c, &p, "verbs", "verbs must contain at least one value");
		if (ojson_count(urls) > 0) {
			if (namespaced)
				ocheck_invalid(c, &up, urls, "namespaced rules cannot apply to non-resource URLs");
			if (oget_len(rule, "apiGroups") + oget_len(rule, "resources") + oget_len(rule, "resourceNames") > 0)
				ocheck_invalid(c, &up, urls, "rules cannot apply to both regular resources and non-resource URLs");
			continue;
		}
		if (oget_len(rule, "apiGroups") == 0)
			ocheck_required_at(c, &p, "apiGroups", "resource rules must supply at least one api group");
		if (oget_len(rule, "resources") == 0)
			ocheck_required_at(c, &p, "resources", "resource rules must supply at least one resource");
	}
}

OCHECK(role)
{
	(void)old;
	check_rules(c, at, ojson_get(v, "rules"), true);
}

OCHECK(cluster_role)
{
	struct ojson *aggregation = ojson_get(v, "aggregationRule");
	struct opath ap = opath_child(at, "aggregationRule"), sp = opath_child(&ap, "clusterRoleSelectors");

	(void)old;
	check_rules(c, at, ojson_get(v, "rules"), false);
	if (aggregation != NULL && oget_len(aggregation, "clusterRoleSelectors") == 0)
		ocheck_required_at(c, &ap, "clusterRoleSelectors",
				   "at least one clusterRoleSelector required if aggregationRule is non-nil");
	OJSON_FOREACH_ELEM(i, e, ojson_get(aggregation, "clusterRoleSelectors")) {
		struct opath p = opath_index(&sp, i);

		if (ocheck_found_in(c, &p))
			ocheck_invalid(c, &p, e, "invalid label selector.");
	}
}

/* ---- bindings ---- */

static void check_ref(struct ocheck *c, const struct opath *at, struct ojson *ref, bool namespaced)
{
	static const char *const groups[] = { GROUP };
	static const char *const kinds[] = { "Role", "ClusterRole" };
	struct opath p = opath_child(at, "roleRef"), gp = opath_child(&p, "apiGroup"), kp = opath_child(&p, "kind");
	struct opath np = opath_child(&p, "name");

	if (!oget_is(ref, "apiGroup", GROUP))
		ocheck_not_supported(c, &gp, ojson_get(ref, "apiGroup"), groups, 1);
	if (!oget_is(ref, "kind", "ClusterRole") && !(namespaced && oget_is(ref, "kind", "Role")))
		ocheck_not_supported(c, &kp, ojson_get(ref, "kind"), kinds + !namespaced, 1 + namespaced);
	if (oget_empty(ref, "name"))
		ocheck_required(c, &np, "");
	else
		ocheck_format(c, &np, ojson_get(ref, "name"), OSCHEMA_FMT_PATH_SEGMENT);
}

static void check_subject(struct ocheck *c, const struct opath *p, struct ojson *e, bool namespaced)
{
	static const char *const kinds[] = { "ServiceAccount", "User", "Group" };
	static const char *const groups[] = { GROUP }, *const none[] = { "" };
	struct opath gp = opath_child(p, "apiGroup"), kp = opath_child(p, "kind"), np = opath_child(p, "name");

	if (oget_empty(e, "name"))
		ocheck_required(c, &np, "");
	if (oget_is(e, "kind", "ServiceAccount")) {
		if (!oget_empty(e, "name"))
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		if (!oget_empty(e, "apiGroup"))
			ocheck_not_supported(c, &gp, ojson_get(e, "apiGroup"), none, 1);
		if (!namespaced && oget_empty(e, "namespace"))
			ocheck_required_at(c, p, "namespace", "");
	} else if (oget_is(e, "kind", "User") || oget_is(e, "kind", "Group")) {
		if (!oget_is(e, "apiGroup", GROUP))
			ocheck_not_supported(c, &gp, ojson_get(e, "apiGroup"), groups, 1);
	} else {
		ocheck_not_supported(c, &kp, ojson_get(e, "kind"), kinds, 3);
	}
}

OCHECK(role_binding)
{
	bool namespaced = strcmp(c->kind, "RoleBinding") == 0;
	struct opath sp = opath_child(at, "subjects"), rp = opath_child(at, "roleRef");
	struct ojson *ref = ojson_get(v, "roleRef"), *was = ojson_get(old, "roleRef");

	check_ref(c, at, ref, namespaced);
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "subjects")) {
		struct opath p = opath_index(&sp, i);

		check_subject(c, &p, e, namespaced);
	}
	if (old != NULL && !ojson_equal(ref, was))
		ocheck_invalid(c, &rp, ref, "cannot change roleRef");
}

/* ---- cells ---- */

OCELL(role_ref)
{
	struct ojson *ref = ojson_get(x->obj, "roleRef");
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "%s/%s", ojson_get_cstr(ref, "kind", ""), ojson_get_cstr(ref, "name", ""));
	ocell_text(x, &b);
}

OCELL(subjects)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, e, ojson_get(x->obj, "subjects")) {
		if (!oget_is(e, "kind", x->path))
			continue;
		obuf_puts(&b, b.len > 0 ? ", " : "");
		if (strcmp(x->path, "ServiceAccount") == 0)
			obuf_printf(&b, "%s/", ojson_get_cstr(e, "namespace", ""));
		obuf_puts(&b, ojson_get_cstr(e, "name", ""));
	}
	ocell_text(x, &b);
}
