/* hooks.c - what happens after a start and before an end: hooks, the order of ends, rules for another start. */
#include "kit.h"

#include <sys/stat.h>

static int place(const char *text)
{
	const char *p = strstr(kit.ops, text);

	return p ? (int)(p - kit.ops) : -1;
}

static void test_poststart(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"lifecycle\":{\"postStart\":{\"sleep\":{\"seconds\":3}},"
			     "\"preStop\":{\"exec\":{\"command\":[\"bye\"]}}}}]"));
	kit_run(2000);
	is_str(kit_get("p", "status.phase"), "Pending", "until its hook has ended a container is not running");
	is_str(kit_get("p", "status.containerStatuses.0.state.waiting.reason"), "ContainerCreating", "but being created");
	kit_run(1500);
	is_str(kit_get("p", "status.phase"), "Running", "then it is");
	is_str(kit_condition("p", "Ready"), "True", "and ready");
	fakehost_delete(kit.fh, "pods", "default", "p");
	kit_run(1000);
	ok(place("exec bye") >= 0 && place("exec bye") < place("stop a"), "preStop comes before the stop");
	is_int(fakehost_api_count(kit.fh, "FailedPreStopHook"), 0, "and is content");
	kit_end();

	kit_begin();
	kit.probe_exit = 1;
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"lifecycle\":{\"postStart\":{\"exec\":{\"command\":[\"no\"]}}}}]"));
	kit_run(500);
	is_int(fakehost_api_count(kit.fh, "PostStartHook failed"), 1, "event FailedPostStartHook");
	ok(kit_count("stop a") >= 1, "its container is ended");
	ok(strstr(kit.ops, "create a\nstart a\nexec no\nstop a\ncreate a") != NULL || kit_count("create a") >= 2, "and started again");
	kit_end();

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"terminationGracePeriodSeconds\":10,\"containers\":[{\"name\":\"a\",\"image\":\"i\","
			     "\"lifecycle\":{\"preStop\":{\"sleep\":{\"seconds\":4}}}}]"));
	kit_run(100);
	fakehost_put(kit.fh, "pods", "default", "p",
		     "{\"metadata\":{\"deletionTimestamp\":\"2020-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":10},\"spec\":"
		     "{\"nodeName\":\"n1\",\"terminationGracePeriodSeconds\":10,\"containers\":[{\"name\":\"a\",\"image\":\"i\","
		     "\"lifecycle\":{\"preStop\":{\"sleep\":{\"seconds\":4}}}}]}}");
	kit_run(3000);
	is_int(kit_count("stop a"), 0, "a hook takes its time");
	kit_run(1500);
	is_int(kit_count("stop a"), 1, "then the container is stopped");
	is_int(kit.stop_timeout, 6, "with what is left of the grace");
	kit_end();
}

static const char sidecars[] =
	KIT_POD("\"initContainers\":[{\"name\":\"i\",\"image\":\"i\"},{\"name\":\"s1\",\"image\":\"i\",\"restartPolicy\":\"Always\"},"
		"{\"name\":\"s2\",\"image\":\"i\",\"restartPolicy\":\"Always\"}],\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]");

static void test_sidecars(void)
{
	int i;

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p", sidecars);
	kit_run(100);
	is_int(kit_count("create s1"), 0, "sidecars wait for the init containers before them");
	for (i = 0; i < kit.n_c; i++)
		if (!strcmp(kit.c[i].name, "i"))
			kit_exit(&kit.c[i], 0);
	kit_run(500);
	ok(place("start s1") < place("create s2") && place("start s2") < place("create m"), "they start in their order");
	is_str(kit_get("p", "status.phase"), "Running", "and the pod runs");
	fakehost_delete(kit.fh, "pods", "default", "p");
	kit_run(2000);
	ok(place("stop m") >= 0 && place("stop m") < place("stop s2") && place("stop s2") < place("stop s1"),
	   "they end in the reverse, after the main container");
	kit_end();
}

static void test_rules(void)
{
	int i;

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     "{\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"i\","
		     "\"restartPolicy\":\"Never\",\"restartPolicyRules\":[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\","
		     "\"values\":[42]}}]}]}}");
	kit_run(100);
	kit_exit(&kit.c[0], 42);
	kit_run(500);
	is_int(kit_count("create a"), 2, "a rule for its exit code starts it again");
	for (i = 0; i < kit.n_c; i++)
		if (kit.c[i].state == 1)
			kit_exit(&kit.c[i], 1);
	kit_run(20000);
	is_int(kit_count("create a"), 2, "another exit code does not");
	is_str(kit_get("p", "status.phase"), "Failed", "and the pod has failed");
	kit_end();
}

static void test_ephemeral(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p", KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]"));
	kit_run(100);
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"containers\":[{\"name\":\"a\",\"image\":\"i\"}],\"ephemeralContainers\":[{\"name\":\"d\",\"image\":\"i\","
			     "\"targetContainerName\":\"a\"}]"));
	kit_run(200);
	is_int(kit_count("create d"), 1, "an ephemeral container starts in a pod that runs");
	is_int(kit_count("create a"), 1, "and disturbs no other");
	is_str(ojson_cstr(OJSON_AT(kit.c[1].config, "linux", "securityContext", "namespaceOptions", "targetId"), ""), "c1",
	       "it sees the processes of its target");
	ok(strstr(kit_get("p", "status.ephemeralContainerStatuses"), "running") != NULL, "it is in the status");
	kit_exit(&kit.c[1], 0);
	kit_run(30000);
	is_int(kit_count("create d"), 1, "it is never started again");
	is_str(kit_get("p", "status.phase"), "Running", "and its end is not the pod's");
	kit_end();
}

int main(void)
{
	test_poststart();
	test_sidecars();
	test_rules();
	test_ephemeral();
	return done_testing();
}
