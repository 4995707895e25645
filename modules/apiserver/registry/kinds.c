/* kinds.c - which kinds behave specially. Everything else is schema. */
#include "kinds.h"
#include "verbs.h"

#include <string.h>

static const struct reg_behaviour *const all[] = {
	&kind_namespace, &kind_pod, &kind_service, &kind_job, &kind_daemon_set, &kind_csr, &kind_priority,
	&kind_role, &kind_cluster_role, &kind_role_binding, &kind_cluster_role_binding,
	&kind_validating_policy, &kind_validating_policy_binding, &kind_mutating_policy, &kind_mutating_policy_binding,
	&kind_claim, &kind_crd, &kind_api_service, &kind_resource_claim, &kind_resource_claim_template, &kind_resource_slice,
};

const struct reg_behaviour *reg_behaviour_of(const char *cache_name)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(all[i]->resource, cache_name))
			return all[i];
	return NULL;
}
