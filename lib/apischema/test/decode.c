/*
 * decode.c - decoding, canonical form and defaults of real kinds.
 */
#define OTAP_FAULTS
#include <orlop/inline/error.h>

#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "schema/decode.h"

static const struct oschema *const s = &oschema_builtin;

/* Decodes @text as @type; the result's text (omem_free) or the error's. */
static char *decoded(const char *type, const char *text, unsigned int flags, struct oschema_texts *unknown)
{
	const struct oschema_type *t = oschema_type_find(s, type);
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *in = NULL;
	cleanup_ojson struct ojson *out = NULL;
	struct oscan_error at;

	if (t == NULL)
		return omem_strdup("no such type");
	if (ojson_parse(text, strlen(text), &in, &at) != 0)
		return omem_printf("parse: %s", at.msg);
	if (oschema_decode(s, t, in, flags, unknown, &out, &err) != 0)
		return omem_strdup(err.msg);
	return ojson_text(out, 0, NULL);
}

static void is_decoded(const char *type, const char *in, const char *want, const char *what)
{
	cleanup_free char *got = decoded(type, in, 0, NULL);

	is_str(got, want, "%s", what);
}

static void is_defaulted(const char *type, const char *in, const char *want, const char *what)
{
	cleanup_free char *got = decoded(type, in, OSCHEMA_DECODE_DEFAULTS, NULL);
	cleanup_free char *again = decoded(type, got, OSCHEMA_DECODE_DEFAULTS, NULL);

	is_str(got, want, "%s", what);
	is_str(again, got, "%s: decoding the result again changes nothing", what);
}

static void test_lookup(void)
{
	const struct oschema_resource *r = oschema_resource_find(s, (struct orlop_bytes){ "apps", 4 },
		(struct orlop_bytes){ "v1", 2 }, (struct orlop_bytes){ "deployments", 11 });
	char buf[64];

	ok(r != NULL, "apps/v1 deployments are known");
	is_str(oschema_str(s, r->kind), "Deployment", "their kind");
	is_str(oschema_str(s, r->list_kind), "DeploymentList", "their list kind");
	is_str(oschema_api_version(s, r, buf, sizeof(buf)), "apps/v1", "their version");
	is_str(r->hash, "8aSe+NMegvE=", "their storageVersionHash is upstream's");
	ok(oschema_sub_find(s, r, (struct orlop_bytes){ "scale", 5 }) != NULL, "they can be scaled");
	ok(oschema_resource_find(s, (struct orlop_bytes){ "apps", 4 }, (struct orlop_bytes){ "v1", 2 },
				 (struct orlop_bytes){ "deployment", 10 }) == NULL, "a prefix is no resource");
	ok(oschema_kind_find(s, (struct orlop_bytes){ "", 0 }, (struct orlop_bytes){ "v1", 2 },
			     (struct orlop_bytes){ "Pod", 3 }) != NULL, "kind Pod");
	for (unsigned int i = 0; i < s->n_type_names; i++) {
		const struct oschema_type *t = &s->types[s->type_names[i]];

		if (oschema_type_find(s, oschema_str(s, t->name)) != t)
			fail("type %s is not found", oschema_str(s, t->name));
		for (unsigned int k = 0; k < t->n_fields; k++) {
			const struct oschema_field *f = &s->fields[t->fields + k];

			if (oschema_field_find(s, t, oschema_field_name(s, f), f->name_len) != f)
				fail("field %s is not found", oschema_field_name(s, f));
		}
	}
	for (unsigned int i = 0; i < s->n_resources; i++) {
		const struct oschema_resource *x = &s->resources[i];
		const char *g = oschema_str(s, x->group), *v = oschema_str(s, x->version);
		const char *p = oschema_str(s, x->plural);

		if (oschema_resource_find(s, (struct orlop_bytes){ g, strlen(g) },
					  (struct orlop_bytes){ v, strlen(v) },
					  (struct orlop_bytes){ p, strlen(p) }) != x)
			fail("resource %s is not found", p);
	}
}

static void test_canonical(void)
{
	is_decoded("core/v1.ConfigMap", "{\"data\":{\"b\":\"2\",\"a\":null},\"kind\":\"ConfigMap\",\"metadata\":"
		   "{\"name\":\"x\",\"creationTimestamp\":null},\"apiVersion\":\"v1\",\"bogus\":1}",
		   "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},"
		   "\"data\":{\"a\":\"\",\"b\":\"2\"}}", "order, sorted maps, null, pruning");
	is_decoded("core/v1.Pod", "{}", "{\"metadata\":{},\"spec\":{\"containers\":null},\"status\":{}}",
		   "an empty pod");
	is_decoded("core/v1.Event", "{\"firstTimestamp\":\"2026-01-02T03:04:05.9+01:00\"}",
		   "{\"metadata\":{},\"involvedObject\":{},\"source\":{},"
		   "\"firstTimestamp\":\"2026-01-02T02:04:05Z\",\"lastTimestamp\":null,\"eventTime\":null,"
		   "\"reportingComponent\":\"\",\"reportingInstance\":\"\"}", "times of an event");
	is_decoded("core/v1.ResourceRequirements", "{\"limits\":{\"memory\":\"0.5Gi\",\"cpu\":0.1234567}}",
		   "{\"limits\":{\"cpu\":\"124m\",\"memory\":\"512Mi\"}}", "quantities");
	is_decoded("core/v1.Secret", "{\"data\":{\"a\":\"aGV\\nsbG8=\"}}",
		   "{\"metadata\":{},\"data\":{\"a\":\"aGVsbG8=\"}}", "base64 with a line break");
	is_decoded("core/v1.ServicePort", "{\"port\":80}", "{\"port\":80,\"targetPort\":0}",
		   "a union value is always written");
	is_decoded("discovery/v1.EndpointSlice", "{\"endpoints\":[],\"addressType\":\"IPv4\"}",
		   "{\"metadata\":{},\"addressType\":\"IPv4\",\"endpoints\":null,\"ports\":null}",
		   "empty lists that are always written are null");
	is_decoded("coordination/v1.Lease", "{\"spec\":{\"renewTime\":\"2026-01-02T03:04:05.123456Z\"}}",
		   "{\"metadata\":{},\"spec\":{\"renewTime\":\"2026-01-02T03:04:05.123456Z\"}}", "microseconds");
}

static void test_errors(void)
{
	is_decoded("apps/v1.Deployment", "{\"spec\":{\"replicas\":\"a\"}}",
		   "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
		   "text for a number");
	is_decoded("apps/v1.Deployment", "{\"spec\":{\"replicas\":1.5}}",
		   "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
		   "a fraction");
	is_decoded("apps/v1.Deployment", "{\"spec\":{\"replicas\":5000000000}}",
		   "json: cannot unmarshal number 5000000000 into Go struct field DeploymentSpec.spec.replicas "
		   "of type int32", "too large for int32");
	is_decoded("core/v1.Pod", "{\"spec\":{\"containers\":[{\"name\":1}]}}",
		   "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
		   "inside a list");
	is_decoded("core/v1.Pod", "{\"spec\":{\"containers\":{}}}",
		   "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
		   "an object for a list");
	is_decoded("core/v1.Pod", "{\"spec\":{\"restartPolicy\":true}}",
		   "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
		   "a named string");
	is_decoded("core/v1.Pod", "{\"metadata\":{\"labels\":{\"a\":1}}}",
		   "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
		   "a label");
	is_decoded("core/v1.Pod", "{\"spec\":[]}",
		   "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec", "a list for an object");
	is_decoded("core/v1.Pod", "{\"metadata\":{\"deletionTimestamp\":\"now\"}}",
		   "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"", "a time");
	is_decoded("apiextensions/v1.JSONSchemaProps", "{\"items\":{\"type\":7}}",
		   "json: cannot unmarshal number into Go struct field JSONSchemaProps.items.type of type string", "a schema or a list");
	is_decoded("apiextensions/v1.JSONSchemaProps", "{\"additionalProperties\":\"x\"}", "boolean or JSON schema expected",
		   "neither a schema nor a bool");
	is_decoded("apiextensions/v1.JSONSchemaProps",
		   "{\"additionalProperties\":true,\"items\":{\"odd\":1,\"items\":{\"type\":\"string\",\"id\":\"\"}}}",
		   "{\"items\":{\"items\":{\"type\":\"string\"}},\"additionalProperties\":true}", "schemas in schemas are schemas");
	is_decoded("core/v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"x\"}}",
		   "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
		   "a quantity");
	is_decoded("core/v1.Secret", "{\"data\":{\"a\":\"%\"}}", "illegal base64 data at input byte 0", "base64");
}

static void test_unknown(void)
{
	struct oschema_texts u = { 0 };
	cleanup_free char *out = decoded("apps/v1.Deployment",
		"{\"foo\":1,\"spec\":{\"Replicas\":1,\"template\":{\"spec\":{\"containers\":[{},{\"imag\":\"x\"}]}}}}",
		0, &u);

	is_int(u.n, 3, "three unknown fields");
	is_str(u.n > 0 ? u.v[0] : NULL, "unknown field \"spec.template.spec.containers[1].imag\"", "in a list");
	is_str(u.n > 1 ? u.v[1] : NULL, "unknown field \"spec.Replicas\"", "names are case-sensitive");
	is_str(u.n > 2 ? u.v[2] : NULL, "unknown field \"foo\"", "at the top");
	oschema_texts_done(&u);
	ok(out != NULL, "decoded nevertheless");
}

/* Of the tag latest, as upstream finds it in what is the name of an image at all. */
static void test_pull_policy(void)
{
#define SHA "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const char *const images[][2] = {
		{ "b", "Always" }, { "b:latest", "Always" }, { "h.example/a/b", "Always" }, { "h:5000/b", "Always" }, { "localhost/b", "Always" },
		{ "Host/b", "Always" }, { "b:latest@" SHA, "Always" }, { "h:5000/b:latest@" SHA, "Always" },
		{ "b:1", "IfNotPresent" }, { "h:5000/b:1", "IfNotPresent" }, { "b@" SHA, "IfNotPresent" }, { "b:1@" SHA, "IfNotPresent" },
		{ "h:5000/b@" SHA, "IfNotPresent" }, { "B", "IfNotPresent" }, { "a/B", "IfNotPresent" }, { "b:", "IfNotPresent" },
		{ "b:latest@sha256:0", "IfNotPresent" }, { "b@", "IfNotPresent" }, { "a//b", "IfNotPresent" }, { "a__b", "Always" },
		{ "a___b", "IfNotPresent" }, { "-b", "IfNotPresent" },
	};

	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		cleanup_free char *got = NULL;
		char in[200], want[80];

		snprintf(in, sizeof(in), "{\"name\":\"a\",\"image\":\"%s\"}", images[i][0]);
		snprintf(want, sizeof(want), "\"imagePullPolicy\":\"%s\"", images[i][1]);
		got = decoded("core/v1.Container", in, OSCHEMA_DECODE_DEFAULTS, NULL);
		ok(got && strstr(got, want), "the policy of %s: %s", images[i][0], got ? got : "");
	}
#undef SHA
}

static void test_defaults(void)
{
	is_defaulted("core/v1.Container", "{\"name\":\"a\",\"image\":\"busybox\"}",
		     "{\"name\":\"a\",\"image\":\"busybox\",\"resources\":{},\"terminationMessagePath\":"
		     "\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\"Always\"}",
		     "a container");
	is_defaulted("core/v1.Container", "{\"image\":\"h:5000/b:1\",\"name\":\"a\",\"ports\":[{\"containerPort\":80}],"
		     "\"livenessProbe\":{\"httpGet\":{\"port\":80}}}",
		     "{\"name\":\"a\",\"image\":\"h:5000/b:1\",\"ports\":[{\"containerPort\":80,\"protocol\":\"TCP\"}],"
		     "\"resources\":{},\"livenessProbe\":{\"httpGet\":{\"path\":\"/\",\"port\":80,\"scheme\":\"HTTP\"},"
		     "\"timeoutSeconds\":1,\"periodSeconds\":10,\"successThreshold\":1,\"failureThreshold\":3},"
		     "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
		     "\"imagePullPolicy\":\"IfNotPresent\"}", "ports and probes");
	is_defaulted("core/v1.PodSpec", "{\"containers\":[],\"serviceAccount\":\"x\",\"volumes\":[{\"name\":\"v\"},"
		     "{\"name\":\"s\",\"secret\":{\"secretName\":\"t\"}}]}",
		     "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}},{\"name\":\"s\",\"secret\":{\"secretName\":\"t\","
		     "\"defaultMode\":420}}],\"containers\":null,\"restartPolicy\":\"Always\","
		     "\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"x\","
		     "\"serviceAccount\":\"x\",\"securityContext\":{},\"schedulerName\":\"default-scheduler\"}", "a pod's spec");
	is_defaulted("core/v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b@sha256:0\",\"resources\":{"
		     "\"requests\":{\"memory\":\"1Gi\"},\"limits\":{\"cpu\":1,\"memory\":\"2Gi\"}}}]}}",
		     "{\"metadata\":{},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b@sha256:0\",\"resources\":{"
		     "\"limits\":{\"cpu\":\"1\",\"memory\":\"2Gi\"},\"requests\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}},"
		     "\"resizePolicy\":[{\"resourceName\":\"cpu\",\"restartPolicy\":\"NotRequired\"},"
		     "{\"resourceName\":\"memory\",\"restartPolicy\":\"NotRequired\"}],"
		     "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
		     "\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
		     "\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{},"
		     "\"schedulerName\":\"default-scheduler\",\"enableServiceLinks\":true},\"status\":{}}",
		     "requests from limits");
	is_defaulted("core/v1.Service", "{\"spec\":{\"ports\":[{\"port\":80}]}}",
		     "{\"metadata\":{},\"spec\":{\"ports\":[{\"protocol\":\"TCP\",\"port\":80,\"targetPort\":80}],"
		     "\"type\":\"ClusterIP\",\"sessionAffinity\":\"None\",\"internalTrafficPolicy\":\"Cluster\"},"
		     "\"status\":{\"loadBalancer\":{}}}", "a service");
	is_defaulted("apps/v1.DeploymentSpec", "{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":1}}}",
		     "{\"replicas\":1,\"selector\":null,\"template\":{\"metadata\":{},\"spec\":{\"containers\":null,"
		     "\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\","
		     "\"securityContext\":{},\"schedulerName\":\"default-scheduler\"}},\"strategy\":{\"type\":"
		     "\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":\"25%\",\"maxSurge\":1}},"
		     "\"revisionHistoryLimit\":10,\"progressDeadlineSeconds\":600}", "a deployment");
	is_defaulted("core/v1.Secret", "{\"stringData\":{\"b\":\"x\"},\"data\":{\"c\":\"eA==\"}}",
		     "{\"metadata\":{},\"data\":{\"b\":\"eA==\",\"c\":\"eA==\"},\"type\":\"Opaque\"}", "a secret");
	is_defaulted("core/v1.Namespace", "{\"metadata\":{\"name\":\"n\",\"labels\":{\"z\":\"1\"}}}",
		     "{\"metadata\":{\"name\":\"n\",\"labels\":{\"kubernetes.io/metadata.name\":\"n\",\"z\":\"1\"}},"
		     "\"spec\":{},\"status\":{\"phase\":\"Active\"}}", "a namespace");
	is_defaulted("core/v1.Node", "{\"status\":{\"capacity\":{\"cpu\":\"2\"}}}",
		     "{\"metadata\":{},\"spec\":{},\"status\":{\"capacity\":{\"cpu\":\"2\"},\"allocatable\":{\"cpu\":\"2\"},"
		     "\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":0}},\"nodeInfo\":{\"machineID\":\"\",\"systemUUID\":"
		     "\"\",\"bootID\":\"\",\"kernelVersion\":\"\",\"osImage\":\"\",\"containerRuntimeVersion\":\"\","
		     "\"kubeletVersion\":\"\",\"kubeProxyVersion\":\"\",\"operatingSystem\":\"\",\"architecture\":\"\"}}}",
		     "a node");
}

static void test_convert(void)
{
	const struct oschema_resource *core = oschema_resource_find(s, (struct orlop_bytes){ "", 0 },
		(struct orlop_bytes){ "v1", 2 }, (struct orlop_bytes){ "events", 6 });
	const struct oschema_resource *next = oschema_resource_find(s, (struct orlop_bytes){ "events.k8s.io", 13 },
		(struct orlop_bytes){ "v1", 2 }, (struct orlop_bytes){ "events", 6 });
	static const char text[] = "{\"involvedObject\":{\"kind\":\"Pod\"},\"message\":\"m\",\"count\":3}";
	cleanup_ojson struct ojson *o = NULL;
	cleanup_free char *there = NULL;
	cleanup_free char *back = NULL;
	char buf[32];

	ok(ojson_parse(text, strlen(text), &o, NULL) == 0 && core != NULL && next != NULL, "an event");
	is_int(oschema_convert(s, core, next, o), 0, "to events.k8s.io");
	there = ojson_text(o, OJSON_SORTED, NULL);
	is_str(there, "{\"deprecatedCount\":3,\"note\":\"m\",\"regarding\":{\"kind\":\"Pod\"}}", "the new names");
	is_int(oschema_convert(s, next, core, o), 0, "and back");
	back = ojson_text(o, OJSON_SORTED, NULL);
	is_str(back, "{\"count\":3,\"involvedObject\":{\"kind\":\"Pod\"},\"message\":\"m\"}", "the old names");
	for (unsigned int i = 0; i < core->n_selects; i++)
		if (strcmp(oschema_str(s, s->selects[core->selects + i].name), "involvedObject.kind") == 0)
			is_str(oschema_select_value(s, core, i, o, buf).p, "Pod", "a selected field");
}

/* Without memory at any moment: an error or the right answer, never a crash. */
static void test_no_memory(void)
{
	static const char text[] = "{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"b\"}},\"spec\":{\"serviceAccount\":"
		"\"s\",\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"resources\":{\"limits\":{\"cpu\":1}},\"bogus\":1}]}}";
	const struct oschema_type *t = oschema_type_find(s, "core/v1.Pod");
	cleanup_ojson struct ojson *in = NULL;
	bool faulted = true, good = true;
	long n = 0;

	if (!ok(ojson_parse(text, strlen(text), &in, NULL) == 0, "a pod"))
		return;
	while (faulted && n < 10000) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct oschema_texts unknown = { 0 };
		struct ojson *out = NULL;
		int r;

		otap_fail_nth(++n);
		r = oschema_decode(s, t, in, OSCHEMA_DECODE_DEFAULTS, &unknown, &out, &err);
		faulted = otap_faulted();
		otap_fail_nth(0);
		good = good && (r == 0 ? out != NULL : r == -ENOMEM && out == NULL);
		ojson_unref(out);
		oschema_texts_done(&unknown);
	}
	ok(good && n > 2, "%ld allocations failed in turn", n - 1);
}

int main(void)
{
	test_no_memory();
	test_lookup();
	test_canonical();
	test_errors();
	test_unknown();
	test_defaults();
	test_pull_policy();
	test_convert();
	return done_testing();
}
