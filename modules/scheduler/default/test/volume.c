/* volume.c - claims and the nodes that they allow. */
#include "world.h"

#include "../volume.h"

static struct sd_claims *claims(uint32_t n)
{
	struct sd_claims *k = omem_zalloc(sizeof(*k) + n * sizeof(k->v[0]));

	if (!k)
		otap_bail_out("claims");
	oarena_init(&k->mem, 0);
	k->n = n;
	return k;
}

static void volume(struct sd_claims *k, uint32_t i, const char *members)
{
	k->v[i].v = oarena_zalloc(&k->mem, sizeof(*k->v[i].v));
	k->v[i].n = 1;
	if (!k->v[i].v || sd_volume_read(&k->mem, text("pv"), text(members), k->v[i].v))
		otap_bail_out("volume");
}

#define ON_ZONE(z) "\"spec\":{\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"operator\":\"In\",\"values\":[\"" z "\"]}]}]}}}"
#define A "\"topology.kubernetes.io/zone\":\"a\""
#define B "\"topology.kubernetes.io/zone\":\"b\""

int main(void)
{
	struct sd_pod *p;

	sd_cluster_init(&c, 1);
	node("a1", A, "", "4");
	node("b1", B, "", "4");
	node("x1", "", "", "4");
	p = pod("d", "p", "", "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}},{\"name\":\"e\",\"emptyDir\":{}}]", "1", 0);
	ok(p->spec->n_claims == 1 && p->spec->claims[0].len == 4, "the claims of a pod");
	p->claims = claims(1);
	p->claims->v[0].bound = true;
	volume(p->claims, 0, ON_ZONE("b"));
	is_str(takers(p), "b1", "a bound volume's node affinity");
	is_str(says(p), "placed", "is kept");
	sd_node_gone(&c, text("b1"));
	is_str(says(p), "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. preemption: 0/2 nodes are available: "
	       "2 Preemption is not helpful for scheduling.", "in upstream's words");
	node("b1", B, "", "4");
	volume(p->claims, 0, "\"metadata\":{\"labels\":{" A "}},\"spec\":{}");
	is_str(takers(p), "a1 x1", "a volume's zone; a node without zones is in all");
	volume(p->claims, 0, "\"metadata\":{\"labels\":{\"topology.kubernetes.io/zone\":\"a__b\"}},\"spec\":{}");
	is_str(takers(p), "a1 b1 x1", "of two zones");
	p->claims->v[0].bound = false;
	volume(p->claims, 0, ON_ZONE("a"));
	is_str(takers(p), "a1", "a volume that could be bound");
	p->claims->v[0].n = 0;
	is_str(says(p), "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind. preemption: 0/3 nodes are available: "
	       "3 Preemption is not helpful for scheduling.", "none is there");
	p->claims->v[0].provision = true;
	is_str(takers(p), "a1 b1 x1", "one can be made anywhere");
	if (sd_topologies_read(&p->claims->mem, text("[{\"matchLabelExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"values\":[\"b\"]}]}]"), &p->claims->v[0]))
		otap_bail_out("topologies");
	is_str(takers(p), "b1", "or in allowed topologies");
	sd_claims_free(p->claims);
	p->claims = NULL;
	pod_free(p);
	while (c.n)
		sd_node_gone(&c, c.v[0]->name);
	sd_cluster_done(&c);
	return done_testing();
}
