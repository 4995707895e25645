/*
 * decide.c - pods decided per second on 1,000 and 5,000 nodes: parse, filter, score, count.
 *
 * One JSON line a measurement. The module's own path without the host: each pod's JSON is parsed as
 * it would be when it arrives, decided, and counted on its node.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/omem.h"
#include "../sched.h"

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
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
	double t;

	if (!v)
		die();
	sd_cluster_init(&c, 1);
	nodes_make(&c, n_nodes);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(json, sizeof(json), spec, more);
#pragma GCC diagnostic pop
	t = now_s();
	for (uint32_t i = 0; i < n_pods; i++) {
		struct orlop_bytes text = { json, strlen(json) };
		struct sd_pod *p = v[i] = OMEM_NEW(struct sd_pod);
		struct sd_node *to;

		if (!p || sd_spec_new(text, &p->spec) || sd_load_new(text, &p->load))
			die();
		olist_init(&p->on_node);
	olist_init(&p->on_nominated);
		to = sd_decide(&c, p, &d);
		if (to && sd_pod_place(&c, p, to->name) == 0)
			placed++;
		sd_spec_free(p->spec);
	}
	t = now_s() - t;
	for (uint32_t i = 0; i < c.n; i++) {
		least = c.v[i]->n_pods < least ? c.v[i]->n_pods : least;
		most = c.v[i]->n_pods > most ? c.v[i]->n_pods : most;
	}
	printf("{\"name\":\"scheduler/decide-%s-%u\",\"nodes\":%u,\"pods\":%u,\"placed\":%u,\"decisions_per_s\":%.0f,\"us\":%.1f,"
	       "\"pods_per_node\":[%u,%u]}\n",
	       what, n_nodes, n_nodes, n_pods, placed, n_pods / t, t * 1e6 / n_pods, least, most);
	for (uint32_t i = 0; i < n_pods; i++) {
		sd_pod_unplace(&c, v[i]);
		omem_free(v[i]->load);
		omem_free(v[i]);
	}
	omem_free(v);
	sd_cluster_done(&c);
}

int main(void)
{
	measure("basic", "", 1000, 20000);
	measure("basic", "", 5000, 20000);
	measure("affinity", affinity, 5000, 20000);
	return 0;
}
