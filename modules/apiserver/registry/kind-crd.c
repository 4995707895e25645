/* kind-crd.c - CustomResourceDefinitions as objects: their status at first, deletion, what is valid. */
#include "custom.h"
#include "kinds.h"
#include "write.h"

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "json/ojson.h"
#include "pki/opki.h"

#include <errno.h>
#include <string.h>

#define FINALIZER "customresourcecleanup.apiextensions.k8s.io"

static const char *storage_version(const struct ojson *crd)
{
	OJSON_FOREACH_ELEM(i, v, ojson_get_array(ojson_get(crd, "spec"), "versions"))
		if (ojson_get_bool(v, "storage", false))
			return ojson_get_cstr(v, "name", "");
	return NULL;
}

static bool has_text(const struct ojson *list, const char *text)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, text))
			return true;
	return false;
}

/* As upstream as long as its gate CRDObservedGenerationTracking is off, which it is: these fields are known and not kept. */
static void forget_observed(struct reg_op *op, struct ojson *status)
{
	bool any = ojson_has(status, "observedGeneration");

	OJSON_FOREACH_ELEM(i, e, ojson_get_array(status, "conditions"))
		any = any || ojson_has(e, "observedGeneration");
	if (!any)
		return;
	ojson_del(status, "observedGeneration");
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(status, "conditions"))
		ojson_del(e, "observedGeneration");
	reg_dirty(op);
}

/* The version in which objects are stored from now on is among those in which some may be stored. */
static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *status, *stored, *names;
	struct ojson *conversion = ojson_get(ojson_get(obj, "spec"), "conversion"), *hook = ojson_get(conversion, "webhook");
	const char *version = storage_version(obj);
	int r = 0;

	forget_observed(op, ojson_get(obj, "status"));
	if (hook && !ojson_get(hook, "clientConfig") && !ojson_get(hook, "conversionReviewVersions"))
		ojson_del(conversion, "webhook");
	if (op->rq.sub.len && !(version && !ojson_count(OJSON_AT(obj, "status", "storedVersions"))))
		return 0;
	status = ojson_ensure_object(obj, "status");
	names = status ? ojson_ensure_object(status, "acceptedNames") : NULL;
	stored = status ? ojson_ensure_array(status, "storedVersions") : NULL;
	if (!stored || !names)
		return reg_failed(op, -ENOMEM, NULL);
	if (!old || !ojson_has(names, "plural")) {
		r = ojson_set_cstr(names, "plural", "");
		if (r == 0)
			r = ojson_set_cstr(names, "kind", "");
	}
	if (r == 0 && version && !has_text(stored, version)) {
		struct ojson *fresh = NULL;

		r = ojson_copy(stored, &fresh);
		if (r == 0)
			r = ojson_append_cstr(fresh, version);
		if (r == 0)
			r = ojson_set(status, "storedVersions", fresh);
	}
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

static void on_finding(void *arg, const char *reason, const char *field, const char *message)
{
	reg_cause(arg, reason, field, "%s", message);
}

static void on_warning(void *arg, const char *text)
{
	reg_warn(arg, "%s", text);
}

static struct orlop_bytes ca_bundle(const struct ojson *crd)
{
	return ojson_get_bytes(OJSON_AT(crd, "spec", "conversion", "webhook", "clientConfig"), "caBundle");
}

/* Why nobody could be trusted by these certificates, in upstream's words; NULL: one of them can be read. */
static const char *ca_broken(struct orlop_bytes bundle)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	cleanup_free char *pem = omem_alloc(bundle.len + 1);
	long n = pem ? obase64_decode(OBASE64_STD, bundle.p, bundle.len, pem, NULL) : -1;
	const char *at, *end = pem + (n > 0 ? n : 0);
	struct opki_cert *cert = NULL;
	bool any = false;

	for (at = pem; n > 0 && (at = memmem(at, (size_t)(end - at), begin, sizeof(begin) - 1)) != NULL; at++) {
		if (opki_cert_parse(at, (size_t)(end - at), &cert) == 0) {
			opki_cert_free(cert);
			return NULL;
		}
		any = true;
	}
	if (any)
		return "unable to load root certificates: failed to parse certificate: x509: malformed certificate";
	return n > 0 && memmem(pem, (size_t)n, "-----END ", 9) ? "unable to load root certificates: no valid certificate authority data seen" :
							       "unable to load root certificates: unable to parse bytes as PEM block";
}

/* What is served stays so: certificates that can be read are not replaced by such as cannot. Until then any are taken. */
static void check_ca(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	struct orlop_bytes now = ca_bundle(obj), was = ca_bundle(old);
	const char *why;

	if (!now.len || rb_eq(now, was) || !custom_established(old) || (was.len && ca_broken(was)))
		return;
	why = ca_broken(now);
	if (why)
		reg_cause(op, "FieldValueInvalid", "spec.conversion.webhookClientConfig.caBundle", "Invalid value: \"%.*s\": %s", OB(now), why);
}

static int validate(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	if (op->rq.sub.len) {
		ocrd_validate_status(obj, on_finding, op);
	} else {
		(void)ocrd_validate(obj, old, on_finding, on_warning, op);
		if (old)
			check_ca(op, obj, old);
	}
	return 0;
}

/* Its objects go first: a finalizer keeps it until they are gone. */
static int deleting(struct reg_op *op, struct ojson *old)
{
	struct ojson *obj = op->w->obj, *meta = ojson_get(obj, "metadata"), *list;
	int r = 0;

	if (ojson_get(ojson_get(old, "metadata"), "deletionTimestamp"))
		return 0;
	list = ojson_ensure_array(meta, "finalizers");
	if (!list)
		return reg_failed(op, -ENOMEM, NULL);
	if (!has_text(list, FINALIZER))
		r = ojson_append_cstr(list, FINALIZER);
	if (r == 0)
		r = custom_condition(ojson_ensure_object(obj, "status"), "Terminating", true, "InstanceDeletionPending",
				     "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
				     reg_now(op)) < 0 ? -ENOMEM : 0;
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_crd = {
	.resource = CRDS, .prepare = prepare, .validate = validate, .deleting = deleting,
};

/* 1: changed, 0: it was so, -ENOMEM. */
int custom_condition(struct ojson *status, const char *type, bool on, const char *reason, const char *message,
		     const char *now)
{
	struct ojson *list = status ? ojson_ensure_array(status, "conditions") : NULL, *c = NULL;
	const char *value = on ? "True" : "False";
	int r;

	if (!list)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(ojson_get(e, "type"), type))
			c = e;
	if (c && ojson_string_is(ojson_get(c, "status"), value) && ojson_string_is(ojson_get(c, "reason"), reason) &&
	    ojson_string_is(ojson_get(c, "message"), message))
		return 0;
	if (!c) {
		c = ojson_new_object();
		if (!c || ojson_append(list, c))
			return -ENOMEM;
		r = ojson_set_cstr(c, "type", type);
		if (r == 0)
			r = ojson_set_cstr(c, "lastTransitionTime", now);
	} else {
		r = ojson_string_is(ojson_get(c, "status"), value) ? 0 : ojson_set_cstr(c, "lastTransitionTime", now);
	}
	if (r == 0)
		r = ojson_set_cstr(c, "status", value);
	if (r == 0)
		r = ojson_set_cstr(c, "reason", reason);
	if (r == 0)
		r = ojson_set_cstr(c, "message", message);
	return r ? r : 1;
}
