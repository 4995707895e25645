/*
 * conf.c - the configuration of a role, made of the settings: orlopd.conf(5). An all-in-one has every module but
 * uplink; who joins another API server has uplink instead of storage and apiserver, and what its roles ask for.
 *
 * Modules come in any order: needs and provides decide.
 */
#include "up.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"

/* Parameter values: what the % words stand for is in value(). */
struct conf_param {
	const char	*name;
	const char	*value;
};

struct conf_module {
	const char	*module;
	bool		must;		/* nothing works without it */
	const char	*role;		/* who has it when joined; "": nobody, "*": only who has joined */
	struct conf_param params[16];
};

static const struct conf_module list[] = {
	{ "storage/lmdb", true, "", { { "path", "\"%D/db/data.mdb\"" } } },
	{ "uplink", true, "*", { { "kubeconfig", "\"%J\"" } } },
	{ "apiserver", true, "", {
		{ "listen", "\"0.0.0.0:%P\"" },
		{ "advertise", "\"%I:%P\"" },
		{ "cert", "\"%D/pki/apiserver.crt\"" },
		{ "key", "\"%D/pki/apiserver.key\"" },
		{ "client_ca", "\"%D/pki/ca.crt\"" },
		{ "sa_key", "\"%D/pki/sa.key\"" },
		{ "service_cidr", "\"%S\"" },
		{ "kubelet_ca", "\"%D/pki/ca.crt\"" },
		{ "kubelet_cert", "\"%D/pki/apiserver-kubelet-client.crt\"" },
		{ "kubelet_key", "\"%D/pki/apiserver-kubelet-client.key\"" },
		{ "requestheader_ca", "\"%D/pki/front-proxy-ca.crt\"" },
		{ "proxy_client_cert", "\"%D/pki/front-proxy-client.crt\"" },
		{ "proxy_client_key", "\"%D/pki/front-proxy-client.key\"" },
	} },
	{ "scheduler/default", false, "scheduler", { { NULL, NULL } } },
	{ "controllers/namespace", false, "controllers", { { NULL, NULL } } },
	{ "controllers/garbage-collector", false, "controllers", { { NULL, NULL } } },
	{ "controllers/serviceaccount", false, "controllers", { { "ca_file", "\"%D/pki/%A\"" } } },
	{ "controllers/replicaset", false, "controllers", { { NULL, NULL } } },
	{ "controllers/deployment", false, "controllers", { { NULL, NULL } } },
	{ "controllers/node-lifecycle", false, "controllers", { { NULL, NULL } } },
	{ "controllers/taint-eviction", false, "controllers", { { NULL, NULL } } },
	{ "controllers/pod-garbage-collector", false, "controllers", { { NULL, NULL } } },
	{ "controllers/replicationcontroller", false, "controllers", { { NULL, NULL } } },
	{ "controllers/endpoints", false, "controllers", { { NULL, NULL } } },
	{ "controllers/endpointslice", false, "controllers", { { NULL, NULL } } },
	{ "controllers/disruption", false, "controllers", { { NULL, NULL } } },
	{ "controllers/resourcequota", false, "controllers", { { NULL, NULL } } },
	{ "controllers/pv-protection", false, "controllers", { { NULL, NULL } } },
	{ "controllers/pvc-protection", false, "controllers", { { NULL, NULL } } },
	{ "controllers/ephemeral-volume", false, "controllers", { { NULL, NULL } } },
	{ "controllers/certificate", false, "", {
		{ "ca_file", "\"%D/pki/ca.crt\"" },
		{ "ca_key_file", "\"%D/pki/ca.key\"" },
	} },
	{ "runtime/oci", false, "worker", {
		{ "root", "\"%D/runtime\"" },
		{ "unpack", "\"%U\"" },
	} },
	{ "cni/bridge", false, "worker", {
		{ "bridge", "\"%B\"" },
		{ "subnet", "\"%C\"" },
		{ "leases", "\"%D/cni\"" },
	} },
	{ "kubelet", false, "worker", {
		{ "node_name", "\"%N\"" },
		{ "node_ip", "\"%I\"" },
		{ "root", "\"%D/kubelet\"" },
		{ "log_dir", "\"%D/log/pods\"" },
		{ "static_pods", "\"%D/manifests\"" },
		{ "cgroup_root", "\"%G\"" },
		{ "listen", "\"0.0.0.0:%K\"" },
		{ "tls_cert", "\"%D/pki/kubelet.crt\"" },
		{ "tls_key", "\"%D/pki/kubelet.key\"" },
		{ "client_ca", "\"%D/pki/%A\"" },
	} },
};

static bool on_list(const char *p, const char *module)
{
	size_t len = strlen(module);

	while (p) {
		if (!strncmp(p, module, len) && (!p[len] || p[len] == ','))
			return true;
		p = strchr(p, ',');
		if (p)
			p++;
	}
	return false;
}

/* Is it for one of the roles, which are their names or those of modules? "controllers" means the scheduler too. */
static bool in_role(const struct setup *s, const struct conf_module *m)
{
	const char *role = s->role ? s->role : "worker";

	if (!s->join)
		return strcmp(m->role, "*") != 0;
	if (!m->role[0] || !strcmp(m->role, "*"))
		return m->role[0] != '\0';
	return on_list(role, m->role) || on_list(role, m->module) ||
	       (!strcmp(m->role, "scheduler") && on_list(role, "controllers"));
}

int conf_without(const struct setup *s, const char *module)
{
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(list[i].module, module) && !in_role(s, &list[i]))
			return 1;
	return on_list(s->without, module);
}

/* Every word of --role is a role or a module's name. */
static int check_role(const struct setup *s, struct orlop_error *err)
{
	const char *p = s->role;

	if (p && !s->join)
		return orlop_fail(err, EINVAL, 0, "", "--role is for who joins an API server; add --join KUBECONFIG");
	while (p) {
		int n = (int)strcspn(p, ",");
		bool known = false;

		for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
			const char *role = list[i].role;

			known = known || (isalpha((unsigned char)role[0]) &&
					  ((strlen(role) == (size_t)n && !memcmp(role, p, (size_t)n)) ||
					   (strlen(list[i].module) == (size_t)n && !memcmp(list[i].module, p, (size_t)n))));
		}
		if (!known)
			return orlop_fail(err, EINVAL, 0, "", "--role %.*s: want worker, controllers, scheduler or names of modules",
					  n > 60 ? 60 : n, p);
		p = p[n] ? p + n + 1 : NULL;
	}
	return 0;
}

/* Every name of --isolate is a module's. */
int conf_check(const struct setup *s, struct orlop_error *err)
{
	const char *p = s->isolate;
	int r = check_role(s, err);

	if (r)
		return r;
	while (p && strcmp(p, "all") != 0) {
		int n = (int)strcspn(p, ",");
		bool known = false;

		for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
			known = known || (strlen(list[i].module) == (size_t)n && !memcmp(list[i].module, p, (size_t)n));
		if (!known)
			return orlop_fail(err, EINVAL, 0, "", "--isolate: there is no module %.*s; `orlop module list` "
					  "names them, all means all", n > 60 ? 60 : n, p);
		p = p[n] ? p + n + 1 : NULL;
	}
	return 0;
}

static bool isolated(const struct setup *s, const char *module)
{
	return s->isolate && (!strcmp(s->isolate, "all") || on_list(s->isolate, module));
}

static void quoted(struct obuf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			obuf_putc(b, '\\');
		obuf_putc(b, *text);
	}
}

static void value(struct obuf *b, const struct setup *s, const struct place *p, const char *v)
{
	for (; *v; v++) {
		if (*v != '%') {
			obuf_putc(b, *v);
			continue;
		}
		switch (*++v) {
		case 'D': quoted(b, s->dir); break;
		case 'P': obuf_put_i64(b, s->port); break;
		case 'K': obuf_put_i64(b, s->kubelet_port); break;
		case 'I': quoted(b, s->node_ip); break;
		case 'N': quoted(b, s->node_name); break;
		case 'S': quoted(b, s->service_cidr); break;
		case 'C': quoted(b, s->pod_cidr); break;
		case 'B': quoted(b, s->bridge); break;
		case 'G': quoted(b, s->cgroup_root); break;
		case 'U': quoted(b, p->unpack); break;
		case 'J': quoted(b, s->join ? s->join : ""); break;
		case 'A': obuf_puts(b, s->join ? "cluster-ca.crt" : "ca.crt"); break;
		default: obuf_putc(b, *v);
		}
	}
}

static void put_module(struct obuf *b, const struct setup *s, const struct place *p, const struct conf_module *m,
		       bool first)
{
	const size_t n = sizeof(m->params) / sizeof(m->params[0]);

	obuf_printf(b, "%s\t{\n\t\tmodule = \"%s\";\n", first ? "" : ",\n", m->module);
	if (isolated(s, m->module))
		obuf_puts(b, "\t\tisolation = \"process\";\n");
	if (m->params[0].name) {
		obuf_puts(b, "\t\tparams = {\n");
		for (size_t i = 0; i < n && m->params[i].name; i++) {
			obuf_printf(b, "\t\t\t%s = ", m->params[i].name);
			value(b, s, p, m->params[i].value);
			obuf_puts(b, ";\n");
		}
		obuf_puts(b, "\t\t};\n");
	}
	obuf_puts(b, "\t}");
}

static void put_head(struct obuf *b, const struct setup *s, const struct place *p)
{
	obuf_puts(b, "# Made by orlop up, each time anew, from setup.json beside it. To change more than its options\n"
		  "# offer: orlop.conf(5), or a copy of this file and orlop up --config COPY.\n\n"
		  "data_dir = \"");
	quoted(b, s->dir);
	obuf_puts(b, "\";\ncontrol = \"");
	quoted(b, s->control);
	obuf_puts(b, "\";\nmodule_dir = \"");
	quoted(b, p->modules);
	obuf_printf(b, "\";\nlog_level = \"%s\";\n", s->log_level);
	if (s->bus_loss)
		obuf_printf(b, "bus = { loss_percent = %lld; };\n", (long long)s->bus_loss);
	obuf_puts(b, "modules = (\n");
}

int conf_write(const struct setup *s, const struct place *p, struct orlop_error *err)
{
	cleanup_free char *path = setup_path(s, "orlop.conf");
	cleanup_obuf struct obuf b = OBUF_INIT;
	bool first = true;
	int r;

	put_head(&b, s, p);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (conf_without(s, list[i].module))
			continue;
		if (!place_has_module(p, list[i].module)) {
			if (list[i].must)
				return orlop_fail(err, ENOENT, 0, "", "module %s is not in %s; this build cannot %s",
						  list[i].module, p->modules, s->join ? "join an API server" : "be an API server");
			fprintf(stderr, "orlop: going on without %s, which is not in this build\n", list[i].module);
			continue;
		}
		put_module(&b, s, p, &list[i], first);
		first = false;
	}
	obuf_puts(&b, "\n);\n");
	if (s->settings) {
		obuf_puts(&b, "@include \"");
		quoted(&b, s->settings);
		obuf_puts(&b, "\"\n");
	}
	r = path ? obuf_err(&b) : -ENOMEM;
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, path, b.data, b.len, 0600);
	return r ? orlop_fail(err, -r, 0, "", "%s/orlop.conf: %s", s->dir, strerrordesc_np(-r)) : 0;
}
