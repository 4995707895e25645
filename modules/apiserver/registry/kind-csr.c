/* kind-csr.c - CertificateSigningRequests: who asks is whoever sent the request, and stays so. */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

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
	if (r == 0 && old && op->rq.sub.len && ojson_get(obj, "status"))
		r = conditions(op, obj, old);
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_csr = {
	.resource = "certificatesigningrequests.certificates.k8s.io",
	.prepare = prepare,
};
