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
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_csr = {
	.resource = "certificatesigningrequests.certificates.k8s.io",
	.prepare = prepare,
};
