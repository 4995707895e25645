/*
 * flows.c - the priority levels and flow schemas that every cluster begins with, as text.
 *
 *	level NAME exempt SHARES LENDABLE
 *	level NAME reject SHARES LENDABLE
 *	level NAME queue SHARES LENDABLE QUEUES HAND LENGTH
 *	schema NAME LEVEL PRECEDENCE METHOD SUBJECT…	METHOD: - none; SUBJECT: User:NAME, Group:NAME, ServiceAccount:NS/NAME
 *		VERBS GROUPS RESOURCES NAMESPACES [cluster]	a rule; lists with commas; the group "core" is ""
 *		VERBS url PATHS
 *
 * Lines below a schema are one set of rules for its subjects. Source: upstream's default configuration as of 1.36, in the
 * order of precedence. registry/flows.c makes the objects and keeps them.
 */
#include "front.h"

const char flow_objects[] =
	"level exempt exempt 0 0\n"
	"level catch-all reject 5 0\n"
	"level system queue 30 33 64 6 50\n"
	"level node-high queue 40 25 64 6 50\n"
	"level leader-election queue 10 0 16 4 50\n"
	"level workload-high queue 40 50 128 6 50\n"
	"level workload-low queue 100 90 128 6 50\n"
	"level global-default queue 20 50 128 6 50\n"
	"schema exempt exempt 1 - Group:system:masters\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema probes exempt 2 - Group:system:unauthenticated Group:system:authenticated\n"
	"\tget url /healthz,/readyz,/livez\n"
	"schema system-leader-election leader-election 100 ByUser User:system:kube-controller-manager User:system:kube-scheduler ServiceAccount:kube-system/*\n"
	"\tget,create,update coordination.k8s.io leases *\n"
	"schema endpoint-controller workload-high 150 ByUser User:system:kube-controller-manager ServiceAccount:kube-system/endpoint-controller ServiceAccount:kube-system/endpointslicemirroring-controller\n"
	"\tget,create,update core endpoints *\n"
	"schema workload-leader-election leader-election 200 ByUser ServiceAccount:kube-system/*\n"
	"\tget,create,update core endpoints,configmaps *\n"
	"\tget,create,update coordination.k8s.io leases *\n"
	"schema system-node-high node-high 400 ByUser Group:system:nodes\n"
	"\t* core nodes,nodes/status * cluster\n"
	"\t* coordination.k8s.io leases *\n"
	"schema system-nodes system 500 ByUser Group:system:nodes\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema kube-controller-manager workload-high 800 ByNamespace User:system:kube-controller-manager\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema kube-scheduler workload-high 800 ByNamespace User:system:kube-scheduler\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema kube-system-service-accounts workload-high 900 ByNamespace ServiceAccount:kube-system/*\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema service-accounts workload-low 9000 ByUser Group:system:serviceaccounts\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema global-default global-default 9900 ByUser Group:system:unauthenticated Group:system:authenticated\n"
	"\t* * * * cluster\n"
	"\t* url *\n"
	"schema catch-all catch-all 10000 ByUser Group:system:unauthenticated Group:system:authenticated\n"
	"\t* * * * cluster\n"
	"\t* url *\n";
