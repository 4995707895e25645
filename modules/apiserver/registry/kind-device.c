/*
 * kind-device.c - claims of devices and what drivers offer: who may look after devices of others, since when a taint is there.
 *
 * Source: upstream's pkg/registry/resource, the strategies of resourceclaim, resourceclaimtemplate and resourceslice.
 */
#include "kinds.h"
#include "write.h"
#include "../admission/admission.h"

#include "json/ojson.h"

#include <errno.h>

#define ADMIN_LABEL "resource.kubernetes.io/admin-access"

static const struct ojson *requests_of(const struct reg_op *op, const struct ojson *obj)
{
	const struct ojson *spec = ojson_get(obj, "spec");

	if (rb_is(RB(op->w->k->plural), "resourceclaimtemplates"))
		spec = ojson_get(spec, "spec");
	return ojson_get_array(ojson_get(spec, "devices"), "requests");
}

/* Devices that others use may be asked for in namespaces that an administrator has labelled. */
static int claim_validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	bool template = rb_is(RB(op->w->k->plural), "resourceclaimtemplates");
	struct ojson *ns = NULL;
	bool allowed;
	int r = 0;

	if (old)
		return 0;	/* the spec cannot have changed */
	OJSON_FOREACH_ELEM(i, q, requests_of(op, obj)) {
		if (!ojson_get_bool(ojson_get(q, "exactly"), "adminAccess", false))
			continue;
		r = admission_lookup(op, op->sh->rg->namespaces, RB0, op->w->ns, &ns);
		if (r)
			return r;
		allowed = ojson_string_is(OJSON_AT(ns, "metadata", "labels", ADMIN_LABEL), "true");
		ojson_unref(ns);
		ns = NULL;
		if (!allowed)
			reg_cause(op, "FieldValueForbidden",
				  oarena_printf(&op->arena, "spec.%sdevices.requests[%zu].exactly.adminAccess", template ? "spec." : "", i),
				  "Forbidden: admin access to devices requires the `" ADMIN_LABEL
				  ": true` label on the containing namespace");
	}
	return 0;
}

static int slice_prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	int r = 0;

	(void)old;
	OJSON_FOREACH_ELEM(i, d, ojson_get_array(ojson_get(obj, "spec"), "devices"))
		OJSON_FOREACH_ELEM(k, t, ojson_get_array(d, "taints"))
			if (r == 0 && !ojson_has(t, "timeAdded"))
				r = ojson_set_cstr(t, "timeAdded", reg_now(op));
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_resource_claim = {
	.resource = "resourceclaims.resource.k8s.io",
	.validate = claim_validate,
};

const struct reg_behaviour kind_resource_claim_template = {
	.resource = "resourceclaimtemplates.resource.k8s.io",
	.validate = claim_validate,
};

const struct reg_behaviour kind_resource_slice = {
	.resource = "resourceslices.resource.k8s.io",
	.prepare = slice_prepare,
};
