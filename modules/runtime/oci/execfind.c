/*
 * execfind.c - is there a program of that name in a container, and would the kernel run it? Asked before the OCI runtime
 * is, whose own words and exit codes differ from one to the other; the answer is in those that people know: a name that
 * is not found is refused; what is found and cannot be run (a script or a program whose interpreter is missing, one for
 * another machine) has been run, says so on its stderr and ends with EXEC_UNRUN, as with runc 1.2 and later.
 */
#include "oci.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define DEFAULT_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The beginning of a program. */
union elf {
	unsigned char	ident[EI_NIDENT];
	Elf64_Ehdr	e64;
	Elf32_Ehdr	e32;
	char		text[257];	/* as much of a script's first line as the kernel reads */
};

static int open_in(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* 0: a file that may be executed; -ENOENT, -EACCES, … */
static int file_look(int root, const char *path)
{
	cleanup_close int fd = open_in(root, path, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) ? 0 : -EACCES;
}

/* Formats that the machine has been taught (binfmt_misc): which they are is the kernel's to say. */
static bool formats_taught(void)
{
	cleanup_dir DIR *dp = opendir("/proc/sys/fs/binfmt_misc");
	struct dirent *d;

	while (dp && (d = readdir(dp)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "register") != 0 && strcmp(d->d_name, "status") != 0)
			return true;
	return false;
}

static int file_runs(int root, const char *path, int depth);

/* Who is to read or load it has to be there: the kernel would say of the program that it is not. */
static int helper_runs(int root, const char *path, int depth)
{
	int e = *path == '/' ? file_look(root, path) : 0;

	return e || *path != '/' ? e : file_runs(root, path, depth);
}

static int script_runs(int root, char *line, int depth)
{
	char *name = line + 2 + strspn(line + 2, " \t");
	size_t n = strcspn(name, " \t\n");

	if (!name[n])
		return 0;	/* it goes on after what we have of it */
	name[n] = '\0';
	return *name ? helper_runs(root, name, depth + 1) : -ENOEXEC;
}

static bool machine_ok(unsigned int machine)
{
#if defined(__x86_64__)
	return machine == EM_X86_64 || machine == EM_386;
#elif defined(__aarch64__)
	return machine == EM_AARCH64 || machine == EM_ARM;
#else
	return machine != EM_NONE;
#endif
}

/* Where the @i-th program header says that the loader's name stands; its length, 0: it is none of that. */
static size_t loader_at(int fd, const union elf *h, unsigned int i, off_t *ret_at)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;

	if (h->ident[EI_CLASS] == ELFCLASS64) {
		if (pread(fd, &p64, sizeof(p64), (off_t)(h->e64.e_phoff + i * sizeof(p64))) != sizeof(p64) || p64.p_type != PT_INTERP)
			return 0;
		*ret_at = (off_t)p64.p_offset;
		return (size_t)p64.p_filesz;
	}
	if (pread(fd, &p32, sizeof(p32), (off_t)h->e32.e_phoff + (off_t)(i * sizeof(p32))) != sizeof(p32) || p32.p_type != PT_INTERP)
		return 0;
	*ret_at = (off_t)p32.p_offset;
	return p32.p_filesz;
}

static int elf_runs(int root, int fd, const union elf *h)
{
	bool wide = h->ident[EI_CLASS] == ELFCLASS64;
	unsigned int type = wide ? h->e64.e_type : h->e32.e_type;
	unsigned int n = wide ? h->e64.e_phnum : h->e32.e_phnum;

	if ((type != ET_EXEC && type != ET_DYN) || !machine_ok(wide ? h->e64.e_machine : h->e32.e_machine))
		return -ENOEXEC;
	for (unsigned int i = 0; i < n && i < 64; i++) {
		char name[4096] = "";
		off_t at;
		size_t len = loader_at(fd, h, i, &at);

		if (len && len < sizeof(name))
			return pread(fd, name, len, at) == (ssize_t)len && *name == '/' ? file_look(root, name) : 0;
	}
	return 0;
}

/* Would the kernel run it? 0: yes, or it is not for us to say; -ENOENT, -EACCES: not its interpreter; -ENOEXEC: not this. */
static int file_runs(int root, const char *path, int depth)
{
	cleanup_close int fd = open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	union elf h = { .text = "" };
	ssize_t n = fd < 0 || depth > 4 ? -1 : read(fd, h.text, sizeof(h.text) - 1);
	int e = -ENOEXEC;

	if (n < 0)
		return 0;
	if (n > 2 && h.text[0] == '#' && h.text[1] == '!')
		e = script_runs(root, h.text, depth);
	else if (n >= (ssize_t)sizeof(h.e32) && !memcmp(h.ident, ELFMAG, SELFMAG))
		e = elf_runs(root, fd, &h);
	return e == -ENOEXEC && formats_taught() ? 0 : e;
}

/* Into @path which of @dirs has it. */
static int look_in_path(int root, const char *dirs, const char *name, char *path, size_t size)
{
	int worst = -ENOENT;

	while (*dirs) {
		size_t n = strcspn(dirs, ":");

		if (n && snprintf(path, size, "%.*s/%s", (int)n, dirs, name) < (int)size) {
			int e = file_look(root, path);

			if (!e)
				return 0;
			worst = e == -EACCES ? e : worst;
		}
		dirs += n + (dirs[n] == ':');
	}
	return worst;
}

void exec_words(const char *name, int e, char *buf, size_t size)
{
	if (e == -EACCES)
		snprintf(buf, size, "exec: \"%.100s\": permission denied", name);
	else if (!strchr(name, '/'))
		snprintf(buf, size, "exec: \"%.100s\": executable file not found in $PATH", name);
	else
		snprintf(buf, size, "exec: \"%.100s\": stat %.100s: no such file or directory", name, name);
}

/* What runc's first process says of a program that the kernel does not take, before it ends with EXEC_UNRUN. */
static char *unrun_words(const char *path, int e)
{
	return omem_printf("exec %.1000s: %s", path, e == -EACCES ? "permission denied" : e == -ENOEXEC ? "exec format error" :
			   "no such file or directory");
}

int exec_find(int pid, const struct ojson *process, const char *name, char **ret_unrun, struct orlop_error *err)
{
	const char *cwd = ojson_get_cstr(process, "cwd", "/");
	char root_path[48];
	char path[4096];
	char at[8192];
	char why[300];
	cleanup_close int root = -1;
	const char *dirs = DEFAULT_PATH;
	int e;

	snprintf(root_path, sizeof(root_path), "/proc/%d/root", pid);
	root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !*name || strlen(name) >= sizeof(path))
		return 0;	/* then the OCI runtime says what is wrong */
	OJSON_FOREACH_ELEM(i, v, ojson_get(process, "env"))
		if (!strncmp(ojson_cstr(v, ""), "PATH=", 5))
			dirs = ojson_cstr(v, "") + 5;
	snprintf(path, sizeof(path), "%s", name);
	e = strchr(name, '/') ? 0 : look_in_path(root, dirs, name, path, sizeof(path));
	if (!e && snprintf(at, sizeof(at), "%s%s%s", *path == '/' ? "" : cwd, *path == '/' ? "" : "/", path) >= (int)sizeof(at))
		return 0;
	if (!e)
		e = file_look(root, at);
	if (!e) {
		e = file_runs(root, at, 0);
		if (e == -ENOENT || e == -EACCES || e == -ENOEXEC)
			*ret_unrun = unrun_words(path, e);
		return 0;
	}
	if (e != -ENOENT && e != -ENOTDIR && e != -EACCES)
		return 0;
	exec_words(name, e, why, sizeof(why));
	return orlop_fail(err, -e, 0, "", "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: "
			  "unable to start container process: %s: unknown", why);
}
