/*
 * defaults-kinds.c - defaults that depend on other fields: stateful sets, daemon sets, jobs, policies.
 *
 * Source: the facts of upstream's versioned defaulting, k8s.io/kubernetes/pkg/apis/(*)/v1/defaults.go.
 */
#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/defaults-kinds.h"
#include "schema/decode.h"

/* Sets a member if it is absent. 1 set, 0 was there. */
static int absent_i64(struct ojson *o, const char *key, int64_t v)
{
	int r = ojson_has(o, key) ? 0 : ojson_set_i64(o, key, v);

	return r != 0 ? r : !ojson_has(o, key);
}

static int absent_cstr(struct ojson *o, const char *key, const char *v)
{
	return ojson_has(o, key) ? 0 : ojson_set_cstr(o, key, v);
}

int defaults_stateful_set_strategy(const struct oschema *s, struct ojson *o)
{
	struct ojson *r;

	(void)s;
	if (!oget_is(o, "type", "RollingUpdate"))
		return 0;
	r = ojson_ensure_object(o, "rollingUpdate");
	if (r == NULL || absent_i64(r, "partition", 0) < 0)
		return -ENOMEM;
	return 1;
}

/* A claim in a template shows its kind, and that it is not there yet. */
static int claim_template(struct ojson *list, size_t i, struct ojson *claim)
{
	cleanup_ojson struct ojson *out = ojson_new_object();
	int r = out == NULL ? -ENOMEM : ojson_set_cstr(out, "kind", "PersistentVolumeClaim");

	if (r == 0)
		r = ojson_set_cstr(out, "apiVersion", "v1");
	OJSON_FOREACH(it, claim)
		if (r == 0 && !ojson_has(out, it.key))
			r = ojson_put_n(out, it.key, it.key_len, ojson_ref(it.value));
	return r == 0 ? ojson_replace(list, i, TAKE(out)) : r;
}

int defaults_stateful_set_spec(const struct oschema *s, struct ojson *o)
{
	struct ojson *keep = ojson_ensure_object(o, "persistentVolumeClaimRetentionPolicy");
	struct ojson *claims = ojson_get(o, "volumeClaimTemplates");
	int r = keep != NULL ? 0 : -ENOMEM;

	(void)s;
	if (r == 0)
		r = absent_cstr(keep, "whenDeleted", "Retain");
	if (r == 0)
		r = absent_cstr(keep, "whenScaled", "Retain");
	OJSON_FOREACH_ELEM(i, claim, claims)
		if (r == 0 && !(oget_is(claim, "kind", "PersistentVolumeClaim") && oget_is(claim, "apiVersion", "v1")))
			r = claim_template(claims, i, claim);
	return r == 0 ? 1 : r;
}

int defaults_daemon_set_strategy(const struct oschema *s, struct ojson *o)
{
	struct ojson *r;
	int n;

	(void)s;
	if (!oget_is(o, "type", "RollingUpdate"))
		return 0;
	r = ojson_ensure_object(o, "rollingUpdate");
	n = r != NULL ? absent_i64(r, "maxUnavailable", 1) : -ENOMEM;
	if (n == 0)
		n = absent_i64(r, "maxSurge", 0);
	return n < 0 ? n : 1;
}

/* The number of the template stands in an annotation since the field for it went. */
int defaults_daemon_set(const struct oschema *s, struct ojson *o)
{
	static const char key[] = "deprecated.daemonset.template.generation";
	const struct oschema_type *t = oschema_type_find(s, "meta/v1.ObjectMeta");
	struct ojson *meta = ojson_ensure_object(o, "metadata"), *notes = NULL;
	int r;

	if (meta != NULL && ojson_has(ojson_get(meta, "annotations"), key))
		return 0;
	if (meta != NULL)
		notes = ojson_ensure_object(meta, "annotations");
	r = notes != NULL ? ojson_set_cstr(notes, key, "1") : -ENOMEM;
	if (r == 0 && t != NULL)
		r = oschema_restore_order(s, t, meta);
	return r == 0 ? 1 : r;
}

int defaults_job(const struct oschema *s, struct ojson *o)
{
	struct ojson *spec = ojson_ensure_object(o, "spec"), *meta = ojson_ensure_object(o, "metadata");
	struct ojson *labels = OJSON_AT(spec, "template", "metadata", "labels");
	const struct oschema_type *t = oschema_type_find(s, "batch/v1.JobSpec");
	const struct oschema_type *mt = oschema_type_find(s, "meta/v1.ObjectMeta");
	bool both = !ojson_has(spec, "completions") && !ojson_has(spec, "parallelism");
	int r = spec != NULL && meta != NULL ? 0 : -ENOMEM;

	if (r == 0 && both)
		r = ojson_set_i64(spec, "completions", 1);
	if (r == 0)
		r = absent_i64(spec, "parallelism", 1);
	if (r == 0)
		r = absent_i64(spec, "backoffLimit", ojson_has(spec, "backoffLimitPerIndex") ? INT32_MAX : 6);
	if (r == 0)
		r = absent_cstr(spec, "completionMode", "NonIndexed");
	if (r == 0 && !ojson_has(spec, "suspend"))
		r = ojson_set_bool(spec, "suspend", false);
	if (r == 0 && !ojson_has(spec, "manualSelector"))
		r = ojson_set_bool(spec, "manualSelector", false);
	if (r == 0)
		r = absent_cstr(spec, "podReplacementPolicy", ojson_has(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
	if (r == 0 && ojson_count(labels) > 0 && oget_len(meta, "labels") == 0) {
		r = ojson_set(meta, "labels", ojson_ref(labels));
		if (r == 0 && mt != NULL)
			r = oschema_restore_order(s, mt, meta);
	}
	if (r == 0 && t != NULL)
		r = oschema_restore_order(s, t, spec);
	return r == 0 ? 1 : r;
}

int defaults_network_policy_spec(const struct oschema *s, struct ojson *o)
{
	struct ojson *types;
	int r;

	(void)s;
	if (oget_len(o, "policyTypes") > 0)
		return 0;
	types = ojson_ensure_array(o, "policyTypes");
	r = types != NULL ? ojson_append_cstr(types, "Ingress") : -ENOMEM;
	if (r == 0 && oget_len(o, "egress") > 0)
		r = ojson_append_cstr(types, "Egress");
	return r == 0 ? 1 : r;
}

/* What is wanted if nothing is said: 80 % of what the pods ask for. */
static const char cpu_metric[] = "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"
				 "\"Utilization\",\"averageUtilization\":80}}}";
static const char up_policies[] = "[{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15},"
				  "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]";
static const char down_policies[] = "[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]";

static int set_json(struct ojson *o, const char *key, const char *text)
{
	struct ojson *v = NULL;

	if (ojson_parse(text, strlen(text), &v, NULL) < 0)
		return -ENOMEM;
	return ojson_set(o, key, v);
}

static int scaling_rules(const struct oschema *s, struct ojson *behavior, const char *key, bool up)
{
	const struct oschema_type *t = oschema_type_find(s, "autoscaling/v2.HPAScalingRules");
	struct ojson *r = ojson_ensure_object(behavior, key);
	int n = r != NULL ? 0 : -ENOMEM;

	if (n == 0 && up)
		n = absent_i64(r, "stabilizationWindowSeconds", 0);
	if (n == 0)
		n = absent_cstr(r, "selectPolicy", "Max");
	if (n == 0 && oget_len(r, "policies") == 0)
		n = set_json(r, "policies", up ? up_policies : down_policies);
	return n == 0 && t != NULL ? oschema_restore_order(s, t, r) : n;
}

int defaults_autoscaler_spec(const struct oschema *s, struct ojson *o)
{
	struct ojson *metrics, *cpu = NULL, *behavior = ojson_get(o, "behavior");
	int r = 0;

	if (oget_len(o, "metrics") == 0) {
		metrics = ojson_ensure_array(o, "metrics");
		if (metrics == NULL || ojson_parse(cpu_metric, strlen(cpu_metric), &cpu, NULL) < 0)
			return -ENOMEM;
		r = ojson_append(metrics, cpu);
	}
	if (r == 0 && behavior != NULL) {
		r = scaling_rules(s, behavior, "scaleUp", true);
		if (r == 0)
			r = scaling_rules(s, behavior, "scaleDown", false);
	}
	return r == 0 ? 1 : r;
}

/* ---- CustomResourceDefinition ---- */

/* What a definition asks for; the names that it got are others'. */
static int crd_names(struct ojson *o)
{
	const char *kind = ojson_get_cstr(o, "kind", "");
	size_t n = strlen(kind);
	char text[256];
	int r = 0;

	if (n == 0 || n + 5 > sizeof(text))
		return 0;
	if (oget_empty(o, "singular")) {
		for (size_t i = 0; i <= n; i++)
			text[i] = kind[i] >= 'A' && kind[i] <= 'Z' ? (char)(kind[i] + 32) : kind[i];
		r = ojson_set_cstr(o, "singular", text);
	}
	if (r == 0 && oget_empty(o, "listKind")) {
		memcpy(text, kind, n);
		memcpy(text + n, "List", 5);
		r = ojson_set_cstr(o, "listKind", text);
	}
	return r == 0 ? 1 : r;
}

int defaults_crd_spec(const struct oschema *s, struct ojson *o)
{
	struct ojson *conversion = ojson_get(o, "conversion");
	struct ojson *service = OJSON_AT(conversion, "webhook", "clientConfig", "service");
	int r = 0;

	(void)s;
	if (service != NULL && !ojson_has(service, "port"))
		r = ojson_set_i64(service, "port", 443);
	if (r == 0)
		r = crd_names(ojson_get(o, "names"));
	if (r < 0 || conversion != NULL)
		return r;
	conversion = ojson_ensure_object(o, "conversion");
	r = conversion != NULL ? ojson_set_cstr(conversion, "strategy", "None") : -ENOMEM;
	return r == 0 ? 1 : r;
}

/* ---- requests for devices ---- */

int defaults_device_count(const struct oschema *s, struct ojson *o)
{
	int r;

	(void)s;
	if (!oget_is(o, "allocationMode", "ExactCount") || oget_int(o, "count") != 0)
		return 0;
	r = ojson_set_i64(o, "count", 1);
	return r == 0 ? 1 : r;
}
