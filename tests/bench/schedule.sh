#!/bin/sh
# How fast 5,000 pods that wait are given nodes, end to end: made through the API while nobody schedules, then the
# scheduler is loaded; until the last one is bound in the API. pods_per_cpu_s: by the daemon's own processor time, for
# machines that have other things to do. 1,000 and 5,000 nodes without kubelets; plain pods, pods of a ReplicaSet's kind that want to be spread over zones and hosts, pods that avoid their
# like on a node. Beside the rate how even the placement is. ORLOP_BENCH_PODS=5000, ORLOP_BENCH_NODES="1000 5000".
. "$(dirname "$0")/../e2e/lib.sh"
need kubectl python3
export COMMAND="builddir=$builddir $0"
fail()
{
	echo "$0: $*" >&2
	tail -n 5 "$out" >&2
	exit 1
}
cat > "$tmp/schedule.py" << 'PY'
import http.client, json, os, ssl, subprocess, sys, threading, time
orlop, d, port, n_nodes, n_pods = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
pid = open(d + "/orlopd.pid").read().strip()
def cpu_s():
    v = open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")
ctx = ssl.create_default_context(cafile=d + "/pki/ca.crt")
ctx.load_cert_chain(d + "/pki/admin.crt", d + "/pki/admin.key")
def client():
    return http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=120)
def ask(c, method, path, body=None):
    c.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/merge-patch+json"
              if method == "PATCH" else "application/json"})
    r = c.getresponse()
    text = r.read()
    if r.status >= 300:
        raise SystemExit("%s %s: %s" % (method, path, text[:300]))
    return text
def each(n, fn):
    def part(k):
        c = client()
        for i in range(k, n, 8):
            fn(c, i)
    t = [threading.Thread(target=part, args=(k,)) for k in range(8)]
    [x.start() for x in t]
    [x.join() for x in t]
def node(c, i):
    name = "fake-%05d" % i
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    ask(c, "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "z%d" % (i % 3)}}})
    ask(c, "PATCH", "/api/v1/nodes/%s/status" % name, {"status": {"capacity": room, "allocatable": room, "conditions": [
        {"type": "Ready", "status": "True"}]}})
    # a new node is tainted until somebody says that it is ready
    ask(c, "PATCH", "/api/v1/nodes/" + name, {"spec": {"taints": None}})
SELECT = {"matchLabels": {"app": "web"}}
KINDS = {"basic": {}, "spread": {"topologySpreadConstraints": [
    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": SELECT},
    {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": SELECT}]},
    "anti-affinity": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
        "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": SELECT}}]}}}}
def load(on):
    subprocess.run([orlop, "module", "load" if on else "unload", "scheduler/default", "--data-dir", d], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
each(n_nodes, node)
for kind, more in KINDS.items():
    ns = "bench-" + kind
    main = client()
    ask(main, "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    path = "/api/v1/namespaces/%s/pods" % ns
    def pod(c, i):
        ask(c, "POST", path, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p%05d" % i, "labels": {"app": "web"}},
            "spec": dict(more, automountServiceAccountToken=False, containers=[{"name": "c", "image": "i", "resources":
                {"requests": {"cpu": "100m", "memory": "500Mi"}}}])})
    for tries in range(100):
        try:
            pod(client(), 0)
            break
        except SystemExit:
            time.sleep(0.1)
    each(n_pods - 1, lambda c, i: pod(c, i + 1))
    left = path + "?fieldSelector=spec.nodeName%3D&limit=1"
    cpu = cpu_s()
    begin = time.monotonic()
    load(True)
    first = None
    while True:
        text = json.loads(ask(main, "GET", left))
        now = time.monotonic()
        n = len(text["items"]) + text["metadata"].get("remainingItemCount", 0)
        if first is None and n < n_pods:
            first = (now, n_pods - n)
        if n == 0:
            break
        if now - begin > 300:
            raise SystemExit("%d pods are not bound after 300 s" % n)
        time.sleep(0.05)
    end = time.monotonic()
    cpu = cpu_s() - cpu
    count, zones = {}, {}
    for p in json.loads(ask(main, "GET", path))["items"]:
        name = p["spec"]["nodeName"]
        count[name] = count.get(name, 0) + 1
        z = int(name[5:]) % 3
        zones[z] = zones.get(z, 0) + 1
    print(json.dumps({"name": "scheduler/end-to-end-%s-%d" % (kind, n_nodes), "nodes": n_nodes, "pods": n_pods,
        "pods_per_s": round(n_pods / (end - begin)), "from_load_s": round(end - begin, 3), "cpu_s": round(cpu, 2), "pods_per_cpu_s": round(n_pods / cpu),
        "nodes_used": len(count), "most_on_a_node": max(count.values()), "per_zone": sorted(zones.values()),
        "command": os.environ["COMMAND"]}, separators=(",", ":")))
    sys.stdout.flush()
    load(False)
    ask(main, "DELETE", path + "?gracePeriodSeconds=0")
PY
for n in ${ORLOP_BENCH_NODES:-1000 5000}; do
	# without the controllers that would take nodes without heartbeats for dead, and delete their pods
	up --without kubelet,runtime/oci,cni/bridge,controllers/node-lifecycle,controllers/taint-eviction,controllers/pod-garbage-collector > "$out" 2>&1 || fail "orlop up"
	"$orlop" module unload scheduler/default --data-dir "$dir" > "$out" 2>&1 || fail "unload"
	python3 "$tmp/schedule.py" "$orlop" "$dir" "$(setting port)" "$n" "${ORLOP_BENCH_PODS:-5000}" 2> "$out" || fail "schedule"
	"$orlop" down --wipe --grace 0 --data-dir "$dir" > "$out" 2>&1 || fail "down"
done
