/*
 * sock.h - the only place that knows nanomsg: a pair of NN_BUS sockets.
 *
 * Traps that shape it (all measured): sending reports success whatever happens to the message, so
 * nothing here returns that; inproc queues drop beyond NN_RCVBUF, so it is large; closing throws
 * away what is queued; nn_term() would forbid sockets for ever, so it is never called; the library
 * starts a thread with the first socket, so that all signals are blocked while one is made.
 */
#ifndef CORE_BUS_SOCK_H
#define CORE_BUS_SOCK_H

#include <stddef.h>

struct core_sock {
	int	s;	/* of nanomsg, -1: none */
	int	fd;	/* readable when a packet waits; belongs to nanomsg */
};

#define CORE_SOCK_NONE { .s = -1, .fd = -1 }

/* Two connected ends; @url is "inproc://" and a name of its own. 0 or -errno. */
int core_sock_pair(const char *url, struct core_sock *a, struct core_sock *b);

void core_sock_send(const struct core_sock *k, const void *p, size_t len);

/* A packet, or NULL if none waits; to be freed by core_sock_free(). Never blocks. */
void *core_sock_recv(const struct core_sock *k, size_t *ret_len);
void core_sock_free(void *packet);

void core_sock_close(struct core_sock *k);	/* twice is harmless */

#endif
