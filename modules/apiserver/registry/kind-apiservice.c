/* kind-apiservice.c - APIServices: what this server serves itself is available at once. Source: kube-aggregator's strategy. */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

#include <errno.h>

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *status, *list, *c;
	const char *now;
	int r;

	if (ojson_has(ojson_get(obj, "spec"), "service") || (old && !ojson_has(ojson_get(old, "spec"), "service")))
		return 0;
	ojson_del(obj, "status");
	status = ojson_ensure_object(obj, "status");
	list = status ? ojson_ensure_array(status, "conditions") : NULL;
	c = list ? ojson_new_object() : NULL;
	now = reg_now(op);
	r = c ? ojson_set_cstr(c, "type", "Available") : -ENOMEM;
	if (r == 0)
		r = ojson_set_cstr(c, "status", "True");
	if (r == 0)
		r = ojson_set_cstr(c, "lastTransitionTime", now);
	if (r == 0)
		r = ojson_set_cstr(c, "reason", "Local");
	if (r == 0)
		r = ojson_set_cstr(c, "message", "Local APIServices are always available");
	if (r == 0)
		r = ojson_append(list, c);
	else
		ojson_unref(c);
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_api_service = {
	.resource = "apiservices.apiregistration.k8s.io",
	.prepare = prepare,
};
