/*
 * check-kinds.c - what stateful sets, daemon sets, jobs, priorities, runtimes and autoscalers must satisfy.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/(*)/validation.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

static bool is_status(const struct ocheck *c)
{
	return otext_is(c->w->sub, "status");
}

/* ---- workloads ---- */

OCHECK(stateful_set)
{
	static const char *const may_change[] = {
		"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
		"persistentVolumeClaimRetentionPolicy", "minReadySeconds", NULL,
	};
	static const char *const parts[] = { "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", NULL };
	struct ojson *spec = ojson_get(v, "spec"), *strategy = ojson_get(spec, "updateStrategy");
	struct opath p = opath_child(at, "spec"), sp = opath_child(&p, "updateStrategy");
	struct opath rp = opath_child(&sp, "rollingUpdate"), up = opath_child(&rp, "maxUnavailable");
	struct ojson *policy = ojson_get(spec, "podManagementPolicy");

	if (is_status(c)) {
		ocheck_counts(c, at, ojson_get(v, "status"), parts);
		return;
	}
	if (!ojson_is(ojson_get(spec, "selector"), OJSON_OBJECT))
		ocheck_required_at(c, &p, "selector", "");
	if (!otext_is(otext(policy), "OrderedReady") && !otext_is(otext(policy), "Parallel"))
		ocheck_invalid_at(c, &p, spec, "podManagementPolicy", "must be 'OrderedReady' or 'Parallel'");
	if (!oget_is(strategy, "type", "RollingUpdate") && !oget_is(strategy, "type", "OnDelete"))
		ocheck_invalid(c, &sp, strategy, "must be 'RollingUpdate' or 'OnDelete'");
	if (oget_is(strategy, "type", "OnDelete") && ojson_has(strategy, "rollingUpdate"))
		ocheck_invalid_at(c, &sp, strategy, "rollingUpdate", "only allowed for updateStrategy 'RollingUpdate'");
	if (OJSON_AT(strategy, "rollingUpdate", "maxUnavailable") != NULL &&
	    ocheck_int_or_percent(c, &up, OJSON_AT(strategy, "rollingUpdate", "maxUnavailable")) == 0)
		ocheck_invalid(c, &up, OJSON_AT(strategy, "rollingUpdate", "maxUnavailable"), "cannot be 0");
	ocheck_workload(c, &p, spec, "empty selector is invalid for statefulset");
	if (old != NULL && !ocheck_equal_but(spec, ojson_get(old, "spec"), may_change))
		ocheck_forbidden(c, &p, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

OCHECK(daemon_set)
{
	struct ojson *spec = ojson_get(v, "spec"), *strategy = ojson_get(spec, "updateStrategy");
	struct ojson *rolling = ojson_get(strategy, "rollingUpdate");
	struct opath p = opath_child(at, "spec"), sp = opath_child(&p, "updateStrategy");
	struct opath rp = opath_child(&sp, "rollingUpdate");
	struct opath up = opath_child(&rp, "maxUnavailable"), gp = opath_child(&rp, "maxSurge");
	static const char *const types[] = { "RollingUpdate", "OnDelete" };
	int64_t unavailable, surge;

	(void)old;
	if (is_status(c))
		return;
	ocheck_workload(c, &p, spec, "empty selector is invalid for daemonset");
	if (oget_is(strategy, "type", "OnDelete"))
		return;
	if (!oget_is(strategy, "type", "RollingUpdate")) {
		ocheck_not_supported(c, &sp, strategy, types, 2);
		return;
	}
	if (rolling == NULL) {
		ocheck_required(c, &rp, "");
		return;
	}
	unavailable = ocheck_int_or_percent(c, &up, ojson_get(rolling, "maxUnavailable"));
	surge = ocheck_int_or_percent(c, &gp, ojson_get(rolling, "maxSurge"));
	if (ojson_is(ojson_get(rolling, "maxUnavailable"), OJSON_STRING) && unavailable > 100)
		ocheck_invalid(c, &up, ojson_get(rolling, "maxUnavailable"), "must not be greater than 100%");
	if (ojson_is(ojson_get(rolling, "maxSurge"), OJSON_STRING) && surge > 100)
		ocheck_invalid(c, &gp, ojson_get(rolling, "maxSurge"), "must not be greater than 100%");
	if (unavailable == 0 && surge == 0)
		ocheck_required(c, &up, "cannot be 0 when maxSurge is 0");
	else if (unavailable > 0 && surge > 0)
		ocheck_invalid(c, &gp, ojson_get(rolling, "maxSurge"), "may not be set when maxUnavailable is non-zero");
}

/* ---- jobs ---- */

static void check_restart(struct ocheck *c, const struct opath *at, struct ojson *template)
{
	static const char *const both[] = { "OnFailure", "Never" };
	struct opath sp = opath_child(at, "spec"), rp = opath_child(&sp, "restartPolicy");
	struct ojson *policy = OJSON_AT(template, "spec", "restartPolicy");

	if (oget_empty(ojson_get(template, "spec"), "restartPolicy") || otext_is(otext(policy), "Always"))
		ocheck_required(c, &rp, "valid values: \"OnFailure\", \"Never\"");
	else if (!otext_is(otext(policy), "OnFailure") && !otext_is(otext(policy), "Never"))
		ocheck_not_supported(c, &rp, policy, both, 2);
}

static void check_indexed(struct ocheck *c, const struct opath *p, struct ojson *spec)
{
	static const char *const only[] = { "backoffLimitPerIndex", "maxFailedIndexes", "successPolicy" };
	bool indexed = oget_is(spec, "completionMode", "Indexed");
	struct opath cp = opath_child(p, "completions");

	if (indexed && !ojson_has(spec, "completions"))
		ocheck_required(c, &cp, "when completion mode is Indexed");
	if (indexed && oget_int(spec, "parallelism") > 100000)
		ocheck_invalid_at(c, p, spec, "parallelism", "must be less than or equal to 100000 when completion mode is Indexed");
	for (size_t i = 0; i < sizeof(only) / sizeof(only[0]) && !indexed; i++) {
		struct opath op = opath_child(p, only[i]);

		if (ojson_has(spec, only[i]))
			ocheck_invalid(c, &op, ojson_get(spec, only[i]), "requires indexed completion mode");
	}
	if (indexed && ojson_has(spec, "maxFailedIndexes") && !ojson_has(spec, "backoffLimitPerIndex")) {
		struct opath bp = opath_child(p, "backoffLimitPerIndex");

		ocheck_required(c, &bp, "when maxFailedIndexes is specified");
	}
}

static void check_label(struct ocheck *c, const struct opath *at, struct ojson *labels, const char *key, struct orlop_bytes want)
{
	struct opath p = opath_key(at, key);
	char why[400];

	(void)snprintf(why, sizeof(why), "must be '%.*s'", (int)want.len, want.p);
	if (!ojson_has(labels, key))
		ocheck_required(c, &p, why);
	else if (!ostr_eq(oget_text(labels, key).p, oget_text(labels, key).len, want.p, want.len))
		ocheck_invalid(c, &p, labels, why);
}

/* A selector that nobody chose finds the pods of this Job by labels made for it. */
static void check_generated(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	static const char *const keys[] = { "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name" };
	struct ojson *meta = ojson_get(v, "metadata"), *spec = ojson_get(v, "spec"), *selector = ojson_get(spec, "selector");
	struct opath tp = opath_child(at, "template"), mp = opath_child(&tp, "metadata"), lp = opath_child(&mp, "labels");
	struct opath sp = opath_child(at, "selector");
	cleanup_ojson struct ojson *expected = ojson_new_object();

	if (oget_bool(spec, "manualSelector") || selector == NULL)
		return;
	for (size_t i = 0; i < 4; i++) {
		struct orlop_bytes want = oget_text(meta, i < 2 ? "uid" : "name");

		if (expected == NULL || ojson_set_string(expected, keys[i], want.p, want.len) != 0) {
			c->lost = true;
			return;
		}
		if (i % 2 == 0)
			check_label(c, &lp, OJSON_AT(spec, "template", "metadata", "labels"), keys[i], want);
	}
	if (!c->bad_selector && !ocheck_selects(selector, expected))
		ocheck_invalid(c, &sp, selector, "`selector` not auto-generated");
}

OCHECK(job)
{
	struct ojson *spec = ojson_get(v, "spec"), *was = ojson_get(old, "spec"), *selector = ojson_get(spec, "selector");
	struct opath p = opath_child(at, "spec"), tp = opath_child(&p, "template"), mp = opath_child(&tp, "metadata");
	struct opath selp = opath_child(&p, "selector");

	if (is_status(c))
		return;
	if (selector == NULL)
		ocheck_required(c, &selp, "");
	if (selector == NULL || (!c->bad_selector && !ocheck_selects(selector, OJSON_AT(spec, "template", "metadata", "labels"))))
		ocheck_invalid_at(c, &mp, OJSON_AT(spec, "template", "metadata"), "labels",
				  "`selector` does not match template `labels`");
	check_generated(c, &p, v);
	check_restart(c, &tp, ojson_get(spec, "template"));
	check_indexed(c, &p, spec);
	ocheck_job_policies(c, &p, spec);
	if (old == NULL)
		return;
	if (!ojson_equal(selector, ojson_get(was, "selector")))
		ocheck_invalid(c, &selp, selector, "field is immutable");
	if (!ojson_equal(ojson_get(spec, "completions"), ojson_get(was, "completions")) &&
	    !(oget_is(spec, "completionMode", "Indexed") && oget_int(spec, "completions") == oget_int(spec, "parallelism"))) {
		struct opath cp = opath_child(&p, "completions");

		ocheck_invalid(c, &cp, ojson_get(spec, "completions"), "field is immutable");
	}
	/* before its first start, and while it is held back, the place of its pods may still change */
	if (!ojson_equal(ojson_get(spec, "template"), ojson_get(was, "template")) &&
	    !(oget_bool(was, "suspend") && !ojson_has(ojson_get(old, "status"), "startTime")))
		ocheck_invalid(c, &tp, ojson_get(spec, "template"), "field is immutable");
}

/* One field of a schedule: numbers, names, ranges, steps, lists. */
static bool cron_field(const char *p, size_t n, int low, int high, const char *const *names)
{
	int value = -1, from = -1;
	bool star = false, range = false;
	size_t i = 0;

	while (i <= n) {
		char ch = i < n ? p[i] : ',';

		if (ch == '*' || ch == '?') {
			if (star || value >= 0)
				return false;
			star = true;
			i++;
		} else if (ch >= '0' && ch <= '9') {
			if (value >= 0 || star)
				return false;
			for (value = 0; i < n && p[i] >= '0' && p[i] <= '9' && value < 10000; i++)
				value = value * 10 + (p[i] - '0');
			if (value < low || value > high)
				return false;
		} else if (((ch | 32) >= 'a' && (ch | 32) <= 'z') && names != NULL) {
			for (int k = 0; names[k] != NULL && value < 0; k++)
				if (n - i >= 3 && strncasecmp(p + i, names[k], 3) == 0)
					value = k + low;
			if (value < 0)
				return false;
			i += 3;
		} else if (ch == '-') {
			if (value < 0 || range || star)
				return false;
			from = value;
			value = -1;
			range = true;
			i++;
		} else if (ch == '/') {
			int step = 0;

			if (!star && value < 0)
				return false;
			for (i++; i < n && p[i] >= '0' && p[i] <= '9' && step < 10000; i++)
				step = step * 10 + (p[i] - '0');
			if (step == 0 || (i < n && p[i] != ','))
				return false;
		} else if (ch == ',') {
			if ((!star && value < 0) || (range && value < from))
				return false;
			value = from = -1;
			star = range = false;
			i++;
		} else {
			return false;
		}
	}
	return true;
}

static bool cron_ok(struct orlop_bytes t)
{
	static const char *const months[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct",
					      "nov", "dec", NULL };
	static const char *const days[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };
	static const char *const macros[] = { "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight",
					      "@hourly" };
	static const struct {
		int low;
		int high;
		const char *const *names;
	} fields[5] = { { 0, 59, NULL }, { 0, 23, NULL }, { 1, 31, NULL }, { 1, 12, months }, { 0, 6, days } };
	size_t at = 0;

	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (otext_is(t, macros[i]))
			return true;
	if (t.len > 7 && memcmp(t.p, "@every ", 7) == 0)
		return true;
	for (int k = 0; k < 5; k++) {
		size_t from;

		while (at < t.len && t.p[at] == ' ')
			at++;
		from = at;
		while (at < t.len && t.p[at] != ' ')
			at++;
		if (at == from || !cron_field(t.p + from, at - from, fields[k].low, fields[k].high, fields[k].names))
			return false;
	}
	while (at < t.len && t.p[at] == ' ')
		at++;
	return at == t.len;
}

#define ZONES "/usr/share/zoneinfo"

/* May it be the name of a time zone? Upstream's rule. */
static bool is_zone_name(struct orlop_bytes name)
{
	for (size_t at = 0; at <= name.len;) {
		const char *p = name.p + at, *slash = at < name.len ? memchr(p, '/', name.len - at) : NULL;
		size_t n = slash ? (size_t)(slash - p) : name.len - at;

		if (n == 0 || n > 14 || p[0] == '-' || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		for (size_t i = 0; i < n; i++)
			if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') ||
			      (p[i] && strchr(".-_+", p[i]))))
				return false;
		at += n + 1;
	}
	return true;
}

/* In this machine's database, as far as it has one; some have not got the names of before. */
static bool is_zone(const char *name)
{
	static const char *const before[] = { "US/", "Canada/", "Brazil/", "Chile/", "Mexico/", NULL };
	char path[300];
	struct stat st;

	(void)snprintf(path, sizeof(path), ZONES "/%s", name);
	if (!strcmp(name, "UTC") || stat(ZONES "/Europe", &st) != 0 || (stat(path, &st) == 0 && S_ISREG(st.st_mode)))
		return true;
	for (const char *const *b = before; *b; b++)
		if (!strncmp(name, *b, strlen(*b)))
			return stat(ZONES "/US/Pacific", &st) != 0;
	return !strchr(name, '/') && strlen(name) < 15 && stat(ZONES "/US/Pacific", &st) != 0;
}

static void check_zone(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct orlop_bytes name = oget_text(spec, "timeZone");
	char why[160];

	(void)snprintf(why, sizeof(why), "unknown time zone %.*s", (int)(name.len < 120 ? name.len : 120), name.p);
	if (!is_zone_name(name))
		ocheck_invalid_at(c, at, spec, "timeZone", why);
	else if (name.len == 5 && !strncasecmp(name.p, "Local", 5))
		ocheck_invalid_at(c, at, spec, "timeZone", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
	else if (!is_zone(ojson_get_cstr(spec, "timeZone", "")))
		ocheck_invalid_at(c, at, spec, "timeZone", why);
}

static void tell_schedule(struct ocheck *c, const struct opath *at, struct ojson *spec, struct orlop_bytes t)
{
	char words[400], why[500];
	size_t n = 0, len = 0;

	for (size_t i = 0; i < t.len && len < sizeof(words) - 2; i++) {
		if (t.p[i] == ' ' || t.p[i] == '\t')
			continue;
		if (i == 0 || t.p[i - 1] == ' ' || t.p[i - 1] == '\t') {
			if (n++ > 0)
				words[len++] = ' ';
		}
		words[len++] = t.p[i];
	}
	(void)snprintf(why, sizeof(why), "expected exactly 5 fields, found %zu: [%.*s]", n, (int)len, words);
	ocheck_invalid_at(c, at, spec, "schedule", n != 5 && t.p[0] != '@' ? why : "is no schedule of five fields");
}

OCHECK(cron_job)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct opath p = opath_child(at, "spec"), jp = opath_child(&p, "jobTemplate"), jsp = opath_child(&jp, "spec");
	struct opath tp = opath_child(&jsp, "template"), mp = opath_child(at, "metadata"), ms = opath_child(&jsp, "manualSelector");
	static const char *const no_hand[] = { "nil", "false" };
	struct orlop_bytes schedule = oget_text(spec, "schedule");

	if (is_status(c))
		return;
	if (old == NULL && oget_text(ojson_get(v, "metadata"), "name").len > 52)
		ocheck_invalid_at(c, &mp, ojson_get(v, "metadata"), "name", "must be no more than 52 characters");
	if (schedule.len > 0 && (strstr(ojson_get_cstr(spec, "schedule", ""), "TZ") != NULL))
		ocheck_invalid_at(c, &p, spec, "schedule", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
	else if (schedule.len > 0 && !cron_ok(schedule))
		tell_schedule(c, &p, spec, schedule);
	if (ojson_has(spec, "timeZone") && oget_empty(spec, "timeZone"))
		ocheck_invalid_at(c, &p, spec, "timeZone", "timeZone must be nil or non-empty string");
	else if (ojson_has(spec, "timeZone"))
		check_zone(c, &p, spec);
	check_restart(c, &tp, OJSON_AT(spec, "jobTemplate", "spec", "template"));
	check_indexed(c, &jsp, OJSON_AT(spec, "jobTemplate", "spec"));
	ocheck_job_policies(c, &jsp, OJSON_AT(spec, "jobTemplate", "spec"));
	/* each job gets a selector of its own */
	if (OJSON_AT(spec, "jobTemplate", "spec", "selector") != NULL)
		ocheck_invalid_at(c, &jsp, OJSON_AT(spec, "jobTemplate", "spec"), "selector", "`selector` will be auto-generated");
	if (oget_bool(OJSON_AT(spec, "jobTemplate", "spec"), "manualSelector"))
		ocheck_not_supported(c, &ms, OJSON_AT(spec, "jobTemplate", "spec", "manualSelector"), no_hand, 2);
}

/* ---- scheduling ---- */

OCHECK(priority_class)
{
	struct orlop_bytes name = oget_text(ojson_get(v, "metadata"), "name");
	struct opath mp = opath_child(at, "metadata"), vp = opath_child(at, "value");
	bool system = otext_is(name, "system-node-critical") || otext_is(name, "system-cluster-critical");

	if (old != NULL && oget_int(v, "value") != oget_int(old, "value"))
		ocheck_forbidden(c, &vp, "may not be changed in an update.");
	if (old != NULL || system)
		return;
	if (name.len > 7 && memcmp(name.p, "system-", 7) == 0) {
		char why[200];

		(void)snprintf(why, sizeof(why), "priority class names with 'system-' prefix are reserved for system use only. error: %.*s is not a known system priority class",
			       (int)(name.len < 80 ? name.len : 80), name.p);
		ocheck_forbidden_at(c, &mp, "name", why);
	}
	if (oget_int(v, "value") > 1000000000)
		ocheck_forbidden(c, &vp, "maximum allowed value of a user defined priority is 1000000000");
}

/* ---- runtimes ---- */

OCHECK(runtime_class)
{
	struct opath hp = opath_child(at, "handler");
	struct opath op = opath_child(at, "overhead"), lp = opath_child(&op, "limits"), sp = opath_child(at, "scheduling");
	struct opath np = opath_child(&sp, "nodeSelector");

	(void)old;
	ocheck_format_text(c, &hp, oget_text(v, "handler"), OSCHEMA_FMT_DNS1123_LABEL);
	ocheck_resource_list(c, &lp, OJSON_AT(v, "overhead", "podFixed"));
	ocheck_labels(c, &np, OJSON_AT(v, "scheduling", "nodeSelector"));
}

/* No two of them, whatever their seconds. */
OCHECK(class_tolerations)
{
	cleanup_oseen struct oseen before;

	(void)old;
	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, v) {
		struct opath p = opath_index(at, i);
		cleanup_ojson struct ojson *key = NULL;

		if (ojson_copy(e, &key)) {
			c->lost = true;
			return;
		}
		ojson_del(key, "tolerationSeconds");
		if (oseen(&before, key, NULL))
			ocheck_duplicate(c, &p, e);
	}
}
