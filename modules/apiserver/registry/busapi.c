/*
 * busapi.c - the address "api": requests of modules, through the same engine and the same checks.
 */
#include "op.h"
#include "registry.h"

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include <errno.h>
#include <string.h>

/* One request of a call; a batch has several. */
struct part {
	struct busreq	*all;
	uint32_t	code;
	uint64_t	rev;
	char		reason[32];
	struct orlop_blob *body;
};

struct busreq {
	const struct orlop_host *h;
	struct reg_shard *sh;
	struct orlop_call *call;
	bool		batch;
	uint32_t	n;
	uint32_t	left;
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

/*
 * All answers share one message of 64 KB and 64 blobs: a body is inline if everybody's share allows,
 * else a blob; in a very large batch of large objects it may be missing, code and revision never.
 */
static void finish(struct busreq *b)
{
	size_t share = (ORLOP_MSG_MAX - 1024) / (b->n ? b->n : 1), room;
	struct orlop_msgw w;
	struct orlop_msg m;

	room = share > 128 ? share - 128 : 0;
	if (room > ORLOP_MSG_INLINE_MAX)
		room = ORLOP_MSG_INLINE_MAX;
	orlop_msgw_init(&w, b->h);
	for (uint32_t i = 0; i < b->n; i++) {
		const struct part *p = &b->part[i];
		uint32_t mark = b->batch ? orlop_msgw_begin(&w, ORLOP_API_T_ANSWER) : 0;

		orlop_msgw_u64(&w, ORLOP_API_T_CODE, p->code);
		orlop_msgw_u64(&w, ORLOP_API_T_REV, p->rev);
		if (p->reason[0])
			orlop_msgw_str(&w, ORLOP_API_T_REASON, p->reason);
		if (p->body) {
			struct orlop_bytes v = b->h->blob_bytes(p->body);

			if (v.len <= room)
				orlop_msgw_bytes(&w, ORLOP_API_T_BODY, v.p, v.len);
			else if (w.n_blobs < ORLOP_MSG_MAX_BLOBS)
				orlop_msgw_blob(&w, ORLOP_API_T_BODY, p->body);
		}
		if (b->batch)
			orlop_msgw_end(&w, mark);
	}
	m = orlop_msgw_msg(&w);
	b->h->call_done(b->call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	for (uint32_t i = 0; i < b->n; i++)
		b->h->blob_unref(b->part[i].body);
	omem_free(b);
}

static void on_answer(void *arg, struct reg_answer *a)
{
	struct part *p = arg;
	struct busreq *b = p->all;

	p->code = a ? a->code : 500;
	if (a) {
		char *text = omem_alloc(a->len + 1), *at = text;

		p->rev = a->rev;
		memcpy(p->reason, a->reason, sizeof(p->reason));
		for (uint32_t i = 0; text && i < a->n_pieces; i++) {
			if (a->pieces[i].len)
				memcpy(at, a->pieces[i].p, a->pieces[i].len);
			at += a->pieces[i].len;
		}
		if (text && b->h->blob_take(b->h, text, (size_t)(at - text), &p->body))
			p->body = NULL;
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

/* @m: the message that carries blobs; @body: the fields of this request. */
static void start(struct reg_shard *sh, const struct orlop_req *req, struct orlop_bytes body, struct part *p)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_bytes verb = RB0, res = RB0, version = RB0, type = RB0;
	struct reg_req rq = { .who = req->who, .trace = req->trace };
	struct orlop_msgr r;

	orlop_msgr_init(&r, sh->h, &req->msg, body);
	while (orlop_msgr_next(&r)) {
		if (r.type != ORLOP_T_BYTES)
			continue;
		switch (r.tag) {
		case ORLOP_API_T_VERB:
			verb = r.bytes;
			break;
		case ORLOP_API_T_RESOURCE:
			res = r.bytes;
			break;
		case ORLOP_API_T_VERSION:
			version = r.bytes;
			break;
		case ORLOP_API_T_NAMESPACE:
			rq.ns = r.bytes;
			break;
		case ORLOP_API_T_NAME:
			rq.name = r.bytes;
			break;
		case ORLOP_API_T_SUBRESOURCE:
			rq.sub = r.bytes;
			break;
		case ORLOP_API_T_BODY:
			rq.body = r.bytes;
			break;
		case ORLOP_API_T_CONTENT_TYPE:
			type = r.bytes;
			break;
		case ORLOP_API_T_QUERY:
			rq.query = r.bytes;
			break;
		case ORLOP_API_T_FIELD_MANAGER:
			rq.manager = r.bytes;
			break;
		default:
			break;
		}
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (rb_is(verb, verbs[i].word))
			rq.verb = verbs[i].verb;
	for (size_t i = 0; i < sizeof(patches) / sizeof(*patches); i++)
		if (rb_is(type, patches[i].type))
			rq.patch = patches[i].patch;
	rq.res = reg_resource(sh->rg, res, version);
	if (!rq.res) {
		orlop_fail(&err, ENOENT, 404, "NotFound", "the server could not find the requested resource: \"%.*s\"", OB(res));
		fail(sh, p, &err);
		return;
	}
	if (!rq.verb) {
		orlop_fail(&err, EINVAL, 400, "BadRequest", "unknown verb \"%.*s\"", OB(verb));
		fail(sh, p, &err);
		return;
	}
	if (!rq.manager.len)
		rq.manager = rq.who->user;
	if (reg_authorize(sh, &rq, &err)) {
		fail(sh, p, &err);
		return;
	}
	reg_call(sh, &rq, on_answer, p);
}

static struct busreq *busreq_new(struct reg_shard *sh, struct orlop_call *call, uint32_t n)
{
	struct busreq *b = omem_zalloc(sizeof(*b) + n * sizeof(b->part[0]));

	if (!b)
		return NULL;
	b->h = sh->h;
	b->sh = sh;
	b->call = call;
	b->n = b->left = n;
	for (uint32_t i = 0; i < n; i++)
		b->part[i].all = b;
	return b;
}

int reg_bus_request(struct reg_shard *sh, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct busreq *b = busreq_new(sh, call, 1);

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	start(sh, req, req->msg.body, &b->part[0]);
	return 0;
}

int reg_bus_batch(struct reg_shard *sh, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct orlop_msgr r;
	struct busreq *b;
	uint32_t n = 0, i = 0;

	orlop_msgr_init(&r, sh->h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r))
		n += r.tag == ORLOP_API_T_REQUEST && r.type == ORLOP_T_MSG;
	b = busreq_new(sh, call, n);
	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	b->batch = true;
	if (n == 0) {
		finish(b);
		return 0;
	}
	b->left++;	/* answers may come at once: not before all have been started */
	orlop_msgr_init(&r, sh->h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r))
		if (r.tag == ORLOP_API_T_REQUEST && r.type == ORLOP_T_MSG)
			start(sh, req, r.bytes, &b->part[i++]);
	if (--b->left == 0)
		finish(b);
	return 0;
}
