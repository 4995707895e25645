/*
 * connect.c - admission of CONNECT: exec, attach, portforward and proxy are asked about with their options.
 *
 * What a webhook changes of the options is not used: the request goes on as the client made it.
 */
#include "op.h"
#include "../admission/admission.h"

#include "http/ohttp.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool reg_connect_asks(struct reg_shard *sh)
{
	return admission_hooks_any(sh);
}

static struct orlop_bytes unescaped(struct oarena *a, struct orlop_bytes p)
{
	char *out = oarena_alloc(a, p.len + 1);
	long n = out ? ohttp_unescape(p, true, out) : -1;

	return (struct orlop_bytes){ out, n > 0 ? (size_t)n : 0 };
}

/* One parameter of the query into the options, if they have such a member. */
static int put(struct reg_op *op, const struct oschema_type *t, struct ojson *obj, struct orlop_bytes key, struct orlop_bytes v)
{
	const struct oschema *s = op->k->schema;
	const struct oschema_field *f = oschema_field_find(s, t, key.p, key.len);
	const struct oschema_type *ft = f ? oschema_field_type(s, f) : NULL;
	const char *name = rb_dup(&op->arena, key);
	struct ojson *list;

	if (!ft || rb_is(key, "kind") || rb_is(key, "apiVersion"))
		return 0;
	if (ft->kind == OSCHEMA_BOOL)
		return rb_is(v, "false") || rb_is(v, "0") ? 0 : ojson_set_bool(obj, name, true);
	if (ft->kind == OSCHEMA_STRING)
		return ojson_set_string(obj, name, v.p, v.len);
	list = ft->kind == OSCHEMA_LIST ? ojson_ensure_array(obj, name) : NULL;
	if (!list)
		return ft->kind == OSCHEMA_LIST ? -ENOMEM : 0;
	if (rb_is(key, "ports"))
		return ojson_append(list, ojson_new_i64(atoi(rb_dup(&op->arena, v))));
	return ojson_append(list, ojson_new_string(v.p, v.len));
}

static int options(struct reg_op *op, struct orlop_bytes path, struct ojson **ret)
{
	const struct oschema_type *t = oschema_type_at(op->k->schema, op->sub->type);
	cleanup_ojson struct ojson *obj = ojson_new_object();
	struct orlop_bytes q = op->rq.query;
	int r = obj ? 0 : -ENOMEM;

	for (size_t at = 0; r == 0 && at < q.len && !rb_is(op->rq.sub, "proxy");) {
		const char *amp = memchr(q.p + at, '&', q.len - at);
		size_t end = amp ? (size_t)(amp - q.p) : q.len;
		const char *eq = memchr(q.p + at, '=', end - at);
		size_t split = eq ? (size_t)(eq - q.p) : end;

		r = put(op, t, obj, unescaped(&op->arena, (struct orlop_bytes){ q.p + at, split - at }),
			unescaped(&op->arena, (struct orlop_bytes){ q.p + split + (eq != NULL), end - split - (eq != NULL) }));
		at = end + 1;
	}
	if (r == 0 && rb_is(op->rq.sub, "proxy"))
		r = ojson_set_cstr(obj, "path", oarena_printf(&op->arena, "/%.*s", OB(path)));
	if (r == 0)
		*ret = TAKE(obj);
	return r;
}

static void agreed(struct reg_op *op)
{
	reg_finish_text(op, 200);
}

void reg_connect(struct reg_shard *sh, const struct reg_req *rq, struct orlop_bytes path, reg_done_fn done, void *arg)
{
	struct reg_op *op = omem_zalloc(sizeof(*op));
	struct ojson *obj = NULL;
	size_t len = 0;
	char *text;
	int r;

	if (!op) {
		done(arg, NULL);
		return;
	}
	op->sh = sh;
	op->rq = *rq;
	op->k = reg_kind_of(sh->rg, rq->res);
	op->done = done;
	op->done_arg = arg;
	op->err.size = sizeof(op->err);
	op->causes_tail = &op->causes;
	op->warnings_tail = &op->warnings;
	sh->n_ops++;
	op->sub = oschema_sub_find(op->k->schema, op->k->res, rq->sub);
	r = op->sub ? options(op, path, &obj) : -ENOENT;
	text = r == 0 ? ojson_text(obj, 0, &len) : NULL;
	ojson_unref(obj);
	op->rq.body = (struct orlop_bytes){ text ? oarena_dup(&op->arena, text, len) : NULL, len };
	omem_free(text);
	if (r || !op->rq.body.p)
		reg_finish(op, reg_failed(op, r ? r : -ENOMEM, NULL));
	else
		admission_hooks_body(op, agreed);
}
