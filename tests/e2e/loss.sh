#!/bin/sh
# run: timeout=300 alone
# A fifth of all bus messages is lost, others doubled and reordered: everything works all the same.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox

ok "up, losing 20 % of the bus" up --bus-loss 20 || finish
says "the configuration says so" "loss_percent = 20" cat "$dir/orlop.conf"
ok "the node is ready" await ' Ready ' nodes --no-headers || finish

# Storage and API alone: many writers, one watcher, everything seen once and in the end gone.
k get configmaps --watch-only --output-watch-events --no-headers > "$tmp/events" 2> "$tmp/watch.err" &
watcher=$!
ok "a first configmap" k create configmap first --from-literal=a=b
for i in 1 2 3 4 5 6 7 8; do
	cat <<-END > "$tmp/many-$i.yaml"
	apiVersion: v1
	kind: List
	items:
	$(for j in 1 2 3 4 5 6 7 8 9 10; do
		echo "- {apiVersion: v1, kind: ConfigMap, metadata: {name: m$i-$j, labels: {many: \"yes\"}}, data: {n: \"$j\"}}"
	done)
	END
done
writers=''
for i in 1 2 3 4 5 6 7 8; do
	k create -f "$tmp/many-$i.yaml" > "$tmp/many-$i.out" 2>&1 &
	writers="$writers $!"
done
bad=0
for w in $writers; do
	wait "$w" || bad=1
done
cat "$tmp"/many-*.out > "$out"
result "eighty created by eight writers" $bad
is "all are there" 80 sh -c "'${KUBECTL:-kubectl}' --kubeconfig='$dir/admin.kubeconfig' get cm -l many -o name | wc -l | tr -d ' '"
ok "labels on all" k label configmaps -l many=yes round=two
is "each has it" 80 sh -c "'${KUBECTL:-kubectl}' --kubeconfig='$dir/admin.kubeconfig' get cm -l round=two -o name | wc -l | tr -d ' '"
ok "all are deleted" k delete configmaps -l many=yes
ok "the last of the watch" k create configmap last
ok "the watch saw the last" timeout 30 sh -c "tail -n +1 --pid=$watcher -f '$tmp/events' | grep -m 1 -E 'ADDED +last'"
kill $watcher 2> /dev/null
wait $watcher 2> /dev/null
is "each creation once" 80 grep -c -E '^ADDED +m[0-9]+-' "$tmp/events"
is "each deletion once" 80 grep -c -E '^DELETED +m[0-9]+-' "$tmp/events"

# All modules: a Deployment, its change, its end.
ok "image" image 1
ok "apply" k apply -f "$srcdir/examples/hello"
ok "rolled out" k rollout status deployment/hello --timeout=90s
ip=$(k get pods -l app=hello -o jsonpath='{.items[0].status.podIP}')
ok "a page" page "$ip:$(k get pods -l app=hello -o jsonpath='{.items[0].spec.containers[0].ports[0].containerPort}')"
pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
ok "a pod is deleted" k delete pod "$pod"
ok "another comes" k rollout status deployment/hello --timeout=90s
ok "the deployment is deleted" k delete deployment hello
ok "its pods go" k wait --for=delete pod -l app=hello --timeout=90s
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "down" "$orlop" down --wipe --data-dir "$dir"
ok "no trace is left" no_traces "$bridge" "$cgroups"
finish
