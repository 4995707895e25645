/* registry.c - the engine's frame: kinds, shards, and which verb goes where. */
#include "registry.h"
#include "op.h"
#include "store.h"
#include "verbs.h"
#include "write.h"
#include "../admission/admission.h"
#include "convert.h"
#include "custom.h"
#include "remotes.h"

#include "record/orecord.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *text_dup(struct registry *rg, const char *cstr)
{
	return oarena_strdup(&rg->arena, cstr ? cstr : "");
}

const struct reg_kind *reg_kind_of(const struct registry *rg, const struct oschema_resource *res)
{
	return &rg->kinds[oschema_resource_index(rg->schema, res)];
}

const struct reg_kind *reg_kind_named(const struct registry *rg, const char *cache_name)
{
	for (uint16_t i = 0; i < rg->schema->n_resources; i++)
		if (!strcmp(rg->kinds[i].name, cache_name) && rg->kinds[i].stored == &rg->kinds[i])
			return &rg->kinds[i];
	return NULL;
}

const struct oschema_resource *reg_resource(const struct registry *rg, struct orlop_bytes name,
					    struct orlop_bytes version)
{
	for (uint16_t i = 0; i < rg->schema->n_resources; i++) {
		const struct reg_kind *k = &rg->kinds[i];

		if (rb_is(name, k->name) && (version.len == 0 || rb_is(version, k->version)))
			return k->res;
	}
	return NULL;
}

int reg_kind_init(struct oarena *a, const struct oschema *s, struct reg_kind *kinds, uint16_t i)
{
	const struct oschema_resource *res = &s->resources[i];
	struct reg_kind *k = &kinds[i];
	const char *p;

	k->schema = s;
	k->kinds = kinds;
	k->res = res;
	k->stored = &kinds[res->stored];
	k->id = i;
	k->virt = res->flags & OSCHEMA_S_VIRTUAL;
	k->group = oschema_str(s, res->group);
	k->version = oschema_str(s, res->version);
	k->kind = oschema_str(s, res->kind);
	k->plural = oschema_str(s, res->plural);
	k->name = k->group[0] ? oarena_printf(a, "%s.%s", k->plural, k->group) : k->plural;
	k->gk = k->group[0] ? oarena_printf(a, "%s.%s", k->kind, k->group) : k->kind;
	k->api_version = k->group[0] ? oarena_printf(a, "%s/%s", k->group, k->version) : k->version;
	if (!k->name || !k->gk || !k->api_version)
		return -ENOMEM;
	p = oarena_printf(a, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", k->kind, k->api_version);
	if (!p)
		return -ENOMEM;
	k->prefix = RB(p);
	p = oarena_printf(a, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"",
			  oschema_str(s, res->list_kind), k->api_version);
	if (!p)
		return -ENOMEM;
	k->list_head = RB(p);
	k->behaviour = reg_behaviour_of(k->name);
	return 0;
}

static int parse_ranges(struct registry *rg, struct orlop_error *err)
{
	const char *slash = strchr(rg->cfg.service_cidr, '/');
	char addr[64];
	struct in_addr a;
	unsigned long bits, lo, hi;
	char *end;

	if (!slash || (size_t)(slash - rg->cfg.service_cidr) >= sizeof(addr))
		return orlop_fail(err, EINVAL, 0, "", "service_cidr \"%s\": not ADDRESS/BITS", rg->cfg.service_cidr);
	memcpy(addr, rg->cfg.service_cidr, (size_t)(slash - rg->cfg.service_cidr));
	addr[slash - rg->cfg.service_cidr] = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (inet_pton(AF_INET, addr, &a) != 1 || *end || bits < 8 || bits > 30)
		return orlop_fail(err, EINVAL, 0, "", "service_cidr \"%s\": want an IPv4 range of /8 … /30",
				  rg->cfg.service_cidr);
	rg->svc_mask = ~UINT32_C(0) << (32 - bits);
	rg->svc_base = ntohl(a.s_addr) & rg->svc_mask;
	lo = strtoul(rg->cfg.node_ports, &end, 10);
	hi = *end == '-' ? strtoul(end + 1, &end, 10) : 0;
	if (*end || lo < 1 || hi > 65535 || lo > hi)
		return orlop_fail(err, EINVAL, 0, "", "node_ports \"%s\": want FIRST-LAST", rg->cfg.node_ports);
	rg->port_lo = (uint16_t)lo;
	rg->port_hi = (uint16_t)hi;
	return 0;
}

int registry_new(const struct reg_config *cfg, struct registry **ret, struct orlop_error *err)
{
	struct registry *rg = OMEM_NEW(struct registry);
	const struct oschema *s = cfg->schema;
	int r;

	if (!rg)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	rg->cfg = *cfg;
	rg->schema = s;
	rg->cfg.service_cidr = text_dup(rg, cfg->service_cidr ? cfg->service_cidr : "10.96.0.0/16");
	rg->cfg.node_ports = text_dup(rg, cfg->node_ports ? cfg->node_ports : "30000-32767");
	rg->cfg.advertise_addr = text_dup(rg, cfg->advertise_addr);
	rg->cfg.issuer = text_dup(rg, cfg->issuer ? cfg->issuer :
				  "https://kubernetes.default.svc.cluster.local");
	rg->cfg.proxy_cert = text_dup(rg, cfg->proxy_cert);
	rg->cfg.proxy_key = text_dup(rg, cfg->proxy_key);
	rg->cfg.auth_config = text_dup(rg, cfg->auth_config);
	rg->cfg.exempt.users = text_dup(rg, cfg->exempt.users);
	rg->cfg.exempt.namespaces = text_dup(rg, cfg->exempt.namespaces);
	rg->cfg.exempt.runtime_classes = text_dup(rg, cfg->exempt.runtime_classes);
	if (!rg->cfg.event_ttl_ns)
		rg->cfg.event_ttl_ns = UINT64_C(3600) * 1000000000;
	rg->kinds = oarena_zalloc(&rg->arena, s->n_resources * sizeof(*rg->kinds));
	rg->lazy_rev = oarena_zalloc(&rg->arena, (s->n_resources + 1) * sizeof(*rg->lazy_rev));
	r = rg->kinds && rg->lazy_rev && rg->cfg.service_cidr && rg->cfg.node_ports && rg->cfg.advertise_addr &&
	    rg->cfg.issuer && rg->cfg.proxy_cert && rg->cfg.proxy_key && rg->cfg.auth_config && rg->cfg.exempt.users && rg->cfg.exempt.namespaces && rg->cfg.exempt.runtime_classes ? 0 : -ENOMEM;
	for (uint16_t i = 0; r == 0 && i < s->n_resources; i++)
		r = reg_kind_init(&rg->arena, s, rg->kinds, i);
	if (r == -ENOMEM)
		orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (r == 0)
		r = parse_ranges(rg, err);
	if (r) {
		registry_free(rg);
		return r;
	}
	rg->namespaces = reg_kind_named(rg, "namespaces");
	rg->events = reg_kind_named(rg, "events");
	rg->leases = reg_kind_named(rg, "leases.coordination.k8s.io");
	rg->pods = reg_kind_named(rg, "pods");
	rg->nodes = reg_kind_named(rg, "nodes");
	rg->services = reg_kind_named(rg, "services");
	rg->serviceaccounts = reg_kind_named(rg, "serviceaccounts");
	rg->secrets = reg_kind_named(rg, "secrets");
	rg->crds = reg_kind_named(rg, CRDS);
	rg->priorityclasses = reg_kind_named(rg, "priorityclasses.scheduling.k8s.io");
	rg->resourcequotas = reg_kind_named(rg, "resourcequotas");
	rg->bindings = reg_kind_named(rg, "bindings");
	rg->components = reg_kind_named(rg, "componentstatuses");
	rg->webhooks[0] = reg_kind_named(rg, "validatingwebhookconfigurations.admissionregistration.k8s.io");
	rg->webhooks[1] = reg_kind_named(rg, "mutatingwebhookconfigurations.admissionregistration.k8s.io");
	*ret = rg;
	return 0;
}

void registry_free(struct registry *rg)
{
	if (!rg)
		return;
	oarena_done(&rg->arena);
	omem_free(rg);
}

int registry_register(struct registry *rg, const struct orlop_host *h, struct orlop_error *err)
{
	const struct oschema *s = rg->schema;

	for (uint16_t i = 0; i < s->n_resources; i++) {
		const struct reg_kind *k = &rg->kinds[i];
		const char *fields[ORECORD_FIELDS_MAX];
		struct orlop_resource_info info;
		int r;

		if (k->virt || k->stored != k)
			continue;
		orecord_describe(s, k->res, k->name, fields, &info);
		info.prefix = k->prefix.p + 1;
		r = h->resource_register(h, &info, err);
		if (r)
			return orlop_wrap(err, r, "registering %s", k->name);
	}
	return 0;
}

/* ---- shards ---- */

int reg_shard_new(struct registry *rg, const struct orlop_host *h, struct reg_shard **ret,
		  struct orlop_error *err)
{
	struct reg_shard *sh = OMEM_NEW(struct reg_shard);

	if (sh)
		sh->open = omem_zalloc_array(rg->schema->n_resources, sizeof(*sh->open));
	if (!sh || !sh->open) {
		omem_free(sh);
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	sh->rg = rg;
	sh->h = h;
	olist_init(&sh->watches);
	olist_init(&sh->quota_gates);
	olist_init(&sh->hook_clients);
	olist_init(&sh->custom_list);
	omap_init(&sh->customs);
	omap_init(&sh->store_metrics);
	omap_init(&sh->hook_labels);
	for (uint16_t i = 0; i < rg->schema->n_resources; i++)
		olist_init(&sh->open[i].watches);
	*ret = sh;
	return 0;
}

void reg_shard_free(struct reg_shard *sh)
{
	if (!sh)
		return;
	reg_boot_rbac_free(sh->boot_rbac);
	reg_expiry_free(sh->expiry);
	reg_aggregate_free(sh->aggregate);
	reg_flows_free(sh->flows);
	reg_apiservices_free(sh->apiservices);
	reg_remotes_free(sh->remotes);
	reg_evcache_free(sh->evcache);
	convert_share_free(sh);
	hook_clients_free(sh);
	reg_crds_free(sh->crds);
	custom_shard_free(sh);
	if (sh->watch_timer)
		sh->h->timer_free(sh->watch_timer);
	omem_free(sh->spare);
	for (uint16_t i = 0; i < sh->rg->schema->n_resources; i++)
		if (sh->open[i].res)
			sh->h->resource_close(sh->open[i].res);
	omap_done_with(&sh->store_metrics, omem_free);
	omap_done(&sh->hook_labels);
	omem_free(sh->open);
	omem_free(sh);
}

uint32_t reg_shard_busy(const struct reg_shard *sh)
{
	return sh->n_ops;
}

uint32_t reg_shard_watches(const struct reg_shard *sh)
{
	return sh->n_watches;
}

struct reg_open *reg_open_of(struct reg_shard *sh, const struct reg_kind *k)
{
	return k->set ? &k->set->of->open : &sh->open[k->stored->id];
}

struct orlop_resource *reg_open(struct reg_shard *sh, const struct reg_kind *k)
{
	struct reg_open *o = reg_open_of(sh, k);
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!o->res && sh->h->resource_open(sh->h, k->stored->name, &o->res, &err)) {
		OLOG(sh->h, ERR, "resource_open", "resource=%s error=\"%s\"", k->stored->name, err.msg);
		o->res = NULL;
	}
	return o->res;
}

int reg_find(struct reg_shard *sh, const struct reg_kind *k, struct orlop_bytes ns,
	     struct orlop_bytes name, struct orlop_object **ret)
{
	struct orlop_resource *res = reg_open(sh, k);
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	int r = res ? sh->h->snapshot_open(res, &snap) : -ENOMEM;

	*ret = NULL;
	if (r)
		return r;
	o = sh->h->snapshot_get(snap, ns, name);
	if (o)
		*ret = sh->h->object_ref(o);
	sh->h->snapshot_close(snap);
	return 0;
}

struct orlop_object *reg_peek(struct reg_shard *sh, const char *resource, struct orlop_bytes ns,
			      struct orlop_bytes name)
{
	const struct reg_kind *k = reg_kind_named(sh->rg, resource);
	struct orlop_object *o = NULL;

	return k && reg_find(sh, k, ns, name, &o) == 0 ? o : NULL;
}

static uint64_t *lazy_rev(const struct reg_shard *sh, const struct reg_kind *k)
{
	return &sh->rg->lazy_rev[k->set ? sh->rg->schema->n_resources : k->stored->id];
}

/*
 * A maximum, read by who wants to see a write whose answer it has: the answer came through other
 * synchronization (a socket, the bus), so relaxed order is enough here.
 */
void reg_lazy_wrote(struct reg_shard *sh, const struct reg_kind *k, uint64_t rev)
{
	uint64_t *p = lazy_rev(sh, k), old = __atomic_load_n(p, __ATOMIC_RELAXED);

	while (old < rev && !__atomic_compare_exchange_n(p, &old, rev, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

uint64_t reg_lazy_pending(struct reg_shard *sh, const struct reg_kind *k)
{
	uint64_t rev = __atomic_load_n(lazy_rev(sh, k), __ATOMIC_RELAXED);
	struct orlop_resource *rs = rev ? reg_open(sh, k) : NULL;

	return rs && rev > sh->h->resource_rev(rs, NULL) ? rev : 0;
}

uint64_t reg_read_after(struct reg_op *op)
{
	if (op->opt.has_rv)
		return op->opt.rv_n;
	return op->opt.cont.len ? 0 : reg_lazy_pending(op->sh, op->k);
}

static bool count_of(struct reg_shard *sh, struct orlop_resource *res, uint64_t *ret)
{
	struct orlop_snapshot *snap;

	if (!res || sh->h->snapshot_open(res, &snap))
		return false;
	*ret = sh->h->snapshot_count(snap);
	sh->h->snapshot_close(snap);
	return true;
}

void reg_count_objects(struct reg_shard *sh, void (*fn)(void *arg, const char *group, const char *plural, uint64_t n), void *arg)
{
	uint64_t n;

	for (uint16_t i = 0; i < sh->rg->schema->n_resources; i++) {
		const struct reg_kind *k = &sh->rg->kinds[i];

		if (k->stored == k && !k->virt && count_of(sh, reg_open(sh, k), &n))
			fn(arg, k->group, k->plural, n);
	}
	OLIST_FOREACH(l, &sh->custom_list) {
		const struct reg_custom *c = OLIST_ENTRY(l, struct reg_custom, link);
		const char *dot = strchr(c->name, '.');
		char plural[64];

		if (!dot || !count_of(sh, c->open.res, &n))
			continue;
		snprintf(plural, sizeof(plural), "%.*s", (int)(dot - c->name), c->name);
		fn(arg, dot + 1, plural, n);
	}
}

/* ---- requests ---- */

const char *reg_verb_name(enum reg_verb v)
{
	static const char *const names[] = {
		"", "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
	};

	return v < sizeof(names) / sizeof(*names) ? names[v] : "";
}

static const uint8_t verb_bits[] = {
	[REG_GET] = OSCHEMA_V_GET, [REG_LIST] = OSCHEMA_V_LIST, [REG_WATCH] = OSCHEMA_V_WATCH,
	[REG_CREATE] = OSCHEMA_V_CREATE, [REG_UPDATE] = OSCHEMA_V_UPDATE,
	[REG_PATCH] = OSCHEMA_V_PATCH, [REG_DELETE] = OSCHEMA_V_DELETE,
	[REG_DELETECOLLECTION] = OSCHEMA_V_DELETECOLLECTION,
};

/* A verb that the path's resource or subresource has; -ENOSYS and the 405 otherwise. */
static int check_verb(struct reg_op *op)
{
	uint8_t bit = op->rq.verb < sizeof(verb_bits) ? verb_bits[op->rq.verb] : 0;
	uint8_t have = op->k->res->verbs;

	if (op->rq.sub.len) {
		op->sub = oschema_sub_find(op->k->schema, op->k->res, op->rq.sub);
		if (!op->sub) {
			if (op->k->set) {
				(void)custom_admit(op);		/* its warnings */
				return reg_not_found(op, op->rq.name);
			}
			op->det_kind = op->k->plural;
			return orlop_fail(&op->err, ENOENT, 404, "NotFound",
					  "the server could not find the requested resource");
		}
		if (op->sub->flags & OSCHEMA_SUB_CONNECT)
			return reg_method(op);	/* a stream: the front's business */
		have = op->sub->verbs;
	}
	if (!(bit & have))
		return reg_method(op);
	/* what is of the cluster is in no namespace, whatever somebody may do there */
	if (!(op->k->res->flags & OSCHEMA_S_NAMESPACED) && op->rq.ns.len) {
		op->det_kind = op->k->plural;
		return orlop_fail(&op->err, ENOENT, 404, "NotFound", "the server could not find the requested resource");
	}
	/* a namespaced object needs its namespace in the path */
	if ((op->k->res->flags & OSCHEMA_S_NAMESPACED) && op->rq.ns.len == 0 &&
	    op->rq.verb != REG_LIST && op->rq.verb != REG_WATCH)
		return reg_method(op);
	return 0;
}

/* What a body asks for that is not stored: its admission is behind it. */
static void dispatch_body(struct reg_op *op)
{
	if (op->k == op->sh->rg->bindings || rb_is(op->rq.sub, "binding"))
		reg_do_binding(op);
	else if (op->k->virt)
		reg_do_review(op);
	else if (rb_is(op->rq.sub, "token"))
		reg_do_token(op);
	else if (rb_is(op->rq.sub, "eviction"))
		reg_do_eviction(op);
	else
		reg_finish(op, reg_method(op));
}

static void dispatch(struct reg_op *op)
{
	if (op->k == op->sh->rg->components) {
		reg_do_components(op);
		return;
	}
	if (op->k->virt || (op->sub && op->rq.verb == REG_CREATE)) {
		admission_hooks_body(op, dispatch_body);
		return;
	}
	switch (op->rq.verb) {
	case REG_GET:
		reg_do_get(op);
		return;
	case REG_LIST:
		reg_do_list(op);
		return;
	case REG_WATCH:
		reg_do_watch(op);
		return;
	case REG_CREATE:
	case REG_UPDATE:
	case REG_PATCH:
		reg_do_write(op);
		return;
	case REG_DELETE:
		reg_do_delete(op);
		return;
	case REG_DELETECOLLECTION:
		reg_do_delete_many(op);
		return;
	}
	reg_finish(op, reg_method(op));
}

/* ---- a storage that others write to ---- */

#define FRESH_WAIT_NS	(UINT64_C(3) * 1000000000)

static void on_caught_up(void *arg, int32_t status)
{
	struct reg_op *op = arg;

	if (status < 0)
		reg_finish(op, orlop_fail(&op->err, ETIMEDOUT, 504, "Timeout",
					  "Timeout: the cache has not come as far as the storage"));
	else
		dispatch(op);
}

static void on_revision(struct reg_op *op, int r, const struct reg_txn_result *res)
{
	struct orlop_resource *at = reg_open(op->sh, op->k);

	if (r)
		reg_finish(op, r);
	else if (!at || op->sh->h->resource_rev(at, NULL) >= res->rev)
		dispatch(op);
	else if (op->sh->h->cache_wait(at, res->rev, FRESH_WAIT_NS, on_caught_up, op))
		reg_finish(op, reg_failed(op, -ENOMEM, NULL));
}

/*
 * A read that names no revision sees whatever was acknowledged before it came, also by another API server
 * on the same storage, and what a write refuses ("not found", another uid) it refuses knowing that much: it
 * waits until our cache is as far as the storage is now.
 */
static bool must_ask(const struct reg_op *op)
{
	return op->sh->rg->cfg.shared_storage && !op->k->virt && !op->opt.has_rv && !op->opt.cont.len;
}

static bool keep(struct oarena *a, struct orlop_bytes *text)
{
	if (text->len)
		text->p = oarena_dup(a, text->p, text->len);
	return !text->len || text->p;
}

/* @copy: the request's texts are kept for as long as it takes. */
static void call(struct reg_shard *sh, const struct reg_req *rq, bool copy, reg_done_fn done, void *arg)
{
	struct reg_op *op = omem_zalloc(sizeof(*op));
	int r;

	if (op)
		op->rq = *rq;
	if (op && copy && !(keep(&op->arena, &op->rq.ns) && keep(&op->arena, &op->rq.name) && keep(&op->arena, &op->rq.body))) {
		oarena_done(&op->arena);
		omem_free(op);
		op = NULL;
	}
	if (!op) {
		done(arg, NULL);
		return;
	}
	op->sh = sh;
	op->rq.proto = rq->proto && rq->form != REG_FORM_TABLE;
	op->k = rq->kind ? rq->kind : reg_kind_of(sh->rg, rq->res);
	reg_kind_hold(op->k);
	op->done = done;
	op->done_arg = arg;
	op->err.size = sizeof(op->err);
	op->causes_tail = &op->causes;
	op->warnings_tail = &op->warnings;
	sh->n_ops++;
	r = check_verb(op);
	if (r == 0 && op->k->set)
		r = custom_admit(op);
	if (r == 0)
		r = reg_opts_parse(op);
	if (r == 0 && op->rq.broken)
		r = write_body_broken(op);
	if (!strcmp(op->k->name, "endpoints"))
		reg_warn(op, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
	if (op->k == sh->rg->components)
		reg_warn(op, "v1 ComponentStatus is deprecated in v1.19+");
	if (r)
		reg_finish(op, r);
	else if (must_ask(op))
		store_revision(op, on_revision);
	else
		dispatch(op);
}

void reg_call(struct reg_shard *sh, const struct reg_req *rq, reg_done_fn done, void *arg)
{
	call(sh, rq, false, done, arg);
}

void reg_internal_call(struct reg_shard *sh, const struct reg_req *rq, reg_done_fn done, void *arg)
{
	static const struct orlop_bytes groups[] = { { "system:masters", 14 } };
	static const struct orlop_identity self = {
		.size = sizeof(self), .n_groups = 1, .user = { "system:apiserver", 16 }, .groups = groups,
	};
	struct reg_req own = *rq;

	own.who = &self;
	if (!own.manager.len)
		own.manager = (struct orlop_bytes){ "kube-apiserver", 14 };
	call(sh, &own, true, done, arg);
}
