#!/bin/sh
# run: timeout=900 alone
# shellcheck disable=SC2317,SC2016,SC2086 # functions by name; words for other shells; lists
# The classic first lesson, word by word, with this machine's kubectl and with Debian's of long ago: start an app, see
# its pods, ask one from inside and from outside, lose one, scale, look, edit, roll out and back, move it off its node.
. "$(dirname "$0")/lib.sh"
K_TIMEOUT=120
need conmon runtime skopeo kubectl curl busybox

since() { [ "$minor" -ge "$1" ]; }
kn() { k -n "$ns" "$@"; }
# The pods of an app that are not ending.
pods()	# APP
{
	kn get pods -l "app=$1" -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.metadata.deletionTimestamp}{"\n"}{end}' |
		sed -n 's/ $//p'
}
pod() { pods "$1" | head -n 1; }
count() { pods "$1" | grep -c .; }
counted() { [ "$(count "$1")" = "$2" ]; }
# Those of an app that are ending have gone.
none_ending()	# APP
{
	ending=$(kn get pods -l "app=$1" -o 'jsonpath={range .items[?(@.metadata.deletionTimestamp)]}pod/{.metadata.name}{"\n"}{end}')
	[ -z "$ending" ] || kn wait --for=delete --timeout=60s $ending 2>&1 | grep -v NotFound || :
}
# Pods are what is looked at: a controller that has not noticed yet says of itself what was.
there_are()	# APP N: so many pods, all ready, none ending
{
	within counted "$1" "$2" && none_ending "$1" && kn wait --for=condition=Ready pod -l "app=$1" --timeout=60s
}
# A pod may be ready and its server not listen yet.
asked_inside()	# POD
{
	kn exec "$1" -- sh -c 'until wget -qO- http://localhost:8080 2> /dev/null; do sleep 0.1; done'
}
ready()	# APP N: so many ready pods
{
	await_ns "^rc/$1|^$1 +$2 +$2 +$2 " rc "$1" --no-headers
}
await_ns()	# PATTERN RESOURCE...
{
	wanted=$1
	shift
	await "$wanted" "$@" -n "$ns"
}
# matches NAME REGEX COMMAND...: a line of what it prints does.
matches()
{
	what=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	[ $status = 0 ] && grep -qE -- "$want" "$out" && { result "$what" 0; return; }
	echo "(status $status of: $*; wanted: $want)" >> "$out"
	result "$what" 1
}
fails()	# NAME TEXT COMMAND...: it fails and says so
{
	what=$1 want=$2
	shift 2
	"$@" > "$out" 2>&1
	status=$?
	[ $status != 0 ] && grep -qF -- "$want" "$out" && { result "$what" 0; return; }
	echo "(status $status of: $*; wanted a failure with: $want)" >> "$out"
	result "$what" 1
}
gone_pods()	# APP
{
	kn wait --for=delete pod -l "app=$1" --timeout=60s 2>&1 | grep -vi -e 'no matching resources' -e 'condition met' -e NotFound
	[ -z "$(kn get pods -l "app=$1" -o name)" ]
}
# forward TARGET REMOTE: runs a port-forward until unforward; $port is ours.
forward()
{
	rm -f "$tmp/forward"
	mkfifo "$tmp/forward"
	timeout 60 "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" port-forward "$1" ":$2" > "$tmp/forward" 2> "$out" &
	forwarder=$!
	exec 9< "$tmp/forward"
	port=
	while read -r line <&9; do
		port=$(echo "$line" | sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) -> .*/\1/p')
		[ -z "$port" ] || break
	done
	[ -n "$port" ]
}
unforward()
{
	kill $forwarder 2> /dev/null
	wait $forwarder 2> /dev/null
	exec 9<&-
	:
}
ask_forward()	# TARGET [PORT]
{
	forward "$1" "${2:-8080}" && curl -fsS --noproxy '*' --max-time 20 "http://127.0.0.1:$port/" && curl -fsS --noproxy '*' --max-time 20 "http://127.0.0.1:$port/"
	asked=$?
	unforward
	return $asked
}
editor()	# SED-SCRIPT: what EDITOR does
{
	printf '#!/bin/sh\nsed -i %s "$1"\n' "'$1'" > "$tmp/editor"
	chmod +x "$tmp/editor"
	export EDITOR="$tmp/editor" KUBE_EDITOR="$tmp/editor"
}
on_terminal()	# COMMAND...: with a terminal of 33 lines and 99 columns
{
	timeout 60 script -qec "stty rows 33 cols 99; $*" /dev/null < /dev/null | tr -d '\r'
}

# ---- an app by a ReplicationController --------------------------------------------------------------------

app_by_rc()
{
	cat > "$tmp/rc.yaml" << 'END'
apiVersion: v1
kind: ReplicationController
metadata:
  name: hello
spec:
  replicas: 1
  selector:
    app: hello
  template:
    metadata:
      labels:
        app: hello
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: hello
        image: localhost/hello:1
        ports:
        - containerPort: 8080
END
	says "create -f" "replicationcontroller/hello created" kn create -f "$tmp/rc.yaml"
	ok "a pod is there" ready hello 1
	matches "get pods" '^hello-[a-z0-9]{5} +1/1 +Running +0 ' kn get pods
	matches "get replicationcontrollers" '^hello +1 +1 +1 ' kn get replicationcontrollers
	says "exec asks it by localhost" "Hello from $(pod hello), version 1," asked_inside "$(pod hello)"
	says "port-forward reaches it" "Hello from $(pod hello), version 1," ask_forward "$(pod hello)"

	first=$(pod hello)
	says "delete pod" "pod \"$first\"" kn delete pod "$first"
	ok "another takes its place" there_are hello 1
	ok "as its controller says" ready hello 1
	[ "$(pod hello)" != "$first" ] && [ "$(count hello)" = 1 ]
	result "it is another one" $?
	fails "the old one is gone" "pods \"$first\" not found" kn get pod "$first"

	matches "scale rc" 'replicationcontroller/hello scaled' kn scale rc hello --replicas=3
	ok "there are three" ready hello 3
	is "three pods" 3 count hello
	matches "get rc" '^hello +3 +3 +3 ' kn get rc
	matches "get pods -o wide" "^hello-[a-z0-9]{5} +1/1 +Running +0 +[0-9a-z]+ +10\.[0-9.]+ +$node +<none> +<none>" kn get pods -o wide
	matches "get rc -o wide" '^hello +3 +3 +3 +[0-9a-z]+ +hello +localhost/hello:1 +app=hello' kn get rc hello -o wide
	for name in $(pods hello); do
		asked_inside "$name" | grep -q "Hello from $name," || echo "$name"
	done > "$out"
	[ ! -s "$out" ]
	result "each says its own name" $?

	kn describe rc hello > "$out" 2>&1
	for line in '^Selector: +app=hello$' '^Replicas: +3 current / 3 desired$' '^Pods Status: +3 Running / 0 Waiting / 0 Succeeded / 0 Failed$' \
		' SuccessfulCreate .* replication-controller +Created pod: hello-[a-z0-9]{5}$'; do
		grep -qE -- "$line" "$out" || echo "(wanted: $line)" >> "$out"
	done
	! grep -q '^(wanted' "$out"
	result "describe rc" $?
	kn describe pod "$(pod hello)" > "$out" 2>&1
	for line in '^Status: +Running$' "^Node: +$node/" '^Controlled By: +ReplicationController/hello$' '^ +Image: +localhost/hello:1$' \
		'^ +Port: +8080/TCP$' '^ +State: +Running$' '^ +Ready: +True$' '^ +Restart Count: +0$' '^QoS Class: +BestEffort$' \
		' Scheduled .* Successfully assigned ' ' Pulled .* Container image "localhost/hello:1" already present on machine' \
		' Created .* Created container' ' Started .* Started container' '^ +/var/run/secrets/kubernetes.io/serviceaccount from '; do
		grep -qE -- "$line" "$out" || echo "(wanted: $line)" >> "$out"
	done
	! grep -q '^(wanted' "$out"
	result "describe pod" $?

	apart=$(pod hello)
	says "a pod gets another label" "pod/$apart labeled" kn label pod "$apart" app=debugging --overwrite
	ok "which is nobody's now" await_ns '^<none>$' pod "$apart" --no-headers -o 'custom-columns=O:.metadata.ownerReferences'
	ok "the controller makes up for it" there_are hello 3
	ok "and says so" await_ns "^hello +3 +3 +3 " rc hello --no-headers
	is "three of the app" 3 count hello
	ok "delete pod --now" kn delete pod "$apart" --now
	editor 's/^  replicas: 3$/  replicas: 2/'
	says "edit rc" "replicationcontroller/hello edited" kn edit rc hello
	ok "there are two" await_ns "^hello +2 +2 +2 " rc hello --no-headers
	says "delete rc, its pods stay" "deleted" kn delete rc hello $orphan
	is "two pods" 2 count hello
	ok "another controller adopts them" sh -c 'sed "s/replicas: 1/replicas: 2/" "$2" | "$0" --kubeconfig="$1" -n "$3" create -f -' "$KUBECTL" "$dir/admin.kubeconfig" "$tmp/rc.yaml" "$ns"
	ok "both" await_ns "^hello +2 +2 +2 " rc hello --no-headers
	is "and makes none" 2 count hello
	says "delete rc" 'replicationcontroller "hello" deleted' kn delete rc hello
	ok "its pods go" gone_pods hello
}

# ---- a single pod ------------------------------------------------------------------------------------------

# Its log is followed from before its end to after it.
follow_to_end()
{
	rm -f "$tmp/follow"
	mkfifo "$tmp/follow"
	timeout 60 "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" logs -f single > "$tmp/follow" &
	follower=$!
	exec 8< "$tmp/follow"
	read -r first_line <&8
	kn exec single -- kill 1 || :	# which may end with it
	cat <&8
	exec 8<&-
	wait $follower
}
single_pod()
{
	says "run" "pod/single created" kn run single --image=localhost/hello:1 --port=8080 --labels=app=single,tier=web
	says "wait" "pod/single condition met" kn wait --for=condition=Ready pod/single --timeout=60s
	! since 23 || says "wait for what a path says" "condition met" kn wait --for=jsonpath='{.status.phase}'=Running pod/single --timeout=60s
	matches "get -o jsonpath" '^10\.[0-9.]+ Running$' kn get pod single -o 'jsonpath={.status.podIP} {.status.phase}'
	matches "get -o custom-columns" '^single +localhost/hello:1 +Running$' kn get pods -o 'custom-columns=N:.metadata.name,I:.spec.containers[0].image,S:.status.phase'
	is "get -o go-template" "single 8080" kn get pod single -o 'go-template={{.metadata.name}} {{range .spec.containers}}{{range .ports}}{{.containerPort}}{{end}}{{end}}'
	says "get -o yaml" "image: localhost/hello:1" kn get pod single -o yaml
	matches "get --show-labels" 'app=single,tier=web$' kn get pods --show-labels
	matches "get -L" '^single .* web$' kn get pods -L tier --no-headers
	is "get -l" "pod/single" kn get pods -l 'tier in (web),app!=other' -o name
	is "get --field-selector" "pod/single" kn get pods --field-selector=status.phase=Running -o name
	says "label" "pod/single labeled" kn label pod single stage=test
	says "label again is refused" "already has a value" sh -c '! "$@"' sh "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" label pod single stage=prod
	matches "label goes" 'pod/single (un)?labeled' kn label pod single stage-
	says "annotate" "pod/single annotated" kn annotate pod single note='who reads this'
	says "describe shows it" "note: who reads this" kn describe pod single

	says "logs" "serving as single on port 8080" kn logs single
	says "logs -c" "serving as single" kn logs single -c single
	says "logs --tail" "serving as single" kn logs single --tail=1
	is "logs --tail=0" "" kn logs single --tail=0
	says "logs --since" "serving" kn logs single --since=1h
	is "logs --limit-bytes" "servi" kn logs single --limit-bytes=5
	says "logs --since-time" "serving" kn logs single --since-time=2020-01-01T00:00:00Z
	matches "logs --timestamps" '^[0-9-]{10}T[0-9:]{8}\.[0-9]+(Z|[+-][0-9:]+) serving' kn logs single --timestamps
	says "logs by label" "serving as single" kn logs -l app=single --all-containers
	says "logs --prefix" "[pod/single/single] serving as single" kn logs -l app=single --prefix
	fails "logs of a container that is not there" "container nothere is not valid for pod single" kn logs single -c nothere
	fails "logs of what has not ended before" "previous terminated container \"single\" in pod \"single\" not found" kn logs single --previous
	says "logs -f, until it ends" "asked to end" follow_to_end
	ok "it is started again" await_ns '^single +1/1 +Running +1 ' pod single --no-headers
	says "logs --previous" "asked to end" kn logs single --previous
	matches "get says so" '^single +1/1 +Running +1 ' kn get pod single
	matches "describe too" '^ +Last State: +Terminated$' kn describe pod single
	matches "with its reason" '^ +Reason: +Completed$' kn describe pod single

	says "exec" "single" kn exec single -- hostname
	is "exec -i" "through" sh -c 'echo through | timeout 60 "$1" --kubeconfig="$2" -n "$3" exec -i single -- cat' sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns"
	kn exec single -- sh -c 'exit 7' > "$out" 2>&1
	[ $? = 7 ]
	result "exec tells the exit code" $?
	fails "exec of what is not there" "Internal error occurred: error executing command in container: " kn exec single -- /no/such/program
	says "exec -it knows the window" "33 99" on_terminal "$KUBECTL --kubeconfig=$dir/admin.kubeconfig -n $ns exec -it single -- sh -c 'until stty size | grep \"33 99\"; do sleep 0.1; done'"
	echo "to and fro" > "$tmp/there"
	ok "cp to it" kn cp "$tmp/there" single:/tmp/there
	is "it is there" "to and fro" kn exec single -- cat /tmp/there
	ok "cp from it" kn cp single:/tmp/there "$tmp/back"
	is "it came back" "to and fro" cat "$tmp/back"
	mkdir -p "$tmp/tree/a/b" && echo deep > "$tmp/tree/a/b/c"
	ok "cp a directory" kn cp "$tmp/tree" single:/tmp/
	is "it is there, all of it" "deep" kn exec single -- cat /tmp/tree/a/b/c
	says "proxy by the API" "Hello from single" kn get --raw "/api/v1/namespaces/$ns/pods/single/proxy/"
	says "port-forward pod/" "Hello from single" ask_forward pod/single
	is "run -i --rm" "with love" sh -c 'echo with love | timeout 100 "$1" --kubeconfig="$2" -n "$3" run once -i --rm --quiet --restart=Never --image=localhost/hello:1 --command -- cat' \
		sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns"
	kn run talks --image=localhost/hello:1 --restart=Never --command -- sh -c 'while sleep 0.3; do echo said; done' > /dev/null 2>&1
	ok "a pod that talks" kn wait --for=condition=Ready pod/talks --timeout=60s
	says "attach" "said" sh -c 'timeout "$4" "$1" --kubeconfig="$2" -n "$3" attach talks | grep -m 1 said' sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns" $((60 * TEST_TIMEOUT_FACTOR))
	ok "delete --grace-period=0 --force" kn delete pod talks --grace-period=0 --force
	if since 23; then
		is "debug, by an ephemeral container" "aside" sh -c 'printf "echo aside\nexit\n" | timeout 100 "$1" --kubeconfig="$2" -n "$3" debug single -i --quiet --image=localhost/hello:1 --container=aside -- sh' \
			sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns"
		matches "describe shows it" '^Ephemeral Containers:$' kn describe pod single
		says "debug --target sees its processes" "/bin/serve" sh -c 'printf "ps -o args\nexit\n" | timeout 100 "$1" --kubeconfig="$2" -n "$3" debug single -i --quiet --image=localhost/hello:1 --target=single -- sh' \
			sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns"
		says "debug a node sees its files" "/host/etc/passwd" sh -c 'printf "ls /host/etc/passwd\nexit\n" | timeout 100 "$1" --kubeconfig="$2" -n "$3" debug "node/$4" -i --quiet --image=localhost/hello:1 -- sh' \
			sh "$KUBECTL" "$dir/admin.kubeconfig" "$ns" "$node"
		says "debug, by a copy" "pod/single-copy" sh -c '"$@" && echo pod/single-copy' sh "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" debug single --copy-to=single-copy --set-image='*=localhost/hello:2'
		ok "which runs" kn wait --for=condition=Ready pod/single-copy --timeout=60s
		ok "and goes" kn delete pod single-copy --wait=false
	fi
	kn run none --image=localhost:1/none:1 > /dev/null
	ok "an image that nobody has" await_ns '^none +0/1 +(ErrImagePull|ImagePullBackOff) ' pod none --no-headers
	ok "that is an event" await_ns ' Failed +pod/none +Failed to pull image' events --no-headers
	matches "and why" 'Failed .*Failed to pull image "localhost:1/none:1"' kn describe pod none
	kn run bad --image=localhost/hello:1 --command -- sh -c 'echo broken; exit 3' > /dev/null
	ok "one that ends at once is started ever later" await_ns '^bad +0/1 +CrashLoopBackOff ' pod bad --no-headers
	matches "its exit code" '^ +Exit Code: +3$' kn describe pod bad
	ok "that is an event" await_ns ' BackOff +pod/bad +Back-off' events --no-headers
	matches "Back-off in its events" 'BackOff .*Back-off restarting failed container' kn describe pod bad
	says "delete several" 'pod "bad"' kn delete pod bad none
	says "delete" 'pod "single"' kn delete pod single
}

# ---- a Deployment --------------------------------------------------------------------------------------------

rolled()	# N
{
	kn rollout status deployment/web --timeout=100s && await_ns "^web +$1/$1 +$1 +$1 " deployment web --no-headers && none_ending web
}
deployment()
{
	says "create deployment" "deployment.apps/web created" kn create deployment web --image=localhost/hello:1 --replicas=2
	says "rollout status" 'deployment "web" successfully rolled out' kn rollout status deployment/web --timeout=100s
	matches "get deployments" '^web +2/2 +2 +2 ' kn get deployments
	matches "get rs" '^web-[a-z0-9]+ +2 +2 +2 ' kn get rs
	matches "get all" '^deployment.apps/web ' kn get all
	says "scale" "deployment.apps/web scaled" kn scale deployment web --replicas=3
	ok "three" rolled 3
	victim=$(pod web)
	says "delete pod" "$victim" kn delete pod "$victim" --wait=false
	ok "another takes its place" there_are web 3
	ok "as its controller says" rolled 3
	says "exec deploy/" "hello" asked_inside deploy/web
	says "port-forward deployment/" ", version 1," ask_forward deployment/web
	says "logs deploy/" "serving as web-" kn logs deploy/web

	says "annotate the cause" "annotated" kn annotate deployment/web kubernetes.io/change-cause='version 1'
	says "set image" "deployment.apps/web image updated" kn set image deployment/web hello=localhost/hello:2
	kn annotate deployment/web kubernetes.io/change-cause='version 2' --overwrite > /dev/null
	matches "rollout status tells" 'successfully rolled out' kn rollout status deployment/web --timeout=100s
	ok "three of them" rolled 3
	says "version 2 is served" ", version 2," asked_inside deploy/web
	matches "rollout history" '^2 +version 2$' kn rollout history deployment/web
	matches "with the first" '^1 +version 1$' kn rollout history deployment/web
	says "rollout history --revision" "localhost/hello:1" kn rollout history deployment/web --revision=1
	says "rollout undo" "deployment.apps/web rolled back" kn rollout undo deployment/web
	ok "back" rolled 3
	says "version 1 is served" ", version 1," asked_inside deploy/web
	matches "it is revision 3" '^3 +version 1$' kn rollout history deployment/web
	says "undo to a revision" "rolled back" kn rollout undo deployment/web --to-revision=2
	ok "there" rolled 3
	says "version 2 again" ", version 2," asked_inside deploy/web
	fails "undo to one that is not there" "unable to find" kn rollout undo deployment/web --to-revision=17
	before=$(kn get rs -o name | wc -l)
	says "rollout restart" "deployment.apps/web restarted" kn rollout restart deployment/web
	ok "anew" rolled 3
	[ "$(kn get rs -o name | wc -l)" = $((before + 1)) ]
	result "by a ReplicaSet of its own" $?
	says "rollout pause" "deployment.apps/web paused" kn rollout pause deployment/web
	says "set env while it is paused" "env updated" kn set env deployment/web COLOUR=blue
	[ "$(kn get rs -o name | wc -l)" = $((before + 1)) ]
	result "no ReplicaSet more" $?
	fails "a paused one is not restarted" "can't restart paused deployment" kn rollout restart deployment/web
	says "rollout resume" "deployment.apps/web resumed" kn rollout resume deployment/web
	ok "now" rolled 3
	is "with it" "blue" kn exec deploy/web -- sh -c 'echo $COLOUR'
	says "set resources" "resource requirements updated" kn set resources deployment/web --requests=cpu=10m,memory=16Mi --limits=memory=64Mi
	ok "they are" rolled 3
	matches "QoS class" '^QoS Class: +Burstable$' kn describe pod "$(pod web)"
	editor 's/replicas: 3/replicas: 2/'
	says "edit" "deployment.apps/web edited" kn edit deployment web
	ok "two" rolled 2
	says "an image that is not there" "image updated" kn set image deployment/web hello=localhost:1/none:2
	fails "rollout status waits in vain" "timed out waiting for the condition" kn rollout status deployment/web --timeout=3s
	matches "the old ones serve on" '^web +[2-9]/2 ' kn get deployment web
	says "undo" "rolled back" kn rollout undo deployment/web
	ok "well again" rolled 2
	kn describe deployment web > "$out" 2>&1
	for line in '^Selector: +app=web$' '^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable$' \
		'^StrategyType: +RollingUpdate$' '^ +Available +True +MinimumReplicasAvailable$' '^ +Progressing +True +NewReplicaSetAvailable$' \
		'^NewReplicaSet: +web-[a-z0-9]+ \(2/2 replicas created\)$' ' ScalingReplicaSet .* deployment-controller +.*[Ss]caled (up|down) '; do
		grep -qE -- "$line" "$out" || echo "(wanted: $line)" >> "$out"
	done
	! grep -q '^(wanted' "$out"
	result "describe deployment" $?

	kn get deployment web -o yaml | sed 's/replicas: 2/replicas: 1/' > "$tmp/web.yaml"
	kn diff -f "$tmp/web.yaml" > "$out" 2>&1
	[ $? = 1 ] && grep -qx -- '-  replicas: 2' "$out" && grep -qx -- '+  replicas: 1' "$out"
	result "diff" $?
	says "apply" "configured" kn apply -f "$tmp/web.yaml"
	ok "one" rolled 1
	says "expose" "service/web exposed" kn expose deployment web --port=80 --target-port=8080
	matches "get svc" '^web +ClusterIP +10\.[0-9.]+ +<none> +80/TCP ' kn get svc web
	ok "its endpoints" await_ns ' 10\.[0-9.]+:8080 ' endpoints web --no-headers
	ok "slices of them too" await_ns ' 8080 +10\.' endpointslices -l kubernetes.io/service-name=web --no-headers
	matches "describe svc" '^Endpoints: +10\.[0-9.]+:8080$' kn describe svc web
	says "the Service by the API" ", version 2," kn get --raw "/api/v1/namespaces/$ns/services/web/proxy/"
	says "port-forward svc/" ", version 2," ask_forward svc/web 80
}

# ---- the node, events --------------------------------------------------------------------------------------------

# A rate needs two measurements, and pods are young here.
measured()
{
	timeout 90 sh -c 'until "$@" > "$0" 2>&1 && grep -q "[0-9]m " "$0"; do :; done' "$tmp/top" "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" "$@"
	cat "$tmp/top"
}
one_node()
{
	matches "get nodes" "^$node +Ready +<none> +[0-9a-z]+ +v[0-9.]+" k get nodes
	matches "get nodes -o wide" "^$node +Ready .*(containerd|orlop)://" k get nodes -o wide
	k describe node "$node" > "$out" 2>&1
	for line in '^Taints: +<none>$' '^Unschedulable: +false$' '^ +Ready +True .* KubeletReady ' '^ +pods: +110$' \
		"^ +$ns +web-[a-z0-9-]+ +10m \\([0-9]+%\\) +0 \\(0%\\) +16Mi \\(0%\\) +64Mi \\(0%\\) " \
		'^Allocated resources:$' '^ +cpu +10m \([0-9]+%\) +0 \(0%\)$' '^ +memory +16Mi \(0%\) +64Mi \(0%\)$'; do
		grep -qE -- "$line" "$out" || echo "(wanted: $line)" >> "$out"
	done
	! grep -q '^(wanted' "$out"
	result "describe node" $?
	says "cordon" "node/$node cordoned" k cordon "$node"
	matches "get nodes says so" "^$node +Ready,SchedulingDisabled " k get nodes
	kn scale deployment web --replicas=2 > /dev/null
	ok "a new pod waits" await_ns ' 0/1 +Pending ' pods -l app=web --no-headers
	matches "and says why" 'FailedScheduling .* 0/1 nodes are available: 1 node\(s\) were unschedulable' sh -c '
		until "$@" | grep FailedScheduling; do :; done' sh timeout 30 "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" describe pods
	ok "the kubelet has noticed" await ' NodeNotSchedulable ' events --no-headers
	says "uncordon" "node/$node uncordoned" k uncordon "$node"
	ok "now it runs" rolled 2
	matches "the node's events tell of it" ' NodeNotSchedulable .* kubelet +Node .* status is now: NodeNotSchedulable$' k describe node "$node"
	says "taint" "node/$node tainted" k taint nodes "$node" for=others:NoSchedule
	says "describe shows it" "for=others:NoSchedule" k describe node "$node"
	kn scale deployment web --replicas=3 > /dev/null
	ok "a new pod waits" await_ns ' 0/1 +Pending ' pods -l app=web --no-headers
	matches "and says why" "0/1 nodes are available: 1 node\\(s\\) had untolerated taint" sh -c '
		until "$@" | grep "had.*taint"; do :; done' sh timeout 30 "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" describe pods
	says "the taint goes" "node/$node untainted" k taint nodes "$node" for-
	ok "now it runs" rolled 3

	kn run alone --image=localhost/hello:1 > /dev/null
	ok "a pod of its own" kn wait --for=condition=Ready pod/alone --timeout=60s
	fails "drain will not lose it" "--force" k drain "$node" --ignore-daemonsets
	matches "though the node is cordoned" "SchedulingDisabled" k get nodes
	if since 21; then
		says "a budget" "poddisruptionbudget.policy/web created" kn create poddisruptionbudget web --selector=app=web --min-available=3
		ok "which allows nothing" await_ns '^web +3 +N/A +0 ' poddisruptionbudget web --no-headers
		fails "drain meets it" "Cannot evict pod as it would violate the pod's disruption budget." k drain "$node" --ignore-daemonsets --force --pod-selector=app=web --timeout=5s
		is "nobody went" 3 count web
		ok "without it" kn delete poddisruptionbudget web
	fi
	matches "drain --force" "^node/$node (drained|evicted)" k drain "$node" --ignore-daemonsets --force --delete-emptydir-data --timeout=90s
	cp "$out" "$tmp/drained"
	matches "which evicted" "^evicting pod $ns/web-" cat "$tmp/drained"
	is "nothing runs" "" sh -c '"$@" --field-selector=status.phase=Running -o name' sh "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" get pods
	says "uncordon" "uncordoned" k uncordon "$node"
	ok "the Deployment is back" rolled 3
	fails "what was alone is not" "not found" kn get pod alone

	ok "an event of an end" await_ns ' Killing +pod/web-' events --no-headers
	matches "get events" ' Killing +pod/web-[a-z0-9-]+ +Stopping container hello' kn get events
	says "get events --field-selector" "ScalingReplicaSet" kn get events --field-selector=reason=ScalingReplicaSet
	ok "get events --sort-by" kn get events --sort-by=.metadata.creationTimestamp
	if since 26; then
		matches "events" 'Normal +ScalingReplicaSet +Deployment/web +Scaled up' kn events
		matches "events --for" 'ScalingReplicaSet' kn events --for deployment/web
	fi
	matches "top node" "^$node +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+%" measured top node
	matches "top pod" '^web-[a-z0-9-]+ +[0-9]+m +[0-9]+Mi' measured top pod
	says "delete deployment, service" 'deployment.apps "web" deleted' kn delete deployment/web service/web
	ok "its pods go" gone_pods web
	says "delete namespace" "\"$ns\" deleted" k delete namespace "$ns"
}

# ---- with either -----------------------------------------------------------------------------------------------

ok "up" up $UP_OPTIONS || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
node=$(k get nodes -o 'jsonpath={.items[0].metadata.name}')
ok "image 1" image 1
ok "image 2" image 2
for which in new old; do
	if [ $which = old ]; then
		KUBECTL=$(old_kubectl) || { skip "the lesson with Debian's kubectl" "kubernetes-client cannot be had here"; break; }
	else
		KUBECTL=$(command -v kubectl)
	fi
	export KUBECTL
	minor=$("$KUBECTL" version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')
	ns=lesson-$which orphan=--cascade=orphan
	echo "# kubectl 1.$minor"
	says "create namespace" "namespace/$ns created" k create namespace "$ns"
	ok "its account" sh -c 'until timeout 30 "$@" > /dev/null 2>&1; do :; done' sh "$KUBECTL" --kubeconfig="$dir/admin.kubeconfig" -n "$ns" get serviceaccount default
	for part in ${PARTS:-app_by_rc single_pod deployment one_node}; do
		$part
	done
done
ok "down --wipe" "$orlop" down --wipe --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
