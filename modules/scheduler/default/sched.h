/*
 * sched.h - what the scheduler knows: nodes with what is free on them, pods with what they ask for.
 *
 * Everything declared here is pure: it sees no host, no clock and no bus. Times and random seeds are
 * handed in. The module around it is module.h.
 */
#ifndef SCHEDULER_DEFAULT_SCHED_H
#define SCHEDULER_DEFAULT_SCHED_H

#include <orlop/types.h>

#include "base/oarena.h"
#include "base/obuf.h"
#include "base/olist.h"
#include "base/omap.h"

/* ---- what a pod takes from a node ---------------------------------------------------------------- */

/*
 * Nothing counts for more than this (4 PiB, 4.5 * 10^12 cores), so that no sum over the pods of a
 * node, and no score, leaves its range whatever users write.
 */
#define SD_AMOUNT_MAX	(INT64_C(1) << 52)

struct sd_amount {
	struct orlop_bytes name;	/* "nvidia.com/gpu", "hugepages-2Mi" */
	int64_t		v;		/* whole units, bytes */
};

struct sd_port {
	uint32_t	port;
	uint32_t	proto;		/* 0 TCP, 1 UDP, 2 SCTP, 3 other */
	struct orlop_bytes ip;		/* empty: every address */
};

/* A disk that a volume names itself; the same: kind and id. */
struct sd_disk {
	uint32_t	kind;		/* disk.c's */
	bool		read_only;
	struct orlop_bytes id;
};

/* A claim among the volumes. */
struct sd_use {
	struct orlop_bytes name;
	bool		ephemeral;	/* made for this pod alone */
};

/* One allocation; freed with omem_free(). */
struct sd_load {
	int64_t		cpu_milli;
	int64_t		memory;		/* bytes */
	int64_t		ephemeral;	/* bytes */
	int64_t		nz_cpu_milli;	/* with 100m for containers that ask for nothing: scores only */
	int64_t		nz_memory;	/* with 200Mi */
	uint32_t	n_ext;
	uint32_t	n_ports;
	uint32_t	n_claims;	/* PersistentVolumeClaims among the volumes */
	uint32_t	n_disks;
	struct sd_amount *ext;
	struct sd_port	*ports;
	struct sd_use	*claims;
	struct sd_disk	*disks;
};

/*
 * sd_load_new - requests of a pod as upstream counts them
 *
 * @spec  the pod's spec as JSON
 * @name  the pod's: its ephemeral claims are called by it
 *
 * max(sum of containers + sidecars, the most any init container needs beside the sidecars before it),
 * what the pod as a whole asks for instead, plus overhead. 0 or -ENOMEM.
 * Source: k8s.io/component-helpers/resource, PodRequests.
 */
int sd_load_new(struct orlop_bytes spec, struct orlop_bytes name, struct sd_load **ret);

/* The disks among volumes: written to @out if it is not NULL; their number. */
uint32_t sd_disks_read(struct oarena *mem, struct orlop_bytes volumes, struct sd_disk *out, int *err);

/* A resource.Quantity in thousandths, or in whole units rounded up; 0 if it is none. */
int64_t sd_quantity_milli(struct orlop_bytes v);
int64_t sd_quantity(struct orlop_bytes v);

/* ---- where a pod may go -------------------------------------------------------------------------- */

enum sd_op { SD_IN, SD_NOT_IN, SD_EXISTS, SD_NOT_EXISTS, SD_GT, SD_LT, SD_OP_BAD };

struct sd_expr {
	struct orlop_bytes key;
	enum sd_op	op;
	uint32_t	n;
	struct orlop_bytes *values;
	int64_t		number;		/* SD_GT, SD_LT */
};

struct sd_term {
	uint32_t	n_exprs;
	uint32_t	n_fields;
	struct sd_expr	*exprs;		/* labels */
	struct sd_expr	*fields;	/* metadata.name */
	int64_t		weight;		/* preferred terms */
};

enum sd_effect { SD_EFFECT_ANY, SD_NO_SCHEDULE, SD_PREFER_NO_SCHEDULE, SD_NO_EXECUTE };

struct sd_toleration {
	struct orlop_bytes key;
	struct orlop_bytes value;
	enum sd_effect	effect;
	bool		exists;		/* operator Exists */
};

struct sd_label {
	struct orlop_bytes key;
	struct orlop_bytes value;
};

/* A pending pod's wishes, parsed once; all in @mem. */
struct sd_spec {
	struct oarena	mem;
	struct orlop_bytes node_name;
	uint32_t	n_selector;
	uint32_t	n_required;
	uint32_t	n_preferred;
	uint32_t	n_tolerations;
	uint32_t	n_images;
	uint32_t	n_gates;
	uint32_t	n_only;
	bool		has_required;	/* an empty list of terms matches nothing */
	bool		only;		/* metadata.name restricts it to the @n_only nodes named */
	bool		preempt_never;
	struct sd_label	*selector;
	struct sd_term	*required;
	struct sd_term	*preferred;
	struct sd_toleration *tolerations;
	struct orlop_bytes *images;	/* normalized: with tag */
	struct orlop_bytes *only_names;
};

/* 0 or -ENOMEM */
int sd_spec_new(struct orlop_bytes spec, struct sd_spec **ret);
void sd_spec_free(struct sd_spec *s);	/* accepts NULL */

/* ---- pods ---------------------------------------------------------------------------------------- */

/* One allocation; sorted by key. */
struct sd_labels {
	uint32_t	n;
	uint32_t	reserved0;
	struct sd_label	v[];
};

/* @map: JSON object. 0 (*ret NULL: there are none) or -ENOMEM. */
int sd_labels_new(struct orlop_bytes map, struct sd_labels **ret);
const struct sd_label *sd_label_find(const struct sd_label *v, uint32_t n, struct orlop_bytes key);
/* @value NULL: there is no such label. */
bool sd_expr_matches(const struct sd_expr *e, const struct orlop_bytes *value);

enum sd_state {
	SD_IGNORED,		/* not ours, or over */
	SD_PENDING,		/* in the queue */
	SD_ASSUMED,		/* counted on its node, the binding is under way */
	SD_BOUND,
};

enum sd_queued { SD_NOWHERE, SD_ACTIVE, SD_BACKOFF, SD_UNSCHEDULABLE, SD_GATED };

struct sd_pod {
	struct orlop_bytes ns;		/* both inside the key of the table */
	struct orlop_bytes name;
	char		*uid;
	struct sd_load	*load;
	struct sd_spec	*spec;		/* while pending or assumed */
	struct sd_labels *labels;	/* NULL: none */
	struct sd_terms	*terms;		/* topology.h; NULL: no pod affinity */
	struct sd_spreads *spreads;	/* while pending or assumed; NULL: none */
	struct sd_claims *claims;	/* volume.h; as they were when it was last tried; NULL: none */
	const struct sd_profile *profile; /* while pending or assumed; NULL: upstream's defaults */
	struct sd_node	*node;		/* counted there */
	struct olist	on_node;
	struct sd_node	*nominated;	/* victims went there for its sake */
	struct olist	on_nominated;
	enum sd_state	state;
	int32_t		priority;
	int32_t		counted_priority;	/* at its node */
	bool		deleting;
	uint64_t	start_ns;	/* wall, 0: not started */
	uint64_t	rejected;	/* bit of each plugin that refused a node when it was last tried */

	struct ask	*ask;		/* plugin.c: plugins are being asked about it */
	bool		ask_all;	/* about all nodes */
	uint64_t	labels_hash;
	uint64_t	first_ns;	/* when it was queued first */

	/* queue.c */
	enum sd_queued	queued;
	uint32_t	heap_at;
	uint32_t	attempts;
	struct olist	waiting;	/* unschedulable or gated */
	uint64_t	queued_ns;	/* since when; order of equal priorities */
	uint64_t	seq;
	uint64_t	backoff_ns;	/* not before; 0: never failed */

	/* what was said about it, so that it is said once */
	uint64_t	said;		/* hash of the condition */
	uint64_t	event_said;	/* hash of the Event's message */
	uint64_t	event_id;	/* in its name */
	uint64_t	event_ns;
	uint32_t	event_count;
};

/* ---- nodes --------------------------------------------------------------------------------------- */

struct sd_taint {
	struct orlop_bytes key;
	struct orlop_bytes value;
	enum sd_effect	effect;
};

struct sd_ext {
	struct orlop_bytes name;	/* in names of its own: outlives the node's text */
	char		*own;
	int64_t		alloc;
	int64_t		used;
};

/* An image that some node has; counted, freed with the last node. */
struct sd_image {
	int64_t		size;
	uint32_t	n_nodes;
	uint32_t	reserved0;
};

struct sd_node {
	/* hot: read for every pod */
	int64_t		alloc_cpu_milli;
	int64_t		alloc_memory;
	int64_t		alloc_ephemeral;
	int64_t		alloc_pods;
	int64_t		used_cpu_milli;
	int64_t		used_memory;
	int64_t		used_ephemeral;
	int64_t		nz_cpu_milli;
	int64_t		nz_memory;
	uint32_t	n_pods;
	uint32_t	n_ports;	/* host ports in use */
	uint32_t	n_taints;
	uint32_t	n_prefer;	/* taints PreferNoSchedule among them */
	uint32_t	n_hard;		/* the others */
	uint32_t	n_labels;
	uint32_t	n_ext;
	bool		unschedulable;
	bool		present;	/* else only pods name it */
	bool		fresh;		/* it has no domains yet */
	struct sd_taint	*taints;
	struct sd_label	*labels;	/* sorted by key */
	struct sd_ext	*ext;

	struct orlop_bytes name;	/* key of the table */
	uint32_t	*domain;	/* per topology; NULL: not present */
	struct olist	pods;
	struct olist	nominated;	/* pods for which room was made here */
	uint64_t	labels_hash;
	uint32_t	slot;		/* in sd_cluster.v, if present */
	uint32_t	n_images;
	struct sd_image	**images;	/* sorted by address */
	struct orlop_bytes *image_names;
	struct oarena	mem;		/* taints, labels, image names */
	struct olist	dirty;		/* may now have room for somebody */
};

#define SD_PRIORITIES 32u

struct sd_cluster {
	struct omap	nodes;		/* name → sd_node */
	struct omap	images;		/* name → sd_image */
	struct sd_node	**v;		/* those present */
	uint32_t	n;
	uint32_t	cap;
	uint32_t	next;		/* where the search for the next pod begins */
	uint32_t	percent;	/* of nodes to find feasible; 0: upstream's formula */
	uint64_t	rng;
	struct olist	dirty;
	uint32_t	n_dirty;
	bool		topology_moved;	/* domains or namespaces changed: that may help anybody */
	struct sd_cand	*cand;		/* scratch of decide.c, cap entries */

	/* topology.h */
	struct sd_topo	**topos;
	uint32_t	n_topos;
	uint32_t	cap_topos;
	struct omap	matches;	/* what it says → sd_match */
	struct omap	by_label;	/* key, 0, value → sd_bucket */
	struct olist	anywhere;	/* matches without such a label */
	struct olist	idle;
	uint32_t	n_idle;
	uint32_t	n_holds;
	uint32_t	n_ns_select;	/* matches that look at labels of namespaces */
	struct omap	namespaces;	/* name → sd_labels, those that have some */
	struct sd_cycle	*cycle;		/* cycle.h: scratch */

	/* restrict.c */
	struct omap	used;		/* "namespace/claim" of pods that are placed */
	struct omap	limits;		/* name of a node → how many volumes its drivers attach */
	uint64_t	volumes_gen;	/* raised when anything about volumes changes */
	uint64_t	*attached;	/* scratch */
	uint32_t	cap_attached;
	bool		claim_freed;	/* nobody uses it any more: that may help anybody */
	/*
	 * The volume of a claim as "driver/handle", to be freed with omem_free(); NULL: no driver attaches it, or
	 * nothing is known of it.
	 */
	char		*(*source)(void *arg, struct orlop_bytes ns, struct orlop_bytes claim, uint32_t *ret_driver_len);
	void		*source_arg;

	struct { int32_t priority; uint32_t n; } priorities[SD_PRIORITIES];
	uint32_t	n_priorities;
	bool		priorities_lost;	/* there were more: nothing is known */
};

#define SD_WAKE_VOLUMES (SD_BIT(SD_P_RESTRICTIONS) | SD_BIT(SD_P_LIMITS) | SD_BIT(SD_P_VOLUMES))
#define SD_WAKE_TOPOLOGY (SD_BIT(SD_P_SPREAD) | SD_BIT(SD_P_POD_AFFINITY))

void sd_cluster_init(struct sd_cluster *c, uint64_t seed);
void sd_cluster_done(struct sd_cluster *c);	/* pods must be gone */

/*
 * sd_node_set - a node as it is now
 *
 * @members  the object as the cache has it, from "metadata": on
 *
 * The node is then dirty. 0 or -ENOMEM (it keeps its old state).
 */
int sd_node_set(struct sd_cluster *c, struct orlop_bytes name, struct orlop_bytes members);
void sd_node_gone(struct sd_cluster *c, struct orlop_bytes name);
struct sd_node *sd_node_get(struct sd_cluster *c, struct orlop_bytes name);	/* NULL: not present */
void sd_node_dirty(struct sd_cluster *c, struct sd_node *n);
/* Between node.c and place.c. An entry for a name that may not be present. NULL: no memory. */
struct sd_node *sd_node_ensure(struct sd_cluster *c, struct orlop_bytes name);
void sd_node_drop_if_unused(struct sd_cluster *c, struct sd_node *n);
struct sd_ext *sd_ext_ensure(struct sd_node *n, struct orlop_bytes name, int *err);
void sd_clean(struct sd_cluster *c);		/* no node is dirty any more */

/* Count a node's pods as if @p were there too, or no longer: for what-if. 0 or -ENOMEM. */
int sd_try(struct sd_cluster *c, struct sd_pod *p, struct sd_node *n, int by);

/* The claims of a pod are in use by one more or one less. 0 or -ENOMEM. */
int sd_used_count(struct sd_cluster *c, const struct sd_pod *p, int by);
void sd_restrict_done(struct sd_cluster *c);
/* What drivers attach on a node, from its CSINode. 0 or -ENOMEM. */
int sd_limits_set(struct sd_cluster *c, struct orlop_bytes node, struct orlop_bytes members);
void sd_limits_gone(struct sd_cluster *c, struct orlop_bytes node);

/* Is any pod placed that has less than this priority? */
bool sd_has_below(const struct sd_cluster *c, int32_t priority);

/* Room on a node is kept for a pod until it is bound; NULL: no longer. */
void sd_pod_nominate(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes node);

/* Does anything that decides differ between two versions of a node? */
bool sd_node_differs(struct orlop_bytes a, struct orlop_bytes b);

/* Count a pod on a node (made up if nobody knows it yet), or no longer. 0 or -ENOMEM. */
int sd_pod_place(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes node);
void sd_pod_unplace(struct sd_cluster *c, struct sd_pod *p);

/* ---- filters ------------------------------------------------------------------------------------- */

/* Upstream's plugins, in the order in which they run. */
enum sd_plugin {
	SD_FEASIBLE,
	SD_P_UNSCHEDULABLE,
	SD_P_NODE_NAME,
	SD_P_TAINTS,
	SD_P_AFFINITY,
	SD_P_PORTS,
	SD_P_FIT,
	SD_P_RESTRICTIONS,	/* VolumeRestrictions */
	SD_P_LIMITS,		/* NodeVolumeLimits */
	SD_P_VOLUMES,		/* VolumeBinding */
	SD_P_SPREAD,
	SD_P_POD_AFFINITY,
	/* these score only */
	SD_P_BALANCED,
	SD_P_IMAGES,
	SD_P_PREEMPTION,
	SD_P_OTHER,		/* modules of class scheduler-plugin */
	SD_N_PLUGINS,
};

#define SD_BIT(plugin) (UINT64_C(1) << (plugin))

/* The ways in which InterPodAffinity and PodTopologySpread refuse. */
enum sd_how { SD_HOW_NEED, SD_HOW_AVOID, SD_HOW_AVOIDED, SD_HOW_SKEW, SD_HOW_NO_LABEL, SD_N_HOWS };

#define SD_FIT_PODS	0x1u
#define SD_FIT_CPU	0x2u
#define SD_FIT_MEMORY	0x4u
#define SD_FIT_EPHEMERAL 0x8u

/* Why a node will not do. */
struct sd_why {
	enum sd_plugin	plugin;
	uint32_t	fit;		/* SD_FIT_* */
	uint64_t	ext;		/* bit i: load->ext[i] (the 64th stands for all behind it) */
	enum sd_how	how;		/* SD_P_SPREAD, SD_P_POD_AFFINITY */
	bool		unresolvable;	/* evicting pods would not help */
	const char	*text;		/* SD_P_VOLUMES, SD_P_OTHER: in words */
};

/*
 * The first plugin that refuses; SD_FEASIBLE: none. @why may be NULL. Only what the node itself decides;
 * sd_cycle_filter() (cycle.h) looks at everything.
 */
enum sd_plugin sd_filter(const struct sd_pod *p, const struct sd_node *n, struct sd_why *why);

bool sd_term_matches(const struct sd_term *t, const struct sd_node *n);
bool sd_tolerates(const struct sd_toleration *t, uint32_t n, const struct sd_taint *taint);

/* All nodes that were looked at, by reason. */
#define SD_TEXTS 32
struct sd_diag {
	uint32_t	n_nodes;
	uint32_t	count[SD_N_PLUGINS];	/* FIT: not used, see below */
	uint32_t	fit[4];
	uint32_t	ext[64];
	uint32_t	how[SD_N_HOWS];
	uint32_t	elsewhere;	/* not among those that metadata.name allows */
	uint32_t	unresolvable;
	uint64_t	plugins;	/* SD_BIT of each that refused */
	int		err;		/* -ENOMEM: nothing is known */
	uint32_t	n_texts;
	struct { const char *text; uint32_t n; } texts[SD_TEXTS];
	/* what preemption found */
	uint32_t	no_victims;
	bool		preempted;	/* room is being made: nothing more to say */
	const char	*pre;		/* why no node was even looked at */
	const char	*not_eligible;
	struct sd_diag	*dry;		/* reasons of nodes where even that would not do; NULL: none */
};

void sd_diag_add(struct sd_diag *d, const struct sd_why *why);
/* @n nodes, refused in words; @text lives as long as @d. */
void sd_diag_text(struct sd_diag *d, const char *text, uint32_t n);
/* "0/3 nodes are available: …" with what preemption would say. */
void sd_diag_write(const struct sd_diag *d, const struct sd_pod *p, struct obuf *b);
/* One node's reason, as explain shows it. */
void sd_why_write(const struct sd_why *w, const struct sd_pod *p, struct obuf *b);

/* ---- scores -------------------------------------------------------------------------------------- */

struct sd_cand {
	struct sd_node	*node;
	int64_t		score;
	int64_t		prefer;		/* intolerable PreferNoSchedule taints, then points */
	int64_t		affinity;	/* sum of weights */
	int64_t		pods;		/* InterPodAffinity: sum of weights */
	int64_t		spread;		/* PodTopologySpread; -1: the node has not all labels */
};


/* One plugin each, 0 … 100 */
int64_t sd_least_allocated(const struct sd_load *l, const struct sd_node *n);
int64_t sd_balanced(const struct sd_load *l, const struct sd_node *n);

/* ---- decide -------------------------------------------------------------------------------------- */

/* How many feasible nodes are enough, of @n. */
uint32_t sd_enough(uint32_t percent, uint32_t n);
uint32_t sd_enough_for(const struct sd_cluster *c, const struct sd_pod *p);
/* The node for a pod, or NULL and the reasons. */
struct sd_node *sd_decide(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *ret_diag);
/* The same in two steps: feasible nodes, scored, in c->cand; their number. Then the best of them. */
uint32_t sd_candidates(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *ret_diag);
struct sd_node *sd_choose(struct sd_cluster *c, const struct sd_cand *v, uint32_t n);
/* JSON for op explain. */
void sd_explain(struct sd_cluster *c, const struct sd_pod *p, struct obuf *b);

/* ---- queue --------------------------------------------------------------------------------------- */

#define SD_BACKOFF_FIRST_NS	UINT64_C(1000000000)
#define SD_BACKOFF_MAX_NS	UINT64_C(10000000000)
#define SD_UNSCHEDULABLE_MAX_NS	UINT64_C(300000000000)

struct sd_heap {
	struct sd_pod	**v;
	uint32_t	n;
	uint32_t	cap;
};

struct sd_queue {
	struct sd_heap	active;		/* priority, then time */
	struct sd_heap	backoff;	/* when it ends */
	struct olist	unschedulable;	/* oldest first */
	struct olist	gated;
	uint32_t	n_unschedulable;
	uint32_t	n_gated;
	uint32_t	n_topology;	/* unschedulable, because of where other pods are */
	uint64_t	compared;	/* since the last pass */
	uint64_t	seq;
};

void sd_queue_init(struct sd_queue *q);
void sd_queue_done(struct sd_queue *q);
/* A pod that is new or whose wishes changed: tried at once, whatever its back-off. 0 or -ENOMEM. */
int sd_queue_add(struct sd_queue *q, struct sd_pod *p, uint64_t now);
/* The next to try, taken out; NULL: none. */
struct sd_pod *sd_queue_pop(struct sd_queue *q);
/* No node will do: waits until it is woken. Never fails. */
void sd_queue_unschedulable(struct sd_queue *q, struct sd_pod *p, uint64_t now);
/* Something went wrong: again after its back-off. 0 or -ENOMEM (then it waits as unschedulable). */
int sd_queue_retry(struct sd_queue *q, struct sd_pod *p, uint64_t now);
/* An unschedulable pod may have a chance: now, or when its back-off ends. */
void sd_queue_wake(struct sd_queue *q, struct sd_pod *p, uint64_t now);
void sd_queue_wake_all(struct sd_queue *q, uint64_t now);
void sd_queue_remove(struct sd_queue *q, struct sd_pod *p);
/* Ended back-offs become active, those forgotten for five minutes too. Next time to come, 0: none. */
uint64_t sd_queue_tick(struct sd_queue *q, uint64_t now);
/* Those that one of these plugins (SD_BIT) refused. */
void sd_queue_wake_rejected(struct sd_queue *q, uint64_t plugins, uint64_t now);
/* A pod came to a node or leaves one: wakes those that it stood in the way of, or that want it near. */
void sd_queue_pod_moved(struct sd_queue *q, struct sd_cluster *c, const struct sd_pod *moved, bool came,
			uint64_t now);
/* Wakes those that the dirty nodes can help, then no node is dirty. */
void sd_queue_wake_for(struct sd_queue *q, struct sd_cluster *c, uint64_t now);

#endif
