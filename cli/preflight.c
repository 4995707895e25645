/*
 * preflight.c - what must hold before `up` changes anything.
 */
#include "up.h"

#include "daemon.h"
#include "proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "kubeconfig/okubeconfig.h"

#define ENDING_MS	500

/* Bound to port @port of every address; the caller closes. */
static int port_bind(int64_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	/* As the daemon will: connections that linger from an earlier life do not count. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 1) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int port_free(int64_t port)
{
	cleanup_close int fd = port_bind(port);

	return fd != -EADDRINUSE;
}

int port_choose(int64_t *ret)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	cleanup_close int fd = port_bind(0);

	if (fd < 0)
		return fd;
	if (getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		return -errno;
	*ret = ntohs(sin.sin_port);
	return 0;
}

static int program(const char *name, const char *other, const char *what, struct orlop_error *err)
{
	cleanup_free char *path = place_program(name);
	cleanup_free char *second = other ? place_program(other) : NULL;

	if (path || second)
		return 0;
	return orlop_fail(err, ENOENT, 0, "", "%s%s%s is not installed (%s); on Debian: apt-get install %s", name,
			  other ? " or " : "", other ? other : "", what, name);
}

static int programs(const struct setup *s, struct orlop_error *err)
{
	int r = 0;

	if (s->config || conf_without(s, "runtime/oci"))
		return 0;
	r = program("conmon", NULL, "it watches over containers", err);
	if (r == 0)
		r = program("crun", "runc", "they start containers", err);
	if (r == 0)
		r = program("skopeo", NULL, "it brings images in", err);
	return r;
}

static int ports(const struct setup *s, struct orlop_error *err)
{
	if (!s->join && (s->port < 1 || s->port > 65535))
		return orlop_fail(err, EINVAL, 0, "", "--port %lld: a port is 1 to 65535, or 0 for any", (long long)s->port);
	if (s->kubelet_port < 1 || s->kubelet_port > 65535)
		return orlop_fail(err, EINVAL, 0, "", "--kubelet-port %lld: a port is 1 to 65535, or 0 for any",
				  (long long)s->kubelet_port);
	if (!s->join && s->port == s->kubelet_port)
		return orlop_fail(err, EINVAL, 0, "", "--port and --kubelet-port are both %lld", (long long)s->port);
	if (!s->join && !port_free(s->port))
		return orlop_fail(err, EADDRINUSE, 0, "", "port %lld is taken by another program; choose one by --port "
				  "(0: any that is free)", (long long)s->port);
	if (!conf_without(s, "kubelet") && !port_free(s->kubelet_port))
		return orlop_fail(err, EADDRINUSE, 0, "", "port %lld is taken by another program; choose one by "
				  "--kubelet-port (0: any that is free)", (long long)s->kubelet_port);
	return 0;
}

static int networks(const struct setup *s, struct orlop_error *err)
{
	struct in_addr addr;
	struct nets nets;
	uint32_t net;
	uint32_t prefix;
	char link[IFNAMSIZ];
	int r = pod_nets(s, &nets, err);

	if (r)
		return r;
	if (cidr_parse(s->service_cidr, &net, &prefix))
		return orlop_fail(err, EINVAL, 0, "", "--service-cidr %s: want an IPv4 network of /8 to /30 like 10.96.0.0/16",
				  s->service_cidr);
	if (inet_pton(AF_INET, s->node_ip, &addr) != 1)
		return orlop_fail(err, EINVAL, 0, "", "--node-ip %s: not an IPv4 address", s->node_ip);
	if (!conf_without(s, "cni/bridge") && nets_taken(s->pod_cidr, s->bridge, link))
		return orlop_fail(err, EADDRINUSE, 0, "", "pod network %s overlaps with the addresses of link %s; "
				  "choose another by --pod-cidr", s->pod_cidr, link);
	return 0;
}

/* One that was killed a moment ago still holds its lock while the kernel takes it down. */
static bool daemon_ending(pid_t pid)
{
	cleanup_close int fd = proc_open(pid, 0);

	return fd < 0 || proc_wait(fd, ENDING_MS) == 0;
}

static int directory(const struct setup *s, struct orlop_error *err)
{
	struct stat st;
	pid_t pid;

	if (stat(s->dir, &st) == 0 && !S_ISDIR(st.st_mode))
		return orlop_fail(err, ENOTDIR, 0, "", "data directory %s is a file; choose another by --data-dir", s->dir);
	pid = daemon_pid(s);
	if (pid > 0 && daemon_ending(pid))
		pid = daemon_pid(s);
	if (pid > 0)
		return orlop_fail(err, EBUSY, 0, "", "orlopd (pid %ld) runs on %s already; end it by orlop down%s%s",
				  (long)pid, s->dir, s->usual ? "" : " --data-dir ", s->usual ? "" : s->dir);
	return pid < 0 ? orlop_fail(err, -pid, 0, "", "%s/lock: %s", s->dir, strerrordesc_np(-pid)) : 0;
}

/* What can be said of the API server to join without asking it. */
static int joined(const struct setup *s, struct orlop_error *err)
{
	struct okubeconfig k = { .addr = NULL };
	int r = s->join ? okubeconfig_load(s->join, NULL, &k, err) : 0;

	if (r == 0 && s->join && k.tls && !k.insecure && !k.ca_pem && access(k.ca_path, R_OK))
		r = orlop_fail(err, errno, 0, "", "kubeconfig %s: certificate-authority %s: %s", s->join, k.ca_path,
			       strerrordesc_np(errno));
	okubeconfig_done(&k);
	return r;
}

int preflight(const struct setup *s, const struct place *p, struct orlop_error *err)
{
	int r = directory(s, err);

	(void)p;
	if (r == 0 && !s->config)
		r = joined(s, err);
	if (r == 0 && !s->config)
		r = networks(s, err);
	if (r == 0)
		r = programs(s, err);
	if (r == 0 && !s->config)
		r = ports(s, err);
	return r;
}
