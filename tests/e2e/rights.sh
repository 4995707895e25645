#!/bin/sh
# run: timeout=240 alone
# The kubelet has just the rights that its work needs (tests/api/rights.py shows it for the others): without one of
# asks= it is refused and what it was to do is not done; with its own file it is done. Without one of reads= it does not start.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox curl

log=$dir/log/orlopd.log
so=$builddir/modules/kubelet/kubelet.so
less=$srcdir/tests/api/less.py
asked=''
kubelet()	# FILE
{
	"$orlop" module replace --data-dir "$dir" kubelet "$1"
}
told()	# TEXT: the log says it from line $from on
{
	rm -f "$tmp/told"
	mkfifo "$tmp/told"
	timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -n "+$from" -f "$log" > "$tmp/told" &
	teller=$!
	grep -q -m 1 -F -- "$1" < "$tmp/told"
	heard=$?
	kill $teller 2> /dev/null
	wait $teller 2> /dev/null
	return $heard
}
pod()	# NAME [IMAGE]
{
	k apply -f - << END
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "${2:-localhost/hello:1}", imagePullPolicy: Never, command: [ /bin/sh, -c, "trap exit TERM; sleep 1000 & wait" ] }
END
}
by_token()	# as anybody with a token asks it
{
	curl -sk --noproxy '*' -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "https://127.0.0.1:$port/pods"
}
# without RIGHT DONE... : what gives reason is run by "reason" first
without()
{
	right=$1
	asked="$asked$1
"
	shift
	"$less" "$so" asks "$right" "$tmp/less.so" && from=$(($(wc -l < "$log") + 1)) && kubelet "$tmp/less.so" > "$out" 2>&1 && reason >> "$out" 2>&1
	result "without $right" $?
	ok "it is refused" told "module kubelet may not ${right#*;} ${right%;*}: its modinfo"
	ok "its own file again" kubelet "$so"
	ok "with that right it is done" "$@"
}

mkdir "$tmp/manifests"
ok "up" up || finish
[ -f "$so" ] || { echo "Bail out! $so is not built"; exit 1; }
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
node=$(k get nodes -o jsonpath='{.items[0].metadata.name}')
port=$(k get nodes -o jsonpath='{.items[0].status.daemonEndpoints.kubeletEndpoint.Port}')
k create serviceaccount reader > /dev/null
k create clusterrolebinding reader --clusterrole=system:kubelet-api-admin --serviceaccount=default:reader > /dev/null
"$orlop" module replace --data-dir "$dir" kubelet "static_pods=$tmp/manifests" > "$out" 2>&1
result "static pods" $?

reason() { k delete --wait=false node "$node"; }
without 'nodes;create' await "^$node .* Ready " nodes --no-headers
reason() { k label node "$node" kubernetes.io/os-; }
without 'nodes;patch' await "^$node .*kubernetes.io/os=linux" nodes --no-headers --show-labels
reason() { :; }
without 'nodes/status;patch' await "^$node .* Ready " nodes --no-headers
reason() { k -n kube-node-lease delete lease "$node"; }
without 'leases.coordination.k8s.io;create' await "^$node " -n kube-node-lease leases --no-headers
reason() { :; }
without 'leases.coordination.k8s.io;patch' await "^$node " -n kube-node-lease leases --no-headers
reason() { pod status; }
without 'pods/status;patch' await '^status +1/1 +Running' pods --no-headers
reason() { pod tokened; }
without 'serviceaccounts/token;create' await '^tokened +1/1 +Running' pods --no-headers
reason() { pod told; }
without 'events;create' await '^told +1/1 +Running' pods --no-headers
reason() { pod imageless localhost/nix:1; }
without 'events;patch' await 'ErrImageNeverPull' events --no-headers
reason() { k delete --wait=false pod tokened; }
without 'pods;delete' k wait --for=delete pod/tokened --timeout=60s
reason()
{
	pod mirrored > /dev/null	# the same, by a file
	k delete --now pod mirrored
	cat > "$tmp/static.yaml" << END
apiVersion: v1
kind: Pod
metadata: { name: static }
spec: { terminationGracePeriodSeconds: 1, containers: [ { name: main, image: "localhost/hello:1", command: [ sleep, "1000" ] } ] }
END
	mv "$tmp/static.yaml" "$tmp/manifests/static.yaml"
}
without 'pods;create' await "^static-$node +1/1 +Running" pods --no-headers
for right in 'tokenreviews.authentication.k8s.io;create' 'subjectaccessreviews.authorization.k8s.io;create'; do
	token=$(k create token reader)
	reason() { by_token; }
	without "$right" test 200 = 200
	is "and is answered" 200 by_token
done
"$less" "$so" asks | sort > "$tmp/all"
printf %s "$asked" | sort > "$tmp/asked"
ok "these are all its rights" cmp "$tmp/all" "$tmp/asked"

for right in $("$less" "$so" reads); do
	"$less" "$so" reads "$right" "$tmp/less.so"
	refuses "it needs to read ${right%%;*}" "may not read ${right%%;*}" kubelet "$tmp/less.so"
done
ok "and still works" pod last
ok "with all of them" await '^last +1/1 +Running' pods --no-headers
finish
