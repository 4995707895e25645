/*
 * check-storage.c - what volumes, claims, classes of storage, drivers and attachments must satisfy.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/{core,storage}/validation.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

/* A quantity above zero at @obj.@key."storage". */
static void check_storage(struct ocheck *c, const struct opath *at, struct ojson *map)
{
	struct opath p = opath_key(at, "storage");
	struct ojson *v = ojson_get(map, "storage");
	struct oquantity q, zero;

	oquantity_from_i64(&zero, 0, OQUANTITY_DECIMAL);
	if (v != NULL && ocheck_quantity(v, &q) && oquantity_cmp(&q, &zero) <= 0)
		ocheck_invalid(c, &p, v, "must be greater than zero");
}

/* Access modes: at least one, known ones, and ReadWriteOncePod alone. */
static void check_modes(struct ocheck *c, const struct opath *at, struct ojson *list, const char *missing)
{
	static const char *const modes[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod" };
	bool alone = false;

	if (ojson_count(list) == 0)
		ocheck_required(c, at, missing);
	OJSON_FOREACH_ELEM(i, e, list) {
		bool known = false;

		for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++)
			known = known || ojson_string_is(e, modes[k]);
		alone = alone || ojson_string_is(e, "ReadWriteOncePod");
		if (!known)
			ocheck_not_supported(c, at, e, modes, sizeof(modes) / sizeof(modes[0]));
	}
	if (alone && ojson_count(list) > 1)
		ocheck_forbidden(c, at, "may not use ReadWriteOncePod with other access modes");
}

/* Sources in the order in which upstream looks at them. */
const char *const ocheck_volume_sources[] = {
	"hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs", "iscsi",
	"cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
	"scaleIO", "local", "storageos", "csi", NULL,
};

/* No quantity below zero. */
static void check_capacity(struct ocheck *c, const struct opath *at, struct ojson *map)
{
	OJSON_FOREACH(it, map) {
		struct opath p = opath_key(at, it.key);
		struct oquantity q;
		cleanup_ojson struct ojson *n = NULL;

		if (!ocheck_quantity(it.value, &q) || oquantity_sign(&q) >= 0)
			continue;
		n = ojson_new_i64(oquantity_milli(&q) / 1000);
		ocheck_invalid(c, &p, n, "must be a valid resource quantity");
	}
}

static void check_secret(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	struct opath np = opath_child(at, "name"), sp = opath_child(at, "namespace");

	if (oget_empty(ref, "name"))
		ocheck_required(c, &np, "");
	else
		ocheck_format(c, &np, ojson_get(ref, "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	if (oget_empty(ref, "namespace"))
		ocheck_required(c, &sp, "");
	else
		ocheck_format(c, &sp, ojson_get(ref, "namespace"), OSCHEMA_FMT_DNS1123_LABEL);
}

/* A driver's name: that of a host, of at most 63 characters, in any case. */
void ocheck_csi_driver(struct ocheck *c, const struct opath *at, struct orlop_bytes name)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];
	char low[256];
	size_t n = name.len < sizeof(low) ? name.len : sizeof(low);

	for (size_t i = 0; i < n; i++)
		low[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
	if (name.len == 0)
		ocheck_required(c, at, "");
	if (name.len > 63)
		ocheck_too_long(c, at, 63);
	n = oschema_format_whys(OSCHEMA_FMT_DNS1123_SUBDOMAIN, low, n, whys);
	for (size_t i = 0; i < n; i++)
		ocheck_invalid_text(c, at, name, whys[i]);
}

static void check_csi(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	static const char *const secrets[] = { "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
					       "nodeExpandSecretRef" };
	struct opath dp = opath_child(at, "driver");

	ocheck_csi_driver(c, &dp, oget_text(v, "driver"));
	if (oget_empty(v, "volumeHandle"))
		ocheck_required_at(c, at, "volumeHandle", "");
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		struct opath p = opath_child(at, secrets[i]);

		if (ojson_get(v, secrets[i]) != NULL)
			check_secret(c, &p, ojson_get(v, secrets[i]));
	}
}

static bool has_source(struct ojson *spec)
{
	for (const char *const *t = ocheck_volume_sources; *t != NULL; t++)
		if (ojson_get(spec, *t) != NULL)
			return true;
	return false;
}

/* One source, no more; the first one counts. */
OCHECK(volume_source)
{
	struct opath lp = opath_child(at, "local"), pp = opath_child(&lp, "path"), np = opath_child(at, "nodeAffinity");
	struct opath cp = opath_child(at, "csi");
	const char *first = NULL;

	(void)old;
	if (ojson_has(v, "nodeAffinity") && !ojson_has(ojson_get(v, "nodeAffinity"), "required"))
		ocheck_required_at(c, &np, "required", "must specify required node constraints");
	for (const char *const *t = ocheck_volume_sources; *t != NULL; t++) {
		if (ojson_get(v, *t) == NULL)
			continue;
		if (first != NULL)
			ocheck_forbidden_at(c, at, strcmp(*t, "cephfs") == 0 ? "cephFS" : *t,
					    "may not specify more than 1 volume type");
		else
			first = *t;
	}
	if (first == NULL)
		return;		/* said where upstream says it: behind what is wrong with the capacity */
	if (strcmp(first, "csi") == 0) {
		check_csi(c, &cp, ojson_get(v, "csi"));
	} else if (strcmp(first, "local") == 0) {
		if (oget_empty(ojson_get(v, "local"), "path"))
			ocheck_required(c, &pp, "");
		else
			ocheck_format(c, &pp, OJSON_AT(v, "local", "path"), OSCHEMA_FMT_NO_BACKSTEPS);
		if (!ojson_has(v, "nodeAffinity"))
			ocheck_required(c, &np, "Local volume requires node affinity");
	}
}

OCHECK(persistent_volume)
{
	static const char *const storage_only[] = { "storage" };
	struct ojson *spec = ojson_get(v, "spec"), *capacity = ojson_get(spec, "capacity");
	struct opath p = opath_child(at, "spec"), cp = opath_child(&p, "capacity");
	struct opath ap = opath_child(&p, "accessModes"), mp = opath_child(at, "metadata");
	/* upstream does not say that these are in the spec */
	struct opath vp = opath_child(NULL, "volumeMode"), np = opath_child(NULL, "nodeAffinity");

	if (otext_is(c->w->sub, "status"))
		return;
	check_modes(c, &ap, ojson_get(spec, "accessModes"), "");
	if (ojson_count(capacity) == 0)
		ocheck_required(c, &cp, "");
	if (!ojson_has(capacity, "storage") || ojson_count(capacity) > 1)
		ocheck_not_supported(c, &cp, capacity, storage_only, 1);
	check_capacity(c, &cp, capacity);
	check_storage(c, &cp, capacity);
	if (!has_source(spec))
		ocheck_required(c, &p, "must specify a volume type");
	ocheck_iscsi_name(c, &mp, OJSON_AT(v, "metadata"), ojson_get(spec, "iscsi"));
	if (oget_is(ojson_get(spec, "hostPath"), "path", "/") && oget_is(spec, "persistentVolumeReclaimPolicy", "Recycle"))
		ocheck_forbidden_at(c, &p, "persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
	if (old != NULL) {
		struct ojson *was = ojson_get(old, "spec");
		struct opath sp = opath_child(&p, "persistentvolumesource");
		bool same = true;

		for (const char *const *t = ocheck_volume_sources; *t != NULL; t++)
			same = same && ojson_equal(ojson_get(was, *t), ojson_get(spec, *t));
		if (!same)
			ocheck_forbidden(c, &sp, "spec.persistentvolumesource is immutable after creation");
		if (!ojson_equal(ojson_get(spec, "volumeMode"), ojson_get(was, "volumeMode")))
			ocheck_invalid(c, &vp, ojson_get(spec, "volumeMode"), "field is immutable");
		if (ojson_has(was, "nodeAffinity") && !ojson_equal(ojson_get(spec, "nodeAffinity"), ojson_get(was, "nodeAffinity")))
			ocheck_invalid(c, &np, ojson_get(spec, "nodeAffinity"), "field is immutable");
	}
}

/* A claim may ask for less again, as long as it has not got more. */
static void check_shrink(struct ocheck *c, const struct opath *at, const struct oquantity *asked, struct ojson *has)
{
	struct oquantity q;

	if (ocheck_quantity(has, &q) && oquantity_cmp(asked, &q) <= 0)
		ocheck_forbidden(c, at, "field can not be less than status.capacity");
}

/* Are resources the same but for the request of storage? */
static bool same_but_storage(struct ojson *is, struct ojson *was)
{
	static const char *const requests[] = { "requests", NULL }, *const storage[] = { "storage", NULL };

	return ocheck_equal_but(is, was, requests) && ocheck_equal_but(ojson_get(is, "requests"), ojson_get(was, "requests"), storage);
}

/* A reference to where the data comes from, in one of the two fields for it. */
static void check_source(struct ocheck *c, const struct opath *at, struct ojson *ref)
{
	struct orlop_bytes group = oget_text(ref, "apiGroup");
	struct opath gp = opath_child(at, "apiGroup");

	if (ref == NULL)
		return;
	if (oget_empty(ref, "name"))
		ocheck_required_at(c, at, "name", "");
	if (oget_empty(ref, "kind"))
		ocheck_required_at(c, at, "kind", "");
	if (group.len == 0 && !oget_is(ref, "kind", "PersistentVolumeClaim"))
		ocheck_invalid(c, at, ojson_get(ref, "kind"), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
	else if (group.len > 0)
		ocheck_format(c, &gp, ojson_get(ref, "apiGroup"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
}

static void check_sources(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const no_more[] = { "namespace", NULL };
	struct ojson *source = ojson_get(spec, "dataSource"), *ref = ojson_get(spec, "dataSourceRef");
	struct opath sp = opath_child(at, "dataSource"), rp = opath_child(at, "dataSourceRef");

	check_source(c, &sp, source);
	check_source(c, &rp, ref);
	if (source != NULL && ref != NULL && !oget_empty(ref, "namespace"))
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "dataSource", 10 }, "may not be specified when dataSourceRef.namespace is specified");
	else if (source != NULL && ref != NULL && !ocheck_equal_but(source, ref, no_more))
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "dataSource", 10 }, "must match dataSourceRef");
}

OCHECK(persistent_volume_claim)
{
	struct ojson *spec = ojson_get(v, "spec"), *was = ojson_get(old, "spec");
	struct opath p = opath_child(at, "spec"), rp = opath_child(&p, "resources"), ap = opath_child(&p, "accessModes");
	struct opath sp = opath_key(&rp, "storage"), np = opath_child(&p, "storageClassName"), qp = opath_child(&rp, "requests");
	struct opath vp = opath_child(NULL, "volumeMode");	/* upstream does not say that it is in the spec */
	struct opath less = opath_child(&qp, "storage"), tp = opath_child(at, "status"), kp = opath_child(&tp, "capacity");
	struct ojson *requests = OJSON_AT(spec, "resources", "requests"), *before = OJSON_AT(was, "resources", "requests");
	/* one of the two sources was told alone once */
	const char *untold = !ojson_has(was, "dataSource") ? "dataSource" : !ojson_has(was, "dataSourceRef") ? "dataSourceRef" : NULL;
	const char *const may_change[] = { "resources", "volumeAttributesClassName", "volumeName", "storageClassName",
		ojson_has(was, "dataSource") != ojson_has(was, "dataSourceRef") ? untold : NULL, NULL };
	struct oquantity a, b;

	if (otext_is(c->w->sub, "status")) {
		check_capacity(c, &kp, OJSON_AT(v, "status", "capacity"));
		return;
	}
	if (!oget_empty(spec, "storageClassName"))
		ocheck_format(c, &np, ojson_get(spec, "storageClassName"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	check_modes(c, &ap, ojson_get(spec, "accessModes"), "at least 1 access mode is required");
	if (!ojson_has(requests, "storage"))
		ocheck_required(c, &sp, "");
	check_storage(c, &rp, requests);
	check_sources(c, &p, spec);
	if (old == NULL)
		return;
	if (!ojson_equal(ojson_get(spec, "volumeMode"), ojson_get(was, "volumeMode")))
		ocheck_invalid(c, &vp, ojson_get(spec, "volumeMode"), "field is immutable");
	if (!ocheck_equal_but(spec, was, may_change) || !same_but_storage(ojson_get(spec, "resources"), ojson_get(was, "resources")) ||
	    (!oget_empty(was, "volumeName") && !ojson_equal(ojson_get(was, "volumeName"), ojson_get(spec, "volumeName"))) ||
	    (ojson_has(was, "storageClassName") &&
	     !ojson_equal(ojson_get(was, "storageClassName"), ojson_get(spec, "storageClassName"))) ||
	    (!ojson_equal(requests, before) && !oget_is(ojson_get(old, "status"), "phase", "Bound")))
		ocheck_forbidden(c, &p, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims");
	else if (ocheck_quantity(ojson_get(requests, "storage"), &a) && ocheck_quantity(ojson_get(before, "storage"), &b) &&
		 oquantity_cmp(&a, &b) < 0)
		check_shrink(c, &less, &a, OJSON_AT(old, "status", "capacity", "storage"));
}

OCHECK(lifecycle_modes)
{
	static const char *const modes[] = { "Persistent", "Ephemeral" };

	(void)old;
	OJSON_FOREACH_ELEM(i, e, v)
		if (!ojson_string_is(e, modes[0]) && !ojson_string_is(e, modes[1]))
			ocheck_not_supported(c, at, e, modes, 2);
}

/* ---- classes, drivers, attachments ---- */

#define PARAMETERS_MAX	512
#define PARAMETERS_SIZE	(256 * 1024)

static void check_parameters(struct ocheck *c, const struct opath *at, struct ojson *map)
{
	size_t total = 0;

	if (ojson_count(map) > PARAMETERS_MAX) {
		ocheck_too_long(c, at, PARAMETERS_MAX);
		return;
	}
	OJSON_FOREACH(it, map) {
		if (it.key_len == 0)
			ocheck_invalid_text(c, at, (struct orlop_bytes){ "", 0 }, "field can not be empty.");
		total += it.key_len + otext(it.value).len;
	}
	if (total > PARAMETERS_SIZE)
		ocheck_too_long(c, at, PARAMETERS_SIZE);
}

static void check_topology(struct ocheck *c, const struct opath *at, struct ojson *term)
{
	struct opath mp = opath_child(at, "matchLabelExpressions");
	struct ojson *list = ojson_get(term, "matchLabelExpressions");
	cleanup_oseen struct oseen keys;

	oseen_init(&keys, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(&mp, i), vp = opath_child(&p, "values"), kp = opath_child(&p, "key");
		struct ojson *values = ojson_get(e, "values");
		cleanup_oseen struct oseen before;

		oseen_init(&before, &c->lost);
		if (ojson_count(values) == 0)
			ocheck_required(c, &vp, "");
		OJSON_FOREACH_ELEM(j, v, values) {
			struct opath ep = opath_index(&vp, j);

			if (oseen(&before, v, NULL))
				ocheck_duplicate(c, &ep, v);
		}
		ocheck_format_text(c, &kp, oget_text(e, "key"), OSCHEMA_FMT_QUALIFIED_NAME);
		if (oseen(&keys, ojson_get(e, "key"), NULL))
			ocheck_duplicate(c, &kp, ojson_get(e, "key"));
	}
}

OCHECK(class_parameters)
{
	(void)old;
	check_parameters(c, at, v);
}

OCHECK(storage_class)
{
	static const char *const fixed[] = { "parameters", "provisioner", "reclaimPolicy" }, *const policies[] = { "Delete", "Retain" };
	struct opath pp = opath_child(at, "parameters"), tp = opath_child(at, "allowedTopologies");
	struct opath vp = opath_child(at, "provisioner"), rp = opath_child(at, "reclaimPolicy");
	struct orlop_bytes name = oget_text(v, "provisioner");
	const char *whys[OSCHEMA_FORMAT_WHYS];
	char low[400], why[60];
	size_t n = name.len < sizeof(low) ? name.len : sizeof(low);
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	for (size_t i = 0; i < n; i++)
		low[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
	n = n > 0 ? oschema_format_whys(OSCHEMA_FMT_QUALIFIED_NAME, low, n, whys) : 0;
	for (size_t i = 0; i < n; i++)
		ocheck_invalid_text(c, &vp, name, whys[i]);
	if (!oget_empty(v, "reclaimPolicy") && !oget_is(v, "reclaimPolicy", "Delete") && !oget_is(v, "reclaimPolicy", "Retain"))
		ocheck_not_supported(c, &rp, ojson_get(v, "reclaimPolicy"), policies, 2);
	check_parameters(c, &pp, ojson_get(v, "parameters"));
	OJSON_FOREACH_ELEM(i, t, ojson_get(v, "allowedTopologies")) {
		struct opath ip = opath_index(&tp, i);

		check_topology(c, &ip, t);
		/* one that says nothing counts as one said before, and where is no text */
		if (oget_len(t, "matchLabelExpressions") == 0 || oseen(&before, ojson_get(t, "matchLabelExpressions"), NULL))
			ocheck_duplicate_text(c, &(struct opath){ .up = &ip, .name = "matchLabelExpressions", .len = 21 }, "");
	}
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && old != NULL; i++) {
		(void)snprintf(why, sizeof(why), "updates to %s are forbidden.", fixed[i]);
		if (!ojson_equal(ojson_get(v, fixed[i]), ojson_get(old, fixed[i])))
			ocheck_forbidden_at(c, at, fixed[i], why);
	}
}

/* The driver that a class names. */
OCHECK(driver_name)
{
	(void)old;
	ocheck_csi_driver(c, at, otext(v));
}

/* One token for an audience, and one for that of the API server at most. */
static void check_token_requests(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	cleanup_ojson struct ojson *none = ojson_new_cstr("");
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	c->lost = c->lost || none == NULL;
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i), ap = opath_child(&p, "audience");
		struct ojson *audience = oget_empty(e, "audience") ? none : ojson_get(e, "audience");
		int64_t seconds = oget_int(e, "expirationSeconds");

		if (audience != NULL && oseen(&before, audience, NULL)) {
			ocheck_duplicate(c, &ap, audience);
			continue;
		}
		if (ojson_has(e, "expirationSeconds") && seconds < 600)
			ocheck_invalid_at(c, &p, e, "expirationSeconds", "may not specify a duration less than 10 minutes");
		if (seconds > INT64_C(1) << 32)
			ocheck_invalid_at(c, &p, e, "expirationSeconds", "may not specify a duration larger than 2^32 seconds");
	}
}

OCHECK(csi_driver)
{
	struct opath p = opath_child(at, "spec"), ap = opath_child(&p, "attachedRequired");	/* upstream's name of it */
	struct opath tp = opath_child(&p, "tokenRequests");
	struct ojson *is = ojson_get(v, "spec"), *was = ojson_get(old, "spec");

	check_token_requests(c, &tp, ojson_get(is, "tokenRequests"));
	if (old == NULL)
		return;
	if (!ojson_equal(ojson_get(is, "attachRequired"), ojson_get(was, "attachRequired")))
		ocheck_invalid(c, &ap, ojson_get(is, "attachRequired"), "field is immutable");
	if (!ojson_equal(ojson_get(is, "volumeLifecycleModes"), ojson_get(was, "volumeLifecycleModes")))
		ocheck_invalid_at(c, &p, is, "volumeLifecycleModes", "field is immutable");
}

static void check_topology_keys(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *whys[OSCHEMA_FORMAT_WHYS];
		size_t n = oschema_format_whys(OSCHEMA_FMT_QUALIFIED_NAME, otext(e).p, otext(e).len, whys);

		if (otext(e).len == 0)
			ocheck_required(c, at, "");
		if (oseen(&before, e, NULL))
			ocheck_duplicate(c, at, e);
		for (size_t k = 0; k < n; k++)
			ocheck_invalid(c, at, list, whys[k]);
	}
}

/* A driver of a node but for what it can do there, which may change; NULL: no memory. */
static struct ojson *fixed_part(const struct ojson *driver)
{
	struct ojson *copy = NULL;

	if (ojson_copy(driver, &copy))
		return NULL;
	ojson_del(copy, "allocatable");
	return copy;
}

#define NODE_ID_MAX	256
#define STR_(x)		#x
#define STR(x)		STR_(x)

OCHECK(csi_node)
{
	struct opath sp = opath_child(at, "spec"), dp = opath_child(&sp, "drivers"), fixed = opath_child(NULL, "CSINodeDriver");
	cleanup_oseen struct oseen before, names, drivers;

	oseen_init(&before, &c->lost);
	oseen_init(&names, &c->lost);
	oseen_init(&drivers, &c->lost);
	OJSON_FOREACH_ELEM(i, was, OJSON_AT(old, "spec", "drivers")) {
		cleanup_ojson struct ojson *k = fixed_part(was);

		(void)oseen(&names, ojson_get(was, "name"), NULL);
		(void)oseen(&drivers, k, NULL);
	}
	OJSON_FOREACH_ELEM(i, d, OJSON_AT(v, "spec", "drivers")) {
		struct opath p = opath_index(&dp, i), np = opath_child(&p, "name");
		cleanup_ojson struct ojson *k = fixed_part(d);

		ocheck_csi_driver(c, &np, oget_text(d, "name"));
		if (oget_text(d, "nodeID").len > NODE_ID_MAX)
			ocheck_invalid_at(c, &p, d, "nodeID", "must be " STR(NODE_ID_MAX) " characters or less");
		if (oseen(&before, ojson_get(d, "name"), NULL))
			ocheck_duplicate(c, &np, ojson_get(d, "name"));
		check_topology_keys(c, &p, ojson_get(d, "topologyKeys"));
		if (oseen_has(&names, ojson_get(d, "name")) && !oseen_has(&drivers, k))
			ocheck_invalid(c, &fixed, d, "field is immutable");
	}
}

OCHECK(volume_attachment)
{
	static const char one[] = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
	struct opath p = opath_child(at, "spec"), ap = opath_child(&p, "attacher"), sp = opath_child(&p, "source");
	struct opath np = opath_child(&p, "nodeName"), vp = opath_child(&sp, "persistentVolumeName"),
		     ip = opath_child(&sp, "inlineVolumeSpec");
	struct ojson *spec = ojson_get(v, "spec"), *source = ojson_get(spec, "source");
	bool named = ojson_has(source, "persistentVolumeName"), inlined = ojson_has(source, "inlineVolumeSpec");

	if (otext_is(c->w->sub, "status"))
		return;
	if (oget_empty(spec, "attacher"))
		ocheck_required(c, &ap, "");
	if (inlined && !named && !has_source(ojson_get(source, "inlineVolumeSpec")))
		ocheck_required(c, &ip, "must specify a volume type");
	if (!named && !inlined)
		ocheck_required(c, &sp, one);
	else if (named && inlined)
		ocheck_forbidden(c, &sp, one);
	else if (named && oget_empty(source, "persistentVolumeName"))
		ocheck_required(c, &vp, "must specify non empty persistentVolumeName");
	ocheck_format_text(c, &np, oget_text(spec, "nodeName"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	if (old != NULL)
		return;
	ocheck_csi_driver(c, &ap, oget_text(spec, "attacher"));
	if (named)
		ocheck_format(c, &vp, ojson_get(source, "persistentVolumeName"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
}
