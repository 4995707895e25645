/*
 * oreplicas - the controller of ReplicaSets, for every kind that is one: as many pods as asked for.
 */
#ifndef OLIB_REPLICAS_OREPLICAS_H
#define OLIB_REPLICAS_OREPLICAS_H

#include "ctl/octl.h"

struct oreplicas_kind {
	const char	*name;		/* of the controller: "replicaset" */
	const char	*component;	/* of its Events; NULL: "NAME-controller" */
	const char	*resource;	/* "replicasets.apps" */
	const char	*api_version;	/* "apps/v1" */
	const char	*kind;
	bool		equality;	/* spec.selector is a map of labels */
	bool		counts_terminating;	/* has status.terminatingReplicas */
};

/* module->init; @kind stays. The rest is octl's: start, stop, health. */
int oreplicas_init(const struct oreplicas_kind *kind, const struct orlop_host *h, void **ret_ctx,
		   struct orlop_error *err);
void oreplicas_fini(void *ctx);

#endif
