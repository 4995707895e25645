#!/bin/sh
# How long from the create of a pod to Running, beside what conmon, the OCI runtime and a veth pair take
# for the same container alone, in turn on the same machine. ORLOP_BENCH_RUNS=15 of each.
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
import http.client, json, os, shutil, ssl, subprocess, sys, time
d, port, runs, tmp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ctx = ssl.create_default_context(cafile=d + "/pki/ca.crt")
ctx.load_cert_chain(d + "/pki/admin.crt", d + "/pki/admin.key")
path = "/api/v1/namespaces/bench/pods"
def ask(method, path, body=None):
    c = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=60)
    c.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    if r.status >= 300:
        raise SystemExit("%s %s: %s" % (method, path, text[:300]))
    return json.loads(text)
def watch(good):
    rev = ask("GET", path)["metadata"]["resourceVersion"]
    c = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=60)
    c.request("GET", "%s?watch=1&resourceVersion=%s" % (path, rev))
    r = c.getresponse()
    yield
    for line in r:
        if good(json.loads(line)):
            yield time.monotonic()
            return
def pod(i):
    name = "p%d" % i
    running = watch(lambda e: e["object"]["metadata"]["name"] == name and e["object"].get("status", {}).get("phase") == "Running")
    next(running)
    t0 = time.monotonic()
    ask("POST", path, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "localhost/hello:1", "imagePullPolicy": "Never",
                                                                 "command": ["/bin/busybox", "sleep", "600"]}]}})
    ms = (next(running) - t0) * 1000
    gone = watch(lambda e: e["type"] == "DELETED")
    next(gone)
    ask("DELETE", "%s/%s?gracePeriodSeconds=0" % (path, name))
    next(gone)
    return ms
runtime = shutil.which("crun")
if not runtime:
    runtime = shutil.which("runc")
# crun 1.8 refuses hybrid cgroups unless the unified mount is hidden in a mount namespace
hide = []
if os.path.basename(runtime) == "crun" and os.path.isdir("/sys/fs/cgroup/unified"):
    hide = ["unshare", "-m", "--propagation", "slave", "sh", "-c", 'umount -l /sys/fs/cgroup/unified; exec "$@"', "x"]
bundle = tmp + "/bundle"
os.makedirs(bundle + "/rootfs/bin")
shutil.copy(shutil.which("busybox"), bundle + "/rootfs/bin/busybox")
subprocess.run([runtime, "spec"], cwd=bundle, check=True)
spec = json.load(open(bundle + "/config.json"))
spec["process"]["terminal"] = False
spec["process"]["args"] = ["/bin/busybox", "sleep", "600"]
json.dump(spec, open(bundle + "/config.json", "w"))
def floor(i):
    me, run = "orlop-floor-%d" % i, tmp + "/run"
    links = ["ip", "link", "add", "orlf%da" % i, "type", "veth", "peer", "name", "orlf%db" % i]
    monitor = hide + ["conmon", "--api-version", "1", "-c", me, "-u", me, "-r", runtime, "-b", bundle, "-p", "%s/%s.pid" % (tmp, me),
                      "-P", "%s/%s.conmon" % (tmp, me), "-l", "k8s-file:%s/%s.log" % (tmp, me), "--exit-dir", tmp, "--persist-dir", tmp,
                      "--runtime-arg", "--root", "--runtime-arg", run, "--full-attach", "--no-sync-log", "--no-new-keyring", "--log-level", "error"]
    t0 = time.monotonic()
    subprocess.run(links, check=True)
    r, w = os.pipe()
    os.set_inheritable(w, True)
    subprocess.run(monitor, check=True, env=dict(os.environ, _OCI_SYNCPIPE=str(w)), pass_fds=(w,), stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
    os.close(w)
    line = os.read(r, 4096)     # conmon says the pid once the runtime has created it
    os.close(r)
    if not line or json.loads(line.split(b"\n")[0])["data"] < 0:
        raise SystemExit("conmon: %s" % line)
    subprocess.run(hide + [runtime, "--root", run, "start", me], check=True, timeout=20)
    ms = (time.monotonic() - t0) * 1000
    subprocess.run(hide + [runtime, "--root", run, "delete", "--force", me], check=True, timeout=20)
    subprocess.run(["ip", "link", "del", "orlf%da" % i], check=True)
    return ms
pods, floors = [], []
pod(0)
floor(0)
for i in range(1, runs + 1):
    pods.append(pod(i))
    floors.append(floor(i))
mid = lambda ms: sorted(ms)[len(ms) // 2]
print(json.dumps({"name": "pod create to Running", "p50_ms": round(mid(pods), 1), "max_ms": round(max(pods), 1), "n": runs,
                  "floor_p50_ms": round(mid(floors), 1), "ratio": round(mid(pods) / mid(floors), 2), "goal_ratio": 1.5,
                  "runtime": os.path.basename(runtime), "command": os.environ["COMMAND"]}, separators=(",", ":")))
PY
python3 "$tmp/pods.py" "$dir" "$(setting port)" "${ORLOP_BENCH_RUNS:-15}" "$tmp" 2> "$out" || fail "pods"
exit 0
