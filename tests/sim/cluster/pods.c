/*
 * pods.c - what must be true of pods: bound once, to a node that has room; stopped and evicted for a reason.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_NS	(30 * SIM_S)	/* so long after a container was stopped history must say why */

static const char *node_of(const struct version *v)
{
	return v && v->obj ? cj_text(v->obj, "spec.nodeName") : "";
}

static bool has_ended(const struct version *v)
{
	const char *phase = cj_text(v->obj, "status.phase");

	return !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
}

static int64_t cpu_of(const struct ojson *pod)
{
	int64_t sum = 0;

	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", "containers"))
		sum += milli_cpu(cj_text(c, "resources.requests.cpu"));
	return sum;
}

/* ---- room ------------------------------------------------------------------------------------------------ */

struct sum {
	const char	*node;
	int64_t		cpu;
	int64_t		n;
};

static void add(void *arg, const struct version *v)
{
	struct sum *s = arg;

	if (strcmp(node_of(v), s->node) || has_ended(v))
		return;
	s->cpu += cpu_of(v->obj);
	s->n++;
}

static void room(struct cluster *c, const struct version *v)
{
	struct sum s = { .node = node_of(v) };
	const struct version *node = truth_get(c, "nodes", "", s.node);
	int64_t have;

	while (node && !node->obj)
		node = node->prev;
	if (!node)
		return;
	truth_each(c, "pods", add, &s);
	have = milli_cpu(cj_text(node->obj, "status.allocatable.cpu"));
	if (s.cpu > have && !(c->k.separate && cluster_murky(c)))
		sim_fail(c->w, "over-committed", "%s is bound to %s at %llu: %lld of %lld milli-CPU are asked for", v->key, s.node,
			 (unsigned long long)v->rev, (long long)s.cpu, (long long)have);
}

/* ---- eviction ---------------------------------------------------------------------------------------------- */

static const struct ojson *taint_of(const struct version *node, const char *key)
{
	OJSON_FOREACH_ELEM(i, t, node->obj ? OJSON_AT(node->obj, "spec", "taints") : NULL) {
		if (ojson_string_is(ojson_get(t, "effect"), "NoExecute") && ojson_string_is(ojson_get(t, "key"), key))
			return t;
	}
	return NULL;
}

/* For how long the node has had this taint at a stretch, up to now or within the last WINDOW_NS. */
static uint64_t taint_lasted(struct cluster *c, const struct version *node, const char *key)
{
	uint64_t end = sim_now(c->w);
	const struct version *n = node;

	while (n && !taint_of(n, key)) {
		if (n->at + WINDOW_NS < sim_now(c->w))
			return 0;
		end = n->at;
		n = n->prev;
	}
	if (!n)
		return 0;
	while (n->prev && taint_of(n->prev, key))
		n = n->prev;
	return end - n->at + 1;
}

/* A pod that was evicted for a taint: its node had one, for as long as the pod tolerates it. */
static void evicted(struct cluster *c, const struct version *v)
{
	static const char *const keys[] = { "sim/soft", "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready" };
	const struct version *node = truth_get(c, "nodes", "", node_of(v));
	bool told = false;
	size_t i;

	OJSON_FOREACH_ELEM(k, cond, OJSON_AT(v->obj, "status", "conditions"))
		told |= ojson_string_is(ojson_get(cond, "reason"), "DeletionByTaintManager");
	if (!told || !node || !node->obj || cluster_murky(c) || c->k.jump)
		return;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint64_t lasted = taint_lasted(c, node, keys[i]);

		OJSON_FOREACH_ELEM(k, t, OJSON_AT(v->obj, "spec", "tolerations")) {
			if (lasted && ojson_string_is(ojson_get(t, "key"), keys[i]) &&
			    lasted + 5 * SIM_S >= (uint64_t)ojson_get_i64(t, "tolerationSeconds", 0) * SIM_S)
				return;
		}
	}
	sim_fail(c->w, "evicted-without-reason", "%s at %llu: %s has no NoExecute taint that it tolerates no longer", v->key,
		 (unsigned long long)v->rev, node_of(v));
}

void pods_version(struct cluster *c, const struct version *v)
{
	if (strcmp(v->resource, "pods") || !v->obj)
		return;
	if (v->prev && *node_of(v->prev) && strcmp(node_of(v->prev), node_of(v)))
		sim_fail(c->w, "bound-twice", "%s goes from %s to %s at %llu", v->key, node_of(v->prev), node_of(v),
			 (unsigned long long)v->rev);
	if (*node_of(v) && !*node_of(v->prev))
		room(c, v);
	if (!version_alive(v) && v->prev && version_alive(v->prev))
		evicted(c, v);
	if (v->prev && has_ended(v->prev) && !has_ended(v))
		sim_fail(c->w, "rose-from-the-dead", "%s had ended and is %s at %llu", v->key, cj_text(v->obj, "status.phase"),
			 (unsigned long long)v->rev);
}

/* ---- stops --------------------------------------------------------------------------------------------------- */

struct stop {
	struct cluster	*c;
	struct member	*m;
	uint32_t	power_cuts;
	char		uid[MACHINE_ID];
	char		id[MACHINE_ID];
};

static void stop_judge(void *arg)
{
	struct stop *s = arg;
	const struct version *v = truth_uid(s->c, s->uid);

	if (v && version_alive(v) && !has_ended(v) && s->m->power_cuts == s->power_cuts && !cluster_murky(s->c))
		sim_fail(s->c->w, "stopped-without-reason", "%s was asked to stop, %s is not to end", s->id, v->key);
	free(s);
}

void pods_stopped(void *arg, const struct container *ct)
{
	struct member *m = arg;
	struct stop *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->c = m->c;
	s->m = m;
	s->power_cuts = m->power_cuts;
	memcpy(s->uid, ct->uid, sizeof(s->uid));
	memcpy(s->id, ct->id, sizeof(s->id));
	(void)sim_after(m->c->w, REASON_NS, stop_judge, s);
}
