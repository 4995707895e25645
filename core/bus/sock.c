/*
 * sock.c - NN_BUS sockets of nanomsg.
 */
#include "sock.h"

#include <errno.h>
#include <nanomsg/bus.h>
#include <nanomsg/nn.h>
#include <pthread.h>
#include <signal.h>

/* More than the windows of both directions can ever need: credits are the limit, not this. */
#define SOCK_RCVBUF (16 << 20)

static int sock_open(struct core_sock *k)
{
	int rcvbuf = SOCK_RCVBUF;
	size_t n = sizeof(k->fd);

	k->s = nn_socket(AF_SP, NN_BUS);
	if (k->s < 0)
		return -errno;
	if (nn_setsockopt(k->s, NN_SOL_SOCKET, NN_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0 ||
	    nn_getsockopt(k->s, NN_SOL_SOCKET, NN_RCVFD, &k->fd, &n) < 0)
		return -errno;
	return 0;
}

int core_sock_pair(const char *url, struct core_sock *a, struct core_sock *b)
{
	sigset_t all;
	sigset_t old;
	int r;

	*a = *b = (struct core_sock)CORE_SOCK_NONE;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = sock_open(a);
	if (r == 0)
		r = sock_open(b);
	if (r == 0 && (nn_bind(a->s, url) < 0 || nn_connect(b->s, url) < 0))
		r = -errno;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		core_sock_close(a);
		core_sock_close(b);
	}
	return r;
}

void core_sock_send(const struct core_sock *k, const void *p, size_t len)
{
	(void)nn_send(k->s, p, len, NN_DONTWAIT);
}

void *core_sock_recv(const struct core_sock *k, size_t *ret_len)
{
	void *p = NULL;
	int n = nn_recv(k->s, &p, NN_MSG, NN_DONTWAIT);

	if (n < 0)
		return NULL;
	*ret_len = (size_t)n;
	return p;
}

void core_sock_free(void *packet)
{
	(void)nn_freemsg(packet);
}

void core_sock_close(struct core_sock *k)
{
	if (k->s >= 0)
		(void)nn_close(k->s);
	k->s = -1;
	k->fd = -1;
}
