/* kind-pod.c - Pods: phase, QoS class, binding to a node. */
#include "bind.h"
#include "kinds.h"
#include "verbs.h"
#include "write.h"

#include "json/ojson.h"
#include "quantity/oquantity.h"
#include "schema/decode.h"

#include <errno.h>
#include <string.h>

/* ---- QoS ---- */

enum { RES_NONE, RES_SOME, RES_FULL };

static bool positive(const struct ojson *list, const char *name, struct oquantity *ret)
{
	struct orlop_bytes v = ojson_get_bytes(list, name);

	return v.len && oquantity_parse(v.p, v.len, ret, NULL) == 0 && oquantity_sign(ret) > 0;
}

/* What a container asks for: nothing, something, or cpu and memory with requests equal to limits. */
static int container_class(const struct ojson *c)
{
	static const char *const names[] = { "cpu", "memory" };
	const struct ojson *res = ojson_get(c, "resources");
	const struct ojson *req = ojson_get(res, "requests"), *lim = ojson_get(res, "limits");
	bool some = false, full = true;

	for (size_t i = 0; i < 2; i++) {
		struct oquantity q, l;
		bool has_q = positive(req, names[i], &q), has_l = positive(lim, names[i], &l);

		some |= has_q || has_l;
		full &= has_l && (!has_q || oquantity_cmp(&q, &l) == 0);
	}
	return full ? RES_FULL : some ? RES_SOME : RES_NONE;
}

const char *pod_qos_class(const struct ojson *pod)
{
	static const char *const lists[] = { "containers", "initContainers" };
	const struct ojson *spec = ojson_get(pod, "spec");
	bool full = true, none = true;

	for (size_t l = 0; l < 2; l++)
		OJSON_FOREACH_ELEM(i, c, ojson_get_array(spec, lists[l])) {
			int k = container_class(c);

			full &= k == RES_FULL;
			none &= k == RES_NONE;
		}
	return none ? "BestEffort" : full ? "Guaranteed" : "Burstable";
}

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *status = ojson_ensure_object(obj, "status");
	struct orlop_bytes qos;
	int r = status ? 0 : -ENOMEM;

	if (!old) {
		if (r == 0)
			r = ojson_set_cstr(status, "phase", "Pending");
		if (r == 0)
			r = ojson_set_cstr(status, "qosClass", pod_qos_class(obj));
		reg_dirty(op);
	} else if (r == 0 && rb_is(op->rq.sub, "status")) {
		/* computed once and for all */
		qos = ojson_get_bytes(ojson_get(old, "status"), "qosClass");
		if (qos.len && !rb_eq(qos, ojson_get_bytes(status, "qosClass"))) {
			r = ojson_set_string(status, "qosClass", qos.p, qos.len);
			reg_dirty(op);
		}
	}
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_pod = {
	.resource = "pods",
	.prepare = prepare,
};

/* ---- binding ---- */

/* Of pods/binding and of bindings alike. */
static int parse_binding(struct reg_op *op, struct ojson **ret)
{
	const struct reg_kind *k = op->sh->rg->bindings;

	return write_body_as(op, k, oschema_type_at(op->k->schema, k->res->type), ret);
}

static int add_condition(struct reg_op *op, struct ojson *pod)
{
	struct ojson *status = ojson_ensure_object(pod, "status");
	struct ojson *list = status ? ojson_ensure_array(status, "conditions") : NULL, *mine = NULL;
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ojson_count(list); i++)
		if (rb_is(ojson_get_bytes(ojson_index(list, i), "type"), "PodScheduled"))
			mine = ojson_index(list, i);
	if (r == 0 && !mine) {
		mine = ojson_new_object();
		r = ojson_append(list, mine);
		if (r)
			return r;
		r = ojson_set_cstr(mine, "type", "PodScheduled");
	}
	if (r == 0 && rb_is(ojson_get_bytes(mine, "status"), "True"))
		return 0;
	if (r == 0)
		r = ojson_set_cstr(mine, "status", "True");
	if (r == 0)
		r = ojson_set_cstr(mine, "lastTransitionTime", reg_now(op));
	ojson_del(mine, "reason");
	ojson_del(mine, "message");
	return r;
}

static int make_bound(struct reg_op *op)
{
	struct write *w = op->w;
	const struct ojson *old = ojson_get(w->old, "metadata"), *bm;
	struct ojson *b = NULL, *spec, *meta;
	struct orlop_bytes node, kind, uid, rv, bound;
	char now[24];
	int r = parse_binding(op, &b);

	if (r)
		return r;
	bm = ojson_get(b, "metadata");
	node = ojson_get_bytes(ojson_get(b, "target"), "name");
	kind = ojson_get_bytes(ojson_get(b, "target"), "kind");
	uid = ojson_get_bytes(bm, "uid");
	rv = ojson_get_bytes(bm, "resourceVersion");
	bound = ojson_get_bytes(ojson_get(w->old, "spec"), "nodeName");
	snprintf(now, sizeof(now), "%llu", (unsigned long long)w->base_rev);
	if (kind.len && !rb_is(kind, "Node"))
		reg_cause(op, "FieldValueNotSupported", "target.kind",
			  "Unsupported value: \"%.*s\": supported values: \"Node\", \"<empty>\"", OB(kind));
	if (node.len == 0)
		reg_cause(op, "FieldValueRequired", "target.name", "Required value");
	r = reg_invalid_as(op, "Binding", w->name);
	if (r == 0 && uid.len && !rb_eq(uid, ojson_get_bytes(old, "uid")))
		r = reg_conflict(op, w->name, "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
				 OB(uid), OB(ojson_get_bytes(old, "uid")));
	if (r == 0 && rv.len && !rb_is(rv, now))
		r = reg_conflict(op, w->name, "the object has been modified; please apply your changes to the latest version and try again");
	if (r == 0 && ojson_get(old, "deletionTimestamp"))
		r = reg_conflict_sub(op, "pods/binding", w->name,
				     "pod %.*s is being deleted, cannot be assigned to a host", OB(w->name));
	if (r == 0 && bound.len)
		r = reg_conflict_sub(op, "pods/binding", w->name,
				     "pod %.*s is already assigned to node \"%.*s\"", OB(w->name), OB(bound));
	if (r == 0 && ojson_count(ojson_get_array(ojson_get(w->old, "spec"), "schedulingGates"))) {
		reg_cause(op, "FieldValueForbidden", "spec.schedulingGates",
			  "Forbidden: pod %.*s has non-empty .spec.schedulingGates", OB(w->name));
		r = reg_invalid_as(op, "Pod", w->name);
	}
	if (r == 0)
		r = ojson_copy(w->old, &w->obj);
	w->no_managed = true;	/* nobody owns where a pod is */
	meta = ojson_get(w->obj, "metadata");
	spec = ojson_get(w->obj, "spec");
	if (r == 0)
		r = ojson_set_string(spec, "nodeName", node.p, node.len);
	if (r == 0 && ojson_count(ojson_get(bm, "annotations"))) {
		struct ojson *to = ojson_ensure_object(meta, "annotations");

		OJSON_FOREACH(it, ojson_get(bm, "annotations"))
			if (r == 0)
				r = to ? ojson_set_n(to, it.key, it.key_len, ojson_ref(it.value)) : -ENOMEM;
	}
	if (r == 0)
		r = add_condition(op, w->obj);
	reg_dirty(op);
	ojson_unref(b);
	return r && !op->err.err ? reg_failed(op, r, NULL) : r;
}

static void bound(struct reg_op *op)
{
	op->ans.rev = op->w->stored.rev;
	obuf_puts(&op->out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"code\":201}");
	reg_finish_text(op, 201);
}

void reg_do_binding(struct reg_op *op)
{
	struct orlop_bytes name = op->rq.name;
	struct ojson *b = NULL;
	struct bind_body in;
	bool plain = bind_scan(op->rq.body, &in);
	int r = plain ? 0 : parse_binding(op, &b);

	if (r == 0 && !plain) {
		in.name = ojson_get_bytes(ojson_get(b, "metadata"), "name");
		in.ns = ojson_get_bytes(ojson_get(b, "metadata"), "namespace");
	}
	if (r == 0) {
		if (op->k->virt) {	/* POST …/bindings: the pod is named in the body */
			name = in.name;
			name.p = rb_dup(&op->arena, name);
			op->k = op->sh->rg->pods;
		}
		if (in.ns.len && !rb_eq(in.ns, op->rq.ns))
			r = reg_bad_request(op, "the namespace of the provided object does not match the namespace sent on the request");
		else if (in.name.len && !rb_eq(in.name, name))
			r = reg_bad_request(op, "name in URL does not match name in Binding object");
		else if (name.len == 0)
			r = reg_bad_request(op, "name must be provided");
	}
	ojson_unref(b);
	if (r == 0)
		r = write_new(op, op->sh->rg->pods, op->rq.ns, name, make_bound);
	if (r) {
		reg_finish(op, r);
		return;
	}
	op->w->make_text = plain ? bind_text : NULL;
	op->w->answer = WRITE_ANSWER_CUSTOM;
	op->w->finish = bound;
	write_run(op);
}
