/* api.c - requests of modules become HTTP requests; answers, waits, losses. */
#include "server.h"

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include <errno.h>
#include <unistd.h>

static struct fakehost *fh;
static struct srv *s;

static void begin(const char *want)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	s = srv_new(fh, NULL);
	if (want)
		fakehost_want(fh, want);
	ok(fakehost_load(fh, &orlop_module, &err) == 0, "loads %s", err.msg);
	if (want)
		(void)srv_watched(s, "pods");
	obuf_reset(&s->log);
	orlop_error_done(&err);
}

static void finish(void)
{
	srv_free(s);
	fakehost_free(fh);
}

struct ask {
	const char	*verb, *resource, *ns, *name, *sub, *body, *type, *query, *manager;
};

static void put(struct orlop_msgw *w, const struct ask *a)
{
	const struct { uint32_t tag; const char *v; } fields[] = {
		{ ORLOP_API_T_VERB, a->verb }, { ORLOP_API_T_RESOURCE, a->resource }, { ORLOP_API_T_NAMESPACE, a->ns },
		{ ORLOP_API_T_NAME, a->name }, { ORLOP_API_T_SUBRESOURCE, a->sub }, { ORLOP_API_T_BODY, a->body },
		{ ORLOP_API_T_CONTENT_TYPE, a->type }, { ORLOP_API_T_QUERY, a->query },
		{ ORLOP_API_T_FIELD_MANAGER, a->manager },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].v)
			orlop_msgw_str(w, fields[i].tag, fields[i].v);
}

static struct fakehost_reply call(const struct ask *a)
{
	struct fakehost_reply r;
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, fakehost_host(fh));
	put(&w, a);
	m = orlop_msgw_msg(&w);
	r = fakehost_call(fh, "uplink", ORLOP_API_REQUEST, &m);
	orlop_msgw_done(&w);
	return r;
}

static uint64_t code_of(const struct fakehost_reply *r)
{
	return r->status ? 0 : orlop_msg_u64(&r->msg, ORLOP_API_T_CODE, 0);
}

/* Ask; the code, and the request as the server saw it begins so. */
static void is_asked(const struct ask *a, uint64_t code, const char *line, const char *what)
{
	struct fakehost_reply r;

	obuf_reset(&s->log);
	r = call(a);
	ok(code_of(&r) == code, "%s: %llu", what, (unsigned long long)code_of(&r));
	ok(strncmp(obuf_cstr(&s->log), line, strlen(line)) == 0, "%s: is %s", what, line);
	if (strncmp(obuf_cstr(&s->log), line, strlen(line)))
		otap_diag("got %s", obuf_cstr(&s->log));
	fakehost_reply_done(&r);
}

static void test_verbs(void)
{
	begin(NULL);
	srv_put(s, "pods", "default", "a", "");
	is_asked(&(struct ask){ .verb = "get", .resource = "pods", .ns = "default", .name = "a" }, 200,
		 "GET /api/v1/namespaces/default/pods/a ", "get");
	is_asked(&(struct ask){ .verb = "list", .resource = "pods", .ns = "default", .query = "labelSelector=a%3Db" }, 200,
		 "GET /api/v1/namespaces/default/pods?labelSelector=a%3Db ", "list");
	is_asked(&(struct ask){ .verb = "list", .resource = "deployments.apps" }, 200, "GET /apis/apps/v1/deployments ", "a group");
	is_asked(&(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .body = "{\"metadata\":{\"name\":\"b\"}}" }, 201,
		 "POST /api/v1/namespaces/default/pods?fieldManager=", "create");
	is_asked(&(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .name = "b", .sub = "binding", .body = "{}" }, 201,
		 "POST /api/v1/namespaces/default/pods/b/binding?fieldManager=", "a binding");
	is_asked(&(struct ask){ .verb = "update", .resource = "nodes", .name = "x", .body = "{}", .manager = "me", .query = "dryRun=All" }, 404,
		 "PUT /api/v1/nodes/x?dryRun=All&fieldManager=me {}", "update, a manager, a query");
	is_asked(&(struct ask){ .verb = "update", .resource = "pods", .ns = "default", .name = "a", .sub = "status", .body = "{}",
				.query = "fieldManager=q" }, 200,
		 "PUT /api/v1/namespaces/default/pods/a/status?fieldManager=q {}", "status, the query's manager");
	is_asked(&(struct ask){ .verb = "patch", .resource = "pods", .ns = "default", .name = "a", .body = "{}",
				.type = "application/merge-patch+json" }, 200, "PATCH /api/v1/namespaces/default/pods/a?", "patch");
	is_asked(&(struct ask){ .verb = "delete", .resource = "pods", .ns = "default", .name = "a",
				.body = "{\"preconditions\":{\"uid\":\"u\"}}" }, 200,
		 "DELETE /api/v1/namespaces/default/pods/a {\"preconditions\"", "delete with options");
	is_asked(&(struct ask){ .verb = "delete", .resource = "pods", .ns = "default", .name = "a" }, 404,
		 "DELETE /api/v1/namespaces/default/pods/a ", "delete what is gone");
	is_asked(&(struct ask){ .verb = "get", .resource = "pods", .ns = "a/b", .name = "../c d" }, 404,
		 "GET /api/v1/namespaces/a%2Fb/pods/..%2Fc%20d ", "odd names stay names");
	is_asked(&(struct ask){ .verb = "get", .resource = "gadgets.example.com", .name = "a" }, 404, "", "a resource that is not there");
	is_asked(&(struct ask){ .verb = "shout", .resource = "pods", .name = "a" }, 400, "", "an unknown verb");
	finish();
}

static void test_answers(void)
{
	struct fakehost_reply r;
	struct orlop_bytes b;

	begin("pods");
	r = call(&(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .body = "{\"metadata\":{\"name\":\"w\"},\"spec\":{}}" });
	ok(code_of(&r) == 201, "created");
	ok(orlop_msg_u64(&r.msg, ORLOP_API_T_REV, 0) == s->rev, "its revision");
	ok(fakehost_get(fh, "pods", "default", "w") != NULL, "read your own writes: it is in the cache when the answer comes");
	b = orlop_msg_bytes(fakehost_host(fh), &r.msg, ORLOP_API_T_BODY);
	ok(b.len > 10 && memmem(b.p, b.len, "\"kind\":\"Pod\"", 12), "the object as the server sent it");
	fakehost_reply_done(&r);
	r = call(&(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .body = "{\"metadata\":{\"name\":\"w\"}}" });
	b = orlop_msg_bytes(fakehost_host(fh), &r.msg, ORLOP_API_T_REASON);
	ok(code_of(&r) == 409 && ostr_is(b.p, b.len, "AlreadyExists"), "an error has its reason");
	b = orlop_msg_bytes(fakehost_host(fh), &r.msg, ORLOP_API_T_BODY);
	ok(b.len && memmem(b.p, b.len, "\"kind\":\"Status\"", 15), "and its Status");
	fakehost_reply_done(&r);
	r = call(&(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .name = "w", .sub = "binding", .body = "{}" });
	ok(code_of(&r) == 201 && strstr(fakehost_get(fh, "pods", "default", "w"), "nodeName"), "a binding is seen too");
	fakehost_reply_done(&r);
	r = call(&(struct ask){ .verb = "delete", .resource = "pods", .ns = "default", .name = "w" });
	ok(code_of(&r) == 200 && !fakehost_get(fh, "pods", "default", "w"), "a deletion is seen");
	ok(orlop_msg_u64(&r.msg, ORLOP_API_T_REV, 0) == s->rev, "with its revision");
	fakehost_reply_done(&r);
	finish();
}

/* ---- what goes wrong -------------------------------------------------------------------------------------- */

static const char *trouble;

static int make_trouble(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	struct ohttp_header later = ohttp_header_cstr("Retry-After", "1");

	(void)body;
	if (!strstr(line, "/pods/a") || srv->hook_n >= 2)
		return 0;
	srv->hook_n++;
	if (!strcmp(trouble, "lost")) {
		ohttp_abort(r);
	} else if (!strcmp(trouble, "busy")) {
		ohttp_reply(r, 429, &later, 1, NULL, 0);
	} else if (!strcmp(trouble, "html")) {
		srv_reply(r, 502, "<html>Bad Gateway\nmore</html>");
	} else if (!strcmp(trouble, "half")) {
		srv_reply(r, 200, "{\"kind\":\"Pod\",");
	}
	return 1;
}

static void test_trouble(void)
{
	const struct ask get = { .verb = "get", .resource = "pods", .ns = "default", .name = "a" };
	const struct ask update = { .verb = "update", .resource = "pods", .ns = "default", .name = "a", .body = "{\"spec\":{}}" };
	struct fakehost_reply r;
	struct orlop_bytes b;

	begin(NULL);
	srv_put(s, "pods", "default", "a", "");
	s->hook = make_trouble;
	trouble = "lost";
	r = call(&update);
	ok(r.status == -ECONNRESET, "a write whose answer is lost: outcome unknown");
	ok(strstr(r.err.msg, "unknown") != NULL, "in words: %s", r.err.msg);
	ok(srv_count(s, "PUT /api/v1/namespaces/default/pods/a") == 1, "it is not repeated");
	fakehost_reply_done(&r);
	s->hook_n = 0;
	r = call(&get);
	ok(code_of(&r) == 200 && srv_count(s, "GET /api/v1/namespaces/default/pods/a") >= 3, "a read is repeated until it is answered");
	fakehost_reply_done(&r);
	s->hook_n = 0;
	trouble = "busy";
	obuf_reset(&s->log);
	r = call(&update);
	ok(code_of(&r) == 200 && srv_count(s, "PUT ") == 3, "429 with Retry-After: asked again, for writes too");
	fakehost_reply_done(&r);
	s->hook_n = 0;
	trouble = "html";
	r = call(&update);
	ok(code_of(&r) == 502, "a page of a proxy");
	b = orlop_msg_bytes(fakehost_host(fh), &r.msg, ORLOP_API_T_BODY);
	ok(b.len && memmem(b.p, b.len, "\"kind\":\"Status\"", 15) && memmem(b.p, b.len, "Bad Gateway", 11), "becomes a Status");
	fakehost_reply_done(&r);
	s->hook_n = 0;
	trouble = "half";
	r = call(&get);
	ok(code_of(&r) == 502, "half an answer is an error");
	fakehost_reply_done(&r);
	finish();
}

static void test_batch(void)
{
	struct orlop_msgw w;
	struct orlop_msgr m;
	struct orlop_msg msg;
	struct fakehost_reply r;
	uint32_t n = 0, good = 0;

	begin("pods");
	orlop_msgw_init(&w, fakehost_host(fh));
	for (int i = 0; i < 40; i++) {
		char body[100];
		uint32_t mark = orlop_msgw_begin(&w, ORLOP_API_T_REQUEST);

		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s%02d\"}}", i == 7 ? "dup" : "b", i == 7 ? 0 : i);
		if (i == 8)
			snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"b00\"}}");
		put(&w, &(struct ask){ .verb = "create", .resource = "pods", .ns = "default", .body = body });
		orlop_msgw_end(&w, mark);
	}
	msg = orlop_msgw_msg(&w);
	r = fakehost_call(fh, "uplink", ORLOP_API_BATCH, &msg);
	orlop_msgw_done(&w);
	ok(r.status == 0, "a batch of 40");
	orlop_msgr_init(&m, fakehost_host(fh), &r.msg, r.msg.body);
	while (orlop_msgr_next(&m)) {
		struct orlop_msg one = { .size = sizeof(one), .body = m.bytes };
		uint64_t code = orlop_msg_u64(&one, ORLOP_API_T_CODE, 0);

		good += n == 8 ? code == 409 : code == 201;
		n++;
	}
	ok(n == 40 && good == 40, "forty answers in order, the double one refused");
	ok(fakehost_count(fh, "pods") == 39, "all in the cache");
	fakehost_reply_done(&r);
	finish();
}

static char seen_user[200];

static int look_at_user(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	struct orlop_bytes u = ohttp_header(r, "Impersonate-User"), a = ohttp_header(r, "Authorization");

	(void)srv;
	(void)line;
	(void)body;
	snprintf(seen_user, sizeof(seen_user), "%.*s|%.*s", (int)u.len, u.p ? u.p : "", (int)a.len, a.p ? a.p : "");
	return 0;
}

static void test_identity(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct fakehost_reply r;
	char path[] = "/tmp/orlop-token-XXXXXX";
	int fd = mkstemp(path);

	(void)!write(fd, "sesame\n", 7);
	close(fd);
	fh = fakehost_new();
	s = srv_new(fh, NULL);
	fakehost_param(fh, "impersonate", "true");
	fakehost_param(fh, "token_file", path);
	ok(fakehost_load(fh, &orlop_module, &err) == 0, "loads %s", err.msg);
	(void)srv_until(s, "/apis/odd", 1);
	s->hook = look_at_user;
	r = call(&(struct ask){ .verb = "list", .resource = "nodes" });
	ok(code_of(&r) == 200, "asked");
	is_str(seen_user, "system:orlop:test|Bearer sesame", "acts as the module's user, with uplink's token");
	fakehost_reply_done(&r);
	finish();
	unlink(path);
	orlop_error_done(&err);
}

int main(void)
{
	test_verbs();
	test_answers();
	test_trouble();
	test_batch();
	test_identity();
	return done_testing();
}
