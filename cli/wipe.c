/*
 * wipe.c - everything that a data directory stands for goes away, without any daemon's help.
 *
 * Processes are found by what cannot lie: conmon has paths below the directory on its command line,
 * a container's processes are in a cgroup named after a container of ours, or stand in one of our
 * mounts. Each is named by a pidfd before it is looked at, so that no other process is ever hit.
 */
#include "down.h"

#include "cli.h"
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "netlink/onl.h"

#define ID_LEN		64		/* of a container */
#define END_MS		10000		/* for killed processes to be gone */
#define PATH_LEN	4096

int wipe_is_ours(const struct setup *s)
{
	static const char *const marks[] = { "setup.json", "orlop.conf", "pki/ca.crt" };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		cleanup_free char *path = setup_path(s, marks[i]);

		if (path && access(path, F_OK) == 0)
			return 1;
	}
	return 0;
}

/* ---- processes -------------------------------------------------------------------------------- */

struct kill_job {
	const char	*dir;
	size_t		dir_len;
	uint32_t	n;
	int		fds[512];
};

static bool below(const char *path, const char *dir, size_t len)
{
	return !strncmp(path, dir, len) && (path[len] == '/' || !path[len]);
}

/* A container of ours by its name in a cgroup's path: DIR/runtime/containers/ID is there. */
static bool cgroup_is_ours(const char *dir, const char *text)
{
	const char *p = text;

	while ((p = strchr(p, '/'))) {
		size_t n = strspn(++p, "0123456789abcdef");
		char path[PATH_LEN];

		if (n != ID_LEN || isalnum((unsigned char)p[n]))
			continue;
		snprintf(path, sizeof(path), "%s/runtime/containers/%.64s", dir, p);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* Monitors of containers, and the helpers that a killed daemon leaves at their work. */
static bool helper_is_ours(const struct kill_job *k, pid_t pid)
{
	static const char *const names[] = { "conmon", "crun", "runc", "skopeo", "oci-unpack", "oci-pause" };
	char comm[32];
	char args[8192];
	size_t len;
	size_t i = 0;

	if (proc_comm(pid, comm, sizeof(comm)))
		return false;
	while (i < sizeof(names) / sizeof(names[0]) && strcmp(comm, names[i]))
		i++;
	if (i == sizeof(names) / sizeof(names[0]) || proc_cmdline(pid, args, sizeof(args), &len))
		return false;
	for (const char *p = args; p < args + len; p += strlen(p) + 1)
		if (below(p, k->dir, k->dir_len))
			return true;
	return false;
}

static bool process_is_ours(const struct kill_job *k, pid_t pid)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	char path[64];

	if (helper_is_ours(k, pid))
		return true;
	snprintf(path, sizeof(path), "/proc/%ld/cgroup", (long)pid);
	return ofile_read(AT_FDCWD, path, 65536, &b) == 0 && cgroup_is_ours(k->dir, obuf_cstr(&b));
}

static int kill_one(void *arg, pid_t pid)
{
	struct kill_job *k = arg;
	int fd;

	if (pid == getpid() || pid == 1 || k->n == sizeof(k->fds) / sizeof(k->fds[0]))
		return 0;
	fd = proc_open(pid, 0);
	if (fd < 0)
		return 0;
	if (proc_start_time(pid) && process_is_ours(k, pid) && proc_signal(fd, SIGKILL) == 0)
		k->fds[k->n++] = fd;
	else
		(void)close(fd);
	return 0;
}

/* Until a walk finds none: what was killed may have started others just before. */
static int kill_all(const struct setup *s, struct orlop_error *err)
{
	int64_t until = mono_ms() + END_MS;
	uint32_t n;

	do {
		struct kill_job k = { .dir = s->dir, .dir_len = strlen(s->dir) };

		(void)proc_each(kill_one, &k);
		n = k.n;
		for (uint32_t i = 0; i < k.n; i++) {
			int64_t left = until - mono_ms();

			(void)proc_wait(k.fds[i], left > 0 ? left : 0);
			(void)close(k.fds[i]);
		}
	} while (n && mono_ms() < until);
	return n ? orlop_fail(err, EBUSY, 0, "", "%u processes of %s do not end", n, s->dir) : 0;
}

/* ---- mounts ----------------------------------------------------------------------------------- */

/* mountinfo writes blanks and such as \ooo. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
		    isdigit((unsigned char)s[3])) {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/*
 * Unmounts the last mount below DIR; DIR itself may be a file system of its owner. 1: one went, 0:
 * there is none, or -errno.
 */
static int unmount_last(const char *dir, size_t len)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	char last[PATH_LEN] = "";
	char *save = NULL;
	int r = ofile_read(AT_FDCWD, "/proc/self/mountinfo", 16u << 20, &b);

	if (r)
		return r;
	for (char *line = b.data ? strtok_r(b.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		char point[PATH_LEN];

		/* 36 35 98:0 /root /mount/point … */
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
			continue;
		unescape(point);
		if (below(point, dir, len) && point[len])
			snprintf(last, sizeof(last), "%s", point);
	}
	if (!last[0])
		return 0;
	return umount2(last, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 1;
}

static int unmount_all(const struct setup *s, struct orlop_error *err)
{
	size_t len = strlen(s->dir);
	int r;

	do
		r = unmount_last(s->dir, len);
	while (r > 0);
	return r ? orlop_fail(err, -r, 0, "", "unmounting below %s: %s", s->dir, strerrordesc_np(-r)) : 0;
}

/* ---- links and packet rules --------------------------------------------------------------------- */

static void ports_remove(struct onl *nl, const char *bridge)
{
	char path[64];
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;

	snprintf(path, sizeof(path), "/sys/class/net/%s/brif", bridge);
	dp = opendir(path);
	while (dp && (d = readdir(dp)))
		if (d->d_name[0] != '.')
			(void)onl_link_del(nl, d->d_name);
}

static int network_remove(const struct setup *s, struct orlop_error *err)
{
	struct onl *nl = NULL;
	char table[64];
	int r = onl_open(ONL_ROUTE, &nl);

	if (r)
		return orlop_fail(err, -r, 0, "", "netlink: %s", strerrordesc_np(-r));
	if (onl_link_index(nl, s->bridge) > 0) {
		ports_remove(nl, s->bridge);
		r = onl_link_del(nl, s->bridge);
	}
	onl_close(nl);
	if (r && r != -ENODEV)
		return orlop_fail(err, -r, 0, "", "link %s: %s", s->bridge, strerrordesc_np(-r));
	nl = NULL;
	if (onl_open(ONL_NETFILTER, &nl) == 0) {
		snprintf(table, sizeof(table), "orlop-%s", s->bridge);
		if (onl_nft_table_has(nl, table) == 1)
			r = onl_nft_table_del(nl, table);
		onl_close(nl);
		if (r && r != -ENOENT)
			return orlop_fail(err, -r, 0, "", "nf_tables table %s: %s", table, strerrordesc_np(-r));
	}
	return 0;
}

/* ---- cgroups ---------------------------------------------------------------------------------- */

/* Only what holds no process goes: rmdir decides. */
static void cgroup_tree_remove(const char *path)
{
	cleanup_dir DIR *dp = opendir(path);
	struct dirent *d;
	char sub[PATH_LEN];

	while (dp && (d = readdir(dp)))
		if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, d->d_name) < sizeof(sub))
			cgroup_tree_remove(sub);
	(void)rmdir(path);
}

static void cgroups_remove(const struct setup *s)
{
	cleanup_dir DIR *dp = opendir("/sys/fs/cgroup");
	const char *root = s->cgroup_root + strspn(s->cgroup_root, "/");
	struct dirent *d;
	char path[PATH_LEN];

	if (!*root || strstr(root, ".."))
		return;
	/* v2: the one tree; v1 and hybrid: one a controller. */
	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", root);
	cgroup_tree_remove(path);
	while (dp && (d = readdir(dp))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", d->d_name, root) < sizeof(path))
			cgroup_tree_remove(path);
	}
}

/* ---- files -------------------------------------------------------------------------------------- */

/* All in the directory, then the directory, unless a file system is mounted on it. */
static int files_remove(const struct setup *s, struct orlop_error *err)
{
	cleanup_dir DIR *dp = opendir(s->dir);
	struct dirent *d;
	int r = dp ? 0 : -errno;

	while (r == 0 && (d = readdir(dp)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			r = ofile_remove_tree(dirfd(dp), d->d_name);
	if (r == 0 && rmdir(s->dir) < 0 && errno != EBUSY)
		r = -errno;
	return r ? orlop_fail(err, -r, 0, "", "removing %s: %s", s->dir, strerrordesc_np(-r)) : 0;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

int wipe(const struct setup *s, struct orlop_error *err)
{
	int r = kill_all(s, err);

	if (r == 0)
		r = unmount_all(s, err);
	if (r == 0)
		r = network_remove(s, err);
	if (r)
		return r;
	cgroups_remove(s);
	(void)unlink(s->control);
	return files_remove(s, err);
}
