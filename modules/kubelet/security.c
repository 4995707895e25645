/*
 * security.c - with which rights a container runs, as the runtime is told; and what is refused. Pure.
 *
 * Source: pkg/kubelet/kuberuntime/security_context.go and security_context_others.go, pkg/securitycontext,
 * pkg/kubelet/sysctl, pkg/security/apparmor.
 */
#include "security.h"

#include <stdio.h>
#include <string.h>

#include "base/ostr.h"

/* The container's word, else the pod's. */
static const struct ojson *either(const struct ojson *sc, const struct ojson *psc, const char *key)
{
	const struct ojson *v = ojson_get(sc, key);

	return v ? v : ojson_get(psc, key);
}

static void set_i64_value(struct ojson *to, const char *key, int64_t v)
{
	(void)ojson_set_i64(ojson_ensure_object(to, key), "value", v);
}

/* ---- user namespaces ---------------------------------------------------------------------------------- */

bool security_userns(const struct ojson *pod)
{
	return !ojson_get_bool(ojson_get(pod, "spec"), "hostUsers", true);
}

static void mapping(struct ojson *to, const char *key, int64_t host)
{
	struct ojson *m = ojson_new_object();

	(void)ojson_set_i64(m, "hostId", host);
	(void)ojson_set_i64(m, "containerId", 0);
	(void)ojson_set_i64(m, "length", USERNS_LENGTH);
	(void)ojson_append(ojson_ensure_array(to, key), m);
}

void security_map_mount(const struct ojson *pod, int64_t first, struct ojson *mount)
{
	if (!security_userns(pod) || first < 0)
		return;
	mapping(mount, "uidMappings", first);
	mapping(mount, "gidMappings", first);
}

void security_userns_put(const struct ojson *pod, int64_t first, struct ojson *options)
{
	struct ojson *u;

	if (!security_userns(pod) || first < 0)
		return;
	u = ojson_ensure_object(options, "usernsOptions");
	(void)ojson_set_cstr(u, "mode", "POD");
	mapping(u, "uids", first);
	mapping(u, "gids", first);
}

/* ---- profiles --------------------------------------------------------------------------------------------- */

static const char *profile_type(const struct ojson *p)
{
	return ojson_get_cstr(p, "type", "");
}

static void put_seccomp(const struct ojson *sc, const struct ojson *psc, const char *root, struct ojson *out)
{
	const struct ojson *p = either(sc, psc, "seccompProfile");
	const char *type = p ? profile_type(p) : "Unconfined";
	struct ojson *s = ojson_ensure_object(out, "seccomp");
	char path[4096];

	if (ojson_get_bool(sc, "privileged", false))
		type = "Unconfined";
	(void)ojson_set_cstr(s, "profileType", !strcmp(type, "RuntimeDefault") || !strcmp(type, "Localhost") ? type
			     : "Unconfined");
	if (!strcmp(type, "Localhost")) {
		snprintf(path, sizeof(path), "%s/seccomp/%s", root, ojson_get_cstr(p, "localhostProfile", ""));
		(void)ojson_set_cstr(s, "localhostRef", path);
	}
}

/* The old annotation: "runtime/default", "localhost/NAME", "unconfined". */
static const char *apparmor_note(const struct ojson *pod, const char *container)
{
	char key[320];

	snprintf(key, sizeof(key), "container.apparmor.security.beta.kubernetes.io/%s", container);
	return ojson_cstr(OJSON_AT(pod, "metadata", "annotations", key), "");
}

/* @ret_ref: of a Localhost profile. "" none is asked for. */
static const char *apparmor(const struct ojson *pod, const struct ojson *spec, const char **ret_ref)
{
	const struct ojson *p = either(ojson_get(spec, "securityContext"), OJSON_AT(pod, "spec", "securityContext"),
				       "appArmorProfile");
	const char *note = apparmor_note(pod, ojson_get_cstr(spec, "name", ""));

	*ret_ref = "";
	if (p) {
		*ret_ref = ojson_get_cstr(p, "localhostProfile", "");
		return profile_type(p);
	}
	if (!strcmp(note, "runtime/default"))
		return "RuntimeDefault";
	if (!strcmp(note, "unconfined"))
		return "Unconfined";
	if (!strncmp(note, "localhost/", 10)) {
		*ret_ref = note + 10;
		return "Localhost";
	}
	return "";
}

static void put_apparmor(const struct ojson *pod, const struct ojson *spec, struct ojson *out)
{
	const char *ref;
	const char *type = apparmor(pod, spec, &ref);
	struct ojson *a;

	if (!*type)
		return;
	a = ojson_ensure_object(out, "apparmor");
	(void)ojson_set_cstr(a, "profileType", type);
	if (*ref)
		(void)ojson_set_cstr(a, "localhostRef", ref);
}

bool security_wants_apparmor(const struct ojson *pod)
{
	static const char *const lists[] = { "initContainers", "containers", "ephemeralContainers" };
	size_t l;

	for (l = 0; l < 3; l++) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", lists[l])) {
			const char *ref;
			const char *type = apparmor(pod, c, &ref);

			if (*type && strcmp(type, "Unconfined"))
				return true;
		}
	}
	return false;
}

/* ---- the container ------------------------------------------------------------------------------------------ */

void security_container(const struct ojson *pod, const struct ojson *spec, const char *root, struct ojson *out)
{
	const struct ojson *sc = ojson_get(spec, "securityContext");
	const struct ojson *psc = OJSON_AT(pod, "spec", "securityContext");
	const struct ojson *caps = ojson_get(sc, "capabilities");
	bool privileged = ojson_get_bool(sc, "privileged", false);
	const struct ojson *v;
	struct ojson *groups;

	(void)ojson_set_bool(out, "privileged", privileged);
	(void)ojson_set_bool(out, "readonlyRootfs", ojson_get_bool(sc, "readOnlyRootFilesystem", false));
	(void)ojson_set_bool(out, "noNewPrivs", !ojson_get_bool(sc, "allowPrivilegeEscalation", true));
	if ((v = either(sc, psc, "runAsUser")))
		set_i64_value(out, "runAsUser", ojson_i64(v, 0));
	if ((v = either(sc, psc, "runAsGroup")))
		set_i64_value(out, "runAsGroup", ojson_i64(v, 0));
	if (caps) {
		struct ojson *c = ojson_ensure_object(out, "capabilities");

		if (ojson_get(caps, "add"))
			(void)ojson_set(c, "addCapabilities", ojson_ref(ojson_get(caps, "add")));
		if (ojson_get(caps, "drop"))
			(void)ojson_set(c, "dropCapabilities", ojson_ref(ojson_get(caps, "drop")));
	}
	groups = ojson_ensure_array(out, "supplementalGroups");
	OJSON_FOREACH_ELEM(i, g, ojson_get(psc, "supplementalGroups"))
		(void)ojson_append(groups, ojson_ref(g));
	if ((v = ojson_get(psc, "fsGroup")))
		(void)ojson_append(groups, ojson_new_i64(ojson_i64(v, 0)));
	if (*ojson_get_cstr(psc, "supplementalGroupsPolicy", ""))
		(void)ojson_set_cstr(out, "supplementalGroupsPolicy", ojson_get_cstr(psc, "supplementalGroupsPolicy", ""));
	if ((v = either(sc, psc, "seLinuxOptions")))
		(void)ojson_set(out, "selinuxOptions", ojson_ref((struct ojson *)(uintptr_t)v));
	put_seccomp(sc, psc, root, out);
	put_apparmor(pod, spec, out);
	if (privileged || !strcmp(ojson_get_cstr(sc, "procMount", ""), "Unmasked")) {
		(void)ojson_ensure_array(out, "maskedPaths");
		(void)ojson_ensure_array(out, "readonlyPaths");
	}
}

/* ---- runAsNonRoot -------------------------------------------------------------------------------------------- */

bool security_user_refused(const struct ojson *pod, const struct ojson *spec, int64_t image_uid, const char *image_user,
			   struct obuf *out)
{
	const struct ojson *sc = ojson_get(spec, "securityContext");
	const struct ojson *psc = OJSON_AT(pod, "spec", "securityContext");
	const struct ojson *uid = either(sc, psc, "runAsUser");

	if (!ojson_bool(either(sc, psc, "runAsNonRoot"), false))
		return false;
	if (uid) {
		if (ojson_i64(uid, 0))
			return false;
		obuf_puts(out, "container's runAsUser breaks non-root policy");
	} else if (image_user && *image_user) {
		obuf_printf(out, "container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root",
			    image_user);
	} else if (image_uid <= 0) {
		obuf_puts(out, "container has runAsNonRoot and image will run as root");
	} else {
		return false;
	}
	obuf_printf(out, " (pod: \"%s_%s(%s)\", container: %s)", okube_meta(pod, "name"), okube_meta(pod, "namespace"),
		    okube_meta(pod, "uid"), ojson_get_cstr(spec, "name", ""));
	return true;
}

/* ---- sysctls -------------------------------------------------------------------------------------------------- */

static bool is_safe(const char *name)
{
	static const char *const safe[] = {
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
		"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
		"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
	};
	size_t i;

	for (i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
		if (!strcmp(safe[i], name))
			return true;
	return false;
}

/* @patterns: "kernel.msg*,net.core.somaxconn" */
static bool is_allowed(const char *patterns, const char *name)
{
	while (*patterns) {
		size_t n = strcspn(patterns, ",");

		if (n && patterns[n - 1] == '*' ? !strncmp(patterns, name, n - 1)
						: strlen(name) == n && !memcmp(patterns, name, n))
			return true;
		patterns += n;
		patterns += *patterns == ',';
	}
	return false;
}

void security_sysctl_name(const char *in, char *out, size_t size)
{
	size_t first = strcspn(in, "./");
	size_t i;

	snprintf(out, size, "%s", in);
	/* "net/ipv4/conf/eth0.1/x" is "net.ipv4.conf.eth0/1.x" */
	if (in[first] != '/')
		return;
	for (i = 0; out[i]; i++)
		out[i] = (char)(out[i] == '/' ? '.' : out[i] == '.' ? '/' : out[i]);
}

bool security_sysctl_refused(const struct ojson *pod, const char *allowed, struct obuf *out)
{
	const struct ojson *spec = ojson_get(pod, "spec");

	OJSON_FOREACH_ELEM(i, s, OJSON_AT(spec, "securityContext", "sysctls")) {
		char name[256];
		bool net;
		bool ipc;

		security_sysctl_name(ojson_get_cstr(s, "name", ""), name, sizeof(name));
		net = !strncmp(name, "net.", 4);
		ipc = !strcmp(name, "kernel.sem") || !strncmp(name, "kernel.shm", 10) || !strncmp(name, "kernel.msg", 10) ||
			!strncmp(name, "fs.mqueue.", 10);
		if (net && ojson_get_bool(spec, "hostNetwork", false)) {
			obuf_printf(out, "forbidden sysctl: \"%s\" not allowed with host net enabled", name);
			return true;
		}
		if (ipc && ojson_get_bool(spec, "hostIPC", false)) {
			obuf_printf(out, "forbidden sysctl: \"%s\" not allowed with host ipc enabled", name);
			return true;
		}
		if (!is_safe(name) && !is_allowed(allowed, name)) {
			obuf_printf(out, "forbidden sysctl: \"%s\" not allowlisted", name);
			return true;
		}
	}
	return false;
}
