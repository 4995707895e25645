/*
 * uplink.c - a process without storage and API server works against a remote one: parameters, start, stop.
 *
 * What the modules beside it read is followed into the cache (slices.c, follow.c); what they ask of the address
 * "api" becomes HTTPS requests (api.c); names are competed for by Leases (lease.c).
 */
#include "up.h"

#include <orlop/module.h>

#include "apischema/apischema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHORES_NS	(60 * UP_NS_PER_S)

static const struct orlop_param params[] = {
	{ "kubeconfig", ORLOP_PARAM_STRING, 0, "", "server, authority and credentials, a kubeconfig file" },
	{ "context", ORLOP_PARAM_STRING, 0, "", "context in it; empty: its current-context" },
	{ "server", ORLOP_PARAM_STRING, 0, "", "https://HOST:PORT, wins over the kubeconfig, as the next four" },
	{ "ca", ORLOP_PARAM_STRING, 0, "", "who signs the server's certificate, PEM file" },
	{ "cert", ORLOP_PARAM_STRING, 0, "", "our client certificate, PEM file" },
	{ "key", ORLOP_PARAM_STRING, 0, "", "its key, PEM file" },
	{ "token_file", ORLOP_PARAM_STRING, 0, "", "bearer token, a file that is read again each minute" },
	{ "impersonate", ORLOP_PARAM_BOOL, 0, "false",
	  "each module acts as the user of its modinfo, by impersonation; else all act as we do" },
	{ "start_wait_s", ORLOP_PARAM_INT, 0, "45", "seconds to wait for the server before the modules start without it" },
	{ "max_requests", ORLOP_PARAM_INT, 0, "32", "requests of modules under way at once" },
	{ "page_size", ORLOP_PARAM_INT, 0, "500", "objects in a page of a list" },
	{ "max_object_mb", ORLOP_PARAM_INT, 0, "8", "largest object that is taken from a watch, MiB" },
	{ "managed_fields", ORLOP_PARAM_BOOL, 0, "false", "keep managedFields in the cache" },
	{ "lease_namespace", ORLOP_PARAM_STRING, 0, "kube-system", "where the Leases of leadership are" },
	{ "lease_prefix", ORLOP_PARAM_STRING, 0, "orlop-", "what their names begin with" },
	{ "identity", ORLOP_PARAM_STRING, 0, "", "holder of Leases, made unique; empty: the host name" },
};

static void be_ready(struct up *u)
{
	if (u->is_ready)
		return;
	u->is_ready = true;
	u->h->timer_clear(u->start_timer);
	u->h->ready(u->h);
}

void up_discovered(struct up *u)
{
	up_slices_wants(u);
	if (!u->connected)
		OLOG(u->h, INFO, "connected", "server=%s resources=%u", up_remote_addr(u->remote), omap_count(u->kinds));
	u->connected = true;
	be_ready(u);
	up_api_go(u);
}

/* Nobody knows when the server will be there: what can be done without it is done. */
static void on_waited(void *arg)
{
	struct up *u = arg;

	if (!u->is_ready)
		OLOG(u->h, WARN, "without_server", "server=%s: starting without it, trying on", up_remote_addr(u->remote));
	be_ready(u);
}

static void on_wants(void *arg)
{
	up_slices_wants(arg);
}

static void on_chores(void *arg)
{
	struct up *u = arg;

	up_remote_reload(u->remote);
}

static void on_discover(void *arg)
{
	up_discover(arg);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void up_free(struct up *u)
{
	if (!u)
		return;
	u->stopping = true;
	up_api_free(u);
	up_slices_free(u);
	up_leases_free(u);
	up_remote_free(u->remote);
	up_discover_done(u);
	u->h->timer_free(u->chores);
	u->h->timer_free(u->start_timer);
	u->h->timer_free(u->wants_timer);
	u->h->timer_free(u->disco_timer);
	obuf_done(&u->record);
	omem_free(u);
}

static void up_fini(void *ctx)
{
	up_free(ctx);
}

static int in_range(const struct orlop_host *h, const char *name, int64_t lo, int64_t hi, struct orlop_error *err)
{
	int64_t v = h->param_int(h, name);

	if (v < lo || v > hi)
		return orlop_fail(err, EINVAL, 0, "", "%s = %lld: want %lld to %lld", name, (long long)v, (long long)lo,
				  (long long)hi);
	return 0;
}

static int up_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct up_config cfg;
	struct up *u;
	int r;

	if (!ORLOP_HOST_HAS(h, feed_want_list))
		return orlop_fail(err, ENOTSUP, 0, "", "needs a core whose cache can be fed by a module");
	r = in_range(h, "max_requests", 1, 1000, err);
	if (r == 0)
		r = in_range(h, "start_wait_s", 0, 86400, err);
	if (r == 0)
		r = in_range(h, "page_size", 1, 100000, err);
	if (r == 0)
		r = in_range(h, "max_object_mb", 1, 512, err);
	if (r == 0) {
		r = up_config_load(h, &cfg, err);
		if (r)
			up_config_done(&cfg);
	}
	if (r)
		return r;
	u = OMEM_NEW(struct up);
	if (!u) {
		up_config_done(&cfg);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	u->h = h;
	u->schema = &oschema_builtin;
	olist_init(&u->slices);
	olist_init(&u->active);
	olist_init(&u->waiting);
	u->max_requests = (uint32_t)h->param_int(h, "max_requests");
	u->page_size = (uint32_t)h->param_int(h, "page_size");
	u->max_object = (size_t)h->param_int(h, "max_object_mb") << 20;
	u->impersonate = h->param_bool(h, "impersonate") != 0;
	u->keep_managed = h->param_bool(h, "managed_fields") != 0;
	r = up_remote_new(h, &cfg, &u->remote, err);
	if (r == 0 && (h->timer_new(h, on_chores, u, &u->chores) || h->timer_new(h, on_waited, u, &u->start_timer) ||
		       h->timer_new(h, on_wants, u, &u->wants_timer) ||
		       h->timer_new(h, on_discover, u, &u->disco_timer)))
		r = orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (r) {
		up_free(u);
		return r;
	}
	*ret_ctx = u;
	return 0;
}

static int up_start(void *ctx, struct orlop_error *err)
{
	struct up *u = ctx;
	int r = u->h->feed_wants(u->h, on_wants, u);

	if (r)
		return orlop_fail(err, -r, 0, "", "the core does not tell what is read here: %s", strerrordesc_np(-r));
	u->h->timer_set(u->chores, CHORES_NS, CHORES_NS);
	u->h->timer_set(u->start_timer, (uint64_t)u->h->param_int(u->h, "start_wait_s") * UP_NS_PER_S + 1, 0);
	up_discover(u);
	return 0;
}

static int up_stop(void *ctx, struct orlop_error *err)
{
	struct up *u = ctx;

	(void)err;
	u->stopping = true;
	(void)u->h->feed_wants(u->h, NULL, NULL);
	u->h->timer_clear(u->chores);
	u->h->timer_clear(u->start_timer);
	u->h->timer_clear(u->wants_timer);
	u->h->timer_clear(u->disco_timer);
	up_api_free(u);
	up_leases_free(u);
	up_slices_free(u);
	return 0;
}

static void up_health(void *ctx, struct orlop_health *health)
{
	const struct up *u = ctx;
	unsigned int n = 0, synced = 0;

	OLIST_FOREACH(l, &u->slices)
		n++;
	synced = up_slices_synced(u);
	health->ok = u->connected && !up_remote_down(u->remote) && synced;
	if (up_remote_down(u->remote))
		snprintf(health->text, sizeof(health->text), "%s does not answer", up_remote_addr(u->remote));
	else
		snprintf(health->text, sizeof(health->text), "%s, %u resources%s", up_remote_addr(u->remote), n,
			 !u->connected ? ", connecting" : synced ? "" : ", listing");
}

static int up_stats(void *ctx, char *buf, size_t size)
{
	const struct up *u = ctx;
	struct up_remote_stats st;
	char leases[64];

	up_remote_stats(u->remote, &st);
	up_leases_stats(u, leases, sizeof(leases));
	return snprintf(buf, size, "{\"requests\":%llu,\"active\":%u,\"failures\":%llu,\"bytes_in\":%llu,\"api_done\":%llu,"
			"\"api_waiting\":%u,\"outcome_unknown\":%llu,\"leases\":%s}", (unsigned long long)st.requests,
			st.active, (unsigned long long)st.failures, (unsigned long long)st.bytes_in,
			(unsigned long long)u->n_done, u->n_waiting, (unsigned long long)u->n_unknown, leases);
}

static int op_call(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	return up_api_call(ctx, req, call, err);
}

static int op_lead(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	return up_lease_call(ctx, req, call, err);
}

static const struct orlop_api_ops ops = {
	.size = sizeof(ops),
	.request = op_call,
	.batch = op_call,
	.lead = op_lead,
};

ORLOP_MODULE("uplink", "uplink", "0.1", "provides=api,feed,lead\0reads=*\0net=inet\0"
	"files=$kubeconfig/..,$ca/..,$cert/..,$key/..,$token_file/..",
	.license = "Apache-2.0",
	.summary = "works against a remote API server",
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &ops,
	.init = up_init,
	.start = up_start,
	.stop = up_stop,
	.fini = up_fini,
	.health = up_health,
	.stats = up_stats);
