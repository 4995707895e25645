/* lease.c - addresses: none twice, none leaked, the last freed is the last given. */
#include "../lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/otap.h"

int main(void)
{
	static const char *const bad[] = { "", "10.0.0.0", "10.0.0.0/", "10.0.0.0/7", "10.0.0.0/31",
					   "10.0.0.1/24", "300.0.0.0/24", "10.0.0.0/24x", "10.0.0.0/-8",
					   "fd00::/127", "fd00::/15", "fd00::1/64", "fd00::/64x", "10.0.0.0/24,",
					   "10.0.0.0/24,10.1.0.0/24", "fd00::/64,fd01::/64", "10.0.0.0/24,fd00::/64,x" };
	struct leases l;
	struct lease *a;
	struct lease *b;
	char id[32];
	char text[INET6_ADDRSTRLEN];
	struct in6_addr six;
	uint32_t i;
	int e;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(leases_init(&l, bad[i]), -EINVAL, "\"%s\" refused", bad[i]);
	is_int(leases_init(&l, "10.9.8.0/29"), 0, "a /29");
	for (i = 0, e = 0; i < 5 && !e; i++) {
		snprintf(id, sizeof(id), "pod-%u", i);
		e = lease_take(&l, id, &a);
		if (!i) {
			struct in_addr first = lease_addr(&l, a->host);

			is_str(inet_ntop(AF_INET, &first, text, sizeof(text)), "10.9.8.2",
			       "the first pod's address: .1 is the gateway");
		}
	}
	is_int(e, 0, "five pods fit");
	is_int(lease_take(&l, "pod-x", &a), -EADDRNOTAVAIL, "a sixth does not");
	b = lease_find(&l, "pod-3");
	i = b->host;
	lease_drop(&l, b);
	ok(!lease_find(&l, "pod-3"), "freed");
	is_int(lease_take(&l, "pod-y", &a), 0, "one fits again");
	is_int(a->host, i, "at the freed address");
	is_int(lease_adopt(&l, "pod-z", i, NULL), -EEXIST, "an address is nobody's twice");
	is_int(lease_adopt(&l, "pod-z", 1, NULL), -ERANGE, "the gateway's is nobody's");
	is_int(lease_adopt(&l, "pod-z", 7, NULL), -ERANGE, "nor the broadcast address");
	is_int(lease_take(&l, "../x", &a), -EADDRNOTAVAIL, "full before it looks at the name");
	lease_drop(&l, lease_find(&l, "pod-y"));
	is_int(lease_take(&l, "../x", &a), -EINVAL, "no path as an id");
	ok(!lease_id_ok("") && !lease_id_ok(".x") && !lease_id_ok("a/b") && lease_id_ok("a.B-1_2"), "ids");
	leases_done(&l);

	is_int(leases_init(&l, "10.244.0.0/24"), 0, "a /24");
	lease_take(&l, "one", &a);
	lease_take(&l, "two", &b);
	i = a->host;
	lease_drop(&l, a);
	lease_take(&l, "three", &a);
	ok(a->host != i, "a freed address rests while others are free");
	is_int(l.n, 2, "two leases");
	leases_done(&l);
	is_int(l.n, 0, "none");

	is_int(leases_init(&l, "fd00:10::/64,10.244.0.0/24"), 0, "both families");
	ok(l.first6 && l.prefix4 == 24 && l.prefix6 == 64, "in the order given");
	is_int(l.n_hosts, 254, "as many as the smaller has");
	lease_take(&l, "one", &a);
	six = lease_addr6(&l, a->host);
	is_str(inet_ntop(AF_INET6, &six, text, sizeof(text)), "fd00:10::2", "the same offset in both");
	leases_done(&l);
	is_int(leases_init(&l, "10.0.0.0/8, fd00::/126"), 0, "a tiny one");
	is_int(l.n_hosts, 2, "has room for one pod");
	leases_done(&l);
	is_int(leases_init(&l, "fd00::/48"), 0, "IPv6 only");
	for (i = 0, e = 0; i < 1000 && !e; i++) {
		snprintf(id, sizeof(id), "pod-%u", i);
		e = lease_take(&l, id, &a);
	}
	six = lease_addr6(&l, a->host);
	is_str(inet_ntop(AF_INET6, &six, text, sizeof(text)), "fd00::3e9", "the thousandth pod's address");
	leases_done(&l);
	return done_testing();
}
