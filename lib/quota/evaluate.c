/* evaluate.c - which names a resource's objects cost, and how much of each. */
#include "oquota.h"

#include "quantity/oquantity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_SUFFIX ".storageclass.storage.k8s.io/"

static bool is(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && !memcmp(b.p, cstr, b.len);
}

static bool begins(struct orlop_bytes b, const char *cstr)
{
	size_t n = strlen(cstr);

	return b.len >= n && !memcmp(b.p, cstr, n);
}

static bool ends(struct orlop_bytes b, const char *cstr)
{
	size_t n = strlen(cstr);

	return b.len >= n && !memcmp(b.p + b.len - n, cstr, n);
}

static bool on(struct orlop_bytes name, const char *const *list)
{
	for (; *list; list++)
		if (is(name, *list))
			return true;
	return false;
}

static bool contains(struct orlop_bytes b, const char *cstr)
{
	return memmem(b.p, b.len, cstr, strlen(cstr)) != NULL;
}

/* The names beside count/RESOURCE. */
static const char *alias(struct orlop_bytes name)
{
	static const char *const pod[] = { "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
		"requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", NULL };
	static const char *const service[] = { "services", "services.nodeports", "services.loadbalancers", NULL };
	static const char *const claim[] = { "persistentvolumeclaims", "requests.storage", NULL };
	static const char *const other[] = { "configmaps", "secrets", "replicationcontrollers", "resourcequotas", NULL };

	if (on(name, pod) || begins(name, "hugepages-") || begins(name, "requests.hugepages-"))
		return "pods";
	if (on(name, service))
		return "services";
	if (on(name, claim) || ends(name, CLASS_SUFFIX "requests.storage") || ends(name, CLASS_SUFFIX "persistentvolumeclaims"))
		return "persistentvolumeclaims";
	for (size_t i = 0; other[i]; i++)
		if (is(name, other[i]))
			return other[i];
	/* extended resources: requests.example.com/gpu */
	if (begins(name, "requests.") && contains(name, "/") && !contains(name, "kubernetes.io/"))
		return "pods";
	return NULL;
}

bool oquota_counts(const char *resource, struct orlop_bytes name)
{
	const char *of;

	if (begins(name, "count/"))
		return is((struct orlop_bytes){ name.p + 6, name.len - 6 }, resource);
	of = alias(name);
	return of && !strcmp(of, resource);
}

const char *oquota_resource(struct orlop_bytes name, char *buf, size_t size)
{
	const char *of;

	if (begins(name, "count/")) {
		if (name.len - 6 >= size || name.len == 6)
			return NULL;
		memcpy(buf, name.p + 6, name.len - 6);
		buf[name.len - 6] = '\0';
		return buf;
	}
	of = alias(name);
	if (of)
		(void)snprintf(buf, size, "%s", of);
	return of ? buf : NULL;
}

/* ---- scopes ---- */

static bool holds(const char *scope, const char *operator, const struct ojson *values, const char *resource,
		  const struct ojson *obj)
{
	if (!strcmp(resource, "pods"))
		return oquota_pod_in_scope(scope, operator, values, obj);
	if (!strcmp(resource, "persistentvolumeclaims") && !strcmp(scope, "VolumeAttributesClass")) {
		const char *class = ojson_get_cstr(ojson_get(obj, "spec"), "volumeAttributesClassName", "");
		bool in = false;

		OJSON_FOREACH_ELEM(i, v, values)
			in = in || ojson_string_is(v, class);
		return !strcmp(operator, "In") ? *class && in : !strcmp(operator, "NotIn") ? !*class || !in :
		       !strcmp(operator, "DoesNotExist") ? !*class : *class != '\0';
	}
	return false;
}

bool oquota_in_scope(const struct ojson *spec, const char *resource, const struct ojson *obj)
{
	OJSON_FOREACH_ELEM(i, s, ojson_get(spec, "scopes"))
		if (!holds(ojson_cstr(s, ""), "Exists", NULL, resource, obj))
			return false;
	OJSON_FOREACH_ELEM(i, e, OJSON_AT(spec, "scopeSelector", "matchExpressions"))
		if (!holds(ojson_get_cstr(e, "scopeName", ""), ojson_get_cstr(e, "operator", ""), ojson_get(e, "values"),
			   resource, obj))
			return false;
	return true;
}

/* ---- what it costs ---- */

static int service_usage(const struct ojson *obj, struct ojson *sum)
{
	const struct ojson *spec = ojson_get(obj, "spec"), *ports = ojson_get(spec, "ports");
	bool balanced = ojson_string_is(ojson_get(spec, "type"), "LoadBalancer");
	size_t n = balanced || ojson_string_is(ojson_get(spec, "type"), "NodePort") ? ojson_count(ports) : 0;
	char text[24];
	int r;

	if (balanced && !ojson_get_bool(spec, "allocateLoadBalancerNodePorts", true)) {
		n = 0;
		OJSON_FOREACH_ELEM(i, p, ports)
			n += ojson_get_i64(p, "nodePort", 0) != 0;
	}
	(void)snprintf(text, sizeof(text), "%zu", n);
	r = ojson_set_cstr(sum, "services", "1");
	if (r == 0)
		r = ojson_set_cstr(sum, "services.nodeports", text);
	return r ? r : ojson_set_cstr(sum, "services.loadbalancers", balanced ? "1" : "0");
}

static int claim_usage(const struct ojson *obj, struct ojson *sum)
{
	const struct ojson *spec = ojson_get(obj, "spec");
	struct orlop_bytes size = ojson_bytes(OJSON_AT(spec, "resources", "requests", "storage"));
	struct orlop_bytes got = ojson_bytes(OJSON_AT(obj, "status", "allocatedResources", "storage"));
	const char *class = ojson_cstr(OJSON_AT(obj, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class"),
				       ojson_get_cstr(spec, "storageClassName", ""));
	char name[400], out[OQUANTITY_BUF];
	struct oquantity q, a;
	int r = ojson_set_cstr(sum, "persistentvolumeclaims", "1");

	(void)snprintf(name, sizeof(name), "%.253s" CLASS_SUFFIX "persistentvolumeclaims", class);
	if (r == 0 && *class)
		r = ojson_set_cstr(sum, name, "1");
	if (r || oquantity_parse(size.p, size.len, &q, NULL))
		return r;
	if (got.len && oquantity_parse(got.p, got.len, &a, NULL) == 0 && oquantity_cmp(&a, &q) > 0)
		q = a;
	(void)oquantity_round_up(&q, 0);
	(void)oquantity_write(&q, out);
	r = ojson_set_cstr(sum, "requests.storage", out);
	(void)snprintf(name, sizeof(name), "%.253s" CLASS_SUFFIX "requests.storage", class);
	return r || !*class ? r : ojson_set_cstr(sum, name, out);
}

int oquota_usage(const char *resource, const struct ojson *obj, int64_t now_ns, struct ojson **ret)
{
	struct ojson *sum = ojson_new_object();
	char count[300];
	int r = sum ? 0 : -ENOMEM;

	if (snprintf(count, sizeof(count), "count/%s", resource) >= (int)sizeof(count))
		r = -E2BIG;
	if (r == 0)
		r = ojson_set_cstr(sum, count, "1");
	if (r == 0 && !strcmp(resource, "pods"))
		r = oquota_pod_usage(obj, now_ns, sum);
	else if (r == 0 && !strcmp(resource, "services"))
		r = service_usage(obj, sum);
	else if (r == 0 && !strcmp(resource, "persistentvolumeclaims"))
		r = claim_usage(obj, sum);
	else if (r == 0 && oquota_counts(resource, (struct orlop_bytes){ resource, strlen(resource) }))
		r = ojson_set_cstr(sum, resource, "1");
	if (r == 0)
		*ret = sum;
	else
		ojson_unref(sum);
	return r;
}

/* ---- what must be said ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void oquota_missing(const char *resource, const struct ojson *hard, const struct ojson *obj, struct obuf *why)
{
	static const char *const must[] = { "cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory" };
	static const char *const lists[] = { "containers", "initContainers" };
	const struct ojson *spec = ojson_get(obj, "spec"), *whole = ojson_get(spec, "resources");
	bool any = false;

	if (strcmp(resource, "pods") || ojson_count(ojson_get(whole, "requests")) || ojson_count(ojson_get(whole, "limits")))
		return;
	for (size_t m = 0; m < sizeof(must) / sizeof(must[0]); m++) {
		const char *names[200];
		size_t n = 0;

		for (size_t l = 0; l < 2 && ojson_has(hard, must[m]); l++)
			OJSON_FOREACH_ELEM(i, c, ojson_get(spec, lists[l])) {
				struct ojson *has = ojson_new_object();

				(void)oquota_container_usage(OJSON_AT(c, "resources", "requests"),
							     OJSON_AT(c, "resources", "limits"), has);
				if (n < 200 && !ojson_has(has, must[m]))
					names[n++] = ojson_get_cstr(c, "name", "");
				ojson_unref(has);
			}
		if (!n)
			continue;
		qsort(names, n, sizeof(names[0]), by_text);
		obuf_printf(why, "%s%s for: ", any ? "; " : "must specify ", must[m]);
		for (size_t i = 0; i < n; i++)
			obuf_printf(why, "%s%s", i ? "," : "", names[i]);
		any = true;
	}
}
