#!/bin/sh
# run: timeout=450 alone
# A daemon that joins a control plane with every module in a process of its own, uplink among them: what uplink feeds is
# read by the others. Each is killed in turn, the control plane too; uplink goes into the daemon and out again.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

control=scheduler/default,kubelet,runtime/oci,cni/bridge
for c in $(cd "$builddir/modules/controllers" && ls ./*.so); do
	control=$control,controllers/$(basename "$c" .so)
done
node=$tmp/n
# shellcheck disable=SC2317 # by the trap
ends()
{
	[ ! -e "$node" ] || "$orlop" down --wipe --grace 0 --data-dir "$node" > /dev/null 2>&1
	e2e_end
}
trap ends EXIT
join()	# OPTIONS...
{
	"$orlop" up --data-dir "$node" --kubelet-port 0 --timeout $((60 * TEST_TIMEOUT_FACTOR)) --join "$dir/admin.kubeconfig" "$@"
}
running()	# N pods are Running with all containers ready
{
	k rollout status deployment/hello --timeout=60s && await "^hello +$1/$1 " deployment hello --no-headers
}
containers()
{
	k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}

ok "a control plane alone" up --without "$control" || finish
ok "another daemon joins it, all in processes of their own" join --role worker,controllers --node-name apart --pki "$dir/pki" --isolate all || finish
ok "its node is ready" await '^apart +Ready ' nodes --no-headers || finish
modules "$node" > "$tmp/modules"
ok "each module has a process" sh -c "! grep -q ' 0 0 ' '$tmp/modules' && grep -q '^uplink ' '$tmp/modules'"
says "module info tells uplink's rights" "net=inet" "$orlop" module info --data-dir "$node" uplink
ok "which it has: no capabilities" sh -c "
	pid=\$(awk '\$1 == \"uplink\" { print \$2 }' '$tmp/modules')
	grep -q '^CapEff:.0000000000000000' /proc/\$pid/status && grep -q '^Seccomp:.2' /proc/\$pid/status"
"$srcdir/examples/hello/make-image" "$tmp/image.tar" 1 > /dev/null 2>&1
ok "an image" "$orlop" image import --data-dir "$node" "$tmp/image.tar"
k apply -f "$srcdir/examples/hello" > /dev/null 2>&1
ok "a Deployment runs" running 3
ok "each pod serves its page" page "$(k get pods -l app=hello -o jsonpath='{.items[0].status.podIP}'):8080"
containers > "$tmp/before"

while read -r name pid _; do
	kill -9 "$pid"
	ok "$name is killed, and back" back "$name" "$pid" "$node"
done < "$tmp/modules"
is "no container noticed" "$(cat "$tmp/before")" containers
k scale deployment/hello --replicas=4 > /dev/null
ok "they work on" running 4
k scale deployment/hello --replicas=3 > /dev/null
ok "both ways" running 3

uplink=$(modules "$node" | awk '$1 == "uplink" { print $2 }')
k scale deployment/hello --replicas=5 > /dev/null
kill -9 "$uplink"
ok "uplink is killed in the midst of it" back uplink "$uplink" "$node"
ok "nothing is missed" running 5
says "uplink goes into the daemon" "serves" "$orlop" module replace --in-process --data-dir "$node" uplink
k scale deployment/hello --replicas=3 > /dev/null
ok "the others read on" running 3
says "and out again" "serves" "$orlop" module replace --isolated --data-dir "$node" uplink
k scale deployment/hello --replicas=4 > /dev/null
ok "and on" running 4

kill -9 "$("$orlop" status --json --data-dir "$dir" | sed -n 's/^  "pid": \([0-9]*\).*/\1/p')"
ok "the control plane is killed and comes back" "$orlop" up --data-dir "$dir" || finish
k scale deployment/hello --replicas=2 > /dev/null
ok "the node finds it again" running 2
k delete -f "$srcdir/examples/hello" --wait=true > /dev/null
pids=$(modules "$node" | awk '{ print $2 }')
ok "down" "$orlop" down --wipe --grace 0 --data-dir "$node"
# shellcheck disable=SC2086 # a list
ok "no process is left" gone $pids
finish
