/* test/rights.c - what an isolated module may do: words, and what the machine makes of them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "rights.h"

/* ---- words ------------------------------------------------------------------------------------------ */

static void good(struct core_rights_text t, const char *want, const char *name)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_rights r;
	char text[512];

	if (!is_int(core_rights_parse(&t, &r, &err), 0, "%s: %s", name, err.msg))
		return;
	core_rights_print(&r, text, sizeof(text));
	is_str(text, want, "%s in words", name);
}

static void bad(struct core_rights_text t, const char *want)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_rights r;

	is_int(core_rights_parse(&t, &r, &err), -EINVAL, "refused");
	is_str(err.msg, want, "in words");
}

static void test_words(void)
{
	good((struct core_rights_text){ .caps = NULL }, "caps=none files=none net=none exec=no uid=65534", "nothing");
	good((struct core_rights_text){ .caps = "net_admin,sys_admin" },
	     "caps=net_admin,sys_admin files=none net=none exec=no", "capabilities");
	good((struct core_rights_text){ .files = "$path/..:rw,/etc/x" },
	     "caps=none files=$path/..:rw,/etc/x net=none exec=no", "files");
	good((struct core_rights_text){ .net = "inet,netlink", .exec = "yes" },
	     "caps=none files=none net=inet,netlink exec=yes", "net and exec");
	good((struct core_rights_text){ .caps = "*", .files = "*", .net = "*", .exec = "yes", .memory = "1G" },
	     "caps=* files=* net=* exec=yes", "everything");
	good((struct core_rights_text){ .uid = "1000" }, "caps=none files=none net=none exec=no uid=1000", "a user");
	bad((struct core_rights_text){ .caps = "net_admn" },
	    "caps= has \"net_admn\", want a capability's name in lower case without cap_, or *");
	bad((struct core_rights_text){ .files = "etc/x" },
	    "files= has \"etc/x\", want an absolute path or $PARAMETER, with :rw at the end to write");
	bad((struct core_rights_text){ .net = "ip" }, "net= has \"ip\", want none, unix, inet, netlink, packet or *");
	bad((struct core_rights_text){ .exec = "maybe" }, "exec= has \"maybe\", want yes or no");
	bad((struct core_rights_text){ .uid = "root" }, "uid= has \"root\", want a number or keep");
	bad((struct core_rights_text){ .memory = "1T" }, "memory= has \"1T\", want a number of bytes, with K, M or G");
	bad((struct core_rights_text){ .memory = "99999999999999999999" },
	    "memory= has \"99999999999999999999\", want a number of bytes, with K, M or G");
	bad((struct core_rights_text){ .uid = "7", .caps = "chown" },
	    "uid= and caps= exclude each other: another user has none");
}

/* ---- what the machine does ------------------------------------------------------------------------------ */

static char dir[64];

static const char *param(void *arg, const char *name, uint32_t len)
{
	(void)arg;
	return len == 4 && memcmp(name, "data", 4) == 0 ? dir : len == 5 && memcmp(name, "empty", 5) == 0 ? "" : NULL;
}

static void *thread_main(void *arg)
{
	return arg;
}

/* In a process of its own: enters @t's rights, then runs @fn, whose bits come back. */
static int inside(struct core_rights_text t, int (*fn)(void))
{
	pid_t pid;
	int status;

	/* What is still buffered is ours to print: a sanitizer's _exit() writes it out as well. */
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		const char *const extra[] = { NULL };
		struct core_rights_world w = { .param = param, .extra = extra };
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct core_rights r;
		const char *weak;
		pthread_t th;

		if (core_rights_parse(&t, &r, &err) || core_rights_enter(&r, &w, &weak, &err) ||
		    core_rights_leave(&r, &err)) {
			printf("# %s\n", err.msg);
			(void)fflush(stdout);
			_exit(100);
		}
		/* Threads must still be possible. */
		if (pthread_create(&th, NULL, thread_main, NULL) || pthread_join(th, NULL))
			_exit(101);
		_exit(fn());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_exec(void)
{
	char *const argv[] = { (char *)(uintptr_t)"/bin/true", NULL };
	pid_t pid = vfork();
	int status;

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int try_all(void)
{
	char path[96];
	int sv[2];
	int can = 0;

	(void)snprintf(path, sizeof(path), "%s/file", dir);
	can |= can_open("/etc/shadow", O_WRONLY | O_APPEND) || can_open("/etc/shadow", O_RDONLY) ? 1 : 0;
	can |= can_exec() ? 2 : 0;
	can |= can_socket(AF_INET, SOCK_STREAM) || can_socket(AF_INET6, SOCK_DGRAM) ? 4 : 0;
	can |= can_socket(AF_UNIX, SOCK_STREAM) ? 8 : 0;
	can |= can_open(path, O_CREAT | O_RDWR) ? 16 : 0;
	can |= mount("none", "/mnt", "tmpfs", 0, NULL) == 0 || unshare(CLONE_NEWUSER) == 0 ||
		syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0 || kill(getppid(), 0) == 0 ? 32 : 0;
	/* What everybody may. */
	can |= can_open("/proc/self/status", O_RDONLY) && can_open("/dev/urandom", O_RDONLY) &&
		socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0 ? 64 : 0;
	return can;
}

static int caps_left(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return 99;
	if (geteuid() == CORE_RIGHTS_NOBODY)
		return d[0].effective || d[0].permitted || d[1].effective ? 98 : 1;
	return d[0].effective == 1u << CAP_NET_ADMIN && d[0].permitted == 1u << CAP_NET_ADMIN &&
		prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 0 ? 2 : 97;
}

__attribute__((unused))
static int memory(void)
{
	/* volatile: a compiler may leave out an allocation that nobody uses. */
	void *volatile small = malloc(1 << 20);
	void *volatile big = malloc(256 << 20);
	int r = (small ? 1 : 0) | (big ? 2 : 0);

	free(small);
	free(big);
	return r;
}

static void test_machine(void)
{
	int landlock = (int)syscall(444, NULL, 0, 1);

	if (geteuid() != 0) {
		otap_skip("needs root", 7);
		return;
	}
	if (landlock < 6)
		otap_skip("no Landlock of version 6", 1);
	else
		is_int(inside((struct core_rights_text){ .caps = NULL }, try_all), 64,
		       "nothing declared: no secrets, programs, sockets, files, mounts, signals");
	is_int(inside((struct core_rights_text){ .caps = NULL }, caps_left), 1, "nobody without capabilities");
	is_int(inside((struct core_rights_text){ .caps = "net_admin" }, caps_left), 2, "the one that is declared");
	if (landlock < 6)
		otap_skip("no Landlock of version 6", 2);
	else {
		is_int(inside((struct core_rights_text){ .files = "$data:rw,$empty,$none,$no=/nowhere", .net = "inet" },
			      try_all) & ~8, 64 | 16 | 4, "its directory and the network, nothing else");
		is_int(inside((struct core_rights_text){ .exec = "yes", .net = "unix" }, try_all) & (1 | 2),
		       2, "programs");
	}
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	otap_skip("a sanitizer's shadow is no memory", 1);
#else
	is_int(inside((struct core_rights_text){ .memory = "64M" }, memory), 1, "so much memory and no more");
#endif
	is_int(inside((struct core_rights_text){ .caps = "*", .files = "*", .net = "*", .exec = "yes" }, try_all) &
	       (2 | 4 | 8 | 16 | 64), 2 | 4 | 8 | 16 | 64, "everything");
}

int main(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/orlop-rights-XXXXXX");
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	test_words();
	test_machine();
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
