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

const char *const ocheck_handlers[] = { "exec", "httpGet", "tcpSocket", "grpc", "sleep", NULL };

static void check_handler(struct ocheck *c, const struct opath *at, struct ojson *v, const char *last)
{
	const char *keys[] = { "exec", "httpGet", "tcpSocket", last, NULL }, *second = NULL;
	size_t n = count_of(v, keys, &second);
	struct opath gp = opath_child(at, "httpGet"), hp = opath_child(&gp, "httpHeaders");

	if (n == 0)
		ocheck_required(c, at, "must specify a handler type");
	if (n > 1)
		ocheck_forbidden_at(c, at, second, "may not specify more than 1 handler type");
	/* upstream does not say which header it is */
	OJSON_FOREACH_ELEM(i, e, OJSON_AT(v, "httpGet", "httpHeaders"))
		ocheck_format_text(c, &hp, oget_text(e, "name"), OSCHEMA_FMT_HEADER_NAME);
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

static void check_name(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	struct opath p = opath_child(at, "name");

	ocheck_format_text(c, &p, oget_text(ref, "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
}

/* A name, or what a generated one may begin with. */
static void check_prefix(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];
	struct orlop_bytes name = oget_text(ref, "name");
	struct opath p = opath_child(at, "name");
	size_t n = oschema_format_whys_prefix(OSCHEMA_FMT_DNS1123_SUBDOMAIN, name.p, name.len, whys);

	for (size_t i = 0; i < n; i++)
		ocheck_invalid_text(c, &p, name, whys[i]);
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
			ocheck_field_ref(c, &rp, ref, false);
		else if (i == 1)
			ocheck_resource_ref(c, &rp, ref, false);
		else
			check_name(c, &rp, ref);
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
	/* upstream does not say which of the list it is */
	if (n == 0)
		ocheck_invalid_text(c, at->up, none, "must specify one of: `configMapRef` or `secretRef`");
	else if (n > 1)
		ocheck_invalid_text(c, at->up, none, "may not have more than one field specified at a time");
	for (size_t i = 0; i < 2; i++) {
		struct opath rp = opath_child(at, keys[i]);

		if (ojson_has(v, keys[i]) && oget_empty(ojson_get(v, keys[i]), "name"))
			ocheck_required_at(c, &rp, "name", "");
		else if (ojson_has(v, keys[i]))
			check_prefix(c, &rp, ojson_get(v, keys[i]));
	}
}

/* ---- resources ---- */

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

		ocheck_container_resource(c, &p, name);
		if (!ocheck_quantity(it.value, &q))
			continue;
		if (oquantity_sign(&q) < 0)
			ocheck_invalid(c, &p, it.value, "must be greater than or equal to 0");
		if (ocheck_is_whole_resource(name) && oquantity_milli(&q) % 1000 != 0)
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
