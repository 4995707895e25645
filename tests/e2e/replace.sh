#!/bin/sh
# run: timeout=300 alone
# Each module is replaced by itself while clients write, watch, hold connections and sessions, and pods
# run: no request fails, nothing is lost, no container notices.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3

hello
bridge=$(setting bridge) cgroups=$(setting cgroupRoot)

containers > "$tmp/containers.before"
ok "three containers run" test "$(wc -l < "$tmp/containers.before")" = 3

# A client: writes and reads on one kept connection as long as the server keeps it. Every failure counts;
# how long the slowest answer took is noted. With "new" each request has a connection of its own.
cat > "$tmp/client.py" << 'PY'
import http.client, json, ssl, sys, select, time
port, pki, me, log, how = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
ctx = ssl.create_default_context(cafile=pki + "/ca.crt")
ctx.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
conn, n, failed, slow = None, 0, 0, 0.0
with open(log, "w", buffering=1) as out:
    while not select.select([sys.stdin], [], [], 0)[0]:
        n += 1
        name = "c%s-%06d" % (me, n)
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(n)}})
        began = time.monotonic()
        try:
            if conn is None:
                conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=20)
            conn.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
            r = conn.getresponse()
            answer = r.read()
            if r.status != 201:
                raise ValueError("%d %s" % (r.status, answer[:200]))
            if how == "new" or r.getheader("Connection") == "close":
                conn.close()
                conn = None
            out.write("made %s\n" % name)
        except (OSError, http.client.HTTPException, ValueError) as e:
            failed += 1
            out.write("failed %s %r\n" % (name, e))
            if conn:
                conn.close()
            conn = None
        slow = max(slow, time.monotonic() - began)
        time.sleep(0.002)
    out.write("sum %d %d %.0f\n" % (n, failed, slow * 1000))
PY
port=$(setting port)
mkfifo "$tmp/go"
clients=''
for w in 1 2 3 4; do
	how=keep
	[ $w != 4 ] || how=new
	python3 "$tmp/client.py" "$port" "$dir/pki" $w "$tmp/client.$w" $how < "$tmp/go" &
	clients="$clients $!"
done
exec 9> "$tmp/go"

# A watcher that sees every ConfigMap, a session of exec and a log that is followed.
# They last as long as the rest of it.
K_TIMEOUT=280
k_job get configmaps -w --no-headers -o custom-columns=N:.metadata.name > "$tmp/watched" 2> "$tmp/watch.err" &
watcher=$!
pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
mkfifo "$tmp/in"
k_job exec -i "$pod" -- cat < "$tmp/in" > "$tmp/exec.out" 2> "$tmp/exec.err" &
session=$!
exec 8> "$tmp/in"
echo first >&8
cat > "$tmp/ticker.yaml" << 'YAML'
apiVersion: v1
kind: Pod
metadata: { name: ticker }
spec:
  restartPolicy: Never
  containers:
  - { name: c, image: "localhost/hello:1", command: [ "sh", "-c", "i=0; while [ $i -lt 100 ]; do echo tick $i; i=$((i+1)); sleep 0.1; done" ] }
YAML
ok "a pod that talks" k apply -f "$tmp/ticker.yaml"
ok "runs" await Running pod ticker --no-headers
k_job logs -f ticker > "$tmp/ticks" 2> "$tmp/ticks.err" &
follower=$!
unset K_TIMEOUT
ok "a session of exec answers" within grep -q first "$tmp/exec.out"

replaced()
{
	"$orlop" module replace "$1" --data-dir "$dir" > "$tmp/said" 2>&1
	status=$?
	cat "$tmp/said"
	[ $status != 0 ] || sed -n "s/.* waited \(.*\) ms/$(echo "$1" | tr / _) \1/p" "$tmp/said" >> "$tmp/stalls"
	return $status
}
sums() { grep -h '^failed' "$tmp"/client.? | head -n 5; grep -h '^failed' "$tmp"/client.? | wc -l; }
modules=$("$orlop" module list --data-dir "$dir" | awk 'NR > 1 { print $1 }')
for m in $modules; do
	ok "$m is replaced" replaced "$m"
	is "no request has failed" 0 sums
done
# A pod comes and goes while what runs it is replaced.
ok "scale up" k scale deployment/hello --replicas=5
for m in runtime/oci cni/bridge kubelet controllers/replicaset scheduler/default apiserver storage/lmdb; do
	ok "$m is replaced while pods start" replaced $m
done
ok "rolled out" k rollout status deployment/hello --timeout=60s
is "no request has failed" 0 sums

echo second >&8
ok "the session of exec goes on" within grep -q second "$tmp/exec.out"
exec 8>&-
ok "and ends in order" wait $session
ok "a log that is followed ends with its container" wait $follower
is "and is complete" 100 grep -c '^tick' "$tmp/ticks"
exec 9>&-
for p in $clients; do
	wait "$p"
done
slowest() { grep -h '^sum' "$tmp"/client.? | sort -n -k4 | tail -n 1 | cut -d' ' -f4; }
# How long is make bench's question (tests/bench/replace.sh): a busy machine answers it with its own pauses.
echo "# stalls as the core saw them, ms: $(tr '\n' ' ' < "$tmp/stalls")"
echo "# requests: $(grep -h '^sum' "$tmp"/client.? | awk '{ n += $2 } END { print n }'), slowest answer $(slowest) ms"
is "no request has failed" 0 sums
kept()
{
	sed -n 's/^made //p' "$tmp"/client.? | sort > "$tmp/made"
	k get configmaps -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort > "$tmp/there"
	comm -23 "$tmp/made" "$tmp/there" | wc -l
}
is "every write is there" 0 kept
seen() { sort -u "$tmp/watched" > "$tmp/seen"; [ "$(comm -23 "$tmp/made" "$tmp/seen" | wc -l)" = 0 ]; }
# kubectl get -w ends with its watch and does not begin another: then what it saw must be a beginning.
if kill -0 $watcher 2> /dev/null; then
	ok "the watcher has seen them all" within seen
	kill $watcher
else
	ok "the watch ended in order" test ! -s "$tmp/watch.err"
fi
same() { containers | grep -F -f "$tmp/containers.before" | diff - "$tmp/containers.before"; }
ok "the containers from before are the same" same
drained() { "$orlop" module list --data-dir "$dir" | grep draining; [ $? = 1 ]; }
ok "what was replaced ends" within drained

# Live parameters, and the configuration once more.
says "a live parameter is set" "1 changed" "$orlop" module set apiserver max_reads=300 --data-dir "$dir"
refuses "not by nonsense" 'module apiserver: parameter max_reads: "many" is not a number' \
	"$orlop" module set apiserver max_reads=many --data-dir "$dir"
refuses "one that is not live is named" 'module apiserver: parameter listen does not change while it runs' \
	"$orlop" module set apiserver listen=127.0.0.1:1 --data-dir "$dir"
says "reload takes it back" 'changed: module apiserver: max_reads=400' "$orlop" reload --data-dir "$dir"
says "once" 'nothing has changed' "$orlop" reload --data-dir "$dir"
refuses "a file that is no module" 'not a module: no ELF file' \
	"$orlop" module replace scheduler/default "$srcdir/README.md" --data-dir "$dir" 2> /dev/null
says "after which all is well" "scheduler/default" "$orlop" module list --data-dir "$dir"
finish
