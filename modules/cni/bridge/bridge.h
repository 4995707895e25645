/* bridge.h - the module's state, shared by bridge.c (ops, leases on disk) and attach.c (links). */
#ifndef CNI_BRIDGE_BRIDGE_H
#define CNI_BRIDGE_BRIDGE_H

#include <pthread.h>

#include <orlop/cni.h>
#include <orlop/host.h>

#include "lease.h"
#include "netlink/onl.h"

struct bridge {
	const struct orlop_host *h;
	const char	*name;		/* of the bridge link */
	const char	*dir;		/* leases: one file per sandbox id, holding the host offset */
	uint32_t	mtu;
	bool		masquerade;
	pthread_mutex_t	lock;		/* leases, nl: ops run on workers */
	struct leases	leases;
	struct onl	*nl;
	int		index;		/* of the bridge, 0: not there */
};

/* Bridge, its address, forwarding, masquerade: made or mended. Lock held. */
int bridge_ensure(struct bridge *b, struct orlop_error *err);
/* Lock held for both. */
int pod_attach(struct bridge *b, const struct lease *l, const char *netns, const char *ifname,
	       struct orlop_error *err);
int pod_detach(struct bridge *b, const char *id);
/* Is what pod_attach made still there? 0 or -errno. */
int pod_check(struct bridge *b, const struct lease *l, const char *netns, const char *ifname,
	      struct orlop_error *err);
int bridge_remove(struct bridge *b);
/* Host side link name of a sandbox: at most 15 characters. */
void veth_name(const char *id, char out[16]);
void pod_mac(struct in_addr addr, uint8_t out[6]);

#endif
