#!/bin/sh
# run: timeout=400 alone
# A machine in trouble: no more processes, a clock that jumps, a full disk. A pod says what happened to it, everything else goes
# on, and when the trouble is over all is as if it had not been.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3 mount
shim=$builddir/tests/faults/faultshim.so
group=''
the_end()
{
	trap - EXIT
	[ -z "$group" ] || echo max > "$group/pids.max"
	rm -f "$dir/ballast"
	[ ! -e "$dir" ] || "$orlop" down --wipe --grace 0 --data-dir "$dir" > /dev/null 2>&1
	[ -z "$group" ] || rmdir "$group"
	! mountpoint -q "$dir" || umount -l "$dir"
	rm -rf "$tmp"
}
trap the_end EXIT

mkdir "$dir"
ok "a small disk" mount -t tmpfs -o size=160m,mode=0700 none "$dir"
# The page of the shim: nothing fails, the wall clock is the true one.
busybox dd if=/dev/zero of="$tmp/fault" bs=4096 count=1 2> /dev/null
clock()	# SECONDS off the true one, as the daemon sees it
{
	python3 -c "import struct; f = open('$tmp/fault', 'r+b'); f.seek(224); f.write(struct.pack('<q', $1 * 10**9))"
}
export FAULT_FILE="$tmp/fault"
# A kubelet that saw the disk full refuses pods for five minutes after that.
echo 'change = ( { module = "kubelet"; params = { eviction_pressure_transition_period = "1s"; }; } );' > "$tmp/settings"
if [ -f "$shim" ]; then
	ok "up" env LD_PRELOAD="$shim" "$orlop" up --data-dir "$dir" --port 0 --kubelet-port 0 --settings "$tmp/settings" || finish
else
	ok "up" up --settings "$tmp/settings" || finish
fi
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
ok "apply" k apply -f "$srcdir/examples/hello"
ok "rolled out" k rollout status deployment/hello --timeout=60s
address=$(k get pods -l app=hello -o jsonpath='{.items[0].status.podIP}')
pod()	# NAME: one that sleeps
{
	k create -f - << EOF
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  terminationGracePeriodSeconds: 1
  containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, sleep, '100000' ] } ]
EOF
}
containers()
{
	k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.containerStatuses[0].containerID}{" "}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
containers > "$tmp/before"
others()	# WHEN: they are as they were
{
	containers > "$tmp/after"
	ok "$1: no container noticed" diff "$tmp/before" "$tmp/after"
	ok "$1: they serve" page "$address:8080"
}

# ---- no more processes -------------------------------------------------------------------------------
read -r daemon < "$dir/orlopd.pid"
for at in /sys/fs/cgroup/pids /sys/fs/cgroup; do
	[ ! -e $at/cgroup.procs ] || { [ $at != /sys/fs/cgroup ] && [ ! -e $at/cgroup.controllers ] && group=$at/orlop-test-$$; }
	[ -z "$group" ] || break
done
if [ -n "$group" ] && mkdir "$group"; then
	echo "$daemon" > "$group/cgroup.procs"
	cp "$group/pids.current" "$group/pids.max" 2> /dev/null || cat "$group/pids.current" > "$group/pids.max"
	ok "no more processes: a pod is made" pod pids
	ok "it says what happened" await 'Resource temporarily unavailable' events --field-selector involvedObject.name=pids -o custom-columns=M:.message --no-headers
	others "no more processes"
	echo max > "$group/pids.max"
	ok "there are again: it runs" k wait --for=condition=Ready pod/pids --timeout=60s
	ok "delete it" k delete pod pids --timeout=60s
	cat "/proc/$daemon/cgroup" > "$tmp/cgroup"
else
	skip "no more processes" "no pids controller that is ours to use"
	group=''
fi

# ---- a clock that jumps --------------------------------------------------------------------------------
if [ -f "$shim" ]; then
	# to and fro; before their beginning certificates would not be valid, as upstream's
	for jump in 7200 0; do
		clock $jump
		ok "clock $jump s: a pod runs" pod "clock$jump"
		ok "clock $jump s: is ready" k wait --for=condition=Ready "pod/clock$jump" --timeout=60s
		others "clock $jump s"
		ok "clock $jump s: delete it" k delete pod "clock$jump" --timeout=60s
	done
	ok "the clock is right again: the node is ready" k wait --for=condition=Ready node --all --timeout=60s
	others "the clock is right again"
else
	skip "a clock that jumps" "no shim"
fi

# ---- a full disk ------------------------------------------------------------------------------------------
fill()
{
	# all of it: what is freed meanwhile too
	busybox dd if=/dev/zero of="$dir/ballast" bs=65536 2> /dev/null
	busybox dd if=/dev/zero of="$dir/ballast2" bs=512 2> /dev/null
	busybox df "$dir" | tail -n 1
}
ok "the disk is full" fill
busybox dd if=/dev/zero bs=1000 count=500 2> /dev/null | tr '\0' x > "$tmp/big"
k create configmap big --from-file="$tmp/big" > "$out" 2>&1
refused=$?
[ $refused != 0 ] && grep -qi -e 'no space' -e 'full' -e 'space' "$out"
result "a full disk: a write is refused with its reason" $?
ok "a full disk: reading goes on" k get pods
ok "a full disk: the daemon lives" kill -0 "$daemon"
ok "a full disk: containers serve" page "$address:8080"
rm -f "$dir/ballast" "$dir/ballast2"
ok "there is room again: a write is accepted" timeout $((60 * TEST_TIMEOUT_FACTOR)) sh -c "until kubectl --kubeconfig='$dir/admin.kubeconfig' create configmap small --from-literal=a=b; do busybox usleep 200000; done"
# With a controller: one that comes before the kubelet has looked at the disk again is refused for good.
ok "there is room again: a pod is made" k create deployment room --image=localhost/hello:1
ok "and runs" k rollout status deployment/room --timeout=150s
ok "the node is well" k wait --for=condition=Ready node --all --timeout=60s
ok "everybody runs" k rollout status deployment/hello --timeout=150s
ok "it is the same daemon" grep -x "$daemon" "$dir/orlopd.pid"

ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "the disk is nobody's" umount "$dir"
rmdir "$dir" 2> /dev/null
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
