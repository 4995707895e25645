/*
 * kind-csr.c - CertificateSigningRequests: who asks is whoever sent the request, and stays so; what is asked, and by whom it may
 * be approved and signed.
 *
 * Source: upstream's pkg/apis/certificates/validation and plugin/pkg/admission/certificates.
 */
#include "kinds.h"
#include "write.h"

#include "base/oenc.h"
#include "json/ojson.h"
#include "pki/opki.h"

#include <errno.h>

static int keep(struct ojson *to, const struct ojson *from, const char *key)
{
	struct ojson *v = ojson_get(from, key);

	if (v)
		return ojson_set(to, key, ojson_ref(v));
	ojson_del(to, key);
	return 0;
}

static bool is_verdict(const struct ojson *condition)
{
	const struct ojson *type = ojson_get(condition, "type");

	return ojson_string_is(type, "Approved") || ojson_string_is(type, "Denied");
}

/* The condition of the same type and status before. */
static const struct ojson *before(const struct ojson *list, const struct ojson *condition)
{
	OJSON_FOREACH_ELEM(i, o, list)
		if (ojson_equal(ojson_get(o, "type"), ojson_get(condition, "type")) &&
		    ojson_equal(ojson_get(o, "status"), ojson_get(condition, "status")))
			return o;
	return NULL;
}

/* Each condition says since when; verdicts come by way of approval only. */
static int conditions(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *status = ojson_get(obj, "status"), *was = OJSON_AT(old, "status", "conditions");
	struct ojson *is = ojson_get(status, "conditions"), *out = ojson_new_array();
	bool by_status = rb_is(op->rq.sub, "status");
	int r = out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(k, w, was)
		if (r == 0 && by_status && is_verdict(w))
			r = ojson_append(out, ojson_ref(w));
	OJSON_FOREACH_ELEM(i, c, is) {
		struct ojson *copy = NULL;
		const struct ojson *same = before(was, c);

		if (r || (by_status && is_verdict(c)))
			continue;
		r = ojson_copy(c, &copy);
		if (r == 0 && !ojson_get(copy, "lastUpdateTime"))
			r = ojson_set_cstr(copy, "lastUpdateTime", reg_now(op));
		if (r == 0 && !ojson_get(copy, "lastTransitionTime"))
			r = ojson_set_cstr(copy, "lastTransitionTime",
					   same ? ojson_get_cstr(same, "lastTransitionTime", reg_now(op)) : reg_now(op));
		if (r == 0)
			r = ojson_append(out, copy);
		else
			ojson_unref(copy);
	}
	if (r || ojson_count(out) == 0) {
		ojson_unref(out);
		return r;
	}
	return ojson_set(status, "conditions", out);
}

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	static const char *const who_asks[] = { "username", "uid", "groups", "extra" };
	const struct orlop_identity *who = op->rq.who;
	struct ojson *spec = ojson_ensure_object(obj, "spec"), *groups;
	int r = spec ? 0 : -ENOMEM;

	if (r == 0 && old)	/* what is asked stays as it was asked */
		r = keep(obj, old, "spec");
	spec = ojson_get(obj, "spec");
	for (size_t i = 0; r == 0 && i < sizeof(who_asks) / sizeof(*who_asks); i++)
		r = keep(spec, ojson_get(old, "spec"), who_asks[i]);
	if (r == 0 && !old) {
		r = ojson_set_string(spec, "username", who->user.p, who->user.len);
		if (r == 0 && who->uid.len)
			r = ojson_set_string(spec, "uid", who->uid.p, who->uid.len);
		groups = r == 0 && who->n_groups ? ojson_ensure_array(spec, "groups") : NULL;
		for (uint32_t i = 0; groups && r == 0 && i < who->n_groups; i++)
			r = ojson_append(groups, ojson_new_string(who->groups[i].p, who->groups[i].len));
	}
	if (r == 0 && !old && op->rq.extra && op->rq.extra[0]) {
		struct ojson *extra = NULL;

		if (ojson_parse(op->rq.extra, strlen(op->rq.extra), &extra, NULL) == 0)
			r = ojson_set(spec, "extra", extra);
	}
	if (r == 0 && old && op->rq.sub.len && ojson_get(obj, "status"))
		r = conditions(op, obj, old);
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

/* ---- what is asked ---- */

#define CLIENT_SIGNER "kubernetes.io/kube-apiserver-client"

/* A member of type bytes, decoded. 0 or -errno; nothing if there is none. */
static int decoded(const struct ojson *o, const char *key, struct obuf *out)
{
	struct orlop_bytes in = ojson_get_bytes(o, key);
	char *raw = omem_alloc(OBASE64_DECODED(in.len) + 1);
	long n = raw ? obase64_decode(OBASE64_STD, in.p ? in.p : "", in.len, raw, NULL) : -ENOMEM;

	if (n > 0)
		obuf_append(out, raw, (size_t)n);
	omem_free(raw);
	return n < 0 ? (int)n : obuf_err(out);
}

/* As Go prints bytes: []byte{0x61, 0x62} */
static void put_go_bytes(struct obuf *b, const struct obuf *v)
{
	obuf_puts(b, "[]byte{");
	for (size_t i = 0; i < v->len && i < 4096; i++)
		obuf_printf(b, "%s0x%x", i ? ", " : "", (unsigned int)(unsigned char)v->data[i]);
	obuf_putc(b, '}');
}

static bool is_label(const char *p, size_t n)
{
	bool good = n > 0 && n < 64 && p[0] != '-' && p[n - 1] != '-';

	for (size_t i = 0; good && i < n; i++)
		good = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '-';
	return good;
}

static bool is_domain(const char *p, size_t n)
{
	size_t at = 0, dots = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && p[i] != '.')
			continue;
		if (!is_label(p + at, i - at))
			return false;
		dots += i < n;
		at = i + 1;
	}
	return dots > 0;
}

static void signer_check(struct reg_op *op, struct orlop_bytes name)
{
	const char *slash = name.len ? memchr(name.p, '/', name.len) : NULL;
	size_t n = slash ? (size_t)(slash - name.p) : 0;

	if (!name.len)
		reg_cause(op, "FieldValueRequired", "spec.signerName", "Required value: signerName must be provided");
	else if (!slash || memchr(slash + 1, '/', name.len - n - 1) || n + 1 == name.len)
		reg_cause(op, "FieldValueInvalid", "spec.signerName", "Invalid value: \"%.*s\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
			  OB(name));
	else if (!is_domain(name.p, n))
		reg_cause(op, "FieldValueInvalid", "spec.signerName", "Invalid value: \"%.*s\": should be a domain with at least two segments separated by dots",
			  (int)n, name.p);
	else if (rb_is(name, "kubernetes.io/legacy-unknown"))
		reg_cause(op, "FieldValueInvalid", "spec.signerName", "Invalid value: \"%.*s\": the legacy signerName is not allowed via this API version",
			  OB(name));
}

static void request_check(struct reg_op *op, const struct ojson *spec, struct opki_request **ret)
{
	struct obuf pem = OBUF_INIT, v = OBUF_INIT;

	if (!ojson_get_bytes(spec, "request").len)
		reg_cause(op, "FieldValueInvalid", "spec.request", "Invalid value: []byte(nil): PEM block type must be CERTIFICATE REQUEST");
	else if (decoded(spec, "request", &pem) || opki_request_parse(obuf_cstr(&pem), pem.len, ret)) {
		put_go_bytes(&v, &pem);
		reg_cause(op, "FieldValueInvalid", "spec.request", "Invalid value: %s: PEM block type must be CERTIFICATE REQUEST", obuf_cstr(&v));
	}
	obuf_done(&pem);
	obuf_done(&v);
}

static void usages_check(struct reg_op *op, const struct ojson *spec)
{
	static const char *const known[] = { "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
		"data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system",
		"ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing",
		"s/mime", "server auth", "signing", "timestamping" };
	struct obuf all = OBUF_INIT;
	char field[40];

	if (ojson_count(ojson_get_array(spec, "usages")) == 0)
		reg_cause(op, "FieldValueRequired", "spec.usages", "Required value: usages must be provided");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		obuf_printf(&all, "%s\"%s\"", i ? ", " : "", known[i]);
	OJSON_FOREACH_ELEM(i, u, ojson_get_array(spec, "usages")) {
		bool good = false;

		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			good |= ojson_string_is(u, known[k]);
		snprintf(field, sizeof(field), "spec.usages[%u]", (unsigned int)i);
		if (!good && i < 100)
			reg_cause(op, "FieldValueNotSupported", field, "Unsupported value: \"%.*s\": supported values: %s", OB(ojson_bytes(u)),
				  obuf_cstr(&all));
	}
	obuf_done(&all);
}

/* ---- what is said to it ---- */

static const struct ojson *of_type(const struct ojson *list, struct orlop_bytes type)
{
	OJSON_FOREACH_ELEM(i, c, list)
		if (rb_eq(ojson_get_bytes(c, "type"), type))
			return c;
	return NULL;
}

static bool is_kept_type(struct orlop_bytes type)
{
	return rb_is(type, "Approved") || rb_is(type, "Denied") || rb_is(type, "Failed");
}

static void conditions_check(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	const struct ojson *is = OJSON_AT(obj, "status", "conditions"), *was = OJSON_AT(old, "status", "conditions");
	bool approved = false, denied = false;
	char field[60];

	OJSON_FOREACH_ELEM(i, c, is) {
		struct orlop_bytes type = ojson_get_bytes(c, "type");

		snprintf(field, sizeof(field), "status.conditions[%u].status", (unsigned int)i);
		if (is_kept_type(type) && ojson_get_bytes(c, "status").len && !rb_is(ojson_get_bytes(c, "status"), "True"))
			reg_cause(op, "FieldValueNotSupported", field, "Unsupported value: \"%.*s\": supported values: \"True\"",
				  OB(ojson_get_bytes(c, "status")));
		snprintf(field, sizeof(field), "status.conditions[%u].type", (unsigned int)i);
		if ((rb_is(type, "Approved") && denied) || (rb_is(type, "Denied") && approved))
			reg_cause(op, "FieldValueInvalid", field, "Invalid value: \"%.*s\": Approved and Denied conditions are mutually exclusive", OB(type));
		approved |= rb_is(type, "Approved");
		denied |= rb_is(type, "Denied");
	}
	OJSON_FOREACH_ELEM(i, c, was) {
		struct orlop_bytes type = ojson_get_bytes(c, "type");

		if (is_kept_type(type) && !of_type(is, type))
			reg_cause(op, "FieldValueForbidden", "status.conditions", "Forbidden: updates may not remove a condition of type \"%.*s\"", OB(type));
	}
	OJSON_FOREACH_ELEM(i, c, is) {
		struct orlop_bytes type = ojson_get_bytes(c, "type");

		if (is_kept_type(type) && !rb_is(type, "Failed") && !of_type(was, type) && !rb_is(op->rq.sub, "approval"))
			reg_cause(op, "FieldValueForbidden", "status.conditions", "Forbidden: updates may not add a condition of type \"%.*s\"", OB(type));
	}
}

static void certificate_check(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	struct orlop_bytes is = ojson_bytes(OJSON_AT(obj, "status", "certificate")), was = ojson_bytes(OJSON_AT(old, "status", "certificate"));
	struct obuf pem = OBUF_INIT;
	struct opki_cert *cert = NULL;

	if (rb_eq(is, was))
		return;
	if (was.len)
		reg_cause(op, "FieldValueForbidden", "status.certificate", "Forbidden: updates may not modify existing certificate content");
	else if (!rb_is(op->rq.sub, "status"))
		reg_cause(op, "FieldValueForbidden", "status.certificate", "Forbidden: updates may not set certificate content");
	else if (decoded(ojson_get(obj, "status"), "certificate", &pem) || opki_cert_parse(obuf_cstr(&pem), pem.len, &cert))
		reg_cause(op, "FieldValueInvalid", "status.certificate", "Invalid value: \"<certificate data>\": must contain one or more PEM blocks");
	opki_cert_free(cert);
	obuf_done(&pem);
}

/* ---- who may say it ---- */

/* The verb on the signer by name, or on all of its domain. */
static bool may(struct reg_op *op, const char *verb, struct orlop_bytes signer)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	const char *slash = memchr(signer.p, '/', signer.len);
	struct reg_attrs a = { .verb = RB(verb), .group = RB("certificates.k8s.io"), .version = RB("*"), .resource = RB("signers"), .name = signer };
	char *all;

	if (!hooks->authorize || hooks->authorize(hooks->arg, op->sh->h, op->rq.who, &a, NULL, 0) > 0)
		return true;
	all = slash ? oarena_printf(&op->arena, "%.*s/*", (int)(slash - signer.p), signer.p) : NULL;
	a.name = RB(all ? all : "");
	return all && hooks->authorize(hooks->arg, op->sh->h, op->rq.who, &a, NULL, 0) > 0;
}

static int rights_check(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	struct orlop_bytes signer = ojson_bytes(OJSON_AT(old ? old : obj, "spec", "signerName"));
	struct orlop_bytes name = ojson_get_bytes(ojson_get(obj, "metadata"), "name");
	const struct ojson *is = ojson_get(obj, "status"), *was = ojson_get(old, "status");
	struct orlop_bytes cert = ojson_get_bytes(is, "certificate");

	if (!old || !signer.len)
		return 0;
	if (rb_is(op->rq.sub, "approval") && !may(op, "approve", signer))
		return reg_forbidden(op, name, "user not permitted to approve requests with signerName \"%.*s\"", OB(signer));
	if (!rb_is(op->rq.sub, "status"))
		return 0;
	if ((!rb_eq(cert, ojson_get_bytes(was, "certificate")) ||
	     (of_type(ojson_get(is, "conditions"), RB("Failed")) && !of_type(ojson_get(was, "conditions"), RB("Failed")))) &&
	    !may(op, "sign", signer))
		return reg_forbidden(op, name, "user not permitted to sign requests with signerName \"%.*s\"", OB(signer));
	return 0;
}

/* Nobody becomes an administrator by a signature; nor a part of ours, or what kubelets take for us. */
static int subject_check(struct reg_op *op, const struct ojson *obj, const struct opki_request *q)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(obj, "metadata"), "name"), cn = q ? RB(opki_request_cn(q)) : RB0;
	const char *const *orgs;
	uint32_t n = q ? opki_request_orgs(q, &orgs) : 0;

	if (!q || !ojson_string_is(OJSON_AT(obj, "spec", "signerName"), CLIENT_SIGNER))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(orgs[i], "system:masters"))
			return reg_forbidden(op, name, "use of " CLIENT_SIGNER " signer with system:masters group is not allowed");
	if (reg_user_is_part(cn) || reg_user_is_kubelet(cn) || rb_is(cn, "kube-apiserver-kubelet-client"))
		return reg_forbidden(op, name, "use of " CLIENT_SIGNER " signer with the name %.*s is not allowed", OB(cn));
	return 0;
}

static int validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	const struct ojson *spec = ojson_get(obj, "spec");
	struct opki_request *q = NULL;
	int r = 0;

	if (!old) {
		request_check(op, spec, &q);
		signer_check(op, ojson_get_bytes(spec, "signerName"));
		usages_check(op, spec);
	} else {
		conditions_check(op, obj, old);
		certificate_check(op, obj, old);
	}
	if (!op->n_causes)
		r = old ? rights_check(op, obj, old) : subject_check(op, obj, q);
	opki_request_free(q);
	return r;
}

const struct reg_behaviour kind_csr = {
	.resource = "certificatesigningrequests.certificates.k8s.io",
	.prepare = prepare,
	.validate = validate,
};
