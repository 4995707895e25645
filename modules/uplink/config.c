/* config.c - where the remote API server is: the kubeconfig, and what the parameters say over it. */
#include "config.h"

#include <orlop/inline/error.h>

#include "base/omem.h"

#include <errno.h>
#include <string.h>

static int no_memory(struct orlop_error *err)
{
	return orlop_fail(err, ENOMEM, 0, "", "no memory");
}

static int copy_param(const struct orlop_host *h, const char *name, char **to)
{
	const char *v = h->param(h, name);

	if (!v[0])
		return 0;
	omem_free(*to);
	*to = omem_strdup(v);
	return *to ? 0 : -ENOMEM;
}

/* What the parameters say wins over the file. */
static int overrides(const struct orlop_host *h, struct okubeconfig *c, struct orlop_error *err)
{
	const char *server = h->param(h, "server");
	int r = 0;

	if (server[0]) {
		r = okubeconfig_server(c, server, err);
		if (r)
			return r;
	}
	if (copy_param(h, "ca", &c->ca_path) || copy_param(h, "cert", &c->cert_path) ||
	    copy_param(h, "key", &c->key_path) || copy_param(h, "token_file", &c->token_path))
		return no_memory(err);
	if (!c->addr)
		return orlop_fail(err, EINVAL, 0, "", "neither kubeconfig nor server is set");
	if (c->tls && !c->insecure && !c->ca_pem && !c->ca_path)
		return orlop_fail(err, EINVAL, 0, "", "ca is not set: whose certificate may the server show?");
	if (!c->cert_path != !c->key_path)
		return orlop_fail(err, EINVAL, 0, "", "cert and key must both be set");
	return 0;
}

int up_config_load(const struct orlop_host *h, struct up_config *c, struct orlop_error *err)
{
	const char *path = h->param(h, "kubeconfig");
	int r = 0;

	memset(c, 0, sizeof(*c));
	c->from = omem_strdup(path[0] ? path : "parameters");
	if (!c->from)
		return no_memory(err);
	if (path[0])
		r = okubeconfig_load(path, h->param(h, "context"), &c->k, err);
	if (r == 0)
		r = overrides(h, &c->k, err);
	if (r == 0)
		r = okubeconfig_token(&c->k, err);
	return r;
}

void up_config_done(struct up_config *c)
{
	okubeconfig_done(&c->k);
	omem_free(c->from);
	memset(c, 0, sizeof(*c));
}
