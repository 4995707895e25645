/*
 * Fuzz target of the logic: whatever stands in a node and a pod, a decision is made and undone.
 *
 * Input: the members of a node as the cache has them, a line break, the spec of a pod.
 */
#include "../sched.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

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
		check(sd_filter(p, n, NULL) == SD_FEASIBLE);
		check(sd_pod_place(c, p, n->name) == 0);
		check(n->used_cpu_milli <= n->alloc_cpu_milli && n->used_memory <= n->alloc_memory);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *nl = size ? memchr(data, '\n', size) : NULL;
	struct orlop_bytes node = { (const char *)data,
				    nl ? (size_t)(nl - (const char *)data) : size };
	struct orlop_bytes spec = { nl ? nl + 1 : "", nl ? size - node.len - 1 : 0 };
	struct orlop_bytes name = { "n", 1 };
	struct sd_pod p = { .ns = name, .name = name };
	struct sd_cluster c;

	sd_cluster_init(&c, 1);
	olist_init(&p.on_node);
	olist_init(&p.on_nominated);
	olist_init(&p.waiting);
	check(sd_node_set(&c, name, node) == 0);
	check(sd_node_set(&c, name, node) == 0);
	(void)sd_node_differs(node, spec);
	if (sd_spec_new(spec, &p.spec) == 0 && sd_load_new(spec, &p.load) == 0)
		decide(&c, &p);
	sd_spec_free(p.spec);
	omem_free(p.load);
	sd_cluster_done(&c);
	return 0;
}
