/* lease.c - which address belongs to which pod. See lease.h. */
#include "lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

int leases_init(struct leases *l, const char *cidr)
{
	const char *slash = strchr(cidr, '/');
	char text[INET_ADDRSTRLEN];
	struct in_addr a;
	char *end;
	long prefix;

	memset(l, 0, sizeof(*l));
	if (!slash || (size_t)(slash - cidr) >= sizeof(text))
		return -EINVAL;
	memcpy(text, cidr, (size_t)(slash - cidr));
	text[slash - cidr] = '\0';
	prefix = strtol(slash + 1, &end, 10);
	if (*end || end == slash + 1 || prefix < 8 || prefix > 30 || inet_pton(AF_INET, text, &a) != 1)
		return -EINVAL;
	l->prefix = (uint8_t)prefix;
	l->net = ntohl(a.s_addr) & ~((1u << (32 - prefix)) - 1);
	if (l->net != ntohl(a.s_addr))
		return -EINVAL;
	l->n_hosts = (1u << (32 - prefix)) - 2;
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
	omem_free(lease);
}

struct in_addr lease_addr(const struct leases *l, uint32_t host)
{
	return (struct in_addr){ .s_addr = htonl(l->net + host) };
}
