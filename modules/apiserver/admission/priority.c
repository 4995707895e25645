/*
 * priority.c - admission Priority: a pod's class becomes its number; one class at most is the default.
 */
#include "admission.h"

#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

/* The class that is the default: the least of them, should there be several. *ret NULL: none. */
static int default_class(struct reg_op *op, struct ojson **ret)
{
	const struct reg_kind *k = op->sh->rg->priorityclasses;
	struct orlop_resource *res = k ? reg_open(op->sh, k) : NULL;
	struct orlop_object *o;
	struct owalk w;
	int r;

	*ret = NULL;
	if (!res)
		return 0;
	r = owalk_open(&w, op->sh->h, res, NULL);
	if (r)
		return reg_failed(op, r, NULL);
	while (r == 0 && (o = owalk_next(&w)) != NULL) {
		struct ojson *class = NULL;

		r = render_parse(k, o->json, &class);
		if (r == 0 && ojson_get_bool(class, "globalDefault", false) &&
		    (!*ret || ojson_get_i64(class, "value", 0) < ojson_get_i64(*ret, "value", 0))) {
			ojson_unref(*ret);
			*ret = ojson_ref(class);
		}
		ojson_unref(class);
	}
	owalk_close(&w);
	if (r == 0)
		return 0;
	ojson_unref(*ret);
	*ret = NULL;
	return reg_failed(op, r, NULL);
}

/* The class of a pod that names @name: *ret NULL for those of the system, which every cluster has. */
static int class_of(struct reg_op *op, struct orlop_bytes pod, struct orlop_bytes name, int64_t *value,
		    struct ojson **ret)
{
	int r = 0;

	*ret = NULL;
	*value = 0;
	if (rb_is(name, "system-node-critical")) {
		*value = 2000001000;
		return 0;
	}
	if (rb_is(name, "system-cluster-critical")) {
		*value = 2000000000;
		return 0;
	}
	if (name.len == 0)
		r = default_class(op, ret);
	else if (op->sh->rg->priorityclasses)
		r = admission_lookup(op, op->sh->rg->priorityclasses, RB0, name, ret);
	if (r)
		return r;
	if (name.len && !*ret)
		return reg_forbidden(op, pod, "no PriorityClass with name %.*s was found", OB(name));
	*value = ojson_get_i64(*ret, "value", 0);
	return 0;
}

int admission_pod_priority(struct reg_op *op, struct ojson *pod)
{
	struct ojson *spec = ojson_get(pod, "spec"), *class = NULL;
	struct orlop_bytes pc = ojson_get_bytes(spec, "priorityClassName");
	struct orlop_bytes name = ojson_get_bytes(ojson_get(pod, "metadata"), "name");
	const char *policy;
	int64_t value, given;
	int r;

	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	r = class_of(op, name, pc, &value, &class);
	if (r)
		return r;
	policy = ojson_string_is(ojson_get(class, "preemptionPolicy"), "Never") ? "Never" : "PreemptLowerPriority";
	if (pc.len == 0 && class)
		r = ojson_set_cstr(spec, "priorityClassName", ojson_get_cstr(ojson_get(class, "metadata"), "name", ""));
	ojson_unref(class);
	given = ojson_get_i64(spec, "priority", value);
	if (r == 0 && given != value)
		return reg_forbidden(op, name, "the integer value of priority (%lld) must not be provided in pod spec; priority admission controller computed %lld from the given PriorityClass name",
				     (long long)given, (long long)value);
	if (r == 0)
		r = ojson_set_i64(spec, "priority", value);
	if (r == 0 && ojson_get(spec, "preemptionPolicy") && !ojson_string_is(ojson_get(spec, "preemptionPolicy"), policy))
		return reg_forbidden(op, name, "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name",
				     ojson_get_cstr(spec, "preemptionPolicy", ""), policy);
	if (r == 0 && !ojson_get(spec, "preemptionPolicy"))
		r = ojson_set_cstr(spec, "preemptionPolicy", policy);
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

int admission_priority_stays(struct reg_op *op, struct ojson *pod, const struct ojson *old)
{
	static const char *const keys[] = { "priority", "preemptionPolicy" };
	struct ojson *spec = ojson_get(pod, "spec");
	int r = 0;

	for (size_t i = 0; r == 0 && i < 2; i++) {
		struct ojson *was = ojson_get(ojson_get(old, "spec"), keys[i]);

		if (!was || ojson_has(spec, keys[i]) || !ojson_is(spec, OJSON_OBJECT))
			continue;
		r = ojson_set(spec, keys[i], ojson_ref(was));
		reg_dirty(op);
	}
	return r ? reg_failed(op, r, NULL) : 0;
}

int admission_priority_class(struct reg_op *op, struct ojson *class)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(class, "metadata"), "name"), other;
	struct ojson *def = NULL;
	int r;

	if (!ojson_get_bool(class, "globalDefault", false))
		return 0;
	r = default_class(op, &def);
	if (r)
		return r;
	other = ojson_get_bytes(ojson_get(def, "metadata"), "name");
	if (def && !rb_eq(name, other))
		r = reg_forbidden(op, name, "PriorityClass %.*s is already marked as default. Only one default can exist", OB(other));
	ojson_unref(def);
	return r;
}
