/*
 * execfind.c - is there a program of that name in a container? Asked before the OCI runtime is, whose
 * own words and exit codes differ from one to the other; the answer is in those that people know.
 */
#include "oci.h"

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

#define DEFAULT_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int open_in(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static bool is_there(int root, const char *path)
{
	cleanup_close int fd = open_in(root, path, O_PATH);

	return fd >= 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Who is to read a script has to be there: the kernel would say of the script that it is not. */
static bool has_reader(int root, const char *path)
{
	cleanup_close int fd = open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char line[256] = "";
	char *name = line + 2;

	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 3 || line[0] != '#' || line[1] != '!')
		return true;
	name += strspn(name, " \t");
	name[strcspn(name, " \t\n")] = '\0';
	return *name != '/' || is_there(root, name);
}

/* 0: a file that may be executed; -ENOENT, -EACCES, -ELIBACC: a script whose interpreter is not there, … */
static int look(int root, const char *path)
{
	cleanup_close int fd = open_in(root, path, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return -EACCES;
	return has_reader(root, path) ? 0 : -ELIBACC;
}

static int look_in_path(int root, const char *dirs, const char *name)
{
	char path[4096];
	int worst = -ENOENT;

	while (*dirs) {
		size_t n = strcspn(dirs, ":");

		if (n && snprintf(path, sizeof(path), "%.*s/%s", (int)n, dirs, name) < (int)sizeof(path)) {
			int e = look(root, path);

			if (!e || e == -ELIBACC)
				return e;
			worst = e == -EACCES ? e : worst;
		}
		dirs += n + (dirs[n] == ':');
	}
	return worst;
}

void exec_words(const char *name, int e, char *buf, size_t size)
{
	if (e == -ELIBACC)
		snprintf(buf, size, "exec %.100s: no such file or directory", name);
	else if (e == -EACCES)
		snprintf(buf, size, "exec: \"%.100s\": permission denied", name);
	else if (!strchr(name, '/'))
		snprintf(buf, size, "exec: \"%.100s\": executable file not found in $PATH", name);
	else
		snprintf(buf, size, "exec: \"%.100s\": stat %.100s: no such file or directory", name, name);
}

int exec_find(const struct container *c, const struct ojson *process, const char *name, struct orlop_error *err)
{
	char path[4096];
	char why[300];
	cleanup_close int root = -1;
	const char *dirs = DEFAULT_PATH;
	int e;

	snprintf(path, sizeof(path), "/proc/%d/root", c->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !*name)
		return 0;	/* then the OCI runtime says what is wrong */
	OJSON_FOREACH_ELEM(i, v, ojson_get(process, "env"))
		if (!strncmp(ojson_cstr(v, ""), "PATH=", 5))
			dirs = ojson_cstr(v, "") + 5;
	if (*name == '/')
		e = look(root, name);
	else if (!strchr(name, '/'))
		e = look_in_path(root, dirs, name);
	else if (snprintf(path, sizeof(path), "%s/%s", ojson_get_cstr(process, "cwd", "/"), name) < (int)sizeof(path))
		e = look(root, path);
	else
		e = 0;
	if (e != -ENOENT && e != -ENOTDIR && e != -EACCES && e != -ELIBACC)
		return 0;
	exec_words(name, e, why, sizeof(why));
	return orlop_fail(err, e == -ELIBACC ? ENOENT : -e, 0, "", "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: "
			  "unable to start container process: %s: unknown", why);
}
