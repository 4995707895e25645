/* kind-namespace.c - Namespaces: phase, the finalizer "kubernetes", those that cannot go. */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

#include <errno.h>

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *spec = ojson_ensure_object(obj, "spec"), *status, *list;
	int r = 0;

	if (!spec)
		return reg_failed(op, -ENOMEM, NULL);
	if (!old) {
		status = ojson_ensure_object(obj, "status");
		r = status ? ojson_set_cstr(status, "phase", "Active") : -ENOMEM;
		list = ojson_get_array(spec, "finalizers");
		OJSON_FOREACH_ELEM(i, f, list)
			if (ojson_string_is(f, "kubernetes")) {
				reg_dirty(op);
				return r ? reg_failed(op, r, NULL) : 0;
			}
		list = ojson_ensure_array(spec, "finalizers");
		if (r == 0)
			r = list ? ojson_append_cstr(list, "kubernetes") : -ENOMEM;
		reg_dirty(op);
	} else if (!rb_is(op->rq.sub, "finalize")) {
		/* only finalize changes them */
		list = ojson_get(ojson_get(old, "spec"), "finalizers");
		if (list)
			r = ojson_set(spec, "finalizers", ojson_ref(list));
		else
			ojson_del(spec, "finalizers");
		reg_dirty(op);
	}
	return r ? reg_failed(op, r, NULL) : 0;
}

static int deleting(struct reg_op *op, struct ojson *old)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(old, "metadata"), "name");

	if (rb_is(name, "default") || rb_is(name, "kube-system") || rb_is(name, "kube-public"))
		return reg_forbidden(op, name, "this namespace may not be deleted");
	return 0;
}

const struct reg_behaviour kind_namespace = {
	.resource = "namespaces",
	.prepare = prepare,
	.deleting = deleting,
};
