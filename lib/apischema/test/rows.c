/*
 * rows.c - cells of tables, as kubectl shows them.
 */
#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "base/otime.h"
#include "json/ojson.h"
#include "schema/rows.h"

static const struct oschema *const s = &oschema_builtin;

/* @text with < and > as Go's encoder writes them. */
static const char *wanted(const char *text)
{
	static char buf[1024];
	size_t n = 0;

	for (; *text != '\0' && n < sizeof(buf) - 7; text++) {
		if (*text == '<' || *text == '>')
			n += (size_t)sprintf(buf + n, "\\u003%c", *text == '<' ? 'c' : 'e');
		else
			buf[n++] = *text;
	}
	buf[n] = '\0';
	return buf;
}

static void cells(const char *group, const char *plural, const char *text, const char *want, const char *what)
{
	const struct oschema_resource *r = oschema_resource_find(s, (struct orlop_bytes){ group, strlen(group) },
		(struct orlop_bytes){ "v1", 2 }, (struct orlop_bytes){ plural, strlen(plural) });
	cleanup_ojson struct ojson *o = NULL;
	cleanup_ojson struct ojson *check = NULL;
	cleanup_obuf struct obuf out = OBUF_INIT;
	int64_t now = 0;

	(void)otime_parse("2026-01-01T01:00:00Z", 20, &now);
	if (!ok(r != NULL && ojson_parse(text, strlen(text), &o, NULL) == 0, "%s: parses", what))
		return;
	oschema_cells(s, r, o, now, &out);
	is_str(obuf_cstr(&out), wanted(want), "%s", what);
	ok(ojson_parse(obuf_cstr(&out), out.len, &check, NULL) == 0 &&
	   ojson_count(check) == (r->n_columns != 0 ? r->n_columns : 2u), "%s: one cell a column", what);
}

#define META "\"metadata\":{\"name\":\"x\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}"
#define SPEC "\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}"
#define RUN "{\"name\":\"a\",\"ready\":true,\"restartCount\":0,\"state\":{\"running\":{}}}"
#define TAIL ",\"60m\",\"<none>\",\"n\",\"<none>\",\"<none>\"]"

static void test_pods(void)
{
	cells("", "pods", "{" META "," SPEC ",\"status\":{\"phase\":\"Pending\"}}",
	      "[\"x\",\"0/2\",\"Pending\",\"0\"" TAIL, "a pending pod");
	cells("", "pods", "{" META "," SPEC ",\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.0.0.1\"}],"
	      "\"containerStatuses\":[" RUN "," RUN "]}}",
	      "[\"x\",\"2/2\",\"Running\",\"0\",\"60m\",\"10.0.0.1\",\"n\",\"<none>\",\"<none>\"]", "a running pod");
	cells("", "pods", "{" META "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" RUN ",{\"name\":\"b\","
	      "\"restartCount\":3,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":"
	      "{\"finishedAt\":\"2026-01-01T00:58:00Z\"}}}]}}",
	      "[\"x\",\"1/2\",\"CrashLoopBackOff\",\"3 (2m ago)\"" TAIL, "a crashing pod");
	cells("", "pods", "{" META "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"state\":{\"terminated\":"
	      "{\"reason\":\"Completed\"}}}," RUN "],\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}",
	      "[\"x\",\"1/2\",\"NotReady\",\"0\"" TAIL, "one container is done");
	cells("", "pods", "{" META "," SPEC ",\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"state\":{\"terminated\":"
	      "{\"exitCode\":2}}},{\"state\":{\"terminated\":{\"signal\":9}}}]}}",
	      "[\"x\",\"0/2\",\"ExitCode:2\",\"0\"" TAIL, "a failed pod without reasons");
	cells("", "pods", "{\"metadata\":{\"name\":\"x\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionTimestamp\":"
	      "\"2026-01-01T00:59:00Z\"}," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" RUN "]}}",
	      "[\"x\",\"1/2\",\"Terminating\",\"0\"" TAIL, "a pod that ends");
	cells("", "pods", "{" META ",\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"a\"}],\"initContainers\":["
	      "{\"name\":\"i\"},{\"name\":\"s\",\"restartPolicy\":\"Always\"},{\"name\":\"j\"}]},\"status\":{\"phase\":\"Pending\","
	      "\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":0}}},{\"name\":\"s\",\"started\":true,"
	      "\"ready\":true,\"state\":{\"running\":{}}},{\"name\":\"j\",\"state\":{\"running\":{}}}]}}",
	      "[\"x\",\"1/2\",\"Init:2/3\",\"0\"" TAIL, "init containers and a sidecar");
}

static void test_others(void)
{
	cells("apps", "deployments", "{" META ",\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"a\":\"b\"},"
	      "\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"In\",\"values\":[\"d\",\"e\"]},{\"key\":\"f\",\"operator\":"
	      "\"DoesNotExist\"}]},\"template\":{\"spec\":{\"containers\":[{\"name\":\"m\",\"image\":\"i:1\"},{\"name\":\"n\",\"image\":"
	      "\"j\"}]}}},\"status\":{\"readyReplicas\":2,\"updatedReplicas\":3,\"availableReplicas\":1}}",
	      "[\"x\",\"2/3\",3,1,\"60m\",\"m,n\",\"i:1,j\",\"a=b,c in (d,e),!f\"]", "a deployment");
	cells("", "nodes", "{\"metadata\":{\"name\":\"n\",\"labels\":{\"node-role.kubernetes.io/worker\":\"\","
	      "\"node-role.kubernetes.io/control-plane\":\"\"}},\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":"
	      "\"Ready\",\"status\":\"True\"}],\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.1.1.1\"}],\"nodeInfo\":"
	      "{\"kubeletVersion\":\"v1\"}}}",
	      "[\"n\",\"Ready,SchedulingDisabled\",\"control-plane,worker\",\"<unknown>\",\"v1\",\"10.1.1.1\",\"<none>\",\"<unknown>\","
	      "\"<unknown>\",\"<unknown>\"]", "a node");
	cells("", "services", "{" META ",\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"10.0.0.1\",\"ports\":[{\"port\":80,\"nodePort\":"
	      "30000,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}]}}",
	      "[\"x\",\"NodePort\",\"10.0.0.1\",\"<none>\",\"80:30000/TCP,53/UDP\",\"60m\",\"<none>\"]", "a service");
	cells("", "endpoints", "{" META ",\"subsets\":[{\"addresses\":[{\"ip\":\"1.1.1.1\"},{\"ip\":\"1.1.1.2\"}],\"ports\":[{\"port\":80},"
	      "{\"port\":81}]}]}", "[\"x\",\"1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...\",\"60m\"]", "endpoints");
	cells("", "events", "{" META ",\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\"},\"reason\":\"Killing\",\"type\":\"Normal\","
	      "\"message\":\" hi\\n\",\"source\":{\"component\":\"kubelet\",\"host\":\"n\"},\"lastTimestamp\":\"2026-01-01T00:59:30Z\","
	      "\"firstTimestamp\":\"2026-01-01T00:00:00Z\",\"count\":4}",
	      "[\"30s\",\"Normal\",\"Killing\",\"pod/p\",\"\",\"kubelet, n\",\"hi\",\"60m\",4,\"x\"]", "an event");
	cells("", "secrets", "{" META ",\"type\":\"Opaque\",\"data\":{\"a\":\"\",\"b\":\"\"}}", "[\"x\",\"Opaque\",2,\"60m\"]", "a secret");
	cells("", "configmaps", "{" META ",\"data\":{\"a\":\"\"},\"binaryData\":{\"b\":\"\"}}", "[\"x\",2,\"60m\"]", "a config map");
	cells("apps", "controllerrevisions", "{\"metadata\":{\"name\":\"r\",\"ownerReferences\":[{\"kind\":\"DaemonSet\",\"apiVersion\":"
	      "\"apps/v1\",\"name\":\"d\",\"controller\":true}]},\"revision\":2}",
	      "[\"r\",\"daemonset.apps/d\",2,\"<unknown>\"]", "a revision");
	cells("discovery.k8s.io", "endpointslices", "{" META ",\"addressType\":\"IPv4\",\"ports\":[{\"port\":80},{\"name\":\"n\"},{}],"
	      "\"endpoints\":[{\"addresses\":[\"1.1.1.1\"]}]}", "[\"x\",\"IPv4\",\"80,n,*\",\"1.1.1.1\",\"60m\"]", "a slice");
}

static void test_columns(void)
{
	for (unsigned int i = 0; i < s->n_resources; i++) {
		cleanup_obuf struct obuf out = OBUF_INIT;
		cleanup_ojson struct ojson *o = NULL;
		const struct oschema_resource *r = &s->resources[i];

		oschema_columns(s, r, &out);
		ok(ojson_parse(obuf_cstr(&out), out.len, &o, NULL) == 0 &&
		   ojson_count(o) == (r->n_columns != 0 ? r->n_columns : 2u), "columns of %s", oschema_str(s, r->plural));
		obuf_reset(&out);
		oschema_cells(s, r, NULL, 0, &out);
		ok(obuf_err(&out) == 0 && out.len > 2, "cells of nothing");
	}
}

int main(void)
{
	test_pods();
	test_others();
	test_columns();
	return done_testing();
}
