/* get.c - GET of one object, or of the scale that it has. */
#include "op.h"
#include "convert.h"
#include "render.h"
#include "verbs.h"
#include "write.h"

#include "json/ojson.h"

#include <errno.h>
#include <string.h>

#define FRESH_WAIT_NS	(UINT64_C(3) * 1000000000)

static void scale_of(struct reg_op *op, struct ojson *obj)
{
	int r = scale_get(op, op->k, obj, &op->out);

	if (r)
		reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
	else
		reg_finish_text(op, 200);
}

static void get_scale(struct reg_op *op)
{
	struct ojson *obj = NULL;
	int r;

	if (convert_hooked(op->k)) {
		convert_one(op, op->k, op->obj->json, op->version, scale_of);
		return;
	}
	r = render_parse(op->k->stored, op->obj->json, &obj);
	if (r)
		reg_finish(op, reg_failed(op, r, NULL));
	else
		scale_of(op, obj);
	ojson_unref(obj);
}

static void get_now(struct reg_op *op)
{
	int r = reg_find(op->sh, op->k, op->rq.ns, op->rq.name, &op->obj);

	if (r) {
		reg_finish(op, r);
		return;
	}
	if (op->obj)
		op->version = convert_version(op->obj);
	if (!op->obj && op->sub && rb_is(op->rq.sub, "scale") && !op->k->set && strcmp(op->k->plural, "statefulsets"))
		reg_finish(op, reg_not_found_part(op, "scale", op->k->group[0] ? op->k->group : "autoscaling", op->rq.name));
	else if (!op->obj)
		reg_finish(op, reg_not_found(op, op->rq.name));
	else if (op->sub && rb_is(op->rq.sub, "scale"))
		get_scale(op);
	else
		reg_finish_object(op, 200, op->k, op->obj->json, op->obj->rev);
}

static void on_fresh(void *arg, int32_t status)
{
	struct reg_op *op = arg;
	struct orlop_resource *res = reg_open(op->sh, op->k);

	if (status < 0 && op->opt.has_rv)
		reg_finish(op, reg_too_large_rv(op, op->opt.rv_n, op->sh->h->resource_rev(res, NULL)));
	else
		get_now(op);
}

void reg_do_get(struct reg_op *op)
{
	struct orlop_resource *res = reg_open(op->sh, op->k);

	/* "not older than N": wait for the feeder if it has not come that far */
	if (res && reg_read_after(op) > op->sh->h->resource_rev(res, NULL)) {
		if (op->sh->h->cache_wait(res, reg_read_after(op), FRESH_WAIT_NS, on_fresh, op))
			reg_finish(op, -ENOMEM);
		return;
	}
	get_now(op);
}
