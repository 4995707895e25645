/* watch.c - hearing when links go. */
#include "netlink/onl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink/onl_priv.h"

int onl_watch_links(struct onl **ret)
{
	int group = RTNLGRP_LINK;
	struct onl *nl;
	int fd;
	int e = onl_open(ONL_ROUTE, &nl);

	if (e)
		return e;
	fd = mnl_socket_get_fd(nl->sock);
	if (mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		e = -errno;
		onl_close(nl);
		return e;
	}
	*ret = nl;
	return 0;
}

int onl_fd(const struct onl *nl)
{
	return mnl_socket_get_fd(nl->sock);
}

static void link_read(const struct nlmsghdr *nlh, void (*gone)(void *arg, const char *name), void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	/* A port that leaves its bridge is told in the same words, with family AF_BRIDGE: it is still there. */
	if (nlh->nlmsg_type != RTM_DELLINK || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family == AF_BRIDGE)
		return;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			gone(arg, mnl_attr_get_str(attr));
}

int onl_watch_read(struct onl *nl, void (*gone)(void *arg, const char *name), void *arg)
{
	bool lost = false;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->buf;
		int len = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			lost = true;
			continue;
		}
		if (n <= 0)
			return lost ? -ENOBUFS : n < 0 && errno != EAGAIN ? -errno : 0;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			link_read(nlh, gone, arg);
	}
}
