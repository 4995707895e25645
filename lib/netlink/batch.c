/* batch.c - nf_tables messages in one transaction. See batch.h. Source: linux/netfilter/nf_tables.h, nft(8). */
#include "netlink/batch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/omem.h"

static struct nlmsghdr *msg(struct onl_batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res_id)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	if (!b->err && b->len + BATCH_MSG_MAX > b->size)
		b->err = -EMSGSIZE;
	if (b->err)
		return NULL;
	nlh = mnl_nlmsg_put_header(b->buf + b->len);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++b->nl->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
	return nlh;
}

void onl_batch_put(struct onl_batch *b, const struct nlmsghdr *nlh)
{
	if (nlh)
		b->len += MNL_ALIGN(nlh->nlmsg_len);
}

void onl_batch_begin(struct onl_batch *b, struct onl *nl, uint8_t family, const char *table, size_t size)
{
	memset(b, 0, sizeof(*b));
	b->nl = nl;
	b->family = family;
	b->table = table;
	b->size = size + 3 * BATCH_MSG_MAX;
	b->buf = omem_alloc(b->size);
	if (!b->buf)
		b->err = -ENOMEM;
	onl_batch_put(b, msg(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

struct nlmsghdr *onl_batch_msg(struct onl_batch *b, uint16_t type, uint16_t flags)
{
	return msg(b, (uint16_t)((NFNL_SUBSYS_NFTABLES << 8) | type), flags, b->family, 0);
}

/* Until the acknowledgement or the first error: errors come in the order of the messages. */
static int answer(struct onl *nl)
{
	ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));

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

int onl_batch_end(struct onl_batch *b)
{
	int e;

	onl_batch_put(b, msg(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	e = b->err;
	if (!e) {
		int room = (int)(b->len * 2 + 65536);

		onl_stale_drop(b->nl);
		/* A batch is one datagram; where we may not, the usual limit holds. */
		if (b->len > 100000)
			(void)setsockopt(mnl_socket_get_fd(b->nl->sock), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		e = mnl_socket_sendto(b->nl->sock, b->buf, b->len) < 0 ? -errno : answer(b->nl);
	}
	omem_free(b->buf);
	b->buf = NULL;
	return e;
}

/* ---- rules ---------------------------------------------------------------------------------------- */

void onl_rule_begin(struct onl_rule *r, struct onl_batch *b, const char *chain, uint16_t flags)
{
	r->b = b;
	r->nlh = onl_batch_msg(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | flags);
	if (!r->nlh)
		return;
	mnl_attr_put_strz(r->nlh, NFTA_RULE_TABLE, b->table);
	mnl_attr_put_strz(r->nlh, NFTA_RULE_CHAIN, chain);
	r->list = mnl_attr_nest_start(r->nlh, NFTA_RULE_EXPRESSIONS);
}

void onl_rule_end(struct onl_rule *r)
{
	if (r->nlh)
		mnl_attr_nest_end(r->nlh, r->list);
	onl_batch_put(r->b, r->nlh);
}

/* An expression: its name, its numbers, then, while @data is open, its values. */
struct expr {
	struct nlattr	*elem;
	struct nlattr	*data;
};

struct num {
	uint16_t	attr;
	uint32_t	value;
};

static struct expr expr_begin(struct onl_rule *r, const char *name, const struct num *nums, size_t n)
{
	struct expr x;

	x.elem = mnl_attr_nest_start(r->nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->nlh, NFTA_EXPR_NAME, name);
	x.data = mnl_attr_nest_start(r->nlh, NFTA_EXPR_DATA);
	for (size_t i = 0; i < n; i++)
		mnl_attr_put_u32(r->nlh, nums[i].attr, htonl(nums[i].value));
	return x;
}

static void expr_end(struct onl_rule *r, struct expr x)
{
	mnl_attr_nest_end(r->nlh, x.data);
	mnl_attr_nest_end(r->nlh, x.elem);
}

static void value_put(struct onl_rule *r, uint16_t attr, const void *p, uint32_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(r->nlh, attr);

	mnl_attr_put(r->nlh, NFTA_DATA_VALUE, len, p);
	mnl_attr_nest_end(r->nlh, nest);
}

#define EXPR(r, name, ...) do { \
	const struct num nums_[] = { __VA_ARGS__ }; \
	if ((r)->nlh) \
		expr_end(r, expr_begin(r, name, nums_, sizeof(nums_) / sizeof(nums_[0]))); \
	} while (0)

void onl_rule_meta(struct onl_rule *r, uint32_t key, uint32_t reg)
{
	EXPR(r, "meta", { NFTA_META_KEY, key }, { NFTA_META_DREG, reg });
}

void onl_rule_meta_set(struct onl_rule *r, uint32_t key, uint32_t reg)
{
	EXPR(r, "meta", { NFTA_META_KEY, key }, { NFTA_META_SREG, reg });
}

void onl_rule_payload(struct onl_rule *r, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
	EXPR(r, "payload", { NFTA_PAYLOAD_DREG, reg }, { NFTA_PAYLOAD_BASE, base }, { NFTA_PAYLOAD_OFFSET, offset },
	     { NFTA_PAYLOAD_LEN, len });
}

void onl_rule_cmp(struct onl_rule *r, uint32_t reg, bool equal, const void *p, uint32_t len)
{
	const struct num nums[] = { { NFTA_CMP_SREG, reg }, { NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ } };
	struct expr x;

	if (!r->nlh)
		return;
	x = expr_begin(r, "cmp", nums, 2);
	value_put(r, NFTA_CMP_DATA, p, len);
	expr_end(r, x);
}

void onl_rule_bitwise(struct onl_rule *r, uint32_t reg, const void *mask, const void *xor, uint32_t len)
{
	const struct num nums[] = { { NFTA_BITWISE_SREG, reg }, { NFTA_BITWISE_DREG, reg }, { NFTA_BITWISE_LEN, len } };
	struct expr x;

	if (!r->nlh)
		return;
	x = expr_begin(r, "bitwise", nums, 3);
	value_put(r, NFTA_BITWISE_MASK, mask, len);
	value_put(r, NFTA_BITWISE_XOR, xor, len);
	expr_end(r, x);
}

void onl_rule_family(struct onl_rule *r, uint8_t nfproto)
{
	onl_rule_meta(r, NFT_META_NFPROTO, REG(0));
	onl_rule_cmp(r, REG(0), true, &nfproto, 1);
}

void onl_rule_net(struct onl_rule *r, uint32_t offset, bool in, const void *net, uint32_t prefix, uint32_t len)
{
	static const uint8_t none[16];
	const uint8_t *from = net;
	uint8_t mask[16];
	uint8_t want[16];

	for (uint32_t i = 0; i < len; i++) {
		uint32_t bits = prefix > 8 * i ? prefix - 8 * i : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00u >> bits);
		want[i] = from[i] & mask[i];
	}
	onl_rule_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, len, REG(0));
	onl_rule_bitwise(r, REG(0), mask, none, len);
	onl_rule_cmp(r, REG(0), in, want, len);
}

void onl_rule_local(struct onl_rule *r)
{
	static const uint32_t local = RTN_LOCAL;

	EXPR(r, "fib", { NFTA_FIB_DREG, REG(0) }, { NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE }, { NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR });
	onl_rule_cmp(r, REG(0), true, &local, sizeof(local));
}

void onl_rule_ct_status(struct onl_rule *r, uint32_t reg)
{
	EXPR(r, "ct", { NFTA_CT_DREG, reg }, { NFTA_CT_KEY, NFT_CT_STATUS });
}

void onl_rule_lookup(struct onl_rule *r, const char *set, uint32_t sreg, uint32_t dreg)
{
	const struct num nums[] = { { NFTA_LOOKUP_SREG, sreg }, { NFTA_LOOKUP_DREG, dreg } };
	struct expr x;

	if (!r->nlh)
		return;
	x = expr_begin(r, "lookup", nums, 2);
	mnl_attr_put_strz(r->nlh, NFTA_LOOKUP_SET, set);
	expr_end(r, x);
}

void onl_rule_dnat(struct onl_rule *r, uint8_t nfproto, uint32_t addr_reg, uint32_t port_reg)
{
	EXPR(r, "nat", { NFTA_NAT_TYPE, NFT_NAT_DNAT }, { NFTA_NAT_FAMILY, nfproto }, { NFTA_NAT_REG_ADDR_MIN, addr_reg },
	     { NFTA_NAT_REG_PROTO_MIN, port_reg });
}

void onl_rule_masquerade(struct onl_rule *r)
{
	if (r->nlh)
		expr_end(r, expr_begin(r, "masq", NULL, 0));
}

void onl_rule_verdict(struct onl_rule *r, int32_t code, const char *chain)
{
	const struct num nums[] = { { NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT } };
	struct nlattr *data;
	struct nlattr *verdict;
	struct expr x;

	if (!r->nlh)
		return;
	x = expr_begin(r, "immediate", nums, 1);
	data = mnl_attr_nest_start(r->nlh, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(r->nlh, NFTA_DATA_VERDICT);
	mnl_attr_put_u32(r->nlh, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	if (chain)
		mnl_attr_put_strz(r->nlh, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(r->nlh, verdict);
	mnl_attr_nest_end(r->nlh, data);
	expr_end(r, x);
}
