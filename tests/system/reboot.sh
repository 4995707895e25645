#!/bin/sh
# run: timeout=300 alone
# The machine goes without a word and comes again: every process is gone, with it mounts, links and rules, and what was in
# /run; the disk is there. A machine is a PID, mount and network namespace here: who kills its first process cuts its power.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox ip nft unshare nsenter
ip=192.0.2.1 machine=''

# Begins: a machine with an address and an empty /run, on the disk below $dir.
power_on()
{
	cat /proc/sys/kernel/random/uuid > "$tmp/boot_id"
	rm -f "$tmp/on"
	mkfifo "$tmp/on"
	unshare -mnpf --mount-proc --propagation private sh -c "
		mount -t tmpfs none /run && mount --bind '$tmp/boot_id' /proc/sys/kernel/random/boot_id &&
		ip link set lo up && ip link add w0 type veth peer name w1 && ip addr add $ip/24 dev w0 && ip link set w0 up && ip link set w1 up &&
		ip route add default via 192.0.2.254 && echo on > "$tmp/on" || echo failed > "$tmp/on"
		exec sleep 1000000" &
	outer=$!
	read -r _ < "$tmp/on"
	machine=$(cat /proc/$outer/task/$outer/children)
	machine=${machine% }
}
power_off()
{
	kill -9 "$machine"
	gone "$machine" $outer
	# a kernel that starts has no cgroups
	find /sys/fs/cgroup -depth -type d -path "*/$cgroups*" -exec rmdir {} + 2> /dev/null
	machine=''
}
there()
{
	nsenter -t "$machine" -m -n -p "$@"
}
k()
{
	there timeout $((60 * TEST_TIMEOUT_FACTOR)) kubectl --kubeconfig="$dir/admin.kubeconfig" --cache-dir="$tmp/kube-cache" "$@"
}
k_job()
{
	k "$@"
}
up()
{
	there "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --timeout $((60 * TEST_TIMEOUT_FACTOR)) "$@"
}
the_end()
{
	[ -z "$machine" ] || there "$orlop" down --wipe --grace 0 --data-dir "$dir" > /dev/null 2>&1
	[ -z "$machine" ] || kill -9 "$machine"
	rm -rf "$tmp"
}
trap the_end EXIT

power_on
ok "up" up || finish
cgroups=$(setting cgroupRoot) bridge=$(setting bridge)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
"$srcdir/examples/hello/make-image" "$tmp/image.tar" 1 > /dev/null
ok "image" there "$orlop" image import --data-dir "$dir" "$tmp/image.tar"
cat > "$tmp/pods.yaml" << 'EOF'
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: { name: never }
  spec:
    restartPolicy: Never
    containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, sleep, '100000' ] } ]
- apiVersion: v1
  kind: Pod
  metadata: { name: done }
  spec:
    restartPolicy: OnFailure
    containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, 'true' ] } ]
- apiVersion: v1
  kind: Pod
  metadata: { name: port }
  spec:
    containers:
    - { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, ports: [ { containerPort: 8080, hostPort: 18081 } ] }
- apiVersion: v1
  kind: Pod
  metadata: { name: host }
  spec:
    hostNetwork: true
    containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, sleep, '100000' ] } ]
EOF
ok "apply" k apply -f "$srcdir/examples/hello" -f "$tmp/pods.yaml"
ok "rolled out" k rollout status deployment/hello --timeout=60s
ok "pods run" k wait --for=condition=Ready pod/never pod/port pod/host --timeout=60s
ok "one is done" k wait --for=jsonpath='{.status.phase}=Succeeded' pod/done --timeout=60s
pods()
{
	k get pods -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}' | sort
}
addresses()	# N there are, of those who have ended none
{
	[ "$(ls "$dir/cni" | wc -l)" = "$1" ] || { ls "$dir/cni"; return 1; }
}
monitors()	# N
{
	[ "$(there pgrep -c -r R,S conmon)" = "$1" ] || { there pgrep -a conmon; return 1; }
}
pods > "$tmp/before"
ok "a write that was acknowledged" k create configmap last --from-literal=a=b
power_off

for again in 1 2; do
	power_on
	ok "boot $again: up" up || finish
	ok "boot $again: the node is ready" await ' Ready ' nodes --no-headers || finish
	ok "boot $again: the machine says that it was" await 'Node .* has been rebooted, boot id: ' events --field-selector reason=Rebooted -o custom-columns=M:.message --no-headers
	ok "boot $again: what was acknowledged is there" k get configmap last
	for pod in $(k get pods -l app=hello -o name) pod/port pod/host; do
		ok "boot $again: $pod is restarted" k wait --for=jsonpath="{.status.containerStatuses[0].restartCount}=$again" "$pod" --timeout=60s
		ok "boot $again: and is ready" k wait --for=condition=Ready "$pod" --timeout=60s
	done
	pods > "$tmp/after"
	ok "boot $again: they are the same pods" diff "$tmp/before" "$tmp/after"
	ok "boot $again: one that must not run again has failed" k wait --for=jsonpath='{.status.phase}=Failed' pod/never --timeout=60s
	is "boot $again: as upstream says it" "Failed 0 255 Unknown" k get pod never -o jsonpath='{.status.phase} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.terminated.exitCode} {.status.containerStatuses[0].state.terminated.reason}'
	is "boot $again: one that was done is done" "Succeeded 0" k get pod "done" -o jsonpath='{.status.phase} {.status.containerStatuses[0].restartCount}'
	is "boot $again: how it ended is told, as far as anybody knows" "255 Unknown" k get pod port -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.reason}'
	ok "boot $again: its host port leads to it" there curl -fsS --noproxy '*' --retry 20 --retry-connrefused --retry-delay 1 --max-time 20 http://$ip:18081/
	ok "boot $again: one address each" within addresses 4
	ok "boot $again: one monitor each" within monitors 5
	[ $again = 2 ] || power_off
done
ok "down --wipe" there "$orlop" down --wipe --grace 0 --data-dir "$dir"
is "no link" "" there sh -c "ip -o link | grep -e $bridge -e veth || :"
is "no rule" "" there nft list tables
is "no file" "" sh -c "ls -A '$dir' 2>/dev/null || :"
finish
