/* tc.c - a token bucket on a link: what a pod may send or receive. Source: tc-tbf(8), linux/pkt_sched.h. */
#include "netlink/onl.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/onl_priv.h"

#define LATENCY_MS	25u	/* as CNI's bandwidth plugin */

static struct nlmsghdr *qdisc_msg(struct onl *nl, uint16_t type, uint16_t flags, int index)
{
	struct nlmsghdr *nlh = onl_msg(nl, type, flags);
	struct tcmsg *tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));

	memset(tcm, 0, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	tcm->tcm_ifindex = index;
	tcm->tcm_parent = TC_H_ROOT;
	return nlh;
}

int onl_tbf_set(struct onl *nl, int index, uint64_t rate, uint32_t burst)
{
	struct nlmsghdr *nlh = qdisc_msg(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, index);
	struct tc_tbf_qopt q = { .rate.linklayer = TC_LINKLAYER_ETHERNET };
	uint64_t limit = rate / 1000 * LATENCY_MS + burst;
	struct nlattr *options;

	((struct tcmsg *)mnl_nlmsg_get_payload(nlh))->tcm_handle = TC_H_MAKE(1u << 16, 0);
	q.rate.rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
	q.limit = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
	mnl_attr_put_strz(nlh, TCA_KIND, "tbf");
	options = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put(nlh, TCA_TBF_PARMS, sizeof(q), &q);
	mnl_attr_put_u32(nlh, TCA_TBF_BURST, burst);
	if (rate > UINT32_MAX)
		mnl_attr_put(nlh, TCA_TBF_RATE64, sizeof(rate), &rate);
	mnl_attr_nest_end(nlh, options);
	return onl_talk(nl, nlh, NULL, NULL);
}

struct want {
	int	index;
	int	found;
};

static int qdisc_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	struct want *w = arg;
	const struct nlattr *attr;

	if (tcm->tcm_ifindex != w->index || tcm->tcm_parent != TC_H_ROOT)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*tcm))
		if (mnl_attr_get_type(attr) == TCA_KIND && !strcmp(mnl_attr_get_str(attr), "tbf"))
			w->found = 1;
	return MNL_CB_OK;
}

int onl_tbf_has(struct onl *nl, int index)
{
	struct want w = { .index = index };
	struct nlmsghdr *nlh = qdisc_msg(nl, RTM_GETQDISC, NLM_F_DUMP, index);
	int e = onl_talk(nl, nlh, qdisc_cb, &w);

	return e ? e : w.found;
}
