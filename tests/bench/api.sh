#!/bin/sh
# The numbers of the whole, of an all-in-one of its own: each a JSON line with the command that repeats
# it. ORLOP_BENCH_SECONDS=2 a measurement, ORLOP_BENCH_PODS=20000 in the big list, ORLOP_BENCH_WATCHERS=1000.
. "$(dirname "$0")/../e2e/lib.sh"
need kubectl curl python3
: "${ORLOP_BENCH_SECONDS:=2}" "${ORLOP_BENCH_PODS:=20000}" "${ORLOP_BENCH_WATCHERS:=1000}"
export COMMAND="builddir=$builddir $0"
load=$builddir/tests/bench/load
pki=$dir/pki

fail()
{
	echo "$0: $*" >&2
	cat "$out" >&2
	exit 1
}
up > "$out" 2>&1 || fail "orlop up"
port=$(setting port)
api() { "$load" "$pki" "$port" "$@" 2> "$out" || fail "load $*"; }
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$dir/orlopd.pid")/status"; }

# ---- start, memory ---------------------------------------------------------------------------------
# A first start on an empty database (the certificates are there), from exec to both.
"$orlop" down --data-dir "$dir" > "$out" 2>&1 || fail "orlop down"
cat > "$tmp/start.py" << 'PY'
import http.client, json, os, shutil, signal, ssl, subprocess, sys, time
orlopd, d, port, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ctx = ssl.create_default_context(cafile=d + "/pki/ca.crt")
ctx.load_cert_chain(d + "/pki/admin.crt", d + "/pki/admin.key")
def poll(path, good):
    conn = None
    while True:
        try:
            if conn is None:
                conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=10)
            conn.request("GET", path)
            r = conn.getresponse()
            text = r.read()
            if r.status == 200 and good(text):
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            conn = None
        time.sleep(0.001)
def node_ready(text):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for n in json.loads(text)["items"] for c in n.get("status", {}).get("conditions", []))
ready, node = [], []
for _ in range(runs):
    shutil.rmtree(d + "/db")
    t0 = time.monotonic()
    p = subprocess.Popen([orlopd, "-c", d + "/orlop.conf", "-f"], stderr=subprocess.DEVNULL)
    ready.append((poll("/readyz", lambda t: True) - t0) * 1000)
    node.append((poll("/api/v1/nodes", node_ready) - t0) * 1000)
    p.send_signal(signal.SIGTERM)
    p.wait()
for name, ms, goal in (("cold start to /readyz", ready, 100), ("cold start to node Ready", node, 250)):
    print(json.dumps({"name": name, "p50_ms": round(sorted(ms)[runs // 2], 1), "max_ms": round(max(ms), 1), "n": runs,
                      "goal_ms": goal, "command": os.environ["COMMAND"]}, separators=(",", ":")))
PY
python3 "$tmp/start.py" "$builddir/orlopd" "$dir" "$port" 9 2> "$out" || fail "start"
"$orlop" up --data-dir "$dir" > "$out" 2>&1 || fail "orlop up again"
port=$(setting port)
await ' Ready ' nodes --no-headers > "$out" 2>&1 || fail "the node"
idle=${ORLOP_BENCH_IDLE:-60}
sleep "$idle"		# what is measured is what it needs when nothing happens
echo "{\"name\":\"resident memory idle\",\"kib\":$(rss),\"after_s\":$idle,\"goal_kib\":16384,\"command\":\"$COMMAND\"}"

# ---- requests ----------------------------------------------------------------------------------------
k create namespace bench > "$out" 2>&1 || fail "namespace"
cm=/api/v1/namespaces/bench/configmaps
cat > "$tmp/cm" << 'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"key":"value"}}
END
k -n bench create -f "$tmp/cm" > "$out" 2>&1 || fail "configmap"
for n in 1 100; do
	api "GET configmap" get $n "$ORLOP_BENCH_SECONDS" $cm/one
done
body='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c'
rest='-%u"},"data":{"key":"value"}}'
for n in 1 100; do
	api "durable create" post $n "$ORLOP_BENCH_SECONDS" $cm "$body$n$rest"
done
api "watch fan-out" watch "$ORLOP_BENCH_WATCHERS" 50 "$cm?labelSelector=bench%3Dwatch" \
	'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w-%u","labels":{"bench":"watch"}},"data":{"key":"value"}}'

# ---- many objects --------------------------------------------------------------------------------------
before=$(rss)
api "fill" fill 50 "$ORLOP_BENCH_PODS" $cm '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m-%u"},"data":{"key":"value"}}'
after=$(rss)
echo "{\"name\":\"memory per small object\",\"bytes\":$(((after - before) * 1024 / ORLOP_BENCH_PODS)),\"n\":$ORLOP_BENCH_PODS,\"command\":\"$COMMAND\"}"
pods=/api/v1/namespaces/bench/pods
await_account() { k -n bench get serviceaccount default > "$out" 2>&1; }
await_account || fail "the service account"
api "fill" fill 50 "$ORLOP_BENCH_PODS" $pods '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-%u","labels":{"app":"bench"}},"spec":{"nodeSelector":{"bench":"nowhere"},"containers":[{"name":"c","image":"localhost/none:1","command":["sleep","1000"],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}]}}'
api "list of $ORLOP_BENCH_PODS pods" get 1 "$ORLOP_BENCH_SECONDS" $pods
api "list of 5000 pods, protobuf" get-proto 1 "$ORLOP_BENCH_SECONDS" "$pods?limit=5000"
exit 0
