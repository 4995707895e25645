/*
 * external.c - DenyServiceExternalIPs: no Service takes an external address that it did not have.
 *
 * Whoever may write Services could else have what others send to that address (CVE-2020-8554). Off unless asked for, as
 * upstream. Source: upstream's plugin of this name, behaviour and words.
 */
#include "admission.h"

#include "../registry/write.h"
#include "json/ojson.h"

#include <errno.h>

int admission_external_ips(struct reg_op *op, const struct ojson *service, const struct ojson *old)
{
	const struct ojson *had = ojson_get_array(ojson_get(old, "spec"), "externalIPs");
	struct omap before;
	bool more = false;
	int r = 0;

	if (!op->sh->rg->cfg.deny_external_ips || op->rq.sub.len)
		return 0;
	omap_init(&before);
	OJSON_FOREACH_ELEM(i, e, had) {
		if (r == 0)
			r = omap_add(&before, ojson_bytes(e).p, ojson_bytes(e).len, NULL);
		if (r == -EEXIST)
			r = 0;
	}
	OJSON_FOREACH_ELEM(k, e, ojson_get_array(ojson_get(service, "spec"), "externalIPs"))
		more = more || !omap_has(&before, ojson_bytes(e).p, ojson_bytes(e).len);
	omap_done(&before);
	if (r)
		return reg_failed(op, r, NULL);
	return more ? reg_forbidden(op, op->w->name, "Use of external IPs is denied by admission control") : 0;
}
