/*
 * rootfs.c - mounts and namespaces: overlay root filesystems, pinned pod namespaces.
 *
 * Called on workers (and at start): only paths and texts come in. A namespace is pinned by a bind
 * mount of /proc/thread-self/ns/X while this thread is inside it; the thread goes back to its own
 * before it returns.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

static int make_dir(const char *dir, const char *name, mode_t mode, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", dir, name);
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

/* A copy of layer directory @from at @to, its owners mapped by the user namespace @ns. */
static int idmap_at(const char *from, const char *to, int ns, struct orlop_error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns };
	cleanup_close int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return orlop_fail(err, errno, 0, "", "user namespaces: this filesystem cannot map owners of %s (needs Linux 5.19): %s",
				  from, strerrordesc_np(errno));
	if ((mkdir(to, 0700) && errno != EEXIST) || syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH))
		return orlop_fail(err, errno, 0, "", "cannot mount at %s: %s", to, strerrordesc_np(errno));
	return 0;
}

/* Layer @i: itself, or its mapped copy DIR/low/I. */
static void layer_path(const char *root, const char *dir, const struct ojson *layers, size_t i, bool mapped, char *path, size_t size)
{
	if (mapped)
		snprintf(path, size, "%s/low/%zu", dir, i);
	else if (!ojson_count(layers))	/* an image without layers: an empty directory */
		snprintf(path, size, "%s/l/empty", root);
	else
		snprintf(path, size, "%s/l/%s", root, ojson_cstr(ojson_index(layers, i), ""));
}

static int points_in(const char *root, const char *name, bool etc)
{
	static const char *const dirs[] = { "proc", "sys", "dev" };
	static const char *const files[] = { "hosts", "resolv.conf" };
	char path[4096];
	size_t i;
	int e;

	snprintf(path, sizeof(path), "%s/l/%s", root, name);
	e = ofile_mkdir_p(path, 0755);
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !e; i++) {
		snprintf(path, sizeof(path), "%s/l/%s/%s", root, name, dirs[i]);
		e = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
	}
	snprintf(path, sizeof(path), "%s/l/%s/etc", root, name);
	if (!e && etc)
		e = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
	for (i = 0; i < sizeof(files) / sizeof(files[0]) && etc && !e; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/l/%s/etc/%s", root, name, files[i]);
		fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
		e = fd < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	}
	return e;
}

int points_make(const char *root, struct orlop_error *err)
{
	int e = points_in(root, POINTS, false);

	if (!e)
		e = points_in(root, POINTS_ETC, true);
	return e ? orlop_fail(err, -e, 0, "", "cannot make %s/l/%s", root, POINTS) : 0;
}

/* The overlay keeps what it was made of: the copies need no name any more. */
void layers_unmap(const char *dir, size_t n)
{
	char path[4096];
	size_t i;

	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/low/%zu", dir, i);
		(void)umount2(path, MNT_DETACH);
		(void)rmdir(path);
	}
	snprintf(path, sizeof(path), "%s/low", dir);
	(void)rmdir(path);
}

int layers_map(const char *root, const char *dir, const struct ojson *layers, const char *userns, size_t n, struct orlop_error *err)
{
	cleanup_close int ns = open(userns, O_RDONLY | O_CLOEXEC);
	char from[4096];
	char to[4096];
	size_t i;
	int e = ns < 0 ? orlop_fail(err, errno, 0, "", "open %s: %s", userns, strerrordesc_np(errno)) : 0;

	if (!e && make_dir(dir, "low", 0700, to, sizeof(to)))
		e = orlop_fail(err, errno, 0, "", "cannot make %s: %s", to, strerrordesc_np(errno));
	for (i = 0; i < n && !e; i++) {
		layer_path(root, dir, layers, i, false, from, sizeof(from));
		layer_path(root, dir, layers, i, true, to, sizeof(to));
		e = idmap_at(from, to, ns, err);
	}
	if (e)
		layers_unmap(dir, n);
	return e;
}

int rootfs_mount(const char *root, const char *dir, const char *rw, const struct ojson *layers, const char *userns, uint32_t uid, uint32_t gid,
		 struct orlop_error *err)
{
	char merged[4096];
	char upper[4096];
	char work[4096];
	struct obuf opt;
	size_t n = ojson_count(layers) ? ojson_count(layers) : 1;
	char layer[4096];
	size_t at;
	size_t i;
	int e;

	if (make_dir(dir, "rootfs", 0755, merged, sizeof(merged)) ||
	    make_dir(rw, "upper", 0755, upper, sizeof(upper)) ||
	    make_dir(rw, "work", 0700, work, sizeof(work)))
		return orlop_fail(err, errno, 0, "", "cannot make directories in %s and %s: %s", dir, rw, strerrordesc_np(errno));
	if (userns) {
		if (chown(upper, uid, gid) || chown(work, uid, gid))
			return orlop_fail(err, errno, 0, "", "cannot give %s away: %s", upper, strerrordesc_np(errno));
		e = layers_map(root, dir, layers, userns, n, err);
		if (e)
			return e;
	}
	obuf_init(&opt);
	obuf_puts(&opt, "lowerdir=");
	for (i = n; i-- > 0;) {
		layer_path(root, dir, layers, i, userns != NULL, layer, sizeof(layer));
		obuf_printf(&opt, "%s%s", layer, i ? ":" : "");
	}
	obuf_printf(&opt, ",upperdir=%s,workdir=%s", upper, work);
	e = obuf_err(&opt);
	if (!e && opt.len >= 4096)
		e = -E2BIG;
	/*
	 * volatile: nothing in there outlives the machine (a reboot ends the container, and its successor
	 * has a layer of its own), but unmounting without it writes the whole disk's cache out.
	 */
	at = opt.len;
	obuf_puts(&opt, ",volatile");
	if (!e && !(e = obuf_err(&opt)) && mount("overlay", merged, "overlay", 0, opt.data)) {
		obuf_truncate(&opt, at);
		if (mount("overlay", merged, "overlay", 0, obuf_cstr(&opt)))	/* before Linux 5.10 */
			e = -errno;
	}
	obuf_done(&opt);
	if (userns)
		layers_unmap(dir, n);
	if (e)
		return orlop_fail(err, -e, 0, "", "mount of the root filesystem in %s (%zu layers)", dir, n);
	return 0;
}

/* Who was killed in layers_map() or after it took nothing away; behind these are the images' own files. */
static void layers_left(const char *dir)
{
	char path[4096];
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;

	snprintf(path, sizeof(path), "%s/low", dir);
	dp = opendir(path);
	while (dp && (d = readdir(dp))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/low/%s", dir, d->d_name);
		(void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
}

void rootfs_unmount(const char *dir)
{
	char path[4096];

	layers_left(dir);
	snprintf(path, sizeof(path), "%s/volumes", dir);
	layers_left(path);
	imagevols_unmount(dir);
	snprintf(path, sizeof(path), "%s/rootfs", dir);
	(void)umount2(path, MNT_DETACH);
	snprintf(path, sizeof(path), "%s/shm", dir);
	(void)umount2(path, MNT_DETACH);
}

static int pin_one(const char *dir, const char *kind, struct orlop_error *err)
{
	char path[4096];
	char src[64];
	int fd;

	snprintf(path, sizeof(path), "%s/ns/%s", dir, kind);
	snprintf(src, sizeof(src), "/proc/thread-self/ns/%s", kind);
	fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "cannot make %s: %s", path, strerrordesc_np(errno));
	close(fd);
	if (mount(src, path, NULL, MS_BIND, NULL))
		return orlop_fail(err, errno, 0, "", "cannot pin a namespace at %s: %s", path, strerrordesc_np(errno));
	return 0;
}

/* Back to where we were, whatever happened; a thread that cannot is of no use any more. */
static int ns_return(int net, int ipc, int uts, int flags)
{
	if (((flags & CLONE_NEWNET) && setns(net, CLONE_NEWNET)) ||
	    ((flags & CLONE_NEWIPC) && setns(ipc, CLONE_NEWIPC)) || setns(uts, CLONE_NEWUTS))
		return -ENOTRECOVERABLE;
	return 0;
}

int ns_pin(const char *dir, const char *hostname, bool net, bool ipc, struct orlop_error *err)
{
	cleanup_close int home_net = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int home_ipc = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
	cleanup_close int home_uts = open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
	int flags = CLONE_NEWUTS | (net ? CLONE_NEWNET : 0) | (ipc ? CLONE_NEWIPC : 0);
	char path[4096];
	int e;

	if (home_net < 0 || home_ipc < 0 || home_uts < 0)
		return orlop_fail(err, errno, 0, "", "cannot open own namespaces");
	if (make_dir(dir, "ns", 0700, path, sizeof(path)))
		return orlop_fail(err, errno, 0, "", "cannot make %s: %s", path, strerrordesc_np(errno));
	if (unshare(flags))
		return orlop_fail(err, errno, 0, "", "cannot make namespaces for %s: %s", dir, strerrordesc_np(errno));
	e = sethostname(hostname, strlen(hostname)) ? -errno : 0;
	if (e)
		orlop_fail(err, -e, 0, "", "cannot set host name \"%s\"", hostname);
	if (!e)
		e = pin_one(dir, "uts", err);
	if (!e && net)
		e = pin_one(dir, "net", err);
	if (!e && ipc)
		e = pin_one(dir, "ipc", err);
	if (ns_return(home_net, home_ipc, home_uts, flags) && !e)
		e = orlop_fail(err, ENOTRECOVERABLE, 0, "", "cannot return to own namespaces");
	if (e)
		ns_unpin(dir);
	return e;
}

void ns_unpin(const char *dir)
{
	static const char *const kinds[] = { "net", "ipc", "uts", "user" };
	char path[4096];
	size_t i;

	snprintf(path, sizeof(path), "%s/shm", dir);
	(void)umount2(path, MNT_DETACH);

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "%s/ns/%s", dir, kinds[i]);
		(void)umount2(path, MNT_DETACH);
		(void)unlink(path);
	}
}

int shm_mount(const char *dir, uint32_t uid, uint32_t gid, struct orlop_error *err)
{
	char path[4096];
	char opt[96];

	snprintf(opt, sizeof(opt), "mode=1777,size=65536k,uid=%u,gid=%u", uid, gid);
	if (make_dir(dir, "shm", 0755, path, sizeof(path)) ||
	    mount("shm", path, "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, opt))
		return orlop_fail(err, errno, 0, "", "cannot mount %s: %s", path, strerrordesc_np(errno));
	return 0;
}
