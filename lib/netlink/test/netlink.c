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

int main(void)
{
	static const uint8_t mac[6] = { 0x0a, 0x58, 10, 99, 0, 2 };
	char dir[] = "/tmp/orlop-netlink-XXXXXX";
	char path[64];
	struct onl *nl = NULL;
	struct onl *nf = NULL;
	struct onl *pod = NULL;
	struct in_addr found;
	int bridge;
	int eth;
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return otap_skip_all("needs to make namespaces (root)");
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
	is_int(onl_open(ONL_NETFILTER, &nf), 0, "netfilter socket");
	is_int(onl_nft_table_has(nf, "orlop-t0"), 0, "no table");
	is_int(onl_nft_masquerade(nf, "orlop-t0", ip("10.99.0.0"), 24), 0, "masquerade");
	is_int(onl_nft_masquerade(nf, "orlop-t0", ip("10.99.0.0"), 24), 0, "masquerade again");
	is_int(onl_nft_table_has(nf, "orlop-t0"), 1, "table is there");
	is_int(onl_nft_table_del(nf, "orlop-t0"), 0, "table removed");
	is_int(onl_nft_table_del(nf, "orlop-t0"), -ENOENT, "none left");
	is_int(onl_link_del(nl, "vt1"), 0, "veth removed");
	is_int(onl_link_index(pod, "eth0"), -ENODEV, "its other end is gone too");
	onl_close(pod);
	onl_close(nf);
	onl_close(nl);
	umount2(path, MNT_DETACH);
	unlink(path);
	rmdir(dir);
	return done_testing();
}
