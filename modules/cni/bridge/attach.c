/* attach.c - the bridge and the veth pairs: links, addresses, routes. */
#include "bridge.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ohash.h"

#define BURST_MIN	(32u << 10)

void veth_name(const char *id, char out[16])
{
	uint64_t hash = ohash_fnv1a64(OHASH_FNV64_INIT, id, strlen(id));

	snprintf(out, 16, "veth%010llx", (unsigned long long)(hash & 0xffffffffffull));
}

/* As CNI's bridge plugin does: stable per address, locally administered. */
void pod_mac(const struct leases *l, uint32_t host, uint8_t out[6])
{
	struct in_addr a4 = lease_addr(l, host);
	struct in6_addr a6 = lease_addr6(l, host);

	out[0] = 0x0a;
	out[1] = 0x58;
	if (l->prefix4)
		memcpy(out + 2, &a4.s_addr, 4);
	else
		memcpy(out + 2, a6.s6_addr + 12, 4);
}

bool netns_lives(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && s.f_type == NSFS_MAGIC;
}

/* @keep: a value that is as good. */
static int sysctl_set(const char *path, char value, const char *keep, bool *ret_changed, struct orlop_error *err)
{
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	char text[2] = { value, '\n' };
	char c = 0;

	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "open %s: %s", path, strerrordesc_np(errno));
	if (pread(fd, &c, 1, 0) == 1 && strchr(keep, c) && c)
		return 0;
	if (pwrite(fd, text, 2, 0) != 2)
		return orlop_fail(err, errno ? errno : EIO, 0, "", "write %s", path);
	*ret_changed = true;
	return 0;
}

/*
 * A router does not listen to routers, unless told so by 2: a machine that learned its default route that way would
 * lose it when forwarding is switched on.
 */
static void keep_routers(void)
{
	static const char conf[] = "/proc/sys/net/ipv6/conf";
	cleanup_dir DIR *dir = opendir(conf);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char path[512];
		bool changed;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/accept_ra", conf, d->d_name);
		(void)sysctl_set(path, '2', "02", &changed, NULL);
	}
}

static int forwarding_on(const struct bridge *b, struct orlop_error *err)
{
	static const char forward6[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	bool changed = false;
	char c = 0;
	int fd;
	int e = b->leases.prefix4 ? sysctl_set("/proc/sys/net/ipv4/ip_forward", '1', "1", &changed, err) : 0;

	if (e || !b->leases.prefix6)
		return e;
	fd = open(forward6, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && pread(fd, &c, 1, 0) == 1 && c == '0')
		keep_routers();
	if (fd >= 0)
		(void)close(fd);
	return sysctl_set(forward6, '1', "1", &changed, err);
}

/* 0: the kernel's default */
static uint32_t mtu_of(struct bridge *b)
{
	int out = b->mtu ? 0 : onl_route4_link(b->nl);

	/* what a pod sends should fit through the way out */
	if (out > 0 && onl_link_mtu(b->nl, out, &b->mtu))
		b->mtu = 0;
	return b->mtu;
}

static int addresses_add(struct bridge *b, struct onl *nl, int index, uint32_t host)
{
	struct in6_addr six = lease_addr6(&b->leases, host);
	int e = 0;

	if (b->leases.prefix4)
		e = onl_addr4_add(nl, index, lease_addr(&b->leases, host), b->leases.prefix4);
	if (!e && b->leases.prefix6)
		e = onl_addr6_add(nl, index, &six, b->leases.prefix6);
	return e;
}

/* Ports of a bridge that was removed are still there, and belong to nobody. */
static void ports_join(struct bridge *b)
{
	uint32_t n = 0;

	for (const struct lease *l = b->leases.first; l; l = l->next) {
		char veth[16];
		int index;

		veth_name(l->id, veth);
		if (onl_link_master(b->nl, veth) == b->index)
			continue;
		index = onl_link_index(b->nl, veth);
		if (index > 0 && !onl_link_join(b->nl, index, b->index))
			n++;
	}
	if (n)
		OLOG(b->h, WARN, "ports_joined", "bridge=%s n=%u text=\"somebody had removed it\"", b->name, n);
}

int bridge_ensure(struct bridge *b, struct orlop_error *err)
{
	bool made = false;
	uint8_t mac[6];
	int e;

	b->index = onl_link_index(b->nl, b->name);
	if (b->index == -ENODEV) {
		e = onl_bridge_add(b->nl, b->name, mtu_of(b));
		if (e)
			return orlop_fail(err, -e, 0, "", "cannot make bridge %s: %s", b->name, strerrordesc_np(-e));
		b->index = onl_link_index(b->nl, b->name);
		b->route_localnet = false;
		made = true;
	}
	if (b->index < 0)
		return orlop_fail(err, -b->index, 0, "", "link %s: %s", b->name, strerrordesc_np(-b->index));
	/* one that stays: else it is that of some port, and pods would ask an address that is gone */
	pod_mac(&b->leases, 1, mac);
	e = made ? onl_link_mac(b->nl, b->index, mac) : 0;
	if (!e)
		e = addresses_add(b, b->nl, b->index, 1);
	if (!e)
		e = onl_link_up(b->nl, b->index);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot set up bridge %s: %s", b->name, strerrordesc_np(-e));
	e = forwarding_on(b, err);
	if (!e)
		e = rules_ensure(b, made, err);
	ports_join(b);
	return e;
}

int bridge_remove(struct bridge *b)
{
	int e = onl_link_del(b->nl, b->name);
	int r = rules_remove(b);

	b->index = 0;
	if (e && e != -ENODEV)
		return e;
	return r;
}

/* Bytes that may go at once: a tenth of a second, but more than one large frame. */
static uint32_t burst_of(uint64_t rate)
{
	uint64_t burst = rate / 10;

	return burst < BURST_MIN ? BURST_MIN : burst > 64u << 20 ? 64u << 20 : (uint32_t)burst;
}

/* Bits a second of pods are bytes a second of the kernel. */
static int limit(struct onl *nl, int index, uint64_t bits)
{
	uint64_t rate = bits / 8;

	return bits ? onl_tbf_set(nl, index, rate ? rate : 1, burst_of(rate)) : 0;
}

/* Address, link and route inside the pod. */
static int pod_configure(struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	const char *ifname = l->want.ifname;
	struct in6_addr gw6 = lease_addr6(&b->leases, 1);
	struct onl *pod;
	int lo;
	int eth;
	int e = onl_open_netns(l->want.netns, ONL_ROUTE, &pod);

	if (e)
		return orlop_fail(err, -e, 0, "", "enter network namespace %s: %s", l->want.netns, strerrordesc_np(-e));
	lo = onl_link_index(pod, "lo");
	eth = onl_link_index(pod, ifname);
	e = lo < 0 ? lo : eth < 0 ? eth : onl_link_up(pod, lo);
	if (!e)
		e = addresses_add(b, pod, eth, l->host);
	if (!e)
		e = onl_link_up(pod, eth);
	if (!e && b->leases.prefix4)
		e = onl_route4_default(pod, eth, lease_addr(&b->leases, 1));
	if (!e && b->leases.prefix6)
		e = onl_route6_default(pod, eth, &gw6);
	if (!e)
		e = limit(pod, eth, l->want.out_rate);
	onl_close(pod);
	if (e)
		return orlop_fail(err, -e, 0, "", "set up %s in %s: %s", ifname, l->want.netns, strerrordesc_np(-e));
	return 0;
}

static int veth_make(struct bridge *b, const struct lease *l, const char *veth, int fd, struct orlop_error *err)
{
	const uint32_t mtu = mtu_of(b);
	uint8_t mac[6];
	int e;

	pod_mac(&b->leases, l->host, mac);
	e = onl_veth_add(b->nl, veth, b->index, l->want.ifname, mac, fd, mtu);
	if (e == -ENODEV || e == -EINVAL) {
		/* somebody removed the bridge: mend it, once */
		e = bridge_ensure(b, err);
		if (e)
			return e;
		e = onl_veth_add(b->nl, veth, b->index, l->want.ifname, mac, fd, mtu);
	}
	if (e == -EEXIST) {
		/* a leftover of an attempt that was cut off */
		(void)onl_link_del(b->nl, veth);
		e = onl_veth_add(b->nl, veth, b->index, l->want.ifname, mac, fd, mtu);
	}
	return e ? orlop_fail(err, -e, 0, "", "cannot make %s for %s: %s", veth, l->want.netns, strerrordesc_np(-e)) : 0;
}

int pod_attach(struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	cleanup_close int fd = open(l->want.netns, O_RDONLY | O_CLOEXEC);
	char veth[16];
	int e;

	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "open network namespace %s: %s", l->want.netns, strerrordesc_np(errno));
	veth_name(l->id, veth);
	e = veth_make(b, l, veth, fd, err);
	if (e)
		return e;
	e = pod_configure(b, l, err);
	if (!e && l->want.in_rate) {
		e = limit(b->nl, onl_link_index(b->nl, veth), l->want.in_rate);
		if (e)
			orlop_fail(err, -e, 0, "", "limit %s: %s", veth, strerrordesc_np(-e));
	}
	if (!e)
		e = rules_add(b, l, err);
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

void pods_unlink(struct bridge *b, const char *const *ids, uint32_t n)
{
	/* a group that nobody else has: who shares this machine has other bridges */
	const uint32_t group = UINT32_C(0x6f000000) | ((uint32_t)b->index & 0xffffff);
	char veth[16];
	uint32_t i;

	for (i = 0; i < n && b->index > 0; i++) {
		veth_name(ids[i], veth);
		(void)onl_link_group(b->nl, veth, group);
	}
	/* what is left, for whatever reason, is deleted by name */
	if (n && b->index > 0)
		(void)onl_group_del(b->nl, group);
}

static int pod_has(struct bridge *b, const struct lease *l, const char *netns, const char *ifname)
{
	struct in6_addr six = lease_addr6(&b->leases, l->host);
	struct onl *pod;
	int eth;
	int e = onl_open_netns(netns, ONL_ROUTE, &pod);

	if (e)
		return e;
	eth = onl_link_index(pod, ifname);
	e = eth < 0 ? eth : 1;
	if (e > 0 && b->leases.prefix4)
		e = onl_addr4_has(pod, eth, lease_addr(&b->leases, l->host));
	if (e > 0 && b->leases.prefix6)
		e = onl_addr6_has(pod, eth, &six);
	if (e > 0 && l->want.out_rate)
		e = onl_tbf_has(pod, eth);
	onl_close(pod);
	return e > 0 ? 0 : e ? e : -EADDRNOTAVAIL;
}

int pod_check(struct bridge *b, const struct lease *l, const char *netns, const char *ifname, struct orlop_error *err)
{
	char veth[16];
	int e;

	veth_name(l->id, veth);
	e = onl_link_master(b->nl, veth);
	if (e < 0)
		return orlop_fail(err, -e, 0, "", "link %s is gone", veth);
	if (!b->index || e != b->index)
		return orlop_fail(err, ENOLINK, 0, "", "link %s is no port of bridge %s", veth, b->name);
	if (l->want.in_rate && onl_tbf_has(b->nl, onl_link_index(b->nl, veth)) != 1)
		return orlop_fail(err, ENOENT, 0, "", "link %s lost its limit", veth);
	e = pod_has(b, l, netns, ifname);
	if (e)
		return orlop_fail(err, -e, 0, "", "%s in %s lost its address", ifname, netns);
	return rules_check(b, l, err);
}
