/*
 * admit.c - what the node itself says to a pod that was bound to it: yes, or why not. Pure.
 *
 * The scheduler has looked before; but pods may be bound by anybody, and the node may have changed since.
 * Source: pkg/kubelet/lifecycle/predicate.go, pkg/kubelet/eviction/eviction_manager.go (Admit), pkg/kubelet/sysctl.
 */
#include "admit.h"
#include "security.h"

#include <stdlib.h>
#include <string.h>

/* ---- labels and terms ------------------------------------------------------------------------------------ */

static bool in_values(const struct ojson *values, const char *v)
{
	OJSON_FOREACH_ELEM(i, e, values)
		if (ojson_string_is(e, v))
			return true;
	return false;
}

/* One requirement against a value; NULL: there is none. */
static bool meets(const struct ojson *req, const char *v)
{
	const char *op = ojson_get_cstr(req, "operator", "");
	const struct ojson *values = ojson_get(req, "values");
	const char *first = ojson_cstr(ojson_index(values, 0), "");

	if (!strcmp(op, "In"))
		return v && in_values(values, v);
	if (!strcmp(op, "NotIn"))
		return !v || !in_values(values, v);
	if (!strcmp(op, "Exists"))
		return v != NULL;
	if (!strcmp(op, "DoesNotExist"))
		return v == NULL;
	if (!v)
		return false;
	if (!strcmp(op, "Gt"))
		return strtoll(v, NULL, 10) > strtoll(first, NULL, 10);
	if (!strcmp(op, "Lt"))
		return strtoll(v, NULL, 10) < strtoll(first, NULL, 10);
	return false;
}

static bool term_matches(const struct ojson *term, const struct ojson *node)
{
	const struct ojson *labels = OJSON_AT(node, "metadata", "labels");
	const struct ojson *exprs = ojson_get(term, "matchExpressions");
	const struct ojson *fields = ojson_get(term, "matchFields");

	/* an empty term matches nothing */
	if (!ojson_count(exprs) && !ojson_count(fields))
		return false;
	OJSON_FOREACH_ELEM(i, r, exprs)
		if (!meets(r, ojson_get_cstr(labels, ojson_get_cstr(r, "key", ""), NULL)))
			return false;
	OJSON_FOREACH_ELEM(k, r, fields)
		if (strcmp(ojson_get_cstr(r, "key", ""), "metadata.name") || !meets(r, okube_meta(node, "name")))
			return false;
	return true;
}

static bool affine(const struct ojson *pod, const struct ojson *node)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	const struct ojson *terms = OJSON_AT(spec, "affinity", "nodeAffinity",
					     "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");

	OJSON_FOREACH(it, ojson_get(spec, "nodeSelector")) {
		struct orlop_bytes have = ojson_bytes(ojson_get_n(OJSON_AT(node, "metadata", "labels"), it.key, it.key_len));
		struct orlop_bytes want = ojson_bytes(it.value);

		if (!have.p || have.len != want.len || memcmp(have.p, want.p, want.len))
			return false;
	}
	if (!terms)
		return true;
	OJSON_FOREACH_ELEM(i, t, terms)
		if (term_matches(t, node))
			return true;
	return false;
}

bool pod_tolerates(const struct ojson *pod, const char *key, const char *value, const char *effect)
{
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(pod, "spec", "tolerations")) {
		const char *k = ojson_get_cstr(t, "key", "");
		const char *e = ojson_get_cstr(t, "effect", "");
		bool exists = !strcmp(ojson_get_cstr(t, "operator", "Equal"), "Exists");

		if ((*e && strcmp(e, effect)) || (*k && strcmp(k, key)) || (!*k && !exists))
			continue;
		if (exists || !strcmp(ojson_get_cstr(t, "value", ""), value))
			return true;
	}
	return false;
}

/* ---- resources --------------------------------------------------------------------------------------------- */

static int64_t need(const struct ojson *pod, const char *name, bool milli)
{
	bool all;

	return pod_sum(pod, "requests", name, milli, &all);
}

static void lack_add(struct admission *a, size_t i, const char *name, bool milli, int64_t request, int64_t used, int64_t capacity)
{
	a->lacks[i].name = name;
	a->lacks[i].milli = milli;
	a->lacks[i].by = request > 0 ? used + request - capacity : 0;
	if (a->lacks[i].by <= 0)
		return;
	if (!a->lacking) {
		snprintf(a->reason, sizeof(a->reason), "OutOf%s", name);
		obuf_printf(a->message, "Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld", name,
			    (long long)request, (long long)used, (long long)capacity);
	}
	a->lacking = true;
}

static bool resources_lack(struct admission *a)
{
	int64_t cpu = 0;
	int64_t memory = 0;
	int64_t storage = 0;
	int64_t pods = 0;
	size_t i;

	for (i = 0; i < a->n_others; i++) {
		pods++;
		cpu += need(a->others[i], "cpu", true);
		memory += need(a->others[i], "memory", false);
		storage += need(a->others[i], "ephemeral-storage", false);
	}
	a->lacking = false;
	lack_add(a, 0, "pods", false, 1, pods, a->max_pods);
	lack_add(a, 1, "cpu", true, need(a->pod, "cpu", true), cpu, a->free.cpu_milli);
	lack_add(a, 2, "memory", false, need(a->pod, "memory", false), memory, a->free.memory);
	lack_add(a, 3, "ephemeral-storage", false, need(a->pod, "ephemeral-storage", false), storage, a->free.storage);
	return a->lacking;
}

static bool ports_clash(const struct ojson *one, const struct ojson *other)
{
	const char *ip1 = ojson_get_cstr(one, "hostIP", "0.0.0.0");
	const char *ip2 = ojson_get_cstr(other, "hostIP", "0.0.0.0");
	bool any = !*ip1 || !*ip2 || !strcmp(ip1, "0.0.0.0") || !strcmp(ip2, "0.0.0.0") || !strcmp(ip1, ip2);

	return any && ojson_get_i64(one, "hostPort", 0) == ojson_get_i64(other, "hostPort", 0) &&
		!strcmp(ojson_get_cstr(one, "protocol", "TCP"), ojson_get_cstr(other, "protocol", "TCP"));
}

static bool port_taken(const struct ojson *port, const struct ojson *pod)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", "containers")) {
		OJSON_FOREACH_ELEM(k, p, ojson_get(c, "ports")) {
			if (ojson_get_i64(p, "hostPort", 0) > 0 && ports_clash(port, p))
				return true;
		}
	}
	return false;
}

static bool ports_lack(const struct admission *a)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(a->pod, "spec", "containers")) {
		OJSON_FOREACH_ELEM(k, p, ojson_get(c, "ports")) {
			size_t n;

			for (n = 0; ojson_get_i64(p, "hostPort", 0) > 0 && n < a->n_others; n++)
				if (port_taken(p, a->others[n]))
					return true;
		}
	}
	return false;
}

/* ---- the judgement ------------------------------------------------------------------------------------------- */

static bool refuse(struct admission *a, const char *reason, const char *message)
{
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
	obuf_puts(a->message, message);
	return false;
}

static bool predicate(struct admission *a, const char *name, const char *what)
{
	snprintf(a->reason, sizeof(a->reason), "%s", name);
	obuf_printf(a->message, "Predicate %s failed: %s", name, what);
	return false;
}

/* Under pressure: only who is guaranteed something, and that only if memory is what is short. */
static bool pressure_ok(struct admission *a)
{
	if ((!a->pressure[PRESSURE_MEMORY] && !a->pressure[PRESSURE_DISK] && !a->pressure[PRESSURE_PID]) ||
	    pod_is_critical(a->pod))
		return true;
	if (!a->pressure[PRESSURE_DISK] && !a->pressure[PRESSURE_PID] &&
	    (qos_class(a->pod) != QOS_BESTEFFORT ||
	     pod_tolerates(a->pod, "node.kubernetes.io/memory-pressure", "", "NoSchedule")))
		return true;
	snprintf(a->reason, sizeof(a->reason), "Evicted");
	obuf_printf(a->message, "The node had condition: [%s%s%s]. ", a->pressure[PRESSURE_MEMORY] ? "MemoryPressure" : "",
		    a->pressure[PRESSURE_DISK] ? a->pressure[PRESSURE_MEMORY] ? " DiskPressure" : "DiskPressure" : "",
		    a->pressure[PRESSURE_PID] ? a->pressure[PRESSURE_MEMORY] || a->pressure[PRESSURE_DISK] ? " PIDPressure"
													   : "PIDPressure" : "");
	return false;
}

bool admit_pod(struct admission *a)
{
	const struct ojson *node = a->node;
	bool critical = pod_is_critical(a->pod);

	a->lacking = false;
	if (!pressure_ok(a))
		return false;
	if (security_sysctl_refused(a->pod, a->allowed_sysctls, a->message)) {
		snprintf(a->reason, sizeof(a->reason), "SysctlForbidden");
		return false;
	}
	if (!a->apparmor && security_wants_apparmor(a->pod))
		return refuse(a, "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host");
	if (a->shutdown)
		return refuse(a, "NodeShutdown", "Pod was rejected as the node is shutting down.");
	if (!critical && resources_lack(a))
		return false;
	if (node && !affine(a->pod, node))
		return predicate(a, "NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
	if (ports_lack(a))
		return predicate(a, "NodePorts", "node(s) didn't have free ports for the requested pod ports");
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(node, "spec", "taints")) {
		if (!strcmp(ojson_get_cstr(t, "effect", ""), "NoExecute") && !critical &&
		    !pod_tolerates(a->pod, ojson_get_cstr(t, "key", ""), ojson_get_cstr(t, "value", ""), "NoExecute"))
			return predicate(a, "TaintToleration", "node(s) had taints that the pod didn't tolerate");
	}
	/* what is critical gets its room from others */
	if (critical && resources_lack(a))
		obuf_reset(a->message);
	return true;
}
