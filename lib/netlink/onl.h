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
int onl_link_up(struct onl *nl, int index);
int onl_link_del(struct onl *nl, const char *name);
int onl_link_hairpin(struct onl *nl, int index);

/* An IPv4 address with prefix length on a link; EEXIST counts as success. */
int onl_addr4_add(struct onl *nl, int index, struct in_addr addr, uint8_t prefix);
/* Does the link have this address? 1, 0, -errno. */
int onl_addr4_has(struct onl *nl, int index, struct in_addr addr);
/* The default route by @gateway; EEXIST counts as success. */
int onl_route4_default(struct onl *nl, int index, struct in_addr gateway);
/* First global IPv4 address of a link that is up and not loopback, preferring the default route's. */
int onl_addr4_node(struct onl *nl, struct in_addr *ret);

/*
 * One table "orlop-NAME" of family ip: masquerade what leaves @subnet/@prefix for elsewhere. Replaces
 * an earlier one atomically. onl_nft_table_del: -ENOENT if there is none.
 */
int onl_nft_masquerade(struct onl *nl, const char *table, struct in_addr subnet, uint8_t prefix);
int onl_nft_table_del(struct onl *nl, const char *table);
/* 1: there is such a table, 0: none. */
int onl_nft_table_has(struct onl *nl, const char *table);

#endif
