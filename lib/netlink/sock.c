/* sock.c - a netlink socket, here or in another namespace, and one request with its answer. */
#include "netlink/onl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "netlink/onl_priv.h"

int onl_open(int protocol, struct onl **ret)
{
	struct onl *nl = OMEM_NEW(struct onl);
	int e;

	if (!nl)
		return -ENOMEM;
	nl->sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		e = -errno;
		onl_close(nl);
		return e;
	}
	nl->portid = mnl_socket_get_portid(nl->sock);
	*ret = nl;
	return 0;
}

int onl_open_netns(const char *path, int protocol, struct onl **ret)
{
	cleanup_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int there = open(path, O_RDONLY | O_CLOEXEC);
	int e;

	if (home < 0 || there < 0)
		return -errno;
	if (setns(there, CLONE_NEWNET))
		return -errno;
	e = onl_open(protocol, ret);
	if (setns(home, CLONE_NEWNET)) {
		if (!e)
			onl_close(*ret);
		return -ENOTRECOVERABLE;
	}
	return e;
}

void onl_close(struct onl *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	omem_free(nl);
}

struct nlmsghdr *onl_msg(struct onl *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(nl->buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++nl->seq;
	return nlh;
}

/*
 * What came for a request that failed in the middle (no memory for its answer, an interrupted read):
 * left there it would be taken for the answer to the next one, and that one's for the one after it.
 */
void onl_stale_drop(struct onl *nl)
{
	char one;

	errno = 0;
	while (recv(mnl_socket_get_fd(nl->sock), &one, sizeof(one), MSG_DONTWAIT | MSG_TRUNC) > 0 || errno == EINTR ||
	       errno == ENOBUFS)
		errno = 0;
}

int onl_talk(struct onl *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *arg)
{
	uint32_t seq = nlh->nlmsg_seq;
	int r;

	onl_stale_drop(nl);
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(nl->buf, (size_t)n, seq, nl->portid, cb, arg);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}
