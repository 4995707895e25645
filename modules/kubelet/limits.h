/*
 * limits.h - how far this node lets itself be used: thresholds of eviction, what is reserved, garbage collection.
 *
 * Parameters have the names of upstream's flags, with underscores. Source: pkg/kubelet/eviction/helpers.go
 * (parsing, order, messages), pkg/kubelet/cm/node_container_manager_linux.go (allocatable).
 */
#ifndef KUBELET_LIMITS_H
#define KUBELET_LIMITS_H

#include "kubelet.h"

enum signal {
	SIG_MEMORY, SIG_NODEFS, SIG_NODEFS_INODES, SIG_IMAGEFS, SIG_IMAGEFS_INODES, SIG_PID, N_SIGNALS,
};

/* Below @value (or @percent of the capacity) there is pressure. */
struct threshold {
	enum signal	signal;
	bool		soft;
	double		percent;	/* 0: @value counts */
	int64_t		value;
	int64_t		grace_ns;	/* soft: how long it must last */
	int64_t		reclaim;	/* how much more is to be freed */
	double		reclaim_percent;
};

#define MAX_THRESHOLDS	24

/* Amounts that pods do not get. */
struct reserve {
	int64_t		cpu_milli;
	int64_t		memory;
	int64_t		storage;
	int64_t		pids;
};

struct limits {
	struct threshold t[MAX_THRESHOLDS];
	uint32_t	n;
	int64_t		transition_ns;
	int64_t		max_pod_grace_s;
	struct reserve	reserved;	/* kube_reserved and system_reserved */
	int64_t		max_pods;
	int64_t		pod_max_pids;	/* -1: no limit */
	int64_t		image_high;	/* percent of the file system in use */
	int64_t		image_low;
	int64_t		image_min_age_ns;
	int64_t		dead_per_container;
	int64_t		dead_all;	/* -1: any */
	int64_t		shutdown_ns;
	int64_t		shutdown_critical_ns;
};

/* ---- limits.c (logic) ------------------------------------------------------------------------------ */

const char *signal_name(enum signal s);
/* "memory.available<100Mi,…" appended. 0 or -EINVAL with @err. */
int thresholds_parse(struct limits *l, const char *text, bool soft, struct obuf *err);
int thresholds_grace(struct limits *l, const char *text, struct obuf *err);
int thresholds_reclaim(struct limits *l, const char *text, struct obuf *err);
/* "cpu=100m,memory=1Gi,…" added. */
int reserve_parse(struct reserve *r, const char *text, struct obuf *err);
/* Go's durations: "5m0s", "1h30m", "100ms". -EINVAL */
int duration_parse(const char *text, int64_t *ret_ns);
/* Amount under which it is pressure. */
int64_t threshold_amount(const struct threshold *t, int64_t capacity);
int64_t threshold_reclaim(const struct threshold *t, int64_t capacity);
/* What is left for pods of the machine's. */
struct reserve limits_allocatable(const struct limits *l, const struct machine *m);

/* Reads the module's parameters. */
int limits_read(struct kubelet *k, struct limits *l, struct orlop_error *err);
/* As KubeletConfiguration has them. */
void limits_config(const struct kubelet *k, struct ojson *config);

/* ---- evict.c --------------------------------------------------------------------------------------- */

enum pressure { PRESSURE_MEMORY, PRESSURE_DISK, PRESSURE_PID, N_PRESSURES };

int evict_init(struct kubelet *k);
void evict_stop(struct kubelet *k);
void evict_free(struct kubelet *k);
/* Look at what is left of the machine; act if it is too little. */
void evict_look(struct kubelet *k);
bool evict_pressure(const struct kubelet *k, enum pressure p);
void evict_metrics(const struct kubelet *k, struct obuf *out);
/* Ends a pod: status Failed with reason and message; @grace_s for its containers. */
void pod_fail(struct pod *p, const char *reason, const char *message, int64_t grace_s, bool disruption);

/* ---- gc.c -------------------------------------------------------------------------------------------- */

/* The runtime's images, as listed for the Node's status. */
void gc_images_seen(struct kubelet *k, const struct ojson *list);
/* How full the images' file system is. */
void gc_disk_seen(struct kubelet *k, int64_t capacity, int64_t available);
/* maximum_dead_containers */
void gc_dead_limit(struct kubelet *k);
/* Everything that nobody needs; then the eviction looks again. */
void gc_free_all(struct kubelet *k);
void gc_free(struct kubelet *k);

/* ---- node.c ------------------------------------------------------------------------------------------ */

/* The Node's status has changed: now. */
void node_tell(struct kubelet *k);
/* Does the runtime map users of pods? */
bool node_has_userns(const struct kubelet *k);
/* Directory on the file system of images, "" not known. */
const char *node_image_dir(const struct kubelet *k);
void node_event(struct kubelet *k, const char *type, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- evictrank.c (logic): whom, and what is said ------------------------------------------------------- */

struct stats;
struct stats_pod;
/* The pods of @s in the order in which they would go. @order: room for n_pods. */
void evict_rank(const struct stats *s, enum signal why, const struct stats_pod **order);
/* "The node was low on resource: …" */
void evict_message(const struct stats_pod *sp, const struct ojson *pod, enum signal why, int64_t threshold,
		   int64_t available, struct obuf *out);
/* Does the pod use more of the disk than it may? Then why, else false. */
bool evict_over_limit(const struct stats_pod *sp, const struct ojson *pod, struct obuf *out);
/* Has it a limit of that kind? */
bool evict_has_limit(const struct ojson *pod);
bool pod_is_critical(const struct ojson *pod);
const char *signal_resource(enum signal s);

#endif
