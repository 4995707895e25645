/*
 * nodestatus.c - the Node's status: capacity and what of it is for pods, conditions, addresses, what runs here.
 *
 * Source: pkg/kubelet/nodestatus/setters.go.
 */
#include "node.h"

#include <string.h>

#include "base/otime.h"

static void set_quantity(struct ojson *list, const char *key, int64_t v, int64_t unit, const char *suffix)
{
	char text[40];

	snprintf(text, sizeof(text), "%lld%s", (long long)(v / unit), suffix);
	(void)ojson_set_cstr(list, key, text);
}

static void capacity(const struct node *n, struct ojson *list, bool allocatable)
{
	const struct machine *m = &n->m;
	const struct limits *l = n->k->limits;
	struct reserve a = limits_allocatable(l, m);

	if (!allocatable) {
		set_quantity(list, "cpu", m->cpus, 1, "");
		set_quantity(list, "ephemeral-storage", m->storage, 1024, "Ki");
		set_quantity(list, "memory", m->memory, 1024, "Ki");
	} else {
		if (a.cpu_milli % 1000)
			set_quantity(list, "cpu", a.cpu_milli, 1, "m");
		else
			set_quantity(list, "cpu", a.cpu_milli / 1000, 1, "");
		set_quantity(list, "ephemeral-storage", a.storage, 1, "");
		set_quantity(list, "memory", a.memory, 1024, "Ki");
	}
	(void)ojson_set_cstr(list, "hugepages-1Gi", "0");
	(void)ojson_set_cstr(list, "hugepages-2Mi", "0");
	set_quantity(list, "pods", l->max_pods, 1, "");
}

static void address_add(struct ojson *list, const char *type, const char *address)
{
	struct ojson *a = ojson_new_object();

	(void)ojson_set_cstr(a, "type", type);
	(void)ojson_set_cstr(a, "address", address);
	(void)ojson_append(list, a);
}

const struct ojson *node_sent_condition(const struct node *n, const char *type)
{
	OJSON_FOREACH_ELEM(i, c, n->sent) {
		if (!strcmp(ojson_get_cstr(c, "type", ""), type))
			return c;
	}
	return NULL;
}

static void condition_add(const struct node *n, struct ojson *list, const char *type, bool value, const char *reason,
			  const char *message)
{
	const struct ojson *old = node_sent_condition(n, type);
	const char *status = value ? "True" : "False";
	struct ojson *c = ojson_new_object();
	char now[OTIME_BUF];

	otime_format(kubelet_now(n->k), now);
	(void)ojson_set_cstr(c, "type", type);
	(void)ojson_set_cstr(c, "status", status);
	(void)ojson_set_cstr(c, "lastHeartbeatTime", now);
	(void)ojson_set_cstr(c, "lastTransitionTime", old && !strcmp(ojson_get_cstr(old, "status", ""), status)
			     ? ojson_get_cstr(old, "lastTransitionTime", now) : now);
	(void)ojson_set_cstr(c, "reason", reason);
	(void)ojson_set_cstr(c, "message", message);
	(void)ojson_append(list, c);
}

bool node_is_ready(const struct node *n)
{
	return n->runtime_ok && n->network_ok && !n->k->shutting_down;
}

static struct ojson *conditions_make(const struct node *n)
{
	bool memory = evict_pressure(n->k, PRESSURE_MEMORY);
	bool disk = evict_pressure(n->k, PRESSURE_DISK);
	bool pid = evict_pressure(n->k, PRESSURE_PID);
	struct ojson *list = ojson_new_array();

	condition_add(n, list, "MemoryPressure", memory, memory ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
		      memory ? "kubelet has insufficient memory available" : "kubelet has sufficient memory available");
	condition_add(n, list, "DiskPressure", disk, disk ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
		      disk ? "kubelet has disk pressure" : "kubelet has no disk pressure");
	condition_add(n, list, "PIDPressure", pid, pid ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
		      pid ? "kubelet has insufficient PID available" : "kubelet has sufficient PID available");
	condition_add(n, list, "Ready", node_is_ready(n), node_is_ready(n) ? "KubeletReady" : "KubeletNotReady",
		      node_is_ready(n) ? "kubelet is posting ready status"
				  : n->k->shutting_down ? "node is shutting down" : n->why_not ? n->why_not : "container runtime status check may not have completed yet");
	return list;
}

struct ojson *node_status(struct node *n)
{
	const struct machine *m = &n->m;
	struct ojson *st = ojson_new_object();
	struct ojson *j;

	if (!st)
		return NULL;
	capacity(n, ojson_ensure_object(st, "capacity"), false);
	capacity(n, ojson_ensure_object(st, "allocatable"), true);
	(void)ojson_set(st, "conditions", conditions_make(n));
	j = ojson_ensure_array(st, "addresses");
	address_add(j, "InternalIP", m->node_ip);
	address_add(j, "Hostname", n->k->node_name);
	(void)ojson_set_i64(ojson_ensure_object(ojson_ensure_object(st, "daemonEndpoints"), "kubeletEndpoint"), "Port",
			    server_port(n->k));
	j = ojson_ensure_object(st, "nodeInfo");
	(void)ojson_set_cstr(j, "machineID", m->machine_id);
	(void)ojson_set_cstr(j, "systemUUID", m->system_uuid);
	(void)ojson_set_cstr(j, "bootID", m->boot_id);
	(void)ojson_set_cstr(j, "kernelVersion", m->kernel);
	(void)ojson_set_cstr(j, "osImage", m->os_image);
	(void)ojson_set_cstr(j, "containerRuntimeVersion", n->runtime_version ? n->runtime_version : "orlop://unknown");
	(void)ojson_set_cstr(j, "kubeletVersion", KUBELET_VERSION);
	(void)ojson_set_cstr(j, "kubeProxyVersion", "");
	(void)ojson_set_cstr(j, "operatingSystem", "linux");
	(void)ojson_set_cstr(j, "architecture", m->arch);
	if (n->images)
		(void)ojson_set(st, "images", ojson_ref(n->images));
	if (ojson_count(n->handlers))
		(void)ojson_set(st, "runtimeHandlers", ojson_ref(n->handlers));
	if (n->strict_groups)
		(void)ojson_set_bool(ojson_ensure_object(st, "features"), "supplementalGroupsPolicy", true);
	return st;
}

void node_labels(const struct node *n, struct ojson *labels)
{
	(void)ojson_set_cstr(labels, "beta.kubernetes.io/arch", n->m.arch);
	(void)ojson_set_cstr(labels, "beta.kubernetes.io/os", "linux");
	(void)ojson_set_cstr(labels, "kubernetes.io/arch", n->m.arch);
	(void)ojson_set_cstr(labels, "kubernetes.io/hostname", n->k->node_name);
	(void)ojson_set_cstr(labels, "kubernetes.io/os", "linux");
}

