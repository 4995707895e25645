/*
 * statprom.c - a taking as /metrics/resource and /metrics/cadvisor show it. Pure.
 *
 * Sources: pkg/kubelet/metrics/collectors/resource_metrics.go; cadvisor metrics/prometheus.go and
 * pkg/kubelet/server/server.go (containerPrometheusLabelsFunc).
 */
#include "stats.h"

#include <string.h>

static void head(struct obuf *b, const char *name, const char *type, const char *help)
{
	obuf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Times are in milliseconds, whole seconds of CPU as decimals that lose nothing. */
static void put_seconds(struct obuf *b, uint64_t ns)
{
	obuf_printf(b, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S), (unsigned long long)(ns % NS_PER_S));
}

static void stamp(struct obuf *b, const struct cg_stat *c)
{
	obuf_printf(b, " %lld\n", (long long)(c->time_ns / 1000000));
}

/* ---- /metrics/resource --------------------------------------------------------------------------------- */

enum value { V_CPU, V_MEMORY, V_SWAP, V_START };

static void put_value(struct obuf *b, enum value v, const struct cg_stat *c, int64_t started_ns)
{
	obuf_putc(b, ' ');
	if (v == V_CPU)
		put_seconds(b, c->cpu_ns);
	else if (v == V_START)
		put_seconds(b, (uint64_t)started_ns);
	else
		obuf_put_u64(b, v == V_MEMORY ? c->mem_working_set : c->mem_swap);
	if (v == V_START)
		obuf_putc(b, '\n');
	else
		stamp(b, c);
}

static void of_node(const struct stats *s, const char *name, enum value v, struct obuf *b)
{
	obuf_puts(b, name);
	put_value(b, v, &s->node, 0);
}

static void of_pods(const struct stats *s, const char *name, enum value v, struct obuf *b)
{
	uint32_t i;

	for (i = 0; i < s->n_pods; i++) {
		const struct stats_pod *p = &s->pods[i];

		if (!p->cg.ok)
			continue;
		obuf_printf(b, "%s{namespace=\"%s\",pod=\"%s\"}", name, p->ns, p->name);
		put_value(b, v, &p->cg, 0);
	}
}

static void of_containers(const struct stats *s, const char *name, enum value v, struct obuf *b)
{
	uint32_t i;
	uint32_t j;

	for (i = 0; i < s->n_pods; i++) {
		const struct stats_pod *p = &s->pods[i];

		for (j = 0; j < p->n_ctrs; j++) {
			if (!p->ctrs[j].cg.ok)
				continue;
			obuf_printf(b, "%s{container=\"%s\",namespace=\"%s\",pod=\"%s\"}", name, p->ctrs[j].name, p->ns,
				    p->name);
			put_value(b, v, &p->ctrs[j].cg, p->ctrs[j].started_ns);
		}
	}
}

void prom_resource(const struct stats *s, struct obuf *b)
{
	head(b, "container_cpu_usage_seconds_total", "counter",
	     "[STABLE] Cumulative cpu time consumed by the container in core-seconds");
	of_containers(s, "container_cpu_usage_seconds_total", V_CPU, b);
	head(b, "container_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the container in bytes");
	of_containers(s, "container_memory_working_set_bytes", V_MEMORY, b);
	head(b, "container_start_time_seconds", "gauge",
	     "[STABLE] Start time of the container since unix epoch in seconds");
	of_containers(s, "container_start_time_seconds", V_START, b);
	head(b, "container_swap_usage_bytes", "gauge",
	     "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems");
	of_containers(s, "container_swap_usage_bytes", V_SWAP, b);
	head(b, "node_cpu_usage_seconds_total", "counter",
	     "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
	of_node(s, "node_cpu_usage_seconds_total", V_CPU, b);
	head(b, "node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes");
	of_node(s, "node_memory_working_set_bytes", V_MEMORY, b);
	head(b, "node_swap_usage_bytes", "gauge",
	     "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems");
	of_node(s, "node_swap_usage_bytes", V_SWAP, b);
	head(b, "pod_cpu_usage_seconds_total", "counter",
	     "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
	of_pods(s, "pod_cpu_usage_seconds_total", V_CPU, b);
	head(b, "pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes");
	of_pods(s, "pod_memory_working_set_bytes", V_MEMORY, b);
	head(b, "pod_swap_usage_bytes", "gauge",
	     "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems");
	of_pods(s, "pod_swap_usage_bytes", V_SWAP, b);
	head(b, "resource_scrape_error", "gauge",
	     "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
	obuf_puts(b, "resource_scrape_error 0\n");
}

/* ---- /metrics/cadvisor ----------------------------------------------------------------------------------- */

/* A number of a cgroup, by where it stands in struct cg_stat. */
static const struct cad {
	const char	*name;
	const char	*type;
	const char	*help;
	size_t		at;
	bool		seconds;
	const char	*label;		/* one more, as text */
} cads[] = {
	{ "container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.",
	  offsetof(struct cg_stat, cfs_periods), false, NULL },
	{ "container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.",
	  offsetof(struct cg_stat, cfs_throttled), false, NULL },
	{ "container_cpu_cfs_throttled_seconds_total", "counter", "Total time duration the container has been throttled.",
	  offsetof(struct cg_stat, cfs_throttled_ns), true, NULL },
	{ "container_cpu_system_seconds_total", "counter", "Cumulative system cpu time consumed in seconds.",
	  offsetof(struct cg_stat, cpu_system_ns), true, NULL },
	{ "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
	  offsetof(struct cg_stat, cpu_ns), true, "cpu=\"total\"," },
	{ "container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.",
	  offsetof(struct cg_stat, cpu_user_ns), true, NULL },
	{ "container_memory_cache", "gauge", "Number of bytes of page cache memory.",
	  offsetof(struct cg_stat, mem_cache), false, NULL },
	{ "container_memory_failcnt", "counter", "Number of memory usage hits limits",
	  offsetof(struct cg_stat, mem_failcnt), false, NULL },
	{ "container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.",
	  offsetof(struct cg_stat, mem_mapped), false, NULL },
	{ "container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes",
	  offsetof(struct cg_stat, mem_max), false, NULL },
	{ "container_memory_rss", "gauge", "Size of RSS in bytes.", offsetof(struct cg_stat, mem_rss), false, NULL },
	{ "container_memory_swap", "gauge", "Container swap usage in bytes.",
	  offsetof(struct cg_stat, mem_swap), false, NULL },
	{ "container_memory_usage_bytes", "gauge",
	  "Current memory usage in bytes, including all memory regardless of when it was accessed",
	  offsetof(struct cg_stat, mem_usage), false, NULL },
	{ "container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
	  offsetof(struct cg_stat, mem_working_set), false, NULL },
	{ "container_oom_events_total", "counter", "Count of out of memory events observed for the container",
	  offsetof(struct cg_stat, oom_kills), false, NULL },
	{ "container_processes", "gauge", "Number of processes running inside the container.",
	  offsetof(struct cg_stat, processes), false, NULL },
	{ "container_threads", "gauge", "Number of threads running inside the container",
	  offsetof(struct cg_stat, pids), false, NULL },
};

/* @p and @c NULL: the machine; @c NULL: the pod. */
static void labels(struct obuf *b, const char *more, const struct stats_pod *p, const struct stats_ctr *c)
{
	obuf_printf(b, "{container=\"%s\",%sid=\"%s\",image=\"", c ? c->name : "", more ? more : "",
		    c ? c->cgroup : p ? p->cgroup : "/");
	obuf_printf(b, "%s\",name=\"%s\",namespace=\"%s\",pod=\"%s\"}", c ? c->image : "", c ? c->id : "",
		    p ? p->ns : "", p ? p->name : "");
}

static void cad_one(struct obuf *b, const struct cad *d, const struct cg_stat *c, const struct stats_pod *sp,
		    const struct stats_ctr *sc)
{
	uint64_t v;

	if (!c->ok)
		return;
	memcpy(&v, (const char *)c + d->at, sizeof(v));
	obuf_puts(b, d->name);
	labels(b, d->label, sp, sc);
	obuf_putc(b, ' ');
	if (d->seconds)
		put_seconds(b, v);
	else
		obuf_put_u64(b, v);
	stamp(b, c);
}

static void cad_all(const struct stats *s, const struct cad *d, struct obuf *b)
{
	uint32_t i;
	uint32_t j;

	head(b, d->name, d->type, d->help);
	cad_one(b, d, &s->node, NULL, NULL);
	for (i = 0; i < s->n_pods; i++) {
		const struct stats_pod *p = &s->pods[i];

		cad_one(b, d, &p->cg, p, NULL);
		for (j = 0; j < p->n_ctrs; j++)
			cad_one(b, d, &p->ctrs[j].cg, p, &p->ctrs[j]);
	}
}

static const struct cad_net {
	const char	*name;
	const char	*help;
	size_t		at;
} cad_nets[] = {
	{ "container_network_receive_bytes_total", "Cumulative count of bytes received", offsetof(struct cg_net_if, rx_bytes) },
	{ "container_network_receive_errors_total", "Cumulative count of errors encountered while receiving",
	  offsetof(struct cg_net_if, rx_errors) },
	{ "container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving",
	  offsetof(struct cg_net_if, rx_dropped) },
	{ "container_network_receive_packets_total", "Cumulative count of packets received",
	  offsetof(struct cg_net_if, rx_packets) },
	{ "container_network_transmit_bytes_total", "Cumulative count of bytes transmitted",
	  offsetof(struct cg_net_if, tx_bytes) },
	{ "container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting",
	  offsetof(struct cg_net_if, tx_errors) },
	{ "container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting",
	  offsetof(struct cg_net_if, tx_dropped) },
	{ "container_network_transmit_packets_total", "Cumulative count of packets transmitted",
	  offsetof(struct cg_net_if, tx_packets) },
};

static void net_one(struct obuf *b, const struct cad_net *d, const struct cg_stat *c, const struct cg_net_if *v, uint32_t n,
		    const struct stats_pod *p)
{
	char more[40];
	uint64_t x;
	uint32_t i;

	for (i = 0; i < n; i++) {
		memcpy(&x, (const char *)&v[i] + d->at, sizeof(x));
		obuf_puts(b, d->name);
		snprintf(more, sizeof(more), "interface=\"%s\",", v[i].name);
		obuf_printf(b, "{container=\"\",id=\"%s\",image=\"\",%sname=\"\",namespace=\"%s\",pod=\"%s\"} %llu",
			    p ? p->cgroup : "/", more, p ? p->ns : "", p ? p->name : "", (unsigned long long)x);
		stamp(b, c);
	}
}

static void cad_specs(const struct stats *s, struct obuf *b)
{
	uint32_t i;
	uint32_t j;

	head(b, "container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.");
	for (i = 0; i < s->n_pods; i++) {
		for (j = 0; j < s->pods[i].n_ctrs; j++) {
			const struct stats_ctr *c = &s->pods[i].ctrs[j];

			if (!c->cg.ok)
				continue;
			obuf_puts(b, "container_spec_memory_limit_bytes");
			labels(b, NULL, &s->pods[i], c);
			obuf_printf(b, " %lld", (long long)(c->cg.mem_limit == INT64_MAX ? 0 : c->cg.mem_limit));
			stamp(b, &c->cg);
		}
	}
	head(b, "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.");
	for (i = 0; i < s->n_pods; i++) {
		for (j = 0; j < s->pods[i].n_ctrs; j++) {
			const struct stats_ctr *c = &s->pods[i].ctrs[j];

			obuf_puts(b, "container_start_time_seconds");
			labels(b, NULL, &s->pods[i], c);
			obuf_printf(b, " %lld", (long long)(c->started_ns / (int64_t)NS_PER_S));
			stamp(b, &c->cg);
		}
	}
	head(b, "container_fs_usage_bytes", "gauge", "Number of bytes that are consumed by the container on this filesystem.");
	for (i = 0; i < s->n_pods; i++) {
		for (j = 0; j < s->pods[i].n_ctrs; j++) {
			const struct stats_ctr *c = &s->pods[i].ctrs[j];

			obuf_puts(b, "container_fs_usage_bytes");
			labels(b, NULL, &s->pods[i], c);
			obuf_printf(b, " %llu", (unsigned long long)c->rootfs.bytes);
			stamp(b, &c->cg);
		}
	}
}

void prom_cadvisor(const struct stats *s, struct obuf *b)
{
	const struct machine *m = node_machine(s->k);
	size_t d;
	uint32_t i;

	head(b, "cadvisor_version_info", "gauge",
	     "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.");
	obuf_printf(b, "cadvisor_version_info{cadvisorRevision=\"\",cadvisorVersion=\"\",dockerVersion=\"\",kernelVersion=\"%s\",osVersion=\"%s\"} 1\n",
		    m->kernel, m->os_image);
	for (d = 0; d < sizeof(cads) / sizeof(cads[0]); d++)
		cad_all(s, &cads[d], b);
	for (d = 0; d < sizeof(cad_nets) / sizeof(cad_nets[0]); d++) {
		head(b, cad_nets[d].name, "counter", cad_nets[d].help);
		net_one(b, &cad_nets[d], &s->node, s->net, s->n_net, NULL);
		for (i = 0; i < s->n_pods; i++)
			net_one(b, &cad_nets[d], &s->pods[i].cg, s->pods[i].net, s->pods[i].n_net, &s->pods[i]);
	}
	cad_specs(s, b);
	head(b, "container_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
	obuf_puts(b, "container_scrape_error 0\n");
	head(b, "machine_cpu_cores", "gauge", "Number of logical CPU cores.");
	obuf_printf(b, "machine_cpu_cores{boot_id=\"%s\",machine_id=\"%s\",system_uuid=\"%s\"} %lld\n", m->boot_id, m->machine_id,
		    m->system_uuid, (long long)m->cpus);
	head(b, "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
	obuf_printf(b, "machine_memory_bytes{boot_id=\"%s\",machine_id=\"%s\",system_uuid=\"%s\"} %lld\n", m->boot_id,
		    m->machine_id, m->system_uuid, (long long)m->memory);
	head(b, "machine_swap_bytes", "gauge", "Amount of swap memory available on the machine.");
	obuf_printf(b, "machine_swap_bytes{boot_id=\"%s\",machine_id=\"%s\",system_uuid=\"%s\"} %lld\n", m->boot_id,
		    m->machine_id, m->system_uuid, (long long)m->swap);
}
