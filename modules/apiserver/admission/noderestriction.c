/*
 * noderestriction.c - admission NodeRestriction: what a node writes is about itself.
 *
 * The authorizer has said which objects a node may touch (auth/node.c); this looks into them.
 * Source: upstream's plugin of that name, word for word. Deletions and evictions of others' pods are
 * refused by the authorizer already.
 */
#include "admission.h"

#include "../registry/write.h"

#include "json/ojson.h"

#include <errno.h>
#include <string.h>

#define MIRROR		"kubernetes.io/config.mirror"
#define RESTRICTED	"node-restriction.kubernetes.io"

/* The node that asks; len 0: somebody else. */
static struct orlop_bytes asker(const struct reg_op *op)
{
	static const char prefix[] = "system:node:";
	const struct orlop_identity *who = op->rq.who;
	size_t n = sizeof(prefix) - 1;

	if (who->user.len > n && memcmp(who->user.p, prefix, n) == 0)
		for (uint32_t i = 0; i < who->n_groups; i++)
			if (rb_is(who->groups[i], "system:nodes"))
				return (struct orlop_bytes){ who->user.p + n, who->user.len - n };
	return RB0;
}

/* ---- labels of nodes ---- */

static bool ends_with(struct orlop_bytes s, const char *domain)
{
	size_t n = strlen(domain);

	return s.len >= n && memcmp(s.p + s.len - n, domain, n) == 0 && (s.len == n || s.p[s.len - n - 1] == '.');
}

static bool is_kubelet_label(struct orlop_bytes key, struct orlop_bytes ns)
{
	static const char *const own[] = {
		"kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
		"beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
		"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
		"failure-domain.kubernetes.io/zone", "failure-domain.kubernetes.io/region", "topology.kubernetes.io/zone",
		"topology.kubernetes.io/region",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (rb_is(key, own[i]))
			return true;
	return ends_with(ns, "kubelet.kubernetes.io") || ends_with(ns, "node.kubernetes.io");
}

static bool forbidden_label(struct orlop_bytes key)
{
	const char *slash = memchr(key.p, '/', key.len);
	struct orlop_bytes ns = { key.p, slash ? (size_t)(slash - key.p) : 0 };

	if (!slash)
		return false;
	if (ends_with(ns, RESTRICTED))
		return true;
	return (ends_with(ns, "kubernetes.io") || ends_with(ns, "k8s.io")) && !is_kubelet_label(key, ns);
}

struct names {
	struct orlop_bytes v[64];
	size_t	n;
};

static void changed(const struct ojson *from, const struct ojson *to, bool gone, struct names *out)
{
	OJSON_FOREACH(it, from) {
		const struct ojson *other = ojson_get_n(to, it.key, it.key_len);
		struct orlop_bytes key = { it.key, it.key_len };
		size_t at = out->n;

		if ((gone ? other != NULL : other && ojson_equal(other, it.value)) || !forbidden_label(key) || out->n == 64)
			continue;
		while (at > 0 && strncmp(out->v[at - 1].p, key.p, key.len) > 0) {	/* sorted */
			out->v[at] = out->v[at - 1];
			at--;
		}
		out->v[at] = key;
		out->n++;
	}
}

static int labels(struct reg_op *op, struct orlop_bytes node, const struct ojson *obj, const struct ojson *old)
{
	const struct ojson *is = ojson_get(ojson_get(obj, "metadata"), "labels");
	const struct ojson *was = ojson_get(ojson_get(old, "metadata"), "labels");
	struct obuf b = OBUF_INIT;
	struct names names = { .n = 0 };
	int r;

	changed(is, was, false, &names);
	changed(was, is, true, &names);
	if (!names.n)
		return 0;
	for (size_t i = 0; i < names.n; i++)
		obuf_printf(&b, "%s%.*s", i ? ", " : "", OB(names.v[i]));
	r = reg_forbidden(op, node, "node \"%.*s\" is not allowed to %s: %s", OB(node),
			  old ? "modify labels" : "set the following labels", obuf_cstr(&b));
	obuf_done(&b);
	return r;
}

static int of_node(struct reg_op *op, struct orlop_bytes node, const struct ojson *obj, const struct ojson *old)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(obj, "metadata"), "name");
	const struct ojson *owners, *was;
	int r;

	if (!rb_eq(name, node))
		return reg_forbidden(op, name, "node \"%.*s\" is not allowed to modify node \"%.*s\"", OB(node), OB(name));
	r = labels(op, node, obj, old);
	if (r || !old)
		return r;
	if (!rb_is(op->rq.sub, "status")) {
		const struct ojson *is = ojson_get(ojson_get(obj, "spec"), "taints");

		was = ojson_get(ojson_get(old, "spec"), "taints");
		if (ojson_count(is) ? !ojson_equal(is, was) : ojson_count(was) > 0)
			return reg_forbidden(op, node, "node \"%.*s\" is not allowed to modify taints", OB(node));
	}
	owners = ojson_get(ojson_get(obj, "metadata"), "ownerReferences");
	was = ojson_get(ojson_get(old, "metadata"), "ownerReferences");
	if (ojson_count(owners) ? !ojson_equal(owners, was) : ojson_count(was) > 0)
		return reg_forbidden(op, node, "node \"%.*s\" is not allowed to modify ownerReferences", OB(node));
	return 0;
}

/* ---- pods ---- */

static bool refers(const struct ojson *v, const char *what)
{
	bool found = false;

	OJSON_FOREACH(it, v)
		found |= (it.key_len == strlen(what) && !memcmp(it.key, what, it.key_len)) || refers(it.value, what);
	OJSON_FOREACH_ELEM(i, e, v)
		found |= refers(e, what);
	return found;
}

static int mirror_owner(struct reg_op *op, struct orlop_bytes node, struct orlop_bytes name, const struct ojson *obj)
{
	const struct ojson *owners = ojson_get(ojson_get(obj, "metadata"), "ownerReferences"), *o = ojson_index(owners, 0);
	struct ojson *me = NULL;
	struct orlop_bytes uid, given = ojson_get_bytes(o, "uid");
	int r;

	if (ojson_count(owners) == 0)
		return reg_forbidden(op, name, "node \"%.*s\" can only create pods with an owner reference set to itself", OB(node));
	if (ojson_count(owners) > 1)
		return reg_forbidden(op, name, "node \"%.*s\" can only create pods with a single owner reference set to itself", OB(node));
	if (!rb_is(ojson_get_bytes(o, "apiVersion"), "v1") || !rb_is(ojson_get_bytes(o, "kind"), "Node") ||
	    !rb_eq(ojson_get_bytes(o, "name"), node))
		return reg_forbidden(op, name, "node \"%.*s\" can only create pods with an owner reference set to itself", OB(node));
	if (!ojson_get_bool(o, "controller", false))
		return reg_forbidden(op, name, "node \"%.*s\" can only create pods with a controller owner reference set to itself", OB(node));
	if (ojson_get_bool(o, "blockOwnerDeletion", false))
		return reg_forbidden(op, name, "node \"%.*s\" must not set blockOwnerDeletion on an owner reference", OB(node));
	r = admission_lookup(op, op->sh->rg->nodes, RB0, node, &me);
	if (r)
		return r;
	uid = ojson_get_bytes(ojson_get(me, "metadata"), "uid");
	if (!me || !rb_eq(uid, given))
		r = reg_forbidden(op, name, "node %.*s UID mismatch: expected %.*s got %.*s", OB(node), OB(uid), OB(given));
	ojson_unref(me);
	return r;
}

static int new_pod(struct reg_op *op, struct orlop_bytes node, const struct ojson *obj)
{
	static const struct {
		const char *key, *text;
	} no[] = {
		{ "secretKeyRef", "secrets" }, { "secretRef", "secrets" }, { "secret", "secrets" }, { "imagePullSecrets", "secrets" },
		{ "configMapKeyRef", "configmaps" }, { "configMapRef", "configmaps" }, { "configMap", "configmaps" },
		{ "persistentVolumeClaim", "persistentvolumeclaims" }, { "resourceClaims", "resourceclaims" },
		{ "clusterTrustBundle", "clustertrustbundles" },
	};
	const struct ojson *meta = ojson_get(obj, "metadata"), *spec = ojson_get(obj, "spec");
	struct orlop_bytes name = ojson_get_bytes(meta, "name");
	int r;

	if (!ojson_has(ojson_get(meta, "annotations"), MIRROR))
		return reg_forbidden(op, name, "pod does not have \"" MIRROR "\" annotation, node \"%.*s\" can only create mirror pods", OB(node));
	if (!rb_eq(ojson_get_bytes(spec, "nodeName"), node))
		return reg_forbidden(op, name, "node \"%.*s\" can only create pods with spec.nodeName set to itself", OB(node));
	r = mirror_owner(op, node, name, obj);
	if (r)
		return r;
	if (ojson_get_bytes(spec, "serviceAccountName").len)
		return reg_forbidden(op, name, "node \"%.*s\" can not create pods that reference a service account", OB(node));
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (refers(spec, no[i].key))
			return reg_forbidden(op, name, "node \"%.*s\" can not create pods that reference %s", OB(node), no[i].text);
	return 0;
}

static int pod_status(struct reg_op *op, struct orlop_bytes node, const struct ojson *obj, const struct ojson *old)
{
	const struct ojson *is = ojson_get(ojson_get(obj, "metadata"), "labels");
	const struct ojson *was = ojson_get(ojson_get(old, "metadata"), "labels");
	struct orlop_bytes name = ojson_get_bytes(ojson_get(old, "metadata"), "name");

	if (!rb_eq(ojson_get_bytes(ojson_get(old, "spec"), "nodeName"), node))
		return reg_forbidden(op, name, "node \"%.*s\" can only update pod status for pods with spec.nodeName set to itself", OB(node));
	if (ojson_count(is) ? !ojson_equal(is, was) : ojson_count(was) > 0)
		return reg_forbidden(op, name, "node \"%.*s\" cannot update labels through pod status", OB(node));
	return 0;
}

/* ---- all ---- */

int admission_node_restriction(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	const struct registry *rg = op->sh->rg;
	struct orlop_bytes node = asker(op), name = ojson_get_bytes(ojson_get(obj, "metadata"), "name");
	const struct reg_kind *k = op->w->k;

	if (!node.len)
		return 0;
	if (k == rg->nodes)
		return of_node(op, node, obj, old);
	if (k == rg->pods && !old)
		return new_pod(op, node, obj);
	if (k == rg->pods)
		return rb_is(op->rq.sub, "status") ? pod_status(op, node, obj, old) : 0;
	if (k == rg->leases) {
		if (!rb_is(op->rq.ns, "kube-node-lease"))
			return reg_forbidden(op, name, "can only access leases in the \"kube-node-lease\" system namespace");
		if (!rb_eq(name, node))
			return reg_forbidden(op, name, "can only access node lease with the same name as the requesting node");
	}
	if (!strcmp(k->name, "csinodes.storage.k8s.io") && !rb_eq(name, node))
		return reg_forbidden(op, name, "can only access CSINode with the same name as the requesting node");
	return 0;
}

/* ---- tokens ---- */

static bool driver_asks(struct reg_op *op, const char *driver, struct orlop_bytes audience)
{
	const struct reg_kind *k = *driver ? reg_kind_named(op->sh->rg, "csidrivers.storage.k8s.io") : NULL;
	struct ojson *d = NULL;
	bool asks = false;

	if (!k || admission_lookup(op, k, RB0, RB(driver), &d))
		return false;
	OJSON_FOREACH_ELEM(i, t, OJSON_AT(d, "spec", "tokenRequests"))
		asks |= rb_eq(ojson_get_bytes(t, "audience"), audience);
	ojson_unref(d);
	return asks;
}

/* The driver of the volume that a claim is bound to. */
static bool claim_asks(struct reg_op *op, struct orlop_bytes name, struct orlop_bytes audience)
{
	const struct reg_kind *ck = reg_kind_named(op->sh->rg, "persistentvolumeclaims"), *vk = reg_kind_named(op->sh->rg, "persistentvolumes");
	struct ojson *claim = NULL, *pv = NULL;
	bool asks = false;

	if (ck && vk && name.len && admission_lookup(op, ck, op->rq.ns, name, &claim) == 0 && claim &&
	    admission_lookup(op, vk, RB0, ojson_bytes(OJSON_AT(claim, "spec", "volumeName")), &pv) == 0)
		asks = driver_asks(op, ojson_cstr(OJSON_AT(pv, "spec", "csi", "driver"), ""), audience);
	ojson_unref(claim);
	ojson_unref(pv);
	return asks;
}

/* Does a volume of the pod need a token for this audience? */
static bool pod_asks(struct reg_op *op, const struct ojson *pod, struct orlop_bytes audience)
{
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(pod, "spec", "volumes")) {
		struct orlop_bytes claim = ojson_bytes(OJSON_AT(v, "persistentVolumeClaim", "claimName"));
		char *made = NULL;

		OJSON_FOREACH_ELEM(k, s, OJSON_AT(v, "projected", "sources"))
			if (ojson_get(s, "serviceAccountToken") && rb_eq(ojson_bytes(OJSON_AT(s, "serviceAccountToken", "audience")), audience))
				return true;
		if (ojson_get(v, "ephemeral"))
			made = oarena_printf(&op->arena, "%s-%s", ojson_cstr(OJSON_AT(pod, "metadata", "name"), ""), ojson_get_cstr(v, "name", ""));
		if (driver_asks(op, ojson_cstr(OJSON_AT(v, "csi", "driver"), ""), audience) || claim_asks(op, made ? RB(made) : claim, audience))
			return true;
	}
	return false;
}

int admission_node_token(struct reg_op *op, const struct ojson *pod, const struct ojson *audiences)
{
	const struct reg_hooks *hooks = &op->sh->rg->cfg.hooks;
	struct orlop_bytes node = asker(op), audience = ojson_bytes(ojson_index(audiences, 0));
	struct reg_attrs at = { .verb = RB("request-serviceaccounts-token-audience"), .version = RB("*"), .resource = audience, .ns = op->rq.ns,
				.name = op->rq.name };

	if (!node.len)
		return 0;
	if (!pod)
		return reg_forbidden(op, op->rq.name, "node requested token not bound to a pod");
	if (!rb_eq(ojson_get_bytes(ojson_get(pod, "spec"), "nodeName"), node))
		return reg_forbidden(op, op->rq.name, "node requested token bound to a pod scheduled on a different node");
	if (ojson_count(audiences) > 1)
		return reg_forbidden(op, op->rq.name, "node may only request 0 or 1 audiences");
	if (!pod_asks(op, pod, audience.p ? audience : RB("")) &&
	    (!audience.len || !hooks->authorize || hooks->authorize(hooks->arg, op->sh->h, op->rq.who, &at, NULL, 0) <= 0))
		return reg_forbidden(op, op->rq.name, "audience \"%.*s\" not found in pod spec volume, %.*s is not authorized to request tokens for this audience",
				     OB(audience), OB(op->rq.who->user));
	return 0;
}
