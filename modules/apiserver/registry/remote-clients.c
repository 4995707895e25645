/*
 * remote-clients.c - connections to servers of other group versions, of which those with the same authority share one client.
 */
#include "remote-clients.h"
#include "../admission/hookpost.h"

#include "json/ojson.h"
#include "tls/otls.h"

#include <errno.h>
#include <string.h>

#define ROOTS		"/etc/ssl/certs/ca-certificates.crt"
#define CLIENTS_KEPT	16u

static void client_free(struct remote_client *c)
{
	olist_del(&c->link);
	ohttp_client_free(c->http);
	otls_ctx_free(c->tls);
	omem_free(c->ca);
	omem_free(c);
}

void reg_remote_release(struct remote_client *c)
{
	if (c)
		c->held--;
}

static void clients_trim(struct olist *clients)
{
	struct remote_client *idle = NULL;
	unsigned int n = 0;

	OLIST_FOREACH(l, clients) {
		struct remote_client *c = OLIST_ENTRY(l, struct remote_client, link);

		n++;
		if (!c->held && !idle)
			idle = c;
	}
	if (n >= CLIENTS_KEPT && idle)
		client_free(idle);
}

struct remote_client *remote_client_get(struct reg_shard *sh, struct olist *clients, const struct ojson *spec)
{
	bool any = ojson_get_bool(spec, "insecureSkipTLSVerify", false);
	const char *ca = any ? "-" : ojson_get_cstr(spec, "caBundle", "");
	const struct reg_config *cfg = &sh->rg->cfg;
	struct otls_config tls = { .min_version = 12, .insecure = any, .ca_path = any || *ca ? NULL : ROOTS };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf pem = OBUF_INIT;
	struct remote_client *c;
	int e = 0;

	OLIST_FOREACH(l, clients) {
		c = OLIST_ENTRY(l, struct remote_client, link);
		if (!strcmp(c->ca, ca)) {
			c->held++;
			return c;
		}
	}
	clients_trim(clients);
	c = OMEM_NEW(struct remote_client);
	if (!c)
		return NULL;
	olist_append(clients, &c->link);
	c->held = 1;
	c->ca = omem_strdup(ca);
	if (cfg->proxy_cert[0]) {
		tls.cert_path = cfg->proxy_cert;
		tls.key_path = cfg->proxy_key;
	}
	if (!any && *ca)
		e = hook_base64(&pem, ca, strlen(ca));
	tls.ca_pem = (struct orlop_bytes){ pem.data, pem.len };
	if (e == 0)
		e = c->ca ? otls_client_new(&tls, &c->tls, &err) : -ENOMEM;
	if (e == 0)
		e = ohttp_client_new(sh->h, c->tls, &c->http);
	obuf_done(&pem);
	if (e) {
		OLOG(sh->h, WARN, "remote_client", "error=\"%s\"", err.msg);
		client_free(c);
		c = NULL;
	}
	orlop_error_done(&err);
	return c;
}

void remote_clients_reload(struct olist *clients)
{
	OLIST_FOREACH(l, clients) {
		struct orlop_error err = ORLOP_ERROR_INIT;

		(void)otls_reload_if_changed(OLIST_ENTRY(l, struct remote_client, link)->tls, &err);
		orlop_error_done(&err);
	}
}

void remote_clients_done(struct olist *clients)
{
	struct olist *l;

	while ((l = olist_first(clients)) != NULL)
		client_free(OLIST_ENTRY(l, struct remote_client, link));
}
