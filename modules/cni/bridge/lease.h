/*
 * lease.h - which address belongs to which pod: pure bookkeeping, no files, no network.
 *
 * Addresses are handed out round robin, so that one just freed is the last to be given again.
 * Not thread-safe: the caller holds the lock.
 */
#ifndef CNI_BRIDGE_LEASE_H
#define CNI_BRIDGE_LEASE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEASE_ID_MAX	128u

struct lease {
	struct lease	*next;
	uint32_t	host;		/* offset in the subnet: 10.244.0.0/24, host 7: 10.244.0.7 */
	bool		seen;		/* by gc */
	char		id[LEASE_ID_MAX];	/* sandbox id */
};

struct leases {
	uint32_t	net;		/* host order */
	uint8_t		prefix;
	uint32_t	n_hosts;	/* highest usable offset */
	uint32_t	last;		/* where the search goes on */
	uint32_t	n;
	uint8_t		*used;		/* bitmap by offset */
	struct lease	*first;
};

/* Subnet as "10.244.0.0/24", /8 … /30. 0, -EINVAL, -ENOMEM. Offset 1 is the gateway's. */
int leases_init(struct leases *l, const char *cidr);
void leases_done(struct leases *l);
struct lease *lease_find(const struct leases *l, const char *id);
/* A new lease with any free address: 0, -EADDRNOTAVAIL (all used), -EINVAL (id), -ENOMEM. */
int lease_take(struct leases *l, const char *id, struct lease **ret);
/* One that was made earlier, read from disk: -EEXIST if the address is taken, -ERANGE outside. */
int lease_adopt(struct leases *l, const char *id, uint32_t host, struct lease **ret);
/* Give it back; the lease is freed. */
void lease_drop(struct leases *l, struct lease *lease);
struct in_addr lease_addr(const struct leases *l, uint32_t host);
/* Is @id a name we would make a file of? Letters, digits, '-', '_', '.', not beginning with '.'. */
bool lease_id_ok(const char *id);

#endif
