#!/bin/sh
# How long from the create of a pod to Running, and from its delete to gone, one and 30 at once; beside it what conmon, the
# OCI runtime and a veth pair take for as many containers alone (floor.py), in turn on the same machine. ORLOP_BENCH_RUNS=15
# of one, a third as many of 30.
. "$(dirname "$0")/../e2e/lib.sh"
need conmon runtime skopeo kubectl curl busybox python3 ip
export COMMAND="builddir=$builddir $0"
fail()
{
	echo "$0: $*" >&2
	cat "$out" >&2
	exit 1
}
up > "$out" 2>&1 || fail "orlop up"
image 1 > "$out" 2>&1 || fail "image"
await ' Ready ' nodes --no-headers > "$out" 2>&1 || fail "the node"
k create namespace bench > "$out" 2>&1 || fail "namespace"
cat > "$tmp/pods.py" << 'PY'
import concurrent.futures, http.client, json, os, queue, ssl, statistics, sys, threading, time
sys.path.insert(0, os.environ["srcdir"] + "/tests/bench")
from floor import Floor, crun
d, port, runs, tmp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ctx = ssl.create_default_context(cafile=d + "/pki/ca.crt")
ctx.load_cert_chain(d + "/pki/admin.crt", d + "/pki/admin.key")
path = "/api/v1/namespaces/bench/pods"
def connect():
    c = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=120)
    c.connect()
    return c
def ask(c, method, path, body=None):
    c.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    if r.status >= 300:
        raise SystemExit("%s %s: %s" % (method, path, text[:300]))
    return json.loads(text)
# One watch; when it told what of which pod.
told = queue.Queue()
def watch():
    c = connect()
    c.request("GET", "%s?watch=1&resourceVersion=%s" % (path, ask(connect(), "GET", path)["metadata"]["resourceVersion"]))
    for line in c.getresponse():
        e, now = json.loads(line), time.monotonic()
        what = "gone" if e["type"] == "DELETED" else e["object"].get("status", {}).get("phase")
        told.put((e["object"]["metadata"]["name"], what, now))
threading.Thread(target=watch, daemon=True).start()
def all_at_once(pool, conns, names, method, what):
    """ms from the beginning, of all at the same moment, until the watch told of each"""
    def one(i):
        if method == "DELETE":
            return ask(conns[i], "DELETE", "%s/%s" % (path, names[i]))
        return ask(conns[i], "POST", path, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": names[i]}, "spec": {
            "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "localhost/hello:1", "imagePullPolicy": "Never",
                                                                     "command": ["/bin/sh", "-c", "trap exit TERM; sleep 600 & wait"]}]}})
    t0, left, ms = time.monotonic(), set(names), []
    asked = pool.map(one, range(len(names)))
    while left:
        name, was, now = told.get(timeout=120)
        if was == what and name in left:
            left.remove(name)
            ms.append((now - t0) * 1000)
    list(asked)
    return ms
def say(name, ours, theirs):
    def both(runs):
        return statistics.median(x for r in runs for x in r), statistics.median(max(r) for r in runs)
    (a, a_all), (b, b_all) = both(ours), both(theirs)
    out = {"name": name, "p50_ms": round(a, 1), "floor_p50_ms": round(b, 1), "ratio": round(a / b, 2)}
    if len(ours[0]) > 1:
        out.update(all_ms=round(a_all, 1), floor_all_ms=round(b_all, 1), ratio_all=round(a_all / b_all, 2))
    out.update(n=len(ours), goal_ratio=1.5, runtime=os.path.basename(crun), command=os.environ["COMMAND"])
    print(json.dumps(out, separators=(",", ":")), flush=True)
os.mkdir(tmp + "/floor")
floor = Floor(tmp + "/floor")
def measure(n, runs, many):
    made, gone, floor_made, floor_gone = [], [], [], []
    conns = [connect() for _ in range(n)]
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        for k in range(runs + 1):
            names = ["p%d-%d-%d" % (n, k, i) for i in range(n)]
            made.append(all_at_once(pool, conns, names, "POST", "Running"))
            gone.append(all_at_once(pool, conns, names, "DELETE", "gone"))
            time.sleep(0.8)     # events that wait, what is thrown away: none of it beside the floor
            floor_made.append(floor.ask("create", "%d%02d" % (n, k), n))
            floor_gone.append(floor.ask("delete", "%d%02d" % (n, k), n))
    say("pod create to Running" + many, made[1:], floor_made[1:])
    say("pod delete to gone" + many, gone[1:], floor_gone[1:])
measure(1, runs, "")
measure(30, max(5, runs // 3), ", 30 at once")
floor.end()
PY
srcdir=$srcdir python3 -B "$tmp/pods.py" "$dir" "$(setting port)" "${ORLOP_BENCH_RUNS:-15}" "$tmp" 2> "$out" || fail "pods"
exit 0
