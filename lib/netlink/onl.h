/*
 * onl - links, addresses, routes and a few packet rules by netlink, without starting a program.
 *
 * A socket speaks to the network namespace it was opened in; onl_open_netns() opens one inside
 * another. Every call is one request with its acknowledgement and may block for as long as the
 * kernel needs (well under a millisecond): call from a worker. A socket belongs to one thread at a
 * time. All return 0 or -errno of the kernel unless said.
 * Sources: rtnetlink(7), netlink(7), the kernel's uapi headers.
 */
#ifndef OLIB_NETLINK_ONL_H
#define OLIB_NETLINK_ONL_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct onl;

#define ONL_ROUTE	0	/* NETLINK_ROUTE */
#define ONL_NETFILTER	12	/* NETLINK_NETFILTER */

int onl_open(int protocol, struct onl **ret);
/*
 * Opens the socket inside the namespace at @path. The calling thread enters it and comes back; if
 * it cannot come back the process is told by -ENOTRECOVERABLE and must not use this thread again.
 */
int onl_open_netns(const char *path, int protocol, struct onl **ret);
void onl_close(struct onl *nl);		/* accepts NULL */

/* Interface index by name, or -ENODEV. */
int onl_link_index(struct onl *nl, const char *name);
int onl_bridge_add(struct onl *nl, const char *name, uint32_t mtu);
/*
 * A veth pair: @name here, as a port of bridge @master (0: none) in hairpin mode and up; @peer
 * with hardware address @mac inside the namespace @peer_netns_fd, down.
 */
int onl_veth_add(struct onl *nl, const char *name, int master, const char *peer,
		 const uint8_t mac[6], int peer_netns_fd, uint32_t mtu);
/* The bridge that the link is a port of (0: none), or -ENODEV. */
int onl_link_master(struct onl *nl, const char *name);
/* Make an existing link a port of bridge @master, in hairpin mode and up. */
int onl_link_join(struct onl *nl, int index, int master);
int onl_link_mac(struct onl *nl, int index, const uint8_t mac[6]);
int onl_link_mtu(struct onl *nl, int index, uint32_t *ret);
int onl_link_up(struct onl *nl, int index);
int onl_link_del(struct onl *nl, const char *name);
/* Put a link into group @group; delete all of a group (not 0) at once, which takes as long as to delete one. */
int onl_link_group(struct onl *nl, const char *name, uint32_t group);
int onl_group_del(struct onl *nl, uint32_t group);
int onl_link_hairpin(struct onl *nl, int index);

/* An IPv4 address with prefix length on a link; EEXIST counts as success. */
int onl_addr4_add(struct onl *nl, int index, struct in_addr addr, uint8_t prefix);
/* Does the link have this address? 1, 0, -errno. */
int onl_addr4_has(struct onl *nl, int index, struct in_addr addr);
/* The default route by @gateway; EEXIST counts as success. */
int onl_route4_default(struct onl *nl, int index, struct in_addr gateway);
/* The same for IPv6; addresses are used at once, without looking for another who has them. */
int onl_addr6_add(struct onl *nl, int index, const struct in6_addr *addr, uint8_t prefix);
int onl_addr6_has(struct onl *nl, int index, const struct in6_addr *addr);
int onl_route6_default(struct onl *nl, int index, const struct in6_addr *gateway);
/* First global IPv6 address of a link other than loopback, preferring the default route's; never fe80::/10. */
int onl_addr6_node(struct onl *nl, struct in6_addr *ret);
/* Index of the link of the IPv4 default route, 0: there is none. -errno. */
int onl_route4_link(struct onl *nl);
/* First global IPv4 address of a link that is up and not loopback, preferring the default route's. */
int onl_addr4_node(struct onl *nl, struct in_addr *ret);

/*
 * What goes out of a link is held to @rate bytes a second by a token bucket (tc-tbf(8)) of @burst bytes; what waits
 * longer than 25 ms is dropped. Replaces another rate.
 */
int onl_tbf_set(struct onl *nl, int index, uint64_t rate, uint32_t burst);
/* Is there one? 1, 0, -errno. */
int onl_tbf_has(struct onl *nl, int index);

/* A socket that hears when links come, change and go: non-blocking; onl_fd() is readable then. */
int onl_watch_links(struct onl **ret);
int onl_fd(const struct onl *nl);
/*
 * Everything that came: @gone is called with the name of each link that was removed. -ENOBUFS: some of
 * it was lost, look at all of them.
 */
int onl_watch_read(struct onl *nl, void (*gone)(void *arg, const char *name), void *arg);

/* ---- packet rules: nft.c --------------------------------------------------------------------- */

/* An IPv4 or IPv6 address. */
struct onl_ip {
	int		family;		/* AF_INET, AF_INET6; 0: none */
	union {
		struct in_addr	v4;
		struct in6_addr	v6;
	};
};

/* What comes for @port of an address of this machine goes to @to_port of @to. */
struct onl_port {
	uint8_t		proto;		/* IPPROTO_TCP, _UDP, _SCTP */
	uint16_t	port;		/* host order */
	struct onl_ip	host;		/* of @to's family, or none: any address of this machine */
	struct onl_ip	to;
	uint16_t	to_port;
};

struct onl_net {
	const char	*table;
	const char	*bridge;
	bool		masquerade;	/* what leaves the networks below for elsewhere gets this machine's address */
	struct in_addr	net4;
	uint8_t		prefix4;	/* 0: no IPv4 */
	struct in6_addr	net6;
	uint8_t		prefix6;	/* 0: no IPv6 */
};

/*
 * The table of family inet of a bridge network: masquerading, and maps from ports of this machine to pods;
 * made anew with @ports in one step, so that no packet meets half of it. See nft.c for its text.
 */
int onl_nft_net(struct onl *nl, const struct onl_net *net, const struct onl_port *ports, uint32_t n_ports);
/* Ports into such a table, all or none: -EEXIST if one leads elsewhere. */
int onl_nft_ports_add(struct onl *nl, const char *table, const struct onl_port *ports, uint32_t n_ports);
/* One port out of it; -ENOENT if it is not there. */
int onl_nft_port_del(struct onl *nl, const char *table, const struct onl_port *port);
/* Does it lead to @port->to? 1, 0, -errno. */
int onl_nft_port_has(struct onl *nl, const char *table, const struct onl_port *port);
/* Tables of that name of families inet and ip (an older version's). -ENOENT if there is none. */
int onl_nft_table_del(struct onl *nl, const char *table);
/* 1: there is such a table of family inet, 0: none. */
int onl_nft_table_has(struct onl *nl, const char *table);
/*
 * Forget UDP flows to @port of this machine (0: from or to @addr): they would go on to where they went before. NULL
 * @addr: any. 0 also where the kernel cannot tell flows.
 */
int onl_udp_forget(struct onl *nl, int family, uint16_t port, const struct onl_ip *addr);

#endif
