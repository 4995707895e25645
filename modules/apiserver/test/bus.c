/* bus.c - the address "api": requests and batches of modules. */
#include "base/otap.h"
#include "rig.h"

#include <orlop/api.h>

static void serve_api(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct rig *r = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	int k = reg_bus_call(r->sh, req, call, &err);

	if (k)
		fakehost_reply_error(call, -k, 0, "", err.msg);
}

static void put(struct orlop_msgw *w, const char *verb, const char *res, const char *ns, const char *name,
		const char *body)
{
	orlop_msgw_str(w, ORLOP_API_T_VERB, verb);
	orlop_msgw_str(w, ORLOP_API_T_RESOURCE, res);
	orlop_msgw_str(w, ORLOP_API_T_NAMESPACE, ns);
	if (name[0])
		orlop_msgw_str(w, ORLOP_API_T_NAME, name);
	if (body[0])
		orlop_msgw_str(w, ORLOP_API_T_BODY, body);
}

static struct fakehost_reply call(struct rig *r, uint32_t op, struct orlop_msgw *w)
{
	struct orlop_msg m = orlop_msgw_msg(w);
	struct fakehost_reply rep = fakehost_call(r->fh, "api", op, &m);

	orlop_msgw_done(w);
	return rep;
}

static void test_request(struct rig *r)
{
	const struct orlop_host *h = fakehost_host(r->fh);
	struct fakehost_reply rep;
	struct orlop_msgw w;
	struct orlop_bytes b;

	orlop_msgw_init(&w, h);
	put(&w, "create", "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
	orlop_msgw_str(&w, ORLOP_API_T_FIELD_MANAGER, "controllers/test");
	rep = call(r, ORLOP_API_REQUEST, &w);
	is_int(rep.status, 0, "answered");
	is_int(orlop_msg_u64(&rep.msg, ORLOP_API_T_CODE, 0), 201, "created");
	ok(orlop_msg_u64(&rep.msg, ORLOP_API_T_REV, 0) > 0, "revision");
	b = orlop_msg_bytes(h, &rep.msg, ORLOP_API_T_BODY);
	ok(memmem(b.p, b.len, "\"manager\":\"controllers/test\"", 28) != NULL, "manager");
	fakehost_reply_done(&rep);

	orlop_msgw_init(&w, h);
	put(&w, "get", "configmaps", "default", "nope", "");
	rep = call(r, ORLOP_API_REQUEST, &w);
	is_int(rep.status, 0, "an error is an answer");
	is_int(orlop_msg_u64(&rep.msg, ORLOP_API_T_CODE, 0), 404, "404");
	b = orlop_msg_bytes(h, &rep.msg, ORLOP_API_T_REASON);
	ok(ostr_is(b.p, b.len, "NotFound"), "reason");
	fakehost_reply_done(&rep);

	orlop_msgw_init(&w, h);
	put(&w, "get", "nothings", "default", "nope", "");
	rep = call(r, ORLOP_API_REQUEST, &w);
	is_int(orlop_msg_u64(&rep.msg, ORLOP_API_T_CODE, 0), 404, "unknown resource");
	fakehost_reply_done(&rep);
	orlop_msgw_init(&w, h);
	put(&w, "sing", "pods", "default", "nope", "");
	rep = call(r, ORLOP_API_REQUEST, &w);
	is_int(orlop_msg_u64(&rep.msg, ORLOP_API_T_CODE, 0), 400, "unknown verb");
	fakehost_reply_done(&rep);
}

static void test_batch(struct rig *r)
{
	const struct orlop_host *h = fakehost_host(r->fh);
	struct fakehost_reply rep;
	struct orlop_msgw w;
	struct orlop_msgr m;
	int codes[8], n = 0;

	orlop_msgw_init(&w, h);
	for (int i = 0; i < 4; i++) {
		char body[64];
		uint32_t mark = orlop_msgw_begin(&w, ORLOP_API_T_REQUEST);

		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"b%d\"}}", i == 3 ? 0 : i);
		put(&w, "create", "configmaps", "default", "", body);
		orlop_msgw_end(&w, mark);
	}
	rep = call(r, ORLOP_API_BATCH, &w);
	is_int(rep.status, 0, "batch");
	orlop_msgr_init(&m, h, &rep.msg, rep.msg.body);
	while (orlop_msgr_next(&m) && n < 8)
		if (m.tag == ORLOP_API_T_ANSWER) {
			struct orlop_msg part = { .size = sizeof(part), .body = m.bytes };

			codes[n++] = (int)orlop_msg_u64(&part, ORLOP_API_T_CODE, 0);
		}
	is_int(n, 4, "four answers");
	ok(n == 4 && codes[0] == 201 && codes[1] == 201 && codes[2] == 201 && codes[3] == 409, "in order");
	fakehost_reply_done(&rep);

	/* more and larger answers than one message holds */
	orlop_msgw_init(&w, h);
	for (int i = 0; i < 100; i++) {
		char body[500];
		uint32_t mark = orlop_msgw_begin(&w, ORLOP_API_T_REQUEST);

		snprintf(body, sizeof(body), "{\"metadata\":{\"generateName\":\"m-\"},\"data\":{\"k\":\"%0350d\"}}", i);
		put(&w, "create", "configmaps", "default", "", body);
		orlop_msgw_end(&w, mark);
	}
	rep = call(r, ORLOP_API_BATCH, &w);
	is_int(rep.status, 0, "a large batch");
	n = 0;
	orlop_msgr_init(&m, h, &rep.msg, rep.msg.body);
	while (orlop_msgr_next(&m))
		if (m.tag == ORLOP_API_T_ANSWER) {
			struct orlop_msg part = { .size = sizeof(part), .body = m.bytes };

			n += orlop_msg_u64(&part, ORLOP_API_T_CODE, 0) == 201 &&
			     orlop_msg_u64(&part, ORLOP_API_T_REV, 0) > 0;
		}
	is_int(n, 100, "a hundred answers");
	fakehost_reply_done(&rep);

	orlop_msgw_init(&w, h);
	rep = call(r, ORLOP_API_BATCH, &w);
	is_int(rep.status, 0, "an empty batch");
	fakehost_reply_done(&rep);
}

int main(void)
{
	struct rig *r = rig_new();

	is_int(rig_boot(r), 0, "bootstrap");
	fakehost_serve(r->fh, "api", serve_api, r);
	test_request(r);
	test_batch(r);
	rig_free(r);
	return done_testing();
}
