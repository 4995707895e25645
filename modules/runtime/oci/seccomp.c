/*
 * seccomp.c - which system calls a container may make: RuntimeDefault, or a profile from a file.
 *
 * RuntimeDefault is a list of our own: every system call of the kernel's tables
 * (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h, to Linux 6.8) but those that act on
 * the machine rather than on the caller, which come with the capability that they need; and those
 * that nobody in a container needs (keyrings, kexec, swap, modules, io_uring, userfaultfd). What is
 * not in the list fails with EPERM; clone3 with ENOSYS, so that libraries fall back to clone, whose
 * flags can be looked at. Localhost profiles are written as for Docker: includes and excludes are
 * decided here, for the OCI runtime knows none.
 * Pure: no files. Sources: OCI runtime-spec config-linux.md; man 7 capabilities; seccomp(2).
 */
#include "spec.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#if defined(__x86_64__)
#define ARCH_NAME	"amd64"
static const char *const arches[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
#elif defined(__aarch64__)
#define ARCH_NAME	"arm64"
static const char *const arches[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" };
#else
#define ARCH_NAME	""
static const char *const arches[] = { "" };
#endif
#define N(a)		(sizeof(a) / sizeof((a)[0]))

static const char *const allowed[] = {
	"_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl",
	"bind", "brk", "cachestat", "capget", "capset", "chdir", "chmod", "chown", "chown32",
	"clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
	"clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range",
	"connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create",
	"epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group",
	"faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark",
	"fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl",
	"fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr",
	"fsetxattr", "fstat", "fstat64", "fstatat", "fstatat64", "fstatfs", "fstatfs64", "fsync",
	"ftruncate", "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait",
	"futex_waitv", "futex_wake", "futimesat", "get_robust_list", "get_thread_area", "getcpu",
	"getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32",
	"getgid", "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid",
	"getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32",
	"getresuid", "getresuid32", "getrlimit", "getrusage", "getsid", "getsockname",
	"getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel",
	"io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
	"io_submit", "ioctl", "ioprio_get", "ioprio_set", "ipc", "kill", "landlock_add_rule",
	"landlock_create_ruleset", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr",
	"link", "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr",
	"llseek", "lremovexattr", "lseek", "lsetxattr", "lsm_get_self_attr", "lsm_list_modules",
	"lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create",
	"memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2",
	"mlockall", "mmap", "mmap2", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify",
	"mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
	"mq_timedsend_time64", "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv",
	"msgsnd", "msync", "munlock", "munlockall", "munmap", "name_to_handle_at", "nanosleep",
	"newfstatat", "nice", "oldfstat", "oldlstat", "oldolduname", "oldstat", "olduname", "open",
	"openat", "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2",
	"pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl",
	"pread64", "preadv", "preadv2", "prlimit64", "process_mrelease", "process_vm_readv",
	"process_vm_writev", "pselect6", "pselect6_time64", "ptrace", "pwrite64", "pwritev",
	"pwritev2", "read", "readahead", "readdir", "readlink", "readlinkat", "readv", "recvfrom",
	"recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr",
	"removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
	"rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
	"sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
	"sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
	"sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop",
	"semtimedop", "semtimedop_time64", "sendfile", "sendfile64", "sendmmsg", "sendmsg",
	"sendto", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid",
	"setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
	"setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
	"setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid",
	"setsockopt", "setuid", "setuid32", "setxattr", "setxattrat", "sgetmask", "shmat",
	"shmctl", "shmdt", "shmget", "shutdown", "sigaction", "sigaltstack", "signal", "signalfd",
	"signalfd4", "sigpending", "sigprocmask", "sigreturn", "sigsuspend", "socketcall",
	"socketpair", "splice", "ssetmask", "stat", "stat64", "statfs", "statfs64", "statmount",
	"statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee",
	"tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
	"timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
	"timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate",
	"truncate64", "ugetrlimit", "umask", "uname", "unlink", "unlinkat", "utime", "utimensat",
	"utimensat_time64", "utimes", "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write",
	"writev",
};

/* With the capability they are allowed. */
static const struct {
	const char	*cap;
	const char	*names[24];
} by_cap[] = {
	{ "CAP_BPF", {
		"bpf",
	} },
	{ "CAP_DAC_READ_SEARCH", {
		"open_by_handle_at",
	} },
	{ "CAP_PERFMON", {
		"perf_event_open",
	} },
	{ "CAP_SYSLOG", {
		"syslog",
	} },
	{ "CAP_SYS_ADMIN", {
		"bpf", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
		"lookup_dcookie", "mount", "mount_setattr", "move_mount", "open_tree",
		"perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname",
		"setns", "syslog", "umount", "umount2", "unshare", "pivot_root",
	} },
	{ "CAP_SYS_BOOT", {
		"reboot",
	} },
	{ "CAP_SYS_CHROOT", {
		"chroot",
	} },
	{ "CAP_SYS_MODULE", {
		"delete_module", "init_module", "finit_module",
	} },
	{ "CAP_SYS_NICE", {
		"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node", "move_pages",
		"migrate_pages",
	} },
	{ "CAP_SYS_PACCT", {
		"acct",
	} },
	{ "CAP_SYS_PTRACE", {
		"kcmp", "pidfd_getfd", "process_madvise",
	} },
	{ "CAP_SYS_RAWIO", {
		"iopl", "ioperm",
	} },
	{ "CAP_SYS_TIME", {
		"settimeofday", "stime", "clock_settime", "clock_settime64",
	} },
	{ "CAP_SYS_TTY_CONFIG", {
		"vhangup",
	} },
};

/* unshare and friends without CAP_SYS_ADMIN: no new namespaces. CLONE_NEW*: mnt, cgroup, uts, ipc, user, pid, net, time */
#define CLONE_NEW	0x7e020080u

static struct ojson *rule_new(struct ojson *list, const char *action)
{
	struct ojson *r = ojson_new_object();

	if (!r)
		return NULL;
	(void)ojson_set_cstr(r, "action", action);
	return ojson_append(list, r) ? NULL : r;
}

static void rule_name(struct ojson *rule, const char *name)
{
	(void)ojson_append_cstr(ojson_ensure_array(rule, "names"), name);
}

static void rule_arg(struct ojson *rule, int64_t index, int64_t value, int64_t value_two, const char *op)
{
	struct ojson *a = ojson_new_object();

	if (!a)
		return;
	(void)ojson_set_i64(a, "index", index);
	(void)ojson_set_i64(a, "value", value);
	if (value_two)
		(void)ojson_set_i64(a, "valueTwo", value_two);
	(void)ojson_set_cstr(a, "op", op);
	(void)ojson_append(ojson_ensure_array(rule, "args"), a);
}

static bool has_cap(const struct ojson *caps, const char *name)
{
	OJSON_FOREACH_ELEM(i, c, caps)
		if (ojson_string_is(c, name))
			return true;
	return false;
}

static void arches_put(struct ojson *out)
{
	struct ojson *a = ojson_ensure_array(out, "architectures");
	size_t i;

	for (i = 0; i < N(arches); i++)
		if (*arches[i])
			(void)ojson_append_cstr(a, arches[i]);
}

static struct ojson *profile_default(const struct ojson *caps)
{
	/* the execution domains that programs ask for, and asking which it is */
	static const int64_t domains[] = { 0, 0x0008, 0x20000, 0x20008, 0xffffffff };
	struct ojson *out = ojson_new_object();
	struct ojson *list = out ? ojson_ensure_array(out, "syscalls") : NULL;
	struct ojson *r;
	size_t i;
	size_t k;

	if (!list)
		return out;
	(void)ojson_set_cstr(out, "defaultAction", "SCMP_ACT_ERRNO");
	(void)ojson_set_i64(out, "defaultErrnoRet", EPERM);
	arches_put(out);
	r = rule_new(list, "SCMP_ACT_ALLOW");
	for (i = 0; i < N(allowed); i++)
		rule_name(r, allowed[i]);
	for (i = 0; i < N(by_cap); i++)
		for (k = 0; k < N(by_cap[i].names) && by_cap[i].names[k] && has_cap(caps, by_cap[i].cap); k++)
			rule_name(r, by_cap[i].names[k]);
	for (i = 0; i < N(domains); i++) {
		r = rule_new(list, "SCMP_ACT_ALLOW");
		rule_name(r, "personality");
		rule_arg(r, 0, domains[i], 0, "SCMP_CMP_EQ");
	}
	/* sockets of the machine's own bus to its host (AF_VSOCK) are not the container's */
	r = rule_new(list, "SCMP_ACT_ALLOW");
	rule_name(r, "socket");
	rule_arg(r, 0, 40, 0, "SCMP_CMP_NE");
	r = rule_new(list, "SCMP_ACT_ALLOW");
	rule_name(r, "clone");
	if (!has_cap(caps, "CAP_SYS_ADMIN")) {
		rule_arg(r, 0, CLONE_NEW, 0, "SCMP_CMP_MASKED_EQ");
		r = rule_new(list, "SCMP_ACT_ERRNO");
		(void)ojson_set_i64(r, "errnoRet", ENOSYS);
		rule_name(r, "clone3");
	}
	return out;
}

/* Does the condition of a Docker profile ({"caps": […], "arches": […]}) hold? @all: each of the caps, else any. */
static bool condition(const struct ojson *cond, const struct ojson *caps, bool all, bool empty)
{
	bool any = false;
	bool every = true;

	if (!ojson_count(ojson_get(cond, "caps")) && !ojson_count(ojson_get(cond, "arches")))
		return empty;
	OJSON_FOREACH_ELEM(i, c, ojson_get(cond, "caps")) {
		bool has = has_cap(caps, ojson_cstr(c, ""));

		any = any || has;
		every = every && has;
	}
	if (ojson_count(ojson_get(cond, "arches"))) {
		bool here = false;

		OJSON_FOREACH_ELEM(k, a, ojson_get(cond, "arches"))
			here = here || ojson_string_is(a, ARCH_NAME);
		any = any || here;
		every = every && here;
	}
	return all ? every : any;
}

static bool action_ok(const char *a)
{
	static const char *const known[] = { "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
					     "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG" };
	size_t i;

	for (i = 0; i < N(known); i++)
		if (!strcmp(a, known[i]))
			return true;
	return false;
}

static int rule_copy(const struct ojson *from, struct ojson *list, struct orlop_error *err)
{
	static const char *const keys[] = { "errnoRet", "args" };
	const char *action = ojson_get_cstr(from, "action", "");
	struct ojson *r;
	size_t i;

	if (!action_ok(action))
		return orlop_fail(err, EINVAL, 0, "", "seccomp profile: \"%s\" is no action", action);
	r = rule_new(list, action);
	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (ojson_count(ojson_get(from, "names")))
		(void)ojson_set(r, "names", ojson_ref(ojson_get(from, "names")));
	else if (*ojson_get_cstr(from, "name", ""))
		rule_name(r, ojson_get_cstr(from, "name", ""));
	else
		return orlop_fail(err, EINVAL, 0, "", "seccomp profile: a rule without names");
	for (i = 0; i < N(keys); i++)
		if (ojson_get(from, keys[i]) && !(ojson_is(ojson_get(from, keys[i]), OJSON_ARRAY) && !ojson_count(ojson_get(from, keys[i]))))
			(void)ojson_set(r, keys[i], ojson_ref(ojson_get(from, keys[i])));
	return 0;
}

static int profile_local(const struct ojson *p, const struct ojson *caps, struct ojson **ret, struct orlop_error *err)
{
	static const char *const keys[] = { "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata" };
	const char *def = ojson_get_cstr(p, "defaultAction", "");
	struct ojson *out = ojson_new_object();
	struct ojson *list;
	size_t i;
	int e = 0;

	if (!out)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (!action_ok(def)) {
		ojson_unref(out);
		return orlop_fail(err, EINVAL, 0, "", "seccomp profile: defaultAction \"%s\" is no action", def);
	}
	(void)ojson_set_cstr(out, "defaultAction", def);
	for (i = 0; i < N(keys); i++)
		if (ojson_get(p, keys[i]))
			(void)ojson_set(out, keys[i], ojson_ref(ojson_get(p, keys[i])));
	if (ojson_count(ojson_get(p, "architectures")))
		(void)ojson_set(out, "architectures", ojson_ref(ojson_get(p, "architectures")));
	else
		arches_put(out);
	list = ojson_ensure_array(out, "syscalls");
	OJSON_FOREACH_ELEM(k, r, ojson_get(p, "syscalls"))
		if (!e && condition(ojson_get(r, "includes"), caps, true, true) && !condition(ojson_get(r, "excludes"), caps, false, false))
			e = rule_copy(r, list, err);
	if (e)
		ojson_unref(out);
	else
		*ret = out;
	return e;
}

int seccomp_make(enum seccomp_kind kind, const struct ojson *local, const struct ojson *caps, struct ojson **ret,
		 struct orlop_error *err)
{
	*ret = NULL;
	if (kind == SECCOMP_NONE)
		return 0;
	if (kind == SECCOMP_LOCAL)
		return profile_local(local, caps, ret, err);
	*ret = profile_default(caps);
	return *ret ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
}

enum seccomp_kind seccomp_kind(const struct ojson *sc, const char **ret_path)
{
	const char *type = ojson_cstr(OJSON_AT(sc, "seccomp", "profileType"), "");
	const char *old = ojson_get_cstr(sc, "seccompProfilePath", "");

	*ret_path = "";
	if (!strcmp(type, "Localhost") || (!*type && !strncmp(old, "localhost/", 10))) {
		*ret_path = *type ? ojson_cstr(OJSON_AT(sc, "seccomp", "localhostRef"), "") : old + 10;
		if (!strncmp(*ret_path, "localhost/", 10))
			*ret_path += 10;
		return SECCOMP_LOCAL;
	}
	if (!*type && strcmp(old, "runtime/default") != 0 && strcmp(old, "docker/default") != 0)
		return SECCOMP_NONE;
	/* RuntimeDefault is what proto3 leaves out (0): an empty message means it */
	return !strcmp(type, "Unconfined") ? SECCOMP_NONE : SECCOMP_DEFAULT;
}
