/*
 * net.h - listening sockets, which belong to the core by address, and connecting.
 */
#ifndef CORE_NET_H
#define CORE_NET_H

#include "loop.h"

struct core_net;
struct core_workers;

/* @main accepts for all. */
int core_net_new(struct core_loop *main, struct core_workers *w, struct core_net **ret);
void core_net_free(struct core_net *n);		/* no listener is left; accepts NULL */

/* On @l's thread. @who names the instance: sockets of port 0 are its own. */
int core_net_listen(struct core_net *n, struct core_loop *l, struct core_owner *o, const char *who,
		    const char *addr, orlop_accept_fn cb, void *arg, struct orlop_listener **ret,
		    struct orlop_error *err);
void core_net_listener_addr(struct orlop_listener *l, char *buf, size_t size);
void core_net_listener_close(struct orlop_listener *l);		/* accepts NULL */
/* Closes the sockets that @who made and nobody listens on now. On the main loop. */
void core_net_release(struct core_net *n, const char *who);

/*
 * core_net_lend - a duplicate of the socket that @who may have at @addr, for another process
 *
 * It is made if need be, and kept until it is given back as often as it was lent; connections that come
 * while nobody accepts wait in it. Any thread. 0 or -errno.
 */
int core_net_lend(struct core_net *n, const char *who, const char *addr, int *ret_fd,
		  struct orlop_error *err);
void core_net_lent_back(struct core_net *n, const char *who, const char *addr);
/*
 * The other process's side: sockets come from @fn (any thread, may wait) and are told to @back when the
 * last listener is gone.
 */
void core_net_borrow(struct core_net *n, int (*fn)(void *arg, const char *addr, int *ret_fd,
		     struct orlop_error *err), void (*back)(void *arg, const char *addr), void *arg);

/*
 * The listeners of @o, also later ones, get no connections: others of the same socket do, or they wait
 * in the backlog. Any thread.
 */
void core_net_hold(struct core_net *n, struct core_owner *o, bool on);

/* On @l's thread; calls back there, later, once: a descriptor or -errno. */
int core_net_connect(struct core_net *n, struct core_loop *l, struct core_owner *o, const char *addr,
		     uint64_t timeout_ns, orlop_connect_fn cb, void *arg);

/* Closes listeners, ends connects (-ECANCELED) that the owner left; returns how many listeners. */
uint32_t core_net_reclaim(struct core_owner *o);
uint32_t core_net_cancel_connects(struct core_owner *o);

/* A bound, listening, non-blocking socket. Any thread. */
int core_net_bind(const char *addr, int *ret_fd, struct orlop_error *err);
/* "127.0.0.1:80", "[::1]:80", "unix:PATH" of a socket's own (or peer's) side. Any thread. */
void core_net_name(int fd, bool peer, char *buf, size_t size);

#endif
