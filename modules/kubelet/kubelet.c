/*
 * kubelet.c - the class kubelet: parameters, what is followed in the cache, start and end.
 */
#include "kubelet.h"
#include "statics.h"
#include "limits.h"
#include "qos.h"
#include "shutdown.h"
#include "stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ofile.h"
#include "base/ostr.h"

int64_t kubelet_now(const struct kubelet *k)
{
	return (int64_t)k->h->now_wall(k->h);
}

struct ojson *kubelet_get(struct kubelet *k, struct okube_informer *in, const char *ns, const char *name)
{
	struct orlop_bytes n = { ns, strlen(ns) };
	struct orlop_bytes o = { name, strlen(name) };

	return in ? okube_get(k->h, okube_informer_resource(in), n, o) : NULL;
}

/* ---- pods ----------------------------------------------------------------------------------------------- */

static bool is_ours(struct kubelet *k, const struct orlop_object *o)
{
	struct orlop_bytes node;

	if (k->idx_node < 0)
		k->idx_node = k->h->resource_index(okube_informer_resource(k->in_pods), "spec.nodeName");
	if (k->idx_node < 0)
		return false;
	node = okube_index(o, k->idx_node);
	return ostr_is(node.p ? node.p : "", node.len, k->node_name);
}

static struct pod *pod_of(struct kubelet *k, const struct orlop_object *o)
{
	struct orlop_bytes uid = okube_uid(o);

	return uid.len ? omap_get(&k->pods, uid.p, uid.len) : NULL;
}

static void pod_vanished(struct pod *p)
{
	if (p->gone)
		return;
	p->gone = true;
	pod_kick(p);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct kubelet *k = arg;
	struct pod *p;

	(void)prev;
	if (type != ORLOP_CHANGE_DELETED) {
		if (is_ours(k, o))
			pod_update(k, o);
		return;
	}
	p = pod_of(k, o);
	if (p)
		pod_vanished(p);
	else if (is_ours(k, o))
		mirror_gone(k, okube_uid(o));
}

static void look_again(void *arg)
{
	struct kubelet *k = arg;

	if (k->in_pods && !k->stopping)
		okube_informer_relist(k->in_pods);
}

void kubelet_missed(struct kubelet *k)
{
	k->h->timer_set(k->missed, NS_PER_S, 0);
}

/* After a list: pods may have gone unseen. */
static void pods_resync(void *arg)
{
	struct kubelet *k = arg;
	struct orlop_snapshot *s;

	if (k->h->snapshot_open(okube_informer_resource(k->in_pods), &s))
		return;
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		struct orlop_bytes ns = { p->ns, strlen(p->ns) };
		struct orlop_bytes name = { p->name, strlen(p->name) };
		struct orlop_object *o = p->orphan ? NULL : k->h->snapshot_get(s, ns, name);

		if (!p->orphan && !p->is_static && (!o || pod_of(k, o) != p))
			pod_vanished(p);
	}
	mirror_resync(k, s);
	k->h->snapshot_close(s);
	kubelet_maybe_run(k);
}

/* ---- what pods are made of --------------------------------------------------------------------------------- */

static void ref_changed(struct kubelet *k, char kind, const struct orlop_object *o)
{
	char key[300];

	snprintf(key, sizeof(key), "%c/%.*s", kind, OB(o->name));
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		uint32_t i;

		if (!ostr_is(o->ns.p, o->ns.len, p->ns) || !omap_get_cstr(&p->refs_map, key))
			continue;
		if (p->vol == VOL_READY || p->vol == VOL_WRITING)
			p->vol_again = true;
		/* what waited for it need not wait longer */
		p->vol_retry_ns = 0;
		for (i = 0; i < p->n_ctrs; i++)
			if (p->ctrs[i]->reason && !strcmp(p->ctrs[i]->reason, "CreateContainerConfigError"))
				p->ctrs[i]->retry_ns = 0;
		pod_kick(p);
	}
}

static void configmap_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	ref_changed(arg, 'c', o);
}

static void secret_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	ref_changed(arg, 's', o);
}

static void nothing_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)arg;
	(void)type;
	(void)o;
	(void)prev;
}

static void listed(void *arg)
{
	kubelet_maybe_run(arg);
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

void kubelet_maybe_run(struct kubelet *k)
{
	if (k->stopping)
		return;
	/* pods first: containers are taken over by pods that are known */
	if (!k->adopted) {
		if (okube_informer_synced(k->in_pods) && static_ready(k) && !k->relisting)
			adopt_start(k);
		return;
	}
	if (k->running || !node_known(k) || !okube_informer_synced(k->in_services) ||
	    !okube_informer_synced(k->in_endpoints) || !okube_informer_synced(k->in_configmaps) ||
	    !okube_informer_synced(k->in_secrets))
		return;
	k->running = true;
	OLOG(k->h, INFO, "kubelet_running", "node=%s pods=%u", k->node_name, omap_count(&k->pods));
	adopt_cleanup(k);
	qos_changed(k);
	sweep_start(k);
	OMAP_FOREACH(&k->pods, e)
		pod_kick(e->value);
}

static void pods_resync_posted(void *arg)
{
	kubelet_maybe_run(arg);
}

static void pods_resynced(void *arg)
{
	struct kubelet *k = arg;

	pods_resync(k);
	/* "synced" is said only after this call */
	(void)k->h->post(k->h, pods_resync_posted, k);
}

static void others_resynced(void *arg)
{
	struct kubelet *k = arg;

	(void)k->h->post(k->h, listed, k);
}

static int inform(struct kubelet *k, const char *res, okube_change_fn fn, struct okube_informer **ret,
		  struct orlop_error *err)
{
	return okube_informer_new(k->h, res, fn, others_resynced, k, ret, err);
}

static void informers_free(struct kubelet *k)
{
	okube_informer_free(k->in_nodes);
	k->in_nodes = NULL;
	okube_informer_free(k->in_pods);
	okube_informer_free(k->in_services);
	okube_informer_free(k->in_classes);
	okube_informer_free(k->in_endpoints);
	okube_informer_free(k->in_configmaps);
	okube_informer_free(k->in_secrets);
	k->in_pods = NULL;
	k->in_services = NULL;
	k->in_classes = NULL;
	k->in_endpoints = NULL;
	k->in_configmaps = NULL;
	k->in_secrets = NULL;
}

static void kubelet_fini(void *ctx)
{
	struct kubelet *k = ctx;

	k->stopping = true;
	stats_stop(k);
	evict_stop(k);
	if (k->missed)
		k->h->timer_free(k->missed);
	server_stop(k);
	informers_free(k);
	prober_free(k);
	OMAP_FOREACH(&k->pods, e)
		pod_free(e->value);
	omap_done(&k->pods);
	omap_done(&k->unknown);
	okube_recorder_free(k->events);
	rt_events_stop(k);
	node_stop(k);
	node_free(k);
	static_free(k);
	rotate_free(k);
	evict_free(k);
	gc_free(k);
	stats_free(k);
	omem_free(k->limits);
	omem_free((char *)(uintptr_t)k->node_name);
	omem_free(k);
}

static char *node_name_default(void)
{
	char name[256] = "";
	size_t i;

	if (gethostname(name, sizeof(name) - 1))
		return NULL;
	for (i = 0; name[i]; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
	return *name ? omem_strdup(name) : NULL;
}

static int kubelet_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct kubelet *k = OMEM_NEW(struct kubelet);
	int e;

	if (!k)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	k->h = h;
	k->idx_node = -1;
	omap_init(&k->pods);
	olist_init(&k->end_waits);
	olist_init(&k->turns);
	omap_init(&k->unknown);
	k->root = h->param(h, "root");
	k->log_dir = h->param(h, "log_dir");
	k->cgroup_root = h->param(h, "cgroup_root");
	k->cluster_dns = h->param(h, "cluster_dns");
	k->cluster_domain = h->param(h, "cluster_domain");
	k->proxy = h->param_bool(h, "proxy");
	k->cgroups_per_qos = h->param_bool(h, "cgroups_per_qos");
	k->limits = OMEM_NEW(struct limits);
	k->node_name = *h->param(h, "node_name") ? omem_strdup(h->param(h, "node_name")) : node_name_default();
	if (k->limits && (e = limits_read(k, k->limits, err)))
		;	/* said */
	else if ((e = rotate_init(k, err)))
		;	/* said */
	else if (!k->node_name)
		e = orlop_fail(err, EINVAL, 0, "", "node_name is not set and this machine has no host name");
	else if (*k->root != '/')
		e = orlop_fail(err, EINVAL, 0, "", "root = \"%s\": must be an absolute path", k->root);
	else if ((e = ofile_mkdir_p(k->root, 0750)))
		orlop_fail(err, -e, 0, "", "root = \"%s\": cannot be made", k->root);
	else if ((e = h->timer_new(h, look_again, k, &k->missed)) || (e = node_init(k)) || (e = k->limits ? evict_init(k) : -ENOMEM) || (e = okube_recorder_new(h, "kubelet", k->node_name, &k->events)) ||
		 (e = okube_recorder_gather(k->events, turn_busy, k)))
		orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (e) {
		kubelet_fini(k);
		return e;
	}
	*ret_ctx = k;
	return 0;
}

static int kubelet_start(void *ctx, struct orlop_error *err)
{
	struct kubelet *k = ctx;
	int e = server_start(k, err);

	if (!e)
		e = static_start(k, err);
	if (!e)
		e = okube_informer_new(k->h, "pods", pod_changed, pods_resynced, k, &k->in_pods, err);
	if (!e)
		e = inform(k, "services", nothing_changed, &k->in_services, err);
	if (!e)
		e = inform(k, "runtimeclasses.node.k8s.io", nothing_changed, &k->in_classes, err);
	if (!e)
		e = inform(k, "endpoints", nothing_changed, &k->in_endpoints, err);
	if (!e)
		e = inform(k, "configmaps", configmap_changed, &k->in_configmaps, err);
	if (!e)
		e = inform(k, "secrets", secret_changed, &k->in_secrets, err);
	if (!e)
		e = okube_informer_new(k->h, "nodes", node_changed, NULL, k, &k->in_nodes, err);
	if (!e)
		e = node_start(k, err);
	if (e) {
		k->stopping = true;	/* what is under way already finds nothing to go on with */
		return e;
	}
	rt_events_start(k);
	k->h->ready(k->h);
	return 0;
}

static int kubelet_stop(void *ctx, struct orlop_error *err)
{
	struct kubelet *k = ctx;

	(void)err;
	okube_recorder_stop(k->events);		/* what is finished after this is told at once */
	k->stopping = true;
	shutdown_stop(k);
	stats_stop(k);
	evict_stop(k);
	if (ORLOP_HOST_HAS(k->h, stop_reason) && k->h->stop_reason(k->h) == ORLOP_STOP_REPLACE)
		server_drain(k);
	else
		server_stop(k);
	rt_events_stop(k);
	node_stop(k);
	static_stop(k);
	rotate_stop(k);
	k->h->timer_clear(k->missed);
	informers_free(k);
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		uint32_t i;

		k->h->timer_clear(p->timer);
		for (i = 0; i < p->n_ctrs; i++)
			probes_stop(p->ctrs[i]);
	}
	prober_free(k);
	return 0;
}

/* What a successor would find half done: sandboxes, containers and networks being made or removed. */
static uint32_t kubelet_changing(void *ctx)
{
	const struct kubelet *k = ctx;

	return k->n_changing;
}

/* Sessions of exec and logs -f, and who has not heard yet to go elsewhere. */
static uint32_t kubelet_draining(void *ctx)
{
	return server_left(ctx);
}

static void kubelet_health(void *ctx, struct orlop_health *health)
{
	struct kubelet *k = ctx;
	uint32_t running = 0;

	OMAP_FOREACH(&k->pods, e)
		running += !((const struct pod *)e->value)->finished;
	if (k->shutting_down) {
		snprintf(health->text, sizeof(health->text), "shutting down, %u pods left on node %s", shutdown_left(k), k->node_name);
		return;
	}
	health->ok = node_ready(k);
	snprintf(health->text, sizeof(health->text), "node %s%s, %u pods", k->node_name,
		 node_ready(k) ? "" : " not ready", running);
}

static int kubelet_param_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	(void)ctx;
	(void)name;
	(void)value;
	(void)err;
	return 0;
}

static void kubelet_param_apply(void *ctx, const char *name, const char *value)
{
	if (!strcmp(name, "shutdown"))
		shutdown_begin(ctx, !strcmp(value, "true"));
}

static const struct orlop_param kubelet_params[] = {
	{ "node_name", ORLOP_PARAM_STRING, 0, "", "name of the Node object; empty: the host name" },
	{ "node_ip", ORLOP_PARAM_STRING, 0, "", "its InternalIP; empty: the address of the default route" },
	{ "root", ORLOP_PARAM_STRING, 0, "/var/lib/kubelet", "directory of volumes and pods' own files" },
	{ "log_dir", ORLOP_PARAM_STRING, 0, "/var/log/pods", "directory of containers' logs" },
	{ "static_pods", ORLOP_PARAM_STRING, 0, "", "folder of manifests of pods that run without the API; empty: none" },
	{ "container_log_max_size", ORLOP_PARAM_STRING, 0, "10Mi", "a log larger than this is put aside and begun anew" },
	{ "container_log_max_files", ORLOP_PARAM_INT, 0, "5", "files of one container's log, the present one included" },
	{ "cgroup_root", ORLOP_PARAM_STRING, 0, "kubepods", "cgroup that holds all pods" },
	{ "cluster_dns", ORLOP_PARAM_STRING, 0, "", "address of the cluster's name server; empty: the host's are used" },
	{ "cluster_domain", ORLOP_PARAM_STRING, 0, "cluster.local", "domain of Services" },
	{ "proxy", ORLOP_PARAM_BOOL, 0, "false",
	  "cluster IPs are routed on this node; if not, KUBERNETES_SERVICE_HOST is the API server's own address" },
	{ "listen", ORLOP_PARAM_STRING, 0, "0.0.0.0:10250", "address and port of the kubelet's HTTPS API" },
	{ "tls_cert", ORLOP_PARAM_STRING, 0, "", "its certificate, PEM file; empty: no HTTPS API, so no logs and exec" },
	{ "tls_key", ORLOP_PARAM_STRING, 0, "", "its key, PEM file" },
	{ "client_ca", ORLOP_PARAM_STRING, 0, "", "CA of client certificates, PEM file" },
	{ "eviction_hard", ORLOP_PARAM_STRING, 0,
	  "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%",
	  "below these pods are ended at once" },
	{ "eviction_soft", ORLOP_PARAM_STRING, 0, "", "below these pods are ended after a while" },
	{ "eviction_soft_grace_period", ORLOP_PARAM_STRING, 0, "", "how long that is: memory.available=30s,..." },
	{ "eviction_minimum_reclaim", ORLOP_PARAM_STRING, 0, "", "how far above the threshold is far enough" },
	{ "eviction_pressure_transition_period", ORLOP_PARAM_STRING, 0, "5m0s",
	  "how long a condition of pressure outlives the pressure" },
	{ "eviction_max_pod_grace_period", ORLOP_PARAM_INT, 0, "0", "seconds that a pod gets at a soft threshold" },
	{ "kube_reserved", ORLOP_PARAM_STRING, 0, "", "what is not for pods: cpu=100m,memory=100Mi,ephemeral-storage=1Gi" },
	{ "system_reserved", ORLOP_PARAM_STRING, 0, "", "the same, for the rest of the system" },
	{ "max_pods", ORLOP_PARAM_INT, 0, "110", "pods that may run here" },
	{ "cgroups_per_qos", ORLOP_PARAM_BOOL, 0, "true", "cgroups for classes and pods, with their limits" },
	{ "pod_max_pids", ORLOP_PARAM_INT, 0, "-1", "processes and threads of a pod; -1: no limit" },
	{ "image_gc_high_threshold", ORLOP_PARAM_INT, 0, "85", "percent of the disk in use from which images are removed" },
	{ "image_gc_low_threshold", ORLOP_PARAM_INT, 0, "80", "percent down to which they are" },
	{ "minimum_image_ttl_duration", ORLOP_PARAM_STRING, 0, "2m0s", "how old an unused image must be" },
	{ "maximum_dead_containers_per_container", ORLOP_PARAM_INT, 0, "1", "ended containers that are kept of each" },
	{ "maximum_dead_containers", ORLOP_PARAM_INT, 0, "-1", "and of all together; -1: no limit" },
	{ "allowed_unsafe_sysctls", ORLOP_PARAM_STRING, 0, "", "patterns: kernel.msg*,net.core.somaxconn" },
	{ "shutdown", ORLOP_PARAM_BOOL, ORLOP_PARAM_LIVE, "false", "the machine goes down: pods end in order, none begins" },
	{ "shutdown_grace_period", ORLOP_PARAM_STRING, 0, "0s", "for all pods when the machine is shut down; 0s: no order" },
	{ "shutdown_grace_period_critical_pods", ORLOP_PARAM_STRING, 0, "0s", "of that, for critical ones" },
};

ORLOP_MODULE("kubelet", "kubelet", "0.1",
	     "needs=api,runtime,cni\0reads=pods;field=spec.nodeName=$node,nodes,services,endpoints,configmaps,secrets,runtimeclasses.node.k8s.io\0"
	     "asks=nodes;create;patch,nodes/status;patch,pods;create;delete,pods/status;patch,events;create;patch,"
	     "leases.coordination.k8s.io;create;patch,serviceaccounts/token;create,"
	     "tokenreviews.authentication.k8s.io;create,subjectaccessreviews.authorization.k8s.io;create\0"
	     /* Volumes are mounted, written as the pods' users, and may be any path of the host. */
	     "caps=sys_admin,chown,fowner,fsetid,dac_override,dac_read_search,sys_resource\0files=*\0net=inet,netlink",
	.license = "Apache-2.0",
	.summary = "makes this machine run the pods bound to it",
	.flags = ORLOP_MOD_HANDOVER,
	.ops = &kubelet_ops,
	.n_params = sizeof(kubelet_params) / sizeof(kubelet_params[0]),
	.params = kubelet_params,
	.init = kubelet_init,
	.start = kubelet_start,
	.stop = kubelet_stop,
	.fini = kubelet_fini,
	.param_validate = kubelet_param_validate,
	.param_apply = kubelet_param_apply,
	.health = kubelet_health,
	.draining = kubelet_draining,
	.changing = kubelet_changing);
