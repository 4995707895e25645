/* replicaset.c - keeps as many pods as each ReplicaSet asks for: lib/replicas, told about the kind. */
#include "replicas/oreplicas.h"

static const struct oreplicas_kind replicaset_kind = {
	.name = "replicaset",
	.resource = "replicasets.apps",
	.api_version = "apps/v1",
	.kind = "ReplicaSet",
	.counts_terminating = true,
};

static int replicaset_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	return oreplicas_init(&replicaset_kind, h, ret_ctx, err);
}

ORLOP_MODULE("replicaset", "controllers", "0.1",
	"needs=api\0reads=replicasets.apps,pods\0"
	"asks=pods;create;patch;delete,replicasets.apps/status;update,events;create;patch\0"
	"user=system:serviceaccount:kube-system:replicaset-controller",
	.license = "Apache-2.0",
	.summary = "as many pods as a ReplicaSet asks for",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = replicaset_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = oreplicas_fini,
	.health = octl_health);
