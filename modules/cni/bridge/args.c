/* args.c - what the caller says of the pod besides its sandbox: CNI's runtime configuration as JSON. */
#include "bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "json/ojson.h"

#define PORTS_MAX	1024u

static int port_read(const struct ojson *j, struct lease_port *p, struct orlop_error *err)
{
	const char *proto = ojson_get_cstr(j, "protocol", "TCP");
	const char *host = ojson_get_cstr(j, "hostIP", "");
	int64_t port = ojson_get_i64(j, "hostPort", 0);
	int64_t to = ojson_get_i64(j, "containerPort", 0);

	memset(p, 0, sizeof(*p));
	p->proto = !strcasecmp(proto, "tcp") ? IPPROTO_TCP : !strcasecmp(proto, "udp") ? IPPROTO_UDP
		   : !strcasecmp(proto, "sctp") ? IPPROTO_SCTP : 0;
	if (!p->proto)
		return orlop_fail(err, EINVAL, 0, "", "cni: hostPorts: unknown protocol \"%.20s\"", proto);
	if (port < 1 || port > 65535 || to < 1 || to > 65535)
		return orlop_fail(err, EINVAL, 0, "", "cni: hostPorts: %lld to %lld: a port is a number from 1 to 65535",
				  (long long)port, (long long)to);
	p->port = (uint16_t)port;
	p->to_port = (uint16_t)to;
	if (!*host)
		return 0;
	p->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(p->family, host, &p->host) != 1)
		return orlop_fail(err, EINVAL, 0, "", "cni: hostPorts: hostIP \"%.60s\" is not an address", host);
	p->by_host = !IN6_IS_ADDR_UNSPECIFIED(&p->host);
	return 0;
}

static int ports_read(const struct ojson *list, struct lease_want *w, struct orlop_error *err)
{
	size_t n = ojson_count(list);

	if (!n)
		return 0;
	if (n > PORTS_MAX)
		return orlop_fail(err, E2BIG, 0, "", "cni: %zu hostPorts, at most %u", n, PORTS_MAX);
	w->ports = omem_zalloc_array(n, sizeof(*w->ports));
	if (!w->ports)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	OJSON_FOREACH_ELEM(i, port, list) {
		int e = port_read(port, &w->ports[w->n_ports], err);

		if (e)
			return e;
		w->n_ports++;
	}
	return 0;
}

/* A name that goes into one line of a file. */
static bool plain(const char *s)
{
	return !s[strcspn(s, "\n\r")];
}

int want_read(struct orlop_bytes text, struct lease_want *w, struct orlop_error *err)
{
	cleanup_ojson struct ojson *args = NULL;
	const struct ojson *bandwidth;
	const char *ns;
	const char *name;
	int64_t in;
	int64_t out;
	int e;

	if (!text.len)
		return 0;
	if (ojson_parse(text.p, text.len, &args, NULL))
		return orlop_fail(err, EINVAL, 0, "", "cni: ARGS is not JSON");
	ns = ojson_get_cstr(args, "namespace", "");
	name = ojson_get_cstr(args, "name", "");
	if (*name && plain(ns) && plain(name)) {
		w->pod = omem_printf("%s/%s", ns, name);
		if (!w->pod)
			return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	bandwidth = ojson_get(args, "bandwidth");
	in = ojson_get_i64(bandwidth, "ingressRate", 0);
	out = ojson_get_i64(bandwidth, "egressRate", 0);
	if (in < 0 || out < 0)
		return orlop_fail(err, EINVAL, 0, "", "cni: bandwidth: a rate is not negative");
	w->in_rate = (uint64_t)in;
	w->out_rate = (uint64_t)out;
	e = ports_read(ojson_get(args, "hostPorts"), w, err);
	return e;
}
