/*
 * convert-hpa.c - HorizontalPodAutoscaler: autoscaling/v1 and the stored v2. What v1 has no fields for stands in annotations.
 *
 * Source: upstream's pkg/apis/autoscaling/v1/conversion.go, down to the order of members in the annotations.
 */
#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/internal.h"

#define A_METRICS	"autoscaling.alpha.kubernetes.io/metrics"
#define A_CURRENT	"autoscaling.alpha.kubernetes.io/current-metrics"
#define A_CONDITIONS	"autoscaling.alpha.kubernetes.io/conditions"
#define A_BEHAVIOR	"autoscaling.alpha.kubernetes.io/behavior"

/* A member of a metric in v1, and where it is in v2. */
struct member {
	const char	*source;	/* "object": which kind of metric */
	const char	*old;
	const char	*at;		/* NULL: beside it */
	const char	*name;
	bool		zero;		/* a quantity that v1 always writes */
};

static const struct member spec_members[] = {
	{ "object", "target", NULL, "describedObject", false },
	{ "object", "metricName", "metric", "name", false },
	{ "object", "targetValue", "target", "value", true },
	{ "object", "selector", "metric", "selector", false },
	{ "object", "averageValue", "target", "averageValue", false },
	{ "pods", "metricName", "metric", "name", false },
	{ "pods", "targetAverageValue", "target", "averageValue", true },
	{ "pods", "selector", "metric", "selector", false },
	{ "resource", "name", NULL, "name", false },
	{ "resource", "targetAverageUtilization", "target", "averageUtilization", false },
	{ "resource", "targetAverageValue", "target", "averageValue", false },
	{ "containerResource", "name", NULL, "name", false },
	{ "containerResource", "targetAverageUtilization", "target", "averageUtilization", false },
	{ "containerResource", "targetAverageValue", "target", "averageValue", false },
	{ "containerResource", "container", NULL, "container", false },
	{ "external", "metricName", "metric", "name", false },
	{ "external", "metricSelector", "metric", "selector", false },
	{ "external", "targetValue", "target", "value", false },
	{ "external", "targetAverageValue", "target", "averageValue", false },
	{ NULL, NULL, NULL, NULL, false },
};

static const struct member status_members[] = {
	{ "object", "target", NULL, "describedObject", false },
	{ "object", "metricName", "metric", "name", false },
	{ "object", "currentValue", "current", "value", true },
	{ "object", "selector", "metric", "selector", false },
	{ "object", "averageValue", "current", "averageValue", false },
	{ "pods", "metricName", "metric", "name", false },
	{ "pods", "currentAverageValue", "current", "averageValue", true },
	{ "pods", "selector", "metric", "selector", false },
	{ "resource", "name", NULL, "name", false },
	{ "resource", "currentAverageUtilization", "current", "averageUtilization", false },
	{ "resource", "currentAverageValue", "current", "averageValue", true },
	{ "containerResource", "name", NULL, "name", false },
	{ "containerResource", "currentAverageUtilization", "current", "averageUtilization", false },
	{ "containerResource", "currentAverageValue", "current", "averageValue", true },
	{ "containerResource", "container", NULL, "container", false },
	{ "external", "metricName", "metric", "name", false },
	{ "external", "metricSelector", "metric", "selector", false },
	{ "external", "currentValue", "current", "value", true },
	{ "external", "currentAverageValue", "current", "averageValue", false },
	{ NULL, NULL, NULL, NULL, false },
};

static const char *const sources[] = { "object", "pods", "resource", "containerResource", "external" };

/* ---- v2 → v1 ---- */

static int metric_down(const struct member *table, const struct ojson *metric, struct ojson *list)
{
	struct ojson *out = ojson_new_object();
	int r = out ? ojson_append(list, out) : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(out, "type", ojson_get_cstr(metric, "type", ""));
	for (size_t i = 0; r == 0 && i < sizeof(sources) / sizeof(sources[0]); i++) {
		const struct ojson *from = ojson_get_object(metric, sources[i]);
		struct ojson *to = from ? ojson_ensure_object(out, sources[i]) : NULL;

		if (from && !to)
			r = -ENOMEM;
		for (const struct member *m = table; r == 0 && from && m->source; m++) {
			struct ojson *v = strcmp(m->source, sources[i]) ? NULL : ojson_get(m->at ? ojson_get(from, m->at) : from, m->name);

			if (v)
				r = ojson_set(to, m->old, ojson_ref(v));
			else if (!strcmp(m->source, sources[i]) && m->zero)
				r = ojson_set_cstr(to, m->old, "0");
		}
	}
	return r;
}

static int metrics_down(const struct member *table, const struct ojson *metrics, const struct ojson *without, struct ojson **ret)
{
	cleanup_ojson struct ojson *list = ojson_new_array();
	int r = list ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, m, metrics)
		if (r == 0 && m != without)
			r = metric_down(table, m, list);
	if (r == 0)
		*ret = TAKE(list);
	return r;
}

/* Names of Go's fields: upstream writes its internal type. A member that is not there is null. */
static int rules_down(const struct ojson *rules, struct ojson *to, const char *key)
{
	struct ojson *out = rules ? ojson_ensure_object(to, key) : NULL, *list = NULL;
	int r = 0;

	if (!rules)
		return ojson_put(to, key, NULL);
	if (!out)
		return -ENOMEM;
	r = ojson_put(out, "StabilizationWindowSeconds", ojson_ref(ojson_get(rules, "stabilizationWindowSeconds")));
	if (r == 0)
		r = ojson_put(out, "SelectPolicy", ojson_ref(ojson_get(rules, "selectPolicy")));
	if (r == 0 && ojson_has(rules, "policies")) {
		list = ojson_ensure_array(out, "Policies");
		r = list ? 0 : -ENOMEM;
	} else if (r == 0) {
		r = ojson_put(out, "Policies", NULL);
	}
	OJSON_FOREACH_ELEM(i, p, ojson_get(rules, "policies")) {
		struct ojson *policy = r == 0 ? ojson_new_object() : NULL;

		r = policy ? ojson_append(list, policy) : r ? r : -ENOMEM;
		if (r == 0)
			r = ojson_set_cstr(policy, "Type", ojson_get_cstr(p, "type", ""));
		if (r == 0)
			r = ojson_set_i64(policy, "Value", ojson_get_i64(p, "value", 0));
		if (r == 0)
			r = ojson_set_i64(policy, "PeriodSeconds", ojson_get_i64(p, "periodSeconds", 0));
	}
	return r ? r : ojson_put(out, "Tolerance", ojson_ref(ojson_get(rules, "tolerance")));
}

static int note(struct ojson *obj, const char *key, const struct ojson *v)
{
	struct ojson *notes = ojson_ensure_object(ojson_ensure_object(obj, "metadata"), "annotations");
	struct obuf b = OBUF_INIT;
	int r = notes ? ojson_write(v, 0, &b) : -ENOMEM;

	if (r == 0)
		r = ojson_set_string(notes, key, b.data, b.len);
	obuf_done(&b);
	return r;
}

/* The metric that v1 has a field for: the first of cpu by its use; @place: "target" or "current". */
static const struct ojson *cpu_of(const struct ojson *metrics, const char *place, int64_t *ret)
{
	OJSON_FOREACH_ELEM(i, m, metrics) {
		const struct ojson *cpu = ojson_get(m, "resource"), *at = ojson_get(cpu, place);

		if (ojson_string_is(ojson_get(m, "type"), "Resource") && ojson_string_is(ojson_get(cpu, "name"), "cpu") &&
		    ojson_has(at, "averageUtilization")) {
			*ret = ojson_get_i64(at, "averageUtilization", 0);
			return m;
		}
	}
	return NULL;
}

int oconvert_autoscaler_down(struct ojson *obj)
{
	struct ojson *spec = ojson_get_object(obj, "spec"), *status = ojson_get_object(obj, "status");
	const struct ojson *behavior = ojson_get_object(spec, "behavior"), *cpu, *conditions = ojson_get(status, "conditions");
	cleanup_ojson struct ojson *metrics = NULL, *current = NULL, *rules = ojson_new_object();
	int64_t n;
	int r = rules ? 0 : -ENOMEM;

	cpu = cpu_of(ojson_get(spec, "metrics"), "target", &n);
	if (r == 0 && cpu)
		r = ojson_set_i64(spec, "targetCPUUtilizationPercentage", n);
	if (r == 0)
		r = metrics_down(spec_members, ojson_get(spec, "metrics"), cpu, &metrics);
	if (r == 0 && ojson_count(metrics))
		r = note(obj, A_METRICS, metrics);
	if (r == 0 && behavior) {
		r = rules_down(ojson_get_object(behavior, "scaleUp"), rules, "ScaleUp");
		if (r == 0)
			r = rules_down(ojson_get_object(behavior, "scaleDown"), rules, "ScaleDown");
		if (r == 0)
			r = note(obj, A_BEHAVIOR, rules);
	}
	if (r == 0 && cpu_of(ojson_get(status, "currentMetrics"), "current", &n))
		r = ojson_set_i64(status, "currentCPUUtilizationPercentage", n);
	if (r == 0)
		r = metrics_down(status_members, ojson_get(status, "currentMetrics"), NULL, &current);
	if (r == 0 && ojson_count(current))
		r = note(obj, A_CURRENT, current);
	if (r == 0 && ojson_count(conditions))
		r = note(obj, A_CONDITIONS, conditions);
	ojson_del(spec, "metrics");
	ojson_del(spec, "behavior");
	ojson_del(status, "currentMetrics");
	ojson_del(status, "conditions");
	return r;
}

/* ---- v1 → v2 ---- */

static const char *target_type(const char *source, const struct ojson *target)
{
	if (!strcmp(source, "object"))
		return ojson_has(target, "averageValue") ? "AverageValue" : "Value";
	if (!strcmp(source, "external"))
		return ojson_has(target, "value") ? "Value" : "AverageValue";
	return ojson_has(target, "averageUtilization") ? "Utilization" : "AverageValue";
}

static int metric_up(const struct member *table, const struct ojson *metric, struct ojson *list)
{
	struct ojson *out = ojson_new_object();
	bool spec = table == spec_members;
	int r = out ? ojson_append(list, out) : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(out, "type", ojson_get_cstr(metric, "type", ""));
	for (size_t i = 0; r == 0 && i < sizeof(sources) / sizeof(sources[0]); i++) {
		const struct ojson *from = ojson_get_object(metric, sources[i]);
		struct ojson *to = from ? ojson_ensure_object(out, sources[i]) : NULL, *target;

		for (const struct member *m = table; r == 0 && to && m->source; m++) {
			struct ojson *v = strcmp(m->source, sources[i]) ? NULL : ojson_get(from, m->old), *at;

			/* a zero that had to be written beside the one that counts */
			if (!v || (m->zero && ojson_string_is(v, "0") && ojson_has(from, "averageValue")))
				continue;
			at = m->at ? ojson_ensure_object(to, m->at) : to;
			r = at ? ojson_set(at, m->name, ojson_ref(v)) : -ENOMEM;
		}
		target = r == 0 && to && spec ? ojson_ensure_object(to, "target") : NULL;
		if (target)
			r = ojson_set_cstr(target, "type", target_type(sources[i], target));
	}
	return r;
}

/* Takes the annotation off; its JSON, or NULL. */
static struct ojson *noted(struct ojson *obj, const char *key)
{
	struct ojson *notes = OJSON_AT(obj, "metadata", "annotations"), *v = NULL;
	struct orlop_bytes text = ojson_get_bytes(notes, key);

	if (text.len && ojson_parse(text.p, text.len, &v, NULL))
		v = NULL;	/* whatever it is, it is not ours */
	ojson_del(notes, key);
	return v;
}

static int metrics_up(const struct member *table, const struct ojson *metrics, struct ojson **ret)
{
	cleanup_ojson struct ojson *list = ojson_new_array();
	int r = list ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, m, metrics)
		if (r == 0 && ojson_is(m, OJSON_OBJECT))
			r = metric_up(table, m, list);
	if (r == 0)
		*ret = TAKE(list);
	return r;
}

static int cpu_up(struct ojson *list, const char *place, int64_t n)
{
	struct ojson *m = ojson_new_object(), *resource, *at;
	int r = m ? ojson_append(list, m) : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(m, "type", "Resource");
	resource = r == 0 ? ojson_ensure_object(m, "resource") : NULL;
	at = resource ? ojson_ensure_object(resource, place) : NULL;
	if (r == 0)
		r = at ? ojson_set_cstr(resource, "name", "cpu") : -ENOMEM;
	if (r == 0 && !strcmp(place, "target"))
		r = ojson_set_cstr(at, "type", "Utilization");
	return r ? r : ojson_set_i64(at, "averageUtilization", n);
}

/* The same names but for their first letter, which Go does not mind. */
static int lower(const struct ojson *v, struct ojson **ret)
{
	struct ojson *out = NULL;
	int r = 0;

	if (ojson_is(v, OJSON_ARRAY))
		out = ojson_new_array();
	else if (ojson_is(v, OJSON_OBJECT))
		out = ojson_new_object();
	else
		return ojson_copy(v, ret);
	if (!out)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, e, ojson_is(v, OJSON_ARRAY) ? v : NULL) {
		struct ojson *child = NULL;

		if (r == 0)
			r = lower(e, &child);
		if (r == 0)
			r = ojson_append(out, child);
	}
	OJSON_FOREACH(it, ojson_is(v, OJSON_OBJECT) ? v : NULL) {
		struct ojson *child = NULL;
		char name[64];

		if (!it.value || it.key_len >= sizeof(name))
			continue;
		memcpy(name, it.key, it.key_len + 1);
		if (name[0] >= 'A' && name[0] <= 'Z')
			name[0] = (char)(name[0] + 32);
		if (r == 0)
			r = lower(it.value, &child);
		if (r == 0)
			r = ojson_set(out, name, child);
	}
	if (r) {
		ojson_unref(out);
		return r;
	}
	*ret = out;
	return 0;
}

int oconvert_autoscaler_up(struct ojson *obj)
{
	struct ojson *spec = ojson_get_object(obj, "spec"), *status = ojson_get_object(obj, "status");
	struct ojson *notes = OJSON_AT(obj, "metadata", "annotations"), *v = NULL;
	cleanup_ojson struct ojson *metrics = noted(obj, A_METRICS), *current = noted(obj, A_CURRENT);
	cleanup_ojson struct ojson *conditions = noted(obj, A_CONDITIONS), *behavior = noted(obj, A_BEHAVIOR), *list = NULL;
	int r = metrics_up(spec_members, metrics, &list);

	if (r == 0 && ojson_has(spec, "targetCPUUtilizationPercentage"))
		r = cpu_up(list, "target", ojson_get_i64(spec, "targetCPUUtilizationPercentage", 0));
	if (r == 0 && spec && ojson_count(list))
		r = ojson_set(spec, "metrics", ojson_ref(list));
	if (r == 0 && spec && ojson_is(behavior, OJSON_OBJECT)) {
		r = lower(behavior, &v);
		if (r == 0)
			r = ojson_set(spec, "behavior", v);
	}
	ojson_unref(list);
	list = NULL;
	if (r == 0)
		r = metrics_up(status_members, current, &list);
	if (r == 0 && !ojson_count(list) && ojson_has(status, "currentCPUUtilizationPercentage"))
		r = cpu_up(list, "current", ojson_get_i64(status, "currentCPUUtilizationPercentage", 0));
	if (r == 0 && status && ojson_count(list))
		r = ojson_set(status, "currentMetrics", ojson_ref(list));
	if (r == 0 && status && ojson_is(conditions, OJSON_ARRAY))
		r = ojson_set(status, "conditions", ojson_ref(conditions));
	ojson_del(spec, "targetCPUUtilizationPercentage");
	ojson_del(status, "currentCPUUtilizationPercentage");
	if (notes && !ojson_count(notes))
		ojson_del(ojson_get(obj, "metadata"), "annotations");
	return r;
}
