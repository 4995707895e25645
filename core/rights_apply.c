/*
 * rights_apply.c - enforcing a module's rights on this process: limits, Landlock, capabilities, user.
 *
 * In two halves, because the core of the process must make threads and connect to its parent between
 * them: Landlock and capabilities belong to a thread and are inherited by those it starts, so they
 * come first; user and filter can be set for all threads later, and would be in the way before.
 */
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0	/* 1: shadow memory is no memory */
#endif

#define NOFILE_MAX	65536u
#define NPROC_MAX	1024u

/* ---- Landlock: linux/landlock.h, which older headers do not have ------------------------------------- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif

struct ll_ruleset {
	uint64_t	fs;
	uint64_t	net;
	uint64_t	scoped;		/* ABI 6 */
};

struct ll_path {
	uint64_t	access;
	int32_t		fd;
} __attribute__((packed));

#define LL_EXECUTE	(1u << 0)
#define LL_WRITE_FILE	(1u << 1)
#define LL_READ_FILE	(1u << 2)
#define LL_READ_DIR	(1u << 3)
#define LL_TRUNCATE	(1u << 14)	/* ABI 3 */
#define LL_IOCTL_DEV	(1u << 15)	/* ABI 5 */
#define LL_FILE		(LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV)
#define LL_SCOPE_ABSTRACT	1u
#define LL_SCOPE_SIGNAL		2u

/* What a process needs to run at all, and to look up names; nothing of it is secret. */
static const char *const always[] = {
	"/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime",
	"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/proc/self", "/proc/cpuinfo",
	"/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg", "/proc/sys/kernel", "/proc/sys/vm",
	"/sys/devices/system/cpu", NULL
};
static const char *const for_net[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
	"/etc/services", "/etc/protocols", "/etc/ssl", "/run/systemd/resolve", "/proc/sys/net", NULL
};

static uint64_t ll_known(long abi)
{
	return abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi >= 2 ? 0x3fff : 0x1fff;
}

/* What is not there needs no rule. */
static int ll_allow(int set, uint64_t known, const char *path, bool write, bool exec)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	struct ll_path rule = { .access = LL_READ_FILE | LL_READ_DIR };
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (exec)
		rule.access |= LL_EXECUTE;
	if (write)
		rule.access = known & ~(uint64_t)(exec ? 0 : LL_EXECUTE);
	if (!S_ISDIR(st.st_mode))
		rule.access &= LL_FILE;
	if (S_ISCHR(st.st_mode))
		rule.access |= LL_WRITE_FILE | LL_IOCTL_DEV;
	rule.access &= known;
	rule.fd = fd;
	if (syscall(SYS_landlock_add_rule, set, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0) < 0)
		return -errno;
	return 0;
}

/* The path of an entry of files=; 0 also for one that names nothing (*ret NULL). */
static int file_path(const struct core_rights_file *f, const struct core_rights_world *w, char **ret,
		     struct orlop_error *err)
{
	const char *rest = f->p;
	const char *end = f->p + f->len;
	const char *value = "";
	bool up = f->len > 3 && memcmp(end - 3, "/..", 3) == 0;
	char *path;

	*ret = NULL;
	if (up)
		end -= 3;
	if (*rest == '$') {
		const char *name = rest + 1;
		int len;

		for (rest = name; rest < end && *rest != '/' && *rest != '='; rest++)
			;
		len = (int)(rest - name);
		value = w->param ? w->param(w->arg, name, (uint32_t)len) : NULL;
		if (value && value[0] && value[0] != '/')
			return orlop_fail(err, EINVAL, 0, "", "parameter %.*s: \"%.100s\" is not an absolute "
					  "path, which an isolated module needs", len, name, value);
		if (value && value[0])
			rest = rest < end && *rest == '=' ? end : rest;
		else if (rest < end && *rest == '=')
			value = "", rest++;
		else
			return 0;	/* not given: nothing to see */
	}
	path = omem_printf("%s%.*s", value, (int)(end - rest), rest);
	if (!path)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (up && strrchr(path, '/') && strrchr(path, '/') != path)
		*strrchr(path, '/') = '\0';
	*ret = path;
	return 0;
}

static int ll_files(int set, uint64_t known, const struct core_rights *r, const struct core_rights_world *w,
		    struct orlop_error *err)
{
	int e;

	for (uint32_t i = 0; i < r->n_files; i++) {
		cleanup_free char *path = NULL;

		e = file_path(&r->files[i], w, &path, err);
		if (e)
			return e;
		if (!path)
			continue;
		/* What it may write it may make; only that can be allowed which is there. */
		if (r->files[i].write && access(path, F_OK) < 0)
			(void)ofile_mkdir_p(path, 0700);
		e = ll_allow(set, known, path, r->files[i].write, r->exec);
		if (e)
			return orlop_fail(err, -e, 0, "", "allow %s: %s", path, strerrordesc_np(-e));
	}
	for (uint32_t i = 0; w->extra && w->extra[i]; i++)
		(void)ll_allow(set, known, w->extra[i], false, false);
	for (uint32_t i = 0; always[i]; i++)
		(void)ll_allow(set, known, always[i], false, r->exec);
	for (uint32_t i = 0; r->net & (CORE_NET_INET | CORE_NET_ALL) && for_net[i]; i++)
		(void)ll_allow(set, known, for_net[i], false, false);
	return 0;
}

/* 0, -ENOSYS (a kernel without), -errno with @err. */
static int landlock(const struct core_rights *r, const struct core_rights_world *w, struct orlop_error *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
	struct ll_ruleset rs = { .fs = 0 };
	cleanup_close int set = -1;
	size_t size = abi >= 6 ? sizeof(rs) : sizeof(rs.fs);
	int e;

	if (abi < 1)
		return -ENOSYS;
	rs.fs = ll_known(abi);
	if (abi >= 6)
		rs.scoped = LL_SCOPE_SIGNAL | (r->net ? 0 : LL_SCOPE_ABSTRACT);
	set = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
	if (set < 0)
		return errno == EOPNOTSUPP ? -ENOSYS :
			orlop_fail(err, errno, 0, "", "landlock: %s", strerrordesc_np(errno));
	e = ll_files(set, rs.fs, r, w, err);
	if (e)
		return e;
	if (syscall(SYS_landlock_restrict_self, set, 0) < 0)
		return orlop_fail(err, errno, 0, "", "landlock: %s", strerrordesc_np(errno));
	return 0;
}

/* ---- capabilities, limits, user ------------------------------------------------------------------------ */

static int cap_set(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = (uint32_t)effective, .permitted = (uint32_t)permitted },
		{ .effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32) },
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static uint64_t cap_have(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	memset(d, 0, sizeof(d));
	if (syscall(SYS_capget, &h, d) < 0)
		return 0;
	return d[0].permitted | (uint64_t)d[1].permitted << 32;
}

/* What is kept until core_rights_leave(): changing the user and (without exec) the filter need it. */
static uint64_t cap_until_leave(const struct core_rights *r)
{
	return r->uid != CORE_RIGHTS_UID_KEEP ? UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID : 0;
}

static int caps_enter(const struct core_rights *r, struct orlop_error *err)
{
	uint64_t keep = r->caps | cap_until_leave(r);
	uint64_t have = cap_have();
	int e;

	if (r->all_caps || !have)
		return 0;
	if (have & UINT64_C(1) << CAP_SETPCAP)
		for (uint32_t i = 0; i < 64; i++)
			if (!(r->caps >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno == EINVAL)
				break;		/* beyond the kernel's last */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	e = cap_set(keep & have, keep & have);
	if (e)
		return orlop_fail(err, -e, 0, "", "drop capabilities: %s", strerrordesc_np(-e));
	return 0;
}

static void limits(const struct core_rights *r)
{
	struct rlimit lim;

	/* Its programs would inherit them, and what they run. */
	if (r->exec)
		return;
	lim.rlim_cur = lim.rlim_max = r->memory_bytes;
	if (!SANITIZED)
		(void)setrlimit(RLIMIT_DATA, &lim);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		if (lim.rlim_max > NOFILE_MAX)
			lim.rlim_max = NOFILE_MAX;
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (r->uid != CORE_RIGHTS_UID_KEEP) {
		lim.rlim_cur = lim.rlim_max = NPROC_MAX;
		(void)setrlimit(RLIMIT_NPROC, &lim);
	}
}

void core_rights_user(struct core_rights *r)
{
	FILE *f = r->uid == CORE_RIGHTS_NOBODY ? fopen("/etc/passwd", "re") : NULL;
	char line[512];

	/* not getpwnam(): it loads whatever nsswitch.conf names */
	while (f && fgets(line, sizeof(line), f)) {
		const char *uid = strncmp(line, "orlop:", 6) ? NULL : strchr(line + 6, ':');
		unsigned long n = uid ? strtoul(uid + 1, NULL, 10) : 0;

		if (n && n < CORE_RIGHTS_NOBODY)
			r->uid = (uint32_t)n;
	}
	if (f)
		(void)fclose(f);
}

int core_rights_enter(const struct core_rights *r, const struct core_rights_world *w,
		      const char **ret_weak, struct orlop_error *err)
{
	int e;

	*ret_weak = NULL;
	limits(r);
	if (!r->exec && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return orlop_fail(err, errno, 0, "", "no_new_privs: %s", strerrordesc_np(errno));
	if (!r->all_files) {
		e = landlock(r, w, err);
		if (e == -ENOSYS)
			*ret_weak = "files: this kernel has no Landlock";
		else if (e)
			return e;
	}
	return caps_enter(r, err);
}

int core_rights_leave(const struct core_rights *r, struct orlop_error *err)
{
	int e;

	if (r->uid != CORE_RIGHTS_UID_KEEP && geteuid() == 0) {
		/* The library's wrappers change all threads. Leaving 0 drops capabilities in each. */
		if (setgroups(0, NULL) < 0 || setresgid(r->uid, r->uid, r->uid) < 0 ||
		    setresuid(r->uid, r->uid, r->uid) < 0)
			return orlop_fail(err, errno, 0, "", "become user %u: %s", r->uid, strerrordesc_np(errno));
		/* /proc/self would belong to root, and a core dump be refused. */
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	if (r->exec)
		return 0;
	e = core_rights_filter(r);
	if (e)
		return orlop_fail(err, -e, 0, "", "system-call filter: %s", strerrordesc_np(-e));
	return 0;
}
