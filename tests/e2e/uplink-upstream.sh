#!/bin/sh
# run: timeout=400 alone
# shellcheck disable=SC2016,SC2317 # words for another shell; functions by name
# Beside upstream's control plane, where its programs are built ($ORLOP_PEER):
# an Orlop node joins it and runs what upstream's scheduler gives it; Orlop's scheduler and controllers drive its API
# server; and upstream's controller manager and scheduler drive an Orlop API server.
. "$(dirname "$0")/lib.sh"
[ -x "${ORLOP_PEER:=/nonexistent}/upstream-up" ] || skip_all "there is no upstream control plane here (ORLOP_PEER)"
need conmon runtime skopeo kubectl busybox etcd python3 openssl

peer()	# WORDS of the peer's own library
{
	bash -c '. "$0/lib.sh"; eval "$*"' "$ORLOP_PEER" "$@"
}
bin=$(peer 'echo "$K8S_BIN"') state=$(peer 'echo "$UP"')
[ -x "$bin/kube-apiserver" ] || skip_all "upstream's programs are not built ($bin)"
! peer 'alive apiserver "$UP/run"' || skip_all "upstream's control plane is in use by somebody else"

node=$tmp/n work=$tmp/w mine=
# shellcheck disable=SC2317 # by the trap
ends()
{
	# shellcheck disable=SC2086 # a list
	[ -z "$mine" ] || kill $mine 2> /dev/null
	for d in "$node" "$work"; do
		[ ! -e "$d" ] || "$orlop" down --wipe --grace 0 --data-dir "$d" > /dev/null 2>&1
	done
	"$ORLOP_PEER/upstream-down" --wipe > /dev/null 2>&1
	e2e_end
}
trap ends EXIT

u()	# kubectl on upstream's API server
{
	timeout $((60 * TEST_TIMEOUT_FACTOR)) kubectl --kubeconfig "$state/kubeconfig" --cache-dir="$tmp/u-cache" "$@"
}
join()	# DIR OPTIONS...
{
	to=$1
	shift
	"$orlop" up --data-dir "$to" --kubelet-port 0 --timeout $((60 * TEST_TIMEOUT_FACTOR)) --join "$state/kubeconfig" "$@"
}
hello()	# WHICH
{
	"$1" apply -f "$srcdir/examples/hello"
}
running()	# WHICH N
{
	"$1" rollout status deployment/hello --timeout=60s && "$1" wait --for=jsonpath='{.status.readyReplicas}'="$2" deployment/hello --timeout=60s
}
pods_gone()	# WHICH
{
	"$1" wait --for=delete --timeout=60s pod -l app=hello 2>&1 | grep -v NotFound
	[ -z "$("$1" get pods -l app=hello -o name)" ]
}

# ---- an Orlop node under upstream's control plane -----------------------------------------------------

ok "upstream's control plane" "$ORLOP_PEER/upstream-up" --control-plane-only || finish
ok "an Orlop node joins it" join "$node" --node-name orlop-node || finish
ok "it is ready" u wait --for=condition=Ready --timeout=60s node/orlop-node || finish
"$srcdir/examples/hello/make-image" "$tmp/image.tar" 1 > /dev/null 2>&1
ok "an image" "$orlop" image import --data-dir "$node" "$tmp/image.tar"
ok "a Deployment" hello u
ok "upstream's controllers and scheduler place it, the Orlop kubelet runs it" running u 3
is "on that node" "orlop-node" sh -c "kubectl --kubeconfig $state/kubeconfig get pods -l app=hello -o jsonpath='{range .items[*]}{.spec.nodeName}{\"\\n\"}{end}' | sort -u"
ok "scaled" u scale deployment/hello --replicas=1
ok "what is too much ends" running u 1

# ---- Orlop's scheduler and controllers on upstream's API server -----------------------------------------

ok "upstream's controller manager and scheduler end" peer 'stop kcm "$UP/run"; stop scheduler "$UP/run"'
ok "Orlop's take over" join "$work" --role controllers || finish
ok "scaled up" u scale deployment/hello --replicas=4
ok "Orlop's controllers make the pods, its scheduler places them" running u 4
ok "rolled out anew" u rollout restart deployment/hello
ok "step by step" running u 4
says "by events" "Successfully assigned" u get events --field-selector involvedObject.kind=Pod
u create namespace short > /dev/null 2>&1
u -n short create configmap a > /dev/null 2>&1
ok "a namespace empties itself and goes" u delete namespace short --timeout=60s
ok "deleted" u delete deployment hello
ok "its pods are collected" pods_gone u
"$orlop" status --data-dir "$work" | sed -n 's/^memory */# uplink, scheduler and controllers: /p'
"$orlop" down --wipe --grace 0 --data-dir "$work" > /dev/null 2>&1
"$orlop" down --wipe --grace 0 --data-dir "$node" > /dev/null 2>&1
ok "upstream's control plane ends" "$ORLOP_PEER/upstream-down" --wipe

# ---- upstream's controller manager and scheduler on an Orlop API server -----------------------------------

without=scheduler/default
for c in namespace garbage-collector serviceaccount replicaset deployment node-lifecycle taint-eviction pod-garbage-collector \
	replicationcontroller endpoints endpointslice disruption resourcequota pv-protection pvc-protection ephemeral-volume; do
	without=$without,controllers/$c
done
theirs()	# PROGRAM KUBECONFIG OPTIONS...
{
	program=$1 config=$2
	shift 2
	"$bin/$program" --kubeconfig "$config" --authentication-kubeconfig "$config" --authorization-kubeconfig "$config" \
		--bind-address=127.0.0.1 --secure-port=0 --port=0 "$@" \
		> "$tmp/$program.log" 2>&1 &
	mine="$mine $!"
}
# They want policy/v1beta1, discovery.k8s.io/v1beta1 and batch/v1beta1.
echo 'change = ( { module = "apiserver"; params = { old_versions = true; }; } );' > "$tmp/old.conf"
ok "an Orlop node without scheduler and controllers, with older versions" up --settings "$tmp/old.conf" --without "$without" || finish
ok "image" "$orlop" image import --data-dir "$dir" "$tmp/image.tar"
theirs kube-controller-manager "$dir/admin.kubeconfig" --root-ca-file="$dir/pki/ca.crt" \
	--controllers=deployment,replicaset,namespace,serviceaccount,garbagecollector,root-ca-cert-publisher,podgc
theirs kube-scheduler "$dir/admin.kubeconfig"
ok "upstream's controller manager leads by a Lease" await '^kube-controller-manager +[^ ]*_' leases -n kube-system --no-headers
ok "upstream's scheduler leads by one too" await '^kube-scheduler +[^ ]*_' leases -n kube-system --no-headers
ok "a Deployment" hello k
ok "upstream's controllers make the pods, its scheduler places them, they run" running k 3
says "upstream's events are kept" "Successfully assigned" k get events --field-selector involvedObject.kind=Pod
ok "scaled" k scale deployment/hello --replicas=1
ok "what is too much ends" running k 1
k create namespace short > /dev/null 2>&1
k -n short create configmap a > /dev/null 2>&1
ok "a namespace empties itself and goes" k delete namespace short --timeout=60s
ok "deleted" k delete deployment hello
ok "its pods are collected" pods_gone k
finish
