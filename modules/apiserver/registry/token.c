/*
 * token.c - serviceaccounts/token: a signed token for an account, bound to a pod if asked.
 *
 * Source: upstream's registry/core/serviceaccount/storage/token.go and pkg/serviceaccount/claims.go.
 */
#include "verbs.h"
#include "write.h"
#include "../admission/admission.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/validate.h"

#include <errno.h>
#include <string.h>

/* A pod's projected token asks for 3607 s; it is given a year, so that old clients live. */
#define PROJECTED_S	3607
#define EXTENDED_S	(365 * 24 * 3600)

struct bound {
	struct orlop_bytes kind;
	struct orlop_bytes name;
	struct orlop_bytes uid;
	struct orlop_bytes node;
	struct orlop_bytes node_uid;
};

static int parse(struct reg_op *op, struct ojson **ret)
{
	struct orlop_error e = ORLOP_ERROR_INIT;
	int r = write_body_sub(op, ret);

	if (r)
		return r;
	ojson_del(*ret, "status");
	if (oschema_validate_body(op->k->schema, op->sub, *ret, &e)) {
		r = reg_take_error(op, -EINVAL, &e);
		return r ? r : reg_invalid_as(op, "TokenRequest.authentication.k8s.io", op->rq.name);
	}
	return 0;
}

/* The pod (or secret, node) that the token dies with: it must exist and be who the client means. */
static int bind(struct reg_op *op, const struct ojson *ref, struct bound *b, struct ojson **ret_obj)
{
	const struct registry *rg = op->sh->rg;
	const struct reg_kind *k;
	struct orlop_bytes uid, sa;
	struct ojson *node = NULL;
	int r;

	b->kind = ojson_get_bytes(ref, "kind");
	b->name = ojson_get_bytes(ref, "name");
	k = rb_is(b->kind, "Pod") ? rg->pods : rb_is(b->kind, "Secret") ? rg->secrets :
	    rb_is(b->kind, "Node") ? rg->nodes : NULL;
	if (!k)
		return reg_bad_request(op, "cannot bind token for serviceaccount %.*s to kind %.*s", OB(op->rq.name), OB(b->kind));
	r = admission_lookup(op, k, k == rg->nodes ? RB0 : op->rq.ns, b->name, ret_obj);
	if (r)
		return r;
	if (!*ret_obj) {
		op->k = k;
		return reg_not_found(op, b->name);
	}
	b->uid = ojson_get_bytes(ojson_get(*ret_obj, "metadata"), "uid");
	uid = ojson_get_bytes(ref, "uid");
	if (uid.len && !rb_eq(uid, b->uid)) {
		op->k = k;
		return reg_conflict(op, b->name, "the UID in the bound object reference (%.*s) does not match the UID in record. The object might have been deleted and then recreated",
				    OB(uid));
	}
	if (k == rg->pods) {
		sa = ojson_get_bytes(ojson_get(*ret_obj, "spec"), "serviceAccountName");
		if (!rb_eq(sa, op->rq.name))
			return reg_bad_request(op, "cannot bind token for serviceaccount \"%.*s\" to pod running with different serviceaccount name.",
					       OB(op->rq.name));
		b->node = ojson_get_bytes(ojson_get(*ret_obj, "spec"), "nodeName");
		if (b->node.len && admission_lookup(op, rg->nodes, RB0, b->node, &node) == 0 && node) {
			b->node_uid = ojson_get_bytes(ojson_get(node, "metadata"), "uid");
			b->node_uid.p = rb_dup(&op->arena, b->node_uid);
		}
		ojson_unref(node);
	}
	return 0;
}

static void put_pair(struct obuf *b, const char *head, struct orlop_bytes name, struct orlop_bytes uid)
{
	obuf_puts(b, head);
	obuf_puts(b, "{\"name\":");
	obuf_put_json_string(b, name.p, name.len);
	obuf_puts(b, ",\"uid\":");
	obuf_put_json_string(b, uid.p, uid.len);
	obuf_putc(b, '}');
}

static void put_claims(struct reg_op *op, const struct ojson *audiences, struct orlop_bytes sa_uid,
		       const struct bound *bd, int64_t now_s, int64_t life_s, int64_t warn_s, struct obuf *b)
{
	struct orlop_bytes ns = op->rq.ns, name = op->rq.name;
	char id[OUUID_BUF];
	unsigned char u[16];

	op->sh->h->random(op->sh->h, u, sizeof(u));
	ouuid_make(u, id);
	obuf_puts(b, "{\"aud\":");
	ojson_write(audiences, 0, b);
	obuf_printf(b, ",\"exp\":%lld,\"iat\":%lld,\"iss\":", (long long)(now_s + life_s), (long long)now_s);
	obuf_put_json_cstr(b, op->sh->rg->cfg.issuer);
	obuf_printf(b, ",\"jti\":\"%s\",\"kubernetes.io\":{\"namespace\":", id);
	obuf_put_json_string(b, ns.p, ns.len);
	if (rb_is(bd->kind, "Pod")) {
		if (bd->node_uid.len)
			put_pair(b, ",\"node\":", bd->node, bd->node_uid);
		put_pair(b, ",\"pod\":", bd->name, bd->uid);
	} else if (rb_is(bd->kind, "Secret")) {
		put_pair(b, ",\"secret\":", bd->name, bd->uid);
	} else if (rb_is(bd->kind, "Node")) {
		put_pair(b, ",\"node\":", bd->name, bd->uid);
	}
	put_pair(b, ",\"serviceaccount\":", name, sa_uid);
	if (warn_s)
		obuf_printf(b, ",\"warnafter\":%lld", (long long)(now_s + warn_s));
	obuf_printf(b, "},\"nbf\":%lld,\"sub\":", (long long)now_s);
	{
		char *sub = oarena_printf(&op->arena, "system:serviceaccount:%.*s:%.*s", OB(ns), OB(name));

		obuf_put_json_cstr(b, sub ? sub : "");
	}
	obuf_putc(b, '}');
}

static int issue(struct reg_op *op, struct ojson *tr, struct ojson *account)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	struct ojson *spec = ojson_get(tr, "spec"), *aud, *status, *obj = NULL;
	struct orlop_bytes sa_uid = ojson_get_bytes(ojson_get(account, "metadata"), "uid");
	int64_t now_s = (int64_t)(op->sh->h->now_wall(op->sh->h) / 1000000000u);
	int64_t ask = ojson_get_i64(spec, "expirationSeconds", 3600), life = ask, warn = 0;
	struct bound bd = { .kind = RB0 };
	struct obuf claims = OBUF_INIT;
	char when[OTIME_BUF], *jwt = NULL;
	struct ojson *meta;
	int r = 0;

	if (ojson_get_object(spec, "boundObjectRef"))
		r = bind(op, ojson_get(spec, "boundObjectRef"), &bd, &obj);
	if (r == 0)
		r = admission_node_token(op, rb_is(bd.kind, "Pod") ? obj : NULL, ojson_get_array(spec, "audiences"));
	aud = r ? NULL : ojson_ensure_array(spec, "audiences");
	if (r == 0 && !aud)
		r = -ENOMEM;
	if (r == 0 && ojson_count(aud) == 0)
		r = ojson_append_cstr(aud, op->sh->rg->cfg.issuer);
	if (r == 0 && ask == PROJECTED_S && bd.kind.len && ojson_count(aud) == 1 &&
	    ojson_string_is(ojson_index(aud, 0), op->sh->rg->cfg.issuer)) {
		life = EXTENDED_S;
		warn = PROJECTED_S;
	}
	if (r == 0) {
		put_claims(op, aud, sa_uid, &bd, now_s, life, warn, &claims);
		r = obuf_err(&claims);
	}
	ojson_unref(obj);
	if (r == 0)
		r = hooks->sign(hooks->arg, claims.data, claims.len, &jwt);
	obuf_done(&claims);
	if (r)
		return op->err.err ? r : reg_failed(op, r, NULL);
	status = ojson_ensure_object(tr, "status");
	meta = ojson_ensure_object(tr, "metadata");
	otime_format((now_s + ask) * OTIME_SECOND, when);
	r = status && meta ? ojson_set_cstr(status, "token", jwt) : -ENOMEM;
	if (r == 0)
		r = ojson_set_cstr(status, "expirationTimestamp", when);
	if (r == 0)
		r = ojson_set_string(meta, "name", op->rq.name.p, op->rq.name.len);
	if (r == 0)
		r = ojson_set_string(meta, "namespace", op->rq.ns.p, op->rq.ns.len);
	if (r == 0)
		r = ojson_set_cstr(meta, "creationTimestamp", reg_now(op));
	omem_free_secret(jwt, strlen(jwt));
	return r ? reg_failed(op, r, NULL) : 0;
}

void reg_do_token(struct reg_op *op)
{
	const struct oschema *s = op->k->schema;
	struct ojson *tr = NULL, *account = NULL, *out = NULL;
	int r = parse(op, &tr);

	if (r == 0)
		r = admission_lookup(op, op->sh->rg->serviceaccounts, op->rq.ns, op->rq.name, &account);
	if (r == 0 && !account)
		r = reg_not_found(op, op->rq.name);
	if (r == 0 && !op->sh->rg->cfg.hooks.sign)
		r = orlop_fail(&op->err, ENOENT, 404, "NotFound", "the server could not find the requested resource");
	if (r == 0)
		r = issue(op, tr, account);
	if (r == 0)
		r = oschema_decode(s, oschema_type_at(s, op->sub->type), tr, 0, NULL, &out, &op->err);
	if (r == 0)
		r = ojson_write(out, 0, &op->out);
	ojson_unref(tr);
	ojson_unref(account);
	ojson_unref(out);
	if (r)
		reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
	else
		reg_finish_text(op, 201);
}
