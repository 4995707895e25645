/* life.c - pods from pending to running, in crash loops, to their end, and over a daemon's restart. */
#include "kit.h"

#include "base/otime.h"

static const char web[] = KIT_POD("\"containers\":[{\"name\":\"web\",\"image\":\"hello:1\"}]");

static void test_start(void)
{
	kit_begin();
	kit_load();
	ok(fakehost_is_ready(kit.fh, kit.m), "the kubelet is ready");
	ok(fakehost_get(kit.fh, "nodes", "", "n1") != NULL, "the Node is registered");
	ok(strstr(fakehost_get(kit.fh, "nodes", "", "n1"), "KubeletReady") != NULL, "and Ready");
	ok(fakehost_get(kit.fh, "leases.coordination.k8s.io", "kube-node-lease", "n1") != NULL, "it has a Lease");
	fakehost_put(kit.fh, "pods", "default", "other",
		     "{\"spec\":{\"nodeName\":\"n2\",\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]}}");
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	is_str(kit_get("web", "status.phase"), "Running", "a pod runs");
	is_str(kit_get("web", "status.podIP"), "10.0.0.2", "with the address that cni gave");
	is_str(kit_get("web", "status.hostIP"), "192.0.2.1", "and the host's");
	is_str(kit_condition("web", "Ready"), "True", "Ready");
	is_str(kit_condition("web", "PodReadyToStartContainers"), "True", "PodReadyToStartContainers");
	is_str(kit_condition("web", "Initialized"), "True", "Initialized");
	is_str(kit_get("web", "status.containerStatuses.0.containerID"), "orlop://c1", "container id");
	is_str(kit_get("web", "status.containerStatuses.0.imageID"), "hello@sha256:1", "image id");
	is_str(kit_get("web", "status.containerStatuses.0.started"), "true", "started");
	is_str(kit_get("web", "status.containerStatuses.0.user"),
	       "{\"linux\":{\"uid\":7,\"gid\":8,\"supplementalGroups\":[8,9]}}", "who it runs as");
	is_str(kit_get("web", "status.qosClass"), "BestEffort", "qos class");
	is_int(kit_count("run_sandbox"), 1, "one sandbox: pods of other nodes are not ours");
	is_int(fakehost_api_count(kit.fh, "Created container: web"), 1, "event Created");
	is_int(fakehost_api_count(kit.fh, "Started container web"), 1, "event Started");
	is_int(fakehost_api_count(kit.fh, "already present on machine"), 1, "event Pulled");
	is_int(fakehost_api_count(kit.fh, "kubelet does not have ClusterDNS IP configured and cannot create Pod using \\\"ClusterFirst\\\" policy. "
					  "Falling back to \\\"Default\\\" policy."), 2, "events MissingClusterDNS, of the node and of the pod");
	fakehost_api_clear(kit.fh);
	kit_run(5000);
	is_int(fakehost_api_count(kit.fh, "pods/status"), 0, "nothing is told twice");
	kit_end();
}

static void test_crash(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	kit_exit(kit_ctr("web"), 1);
	kit_run(100);
	is_int(kit_count("create web"), 2, "the first end is followed by a start at once");
	is_str(kit_get("web", "status.containerStatuses.0.restartCount"), "1", "counted");
	is_str(kit_get("web", "status.containerStatuses.0.lastState.terminated.exitCode"), "1", "lastState");
	is_str(kit_get("web", "status.containerStatuses.0.lastState.terminated.reason"), "Error", "its reason");
	kit_exit(kit_ctr("web"), 1);
	kit_run(100);
	is_int(kit_count("create web"), 2, "the second waits");
	is_str(kit_get("web", "status.containerStatuses.0.state.waiting.reason"), "CrashLoopBackOff", "and says why");
	is_str(kit_get("web", "status.phase"), "Running", "phase stays Running");
	is_str(kit_condition("web", "Ready"), "False", "not Ready");
	is_int(fakehost_api_count(kit.fh, "Back-off restarting failed container web in pod web_default("), 1, "event BackOff");
	kit_run(9000);
	is_int(kit_count("create web"), 2, "not yet after 9 s");
	kit_run(1500);
	is_int(kit_count("create web"), 3, "after 10 s it is started");
	kit_exit(kit_ctr("web"), 1);
	kit_run(19000);
	is_int(kit_count("create web"), 3, "then 20 s");
	kit_run(2000);
	is_int(kit_count("create web"), 4, "are waited");
	is_int(kit_count("remove web"), 2, "only the last ended one is kept");
	kit_run(1300 * 1000);
	kit_exit(kit_ctr("web"), 1);
	kit_run(100);
	is_int(kit_count("create web"), 5, "after a long good time it begins anew");
	kit_end();
}

static void test_policies(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "job",
		     "{\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}}");
	fakehost_put(kit.fh, "pods", "default", "bad",
		     "{\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"b\",\"image\":\"i\"}]}}");
	fakehost_put(kit.fh, "pods", "default", "again",
		     "{\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"OnFailure\",\"containers\":[{\"name\":\"d\",\"image\":\"i\"}]}}");
	kit_run(100);
	kit_exit(kit_ctr("a"), 0);
	kit_exit(kit_ctr("b"), 2);
	kit_exit(kit_ctr("d"), 1);
	kit_run(100);
	is_str(kit_get("job", "status.phase"), "Succeeded", "Never, 0: Succeeded");
	is_str(kit_get("bad", "status.phase"), "Failed", "Never, 2: Failed");
	is_str(kit_get("again", "status.phase"), "Running", "OnFailure: started again");
	is_int(kit_count("stop_sandbox"), 2, "what has finished gives up its network");
	kit_exit(kit_ctr("d"), 0);
	kit_run(100);
	is_str(kit_get("again", "status.phase"), "Succeeded", "and ends well");
	is_int(kit_count("remove_sandbox"), 0, "logs stay");
	is_str(kit_get("job", "status.containerStatuses.0.state.terminated.reason"), "Completed", "reason Completed");
	kit_end();
}

static void test_init(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "p",
		     KIT_POD("\"initContainers\":[{\"name\":\"i1\",\"image\":\"i\"},{\"name\":\"side\",\"image\":\"i\",\"restartPolicy\":\"Always\"},"
			     "{\"name\":\"i2\",\"image\":\"i\"}],\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]"));
	kit_run(100);
	is_int(kit_count("start "), 1, "one init container at a time");
	is_str(kit_condition("p", "Initialized"), "False", "not Initialized");
	is_str(kit_get("p", "status.containerStatuses.0.state.waiting.reason"), "PodInitializing", "the main one waits");
	is_str(kit_get("p", "status.phase"), "Pending", "Pending");
	kit_exit(kit_ctr("i1"), 0);
	kit_run(100);
	is_int(kit_count("start side"), 1, "then the sidecar");
	is_int(kit_count("start i2"), 1, "which the next does not wait for");
	is_int(kit_count("start m"), 0, "but the main one waits");
	kit_exit(kit_ctr("i2"), 0);
	kit_run(100);
	is_int(kit_count("start m"), 1, "until all are done");
	is_str(kit_get("p", "status.phase"), "Running", "Running");
	is_str(kit_condition("p", "Initialized"), "True", "Initialized");
	is_str(kit_get("p", "status.initContainerStatuses.0.ready"), "true", "init container done: ready");
	kit_end();
}

static void test_pull(void)
{
	kit_begin();
	kit.image_there = false;
	kit.pull_error = "manifest unknown";
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	is_str(kit_get("web", "status.containerStatuses.0.state.waiting.message"),
	       "Back-off pulling image \"hello:1\": ErrImagePull: manifest unknown", "a pull that fails");
	is_str(kit_get("web", "status.containerStatuses.0.state.waiting.reason"), "ImagePullBackOff", "backs off");
	is_int(fakehost_api_count(kit.fh, "Failed to pull image"), 1, "event Failed");
	kit.pull_error = NULL;
	kit_run(11000);
	is_str(kit_get("web", "status.phase"), "Running", "and is tried again after 10 s");
	is_int(kit_count("pull "), 2, "two pulls");
	fakehost_put(kit.fh, "pods", "default", "never",
		     KIT_POD("\"containers\":[{\"name\":\"n\",\"image\":\"x:1\",\"imagePullPolicy\":\"Never\"}]"));
	kit.image_there = false;
	kit_run(100);
	is_str(kit_get("never", "status.containerStatuses.0.state.waiting.reason"), "ErrImageNeverPull", "Never pulls never");
	kit_end();
}

static void test_delete(void)
{
	char path[200];

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	kit.slow_stop = true;
	fakehost_put(kit.fh, "pods", "default", "web",
		     "{\"metadata\":{\"finalizers\":[\"test/keep\"],\"deletionTimestamp\":\"2026-01-01T00:01:00Z\",\"deletionGracePeriodSeconds\":7},"
		     "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"web\",\"image\":\"hello:1\"}]}}");
	kit_run(100);
	is_int(kit_count("stop web"), 1, "deletion stops the container");
	is_int(kit.stop_timeout, 7, "with the grace of the deletion");
	is_int(fakehost_api_count(kit.fh, "Stopping container web"), 1, "event Killing");
	is_int(kit_count("stop_sandbox"), 0, "and waits for its end");
	kit_exit(kit_ctr("web"), 143);
	fakehost_reply(kit.stops[0], 0, NULL);
	kit_run(100);
	is_int(kit_count("del s1"), 1, "then the network is detached");
	is_int(kit_count("stop_sandbox"), 0, "the sandbox not stopped first:");
	is_int(kit_count("remove web"), 1, "the container is removed");
	is_int(kit_count("remove_sandbox s1"), 1, "and the sandbox");
	ok(fakehost_api_count(kit.fh, "\"exitCode\":143") > 0, "the last status has told how it ended");
	is_int(fakehost_api_count(kit.fh, "delete pods default/web"), 1, "the object is deleted last");
	is_int(fakehost_api_count(kit.fh, "\"gracePeriodSeconds\":0"), 1, "without grace");
	is_int(fakehost_api_count(kit.fh, "\"preconditions\":{\"uid\""), 1, "and only itself");
	kit_run(1000);
	is_int(fakehost_api_count(kit.fh, "delete pods"), 1, "finalizers may keep it: nothing is done again");
	fakehost_delete(kit.fh, "pods", "default", "web");
	kit_run(100);
	snprintf(path, sizeof(path), "%s/root/pods", kit.dir);
	ok(rmdir(path) == 0, "no file is left");
	kit_end();
}

/* What tells nothing new waits a second for something that does. */
static void test_details(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "pods/status"), 1, "one status: that it is begun need not be told of what runs at once");
	fakehost_api_clear(kit.fh);
	kit.slow_stop = true;
	fakehost_put(kit.fh, "pods", "default", "web",
		     "{\"metadata\":{\"finalizers\":[\"test/keep\"],\"generation\":2,\"deletionTimestamp\":\"2026-01-01T00:01:00Z\",\"deletionGracePeriodSeconds\":7},"
		     "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"web\",\"image\":\"hello:1\"}]},"
		     "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "pods/status"), 0, "that it knows the new generation is not worth one at once");
	kit_run(1000);
	is_int(fakehost_api_count(kit.fh, "pods/status"), 1, "but when nothing else comes");
	is_int(fakehost_api_count(kit.fh, "\"observedGeneration\":2") > 0, 1, "it is told");
	fakehost_api_clear(kit.fh);
	kit_exit(kit_ctr("web"), 143);
	fakehost_reply(kit.stops[0], 0, NULL);
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "pods/status"), 1, "the end is one status, the sandbox's included");
	is_str(kit_condition("web", "PodReadyToStartContainers"), "False", "which goes with it");
	fakehost_delete(kit.fh, "pods", "default", "web");
	kit_run(100);
	kit_end();
}

/* Each task of an end is tried again by itself; the object goes when all are over. */
static void test_delete_again(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	fakehost_api_clear(kit.fh);
	kit.cni_del_error = "the link is busy";
	fakehost_put(kit.fh, "pods", "default", "web",
		     "{\"metadata\":{\"finalizers\":[\"test/keep\"],\"deletionTimestamp\":\"2026-01-01T00:01:00Z\",\"deletionGracePeriodSeconds\":7},"
		     "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"web\",\"image\":\"hello:1\"}]}}");
	kit_run(1000);
	is_int(kit_count("del s1"), 1, "the network cannot be detached");
	is_int(kit_count("remove_sandbox"), 0, "so the sandbox stays");
	is_int(fakehost_api_count(kit.fh, "delete pods"), 0, "and the object");
	is_int(fakehost_api_count(kit.fh, "error killing pod: detach: the link is busy"), 1, "event FailedKillPod");
	kit.cni_del_error = NULL;
	kit_run(1500);
	is_int(kit_count("del s1"), 2, "after two seconds it can");
	is_int(kit_count("remove_sandbox s1"), 1, "the sandbox goes");
	is_int(fakehost_api_count(kit.fh, "delete pods default/web"), 1, "and the object");
	fakehost_delete(kit.fh, "pods", "default", "web");
	kit_run(100);
	kit_end();
}

/* Many at once: some begin, each that is through lets another begin; when nothing moves, all do. */
static void test_turns(void)
{
	int room = 4 * (int)sysconf(_SC_NPROCESSORS_ONLN);
	char name[16];
	int i;

	if (room < 8)
		room = 8;
	if (room > 32)
		room = 32;
	kit_begin();
	kit_load();
	kit.hold = true;
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		fakehost_put(kit.fh, "pods", "default", name, web);
	}
	kit_run(100);
	is_int(kit.n_held, room, "of many pods some begin");
	is_int(fakehost_api_count(kit.fh, "pods/status"), 0, "which need not be told at once,");
	is_int(fakehost_api_count(kit.fh, "create events"), 0, "nor what happens, while they do");
	kit_run(300);
	ok(fakehost_api_count(kit.fh, "ContainerCreating") > 0, "but soon");
	kit_run(400);
	ok(fakehost_api_count(kit.fh, "create events") > 0, "at most half a second later");
	kit_let_go();
	kit_run(100);
	is_int(kit_count("start web"), 1, "one that has its sandbox goes on to its end,");
	is_int(kit.n_held, room + 1, "and lets another begin");
	fakehost_put(kit.fh, "pods", "default", "p39",
		     "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:01:00Z\",\"deletionGracePeriodSeconds\":7},"
		     "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"web\",\"image\":\"hello:1\"}]}}");
	fakehost_delete(kit.fh, "pods", "default", "p38");
	kit_run(100);
	is_int(kit.n_held, room + 1, "those that are deleted before it was their turn wait for nothing");
	kit_run(2500);
	is_int(kit.n_held, 38, "when nothing is answered any more all others begin");
	while (kit.n_let_go < kit.n_held)
		kit_let_go();
	kit_run(1000);
	is_int(kit_count("start web"), 38, "and run");
	kit_end();
}

static void test_vanished(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	fakehost_api_clear(kit.fh);
	fakehost_delete(kit.fh, "pods", "default", "web");
	kit_run(100);
	is_int(kit_count("remove_sandbox s1"), 1, "a pod that has vanished from the API is ended");
	is_int(fakehost_api_count(kit.fh, "delete pods"), 0, "without a word to the API");
	kit_end();
}

static void test_restart(void)
{
	uint64_t rev;

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	fakehost_put(kit.fh, "pods", "default", "gone", KIT_POD("\"containers\":[{\"name\":\"g\",\"image\":\"i\"}]"));
	kit_run(100);
	kit_exit(kit_ctr("web"), 1);
	kit_run(100);
	fakehost_crash(kit.fh, kit.m);
	kit.poller = NULL;
	fakehost_delete(kit.fh, "pods", "default", "gone");
	kit.ops[0] = '\0';
	rev = fakehost_rev(kit.fh);
	fakehost_api_clear(kit.fh);
	kit_load();
	kit_run(500);
	is_int(kit_count("create "), 0, "a restarted kubelet creates nothing");
	is_int(kit_count("start "), 0, "starts nothing");
	is_int(kit_count("stop web"), 0, "stops nothing that is wanted");
	is_int(kit_count("stop g"), 1, "but the pod deleted meanwhile");
	is_int(kit_count("remove_sandbox s2"), 1, "with its sandbox");
	is_int(kit_count("add s1"), 1, "the address is asked of cni again");
	is_int(fakehost_api_count(kit.fh, "pods/status"), 0, "and nothing is new to the API");
	is_str(kit_get("web", "status.containerStatuses.0.restartCount"), "1", "the restart count lives on");
	is_str(kit_get("web", "status.podIP"), "10.0.0.2", "as does the address");
	ok(fakehost_rev(kit.fh) >= rev, "the API was used");
	kit_exit(kit_ctr("web"), 0);
	kit_run(100);
	is_int(kit_count("create web"), 1, "events are followed as before");
	is_str(kit_get("web", "status.containerStatuses.0.restartCount"), "2", "and counted on");
	kit_end();
}

/* The runtime's process goes while it starts a container: whether it has is found out. */
static void test_unanswered(void)
{
	char at[64];
	int how;

	for (how = 1; how <= 2; how++) {
		kit_begin();
		kit_load();
		kit.start_lost = how;
		fakehost_put(kit.fh, "pods", "default", "web", web);
		kit_run(1000);
		is_int(kit_count("create web"), 1, "%s: one container", how == 1 ? "not begun" : "begun");
		is_int(kit_count("start web"), how == 1 ? 2 : 1, "started until it runs");
		is_str(kit_condition("web", "Ready"), "True", "it is ready");
		is_str(kit_get("web", "status.containerStatuses.0.user.linux.uid"), "7", "and known who it runs as");
		is_int(fakehost_api_count(kit.fh, "Started container web"), 1, "told once");
		otime_format(kit.c[0].started, at);
		is_str(kit_get("web", "status.containerStatuses.0.state.running.startedAt"), at, "since when the runtime says");
		kit_end();
	}
}

static void test_changed(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	fakehost_put(kit.fh, "pods", "default", "web", KIT_POD("\"containers\":[{\"name\":\"web\",\"image\":\"hello:2\"}]"));
	kit_run(200);
	is_int(kit_count("stop web"), 1, "another image stops the container");
	is_int(kit_count("create web"), 2, "and makes a new one");
	is_int(fakehost_api_count(kit.fh, "definition changed, will be restarted"), 1, "event Killing");
	kit_end();
}

static void test_network(void)
{
	kit_begin();
	kit.cni_error = "no address left";
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "FailedCreatePodSandBox"), 1, "no network: event");
	is_int(kit_count("remove_sandbox s1"), 1, "the sandbox goes");
	kit.cni_error = NULL;
	kit_run(2000);
	is_str(kit_get("web", "status.phase"), "Running", "and it is tried again");
	kit_end();
}

static void test_class(void)
{
	static const char pod[] = KIT_POD("\"runtimeClassName\":\"sandboxed\",\"containers\":[{\"name\":\"c\",\"image\":\"hello\"}]");

	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", pod);
	kit_run(300);
	is_int(kit_count("run_sandbox"), 0, "no such RuntimeClass: nothing is made");
	is_int(fakehost_api_count(kit.fh, "Failed to create pod sandbox: runtimeclass.node.k8s.io \\\"sandboxed\\\" not found"), 1,
	       "and an event says so");
	kit.sandbox_error = "failed to get sandbox runtime: no runtime for \"other\" is configured";
	fakehost_put(kit.fh, "runtimeclasses.node.k8s.io", "", "sandboxed", "{\"handler\":\"other\"}");
	kit_run(2000);
	ok(kit_count("handler other") > 0, "the class comes: the runtime is asked for its handler");
	ok(fakehost_api_count(kit.fh, "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
			      "no runtime for \\\"other\\\" is configured") > 0, "which it may not have");
	kit.sandbox_error = NULL;
	kit_run(10000);
	is_str(kit_get("web", "status.phase"), "Running", "or has");
	fakehost_put(kit.fh, "pods", "default", "plain", web);
	kit_run(300);
	is_int(kit_count("handler \nrun_sandbox plain"), 1, "other pods get the nameless one");
	kit_end();
}

static void test_critical(void)
{
	static const char pod[] = KIT_POD("\"priority\":2000001000,\"containers\":[{\"name\":\"agent\",\"image\":\"hello\"}]");

	kit_begin();
	fakehost_param(kit.fh, "max_pods", "1");
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	fakehost_put(kit.fh, "pods", "default", "late", KIT_POD("\"containers\":[{\"name\":\"c\",\"image\":\"hello\"}]"));
	kit_run(100);
	is_str(kit_get("late", "status.reason"), "OutOfpods", "there is room for one pod");
	kit.slow_stop = true;
	fakehost_put(kit.fh, "pods", "default", "agent", pod);
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "Preempted in order to admit critical pod"), 1, "which has to go for a critical one, and is told");
	is_int(kit_count("stop web"), 1, "it is stopped");
	is_int(kit_count("create agent"), 0, "the critical one waits for that");
	kit_exit(kit_ctr("web"), 0);
	fakehost_reply(kit.stops[0], 0, NULL);
	kit_run(100);
	is_str(kit_get("web", "status.phase"), "Failed", "it has ended");
	is_str(kit_get("web", "status.reason"), "Preempting", "and why");
	is_str(kit_get("web", "status.message"), "Preempted in order to admit critical pod", "in words");
	is_str(kit_condition("web", "DisruptionTarget"), "True", "by no fault of its own");
	is_str(kit_get("agent", "status.phase"), "Running", "the critical one has its place");
	fakehost_put(kit.fh, "pods", "default", "agent2", pod);
	kit_run(100);
	is_str(kit_get("agent2", "status.reason"), "UnexpectedAdmissionError", "from another critical one nothing is taken");
	kit_end();
}

static void text_swap(char *text, const char *from, const char *to)
{
	char *at = strstr(text, from);
	size_t rest;

	if (!at)
		otap_bail_out(from);
	rest = strlen(at + strlen(from)) + 1;
	memmove(at + strlen(to), at + strlen(from), rest);
	memcpy(at, to, strlen(to));
}

/* What the node controller does while nothing is heard of us. */
static void object_change(const char *res, const char *ns, const char *name, const char *from, const char *to)
{
	static char text[8192];

	snprintf(text, sizeof(text), "{%s}", fakehost_get(kit.fh, res, ns, name));
	text_swap(text, from, to);
	fakehost_put(kit.fh, res, ns, name, text);
}

static void test_doubted(void)
{
	kit_begin();
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", web);
	kit_run(100);
	object_change("pods", "default", "web", "\"type\":\"Ready\",\"status\":\"True\"",
		      "\"type\":\"Ready\",\"status\":\"False\"");
	kit_run(100);
	is_str(kit_condition("web", "Ready"), "True", "a pod that was marked not ready says again that it is");
	object_change("nodes", "", "n1", "\"type\":\"Ready\",\"status\":\"True\"", "\"type\":\"Ready\",\"status\":\"Unknown\"");
	fakehost_api_clear(kit.fh);
	kit_run(100);
	is_int(fakehost_api_count(kit.fh, "patch nodes/status"), 1, "so does the node");
	kit_run(60000);
	is_int(fakehost_api_count(kit.fh, "patch nodes/status"), 1, "once");
	fakehost_delete(kit.fh, "nodes", "", "n1");
	kit_run(100);
	ok(fakehost_get(kit.fh, "nodes", "", "n1") != NULL, "a Node that was deleted is registered again");
	kit_end();
}

int main(void)
{
	test_doubted();
	test_start();
	test_crash();
	test_policies();
	test_init();
	test_pull();
	test_delete();
	test_details();
	test_delete_again();
	test_turns();
	test_vanished();
	test_restart();
	test_unanswered();
	test_changed();
	test_network();
	test_class();
	test_critical();
	return done_testing();
}
