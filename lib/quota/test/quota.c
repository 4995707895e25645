/* quota.c - what objects cost, by tables: names, pods, services, claims, scopes, and what must be said. */
#include <string.h>

#include "base/otap.h"
#include "quota/oquota.h"

static struct ojson *tree(const char *text)
{
	struct ojson *t = NULL;

	if (ojson_parse(text, strlen(text), &t, NULL))
		otap_bail_out(text);
	return t;
}

static void cost(const char *resource, const char *object, const char *want)
{
	struct ojson *o = tree(object), *sum = NULL;
	struct obuf b = OBUF_INIT;

	if (oquota_usage(resource, o, 0, &sum))
		otap_bail_out("no memory");
	oquota_print(sum, NULL, &b);
	is_str(obuf_cstr(&b), want, "%s", object);
	obuf_done(&b);
	ojson_unref(sum);
	ojson_unref(o);
}

static void scope(const char *spec, const char *pod, bool want)
{
	struct ojson *s = tree(spec), *p = tree(pod);

	ok(oquota_in_scope(s, "pods", p) == want, "%s: %s %s", spec, pod, want ? "in" : "out");
	ojson_unref(s);
	ojson_unref(p);
}

static void missing(const char *hard, const char *pod, const char *want)
{
	struct ojson *h = tree(hard), *p = tree(pod);
	struct obuf b = OBUF_INIT;

	oquota_missing("pods", h, p, &b);
	is_str(obuf_cstr(&b), want, "of %s", hard);
	obuf_done(&b);
	ojson_unref(h);
	ojson_unref(p);
}

static void named(const char *name, const char *want)
{
	char buf[100];
	const char *got = oquota_resource((struct orlop_bytes){ name, strlen(name) }, buf, sizeof(buf));

	is_str(got ? got : "", want, "who costs %s", name);
}

static void sums(void)
{
	struct ojson *a = tree("{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"pods\":\"0\"}"), *b = tree("{\"cpu\":\"1\",\"x\":\"2\"}");
	struct ojson *m, *over;
	struct obuf t = OBUF_INIT;

	ok(oquota_add(a, b) == 0, "lists add up");
	oquota_print(a, NULL, &t);
	is_str(obuf_cstr(&t), "cpu=1500m,memory=1Gi,pods=0,x=2", "name by name");
	m = oquota_mask(a, b);
	ok(ojson_count(m) == 2, "masked");
	over = oquota_beyond(a, b);
	ok(ojson_count(over) == 1 && ojson_has(over, "cpu"), "more than there may be: cpu");
	oquota_drop_zeros(a);
	ok(!ojson_has(a, "pods"), "zeros go");
	ok(oquota_sub(a, a) == 0 && !oquota_equal(a, b), "and back");
	ojson_unref(over);
	ojson_unref(m);
	ojson_unref(a);
	ojson_unref(b);
	obuf_done(&t);
}

int main(void)
{
	named("limits.cpu", "pods");
	named("requests.example.com/gpu", "pods");
	named("count/deployments.apps", "deployments.apps");
	named("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims");
	named("services.nodeports", "services");
	named("secrets", "secrets");
	named("count/", "");
	named("requests.kubernetes.io/x", "");
	cost("pods", "{\"spec\":{\"containers\":[{}]}}", "count/pods=1,pods=1");
	cost("pods", "{\"status\":{\"phase\":\"Succeeded\"},\"spec\":{\"containers\":[{}]}}", "count/pods=1");
	cost("pods", "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\",\"a.b/c\":\"2\"},\"limits\":{\"cpu\":\"2\"}}},"
	     "{\"resources\":{\"requests\":{\"cpu\":\"500m\"}}}],\"initContainers\":[{\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]}}",
	     "count/pods=1,cpu=3,limits.cpu=2,pods=1,requests.a.b/c=2,requests.cpu=3");
	cost("pods", "{\"spec\":{\"overhead\":{\"memory\":\"1Mi\"},\"containers\":[{\"resources\":{\"limits\":{\"memory\":\"1Mi\"}}}]}}",
	     "count/pods=1,limits.memory=2Mi,memory=1Mi,pods=1,requests.memory=1Mi");
	cost("services", "{\"spec\":{\"type\":\"NodePort\",\"ports\":[{},{}]}}",
	     "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2");
	cost("services", "{\"spec\":{\"type\":\"LoadBalancer\",\"allocateLoadBalancerNodePorts\":false,\"ports\":[{\"nodePort\":30000},{}]}}",
	     "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1");
	cost("persistentvolumeclaims", "{\"spec\":{\"storageClassName\":\"g\",\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}",
	     "count/persistentvolumeclaims=1,g.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
	     "g.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi");
	cost("configmaps", "{}", "configmaps=1,count/configmaps=1");
	cost("deployments.apps", "{}", "count/deployments.apps=1");
	scope("{}", "{}", true);
	scope("{\"scopes\":[\"Terminating\"]}", "{\"spec\":{\"activeDeadlineSeconds\":5}}", true);
	scope("{\"scopes\":[\"NotTerminating\"]}", "{\"spec\":{\"activeDeadlineSeconds\":5}}", false);
	scope("{\"scopes\":[\"BestEffort\"]}", "{\"status\":{\"qosClass\":\"BestEffort\"}}", true);
	scope("{\"scopes\":[\"NotBestEffort\"]}", "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]}}", true);
	scope("{\"scopes\":[\"CrossNamespacePodAffinity\"]}", "{\"spec\":{\"affinity\":{\"podAffinity\":{"
	      "\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"namespaces\":[\"x\"]}]}}}}", true);
#define CLASSES(op, values) "{\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\",\"operator\":\"" op "\",\"values\":[" values "]}]}}"
	scope(CLASSES("In", "\"high\",\"low\""), "{\"spec\":{\"priorityClassName\":\"low\"}}", true);
	scope(CLASSES("In", "\"high\""), "{\"spec\":{}}", false);
	scope(CLASSES("NotIn", "\"high\""), "{\"spec\":{}}", true);
	scope(CLASSES("Exists", ""), "{\"spec\":{\"priorityClassName\":\"low\"}}", true);
	scope(CLASSES("DoesNotExist", ""), "{\"spec\":{\"priorityClassName\":\"low\"}}", false);
	missing("{\"pods\":\"1\"}", "{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", "");
	missing("{\"limits.cpu\":\"1\",\"memory\":\"1\"}",
		"{\"spec\":{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]}}",
		"must specify limits.cpu for: a,b; memory for: a,b,c");
	sums();
	return done_testing();
}
