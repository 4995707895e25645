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
	const char *first = NULL;
	struct opath cmp = opath_child(at, "configMap");
	size_t n = 0;

	(void)old;
	for (const char *const *t = ocheck_volume_types; *t != NULL; t++) {
		first = first == NULL && ojson_has(v, *t) ? *t : first;
		if (ojson_has(v, *t) && n++ > 0)
			ocheck_forbidden_at(c, at, strcmp(*t, "downwardAPI") == 0 ? "downwarAPI" :
					    strcmp(*t, "cephfs") == 0 ? "cephFS" : *t, "may not specify more than 1 volume type");
	}
	if (n == 0)
		ocheck_required(c, at, "must specify a volume type");
	else if (strcmp(first, "iscsi") == 0)
		ocheck_iscsi_name(c, at, v, ojson_get(v, "iscsi"));
	else if (strcmp(first, "configMap") == 0 && oget_empty(ojson_get(v, "configMap"), "name"))
		ocheck_required_at(c, &cmp, "name", "");
}

OCHECK(volume_projection)
{
	static const char *const named[] = { "secret", "configMap" };

	(void)old;
	if (ojson_count(v) > 1)
		ocheck_forbidden(c, at, "may not specify more than 1 volume type per source");
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

static bool is_field_requirement(const struct opath *at)
{
	return at->up != NULL && at->up->name != NULL && strcmp(at->up->name, "matchFields") == 0;
}

/* Of a node's fields only the name may be asked for. */
static void check_field_requirement(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	struct opath vp = opath_child(at, "values"), kp = opath_child(at, "key"), op = opath_child(at, "operator");

	if (!oget_is(v, "operator", "In") && !oget_is(v, "operator", "NotIn"))
		ocheck_invalid_text(c, &op, oget_text(v, "operator"), "not a valid selector operator");
	else if (oget_len(v, "values") != 1)
		ocheck_required(c, &vp, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
	if (!oget_is(v, "key", "metadata.name")) {
		ocheck_invalid_text(c, &kp, oget_text(v, "key"), "not a valid field selector key");
		return;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "values")) {
		struct opath p = opath_index(&vp, i);

		ocheck_format(c, &p, e, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
	}
}

OCHECK(node_requirement)
{
	struct opath key = opath_child(at, "key");
	struct orlop_bytes op = oget_text(v, "operator");
	size_t n = oget_len(v, "values");

	(void)old;
	if (is_field_requirement(at)) {
		check_field_requirement(c, at, v);
		return;
	}
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

/* Of several namespaces upstream does not say which one it is. */
OCHECK(affinity_term)
{
	struct opath p = opath_child(at, "namespace"), kp = opath_child(at, "topologyKey");

	(void)old;
	if (oget_empty(v, "topologyKey"))
		ocheck_required(c, &kp, "can not be empty");
	ocheck_format_text(c, &kp, oget_text(v, "topologyKey"), OSCHEMA_FMT_QUALIFIED_NAME);
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "namespaces"))
		ocheck_format_text(c, &p, otext(e), OSCHEMA_FMT_DNS1123_LABEL);
}

OCHECK(toleration)
{
	static const char *const operators[] = { "Equal", "Exists" };
	struct orlop_bytes op = oget_text(v, "operator"), value = oget_text(v, "value");
	struct opath p = opath_child(at, "operator"), ep = opath_child(at, "effect");

	(void)old;
	if (oget_empty(v, "key") && !otext_is(op, "Exists"))
		ocheck_invalid_text(c, &p, op, "operator must be Exists when `key` is empty, which "
			       "means \"match all values and all keys\"");
	if (ojson_has(v, "tolerationSeconds") && !oget_is(v, "effect", "NoExecute"))
		ocheck_invalid_text(c, &ep, oget_text(v, "effect"), "effect must be 'NoExecute' when `tolerationSeconds` is set");
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

	/* upstream finds the first of two */
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i), pp = opath_child(&p, "{topologyKey, whenUnsatisfiable}");
		bool again = false;
		char text[400];

		OJSON_FOREACH_ELEM(j, f, list)
			again = again || (j > i && ojson_equal(ojson_get(e, keys[0]), ojson_get(f, keys[0])) &&
					  ojson_equal(ojson_get(e, keys[1]), ojson_get(f, keys[1])));
		if (!again)
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

static void check_known(struct ocheck *c, const struct opath *at, struct ojson *mount, struct oseen *volumes)
{
	cleanup_ojson struct ojson *none = oget_empty(mount, "name") ? ojson_new_cstr("") : NULL;

	if (none != NULL)
		ocheck_not_found(c, at, none);
	else if (!oseen_has(volumes, ojson_get(mount, "name")))
		ocheck_not_found(c, at, ojson_get(mount, "name"));
}

static void check_mounts(struct ocheck *c, const struct opath *at, struct ojson *container, struct oseen *volumes)
{
	struct ojson *mounts = ojson_get(container, "volumeMounts");
	struct opath mp = opath_child(at, "volumeMounts"), sp = opath_child(&mp, "subPath"), ep = opath_child(&mp, "subPathExpr");
	cleanup_oseen struct oseen paths;

	oseen_init(&paths, &c->lost);
	OJSON_FOREACH_ELEM(i, m, mounts) {
		static const char *const spreads[] = { "Bidirectional", "HostToContainer", "None" };
		struct opath p = opath_index(&mp, i), np = opath_child(&p, "name"), pp = opath_child(&mp, "mountPropagation");

		check_known(c, &np, m, volumes);
		if (memchr(oget_text(m, "mountPath").p, ':', oget_text(m, "mountPath").len) != NULL)
			ocheck_invalid_at(c, &p, m, "mountPath", "must not contain ':'");
		if (oseen(&paths, ojson_get(m, "mountPath"), NULL))
			ocheck_invalid_at(c, &p, m, "mountPath", "must be unique");
		/* of these upstream does not say which mount it is */
		ocheck_format(c, &sp, ojson_get(m, "subPath"), OSCHEMA_FMT_LOCAL_PATH);
		if (!oget_empty(m, "subPath") && !oget_empty(m, "subPathExpr"))
			ocheck_invalid_at(c, &p, m, "subPathExpr", "subPathExpr and subPath are mutually exclusive");
		ocheck_format(c, &ep, ojson_get(m, "subPathExpr"), OSCHEMA_FMT_LOCAL_PATH);
		if (ojson_has(m, "mountPropagation") && !oget_is(m, "mountPropagation", spreads[0]) &&
		    !oget_is(m, "mountPropagation", spreads[1]) && !oget_is(m, "mountPropagation", spreads[2]))
			ocheck_not_supported(c, &pp, ojson_get(m, "mountPropagation"), spreads, 3);
		if (oget_is(m, "mountPropagation", "Bidirectional") &&
		    !oget_bool(ojson_get(container, "securityContext"), "privileged"))
			ocheck_forbidden_at(c, &mp, "mountPropagation", "Bidirectional mount propagation is available "
					    "only to privileged containers");
		if (ojson_has(m, "recursiveReadOnly") && !oget_is(m, "recursiveReadOnly", "Disabled") &&
		    !oget_bool(m, "readOnly"))
			ocheck_forbidden_at(c, &mp, "recursiveReadOnly", "may only be specified when readOnly is true");
	}
	struct opath dp = opath_child(at, "volumeDevices");

	OJSON_FOREACH_ELEM(j, d, ojson_get(container, "volumeDevices")) {
		struct opath p = opath_index(&dp, j), np = opath_child(&p, "name");

		check_known(c, &np, d, volumes);
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

/* A domain: as a host's name, but its parts may have underscores, and there may be a dot at its end. */
static void check_search(struct ocheck *c, const struct opath *at, struct orlop_bytes t)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];
	char plain[256];
	size_t n = t.len > 0 && t.p[t.len - 1] == '.' ? t.len - 1 : t.len, found;

	if (otext_is(t, "."))
		return;
	if (n > 253)
		ocheck_invalid_text(c, at, (struct orlop_bytes){ t.p, n }, "must be no more than 253 characters");
	/* where there may be an underscore there may be a letter */
	for (size_t i = 0; i < n && i < sizeof(plain); i++) {
		bool first = i == 0 || t.p[i - 1] == '.', last = i + 1 == n || t.p[i + 1] == '.';

		plain[i] = t.p[i] == '_' && !last ? (first || plain[i - 1] != '_' ? 'a' : '-') : t.p[i];
	}
	found = oschema_format_whys(OSCHEMA_FMT_DNS1123_SUBDOMAIN, plain, n < sizeof(plain) ? n : sizeof(plain), whys);
	for (size_t i = 0; i < found; i++)
		if (strstr(whys[i], "no more than") == NULL)
			ocheck_invalid_text(c, at, (struct orlop_bytes){ t.p, n }, "a lowercase RFC 1123 subdomain must consist of lower "
					    "case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric "
					    "character");
}

static void check_dns(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath dp = opath_child(at, "dnsConfig"), np = opath_child(&dp, "nameservers");
	struct opath sp = opath_child(&dp, "searches"), op = opath_child(&dp, "options");
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
	OJSON_FOREACH_ELEM(j, e, searches) {
		struct opath p = opath_index(&sp, j);

		check_search(c, &p, otext(e));
	}
	OJSON_FOREACH_ELEM(k, e, OJSON_AT(spec, "dnsConfig", "options")) {
		struct opath p = opath_index(&op, k);

		if (oget_empty(e, "name"))
			ocheck_required(c, &p, "must not be empty");
	}
}

static void check_misc(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const host[][2] = { { "hostNetwork", "hostNetwork" }, { "hostPID", "HostPID" }, { "hostIPC", "HostIPC" } };
	struct opath hosts = opath_child(at, "hostAliases");
	/* where upstream has it inside */
	struct opath security = opath_child(at, "securityContext"), share = opath_child(&security, "shareProcessNamespace");

	if (oget_bool(spec, "shareProcessNamespace") && oget_bool(spec, "hostPID"))
		ocheck_invalid(c, &share, ojson_get(spec, "shareProcessNamespace"),
			       "ShareProcessNamespace and HostPID cannot both be enabled");
	if (oget_len(spec, "schedulingGates") > 0 && !oget_empty(spec, "nodeName"))
		ocheck_forbidden_at(c, at, "nodeName",
				    "cannot be set until all schedulingGates have been cleared");
	for (size_t i = 0; i < 3 && ojson_has(spec, "hostUsers") && !oget_bool(spec, "hostUsers"); i++)
		if (oget_bool(spec, host[i][0]))
			ocheck_forbidden_at(c, at, host[i][1], "when `pod.Spec.HostUsers` is false");
	OJSON_FOREACH_ELEM(j, h, ojson_get(spec, "hostAliases")) {
		struct opath p = opath_index(&hosts, j), np = opath_child(&p, "hostnames");

		OJSON_FOREACH_ELEM(k, n, ojson_get(h, "hostnames")) {
			struct opath ep = opath_index(&np, k);

			ocheck_format(c, &ep, n, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		}
	}
}

/* Has something been found in the volume? Mounts do not find it then. */
static bool is_bad_volume(const struct ocheck *c, const struct opath *at, size_t n)
{
	struct opath vp = opath_child(at, "volumes"), p = opath_index(&vp, n);

	return ocheck_found_in(c, &p);
}

static void check_preemption(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	static const char *const policies[] = { "PreemptLowerPriority", "Never" };
	struct opath p = opath_child(at, "preemptionPolicy");

	if (ojson_has(v, "preemptionPolicy") && oget_empty(v, "preemptionPolicy"))
		ocheck_required(c, &p, "");
	else if (ojson_has(v, "preemptionPolicy") && !oget_is(v, "preemptionPolicy", policies[0]) &&
		 !oget_is(v, "preemptionPolicy", policies[1]))
		ocheck_not_supported(c, &p, ojson_get(v, "preemptionPolicy"), policies, 2);
}

OCHECK(pod_spec)
{
	struct opath spread = opath_child(at, "topologySpreadConstraints");
	struct opath mains = opath_child(at, "containers");
	cleanup_oseen struct oseen named;

	(void)old;
	oseen_init(&named, &c->lost);
	OJSON_FOREACH_ELEM(n, e, ojson_get(v, "volumes"))
		if (!is_bad_volume(c, at, n))
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
	check_preemption(c, at, v);
	check_spread_unique(c, &spread, ojson_get(v, "topologySpreadConstraints"));
	ocheck_pod_rules(c, at, v);
}

OCHECK(pod_template)
{
	/* upstream does not say that these are in the metadata */
	struct opath labels = opath_child(at, "labels"), notes = opath_child(at, "annotations");

	(void)old;
	ocheck_labels(c, &labels, OJSON_AT(v, "metadata", "labels"));
	ocheck_annotations(c, &notes, OJSON_AT(v, "metadata", "annotations"));
}
