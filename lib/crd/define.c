/* define.c - is a CustomResourceDefinition itself valid? Findings as upstream words them. */
#include "crd/define.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ostr.h"
#include "schema/validate.h"

#include <stdio.h>
#include <string.h>

struct def {
	ocrd_report_fn	fn;
	void		(*warn)(void *arg, const char *text);
	void		*arg;
};

static void say(const struct def *d, const char *reason, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(const struct def *d, const char *reason, const char *field, const char *fmt, ...)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	d->fn(d->arg, reason, field, obuf_cstr(&b));
}

static void required(const struct def *d, const char *field, const char *why)
{
	say(d, "FieldValueRequired", field, "Required value%s%s", why[0] ? ": " : "", why);
}

static void invalid(const struct def *d, const char *field, const char *v, const char *why)
{
	say(d, "FieldValueInvalid", field, "Invalid value: \"%s\": %s", v, why);
}

/* A DNS label in any case, as kinds are. */
static void label(const struct def *d, const char *field, const char *v, bool kind)
{
	char low[256];
	const char *bad;
	size_t n = strlen(v);

	for (size_t i = 0; i <= n && i < sizeof(low); i++)
		low[i] = kind && v[i] >= 'A' && v[i] <= 'Z' ? (char)(v[i] + 32) : v[i];
	bad = n < sizeof(low) ? oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, low, n) : "must be no more than 63 characters";
	if (bad && kind)
		say(d, "FieldValueInvalid", field, "Invalid value: \"%s\": may have mixed case, but should otherwise match: %s", v,
		    bad);
	else if (bad)
		invalid(d, field, v, bad);
}

static void check_group(const struct def *d, const char *group)
{
	size_t n = strlen(group);
	const char *bad = oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, group, n);

	if (!n)
		required(d, "spec.group", "");
	else if (bad)
		invalid(d, "spec.group", group, bad);
	else if (!strchr(group, '.'))
		invalid(d, "spec.group", group, "should be a domain with at least one dot");
}

enum approval { NO_APPROVAL, APPROVAL_MISSING, APPROVAL_BYPASSED, APPROVED, APPROVAL_INVALID };

static enum approval approval_of(const struct ojson *crd, const char **ret)
{
	const char *note = ojson_get_cstr(OJSON_AT(crd, "metadata", "annotations"), "api-approved.kubernetes.io", ""), *host;

	*ret = note;
	host = strstr(note, "://");
	if (!note[0])
		return APPROVAL_MISSING;
	if (!strncmp(note, "unapproved", 10))
		return APPROVAL_BYPASSED;
	return host && host != note && host[3] && host[3] != '/' ? APPROVED : APPROVAL_INVALID;
}

/* The project's own groups are for definitions that were reviewed; a state that was so may stay. */
static void check_approval(const struct def *d, const struct ojson *crd, const struct ojson *old, const char *group)
{
	static const char at[] = "metadata.annotations[api-approved.kubernetes.io]";
	size_t n = strlen(group);
	const char *note, *before;
	enum approval is = approval_of(crd, &note);

	if (!ostr_ends(group, n, ".k8s.io") && !ostr_ends(group, n, ".kubernetes.io") && strcmp(group, "k8s.io") &&
	    strcmp(group, "kubernetes.io"))
		return;
	if (old && approval_of(old, &before) == is)
		return;
	if (is == APPROVAL_MISSING)
		required(d, at, "protected groups must have approval annotation \"api-approved.kubernetes.io\", "
			 "see https://github.com/kubernetes/enhancements/pull/1111");
	else if (is == APPROVAL_INVALID)
		invalid(d, at, note, "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or "
			"a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111");
}

/* What a definition asks for, or got: @path is spec.names or status.acceptedNames. */
static void check_names(const struct def *d, const struct ojson *names, const char *path)
{
	static const char *const keys[] = { "plural", "singular", "kind", "listKind" };
	const char *kind = ojson_get_cstr(names, "kind", ""), *list = ojson_get_cstr(names, "listKind", "");
	char at[64];

	for (size_t i = 0; i < 4; i++) {
		const char *v = ojson_get_cstr(names, keys[i], "");

		snprintf(at, sizeof(at), "%s.%s", path, keys[i]);
		if (v[0])
			label(d, at, v, i > 1);
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(names, "shortNames")) {
		snprintf(at, sizeof(at), "%s.shortNames[%zu]", path, (size_t)i);
		label(d, at, ojson_cstr(e, ""), false);
	}
	snprintf(at, sizeof(at), "%s.listKind", path);
	if (kind[0] && !strcmp(kind, list))
		invalid(d, at, list, "kind and listKind may not be the same");
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(names, "categories")) {
		snprintf(at, sizeof(at), "%s.categories[%zu]", path, (size_t)i);
		label(d, at, ojson_cstr(e, ""), false);
	}
}

/* Some names must be asked for; what goes without saying is made of the kind. */
static void check_asked(const struct def *d, const struct ojson *names)
{
	bool kind = ojson_get_cstr(names, "kind", "")[0] != '\0';

	if (!ojson_get_cstr(names, "plural", "")[0])
		required(d, "spec.names.plural", "");
	if (!ojson_get_cstr(names, "singular", "")[0] && !kind)
		required(d, "spec.names.singular", "");
	if (!kind)
		required(d, "spec.names.kind", "");
	if (!ojson_get_cstr(names, "listKind", "")[0] && !kind)
		required(d, "spec.names.listKind", "");
}

/* Field names are those of upstream's internal type. */
static void check_client(const struct def *d, const struct ojson *cc)
{
	static const char form[] = "desired format: https://host[/path]";
	static const char at[] = "spec.conversion.webhookClientConfig.url", service[] = "spec.conversion.webhookClientConfig.service";
	const char *url = ojson_get_cstr(cc, "url", ""), *host, *path = ojson_get_cstr(OJSON_AT(cc, "service"), "path", "");
	int64_t port = ojson_get_i64(OJSON_AT(cc, "service"), "port", 443);
	char what[64], where[96];
	size_t n;

	if (!cc) {
		required(d, "spec.conversion.webhookClientConfig", "required when strategy is set to Webhook");
		return;
	}
	if (ojson_has(cc, "url") == ojson_has(cc, "service")) {
		required(d, "spec.conversion.webhookClientConfig", "exactly one of url or service is required");
		return;
	}
	if (ojson_has(cc, "service")) {
		for (int i = 0; i < 2; i++) {
			const char *key = i ? "namespace" : "name";

			snprintf(where, sizeof(where), "%s.%s", service, key);
			snprintf(what, sizeof(what), "service %s is required", key);
			if (!ojson_get_cstr(ojson_get(cc, "service"), key, "")[0])
				required(d, where, what);
		}
		snprintf(where, sizeof(where), "%s.path", service);
		if (path[0] && path[0] != '/')
			invalid(d, where, path, "must start with a '/'");
		snprintf(where, sizeof(where), "%s.port", service);
		if (port < 1 || port > 65535)
			say(d, "FieldValueInvalid", where, "Invalid value: %lld: port is not valid: must be between 1 and 65535, inclusive",
			    (long long)port);
		return;
	}
	n = strcspn(url, ":");
	if (strncmp(url, "https://", 8)) {
		say(d, "FieldValueInvalid", at, "Invalid value: \"%.*s\": 'https' is the only allowed URL scheme; %s", url[n] ? (int)n : 0,
		    url, form);
		return;
	}
	host = url + 8;
	n = strcspn(host, "/?#");
	if (!n)
		say(d, "FieldValueInvalid", at, "Invalid value: \"\": host must be specified; %s", form);
	if (memchr(host, '@', n))
		say(d, "FieldValueInvalid", at, "Invalid value: \"%.*s\": user information is not permitted in the URL",
		    (int)strcspn(host, "@"), host);
	if (strchr(host, '#'))
		invalid(d, at, strchr(host, '#') + 1, "fragments are not permitted in the URL");
	if (strchr(host, '?'))
		invalid(d, at, strchr(host, '?') + 1, "query parameters are not permitted in the URL");
}

static void check_reviews(const struct def *d, const struct ojson *list)
{
	static const char at[] = "spec.conversion.conversionReviewVersions";
	cleanup_obuf struct obuf all = OBUF_INIT;
	bool known = false;
	char where[96];

	if (!ojson_count(list)) {
		required(d, at, "");
		return;
	}
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *v = ojson_cstr(e, ""), *bad = oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, v, strlen(v));
		bool twice = false;

		for (size_t k = 0; k < i; k++)
			twice = twice || ojson_string_is(ojson_index(list, k), v);
		snprintf(where, sizeof(where), "%s[%zu]", at, (size_t)i);
		if (twice)
			invalid(d, where, v, "duplicate version");
		else if (bad)
			invalid(d, where, v, bad);
		known = known || !strcmp(v, "v1") || !strcmp(v, "v1beta1");
		obuf_printf(&all, "%s\"%s\"", i ? "," : "", v);
	}
	if (!known)
		say(d, "FieldValueInvalid", at, "Invalid value: [%s]: must include at least one of v1, v1beta1", obuf_cstr(&all));
}

static void check_conversion(const struct def *d, const struct ojson *c)
{
	const char *how = ojson_get_cstr(c, "strategy", "");
	const struct ojson *hook = ojson_get_object(c, "webhook");

	if (!c)
		return;
	if (!how[0])
		required(d, "spec.conversion.strategy", "");
	else if (strcmp(how, "None") && strcmp(how, "Webhook"))
		say(d, "FieldValueNotSupported", "spec.conversion.strategy",
		    "Unsupported value: \"%s\": supported values: \"None\", \"Webhook\"", how);
	if (strcmp(how, "Webhook")) {
		if (ojson_get_object(hook, "clientConfig"))
			say(d, "FieldValueForbidden", "spec.conversion.webhookClientConfig",
			    "Forbidden: should not be set when strategy is not set to Webhook");
		if (ojson_count(ojson_get_array(hook, "conversionReviewVersions")))
			say(d, "FieldValueForbidden", "spec.conversion.conversionReviewVersions",
			    "Forbidden: should not be set when strategy is not set to Webhook");
		return;
	}
	check_client(d, ojson_get_object(hook, "clientConfig"));
	check_reviews(d, ojson_get_array(hook, "conversionReviewVersions"));
}

static void same(const struct def *d, const struct ojson *now, const struct ojson *was, const char *key, const char *at)
{
	const char *v = ojson_get_cstr(now, key, "");

	if (strcmp(v, ojson_get_cstr(was, key, "")))
		invalid(d, at, v, "field is immutable");
}

/* What the objects are stored under stays; what they are stored as, from when it was taken. */
static void check_change(const struct def *d, const struct ojson *spec, const struct ojson *old)
{
	const struct ojson *was = ojson_get(old, "spec");
	bool established = false;

	OJSON_FOREACH_ELEM(i, c, ojson_get_array(ojson_get(old, "status"), "conditions"))
		established = established || (ojson_string_is(ojson_get(c, "type"), "Established") &&
					      ojson_string_is(ojson_get(c, "status"), "True"));
	if (established) {
		same(d, spec, was, "scope", "spec.scope");
		same(d, ojson_get(spec, "names"), ojson_get(was, "names"), "kind", "spec.names.kind");
	}
	same(d, spec, was, "group", "spec.group");
	same(d, ojson_get(spec, "names"), ojson_get(was, "names"), "plural", "spec.names.plural");
}

/* Versions that objects may be stored in, and those there are: each of the first, once, among the second. */
static void check_stored(const struct def *d, const struct ojson *crd)
{
	static const char path[] = "status.storedVersions";
	const struct ojson *list = ojson_get_array(ojson_get(crd, "spec"), "versions");
	const struct ojson *stored = ojson_get_array(ojson_get(crd, "status"), "storedVersions");
	char at[64];

	if (!ojson_count(stored)) {
		say(d, "FieldValueInvalid", path, "Invalid value: %s: must have at least one stored version",
		    stored ? "[]" : "null");
		return;
	}
	OJSON_FOREACH_ELEM(i, v, list) {
		const char *name = ojson_get_cstr(v, "name", "");
		bool found = false;

		OJSON_FOREACH_ELEM(k, s, stored)
			found = found || ojson_string_is(s, name);
		for (size_t k = 0; k < i; k++)	/* each stands for one version */
			found = found && !ojson_string_is(ojson_get(ojson_index(list, k), "name"), name);
		if (ojson_get_bool(v, "storage", false) && !found) {
			cleanup_obuf struct obuf b = OBUF_INIT;

			(void)ojson_write(stored, 0, &b);
			say(d, "FieldValueInvalid", path, "Invalid value: %s: must have the storage version %s", obuf_cstr(&b), name);
		}
	}
	OJSON_FOREACH_ELEM(i, s, stored) {
		const char *name = ojson_cstr(s, "");
		bool found = false;

		OJSON_FOREACH_ELEM(k, v, list)
			found = found || !strcmp(name, ojson_get_cstr(v, "name", ""));
		snprintf(at, sizeof(at), "%s[%zu]", path, (size_t)i);
		if (!found)
			say(d, "FieldValueInvalid", at, "Invalid value: \"%s\": missing from spec.versions; %s was previously a storage version, "
			    "and must remain in spec.versions until a storage migration ensures no data remains persisted in %s and "
			    "removes %s from status.storedVersions", name, name, name, name);
	}
}

void ocrd_validate_status(const struct ojson *crd, ocrd_report_fn fn, void *arg)
{
	struct def d = { fn, NULL, arg };

	check_names(&d, OJSON_AT(crd, "status", "acceptedNames"), "status.acceptedNames");
}

int ocrd_validate(const struct ojson *crd, const struct ojson *old, ocrd_report_fn fn,
		  void (*warn)(void *arg, const char *text), void *arg)
{
	struct def d = { fn, warn, arg };
	const struct ojson *spec = ojson_get(crd, "spec"), *names = ojson_get(spec, "names");
	const char *name = ojson_get_cstr(ojson_get(crd, "metadata"), "name", "");
	const char *group = ojson_get_cstr(spec, "group", ""), *plural = ojson_get_cstr(names, "plural", "");
	const char *scope = ojson_get_cstr(spec, "scope", "");
	char want[600];

	/* what is stored is looked at again only where it changes: it may be from before */
	if (old && ojson_equal(spec, ojson_get(old, "spec"))) {
		ocrd_validate_status(crd, fn, arg);
		check_stored(&d, crd);
		check_approval(&d, crd, old, group);
		return 0;
	}
	snprintf(want, sizeof(want), "%s.%s", plural, group);
	if (!old && strcmp(want, name))
		invalid(&d, "metadata.name", name, "must be spec.names.plural+\".\"+spec.group");
	check_group(&d, group);
	if (!scope[0])
		required(&d, "spec.scope", "");
	else if (strcmp(scope, "Cluster") && strcmp(scope, "Namespaced"))
		say(&d, "FieldValueNotSupported", "spec.scope",
		    "Unsupported value: \"%s\": supported values: \"Cluster\", \"Namespaced\"", scope);
	define_versions(spec, fn, warn, arg);
	check_asked(&d, names);
	check_names(&d, names, "spec.names");
	define_shared(spec, fn, warn, arg);
	check_conversion(&d, ojson_get(spec, "conversion"));
	if (ojson_get_bool(spec, "preserveUnknownFields", false) && strcmp(ojson_get_cstr(OJSON_AT(spec, "conversion"), "strategy", "None"), "None"))
		invalid(&d, "spec.conversion.strategy", ojson_get_cstr(OJSON_AT(spec, "conversion"), "strategy", ""),
			"must be None if spec.preserveUnknownFields is true");
	if (old)
		check_change(&d, spec, old);
	ocrd_validate_status(crd, fn, arg);
	check_stored(&d, crd);
	check_approval(&d, crd, old, group);
	if (ojson_get_bool(spec, "preserveUnknownFields", false))
		say(&d, "FieldValueInvalid", "spec.preserveUnknownFields",
		    "Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
		    "spec.versions[*].schema instead");
	return 0;
}
