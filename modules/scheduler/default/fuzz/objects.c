/*
 * Fuzz target of the logic: whatever stands in a node and a pod, a decision is made and undone.
 *
 * Input: the members of a node as the cache has them, a line break, the spec of a pod. Its member "labels" are the
 * pod's labels, "profile" and "budget" such objects.
 */
#include "../preempt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "json/oscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void decide(struct sd_cluster *c, struct sd_pod *p)
{
	struct obuf text = OBUF_INIT;
	struct sd_diag d;
	struct sd_node *n = sd_decide(c, p, &d);

	if (n) {
		check(sd_filter(p, n, NULL) == SD_FEASIBLE || p->profile);
		check(sd_pod_place(c, p, n->name) == 0);
		check(p->profile || (n->used_cpu_milli <= n->alloc_cpu_milli && n->used_memory <= n->alloc_memory));
		sd_pod_unplace(c, p);
		check(n->used_cpu_milli == 0 && n->used_memory == 0 && n->n_pods == 0 &&
		      n->n_ports == 0);
	} else {
		sd_diag_write(&d, p, &text);
		check(text.len > 0);
	}
	obuf_reset(&text);
	sd_explain(c, p, &text);
	obuf_done(&text);
}

/* Twenty like it are put on the node; then one more important is to find room. */
static void preempt(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes spec)
{
	struct sd_pod v[20];
	struct sd_budget budget;
	struct sd_victims victims;
	struct oarena mem = OARENA_INIT;
	struct orlop_bytes text = { "", 0 };
	struct sd_diag d, dry;
	struct sd_node *n = c->v[0];
	int64_t used;

	(void)oscan_get(spec, "budget", &text);
	if (text.len > 2)
		text = (struct orlop_bytes){ text.p + 1, text.len - 2 };
	check(sd_budget_read(&mem, p->ns, text, &budget) == 0);
	for (uint32_t i = 0; i < 20; i++) {
		v[i] = *p;
		olist_init(&v[i].on_node);
		v[i].node = NULL;
		v[i].priority = (int32_t)i / 5;
		check(sd_pod_place(c, &v[i], n->name) == 0);
	}
	used = n->used_cpu_milli;
	p->priority = 100;
	(void)sd_candidates(c, p, &d);
	if (sd_preempt(c, p, &budget, 1, &d, &dry, &victims) == 0)
		check(victims.n > 0 && victims.node == n);
	sd_victims_done(&victims);
	check(n->n_pods == 20 && n->used_cpu_milli == used);
	for (uint32_t i = 0; i < 20; i++)
		sd_pod_unplace(c, &v[i]);
	check(n->n_pods == 0 && n->used_cpu_milli == 0);
	oarena_done(&mem);
}

static void profile(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes spec)
{
	struct sd_profile f;
	struct orlop_bytes v;
	char why[100];

	if (!oscan_get(spec, "profile", &v))
		return;
	sd_profile_init(&f, p->name);
	if (sd_profile_read(&f, v, why, sizeof(why)) == 0) {
		p->profile = &f;
		decide(c, p);
		p->profile = NULL;
	}
	sd_profile_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *nl = size ? memchr(data, '\n', size) : NULL;
	struct orlop_bytes node = { (const char *)data,
				    nl ? (size_t)(nl - (const char *)data) : size };
	struct orlop_bytes spec = { nl ? nl + 1 : "", nl ? size - node.len - 1 : 0 };
	struct orlop_bytes name = { "n", 1 }, labels = { NULL, 0 }, none = { NULL, 0 }, v;
	struct sd_pod p = { .ns = name, .name = name };
	struct sd_cluster c;

	sd_cluster_init(&c, 1);
	olist_init(&p.on_node);
	olist_init(&p.on_nominated);
	olist_init(&p.waiting);
	check(sd_node_set(&c, name, node) == 0);
	check(sd_node_set(&c, name, node) == 0);
	(void)sd_node_differs(node, spec);
	(void)oscan_get(spec, "labels", &labels);
	if (sd_spec_new(spec, &p.spec) == 0 && sd_load_new(spec, name, &p.load) == 0 &&
	    sd_labels_new(labels, &p.labels) == 0 && sd_terms_new(&c, &p, spec, &p.terms) == 0) {
		if (oscan_get(spec, "topologySpreadConstraints", &v))
			(void)sd_spreads_new(&c, &p, v, none, false, &p.spreads);
		decide(&c, &p);
		preempt(&c, &p, spec);
		profile(&c, &p, spec);
	}
	sd_spreads_free(&c, p.spreads);
	sd_terms_free(&c, p.terms);
	omem_free(p.labels);
	sd_spec_free(p.spec);
	omem_free(p.load);
	sd_cluster_done(&c);
	return 0;
}
