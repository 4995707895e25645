/* kind-job.c - Jobs: the selector that finds their pods and no others. DaemonSets: the number of their template. */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

#include <errno.h>

#define CONTROLLER_UID "batch.kubernetes.io/controller-uid"
#define JOB_NAME "batch.kubernetes.io/job-name"
#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

/* Labels by which the pods are found: by prefix, and as they were called before. */
static int mark(struct reg_op *op, struct ojson *holder, struct orlop_bytes uid, struct orlop_bytes name)
{
	static const char *const keys[] = { CONTROLLER_UID, JOB_NAME, "controller-uid", "job-name" };
	struct ojson *labels = NULL;
	int r = ojson_copy(ojson_get_object(holder, "labels"), &labels);

	if (r == 0 && !labels)
		labels = ojson_new_object();
	if (r == 0 && !labels)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < sizeof(keys) / sizeof(*keys); i++) {
		struct orlop_bytes v = i % 2 ? name : uid;

		if (!ojson_has(labels, keys[i]))
			r = ojson_set_string(labels, keys[i], v.p, v.len);
	}
	if (r) {
		ojson_unref(labels);
		return reg_failed(op, r, NULL);
	}
	return ojson_set(holder, "labels", labels);
}

static int job_prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *meta = ojson_get(obj, "metadata"), *spec = ojson_get(obj, "spec"), *tm, *selector;
	struct orlop_bytes uid = ojson_get_bytes(meta, "uid"), name = ojson_get_bytes(meta, "name");
	bool shared;
	int r = 0;

	if (old || !spec || ojson_get_bool(spec, "manualSelector", false))
		return 0;
	tm = ojson_ensure_object(ojson_ensure_object(spec, "template"), "metadata");
	/* labels that were taken from the template are the template's, and without any it has those */
	shared = tm && (!ojson_count(ojson_get(meta, "labels")) || ojson_equal(ojson_get(meta, "labels"), ojson_get(tm, "labels")));
	if (!tm)
		return reg_failed(op, -ENOMEM, NULL);
	r = mark(op, tm, uid, name);
	if (r == 0 && shared)
		r = mark(op, meta, uid, name);
	selector = r == 0 ? ojson_ensure_object(ojson_ensure_object(spec, "selector"), "matchLabels") : NULL;
	/* one that somebody wrote is compared with the labels by the check */
	if (r == 0 && ojson_get_bytes(selector, CONTROLLER_UID).len == 0)
		r = selector ? ojson_set_string(selector, CONTROLLER_UID, uid.p, uid.len) : -ENOMEM;
	reg_dirty(op);
	return r && !op->err.err ? reg_failed(op, r, NULL) : r;
}

const struct reg_behaviour kind_job = {
	.resource = "jobs.batch",
	.prepare = job_prepare,
};

static int daemon_set_prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *meta = ojson_ensure_object(obj, "metadata"), *notes = meta ? ojson_ensure_object(meta, "annotations") : NULL;
	int64_t n = 1;
	char text[24];

	if (!notes)
		return reg_failed(op, -ENOMEM, NULL);
	if (old) {
		struct orlop_bytes was = ojson_bytes(OJSON_AT(old, "metadata", "annotations", TEMPLATE_GENERATION));

		if (ostr_to_i64(was.p ? was.p : "", was.len, &n))
			n = 1;
		else if (!rb_is(op->rq.sub, "status") &&
			 !ojson_equal(OJSON_AT(obj, "spec", "template"), OJSON_AT(old, "spec", "template")))
			n++;
	}
	snprintf(text, sizeof(text), "%lld", (long long)n);
	if (ojson_string_is(ojson_get(notes, TEMPLATE_GENERATION), text))
		return 0;
	reg_dirty(op);
	return ojson_set_cstr(notes, TEMPLATE_GENERATION, text) ? reg_failed(op, -ENOMEM, NULL) : 0;
}

const struct reg_behaviour kind_daemon_set = {
	.resource = "daemonsets.apps",
	.prepare = daemon_set_prepare,
};
