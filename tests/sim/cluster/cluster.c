/*
 * cluster.c - a cluster from a seed: what it is made of, a storm, and the calm after it.
 *
 *	cluster --seed 7		one seed, with its trace
 *	cluster --seeds 1-100		many, each in a process of its own
 *	  --quiet			only what fails, and the sum
 *	  --expect			end with 0 at the first seed that fails, with 1 if none does
 *	  --state			and what is there when a seed fails
 *	  --flavour NAME		all of one kind: any calm power nodes behind replace runtime (default: drawn)
 *	  --steps N			give up a seed after so many (default: 3 million)
 *	  --seconds N			real time for all of them
 */
#include "cluster.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/omem.h"

#define START_S		120u	/* virtual: until everything is up */
#define SETTLE_S	1500u	/* after the storm */
#define SEED_CPU_S	120	/* a seed that computes longer hangs */
#define SEED_REAL_S	1800u	/* and one that waits longer; a busy machine may let it wait long */

/* ---- small things ------------------------------------------------------------------------------------------ */

struct ojson *cj(const char *fmt, ...)
{
	struct ojson *j = NULL;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (ojson_parse(text, strlen(text), &j, NULL)) {
		fprintf(stderr, "not JSON: %s\n", text);
		abort();
	}
	free(text);
	return j;
}

const char *cj_text(const struct ojson *j, const char *dotted)
{
	return ojson_cstr(ojson_at_dotted(j, dotted), "");
}

int64_t cj_int(const struct ojson *j, const char *dotted, int64_t def)
{
	return ojson_i64(ojson_at_dotted(j, dotted), def);
}

bool cj_condition(const struct ojson *j, const char *type, const char *status)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(j, "status", "conditions")) {
		if (ojson_string_is(ojson_get(c, "type"), type))
			return ojson_string_is(ojson_get(c, "status"), status);
	}
	return false;
}

bool version_alive(const struct version *v)
{
	return v && v->obj && !ojson_get(ojson_get(v->obj, "metadata"), "deletionTimestamp");
}

const char *version_uid(const struct version *v)
{
	return v && v->obj ? ojson_get_cstr(ojson_get(v->obj, "metadata"), "uid", "") : "";
}

int64_t milli_cpu(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	return *end == 'm' ? (int64_t)v : (int64_t)(v * 1000);
}

bool cluster_murky(const struct cluster *c)
{
	return sim_now(c->w) < c->murky_until;
}

const struct orlop_host *cluster_reader(struct cluster *c)
{
	uint32_t i;

	for (i = 0; i < c->n_members; i++)
		if (sim_running(c->members[i].p) && sim_host(c->members[i].p))
			return sim_host(c->members[i].p);
	return NULL;
}

struct member *cluster_api(struct cluster *c)
{
	struct member *v[CLUSTER_PROCS];
	uint32_t n = 0;
	uint32_t i;

	for (i = 0; i < c->n_members; i++)
		if (c->members[i].role & ROLE_API)
			v[n++] = &c->members[i];
	return v[sim_below(c->w, n)];
}

/* ---- what it is made of -------------------------------------------------------------------------------------- */

static const struct sim_module store_modules[] = {
	{ "storage/lmdb", NULL, "path=$dir/data.mdb;map_mb=64" },
};
static const struct sim_module api_modules[] = {
	{ "apiserver", NULL, "listen=127.0.0.1:6443;cert=$pki/server.crt;key=$pki/server.key;client_ca=$pki/ca.crt;"
			     "sa_key=$pki/sa.key" },
};
static const struct sim_module shared_modules[] = {
	{ "apiserver", NULL, "listen=127.0.0.1:6443;cert=$pki/server.crt;key=$pki/server.key;client_ca=$pki/ca.crt;"
			     "sa_key=$pki/sa.key;shared_storage=true" },
};
static const struct sim_module control_modules[] = {
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

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct member *member_add(struct cluster *c, const char *name, uint32_t role, const struct sim_module *v,
				 uint32_t n, const char *storage_at, const char *api_at)
{
	struct member *m = &c->members[c->n_members];
	struct sim_proc_spec spec = { .name = name, .modules = v, .n_modules = n, .storage_at = storage_at, .api_at = api_at,
				      .loops = role & ROLE_API && sim_chance(c->w, 300) ? 2 : 1,
				      .loss_percent = c->k.loss, .dup_percent = c->k.loss, .reorder_percent = c->k.loss,
				      .cpus = c->k.tight ? 2 : 4 };

	snprintf(m->name, sizeof(m->name), "%s", name);
	m->c = c;
	m->role = role;
	m->p = sim_proc_add(c->w, &spec);
	if (!m->p)
		abort();
	if (role & ROLE_NODE) {
		m->m = machine_new(c->w, m->p);
		m->m->on_stop = pods_stopped;
		m->m->on_stop_arg = m;
	}
	if (role & ROLE_STORE)
		c->store = m;
	c->n_members++;
	return m;
}

static void add(struct sim_module *list, uint32_t *n, const struct sim_module *v, size_t count)
{
	memcpy(list + *n, v, count * sizeof(*v));
	*n += (uint32_t)count;
}

static void build(struct cluster *c)
{
	struct sim_module list[24];
	char name[16];
	uint32_t n = 0;
	uint32_t i;

	if (c->k.separate) {
		(void)member_add(c, "store", ROLE_STORE, store_modules, COUNT(store_modules), NULL, NULL);
		for (i = 0; i < c->k.n_apis; i++) {
			snprintf(name, sizeof(name), "api%u", i + 1);
			(void)member_add(c, name, ROLE_API, shared_modules, 1, "store", NULL);
		}
		(void)member_add(c, "ctl", ROLE_CONTROL, control_modules, COUNT(control_modules), "store", "api1");
	} else {
		add(list, &n, store_modules, COUNT(store_modules));
		add(list, &n, api_modules, COUNT(api_modules));
		add(list, &n, control_modules, COUNT(control_modules));
		(void)member_add(c, "cp", ROLE_STORE | ROLE_API | ROLE_CONTROL, list, n, NULL, NULL);
	}
	for (i = 0; i < c->k.n_nodes; i++) {
		char kubelet[240];
		char cni[60];
		char api[16] = "cp";
		struct sim_module node[3] = { { "sim:runtime", NULL, NULL }, { "sim:cni", NULL, cni }, { "kubelet", NULL, kubelet } };

		snprintf(name, sizeof(name), "n%u", i + 1);
		snprintf(kubelet, sizeof(kubelet), "node_name=%s;node_ip=192.0.2.%u;root=$dir/kubelet;log_dir=$dir/log;cgroups_per_qos=false;eviction_hard=", name, i + 1);
		snprintf(cni, sizeof(cni), "subnet=10.1.%u.0/26", i + 1);
		if (c->k.separate)
			snprintf(api, sizeof(api), "api%u", 1 + i % c->k.n_apis);
		(void)member_add(c, name, ROLE_NODE, node, 3, c->k.separate ? "store" : "cp", api);
	}
}

/* @flavour N_FLAVOURS: drawn, too. */
static void knobs_draw(struct cluster *c, uint32_t flavour)
{
	struct knobs *k = &c->k;
	struct sim *w = c->w;

	k->n_nodes = (uint32_t)sim_between(w, 1, 4);
	k->separate = sim_chance(w, 400);
	k->n_apis = k->separate ? (sim_chance(w, 600) ? 3 : 1) : 1;
	k->faults_s = sim_chance(w, 250) ? 0 : (uint32_t)sim_between(w, 2, 25);
	k->ops_ms = (uint32_t)sim_between(w, 100, 1500);
	k->storm_ms = (uint32_t)sim_between(w, 8000, sim_chance(w, 100) ? 120000 : 40000);
	k->power = sim_chance(w, 600);
	k->crash = sim_chance(w, 700);
	k->cut = sim_chance(w, 500);
	k->pause = sim_chance(w, 500);
	k->replace = sim_chance(w, 500);
	k->jump = sim_chance(w, 200);
	k->disk = sim_chance(w, 200);
	k->kill_node = k->n_nodes > 2 && sim_chance(w, 300);
	k->compact = sim_chance(w, 300);
	k->tight = sim_chance(w, 400);
	k->loss = sim_chance(w, 500) ? (uint32_t)sim_between(w, 1, 15) : 0;
	k->flavour = sim_chance(w, 400) ? (uint32_t)sim_below(w, N_DRAWN_FLAVOURS) : FLAVOUR_ANY;
	if (flavour < N_FLAVOURS)
		k->flavour = flavour;
	if (k->flavour != FLAVOUR_ANY) {
		k->power = k->crash = k->cut = k->pause = k->replace = k->jump = k->disk = k->kill_node = k->compact = false;
		k->storm_ms = (uint32_t)sim_between(w, 8000, 20000);
		k->ops_ms = (uint32_t)sim_between(w, 150, 600);
		k->faults_s = 1;
	}
	switch (k->flavour) {
	case FLAVOUR_CALM:
		k->faults_s = 0;
		k->tight = sim_chance(w, 700);
		break;
	case FLAVOUR_POWER:
		k->power = true;
		k->n_nodes = 1;
		break;
	case FLAVOUR_NODES:
		k->power = k->kill_node = true;
		k->n_nodes = 3;
		k->storm_ms = (uint32_t)sim_between(w, 60000, 100000);
		k->ops_ms = (uint32_t)sim_between(w, 1000, 3000);
		k->separate = false;
		k->faults_s = 10;
		break;
	case FLAVOUR_BEHIND:
		k->cut = k->compact = true;
		break;
	case FLAVOUR_REPLACE:
		k->replace = true;
		break;
	case FLAVOUR_RUNTIME:
		k->crash = k->power = true;
		k->n_nodes = (uint32_t)sim_between(w, 1, 2);
		k->separate = false;
		k->faults_s = 2;
		break;
	default:
		break;
	}
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static void step(void *arg)
{
	struct cluster *c = arg;

	struct member *m = &c->members[sim_steps(c->w) % c->n_members];

	if (m->role != ROLE_STORE)	/* it has no cache worth the name: nobody registers resources there */
		watch_step(m);
}

static void watch_over(void *arg)
{
	struct cluster *c = arg;

	if (c->ending)
		return;
	faults_watch(c);
	(void)sim_after(c->w, 500 * SIM_MS, watch_over, c);
}

static bool is_up(void *arg)
{
	struct cluster *c = arg;
	uint32_t i;

	for (i = 0; i < c->n_members; i++) {
		const struct version *v;

		if (!sim_ready(c->members[i].p))
			return false;
		if (!(c->members[i].role & ROLE_NODE))
			continue;
		v = truth_get(c, "nodes", "", c->members[i].name);
		if (!v || !v->obj || !cj_condition(v->obj, "Ready", "True"))
			return false;
	}
	return true;
}

static void look(void *arg)
{
	struct cluster *c = arg;

	if (settle_look(c))
		c->settled = true;
	else
		(void)sim_after(c->w, SIM_S, look, c);
}

static bool is_settled(void *arg)
{
	return ((struct cluster *)arg)->settled;
}

static bool all_ended(void *arg)
{
	struct cluster *c = arg;
	uint32_t i;

	for (i = 0; i < c->n_members; i++)
		if (sim_running(c->members[i].p))
			return false;
	return true;
}

static void storm(struct cluster *c, uint64_t max_steps)
{
	uint32_t i;

	for (i = 0; i < c->n_members; i++) {
		struct machine *m = c->members[i].m;

		if (!m || !c->k.faults_s)
			continue;
		m->op_fail = sim_chance(c->w, 500) ? (uint32_t)sim_below(c->w, 50) : 0;
		m->crash = sim_chance(c->w, 500) ? (uint32_t)sim_below(c->w, 100) : 0;
		m->slow = (uint32_t)sim_below(c->w, 50);
		if (c->k.flavour == FLAVOUR_RUNTIME)
			m->op_fail = (uint32_t)sim_between(c->w, 50, 150);
	}
	if (c->k.cut)
		sim_net(c->w)->reset = (uint32_t)sim_below(c->w, 10);
	c->n_hard += sim_net(c->w)->reset;
	c->storm = true;
	load_start(c);
	faults_start(c);
	(void)sim_run(c->w, NULL, NULL, sim_now(c->w) + c->k.storm_ms * SIM_MS, max_steps);
	c->storm = false;
	load_stop(c);
	faults_stop(c);
	faults_mend(c);
	sim_trace(c->w, "calm");
}

static void calm(struct cluster *c, uint64_t max_steps)
{
	look(c);
	if (sim_run(c->w, is_settled, c, sim_now(c->w) + SETTLE_S * SIM_S, max_steps) == 0) {
		sim_fail(c->w, "never-settles", "%s", c->unsettled[0] ? c->unsettled : "steps are over");
		return;
	}
	if (sim_failure(c->w))
		return;
	ledger_end(c);
	load_end(c);
}

static void finish(struct cluster *c)
{
	uint32_t i;

	c->ending = true;
	for (i = 0; i < c->n_members; i++)
		if (sim_running(c->members[i].p))
			sim_stop(c->members[i].p);
	if (sim_run(c->w, all_ended, c, sim_now(c->w) + 120 * SIM_S, 500000) == 0)
		for (i = 0; i < c->n_members; i++)
			if (sim_running(c->members[i].p))
				sim_fail(c->w, "does-not-end", "%s", c->members[i].name);
}

static void print_line(void *arg, const char *line)
{
	(void)arg;
	printf("    %s\n", line);
}

/* What is there at the end of a run that failed. */
static void print_version(void *arg, const struct version *v)
{
	char *text = ojson_text(v->obj, 0, NULL);

	(void)arg;
	printf("    %s at %llu %s\n", v->key, (unsigned long long)v->rev, text);
	omem_free(text);
}

static void print_state(struct cluster *c)
{
	static const char *const kinds[] = { "nodes", "deployments.apps", "replicasets.apps", "pods", "namespaces", "configmaps" };
	const struct container *ct;
	const struct sandbox *s;
	uint32_t i;

	for (i = 0; i < COUNT(kinds); i++)
		truth_each(c, kinds[i], print_version, NULL);
	for (i = 0; i < c->n_members; i++) {
		if (!c->members[i].m)
			continue;
		for (s = c->members[i].m->sandboxes; s; s = s->next)
			printf("    %s: sandbox %s of %s, %s, address %s\n", c->members[i].name, s->id, s->uid,
			       s->ready ? "ready" : "not ready", s->ip);
		for (ct = c->members[i].m->containers; ct; ct = ct->next)
			printf("    %s: container %s in %s of %s, state %d\n", c->members[i].name, ct->id, ct->sandbox, ct->uid,
			       (int)machine_container_state(c->members[i].m, ct));
	}
}

struct options {
	uint64_t	from;
	uint64_t	to;
	uint64_t	max_steps;
	uint32_t	trace;
	uint32_t	lines;
	uint32_t	seconds;
	uint32_t	flavour;
	bool		quiet;
	bool		expect;
	bool		state;
};

static uint64_t real_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* 0: fine, 1: failed. */
static int seed_run(uint64_t seed, const struct options *o)
{
	struct sim_config cfg = { .seed = seed, .trace = o->trace, .keep_lines = o->lines };
	struct cluster c = { .k = { .n_nodes = 0 } };
	uint64_t began = real_ms();
	int e = sim_new(&cfg, &c.w);
	const struct knobs *k = &c.k;

	if (e) {
		printf("seed %llu: no world: %s\n", (unsigned long long)seed, strerror(-e));
		return 1;
	}
	omap_init(&c.released);
	knobs_draw(&c, o->flavour);
	sim_trace(c.w, "flavour=%u nodes=%u apis=%u separate=%d faults_s=%u ops_ms=%u ms=%u power=%d crash=%d cut=%d pause=%d replace=%d "
		  "jump=%d disk=%d kill=%d compact=%d tight=%d loss=%u", k->flavour, k->n_nodes, k->n_apis, k->separate, k->faults_s, k->ops_ms,
		  k->storm_ms, k->power, k->crash, k->cut, k->pause, k->replace, k->jump, k->disk, k->kill_node, k->compact, k->tight,
		  k->loss);
	build(&c);
	ledger_start(&c);
	truth_start(&c);
	sim_on_step(c.w, step, &c);
	watch_over(&c);
	if (sim_run(c.w, is_up, &c, START_S * SIM_S, o->max_steps) == 0)
		sim_fail(c.w, "never-up", "after %u s", START_S);
	if (!sim_failure(c.w))
		storm(&c, o->max_steps);
	if (!sim_failure(c.w))
		calm(&c, o->max_steps);
	if (!sim_failure(c.w))
		finish(&c);
	if (sim_failure(c.w)) {
		printf("seed %llu: FAILED %s\n", (unsigned long long)seed, sim_failure(c.w));
		if (!o->quiet && !o->trace)
			sim_last(c.w, print_line, NULL);
		if (o->state)
			print_state(&c);
	}
	if (!o->quiet || sim_failure(c.w))
		printf("seed %llu: %s steps=%llu seconds=%llu requests=%llu versions=%llu seen=%llu faults=%llu hash=%016llx ms=%llu\n",
		       (unsigned long long)seed, sim_failure(c.w) ? "failed" : "ok", (unsigned long long)sim_steps(c.w),
		       (unsigned long long)(sim_now(c.w) / SIM_S), (unsigned long long)c.n_requests,
		       (unsigned long long)c.n_versions, (unsigned long long)c.n_changes, (unsigned long long)c.n_faults,
		       (unsigned long long)sim_hash(c.w), (unsigned long long)(real_ms() - began));
	fflush(stdout);
	e = sim_failure(c.w) != NULL;
	sim_free(c.w);
	return e;
}

/* In a child of its own: a crash of what is simulated is one of ours. */
static int seed_fork(uint64_t seed, const struct options *o)
{
	const struct itimerval cpu = { .it_value.tv_sec = SEED_CPU_S };
	pid_t pid;
	int st;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		alarm(SEED_REAL_S);
		(void)setitimer(ITIMER_PROF, &cpu, NULL);
		_exit(seed_run(seed, o));
	}
	while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(st))
		printf("seed %llu: FAILED %s (signal %d)\n", (unsigned long long)seed,
		       WTERMSIG(st) == SIGALRM || WTERMSIG(st) == SIGPROF ? "hangs" : "crash", WTERMSIG(st));
	return !(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static uint32_t flavour_named(const char *name)
{
	static const char *const names[] = { "any", "calm", "power", "nodes", "behind", "replace", "runtime" };
	uint32_t i;

	for (i = 0; i < N_FLAVOURS && strcmp(name, names[i]); i++)
		;
	return i;
}

int main(int argc, char **argv)
{
	struct options o = { .from = 1, .to = 0, .max_steps = 3000000, .lines = 60, .flavour = N_FLAVOURS };
	uint64_t began = real_ms();
	uint64_t seed;
	uint64_t failed = 0;
	uint64_t run = 0;
	int i;

	for (i = 1; i < argc; i++) {
		const char *v = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--seed")) {
			o.from = o.to = number(v);
			o.trace = 1;
			i++;
		} else if (!strcmp(argv[i], "--seeds")) {
			o.from = number(v);
			o.to = strchr(v, '-') ? number(strchr(v, '-') + 1) : o.from;
			i++;
		} else if (!strcmp(argv[i], "--steps")) {
			o.max_steps = number(v);
			i++;
		} else if (!strcmp(argv[i], "--seconds")) {
			o.seconds = (uint32_t)number(v);
			i++;
		} else if (!strcmp(argv[i], "--lines")) {
			o.lines = (uint32_t)number(v);
			i++;
		} else if (!strcmp(argv[i], "--quiet")) {
			o.quiet = true;
		} else if (!strcmp(argv[i], "--no-trace")) {
			o.trace = 0;
		} else if (!strcmp(argv[i], "--every-step")) {
			o.trace = 2;
		} else if (!strcmp(argv[i], "--flavour")) {
			o.flavour = flavour_named(v);
			i++;
		} else if (!strcmp(argv[i], "--state")) {
			o.state = true;
		} else if (!strcmp(argv[i], "--expect")) {
			o.expect = true;
		} else {
			fprintf(stderr, "usage: cluster --seed N | --seeds A-B [--quiet] [--no-trace] [--every-step] [--expect] "
				"[--flavour NAME] [--steps N] [--seconds N] [--state] [--lines N]\n");
			return 2;
		}
	}
	if (o.from == o.to && !o.expect && o.trace)
		return seed_run(o.from, &o);
	for (seed = o.from; seed <= o.to; seed++) {
		if (o.seconds && real_ms() - began > o.seconds * 1000ull)
			break;
		run++;
		failed += seed_fork(seed, &o) != 0;
		if (failed && o.expect)
			break;
	}
	printf("%llu seeds, %llu failed, %llu ms\n", (unsigned long long)run, (unsigned long long)failed,
	       (unsigned long long)(real_ms() - began));
	return o.expect ? !failed : failed != 0;
}
