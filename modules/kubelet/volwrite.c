/*
 * volwrite.c - volumes on disk. Runs on workers.
 *
 * Files are published the way upstream's AtomicWriter does, which programs in containers rely on:
 *	..2026_01_02_03_04_05.123456789/   the files
 *	..data -> ..2026_…                 replaced by rename
 *	NAME -> ..data/NAME                one for each first path element
 * so that all files of a volume change at one moment.
 */
#include "kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/otime.h"

int vol_why(struct obuf *err, int e, const char *what, const char *path)
{
	obuf_printf(err, "%s %s: %s", what, path, strerrordesc_np(e < 0 ? -e : e));
	return e < 0 ? e : -e;
}

/* Does PATH/..data hold exactly these files? */
static bool same_now(const struct vol_plan *v)
{
	char path[4096];
	uint32_t i;

	snprintf(path, sizeof(path), "%s/..data", v->dir);
	if (access(path, F_OK))
		return false;
	for (i = 0; i < v->n_files; i++) {
		struct obuf b = OBUF_INIT;
		struct stat st;
		bool same;

		snprintf(path, sizeof(path), "%s/..data/%s", v->dir, v->files[i].path);
		same = !stat(path, &st) &&
		       (st.st_mode & 0707) == ((v->files[i].mode | (v->fs_group >= 0 ? 0440u : 0)) & 0707) &&
		       !ofile_read(AT_FDCWD, path, v->files[i].len + 1, &b) && b.len == v->files[i].len &&
		       (!b.len || !memcmp(b.data, v->files[i].data, b.len));
		obuf_done(&b);
		if (!same)
			return false;
	}
	return true;
}

static bool name_wanted(const struct vol_plan *v, const char *name)
{
	size_t n = strlen(name);
	uint32_t i;

	for (i = 0; i < v->n_files; i++)
		if (!strncmp(v->files[i].path, name, n) && (!v->files[i].path[n] || v->files[i].path[n] == '/'))
			return true;
	return false;
}

/* Names that the volume shows and the plan does not have. */
static bool stale_names(const struct vol_plan *v, bool remove)
{
	cleanup_dir DIR *d = opendir(v->dir);
	struct dirent *e;
	bool found = false;

	while (d && (e = readdir(d))) {
		if (!strncmp(e->d_name, "..", 2) || !strcmp(e->d_name, ".") || name_wanted(v, e->d_name))
			continue;
		found = true;
		if (remove)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	return found;
}

static int own(const struct vol_plan *v, const char *path, mode_t mode)
{
	if (v->fs_group >= 0) {
		if (chown(path, (uid_t)-1, (gid_t)v->fs_group))
			return -errno;
		mode |= S_ISDIR(mode) ? 02550 : 0440;
	}
	return chmod(path, mode & 07777) ? -errno : 0;
}

static int payload_write(const struct vol_plan *v, const char *dir, struct obuf *err)
{
	char path[4096];
	uint32_t i;

	for (i = 0; i < v->n_files; i++) {
		const struct vol_file *f = &v->files[i];
		char *slash;
		int fd;
		int e;

		if (snprintf(path, sizeof(path), "%s/%s", dir, f->path) >= (int)sizeof(path))
			return vol_why(err, ENAMETOOLONG, "write", f->path);
		slash = strrchr(path, '/');
		*slash = '\0';
		e = ofile_mkdir_p(path, 0755);
		if (!e && strcmp(path, dir))
			e = own(v, path, S_IFDIR | 0755);
		*slash = '/';
		if (e)
			return vol_why(err, e, "make directory of", path);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return vol_why(err, errno, "write", path);
		e = ofile_write_all(fd, f->data, f->len);
		close(fd);
		if (!e)
			e = own(v, path, f->mode);
		if (!e && f->uid >= 0 && chown(path, (uid_t)f->uid, (gid_t)-1))
			e = -errno;
		if (e)
			return vol_why(err, e, "write", path);
	}
	return 0;
}

static int publish(const struct vol_plan *v, const char *stamp, struct obuf *err)
{
	char old[256] = "";
	char path[4096];
	char tmp[4096];
	char target[512];
	ssize_t n;
	uint32_t i;

	snprintf(path, sizeof(path), "%s/..data", v->dir);
	snprintf(tmp, sizeof(tmp), "%s/..data_tmp", v->dir);
	n = readlink(path, old, sizeof(old) - 1);
	old[n > 0 ? n : 0] = '\0';
	(void)unlink(tmp);
	if (symlink(stamp, tmp) || rename(tmp, path))
		return vol_why(err, errno, "publish", path);
	for (i = 0; i < v->n_files; i++) {
		int len = (int)strcspn(v->files[i].path, "/");

		snprintf(path, sizeof(path), "%s/%.*s", v->dir, len, v->files[i].path);
		snprintf(target, sizeof(target), "..data/%.*s", len, v->files[i].path);
		if (symlink(target, path) && errno != EEXIST)
			return vol_why(err, errno, "publish", path);
	}
	(void)stale_names(v, true);
	if (*old && strcmp(old, stamp) && !strchr(old, '/')) {
		snprintf(path, sizeof(path), "%s/%s", v->dir, old);
		(void)ofile_remove_tree(AT_FDCWD, path);
	}
	return 0;
}

static int files_write(const struct vol_plan *v, struct obuf *err)
{
	struct otime_civil c;
	struct timespec ts;
	char stamp[64];
	char dir[4096];
	int e = ofile_mkdir_p(v->dir, 0755);

	if (e)
		return vol_why(err, e, "make", v->dir);
	if (same_now(v) && !stale_names(v, false))
		return 0;
	clock_gettime(CLOCK_REALTIME, &ts);
	otime_to_civil((int64_t)ts.tv_sec * OTIME_SECOND + ts.tv_nsec, &c);
	snprintf(stamp, sizeof(stamp), "..%04d_%02d_%02d_%02d_%02d_%02d.%09d", (int)c.year, c.month, c.day, c.hour,
		 c.minute, c.second, c.nsec);
	snprintf(dir, sizeof(dir), "%s/%s", v->dir, stamp);
	(void)chmod(v->dir, 0755);
	if (mkdir(dir, 0755) || (e = own(v, dir, S_IFDIR | 0755)))
		return vol_why(err, e ? e : errno, "make", dir);
	e = payload_write(v, dir, err);
	if (!e)
		e = publish(v, stamp, err);
	if (e)
		(void)ofile_remove_tree(AT_FDCWD, dir);
	return e;
}

/* Also binds within one file system, which have its device number. */
bool vol_is_mount(const char *path)
{
	struct statx st;

	return !statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &st) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/*
 * What is mounted below root must be unmounted also where containers' monitors live, which is in
 * slave mount namespaces: before the first such mount root becomes a shared mount of its own.
 * @path is something below ROOT/pods/UID, where @marker begins what is in it.
 */
void vol_root_share(const char *path, const char *marker)
{
	const char *at = strstr(path, marker);
	cleanup_close int fd = -1;
	char root[4096];
	int up;

	if (!at || (size_t)(at - path) >= sizeof(root))
		return;
	snprintf(root, sizeof(root), "%.*s", (int)(at - path), path);
	for (up = 0; up < 2; up++) {
		char *slash = strrchr(root, '/');

		if (!slash || slash == root)
			return;
		*slash = '\0';
	}
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX))
		return;
	/* fails where root is no mount point */
	if (mount(NULL, root, NULL, MS_SHARED, NULL) && !mount(root, root, NULL, MS_BIND, NULL))
		(void)mount(NULL, root, NULL, MS_SHARED, NULL);
}

static int emptydir_make(const struct vol_plan *v, struct obuf *err)
{
	char opts[64] = "mode=0777";
	int e = ofile_mkdir_p(v->dir, 0777);

	if (e)
		return vol_why(err, e, "make", v->dir);
	if (v->memory && !vol_is_mount(v->dir)) {
		vol_root_share(v->dir, "/volumes/kubernetes.io~");
		if (v->size_limit > 0)
			snprintf(opts, sizeof(opts), "mode=0777,size=%lld", (long long)v->size_limit);
		if (mount("tmpfs", v->dir, "tmpfs", MS_NOSUID | MS_NODEV, opts))
			return vol_why(err, errno, "mount tmpfs at", v->dir);
	}
	e = own(v, v->dir, S_IFDIR | 0777);
	return e ? vol_why(err, e, "chmod", v->dir) : 0;
}

static int hostpath_make(const struct vol_plan *v, bool file, struct obuf *err)
{
	int fd;
	int e;

	if (!file) {
		e = ofile_mkdir_p(v->dir, 0755);
		return e ? vol_why(err, e, "make", v->dir) : 0;
	}
	fd = open(v->dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return vol_why(err, errno, "make", v->dir);
	close(fd);
	return 0;
}

static int hostpath_check(const struct vol_plan *v, struct obuf *err)
{
	static const struct { const char *type; mode_t mode; const char *words; } kinds[] = {
		{ "Directory", S_IFDIR, "directory" }, { "DirectoryOrCreate", S_IFDIR, "directory" },
		{ "File", S_IFREG, "file" }, { "FileOrCreate", S_IFREG, "file" },
		{ "Socket", S_IFSOCK, "socket file" }, { "CharDevice", S_IFCHR, "character device" },
		{ "BlockDevice", S_IFBLK, "block device" },
	};
	const char *t = v->host_type;
	struct stat st;
	int e = stat(v->dir, &st) ? errno : 0;
	size_t i;

	if (v->dir[0] != '/') {
		obuf_printf(err, "hostPath \"%s\" is not absolute", v->dir);
		return -EINVAL;
	}
	if (e && e != ENOENT)
		return vol_why(err, e, "stat", v->dir);
	/* without a type as container engines do where Docker did: it is made when it is not there */
	if (e && (!*t || strstr(t, "OrCreate"))) {
		e = hostpath_make(v, !strcmp(t, "FileOrCreate"), err);
		if (e)
			return e;
		e = stat(v->dir, &st) ? errno : 0;
	}
	if (!*t)
		return 0;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(t, kinds[i].type))
			continue;
		if (!e && (st.st_mode & S_IFMT) == kinds[i].mode)
			return 0;
		obuf_printf(err, "hostPath type check failed: %s is not a %s", v->dir, kinds[i].words);
		return e ? -ENOENT : -EINVAL;
	}
	obuf_printf(err, "%s is an invalid volume type", t);
	return -EINVAL;
}

int volume_write(const struct vol_plan *v, struct obuf *err)
{
	switch (v->kind) {
	case VK_EMPTYDIR:
		return emptydir_make(v, err);
	case VK_HOSTPATH:
		return hostpath_check(v, err);
	default:
		return files_write(v, err);
	}
}

/* Unmount everything below @dir, the last mounted first. 0, or -errno: something is left. */
static int unmount_below(const char *dir)
{
	size_t n = strlen(dir);
	int round;

	for (round = 0; round < 1000; round++) {
		cleanup_file FILE *f = fopen("/proc/self/mountinfo", "re");
		char line[8192];
		char last[4096] = "";

		if (!f)
			return -errno;
		while (fgets(line, sizeof(line), f)) {
			char at[4096];

			if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && !strncmp(at, dir, n) && at[n] == '/')
				snprintf(last, sizeof(last), "%s", at);
		}
		if (!*last)
			return 0;
		if (umount2(last, MNT_DETACH | UMOUNT_NOFOLLOW))
			return -errno;
	}
	return -EBUSY;
}

/* Never before everything is unmounted: behind a sub-path may be files of the host. */
int volumes_remove(const char *pod_dir)
{
	int e = unmount_below(pod_dir);

	return e ? e : ofile_remove_tree(AT_FDCWD, pod_dir);
}
