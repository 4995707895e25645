/* addr.c - IPv4 addresses and routes, and what is the same for IPv6. */
#include "netlink/onl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/onl_priv.h"

int onl_addr4_add(struct onl *nl, int index, struct in_addr addr, uint8_t prefix)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	struct in_addr brd = { .s_addr = addr.s_addr | htonl(prefix ? (1u << (32 - prefix)) - 1 : ~0u) };
	int e;

	memset(ifa, 0, sizeof(*ifa));
	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = prefix;
	ifa->ifa_index = (uint32_t)index;
	mnl_attr_put(nlh, IFA_LOCAL, 4, &addr);
	mnl_attr_put(nlh, IFA_ADDRESS, 4, &addr);
	if (prefix < 31)
		mnl_attr_put(nlh, IFA_BROADCAST, 4, &brd);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -EEXIST ? 0 : e;
}

struct addr_want {
	int		index;
	struct in_addr	addr;
	bool		found;
	struct in_addr	first;		/* any global one, not of the loopback link */
};

static int addr_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct addr_want *w = arg;
	const struct nlattr *attr;

	if (ifa->ifa_family != AF_INET)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa)) {
		struct in_addr a;

		if (mnl_attr_get_type(attr) != IFA_LOCAL || mnl_attr_get_payload_len(attr) < 4)
			continue;
		memcpy(&a, mnl_attr_get_payload(attr), 4);
		if ((int)ifa->ifa_index == w->index && a.s_addr == w->addr.s_addr)
			w->found = true;
		if (ifa->ifa_scope == RT_SCOPE_UNIVERSE && (!w->index || w->index == (int)ifa->ifa_index) &&
		    !w->first.s_addr && ntohl(a.s_addr) >> 24 != 127)
			w->first = a;
	}
	return MNL_CB_OK;
}

int onl_addr_dump(struct onl *nl, int family, mnl_cb_t cb, void *arg)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	memset(ifa, 0, sizeof(*ifa));
	ifa->ifa_family = (unsigned char)family;
	return onl_talk(nl, nlh, cb, arg);
}

int onl_addr4_has(struct onl *nl, int index, struct in_addr addr)
{
	struct addr_want w = { .index = index, .addr = addr };
	int e = onl_addr_dump(nl, AF_INET, addr_cb, &w);

	return e ? e : w.found;
}

static int route_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	int *index = arg;

	if (rtm->rtm_dst_len || rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
		if (mnl_attr_get_type(attr) == RTA_OIF && !*index)
			*index = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

int onl_route_link(struct onl *nl, int family)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int index = 0;
	int e;

	memset(rtm, 0, sizeof(*rtm));
	rtm->rtm_family = (unsigned char)family;
	e = onl_talk(nl, nlh, route_cb, &index);
	return e ? e : index;
}

int onl_route4_link(struct onl *nl)
{
	return onl_route_link(nl, AF_INET);
}

int onl_addr4_node(struct onl *nl, struct in_addr *ret)
{
	struct addr_want w = { 0 };
	int index = onl_route4_link(nl);
	int e;

	if (index < 0)
		return index;
	w.index = index;
	e = onl_addr_dump(nl, AF_INET, addr_cb, &w);
	if (!e && !w.first.s_addr && index) {
		w.index = 0;
		e = onl_addr_dump(nl, AF_INET, addr_cb, &w);
	}
	if (e)
		return e;
	if (!w.first.s_addr)
		return -EADDRNOTAVAIL;
	*ret = w.first;
	return 0;
}

int onl_route_default(struct onl *nl, int family, int index, const void *gateway, size_t len)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int e;

	memset(rtm, 0, sizeof(*rtm));
	rtm->rtm_family = (unsigned char)family;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(nlh, RTA_GATEWAY, len, gateway);
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)index);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -EEXIST ? 0 : e;
}

int onl_route4_default(struct onl *nl, int index, struct in_addr gateway)
{
	return onl_route_default(nl, AF_INET, index, &gateway, 4);
}
