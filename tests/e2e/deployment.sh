#!/bin/sh
# run: timeout=300 alone
# The path a user walks: create a Deployment, reach its pods, scale it, lose a pod, roll out, roll back,
# read logs, run commands, delete it; and nothing is left.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox

ready_pods()
{
	k get pods -l app=hello -o jsonpath='{range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.name}{"\n"}{end}'
}
ips()
{
	k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.podIP}{"\n"}{end}'
}
settled()	# N: so many pods and no more
{
	k rollout status deployment/hello --timeout=60s && await "^hello +$1/$1 " deployment hello --no-headers &&
		none_ending
}
none_ending()
{
	ending=$(k get pods -l app=hello -o jsonpath='{range .items[?(@.metadata.deletionTimestamp)]}pod/{.metadata.name}{"\n"}{end}')
	# shellcheck disable=SC2086 # a list
	[ -z "$ending" ] || k wait --for=delete --timeout=60s $ending 2>&1 | grep -v NotFound || :
}
pages()	# VERSION: each pod serves its own page
{
	ips > "$tmp/ips" || return 1
	while read -r name ip; do
		page "$ip:8080" | tee "$tmp/page" | grep -qF "Hello from $name, version $1," || { cat "$tmp/page"; return 1; }
	done < "$tmp/ips"
	[ -s "$tmp/ips" ]
}
count()
{
	ready_pods | grep -c .
}

# shellcheck disable=SC2086 # a list
ok "up $UP_OPTIONS" up $UP_OPTIONS || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image 1" image 1
ok "image 2" image 2
says "apply" "deployment.apps/hello created" k apply -f "$srcdir/examples/hello"
ok "rolled out" settled 3
is "three pods are ready" 3 count
ok "each serves its page at its own address" pages 1
says "describe deployment" "3 desired | 3 updated | 3 total | 3 available" k describe deployment hello
ok "events tell the story" await " Created +pod/" events --no-headers

k scale deployment/hello --replicas=5 > /dev/null
ok "scale up" settled 5
is "five pods are ready" 5 count
k scale deployment/hello --replicas=2 > /dev/null
ok "scale down" settled 2
is "two pods are ready" 2 count

victim=$(ready_pods | head -n 1)
ok "delete a pod" k delete pod "$victim" --timeout=60s
ok "another appears" settled 2
is "it is another one" 0 sh -c "$(command -v echo) $(ready_pods | grep -c "^$victim\$")"

k set image deployment/hello web=localhost/hello:2 > /dev/null
ok "roll out version 2" settled 2
ok "version 2 is served" pages 2
says "two revisions" "2 " k rollout history deployment/hello
ok "undo" k rollout undo deployment/hello
ok "rolled back" settled 2
ok "version 1 is served" pages 1

sh_in()
{
	k exec "$(ready_pods | head -n 1)" -- "$@"
}
first=$(ready_pods | head -n 1)
for which in new old; do
	if [ $which = old ]; then
		KUBECTL=$(old_kubectl) || { skip "logs and exec with Debian's kubectl" "kubernetes-client cannot be had here"; break; }
		export KUBECTL
	fi
	says "$which: logs" "serving as $first on port 8080" k logs "$first"
	is "$which: exec" "$first" sh_in hostname
	is "$which: exec with stdin" "through" sh -c 'echo through | timeout 30 "${KUBECTL:-kubectl}" --kubeconfig="$1" exec -i "$2" -- cat' sh "$dir/admin.kubeconfig" "$first"
	sh_in sh -c 'exit 3' > "$out" 2>&1
	[ $? = 3 ]
	result "$which: exec tells the exit code" $?
	says "$which: describe pod" "localhost/hello:1" k describe pod "$first"
done
unset KUBECTL

other=$(ips | tail -n 1 | cut -d' ' -f2)
says "pod to pod" "Hello from" sh_in wget -qO- "http://$other:8080/"
ok "pod to API server" sh_in sh -c 'nc -z -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" 2> /dev/null || nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" < /dev/null'
whoami_by_token()
{
	sh_in cat /var/run/secrets/kubernetes.io/serviceaccount/token > "$tmp/token" &&
		curl -sS --noproxy '*' --cacert "$dir/pki/ca.crt" -H "Authorization: Bearer $(cat "$tmp/token")" -H 'Content-Type: application/json' \
			-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' \
			"https://127.0.0.1:$(setting port)/apis/authentication.k8s.io/v1/selfsubjectreviews"
}
says "a pod's token is known to the API server" "system:serviceaccount:default:default" whoami_by_token
ok "a service account's files" sh_in sh -c 'cd /var/run/secrets/kubernetes.io/serviceaccount && test -s token && test -s ca.crt && test "$(cat namespace)" = default'

ok "delete" k delete -f "$srcdir/examples/hello"
ok "its pods follow" k wait --for=delete --timeout=60s pod -l app=hello
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
