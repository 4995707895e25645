/* lease.c - which address belongs to which pod. See lease.h. */
#include "lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

#define HOSTS6_MAX	65534u	/* of a wide subnet as many as a machine could have pods */

/* One of them, of a family that we have not yet. */
static int subnet_add(struct leases *l, const char *cidr, size_t len)
{
	const char *slash = memchr(cidr, '/', len);
	const bool six = memchr(cidr, ':', len) != NULL;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a6;
	struct in_addr a4;
	char *end;
	long prefix;

	if (!slash || (size_t)(slash - cidr) >= sizeof(text) || (six ? l->prefix6 : l->prefix4))
		return -EINVAL;
	memcpy(text, cidr, (size_t)(slash - cidr));
	text[slash - cidr] = '\0';
	prefix = strtol(slash + 1, &end, 10);
	if (end != cidr + len || end == slash + 1 || slash[1] == '-' || slash[1] == '+')
		return -EINVAL;
	if (six) {
		if (prefix < 16 || prefix > 126 || inet_pton(AF_INET6, text, &a6) != 1)
			return -EINVAL;
		for (long bit = prefix; bit < 128; bit++)
			if (a6.s6_addr[bit / 8] & (0x80u >> (bit % 8)))
				return -EINVAL;
		l->net6 = a6;
		l->prefix6 = (uint8_t)prefix;
		l->first6 = !l->prefix4;
		return 0;
	}
	if (prefix < 8 || prefix > 30 || inet_pton(AF_INET, text, &a4) != 1)
		return -EINVAL;
	l->prefix4 = (uint8_t)prefix;
	l->net4 = ntohl(a4.s_addr);
	return l->net4 & ((1u << (32 - prefix)) - 1) ? -EINVAL : 0;
}

int leases_init(struct leases *l, const char *cidrs)
{
	const char *comma = strchr(cidrs, ',');
	uint32_t n6;
	int e;

	memset(l, 0, sizeof(*l));
	e = subnet_add(l, cidrs, comma ? (size_t)(comma - cidrs) : strlen(cidrs));
	if (!e && comma) {
		comma += strspn(comma, ", ");
		e = subnet_add(l, comma, strlen(comma));
	}
	if (e)
		return e;
	n6 = l->prefix6 > 112 ? (1u << (128 - l->prefix6)) - 2 : HOSTS6_MAX;
	l->n_hosts = l->prefix4 ? (1u << (32 - l->prefix4)) - 2 : n6;
	if (l->prefix6 && n6 < l->n_hosts)
		l->n_hosts = n6;
	l->last = 1;
	l->used = omem_zalloc(l->n_hosts / 8 + 1);
	return l->used ? 0 : -ENOMEM;
}

void leases_done(struct leases *l)
{
	while (l->first)
		lease_drop(l, l->first);
	omem_free(l->used);
	l->used = NULL;
}

bool lease_id_ok(const char *id)
{
	size_t i;

	if (!*id || *id == '.')
		return false;
	for (i = 0; id[i]; i++) {
		char c = id[i];

		if (i + 1 >= LEASE_ID_MAX)
			return false;
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

struct lease *lease_find(const struct leases *l, const char *id)
{
	struct lease *p;

	for (p = l->first; p; p = p->next)
		if (!strcmp(p->id, id))
			return p;
	return NULL;
}

static bool used(const struct leases *l, uint32_t host)
{
	return l->used[host / 8] & (1u << (host % 8));
}

int lease_adopt(struct leases *l, const char *id, uint32_t host, struct lease **ret)
{
	struct lease *p;

	if (!lease_id_ok(id))
		return -EINVAL;
	if (host < 2 || host > l->n_hosts)
		return -ERANGE;
	if (used(l, host))
		return -EEXIST;
	p = OMEM_NEW(struct lease);
	if (!p)
		return -ENOMEM;
	strcpy(p->id, id);
	p->host = host;
	p->next = l->first;
	l->first = p;
	l->used[host / 8] |= (uint8_t)(1u << (host % 8));
	l->n++;
	if (ret)
		*ret = p;
	return 0;
}

int lease_take(struct leases *l, const char *id, struct lease **ret)
{
	uint32_t i;

	for (i = 0; i < l->n_hosts; i++) {
		uint32_t host = l->last + 1 + i;

		host = (host - 1) % l->n_hosts + 1;
		if (host < 2 || used(l, host))
			continue;
		l->last = host;
		return lease_adopt(l, id, host, ret);
	}
	return -EADDRNOTAVAIL;
}

void lease_drop(struct leases *l, struct lease *lease)
{
	struct lease **pp = &l->first;

	while (*pp && *pp != lease)
		pp = &(*pp)->next;
	if (!*pp)
		return;
	*pp = lease->next;
	l->used[lease->host / 8] &= (uint8_t)~(1u << (lease->host % 8));
	l->n--;
	want_done(&lease->want);
	omem_free(lease);
}

struct in_addr lease_addr(const struct leases *l, uint32_t host)
{
	return (struct in_addr){ .s_addr = htonl(l->net4 + host) };
}

struct in6_addr lease_addr6(const struct leases *l, uint32_t host)
{
	struct in6_addr a = l->net6;

	/* an offset has at most 24 bits and the last bits of a network are zero */
	for (int i = 15; i >= 12; i--, host >>= 8)
		a.s6_addr[i] |= (uint8_t)host;
	return a;
}
