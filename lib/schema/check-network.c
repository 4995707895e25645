/*
 * check-network.c - what ingresses, their classes, network policies and addresses must satisfy.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/{networking,core}/validation.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"
#include "schema/seen.h"

static const struct orlop_bytes none = { "", 0 };

/* ---- addresses ---- */

void ocheck_balancer(struct ocheck *c, const struct opath *at, struct ojson *status)
{
	struct opath lp = opath_child(at, "loadBalancer"), ip = opath_child(&lp, "ingress");

	OJSON_FOREACH_ELEM(i, e, OJSON_AT(status, "loadBalancer", "ingress")) {
		struct opath p = opath_index(&ip, i), ap = opath_child(&p, "ip"), hp = opath_child(&p, "hostname");
		struct orlop_bytes host = oget_text(e, "hostname");

		if (!oget_empty(e, "ip"))
			ocheck_format(c, &ap, ojson_get(e, "ip"), OSCHEMA_FMT_IP);
		if (host.len == 0)
			continue;
		ocheck_format_text(c, &hp, host, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		if (oschema_format_check(OSCHEMA_FMT_IP, host.p, host.len) == NULL)
			ocheck_invalid_text(c, &hp, host, "must be a DNS name, not an IP address");
	}
}

/* Its name is the address, in the one form that it has. */
OCHECK(ip_address)
{
	struct opath mp = opath_child(at, "metadata"), sp = opath_child(at, "spec");
	const char *name = ojson_get_cstr(ojson_get(v, "metadata"), "name", "");
	int family = strchr(name, ':') ? AF_INET6 : AF_INET;
	char text[INET6_ADDRSTRLEN];
	unsigned char a[16];

	(void)old;
	if (inet_pton(family, name, a) == 1 && inet_ntop(family, a, text, sizeof(text)) && strcmp(name, text) != 0)
		ocheck_invalid_at(c, &mp, ojson_get(v, "metadata"), "name", "must be a canonical format IP address");
	if (ojson_get(v, "spec") == NULL)
		ocheck_required_at(c, &sp, "parentRef", "");
}

/* The canonical form of an address: which family, or 0. */
static int canonical(const char *p, size_t n, char text[INET6_ADDRSTRLEN], unsigned char ret[16])
{
	char given[INET6_ADDRSTRLEN + 1];
	int family;

	if (n >= sizeof(given) || memchr(p, '\0', n) != NULL)
		return 0;
	memcpy(given, p, n);
	given[n] = '\0';
	family = inet_pton(AF_INET, given, ret) == 1 ? AF_INET : inet_pton(AF_INET6, given, ret) == 1 ? AF_INET6 : 0;
	return family != 0 && inet_ntop(family, ret, text, INET6_ADDRSTRLEN) != NULL ? family : 0;
}

/* A range's address is its first, written as it should be. */
static void check_range(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	struct orlop_bytes t = otext(v);
	const char *slash = memchr(t.p, '/', t.len);
	char text[INET6_ADDRSTRLEN], why[160], whole[80];
	unsigned char a[16];
	int family = slash != NULL ? canonical(t.p, (size_t)(slash - t.p), text, a) : 0;
	unsigned long bits = slash != NULL ? strtoul(slash + 1, NULL, 10) : 0;

	if (family == 0 || bits > (family == AF_INET ? 32u : 128u))
		return;		/* the format says it */
	for (unsigned long i = bits; i < (family == AF_INET ? 32u : 128u); i++)
		a[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
	(void)inet_ntop(family, a, text, sizeof(text));
	(void)snprintf(whole, sizeof(whole), "%s/%lu", text, bits);
	(void)snprintf(why, sizeof(why), "must be in canonical form (\"%s\")", whole);
	if (!otext_is(t, whole))
		ocheck_invalid(c, at, v, why);
}

/* One range, or one of each family. */
OCHECK(service_cidr)
{
	struct opath sp = opath_child(at, "spec"), p = opath_child(&sp, "cidrs");
	struct ojson *list = OJSON_AT(v, "spec", "cidrs");
	cleanup_ojson struct ojson *shown = NULL;
	size_t n = ojson_count(list);

	if (old != NULL)
		return;
	if (n == 0) {
		ocheck_required(c, &p, "at least one CIDR required");
		return;
	}
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath ip = opath_index(&p, i);

		check_range(c, &ip, e);
	}
	if (n == 1 || (n == 2 && !strchr(ojson_cstr(ojson_index(list, 0), ""), ':') != !strchr(ojson_cstr(ojson_index(list, 1), ""), ':')))
		return;
	shown = ojson_new_object();	/* upstream shows its own form of the spec */
	if (shown == NULL || ojson_set(shown, "CIDRs", ojson_ref(list))) {
		c->lost = true;
		return;
	}
	ocheck_invalid(c, &p, shown, n > 2 ? "may only hold up to 2 values" :
		       "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
}

/* ---- ingresses ---- */

/* An object that is named by kind and name. */
static void check_reference(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	static const char *const keys[] = { "kind", "name" };
	static const char *const missing[] = { "kind is required", "name is required" };
	struct opath gp = opath_child(at, "apiGroup");

	if (ref == NULL)
		return;
	ocheck_format(c, &gp, ojson_get(ref, "apiGroup"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	for (size_t i = 0; i < 2; i++) {
		struct opath p = opath_child(at, keys[i]);

		if (oget_empty(ref, keys[i]))
			ocheck_required(c, &p, missing[i]);
		else
			ocheck_format(c, &p, ojson_get(ref, keys[i]), OSCHEMA_FMT_PATH_SEGMENT);
	}
}

static void check_service_backend(struct ocheck *c, const struct opath *at, struct ojson *service)
{
	struct opath sp = opath_child(at, "service"), np = opath_child(&sp, "name"), pp = opath_child(&sp, "port");
	struct opath pnp = opath_child(&pp, "name");
	struct ojson *port = ojson_get(service, "port");
	bool name = !oget_empty(port, "name"), number = oget_int(port, "number") != 0;

	if (oget_empty(service, "name"))
		ocheck_required(c, &np, "");
	else
		ocheck_format(c, &np, ojson_get(service, "name"), OSCHEMA_FMT_DNS1035_LABEL);
	if (name && number)
		ocheck_invalid_text(c, at, none, "cannot set both port name & port number");
	else if (name)
		ocheck_format(c, &pnp, ojson_get(port, "name"), OSCHEMA_FMT_PORT_NAME);
	else if (!number)
		ocheck_required(c, at, "port name or number is required");
	else if (oget_int(port, "number") < 1 || oget_int(port, "number") > 65535)
		ocheck_invalid_at(c, &pp, port, "number", "must be between 1 and 65535, inclusive");
}

static void check_backend(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	struct ojson *service = ojson_get(v, "service"), *resource = ojson_get(v, "resource");
	struct opath rp = opath_child(at, "resource");

	if (service != NULL && resource != NULL)
		ocheck_invalid_text(c, at, none, "cannot set both resource and service backends");
	else if (resource != NULL)
		check_reference(c, &rp, resource);
	else if (service != NULL)
		check_service_backend(c, at, service);
	else
		ocheck_invalid_text(c, at, none, "resource or service backend is required");
}

/* What a path that is compared element by element must not have. */
static void check_sequences(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	static const char *const within[] = { "//", "/./", "/../", "%2f", "%2F" };
	static const char *const behind[] = { "/..", "/." };
	struct orlop_bytes path = otext(v);
	char why[60];

	for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
		(void)snprintf(why, sizeof(why), "must not contain '%s'", within[i]);
		if (memmem(path.p, path.len, within[i], strlen(within[i])) != NULL)
			ocheck_invalid(c, at, v, why);
	}
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		(void)snprintf(why, sizeof(why), "cannot end with '%s'", behind[i]);
		if (ostr_ends(path.p, path.len, behind[i]))
			ocheck_invalid(c, at, v, why);
	}
}

static void check_paths(struct ocheck *c, const struct opath *at, struct ojson *http)
{
	struct opath pp = opath_child(at, "paths");

	OJSON_FOREACH_ELEM(i, e, ojson_get(http, "paths")) {
		struct opath ip = opath_index(&pp, i), ap = opath_child(&ip, "path"), bp = opath_child(&ip, "backend");
		bool strict = oget_is(e, "pathType", "Exact") || oget_is(e, "pathType", "Prefix");
		bool any = oget_is(e, "pathType", "ImplementationSpecific") && !oget_empty(e, "path");
		struct orlop_bytes path = oget_text(e, "path");

		if (oget_empty(e, "pathType"))
			continue;	/* nothing can be said of it */
		if ((strict || any) && (path.len == 0 || path.p[0] != '/'))
			ocheck_invalid_text(c, &ap, path, "must be an absolute path");
		if (strict)
			check_sequences(c, &ap, ojson_get(e, "path"));
		check_backend(c, &bp, ojson_get(e, "backend"));
	}
}

/* A host, whose first label may be a star. */
static void check_host(struct ocheck *c, const struct opath *at, struct orlop_bytes host)
{
	struct orlop_bytes rest = host;
	const char *whys[OSCHEMA_FORMAT_WHYS];
	size_t n;

	if (host.len > 2 && host.p[0] == '*' && host.p[1] == '.')
		rest = (struct orlop_bytes){ host.p + 2, host.len - 2 };
	n = oschema_format_whys(OSCHEMA_FMT_DNS1123_SUBDOMAIN, rest.p, rest.len, whys);
	for (size_t i = 0; i < n; i++)
		ocheck_invalid_text(c, at, host, whys[i]);
}

static void check_tls(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	struct opath tp = opath_child(at, "tls");

	OJSON_FOREACH_ELEM(i, t, list) {
		struct opath ip = opath_index(&tp, i), hp = opath_child(&ip, "hosts"), np = opath_child(&ip, "secretName");

		OJSON_FOREACH_ELEM(j, h, ojson_get(t, "hosts")) {
			struct opath ep = opath_index(&hp, j);

			check_host(c, &ep, otext(h));
		}
		if (!oget_empty(t, "secretName"))
			ocheck_format(c, &np, ojson_get(t, "secretName"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	}
}

static void check_rules(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	struct opath rp = opath_child(at, "rules");

	OJSON_FOREACH_ELEM(i, r, list) {
		struct opath ip = opath_index(&rp, i), hp = opath_child(&ip, "host"), tp = opath_child(&ip, "http");
		struct orlop_bytes host = oget_text(r, "host");

		if (host.len > 0 && oschema_format_check(OSCHEMA_FMT_IP, host.p, host.len) == NULL)
			ocheck_invalid_text(c, &hp, host, "must be a DNS name, not an IP address");
		else if (host.len > 0)
			check_host(c, &hp, host);
		check_paths(c, &tp, ojson_get(r, "http"));
	}
}

OCHECK(ingress)
{
	struct ojson *spec = ojson_get(v, "spec"), *meta = ojson_get(v, "metadata");
	struct opath p = opath_child(at, "spec"), ap = opath_child(at, "annotations");
	struct opath kp = opath_child(&ap, "kubernetes.io/ingress.class"), bp = opath_child(&p, "defaultBackend");
	struct opath tp = opath_child(at, "status");
	struct ojson *legacy = ojson_get(ojson_get(meta, "annotations"), "kubernetes.io/ingress.class");

	if (otext_is(c->w->sub, "status")) {
		ocheck_balancer(c, &tp, ojson_get(v, "status"));
		return;
	}
	if (oget_len(spec, "rules") == 0 && ojson_get(spec, "defaultBackend") == NULL)
		ocheck_invalid(c, &p, NULL, "either `defaultBackend` or `rules` must be specified");
	if (ojson_get(spec, "defaultBackend") != NULL)
		check_backend(c, &bp, ojson_get(spec, "defaultBackend"));
	check_rules(c, &p, ojson_get(spec, "rules"));
	check_tls(c, &p, ojson_get(spec, "tls"));
	if (old == NULL && legacy != NULL && ojson_has(spec, "ingressClassName"))
		ocheck_invalid(c, &kp, legacy, "can not be set when the class field is also set");
}

OCHECK(ingress_class)
{
	struct ojson *spec = ojson_get(v, "spec"), *name = ojson_get(spec, "controller");
	struct opath p = opath_child(at, "spec"), cp = opath_child(&p, "controller"), rp = opath_child(&p, "parameters");
	struct orlop_bytes t = otext(name);
	const char *slash = memchr(t.p, '/', t.len);

	(void)old;
	if (t.len > 0 && (slash == NULL || slash == t.p || slash + 1 == t.p + t.len))
		ocheck_invalid(c, &cp, name, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else if (t.len > 0) {
		const char *whys[OSCHEMA_FORMAT_WHYS];
		size_t n = oschema_format_whys(OSCHEMA_FMT_DNS1123_SUBDOMAIN, t.p, (size_t)(slash - t.p), whys);

		for (size_t i = 0; i < n; i++)
			ocheck_invalid_text(c, &cp, (struct orlop_bytes){ t.p, (size_t)(slash - t.p) }, whys[i]);
	}
	check_reference(c, &rp, ojson_get(spec, "parameters"));
}

/* ---- network policies ---- */

struct range {
	unsigned char	addr[16];
	int		family;
	long		bits;
};

static bool parse_range(struct orlop_bytes t, struct range *ret)
{
	char text[INET6_ADDRSTRLEN + 8];
	char *slash;

	if (t.len >= sizeof(text) || oschema_format_check(OSCHEMA_FMT_CIDR, t.p, t.len) != NULL)
		return false;
	memcpy(text, t.p, t.len);
	text[t.len] = '\0';
	slash = strchr(text, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	ret->bits = strtol(slash + 1, NULL, 10);
	ret->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(ret->family, text, ret->addr) == 1;
}

/* Is @in a part, and not all, of @all? */
static bool within(const struct range *all, const struct range *in)
{
	if (all->family != in->family || in->bits <= all->bits)
		return false;
	for (long i = 0; i < all->bits; i++)
		if ((all->addr[i / 8] ^ in->addr[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

static void check_block(struct ocheck *c, const struct opath *at, struct ojson *block)
{
	struct opath cp = opath_child(at, "cidr"), ep = opath_child(at, "except");
	struct range all, part;

	if (oget_empty(block, "cidr")) {
		ocheck_required(c, &cp, "");
		return;
	}
	ocheck_format(c, &cp, ojson_get(block, "cidr"), OSCHEMA_FMT_CIDR);
	if (!parse_range(oget_text(block, "cidr"), &all))
		return;
	OJSON_FOREACH_ELEM(i, e, ojson_get(block, "except")) {
		struct opath p = opath_index(&ep, i);

		if (!parse_range(otext(e), &part)) {
			ocheck_format(c, &p, e, OSCHEMA_FMT_CIDR);
			return;
		}
		if (!within(&all, &part))
			ocheck_invalid(c, &p, e, "must be a strict subset of `cidr`");
	}
}

OCHECK(network_policy_peer)
{
	bool block = ojson_get(v, "ipBlock") != NULL;
	bool selects = ojson_get(v, "podSelector") != NULL || ojson_get(v, "namespaceSelector") != NULL;
	struct opath bp = opath_child(at, "ipBlock");

	(void)old;
	if (v == NULL)
		return;
	if (block)
		check_block(c, &bp, ojson_get(v, "ipBlock"));
	if (block && selects)
		ocheck_forbidden(c, at, "may not specify both ipBlock and another peer");
	else if (!block && !selects)
		ocheck_required(c, at, "must specify a peer");
}

OCHECK(policy_types)
{
	static const char *const types[] = { "Ingress", "Egress" };

	(void)old;
	if (ojson_count(v) > 2) {
		ocheck_invalid(c, at, v, "may not specify more than two policyTypes");
		return;
	}
	OJSON_FOREACH_ELEM(i, e, v) {
		struct opath p = opath_index(at, i);

		if (!ojson_string_is(e, types[0]) && !ojson_string_is(e, types[1]))
			ocheck_not_supported(c, &p, e, types, 2);
	}
}

/* The end of a range of ports. */
OCHECK(network_policy_port)
{
	struct ojson *port = ojson_get(v, "port");
	int64_t end = oget_int(v, "endPort");

	(void)old;
	if (!ojson_has(v, "endPort"))
		return;
	if (port == NULL) {
		ocheck_invalid_at(c, at, v, "endPort", "may not be specified when `port` is not specified");
	} else if (!ojson_is(port, OJSON_INT)) {
		ocheck_invalid_at(c, at, v, "endPort", "may not be specified when `port` is non-numeric");
	} else {
		if (end < ojson_i64(port, 0))
			ocheck_invalid_at(c, at, v, "endPort", "must be greater than or equal to `port`");
		if (end < 1 || end > 65535)
			ocheck_invalid_at(c, at, v, "endPort", "must be between 1 and 65535, inclusive");
	}
}

/* Whom an endpoint is meant for: each once, and not too many. */
OCHECK(endpoint_hints)
{
	static const struct { const char *key; unsigned int format; } lists[] = {
		{ "forZones", OSCHEMA_FMT_LABEL_VALUE }, { "forNodes", OSCHEMA_FMT_DNS1123_SUBDOMAIN } };

	(void)old;
	for (size_t k = 0; k < 2; k++) {
		struct opath p = opath_child(at, lists[k].key);
		struct ojson *list = ojson_get(v, lists[k].key);
		cleanup_oseen struct oseen before;

		oseen_init(&before, &c->lost);
		if (ojson_count(list) > 8) {
			ocheck_too_many(c, &p, ojson_count(list), 8);
			return;
		}
		OJSON_FOREACH_ELEM(i, e, list) {
			struct opath ip = opath_index(&p, i), np = opath_child(&ip, "name");

			if (oseen(&before, ojson_get(e, "name"), NULL))
				ocheck_duplicate_text(c, &np, ojson_get_cstr(e, "name", ""));
			ocheck_format(c, &np, ojson_get(e, "name"), lists[k].format);
		}
	}
}
