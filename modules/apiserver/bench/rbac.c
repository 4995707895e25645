/*
 * rbac.c - time of one decision: with the roles of every cluster, and with a thousand bindings beside them.
 */
#include "auth/rbac.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void measure(struct rbac *x, const char *what, const char *user, const char *verb, const char *resource, const char *ns)
{
	struct orlop_bytes groups[] = { text("dev"), text("system:authenticated") };
	struct orlop_identity who = { .size = sizeof(who), .user = text(user), .groups = groups, .n_groups = 2 };
	struct reg_attrs at = { .verb = text(verb), .group = text(""), .resource = text(resource), .ns = text(ns),
				.name = text("x") };
	const unsigned int n = 1000000;
	unsigned int yes = 0;
	double t;

	t = now_ns();
	for (unsigned int i = 0; i < n; i++)
		yes += (unsigned int)rbac_allows(x, &who, &at, NULL, NULL, NULL);
	printf("{\"name\":\"rbac/%s\",\"ns\":%.1f,\"n\":%u,\"allowed\":%u}\n", what, (now_ns() - t) / n, n, yes / n);
}

static void put(struct rbac *x, unsigned int r, const char *ns, const char *name, const char *members)
{
	(void)rbac_put(x, r, text(ns), text(name), text(members));
}

int main(void)
{
	struct rbac *x;
	char ns[32], json[500];

	if (rbac_new(NULL, &x))
		return 1;
	put(x, RBAC_CLUSTER_ROLES, "", "basic", "\"rules\":[{\"verbs\":[\"create\"],\"apiGroups\":[\"authorization.k8s.io\"],\"resources\":[\"selfsubjectaccessreviews\",\"selfsubjectrulesreviews\"]},{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/api\",\"/api/*\",\"/healthz\"]}]");
	put(x, RBAC_CLUSTER_BINDINGS, "", "basic", "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"basic\"},\"subjects\":[{\"kind\":\"Group\",\"name\":\"system:authenticated\"}]");
	put(x, RBAC_CLUSTER_ROLES, "", "view", "\"rules\":[{\"verbs\":[\"get\",\"list\",\"watch\"],\"apiGroups\":[\"apps\"],\"resources\":[\"deployments\",\"replicasets\",\"statefulsets\",\"daemonsets\"]},{\"verbs\":[\"get\",\"list\",\"watch\"],\"apiGroups\":[\"\"],\"resources\":[\"configmaps\",\"endpoints\",\"services\",\"pods\"]}]");
	put(x, RBAC_BINDINGS, "a", "ann", "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"ann\"}]");
	measure(x, "yes", "ann", "get", "pods", "a");
	measure(x, "no", "ann", "delete", "pods", "a");
	measure(x, "nobody", "bob", "get", "pods", "a");
	for (int i = 0; i < 1000; i++) {
		snprintf(ns, sizeof(ns), "space-%d", i);
		snprintf(json, sizeof(json), "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"user-%d\"},{\"kind\":\"ServiceAccount\",\"name\":\"bot\",\"namespace\":\"%s\"}]", i, ns);
		put(x, RBAC_BINDINGS, ns, "view", json);
	}
	measure(x, "yes, 1000 bindings", "user-500", "get", "pods", "space-500");
	measure(x, "account, 1000 bindings", "system:serviceaccount:space-7:bot", "get", "pods", "space-7");
	rbac_free(x);
	return 0;
}
