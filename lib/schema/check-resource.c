/*
 * check-resource.c - names of resources: anybody's, a container's, a quota's.
 *
 * Source: k8s.io/kubernetes/pkg/apis/core/{helper,validation}.
 */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

static bool in_list(struct orlop_bytes name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (otext_is(name, list[i]))
			return true;
	return false;
}

static bool starts(struct orlop_bytes name, const char *with)
{
	return ostr_starts(name.p, name.len, with);
}

static bool has_slash(struct orlop_bytes name)
{
	return memchr(name.p, '/', name.len) != NULL;
}

static bool contains(struct orlop_bytes name, const char *what)
{
	return memmem(name.p, name.len, what, strlen(what)) != NULL;
}

/* Without a slash, what is no name of Kubernetes is nobody's. */
bool ocheck_is_quota_resource(struct orlop_bytes name)
{
	static const char *const known[] = { "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
		"requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods",
		"resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
		"services.nodeports", "services.loadbalancers" };

	return starts(name, "hugepages-") || starts(name, "requests.hugepages-") ||
	       in_list(name, known, sizeof(known) / sizeof(known[0]));
}

bool ocheck_resource_name(struct ocheck *c, const struct opath *at, struct orlop_bytes name)
{
	uint32_t before = c->found;

	ocheck_format_text(c, at, name, OSCHEMA_FMT_QUALIFIED_NAME);
	if (c->found == before && !has_slash(name) && !ocheck_is_quota_resource(name) && !otext_is(name, "storage"))
		ocheck_invalid_text(c, at, name, "must be a standard resource type or fully qualified");
	return c->found == before;
}

/* What others than Kubernetes have named, so that a quota can name it, too. */
static bool is_extended(struct orlop_bytes name)
{
	char counted[340];
	int n;

	if (!has_slash(name) || contains(name, "kubernetes.io/") || starts(name, "requests."))
		return false;
	n = snprintf(counted, sizeof(counted), "requests.%.*s", (int)name.len, name.p);
	return n < (int)sizeof(counted) && oschema_format_check(OSCHEMA_FMT_QUALIFIED_NAME, counted, (size_t)n) == NULL;
}

bool ocheck_is_whole_resource(struct orlop_bytes name)
{
	static const char *const counted[] = { "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
		"persistentvolumeclaims", "services.nodeports", "services.loadbalancers" };

	return in_list(name, counted, sizeof(counted) / sizeof(counted[0])) || is_extended(name);
}

void ocheck_container_resource(struct ocheck *c, const struct opath *at, struct orlop_bytes name)
{
	static const char *const known[] = { "cpu", "memory", "ephemeral-storage" };

	(void)ocheck_resource_name(c, at, name);
	if (!has_slash(name)) {
		if (!in_list(name, known, sizeof(known) / sizeof(known[0])) && !starts(name, "hugepages-"))
			ocheck_invalid_text(c, at, name, "must be a standard resource for containers");
	} else if (!contains(name, "kubernetes.io/") && !is_extended(name)) {
		ocheck_invalid_text(c, at, name, "doesn't follow extended resource name standard");
	}
}

void ocheck_quota_resource(struct ocheck *c, const struct opath *at, struct orlop_bytes name)
{
	(void)ocheck_resource_name(c, at, name);
	if (!has_slash(name) && !ocheck_is_quota_resource(name))
		ocheck_invalid_text(c, at, name, "must be a standard resource for quota");
}
