/* rules.c - the packet rules: masquerading, and ports of this machine that lead to pods. */
#include "bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/omem.h"

/* A lease's ports as rules: one for each family that a port is of. At most twice as many. */
static uint32_t ports_put(const struct bridge *b, const struct lease *l, struct onl_port *out)
{
	static const int families[] = { AF_INET, AF_INET6 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->want.n_ports; i++)
		for (size_t k = 0; k < 2; k++) {
			const struct lease_port *p = &l->want.ports[i];
			struct onl_port *o = &out[n];

			if ((p->family && p->family != families[k]) || !(k ? b->leases.prefix6 : b->leases.prefix4))
				continue;
			memset(o, 0, sizeof(*o));
			o->proto = p->proto;
			o->port = p->port;
			o->to_port = p->to_port;
			o->to.family = families[k];
			if (k)
				o->to.v6 = lease_addr6(&b->leases, l->host);
			else
				o->to.v4 = lease_addr(&b->leases, l->host);
			if (p->by_host) {
				o->host.family = families[k];
				o->host.v6 = p->host;
			}
			n++;
		}
	return n;
}

static struct onl_port *ports_of(const struct bridge *b, const struct lease *l, uint32_t *ret_n)
{
	struct onl_port *ports = omem_zalloc_array(2 * (size_t)l->want.n_ports + 1, sizeof(*ports));

	*ret_n = ports ? ports_put(b, l, ports) : 0;
	return ports;
}

static int write_sysctl(const char *path, const char *value)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* What asks by the loopback (127.0.0.1:8080) leaves by the bridge. The table's guard keeps others from coming in so. */
static void localnet_on(struct bridge *b)
{
	char path[80];
	int e;

	if (b->route_localnet || !b->leases.prefix4)
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", b->name);
	e = write_sysctl(path, "1\n");
	b->route_localnet = !e;
	if (e)
		OLOG(b->h, WARN, "route_localnet", "errno=%d text=\"host ports cannot be reached by 127.0.0.1\"", -e);
}

static int table_make(struct bridge *b, struct onl *nf, struct orlop_error *err)
{
	struct onl_net net = { .table = b->table, .bridge = b->name, .masquerade = b->masquerade,
			       .net4 = lease_addr(&b->leases, 0), .prefix4 = b->leases.prefix4,
			       .net6 = b->leases.net6, .prefix6 = b->leases.prefix6 };
	struct onl_port *ports;
	size_t most = 1;
	uint32_t n = 0;
	int e;

	for (const struct lease *l = b->leases.first; l; l = l->next)
		most += 2 * (size_t)l->want.n_ports;
	ports = omem_zalloc_array(most, sizeof(*ports));
	if (!ports)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	for (const struct lease *l = b->leases.first; l; l = l->next)
		n += ports_put(b, l, ports + n);
	e = onl_nft_net(nf, &net, ports, n);
	omem_free(ports);
	if (n)
		localnet_on(b);
	/* a kernel without nf_tables is enough for who asks for nothing of it */
	if (e && !n && !b->masquerade) {
		OLOG(b->h, WARN, "no_rules", "bridge=%s errno=%d text=\"pods cannot have host ports\"", b->name, -e);
		return 0;
	}
	return e ? orlop_fail(err, -e, 0, "", "nf_tables: the rules of bridge %s: %s", b->name, strerrordesc_np(-e)) : 0;
}

int rules_ensure(struct bridge *b, bool anew, struct orlop_error *err)
{
	struct onl *nf;
	int e = onl_open(ONL_NETFILTER, &nf);

	if (e && !b->masquerade)
		return 0;	/* told when a pod wants a host port */
	if (e)
		return orlop_fail(err, -e, 0, "", "netfilter socket: %s", strerrordesc_np(-e));
	e = anew ? 0 : onl_nft_table_has(nf, b->table);
	if (e <= 0)
		e = table_make(b, nf, err);
	onl_close(nf);
	return e < 0 ? e : 0;
}

int rules_remove(struct bridge *b)
{
	struct onl *nf;
	int e = onl_open(ONL_NETFILTER, &nf);

	if (e)
		return e;
	e = onl_nft_table_del(nf, b->table);
	onl_close(nf);
	return e == -ENOENT ? 0 : e;
}

/* Flows that were led elsewhere, or to nobody, before these ports. */
static void flows_forget(struct onl *nf, const struct onl_port *ports, uint32_t n, bool gone)
{
	for (uint32_t i = 0; i < n; i++)
		if (ports[i].proto == IPPROTO_UDP)
			(void)onl_udp_forget(nf, ports[i].to.family, ports[i].port, gone ? &ports[i].to : NULL);
}

int rules_add(struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	struct onl_port *ports;
	struct onl *nf = NULL;
	uint32_t n;
	int e;

	if (!l->want.n_ports)
		return 0;
	ports = ports_of(b, l, &n);
	e = ports ? onl_open(ONL_NETFILTER, &nf) : -ENOMEM;
	if (!e)
		e = onl_nft_ports_add(nf, b->table, ports, n);
	if (e == -ENOENT || e == -EEXIST)
		/* somebody removed the table, or put something into it: it is what the leases say */
		e = table_make(b, nf, err);
	else if (e)
		orlop_fail(err, -e, 0, "", "nf_tables: host ports of %s: %s", l->id, strerrordesc_np(-e));
	if (!e) {
		localnet_on(b);
		flows_forget(nf, ports, n, false);
	}
	onl_close(nf);
	omem_free(ports);
	return e;
}

void rules_del(struct bridge *b, const struct lease *l)
{
	struct onl_port *ports;
	struct onl *nf = NULL;
	uint32_t n;

	if (!l->want.n_ports)
		return;
	ports = ports_of(b, l, &n);
	if (ports && !onl_open(ONL_NETFILTER, &nf)) {
		/* one of a time: whoever is not there does not keep the others */
		for (uint32_t i = 0; i < n; i++)
			if (onl_nft_port_has(nf, b->table, &ports[i]) == 1)
				(void)onl_nft_port_del(nf, b->table, &ports[i]);
		flows_forget(nf, ports, n, true);
	}
	onl_close(nf);
	omem_free(ports);
}

int rules_check(struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	struct onl_port *ports;
	struct onl *nf = NULL;
	uint32_t n;
	int e;

	if (!l->want.n_ports)
		return 0;
	ports = ports_of(b, l, &n);
	e = ports ? onl_open(ONL_NETFILTER, &nf) : -ENOMEM;
	for (uint32_t i = 0; i < n && !e; i++) {
		int has = onl_nft_port_has(nf, b->table, &ports[i]);

		e = has == 1 ? 0 : has ? has : -ENOENT;
		if (e)
			orlop_fail(err, -e, 0, "", "host port %u of %s leads nowhere", ports[i].port, l->id);
	}
	onl_close(nf);
	omem_free(ports);
	return e;
}
