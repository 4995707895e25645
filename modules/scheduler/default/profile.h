/*
 * profile.h - how one schedulerName schedules: which plugins, with which weights and arguments.
 *
 * Read from JSON as KubeSchedulerConfiguration has it under profiles: (profile.c).
 */
#ifndef SCHEDULER_DEFAULT_PROFILE_H
#define SCHEDULER_DEFAULT_PROFILE_H

#include "sched.h"

enum sd_strategy { SD_LEAST, SD_MOST, SD_RATIO };

#define SD_RESOURCES 8u
#define SD_POINTS    16u

struct sd_resource {
	struct orlop_bytes name;	/* "cpu", "memory", "ephemeral-storage" or an extended one */
	int64_t		weight;
};

struct sd_profile {
	struct oarena	mem;
	struct orlop_bytes name;	/* spec.schedulerName */
	uint64_t	no_filter;	/* SD_BIT of plugins that do not filter */
	int64_t		weight[SD_N_PLUGINS];	/* 0: does not score */
	uint32_t	percent;	/* of nodes to find feasible; 0: upstream's formula */
	enum sd_strategy strategy;	/* NodeResourcesFit */
	uint32_t	n_resources;
	uint32_t	n_points;
	struct sd_resource resources[SD_RESOURCES];
	struct { int64_t at; int64_t score; } points[SD_POINTS];	/* per cent → 0 … 100 */
	uint32_t	n_balanced;
	struct sd_resource balanced[SD_RESOURCES];
	int64_t		hard_pod_affinity;
	bool		ignore_preferred;	/* of pods that are there */
	bool		no_preemption;
	bool		system_spread;	/* the constraints of pods that have none are upstream's own */
	struct orlop_bytes spread;	/* else these, as JSON */
};

/* Upstream's defaults under a name. */
void sd_profile_init(struct sd_profile *p, struct orlop_bytes name);
void sd_profile_done(struct sd_profile *p);
/* From JSON on top of the defaults. 0, -EINVAL with what is wrong in @why, -ENOMEM. */
int sd_profile_read(struct sd_profile *p, struct orlop_bytes json, char *why, size_t why_size);
const struct sd_profile *sd_profile_default(void);
/* Plugin by upstream's name, SD_N_PLUGINS if there is none. */
enum sd_plugin sd_plugin_named(struct orlop_bytes name);
const char *sd_plugin_name(enum sd_plugin p);

static inline const struct sd_profile *sd_profile_of(const struct sd_pod *p)
{
	return p->profile ? p->profile : sd_profile_default();
}

#endif
