/*
 * spec-linux.c - the part of a container's configuration that is Linux: mounts, namespaces, limits,
 * devices, hidden paths. Defaults are those of CRI engines. Pure.
 * Sources: OCI runtime-spec config.md, config-linux.md; CRI api.
 */
#include "spec.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

static const char fixed_mounts[] =
	"[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]}]";

static const char *const masked[] = {
	"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
	"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
};
static const char *const readonly[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static struct ojson *text_array(const char *const *v, size_t n)
{
	struct ojson *a = ojson_new_array();
	size_t i;

	for (i = 0; a && i < n; i++)
		(void)ojson_append_cstr(a, v[i]);
	return a;
}

static struct ojson *mount_new(const char *dest, const char *type, const char *source)
{
	struct ojson *m = ojson_new_object();

	if (!m)
		return NULL;
	(void)ojson_set_cstr(m, "destination", dest);
	(void)ojson_set_cstr(m, "type", type);
	(void)ojson_set_cstr(m, "source", source);
	(void)ojson_ensure_array(m, "options");
	return m;
}

static void option(struct ojson *mount, const char *opt)
{
	(void)ojson_append_cstr(ojson_ensure_array(mount, "options"), opt);
}

static bool mounts_at(const struct ojson *list, const char *key, const char *path)
{
	OJSON_FOREACH_ELEM(i, m, list) {
		if (!strcmp(ojson_get_cstr(m, key, ""), path))
			return true;
	}
	return false;
}

int spec_mounts(const struct spec_input *in, bool privileged, struct ojson *spec,
		      struct orlop_error *err)
{
	const struct ojson *wanted = ojson_get(in->container, "mounts");
	struct ojson *mounts = NULL;
	struct ojson *m;

	if (ojson_parse(fixed_mounts, sizeof(fixed_mounts) - 1, &mounts, NULL))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	m = mount_new("/sys", "sysfs", "sysfs");
	option(m, "nosuid");
	option(m, "noexec");
	option(m, "nodev");
	option(m, privileged ? "rw" : "ro");
	(void)ojson_append(mounts, m);
	m = mount_new("/sys/fs/cgroup", "cgroup", "cgroup");
	option(m, "nosuid");
	option(m, "noexec");
	option(m, "nodev");
	option(m, "relatime");
	option(m, privileged ? "rw" : "ro");
	(void)ojson_append(mounts, m);
	if (!mounts_at(wanted, "containerPath", "/dev/shm")) {
		if (in->shm_path) {
			m = mount_new("/dev/shm", "bind", in->shm_path);
			option(m, "rbind");
			option(m, "rw");
		} else {
			m = mount_new("/dev/shm", "tmpfs", "shm");
			option(m, "nosuid");
			option(m, "noexec");
			option(m, "nodev");
			option(m, "mode=1777");
			option(m, "size=65536k");
		}
		(void)ojson_append(mounts, m);
	}
	OJSON_FOREACH_ELEM(i, w, wanted) {
		const char *dest = ojson_get_cstr(w, "containerPath", "");
		const char *src = ojson_get_cstr(w, "hostPath", "");
		const char *prop = ojson_get_cstr(w, "propagation", "PROPAGATION_PRIVATE");

		if (dest[0] != '/' || src[0] != '/') {
			ojson_unref(mounts);
			return orlop_fail(err, EINVAL, 0, "", "mount of \"%s\" at \"%s\": both must be absolute paths",
					  src, dest);
		}
		m = mount_new(dest, "bind", src);
		option(m, "rbind");
		option(m, !strcmp(prop, "PROPAGATION_BIDIRECTIONAL") ? "rshared"
			  : !strcmp(prop, "PROPAGATION_HOST_TO_CONTAINER") ? "rslave" : "rprivate");
		option(m, !ojson_get_bool(w, "readonly", false) ? "rw"
			  : ojson_get_bool(w, "recursiveReadOnly", false) ? "rro" : "ro");
		if (ojson_get_bool(w, "noexec", false))
			option(m, "noexec");
		if (in->userns && (ojson_count(ojson_get(w, "uidMappings")) || ojson_count(ojson_get(w, "gidMappings")))) {
			if (!in->is_crun) {
				ojson_unref(m);
				ojson_unref(mounts);
				return orlop_fail(err, ENOTSUP, 0, "", "mount at \"%s\": this OCI runtime cannot map its owners (needs crun)",
						  dest);
			}
			option(m, "idmap");
		}
		(void)ojson_append(mounts, m);
	}
	return ojson_set(spec, "mounts", mounts);
}

static void namespace_add(struct ojson *list, const char *type, const char *path)
{
	struct ojson *n = ojson_new_object();

	if (!n)
		return;
	(void)ojson_set_cstr(n, "type", type);
	if (path)
		(void)ojson_set_cstr(n, "path", path);
	(void)ojson_append(list, n);
}

static void copy_i64(struct ojson *to, const char *to_key, const struct ojson *from, const char *key)
{
	int64_t v = cri_i64(from, key, 0);

	if (v)
		(void)ojson_set_i64(to, to_key, v);
}

/* A device of linux.devices may be used as CRI's permissions say (kept beside it as "access"). */
static void device_allow(struct ojson *list, const struct ojson *device)
{
	static const char *const keys[] = { "type", "major", "minor", "access" };
	struct ojson *rule = ojson_new_object();
	size_t i;

	if (!rule)
		return;
	(void)ojson_set_bool(rule, "allow", true);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		(void)ojson_set(rule, keys[i], ojson_ref(ojson_get(device, keys[i])));
	(void)ojson_append(list, rule);
}

/* containerID, hostID, size of each range. */
static void put_id_maps(const struct ojson *options, const char *from, struct ojson *l, const char *to)
{
	struct ojson *list = ojson_ensure_array(l, to);

	OJSON_FOREACH_ELEM(i, m, ojson_get(options, from)) {
		struct ojson *one = ojson_new_object();

		if (!one)
			break;
		(void)ojson_set_i64(one, "containerID", cri_i64(m, "containerId", 0));
		(void)ojson_set_i64(one, "hostID", cri_i64(m, "hostId", 0));
		(void)ojson_set_i64(one, "size", cri_i64(m, "length", 0));
		(void)ojson_append(list, one);
	}
}

static void put_resources(const struct spec_input *in, bool privileged, struct ojson *l)
{
	const struct ojson *want = OJSON_AT(in->container, "linux", "resources");
	struct ojson *res = ojson_ensure_object(l, "resources");
	struct ojson *mem = ojson_ensure_object(res, "memory");
	struct ojson *cpu = ojson_ensure_object(res, "cpu");
	struct ojson *dev = ojson_ensure_array(res, "devices");
	struct ojson *all = ojson_new_object();
	const struct ojson *unified = ojson_get_object(want, "unified");

	copy_i64(mem, "limit", want, "memoryLimitInBytes");
	copy_i64(mem, "swap", want, "memorySwapLimitInBytes");
	copy_i64(cpu, "shares", want, "cpuShares");
	copy_i64(cpu, "quota", want, "cpuQuota");
	copy_i64(cpu, "period", want, "cpuPeriod");
	if (*ojson_get_cstr(want, "cpusetCpus", ""))
		(void)ojson_set_cstr(cpu, "cpus", ojson_get_cstr(want, "cpusetCpus", ""));
	if (*ojson_get_cstr(want, "cpusetMems", ""))
		(void)ojson_set_cstr(cpu, "mems", ojson_get_cstr(want, "cpusetMems", ""));
	OJSON_FOREACH_ELEM(i, h, in->hugetlb ? ojson_get(want, "hugepageLimits") : NULL) {
		struct ojson *page = ojson_new_object();

		if (!page)
			break;
		(void)ojson_set_cstr(page, "pageSize", ojson_get_cstr(h, "pageSize", ""));
		(void)ojson_set_i64(page, "limit", cri_i64(h, "limit", 0));
		(void)ojson_append(ojson_ensure_array(res, "hugepageLimits"), page);
	}
	if (in->cgroup_v2 && unified)
		(void)ojson_set(res, "unified", ojson_ref((struct ojson *)(uintptr_t)unified));
	if (all) {
		(void)ojson_set_bool(all, "allow", privileged);
		(void)ojson_set_cstr(all, "access", "rwm");
		(void)ojson_append(dev, all);
	}
	OJSON_FOREACH_ELEM(k, d, privileged ? NULL : in->devices)
		device_allow(dev, d);
}

/* The OCI runtime wants them without our "access". */
static void put_devices(const struct ojson *devices, struct ojson *l)
{
	struct ojson *list = ojson_ensure_array(l, "devices");

	OJSON_FOREACH_ELEM(i, d, devices) {
		struct ojson *one = NULL;

		if (ojson_copy(d, &one))
			break;
		ojson_del(one, "access");
		(void)ojson_append(list, one);
	}
}

static void put_paths(const struct ojson *sc, const char *key, const char *cri_key,
		      const char *const *def, size_t n, struct ojson *l)
{
	struct ojson *given = ojson_get_array(sc, cri_key);

	(void)ojson_set(l, key, given ? ojson_ref(given) : text_array(def, n));
}

void spec_linux(const struct spec_input *in, const struct ojson *sc, bool privileged,
		      struct ojson *spec)
{
	struct ojson *l = ojson_ensure_object(spec, "linux");
	struct ojson *ns = ojson_ensure_array(l, "namespaces");
	const struct ojson *opts = ojson_get(sc, "namespaceOptions");
	const struct ojson *sysctls = OJSON_AT(in->sandbox, "linux", "sysctls");

	namespace_add(ns, "mount", NULL);
	if (in->pidns)
		namespace_add(ns, "pid", in->pidns);
	else if (strcmp(ojson_get_cstr(opts, "pid", "POD"), "NODE") != 0)
		namespace_add(ns, "pid", NULL);
	if (in->userns) {
		namespace_add(ns, "user", in->userns);
		put_id_maps(in->userns_options, "uids", l, "uidMappings");
		put_id_maps(in->userns_options, "gids", l, "gidMappings");
	}
	if (in->netns)
		namespace_add(ns, "network", in->netns);
	if (in->ipcns)
		namespace_add(ns, "ipc", in->ipcns);
	if (in->utsns)
		namespace_add(ns, "uts", in->utsns);
	if (in->cgroup_v2)
		namespace_add(ns, "cgroup", NULL);
	(void)ojson_set_cstr(l, "cgroupsPath", in->cgroup_path);
	put_resources(in, privileged, l);
	if (ojson_count(in->devices))
		put_devices(in->devices, l);
	if (ojson_count(sysctls))
		(void)ojson_set(l, "sysctl", ojson_ref((struct ojson *)(uintptr_t)sysctls));
	if (!privileged) {
		put_paths(sc, "maskedPaths", "maskedPaths", masked, sizeof(masked) / sizeof(masked[0]), l);
		put_paths(sc, "readonlyPaths", "readonlyPaths", readonly,
			  sizeof(readonly) / sizeof(readonly[0]), l);
	}
}

