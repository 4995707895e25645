/* preempt.h - which pods must go so that a more important one finds room. */
#ifndef SCHEDULER_DEFAULT_PREEMPT_H
#define SCHEDULER_DEFAULT_PREEMPT_H

#include "cycle.h"

/* A PodDisruptionBudget. */
struct sd_budget {
	struct orlop_bytes ns;
	uint32_t	n_exprs;
	uint32_t	n_disrupted;
	struct sd_expr	*exprs;			/* none: selects nothing */
	struct orlop_bytes *disrupted;		/* pods that are about to go already */
	int64_t		allowed;
	int64_t		left;			/* scratch */
};

struct sd_victims {
	struct sd_node	*node;
	struct sd_pod	**v;
	uint32_t	n;
	uint32_t	cap;
	uint32_t	violations;		/* of budgets */
};

/*
 * sd_preempt - the node whose victims are the least loss
 *
 * @d  in: why no node would do; out: what preemption has to say if there is none either. @dry is used
 *     for that and must live as long.
 *
 * 0: @ret has node and victims; free with sd_victims_done(). -ENOENT: none. -ENOMEM.
 */
int sd_preempt(struct sd_cluster *c, struct sd_pod *p, struct sd_budget *budgets, uint32_t n_budgets,
	       struct sd_diag *d, struct sd_diag *dry, struct sd_victims *ret);
void sd_victims_done(struct sd_victims *v);

/* Reads one from its JSON (members, from "metadata": on) into @mem. 0 or -ENOMEM. */
int sd_budget_read(struct oarena *mem, struct orlop_bytes ns, struct orlop_bytes members, struct sd_budget *ret);

#endif
