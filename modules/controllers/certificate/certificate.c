/*
 * certificate.c - CertificateSigningRequests: those of kubelets for themselves are approved if their users may have them, what is
 * approved is signed, and what is old goes away.
 *
 * One module for upstream's csrapproving, csrsigning and csrcleaner, which share an account there too. Nobody else needs the
 * authority's key while the cluster runs.
 * Source: upstream's pkg/controller/certificates, behaviour only.
 */
#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "authority.h"
#include "base/oenc.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"

#define CSRS		"certificatesigningrequests.certificates.k8s.io"
#define BACKDATE_S	300
#define SHORT_S		(8 * 3600)
#define KEEP_S		3600			/* with a certificate, or a no */
#define PENDING_S	(24 * 3600)
#define NS_PER_S	UINT64_C(1000000000)

struct certificate {
	struct octl	c;
	struct orlop_resource *csrs;
	struct authority ca;
	int64_t		most_s;
};

/* A review that is under way, and what it is about. */
struct asked {
	struct octl_task *t;
	struct ojson	*csr;
	bool		self;
};

static int64_t now_s(const struct orlop_host *h)
{
	return (int64_t)(h->now_wall(h) / NS_PER_S);
}

static bool has_condition(const struct ojson *csr, const char *type)
{
	return okube_condition(csr, type) != NULL;
}

static struct ojson *spec_of(const struct ojson *csr)
{
	return ojson_get(csr, "spec");
}

/* The request in it. NULL: there is none that can be read. */
static struct opki_request *request_of(const struct ojson *csr)
{
	struct orlop_bytes in = ojson_get_bytes(spec_of(csr), "request");
	struct opki_request *q = NULL;
	char *raw = omem_alloc(OBASE64_DECODED(in.len) + 1);
	long n = raw ? obase64_decode(OBASE64_STD, in.p ? in.p : "", in.len, raw, NULL) : -1;

	if (n <= 0 || opki_request_parse(raw, (size_t)n, &q))
		q = NULL;
	omem_free(raw);
	return q;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static int condition_add(struct certificate *m, struct ojson *csr, const char *type, const char *reason, const char *message)
{
	struct ojson *st = ojson_ensure_object(csr, "status"), *list = st ? ojson_ensure_array(st, "conditions") : NULL;

	if (!list)
		return -ENOMEM;
	(void)okube_condition_set(list, type, "True", reason, message, (int64_t)m->c.h->now_wall(m->c.h), true);
	return 0;
}

static int csr_update(struct octl_task *t, struct ojson *csr, const char *sub)
{
	struct okube_req req = { .verb = "update", .resource = CSRS, .sub = sub, .body = csr };
	const char *name = okube_meta(csr, "name");
	int e = ojson_set_cstr(csr, "kind", "CertificateSigningRequest");

	ojson_del(ojson_get(csr, "metadata"), "managedFields");
	if (!e)
		e = ojson_set_cstr(csr, "apiVersion", "certificates.k8s.io/v1");
	req.name = (struct orlop_bytes){ name, strlen(name) };
	if (!e)
		octl_send(t, &req);
	return e;
}

/* ---- approving --------------------------------------------------------------------------------------------------- */

static int review(struct certificate *m, struct asked *a);

static void asked_end(struct asked *a, bool failed)
{
	struct octl_task *t = a->t;

	ojson_unref(a->csr);
	omem_free(a);
	octl_release(t, failed);
}

static void reviewed(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct asked *a = arg;
	struct certificate *m = (struct certificate *)(void *)octl_of(a->t);
	int e;

	(void)rev;
	if (status < 0 || code >= 300) {
		asked_end(a, true);
		return;
	}
	if (ojson_bool(OJSON_AT(body, "status", "allowed"), false)) {
		e = condition_add(m, a->csr, "Approved", "AutoApproved",
				  a->self ? "Auto approving self kubelet client certificate after SubjectAccessReview." :
					    "Auto approving kubelet client certificate after SubjectAccessReview.");
		if (!e)
			e = csr_update(a->t, a->csr, "approval");
		asked_end(a, e != 0);
		return;
	}
	if (!a->self) {
		OLOG(m->c.h, INFO, "csr_not_approved", "name=%s user=%s text=\"its user may not have it by itself; somebody may approve it\"",
		     okube_meta(a->csr, "name"), ojson_get_cstr(spec_of(a->csr), "username", ""));
		octl_again(a->t, 60 * NS_PER_S);	/* the right may come later */
		asked_end(a, false);
		return;
	}
	a->self = false;
	if (review(m, a))
		asked_end(a, true);
}

/* May who asks have it? @a->self: by the right to his own, else by that to any node's. */
static int review(struct certificate *m, struct asked *a)
{
	static const char *const parts[][2] = { { "username", "user" }, { "uid", "uid" }, { "groups", "groups" }, { "extra", "extra" } };
	struct ojson *body = ojson_new_object(), *spec = ojson_ensure_object(body, "spec"), *what = ojson_ensure_object(spec, "resourceAttributes");
	struct okube_req req = { .verb = "create", .resource = "subjectaccessreviews.authorization.k8s.io", .body = body };
	int e = what ? 0 : -ENOMEM;

	for (size_t i = 0; !e && i < sizeof(parts) / sizeof(*parts); i++)
		if (ojson_get(spec_of(a->csr), parts[i][0]))
			e = ojson_set(spec, parts[i][1], ojson_ref(ojson_get(spec_of(a->csr), parts[i][0])));
	if (!e)
		e = ojson_set_cstr(body, "kind", "SubjectAccessReview");
	if (!e)
		e = ojson_set_cstr(body, "apiVersion", "authorization.k8s.io/v1");
	if (!e)
		e = ojson_set_cstr(what, "verb", "create");
	if (!e)
		e = ojson_set_cstr(what, "group", "certificates.k8s.io");
	if (!e)
		e = ojson_set_cstr(what, "version", "*");
	if (!e)
		e = ojson_set_cstr(what, "resource", "certificatesigningrequests");
	if (!e)
		e = ojson_set_cstr(what, "subresource", a->self ? "selfnodeclient" : "nodeclient");
	if (!e)
		e = okube_call(m->c.h, &req, reviewed, a);
	ojson_unref(body);
	return e;
}

static int approve(struct certificate *m, struct octl_task *t, struct ojson *csr, const struct opki_request *q)
{
	const struct ojson *spec = spec_of(csr);
	struct asked *a;
	int e;

	if (!signer_is_kubelet_client(ojson_get_cstr(spec, "signerName", ""), q, ojson_get(spec, "usages")))
		return 0;	/* somebody will decide */
	a = OMEM_NEW(struct asked);
	if (!a)
		return -ENOMEM;
	*a = (struct asked){ .t = t, .csr = ojson_ref(csr), .self = ojson_string_is(ojson_get(spec, "username"), opki_request_cn(q)) };
	octl_hold(t);
	e = review(m, a);
	if (e)
		asked_end(a, true);
	return 0;
}

/* ---- signing ------------------------------------------------------------------------------------------------------ */

static int certificate_put(struct ojson *csr, const struct opki_cert *cert)
{
	struct obuf pem = OBUF_INIT, b64 = OBUF_INIT;
	struct ojson *st = ojson_ensure_object(csr, "status");
	int e = st ? opki_cert_pem(cert, &pem) : -ENOMEM;

	if (!e) {
		obase64_append(&b64, OBASE64_STD, pem.data, pem.len);
		e = obuf_err(&b64);
	}
	if (!e)
		e = ojson_set_string(st, "certificate", obuf_cstr(&b64), b64.len);
	obuf_done(&pem);
	obuf_done(&b64);
	return e;
}

static int grant(struct certificate *m, struct ojson *csr, const struct opki_request *q)
{
	int64_t now = now_s(m->c.h), s = signer_seconds(ojson_get_i64(spec_of(csr), "expirationSeconds", 0), m->most_s);
	int64_t end = opki_cert_not_after(m->ca.cert);
	struct obuf key = OBUF_INIT, ext = OBUF_INIT;
	struct opki_grant g = { .not_before = now - BACKDATE_S, .not_after = s < SHORT_S ? now + s : now - BACKDATE_S + s };
	struct opki_cert *cert = NULL;
	int e;

	signer_usages(ojson_get(spec_of(csr), "usages"), &key, &ext);
	g.key_usage = obuf_cstr(&key);
	g.ext_key_usage = obuf_cstr(&ext);
	if (g.not_after > end)
		g.not_after = end;
	e = obuf_err(&key) || obuf_err(&ext) ? -ENOMEM : end <= now ? -EKEYEXPIRED : opki_request_sign(q, &g, m->ca.cert, m->ca.key, &cert);
	if (!e)
		e = certificate_put(csr, cert);
	opki_cert_free(cert);
	obuf_done(&key);
	obuf_done(&ext);
	return e;
}

static int sign(struct certificate *m, struct octl_task *t, struct ojson *csr, const struct opki_request *q)
{
	const struct ojson *spec = spec_of(csr);
	const char *signer = ojson_get_cstr(spec, "signerName", "");
	const char *why;
	char buf[120];
	int e;

	if (!m->ca.cert || !signer_is_ours(signer))
		return 0;	/* another signer's */
	why = signer_refuses(signer, q, ojson_get(spec, "usages"), buf, sizeof(buf));
	if (!why) {
		e = grant(m, csr, q);
		if (e == -EBADMSG)
			why = "the signature of the request is not made with its key";
		else if (e)
			return e;
	}
	if (why) {
		e = condition_add(m, csr, "Failed", "SignerValidationFailure", why);
		if (e)
			return e;
	}
	OLOG(m->c.h, INFO, why ? "csr_refused" : "csr_signed", "name=%s signer=%s%s%s", okube_meta(csr, "name"), signer, why ? " why=" : "",
	     why ? why : "");
	return csr_update(t, csr, "status");
}

/* ---- cleaning up -------------------------------------------------------------------------------------------------- */

/* When the last word was said to it (seconds), or @else_s. */
static int64_t since(const struct ojson *csr, const char *type, int64_t else_s)
{
	struct orlop_bytes v = ojson_get_bytes(okube_condition(csr, type), "lastUpdateTime");
	int64_t ns;

	return v.len && otime_parse(v.p, v.len, &ns) == 0 ? ns / (int64_t)NS_PER_S : else_s;
}

static int64_t gone_at(const struct ojson *csr, int64_t now)
{
	struct orlop_bytes v = ojson_get_bytes(ojson_get(csr, "metadata"), "creationTimestamp");
	int64_t ns = 0, made = v.len && otime_parse(v.p, v.len, &ns) == 0 ? ns / (int64_t)NS_PER_S : now;
	static const char *const types[] = { "Approved", "Denied", "Failed" };
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (has_condition(csr, types[i])) {
			int64_t end = since(csr, types[i], made) + KEEP_S;

			at = end < at ? end : at;
		}
	return at == INT64_MAX ? made + PENDING_S : at;
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static int certificate_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct certificate *m = (struct certificate *)(void *)c;
	struct opki_request *q;
	struct ojson *csr = NULL;
	int64_t left;
	int e = okube_find(c->h, m->csrs, ns, name, &csr);

	if (e)
		return e == -ENOENT ? 0 : e;
	left = gone_at(csr, now_s(c->h)) - now_s(c->h);
	if (okube_deleting(csr)) {
		ojson_unref(csr);
		return 0;
	}
	if (left <= 0) {
		const char *uid = okube_meta(csr, "uid");
		struct okube_req req = { .verb = "delete", .resource = CSRS, .name = name };
		struct ojson *body = ojson_new_object();

		e = body ? ojson_set_cstr(ojson_ensure_object(body, "preconditions"), "uid", uid) : -ENOMEM;
		req.body = body;
		if (!e)
			octl_send(t, &req);
		ojson_unref(body);
		ojson_unref(csr);
		return e;
	}
	q = request_of(csr);
	octl_again(t, ((uint64_t)left + 1) * NS_PER_S);
	if (q && !has_condition(csr, "Denied") && !has_condition(csr, "Failed") && !ojson_get_bytes(ojson_get(csr, "status"), "certificate").len)
		e = has_condition(csr, "Approved") ? sign(m, t, csr, q) : approve(m, t, csr, q);
	opki_request_free(q);
	ojson_unref(csr);
	return e;
}

static void csr_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type != ORLOP_CHANGE_DELETED)
		octl_add(arg, o->ns, o->name);
}

static void certificate_fini(void *ctx)
{
	struct certificate *m = ctx;

	octl_done(&m->c);
	authority_done(&m->ca);
	omem_free(m);
}

static int certificate_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct certificate *m = OMEM_NEW(struct certificate);
	int e;

	if (!m)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	m->most_s = h->param_int(h, "signing_duration_s");
	if (m->most_s < 600)
		e = orlop_fail(err, EINVAL, 0, "", "signing_duration_s must be 600 or more");
	else
		e = octl_init(&m->c, h, "certificate", "certificate-controller", certificate_sync, 4, err);
	if (!e)
		e = authority_load(&m->ca, h->param(h, "ca_file"), h->param(h, "ca_key_file"), err);
	if (!e)
		e = octl_follow(&m->c, CSRS, csr_changed, &m->csrs, err);
	if (e) {
		certificate_fini(m);
		return e;
	}
	if (!m->ca.cert)
		OLOG(h, INFO, "no_ca", "parameter=ca_key_file text=\"not set: no certificate is signed\"");
	*ret_ctx = m;
	return 0;
}

static const struct orlop_param params[] = {
	{ .name = "ca_file", .type = ORLOP_PARAM_STRING, .def = "", .help = "certificate of the authority that signs (PEM)" },
	{ .name = "ca_key_file", .type = ORLOP_PARAM_STRING, .def = "", .help = "its key (PEM); nobody else needs to read it" },
	{ .name = "signing_duration_s", .type = ORLOP_PARAM_INT, .def = "31536000",
	  .help = "seconds for which certificates are good at most" },
};

ORLOP_MODULE("certificate", "controllers", "0.1",
	"needs=api\0reads=certificatesigningrequests.certificates.k8s.io\0files=$ca_file,$ca_key_file\0"
	"asks=certificatesigningrequests.certificates.k8s.io;delete,"
	"certificatesigningrequests.certificates.k8s.io/approval;update,"
	"certificatesigningrequests.certificates.k8s.io/status;update,"
	"subjectaccessreviews.authorization.k8s.io;create\0"
	"user=system:serviceaccount:kube-system:certificate-controller",
	.license = "Apache-2.0",
	.summary = "approves and signs certificates of nodes and users, and forgets old requests",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &octl_ops,
	.init = certificate_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = certificate_fini,
	.health = octl_health);
