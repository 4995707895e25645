/*
 * Who may what: a static table until RBAC comes.
 *
 * system:masters may all. Each module has what its work needs, under the name the core gives it
 * ("orlop:scheduler/default") or the name upstream's component has. Nodes are a matter of their own
 * (node.c). Everyone who is known may look at what is served and review their own rights; nobody
 * known sees health and version.
 */
#include "front.h"

#include <stdio.h>

#define ALL_VERBS "create,delete,deletecollection,get,list,patch,update,watch"
#define READ "get,list,watch"

struct rule {
	const char	*who;		/* user, "user*" for a prefix, "@group" */
	const char	*verbs;		/* comma-separated, "*" all */
	const char	*group;		/* "*" all */
	const char	*resources;	/* "pods,pods/status", "*" all, "*" "/status": any status */
	const char	*ns;		/* NULL: any */
};

#define EVENTS(who) \
	{ who, "create,patch,update", "", "events", NULL }, \
	{ who, "create,patch,update", "events.k8s.io", "events", NULL }

#define CONTROLLER(name, upstream, verbs, group, resources) \
	{ "orlop:controllers/" name, verbs, group, resources, NULL }, \
	{ "system:serviceaccount:kube-system:" upstream, verbs, group, resources, NULL }

static const struct rule rules[] = {
	{ "@system:masters", "*", "*", "*", NULL },
	{ "orlop:core", "*", "*", "*", NULL },
	{ "orlop:apiserver*", "*", "*", "*", NULL },
	{ "system:apiserver", "*", "*", "*", NULL },

	{ "@system:authenticated", "create", "authorization.k8s.io",
	  "selfsubjectaccessreviews,selfsubjectrulesreviews", NULL },
	{ "@system:authenticated", "create", "authentication.k8s.io", "selfsubjectreviews", NULL },

	{ "orlop:scheduler/*", READ, "", "*", NULL },
	{ "orlop:scheduler/*", READ, "*", "*", NULL },
	{ "orlop:scheduler/*", "create", "", "bindings,pods/binding", NULL },
	{ "orlop:scheduler/*", "patch,update", "", "pods/status", NULL },
	{ "orlop:scheduler/*", "delete", "", "pods", NULL },
	{ "orlop:scheduler/*", "patch,update", "", "persistentvolumeclaims,persistentvolumes", NULL },
	{ "orlop:scheduler/*", "create,get,update", "coordination.k8s.io", "leases", "kube-system" },
	EVENTS("orlop:scheduler/*"),
	{ "system:kube-scheduler", READ, "*", "*", NULL },
	{ "system:kube-scheduler", "create", "", "bindings,pods/binding", NULL },
	{ "system:kube-scheduler", "patch,update", "", "pods/status", NULL },
	{ "system:kube-scheduler", "delete", "", "pods", NULL },
	{ "system:kube-scheduler", "patch,update", "", "persistentvolumeclaims,persistentvolumes", NULL },
	{ "system:kube-scheduler", "create,get,update,list,watch", "coordination.k8s.io", "leases", NULL },
	{ "system:kube-scheduler", "create", "authentication.k8s.io", "tokenreviews", NULL },
	{ "system:kube-scheduler", "create", "authorization.k8s.io", "subjectaccessreviews", NULL },
	EVENTS("system:kube-scheduler"),

	{ "orlop:controllers/*", READ, "*", "*", NULL },
	{ "orlop:controllers/*", "create,get,patch,update", "coordination.k8s.io", "leases", "kube-system" },
	EVENTS("orlop:controllers/*"),
	CONTROLLER("namespace", "namespace-controller", ALL_VERBS, "*", "*"),
	CONTROLLER("garbage-collector", "generic-garbage-collector", "delete,get,list,patch,update,watch", "*", "*"),
	CONTROLLER("gc", "generic-garbage-collector", "delete,get,list,patch,update,watch", "*", "*"),
	CONTROLLER("serviceaccount", "service-account-controller", "create,get,update,patch", "", "serviceaccounts"),
	CONTROLLER("serviceaccount", "service-account-controller", "create", "", "serviceaccounts/token"),
	CONTROLLER("serviceaccount", "service-account-controller", "create,delete,get,patch,update", "", "secrets"),
	CONTROLLER("serviceaccount", "root-ca-cert-publisher", "create,get,update,patch", "", "configmaps"),
	CONTROLLER("serviceaccount", "service-account-controller", "create,get,update,patch", "", "configmaps"),
	CONTROLLER("replicaset", "replicaset-controller", "create,delete,get,list,patch,update,watch", "", "pods"),
	CONTROLLER("replicaset", "replicaset-controller", "get,list,patch,update,watch", "apps",
		   "replicasets,replicasets/status,replicasets/finalizers"),
	CONTROLLER("replicationcontroller", "replication-controller", "create,delete,get,list,patch,update,watch", "", "pods"),
	CONTROLLER("replicationcontroller", "replication-controller", "get,list,patch,update,watch", "",
		   "replicationcontrollers,replicationcontrollers/status,replicationcontrollers/finalizers"),
	EVENTS("system:serviceaccount:kube-system:replication-controller"),
	CONTROLLER("deployment", "deployment-controller", "create,delete,get,list,patch,update,watch", "apps",
		   "replicasets"),
	CONTROLLER("deployment", "deployment-controller", "get,list,patch,update,watch", "apps",
		   "deployments,deployments/status,deployments/finalizers"),
	CONTROLLER("deployment", "deployment-controller", "get,list,patch,update,watch", "", "pods"),
	EVENTS("system:serviceaccount:kube-system:deployment-controller"),
	EVENTS("system:serviceaccount:kube-system:replicaset-controller"),
	CONTROLLER("endpointslice", "endpointslice-controller", ALL_VERBS, "discovery.k8s.io", "endpointslices"),
	CONTROLLER("endpointslice", "endpoint-controller", ALL_VERBS, "", "endpoints"),
	CONTROLLER("endpoints", "endpoint-controller", ALL_VERBS, "", "endpoints"),
	CONTROLLER("endpoints", "endpointslice-controller", ALL_VERBS, "discovery.k8s.io", "endpointslices"),
	CONTROLLER("disruption", "disruption-controller", "get,list,watch,update", "policy",
		   "poddisruptionbudgets,poddisruptionbudgets/status"),
	EVENTS("system:serviceaccount:kube-system:disruption-controller"),
	CONTROLLER("resourcequota", "resourcequota-controller", READ, "*", "*"),
	CONTROLLER("resourcequota", "resourcequota-controller", "update", "", "resourcequotas/status"),
	EVENTS("system:serviceaccount:kube-system:resourcequota-controller"),
	CONTROLLER("node", "node-controller", "get,list,patch,update,watch,delete", "", "nodes,nodes/status,pods,pods/status"),
	CONTROLLER("node-lifecycle", "node-controller", "get,list,patch,update,watch,delete", "",
		   "nodes,nodes/status,pods,pods/status"),
	CONTROLLER("node-lifecycle", "node-controller", READ, "coordination.k8s.io", "leases"),
	CONTROLLER("taint-eviction", "node-controller", "get,list,watch,delete,patch,update", "", "pods,pods/status"),
	CONTROLLER("pod-garbage-collector", "pod-garbage-collector", "get,list,watch,delete,patch", "",
		   "pods,pods/status"),
	CONTROLLER("pod-garbage-collector", "pod-garbage-collector", READ, "", "nodes"),
	EVENTS("system:serviceaccount:kube-system:node-controller"),
	EVENTS("system:serviceaccount:kube-system:pod-garbage-collector"),

	{ "orlop:proxy/*", READ, "", "services,endpoints,nodes", NULL },
	{ "orlop:proxy/*", READ, "discovery.k8s.io", "endpointslices", NULL },
	EVENTS("orlop:proxy/*"),
	{ "system:kube-proxy", READ, "", "services,endpoints,nodes", NULL },
	{ "system:kube-proxy", READ, "discovery.k8s.io", "endpointslices", NULL },
	EVENTS("system:kube-proxy"),
	{ "orlop:dns/*", READ, "", "services,endpoints,pods,namespaces", NULL },
	{ "orlop:dns/*", READ, "discovery.k8s.io", "endpointslices", NULL },
};

/* Paths that are no resources; "*" at the end is a prefix. All with the verb get. */
static const struct path_rule {
	const char	*who;
	const char	*path;
} paths[] = {
	{ "@system:unauthenticated", "/healthz" }, { "@system:unauthenticated", "/healthz/*" },
	{ "@system:unauthenticated", "/livez" }, { "@system:unauthenticated", "/livez/*" },
	{ "@system:unauthenticated", "/readyz" }, { "@system:unauthenticated", "/readyz/*" },
	{ "@system:unauthenticated", "/version" }, { "@system:unauthenticated", "/version/" },
	{ "@system:authenticated", "/healthz" }, { "@system:authenticated", "/healthz/*" },
	{ "@system:authenticated", "/livez" }, { "@system:authenticated", "/livez/*" },
	{ "@system:authenticated", "/readyz" }, { "@system:authenticated", "/readyz/*" },
	{ "@system:authenticated", "/version" }, { "@system:authenticated", "/version/" },
	{ "@system:authenticated", "/api" }, { "@system:authenticated", "/api/*" },
	{ "@system:authenticated", "/apis" }, { "@system:authenticated", "/apis/*" },
	{ "@system:authenticated", "/openapi" }, { "@system:authenticated", "/openapi/*" },
	{ "@system:serviceaccounts", "/.well-known/openid-configuration" },
	{ "@system:serviceaccounts", "/openid/v1/jwks" },
};

static bool is_who(const char *pattern, const struct orlop_identity *who)
{
	size_t n = strlen(pattern);

	if (pattern[0] == '@')
		return in_group(who, pattern + 1);
	if (pattern[n - 1] == '*')
		return who->user.len >= n - 1 && memcmp(who->user.p, pattern, n - 1) == 0;
	return bytes_is(who->user, pattern);
}

static bool in_list(const char *list, const char *p, size_t len)
{
	if (strcmp(list, "*") == 0)
		return true;
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n == len && memcmp(list, p, n) == 0)
			return true;
		list += n;
		list += *list == ',';
	}
	return false;
}

static bool rule_allows(const struct rule *r, const struct reg_attrs *at)
{
	char res[128];
	int n;

	if (!in_list(r->verbs, at->verb.p, at->verb.len))
		return false;
	if (bytes_is(at->sub, "proxy") && strcmp(r->verbs, "*") != 0)
		return false;	/* who may read everything does not yet reach into every pod */
	if (strcmp(r->group, "*") != 0 && !bytes_is(at->group, r->group))
		return false;
	if (r->ns && !bytes_is(at->ns, r->ns))
		return false;
	n = snprintf(res, sizeof(res), "%.*s%s%.*s", OB(at->resource), at->sub.len ? "/" : "", OB(at->sub));
	return n > 0 && (size_t)n < sizeof(res) && in_list(r->resources, res, (size_t)n);
}

static bool path_matches(const char *pattern, struct orlop_bytes path)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] == '*')
		return path.len >= n - 1 && memcmp(path.p, pattern, n - 1) == 0;
	return bytes_is(path, pattern);
}

/* The name behind "system:node:", if @who is a node; p NULL otherwise. */
static struct orlop_bytes node_of(const struct orlop_identity *who)
{
	struct orlop_bytes none = { NULL, 0 };

	if (!ostr_starts(who->user.p, who->user.len, "system:node:") || !in_group(who, "system:nodes"))
		return none;
	return (struct orlop_bytes){ who->user.p + 12, who->user.len - 12 };
}

int hook_authorize(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
		   const struct reg_attrs *at, char *reason, size_t reason_size)
{
	struct apis *a = arg;
	struct orlop_bytes node = node_of(who);

	if (reason && reason_size)
		reason[0] = '\0';
	if (!at->resource.len) {
		if (in_group(who, "system:masters"))
			return 1;
		for (size_t i = 0; bytes_is(at->verb, "get") && i < sizeof(paths) / sizeof(paths[0]); i++)
			if (is_who(paths[i].who, who) && path_matches(paths[i].path, at->path))
				return 1;
		return 0;
	}
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (is_who(rules[i].who, who) && rule_allows(&rules[i], at))
			return 1;
	if (node.p || is_who("orlop:kubelet*", who)) {
		if (node_may(a->shards[h->shard], node, at))
			return 1;
		if (reason && reason_size && node.p)
			snprintf(reason, reason_size, "no relationship found between node '%.*s' and this object", OB(node));
	}
	return 0;
}

static void put_words(struct obuf *b, const char *list)
{
	const char *sep = "";

	obuf_putc(b, '[');
	while (*list) {
		size_t n = strcspn(list, ",");

		obuf_printf(b, "%s\"%.*s\"", sep, (int)n, list);
		sep = ",";
		list += n;
		list += *list == ',';
	}
	obuf_putc(b, ']');
}

void hook_rules(void *arg, const struct orlop_host *h, const struct orlop_identity *who, struct orlop_bytes ns,
		void (*rule)(void *rarg, int path, const char *json), void *rarg)
{
	struct obuf b = OBUF_INIT;

	(void)arg;
	(void)h;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		if (!is_who(r->who, who) || (r->ns && !bytes_is(ns, r->ns)))
			continue;
		obuf_reset(&b);
		obuf_puts(&b, "{\"verbs\":");
		put_words(&b, r->verbs);
		obuf_printf(&b, ",\"apiGroups\":[\"%s\"],\"resources\":", r->group);
		put_words(&b, r->resources);
		obuf_putc(&b, '}');
		rule(rarg, 0, obuf_cstr(&b));
	}
	if (in_group(who, "system:masters"))
		rule(rarg, 1, "{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}");
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!is_who(paths[i].who, who))
			continue;
		obuf_reset(&b);
		obuf_printf(&b, "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"%s\"]}", paths[i].path);
		rule(rarg, 1, obuf_cstr(&b));
	}
	obuf_done(&b);
}
