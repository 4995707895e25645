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

int onl_addr6_has(struct onl *nl, int index, const struct in6_addr *addr)
{
	struct addr6_want w = { .index = index, .addr = addr };
	int e = onl_addr_dump(nl, AF_INET6, addr6_cb, &w);

	return e ? e : w.found;
}

int onl_addr6_node(struct onl *nl, struct in6_addr *ret)
{
	struct addr6_want w = { 0 };
	int index = onl_route_link(nl, AF_INET6);
	int e;

	if (index < 0)
		return index;
	w.index = index;
	e = onl_addr_dump(nl, AF_INET6, addr6_cb, &w);
	if (!e && !w.found && index) {
		w.index = 0;
		e = onl_addr_dump(nl, AF_INET6, addr6_cb, &w);
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
	return onl_route_default(nl, AF_INET6, index, gateway, 16);
}
