/*
 * check-policy.c - admission policies and their bindings: admissionregistration.k8s.io.
 *
 * What expressions say is not looked at: only whether they are there.
 * Source: upstream's pkg/apis/admissionregistration/validation, behaviour and words; test: tests/api/policies.py
 */
#include <string.h>

#include "base/ocleanup.h"
#include "schema/cells.h"
#include "schema/check.h"

#define AUDIT_MAX		20
#define AUDIT_EXPRESSION_MAX	(5 * 1024)

static bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without blanks at its ends. */
static struct orlop_bytes trimmed(struct orlop_bytes t)
{
	while (t.len > 0 && blank(t.p[0])) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && blank(t.p[t.len - 1]))
		t.len--;
	return t;
}

static bool empty(const struct ojson *v, const char *key)
{
	return trimmed(oget_text(v, key)).len == 0;
}

/* ---- parameters ---- */

/* All that is wrong with @t is one finding. */
static void check_part(struct ocheck *c, const struct opath *at, struct orlop_bytes t, struct orlop_bytes shown, unsigned int fmt,
		       const char *before)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];
	size_t n = oschema_format_whys(fmt, t.p, t.len, whys);
	cleanup_obuf struct obuf why = OBUF_INIT;

	obuf_puts(&why, before);
	for (size_t i = 0; i < n; i++)
		obuf_printf(&why, "%s%s", i > 0 ? "," : "", whys[i]);
	if (n > 0)
		ocheck_invalid_text(c, at, shown, obuf_cstr(&why));
}

static void check_version(struct ocheck *c, const struct opath *at, struct orlop_bytes t)
{
	const char *slash = memchr(t.p, '/', t.len);
	size_t len = slash != NULL ? (size_t)(slash - t.p) : 0;
	struct orlop_bytes group = { t.p, len }, version = t;
	cleanup_obuf struct obuf why = OBUF_INIT;

	if (slash != NULL)
		version = (struct orlop_bytes){ slash + 1, t.len - len - 1 };
	if (memchr(version.p, '/', version.len) != NULL) {
		obuf_printf(&why, "unexpected GroupVersion string: %.*s", (int)(t.len < 500 ? t.len : 500), t.p);
		ocheck_invalid_text(c, at, t, obuf_cstr(&why));
		return;
	}
	if (group.len > 0)
		check_part(c, at, group, group, OSCHEMA_FMT_DNS1123_SUBDOMAIN, "");
	if (version.len == 0)
		ocheck_invalid_text(c, at, t, "version must be specified");
	else
		check_part(c, at, version, version, OSCHEMA_FMT_DNS1035_LABEL, "");
}

OCHECK(param_kind)
{
	struct opath vp = opath_child(at, "apiVersion"), kp = opath_child(at, "kind");
	struct orlop_bytes version = oget_text(v, "apiVersion"), kind = oget_text(v, "kind");
	cleanup_obuf struct obuf small = OBUF_INIT;

	(void)old;
	if (version.len == 0)
		ocheck_required(c, &vp, "");
	else
		check_version(c, &vp, version);
	for (size_t i = 0; i < kind.len; i++)
		obuf_putc(&small, kind.p[i] >= 'A' && kind.p[i] <= 'Z' ? (char)(kind.p[i] + ('a' - 'A')) : kind.p[i]);
	if (kind.len == 0)
		ocheck_required(c, &kp, "");
	else if (obuf_err(&small))
		c->lost = true;
	else
		check_part(c, &kp, (struct orlop_bytes){ small.data, small.len }, kind, OSCHEMA_FMT_DNS1035_LABEL,
			   "may have mixed case, but should otherwise match: ");
}

OCHECK(param_ref)
{
	static const char *const actions[] = { "Deny", "Allow" };
	struct opath np = opath_child(at, "name"), sp = opath_child(at, "selector"), ap = opath_child(at, "parameterNotFoundAction");
	bool name = !oget_empty(v, "name"), selector = ojson_has(v, "selector");

	(void)old;
	if (name)
		ocheck_format(c, &np, ojson_get(v, "name"), OSCHEMA_FMT_PATH_SEGMENT);
	if (name && selector) {
		ocheck_forbidden(c, &np, "name and selector are mutually exclusive");
		ocheck_forbidden(c, &sp, "name and selector are mutually exclusive");
	}
	if (!name && !selector)
		ocheck_required(c, at, "one of name or selector must be specified");
	if (oget_empty(v, "parameterNotFoundAction"))
		ocheck_required(c, &ap, "");
	else if (!oget_is(v, "parameterNotFoundAction", actions[0]) && !oget_is(v, "parameterNotFoundAction", actions[1]))
		ocheck_not_supported(c, &ap, ojson_get(v, "parameterNotFoundAction"), actions, 2);
}

/* ---- parts of policies ---- */

static bool is_identifier(struct orlop_bytes t)
{
	static const char *const reserved[] = { "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
		"if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while" };

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (otext_is(t, reserved[i]))
			return false;
	for (size_t i = 0; i < t.len; i++) {
		char a = t.p[i];

		if (a != '_' && !(a >= 'a' && a <= 'z') && !(a >= 'A' && a <= 'Z') && !(i > 0 && a >= '0' && a <= '9'))
			return false;
	}
	return t.len > 0;
}

OCHECK(policy_variable)
{
	struct opath np = opath_child(at, "name");

	(void)old;
	if (empty(v, "name"))
		ocheck_required(c, &np, "name is not specified");
	else if (!is_identifier(oget_text(v, "name")))
		ocheck_invalid(c, &np, ojson_get(v, "name"), "must be a valid CEL identifier");
	if (empty(v, "expression"))
		ocheck_required_at(c, at, "expression", "expression is not specified");
}

OCHECK(policy_validation)
{
	static const char *const reasons[] = { "Forbidden", "Invalid", "RequestEntityTooLarge" };
	struct opath rp = opath_child(at, "reason");
	struct orlop_bytes message = trimmed(oget_text(v, "message"));
	bool known = !ojson_has(v, "reason");

	(void)old;
	if (empty(v, "expression"))
		ocheck_required_at(c, at, "expression", "expression is not specified");
	if (!oget_empty(v, "messageExpression") && empty(v, "messageExpression"))
		ocheck_invalid_at(c, at, v, "messageExpression", "must be non-empty if specified");
	if (!oget_empty(v, "message") && message.len == 0)
		ocheck_invalid_at(c, at, v, "message", "must be non-empty if specified");
	else if (memchr(message.p, '\n', message.len) != NULL || memchr(message.p, '\r', message.len) != NULL)
		ocheck_invalid_at(c, at, v, "message", "must not contain line breaks");
	for (size_t i = 0; i < 3; i++)
		known = known || oget_is(v, "reason", reasons[i]);
	if (!known)
		ocheck_not_supported(c, &rp, ojson_get(v, "reason"), reasons, 3);
}

/* Its key stands behind the policy's name where it is noted, and must be good there. */
OCHECK(audit_annotation)
{
	struct orlop_bytes name = oget_text(ojson_get(c->w->obj, "metadata"), "name"), key = oget_text(v, "key");
	struct opath kp = opath_child(at, "key");
	size_t len = trimmed(oget_text(v, "valueExpression")).len;
	cleanup_obuf struct obuf whole = OBUF_INIT;

	(void)old;
	obuf_append(&whole, name.p, name.len);
	obuf_putc(&whole, '/');
	obuf_append(&whole, key.p, key.len);
	if (name.len == 0)
		ocheck_invalid_text(c, &kp, key, "requires metadata.name be non-empty");
	else if (obuf_err(&whole))
		c->lost = true;
	else
		ocheck_format_text(c, &kp, (struct orlop_bytes){ whole.data, whole.len }, OSCHEMA_FMT_QUALIFIED_NAME);
	if (len == 0)
		ocheck_required_at(c, at, "valueExpression", "valueExpression is not specified");
	else if (len > AUDIT_EXPRESSION_MAX)
		ocheck_required_at(c, at, "valueExpression", "must not exceed 5120 bytes in length");
}

/* Of the two members just the one that the type names. */
OCHECK(policy_mutation)
{
	bool patch = oget_is(v, "patchType", "JSONPatch");
	const char *want = patch ? "jsonPatch" : "applyConfiguration", *other = patch ? "applyConfiguration" : "jsonPatch";
	struct opath wp = opath_child(at, want), op = opath_child(at, other);
	const char *text = patch ? "{applyConfiguration}" : "{jsonPatch}";

	(void)old;
	if (!patch && !oget_is(v, "patchType", "ApplyConfiguration"))
		return;
	if (!ojson_has(v, want))
		ocheck_required(c, &wp, patch ? "must be specified when patchType is JSONPatch" :
				"must be specified when patchType is ApplyConfiguration");
	else if (empty(ojson_get(v, want), "expression"))
		ocheck_required_at(c, &wp, "expression", "");
	if (ojson_has(v, other))
		ocheck_invalid_text(c, &op, (struct orlop_bytes){ text, strlen(text) }, patch ?
				    "must not be specified when patchType is JSONPatch" :
				    "must not be specified when patchType is ApplyConfiguration");
}

/* ---- policies ---- */

/* What goes away cannot be changed. Upstream does not say which rule it means. */
static void check_mutable(struct ocheck *c, const struct opath *at, const struct ojson *match)
{
	static const char *const operations[] = { "*", "CONNECT", "CREATE", "UPDATE" };
	struct opath rp = opath_child(at, "resourceRules"), p = opath_child(&rp, "operations");

	OJSON_FOREACH_ELEM(i, rule, ojson_get(match, "resourceRules"))
		OJSON_FOREACH_ELEM(k, e, ojson_get(rule, "operations")) {
			bool known = false;

			for (size_t o = 0; o < 4; o++)
				known = known || ojson_string_is(e, operations[o]);
			if (!known)
				ocheck_not_supported(c, &p, e, operations, 4);
		}
}

OCHECK(policy_spec)
{
	struct opath mp = opath_child(at, "matchConstraints"), ap = opath_child(at, "auditAnnotations");
	struct ojson *match = ojson_get(v, "matchConstraints");
	bool mutating = strcmp(c->kind, "MutatingAdmissionPolicy") == 0;

	(void)old;
	if (match != NULL && oget_len(match, "resourceRules") == 0)
		ocheck_required_at(c, &mp, "resourceRules", "");
	if (mutating) {
		check_mutable(c, &mp, match);
		return;
	}
	if (oget_len(v, "validations") == 0 && oget_len(v, "auditAnnotations") == 0) {
		ocheck_required_at(c, at, "validations", "validations or auditAnnotations must contain at least one item");
		ocheck_required(c, &ap, "validations or auditAnnotations must contain at least one item");
	}
	if (oget_len(v, "auditAnnotations") > AUDIT_MAX)
		ocheck_invalid(c, &ap, ojson_get(v, "auditAnnotations"), "must not have more than 20 auditAnnotations");
}

OCHECK(expression_warning)
{
	(void)old;
	if (oget_empty(v, "warning"))
		ocheck_required_at(c, at, "warning", "");
	if (empty(v, "fieldRef"))
		ocheck_required_at(c, at, "fieldRef", "");
}

/* ---- bindings ---- */

OCHECK(validation_actions)
{
	struct ojson *list = ojson_get(v, "validationActions");
	struct opath p = opath_child(at, "validationActions");
	bool deny = false, warn = false;

	(void)old;
	OJSON_FOREACH_ELEM(i, e, list) {
		deny = deny || ojson_string_is(e, "Deny");
		warn = warn || ojson_string_is(e, "Warn");
	}
	if (deny && warn)
		ocheck_invalid(c, &p, list, "must not contain both Deny and Warn (repeating the same validation failure information in "
			       "the API response and headers serves no purpose)");
}

OCHECK(mutating_binding)
{
	struct opath p = opath_child(at, "matchResources");

	(void)old;
	check_mutable(c, &p, ojson_get(v, "matchResources"));
}

/* ---- cells ---- */

OCELL(param_kind)
{
	struct ojson *kind = OJSON_AT(x->obj, "spec", "paramKind");
	struct obuf b = OBUF_INIT;

	if (kind != NULL)
		obuf_printf(&b, "%s/%s", ojson_get_cstr(kind, "apiVersion", ""), ojson_get_cstr(kind, "kind", ""));
	else
		obuf_puts(&b, "<unset>");
	ocell_text(x, &b);
}

/* A selector as Go prints the struct. */
static void put_selector(struct obuf *b, const struct ojson *selector)
{
	obuf_puts(b, "&LabelSelector{MatchLabels:map[string]string{");
	OJSON_FOREACH(it, ojson_get(selector, "matchLabels"))
		obuf_printf(b, "%s: %s,", it.key, ojson_cstr(it.value, ""));
	obuf_puts(b, "},MatchExpressions:[]LabelSelectorRequirement{");
	OJSON_FOREACH_ELEM(i, e, ojson_get(selector, "matchExpressions")) {
		obuf_printf(b, "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[", ojson_get_cstr(e, "key", ""),
			    ojson_get_cstr(e, "operator", ""));
		OJSON_FOREACH_ELEM(k, value, ojson_get(e, "values"))
			obuf_printf(b, "%s%s", k > 0 ? " " : "", ojson_cstr(value, ""));
		obuf_puts(b, "],},");
	}
	obuf_puts(b, "},}");
}

OCELL(param_ref)
{
	struct ojson *ref = OJSON_AT(x->obj, "spec", "paramRef");
	struct obuf b = OBUF_INIT;

	if (!oget_empty(ref, "name"))
		obuf_printf(&b, "%s/%s", oget_empty(ref, "namespace") ? "*" : ojson_get_cstr(ref, "namespace", ""),
			    ojson_get_cstr(ref, "name", ""));
	else if (ojson_has(ref, "selector"))
		put_selector(&b, ojson_get(ref, "selector"));
	else
		obuf_puts(&b, "<unset>");
	ocell_text(x, &b);
}
