/*
 * devices.c - devices of the machine that a container gets: those asked for, or all for a privileged one.
 * Runs on workers.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"

#define DEPTH_MAX	8

static int device_add(struct ojson *list, const char *path, const struct stat *st, const char *access)
{
	struct ojson *d = ojson_new_object();

	if (!d)
		return -ENOMEM;
	(void)ojson_set_cstr(d, "path", path);
	(void)ojson_set_cstr(d, "type", S_ISBLK(st->st_mode) ? "b" : "c");
	(void)ojson_set_i64(d, "major", major(st->st_rdev));
	(void)ojson_set_i64(d, "minor", minor(st->st_rdev));
	(void)ojson_set_i64(d, "fileMode", st->st_mode & 07777);
	(void)ojson_set_i64(d, "uid", st->st_uid);
	(void)ojson_set_i64(d, "gid", st->st_gid);
	(void)ojson_set_cstr(d, "access", access);
	return ojson_append(list, d);
}

static bool is_device(const struct stat *st)
{
	return S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode);
}

/* All of a directory but what every container has of its own (/dev/pts, shm, mqueue, fd, console, ptmx). */
static int all_below(struct ojson *list, const char *host, const char *path, int depth)
{
	static const char *const own[] = { "pts", "shm", "mqueue", "fd", "console", "ptmx", "tty", "null", "zero", "full", "random",
					   "urandom", "stdin", "stdout", "stderr", ".lxc", ".lxd-mounts", ".udev" };
	cleanup_dir DIR *dp = opendir(host);
	struct dirent *d;
	int e = 0;

	while (dp && !e && (d = readdir(dp))) {
		char sub[512], to[512];
		struct stat st;
		size_t i;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		for (i = 0; !depth && i < sizeof(own) / sizeof(own[0]) && strcmp(own[i], d->d_name) != 0; i++)
			;
		if ((!depth && i < sizeof(own) / sizeof(own[0])) ||
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", host, d->d_name) >= sizeof(sub) ||
		    (size_t)snprintf(to, sizeof(to), "%s/%s", path, d->d_name) >= sizeof(to) || lstat(sub, &st))
			continue;
		if (is_device(&st))
			e = device_add(list, to, &st, "rwm");
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			e = all_below(list, sub, to, depth + 1);
	}
	return e;
}

int devices_find(const struct ojson *container, struct ojson **ret, struct orlop_error *err)
{
	struct ojson *list = ojson_new_array();
	int e = list ? 0 : -ENOMEM;

	if (!e && ojson_get_bool(OJSON_AT(container, "linux", "securityContext"), "privileged", false))
		e = all_below(list, "/dev", "/dev", 0);
	OJSON_FOREACH_ELEM(i, d, ojson_get(container, "devices")) {
		const char *host = ojson_get_cstr(d, "hostPath", "");
		const char *path = ojson_get_cstr(d, "containerPath", host);
		const char *access = ojson_get_cstr(d, "permissions", "");
		struct stat st;

		if (e)
			break;
		if (*host != '/' || *path != '/' || strspn(access, "rwm") != strlen(access))
			e = orlop_fail(err, EINVAL, 0, "", "device \"%s\" at \"%s\": absolute paths and permissions of rwm are needed", host, path);
		else if (stat(host, &st))
			e = orlop_fail(err, errno, 0, "", "error gathering device information while adding device \"%s\": %s", host,
				       strerrordesc_np(errno));
		else if (is_device(&st))
			e = device_add(list, path, &st, *access ? access : "rwm");
		else if (S_ISDIR(st.st_mode))
			e = all_below(list, host, path, 1);
		else
			e = orlop_fail(err, EINVAL, 0, "", "error gathering device information while adding device \"%s\": not a device node", host);
	}
	if (e) {
		ojson_unref(list);
		return err->err ? e : orlop_fail(err, -e, 0, "", "devices");
	}
	*ret = list;
	return 0;
}
