/* kinds.c - what is special to single kinds: pods, services, namespaces, scale, binding, tokens, reviews. */
#include "base/otap.h"
#include "rig.h"

#define POD(name, more) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more "\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"}]}}"

static void test_pod(struct rig *r)
{
	is_int(rig_do(r, "create pods default", "", POD("p", "")), 403, "a pod without account");
	ok(strstr(r->body, "serviceaccount \\\"default\\\" not found") != NULL, "is told why");
	is_int(rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}"), 201, "the account");
	is_int(rig_do(r, "create pods default", "", POD("p", "")), 201, "create pod");
	is_str(rig_at_path(r, "status.phase"), "Pending", "phase");
	is_str(rig_at_path(r, "status.qosClass"), "BestEffort", "QoS");
	is_str(rig_at_path(r, "metadata.generation"), "1", "generation");
	is_str(rig_at_path(r, "spec.serviceAccountName"), "default", "account");
	is_str(rig_at_path(r, "spec.priority"), "0", "priority");
	is_str(rig_at_path(r, "spec.tolerations.1.key"), "node.kubernetes.io/unreachable", "tolerations");
	is_str(rig_at_path(r, "spec.volumes.0.projected.sources.0"), "{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}}", "token volume");
	is_str(rig_at_path(r, "spec.containers.0.volumeMounts.0.mountPath"), "/var/run/secrets/kubernetes.io/serviceaccount", "mounted");
	is_str(rig_at_path(r, "spec.containers.0.imagePullPolicy"), "Always", "defaults");
	ok(strstr(r->body, "\"f:status\"") == NULL, "nobody owns the status");

	is_int(rig_do(r, "create pods default - binding", "", "{}"), 400, "binding without a name");
	is_int(rig_do(r, "create pods default p binding", "", "{\"target\":{\"kind\":\"Node\"}}"), 422, "binding to nothing");
	is_int(rig_do(r, "create pods default p binding", "", "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}"), 201, "binding");
	is_int(rig_do(r, "get pods default p", "", ""), 200, "get");
	is_str(rig_at_path(r, "spec.nodeName"), "n1", "bound");
	is_str(rig_at_path(r, "status.conditions.0.type"), "PodScheduled", "condition");
	is_int(rig_do(r, "create bindings default", "", "{\"metadata\":{\"name\":\"p\"},\"target\":{\"name\":\"n2\"}}"), 409, "bound once");

	is_int(rig_do(r, "merge-patch pods default p status", "", "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"}]},\"spec\":{\"nodeName\":\"x\"}}"), 200, "status");
	is_str(rig_at_path(r, "status.phase"), "Running", "written");
	is_str(rig_at_path(r, "spec.nodeName"), "n1", "and nothing else");
	ok(strstr(r->body, "\"subresource\":\"status\"") != NULL, "tracked as status");
	is_int(rig_do(r, "merge-patch pods default p", "", "{\"status\":{\"phase\":\"Failed\"},\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), 200, "the object");
	is_str(rig_at_path(r, "status.phase"), "Running", "does not write the status");
	is_int(rig_do(r, "strategic-patch pods default p", "", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"busybox:2\"}]}}"), 200, "image");
	is_str(rig_at_path(r, "metadata.generation"), "2", "counts");
	is_int(rig_do(r, "merge-patch pods default p", "", "{\"spec\":{\"restartPolicy\":\"Never\"}}"), 422, "restartPolicy does not change");

	is_int(rig_do(r, "list pods default", "fieldSelector=spec.nodeName%3Dn1", ""), 200, "by node");
	is_str(rig_at_path(r, "items.0.metadata.name"), "p", "found");
	is_int(rig_do(r, "list pods default", "fieldSelector=spec.nodeName%3Dn2", ""), 200, "by another node");
	is_str(rig_at_path(r, "items"), "[]", "not found");

	is_int(rig_do(r, "delete pods default p", "", ""), 200, "delete");
	is_str(rig_at_path(r, "metadata.deletionGracePeriodSeconds"), "30", "with grace");
	is_str(rig_at_path(r, "metadata.deletionTimestamp"), "2026-01-01T00:00:30Z", "until then");
	is_str(rig_at_path(r, "metadata.generation"), "3", "counted");
	is_int(rig_do(r, "delete pods default p", "", "{\"gracePeriodSeconds\":60}"), 200, "longer");
	is_str(rig_at_path(r, "metadata.deletionGracePeriodSeconds"), "30", "is not longer");
	is_int(rig_do(r, "delete pods default p", "gracePeriodSeconds=10", ""), 200, "shorter");
	is_str(rig_at_path(r, "metadata.deletionTimestamp"), "2026-01-01T00:00:10Z", "is shorter");
	is_int(rig_do(r, "delete pods default p", "", "{\"gracePeriodSeconds\":0}"), 200, "at once");
	is_int(rig_do(r, "get pods default p", "", ""), 404, "gone");

	rig_do(r, "create pods default", "", POD("q", ""));
	is_int(rig_do(r, "create pods default q eviction", "", "{\"metadata\":{\"name\":\"q\"}}"), 201, "eviction");
	is_int(rig_do(r, "get pods default q", "", ""), 404, "of an unbound pod is at once");
	rig_do(r, "create pods default", "", "{\"metadata\":{\"name\":\"kept\",\"labels\":{\"kept\":\"y\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	rig_do(r, "merge-patch pods default kept status", "", "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
	is_int(rig_do(r, "create poddisruptionbudgets.policy default", "", "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"minAvailable\":1,\"selector\":{\"matchLabels\":{\"kept\":\"y\"}}}}"), 201, "a budget");
	is_int(rig_do(r, "create pods default kept eviction", "", "{\"metadata\":{\"name\":\"kept\"}}"), 429, "that nobody has looked at allows nothing");
	rig_do(r, "merge-patch poddisruptionbudgets.policy default b status", "", "{\"status\":{\"observedGeneration\":1,\"currentHealthy\":1,\"desiredHealthy\":1,\"expectedPods\":1}}");
	is_int(rig_do(r, "create pods default kept eviction", "", "{\"metadata\":{\"name\":\"kept\"}}"), 429, "nor one that is used up");
	is_str(rig_at_path(r, "details.causes.0.reason"), "DisruptionBudget", "and says so");
	is_str(rig_at_path(r, "details.causes.0.message"), "The disruption budget b needs 1 healthy pods and has 1 currently", "in upstream's words");
	rig_do(r, "merge-patch poddisruptionbudgets.policy default b status", "", "{\"status\":{\"disruptionsAllowed\":1}}");
	is_int(rig_do(r, "create pods default kept eviction", "", "{\"metadata\":{\"name\":\"kept\"}}"), 201, "one is allowed");
	is_int(rig_do(r, "get poddisruptionbudgets.policy default b", "", ""), 200, "the budget");
	is_str(rig_at_path(r, "status.disruptionsAllowed"), "0", "is used up now");
	is_str(rig_at_path(r, "status.disruptedPods.kept"), "2026-01-01T00:00:00Z", "and notes whom it let go");
	is_int(rig_do(r, "create pods default", "", POD("no", "\"automountServiceAccountToken\":false,")), 201, "no token");
	is_str(rig_at_path(r, "spec.volumes"), NULL, "no volume");
	is_int(rig_do(r, "create pods default", "", POD("sys", "\"priorityClassName\":\"system-node-critical\",")), 201, "priority class");
	is_str(rig_at_path(r, "spec.priority"), "2000001000", "of the system");
	is_int(rig_do(r, "create pods default", "", "{\"metadata\":{\"name\":\"gtd\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"1000m\"}}}]}}"), 201, "limits");
	is_str(rig_at_path(r, "status.qosClass"), "Guaranteed", "Guaranteed");
	is_int(rig_do(r, "table:list pods default", "", ""), 200, "table");
	is_str(rig_at_path(r, "kind"), "Table", "kind");
	is_str(rig_at_path(r, "columnDefinitions.0.name"), "Name", "columns");
	is_str(rig_at_path(r, "rows.0.cells.0"), "gtd", "cells");
	is_str(rig_at_path(r, "rows.0.object.kind"), "PartialObjectMetadata", "metadata of the row");
	is_int(rig_do(r, "meta:list pods default", "", ""), 200, "metadata only");
	is_str(rig_at_path(r, "kind"), "PartialObjectMetadataList", "list");
	is_str(rig_at_path(r, "items.0.spec"), NULL, "no spec");
	is_int(rig_do(r, "meta:get pods default gtd", "", ""), 200, "one");
	is_str(rig_at_path(r, "kind"), "PartialObjectMetadata", "kind");
	is_int(rig_do(r, "table:get pods default gtd", "includeObject=None", ""), 200, "one row");
	is_str(rig_at_path(r, "rows.0.object"), NULL, "without object");
	is_int(rig_do(r, "deletecollection pods default", "", ""), 200, "deletecollection");
	is_int(rig_do(r, "list pods -", "", ""), 200, "all gone");
	is_str(rig_at_path(r, "items"), "[]", "all");
}

#define SVC(name, more) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more "\"ports\":[{\"port\":80}]}}"

/* Not more is said than anybody reads. */
static void test_many_causes(struct rig *r)
{
	struct obuf b = OBUF_INIT;
	unsigned int n = 0;

	obuf_puts(&b, "{\"metadata\":{\"name\":\"v6\"},\"spec\":{\"ports\":[{\"port\":80}],\"ipFamilies\":[\"IPv6\"");
	for (unsigned int i = 0; i < 5000; i++)
		obuf_puts(&b, ",\"IPv6\"");
	obuf_puts(&b, "]}}");
	is_int(rig_do(r, "create services default", "", obuf_cstr(&b)), 422, "5001 families");
	for (const char *p = r->body; (p = strstr(p, "\"reason\":\"FieldValue")) != NULL; p++)
		n++;
	ok(n > 100 && n < 1000, "are told with %u causes", n);
	obuf_done(&b);
}

static void test_service(struct rig *r)
{
	char ip[64], body[256];

	is_int(rig_do(r, "create services default", "", SVC("s", "")), 201, "service");
	snprintf(ip, sizeof(ip), "%s", rig_at_path(r, "spec.clusterIP"));
	ok(!strncmp(ip, "10.96.", 6), "address %s", ip);
	is_str(rig_at_path(r, "spec.clusterIPs.0"), ip, "clusterIPs");
	is_str(rig_at_path(r, "spec.ipFamilies.0"), "IPv4", "family");
	is_str(rig_at_path(r, "spec.ports.0.targetPort"), "80", "targetPort");
	is_int(rig_do(r, "update services default s", "", SVC("s", "\"selector\":{\"a\":\"b\"},")), 200, "update without address");
	is_str(rig_at_path(r, "spec.clusterIP"), ip, "keeps it");
	snprintf(body, sizeof(body), SVC("t", "\"clusterIP\":\"%s\","), ip);
	is_int(rig_do(r, "create services default", "", body), 422, "taken address");
	ok(strstr(r->body, "provided IP is already allocated") != NULL, "says so");
	is_int(rig_do(r, "create services default", "", SVC("t", "\"clusterIP\":\"10.0.0.1\",")), 422, "foreign address");
	test_many_causes(r);
	is_int(rig_do(r, "create services default", "", SVC("h", "\"clusterIP\":\"None\",")), 201, "headless");
	is_str(rig_at_path(r, "spec.clusterIPs.0"), "None", "clusterIPs");
	is_int(rig_do(r, "create services default", "", "{\"metadata\":{\"name\":\"e\"},\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.example\"}}"), 201, "ExternalName");
	is_str(rig_at_path(r, "spec.clusterIP"), NULL, "has none");
	is_int(rig_do(r, "create services default", "", SVC("n", "\"type\":\"NodePort\",")), 201, "NodePort");
	ok(atoi(rig_at_path(r, "spec.ports.0.nodePort")) >= 30000, "port");
	is_int(rig_do(r, "create services default", "", "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30001}]}}"), 201, "certain port");
	is_int(rig_do(r, "create services default", "", "{\"metadata\":{\"name\":\"n2\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30001}]}}"), 422, "taken port");
	ok(strstr(r->body, "provided port is already allocated") != NULL, "says so");
	is_int(rig_do(r, "delete services default s", "", ""), 200, "delete");
	is_str(rig_at_path(r, "kind"), "Service", "answers the object");
	is_int(rig_do(r, "create services default", "", body), 201, "its address is free again");
	is_str(rig_at_path(r, "spec.clusterIP"), ip, "the same");
	is_int(rig_do(r, "update services default n1", "", SVC("n1", "\"type\":\"ClusterIP\",")), 200, "NodePort to ClusterIP");
	is_int(rig_do(r, "create services default", "", "{\"metadata\":{\"name\":\"n2\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30001}]}}"), 201, "gives the port back");
	is_int(rig_do(r, "merge-patch services default n2", "", "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.example\"}}"), 200, "NodePort to ExternalName");
	is_str(rig_at_path(r, "spec.ports.0.nodePort"), NULL, "without its port");
	is_str(rig_at_path(r, "spec.externalTrafficPolicy"), NULL, "the policy");
	is_str(rig_at_path(r, "spec.clusterIP"), NULL, "and the address");
	is_int(rig_do(r, "create services default", "", "{\"metadata\":{\"name\":\"n4\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30001}]}}"), 201, "which are given back");
	is_int(rig_do(r, "merge-patch services default n4", "", "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":1,\"nodePort\":30002}]}}"), 422, "a new port is not");
	is_int(rig_do(r, "merge-patch services default n4", "", "{\"spec\":{\"type\":\"ClusterIP\",\"externalTrafficPolicy\":\"Local\"}}"), 422, "nor a new policy");
	is_int(rig_do(r, "merge-patch services default n4", "", "{\"spec\":{\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"a.b/c\",\"allocateLoadBalancerNodePorts\":false}}"), 200, "to LoadBalancer");
	is_int(rig_do(r, "merge-patch services default n4", "", "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.example\"}}"), 200, "from there");
	is_str(rig_at_path(r, "spec.loadBalancerClass"), NULL, "without its class");
	is_str(rig_at_path(r, "spec.allocateLoadBalancerNodePorts"), NULL, "and choice");
	is_int(rig_do(r, "delete services default n4", "", ""), 200, "gone");
}

static void test_namespace(struct rig *r)
{
	is_int(rig_do(r, "create namespaces", "", "{\"metadata\":{\"name\":\"x\"}}"), 201, "namespace");
	is_str(rig_at_path(r, "metadata.labels"), "{\"kubernetes.io/metadata.name\":\"x\"}", "label");
	is_int(rig_do(r, "create configmaps x", "", "{\"metadata\":{\"name\":\"a\"}}"), 201, "content");
	is_int(rig_do(r, "delete namespaces - default", "", ""), 403, "default stays");
	is_int(rig_do(r, "delete namespaces - x", "", ""), 200, "delete");
	is_str(rig_at_path(r, "status.phase"), "Terminating", "Terminating");
	is_int(rig_do(r, "create configmaps x", "", "{\"metadata\":{\"name\":\"b\"}}"), 403, "nothing new in it");
	is_str(rig_at_path(r, "details.causes.0.reason"), "NamespaceTerminating", "cause");
	is_int(rig_do(r, "merge-patch namespaces - x", "", "{\"spec\":{\"finalizers\":[]}}"), 200, "finalizers");
	is_str(rig_at_path(r, "spec.finalizers.0"), "kubernetes", "change only through finalize");
	is_int(rig_do(r, "update namespaces - x finalize", "", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"finalizers\":[]}}"), 200, "finalize");
	is_int(rig_do(r, "get namespaces - x", "", ""), 404, "gone");
}

#define DEPLOY "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":2,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"

static void test_deployment(struct rig *r)
{
	is_int(rig_do(r, "create deployments.apps default", "", DEPLOY), 201, "deployment");
	is_str(rig_at_path(r, "spec.strategy.rollingUpdate.maxSurge"), "25%", "defaults");
	is_str(rig_at_path(r, "metadata.managedFields.0.apiVersion"), "apps/v1", "managedFields");
	is_int(rig_do(r, "get deployments.apps default d scale", "", ""), 200, "scale");
	is_str(rig_at_path(r, "spec.replicas"), "2", "replicas");
	is_str(rig_at_path(r, "status.selector"), "a=b", "selector");
	is_int(rig_do(r, "merge-patch deployments.apps default d scale", "", "{\"spec\":{\"replicas\":5}}"), 200, "patch scale");
	is_str(rig_at_path(r, "spec.replicas"), "5", "scaled");
	is_int(rig_do(r, "update deployments.apps default d scale", "", "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":-1}}"), 422, "less than nothing");
	is_int(rig_do(r, "get deployments.apps default d", "", ""), 200, "get");
	is_str(rig_at_path(r, "spec.replicas"), "5", "written");
	is_str(rig_at_path(r, "metadata.generation"), "2", "counted");
	is_int(rig_do(r, "merge-patch deployments.apps default d", "", "{\"spec\":{\"selector\":{\"matchLabels\":{\"x\":\"y\"}}}}"), 422, "the selector is immutable");
	is_int(rig_do(r, "delete deployments.apps default d", "propagationPolicy=Foreground", ""), 200, "foreground");
	is_str(rig_at_path(r, "metadata.finalizers.0"), "foregroundDeletion", "waits for the collector");
	is_int(rig_do(r, "merge-patch deployments.apps default d", "", "{\"metadata\":{\"finalizers\":null}}"), 200, "last finalizer");
	is_int(rig_do(r, "get deployments.apps default d", "", ""), 404, "gone with it");
}

static int sign(void *arg, const char *claims, size_t len, char **ret)
{
	(void)arg;
	*ret = omem_strndup(claims, len);
	return *ret ? 0 : -ENOMEM;
}

static int authorize(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
		     const struct reg_attrs *a, char *reason, size_t reason_size)
{
	(void)arg;
	(void)h;
	snprintf(reason, reason_size, "%s", "because");
	return ostr_is(who->user.p, who->user.len, "admin") ||
	       ostr_is(who->user.p, who->user.len, "system:apiserver") ||
	       ostr_is(a->resource.p, a->resource.len, "pods");
}

static void test_token(struct rig *r)
{
	rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"t\"}}");
	is_int(rig_do(r, "create serviceaccounts default t token", "", "{\"spec\":{\"audiences\":[\"me\"],\"expirationSeconds\":600}}"), 201, "token");
	ok(rig_at_path(r, "status.token") && strstr(rig_at_path(r, "status.token"), "\"sub\":\"system:serviceaccount:default:t\""), "claims");
	is_str(rig_at_path(r, "status.expirationTimestamp"), "2026-01-01T00:10:00Z", "expires");
	is_int(rig_do(r, "create serviceaccounts default none token", "", "{\"spec\":{\"audiences\":[]}}"), 404, "no account");
	is_int(rig_do(r, "create serviceaccounts default t token", "", "{\"spec\":{\"expirationSeconds\":1}}"), 422, "too short");
	is_int(rig_do(r, "create serviceaccounts default t token", "", "{\"spec\":{\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":\"no\"}}}"), 404, "no pod");
}

static void test_reviews(struct rig *r)
{
	is_int(rig_do(r, "create selfsubjectreviews.authentication.k8s.io", "", "{}"), 201, "who am I");
	is_str(rig_at_path(r, "status.userInfo.username"), "admin", "admin");
	is_int(rig_do(r, "create selfsubjectaccessreviews.authorization.k8s.io", "", "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"x\"}}}"), 201, "may I");
	is_str(rig_at_path(r, "status.allowed"), "true", "yes");
	is_int(rig_do(r, "create subjectaccessreviews.authorization.k8s.io", "", "{\"spec\":{\"user\":\"eve\",\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"x\"}}}"), 201, "may eve");
	is_str(rig_at_path(r, "status.allowed"), "false", "no");
	is_int(rig_do(r, "create localsubjectaccessreviews.authorization.k8s.io default", "", "{\"spec\":{\"user\":\"eve\",\"resourceAttributes\":{\"namespace\":\"default\",\"verb\":\"get\",\"resource\":\"pods\"}}}"), 201, "may eve here");
	is_str(rig_at_path(r, "status.allowed"), "true", "pods");
	is_int(rig_do(r, "create selfsubjectrulesreviews.authorization.k8s.io", "", "{\"spec\":{\"namespace\":\"default\"}}"), 201, "rules");
	is_str(rig_at_path(r, "status.incomplete"), "true", "incomplete");
	is_int(rig_do(r, "create tokenreviews.authentication.k8s.io", "", "{\"spec\":{\"token\":\"x\"}}"), 201, "token review");
	is_str(rig_at_path(r, "status.authenticated"), NULL, "unknown token");
}

static void test_event(struct rig *r)
{
	is_int(rig_do(r, "create events default", "", "{\"metadata\":{\"name\":\"e.1\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"namespace\":\"default\"},\"reason\":\"Started\",\"message\":\"m\",\"type\":\"Normal\",\"count\":1,\"firstTimestamp\":\"2026-01-01T00:00:00Z\",\"lastTimestamp\":\"2026-01-01T00:00:00Z\"}"), 201, "event");
	is_int(rig_do(r, "get events.events.k8s.io default e.1", "", ""), 200, "as the newer kind");
	is_str(rig_at_path(r, "note"), "m", "note");
	is_str(rig_at_path(r, "regarding.name"), "p", "regarding");
	is_int(rig_do(r, "merge-patch events.events.k8s.io default e.1", "", "{\"note\":\"n\"}"), 422, "the newer kind does not change");
	is_str(rig_at_path(r, "details.causes.0.field"), "message", "its note");
	is_int(rig_do(r, "merge-patch events.events.k8s.io default e.1", "", "{\"series\":{\"count\":1}}"), 422, "nor has it a series of one");
	is_str(rig_at_path(r, "details.causes.0.field"), "series.count", "its count");
	is_int(rig_do(r, "merge-patch events.events.k8s.io default e.1", "",
		      "{\"series\":{\"count\":2,\"lastObservedTime\":\"2026-01-01T00:00:00.000000Z\"}}"), 200, "it comes again");
	is_int(rig_do(r, "merge-patch events default e.1", "", "{\"message\":\"n\"}"), 200, "the older kind does");
	is_int(rig_do(r, "create events.events.k8s.io default", "", "{\"metadata\":{\"name\":\"e.2\"},\"deprecatedCount\":1}"), 422, "the newer kind");
	is_str(rig_at_path(r, "details.causes.0.field"), "eventTime", "has a time");
	is_str(rig_at_path(r, "details.causes.1.field"), "type", "and a type");
	is_str(rig_at_path(r, "details.causes.2.field"), "count", "and no old fields");
	is_int(rig_do(r, "get events default e.1", "", ""), 200, "as the older");
	is_str(rig_at_path(r, "message"), "n", "message");
	is_int(rig_do(r, "list events default", "fieldSelector=involvedObject.name%3Dp", ""), 200, "by object");
	is_str(rig_at_path(r, "items.0.metadata.name"), "e.1", "found");
	is_int(rig_do(r, "list events.events.k8s.io default", "fieldSelector=regarding.name%3Dp", ""), 200, "by regarding");
	is_str(rig_at_path(r, "items.0.regarding.name"), "p", "found");
	fakehost_advance(r->fh, 3500 * FAKEHOST_S);
	is_int(rig_do(r, "get events default e.1", "", ""), 200, "lives for an hour");
	fakehost_advance(r->fh, 300 * FAKEHOST_S);
	is_int(rig_do(r, "get events default e.1", "", ""), 404, "and no longer");
}

#define EVENT(name) "{\"metadata\":{\"name\":\"" name "\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"namespace\":\"default\"},\"reason\":\"R\",\"type\":\"Normal\"}"

/* Events are acknowledged before the cache has them; who reads afterwards sees them all the same. */
static void test_lazy(struct rig *r)
{
	char body[300], rv[24];

	r->lag = 1;
	is_int(rig_do(r, "create events default", "", EVENT("l1")), 201, "a lazy event");
	ok(r->lagging, "is not in the cache");
	is_int(rig_do(r, "get events default l1", "", ""), 200, "a get waits for it");
	ok(!r->lagging, "until the commit");
	rig_do(r, "create events default", "", EVENT("l2"));
	is_int(rig_do(r, "merge-patch events default l2", "", "{\"message\":\"m\"}"), 200, "a patch reads the storage");
	ok(r->lagging, "and does not wait");
	snprintf(rv, sizeof(rv), "%llu", (unsigned long long)r->rev);
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"l2\",\"resourceVersion\":\"%s\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"namespace\":\"default\"},\"type\":\"Warning\"}", rv);
	is_int(rig_do(r, "update events default l2", "", body), 200, "an update with the version just written");
	is_int(rig_do(r, "get events default l2", "", ""), 200, "a get waits");
	is_str(rig_at_path(r, "type"), "Warning", "for the last of them");
	rig_do(r, "create events default", "", EVENT("l3"));
	is_int(rig_do(r, "list events default", "", ""), 200, "a list waits");
	is_str(rig_at_path(r, "items.2.metadata.name"), "l3", "and has all");
	rig_do(r, "create events default", "", EVENT("l4"));
	is_int(rig_do(r, "deletecollection events default", "", ""), 200, "so does deletecollection");
	is_int(rig_do(r, "list events default", "", ""), 200, "list");
	is_str(rig_at_path(r, "items"), "[]", "nothing left");
	r->lag = 0;
}

static void test_small_range(void)
{
	struct reg_config cfg = { .advertise_addr = "192.0.2.1", .advertise_port = 6443,
				  .service_cidr = "10.0.0.8/29", .node_ports = "30000-30001" };
	struct rig *r = rig_new_with(&cfg);
	unsigned int made = 0;

	is_int(rig_boot(r), 0, "bootstrap");
	for (int i = 0; i < 5; i++)
		made += rig_do(r, "create services default", "", "{\"metadata\":{\"generateName\":\"s-\"},\"spec\":{\"ports\":[{\"port\":80}]}}") == 201;
	is_int(made, 5, "all addresses of a /29 are given out");
	is_int(rig_do(r, "create services default", "", SVC("x", "")), 500, "then no more");
	ok(strstr(r->body, "range is full") != NULL, "says so");
	is_int(rig_do(r, "deletecollection services default", "", ""), 200, "all back");
	is_int(rig_do(r, "create services default", "", SVC("x", "\"type\":\"NodePort\",")), 201, "and free again");
	rig_free(r);
}

static void test_others(struct rig *r)
{
	is_int(rig_do(r, "create secrets default", "", "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"a\":\"b\"}}"), 201, "secret");
	is_str(rig_at_path(r, "data.a"), "Yg==", "stringData");
	is_int(rig_do(r, "create configmaps default", "", "{\"metadata\":{\"name\":\"im\"},\"immutable\":true,\"data\":{\"a\":\"b\"}}"), 201, "immutable");
	is_int(rig_do(r, "merge-patch configmaps default im", "", "{\"data\":{\"a\":\"c\"}}"), 422, "cannot change");
	is_int(rig_do(r, "create nodes", "", "{\"metadata\":{\"name\":\"n1\"}}"), 201, "node");
	is_str(rig_at_path(r, "spec.taints.0.key"), "node.kubernetes.io/not-ready", "not ready");
	is_int(rig_do(r, "merge-patch nodes - n1 status", "", "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}"), 200, "ready");
	is_str(rig_at_path(r, "spec.taints"), NULL, "no taint any more");
	is_int(rig_do(r, "create nodes", "", "{\"metadata\":{\"name\":\"n2\"},\"status\":{\"capacity\":{\"cpu\":\"2\"},"
		      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}"), 201, "a node that is ready from the start");
	is_str(rig_at_path(r, "status.allocatable.cpu"), "2", "with a status");
	is_str(rig_at_path(r, "spec.taints"), NULL, "and without the taint");
	is_int(rig_do(r, "merge-patch nodes - n2", "", "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"status\":{\"capacity\":{\"cpu\":\"3\"}}}"), 200, "but later");
	is_str(rig_at_path(r, "status.capacity.cpu"), "2", "only status changes that");
	is_int(rig_do(r, "create nodes", "", "{\"metadata\":{\"name\":\"n3\"},\"status\":{\"capacity\":{\"cpu\":\"-1\",\"pods\":\"1500m\"}}}"), 422, "no such amounts");
	ok(strstr(r->body, "status.capacity.cpu: Invalid value: \\\"-1\\\": must be greater than or equal to 0") != NULL &&
	   strstr(r->body, "status.capacity.pods: Invalid value: \\\"1500m\\\": must be an integer") != NULL, "says which: %s", r->body);
	is_int(rig_do(r, "merge-patch nodes - n2 status", "", "{\"status\":{\"allocatable\":{\"x.y/z\":\"500m\"}}}"), 422, "nor later");
	is_int(rig_do(r, "update leases.coordination.k8s.io kube-node-lease n1", "", "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"holderIdentity\":\"n1\",\"leaseDurationSeconds\":40}}"), 201, "PUT creates a lease");
	is_int(rig_do(r, "update leases.coordination.k8s.io kube-node-lease n1", "", "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"holderIdentity\":\"n1\",\"leaseDurationSeconds\":41}}"), 422, "then it needs the version");
}

/* What a namespace gives to containers that ask for nothing, and what it refuses. */
static void test_limits(struct rig *r)
{
	static const char range[] = "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":\"Container\",\"max\":{\"cpu\":\"1\"},"
		"\"min\":{\"cpu\":\"100m\"},\"maxLimitRequestRatio\":{\"cpu\":\"4\"}},{\"type\":\"Pod\",\"max\":{\"cpu\":\"1500m\"}}]}}";

	rig_do(r, "create namespaces", "", "{\"metadata\":{\"name\":\"tight\"}}");
	rig_do(r, "create serviceaccounts tight", "", "{\"metadata\":{\"name\":\"default\"}}");
	is_int(rig_do(r, "create limitranges tight", "", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"limits\":[{\"type\":\"Container\","
		      "\"max\":{\"cpu\":\"1\"},\"min\":{\"cpu\":\"2\"}}]}}"), 422, "less than the least");
	is_int(rig_do(r, "create limitranges tight", "", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"limits\":[{\"type\":\"Pod\","
		      "\"default\":{\"cpu\":\"1\"}}]}}"), 422, "a default of whole pods");
	is_int(rig_do(r, "create limitranges tight", "", range), 201, "a LimitRange");
	is_str(rig_at_path(r, "spec.limits.0.default.cpu"), "1", "the limit is the most there may be");
	is_str(rig_at_path(r, "spec.limits.0.defaultRequest.cpu"), "1", "the request is the limit");
	is_int(rig_do(r, "create pods tight", "", "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"), 201, "a pod");
	is_str(rig_at_path(r, "spec.containers.0.resources.limits.cpu"), "1", "gets a limit");
	is_str(rig_at_path(r, "spec.containers.0.resources.requests.cpu"), "1", "and a request");
	is_str(rig_at_path(r, "status.qosClass"), "Burstable", "which counts for its class");
	is_int(rig_do(r, "create pods tight", "", "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
		      "\"resources\":{\"requests\":{\"cpu\":\"50m\"},\"limits\":{\"cpu\":\"500m\"}}}]}}"), 403, "too little");
	is_str(rig_at_path(r, "message"), "pods \"q\" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, "
	       "cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000]", "upstream's words");
	is_int(rig_do(r, "create pods tight", "", "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"},"
		      "{\"name\":\"d\",\"image\":\"i\"}]}}"), 403, "too much together");
	is_str(rig_at_path(r, "message"), "pods \"q\" is forbidden: maximum cpu usage per Pod is 1500m, but limit is 2", "one reason, no brackets");
}

int main(void)
{
	struct reg_config cfg = { .advertise_addr = "192.0.2.1", .advertise_port = 6443,
				  .hooks = { .sign = sign, .authorize = authorize } };
	struct rig *r = rig_new_with(&cfg);

	is_int(rig_boot(r), 0, "bootstrap");
	test_pod(r);
	test_service(r);
	test_namespace(r);
	test_deployment(r);
	test_token(r);
	test_reviews(r);
	test_event(r);
	test_others(r);
	test_limits(r);
	test_lazy(r);
	rig_free(r);
	test_small_range();
	return done_testing();
}
