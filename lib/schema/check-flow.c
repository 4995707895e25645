/*
 * check-flow.c - FlowSchemas and PriorityLevelConfigurations: who asks for what, and how many at a time.
 *
 * Source: upstream's pkg/apis/flowcontrol/validation, behaviour and words.
 */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

#define MAX_PRECEDENCE 10000
#define MAX_QUEUES 10000000

/* ---- flow schemas ---- */

static bool has_all(struct ojson *list)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, "*"))
			return true;
	return false;
}

/* A list of words in which "*" stands alone. False: it is no such list. */
static bool check_words(struct ocheck *c, const struct opath *at, struct ojson *list, const char *if_empty, const char *what)
{
	char why[100];

	if (ojson_count(list) == 0) {
		ocheck_required(c, at, if_empty);
		return false;
	}
	(void)snprintf(why, sizeof(why), "if '*' is present, must not specify other %s", what);
	if (ojson_count(list) > 1 && has_all(list)) {
		ocheck_invalid(c, at, list, why);
		return false;
	}
	return !has_all(list);
}

static void check_verbs(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	static const char *const verbs[] = { "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch" };

	if (!check_words(c, at, list, "verbs must contain at least one value", "verbs"))
		return;
	OJSON_FOREACH_ELEM(i, e, list) {
		bool known = false;

		for (size_t k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++)
			known = known || ojson_string_is(e, verbs[k]);
		if (!known) {
			ocheck_not_supported(c, at, list, verbs, sizeof(verbs) / sizeof(verbs[0]));
			return;
		}
	}
}

static const char *path_is_bad(struct orlop_bytes p)
{
	const char *star = p.len ? memchr(p.p, '*', p.len) : NULL;

	if (p.len == 0)
		return "must not be empty";
	if (p.p[0] != '/')
		return "must start with slash";
	if (memchr(p.p, ' ', p.len))
		return "must not contain white-space";
	for (size_t i = 0; i + 1 < p.len; i++)
		if (p.p[i] == '/' && p.p[i + 1] == '/')
			return "must not contain double slash";
	if (star && (star != p.p + p.len - 1 || star[-1] != '/'))
		return "wildcard can only do suffix matching";
	return NULL;
}

static void check_subject(struct ocheck *c, const struct opath *at, struct ojson *s)
{
	static const char *const kinds[] = { "Group", "ServiceAccount", "User" };
	static const char *const members[] = { "group", "serviceAccount", "user" };
	struct opath kp = opath_child(at, "kind");
	size_t own = 3;
	char why[100];

	for (size_t i = 0; i < 3; i++)
		own = oget_is(s, "kind", kinds[i]) ? i : own;
	if (own == 3) {
		ocheck_not_supported(c, &kp, ojson_get(s, "kind"), kinds, 3);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		struct opath p = opath_child(at, members[i]), np = opath_child(&p, "name"), sp = opath_child(&p, "namespace");
		struct ojson *who = ojson_get(s, members[i]);

		(void)snprintf(why, sizeof(why), i == own ? "%s is required when subject kind is '%s'" : "%s is forbidden when subject kind is not '%s'",
			       members[i], kinds[i]);
		if (i != own) {
			if (who)
				ocheck_forbidden(c, &p, why);
			continue;
		}
		if (!who) {
			ocheck_required(c, &p, why);
			continue;
		}
		if (oget_empty(who, "name"))
			ocheck_required(c, &np, "");
		else if (i == 1 && !oget_is(who, "name", "*"))
			ocheck_format(c, &np, ojson_get(who, "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		if (i == 1 && oget_empty(who, "namespace"))
			ocheck_required(c, &sp, "must specify namespace for service account");
		else if (i == 1)
			ocheck_format(c, &sp, ojson_get(who, "namespace"), OSCHEMA_FMT_DNS1123_LABEL);
	}
}

static void check_resource_rule(struct ocheck *c, const struct opath *at, struct ojson *r)
{
	struct opath vp = opath_child(at, "verbs"), gp = opath_child(at, "apiGroups"), rp = opath_child(at, "resources"), np = opath_child(at, "namespaces");
	struct ojson *namespaces = ojson_get(r, "namespaces");

	check_verbs(c, &vp, ojson_get(r, "verbs"));
	(void)check_words(c, &gp, ojson_get(r, "apiGroups"), "resource rules must supply at least one api group", "api groups");
	(void)check_words(c, &rp, ojson_get(r, "resources"), "resource rules must supply at least one resource", "resources");
	if (ojson_count(namespaces) == 0 && oget_bool(r, "clusterScope"))
		return;
	if (check_words(c, &np, namespaces, "resource rules that are not cluster scoped must supply at least one namespace", "namespaces"))
		OJSON_FOREACH_ELEM(i, e, namespaces) {
			struct opath p = opath_index(&np, i);
			struct orlop_bytes t = otext(e);
			const char *bad = oschema_format_check(OSCHEMA_FMT_DNS1123_LABEL, t.p, t.len);
			char why[400];

			(void)snprintf(why, sizeof(why), "each member of this list must be '*' or a DNS-1123 label; %s", bad ? bad : "");
			if (bad)
				ocheck_invalid(c, &p, e, why);
		}
}

static void check_other_rule(struct ocheck *c, const struct opath *at, struct ojson *r)
{
	struct opath vp = opath_child(at, "verbs"), up = opath_child(at, "nonResourceURLs");
	struct ojson *urls = ojson_get(r, "nonResourceURLs");

	check_verbs(c, &vp, ojson_get(r, "verbs"));
	if (check_words(c, &up, urls, "nonResourceURLs must contain at least one value", "non-resource URLs"))
		OJSON_FOREACH_ELEM(i, e, urls) {
			struct opath p = opath_index(&up, i);
			const char *bad = path_is_bad(otext(e));

			if (bad)
				ocheck_invalid(c, &p, e, bad);
		}
}

/* What upstream calls mandatory is what it is. */
#define ALL_RULES "\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"clusterScope\":true,\"namespaces\":[\"*\"]}]," \
	"\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]}]}"
#define OF_GROUP(name) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name "\"}}"

static const char *const fixed[][2] = {
	{ "exempt", "{\"priorityLevelConfiguration\":{\"name\":\"exempt\"},\"matchingPrecedence\":1,\"rules\":[{\"subjects\":["
		OF_GROUP("system:masters") "]," ALL_RULES },
	{ "catch-all", "{\"priorityLevelConfiguration\":{\"name\":\"catch-all\"},\"matchingPrecedence\":10000,"
		"\"distinguisherMethod\":{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":["
		OF_GROUP("system:unauthenticated") "," OF_GROUP("system:authenticated") "]," ALL_RULES },
};
static const char fixed_level[] = "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,"
	"\"limitResponse\":{\"type\":\"Reject\"},\"lendablePercent\":0}}";

static void check_fixed(struct ocheck *c, const struct opath *at, struct ojson *spec, const char *name, const char *text)
{
	cleanup_ojson struct ojson *want = NULL;
	char why[80];

	(void)ojson_parse(text, strlen(text), &want, NULL);
	(void)snprintf(why, sizeof(why), "spec of '%s' must equal the fixed value", name);
	if (want && !ojson_equal(spec, want))
		ocheck_invalid(c, at, spec, why);
}

OCHECK(flow_schema)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct opath sp = opath_child(at, "spec"), rp = opath_child(&sp, "rules"), lp = opath_child(&sp, "priorityLevelConfiguration"),
		     np = opath_child(&lp, "name");
	int64_t precedence = oget_int(spec, "matchingPrecedence");

	(void)old;
	if (c->w->sub.len)
		return;
	if (precedence <= 0)
		ocheck_invalid_at(c, &sp, spec, "matchingPrecedence", "must be a positive value");
	if (precedence > MAX_PRECEDENCE)
		ocheck_invalid_at(c, &sp, spec, "matchingPrecedence", "must not be greater than 10000");
	if (precedence == 1 && !oget_is(ojson_get(v, "metadata"), "name", "exempt"))
		ocheck_invalid_at(c, &sp, spec, "matchingPrecedence", "only the schema named 'exempt' may have matchingPrecedence 1");
	if (oget_empty(ojson_get(spec, "priorityLevelConfiguration"), "name"))
		ocheck_required(c, &np, "must reference a priority level");
	else
		ocheck_format(c, &np, OJSON_AT(spec, "priorityLevelConfiguration", "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	OJSON_FOREACH_ELEM(i, r, ojson_get(spec, "rules")) {
		struct opath p = opath_index(&rp, i), subjects = opath_child(&p, "subjects"), resources = opath_child(&p, "resourceRules"),
			     others = opath_child(&p, "nonResourceRules");

		if (oget_len(r, "subjects") == 0)
			ocheck_required(c, &subjects, "subjects must contain at least one value");
		OJSON_FOREACH_ELEM(k, s, ojson_get(r, "subjects")) {
			struct opath ip = opath_index(&subjects, k);

			check_subject(c, &ip, s);
		}
		if (oget_len(r, "resourceRules") == 0 && oget_len(r, "nonResourceRules") == 0)
			ocheck_required(c, &p, "at least one of resourceRules and nonResourceRules has to be non-empty");
		OJSON_FOREACH_ELEM(m, one, ojson_get(r, "resourceRules")) {
			struct opath ip = opath_index(&resources, m);

			check_resource_rule(c, &ip, one);
		}
		OJSON_FOREACH_ELEM(n, one, ojson_get(r, "nonResourceRules")) {
			struct opath ip = opath_index(&others, n);

			check_other_rule(c, &ip, one);
		}
	}
	for (size_t i = 0; i < 2; i++)
		if (oget_is(ojson_get(v, "metadata"), "name", fixed[i][0]))
			check_fixed(c, &sp, spec, fixed[i][0], fixed[i][1]);
}

/* ---- priority levels ---- */

static void check_queues(struct ocheck *c, const struct opath *at, struct ojson *q)
{
	int64_t queues = oget_int(q, "queues"), hand = oget_int(q, "handSize");
	char why[80];

	if (oget_int(q, "queueLengthLimit") <= 0)
		ocheck_invalid_at(c, at, q, "queueLengthLimit", "must be positive");
	if (queues <= 0)
		ocheck_invalid_at(c, at, q, "queues", "must be positive");
	else if (queues > MAX_QUEUES)
		ocheck_invalid_at(c, at, q, "queues", "must not be greater than 10000000");
	(void)snprintf(why, sizeof(why), "should not be greater than queues (%lld)", (long long)queues);
	if (hand <= 0)
		ocheck_invalid_at(c, at, q, "handSize", "must be positive");
	else if (hand > queues)
		ocheck_invalid_at(c, at, q, "handSize", why);
}

OCHECK(priority_level)
{
	struct ojson *spec = ojson_get(v, "spec"), *limited = ojson_get(spec, "limited"), *response = ojson_get(limited, "limitResponse");
	struct opath sp = opath_child(at, "spec"), lp = opath_child(&sp, "limited"), rp = opath_child(&lp, "limitResponse"), qp = opath_child(&rp, "queuing");
	bool exempt = oget_is(spec, "type", "Exempt");

	(void)old;
	if (c->w->sub.len)
		return;
	if (exempt != oget_is(ojson_get(v, "metadata"), "name", "exempt"))
		ocheck_invalid_at(c, &sp, spec, "type", "type must be 'Exempt' if and only if name is 'exempt'");
	if (exempt) {
		if (limited)
			ocheck_forbidden_at(c, &sp, "limited", "must be nil if the type is not Limited");
		return;
	}
	if (!oget_is(spec, "type", "Limited"))
		return;
	if (!limited)
		ocheck_required_at(c, &sp, "limited", "must not be empty when type is Limited");
	if (ojson_has(spec, "exempt"))
		ocheck_forbidden_at(c, &sp, "exempt", "must be nil if the type is Limited");
	if (oget_is(response, "type", "Reject") && ojson_has(response, "queuing"))
		ocheck_forbidden(c, &qp, "must be nil if limited.limitResponse.type is not Limited");
	else if (oget_is(response, "type", "Queue") && !ojson_has(response, "queuing"))
		ocheck_required(c, &qp, "must not be empty if limited.limitResponse.type is Limited");
	else if (oget_is(response, "type", "Queue"))
		check_queues(c, &qp, ojson_get(response, "queuing"));
	if (oget_is(ojson_get(v, "metadata"), "name", "catch-all"))
		check_fixed(c, &sp, spec, "catch-all", fixed_level);
}
