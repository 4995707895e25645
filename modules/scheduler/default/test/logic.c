/* logic.c - requests, filters, reasons, scores and decisions, without a host. */
#include "base/omem.h"

#define OTAP_FAULTS
#include "base/otap.h"

#include "../sched.h"

static struct sd_cluster c;

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void node(const char *name, const char *json)
{
	if (sd_node_set(&c, text(name), text(json)))
		otap_bail_out("node");
}

static struct sd_pod *pod(const char *spec)
{
	struct sd_pod *p = OMEM_NEW(struct sd_pod);

	if (!p || sd_spec_new(text(spec), &p->spec) || sd_load_new(text(spec), text("p"), &p->load))
		otap_bail_out("pod");
	olist_init(&p->on_node);
	olist_init(&p->on_nominated);
	olist_init(&p->waiting);
	return p;
}

static void pod_free(struct sd_pod *p)
{
	sd_pod_unplace(&c, p);
	sd_spec_free(p->spec);
	omem_free(p->load);
	omem_free(p);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_requests(void)
{
	static const struct {
		const char	*what;
		const char	*spec;
		int64_t		cpu, mem, nz_cpu, nz_mem;
	} t[] = {
		{ "nothing asked: defaults for scores only", "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
		  0, 0, 200, INT64_C(400) << 20 },
		{ "sum of containers",
		  "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":\"64Mi\"}}},"
		  "{\"resources\":{\"requests\":{\"cpu\":1,\"memory\":\"1e3\"}}}]}", 1250, (INT64_C(64) << 20) + 1000,
		  1250, (INT64_C(64) << 20) + 1000 },
		{ "an explicit zero stays zero in scores",
		  "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"0\",\"memory\":\"0\"}}}]}", 0, 0, 0, 0 },
		{ "the largest init container counts",
		  "{\"initContainers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"1Mi\"}}},"
		  "{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"3Mi\"}}}],"
		  "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"500m\",\"memory\":\"2Mi\"}}}]}",
		  2000, INT64_C(3) << 20, 2000, INT64_C(3) << 20 },
		{ "sidecars add to containers and to later init containers",
		  "{\"initContainers\":[{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Mi\"}}},"
		  "{\"resources\":{\"requests\":{\"cpu\":\"3\",\"memory\":\"1Mi\"}}}],"
		  "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"5Mi\"}}}]}",
		  4000, INT64_C(6) << 20, 4000, INT64_C(6) << 20 },
		{ "overhead is added",
		  "{\"overhead\":{\"cpu\":\"10m\",\"memory\":\"1Mi\"},"
		  "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Mi\"}}}]}",
		  1010, INT64_C(2) << 20, 1010, INT64_C(2) << 20 },
		{ "requests of the pod take the containers' place",
		  "{\"resources\":{\"requests\":{\"cpu\":\"3\"}},"
		  "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Mi\"}}}]}",
		  3000, INT64_C(1) << 20, 3000, INT64_C(1) << 20 },
		{ "fractions are rounded up",
		  "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"0.0001\",\"memory\":\"1500m\"}}}]}",
		  1, 2, 1, 2 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sd_load *l = NULL;

		ok(sd_load_new(text(t[i].spec), text("p"), &l) == 0 && l->cpu_milli == t[i].cpu && l->memory == t[i].mem &&
		   l->nz_cpu_milli == t[i].nz_cpu && l->nz_memory == t[i].nz_mem, "requests: %s", t[i].what);
		if (l->cpu_milli != t[i].cpu || l->memory != t[i].mem || l->nz_cpu_milli != t[i].nz_cpu)
			diag("cpu %lld memory %lld nz %lld %lld", (long long)l->cpu_milli, (long long)l->memory,
			     (long long)l->nz_cpu_milli, (long long)l->nz_memory);
		omem_free(l);
	}
}

static void test_ext_and_ports(void)
{
	struct sd_load *l = NULL;

	is_int(sd_load_new(text("{\"containers\":[{\"ports\":[{\"containerPort\":1},{\"hostPort\":80,\"hostIP\":\"0.0.0.0\"},"
				"{\"hostPort\":53,\"protocol\":\"UDP\",\"hostIP\":\"10.0.0.1\"}],"
				"\"resources\":{\"requests\":{\"nvidia.com/gpu\":\"1\",\"storage\":\"5\",\"hugepages-2Mi\":\"4Mi\"}}},"
				"{\"resources\":{\"requests\":{\"nvidia.com/gpu\":2,\"ephemeral-storage\":\"1Gi\"}}}]}"), text("p"), &l), 0,
	       "extended resources and ports");
	is_int(l->n_ext, 2, "two extended resources; storage is none");
	is_int(l->ext[0].v, 3, "gpus of two containers");
	is_mem(l->ext[0].name.p, l->ext[0].name.len, "nvidia.com/gpu", 14, "its name");
	is_int(l->ephemeral, 1 << 30, "ephemeral storage");
	is_int(l->n_ports, 2, "two host ports");
	is_int(l->ports[0].ip.len, 0, "0.0.0.0 is every address");
	ok(l->ports[1].proto == 1 && l->ports[1].port == 53 && l->ports[1].ip.len == 8, "UDP on one address");
	omem_free(l);
}

/* Amounts that no machine has: counting them neither wraps nor fits anywhere. */
static void test_absurd(void)
{
	static const char spec[] = "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"9223372036854775807\",\"memory\":\"9E\",\"a.b/c\":\"7E\"}}},"
		"{\"resources\":{\"requests\":{\"cpu\":\"9223372036854775807\",\"memory\":\"8Ei\",\"a.b/c\":\"7E\"}}}]}";
	struct sd_pod *p[4], *small = pod("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}");

	node("n", "\"status\":{\"allocatable\":{\"cpu\":\"9E\",\"memory\":\"9E\",\"pods\":\"110\"},\"images\":[{\"names\":[\"i:1\"],\"sizeBytes\":9223372036854775807}]}");
	for (int i = 0; i < 4; i++) {
		p[i] = pod(spec);
		is_int(sd_pod_place(&c, p[i], text("n")), 0, "an absurd pod, put there by hand");
	}
	ok(sd_node_get(&c, text("n"))->used_cpu_milli > 0 && sd_node_get(&c, text("n"))->used_memory > 0, "sums stay in range");
	is_int(sd_filter(small, sd_node_get(&c, text("n")), NULL), SD_P_FIT, "nothing fits beside them");
	is_int(sd_least_allocated(small->load, sd_node_get(&c, text("n"))), 0, "nor scores");
	for (int i = 0; i < 4; i++)
		pod_free(p[i]);
	is_int(sd_node_get(&c, text("n"))->used_cpu_milli, 0, "all of it is given back");
	pod_free(small);
	sd_node_gone(&c, text("n"));
}

/* ---- filters --------------------------------------------------------------------------------- */

#define ROOM "\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\",\"ephemeral-storage\":\"10Gi\",\"nvidia.com/gpu\":\"2\"}}"
#define ONE "\"containers\":[{\"name\":\"c\"}]"
#define NEED(x) "\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[" x "]}}"

static void test_filters(void)
{
	static const struct {
		const char	*what;
		const char	*node;
		const char	*spec;
		enum sd_plugin	want;
	} t[] = {
		{ "an empty pod", ROOM, "{" ONE "}", SD_FEASIBLE },
		{ "cordoned", "\"spec\":{\"unschedulable\":true}," ROOM, "{" ONE "}", SD_P_UNSCHEDULABLE },
		{ "cordoned, tolerated", "\"spec\":{\"unschedulable\":true}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"key\":\"node.kubernetes.io/unschedulable\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}]}",
		  SD_FEASIBLE },
		{ "another node is named", ROOM, "{" ONE ",\"nodeName\":\"m\"}", SD_P_NODE_NAME },
		{ "this node is named", ROOM, "{" ONE ",\"nodeName\":\"n\"}", SD_FEASIBLE },
		{ "taint NoSchedule", "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}," ROOM,
		  "{" ONE "}", SD_P_TAINTS },
		{ "taint NoExecute", "\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}," ROOM, "{" ONE "}", SD_P_TAINTS },
		{ "taint PreferNoSchedule", "\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]}," ROOM, "{" ONE "}",
		  SD_FEASIBLE },
		{ "toleration Equal", "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}", SD_FEASIBLE },
		{ "toleration of another value", "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"w\"}]}", SD_P_TAINTS },
		{ "toleration of another effect", "\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"}]}", SD_P_TAINTS },
		{ "toleration of everything", "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoExecute\"}]}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"operator\":\"Exists\"}]}", SD_FEASIBLE },
		{ "empty key without Exists tolerates nothing", "\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}," ROOM,
		  "{" ONE ",\"tolerations\":[{\"operator\":\"Equal\"}]}", SD_P_TAINTS },
		{ "node selector", "\"metadata\":{\"labels\":{\"disk\":\"ssd\",\"a\":\"b\"}}," ROOM,
		  "{" ONE ",\"nodeSelector\":{\"disk\":\"ssd\",\"a\":\"b\"}}", SD_FEASIBLE },
		{ "node selector, other value", "\"metadata\":{\"labels\":{\"disk\":\"hdd\"}}," ROOM,
		  "{" ONE ",\"nodeSelector\":{\"disk\":\"ssd\"}}", SD_P_AFFINITY },
		{ "escaped label value", "\"metadata\":{\"labels\":{\"x\":\"s\\u0073d\"}}," ROOM,
		  "{" ONE ",\"nodeSelector\":{\"x\":\"ssd\"}}", SD_FEASIBLE },
		{ "In", "\"metadata\":{\"labels\":{\"z\":\"b\"}}," ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"In\",\"values\":[\"a\",\"b\"]}]}") "}}", SD_FEASIBLE },
		{ "NotIn of an absent label", ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"NotIn\",\"values\":[\"a\"]}]}") "}}", SD_FEASIBLE },
		{ "NotIn", "\"metadata\":{\"labels\":{\"z\":\"a\"}}," ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"NotIn\",\"values\":[\"a\"]}]}") "}}", SD_P_AFFINITY },
		{ "Exists", ROOM, "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"Exists\"}]}") "}}", SD_P_AFFINITY },
		{ "DoesNotExist", ROOM, "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]}") "}}", SD_FEASIBLE },
		{ "Gt", "\"metadata\":{\"labels\":{\"cores\":\"8\"}}," ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Gt\",\"values\":[\"7\"]}]}") "}}", SD_FEASIBLE },
		{ "Lt", "\"metadata\":{\"labels\":{\"cores\":\"8\"}}," ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Lt\",\"values\":[\"8\"]}]}") "}}", SD_P_AFFINITY },
		{ "Gt of a word", "\"metadata\":{\"labels\":{\"cores\":\"many\"}}," ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Gt\",\"values\":[\"7\"]}]}") "}}", SD_P_AFFINITY },
		{ "one of two terms", ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"Exists\"}]},"
		  "{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n\"]}]}") "}}", SD_FEASIBLE },
		{ "matchFields of another node", ROOM,
		  "{" ONE ",\"affinity\":{" NEED("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"m\"]}]}") "}}", SD_P_AFFINITY },
		{ "no terms match nothing", ROOM, "{" ONE ",\"affinity\":{" NEED("") "}}", SD_P_AFFINITY },
		{ "an empty term matches nothing", ROOM, "{" ONE ",\"affinity\":{" NEED("{}") "}}", SD_P_AFFINITY },
		{ "too much cpu", ROOM, "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"4001m\"}}}]}", SD_P_FIT },
		{ "all of the cpu", ROOM, "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"4\"}}}]}", SD_FEASIBLE },
		{ "too much memory", ROOM, "{\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"9Gi\"}}}]}", SD_P_FIT },
		{ "too many gpus", ROOM, "{\"containers\":[{\"resources\":{\"requests\":{\"nvidia.com/gpu\":\"3\"}}}]}", SD_P_FIT },
		{ "an unknown resource", ROOM, "{\"containers\":[{\"resources\":{\"requests\":{\"a.b/c\":\"1\"}}}]}", SD_P_FIT },
		{ "no room for pods", "\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"0\"}}", "{" ONE "}", SD_P_FIT },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sd_pod *p = pod(t[i].spec);

		node("n", t[i].node);
		is_int(sd_filter(p, sd_node_get(&c, text("n")), NULL), t[i].want, "filter: %s", t[i].what);
		pod_free(p);
	}
	sd_node_gone(&c, text("n"));
}

static void test_ports(void)
{
	static const char *const held = "{\"containers\":[{\"ports\":[{\"hostPort\":80,\"hostIP\":\"10.0.0.1\"},{\"hostPort\":53,\"protocol\":\"UDP\"}]}]}";
	static const struct { const char *port; enum sd_plugin want; } t[] = {
		{ "{\"hostPort\":80}", SD_P_PORTS }, { "{\"hostPort\":80,\"hostIP\":\"10.0.0.1\"}", SD_P_PORTS },
		{ "{\"hostPort\":80,\"hostIP\":\"10.0.0.2\"}", SD_FEASIBLE }, { "{\"hostPort\":53}", SD_FEASIBLE },
		{ "{\"hostPort\":53,\"protocol\":\"UDP\",\"hostIP\":\"::1\"}", SD_P_PORTS }, { "{\"containerPort\":80}", SD_FEASIBLE },
	};
	struct sd_pod *first = pod(held), *p;
	char spec[256];

	node("n", ROOM);
	is_int(sd_pod_place(&c, first, text("n")), 0, "a pod with host ports");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(spec, sizeof(spec), "{\"containers\":[{\"ports\":[%s]}]}", t[i].port);
		p = pod(spec);
		is_int(sd_filter(p, sd_node_get(&c, text("n")), NULL), t[i].want, "port %s", t[i].port);
		pod_free(p);
	}
	pod_free(first);
	is_int(sd_node_get(&c, text("n"))->n_ports, 0, "ports are given back");
	sd_node_gone(&c, text("n"));
}

/* ---- reasons --------------------------------------------------------------------------------- */

static void says(const char *spec, const char *want, const char *what)
{
	struct sd_pod *p = pod(spec);
	struct obuf b = OBUF_INIT;
	struct sd_diag d;

	ok(sd_decide(&c, p, &d) == NULL, "no node: %s", what);
	sd_diag_write(&d, p, &b);
	is_str(obuf_cstr(&b), want, "%s", what);
	obuf_done(&b);
	pod_free(p);
}

static void test_messages(void)
{
	says("{" ONE "}", "no nodes available to schedule pods", "an empty cluster");
	node("n1", "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}," ROOM);
	node("n2", ROOM);
	node("n3", ROOM);
	says("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"5\"}}}]}",
	     "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
	     "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.", "a taint and too little cpu");
	node("n2", "\"spec\":{\"unschedulable\":true}," ROOM);
	says("{\"nodeSelector\":{\"a\":\"b\"},\"containers\":[{\"name\":\"c\"}]}",
	     "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), "
	     "1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
	     "three reasons");
	says("{\"preemptionPolicy\":\"Never\",\"nodeSelector\":{\"a\":\"b\"},\"containers\":[{\"name\":\"c\"}]}",
	     "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), "
	     "1 node(s) were unschedulable. preemption: not eligible due to preemptionPolicy=Never.", "no preemption");
	says("{" ONE ",\"affinity\":{" NEED("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n2\"]}]}") "}}",
	     "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
	     "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.", "one node allowed by name");
	sd_node_gone(&c, text("n1"));
	sd_node_gone(&c, text("n2"));
	struct sd_pod *full = pod("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"nvidia.com/gpu\":\"2\"}}}]}");

	sd_pod_place(&c, full, text("n3"));
	says("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Gi\",\"nvidia.com/gpu\":\"1\"}}}]}",
	     "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Insufficient nvidia.com/gpu. "
	     "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.", "several resources");
	pod_free(full);
	sd_node_gone(&c, text("n3"));
}

/* ---- scores ---------------------------------------------------------------------------------- */

static const char *chosen(const char *spec)
{
	static char name[64];
	struct sd_pod *p = pod(spec);
	struct sd_diag d;
	struct sd_node *n = sd_decide(&c, p, &d);

	snprintf(name, sizeof(name), "%.*s", n ? (int)n->name.len : 0, n ? n->name.p : "");
	pod_free(p);
	return name;
}

static void test_scores(void)
{
	struct sd_pod *p = pod("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}}}]}");
	struct sd_pod *heavy = pod("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"1Gi\"}}}]}");

	node("a", ROOM);
	is_int(sd_least_allocated(p->load, sd_node_get(&c, text("a"))), 75, "least allocated: three quarters stay free");
	is_int(sd_balanced(p->load, sd_node_get(&c, text("a"))), 75, "balanced: as it was");
	is_int(sd_balanced(heavy->load, sd_node_get(&c, text("a"))), 65, "balanced: a half and an eighth are worse");
	node("b", ROOM);
	is_int(sd_pod_place(&c, heavy, text("a")), 0, "one pod on a");
	is_str(chosen("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}}}]}"), "b", "the emptier node");
	node("b", "\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]}," ROOM);
	is_str(chosen("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}}}]}"), "a",
	       "PreferNoSchedule weighs more than room");
	is_str(chosen("{\"tolerations\":[{\"operator\":\"Exists\"}],\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}}}]}"),
	       "b", "unless it is tolerated");
	node("b", ROOM);
	node("a", "\"metadata\":{\"labels\":{\"zone\":\"x\"}}," ROOM);
	is_str(chosen("{\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":1,\"preference\":"
		      "{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"x\"]}]}}]}},\"containers\":[{\"name\":\"c\"}]}"),
	       "a", "preferred affinity");
	pod_free(heavy);
	node("a", "\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"images\":[{\"names\":[\"r.io/web@sha256:1\",\"r.io/web:latest\"],\"sizeBytes\":900000000}]}");
	is_str(chosen("{\"containers\":[{\"image\":\"r.io/web\"}]}"), "a", "the node that has the image");
	is_int(omap_count(&c.images), 2, "two names are known");
	node("a", ROOM);
	is_int(omap_count(&c.images), 0, "and forgotten with the last node");
	sd_node_gone(&c, text("a"));
	sd_node_gone(&c, text("b"));
	pod_free(p);
}

static void test_enough(void)
{
	static const struct { uint32_t percent, n, want; } t[] = {
		{ 0, 10, 10 }, { 0, 99, 99 }, { 0, 100, 100 }, { 0, 1000, 420 }, { 0, 5000, 500 }, { 0, 6000, 300 },
		{ 0, 20000, 1000 }, { 30, 1000, 300 }, { 5, 200, 100 }, { 100, 5000, 5000 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		is_int(sd_enough(t[i].percent, t[i].n), t[i].want, "enough of %u at %u%%", t[i].n, t[i].percent);
}

/* Pods of all sizes until nothing fits: no node ever holds more than it has. */
static void test_never_overcommitted(void)
{
	static struct sd_pod *pods[4000];
	uint32_t n = 0, bad = 0, refused = 0, seed = 7;
	struct sd_diag d;
	char name[16], spec[256];

	for (uint32_t i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		node(name, "\"status\":{\"allocatable\":{\"cpu\":\"8\",\"memory\":\"16Gi\",\"pods\":\"30\"}}");
	}
	for (uint32_t i = 0; i < 4000; i++) {
		struct sd_node *to;

		seed = seed * 1664525 + 1013904223;
		snprintf(spec, sizeof(spec), "{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"%um\",\"memory\":\"%uMi\"}}}]}",
			 (seed >> 8) % 1500, (seed >> 20) % 2000);
		pods[n] = pod(spec);
		to = sd_decide(&c, pods[n], &d);
		if (!to) {
			refused++;
			pod_free(pods[n]);
			continue;
		}
		sd_pod_place(&c, pods[n++], to->name);
		if (to->used_cpu_milli > to->alloc_cpu_milli || to->used_memory > to->alloc_memory || to->n_pods > 30)
			bad++;
	}
	is_int(bad, 0, "no node is over-committed (%u placed, %u refused)", n, refused);
	ok(n > 1400 && refused > 0, "and all of them are filled");
	for (uint32_t i = 0; i < n; i++)
		pod_free(pods[i]);
	for (uint32_t i = 0; i < c.n; i++)
		if (c.v[i]->used_cpu_milli || c.v[i]->used_memory || c.v[i]->n_pods || c.v[i]->nz_memory)
			bad++;
	is_int(bad, 0, "everything is given back");
}

/* Every allocation fails once: what it was for is undone, and nothing leaks or is counted twice. */
static void test_faults(void)
{
	static const char spec[] = "{\"nodeSelector\":{\"a\":\"\\u0062\"},\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}],\"affinity\":{"
		NEED("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\"]}],\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n\"]}]}")
		"},\"containers\":[{\"image\":\"i\",\"ports\":[{\"hostPort\":80,\"hostIP\":\"10.0.0.1\"}],\"resources\":{\"requests\":{\"cpu\":\"1\",\"x.y/z\":\"1\"}}}]}";
	static const char json[] = "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]},"
		"\"status\":{\"allocatable\":{\"cpu\":\"4\",\"pods\":\"9\",\"x.y/z\":\"4\"},\"images\":[{\"names\":[\"i:latest\"],\"sizeBytes\":5}]}";
	uint32_t tries = 0, bad = 0, done = 0;

	for (long nth = 1; !done && nth < 200; nth++) {
		struct sd_pod p = { .uid = NULL };
		struct sd_cluster k;
		struct sd_node *to;
		struct sd_diag d;

		sd_cluster_init(&k, 1);
		olist_init(&p.on_node);
		olist_init(&p.on_nominated);
		olist_init(&p.waiting);
		otap_fail_nth(nth);
		if (sd_node_set(&k, text("n"), text(json)) == 0 && sd_spec_new(text(spec), &p.spec) == 0 &&
		    sd_load_new(text(spec), text("p"), &p.load) == 0) {
			to = sd_decide(&k, &p, &d);
			if (!to && !d.err)
				bad++;
			else if (!to)
				; /* no memory to decide */
			else if (sd_pod_place(&k, &p, to->name))
				bad += to->used_cpu_milli != 0 || to->n_pods != 0;
			else
				done = !otap_faulted();
		}
		otap_fail_nth(0);
		tries++;
		sd_pod_unplace(&k, &p);
		sd_spec_free(p.spec);
		omem_free(p.load);
		sd_cluster_done(&k);
	}
	ok(done && tries > 10, "each of %u allocations fails once", tries - 1);
	is_int(bad, 0, "and nothing goes wrong");
}

int main(void)
{
	sd_cluster_init(&c, 42);
	test_requests();
	test_ext_and_ports();
	test_absurd();
	test_filters();
	test_ports();
	test_messages();
	test_scores();
	test_enough();
	test_never_overcommitted();
	test_faults();
	sd_cluster_done(&c);
	return done_testing();
}
