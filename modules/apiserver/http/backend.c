/*
 * backend.c - pods/proxy, services/proxy and nodes/proxy: which port of a pod, which of the pods behind a Service, which kubelet is
 * meant; relay.c does the rest.
 *
 * The name may be "scheme:name:port". Certificates of pods are not verified, as upstream: nobody could have signed them.
 * Source: upstream's pkg/registry/core/{pod,service,node}/rest, behaviour only.
 */
#include "front.h"

#include "json/ojson.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

struct id {
	bool			https;
	struct orlop_bytes	name;
	struct orlop_bytes	port;
};

/* "name", "name:port", "scheme:name:" or "scheme:name:port". */
static bool id_parse(struct orlop_bytes s, struct id *ret)
{
	const char *a = memchr(s.p, ':', s.len);
	const char *b = a ? memchr(a + 1, ':', (size_t)(s.p + s.len - a - 1)) : NULL;
	struct orlop_bytes scheme = { s.p, 0 };

	*ret = (struct id){ .name = s };
	if (!a)
		return s.len > 0;
	if (!b) {
		ret->name.len = (size_t)(a - s.p);
		ret->port = (struct orlop_bytes){ a + 1, (size_t)(s.p + s.len - a - 1) };
		return ret->name.len > 0 && ret->port.len > 0;
	}
	scheme.len = (size_t)(a - s.p);
	ret->https = bytes_is(scheme, "https");
	ret->name = (struct orlop_bytes){ a + 1, (size_t)(b - a - 1) };
	ret->port = (struct orlop_bytes){ b + 1, (size_t)(s.p + s.len - b - 1) };
	return ret->name.len > 0 && (!scheme.len || ret->https || bytes_is(scheme, "http")) &&
	       !memchr(ret->port.p, ':', ret->port.len);
}

/* The object as a tree. NULL: there is none; answered. */
static struct ojson *object(struct front *f, const char *resource, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct orlop_object *o = reg_peek(f->sh->reg, resource, ns, name);
	struct ojson *j = NULL;

	if (o) {
		if (ojson_parse_members(o->json, &j, NULL) < 0)
			j = NULL;
		f->sh->h->object_unref(o);
	}
	if (!j)			/* upstream names what the path asked for, also where it looked at Endpoints */
		front_not_found(f, name);
	return j;
}

/*
 * Whoever may write a status says what a pod's address is: it must be none at which this machine or its link would
 * answer. As upstream's proxy.IsProxyableIP.
 */
static bool is_reachable(const char *ip)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (inet_pton(AF_INET6, ip, &a6) == 1) {
		if (!IN6_IS_ADDR_V4MAPPED(&a6))
			return !IN6_IS_ADDR_UNSPECIFIED(&a6) && !IN6_IS_ADDR_LOOPBACK(&a6) && !IN6_IS_ADDR_MULTICAST(&a6) &&
			       !IN6_IS_ADDR_LINKLOCAL(&a6);
		memcpy(&a4, a6.s6_addr + 12, sizeof(a4));
	} else if (inet_pton(AF_INET, ip, &a4) != 1) {
		return false;
	}
	const uint8_t *b = (const uint8_t *)&a4;

	return a4.s_addr != INADDR_ANY && a4.s_addr != INADDR_BROADCAST && b[0] != 127 && !(b[0] == 169 && b[1] == 254) &&
	       (b[0] & 0xf0) != 224;
}

static struct ohttp_client *client_of(struct ashard *sh, bool https)
{
	struct otls_config cfg = { .min_version = 12, .insecure = 1 };
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (https && !sh->relay_tls && otls_client_new(&cfg, &sh->relay_tls, &err) < 0) {
		orlop_error_done(&err);
		return NULL;
	}
	if (!sh->relay[https] && ohttp_client_new(sh->h, https ? sh->relay_tls : NULL, &sh->relay[https]) < 0)
		return NULL;
	return sh->relay[https];
}

static void put_addr(char *buf, size_t size, const char *ip, long port)
{
	snprintf(buf, size, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
}

static long number(struct orlop_bytes b)
{
	long v = 0;

	for (size_t i = 0; i < b.len; i++) {
		if (b.p[i] < '0' || b.p[i] > '9' || v > 65535)
			return 0;
		v = v * 10 + b.p[i] - '0';
	}
	return v <= 65535 ? v : 0;
}

static void to_pod(struct front *f, const struct id *id)
{
	long port = number(id->port);	/* before the request may be gone, and its text with it */
	struct ojson *pod = object(f, "pods", f->rt.ns, id->name);
	const char *ip;
	char addr[128];

	if (!pod)
		return;
	ip = ojson_cstr(OJSON_AT(pod, "status", "podIP"), "");
	if (!id->port.len) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", "containers")) {
			port = (long)ojson_get_i64(ojson_index(ojson_get(c, "ports"), 0), "containerPort", 0);
			if (port)
				break;
		}
		if (!port)
			port = id->https ? 443 : 80;
	}
	put_addr(addr, sizeof(addr), ip, port);
	if (!is_reachable(ip))
		front_error(f, 400, "BadRequest", "address not allowed");
	else if (!port)
		front_error(f, 503, "ServiceUnavailable",
			    "error trying to reach service: dial tcp: lookup tcp/%.*s: unknown port", OB(id->port));
	else
		relay_to(f, client_of(f->sh, id->https), addr);
	ojson_unref(pod);
}

/* One of the ready addresses behind the port @name, by chance: its address alone, with the port in @addr. NULL: none. */
static const char *endpoint_pick(struct front *f, const struct ojson *ends, struct orlop_bytes name, char *addr, size_t size)
{
	uint32_t n = 0, at, rnd = 0;

	for (int pass = 0; pass < 2; pass++) {
		at = n ? rnd % n : 0;
		n = 0;
		OJSON_FOREACH_ELEM(i, sub, ojson_get(ends, "subsets")) {
			OJSON_FOREACH_ELEM(k, p, ojson_get(sub, "ports")) {
				uint32_t have = (uint32_t)ojson_count(ojson_get(sub, "addresses"));

				if (!bytes_is(name, ojson_get_cstr(p, "name", "")))
					continue;
				if (pass && at >= n && at < n + have) {
					const char *ip = ojson_get_cstr(ojson_index(ojson_get(sub, "addresses"), at - n), "ip", "");

					put_addr(addr, size, ip, (long)ojson_get_i64(p, "port", 0));
					return ip;
				}
				n += have;
			}
		}
		if (!n)
			return NULL;
		f->sh->h->random(f->sh->h, &rnd, sizeof(rnd));
	}
	return NULL;
}

static void to_service(struct front *f, const struct id *id)
{
	struct orlop_bytes port = id->port;
	long n = number(port);
	struct ojson *svc = object(f, "services", f->rt.ns, id->name), *ends = NULL;
	bool found = !n;
	const char *ip;
	char addr[128];

	if (!svc)
		return;
	if (n) {		/* a number is one of the Service's ports; its endpoints know the name */
		OJSON_FOREACH_ELEM(i, p, OJSON_AT(svc, "spec", "ports")) {
			if (ojson_get_i64(p, "port", 0) != n)
				continue;
			port = bytes_cstr(oarena_strdup(&f->arena, ojson_get_cstr(p, "name", "")) ?: "");
			found = true;
			break;
		}
	}
	ojson_unref(svc);
	if (!found) {
		front_error(f, 503, "ServiceUnavailable", "no service port %ld found for service \"%.*s\"", n, OB(id->name));
		return;
	}
	ends = object(f, "endpoints", f->rt.ns, id->name);
	if (!ends)
		return;
	ip = endpoint_pick(f, ends, port, addr, sizeof(addr));
	if (!ip)
		front_error(f, 503, "ServiceUnavailable", "no endpoints available for service \"%.*s\"", OB(f->rt.name));
	else if (!is_reachable(ip))
		front_error(f, 400, "BadRequest", "address not allowed");
	else
		relay_to(f, client_of(f->sh, id->https), addr);
	ojson_unref(ends);
}

static void to_node(struct front *f, const struct id *id)
{
	char name[260], addr[128], host[100];
	long port = number(id->port);
	struct ojson *node = object(f, "nodes", (struct orlop_bytes){ "", 0 }, id->name);

	if (!node)
		return;
	snprintf(name, sizeof(name), "%.*s", OB(id->name));
	if (!proxy_kubelet_addr(f->sh, name, addr, sizeof(addr), host, sizeof(host)))
		front_error(f, 500, "InternalError", "no address is known of node %s", name);
	else if (!port || port == ojson_i64(OJSON_AT(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port"), 10250))
		relay_to(f, f->sh->kubelet, addr);
	else if (!is_reachable(host))
		front_error(f, 400, "BadRequest", "address not allowed");
	else {
		put_addr(addr, sizeof(addr), host, port);
		relay_to(f, client_of(f->sh, id->https), addr);
	}
	ojson_unref(node);
}

/* Relative links of a page need the slash at its end. */
static bool redirected(struct front *f)
{
	struct orlop_bytes m = ohttp_method(f->req), path = ohttp_path(f->req), q = ohttp_query(f->req);
	struct ohttp_header hdr[13];
	const char *to;
	size_t n;

	if (f->rt.rest.len || (path.len && path.p[path.len - 1] == '/') || (!bytes_is(m, "GET") && !bytes_is(m, "HEAD")))
		return false;
	to = oarena_printf(&f->arena, "%.*s/%s%.*s", OB(path), q.len ? "?" : "", OB(q));
	n = front_headers(f, hdr, NULL);
	if (to)
		hdr[n++] = ohttp_header_cstr("Location", to);
	ohttp_reply(f->req, 301, hdr, n, NULL, 0);
	front_done(f, 301);
	return true;
}

void relay_begin(struct front *f)
{
	struct id id;
	bool pod = bytes_is(f->rt.resource, "pods"), service = bytes_is(f->rt.resource, "services");

	metrics_longrunning(f);	/* as upstream: nobody knows how long what is behind it takes */
	if (!id_parse(f->rt.name, &id)) {
		front_error(f, 400, "BadRequest", "invalid %s request \"%.*s\"", pod ? "pod" : service ? "service" : "node",
			    OB(f->rt.name));
		return;
	}
	if (redirected(f))
		return;
	if (pod)
		to_pod(f, &id);
	else if (service)
		to_service(f, &id);
	else
		to_node(f, &id);
}

void relay_done(struct ashard *sh)
{
	ohttp_client_free(sh->relay[0]);
	ohttp_client_free(sh->relay[1]);
	otls_ctx_free(sh->relay_tls);
}
