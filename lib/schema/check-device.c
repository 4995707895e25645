/*
 * check-device.c - claims of devices, what drivers offer, and what was given: resource.k8s.io.
 *
 * CEL expressions are not compiled: what stands in a selector is only measured.
 * Source: the facts of upstream's k8s.io/kubernetes/pkg/apis/resource/validation; test: tests/api/devices.py
 */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

#define EXPRESSION_MAX	(10 * 1024)
#define PARAMETERS_MAX	(10 * 1024)
#define VALUE_MAX	64
#define ID_MAX		32
#define REF_WHY		"must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
#define WHERE_WHY	"exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"

/* ---- names ---- */

static bool is_c_identifier(struct orlop_bytes t)
{
	for (size_t i = 0; i < t.len; i++) {
		char c = t.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return t.len > 0;
}

static void check_identifier(struct ocheck *c, const struct opath *at, struct orlop_bytes t)
{
	if (t.len > ID_MAX)
		ocheck_too_long(c, at, ID_MAX);
	if (!is_c_identifier(t))
		ocheck_invalid_text(c, at, t, "a valid C identifier must start with alphabetic character or '_', followed by a string of "
				    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
				    "'[A-Za-z_][A-Za-z0-9_]*')");
}

/* [DOMAIN/]IDENTIFIER */
static void check_qualified(struct ocheck *c, const struct opath *at, struct orlop_bytes t)
{
	const char *slash = t.len > 0 ? memchr(t.p, '/', t.len) : NULL;
	struct orlop_bytes domain = { t.p, slash != NULL ? (size_t)(slash - t.p) : 0 };
	struct orlop_bytes id = slash != NULL ? (struct orlop_bytes){ slash + 1, t.len - domain.len - 1 } : t;
	const char *why;

	if (t.len == 0) {
		ocheck_required(c, at, "name required");
		return;
	}
	if (slash != NULL && domain.len == 0)
		ocheck_required(c, at, "the domain must not be empty");
	if (domain.len > 63)
		ocheck_too_long(c, at, 63);
	why = domain.len > 0 ? oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, domain.p, domain.len) : NULL;
	if (why != NULL)
		ocheck_invalid_text(c, at, domain, why);
	if (id.len == 0)
		ocheck_required(c, at, "the name must not be empty");
	else
		check_identifier(c, at, id);
}

/* One or more DNS subdomains with slashes between them. */
OCHECK(pool_name)
{
	struct orlop_bytes t = otext(v);

	(void)old;
	for (size_t from = 0; from <= t.len;) {
		const char *slash = memchr(t.p + from, '/', t.len - from);
		size_t end = slash != NULL ? (size_t)(slash - t.p) : t.len;
		const char *why = oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, t.p + from, end - from);

		if (why != NULL)
			ocheck_invalid_text(c, at, (struct orlop_bytes){ t.p + from, end - from }, why);
		from = end + 1;
	}
}

/* ---- what is asked for ---- */

OCHECK(device_count)
{
	static const char *const modes[] = { "All", "ExactCount" };
	struct opath mp = opath_child(at, "allocationMode"), cp = opath_child(at, "count");
	struct ojson *mode = ojson_get(v, "allocationMode"), *count = ojson_get(v, "count");

	(void)old;
	if (otext_is(otext(mode), "All")) {
		if (oget_int(v, "count") != 0)
			ocheck_invalid(c, &cp, count, "must not be specified when allocationMode is 'All'");
	} else if (otext_is(otext(mode), "ExactCount")) {
		if (oget_int(v, "count") <= 0)
			ocheck_invalid(c, &cp, count, "must be greater than zero");
	} else {
		ocheck_not_supported(c, &mp, mode, modes, 2);
	}
}

OCHECK(device_request)
{
	bool exactly = ojson_has(v, "exactly"), first = oget_len(v, "firstAvailable") > 0;

	(void)old;
	if (exactly && first)
		ocheck_invalid(c, at, NULL, "exactly one of `exactly` or `firstAvailable` is required");
	else if (!exactly && !first)
		ocheck_required(c, at, "exactly one of `exactly` or `firstAvailable` is required");
}

OCHECK(device_expression)
{
	struct orlop_bytes t = otext(v);

	(void)old;
	if (t.len > EXPRESSION_MAX)
		ocheck_too_long(c, at, EXPRESSION_MAX);
	else if (t.len == 0)
		ocheck_invalid(c, at, v, "compilation failed: the expression is empty");
}

OCHECK(device_parameters)
{
	static const struct orlop_bytes omitted = { "<value omitted>", 15 };
	struct obuf b = OBUF_INIT;

	(void)old;
	if (v == NULL)
		ocheck_required(c, at, "");
	else if (!ojson_is(v, OJSON_OBJECT))
		ocheck_invalid_text(c, at, omitted, "must be a valid JSON object");
	else if (ojson_write(v, 0, &b) == 0 && b.len > PARAMETERS_MAX)
		ocheck_too_long(c, at, PARAMETERS_MAX);
	obuf_done(&b);
}

OCHECK(device_constraint)
{
	static const char *const names[] = { "matchAttribute", "distinctAttribute" };
	bool match = ojson_has(v, names[0]), distinct = ojson_has(v, names[1]);

	(void)old;
	if (match && distinct)
		ocheck_invalid(c, at, NULL, "exactly one of `matchAttribute` or `distinctAttribute` is required");
	else if (!match && !distinct)
		ocheck_required(c, at, "exactly one of `matchAttribute` or `distinctAttribute` is required");
	for (size_t i = 0; i < 2; i++) {
		struct opath p = opath_child(at, names[i]);
		struct orlop_bytes t = oget_text(v, names[i]);

		if (!ojson_has(v, names[i]))
			continue;
		check_qualified(c, &p, t);
		if (t.len > 0 && memchr(t.p, '/', t.len) == NULL)
			ocheck_invalid_text(c, &p, t, "must include a domain");
	}
}

OCHECK(extended_resource)
{
	struct orlop_bytes t = otext(v);
	const char *slash = t.len > 0 ? memchr(t.p, '/', t.len) : NULL;

	(void)old;
	if (v == NULL)
		return;
	if (slash == NULL || oschema_format_check(OSCHEMA_FMT_QUALIFIED_NAME, t.p, t.len) != NULL ||
	    ostr_starts(t.p, t.len, "requests.") || ((size_t)(slash - t.p) >= 13 && memcmp(slash - 13, "kubernetes.io", 13) == 0))
		ocheck_invalid(c, at, v, "must be a valid extended resource name");
}

/* ---- references to requests ---- */

#define LIST_MAX	64	/* a longer list is refused by its rule, and not looked through */

static struct ojson *by_name(const struct ojson *list, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes n = oget_text(e, "name");

		if (i == LIST_MAX)
			break;
		if (n.len > 0 && ostr_eq(n.p, n.len, name.p, name.len))
			return e;
	}
	return NULL;
}

/* REQUEST or REQUEST/SUBREQUEST, which the claim must have. */
static void check_ref(struct ocheck *c, const struct opath *at, const struct ojson *claim, struct ojson *v)
{
	struct orlop_bytes t = otext(v);
	const char *slash = t.len > 0 ? memchr(t.p, '/', t.len) : NULL;
	struct orlop_bytes first = { t.p, slash != NULL ? (size_t)(slash - t.p) : t.len };
	struct orlop_bytes second = slash != NULL ? (struct orlop_bytes){ slash + 1, t.len - first.len - 1 } : (struct orlop_bytes){ "", 0 };
	struct ojson *request = by_name(ojson_get(claim, "requests"), first);
	const char *why;

	if (second.len > 0 && memchr(second.p, '/', second.len) != NULL) {
		ocheck_invalid(c, at, v, REF_WHY);
		return;
	}
	why = oschema_format_check(OSCHEMA_FMT_DNS1123_LABEL, first.p, first.len);
	if (why != NULL)
		ocheck_invalid_text(c, at, first, why);
	why = slash != NULL ? oschema_format_check(OSCHEMA_FMT_DNS1123_LABEL, second.p, second.len) : NULL;
	if (why != NULL)
		ocheck_invalid_text(c, at, second, why);
	if (request == NULL || (slash != NULL && by_name(ojson_get(request, "firstAvailable"), second) == NULL))
		ocheck_invalid(c, at, v, REF_WHY);
}

/* The requests of each element of the list @key. */
static void check_refs(struct ocheck *c, const struct opath *at, const struct ojson *claim, struct ojson *holder, const char *key)
{
	struct opath lp = opath_child(at, key);

	OJSON_FOREACH_ELEM(i, e, ojson_get(holder, key)) {
		struct opath ep = opath_index(&lp, i), rp = opath_child(&ep, "requests");

		if (i == LIST_MAX)
			break;
		OJSON_FOREACH_ELEM(k, name, ojson_get(e, "requests")) {
			struct opath np = opath_index(&rp, k);

			if (k == LIST_MAX)
				break;
			check_ref(c, &np, claim, name);
		}
	}
}

OCHECK(device_claim)
{
	(void)old;
	check_refs(c, at, v, v, "constraints");
	check_refs(c, at, v, v, "config");
}

/* ---- what was given ---- */

static bool among(const struct ojson *list, const struct ojson *e)
{
	OJSON_FOREACH_ELEM(i, o, list)
		if (ojson_equal(o, e))
			return true;
	return false;
}

static bool is_given(const struct ojson *allocation, const struct ojson *device)
{
	static const char *const keys[] = { "driver", "pool", "device", "shareID" };

	OJSON_FOREACH_ELEM(i, r, ojson_get(ojson_get(allocation, "devices"), "results")) {
		bool same = true;

		if (i == LIST_MAX)
			break;
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			same = same && ojson_equal(ojson_get(r, keys[k]), ojson_get(device, keys[k]));
		if (same)
			return true;
	}
	return false;
}

static void check_devices(struct ocheck *c, const struct opath *at, struct ojson *status)
{
	struct ojson *list = ojson_get(status, "devices");
	struct opath dp = opath_child(at, "devices");

	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath ep = opath_index(&dp, i), xp = opath_child(&ep, "data");
		struct obuf b = OBUF_INIT;

		if (!is_given(ojson_get(status, "allocation"), e))
			ocheck_invalid(c, &ep, e, "must be an allocated device in the claim");
		if (ojson_has(e, "data") && ojson_write(ojson_get(e, "data"), 0, &b) == 0 && b.len > PARAMETERS_MAX)
			ocheck_too_long(c, &xp, PARAMETERS_MAX);
		obuf_done(&b);
	}
}

static void check_allocation(struct ocheck *c, const struct opath *at, const struct ojson *claim, struct ojson *allocation)
{
	struct ojson *devices = ojson_get(allocation, "devices");
	struct opath dp = opath_child(at, "devices"), rp = opath_child(&dp, "results");

	OJSON_FOREACH_ELEM(i, e, ojson_get(devices, "results")) {
		struct opath ep = opath_index(&rp, i), np = opath_child(&ep, "request");

		if (i == LIST_MAX)
			break;
		check_ref(c, &np, claim, ojson_get(e, "request"));
	}
	check_refs(c, &dp, claim, devices, "config");
}

OCHECK(resource_claim)
{
	struct ojson *status = ojson_get(v, "status"), *was = ojson_get(old, "status"), *users = ojson_get(status, "reservedFor");
	struct ojson *allocation = ojson_get(status, "allocation"), *before = ojson_get(was, "allocation");
	struct opath sp = opath_child(at, "status"), up = opath_child(&sp, "reservedFor"), ap = opath_child(&sp, "allocation");
	bool more = false;

	if (!otext_is(c->w->sub, "status"))
		return;
	OJSON_FOREACH_ELEM(i, e, users)
		more = more || !among(ojson_get(was, "reservedFor"), e);
	if (users != NULL && ojson_count(users) > 0 && allocation == NULL)
		ocheck_forbidden(c, &up, "may not be specified when `allocated` is not set");
	else if (more && ojson_has(ojson_get(v, "metadata"), "deletionTimestamp"))
		ocheck_forbidden(c, &up, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
	check_devices(c, &sp, status);
	if (allocation != NULL && before != NULL) {
		if (!ojson_equal(allocation, before))
			ocheck_invalid(c, &ap, allocation, "field is immutable");
	} else if (allocation != NULL) {
		check_allocation(c, &ap, ojson_get(ojson_get(v, "spec"), "devices"), allocation);
	}
}

/* ---- what drivers offer ---- */

/* major.minor.patch[-pre][+build], without needless zeros */
static bool is_version(struct orlop_bytes t)
{
	size_t i = 0;

	for (int part = 0; part < 3; part++) {
		size_t from = i;

		while (i < t.len && t.p[i] >= '0' && t.p[i] <= '9')
			i++;
		if (i == from || (i - from > 1 && t.p[from] == '0'))
			return false;
		if (part < 2 && (i >= t.len || t.p[i++] != '.'))
			return false;
	}
	for (char mark = '-'; mark != 0; mark = mark == '-' ? '+' : 0) {
		if (i >= t.len || t.p[i] != mark)
			continue;
		i++;
		for (size_t from = i;; i++) {
			char ch = i < t.len ? t.p[i] : '\0';
			bool digits = true;

			if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '-')
				continue;
			if (i == from)
				return false;
			for (size_t k = from; k < i; k++)
				digits = digits && t.p[k] >= '0' && t.p[k] <= '9';
			if (mark == '-' && digits && i - from > 1 && t.p[from] == '0')
				return false;
			if (ch != '.')
				break;
			from = i + 1;
		}
	}
	return i == t.len;
}

OCHECK(device_attribute)
{
	static const char *const values[] = { "int", "bool", "string", "version", "ints", "bools", "strings", "versions" };
	struct opath sp = opath_child(at, "string"), vp = opath_child(at, "version");
	unsigned int n = 0;

	(void)old;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		n += ojson_has(v, values[i]);
	if (oget_text(v, "string").len > VALUE_MAX)
		ocheck_too_long(c, &sp, VALUE_MAX);
	if (ojson_has(v, "version") && !is_version(oget_text(v, "version")))
		ocheck_invalid_at(c, at, v, "version", "must be a string compatible with semver.org spec 2.0.0");
	if (oget_text(v, "version").len > VALUE_MAX)
		ocheck_too_long(c, &vp, VALUE_MAX);
	if (n == 0)
		ocheck_required(c, at, "exactly one value must be specified");
	else if (n > 1)
		ocheck_invalid(c, at, v, "exactly one value must be specified");
}

static void check_keys(struct ocheck *c, const struct opath *at, struct ojson *v, const char *key)
{
	struct opath p = opath_child(at, key);

	OJSON_FOREACH(it, ojson_get(v, key)) {
		struct opath kp = opath_key(&p, it.key);

		check_qualified(c, &kp, (struct orlop_bytes){ it.key, it.key_len });
	}
}

OCHECK(device)
{
	size_t n = oget_len(v, "attributes") + oget_len(v, "capacity");

	(void)old;
	check_keys(c, at, v, "attributes");
	check_keys(c, at, v, "capacity");
	if (n > 32) {
		char text[32];

		ocheck_invalid_text(c, at, (struct orlop_bytes){ text, (size_t)snprintf(text, sizeof(text), "%zu", n) },
				    "the total number of attributes and capacities must not exceed 32");
	}
}

OCHECK(resource_slice)
{
	static const char *const flags[] = { "allNodes", "perDeviceNodeSelection" };
	struct ojson *selector = ojson_get(v, "nodeSelector"), *pool = ojson_get(v, "pool");
	struct opath sp = opath_child(at, "nodeSelector"), tp = opath_child(&sp, "nodeSelectorTerms"), np = opath_child(at, "nodeName");
	struct opath pp = opath_child(at, "pool"), pnp = opath_child(&pp, "name"), dp = opath_child(at, "devices");
	struct orlop_bytes node = oget_text(v, "nodeName");
	struct obuf set = OBUF_INIT;
	bool fewer = false;
	unsigned int n = 0;

	if (old != NULL && !ojson_equal(ojson_get(pool, "name"), ojson_get(ojson_get(old, "pool"), "name")))
		ocheck_invalid(c, &pnp, ojson_get(pool, "name"), "field is immutable");
	if (ojson_has(v, "nodeName") && node.len == 0)
		ocheck_invalid(c, &np, ojson_get(v, "nodeName"), "must be either unset or set to a non-empty string");
	if (node.len > 0) {
		ocheck_format(c, &np, ojson_get(v, "nodeName"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		obuf_printf(&set, "%s`nodeName`", n++ > 0 ? ", " : "");
	}
	if (selector != NULL) {
		if (oget_len(selector, "nodeSelectorTerms") != 1)
			ocheck_invalid(c, &tp, ojson_get(selector, "nodeSelectorTerms"), "must have exactly one node selector term");
		obuf_printf(&set, "%s`nodeSelector`", n++ > 0 ? ", " : "");
	}
	for (size_t i = 0; i < 2; i++) {
		if (!ojson_has(v, flags[i]))
			continue;
		if (oget_bool(v, flags[i]))
			obuf_printf(&set, "%s`%s`", n++ > 0 ? ", " : "", flags[i]);
		else
			ocheck_invalid_at(c, at, v, flags[i], "must be either unset or set to true");
	}
	if (n == 0) {
		ocheck_required(c, at, WHERE_WHY);
	} else if (n > 1) {
		struct obuf all = OBUF_INIT;

		obuf_printf(&all, "{%s}", obuf_cstr(&set));
		ocheck_invalid_text(c, at, (struct orlop_bytes){ obuf_cstr(&all), all.len }, WHERE_WHY ", but multiple fields are set");
		obuf_done(&all);
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "devices"))
		fewer = fewer || oget_len(e, "taints") > 0 || oget_len(e, "consumesCounters") > 0;
	if (fewer && oget_len(v, "devices") > 64)
		ocheck_too_many(c, &dp, oget_len(v, "devices"), 64);
	obuf_done(&set);
}
