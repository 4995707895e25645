/*
 * hops.c - headers that a proxy does not hand on: those of one connection, and those that are between a client and us.
 *
 * Source: RFC 9110, 7.6.1; Go's net/http/httputil, ReverseProxy, behaviour only.
 */
#include "hops.h"

#include <string.h>
#include <strings.h>

static bool same(struct orlop_bytes a, const char *p, size_t len)
{
	return a.len == len && strncasecmp(a.p, p, len) == 0;
}

/* Is @name one of the tokens of a Connection header? A head is bounded (ohttp.h), so no list of them is made. */
static bool is_named(struct orlop_bytes name, struct orlop_bytes value)
{
	for (size_t at = 0; at < value.len; at++) {
		const char *p = value.p + at, *comma = memchr(p, ',', value.len - at);
		struct orlop_bytes t = { p, comma ? (size_t)(comma - p) : value.len - at };

		at += t.len;
		while (t.len && (t.p[0] == ' ' || t.p[0] == '\t')) {
			t.p++;
			t.len--;
		}
		while (t.len && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
			t.len--;
		if (t.len && same(name, t.p, t.len))
			return true;
	}
	return false;
}

bool hops_keep(struct orlop_bytes name, const struct ohttp_header *h, size_t n)
{
	static const char *const names[] = { "host", "content-length", "transfer-encoding", "keep-alive", "te", "trailer",
		"proxy-connection", "proxy-authenticate", "proxy-authorization", "authorization", "expect", "traceparent",
		"audit-id", "connection", "upgrade", NULL };

	for (const char *const *k = names; *k; k++)
		if (same(name, *k, strlen(*k)))
			return true;
	for (size_t i = 0; i < n; i++)
		if (same(h[i].name, "connection", 10) && is_named(name, h[i].value))
			return true;
	/* As whom we know the client is our affair: a backend that trusts us must not hear it as if we said it. */
	return (name.len && name.p[0] == ':') || (name.len > 12 && strncasecmp(name.p, "impersonate-", 12) == 0) ||
	       (name.len > 9 && strncasecmp(name.p, "x-remote-", 9) == 0);
}
