/*
 * sandbox.c - a pod's sandbox and its network: made, found again, given up.
 */
#include "limits.h"
#include "qos.h"
#include "security.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"

static void failed_by(struct pod *p, const char *who, const char *why)
{
	pod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s%s", who, why);
	OLOG(p->k->h, WARN, "sandbox_failed", "pod=%s/%s why=\"%s\"", p->ns, p->name, why);
	p->sb = SB_NONE;
	p->sb_failures = p->sb_failures < 7 ? p->sb_failures + 1 : 7;
	p->sb_retry_ns = kubelet_now(p->k) + (int64_t)(NS_PER_S << (p->sb_failures - 1));
}

static void failed(struct pod *p, const char *why)
{
	failed_by(p, "rpc error: code = Unknown desc = ", why);
}

/* An address of a CNI result, without its prefix length. */
static char *result_ip(const struct ojson *res, size_t nth)
{
	const char *a = ojson_get_cstr(ojson_index(ojson_get(res, "ips"), nth), "address", "");
	size_t n = strcspn(a, "/");

	return n ? omem_strndup(a, n) : NULL;
}

static void ready(struct pod *p)
{
	p->sb = SB_READY;
	p->sb_failures = 0;
	p->vol_again |= p->vol == VOL_READY;	/* downward API may show the address */
}

/* Something of it was taken over: it may run, and is not to be ended because a question was not answered. */
static bool is_inhabited(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->id && !p->ctrs[i]->stale)
			return true;
	return false;
}

struct again {
	struct pod	*p;
	struct orlop_timer *timer;
};

static void attach_again(void *arg)
{
	struct again *a = arg;
	struct pod *p = a->p;

	p->k->h->timer_free(a->timer);
	omem_free(a);
	if (p->sb == SB_ATTACHING && p->sb_id && !p->k->stopping)
		sandbox_attach(p);
	pod_unref(p);
}

/* Later. False: no memory. */
static bool attach_later(struct pod *p, const char *why)
{
	struct again *a = OMEM_NEW(struct again);

	if (!a || p->k->h->timer_new(p->k->h, attach_again, a, &a->timer)) {
		omem_free(a);
		return false;
	}
	OLOG(p->k->h, WARN, "sandbox_unknown", "pod=%s/%s sandbox=%s why=\"%s\" retrying=1", p->ns, p->name, p->sb_id, why);
	a->p = p;
	pod_ref(p);
	p->k->h->timer_set(a->timer, NS_PER_S, 0);
	return true;
}

static void dropped(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct pod *p = arg;

	(void)res;
	(void)msg;
	(void)why;
	if (status < 0)
		adopt_later(p->k);
	pod_kick(p);
	pod_unref(p);
}

static void attached(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct pod *p = arg;
	cleanup_ojson struct ojson *result = NULL;
	struct orlop_bytes text = orlop_msg_bytes(p->k->h, status >= 0 ? msg : NULL, ORLOP_CNI_T_RESULT);

	(void)res;
	if (status >= 0 && text.len && !ojson_parse(text.p, text.len, &result, NULL)) {
		omem_free(p->ip);
		omem_free(p->ip2);
		p->ip = result_ip(result, 0);
		p->ip2 = result_ip(result, 1);
	}
	if (status >= 0) {
		ready(p);
	} else if (is_inhabited(p) && !p->k->stopping && attach_later(p, why)) {
		/* asked for its address once more */
	} else {
		char text_why[700];

		snprintf(text_why, sizeof(text_why), "failed to setup network for sandbox \"%s\": %s", p->sb_id, why);
		failed(p, text_why);
		/* upstream takes a new sandbox for each try */
		pod_ref(p);
		rt_call(p->k, ORLOP_RUNTIME_REMOVE_SANDBOX, p->key, rt_id("podSandboxId", p->sb_id), 0, dropped, p);
		text_set(&p->sb_id, NULL);
	}
	pod_kick(p);
	pod_unref(p);
}

/* Bits a second of an annotation, 0: none. NULL or why it cannot be. */
static const char *bandwidth(const struct pod *p, const char *annotation, int64_t *ret)
{
	struct orlop_bytes v = ojson_get_bytes(OJSON_AT(p->obj, "metadata", "annotations"), annotation);
	struct oquantity q;
	const char *why = NULL;

	*ret = 0;
	if (!v.p)
		return NULL;
	if (oquantity_parse(v.p, v.len, &q, &why))
		return why ? why : "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
	*ret = oquantity_i64(&q);
	return *ret < 1000 ? "resource is unreasonably small (< 1kbit)"
			   : *ret > INT64_C(1000000000000000) ? "resource is unreasonably large (> 1Pbit)" : NULL;
}

static struct ojson *cni_args(const struct pod *p, const char **ret_why)
{
	struct ojson *a = ojson_new_object();
	struct ojson *ports = a ? ojson_ensure_array(a, "hostPorts") : NULL;
	int64_t in;
	int64_t out;

	*ret_why = bandwidth(p, "kubernetes.io/ingress-bandwidth", &in);
	if (!*ret_why)
		*ret_why = bandwidth(p, "kubernetes.io/egress-bandwidth", &out);
	if (!*ret_why && (in || out)) {
		struct ojson *b = ojson_ensure_object(a, "bandwidth");

		(void)ojson_set_i64(b, "ingressRate", in);
		(void)ojson_set_i64(b, "egressRate", out);
	}

	(void)ojson_set_cstr(a, "namespace", p->ns);
	(void)ojson_set_cstr(a, "name", p->name);
	(void)ojson_set_cstr(a, "uid", p->uid);
	for (size_t l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(p->obj, "spec", l ? "initContainers" : "containers")) {
			/* of init containers those that stay */
			if (l && strcmp(ojson_get_cstr(c, "restartPolicy", ""), "Always"))
				continue;
			OJSON_FOREACH_ELEM(k, port, ojson_get(c, "ports")) {
				if (ojson_get_i64(port, "hostPort", 0) > 0)
					(void)ojson_append(ports, ojson_ref(port));
			}
		}
	}
	return a;
}

static void net_add(struct pod *p)
{
	struct ojson *args;
	const char *why;

	if (ojson_get_bool(ojson_get(p->obj, "spec"), "hostNetwork", false)) {
		text_set(&p->ip, node_ip(p->k));
		ready(p);
		return;
	}
	p->sb = SB_ATTACHING;
	pod_ref(p);
	args = cni_args(p, &why);
	if (why) {
		ojson_unref(args);
		attached(p, -EINVAL, NULL, NULL, why);
		return;
	}
	cni_call(p->k, ORLOP_CNI_ADD, p->key, p->sb_id, p->netns, args, attached, p);
}

static void take_netns(struct pod *p, const struct orlop_msg *msg)
{
	struct orlop_bytes ns = orlop_msg_bytes(p->k->h, msg, ORLOP_RUNTIME_T_NETNS);

	omem_free(p->netns);
	p->netns = ns.len ? omem_strndup(ns.p, ns.len) : NULL;
}

static void made(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct pod *p = arg;
	const char *id = ojson_get_cstr(res, "podSandboxId", "");

	if (status < 0 || !*id) {
		failed(p, *why ? why : "the runtime gave no id");
		adopt_later(p->k);	/* it may be there nevertheless */
	} else {
		if (p->sb_id)
			adopt_later(p->k);	/* the one before, that a reboot has ended */
		text_set(&p->sb_id, id);
		take_netns(p, msg);
		net_add(p);
	}
	pod_kick(p);
	pod_unref(p);
}

static const char *class_of(const struct pod *p)
{
	return ojson_get_cstr(ojson_get(p->obj, "spec"), "runtimeClassName", "");
}

/* The handler of the pod's RuntimeClass; NULL: there is no such class. */
static char *handler_of(struct pod *p)
{
	struct ojson *rc = *class_of(p) ? kubelet_get(p->k, p->k->in_classes, "", class_of(p)) : NULL;
	char *name = *class_of(p) && !rc ? NULL : omem_strdup(ojson_get_cstr(rc, "handler", ""));

	ojson_unref(rc);
	return name;
}

/* The pod wants the cluster's name server, and there is none: told as upstream does, for the node once. */
static void dns_missing(struct pod *p)
{
	static const char why[] = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. "
				  "Falling back to \"Default\" policy.";
	const struct ojson *spec = ojson_get(p->obj, "spec");
	const char *policy = ojson_get_cstr(spec, "dnsPolicy", "ClusterFirst");
	bool wants = !strcmp(policy, "ClusterFirstWithHostNet") ||
		(!strcmp(policy, "ClusterFirst") && !ojson_get_bool(spec, "hostNetwork", false));

	if (!wants || *p->k->cluster_dns)
		return;
	if (!p->k->dns_told)
		node_event(p->k, "Warning", "MissingClusterDNS", "%s", why);
	p->k->dns_told = true;
	pod_event(p, NULL, "Warning", "MissingClusterDNS", "pod: \"%s_%s(%s)\". %s", p->name, p->ns, p->uid, why);
}

static void make(struct pod *p)
{
	cleanup_free char *handler = handler_of(p);
	char *dir = pod_dir(p);
	char *logs = pod_log_dir(p);
	struct config_world w = { .pod = p->obj, .uid = p->uid, .node_name = p->k->node_name, .log_dir = logs,
				  .cgroup_root = p->k->cgroup_root, .pod_dir = dir,
				  .cluster_dns = p->k->cluster_dns, .cluster_domain = p->k->cluster_domain,
				  .memory = node_machine(p->k)->memory, .attempt = p->sb_attempt, .root = p->k->root,
				  .userns = userns_take(p) };
	struct ojson *req = ojson_new_object();
	struct ojson *config = dir && logs ? config_sandbox(&w) : NULL;

	if (!handler) {
		char why[400];

		ojson_unref(req);
		ojson_unref(config);
		snprintf(why, sizeof(why), "runtimeclass.node.k8s.io \"%s\" not found", class_of(p));
		failed_by(p, "", why);
	} else if (security_userns(p->obj) && w.userns < 0) {
		ojson_unref(req);
		ojson_unref(config);
		failed(p, "no range of users is free for it");
	} else if (security_userns(p->obj) && !node_has_userns(p->k)) {
		ojson_unref(req);
		ojson_unref(config);
		failed(p, "the runtime does not support user namespaces");
	} else if (!req || !config) {
		ojson_unref(req);
		ojson_unref(config);
		failed(p, "no memory");
	} else {
		(void)ojson_set(req, "config", config);
		if (*handler)
			(void)ojson_set_cstr(req, "runtimeHandler", handler);
		dns_missing(p);
		p->sb = SB_MAKING;
		p->sb_attempt++;	/* also of one that fails: it may be there nevertheless */
		pod_ref(p);
		rt_call(p->k, ORLOP_RUNTIME_RUN_SANDBOX, p->key, req, 0, made, p);
	}
	omem_free(dir);
	omem_free(logs);
}

void sandbox_sync(struct pod *p)
{
	if (p->sb != SB_NONE)
		return;
	if (p->sb_retry_ns > kubelet_now(p->k)) {
		pod_wake_at(p, p->sb_retry_ns);
		return;
	}
	if (*class_of(p) && (!p->k->in_classes || !okube_informer_synced(p->k->in_classes))) {
		pod_wake_at(p, kubelet_now(p->k) + (int64_t)NS_PER_S / 10);
		return;
	}
	if (!qos_pod_ready(p) || !turn_is(p))
		return;		/* its answer kicks */
	make(p);
	if (p->sb == SB_NONE)
		pod_wake_at(p, p->sb_retry_ns);
}

static void status_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct pod *p = arg;

	if (status < 0 && status != -ENOENT && !p->k->stopping && attach_later(p, why)) {
		/* asked once more */
	} else if (status < 0 || strcmp(ojson_cstr(OJSON_AT(res, "status", "state"), ""), "SANDBOX_READY")) {
		/* gone meanwhile: a new one */
		p->sb = SB_NONE;
	} else {
		take_netns(p, msg);
		net_add(p);
	}
	pod_kick(p);
	pod_unref(p);
}

void sandbox_attach(struct pod *p)
{
	p->sb = SB_ATTACHING;
	pod_ref(p);
	rt_call(p->k, ORLOP_RUNTIME_SANDBOX_STATUS, p->key, rt_id("podSandboxId", p->sb_id), 0, status_got, p);
}
