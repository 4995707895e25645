/* check-webhook.c - what an admission webhook must say of itself. */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"
#include "schema/seen.h"

/* Each part that must not be there is what the finding shows. */
static void check_url(struct ocheck *c, const struct opath *p, struct orlop_bytes u)
{
	static const char form[] = "desired format: https://host[/path]";
	const char *rest = u.p + 8, *end = u.p + u.len, *path, *user, *query, *fragment;
	size_t scheme = u.len > 0 ? strcspn(u.p, ":") : 0;
	char why[100];

	if (u.len < 8 || memcmp(u.p, "https://", 8)) {
		(void)snprintf(why, sizeof(why), "'https' is the only allowed URL scheme; %s", form);
		ocheck_invalid_text(c, p, (struct orlop_bytes){ u.p, scheme < u.len ? scheme : 0 }, why);
		return;
	}
	fragment = memchr(rest, '#', (size_t)(end - rest));
	query = memchr(rest, '?', (size_t)((fragment ? fragment : end) - rest));
	path = rest + strcspn(rest, "/?#");
	user = memchr(rest, '@', (size_t)(path - rest));
	(void)snprintf(why, sizeof(why), "host must be specified; %s", form);
	if ((user ? user + 1 : rest) == path)
		ocheck_invalid_text(c, p, (struct orlop_bytes){ "", 0 }, why);
	if (user)
		ocheck_invalid_text(c, p, (struct orlop_bytes){ rest, (size_t)(user - rest) }, "user information is not permitted in the URL");
	if (fragment)
		ocheck_invalid_text(c, p, (struct orlop_bytes){ fragment + 1, (size_t)(end - fragment) - 1 },
				    "fragments are not permitted in the URL");
	if (query)
		ocheck_invalid_text(c, p, (struct orlop_bytes){ query + 1, (size_t)((fragment ? fragment : end) - query) - 1 },
				    "query parameters are not permitted in the URL");
}

static void check_service(struct ocheck *c, const struct opath *p, struct ojson *v)
{
	struct opath pp = opath_child(p, "path"), tp = opath_child(p, "port");
	struct orlop_bytes path = oget_text(v, "path");

	if (oget_empty(v, "name"))
		ocheck_required_at(c, p, "name", "service name is required");
	if (oget_empty(v, "namespace"))
		ocheck_required_at(c, p, "namespace", "service namespace is required");
	if (path.len > 0 && path.p[0] != '/')
		ocheck_invalid_text(c, &pp, path, "must start with a '/'");
	if (ojson_has(v, "port") && (oget_int(v, "port") < 1 || oget_int(v, "port") > 65535))
		ocheck_invalid(c, &tp, ojson_get(v, "port"), "port is not valid: must be between 1 and 65535, inclusive");
}

static bool has(const struct ojson *list, const char *what)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, what))
			return true;
	return false;
}

/* "pods/log" beside "pods" and a star says nothing more; nor does anything beside all of it. */
static void check_resources(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	bool all = false, plain = false, star = has(list, "*");
	cleanup_oseen struct oseen stars;
	char why[700];

	oseen_init(&stars, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i);
		const char *t = ojson_cstr(e, ""), *slash = strchr(t, '/');

		all = all || strcmp(t, "*/*") == 0;
		if (slash == NULL) {
			plain = strcmp(t, "*") != 0;
			continue;
		}
		for (int k = 0; k < 2; k++) {		/* all parts of it, the part of all */
			struct orlop_bytes text;
			char wide[340];
			cleanup_ojson struct ojson *w = NULL;

			if (k == 0)
				(void)snprintf(wide, sizeof(wide), "%.*s/*", (int)(slash - t < 300 ? slash - t : 300), t);
			else
				(void)snprintf(wide, sizeof(wide), "*%.300s", slash);
			text = (struct orlop_bytes){ wide, strlen(wide) };
			w = ojson_new_string(text.p, text.len);
			if (!oseen_has(&stars, w))
				continue;
			(void)snprintf(why, sizeof(why), "if '%.320s' is present, must not specify %.300s", wide, t);
			ocheck_invalid(c, &p, e, why);
		}
		if (t[0] == '*' || strcmp(slash, "/*") == 0)
			(void)oseen(&stars, e, NULL);
	}
	if (ojson_count(list) > 1 && all)
		ocheck_invalid(c, at, list, "if '*/*' is present, must not specify other resources");
	if (star && plain)
		ocheck_invalid(c, at, list, "if '*' is present, must not specify other resources without subresources");
}

static void check_rule(struct ocheck *c, const struct opath *p, struct ojson *rule)
{
	static const char *const lists[] = { "operations", "apiGroups", "apiVersions", "resources" };
	static const char *const others[] = { "if '*' is present, must not specify other operations",
		"if '*' is present, must not specify other API groups", "if '*' is present, must not specify other API versions" };
	static const char *const operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE" };

	for (size_t k = 0; k < 4; k++) {
		struct ojson *list = ojson_get(rule, lists[k]);
		struct opath lp = opath_child(p, lists[k]);

		if (ojson_count(list) == 0)
			ocheck_required(c, &lp, "");
		if (k == 3)
			check_resources(c, &lp, list);
		if (k < 3 && ojson_count(list) > 1 && has(list, "*"))
			ocheck_invalid(c, &lp, list, others[k]);
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

static void check_versions(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i);

		if (oseen(&before, e, NULL))
			ocheck_invalid(c, &p, e, "duplicate version");
		else
			ocheck_format(c, &p, e, OSCHEMA_FMT_DNS1035_LABEL);
	}
}

OCHECK(webhook)
{
	struct orlop_bytes name = oget_text(v, "name");
	struct opath np = opath_child(at, "name"), cp = opath_child(at, "clientConfig"), up = opath_child(&cp, "url");
	struct opath vp = opath_child(at, "admissionReviewVersions"), tp = opath_child(at, "timeoutSeconds");
	struct opath rp = opath_child(at, "rules"), sp = opath_child(&cp, "service");
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
		check_url(c, &up, oget_text(cc, "url"));
	else
		check_service(c, &sp, ojson_get(cc, "service"));
	check_versions(c, &vp, versions);
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
