/*
 * nft.c - the packet rules of a bridge network, as raw nf_tables messages.
 *
 *   table inet TABLE {
 *     map ports4  { type inet_proto . inet_service : ipv4_addr . inet_service }
 *     map host4   { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
 *     map ports6, map host6: the same of IPv6
 *     chain guard { type filter hook prerouting priority raw;
 *       iifname BRIDGE ip daddr 127.0.0.0/8 drop }
 *     chain ports {
 *       ip saddr NET4 meta mark set meta mark | 0x2000    # a pod asks: its answer must come back this way
 *       ip saddr 127.0.0.0/8 meta mark set meta mark | 0x2000
 *       ip6 saddr NET6 meta mark set meta mark | 0x2000
 *       dnat ip to ip daddr . meta l4proto . th dport map @host4
 *       dnat ip to meta l4proto . th dport map @ports4
 *       dnat ip6 …; }
 *     chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump ports }
 *     chain output { type nat hook output priority dstnat; fib daddr type local jump ports }
 *     chain postrouting { type nat hook postrouting priority srcnat;
 *       meta mark & 0x2000 != 0 ct status dnat masquerade
 *       ip saddr NET4 ip daddr != NET4 ip daddr != 224.0.0.0/4 masquerade
 *       ip6 saddr NET6 ip6 daddr != NET6 ip6 daddr != ff00::/8 masquerade } }
 *
 * A pod's port is one element of a map: rules are never touched again. The mark is the one of CNI's portmap
 * plugin. One batch: the kernel takes all of it or nothing. No libnftnl: it is GPL.
 */
#include "netlink/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>

#define MARK		0x2000u
#define RAW_PRIORITY	(-300)
#define DSTNAT_PRIORITY	(-100)
#define SRCNAT_PRIORITY	100

/* Data types as nft(8) numbers them, six bits each in a concatenation. */
#define T_IP4		7u
#define T_IP6		8u
#define T_PROTO		12u
#define T_SERVICE	13u

const struct onl_nft_map onl_nft_maps[4] = {
	{ "host4", NFPROTO_IPV4, true, 4, (T_IP4 << 12) | (T_PROTO << 6) | T_SERVICE, (T_IP4 << 6) | T_SERVICE },
	{ "ports4", NFPROTO_IPV4, false, 4, (T_PROTO << 6) | T_SERVICE, (T_IP4 << 6) | T_SERVICE },
	{ "host6", NFPROTO_IPV6, true, 16, (T_IP6 << 12) | (T_PROTO << 6) | T_SERVICE, (T_IP6 << 6) | T_SERVICE },
	{ "ports6", NFPROTO_IPV6, false, 16, (T_PROTO << 6) | T_SERVICE, (T_IP6 << 6) | T_SERVICE },
};

static void table_put(struct onl_batch *b, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = onl_batch_msg(b, type, flags);

	if (nlh)
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, b->table);
	onl_batch_put(b, nlh);
}

/* @type NULL: not a base chain. */
static void chain_put(struct onl_batch *b, const char *name, const char *type, uint32_t hooknum, int32_t priority)
{
	struct nlmsghdr *nlh = onl_batch_msg(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, b->table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
	if (type) {
		struct nlattr *hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);

		mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(hooknum));
		mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, htonl((uint32_t)priority));
		mnl_attr_nest_end(nlh, hook);
		mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, type);
	}
	onl_batch_put(b, nlh);
}

static void map_put(struct onl_batch *b, const struct onl_nft_map *m, uint32_t id)
{
	struct nlmsghdr *nlh = onl_batch_msg(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, b->table);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, m->name);
	mnl_attr_put_u32(nlh, NFTA_SET_FLAGS, htonl(NFT_SET_MAP));
	mnl_attr_put_u32(nlh, NFTA_SET_KEY_TYPE, htonl(m->key_type));
	mnl_attr_put_u32(nlh, NFTA_SET_KEY_LEN, htonl((m->by_host ? m->addr_len : 0) + 8));
	mnl_attr_put_u32(nlh, NFTA_SET_DATA_TYPE, htonl(m->data_type));
	mnl_attr_put_u32(nlh, NFTA_SET_DATA_LEN, htonl(m->addr_len + 4));
	mnl_attr_put_u32(nlh, NFTA_SET_ID, htonl(id));
	onl_batch_put(b, nlh);
}

static uint32_t saddr_at(uint8_t family)
{
	return family == NFPROTO_IPV4 ? 12 : 8;
}

static uint32_t daddr_at(uint8_t family)
{
	return family == NFPROTO_IPV4 ? 16 : 24;
}

static void mark_put(struct onl_batch *b, uint8_t family, const void *net, uint32_t prefix)
{
	const uint32_t keep = ~MARK;
	const uint32_t mark = MARK;
	struct onl_rule r;

	onl_rule_begin(&r, b, "ports", 0);
	onl_rule_family(&r, family);
	onl_rule_net(&r, saddr_at(family), true, net, prefix, family == NFPROTO_IPV4 ? 4 : 16);
	onl_rule_meta(&r, NFT_META_MARK, REG(0));
	onl_rule_bitwise(&r, REG(0), &keep, &mark, 4);
	onl_rule_meta_set(&r, NFT_META_MARK, REG(0));
	onl_rule_end(&r);
}

static void dnat_put(struct onl_batch *b, const struct onl_nft_map *m)
{
	uint32_t slot = 0;
	struct onl_rule r;

	onl_rule_begin(&r, b, "ports", 0);
	onl_rule_family(&r, m->family);
	if (m->by_host) {
		onl_rule_payload(&r, NFT_PAYLOAD_NETWORK_HEADER, daddr_at(m->family), m->addr_len, REG(0));
		slot = m->addr_len / 4;
	}
	onl_rule_meta(&r, NFT_META_L4PROTO, REG(slot));
	onl_rule_payload(&r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, REG(slot + 1));
	onl_rule_lookup(&r, m->name, REG(0), REG(0));
	onl_rule_dnat(&r, m->family, REG(0), REG(m->addr_len / 4));
	onl_rule_end(&r);
}

static void jump_put(struct onl_batch *b, const char *chain)
{
	struct onl_rule r;

	onl_rule_begin(&r, b, chain, 0);
	onl_rule_local(&r);
	onl_rule_verdict(&r, NFT_JUMP, "ports");
	onl_rule_end(&r);
}

static void masquerade_put(struct onl_batch *b, uint8_t family, const void *net, uint32_t prefix)
{
	const uint8_t multicast[16] = { family == NFPROTO_IPV4 ? 0xe0 : 0xff };
	const uint32_t len = family == NFPROTO_IPV4 ? 4 : 16;
	struct onl_rule r;

	onl_rule_begin(&r, b, "postrouting", 0);
	onl_rule_family(&r, family);
	onl_rule_net(&r, saddr_at(family), true, net, prefix, len);
	onl_rule_net(&r, daddr_at(family), false, net, prefix, len);
	onl_rule_net(&r, daddr_at(family), false, multicast, family == NFPROTO_IPV4 ? 4 : 8, len);
	onl_rule_masquerade(&r);
	onl_rule_end(&r);
}

static void guard_put(struct onl_batch *b, const char *bridge)
{
	const uint8_t loopback[4] = { 127 };
	char name[IFNAMSIZ] = "";
	struct onl_rule r;

	strncpy(name, bridge, sizeof(name) - 1);
	onl_rule_begin(&r, b, "guard", 0);
	onl_rule_meta(&r, NFT_META_IIFNAME, REG(0));
	onl_rule_cmp(&r, REG(0), true, name, sizeof(name));
	onl_rule_family(&r, NFPROTO_IPV4);
	onl_rule_net(&r, daddr_at(NFPROTO_IPV4), true, loopback, 8, 4);
	onl_rule_verdict(&r, NF_DROP, NULL);
	onl_rule_end(&r);
}

/* What was asked for by a pod, or over the loopback, and was led to a pod; acknowledged, for it comes last. */
static void return_put(struct onl_batch *b)
{
	const uint32_t mark = MARK;
	const uint32_t dnat = IPS_DST_NAT;
	const uint32_t zero = 0;
	struct onl_rule r;

	onl_rule_begin(&r, b, "postrouting", NLM_F_ACK);
	onl_rule_meta(&r, NFT_META_MARK, REG(0));
	onl_rule_bitwise(&r, REG(0), &mark, &zero, 4);
	onl_rule_cmp(&r, REG(0), false, &zero, 4);
	onl_rule_ct_status(&r, REG(0));
	onl_rule_bitwise(&r, REG(0), &dnat, &zero, 4);
	onl_rule_cmp(&r, REG(0), false, &zero, 4);
	onl_rule_masquerade(&r);
	onl_rule_end(&r);
}

static void rules_put(struct onl_batch *b, const struct onl_net *net)
{
	const uint8_t loopback[4] = { 127 };

	guard_put(b, net->bridge);
	if (net->prefix4) {
		mark_put(b, NFPROTO_IPV4, &net->net4, net->prefix4);
		mark_put(b, NFPROTO_IPV4, loopback, 8);
		dnat_put(b, &onl_nft_maps[0]);
		dnat_put(b, &onl_nft_maps[1]);
		if (net->masquerade)
			masquerade_put(b, NFPROTO_IPV4, &net->net4, net->prefix4);
	}
	if (net->prefix6) {
		mark_put(b, NFPROTO_IPV6, &net->net6, net->prefix6);
		dnat_put(b, &onl_nft_maps[2]);
		dnat_put(b, &onl_nft_maps[3]);
		if (net->masquerade)
			masquerade_put(b, NFPROTO_IPV6, &net->net6, net->prefix6);
	}
	jump_put(b, "prerouting");
	jump_put(b, "output");
}

int onl_nft_net(struct onl *nl, const struct onl_net *net, const struct onl_port *ports, uint32_t n_ports)
{
	struct onl_batch b;
	int e;

	onl_batch_begin(&b, nl, NFPROTO_INET, net->table, 32768 + n_ports * ONL_PORT_BYTES);
	/* made if missing, so that it can be removed with whatever was in it, and made anew */
	table_put(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	table_put(&b, NFT_MSG_DELTABLE, 0);
	table_put(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	for (uint32_t i = 0; i < 4; i++)
		map_put(&b, &onl_nft_maps[i], i + 1);
	chain_put(&b, "ports", NULL, 0, 0);
	chain_put(&b, "guard", "filter", NF_INET_PRE_ROUTING, RAW_PRIORITY);
	chain_put(&b, "prerouting", "nat", NF_INET_PRE_ROUTING, DSTNAT_PRIORITY);
	chain_put(&b, "output", "nat", NF_INET_LOCAL_OUT, DSTNAT_PRIORITY);
	chain_put(&b, "postrouting", "nat", NF_INET_POST_ROUTING, SRCNAT_PRIORITY);
	rules_put(&b, net);
	for (uint32_t i = 0; i < n_ports; i++)
		onl_nft_port_put(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, &ports[i]);
	return_put(&b);
	e = onl_batch_end(&b);
	if (!e) {
		/* of an older version, which knew IPv4 only */
		onl_batch_begin(&b, nl, NFPROTO_IPV4, net->table, 0);
		table_put(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
		(void)onl_batch_end(&b);
	}
	return e;
}

int onl_nft_table_del(struct onl *nl, const char *table)
{
	static const uint8_t families[] = { NFPROTO_INET, NFPROTO_IPV4 };
	int r = -ENOENT;

	for (size_t i = 0; i < sizeof(families); i++) {
		struct onl_batch b;
		int e;

		onl_batch_begin(&b, nl, families[i], table, 0);
		table_put(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
		e = onl_batch_end(&b);
		if (e != -ENOENT && r <= 0)
			r = e ? e : 1;
	}
	return r > 0 ? 0 : r;
}

int onl_nft_table_has(struct onl *nl, const char *table)
{
	struct nlmsghdr *nlh = onl_msg(nl, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE, NLM_F_ACK);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	int e;

	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -ENOENT ? 0 : e ? e : 1;
}
