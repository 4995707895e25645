/*
 * config.c - what the runtime is asked for: CRI's PodSandboxConfig and ContainerConfig. Pure.
 *
 * Source: pkg/kubelet/kuberuntime (kuberuntime_sandbox.go, kuberuntime_container.go, labels.go).
 */
#include "security.h"

#include <string.h>

#include "base/ostr.h"

static bool spec_bool(const struct config_world *w, const char *key)
{
	return ojson_get_bool(ojson_get(w->pod, "spec"), key, false);
}

void config_hostname(const struct config_world *w, struct obuf *out)
{
	const struct ojson *spec = ojson_get(w->pod, "spec");
	const char *name = ojson_get_cstr(spec, "hostname", "");
	size_t len;

	if (spec_bool(w, "hostNetwork")) {
		obuf_puts(out, w->node_name);
		return;
	}
	if (!*name)
		name = okube_meta(w->pod, "name");
	len = strlen(name);
	if (len > 63)
		len = 63;
	while (len && (name[len - 1] == '-' || name[len - 1] == '.'))
		len--;
	obuf_append(out, name, len);
}

/* NAME.SUBDOMAIN.NS.svc.DOMAIN if the pod has a subdomain. */
static void fqdn(const struct config_world *w, struct obuf *out)
{
	const char *sub = ojson_get_cstr(ojson_get(w->pod, "spec"), "subdomain", "");

	if (!*sub)
		return;
	config_hostname(w, out);
	obuf_printf(out, ".%s.%s.svc.%s", sub, okube_meta(w->pod, "namespace"), w->cluster_domain);
}

void config_hosts(const struct config_world *w, const char *ip, const char *ip2, const char *host_file, struct obuf *out)
{
	if (spec_bool(w, "hostNetwork")) {
		obuf_puts(out, "# Kubernetes-managed hosts file (host network).\n");
		obuf_puts(out, host_file ? host_file : "");
	} else {
		const char *const ips[] = { ip, ip2 };
		struct obuf full = OBUF_INIT;

		obuf_puts(out, "# Kubernetes-managed hosts file.\n"
			       "127.0.0.1\tlocalhost\n"
			       "::1\tlocalhost ip6-localhost ip6-loopback\n"
			       "fe00::\tip6-localnet\n"
			       "fe00::\tip6-mcastprefix\n"
			       "fe00::1\tip6-allnodes\n"
			       "fe00::2\tip6-allrouters\n");
		fqdn(w, &full);
		for (size_t i = 0; i < 2 && ips[i] && *ips[i]; i++) {
			obuf_printf(out, "%s\t%s%s", ips[i], obuf_cstr(&full), full.len ? "\t" : "");
			config_hostname(w, out);
			obuf_putc(out, '\n');
		}
		obuf_done(&full);
	}
	OJSON_FOREACH_ELEM(i, a, OJSON_AT(w->pod, "spec", "hostAliases")) {
		if (!i)
			obuf_puts(out, "\n# Entries added by HostAliases.\n");
		obuf_puts(out, ojson_get_cstr(a, "ip", ""));
		OJSON_FOREACH_ELEM(k, n, ojson_get(a, "hostnames"))
			obuf_printf(out, "\t%s", ojson_cstr(n, ""));
		obuf_putc(out, '\n');
	}
}

static void words(const struct ojson *list, const char *prefix, bool one_line, struct obuf *out)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		if (one_line)
			obuf_printf(out, "%s%s", i ? " " : prefix, ojson_cstr(e, ""));
		else
			obuf_printf(out, "%s%s\n", prefix, ojson_cstr(e, ""));
	}
}

/* The domains of the host's own resolv.conf: its last "search". */
static void host_searches(const char *file, struct obuf *out)
{
	const char *found = NULL;
	const char *p = file;

	while (p && *p) {
		if (!strncmp(p, "search", 6) && (p[6] == ' ' || p[6] == '\t'))
			found = p + 6;
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	while (found && *found && *found != '\n') {
		size_t n = strcspn(found, " \t\r\n");

		if (n && !(n == 1 && *found == '.'))
			obuf_printf(out, " %.*s", (int)n, found);
		found += n;
		found += strspn(found, " \t\r");
	}
}

void config_resolv(const struct config_world *w, const char *host_file, struct obuf *out)
{
	const struct ojson *spec = ojson_get(w->pod, "spec");
	const struct ojson *dns = ojson_get(spec, "dnsConfig");
	const char *policy = ojson_get_cstr(spec, "dnsPolicy", "ClusterFirst");
	bool host_net = spec_bool(w, "hostNetwork");
	bool cluster = *w->cluster_dns && ((!strcmp(policy, "ClusterFirst") && !host_net) ||
					   !strcmp(policy, "ClusterFirstWithHostNet"));
	const struct ojson *searches = ojson_get(dns, "searches");
	const struct ojson *options = ojson_get(dns, "options");

	if (cluster) {
		const char *ns = okube_meta(w->pod, "namespace");

		obuf_printf(out, "search %s.svc.%s svc.%s %s", ns, w->cluster_domain, w->cluster_domain,
			    w->cluster_domain);
		host_searches(host_file, out);
		OJSON_FOREACH_ELEM(i, e, searches)
			obuf_printf(out, " %s", ojson_cstr(e, ""));
		obuf_printf(out, "\nnameserver %s\n", w->cluster_dns);
		words(ojson_get(dns, "nameservers"), "nameserver ", false, out);
	} else {
		if (strcmp(policy, "None")) {
			obuf_puts(out, host_file ? host_file : "");
			if (out->len && out->data[out->len - 1] != '\n')
				obuf_putc(out, '\n');
		}
		words(ojson_get(dns, "nameservers"), "nameserver ", false, out);
		words(searches, "search ", true, out);
		if (ojson_count(searches))
			obuf_putc(out, '\n');
	}
	if (cluster || ojson_count(options)) {
		bool ndots = false;

		obuf_puts(out, "options");
		OJSON_FOREACH_ELEM(i, o, options) {
			const char *v = ojson_get_cstr(o, "value", NULL);
			const char *n = ojson_get_cstr(o, "name", "");

			ndots |= !strcmp(n, "ndots");
			obuf_printf(out, " %s%s%s", n, v ? ":" : "", v ? v : "");
		}
		obuf_puts(out, cluster && !ndots ? " ndots:5\n" : "\n");
	}
}

static void namespaces(const struct config_world *w, struct ojson *sc)
{
	struct ojson *o = ojson_ensure_object(sc, "namespaceOptions");

	(void)ojson_set_cstr(o, "network", spec_bool(w, "hostNetwork") ? "NODE" : "POD");
	(void)ojson_set_cstr(o, "pid", spec_bool(w, "hostPID") ? "NODE" :
			     spec_bool(w, "shareProcessNamespace") ? "POD" : "CONTAINER");
	(void)ojson_set_cstr(o, "ipc", spec_bool(w, "hostIPC") ? "NODE" : "POD");
	security_userns_put(w->pod, w->userns, o);
}

static void pod_labels(const struct config_world *w, struct ojson *labels)
{
	(void)ojson_set_cstr(labels, "io.kubernetes.pod.name", okube_meta(w->pod, "name"));
	(void)ojson_set_cstr(labels, "io.kubernetes.pod.namespace", okube_meta(w->pod, "namespace"));
	(void)ojson_set_cstr(labels, "io.kubernetes.pod.uid", w->uid);
}

struct ojson *config_sandbox(const struct config_world *w)
{
	const struct ojson *meta = ojson_get(w->pod, "metadata");
	const struct ojson *psc = OJSON_AT(w->pod, "spec", "securityContext");
	struct ojson *c = ojson_new_object();
	struct ojson *j;
	struct obuf b = OBUF_INIT;

	if (!c)
		return NULL;
	j = ojson_ensure_object(c, "metadata");
	(void)ojson_set_cstr(j, "name", okube_meta(w->pod, "name"));
	(void)ojson_set_cstr(j, "namespace", okube_meta(w->pod, "namespace"));
	(void)ojson_set_cstr(j, "uid", w->uid);
	(void)ojson_set_i64(j, "attempt", w->attempt);
	config_hostname(w, &b);
	(void)ojson_set_cstr(c, "hostname", obuf_cstr(&b));
	obuf_reset(&b);
	(void)ojson_set_cstr(c, "logDirectory", w->log_dir);
	j = ojson_ensure_object(c, "labels");
	OJSON_FOREACH(it, ojson_get(meta, "labels"))
		(void)ojson_set_n(j, it.key, it.key_len, ojson_ref(it.value));
	pod_labels(w, j);
	j = ojson_ensure_object(c, "annotations");
	OJSON_FOREACH(it, ojson_get(meta, "annotations"))
		if (!ostr_is(it.key, it.key_len, "kubectl.kubernetes.io/last-applied-configuration"))
			(void)ojson_set_n(j, it.key, it.key_len, ojson_ref(it.value));
	j = ojson_ensure_object(c, "linux");
	cgroup_parent(w->cgroup_root, w->pod, w->uid, &b);
	(void)ojson_set_cstr(j, "cgroupParent", obuf_cstr(&b));
	obuf_done(&b);
	OJSON_FOREACH_ELEM(i, s, ojson_get(psc, "sysctls")) {
		char name[256];

		security_sysctl_name(ojson_get_cstr(s, "name", ""), name, sizeof(name));
		(void)ojson_set_cstr(ojson_ensure_object(j, "sysctls"), name, ojson_get_cstr(s, "value", ""));
	}
	namespaces(w, ojson_ensure_object(j, "securityContext"));
	return c;
}

static void expanded(struct ojson *to, const char *key, const struct ojson *list, const struct ojson *env)
{
	struct ojson *out;

	if (!ojson_count(list))
		return;
	out = ojson_ensure_array(to, key);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes t = ojson_bytes(e);
		struct obuf b = OBUF_INIT;

		env_expand(t.p ? t.p : "", t.len, env, &b);
		(void)ojson_append(out, ojson_new_string(obuf_cstr(&b), b.len));
		obuf_done(&b);
	}
}

static void put_mounts(const struct config_world *w, struct ojson *c, const struct config_mount *m, uint32_t n)
{
	struct ojson *list = ojson_ensure_array(c, "mounts");
	uint32_t i;

	for (i = 0; i < n; i++) {
		struct ojson *j = ojson_new_object();

		(void)ojson_set_cstr(j, "containerPath", m[i].container_path);
		(void)ojson_set_cstr(j, "hostPath", m[i].host_path);
		(void)ojson_set_bool(j, "readonly", m[i].readonly);
		if (m[i].recursive_ro)
			(void)ojson_set_bool(j, "recursiveReadOnly", true);
		if (m[i].propagation)
			(void)ojson_set_cstr(j, "propagation", m[i].propagation);
		if (m[i].image)
			(void)ojson_set_cstr(ojson_ensure_object(j, "image"), "image", m[i].image);
		else
			security_map_mount(w->pod, w->userns, j);
		if (m[i].image_sub)
			(void)ojson_set_cstr(j, "imageSubPath", m[i].image_sub);
		(void)ojson_append(list, j);
	}
}

struct ojson *config_container(const struct config_world *w, const struct ojson *spec, const char *image,
			       const struct ojson *env, const struct config_mount *mounts, uint32_t n_mounts,
			       uint32_t attempt, uint32_t hash)
{
	const char *name = ojson_get_cstr(spec, "name", "");
	struct ojson *c = ojson_new_object();
	struct ojson *j;
	char text[32];
	struct obuf b = OBUF_INIT;

	if (!c)
		return NULL;
	j = ojson_ensure_object(c, "metadata");
	(void)ojson_set_cstr(j, "name", name);
	(void)ojson_set_i64(j, "attempt", attempt);
	j = ojson_ensure_object(c, "image");
	(void)ojson_set_cstr(j, "image", image);
	(void)ojson_set_cstr(j, "userSpecifiedImage", ojson_get_cstr(spec, "image", ""));
	expanded(c, "command", ojson_get(spec, "command"), env);
	expanded(c, "args", ojson_get(spec, "args"), env);
	if (*ojson_get_cstr(spec, "workingDir", ""))
		(void)ojson_set_cstr(c, "workingDir", ojson_get_cstr(spec, "workingDir", ""));
	(void)ojson_set(c, "envs", ojson_ref((struct ojson *)(uintptr_t)env));
	put_mounts(w, c, mounts, n_mounts);
	j = ojson_ensure_object(c, "labels");
	pod_labels(w, j);
	(void)ojson_set_cstr(j, "io.kubernetes.container.name", name);
	j = ojson_ensure_object(c, "annotations");
	snprintf(text, sizeof(text), "%x", hash);
	(void)ojson_set_cstr(j, "io.kubernetes.container.hash", text);
	snprintf(text, sizeof(text), "%u", attempt);
	(void)ojson_set_cstr(j, "io.kubernetes.container.restartCount", text);
	(void)ojson_set_cstr(j, "io.kubernetes.container.terminationMessagePath",
			     ojson_get_cstr(spec, "terminationMessagePath", "/dev/termination-log"));
	(void)ojson_set_cstr(j, "io.kubernetes.container.terminationMessagePolicy",
			     ojson_get_cstr(spec, "terminationMessagePolicy", "File"));
	snprintf(text, sizeof(text), "%lld",
		 (long long)ojson_get_i64(ojson_get(w->pod, "spec"), "terminationGracePeriodSeconds", 30));
	(void)ojson_set_cstr(j, "io.kubernetes.pod.terminationGracePeriod", text);
	obuf_printf(&b, "%s/%u.log", name, attempt);
	(void)ojson_set_cstr(c, "logPath", obuf_cstr(&b));
	obuf_done(&b);
	if (*ojson_get_cstr(ojson_get(spec, "lifecycle"), "stopSignal", ""))
		(void)ojson_set_cstr(c, "stopSignal", ojson_get_cstr(ojson_get(spec, "lifecycle"), "stopSignal", ""));
	(void)ojson_set_bool(c, "stdin", ojson_get_bool(spec, "stdin", false));
	(void)ojson_set_bool(c, "stdinOnce", ojson_get_bool(spec, "stdinOnce", false));
	(void)ojson_set_bool(c, "tty", ojson_get_bool(spec, "tty", false));
	j = ojson_ensure_object(c, "linux");
	(void)ojson_set(j, "resources", resources_linux(w->pod, spec, w->memory));
	namespaces(w, ojson_ensure_object(j, "securityContext"));
	if (w->target_id) {
		struct ojson *o = ojson_ensure_object(ojson_get(j, "securityContext"), "namespaceOptions");

		(void)ojson_set_cstr(o, "pid", "TARGET");
		(void)ojson_set_cstr(o, "targetId", w->target_id);
	}
	security_container(w->pod, spec, w->root ? w->root : "", ojson_ensure_object(j, "securityContext"));
	return c;
}
