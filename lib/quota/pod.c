/* pod.c - what a pod costs: what its containers ask for together, or its start needs, and its overhead. */
#include "oquota.h"

#include "base/otime.h"
#include "quantity/oquantity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Names without "/" and those of kubernetes.io are the system's own. */
static bool is_extended(const char *name)
{
	return strchr(name, '/') && !strstr(name, "kubernetes.io/") && strncmp(name, "requests.", 9);
}

static int larger(struct ojson *sum, const struct ojson *list)
{
	int r = 0;

	OJSON_FOREACH(it, list) {
		struct orlop_bytes x = ojson_bytes(it.value), y = ojson_get_bytes(sum, it.key);
		struct oquantity a, b;

		if (r || oquantity_parse(x.p, x.len, &a, NULL))
			continue;
		if (!y.len || oquantity_parse(y.p, y.len, &b, NULL) || oquantity_cmp(&a, &b) > 0)
			r = ojson_set(sum, it.key, ojson_ref(it.value));
	}
	return r;
}

static bool stays(const struct ojson *init)
{
	return ojson_string_is(ojson_get(init, "restartPolicy"), "Always");
}

/* The whole pod's requests or limits (@key). */
static int whole(const struct ojson *spec, const char *key, struct ojson **ret)
{
	struct ojson *sum = ojson_new_object(), *beside = ojson_new_object();
	int r = sum && beside ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "containers"))
		if (r == 0)
			r = oquota_add(sum, OJSON_AT(c, "resources", key));
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers"))
		if (r == 0 && stays(c))
			r = oquota_add(sum, OJSON_AT(c, "resources", key));
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers")) {
		struct ojson *once = NULL;

		if (r == 0)
			r = ojson_copy(beside, &once);
		if (r == 0)
			r = oquota_add(once, OJSON_AT(c, "resources", key));
		if (r == 0)
			r = larger(sum, once);
		if (r == 0 && stays(c))
			r = oquota_add(beside, OJSON_AT(c, "resources", key));
		ojson_unref(once);
	}
	/* what is said for the pod as a whole counts instead */
	OJSON_FOREACH(it, OJSON_AT(spec, "resources", key))
		if (r == 0)
			r = ojson_set(sum, it.key, ojson_ref(it.value));
	if (r == 0 && !strcmp(key, "requests"))
		r = oquota_add(sum, ojson_get(spec, "overhead"));
	else
		OJSON_FOREACH(it, ojson_get(spec, "overhead"))
			if (r == 0 && ojson_has(sum, it.key)) {
				struct ojson *one = ojson_new_object();

				r = ojson_set(one, it.key, ojson_ref(it.value));
				if (r == 0)
					r = oquota_add(sum, one);
				ojson_unref(one);
			}
	ojson_unref(beside);
	if (r == 0)
		*ret = sum;
	else
		ojson_unref(sum);
	return r;
}

static int put(struct ojson *sum, const char *prefix, const char *name, struct ojson *v)
{
	char key[400];

	(void)snprintf(key, sizeof(key), "%s%s", prefix, name);
	return ojson_set(sum, key, ojson_ref(v));
}

int oquota_container_usage(const struct ojson *requests, const struct ojson *limits, struct ojson *sum)
{
	static const char *const plain[] = { "cpu", "memory", "ephemeral-storage" };
	struct ojson *v;
	int r = ojson_set_cstr(sum, "pods", "1");

	for (size_t i = 0; i < 3; i++) {
		v = ojson_get(requests, plain[i]);
		if (r == 0 && v)
			r = put(sum, "", plain[i], v);
		if (r == 0 && v)
			r = put(sum, "requests.", plain[i], v);
		v = ojson_get(limits, plain[i]);
		if (r == 0 && v)
			r = put(sum, "limits.", plain[i], v);
	}
	OJSON_FOREACH(it, requests) {
		bool huge = !strncmp(it.key, "hugepages-", 10);

		if (r == 0 && huge)
			r = put(sum, "", it.key, it.value);
		if (r == 0 && (huge || is_extended(it.key)))
			r = put(sum, "requests.", it.key, it.value);
	}
	return r;
}

/* Ended, or past the time it was given to end. */
static bool is_over(const struct ojson *pod, int64_t now_ns)
{
	const struct ojson *phase = OJSON_AT(pod, "status", "phase"), *meta = ojson_get(pod, "metadata");
	struct orlop_bytes ts = ojson_get_bytes(meta, "deletionTimestamp");
	int64_t at;

	if (ojson_string_is(phase, "Failed") || ojson_string_is(phase, "Succeeded"))
		return true;
	if (!ts.len || !ojson_has(meta, "deletionGracePeriodSeconds") || otime_parse(ts.p, ts.len, &at))
		return false;
	return now_ns > at + ojson_get_i64(meta, "deletionGracePeriodSeconds", 0) * OTIME_SECOND;
}

int oquota_pod_usage(const struct ojson *pod, int64_t now_ns, struct ojson *sum)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	struct ojson *requests = NULL, *limits = NULL;
	int r = ojson_set_cstr(sum, "count/pods", "1");

	if (r || is_over(pod, now_ns))
		return r;
	r = whole(spec, "requests", &requests);
	if (r == 0)
		r = whole(spec, "limits", &limits);
	if (r == 0)
		r = oquota_container_usage(requests, limits, sum);
	ojson_unref(requests);
	ojson_unref(limits);
	return r;
}

/* ---- scopes -------------------------------------------------------------------------------------------------- */

static bool asks(const struct ojson *list)
{
	return ojson_count(ojson_get(list, "requests")) || ojson_count(ojson_get(list, "limits"));
}

static bool is_best_effort(const struct ojson *pod)
{
	const struct ojson *spec = ojson_get(pod, "spec"), *qos = OJSON_AT(pod, "status", "qosClass");
	static const char *const lists[] = { "containers", "initContainers" };

	if (qos)
		return ojson_string_is(qos, "BestEffort");
	if (asks(ojson_get(spec, "resources")))
		return false;
	for (size_t l = 0; l < 2; l++)
		OJSON_FOREACH_ELEM(i, c, ojson_get(spec, lists[l]))
			if (asks(ojson_get(c, "resources")))
				return false;
	return true;
}

static bool looks_beyond(const struct ojson *term)
{
	return ojson_count(ojson_get(term, "namespaces")) || ojson_has(term, "namespaceSelector");
}

static bool crosses_namespaces(const struct ojson *pod)
{
	static const char *const kinds[] = { "podAffinity", "podAntiAffinity" };
	const struct ojson *affinity = OJSON_AT(pod, "spec", "affinity");

	for (size_t k = 0; k < 2; k++) {
		const struct ojson *a = ojson_get(affinity, kinds[k]);

		OJSON_FOREACH_ELEM(i, t, ojson_get(a, "requiredDuringSchedulingIgnoredDuringExecution"))
			if (looks_beyond(t))
				return true;
		OJSON_FOREACH_ELEM(i, t, ojson_get(a, "preferredDuringSchedulingIgnoredDuringExecution"))
			if (looks_beyond(ojson_get(t, "podAffinityTerm")))
				return true;
	}
	return false;
}

bool oquota_pod_in_scope(const char *scope, const char *operator, const struct ojson *values, const struct ojson *pod)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	const char *class = ojson_get_cstr(spec, "priorityClassName", "");
	bool ends = ojson_has(spec, "activeDeadlineSeconds"), in = false;

	if (!strcmp(scope, "Terminating"))
		return ends;
	if (!strcmp(scope, "NotTerminating"))
		return !ends;
	if (!strcmp(scope, "BestEffort"))
		return is_best_effort(pod);
	if (!strcmp(scope, "NotBestEffort"))
		return !is_best_effort(pod);
	if (!strcmp(scope, "CrossNamespacePodAffinity"))
		return crosses_namespaces(pod);
	if (strcmp(scope, "PriorityClass"))
		return false;
	OJSON_FOREACH_ELEM(i, v, values)
		in = in || ojson_string_is(v, class);
	if (!strcmp(operator, "In"))
		return *class && in;
	if (!strcmp(operator, "NotIn"))
		return !*class || !in;
	return !strcmp(operator, "DoesNotExist") ? !*class : *class != '\0';
}
