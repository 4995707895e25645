/* attach.c - the bridge and the veth pairs: everything that talks to the kernel. */
#include "bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ohash.h"

void veth_name(const char *id, char out[16])
{
	uint64_t hash = ohash_fnv1a64(OHASH_FNV64_INIT, id, strlen(id));

	snprintf(out, 16, "veth%010llx", (unsigned long long)(hash & 0xffffffffffull));
}

/* As CNI's bridge plugin does: stable per address, locally administered. */
void pod_mac(struct in_addr addr, uint8_t out[6])
{
	out[0] = 0x0a;
	out[1] = 0x58;
	memcpy(out + 2, &addr.s_addr, 4);
}

static int forwarding_on(struct orlop_error *err)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_forward";
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	char c = 0;

	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "open %s", path);
	if (pread(fd, &c, 1, 0) == 1 && c == '1')
		return 0;
	if (pwrite(fd, "1\n", 2, 0) != 2)
		return orlop_fail(err, errno ? errno : EIO, 0, "", "write %s", path);
	return 0;
}

static int masquerade_on(struct bridge *b, struct orlop_error *err)
{
	struct onl *nf;
	char table[64];
	int e = onl_open(ONL_NETFILTER, &nf);

	if (e)
		return orlop_fail(err, -e, 0, "", "netfilter socket");
	snprintf(table, sizeof(table), "orlop-%s", b->name);
	e = onl_nft_table_has(nf, table);
	if (!e) {
		e = onl_nft_masquerade(nf, table, lease_addr(&b->leases, 0), b->leases.prefix);
		if (e)
			orlop_fail(err, -e, 0, "", "nf_tables: masquerade for bridge %s", b->name);
	}
	onl_close(nf);
	return e < 0 ? e : 0;
}

int bridge_ensure(struct bridge *b, struct orlop_error *err)
{
	int e;

	b->index = onl_link_index(b->nl, b->name);
	if (b->index == -ENODEV) {
		e = onl_bridge_add(b->nl, b->name, b->mtu);
		if (e)
			return orlop_fail(err, -e, 0, "", "cannot make bridge %s", b->name);
		b->index = onl_link_index(b->nl, b->name);
	}
	if (b->index < 0)
		return orlop_fail(err, -b->index, 0, "", "link %s", b->name);
	e = onl_addr4_add(b->nl, b->index, lease_addr(&b->leases, 1), b->leases.prefix);
	if (!e)
		e = onl_link_up(b->nl, b->index);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot set up bridge %s", b->name);
	e = forwarding_on(err);
	if (!e && b->masquerade)
		e = masquerade_on(b, err);
	return e;
}

int bridge_remove(struct bridge *b)
{
	char table[64];
	struct onl *nf;
	int e = onl_link_del(b->nl, b->name);

	if (e == -ENODEV)
		e = 0;
	if (!onl_open(ONL_NETFILTER, &nf)) {
		int r;

		snprintf(table, sizeof(table), "orlop-%s", b->name);
		r = onl_nft_table_del(nf, table);
		if (r && r != -ENOENT && !e)
			e = r;
		onl_close(nf);
	}
	b->index = 0;
	return e;
}

/* Address, link and route inside the pod. */
static int pod_configure(struct bridge *b, const struct lease *l, const char *netns,
			 const char *ifname, struct orlop_error *err)
{
	struct onl *pod;
	int lo;
	int eth;
	int e = onl_open_netns(netns, ONL_ROUTE, &pod);

	if (e)
		return orlop_fail(err, -e, 0, "", "enter network namespace %s", netns);
	lo = onl_link_index(pod, "lo");
	eth = onl_link_index(pod, ifname);
	e = lo < 0 ? lo : eth < 0 ? eth : onl_link_up(pod, lo);
	if (!e)
		e = onl_addr4_add(pod, eth, lease_addr(&b->leases, l->host), b->leases.prefix);
	if (!e)
		e = onl_link_up(pod, eth);
	if (!e)
		e = onl_route4_default(pod, eth, lease_addr(&b->leases, 1));
	onl_close(pod);
	if (e)
		return orlop_fail(err, -e, 0, "", "set up %s in %s", ifname, netns);
	return 0;
}

int pod_attach(struct bridge *b, const struct lease *l, const char *netns, const char *ifname,
	       struct orlop_error *err)
{
	cleanup_close int fd = open(netns, O_RDONLY | O_CLOEXEC);
	uint8_t mac[6];
	char veth[16];
	int e;

	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "open network namespace %s", netns);
	veth_name(l->id, veth);
	pod_mac(lease_addr(&b->leases, l->host), mac);
	e = onl_veth_add(b->nl, veth, b->index, ifname, mac, fd, b->mtu);
	if (e == -ENODEV || e == -EINVAL) {
		/* somebody removed the bridge: mend it, once */
		e = bridge_ensure(b, err);
		if (e)
			return e;
		e = onl_veth_add(b->nl, veth, b->index, ifname, mac, fd, b->mtu);
	}
	if (e == -EEXIST) {
		/* a leftover of an attempt that was cut off */
		(void)onl_link_del(b->nl, veth);
		e = onl_veth_add(b->nl, veth, b->index, ifname, mac, fd, b->mtu);
	}
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot make %s for %s", veth, netns);
	e = pod_configure(b, l, netns, ifname, err);
	if (e)
		(void)onl_link_del(b->nl, veth);
	return e;
}

int pod_detach(struct bridge *b, const char *id)
{
	char veth[16];
	int e;

	veth_name(id, veth);
	e = onl_link_del(b->nl, veth);
	return e == -ENODEV ? 0 : e;
}

int pod_check(struct bridge *b, const struct lease *l, const char *netns, const char *ifname,
	      struct orlop_error *err)
{
	struct onl *pod;
	char veth[16];
	int eth;
	int e;

	veth_name(l->id, veth);
	e = onl_link_index(b->nl, veth);
	if (e < 0)
		return orlop_fail(err, -e, 0, "", "link %s is gone", veth);
	e = onl_open_netns(netns, ONL_ROUTE, &pod);
	if (e)
		return orlop_fail(err, -e, 0, "", "enter network namespace %s", netns);
	eth = onl_link_index(pod, ifname);
	e = eth < 0 ? eth : onl_addr4_has(pod, eth, lease_addr(&b->leases, l->host));
	onl_close(pod);
	if (e < 0 || !e)
		return orlop_fail(err, e ? -e : EADDRNOTAVAIL, 0, "", "%s in %s lost its address",
				  ifname, netns);
	return 0;
}
