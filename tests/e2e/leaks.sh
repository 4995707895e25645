#!/bin/sh
# run: timeout=3600 alone
# Nothing is left of pods that have gone: processes, mounts, cgroups, links, files, descriptors are counted before and
# after PODS of them (1,000 by PODS=1000), BATCH at a time; good ones, ones that crash, ones that never start.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox
: "${PODS:=60}" "${BATCH:=20}"

ok "up" up || finish
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
root=$(setting cgroupRoot) bridge=$(setting bridge)
pid=$(cat "$dir/orlopd.pid")

manifest()	# NUMBER
{
	n=$1
	cat << END
---
apiVersion: v1
kind: Pod
metadata: { name: p$n, labels: { run: batch } }
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: $([ $((n % 5)) = 1 ] && echo Always || echo Never)
  securityContext: { fsGroup: 2000 }
  $([ $((n % 7)) != 2 ] || echo 'hostNetwork: true')
  initContainers:
  - { name: init, image: "localhost/hello:1", command: [ /bin/true ] }
  containers:
  - name: main
    image: localhost/hello:1
    command: $(case $((n % 5)) in 0) echo '[ /bin/sh, -c, "trap exit TERM; sleep 1000 & wait" ]' ;; 1) echo '[ /bin/sh, -c, "exit 3" ]' ;; 2) echo '[ /no/such/program ]' ;; 3) echo '[ /bin/true ]' ;; *) echo '[ /bin/sleep, "1000" ]' ;; esac)
    resources: { $([ $((n % 2)) = 0 ] || echo 'limits: { cpu: 10m, memory: 32Mi }') }
    volumeMounts:
    - { name: disk, mountPath: /disk }
    - { name: disk, mountPath: /sub, subPath: a/b }
    - { name: memory, mountPath: /memory }
    - { name: map, mountPath: /map }
  - { name: second, image: "localhost/hello:1", command: [ /bin/sleep, "1000" ] }
  volumes:
  - { name: disk, emptyDir: {} }
  - { name: memory, emptyDir: { medium: Memory } }
  - { name: map, configMap: { name: m } }
END
}
# Everything of ours that there is.
count()
{
	echo "mounts $(grep -c "$dir" /proc/self/mountinfo)"
	echo "cgroups $(find /sys/fs/cgroup -path "*/$root/*" -type d | wc -l)"
	echo "links $(ip -o link show master "$bridge" 2> /dev/null | wc -l)"
	echo "namespaces $(ip netns list 2> /dev/null | wc -l)"
	echo "processes $(pgrep -c -f "$dir/runtime" || true)"
	echo "pods $(ls "$dir/kubelet/pods" 2> /dev/null | wc -l)"
	echo "logs $(find "$dir" -path '*/log/pods/*' -o -path '*/logs/*_*' 2> /dev/null | wc -l)"
	echo "containers $(find "$dir/runtime/containers" "$dir/runtime/sandboxes" "$dir/runtime/exits" "$dir/runtime/rw" "$dir/runtime/kept/"* -mindepth 1 -maxdepth 1 2> /dev/null | wc -l)"
	echo "addresses $(find "$dir/cni" -type f | wc -l)"
}
batch()	# FIRST LAST
{
	for n in $(seq "$1" "$2"); do manifest "$n"; done | k apply -f - > /dev/null &&
		k wait pod -l run=batch --for=jsonpath='{.status.startTime}' --timeout=120s > /dev/null &&
		k delete pod -l run=batch --timeout=120s > /dev/null
}
as_before()
{
	count > "$tmp/after"
	cmp -s "$tmp/before" "$tmp/after"
}
settled()	# until what is counted is what was there before
{
	within as_before || diff "$tmp/before" "$tmp/after"
}
none_of_pods()	# what the first ones have left is not what stays
{
	count > "$tmp/before"
	! grep -E '^(links|processes|pods|logs|containers|addresses) ' "$tmp/before" | grep -v ' 0$'
}

k create configmap m --from-literal=a=b > /dev/null
# the first ones make what stays: classes of cgroups, a shared mount, the bridge
K_TIMEOUT=180
ok "a first batch" batch 1 10
ok "nothing is left of it but what stays" within none_of_pods
files=$(ls "/proc/$pid/fd" | wc -l)
n=11
failed=0
while [ $n -le "$PODS" ]; do
	batch $n $((n + BATCH - 1)) || failed=$((failed + 1))
	n=$((n + BATCH))
done
is "$PODS pods have come and gone, $BATCH at a time" 0 echo $failed
ok "nothing is left of them" settled
now() { test "$(ls "/proc/$pid/fd" | wc -l)" -le $((files + 8)); }
ok "nor are descriptors" within now
sed 's/^/# /' "$tmp/after"
finish
