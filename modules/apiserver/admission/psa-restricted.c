/* psa-restricted.c - the rules that the level "restricted" adds: what a hardened pod says of itself. */
#include "podsecurity.h"

#include <stdint.h>
#include <string.h>

#define RULE(name) static bool name(const struct ojson *meta, const struct ojson *spec, struct obuf *reason, struct obuf *detail)

static const struct ojson *context(const struct ojson *of)
{
	return ojson_get(of, "securityContext");
}

RULE(escalation)
{
	struct psa_names containers = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec)
		if (ojson_get_bool(context(c), "allowPrivilegeEscalation", true))
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	obuf_puts(reason, "allowPrivilegeEscalation != false");
	psa_containers(detail, &containers);
	obuf_puts(detail, " must set securityContext.allowPrivilegeEscalation=false");
	return containers.n > 0;
}

RULE(capabilities)
{
	struct psa_names keeping = { .n = 0 }, adding = { .n = 0 }, caps = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec) {
		const struct ojson *list = ojson_get(context(c), "capabilities");
		bool all = false, bad = false;

		OJSON_FOREACH_ELEM(i, d, ojson_get(list, "drop"))
			all = all || ojson_string_is(d, "ALL");
		OJSON_FOREACH_ELEM(i, a, ojson_get(list, "add"))
			if (!ojson_string_is(a, "NET_BIND_SERVICE")) {
				bad = true;
				psa_add_once(&caps, ojson_cstr(a, ""));
			}
		if (!all)
			psa_add(&keeping, ojson_get_cstr(c, "name", ""));
		if (bad)
			psa_add(&adding, ojson_get_cstr(c, "name", ""));
	}
	obuf_puts(reason, "unrestricted capabilities");
	if (keeping.n) {
		psa_containers(detail, &keeping);
		obuf_puts(detail, " must set securityContext.capabilities.drop=[\"ALL\"]");
	}
	if (adding.n) {
		obuf_puts(detail, keeping.n ? "; " : "");
		psa_containers(detail, &adding);
		obuf_puts(detail, " must not include ");
		psa_quote(detail, &caps);
		obuf_puts(detail, " in securityContext.capabilities.add");
	}
	return keeping.n || adding.n;
}

/* What of a volume says where it comes from. */
static const char *volume_type(const struct ojson *v)
{
	static const char *const good[] = { "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
		"persistentVolumeClaim", "projected", "secret", NULL };
	const char *type = "unknown";

	for (size_t i = 0; good[i]; i++)
		if (ojson_has(v, good[i]))
			return NULL;
	OJSON_FOREACH(it, v)
		if (strcmp(it.key, "name"))
			type = it.key;
	return type;
}

RULE(volumes)
{
	struct psa_names bad = { .n = 0 }, types = { .n = 0 };

	(void)meta;
	OJSON_FOREACH_ELEM(i, v, ojson_get(spec, "volumes")) {
		const char *type = volume_type(v);

		if (type) {
			psa_add(&bad, ojson_get_cstr(v, "name", ""));
			psa_add_once(&types, type);
		}
	}
	obuf_puts(reason, "restricted volume types");
	obuf_puts(detail, bad.n == 1 ? "volume " : "volumes ");
	psa_quote(detail, &bad);
	obuf_printf(detail, " %s %s ", bad.n == 1 ? "uses" : "use", types.n == 1 ? "restricted volume type" : "restricted volume types");
	psa_quote(detail, &types);
	return bad.n > 0;
}

RULE(non_root)
{
	const struct ojson *whole = ojson_get(context(spec), "runAsNonRoot");
	struct psa_names saying = { .n = 0 }, silent = { .n = 0 };
	bool pod = whole && !ojson_bool(whole, true);

	(void)meta;
	PSA_EACH(c, spec) {
		const struct ojson *v = ojson_get(context(c), "runAsNonRoot");

		if (v && !ojson_bool(v, true))
			psa_add(&saying, ojson_get_cstr(c, "name", ""));
		else if (!v && !(whole && !pod))
			psa_add(&silent, ojson_get_cstr(c, "name", ""));
	}
	obuf_puts(reason, "runAsNonRoot != true");
	if (pod || saying.n) {
		psa_setters(detail, pod, &saying);
		obuf_puts(detail, " must not set securityContext.runAsNonRoot=false");
		return true;
	}
	obuf_puts(detail, "pod or ");
	psa_containers(detail, &silent);
	obuf_puts(detail, " must set securityContext.runAsNonRoot=true");
	return silent.n > 0;
}

RULE(non_root_relaxed)
{
	return !psa_own_users(spec) && non_root(meta, spec, reason, detail);
}

static bool is_zero(const struct ojson *of)
{
	return ojson_has(context(of), "runAsUser") && ojson_get_i64(context(of), "runAsUser", 0) == 0;
}

RULE(user)
{
	struct psa_names containers = { .n = 0 };
	bool pod = is_zero(spec);

	(void)meta;
	PSA_EACH(c, spec)
		if (is_zero(c))
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	obuf_puts(reason, "runAsUser=0");
	psa_setters(detail, pod, &containers);
	obuf_puts(detail, " must not set runAsUser=0");
	return pod || containers.n;
}

RULE(user_relaxed)
{
	return !psa_own_users(spec) && user(meta, spec, reason, detail);
}

static bool is_good(const char *type)
{
	return !strcmp(type, "RuntimeDefault") || !strcmp(type, "Localhost");
}

RULE(seccomp)
{
	const char *whole = ojson_cstr(OJSON_AT(context(spec), "seccompProfile", "type"), NULL);
	struct psa_names saying = { .n = 0 }, silent = { .n = 0 }, values = { .n = 0 };
	bool pod = whole && !is_good(whole);

	(void)meta;
	if (pod)
		psa_add_once(&values, whole);
	PSA_EACH(c, spec) {
		const char *type = ojson_cstr(OJSON_AT(context(c), "seccompProfile", "type"), NULL);

		if (type && !is_good(type)) {
			psa_add(&saying, ojson_get_cstr(c, "name", ""));
			psa_add_once(&values, type);
		} else if (!type && !(whole && !pod)) {
			psa_add(&silent, ojson_get_cstr(c, "name", ""));
		}
	}
	obuf_puts(reason, "seccompProfile");
	if (pod || saying.n) {
		psa_setters(detail, pod, &saying);
		obuf_puts(detail, " must not set securityContext.seccompProfile.type to ");
		psa_quote(detail, &values);
		return true;
	}
	obuf_puts(detail, "pod or ");
	psa_containers(detail, &silent);
	obuf_puts(detail, " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
	return silent.n > 0;
}

/* From 1.25 on nothing is asked of pods for Windows that Windows does not have. */
RULE(escalation_linux)
{
	return !psa_is_windows(spec) && escalation(meta, spec, reason, detail);
}

RULE(capabilities_linux)
{
	return !psa_is_windows(spec) && capabilities(meta, spec, reason, detail);
}

RULE(seccomp_linux)
{
	return !psa_is_windows(spec) && seccomp(meta, spec, reason, detail);
}

const struct psa_rule psa_restricted_rules[] = {
	{ "allowPrivilegeEscalation", PSA_RESTRICTED, 8, 25, escalation },
	{ "allowPrivilegeEscalation", PSA_RESTRICTED, 25, 0, escalation_linux },
	{ "capabilities_restricted", PSA_RESTRICTED, 22, 25, capabilities },
	{ "capabilities_restricted", PSA_RESTRICTED, 25, 0, capabilities_linux },
	{ "restrictedVolumes", PSA_RESTRICTED, 0, 0, volumes },
	{ "runAsNonRoot", PSA_RESTRICTED, 0, 35, non_root },
	{ "runAsNonRoot", PSA_RESTRICTED, 35, 0, non_root_relaxed },
	{ "runAsUser", PSA_RESTRICTED, 23, 35, user },
	{ "runAsUser", PSA_RESTRICTED, 35, 0, user_relaxed },
	{ "seccompProfile_restricted", PSA_RESTRICTED, 19, 25, seccomp },
	{ "seccompProfile_restricted", PSA_RESTRICTED, 25, 0, seccomp_linux },
	{ NULL, PSA_RESTRICTED, 0, 0, NULL },
};
