/*
 * machine.c - what a simulated machine looks like: processors, memory, the files that say so, mounts.
 *
 * Of /proc, /sys and /etc a simulated process sees only what is here, so that no run depends on the real one.
 */
#include "inside.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

static int text_open(const char *text)
{
	int fd = (int)syscall(SYS_memfd_create, "sim", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0 || syscall(SYS_write, fd, text, len) != (long)len)
		return -2;
	(void)syscall(SYS_lseek, fd, 0L, SEEK_SET);
	return fd;
}

static bool under(const char *path, const char *dir)
{
	return strncmp(path, dir, strlen(dir)) == 0;
}

int sim_machine_open(struct sim_proc *p, const char *path)
{
	char text[256];

	if (strcmp(path, "/proc/meminfo") == 0)
		(void)snprintf(text, sizeof(text), "MemTotal: %llu kB\nMemFree: %llu kB\nMemAvailable: %llu kB\n"
			       "SwapTotal: 0 kB\n", (unsigned long long)p->memory_bytes >> 10,
			       (unsigned long long)p->memory_bytes >> 11, (unsigned long long)p->memory_bytes >> 11);
	else if (strcmp(path, "/etc/machine-id") == 0)
		(void)snprintf(text, sizeof(text), "%032x\n", p->n + 1);
	else if (strcmp(path, "/sys/class/dmi/id/product_uuid") == 0)
		(void)snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012x\n", p->n + 1);
	else if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		(void)snprintf(text, sizeof(text), "%08x-0000-4000-8000-%012llx\n", p->n + 1,
			       (unsigned long long)p->boot / SIM_MS);
	else if (strcmp(path, "/etc/os-release") == 0)
		(void)snprintf(text, sizeof(text), "PRETTY_NAME=\"Simulated\"\n");
	else if (strcmp(path, "/etc/resolv.conf") == 0)
		(void)snprintf(text, sizeof(text), "nameserver 192.0.2.53\n");
	else if (under(path, "/proc/") || under(path, "/sys/") || under(path, "/etc/")) {
		errno = ENOENT;
		return -2;
	} else
		return -1;
	return text_open(text);
}

SIM_OURS long sysconf(int name)
{
	static long (*real)(int name);
	struct sim_proc *p = sim_proc_here();

	if (p && (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF))
		return p->cpus;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sysconf");
	return real(name);
}

SIM_OURS int gethostname(char *name, size_t len)
{
	struct sim_proc *p = sim_proc_here();

	(void)snprintf(name, len, "%s", p ? p->name : "driver");
	return 0;
}

SIM_OURS int uname(struct utsname *u)
{
	struct sim_proc *p = sim_proc_here();

	if (!p)
		return (int)syscall(SYS_uname, u);
	memset(u, 0, sizeof(*u));
	(void)snprintf(u->sysname, sizeof(u->sysname), "Linux");
	(void)snprintf(u->nodename, sizeof(u->nodename), "%.60s", p->name);
	(void)snprintf(u->release, sizeof(u->release), "6.1.0-sim");
	(void)snprintf(u->version, sizeof(u->version), "#1");
	(void)snprintf(u->machine, sizeof(u->machine), "x86_64");
	return 0;
}

static int vfs(struct statvfs *s)
{
	memset(s, 0, sizeof(*s));
	s->f_bsize = s->f_frsize = 4096;
	s->f_blocks = 25u << 20;
	s->f_bfree = s->f_bavail = 20u << 20;
	s->f_files = 6u << 20;
	s->f_ffree = s->f_favail = 5u << 20;
	s->f_namemax = 255;
	return 0;
}

SIM_OURS int our_statvfs(const char *path, struct statvfs *s) __asm__("statvfs");
SIM_OURS int our_statvfs64(const char *path, struct statvfs *s) __asm__("statvfs64");
SIM_OURS int our_fstatvfs(int fd, struct statvfs *s) __asm__("fstatvfs");
SIM_OURS int our_fstatvfs64(int fd, struct statvfs *s) __asm__("fstatvfs64");

int our_statvfs(const char *path, struct statvfs *s)
{
	(void)path;
	return vfs(s);
}

int our_statvfs64(const char *path, struct statvfs *s)
{
	(void)path;
	return vfs(s);
}

/* Of the disk: a full one says so. */
int our_fstatvfs(int fd, struct statvfs *s)
{
	struct sim_proc *p = sim_proc_here();

	(void)fd;
	(void)vfs(s);
	if (p && p->disk.full)
		s->f_bfree = s->f_bavail = 0;
	return 0;
}

int our_fstatvfs64(int fd, struct statvfs *s)
{
	return our_fstatvfs(fd, s);
}

SIM_OURS int mount(const char *what, const char *where, const char *type, unsigned long flags, const void *data)
{
	(void)what;
	(void)where;
	(void)type;
	(void)flags;
	(void)data;
	return 0;
}

SIM_OURS int umount2(const char *where, int flags)
{
	(void)where;
	(void)flags;
	return 0;
}

SIM_OURS int getrusage(int who, struct rusage *u)
{
	(void)who;
	memset(u, 0, sizeof(*u));
	return 0;
}

/* No child processes: what starts programs (a runtime) is simulated as a module. */
SIM_OURS pid_t fork(void)
{
	static pid_t (*real)(void);

	if (sim_proc_here()) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fork");
	return real();
}

SIM_OURS int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	(void)fn;
	(void)stack;
	(void)flags;
	(void)arg;
	errno = EAGAIN;
	return -1;
}
