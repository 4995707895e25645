/*
 * volplan.h - a pod's volumes, from what the API says of them to files: planned without touching anything, made by workers.
 */
#ifndef KUBELET_VOLPLAN_H
#define KUBELET_VOLPLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/obuf.h"
#include "json/ojson.h"

/* ---- volplan.c (logic) ------------------------------------------------------------------------------------ */

struct vol_file {
	char		*path;		/* inside the volume: "a", "dir/b" */
	char		*data;
	size_t		len;
	uint32_t	mode;
	int64_t		uid;		/* whose it is, -1: root's */
};

enum vol_kind { VK_EMPTYDIR, VK_FILES, VK_HOSTPATH };

struct vol_plan {
	enum vol_kind	kind;
	char		*name;
	char		*dir;		/* absolute */
	bool		memory;		/* emptyDir on tmpfs */
	int64_t		size_limit;	/* bytes, 0 none */
	char		*host_type;	/* hostPath type */
	int64_t		fs_group;	/* -1 none */
	struct vol_file	*files;
	uint32_t	n_files;
};

/* What a plan is made of. */
struct vol_world {
	void		*arg;
	/* ConfigMap (kind 'c') or Secret ('s') of the pod's namespace; NULL: not there. Caller unrefs. */
	struct ojson	*(*get)(void *arg, char kind, const char *name);
	const char	*(*token)(void *arg, const char *volume, size_t source);
	const struct ojson *pod;
	const char	*pods_dir;	/* of this pod: ROOT/pods/UID */
	const char	*node_ip;
	const char	*pod_ip;
	const char	*pod_ip2;	/* NULL: none */
	int64_t		cpu_milli;	/* allocatable, as these: */
	int64_t		memory;
	int64_t		storage;
};

/* Plans of all volumes. 0, or -ENOENT … with the reason in @err (names the volume in @ret_name). */
int volumes_plan(const struct vol_world *w, struct vol_plan **ret, uint32_t *ret_n, struct obuf *err,
		 const char **ret_name);
void volumes_plan_free(struct vol_plan *v, uint32_t n);
/* "kubernetes.io~configmap" of a volume, NULL: of no kind that is known. */
const char *volume_plugin(const struct ojson *vol);
/* Calls @fn for each ConfigMap ('c') and Secret ('s') that the pod's spec names. */
void pod_refs_each(const struct ojson *pod, void (*fn)(void *arg, char kind, const char *name), void *arg);

/* ---- volwrite.c (workers) ---------------------------------------------------------------------------------- */

/* Make the volume be as planned. 0 or -errno with @err. */
int volume_write(const struct vol_plan *v, struct obuf *err);
int volumes_remove(const char *pod_dir);
/* "what path: why" into @err; returns -errno. */
int vol_why(struct obuf *err, int e, const char *what, const char *path);
/* Also binds within one file system, which have its device number. */
bool vol_is_mount(const char *path);
/* Before something is mounted at @path, below the kubelet's root: that becomes a shared mount. */
void vol_root_share(const char *path, const char *marker);

/* ---- subpath.c (workers) ------------------------------------------------------------------------------------ */

/* What is at @sub inside the volume @dir, mounted at @at; made as a directory if it is not there. */
int subpath_mount(const char *dir, const char *sub, const char *at, bool *ret_is_dir, struct obuf *err);

#endif
