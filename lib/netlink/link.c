/* link.c - bridges, veth pairs, and what is switched on a link. */
#include "netlink/onl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>

#include "netlink/onl_priv.h"

static struct ifinfomsg *link_msg(struct onl *nl, struct nlmsghdr **ret, uint16_t type,
				  uint16_t flags)
{
	struct ifinfomsg *ifi;

	*ret = onl_msg(nl, type, flags);
	ifi = mnl_nlmsg_put_extra_header(*ret, sizeof(*ifi));
	memset(ifi, 0, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return ifi;
}

static int index_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	*(int *)arg = ifi->ifi_index;
	return MNL_CB_OK;
}

int onl_link_index(struct onl *nl, const char *name)
{
	struct nlmsghdr *nlh;
	int index = 0;
	int e;

	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_GETLINK, NLM_F_ACK);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	e = onl_talk(nl, nlh, index_cb, &index);
	if (e)
		return e;
	return index > 0 ? index : -ENODEV;
}

static int master_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(attr) == IFLA_MASTER && mnl_attr_get_payload_len(attr) == 4)
			*(int *)arg = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

int onl_link_master(struct onl *nl, const char *name)
{
	struct nlmsghdr *nlh;
	int master = 0;
	int e;

	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_GETLINK, NLM_F_ACK);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	e = onl_talk(nl, nlh, master_cb, &master);
	return e ? e : master;
}

int onl_link_join(struct onl *nl, int index, int master)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = link_msg(nl, &nlh, RTM_NEWLINK, NLM_F_ACK);
	int e;

	ifi->ifi_index = index;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)master);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e ? e : onl_link_hairpin(nl, index);
}

int onl_bridge_add(struct onl *nl, const char *name, uint32_t mtu)
{
	struct nlmsghdr *nlh;
	struct nlattr *info;

	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(nlh, info);
	return onl_talk(nl, nlh, NULL, NULL);
}

int onl_veth_add(struct onl *nl, const char *name, int master, const char *peer,
		 const uint8_t mac[6], int peer_netns_fd, uint32_t mtu)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi;
	struct nlattr *info;
	struct nlattr *data;
	struct nlattr *other;
	int index;
	int e;

	if (strlen(name) >= IFNAMSIZ || strlen(peer) >= IFNAMSIZ)
		return -EINVAL;
	ifi = link_msg(nl, &nlh, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)master);
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	memset(ifi, 0, sizeof(*ifi));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, peer);
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)peer_netns_fd);
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	mnl_attr_nest_end(nlh, other);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	e = onl_talk(nl, nlh, NULL, NULL);
	if (e || !master)
		return e;
	index = onl_link_index(nl, name);
	return index < 0 ? index : onl_link_hairpin(nl, index);
}

int onl_link_hairpin(struct onl *nl, int index)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = link_msg(nl, &nlh, RTM_SETLINK, NLM_F_ACK);
	struct nlattr *port;

	ifi->ifi_family = AF_BRIDGE;
	ifi->ifi_index = index;
	port = mnl_attr_nest_start(nlh, IFLA_PROTINFO);
	mnl_attr_put_u8(nlh, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(nlh, port);
	return onl_talk(nl, nlh, NULL, NULL);
}

int onl_link_mac(struct onl *nl, int index, const uint8_t mac[6])
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = link_msg(nl, &nlh, RTM_NEWLINK, NLM_F_ACK);

	ifi->ifi_index = index;
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	return onl_talk(nl, nlh, NULL, NULL);
}

static int mtu_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_get_payload_len(attr) == 4)
			*(uint32_t *)arg = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

int onl_link_mtu(struct onl *nl, int index, uint32_t *ret)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = link_msg(nl, &nlh, RTM_GETLINK, NLM_F_ACK);

	*ret = 0;
	ifi->ifi_index = index;
	return onl_talk(nl, nlh, mtu_cb, ret);
}

int onl_link_up(struct onl *nl, int index)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = link_msg(nl, &nlh, RTM_NEWLINK, NLM_F_ACK);

	ifi->ifi_index = index;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	return onl_talk(nl, nlh, NULL, NULL);
}

int onl_link_del(struct onl *nl, const char *name)
{
	struct nlmsghdr *nlh;

	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_DELLINK, NLM_F_ACK);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return onl_talk(nl, nlh, NULL, NULL);
}

int onl_link_group(struct onl *nl, const char *name, uint32_t group)
{
	struct nlmsghdr *nlh;

	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_SETLINK, NLM_F_ACK);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	return onl_talk(nl, nlh, NULL, NULL);
}

int onl_group_del(struct onl *nl, uint32_t group)
{
	struct nlmsghdr *nlh;

	if (!group)
		return -EINVAL;
	link_msg(nl, &nlh, RTM_DELLINK, NLM_F_ACK);
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	return onl_talk(nl, nlh, NULL, NULL);
}
