/*
 * taints.c - the taints that follow from a node's conditions. Pure.
 *
 * Source: pkg/controller/nodelifecycle nodeConditionToTaintKeyStatusMap, taintKeyToNodeConditionMap.
 */
#include "nodelife.h"

#include <errno.h>
#include <string.h>

#include "base/otime.h"
#include "kube/okube.h"

static const struct rule {
	const char	*condition;
	const char	*status;
	const char	*key;
} rules[] = {
	{ "Ready", "False", "node.kubernetes.io/not-ready" },
	{ "Ready", "Unknown", "node.kubernetes.io/unreachable" },
	{ "MemoryPressure", "True", "node.kubernetes.io/memory-pressure" },
	{ "DiskPressure", "True", "node.kubernetes.io/disk-pressure" },
	{ "PIDPressure", "True", "node.kubernetes.io/pid-pressure" },
	{ "NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable" },
};

#define N_RULES		(sizeof(rules) / sizeof(rules[0]))
#define CORDON		"node.kubernetes.io/unschedulable"

const char *nl_ready_taint(const char *ready)
{
	return !strcmp(ready, "False") ? rules[0].key : !strcmp(ready, "Unknown") ? rules[1].key : NULL;
}

static bool has(const struct ojson *list, const char *key, const char *effect)
{
	OJSON_FOREACH_ELEM(i, t, list) {
		if (ojson_string_is(ojson_get(t, "key"), key) && ojson_string_is(ojson_get(t, "effect"), effect))
			return true;
	}
	return false;
}

bool nl_evicts(const struct ojson *node, const char *key)
{
	return has(OJSON_AT(node, "spec", "taints"), key, "NoExecute");
}

/* Is @t one that we decide about, and should it be there? */
static bool is_ours(const struct ojson *node, const char *evict, const struct ojson *t, bool *ret_wanted)
{
	const char *key = ojson_get_cstr(t, "key", "");
	const char *effect = ojson_get_cstr(t, "effect", "");
	size_t i;

	if (!strcmp(effect, "NoExecute")) {
		if (strcmp(key, rules[0].key) && strcmp(key, rules[1].key))
			return false;
		*ret_wanted = evict && !strcmp(key, evict);
		return true;
	}
	if (strcmp(effect, "NoSchedule"))
		return false;
	if (!strcmp(key, CORDON)) {
		*ret_wanted = ojson_get_bool(ojson_get(node, "spec"), "unschedulable", false);
		return true;
	}
	for (i = 0; i < N_RULES; i++)
		if (!strcmp(key, rules[i].key)) {
			*ret_wanted = ojson_string_is(ojson_get(okube_condition(node, rules[i].condition), "status"),
						      rules[i].status);
			return true;
		}
	return false;
}

static int add(struct ojson *list, const char *key, const char *effect, int64_t now_ns)
{
	struct ojson *t = ojson_new_object();
	char now[OTIME_BUF];
	int e = t ? ojson_set_cstr(t, "key", key) : -ENOMEM;

	otime_format(now_ns, now);
	if (!e)
		e = ojson_set_cstr(t, "effect", effect);
	if (!e)
		e = ojson_set_cstr(t, "timeAdded", now);
	if (e) {
		ojson_unref(t);
		return e;
	}
	return ojson_append(list, t);
}

int nl_taints_make(const struct ojson *node, const char *evict, int64_t now_ns, struct ojson **ret)
{
	const struct ojson *have = OJSON_AT(node, "spec", "taints");
	struct ojson *list = ojson_new_array();
	bool changed = false;
	bool wanted;
	size_t i;
	int e = list ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(k, t, have) {
		if (e)
			break;
		if (is_ours(node, evict, t, &wanted) && !wanted)
			changed = true;
		else
			e = ojson_append(list, ojson_ref(t));
	}
	for (i = 0; i < N_RULES && !e; i++) {
		if (!ojson_string_is(ojson_get(okube_condition(node, rules[i].condition), "status"), rules[i].status) ||
		    has(have, rules[i].key, "NoSchedule"))
			continue;
		changed = true;
		e = add(list, rules[i].key, "NoSchedule", now_ns);
	}
	if (!e && ojson_get_bool(ojson_get(node, "spec"), "unschedulable", false) && !has(have, CORDON, "NoSchedule")) {
		changed = true;
		e = add(list, CORDON, "NoSchedule", now_ns);
	}
	if (!e && evict && !has(have, evict, "NoExecute")) {
		changed = true;
		e = add(list, evict, "NoExecute", now_ns);
	}
	if (e || !changed) {
		ojson_unref(list);
		list = NULL;
	}
	if (!e)
		*ret = list;
	return e;
}
