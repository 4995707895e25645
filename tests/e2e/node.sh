#!/bin/sh
# run: timeout=300 alone
# What a node says of itself and of its pods, and how far it lets itself be used: kubectl top, statistics and metrics,
# classes and their cgroups, resources changed while containers run, pods refused, pods evicted.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox curl

pods()	# YAML of pods on stdin
{
	k apply -f - > /dev/null
}
pod()	# NAME RESOURCES [COMMAND]
{
	pods << END
apiVersion: v1
kind: Pod
metadata: { name: $1, labels: { app: $1 } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /bin/sh, -c, "${3:-trap exit TERM; sleep 1000 & wait}" ]
    resources: { $2 }
    resizePolicy: [ { resourceName: memory, restartPolicy: RestartContainer } ]
END
}
get() { k get pod "$1" -o jsonpath="{$2}"; }
cgroup() { echo "$root$1/pod$(get "$2" .metadata.uid)"; }	# CLASS POD
limit()	# CGROUP: shares, quota and memory
{
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo "$(cat "/sys/fs/cgroup$1/cpu.weight") $(cut -d' ' -f1 "/sys/fs/cgroup$1/cpu.max") $(cat "/sys/fs/cgroup$1/memory.max")"
	else
		echo "$(cat "/sys/fs/cgroup/cpu$1/cpu.shares") $(cat "/sys/fs/cgroup/cpu$1/cpu.cfs_quota_us") $(cat "/sys/fs/cgroup/memory$1/memory.limit_in_bytes")"
	fi
}
kubelet()	# PATH: of the kubelet's own API
{
	curl -fsSk --noproxy '*' --cert "$dir/pki/apiserver-kubelet-client.crt" --key "$dir/pki/apiserver-kubelet-client.key" \
		"https://127.0.0.1:$port$1"
}

ok "up" up || finish
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
root=/$(setting cgroupRoot)
node=$(k get nodes -o jsonpath='{.items[0].metadata.name}')
port=$(k get nodes -o jsonpath='{.items[0].status.daemonEndpoints.kubeletEndpoint.Port}')

# ---- classes ----
pod full 'limits: { cpu: 200m, memory: 64Mi }'
pod some 'requests: { cpu: 100m, memory: 16Mi }'
pod none ''
pod busy 'limits: { cpu: 100m }' 'while :; do :; done'
ok "four pods" k wait --for=condition=Ready pod/full pod/some pod/none pod/busy --timeout=60s || finish
is "Guaranteed" Guaranteed get full .status.qosClass
is "Burstable" Burstable get some .status.qosClass
is "BestEffort" BestEffort get none .status.qosClass
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
	is "a pod with limits has them as a whole" "204 20000 67108864" limit "$(cgroup '' full)"
	is "one with requests has its share" "102 -1" sh -c "echo '$(limit "$(cgroup /burstable some)")' | cut -d' ' -f1,2"
	is "one without anything comes last" "2 -1" sh -c "echo '$(limit "$(cgroup /besteffort none)")' | cut -d' ' -f1,2"
	is "the burstable ones together" "204" sh -c "echo '$(limit "$root/burstable")' | cut -d' ' -f1"
fi
score() { k exec "$1" -- cat /proc/1/oom_score_adj; }
is "who is killed first when memory is short" 1000 score none
if (echo -500 > /proc/self/oom_score_adj) 2> /dev/null; then
	is "and last" -997 score full
else
	skip "and last" "may not go below $(cat /proc/self/oom_score_adj) here"
fi

# ---- use ----
ok "the group is served" sh -c "kubectl --kubeconfig='$dir/admin.kubeconfig' api-versions | grep -qx metrics.k8s.io/v1beta1"
ok "top node" k top node "$node"
says "all of them" "$node" k top node
ok "top pod" k top pod full
says "top pod with containers" main k top pod busy --containers
busy() { k top pod -l app=busy --no-headers | awk '$2 + 0 >= 60 && $2 + 0 <= 150 { good = 1 } END { exit !good }'; }
ok "a container at its limit uses about that" within busy	# in a second in which there is so much
is "those of a label" 1 sh -c "timeout 60 kubectl --kubeconfig='$dir/admin.kubeconfig' top pod -l app=none --no-headers | wc -l"
is "in all namespaces" 4 sh -c "timeout 60 kubectl --kubeconfig='$dir/admin.kubeconfig' top pod -A --no-headers | wc -l"
refuses "of one that is not there" 'podmetrics.metrics.k8s.io "default/nobody" not found' k top pod nobody
says "as a table" WINDOW k get pods.metrics.k8s.io
says "the raw form" '"kind":"PodMetrics"' k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy
says "the summary" '"podRef":{"name":"busy","namespace":"default"' kubelet /stats/summary
for key in usageNanoCores usageCoreNanoSeconds workingSetBytes rxBytes inodesUsed ephemeral-storage imageFs rlimit rootfs logs; do
	says "has $key" "\"$key\"" kubelet /stats/summary
done
says "metrics/resource" 'container_cpu_usage_seconds_total{container="main",namespace="default",pod="busy"}' kubelet /metrics/resource
says "metrics/cadvisor" 'container_memory_working_set_bytes{container="main",id="' kubelet /metrics/cadvisor
says "metrics" 'kubelet_running_pods 4' kubelet /metrics
says "metrics/probes" '# TYPE prober_probe_total counter' kubelet /metrics/probes
says "configz" '"evictionHard":{"memory.available":' kubelet /configz
refuses "nobody without a certificate" 401 curl -fsSk --noproxy '*' "https://127.0.0.1:$port/stats/summary"

# ---- resources changed ----
resize() { k patch pod "$1" --subresource resize -p "{\"spec\":{\"containers\":[{\"name\":\"main\",\"resources\":$2}]}}"; }
ok "more CPU" resize full '{"requests":{"cpu":"400m"},"limits":{"cpu":"400m"}}'
ok "is given" k wait --for=jsonpath='{.status.containerStatuses[0].resources.limits.cpu}'=400m pod/full --timeout=30s
is "without a restart" 0 get full '.status.containerStatuses[0].restartCount'
[ -e /sys/fs/cgroup/cgroup.controllers ] || is "the pod has it" "409 40000 67108864" limit "$(cgroup '' full)"
is "and is told as allocated" 400m get full '.status.containerStatuses[0].allocatedResources.cpu'
ok "more memory, for which the container wants a restart" resize full '{"requests":{"memory":"96Mi"},"limits":{"memory":"96Mi"}}'
ok "restarts" k wait --for=jsonpath='{.status.containerStatuses[0].restartCount}'=1 pod/full --timeout=60s
ok "with it" k wait --for=jsonpath='{.status.containerStatuses[0].resources.limits.memory}'=96Mi pod/full --timeout=30s
ok "more than there is" resize full '{"requests":{"cpu":"4000"},"limits":{"cpu":"4000"}}'
ok "is pending" k wait --for=condition=PodResizePending pod/full --timeout=30s
is "for good" Infeasible get full '.status.conditions[?(@.type=="PodResizePending")].reason'
ok "what is possible again" resize full '{"requests":{"cpu":"100m"},"limits":{"cpu":"100m"}}'
ok "is given at once" k wait --for=jsonpath='{.status.containerStatuses[0].resources.limits.cpu}'=100m pod/full --timeout=30s

# ---- refused ----
refused()	# NAME REASON MESSAGE SPEC-LINE
{
	pods << END
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  nodeName: $node
  $4
  containers: [ { name: main, image: "localhost/hello:1", resources: { ${5:-} } } ]
END
	ok "$1: refused" k wait --for=jsonpath='{.status.reason}'="$2" "pod/$1" --timeout=30s
	says "$1: why" "$3" get "$1" .status.message
	is "$1: failed" Failed get "$1" .status.phase
}
refused cpu OutOfcpu "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000000, used: " '' 'requests: { cpu: 4000 }'
refused memory OutOfmemory "Pod was rejected: Node didn't have enough resource: memory, requested: " '' 'requests: { memory: 4000Ti }'
refused affinity NodeAffinity "Pod was rejected: Predicate NodeAffinity failed" 'nodeSelector: { made: of-cheese }'
refused sysctl SysctlForbidden 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted' \
	'securityContext: { sysctls: [ { name: kernel.msgmax, value: "65536" } ] }'

# ---- images ----
ok "an image that nobody uses" image 2
images() { k get node "$node" -o jsonpath='{.status.images[*].names}'; }
ok "the disk is fuller than it may be" "$orlop" module replace --data-dir "$dir" kubelet image_gc_high_threshold=1 image_gc_low_threshold=0 minimum_image_ttl_duration=0s
unused() { "$orlop" image list --data-dir "$dir" > "$tmp/images" && ! grep 'hello:2' "$tmp/images"; }
ok "it goes" within unused
says "the one that is used stays" "hello:1" "$orlop" image list --data-dir "$dir"
ok "that it was not enough is told" await FreeDiskSpaceFailed events --no-headers -A

# ---- evicted ----
pods << END
apiVersion: v1
kind: Pod
metadata: { name: greedy }
spec:
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /bin/sh, -c, "dd if=/dev/zero of=/e/x bs=1M count=8; sleep 1000" ]
    volumeMounts: [ { name: e, mountPath: /e } ]
  volumes: [ { name: e, emptyDir: { sizeLimit: 1Mi } } ]
END
ok "more in an emptyDir than it may hold" k wait --for=jsonpath='{.status.reason}'=Evicted pod/greedy --timeout=60s
is "why" 'Usage of EmptyDir volume "e" exceeds the limit "1Mi". ' get greedy .status.message
is "it was a disruption" TerminationByKubelet get greedy '.status.conditions[?(@.type=="DisruptionTarget")].reason'
ok "memory runs short" "$orlop" module replace --data-dir "$dir" kubelet 'eviction_hard=memory.available<100%' image_gc_high_threshold=100 eviction_pressure_transition_period=1h
ok "the node says so" k wait --for=condition=MemoryPressure "node/$node" --timeout=60s
ok "who asked for nothing goes first" k wait --for=jsonpath='{.status.reason}'=Evicted pod/none --timeout=60s
says "why" "The node was low on resource: memory. Threshold quantity: " get none .status.message
tainted() { k get node "$node" -o jsonpath='{.spec.taints[*].key}' | grep -qF memory-pressure; }
ok "the node is tainted" await memory-pressure node "$node" --no-headers -o custom-columns='T:.spec.taints[*].key'
pods << END
apiVersion: v1
kind: Pod
metadata: { name: late }
spec: { nodeName: $node, containers: [ { name: main, image: "localhost/hello:1" } ] }
END
ok "no other of that class begins" k wait --for=jsonpath='{.status.reason}'=Evicted pod/late --timeout=30s
is "why" "Pod was rejected: The node had condition: [MemoryPressure]. " get late .status.message
says "it is counted" 'kubelet_evictions{eviction_signal="memory.available"}' kubelet /metrics
ok "enough again" "$orlop" module replace --data-dir "$dir" kubelet 'eviction_hard=memory.available<1Mi' eviction_pressure_transition_period=0s
ok "the node is well" k wait --for=condition=MemoryPressure=False "node/$node" --timeout=60s
ok "all gone" k delete pod --all --timeout=90s
left() { find /sys/fs/cgroup -path "*$root/*pod*" -type d | grep -c . || true; }
is "no pod's cgroup is left" 0 left
finish
