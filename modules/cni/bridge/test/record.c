/* record.c - leases written down and read again; whose port is it. */
#include "../lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "base/otap.h"

/* Parsed and written again it is the same. */
static void again(const char *text, const char *what)
{
	cleanup_obuf struct obuf out = OBUF_INIT;
	struct lease l = { .host = 0 };

	is_int(lease_parse(text, &l.host, &l.want), 0, "%s: read", what);
	lease_text(&l, &out);
	is_str(obuf_cstr(&out), text, "%s: and written", what);
	want_done(&l.want);
}

static struct lease_want want(const char *text)
{
	struct lease_want w;
	uint32_t host;

	if (lease_parse(text, &host, &w))
		fail("want %s", text);
	return w;
}

/* Does one with @mine meet @theirs? */
static bool meets(const char *theirs, const char *mine)
{
	struct leases l;
	struct lease *a;
	struct lease *b;
	struct lease_want w;
	const struct lease_port *port;
	bool met;

	leases_init(&l, "10.0.0.0/24");
	lease_take(&l, "a", &a);
	a->want = want(theirs);
	w = want(mine);
	met = lease_conflict(&l, NULL, &w, &port) == a;
	ok(!lease_conflict(&l, a, &w, &port), "never with oneself");
	want_done(&w);
	lease_take(&l, "b", &b);
	leases_done(&l);
	return met;
}

int main(void)
{
	static const char *const bad[] = { "", "x\n", "7", "7\nport tcp 0 80 *\n", "7\nport tcp 80 65536 *\n",
					   "7\nport icmp 80 80 *\n", "7\nport tcp 80 80 1.2.3\n", "7\nport tcp 80\n",
					   "7\nifname 1234567890123456\n", "7\nrate 1 2 3\n", "7\nport tcp 80 80 *" };
	struct lease_want w;
	struct lease_port p;
	uint32_t host;
	char text[80];

	again("7\n", "an older version's");
	again("254\npod default/web\nnetns /run/netns/x\nifname eth0\nrate 1000000 0\nport tcp 8080 80 *\n"
	      "port udp 53 5353 192.0.2.1\nport sctp 9 9 2001:db8::1\nport tcp 1 1 0.0.0.0\nport tcp 2 2 ::\n", "all of it");
	is_int(lease_parse("7\nfrom-the-future 1 2\n", &host, &w), 0, "a newer version's line is left alone");
	is_int(host, 7, "and the rest read");
	want_done(&w);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(lease_parse(bad[i], &host, &w), -EINVAL, "bad %zu refused", i);

	ok(meets("7\nport tcp 80 1 *\n", "8\nport tcp 80 2 *\n"), "the same port");
	ok(!meets("7\nport tcp 80 1 *\n", "8\nport udp 80 1 *\n"), "of another protocol");
	ok(!meets("7\nport tcp 80 1 *\n", "8\nport tcp 81 1 *\n"), "another");
	ok(meets("7\nport tcp 80 1 *\n", "8\nport tcp 80 1 192.0.2.1\n"), "any address has each address in it");
	ok(meets("7\nport tcp 80 1 192.0.2.1\n", "8\nport tcp 80 1 0.0.0.0\n"), "the other way round too");
	ok(!meets("7\nport tcp 80 1 192.0.2.1\n", "8\nport tcp 80 1 192.0.2.2\n"), "of two addresses");
	ok(!meets("7\nport tcp 80 1 0.0.0.0\n", "8\nport tcp 80 1 ::\n"), "of two families");
	ok(meets("7\nport tcp 80 1 ::\n", "8\nport tcp 80 1 *\n"), "both families have one in them");

	memset(&p, 0, sizeof(p));
	p.proto = IPPROTO_TCP;
	p.port = 80;
	lease_port_text(&p, text, sizeof(text));
	is_str(text, "tcp 0.0.0.0:80", "as people write it");
	p.family = AF_INET6;
	p.host = in6addr_loopback;
	lease_port_text(&p, text, sizeof(text));
	is_str(text, "tcp [::1]:80", "with brackets");
	return done_testing();
}
