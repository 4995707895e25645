/* ports.c - the packet rules of a bridge network: made, made again, filled and emptied. */
#include "netlink/onl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/otap.h"

#define MANY	2000

static struct onl_ip ip(const char *text)
{
	struct onl_ip a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	inet_pton(a.family, text, &a.v6);
	return a;
}

int main(void)
{
	struct onl_net net = { .table = "orlop-t0", .bridge = "t0", .masquerade = true, .prefix4 = 24, .prefix6 = 64 };
	struct onl_port p[4] = {
		{ .proto = IPPROTO_TCP, .port = 8080, .to = ip("10.99.0.2"), .to_port = 80 },
		{ .proto = IPPROTO_UDP, .port = 8080, .host = ip("192.0.2.7"), .to = ip("10.99.0.2"), .to_port = 53 },
		{ .proto = IPPROTO_SCTP, .port = 8080, .to = ip("fd00:99::2"), .to_port = 80 },
		{ .proto = IPPROTO_TCP, .port = 8080, .host = ip("2001:db8::1"), .to = ip("fd00:99::2"), .to_port = 80 },
	};
	struct onl_port other = p[0];
	struct onl_port *many = calloc(MANY, sizeof(*many));
	struct onl *nf = NULL;

	if (unshare(CLONE_NEWNET))
		return otap_skip_all("needs to make namespaces (root)");
	net.net4 = ip("10.99.0.0").v4;
	net.net6 = ip("fd00:99::").v6;
	is_int(onl_open(ONL_NETFILTER, &nf), 0, "netfilter socket");
	is_int(onl_nft_table_has(nf, "orlop-t0"), 0, "no table");
	is_int(onl_nft_ports_add(nf, "orlop-t0", p, 4), -ENOENT, "ports need one");
	is_int(onl_nft_net(nf, &net, NULL, 0), 0, "made");
	is_int(onl_nft_table_has(nf, "orlop-t0"), 1, "is there");
	is_int(onl_nft_ports_add(nf, "orlop-t0", p, 4), 0, "ports of both families, with and without an address");
	is_int(onl_nft_ports_add(nf, "orlop-t0", p, 4), 0, "and again");
	for (int i = 0; i < 4; i++)
		is_int(onl_nft_port_has(nf, "orlop-t0", &p[i]), 1, "port %d is there", i);
	other.to = ip("10.99.0.3");
	is_int(onl_nft_ports_add(nf, "orlop-t0", &other, 1), -EEXIST, "a port leads to one pod");
	is_int(onl_nft_port_has(nf, "orlop-t0", &other), 0, "and not to another");
	is_int(onl_nft_port_del(nf, "orlop-t0", &p[0]), 0, "a port removed");
	is_int(onl_nft_port_del(nf, "orlop-t0", &p[0]), -ENOENT, "none left");
	is_int(onl_nft_port_has(nf, "orlop-t0", &p[0]), 0, "is gone");
	is_int(onl_nft_net(nf, &net, p, 1), 0, "all made anew, with one port");
	is_int(onl_nft_port_has(nf, "orlop-t0", &p[0]), 1, "it is there");
	is_int(onl_nft_port_has(nf, "orlop-t0", &p[1]), 0, "and no other");
	for (int i = 0; many && i < MANY; i++) {
		many[i] = p[2];
		many[i].port = (uint16_t)(10000 + i);
	}
	is_int(onl_nft_net(nf, &net, many, MANY), 0, "two thousand ports at once");
	is_int(onl_nft_port_has(nf, "orlop-t0", &many[MANY - 1]), 1, "the last is there");
	net.prefix4 = 0;
	is_int(onl_nft_net(nf, &net, NULL, 0), 0, "IPv6 only");
	net.prefix4 = 24;
	net.prefix6 = 0;
	is_int(onl_nft_net(nf, &net, NULL, 0), 0, "IPv4 only");
	is_int(onl_udp_forget(nf, AF_INET, 8080, NULL), 0, "no flows to forget");
	is_int(onl_udp_forget(nf, AF_INET6, 0, &p[2].to), 0, "nor of a pod");
	is_int(onl_nft_table_del(nf, "orlop-t0"), 0, "removed");
	is_int(onl_nft_table_del(nf, "orlop-t0"), -ENOENT, "none left");
	onl_close(nf);
	free(many);
	return done_testing();
}
