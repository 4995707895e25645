/* apimsg.c - reading requests of the address "api", writing their answers. */
#include "apimsg/oapimsg.h"

#include <orlop/inline/msg.h>

uint32_t oapi_count(const struct orlop_host *h, const struct orlop_req *req, bool *ret_batch)
{
	struct orlop_msgr r;
	uint32_t n = 0;

	*ret_batch = req->op == ORLOP_API_BATCH;
	if (!*ret_batch)
		return 1;
	orlop_msgr_init(&r, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r))
		n += r.tag == ORLOP_API_T_REQUEST && r.type == ORLOP_T_MSG;
	return n;
}

static struct orlop_bytes *field(struct oapi_request *q, uint32_t tag)
{
	switch (tag) {
	case ORLOP_API_T_VERB: return &q->verb;
	case ORLOP_API_T_RESOURCE: return &q->resource;
	case ORLOP_API_T_VERSION: return &q->version;
	case ORLOP_API_T_NAMESPACE: return &q->ns;
	case ORLOP_API_T_NAME: return &q->name;
	case ORLOP_API_T_SUBRESOURCE: return &q->sub;
	case ORLOP_API_T_BODY: return &q->body;
	case ORLOP_API_T_CONTENT_TYPE: return &q->content_type;
	case ORLOP_API_T_QUERY: return &q->query;
	case ORLOP_API_T_FIELD_MANAGER: return &q->manager;
	default: return NULL;
	}
}

static void read_one(const struct orlop_host *h, const struct orlop_req *req, struct orlop_bytes body,
		     struct oapi_request *ret)
{
	struct orlop_msgr r;

	memset(ret, 0, sizeof(*ret));
	orlop_msgr_init(&r, h, &req->msg, body);
	while (orlop_msgr_next(&r)) {
		struct orlop_bytes *to = r.type == ORLOP_T_BYTES ? field(ret, r.tag) : NULL;

		if (to)
			*to = r.bytes;
	}
}

int oapi_next(const struct orlop_host *h, const struct orlop_req *req, struct oapi_iter *it,
	      struct oapi_request *ret)
{
	struct orlop_msgr r;

	if (req->op != ORLOP_API_BATCH) {
		if (it->at.begun)
			return 0;
		it->at.begun = true;
		read_one(h, req, req->msg.body, ret);
		return 1;
	}
	orlop_msgr_init(&r, h, &req->msg, req->msg.body);
	if (it->at.begun)
		r.p = it->at.p;
	it->at.begun = true;
	while (orlop_msgr_next(&r)) {
		it->at.p = r.p;
		if (r.tag != ORLOP_API_T_REQUEST || r.type != ORLOP_T_MSG)
			continue;
		read_one(h, req, r.bytes, ret);
		return 1;
	}
	it->at.p = r.p;
	return 0;
}

void oapi_done(const struct orlop_host *h, struct orlop_call *call, bool batch,
	       struct oapi_answer *answers, uint32_t n)
{
	size_t share = (ORLOP_MSG_MAX - 1024) / (n ? n : 1), room;
	struct orlop_msgw w;
	struct orlop_msg m;

	room = share > 128 ? share - 128 : 0;
	if (room > ORLOP_MSG_INLINE_MAX)
		room = ORLOP_MSG_INLINE_MAX;
	orlop_msgw_init(&w, h);
	for (uint32_t i = 0; i < n; i++) {
		const struct oapi_answer *a = &answers[i];
		uint32_t mark = batch ? orlop_msgw_begin(&w, ORLOP_API_T_ANSWER) : 0;

		orlop_msgw_u64(&w, ORLOP_API_T_CODE, a->code);
		orlop_msgw_u64(&w, ORLOP_API_T_REV, a->rev);
		if (a->reason[0])
			orlop_msgw_str(&w, ORLOP_API_T_REASON, a->reason);
		if (a->body) {
			struct orlop_bytes v = h->blob_bytes(a->body);

			if (v.len <= room)
				orlop_msgw_bytes(&w, ORLOP_API_T_BODY, v.p, v.len);
			else if (w.n_blobs < ORLOP_MSG_MAX_BLOBS)
				orlop_msgw_blob(&w, ORLOP_API_T_BODY, a->body);
		}
		if (batch)
			orlop_msgw_end(&w, mark);
	}
	m = orlop_msgw_msg(&w);
	h->call_done(call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	for (uint32_t i = 0; i < n; i++) {
		h->blob_unref(answers[i].body);
		answers[i].body = NULL;
	}
}
