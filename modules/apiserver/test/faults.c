/*
 * faults.c - the n-th allocation fails, the storage fails: each request is answered all the same,
 * what was acknowledged is there, and nothing leaks (the sanitizer build looks).
 */
#define OTAP_FAULTS
#include "base/otap.h"
#include "rig.h"


static const struct {
	const char	*what;
	const char	*query;
	const char	*body;
} steps[] = {
	{ "create configmaps default", "", "{\"metadata\":{\"name\":\"f\",\"labels\":{\"a\":\"b\"}},\"data\":{\"k\":\"v\"}}" },
	{ "update configmaps default f", "", "{\"metadata\":{\"name\":\"f\"},\"data\":{\"k\":\"w\"}}" },
	{ "strategic-patch configmaps default f", "", "{\"data\":{\"x\":\"y\"}}" },
	{ "json-patch configmaps default f", "", "[{\"op\":\"add\",\"path\":\"/data/z\",\"value\":\"1\"}]" },
	{ "create configmaps default", "", "{\"metadata\":{\"name\":\"g\",\"labels\":{\"a\":\"b\"}}}" },
	{ "list configmaps default", "labelSelector=a%3Db&limit=1", "" },
	{ "table:list configmaps default", "limit=1", "" },
	{ "table:list configmaps default", "", "" },
	{ "proto:list configmaps default", "limit=1", "" },
	{ "proto:meta:list configmaps default", "", "" },
	{ "proto:get configmaps default f", "", "" },
	{ "proto:get configmaps default none", "", "" },
	{ "create pods default", "", "{\"metadata\":{\"generateName\":\"p-\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}" },
	{ "create services default", "", "{\"metadata\":{\"generateName\":\"s-\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1}]}}" },
	{ "create subjectaccessreviews.authorization.k8s.io", "", "{\"spec\":{\"user\":\"u\",\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"x\"}}}" },
	{ "delete configmaps default f", "", "{\"propagationPolicy\":\"Background\"}" },
	{ "deletecollection pods default", "", "" },
	{ "deletecollection services default", "", "" },
};

static void test_allocations(struct rig *r)
{
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		/* there are two: a page without its token would pass for the end */
		bool page = strstr(steps[s].query, "limit=1") && strncmp(steps[s].what, "proto:", 6) != 0;
		unsigned int failures = 0, odd = 0;

		for (long n = 1; n < 5000; n++) {
			otap_fail_nth(n);
			rig_do(r, steps[s].what, steps[s].query, steps[s].body);
			if (!otap_faulted()) {
				otap_fail_nth(0);
				break;
			}
			otap_fail_nth(0);
			failures += r->code == 0 || r->code >= 500;
			if (r->code != 0 && r->code != 500 && r->code >= 300 && r->code != 409 && r->code != 404)
				diag("allocation %ld: %u %s", n, r->code, r->body);
			odd += r->code == 200 && page && !strstr(r->body, "\"continue\":\"");
			odd += r->code != 0 && r->code != 500 && (r->code >= 300 && r->code != 409 && r->code != 404);
		}
		ok(odd == 0, "%s: no other answer than success or an internal error", steps[s].what);
		diag("%u failures", failures);
	}
	is_int(reg_shard_busy(r->sh), 0, "nothing is left in flight");
}

/* What is only tried, or is about another object, is not done for want of memory. */
static void test_dry(struct rig *r)
{
	static const char *const tries[][2] = {
		{ "dryRun=All", "" },
		{ "dry%52un=%41ll", "" },
		{ "", "{\"dryRun\":[\"All\"]}" },
		{ "", "{\"dry\\u0052un\":[\"\\u0041ll\"]}" },
		{ "", "{\"preconditions\":{\"u\\u0069d\":\"\\u0078\"}}" },
	};

	is_int(rig_do(r, steps[0].what, "", steps[0].body), 201, "an object");
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		for (long n = 1; n < 5000; n++) {
			otap_fail_nth(n);
			rig_do(r, "delete configmaps default f", tries[i][0], tries[i][1]);
			if (!otap_faulted())
				break;
		}
		otap_fail_nth(0);
		is_int(rig_do(r, "get configmaps default f", "", ""), 200, "is there after %s%s", tries[i][0], tries[i][1]);
	}
	is_int(rig_do(r, "delete configmaps default f", "", ""), 200, "and goes");
}

static void test_storage(struct rig *r)
{
	static const struct {
		int		err;
		uint32_t	code;
	} t[] = { { ENOSPC, 507 }, { EIO, 500 }, { ETIMEDOUT, 504 }, { ECONNRESET, 500 }, { ECANCELED, 503 } };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		r->fail_txn = t[i].err;
		is_int(rig_do(r, steps[0].what, "", steps[0].body), t[i].code, "storage says %d", t[i].err);
		is_int(rig_do(r, "get configmaps default f", "", ""), 404, "nothing is there");
	}
}

int main(void)
{
	struct rig *r = rig_new();

	is_int(rig_boot(r), 0, "bootstrap");
	rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}");
	test_allocations(r);
	test_dry(r);
	test_storage(r);
	rig_free(r);
	return done_testing();
}
