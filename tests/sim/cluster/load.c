/*
 * load.c - what clients do to the cluster: they make, change, scale, roll out, undo and delete; they write
 * against each other, ask for what must be refused, taint, cordon and drain nodes.
 *
 * What is there is looked up in the history, late as a client's view is.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/msg.h>
#include <orlop/storage.h>

#define N_NS		3u
#define PICK_MAX	64u
#define STRATEGIC	"application/strategic-merge-patch+json"
#define MERGE		"application/merge-patch+json"

struct load {
	struct cluster	*c;
	bool		stopped;
	uint32_t	names;
	uint64_t	counted;	/* acknowledged increments */
	uint64_t	maybe;		/* of unknown outcome */
	uint32_t	open;		/* of them under way */
	uint32_t	calm_step;
};

static uint64_t below(struct load *l, uint64_t n)
{
	return sim_below(l->c->w, n);
}

/* ---- choosing ---------------------------------------------------------------------------------------------- */

struct pick {
	struct load	*l;
	const struct version *v[PICK_MAX];
	uint32_t	n;
	const char	*prefix;
};

static void pick_one(void *arg, const struct version *v)
{
	struct pick *p = arg;

	if (!version_alive(v) || (p->prefix && strncmp(v->name, p->prefix, strlen(p->prefix))))
		return;
	if (p->n < PICK_MAX)
		p->v[p->n++] = v;
	else
		p->v[below(p->l, PICK_MAX)] = v;
}

static const struct version *pick(struct load *l, const char *resource, const char *prefix)
{
	struct pick p = { .l = l, .prefix = prefix };

	truth_each(l->c, resource, pick_one, &p);
	return p.n ? p.v[below(l, p.n)] : NULL;
}

static uint32_t count(struct load *l, const char *resource, const char *prefix)
{
	struct pick p = { .l = l, .prefix = prefix };

	truth_each(l->c, resource, pick_one, &p);
	return p.n;
}

static void send(struct load *l, const char *verb, const char *resource, const char *ns, const char *name,
		 const char *type, struct ojson *take_body)
{
	ledger_send(l->c, NULL, verb, resource, ns, name, NULL, type, take_body, NULL, NULL);
}

static const char *ns_of(struct load *l)
{
	static const char *const names[N_NS] = { "blue", "green", "red" };

	return names[below(l, N_NS)];
}

/* ---- workloads ----------------------------------------------------------------------------------------------- */

static struct ojson *template(struct load *l, const char *app, const char *image)
{
	static const char *const cpus[] = { "100m", "250m", "500m", "1" };

	return cj("{\"metadata\":{\"labels\":{\"app\":\"%s\"}},\"spec\":{\"terminationGracePeriodSeconds\":%d,\"containers\":[{"
		  "\"name\":\"c\",\"image\":\"%s\",\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}],\"tolerations\":["
		  "{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
		  "\"tolerationSeconds\":%d},{\"key\":\"sim/soft\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
		  "\"tolerationSeconds\":60}]}}",
		  app, (int)below(l, 20), image, cpus[below(l, l->c->k.tight ? 4 : 2)], (int)below(l, 60));
}

static const char *image(struct load *l)
{
	static const char *const good[] = { "app:1", "app:2", "app:3", "other:1", "slow:1" };
	static const char *const poor[] = { "crash:1", "missing:1" };

	return below(l, 12) ? good[below(l, 5)] : poor[below(l, 2)];
}

static void deployment_create(struct load *l)
{
	static const char *const bounds[] = { "0", "1", "2", "\"25%\"", "\"50%\"" };
	uint32_t surge = (uint32_t)below(l, 5);
	uint32_t gone = (uint32_t)below(l, 5);
	char name[24];
	struct ojson *d;

	if (count(l, "deployments.apps", NULL) > 5)
		return;
	snprintf(name, sizeof(name), "d%u", (unsigned)below(l, 5));
	if (!surge && !gone)
		surge = 1;
	d = cj("{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,"
	       "\"selector\":{\"matchLabels\":{\"app\":\"%s\"}},\"minReadySeconds\":%d,\"strategy\":{\"type\":\"RollingUpdate\","
	       "\"rollingUpdate\":{\"maxSurge\":%s,\"maxUnavailable\":%s}}}}",
	       name, (int)sim_between(l->c->w, 0, 5), name, below(l, 3) ? 0 : (int)below(l, 5), bounds[surge], bounds[gone]);
	if (!below(l, 6))
		(void)ojson_set(ojson_get(d, "spec"), "strategy", cj("{\"type\":\"Recreate\"}"));
	(void)ojson_set(ojson_get(d, "spec"), "template", template(l, name, image(l)));
	send(l, "create", "deployments.apps", ns_of(l), NULL, NULL, d);
}

static void deployment_change(struct load *l)
{
	const struct version *v = pick(l, "deployments.apps", NULL);
	struct ojson *p;

	if (!v)
		return;
	switch (below(l, 6)) {
	case 0:
	case 1:
		p = cj("{\"spec\":{\"replicas\":%d}}", (int)below(l, 6));
		break;
	case 2:
	case 3:
		p = cj("{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}}}", image(l));
		break;
	case 4:
		p = cj("{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"restartedAt\":\"%u\"}}}}}", ++l->names);
		break;
	default:
		p = cj("{\"spec\":{\"paused\":%s}}", below(l, 3) ? "false" : "true");
	}
	send(l, "patch", "deployments.apps", v->ns, v->name, STRATEGIC, p);
}

static const char *propagation(struct load *l)
{
	static const char *const policies[] = { "Background", "Background", "Foreground" };

	return policies[below(l, 3)];
}

static void drop(struct load *l, const char *resource, const char *prefix)
{
	const struct version *v = pick(l, resource, prefix);

	if (v)
		send(l, "delete", resource, v->ns, v->name, NULL, cj("{\"propagationPolicy\":\"%s\"}", propagation(l)));
}

static void set_create(struct load *l)
{
	char name[24];
	struct ojson *rs;

	if (count(l, "replicasets.apps", "rs") > 3)
		return;
	snprintf(name, sizeof(name), "rs%u", (unsigned)below(l, 4));
	rs = cj("{\"kind\":\"ReplicaSet\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,"
		"\"selector\":{\"matchLabels\":{\"app\":\"%s\"}}}}", name, (int)below(l, 4), name);
	(void)ojson_set(ojson_get(rs, "spec"), "template", template(l, name, "app:1"));
	send(l, "create", "replicasets.apps", ns_of(l), NULL, NULL, rs);
}

static void set_scale(struct load *l)
{
	const struct version *v = pick(l, "replicasets.apps", "rs");

	if (v)
		send(l, "patch", "replicasets.apps", v->ns, v->name, MERGE, cj("{\"spec\":{\"replicas\":%d}}", (int)below(l, 4)));
}

static void pod_create(struct load *l)
{
	struct ojson *p = template(l, "bare", "app:1");

	if (count(l, "pods", "bare-") > 6) {
		ojson_unref(p);
		return;
	}
	(void)ojson_set_cstr(p, "kind", "Pod");
	(void)ojson_set_cstr(p, "apiVersion", "v1");
	(void)ojson_set_cstr(ojson_get(p, "metadata"), "generateName", "bare-");
	send(l, "create", "pods", ns_of(l), NULL, NULL, p);
}

/* ---- what must be refused --------------------------------------------------------------------------------------- */

struct refusal {
	struct cluster	*c;
	char		key[200];
};

static void must_refuse(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct refusal *r = arg;

	(void)body;
	if (!status && code < 300)
		sim_fail(r->c->w, "precondition-ignored", "%s was deleted at %llu with the uid of another", r->key,
			 (unsigned long long)rev);
	free(r);
}

static void pod_delete(struct load *l)
{
	const struct version *v = pick(l, "pods", NULL);
	struct refusal *r;

	if (!v)
		return;
	if (below(l, 4)) {
		send(l, "delete", "pods", v->ns, v->name, NULL,
		     cj("{\"preconditions\":{\"uid\":\"%s\"}%s}", version_uid(v), below(l, 5) ? "" : ",\"gracePeriodSeconds\":0"));
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->c = l->c;
	snprintf(r->key, sizeof(r->key), "%s", v->key);
	ledger_send(l->c, NULL, "delete", "pods", v->ns, v->name, NULL, NULL,
		    cj("{\"preconditions\":{\"uid\":\"00000000-0000-4000-8000-000000000000\"}}"), must_refuse, r);
}

/* ---- ConfigMaps: counted, held, owned ------------------------------------------------------------------------------ */

static void counted(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct load *l = arg;

	(void)body;
	(void)rev;
	l->open--;
	if (!status && code < 300)
		l->counted++;
	else if (status < 0 || code >= 500)
		l->maybe++;
}

static void count_up(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct load *l = arg;
	struct ojson *next = NULL;
	char n[24];

	(void)rev;
	if (status < 0 || code != 200 || ojson_copy(body, &next))
		return;
	snprintf(n, sizeof(n), "%lld", strtoll(cj_text(body, "data.n"), NULL, 10) + 1);
	(void)ojson_set_cstr(ojson_ensure_object(next, "data"), "n", n);
	ojson_del(ojson_get(next, "metadata"), "managedFields");
	l->open++;
	ledger_send(l->c, NULL, "update", "configmaps", "default", "counter", NULL, NULL, next, counted, l);
}

/* Read, add one, write back what was read: two at once must not both succeed. */
static void counter(struct load *l)
{
	uint32_t i;
	uint32_t n = (uint32_t)sim_between(l->c->w, 1, 3);

	if (!truth_get(l->c, "configmaps", "default", "counter")) {
		send(l, "create", "configmaps", "default", NULL, NULL,
		     cj("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"counter\"},\"data\":{\"n\":\"0\"}}"));
		return;
	}
	for (i = 0; i < n; i++)
		ledger_send(l->c, NULL, "get", "configmaps", "default", "counter", NULL, NULL, NULL, count_up, l);
}

static void paired(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
}

static void pair_put(struct orlop_msgw *w, const struct version *v, bool compare)
{
	uint32_t mark = orlop_msgw_begin(w, compare ? ORLOP_STORAGE_T_COMPARE : ORLOP_STORAGE_T_OP);

	orlop_msgw_str(w, ORLOP_STORAGE_T_KEY, v->key);
	if (compare)
		orlop_msgw_u64(w, ORLOP_STORAGE_T_MOD_REV, v->rev);
	else
		orlop_msgw_bytes(w, ORLOP_STORAGE_T_VALUE, v->raw, v->raw_len);
	orlop_msgw_end(w, mark);
}

/* Two objects change in one transaction: a revision of two keys. They stay what they are. */
static void pair(struct load *l)
{
	const struct version *a = pick(l, "configmaps", "own-");
	const struct version *b = pick(l, "configmaps", "own-");
	struct orlop_msgw w;
	struct orlop_msg m;

	if (!a || !b || a == b)
		return;
	orlop_msgw_init(&w, NULL);
	pair_put(&w, a, true);
	pair_put(&w, b, true);
	pair_put(&w, a, false);
	pair_put(&w, b, false);
	m = orlop_msgw_msg(&w);
	if (!w.err)
		sim_call(l->c->w, NULL, l->c->store->p, "storage", ORLOP_STORAGE_TXN, &m, NULL, 0, paired, l);
	orlop_msgw_done(&w);
}

static void held(struct load *l)
{
	const struct version *v = pick(l, "configmaps", "held-");

	if (!v || below(l, 3) == 0) {
		if (count(l, "configmaps", "held-") < 4)
			send(l, "create", "configmaps", ns_of(l), NULL, NULL,
			     cj("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":\"held-\",\"finalizers\":["
				"\"sim/hold\"]}}"));
		return;
	}
	send(l, "delete", "configmaps", v->ns, v->name, NULL, NULL);
}

static void release(void *arg, const struct version *v)
{
	struct load *l = arg;

	if (strcmp(v->resource, "configmaps") || strncmp(v->name, "held-", 5) || version_alive(v) ||
	    (!l->stopped && below(l, 3)))
		return;
	objects_release(l->c, v->ns, v->name);
	send(l, "patch", "configmaps", v->ns, v->name, MERGE, cj("{\"metadata\":{\"finalizers\":null}}"));
}

static void owned(struct load *l)
{
	const struct version *a = pick(l, "configmaps", "own-");
	const struct version *b = pick(l, "configmaps", "own-");

	if (!a || !b || a == b || strcmp(a->ns, b->ns) || below(l, 3) == 0) {
		if (count(l, "configmaps", "own-") < 8)
			send(l, "create", "configmaps", ns_of(l), NULL, NULL,
			     cj("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":\"own-\"}}"));
		return;
	}
	if (below(l, 2) && count(l, "configmaps", "dep-") < 8)
		send(l, "create", "configmaps", a->ns, NULL, NULL,
		     cj("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":\"dep-\",\"ownerReferences\":["
			"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\",\"uid\":\"%s\"},"
			"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\",\"uid\":\"%s\"}]}}",
			a->name, version_uid(a), b->name, version_uid(b)));
	else
		send(l, "delete", "configmaps", a->ns, a->name, NULL, cj("{\"propagationPolicy\":\"%s\"}", propagation(l)));
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static void node_patch(struct load *l, const struct version *v, const char *spec)
{
	ledger_send(l->c, NULL, "patch", "nodes", NULL, v->name, NULL, STRATEGIC, cj("{\"spec\":%s}", spec), NULL, NULL);
}

static void node_disturb(struct load *l)
{
	const struct version *v = pick(l, "nodes", NULL);

	if (!v)
		return;
	switch (below(l, 5)) {
	case 0:
		node_patch(l, v, "{\"unschedulable\":true}");
		break;
	case 1:
	case 2:
		node_patch(l, v, "{\"unschedulable\":null}");
		break;
	case 3:
		node_patch(l, v, "{\"taints\":[{\"key\":\"sim/soft\",\"effect\":\"NoExecute\"}]}");
		break;
	default:
		node_patch(l, v, "{\"taints\":[{\"$patch\":\"delete\",\"key\":\"sim/soft\",\"effect\":\"NoExecute\"}]}");
	}
}

static void namespaces(struct load *l)
{
	const char *ns = ns_of(l);
	const struct version *v = truth_get(l->c, "namespaces", "", ns);

	if (!v || !v->obj)
		ledger_send(l->c, NULL, "create", "namespaces", NULL, NULL, NULL, NULL,
			    cj("{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\"}}", ns), NULL, NULL);
	else if (version_alive(v) && !below(l, 8))
		ledger_send(l->c, NULL, "delete", "namespaces", NULL, ns, NULL, NULL, NULL, NULL, NULL);
}

/* Events may be lost with the power; their revisions are not given out again. The other write must stay. */
void load_burst(struct cluster *c)
{
	struct load *l = c->load;
	uint32_t n = (uint32_t)sim_between(c->w, 1, 6);

	if (below(l, 2))
		counter(l);
	else if (count(l, "configmaps", "own-") < 12)
		send(l, "create", "configmaps", "default", NULL, NULL,
		     cj("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":\"own-\"}}"));
	while (n-- && !l->stopped)
		send(l, "create", "events", "default", NULL, NULL,
		     cj("{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":\"ev-\",\"namespace\":\"default\"},"
			"\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"x\"},\"reason\":\"Sim\","
			"\"message\":\"m%u\",\"type\":\"Normal\"}", ++l->names));
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------- */

static void act(void *arg)
{
	struct load *l = arg;

	if (l->stopped)
		return;
	if ((l->c->k.flavour == FLAVOUR_NODES || l->c->k.flavour == FLAVOUR_CALM) && !below(l, 4))
		node_disturb(l);
	if (l->c->k.flavour == FLAVOUR_CALM && !below(l, 3))
		owned(l);
	switch (below(l, 22)) {
	case 21: pair(l); break;
	case 20: load_burst(l->c); break;
	case 0:
	case 1: deployment_create(l); break;
	case 2:
	case 3:
	case 4:
	case 5: deployment_change(l); break;
	case 6:
		if (!below(l, 3))
			drop(l, "deployments.apps", NULL);
		break;
	case 7: set_create(l); break;
	case 8: set_scale(l); break;
	case 9:
		if (!below(l, 3))
			drop(l, "replicasets.apps", "rs");
		break;
	case 10: pod_create(l); break;
	case 11: pod_delete(l); break;
	case 12:
	case 13: counter(l); break;
	case 14: held(l); break;
	case 15: truth_each(l->c, "configmaps", release, l); break;
	case 16:
	case 17: owned(l); break;
	case 18: node_disturb(l); break;
	default: namespaces(l); break;
	}
	(void)sim_after(l->c->w, sim_between(l->c->w, 1, 2 * l->c->k.ops_ms) * SIM_MS, act, l);
}

void load_start(struct cluster *c)
{
	struct load *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->c = c;
	c->load = l;
	namespaces(l);
	namespaces(l);
	act(l);
}

void load_stop(struct cluster *c)
{
	c->load->stopped = true;
}

/* ---- the end: what is left must be possible ------------------------------------------------------------------------------- */

static void node_calm(void *arg, const struct version *v)
{
	struct load *l = arg;

	if (ojson_get_bool(ojson_get(v->obj, "spec"), "unschedulable", false)) {
		node_patch(l, v, "{\"unschedulable\":null}");
		l->calm_step++;
	}
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(v->obj, "spec", "taints")) {
		if (!ojson_string_is(ojson_get(t, "key"), "sim/soft"))
			continue;
		node_patch(l, v, "{\"taints\":[{\"$patch\":\"delete\",\"key\":\"sim/soft\",\"effect\":\"NoExecute\"}]}");
		l->calm_step++;
	}
}

static bool is_good(const struct version *v)
{
	const char *img = cj_text(v->obj, "spec.template.spec.containers.0.image");

	return strncmp(img, "crash", 5) && strncmp(img, "missing", 7);
}

static int64_t cpu_of(const struct version *v)
{
	return milli_cpu(cj_text(v->obj, "spec.template.spec.containers.0.resources.requests.cpu"));
}

static void deployment_calm(void *arg, const struct version *v)
{
	struct load *l = arg;

	if (!version_alive(v))
		return;
	if (!is_good(v) || cj_int(v->obj, "spec.replicas", 1) > 2 || cpu_of(v) > 50 ||
	    ojson_get_bool(ojson_get(v->obj, "spec"), "paused", false)) {
		l->calm_step++;
		send(l, "patch", "deployments.apps", v->ns, v->name, STRATEGIC,
		     cj("{\"spec\":{\"paused\":null,\"replicas\":%d,\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{"
			"\"maxSurge\":1,\"maxUnavailable\":\"100%%\"}},\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\","
			"\"image\":\"app:9\",\"resources\":{\"requests\":{\"cpu\":\"50m\"}}}]}}}}", (int)sim_between(l->c->w, 1, 2)));
	}
}

static void set_calm(void *arg, const struct version *v)
{
	struct load *l = arg;

	int64_t most = cpu_of(v) > 100 ? 0 : 1;

	if (!version_alive(v) || strncmp(v->name, "rs", 2) || cj_int(v->obj, "spec.replicas", 1) <= most)
		return;
	l->calm_step++;
	send(l, "patch", "replicasets.apps", v->ns, v->name, MERGE, cj("{\"spec\":{\"replicas\":%d}}", (int)most));
}

static void bare_calm(void *arg, const struct version *v)
{
	struct load *l = arg;

	if (!version_alive(v) || strncmp(v->name, "bare-", 5))
		return;
	l->calm_step++;
	send(l, "delete", "pods", v->ns, v->name, NULL, NULL);
}

static void held_calm(void *arg, const struct version *v)
{
	struct load *l = arg;
	const struct version *ns = truth_get(l->c, "namespaces", "", v->ns);

	if (strncmp(v->name, "held-", 5) || (version_alive(v) && ns && ns->obj && version_alive(ns)))
		return;
	if (version_alive(v))
		return;
	l->calm_step++;
	release(l, v);
}

/* Asks for it again while it is not so. True: nothing is left to ask for. */
bool load_calm(struct cluster *c)
{
	struct load *l = c->load;

	l->calm_step = 0;
	truth_each(c, "nodes", node_calm, l);
	truth_each(c, "deployments.apps", deployment_calm, l);
	truth_each(c, "replicasets.apps", set_calm, l);
	truth_each(c, "pods", bare_calm, l);
	truth_each(c, "configmaps", held_calm, l);
	return !l->calm_step && !l->open;
}

void load_end(struct cluster *c)
{
	const struct load *l = c->load;
	const struct version *v = truth_get(c, "configmaps", "default", "counter");
	uint64_t n = v && v->obj ? strtoull(cj_text(v->obj, "data.n"), NULL, 10) : 0;

	if (n < l->counted || n > l->counted + l->maybe)
		sim_fail(c->w, "lost-update", "%llu increments were acknowledged, %llu more may have been; the counter is %llu",
			 (unsigned long long)l->counted, (unsigned long long)l->maybe, (unsigned long long)n);
}

void load_free(struct cluster *c)
{
	free(c->load);
	c->load = NULL;
}
