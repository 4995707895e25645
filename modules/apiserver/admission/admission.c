/* admission.c - which admission applies to what, and NamespaceLifecycle. */
#include "admission.h"

#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

int admission_lookup(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
		     struct orlop_bytes name, struct ojson **ret)
{
	struct orlop_object *o;
	int r = reg_find(op->sh, k, ns, name, &o);

	*ret = NULL;
	if (o)
		r = render_parse(k->stored, o->json, ret);
	op->sh->h->object_unref(o);
	return r ? reg_failed(op, r, NULL) : 0;
}

int admission_namespace(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
			struct orlop_bytes name)
{
	struct orlop_object *o;
	struct orlop_bytes meta, part;
	bool dying;
	int r;

	if (!(k->res->flags & OSCHEMA_S_NAMESPACED))
		return 0;
	r = reg_find(op->sh, op->sh->rg->namespaces, RB0, ns, &o);
	if (r)
		return reg_failed(op, r, NULL);
	if (!o) {
		op->det_name = rb_dup(&op->arena, ns);
		op->det_kind = "namespaces";
		return orlop_fail(&op->err, ENOENT, 404, "NotFound", "namespaces \"%.*s\" not found", OB(ns));
	}
	meta = render_metadata(o->json);
	dying = oscan_get(meta, "deletionTimestamp", &part);
	op->sh->h->object_unref(o);
	if (!dying)
		return 0;
	reg_cause(op, "NamespaceTerminating", "metadata.namespace", "namespace %.*s is being terminated",
		  OB(ns));
	return reg_forbidden(op, name, "unable to create new content in namespace %.*s because it is being terminated",
			     OB(ns));
}

int admission_mutate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	const struct reg_kind *k = op->w->k;
	int r = admission_node_restriction(op, obj, old);

	if (r)
		return r;
	if (k == op->sh->rg->pods && !old) {
		r = admission_service_account(op, obj);
		if (r == 0)
			r = admission_pod_priority(op, obj);
		if (r == 0)
			r = admission_pod_tolerations(op, obj);
		if (r == 0)
			r = admission_runtime_class(op, obj);
		if (r == 0)
			r = admission_limits_give(op, obj);
	} else if (k == op->sh->rg->pods && !op->rq.sub.len) {
		r = admission_priority_stays(op, obj, old);
		if (r == 0)
			r = admission_pod_tolerations(op, obj);
	} else if (k == op->sh->rg->nodes) {
		r = admission_node_taints(op, obj, old);
	} else if (!old) {
		r = admission_default_class(op, obj);
		if (r == 0)
			r = admission_storage_protection(op, obj);
	}
	return r;
}

int admission_validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	int r = 0;

	bool claim = !strcmp(op->w->k->name, "persistentvolumeclaims");

	if (op->w->k == op->sh->rg->pods) {
		r = admission_mountable_secrets(op, obj, old);
		if (r == 0 && !old)
			r = admission_limits_judge(op, obj);
	} else if (claim && !op->rq.sub.len) {
		r = admission_limits_judge(op, obj);
	}
	if (r)
		return r;
	if (op->w->k == op->sh->rg->priorityclasses)
		r = admission_priority_class(op, obj);
	else if (old && claim)
		r = admission_claim_resize(op, obj, old);
	else if (op->w->k == op->sh->rg->services)
		r = admission_external_ips(op, obj, old);
	else if (!strcmp(op->w->k->group, "admissionregistration.k8s.io"))
		admission_hooks_warn(op, obj);
	return r ? r : admission_pod_security(op, obj, old);
}
