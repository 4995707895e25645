/*
 * check-quota.c - what quotas may count, and of what; which limits go together.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/core/validation.
 */
#include <stdio.h>
#include <string.h>

#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

static bool quota_whole(const char *name)
{
	return strncmp(name, "count/", 6) == 0 || (strchr(name, '/') != NULL && strncmp(name, "requests.", 9) != 0) ||
	       (ocheck_is_quota_resource((struct orlop_bytes){ name, strlen(name) }) && strstr(name, "cpu") == NULL && strstr(name, "memory") == NULL &&
		strstr(name, "storage") == NULL && strstr(name, "hugepages") == NULL);
}

/* May what a quota counts under @name have that scope? Pods of the best effort ask for nothing. */
static bool quota_in_scope(struct ojson *scope, const char *name)
{
	bool pods = strcmp(name, "pods") == 0 || strcmp(name, "count/pods") == 0;

	if (ojson_string_is(scope, "BestEffort"))
		return pods;
	if (ojson_string_is(scope, "Terminating") || ojson_string_is(scope, "NotTerminating") ||
	    ojson_string_is(scope, "NotBestEffort") || ojson_string_is(scope, "PriorityClass") ||
	    ojson_string_is(scope, "CrossNamespacePodAffinity"))
		return pods || strstr(name, "cpu") != NULL || strstr(name, "memory") != NULL;
	return true;
}

static void check_quota_resource(struct ocheck *c, const struct opath *at, const char *name, struct ojson *v)
{
	struct orlop_bytes n = { name, (uint32_t)strlen(name) }, t = otext(v);
	struct oquantity q;

	ocheck_quota_resource(c, at, n);
	if (t.len == 0 || oquantity_parse(t.p, t.len, &q, NULL) != 0)
		return;
	if (oquantity_sign(&q) < 0)
		ocheck_invalid(c, at, v, "must be greater than or equal to 0");
	if (quota_whole(name) && oquantity_milli(&q) % 1000 != 0)
		ocheck_invalid(c, at, v, "must be an integer");
}

static const char *const quota_scopes[] = { "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
					     "CrossNamespacePodAffinity", "VolumeAttributesClass", NULL };

static bool in_words(struct ojson *v, const char *const *words)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (ojson_string_is(v, words[i]))
			return true;
	return false;
}

/* A scope: is it known, and does it fit what is counted? @all is what a message shows. */
static void check_scope(struct ocheck *c, const struct opath *at, const struct opath *name, struct ojson *scope,
			struct ojson *shown, struct ojson *all, struct ojson *hard, bool again)
{
	if (!in_words(scope, quota_scopes)) {
		ocheck_invalid(c, name, shown, "unsupported scope");
		return;			/* nothing is known of what it is for */
	}
	if (again)
		return;
	OJSON_FOREACH(it, hard)
		if (ocheck_is_quota_resource((struct orlop_bytes){ it.key, it.key_len }) && !quota_in_scope(scope, it.key))
			ocheck_invalid(c, at, all, "unsupported scope applied to resource");
}

static void check_opposites(struct ocheck *c, const struct opath *at, struct ojson *list, const char *key)
{
	static const char *const opposite[][2] = { { "BestEffort", "NotBestEffort" }, { "Terminating", "NotTerminating" } };

	for (size_t k = 0; k < 2; k++) {
		unsigned int n = 0;

		OJSON_FOREACH_ELEM(i, e, list) {
			struct ojson *v = key != NULL ? ojson_get(e, key) : e;

			n |= ojson_string_is(v, opposite[k][0]) ? 1u : ojson_string_is(v, opposite[k][1]) ? 2u : 0;
		}
		if (n == 3)
			ocheck_invalid(c, at, list, "conflicting scopes");
	}
}

static void check_scope_selector(struct ocheck *c, const struct opath *at, struct ojson *selector, struct ojson *hard)
{
	static const char *const bare[] = { "BestEffort", "NotBestEffort", "Terminating", "NotTerminating",
					    "CrossNamespacePodAffinity", NULL };
	struct opath mp = opath_child(at, "matchExpressions"), sp = opath_child(&mp, "scopeName");
	struct opath vp = opath_child(&mp, "values"), op = opath_child(&mp, "operator");
	struct ojson *list = ojson_get(selector, "matchExpressions");
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct ojson *scope = ojson_get(e, "scopeName"), *how = ojson_get(e, "operator"), *values = ojson_get(e, "values");

		check_scope(c, &mp, &sp, scope, scope, selector, hard, oseen(&before, scope, NULL));
		if (in_words(scope, bare) && !ojson_string_is(how, "Exists"))
			ocheck_invalid(c, &op, how, "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
				       "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
				       "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
		if (ojson_string_is(how, "In") || ojson_string_is(how, "NotIn")) {
			if (ojson_count(values) == 0)
				ocheck_required(c, &vp, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
		} else if (ojson_string_is(how, "Exists") || ojson_string_is(how, "DoesNotExist")) {
			if (ojson_count(values) > 0)
				ocheck_invalid(c, &vp, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
		} else {
			ocheck_invalid(c, &op, how, "not a valid selector operator");
		}
	}
	check_opposites(c, &mp, list, "scopeName");
}

static void check_quota_map(struct ocheck *c, const struct opath *at, struct ojson *map)
{
	OJSON_FOREACH(it, map) {
		struct opath kp = opath_key(at, it.key);

		check_quota_resource(c, &kp, it.key, it.value);
	}
}

/* Scopes are a set. */
static bool same_scopes(struct ocheck *c, struct ojson *a, struct ojson *b)
{
	struct ojson *sides[2] = { a, b };

	for (int k = 0; k < 2; k++) {
		cleanup_oseen struct oseen others;

		oseen_init(&others, &c->lost);
		OJSON_FOREACH_ELEM(i, o, sides[1 - k])
			(void)oseen(&others, o, NULL);
		OJSON_FOREACH_ELEM(j, e, sides[k])
			if (!oseen_has(&others, e))
				return false;
	}
	return true;
}

OCHECK(resource_quota)
{
	struct ojson *list = OJSON_AT(v, "spec", "scopes"), *hard = OJSON_AT(v, "spec", "hard");
	struct opath p = opath_child(at, "spec"), sp = opath_child(&p, "scopes"), hp = opath_child(&p, "hard");
	struct opath ep = opath_child(&p, "scopeSelector"), tp = opath_child(at, "status");
	struct opath thp = opath_child(&tp, "hard"), tup = opath_child(&tp, "used");
	cleanup_oseen struct oseen before = { .keys = OMAP_INIT, .text = OBUF_INIT };

	if (otext_is(c->w->sub, "status")) {
		check_quota_map(c, &thp, OJSON_AT(v, "status", "hard"));
		check_quota_map(c, &tup, OJSON_AT(v, "status", "used"));
		return;
	}
	check_quota_map(c, &hp, hard);
	OJSON_FOREACH_ELEM(i, e, list)
		check_scope(c, &sp, &sp, e, list, list, hard, oseen(&before, e, NULL));
	check_opposites(c, &sp, list, NULL);
	check_scope_selector(c, &ep, OJSON_AT(v, "spec", "scopeSelector"), hard);
	if (old != NULL && !same_scopes(c, list, OJSON_AT(old, "spec", "scopes")))
		ocheck_invalid(c, &sp, list, "field is immutable");
}

/* ---- limit ranges ---- */

/* What a message calls a limit: "default request", and "default limit" beside it. */
static const char *limit_word(const char *key, const char *beside)
{
	if (strcmp(key, "defaultRequest") == 0)
		return "default request";
	return strcmp(key, "default") == 0 && strcmp(beside, "defaultRequest") == 0 ? "default limit" : key;
}

/* @low may not be above @high; said of @said. */
static void limit_pair(struct ocheck *c, const struct opath *at, struct ojson *item, const char *low, const char *high,
		       const char *said)
{
	struct opath sp = opath_child(at, said);

	OJSON_FOREACH(it, ojson_get(item, low)) {
		struct ojson *other = ojson_get_n(ojson_get(item, high), it.key, it.key_len);
		struct opath kp = opath_key(&sp, it.key);
		struct oquantity a, b;
		char why[300];

		if (!ocheck_quantity(it.value, &a) || !ocheck_quantity(other, &b) || oquantity_cmp(&a, &b) <= 0)
			continue;
		(void)snprintf(why, sizeof(why), "%s value %s is greater than %s value %s", limit_word(low, high),
			       ojson_cstr(it.value, ""), limit_word(high, low), ojson_cstr(other, ""));
		ocheck_invalid(c, &kp, ojson_get_n(ojson_get(item, said), it.key, it.key_len), why);
	}
}

static void limit_names(struct ocheck *c, const struct opath *at, struct ojson *item, const char *key, bool containers)
{
	struct opath p = opath_child(at, key);

	OJSON_FOREACH(it, ojson_get(item, key)) {
		struct opath kp = opath_key(&p, it.key);
		struct orlop_bytes name = { it.key, it.key_len };

		if (containers)
			ocheck_container_resource(c, &kp, name);
		else
			(void)ocheck_resource_name(c, &kp, name);
	}
}

static double limit_number(struct ojson *v)
{
	struct oquantity q;

	return ocheck_quantity(v, &q) ? (double)oquantity_milli(&q) / 1000 : 0;
}

static void limit_ratio(struct ocheck *c, const struct opath *at, struct ojson *item)
{
	struct opath rp = opath_child(at, "maxLimitRequestRatio");

	OJSON_FOREACH(it, ojson_get(item, "maxLimitRequestRatio")) {
		struct ojson *least = ojson_get_n(ojson_get(item, "min"), it.key, it.key_len);
		struct ojson *most = ojson_get_n(ojson_get(item, "max"), it.key, it.key_len);
		struct opath kp = opath_key(&rp, it.key);
		double ratio = limit_number(it.value), room = limit_number(least);
		char why[200];

		(void)snprintf(why, sizeof(why), "ratio %s is less than 1", ojson_cstr(it.value, ""));
		if (ratio < 1)
			ocheck_invalid(c, &kp, it.value, why);
		if (least == NULL || most == NULL || room == 0 || ratio <= limit_number(most) / room)
			continue;
		(void)snprintf(why, sizeof(why), "ratio %s is greater than max/min = %f", ojson_cstr(it.value, ""),
			       limit_number(most) / room);
		ocheck_invalid(c, &kp, it.value, why);
	}
}

static void limit_type(struct ocheck *c, const struct opath *at, struct orlop_bytes type)
{
	uint32_t before = c->found;

	ocheck_format_text(c, at, type, OSCHEMA_FMT_QUALIFIED_NAME);
	if (c->found == before && memchr(type.p, '/', type.len) == NULL && !otext_is(type, "Pod") &&
	    !otext_is(type, "Container") && !otext_is(type, "PersistentVolumeClaim"))
		ocheck_invalid_text(c, at, type, "must be a standard limit type or fully qualified");
}

/* As upstream's ValidateLimitRange. */
OCHECK(limit_range)
{
	static const char *const keys[] = { "max", "min", "maxLimitRequestRatio", "default", "defaultRequest" };
	static const char *const pairs[][3] = {
		{ "min", "max", "min" }, { "min", "defaultRequest", "defaultRequest" }, { "defaultRequest", "max", "defaultRequest" },
		{ "defaultRequest", "default", "defaultRequest" }, { "min", "default", "default" }, { "default", "max", "default" },
	};
	struct opath sp = opath_child(at, "spec"), limits = opath_child(&sp, "limits");
	struct ojson *list = OJSON_AT(v, "spec", "limits");
	cleanup_oseen struct oseen before;

	(void)old;
	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, item, list) {
		struct opath ip = opath_index(&limits, i), tp = opath_child(&ip, "type");
		struct orlop_bytes type = oget_text(item, "type");
		bool pod = otext_is(type, "Pod");

		limit_type(c, &tp, type);
		if (oseen(&before, ojson_get(item, "type"), NULL))
			ocheck_duplicate_text(c, &tp, ojson_get_cstr(item, "type", ""));
		for (size_t k = 0; k < (pod ? 3 : 5); k++)
			limit_names(c, &ip, item, keys[k], pod || otext_is(type, "Container"));
		for (size_t k = 3; k < 5 && pod; k++)
			if (oget_len(item, keys[k]))
				ocheck_forbidden_at(c, &ip, keys[k], "may not be specified when `type` is 'Pod'");
		if (otext_is(type, "PersistentVolumeClaim") && !ojson_has(ojson_get(item, "min"), "storage") &&
		    !ojson_has(ojson_get(item, "max"), "storage"))
			ocheck_required_at(c, &ip, "limits", "either minimum or maximum storage value is required, but neither was provided");
		for (size_t k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++)
			if (!pod || k == 0)
				limit_pair(c, &ip, item, pairs[k][0], pairs[k][1], pairs[k][2]);
		limit_ratio(c, &ip, item);
	}
}
