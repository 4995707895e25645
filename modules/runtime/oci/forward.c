/*
 * forward.c - a connection to a port inside a pod: a worker goes into the pod's network namespace,
 * makes a socket there and comes back; where it points stays with the socket. localhost, as upstream:
 * 127.0.0.1 first, then ::1.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define CONNECT_MS	5000

struct forward {
	struct oci	*o;
	struct orlop_call *call;
	char		*netns;		/* NULL: the host's */
	char		sandbox[OCI_ID_LEN + 1];
	uint16_t	port;
	int		fd;
	int		e;
};

static void forward_free(struct forward *f)
{
	if (f->fd >= 0)
		close(f->fd);
	omem_free(f->netns);
	omem_free(f);
}

static int dial(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t n = sizeof(int);
	int e = 0;

	if (!connect(fd, sa, len))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&p, 1, CONNECT_MS) != 1)
		return -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) ? -errno : -e;
}

/* Connected socket or -errno, made where this thread is. */
static int dial_localhost(uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int one = 1;
	int first = 0;
	int i;

	for (i = 0; i < 2; i++) {
		int fd = socket(i ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int e = fd < 0 ? -errno
			: i ? dial(fd, (struct sockaddr *)&v6, sizeof(v6)) : dial(fd, (struct sockaddr *)&v4, sizeof(v4));

		if (!e) {
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd;
		}
		if (fd >= 0)
			close(fd);
		first = first ? first : e;
	}
	return first;
}

static void forward_work(void *arg)
{
	struct forward *f = arg;
	cleanup_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int there = f->netns ? open(f->netns, O_RDONLY | O_CLOEXEC) : -1;

	if (f->netns && (home < 0 || there < 0 || setns(there, CLONE_NEWNET))) {
		f->e = -errno;
		return;
	}
	f->fd = dial_localhost(f->port);
	f->e = f->fd < 0 ? f->fd : 0;
	if (f->netns && setns(home, CLONE_NEWNET))
		f->e = -ENOTRECOVERABLE;
}

static void forward_done(void *arg)
{
	struct forward *f = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct orlop_msg msg;

	if (f->e) {
		/* socat's and containerd's words: kubectl shows them to people */
		orlop_fail(&err, -f->e, 0, "", "failed to connect to localhost:%u inside namespace \"%s\": %s", f->port,
			   f->sandbox, strerrordesc_np(-f->e));
		reply_error(f->o, f->call, &err);
	} else {
		orlop_msgw_init(&w, f->o->h);
		orlop_msgw_fd(&w, f->fd);
		f->fd = -1;
		msg = orlop_msgw_msg(&w);
		f->o->h->call_done(f->call, 0, &msg, NULL);
		orlop_msgw_done(&w);
	}
	forward_free(f);
}

OCI_OP(op_port_forward)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct sandbox *s;
	struct forward *f;
	int64_t port;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	s = sandbox_get(o, r, err);
	if (!s)
		return -ENOENT;
	if (!s->ready)
		return orlop_fail(err, EINVAL, 0, "", "sandbox container %s is not running", s->id);
	port = ojson_i64(ojson_index(ojson_get(r, "port"), 0), 0);
	if (port < 1 || port > 65535 || ojson_count(ojson_get(r, "port")) != 1)
		return orlop_fail(err, EINVAL, 0, "", "port forward of sandbox %s: one port from 1 to 65535", s->id);
	f = OMEM_NEW(struct forward);
	if (!f)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	f->o = o;
	f->call = call;
	f->port = (uint16_t)port;
	f->fd = -1;
	memcpy(f->sandbox, s->id, sizeof(f->sandbox));
	f->netns = s->host_net ? NULL : path_of(o, "sandboxes/%s/ns/net", s->id);
	e = s->host_net || f->netns ? o->h->work(o->h, 0, forward_work, forward_done, f) : -ENOMEM;
	if (e) {
		forward_free(f);
		return orlop_fail(err, -e, 0, "", "no worker for a connection into sandbox %s", s->id);
	}
	return 0;
}
