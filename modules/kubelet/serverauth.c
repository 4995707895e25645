/*
 * serverauth.c - who may ask the kubelet: the API server by its certificate; anybody else whom the API knows, by certificate
 * or token, and lets do it.
 *
 * The right is one to a subresource of our Node: nodes/stats, nodes/metrics, nodes/log, nodes/pods, nodes/healthz, nodes/configz,
 * nodes/proxy for everything and all others. Answers are kept for a while, as upstream does.
 * Source: pkg/kubelet/server/auth.go; kubernetes.io, "Kubelet authentication/authorization".
 */
#include "server.h"

#include <errno.h>
#include <string.h>

#include "base/osha256.h"
#include "base/ostr.h"
#include "tls/otls.h"

#define YES_NS		(int64_t)(120 * NS_PER_S)
#define NO_NS		(int64_t)(10 * NS_PER_S)
#define CACHE_MAX	512u

struct verdict {
	int64_t		until_ns;
	int		refused;	/* 0: may; 401, 403 */
};

struct ask {
	struct kubelet	*k;
	struct ohttp_req *r;		/* NULL: the client is gone */
	server_go_fn	go;
	struct ojson	*user;		/* of the review: user, groups, uid, extra */
	char		verb[12];
	const char	*sub;
	bool		fallback;	/* nodes/proxy may do as well */
	char		key[120];
};

/* ---- kept answers --------------------------------------------------------------------------------- */

void server_auth_free(struct server *s)
{
	OMAP_FOREACH(&s->verdicts, e)
		omem_free(e->value);
	omap_done(&s->verdicts);
	omap_init(&s->verdicts);
}

static void remember(struct server *s, const char *key, int refused)
{
	struct verdict *v = omap_get_cstr(&s->verdicts, key);

	if (!v && omap_count(&s->verdicts) >= CACHE_MAX)
		server_auth_free(s);
	if (!v) {
		v = OMEM_NEW(struct verdict);
		if (!v || omap_put_cstr(&s->verdicts, key, v)) {
			omem_free(v);
			return;
		}
	}
	v->refused = refused;
	v->until_ns = kubelet_now(s->k) + (refused ? NO_NS : YES_NS);
}

/* ---- what is asked for --------------------------------------------------------------------------------- */

static bool below(struct orlop_bytes path, const char *dir)
{
	size_t n = strlen(dir);

	return ostr_starts(path.p, path.len, dir) && (path.len == n || path.p[n] == '/');
}

static const char *subresource(struct orlop_bytes path, bool *ret_fallback)
{
	static const struct { const char *path; const char *sub; bool fallback; } subs[] = {
		{ "/stats", "stats", false }, { "/metrics", "metrics", false }, { "/logs", "log", false },
		{ "/pods", "pods", true }, { "/runningpods", "pods", true }, { "/healthz", "healthz", true },
		{ "/configz", "configz", true },
	};
	size_t i;

	for (i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
		if (below(path, subs[i].path)) {
			*ret_fallback = subs[i].fallback;
			return subs[i].sub;
		}
	}
	*ret_fallback = false;
	return "proxy";
}

static const char *verb_of(struct orlop_bytes method)
{
	return ostr_is(method.p, method.len, "POST") ? "create" : ostr_is(method.p, method.len, "PUT") ? "update"
		: ostr_is(method.p, method.len, "PATCH") ? "patch" : ostr_is(method.p, method.len, "DELETE") ? "delete" : "get";
}

static struct orlop_bytes bearer(const struct ohttp_req *r)
{
	struct orlop_bytes h = ohttp_header(r, "authorization");
	struct orlop_bytes none = { NULL, 0 };

	if (h.len <= 7 || (!ostr_starts(h.p, h.len, "Bearer ") && !ostr_starts(h.p, h.len, "bearer ")))
		return none;
	return (struct orlop_bytes){ h.p + 7, h.len - 7 };
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static void gone(void *arg, struct ohttp_req *r)
{
	struct ask *a = arg;

	(void)r;
	a->r = NULL;
}

static void end(struct ask *a, int refused, bool keep)
{
	struct ohttp_req *r = a->r;
	struct server *s = a->k->server;

	if (r && s) {
		if (keep)
			remember(s, a->key, refused);
		ohttp_on_close(r, NULL, NULL);
		if (refused == 403)
			server_text(r, 403, "Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=[%s])",
				    ojson_get_cstr(a->user, "user", ""), a->verb, a->sub);
		else if (refused)
			server_text(r, refused, refused == 401 ? "Unauthorized" : "the API server did not answer");
		else
			a->go(s, r);
	}
	ojson_unref(a->user);
	omem_free(a);
}

static void review(struct ask *a);

static void reviewed(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct ask *a = arg;
	bool yes = !status && code < 300 && ojson_bool(OJSON_AT(body, "status", "allowed"), false);

	(void)rev;
	if (!a->r || a->k->stopping) {
		end(a, 503, false);
	} else if (status || code >= 300) {
		end(a, 503, false);
	} else if (!yes && a->fallback) {
		a->fallback = false;
		a->sub = "proxy";
		review(a);
	} else {
		end(a, yes ? 0 : 403, true);
	}
}

static void review(struct ask *a)
{
	struct ojson *body = ojson_new_object();
	struct ojson *spec = NULL;
	struct ojson *what;
	struct okube_req q = { .verb = "create", .resource = "subjectaccessreviews.authorization.k8s.io", .body = body };
	int e = ojson_copy(a->user, &spec);

	(void)ojson_set_cstr(body, "kind", "SubjectAccessReview");
	(void)ojson_set_cstr(body, "apiVersion", "authorization.k8s.io/v1");
	what = ojson_ensure_object(spec, "resourceAttributes");
	(void)ojson_set_cstr(what, "verb", a->verb);
	(void)ojson_set_cstr(what, "version", "v1");
	(void)ojson_set_cstr(what, "resource", "nodes");
	(void)ojson_set_cstr(what, "subresource", a->sub);
	(void)ojson_set_cstr(what, "name", a->k->node_name);
	(void)ojson_set(body, "spec", spec);
	if (e || okube_call(a->k->h, &q, reviewed, a))
		end(a, 503, false);
	ojson_unref(body);
}

static void known(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct ask *a = arg;
	const struct ojson *st = ojson_get(body, "status");
	const struct ojson *user = ojson_get(st, "user");
	static const char *const names[][2] = { { "username", "user" }, { "uid", "uid" }, { "groups", "groups" }, { "extra", "extra" } };
	size_t i;

	(void)rev;
	if (!a->r || a->k->stopping || status || code >= 300) {
		end(a, 503, false);
		return;
	}
	if (!ojson_get_bool(st, "authenticated", false)) {
		end(a, 401, true);
		return;
	}
	for (i = 0; i < 4; i++)
		if (ojson_get(user, names[i][0]))
			(void)ojson_set(a->user, names[i][1], ojson_ref(ojson_get(user, names[i][0])));
	review(a);
}

static void identify(struct ask *a, struct orlop_bytes token)
{
	struct ojson *body = ojson_new_object();
	struct okube_req q = { .verb = "create", .resource = "tokenreviews.authentication.k8s.io", .body = body };

	(void)ojson_set_cstr(body, "kind", "TokenReview");
	(void)ojson_set_cstr(body, "apiVersion", "authentication.k8s.io/v1");
	(void)ojson_set_string(ojson_ensure_object(body, "spec"), "token", token.p, token.len);
	if (okube_call(a->k->h, &q, known, a))
		end(a, 503, false);
	ojson_unref(body);
}

static bool is_ours(const struct otls_peer *peer)
{
	size_t i;

	if (ostr_is(peer->cn.p, peer->cn.len, "kube-apiserver-kubelet-client"))
		return true;
	for (i = 0; i < peer->n_orgs; i++)
		if (ostr_is(peer->orgs[i].p, peer->orgs[i].len, "system:masters"))
			return true;
	return false;
}

void server_authorize(struct server *s, struct ohttp_req *r, server_go_fn go)
{
	const struct otls_peer *peer = ohttp_peer(r);
	bool cert = peer && peer->verified;
	struct orlop_bytes token = bearer(r);
	struct orlop_bytes who = cert ? peer->cn : token;
	unsigned char sum[OSHA256_LEN];
	struct osha256 sha;
	char hex[65];
	struct verdict *v;
	struct ask *a;
	size_t i;

	if (cert && is_ours(peer)) {
		go(s, r);
		return;
	}
	if (!who.len) {
		server_text(r, 401, "Unauthorized");
		return;
	}
	a = OMEM_NEW(struct ask);
	if (!a || !(a->user = ojson_new_object())) {
		omem_free(a);
		server_text(r, 500, "no memory");
		return;
	}
	a->k = s->k;
	a->r = r;
	a->go = go;
	a->sub = subresource(ohttp_path(r), &a->fallback);
	snprintf(a->verb, sizeof(a->verb), "%s", verb_of(ohttp_method(r)));
	osha256_init(&sha);
	osha256_add(&sha, who.p, who.len);
	for (i = 0; cert && i < peer->n_orgs; i++) {
		osha256_add(&sha, "\n", 1);
		osha256_add(&sha, peer->orgs[i].p, peer->orgs[i].len);
	}
	osha256_end(&sha, sum);
	for (i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(a->key, sizeof(a->key), "%d%s %s %s", cert, hex, a->verb, a->sub);
	v = omap_get_cstr(&s->verdicts, a->key);
	if (v && v->until_ns > kubelet_now(s->k)) {
		if (cert)
			(void)ojson_set_string(a->user, "user", peer->cn.p, peer->cn.len);
		end(a, v->refused, false);
		return;
	}
	ohttp_on_close(r, gone, a);
	if (!cert) {
		identify(a, token);
		return;
	}
	(void)ojson_set_string(a->user, "user", peer->cn.p, peer->cn.len);
	for (i = 0; i < peer->n_orgs; i++)
		(void)ojson_append(ojson_ensure_array(a->user, "groups"),
				   ojson_new_string(peer->orgs[i].p, peer->orgs[i].len));
	(void)ojson_append_cstr(ojson_ensure_array(a->user, "groups"), "system:authenticated");
	review(a);
}
