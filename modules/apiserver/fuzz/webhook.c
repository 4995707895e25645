/*
 * Fuzz target of what webhooks answer. First byte 'c': a ConversionReview, about a custom object that is read in a version
 * other than that in which it is stored; otherwise an AdmissionReview, about a ConfigMap that is made. The rest is the
 * answer, in which the word UID stands for that of the question and BASE64(…) for the text between the braces in base64.
 * Every request gets one answer that is JSON, and nothing is left.
 */
#include "../test/rig.h"

#include "base/oenc.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;
static struct orlop_bytes answer;
static uint32_t runs;

/* What begins at @p and is not copied as it is: its length, 0: nothing. */
static size_t replaced(const char *p, const char *end, struct orlop_bytes uid, struct obuf *out)
{
	const char *brace;

	if (end - p >= 3 && memcmp(p, "UID", 3) == 0) {
		obuf_append(out, uid.p, uid.len);
		return 3;
	}
	if (end - p < 8 || memcmp(p, "BASE64(", 7) != 0)
		return 0;
	brace = memchr(p, '\x01', (size_t)(end - p));
	brace = brace ? brace : end;
	obase64_append(out, OBASE64_STD, p + 7, (size_t)(brace - p - 7));
	return (size_t)(brace - p) + (brace < end);
}

static int webhook(void *arg, struct orlop_bytes question, struct obuf *out, const char **why)
{
	const char *p = answer.p, *end = answer.p + answer.len;
	struct ojson *q = NULL;
	struct orlop_bytes uid;

	(void)arg;
	if (!answer.len) {
		*why = "nobody is there";
		return -ECONNREFUSED;
	}
	if (ojson_parse(question.p, question.len, &q, NULL))
		abort();	/* what we ask is JSON, whatever is in the objects */
	uid = ojson_get_bytes(ojson_get(q, "request"), "uid");
	while (p < end) {
		size_t n = replaced(p, end, uid, out);

		if (n == 0)
			obuf_putc(out, *p);
		p += n ? n : 1;
	}
	ojson_unref(q);
	return obuf_err(out);
}

static void must(const char *what, const char *body, uint32_t code)
{
	if (rig_do(rig, what, "", body) != code) {
		fprintf(stderr, "%s: %u %s\n", what, rig->code, rig->body);
		abort();
	}
}

static int custom_is_served(void *arg)
{
	const struct oschema *s;
	const struct oschema_resource *res;
	const struct reg_kind *k = reg_resolve(((struct rig *)arg)->sh, rig_text("x.io"), rig_text("v2"), rig_text("things"), &s, &res);

	reg_kind_release(k);
	return k != NULL;
}

/* A request about the custom object, in version @version. */
static void custom(enum reg_verb verb, const char *version, const char *body)
{
	struct reg_req rq = { .who = &rig_admin, .verb = verb, .ns = rig_text("default"), .body = rig_text(body) };
	const struct oschema *s;

	rq.kind = reg_resolve(rig->sh, rig_text("x.io"), rig_text(version), rig_text("things"), &s, &rq.res);
	if (!rq.kind)
		abort();
	if (verb == REG_GET)
		rq.name = rig_text("a");
	rig->answered = 0;
	reg_call(rig->sh, &rq, rig_answered, rig);
	if (!fakehost_run_until(rig->fh, rig_is_answered, rig, 60 * FAKEHOST_S))
		abort();
	reg_kind_release(rq.kind);
}

static void prepare(void)
{
	struct reg_config cfg = { .advertise_addr = "192.0.2.1", .advertise_port = 6443, .hooks = { .webhook = webhook } };

	if (rig && runs++ < 500)
		return;
	if (rig)
		rig_free(rig);
	rig = rig_new_with(&cfg);
	runs = 0;
	rig_boot(rig);
	must("create customresourcedefinitions.apiextensions.k8s.io", "{\"metadata\":{\"name\":\"things.x.io\"},\"spec\":{\"group\":\"x.io\","
	     "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"things\",\"kind\":\"Thing\"},\"versions\":["
	     "{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}},"
	     "{\"name\":\"v2\",\"served\":true,\"storage\":false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}],"
	     "\"conversion\":{\"strategy\":\"Webhook\",\"webhook\":{\"conversionReviewVersions\":[\"v1\"],\"clientConfig\":{\"url\":\"https://127.0.0.1:1/\"}}}}}",
	     201);
	if (!fakehost_run_until(rig->fh, custom_is_served, rig, 60 * FAKEHOST_S))
		abort();
	custom(REG_CREATE, "v1", "{\"apiVersion\":\"x.io/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"n\":1}}");
	must("create mutatingwebhookconfigurations.admissionregistration.k8s.io",
	     "{\"metadata\":{\"name\":\"m\"},\"webhooks\":[{\"name\":\"m.x.io\",\"admissionReviewVersions\":[\"v1\"],\"sideEffects\":\"None\","
	     "\"clientConfig\":{\"url\":\"https://127.0.0.1:1/\"},\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
	     "\"resources\":[\"configmaps\"]}]}]}", 201);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orlop_bytes doc;

	if (size < 1)
		return 0;
	prepare();
	answer = (struct orlop_bytes){ (const char *)data + 1, size - 1 };
	if (data[0] == 'c')
		custom(REG_GET, "v2", "");
	else
		rig_do(rig, "create configmaps default", "dryRun=All", "{\"metadata\":{\"name\":\"b\"},\"data\":{\"k\":\"v\"}}");
	answer.len = 0;
	if (rig->code < 200 || rig->code > 599 || oscan_check(rig->body, strlen(rig->body), 128, &doc, NULL))
		abort();
	if (reg_shard_busy(rig->sh))
		abort();
	return 0;
}
