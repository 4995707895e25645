/*
 * net-types.h - what listening (net.c), connecting (connect.c) and their addresses (netaddr.c) share.
 */
#ifndef CORE_NET_TYPES_H
#define CORE_NET_TYPES_H

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/olist.h"
#include "loop.h"
#include "work.h"

struct core_net {
	struct core_loop *main;
	struct core_workq *lookups;
	pthread_mutex_t	lock;		/* guards sockets and their lists of listeners */
	struct olist	sockets;
	/* Where sockets come from if not from here (core_net_borrow). */
	int		(*borrow)(void *arg, const char *addr, int *ret_fd, struct orlop_error *err);
	void		(*give_back)(void *arg, const char *addr);
	void		*borrow_arg;
};

/* "HOST:PORT", "[HOST]:PORT" in two. -EINVAL. */
int core_net_split(const char *addr, char *host, size_t host_size, char *port, size_t port_size);
/* Says that nobody can listen there, and why. -@e. */
int core_net_bind_fail(const char *addr, int e, struct orlop_error *err);
int core_net_unix_addr(const char *path, struct sockaddr_un *ret, socklen_t *ret_len);

#endif
