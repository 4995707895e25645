/*
 * volume.h - where a pod's claims let it run: the nodes of volumes that are bound, those where one could be.
 */
#ifndef SCHEDULER_DEFAULT_VOLUME_H
#define SCHEDULER_DEFAULT_VOLUME_H

#include "sched.h"

/* A volume that is there. */
struct sd_volume {
	struct orlop_bytes name;
	uint32_t	n_terms;
	uint32_t	n_zones;
	bool		has_terms;
	struct sd_term	*terms;		/* spec.nodeAffinity.required */
	struct sd_expr	*zones;		/* its labels of zone and region, as expressions over nodes */
};

struct sd_claim {
	struct orlop_bytes name;
	bool		bound;		/* to v[0] */
	bool		provision;	/* else: one can be made, where topologies allow */
	bool		alone;		/* ReadWriteOncePod */
	uint32_t	driver_len;
	struct orlop_bytes source;	/* "driver/handle"; empty: no driver attaches it */
	uint32_t	n;
	uint32_t	n_topologies;
	struct sd_volume *v;		/* bound: one; else those that would do */
	struct sd_term	*topologies;	/* allowedTopologies; none: anywhere */
};

struct sd_claims {
	struct oarena	mem;
	uint32_t	n;
	bool		delayed;	/* some are bound only when a node is chosen */
	bool		attached;	/* some by a driver */
	struct sd_claim	v[];
};

void sd_claims_free(struct sd_claims *c);	/* accepts NULL */

/* A PersistentVolume from its JSON (members). 0 or -ENOMEM. */
int sd_volume_read(struct oarena *mem, struct orlop_bytes name, struct orlop_bytes members, struct sd_volume *ret);
/* allowedTopologies of a StorageClass. */
int sd_topologies_read(struct oarena *mem, struct orlop_bytes list, struct sd_claim *ret);
/* The volume of the list that a claim would get on a node; NULL: none. */
const struct sd_volume *sd_claim_volume(const struct sd_claim *k, const struct sd_node *n);
/* Has the node a disk that the pod wants for another one, and not both for reading (disk.c)? */
bool sd_disk_taken(const struct sd_pod *p, const struct sd_node *n);
/* Does another pod use a claim that is for one pod alone? */
bool sd_claims_taken(const struct sd_cluster *c, const struct sd_pod *p);
/* Would the node have more volumes attached than its drivers allow? */
bool sd_over_limit(struct sd_cluster *c, const struct sd_pod *p, const struct sd_node *n);
/* NULL: the node will do; else why not, in upstream's words. */
const char *sd_claims_refuse(const struct sd_claims *c, const struct sd_node *n);

#endif
