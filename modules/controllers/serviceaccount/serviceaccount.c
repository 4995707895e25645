/*
 * serviceaccount.c - what every namespace has: the ServiceAccount "default" and the ConfigMap
 * "kube-root-ca.crt" with the certificate of the cluster's authority. Both come back when they are
 * deleted, the ConfigMap also when it is changed. And Secrets with tokens of accounts (tokens.c).
 * Source: upstream's pkg/controller/serviceaccount and certificates/rootcacertpublisher, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"
#include "ca.h"
#include "ctl/octl.h"
#include "tokens.h"

#define ACCOUNT		"default"
#define CA_MAP		"kube-root-ca.crt"
#define CA_KEY		"ca.crt"
#define DESCRIPTION	"kubernetes.io/description"
#define CA_TEXT		"Contains a CA bundle that can be used to verify the kube-apiserver when using internal " \
			"endpoints such as the internal service IP or kubernetes.default.svc. No other usage is " \
			"guaranteed across distributions of Kubernetes clusters."

struct serviceaccount {
	struct octl	c;
	struct orlop_resource *namespaces;
	struct orlop_resource *accounts;
	struct orlop_resource *maps;
	struct tokens	tokens;
	char		*ca;		/* PEM, NULL: none is published */
};

static bool is_name(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && !memcmp(b.p, cstr, b.len);
}

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/*
 * 409: somebody else made it; the cache tells. That the namespace ends or is not there may be the word of a
 * server that is behind us, and it may be another namespace by now: looked at again, and if it is so the
 * cache says it too.
 */
static void answered(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	if (status >= 0 && code == 404)
		octl_release(arg, true);
	else
		octl_answer(arg, status, status >= 0 && code == 409 ? 200 : code, body, rev);
}

static int send(struct octl_task *t, const char *verb, const char *resource, const char *kind,
		struct orlop_bytes ns, const char *name, struct ojson *body)
{
	struct okube_req req = { .verb = verb, .resource = resource, .ns = ns, .name = text(name), .body = body };
	struct ojson *meta = ojson_ensure_object(body, "metadata");
	int e = ojson_set_cstr(body, "kind", kind);

	if (!e)
		e = ojson_set_cstr(body, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(meta, "name", name);
	if (!e)
		e = ojson_set_string(meta, "namespace", ns.p, ns.len);
	if (e)
		return e;
	if (!strcmp(verb, "create"))
		req.name.len = 0;
	octl_hold(t);
	e = okube_call(octl_of(t)->h, &req, answered, t);
	if (e)
		octl_release(t, true);
	return e;
}

static int account_keep(struct serviceaccount *s, struct octl_task *t, struct orlop_bytes ns)
{
	struct ojson *have = okube_get(s->c.h, s->accounts, ns, text(ACCOUNT));
	struct ojson *body;
	int e;

	if (have) {
		ojson_unref(have);
		return 0;
	}
	body = ojson_new_object();
	e = send(t, "create", "serviceaccounts", "ServiceAccount", ns, ACCOUNT, body);
	ojson_unref(body);
	return e;
}

static bool map_is_right(const struct serviceaccount *s, const struct ojson *map)
{
	const struct ojson *data = ojson_get(map, "data");

	return ojson_count(data) == 1 && ojson_string_is(ojson_get(data, CA_KEY), s->ca) &&
	       *ojson_cstr(OJSON_AT(map, "metadata", "annotations", DESCRIPTION), "");
}

static int map_keep(struct serviceaccount *s, struct octl_task *t, struct orlop_bytes ns)
{
	struct ojson *map = okube_get(s->c.h, s->maps, ns, text(CA_MAP));
	const char *verb = map ? "update" : "create";
	int e = 0;

	if (!s->ca || (map && map_is_right(s, map))) {
		ojson_unref(map);
		return 0;
	}
	if (!map)
		map = ojson_new_object();
	ojson_del(ojson_get(map, "metadata"), "managedFields");
	ojson_del(map, "data");
	e = ojson_set_cstr(ojson_ensure_object(map, "data"), CA_KEY, s->ca);
	if (!e)
		e = ojson_set_cstr(ojson_ensure_object(ojson_ensure_object(map, "metadata"), "annotations"),
				   DESCRIPTION, CA_TEXT);
	if (!e)
		e = send(t, verb, "configmaps", "ConfigMap", ns, CA_MAP, map);
	ojson_unref(map);
	return e;
}

/* The key is a namespace, "/NAME", or one of tokens.c. */
static int serviceaccount_sync(struct octl *c, struct octl_task *t, struct orlop_bytes none,
			       struct orlop_bytes ns)
{
	struct serviceaccount *s = (struct serviceaccount *)(void *)c;
	struct ojson *obj = NULL;
	const char *phase;
	int e;

	if (tokens_is_key(none))
		return tokens_sync(&s->tokens, t, none, ns);
	e = okube_find(c->h, s->namespaces, none, ns, &obj);
	if (e)
		return e == -ENOENT ? 0 : e;
	phase = ojson_get_cstr(ojson_get(obj, "status"), "phase", "Active");
	if (!okube_deleting(obj) && !strcmp(phase, "Active")) {
		e = account_keep(s, t, ns);
		if (!e)
			e = map_keep(s, t, ns);
	}
	ojson_unref(obj);
	return e;
}

static void namespace_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type != ORLOP_CHANGE_DELETED)
		octl_add(arg, o->ns, o->name);
}

static void account_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct serviceaccount *s = arg;

	(void)prev;
	tokens_account_changed(&s->tokens, type, o);
	if (type == ORLOP_CHANGE_DELETED && is_name(o->name, ACCOUNT))
		octl_add(arg, (struct orlop_bytes){ "", 0 }, o->ns);
}

static void map_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	if (is_name(o->name, CA_MAP))
		octl_add(arg, (struct orlop_bytes){ "", 0 }, o->ns);
}

static void secret_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct serviceaccount *s = arg;

	tokens_secret_changed(&s->tokens, type, o, prev);
}

static void serviceaccount_apply(void *ctx, const char *name, const char *value)
{
	struct serviceaccount *s = ctx;

	if (!strcmp(name, "token_secrets"))
		tokens_make(&s->tokens, !strcmp(value, "true"));
}

static void serviceaccount_fini(void *ctx)
{
	struct serviceaccount *s = ctx;

	octl_done(&s->c);
	omem_free(s->ca);
	omem_free(s);
}

static int serviceaccount_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct serviceaccount *s = OMEM_NEW(struct serviceaccount);
	const char *path = h->param(h, "ca_file");
	int e;

	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->tokens.c = &s->c;
	s->tokens.make = h->param_bool(h, "token_secrets");
	e = octl_init(&s->c, h, "serviceaccount", "service-account-controller", serviceaccount_sync, 8, err);
	if (!e && *path)
		e = ca_read(path, &s->ca, err);
	if (!e)
		e = octl_follow(&s->c, "namespaces", namespace_changed, &s->namespaces, err);
	if (!e)
		e = octl_follow(&s->c, "serviceaccounts", account_changed, &s->accounts, err);
	if (!e)
		e = octl_follow(&s->c, "configmaps", map_changed, &s->maps, err);
	if (!e)
		e = octl_follow(&s->c, "secrets", secret_changed, &s->tokens.secrets, err);
	if (e) {
		serviceaccount_fini(s);
		return e;
	}
	s->tokens.accounts = s->accounts;
	s->tokens.ca = s->ca;
	if (!s->ca)
		OLOG(h, INFO, "no_ca", "parameter=ca_file text=\"not set: no ConfigMap " CA_MAP " is published\"");
	*ret_ctx = s;
	return 0;
}

static const struct orlop_param params[] = {
	{ .name = "ca_file", .type = ORLOP_PARAM_STRING, .def = "",
	  .help = "certificate of the cluster's authority (PEM) for the ConfigMap " CA_MAP " of each namespace" },
	{ .name = "token_secrets", .type = ORLOP_PARAM_BOOL, .flags = ORLOP_PARAM_LIVE, .def = "false",
	  .help = "make a Secret with a token for every ServiceAccount, as before Kubernetes 1.24" },
};

ORLOP_MODULE("serviceaccount", "controllers", "0.1",
	"needs=api\0reads=namespaces,serviceaccounts,configmaps,secrets\0files=$ca_file\0"
	"asks=serviceaccounts;create;get;update,serviceaccounts/token;create,configmaps;create;update,"
	"secrets;create;patch;delete\0"
	"user=system:serviceaccount:kube-system:service-account-controller",
	.license = "Apache-2.0",
	.summary = "a default ServiceAccount and the authority's certificate in each namespace",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &octl_ops,
	.init = serviceaccount_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = serviceaccount_fini,
	.param_apply = serviceaccount_apply,
	.health = octl_health);
