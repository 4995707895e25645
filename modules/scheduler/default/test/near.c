/* near.c - pod affinity, anti-affinity and topology spread: who goes where, and that the counts stay right. */
#include "base/omem.h"

#define OTAP_FAULTS
#include "world.h"

#define ZONES \
	node("a1", "\"zone\":\"a\"", "", "4"); node("a2", "\"zone\":\"a\"", "", "4"); \
	node("b1", "\"zone\":\"b\"", "", "4"); node("b2", "\"zone\":\"b\"", "", "4"); node("x", "", "", "4")
#define TERM(key, more) "{\"topologyKey\":\"" key "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}" more "}"
#define REQ(which, terms) "\"affinity\":{\"" which "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[" terms "]}}"
#define PREF(which, w, term) "\"affinity\":{\"" which "\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":" w ",\"podAffinityTerm\":" term "}]}}"
#define SPREAD(skew, key, how, more) "\"topologySpreadConstraints\":[{\"maxSkew\":" skew ",\"topologyKey\":\"" key "\",\"whenUnsatisfiable\":\"" how \
	"\",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}" more "}]"

static void nodes_gone(void)
{
	while (c.n)
		sd_node_gone(&c, c.v[0]->name);
}

static void test_filters(void)
{
	static const struct {
		const char	*what;
		const char	*ns, *labels, *spec;		/* of the pod that waits */
		const char	*on1, *ns1, *labels1, *spec1;	/* of one that is there; on1 NULL: none */
		const char	*on2, *labels2;			/* another one */
		const char	*want;
	} t[] = {
		{ "near a pod of the zone", "d", "", REQ("podAffinity", TERM("zone", "")), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a1 a2" },
		{ "not one of another namespace", "d", "", REQ("podAffinity", TERM("zone", "")), "a1", "e", "\"app\":\"web\"", "", NULL, NULL, "" },
		{ "of a namespace that is named", "d", "", REQ("podAffinity", TERM("zone", ",\"namespaces\":[\"e\"]")), "a1", "e", "\"app\":\"web\"", "", NULL, NULL, "a1 a2" },
		{ "named namespaces leave its own out", "d", "", REQ("podAffinity", TERM("zone", ",\"namespaces\":[\"e\"]")), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "" },
		{ "an empty namespaceSelector: all", "d", "", REQ("podAffinity", TERM("zone", ",\"namespaceSelector\":{}")), "a1", "e", "\"app\":\"web\"", "", NULL, NULL, "a1 a2" },
		{ "a namespaceSelector", "d", "", REQ("podAffinity", TERM("zone", ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"x\"}}")), "b1", "team", "\"app\":\"web\"", "", NULL, NULL, "b1 b2" },
		{ "that selects another one", "d", "", REQ("podAffinity", TERM("zone", ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"y\"}}")), "b1", "team", "\"app\":\"web\"", "", NULL, NULL, "" },
		{ "the first of its kind, where the label is", "d", "\"app\":\"web\"", REQ("podAffinity", TERM("zone", "")), NULL, NULL, NULL, NULL, NULL, NULL, "a1 a2 b1 b2" },
		{ "not the first", "d", "\"app\":\"web\"", REQ("podAffinity", TERM("zone", "")), "b2", "d", "\"app\":\"web\"", "", NULL, NULL, "b1 b2" },
		{ "none of the kind it wants", "d", "\"app\":\"db\"", REQ("podAffinity", TERM("zone", "")), NULL, NULL, NULL, NULL, NULL, NULL, "" },
		{ "two terms: zone and host", "d", "", REQ("podAffinity", TERM("zone", "") "," TERM("kubernetes.io/hostname", "")), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a1" },
		{ "matchLabelKeys: its own version only", "d", "\"v\":\"2\"", REQ("podAffinity", TERM("zone", ",\"matchLabelKeys\":[\"v\"]")), "a1", "d", "\"app\":\"web\",\"v\":\"1\"", "", "b1", "\"app\":\"web\",\"v\":\"2\"", "b1 b2" },
		{ "mismatchLabelKeys: any but its own", "d", "\"v\":\"2\"", REQ("podAffinity", TERM("zone", ",\"mismatchLabelKeys\":[\"v\"]")), "a1", "d", "\"app\":\"web\",\"v\":\"1\"", "", "b1", "\"app\":\"web\",\"v\":\"2\"", "a1 a2" },
		{ "far from a pod of the zone", "d", "", REQ("podAntiAffinity", TERM("zone", "")), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "b1 b2 x" },
		{ "far on hosts", "d", "", REQ("podAntiAffinity", TERM("kubernetes.io/hostname", "")), "a1", "d", "\"app\":\"web\"", "", "b1", "\"app\":\"web\"", "a2 b2 x" },
		{ "avoided by a pod that is there", "d", "\"app\":\"web\"", "", "a1", "d", "", REQ("podAntiAffinity", TERM("zone", "")), NULL, NULL, "b1 b2 x" },
		{ "which does not mean this one", "d", "\"app\":\"db\"", "", "a1", "d", "", REQ("podAntiAffinity", TERM("zone", "")), NULL, NULL, "a1 a2 b1 b2 x" },
		{ "nor one of another namespace", "e", "\"app\":\"web\"", "", "a1", "d", "", REQ("podAntiAffinity", TERM("zone", "")), NULL, NULL, "a1 a2 b1 b2 x" },
		{ "spread: the emptier zone", "d", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "b1 b2" },
		{ "spread: even", "d", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", "b1", "\"app\":\"web\"", "a1 a2 b1 b2" },
		{ "spread: it does not count itself", "d", "\"app\":\"db\"", SPREAD("1", "zone", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a1 a2 b1 b2" },
		{ "spread: a greater skew", "d", "\"app\":\"web\"", SPREAD("2", "zone", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a1 a2 b1 b2" },
		{ "spread: minDomains not there: as if one were empty", "d", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ",\"minDomains\":3"), "a1", "d", "\"app\":\"web\"", "", "b1", "\"app\":\"web\"", "" },
		{ "spread over hosts", "d", "\"app\":\"web\"", SPREAD("1", "kubernetes.io/hostname", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", "b1", "\"app\":\"web\"", "a2 b2 x" },
		{ "spread: only nodes that it may use count", "d", "\"app\":\"web\"", "\"nodeSelector\":{\"zone\":\"a\"}," SPREAD("1", "kubernetes.io/hostname", "DoNotSchedule", ""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a2" },
		{ "spread: unless the policy says Ignore", "d", "\"app\":\"web\"", "\"nodeSelector\":{\"zone\":\"a\"}," SPREAD("1", "zone", "DoNotSchedule", ",\"nodeAffinityPolicy\":\"Ignore\""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "" },
		{ "spread: a wish refuses nobody", "d", "\"app\":\"web\"", SPREAD("1", "zone", "ScheduleAnyway", ""), "a1", "d", "\"app\":\"web\"", "", NULL, NULL, "a1 a2 b1 b2 x" },
	};

	(void)sd_namespace_set(&c, text("team"), text("{\"team\":\"x\"}"), false);
	ZONES;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sd_pod *q1 = t[i].on1 ? placed(t[i].ns1, "q1", t[i].labels1, t[i].spec1, "1", 0, t[i].on1) : NULL;
		struct sd_pod *p = pod(t[i].ns, "p", t[i].labels, t[i].spec, "1", 0);
		struct sd_pod *q2 = t[i].on2 ? placed(t[i].ns, "q2", t[i].labels2, "", "1", 0, t[i].on2) : NULL;

		is_str(takers(p), t[i].want, "%s", t[i].what);
		if (q1)
			pod_free(q1);
		if (q2)
			pod_free(q2);
		pod_free(p);
	}
	nodes_gone();
}

static void test_taints_policy(void)
{
	struct sd_pod *q, *p, *h;

	node("a1", "\"zone\":\"a\"", "", "4");
	node("b1", "\"zone\":\"b\"", "\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]", "4");
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 0, "a1");
	p = pod("d", "p", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ""), "1", 0);
	h = pod("d", "h", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ",\"nodeTaintsPolicy\":\"Honor\""), "1", 0);
	is_str(takers(p), "", "a zone of tainted nodes counts");
	is_str(takers(h), "a1", "unless taints are honored");
	q->deleting = false;
	sd_tallies_add(&c, q, q->node, -1);
	q->deleting = true;
	sd_tallies_add(&c, q, q->node, 1);
	is_str(takers(p), "a1", "a pod that is being deleted does not count");
	pod_free(q);
	pod_free(p);
	pod_free(h);
	nodes_gone();
}

static const char *choice(struct sd_pod *p)
{
	struct sd_diag d;
	struct sd_node *n = sd_decide(&c, p, &d);

	return n ? n->name.p : "";
}

static void test_scores(void)
{
	struct sd_pod *q, *p;

	ZONES;
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 0, "a1");
	p = pod("d", "p", "", PREF("podAffinity", "100", TERM("kubernetes.io/hostname", "")), "100m", 0);
	is_str(choice(p), "a1", "it goes where it likes to be, though it is fuller");
	pod_free(p);
	p = pod("d", "p", "", PREF("podAntiAffinity", "100", TERM("zone", "")), "100m", 0);
	ok(choice(p)[0] != 'a', "and not where it does not");
	pod_free(p);
	p = pod("d", "p", "\"app\":\"web\"", SPREAD("1", "zone", "ScheduleAnyway", ""), "100m", 0);
	ok(choice(p)[0] == 'b', "a wish to be spread is followed (%s)", choice(p));
	pod_free(p);
	pod_free(q);
	q = placed("d", "q", "", PREF("podAffinity", "50", TERM("kubernetes.io/hostname", "")), "1", 0, "b1");
	p = pod("d", "p", "\"app\":\"web\"", "", "100m", 0);
	is_str(choice(p), "b1", "a pod that is there likes to have it near");
	pod_free(q);
	q = placed("d", "q", "", REQ("podAffinity", TERM("kubernetes.io/hostname", "")), "1", 0, "a2");
	is_str(choice(p), "a2", "one that needs such a pod too");
	pod_free(p);
	pod_free(q);
	nodes_gone();
}

static void test_words(void)
{
	struct sd_pod *p, *q;

	ZONES;
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 0, "a1");
	p = pod("d", "p", "", REQ("podAffinity", "{\"topologyKey\":\"zone\",\"labelSelector\":{\"matchLabels\":{\"app\":\"no\"}}}"), "1", 0);
	is_str(says(p), "0/5 nodes are available: 5 node(s) didn't match pod affinity rules. preemption: 0/5 nodes are available: "
	       "5 Preemption is not helpful for scheduling.", "affinity");
	pod_free(p);
	p = pod("d", "p", "", "\"nodeSelector\":{\"zone\":\"a\"}," REQ("podAntiAffinity", TERM("zone", "")), "1", 0);
	is_str(says(p), "0/5 nodes are available: 2 node(s) didn't match pod anti-affinity rules, 3 node(s) didn't match Pod's node affinity/selector. "
	       "preemption: 0/5 nodes are available: 2 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling.", "anti-affinity");
	pod_free(p);
	p = pod("d", "p", "\"app\":\"web\"", SPREAD("1", "zone", "DoNotSchedule", ",\"minDomains\":3"), "1", 0);
	pod_free(q);
	q = placed("d", "q", "\"app\":\"web\"", "", "1", 0, "a1");
	{
		struct sd_pod *r = placed("d", "r", "\"app\":\"web\"", "", "1", 0, "b1");

		is_str(says(p), "0/5 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), "
		       "4 node(s) didn't match pod topology spread constraints. preemption: 0/5 nodes are available: "
		       "1 Preemption is not helpful for scheduling, 4 No preemption victims found for incoming pod.", "spread");
		pod_free(r);
	}
	pod_free(p);
	pod_free(q);
	q = placed("d", "q", "", REQ("podAntiAffinity", TERM("zone", "")), "1", 0, "a1");
	p = pod("d", "p", "\"app\":\"web\"", "\"nodeSelector\":{\"zone\":\"a\"}", "1", 0);
	is_str(says(p), "0/5 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules, 3 node(s) didn't match Pod's node "
	       "affinity/selector. preemption: 0/5 nodes are available: 2 No preemption victims found for incoming pod, "
	       "3 Preemption is not helpful for scheduling.", "of pods that are there");
	pod_free(p);
	pod_free(q);
	nodes_gone();
}

/* ---- the counts --------------------------------------------------------------------------------- */

static uint32_t seed = 7;

static uint32_t chance(uint32_t n)
{
	return (seed = seed * 1664525 + 1013904223) / 65536 % n;
}

static int32_t counted(const struct sd_match *m, const struct sd_topo *t, uint32_t d)
{
	int32_t n = 0;

	for (uint32_t i = 0; i < c.n; i++)
		OLIST_FOREACH(at, &c.v[i]->pods)
		if (sd_domain(c.v[i], t) == d && sd_match_has(&c, m, OLIST_ENTRY(at, struct sd_pod, on_node)))
			n++;
	return n;
}

static int32_t held(const struct sd_hold *h, uint32_t d)
{
	int32_t n = 0;

	for (uint32_t i = 0; i < c.n; i++)
		OLIST_FOREACH(at, &c.v[i]->pods)
		{
			const struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, on_node);

			for (uint32_t k = 0; p->terms && k < p->terms->n; k++)
				n += p->terms->v[k].hold == h && sd_domain(c.v[i], h->tally.topo) == d;
		}
	return n;
}

static uint32_t wrong_counts(void)
{
	uint32_t bad = 0;

	OMAP_FOREACH(&c.matches, e)
	{
		const struct sd_match *m = e->value;

		OLIST_FOREACH(at, &m->tallies)
		{
			const struct sd_tally *t = OLIST_ENTRY(at, struct sd_tally, list);
			int64_t total = 0;

			for (uint32_t d = 0; d < t->topo->n_domains; d++) {
				bad += t->v[d] != counted(m, t->topo, d);
				total += t->v[d];
			}
			bad += total != t->total;
		}
		OLIST_FOREACH(at, &m->holds)
		{
			const struct sd_hold *h = OLIST_ENTRY(at, struct sd_hold, list);

			for (uint32_t d = 0; d < h->tally.topo->n_domains; d++)
				bad += h->tally.v[d] != held(h, d);
		}
	}
	for (uint32_t i = 0; i < c.n_topos; i++) {
		const struct sd_topo *t = c.topos[i];
		uint32_t labeled = 0;

		for (uint32_t k = 0; k < c.n; k++)
			labeled += c.v[k]->domain[t->slot] != SD_NO_DOMAIN;
		bad += labeled != t->n_labeled || omap_count(&t->values) != t->n_live;
	}
	return bad;
}

static struct sd_pod *any_pod(uint32_t i)
{
	static const char *const specs[] = { "", REQ("podAffinity", TERM("zone", "")), REQ("podAntiAffinity", TERM("kubernetes.io/hostname", "")),
		PREF("podAffinity", "3", TERM("zone", ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"x\"}}")),
		SPREAD("1", "zone", "DoNotSchedule", ""), SPREAD("2", "rack", "ScheduleAnyway", ",\"matchLabelKeys\":[\"v\"]") };
	static const char *const labels[] = { "", "\"app\":\"web\"", "\"app\":\"db\"", "\"app\":\"web\",\"v\":\"1\"", "\"v\":\"2\",\"app\":\"web\"" };
	static char names[64][8];

	(void)snprintf(names[i], sizeof(names[i]), "p%u", i);
	return pod(chance(2) ? "d" : "team", names[i], labels[chance(5)], specs[chance(6)], "1m", 0);
}

static void any_node(uint32_t i)
{
	static const char *const labels[] = { "", "\"zone\":\"a\"", "\"zone\":\"b\"", "\"zone\":\"c\",\"rack\":\"1\"", "\"rack\":\"2\"" };
	char name[16];

	(void)snprintf(name, sizeof(name), "n%u", i);
	if (chance(4))
		node(name, labels[chance(5)], "", "4");
	else
		sd_node_gone(&c, text(name));
}

static void test_counts(void)
{
	struct sd_pod *v[64] = { NULL };
	uint32_t bad = 0, decided = 0;
	char on[16];

	for (uint32_t i = 0; i < 6000 && !bad; i++) {
		uint32_t k = chance(64);
		struct sd_diag d;

		switch (chance(8)) {
		case 0:
			any_node(chance(9));
			break;
		case 1:
			(void)sd_namespace_set(&c, text("team"), text(chance(2) ? "{\"team\":\"x\"}" : "{}"), false);
			break;
		case 2:
			if (v[k])
				pod_free(v[k]);
			v[k] = NULL;
			break;
		default:
			if (!v[k])
				v[k] = any_pod(k);
			if (v[k]->node) {
				sd_pod_unplace(&c, v[k]);
			} else if (sd_decide(&c, v[k], &d)) {
				decided++;
				(void)snprintf(on, sizeof(on), "n%u", chance(9));
				(void)sd_pod_place(&c, v[k], text(on));
			}
		}
		if (i % 7 == 0)
			bad += wrong_counts();
	}
	is_int(bad, 0, "after every change of nodes, pods and namespaces all counts are those of counting anew");
	ok(decided > 500, "in %u decisions", decided);
	for (uint32_t i = 0; i < 64; i++)
		if (v[i])
			pod_free(v[i]);
	nodes_gone();
}

/* Each workload's text is kept for the next replica, but not for ever. */
static void test_forgets(void)
{
	for (uint32_t i = 0; i < 1000; i++) {
		char spec[256];
		struct sd_pod *p;

		(void)snprintf(spec, sizeof(spec), "\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"k%u\","
			       "\"labelSelector\":{\"matchLabels\":{\"app\":\"w%u\"}}}]}}", i, i);
		p = pod("d", "p", "", spec, "1", 0);
		(void)takers(p);
		pod_free(p);
	}
	ok(omap_count(&c.matches) <= 300, "%u of 1000 selectors are kept", omap_count(&c.matches));
}

/* Whichever allocation fails: nothing breaks, and the counts are right. */
static void test_faults(void)
{
	uint32_t bad = 0, tries = 0;
	bool done = false;

	for (long nth = 1; !done && nth < 2000; nth++) {
		static const char *const specs[] = { REQ("podAffinity", TERM("zone", ",\"namespaceSelector\":{}")), PREF("podAntiAffinity", "3", TERM("rack", "")),
			"\"nodeSelector\":{\"zone\":\"a\"}," SPREAD("1", "rack", "DoNotSchedule", ",\"matchLabelKeys\":[\"app\"]") };
		struct sd_cluster keep = c;
		struct sd_pod *q;
		struct sd_diag d;
		int r = 0;

		sd_cluster_init(&c, 3);
		node("a1", "\"zone\":\"a\",\"rack\":\"1\"", "", "4");
		q = placed("d", "q", "\"app\":\"web\"", REQ("podAntiAffinity", TERM("kubernetes.io/hostname", "")), "1", 0, "a1");
		otap_fail_nth(nth);
		for (uint32_t i = 0; i < 3 && !r; i++) {
			struct sd_pod p = { .ns = text("d"), .name = text("p") };
			char json[1024];
			struct orlop_bytes list;

			(void)snprintf(json, sizeof(json), "{%s}", specs[i]);
			olist_init(&p.on_node);
			r = sd_spec_new(text(json), &p.spec);
			r = r ? r : sd_load_new(text(json), text("p"), &p.load);
			r = r ? r : sd_labels_new(text("{\"app\":\"web\"}"), &p.labels);
			r = r ? r : sd_terms_new(&c, &p, text(json), &p.terms);
			if (!r && oscan_get(text(json), "topologySpreadConstraints", &list))
				r = sd_spreads_new(&c, &p, list, (struct orlop_bytes){ NULL, 0 }, false, &p.spreads);
			if (!r)
				r = sd_node_set(&c, text("a2"), text("\"metadata\":{\"labels\":{\"zone\":\"a\",\"rack\":\"2\"}},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"pods\":\"9\"}}"));
			if (!r && !sd_decide(&c, &p, &d))
				r = d.err;
			if (!r)
				r = sd_pod_place(&c, &p, text("a2"));
			sd_pod_unplace(&c, &p);
			sd_spreads_free(&c, p.spreads);
			sd_terms_free(&c, p.terms);
			sd_spec_free(p.spec);
			omem_free(p.labels);
			omem_free(p.load);
		}
		done = !otap_faulted();
		otap_fail_nth(0);
		tries++;
		bad += done && r;
		if (sd_node_set(&c, text("a2"), text("\"metadata\":{\"labels\":{\"zone\":\"b\",\"rack\":\"2\"}},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"pods\":\"9\"}}")))
			bad++;
		bad += wrong_counts();
		pod_free(q);
		sd_cluster_done(&c);
		c = keep;
	}
	ok(done && tries > 30, "each of %u allocations fails once", tries - 1);
	is_int(bad, 0, "and the counts stay right");
}

int main(void)
{
	sd_cluster_init(&c, 42);
	test_filters();
	test_taints_policy();
	test_scores();
	test_words();
	test_counts();
	test_forgets();
	test_faults();
	sd_cluster_done(&c);
	return done_testing();
}
