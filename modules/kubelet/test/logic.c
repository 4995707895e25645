/* logic.c - tables of what decides: back-off, log lines, expansion, phases, cgroup numbers. */
#include "kit.h"

static void test_backoff(void)
{
	static const int want[] = { 0, 10, 20, 40, 80, 160, 300, 300 };
	struct backoff b = { 0, 0 };
	int64_t now = 1000 * (int64_t)NS_PER_S;
	size_t i;

	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		int64_t until = backoff_until(&b, now, now);

		is_int(until ? (until - now) / (int64_t)NS_PER_S : 0, want[i], "failure %zu waits %d s", i + 1, want[i]);
		if (until)
			now = until;
		backoff_next(&b, now);
	}
	is_int(backoff_until(&b, now + 601 * (int64_t)NS_PER_S, now + 601 * (int64_t)NS_PER_S), 0, "ten good minutes forget");
}

static void test_lines(void)
{
	static const char full[] = "2026-01-02T03:04:05.000000006Z stdout F hello world";
	static const char part[] = "2026-01-02T03:04:05.1+00:00 stderr P half";
	static const char *const bad[] = { "", "x", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z stdin F x",
					   "2026-01-02T03:04:05Z stdout", "nonsense stdout F x" };
	static const char tail[] = "2026-01-02T03:04:05Z stdout F a\n2026-01-02T03:04:05Z stdout P b\n"
				   "2026-01-02T03:04:05Z stdout F c\n2026-01-02T03:04:05Z stderr F d\n";
	struct obuf out = OBUF_INIT;
	struct logline l;
	size_t i;

	ok(logline_parse(full, sizeof(full) - 1, &l) && !l.err && !l.partial, "a full line");
	is_mem(l.p, l.len, "hello world", 11, "its text");
	ok(logline_parse(part, sizeof(part) - 1, &l) && l.err && l.partial, "a part of one, of stderr");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!logline_parse(bad[i], strlen(bad[i]), &l), "refused: \"%s\"", bad[i]);
	logline_tail(tail, sizeof(tail) - 1, 3, 100, &out);
	is_str(obuf_cstr(&out), "bc\nd\n", "the last lines");
	obuf_done(&out);
}

static void test_expand(void)
{
	static const struct { const char *in, *out; } t[] = {
		{ "$(A)", "1" }, { "x$(A)y$(B)", "x1y2" }, { "$$(A)", "$(A)" }, { "$(C)", "$(C)" }, { "$A", "$A" },
		{ "$", "$" }, { "$(A", "$(A" }, { "$$$(A)", "$1" }, { "a$$", "a$" }, { "", "" },
	};
	static const char vars[] = "[{\"key\":\"A\",\"value\":\"1\"},{\"key\":\"B\",\"value\":\"2\"}]";
	struct ojson *env = NULL;
	size_t i;

	(void)ojson_parse(vars, sizeof(vars) - 1, &env, NULL);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct obuf b = OBUF_INIT;

		env_expand(t[i].in, strlen(t[i].in), env, &b);
		is_str(obuf_cstr(&b), t[i].out, "\"%s\"", t[i].in);
		obuf_done(&b);
	}
	ojson_unref(env);
}

static struct ojson *parse(const char *text)
{
	struct ojson *j = NULL;

	if (ojson_parse(text, strlen(text), &j, NULL))
		otap_bail_out("bad JSON in the test");
	return j;
}

static void test_resources(void)
{
	static const struct { const char *pod; enum qos qos; int64_t shares, quota, oom; } t[] = {
		{ "{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", QOS_BESTEFFORT, 2, 0, 1000 },
		{ "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}}]}}",
		  QOS_GUARANTEED, 1024, 100000, -997 },
		{ "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{\"memory\":\"1Gi\"}}}]}}", QOS_BURSTABLE, 2, 0, 900 },
		{ "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{\"memory\":\"1Ki\"}}}]}}", QOS_BURSTABLE, 2, 0, 999 },
		{ "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{\"memory\":\"100Gi\"},\"limits\":{\"cpu\":\"1m\"}}}]}}",
		  QOS_BURSTABLE, 2, 1000, 3 },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ojson *pod = parse(t[i].pod);
		struct ojson *r = resources_linux(pod, ojson_index(OJSON_AT(pod, "spec", "containers"), 0), 10ll << 30);

		is_int(qos_class(pod), t[i].qos, "class %zu", i);
		is_int(ojson_get_i64(r, "cpuShares", 0), t[i].shares, "shares %zu", i);
		is_int(ojson_get_i64(r, "cpuQuota", 0), t[i].quota, "quota %zu", i);
		is_int(ojson_get_i64(r, "oomScoreAdj", 0), t[i].oom, "oom score %zu", i);
		ojson_unref(r);
		ojson_unref(pod);
	}
}

static void test_phases(void)
{
	/* restartPolicy, states of two containers: w waiting, r running, 0 and 1 ended; final, phase */
	static const struct { const char *policy, *states; bool final; const char *phase; } t[] = {
		{ "Always", "ww", false, "Pending" }, { "Always", "rw", false, "Pending" },
		{ "Always", "rr", false, "Running" }, { "Always", "r0", false, "Running" },
		{ "Always", "00", false, "Running" }, { "Always", "11", false, "Running" },
		{ "OnFailure", "00", false, "Succeeded" }, { "OnFailure", "01", false, "Running" },
		{ "OnFailure", "r0", false, "Running" }, { "Never", "00", false, "Succeeded" },
		{ "Never", "01", false, "Failed" }, { "Never", "r1", false, "Running" },
		{ "Always", "00", true, "Succeeded" }, { "Always", "01", true, "Failed" },
		{ "Always", "ww", true, "Failed" }, { "Always", "r1", true, "Running" },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[300];
		char name[2][2] = { "a", "b" };
		struct ctr c[2];
		struct ctr *list[2] = { &c[0], &c[1] };
		struct pod p = { .ctrs = list, .n_ctrs = 2 };
		size_t k;

		snprintf(text, sizeof(text), "{\"spec\":{\"restartPolicy\":\"%s\",\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
			 t[i].policy);
		p.obj = parse(text);
		memset(c, 0, sizeof(c));
		for (k = 0; k < 2; k++) {
			char s = t[i].states[k];

			c[k].pod = &p;
			c[k].name = name[k];
			c[k].kind = CTR_MAIN;
			c[k].id = s == 'w' ? NULL : name[k];
			c[k].state = s == 'w' ? C_WAITING : s == 'r' ? C_RUNNING : C_EXITED;
			c[k].exit_code = s == '1';
		}
		is_str(status_phase(&p, t[i].final), t[i].phase, "%s %s%s", t[i].policy, t[i].states, t[i].final ? " at its end" : "");
		ojson_unref(p.obj);
	}
}

static void test_hosts(void)
{
	struct ojson *pod = parse("{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"ns\"},\"spec\":{\"hostname\":\"h\",\"subdomain\":\"s\","
				  "\"hostAliases\":[{\"ip\":\"1.2.3.4\",\"hostnames\":[\"x\",\"y\"]}],\"dnsConfig\":{\"options\":[{\"name\":\"edns0\"}]}}}");
	struct config_world w = { .pod = pod, .node_name = "n1", .cluster_dns = "10.96.0.10", .cluster_domain = "cluster.local" };
	struct obuf b = OBUF_INIT;

	config_hosts(&w, "10.0.0.2", NULL, "", &b);
	ok(strstr(obuf_cstr(&b), "10.0.0.2\th.s.ns.svc.cluster.local\th\n"), "/etc/hosts names the pod");
	ok(strstr(obuf_cstr(&b), "1.2.3.4\tx\ty\n"), "and its aliases");
	obuf_reset(&b);
	config_resolv(&w, "nameserver 9.9.9.9\n", &b);
	is_str(obuf_cstr(&b), "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n"
	       "options edns0 ndots:5\n", "/etc/resolv.conf with a cluster DNS");
	obuf_reset(&b);
	w.cluster_dns = "";
	config_resolv(&w, "nameserver 9.9.9.9", &b);
	is_str(obuf_cstr(&b), "nameserver 9.9.9.9\noptions edns0\n", "without: the host's");
	obuf_done(&b);
	ojson_unref(pod);
}

int main(void)
{
	test_backoff();
	test_lines();
	test_expand();
	test_resources();
	test_phases();
	test_hosts();
	return done_testing();
}
