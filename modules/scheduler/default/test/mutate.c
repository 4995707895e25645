/* mutate.c - the fuzz target over seeds and their damaged copies. */
#include "../fuzz/objects.c"

#include "base/ofuzz.h"
#include "base/otap.h"

#define NODE "\"metadata\":{\"labels\":{\"a\":\"b\",\"cores\":\"8\"}},\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]}," \
	"\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\",\"x.y/z\":\"2\"},\"images\":[{\"names\":[\"i:latest\"],\"sizeBytes\":500000000}]}"
#define TERM "{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Gt\",\"values\":[\"7\"]}],\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n\"]}]}"

static const char *const seeds[] = {
	"", "\n", NODE, NODE "\n{}", "{}\n{\"containers\":[{}]}",
	NODE "\n{\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}],\"nodeSelector\":{\"a\":\"b\"},\"containers\":[{\"image\":\"i\","
	"\"ports\":[{\"hostPort\":80,\"hostIP\":\"10.0.0.1\"}],\"resources\":{\"requests\":{\"cpu\":\"1.5\",\"memory\":\"1e3\",\"x.y/z\":\"1\"}}}]}",
	NODE "\n{\"tolerations\":[{\"operator\":\"Exists\"}],\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
	"{\"nodeSelectorTerms\":[" TERM "]},\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":5,\"preference\":" TERM "}]}},"
	"\"initContainers\":[{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"1m\"}}}],\"containers\":[{}],"
	"\"overhead\":{\"memory\":\"1Ki\"},\"resources\":{\"requests\":{\"memory\":\"3Gi\"}},\"preemptionPolicy\":\"Never\"}",
	NODE "\n{\"labels\":{\"app\":\"web\"},\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"a\","
	"\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}},\"namespaces\":[\"n\"],\"matchLabelKeys\":[\"app\"]}]},\"podAntiAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":"
	"[{\"weight\":5,\"podAffinityTerm\":{\"topologyKey\":\"cores\",\"namespaceSelector\":{},\"labelSelector\":{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}}}]}},"
	"\"tolerations\":[{\"operator\":\"Exists\"}],\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"300m\"}}}]}",
	NODE "\n{\"labels\":{\"app\":\"web\"},\"tolerations\":[{\"operator\":\"Exists\"}],\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"a\",\"whenUnsatisfiable\":\"DoNotSchedule\","
	"\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}},\"minDomains\":2,\"nodeTaintsPolicy\":\"Honor\"},{\"maxSkew\":1,\"topologyKey\":\"cores\",\"whenUnsatisfiable\":\"ScheduleAnyway\"}],"
	"\"budget\":{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"web\"}}},\"status\":{\"disruptionsAllowed\":1,\"disruptedPods\":{\"x\":\"t\"}}},\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"200m\"}}}],"
	"\"profile\":{\"schedulerName\":\"x\",\"plugins\":{\"score\":{\"disabled\":[{\"name\":\"*\"}],\"enabled\":[{\"name\":\"NodeResourcesFit\",\"weight\":3}]}},\"pluginConfig\":[{\"name\":\"NodeResourcesFit\","
	"\"args\":{\"scoringStrategy\":{\"type\":\"RequestedToCapacityRatio\",\"requestedToCapacityRatio\":{\"shape\":[{\"utilization\":0,\"score\":0},{\"utilization\":100,\"score\":10}]}}}}]}}",
};

int main(void)
{
	ofuzz_run(seeds, sizeof(seeds) / sizeof(seeds[0]), 40000);
	pass("no input broke it");
	return done_testing();
}
