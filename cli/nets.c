/* nets.c - networks of pods: of one family or both, and whether somebody has them. */
#include "setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int net6_parse(const char *text, struct in6_addr *ret, uint32_t *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN];
	char *rest;
	unsigned long n;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	n = strtoul(slash + 1, &rest, 10);
	if (inet_pton(AF_INET6, addr, ret) != 1 || *rest || rest == slash + 1 || n < 16 || n > 126)
		return -EINVAL;
	for (unsigned long bit = n; bit < 128; bit++)
		if (ret->s6_addr[bit / 8] & (0x80u >> (bit % 8)))
			return -EINVAL;
	*ret_prefix = (uint32_t)n;
	return 0;
}

int nets_parse(const char *list, struct nets *ret)
{
	memset(ret, 0, sizeof(*ret));
	while (list) {
		size_t len = strcspn(list, ",");
		char one[INET6_ADDRSTRLEN + 8];
		int r;

		if (len >= sizeof(one))
			return -EINVAL;
		memcpy(one, list, len);
		one[len] = '\0';
		if (strchr(one, ':'))
			r = ret->prefix6 ? -EINVAL : net6_parse(one, &ret->net6, &ret->prefix6);
		else
			r = ret->prefix4 ? -EINVAL : cidr_parse(one, &ret->net4, &ret->prefix4);
		if (r)
			return r;
		list = list[len] ? list + len + 1 : NULL;
	}
	return 0;
}

/* The wider of both decides whether they overlap. */
static bool overlap6(const struct in6_addr *a, const struct in6_addr *b, const struct in6_addr *mask, uint32_t prefix)
{
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t bits = prefix > 8 * i ? prefix - 8 * i : 0;
		uint8_t m = (uint8_t)((bits >= 8 ? 0xffu : 0xff00u >> bits) & (mask ? mask->s6_addr[i] : 0xffu));

		if ((a->s6_addr[i] & m) != (b->s6_addr[i] & m))
			return false;
	}
	return true;
}

static int taken6(const struct nets *n, const char *own, char *link)
{
	struct ifaddrs *list;
	int taken = 0;

	if (getifaddrs(&list) < 0)
		return 0;
	for (struct ifaddrs *a = list; a && !taken; a = a->ifa_next) {
		const struct sockaddr_in6 *mask = (const void *)a->ifa_netmask;

		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET6 || !strcmp(a->ifa_name, own) ||
		    !overlap6(&((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr, &n->net6,
			      mask ? &mask->sin6_addr : NULL, n->prefix6))
			continue;
		strncpy(link, a->ifa_name, IFNAMSIZ - 1);
		link[IFNAMSIZ - 1] = '\0';
		taken = 1;
	}
	freeifaddrs(list);
	return taken;
}

int nets_taken(const char *nets, const char *own, char *link)
{
	struct nets n;
	char four[INET_ADDRSTRLEN + 8];

	if (nets_parse(nets, &n))
		return 0;
	if (n.prefix4) {
		struct in_addr a = { htonl(n.net4) };

		inet_ntop(AF_INET, &a, four, INET_ADDRSTRLEN);
		snprintf(four + strlen(four), 8, "/%u", n.prefix4);
		if (cidr_taken(four, own, link))
			return 1;
	}
	return n.prefix6 ? taken6(&n, own, link) : 0;
}
