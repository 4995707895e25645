/*
 * statsummary.c - a taking as /stats/summary shows it. Pure.
 *
 * Source: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go.
 */
#include "stats.h"

#include <string.h>

#include "base/otime.h"

static void put_time(struct obuf *b, const char *key, int64_t ns)
{
	char time[OTIME_BUF];

	otime_format(ns, time);
	obuf_printf(b, "\"%s\":\"%s\"", key, time);
}

static void put_u64(struct obuf *b, const char *key, uint64_t v)
{
	obuf_printf(b, ",\"%s\":%llu", key, (unsigned long long)v);
}

/* @window_ns: over which the rate is; 0: not told, as upstream's summary does not. */
static void put_cpu_window(struct obuf *b, const struct cg_stat *c, bool rated, uint64_t nano, int64_t window_ns)
{
	obuf_puts(b, ",\"cpu\":{");
	put_time(b, "time", c->time_ns);
	if (rated)
		put_u64(b, "usageNanoCores", nano);
	put_u64(b, "usageCoreNanoSeconds", c->cpu_ns);
	if (window_ns)
		put_u64(b, "usageWindowNanoSeconds", (uint64_t)window_ns);
	obuf_putc(b, '}');
}

static void put_cpu(struct obuf *b, const struct cg_stat *c, bool rated, uint64_t nano)
{
	put_cpu_window(b, c, rated, nano, 0);
}

static void put_memory(struct obuf *b, const struct cg_stat *c, bool with_available)
{
	obuf_puts(b, ",\"memory\":{");
	put_time(b, "time", c->time_ns);
	if (with_available && c->mem_limit != INT64_MAX)
		put_u64(b, "availableBytes", (uint64_t)c->mem_limit > c->mem_working_set
			? (uint64_t)c->mem_limit - c->mem_working_set : 0);
	put_u64(b, "usageBytes", c->mem_usage);
	put_u64(b, "workingSetBytes", c->mem_working_set);
	put_u64(b, "rssBytes", c->mem_rss);
	put_u64(b, "pageFaults", c->pgfault);
	put_u64(b, "majorPageFaults", c->pgmajfault);
	obuf_putc(b, '}');
}

static void put_swap(struct obuf *b, const struct cg_stat *c)
{
	obuf_puts(b, ",\"swap\":{");
	put_time(b, "time", c->time_ns);
	put_u64(b, "swapUsageBytes", c->mem_swap);
	obuf_putc(b, '}');
}

/* @use: what of it is meant; NULL: all. */
static void put_fs(struct obuf *b, int64_t time_ns, const struct cg_fs *fs, const struct stats_use *use)
{
	put_time(b, "time", time_ns);
	put_u64(b, "availableBytes", fs->available);
	put_u64(b, "capacityBytes", fs->capacity);
	put_u64(b, "usedBytes", use ? use->bytes : fs->used);
	put_u64(b, "inodesFree", fs->inodes_free);
	put_u64(b, "inodes", fs->inodes);
	put_u64(b, "inodesUsed", use ? use->inodes : fs->inodes_used);
}

static void put_if(struct obuf *b, const struct cg_net_if *i)
{
	obuf_printf(b, "\"name\":\"%s\",\"rxBytes\":%llu,\"rxErrors\":%llu,\"txBytes\":%llu,\"txErrors\":%llu", i->name,
		    (unsigned long long)i->rx_bytes, (unsigned long long)i->rx_errors, (unsigned long long)i->tx_bytes,
		    (unsigned long long)i->tx_errors);
}

static void put_net(struct obuf *b, int64_t time_ns, const struct cg_net_if *v, uint32_t n, const char *def)
{
	uint32_t i;

	if (!n)
		return;
	obuf_puts(b, ",\"network\":{");
	put_time(b, "time", time_ns);
	for (i = 0; i < n; i++) {
		if (strcmp(v[i].name, def))
			continue;
		obuf_putc(b, ',');
		put_if(b, &v[i]);
		break;
	}
	obuf_puts(b, ",\"interfaces\":[");
	for (i = 0; i < n; i++) {
		obuf_puts(b, i ? ",{" : "{");
		put_if(b, &v[i]);
		obuf_putc(b, '}');
	}
	obuf_puts(b, "]}");
}

static void put_system(struct obuf *b, const char *name, int64_t start_ns, const struct cg_stat *c, bool rated,
		       uint64_t nano, bool first)
{
	if (!c->ok)
		return;
	obuf_printf(b, "%s{\"name\":\"%s\",", first ? "" : ",", name);
	put_time(b, "startTime", start_ns);
	put_cpu(b, c, rated, nano);
	put_memory(b, c, true);
	obuf_putc(b, '}');
}

static void put_node(const struct stats *s, bool few, bool window, struct obuf *b)
{
	obuf_puts(b, "{\"node\":{\"nodeName\":");
	obuf_put_json_cstr(b, s->k->node_name);
	obuf_puts(b, ",\"systemContainers\":[");
	put_system(b, "kubelet", s->self_ns, &s->self, s->self_rated, s->self_nano_cores, true);
	put_system(b, "pods", s->boot_ns, &s->all_pods, s->all_pods_rated, s->all_pods_nano_cores, !s->self.ok);
	obuf_puts(b, "],");
	put_time(b, "startTime", s->boot_ns);
	put_cpu_window(b, &s->node, s->node_rated, s->node_nano_cores, window ? s->window_ns : 0);
	put_memory(b, &s->node, true);
	if (!few) {
		put_net(b, s->node.time_ns, s->net, s->n_net, s->net_default);
		obuf_puts(b, ",\"fs\":{");
		put_fs(b, s->node.time_ns, &s->fs, NULL);
		obuf_puts(b, "},\"runtime\":{\"imageFs\":{");
		put_fs(b, s->node.time_ns, &s->image_fs, NULL);
		obuf_puts(b, "},\"containerFs\":{");
		put_fs(b, s->node.time_ns, &s->image_fs, NULL);
		obuf_puts(b, "}},\"rlimit\":{");
		put_time(b, "time", s->node.time_ns);
		put_u64(b, "maxpid", s->max_pid);
		put_u64(b, "curproc", s->cur_pid);
		obuf_putc(b, '}');
	}
	obuf_puts(b, ",\"swap\":{");
	put_time(b, "time", s->node.time_ns);
	put_u64(b, "swapAvailableBytes", s->swap_total > s->node.mem_swap ? s->swap_total - s->node.mem_swap : 0);
	put_u64(b, "swapUsageBytes", s->node.mem_swap);
	obuf_puts(b, "}}");
}

static void put_ctr(const struct stats *s, const struct stats_ctr *c, bool few, struct obuf *b)
{
	obuf_puts(b, "{\"name\":");
	obuf_put_json_cstr(b, c->name);
	obuf_putc(b, ',');
	put_time(b, "startTime", c->started_ns);
	if (c->cg.ok) {
		put_cpu(b, &c->cg, c->rated, c->nano_cores);
		put_memory(b, &c->cg, true);
	}
	if (!few) {
		obuf_puts(b, ",\"rootfs\":{");
		put_fs(b, s->node.time_ns, &s->image_fs, &c->rootfs);
		obuf_puts(b, "},\"logs\":{");
		put_fs(b, s->node.time_ns, &s->fs, &c->logs);
		obuf_putc(b, '}');
	}
	if (c->cg.ok)
		put_swap(b, &c->cg);
	obuf_putc(b, '}');
}

static void put_pod(const struct stats *s, const struct stats_pod *p, bool few, struct obuf *b)
{
	struct stats_use use = { 0, 0 };
	uint32_t i;

	obuf_puts(b, "{\"podRef\":{\"name\":");
	obuf_put_json_cstr(b, p->name);
	obuf_puts(b, ",\"namespace\":");
	obuf_put_json_cstr(b, p->ns);
	obuf_puts(b, ",\"uid\":");
	obuf_put_json_cstr(b, p->uid);
	obuf_puts(b, "},");
	put_time(b, "startTime", p->started_ns);
	obuf_puts(b, ",\"containers\":[");
	for (i = 0; i < p->n_ctrs; i++) {
		if (i)
			obuf_putc(b, ',');
		put_ctr(s, &p->ctrs[i], few, b);
	}
	obuf_putc(b, ']');
	if (p->cg.ok) {
		put_cpu(b, &p->cg, p->rated, p->nano_cores);
		put_memory(b, &p->cg, true);
	}
	if (!few) {
		put_net(b, s->node.time_ns, p->net, p->n_net, "eth0");
		if (p->n_vols)
			obuf_puts(b, ",\"volume\":[");
		for (i = 0; i < p->n_vols; i++) {
			obuf_puts(b, i ? ",{" : "{");
			put_fs(b, s->node.time_ns, &p->vols[i].fs, p->vols[i].memory ? NULL : &p->vols[i].use);
			obuf_puts(b, ",\"name\":");
			obuf_put_json_cstr(b, p->vols[i].name);
			obuf_putc(b, '}');
		}
		if (p->n_vols)
			obuf_putc(b, ']');
		use.bytes = stats_pod_disk(p);
		use.inodes = stats_pod_inodes(p);
		obuf_puts(b, ",\"ephemeral-storage\":{");
		put_fs(b, s->node.time_ns, &s->fs, &use);
		obuf_putc(b, '}');
	}
	if (p->cg.ok) {
		obuf_printf(b, ",\"process_stats\":{\"process_count\":%llu}", (unsigned long long)p->cg.pids);
		put_swap(b, &p->cg);
	}
	obuf_putc(b, '}');
}

void summary_write(const struct stats *s, bool few, bool window, struct obuf *b)
{
	uint32_t i;

	put_node(s, few, window, b);
	obuf_puts(b, ",\"pods\":[");
	for (i = 0; i < s->n_pods; i++) {
		if (i)
			obuf_putc(b, ',');
		put_pod(s, &s->pods[i], few, b);
	}
	obuf_puts(b, "]}");
}
