/* batch.h - nf_tables messages that the kernel takes all or none, and the expressions of rules. */
#ifndef OLIB_NETLINK_BATCH_H
#define OLIB_NETLINK_BATCH_H

#include "netlink/onl_priv.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#define BATCH_MSG_MAX	4096u	/* room that one message may need */
#define REG(slot)	(NFT_REG32_00 + (slot))	/* registers are counted in words */

struct onl_batch {
	struct onl	*nl;
	char		*buf;
	size_t		size;
	size_t		len;
	uint8_t		family;		/* NFPROTO_* of all its messages */
	const char	*table;
	int		err;		/* sticks */
};

/* @size: what all its messages need at most. */
void onl_batch_begin(struct onl_batch *b, struct onl *nl, uint8_t family, const char *table, size_t size);
/* A message of NFT_MSG_@type under construction, to be finished by _put. NULL: no room or no memory. */
struct nlmsghdr *onl_batch_msg(struct onl_batch *b, uint16_t type, uint16_t flags);
void onl_batch_put(struct onl_batch *b, const struct nlmsghdr *nlh);
/* Sent, answered, freed. The last message must have asked for an acknowledgement (NLM_F_ACK). */
int onl_batch_end(struct onl_batch *b);

/* ---- a rule: begin, expressions, end --------------------------------------------------------- */

struct onl_rule {
	struct onl_batch *b;
	struct nlmsghdr	*nlh;		/* NULL: the batch has failed, everything below does nothing */
	struct nlattr	*list;
};

void onl_rule_begin(struct onl_rule *r, struct onl_batch *b, const char *chain, uint16_t flags);
void onl_rule_end(struct onl_rule *r);
void onl_rule_meta(struct onl_rule *r, uint32_t key, uint32_t reg);
void onl_rule_meta_set(struct onl_rule *r, uint32_t key, uint32_t reg);
void onl_rule_payload(struct onl_rule *r, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg);
/* What is in @reg compared with @len bytes: goes on if it is (or is not) equal. */
void onl_rule_cmp(struct onl_rule *r, uint32_t reg, bool equal, const void *p, uint32_t len);
/* reg = (reg & mask) ^ xor, @len bytes each. */
void onl_rule_bitwise(struct onl_rule *r, uint32_t reg, const void *mask, const void *xor, uint32_t len);
/* Goes on if the packet is of that family. */
void onl_rule_family(struct onl_rule *r, uint8_t nfproto);
/* Goes on if the address at @offset of the network header is (or is not) in net/prefix; @len 4 or 16. */
void onl_rule_net(struct onl_rule *r, uint32_t offset, bool in, const void *net, uint32_t prefix, uint32_t len);
/* Goes on if the destination is an address of this machine. */
void onl_rule_local(struct onl_rule *r);
void onl_rule_ct_status(struct onl_rule *r, uint32_t reg);
void onl_rule_lookup(struct onl_rule *r, const char *set, uint32_t sreg, uint32_t dreg);
void onl_rule_dnat(struct onl_rule *r, uint8_t nfproto, uint32_t addr_reg, uint32_t port_reg);
void onl_rule_masquerade(struct onl_rule *r);
/* A verdict: NF_DROP, or NFT_JUMP to @chain. */
void onl_rule_verdict(struct onl_rule *r, int32_t code, const char *chain);

#endif
