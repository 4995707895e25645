#!/bin/sh
# run: timeout=300 alone
# Containers that do not do what one hopes: they crash, ignore signals, use too much memory, ask for
# what is not there. Each has a clear state that names the object, and disturbs no other.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox

pod()	# NAME RESTART-POLICY SHELL-COMMAND [FURTHER LINES OF THE CONTAINER]
{
	k apply -f - << END
apiVersion: v1
kind: Pod
metadata:
  name: $1
spec:
  restartPolicy: $2
  terminationGracePeriodSeconds: ${GRACE:-30}
  containers:
  - name: main
    image: ${IMAGE:-localhost/hello:1}
    command:
    - /bin/sh
    - -c
    - |-
      $3
$4
END
}
status()	# POD JSONPATH below .status
{
	k get pod "$1" -o jsonpath="{.status$2}"
}
main_state='.containerStatuses[0].state'

ok "up" up || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1

pod good Always 'echo fine; trap exit TERM; sleep 1000 & wait' > /dev/null
ok "one that behaves" await '^good +1/1 +Running +0 ' pod good --no-headers
before=$(status good .containerStatuses[0].containerID)

pod succeeds Never 'echo all done' > /dev/null
ok "exit 0, never restarted: Completed" await '^succeeds +0/1 +Completed +0 ' pod succeeds --no-headers
is "phase Succeeded" Succeeded status succeeds .phase
is "its log is there" "all done" k logs succeeds
pod fails Never 'echo to stderr >&2; exit 7' > /dev/null
ok "exit 7, never restarted: Error" await '^fails +0/1 +Error +0 ' pod fails --no-headers
is "phase Failed" Failed status fails .phase
is "the exit code is told" 7 status fails "$main_state.terminated.exitCode"
says "stderr is in the log" "to stderr" k logs fails

pod crashes Always 'echo life; exit 3' > /dev/null
ok "one that crashes waits longer and longer: CrashLoopBackOff" await '^crashes +0/1 +CrashLoopBackOff +[1-9]' pod crashes --no-headers
is "why it ended is told" 3 status crashes .containerStatuses[0].lastState.terminated.exitCode
says "the log of the life before" life k logs crashes --previous
ok "an event says so" await " BackOff +pod/crashes +Back-off restarting failed container" events --no-headers
says "and describe" "Back-off restarting failed container" k describe pod crashes

pod onfailure OnFailure 'test -e /tmp/x || exit 0' > /dev/null
ok "OnFailure and exit 0: Completed" await '^onfailure +0/1 +Completed +0 ' pod onfailure --no-headers

IMAGE=localhost/absent:9
pod noimage Always true > /dev/null
ok "an image that is not there" await '^noimage +0/1 +(ErrImagePull|ImagePullBackOff) +0 ' pod noimage --no-headers
says "the message names it" "localhost/absent:9" status noimage "$main_state.waiting.message"
IMAGE=UPPER/Case:1
pod badimage Always true > /dev/null
ok "an image that has no valid name" await '^badimage +0/1 +InvalidImageName +0 ' pod badimage --no-headers
unset IMAGE

k apply -f - > /dev/null << 'END'
apiVersion: v1
kind: Pod
metadata:
  name: nocommand
spec:
  containers:
  - name: main
    image: localhost/hello:1
    command: ["/no/such/program"]
---
apiVersion: v1
kind: Pod
metadata:
  name: nomap
spec:
  containers:
  - name: main
    image: localhost/hello:1
    envFrom:
    - configMapRef:
        name: absent-map
---
apiVersion: v1
kind: Pod
metadata:
  name: novolume
spec:
  containers:
  - name: main
    image: localhost/hello:1
    volumeMounts:
    - { name: v, mountPath: /v }
  volumes:
  - name: v
    secret:
      secretName: absent-secret
---
apiVersion: v1
kind: Pod
metadata:
  name: nonode
spec:
  nodeSelector:
    disk: made-of-cheese
  containers:
  - name: main
    image: localhost/hello:1
---
apiVersion: v1
kind: Pod
metadata:
  name: toobig
spec:
  containers:
  - name: main
    image: localhost/hello:1
    resources:
      requests:
        memory: 900Ti
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: scripts
data:
  run: |
    #!/no/such/shell
    echo hello
---
apiVersion: v1
kind: Pod
metadata:
  name: noreader
spec:
  restartPolicy: Never
  volumes:
  - name: scripts
    configMap: { name: scripts, defaultMode: 0755 }
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /scripts/run ]
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts: [ { name: scripts, mountPath: /scripts } ]
END
ok "a program that is not there" await '^nocommand +0/1 +(RunContainerError|CrashLoopBackOff|StartError|CreateContainerError) ' pod nocommand --no-headers
ok "an event names it" await "/no/such/program" events --no-headers
ok "a script that nobody can read" await '^noreader +0/1 +Error ' pod noreader --no-headers
is "was started, and says what is missing" "exec /scripts/run: no such file or directory" status noreader "$main_state.terminated.message"
is "by runc's exit code" 255 status noreader "$main_state.terminated.exitCode"
ok "a ConfigMap that is not there" await '^nomap +0/1 +CreateContainerConfigError ' pod nomap --no-headers
says "the message names it" 'configmap "absent-map" not found' status nomap "$main_state.waiting.message"
ok "a Secret that is not there keeps the pod waiting" await 'absent-secret' events --no-headers
says "an event names it" 'absent-secret' k describe pod novolume
ok "no node fits a selector" await "didn't match Pod's node affinity/selector" events --no-headers
ok "no node is large enough" await 'Insufficient memory' events --no-headers
k create configmap absent-map --from-literal=a=b > /dev/null
ok "it starts when the ConfigMap appears" await '^nomap +1/1 +Running ' pod nomap --no-headers
k create secret generic absent-secret --from-literal=a=b > /dev/null
ok "it starts when the Secret appears" await '^novolume +1/1 +Running ' pod novolume --no-headers

pod greedy Never 'head -c 200000000 /dev/zero | tail | wc -c' '    resources: { limits: { memory: 24Mi } }' > /dev/null
ok "more memory than allowed: ended, and only it" await '^greedy +0/1 +(OOMKilled|Error) ' pod greedy --no-headers

GRACE=2
pod deaf Always 'trap "" TERM; while :; do sleep 1; done' > /dev/null
unset GRACE
ok "one that ignores signals" await '^deaf +1/1 +Running ' pod deaf --no-headers
began=$(date +%s)
ok "is deleted all the same" k delete pod deaf --timeout=30s
ok "after its grace" test $(($(date +%s) - began)) -ge 2
pod deaf Always 'trap "" TERM; while :; do sleep 1; done' > /dev/null
ok "again, with a grace of 30 s" await '^deaf +1/1 +Running ' pod deaf --no-headers
ok "force deletes at once" k delete pod deaf --grace-period=0 --force --timeout=20s

is "the one that behaves was not disturbed" "$before 0" k get pod good -o 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}'
ok "delete all" k delete pod --all --grace-period=1 --timeout=60s
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
