/* psa-baseline.c - the rules of the level "baseline": known ways to more rights than a container has. */
#include "podsecurity.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RULE(name) static bool name(const struct ojson *meta, const struct ojson *spec, struct obuf *reason, struct obuf *detail)

static bool on(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

static const struct ojson *context(const struct ojson *of)
{
	return ojson_get(of, "securityContext");
}

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

RULE(app_armor)
{
	static const char *const good[] = { "RuntimeDefault", "Localhost", NULL };
	struct psa_names values = { .n = 0 }, containers = { .n = 0 };
	const struct ojson *p = OJSON_AT(context(spec), "appArmorProfile", "type");
	bool pod = p && !on(ojson_cstr(p, ""), good);
	struct obuf list = OBUF_INIT;
	unsigned int n = 0;

	if (pod)
		psa_add_once(&values, ojson_cstr(p, ""));
	PSA_EACH(c, spec) {
		const struct ojson *t = OJSON_AT(context(c), "appArmorProfile", "type");

		if (t && !on(ojson_cstr(t, ""), good)) {
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
			psa_add_once(&values, ojson_cstr(t, ""));
		}
	}
	psa_quote(&list, &values);
	OJSON_FOREACH(it, ojson_get(meta, "annotations")) {
		const char *v = ojson_cstr(it.value, "");
		struct psa_names one = { .n = 0 };
		char text[600];

		if (!begins(it.key, "container.apparmor.security.beta.kubernetes.io/") || !*v ||
		    !strcmp(v, "runtime/default") || begins(v, "localhost/"))
			continue;
		(void)snprintf(text, sizeof(text), "%s=\"%s\"", it.key, v);
		psa_add(&one, text);
		obuf_puts(&list, list.len ? ", " : "");
		psa_quote(&list, &one);
		n++;
	}
	if (pod || containers.n || n) {
		obuf_puts(reason, values.n + n == 1 ? "forbidden AppArmor profile" : "forbidden AppArmor profiles");
		psa_setters(detail, pod, &containers);
		if (n)
			obuf_printf(detail, "%s%s", detail->len ? " and " : "", n == 1 ? "annotation" : "annotations");
		obuf_printf(detail, " must not set AppArmor profile type to %s", obuf_cstr(&list));
	}
	obuf_done(&list);
	return pod || containers.n || n;
}

RULE(capabilities)
{
	static const char *const good[] = { "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
		"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", NULL };
	struct psa_names containers = { .n = 0 }, caps = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec) {
		bool bad = false;

		OJSON_FOREACH_ELEM(i, a, OJSON_AT(context(c), "capabilities", "add"))
			if (!on(ojson_cstr(a, ""), good)) {
				bad = true;
				psa_add_once(&caps, ojson_cstr(a, ""));
			}
		if (bad)
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	}
	if (!containers.n)
		return false;
	obuf_puts(reason, "non-default capabilities");
	psa_containers(detail, &containers);
	obuf_puts(detail, " must not include ");
	psa_quote(detail, &caps);
	obuf_puts(detail, " in securityContext.capabilities.add");
	return true;
}

RULE(host_namespaces)
{
	static const char *const keys[] = { "hostNetwork", "hostPID", "hostIPC" };

	(void)meta;
	for (size_t i = 0; i < 3; i++)
		if (ojson_get_bool(spec, keys[i], false))
			obuf_printf(detail, "%s%s=true", detail->len ? ", " : "", keys[i]);
	obuf_puts(reason, "host namespaces");
	return detail->len > 0;
}

RULE(host_path)
{
	struct psa_names volumes = { .n = 0 };

	(void)meta;
	OJSON_FOREACH_ELEM(i, v, ojson_get(spec, "volumes"))
		if (ojson_has(v, "hostPath"))
			psa_add(&volumes, ojson_get_cstr(v, "name", ""));
	obuf_puts(reason, "hostPath volumes");
	obuf_puts(detail, volumes.n == 1 ? "volume " : "volumes ");
	psa_quote(detail, &volumes);
	return volumes.n > 0;
}

RULE(host_ports)
{
	struct psa_names containers = { .n = 0 }, ports = { .n = 0 };
	char text[64][8];
	unsigned int n = 0;

	(void)meta;
	PSA_EACH(c, spec) {
		bool bad = false;

		OJSON_FOREACH_ELEM(i, p, ojson_get(c, "ports")) {
			long long port = (long long)ojson_get_i64(p, "hostPort", 0);

			if (!port)
				continue;
			bad = true;
			if (n < 64) {
				(void)snprintf(text[n], sizeof(text[n]), "%lld", port);
				psa_add_once(&ports, text[n++]);
			}
		}
		if (bad)
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	}
	if (!containers.n)
		return false;
	obuf_puts(reason, "hostPort");
	psa_containers(detail, &containers);
	obuf_printf(detail, " %s %s ", containers.n == 1 ? "uses" : "use", ports.n == 1 ? "hostPort" : "hostPorts");
	psa_join(detail, &ports);
	return true;
}

RULE(host_probes)
{
	static const char *const handlers[][2] = { { "livenessProbe", NULL }, { "readinessProbe", NULL }, { "startupProbe", NULL },
						   { "lifecycle", "postStart" }, { "lifecycle", "preStop" } };
	static const char *const ways[] = { "httpGet", "tcpSocket" };
	struct psa_names containers = { .n = 0 }, hosts = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec)
		for (size_t k = 0; k < 10; k++) {
			const char *const *at = handlers[k / 2];
			const struct ojson *handler = ojson_get(c, at[0]);
			const char *host;

			handler = at[1] ? ojson_get(handler, at[1]) : handler;
			host = ojson_get_cstr(ojson_get(handler, ways[k % 2]), "host", "");
			if (*host) {
				psa_add_once(&containers, ojson_get_cstr(c, "name", ""));
				psa_add_once(&hosts, host);
			}
		}
	if (!containers.n)
		return false;
	obuf_puts(reason, "probe or lifecycle host");
	psa_containers(detail, &containers);
	obuf_printf(detail, " %s %s ", containers.n == 1 ? "uses" : "use",
		    hosts.n == 1 ? "probe or lifecycle host" : "probe or lifecycle hosts");
	psa_quote(detail, &hosts);
	return true;
}

RULE(privileged)
{
	struct psa_names containers = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec)
		if (ojson_get_bool(context(c), "privileged", false))
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	obuf_puts(reason, "privileged");
	psa_containers(detail, &containers);
	obuf_puts(detail, " must not set securityContext.privileged=true");
	return containers.n > 0;
}

RULE(proc_mount)
{
	struct psa_names containers = { .n = 0 }, types = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec) {
		const char *type = ojson_get_cstr(context(c), "procMount", "Default");

		if (strcmp(type, "Default")) {
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
			psa_add_once(&types, type);
		}
	}
	obuf_puts(reason, "procMount");
	psa_containers(detail, &containers);
	obuf_puts(detail, " must not set securityContext.procMount to ");
	psa_quote(detail, &types);
	return containers.n > 0;
}

RULE(proc_mount_relaxed)
{
	return !psa_own_users(spec) && proc_mount(meta, spec, reason, detail);
}

struct selinux {
	struct psa_names types;
	bool		user;
	bool		role;
	bool		engine;		/* container_engine_t is allowed: since 1.31 */
};

static bool selinux_bad(struct selinux *s, const struct ojson *options)
{
	static const char *const good[] = { "", "container_t", "container_init_t", "container_kvm_t", NULL };
	const char *type = ojson_get_cstr(options, "type", "");
	bool user = *ojson_get_cstr(options, "user", "") != '\0', role = *ojson_get_cstr(options, "role", "") != '\0';
	bool bad = !on(type, good) && !(s->engine && !strcmp(type, "container_engine_t"));

	if (bad)
		psa_add_once(&s->types, type);
	s->user |= user;
	s->role |= role;
	return bad || user || role;
}

static bool selinux(const struct ojson *spec, struct obuf *reason, struct obuf *detail, bool engine)
{
	struct selinux s = { .engine = engine };
	struct psa_names containers = { .n = 0 };
	bool pod = selinux_bad(&s, ojson_get(context(spec), "seLinuxOptions"));
	size_t at;

	PSA_EACH(c, spec)
		if (selinux_bad(&s, ojson_get(context(c), "seLinuxOptions")))
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	if (!pod && !containers.n)
		return false;
	obuf_puts(reason, "seLinuxOptions");
	psa_setters(detail, pod, &containers);
	obuf_puts(detail, " set forbidden securityContext.seLinuxOptions: ");
	at = detail->len;
	if (s.types.n) {
		obuf_puts(detail, s.types.n == 1 ? "type " : "types ");
		psa_quote(detail, &s.types);
	}
	if (s.user)
		obuf_printf(detail, "%suser may not be set", detail->len > at ? "; " : "");
	if (s.role)
		obuf_printf(detail, "%srole may not be set", detail->len > at ? "; " : "");
	return true;
}

RULE(selinux_first)
{
	(void)meta;
	return selinux(spec, reason, detail, false);
}

RULE(selinux_now)
{
	(void)meta;
	return selinux(spec, reason, detail, true);
}

static bool annotation_good(const char *v)
{
	return !strcmp(v, "runtime/default") || !strcmp(v, "docker/default") || begins(v, "localhost/");
}

RULE(seccomp_annotations)
{
	static const char at_pod[] = "seccomp.security.alpha.kubernetes.io/pod";
	const struct ojson *notes = ojson_get(meta, "annotations");
	const char *v = ojson_get_cstr(notes, at_pod, NULL);
	char text[64][400];
	struct psa_names bad = { .n = 0 };
	unsigned int n = 0;

	if (v && !annotation_good(v)) {
		(void)snprintf(text[n], sizeof(text[n]), "%s=\"%.200s\"", at_pod, v);
		psa_add_once(&bad, text[n++]);
	}
	PSA_EACH(c, spec) {
		char key[200];

		(void)snprintf(key, sizeof(key), "container.seccomp.security.alpha.kubernetes.io/%.63s", ojson_get_cstr(c, "name", ""));
		v = ojson_get_cstr(notes, key, NULL);
		if (v && !annotation_good(v) && n < 64) {
			(void)snprintf(text[n], sizeof(text[n]), "%s=\"%.150s\"", key, v);
			psa_add_once(&bad, text[n++]);
		}
	}
	obuf_puts(reason, "seccompProfile");
	obuf_puts(detail, bad.n == 1 ? "forbidden annotation " : "forbidden annotations ");
	psa_join(detail, &bad);
	return bad.n > 0;
}

RULE(seccomp)
{
	static const char *const good[] = { "RuntimeDefault", "Localhost", NULL };
	const char *type = ojson_cstr(OJSON_AT(context(spec), "seccompProfile", "type"), NULL);
	struct psa_names containers = { .n = 0 }, values = { .n = 0 };
	bool pod = type && !on(type, good);

	(void)meta;
	if (pod)
		psa_add_once(&values, type);
	PSA_EACH(c, spec) {
		type = ojson_cstr(OJSON_AT(context(c), "seccompProfile", "type"), NULL);
		if (type && !on(type, good)) {
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
			psa_add_once(&values, type);
		}
	}
	obuf_puts(reason, "seccompProfile");
	psa_setters(detail, pod, &containers);
	obuf_puts(detail, " must not set securityContext.seccompProfile.type to ");
	psa_quote(detail, &values);
	return pod || containers.n;
}

static bool sysctls(const struct ojson *spec, struct obuf *reason, struct obuf *detail, int minor)
{
	static const struct {
		const char	*name;
		int		since;
	} good[] = {
		{ "kernel.shm_rmid_forced", 0 }, { "net.ipv4.ip_local_port_range", 0 }, { "net.ipv4.tcp_syncookies", 0 },
		{ "net.ipv4.ping_group_range", 0 }, { "net.ipv4.ip_unprivileged_port_start", 0 },
		{ "net.ipv4.ip_local_reserved_ports", 27 }, { "net.ipv4.tcp_keepalive_time", 29 },
		{ "net.ipv4.tcp_fin_timeout", 29 }, { "net.ipv4.tcp_keepalive_intvl", 29 },
		{ "net.ipv4.tcp_keepalive_probes", 29 }, { "net.ipv4.tcp_rmem", 32 }, { "net.ipv4.tcp_wmem", 32 },
	};
	struct psa_names bad = { .n = 0 };

	OJSON_FOREACH_ELEM(i, s, ojson_get(context(spec), "sysctls")) {
		const char *name = ojson_get_cstr(s, "name", "");
		bool known = false;

		for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++)
			known = known || (minor >= good[k].since && !strcmp(name, good[k].name));
		if (!known)
			psa_add(&bad, name);
	}
	obuf_puts(reason, "forbidden sysctls");
	psa_join(detail, &bad);
	return bad.n > 0;
}

RULE(sysctls_0)
{
	(void)meta;
	return sysctls(spec, reason, detail, 0);
}

RULE(sysctls_27)
{
	(void)meta;
	return sysctls(spec, reason, detail, 27);
}

RULE(sysctls_29)
{
	(void)meta;
	return sysctls(spec, reason, detail, 29);
}

RULE(sysctls_32)
{
	(void)meta;
	return sysctls(spec, reason, detail, 32);
}

RULE(windows_host_process)
{
	bool pod = ojson_get_bool(ojson_get(context(spec), "windowsOptions"), "hostProcess", false);
	struct psa_names containers = { .n = 0 };

	(void)meta;
	PSA_EACH(c, spec)
		if (ojson_get_bool(ojson_get(context(c), "windowsOptions"), "hostProcess", false))
			psa_add(&containers, ojson_get_cstr(c, "name", ""));
	obuf_puts(reason, "hostProcess");
	psa_setters(detail, pod, &containers);
	obuf_puts(detail, " must not set securityContext.windowsOptions.hostProcess=true");
	return pod || containers.n;
}

const struct psa_rule psa_baseline_rules[] = {
	{ "appArmorProfile", PSA_BASELINE, 0, 0, app_armor },
	{ "capabilities_baseline", PSA_BASELINE, 0, 0, capabilities },
	{ "hostNamespaces", PSA_BASELINE, 0, 0, host_namespaces },
	{ "hostPathVolumes", PSA_BASELINE, 0, 0, host_path },
	{ "hostPorts", PSA_BASELINE, 0, 0, host_ports },
	{ "hostProbesAndHostLifecycle", PSA_BASELINE, 34, 0, host_probes },
	{ "privileged", PSA_BASELINE, 0, 0, privileged },
	{ "procMount", PSA_BASELINE, 0, 35, proc_mount },
	{ "procMount", PSA_BASELINE, 35, 0, proc_mount_relaxed },
	{ "seLinuxOptions", PSA_BASELINE, 0, 31, selinux_first },
	{ "seLinuxOptions", PSA_BASELINE, 31, 0, selinux_now },
	{ "seccompProfile_baseline", PSA_BASELINE, 0, 19, seccomp_annotations },
	{ "seccompProfile_baseline", PSA_BASELINE, 19, 0, seccomp },
	{ "sysctls", PSA_BASELINE, 0, 27, sysctls_0 },
	{ "sysctls", PSA_BASELINE, 27, 29, sysctls_27 },
	{ "sysctls", PSA_BASELINE, 29, 32, sysctls_29 },
	{ "sysctls", PSA_BASELINE, 32, 0, sysctls_32 },
	{ "windowsHostProcess", PSA_BASELINE, 0, 0, windows_host_process },
	{ NULL, PSA_BASELINE, 0, 0, NULL },
};
