/*
 * check-pod.c - pods as a whole: what containers and volumes say about each other, and what may change.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

static const char *const container_lists[] = { "containers", "initContainers", "ephemeralContainers" };
#define N_LISTS 3
enum { MAIN, INIT, EPHEMERAL };

/* ---- volumes ---- */

/* In the order in which upstream looks: the first that is there is the volume's. */
const char *const ocheck_volume_types[] = {
	"emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs",
	"flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap",
	"azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO",
	"csi", "ephemeral", "image", NULL,
};

OCHECK(volume)
{
	struct ojson *cm = ojson_get(v, "configMap");
	struct opath cmp = opath_child(at, "configMap");
	size_t n = 0;

	(void)old;
	for (const char *const *t = ocheck_volume_types; *t != NULL; t++)
		if (ojson_has(v, *t) && n++ > 0)
			ocheck_forbidden_at(c, at, strcmp(*t, "downwardAPI") == 0 ? "downwarAPI" : *t,
					    "may not specify more than 1 volume type");
	if (n == 0)
		ocheck_required(c, at, "must specify a volume type");
	if (cm != NULL && oget_empty(cm, "name"))
		ocheck_required_at(c, &cmp, "name", "");
}

OCHECK(volume_projection)
{
	static const char *const named[] = { "secret", "configMap" };
	size_t n = 0;

	(void)old;
	OJSON_FOREACH(it, v)
		if (++n == 2)
			ocheck_forbidden_at(c, at, it.key, "may not specify more than 1 volume type");
	if (n == 0)
		ocheck_required(c, at, "must specify a volume projection");
	for (size_t i = 0; i < 2; i++) {
		struct opath p = opath_child(at, named[i]);

		if (ojson_has(v, named[i]) && oget_empty(ojson_get(v, named[i]), "name"))
			ocheck_required_at(c, &p, "name", "");
	}
}

OCHECK(size_limit)
{
	struct oquantity q;

	(void)old;
	if (ocheck_quantity(v, &q) && oquantity_sign(&q) < 0)
		ocheck_forbidden(c, at, "SizeLimit field must be a valid resource quantity");
}

OCHECK(token_seconds)
{
	int64_t n = ojson_i64(v, 3600);

	(void)old;
	if (n < 600)
		ocheck_invalid(c, at, v, "may not specify a duration less than 10 minutes");
	if (n > 1ll << 32)
		ocheck_invalid(c, at, v, "may not specify a duration larger than 2^32 seconds");
}

/* ---- scheduling ---- */

OCHECK(node_requirement)
{
	struct opath key = opath_child(at, "key");
	struct orlop_bytes op = oget_text(v, "operator");
	size_t n = oget_len(v, "values");

	(void)old;
	if (otext_is(op, "In") || otext_is(op, "NotIn")) {
		if (n == 0)
			ocheck_required_at(c, at, "values", "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (otext_is(op, "Exists") || otext_is(op, "DoesNotExist")) {
		if (n > 0)
			ocheck_forbidden_at(c, at, "values",
					    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else if (otext_is(op, "Gt") || otext_is(op, "Lt")) {
		if (n != 1)
			ocheck_required_at(c, at, "values",
					   "must be specified single value when `operator` is 'Lt' or 'Gt'");
	} else {
		ocheck_invalid_at(c, at, v, "operator", "not a valid selector operator");
	}
	ocheck_format(c, &key, ojson_get(v, "key"), OSCHEMA_FMT_QUALIFIED_NAME);
}

OCHECK(toleration)
{
	static const char *const operators[] = { "Equal", "Exists" };
	struct orlop_bytes op = oget_text(v, "operator"), value = oget_text(v, "value");
	struct opath p = opath_child(at, "operator");
	(void)old;
	if (oget_empty(v, "key") && !otext_is(op, "Exists"))
		ocheck_invalid_text(c, &p, op, "operator must be Exists when `key` is empty, which "
			       "means \"match all values and all keys\"");
	if (ojson_has(v, "tolerationSeconds") && !oget_is(v, "effect", "NoExecute"))
		ocheck_invalid_at(c, at, v, "effect", "effect must be 'NoExecute' when `tolerationSeconds` is set");
	if (op.len == 0 || otext_is(op, "Equal")) {
		ocheck_format_text(c, &p, value, OSCHEMA_FMT_LABEL_VALUE);
	} else if (otext_is(op, "Exists")) {
		if (value.len > 0)
			ocheck_invalid(c, &p, v, "value must be empty when `operator` is 'Exists'");
	} else {
		ocheck_not_supported(c, &p, ojson_get(v, "operator"), operators, 2);
	}
}

OCHECK(topology_spread)
{
	(void)old;
	if (oget_int(v, "maxSkew") <= 0)
		ocheck_invalid_at(c, at, v, "maxSkew", "must be greater than zero");
	if (ojson_has(v, "minDomains") && !oget_is(v, "whenUnsatisfiable", "DoNotSchedule"))
		ocheck_invalid_at(c, at, v, "minDomains", "can only use minDomains if "
				  "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway");
}

static void check_spread_unique(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	static const char *const keys[] = { "topologyKey", "whenUnsatisfiable" };
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i), pp = opath_child(&p, "{topologyKey, whenUnsatisfiable}");
		char text[400];

		if (!oseen(&before, ojson_get(e, keys[0]), ojson_get(e, keys[1])))
			continue;
		(void)snprintf(text, sizeof(text), "{%s, %s}", ojson_get_cstr(e, keys[0], ""), ojson_get_cstr(e, keys[1], ""));
		ocheck_duplicate_text(c, &pp, text);
	}
}

/* ---- containers among each other ---- */

static void check_unique_names(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	for (size_t l = 0; l < N_LISTS; l++) {
		struct ojson *list = ojson_get(spec, container_lists[l]);
		struct opath lp = opath_child(at, container_lists[l]);

		OJSON_FOREACH_ELEM(i, e, list) {
			struct opath ip = opath_index(&lp, i), np = opath_child(&ip, "name");
			struct orlop_bytes name = oget_text(e, "name");

			if (oseen(&before, ojson_get(e, "name"), NULL) && name.len > 0)
				ocheck_duplicate(c, &np, ojson_get(e, "name"));
		}
	}
}

static void check_mounts(struct ocheck *c, const struct opath *at, struct ojson *container, struct oseen *volumes)
{
	struct ojson *mounts = ojson_get(container, "volumeMounts");
	struct opath mp = opath_child(at, "volumeMounts"), sp = opath_child(&mp, "subPath"), ep = opath_child(&mp, "subPathExpr");
	cleanup_oseen struct oseen paths;

	oseen_init(&paths, &c->lost);
	OJSON_FOREACH_ELEM(i, m, mounts) {
		struct opath p = opath_index(&mp, i), np = opath_child(&p, "name");
		struct orlop_bytes name = oget_text(m, "name");

		if (name.len > 0 && !oseen_has(volumes, ojson_get(m, "name")))
			ocheck_not_found(c, &np, ojson_get(m, "name"));
		if (memchr(oget_text(m, "mountPath").p, ':', oget_text(m, "mountPath").len) != NULL)
			ocheck_invalid_at(c, &p, m, "mountPath", "must not contain ':'");
		if (oseen(&paths, ojson_get(m, "mountPath"), NULL))
			ocheck_invalid_at(c, &p, m, "mountPath", "must be unique");
		/* of these upstream does not say which mount it is */
		ocheck_format(c, &sp, ojson_get(m, "subPath"), OSCHEMA_FMT_LOCAL_PATH);
		if (!oget_empty(m, "subPath") && !oget_empty(m, "subPathExpr"))
			ocheck_invalid_at(c, &p, m, "subPathExpr", "subPathExpr and subPath are mutually exclusive");
		ocheck_format(c, &ep, ojson_get(m, "subPathExpr"), OSCHEMA_FMT_LOCAL_PATH);
		if (oget_is(m, "mountPropagation", "Bidirectional") &&
		    !oget_bool(ojson_get(container, "securityContext"), "privileged"))
			ocheck_forbidden_at(c, &mp, "mountPropagation", "Bidirectional mount propagation is available "
					    "only to privileged containers");
		if (ojson_has(m, "recursiveReadOnly") && !oget_is(m, "recursiveReadOnly", "Disabled") &&
		    !oget_bool(m, "readOnly"))
			ocheck_forbidden_at(c, &p, "recursiveReadOnly", "may only be specified when readOnly is true");
	}
	struct opath dp = opath_child(at, "volumeDevices");

	OJSON_FOREACH_ELEM(j, d, ojson_get(container, "volumeDevices")) {
		struct opath p = opath_index(&dp, j), np = opath_child(&p, "name");

		if (!oget_empty(d, "name") && !oseen_has(volumes, ojson_get(d, "name")))
			ocheck_not_found(c, &np, ojson_get(d, "name"));
	}
}

/* Ports of the host may be taken once per protocol and address in a pod. */
static void check_host_ports(struct ocheck *c, const struct opath *at, struct ojson *list, bool host_network)
{
	struct opath lp = opath_child(at, "containers");

	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath ip = opath_index(&lp, i), pp = opath_child(&ip, "ports");

		OJSON_FOREACH_ELEM(j, port, ojson_get(e, "ports")) {
			struct opath p = opath_index(&pp, j), hp = opath_child(&p, "hostPort");
			int64_t host = oget_int(port, "hostPort");
			bool twice = false;
			char text[128];

			if (host == 0)
				continue;
			if (host_network && host != oget_int(port, "containerPort"))
				ocheck_invalid_at(c, &p, port, "containerPort",
						  "must match `hostPort` when `hostNetwork` is true");
			for (size_t k = 0; k <= i && !twice; k++) {
				struct ojson *others = ojson_get(ojson_index(list, k), "ports");

				OJSON_FOREACH_ELEM(m, o, others)
					twice = twice || ((k < i || m < j) && oget_int(o, "hostPort") == host &&
							  ojson_equal(ojson_get(o, "protocol"), ojson_get(port, "protocol")) &&
							  ojson_equal(ojson_get(o, "hostIP"), ojson_get(port, "hostIP")));
			}
			(void)snprintf(text, sizeof(text), "%s/%s/%lld", ojson_get_cstr(port, "protocol", ""),
				       ojson_get_cstr(port, "hostIP", ""), (long long)host);
			if (twice)
				ocheck_duplicate_text(c, &hp, text);
		}
	}
}

/* When a container of its own is started again, and for which exit codes whatever its policy says. */
static void check_restart(struct ocheck *c, const struct opath *at, struct ojson *container)
{
	static const char *const policies[] = { "Always", "Never", "OnFailure" };
	struct ojson *rules = ojson_get(container, "restartPolicyRules");
	const char *policy = ojson_get_cstr(container, "restartPolicy", "");
	struct opath pp = opath_child(at, "restartPolicy"), rp = opath_child(at, "restartPolicyRules");

	if (!*policy && ojson_count(rules))
		ocheck_required(c, &pp, "must specify restartPolicy when restart rules are used");
	else if (*policy && strcmp(policy, "Always") && strcmp(policy, "Never") && strcmp(policy, "OnFailure"))
		ocheck_not_supported(c, &pp, ojson_get(container, "restartPolicy"), policies, 3);
	OJSON_FOREACH_ELEM(i, r, rules) {
		struct opath p = opath_index(&rp, i), ep = opath_child(&p, "exitCodes"), vp = opath_child(&ep, "values");
		struct ojson *codes = ojson_get(r, "exitCodes");

		if (!codes)
			ocheck_required(c, &ep, "must be specified");
		else if (!ojson_count(ojson_get(codes, "values")))
			ocheck_required(c, &vp, "must specify at least one value");
	}
}

static void check_init(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	static const char *const sidecar_only[] = { "lifecycle", "livenessProbe", "readinessProbe", "startupProbe" };
	struct opath lp = opath_child(at, "initContainers");

	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(&lp, i);
		bool sidecar = oget_is(e, "restartPolicy", "Always");

		check_restart(c, &p, e);
		for (size_t k = 0; k < 4 && !sidecar; k++)
			if (ojson_has(e, sidecar_only[k]))
				ocheck_forbidden_at(c, &p, sidecar_only[k],
						    "may not be set for init containers without restartPolicy=Always");
	}
}

static void check_ephemeral(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const never[] = { "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
					     "resizePolicy" };
	struct opath lp = opath_child(at, "ephemeralContainers");
	struct ojson *list = ojson_get(spec, "ephemeralContainers");
	cleanup_oseen struct oseen named;

	oseen_init(&named, &c->lost);
	if (ojson_count(list) == 0)
		return;
	if (!c->in_pod) {
		ocheck_forbidden(c, &lp, "ephemeral containers not allowed in pod template");
		return;
	}
	if (!c->update)
		ocheck_forbidden(c, &lp, "cannot be set on create");
	OJSON_FOREACH_ELEM(m, e, ojson_get(spec, "containers"))
		(void)oseen(&named, ojson_get(e, "name"), NULL);
	OJSON_FOREACH_ELEM(n, e, ojson_get(spec, "initContainers"))
		(void)oseen(&named, ojson_get(e, "name"), NULL);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(&lp, i), tp = opath_child(&p, "targetContainerName");

		for (size_t k = 0; k < sizeof(never) / sizeof(never[0]); k++)
			if (ojson_has(e, never[k]))
				ocheck_forbidden_at(c, &p, never[k], "cannot be set for an Ephemeral Container");
		if (ojson_count(ojson_get(e, "resources")) > 0)
			ocheck_forbidden_at(c, &p, "resources", "cannot be set for an Ephemeral Container");
		if (!oget_empty(e, "targetContainerName") &&
		    !oseen_has(&named, ojson_get(e, "targetContainerName")))
			ocheck_not_found(c, &tp, ojson_get(e, "targetContainerName"));
	}
}

/* ---- the pod's own fields ---- */

static void check_dns(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath dp = opath_child(at, "dnsConfig"), np = opath_child(&dp, "nameservers");
	struct opath sp = opath_child(&dp, "searches");
	struct ojson *servers = OJSON_AT(spec, "dnsConfig", "nameservers");
	struct ojson *searches = OJSON_AT(spec, "dnsConfig", "searches");

	if (oget_is(spec, "dnsPolicy", "None")) {
		if (!ojson_has(spec, "dnsConfig"))
			ocheck_required(c, &dp, "must provide `dnsConfig` when `dnsPolicy` is None");
		else if (ojson_count(servers) == 0)
			ocheck_required(c, &np,
					"must provide at least one DNS nameserver when `dnsPolicy` is None");
	}
	if (ojson_count(servers) > 3)
		ocheck_invalid(c, &np, servers, "must not have more than 3 nameservers");
	OJSON_FOREACH_ELEM(i, e, servers) {
		struct opath p = opath_index(&np, i);

		ocheck_format(c, &p, e, OSCHEMA_FMT_IP);
	}
	if (ojson_count(searches) > 32)
		ocheck_invalid(c, &sp, searches, "must not have more than 32 search paths");
}

static void check_misc(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath pulls = opath_child(at, "imagePullSecrets"), hosts = opath_child(at, "hostAliases");
	/* where upstream has it inside */
	struct opath security = opath_child(at, "securityContext"), share = opath_child(&security, "shareProcessNamespace");

	if (oget_bool(spec, "shareProcessNamespace") && oget_bool(spec, "hostPID"))
		ocheck_invalid(c, &share, ojson_get(spec, "shareProcessNamespace"),
			       "ShareProcessNamespace and HostPID cannot both be enabled");
	if (oget_len(spec, "schedulingGates") > 0 && !oget_empty(spec, "nodeName"))
		ocheck_forbidden_at(c, at, "nodeName",
				    "cannot be set until all schedulingGates have been cleared");
	if (ojson_has(spec, "hostUsers") && !oget_bool(spec, "hostUsers") &&
	    (oget_bool(spec, "hostNetwork") || oget_bool(spec, "hostPID") || oget_bool(spec, "hostIPC")))
		ocheck_forbidden_at(c, at, oget_bool(spec, "hostNetwork") ? "hostNetwork" :
				    oget_bool(spec, "hostPID") ? "hostPID" : "hostIPC", "when `hostUsers` is false");
	OJSON_FOREACH_ELEM(i, e, ojson_get(spec, "imagePullSecrets")) {
		struct opath p = opath_index(&pulls, i);

		if (oget_empty(e, "name"))
			ocheck_required_at(c, &p, "name", "");
	}
	OJSON_FOREACH_ELEM(j, h, ojson_get(spec, "hostAliases")) {
		struct opath p = opath_index(&hosts, j), np = opath_child(&p, "hostnames");

		OJSON_FOREACH_ELEM(k, n, ojson_get(h, "hostnames")) {
			struct opath ep = opath_index(&np, k);

			ocheck_format(c, &ep, n, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		}
	}
}

OCHECK(pod_spec)
{
	struct opath spread = opath_child(at, "topologySpreadConstraints");
	struct opath mains = opath_child(at, "containers");
	cleanup_oseen struct oseen named;

	(void)old;
	oseen_init(&named, &c->lost);
	OJSON_FOREACH_ELEM(n, e, ojson_get(v, "volumes"))
		(void)oseen(&named, ojson_get(e, "name"), NULL);
	check_unique_names(c, at, v);
	for (size_t l = 0; l < N_LISTS; l++) {
		struct opath lp = opath_child(at, container_lists[l]);

		OJSON_FOREACH_ELEM(i, e, ojson_get(v, container_lists[l])) {
			struct opath p = opath_index(&lp, i);

			check_mounts(c, &p, e, &named);
		}
	}
	OJSON_FOREACH_ELEM(m, e, ojson_get(v, "containers")) {
		struct opath p = opath_index(&mains, m);

		check_restart(c, &p, e);
	}
	check_host_ports(c, at, ojson_get(v, "containers"), oget_bool(v, "hostNetwork"));
	check_init(c, at, ojson_get(v, "initContainers"));
	check_ephemeral(c, at, v);
	check_dns(c, at, v);
	check_misc(c, at, v);
	check_spread_unique(c, &spread, ojson_get(v, "topologySpreadConstraints"));
	ocheck_pod_rules(c, at, v);
}

OCHECK(pod_template)
{
	struct opath meta = opath_child(at, "metadata");
	struct opath labels = opath_child(&meta, "labels"), notes = opath_child(&meta, "annotations");

	(void)old;
	ocheck_labels(c, &labels, OJSON_AT(v, "metadata", "labels"));
	ocheck_annotations(c, &notes, OJSON_AT(v, "metadata", "annotations"));
}

/* ---- changes ---- */

/* Are the lists equal but for some members of their elements? */
static bool lists_equal_but(struct ojson *a, struct ojson *b, const char *const *skip)
{
	if (ojson_count(a) != ojson_count(b))
		return false;
	OJSON_FOREACH_ELEM(i, e, a)
		if (!ocheck_equal_but(e, ojson_index(b, i), skip))
			return false;
	return true;
}

static void check_deadline(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	struct ojson *is = ojson_get(v, "activeDeadlineSeconds"), *was = ojson_get(old, "activeDeadlineSeconds");

	if (was == NULL || ojson_equal(is, was))
		return;
	if (is == NULL)
		ocheck_invalid_at(c, at, v, "activeDeadlineSeconds",
				  "must not update from a positive integer to nil value");
	else if (ojson_i64(is, 0) > ojson_i64(was, 0))
		ocheck_invalid_at(c, at, v, "activeDeadlineSeconds",
				  "must be less than or equal to previous value");
}

/* Tolerations may be added, and given other seconds. */
/* A toleration but for its seconds; NULL: no memory. */
static struct ojson *without_seconds(const struct ojson *toleration)
{
	struct ojson *copy = NULL;

	if (ojson_copy(toleration, &copy))
		return NULL;
	ojson_del(copy, "tolerationSeconds");
	return copy;
}

static void check_toleration_change(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "tolerationSeconds", NULL };
	cleanup_oseen struct oseen all;

	oseen_init(&all, &c->lost);
	OJSON_FOREACH_ELEM(n, is, ojson_get(v, "tolerations")) {
		cleanup_ojson struct ojson *k = without_seconds(is);

		if (k)
			(void)oseen(&all, k, NULL);
	}
	OJSON_FOREACH_ELEM(i, was, ojson_get(old, "tolerations")) {
		cleanup_ojson struct ojson *k = without_seconds(was);
		bool kept = k && oseen_has(&all, k);

		/* written otherwise it may be the same */
		OJSON_FOREACH_ELEM(j, is, kept ? NULL : ojson_get(v, "tolerations"))
			kept = kept || ocheck_equal_but(was, is, skip);
		if (!kept) {
			ocheck_forbidden_at(c, at, "tolerations",
					    "existing toleration can not be modified except its tolerationSeconds");
			return;
		}
	}
}

static void check_main_update(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const image[] = { "image", NULL };
	static const char *const may[] = { "containers", "initContainers", "activeDeadlineSeconds", "tolerations",
					   "terminationGracePeriodSeconds", "schedulingGates", NULL };
	static const char *const gated[] = { "containers", "initContainers", "activeDeadlineSeconds", "tolerations",
					     "terminationGracePeriodSeconds", "schedulingGates", "nodeSelector",
					     "affinity", "topologySpreadConstraints", NULL };
	int64_t is = oget_int(v, "terminationGracePeriodSeconds");
	int64_t was = oget_int(old, "terminationGracePeriodSeconds");
	bool has_gates = oget_len(old, "schedulingGates") > 0;
	cleanup_oseen struct oseen gates;

	oseen_init(&gates, &c->lost);
	if (oget_len(v, "containers") != oget_len(old, "containers")) {
		ocheck_forbidden_at(c, at, "containers", "pod updates may not add or remove containers");
		return;
	}
	if (oget_len(v, "initContainers") != oget_len(old, "initContainers")) {
		ocheck_forbidden_at(c, at, "initContainers", "pod updates may not add or remove containers");
		return;
	}
	check_deadline(c, at, v, old);
	check_toleration_change(c, at, v, old);
	OJSON_FOREACH_ELEM(k, o, ojson_get(old, "schedulingGates"))
		(void)oseen(&gates, ojson_get(o, "name"), NULL);
	OJSON_FOREACH_ELEM(i, g, ojson_get(v, "schedulingGates")) {
		char text[400];

		if (oseen_has(&gates, ojson_get(g, "name")))
			continue;
		(void)snprintf(text, sizeof(text), "only deletion is allowed, but found new scheduling gate '%s'",
			       ojson_get_cstr(g, "name", ""));
		ocheck_forbidden_at(c, at, "schedulingGates", text);
	}
	if (!ocheck_equal_but(v, old, has_gates ? gated : may) ||
	    !lists_equal_but(ojson_get(v, "containers"), ojson_get(old, "containers"), image) ||
	    !lists_equal_but(ojson_get(v, "initContainers"), ojson_get(old, "initContainers"), image) ||
	    (is != was && !(was < 0 && is == 1)))
		ocheck_forbidden(c, at, "pod updates may not change fields other than `spec.containers[*].image`,"
				 "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
				 "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
				 "set to 1 if it was previously negative)");
}

static void check_ephemeral_update(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "ephemeralContainers", NULL };
	struct ojson *is = ojson_get(v, "ephemeralContainers");
	cleanup_oseen struct oseen all, names;

	oseen_init(&all, &c->lost);
	oseen_init(&names, &c->lost);
	OJSON_FOREACH_ELEM(k, e, is) {
		(void)oseen(&all, e, NULL);
		(void)oseen(&names, ojson_get(e, "name"), NULL);
	}
	if (!ocheck_equal_but(v, old, skip))
		ocheck_forbidden(c, at, "only spec.ephemeralContainers may be changed through ephemeralcontainers");
	OJSON_FOREACH_ELEM(i, was, ojson_get(old, "ephemeralContainers")) {
		bool there = oseen_has(&names, ojson_get(was, "name"));
		char text[400];

		if (there && oseen_has(&all, was))
			continue;
		(void)snprintf(text, sizeof(text), "existing ephemeral containers \"%s\" may not be %s\n",
			       ojson_get_cstr(was, "name", ""), there ? "changed" : "removed");
		ocheck_forbidden_at(c, at, "ephemeralContainers", text);
	}
}

static void check_resize(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "containers", "initContainers", "resources", NULL };
	static const char *const sized[] = { "resources", "resizePolicy", NULL };

	if (!ocheck_equal_but(v, old, skip) ||
	    !lists_equal_but(ojson_get(v, "containers"), ojson_get(old, "containers"), sized) ||
	    !lists_equal_but(ojson_get(v, "initContainers"), ojson_get(old, "initContainers"), sized))
		ocheck_forbidden(c, at, "only cpu and memory resources are mutable");
}

OCHECK(pod)
{
	struct opath spec = opath_child(at, "spec");
	struct ojson *is = ojson_get(v, "spec"), *was = ojson_get(old, "spec");

	if (!c->update)
		return;
	if (otext_is(c->w->sub, "status")) {
		struct opath status = opath_child(at, "status"), name = opath_child(&status, "nominatedNodeName");
		struct ojson *n = OJSON_AT(v, "status", "nominatedNodeName");

		if (otext(n).len > 0 && !ojson_equal(n, OJSON_AT(old, "status", "nominatedNodeName")))
			ocheck_format(c, &name, n, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		return;
	}
	if (otext_is(c->w->sub, "ephemeralcontainers"))
		check_ephemeral_update(c, &spec, is, was);
	else if (otext_is(c->w->sub, "resize"))
		check_resize(c, &spec, is, was);
	else if (c->w->sub.len == 0)
		check_main_update(c, &spec, is, was);
}
