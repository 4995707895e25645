/*
 * flow.c - flow schemas and levels are read whole or not at all, and what there was no memory for is read again.
 */
#define OTAP_FAULTS
#include "base/otap.h"
#include "rig.h"

#include "front.h"
#include "http/flow.h"

#define FS "flowschemas.flowcontrol.apiserver.k8s.io"
#define PL "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"

static const char rules[] = "\"rules\":[{\"subjects\":[{\"kind\":\"User\",\"user\":{\"name\":\"u\"}},{\"kind\":\"ServiceAccount\",\"serviceAccount\":"
	"{\"namespace\":\"n\",\"name\":\"*\"}}],\"resourceRules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"namespaces\":[\"*\"]}]}]";

static void put(struct rig *r, const char *name, int64_t borrows)
{
	char body[1500];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":50,"
		 "\"borrowingLimitPercent\":%lld,\"limitResponse\":{\"type\":\"Reject\"}}}}", name, (long long)borrows);
	is_int(rig_do(r, "create " PL, "", body), 201, "level %s", name);
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"%s\"},%s}}", name, name, rules);
	is_int(rig_do(r, "create " FS, "", body), 201, "schema %s", name);
}

/* The set with @want of each; with every allocation failing in turn, nothing or what was there before. */
static void test_whole(struct ashard *sh, uint32_t want)
{
	const struct flow_set *before = sh->flows->set, *s = NULL;
	unsigned int faults = 0, odd = 0;

	for (long n = 1; n < 1000; n++) {
		otap_fail_nth(n);
		s = flow_set_now(sh);
		if (!otap_faulted())
			break;
		faults++;
		odd += s != before;
	}
	otap_fail_nth(0);
	ok(faults > 10 && odd == 0, "without memory it is what it was (%u faults, %u odd)", faults, odd);
	ok(s && s != before && s->n_schemas == want && s->n_levels == want, "then it is whole, though nothing was written");
	ok(flow_set_now(sh) == s, "and is kept");
}

int main(void)
{
	struct rig *r = rig_new();
	struct apis a = { .max_reads = 1000, .max_writes = 50, .places = 1050 };
	struct ashard sh = { .a = &a, .h = fakehost_host(r->fh) };
	const struct flow_level *l;

	is_int(rig_boot(r), 0, "bootstrap");
	put(r, "one", 2147483647);
	is_int(flow_shard_init(&sh), 0, "a shard");
	test_whole(&sh, 1);
	l = sh.flows->set->levels[0];
	ok(l->most[0] == UINT32_MAX, "a level that may borrow very much is not cut short (%u)", l->most[0]);
	put(r, "two", 0);
	test_whole(&sh, 2);
	is_int(sh.flows->set->levels[1]->most[0], 500, "one that may borrow nothing has its share");
	flow_shard_free(&sh);
	rig_free(r);
	return done_testing();
}
