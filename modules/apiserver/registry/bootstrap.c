/*
 * bootstrap.c - what every cluster has: four namespaces, two priorities, the Service by which pods find the API,
 * and (boot-rbac.c, flows.c) roles, priority levels and flow schemas.
 *
 * One step after the other, each a plain request of the engine to itself; what is there already is
 * left alone and not even asked for, since a process that comes back after a crash is waited for; but for the address of
 * the endpoint, which is kept right at every start.
 */
#include "kinds.h"
#include "op.h"
#include "custom.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define POLL_NS		UINT64_C(5000000)
#define WAITS_MAX	4000u		/* 20 s */

struct boot {
	struct reg_shard *sh;
	reg_boot_fn	done;
	void		*arg;
	struct orlop_timer *timer;
	struct oarena	arena;
	unsigned int	step;
	unsigned int	waits;		/* for custom resources */
};

static const char *const namespaces[] = { "default", "kube-system", "kube-public", "kube-node-lease" };

static const struct {
	const char *name;
	int64_t value;
	const char *about;
} classes[] = {
	{ "system-cluster-critical", 2000000000,
	  "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary." },
	{ "system-node-critical", 2000001000, "Used for system critical pods that must not be moved from their current node." },
};

enum { STEP_CLASSES = 4, STEP_AUTH = 6, STEP_AUTH_AGAIN, STEP_SERVICE, STEP_ENDPOINTS, STEP_SLICE, STEP_END };

static void next(struct boot *b);

static void end(struct boot *b, int32_t status, const char *what)
{
	reg_boot_fn done = b->done;
	void *arg = b->arg;
	char text[300];

	snprintf(text, sizeof(text), "%s", what);
	if (status == 0)
		status = reg_crds_start(b->sh);
	/* Ready is said with the objects of custom resources there; not for ever: a definition may be broken. */
	if (status == 0 && b->waits < WAITS_MAX && !reg_crds_fed(b->sh)) {
		b->waits++;
		b->sh->h->timer_set(b->timer, POLL_NS, 0);
		return;
	}
	b->sh->h->timer_free(b->timer);
	oarena_done(&b->arena);
	omem_free(b);
	done(arg, status, text);
}

static void on_flows(void *arg, int32_t status, const char *what)
{
	end(arg, status, what);
}

static void on_aggregated(void *arg, int32_t status, const char *what)
{
	struct boot *b = arg;

	(void)status;
	(void)what;
	reg_flows_start(b->sh, on_flows, b);
}

/* Ready is said with the rules of "admin", "edit" and "view" there. */
static void on_rbac(void *arg, int32_t status, const char *what)
{
	struct boot *b = arg;

	if (status < 0)
		end(b, status, what);
	else
		reg_aggregate_wait(b->sh, on_aggregated, b);
}

static void on_made(void *arg, struct reg_answer *a)
{
	struct boot *b = arg;
	char what[300];

	if (!a || (a->code >= 400 && a->code != 409)) {
		snprintf(what, sizeof(what), "step %u: %.*s", b->step,
			 a && a->n_pieces ? (int)a->pieces[0].len : 0, a && a->n_pieces ? a->pieces[0].p : "");
		reg_answer_free(a);
		end(b, -EIO, what);
		return;
	}
	reg_answer_free(a);
	b->step++;
	next(b);
}

static void request_in(struct boot *b, enum reg_verb verb, const char *resource, const char *ns, const char *name,
		       const char *body)
{
	struct reg_req rq = { .verb = verb, .judged = true, .patch = verb == REG_PATCH ? REG_PATCH_MERGE : REG_PATCH_NONE };
	const struct reg_kind *k = reg_kind_named(b->sh->rg, resource);

	if (!k) {	/* the schema does not have it (a test's own) */
		b->step++;
		next(b);
		return;
	}
	if (!body) {
		end(b, -ENOMEM, "out of memory");
		return;
	}
	rq.res = k->res;
	rq.ns = k->res->flags & OSCHEMA_S_NAMESPACED ? RB(ns) : RB0;
	rq.name = verb == REG_CREATE ? RB0 : RB(name);
	rq.body = RB(body);
	reg_internal_call(b->sh, &rq, on_made, b);
}

static void request(struct boot *b, enum reg_verb verb, const char *resource, const char *name, const char *body)
{
	request_in(b, verb, resource, "default", name, body);
}

static bool there(struct boot *b, const char *resource, const char *ns, const char *name)
{
	const struct reg_kind *k = reg_kind_named(b->sh->rg, resource);
	struct orlop_object *o = k ? reg_peek(b->sh, resource, k->res->flags & OSCHEMA_S_NAMESPACED ? RB(ns) : RB0, RB(name)) : NULL;

	b->sh->h->object_unref(o);
	return o != NULL;
}

/* What this step makes is there. */
static bool made(struct boot *b)
{
	switch (b->step) {
	case STEP_AUTH:
		return there(b, "configmaps", "kube-system", "extension-apiserver-authentication");
	case STEP_SERVICE:
		return there(b, "services", "default", "kubernetes");
	case STEP_CLASSES:
	case STEP_CLASSES + 1:
		return there(b, "priorityclasses.scheduling.k8s.io", "", classes[b->step - STEP_CLASSES].name);
	default:
		return b->step < STEP_CLASSES && there(b, "namespaces", "", namespaces[b->step]);
	}
}

static void next(struct boot *b)
{
	const struct reg_config *cfg = &b->sh->rg->cfg;
	char ip[16];

	service_first_ip(b->sh->rg, ip);
	while (made(b))
		b->step++;
	switch (b->step) {
	case STEP_AUTH:
	case STEP_AUTH_AGAIN:	/* what was there may know another authority */
		if (!cfg->auth_config[0]) {
			b->step = STEP_SERVICE;
			next(b);
			return;
		}
		request_in(b, b->step == STEP_AUTH ? REG_CREATE : REG_PATCH, "configmaps", "kube-system", "extension-apiserver-authentication",
			   oarena_printf(&b->arena, "{\"metadata\":{\"name\":\"extension-apiserver-authentication\",\"namespace\":\"kube-system\"},"
					 "\"data\":%s}", cfg->auth_config));
		return;
	case STEP_SERVICE:
		request(b, REG_CREATE, "services", "kubernetes", oarena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"component\":\"apiserver\",\"provider\":\"kubernetes\"}},"
			"\"spec\":{\"clusterIP\":\"%s\",\"clusterIPs\":[\"%s\"],\"ipFamilyPolicy\":\"SingleStack\","
			"\"ports\":[{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\",\"targetPort\":%u}],\"sessionAffinity\":\"None\",\"type\":\"ClusterIP\"}}",
			ip, ip, cfg->advertise_port ? cfg->advertise_port : 6443u));
		return;
	case STEP_ENDPOINTS:
		if (!cfg->advertise_addr[0]) {
			b->step = STEP_END;
			break;
		}
		request(b, REG_UPDATE, "endpoints", "kubernetes", oarena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}},"
			"\"subsets\":[{\"addresses\":[{\"ip\":\"%s\"}],\"ports\":[{\"name\":\"https\",\"port\":%u,\"protocol\":\"TCP\"}]}]}",
			cfg->advertise_addr, cfg->advertise_port));
		return;
	case STEP_SLICE: {
		struct orlop_object *o = reg_peek(b->sh, "endpointslices.discovery.k8s.io",
						  RB("default"), RB("kubernetes"));
		enum reg_verb verb = o ? REG_UPDATE : REG_CREATE;

		b->sh->h->object_unref(o);
		request(b, verb, "endpointslices.discovery.k8s.io", "kubernetes", oarena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"kubernetes.io/service-name\":\"kubernetes\"}},"
			"\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true}}],"
			"\"ports\":[{\"name\":\"https\",\"port\":%u,\"protocol\":\"TCP\"}]}",
			cfg->advertise_addr, cfg->advertise_port));
		return;
	}
	case STEP_END:
		break;
	case STEP_CLASSES:
	case STEP_CLASSES + 1: {
		unsigned int i = b->step - STEP_CLASSES;

		request(b, REG_CREATE, "priorityclasses.scheduling.k8s.io", classes[i].name, oarena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"%s\"},\"value\":%lld,\"description\":\"%s\"}", classes[i].name,
			(long long)classes[i].value, classes[i].about));
		return;
	}
	default:
		request(b, REG_CREATE, "namespaces", namespaces[b->step],
			oarena_printf(&b->arena, "{\"metadata\":{\"name\":\"%s\"}}", namespaces[b->step]));
		return;
	}
	(void)reg_expiry_start(b->sh);
	(void)reg_apiservices_start(b->sh);
	if (!cfg->policy) {
		on_rbac(b, 0, "");
		return;
	}
	(void)reg_aggregate_start(b->sh);
	reg_boot_rbac(b->sh, on_rbac, b);
}

/* The first list of the feeder must be in, or creates would race with what is stored. */
static void poll(void *arg)
{
	struct boot *b = arg;
	const struct registry *rg = b->sh->rg;

	if (b->waits) {		/* all is made */
		end(b, 0, "");
		return;
	}
	for (uint16_t i = 0; i < rg->schema->n_resources; i++) {
		const struct reg_kind *k = &rg->kinds[i];
		struct orlop_resource *res;
		int32_t synced = 0;

		if (k->virt || k->stored != k)
			continue;
		res = reg_open(b->sh, k);
		if (!res) {
			end(b, -ENOMEM, "a resource cannot be opened");
			return;
		}
		b->sh->h->resource_rev(res, &synced);
		if (!synced) {
			b->sh->h->timer_set(b->timer, POLL_NS, 0);
			return;
		}
	}
	next(b);
}

void reg_bootstrap(struct reg_shard *sh, reg_boot_fn done, void *arg)
{
	struct boot *b = OMEM_NEW(struct boot);

	if (!b || sh->h->timer_new(sh->h, poll, b, &b->timer)) {
		omem_free(b);
		done(arg, -ENOMEM, "out of memory");
		return;
	}
	b->sh = sh;
	b->done = done;
	b->arg = arg;
	poll(b);
}
