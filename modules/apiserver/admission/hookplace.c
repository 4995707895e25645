/*
 * hookplace.c - where a webhook is, and the connections to it.
 *
 * A Service is reached at its endpoints; addresses of the host itself or of the link (metadata services) are no
 * endpoints, nor may a URL name one of the link.
 */
#include "hookpost.h"
#include "admission.h"

#include "../registry/render.h"
#include "json/ojson.h"

#include "base/oenc.h"
#include "tls/otls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define ROOTS		"/etc/ssl/certs/ca-certificates.crt"
#define CLIENTS_KEPT	16u

/* ---- clients -------------------------------------------------------------------------------------------------- */

static void client_free(struct hook_client *c)
{
	olist_del(&c->link);
	ohttp_client_free(c->http);
	otls_ctx_free(c->tls);
	omem_free(c->ca);
	omem_free(c);
}

void hook_clients_free(struct reg_shard *sh)
{
	struct olist *l;

	while ((l = olist_first(&sh->hook_clients)) != NULL)
		client_free(OLIST_ENTRY(l, struct hook_client, link));
}

int hook_base64(struct obuf *b, const char *p, size_t len)
{
	char *raw = omem_alloc(len + 4);
	long n = raw ? obase64_decode(OBASE64_STD, p, len, raw, NULL) : -ENOMEM;

	if (n > 0)
		obuf_append(b, raw, (size_t)n);
	omem_free(raw);
	return n < 0 ? (int)n : obuf_err(b);
}

static void clients_trim(struct reg_shard *sh)
{
	struct hook_client *idle = NULL;
	uint32_t n = 0;

	OLIST_FOREACH(pos, &sh->hook_clients) {
		struct hook_client *c = OLIST_ENTRY(pos, struct hook_client, link);

		n++;
		if (!c->calls && !idle)
			idle = c;
	}
	if (n > CLIENTS_KEPT && idle)
		client_free(idle);
}

struct hook_client *hook_client_of(struct reg_shard *sh, const char *ca, struct orlop_error *err)
{
	struct otls_config cfg = { .min_version = 12, .ca_path = *ca ? NULL : ROOTS };
	struct obuf pem = OBUF_INIT;
	struct hook_client *c;
	int r = 0;

	OLIST_FOREACH(pos, &sh->hook_clients) {
		c = OLIST_ENTRY(pos, struct hook_client, link);
		if (!strcmp(c->ca, ca))
			return c;
	}
	clients_trim(sh);
	c = OMEM_NEW(struct hook_client);
	if (!c)
		return NULL;
	olist_append(&sh->hook_clients, &c->link);
	c->ca = omem_strdup(ca);
	if (*ca)
		r = hook_base64(&pem, ca, strlen(ca));
	cfg.ca_pem = (struct orlop_bytes){ pem.data, pem.len };
	if (r == 0)
		r = c->ca ? otls_client_new(&cfg, &c->tls, err) : -ENOMEM;
	if (r == 0)
		r = ohttp_client_new(sh->h, c->tls, &c->http);
	obuf_done(&pem);
	if (r) {
		client_free(c);
		return NULL;
	}
	return c;
}

/* ---- where ------------------------------------------------------------------------------------------------------- */

/* Addresses that lead to the host itself, or to what only the link knows. */
static bool is_guarded(const char *host, bool loopback)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (inet_pton(AF_INET, host, &a4) == 1) {
		uint32_t v = ntohl(a4.s_addr);

		return v >> 16 == 0xa9fe || v == 0 || (loopback && v >> 24 == 127);
	}
	if (inet_pton(AF_INET6, host, &a6) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&a6))
		return is_guarded(inet_ntop(AF_INET, &a6.s6_addr[12], (char[16]){ 0 }, 16), loopback);
	return IN6_IS_ADDR_LINKLOCAL(&a6) || IN6_IS_ADDR_UNSPECIFIED(&a6) || (loopback && IN6_IS_ADDR_LOOPBACK(&a6));
}

static const char *place_url(struct oarena *arena, const char *url, struct hook_place *p)
{
	const char *host = url + 8, *slash = strchr(host, '/'), *colon;
	size_t n = slash ? (size_t)(slash - host) : strlen(host);
	char *text = oarena_strndup(arena, host, n), *name;

	if (strncmp(url, "https://", 8) || !text || !n)
		return "is not an https URL";
	p->path = slash ? slash : "/";
	p->host = text;
	colon = strrchr(text, ':');
	if (*text == '[') {
		const char *close = strchr(text, ']');

		if (!close)
			return "has an address that cannot be read";
		colon = close[1] == ':' ? close + 1 : NULL;
		name = oarena_strndup(arena, text + 1, (size_t)(close - text) - 1);
	} else {
		name = oarena_strndup(arena, text, colon ? (size_t)(colon - text) : n);
	}
	p->name = name;
	p->addr = colon ? text : oarena_printf(arena, "%s:443", text);
	if (!p->name || !p->addr)
		return "out of memory";
	return is_guarded(name, false) ? "address is not allowed" : NULL;
}

/* *ret NULL: there is none. */
static int lookup(struct reg_shard *sh, const struct reg_kind *k, struct orlop_bytes ns, struct orlop_bytes name,
		  struct ojson **ret)
{
	struct orlop_object *o = NULL;
	int r = reg_find(sh, k, ns, name, &o);

	*ret = NULL;
	if (r == 0 && o)
		r = render_parse(k, o->json, ret);
	sh->h->object_unref(o);
	return r;
}

/* How many endpoints there are; of @n, the one at @from is taken, then the next of them. */
static uint32_t place_endpoints(struct oarena *arena, const struct ojson *ends, const char *port_name, uint32_t n, uint32_t from,
				struct hook_place *p)
{
	uint32_t count = 0;

	OJSON_FOREACH_ELEM(i, sub, ojson_get(ends, "subsets"))
		OJSON_FOREACH_ELEM(j, ep, ojson_get(sub, "ports"))
			OJSON_FOREACH_ELEM(l, a, ojson_get(sub, "addresses")) {
				const char *ip = ojson_get_cstr(a, "ip", ""), *addr;
				uint32_t at;

				if (strcmp(ojson_get_cstr(ep, "name", ""), port_name) || is_guarded(ip, true))
					continue;
				count++;
				at = n ? (count - 1 + n - from) % n : n;
				if (!n || at > HOOK_OTHERS)
					continue;
				addr = oarena_printf(arena, "%s%s%s:%lld", strchr(ip, ':') ? "[" : "", ip,
						     strchr(ip, ':') ? "]" : "", (long long)ojson_get_i64(ep, "port", 0));
				if (!at)
					p->addr = addr;
				else
					p->others[at - 1] = addr;
			}
	for (; n && p->n_others < HOOK_OTHERS && p->others[p->n_others]; p->n_others++)
		;
	return count;
}

static const char *place_service(struct reg_shard *sh, struct oarena *arena, const struct ojson *ref, struct hook_place *p)
{
	const struct reg_kind *ek = reg_kind_named(sh->rg, "endpoints");
	struct orlop_bytes ns = ojson_get_bytes(ref, "namespace"), name = ojson_get_bytes(ref, "name");
	int64_t port = ojson_get_i64(ref, "port", 443);
	struct ojson *service = NULL, *ends = NULL;
	const char *port_name = NULL;
	uint32_t n, any = 0;

	p->path = ojson_get_cstr(ref, "path", "/");
	p->name = p->host = oarena_printf(arena, "%.*s.%.*s.svc", OB(name), OB(ns));
	if (lookup(sh, sh->rg->services, ns, name, &service) || !service)
		return oarena_printf(arena, "service \"%.*s\" not found", OB(name));
	OJSON_FOREACH_ELEM(i, sp, OJSON_AT(service, "spec", "ports"))
		if (ojson_get_i64(sp, "port", 0) == port)
			port_name = oarena_strdup(arena, ojson_get_cstr(sp, "name", ""));
	ojson_unref(service);
	if (!port_name)
		return oarena_printf(arena, "no service port %lld found for service \"%.*s\"", (long long)port, OB(name));
	if (!ek || lookup(sh, ek, ns, name, &ends) || !ends)
		return oarena_printf(arena, "no endpoints available for service \"%.*s\"", OB(name));
	n = place_endpoints(arena, ends, port_name, 0, 0, p);
	if (n) {
		sh->h->random(sh->h, &any, sizeof(any));
		(void)place_endpoints(arena, ends, port_name, n, any % n, p);
	}
	ojson_unref(ends);
	return p->addr ? NULL : oarena_printf(arena, "no endpoints available for service \"%.*s\"", OB(name));
}

const char *hook_place(struct reg_shard *sh, struct oarena *arena, const struct ojson *client_config, struct hook_place *p)
{
	const struct ojson *ref = ojson_get(client_config, "service");

	return ref ? place_service(sh, arena, ref, p) : place_url(arena, ojson_get_cstr(client_config, "url", ""), p);
}
