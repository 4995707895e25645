#!/bin/sh
# run: timeout=450 alone
# What happens around containers: init and sidecar containers, hooks, probes of every kind, ephemeral containers, a
# shared PID namespace, last words, static pods.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox python3
kube="${KUBECTL:-kubectl} --kubeconfig=$dir/admin.kubeconfig --cache-dir=$tmp/kube-cache"
status()	# POD JSONPATH below .status
{
	k get pod "$1" -o jsonpath="{.status$2}"
}
# until_event TEXT: until an event has it.
until_event()
{
	await "$1" events -o 'custom-columns=R:.reason,O:.involvedObject.name,M:.message'
}

ok "up" up || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1

# said POD CONTAINER LINE: until its log has that.
said()
{
	rm -f "$tmp/saying"
	mkfifo "$tmp/saying"
	k_job logs -f "$1" -c "$2" > "$tmp/saying" &
	sayer=$!
	grep -q -m 1 -xF -- "$3" < "$tmp/saying"
	heard=$?
	kill $sayer 2> /dev/null
	wait $sayer 2> /dev/null
	return $heard
}
# has_line FILE: until somebody has written one.
has_line()
{
	timeout $((60 * TEST_TIMEOUT_FACTOR)) tail -n +1 -s 0.05 -f "$1" | grep -q -m 1 .
}

# ---- beginnings and ends ---------------------------------------------------------------------------------

k apply -f - > /dev/null << 'END'
apiVersion: v1
kind: Pod
metadata:
  name: order
spec:
  terminationGracePeriodSeconds: 20
  volumes:
  - { name: v, hostPath: { path: /tmp, type: Directory } }
  initContainers:
  - { name: first, image: "localhost/hello:1", command: [sh, -c, "echo first"] }
  - name: side1
    image: localhost/hello:1
    restartPolicy: Always
    command: [sh, -c, 'trap "echo side1 ends; exit 0" TERM; echo begun; touch /tmp/up; while :; do sleep 0.1; done']
    startupProbe: { exec: { command: [cat, /tmp/up] }, periodSeconds: 1 }
  - name: side2
    image: localhost/hello:1
    restartPolicy: Always
    command: [sh, -c, 'trap "sleep 1; echo side2 ends; exit 0" TERM; echo begun; while :; do sleep 0.1; done']
  containers:
  - name: main
    image: localhost/hello:1
    command: [sh, -c, 'trap "sleep 1; echo main ends; exit 0" TERM; while :; do sleep 0.1; done']
    lifecycle:
      postStart: { exec: { command: [sh, -c, 'echo started > /proc/1/fd/1'] } }
      preStop: { exec: { command: [sh, -c, 'echo prestop > /proc/1/fd/1'] } }
END
ok "init containers, sidecars, then the pod" await '^order +3/3 +Running +0 ' pod order --no-headers
ok "postStart has run" said order main started
for c in main side1 side2; do
	: > "$tmp/log.$c"
	$kube logs -f order -c $c --timestamps > "$tmp/log.$c" &
	ok "who follows $c is there" has_line "$tmp/log.$c"
done
ok "delete" k delete pod order --timeout=60s
wait
sort "$tmp"/log.* | sed 's/^[^ ]* //' | grep -v -e started -e begun > "$tmp/ends"
is "preStop, main, then sidecars in the reverse of their start" "prestop
main ends
side2 ends
side1 ends" cat "$tmp/ends"

k apply -f - > /dev/null << 'END'
apiVersion: v1
kind: Pod
metadata:
  name: badhook
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", lifecycle: { postStart: { exec: { command: [sh, -c, "echo told; exit 3"] } } } }
---
apiVersion: v1
kind: Pod
metadata:
  name: words
spec:
  restartPolicy: Never
  containers:
  - { name: file, image: "localhost/hello:1", command: [sh, -c, "echo -n DONE > /dev/termination-log"] }
  - name: log
    image: localhost/hello:1
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, "echo last words; exit 2"]
---
apiVersion: v1
kind: Pod
metadata:
  name: rules
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: localhost/hello:1
    restartPolicy: Never
    restartPolicyRules: [ { action: Restart, exitCodes: { operator: In, values: [42] } } ]
    command: [sh, -c, 'exit 42']
---
apiVersion: v1
kind: Pod
metadata:
  name: signal
spec:
  os: { name: linux }
  containers:
  - name: main
    image: localhost/hello:1
    command: [sh, -c, 'trap "echo usr1; exit 0" USR1; echo begun; while :; do sleep 0.1; done']
    lifecycle: { stopSignal: SIGUSR1 }
---
apiVersion: v1
kind: Pod
metadata:
  name: shared
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 1
  containers:
  - { name: one, image: "localhost/hello:1", command: [sleep, "98765"] }
  - { name: two, image: "localhost/hello:1", command: [sh, -c, "trap exit TERM; sleep 1000 & wait"] }
END
ok "a hook that fails" until_event 'FailedPostStartHook +badhook +PostStartHook failed'
ok "ends its container" until_event 'Killing +badhook +FailedPostStartHook'
ok "words" k wait --for=jsonpath='{.status.phase}'=Failed pod/words --timeout=60s
is "last words of a file" DONE status words '.containerStatuses[?(@.name=="file")].state.terminated.message'
is "last words of a log" "last words" status words '.containerStatuses[?(@.name=="log")].state.terminated.message'
ok "an exit code with a rule: started again" await '^rules +[01]/1 +[A-Za-z]+ +[1-9]' pod rules --no-headers
ok "one PID namespace" await '^shared +2/2 +Running ' pod shared --no-headers
ok "a stop signal of its own" await '^signal +1/1 +Running ' pod signal --no-headers
# the delete comes when its log is being followed, else there may be nothing left to follow
mkfifo "$tmp/signal"
$kube logs -f signal > "$tmp/signal" &
{
	read -r _
	k delete pod signal > /dev/null
	cat
} < "$tmp/signal" > "$tmp/signal.log"
wait $!
is "is sent" usr1 cat "$tmp/signal.log"
says "all see all" "sleep 98765" k exec shared -c two -- ps

# ---- probes -----------------------------------------------------------------------------------------------

echo 2 > "$tmp/health"
"$srcdir/tests/e2e/grpc-health.py" "$tmp/health" > "$tmp/grpc.port" &
grpc=$!
until [ -s "$tmp/grpc.port" ]; do k get --raw /healthz > /dev/null; done
k apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata:
  name: grpc
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
    readinessProbe: { grpc: { port: $(cat "$tmp/grpc.port"), service: some }, periodSeconds: 3, timeoutSeconds: 30 }
---
apiVersion: v1
kind: Pod
metadata:
  name: probes
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: http, image: "localhost/hello:1", readinessProbe: { httpGet: { port: 8080, path: / }, periodSeconds: 1 } }
  - { name: tcp, image: "localhost/hello:1", command: [sleep, "1000"], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }
---
# Each by itself: of one object 25 events are told at once, and then one in five minutes; a server that takes its time to
# listen, or a command that takes longer than it may, would use them up.
apiVersion: v1
kind: Pod
metadata:
  name: status
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", readinessProbe: { httpGet: { port: 8080, path: /absent }, periodSeconds: 3, timeoutSeconds: 30 } }
---
apiVersion: v1
kind: Pod
metadata:
  name: refused
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", command: [sleep, "1000"], readinessProbe: { tcpSocket: { port: 8099 }, periodSeconds: 3 } }
---
apiVersion: v1
kind: Pod
metadata:
  name: exec
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    command: [sleep, "1000"]
    readinessProbe: { exec: { command: [sh, -c, "echo not well; exit 1"] }, periodSeconds: 3, timeoutSeconds: 30 }
---
apiVersion: v1
kind: Pod
metadata:
  name: slow
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", command: [sleep, "1000"], readinessProbe: { exec: { command: [sleep, "100"] }, periodSeconds: 1 } }
---
apiVersion: v1
kind: Pod
metadata:
  name: ill
spec:
  terminationGracePeriodSeconds: 100
  containers:
  - name: main
    image: localhost/hello:1
    command: [sh, -c, 'trap "" TERM; touch /tmp/well; sleep 2; rm /tmp/well; while :; do sleep 1; done']
    livenessProbe: { exec: { command: [cat, /tmp/well] }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1, terminationGracePeriodSeconds: 1 }
END
ok "gRPC: not serving" until_event 'Unhealthy +grpc +Readiness probe failed: service unhealthy \(responded with "NOT_SERVING"\)'
echo no > "$tmp/health"
ok "gRPC: no such service" until_event 'grpc +Readiness probe failed: error: this server does not implement the grpc health protocol'
ok "status of HTTP" until_event 'Unhealthy +status +Readiness probe failed: HTTP probe failed with statuscode: 404'
ok "no connection" until_event 'Unhealthy +refused +Readiness probe failed: dial tcp [0-9.]+:8099: connect: connection refused'
ok "what a command says" until_event 'Unhealthy +exec +Readiness probe failed: not well'
ok "a command that takes too long" until_event 'Unhealthy +slow +Readiness probe failed: command "sleep 100" timed out'
ok "HTTP and TCP are ready" await '^probes +2/2 +Running ' pod probes --no-headers
is "what fails is not" "false false false false" k get pod status refused exec slow -o 'jsonpath={.items[*].status.containerStatuses[0].ready}'
echo 1 > "$tmp/health"
ok "gRPC: serving" await '^grpc +1/1 +Running ' pod grpc --no-headers
kill $grpc
ok "gRPC: gone" await '^grpc +0/1 +Running ' pod grpc --no-headers
ok "liveness: started again, within the probe's own grace" await '^ill +[01]/1 +[A-Za-z]+ +[1-9][0-9]* ' pod ill --no-headers
ok "an event says so" until_event 'Killing +ill +Container main failed liveness probe, will be restarted'
k delete pod ill --grace-period=1 > /dev/null

# ---- looking into a pod -------------------------------------------------------------------------------------

k run web --image=localhost/hello:1 > /dev/null
ok "a pod" k wait --for=condition=Ready pod/web --timeout=60s
ok "debug" k debug web --image=localhost/hello:1 --image-pull-policy=IfNotPresent --target=web -c look --profile=general -- sh -c 'ps; exec sleep 1000'
ok "the ephemeral container runs" await 'true' pod web -o 'jsonpath={.status.ephemeralContainerStatuses[?(@.name=="look")].state.running.startedAt}{" true\n"}'
says "it sees the container's processes" /bin/serve k exec web -c look -- ps
says "exec into it" "uid=0" k exec web -c look -- id
ok "debug a copy" k debug web --copy-to=web-copy --share-processes --image=localhost/hello:1 --image-pull-policy=IfNotPresent -c look --profile=general -- sleep 1000
ok "the copy runs" await '^web-copy +2/2 +Running ' pod web-copy --no-headers

# ---- static pods ----------------------------------------------------------------------------------------------

node=$(k get node -o 'jsonpath={.items[0].metadata.name}')
manifest()	# NAME COMMAND
{
	cat << END
apiVersion: v1
kind: Pod
metadata:
  name: $1
  labels: { app: $1 }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: "localhost/hello:1", command: [sh, -c, "trap exit TERM; $2; sleep 1000 & wait"] }
END
}
mkdir -p "$dir/manifests"
{ manifest slow 'echo one' | head -n 8; } > "$dir/manifests/slow.yaml"
printf '{"this is": ' > "$dir/manifests/broken.json"
manifest static 'echo one' > "$tmp/static.yaml"
mv "$tmp/static.yaml" "$dir/manifests/static.yaml"
ok "a static pod runs and has a mirror" await "^static-$node +1/1 +Running " pods --no-headers
is "its mirror says whose it is" "file Node $node true" k get pod "static-$node" -o \
	'jsonpath={.metadata.annotations.kubernetes\.io/config\.source} {.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller}'
ok "broken manifests are named in the log" grep -q "static_pod_refused.*broken.json" "$dir/log/orlopd.log"
refuses "and do not run" "not found" k get pod "slow-$node"
manifest slow 'echo one' > "$dir/manifests/slow.yaml"
ok "until they are whole" await "^slow-$node +1/1 +Running " pods --no-headers
was=$(k get pod "static-$node" -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}')
k delete pod "static-$node" --wait=false > /dev/null
ok "a deleted mirror comes again" k wait --for=create "pod/static-$node" --timeout=30s
new=$was
until [ "${new%% *}" != "${was%% *}" ] && [ -n "${new#* }" ]; do
	new=$(k get pod "static-$node" -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}' 2> /dev/null || echo "$was")
done
is "its container was not touched" "${was#* }" echo "${new#* }"
manifest static 'echo two' > "$dir/manifests/static.yaml"
until [ "$(k logs "static-$node" 2> /dev/null)" = two ]; do k get --raw /healthz > /dev/null; done
is "a changed manifest is another pod" two k logs "static-$node"
kill -9 "$(cat "$dir/orlopd.pid")"
was=$(k get pod "static-$node" -o 'jsonpath={.status.containerStatuses[0].containerID}' 2> /dev/null)
ok "up again after kill -9" up
ok "the node is ready again" await ' Ready ' nodes --no-headers
ok "static pods go on" await "^static-$node +1/1 +Running +0 " pods --no-headers
is "as they were" two k logs "static-$node"
rm "$dir/manifests/static.yaml" "$dir/manifests/slow.yaml" "$dir/manifests/broken.json"
ok "a manifest that goes takes its pod with it" k wait --for=delete "pod/static-$node" "pod/slow-$node" --timeout=60s

ok "delete all" k delete pod --all --grace-period=1 --timeout=60s
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
