/*
 * pause-main.c - oci-pause: what needs a process with one thread.
 *
 *   oci-pause pin DIR HOSTNAME KINDS UIDMAP GIDMAP
 *       a user namespace and what it owns (KINDS of "nit": net, ipc, uts), pinned in DIR/ns/. Maps
 *       are "INSIDE OUTSIDE LENGTH,…" as in /proc/PID/uid_map.
 *   oci-pause hold DIR
 *       a PID namespace shared by a pod; a child of ours is its first process, reaps what is orphaned
 *       in there and outlives us; its pid goes to DIR/pause.pid and stdout.
 *   oci-pause hide PROGRAM ARGUMENT…
 *       PROGRAM in a mount namespace of its own, in which the unified cgroups of a hybrid machine are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "oci-pause: %s %s: %s\n", what, path, strerrordesc_np(errno));
	return 1;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* "A B C,D E F" becomes lines. */
static int map_write(pid_t pid, const char *file, const char *map)
{
	char path[64];
	char text[1024];
	size_t i;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (snprintf(text, sizeof(text), "%s\n", map) >= (int)sizeof(text))
		return fail("map too long for", path);
	for (i = 0; text[i]; i++)
		if (text[i] == ',')
			text[i] = '\n';
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : write(fd, text, strlen(text));
	if (fd >= 0)
		close(fd);
	return n < 0 ? fail("cannot map users in", path) : 0;
}

static int bind_ns(pid_t pid, const char *kind, const char *dir)
{
	char src[64];
	char dst[4096];
	int fd;

	snprintf(src, sizeof(src), "/proc/%d/ns/%s", (int)pid, kind);
	snprintf(dst, sizeof(dst), "%s/ns/%s", dir, kind);
	fd = open(dst, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail("cannot make", dst);
	close(fd);
	return mount(src, dst, NULL, MS_BIND, NULL) ? fail("cannot pin", dst) : 0;
}

/* The child: user namespace; when its users are mapped, the others; then it waits to be let go. */
static int pin_child(int from, int to, const char *hostname, int flags)
{
	char c = 'u';

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || unshare(CLONE_NEWUSER))
		return fail("cannot make", "a user namespace");
	if (write(to, &c, 1) != 1 || read(from, &c, 1) != 1)
		return 1;
	if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
		return fail("cannot become", "root in there");
	if (unshare(flags))
		return fail("cannot make", "namespaces");
	if ((flags & CLONE_NEWUTS) && sethostname(hostname, strlen(hostname)))
		return fail("cannot set host name", hostname);
	if (write(to, &c, 1) != 1)
		return 1;
	while (read(from, &c, 1) < 0 && errno == EINTR)
		;
	return 0;
}

static int pin(const char *dir, const char *hostname, const char *kinds, const char *uids, const char *gids)
{
	static const struct { char c; const char *name; int flag; } table[] = {
		{ 'n', "net", CLONE_NEWNET }, { 'i', "ipc", CLONE_NEWIPC }, { 't', "uts", CLONE_NEWUTS },
	};
	int down[2], up[2];
	int flags = 0;
	size_t i;
	pid_t pid;
	char c;
	int r = 1;

	for (i = 0; i < 3; i++)
		flags |= strchr(kinds, table[i].c) ? table[i].flag : 0;
	if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC))
		return fail("pipe", "");
	pid = fork();
	if (!pid) {
		close(down[1]);
		close(up[0]);
		_exit(pin_child(down[0], up[1], hostname, flags));
	}
	close(down[0]);
	close(up[1]);
	if (pid > 0 && read(up[0], &c, 1) == 1 && !map_write(pid, "uid_map", uids) && !map_write(pid, "gid_map", gids) &&
	    write(down[1], "m", 1) == 1 && read(up[0], &c, 1) == 1) {
		r = bind_ns(pid, "user", dir);
		for (i = 0; i < 3 && !r; i++)
			r = flags & table[i].flag ? bind_ns(pid, table[i].name, dir) : 0;
	}
	close(down[1]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return r;
}

static void on_end(int sig)
{
	(void)sig;
	_exit(0);
}

static void on_child(int sig)
{
	(void)sig;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* First process of the namespace: as upstream's pause, it waits and reaps. */
static void hold_child(void)
{
	struct sigaction end = { .sa_handler = on_end };
	struct sigaction child = { .sa_handler = on_child, .sa_flags = SA_NOCLDSTOP };
	int null = open("/dev/null", O_RDWR);
	int i;

	(void)setsid();
	for (i = 0; i < 3; i++)
		(void)dup2(null, i);
	(void)close_range(3, ~0u, 0);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGCHLD, &child, NULL);
	if (chdir("/"))
		_exit(1);
	for (;;)
		(void)pause();
}

static int hold(const char *dir)
{
	char path[4096];
	char text[32];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/ns/user", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && setns(fd, CLONE_NEWUSER))
		return fail("cannot enter", path);
	if (unshare(CLONE_NEWPID))
		return fail("cannot make", "a PID namespace");
	pid = fork();
	if (!pid) {
		hold_child();
		_exit(0);
	}
	if (pid < 0)
		return fail("fork", "");
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	snprintf(path, sizeof(path), "%s/pause.pid", dir);
	/* a user namespace may not be let write there: then stdout alone tells */
	if (write_file(path, text) && fd < 0) {
		(void)kill(pid, SIGKILL);
		return fail("cannot write", path);
	}
	printf("%s", text);
	return 0;
}

static int hide(char **argv)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL))
		return fail("cannot make", "a mount namespace");
	/* not there: nothing to hide */
	if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) && errno != EINVAL && errno != ENOENT)
		return fail("cannot unmount", "/sys/fs/cgroup/unified");
	(void)execvp(argv[0], argv);
	return fail("cannot run", argv[0]);
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 7 && !strcmp(argv[1], "pin"))
		return pin(argv[2], argv[3], argv[4], argv[5], argv[6]);
	if (argc == 3 && !strcmp(argv[1], "hold")) {
		r = hold(argv[2]);
		/* Nothing may run at exit: what it started would be born in the other namespace. */
		(void)fflush(NULL);
		_exit(r);
	}
	if (argc > 2 && !strcmp(argv[1], "hide"))
		return hide(argv + 2);
	fprintf(stderr, "usage: oci-pause pin DIR HOSTNAME KINDS UIDMAP GIDMAP | oci-pause hold DIR | oci-pause hide PROGRAM …\n");
	return 2;
}
