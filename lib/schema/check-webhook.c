/* check-webhook.c - what an admission webhook must say of itself. */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

static void check_url(struct ocheck *c, const struct opath *p, struct ojson *v)
{
	struct orlop_bytes u = otext(v);
	const char *slash, *end = u.p + u.len;

	if (u.len < 8 || memcmp(u.p, "https://", 8)) {
		ocheck_invalid(c, p, v, "'https' is the only allowed URL scheme; desired format: https://host[/path]");
		return;
	}
	slash = memchr(u.p + 8, '/', u.len - 8);
	if (u.len == 8 || slash == u.p + 8)
		ocheck_invalid(c, p, v, "host must be specified; desired format: https://host[/path]");
	if (memchr(u.p + 8, '@', (size_t)((slash ? slash : end) - u.p) - 8))
		ocheck_invalid(c, p, v, "user information is not permitted in the URL");
	if (memchr(u.p, '#', u.len))
		ocheck_invalid(c, p, v, "fragments are not permitted in the URL");
	if (memchr(u.p, '?', u.len))
		ocheck_invalid(c, p, v, "query parameters are not permitted in the URL");
}

static bool has(const struct ojson *list, const char *what)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, what))
			return true;
	return false;
}

static void check_rule(struct ocheck *c, const struct opath *p, struct ojson *rule)
{
	static const char *const lists[] = { "operations", "apiGroups", "apiVersions", "resources" };
	static const char *const operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE" };

	for (size_t k = 0; k < 4; k++) {
		struct ojson *list = ojson_get(rule, lists[k]);
		struct opath lp = opath_child(p, lists[k]);

		if (ojson_count(list) == 0)
			ocheck_required(c, &lp, "");
		if (k < 3 && ojson_count(list) > 1 && has(list, "*"))
			ocheck_invalid(c, &lp, list, "if '*' is present, must not specify other values");
		OJSON_FOREACH_ELEM(i, e, list) {
			struct opath ep = opath_index(&lp, i);
			bool known = k > 0;

			for (size_t o = 0; o < 5; o++)
				known = known || ojson_string_is(e, operations[o]);
			if (!known)
				ocheck_not_supported(c, &ep, e, operations, 5);
			if (k >= 2 && otext(e).len == 0)
				ocheck_required(c, &ep, "");
		}
	}
}

OCHECK(webhook)
{
	struct orlop_bytes name = oget_text(v, "name");
	struct opath np = opath_child(at, "name"), cp = opath_child(at, "clientConfig"), up = opath_child(&cp, "url");
	struct opath vp = opath_child(at, "admissionReviewVersions"), tp = opath_child(at, "timeoutSeconds");
	struct opath rp = opath_child(at, "rules");
	struct ojson *cc = ojson_get(v, "clientConfig"), *versions = ojson_get(v, "admissionReviewVersions");
	const char *wrong = oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, name.p, name.len);
	unsigned int dots = 0;

	(void)old;
	for (size_t i = 0; i < name.len; i++)
		dots += name.p[i] == '.';
	if (name.len == 0)
		ocheck_required(c, &np, "");
	else if (wrong != NULL)
		ocheck_invalid_text(c, &np, name, wrong);
	else if (dots < 2)
		ocheck_invalid_text(c, &np, name, "should be a domain with at least three segments separated by dots");
	if (!ojson_has(cc, "url") == !ojson_has(cc, "service"))
		ocheck_required(c, &cp, "exactly one of url or service is required");
	else if (ojson_has(cc, "url"))
		check_url(c, &up, ojson_get(cc, "url"));
	if (ojson_count(versions) == 0)
		ocheck_required(c, &vp, "must specify one of v1, v1beta1");
	else if (!has(versions, "v1") && !has(versions, "v1beta1"))
		ocheck_invalid(c, &vp, versions, "must include at least one of v1, v1beta1");
	if (ojson_has(v, "timeoutSeconds") && (oget_int(v, "timeoutSeconds") < 1 || oget_int(v, "timeoutSeconds") > 30))
		ocheck_invalid(c, &tp, ojson_get(v, "timeoutSeconds"), "the timeout value must be between 1 and 30 seconds");
	OJSON_FOREACH_ELEM(i, r, ojson_get(v, "rules")) {
		struct opath ip = opath_index(&rp, i);

		check_rule(c, &ip, r);
	}
}
