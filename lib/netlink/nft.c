/*
 * nft.c - the one packet rule a bridge network needs, as raw nf_tables messages.
 *
 *   table ip TABLE {
 *     chain postrouting { type nat hook postrouting priority srcnat;
 *       ip saddr SUBNET ip daddr != SUBNET ip daddr != 224.0.0.0/4 masquerade } }
 *
 * One batch: the kernel takes all of it or nothing. No libnftnl: it is GPL, and three messages do
 * not need it. Source: linux/netfilter/nf_tables.h, nft(8).
 */
#include "netlink/onl.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "netlink/onl_priv.h"

#define NFT_MSG(type)	((NFNL_SUBSYS_NFTABLES << 8) | (type))
#define SRCNAT_PRIORITY	100

static void nfgen_put(struct nlmsghdr *nlh, uint8_t family, uint16_t res_id)
{
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
}

/* A batch of messages in one buffer; each with a sequence number of its own. */
struct batch {
	struct onl	*nl;
	char		*at;
};

static struct nlmsghdr *batch_msg(struct batch *b, uint16_t type, uint16_t flags, uint8_t family,
				  uint16_t res_id)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(b->at);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++b->nl->seq;
	nfgen_put(nlh, family, res_id);
	return nlh;
}

static void batch_next(struct batch *b, const struct nlmsghdr *nlh)
{
	b->at += MNL_ALIGN(nlh->nlmsg_len);
}

static void batch_edge(struct batch *b, uint16_t type)
{
	struct nlmsghdr *nlh = batch_msg(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);

	batch_next(b, nlh);
}

/* Send the batch and read until its single acknowledgement or the first error. */
static int batch_talk(struct batch *b)
{
	struct onl *nl = b->nl;
	ssize_t n;

	onl_stale_drop(nl);
	if (mnl_socket_sendto(nl->sock, nl->buf, (size_t)(b->at - nl->buf)) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
	while (n > 0) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->buf;
		int len = (int)n;

		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

				return e->error;
			}
		n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
	}
	return n < 0 ? -errno : -EIO;
}

static struct nlattr *expr_begin(struct nlmsghdr *nlh, const char *name, struct nlattr **data)
{
	struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, name);
	*data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	return elem;
}

static void expr_end(struct nlmsghdr *nlh, struct nlattr *elem, struct nlattr *data)
{
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, elem);
}

static void value_put(struct nlmsghdr *nlh, uint16_t type, uint32_t net_value)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, 4, &net_value);
	mnl_attr_nest_end(nlh, nest);
}

/* "the IPv4 address at @offset is (or is not) in net/mask" */
static void match_put(struct nlmsghdr *nlh, uint32_t offset, uint32_t net, uint32_t mask, bool equal)
{
	struct nlattr *data;
	struct nlattr *elem = expr_begin(nlh, "payload", &data);

	mnl_attr_put_u32(nlh, NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(nlh, NFTA_PAYLOAD_BASE, htonl(NFT_PAYLOAD_NETWORK_HEADER));
	mnl_attr_put_u32(nlh, NFTA_PAYLOAD_OFFSET, htonl(offset));
	mnl_attr_put_u32(nlh, NFTA_PAYLOAD_LEN, htonl(4));
	expr_end(nlh, elem, data);
	elem = expr_begin(nlh, "bitwise", &data);
	mnl_attr_put_u32(nlh, NFTA_BITWISE_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(nlh, NFTA_BITWISE_DREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(nlh, NFTA_BITWISE_LEN, htonl(4));
	value_put(nlh, NFTA_BITWISE_MASK, mask);
	value_put(nlh, NFTA_BITWISE_XOR, 0);
	expr_end(nlh, elem, data);
	elem = expr_begin(nlh, "cmp", &data);
	mnl_attr_put_u32(nlh, NFTA_CMP_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(nlh, NFTA_CMP_OP, htonl(equal ? NFT_CMP_EQ : NFT_CMP_NEQ));
	value_put(nlh, NFTA_CMP_DATA, net & mask);
	expr_end(nlh, elem, data);
}

static void table_put(struct batch *b, const char *table, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = batch_msg(b, NFT_MSG(type), flags, NFPROTO_IPV4, 0);

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	batch_next(b, nlh);
}

static void chain_put(struct batch *b, const char *table)
{
	struct nlmsghdr *nlh = batch_msg(b, NFT_MSG(NFT_MSG_NEWCHAIN), NLM_F_CREATE, NFPROTO_IPV4, 0);
	struct nlattr *hook;

	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, "postrouting");
	hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(NF_INET_POST_ROUTING));
	mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, htonl(SRCNAT_PRIORITY));
	mnl_attr_nest_end(nlh, hook);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, "nat");
	batch_next(b, nlh);
}

static void rule_put(struct batch *b, const char *table, uint32_t net, uint32_t mask)
{
	struct nlmsghdr *nlh = batch_msg(b, NFT_MSG(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK,
					 NFPROTO_IPV4, 0);
	struct nlattr *list;
	struct nlattr *elem;
	struct nlattr *data;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, "postrouting");
	list = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);
	match_put(nlh, 12, net, mask, true);
	match_put(nlh, 16, net, mask, false);
	match_put(nlh, 16, htonl(0xe0000000u), htonl(0xf0000000u), false);
	elem = expr_begin(nlh, "masq", &data);
	expr_end(nlh, elem, data);
	mnl_attr_nest_end(nlh, list);
	batch_next(b, nlh);
}

int onl_nft_masquerade(struct onl *nl, const char *table, struct in_addr subnet, uint8_t prefix)
{
	struct batch b = { .nl = nl, .at = nl->buf };
	uint32_t mask = htonl(prefix ? ~0u << (32 - prefix) : 0);

	batch_edge(&b, NFNL_MSG_BATCH_BEGIN);
	/* made if missing, so that it can be removed with whatever was in it, and made anew */
	table_put(&b, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	table_put(&b, table, NFT_MSG_DELTABLE, 0);
	table_put(&b, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	chain_put(&b, table);
	rule_put(&b, table, subnet.s_addr, mask);
	batch_edge(&b, NFNL_MSG_BATCH_END);
	return batch_talk(&b);
}

int onl_nft_table_del(struct onl *nl, const char *table)
{
	struct batch b = { .nl = nl, .at = nl->buf };

	batch_edge(&b, NFNL_MSG_BATCH_BEGIN);
	table_put(&b, table, NFT_MSG_DELTABLE, NLM_F_ACK);
	batch_edge(&b, NFNL_MSG_BATCH_END);
	return batch_talk(&b);
}

int onl_nft_table_has(struct onl *nl, const char *table)
{
	struct nlmsghdr *nlh = onl_msg(nl, NFT_MSG(NFT_MSG_GETTABLE), NLM_F_ACK);
	int e;

	nfgen_put(nlh, NFPROTO_IPV4, 0);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	e = onl_talk(nl, nlh, NULL, NULL);
	return e == -ENOENT ? 0 : e ? e : 1;
}
