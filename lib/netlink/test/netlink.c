/* netlink.c - links, addresses and rules in a network namespace of the test's own. */
#include "netlink/onl.h"
#include "netlink/onl_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/otap.h"

static struct in_addr ip(const char *text)
{
	struct in_addr a;

	inet_pton(AF_INET, text, &a);
	return a;
}

/* A namespace pinned at @path by a bind mount, made by a child so that we stay where we are. */
static int netns_pin(const char *path)
{
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	int status;
	pid_t pid;

	if (fd < 0)
		return -1;
	close(fd);
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL));
	if (waitpid(pid, &status, 0) < 0 || status)
		return -1;
	return 0;
}

static void gone(void *arg, const char *name)
{
	*(const char **)arg = strcmp(name, "t0") ? "something else" : "t0";
}

int main(void)
{
	static const uint8_t mac[6] = { 0x0a, 0x58, 10, 99, 0, 2 };
	char dir[] = "/tmp/orlop-netlink-XXXXXX";
	char path[64];
	struct onl *nl = NULL;
	struct onl *watch = NULL;
	struct onl *pod = NULL;
	struct in_addr found;
	struct in6_addr found6;
	struct in6_addr six;
	struct in6_addr gw6;
	const char *seen = "";
	int bridge;
	int eth;
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return otap_skip_all("needs to make namespaces (root)");
	inet_pton(AF_INET6, "fd00:99::2", &six);
	inet_pton(AF_INET6, "fd00:99::1", &gw6);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	ok(mkdtemp(dir) != NULL, "a place for the pod's namespace");
	snprintf(path, sizeof(path), "%s/pod", dir);
	ok(!netns_pin(path), "namespace pinned by a file");
	is_int(onl_open(ONL_ROUTE, &nl), 0, "route socket");
	is_int(onl_link_index(nl, "t0"), -ENODEV, "no such link");
	/* A request whose answer nobody has read: the next one gets its own all the same. */
	for (int i = 0; i < 3; i++) {
		struct nlmsghdr *nlh = onl_msg(nl, RTM_GETLINK, NLM_F_DUMP);

		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
		ok(mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) > 0, "a request that is forgotten");
	}
	is_int(onl_link_index(nl, "t0"), -ENODEV, "what is asked next is answered");
	is_int(onl_bridge_add(nl, "t0", 1400), 0, "bridge made");
	is_int(onl_bridge_add(nl, "t0", 1400), -EEXIST, "not twice");
	bridge = onl_link_index(nl, "t0");
	ok(bridge > 0, "bridge found");
	is_int(onl_addr4_add(nl, bridge, ip("10.99.0.1"), 24), 0, "address");
	is_int(onl_addr4_add(nl, bridge, ip("10.99.0.1"), 24), 0, "address again");
	is_int(onl_addr4_has(nl, bridge, ip("10.99.0.1")), 1, "has it");
	is_int(onl_addr4_has(nl, bridge, ip("10.99.0.9")), 0, "has not another");
	is_int(onl_link_up(nl, bridge), 0, "up");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	is_int(onl_veth_add(nl, "vt1", bridge, "eth0", mac, fd, 1400), 0, "veth into the pod");
	is_int(onl_veth_add(nl, "vt1", bridge, "eth0", mac, fd, 1400), -EEXIST, "not twice");
	close(fd);
	is_int(onl_open_netns(path, ONL_ROUTE, &pod), 0, "socket in the pod");
	eth = onl_link_index(pod, "eth0");
	ok(eth > 0, "the pod has eth0");
	is_int(onl_link_index(nl, "eth0"), -ENODEV, "and we are still outside");
	is_int(onl_addr4_add(pod, eth, ip("10.99.0.2"), 24), 0, "pod address");
	is_int(onl_link_up(pod, eth), 0, "pod link up");
	is_int(onl_route4_default(pod, eth, ip("10.99.0.1")), 0, "default route");
	is_int(onl_route4_default(pod, eth, ip("10.99.0.1")), 0, "default route again");
	is_int(onl_addr4_node(pod, &found), 0, "address of the node found");
	is_int((int)(found.s_addr == ip("10.99.0.2").s_addr), 1, "by its default route");
	is_int(onl_link_master(nl, "vt1"), bridge, "the veth is a port of the bridge");
	is_int(onl_addr6_add(pod, eth, &six, 64), 0, "an IPv6 address");
	is_int(onl_addr6_add(pod, eth, &six, 64), 0, "and again");
	is_int(onl_addr6_has(pod, eth, &six), 1, "has it");
	is_int(onl_addr6_has(pod, eth, &gw6), 0, "has not another");
	is_int(onl_route6_default(pod, eth, &gw6), 0, "IPv6 default route");
	is_int(onl_route6_default(pod, eth, &gw6), 0, "and again");
	is_int(onl_addr6_node(pod, &found6), 0, "IPv6 address of the node found");
	ok(IN6_ARE_ADDR_EQUAL(&found6, &six), "by its default route");
	is_int(onl_tbf_has(pod, eth), 0, "no limit");
	is_int(onl_tbf_set(pod, eth, 1000000, 20000), 0, "a limit");
	is_int(onl_tbf_set(pod, eth, UINT64_C(5000000000), 200000), 0, "another, beyond 32 bits");
	is_int(onl_tbf_has(pod, eth), 1, "is there");
	is_int(onl_watch_links(&watch), 0, "listening for links");
	is_int(onl_link_del(nl, "t0"), 0, "the bridge is removed");
	is_int(onl_watch_read(watch, gone, &seen), 0, "what was heard is read");
	is_str(seen, "t0", "of the bridge only: its port is still there");
	is_int(onl_link_master(nl, "vt1"), 0, "without a bridge");
	is_int(onl_bridge_add(nl, "t0", 1400), 0, "the bridge again");
	bridge = onl_link_index(nl, "t0");
	is_int(onl_link_join(nl, onl_link_index(nl, "vt1"), bridge), 0, "the port joins it");
	is_int(onl_link_master(nl, "vt1"), bridge, "and is there");
	onl_close(watch);
	is_int(onl_link_del(nl, "vt1"), 0, "veth removed");
	is_int(onl_link_index(pod, "eth0"), -ENODEV, "its other end is gone too");
	onl_close(pod);
	onl_close(nl);
	umount2(path, MNT_DETACH);
	unlink(path);
	rmdir(dir);
	return done_testing();
}
