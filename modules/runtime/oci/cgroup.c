/*
 * cgroup.c - which cgroups this machine has, and removing those that are left empty.
 *
 * v2: one hierarchy. v1 and hybrid: the controllers are v1; crun before 1.9 refuses when it sees
 * the v2 mount beside them, so it is hidden in a mount namespace of its own
 * (libraries.md measured it; `crun --version` is not trusted, hiding never hurts).
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

#define CGROUP_ROOT	"/sys/fs/cgroup"

static bool is_cgroup2(const char *path)
{
	struct statfs st;

	return !statfs(path, &st) && (unsigned long)st.f_type == CGROUP2_SUPER_MAGIC;
}

void cgroup_detect(struct oci *o)
{
	o->cgroups = is_cgroup2(CGROUP_ROOT) ? OCI_CGROUPS_V2 : OCI_CGROUPS_V1;
	o->hybrid = o->cgroups == OCI_CGROUPS_V1 && is_cgroup2(CGROUP_ROOT "/unified");
	o->spawn_flags = o->hybrid && o->is_crun ? ORLOP_SPAWN_NEWNS | ORLOP_SPAWN_HIDE_UNIFIED : 0;
}

void cgroup_file(const struct oci *o, const char *controller, const char *cgroup, const char *file, char *buf, size_t size)
{
	if (o->cgroups == OCI_CGROUPS_V2)
		snprintf(buf, size, CGROUP_ROOT "%.3000s/%.100s", cgroup, file);
	else
		snprintf(buf, size, CGROUP_ROOT "/%.100s%.3000s/%.100s", controller, cgroup, file);
}

int cgroup_read(const struct oci *o, const char *controller, const char *cgroup, const char *file, struct obuf *out)
{
	char path[4096];

	cgroup_file(o, controller, cgroup, file, path, sizeof(path));
	obuf_reset(out);
	return ofile_read(AT_FDCWD, path, 65536, out);
}

int cgroup_write(const struct oci *o, const char *controller, const char *cgroup, const char *file, const char *text)
{
	char path[4096];

	cgroup_file(o, controller, cgroup, file, path, sizeof(path));
	return ofile_poke(AT_FDCWD, path, text, strlen(text));
}

/* rmdir of a cgroup and what is below it; cgroups have no other files to remove. */
static void remove_tree(const char *path)
{
	cleanup_dir DIR *dp = opendir(path);
	struct dirent *d;
	char sub[4096];

	while (dp && (d = readdir(dp)))
		if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, d->d_name) < sizeof(sub))
			remove_tree(sub);
	(void)rmdir(path);
}

void cgroup_remove(struct oci *o, const char *cgroup)
{
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	char path[4096];

	if (!*cgroup || strstr(cgroup, ".."))
		return;
	if (o->cgroups == OCI_CGROUPS_V2) {
		snprintf(path, sizeof(path), CGROUP_ROOT "/%s", cgroup);
		remove_tree(path);
		return;
	}
	dp = opendir(CGROUP_ROOT);
	while (dp && (d = readdir(dp))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;	/* links like cpu → cpu,cpuacct are seen once */
		snprintf(path, sizeof(path), CGROUP_ROOT "/%.255s/%.3000s", d->d_name, cgroup);
		remove_tree(path);
	}
}
