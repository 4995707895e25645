/* kind-priority.c - PriorityClasses: those of the system stay. */
#include "kinds.h"

#include "json/ojson.h"

static int deleting(struct reg_op *op, struct ojson *old)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(old, "metadata"), "name");

	if (rb_is(name, "system-node-critical") || rb_is(name, "system-cluster-critical"))
		return reg_forbidden(op, name, "this is a system priority class and cannot be deleted");
	return 0;
}

const struct reg_behaviour kind_priority = {
	.resource = "priorityclasses.scheduling.k8s.io",
	.deleting = deleting,
};
