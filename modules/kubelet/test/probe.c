/* probe.c - probes decide when a container is started, ready and no longer alive; hooks before a stop. */
#include "kit.h"

static void test_readiness(void)
{
	kit_begin();
	kit.probe_exit = 1;
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"readinessProbe\":{\"exec\":{\"command\":[\"ready\"]},"
			     "\"periodSeconds\":5,\"failureThreshold\":2}}]"));
	kit_run(500);
	is_str(kit_get("p", "status.phase"), "Running", "it runs");
	is_str(kit_condition("p", "Ready"), "False", "but is not Ready");
	is_str(kit_get("p", "status.containerStatuses.0.started"), "true", "started");
	is_int(fakehost_api_count(kit.fh, "Readiness probe failed: said"), 1, "event Unhealthy");
	kit.probe_exit = 0;
	kit_run(5000);
	is_str(kit_condition("p", "Ready"), "True", "until the probe succeeds");
	kit.probe_exit = 1;
	kit_run(5000);
	is_str(kit_condition("p", "Ready"), "True", "one failure is forgiven");
	kit_run(5000);
	is_str(kit_condition("p", "Ready"), "False", "two are not");
	is_int(kit_count("stop a"), 0, "it goes on running");
	kit.probe_exit = 0;
	kit_run(5000);
	fakehost_crash(kit.fh, kit.m);
	kit.poller = NULL;
	fakehost_api_clear(kit.fh);
	kit_load();
	kit_run(100);
	is_str(kit_condition("p", "Ready"), "True", "a restarted kubelet believes what was known");
	is_int(fakehost_api_count(kit.fh, "pods/status"), 0, "and says nothing else in between");
	kit_end();
}

static void test_liveness(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"terminationGracePeriodSeconds\":9,\"containers\":[{\"name\":\"a\",\"image\":\"i\","
			     "\"startupProbe\":{\"exec\":{\"command\":[\"started\"]},\"periodSeconds\":1,\"failureThreshold\":30},"
			     "\"livenessProbe\":{\"exec\":{\"command\":[\"alive\"]},\"periodSeconds\":10,\"failureThreshold\":1}}]"));
	kit.probe_exit = 1;
	kit_run(3500);
	is_str(kit_get("p", "status.containerStatuses.0.started"), "false", "not started yet");
	is_int(kit_count("exec alive"), 0, "liveness waits for that");
	kit.probe_exit = 0;
	kit_run(1000);
	is_str(kit_get("p", "status.containerStatuses.0.started"), "true", "started");
	is_str(kit_condition("p", "Ready"), "True", "and ready");
	is_int(kit_count("exec alive"), 1, "now liveness is asked");
	kit.probe_exit = 1;
	kit_run(10000);
	is_int(kit_count("stop a"), 1, "which ends it");
	is_int(kit.stop_timeout, 9, "with its grace");
	is_int(kit_count("create a"), 2, "and it is started again");
	is_int(fakehost_api_count(kit.fh, "Container a failed liveness probe, will be restarted"), 1, "event Killing");
	kit_end();
}

static void test_prestop(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"bye\"]}}}}]"));
	kit_run(100);
	fakehost_delete(kit.fh, "pods", "default", "p");
	kit_run(100);
	ok(kit_count("exec bye\nstop a"), "the hook runs before the stop");
	is_int(kit_count("remove_sandbox"), 1, "and everything goes");
	kit_end();
}

int main(void)
{
	test_readiness();
	test_liveness();
	test_prestop();
	return done_testing();
}
