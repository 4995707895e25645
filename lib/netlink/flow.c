/*
 * flow.c - forgetting UDP flows. A flow has no end that the kernel could see: it goes on to where its first packet went
 * as long as packets come, also when a port leads elsewhere since. Source: linux/netfilter/nfnetlink_conntrack.h.
 */
#include "netlink/onl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "base/omem.h"
#include "netlink/onl_priv.h"

#define TUPLE_MAX	256u
#define FLOWS_MAX	1024u

/* Tuples of flows to be deleted, as the kernel gave them. */
struct flows {
	uint16_t	port;		/* host order; 0: any */
	const struct onl_ip *addr;	/* NULL: any */
	uint32_t	n;
	uint32_t	len[FLOWS_MAX];
	char		tuple[FLOWS_MAX][TUPLE_MAX];
};

struct tuple {
	uint8_t		proto;
	uint16_t	dport;
	const void	*src;
	const void	*dst;
	uint32_t	addr_len;
};

static void tuple_read(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *part;
	const struct nlattr *a;

	memset(t, 0, sizeof(*t));
	mnl_attr_for_each_nested(part, nest) {
		bool ip = mnl_attr_get_type(part) == CTA_TUPLE_IP;

		mnl_attr_for_each_nested(a, part) {
			uint16_t type = mnl_attr_get_type(a);
			const void *p = mnl_attr_get_payload(a);

			if (ip && (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC))
				t->src = p;
			else if (ip && (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST)) {
				t->dst = p;
				t->addr_len = mnl_attr_get_payload_len(a);
			} else if (!ip && type == CTA_PROTO_NUM)
				t->proto = mnl_attr_get_u8(a);
			else if (!ip && type == CTA_PROTO_DST_PORT)
				t->dport = ntohs(mnl_attr_get_u16(a));
		}
	}
}

static bool has_addr(const struct tuple *t, const struct onl_ip *ip)
{
	const uint32_t len = ip->family == AF_INET6 ? 16 : 4;

	return t->src && t->dst && t->addr_len == len && (!memcmp(t->src, &ip->v6, len) || !memcmp(t->dst, &ip->v6, len));
}

static int flow_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct flows *f = arg;
	const struct nlattr *attr;
	const struct nlattr *orig = NULL;
	struct tuple o = { 0 };
	struct tuple r = { 0 };

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG) {
			orig = attr;
			tuple_read(attr, &o);
		} else if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY) {
			tuple_read(attr, &r);
		}
	}
	if (!orig || o.proto != IPPROTO_UDP || (f->port && o.dport != f->port) || orig->nla_len > TUPLE_MAX ||
	    (f->addr && !has_addr(&o, f->addr) && !has_addr(&r, f->addr)))
		return MNL_CB_OK;
	if (f->n < FLOWS_MAX) {
		memcpy(f->tuple[f->n], orig, orig->nla_len);
		f->len[f->n++] = orig->nla_len;
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *ct_msg(struct onl *nl, uint16_t type, uint16_t flags, int family)
{
	struct nlmsghdr *nlh = onl_msg(nl, (uint16_t)((NFNL_SUBSYS_CTNETLINK << 8) | type), flags);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nfg->nfgen_family = (uint8_t)family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	return nlh;
}

int onl_udp_forget(struct onl *nl, int family, uint16_t port, const struct onl_ip *addr)
{
	struct flows *f = OMEM_NEW(struct flows);
	int e;

	if (!f)
		return -ENOMEM;
	f->port = port;
	f->addr = addr;
	e = onl_talk(nl, ct_msg(nl, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family), flow_cb, f);
	for (uint32_t i = 0; i < f->n && !e; i++) {
		struct nlmsghdr *nlh = ct_msg(nl, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family);

		memcpy(mnl_nlmsg_get_payload_tail(nlh), f->tuple[i], f->len[i]);
		nlh->nlmsg_len += MNL_ALIGN(f->len[i]);
		e = onl_talk(nl, nlh, NULL, NULL);
		if (e == -ENOENT)
			e = 0;
	}
	omem_free(f);
	/* a kernel without ctnetlink */
	return e == -EOPNOTSUPP || e == -EINVAL ? 0 : e;
}
