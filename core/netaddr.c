/*
 * netaddr.c - addresses of sockets: read, bound, and told.
 *
 * "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:PATH". Everything here works on what it is given, from any thread.
 */
#include "net-types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "net.h"

int core_net_split(const char *addr, char *host, size_t host_size, char *port, size_t port_size)
{
	const char *colon;
	size_t n;

	if (addr[0] == '[') {
		const char *end = strchr(addr, ']');

		if (!end || end[1] != ':')
			return -EINVAL;
		n = (size_t)(end - addr) - 1;
		addr++;
		colon = end + 1;
	} else {
		colon = strrchr(addr, ':');
		if (!colon || memchr(addr, ':', (size_t)(colon - addr)))
			return -EINVAL;
		n = (size_t)(colon - addr);
	}
	if (n >= host_size || strlen(colon + 1) >= port_size || !colon[1])
		return -EINVAL;
	memcpy(host, addr, n);
	host[n] = '\0';
	memcpy(port, colon + 1, strlen(colon + 1) + 1);
	for (const char *p = port; *p; p++)
		if (*p < '0' || *p > '9')
			return -EINVAL;
	return strtoul(port, NULL, 10) <= 65535 ? 0 : -EINVAL;
}

int core_net_unix_addr(const char *path, struct sockaddr_un *ret, socklen_t *ret_len)
{
	size_t n = strlen(path);

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (n == 0 || n >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, n + 1);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

void core_net_name(int fd, bool peer, char *buf, size_t size)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[INET6_ADDRSTRLEN];

	memset(&ss, 0, sizeof(ss));
	buf[0] = '\0';
	if (peer ? getpeername(fd, (struct sockaddr *)&ss, &len) :
		   getsockname(fd, (struct sockaddr *)&ss, &len))
		return;
	if (ss.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&ss;

		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(buf, size, "%s:%u", host, ntohs(in->sin_port));
	} else if (ss.ss_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			(void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
			(void)snprintf(buf, size, "%s:%u", host, ntohs(in6->sin6_port));
		} else {
			(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
			(void)snprintf(buf, size, "[%s]:%u", host, ntohs(in6->sin6_port));
		}
	} else if (ss.ss_family == AF_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *)&ss;

		(void)snprintf(buf, size, "unix:%.*s", (int)sizeof(un->sun_path), un->sun_path);
	}
}

int core_net_bind_fail(const char *addr, int e, struct orlop_error *err)
{
	return orlop_fail(err, e, 0, "", "listen on %s: %s", addr, strerrordesc_np(e));
}

/* A socket file that nobody serves any more may be replaced; a served one and other files may not. */
static int unix_clear(const struct sockaddr_un *un, socklen_t len)
{
	cleanup_close int fd = -1;
	struct stat st;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)un, len) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(un->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int core_net_bind(const char *addr, int *ret_fd, struct orlop_error *err)
{
	cleanup_close int fd = -1;
	char host[256];
	char port[8];
	int on = 1;
	int r;

	if (strncmp(addr, "unix:", 5) == 0) {
		struct sockaddr_un un;
		socklen_t len;

		r = core_net_unix_addr(addr + 5, &un, &len);
		if (r == 0)
			r = unix_clear(&un, len);
		if (r)
			return core_net_bind_fail(addr, -r, err);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&un, len) < 0 || listen(fd, SOMAXCONN) < 0)
			return core_net_bind_fail(addr, errno, err);
	} else {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					  .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
		struct addrinfo *ai;

		if (core_net_split(addr, host, sizeof(host), port, sizeof(port)) ||
		    getaddrinfo(host[0] && strcmp(host, "*") != 0 ? host : "::", port, &hints, &ai))
			return orlop_fail(err, EINVAL, 0, "", "listen on %s: want ADDRESS:PORT with "
					  "a numeric address, or unix:PATH", addr);
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0) {
			r = errno;
		} else {
			(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
			/* Inherited by what is accepted: one call less per connection. */
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			r = bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0 ?
				errno : 0;
		}
		freeaddrinfo(ai);
		if (r)
			return core_net_bind_fail(addr, r, err);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
