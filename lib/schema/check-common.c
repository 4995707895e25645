/*
 * check-common.c - metadata of every kind, labels, selectors, taints.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"
#include "schema/seen.h"

#define ANNOTATIONS_MAX (256 * 1024)

void ocheck_labels(struct ocheck *c, const struct opath *at, struct ojson *labels)
{
	OJSON_FOREACH(it, labels) {
		ocheck_format_text(c, at, (struct orlop_bytes){ it.key, it.key_len }, OSCHEMA_FMT_QUALIFIED_NAME);
		ocheck_format_text(c, at, otext(it.value), OSCHEMA_FMT_LABEL_VALUE);
	}
}

void ocheck_annotations(struct ocheck *c, const struct opath *at, struct ojson *annotations)
{
	size_t total = 0;

	OJSON_FOREACH(it, annotations) {
		const char *whys[OSCHEMA_FORMAT_WHYS];
		char lower[320];
		size_t n = it.key_len < sizeof(lower) ? it.key_len : sizeof(lower);

		/* the rule is checked as if the key were in lower case */
		for (size_t i = 0; i < n; i++)
			lower[i] = (char)(it.key[i] >= 'A' && it.key[i] <= 'Z' ? it.key[i] + 32 : it.key[i]);
		n = oschema_format_whys(OSCHEMA_FMT_QUALIFIED_NAME, lower, n, whys);
		for (size_t i = 0; i < n; i++)
			ocheck_invalid_text(c, at, (struct orlop_bytes){ it.key, it.key_len }, whys[i]);
		total += it.key_len + otext(it.value).len;
	}
	if (total > ANNOTATIONS_MAX)
		ocheck_too_long(c, at, ANNOTATIONS_MAX);
}

OCHECK(labels)
{
	uint32_t before = c->found;

	(void)old;
	ocheck_labels(c, at, v);
	if (c->found > before && at->up != NULL && at->up->name != NULL && ostr_is(at->up->name, at->up->len, "selector") &&
	    at->up->up != NULL && at->up->up->up == NULL)
		c->bad_selector = true;
}

/* ---- metadata ---- */

static void check_names(struct ocheck *c, const struct oschema_resource *r, const struct opath *at,
			struct ojson *meta)
{
	struct orlop_bytes name = oget_text(meta, "name"), base = oget_text(meta, "generateName");
	struct orlop_bytes ns = oget_text(meta, "namespace");
	struct opath np = opath_child(at, "name"), sp = opath_child(at, "namespace");
	const char *whys[OSCHEMA_FORMAT_WHYS];
	size_t n = base.len > 0 ? oschema_format_whys_prefix(r->name_rule, base.p, base.len, whys) : 0;

	for (size_t i = 0; i < n; i++)
		ocheck_invalid_at(c, at, meta, "generateName", whys[i]);
	if (name.len == 0)
		ocheck_required_at(c, at, "name", "name or generateName is required");
	else
		ocheck_format_text(c, &np, name, r->name_rule);
	if ((r->flags & OSCHEMA_S_NAMESPACED) == 0) {
		if (ns.len > 0)
			ocheck_forbidden_at(c, at, "namespace", "not allowed on this type");
	} else if (ns.len == 0) {
		ocheck_required_at(c, at, "namespace", "");
	} else {
		ocheck_format_text(c, &sp, ns, OSCHEMA_FMT_DNS1123_LABEL);
	}
}

static void check_owners(struct ocheck *c, const struct opath *at, struct ojson *owners)
{
	static const char *const must[] = { "kind", "name", "uid" };
	struct ojson *controller = NULL;

	OJSON_FOREACH_ELEM(i, o, owners) {
		struct opath p = opath_index(at, i);
		struct orlop_bytes version = oget_text(o, "apiVersion");
		const char *slash = memchr(version.p, '/', version.len);
		char text[400];

		if (version.len == 0 || (slash != NULL && slash + 1 == version.p + version.len))
			ocheck_invalid_at(c, &p, o, "apiVersion", "version must not be empty");
		for (size_t k = 0; k < 3; k++)
			if (oget_empty(o, must[k]))
				ocheck_invalid_at(c, &p, o, must[k], "must not be empty");
		if (oget_is(o, "kind", "Event") &&
		    (otext_is(version, "v1") || otext_is(version, "events.k8s.io/v1")))
			ocheck_invalid(c, &p, o, otext_is(version, "v1") ? "/v1, Kind=Event is disallowed from being "
				       "an owner" : "events.k8s.io/v1, Kind=Event is disallowed from being an owner");
		if (!oget_bool(o, "controller"))
			continue;
		if (controller != NULL) {
			(void)snprintf(text, sizeof(text), "Only one reference can have Controller set to true. Found "
				       "\"true\" in references for %s and %s", ojson_get_cstr(controller, "name", ""),
				       ojson_get_cstr(o, "name", ""));
			ocheck_invalid(c, at, owners, text);
		}
		controller = o;
	}
}

static bool list_has(struct ojson *list, struct orlop_bytes text)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ostr_eq(otext(e).p, otext(e).len, text.p, text.len))
			return true;
	return false;
}

static void check_finalizer_names(struct ocheck *c, const struct opath *at, struct ojson *list, bool element_path)
{
	OJSON_FOREACH_ELEM(i, f, list) {
		struct orlop_bytes t = otext(f);
		struct opath e = opath_index(at, i);
		const struct opath *p = element_path ? &e : at;
		ocheck_format(c, p, f, OSCHEMA_FMT_QUALIFIED_NAME);
		if (memchr(t.p, '/', t.len) == NULL && !otext_is(t, "kubernetes") && !otext_is(t, "orphan") &&
			 !otext_is(t, "foregroundDeletion"))
			ocheck_invalid(c, p, f, "name is neither a standard finalizer name nor is it fully qualified");
	}
}

static void check_finalizers(struct ocheck *c, const struct opath *at, struct ojson *meta, struct ojson *old)
{
	struct opath p = opath_child(at, "finalizers");
	struct ojson *list = ojson_get(meta, "finalizers"), *had = ojson_get(old, "finalizers");
	cleanup_oseen struct oseen before;
	struct obuf b = OBUF_INIT;
	bool fresh = false;

	oseen_init(&before, &c->lost);
	check_finalizer_names(c, &p, list, false);
	if (list_has(list, (struct orlop_bytes){ "orphan", 6 }) &&
	    list_has(list, (struct orlop_bytes){ "foregroundDeletion", 18 }))
		ocheck_invalid(c, &p, list, "finalizer orphan and foregroundDeletion cannot be both set");
	if (old == NULL || !ojson_has(old, "deletionTimestamp"))
		return;
	obuf_puts(&b, "no new finalizers can be added if the object is being deleted, found new finalizers []string{");
	OJSON_FOREACH_ELEM(k, h, had)
		(void)oseen(&before, h, NULL);
	OJSON_FOREACH_ELEM(i, f, list) {
		struct orlop_bytes t = otext(f);

		if (oseen_has(&before, f))
			continue;
		obuf_puts(&b, fresh ? ", " : "");
		obuf_put_quoted(&b, t.p, t.len);
		fresh = true;
	}
	obuf_putc(&b, '}');
	if (fresh)
		ocheck_forbidden(c, &p, obuf_cstr(&b));
	obuf_done(&b);
}

void ocheck_meta(struct ocheck *c, const struct oschema_resource *r, struct ojson *obj, struct ojson *old_obj)
{
	static const char *const fixed[] = { "name", "namespace", "uid", "creationTimestamp",
					     "deletionTimestamp", "deletionGracePeriodSeconds" };
	struct ojson *meta = ojson_get(obj, "metadata"), *old = ojson_get(old_obj, "metadata");
	struct opath at = opath_child(NULL, "metadata");
	struct opath labels = opath_child(&at, "labels"), notes = opath_child(&at, "annotations");
	struct opath owners = opath_child(&at, "ownerReferences");

	check_names(c, r, &at, meta);
	if (oget_int(meta, "generation") < 0)
		ocheck_invalid_at(c, &at, meta, "generation", "must be greater than or equal to 0");
	ocheck_labels(c, &labels, ojson_get(meta, "labels"));
	ocheck_annotations(c, &notes, ojson_get(meta, "annotations"));
	check_owners(c, &owners, ojson_get(meta, "ownerReferences"));
	check_finalizers(c, &at, meta, old);
	if (old == NULL)
		return;
	if (oget_int(meta, "generation") < oget_int(old, "generation"))
		ocheck_invalid_at(c, &at, meta, "generation", "must not be decremented");
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct ojson *was = ojson_get(old, fixed[i]), *is = ojson_get(meta, fixed[i]);

		/* what is not given is filled in from the stored object by the registry */
		if (is != NULL && was != NULL && !ojson_equal(is, was))
			ocheck_invalid_at(c, &at, meta, fixed[i], "field is immutable");
	}
}

/* ---- selectors, taints ---- */

/* Of spec.selector.matchExpressions[i]? */
static bool is_spec_selector(const struct opath *at)
{
	const struct opath *p = at->up != NULL ? at->up->up : NULL;

	return p != NULL && p->name != NULL && ostr_is(p->name, p->len, "selector") && p->up != NULL && p->up->up == NULL;
}

bool ocheck_found_in(const struct ocheck *c, const struct opath *at)
{
	struct obuf b = OBUF_INIT;
	size_t n;
	bool found = false;

	if (c->found == 0 || c->err == NULL || c->err->causes == NULL)
		return false;
	opath_put(at, &b);
	n = strlen(obuf_cstr(&b));
	for (uint32_t i = 0; i < c->err->causes->n && !found; i++) {
		const char *field = c->err->causes->v[i].field;

		found = strncmp(field, obuf_cstr(&b), n) == 0 && (field[n] == '\0' || field[n] == '.' || field[n] == '[');
	}
	obuf_done(&b);
	return found;
}

OCHECK(label_requirement)
{
	struct opath key = opath_child(at, "key");
	size_t n = oget_len(v, "values");
	uint32_t before = c->found;

	(void)old;
	if (oget_is(v, "operator", "In") || oget_is(v, "operator", "NotIn")) {
		if (n == 0)
			ocheck_required_at(c, at, "values", "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (oget_is(v, "operator", "Exists") || oget_is(v, "operator", "DoesNotExist")) {
		if (n > 0)
			ocheck_forbidden_at(c, at, "values",
					    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else {
		ocheck_invalid_at(c, at, v, "operator", "not a valid selector operator");
	}
	ocheck_format(c, &key, ojson_get(v, "key"), OSCHEMA_FMT_QUALIFIED_NAME);
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "values")) {
		struct opath values = opath_child(at, "values"), p = opath_index(&values, i);

		ocheck_format(c, &p, e, OSCHEMA_FMT_LABEL_VALUE);
	}
	if (c->found > before && is_spec_selector(at))
		c->bad_selector = true;
}

bool ocheck_selects(struct ojson *selector, struct ojson *labels)
{
	OJSON_FOREACH(it, ojson_get(selector, "matchLabels"))
		if (!ojson_equal(it.value, ojson_get_n(labels, it.key, it.key_len)))
			return false;
	OJSON_FOREACH_ELEM(i, e, ojson_get(selector, "matchExpressions")) {
		struct orlop_bytes key = oget_text(e, "key");
		struct ojson *v = ojson_get_n(labels, key.p, key.len);
		bool in = v != NULL && list_has(ojson_get(e, "values"), otext(v));

		if ((oget_is(e, "operator", "In") && !in) || (oget_is(e, "operator", "NotIn") && in) ||
		    (oget_is(e, "operator", "Exists") && v == NULL) ||
		    (oget_is(e, "operator", "DoesNotExist") && v != NULL))
			return false;
	}
	return true;
}

OCHECK(namespace)
{
	struct opath spec = opath_child(at, "spec"), p = opath_child(&spec, "finalizers");
	struct opath status = opath_child(at, "status"), phase = opath_child(&status, "Phase");	/* as upstream writes it */
	bool going = ojson_has(ojson_get(v, "metadata"), "deletionTimestamp");

	(void)old;
	if (otext_is(c->w->sub, "status")) {
		if (!oget_is(ojson_get(v, "status"), "phase", going ? "Terminating" : "Active"))
			ocheck_invalid(c, &phase, OJSON_AT(v, "status", "phase"), going ?
					  "may only be 'Terminating' if `deletionTimestamp` is not empty" :
					  "may only be 'Active' if `deletionTimestamp` is empty");
		return;
	}
	/* only where they are taken off does upstream say which one it is */
	check_finalizer_names(c, &p, OJSON_AT(v, "spec", "finalizers"), otext_is(c->w->sub, "finalize"));
}
