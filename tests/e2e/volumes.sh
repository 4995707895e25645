#!/bin/sh
# run: timeout=300 alone
# What pods find mounted: every kind of volume that needs no claim, sub-paths that nobody can lead out of their
# volume, owners and permissions, and changes that reach a running container.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox

run() { k exec "$@"; }
has()	# POD PATTERN COMMAND...: until the command's output in the pod has the pattern
{
	pod=$1 pattern=$2
	shift 2
	within said "$@" || { k exec "$pod" -- "$@"; return 1; }
}
said()
{
	k exec "$pod" -- "$@" 2> /dev/null | grep -qF -- "$pattern"
}
why()	# POD: reason and message of its waiting container
{
	k get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}'
}

ok "up" up || finish
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
host=$tmp/host
mkdir -p "$host/dir/in" "$host/locked"
echo fine > "$host/dir/in/file"
echo secret > "$host/secret"
ln -s "$host/secret" "$host/dir/link-out"
ln -s ../secret "$host/dir/link-up"
ln -s in "$host/dir/link-in"
mkfifo "$host/fifo"

k create configmap cm --from-literal=a=one --from-literal=b=two > /dev/null
k create secret generic sec --from-literal=p=word > /dev/null
k apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata:
  name: all
  labels: { app: all }
  annotations: { note: first }
spec:
  terminationGracePeriodSeconds: 1
  securityContext: { runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000 }
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /bin/sleep, "1000" ]
    resources: { limits: { cpu: 500m, memory: 64Mi }, requests: { cpu: 100m } }
    env:
    - { name: WHO, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    volumeMounts:
    - { name: disk, mountPath: /disk }
    - { name: disk, mountPath: /sub, subPath: a/b }
    - { name: disk, mountPath: /expr, subPathExpr: "\$(WHO)/x" }
    - { name: memory, mountPath: /memory }
    - { name: cm, mountPath: /cm }
    - { name: cm, mountPath: /one-file, subPath: a }
    - { name: items, mountPath: /items }
    - { name: sec, mountPath: /sec }
    - { name: down, mountPath: /down }
    - { name: proj, mountPath: /proj }
    - { name: host, mountPath: /host, readOnly: true }
    - { name: host, mountPath: /host-in, subPath: link-in }
    - { name: late, mountPath: /late }
  volumes:
  - { name: disk, emptyDir: {} }
  - { name: memory, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
  - { name: cm, configMap: { name: cm } }
  - { name: items, configMap: { name: cm, defaultMode: 0440, items: [ { key: a, path: d/e/a, mode: 0400 } ] } }
  - { name: sec, secret: { secretName: sec, defaultMode: 0400 } }
  - name: down
    downwardAPI:
      items:
      - { path: labels, fieldRef: { fieldPath: metadata.labels } }
      - { path: note, fieldRef: { fieldPath: "metadata.annotations['note']" } }
      - { path: cpu, resourceFieldRef: { containerName: main, resource: limits.cpu, divisor: 1m } }
      - { path: memory, resourceFieldRef: { containerName: main, resource: limits.memory } }
      - { path: request, resourceFieldRef: { containerName: main, resource: requests.memory } }
  - name: proj
    projected:
      sources:
      - configMap: { name: cm, items: [ { key: b, path: both/b } ] }
      - secret: { name: sec }
      - downwardAPI: { items: [ { path: name, fieldRef: { fieldPath: metadata.name } } ] }
      - serviceAccountToken: { path: token, expirationSeconds: 600, audience: here }
  - { name: host, hostPath: { path: $host/dir, type: Directory } }
  - { name: late, configMap: { name: late, optional: true } }
END
ok "a pod with all of them" k wait --for=condition=Ready pod/all --timeout=60s || { k describe pod all | sed 's/^/# /'; finish; }

is "emptyDir: anybody's, of the group" "2777 0 2000" run all -- stat -c '%a %u %g' /disk
is "emptyDir in memory is a tmpfs of its size" "tmpfs 1024" run all -- sh -c "df -k /memory | tail -1 | awk '{ print \$1, \$2 }'"
ok "a sub-path is a directory of the volume" run all -- sh -c 'echo 1 > /sub/f && cat /disk/a/b/f'
ok "by an expression" run all -- sh -c 'echo 1 > /expr/f && cat /disk/all/x/f'
is "configMap: files" "one two" run all -- sh -c 'echo $(cat /cm/a) $(cat /cm/b)'
is "they are links to one directory" "..data/a" run all -- readlink /cm/a
is "and cannot be written" ro run all -- sh -c 'touch /cm/c 2> /dev/null || echo ro'
is "items: path and mode" "440 one" run all -- sh -c 'echo $(stat -Lc %a /items/d/e/a) $(cat /items/d/e/a)'
is "secret: mode with the group's" "440 2000 word" run all -- sh -c 'echo $(stat -Lc "%a %g" /sec/p) $(cat /sec/p)'
is "downward: limits" "500 67108864 67108864" run all -- sh -c 'echo $(cat /down/cpu) $(cat /down/memory) $(cat /down/request)'
is "downward: labels" 'app="all"' run all -- cat /down/labels
is "projected: all sources together" "two word all" run all -- sh -c 'echo $(cat /proj/both/b) $(cat /proj/p) $(cat /proj/name)'
is "the token is its user's" "640 1000" run all -- stat -Lc '%a %u' /proj/token
is "hostPath" fine run all -- cat /host/in/file
is "a sub-path over a link inside the volume" fine run all -- cat /host-in/file
is "what is optional is empty" "0" run all -- sh -c 'ls /late | wc -l'

k create configmap late --from-literal=k=v > /dev/null
k patch configmap cm -p '{"data":{"a":"ONE","c":"three"}}' > /dev/null
k annotate pod all note=second --overwrite > /dev/null
ok "an update reaches the container" has all ONE cat /cm/a
is "all files at once" "three" run all -- cat /cm/c
is "but no file that was mounted alone" "one" run all -- cat /one-file
ok "the annotation too" has all second cat /down/note
ok "what was optional has come" has all v cat /late/k
k patch configmap cm --type=json -p '[{"op":"remove","path":"/data/c"}]' > /dev/null
gone() { is_gone=$(run all -- sh -c '[ -e /cm/c ] || echo gone') && [ "$is_gone" = gone ]; }
ok "a key that goes is gone" within gone

bad()	# NAME MOUNT VOLUME
{
	k apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    env: [ { name: EMPTY, value: "" }, { name: ABS, value: /tmp } ]
    command: [ /bin/sleep, "1000" ]
    volumeMounts: [ { name: v, mountPath: /v, $2 } ]
  volumes: [ { name: v, $3 } ]
END
}
event() { await "$2" events --field-selector "involvedObject.name=$1" --no-headers; }
dir="hostPath: { path: $host/dir }"
e2edir=$tmp/d
hostvol=$dir
dir=$e2edir
bad out 'subPath: link-out' "$hostvol"
bad up 'subPath: link-up' "$hostvol"
bad absolute 'subPathExpr: "$(ABS)"' "$hostvol"
bad missing 'subPathExpr: "$(NOBODY)"' "$hostvol"
for p in out up; do
	ok "a link out of the volume ($p) is refused" event $p 'failed to prepare subPath for volumeMount "v" of container "main"'
	is "in the status too" 'CreateContainerConfigError: failed to prepare subPath for volumeMount "v" of container "main"' why $p
done
ok "an absolute sub-path" event absolute 'error SubPath `/tmp` must not be an absolute path'
ok "a variable that is not there" event missing 'missing value for "NOBODY"'
bad nodir 'readOnly: true' "hostPath: { path: $host/none, type: Directory }"
ok "hostPath that is not there" event nodir "hostPath type check failed: $host/none is not a directory"
bad nosock 'readOnly: true' "hostPath: { path: $host/secret, type: Socket }"
ok "hostPath of another type" event nosock "hostPath type check failed: $host/secret is not a socket file"
bad nomap 'readOnly: true' 'configMap: { name: nobody }'
ok "a configMap that is not there" event nomap 'MountVolume.SetUp failed for volume "v" : configmap "nobody" not found'
bad nokey 'readOnly: true' 'configMap: { name: cm, items: [ { key: zz, path: z } ] }'
ok "a key that is not there" event nokey 'MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: zz'
bad made 'readOnly: false' "hostPath: { path: $host/new/dir, type: DirectoryOrCreate }"
ok "DirectoryOrCreate" k wait --for=condition=Ready pod/made --timeout=60s
ok "it is there" test -d "$host/new/dir"
k create configmap nobody --from-literal=a=b > /dev/null
ok "what was missing comes: the pod starts" k wait --for=condition=Ready pod/nomap --timeout=60s

is "who a container runs as" '{"gid":3000,"supplementalGroups":[2000,3000],"uid":1000}' k get pod all -o 'jsonpath={.status.containerStatuses[0].user.linux}'
is "and what is mounted where" "/sub" k get pod all -o 'jsonpath={.status.containerStatuses[0].volumeMounts[1].mountPath}'

# ---- an image, and a class of runtime ---------------------------------------------------------------
k apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata: { name: imgvol }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /bin/sleep, "1000" ]
    volumeMounts:
    - { name: v, mountPath: /img }
    - { name: v, mountPath: /part, subPath: bin }
  volumes:
  - { name: v, image: { reference: "localhost/hello:1", pullPolicy: IfNotPresent } }
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: { name: other }
handler: nobodys
---
apiVersion: v1
kind: Pod
metadata: { name: classy }
spec:
  runtimeClassName: other
  containers: [ { name: main, image: "localhost/hello:1" } ]
END
ok "an image as a volume" k wait --for=condition=Ready pod/imgvol --timeout=60s
ok "has its files" run imgvol -- test -e /img/bin/sleep -a -e /part/sleep
says "and nobody writes there" "Read-only file system" sh -c "timeout 60 kubectl --kubeconfig='$dir/admin.kubeconfig' exec imgvol -- touch /img/x 2>&1 || true"
ok "a class whose handler the runtime does not have" event classy 'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nobodys" is configured'
k delete runtimeclass other > /dev/null

ok "all gone" k delete pod --all --timeout=90s
is "the host's files are as they were" "fine secret" sh -c "echo \$(cat $host/dir/in/file) \$(cat $host/secret)"
is "no mount is left" 0 sh -c "grep -c '$tmp/d/kubelet/pods' /proc/self/mountinfo || true"
finish
