/*
 * check-podrules.c - rules of pods that came after Kubernetes 1.20, and rules between a pod's parts: volumes and devices, claims of
 * devices, what containers do at their end, resources of the pod, and what an operating system has not got.
 *
 * Source: upstream's pkg/apis/core/validation, behaviour and words.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

static const char *const container_lists[] = { "containers", "initContainers", "ephemeralContainers" };
#define N_LISTS 3

/* ---- volumes ---- */

/* Each path of a projected volume comes from one source. */
static void check_projected(struct ocheck *c, const struct opath *at, struct ojson *sources)
{
	static const char *const named[] = { "secret", "configMap" };
	static const char *const single[] = { "serviceAccountToken", "clusterTrustBundle" };
	struct opath pp = opath_child(at, "path");
	cleanup_oseen struct oseen paths;

	oseen_init(&paths, &c->lost);
	OJSON_FOREACH_ELEM(i, s, sources) {
		struct ojson *token = ojson_get(s, "serviceAccountToken");

		/* upstream does not say of which source */
		if (token != NULL && oget_empty(token, "path"))
			ocheck_required(c, &pp, "");
		else if (token != NULL)
			ocheck_format(c, &pp, ojson_get(token, "path"), OSCHEMA_FMT_LOCAL_PATH);
		for (size_t k = 0; k < 2; k++)
			OJSON_FOREACH_ELEM(j, item, OJSON_AT(s, named[k], "items"))
				if (!oget_empty(item, "path") && oseen(&paths, ojson_get(item, "path"), NULL))
					ocheck_invalid(c, at, OJSON_AT(s, named[k], "name"), "conflicting duplicate paths");
		OJSON_FOREACH_ELEM(m, item, OJSON_AT(s, "downwardAPI", "items"))
			if (!oget_empty(item, "path") && oseen(&paths, ojson_get(item, "path"), NULL))
				ocheck_invalid(c, at, ojson_get(item, "path"), "conflicting duplicate paths");
		for (size_t k = 0; k < 2; k++)
			if (!oget_empty(ojson_get(s, single[k]), "path") && oseen(&paths, OJSON_AT(s, single[k], "path"), NULL))
				ocheck_invalid(c, at, OJSON_AT(s, single[k], "path"), "conflicting duplicate paths");
	}
}

static void check_volumes(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	OJSON_FOREACH_ELEM(i, v, list) {
		struct opath p = opath_index(at, i), image = opath_child(&p, "image"), projected = opath_child(&p, "projected");

		/* a controller may fill it in in its pods */
		if (c->in_pod && ojson_has(v, "image") && oget_empty(ojson_get(v, "image"), "reference"))
			ocheck_required_at(c, &image, "reference", "");
		check_projected(c, &projected, OJSON_AT(v, "projected", "sources"));
	}
}

static bool has_steps_back(struct orlop_bytes path)
{
	for (size_t i = 0; i + 1 < path.len; i++)
		if (path.p[i] == '.' && path.p[i + 1] == '.' && (i == 0 || path.p[i - 1] == '/') && (i + 2 == path.len || path.p[i + 2] == '/'))
			return true;
	return false;
}

/* @blocks: names of volumes that may be devices */
static void check_devices(struct ocheck *c, const struct opath *at, struct ojson *container, struct oseen *volumes, struct oseen *blocks)
{
	struct opath dp = opath_child(at, "volumeDevices");
	cleanup_oseen struct oseen names, paths, mounts, places;

	oseen_init(&names, &c->lost);
	oseen_init(&paths, &c->lost);
	oseen_init(&mounts, &c->lost);
	oseen_init(&places, &c->lost);
	if (!oget_len(container, "volumeDevices"))
		return;
	OJSON_FOREACH_ELEM(i, m, ojson_get(container, "volumeMounts")) {
		(void)oseen(&mounts, ojson_get(m, "name"), NULL);
		(void)oseen(&places, ojson_get(m, "mountPath"), NULL);
	}
	OJSON_FOREACH_ELEM(j, d, ojson_get(container, "volumeDevices")) {
		struct opath p = opath_index(&dp, j);
		struct ojson *name = ojson_get(d, "name"), *path = ojson_get(d, "devicePath");

		if (!oget_empty(d, "name")) {
			if (oseen(&names, name, NULL))
				ocheck_invalid_at(c, &p, d, "name", "must be unique");
			if (oseen_has(volumes, name) && !oseen_has(blocks, name))
				ocheck_invalid_at(c, &p, d, "name", "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
			if (oseen_has(&mounts, name))
				ocheck_invalid_at(c, &p, d, "name", "must not already exist in volumeMounts");
		}
		if (!oget_empty(d, "devicePath")) {
			if (has_steps_back(oget_text(d, "devicePath")))
				ocheck_invalid_at(c, &p, d, "devicePath", "can not contain backsteps ('..')");
			else if (oseen(&paths, path, NULL))
				ocheck_invalid_at(c, &p, d, "devicePath", "must be unique");
			if (oseen_has(&places, path))
				ocheck_invalid_at(c, &p, d, "devicePath", "must not already exist as a path in volumeMounts");
		}
	}
}

/* ---- claims of devices ---- */

static void check_claims(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	cleanup_oseen struct oseen names;

	oseen_init(&names, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(at, i), np = opath_child(&p, "name");
		bool by_name = ojson_has(e, "resourceClaimName"), by_template = ojson_has(e, "resourceClaimTemplateName");

		if (!oget_empty(e, "name") && oseen(&names, ojson_get(e, "name"), NULL))
			ocheck_duplicate(c, &np, ojson_get(e, "name"));
		else
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_DNS1123_LABEL);
		if (by_name && by_template)
			ocheck_invalid(c, &p, e, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
		else if (!by_name && !by_template)
			ocheck_invalid(c, &p, e, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
	}
}

/* What a container says of the claims of its pod. */
static void check_claimed(struct ocheck *c, const struct opath *at, struct ojson *claims, struct oseen *known)
{
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, claims) {
		struct opath p = opath_index(at, i);

		if (oget_empty(e, "name"))
			continue;
		if (oseen(&before, ojson_get(e, "name"), ojson_get(e, "request")))
			ocheck_duplicate(c, &p, ojson_get(e, "name"));
		if (!oseen_has(known, ojson_get(e, "name")))
			ocheck_not_found(c, &p, ojson_get(e, "name"));
	}
}

/* ---- containers ---- */

static void check_ending(struct ocheck *c, const struct opath *at, struct ojson *container, struct ojson *spec)
{
	static const char *const hooks[] = { "postStart", "preStop" };
	struct ojson *life = ojson_get(container, "lifecycle");
	struct opath lp = opath_child(at, "lifecycle");
	int64_t grace = ojson_get_i64(spec, "terminationGracePeriodSeconds", 30);
	char why[120];

	for (size_t i = 0; i < 2; i++) {
		struct ojson *sleep = OJSON_AT(life, hooks[i], "sleep");
		struct opath hp = opath_child(&lp, hooks[i]), sp = opath_child(&hp, "sleep");
		int64_t n = oget_int(sleep, "seconds");

		(void)snprintf(why, sizeof(why), "must be non-negative and less than terminationGracePeriodSeconds (%lld)", (long long)grace);
		if (sleep && (n < 0 || n > grace))
			ocheck_invalid(c, &sp, ojson_get(sleep, "seconds"), why);
	}
	if (ojson_has(life, "stopSignal") && oget_empty(ojson_get(spec, "os"), "name"))
		ocheck_forbidden_at(c, &lp, "stopSignal", "may not be set for containers with empty `spec.os.name`");
}

static void check_security(struct ocheck *c, const struct opath *at, struct ojson *container, struct ojson *spec)
{
	struct ojson *s = ojson_get(container, "securityContext");
	struct opath p = opath_child(at, "securityContext");

	if (oget_is(s, "procMount", "Unmasked") && (!ojson_has(spec, "hostUsers") || oget_bool(spec, "hostUsers")))
		ocheck_invalid_at(c, &p, s, "procMount", "`hostUsers` must be false to use `Unmasked`");
}

static void check_resizing(struct ocheck *c, const struct opath *at, struct ojson *container, struct ojson *spec)
{
	struct opath p = opath_child(at, "resizePolicy");

	if (!oget_is(spec, "restartPolicy", "Never") || !oget_empty(container, "restartPolicy"))
		return;
	OJSON_FOREACH_ELEM(i, e, ojson_get(container, "resizePolicy"))
		if (oget_is(e, "restartPolicy", "RestartContainer"))
			ocheck_invalid(c, &p, ojson_get(e, "restartPolicy"), "must be 'NotRequired' when `restartPolicy` is 'Never'");
}

/* ---- the pod ---- */

static void check_pod_resources(struct ocheck *c, const struct opath *at, struct ojson *resources)
{
	static const char *const parts[] = { "limits", "requests" };
	static const char *const known[] = { "cpu", "hugepages-", "memory" };

	if (ojson_has(resources, "claims"))
		ocheck_forbidden_at(c, at, "claims", "claims cannot be set for Resources at pod-level");
	for (size_t i = 0; i < 2; i++) {
		struct opath lp = opath_child(at, parts[i]);

		OJSON_FOREACH(it, ojson_get(resources, parts[i])) {
			struct opath p = opath_key(&lp, it.key);
			cleanup_ojson struct ojson *name = NULL;

			if (!strcmp(it.key, "cpu") || !strcmp(it.key, "memory") || !strncmp(it.key, "hugepages-", 10))
				continue;
			name = ojson_new_cstr(it.key);
			if (name == NULL)
				c->lost = true;
			else
				ocheck_not_supported(c, &p, name, known, 3);
		}
	}
}

/* @a grows to @b if that is more. */
static void at_least(struct oquantity *a, const struct oquantity *b)
{
	if (oquantity_cmp(a, b) < 0)
		*a = *b;
}

/* How much of resource @name the containers want, or may have (@part), all together: those that stay at once, others one by one. */
static void sum_containers(struct ojson *spec, const char *part, const char *name, struct oquantity *ret)
{
	struct oquantity init, stay, q;

	oquantity_from_i64(&init, 0, OQUANTITY_DECIMAL);
	stay = *ret = init;
	for (size_t l = 0; l < 2; l++)
		OJSON_FOREACH_ELEM(i, e, ojson_get(spec, container_lists[l])) {
			struct orlop_bytes t = ojson_bytes(OJSON_AT(e, "resources", part, name));
			bool stays = l == 1 && oget_is(e, "restartPolicy", "Always");

			if (t.len == 0 || oquantity_parse(t.p, t.len, &q, NULL))
				oquantity_from_i64(&q, 0, OQUANTITY_DECIMAL);
			else if (oquantity_is_zero(ret))
				ret->format = q.format;
			if (l == 0 || stays)
				(void)oquantity_add(ret, &q);
			if (stays)
				(void)oquantity_add(&stay, &q);
			else if (l == 1)
				(void)oquantity_add(&q, &stay);
			if (l == 1)
				at_least(&init, stays ? &stay : &q);
		}
	at_least(ret, &init);
}

/* Of resources but cpu and memory so many are held against the containers: no machine has as many sizes of pages. */
#define SUMMED_MAX 32

/* What the pod has must do for its containers. */
static void check_sums(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const parts[] = { "requests", "limits" };
	struct ojson *limits = OJSON_AT(spec, "resources", "limits");
	struct opath cp = opath_child(at, "containers");
	struct oquantity has, sum;
	char text[OQUANTITY_BUF], why[OQUANTITY_BUF + 100];

	for (size_t k = 0; k < 2; k++) {
		struct opath lp = opath_child(at, parts[k]);
		unsigned others = 0;

		OJSON_FOREACH(it, OJSON_AT(spec, "resources", parts[k])) {
			struct opath p = opath_key(&lp, it.key);
			struct orlop_bytes t = ojson_bytes(it.value);

			if (strcmp(it.key, "cpu") && strcmp(it.key, "memory") && ++others > SUMMED_MAX)
				continue;
			if ((k == 1 && strncmp(it.key, "hugepages-", 10) != 0) || oquantity_parse(t.p, t.len, &has, NULL))
				continue;
			sum_containers(spec, parts[k], it.key, &sum);
			(void)oquantity_write(&sum, text);
			(void)snprintf(why, sizeof(why), "must be greater than or equal to aggregate container %s of %s", parts[k], text);
			if (oquantity_cmp(&has, &sum) < 0)
				ocheck_invalid(c, &p, it.value, why);
		}
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(spec, "containers")) {
		char index[24];

		(void)snprintf(index, sizeof(index), "%zu", i);
		OJSON_FOREACH(it, OJSON_AT(e, "resources", "limits")) {
			struct opath ip = opath_child(&cp, index), kp = opath_key(&ip, it.key), p = opath_child(&kp, "limits");	/* upstream's name of it */
			struct orlop_bytes t = ojson_bytes(it.value), pod = ojson_bytes(ojson_get(limits, it.key));

			if (pod.len == 0 || oquantity_parse(t.p, t.len, &sum, NULL) || oquantity_parse(pod.p, pod.len, &has, NULL) ||
			    oquantity_cmp(&sum, &has) <= 0)
				continue;
			(void)oquantity_write(&has, text);
			(void)snprintf(why, sizeof(why), "must be less than or equal to pod limits of %s", text);
			ocheck_invalid(c, &p, it.value, why);
		}
	}
}

/* Which namespace a sysctl is of that the pod shares with its node. */
static void check_sysctls(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const ipc[] = { "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue." };
	struct opath sp = opath_child(at, "securityContext"), lp = opath_child(&sp, "sysctls");

	OJSON_FOREACH_ELEM(i, e, OJSON_AT(spec, "securityContext", "sysctls")) {
		struct opath p = opath_index(&lp, i);
		char name[256];
		bool is_ipc = false;

		(void)snprintf(name, sizeof(name), "%s", ojson_get_cstr(e, "name", ""));
		for (char *s = name; strchr(name, '/') && *s; s++)	/* net/core/somaxconn is the same */
			*s = *s == '/' ? '.' : *s;
		for (size_t k = 0; k < 4; k++)
			is_ipc = is_ipc || !strncmp(name, ipc[k], strlen(ipc[k]));
		if (oget_bool(spec, "hostNetwork") && !strncmp(name, "net.", 4))
			ocheck_invalid_at(c, &p, e, "name", "may not be specified when 'hostNetwork' is true");
		if (oget_bool(spec, "hostIPC") && is_ipc)
			ocheck_invalid_at(c, &p, e, "name", "may not be specified when 'hostIPC' is true");
	}
}

static void forbid_all(struct ocheck *c, const struct opath *at, struct ojson *v, const char *const *names, const char *why)
{
	for (; *names; names++)
		if (ojson_has(v, *names))
			ocheck_forbidden_at(c, at, *names, why);
}

static void check_system(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char no[] = "cannot be set for a windows pod", no_windows[] = "windows options cannot be set for a linux pod";
	static const char *const of_pod[] = { "hostUsers", "shareProcessNamespace", NULL };
	static const char *const of_pods[] = { "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
		"runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy", NULL };
	static const char *const of_containers[] = { "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
		"privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup", NULL };
	static const char *const of_windows[] = { "windowsOptions", NULL };
	bool windows = oget_is(ojson_get(spec, "os"), "name", "windows"), linux_ = oget_is(ojson_get(spec, "os"), "name", "linux");
	struct opath sp = opath_child(at, "securityContext");

	if (!windows && !linux_)
		return;
	if (windows) {
		forbid_all(c, at, spec, of_pod, no);
		if (oget_bool(spec, "hostPID"))
			ocheck_forbidden_at(c, at, "hostPID", no);
		if (oget_bool(spec, "hostIPC"))
			ocheck_forbidden_at(c, at, "hostIPC", no);
	}
	forbid_all(c, &sp, ojson_get(spec, "securityContext"), windows ? of_pods : of_windows, windows ? no : no_windows);
	for (size_t l = 0; l < N_LISTS; l++) {
		struct opath lp = opath_child(at, container_lists[l]);

		OJSON_FOREACH_ELEM(i, e, ojson_get(spec, container_lists[l])) {
			struct opath p = opath_index(&lp, i), cp = opath_child(&p, "securityContext");

			forbid_all(c, &cp, ojson_get(e, "securityContext"), windows ? of_containers : of_windows, windows ? no : no_windows);
		}
	}
}

void ocheck_pod_rules(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct opath volumes = opath_child(at, "volumes"), claims = opath_child(at, "resourceClaims"), resources = opath_child(at, "resources");
	cleanup_oseen struct oseen all, blocks, known;

	oseen_init(&all, &c->lost);
	oseen_init(&blocks, &c->lost);
	oseen_init(&known, &c->lost);
	OJSON_FOREACH_ELEM(i, v, ojson_get(spec, "volumes")) {
		(void)oseen(&all, ojson_get(v, "name"), NULL);
		if (ojson_has(v, "persistentVolumeClaim") || ojson_has(v, "ephemeral"))
			(void)oseen(&blocks, ojson_get(v, "name"), NULL);
	}
	OJSON_FOREACH_ELEM(k, e, ojson_get(spec, "resourceClaims"))
		(void)oseen(&known, ojson_get(e, "name"), NULL);
	check_volumes(c, &volumes, ojson_get(spec, "volumes"));
	check_claims(c, &claims, ojson_get(spec, "resourceClaims"));
	for (size_t l = 0; l < N_LISTS; l++) {
		struct opath lp = opath_child(at, container_lists[l]);

		OJSON_FOREACH_ELEM(i, e, ojson_get(spec, container_lists[l])) {
			struct opath p = opath_index(&lp, i), rp = opath_child(&p, "resources"), cp = opath_child(&rp, "claims");

			check_devices(c, &p, e, &all, &blocks);
			check_claimed(c, &cp, OJSON_AT(e, "resources", "claims"), &known);
			check_ending(c, &p, e, spec);
			check_security(c, &p, e, spec);
			check_resizing(c, &p, e, spec);
		}
	}
	if (ojson_has(spec, "hostnameOverride") && oget_bool(spec, "hostNetwork"))
		ocheck_forbidden_at(c, at, "hostnameOverride", "may not be set when `hostNetwork` is true");
	if (ojson_has(spec, "hostnameOverride") && oget_bool(spec, "setHostnameAsFQDN"))
		ocheck_forbidden_at(c, at, "hostnameOverride", "may not be set when `setHostnameAsFQDN` is true");
	check_pod_resources(c, &resources, ojson_get(spec, "resources"));
	check_sums(c, &resources, spec);
	check_sysctls(c, at, spec);
	check_system(c, at, spec);
}
