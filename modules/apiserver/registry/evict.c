/*
 * evict.c - pods/eviction: a delete, if the budget that protects the pod allows one more.
 *
 * What is allowed is counted down in the budget's status, by an update that must meet the state that was read; then
 * the pod is deleted. The disruption controller makes both numbers anew when it sees the pod go.
 */
#include "verbs.h"
#include "write.h"

#include "base/otime.h"
#include "json/ojson.h"
#include "render.h"
#include "selector/oselector.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define TRIES		5	/* updates that meet another state than was read */
#define DISRUPTED_MAX	2000

static void on_evicted(void *arg, struct reg_answer *a)
{
	struct reg_op *op = arg;

	if (!a) {
		reg_finish(op, -ENOMEM);
		return;
	}
	op->ans.code = a->code < 400 ? 201 : a->code;
	if (a->code < 400) {
		obuf_puts(&op->out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"code\":201}");
	} else {
		memcpy(op->ans.reason, a->reason, sizeof(op->ans.reason));
		for (uint32_t i = 0; i < a->n_pieces; i++)
			obuf_append(&op->out, a->pieces[i].p, a->pieces[i].len);
		if (op->out.len)
			obuf_truncate(&op->out, op->out.len - 1);
	}
	reg_answer_free(a);
	reg_finish_text(op, op->ans.code);
}

/* 429, or (@http 500) what upstream does not support. */
static int refuse(struct reg_op *op, int http, const char *reason, const char *msg)
{
	op->err.size = sizeof(op->err);
	op->err.err = http == 429 ? EBUSY : EIO;
	op->err.http = (uint16_t)http;
	(void)snprintf(op->err.reason, sizeof(op->err.reason), "%s", reason);
	(void)snprintf(op->err.msg, sizeof(op->err.msg), "%s", msg);
	return -op->err.err;
}

static int refuse_budget(struct reg_op *op)
{
	return refuse(op, 429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.");
}

/* The one budget that selects @pod: 0 with *ret (NULL: none) or -errno with op->err. */
static int budget_find(struct reg_op *op, const struct reg_kind *k, const struct orlop_object *pod, struct ojson **ret)
{
	struct orlop_resource *res = reg_open(op->sh, k);
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = op->rq.ns };
	struct orlop_object *o;
	struct owalk w;
	int r = res ? owalk_open(&w, op->sh->h, res, &q) : -ENOMEM;
	unsigned int n = 0;

	*ret = NULL;
	if (r)
		return reg_failed(op, r, NULL);
	while (r == 0 && (o = owalk_next(&w)) != NULL) {
		struct oselector *s = NULL;
		struct ojson *pdb = NULL, *sel;

		r = render_parse(k, o->json, &pdb);
		sel = OJSON_AT(pdb, "spec", "selector");
		if (r == 0 && sel)
			r = oselector_from_json(sel, &s, NULL);
		if (r == 0 && s && oselector_match_object(s, pod)) {
			n++;
			if (!*ret)
				*ret = ojson_ref(pdb);
		}
		oselector_free(s);
		ojson_unref(pdb);
	}
	owalk_close(&w);
	if (r == 0 && n < 2)
		return 0;
	ojson_unref(*ret);
	*ret = NULL;
	if (r)
		return reg_failed(op, r, NULL);
	return refuse(op, 500, "InternalError",
		      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
}

static bool is_ready(const struct ojson *pod)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "status", "conditions")) {
		if (ojson_string_is(ojson_get(c, "type"), "Ready"))
			return ojson_string_is(ojson_get(c, "status"), "True");
	}
	return false;
}

/* Nothing is lost by its going: it does not run, or goes already. */
static bool is_free(const struct ojson *pod)
{
	const struct ojson *phase = OJSON_AT(pod, "status", "phase");

	return ojson_string_is(phase, "Succeeded") || ojson_string_is(phase, "Failed") || ojson_string_is(phase, "Pending") ||
	       ojson_has(ojson_get(pod, "metadata"), "deletionTimestamp");
}

/* A pod that is not ready may go although the budget is used up? */
static bool may_unready(const struct ojson *pdb, const struct ojson *pod)
{
	const struct ojson *st = ojson_get(pdb, "status");
	int64_t desired = ojson_get_i64(st, "desiredHealthy", 0);

	if (is_ready(pod))
		return false;
	return ojson_string_is(OJSON_AT(pdb, "spec", "unhealthyPodEvictionPolicy"), "AlwaysAllow") ||
	       (desired > 0 && ojson_get_i64(st, "currentHealthy", 0) >= desired);
}

/* One less is allowed, and the pod is on its way: @pdb as it shall be. 0, or -errno with op->err. */
static int count_down(struct reg_op *op, struct ojson *pdb)
{
	struct ojson *st = ojson_ensure_object(pdb, "status");
	struct orlop_bytes name = ojson_get_bytes(ojson_get(pdb, "metadata"), "name");
	int64_t allowed = ojson_get_i64(st, "disruptionsAllowed", 0);
	char now[OTIME_BUF];
	int r;

	if (ojson_get_i64(st, "observedGeneration", 0) < ojson_get_i64(ojson_get(pdb, "metadata"), "generation", 0)) {
		op->ans.retry_after_s = 10;
		reg_cause(op, "DisruptionBudget", "", "The disruption budget %.*s is still being processed by the server.",
			  OB(name));
		return refuse_budget(op);
	}
	if (ojson_count(ojson_get(st, "disruptedPods")) > DISRUPTED_MAX)
		return refuse(op, 403, "Forbidden", "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
	if (allowed <= 0) {
		reg_cause(op, "DisruptionBudget", "", "The disruption budget %.*s needs %lld healthy pods and has %lld currently",
			  OB(name), (long long)ojson_get_i64(st, "desiredHealthy", 0),
			  (long long)ojson_get_i64(st, "currentHealthy", 0));
		return refuse_budget(op);
	}
	otime_format((int64_t)op->sh->h->now_wall(op->sh->h), now);
	r = ojson_set_i64(st, "disruptionsAllowed", allowed - 1);
	if (r == 0)
		r = ojson_set_cstr(ojson_ensure_object(st, "disruptedPods"), rb_dup(&op->arena, op->rq.name), now);
	return r ? reg_failed(op, r, NULL) : 0;
}

struct evict {
	struct reg_op	*op;
	struct reg_req	del;		/* the delete that follows */
	struct reg_req	put;		/* the budget's status */
	unsigned int	tries;
};

static void budget_ask(struct evict *ev);

static void on_counted(void *arg, struct reg_answer *a)
{
	struct evict *ev = arg;
	uint32_t code = a ? a->code : 0;

	if (code == 409 && ++ev->tries < TRIES) {
		reg_answer_free(a);
		budget_ask(ev);
	} else if (code == 409) {
		reg_answer_free(a);
		reg_finish(ev->op, refuse_budget(ev->op));
	} else if (!a || code >= 400) {
		on_evicted(ev->op, a);
	} else {
		reg_answer_free(a);
		reg_call(ev->op->sh, &ev->del, on_evicted, ev->op);
	}
}

static int budget_put(struct evict *ev, const struct reg_kind *k, struct ojson *pdb)
{
	struct reg_op *op = ev->op;
	size_t len = 0;
	char *text;
	int r = count_down(op, pdb);

	if (r)
		return r;
	text = ojson_text(pdb, 0, &len);
	ev->put = (struct reg_req){ .verb = REG_UPDATE, .res = k->res, .ns = op->rq.ns, .sub = RB("status") };
	ev->put.name = RB(rb_dup(&op->arena, ojson_get_bytes(ojson_get(pdb, "metadata"), "name")));
	ev->put.body = (struct orlop_bytes){ text ? oarena_dup(&op->arena, text, len) : NULL, len };
	omem_free(text);
	if (!ev->put.body.p)
		return reg_failed(op, -ENOMEM, NULL);
	reg_internal_call(op->sh, &ev->put, on_counted, ev);
	return 0;
}

static void budget_ask(struct evict *ev)
{
	struct reg_op *op = ev->op;
	const struct reg_kind *k = reg_kind_named(op->sh->rg, "poddisruptionbudgets.policy");
	struct orlop_object *o = NULL;
	struct ojson *pod = NULL, *pdb = NULL;
	bool counted = false;
	int r = k ? reg_find(op->sh, op->k, op->rq.ns, op->rq.name, &o) : 0;

	if (r == 0 && o) {
		r = render_parse(op->k, o->json, &pod);
		if (r)
			r = reg_failed(op, r, NULL);
		else if (!is_free(pod))
			r = budget_find(op, k, o, &pdb);
		if (r == 0 && pdb && !may_unready(pdb, pod)) {
			r = op->opt.dry_run ? count_down(op, pdb) : budget_put(ev, k, pdb);
			counted = r == 0 && !op->opt.dry_run;
		}
	} else if (r) {
		r = reg_failed(op, r, NULL);
	}
	ojson_unref(pdb);
	ojson_unref(pod);
	op->sh->h->object_unref(o);
	if (r)
		reg_finish(op, r);
	else if (!counted)
		reg_call(op->sh, &ev->del, on_evicted, op);
}

/* What the query says of the eviction is said of the deletion. 0 or -ENOMEM. */
static int try_only(struct ojson *eviction)
{
	struct ojson *o = ojson_ensure_object(eviction, "deleteOptions"), *list = o ? ojson_new_array() : NULL;
	int r = list ? ojson_append_cstr(list, "All") : -ENOMEM;

	if (r)
		ojson_unref(list);
	return r ? r : ojson_set(o, "dryRun", list);
}

void reg_do_eviction(struct reg_op *op)
{
	struct ojson *in = NULL, *asked;
	struct evict *ev;
	struct reg_req rq = op->rq;
	struct orlop_bytes name;
	char *options = NULL;
	size_t len = 0;
	int r = write_body_sub(op, &in);

	if (r) {
		reg_finish(op, r);
		return;
	}
	name = ojson_get_bytes(ojson_get(in, "metadata"), "name");
	if (!rb_eq(name, op->rq.name)) {
		ojson_unref(in);
		reg_finish(op, reg_bad_request(op, "name in URL does not match name in Eviction object"));
		return;
	}
	/* to try it may be asked for in both places, and no budget shall pay for it */
	asked = ojson_get(ojson_get(in, "deleteOptions"), "dryRun");
	if (op->opt.dry_run)
		r = try_only(in);
	else if (ojson_count(asked))
		op->opt.dry_run = true;
	if (r == 0 && ojson_get_object(in, "deleteOptions"))
		options = ojson_text(ojson_get_object(in, "deleteOptions"), 0, &len);
	ojson_unref(in);
	rq.verb = REG_DELETE;
	rq.judged = true;
	rq.sub = RB0;
	rq.query = RB0;		/* it is about the eviction; only its dryRun goes on, in the body */
	rq.form = REG_FORM_OBJECT;
	rq.body = (struct orlop_bytes){ options ? oarena_dup(&op->arena, options, len) : NULL, len };
	omem_free(options);
	if (r || (len && !rq.body.p)) {
		reg_finish(op, r ? r : -ENOMEM);
		return;
	}
	ev = oarena_alloc(&op->arena, sizeof(*ev));
	if (!ev) {
		reg_finish(op, -ENOMEM);
		return;
	}
	*ev = (struct evict){ .op = op, .del = rq };
	budget_ask(ev);
}
