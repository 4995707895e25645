/* pod.c - admission DefaultTolerationSeconds. */
#include "admission.h"

#include "../registry/write.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

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
