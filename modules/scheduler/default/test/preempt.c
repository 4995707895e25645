/* preempt.c - who goes for whom: victims, budgets, the least loss, and what is said if nobody can. */
#include "world.h"

static struct sd_budget budget(const char *ns, int64_t allowed)
{
	static struct orlop_bytes web = { "web", 3 };
	static struct sd_expr e = { { "app", 3 }, SD_IN, 1, &web, 0 };

	return (struct sd_budget){ .ns = text(ns), .n_exprs = 1, .exprs = &e, .allowed = allowed };
}

/* "node: victim victim", "" if there is none. */
static const char *chosen(struct sd_pod *p, struct sd_budget *b, uint32_t n)
{
	static char out[256];
	struct sd_diag d, dry;
	struct sd_victims v;

	out[0] = '\0';
	if (sd_decide(&c, p, &d))
		return "no need";
	if (sd_preempt(&c, p, b, n, &d, &dry, &v) == 0) {
		(void)snprintf(out, sizeof(out), "%s:", v.node->name.p);
		for (uint32_t i = 0; i < v.n; i++)
			(void)snprintf(out + strlen(out), sizeof(out) - strlen(out), " %s", v.v[i]->name.p);
	}
	sd_victims_done(&v);
	return out;
}

static void test_choice(void)
{
	struct sd_pod *v[8], *p;
	struct sd_budget b = budget("d", 0);

	node("n1", "", "", "2");
	node("n2", "", "", "2");
	v[0] = placed("d", "low1", "", "", "1", 1, "n1");
	v[1] = placed("d", "low2", "", "", "1", 2, "n1");
	v[2] = placed("d", "mid1", "", "", "1", 5, "n2");
	v[3] = placed("d", "mid2", "", "", "1", 5, "n2");
	p = pod("d", "p", "", "", "1", 10);
	is_str(chosen(p, NULL, 0), "n1: low1", "the least important one of the node where least is lost");
	pod_free(p);
	p = pod("d", "p", "", "", "2", 10);
	is_str(chosen(p, NULL, 0), "n1: low2 low1", "as many as need be");
	pod_free(p);
	p = pod("d", "p", "", "", "1", 2);
	is_str(chosen(p, NULL, 0), "n1: low1", "only those below");
	pod_free(p);
	p = pod("d", "p", "", "", "1", 1);
	is_str(chosen(p, NULL, 0), "", "nobody for one's equals");
	is_str(says(p), "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.", "and it says so");
	pod_free(p);
	p = pod("d", "p", "", "", "2", 5);
	is_str(says(p), "0/2 nodes are available: 2 Insufficient cpu.", "while room is made nothing more is said");
	pod_free(p);
	pod_free(v[0]);
	v[0] = placed("d", "low1", "", "", "500m", 1, "n1");
	v[4] = placed("d", "rest", "", "", "500m", 9, "n1");
	p = pod("d", "p", "", "", "2", 8);
	is_str(chosen(p, NULL, 0), "n2: mid1 mid2", "where one more important stays in the way nobody goes");
	pod_free(v[4]);
	v[4] = placed("d", "rest", "", "", "500m", 7, "n1");
	is_str(chosen(p, NULL, 0), "n2: mid1 mid2", "the most important victim counts before their number");
	pod_free(p);
	for (int i = 0; i < 5; i++)
		pod_free(v[i]);
	v[0] = placed("d", "w1", "\"app\":\"web\"", "", "2", 1, "n1");
	v[1] = placed("d", "x1", "", "", "2", 5, "n2");
	p = pod("d", "p", "", "", "1", 10);
	is_str(chosen(p, NULL, 0), "n1: w1", "without budgets");
	is_str(chosen(p, &b, 1), "n2: x1", "a budget is kept, though a more important one goes");
	b = budget("e", 0);
	is_str(chosen(p, &b, 1), "n1: w1", "one of another namespace does not matter");
	b = budget("d", 1);
	is_str(chosen(p, &b, 1), "n1: w1", "nor one that allows it");
	pod_free(v[1]);
	v[1] = placed("d", "w2", "\"app\":\"web\"", "", "2", 1, "n2");
	v[0]->start_ns = 1000;
	v[1]->start_ns = 2000;
	b = budget("d", 0);
	is_str(chosen(p, &b, 1), "n2: w2", "broken everywhere: who began last goes");
	pod_free(p);
	pod_free(v[0]);
	pod_free(v[1]);
	sd_node_gone(&c, text("n1"));
	sd_node_gone(&c, text("n2"));
}

static void test_near(void)
{
	static const char far[] = "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"zone\","
		"\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}}]}}";
	struct sd_pod *q, *p;

	node("a1", "\"zone\":\"a\"", "", "4");
	node("a2", "\"zone\":\"a\"", "", "4");
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 0, "a1");
	p = pod("d", "p", "", far, "1", 10);
	is_str(chosen(p, NULL, 0), "a1: q", "one that is to be far goes, from its own node");
	pod_free(p);
	p = pod("d", "p", "", far, "5", 10);
	is_str(says(p), "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
	       "too big for any node");
	pod_free(p);
	pod_free(q);
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 50, "a1");
	p = pod("d", "p", "", far, "1", 10);
	is_str(says(p), "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are available: "
	       "2 No preemption victims found for incoming pod.", "one more important does not");
	pod_free(p);
	p = pod("d", "p", "", "\"preemptionPolicy\":\"Never\"", "4", 100);
	sd_node_gone(&c, text("a2"));
	is_str(says(p), "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.", "who never preempts");
	pod_free(p);
	pod_free(q);
	sd_node_gone(&c, text("a1"));
}

static void test_nominated(void)
{
	struct sd_pod *p, *q, *v;

	node("n1", "", "", "2");
	node("n2", "", "\"unschedulable\":true", "2");
	p = pod("d", "p", "", "", "2", 10);
	sd_pod_nominate(&c, p, text("n1"));
	q = pod("d", "q", "", "", "1", 0);
	is_str(takers(q), "", "room that is kept is not given away");
	pod_free(q);
	q = pod("d", "q", "", "", "1", 20);
	is_str(takers(q), "n1", "but to the more important");
	pod_free(q);
	is_str(takers(p), "n1", "nor does it stand in its own way");
	v = placed("d", "v", "", "", "1", 0, "n1");
	v->deleting = true;
	is_str(says(p), "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: not eligible due to a terminating pod on "
	       "the nominated node.", "while victims leave no others are taken");
	pod_free(v);
	q = pod("d", "q", "", "", "1", 0);
	sd_clean(&c);
	pod_free(p);
	is_int(c.n_dirty, 1, "room that is not needed any more wakes others");
	is_str(takers(q), "n1", "who then fit");
	pod_free(q);
	sd_node_gone(&c, text("n1"));
	sd_node_gone(&c, text("n2"));
}

int main(void)
{
	sd_cluster_init(&c, 42);
	test_choice();
	test_near();
	test_nominated();
	sd_cluster_done(&c);
	return done_testing();
}
