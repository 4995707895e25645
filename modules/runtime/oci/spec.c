/*
 * spec.c - the OCI runtime configuration of a container: image, CRI request and pod made one.
 * Here the process (command, environment, capabilities); spec-linux.c has the rest.
 *
 * Pure: no files, no system. Defaults are those of CRI engines (containerd, CRI-O): capabilities,
 * masked and read-only paths, mounts. Sources: OCI runtime-spec config.md, config-linux.md; CRI api.
 */
#include "spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

static const char *const default_caps[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
};

/* By number: linux/capability.h. */
static const char *const all_caps[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};
#define N_CAPS		(sizeof(all_caps) / sizeof(all_caps[0]))

static int cap_number(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < N_CAPS; i++) {
		const char *c = all_caps[i];

		if ((strlen(c) == len && !memcmp(c, name, len)) ||
		    (strlen(c) == len + 4 && !memcmp(c + 4, name, len)))
			return (int)i;
	}
	return -1;
}

static uint64_t cap_list(const struct ojson *list, uint64_t all)
{
	uint64_t set = 0;

	OJSON_FOREACH_ELEM(i, e, list) {
		size_t len = 0;
		const char *name = ojson_string(e, &len);
		int n;

		if (name && len == 3 && !memcmp(name, "ALL", 3))
			return all;
		n = name ? cap_number(name, len) : -1;
		if (n >= 0)
			set |= 1ull << n;
	}
	return set;
}

static struct ojson *cap_names(uint64_t set)
{
	struct ojson *a = ojson_new_array();
	size_t i;

	for (i = 0; a && i < N_CAPS; i++)
		if (set & (1ull << i))
			(void)ojson_append_cstr(a, all_caps[i]);
	return a;
}

static void put_caps(const struct spec_input *in, const struct ojson *sc, bool privileged,
		     struct ojson *process)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	const struct ojson *want = ojson_get(sc, "capabilities");
	struct ojson *caps = ojson_ensure_object(process, "capabilities");
	uint64_t set = 0;
	uint64_t given;
	uint64_t ambient;
	size_t i;

	for (i = 0; i < sizeof(default_caps) / sizeof(default_caps[0]); i++)
		set |= 1ull << cap_number(default_caps[i], strlen(default_caps[i]));
	set |= cap_list(ojson_get(want, "addCapabilities"), in->caps);
	set &= ~cap_list(ojson_get(want, "dropCapabilities"), ~0ull);
	/* ALL dropped, some added: the added ones stay */
	given = cap_list(ojson_get(want, "addCapabilities"), in->caps);
	set |= given;
	if (privileged)
		set = in->caps;
	set &= in->caps;
	ambient = cap_list(ojson_get(want, "addAmbientCapabilities"), in->caps) & set;
	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		/* a user other than root starts with none but what it may gain by exec */
		(void)ojson_set(caps, sets[i], cap_names(i && in->uid ? ambient : set));
	if (ambient) {
		(void)ojson_set(caps, "inheritable", cap_names(ambient));
		(void)ojson_set(caps, "ambient", cap_names(ambient));
	}
}

static bool env_has(const struct ojson *env, const char *key, size_t len)
{
	OJSON_FOREACH_ELEM(i, e, env) {
		size_t n = 0;
		const char *s = ojson_string(e, &n);

		if (s && n > len && s[len] == '=' && !memcmp(s, key, len))
			return true;
	}
	return false;
}

/* Set KEY=VALUE, replacing an earlier one. */
static void env_put(struct ojson *env, const char *key, const char *value, size_t value_len)
{
	struct obuf b = OBUF_INIT;
	size_t len = strlen(key);
	size_t at = ojson_count(env);

	OJSON_FOREACH_ELEM(i, e, env) {
		size_t n = 0;
		const char *s = ojson_string(e, &n);

		if (s && n > len && s[len] == '=' && !memcmp(s, key, len)) {
			at = i;
			break;
		}
	}
	obuf_printf(&b, "%s=", key);
	obuf_append(&b, value, value_len);
	if (!obuf_err(&b)) {
		if (at < ojson_count(env))
			(void)ojson_replace(env, at, ojson_new_string(b.data, b.len));
		else
			(void)ojson_append(env, ojson_new_string(b.data, b.len));
	}
	obuf_done(&b);
}

static void put_env(const struct spec_input *in, struct ojson *process, bool tty)
{
	const struct ojson *image_env = OJSON_AT(in->image, "config", "Env");
	const char *hostname = ojson_get_cstr(in->sandbox, "hostname", "");
	struct ojson *env = ojson_ensure_array(process, "env");

	OJSON_FOREACH_ELEM(i, e, image_env)
		(void)ojson_append(env, ojson_ref(e));
	if (!env_has(env, "PATH", 4))
		(void)ojson_append_cstr(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (tty && !env_has(env, "TERM", 4))
		(void)ojson_append_cstr(env, "TERM=xterm");
	if (*hostname)
		env_put(env, "HOSTNAME", hostname, strlen(hostname));
	if (!env_has(env, "HOME", 4)) {
		const char *home = in->home && *in->home ? in->home : "/";

		env_put(env, "HOME", home, strlen(home));
	}
	OJSON_FOREACH_ELEM(k, e, ojson_get(in->container, "envs")) {
		struct orlop_bytes v = ojson_get_bytes(e, "value");

		env_put(env, ojson_get_cstr(e, "key", ""), v.p ? v.p : "", v.len);
	}
}

/* Command and arguments: the container's win over the image's as Kubernetes documents it. */
static int put_args(const struct spec_input *in, struct ojson *process, struct orlop_error *err)
{
	const struct ojson *command = ojson_get(in->container, "command");
	const struct ojson *args = ojson_get(in->container, "args");
	const struct ojson *image = ojson_get(in->image, "config");
	struct ojson *out = ojson_ensure_array(process, "args");

	if (!ojson_count(command)) {
		command = ojson_get(image, "Entrypoint");
		if (!ojson_count(args))
			args = ojson_get(image, "Cmd");
	}
	OJSON_FOREACH_ELEM(i, e, command)
		(void)ojson_append(out, ojson_ref(e));
	OJSON_FOREACH_ELEM(k, e, args)
		(void)ojson_append(out, ojson_ref(e));
	if (!ojson_count(out))
		return orlop_fail(err, EINVAL, 0, "", "container %s: no command specified",
				  ojson_cstr(OJSON_AT(in->container, "metadata", "name"), ""));
	return 0;
}

static int put_process(const struct spec_input *in, const struct ojson *sc, bool privileged,
		       struct ojson *spec, struct orlop_error *err)
{
	struct ojson *p = ojson_ensure_object(spec, "process");
	bool tty = ojson_get_bool(in->container, "tty", false);
	const char *cwd = ojson_get_cstr(in->container, "workingDir", "");
	const struct ojson *res = OJSON_AT(in->container, "linux", "resources");
	struct ojson *user = ojson_ensure_object(p, "user");
	int e;

	if (!*cwd)
		cwd = ojson_cstr(OJSON_AT(in->image, "config", "WorkingDir"), "");
	(void)ojson_set_bool(p, "terminal", tty);
	(void)ojson_set_i64(user, "uid", in->uid);
	(void)ojson_set_i64(user, "gid", in->gid);
	if (in->n_groups) {
		struct ojson *g = ojson_ensure_array(user, "additionalGids");
		uint32_t i;

		for (i = 0; i < in->n_groups; i++)
			(void)ojson_append(g, ojson_new_i64(in->groups[i]));
	}
	e = put_args(in, p, err);
	if (e)
		return e;
	put_env(in, p, tty);
	(void)ojson_set_cstr(p, "cwd", *cwd ? cwd : "/");
	put_caps(in, sc, privileged, p);
	(void)ojson_set_bool(p, "noNewPrivileges", ojson_get_bool(sc, "noNewPrivs", false));
	if (in->apparmor && !privileged)
		(void)ojson_set_cstr(p, "apparmorProfile", in->apparmor);
	if (ojson_get(res, "oomScoreAdj")) {
		int64_t adj = cri_i64(res, "oomScoreAdj", 0);

		/* lowering it below one's own needs CAP_SYS_RESOURCE: then as low as may be */
		(void)ojson_set_i64(p, "oomScoreAdj", adj < in->oom_min ? in->oom_min : adj);
	}
	return 0;
}

int spec_make(const struct spec_input *in, struct ojson **ret, struct orlop_error *err)
{
	struct ojson *spec = ojson_new_object();
	const struct ojson *sc = OJSON_AT(in->container, "linux", "securityContext");
	bool privileged = ojson_get_bool(sc, "privileged", false);
	struct ojson *seccomp = NULL;
	struct ojson *root;
	int e;

	if (!spec)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	(void)ojson_set_cstr(spec, "ociVersion", "1.0.2");
	e = put_process(in, sc, privileged, spec, err);
	if (!e)
		e = spec_mounts(in, privileged, spec, err);
	if (e) {
		ojson_unref(spec);
		return e;
	}
	root = ojson_ensure_object(spec, "root");
	(void)ojson_set_cstr(root, "path", "rootfs");
	(void)ojson_set_bool(root, "readonly", ojson_get_bool(sc, "readonlyRootfs", false));
	spec_linux(in, sc, privileged, spec);
	e = privileged ? 0 : seccomp_make(in->seccomp, in->seccomp_profile, OJSON_AT(spec, "process", "capabilities", "bounding"),
					  &seccomp, err);
	if (e) {
		ojson_unref(spec);
		return e;
	}
	if (seccomp)
		(void)ojson_set(ojson_ensure_object(spec, "linux"), "seccomp", seccomp);
	*ret = spec;
	return 0;
}

int spec_exec(const struct ojson *process, const struct ojson *cmd, bool tty, struct ojson **ret)
{
	struct ojson *p = NULL;
	struct ojson *args;
	int e = ojson_copy(process, &p);

	if (e)
		return e;
	ojson_del(p, "args");
	ojson_del(p, "oomScoreAdj");
	args = ojson_ensure_array(p, "args");
	OJSON_FOREACH_ELEM(i, a, cmd)
		(void)ojson_append(args, ojson_ref(a));
	(void)ojson_set_bool(p, "terminal", tty);
	if (tty && !env_has(ojson_get(p, "env"), "TERM", 4))
		(void)ojson_append_cstr(ojson_ensure_array(p, "env"), "TERM=xterm");
	*ret = p;
	return 0;
}
