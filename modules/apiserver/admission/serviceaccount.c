/*
 * serviceaccount.c - admission ServiceAccount: every pod runs as an account, with its token mounted.
 *
 * The volume has upstream's shape: a token for 3607 s, the cluster's CA from ConfigMap
 * kube-root-ca.crt and the namespace, at /var/run/secrets/kubernetes.io/serviceaccount.
 */
#include "admission.h"

#include "../registry/write.h"
#include "base/oenc.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

#define MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

/* A tree from a text of ours. */
static struct ojson *tree(const char *json)
{
	struct ojson *t = NULL;

	return json && ojson_parse(json, strlen(json), &t, NULL) == 0 ? t : NULL;
}

static bool mounts_there(const struct ojson *container)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get_array(container, "volumeMounts"))
		if (ojson_string_is(ojson_get(m, "mountPath"), MOUNT_PATH))
			return true;
	return false;
}

static int mount_in(struct reg_op *op, struct ojson *spec, const char *list, const char *volume, bool *any)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get_array(spec, list)) {
		struct ojson *mounts;

		if (!ojson_is(c, OJSON_OBJECT) || mounts_there(c))
			continue;
		mounts = ojson_ensure_array(c, "volumeMounts");
		if (!mounts || ojson_append(mounts, tree(oarena_printf(&op->arena,
				"{\"name\":\"%s\",\"readOnly\":true,\"mountPath\":\"" MOUNT_PATH "\"}", volume))))
			return -ENOMEM;
		*any = true;
	}
	return 0;
}

static int mount_token(struct reg_op *op, struct ojson *spec)
{
	struct ojson *volumes;
	char suffix[8];
	const char *name;
	bool any = false;
	uint64_t rnd;
	int r;

	op->sh->h->random(op->sh->h, &rnd, sizeof(rnd));
	osafe_suffix(rnd, 5, suffix);
	name = oarena_printf(&op->arena, "kube-api-access-%s", suffix);
	if (!name)
		return -ENOMEM;
	r = mount_in(op, spec, "initContainers", name, &any);
	if (r == 0)
		r = mount_in(op, spec, "containers", name, &any);
	if (r || !any)
		return r;
	reg_dirty(op);
	volumes = ojson_ensure_array(spec, "volumes");
	if (!volumes)
		return -ENOMEM;
	return ojson_append(volumes, tree(oarena_printf(&op->arena,
		"{\"name\":\"%s\",\"projected\":{\"sources\":["
		"{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},"
		"{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},"
		"{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":\"metadata.namespace\"}}]}}"
		"],\"defaultMode\":420}}", name)));
}

/* A static pod's image in the API names no account and no secrets. */
static int check_mirror(struct reg_op *op, const struct ojson *spec, struct orlop_bytes name)
{
	if (ojson_get_bytes(spec, "serviceAccountName").len)
		return reg_forbidden(op, name, "a mirror pod may not reference service accounts");
	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "volumes")) {
		if (ojson_has(v, "secret"))
			return reg_forbidden(op, name, "a mirror pod may not reference secrets");
		OJSON_FOREACH_ELEM(j, s, ojson_get_array(ojson_get(v, "projected"), "sources"))
			if (ojson_has(s, "serviceAccountToken"))
				return reg_forbidden(op, name, "a mirror pod may not use ServiceAccountToken volume projections");
	}
	return 0;
}

int admission_service_account(struct reg_op *op, struct ojson *pod)
{
	struct ojson *spec = ojson_get(pod, "spec");
	const struct ojson *meta = ojson_get(pod, "metadata");
	struct orlop_bytes name = ojson_get_bytes(meta, "name");
	struct orlop_bytes sa = ojson_get_bytes(spec, "serviceAccountName");
	cleanup_ojson struct ojson *account = NULL;
	bool automount;
	int r;

	if (ojson_has(ojson_get(meta, "annotations"), "kubernetes.io/config.mirror"))
		return check_mirror(op, spec, name);
	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	if (sa.len == 0)
		sa = ojson_get_bytes(spec, "serviceAccount");
	if (sa.len == 0)
		sa = (struct orlop_bytes){ "default", 7 };
	sa.p = rb_dup(&op->arena, sa);
	if (ojson_set_string(spec, "serviceAccountName", sa.p, sa.len) ||
	    ojson_set_string(spec, "serviceAccount", sa.p, sa.len))
		return reg_failed(op, -ENOMEM, NULL);
	reg_dirty(op);
	r = admission_lookup(op, op->sh->rg->serviceaccounts, op->w->ns, sa, &account);
	if (r)
		return r;
	if (!account)
		return reg_forbidden(op, name, "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
				     OB(op->w->ns), OB(sa), OB(sa));
	automount = ojson_get_bool(account, "automountServiceAccountToken", true);
	automount = ojson_get_bool(spec, "automountServiceAccountToken", automount);
	if (automount)
		r = mount_token(op, spec);
	if (r == 0 && ojson_count(ojson_get_array(spec, "imagePullSecrets")) == 0 &&
	    ojson_count(ojson_get_array(account, "imagePullSecrets")))
		r = ojson_set(spec, "imagePullSecrets", ojson_ref(ojson_get_array(account, "imagePullSecrets")));
	return r ? reg_failed(op, r, NULL) : 0;
}

/* ---- an account whose pods may name its own secrets alone ---- */

#define ENFORCE "kubernetes.io/enforce-mountable-secrets"

static bool lists(const struct ojson *account, const char *list, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, s, ojson_get_array(account, list))
		if (rb_eq(ojson_get_bytes(s, "name"), name))
			return true;
	return false;
}

/* Each way in which a container's environment names a secret. */
static int env_secrets(struct reg_op *op, const struct ojson *account, struct orlop_bytes pod, const struct ojson *containers,
		       const char *what)
{
	struct orlop_bytes sa = ojson_get_bytes(ojson_get(account, "metadata"), "name");

	OJSON_FOREACH_ELEM(i, c, containers) {
		struct orlop_bytes cn = ojson_get_bytes(c, "name");

		OJSON_FOREACH_ELEM(k, e, ojson_get_array(c, "env")) {
			const struct ojson *ref = ojson_get(ojson_get(e, "valueFrom"), "secretKeyRef");
			struct orlop_bytes n = ojson_get_bytes(ref, "name");

			if (ref && !lists(account, "secrets", n))
				return reg_forbidden(op, pod, "%s %.*s with envVar %.*s referencing secret.secretName=\"%.*s\" is not allowed because service account %.*s does not reference that secret",
						     what, OB(cn), OB(ojson_get_bytes(e, "name")), OB(n), OB(sa));
		}
		OJSON_FOREACH_ELEM(k, e, ojson_get_array(c, "envFrom")) {
			const struct ojson *ref = ojson_get(e, "secretRef");
			struct orlop_bytes n = ojson_get_bytes(ref, "name");

			if (ref && !lists(account, "secrets", n))
				return reg_forbidden(op, pod, "%s %.*s with envFrom referencing secret.secretName=\"%.*s\" is not allowed because service account %.*s does not reference that secret",
						     what, OB(cn), OB(n), OB(sa));
		}
	}
	return 0;
}

static int limit(struct reg_op *op, const struct ojson *account, const struct ojson *spec, struct orlop_bytes pod)
{
	struct orlop_bytes sa = ojson_get_bytes(ojson_get(account, "metadata"), "name"), n;
	int r;

	OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "volumes")) {
		n = ojson_get_bytes(ojson_get(v, "secret"), "secretName");
		if (ojson_get(v, "secret") && !lists(account, "secrets", n))
			return reg_forbidden(op, pod, "volume with secret.secretName=\"%.*s\" is not allowed because service account %.*s does not reference that secret",
					     OB(n), OB(sa));
	}
	r = env_secrets(op, account, pod, ojson_get_array(spec, "initContainers"), "init container");
	if (r == 0)
		r = env_secrets(op, account, pod, ojson_get_array(spec, "containers"), "container");
	OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "imagePullSecrets")) {
		n = ojson_get_bytes(p, "name");
		if (r == 0 && !lists(account, "imagePullSecrets", n))
			r = reg_forbidden(op, pod, "imagePullSecrets[%u].name=\"%.*s\" is not allowed because service account %.*s does not reference that imagePullSecret",
					  (unsigned int)i, OB(n), OB(sa));
	}
	return r;
}

int admission_mountable_secrets(struct reg_op *op, struct ojson *pod, struct ojson *old)
{
	const struct ojson *spec = ojson_get(pod, "spec"), *meta = ojson_get(pod, "metadata");
	struct orlop_bytes name = ojson_get_bytes(meta, "name"), yes;
	cleanup_ojson struct ojson *account = NULL;
	int r;

	if ((old && !rb_is(op->rq.sub, "ephemeralcontainers")) || ojson_has(ojson_get(meta, "annotations"), "kubernetes.io/config.mirror"))
		return 0;
	r = admission_lookup(op, op->sh->rg->serviceaccounts, op->w->ns, ojson_get_bytes(spec, "serviceAccountName"), &account);
	if (r || !account)
		return r;
	yes = ojson_get_bytes(ojson_get(ojson_get(account, "metadata"), "annotations"), ENFORCE);
	if (!rb_is(yes, "true") && !rb_is(yes, "1") && !rb_is(yes, "t") && !rb_is(yes, "T") && !rb_is(yes, "True") && !rb_is(yes, "TRUE"))
		return 0;
	return old ? env_secrets(op, account, name, ojson_get_array(spec, "ephemeralContainers"), "ephemeral container") :
		     limit(op, account, spec, name);
}
