/* pod.c - admissions Priority and DefaultTolerationSeconds. */
#include "admission.h"

#include "../registry/write.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

int admission_pod_priority(struct reg_op *op, struct ojson *pod)
{
	struct ojson *spec = ojson_get(pod, "spec"), *class = NULL;
	struct orlop_bytes pc = ojson_get_bytes(spec, "priorityClassName");
	struct orlop_bytes name = ojson_get_bytes(ojson_get(pod, "metadata"), "name");
	const char *policy = "PreemptLowerPriority";
	int64_t value = 0, given;
	int r = 0;

	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	if (rb_is(pc, "system-node-critical")) {
		value = 2000001000;
	} else if (rb_is(pc, "system-cluster-critical")) {
		value = 2000000000;
	} else if (pc.len) {
		if (op->sh->rg->priorityclasses)
			r = admission_lookup(op, op->sh->rg->priorityclasses, RB0, pc, &class);
		if (r)
			return r;
		if (!class)
			return reg_forbidden(op, name, "no PriorityClass with name %.*s was found", OB(pc));
		value = ojson_get_i64(class, "value", 0);
		if (rb_is(ojson_get_bytes(class, "preemptionPolicy"), "Never"))
			policy = "Never";
		ojson_unref(class);
	}
	given = ojson_get_i64(spec, "priority", value);
	if (given != value)
		return reg_forbidden(op, name, "the integer value of priority (%lld) must not be provided in pod spec; priority admission controller computed %lld from the given PriorityClass name",
				     (long long)given, (long long)value);
	r = ojson_set_i64(spec, "priority", value);
	if (r == 0 && !ojson_get(spec, "preemptionPolicy"))
		r = ojson_set_cstr(spec, "preemptionPolicy", policy);
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

static bool tolerates(const struct ojson *spec, const char *key)
{
	OJSON_FOREACH_ELEM(i, t, ojson_get_array(spec, "tolerations")) {
		struct orlop_bytes k = ojson_get_bytes(t, "key"), e = ojson_get_bytes(t, "effect");

		if ((k.len == 0 || rb_is(k, key)) && (e.len == 0 || rb_is(e, "NoExecute")))
			return true;
	}
	return false;
}

static int tolerate(struct reg_op *op, struct ojson *spec, const char *key)
{
	struct ojson *list, *t;
	int r;

	if (tolerates(spec, key))
		return 0;
	list = ojson_ensure_array(spec, "tolerations");
	t = ojson_new_object();
	if (!list || !t) {
		ojson_unref(t);
		return -ENOMEM;
	}
	r = ojson_set_cstr(t, "key", key);
	if (r == 0)
		r = ojson_set_cstr(t, "operator", "Exists");
	if (r == 0)
		r = ojson_set_cstr(t, "effect", "NoExecute");
	if (r == 0)
		r = ojson_set_i64(t, "tolerationSeconds", 300);
	reg_dirty(op);
	if (r) {
		ojson_unref(t);
		return r;
	}
	return ojson_append(list, t);
}

int admission_pod_tolerations(struct reg_op *op, struct ojson *pod)
{
	struct ojson *spec = ojson_get(pod, "spec");
	int r;

	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	r = tolerate(op, spec, "node.kubernetes.io/not-ready");
	if (r == 0)
		r = tolerate(op, spec, "node.kubernetes.io/unreachable");
	return r ? reg_failed(op, r, NULL) : 0;
}
