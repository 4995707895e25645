/*
 * sweep.c - directories, logs and cgroups of pods that nobody knows any more: left by a daemon that died at the wrong moment,
 * or by pods that were removed by force while it was down. Looked for once, when everything is known.
 *
 * Nothing is deleted below which something is still mounted; a cgroup with a process in it stays.
 * Source: pkg/kubelet/kubelet_volumes.go (cleanupOrphanedPodDirs), kuberuntime_gc.go (evictPodLogsDirectories).
 */
#include "cgroup.h"
#include "kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

enum found_kind { F_DIR, F_LOGS, F_CGROUP };

struct found {
	enum found_kind	kind;
	char		*path;
	char		*uid;
	bool		gone;		/* to be removed, then: removed */
};

struct sweep {
	struct kubelet	*k;
	char		*pods;		/* ROOT/pods */
	char		*logs;
	char		*cgroup;	/* "/kubepods", NULL: not ours */
	struct found	*v;
	uint32_t	n;
};

static void add(struct sweep *s, enum found_kind kind, const char *dir, const char *name, const char *uid)
{
	struct found *v = omem_realloc_array(s->v, s->n + 1, sizeof(*v));

	if (!v)
		return;
	s->v = v;
	v = &v[s->n];
	memset(v, 0, sizeof(*v));
	v->kind = kind;
	v->path = omem_printf("%s/%s", dir, name);
	v->uid = omem_strdup(uid);
	if (v->path && v->uid) {
		s->n++;
	} else {
		omem_free(v->path);
		omem_free(v->uid);
	}
}

/* "36 characters with dashes where a UID has them" */
static bool is_uid(const char *p)
{
	return strlen(p) == 36 && p[8] == '-' && p[13] == '-' && p[18] == '-' && p[23] == '-' &&
		strspn(p, "0123456789abcdef-") == 36;
}

static void list(struct sweep *s, enum found_kind kind, const char *dir, const char *show)
{
	cleanup_dir DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		const char *uid = e->d_name;

		if (kind == F_LOGS) {	/* NS_NAME_UID */
			uid = strrchr(uid, '_');
			uid = uid ? uid + 1 : "";
		} else if (kind == F_CGROUP) {
			uid = strncmp(uid, "pod", 3) ? "" : uid + 3;
		}
		if (is_uid(uid))
			add(s, kind, show, e->d_name, uid);
	}
}

static void look_work(void *arg)
{
	static const char *const classes[] = { "", "/burstable", "/besteffort" };
	struct sweep *s = arg;
	char path[4096];
	char show[300];
	size_t i;

	list(s, F_DIR, s->pods, s->pods);
	list(s, F_LOGS, s->logs, s->logs);
	for (i = 0; s->cgroup && i < 3; i++) {
		snprintf(show, sizeof(show), "%s%s", s->cgroup, classes[i]);
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s%s", cgroup_is_v2() ? "" : "/cpu", show);
		list(s, F_CGROUP, path, show);
	}
}

static void remove_work(void *arg)
{
	struct sweep *s = arg;
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		struct found *f = &s->v[i];

		if (!f->gone)
			continue;
		if (f->kind == F_CGROUP) {
			cgroup_prune(f->path);
			cgroup_remove(f->path);
		} else if (f->kind == F_DIR) {
			f->gone = !volumes_remove(f->path);
		} else {
			f->gone = !ofile_remove_tree(AT_FDCWD, f->path);
		}
	}
}

static void sweep_free(struct sweep *s)
{
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		omem_free(s->v[i].path);
		omem_free(s->v[i].uid);
	}
	omem_free(s->v);
	omem_free(s->pods);
	omem_free(s->logs);
	omem_free(s->cgroup);
	omem_free(s);
}

static void removed(void *arg)
{
	struct sweep *s = arg;
	uint32_t i;

	for (i = 0; i < s->n && !s->k->stopping; i++)
		if (s->v[i].gone)
			OLOG(s->k->h, INFO, "leftover_files", "path=%s removed=1", s->v[i].path);
	sweep_free(s);
}

static void looked(void *arg)
{
	struct sweep *s = arg;
	bool any = false;
	uint32_t i;

	for (i = 0; i < s->n && !s->k->stopping; i++) {
		/* known ones, also those that are only known to be ended, remove their own */
		s->v[i].gone = !pod_get(s->k, s->v[i].uid);
		any |= s->v[i].gone;
	}
	if (!any || s->k->h->work(s->k->h, 0, remove_work, removed, s))
		sweep_free(s);
}

void sweep_start(struct kubelet *k)
{
	struct sweep *s = OMEM_NEW(struct sweep);
	const char *cg = k->cgroup_root;

	if (!s)
		return;
	s->k = k;
	s->pods = omem_printf("%s/pods", k->root);
	s->logs = omem_strdup(k->log_dir);
	s->cgroup = k->cgroups_per_qos ? omem_printf("/%s", *cg == '/' ? cg + 1 : cg) : NULL;
	if (!s->pods || !s->logs || k->h->work(k->h, 0, look_work, looked, s))
		sweep_free(s);
}
