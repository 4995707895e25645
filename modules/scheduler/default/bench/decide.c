/*
 * decide.c - pods decided per second on 1,000 and 5,000 nodes: parse, filter, score, count.
 *
 * One JSON line a measurement, with how even the placement is. The module's own path without the host: each pod's JSON is parsed as
 * it would be when it arrives, decided, and counted on its node.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/omem.h"
#include "json/oscan.h"

#include "../topology.h"

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char spec[] =
	"{\"volumes\":[{\"name\":\"kube-api-access\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":3607,"
	"\"path\":\"token\"}},{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}}],"
	"\"defaultMode\":420}}],\"containers\":[{\"name\":\"web\",\"image\":\"registry.example/web:1\",\"resources\":{\"requests\":"
	"{\"cpu\":\"100m\",\"memory\":\"500Mi\"}},\"volumeMounts\":[{\"name\":\"kube-api-access\",\"readOnly\":true,\"mountPath\":"
	"\"/var/run/secrets/kubernetes.io/serviceaccount\"}],\"terminationMessagePath\":\"/dev/termination-log\"}],"
	"\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"schedulerName\":"
	"\"default-scheduler\",\"tolerations\":[{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
	"\"tolerationSeconds\":300},{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
	"\"tolerationSeconds\":300}]%s}";

static const char affinity[] =
	",\"nodeSelector\":{\"kubernetes.io/os\":\"linux\"},\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
	"{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"operator\":\"In\",\"values\":[\"z1\",\"z2\"]}]}]},"
	"\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":1,\"preference\":{\"matchExpressions\":[{\"key\":\"disk\","
	"\"operator\":\"In\",\"values\":[\"ssd\"]}]}}]}}";

static const char spread[] =
	",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"topology.kubernetes.io/zone\",\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":"
	"{\"matchLabels\":{\"app\":\"web\"}}},{\"maxSkew\":1,\"topologyKey\":\"kubernetes.io/hostname\",\"whenUnsatisfiable\":\"ScheduleAnyway\",\"labelSelector\":"
	"{\"matchLabels\":{\"app\":\"web\"}}}]";

static const char apart[] =
	",\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":"
	"{\"matchLabels\":{\"app\":\"web\"}}}]}}";

static const char near[] =
	",\"affinity\":{\"podAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":10,\"podAffinityTerm\":{\"topologyKey\":"
	"\"topology.kubernetes.io/zone\",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}}}]}}";

static void die(void)
{
	fprintf(stderr, "out of memory\n");
	exit(1);
}

static void nodes_make(struct sd_cluster *c, uint32_t n)
{
	char name[32], json[1024];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "node-%u", i);
		snprintf(
			json, sizeof(json),
			"\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":\"%s\",\"kubernetes.io/os\":"
			"\"linux\",\"kubernetes.io/arch\":\"amd64\",\"topology.kubernetes.io/zone\":\"z%u\",\"disk\":\"%s\"}},\"spec\":{},"
			"\"status\":{\"allocatable\":{\"cpu\":\"32\",\"memory\":\"256Gi\",\"pods\":\"110\",\"ephemeral-storage\":\"100Gi\"}}",
			name, name, i % 3, i % 5 ? "hdd" : "ssd");
		if (sd_node_set(c, (struct orlop_bytes){ name, strlen(name) },
				(struct orlop_bytes){ json, strlen(json) }))
			die();
	}
}

static void measure(const char *what, const char *more, uint32_t n_nodes, uint32_t n_pods)
{
	struct sd_pod **v = omem_zalloc_array(n_pods, sizeof(struct sd_pod *));
	uint32_t placed = 0, least = UINT32_MAX, most = 0;
	struct sd_cluster c;
	struct sd_diag d;
	char json[4096];
	double t, cpu_t, used = 0, squares = 0, apart_by = 0;

	if (!v)
		die();
	sd_cluster_init(&c, 1);
	nodes_make(&c, n_nodes);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(json, sizeof(json), spec, more);
#pragma GCC diagnostic pop
	t = now_s(CLOCK_MONOTONIC);
	cpu_t = now_s(CLOCK_PROCESS_CPUTIME_ID);
	for (uint32_t i = 0; i < n_pods; i++) {
		struct orlop_bytes text = { json, strlen(json) }, list, none = { NULL, 0 };
		struct orlop_bytes labels = { "{\"app\":\"web\"}", 13 };
		struct sd_pod *p = v[i] = OMEM_NEW(struct sd_pod);
		struct sd_node *to;

		if (!p)
			die();
		olist_init(&p->on_node);
		olist_init(&p->on_nominated);
		p->ns = (struct orlop_bytes){ "default", 7 };
		if (sd_spec_new(text, &p->spec) || sd_load_new(text, p->name, &p->load) || sd_labels_new(labels, &p->labels) ||
		    sd_terms_new(&c, p, text, &p->terms) ||
		    (oscan_get(text, "topologySpreadConstraints", &list) &&
		     sd_spreads_new(&c, p, list, none, false, &p->spreads)))
			die();
		to = sd_decide(&c, p, &d);
		if (to && sd_pod_place(&c, p, to->name) == 0)
			placed++;
		sd_spec_free(p->spec);
		sd_spreads_free(&c, p->spreads);
	}
	t = now_s(CLOCK_MONOTONIC) - t;
	cpu_t = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_t;
	for (uint32_t i = 0; i < c.n; i++) {
		double cpu = (double)c.v[i]->used_cpu_milli / (double)c.v[i]->alloc_cpu_milli;
		double memory = (double)c.v[i]->used_memory / (double)c.v[i]->alloc_memory;

		apart_by += cpu > memory ? cpu - memory : memory - cpu;
		used += cpu;
		squares += cpu * cpu;
		least = c.v[i]->n_pods < least ? c.v[i]->n_pods : least;
		most = c.v[i]->n_pods > most ? c.v[i]->n_pods : most;
	}
	printf("{\"name\":\"scheduler/decide-%s-%u\",\"nodes\":%u,\"pods\":%u,\"placed\":%u,\"decisions_per_s\":%.0f,\"per_cpu_s\":%.0f,\"cpu_us\":%.1f,"
	       "\"pods_per_node\":[%u,%u],\"cpu_used_mean\":%.4f,\"cpu_used_deviation\":%.5f,\"cpu_memory_apart\":%.4f}\n",
	       what, n_nodes, n_nodes, n_pods, placed, n_pods / t, n_pods / cpu_t, cpu_t * 1e6 / n_pods, least, most, used / n_nodes,
	       sqrt(fmax(0, squares / n_nodes - used / n_nodes * (used / n_nodes))), apart_by / n_nodes);
	for (uint32_t i = 0; i < n_pods; i++) {
		sd_pod_unplace(&c, v[i]);
		sd_terms_free(&c, v[i]->terms);
		omem_free(v[i]->labels);
		omem_free(v[i]->load);
		omem_free(v[i]);
	}
	omem_free(v);
	sd_cluster_done(&c);
}

int main(void)
{
	measure("basic", "", 1000, 5000);
	measure("basic", "", 5000, 5000);
	measure("node-affinity", affinity, 5000, 5000);
	measure("spread", spread, 1000, 5000);
	measure("spread", spread, 5000, 5000);
	measure("pod-affinity", near, 1000, 5000);
	measure("pod-affinity", near, 5000, 5000);
	measure("anti-affinity", apart, 5000, 5000);
	return 0;
}
