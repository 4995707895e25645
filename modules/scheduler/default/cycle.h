/*
 * cycle.h - deciding about one pod: what is worked out once for it (upstream's PreFilter and PreScore),
 * and the filters that need it. Scratch memory is kept from pod to pod.
 */
#ifndef SCHEDULER_DEFAULT_CYCLE_H
#define SCHEDULER_DEFAULT_CYCLE_H

#include "profile.h"
#include "topology.h"

/* A tally that decides or weighs. It is looked into, not copied: what is placed meanwhile shows. */
struct sd_count {
	const struct sd_tally *tally;
	int64_t		weight;
};

struct sd_counts {
	struct sd_count	*v;
	uint32_t	n;
	uint32_t	cap;
};

/* A spread constraint with its counts: those of the tally, or of the nodes that the pod may use only. */
struct sd_skew {
	const struct sd_spread *spread;
	const struct sd_tally *tally;
	int32_t		*own;		/* NULL: the tally's; -1: no node of it counts */
	int64_t		min;
	double		weight;		/* scoring */
	bool		self;		/* the pod counts itself */
};

struct sd_scratch {
	int32_t		*v;
	uint32_t	cap;
};

#define SD_SKEWS 64u

struct sd_cycle {
	struct sd_cluster *c;
	const struct sd_pod *p;
	const struct sd_profile *profile;
	bool		topology;	/* any of the filters below */
	bool		alone_ok;	/* the first of pods that want each other */
	bool		scored;		/* what scores only is worked out */
	struct sd_counts need;
	struct sd_counts avoid;
	struct sd_counts avoided;	/* by pods that are there */
	struct sd_counts like;
	uint32_t	n_hard;
	uint32_t	n_soft;
	struct sd_skew	hard[SD_SKEWS];
	struct sd_skew	soft[SD_SKEWS];
	struct sd_scratch scratch[2 * SD_SKEWS];
	struct sd_scratch seen;
	int		err;
};

/* Begins deciding about a pod. NULL: no memory. */
struct sd_cycle *sd_cycle_begin(struct sd_cluster *c, const struct sd_pod *p);
/* Pods were put to or taken from nodes meanwhile (sd_try). */
void sd_cycle_again(struct sd_cycle *cy);
void sd_cycle_done(struct sd_cluster *c);	/* the scratch memory */

/* All filters, also as if pods for which room was made here were there. @why as in sd_filter(). */
enum sd_plugin sd_cycle_filter(struct sd_cycle *cy, struct sd_node *n, struct sd_why *why);

/* Fills score of each candidate, as the pod's profile weighs. */
void sd_cycle_score(struct sd_cycle *cy, struct sd_cand *v, uint32_t n);

/* affinity.c, spread.c */
void sd_affinity_begin(struct sd_cycle *cy);
void sd_affinity_again(struct sd_cycle *cy);
enum sd_plugin sd_affinity_filter(const struct sd_cycle *cy, const struct sd_node *n, struct sd_why *why);
void sd_affinity_score_begin(struct sd_cycle *cy);
int64_t sd_affinity_score(const struct sd_cycle *cy, const struct sd_node *n);
void sd_spread_begin(struct sd_cycle *cy);
void sd_spread_again(struct sd_cycle *cy);
enum sd_plugin sd_spread_filter(const struct sd_cycle *cy, const struct sd_node *n, struct sd_why *why);
/* Fills spread of each candidate with 0 … 100; false: the pod has no soft constraint. */
bool sd_spread_score(struct sd_cycle *cy, struct sd_cand *v, uint32_t n);

/* filter.c */
bool sd_node_wanted(const struct sd_spec *s, const struct sd_node *n);	/* nodeSelector and required affinity */
bool sd_node_tolerated(const struct sd_spec *s, const struct sd_node *n); /* NoSchedule and NoExecute */

int sd_counts_add(struct sd_counts *v, const struct sd_tally *t, int64_t weight);
int32_t *sd_scratch(struct sd_scratch *s, uint32_t n);	/* room, not cleared; NULL: no memory */

#endif
