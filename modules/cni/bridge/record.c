/*
 * record.c - what is written down of a lease, and who has which port of this machine. See lease.h.
 *
 * A lease's file: the offset, then a line for each thing that it takes to make the network again.
 *
 *	7
 *	pod default/web
 *	netns /run/…
 *	ifname eth0
 *	rate 1000000 0
 *	port tcp 8080 80 *
 *
 * An older version wrote the offset alone; unknown lines are left alone, for a newer one.
 */
#include "lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

static const struct {
	const char	*name;
	uint8_t		proto;
} protos[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP } };

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_UDP ? "udp" : proto == IPPROTO_SCTP ? "sctp" : "tcp";
}

void want_done(struct lease_want *w)
{
	omem_free(w->pod);
	omem_free(w->netns);
	omem_free(w->ports);
	memset(w, 0, sizeof(*w));
}

/* "*": any of both families, "0.0.0.0" and "::" any of one */
static void host_text(const struct lease_port *p, char out[INET6_ADDRSTRLEN])
{
	if (!p->family)
		strcpy(out, "*");
	else
		inet_ntop(p->family, &p->host, out, INET6_ADDRSTRLEN);
}

void lease_port_text(const struct lease_port *p, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	host_text(p, host);
	snprintf(out, size, p->family == AF_INET6 ? "%s [%s]:%u" : "%s %s:%u", proto_name(p->proto),
		 p->family ? host : "0.0.0.0", p->port);
}

void lease_text(const struct lease *l, struct obuf *out)
{
	char host[INET6_ADDRSTRLEN];

	obuf_printf(out, "%u\n", l->host);
	if (l->want.pod)
		obuf_printf(out, "pod %s\n", l->want.pod);
	if (l->want.netns)
		obuf_printf(out, "netns %s\n", l->want.netns);
	if (l->want.ifname[0])
		obuf_printf(out, "ifname %s\n", l->want.ifname);
	if (l->want.in_rate || l->want.out_rate)
		obuf_printf(out, "rate %llu %llu\n", (unsigned long long)l->want.in_rate,
			    (unsigned long long)l->want.out_rate);
	for (uint32_t i = 0; i < l->want.n_ports; i++) {
		const struct lease_port *p = &l->want.ports[i];

		host_text(p, host);
		obuf_printf(out, "port %s %u %u %s\n", proto_name(p->proto), p->port, p->to_port, host);
	}
}

static int port_parse(char *rest, struct lease_port *p)
{
	char *save = NULL;
	const char *proto = strtok_r(rest, " ", &save);
	const char *port = strtok_r(NULL, " ", &save);
	const char *to = strtok_r(NULL, " ", &save);
	const char *host = strtok_r(NULL, " ", &save);
	unsigned long n = port ? strtoul(port, NULL, 10) : 0;
	unsigned long n_to = to ? strtoul(to, NULL, 10) : 0;

	memset(p, 0, sizeof(*p));
	for (size_t i = 0; proto && i < sizeof(protos) / sizeof(protos[0]); i++)
		if (!strcmp(proto, protos[i].name))
			p->proto = protos[i].proto;
	if (!p->proto || !host || !n || n > 65535 || !n_to || n_to > 65535)
		return -EINVAL;
	p->port = (uint16_t)n;
	p->to_port = (uint16_t)n_to;
	if (!strcmp(host, "*"))
		return 0;
	p->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(p->family, host, &p->host) != 1)
		return -EINVAL;
	p->by_host = !IN6_IS_ADDR_UNSPECIFIED(&p->host);
	return 0;
}

static int line_parse(char *line, struct lease_want *w)
{
	char *rest = strchr(line, ' ');
	struct lease_port *more;
	char *end;

	if (!rest)
		return 0;
	*rest++ = '\0';
	if (!strcmp(line, "pod") || !strcmp(line, "netns")) {
		char **to = line[0] == 'p' ? &w->pod : &w->netns;

		omem_free(*to);
		*to = omem_strdup(rest);
		return *to ? 0 : -ENOMEM;
	}
	if (!strcmp(line, "ifname")) {
		if (strlen(rest) >= sizeof(w->ifname))
			return -EINVAL;
		strcpy(w->ifname, rest);
		return 0;
	}
	if (!strcmp(line, "rate")) {
		w->in_rate = strtoull(rest, &end, 10);
		w->out_rate = strtoull(end, &end, 10);
		return *end ? -EINVAL : 0;
	}
	if (strcmp(line, "port") != 0)
		return 0;
	more = omem_realloc_array(w->ports, w->n_ports + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->ports = more;
	return port_parse(rest, &w->ports[w->n_ports]) ? -EINVAL : (w->n_ports++, 0);
}

int lease_parse(const char *text, uint32_t *ret_host, struct lease_want *ret)
{
	char *copy = omem_strdup(text);
	char *save = NULL;
	char *end;
	unsigned long host;
	int e = copy ? 0 : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	host = strtoul(text, &end, 10);
	if (!e && (end == text || *end != '\n' || host > UINT32_MAX || text[strlen(text) - 1] != '\n'))
		e = -EINVAL;
	if (!e) {
		char *line = strtok_r(copy, "\n", &save);

		while (!e && (line = strtok_r(NULL, "\n", &save)))
			e = line_parse(line, ret);
	}
	omem_free(copy);
	if (e)
		want_done(ret);
	*ret_host = e ? 0 : (uint32_t)host;
	return e;
}

static bool same_port(const struct lease_port *a, const struct lease_port *b)
{
	if (a->proto != b->proto || a->port != b->port || (a->family && b->family && a->family != b->family))
		return false;
	return !a->by_host || !b->by_host || IN6_ARE_ADDR_EQUAL(&a->host, &b->host);
}

struct lease *lease_conflict(const struct leases *l, const struct lease *self, const struct lease_want *w,
			     const struct lease_port **ret_port)
{
	for (uint32_t i = 0; i < w->n_ports; i++)
		for (struct lease *o = l->first; o; o = o->next)
			for (uint32_t k = 0; o != self && k < o->want.n_ports; k++)
				if (same_port(&w->ports[i], &o->want.ports[k])) {
					*ret_port = &w->ports[i];
					return o;
				}
	return NULL;
}
