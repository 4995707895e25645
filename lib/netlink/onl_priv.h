/* onl_priv.h - the socket, shared by the files of this archive. */
#ifndef OLIB_NETLINK_ONL_PRIV_H
#define OLIB_NETLINK_ONL_PRIV_H

#include <libmnl/libmnl.h>

#include "netlink/onl.h"

struct onl {
	struct mnl_socket *sock;
	uint32_t	portid;
	uint32_t	seq;
	char		buf[8192];	/* request under construction, then its answer */
};

/* Start a message in nl->buf. */
struct nlmsghdr *onl_msg(struct onl *nl, uint16_t type, uint16_t flags);
/* Send it and wait for the acknowledgement; @cb sees data messages (may be NULL). */
int onl_talk(struct onl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *arg);

/*
 * addr.c, for both families: every address goes to @cb; the link of a default route (0: there is none); a default route by
 * @gateway of @len bytes.
 */
int onl_addr_dump(struct onl *nl, int family, mnl_cb_t cb, void *arg);
int onl_route_link(struct onl *nl, int family);
int onl_route_default(struct onl *nl, int family, int index, const void *gateway, size_t len);

/* Before each request: what is left of one that failed. */
void onl_stale_drop(struct onl *nl);

#endif
