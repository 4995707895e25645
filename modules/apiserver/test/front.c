/*
 * The module as a whole on one loop: real sockets and TLS, a small storage, a kubelet that is a few
 * lines of lib/http, and clients of every kind.
 */
#include "base/otap.h"
#include "rig.h"

#include "base/ocleanup.h"
#include <orlop/inline/log.h>
#include "base/ofile.h"
#include "http/oclient.h"
#include "http/ohttp.h"
#include "pki/opki.h"
#include "tls/otls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

extern const struct orlop_module orlop_module;

static struct rig rig;
static struct fakehost *fh;
static const struct orlop_host *host;
static char dir[] = "/tmp/orlop-front-XXXXXX";
static char api[64];
static char kubelet_addr[64];

/* ---- clients ----------------------------------------------------------------------------------------------- */

struct client {
	struct otls_ctx		*tls;
	struct ohttp_client	*http;
};

static struct client admin, node, nobody, stranger;

struct ans {
	int		status;
	struct obuf	body;
	struct obuf	headers;
	bool		over;
	int		err;
	char		why[200];
	struct ohttp_stream *s;
	struct ohttp_creq *r;
};

static void on_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct ans *a = arg;

	(void)r;
	a->status = res->status;
	for (size_t i = 0; i < res->n_headers; i++)
		obuf_printf(&a->headers, "%.*s: %.*s\n", OB(res->headers[i].name), OB(res->headers[i].value));
}

static void on_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	(void)r;
	obuf_append(&((struct ans *)arg)->body, p, len);
}

static void s_data(void *arg, const char *p, size_t len)
{
	obuf_append(&((struct ans *)arg)->body, p, len);
}

static void s_closed(void *arg, int err)
{
	struct ans *a = arg;

	(void)err;
	a->s = NULL;
	a->over = true;
}

static const struct ohttp_stream_ops s_ops = { .data = s_data, .closed = s_closed };

static void on_upgraded(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct ans *a = arg;

	(void)r;
	a->r = NULL;
	a->s = take_s;
	ohttp_stream_set(take_s, &s_ops, a);
	ohttp_stream_resume(take_s);
	(void)ohttp_stream_write(take_s, "ping", 4);
}

static void on_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct ans *a = arg;

	(void)r;
	a->r = NULL;
	a->over = true;
	a->err = err;
	snprintf(a->why, sizeof(a->why), "%s", why);
}

static const struct ohttp_client_ops ops = { on_head, on_data, on_upgraded, on_end };

static int is_over(void *arg)
{
	return ((struct ans *)arg)->over;
}

static void ans_done(struct ans *a)
{
	ohttp_creq_cancel(a->r);
	ohttp_stream_abort(a->s);
	obuf_done(&a->body);
	obuf_done(&a->headers);
	memset(a, 0, sizeof(*a));
}

static void send_request(struct client *c, struct ans *a, const char *method, const char *target, const char *type,
			 const void *body, size_t len, const char *const *more)
{
	struct ohttp_header hdr[10];
	struct ohttp_client_request q = { .addr = api, .tls_name = "localhost", .method = method, .target = target,
		.headers = hdr, .body = { body, len }, .has_body = len > 0 };

	ans_done(a);
	if (type)
		hdr[q.n_headers++] = ohttp_header_cstr("Content-Type", type);
	for (; more && *more; more += 2)
		hdr[q.n_headers++] = ohttp_header_cstr(more[0], more[1]);
	for (size_t i = 0; i < q.n_headers; i++)
		q.upgrade |= strcmp(hdr[i].name.p, "Upgrade") == 0;
	if (ohttp_client_send(c->http, &q, &ops, a, &a->r) < 0)
		otap_bail_out("client");
}

static int ask(struct client *c, struct ans *a, const char *method, const char *target, const char *body,
	       const char *const *more)
{
	send_request(c, a, method, target, body ? "application/json" : NULL, body, body ? strlen(body) : 0, more);
	(void)fakehost_run_until(fh, is_over, a, 60 * FAKEHOST_S);
	return a->status;
}

static int merge(struct client *c, struct ans *a, const char *target, const char *body)
{
	send_request(c, a, "PATCH", target, "application/merge-patch+json", body, strlen(body), NULL);
	(void)fakehost_run_until(fh, is_over, a, 60 * FAKEHOST_S);
	return a->status;
}

static bool has(struct ans *a, const char *text)
{
	return strstr(obuf_cstr(&a->body), text) != NULL;
}

/* ---- the kubelet ---------------------------------------------------------------------------------------------- */

static struct ohttp_server *kubelet;
static struct ohttp_stream *k_stream;
static char k_path[400];
static char k_who[100];

static void k_data(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)ohttp_stream_write(k_stream, p, len);
}

static void k_closed(void *arg, int err)
{
	(void)arg;
	(void)err;
	k_stream = NULL;
}

static const struct ohttp_stream_ops k_ops = { .data = k_data, .closed = k_closed };

/* A page, compressed. */
static void k_packed(struct ohttp_req *r)
{
	struct ohttp_header packed[] = { OHTTP_HEADER("Content-Type", "text/html"), OHTTP_HEADER("Content-Encoding", "gzip") };
	static const char page[] = "<a href=\"/x\">x</a>";
	char text[200];
	z_stream z = { .next_in = (Bytef *)(uintptr_t)page, .avail_in = sizeof(page) - 1, .next_out = (Bytef *)text, .avail_out = sizeof(text) };

	if (deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END)
		otap_bail_out("zlib");
	ohttp_reply_start(r, 200, packed, 2);
	(void)ohttp_write_copy(r, text, z.total_out);
	ohttp_end(r);
	deflateEnd(&z);
}

static const char *unpacked(struct ans *a)
{
	static char text[300];
	z_stream z = { .next_in = (Bytef *)a->body.data, .avail_in = (uInt)a->body.len, .next_out = (Bytef *)text, .avail_out = sizeof(text) - 1 };

	if (inflateInit2(&z, 31) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END)
		snprintf(text, sizeof(text), "not compressed");
	else
		text[z.total_out] = '\0';
	inflateEnd(&z);
	return text;
}

static void k_request(void *arg, struct ohttp_req *r)
{
	struct ohttp_header h = OHTTP_HEADER("X-Stream-Protocol-Version", "v4.channel.k8s.io");
	const struct otls_peer *p = ohttp_peer(r);

	(void)arg;
	snprintf(k_path, sizeof(k_path), "%.*s?%.*s", OB(ohttp_path(r)), OB(ohttp_query(r)));
	snprintf(k_who, sizeof(k_who), "%.*s", p && p->verified ? (int)p->cn.len : 0, p ? p->cn.p : "");
	if (ohttp_wants_upgrade(r, "SPDY/3.1")) {
		(void)ohttp_upgrade(r, "SPDY/3.1", &h, 1, &k_ops, NULL, &k_stream);
		return;
	}
	if (strstr(k_path, "/packed")) {
		k_packed(r);
		return;
	}
	if (strstr(k_path, "/page")) {
		ohttp_reply_start(r, 200, &(struct ohttp_header)OHTTP_HEADER("Content-Type", "text/html; charset=utf-8"), 1);
		(void)ohttp_write_copy(r, "<a hre", 6);
		(void)ohttp_write_copy(r, "f=\"/x\">x</a> <a", 16);
		ohttp_end(r);
		return;
	}
	if (strstr(k_path, "/moved")) {
		ohttp_reply_start(r, 302, &(struct ohttp_header)OHTTP_HEADER("Location", "/new?a=b"), 1);
		ohttp_end(r);
		return;
	}
	ohttp_reply_start(r, 200, &(struct ohttp_header)OHTTP_HEADER("Content-Type", "text/plain"), 1);
	(void)ohttp_write_copy(r, "line 1\n", 7);
	(void)ohttp_write_copy(r, "line 2\n", 7);
	ohttp_end(r);
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

static char *path(const char *name)
{
	static char buf[8][200];
	static int n;
	char *p = buf[n++ & 7];

	snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return p;
}

static void client_init(struct client *c, const char *name)
{
	char crt[32], key[32];
	struct otls_config cfg = { .ca_path = path("ca.crt") };
	struct orlop_error err = ORLOP_ERROR_INIT;

	snprintf(crt, sizeof(crt), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	if (name[0]) {
		cfg.cert_path = path(crt);
		cfg.key_path = path(key);
	}
	if (otls_client_new(&cfg, &c->tls, &err) < 0 || ohttp_client_new(host, c->tls, &c->http) < 0)
		otap_bail_out(err.msg);
}

static void client_done(struct client *c)
{
	ohttp_client_free(c->http);
	otls_ctx_free(c->tls);
}

static void make_files(void)
{
	struct opki_cert_spec ca_spec = { .cn = "ca", .use = OPKI_CERT_CA, .now = time(NULL) };
	const char *const sans[] = { "localhost", "127.0.0.1", NULL };
	const char *const masters[] = { "system:masters", NULL };
	const char *const nodes[] = { "system:nodes", NULL };
	struct opki_cert_spec spec[] = {
		{ .cn = "api", .sans = sans, .use = OPKI_CERT_SERVER, .now = time(NULL) },
		{ .cn = "admin", .orgs = masters, .use = OPKI_CERT_CLIENT, .now = time(NULL) },
		{ .cn = "system:node:n1", .orgs = nodes, .use = OPKI_CERT_CLIENT, .now = time(NULL) },
		{ .cn = "apiserver-kubelet", .use = OPKI_CERT_CLIENT, .now = time(NULL) },
	};
	static const char *const names[] = { "api", "admin", "node", "kc" };
	static const char tokens[] = "secret-token,alice,7,\"dev,ops\"\n";
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct opki_key *key, *other;
	struct opki_cert *ca, *bad;
	struct obuf b = OBUF_INIT;

	if (opki_key_new(&key) || opki_cert_new(&ca_spec, key, NULL, NULL, &ca) || opki_key_new(&other) ||
	    opki_cert_new(&ca_spec, other, NULL, NULL, &bad))
		otap_bail_out("pki");
	for (int i = 0; i < 4; i++)
		if (opki_issue_files(dir, names[i], &spec[i], ca, key, &err) < 0)
			otap_bail_out(err.msg);
	(void)opki_issue_files(dir, "stranger", &spec[1], bad, other, &err);
	(void)opki_cert_pem(ca, &b);
	(void)ofile_write(AT_FDCWD, path("ca.crt"), b.data, b.len, 0644);
	obuf_reset(&b);
	(void)opki_key_pem(key, &b);
	(void)ofile_write(AT_FDCWD, path("sa.key"), b.data, b.len, 0600);
	(void)ofile_write(AT_FDCWD, path("tokens"), tokens, sizeof(tokens) - 1, 0600);
	obuf_done(&b);
	opki_key_free(key);
	opki_key_free(other);
	opki_cert_free(ca);
	opki_cert_free(bad);
}

static int is_ready(void *arg)
{
	return fakehost_is_ready(fh, NULL) || (fakehost_failed(fh, NULL) && arg == NULL);
}

/* A free port: bound for a moment. Of a loopback address of our own, where nobody else finds it free meanwhile. */
static void choose_port(void)
{
	struct orlop_listener *l;
	struct orlop_error err = ORLOP_ERROR_INIT;
	char any[32];

	(void)snprintf(any, sizeof(any), "127.%d.%d.1:0", 1 + (getpid() >> 8) % 254, getpid() & 255);
	if (host->listen(host, any, NULL, NULL, &l, &err) < 0)
		otap_bail_out(err.msg);
	host->listener_addr(l, api, sizeof(api));
	host->listener_close(l);
}

static void start(struct otls_ctx **ret_ktls)
{
	struct ohttp_server_config k = { .listen = "127.0.0.1:0", .on_request = k_request };
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	rig.fh = fh;
	host = fakehost_host(fh);
	fakehost_real_clock(fh);
	fakehost_set_wall(fh, (uint64_t)time(NULL) * FAKEHOST_S);
	fakehost_serve(fh, "storage", rig_serve, &rig);
	make_files();
	choose_port();
	fakehost_param(fh, "listen", api);
	fakehost_param(fh, "cert", path("api.crt"));
	fakehost_param(fh, "key", path("api.key"));
	fakehost_param(fh, "client_ca", path("ca.crt"));
	fakehost_param(fh, "sa_key", path("sa.key"));
	fakehost_param(fh, "token_file", path("tokens"));
	fakehost_param(fh, "kubelet_ca", path("ca.crt"));
	fakehost_param(fh, "kubelet_cert", path("kc.crt"));
	fakehost_param(fh, "kubelet_key", path("kc.key"));
	is_int(fakehost_load(fh, &orlop_module, &err), 0, "the module loads %s", err.msg);
	(void)fakehost_run_until(fh, is_ready, NULL, 60 * FAKEHOST_S);
	ok(fakehost_is_ready(fh, NULL), "and becomes ready: %s",
	   fakehost_failed(fh, NULL) ? fakehost_failed(fh, NULL) : "");
	if (otls_server_new(&(struct otls_config){ .cert_path = path("api.crt"), .key_path = path("api.key"),
			    .ca_path = path("ca.crt") }, ret_ktls, &err) < 0)
		otap_bail_out(err.msg);
	k.h = host;
	k.tls = *ret_ktls;
	if (ohttp_server_new(&k, &kubelet, &err) < 0)
		otap_bail_out(err.msg);
	ohttp_server_addr(kubelet, kubelet_addr, sizeof(kubelet_addr));
	client_init(&admin, "admin");
	client_init(&node, "node");
	client_init(&stranger, "stranger");
	client_init(&nobody, "");
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

#define BEARER(t) (const char *const[]){ "Authorization", "Bearer " t, NULL }

static void test_who(void)
{
	static const struct {
		struct client	*c;
		const char	*target;
		int		status;
		const char	*text;
	} t[] = {
		{ &nobody, "/version", 200, "v1.36" },
		{ &nobody, "/readyz", 200, "ok" },
		{ &nobody, "/livez?verbose", 200, "livez check passed" },
		{ &nobody, "/readyz/ping", 403, "cannot get path" },
		{ &admin, "/readyz/ping", 200, "ok" },
		{ &admin, "/readyz/nothing", 404, "not found" },
		{ &nobody, "/api", 403, "system:anonymous" },
		{ &nobody, "/metrics", 403, "cannot get path" },
		{ &nobody, "/api/v1/pods", 403, "User \\\"system:anonymous\\\" cannot list resource \\\"pods\\\"" },
		{ &stranger, "/version", 401, "Unauthorized" },
		{ &admin, "/api/v1/pods", 200, "\"items\":[]" },
		{ &admin, "/api", 200, "APIVersions" },
		{ &admin, "/apis", 200, "APIGroupList" },
		{ &admin, "/apis/apps/v1", 200, "deployments/scale" },
		{ &admin, "/apis/apps/v7", 404, "NotFound" },
		{ &admin, "/api/v1/nothing", 404, "could not find" },
		{ &admin, "/nothing", 404, "404 page not found" },
		{ &admin, "/api/v1/namespaces/default/pods/x%zz", 400, "BadRequest" },
		{ &admin, "/api/v1/namespaces/default/pods/none", 404, "pods \\\"none\\\" not found" },
		{ &node, "/api/v1/nodes", 403, "Forbidden" },
		{ &node, "/api/v1/nodes?fieldSelector=metadata.name%3Dn1", 200, "NodeList" },
		{ &node, "/api/v1/pods", 403, "system:node:n1" },
		{ &node, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", 200, "PodList" },
		{ &node, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", 403, "Forbidden" },
		{ &node, "/api/v1/secrets", 403, "Forbidden" },
	};
	struct ans a = { 0 };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		is_int(ask(t[i].c, &a, "GET", t[i].target, NULL, NULL), t[i].status, "GET %s", t[i].target);
		ok(has(&a, t[i].text), "… says %s: %.300s%s", t[i].text, obuf_cstr(&a.body), a.why);
	}
	is_int(ask(&nobody, &a, "GET", "/version", NULL, BEARER("wrong")), 401, "a wrong token, even for the version");
	is_int(ask(&nobody, &a, "GET", "/apis", NULL, BEARER("secret-token")), 200, "a static token");
	is_int(ask(&nobody, &a, "GET", "/api/v1/nodes", NULL, BEARER("secret-token")), 403, "may not all");
	ok(has(&a, "\\\"alice\\\""), "who it is: %s", obuf_cstr(&a.body));
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes", NULL, (const char *const[]){ "Impersonate-User", "bob", NULL }), 403,
	       "impersonation");
	ok(has(&a, "\\\"bob\\\""), "as bob");
	is_int(ask(&nobody, &a, "GET", "/apis", NULL, (const char *const[]){ "Authorization", "Bearer secret-token",
		"Impersonate-User", "admin", NULL }), 403, "not for everyone");
	ans_done(&a);
}

#define CM "/api/v1/namespaces/default/configmaps"

static void test_bodies(void)
{
	static const char cm[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}";
	/* Unknown{TypeMeta{"v1","ConfigMap"}, ConfigMap{metadata{name "p", generation 0}, data{"k":"v"}}} */
	static const char proto[] = "k8s\0\x0a\x0f\x0a\x02v1\x12\x09" "ConfigMap\x12\x0f\x0a\x05\x0a\x01p\x38\x00\x12\x06\x0a\x01k\x12\x01v";
	static const char yaml[] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata:\n  k: v\n";
	struct ans a = { 0 };
	char *big;

	is_int(ask(&admin, &a, "POST", CM, cm, NULL), 201, "create");
	ok(strstr(obuf_cstr(&a.headers), "Audit-Id: ") && strstr(obuf_cstr(&a.headers), "no-cache, private"), "headers");
	is_int(ask(&admin, &a, "POST", CM, cm, NULL), 409, "twice");
	send_request(&admin, &a, "POST", CM, "application/vnd.kubernetes.protobuf", proto, sizeof(proto) - 1, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 201, "protobuf: %s", obuf_cstr(&a.body));
	ok(has(&a, "\"name\":\"p\"") && has(&a, "\"data\":{\"k\":\"v\"}") && !has(&a, "generation"), "read as meant");
	send_request(&admin, &a, "POST", CM, "application/vnd.kubernetes.protobuf", proto, sizeof(proto) - 3, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 400, "cut protobuf");
	send_request(&admin, &a, "POST", CM, "application/yaml", yaml, sizeof(yaml) - 1,
		     (const char *const[]){ "Accept", "application/yaml", NULL });
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	ok(a.status == 201 && has(&a, "\nkind: ConfigMap\n"), "YAML both ways: %s", obuf_cstr(&a.body));
	send_request(&admin, &a, "POST", CM, "application/yaml", "a: [", 4, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 400, "broken YAML");
	send_request(&admin, &a, "POST", CM, "text/html", "x", 1, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 415, "unknown type");
	send_request(&admin, &a, "PATCH", CM "/a", "application/json", "{}", 2, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 415, "unknown patch");
	is_int(ask(&admin, &a, "POST", "/api/v1/configmaps", cm, NULL), 405, "create without namespace");
	is_int(ask(&admin, &a, "PUT", CM, cm, NULL), 405, "update of a collection");
	is_int(ask(&admin, &a, "GET", CM, NULL, (const char *const[]){ "Accept", "image/png", NULL }), 406, "not acceptable");
	is_int(ask(&admin, &a, "GET", CM, NULL, (const char *const[]){ "Accept",
		"application/vnd.kubernetes.protobuf,application/json;q=0.9", NULL }), 200, "protobuf for who prefers it");
	ok(strstr(obuf_cstr(&a.headers), "Content-Type: application/vnd.kubernetes.protobuf") && a.body.len > 4 && !memcmp(a.body.data, "k8s", 4),
	   "is that: %s", obuf_cstr(&a.headers));
	is_int(ask(&admin, &a, "GET", CM, NULL, (const char *const[]){ "Accept",
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", NULL }), 200, "a table");
	ok(has(&a, "\"kind\":\"Table\""), "is one");
	is_int(ask(&admin, &a, "GET", CM "/a", NULL, (const char *const[]){ "User-Agent", "curl/7", NULL }), 200, "for people");
	ok(has(&a, "{\n  \"kind\": \"ConfigMap\",\n"), "indented");
	big = malloc(4 << 20);
	memset(big, ' ', 4 << 20);
	send_request(&admin, &a, "POST", CM, "application/json", big, 4 << 20, NULL);
	(void)fakehost_run_until(fh, is_over, &a, 60 * FAKEHOST_S);
	is_int(a.status, 413, "more than 3 MiB");
	free(big);
	ans_done(&a);
}

static int has_event(void *arg)
{
	struct ans *a = arg;

	return a->over || strstr(obuf_cstr(&a->body), "\"name\":\"seen\"") != NULL;
}

static void test_watch(void)
{
	struct ans w = { 0 };
	struct ans a = { 0 };

	send_request(&admin, &w, "GET", CM "?watch=true", NULL, NULL, 0, NULL);
	is_int(ask(&admin, &a, "POST", CM, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"seen\"}}",
		   NULL), 201, "created beside a watch");
	ok(fakehost_run_until(fh, has_event, &w, 60 * FAKEHOST_S) && !w.over, "which sees it");
	ok(has(&w, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\""), "as an event");
	ans_done(&w);
	is_int(ask(&admin, &a, "GET", CM "?watch=1&timeoutSeconds=1", NULL, NULL), 200, "a watch ends by itself");
	is_int(a.err, 0, "in order");
	ans_done(&a);
}

static void test_accounts(void)
{
	struct ans a = { 0 };
	struct ojson *j = NULL;
	char auth[4000] = "Bearer ";
	const char *const more[] = { "Authorization", auth, NULL };

	(void)ask(&admin, &a, "POST", "/api/v1/namespaces/default/serviceaccounts",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"bot\"}}", NULL);
	is_int(ask(&admin, &a, "POST", "/api/v1/namespaces/default/serviceaccounts/bot/token",
		   "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{}}", NULL), 201,
	       "a token: %s", obuf_cstr(&a.body));
	if (ojson_parse(obuf_cstr(&a.body), a.body.len, &j, NULL) == 0)
		snprintf(auth + 7, sizeof(auth) - 7, "%s", ojson_cstr(OJSON_AT(j, "status", "token"), ""));
	ojson_unref(j);
	is_int(ask(&nobody, &a, "GET", "/apis", NULL, more), 200, "discovery with it");
	is_int(ask(&nobody, &a, "GET", "/api/v1/pods", NULL, more), 403, "no more");
	ok(has(&a, "system:serviceaccount:default:bot"), "who it is");
	is_int(ask(&nobody, &a, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
		   "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"SelfSubjectReview\"}", more), 201, "self review");
	ok(has(&a, "system:serviceaccounts:default"), "with groups: %s", obuf_cstr(&a.body));
	auth[strlen(auth) - 3] ^= 1;
	is_int(ask(&nobody, &a, "GET", "/apis", NULL, more), 401, "not when changed");
	auth[strlen(auth) - 3] ^= 1;
	is_int(ask(&admin, &a, "DELETE", "/api/v1/namespaces/default/serviceaccounts/bot", NULL, NULL), 200, "deleted");
	is_int(ask(&nobody, &a, "GET", "/apis", NULL, more), 401, "and the token with it");
	ans_done(&a);
}

static int has_echo(void *arg)
{
	struct ans *a = arg;

	return a->over || strstr(obuf_cstr(&a->body), "ping") != NULL;
}

static void test_kubelet(void)
{
	static const char pods[] = "/api/v1/namespaces/default/pods";
	const char *const spdy[] = { "Connection", "Upgrade", "Upgrade", "SPDY/3.1", "X-Stream-Protocol-Version",
		"v4.channel.k8s.io", NULL };
	struct ans a = { 0 };
	char body[800];

	(void)ask(&admin, &a, "POST", "/api/v1/namespaces/default/serviceaccounts",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}", NULL);
	snprintf(body, sizeof(body), "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"},\"status\":{\"addresses\":"
		 "[{\"type\":\"InternalIP\",\"address\":\"127.0.0.1\"}],\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":%d}}}}",
		 atoi(strrchr(kubelet_addr, ':') + 1));
	is_int(ask(&node, &a, "POST", "/api/v1/nodes", body, NULL), 201, "a node registers itself: %s", obuf_cstr(&a.body));
	is_int(ask(&admin, &a, "PUT", "/api/v1/nodes/n1/status", body, NULL), 200, "its address: %s", obuf_cstr(&a.body));
	is_int(ask(&admin, &a, "POST", "/api/v1/namespaces/default/secrets",
		   "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s1\"}}", NULL), 201, "a secret");
	is_int(ask(&node, &a, "GET", "/api/v1/namespaces/default/secrets/s1", NULL, NULL), 403, "not the node's");
	is_int(ask(&admin, &a, "POST", pods,
		   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"nodeName\":\"n1\","
		   "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s1\"}}],"
		   "\"containers\":[{\"name\":\"c\",\"image\":\"i\"},{\"name\":\"d\",\"image\":\"i\"}]}}", NULL), 201,
	       "a pod that mounts it: %s", obuf_cstr(&a.body));
	is_int(ask(&node, &a, "GET", "/api/v1/namespaces/default/secrets/s1", NULL, NULL), 200, "now it is");
	is_int(ask(&node, &a, "DELETE", "/api/v1/namespaces/default/secrets/s1", NULL, NULL), 403, "to read");

	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/log", NULL, NULL), 400, "log of which container");
	ok(has(&a, "choose one of: [c d]"), "names them: %s", obuf_cstr(&a.body));
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/log?container=z", NULL, NULL), 400, "an unknown one");
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/log?container=c&follow=true", NULL, NULL), 200,
	       "log: %s", obuf_cstr(&a.body));
	is_str(obuf_cstr(&a.body), "line 1\nline 2\n", "its text");
	is_str(k_path, "/containerLogs/default/web/c?follow=true", "asked of the kubelet");
	is_str(k_who, "apiserver-kubelet", "by our name");
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/log?container=c&stream=a%26b%20%0Ac", NULL, NULL), 200, "an odd one");
	is_str(k_path, "/containerLogs/default/web/c?stream=a%26b%20%0Ac", "a value stays a value");
	is_int(ask(&nobody, &a, "GET", "/api/v1/namespaces/default/pods/web/log?container=c", NULL, NULL), 403, "not for all");

	is_int(ask(&admin, &a, "OPTIONS", "/api/v1/namespaces/default/pods/web/log", NULL, NULL), 405, "a method nobody knows");

	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n1/proxy/stats/a%2Fb/?x=1&y=%20", NULL, NULL), 200, "a node by proxy: %s",
	       obuf_cstr(&a.body));
	is_str(k_path, "/stats/a%2Fb/?x=1&y=%20", "path and query as they were sent");
	is_str(obuf_cstr(&a.body), "line 1\nline 2\n", "what it said");
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n1/proxy/a/page/?b", NULL, NULL), 200, "a page by proxy");
	is_str(obuf_cstr(&a.body), "<a href=\"/api/v1/nodes/n1/proxy/x\">x</a> <a", "its links lead there again");
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n1/proxy/packed", NULL, NULL), 200, "a compressed page by proxy");
	is_str(unpacked(&a), "<a href=\"/api/v1/nodes/n1/proxy/x\">x</a>", "its links, too, and it stays compressed");
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n1/proxy/moved", NULL, NULL), 302, "a redirect by proxy");
	ok(strstr(obuf_cstr(&a.headers), "/api/v1/nodes/n1/proxy/new?a=b") != NULL, "leads there too: %s", obuf_cstr(&a.headers));
	is_int(ask(&admin, &a, "POST", "/api/v1/nodes/n1/proxy/run", "{}", NULL), 200, "any method");
	is_int(ask(&nobody, &a, "GET", "/api/v1/nodes/n1/proxy/stats", NULL, NULL), 403, "not for all");
	is_int(ask(&node, &a, "GET", "/api/v1/nodes/n1/proxy/stats", NULL, NULL), 403, "not for nodes");
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n1/proxy?a=b", NULL, NULL), 301, "a slash belongs to it");
	ok(strstr(obuf_cstr(&a.headers), "/api/v1/nodes/n1/proxy/?a=b") != NULL, "it is said where");
	is_int(ask(&admin, &a, "GET", "/api/v1/nodes/n2/proxy/", NULL, NULL), 404, "no such node");
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/proxy/", NULL, NULL), 400, "a pod without an address");
	for (size_t i = 0; i < 6; i++) {
		static const char *const ips[] = { "127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "224.0.0.1" };

		snprintf(body, sizeof(body), "{\"status\":{\"podIP\":\"%s\",\"podIPs\":[{\"ip\":\"%s\"}]}}", ips[i], ips[i]);
		is_int(merge(&admin, &a, "/api/v1/namespaces/default/pods/web/status", body), 200, "a pod claims %s: %s", ips[i],
		       obuf_cstr(&a.body));
		is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web:80/proxy/", NULL, NULL), 400, "which is not asked");
	}
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/ftp:web:21/proxy/", NULL, NULL), 400, "an odd scheme");
	ok(has(&a, "invalid pod request \\\"ftp:web:21\\\""), "is named: %s", obuf_cstr(&a.body));
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/services/web/proxy/", NULL, NULL), 404, "no such Service");

	is_int(ask(&admin, &a, "POST", "/api/v1/namespaces/default/pods/web/exec?container=c&command=ls", NULL, NULL), 400,
	       "exec wants an upgrade");
	send_request(&admin, &a, "POST", "/api/v1/namespaces/default/pods/web/exec?container=c&stdin=true&stdout=1&stderr=0"
		     "&tty=true&command=sh&command=-c&command=echo%20a", NULL, NULL, 0, spdy);
	(void)fakehost_run_until(fh, has_echo, &a, 60 * FAKEHOST_S);
	is_int(a.status, 101, "exec: %s", obuf_cstr(&a.body));
	ok(has(&a, "ping") && !a.over, "bytes go there and back");
	ok(strstr(obuf_cstr(&a.headers), "v4.channel.k8s.io") != NULL, "the protocol is passed on");
	is_str(k_path, "/exec/default/web/c?input=1&output=1&tty=1&command=sh&command=-c&command=echo%20a", "what was asked");
	ohttp_stream_close(TAKE(a.s));
	ans_done(&a);
	ohttp_server_free(kubelet);
	kubelet = NULL;
	is_int(ask(&admin, &a, "GET", "/api/v1/namespaces/default/pods/web/log?container=c", NULL, NULL), 502,
	       "a kubelet that is away: %s", obuf_cstr(&a.body));
	ans_done(&a);
}

int main(void)
{
	struct otls_ctx *ktls = NULL;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		otap_bail_out("mkdtemp");
	start(&ktls);
	test_who();
	test_bodies();
	test_watch();
	test_accounts();
	test_kubelet();
	client_done(&node);
	client_done(&stranger);
	client_done(&nobody);
	client_done(&admin);
	otls_ctx_free(ktls);
	fakehost_free(TAKE(fh));
	pass("everything ends");
	for (size_t i = 0; i < rig.n; i++) {
		omem_free(rig.v[i].key);
		omem_free(rig.v[i].value);
	}
	free(rig.v);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
