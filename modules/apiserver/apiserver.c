/*
 * The API server module: parameters, shards, start and stop.
 *
 * Every shard has a context of the registry, an HTTP server on the same port and a client for
 * kubelets; shard 0 also answers the address "api". They share what is never written after init.
 */
#include "front.h"
#include "auth/rbac.h"

#include "apischema/apischema.h"

#include <orlop/api.h>
#include <orlop/module.h>

#include "base/ofile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define CHORES_NS	(60 * APIS_NS_PER_S)
#define LEFT_NS		(APIS_NS_PER_S / 10)	/* draining: how often we count what is left */
#define FINISH_NS	(APIS_NS_PER_S / 200)	/* the same, when everybody waits for it */

static const struct orlop_param params[] = {
	{ "listen", ORLOP_PARAM_STRING, 0, "127.0.0.1:6443", "address and port of the HTTPS API" },
	{ "cert", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "certificate of the API, PEM file" },
	{ "key", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "its key, PEM file" },
	{ "client_ca", ORLOP_PARAM_STRING, 0, "", "CA of client certificates, PEM file; empty: none are accepted" },
	{ "tls_min", ORLOP_PARAM_STRING, 0, "1.3", "oldest TLS version, 1.2 or 1.3" },
	{ "sa_key", ORLOP_PARAM_STRING, 0, "", "key that signs service account tokens, PEM file" },
	{ "issuer", ORLOP_PARAM_STRING, 0, "https://kubernetes.default.svc.cluster.local",
	  "issuer and audience of service account tokens" },
	{ "token_file", ORLOP_PARAM_STRING, 0, "", "static bearer tokens: token,user,uid,\"group,…\" a line" },
	{ "service_cidr", ORLOP_PARAM_STRING, 0, "10.96.0.0/16", "addresses of Services" },
	{ "node_ports", ORLOP_PARAM_STRING, 0, "30000-32767", "ports of NodePort Services" },
	{ "advertise", ORLOP_PARAM_STRING, 0, "", "ADDRESS:PORT at which pods reach the API; empty: listen" },
	{ "kubelet_ca", ORLOP_PARAM_STRING, 0, "", "CA of the kubelets' certificates, PEM file" },
	{ "kubelet_cert", ORLOP_PARAM_STRING, 0, "", "our client certificate for kubelets, PEM file" },
	{ "kubelet_key", ORLOP_PARAM_STRING, 0, "", "its key, PEM file" },
	{ "max_reads", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "400", "reads in flight at once, watches not counted" },
	{ "max_writes", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "200", "writes in flight at once" },
	{ "max_watches", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "20000", "watches open at once" },
	{ "max_streams", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "2000", "exec, attach, port-forward and logs open at once" },
	{ "log_requests", ORLOP_PARAM_BOOL, ORLOP_PARAM_LIVE, "false", "a line for each request: who, what, how long (info; else with debug)" },
	{ "max_connections", ORLOP_PARAM_INT, 0, "10000", "open connections" },
	{ "request_timeout_s", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "60", "seconds that a request may take, watches and streams not counted" },
	{ "shutdown_delay_s", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "0",
	  "seconds that all is served at the end while /readyz says no, so that those in front of us notice" },
	{ "event_ttl_s", ORLOP_PARAM_INT, 0, "3600", "seconds that Events are kept" },
	{ "old_versions", ORLOP_PARAM_BOOL, 0, "false",
	  "serve policy/v1beta1, discovery.k8s.io/v1beta1 and batch/v1beta1 as well, for clients from before Kubernetes 1.25" },
	{ "pod_security_exempt_users", ORLOP_PARAM_STRING, 0, "", "users whose pods PodSecurity lets be, with commas between them" },
	{ "pod_security_exempt_namespaces", ORLOP_PARAM_STRING, 0, "", "namespaces that it lets be" },
	{ "pod_security_exempt_runtimeclasses", ORLOP_PARAM_STRING, 0, "", "RuntimeClasses whose pods it lets be" },
	{ "deny_external_ips", ORLOP_PARAM_BOOL, 0, "false",
	  "refuse Services that name new externalIPs, as upstream's plugin DenyServiceExternalIPs: whoever may write Services could take such an address" },
	{ "proxy_client_cert", ORLOP_PARAM_STRING, 0, "", "our client certificate for servers of other groups (APIServices), PEM file" },
	{ "proxy_client_key", ORLOP_PARAM_STRING, 0, "", "its key, PEM file" },
	{ "requestheader_ca", ORLOP_PARAM_STRING, 0, "", "its CA, which they are told to trust; not one that signs clients, PEM file" },
	{ "shared_storage", ORLOP_PARAM_BOOL, 0, "false", "other API servers use the same storage: requests ask it how far it is" },
};

/* ---- init ----------------------------------------------------------------------------------------------- */

/*
 * "ADDRESS:PORT" into its parts. No pod reaches a loopback address or one that means all of them, and
 * Endpoints may not hold it: the address is then empty, and default/kubernetes has no endpoint.
 */
static void split_addr(const char *s, char *host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(s, ':');
	size_t n = colon ? (size_t)(colon - s) : strlen(s);

	if (n && s[0] == '[') {
		s++;
		n -= 2;
	}
	snprintf(host, size, "%.*s", (int)n, s);
	if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "::1") == 0 ||
	    strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0)
		host[0] = '\0';
	*ret_port = colon ? (uint16_t)atoi(colon + 1) : 6443;
}

static void apis_fini(void *ctx)
{
	struct apis *a = ctx;

	if (!a)
		return;
	registry_free(a->rg);
	otls_ctx_free(a->tls);
	otls_ctx_free(a->kubelet_tls);
	opki_key_free(a->sa_key);
	omap_done(&a->tokens);
	oarena_done(&a->arena);
	omem_free(a->issuer);
	omem_free(a->shards);
	omem_free(a);
}

/* Per shard; other shards read them at any time. */
static void limits_read(struct apis *a)
{
	a->max_reads = (uint32_t)(a->h->param_int(a->h, "max_reads") / a->n_shards) + 1;
	a->max_writes = (uint32_t)(a->h->param_int(a->h, "max_writes") / a->n_shards) + 1;
	a->places = (uint32_t)(a->h->param_int(a->h, "max_reads") + a->h->param_int(a->h, "max_writes"));
	a->max_watches = (uint32_t)(a->h->param_int(a->h, "max_watches") / a->n_shards) + 1;
	a->max_streams = (uint32_t)(a->h->param_int(a->h, "max_streams") / a->n_shards) + 1;
	a->log_requests = a->h->param_bool(a->h, "log_requests");
	a->timeout_ns = (uint64_t)a->h->param_int(a->h, "request_timeout_s") * APIS_NS_PER_S;
	a->delay_ns = (uint64_t)a->h->param_int(a->h, "shutdown_delay_s") * APIS_NS_PER_S;
}

static int apis_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	long long n = strtoll(value, NULL, 10);

	(void)ctx;
	if (strcmp(name, "log_requests") == 0)
		return 0;
	if (strcmp(name, "request_timeout_s") == 0 || strcmp(name, "shutdown_delay_s") == 0)
		return n >= (*name == 'r') && n <= 3600 ? 0 : orlop_fail(err, ERANGE, 0, "", "%lld: want %d to 3600", n, *name == 'r');
	return n >= 1 && n <= 1000000 ? 0 : orlop_fail(err, ERANGE, 0, "", "%lld: want 1 to 1000000", n);
}

static void apis_apply(void *ctx, const char *name, const char *value)
{
	(void)name;
	(void)value;
	limits_read(ctx);
}

/* "key":"text of the file", */
static int put_file(struct obuf *out, const char *key, const char *path, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	int r = ofile_read(AT_FDCWD, path, 1 << 20, &b);

	if (r == 0) {
		obuf_printf(out, "\"%s\":", key);
		obuf_put_json_string(out, b.data ? b.data : "", b.len);
		obuf_putc(out, ',');
	}
	obuf_done(&b);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", path, strerrordesc_np(-r)) : 0;
}

/* What other servers must know to believe us: the ConfigMap extension-apiserver-authentication. NULL: nothing. */
static int auth_config(struct apis *a, const char **ret, struct orlop_error *err)
{
	const char *ca = a->h->param(a->h, "client_ca"), *front = a->h->param(a->h, "requestheader_ca");
	struct obuf b = OBUF_INIT;
	int r = 0;

	if (!ca[0] && !front[0])
		return 0;
	obuf_putc(&b, '{');
	if (ca[0])
		r = put_file(&b, "client-ca-file", ca, err);
	if (r == 0 && front[0])
		r = put_file(&b, "requestheader-client-ca-file", front, err);
	if (r == 0 && front[0])
		obuf_puts(&b, "\"requestheader-allowed-names\":\"[\\\"front-proxy-client\\\"]\","
			  "\"requestheader-extra-headers-prefix\":\"[\\\"X-Remote-Extra-\\\"]\","
			  "\"requestheader-group-headers\":\"[\\\"X-Remote-Group\\\"]\",\"requestheader-uid-headers\":\"[\\\"X-Remote-Uid\\\"]\","
			  "\"requestheader-username-headers\":\"[\\\"X-Remote-User\\\"]\",");
	if (r == 0 && b.len > 1)
		b.data[b.len - 1] = '}';	/* the last comma */
	if (r == 0)
		*ret = oarena_strndup(&a->arena, obuf_cstr(&b), b.len);
	obuf_done(&b);
	return r || *ret ? r : orlop_fail(err, ENOMEM, 0, "", "no memory");
}

/* Once for all shards: half of what a start takes is this. */
static int make_tls(struct apis *a, struct orlop_error *err)
{
	const struct orlop_host *h = a->h;
	const char *ca = h->param(h, "client_ca");
	const char *kca = h->param(h, "kubelet_ca");
	const char *kcert = h->param(h, "kubelet_cert");
	struct otls_config cfg = {
		.cert_path = h->param(h, "cert"),
		.key_path = h->param(h, "key"),
		.ca_path = ca[0] ? ca : NULL,
		.min_version = strcmp(h->param(h, "tls_min"), "1.2") == 0 ? 12 : 13,
		.h2 = 1,
	};
	struct otls_config kcfg = {
		.cert_path = kcert[0] ? kcert : NULL,
		.key_path = kcert[0] ? h->param(h, "kubelet_key") : NULL,
		.ca_path = kca,
		.min_version = 12,
	};
	int r = otls_server_new(&cfg, &a->tls, err);

	return r == 0 && kca[0] ? otls_client_new(&kcfg, &a->kubelet_tls, err) : r;
}

static int apis_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct apis *a = OMEM_NEW(struct apis);
	const char *adv = h->param(h, "advertise");
	const struct oschema *schema = h->param_bool(h, "old_versions") ? &oschema_old : &oschema_builtin;
	struct reg_config cfg = {
		.schema = schema,
		.hooks = {
			.arg = a,
			.authorize = hook_authorize,
			.rules = hook_rules,
			.sign = hook_sign,
			.authenticate = hook_authenticate,
			.covers = hook_covers,
			.note = hook_note,
		},
		.policy = rbac_policy,
		.flows = flow_objects,
		.service_cidr = h->param(h, "service_cidr"),
		.node_ports = h->param(h, "node_ports"),
		.issuer = h->param(h, "issuer"),
		.event_ttl_ns = (uint64_t)h->param_int(h, "event_ttl_s") * APIS_NS_PER_S,
		.proxy_cert = h->param(h, "proxy_client_cert"),
		.proxy_key = h->param(h, "proxy_client_key"),
		.exempt = {
			.users = h->param(h, "pod_security_exempt_users"),
			.namespaces = h->param(h, "pod_security_exempt_namespaces"),
			.runtime_classes = h->param(h, "pod_security_exempt_runtimeclasses"),
		},
		.deny_external_ips = h->param_bool(h, "deny_external_ips"),
		.shared_storage = h->param_bool(h, "shared_storage"),
	};
	char host[100], listen[100];
	int r;

	if (!a)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	a->h = h;
	a->schema = schema;
	a->n_shards = h->n_shards;
	omap_init(&a->tokens);
	oarena_init(&a->arena, 0);
	a->shards = omem_zalloc_array(h->n_shards, sizeof(*a->shards));
	a->issuer = omem_strdup(h->param(h, "issuer"));
	limits_read(a);
	split_addr(adv[0] ? adv : h->param(h, "listen"), host, sizeof(host), &cfg.advertise_port);
	cfg.advertise_addr = host;
	a->own_ports[0] = cfg.advertise_port;
	split_addr(h->param(h, "listen"), listen, sizeof(listen), &a->own_ports[1]);
	r = a->shards && a->issuer ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (r == 0 && h->param(h, "sa_key")[0])
		r = opki_key_load(h->param(h, "sa_key"), &a->sa_key, err);
	if (r == 0)
		r = authn_load_tokens(a, h->param(h, "token_file"), err);
	if (r == 0 && !a->sa_key)
		cfg.hooks.sign = NULL;
	if (r == 0)
		r = auth_config(a, &cfg.auth_config, err);
	if (r == 0)
		r = make_tls(a, err);
	if (r == 0)
		r = registry_new(&cfg, &a->rg, err);
	if (r == 0)
		r = registry_register(a->rg, h, err);
	if (r < 0) {
		apis_fini(a);
		return r;
	}
	*ret_ctx = a;
	return 0;
}

/* ---- shards --------------------------------------------------------------------------------------------- */

static void shard_free(struct ashard *sh)
{
	if (!sh)
		return;
	sh->draining = true;
	proxy_abort_all(sh);
	ohttp_server_free(sh->srv);
	ohttp_client_free(sh->kubelet);
	relay_done(sh);
	otls_ctx_free(sh->tls);
	otls_ctx_free(sh->kubelet_tls);
	docs_drop(sh);
	omap_done(&sh->docs);
	metrics_done(sh);
	authn_shard_free(sh);
	rbac_free(sh->rbac);
	flow_shard_free(sh);
	sh->h->timer_free(sh->timer);
	sh->h->timer_free(sh->chores);
	if (sh->pods)
		sh->h->resource_close(sh->pods);
	reg_shard_free(sh->reg);
	omem_free(sh);
}

static int share_tls(struct ashard *sh, struct orlop_error *err)
{
	struct apis *a = sh->a;

	if (otls_ctx_share(a->tls, &sh->tls) < 0 ||
	    (a->kubelet_tls && (otls_ctx_share(a->kubelet_tls, &sh->kubelet_tls) < 0 ||
				ohttp_client_new(sh->h, sh->kubelet_tls, &sh->kubelet) < 0)))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return 0;
}

static void reload(struct ashard *sh, struct otls_ctx *tls)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = tls ? otls_reload_if_changed(tls, &err) : 0;

	if (r > 0)
		OLOG(sh->h, INFO, "certificates_reloaded", "shard=%u", sh->h->shard);
	else if (r < 0)
		OLOG(sh->h, WARN, "certificates_kept", "why=\"%s\"", err.msg);
	orlop_error_done(&err);
}

/* Connections, and what was joined to kubelets: exec, port-forward, logs over WebSockets. */
static void count_left(struct ashard *sh)
{
	struct ohttp_server_stats st = { 0 };
	uint64_t n = 0;

	if (sh->finishing) {
		sh->left = sh->n_fronts - sh->n_longrunning + (sh->srv ? ohttp_server_unsent(sh->srv) : 0);
		return;
	}
	if (sh->srv)
		ohttp_server_stats(sh->srv, &st);
	n = st.open;
	OLIST_FOREACH(l, &sh->joined)
		n++;
	OLIST_FOREACH(l, &sh->ws_logs)
		n++;
	sh->left = (uint32_t)n;
}

static void drain(void *arg);

static void chores(void *arg)
{
	struct ashard *sh = arg;

	if (sh->draining) {
		count_left(sh);
		return;
	}
	if (sh->finishing) {
		drain(sh);
		return;
	}
	reload(sh, sh->tls);
	reload(sh, sh->kubelet_tls);
	if (omap_count(&sh->docs) && sh->h->now_mono(sh->h) - sh->docs_used >= CHORES_NS)
		docs_drop(sh);
}

static int apis_shard_init(void *ctx, uint32_t shard, const struct orlop_host *h, void **ret_shard,
			   struct orlop_error *err)
{
	struct apis *a = ctx;
	struct ashard *sh = OMEM_NEW(struct ashard);
	int r;

	if (!sh)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	sh->a = a;
	sh->h = h;
	olist_init(&sh->active);
	olist_init(&sh->watches);
	olist_init(&sh->ws_logs);
	olist_init(&sh->joined);
	omap_init(&sh->metrics);
	omap_init(&sh->docs);
	r = reg_shard_new(a->rg, h, &sh->reg, err);
	if (r == 0)
		r = share_tls(sh, err);
	if (r == 0 && (h->timer_new(h, front_sweep, sh, &sh->timer) < 0 ||
		       h->timer_new(h, chores, sh, &sh->chores) < 0))
		r = orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (r == 0)
		r = h->resource_open(h, "pods", &sh->pods, err);
	if (r == 0 && (rbac_new(h, &sh->rbac) < 0 || flow_shard_init(sh) < 0))
		r = orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (r < 0) {
		shard_free(sh);
		return r;
	}
	metrics_begin(sh);
	reg_watch_burst(sh->reg, watch_burst, sh);
	h->timer_set(sh->chores, CHORES_NS, CHORES_NS);
	a->shards[shard] = sh;
	*ret_shard = sh;
	return 0;
}

static void apis_shard_fini(void *ctx, void *shard)
{
	struct apis *a = ctx;
	struct ashard *sh = shard;

	if (!sh)
		return;
	a->shards[sh->h->shard] = NULL;
	shard_free(sh);
}

/* ---- start ---------------------------------------------------------------------------------------------- */

static int serve(struct ashard *sh, struct orlop_error *err)
{
	const struct orlop_host *h = sh->h;
	struct ohttp_server_config cfg = {
		.h = h,
		.listen = h->param(h, "listen"),
		.tls = sh->tls,
		.on_request = front_begin,
		.arg = sh,
		.max_connections = (uint32_t)(h->param_int(h, "max_connections") / h->n_shards) + 1,
	};

	if (reg_remotes_start(sh->reg))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return ohttp_server_new(&cfg, &sh->srv, err);
}

static void serve_other(void *arg)
{
	struct ashard *sh = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!sh->draining && serve(sh, &err) < 0)
		sh->h->fail(sh->h, err.msg);
	orlop_error_done(&err);
}

static void on_booted(void *arg, int32_t status, const char *what)
{
	struct apis *a = arg;
	const struct orlop_host *h = a->h;

	if (status < 0) {
		snprintf(a->boot_error, sizeof(a->boot_error), "%s: %s", what ? what : "bootstrap",
			 strerrordesc_np(-status));
		h->fail(h, a->boot_error);
		return;
	}
	__atomic_store_n(&a->booted, true, __ATOMIC_RELEASE);	/* other shards answer /readyz */
	h->ready(h);
}

static int apis_start(void *ctx, struct orlop_error *err)
{
	struct apis *a = ctx;
	char addr[128];
	int r = serve(a->shards[0], err);

	if (r < 0)
		return r;
	for (uint32_t i = 1; i < a->n_shards; i++) {
		const struct orlop_host *h = a->h->shard_host(a->h, i);

		if (h && h->post(h, serve_other, a->shards[i]) < 0)
			return orlop_fail(err, ENOMEM, 0, "", "cannot start shard %u", i);
	}
	ohttp_server_addr(a->shards[0]->srv, addr, sizeof(addr));
	OLOG(a->h, INFO, "listening", "addr=%s shards=%u", addr, a->n_shards);
	reg_bootstrap(a->shards[0]->reg, on_booted, a);
	return 0;
}

/* ---- stop ----------------------------------------------------------------------------------------------- */

static void drain(void *arg)
{
	struct ashard *sh = arg;

	if (sh->draining)
		return;
	sh->draining = true;
	if (sh->srv && sh->finishing)
		ohttp_server_end(sh->srv);
	else if (sh->srv)
		ohttp_server_drain(sh->srv, NULL, NULL);
	watch_drain(sh);
	count_left(sh);
	sh->h->timer_set(sh->chores, sh->finishing ? FINISH_NS : LEFT_NS, sh->finishing ? FINISH_NS : LEFT_NS);
}

/* Nobody takes over: what is asked now is answered, and who comes later finds nobody. */
static void finish(void *arg)
{
	struct ashard *sh = arg;

	sh->finishing = true;
	if (sh->a->delay_ns && ORLOP_HOST_HAS(sh->h, ending) && sh->h->ending(sh->h))
		sh->h->timer_set(sh->chores, sh->a->delay_ns, 0);	/* chores() goes on with drain() */
	else
		drain(sh);
}

static int apis_stop(void *ctx, struct orlop_error *err)
{
	struct apis *a = ctx;
	bool heir = ORLOP_HOST_HAS(a->h, stop_reason) && a->h->stop_reason(a->h) == ORLOP_STOP_REPLACE;
	orlop_cb fn = heir ? drain : finish;

	(void)err;
	for (uint32_t i = 0; i < a->n_shards; i++) {
		const struct orlop_host *h = a->h->shard_host ? a->h->shard_host(a->h, i) : a->h;

		if (!a->shards[i])
			continue;
		a->shards[i]->left = 1;		/* until it has counted itself */
		if (i == 0)
			fn(a->shards[0]);
		else if (h)
			(void)h->post(h, fn, a->shards[i]);
	}
	return 0;
}

/*
 * With a successor: streams of exec and logs -f, and clients that have not heard yet that they shall go. Without:
 * requests that are not answered, and answers that are not sent.
 */
static uint32_t apis_draining(void *ctx)
{
	struct apis *a = ctx;
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n_shards; i++)
		n += a->shards[i] ? a->shards[i]->left : 0;
	return n;
}

static void apis_health(void *ctx, struct orlop_health *health)
{
	const struct apis *a = ctx;

	health->ok = a->booted;
	snprintf(health->text, sizeof(health->text), "%s", a->booted ? "serving" :
		 a->boot_error[0] ? a->boot_error : "starting");
}

static int apis_stats(void *ctx, char *buf, size_t size)
{
	struct apis *a = ctx;
	struct ohttp_server_stats st;

	if (!a->shards[0] || !a->shards[0]->srv)
		return snprintf(buf, size, "{}");
	ohttp_server_stats(a->shards[0]->srv, &st);
	return snprintf(buf, size,
			"{\"shards\":%u,\"connections\":%llu,\"open\":%llu,\"requests\":%llu,\"active\":%llu,\"refused\":%llu,"
			"\"bad\":%llu,\"timeouts\":%llu,\"calmed\":%llu,\"tls_failed\":%llu,\"watches\":%u}",
			a->n_shards, (unsigned long long)st.connections, (unsigned long long)st.open,
			(unsigned long long)st.requests, (unsigned long long)st.active, (unsigned long long)st.refused,
			(unsigned long long)st.bad, (unsigned long long)st.timeouts, (unsigned long long)st.calmed,
			(unsigned long long)st.tls_failed, reg_shard_watches(a->shards[0]->reg));
}

static int op_call(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct apis *a = ctx;

	return reg_bus_call(a->shards[0]->reg, req, call, err);
}

static const struct orlop_api_ops ops = {
	.size = sizeof(ops),
	.request = op_call,
	.batch = op_call,
};

ORLOP_MODULE("apiserver", "apiserver", "0.1", "provides=api\0needs=storage\0reads=*\0"
	"net=inet\0files=$cert,$key,$client_ca,$sa_key,$token_file,$kubelet_ca,$kubelet_cert,$kubelet_key,$proxy_client_cert,$proxy_client_key,"
	"$requestheader_ca",
	.license = "Apache-2.0",
	.summary = "the Kubernetes API over HTTPS",
	.shards = ORLOP_SHARDS_AUTO,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &ops,
	.init = apis_init,
	.shard_init = apis_shard_init,
	.start = apis_start,
	.stop = apis_stop,
	.shard_fini = apis_shard_fini,
	.fini = apis_fini,
	.health = apis_health,
	.stats = apis_stats,
	.param_validate = apis_validate,
	.param_apply = apis_apply,
	.draining = apis_draining,
	.finishing = apis_draining);
