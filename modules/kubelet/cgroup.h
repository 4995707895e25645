/*
 * cgroup.h - what cgroups say and are told, on either version of them. Files only: for workers.
 */
#ifndef KUBELET_CGROUP_H
#define KUBELET_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct obuf;

/* ---- cgstat.c ---------------------------------------------------------------------------------- */

/* One look at a cgroup. Bytes, nanoseconds; limits of INT64_MAX: none. */
struct cg_stat {
	bool		ok;		/* it is there */
	int64_t		time_ns;	/* wall, of the look */
	uint64_t	cpu_ns;
	uint64_t	cpu_user_ns;
	uint64_t	cpu_system_ns;
	uint64_t	cfs_periods;
	uint64_t	cfs_throttled;
	uint64_t	cfs_throttled_ns;
	uint64_t	mem_usage;
	uint64_t	mem_working_set;
	uint64_t	mem_rss;
	uint64_t	mem_cache;
	uint64_t	mem_mapped;
	uint64_t	mem_swap;
	uint64_t	mem_max;	/* most ever */
	uint64_t	mem_failcnt;
	int64_t		mem_limit;
	uint64_t	pgfault;
	uint64_t	pgmajfault;
	uint64_t	oom_kills;
	uint64_t	pids;		/* processes and threads */
	uint64_t	processes;
	int32_t		pid;		/* one of its processes, 0: none */
};

struct cg_net_if {
	char		name[16];
	uint64_t	rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t	tx_bytes, tx_packets, tx_errors, tx_dropped;
};

#define CG_NET_MAX	16

struct cg_fs {
	bool		ok;
	uint64_t	available, capacity, used;
	uint64_t	inodes_free, inodes, inodes_used;
};

bool cgroup_is_v2(void);
/* @cgroup begins with '/'; "/" is the machine. */
void cgroup_stat(const char *cgroup, struct cg_stat *ret);
/* Interfaces that process @pid sees, without lo and those whose names begin with @without ("": none). */
uint32_t cgroup_net(int32_t pid, const char *without, struct cg_net_if *ret, uint32_t max);
/* Of the file system of @path. */
void fs_stat(const char *path, struct cg_fs *ret);
/* What is in a directory: bytes on disk and inodes added to @bytes and @inodes. Stays in its file system. */
void fs_usage(const char *path, uint64_t *bytes, uint64_t *inodes);

/* ---- cgset.c ----------------------------------------------------------------------------------- */

/* What a cgroup shall have; 0: is left alone, -1: no limit. */
struct cg_limits {
	int64_t		cpu_shares;
	int64_t		cpu_quota;	/* µs in a period of 100 ms */
	int64_t		memory;		/* bytes */
	int64_t		memory_swap;	/* memory and swap together, bytes */
	int64_t		pids;
	int64_t		memory_min;	/* protected (v2) */
};

/* Made if it is not there, with all controllers that kubelets use. 0 or -errno with @err. */
int cgroup_make(const char *cgroup, struct obuf *err);
int cgroup_set(const char *cgroup, const struct cg_limits *l, struct obuf *err);
/* v1: what is below it in the CPU hierarchy and has no process goes. */
void cgroup_prune(const char *cgroup);
/* Removed if nothing is in it. */
void cgroup_remove(const char *cgroup);
/* Shares (2 … 262144) as v2 weight (1 … 10000), as runtimes convert them. */
uint64_t cgroup_weight(uint64_t shares);

#endif
