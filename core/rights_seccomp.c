/*
 * rights_seccomp.c - the system-call filter of an isolated module, as classic BPF made by hand.
 *
 * What it denies answers EPERM, so a module that tries gets an error and not a signal. The list is of
 * what no module needs unless it says so: changing the machine (mounts, namespaces, clocks, kernel
 * modules), looking into other processes, starting programs, sockets of families it does not declare.
 * Kernels cache which calls a filter always allows, so it costs nothing on the others.
 */
#include "rights.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH	AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH	AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define ARCH	AUDIT_ARCH_I386
#elif defined(__arm__)
#define ARCH	AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH	AUDIT_ARCH_RISCV64
#endif

#ifdef ARCH

#define PROGRAM_MAX	512u
#define X32_BIT		0x40000000u
#define DENY(e)		(SECCOMP_RET_ERRNO | (e))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARG_LOW(n)	(uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n))
#else
#define ARG_LOW(n)	(uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n) + 4)
#endif

struct program {
	struct sock_filter f[PROGRAM_MAX];
	uint32_t	n;
};

/* Numbers that differ by machine or are newer than the headers; -1: there is none. */
static const int never[] = {
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_perf_event_open, SYS_bpf,
	SYS_userfaultfd, SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_reboot,
	SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_add_key, SYS_request_key, SYS_keyctl,
	SYS_syslog, SYS_vhangup, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_fanotify_init,
	SYS_adjtimex, SYS_clock_adjtime, SYS_clock_settime, SYS_settimeofday, SYS_sethostname,
	SYS_setdomainname, SYS_personality,
	425 /* io_uring_setup */, 426, 427, 438 /* pidfd_getfd */, 440 /* process_madvise */,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm,
#endif
#ifdef SYS_socketcall
	SYS_socketcall,
#endif
	-1
};

/* What changes mounts and namespaces: with the capability sys_admin only. */
static const int mounts[] = {
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
	428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */,
	433 /* fspick */, 442 /* mount_setattr */, -1
};

static const int starting[] = {
	SYS_execve, SYS_execveat,
#ifdef SYS_fork
	SYS_fork, SYS_vfork,
#endif
	-1
};

static void put(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (p->n < PROGRAM_MAX)
		p->f[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, uint32_t off)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, off);
}

static void ret(struct program *p, uint32_t what)
{
	put(p, BPF_RET | BPF_K, 0, 0, what);
}

/* The accumulator holds the number. */
static void deny(struct program *p, int nr, uint32_t what)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)nr);
	ret(p, what);
}

static void deny_all(struct program *p, const int *list)
{
	for (; *list >= 0; list++)
		deny(p, *list, DENY(EPERM));
}

/* socket(): only the families that were declared. */
static void sockets(struct program *p, uint32_t net)
{
	static const struct {
		uint32_t	bit;
		uint32_t	family;
	} families[] = {
		{ CORE_NET_UNIX, AF_UNIX }, { CORE_NET_INET, AF_INET }, { CORE_NET_INET, AF_INET6 },
		{ CORE_NET_NETLINK, AF_NETLINK }, { CORE_NET_PACKET, AF_PACKET },
	};
	uint32_t n = 0;

	if (net & CORE_NET_ALL)
		return;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		n += (net & families[i].bit) != 0;
	put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(2 * n + 2), SYS_socket);
	load(p, ARG_LOW(0));
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (net & families[i].bit) {
			put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, families[i].family);
			ret(p, SECCOMP_RET_ALLOW);
		}
	ret(p, DENY(EACCES));
	if (net == 0)
		deny(p, SYS_connect, DENY(EACCES));
}

/* Threads are fine; processes and namespaces are not. clone3's flags cannot be seen: libraries fall back. */
static void clones(struct program *p, bool namespaces)
{
	const uint32_t new_ns = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
		CLONE_NEWNET | CLONE_NEWCGROUP;

	deny(p, 435 /* clone3 */, DENY(ENOSYS));
	put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(namespaces ? 4 : 6), SYS_clone);
	load(p, ARG_LOW(0));
	if (!namespaces) {
		put(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, new_ns);
		ret(p, DENY(EPERM));
	}
	put(p, BPF_JMP | BPF_JSET | BPF_K, 1, 0, CLONE_THREAD);
	ret(p, DENY(EPERM));
	ret(p, SECCOMP_RET_ALLOW);
}

int core_rights_filter(const struct core_rights *r)
{
	bool admin = r->all_caps || r->caps >> CAP_SYS_ADMIN & 1;
	struct program p = { .n = 0 };
	struct sock_fprog prog;

	load(&p, offsetof(struct seccomp_data, arch));
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
	ret(&p, DENY(EPERM));
	load(&p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	put(&p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
	ret(&p, DENY(EPERM));
#endif
	deny_all(&p, never);
	deny_all(&p, starting);
	if (!admin)
		deny_all(&p, mounts);
	/* These two look at arguments and end, so they come last: each leaves the number where it does not apply. */
	clones(&p, admin);
	sockets(&p, r->net);
	ret(&p, SECCOMP_RET_ALLOW);
	if (p.n == PROGRAM_MAX)
		return -E2BIG;
	prog.len = (unsigned short)p.n;
	prog.filter = p.f;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) < 0)
		return -errno;
	return 0;
}

#else

int core_rights_filter(const struct core_rights *r)
{
	(void)r;
	return 0;	/* a machine whose numbers we do not know */
}

#endif
