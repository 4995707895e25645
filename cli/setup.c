/*
 * setup.c - what a data directory was set up with.
 */
#include "setup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/ohash.h"
#include "json/ojson.h"
#include "netlink/onl.h"

#define DIR_MAX		90	/* a socket's path has 108 bytes */

/* Which member of setup.json belongs where. */
static const struct {
	const char	*key;
	size_t		at;
} texts[] = {
	{ "config", offsetof(struct setup, config) },
	{ "settings", offsetof(struct setup, settings) },
	{ "control", offsetof(struct setup, control) },
	{ "nodeName", offsetof(struct setup, node_name) },
	{ "nodeIP", offsetof(struct setup, node_ip) },
	{ "fixedIP", offsetof(struct setup, fixed_ip) },
	{ "podCIDR", offsetof(struct setup, pod_cidr) },
	{ "serviceCIDR", offsetof(struct setup, service_cidr) },
	{ "cgroupRoot", offsetof(struct setup, cgroup_root) },
	{ "bridge", offsetof(struct setup, bridge) },
	{ "without", offsetof(struct setup, without) },
	{ "join", offsetof(struct setup, join) },
	{ "role", offsetof(struct setup, role) },
	{ "isolate", offsetof(struct setup, isolate) },
	{ "logLevel", offsetof(struct setup, log_level) },
};

#define N_TEXTS		(sizeof(texts) / sizeof(texts[0]))

static char **text_at(struct setup *s, size_t i)
{
	return (char **)(void *)((char *)s + texts[i].at);
}

int setup_text(char **to, const char *value)
{
	char *copy = omem_strdup(value);

	if (value && !copy)
		return -ENOMEM;
	omem_free(*to);
	*to = copy;
	return 0;
}

char *setup_path(const struct setup *s, const char *name)
{
	return omem_printf("%s/%s", s->dir, name);
}

/* An absolute path without links as far as it exists, so that one place has one name. */
static int real_dir(const char *dir, char **ret, struct orlop_error *err)
{
	char full[PATH_MAX];
	char real[PATH_MAX];
	char cwd[PATH_MAX] = "";
	size_t n;

	if (dir[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return orlop_fail(err, errno, 0, "", "data directory %s: %s", dir, strerrordesc_np(errno));
	if ((size_t)snprintf(full, sizeof(full), "%s%s%s", cwd, cwd[0] ? "/" : "", dir) >= sizeof(full))
		return orlop_fail(err, ENAMETOOLONG, 0, "", "data directory %.60s…: the path is too long", dir);
	for (n = strlen(full); n > 1 && full[n - 1] == '/'; n--)
		full[n - 1] = '\0';
	if (realpath(full, real)) {
		*ret = omem_strdup(real);
	} else {
		/* Not there yet: resolve the part that is. */
		char *slash = strrchr(full, '/');
		char rest[NAME_MAX + 2];

		snprintf(rest, sizeof(rest), "/%s", slash + 1);
		*slash = '\0';
		if (!strcmp(rest, "/.") || !strcmp(rest, "/.."))
			return orlop_fail(err, EINVAL, 0, "", "data directory %s: not a usable path", dir);
		if (realpath(full[0] ? full : "/", real))
			*ret = omem_printf("%s%s", strcmp(real, "/") ? real : "", rest);
		else
			*ret = omem_printf("%s%s", full, rest);
	}
	if (!*ret)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (strlen(*ret) > DIR_MAX)
		return orlop_fail(err, ENAMETOOLONG, 0, "", "data directory %.40s…: longer than %d characters; "
				  "choose a shorter path", *ret, DIR_MAX);
	if (!strcmp(*ret, "/"))
		return orlop_fail(err, EINVAL, 0, "", "data directory /: give it a directory of its own");
	return 0;
}

static char *host_name(void)
{
	struct utsname u;
	char *name;

	if (uname(&u) < 0 || !u.nodename[0])
		return omem_strdup("node");
	name = omem_strdup(u.nodename);
	/* A node's name is a DNS subdomain. */
	for (char *p = name; p && *p; p++)
		*p = isalnum((unsigned char)*p) || *p == '.' ? (char)tolower((unsigned char)*p) : '-';
	return name;
}

static int defaults(struct setup *s)
{
	char hash[8];

	snprintf(hash, sizeof(hash), "%06llx",
		 (unsigned long long)(ohash_fnv1a64(OHASH_FNV64_INIT, s->dir, strlen(s->dir)) & 0xffffff));
	s->port = 6443;
	s->kubelet_port = 10250;
	s->control = setup_path(s, "orlop.sock");
	s->node_name = host_name();
	s->service_cidr = omem_strdup("10.96.0.0/16");
	s->log_level = omem_strdup("info");
	s->cgroup_root = s->usual ? omem_strdup("kubepods") : omem_printf("kubepods-%s", hash);
	s->bridge = s->usual ? omem_strdup("orlop0") : omem_printf("orl-%s", hash);
	return s->control && s->node_name && s->service_cidr && s->log_level && s->cgroup_root && s->bridge ? 0 : -ENOMEM;
}

static int load(struct setup *s, struct orlop_error *err)
{
	cleanup_free char *path = setup_path(s, "setup.json");
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *j = NULL;
	int r = path ? ofile_read(AT_FDCWD, path, 65536, &b) : -ENOMEM;

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == -EACCES)
		return orlop_fail(err, EACCES, 0, "", "%s: permission denied; run it as root", path);
	if (r == 0)
		r = ojson_parse(b.data, b.len, &j, NULL);
	if (r)
		return orlop_fail(err, -r, 0, "", "%s cannot be read (%s); remove the file to set it up anew", path,
				  strerrordesc_np(-r));
	for (size_t i = 0; i < N_TEXTS && r == 0; i++)
		if (ojson_has(j, texts[i].key))
			r = setup_text(text_at(s, i), ojson_get_cstr(j, texts[i].key, NULL));
	s->port = ojson_get_i64(j, "port", s->port);
	s->kubelet_port = ojson_get_i64(j, "kubeletPort", s->kubelet_port);
	s->bus_loss = ojson_get_i64(j, "busLoss", s->bus_loss);
	s->made = true;
	return r ? orlop_fail(err, -r, 0, "", "out of memory") : 0;
}

int setup_open(const char *dir, struct setup *ret, struct orlop_error *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = real_dir(dir ? dir : ORLOP_STATE_DIR, &ret->dir, err);
	if (r)
		return r;
	ret->usual = !strcmp(ret->dir, ORLOP_STATE_DIR);
	if (defaults(ret))
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	return load(ret, err);
}

int setup_save(const struct setup *s, struct orlop_error *err)
{
	cleanup_free char *path = setup_path(s, "setup.json");
	cleanup_ojson struct ojson *j = ojson_new_object();
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct setup *w = (struct setup *)(uintptr_t)s;		/* text_at() serves reading too */
	int r = path && j ? 0 : -ENOMEM;

	for (size_t i = 0; i < N_TEXTS && r == 0; i++)
		if (*text_at(w, i))
			r = ojson_set_cstr(j, texts[i].key, *text_at(w, i));
	if (r == 0)
		r = ojson_set_i64(j, "port", s->port);
	if (r == 0)
		r = ojson_set_i64(j, "kubeletPort", s->kubelet_port);
	if (r == 0 && s->bus_loss)
		r = ojson_set_i64(j, "busLoss", s->bus_loss);
	if (r == 0)
		r = ojson_write(j, OJSON_PRETTY, &b);
	obuf_putc(&b, '\n');
	if (r == 0)
		r = obuf_err(&b);
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, path, b.data, b.len, 0600);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", path, strerrordesc_np(-r)) : 0;
}

void setup_done(struct setup *s)
{
	omem_free(s->dir);
	for (size_t i = 0; i < N_TEXTS; i++)
		omem_free(*text_at(s, i));
	memset(s, 0, sizeof(*s));
}

/* NAME = "VALUE" at the start of a line; the caller frees. */
static char *config_text(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		const char *q = p + strspn(p, " \t");
		const char *end;

		if (strncmp(q, name, len))
			continue;
		q += len;
		q += strspn(q, " \t");
		if (*q != '=' && *q != ':')
			continue;
		q++;
		q += strspn(q, " \t");
		end = *q == '"' ? strchr(q + 1, '"') : NULL;
		if (end)
			return omem_strndup(q + 1, (size_t)(end - q - 1));
	}
	return NULL;
}

int setup_from_config(struct setup *s, const char *file, bool dir_given, struct orlop_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_free char *dir = NULL;
	cleanup_free char *control = NULL;
	cleanup_free char *full = realpath(file, NULL);
	int r;

	if (!full)
		return orlop_fail(err, errno, 0, "", "configuration %s: %s", file, strerrordesc_np(errno));
	r = ofile_read(AT_FDCWD, full, 1u << 20, &b);
	if (r)
		return orlop_fail(err, -r, 0, "", "configuration %s: %s", file, strerrordesc_np(-r));
	dir = config_text(obuf_cstr(&b), "data_dir");
	control = config_text(obuf_cstr(&b), "control");
	if (!dir)
		return orlop_fail(err, EINVAL, 0, "", "configuration %s: data_dir = \"…\" is missing", file);
	if (dir_given && strcmp(dir, s->dir))
		return orlop_fail(err, EINVAL, 0, "", "configuration %s says data_dir = \"%s\", --data-dir says %s; "
				  "leave one of them out", file, dir, s->dir);
	if (!dir_given) {
		setup_done(s);
		r = setup_open(dir, s, err);
		if (r)
			return r;
	}
	r = setup_text(&s->config, full);
	if (r == 0 && control)
		r = setup_text(&s->control, control);
	return r ? orlop_fail(err, ENOMEM, 0, "", "out of memory") : 0;
}

/* ---- networks --------------------------------------------------------------------------------- */

int cidr_parse(const char *text, uint32_t *ret_net, uint32_t *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char addr[INET_ADDRSTRLEN];
	struct in_addr in;
	char *rest;
	unsigned long n;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	n = strtoul(slash + 1, &rest, 10);
	if (inet_pton(AF_INET, addr, &in) != 1 || *rest || rest == slash + 1 || n < 8 || n > 30 ||
	    (ntohl(in.s_addr) & (0xffffffffu >> n)))
		return -EINVAL;
	*ret_net = ntohl(in.s_addr);
	*ret_prefix = (uint32_t)n;
	return 0;
}

int cidr_taken(const char *cidr, const char *own, char *link)
{
	struct ifaddrs *list;
	uint32_t net;
	uint32_t prefix;
	int taken = 0;

	if (cidr_parse(cidr, &net, &prefix) || getifaddrs(&list) < 0)
		return 0;
	for (struct ifaddrs *a = list; a && !taken; a = a->ifa_next) {
		uint32_t addr;
		uint32_t mask;

		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || !strcmp(a->ifa_name, own))
			continue;
		addr = ntohl(((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr.s_addr);
		mask = a->ifa_netmask ? ntohl(((struct sockaddr_in *)(void *)a->ifa_netmask)->sin_addr.s_addr) : 0xffffffffu;
		/* The wider of both decides whether they overlap. */
		mask &= 0xffffffffu << (32 - prefix);
		if ((addr & mask) == (net & mask)) {
			snprintf(link, IFNAMSIZ, "%s", a->ifa_name);
			taken = 1;
		}
	}
	freeifaddrs(list);
	return taken;
}

int cidr_choose(const char *own, char **ret)
{
	char cidr[32];
	char link[IFNAMSIZ];

	for (int i = 0; i < 256; i++) {
		snprintf(cidr, sizeof(cidr), "10.244.%d.0/24", i);
		if (!cidr_taken(cidr, own, link))
			return setup_text(ret, cidr);
	}
	return -EADDRNOTAVAIL;
}

int pod_nets(const struct setup *s, struct nets *ret, struct orlop_error *err)
{
	if (nets_parse(s->pod_cidr, ret))
		return orlop_fail(err, EINVAL, 0, "", "--pod-cidr %s: want an IPv4 network of /8 to /30 like 10.244.0.0/24, "
				  "an IPv6 network of /16 to /126 like fd00:10:244::/64, or both with a comma", s->pod_cidr);
	return 0;
}

int node_ip_choose(const struct setup *s, char **ret, struct orlop_error *err)
{
	struct onl *nl = NULL;
	struct in_addr addr;
	char text[INET_ADDRSTRLEN];
	struct nets nets;
	int r = onl_open(ONL_ROUTE, &nl);

	if (r == 0)
		r = onl_addr4_node(nl, &addr);
	onl_close(nl);
	if (r < 0) {
		/* A machine without a network: pods reach it at their gateway. */
		r = pod_nets(s, &nets, err);
		if (r)
			return r;
		if (!nets.prefix4)
			return orlop_fail(err, EADDRNOTAVAIL, 0, "", "this machine has no IPv4 address; choose one by --node-ip");
		addr.s_addr = htonl(nets.net4 + 1);
	}
	if (!inet_ntop(AF_INET, &addr, text, sizeof(text)))
		return orlop_fail(err, errno, 0, "", "address of this machine: %s", strerrordesc_np(errno));
	r = setup_text(ret, text);
	return r ? orlop_fail(err, -r, 0, "", "settings: %s", strerrordesc_np(-r)) : 0;
}
