/*
 * check-apiservice.c - registrations of group versions: apiregistration.k8s.io.
 *
 * Source: upstream's kube-aggregator, pkg/apis/apiregistration/validation; test: tests/api/discovery.py
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"

static void check_name(struct ocheck *c, struct ojson *obj, const char *version, const char *group)
{
	struct opath mp = opath_child(NULL, "metadata"), np = opath_child(&mp, "name");
	struct ojson *name = ojson_get(ojson_get(obj, "metadata"), "name");
	cleanup_obuf struct obuf want = OBUF_INIT, why = OBUF_INIT;

	obuf_printf(&want, "%s.%s", version, group);
	obuf_puts(&why, "must be `spec.version+\".\"+spec.group`: ");
	obuf_put_quoted(&why, want.data, want.len);
	if (otext(name).len > 0 && !ostr_eq(otext(name).p, otext(name).len, want.data, want.len))
		ocheck_invalid(c, &np, name, obuf_cstr(&why));
}

static void check_priority(struct ocheck *c, const struct opath *at, struct ojson *spec, const char *key, int64_t max, const char *why)
{
	if (oget_int(spec, key) <= 0 || oget_int(spec, key) > max)
		ocheck_invalid_at(c, at, spec, key, why);
}

OCHECK(api_service)
{
	struct ojson *spec = ojson_get(v, "spec"), *service = ojson_get(spec, "service");
	struct opath p = opath_child(at, "spec"), sp = opath_child(&p, "service"), gp = opath_child(&p, "group");
	struct opath vp = opath_child(&p, "version"), cp = opath_child(&p, "caBundle"), tp = opath_child(&sp, "port");
	struct orlop_bytes group = oget_text(spec, "group"), version = oget_text(spec, "version");
	bool any = oget_bool(spec, "insecureSkipTLSVerify");
	size_t bundle = ocheck_raw_len(ojson_get(spec, "caBundle"));
	const char *why;

	(void)old;
	if (otext_is(c->w->sub, "status"))
		return;
	check_name(c, v, version.p, group.p);
	if (group.len == 0 && !otext_is(version, "v1"))
		ocheck_required(c, &gp, "only v1 may have an empty group and it better be legacy kube");
	why = group.len > 0 ? oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, group.p, group.len) : NULL;
	if (why != NULL)
		ocheck_invalid_text(c, &gp, group, why);
	why = oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, version.p, version.len);
	if (why != NULL)
		ocheck_invalid_text(c, &vp, version, why);
	check_priority(c, &p, spec, "groupPriorityMinimum", 20000, "must be positive and less than 20000");
	check_priority(c, &p, spec, "versionPriority", 1000, "must be positive and less than 1000");
	if (service == NULL) {
		char text[40];
		int n = snprintf(text, sizeof(text), "%zu bytes", bundle);

		if (bundle > 0)
			ocheck_invalid_text(c, &cp, (struct orlop_bytes){ text, (size_t)n }, "local APIServices may not have a caBundle");
		if (any)
			ocheck_invalid_at(c, &p, spec, "insecureSkipTLSVerify", "local APIServices may not have insecureSkipTLSVerify");
		return;
	}
	if (oget_empty(service, "namespace"))
		ocheck_required_at(c, &sp, "namespace", "");
	if (oget_empty(service, "name"))
		ocheck_required_at(c, &sp, "name", "");
	if (oget_int(service, "port") < 1 || oget_int(service, "port") > 65535)
		ocheck_invalid(c, &tp, ojson_get(service, "port"), "port is not valid: must be between 1 and 65535, inclusive");
	if (any && bundle > 0)
		ocheck_invalid_at(c, &p, spec, "insecureSkipTLSVerify", "may not be true if caBundle is present");
}
