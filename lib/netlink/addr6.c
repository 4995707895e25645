/* addr6.c - IPv6 addresses and routes. */
#include "netlink/onl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/onl_priv.h"

int onl_addr6_add(struct onl *nl, int index, const struct in6_addr *addr, uint8_t prefix)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	int e;

	memset(ifa, 0, sizeof(*ifa));
	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = prefix;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = (uint32_t)index;
	mnl_attr_put(nlh, IFA_LOCAL, 16, addr);
	mnl_attr_put(nlh, IFA_ADDRESS, 16, addr);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -EEXIST ? 0 : e;
}

struct addr6_want {
	int		index;		/* 0: any but loopback's */
	const struct in6_addr *addr;	/* NULL: the first global one */
	bool		found;
	struct in6_addr	first;
};

static int addr6_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct addr6_want *w = arg;
	const struct nlattr *attr;

	if (ifa->ifa_family != AF_INET6 || (w->index && (int)ifa->ifa_index != w->index))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa)) {
		struct in6_addr a;

		if (mnl_attr_get_type(attr) != IFA_ADDRESS || mnl_attr_get_payload_len(attr) < 16)
			continue;
		memcpy(&a, mnl_attr_get_payload(attr), 16);
		if (w->addr ? IN6_ARE_ADDR_EQUAL(&a, w->addr)
			    : !w->found && ifa->ifa_scope == RT_SCOPE_UNIVERSE && !IN6_IS_ADDR_LOOPBACK(&a)) {
			w->found = true;
			w->first = a;
		}
	}
	return MNL_CB_OK;
}

static int addr6_dump(struct onl *nl, struct addr6_want *w)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	memset(ifa, 0, sizeof(*ifa));
	ifa->ifa_family = AF_INET6;
	return onl_talk(nl, nlh, addr6_cb, w);
}

int onl_addr6_has(struct onl *nl, int index, const struct in6_addr *addr)
{
	struct addr6_want w = { .index = index, .addr = addr };
	int e = addr6_dump(nl, &w);

	return e ? e : w.found;
}

static int route6_cb(const struct nlmsghdr *nlh, void *arg)
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

int onl_addr6_node(struct onl *nl, struct in6_addr *ret)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	struct addr6_want w = { 0 };
	int e;

	memset(rtm, 0, sizeof(*rtm));
	rtm->rtm_family = AF_INET6;
	e = onl_talk(nl, nlh, route6_cb, &w.index);
	if (!e)
		e = addr6_dump(nl, &w);
	if (!e && !w.found && w.index) {
		w.index = 0;
		e = addr6_dump(nl, &w);
	}
	if (e)
		return e;
	if (!w.found)
		return -EADDRNOTAVAIL;
	*ret = w.first;
	return 0;
}

int onl_route6_default(struct onl *nl, int index, const struct in6_addr *gateway)
{
	struct nlmsghdr *nlh = onl_msg(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int e;

	memset(rtm, 0, sizeof(*rtm));
	rtm->rtm_family = AF_INET6;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(nlh, RTA_GATEWAY, 16, gateway);
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)index);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -EEXIST ? 0 : e;
}
