/* profile.c - profiles from JSON, and what they change. */
#include "world.h"

static struct sd_profile f;

static int read_profile(const char *json, char *why, size_t size)
{
	sd_profile_done(&f);
	sd_profile_init(&f, text("p"));
	return sd_profile_read(&f, text(json), why, size);
}

static void test_wrong(void)
{
	static const struct { const char *json, *why; } t[] = {
		{ "{\"schedulerName\":\"\"}", "a profile without schedulerName" },
		{ "{\"plugins\":{\"score\":{\"enabled\":[{\"name\":\"Nonsense\"}]}}}", "no such plugin: Nonsense" },
		{ "{\"plugins\":{\"score\":{\"enabled\":[{\"name\":\"NodeAffinity\",\"weight\":101}]}}}", "weight" },
		{ "{\"percentageOfNodesToScore\":101}", "percentageOfNodesToScore: 101" },
		{ "{\"pluginConfig\":[{\"name\":\"NodeResourcesFit\",\"args\":{\"scoringStrategy\":{\"type\":\"Random\"}}}]}", "no such scoring strategy" },
		{ "{\"pluginConfig\":[{\"name\":\"NodeResourcesFit\",\"args\":{\"scoringStrategy\":{\"type\":\"RequestedToCapacityRatio\"}}}]}", "needs a shape" },
	};
	char why[160];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		why[0] = '\0';
		ok(read_profile(t[i].json, why, sizeof(why)) < 0 && strstr(why, t[i].why), "refused: %s (%s)", t[i].why, why);
	}
}

static const char *choice(struct sd_pod *p)
{
	struct sd_diag d;
	struct sd_node *n;

	p->profile = &f;
	n = sd_decide(&c, p, &d);
	return n ? n->name.p : "";
}

static void test_strategies(void)
{
	static const struct { const char *what, *json, *want; } t[] = {
		{ "least allocated", "{}", "empty" },
		{ "most allocated", "{\"plugins\":{\"score\":{\"disabled\":[{\"name\":\"NodeResourcesBalancedAllocation\"}]}},\"pluginConfig\":[{\"name\":\"NodeResourcesFit\",\"args\":{\"scoringStrategy\":{\"type\":\"MostAllocated\",\"resources\":[{\"name\":\"cpu\",\"weight\":1}]}}}]}", "full" },
		{ "a line that likes half", "{\"plugins\":{\"score\":{\"disabled\":[{\"name\":\"*\"}],\"enabled\":[{\"name\":\"NodeResourcesFit\"}]}},\"pluginConfig\":[{\"name\":\"NodeResourcesFit\",\"args\":{\"scoringStrategy\":{\"type\":\"RequestedToCapacityRatio\","
		  "\"resources\":[{\"name\":\"cpu\"}],\"requestedToCapacityRatio\":{\"shape\":[{\"utilization\":0,\"score\":0},{\"utilization\":50,\"score\":10},{\"utilization\":100,\"score\":0}]}}}}]}", "half" },
	};
	struct sd_pod *v[2], *p;

	node("empty", "", "", "10");
	node("half", "", "", "10");
	node("full", "", "", "10");
	v[0] = placed("d", "h", "", "", "4", 0, "half");
	v[1] = placed("d", "f", "", "", "8", 0, "full");
	p = pod("d", "p", "", "", "1", 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char why[160] = "";

		is_int(read_profile(t[i].json, why, sizeof(why)), 0, "%s is read (%s)", t[i].what, why);
		is_str(choice(p), t[i].want, "and followed");
	}
	pod_free(p);
	p = pod("d", "p", "", "\"nodeSelector\":{\"no\":\"where\"}", "1", 0);
	is_int(read_profile("{\"plugins\":{\"filter\":{\"disabled\":[{\"name\":\"NodeAffinity\"}]}}}", NULL, 0), 0, "a filter less");
	is_str(choice(p), "empty", "is not asked");
	pod_free(p);
	pod_free(v[0]);
	pod_free(v[1]);
	sd_profile_done(&f);
}

int main(void)
{
	sd_cluster_init(&c, 42);
	sd_profile_init(&f, text("p"));
	test_wrong();
	test_strategies();
	sd_cluster_done(&c);
	return done_testing();
}
