/* define.c - is a CustomResourceDefinition itself valid? Findings as upstream words them. */
#include "crd/ocrd.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ostr.h"
#include "schema/seen.h"
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

static void label(const struct def *d, const char *field, const char *v, bool kind)
{
	char low[256];
	const char *bad;
	size_t n = strlen(v);

	if (!v[0]) {
		required(d, field, "");
		return;
	}
	for (size_t i = 0; i <= n && i < sizeof(low); i++)
		low[i] = kind && v[i] >= 'A' && v[i] <= 'Z' ? (char)(v[i] + 32) : v[i];
	bad = n < sizeof(low) ? oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, low, n) : "must be no more than 63 characters";
	if (bad && kind)
		say(d, "FieldValueInvalid", field, "Invalid value: \"%s\": may have mixed case, but should otherwise match: %s", v,
		    bad);
	else if (bad)
		invalid(d, field, v, bad);
}

static void check_group(const struct def *d, const struct ojson *crd, const char *group)
{
	const struct ojson *notes = OJSON_AT(crd, "metadata", "annotations");
	size_t n = strlen(group);
	const char *bad;

	if (!n) {
		required(d, "spec.group", "");
		return;
	}
	bad = oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, group, n);
	if (bad)
		invalid(d, "spec.group", group, bad);
	else if (!strchr(group, '.'))
		invalid(d, "spec.group", group, "should be a domain with at least one dot");
	if ((ostr_ends(group, n, ".k8s.io") || ostr_ends(group, n, ".kubernetes.io") || !strcmp(group, "k8s.io") ||
	     !strcmp(group, "kubernetes.io")) &&
	    !ojson_get_cstr(notes, "api-approved.kubernetes.io", "")[0])
		required(d, "metadata.annotations[api-approved.kubernetes.io]",
			 "protected groups must have approval annotation \"api-approved.kubernetes.io\", "
			 "see https://github.com/kubernetes/enhancements/pull/1111");
}

static void check_names(const struct def *d, const struct ojson *names)
{
	const char *kind = ojson_get_cstr(names, "kind", ""), *list = ojson_get_cstr(names, "listKind", "");
	char at[64];

	label(d, "spec.names.plural", ojson_get_cstr(names, "plural", ""), false);
	if (ojson_get_cstr(names, "singular", "")[0] || !kind[0])	/* without a kind nothing is made up for it */
		label(d, "spec.names.singular", ojson_get_cstr(names, "singular", ""), false);
	label(d, "spec.names.kind", kind, true);
	if (list[0] || !kind[0])
		label(d, "spec.names.listKind", list, true);
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(names, "shortNames")) {
		snprintf(at, sizeof(at), "spec.names.shortNames[%zu]", (size_t)i);
		label(d, at, ojson_cstr(e, ""), false);
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(names, "categories")) {
		snprintf(at, sizeof(at), "spec.names.categories[%zu]", (size_t)i);
		label(d, at, ojson_cstr(e, ""), false);
	}
	if (kind[0] && !strcmp(kind, list))
		invalid(d, "spec.names.listKind", list, "kind and listKind may not be the same");
}

static bool under(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && path[n] == '.' && path[n + 1];
}

static void check_scale(const struct def *d, const struct ojson *scale, const char *path)
{
	const char *spec = ojson_get_cstr(scale, "specReplicasPath", "");
	const char *status = ojson_get_cstr(scale, "statusReplicasPath", "");
	const char *sel = ojson_get_cstr(scale, "labelSelectorPath", "");
	char at[128];

	if (!scale)
		return;
	snprintf(at, sizeof(at), "%s.subresources.scale.specReplicasPath", path);
	if (!spec[0])
		required(d, at, "");
	else if (!under(spec, ".spec"))
		invalid(d, at, spec, "should be a json path under .spec");
	snprintf(at, sizeof(at), "%s.subresources.scale.statusReplicasPath", path);
	if (!status[0])
		required(d, at, "");
	else if (!under(status, ".status"))
		invalid(d, at, status, "should be a json path under .status");
	snprintf(at, sizeof(at), "%s.subresources.scale.labelSelectorPath", path);
	if (sel[0] && !under(sel, ".status") && !under(sel, ".spec"))
		invalid(d, at, sel, "should be a json path under either .spec or .status");
}

static void check_columns(const struct def *d, const struct ojson *list, const char *path)
{
	static const char types[] = "\"boolean\", \"date\", \"integer\", \"number\", \"string\"";
	char at[160], quoted[80];

	OJSON_FOREACH_ELEM(i, c, list) {
		const char *type = ojson_get_cstr(c, "type", ""), *expr = ojson_get_cstr(c, "jsonPath", "");

		snprintf(at, sizeof(at), "%s.additionalPrinterColumns[%zu].name", path, (size_t)i);
		if (!ojson_get_cstr(c, "name", "")[0])
			required(d, at, "");
		snprintf(at, sizeof(at), "%s.additionalPrinterColumns[%zu].type", path, (size_t)i);
		snprintf(quoted, sizeof(quoted), "\"%.70s\"", type);
		if (!type[0])
			required(d, at, "must be one of boolean,date,integer,number,string");
		else if (!strstr(types, quoted))
			invalid(d, at, type, "must be one of boolean,date,integer,number,string");
		snprintf(at, sizeof(at), "%s.additionalPrinterColumns[%zu].jsonPath", path, (size_t)i);
		if (!expr[0])
			required(d, at, "");
		else if (expr[0] != '.')
			invalid(d, at, expr, "must be a simple json path starting with .");
	}
}

/* A finding about the versions as a whole. */
static void versions_are(const struct def *d, const struct ojson *list, const char *why)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	(void)ojson_write(list, 0, &b);
	say(d, "FieldValueInvalid", "spec.versions", "Invalid value: %s: %s", obuf_cstr(&b), why);
}

static void check_versions(const struct def *d, const struct ojson *list)
{
	unsigned int stored = 0;
	cleanup_oseen struct oseen names;
	bool twice = false, lost = false;
	char at[128];

	oseen_init(&names, &lost);
	OJSON_FOREACH_ELEM(i, v, list) {
		const char *name = ojson_get_cstr(v, "name", "");
		const char *bad = oschema_format_check(OSCHEMA_FMT_DNS1035_LABEL, name, strlen(name));
		const struct ojson *schema = OJSON_AT(v, "schema", "openAPIV3Schema");
		char path[64];

		snprintf(path, sizeof(path), "spec.versions[%zu]", (size_t)i);
		snprintf(at, sizeof(at), "%s.name", path);
		if (bad)
			invalid(d, at, name, bad);
		twice = oseen(&names, ojson_get(v, "name"), NULL) || twice;
		stored += ojson_get_bool(v, "storage", false);
		check_scale(d, OJSON_AT(v, "subresources", "scale"), path);
		check_columns(d, ojson_get_array(v, "additionalPrinterColumns"), path);
		OJSON_FOREACH_ELEM(k, f, ojson_get_array(v, "selectableFields")) {
			snprintf(at, sizeof(at), "%s.selectableFields[%zu].jsonPath", path, (size_t)k);
			if (!ojson_get_cstr(f, "jsonPath", "")[0])
				required(d, at, "");
		}
		snprintf(at, sizeof(at), "%s.schema.openAPIV3Schema", path);
		if (schema)
			ocrd_structural(schema, at, true, d->fn, d->warn, d->arg);
		else
			required(d, at, "schemas are required");
	}
	if (twice || lost)
		versions_are(d, list, "must contain unique version names");
	if (stored != 1)
		versions_are(d, list, "must have exactly one version marked as storage version");
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

static void check_change(const struct def *d, const struct ojson *spec, const struct ojson *was)
{
	static const char *const keys[] = { "group", "scope" };
	const char *plural = ojson_get_cstr(ojson_get(spec, "names"), "plural", "");
	const char *kind = ojson_get_cstr(ojson_get(spec, "names"), "kind", "");
	char at[32];

	for (size_t i = 0; i < 2; i++) {
		const char *v = ojson_get_cstr(spec, keys[i], "");

		snprintf(at, sizeof(at), "spec.%s", keys[i]);
		if (strcmp(v, ojson_get_cstr(was, keys[i], "")))
			invalid(d, at, v, "field is immutable");
	}
	if (strcmp(plural, ojson_get_cstr(ojson_get(was, "names"), "plural", "")))
		invalid(d, "spec.names.plural", plural, "field is immutable");
	if (strcmp(kind, ojson_get_cstr(ojson_get(was, "names"), "kind", "")))
		invalid(d, "spec.names.kind", kind, "field is immutable");
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

			(void)ojson_write(v, 0, &b);
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
			invalid(d, at, name, "missing from spec.versions; it was previously a storage version, and must remain in "
				"spec.versions until a storage migration ensures no data remains persisted in it and removes it from "
				"status.storedVersions");
	}
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
		check_stored(&d, crd);
		return 0;
	}
	snprintf(want, sizeof(want), "%s.%s", plural, group);
	if (!old && strcmp(want, name))
		invalid(&d, "metadata.name", name, "must be spec.names.plural+\".\"+spec.group");
	check_group(&d, crd, group);
	if (!scope[0])
		required(&d, "spec.scope", "");
	else if (strcmp(scope, "Cluster") && strcmp(scope, "Namespaced"))
		say(&d, "FieldValueNotSupported", "spec.scope",
		    "Unsupported value: \"%s\": supported values: \"Cluster\", \"Namespaced\"", scope);
	check_names(&d, names);
	check_versions(&d, ojson_get_array(spec, "versions"));
	if (ojson_get_bool(spec, "preserveUnknownFields", false))
		say(&d, "FieldValueInvalid", "spec.preserveUnknownFields",
		    "Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
		    "spec.versions[*].schema instead");
	check_conversion(&d, ojson_get(spec, "conversion"));
	if (old)
		check_change(&d, spec, ojson_get(old, "spec"));
	check_stored(&d, crd);
	return 0;
}
