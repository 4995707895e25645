/*
 * check-kinds.c - what stateful sets, daemon sets, jobs, storage, ingresses and policies must satisfy.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/(*)/validation.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"

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
	struct ojson *spec = ojson_get(v, "spec"), *strategy = ojson_get(spec, "updateStrategy");
	struct opath p = opath_child(at, "spec"), sp = opath_child(&p, "updateStrategy");
	struct ojson *policy = ojson_get(spec, "podManagementPolicy");

	if (is_status(c))
		return;
	if (!otext_is(otext(policy), "OrderedReady") && !otext_is(otext(policy), "Parallel"))
		ocheck_invalid_at(c, &p, spec, "podManagementPolicy", "must be 'OrderedReady' or 'Parallel'");
	if (!oget_is(strategy, "type", "RollingUpdate") && !oget_is(strategy, "type", "OnDelete"))
		ocheck_invalid_at(c, &sp, strategy, "type", "must be 'RollingUpdate' or 'OnDelete'");
	if (oget_is(strategy, "type", "OnDelete") && ojson_has(strategy, "rollingUpdate"))
		ocheck_invalid_at(c, &sp, strategy, "rollingUpdate", "only allowed for updateStrategy 'RollingUpdate'");
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
	struct opath tp = opath_child(&sp, "type");
	int64_t unavailable, surge;

	(void)old;
	if (is_status(c))
		return;
	ocheck_workload(c, &p, spec, "empty selector is invalid for daemonset");
	if (oget_is(strategy, "type", "OnDelete"))
		return;
	if (!oget_is(strategy, "type", "RollingUpdate")) {
		ocheck_not_supported(c, &tp, ojson_get(strategy, "type"), types, 2);
		return;
	}
	if (rolling == NULL) {
		ocheck_required(c, &rp, "");
		return;
	}
	unavailable = ocheck_int_or_percent(c, &up, ojson_get(rolling, "maxUnavailable"));
	surge = ocheck_int_or_percent(c, &gp, ojson_get(rolling, "maxSurge"));
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

OCHECK(job)
{
	struct ojson *spec = ojson_get(v, "spec"), *was = ojson_get(old, "spec"), *selector = ojson_get(spec, "selector");
	struct opath p = opath_child(at, "spec"), tp = opath_child(&p, "template"), mp = opath_child(&tp, "metadata");
	struct opath selp = opath_child(&p, "selector");

	if (is_status(c))
		return;
	if (selector == NULL)
		ocheck_required(c, &selp, "");
	else if (!ocheck_selects(selector, OJSON_AT(spec, "template", "metadata", "labels")))
		ocheck_invalid_at(c, &mp, OJSON_AT(spec, "template", "metadata"), "labels",
				  "`selector` does not match template `labels`");
	check_restart(c, &tp, ojson_get(spec, "template"));
	check_indexed(c, &p, spec);
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

OCHECK(cron_job)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct opath p = opath_child(at, "spec"), jp = opath_child(&p, "jobTemplate"), jsp = opath_child(&jp, "spec");
	struct opath tp = opath_child(&jsp, "template"), mp = opath_child(at, "metadata");
	struct orlop_bytes schedule = oget_text(spec, "schedule");

	if (is_status(c))
		return;
	if (old == NULL && oget_text(ojson_get(v, "metadata"), "name").len > 52)
		ocheck_invalid_at(c, &mp, ojson_get(v, "metadata"), "name", "must be no more than 52 characters");
	if (schedule.len > 0 && (strstr(ojson_get_cstr(spec, "schedule", ""), "TZ") != NULL))
		ocheck_invalid_at(c, &p, spec, "schedule", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
	else if (schedule.len > 0 && !cron_ok(schedule))
		ocheck_invalid_at(c, &p, spec, "schedule", "is no schedule of five fields");
	if (ojson_has(spec, "timeZone") && oget_empty(spec, "timeZone"))
		ocheck_invalid_at(c, &p, spec, "timeZone", "timeZone must be nil or non-empty string");
	else if (oget_is(spec, "timeZone", "Local") || oget_is(spec, "timeZone", "local"))
		ocheck_invalid_at(c, &p, spec, "timeZone", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
	check_restart(c, &tp, OJSON_AT(spec, "jobTemplate", "spec", "template"));
}

/* ---- storage ---- */

/* A quantity above zero at @obj.@key."storage". */
static void check_storage(struct ocheck *c, const struct opath *at, struct ojson *map)
{
	struct opath p = opath_key(at, "storage");
	struct ojson *v = ojson_get(map, "storage");
	struct oquantity q, zero;

	oquantity_from_i64(&zero, 0, OQUANTITY_DECIMAL);
	if (v != NULL && ocheck_quantity(v, &q) && oquantity_cmp(&q, &zero) <= 0)
		ocheck_invalid(c, &p, v, "must be greater than zero");
}

/* Access modes: at least one, known ones, and ReadWriteOncePod alone. */
static void check_modes(struct ocheck *c, const struct opath *at, struct ojson *list, const char *missing)
{
	static const char *const modes[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod" };
	bool alone = false;

	if (ojson_count(list) == 0)
		ocheck_required(c, at, missing);
	OJSON_FOREACH_ELEM(i, e, list) {
		bool known = false;

		for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++)
			known = known || ojson_string_is(e, modes[k]);
		alone = alone || ojson_string_is(e, "ReadWriteOncePod");
		if (!known)
			ocheck_not_supported(c, at, e, modes, sizeof(modes) / sizeof(modes[0]));
	}
	if (alone && ojson_count(list) > 1)
		ocheck_forbidden(c, at, "may not use ReadWriteOncePod with other access modes");
}

/* Members of a volume's spec that are no source. */
static const char *const no_source[] = {
	"capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
	"volumeMode", "nodeAffinity", "volumeAttributesClassName", NULL,
};

OCHECK(persistent_volume)
{
	static const char *const storage_only[] = { "storage" };
	struct ojson *spec = ojson_get(v, "spec"), *capacity = ojson_get(spec, "capacity");
	struct opath p = opath_child(at, "spec"), cp = opath_child(&p, "capacity"), np = opath_child(&p, "nodeAffinity");
	struct opath ap = opath_child(&p, "accessModes");
	size_t sources = 0;

	if (is_status(c))
		return;
	check_modes(c, &ap, ojson_get(spec, "accessModes"), "");
	if (ojson_count(capacity) == 0)
		ocheck_required(c, &cp, "");
	if (!ojson_has(capacity, "storage") || ojson_count(capacity) > 1)
		ocheck_not_supported(c, &cp, capacity, storage_only, 1);
	check_storage(c, &cp, capacity);
	OJSON_FOREACH(it, spec) {
		bool source = it.value != NULL;

		for (size_t i = 0; no_source[i] != NULL; i++)
			source = source && strcmp(it.key, no_source[i]) != 0;
		if (source && sources++ > 0) {
			struct opath sp = opath_child(&p, it.key);

			ocheck_forbidden(c, &sp, "may not specify more than 1 volume type");
		}
	}
	if (sources == 0)
		ocheck_required(c, &p, "must specify a volume type");
	if (ojson_has(spec, "local") && ojson_get(spec, "nodeAffinity") == NULL)
		ocheck_required(c, &np, "Local volume requires node affinity");
	if (oget_is(ojson_get(spec, "hostPath"), "path", "/") && oget_is(spec, "persistentVolumeReclaimPolicy", "Recycle"))
		ocheck_forbidden_at(c, &p, "persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
	if (old != NULL) {
		struct ojson *was = ojson_get(old, "spec");

		OJSON_FOREACH(it, was) {
			bool source = true;

			for (size_t i = 0; no_source[i] != NULL; i++)
				source = source && strcmp(it.key, no_source[i]) != 0;
			if (source && !ojson_equal(it.value, ojson_get(spec, it.key)))
				ocheck_forbidden(c, &p, "spec.persistentvolumesource is immutable after creation");
		}
	}
}

OCHECK(persistent_volume_claim)
{
	struct ojson *spec = ojson_get(v, "spec"), *was = ojson_get(old, "spec");
	struct opath p = opath_child(at, "spec"), rp = opath_child(&p, "resources"), ap = opath_child(&p, "accessModes");
	struct opath sp = opath_key(&rp, "storage");
	struct ojson *requests = OJSON_AT(spec, "resources", "requests"), *before = OJSON_AT(was, "resources", "requests");
	static const char *const may_change[] = { "resources", "volumeAttributesClassName", "volumeName", "storageClassName", NULL };
	struct oquantity a, b;

	if (is_status(c))
		return;
	check_modes(c, &ap, ojson_get(spec, "accessModes"), "at least 1 access mode is required");
	if (!ojson_has(requests, "storage"))
		ocheck_required(c, &sp, "");
	check_storage(c, &rp, requests);
	if (old == NULL)
		return;
	if (!ocheck_equal_but(spec, was, may_change) ||
	    (!oget_empty(was, "volumeName") && !ojson_equal(ojson_get(was, "volumeName"), ojson_get(spec, "volumeName"))) ||
	    (ojson_has(was, "storageClassName") &&
	     !ojson_equal(ojson_get(was, "storageClassName"), ojson_get(spec, "storageClassName"))) ||
	    (!ojson_equal(requests, before) && !oget_is(ojson_get(old, "status"), "phase", "Bound")))
		ocheck_forbidden(c, &p, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims");
	else if (ocheck_quantity(ojson_get(requests, "storage"), &a) && ocheck_quantity(ojson_get(before, "storage"), &b) &&
		 oquantity_cmp(&a, &b) < 0)
		ocheck_forbidden(c, &sp, "field can not be less than previous value");
}

OCHECK(lifecycle_modes)
{
	static const char *const modes[] = { "Persistent", "Ephemeral" };

	(void)old;
	OJSON_FOREACH_ELEM(i, e, v)
		if (!ojson_string_is(e, modes[0]) && !ojson_string_is(e, modes[1]))
			ocheck_not_supported(c, at, e, modes, 2);
}

/* ---- networking ---- */

OCHECK(ingress_backend)
{
	struct ojson *service = ojson_get(v, "service"), *port = ojson_get(service, "port");
	struct opath sp = opath_child(at, "service"), pp = opath_child(&sp, "port");
	bool name = !oget_empty(port, "name"), number = oget_int(port, "number") != 0;

	(void)old;
	if (v == NULL)
		return;
	if (service != NULL && ojson_get(v, "resource") != NULL)
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "", 0 }, "cannot set both resource and service backends");
	else if (service == NULL && ojson_get(v, "resource") == NULL)
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "", 0 }, "resource or service backend is required");
	else if (service != NULL && name && number)
		ocheck_invalid(c, &pp, port, "cannot set both port name & port number");
	else if (service != NULL && !name && !number)
		ocheck_required(c, &pp, "port name or number is required");
	else if (service != NULL && number && (oget_int(port, "number") < 1 || oget_int(port, "number") > 65535))
		ocheck_invalid_at(c, &pp, port, "number", "must be between 1 and 65535, inclusive");
}

static void check_paths(struct ocheck *c, const struct opath *at, struct ojson *http)
{
	struct opath pp = opath_child(at, "paths");

	OJSON_FOREACH_ELEM(i, e, ojson_get(http, "paths")) {
		struct opath ip = opath_index(&pp, i);
		bool strict = oget_is(e, "pathType", "Exact") || oget_is(e, "pathType", "Prefix");
		const char *path = ojson_get_cstr(e, "path", "");

		if (strict && path[0] != '/')
			ocheck_invalid_at(c, &ip, e, "path", "must be an absolute path");
		else if (strict && (strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../") ||
				    strstr(path, "%2f") || strstr(path, "%2F")))
			ocheck_invalid_at(c, &ip, e, "path", "must not contain '//', '/./', '/../' or an encoded '/'");
	}
}

OCHECK(ingress)
{
	struct ojson *spec = ojson_get(v, "spec"), *meta = ojson_get(v, "metadata");
	struct opath p = opath_child(at, "spec"), rp = opath_child(&p, "rules"), mp = opath_child(at, "metadata");
	struct opath ap = opath_child(&mp, "annotations"), kp = opath_key(&ap, "kubernetes.io/ingress.class");
	struct ojson *legacy = ojson_get(ojson_get(meta, "annotations"), "kubernetes.io/ingress.class");

	if (is_status(c))
		return;
	if (oget_len(spec, "rules") == 0 && ojson_get(spec, "defaultBackend") == NULL)
		ocheck_invalid(c, &p, NULL, "either `defaultBackend` or `rules` must be specified");
	if (old == NULL && legacy != NULL && ojson_has(spec, "ingressClassName"))
		ocheck_invalid(c, &kp, legacy, "can not be set when the class field is also set");
	OJSON_FOREACH_ELEM(i, r, ojson_get(spec, "rules")) {
		struct opath ip = opath_index(&rp, i), hp = opath_child(&ip, "http");
		struct orlop_bytes host = oget_text(r, "host");
		const char *wrong;

		if (host.len > 2 && host.p[0] == '*' && host.p[1] == '.')
			host = (struct orlop_bytes){ host.p + 2, host.len - 2 };
		wrong = host.len > 0 ? oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, host.p, host.len) : NULL;
		if (host.len > 0 && oschema_format_check(OSCHEMA_FMT_IP, host.p, host.len) == NULL)
			ocheck_invalid_at(c, &ip, r, "host", "must be a DNS name, not an IP address");
		else if (wrong != NULL)
			ocheck_invalid_at(c, &ip, r, "host", wrong);
		check_paths(c, &hp, ojson_get(r, "http"));
	}
}

OCHECK(network_policy_peer)
{
	bool block = ojson_get(v, "ipBlock") != NULL;
	bool selects = ojson_get(v, "podSelector") != NULL || ojson_get(v, "namespaceSelector") != NULL;

	(void)old;
	if (v == NULL)
		return;
	if (block && selects)
		ocheck_forbidden(c, at, "may not specify both ipBlock and another peer");
	else if (!block && !selects)
		ocheck_required(c, at, "must specify a peer");
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

/* ---- quotas, runtimes ---- */

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
			struct ojson *shown, struct ojson *all, struct ojson *hard)
{
	if (!in_words(scope, quota_scopes))
		ocheck_invalid(c, name, shown, "unsupported scope");
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

	OJSON_FOREACH_ELEM(i, e, list) {
		struct ojson *scope = ojson_get(e, "scopeName"), *how = ojson_get(e, "operator"), *values = ojson_get(e, "values");

		check_scope(c, &mp, &sp, scope, scope, selector, hard);
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
static bool same_scopes(struct ojson *a, struct ojson *b)
{
	struct ojson *sides[2] = { a, b };

	for (int k = 0; k < 2; k++)
		OJSON_FOREACH_ELEM(i, e, sides[k]) {
			bool found = false;

			OJSON_FOREACH_ELEM(j, o, sides[1 - k])
				found = found || ojson_equal(e, o);
			if (!found)
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

	if (is_status(c)) {
		check_quota_map(c, &thp, OJSON_AT(v, "status", "hard"));
		check_quota_map(c, &tup, OJSON_AT(v, "status", "used"));
		return;
	}
	check_quota_map(c, &hp, hard);
	OJSON_FOREACH_ELEM(i, e, list)
		check_scope(c, &sp, &sp, e, list, list, hard);
	check_opposites(c, &sp, list, NULL);
	check_scope_selector(c, &ep, OJSON_AT(v, "spec", "scopeSelector"), hard);
	if (old != NULL && !same_scopes(list, OJSON_AT(old, "spec", "scopes")))
		ocheck_invalid(c, &sp, list, "field is immutable");
}

OCHECK(runtime_class)
{
	struct opath hp = opath_child(at, "handler");

	(void)old;
	ocheck_format_text(c, &hp, oget_text(v, "handler"), OSCHEMA_FMT_DNS1123_LABEL);
}

/* ---- autoscalers ---- */

/* The member that holds a metric of type @type: "Resource" is in "resource". */
static const char *metric_member(struct orlop_bytes type)
{
	static const char *const names[][2] = {
		{ "ContainerResource", "containerResource" }, { "External", "external" }, { "Object", "object" },
		{ "Pods", "pods" }, { "Resource", "resource" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (otext_is(type, names[i][0]))
			return names[i][1];
	return NULL;
}

OCHECK(autoscaler)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct opath p = opath_child(at, "spec"), mp = opath_child(&p, "metrics");

	(void)old;
	if (is_status(c))
		return;
	if (oget_int(spec, "maxReplicas") < oget_int(spec, "minReplicas"))
		ocheck_invalid_at(c, &p, spec, "maxReplicas", "must be greater than or equal to `minReplicas`");
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "metrics")) {
		struct opath ip = opath_index(&mp, i);
		const char *member = metric_member(oget_text(m, "type"));

		if (member != NULL && ojson_get(m, member) == NULL)
			ocheck_required_at(c, &ip, member, "must populate information for the given metric source");
	}
}
