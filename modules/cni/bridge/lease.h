/*
 * lease.h - which address belongs to which pod: pure bookkeeping, no files, no network.
 *
 * A lease is an offset that counts in the pool of each family: with 10.244.0.0/24 and fd00::/64, offset 7 is
 * 10.244.0.7 and fd00::7. Offsets are handed out round robin, so that one just freed is the last to be given
 * again. Not thread-safe: the caller holds the lock.
 */
#ifndef CNI_BRIDGE_LEASE_H
#define CNI_BRIDGE_LEASE_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/obuf.h"

#define LEASE_ID_MAX	128u

/* A port of this machine that leads to one of the pod. */
struct lease_port {
	uint8_t		proto;		/* IPPROTO_TCP, _UDP, _SCTP */
	uint8_t		family;		/* AF_INET, AF_INET6; 0: both */
	bool		by_host;	/* only where @host is asked for */
	uint16_t	port;
	uint16_t	to_port;
	struct in6_addr	host;		/* AF_INET: in its first four bytes */
};

/* What a pod asked for besides an address. */
struct lease_want {
	char		*pod;		/* "namespace/name"; may be NULL */
	char		*netns;		/* NULL: not known (written by an older version) */
	char		ifname[IFNAMSIZ];
	struct lease_port *ports;
	uint32_t	n_ports;
	uint64_t	in_rate;	/* bits per second into the pod, 0: any */
	uint64_t	out_rate;
};

struct lease {
	struct lease	*next;
	uint32_t	host;		/* offset in the subnets */
	bool		seen;		/* by gc */
	struct lease_want want;
	char		id[LEASE_ID_MAX];	/* sandbox id */
};

struct leases {
	uint32_t	net4;		/* host order */
	uint8_t		prefix4;	/* 0: no IPv4 */
	struct in6_addr	net6;
	uint8_t		prefix6;	/* 0: no IPv6 */
	bool		first6;		/* IPv6 was named first */
	uint32_t	n_hosts;	/* highest usable offset */
	uint32_t	last;		/* where the search goes on */
	uint32_t	n;
	uint8_t		*used;		/* bitmap by offset */
	struct lease	*first;
};

/*
 * Subnets as "10.244.0.0/24", "fd00::/64" or both, separated by a comma: /8 … /30, /16 … /126. 0, -EINVAL,
 * -ENOMEM. Offset 1 is the gateway's.
 */
int leases_init(struct leases *l, const char *cidrs);
void leases_done(struct leases *l);
struct lease *lease_find(const struct leases *l, const char *id);
/* A new lease with any free address: 0, -EADDRNOTAVAIL (all used), -EINVAL (id), -ENOMEM. */
int lease_take(struct leases *l, const char *id, struct lease **ret);
/* One that was made earlier, read from disk: -EEXIST if the address is taken, -ERANGE outside. */
int lease_adopt(struct leases *l, const char *id, uint32_t host, struct lease **ret);
/* Give it back; the lease is freed. */
void lease_drop(struct leases *l, struct lease *lease);
struct in_addr lease_addr(const struct leases *l, uint32_t host);
struct in6_addr lease_addr6(const struct leases *l, uint32_t host);
/* Is @id a name we would make a file of? Letters, digits, '-', '_', '.', not beginning with '.'. */
bool lease_id_ok(const char *id);

/* ---- record.c: what is written down of a lease ------------------------------------------------- */

void want_done(struct lease_want *w);
void lease_text(const struct lease *l, struct obuf *out);
/* @text is what lease_text() made, or just an offset (an older version's). 0, -EINVAL, -ENOMEM; then nothing is given. */
int lease_parse(const char *text, uint32_t *ret_host, struct lease_want *ret);
/* A lease but @self that has one of the ports; which one into @ret_port. NULL: nobody. */
struct lease *lease_conflict(const struct leases *l, const struct lease *self, const struct lease_want *w,
			     const struct lease_port **ret_port);
/* "tcp 192.0.2.7:8080" */
void lease_port_text(const struct lease_port *p, char *out, size_t size);

#endif
