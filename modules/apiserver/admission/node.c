/*
 * node.c - admission TaintNodesByCondition, and what upstream's node lifecycle controller adds to it.
 *
 * A new node is tainted not-ready:NoSchedule. Upstream's controller takes the taint away when the
 * node says Ready; here the write that says so does it, be it the one that makes the node, so that
 * no controller has to run.
 */
#include "admission.h"

#include "../registry/write.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

static bool is_taint(const struct ojson *t, const char *key)
{
	return rb_is(ojson_get_bytes(t, "key"), key) && rb_is(ojson_get_bytes(t, "effect"), "NoSchedule");
}

/* Make the taint @key:NoSchedule be there or not. */
static int taint(struct reg_op *op, struct ojson *spec, const char *key, bool want)
{
	struct ojson *list = ojson_get_array(spec, "taints"), *t;
	int r;

	for (size_t i = 0; i < ojson_count(list); i++) {
		if (!is_taint(ojson_index(list, i), key))
			continue;
		if (want)
			return 0;
		reg_dirty(op);
		r = ojson_remove(list, i);
		if (r == 0 && ojson_count(list) == 0)
			ojson_del(spec, "taints");
		return r;
	}
	if (!want)
		return 0;
	reg_dirty(op);
	list = ojson_ensure_array(spec, "taints");
	t = ojson_new_object();
	r = list && t ? ojson_set_cstr(t, "key", key) : -ENOMEM;
	if (r == 0)
		r = ojson_set_cstr(t, "effect", "NoSchedule");
	if (r) {
		ojson_unref(t);
		return r;
	}
	return ojson_append(list, t);
}

static bool ready(const struct ojson *node)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get_array(ojson_get(node, "status"), "conditions"))
		if (rb_is(ojson_get_bytes(c, "type"), "Ready"))
			return rb_is(ojson_get_bytes(c, "status"), "True");
	return false;
}

int admission_node_taints(struct reg_op *op, struct ojson *node, const struct ojson *old)
{
	struct ojson *spec = ojson_ensure_object(node, "spec");
	int r = spec ? 0 : -ENOMEM;

	/* only what changes: somebody else's taints on an unchanged node stay as they are */
	if (r == 0 && (!old || ready(old) != ready(node)))
		r = taint(op, spec, "node.kubernetes.io/not-ready", !ready(node));
	if (r == 0 && (!old || ojson_get_bool(ojson_get(old, "spec"), "unschedulable", false) !=
				ojson_get_bool(spec, "unschedulable", false)))
		r = taint(op, spec, "node.kubernetes.io/unschedulable",
			  ojson_get_bool(spec, "unschedulable", false));
	return r ? reg_failed(op, r, NULL) : 0;
}
