/* call.c - requests to the address "api". */
#include "kube/okube.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/msg.h>

#include "base/obuf.h"
#include "base/omem.h"

struct call {
	const struct orlop_host *h;
	okube_fn	fn;
	void		*arg;
};

static void answered(void *arg, int32_t status, const struct orlop_msg *msg,
		     const struct orlop_error *err, uint32_t flags)
{
	struct call *c = arg;
	struct ojson *body = NULL;
	struct orlop_bytes text;
	uint32_t code;

	(void)err;
	if (flags & ORLOP_REPLY_MORE)
		return;
	if (c->fn) {
		if (status < 0) {
			c->fn(c->arg, status, 0, NULL, 0);
		} else {
			text = orlop_msg_bytes(c->h, msg, ORLOP_API_T_BODY);
			if (text.len)
				(void)ojson_parse(text.p, text.len, &body, NULL);
			code = (uint32_t)orlop_msg_u64(msg, ORLOP_API_T_CODE, 500);
			c->fn(c->arg, 0, code, body, orlop_msg_u64(msg, ORLOP_API_T_REV, 0));
			ojson_unref(body);
		}
	}
	omem_free(c);
}

static void put(struct orlop_msgw *w, uint32_t tag, struct orlop_bytes b)
{
	if (b.len)
		orlop_msgw_bytes(w, tag, b.p, b.len);
}

int okube_call(const struct orlop_host *h, const struct okube_req *req, okube_fn fn, void *arg)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_REQUEST, .to = "api" };
	struct obuf text = OBUF_INIT;
	struct orlop_msgw w;
	struct call *c = OMEM_NEW(struct call);
	int e;

	if (!c)
		return -ENOMEM;
	c->h = h;
	c->fn = fn;
	c->arg = arg;
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, ORLOP_API_T_VERB, req->verb);
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, req->resource);
	put(&w, ORLOP_API_T_NAMESPACE, req->ns);
	put(&w, ORLOP_API_T_NAME, req->name);
	if (req->sub)
		orlop_msgw_str(&w, ORLOP_API_T_SUBRESOURCE, req->sub);
	if (req->content_type)
		orlop_msgw_str(&w, ORLOP_API_T_CONTENT_TYPE, req->content_type);
	if (req->query)
		orlop_msgw_str(&w, ORLOP_API_T_QUERY, req->query);
	if (req->body) {
		(void)ojson_write(req->body, 0, &text);
		if (!obuf_err(&text))
			orlop_msgw_bytes(&w, ORLOP_API_T_BODY, text.data, text.len);
		else
			w.err = obuf_err(&text);
		obuf_done(&text);
	} else if (req->text.len) {
		orlop_msgw_bytes(&w, ORLOP_API_T_BODY, req->text.p, req->text.len);
	}
	e = w.err;
	if (!e) {
		send.msg = orlop_msgw_msg(&w);
		e = h->request(h, &send, answered, c, NULL);
	}
	orlop_msgw_done(&w);
	if (e)
		omem_free(c);
	return e;
}

int okube_create(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		 const struct ojson *body, okube_fn fn, void *arg)
{
	struct okube_req r = { .verb = "create", .resource = resource, .ns = ns, .body = body };

	return okube_call(h, &r, fn, arg);
}

int okube_update(const struct orlop_host *h, const char *resource, const char *sub,
		 const struct ojson *body, okube_fn fn, void *arg)
{
	const struct ojson *meta = ojson_get(body, "metadata");
	struct okube_req r = { .verb = "update", .resource = resource, .sub = sub, .body = body,
			       .ns = ojson_get_bytes(meta, "namespace"),
			       .name = ojson_get_bytes(meta, "name") };

	return okube_call(h, &r, fn, arg);
}

int okube_patch(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		struct orlop_bytes name, const char *sub, const char *content_type,
		const struct ojson *patch, okube_fn fn, void *arg)
{
	struct okube_req r = { .verb = "patch", .resource = resource, .ns = ns, .name = name,
			       .sub = sub, .content_type = content_type, .body = patch };

	return okube_call(h, &r, fn, arg);
}

int okube_delete(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		 struct orlop_bytes name, struct orlop_bytes uid, const char *propagation,
		 int64_t grace_s, okube_fn fn, void *arg)
{
	struct okube_req r = { .verb = "delete", .resource = resource, .ns = ns, .name = name };
	struct ojson *opts = ojson_new_object();
	int e;

	if (!opts)
		return -ENOMEM;
	(void)ojson_set_cstr(opts, "kind", "DeleteOptions");
	(void)ojson_set_cstr(opts, "apiVersion", "v1");
	if (uid.len)
		(void)ojson_set_string(ojson_ensure_object(opts, "preconditions"), "uid", uid.p, uid.len);
	if (propagation)
		(void)ojson_set_cstr(opts, "propagationPolicy", propagation);
	if (grace_s >= 0)
		(void)ojson_set_i64(opts, "gracePeriodSeconds", grace_s);
	r.body = opts;
	e = okube_call(h, &r, fn, arg);
	ojson_unref(opts);
	return e;
}

const char *okube_reason(const struct ojson *body)
{
	return ojson_get_cstr(body, "reason", "");
}
