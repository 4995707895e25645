#!/bin/sh
# run: timeout=900 alone
# Every kubectl that ORLOP_KUBECTLS names (a list of programs; otherwise the one of this machine) does the usual things on a
# node that runs pods. tests/api/kubectl-steps.sh has the rest, without pods.
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$srcdir/tests/e2e/lib.sh"
KUBECTL=${KUBECTL:-kubectl}
need conmon runtime skopeo "$KUBECTL" busybox
usual=$KUBECTL

manifest()	# REPLICAS
{
	cat << END
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: $ns, labels: {app: app}}
spec:
  replicas: $1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "localhost/hello:1", ports: [{containerPort: 8080}]}
END
}
differs()	# COMMAND...: exits with 1, which says that there is a difference
{
	"$@"
	[ $? = 1 ]
}
fails()	# NAME TEXT COMMAND...
{
	what=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	[ $status != 0 ] && [ $status != 124 ] && grep -qF -- "$want" "$out" && { result "$what" 0; return; }
	echo "(status $status of: $*; wanted: $want)" >> "$out"
	result "$what" 1
}
since() { [ "$minor" -ge "$1" ]; }
serving() { k -n "$ns" logs "$1" | grep -q 'serving as'; }
one_left() { [ "$(k -n "$ns" get pod -l app=app -o name | wc -l)" = 1 ]; }

{ up && image 1 && await ' Ready ' nodes --no-headers; } > "$out" 2>&1 || { result "a node" 1; finish; }
node=$(k get nodes -o name)
for KUBECTL in ${ORLOP_KUBECTLS:-$usual}; do
	minor=$("$KUBECTL" version --client -o json 2> /dev/null | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')
	v="1.$minor:" ns="kubectl-$minor"
	kube="timeout $((60 * TEST_TIMEOUT_FACTOR)) $KUBECTL --kubeconfig=$dir/admin.kubeconfig --cache-dir=$tmp/kube-cache"
	[ -n "$minor" ] || { skip "$KUBECTL" "is no kubectl"; continue; }
	says "$v version" "Server" k version
	says "$v api-resources" "deployments" k api-resources
	says "$v api-resources with their verbs" "create,delete,deletecollection,get,list,patch,update,watch" sh -c "$kube api-resources --namespaced -o wide | sed 's/\[\([a-z ]*\)\]/\1/; s/\([a-z]\) \(create\|delete\|get\|list\|patch\|update\|watch\)/\1,\2/g' | grep -w configmaps | tr ' ' ','"
	says "$v explain --recursive" "livenessProbe" k explain --recursive pod.spec
	says "$v explain of a deep field" "<string>" k explain deployment.spec.template.spec.containers.image
	k create namespace "$ns" > "$out" 2>&1
	result "$v create namespace" $?
	manifest 1 > "$tmp/app.yaml"
	manifest 2 > "$tmp/two.yaml"
	sed 's/containerPort/containerHarbour/' "$tmp/app.yaml" > "$tmp/bad.yaml"
	fails "$v apply with a mistake, and validation" 'containerHarbour' k apply -f "$tmp/bad.yaml"
	ok "$v diff of what is not there" differs k diff -f "$tmp/app.yaml"
	says "$v apply" "deployment.apps/app created" k apply -f "$tmp/app.yaml"
	is "$v diff of the same" "" k diff -f "$tmp/app.yaml"
	ok "$v diff" differs k diff -f "$tmp/two.yaml"
	says "$v wait for the deployment" "condition met" k -n "$ns" wait --for=condition=Available deployment/app --timeout=60s
	says "$v rollout status" "successfully rolled out" k -n "$ns" rollout status deployment/app --timeout=60s
	says "$v rollout history" "REVISION" k -n "$ns" rollout history deployment/app
	pod=$(k -n "$ns" get pod -l app=app -o 'jsonpath={.items[0].metadata.name}')
	if since 23; then
		says "$v wait for a field" "condition met" k -n "$ns" wait --for=jsonpath='{.status.phase}'=Running "pod/$pod" --timeout=60s
	fi
	says "$v apply --server-side" "serverside-applied" k apply --server-side --force-conflicts -f "$tmp/two.yaml"
	says "$v wait for two" "successfully rolled out" k -n "$ns" rollout status deployment/app --timeout=60s
	says "$v auth can-i" yes k auth can-i create deployments.apps
	says "$v auth can-i --list" "*.*" k -n "$ns" auth can-i --list
	fails "$v auth can-i as somebody" no k -n "$ns" auth can-i get secrets --as=jane
	# A container runs before its program has said anything.
	for p in $(k -n "$ns" get pod -l app=app -o name); do
		within serving "$p" > "$out" 2>&1
	done
	says "$v logs" "serving as" k -n "$ns" logs "$pod"
	says "$v logs of a deployment" "serving as" k -n "$ns" logs deployment/app --tail=5
	is "$v exec" "in $pod" k -n "$ns" exec "$pod" -- sh -c 'echo in $(hostname)'
	is "$v exec of a deployment" out k -n "$ns" exec deployment/app -c main -- echo out
	ok "$v cp there" k -n "$ns" cp "$tmp/app.yaml" "$pod:/tmp/app.yaml"
	ok "$v cp back" k -n "$ns" cp "$pod:/tmp/app.yaml" "$tmp/back.yaml"
	ok "$v the same" cmp "$tmp/app.yaml" "$tmp/back.yaml"
	says "$v top node" "${node#node/}" k top node
	says "$v top pod" "$pod" k -n "$ns" top pod
	says "$v top pod --containers" main k -n "$ns" top pod "$pod" --containers
	says "$v describe pod" "Started container" k -n "$ns" describe pod "$pod"
	says "$v describe node" "Allocated resources" k describe "$node"
	says "$v get events" "Started" k -n "$ns" get events
	if since 24; then
		says "$v events" "Started" k -n "$ns" events --for "pod/$pod"
		k -n "$ns" create token default > "$tmp/token" 2> "$out" && grep -q '^ey.*[.].*[.]' "$tmp/token"
		result "$v create token" $?
	fi
	if since 28; then
		says "$v auth whoami" "system:masters" k auth whoami
	fi
	if since 25; then
		says "$v debug" "typed from $pod" sh -c "echo typed | $kube -n $ns debug $pod -i --image=localhost/hello:1 --image-pull-policy=Never --profile=general -q -- sh -c 'read -r x; echo \$x from \$(hostname)'"
	fi
	says "$v run --rm" "got typed" sh -c "echo typed | $kube -n $ns run once --image=localhost/hello:1 --restart=Never --rm -i --command -- sh -c 'read -r x; echo got \$x'"
	says "$v scale" "scaled" k -n "$ns" scale deployment/app --replicas=1
	says "$v set image" "image updated" k -n "$ns" set image deployment/app main=localhost/hello:none
	says "$v rollout undo" "rolled back" k -n "$ns" rollout undo deployment/app
	says "$v get all" "deployment.apps/app" k -n "$ns" get all
	says "$v get in chunks, as a table" "kube-root-ca.crt" k get cm -A --chunk-size=2
	# Of two pods of one second either may be the one that stayed; drain sees no more of those that have gone.
	within one_left > "$out" 2>&1
	pod=$(k -n "$ns" get pod -l app=app -o 'jsonpath={.items[0].metadata.name}')
	says "$v drain, tried" "$pod" k drain "$node" --dry-run=client --ignore-daemonsets --force --delete-emptydir-data --pod-selector=app=app
	says "$v delete namespace, which waits" "deleted" k delete namespace "$ns" --timeout=60s
	fails "$v gone" "not found" k get namespace "$ns"
done
KUBECTL=$usual
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
finish
