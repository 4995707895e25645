/* replicationcontroller.c - keeps as many pods as each ReplicationController asks for: lib/replicas, told about the kind. */
#include "replicas/oreplicas.h"

static const struct oreplicas_kind replicationcontroller_kind = {
	.name = "replicationcontroller",
	.component = "replication-controller",
	.resource = "replicationcontrollers",
	.api_version = "v1",
	.kind = "ReplicationController",
	.equality = true,
};

static int replicationcontroller_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	return oreplicas_init(&replicationcontroller_kind, h, ret_ctx, err);
}

ORLOP_MODULE("replicationcontroller", "controllers", "0.1",
	"needs=api\0reads=replicationcontrollers,pods\0"
	"asks=pods;create;patch;delete,replicationcontrollers/status;update,events;create;patch\0"
	"user=system:serviceaccount:kube-system:replication-controller",
	.license = "Apache-2.0",
	.summary = "as many pods as a ReplicationController asks for",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = replicationcontroller_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = oreplicas_fini,
	.health = octl_health);
