/*
 * imagevol.c - images as volumes: the layers of an image, read-only, where a container has a mount of it.
 *
 * Each is an overlay of its own without an upper layer, at DIR/volumes/N of the container, from where the OCI runtime
 * binds it; a subPath is a bind of what is found below that, without leaving it. The mounts end with the container's
 * root filesystem. In a pod with users of its own the layers' owners are those users, as in its root filesystem.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

static const char *image_of(const struct ojson *mount)
{
	return ojson_cstr(OJSON_AT(mount, "image", "image"), "");
}

int imagevols_layers(struct oci *o, const struct ojson *config, struct ojson **ret, struct orlop_error *err)
{
	struct ojson *list = ojson_new_array();

	if (!list)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	OJSON_FOREACH_ELEM(i, m, ojson_get(config, "mounts")) {
		const struct image *img = *image_of(m) ? image_find(o, image_of(m)) : NULL;

		if (*image_of(m) && !img) {
			ojson_unref(list);
			return orlop_fail(err, ENOENT, 404, "NotFound", "image \"%s\" not found", image_of(m));
		}
		if (ojson_append(list, img ? ojson_ref(img->layers) : ojson_new_array())) {
			ojson_unref(list);
			return orlop_fail(err, ENOMEM, 0, "", "no memory");
		}
	}
	*ret = list;
	return 0;
}

bool imagevols_use(struct oci *o, const struct ojson *config, const struct image *img)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(config, "mounts"))
		if (*image_of(m) && image_find(o, image_of(m)) == img)
			return true;
	return false;
}

/* What is at @sub below @dir, mounted at @to; links do not lead out. */
static int sub_mount(const char *dir, const char *sub, const char *to, struct orlop_error *err)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	cleanup_close int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int at = root < 0 ? -1 : (int)syscall(SYS_openat2, root, sub, &how, sizeof(how));
	cleanup_close int tree = at < 0 ? -1 : (int)syscall(SYS_open_tree, at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	cleanup_close int file = -1;
	struct stat st;

	if (at < 0)
		return orlop_fail(err, errno, 0, "", "image volume: subpath \"%s\": %s", sub, strerrordesc_np(errno));
	if (tree < 0 || fstat(at, &st))
		return orlop_fail(err, errno, 0, "", "image volume: cannot mount subpath \"%s\"", sub);
	if (S_ISDIR(st.st_mode) ? mkdir(to, 0755) && errno != EEXIST : (file = open(to, O_CREAT | O_RDONLY | O_CLOEXEC, 0644)) < 0)
		return orlop_fail(err, errno, 0, "", "cannot make %s: %s", to, strerrordesc_np(errno));
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH))
		return orlop_fail(err, errno, 0, "", "cannot mount at %s: %s", to, strerrordesc_np(errno));
	return 0;
}

static int one_mount(const char *root, const char *dir, const struct ojson *layers, const char *userns, const char *to, struct orlop_error *err)
{
	size_t n = ojson_count(layers);
	struct obuf opt = OBUF_INIT;
	bool mapped = userns && n;
	int e = 0;

	if (mkdir(to, 0755) && errno != EEXIST)
		return orlop_fail(err, errno, 0, "", "cannot make %s: %s", to, strerrordesc_np(errno));
	if (mapped) {
		e = layers_map(root, dir, layers, userns, n, err);
		if (e)
			return e;
	}
	obuf_puts(&opt, "lowerdir=");
	for (size_t i = n; i-- > 0;)
		if (mapped)
			obuf_printf(&opt, "%s/low/%zu:", dir, i);
		else
			obuf_printf(&opt, "%s/l/%s:", root, ojson_cstr(ojson_index(layers, i), ""));
	/* without an upper layer an overlay has two at least */
	obuf_printf(&opt, "%s/l/empty:%s/none", root, dir);
	e = obuf_err(&opt);
	if (!e && opt.len >= 4096)
		e = -E2BIG;
	if (!e && mount("overlay", to, "overlay", MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV, opt.data))
		e = -errno;
	obuf_done(&opt);
	if (mapped)
		layers_unmap(dir, n);
	return e ? orlop_fail(err, -e, 0, "", "mount of an image (%zu layers) at %s", n, to) : 0;
}

int imagevols_mount(const char *root, const char *dir, const struct ojson *layers, const char *userns, struct ojson *container,
		    struct orlop_error *err)
{
	struct ojson *mounts = ojson_get(container, "mounts");
	cleanup_free char *volumes = omem_printf("%s/volumes", dir);
	char path[4096];
	char sub[4096];
	int e = volumes ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");

	for (size_t i = 0; i < ojson_count(mounts) && !e; i++) {
		struct ojson *m = ojson_index(mounts, i);
		const char *below = ojson_get_cstr(m, "imageSubPath", "");

		if (!*image_of(m))
			continue;
		snprintf(path, sizeof(path), "%s/volumes/none", dir);
		e = ofile_mkdir_p(path, 0755);
		if (e)
			return orlop_fail(err, -e, 0, "", "cannot make %s", path);
		snprintf(path, sizeof(path), "%s/volumes/%zu", dir, i);
		e = one_mount(root, volumes, ojson_index(layers, i), userns, path, err);
		if (!e && *below) {
			snprintf(sub, sizeof(sub), "%s/volumes/%zu.sub", dir, i);
			e = sub_mount(path, below, sub, err);
		}
		if (!e && (ojson_set_cstr(m, "hostPath", *below ? sub : path) || ojson_set_bool(m, "readonly", true) ||
			   ojson_set_bool(m, "noexec", true)))
			e = orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	return e;
}

void imagevols_unmount(const char *dir)
{
	char path[4096];
	struct dirent *d;

	snprintf(path, sizeof(path), "%s/volumes", dir);
	{
		cleanup_dir DIR *dp = opendir(path);

		while (dp && (d = readdir(dp))) {
			if (d->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/volumes/%s", dir, d->d_name);
			(void)umount2(path, MNT_DETACH);
		}
	}
}
