/* nftport.c - ports of this machine that lead to pods: elements of maps. See nft.c. */
#include "netlink/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* An element's key and what it leads to, each part filled up to words. */
struct element {
	const struct onl_nft_map *map;
	uint8_t		key[24];
	uint32_t	key_len;
	uint8_t		data[20];
	uint32_t	data_len;
};

static void element_make(const struct onl_port *p, struct element *e)
{
	const uint16_t port = htons(p->port);
	const uint16_t to = htons(p->to_port);

	memset(e, 0, sizeof(*e));
	e->map = &onl_nft_maps[(p->to.family == AF_INET6 ? 2 : 0) + (p->host.family ? 0 : 1)];
	if (e->map->by_host) {
		memcpy(e->key, &p->host.v6, e->map->addr_len);
		e->key_len = e->map->addr_len;
	}
	e->key[e->key_len] = p->proto;
	memcpy(e->key + e->key_len + 4, &port, 2);
	e->key_len += 8;
	memcpy(e->data, &p->to.v6, e->map->addr_len);
	memcpy(e->data + e->map->addr_len, &to, 2);
	e->data_len = e->map->addr_len + 4;
}

static void bytes_put(struct nlmsghdr *nlh, uint16_t attr, const void *p, uint32_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, attr);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, p);
	mnl_attr_nest_end(nlh, nest);
}

static void element_put(struct nlmsghdr *nlh, const char *table, const struct element *e, bool data)
{
	struct nlattr *list;
	struct nlattr *elem;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, e->map->name);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	bytes_put(nlh, NFTA_SET_ELEM_KEY, e->key, e->key_len);
	if (data)
		bytes_put(nlh, NFTA_SET_ELEM_DATA, e->data, e->data_len);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
}

void onl_nft_port_put(struct onl_batch *b, uint16_t type, uint16_t flags, const struct onl_port *port)
{
	struct nlmsghdr *nlh = onl_batch_msg(b, type, flags);
	struct element e;

	element_make(port, &e);
	if (nlh)
		element_put(nlh, b->table, &e, type == NFT_MSG_NEWSETELEM);
	onl_batch_put(b, nlh);
}

int onl_nft_ports_add(struct onl *nl, const char *table, const struct onl_port *ports, uint32_t n_ports)
{
	struct onl_batch b;
	int e;

	if (!n_ports)
		return 0;
	onl_batch_begin(&b, nl, NFPROTO_INET, table, n_ports * ONL_PORT_BYTES);
	for (uint32_t i = 0; i < n_ports; i++)
		onl_nft_port_put(&b, NFT_MSG_NEWSETELEM, (uint16_t)(NLM_F_CREATE | (i + 1 == n_ports ? NLM_F_ACK : 0)),
				 &ports[i]);
	e = onl_batch_end(&b);
	return e == -EBUSY ? -EEXIST : e;
}

int onl_nft_port_del(struct onl *nl, const char *table, const struct onl_port *port)
{
	struct onl_batch b;

	onl_batch_begin(&b, nl, NFPROTO_INET, table, ONL_PORT_BYTES);
	onl_nft_port_put(&b, NFT_MSG_DELSETELEM, NLM_F_ACK, port);
	return onl_batch_end(&b);
}

struct found {
	const struct element *want;
	bool		same;
};

static int value_is(const struct nlattr *nest, const void *p, uint32_t len)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE)
			return mnl_attr_get_payload_len(attr) == len && !memcmp(mnl_attr_get_payload(attr), p, len);
	return 0;
}

static int has_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct found *f = arg;
	const struct nlattr *attr;
	const struct nlattr *elem;
	const struct nlattr *part;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(elem, attr)
			mnl_attr_for_each_nested(part, elem)
				if (mnl_attr_get_type(part) == NFTA_SET_ELEM_DATA)
					f->same = value_is(part, f->want->data, f->want->data_len);
	}
	return MNL_CB_OK;
}

int onl_nft_port_has(struct onl *nl, const char *table, const struct onl_port *port)
{
	struct nlmsghdr *nlh = onl_msg(nl, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETSETELEM, NLM_F_ACK);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	struct element want;
	struct found f = { .want = &want };
	int e;

	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	element_make(port, &want);
	element_put(nlh, table, &want, false);
	e = onl_talk(nl, nlh, has_cb, &f);
	return e == -ENOENT ? 0 : e ? e : f.same;
}
