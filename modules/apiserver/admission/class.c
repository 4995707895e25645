/*
 * class.c - admissions that look up a class: RuntimeClass, DefaultStorageClass, DefaultIngressClass, and
 * PersistentVolumeClaimResize.
 *
 * Source: upstream's plugins of these names, behaviour and words.
 */
#include "admission.h"

#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"
#include "quantity/oquantity.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

/* ---- RuntimeClass ------------------------------------------------------------------------------------------------ */

static bool same_quantities(const struct ojson *a, const struct ojson *b)
{
	if (ojson_count(a) != ojson_count(b))
		return false;
	OJSON_FOREACH(it, a) {
		struct orlop_bytes x = ojson_bytes(it.value), y = ojson_get_bytes(b, it.key);
		struct oquantity p, q;

		if (!y.len || oquantity_parse(x.p, x.len, &p, NULL) || oquantity_parse(y.p, y.len, &q, NULL) || oquantity_cmp(&p, &q))
			return false;
	}
	return true;
}

static int select_nodes(struct reg_op *op, struct ojson *spec, const struct ojson *wanted, struct orlop_bytes name)
{
	struct ojson *own = ojson_count(wanted) ? ojson_ensure_object(spec, "nodeSelector") : NULL;
	int r = 0;

	OJSON_FOREACH(it, wanted) {
		const char *is = ojson_get_cstr(own, it.key, NULL), *want = ojson_cstr(it.value, "");

		if (r == 0 && is && strcmp(is, want))
			r = reg_forbidden(op, name, "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s",
					  it.key, want, it.key, is);
		else if (r == 0)
			r = ojson_set_cstr(own, it.key, want);
	}
	return r;
}

static int tolerate(struct ojson *spec, const struct ojson *wanted)
{
	struct ojson *own = ojson_count(wanted) ? ojson_ensure_array(spec, "tolerations") : NULL;
	int r = 0;

	OJSON_FOREACH_ELEM(i, t, wanted) {
		bool there = false;

		OJSON_FOREACH_ELEM(k, has, own)
			there = there || ojson_equal(has, t);
		if (r == 0 && !there)
			r = ojson_append(own, ojson_ref(t));
	}
	return r;
}

int admission_runtime_class(struct reg_op *op, struct ojson *pod)
{
	const struct reg_kind *k = reg_kind_named(op->sh->rg, "runtimeclasses.node.k8s.io");
	struct ojson *spec = ojson_get(pod, "spec"), *class = NULL;
	struct orlop_bytes want = ojson_get_bytes(spec, "runtimeClassName"), name = ojson_get_bytes(ojson_get(pod, "metadata"), "name");
	const struct ojson *fixed;
	int r = k && want.len ? admission_lookup(op, k, RB0, want, &class) : 0;

	if (r)
		return r;
	if (want.len && !class)
		return reg_forbidden(op, name, "pod rejected: RuntimeClass \"%.*s\" not found", OB(want));
	fixed = OJSON_AT(class, "overhead", "podFixed");
	if (ojson_has(spec, "overhead") && !(fixed && same_quantities(fixed, ojson_get(spec, "overhead"))))
		r = reg_forbidden(op, name, fixed ? "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead" :
				  "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
	if (r == 0 && fixed && !ojson_has(spec, "overhead")) {
		r = ojson_set(spec, "overhead", ojson_ref((struct ojson *)(uintptr_t)fixed));
		reg_dirty(op);
	}
	if (r == 0 && ojson_has(class, "scheduling")) {
		r = select_nodes(op, spec, OJSON_AT(class, "scheduling", "nodeSelector"), name);
		if (r == 0)
			r = tolerate(spec, OJSON_AT(class, "scheduling", "tolerations"));
		reg_dirty(op);
	}
	ojson_unref(class);
	return r == 0 || op->err.err ? r : reg_failed(op, r, NULL);
}

/* ---- defaults ------------------------------------------------------------------------------------------------------- */

/* Name of the default class of kind @cache_name, the newest of several; NULL: none. */
static int default_class(struct reg_op *op, const char *cache_name, const char *const notes[], const char **ret)
{
	const struct reg_kind *k = reg_kind_named(op->sh->rg, cache_name);
	struct orlop_resource *res = k ? reg_open(op->sh, k) : NULL;
	char newest[64] = "";
	struct orlop_object *o;
	struct owalk w;
	int r;

	*ret = NULL;
	if (!res)
		return 0;
	r = owalk_open(&w, op->sh->h, res, NULL);
	if (r)
		return reg_failed(op, r, NULL);
	while (r == 0 && (o = owalk_next(&w)) != NULL) {
		struct ojson *class = NULL;
		const char *made;

		r = render_parse(k, o->json, &class);
		made = ojson_get_cstr(ojson_get(class, "metadata"), "creationTimestamp", "");
		for (size_t i = 0; r == 0 && notes[i]; i++)
			if (ojson_string_is(ojson_get(OJSON_AT(class, "metadata", "annotations"), notes[i]), "true") &&
			    (!*ret || strcmp(made, newest) > 0)) {
				(void)snprintf(newest, sizeof(newest), "%s", made);
				*ret = rb_dup(&op->arena, o->name);
			}
		ojson_unref(class);
	}
	owalk_close(&w);
	return r ? reg_failed(op, r, NULL) : 0;
}

static int give(struct reg_op *op, struct ojson *obj, const char *field, const char *note, const char *cache_name,
		const char *const notes[])
{
	struct ojson *spec = ojson_get(obj, "spec");
	const char *name;
	int r;

	if (!spec || ojson_has(spec, field) || ojson_has(OJSON_AT(obj, "metadata", "annotations"), note))
		return 0;
	r = default_class(op, cache_name, notes, &name);
	if (r || !name)
		return r;
	reg_dirty(op);
	r = ojson_set_cstr(spec, field, name);
	return r ? reg_failed(op, r, NULL) : 0;
}

int admission_default_class(struct reg_op *op, struct ojson *obj)
{
	static const char *const storage[] = { "storageclass.kubernetes.io/is-default-class",
					       "storageclass.beta.kubernetes.io/is-default-class", NULL };
	static const char *const ingress[] = { "ingressclass.kubernetes.io/is-default-class", NULL };

	if (!strcmp(op->w->k->name, "persistentvolumeclaims"))
		return give(op, obj, "storageClassName", "volume.beta.kubernetes.io/storage-class", "storageclasses.storage.k8s.io", storage);
	if (!strcmp(op->w->k->name, "ingresses.networking.k8s.io"))
		return give(op, obj, "ingressClassName", "kubernetes.io/ingress.class", "ingressclasses.networking.k8s.io", ingress);
	return 0;
}

/* ---- StorageObjectInUseProtection; controllers/pv-protection and pvc-protection take it away ------------------------- */

int admission_storage_protection(struct reg_op *op, struct ojson *obj)
{
	const char *name = !strcmp(op->w->k->name, "persistentvolumes") ? "kubernetes.io/pv-protection" :
			   !strcmp(op->w->k->name, "persistentvolumeclaims") ? "kubernetes.io/pvc-protection" : NULL;
	struct ojson *list = name ? ojson_ensure_array(ojson_get(obj, "metadata"), "finalizers") : NULL;
	int r;

	OJSON_FOREACH_ELEM(i, f, list)
		if (ojson_string_is(f, name))
			return 0;
	if (!name)
		return 0;
	r = list ? ojson_append_cstr(list, name) : -ENOMEM;
	reg_dirty(op);
	return r ? reg_failed(op, r, NULL) : 0;
}

/* ---- PersistentVolumeClaimResize ------------------------------------------------------------------------------------- */

int admission_claim_resize(struct reg_op *op, const struct ojson *claim, const struct ojson *old)
{
	const struct reg_kind *k = reg_kind_named(op->sh->rg, "storageclasses.storage.k8s.io");
	struct orlop_bytes is = ojson_bytes(OJSON_AT(claim, "spec", "resources", "requests", "storage"));
	struct orlop_bytes was = ojson_bytes(OJSON_AT(old, "spec", "resources", "requests", "storage"));
	struct orlop_bytes name = ojson_bytes(OJSON_AT(claim, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class"));
	struct ojson *class = NULL;
	struct oquantity a, b;
	bool may;
	int r = 0;

	if (op->rq.sub.len || oquantity_parse(is.p, is.len, &a, NULL) || oquantity_parse(was.p, was.len, &b, NULL) ||
	    oquantity_cmp(&a, &b) <= 0)
		return 0;
	if (!ojson_string_is(OJSON_AT(old, "status", "phase"), "Bound"))
		return reg_forbidden(op, op->w->name, "Only bound persistent volume claims can be expanded");
	if (!name.len)
		name = ojson_get_bytes(ojson_get(claim, "spec"), "storageClassName");
	if (k && name.len)
		r = admission_lookup(op, k, RB0, name, &class);
	may = ojson_get_bool(class, "allowVolumeExpansion", false);
	ojson_unref(class);
	if (r || may)
		return r;
	return reg_forbidden(op, op->w->name, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
}
