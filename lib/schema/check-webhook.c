/* check-webhook.c - what an admission webhook must say of itself; rules and conditions as policies have them, too. */
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
		(void)snprintf(why, sizeof(why), "host must be specified; %s", form);
		if (u.len < 2 || memmem(u.p, u.len, "//", 2) == NULL)
			ocheck_invalid_text(c, p, (struct orlop_bytes){ "", 0 }, why);
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

/* Each part of a path is a name as hosts have them, in upstream's eyes. */
static void check_path(struct ocheck *c, const struct opath *at, struct orlop_bytes path)
{
	const char *p = path.p, *end = path.p + path.len;
	char why[500];

	if (path.len == 0 || otext_is(path, "/"))
		return;
	if (otext_is(path, "//")) {
		ocheck_invalid_text(c, at, path, "segment[0] may not be empty");
		return;
	}
	if (*p != '/')
		ocheck_invalid_text(c, at, path, "must start with a '/'");
	p++;
	end -= end > p && end[-1] == '/';
	for (unsigned int n = 0; p <= end; n++) {
		const char *slash = memchr(p, '/', (size_t)(end - p)), *to = slash != NULL ? slash : end, *whys[OSCHEMA_FORMAT_WHYS];
		size_t wrong = to > p ? oschema_format_whys(OSCHEMA_FMT_DNS1123_SUBDOMAIN, p, (size_t)(to - p), whys) : 0;

		(void)snprintf(why, sizeof(why), "segment[%u] may not be empty", n);
		if (to == p)
			ocheck_invalid_text(c, at, path, why);
		for (size_t i = 0; i < wrong; i++) {
			(void)snprintf(why, sizeof(why), "segment[%u]: %s", n, whys[i]);
			ocheck_invalid_text(c, at, path, why);
		}
		p = to + 1;
	}
}

static void check_service(struct ocheck *c, const struct opath *p, struct ojson *v)
{
	struct opath pp = opath_child(p, "path"), tp = opath_child(p, "port");
	struct orlop_bytes path = oget_text(v, "path");

	if (oget_empty(v, "name"))
		ocheck_required_at(c, p, "name", "service name is required");
	if (oget_empty(v, "namespace"))
		ocheck_required_at(c, p, "namespace", "service namespace is required");
	check_path(c, &pp, path);
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

OCHECK(rule_with_operations)
{
	static const char *const lists[] = { "operations", "apiGroups", "apiVersions", "resources" };
	static const char *const others[] = { "if '*' is present, must not specify other operations",
		"if '*' is present, must not specify other API groups", "if '*' is present, must not specify other API versions" };
	static const char *const operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE" };

	(void)old;
	for (size_t k = 0; k < 4; k++) {
		struct ojson *list = ojson_get(v, lists[k]);
		struct opath lp = opath_child(at, lists[k]);

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

/* Is @v, of the webhook that @at is in, as it was? What was taken before is not looked at again. */
static bool same_as_before(const struct ocheck *c, const struct opath *at, const struct ojson *v, const struct ojson *old)
{
	const struct opath *hook = at->up;
	struct ojson *was = ojson_get(c->w->old, "webhooks");

	if (hook == NULL || hook->name != NULL)
		return c->update && ojson_equal(v, old);
	return ojson_count(was) == ojson_count(ojson_get(c->w->obj, "webhooks")) &&
	       ojson_equal(v, ojson_get(ojson_index(was, hook->index), "matchConditions"));
}

OCHECK(match_conditions)
{
	if (same_as_before(c, at, v, old))
		return;
	OJSON_FOREACH_ELEM(i, e, v) {
		struct opath p = opath_index(at, i), np = opath_child(&p, "name");

		if (strspn(ojson_get_cstr(e, "expression", ""), " \t\n\v\f\r") == oget_text(e, "expression").len)
			ocheck_required_at(c, &p, "expression", "");
		if (oget_empty(e, "name"))
			ocheck_required(c, &np, "");
		else
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_QUALIFIED_NAME);
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
	struct opath sp = opath_child(&cp, "service");
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
}
