#!/bin/sh
# run: timeout=600
# The scheduler as a user of kubectl meets it, on three nodes that nobody is behind: affinity, anti-affinity, spread, gates,
# priority and preemption with a budget, a second profile, and a plugin that comes and goes while it runs.
. "$(dirname "$0")/lib.sh"
need kubectl python3
ok "orlop up" up --without kubelet,runtime/oci,cni/bridge,controllers/node-lifecycle,controllers/taint-eviction,controllers/pod-garbage-collector || finish

# node NAME ZONE: Ready, 4 CPUs.
node()
{
	printf '{"apiVersion":"v1","kind":"Node","metadata":{"name":"%s","labels":{"kubernetes.io/hostname":"%s","topology.kubernetes.io/zone":"%s"}}}' "$1" "$1" "$2" |
		k create -f - && k patch node "$1" --subresource status --type merge -p '{"status":{"capacity":{"cpu":"4","memory":"8Gi","pods":"110"},
		"allocatable":{"cpu":"4","memory":"8Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True"}]}}' &&
		k patch node "$1" --type merge -p '{"spec":{"taints":null}}'
}
# pod NAME LABELS SPEC [CPU]: members of the maps, as JSON.
pod()
{
	printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{%s}},"spec":{%s"automountServiceAccountToken":false,"containers":[{"name":"c",
	"image":"i","resources":{"requests":{"cpu":"%s"}}}]}}' "$1" "$2" "${3:+$3,}" "${4:-100m}" | k create -f -
}
# on NAME: waits until it has a node, and prints that.
on()
{
	k wait "pod/$1" --for=jsonpath='{.spec.nodeName}' --timeout=30s > /dev/null && k get pod "$1" -o jsonpath='{.spec.nodeName}'
}
# waits NAME TEXT: its condition comes to say so.
waits()
{
	# kubectl wait knows no text with = in it
	rm -f "$tmp/said" && mkfifo "$tmp/said" || return 1
	timeout $((30 * TEST_TIMEOUT_FACTOR)) kubectl --kubeconfig="$dir/admin.kubeconfig" get pod "$1" -w -o \
		'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}{"\n"}' > "$tmp/said" 2> "$tmp/err" &
	follower=$!
	grep -qxFm1 -- "$2" < "$tmp/said"
	said=$?
	kill $follower 2> /dev/null
	wait $follower 2> /dev/null
	[ $said = 0 ] || k get pod "$1" -o jsonpath='{.status.conditions}'
	return $said
}
gone() { k delete pod "$@" --grace-period=0 --force; }
zone() { case $(on "$1") in a*) echo a ;; b*) echo b ;; *) echo none ;; esac; }
term() { printf '{"topologyKey":"%s","labelSelector":{"matchLabels":{"app":"%s"}}}' "$1" "$2"; }
z=topology.kubernetes.io/zone h=kubernetes.io/hostname

ok "three nodes in two zones" sh -c ':' && for n in "a1 a" "a2 a" "b1 b"; do
	# shellcheck disable=SC2086
	node $n > "$out" 2>&1 || result "node $n" 1
done
ok "pods may be made: they have an account" await '^default ' serviceaccounts --no-headers
no3='preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.'

# ---- affinity --------------------------------------------------------------------------------------
ok "a pod on a node by its label" pod db '"app":"db"' '"nodeSelector":{"kubernetes.io/hostname":"a1"}'
is "goes there" a1 on db
ok "one that wants to be near it" pod near '' "\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[$(term $h db)]}}"
is "is" a1 on near
ok "one that wants to be in another zone" pod far '' "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[$(term $z db)]}}"
is "is" b1 on far
ok "one that wants to be near what is not there" pod lonely '' "\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[$(term $h friend)]}}"
ok "waits, and says why" waits lonely "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. $no3"
ok "then it comes" pod friend '"app":"friend"' '"nodeSelector":{"kubernetes.io/hostname":"a2"}'
is "and wakes the one that waited" a2 on lonely
for i in 1 2 3 4; do
	pod "web$i" '"app":"web"' "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[$(term $h web)]}}" > "$out" 2>&1 || result "web$i" 1
done
is "one of each on a node" "a1 a2 b1" sh -c "for i in 1 2 3; do k=\$(timeout 30 kubectl --kubeconfig='$dir/admin.kubeconfig' wait pod/web\$i --for=jsonpath='{.spec.nodeName}' --timeout=30s > /dev/null &&
	kubectl --kubeconfig='$dir/admin.kubeconfig' get pod web\$i -o jsonpath='{.spec.nodeName}'); echo \$k; done | sort | xargs"
ok "the fourth has none left" waits web4 "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
was=$(on web2)
ok "until one goes" gone web2
is "and leaves it its place" "$was" on web4
gone web1 web3 web4 db near far lonely friend > "$out" 2>&1

# ---- spread ----------------------------------------------------------------------------------------
spread="\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"$z\",\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"s\"}}}]"
for i in 1 2 3 4; do pod "s$i" '"app":"s"' "$spread" > "$out" 2>&1 || result "s$i" 1; done
is "four pods over two zones" "a a b b" sh -c "for i in $(zone s1) $(zone s2) $(zone s3) $(zone s4); do echo \$i; done | sort | xargs"
ok "a node is closed" k cordon b1
ok "one more may go to the other zone" pod s5 '"app":"s"' "$spread"
is "does" a zone s5
ok "a sixth would be too much there" pod s6 '"app":"s"' "$spread"
ok "and says so" waits s6 "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
ok "the node is opened" k uncordon b1
is "and takes it" b1 on s6
gone s1 s2 s3 s4 s5 s6 > "$out" 2>&1

# ---- gates -----------------------------------------------------------------------------------------
ok "a pod with a gate" pod gated '' '"schedulingGates":[{"name":"example.org/wait"}]'
ok "waits behind it" waits gated "Scheduling is blocked due to non-empty scheduling gates"
is "as kubectl says" SchedulingGated k get pod gated -o 'jsonpath={.status.conditions[0].reason}'
says "in its table too" SchedulingGated k get pod gated
ok "the gate is opened" k patch pod gated --type=json -p '[{"op":"remove","path":"/spec/schedulingGates"}]'
ok "and it goes" on gated
gone gated > "$out" 2>&1

# ---- preemption ------------------------------------------------------------------------------------
ok "a class of more importance" k create priorityclass high --value=1000
ok "and a modest one" k create priorityclass modest --value=2000 --preemption-policy=Never
for n in a1 a2 b1; do pod "low-$n" "\"app\":\"low-$n\"" "\"nodeSelector\":{\"$h\":\"$n\"}" 3 > "$out" 2>&1 || result "low-$n" 1; done
on low-a1 > "$out" && on low-a2 > "$out" && on low-b1 > "$out" || result "all full" 1
ok "a budget protects one" k create pdb keep --selector=app=low-a1 --min-available=1
ok "another one as well" k create pdb keep2 --selector=app=low-b1 --min-available=1
ok "a modest pod" pod modest '' '"priorityClassName":"modest"' 2
ok "takes nobody's place" waits modest "0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
ok "goes" gone modest
ok "an important pod" pod vip '' '"priorityClassName":"high"' 2
ok "gets the node of the one whom no budget protects" k wait pod/vip --for=jsonpath='{.status.nominatedNodeName}'=a2 --timeout=30s
ok "that one is told to go" k wait pod/low-a2 --for=jsonpath='{.metadata.deletionTimestamp}' --timeout=30s
is "and why" "PreemptionByScheduler default-scheduler: preempting to accommodate a higher priority pod" k get pod low-a2 -o \
	'jsonpath={.status.conditions[?(@.type=="DisruptionTarget")].reason} {.status.conditions[?(@.type=="DisruptionTarget")].message}'
ok "an event too" await "Preempted by pod $(k get pod vip -o 'jsonpath={.metadata.uid}') on node a2" events --field-selector=reason=Preempted
is "the others stay" "" k get pods low-a1 low-b1 -o 'jsonpath={.items[*].metadata.deletionTimestamp}'
ok "when it has gone" gone low-a2
is "the important one is there" a2 on vip
gone vip low-a1 low-b1 > "$out" 2>&1

# ---- volumes ---------------------------------------------------------------------------------------
claim='"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}]'
ok "a pod with a claim that is not there" pod stateful '' "$claim"
ok "waits for it" waits stateful "0/3 nodes are available: persistentvolumeclaim \"data\" not found. $no3"
ok "the claim comes" sh -c "echo '{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"data\"},\"spec\":{\"storageClassName\":\"\",
	\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}' | timeout 30 kubectl --kubeconfig='$dir/admin.kubeconfig' create -f -"
ok "unbound" waits stateful "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. $no3"
ok "a volume of one zone" sh -c "echo '{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"vol\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},
	\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/x\"},\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"$z\",\"operator\":\"In\",\"values\":[\"b\"]}]}]}}}}' |
	timeout 30 kubectl --kubeconfig='$dir/admin.kubeconfig' create -f -"
ok "is bound to it" k patch pvc data --type=merge -p '{"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"}},"spec":{"volumeName":"vol"}}'
is "and the pod goes where the volume is" b1 on stateful
# volume NAME MODE: of a driver, bound to the claim of its name.
volume()
{
	printf '{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"%s"},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["%s"],
	"csi":{"driver":"disk.example.org","volumeHandle":"%s"}}}' "$1" "$2" "$1" | k create -f - &&
	printf '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"%s","annotations":{"pv.kubernetes.io/bind-completed":"yes"}},
	"spec":{"storageClassName":"","accessModes":["%s"],"resources":{"requests":{"storage":"1Gi"}},"volumeName":"%s"}}' "$1" "$2" "$1" | k create -f -
}
uses() { pod "$1" '' "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"$2\"}}],\"nodeSelector\":{\"$h\":\"a1\"}"; }
no1='preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.'
elsewhere="2 node(s) didn't match Pod's node affinity/selector"
ok "a node's driver attaches two volumes" sh -c "echo '{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSINode\",\"metadata\":{\"name\":\"a1\"},
	\"spec\":{\"drivers\":[{\"name\":\"disk.example.org\",\"nodeID\":\"a1\",\"allocatable\":{\"count\":2}}]}}' | timeout 30 kubectl --kubeconfig='$dir/admin.kubeconfig' create -f -"
ok "a volume for one pod alone" volume own ReadWriteOncePod
ok "and two others" sh -c ':' && for v in one two; do volume $v ReadWriteOnce > "$out" 2>&1 || result "volume $v" 1; done
ok "a pod with the first" uses owner own
is "gets it" a1 on owner
ok "another one" uses rival own
ok "does not" waits rival "0/3 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode, $elsewhere. $no1"
ok "a second volume" uses user1 one
is "is attached" a1 on user1
ok "a third" uses user2 two
ok "is too much" waits user2 "0/3 nodes are available: 1 node(s) exceed max volume count, $elsewhere. $no1"
ok "the second is given up" gone user1
is "for it" a1 on user2
ok "and the first" gone owner
is "for who waited" a1 on rival
gone stateful rival user2 > "$out" 2>&1

# ---- a plugin --------------------------------------------------------------------------------------
if ${CC:-cc} -shared -fPIC -fvisibility=hidden -O2 -Wall -I"$srcdir/abi" "$srcdir/examples/scheduler-plugin/reserve.c" -o "$tmp/reserve.so" > "$out" 2>&1; then
	k label node a1 a2 example.org/reserved-for=bank > "$out" 2>&1
	k label node b1 example.org/reserved-for=shop > "$out" 2>&1
	ok "a plugin is loaded while the scheduler runs" "$orlop" module load "$tmp/reserve.so" --data-dir "$dir"
	ok "a pod of nobody's namespace" pod guest '' ''
	ok "is refused everywhere by it, in its words" waits guest "0/3 nodes are available: 3 node(s) were reserved for another namespace. $no3"
	k create namespace shop > "$out" 2>&1
	ok "a namespace with its account" await '^default ' serviceaccounts --no-headers -n shop
	ok "one of a namespace that has a node" sh -c "echo '{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"shop\"},\"spec\":{\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}' |
		timeout 30 kubectl --kubeconfig='$dir/admin.kubeconfig' create -f -"
	ok "gets that" k wait -n shop pod/p --for=jsonpath='{.spec.nodeName}'=b1 --timeout=30s
	ok "it is replaced by itself" "$orlop" module replace scheduler-plugin/reserve "$tmp/reserve.so" --data-dir "$dir"
	ok "it is unloaded" "$orlop" module unload scheduler-plugin/reserve --data-dir "$dir"
	ok "and the pod that it held back goes" on guest
else
	skip "a plugin" "no compiler"
fi
finish
