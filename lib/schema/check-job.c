/*
 * check-job.c - what the failure and the success of a Job's pods mean: rules that came after Kubernetes 1.20.
 *
 * Source: upstream's pkg/apis/batch/validation, behaviour and words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"
#include "schema/seen.h"

#define VALUES_MAX 255
#define PATTERNS_MAX 20

/* ---- podFailurePolicy ---- */

static void check_exit_codes(struct ocheck *c, const struct opath *at, struct ojson *codes, struct oseen *containers)
{
	static const char *const operators[] = { "In", "NotIn" };
	struct opath vp = opath_child(at, "values"), op = opath_child(at, "operator");
	struct ojson *values = ojson_get(codes, "values");
	bool ordered = true, in = oget_is(codes, "operator", "In");
	cleanup_oseen struct oseen before;
	int64_t last = 0;

	oseen_init(&before, &c->lost);
	if (!oget_empty(codes, "operator") && !in && !oget_is(codes, "operator", "NotIn"))
		ocheck_not_supported(c, &op, ojson_get(codes, "operator"), operators, 2);
	if (ojson_has(codes, "containerName") && !oseen_has(containers, ojson_get(codes, "containerName")))
		ocheck_invalid_at(c, at, codes, "containerName", "must be one of the container or initContainer names in the pod template");
	if (ojson_count(values) == 0)
		ocheck_invalid(c, &vp, values, "at least one value is required");
	else if (ojson_count(values) > VALUES_MAX)
		ocheck_too_many(c, &vp, ojson_count(values), VALUES_MAX);
	OJSON_FOREACH_ELEM(i, e, values) {
		struct opath p = opath_index(&vp, i);
		int64_t n = ojson_i64(e, 0);

		if (in && n == 0)
			ocheck_invalid(c, &p, e, "must not be 0 for the In operator");
		if (oseen(&before, e, NULL))
			ocheck_duplicate(c, &p, e);
		ordered = ordered && (i == 0 || last <= n);
		last = n;
	}
	if (!ordered)
		ocheck_invalid(c, &vp, values, "must be ordered");
}

static void check_patterns(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	static const char *const states[] = { "False", "True", "Unknown" };

	if (ojson_count(list) > PATTERNS_MAX)
		ocheck_too_many(c, at, ojson_count(list), PATTERNS_MAX);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i), tp = opath_child(&p, "type"), sp = opath_child(&p, "status");

		ocheck_format_text(c, &tp, oget_text(e, "type"), OSCHEMA_FMT_QUALIFIED_NAME);
		if (!oget_empty(e, "status") && !oget_is(e, "status", "True") && !oget_is(e, "status", "False") && !oget_is(e, "status", "Unknown"))
			ocheck_not_supported(c, &sp, ojson_get(e, "status"), states, 3);
	}
}

static void check_failures(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const lists[] = { "containers", "initContainers" };
	static const char *const failed[] = { "Failed" };
	struct opath fp = opath_child(at, "podFailurePolicy"), rp = opath_child(&fp, "rules"), pp = opath_child(at, "podReplacementPolicy");
	struct opath tp = opath_child(at, "template"), sp = opath_child(&tp, "spec");
	struct ojson *pod = OJSON_AT(spec, "template", "spec");
	cleanup_oseen struct oseen containers;

	oseen_init(&containers, &c->lost);
	if (!ojson_has(spec, "podFailurePolicy"))
		return;
	for (size_t l = 0; l < 2; l++)
		OJSON_FOREACH_ELEM(k, e, ojson_get(pod, lists[l]))
			(void)oseen(&containers, ojson_get(e, "name"), NULL);
	OJSON_FOREACH_ELEM(i, r, OJSON_AT(spec, "podFailurePolicy", "rules")) {
		struct opath p = opath_index(&rp, i), ep = opath_child(&p, "onExitCodes"), cp = opath_child(&p, "onPodConditions");
		bool codes = ojson_has(r, "onExitCodes"), conditions = oget_len(r, "onPodConditions") > 0;

		if (oget_is(r, "action", "FailIndex") && !ojson_has(spec, "backoffLimitPerIndex"))
			ocheck_invalid_at(c, &p, r, "action", "requires the backoffLimitPerIndex to be set");
		if (codes)
			check_exit_codes(c, &ep, ojson_get(r, "onExitCodes"), &containers);
		check_patterns(c, &cp, ojson_get(r, "onPodConditions"));
		if (codes && conditions)
			ocheck_invalid_bare(c, &p, "specifying both OnExitCodes and OnPodConditions is not supported");
		else if (!codes && !conditions)
			ocheck_invalid_bare(c, &p, "specifying one of OnExitCodes and OnPodConditions is required");
	}
	if (oget_is(spec, "podReplacementPolicy", "TerminatingOrFailed"))
		ocheck_not_supported(c, &pp, ojson_get(spec, "podReplacementPolicy"), failed, 1);
	if (oget_is(pod, "restartPolicy", "OnFailure"))
		ocheck_invalid_at(c, &sp, pod, "restartPolicy", "only \"Never\" is supported when podFailurePolicy is specified");
}

/* ---- successPolicy ---- */

/* "1,3-5,7": how many that is; -1 and why it is no such list. */
static int64_t indexes_of(struct orlop_bytes text, int64_t completions, char *why, size_t size)
{
	int64_t total = 0, last = -1;
	size_t at = 0;

	while (at < text.len) {
		const char *comma = memchr(text.p + at, ',', text.len - at);
		size_t end = comma ? (size_t)(comma - text.p) : text.len;
		int64_t ends[2] = { 0, 0 };
		char part[40];
		unsigned int n = 0;

		(void)snprintf(part, sizeof(part), "%.*s", (int)(end - at), text.p + at);
		for (char *s = part; s != NULL; n++) {
			char *dash = strchr(s, '-'), *rest;

			if (dash)
				*dash++ = '\0';
			if (n > 1) {
				(void)snprintf(why, size, "the fragment \"%.*s\" violates the requirement that an index interval can have at most two parts separated by '-'",
					       (int)(end - at), text.p + at);
				return -1;
			}
			ends[n] = strtoll(s, &rest, 10);
			if (!*s || *rest || end - at >= sizeof(part)) {
				(void)snprintf(why, size, "cannot convert string to integer for index: \"%s\"", s);
				return -1;
			}
			if (ends[n] >= completions) {
				(void)snprintf(why, size, "too large index: \"%s\"", s);
				return -1;
			}
			s = dash;
		}
		if (n == 1)
			ends[1] = ends[0];
		if (ends[0] <= last || ends[1] < ends[0]) {
			(void)snprintf(why, size, "non-increasing order, previous: %lld, current: %lld", (long long)(ends[0] <= last ? last : ends[0]),
				       (long long)(ends[0] <= last ? ends[0] : ends[1]));
			return -1;
		}
		total += ends[1] - ends[0] + 1;
		last = ends[1];
		at = end + 1;
	}
	return total;
}

static void check_success(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath sp = opath_child(at, "successPolicy"), rp = opath_child(&sp, "rules");
	struct ojson *rules = OJSON_AT(spec, "successPolicy", "rules");
	int64_t completions = oget_int(spec, "completions");

	if (!ojson_has(spec, "successPolicy") || !oget_is(spec, "completionMode", "Indexed"))
		return;
	if (ojson_count(rules) == 0)
		ocheck_required(c, &rp, "at least one rules must be specified when the successPolicy is specified");
	OJSON_FOREACH_ELEM(i, r, rules) {
		struct opath p = opath_index(&rp, i), cp = opath_child(&p, "succeededCount"), ip = opath_child(&p, "succeededIndexes");
		bool counted = ojson_has(r, "succeededCount"), listed = ojson_has(r, "succeededIndexes");
		int64_t count = oget_int(r, "succeededCount"), total = 0;
		char why[300], text[400];

		if (!counted && !listed)
			ocheck_required(c, &p, "at least one of succeededCount or succeededIndexes must be specified");
		if (listed) {
			total = indexes_of(oget_text(r, "succeededIndexes"), completions, why, sizeof(why));
			(void)snprintf(text, sizeof(text), "error parsing succeededIndexes: %s", total < 0 ? why : "");
			if (total < 0)
				ocheck_invalid(c, &ip, ojson_get(r, "succeededIndexes"), text);
		}
		if (!counted)
			continue;
		if (count < 0)
			ocheck_invalid(c, &cp, ojson_get(r, "succeededCount"), "must be greater than or equal to 0");
		(void)snprintf(text, sizeof(text), "must be less than or equal to %lld (the number of specified completions)", (long long)completions);
		if (count > completions)
			ocheck_invalid(c, &cp, ojson_get(r, "succeededCount"), text);
		total = total < 0 ? 0 : total;
		(void)snprintf(text, sizeof(text), "must be less than or equal to %lld (the number of indexes in the specified succeededIndexes field)",
			       (long long)total);
		if (listed && count > total)
			ocheck_invalid(c, &cp, ojson_get(r, "succeededCount"), text);
	}
}

/* The controller that does it, if not the built-in one: "example.com/jobs". */
static void check_managed(struct ocheck *c, const struct opath *at, struct ojson *name)
{
	struct orlop_bytes t = otext(name);
	const char *slash = t.len ? memchr(t.p, '/', t.len) : NULL;

	if (name != NULL && (slash == NULL || slash == t.p || slash + 1 == t.p + t.len))
		ocheck_invalid(c, at, name, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else if (name != NULL)
		ocheck_format_text(c, at, (struct orlop_bytes){ t.p, (size_t)(slash - t.p) }, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
}

void ocheck_job_policies(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath mp = opath_child(at, "managedBy");

	check_managed(c, &mp, ojson_get(spec, "managedBy"));
	if (oget_is(spec, "completionMode", "Indexed") && ojson_has(spec, "completions") &&
	    oget_int(spec, "maxFailedIndexes") > oget_int(spec, "completions"))
		ocheck_invalid_at(c, at, spec, "maxFailedIndexes", "must be less than or equal to completions");
	check_failures(c, at, spec);
	check_success(c, at, spec);
}
