/*
 * busapi.c - the address "api": requests of modules, through the same engine and the same checks.
 */
#include "op.h"
#include "registry.h"
#include "custom.h"

#include "apimsg/oapimsg.h"

#include <errno.h>
#include <string.h>

/* One request of a call; a batch has several. */
struct part {
	struct busreq	*all;
	uint32_t	n;
};

struct busreq {
	const struct orlop_host *h;
	struct reg_shard *sh;
	struct orlop_call *call;
	bool		batch;
	uint32_t	n;
	uint32_t	left;
	struct oapi_answer *answers;	/* behind the parts */
	struct part	part[];
};

static const struct {
	const char	*word;
	enum reg_verb	verb;
} verbs[] = {
	{ "get", REG_GET }, { "list", REG_LIST }, { "create", REG_CREATE }, { "update", REG_UPDATE },
	{ "patch", REG_PATCH }, { "delete", REG_DELETE }, { "deletecollection", REG_DELETECOLLECTION },
};

static const struct {
	const char	*type;
	enum reg_patch	patch;
} patches[] = {
	{ "application/json-patch+json", REG_PATCH_JSON },
	{ "application/merge-patch+json", REG_PATCH_MERGE },
	{ "application/strategic-merge-patch+json", REG_PATCH_STRATEGIC },
	{ "application/apply-patch+yaml", REG_PATCH_APPLY },
};

static void finish(struct busreq *b)
{
	oapi_done(b->h, b->call, b->batch, b->answers, b->n);
	omem_free(b);
}

static void on_answer(void *arg, struct reg_answer *a)
{
	struct part *p = arg;
	struct busreq *b = p->all;
	struct oapi_answer *to = &b->answers[p->n];

	to->code = a ? a->code : 500;
	if (a) {
		char *text = omem_alloc(a->len + 1), *at = text;

		to->rev = a->rev;
		memcpy(to->reason, a->reason, sizeof(to->reason));
		for (uint32_t i = 0; text && i < a->n_pieces; i++) {
			if (a->pieces[i].len)
				memcpy(at, a->pieces[i].p, a->pieces[i].len);
			at += a->pieces[i].len;
		}
		if (text && b->h->blob_take(b->h, text, (size_t)(at - text), &to->body))
			to->body = NULL;
	}
	reg_answer_free(a);
	if (--b->left == 0)
		finish(b);
}

static void fail(struct reg_shard *sh, struct part *p, struct orlop_error *err)
{
	on_answer(p, reg_status(sh, err));
	orlop_error_done(err);
}

static void start(struct reg_shard *sh, const struct orlop_req *req, const struct oapi_request *q, struct part *p)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct reg_req rq = {
		.who = req->who, .trace = req->trace, .ns = q->ns, .name = q->name, .sub = q->sub, .body = q->body,
		.query = q->query, .manager = q->manager,
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (rb_is(q->verb, verbs[i].word))
			rq.verb = verbs[i].verb;
	for (size_t i = 0; i < sizeof(patches) / sizeof(*patches); i++)
		if (rb_is(q->content_type, patches[i].type))
			rq.patch = patches[i].patch;
	rq.res = reg_resource(sh->rg, q->resource, q->version);
	if (!rq.res) {
		rq.kind = custom_find(sh, q->resource, q->version);
		rq.res = rq.kind ? rq.kind->res : NULL;
	}
	if (!rq.res) {
		orlop_fail(&err, ENOENT, 404, "NotFound", "the server could not find the requested resource: \"%.*s\"", OB(q->resource));
		fail(sh, p, &err);
		return;
	}
	if (!rq.verb) {
		orlop_fail(&err, EINVAL, 400, "BadRequest", "unknown verb \"%.*s\"", OB(q->verb));
		fail(sh, p, &err);
		return;
	}
	if (!rq.manager.len)
		rq.manager = rq.who->user;
	if (reg_authorize(sh, &rq, &err)) {
		/* a module without a right that it needs: somebody took it away, or its role lacks it */
		OLOG(sh->h, WARN, "module_forbidden", "why=\"%s\"", err.msg);
		fail(sh, p, &err);
		return;
	}
	reg_call(sh, &rq, on_answer, p);
}

int reg_bus_call(struct reg_shard *sh, const struct orlop_req *req, struct orlop_call *call,
		 struct orlop_error *err)
{
	struct oapi_iter it = { 0 };
	struct oapi_request q;
	struct busreq *b;
	uint32_t i = 0;
	bool batch;
	uint32_t n = oapi_count(sh->h, req, &batch);

	b = omem_zalloc(sizeof(*b) + n * (sizeof(b->part[0]) + sizeof(*b->answers)));
	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	b->h = sh->h;
	b->sh = sh;
	b->call = call;
	b->batch = batch;
	b->n = n;
	b->answers = (struct oapi_answer *)(void *)&b->part[n];
	b->left = n + 1;	/* answers may come at once: not before all have been started */
	while (i < n && oapi_next(sh->h, req, &it, &q)) {
		b->part[i].all = b;
		b->part[i].n = i;
		start(sh, req, &q, &b->part[i++]);
	}
	if (--b->left == 0)
		finish(b);
	return 0;
}
