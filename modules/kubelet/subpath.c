/*
 * subpath.c - a directory or file inside a volume, mounted so that nobody can make it another one. Runs on workers.
 *
 * The container that shares the volume may be hostile: it swaps directories for links at any moment (CVE-2017-1002101,
 * CVE-2021-25741). So the path is opened once, beneath the volume: links that lead out of it, absolute ones and ".." above
 * it are refused by the kernel, and what is mounted is what was opened, by its descriptor, never by its name.
 */
#include "kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

static int beneath(int dirfd, const char *sub, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int tries = 100;
	int fd;

	/* -EAGAIN: something was renamed on the way, so the kernel cannot tell */
	do
		fd = (int)syscall(SYS_openat2, dirfd, sub, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && --tries);
	return fd;
}

/* What is missing of @sub, with the permissions of the volume itself, so that who may write there may write here. */
static int dirs_make(int root, const char *sub, mode_t mode)
{
	char part[4096];
	size_t at = 0;

	for (;;) {
		size_t n = at + strcspn(sub + at, "/");
		cleanup_close int parent = -1;
		cleanup_close int made = -1;
		const char *name;
		char *slash;

		if (n >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, sub, n);
		part[n] = '\0';
		slash = strrchr(part, '/');
		if (slash)
			*slash = '\0';
		name = slash ? slash + 1 : part;
		parent = beneath(root, slash ? (*part ? part : ".") : ".", O_PATH | O_DIRECTORY);
		if (parent < 0)
			return -errno;
		if (n > at && strcmp(name, ".")) {
			if (!mkdirat(parent, name, mode & 0777)) {
				/* the mask of this process is not meant; only what was just made is touched */
				made = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
				if (made >= 0)
					(void)fchmod(made, mode & 07777);
			} else if (errno != EEXIST) {
				return -errno;
			}
		}
		if (!sub[n])
			return 0;
		at = n + 1;
	}
}

/* Is what is mounted at @at that very file? */
static bool same_file(int fd, const char *at)
{
	struct stat a;
	struct stat b;

	return !fstat(fd, &a) && !stat(at, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int target_make(const char *at, bool is_dir, struct obuf *err)
{
	char parent[4096];
	struct stat st;
	char *slash;
	int e;

	snprintf(parent, sizeof(parent), "%s", at);
	slash = strrchr(parent, '/');
	*slash = '\0';
	e = ofile_mkdir_p(parent, 0750);
	/* what it was before may have been of the other kind */
	if (!e && !lstat(at, &st) && S_ISDIR(st.st_mode) != is_dir && (is_dir ? unlink(at) : rmdir(at)))
		e = -errno;
	if (!e && is_dir)
		e = ofile_mkdir_p(at, 0750);
	else if (!e)
		e = ofile_write(AT_FDCWD, at, "", 0, 0640);
	return e ? vol_why(err, e, "make", at) : 0;
}

int subpath_mount(const char *dir, const char *sub, const char *at, bool *ret_is_dir, struct obuf *err)
{
	cleanup_close int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int fd = -1;
	char src[64];
	struct stat vol;
	struct stat st;
	int e;

	if (root < 0 || fstat(root, &vol))
		return vol_why(err, errno, "open", dir);
	fd = beneath(root, sub, O_PATH);
	if (fd < 0 && errno == ENOENT) {
		e = dirs_make(root, sub, vol.st_mode);
		if (e)
			return vol_why(err, e, "make subPath", sub);
		fd = beneath(root, sub, O_PATH);
	}
	if (fd < 0 || fstat(fd, &st))
		return vol_why(err, errno, "open subPath", sub);
	*ret_is_dir = S_ISDIR(st.st_mode);
	while (vol_is_mount(at)) {
		if (same_file(fd, at))
			return 0;
		if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW))
			return vol_why(err, errno, "unmount", at);
	}
	e = target_make(at, *ret_is_dir, err);
	if (e)
		return e;
	vol_root_share(at, "/volume-subpaths/");
	snprintf(src, sizeof(src), "/proc/self/fd/%d", fd);
	if (mount(src, at, NULL, MS_BIND | MS_REC, NULL))
		return vol_why(err, errno, "mount subPath", sub);
	return 0;
}
