/* limits.c - how far a node lets itself be used: thresholds, reservations, classes, refusals, and the words for it. */
#include "../admit.h"
#include "../qos.h"
#include "../security.h"
#include "../stats.h"

#include <errno.h>
#include <string.h>

#include "base/otap.h"

static struct obuf why;

static const char *said(void)
{
	return obuf_cstr(&why);
}

static struct ojson *json(const char *text)
{
	struct ojson *j = NULL;

	if (ojson_parse(text, strlen(text), &j, NULL))
		otap_bail_out("a test's own JSON is wrong");
	return j;
}

static void durations(void)
{
	static const struct { const char *text; int64_t ns; } v[] = {
		{ "0", 0 }, { "0s", 0 }, { "5m0s", 300000000000 }, { "1h30m", 5400000000000 }, { "100ms", 100000000 },
		{ "1.5s", 1500000000 }, { "", -1 }, { "5", -1 }, { "5x", -1 }, { "-1s", -1 }, { "s", -1 }, { "99999999h", -1 },
	};
	size_t i;

	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		int64_t ns = -1;
		int e = duration_parse(v[i].text, &ns);

		ok(v[i].ns < 0 ? e == -EINVAL : !e && ns == v[i].ns, "duration \"%s\"", v[i].text);
	}
}

static void thresholds(void)
{
	static const char *const bad[] = { "memory.available", "memory.available<", "x<1", "memory.available<1Zz", "memory.available<101%",
					   "memory.available<-1", "memory.available=1" };
	struct limits l = { 0 };
	struct limits other = { 0 };
	struct machine m = { .cpus = 4, .memory = 1000 << 20, .storage = 1000000 };
	struct reserve r;
	size_t i;

	is_int(thresholds_parse(&l, "memory.available<100Mi,nodefs.available<10%", false, &why), 0, "hard ones");
	is_int(thresholds_parse(&l, "pid.available<1k", true, &why), 0, "a soft one");
	ok(l.n == 3 && l.t[0].signal == SIG_MEMORY && l.t[0].value == 100 << 20 && l.t[1].percent > 0.099 && l.t[2].soft,
	   "are what they say");
	is_int(thresholds_grace(&l, "", &why), -EINVAL, "a soft one needs its time");
	ok(strstr(said(), "grace period must be specified for the soft eviction threshold pid.available"), "as upstream says");
	is_int(thresholds_grace(&l, "pid.available=1m30s", &why), 0, "given");
	is_int(l.t[2].grace_ns, 90000000000, "as long");
	is_int(thresholds_reclaim(&l, "memory.available=50Mi,nodefs.available=5%", &why), 0, "minimum reclaim");
	is_int(threshold_reclaim(&l.t[1], 1000), 50, "in percent");
	is_int(threshold_amount(&l.t[1], 1000), 100, "a threshold in percent");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(thresholds_parse(&other, bad[i], false, &why), -EINVAL, "\"%s\" is refused", bad[i]);
	is_int(thresholds_parse(&other, "memory.available<0%", false, &why), 0, "nothing of it");
	is_int(other.n, 0, "is off");
	is_int(reserve_parse(&l.reserved, "cpu=500m,memory=100Mi,ephemeral-storage=100", &why), 0, "reserved");
	is_int(reserve_parse(&l.reserved, "cpu=500m", &why), 0, "twice");
	is_int(reserve_parse(&l.reserved, "gold=1", &why), -EINVAL, "not everything can be");
	r = limits_allocatable(&l, &m);
	is_int(r.cpu_milli, 3000, "CPU without what is reserved");
	is_int(r.memory, 800 << 20, "memory also without the hard threshold");
	is_int(r.storage, 899900, "and storage");
}

static void classes(void)
{
	struct ojson *full = json("{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"200m\",\"memory\":\"64Mi\"}}},"
				  "{\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"64Mi\"}}}],"
				  "\"initContainers\":[{\"resources\":{\"limits\":{\"cpu\":\"2\",\"memory\":\"1Mi\"}}}]}}");
	struct ojson *some = json("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"500m\"},\"limits\":{\"memory\":\"1Gi\"}}},"
				  "{}],\"initContainers\":[{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}");
	struct ojson *none = json("{\"spec\":{\"containers\":[{}]}}");
	struct cg_limits l;

	qos_pod_limits(full, 100, &l);
	ok(l.cpu_shares == 2048 && l.cpu_quota == 200000 && l.memory == 128 << 20 && l.pids == 100,
	   "guaranteed: sums, or the largest init container");
	qos_pod_limits(some, -1, &l);
	ok(l.cpu_shares == 614 && l.cpu_quota == -1 && l.memory == -1, "burstable: requests with sidecars, no limit unless all have one");
	qos_pod_limits(none, -1, &l);
	ok(l.cpu_shares == 2 && !l.cpu_quota && !l.memory, "best effort: next to nothing");
	is_int(cgroup_weight(2), 1, "the least share is the least weight");
	is_int(cgroup_weight(262144), 10000, "the most is the most");
	ojson_unref(full);
	ojson_unref(some);
	ojson_unref(none);
}

static bool admitted(const char *pod, const char *node, struct admission *a)
{
	struct ojson *p = json(pod);
	struct ojson *n = json(node);
	bool yes;

	obuf_reset(&why);
	a->pod = p;
	a->node = n;
	a->message = &why;
	a->reason[0] = '\0';
	yes = admit_pod(a);
	ojson_unref(p);
	ojson_unref(n);
	return yes;
}

static void refusals(void)
{
	struct ojson *here = json("{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"900m\"}},\"ports\":[{\"hostPort\":80}]}]}}");
	const struct ojson *others[] = { here };
	struct admission a = { .others = others, .n_others = 1, .free = { 1000, 1 << 20, 1 << 20, 0 }, .max_pods = 2,
			       .allowed_sysctls = "kernel.msg*" };
	static const char node[] = "{\"metadata\":{\"name\":\"n\",\"labels\":{\"zone\":\"a\"}},\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}}";

#define TOLERANT "\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]"
	ok(admitted("{\"spec\":{" TOLERANT ",\"nodeSelector\":{\"zone\":\"a\"},\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}", node, &a),
	   "what fits is admitted: %s", said());
	ok(!admitted("{\"spec\":{" TOLERANT ",\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"101m\"}}}]}}", node, &a), "no CPU");
	is_str(a.reason, "OutOfcpu", "reason");
	is_str(said(), "Node didn't have enough resource: cpu, requested: 101, used: 900, capacity: 1000", "message");
	ok(!admitted("{\"spec\":{\"containers\":[{}]}}", node, &a) && !strcmp(a.reason, "TaintToleration"), "a taint");
	ok(!admitted("{\"spec\":{" TOLERANT ",\"nodeSelector\":{\"zone\":\"b\"},\"containers\":[{}]}}", node, &a) &&
	   !strcmp(a.reason, "NodeAffinity"), "another zone");
	ok(!admitted("{\"spec\":{" TOLERANT ",\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
		     "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"NotIn\",\"values\":[\"a\"]}]}]}}},\"containers\":[{}]}}", node, &a),
	   "not here");
	ok(!admitted("{\"spec\":{" TOLERANT ",\"containers\":[{\"ports\":[{\"hostPort\":80}]}]}}", node, &a) && !strcmp(a.reason, "NodePorts"),
	   "a port that is taken");
	ok(admitted("{\"spec\":{" TOLERANT ",\"containers\":[{\"ports\":[{\"hostPort\":80,\"protocol\":\"UDP\"}]}]}}", node, &a), "of another protocol");
	a.max_pods = 1;
	ok(!admitted("{\"spec\":{" TOLERANT ",\"containers\":[{}]}}", node, &a) && !strcmp(a.reason, "OutOfpods"), "too many pods");
	a.max_pods = 9;
	ok(admitted("{\"spec\":{" TOLERANT ",\"securityContext\":{\"sysctls\":[{\"name\":\"net/ipv4/tcp_syncookies\"},{\"name\":\"kernel.msgmax\"}]},\"containers\":[{}]}}",
		    node, &a), "safe and allowed sysctls");
	ok(!admitted("{\"spec\":{" TOLERANT ",\"securityContext\":{\"sysctls\":[{\"name\":\"vm.swappiness\"}]},\"containers\":[{}]}}", node, &a),
	   "an unsafe one");
	is_str(said(), "forbidden sysctl: \"vm.swappiness\" not allowlisted", "as upstream says");
	ok(!admitted("{\"spec\":{" TOLERANT ",\"hostNetwork\":true,\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_syncookies\"}]},\"containers\":[{}]}}",
		     node, &a), "the host's network is not changed");
	a.pressure[PRESSURE_MEMORY] = true;
	ok(!admitted("{\"spec\":{" TOLERANT ",\"containers\":[{}]}}", node, &a) && !strcmp(a.reason, "Evicted"), "pressure: best effort may not");
	ok(admitted("{\"spec\":{" TOLERANT ",\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"1Ki\"}}}]}}", node, &a), "others may");
	a.pressure[PRESSURE_DISK] = true;
	ok(!admitted("{\"spec\":{" TOLERANT ",\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"1Ki\"}}}]}}", node, &a),
	   "not when the disk is short");
	ok(admitted("{\"spec\":{\"priority\":2000001000," TOLERANT ",\"containers\":[{}]}}", node, &a), "who is critical always may");
	ojson_unref(here);
}

#define ASKS(cpu, memory, more) "{\"spec\":{" more "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"" cpu "\",\"memory\":\"" memory "\"}}}]}}"
#define ALL(cpu, memory) "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"" cpu "\",\"memory\":\"" memory "\"}," \
			"\"limits\":{\"cpu\":\"" cpu "\",\"memory\":\"" memory "\"}}}]}}"
#define CRITICAL "\"priority\":2000001000,"

static const char *preempted(struct admission *a)
{
	static char names[16];
	struct obuf err = OBUF_INIT;
	uint8_t chosen[8];
	size_t n = 0;

	obuf_reset(&why);
	if (preempt_choose(a, chosen, &err)) {
		obuf_puts(&why, obuf_cstr(&err));
		obuf_done(&err);
		return "none";
	}
	for (size_t i = 0; i < a->n_others; i++)
		if (chosen[i])
			names[n++] = (char)('0' + i);
	names[n] = '\0';
	obuf_done(&err);
	return names;
}

static void preemptions(void)
{
	struct ojson *v[] = { json("{\"spec\":{\"containers\":[{}]}}"), json(ASKS("100m", "1k", "")), json(ASKS("300m", "1k", "")),
			      json(ALL("500m", "1k")), json(ASKS("100m", "9k", CRITICAL)) };
	const struct ojson *others[] = { v[0], v[1], v[2], v[3], v[4] };
	struct admission a = { .others = others, .n_others = 5, .free = { 1000, 20000, 1 << 20, 0 }, .max_pods = 9, .allowed_sysctls = "" };
	struct ojson *p;

	ok(!admitted(ASKS("100m", "1k", ""), "{}", &a) && !strcmp(a.reason, "OutOfcpu"), "a full node");
	ok(admitted(ASKS("100m", "1k", CRITICAL), "{}", &a) && a.lacking && !why.len, "does not refuse who is critical");
	p = json(ASKS("100m", "1k", CRITICAL));
	a.pod = p;
	is_str(preempted(&a), "1", "who asks for what is missing goes");
	ojson_unref(p);
	ok(admitted(ASKS("250m", "1k", CRITICAL), "{}", &a), "more is missing");
	p = json(ASKS("250m", "1k", CRITICAL));
	a.pod = p;
	is_str(preempted(&a), "2", "one that is enough goes, not two");
	ojson_unref(p);
	ok(admitted(ASKS("800m", "1k", CRITICAL), "{}", &a), "most of it");
	p = json(ASKS("800m", "1k", CRITICAL));
	a.pod = p;
	is_str(preempted(&a), "23", "who is guaranteed it goes only if nobody else is enough");
	ojson_unref(p);
	a.max_pods = 5;
	ok(admitted("{\"spec\":{" CRITICAL "\"containers\":[{}]}}", "{}", &a), "one pod too many");
	p = json("{\"spec\":{" CRITICAL "\"containers\":[{}]}}");
	a.pod = p;
	is_str(preempted(&a), "0", "best effort goes");
	ojson_unref(p);
	a.max_pods = 9;
	ok(admitted(ASKS("950m", "1k", CRITICAL), "{}", &a), "more than others have");
	p = json(ASKS("950m", "1k", CRITICAL));
	a.pod = p;
	is_str(preempted(&a), "none", "nobody goes in vain");
	is_str(said(), "no set of running pods found to reclaim resources: [(res: cpu, q: 50), ]", "as upstream says");
	ojson_unref(p);
	ok(!admitted("{\"spec\":{" CRITICAL "\"nodeSelector\":{\"no\":\"way\"},\"containers\":[{}]}}", "{}", &a), "who must not be here takes nobody's place");
	for (size_t i = 0; i < 5; i++)
		ojson_unref(v[i]);
}

static void users(void)
{
	struct ojson *pod = json("{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\"},\"spec\":{\"securityContext\":{\"runAsNonRoot\":true},"
				 "\"containers\":[{\"name\":\"c\"},{\"name\":\"d\",\"securityContext\":{\"runAsUser\":0}},"
				 "{\"name\":\"e\",\"securityContext\":{\"runAsNonRoot\":false}},{\"name\":\"f\",\"securityContext\":{\"runAsUser\":7}}]}}");
	const struct ojson *c = OJSON_AT(pod, "spec", "containers");
	struct obuf b = OBUF_INIT;

	ok(security_user_refused(pod, ojson_index(c, 0), -1, NULL, &b), "an image that says nothing runs as root");
	is_str(obuf_cstr(&b), "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)", "as upstream says");
	obuf_reset(&b);
	ok(security_user_refused(pod, ojson_index(c, 0), -1, "www", &b), "a name tells nothing");
	ok(strstr(obuf_cstr(&b), "image has non-numeric user (www), cannot verify user is non-root"), "as upstream says");
	obuf_reset(&b);
	ok(security_user_refused(pod, ojson_index(c, 1), 5, NULL, &b), "0 is root");
	ok(strstr(obuf_cstr(&b), "container's runAsUser breaks non-root policy"), "as upstream says");
	ok(!security_user_refused(pod, ojson_index(c, 0), 5, NULL, &b), "an image with a number is fine");
	ok(!security_user_refused(pod, ojson_index(c, 2), 0, NULL, &b), "a container may say that it does not mind");
	ok(!security_user_refused(pod, ojson_index(c, 3), 0, NULL, &b), "or take another user");
	obuf_done(&b);
	ojson_unref(pod);
}

/* Documents that others read, of odd numbers. */
static void documents(void)
{
	struct kubelet k = { .node_name = "n\"1" };
	struct stats_ctr c = { .name = (char *)(uintptr_t)"c", .id = (char *)(uintptr_t)"i", .image = (char *)(uintptr_t)"img",
			       .cgroup = (char *)(uintptr_t)"/k/p/i", .rated = true, .nano_cores = 5 };
	struct stats_vol v = { .name = (char *)(uintptr_t)"v", .use = { 7, 1 } };
	struct stats_pod p = { .name = (char *)(uintptr_t)"p", .ns = (char *)(uintptr_t)"default", .uid = (char *)(uintptr_t)"u",
			       .cgroup = (char *)(uintptr_t)"/k/p", .ctrs = &c, .n_ctrs = 1, .vols = &v, .n_vols = 1 };
	struct stats s = { .k = &k, .pods = &p, .n_pods = 1 };
	struct ojson *j = NULL;
	struct obuf b = OBUF_INIT;
	int few;

	c.cg.ok = true;
	c.cg.mem_limit = 100;
	c.cg.mem_working_set = 200;
	p.cg = c.cg;
	c.rootfs.bytes = 3;
	for (few = 0; few < 2; few++) {
		summary_write(&s, few, true, &b);
		ok(!ojson_parse(obuf_cstr(&b), b.len, &j, NULL), "the summary%s is JSON", few ? " in short" : "");
		is_int(ojson_i64(OJSON_AT(ojson_index(ojson_get(j, "pods"), 0), "memory", "availableBytes"), -1), 0, "nothing is negative");
		ok(!few == (OJSON_AT(ojson_index(ojson_get(j, "pods"), 0), "ephemeral-storage") != NULL), "disks only when asked for");
		ojson_unref(j);
		j = NULL;
		obuf_reset(&b);
	}
	is_int(stats_pod_disk(&p), 10, "a pod's disk is all of it");
	prom_resource(&s, &b);
	ok(strstr(obuf_cstr(&b), "\ncontainer_memory_working_set_bytes{container=\"c\",namespace=\"default\",pod=\"p\"} 200 0\n"), "metrics");
	obuf_done(&b);
}

int main(void)
{
	obuf_init(&why);
	durations();
	thresholds();
	classes();
	refusals();
	preemptions();
	users();
	documents();
	obuf_done(&why);
	return done_testing();
}
