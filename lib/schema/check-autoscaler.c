/*
 * check-autoscaler.c - what a HorizontalPodAutoscaler must satisfy: its bounds, and the metrics it looks at.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/autoscaling/validation.
 */
#include <string.h>

#include "quantity/oquantity.h"
#include "schema/check.h"

/* ---- metrics ---- */

static void check_positive(struct ocheck *c, const struct opath *at, struct ojson *target, const char *key)
{
	struct oquantity q;

	if (ocheck_quantity(ojson_get(target, key), &q) && oquantity_sign(&q) <= 0)
		ocheck_invalid_at(c, at, target, key, "must be positive");
}

static void check_target(struct ocheck *c, const struct opath *at, struct ojson *target)
{
	if (oget_empty(target, "type"))
		ocheck_required_at(c, at, "type", "must specify a metric target type");
	check_positive(c, at, target, "value");
	check_positive(c, at, target, "averageValue");
}

static void check_identifier(struct ocheck *c, const struct opath *at, struct ojson *metric)
{
	struct opath p = opath_child(at, "metric"), np = opath_child(&p, "name");

	if (oget_empty(metric, "name"))
		ocheck_required(c, &np, "must specify a metric name");
	else
		ocheck_format(c, &np, ojson_get(metric, "name"), OSCHEMA_FMT_PATH_SEGMENT);
}

static void check_object(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	static const char *const named[] = { "kind", "name" };
	struct opath op = opath_child(at, "describedObject"), tp = opath_child(at, "target");
	struct ojson *object = ojson_get(m, "describedObject"), *target = ojson_get(m, "target");

	for (size_t i = 0; i < 2; i++) {
		struct opath p = opath_child(&op, named[i]);

		if (oget_empty(object, named[i]))
			ocheck_required(c, &p, "");
		else
			ocheck_format(c, &p, ojson_get(object, named[i]), OSCHEMA_FMT_PATH_SEGMENT);
	}
	check_identifier(c, at, ojson_get(m, "metric"));
	check_target(c, &tp, target);
	if (!ojson_has(target, "value") && !ojson_has(target, "averageValue"))
		ocheck_required_at(c, &tp, "averageValue", "must set either a target value or averageValue");
}

static void check_external(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	struct opath tp = opath_child(at, "target");
	struct ojson *target = ojson_get(m, "target");
	bool whole = ojson_has(target, "value"), each = ojson_has(target, "averageValue");

	check_identifier(c, at, ojson_get(m, "metric"));
	check_target(c, &tp, target);
	if (!whole && !each)
		ocheck_required_at(c, &tp, "averageValue", "must set either a target value for metric or a per-pod target");
	if (whole && each)
		ocheck_forbidden_at(c, &tp, "value", "may not set both a target value for metric and a per-pod target");
}

static void check_pods(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	struct opath tp = opath_child(at, "target");
	struct ojson *target = ojson_get(m, "target");
	struct oquantity q;

	check_identifier(c, at, ojson_get(m, "metric"));
	check_target(c, &tp, target);
	if (!ocheck_quantity(ojson_get(target, "averageValue"), &q) || oquantity_sign(&q) <= 0)
		ocheck_required_at(c, &tp, "averageValue", "must specify a positive target averageValue");
}

static void check_resource(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	struct opath tp = opath_child(at, "target");
	struct ojson *target = ojson_get(m, "target");
	bool share = ojson_has(target, "averageUtilization"), raw = ojson_has(target, "averageValue");

	if (oget_empty(m, "name"))
		ocheck_required_at(c, at, "name", "must specify a resource name");
	check_target(c, &tp, target);
	if (!share && !raw)
		ocheck_required_at(c, &tp, "averageUtilization", "must set either a target raw value or a target utilization");
	if (share && raw)
		ocheck_forbidden_at(c, &tp, "averageValue", "may not set both a target raw value and a target utilization");
}

static void check_container_resource(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	if (oget_empty(m, "container"))
		ocheck_required_at(c, at, "container", "must specify a container");
	check_resource(c, at, m);
}

/* The source of its type, and no other; only the first that is there is looked at. */
static void check_metric(struct ocheck *c, const struct opath *at, struct ojson *m)
{
	static const struct {
		const char *type, *member;
		void (*check)(struct ocheck *c, const struct opath *at, struct ojson *m);
	} sources[] = {
		{ "Object", "object", check_object }, { "External", "external", check_external }, { "Pods", "pods", check_pods },
		{ "Resource", "resource", check_resource }, { "ContainerResource", "containerResource", check_container_resource },
	};
	size_t n = 0;

	if (oget_empty(m, "type"))
		ocheck_required_at(c, at, "type", "must specify a metric source type");
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct opath p = opath_child(at, sources[i].member);
		struct ojson *source = ojson_get(m, sources[i].member);

		if (oget_is(m, "type", sources[i].type) && source == NULL)
			ocheck_required(c, &p, "must populate information for the given metric source");
		if (source != NULL && n++ == 0)
			sources[i].check(c, &p, source);
	}
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]) && n > 1; i++)
		if (ojson_get(m, sources[i].member) != NULL && !oget_is(m, "type", sources[i].type))
			ocheck_forbidden_at(c, at, sources[i].member, "must populate the given metric source only");
}

/* ---- the whole ---- */

static void check_not_negative(struct ocheck *c, const struct opath *at, struct ojson *status, const char *key)
{
	struct opath p = opath_child(at, "status");

	if (oget_int(status, key) < 0)
		ocheck_invalid_at(c, &p, status, key, "must be greater than or equal to 0");
}

/* Is there a metric that says something when there are no pods? */
static bool from_outside(struct ojson *metrics)
{
	OJSON_FOREACH_ELEM(i, m, metrics)
		if (oget_is(m, "type", "Object") || oget_is(m, "type", "External"))
			return true;
	return false;
}

static void check_tolerances(struct ocheck *c, const struct opath *at, struct ojson *behavior)
{
	static const char *const ways[] = { "scaleUp", "scaleDown" };
	struct opath bp = opath_child(at, "behavior");

	for (size_t i = 0; i < 2; i++) {
		struct opath p = opath_child(&bp, ways[i]);
		struct oquantity q;

		if (ocheck_quantity(OJSON_AT(behavior, ways[i], "tolerance"), &q) && oquantity_sign(&q) < 0)
			ocheck_invalid_at(c, &p, ojson_get(behavior, ways[i]), "tolerance", "must be greater than or equal to 0");
	}
}

OCHECK(autoscaler)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct opath p = opath_child(at, "spec"), mp = opath_child(&p, "metrics"), sp = opath_child(&p, "scaleTargetRef");
	struct opath kp = opath_child(&sp, "kind"), np = opath_child(&sp, "name");
	struct ojson *target = ojson_get(spec, "scaleTargetRef");

	(void)old;
	if (otext_is(c->w->sub, "status")) {
		check_not_negative(c, at, ojson_get(v, "status"), "currentReplicas");
		check_not_negative(c, at, ojson_get(v, "status"), "desiredReplicas");
		return;
	}
	ocheck_format(c, &kp, ojson_get(target, "kind"), OSCHEMA_FMT_PATH_SEGMENT);
	ocheck_format(c, &np, ojson_get(target, "name"), OSCHEMA_FMT_PATH_SEGMENT);
	if (ojson_has(spec, "minReplicas") && oget_int(spec, "minReplicas") == 0 && !from_outside(ojson_get(spec, "metrics")))
		ocheck_forbidden(c, &mp, "must specify at least one Object or External metric to support scaling to zero replicas");
	if (oget_int(spec, "maxReplicas") < oget_int(spec, "minReplicas"))
		ocheck_invalid_at(c, &p, spec, "maxReplicas", "must be greater than or equal to `minReplicas`");
	check_tolerances(c, &p, ojson_get(spec, "behavior"));
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "metrics")) {
		struct opath ip = opath_index(&mp, i);

		check_metric(c, &ip, m);
	}
}
