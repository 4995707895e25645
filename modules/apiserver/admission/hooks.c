/*
 * hooks.c - admission MutatingAdmissionWebhook and ValidatingAdmissionWebhook: the round over all that are asked.
 *
 * Nothing waits on the loop: the write stops where it is (-EINPROGRESS), and goes on when the last answer is there. What
 * the mutating ones made of the object is kept with the write; it is decided once more from the base, and takes that
 * object in place of its own. Another base than they were asked about is another question.
 *
 * Source: upstream's k8s.io/apiserver/pkg/admission/plugin/webhook, behaviour and words.
 */
#include "hook.h"

#include "patch/opatch.h"

#include <errno.h>
#include <string.h>

/* Writes that nobody is asked about, or not yet: those that change who is asked, and bodies that are no objects. */
static bool is_exempt(const struct reg_op *op)
{
	if (op->w->hook_body)
		return false;
	return op->rq.judged || !strcmp(op->w->k->group, "admissionregistration.k8s.io") || rb_is(op->rq.sub, "scale") ||
	       rb_is(op->rq.sub, "binding") ||
	       op->k == op->sh->rg->bindings;
}

static void run_free(struct hook_run *run)
{
	for (uint32_t i = 0; i < run->n; i++) {
		ojson_unref(run->v[i].conf);
		ojson_unref(run->v[i].patch);
	}
	ojson_unref(run->obj);
	omem_free(run);
}

static struct hook_run *run_new(struct reg_op *op, bool mutating)
{
	struct hook_run *run = OMEM_NEW(struct hook_run);
	bool goes = op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION;

	if (!run)
		return NULL;
	run->op = op;
	run->body = op->w->hook_body;
	run->mutating = mutating;
	if (goes)
		return run;
	run->obj = ojson_ref(op->w->obj);
	return run;
}

/* What this request may not write is as it was decided without them: status, or all but what the subresource is about. */
static int keep_parts(struct reg_op *op, struct ojson **obj, const struct ojson *from)
{
	struct ojson *status = ojson_get(from, "status");

	if (op->rq.sub.len)
		return write_only_part(op, obj, from);
	if (!(op->w->k->res->flags & OSCHEMA_S_STATUS) ||
	    (!op->w->old && (op->w->k->res->flags & OSCHEMA_S_STATUS_AT_BIRTH)))
		return 0;
	if (status)
		return ojson_set(*obj, "status", ojson_ref(status));
	ojson_del(*obj, "status");
	return 0;
}

/* Keep what the server decides: the name of this try, the identity, the state it was read in. */
static int keep_own(struct ojson *obj, const struct ojson *from)
{
	static const char *const own[] = { "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation",
					   "deletionTimestamp", "deletionGracePeriodSeconds" };
	struct ojson *meta = ojson_ensure_object(obj, "metadata");
	const struct ojson *is = ojson_get(from, "metadata");
	int r = meta ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < sizeof(own) / sizeof(own[0]); i++) {
		if (ojson_has(is, own[i]))
			r = ojson_set(meta, own[i], ojson_ref(ojson_get(is, own[i])));
		else
			ojson_del(meta, own[i]);
	}
	ojson_del(meta, "managedFields");
	return r;
}

/* What is made gets its identity, and its name if that is generated, after they have changed it: another try has others. */
static int forget_identity(struct hook_run *run)
{
	struct ojson *obj = NULL, *meta;
	int r = ojson_copy(run->obj, &obj);

	if (r)
		return r;
	meta = ojson_get(obj, "metadata");
	ojson_del(meta, "uid");
	ojson_del(meta, "creationTimestamp");
	if (run->op->w->generated)
		ojson_del(meta, "name");
	ojson_unref(run->obj);
	run->obj = obj;
	return 0;
}

int admission_hooks_mutated(struct reg_op *op)
{
	const struct reg_behaviour *bh = op->w->k->behaviour;
	struct write *w = op->w;
	struct hook_run *run;
	struct ojson *obj = NULL;
	int r;

	if (is_exempt(op))
		return 0;
	if (w->hooked && w->hook_rev == w->base_rev) {
		if (!w->hook_obj)
			return 0;
		r = ojson_copy(w->hook_obj, &obj);
		if (r == 0)
			r = keep_parts(op, &obj, w->obj);
		if (r == 0)
			r = keep_own(obj, w->obj);
		if (r) {
			ojson_unref(obj);
			return reg_failed(op, r, NULL);
		}
		ojson_unref(w->obj);
		w->obj = obj;
		reg_dirty(op);
		return bh && bh->prepare ? bh->prepare(op, w->obj, w->old) : 0;
	}
	if (!hooks_any(op->sh, true))
		return 0;
	run = run_new(op, true);
	if (!run)
		return reg_failed(op, -ENOMEM, NULL);
	r = hooks_match(run, true);
	if (r == 0 && run->n && !run->body && !w->old && forget_identity(run))
		r = reg_failed(op, -ENOMEM, NULL);
	if (r || !run->n) {
		run_free(run);
		return r;
	}
	w->hook_run = run;
	return -EINPROGRESS;
}

int admission_hooks_validate(struct reg_op *op)
{
	bool goes = op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION;
	struct hook_run *run;
	int r = 0;

	if (is_exempt(op) || (!hooks_any(op->sh, false) && !(goes && hooks_any(op->sh, true))))
		return 0;
	run = run_new(op, false);
	if (!run)
		return reg_failed(op, -ENOMEM, NULL);
	if (goes)	/* there is nothing to change: these may refuse like the others */
		r = hooks_match(run, true);
	if (r == 0)
		r = hooks_match(run, false);
	if (r || !run->n) {
		run_free(run);
		return r;
	}
	op->w->hook_run = run;
	return -EINPROGRESS;
}

void admission_hooks_warn(struct reg_op *op, const struct ojson *config)
{
	OJSON_FOREACH_ELEM(i, h, ojson_get(config, "webhooks"))
		if (ojson_count(ojson_get(h, "matchConditions")))
			reg_warn(op, "webhooks[%zu].matchConditions: not evaluated by this server: the webhook is asked about all that its rules and selectors match",
				 i);
}

/* ---- the round ---------------------------------------------------------------------------------------------------- */

static void next(struct hook_run *run);

static void end(struct hook_run *run, int r)
{
	struct reg_op *op = run->op;
	struct write *w = op->w;
	void (*done)(struct reg_op *, int) = run->done;

	if (r == 0 && run->mutating) {
		ojson_unref(w->hook_obj);
		w->hook_obj = ojson_ref(run->obj);
		w->hook_rev = w->base_rev;
		w->hooked = true;
	}
	w->hook_run = NULL;
	run_free(run);
	done(op, r);
}

static int refused(struct hook_run *run, const struct hook *k)
{
	return reg_fail(run->op, k->http == 403 ? EACCES : EIO, k->http, k->reason, "%s", k->message);
}

/* The object as it is after @k's patch. */
static int apply(struct hook_run *run, struct hook *k)
{
	struct reg_op *op = run->op;
	const struct reg_kind *stored = op->w->k;
	struct orlop_error e = ORLOP_ERROR_INIT;
	struct ojson *doc = NULL, *fresh = NULL;
	int r = ojson_copy(run->obj, &doc);

	if (r == 0 && !run->body)
		r = hook_convert(stored, k->as, doc);
	if (r == 0)
		r = ojson_set_cstr(doc, "apiVersion", run->body ? run->body->api_version : k->as->api_version);
	if (r == 0)
		r = opatch_json(&doc, k->patch, &e);
	if (r == 0 && !ojson_is(doc, OJSON_OBJECT))
		r = -EINVAL;
	if (r == 0 && !run->body)
		r = hook_convert(k->as, stored, doc);
	if (r == 0)
		r = ojson_set_cstr(doc, "apiVersion", run->body ? run->body->api_version : stored->api_version);
	if (r == 0)
		r = hook_decode(run, doc, &fresh, &e);
	if (r == -ENOMEM)
		r = reg_failed(op, r, NULL);
	else if (r)
		r = reg_internal(op, "admission webhook \"%s\" patched the object to something that is none: %s", k->name,
				 e.err ? e.msg : "no object");
	orlop_error_done(&e);
	ojson_unref(doc);
	if (r) {
		ojson_unref(fresh);
		return r;
	}
	if (!ojson_equal(fresh, run->obj))
		run->changed = true;
	ojson_unref(run->obj);
	run->obj = fresh;
	return 0;
}

/* Those that want to see what others after them changed are asked once more. */
static bool again(struct hook_run *run)
{
	uint32_t last = 0;
	bool any = false;

	if (!run->changed || run->second)
		return false;
	for (uint32_t i = 0; i < run->n; i++)
		if (run->v[i].patch)
			last = i;
	for (uint32_t i = 0; i < run->n; i++) {
		run->v[i].asked = !(run->v[i].again && i < last);
		any = any || !run->v[i].asked;
	}
	run->second = true;
	run->at = 0;
	return any;
}

static void next(struct hook_run *run)
{
	while (run->at < run->n && run->v[run->at].asked)
		run->at++;
	if (run->at == run->n && !again(run)) {
		end(run, 0);
		return;
	}
	while (run->v[run->at].asked)
		run->at++;
	run->v[run->at].asked = true;
	ojson_unref(run->v[run->at].patch);
	run->v[run->at].patch = NULL;
	hook_call(run, &run->v[run->at]);
}

void hook_answered(struct hook_run *run, struct hook *k)
{
	int r = 0;

	if (run->mutating) {
		if (k->r)
			r = refused(run, k);
		else if (k->patch)
			r = apply(run, k);
		if (r)
			end(run, r);
		else
			next(run);
		return;
	}
	if (--run->pending || run->starting)
		return;
	for (uint32_t i = 0; r == 0 && i < run->n; i++)
		if (run->v[i].r)
			r = refused(run, &run->v[i]);
	end(run, r);
}

void admission_hooks_run(struct reg_op *op, void (*done)(struct reg_op *op, int r))
{
	struct hook_run *run = op->w->hook_run;

	run->done = done;
	if (run->mutating) {
		next(run);
		return;
	}
	run->starting = true;
	run->pending = run->n + 1;
	for (uint32_t i = 0; i < run->n; i++)
		hook_call(run, &run->v[i]);
	run->starting = false;
	hook_answered(run, &run->v[0]);
}
