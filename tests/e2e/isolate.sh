#!/bin/sh
# run: timeout=450 alone
# Every module in a process of its own; each of these is killed in turn while clients write and pods run:
# what was acknowledged is there, no container notices, and the module is back before anybody waits.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

hello --isolate all
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)

modules > "$tmp/modules"
ok "each module has a process" sh -c "! grep -q ' 0 0 ' '$tmp/modules'"
ok "an isolated controller is no superuser" sh -c "
	pid=\$(awk '\$1 == \"controllers/replicaset\" { print \$2 }' '$tmp/modules')
	grep -q '^Uid:.65534.65534' /proc/\$pid/status && grep -q '^CapEff:.0000000000000000' /proc/\$pid/status &&
	grep -q '^Seccomp:.2' /proc/\$pid/status && grep -q '^NoNewPrivs:.1' /proc/\$pid/status"
says "module info tells its rights" "caps=none files=none net=none exec=no" "$orlop" module info --data-dir "$dir" controllers/replicaset

containers > "$tmp/containers.before"

cat > "$tmp/writer.py" << 'PY'
import http.client, json, ssl, sys, select, time
port, pki, me, log = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
ctx = ssl.create_default_context(cafile=pki + "/ca.crt")
ctx.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
conn, n, worst, last, failed = None, 0, 0.0, time.monotonic(), 0
with open(log, "w", buffering=1) as out:
    while not select.select([sys.stdin], [], [], 0)[0]:
        n += 1
        name = "w%s-%06d" % (me, n)
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(n)}})
        try:
            if conn is None:
                conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=20)
            conn.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
            r = conn.getresponse()
            r.read()
            if r.status == 201:
                out.write(name + "\n")
                now = time.monotonic()
                worst, last = max(worst, now - last), now
            else:
                failed += 1
        except (OSError, http.client.HTTPException, ValueError):
            failed += 1
            if conn:
                conn.close()
            conn = None
            select.select([sys.stdin], [], [], 0.002)
with open(log + ".stat", "w") as out:
    out.write("%d acknowledged, %d not, longest without %.0f ms\n" % (sum(1 for _ in open(log)), failed, worst * 1000))
PY
port=$(setting port)
mkfifo "$tmp/go"
writers=''
for w in 1 2 3 4; do
	python3 -B "$tmp/writer.py" "$port" "$dir/pki" "$w" "$tmp/acked.$w" < "$tmp/go" &
	writers="$writers $!"
done
exec 9> "$tmp/go"

while read -r name pid _; do
	kill -9 "$pid"
	ok "$name is killed, and back" back "$name" "$pid"
done < "$tmp/modules"
ok "the daemon is the same" kill -0 "$(cat "$dir/orlopd.pid")"
k scale deployment/hello --replicas=4 > /dev/null
ok "a deployment still scales" k rollout status deployment/hello --timeout=60s
exec 9>&-
# shellcheck disable=SC2086 # a list
wait $writers
for w in 1 2 3 4; do sed "s/^/# writer $w: /" "$tmp/acked.$w.stat"; done
sort "$tmp"/acked.[1-4] > "$tmp/acked"
k get configmaps --chunk-size=500 -o name | sed 's,configmap/,,' | grep '^w[1-4]-' | sort > "$tmp/stored"
ok "clients wrote" test "$(wc -l < "$tmp/acked")" -gt 50
is "nothing that was acknowledged is lost" "" comm -23 "$tmp/acked" "$tmp/stored"
containers | sort > "$tmp/containers.after"
is "no container noticed" "" comm -23 "$tmp/containers.before" "$tmp/containers.after"

says "a module goes back into the daemon" "serves" "$orlop" module replace --in-process --data-dir "$dir" controllers/deployment
ok "and has no process of its own" sh -c "'$orlop' module list --json --data-dir '$dir' | python3 -c '
import json, sys
sys.exit([m.get(\"pid\") for m in json.load(sys.stdin) if m[\"name\"] == \"controllers/deployment\"] != [None])'"
says "and out again" "serves" "$orlop" module replace --isolated --data-dir "$dir" controllers/deployment
refuses "a name that is none" "--isolate: there is no module nosuch" up --isolate nosuch

pids=$(modules | awk '{ print $2 }')
kill -9 "$(cat "$dir/orlopd.pid")"
# shellcheck disable=SC2086 # a list
ok "the daemon is killed: its children go with it" gone $pids
ok "up again, as it was" up
ok "the node is ready again" await ' Ready ' nodes --no-headers
ok "delete" k delete -f "$srcdir/examples/hello" --wait=true
ok "down --wipe" "$orlop" down --wipe --grace 0 --data-dir "$dir"
ok "nothing is left" no_traces "$bridge" "$cgroups"
finish
