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
import concurrent.futures, ctypes, http.client, json, os, queue, select, ssl, sys, threading, time
sys.path.insert(0, os.environ["srcdir"] + "/tests/bench")
from floor import Floor, say
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
# Two watches: when what was told of which pod, and which pods' last events are written.
told, ended = queue.Queue(), queue.Queue()
def pod_told(e, now):
    what = "gone" if e["type"] == "DELETED" else e["object"].get("status", {}).get("phase")
    told.put((e["object"]["metadata"]["name"], what, now))
def event_told(e, now):
    if e["object"]["reason"] == "Killing":
        ended.put(e["object"]["involvedObject"]["name"])
def watch(path, tell):
    c = connect()
    c.request("GET", "%s?watch=1&resourceVersion=%s" % (path, ask(connect(), "GET", path)["metadata"]["resourceVersion"]))
    for line in c.getresponse():
        tell(json.loads(line), time.monotonic())
for of, tell in (path, pod_told), ("/api/v1/namespaces/bench/events", event_told):
    threading.Thread(target=watch, args=(of, tell), daemon=True).start()
def emptied(folder):
    libc = ctypes.CDLL(None)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    libc.inotify_add_watch(fd, folder.encode(), 0x240)      # IN_DELETE, IN_MOVED_FROM
    while os.listdir(folder):
        if not select.select([fd], [], [], 120)[0]:
            raise SystemExit("%s: not empty" % folder)
        os.read(fd, 65536)
    os.close(fd)
def over(names):
    """Nothing of these pods is under way any more: their last events are written, what they had on the disk is thrown away"""
    left = set(names)
    while left:
        left.discard(ended.get(timeout=120))
    for folder in "sandboxes", "containers", "rw", "trash":
        emptied("%s/runtime/%s" % (d, folder))
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
            over(names)     # nothing of it beside the floor
            floor_made.append(floor.ask("create", "%d%02d" % (n, k), n))
            floor_gone.append(floor.ask("delete", "%d%02d" % (n, k), n))
    say("pod create to Running" + many, made[1:], floor_made[1:], command=os.environ["COMMAND"])
    say("pod delete to gone" + many, gone[1:], floor_gone[1:], command=os.environ["COMMAND"])
measure(1, runs, "")
measure(30, max(5, runs // 3), ", 30 at once")
floor.end()
PY
srcdir=$srcdir python3 -B "$tmp/pods.py" "$dir" "$(setting port)" "${ORLOP_BENCH_RUNS:-15}" "$tmp" 2> "$out" || fail "pods"
exit 0
