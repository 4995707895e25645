/*
 * nodes.c - how fast a simulated cluster is: a control plane and N nodes, P pods on each.
 *
 *	nodes [N [P]]		default 100 3
 *
 * Two phases, each one line: until every pod runs, and a minute in which nothing is asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cluster/machine.h"
#include "sim.h"

struct bench {
	struct sim	*w;
	struct sim_proc	*cp;
	uint32_t	nodes;
	uint32_t	pods;		/* wanted */
	uint64_t	next_look;
	bool		done;
	bool		made;
};

static const struct sim_module control[] = {
	{ "storage/lmdb", NULL, "path=$dir/disk/data.mdb;map_mb=256" },
	{ "apiserver", NULL, "cert=$pki/server.crt;key=$pki/server.key;client_ca=$pki/ca.crt;sa_key=$pki/sa.key" },
	{ "scheduler/default", NULL, NULL },
	{ "controllers/namespace", NULL, NULL },
	{ "controllers/garbage-collector", NULL, NULL },
	{ "controllers/serviceaccount", NULL, "ca_file=$pki/ca.crt" },
	{ "controllers/replicaset", NULL, NULL },
	{ "controllers/deployment", NULL, NULL },
	{ "controllers/node-lifecycle", NULL, NULL },
	{ "controllers/taint-eviction", NULL, NULL },
	{ "controllers/pod-garbage-collector", NULL, NULL },
};

static uint64_t real_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SIM_S + (uint64_t)ts.tv_nsec;
}

static uint32_t count(const struct bench *b, const char *resource, const char *what)
{
	const struct orlop_host *h = sim_host(b->cp);
	struct orlop_resource *r;
	struct orlop_snapshot *s;
	struct orlop_iter *it;
	struct orlop_object *o;
	uint32_t n = 0;

	if (!h || h->resource_open(h, resource, &r, NULL))
		return 0;
	if (h->snapshot_open(r, &s) == 0) {
		if (h->iter_open(s, NULL, &it) == 0) {
			while ((o = h->iter_next(it)) != NULL)
				n += memmem(o->json.p, o->json.len, what, strlen(what)) != NULL;
			h->iter_close(it);
		}
		h->snapshot_close(s);
	}
	h->resource_close(r);
	return n;
}

static void answered(void *arg, int32_t status, uint32_t code, struct orlop_bytes body, uint64_t rev)
{
	(void)arg;
	(void)rev;
	if (status || code != 201)
		fprintf(stderr, "# %d %u %.*s\n", status, code, (int)body.len, body.p);
}

/* Deployments of 30 each. */
static void make_pods(struct bench *b)
{
	for (uint32_t n = 0; n * 30 < b->pods; n++) {
		uint32_t replicas = b->pods - n * 30 < 30 ? b->pods - n * 30 : 30;
		struct sim_request r = { .verb = "create", .resource = "deployments.apps", .ns = "default" };
		char body[500];

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"d%u\"},\"spec\":{\"replicas\":%u,"
			       "\"selector\":{\"matchLabels\":{\"a\":\"d%u\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"d%u\"}},"
			       "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"web:1\"}]}}}}", n, replicas, n, n);
		r.body = body;
		sim_api(b->w, b->cp, &r, answered, NULL);
	}
}

static void look(void *arg)
{
	struct bench *b = arg;

	if (!b->made && sim_ready(b->cp) &&
	    count(b, "nodes", "\"reason\":\"KubeletReady\"") == b->nodes && count(b, "serviceaccounts", "\"default\"") > 0) {
		b->made = true;
		make_pods(b);
	}
	if (b->made && count(b, "pods", "\"phase\":\"Running\"") == b->pods)
		b->done = true;
	else
		(void)sim_after(b->w, SIM_S / 2, look, b);
}

static bool is_done(void *arg)
{
	return ((struct bench *)arg)->done;
}

static void line(const struct bench *b, const char *phase, uint64_t now0, uint64_t steps0, uint64_t real0)
{
	double virt = (double)(sim_now(b->w) - now0) / 1e9;
	double real = (double)(real_ns() - real0) / 1e9;
	uint64_t steps = sim_steps(b->w) - steps0;
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	printf("{\"bench\":\"simulation\",\"command\":\"tests/sim/bench/nodes %u %u\",\"phase\":\"%s\",\"nodes\":%u,\"pods\":%u,"
	       "\"virtual_s\":%.2f,\"real_s\":%.3f,\"steps\":%llu,\"cluster_seconds_per_second\":%.2f,\"steps_per_second\":%.0f}\n",
	       b->nodes, b->pods / b->nodes, phase, b->nodes, b->pods, virt, real, (unsigned long long)steps, virt / real,
	       (double)steps / real);
}

int main(int argc, char **argv)
{
	struct bench b = { .nodes = argc > 1 ? (uint32_t)atoi(argv[1]) : 100 };
	uint64_t now0;
	uint64_t steps0;
	uint64_t real0 = real_ns();

	b.pods = b.nodes * (argc > 2 ? (uint32_t)atoi(argv[2]) : 3);
	if (!b.nodes || sim_new(&(struct sim_config){ .seed = 1 }, &b.w))
		return 2;
	b.cp = sim_proc_add(b.w, &(struct sim_proc_spec){ .name = "cp", .modules = control,
			    .n_modules = sizeof(control) / sizeof(control[0]) });
	for (uint32_t i = 0; i < b.nodes; i++) {
		char name[20];
		char kubelet[240];
		char cni[60];
		struct sim_module node[] = { { "sim:runtime", NULL, NULL }, { "sim:cni", NULL, cni }, { "kubelet", NULL, kubelet } };
		struct sim_proc *p;

		(void)snprintf(name, sizeof(name), "n%u", i);
		(void)snprintf(kubelet, sizeof(kubelet), "node_name=%s;node_ip=192.0.%u.%u;root=$dir/kubelet;log_dir=$dir/log;cgroups_per_qos=false;eviction_hard=",
			       name, i / 250, i % 250 + 1);
		(void)snprintf(cni, sizeof(cni), "subnet=10.%u.%u.0/24", 1 + i / 250, i % 250);
		p = sim_proc_add(b.w, &(struct sim_proc_spec){ .name = name, .modules = node, .n_modules = 3,
				 .storage_at = "cp", .api_at = "cp" });
		(void)machine_new(b.w, p);
	}
	look(&b);
	if (sim_run(b.w, is_done, &b, 600 * SIM_S, 0) != 1) {
		printf("# not all pods run: %u nodes, %u of %u pods\n", count(&b, "nodes", "KubeletReady"),
		       count(&b, "pods", "\"phase\":\"Running\""), b.pods);
		return 1;
	}
	line(&b, "until all run", 0, 0, real0);
	now0 = sim_now(b.w);
	steps0 = sim_steps(b.w);
	real0 = real_ns();
	(void)sim_run(b.w, NULL, NULL, now0 + 60 * SIM_S, 0);
	line(&b, "a minute of nothing", now0, steps0, real0);
	sim_free(b.w);
	return 0;
}
