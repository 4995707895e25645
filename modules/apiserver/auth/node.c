/*
 * What a node may do: its own Node and Lease, the pods bound to it and what those refer to.
 * Source: the Node authorizer and NodeRestriction of Kubernetes, as far as our kinds go.
 */
#include "front.h"

#include "json/ojson.h"
#include "selector/ofield.h"
#include "walk/owalk.h"

#include <errno.h>

static bool verb_in(const struct reg_attrs *at, const char *a, const char *b, const char *c)
{
	return bytes_is(at->verb, a) || (b && bytes_is(at->verb, b)) || (c && bytes_is(at->verb, c));
}

static bool is_read(const struct reg_attrs *at)
{
	return verb_in(at, "get", "list", "watch");
}

static bool same(struct orlop_bytes a, struct orlop_bytes b)
{
	return ostr_eq(a.p, a.len, b.p, b.len);
}

static bool list_names(struct ojson *list, const char *key, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (bytes_is(name, ojson_get_cstr(e, key, "")))
			return true;
	return false;
}

static bool env_names(struct ojson *containers, bool secret, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, c, containers) {
		OJSON_FOREACH_ELEM(k, e, ojson_get(c, "env"))
			if (bytes_is(name, ojson_cstr(OJSON_AT(e, "valueFrom", secret ? "secretKeyRef" : "configMapKeyRef",
							       "name"), "")))
				return true;
		OJSON_FOREACH_ELEM(m, e, ojson_get(c, "envFrom"))
			if (bytes_is(name, ojson_cstr(OJSON_AT(e, secret ? "secretRef" : "configMapRef", "name"), "")))
				return true;
	}
	return false;
}

/* The members of volumes' sources by which a node is told of a secret; others are for whoever attaches and provisions. */
static const char *const secret_refs[] = { "secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef" };

static bool volume_names(struct ojson *v, bool secret, struct orlop_bytes name)
{
	const char *direct = secret ? ojson_cstr(OJSON_AT(v, "secret", "secretName"), "")
				    : ojson_cstr(OJSON_AT(v, "configMap", "name"), "");

	if (bytes_is(name, direct) || (secret && bytes_is(name, ojson_cstr(OJSON_AT(v, "azureFile", "secretName"), ""))))
		return true;
	OJSON_FOREACH(it, v)
		for (size_t i = 0; secret && i < 2; i++)
			if (bytes_is(name, ojson_cstr(OJSON_AT(it.value, secret_refs[i], "name"), "")))
				return true;
	OJSON_FOREACH_ELEM(i, s, OJSON_AT(v, "projected", "sources"))
		if (bytes_is(name, ojson_cstr(OJSON_AT(s, secret ? "secret" : "configMap", "name"), "")))
			return true;
	return false;
}

/* A claim that a volume names, or that is made for it: "POD-VOLUME". */
static bool volume_claims(struct ojson *pod, struct ojson *v, struct orlop_bytes name)
{
	const char *pod_name = ojson_cstr(OJSON_AT(pod, "metadata", "name"), "");
	size_t n = strlen(pod_name);

	if (bytes_is(name, ojson_cstr(OJSON_AT(v, "persistentVolumeClaim", "claimName"), "")))
		return true;
	return ojson_get(v, "ephemeral") && ostr_starts(name.p, name.len, pod_name) && name.len > n && name.p[n] == '-' &&
	       bytes_is((struct orlop_bytes){ name.p + n + 1, name.len - n - 1 }, ojson_get_cstr(v, "name", ""));
}

static bool resource_claims(struct ojson *pod, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", "resourceClaims"))
		if (bytes_is(name, ojson_get_cstr(c, "resourceClaimName", "")))
			return true;
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "status", "resourceClaimStatuses"))
		if (bytes_is(name, ojson_get_cstr(c, "resourceClaimName", "")))
			return true;
	return bytes_is(name, ojson_cstr(OJSON_AT(pod, "status", "extendedResourceClaimStatus", "resourceClaimName"), ""));
}

/*
 * Does this pod refer to the Secret, ConfigMap, PersistentVolumeClaim, ResourceClaim or ServiceAccount @name? A mirror pod, which
 * a node makes itself, refers to nothing.
 */
static bool pod_names(struct ojson *pod, struct orlop_bytes resource, struct orlop_bytes name)
{
	static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };
	struct ojson *spec = ojson_get(pod, "spec");
	bool secret = bytes_is(resource, "secrets");

	if (ojson_has(OJSON_AT(pod, "metadata", "annotations"), "kubernetes.io/config.mirror"))
		return false;
	if (bytes_is(resource, "serviceaccounts"))
		return bytes_is(name, ojson_get_cstr(spec, "serviceAccountName", ""));
	if (bytes_is(resource, "resourceclaims"))
		return resource_claims(pod, name);
	if (bytes_is(resource, "persistentvolumeclaims")) {
		OJSON_FOREACH_ELEM(i, v, ojson_get(spec, "volumes"))
			if (volume_claims(pod, v, name))
				return true;
		return false;
	}
	if (secret && list_names(ojson_get(spec, "imagePullSecrets"), "name", name))
		return true;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		if (env_names(ojson_get(spec, lists[i]), secret, name))
			return true;
	OJSON_FOREACH_ELEM(i, v, ojson_get(spec, "volumes"))
		if (volume_names(v, secret, name))
			return true;
	return false;
}

/* Is it in a pod that is bound to the node? */
static bool refers(struct ashard *sh, struct orlop_bytes node, struct orlop_bytes ns, struct orlop_bytes resource,
		   struct orlop_bytes name)
{
	const struct orlop_host *h = sh->h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	bool made = bytes_is(resource, "persistentvolumeclaims");	/* its name may be put together */
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;
	int32_t index;
	bool found = false;

	if (!name.len || !sh->pods || h->snapshot_open(sh->pods, &snap) < 0)
		return false;
	index = h->resource_index(sh->pods, "spec.nodeName");
	if (node.p && index >= 0) {
		q.has_index = 1;
		q.index = (uint32_t)index;
		q.index_value = node;
	}
	if (h->iter_open(snap, &q, &it) == 0) {
		while (!found && (o = h->iter_next(it)) != NULL) {
			struct ojson *j = NULL;

			/* A name that does not occur in the text is not worth parsing for. */
			if (!made && !memmem(o->json.p, o->json.len, name.p, name.len))
				continue;
			if (ojson_parse_members(o->json, &j, NULL) == 0)
				found = (!node.p || bytes_is(node, ojson_cstr(OJSON_AT(j, "spec", "nodeName"), ""))) &&
					pod_names(j, resource, name);
			ojson_unref(j);
		}
		h->iter_close(it);
	}
	h->snapshot_close(snap);
	return found;
}

/* Is the claim that has this volume in a pod that is bound to the node? */
static bool volume_is_near(struct ashard *sh, struct orlop_bytes node, const struct ojson *pv)
{
	const struct ojson *claim = OJSON_AT(pv, "spec", "claimRef");

	return claim && refers(sh, node, ojson_get_bytes(claim, "namespace"), bytes_cstr("persistentvolumeclaims"), ojson_get_bytes(claim, "name"));
}

static bool volume_may(struct ashard *sh, struct orlop_bytes node, struct orlop_bytes name)
{
	struct orlop_object *o = reg_peek(sh->reg, "persistentvolumes", (struct orlop_bytes){ "", 0 }, name);
	struct ojson *j = NULL;
	bool near = false;

	if (!o)
		return false;
	if (ojson_parse_members(o->json, &j, NULL) == 0)
		near = volume_is_near(sh, node, j);
	ojson_unref(j);
	sh->h->object_unref(o);
	return near;
}

static bool is_secret_of(const struct ojson *ref, const char *key, const struct ojson *pv, const char *ns_key, struct orlop_bytes ns,
			 struct orlop_bytes name)
{
	const char *in = ojson_get_cstr(ref, ns_key, "");

	return bytes_is(name, ojson_get_cstr(ref, key, "")) &&
	       bytes_is(ns, *in ? in : ojson_cstr(OJSON_AT(pv, "spec", "claimRef", "namespace"), ""));
}

static bool volume_has_secret(struct ojson *pv, struct orlop_bytes ns, struct orlop_bytes name)
{
	if (is_secret_of(OJSON_AT(pv, "spec", "azureFile"), "secretName", pv, "secretNamespace", ns, name))
		return true;
	OJSON_FOREACH(it, ojson_get(pv, "spec"))
		for (size_t i = 0; i < sizeof(secret_refs) / sizeof(*secret_refs); i++)
			if (is_secret_of(ojson_get(it.value, secret_refs[i]), "name", pv, "namespace", ns, name))
				return true;
	return false;
}

/* Is the secret one by which a volume that is near gets mounted? */
static bool volumes_refer(struct ashard *sh, struct orlop_bytes node, struct orlop_bytes ns, struct orlop_bytes name)
{
	const struct orlop_host *h = sh->h;
	struct orlop_resource *res;
	struct orlop_object *o;
	struct owalk w;
	bool found = false;

	if (!name.len || h->resource_open(h, "persistentvolumes", &res, NULL))
		return false;
	if (owalk_open(&w, h, res, NULL) == 0) {
		while (!found && (o = owalk_next(&w)) != NULL) {
			struct ojson *j = NULL;

			if (!memmem(o->json.p, o->json.len, name.p, name.len))
				continue;
			if (ojson_parse_members(o->json, &j, NULL) == 0)
				found = volume_has_secret(j, ns, name) && volume_is_near(sh, node, j);
			ojson_unref(j);
		}
		owalk_close(&w);
	}
	h->resource_close(res);
	return found;
}

/* Is a member of this object's spec the node's name? */
static bool is_for_node(struct ashard *sh, struct orlop_bytes node, const char *resource, struct orlop_bytes name)
{
	struct orlop_object *o = reg_peek(sh->reg, resource, (struct orlop_bytes){ "", 0 }, name);
	struct ojson *j = NULL;
	bool is = false;

	if (!o)
		return false;
	if (ojson_parse_members(o->json, &j, NULL) == 0)
		is = !node.p || bytes_is(node, ojson_cstr(OJSON_AT(j, "spec", "nodeName"), ""));
	ojson_unref(j);
	sh->h->object_unref(o);
	return is;
}

/* Is this pod bound to the node? A pod that is not there is nobody's secret. */
static bool own_pod(struct ashard *sh, struct orlop_bytes node, const struct reg_attrs *at)
{
	struct orlop_object *o = reg_peek(sh->reg, "pods", at->ns, at->name);
	struct ojson *j = NULL;
	bool own = true;

	if (!o)
		return true;
	if (ojson_parse_members(o->json, &j, NULL) == 0)
		own = bytes_is(node, ojson_cstr(OJSON_AT(j, "spec", "nodeName"), ""));
	ojson_unref(j);
	sh->h->object_unref(o);
	return own;
}

/* What the field selector demands of @key, "metadata.name" or "spec.nodeName": is it @value? */
static bool selects(struct orlop_bytes selector, const char *key, struct orlop_bytes value)
{
	cleanup_ofield struct ofield_selector *s = NULL;
	struct orlop_bytes v;

	return selector.len && ofield_parse(selector.p, selector.len, &s, NULL) == 0 && ofield_requires(s, key, &v) &&
	       ostr_eq(v.p, v.len, value.p, value.len);
}

static bool core_may(struct ashard *sh, struct orlop_bytes node, const struct reg_attrs *at)
{
	bool any = node.p == NULL;

	if (bytes_is(at->sub, "proxy"))
		return false;	/* no reading, whatever its verb is called */
	if (bytes_is(at->resource, "nodes")) {
		bool own = any || same(at->name, node);

		if (!at->sub.len && is_read(at))
			return own;
		if (!at->sub.len && bytes_is(at->verb, "create"))
			return own || !at->name.len;
		return own && (!at->sub.len || bytes_is(at->sub, "status")) && verb_in(at, "update", "patch", NULL);
	}
	if (bytes_is(at->resource, "pods")) {
		if (!at->sub.len && is_read(at))
			return any || (at->name.len ? own_pod(sh, node, at)
						    : selects(at->field_selector, "spec.nodeName", node));
		if (!at->sub.len && bytes_is(at->verb, "create"))
			return true;	/* mirror pods: NodeRestriction's affair */
		if (!at->sub.len && bytes_is(at->verb, "delete"))
			return any || own_pod(sh, node, at);
		if (bytes_is(at->sub, "status") && verb_in(at, "update", "patch", NULL))
			return any || own_pod(sh, node, at);
		return bytes_is(at->sub, "eviction") && bytes_is(at->verb, "create") && (any || own_pod(sh, node, at));
	}
	if (bytes_is(at->resource, "services"))
		return !at->sub.len && is_read(at);
	if (bytes_is(at->resource, "events"))
		return verb_in(at, "create", "update", "patch");
	if (bytes_is(at->resource, "serviceaccounts") && bytes_is(at->sub, "token"))
		return bytes_is(at->verb, "create") && refers(sh, node, at->ns, at->resource, at->name);
	if ((bytes_is(at->resource, "secrets") || bytes_is(at->resource, "configmaps") ||
	     bytes_is(at->resource, "serviceaccounts")) && !at->sub.len && is_read(at))
		return at->name.len && (refers(sh, node, at->ns, at->resource, at->name) ||
					(bytes_is(at->resource, "secrets") && volumes_refer(sh, node, at->ns, at->name)));
	if (bytes_is(at->resource, "persistentvolumeclaims"))
		return (bytes_is(at->sub, "status") ? verb_in(at, "update", "patch", NULL) : !at->sub.len && bytes_is(at->verb, "get")) &&
		       at->name.len && refers(sh, node, at->ns, at->resource, at->name);
	if (bytes_is(at->resource, "persistentvolumes"))
		return !at->sub.len && bytes_is(at->verb, "get") && at->name.len && (any || volume_may(sh, node, at->name));
	return bytes_is(at->resource, "endpoints") && !at->sub.len && bytes_is(at->verb, "get");
}

bool node_may(struct ashard *sh, struct orlop_bytes node, const struct reg_attrs *at)
{
	if (at->group.len == 0)
		return core_may(sh, node, at);
	if (bytes_is(at->group, "coordination.k8s.io") && bytes_is(at->resource, "leases"))
		return bytes_is(at->ns, "kube-node-lease") && !at->sub.len &&
		       (!node.p || same(at->name, node) || bytes_is(at->verb, "create")) &&
		       !verb_in(at, "list", "watch", "deletecollection");
	if (bytes_is(at->group, "authentication.k8s.io"))
		return bytes_is(at->resource, "tokenreviews") && bytes_is(at->verb, "create");
	if (bytes_is(at->group, "authorization.k8s.io"))
		return (bytes_is(at->resource, "subjectaccessreviews") ||
			bytes_is(at->resource, "localsubjectaccessreviews")) && bytes_is(at->verb, "create");
	if (bytes_is(at->group, "certificates.k8s.io"))
		return bytes_is(at->resource, "certificatesigningrequests") && !at->sub.len &&
		       (is_read(at) || bytes_is(at->verb, "create"));
	if (bytes_is(at->group, "storage.k8s.io") && bytes_is(at->resource, "csidrivers"))
		return !at->sub.len && is_read(at);
	if (bytes_is(at->group, "storage.k8s.io") && bytes_is(at->resource, "csinodes"))
		return !at->sub.len && (!node.p || same(at->name, node) || (bytes_is(at->verb, "create") && !at->name.len)) &&
		       (verb_in(at, "get", "create", "update") || verb_in(at, "patch", "delete", NULL));
	if (bytes_is(at->group, "storage.k8s.io") && bytes_is(at->resource, "volumeattachments"))
		return !at->sub.len && bytes_is(at->verb, "get") && at->name.len &&
		       is_for_node(sh, node, "volumeattachments.storage.k8s.io", at->name);
	if (bytes_is(at->group, "resource.k8s.io") && bytes_is(at->resource, "resourceclaims"))
		return !at->sub.len && bytes_is(at->verb, "get") && refers(sh, node, at->ns, at->resource, at->name);
	if (bytes_is(at->group, "resource.k8s.io") && bytes_is(at->resource, "resourceslices"))
		return !at->sub.len && (at->name.len ? verb_in(at, "get", "update", "patch") || bytes_is(at->verb, "delete") :
				       bytes_is(at->verb, "create") || !node.p || selects(at->field_selector, "spec.nodeName", node)) &&
		       (!at->name.len || is_for_node(sh, node, "resourceslices.resource.k8s.io", at->name));
	return bytes_is(at->group, "node.k8s.io") && is_read(at);
}
