/*
 * hookcall.c - one question to one admission webhook: the AdmissionReview, and what the answer means.
 */
#include "hook.h"
#include "hookpost.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct hook_ask {
	struct hook_run	*run;
	struct hook	*k;
	const char	*version;	/* of AdmissionReview */
	uint64_t	began;
	bool		unasked;	/* it could not be asked, or its answer is none */
	char		uid[OUUID_BUF];
};

/* ---- the question -------------------------------------------------------------------------------------------------- */

static int put_kind(struct ojson *request, const char *kind_key, const char *resource_key, const struct reg_kind *k,
		    const struct hook_body *body)
{
	struct ojson *kind = ojson_ensure_object(request, kind_key), *res = ojson_ensure_object(request, resource_key);
	int r = kind && res ? 0 : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(kind, "group", body ? body->group : k->group);
	if (r == 0)
		r = ojson_set_cstr(kind, "version", body ? body->version : k->version);
	if (r == 0)
		r = ojson_set_cstr(kind, "kind", body ? body->kind : k->kind);
	if (r == 0)
		r = ojson_set_cstr(res, "group", k->group);
	if (r == 0)
		r = ojson_set_cstr(res, "version", k->version);
	return r ? r : ojson_set_cstr(res, "resource", k->plural);
}

static int put_object(struct reg_op *op, struct ojson *request, const char *key, const struct ojson *obj,
		      const struct reg_kind *as, const struct hook_body *body)
{
	struct ojson *tree = NULL;
	int r;

	if (!obj)
		return ojson_put(request, key, NULL);
	r = ojson_copy(obj, &tree);
	if (r == 0 && !body)
		r = hook_convert(op->w->k, as, tree);
	if (r == 0)
		r = ojson_set_cstr(tree, "kind", body ? body->kind : as->kind);
	if (r == 0)
		r = ojson_set_cstr(tree, "apiVersion", body ? body->api_version : as->api_version);
	if (r) {
		ojson_unref(tree);
		return r;
	}
	return ojson_set(request, key, tree);
}

static int put_user(struct reg_op *op, struct ojson *request)
{
	const struct orlop_identity *who = op->rq.who;
	struct ojson *user = ojson_ensure_object(request, "userInfo"), *groups;
	int r = user ? ojson_set_string(user, "username", who->user.p ? who->user.p : "", who->user.len) : -ENOMEM;

	if (r == 0 && who->uid.len)
		r = ojson_set_string(user, "uid", who->uid.p, who->uid.len);
	groups = r == 0 && who->n_groups ? ojson_ensure_array(user, "groups") : NULL;
	for (uint32_t i = 0; r == 0 && groups && i < who->n_groups; i++)
		r = ojson_append(groups, ojson_new_string(who->groups[i].p, who->groups[i].len));
	return r;
}

static int put_options(struct reg_op *op, struct ojson *request, const char *operation)
{
	bool none = !strcmp(operation, "CONNECT");
	struct ojson *o = none ? NULL : ojson_ensure_object(request, "options"), *dry;
	const char *kind = op->rq.verb == REG_PATCH ? "PatchOptions" : !strcmp(operation, "CREATE") ? "CreateOptions" :
			   !strcmp(operation, "UPDATE") ? "UpdateOptions" : "DeleteOptions";
	int r = o ? ojson_set_cstr(o, "kind", kind) : -ENOMEM;

	if (none)
		return ojson_put(request, "options", NULL);

	if (r == 0)
		r = ojson_set_cstr(o, "apiVersion", "meta.k8s.io/v1");
	if (r == 0 && op->opt.dry_run) {
		dry = ojson_ensure_array(o, "dryRun");
		r = dry ? ojson_append_cstr(dry, "All") : -ENOMEM;
	}
	if (r == 0 && op->opt.manager.len)
		r = ojson_set_string(o, "fieldManager", op->opt.manager.p, op->opt.manager.len);
	return r;
}

static const char *operation_of(const struct hook_run *run)
{
	return run->body && run->body->operation ? run->body->operation : !run->obj ? "DELETE" :
	       run->op->w->old ? "UPDATE" : "CREATE";
}

static int question(struct hook_ask *a, struct obuf *out)
{
	struct hook_run *run = a->run;
	struct reg_op *op = run->op;
	struct write *w = op->w;
	const char *operation = operation_of(run);
	struct ojson *review = ojson_new_object(), *q = review ? ojson_ensure_object(review, "request") : NULL;
	const struct reg_kind *asked = run->body ? run->body->k : op->k->stored == w->k ? op->k : w->k;
	/* what is made gets its name, if that is generated, and its identity after they have changed it */
	bool unnamed = run->mutating && !run->body && w->generated && !w->old;
	int r = q ? ojson_set_cstr(review, "kind", "AdmissionReview") : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(review, "apiVersion", a->version);
	if (r == 0)
		r = ojson_set_cstr(q, "uid", a->uid);
	if (r == 0)
		r = put_kind(q, "kind", "resource", a->k->as, run->body);
	if (r == 0 && op->rq.sub.len)
		r = ojson_set_string(q, "subResource", op->rq.sub.p, op->rq.sub.len);
	if (r == 0)
		r = put_kind(q, "requestKind", "requestResource", asked, run->body);
	if (r == 0 && op->rq.sub.len)
		r = ojson_set_string(q, "requestSubResource", op->rq.sub.p, op->rq.sub.len);
	if (r == 0 && !unnamed && !op->rq.collection)
		r = ojson_set_string(q, "name", w->name.p ? w->name.p : "", w->name.len);
	if (r == 0 && (w->ns.len || w->k == op->sh->rg->namespaces))
		r = w->ns.len ? ojson_set_string(q, "namespace", w->ns.p, w->ns.len) :
				ojson_set_string(q, "namespace", w->name.p, w->name.len);
	if (r == 0)
		r = ojson_set_cstr(q, "operation", operation);
	if (r == 0)
		r = put_user(op, q);
	if (r == 0)
		r = put_object(op, q, "object", run->obj, a->k->as, run->body);
	if (r == 0)
		r = put_object(op, q, "oldObject", w->old, a->k->as, run->body);
	if (r == 0)
		r = ojson_set_bool(q, "dryRun", op->opt.dry_run);
	if (r == 0)
		r = put_options(op, q, operation);
	if (r == 0)
		r = ojson_write(review, 0, out);
	ojson_unref(review);
	return r;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static void ask_end(struct hook_ask *a)
{
	struct hook_run *run = a->run;
	struct hook *k = a->k;

	hook_counted(run, k, operation_of(run), a->began, a->unasked);
	omem_free(a);
	hook_answered(run, k);
}

/* It cannot be asked, or its answer is none: failurePolicy decides. */
__attribute__((format(printf, 2, 3)))
static void failed(struct hook_ask *a, const char *fmt, ...)
{
	struct reg_op *op = a->run->op;
	struct hook *k = a->k;
	char why[700];
	va_list ap;

	a->unasked = true;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (ojson_string_is(ojson_get(k->conf, "failurePolicy"), "Ignore")) {
		OLOG(op->sh->h, WARN, "webhook_ignored", "webhook=%s why=\"%s\"", k->name, why);
	} else {
		k->r = -EIO;
		k->http = 500;
		k->reason = "InternalError";
		k->message = oarena_printf(&op->arena, "Internal error occurred: failed calling webhook \"%s\": %s", k->name, why);
		if (!k->message)
			k->message = "out of memory";
	}
	ask_end(a);
}

static void denied(struct hook_ask *a, const struct ojson *result)
{
	struct reg_op *op = a->run->op;
	struct hook *k = a->k;
	const char *message = ojson_get_cstr(result, "message", ""), *reason = ojson_get_cstr(result, "reason", "");
	int64_t code = ojson_get_i64(result, "code", 0);

	k->r = -EACCES;
	k->http = code < 400 || code > 599 ? 400 : (int)code;
	k->reason = oarena_strdup(&op->arena, reason);
	if (*message || *reason)
		k->message = oarena_printf(&op->arena, "admission webhook \"%s\" denied the request: %s", k->name,
					   *message ? message : reason);
	else
		k->message = oarena_printf(&op->arena, "admission webhook \"%s\" denied the request without explanation", k->name);
	if (!k->reason || !k->message)
		k->reason = k->message = "";
}

/* What is wrong with the answer, or NULL. */
static const char *check(struct hook_ask *a, const struct ojson *review, const struct ojson *response)
{
	struct oarena *ar = &a->run->op->arena;

	if (!ojson_string_is(ojson_get(review, "kind"), "AdmissionReview") ||
	    !ojson_string_is(ojson_get(review, "apiVersion"), a->version))
		return oarena_printf(ar, "expected webhook response of %s, Kind=AdmissionReview, got %s, Kind=%s", a->version,
				     ojson_get_cstr(review, "apiVersion", ""), ojson_get_cstr(review, "kind", ""));
	if (!ojson_is(response, OJSON_OBJECT))
		return "webhook response was absent";
	if (!strcmp(a->version, "admission.k8s.io/v1") && !ojson_string_is(ojson_get(response, "uid"), a->uid))
		return oarena_printf(ar, "expected response.uid=\"%s\", got \"%s\"", a->uid, ojson_get_cstr(response, "uid", ""));
	if (ojson_get_bytes(response, "patch").len && !strcmp(a->version, "admission.k8s.io/v1") &&
	    !ojson_string_is(ojson_get(response, "patchType"), "JSONPatch"))
		return "webhook returned response.patch but not response.patchType";
	return NULL;
}

static int take_patch(struct hook_ask *a, struct orlop_bytes text)
{
	struct obuf b = OBUF_INIT;
	int r = hook_base64(&b, text.p, text.len);

	if (r == 0)
		r = ojson_parse(b.data, b.len, &a->k->patch, NULL);
	if (r == 0 && !ojson_is(a->k->patch, OJSON_ARRAY))
		r = -EINVAL;
	obuf_done(&b);
	return r;
}

static void on_answer(void *arg, struct orlop_bytes body, const char *why)
{
	struct hook_ask *a = arg;
	struct reg_op *op = a->run->op;
	struct ojson *review = NULL, *response;
	unsigned int notes = 0;
	const char *wrong;
	int r;

	if (why) {
		failed(a, "failed to call webhook: %s", why);
		return;
	}
	r = ojson_parse(body.p, body.len, &review, NULL);
	if (r) {
		failed(a, "failed to call webhook: couldn't decode the answer");
		return;
	}
	response = ojson_get(review, "response");
	wrong = check(a, review, response);
	if (wrong) {
		ojson_unref(review);
		failed(a, "received invalid webhook response: %s", wrong);
		return;
	}
	OJSON_FOREACH_ELEM(i, w, ojson_get(response, "warnings"))
		if (*ojson_cstr(w, ""))
			reg_warn(op, "%s", ojson_cstr(w, ""));
	OJSON_FOREACH(note, ojson_get_object(response, "auditAnnotations")) {
		char key[320];

		if (notes++ == 64)
			break;
		(void)snprintf(key, sizeof(key), "%.*s/%.*s", OB(ojson_get_bytes(a->k->conf, "name")), (int)note.key_len, note.key);
		reg_note(op, key, "%.1024s", ojson_cstr(note.value, ""));
	}
	if (!ojson_get_bool(response, "allowed", false))
		denied(a, ojson_get(response, "status"));
	else if (a->k->mutating && a->run->mutating && ojson_get_bytes(response, "patch").len)
		r = take_patch(a, ojson_get_bytes(response, "patch"));
	ojson_unref(review);
	if (r)
		failed(a, "received invalid webhook response: response.patch is no JSON patch");
	else
		ask_end(a);
}
void hook_call(struct hook_run *run, struct hook *k)
{
	struct reg_op *op = run->op;
	struct hook_ask *a = OMEM_NEW(struct hook_ask);
	struct obuf body = OBUF_INIT;
	struct hook_question q = { .agent = "kube-apiserver-admission",
				   .seconds = ojson_get_i64(k->conf, "timeoutSeconds", 10) };

	if (!a) {
		k->r = -ENOMEM;
		k->http = 500;
		k->reason = "InternalError";
		k->message = "Internal error occurred: out of memory";
		hook_answered(run, k);
		return;
	}
	a->run = run;
	a->k = k;
	a->began = op->sh->h->now_mono(op->sh->h);
	a->version = "admission.k8s.io/v1";
	OJSON_FOREACH_ELEM(i, v, ojson_get(k->conf, "admissionReviewVersions")) {
		if (ojson_string_is(v, "v1"))
			break;
		if (ojson_string_is(v, "v1beta1")) {
			a->version = "admission.k8s.io/v1beta1";
			break;
		}
	}
	if (!run->body && !hook_convertible(op->w->k, k->as)) {
		failed(a, "failed to call webhook: this server does not convert objects for admission webhooks, which those of %s need", k->as->api_version);
		return;
	}
	hook_uid(op->sh, a->uid);
	if (question(a, &body)) {
		obuf_done(&body);
		failed(a, "failed to call webhook: out of memory");
		return;
	}
	q.body = (struct orlop_bytes){ body.data, body.len };
	(void)hook_post(op->sh, ojson_get(k->conf, "clientConfig"), &q, on_answer, a);
	obuf_done(&body);
}
