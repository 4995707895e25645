/*
 * check-container.c - containers and what they are made of: images, environment, probes, resources.
 */
#include <stdio.h>
#include <string.h>

#include "quantity/oquantity.h"
#include "schema/check.h"

/* How many of @keys does @v have? @ret_second: the second one found, in their order. */
static size_t count_of(struct ojson *v, const char *const *keys, const char **ret_second)
{
	size_t n = 0;

	for (size_t i = 0; keys[i] != NULL; i++) {
		if (!ojson_has(v, keys[i]))
			continue;
		if (++n == 2)
			*ret_second = keys[i];
	}
	return n;
}

OCHECK(image)
{
	struct orlop_bytes t = otext(v);

	(void)old;
	if (t.len == 0)
		ocheck_required(c, at, "");
	else if (strchr(" \t\n\r", t.p[0]) != NULL || strchr(" \t\n\r", t.p[t.len - 1]) != NULL)
		ocheck_invalid(c, at, v, "must not have leading or trailing whitespace");
}

OCHECK(container)
{
	static const char *const probes[] = { "livenessProbe", "startupProbe" };

	(void)old;
	for (size_t i = 0; i < 2; i++) {
		struct ojson *p = ojson_get(v, probes[i]);
		struct opath pp = opath_child(at, probes[i]);

		if (p != NULL && oget_int(p, "successThreshold") != 1)
			ocheck_invalid_at(c, &pp, p, "successThreshold", "must be 1");
	}
	if (ojson_has(ojson_get(v, "readinessProbe"), "terminationGracePeriodSeconds")) {
		struct opath pp = opath_child(at, "readinessProbe");

		ocheck_invalid_at(c, &pp, ojson_get(v, "readinessProbe"), "terminationGracePeriodSeconds",
				  "must not be set for readinessProbes");
	}
}

static void check_handler(struct ocheck *c, const struct opath *at, struct ojson *v, const char *last)
{
	const char *keys[] = { "exec", "httpGet", "tcpSocket", last, NULL }, *second = NULL;
	size_t n = count_of(v, keys, &second);

	if (n == 0)
		ocheck_required(c, at, "must specify a handler type");
	if (n > 1)
		ocheck_forbidden_at(c, at, second, "may not specify more than 1 handler type");
}

OCHECK(probe)
{
	(void)old;
	check_handler(c, at, v, "grpc");
}

OCHECK(lifecycle_handler)
{
	(void)old;
	check_handler(c, at, v, "sleep");
}

/* ---- environment ---- */

/* metadata.labels['key'] */
static bool subscripted(struct orlop_bytes t, const char *field)
{
	return ostr_starts(t.p, t.len, field) && ostr_starts(t.p + strlen(field), t.len - strlen(field), "['") &&
	       ostr_ends(t.p, t.len, "']") && t.len > strlen(field) + 4;
}

static void check_field_ref(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	static const char *const known[] = {
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
		"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	};
	struct orlop_bytes path = oget_text(ref, "fieldPath");
	struct opath p = opath_child(at, "fieldPath");

	if (path.len == 0 || subscripted(path, "metadata.labels") || subscripted(path, "metadata.annotations"))
		return;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (otext_is(path, known[i]))
			return;
	ocheck_not_supported(c, &p, ojson_get(ref, "fieldPath"), known, sizeof(known) / sizeof(known[0]));
}

static void check_resource_ref(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	static const char *const known[] = {
		"limits.cpu", "limits.ephemeral-storage", "limits.memory",
		"requests.cpu", "requests.ephemeral-storage", "requests.memory",
	};
	struct orlop_bytes res = oget_text(ref, "resource");
	struct opath p = opath_child(at, "resource");

	if (res.len == 0 || ostr_starts(res.p, res.len, "limits.hugepages-") ||
	    ostr_starts(res.p, res.len, "requests.hugepages-"))
		return;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (otext_is(res, known[i]))
			return;
	ocheck_not_supported(c, &p, ojson_get(ref, "resource"), known, sizeof(known) / sizeof(known[0]));
}

OCHECK(env_var)
{
	static const char *const keys[] = { "fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef",
					    "fileKeyRef", NULL };
	struct ojson *from = ojson_get(v, "valueFrom");
	struct opath p = opath_child(at, "valueFrom");
	static const struct orlop_bytes none = { "", 0 };
	const char *second = NULL;
	size_t n;

	(void)old;
	if (from == NULL)
		return;
	n = count_of(from, keys, &second);
	if (n == 0)
		ocheck_invalid_text(c, &p, none, "must specify one of: `fieldRef`, `resourceFieldRef`, "
				    "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
	else if (!oget_empty(v, "value"))
		ocheck_invalid_text(c, &p, none, "may not be specified when `value` is not empty");
	else if (n > 1)
		ocheck_invalid_text(c, &p, none, "may not have more than one field specified at a time");
	for (size_t i = 0; i < 4; i++) {
		struct ojson *ref = ojson_get(from, keys[i]);
		struct opath rp = opath_child(&p, keys[i]);

		if (ref == NULL)
			continue;
		if (i == 0)
			check_field_ref(c, &rp, ref);
		else if (i == 1)
			check_resource_ref(c, &rp, ref);
		else if (oget_empty(ref, "name"))
			ocheck_required_at(c, &rp, "name", "");
	}
}

OCHECK(env_from)
{
	static const char *const keys[] = { "configMapRef", "secretRef", NULL };
	static const struct orlop_bytes none = { "", 0 };
	struct opath prefix = opath_child(at, "prefix");
	const char *second = NULL;
	size_t n = count_of(v, keys, &second);

	(void)old;
	if (!oget_empty(v, "prefix"))
		ocheck_format(c, &prefix, ojson_get(v, "prefix"), OSCHEMA_FMT_ENV_NAME);
	if (n == 0)
		ocheck_invalid_text(c, at, none, "must specify one of: `configMapRef` or `secretRef`");
	else if (n > 1)
		ocheck_invalid_text(c, at, none, "may not have more than one field specified at a time");
	for (size_t i = 0; i < 2; i++) {
		struct opath rp = opath_child(at, keys[i]);

		if (ojson_has(v, keys[i]) && oget_empty(ojson_get(v, keys[i]), "name"))
			ocheck_required_at(c, &rp, "name", "");
	}
}

/* ---- resources ---- */

static bool standard_resource(struct orlop_bytes name)
{
	return otext_is(name, "cpu") || otext_is(name, "memory") || otext_is(name, "ephemeral-storage") ||
	       ostr_starts(name.p, name.len, "hugepages-");
}

/* Kubernetes' own, which may be asked for without a limit. Names that nobody knows count as its own. */
static bool may_overcommit(struct orlop_bytes name)
{
	return !ostr_starts(name.p, name.len, "hugepages-") && memchr(name.p, '/', name.len) == NULL;
}

/* One map of resources; names and signs. */
void ocheck_resource_list(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	OJSON_FOREACH(it, list) {
		struct orlop_bytes name = { it.key, it.key_len };
		struct opath p = opath_key(at, it.key);
		struct oquantity q;
		bool standard = standard_resource(name);

		ocheck_container_resource(c, &p, name);
		if (!ocheck_quantity(it.value, &q))
			continue;
		if (oquantity_sign(&q) < 0)
			ocheck_invalid(c, &p, it.value, "must be greater than or equal to 0");
		if (!standard && oquantity_milli(&q) % 1000 != 0)
			ocheck_invalid(c, &p, it.value, "must be an integer");
	}
}

OCHECK(resources)
{
	struct ojson *limits = ojson_get(v, "limits"), *requests = ojson_get(v, "requests");
	struct opath lp = opath_child(at, "limits"), rp = opath_child(at, "requests");
	bool huge = false, compute = false;

	(void)old;
	ocheck_resource_list(c, &lp, limits);
	ocheck_resource_list(c, &rp, requests);
	OJSON_FOREACH(it, limits)
		compute = compute || ostr_is(it.key, it.key_len, "cpu") || ostr_is(it.key, it.key_len, "memory");
	OJSON_FOREACH(it, requests) {
		struct orlop_bytes name = { it.key, it.key_len };
		struct ojson *limit = ojson_get_n(limits, it.key, it.key_len);
		bool hugepages = ostr_starts(name.p, name.len, "hugepages-");
		bool overcommit = may_overcommit(name);
		struct oquantity r, l;
		char why[400];

		huge = huge || hugepages;
		compute = compute || otext_is(name, "cpu") || otext_is(name, "memory");
		if (!ocheck_quantity(it.value, &r))
			continue;
		if (!ocheck_quantity(limit, &l)) {
			if (!overcommit)
				ocheck_required(c, &lp, "Limit must be set for non overcommitable resources");
			continue;
		}
		if (!overcommit && oquantity_cmp(&r, &l) != 0) {
			(void)snprintf(why, sizeof(why), "must be equal to %s limit of %s", it.key,
				       ojson_cstr(limit, ""));
			ocheck_invalid(c, &rp, it.value, why);
		} else if (oquantity_cmp(&r, &l) > 0) {
			(void)snprintf(why, sizeof(why), "must be less than or equal to %s limit of %s", it.key,
				       ojson_cstr(limit, ""));
			ocheck_invalid(c, &rp, it.value, why);
		}
	}
	if (huge && !compute)
		ocheck_forbidden(c, at, "HugePages require cpu or memory");
}

/* ---- security ---- */

OCHECK(security_context)
{
	struct ojson *escalate = ojson_get(v, "allowPrivilegeEscalation");

	(void)old;
	if (escalate == NULL || ojson_bool(escalate, true))
		return;
	if (oget_bool(v, "privileged"))
		ocheck_invalid(c, at, v, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
	OJSON_FOREACH_ELEM(i, cap, OJSON_AT(v, "capabilities", "add"))
		if (ojson_string_is(cap, "CAP_SYS_ADMIN"))
			ocheck_invalid(c, at, v, "cannot set `allowPrivilegeEscalation` to false and "
				       "`capabilities.Add` CAP_SYS_ADMIN");
}

OCHECK(localhost_profile)
{
	bool armor = at->name && !strcmp(at->name, "appArmorProfile");

	(void)old;
	if (oget_is(v, "type", "Localhost")) {
		if (oget_empty(v, "localhostProfile"))
			ocheck_required_at(c, at, "localhostProfile", armor ? "must be set when AppArmor type is Localhost" :
					   "must be set when seccomp type is Localhost");
	} else if (ojson_has(v, "localhostProfile")) {
		ocheck_invalid_at(c, at, v, "localhostProfile", armor ? "can only be set when AppArmor type is Localhost" :
				  "can only be set when seccomp type is Localhost");
	}
}
