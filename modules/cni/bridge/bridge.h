/* bridge.h - the module's state and who does what with it. Lock held unless said. */
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
	const char	*dir;		/* leases: one file per sandbox id */
	char		table[64];	/* of packet rules */
	uint32_t	mtu;		/* 0: not looked up yet, see mtu_of() */
	bool		masquerade;
	pthread_mutex_t	lock;		/* leases, nl: ops run on workers */
	pthread_mutex_t	going_lock;	/* the next three; never taken with @lock held */
	pthread_cond_t	gone;
	struct going	*going;		/* pods to be detached: bridge.c */
	bool		detaching;	/* somebody is at it for all */
	struct leases	leases;
	struct onl	*nl;
	int		index;		/* of the bridge, 0: not there */
	bool		torn_down;	/* by request: not made again before the next add */
	bool		route_localnet;	/* switched on for the bridge: once a pod has a port */

	/* on the loop only: mend.c */
	struct onl	*links;		/* hears when links go */
	struct orlop_fdwatch *watch;
	struct orlop_timer *soon;
	bool		waiting;	/* for @soon */
	bool		mending;	/* a worker is at it */
	bool		mend_again;
};

/* ---- attach.c: links and addresses ----------------------------------------------------------- */

/* Bridge, its addresses, forwarding, rules: made or mended; ports that had lost it join again. */
int bridge_ensure(struct bridge *b, struct orlop_error *err);
int bridge_remove(struct bridge *b);
int pod_attach(struct bridge *b, const struct lease *l, struct orlop_error *err);
int pod_detach(struct bridge *b, const char *id);
/* The links of several pods at once: the kernel waits for all its processors as long for one as for all. */
void pods_unlink(struct bridge *b, const char *const *ids, uint32_t n);
/* Is what pod_attach made still there? 0 or -errno. @netns, @ifname: as asked for now. */
int pod_check(struct bridge *b, const struct lease *l, const char *netns, const char *ifname, struct orlop_error *err);
/* Is there a network namespace at @path? No lock. */
bool netns_lives(const char *path);
/* Host side link name of a sandbox: at most 15 characters. No lock. */
void veth_name(const char *id, char out[16]);
void pod_mac(const struct leases *l, uint32_t host, uint8_t out[6]);

/* ---- rules.c: packet rules --------------------------------------------------------------------- */

/* The table with the ports of all leases, if it is not there. @anew: also if it is. */
int rules_ensure(struct bridge *b, bool anew, struct orlop_error *err);
int rules_remove(struct bridge *b);
int rules_add(struct bridge *b, const struct lease *l, struct orlop_error *err);
void rules_del(struct bridge *b, const struct lease *l);
/* 0, or -errno: a port of it leads nowhere. */
int rules_check(struct bridge *b, const struct lease *l, struct orlop_error *err);

/* ---- store.c: leases on disk --------------------------------------------------------------------- */

int leases_load(struct bridge *b, struct orlop_error *err);
int lease_write(const struct bridge *b, const struct lease *l, struct orlop_error *err);
/* Everything of it is given back: rules, link, file, address. -errno: the link cannot be removed, nothing changed. */
int lease_end(struct bridge *b, struct lease *l);
/* Those whose namespace is no more: how many were ended. */
uint32_t leases_reap(struct bridge *b);

/* ---- args.c, mend.c ------------------------------------------------------------------------------ */

/* ARGS of add into @w, which the caller gives to want_done() in any case. No lock. */
int want_read(struct orlop_bytes text, struct lease_want *w, struct orlop_error *err);
/* On the loop, no lock: whatever somebody removes is made again. */
int mend_start(struct bridge *b, struct orlop_error *err);
void mend_stop(struct bridge *b);

#endif
