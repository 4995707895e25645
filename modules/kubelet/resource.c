/*
 * resource.c - requests and limits as cgroup numbers; the quality-of-service class. Pure.
 *
 * Sources: pkg/kubelet/cm/helpers_linux.go (shares, quota), pkg/kubelet/qos/policy.go (oom score),
 * pkg/apis/core/v1/helper/qos.
 */
#include "kubelet.h"

#include <string.h>

#include "quantity/oquantity.h"

static bool quantity_of(const struct ojson *list, const char *name, struct oquantity *ret)
{
	struct orlop_bytes b = ojson_get_bytes(list, name);
	struct ojson *v = ojson_get(list, name);

	if (b.p)
		return !oquantity_parse(b.p, b.len, ret, NULL);
	if (!v)
		return false;
	oquantity_from_i64(ret, ojson_i64(v, 0), OQUANTITY_DECIMAL);
	return true;
}

int64_t quantity_milli(const struct ojson *list, const char *name, int64_t def)
{
	struct oquantity q;

	return quantity_of(list, name, &q) ? oquantity_milli(&q) : def;
}

int64_t quantity_i64(const struct ojson *list, const char *name, int64_t def)
{
	struct oquantity q;

	return quantity_of(list, name, &q) ? oquantity_i64(&q) : def;
}

/* 0: asks for nothing; 1: something; 2: limits of both, equal to what it requests. */
static int container_class(const struct ojson *c)
{
	static const char *const names[] = { "cpu", "memory" };
	const struct ojson *res = ojson_get(c, "resources");
	const struct ojson *req = ojson_get(res, "requests");
	const struct ojson *lim = ojson_get(res, "limits");
	bool some = false;
	bool full = true;
	size_t i;

	for (i = 0; i < 2; i++) {
		int64_t r = quantity_milli(req, names[i], 0);
		int64_t l = quantity_milli(lim, names[i], 0);

		some |= r > 0 || l > 0;
		full &= l > 0 && (r == 0 || r == l);
	}
	return full ? 2 : some;
}

enum qos qos_class(const struct ojson *pod)
{
	static const char *const lists[] = { "containers", "initContainers" };
	const struct ojson *spec = ojson_get(pod, "spec");
	bool full = true;
	bool none = true;
	size_t l;

	for (l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, ojson_get(spec, lists[l])) {
			int k = container_class(c);

			full &= k == 2;
			none &= k == 0;
		}
	}
	return none ? QOS_BESTEFFORT : full ? QOS_GUARANTEED : QOS_BURSTABLE;
}

const char *qos_name(enum qos q)
{
	return q == QOS_GUARANTEED ? "Guaranteed" : q == QOS_BURSTABLE ? "Burstable" : "BestEffort";
}

void cgroup_parent(const char *root, const struct ojson *pod, const char *uid, struct obuf *out)
{
	enum qos q = qos_class(pod);

	obuf_printf(out, "/%s%s/pod%s", *root == '/' ? root + 1 : root,
		    q == QOS_BURSTABLE ? "/burstable" : q == QOS_BESTEFFORT ? "/besteffort" : "", uid);
}

static int64_t oom_score(const struct ojson *pod, const struct ojson *c, int64_t capacity)
{
	int64_t request = quantity_i64(OJSON_AT(c, "resources", "requests"), "memory", 0);
	int64_t adj;

	if (ojson_i64(OJSON_AT(pod, "spec", "priority"), 0) >= 2000000000)
		return -997;	/* system-cluster-critical and above */
	switch (qos_class(pod)) {
	case QOS_GUARANTEED:
		return -997;
	case QOS_BESTEFFORT:
		return 1000;
	default:
		break;
	}
	adj = capacity > 0 ? 1000 - (int64_t)((__int128)1000 * request / capacity) : 999;
	if (adj < 3)
		return 3;
	return adj >= 1000 ? 999 : adj;
}

struct ojson *resources_linux(const struct ojson *pod, const struct ojson *c, int64_t capacity)
{
	const struct ojson *req = OJSON_AT(c, "resources", "requests");
	const struct ojson *lim = OJSON_AT(c, "resources", "limits");
	int64_t cpu_limit = quantity_milli(lim, "cpu", 0);
	int64_t cpu = quantity_milli(req, "cpu", 0);
	int64_t memory = quantity_i64(lim, "memory", 0);
	struct ojson *r = ojson_new_object();
	int64_t v;

	if (!r)
		return NULL;
	if (!ojson_get(req, "cpu") && cpu_limit)
		cpu = cpu_limit;
	v = cpu * 1024 / 1000;
	(void)ojson_set_i64(r, "cpuShares", cpu <= 0 || v < 2 ? 2 : v > 262144 ? 262144 : v);
	if (cpu_limit > 0) {
		v = cpu_limit * 100000 / 1000;
		(void)ojson_set_i64(r, "cpuPeriod", 100000);
		(void)ojson_set_i64(r, "cpuQuota", v < 1000 ? 1000 : v);
	}
	if (memory > 0)
		(void)ojson_set_i64(r, "memoryLimitInBytes", memory);
	(void)ojson_set_i64(r, "oomScoreAdj", oom_score(pod, c, capacity));
	return r;
}

/* Sum over the containers, or what the largest init container needs beside the sidecars before it. */
int64_t pod_sum(const struct ojson *pod, const char *list, const char *name, bool milli, bool *ret_all)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	const struct ojson *own = OJSON_AT(spec, "resources", list);
	int64_t sum = 0;
	int64_t side = 0;
	int64_t most = 0;
	bool all = true;

	/* the pod as a whole may say it itself */
	if (ojson_get(own, name)) {
		*ret_all = true;
		return milli ? quantity_milli(own, name, 0) : quantity_i64(own, name, 0);
	}
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "containers")) {
		const struct ojson *l = OJSON_AT(c, "resources", list);
		int64_t v = milli ? quantity_milli(l, name, 0) : quantity_i64(l, name, 0);

		all &= v > 0;
		sum += v;
	}
	OJSON_FOREACH_ELEM(k, c, ojson_get(spec, "initContainers")) {
		const struct ojson *l = OJSON_AT(c, "resources", list);
		int64_t v = milli ? quantity_milli(l, name, 0) : quantity_i64(l, name, 0);

		all &= v > 0;
		if (!strcmp(ojson_get_cstr(c, "restartPolicy", ""), "Always")) {
			side += v;
			v = side;
		} else {
			v += side;
		}
		most = v > most ? v : most;
	}
	*ret_all = all;
	sum += side;
	sum = sum > most ? sum : most;
	if (sum)
		sum += milli ? quantity_milli(ojson_get(spec, "overhead"), name, 0)
			     : quantity_i64(ojson_get(spec, "overhead"), name, 0);
	return sum;
}
