/*
 * validate.c - findings on real kinds: path, reason, wording.
 */
#include <orlop/inline/error.h>

#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/validate.h"

static const struct oschema *const s = &oschema_builtin;

static struct ojson *typed(const struct oschema_resource *r, const char *text)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *in = NULL;
	struct ojson *out = NULL;

	if (ojson_parse(text, strlen(text), &in, NULL) != 0 ||
	    oschema_decode(s, oschema_type_at(s, r->type), in, OSCHEMA_DECODE_DEFAULTS, NULL, &out, &err) != 0)
		otap_diag("does not decode: %s", err.msg);
	return out;
}

static const struct oschema_resource *resource(const char *group, const char *plural)
{
	return oschema_resource_find(s, (struct orlop_bytes){ group, strlen(group) },
				     (struct orlop_bytes){ "v1", 2 }, (struct orlop_bytes){ plural, strlen(plural) });
}

/* The findings of a write as lines "field reason message", "" if valid. omem_free(). */
static char *findings(const struct oschema_resource *r, const char *obj, const char *old, const char *sub)
{
	cleanup_ojson struct ojson *o = typed(r, obj);
	cleanup_ojson struct ojson *was = old != NULL ? typed(r, old) : NULL;
	struct oschema_write w = { .obj = o, .old = was, .sub = { sub, strlen(sub) } };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf b = OBUF_INIT;

	(void)oschema_validate(s, r, &w, &err);
	for (uint32_t i = 0; err.causes != NULL && i < err.causes->n; i++)
		obuf_printf(&b, "%s%s %s %s", i > 0 ? "\n" : "", err.causes->v[i].field,
			    err.causes->v[i].reason + strlen("FieldValue"), err.causes->v[i].message);
	obuf_puts(&b, "");
	orlop_error_done(&err);
	return obuf_steal(&b, NULL);
}

static void check(const char *group, const char *plural, const char *obj, const char *old, const char *sub,
		  const char *want, const char *what)
{
	cleanup_free char *got = findings(resource(group, plural), obj, old, sub);

	is_str(got, want, "%s", what);
}

#define META "\"metadata\":{\"name\":\"x\",\"namespace\":\"d\"}"
#define POD(spec) "{" META ",\"spec\":{" spec "}}"
#define ONE "\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]"
#define DEPLOY(labels, more) "{" META ",\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":" \
	"{\"labels\":{" labels "}},\"spec\":{" ONE "}}" more "}}"
#define LABEL63 "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and " \
	"end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

static void test_meta(void)
{
	check("", "configmaps", "{\"metadata\":{}}", NULL, "",
	      "metadata.name Required Required value: name or generateName is required\n"
	      "metadata.namespace Required Required value", "no name, no namespace");
	check("", "configmaps", "{\"metadata\":{\"name\":\"A_b\",\"namespace\":\"d\"}}", NULL, "",
	      "metadata.name Invalid Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case "
	      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
	      "'example.com', regex used for validation is "
	      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')", "a bad name");
	check("", "namespaces", "{\"metadata\":{\"name\":\"a.b\",\"namespace\":\"d\"}}", NULL, "",
	      "metadata.name Invalid Invalid value: \"a.b\": " LABEL63 "\n"
	      "metadata.namespace Forbidden Forbidden: not allowed on this type", "a namespace's name");
	check("", "configmaps", "{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"labels\":{\"a b\":\"-\"}}}", NULL, "",
	      "metadata.labels Invalid Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or "
	      "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
	      "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n"
	      "metadata.labels Invalid Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric "
	      "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
	      "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
	      "labels");
	check("", "configmaps", "{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"finalizers\":[\"foo\"],\"ownerReferences\":"
	      "[{\"apiVersion\":\"v1\",\"kind\":\"\",\"name\":\"a\",\"uid\":\"b\"}]}}", NULL, "",
	      "metadata.ownerReferences[0].kind Invalid Invalid value: \"\": must not be empty\n"
	      "metadata.finalizers Invalid Invalid value: \"foo\": name is neither a standard finalizer name nor is it fully "
	      "qualified", "owners and finalizers");
	check("", "configmaps", "{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"uid\":\"2\",\"finalizers\":[\"a/b\"]}}",
	      "{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\",\"uid\":\"1\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}", "",
	      "metadata.finalizers Forbidden Forbidden: no new finalizers can be added if the object is being deleted, found "
	      "new finalizers []string{\"a/b\"}\n"
	      "metadata.uid Invalid Invalid value: \"2\": field is immutable", "changes of metadata");
}

static void test_pod(void)
{
	check("", "pods", POD(ONE), NULL, "", "", "a small pod is valid");
	check("", "pods", POD(""), NULL, "", "spec.containers Required Required value", "no containers");
	check("", "pods", POD("\"containers\":[{\"name\":\"A\"},{\"name\":\"a\",\"image\":\"b\",\"imagePullPolicy\":\"x\"},"
	      "{\"name\":\"a\",\"image\":\" b\"}]"), NULL, "",
	      "spec.containers[0].name Invalid Invalid value: \"A\": " LABEL63 "\n"
	      "spec.containers[0].image Required Required value\n"
	      "spec.containers[1].imagePullPolicy NotSupported Unsupported value: \"x\": supported values: \"Always\", "
	      "\"IfNotPresent\", \"Never\"\n"
	      "spec.containers[2].image Invalid Invalid value: \" b\": must not have leading or trailing whitespace\n"
	      "spec.containers[2].name Duplicate Duplicate value: \"a\"", "containers");
	check("", "pods", POD("\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"ports\":[{\"containerPort\":0},"
	      "{\"containerPort\":70000,\"protocol\":\"X\"}],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/m\"},"
	      "{\"name\":\"v\",\"mountPath\":\"/m\"}],\"livenessProbe\":{},\"resources\":{\"limits\":{\"cpu\":\"1\"},"
	      "\"requests\":{\"cpu\":\"2\",\"foo\":\"1\"}}}]"), NULL, "",
	      "spec.containers[0].ports[0].containerPort Required Required value\n"
	      "spec.containers[0].ports[1].containerPort Invalid Invalid value: 70000: must be between 1 and 65535, inclusive\n"
	      "spec.containers[0].ports[1].protocol NotSupported Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", "
	      "\"UDP\"\n"
	      "spec.containers[0].resources.requests[foo] Invalid Invalid value: \"foo\": must be a standard resource type or "
	      "fully qualified\n"
	      "spec.containers[0].resources.requests[foo] Invalid Invalid value: \"foo\": must be a standard resource for "
	      "containers\n"
	      "spec.containers[0].resources.requests Invalid Invalid value: \"2\": must be less than or equal to cpu limit of 1\n"
	      "spec.containers[0].livenessProbe Required Required value: must specify a handler type\n"
	      "spec.containers[0].volumeMounts[0].name NotFound Not found: \"v\"\n"
	      "spec.containers[0].volumeMounts[1].name NotFound Not found: \"v\"\n"
	      "spec.containers[0].volumeMounts[1].mountPath Invalid Invalid value: \"/m\": must be unique", "parts of a container");
	check("", "pods", POD(ONE ",\"restartPolicy\":\"x\",\"volumes\":[{\"name\":\"v\",\"emptyDir\":{},\"hostPath\":{}},"
	      "{\"name\":\"v\",\"configMap\":{}}],\"tolerations\":[{\"operator\":\"x\"}],\"dnsPolicy\":\"None\""), NULL, "",
	      "spec.volumes[1].name Duplicate Duplicate value: \"v\"\n"
	      "spec.volumes[0].hostPath Forbidden Forbidden: may not specify more than 1 volume type\n"
	      "spec.volumes[1].configMap.name Required Required value\n"
	      "spec.restartPolicy NotSupported Unsupported value: \"x\": supported values: \"Always\", \"OnFailure\", \"Never\"\n"
	      "spec.tolerations[0].operator Invalid Invalid value: \"x\": operator must be Exists when `key` is empty, which means "
	      "\"match all values and all keys\"\n"
	      "spec.tolerations[0].operator NotSupported Unsupported value: \"x\": supported values: \"Equal\", \"Exists\"\n"
	      "spec.dnsConfig Required Required value: must provide `dnsConfig` when `dnsPolicy` is None", "the pod's own fields");
	check("", "pods", POD("\"containers\":[{\"name\":\"a\",\"image\":\"c\"}]"), POD(ONE), "", "", "the image may change");
	check("", "pods", POD(ONE ",\"nodeName\":\"n\""), POD(ONE), "",
	      "spec Forbidden Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
	      "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
	      "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
	      "the node may not");
	check("", "pods", POD(ONE ",\"nodeName\":\"n\""), POD(ONE), "status", "", "a status write does not look at the spec");
}

static void test_workloads(void)
{
	check("apps", "deployments", DEPLOY("\"a\":\"b\"", ""), NULL, "", "", "a small deployment is valid");
	check("apps", "deployments", DEPLOY("\"a\":\"c\"", ",\"replicas\":-1"), NULL, "",
	      "spec.replicas Invalid Invalid value: -1: must be greater than or equal to 0\n"
	      "spec.template.metadata.labels Invalid Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`",
	      "replicas and labels");
	check("apps", "deployments", "{" META "}", NULL, "",
	      "spec.template.spec.containers Required Required value\n"
	      "spec.selector Required Required value\n"
	      "spec.template.metadata.labels Invalid Invalid value: null: `selector` does not match template `labels`",
	      "nothing in it");
	check("apps", "deployments", "{" META ",\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"c\"}},\"template\":{\"metadata\":{"
	      "\"labels\":{\"a\":\"c\"}},\"spec\":{" ONE "}}}}", DEPLOY("\"a\":\"b\"", ""), "",
	      "spec.selector Invalid Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable", "the selector stays");
	check("apps", "deployments", DEPLOY("\"a\":\"b\"", ",\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":\"x\"}},"
	      "\"progressDeadlineSeconds\":0"), NULL, "",
	      "spec.strategy.rollingUpdate.maxUnavailable Invalid Invalid value: \"x\": a valid percent string must be a numeric "
	      "string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')\n"
	      "spec.progressDeadlineSeconds Invalid Invalid value: 0: must be greater than minReadySeconds", "the strategy");
}

static void test_others(void)
{
	check("", "services", "{\"metadata\":{\"name\":\"1x\",\"namespace\":\"d\"},\"spec\":{\"type\":\"x\"}}", NULL, "",
	      "metadata.name Invalid Invalid value: \"1x\": a DNS-1035 label must consist of lower case alphanumeric characters or "
	      "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
	      "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')\n"
	      "spec.type NotSupported Unsupported value: \"x\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", "
	      "\"NodePort\"\n"
	      "spec.ports Required Required value", "a service");
	check("", "services", "{" META ",\"spec\":{\"clusterIP\":\"10.0.0.2\",\"clusterIPs\":[\"10.0.0.2\"],\"ports\":[{\"port\":80}]}}",
	      "{" META ",\"spec\":{\"clusterIP\":\"10.0.0.1\",\"clusterIPs\":[\"10.0.0.1\"],\"ports\":[{\"port\":80}]}}", "",
	      "spec.clusterIPs[0] Invalid Invalid value: [\"10.0.0.2\"]: may not change once set", "its address stays");
	check("", "configmaps", "{" META ",\"data\":{\"a/b\":\"\"},\"binaryData\":{\"a/b\":\"\"}}", NULL, "",
	      "data[a/b] Invalid Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
	      "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')\n"
	      "binaryData[a/b] Invalid Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' "
	      "or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')\n"
	      "data[a/b] Invalid Invalid value: \"a/b\": duplicate of key present in binaryData", "keys of a config map");
	check("", "configmaps", "{" META ",\"data\":{\"a\":\"2\"}}", "{" META ",\"data\":{\"a\":\"1\"},\"immutable\":true}", "",
	      "immutable Forbidden Forbidden: field is immutable when `immutable` is set\n"
	      "data Forbidden Forbidden: field is immutable when `immutable` is set", "an immutable one");
	check("", "secrets", "{" META ",\"type\":\"kubernetes.io/tls\"}", "{" META "}", "",
	      "data[tls.crt] Required Required value\ndata[tls.key] Required Required value\n"
	      "type Invalid Invalid value: \"kubernetes.io/tls\": field is immutable", "a secret");
	check("", "nodes", "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"x\"}]}}", NULL, "",
	      "metadata.taints[0].effect NotSupported Unsupported value: \"x\": supported values: \"NoSchedule\", \"PreferNoSchedule\", "
	      "\"NoExecute\"", "a taint");
	check("discovery.k8s.io", "endpointslices", "{" META ",\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"::1\"]},"
	      "{\"addresses\":[\"127.0.0.1\"]}]}", NULL, "",
	      "endpoints[0].addresses[0] Invalid Invalid value: \"::1\": must be a valid IPv4 address\n"
	      "endpoints[1].addresses[0] Invalid Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
	      "an endpoint slice");
	check("", "pods", POD(ONE ",\"volumes\":[{\"name\":\"v\",\"nfs\":{\"server\":\"\",\"path\":\"/x\"},\"secret\":{\"secretName\":\"s\"}}]"), NULL, "",
	      "spec.volumes[0].nfs Forbidden Forbidden: may not specify more than 1 volume type", "a second source is not looked at");
	check("", "pods", POD(ONE ",\"volumes\":[{\"name\":\"v\",\"nfs\":{\"server\":\"\",\"path\":\"/x\"}}]"), NULL, "",
	      "spec.volumes[0].nfs.server Required Required value", "the only one is");
	check("", "persistentvolumes", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"
	      "\"nfs\":{\"server\":\"\",\"path\":\"/x\"},\"hostPath\":{\"path\":\"../x\"}}}", NULL, "",
	      "spec.hostPath.path Invalid Invalid value: \"../x\": must not contain '..'\n"
	      "spec.nfs Forbidden Forbidden: may not specify more than 1 volume type", "nor that of a volume");
	check("node.k8s.io", "runtimeclasses", "{\"metadata\":{\"name\":\"x\"},\"handler\":\"h\",\"scheduling\":{\"tolerations\":["
	      "{\"key\":\"a\",\"operator\":\"Odd\"},{\"key\":\"b\"},{\"key\":\"b\",\"effect\":\"NoExecute\"},{\"key\":\"b\",\"effect\":\"NoExecute\",\"tolerationSeconds\":1}]}}", NULL, "",
	      "scheduling.tolerations[3] Duplicate Duplicate value: {\"key\":\"b\",\"effect\":\"NoExecute\",\"tolerationSeconds\":1}\n"
	      "scheduling.tolerations.tolerations[0].operator NotSupported Unsupported value: \"Odd\": supported values: \"Equal\", \"Exists\"",
	      "tolerations of a runtime class");
	check("coordination.k8s.io", "leases", "{" META ",\"spec\":{\"leaseDurationSeconds\":0}}", NULL, "",
	      "spec.leaseDurationSeconds Invalid Invalid value: 0: must be greater than 0", "a lease");
}

static void test_message(void)
{
	const struct oschema_resource *r = resource("apps", "deployments");
	cleanup_ojson struct ojson *o = typed(r, DEPLOY("\"a\":\"b\"", ",\"replicas\":-1,\"minReadySeconds\":-1"));
	cleanup_ojson struct ojson *p = typed(r, DEPLOY("\"a\":\"b\"", ",\"replicas\":-1"));
	struct oschema_write w = { .obj = o };
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(oschema_validate(s, r, &w, &err), -EINVAL, "two findings");
	is_int(err.http, 422, "http status");
	is_str(err.reason, "Invalid", "reason");
	is_str(err.msg, "Deployment.apps \"x\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, "
	       "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0]", "message of two");
	orlop_error_done(&err);
	w.obj = p;
	is_int(oschema_validate(s, r, &w, &err), -EINVAL, "one finding");
	is_str(err.msg, "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
	       "message of one");
	orlop_error_done(&err);
	ok(oschema_spec_changed(s, r, o, p), "the generation counts a change of the spec");
	ok(!oschema_spec_changed(s, r, o, o), "and nothing else");
}

int main(void)
{
	test_meta();
	test_pod();
	test_workloads();
	test_others();
	test_message();
	return done_testing();
}
