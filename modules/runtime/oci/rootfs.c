/*
 * rootfs.c - mounts and namespaces: overlay root filesystems, pinned pod namespaces.
 *
 * Called on workers (and at start): only paths and texts come in. A namespace is pinned by a bind
 * mount of /proc/thread-self/ns/X while this thread is inside it; the thread goes back to its own
 * before it returns.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

static int make_dir(const char *dir, const char *name, mode_t mode, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", dir, name);
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

int rootfs_mount(const char *root, const char *dir, const struct ojson *layers, struct orlop_error *err)
{
	char merged[4096];
	char upper[4096];
	char work[4096];
	struct obuf opt;
	size_t n = ojson_count(layers);
	size_t at;
	size_t i;
	int e;

	if (make_dir(dir, "rootfs", 0755, merged, sizeof(merged)) ||
	    make_dir(dir, "upper", 0755, upper, sizeof(upper)) ||
	    make_dir(dir, "work", 0700, work, sizeof(work)))
		return orlop_fail(err, errno, 0, "", "cannot make directories in %s", dir);
	obuf_init(&opt);
	obuf_puts(&opt, "lowerdir=");
	for (i = n; i-- > 0;) {
		obuf_printf(&opt, "%s/l/%s%s", root, ojson_cstr(ojson_index(layers, i), ""), i ? ":" : "");
	}
	if (!n)		/* an image without layers: an empty directory */
		obuf_printf(&opt, "%s/l/empty", root);
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
	if (e)
		return orlop_fail(err, -e, 0, "", "mount of the root filesystem in %s (%zu layers)", dir, n);
	return 0;
}

void rootfs_unmount(const char *dir)
{
	char path[4096];

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
		return orlop_fail(err, errno, 0, "", "cannot make %s", path);
	close(fd);
	if (mount(src, path, NULL, MS_BIND, NULL))
		return orlop_fail(err, errno, 0, "", "cannot pin a namespace at %s", path);
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
		return orlop_fail(err, errno, 0, "", "cannot make %s", path);
	if (unshare(flags))
		return orlop_fail(err, errno, 0, "", "cannot make namespaces for %s", dir);
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
	static const char *const kinds[] = { "net", "ipc", "uts" };
	char path[4096];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "%s/ns/%s", dir, kinds[i]);
		(void)umount2(path, MNT_DETACH);
		(void)unlink(path);
	}
}
