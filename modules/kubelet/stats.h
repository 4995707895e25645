/*
 * stats.h - what the machine and its pods use: taken when somebody asks, and only then.
 *
 * One taking reads cgroup files on a worker. Rates need two looks: the one before is remembered if it is not too
 * old; else a second one follows after a second.
 */
#ifndef KUBELET_STATS_H
#define KUBELET_STATS_H

#include "cgroup.h"
#include "kubelet.h"
#include "limits.h"

/* What is wanted beyond CPU and memory. */
#define STATS_RATE	1u	/* CPU in use now, not only since the beginning */
#define STATS_FS	2u	/* disks: directories are walked */
#define STATS_NET	4u

struct stats_use {
	uint64_t	bytes;
	uint64_t	inodes;
};

struct stats_ctr {
	char		*name;
	char		*id;
	char		*image;
	char		*cgroup;
	char		*log_dir;
	int64_t		started_ns;
	struct cg_stat	cg;
	bool		rated;
	uint64_t	nano_cores;
	struct stats_use rootfs;
	struct stats_use logs;
};

struct stats_vol {
	char		*name;
	char		*dir;
	bool		memory;		/* tmpfs: not a matter of the disk */
	bool		empty_dir;
	struct cg_fs	fs;
	struct stats_use use;
};

struct stats_pod {
	char		*uid;
	char		*ns;
	char		*name;
	char		*cgroup;
	char		*pod_dir;
	int64_t		started_ns;
	bool		host_network;
	struct cg_stat	cg;
	bool		rated;
	uint64_t	nano_cores;
	struct stats_ctr *ctrs;
	uint32_t	n_ctrs;
	struct stats_vol *vols;
	uint32_t	n_vols;
	struct stats_use other;		/* the pod's own files beside its volumes */
	struct cg_net_if net[CG_NET_MAX];
	uint32_t	n_net;
};

struct stats {
	struct kubelet	*k;
	uint32_t	what;
	char		*root;
	char		*pods_cgroup;	/* of all pods */
	char		*image_dir;
	int64_t		boot_ns;	/* when the machine was started */
	int64_t		self_ns;	/* when this process was */
	struct cg_stat	node;
	bool		node_rated;
	uint64_t	node_nano_cores;
	int64_t		window_ns;	/* between the two looks of node_nano_cores */
	struct cg_stat	all_pods;
	bool		all_pods_rated;
	uint64_t	all_pods_nano_cores;
	struct cg_stat	self;		/* this process */
	bool		self_rated;
	uint64_t	self_nano_cores;
	struct cg_net_if net[CG_NET_MAX];
	uint32_t	n_net;
	char		net_default[16];
	struct cg_fs	fs;
	struct cg_fs	image_fs;
	uint64_t	max_pid;
	uint64_t	cur_pid;
	uint64_t	swap_total;
	struct stats_pod *pods;
	uint32_t	n_pods;
};

/* ---- stats.c ------------------------------------------------------------------------------------- */

/* Called once, on the loop. @s NULL: it failed. Borrowed. */
typedef void (*stats_fn)(void *arg, const struct stats *s);
void stats_take(struct kubelet *k, uint32_t what, stats_fn fn, void *arg);
/* Who waits hears NULL. */
void stats_stop(struct kubelet *k);
void stats_free(struct kubelet *k);
/* What a pod has on the node's disk: writable layers, logs, emptyDirs, its own files. */
uint64_t stats_pod_disk(const struct stats_pod *p);
uint64_t stats_pod_inodes(const struct stats_pod *p);

/* ---- statread.c (worker) --------------------------------------------------------------------------- */

/* Fills everything that is read of files. */
void stats_read(struct stats *s);

/* ---- statsummary.c, statprom.c: as upstream writes them (pure) ---------------------------------------- */

/* @window: tell also over which time rates are: for our own API server. */
void summary_write(const struct stats *s, bool only_cpu_and_memory, bool window, struct obuf *out);
void prom_resource(const struct stats *s, struct obuf *out);
void prom_cadvisor(const struct stats *s, struct obuf *out);

#endif
