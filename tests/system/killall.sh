#!/bin/sh
# run: timeout=400 alone
# kill -9 of every process in turn: each module's, the daemon, a monitor, a container's first process, the OCI runtime in the
# middle of its work. All comes back as upstream would have it, and nothing is left: processes, mounts, cgroups, links,
# addresses, files are counted.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

ok "up --isolate all" up --isolate all || finish
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
cat > "$tmp/never.yaml" << 'EOF'
apiVersion: v1
kind: Pod
metadata: { name: never }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers: [ { name: c, image: 'localhost/hello:1', imagePullPolicy: Never, command: [ busybox, sleep, '100000' ] } ]
EOF
ok "apply" k apply -f "$srcdir/examples/hello" -f "$tmp/never.yaml"
ok "rolled out" k rollout status deployment/hello --timeout=60s
ok "and one that does not come again" k wait --for=condition=Ready pod/never --timeout=60s

containers()	# id and restarts of each
{
	k get pods -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.containerStatuses[0].containerID}{" "}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
children()	# of the daemon that are modules: name and pid
{
	"$orlop" module list --json --data-dir "$dir" | python3 -c '
import json, sys
for m in json.load(sys.stdin):
    if m.get("pid") and m["state"] in ("running", "ready"):
        print(m["name"], m["pid"])'
}
# back NAME OLD-PID: another process, healthy.
back()
{
	timeout $((60 * TEST_TIMEOUT_FACTOR)) sh -c "until '$orlop' module list --json --data-dir '$dir' | python3 -c '
import json, sys
sys.exit(not any(m[\"name\"] == \"$1\" and m.get(\"pid\", 0) not in (0, $2) and m[\"healthy\"] for m in json.load(sys.stdin)))'; do :; done"
}
first_of()	# the first process of a pod's container
{
	id=$(k get pod "$1" -o jsonpath='{.status.containerStatuses[0].containerID}')
	head -n 1 "$dir/runtime/containers/${id#*://}/pid" | cut -d' ' -f1
}
parent_of()
{
	sed -n 's/^PPid:\t//p' "/proc/$1/status"
}
counted()	# what there is of us, by kind
{
	echo "monitors $(pgrep -c -r R,S -f "^(/usr/bin/)?conmon .*$dir/")"
	echo "addresses $(find "$dir/cni" -type f | wc -l)"
	echo "links $(ls "/sys/class/net/$bridge/brif" | wc -l)"
	echo "sandboxes $(ls "$dir/runtime/sandboxes" | wc -l)"
	echo "namespaces $(grep -c " $dir/.*/ns/net " /proc/self/mountinfo)"
}
# steady WANT: until the counts are so (they are of pods whose end is under way too).
steady()
{
	within so_many "$1" || { cat "$tmp/counted"; echo "(wanted: $1)"; return 1; }
}
so_many()
{
	counted > "$tmp/counted"
	[ "$(cut -d' ' -f2 "$tmp/counted" | xargs)" = "$1" ] || { busybox usleep 100000; return 1; }
}

containers > "$tmp/before"
ok "four of everything" steady "4 4 4 4 4"

# ---- modules, the daemon -------------------------------------------------------------------------
children > "$tmp/children"
ok "each module has a process" test "$(wc -l < "$tmp/children")" -ge 10
while read -r name pid; do
	kill -9 "$pid"
	ok "$name is back" back "$name" "$pid" < /dev/null
done < "$tmp/children"
children > "$tmp/children"
read -r pid < "$dir/orlopd.pid"
kill -9 "$pid"
# shellcheck disable=SC2046 # a list
ok "who kills the daemon kills its modules" gone $(cut -d' ' -f2 "$tmp/children")
ok "up again" "$orlop" up --data-dir "$dir"
ok "the node is ready again" await ' Ready ' nodes --no-headers
containers > "$tmp/after"
ok "no container noticed" diff "$tmp/before" "$tmp/after"
ok "and nothing came twice" steady "4 4 4 4 4"

# ---- what holds a container ------------------------------------------------------------------------
# shellcheck disable=SC2046	# a name a word
set -- $(k get pods -l app=hello -o jsonpath='{.items[*].metadata.name}')
pid=$(first_of "$1")
kill -9 "$pid"
ok "a first process is killed: its container is started again" k wait --for=jsonpath='{.status.containerStatuses[0].restartCount}=1' "pod/$1" --timeout=60s
is "as upstream says it" "137 Error" k get pod "$1" -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.reason}'
ok "and is ready" k wait --for=condition=Ready "pod/$1" --timeout=60s
pid=$(first_of "$2")
kill -9 "$(parent_of "$pid")"
ok "a monitor is killed: its container is started again" k wait --for=jsonpath='{.status.containerStatuses[0].restartCount}=1' "pod/$2" --timeout=60s
ok "what it held is gone" gone "$pid"
ok "and it is ready" k wait --for=condition=Ready "pod/$2" --timeout=60s
pid=$(first_of never)
kill -9 "$(parent_of "$pid")"
ok "of one that must not come again: the pod has failed" k wait --for=jsonpath='{.status.phase}=Failed' pod/never --timeout=60s
ok "and what it held is gone" gone "$pid"
is "the third was left alone" 0 k get pod "$3" -o jsonpath='{.status.containerStatuses[0].restartCount}'
ok "delete it" k delete pod never --timeout=60s
ok "three of everything" steady "3 3 3 3 3"

# ---- in the middle of its work ---------------------------------------------------------------------
# Kills the first ones of a program that it sees, whatever they are at.
cat > "$tmp/killer.py" << 'PY'
import os, sys
where, left = sys.argv[1].encode(), int(sys.argv[2])
me, seen = os.getpid(), set()
print("ready", flush=True)
while left:
    for p in os.listdir("/proc"):
        if not p.isdigit() or p in seen or int(p) == me:
            continue
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) in (b"crun", b"runc", b"conmon") and any(where in w for w in words):
            seen.add(p)
            if os.path.basename(words[0]) == b"conmon" and len(seen) % 3:
                continue
            try:
                os.kill(int(p), 9)
            except OSError:
                continue
            left -= 1
            if not left:
                break
PY
# those that hold what runs are not meant
pgrep -f "^(/usr/bin/)?conmon .*$dir/" > "$tmp/held"
sed -i "s/seen = os.getpid(), set()/seen = os.getpid(), set(open('\/dev\/stdin').read().split())/" "$tmp/killer.py"
: > "$tmp/killer.out"
timeout $((60 * TEST_TIMEOUT_FACTOR)) python3 -B "$tmp/killer.py" "$dir/" 8 < "$tmp/held" > "$tmp/killer.out" &
killer=$!
timeout $((60 * TEST_TIMEOUT_FACTOR)) sh -c "until grep -q ready '$tmp/killer.out'; do :; done"
ok "scale while its helpers are killed" k scale deployment/hello --replicas=10
ok "all of it runs in the end" k rollout status deployment/hello --timeout=150s
kill $killer 2> /dev/null
wait $killer 2> /dev/null
ok "ten of everything" steady "10 10 10 10 10"
ok "the three of before are the same" sh -c "kubectl --kubeconfig='$dir/admin.kubeconfig' get pod '$1' '$2' '$3'"
ok "they serve" page "$(k get pod "$3" -o jsonpath='{.status.podIP}'):8080"

# ---- the end ------------------------------------------------------------------------------------------
ok "delete everything" k delete deployment hello --timeout=60s
ok "nothing of it is left" steady "0 0 0 0 0"
is "no mount of a container either" 0 sh -c "grep -c ' $dir/.* overlay ' /proc/self/mountinfo || :"
is "no cgroup of a pod" 0 sh -c "find /sys/fs/cgroup -path '*/$cgroups/*' -type d -name '*pod*' | wc -l"
is "no pod's directory" 0 sh -c "ls '$dir/kubelet/pods' | wc -l"
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "and nothing at all" no_traces "$bridge" "$cgroups"
finish
